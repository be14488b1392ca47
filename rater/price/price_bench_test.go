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
}

func BenchmarkTotal(b *testing.B) {
	for _, model := range benchModels {
		b.Run(string(model), func(b *testing.B) {
			r, s := benchRate(model), State{Sum: money.MustParse("12345.678"), Events: 77}
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
	plain, telecom := benchRate(catalog.ModelPerUnit), benchRate(catalog.ModelPerUnit)
	telecom.Rounding = catalog.Rounding{First: money.FromInt(60), Next: money.One}
	for name, r := range map[string]*catalog.Rate{"sum": plain, "increments": telecom} {
		b.Run(name, func(b *testing.B) {
			s, in := State{}, Input{Quantity: money.MustParse("61.5")}
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
