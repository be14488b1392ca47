package price

import (
	"fmt"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// holds reports whether tier i ends the way of q, above zero, up the tiers. A bound belongs to its
// own tier, or with half-open bounds to the next; anything between two bounds belongs to the upper tier.
func holds(r *catalog.Rate, i int, q money.Decimal) bool {
	if i == len(r.Tiers)-1 {
		return true
	}
	c := q.Cmp(r.Tiers[i].UpTo)
	return c < 0 || (c == 0 && !r.HalfOpenBounds)
}

// tierOf gives the index of the tier that q, above zero, falls in.
func tierOf(r *catalog.Rate, q money.Decimal) int {
	i := 0
	for !holds(r, i, q) {
		i++
	}
	return i
}

// notAboveZero prices what tiers do not reach, for graduated and volume alike. At zero nothing is
// due, or the first tier's flat price when the rate charges it there. Below zero (more was taken back
// than was used) units cost the first tier's price and there is no flat price, so that usage and its
// reversal cancel on either side of zero; the flat price comes and goes at zero only.
func notAboveZero(r *catalog.Rate, q money.Decimal) (money.Decimal, error) {
	first := &r.Tiers[0]
	switch {
	case q.Sign() < 0:
		return q.Mul(first.UnitPrice)
	case r.ChargeFlatAtZero:
		return first.FlatPrice, nil
	}
	return money.Decimal{}, nil
}

func notAboveZeroTerms(r *catalog.Rate, q money.Decimal) []term {
	first := &r.Tiers[0]
	switch {
	case q.Sign() < 0:
		return []term{{label: "taken back, at tier 1", tier: 1, units: q, price: first.UnitPrice}}
	case r.ChargeFlatAtZero:
		t := fixed("tier 1: flat price at zero", first.FlatPrice)
		t.tier = 1
		return []term{t}
	}
	return nil
}

func noTiers(r *catalog.Rate) error { return unsupported(r, "tiers of model", string(r.Model)) }

func flatTerm(r *catalog.Rate, i int) term {
	t := fixed(fmt.Sprintf("tier %d: flat price", i+1), r.Tiers[i].FlatPrice)
	t.tier = i + 1
	return t
}

// tierLabel names a tier by its number and bounds: "tier 2: above 100, up to 200".
func tierLabel(r *catalog.Rate, i int) string {
	above, upTo := "above", "up to"
	if r.HalfOpenBounds {
		above, upTo = "from", "below"
	}
	label := fmt.Sprintf("tier %d: ", i+1)
	last := i == len(r.Tiers)-1
	switch {
	case i == 0 && last:
		return label + "every unit"
	case i == 0:
		return label + upTo + " " + r.Tiers[0].UpTo.String()
	case last:
		return label + above + " " + r.Tiers[i-1].UpTo.String()
	}
	return label + above + " " + r.Tiers[i-1].UpTo.String() + ", " + upTo + " " + r.Tiers[i].UpTo.String()
}
