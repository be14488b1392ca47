package price

import (
	"testing"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

func TestAddsUp(t *testing.T) {
	d := money.MustParse
	tiers := []catalog.Tier{{UpTo: d("10"), UnitPrice: d("2"), FlatPrice: d("5")}, {Last: true, UnitPrice: d("1")}}
	perUnit := catalog.Rate{Model: catalog.ModelPerUnit, UnitPrice: d("2")}
	with := func(r catalog.Rate, change func(*catalog.Rate)) *catalog.Rate {
		change(&r)
		return &r
	}
	rounded := func(places int, perEvent bool) *catalog.Rate {
		return with(perUnit, func(r *catalog.Rate) {
			r.Rounding = catalog.Rounding{Mode: money.RoundFloor, Precision: places, PerEvent: perEvent}
		})
	}
	for _, c := range []struct {
		name              string
		rate              *catalog.Rate
		lowest, magnitude string
		among             int64
		want              bool
	}{
		{"per unit", &perUnit, "-3", "1000", 5, true},
		{"a total of 10^20", &perUnit, "0", "5e19", 5, true},
		{"… and above", &perUnit, "0", "50000000000000000000.5", 5, false},
		{"beyond all bounds", with(perUnit, func(r *catalog.Rate) { r.UnitPrice = d("1e15") }), "0", "1e26", 5, false},
		{"rounded on the total", rounded(0, false), "0", "1000", 5, true},
		{"… up, past the bound", rounded(-20, false), "0", "1", 5, false}, // a magnitude of 10^20, twice
		{"rounded on each event", rounded(0, true), "0", "1000", 5, false},
		{"increments", with(perUnit, func(r *catalog.Rate) { r.Rounding.First, r.Rounding.Next = d("60"), d("1") }), "0", "1000", 5, false},
		{"counted", with(perUnit, func(r *catalog.Rate) { r.Aggregation = catalog.AggregationCount }), "0", "5e24", 5, true},
		{"counted, too many", with(perUnit, func(r *catalog.Rate) {
			r.Aggregation, r.UnitPrice = catalog.AggregationCount, d("1e12")
		}), "0", "1", 100_000_001, false},
		{"counted, one refused", with(perUnit, func(r *catalog.Rate) { r.Aggregation = catalog.AggregationCount }), "-0.000000000001", "10", 5, false},
		{"the largest", with(perUnit, func(r *catalog.Rate) { r.Aggregation = catalog.AggregationMax }), "0", "10", 5, false},
		{"an average", with(perUnit, func(r *catalog.Rate) { r.Aggregation = catalog.AggregationTimeWeighted }), "0", "10", 5, false},
		{"flat", &catalog.Rate{Model: catalog.ModelFlat, Amount: d("1e15")}, "0", "10", 5, true},
		{"graduated", &catalog.Rate{Model: catalog.ModelGraduated, Tiers: tiers}, "0", "10", 5, true},
		{"volume, each tier by itself", &catalog.Rate{Model: catalog.ModelVolume, Tiers: tiers}, "0", "4e19", 5, false},
		{"whole events", &catalog.Rate{Model: catalog.ModelGraduated, Tiers: tiers, WholeEvents: true}, "0", "10", 5, false},
		{"by day", &catalog.Rate{Model: catalog.ModelGraduated, Tiers: tiers, ProrateByDay: true}, "0", "10", 5, false},
		{"package", &catalog.Rate{Model: catalog.ModelPackage, Size: d("10"), Price: d("1")}, "0", "10", 5, true},
		{"packages of nearly nothing", &catalog.Rate{Model: catalog.ModelPackage, Size: d("0.000000000001"), Price: d("1000")}, "0", "1000000", 5, false},
		{"packages of nothing", &catalog.Rate{Model: catalog.ModelPackage, Price: d("1")}, "0", "10", 5, false},
		{"blocks", &catalog.Rate{Model: catalog.ModelBlockVolume, Blocks: []catalog.Block{{Size: d("1"), Price: d("1"), Last: true}}}, "0", "10", 5, true},
		{"blocks, too many", &catalog.Rate{Model: catalog.ModelBlockGraduated, Blocks: []catalog.Block{{Size: d("0.001"), Price: d("1"), Last: true}}}, "0", "1e18", 5, false},
		{"percentage", &catalog.Rate{Model: catalog.ModelPercentage, Percentage: &catalog.Percentage{Rate: d("1")}}, "0", "10", 5, false},
		{"a formula", &catalog.Rate{Model: catalog.ModelFormula}, "0", "10", 5, false},
		{"capacity", &catalog.Rate{Model: catalog.ModelCapacity}, "0", "10", 5, false},
	} {
		of := Together{Events: 1, Lowest: d(c.lowest), Among: c.among, Magnitude: d(c.magnitude)}
		if got := AddsUp(c.rate, of); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}

// TestManyAsOne: an input that stands for several events counts as so many.
func TestManyAsOne(t *testing.T) {
	r := &catalog.Rate{Model: catalog.ModelPerUnit, UnitPrice: money.One}
	s, err := Aggregate(r, State{Sum: money.FromInt(2), Events: 1}, Input{Quantity: money.FromInt(40), Events: 7})
	if err != nil || s.Sum != money.FromInt(42) || s.Events != 8 {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err = Aggregate(r, State{}, Input{Quantity: money.FromInt(40), Events: 7}); err != nil || s.Sum != money.FromInt(40) || s.Events != 7 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err = Aggregate(r, State{Events: 1<<63 - 5}, Input{Events: 7}); err != money.ErrOverflow { //nolint:errorlint // as it is
		t.Errorf("more events than can be counted: %v", err)
	}
}
