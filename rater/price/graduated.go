package price

import (
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// graduatedTotal: each tier's units at its own price, plus the flat price of each tier reached. The
// tier that q falls in is the last one reached: with half-open bounds a q on a bound reaches the next
// tier with no units in it.
func graduatedTotal(r *catalog.Rate, q money.Decimal) (money.Decimal, error) {
	if len(r.Tiers) == 0 {
		return money.Decimal{}, noTiers(r)
	}
	if q.Sign() <= 0 {
		return notAboveZero(r, q)
	}
	var sum money.Wide
	var lower, flat money.Decimal
	for i := range r.Tiers {
		tier := &r.Tiers[i]
		upper, last := q, holds(r, i, q)
		if !last {
			upper = tier.UpTo
		}
		units, err := upper.Sub(lower)
		if err != nil {
			return money.Decimal{}, err
		}
		sum.AddProduct(units, tier.UnitPrice)
		if !tier.FlatPrice.IsZero() {
			if flat, err = flat.Add(tier.FlatPrice); err != nil { // apart, which takes a fraction of the time
				return money.Decimal{}, err
			}
		}
		if last {
			break
		}
		lower = upper
	}
	sum.Add(flat)
	return sum.Decimal()
}

func graduatedTerms(r *catalog.Rate, q money.Decimal) []term {
	if q.Sign() <= 0 {
		return notAboveZeroTerms(r, q)
	}
	var terms []term
	var lower money.Decimal
	reached := tierOf(r, q)
	for i := 0; i <= reached; i++ {
		upper := q
		if i < reached {
			upper = r.Tiers[i].UpTo
		}
		if units, err := upper.Sub(lower); err == nil && !units.IsZero() {
			terms = append(terms, term{label: tierLabel(r, i), tier: i + 1, units: units, price: r.Tiers[i].UnitPrice})
		}
		if !r.Tiers[i].FlatPrice.IsZero() {
			terms = append(terms, flatTerm(r, i))
		}
		lower = upper
	}
	return terms
}
