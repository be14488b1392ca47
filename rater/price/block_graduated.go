package price

import (
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// blockGraduatedTotal: the tiers are filled one after another, each with its blocks; a block that is
// begun is due whole. Nothing is due at zero or below: blocks cannot be taken back below none.
func blockGraduatedTotal(r *catalog.Rate, q money.Decimal) (money.Decimal, error) {
	if len(r.Blocks) == 0 {
		return money.Decimal{}, noTiers(r)
	}
	if q.Sign() <= 0 {
		return money.Decimal{}, nil
	}
	var sum money.Wide
	var lower money.Decimal
	for i := range r.Blocks {
		tier := &r.Blocks[i]
		if !tier.Last && q.Cmp(tier.UpTo) > 0 {
			sum.AddProduct(tier.Count, tier.Price)
			lower = tier.UpTo
			continue
		}
		blocks, err := blocksFrom(tier, lower, q)
		if err != nil {
			return money.Decimal{}, err
		}
		sum.AddProduct(blocks, tier.Price)
		break
	}
	return sum.Decimal()
}

// blocksFrom counts the tier's blocks that hold what lies between lower and q.
func blocksFrom(tier *catalog.Block, lower, q money.Decimal) (money.Decimal, error) {
	units, err := q.Sub(lower)
	if err != nil {
		return money.Decimal{}, err
	}
	return money.CeilDiv(units, tier.Size)
}

func blockGraduatedTerms(r *catalog.Rate, q money.Decimal) []term {
	if q.Sign() <= 0 {
		return nil
	}
	var terms []term
	var lower money.Decimal
	for i := range r.Blocks {
		tier := &r.Blocks[i]
		inside := tier.Last || q.Cmp(tier.UpTo) <= 0
		blocks := tier.Count
		if inside {
			var err error
			if blocks, err = blocksFrom(tier, lower, q); err != nil {
				return terms
			}
		}
		terms = append(terms, term{label: blocksLabel(r, i), tier: i + 1, units: blocks, price: tier.Price})
		if inside {
			break
		}
		lower = tier.UpTo
	}
	return terms
}
