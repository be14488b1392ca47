package price

import (
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// graduatedPercentageTotal: each tier's part of the value at its own percentage, plus the flat price of each tier reached,
// as graduatedTotal walks them.
func graduatedPercentageTotal(r *catalog.Rate, v money.Decimal) (money.Decimal, error) {
	if len(r.Tiers) == 0 {
		return money.Decimal{}, noTiers(r)
	}
	var sum money.Wide // a hundredfold
	switch {
	case v.Sign() < 0:
		sum.AddProduct(v, r.Tiers[0].UnitPrice)
		return sum.Quo(100)
	case v.IsZero():
		return notAboveZero(r, v)
	}
	var lower, flat money.Decimal
	for i := range r.Tiers {
		tier := &r.Tiers[i]
		upper, last := v, holds(r, i, v)
		if !last {
			upper = tier.UpTo
		}
		part, err := upper.Sub(lower)
		if err != nil {
			return money.Decimal{}, err
		}
		sum.AddProduct(part, tier.UnitPrice)
		if flat, err = flat.Add(tier.FlatPrice); err != nil {
			return money.Decimal{}, err
		}
		if last {
			break
		}
		lower = upper
	}
	sum.AddProduct(flat, hundred)
	return sum.Quo(100)
}

func graduatedPercentageTerms(r *catalog.Rate, v money.Decimal) []term {
	terms := graduatedTerms(r, v)
	for i := range terms {
		terms[i].percent = !terms[i].once
	}
	return terms
}
