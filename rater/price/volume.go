package price

import (
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// volumeTotal: all units at the price of the tier that q falls in, plus its flat price.
func volumeTotal(r *catalog.Rate, q money.Decimal) (money.Decimal, error) {
	if len(r.Tiers) == 0 {
		return money.Decimal{}, noTiers(r)
	}
	if q.Sign() <= 0 {
		return notAboveZero(r, q)
	}
	tier := &r.Tiers[tierOf(r, q)]
	var sum money.Wide
	sum.AddProduct(q, tier.UnitPrice)
	sum.Add(tier.FlatPrice)
	return sum.Decimal()
}

func volumeTerms(r *catalog.Rate, q money.Decimal) []term {
	if q.Sign() <= 0 {
		return notAboveZeroTerms(r, q)
	}
	i := tierOf(r, q)
	terms := []term{{label: "all units at " + tierLabel(r, i), tier: i + 1, units: q, price: r.Tiers[i].UnitPrice}}
	if !r.Tiers[i].FlatPrice.IsZero() {
		terms = append(terms, flatTerm(r, i))
	}
	return terms
}
