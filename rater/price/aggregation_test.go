package price

import (
	"errors"
	"math"
	"testing"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

const hour = int64(3600e9)

// use is an event: its quantity, when, in hours since the period's start, and its id.
type use struct {
	quantity string
	at       int64
	id       string
}

func TestAggregations(t *testing.T) {
	for _, c := range []struct {
		name        string
		aggregation catalog.Aggregation
		hours       int64 // of the period
		uses        []use
		want        string
	}{
		{"the largest", catalog.AggregationMax, 10, []use{{"3", 0, ""}, {"7.5", 1, ""}, {"7", 2, ""}}, "7.5"},
		{"the largest is nothing", catalog.AggregationMax, 10, []use{{"0", 0, ""}}, "0"},
		{"the latest arrives first", catalog.AggregationLatest, 10, []use{{"3", 5, "a"}, {"7", 2, "z"}, {"1", 4, "z"}}, "3"},
		{"the latest arrives last", catalog.AggregationLatest, 10, []use{{"7", 2, "z"}, {"0", 5, "a"}}, "0"},
		{"the same time: the larger id", catalog.AggregationLatest, 10, []use{{"3", 5, "b"}, {"7", 5, "a"}, {"4", 5, "ba"}, {"9", 5, "B"}}, "4"},
		{"before 1970", catalog.AggregationLatest, 10, []use{{"3", -9, "a"}, {"7", -8, "a"}}, "7"},
		{"the same time and id, from two sources: the larger", catalog.AggregationLatest, 10, []use{{"7", 5, "a"}, {"3", 5, "a"}}, "7"},
		// 4 for all of 10 hours.
		{"a level from the start", catalog.AggregationTimeWeighted, 10, []use{{"4", 0, ""}}, "4"},
		// 4 for 5 of 10 hours.
		{"a level from the middle", catalog.AggregationTimeWeighted, 10, []use{{"4", 5, ""}}, "2"},
		// 4 for 3 hours, 10 for 2, 1 for 5: (12 + 20 + 5) / 10.
		{"up and down", catalog.AggregationTimeWeighted, 10, []use{{"4", 0, ""}, {"6", 3, ""}, {"-9", 5, ""}}, "3.7"},
		{"in another order", catalog.AggregationTimeWeighted, 10, []use{{"-9", 5, ""}, {"4", 0, ""}, {"6", 3, ""}}, "3.7"},
		{"two changes at once", catalog.AggregationTimeWeighted, 10, []use{{"4", 5, ""}, {"-4", 5, ""}}, "0"},
		// 1 for 1 of 3 hours, 2 for 2 of 3.
		{"a third", catalog.AggregationTimeWeighted, 3, []use{{"1", 2, ""}}, "0.333333333333"},
		{"two thirds round up", catalog.AggregationTimeWeighted, 3, []use{{"1", 1, ""}}, "0.666666666667"},
		{"below zero", catalog.AggregationTimeWeighted, 3, []use{{"-1", 1, ""}}, "-0.666666666667"},
		{"half of the 12th decimal", catalog.AggregationTimeWeighted, 2, []use{{"0.000000000001", 1, ""}}, "0.000000000001"},
	} {
		r := &catalog.Rate{Model: catalog.ModelPerUnit, UnitPrice: dec("2"), Aggregation: c.aggregation}
		var s State
		for _, u := range c.uses {
			var err error
			in := Input{Quantity: dec(u.quantity), Time: u.at * hour, ID: u.id, Period: catalog.Period{End: c.hours * hour}}
			if s, err = Aggregate(r, s, in); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
		}
		q, err := Quantity(r, s)
		if err != nil || q != dec(c.want) {
			t.Errorf("%s: %s, %v; want %s", c.name, q, err, c.want)
		}
		want, _ := dec(c.want).Mul(dec("2"))
		if got, err := Total(r, s); err != nil || got != want || s.Events != int64(len(c.uses)) {
			t.Errorf("%s: costs %s, %v; want %s", c.name, got, err, want)
		}
	}
}

func TestAggregationsRefuse(t *testing.T) {
	period := catalog.Period{Start: 0, End: 10 * hour}
	largest := dec("170141183460469231731687303.715884105727")
	for _, c := range []struct {
		name        string
		aggregation catalog.Aggregation
		from        State
		in          Input
		want        error
	}{
		{"max of a negative quantity", catalog.AggregationMax, State{}, Input{Quantity: dec("-1")}, ErrNegativeQuantity},
		{"latest of a negative quantity", catalog.AggregationLatest, State{}, Input{Quantity: dec("-1")}, ErrNegativeQuantity},
		{"too many events", catalog.AggregationMax, State{Events: math.MaxInt64}, Input{Quantity: dec("1")}, money.ErrOverflow},
		{"no period", catalog.AggregationTimeWeighted, State{}, Input{Quantity: dec("1")}, ErrNoPeriod},
		{"an unbounded period", catalog.AggregationTimeWeighted, State{}, Input{Quantity: dec("1"), Period: catalog.Period{Start: catalog.Always, End: catalog.Never}}, ErrNoPeriod},
		{"a period without an end", catalog.AggregationTimeWeighted, State{}, Input{Quantity: dec("1"), Period: catalog.Period{End: catalog.Never}}, ErrNoPeriod},
		{"the level overflows", catalog.AggregationTimeWeighted, State{Sum: largest, Events: 1}, Input{Quantity: dec("1"), Period: period}, money.ErrOverflow},
	} {
		r := &catalog.Rate{Model: catalog.ModelPerUnit, UnitPrice: dec("2"), Aggregation: c.aggregation}
		if got, err := Aggregate(r, c.from, c.in); !errors.Is(err, c.want) || got != (State{}) {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
}

// TestLevelWithoutPeriod: sums of another rate that was redefined count as a level of the whole period.
func TestLevelWithoutPeriod(t *testing.T) {
	r := &catalog.Rate{Model: catalog.ModelPerUnit, UnitPrice: dec("2"), Aggregation: catalog.AggregationTimeWeighted}
	if got, err := Total(r, State{Sum: dec("3"), Events: 1}); err != nil || got != dec("6") {
		t.Errorf("%s, %v", got, err)
	}
}

// TestKindsContinue: tiers continue among segments whose states are of one kind, over segments of another.
func TestKindsContinue(t *testing.T) {
	rate := func(id string, aggregation catalog.Aggregation) *catalog.Rate {
		r := graduatedRate(id, "10:1+0 *:0.5+0")
		r.Aggregation = aggregation
		return r
	}
	sum, count, largest, other := rate("a", "sum"), rate("b", "count"), rate("c", "max"), rate("d", "max")
	restarting := rate("e", "max")
	restarting.TiersRestart = true
	percent := &catalog.Rate{ID: "f", Model: catalog.ModelGraduatedPercentage, Tiers: parseTiers("10:100+0 *:50+0")}
	dynamic := &catalog.Rate{ID: "g", Model: catalog.ModelDynamic}
	used := func(r *catalog.Rate, sum string, events int64, peak string) Segment {
		return Segment{Rate: r, State: State{Sum: dec(sum), Events: events, Peak: dec(peak)}}
	}
	for _, c := range []struct {
		name string
		line []Segment
		want string
	}{
		// 8 events at 1; then the sum of 16 less that of 8, from the tenth on at 0.5.
		{"count, then sum", []Segment{used(count, "8", 8, "0"), used(sum, "8", 1, "0")}, "13"},
		{"sum, then max anew", []Segment{used(sum, "8", 1, "0"), used(largest, "0", 1, "8")}, "16"},
		// The largest of both is 12: 10 + 1, of which 8 are priced.
		{"max, then max", []Segment{used(largest, "0", 1, "8"), used(other, "0", 1, "12")}, "11"},
		{"max, then a lower max", []Segment{used(largest, "0", 1, "8"), used(other, "0", 1, "7")}, "8"},
		// 8 at 1, the maximum of 5 anew, then from 8 to 16: 2 + 3.
		{"sum, max, sum", []Segment{used(sum, "8", 1, "0"), used(largest, "0", 1, "5"), used(sum, "8", 1, "0")}, "18"},
		{"a restart of another kind between", []Segment{used(sum, "8", 1, "0"), used(restarting, "0", 1, "5"), used(sum, "8", 1, "0")}, "21"},
		{"an amount, then percent of both", []Segment{used(dynamic, "8", 1, "0"), used(percent, "8", 1, "0")}, "13"},
		{"a quantity, then percent anew", []Segment{used(sum, "8", 1, "0"), used(percent, "8", 1, "0")}, "16"},
	} {
		if got, err := LineTotal(c.line); err != nil || got != dec(c.want) {
			t.Errorf("%s: %s, %v; want %s", c.name, got, err, c.want)
		}
		if e := Explain(c.line); e.Err != nil || e.Amount != dec(c.want) {
			t.Errorf("%s: explained as %s, %v", c.name, e.Equation, e.Err)
		}
	}
	if !SameKind(sum, count) || SameKind(sum, largest) || SameKind(sum, dynamic) || !SameKind(percent, dynamic) {
		t.Error("kinds")
	}
}
