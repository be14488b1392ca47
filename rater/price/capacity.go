package price

import (
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// Used is how much of one product a pool used.
type Used struct {
	Product  string
	Quantity money.Decimal
}

// CapacityTotal prices what a pool used of its products under a rate of the model capacity: the price of the first tier whose every limit
// holds, of the last where none does. A pool without events used nothing and costs nothing. It does not depend on the order of
// the products; the charge of an event is the difference that it makes.
func CapacityTotal(r *catalog.Rate, pool []Used) (money.Decimal, error) {
	if len(r.Capacity) == 0 {
		return money.Decimal{}, noTiers(r)
	}
	if len(pool) == 0 {
		return money.Decimal{}, nil
	}
	return r.Capacity[capacityTier(r, pool)].Price, nil
}

// capacityTier gives the index of the tier that holds the pool.
func capacityTier(r *catalog.Rate, pool []Used) int {
	last := len(r.Capacity) - 1
	for i := range r.Capacity[:last] {
		if withinLimits(&r.Capacity[i], pool) {
			return i
		}
	}
	return last
}

func withinLimits(tier *catalog.CapacityTier, pool []Used) bool {
	for i := range tier.Limits {
		limit := &tier.Limits[i]
		for j := range pool {
			if pool[j].Product == limit.Product && pool[j].Quantity.Cmp(limit.Most) > 0 {
				return false
			}
		}
	}
	return true
}
