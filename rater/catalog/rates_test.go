package catalog

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/tollstream/tollstream/ledger/money"
)

var dec = money.MustParse

// compiled applies a document with one product, "p", whose only rate is the given YAML, checks that what is exported means
// the same, and gives the rate.
func compiled(t *testing.T, rate string) *Rate {
	t.Helper()
	b := newBook()
	b.must(t, testNow, "currency: EUR\nproducts: [{id: p, rates: ["+rate+"]}]")
	y, err := ExportYAML(b.list())
	if err != nil {
		t.Fatal(err)
	}
	again := newBook()
	again.must(t, testNow, string(y))
	ref := Ref{KindProduct, "p"}
	if got, want := string(again.rows[ref].Body), string(b.rows[ref].Body); got != want {
		t.Fatalf("exported and applied again: %s\nwant %s\nfrom %s", got, want, y)
	}
	if changes := b.must(t, testNow, string(y)); len(changes) != 0 {
		t.Fatalf("the export changed %v:\n%s", changes, y)
	}
	p, err := decodeProduct(b.rows[ref])
	if err != nil || len(p.Rates) != 1 {
		t.Fatalf("%v, %v", p, err)
	}
	return p.Rates[0]
}

func TestBlocksCompiled(t *testing.T) {
	r := compiled(t, `{model: block_graduated, tiers: [{block_size: 100, max_blocks: 10, price: 1}, {block_size: 0.5, max_blocks: 3, price: 0}, {block_size: 1000, price: 0.2}]}`)
	want := []Block{
		{Size: dec("100"), Count: dec("10"), UpTo: dec("1000"), Price: dec("1")},
		{Size: dec("0.5"), Count: dec("3"), UpTo: dec("1001.5")},
		{Size: dec("1000"), Price: dec("0.2"), Last: true},
	}
	if r.Model != ModelBlockGraduated || !reflect.DeepEqual(r.Blocks, want) || r.Tiers != nil {
		t.Errorf("compiled to %s %+v and tiers %v", r.Model, r.Blocks, r.Tiers)
	}
	if v := compiled(t, `{model: block_volume, bounds: half_open, tiers: [{block_size: 1, price: 2}]}`); v.Model != ModelBlockVolume || !v.HalfOpenBounds {
		t.Errorf("compiled to %+v", v)
	}
}

func TestPercentageCompiled(t *testing.T) {
	r := compiled(t, `{model: percentage, rate: 2.9, fixed: 0.30, free_events: 3, free_amount: 250, min: 0, max: 12}`)
	want := &Percentage{Rate: dec("2.9"), Fixed: dec("0.3"), FreeEvents: 3, FreeAmount: dec("250"), HasMin: true, Max: dec("12"), HasMax: true}
	if !reflect.DeepEqual(r.Percentage, want) || !r.Percentage.InLogOrder() {
		t.Errorf("compiled to %+v", r.Percentage)
	}
	for text, inLogOrder := range map[string]bool{
		`{model: percentage, rate: 0}`: false,
		`{model: percentage, rate: 2.9, fixed: 1, free_events: 0, free_amount: 0.0}`: false,
		`{model: percentage, rate: 2.9, free_events: 1}`:                             true,
		`{model: percentage, rate: 2.9, free_amount: 1}`:                             true,
		`{model: percentage, rate: 2.9, min: 0}`:                                     true,
		`{model: percentage, rate: 2.9, max: 1}`:                                     true,
	} {
		if r := compiled(t, text); r.Percentage.InLogOrder() != inLogOrder {
			t.Errorf("%s: in log order %v", text, !inLogOrder)
		}
	}
	tiers := compiled(t, `{model: graduated_percentage, bounds: half_open, zero_usage_flat: charge, tiers: [{up_to: 1000, rate: 3, flat_price: 1}, {rate: 0}]}`)
	if want := []Tier{{UpTo: dec("1000"), UnitPrice: dec("3"), FlatPrice: dec("1")}, {Last: true}}; !reflect.DeepEqual(tiers.Tiers, want) ||
		!tiers.HalfOpenBounds || !tiers.ChargeFlatAtZero || tiers.Percentage != nil {
		t.Errorf("compiled to %+v", tiers)
	}
	if r := compiled(t, `{model: dynamic}`); r.Model != ModelDynamic || r.Aggregation != AggregationSum {
		t.Errorf("compiled to %+v", r)
	}
}

func TestAggregationsCompiled(t *testing.T) {
	for text, want := range map[string]Aggregation{
		`aggregation: sum`: AggregationSum, `aggregation: count`: AggregationCount, `aggregation: max`: AggregationMax,
		`aggregation: latest`: AggregationLatest, `aggregation: time_weighted`: AggregationTimeWeighted,
		`aggregation: time_weighted, level: change`: AggregationTimeWeighted, `split: true`: AggregationSum,
	} {
		if r := compiled(t, `{model: graduated, tiers: [{unit_price: 1}], `+text+`}`); r.Aggregation != want || r.WholeEvents {
			t.Errorf("%s: compiled to %+v", text, r)
		}
	}
	for text, want := range map[string]bool{``: false, `, level: change`: false, `, level: absolute`: true} {
		r := compiled(t, `{model: per_unit, unit_price: 1, aggregation: time_weighted`+text+`}`)
		m := compiled(t, `{model: matrix, dimensions: [d], prices: [{match: {d: x}, model: flat, amount: 1}], aggregation: time_weighted`+text+`}`)
		if r.AbsoluteLevel != want || m.Matrix.Entries[0].Rate.AbsoluteLevel != want {
			t.Errorf("%q: compiled to %+v", text, r)
		}
	}
	if r := compiled(t, `{model: graduated, split: false, aggregation: count, rounding: {mode: ceil, on: event}, tiers: [{unit_price: 1}]}`); !r.WholeEvents {
		t.Errorf("compiled to %+v", r)
	}
}

// TestFormulasAreOneLine: what is written on several lines is stored on one.
func TestFormulasAreOneLine(t *testing.T) {
	if r := compiled(t, "{model: formula, expression: \"quantity\\n+\\t1\"}"); r.Expression != "quantity + 1" {
		t.Errorf("%q", r.Expression)
	}
}

// TestGoesOnFrom: tiers go on from usage under any rate, or since they began anew; a price inside a matrix as the rate around it.
func TestGoesOnFrom(t *testing.T) {
	anew := &Rate{Anew: true, AnewSince: 20}
	for _, c := range []struct {
		rate  *Rate
		start int64
		want  bool
	}{
		{&Rate{AnewSince: 20}, 10, true}, {anew, 19, false}, {anew, 20, true}, {anew, 21, true},
		{&Rate{Outer: anew}, 19, false}, {&Rate{Outer: anew}, 20, true}, {&Rate{Anew: true, AnewSince: 30, Outer: &Rate{}}, 10, true},
	} {
		if c.rate.GoesOnFrom(c.start) != c.want {
			t.Errorf("%+v from %d: %v", c.rate, c.start, !c.want)
		}
	}
}

// TestAnew: tiers start anew for all rates that follow in the same currency and package.
func TestAnew(t *testing.T) {
	rate := func(id string, start int64, currency, pkg string, restart bool) *Rate {
		return &Rate{ID: id, Start: start, Currency: currency, Package: pkg, TiersRestart: restart}
	}
	rates := []*Rate{
		rate("e", 50, "EUR", "", false), rate("a", Always, "EUR", "", false), rate("b", 20, "EUR", "", true), rate("c", 30, "EUR", "", false),
		rate("d", 40, "EUR", "", true), rate("other money", 35, "USD", "", false), rate("other package", 35, "EUR", "k", false),
	}
	order(rates)
	got := ""
	for _, r := range rates {
		if r.Anew {
			got += fmt.Sprintf("%s since %d; ", r.ID, r.AnewSince)
		}
	}
	if want := "b since 20; c since 20; d since 40; e since 40; "; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
