package price

import (
	"testing"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// benchRate has three tiers, all of which the benchmarks' quantity reaches.
func benchRate(model catalog.Model) *catalog.Rate {
	d := money.MustParse
	return &catalog.Rate{
		ID: "bench", Model: model, Aggregation: catalog.AggregationSum,
		Amount: d("12.5"), UnitPrice: d("0.037"), Size: d("100"), Price: d("2.95"), Free: d("50"),
		Tiers: []catalog.Tier{
			{UpTo: d("100"), UnitPrice: d("0.10"), FlatPrice: d("1")},
			{UpTo: d("1000"), UnitPrice: d("0.05"), FlatPrice: d("2")},
			{Last: true, UnitPrice: d("0.025"), FlatPrice: d("3")},
		},
		Percentage: &catalog.Percentage{Rate: d("2.9"), Fixed: d("0.3")},
		Blocks: []catalog.Block{
			{Size: d("10"), Count: d("10"), UpTo: d("100"), Price: d("1")},
			{Size: d("100"), Count: d("9"), UpTo: d("1000"), Price: d("7")},
			{Size: d("500"), Price: d("25"), Last: true},
		},
	}
}

var benchModels = []catalog.Model{
	catalog.ModelFlat, catalog.ModelPerUnit, catalog.ModelGraduated, catalog.ModelVolume, catalog.ModelPackage,
	catalog.ModelBlockGraduated, catalog.ModelBlockVolume,
	catalog.ModelPercentage, catalog.ModelGraduatedPercentage, catalog.ModelDynamic,
}

// benchPeriod is a month.
var benchPeriod = catalog.Period{Start: 1790805600e9, End: 1793487600e9}

// benchRates gives a rate of every method and aggregation, by name.
func benchRates() map[string]*catalog.Rate {
	d := money.MustParse
	rates := map[string]*catalog.Rate{}
	for _, model := range benchModels {
		rates[string(model)] = benchRate(model)
	}
	for _, a := range []catalog.Aggregation{catalog.AggregationCount, catalog.AggregationMax, catalog.AggregationLatest, catalog.AggregationTimeWeighted} {
		r := benchRate(catalog.ModelPerUnit)
		r.Aggregation = a
		rates[string(a)] = r
	}
	telecom, whole, bounded := benchRate(catalog.ModelPerUnit), benchRate(catalog.ModelGraduated), benchRate(catalog.ModelPercentage)
	telecom.Rounding = catalog.Rounding{First: money.FromInt(60), Next: money.One}
	whole.WholeEvents = true
	bounded.Percentage = &catalog.Percentage{
		Rate: d("2.9"), Fixed: d("0.3"), FreeEvents: 1000, FreeAmount: d("5000"), Min: d("0.5"), HasMin: true, Max: d("20"), HasMax: true,
	}
	rates["increments"], rates["split false"], rates["percentage bounded"] = telecom, whole, bounded
	return rates
}

func BenchmarkTotal(b *testing.B) {
	for name, r := range benchRates() {
		b.Run(name, func(b *testing.B) {
			s := State{Sum: money.MustParse("12345.678"), Events: 77, At: benchPeriod.End - benchPeriod.Start}
			s.Exact.AddProduct(s.Sum, money.FromInt(1e15))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Total(r, s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAggregate(b *testing.B) {
	for name, r := range benchRates() {
		b.Run(name, func(b *testing.B) {
			s, before := State{}, State{Sum: money.MustParse("12345.678"), Events: 77}
			in := Input{Quantity: money.MustParse("61.5"), HasMoney: true, Money: money.MustParse("61.5"), Period: benchPeriod, Time: benchPeriod.Start + 1e12}
			if InLogOrder(r) {
				in.Before = &before
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Aggregate(r, s, in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkLineTotal(b *testing.B) {
	first, second := benchRate(catalog.ModelGraduated), benchRate(catalog.ModelGraduated)
	second.ID, second.Start = "second", 1
	s := State{Sum: money.MustParse("12345.678"), Events: 77}
	for name, line := range map[string][]Segment{
		"one segment": {{Rate: first, State: s}}, "two segments": {{Rate: first, State: s}, {Rate: second, State: s}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := LineTotal(line); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
