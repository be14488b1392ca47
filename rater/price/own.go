package price

import (
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
	own "github.com/tollstream/tollstream/rater/method"
)

// ownTotal is the model formula, and custom: what the price book's own method makes of the quantity and the number of events.
func ownTotal(r *catalog.Rate, s State) (money.Decimal, error) {
	if r.Own == nil {
		return money.Decimal{}, unsupported(r, "method", r.Method)
	}
	q, err := billable(r, &s)
	if err != nil {
		return money.Decimal{}, err
	}
	return r.Own.Total(own.Usage{Quantity: q, Events: s.Events})
}

func ownTerms(r *catalog.Rate, s State) []term {
	q, err := billable(r, &s)
	if err != nil {
		return nil
	}
	var terms []term
	for _, t := range r.Own.Terms(own.Usage{Quantity: q, Events: s.Events}) {
		x := fixed(t.Label, t.Amount)
		x.words = t.Text
		terms = append(terms, x)
	}
	return terms
}
