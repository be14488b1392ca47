package price

import (
	"fmt"

	"github.com/tollstream/tollstream/rater/catalog"
)

// tiersOf lists the tiers of the part's rate with what lies in each, those that were not reached among them; nil where the rate
// has none, where its charges were made event by event, and where a maximum stands in the place of the tiers.
func tiersOf(p *part) []TierUse {
	r := p.rate
	var uses []TierUse
	switch r.Model {
	case catalog.ModelGraduated, catalog.ModelVolume, catalog.ModelGraduatedPercentage:
		for i := range r.Tiers {
			uses = append(uses, TierUse{Label: tierLabel(r, i), Price: r.Tiers[i].UnitPrice})
		}
	case catalog.ModelBlockGraduated, catalog.ModelBlockVolume:
		for i := range r.Blocks {
			uses = append(uses, TierUse{Label: blocksLabel(r, i), Price: r.Blocks[i].Price})
		}
	}
	if len(uses) == 0 || InLogOrder(r) || p.outer {
		return nil
	}
	for i, t := range append(p.plus[:len(p.plus):len(p.plus)], p.minus...) {
		if t.tier == 0 || t.tier > len(uses) {
			return nil
		}
		if i >= len(p.plus) {
			t.units = t.units.Neg()
		}
		if !uses[t.tier-1].add(t) {
			return nil
		}
	}
	return uses
}

// add counts a term of the tier; false: it is out of range.
func (u *TierUse) add(t term) bool {
	amount, err := t.amount()
	if err == nil {
		u.Amount, err = u.Amount.Add(amount)
	}
	switch {
	case err != nil:
	case t.once:
		u.Flat, err = u.Flat.Add(amount)
	default:
		u.Units, err = u.Units.Add(t.units)
	}
	return err == nil
}

// blocksLabel names a tier of blocks: "tier 2: blocks of 10".
func blocksLabel(r *catalog.Rate, i int) string {
	return fmt.Sprintf("tier %d: blocks of %s", i+1, r.Blocks[i].Size)
}
