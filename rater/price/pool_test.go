package price

import (
	"testing"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// used is what was used of a product under a capacity.
func usedUnder(r *catalog.Rate, product, quantity string) Segment {
	return Segment{Rate: r, Cell: product, State: State{Sum: dec(quantity), Events: 1}}
}

// TestCapacityPoolByHand: 10 up to 100 of storage and 1000 of transfer, 20 up to 200 of storage, above that 30.
func TestCapacityPoolByHand(t *testing.T) {
	at := func(id string, start, end int64, change func(r *catalog.Rate)) *catalog.Rate {
		r := capacityRate()
		r.ID, r.Start, r.End = id, start, end
		if change != nil {
			change(r)
		}
		return r
	}
	dearer := func(r *catalog.Rate) {
		for i := range r.Capacity {
			r.Capacity[i].Price = dec([]string{"11", "22", "33"}[i])
		}
	}
	first, second := at("a", catalog.Always, 50, nil), at("b", 50, catalog.Never, dearer)
	restarts := at("b", 50, catalog.Never, func(r *catalog.Rate) { dearer(r); r.TiersRestart = true })
	always := at("a", catalog.Always, catalog.Never, nil)
	aside := at("seats", catalog.Always, catalog.Never, func(r *catalog.Rate) {
		r.Capacity = []catalog.CapacityTier{{Price: dec("5"), Limits: []catalog.Limit{{Product: "seats", Most: dec("3")}}}, {Price: dec("9")}}
	})
	override := at("contract", 50, catalog.Never, dearer)
	rounds := at("a", catalog.Always, catalog.Never, func(r *catalog.Rate) { r.Rounding = catalog.Rounding{Mode: money.RoundCeil} })
	for _, c := range []struct {
		name     string
		segments []Segment
		want     string
	}{
		{"nothing", nil, "0"},
		{"one product", []Segment{usedUnder(first, "storage", "100")}, "10"},
		{"two products, one above", []Segment{usedUnder(first, "storage", "100"), usedUnder(first, "transfer", "1001")}, "20"},
		{"both above", []Segment{usedUnder(first, "storage", "300"), usedUnder(first, "transfer", "1001")}, "30"},
		// 60 cost 10; 120 in all are 22 under the second, of which 11 were due for the 60.
		{"a price that changes inside the period", []Segment{usedUnder(first, "storage", "60"), usedUnder(second, "storage", "60")}, "21"},
		{"… of another product", []Segment{usedUnder(first, "transfer", "60"), usedUnder(second, "storage", "60")}, "10"},
		{"… inside one tier", []Segment{usedUnder(first, "storage", "60"), usedUnder(second, "storage", "30")}, "10"},
		{"… beginning anew", []Segment{usedUnder(first, "storage", "60"), usedUnder(restarts, "storage", "30")}, "21"},
		{"a capacity beside it", []Segment{usedUnder(aside, "seats", "4"), usedUnder(always, "storage", "150")}, "29"},
		// A contract takes its place inside the period: 22 − 11 after 10.
		{"another in its place", []Segment{usedUnder(always, "storage", "60"), usedUnder(override, "storage", "60")}, "21"},
		{"rounded up on the total", []Segment{usedUnder(rounds, "storage", "100.1")}, "20"},
		{"taken back", []Segment{usedUnder(always, "storage", "-5"), usedUnder(always, "transfer", "0")}, "10"},
	} {
		if got, err := PoolTotal(c.segments); err != nil || got != dec(c.want) {
			t.Errorf("%s: %s, %v; want %s", c.name, got, err, c.want)
		}
	}
}
