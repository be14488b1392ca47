package oracle

import (
	"math/big"
	"slices"
)

// valid says that the catalogue would take the case's document, as far as Shrink can spoil it.
func (c *Case) valid() bool {
	for i := range c.Rates {
		r := &c.Rates[i]
		if i > 0 && (c.Rates[i-1].End.IsZero() || r.Start.IsZero() || c.Rates[i-1].End.After(r.Start)) {
			return false
		}
		seen := map[string]bool{}
		for _, e := range r.Entries {
			text := r.canonical(e.Match)
			if len(e.Match) == 0 || seen[text] {
				return false
			}
			seen[text] = true
		}
		if r.Model == matrix && (len(r.Entries) == 0 || len(r.Dimensions) == 0) {
			return false
		}
		if r.Maximum != nil && (r.Maximum.Sign() <= 0 || r.Minimum != nil && r.Minimum.Cmp(r.Maximum) > 0) {
			return false
		}
		if r.Model == formula && (r.Formula == nil || r.Formula.Group != "" && !slices.Contains(c.GroupBy, r.Formula.Group)) {
			return false
		}
		// What is in a matrix takes its aggregation from it; sums alone go with money.
		for _, cell := range r.cells() {
			if !cell.rate.complete() {
				return false
			}
		}
		if (r.Model == capacity) != (c.Rates[0].Model == capacity) {
			return false
		}
	}
	for _, e := range c.Events {
		for _, name := range c.GroupBy {
			if e.Attributes[name] == "" {
				return false
			}
		}
	}
	return true
}

func (r *Rate) complete() bool {
	tiered := slices.Contains([]string{graduated, volume, graduatedPercentage, blockGraduated, blockVolume, capacity}, r.Model)
	if tiered && len(r.Tiers) == 0 {
		return false
	}
	if r.aggregation() == uniqueOf && r.Attribute == "" || !r.takesRounding() {
		return false
	}
	if r.WholeEvent && (r.ZeroFlat || r.ProrateDay || r.Included != nil || r.aggregation() != sumOf && r.aggregation() != countOf) {
		return false
	}
	last := num(0)
	for _, t := range r.Tiers {
		if t.UpTo != nil && t.UpTo.Cmp(last) <= 0 {
			return false
		}
		last = or(t.UpTo)
	}
	above := []*big.Rat{r.Size, r.FreeAmount, r.Included, r.Maximum, r.Minimum, r.Min, r.Max}
	for _, t := range r.Tiers {
		above = append(above, t.BlockSize, t.MaxBlocks)
	}
	if o := r.Rounding; o != nil {
		above = append(above, o.First, o.Next)
		if (o.First == nil) == (o.Mode == "") { // the one or the other
			return false
		}
	}
	if slices.ContainsFunc(above, func(x *big.Rat) bool { return x != nil && x.Sign() <= 0 }) {
		return false
	}
	return r.Min == nil || r.Max == nil || r.Min.Cmp(r.Max) <= 0
}

// takesRounding: money is not rounded before it is priced, nor is the total of events that are priced one by one.
func (r *Rate) takesRounding() bool {
	o := r.Rounding
	return o == nil || !r.OfMoney() && r.Model != capacity && !(r.WholeEvent && o.Mode != "" && !o.OnEvent)
}

// Doubt says why the oracle's answer is one reading of the documents among others; "": it is not.
func (c *Case) Doubt() string {
	for k := range c.Rates {
		r := &c.Rates[k]
		switch {
		case c.Usage.Carried != nil && len(c.Rates) > 1:
			return "which rate has a level that was carried over, before its first change?"
		case r.Pool != c.pool():
			return "what does a pool share with rates of another?"
		}
	}
	return ""
}
