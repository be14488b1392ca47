package price

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// sameState compares what states say.
func sameState(a, b State) bool {
	rest := a.Rest.hasDays() == b.Rest.hasDays()
	if rest && a.Rest.hasDays() {
		rest = a.Rest.Length == b.Rest.Length && slices.Equal(a.Rest.Days, b.Rest.Days)
	}
	a.Rest, b.Rest = nil, nil
	return rest && a == b
}

// TestMergeLaws: for every kind of state Merge is commutative and associative, no events change nothing, and Aggregate is Merge with the
// state of one event, but where an event is charged by what was before it.
func TestMergeLaws(t *testing.T) {
	kinds := map[string]*catalog.Rate{
		"sum":           {Model: catalog.ModelGraduated, Tiers: parseTiers("5:2+1 *:1+0")},
		"rounded":       {Model: catalog.ModelPerUnit, Rounding: catalog.Rounding{Mode: money.RoundCeil, PerEvent: true}},
		"count":         {Model: catalog.ModelFlat, Aggregation: catalog.AggregationCount},
		"max":           {Model: catalog.ModelPerUnit, Aggregation: catalog.AggregationMax},
		"latest":        {Model: catalog.ModelPerUnit, Aggregation: catalog.AggregationLatest},
		"time_weighted": {Model: catalog.ModelPerUnit, Aggregation: catalog.AggregationTimeWeighted},
		"money":         {Model: catalog.ModelDynamic},
		"days":          {Model: catalog.ModelVolume, ProrateByDay: true, Tiers: parseTiers("5:2+1 *:1+0")},
		"whole events":  {Model: catalog.ModelGraduated, WholeEvents: true, Tiers: parseTiers("5:2+1 *:1+0")},
		"allowances":    {Model: catalog.ModelPercentage, Percentage: &catalog.Percentage{Rate: money.One, FreeAmount: dec("9"), FreeEvents: 2}},
	}
	for name, r := range kinds {
		t.Run(name, rapid.MakeCheck(func(t *rapid.T) {
			inputs := func(label string) (list []Input) {
				for i := range rapid.IntRange(0, 4).Draw(t, label) {
					q := anyDecimal(9, aggregationOf(r).takesNegative).Draw(t, "quantity")
					list = append(list, Input{
						Quantity: q, Money: q, HasMoney: true, ID: fmt.Sprint("e", rapid.IntRange(0, 3).Draw(t, "id"), i), Time: april(rapid.IntRange(1, 30).Draw(t, "day")),
						Period: inApril, Zone: oracleZone,
					})
				}
				return list
			}
			state := func(list []Input) (s State) {
				for _, in := range list {
					var err error
					if s, err = Aggregate(r, s, in); err != nil {
						t.Fatal(err)
					}
				}
				return s
			}
			merge := func(a, b State) State {
				s, err := Merge(a, b)
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			x, y := inputs("events"), inputs("others")
			a, b, c := state(x), state(y), state(inputs("more"))
			if one, other := merge(a, b), merge(b, a); !sameState(one, other) {
				t.Fatalf("a and b %+v, b and a %+v", one, other)
			}
			if left, right := merge(merge(a, b), c), merge(a, merge(b, c)); !sameState(left, right) {
				t.Fatalf("a and b, then c %+v; a, then b and c %+v", left, right)
			}
			if !sameState(merge(a, State{}), a) || !sameState(merge(State{}, a), a) {
				t.Fatalf("no events change %+v", a)
			}
			if all := state(slices.Concat(x, y)); !InLogOrder(r) && !sameState(all, merge(a, b)) {
				t.Fatalf("together %+v, apart %+v", all, merge(a, b))
			}
		}))
	}
}
