package price

import (
	"time"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
	own "github.com/tollstream/tollstream/rater/method"
)

// LineOf gives what methods of the price book's own see of a line: the days of the period of its usage, in the zone of whoever is billed, and its
// group. A period without an end has none.
func LineOf(period catalog.Period, zone *time.Location, group []own.Attribute) *own.Line {
	l := &own.Line{Group: group}
	if period.Start != catalog.Always && period.End != catalog.Never && period.Start < period.End {
		l.Days = daysOf(period, zone)
	}
	return l
}

// ownTotal is the model formula, and custom: what the price book's own method makes of the quantity and the number of events.
func ownTotal(r *catalog.Rate, s State, line *own.Line) (money.Decimal, error) {
	if r.Own == nil {
		return money.Decimal{}, unsupported(r, "method", r.Method)
	}
	q, err := billable(r, &s)
	if err != nil {
		return money.Decimal{}, err
	}
	return r.Own.Total(own.Usage{Quantity: q, Events: s.Events, Line: line})
}

func ownTerms(r *catalog.Rate, s State, line *own.Line) []term {
	q, err := billable(r, &s)
	if err != nil {
		return nil
	}
	var terms []term
	for _, t := range r.Own.Terms(own.Usage{Quantity: q, Events: s.Events, Line: line}) {
		x := fixed(t.Label, t.Amount)
		x.words = t.Text
		terms = append(terms, x)
	}
	return terms
}
