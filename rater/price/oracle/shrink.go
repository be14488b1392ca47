package oracle

import (
	"iter"
	"maps"
	"math/big"
	"slices"
	"time"
)

// questions bounds how often Shrink asks.
const questions = 20_000

// Shrink makes a case that fails smaller while it still fails: fewer events, rates, tiers, entries and options, simpler numbers
// and times. What it answers is in scope and fails, if c did, and is not
// in doubt if c was not; printed by Case.String it shows what to look at.
func Shrink(c Case, fails func(*Case) bool) Case {
	left, doubtful := questions, c.Doubt() != ""
	found := func(s *Case) bool {
		if left == 0 || !s.valid() || s.scoped() != "" || !doubtful && s.Doubt() != "" {
			return false
		}
		left--
		return fails(s)
	}
	for {
		s, ok := c.step(found)
		if !ok {
			s, ok = c.twoSteps(found)
		}
		if !ok {
			return c
		}
		c = s
	}
}

// step is the first smaller case that is wanted.
func (c *Case) step(wanted func(*Case) bool) (Case, bool) {
	for s := range c.smaller() {
		if wanted(&s) {
			return s, true
		}
	}
	return Case{}, false
}

// twoSteps leaves something out and makes up for it by another step, or by a quantity that comes to a bound.
func (c *Case) twoSteps(wanted func(*Case) bool) (Case, bool) {
	for first, less := range c.smaller() {
		if !less || !first.valid() {
			continue
		}
		if s, ok := first.step(wanted); ok {
			return s, true
		}
		for i := range first.Events {
			for _, x := range first.bounds() {
				s := first.clone()
				s.Events[i].Quantity = x
				if wanted(&s) {
					return s, true
				}
			}
		}
	}
	return Case{}, false
}

func (c *Case) bounds() []*big.Rat {
	var of []*big.Rat
	for _, r := range c.parts() {
		if len(r.Tiers) > 0 {
			of = append(of, r.bounds()...)
		}
	}
	return of
}

func (c *Case) clone() Case {
	n := *c
	n.Rates = slices.Clone(c.Rates)
	for i := range n.Rates {
		n.Rates[i] = n.Rates[i].clone()
	}
	n.Products, n.Accounts, n.Packages = slices.Clone(c.Products), slices.Clone(c.Accounts), slices.Clone(c.Packages)
	n.Events = slices.Clone(c.Events)
	for i := range n.Events {
		n.Events[i].Attributes = maps.Clone(n.Events[i].Attributes)
	}
	return n
}

// clone copies what can be changed; numbers are replaced, never changed.
func (r *Rate) clone() Rate {
	n := *r
	n.Tiers, n.Dimensions, n.Entries = slices.Clone(r.Tiers), slices.Clone(r.Dimensions), slices.Clone(r.Entries)
	for i := range n.Tiers {
		n.Tiers[i].Limits = maps.Clone(n.Tiers[i].Limits)
	}
	for i := range n.Entries {
		n.Entries[i].Match, n.Entries[i].Rate = maps.Clone(n.Entries[i].Match), n.Entries[i].Rate.clone()
	}
	if r.Default != nil {
		d := r.Default.clone()
		n.Default = &d
	}
	if r.Rounding != nil {
		o := *r.Rounding
		n.Rounding = &o
	}
	return n
}

// smaller are the cases one step smaller, the greater steps first, and whether there is less in it than before; else a number
// or a time is simpler. A change that changes nothing is left out.
func (c *Case) smaller() iter.Seq2[Case, bool] {
	return func(yield func(Case, bool) bool) {
		try := func(less bool, change func(*Case) bool) bool {
			n := c.clone()
			return !change(&n) || yield(n, less)
		}
		for size := len(c.Events); size > 0; size /= 2 {
			for i := 0; i+size <= len(c.Events); i += size {
				if !try(true, func(n *Case) bool { n.Events = slices.Delete(n.Events, i, i+size); return true }) {
					return
				}
			}
		}
		for i := range c.Rates {
			if !try(true, func(n *Case) bool { return n.dropRate(i) }) {
				return
			}
		}
		for _, change := range whole {
			if !try(true, change) {
				return
			}
		}
		for i, part := range c.parts() {
			if !part.smaller(func(less bool, change func(*Rate) bool) bool {
				return try(less, func(n *Case) bool { return change(n.parts()[i]) })
			}) {
				return
			}
		}
		if !try(false, (*Case).sort) {
			return
		}
		for i := range c.Events {
			for _, change := range c.ofEvent(i) {
				if !try(false, func(n *Case) bool { return change(&n.Events[i]) }) {
					return
				}
			}
		}
	}
}

// smaller tries the changes of a rate until try wants no more.
func (r *Rate) smaller(try func(less bool, change func(*Rate) bool) bool) bool {
	for _, change := range slices.Concat(ofRate, r.steps()) {
		if !try(true, change) {
			return false
		}
	}
	for i := range r.numbers() {
		for simpler := range 3 {
			if !try(false, func(r *Rate) bool { return simplify(r.numbers()[i], simpler) }) {
				return false
			}
		}
	}
	return true
}

// sort puts the log into the order of time.
func (c *Case) sort() bool {
	inTime := func(a, b Event) int { return a.Time.Compare(b.Time) }
	had := !slices.IsSortedFunc(c.Events, inTime)
	slices.SortStableFunc(c.Events, inTime)
	return had
}

// dropRate leaves its time to a neighbour.
func (c *Case) dropRate(i int) bool {
	if len(c.Rates) == 1 {
		return false
	}
	if i > 0 {
		c.Rates[i-1].End = c.Rates[i].End
	} else {
		c.Rates[1].Start = c.Rates[0].Start
	}
	c.Rates = slices.Delete(c.Rates, i, i+1)
	return true
}

// parts are the rates and the rates in their matrices.
func (c *Case) parts() []*Rate {
	var of []*Rate
	for i := range c.Rates {
		r := &c.Rates[i]
		of = append(of, r)
		for j := range r.Entries {
			of = append(of, &r.Entries[j].Rate)
		}
		if r.Default != nil {
			of = append(of, r.Default)
		}
	}
	return of
}

// whole are changes of the case as such.
var whole = []func(*Case) bool{
	func(c *Case) bool { return clear(&c.Usage.Carried) },
	func(c *Case) bool { had := len(c.GroupBy) > 0; c.GroupBy = nil; return had },
	func(c *Case) bool {
		had := len(c.Packages) > 0
		c.Packages = nil
		for i := range c.Events {
			c.Events[i].Package = ""
		}
		return had
	},
	func(c *Case) bool {
		had := len(c.Accounts) > 1
		c.Accounts = c.Accounts[:1]
		for i := range c.Events {
			c.Events[i].Account = c.Accounts[0]
		}
		return had
	},
	func(c *Case) bool {
		had := c.pool() != "" && c.Rates[0].Model != capacity
		for i := range c.Rates {
			c.Rates[i].Pool = ""
		}
		return had
	},
	func(c *Case) bool {
		last := len(c.Products) - 1
		if last == 0 {
			return false
		}
		gone := c.Products[last]
		c.Products = c.Products[:last]
		c.Events = slices.DeleteFunc(c.Events, func(e Event) bool { return e.Product == gone })
		for _, r := range c.parts() {
			for _, t := range r.Tiers {
				delete(t.Limits, gone)
			}
		}
		return true
	},
}

// clear forgets a value that may be absent, and says whether there was one.
func clear[T comparable](x *T) bool {
	var none T
	had := *x != none
	*x = none
	return had
}

// ofRate are changes that any rate may bear.
var ofRate = []func(*Rate) bool{
	func(r *Rate) bool { // a matrix becomes what it has for one of its entries
		if r.Model != matrix {
			return false
		}
		one := r.cells()[0].rate.clone()
		one.Start, one.End, one.Restart = r.Start, r.End, r.Restart
		*r = one
		return true
	},
	func(r *Rate) bool { return r.Default != nil && len(r.Entries) > 0 && clear(&r.Default) },
	func(r *Rate) bool {
		simple := r.Model == perUnit || r.Model == matrix || r.Model == capacity
		if !simple {
			*r = Rate{
				Start: r.Start, End: r.End, Model: perUnit, UnitPrice: num(1), Aggregation: r.Aggregation, Attribute: r.Attribute,
				Level: r.Level, Rounding: r.Rounding, Restart: r.Restart, Pool: r.Pool,
			}
		}
		return !simple
	},
	func(r *Rate) bool {
		had := r.Aggregation != ""
		r.Aggregation, r.Attribute, r.Level = "", "", ""
		return had
	},
	func(r *Rate) bool { return clear(&r.Rounding) },
	func(r *Rate) bool { return clear(&r.Included) }, func(r *Rate) bool { return clear(&r.Minimum) },
	func(r *Rate) bool { return clear(&r.Maximum) }, func(r *Rate) bool { return clear(&r.HalfOpen) },
	func(r *Rate) bool { return clear(&r.ZeroFlat) }, func(r *Rate) bool { return clear(&r.WholeEvent) },
	func(r *Rate) bool { return clear(&r.ProrateDay) }, func(r *Rate) bool { return clear(&r.Restart) },
	func(r *Rate) bool { return clear(&r.Free) }, func(r *Rate) bool { return clear(&r.Fixed) },
	func(r *Rate) bool { return clear(&r.FreeEvents) }, func(r *Rate) bool { return clear(&r.FreeAmount) },
	func(r *Rate) bool { return clear(&r.Min) }, func(r *Rate) bool { return clear(&r.Max) },
	func(r *Rate) bool { return clear(&r.Start) }, func(r *Rate) bool { return clear(&r.End) },
	func(r *Rate) bool { return r.Rounding != nil && clear(&r.Rounding.Precision) },
	func(r *Rate) bool {
		return r.Rounding != nil && r.Rounding.Mode != "" && clear(&r.Rounding.First) && clear(&r.Rounding.Next)
	},
	func(r *Rate) bool {
		return r.Rounding != nil && r.Rounding.First != nil && clear(&r.Rounding.Mode)
	},
}

// steps take out tiers, entries and dimensions.
func (r *Rate) steps() []func(*Rate) bool {
	var of []func(*Rate) bool
	for i := range r.Tiers {
		of = append(of, func(r *Rate) bool {
			r.Tiers = slices.Delete(r.Tiers, i, i+1)
			if n := len(r.Tiers); n > 0 {
				r.Tiers[n-1].UpTo, r.Tiers[n-1].MaxBlocks = nil, nil
			}
			return true
		}, func(r *Rate) bool { return clear(&r.Tiers[i].Flat) })
	}
	for i := range r.Entries {
		of = append(of, func(r *Rate) bool { r.Entries = slices.Delete(r.Entries, i, i+1); return true })
		for name := range r.Entries[i].Match {
			of = append(of, func(r *Rate) bool { delete(r.Entries[i].Match, name); return true })
		}
	}
	for i := range r.Dimensions {
		of = append(of, func(r *Rate) bool {
			for _, e := range r.Entries {
				if _, named := e.Match[r.Dimensions[i].Name]; named {
					return false
				}
			}
			r.Dimensions = slices.Delete(r.Dimensions, i, i+1)
			return true
		})
	}
	return of
}

// numbers are those that the rate has.
func (r *Rate) numbers() []**big.Rat {
	all := []**big.Rat{
		&r.Amount, &r.UnitPrice, &r.Size, &r.Price, &r.Free, &r.Percent, &r.Fixed, &r.FreeAmount, &r.Min, &r.Max,
		&r.Included, &r.Minimum, &r.Maximum,
	}
	for i := range r.Tiers {
		t := &r.Tiers[i]
		all = append(all, &t.UpTo, &t.UnitPrice, &t.Flat, &t.Percent, &t.BlockSize, &t.MaxBlocks, &t.Price)
	}
	if o := r.Rounding; o != nil {
		all = append(all, &o.First, &o.Next)
	}
	return slices.DeleteFunc(all, func(x **big.Rat) bool { return *x == nil })
}

// simplify puts 0, 1 or a whole number in the place of another number; there is a simplest.
func simplify(x **big.Rat, how int) bool {
	was := *x
	one := was.Cmp(num(1)) == 0
	switch {
	case was.Sign() == 0:
		return false
	case how == 0:
		*x = num(0)
	case how == 1 && !one:
		*x = num(1)
	case how == 2 && !was.IsInt():
		*x = floorInt(was)
	default:
		return false
	}
	return true
}

func (c *Case) ofEvent(i int) []func(*Event) bool {
	u := c.Usage
	at := func(pick func(time.Time) time.Time) func(*Event) bool {
		return func(e *Event) bool {
			t := pick(e.Time.In(u.Zone))
			changed := t.Before(e.Time) && !t.Before(u.Start)
			e.Time = t
			return changed
		}
	}
	of := []func(*Event) bool{
		func(e *Event) bool { return clear(&e.Amount) },
		at(func(time.Time) time.Time { return u.Start }),
		at(func(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, u.Zone) }),
		at(func(t time.Time) time.Time { return t.Truncate(time.Hour) }),
		at(func(t time.Time) time.Time { return t.Truncate(time.Second) }),
	}
	for name := range c.Events[i].Attributes {
		of = append(of, func(e *Event) bool { delete(e.Attributes, name); return true })
	}
	for simpler := range 3 {
		of = append(of, func(e *Event) bool { return simplify(&e.Quantity, simpler) })
		of = append(of, func(e *Event) bool { return e.Amount != nil && simplify(&e.Amount, simpler) })
	}
	return of
}
