package price

import (
	"math"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

var hundred = money.FromInt(100)

// percentageTotal: rate % of the money values plus the fixed price of each event. With bounds or allowances the charges
// as they were made, because each depends on its own event and on what was free before it.
func percentageTotal(r *catalog.Rate, s State) (money.Decimal, error) {
	p := r.Percentage
	if p == nil {
		return money.Decimal{}, unsupported(r, "prices of model", string(r.Model))
	}
	if p.InLogOrder() {
		return s.Exact.Quo(100)
	}
	fixed, err := p.Fixed.Mul(hundred)
	if err != nil {
		return money.Decimal{}, err
	}
	var sum money.Wide // a hundredfold
	sum.AddProduct(s.Sum, p.Rate)
	sum.AddProduct(money.FromInt(s.Events), fixed)
	return sum.Quo(100)
}

func percentageTerms(r *catalog.Rate, s State) []term {
	p := r.Percentage
	if p.InLogOrder() {
		return chargesTerms(s)
	}
	terms := []term{{label: "percent of the value", units: s.Sum, price: p.Rate, percent: true}}
	if !p.Fixed.IsZero() {
		terms = append(terms, term{label: "fixed price of each event", units: money.FromInt(s.Events), price: p.Fixed})
	}
	return terms
}

// chargesTerms are of methods in log order, whose state keeps the charges as they were made.
func chargesTerms(s State) []term {
	charges, err := s.Exact.Quo(100)
	if err != nil || charges.IsZero() {
		return nil
	}
	return []term{fixed("charges of the events, each as it was made", charges)}
}

// addCharge adds a hundred times the charge of an event of the value v to s, with what came before it.
func addCharge(p *catalog.Percentage, s, before *State, v money.Decimal) (err error) {
	events, used := s.Events, s.Sum
	if before != nil {
		if events > math.MaxInt64-before.Events {
			return money.ErrOverflow
		}
		events += before.Events
		if used, err = used.Add(before.Sum); err != nil {
			return err
		}
	}
	free := false
	if p.FreeEvents > events || p.FreeEvents == 0 && !p.FreeAmount.IsZero() {
		if v, free, err = beyondFree(p.FreeAmount, used, v); err != nil || free {
			return err
		}
	}
	var charge money.Wide
	charge.AddProduct(v, p.Rate)
	if !p.Fixed.IsZero() {
		charge.AddProduct(p.Fixed, hundred)
	}
	if p.HasMin {
		bound(&charge, p.Min, -1)
	}
	if p.HasMax {
		bound(&charge, p.Max, 1)
	}
	s.Exact.AddWide(&charge)
	return s.Exact.Err()
}

// beyondFree gives the part of the value v that lies above the free amount, of which used is taken already, and whether
// the event is free as a whole. No free amount means no limit to it: then the number of events alone ends what is free.
func beyondFree(amount, used, v money.Decimal) (part money.Decimal, free bool, err error) {
	if amount.IsZero() {
		return money.Decimal{}, true, nil
	}
	after, err := used.Add(v)
	if err != nil {
		return money.Decimal{}, false, err
	}
	if used.Cmp(amount) <= 0 && after.Cmp(amount) <= 0 {
		return money.Decimal{}, true, nil
	}
	part, err = larger(after, amount).Sub(larger(used, amount))
	return part, false, err
}

func larger(a, b money.Decimal) money.Decimal {
	if a.Cmp(b) < 0 {
		return b
	}
	return a
}

// bound puts the limit in the place of a charge, a hundredfold, that lies beyond it on that side.
func bound(charge *money.Wide, limit money.Decimal, side int) {
	var most money.Wide
	most.AddProduct(limit, hundred)
	if charge.Cmp(&most) == side {
		*charge = most
	}
}
