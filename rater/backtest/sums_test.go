package backtest_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/tollstream/tollstream/rater/backtest"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/sink"
)

// inRows is a history whose sums say that nothing can be rated in them, since they reach over all time.
type inRows struct{ *world }

func (h inRows) Sums(ctx context.Context, q sink.HistoryQuery, first, last string, names []string, each func(*sink.Summed) error) error {
	return h.world.Sums(ctx, q, first, last, names, func(s *sink.Summed) error {
		s.First, s.Last = catalog.Always, catalog.Never
		return each(s)
	})
}

// draw draws price books and usage.
type draw struct{ *rand.Rand }

func (d draw) of(list ...string) string { return list[d.IntN(len(list))] }

func (d draw) number() string {
	return d.of("0", "1", "0.5", "3", "0.333333333333", "0.000000000001", "17.25", "100")
}

// rate draws one that says nothing of its time.
func (d draw) rate() string {
	tiers := fmt.Sprintf("[{up_to: %d, unit_price: %s, flat_price: %s}, {up_to: 200, unit_price: %s}, {unit_price: %s, flat_price: %s}]",
		1+d.IntN(150), d.number(), d.number(), d.number(), d.number(), d.number())
	blocks := fmt.Sprintf("[{block_size: 7, max_blocks: %d, price: %s}, {block_size: 10.5, price: %s}]", 1+d.IntN(9), d.number(), d.number())
	rate := d.of(
		"model: flat, amount: "+d.number(), "model: per_unit, unit_price: "+d.number(), "model: graduated, tiers: "+tiers, "model: graduated, tiers: "+tiers,
		"model: volume, tiers: "+tiers, fmt.Sprintf("model: package, size: %d, price: %s, free: %d", 1+d.IntN(20), d.number(), d.IntN(30)),
		"model: block_graduated, tiers: "+blocks, "model: block_volume, tiers: "+blocks, "model: graduated, split: false, tiers: "+tiers,
		"model: graduated, prorate: day, tiers: "+tiers, "model: percentage, rate: 2.9, fixed: 0.3", "model: percentage, rate: 1, free_events: 3",
		`model: formula, expression: "min(quantity, 100) * 0.1 + events / 3"`,
		`model: matrix, dimensions: [region], prices: [{match: {region: eu}, model: volume, tiers: `+tiers+`}], default: {model: per_unit, unit_price: `+d.number()+`}`,
	)
	if strings.HasPrefix(rate, "model: graduated, tiers") || strings.HasPrefix(rate, "model: volume") || strings.HasPrefix(rate, "model: per_unit") {
		rate += d.of("", "", "", ", aggregation: count", ", aggregation: max", ", aggregation: latest", ", aggregation: time_weighted",
			", rounding: {mode: ceil, precision: 0}", ", rounding: {mode: round, precision: -1, on: total}", ", rounding: {mode: ceil, precision: 0, on: event}",
			", rounding: {first: 60, next: 1}", ", included: 20", ", maximum: 50", ", tiers_restart: true", ", pool: account", ", pool: invoice")
	}
	if strings.HasPrefix(rate, "model: formula") || d.IntN(5) > 0 {
		return rate
	}
	return rate + ", currency: EUR"
}

// rates draws those of one owner.
func (d draw) rates() string {
	middle := d.of("2026-11-10", "2026-11-15T12:30:00Z")
	switch d.IntN(5) {
	case 0:
		return fmt.Sprintf("[{%s, end: %s}, {%s, start: %s}]", d.rate(), middle, d.rate(), middle)
	case 1:
		return fmt.Sprintf("[{%s, end: 2027-01-01}]", d.rate())
	}
	return "[{" + d.rate() + "}]"
}

func (d draw) products() string {
	var b strings.Builder
	b.WriteString("products:\n")
	for i, group := range []string{"", ", group_by: [region]", ", group_by: [region, team]"} {
		fmt.Fprintf(&b, "  - {id: p%d%s, rates: %s}\n", i, group, d.rates())
	}
	return b.String()
}

func (d draw) contracts() string {
	if d.IntN(2) == 0 {
		return ""
	}
	return fmt.Sprintf("contracts:\n  - {id: c, account: a1, start: %s, end: 2027-01-01, rates: [{product: p%d, %s}]}\n", d.of("2026-01-01", "2026-11-12"), d.IntN(3), d.rate())
}

// accepts says whether the document is a valid draft.
func (w *world) accepts(document string) bool {
	doc, err := catalog.ParseDocument("book.yaml", []byte(document))
	if err == nil {
		_, err = doc.Revise(catalog.Stored{Rows: w.books[len(w.books)-1]}, instant("2026-01-01T00:00:00Z"))
	}
	return err == nil
}

func (d draw) events() (list []string) {
	for range 40 {
		quantity := d.of("1", "2.5", "60", "13", "0", "0.000000000007", "130")
		list = append(list, fmt.Sprintf("a%d p%d %s@2026-11-%02dT%02d:30:00Z region=%s team=%s",
			d.IntN(4), d.IntN(3), quantity, 1+d.IntN(30), d.IntN(23), d.of("eu", "us"), d.of("x", "y")))
	}
	return list
}

// TestSumsAgree: rating sums where that can be comes to the very same as rating every activity, whatever the price book.
func TestSumsAgree(t *testing.T) {
	const live = `
currency: USD
products:
  - {id: p0, rates: [{model: per_unit, unit_price: 0.5}]}
  - {id: p1, group_by: [region], rates: [{model: graduated, tiers: [{up_to: 100, unit_price: 0.10}, {unit_price: 0.05}]}]}
  - {id: p2, rates: [{model: flat, amount: 2, currency: EUR}]}
exchange_rates: [{base: EUR, date: 2026-09-30, rates: {USD: 1.25}}]
accounts:
  - {id: a0}
  - {id: a1}
  - {id: a2, parent: a0, bill_to: parent}
  - {id: a3, time_zone: America/New_York}
`
	cases := 150
	if testing.Short() {
		cases = 20
	}
	fromSums, fromBoth := 0, 0
	for seed := range uint64(cases) {
		d := draw{rand.New(rand.NewPCG(seed, 5))} //nolint:gosec // to be repeated
		w := newWorld(t, "2026-12-02T00:00:00Z")
		w.apply(live)
		w.use(d.events()...)
		w.apply("products:\n  - {id: p0, rates: [{model: per_unit, unit_price: 0.25}]}\n") // adjustments
		w.apply("exchange_rates: [{base: EUR, date: 2026-10-31, rates: {USD: 1.5}}]")
		w.use(d.events()...)
		if d.IntN(3) == 0 { // taken back
			w.use("a0 p0 -500@2026-11-03T00:00:00Z region=eu", "a1 p1 -30@2026-11-03T00:00:00Z region=eu", "a0 p2 -1@2026-11-28T00:00:00Z team=x")
		}
		draft := d.products() + d.contracts()
		for !w.accepts(draft) { // not every rate goes with everything
			draft = d.products() + d.contracts()
		}
		if d.IntN(4) == 0 {
			draft += fmt.Sprintf("exchange_rates: [{base: EUR, date: 2026-%s, rates: {USD: 2}}]\n", d.of("10-31", "11-10"))
		}
		from, to := "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"
		switch d.IntN(6) {
		case 0:
			from = "2026-11-09T00:00:00Z"
		case 1:
			to = "2026-12-01T05:00:00Z"
		}
		limits := backtest.Limits{Workers: 2, Activities: 1 + d.IntN(100), Accounts: 1 + d.IntN(4), Rows: 100, Top: 3}
		w.read = 0
		sums := w.backtest(draft, "", from, to, limits)
		read := w.read
		w.read = 0
		rows := w.backtestOf(inRows{w}, draft, "", from, to, limits)
		if !reflect.DeepEqual(sums, rows) {
			t.Fatalf("seed %d, %s to %s, draft\n%s\nin sums\n%sunrated %+v, %d activities; in rows\n%sunrated %+v, %d activities", seed, from, to, draft,
				text(sums.Rows), sums.Unrated, sums.Activities, text(rows.Rows), rows.Unrated, rows.Activities)
		}
		switch {
		case read == 0:
			fromSums++
		case read < w.read:
			fromBoth++
		}
	}
	t.Logf("of %d cases %d read no activity, %d fewer than there are", cases, fromSums, fromBoth)
	if fromSums+fromBoth < cases/4 {
		t.Error("that is too few to tell")
	}
}
