package price

import (
	"fmt"
	"strings"

	"github.com/tollstream/tollstream/ledger/money"
)

// ChargeExplanation is the arithmetic of one charge: what a line came to after it, less what it came to before.
type ChargeExplanation struct {
	// Equation is Total(after) − Total(before) = charge in numbers: "(100 × 0.1 + 60 × 0.05) - (100 × 0.1 + 50 × 0.05) = 0.5".
	Equation string `json:"equation"`
	// Short is what remains where the same terms stand on both sides: "10 × 0.05 = 0.5".
	Short  string        `json:"short"`
	Steps  []Step        `json:"steps"` // of the short form; they sum to the amount
	Before money.Decimal `json:"before"`
	After  money.Decimal `json:"after"`
	Amount money.Decimal `json:"amount"`
	Err    error         `json:"-"` // one of the states has no price; all else is empty
}

// ExplainCharge gives the arithmetic of LineTotal(after) − LineTotal(before). Both are segments in the order of CompareSegments, each under
// the rates that priced it: an event adds to a state, a changed price changes the rates.
func ExplainCharge(before, after []Segment) ChargeExplanation {
	was, err := partsOf(before)
	if err != nil {
		return ChargeExplanation{Err: err}
	}
	is, err := partsOf(after)
	if err != nil {
		return ChargeExplanation{Err: err}
	}
	var c ChargeExplanation
	var wasSide, isSide equation
	c.Before, err = wasSide.side(was)
	if err == nil {
		c.After, err = isSide.side(is)
	}
	if err == nil {
		c.Amount, err = c.After.Sub(c.Before)
	}
	if err != nil {
		return ChargeExplanation{Err: fmt.Errorf("explain a charge: %w", err)}
	}
	whole := equation{terms: isSide.terms}
	for _, t := range wasSide.terms {
		whole.terms.add(t, -1)
	}
	whole.text.WriteString(isSide.bracketed() + " - " + wasSide.bracketed())
	c.Equation = whole.is(c.Amount)

	var plus, minus []term
	for i := range is {
		p := &is[i]
		earlier := take(&was, p)
		add, off := changed(p.plus, earlier.plus)
		plus, minus = append(plus, add...), append(minus, off...)
		add, off = changed(p.minus, earlier.minus)
		plus, minus = append(plus, off...), append(minus, add...)
	}
	for i := range was { // of rates that are no more
		plus, minus = append(plus, was[i].minus...), append(minus, was[i].plus...)
	}
	var short equation
	short.write(plus, minus)
	c.Short, c.Steps = short.is(c.Amount), steps(plus, minus, c.Amount)
	return c
}

// side writes the parts of one line and sums them.
func (e *equation) side(parts []part) (sum money.Decimal, err error) {
	for i := range parts {
		e.write(parts[i].plus, parts[i].minus)
		if sum, err = sum.Add(parts[i].amount); err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// bracketed is a side of which another may be taken off.
func (e *equation) bracketed() string {
	if len(e.terms) > 1 || strings.HasPrefix(e.text.String(), "0 - ") {
		return "(" + e.left() + ")"
	}
	return e.left()
}

// take removes and returns the part of the same rate and cell; an empty one where there is none.
func take(parts *[]part, like *part) part {
	for i, p := range *parts {
		if p.rate.ID == like.rate.ID && p.rate.Start == like.rate.Start && p.cell == like.cell && p.outer == like.outer {
			*parts = append((*parts)[:i:i], (*parts)[i+1:]...)
			return p
		}
	}
	return part{}
}

// changed cancels what both sides have, and leaves out what did not change at all.
func changed(after, before []term) (plus, minus []term) {
	plus, minus = difference(append([]term(nil), after...), before)
	kept := plus[:0]
	for _, t := range plus {
		if !t.units.IsZero() {
			kept = append(kept, t)
		}
	}
	return kept, minus
}
