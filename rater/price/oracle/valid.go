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
	if r.aggregation() == uniqueOf && r.Attribute == "" {
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
		if o.First == nil && o.Mode == "" {
			return false
		}
	}
	if slices.ContainsFunc(above, func(x *big.Rat) bool { return x != nil && x.Sign() <= 0 }) {
		return false
	}
	return r.Min == nil || r.Max == nil || r.Min.Cmp(r.Max) <= 0
}

// Doubt says why the oracle's answer is one reading of the documents among others; "": it is not.
func (c *Case) Doubt() string {
	for k := range c.Rates {
		r := &c.Rates[k]
		switch {
		case r.Restart && k > 0 && c.kinds() > 1 && r.Model != matrix:
			return "does tiers_restart begin anew what other kinds of rates accumulated?"
		case r.Restart && c.unused(k):
			return "does tiers_restart hold for later rates where its own rate has no usage?"
		case r.ProrateDay != c.Rates[0].ProrateDay:
			return "what do units that were not prorated weigh under a later rate that prorates?"
		case c.Usage.Carried != nil && len(c.Rates) > 1:
			return "which rate has a level that was carried over, before its first change?"
		case r.Pool != c.pool():
			return "what does a pool share with rates of another?"
		}
		for _, cell := range r.cells() {
			if why := cell.rate.doubt(len(c.Rates) > 1, r); why != "" {
				return why
			}
		}
	}
	return ""
}

// doubt is about a rate, or one in the matrix outer.
func (r *Rate) doubt(others bool, outer *Rate) string {
	flats := slices.ContainsFunc(r.Tiers, func(t Tier) bool { return t.Flat != nil })
	rounded := r.Rounding != nil
	switch {
	case r.inLogOrder() && others && (r.Maximum != nil || outer.Maximum != nil):
		return "what does a maximum of charges count that were made under earlier rates?"
	case r.WholeEvent && others && flats:
		return "is a tier reached that earlier rates' usage has reached meanwhile?"
	case r.WholeEvent && (r.Included != nil || rounded || r.ZeroFlat):
		return "how does split: false go with included, rounding or zero_usage_flat?"
	case rounded && r.kind() == "money":
		return "are money values rounded as quantities are?"
	case rounded && r.ProrateDay || r.Included != nil && r.ProrateDay:
		return "how are days prorated of a quantity that is rounded or partly included?"
	case rounded && r.Rounding.First != nil && r.aggregation() == timeWeighted:
		return "do increments hold for changes of a level?"
	}
	return ""
}

func (c *Case) kinds() int {
	seen := map[string]bool{}
	for k := range c.Rates {
		if r := &c.Rates[k]; r.Model != matrix {
			seen[r.kind()] = true
		}
	}
	return len(seen)
}

// unused says that rate k, which others follow, has no usage in some line or pool, or might have none in a matrix entry.
func (c *Case) unused(k int) bool {
	if k == len(c.Rates)-1 {
		return false
	}
	has := map[string]bool{}
	for _, e := range c.Events {
		group := c.shared(e)
		has[group] = has[group] || c.Rates[k].Model != matrix && c.takes(e) == k
	}
	for _, used := range has {
		if !used {
			return true
		}
	}
	return false
}

// takes is the place of the rate that takes the event, or -1.
func (c *Case) takes(e Event) int {
	l := newLine(c.Rates, c.Usage)
	if _, ok := l.take(e); !ok {
		return -1
	}
	return l.used[0].rate
}
