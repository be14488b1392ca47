package oracle

import (
	"fmt"
	"math/big"
	"slices"
)

// Result is what the usage of a line costs.
type Result struct {
	Amount   *big.Rat
	Rates    []*big.Rat // the amount of each rate
	Rejected []Rejection
	Beyond   string // why the case is out of scope; "": it is not
}

// Rejection is an event that is not rated. Reason is "" where the documents give it no name.
type Rejection struct {
	ID, Reason string
}

type line struct {
	rates  []Rate
	cells  [][]cell // of each rate
	usage  Usage
	used   []*used // in log order
	beyond string
}

func newLine(rates []Rate, usage Usage) *line {
	l := &line{rates: rates, usage: usage}
	for k := range rates {
		l.cells = append(l.cells, rates[k].cells())
	}
	return l
}

// Line prices the events of a line, which stand in log order, under rates that are in the order of their start and do not overlap.
func Line(rates []Rate, usage Usage, events []Event) Result {
	l := newLine(rates, usage)
	res := Result{Amount: num(0)}
	for _, e := range events {
		if reason, ok := l.take(e); !ok {
			res.Rejected = append(res.Rejected, Rejection{e.ID, reason})
		}
	}
	for k := range rates {
		a := sub(l.upTo(k, k), l.upTo(k, k-1))
		res.Rates = append(res.Rates, a)
		res.Amount = add(res.Amount, a)
	}
	l.within(res.Amount, "the line's amount")
	res.Beyond = l.beyond
	return res
}

// Charges are what each event adds to the amount, in log order; a rejected event adds nothing.
func Charges(rates []Rate, usage Usage, events []Event) []*big.Rat {
	var charges []*big.Rat
	before := num(0)
	for i := range events {
		after := Line(rates, usage, events[:i+1]).Amount
		charges = append(charges, sub(after, before))
		before = after
	}
	return charges
}

// upTo is Total of rate k for the usage through segment last.
func (l *line) upTo(k, last int) *big.Rat {
	s := num(0)
	for _, c := range l.cells[k] {
		s = add(s, l.rates[k].converted(l.total(c.rate, l.through(k, last, c))))
	}
	if r := &l.rates[k]; r.Model == matrix && r.Maximum != nil {
		s = least(s, r.converted(r.Maximum))
	}
	return s
}

// converted is an amount in the rate's currency in that of the line.
func (r *Rate) converted(amount *big.Rat) *big.Rat {
	if r.Exchange == nil {
		return amount
	}
	return Round(mul(amount, r.Exchange), decimals)
}

// through is the usage through segment last that rate k goes on from: of the same cell and kind, and not from before its tiers began
// anew, or those of an earlier rate that has usage in the cell.
func (l *line) through(k, last int, c cell) []*used {
	first := l.anew(k)
	for _, u := range l.used {
		if u.rate < k && u.cell.name == c.name {
			first = max(first, l.anew(u.rate))
		}
	}
	var of []*used
	for _, u := range l.used {
		if u.rate >= first && u.rate <= last && u.cell.name == c.name && u.cell.rate.kind() == c.rate.kind() {
			of = append(of, u)
		}
	}
	return of
}

// anew is the first rate whose usage counts for the tiers of rate k: itself if it begins anew, else those that start with or after the
// newest one before it in its list that does.
func (l *line) anew(k int) int {
	if l.rates[k].Restart {
		return k
	}
	for i := k - 1; i >= 0; i-- {
		if r := &l.rates[i]; r.Restart && r.List == l.rates[k].List {
			return slices.IndexFunc(l.rates, func(x Rate) bool { return !x.Start.Before(r.Start) })
		}
	}
	return 0
}

// take accepts an event, or says why not.
func (l *line) take(e Event) (reason string, ok bool) {
	k := slices.IndexFunc(l.rates, func(r Rate) bool { return r.covers(e.Time) })
	if k < 0 {
		return "no_rate", false
	}
	return l.takeUnder(k, e)
}

// takeUnder is take for the rate k.
func (l *line) takeUnder(k int, e Event) (reason string, ok bool) {
	c, ok := l.cells[k][0], true
	if l.rates[k].Model == matrix {
		c, ok = l.rates[k].choose(l.cells[k], e, l.usage.Zone)
	}
	if !ok {
		return "no_rate", false
	}
	r := c.rate
	switch a := r.aggregation(); {
	case e.Foreign && r.OfMoney():
		return "no_rate", false
	case e.Quantity.Sign() < 0 && (a == countOf || a == maxOf || a == latestOf || a == uniqueOf):
		return "", false
	case a == uniqueOf && e.Attributes[r.Attribute] == "":
		return "attribute_missing", false
	case r.Model == dynamic && e.Amount == nil:
		return "amount_missing", false
	}
	u := &used{event: e, rate: k, cell: c, quantity: l.within(r.ofEvent(e.Quantity), "a quantity"), charge: num(0)}
	u.value = u.quantity
	if e.Amount != nil {
		u.value = l.within(e.Amount, "an amount")
	}
	if r.inLogOrder() {
		l.charge(u)
	}
	l.used = append(l.used, u)
	if r.OfMoney() {
		l.within(sum(l.through(k, k, c), func(u *used) *big.Rat { return u.value }), "a sum of money values")
	}
	return "", true
}

// charge makes the charge of an event that arrives now, on what has arrived before it up to its own segment.
func (l *line) charge(u *used) {
	r, before := u.cell.rate, l.through(u.rate, u.rate, u.cell)
	if r.Model == percentage {
		u.charge = l.within(r.ofPayment(u.value, before), "a charge")
		return
	}
	units := func(e *used) *big.Rat {
		if r.aggregation() == countOf {
			return num(1)
		}
		return e.quantity
	}
	// A tier is reached where an event has ended in it, or where the usage of the rates before lies in it.
	already, earlier := 0, num(0)
	for _, e := range before {
		if e.rate < u.rate {
			earlier = add(earlier, units(e))
		}
		if e.ends != nil {
			already = max(already, r.reached(e.ends))
		}
	}
	already = max(already, r.reached(earlier))
	u.ends = add(sum(before, units), units(u))
	flats := num(0)
	if now := r.reached(u.ends); now > already {
		flats = sub(r.flats(now), r.flats(already))
	}
	u.charge = add(mul(units(u), r.Tiers[r.tierOf(u.ends)].UnitPrice), flats)
}

// ofPayment is the charge of a money value after those before it.
func (r *Rate) ofPayment(v *big.Rat, before []*used) *big.Rat {
	spent := sum(before, func(e *used) *big.Rat { return e.value })
	charged := v
	if r.FreeEvents > len(before) || r.FreeEvents == 0 && positive(r.FreeAmount) {
		// What is paid back gives back of the free amount, and of what was charged above it.
		above := func(x *big.Rat) *big.Rat { return most(sub(x, r.FreeAmount), num(0)) }
		after := add(spent, v)
		if !positive(r.FreeAmount) || spent.Cmp(r.FreeAmount) <= 0 && after.Cmp(r.FreeAmount) <= 0 {
			return num(0)
		}
		charged = sub(above(after), above(spent))
	}
	c := add(percent(r.Percent, charged), or(r.Fixed))
	if r.Min != nil {
		c = most(c, r.Min)
	}
	if r.Max != nil {
		c = least(c, r.Max)
	}
	return c
}

func (r Rejection) String() string { return fmt.Sprintf("%s %s", r.ID, r.Reason) }
