package price

import (
	"fmt"
	"slices"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// Standing says where usage stands in the tiers of the rate r: how much was used under it and under those that it goes on from, as r counts it, and
// which tier that has reached, "" where r has none. The segments stand in the order of CompareSegments, and need not have one of r. The
// cell is the rate's; of a capacity it is the product whose usage is asked for, while its tier is that of all products.
func Standing(segments []Segment, r *catalog.Rate, cell string) (used money.Decimal, tier string, err error) {
	at := slices.IndexFunc(segments, func(s Segment) bool { return s.Rate.ID == r.ID && s.Rate.Start == r.Start && s.Cell == cell })
	if at < 0 {
		at, _ = slices.BinarySearchFunc(segments, Segment{Rate: r, Cell: cell}, CompareSegments)
		segments = slices.Insert(slices.Clone(segments), at, Segment{Rate: r, Cell: cell})
	}
	w := walk{segments: segments}
	for i := range at + 1 {
		if err = w.to(i); err != nil {
			return used, "", err
		}
	}
	if w.after.empty() {
		return used, "", nil
	}
	if used, err = aggregated(r, &w.after); err != nil {
		return used, "", err
	}
	if r.Model == catalog.ModelCapacity {
		all, err := usedTogether(segments)
		return used, fmt.Sprintf("tier %d", capacityTier(r, all)+1), err
	}
	q, err := billable(r, &w.after)
	if err != nil || q.Sign() <= 0 {
		return used, "", err
	}
	switch r.Model {
	case catalog.ModelGraduated, catalog.ModelVolume, catalog.ModelGraduatedPercentage:
		tier = tierLabel(r, tierOf(r, q))
	case catalog.ModelBlockGraduated, catalog.ModelBlockVolume:
		tier = blocksLabel(r, blockTierOf(r, q))
	}
	return used, tier, nil
}
