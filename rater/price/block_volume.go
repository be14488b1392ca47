package price

import (
	"fmt"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// blockVolumeTotal: all of q in the blocks of the tier that it falls in, a block that is begun being
// due whole. Nothing is due at zero or below.
func blockVolumeTotal(r *catalog.Rate, q money.Decimal) (money.Decimal, error) {
	if len(r.Blocks) == 0 {
		return money.Decimal{}, noTiers(r)
	}
	if q.Sign() <= 0 {
		return money.Decimal{}, nil
	}
	tier := &r.Blocks[blockTierOf(r, q)]
	blocks, err := money.CeilDiv(q, tier.Size)
	if err != nil {
		return money.Decimal{}, err
	}
	return blocks.Mul(tier.Price)
}

// blockTierOf gives the index of the tier of blocks that q, above zero, falls in: a tier holds as many units as
// it and the ones before it have blocks for. With half-open bounds the last of them belongs to the next tier.
func blockTierOf(r *catalog.Rate, q money.Decimal) int {
	for i := range r.Blocks {
		if r.Blocks[i].Last {
			return i
		}
		if c := q.Cmp(r.Blocks[i].UpTo); c < 0 || c == 0 && !r.HalfOpenBounds {
			return i
		}
	}
	return len(r.Blocks) - 1
}

func blockVolumeTerms(r *catalog.Rate, q money.Decimal) []term {
	if q.Sign() <= 0 {
		return nil
	}
	i := blockTierOf(r, q)
	blocks, err := money.CeilDiv(q, r.Blocks[i].Size)
	if err != nil {
		return nil
	}
	return []term{{label: fmt.Sprintf("all units in tier %d: blocks of %s", i+1, r.Blocks[i].Size), tier: i + 1, units: blocks, price: r.Blocks[i].Price}}
}
