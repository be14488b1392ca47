package price

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

var levelRate = &catalog.Rate{Model: catalog.ModelPerUnit, UnitPrice: dec("2"), Aggregation: catalog.AggregationTimeWeighted, AbsoluteLevel: true}

func atLevel(t testing.TB, s State, u use) State {
	t.Helper()
	s, err := Aggregate(levelRate, s, Input{Quantity: dec(u.quantity), Time: 100*hour + u.at*hour, ID: u.id, Period: catalog.Period{Start: 100 * hour, End: 110 * hour}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestCarriedOver: a level that was there before costs what it comes to without an event, and like any usage where there are some; none costs nothing.
func TestCarriedOver(t *testing.T) {
	period := catalog.Period{Start: 100 * hour, End: 110 * hour}
	change := &catalog.Rate{Model: catalog.ModelGraduated, Tiers: []catalog.Tier{{UpTo: dec("6"), UnitPrice: dec("2"), FlatPrice: dec("1")}, {UnitPrice: dec("1"), Last: true}}, Aggregation: catalog.AggregationTimeWeighted}
	for _, c := range []struct {
		rate  *catalog.Rate
		level string
		more  string // in the middle
		want  string
	}{
		{levelRate, "4", "", "8"},
		{levelRate, "-4", "", "-8"},
		{levelRate, "0", "", "0"},
		{levelRate, "4", "10", "14"}, // 4 for one half, 10 for the other
		{change, "10", "", "17"},     // 6 at 2, 4 at 1, the flat price
		{change, "10", "-8", "13"},   // 6 on average
		{change, "0", "", "0"},
		{change, "1000000000000000", "", "1000000000000007"},
	} {
		s, err := CarriedOver(dec(c.level), period)
		if err != nil {
			t.Fatal(err)
		}
		if c.more != "" {
			used, err := Aggregate(c.rate, State{}, Input{Quantity: dec(c.more), Time: 105 * hour, Period: period, Carried: dec(c.level)})
			if err != nil {
				t.Fatal(err)
			}
			if s, err = Merge(s, used); err != nil {
				t.Fatal(err)
			}
			if again, err := Aggregate(c.rate, mustCarry(t, c.level, period), Input{Quantity: dec(c.more), Time: 105 * hour, Period: period, Carried: dec(c.level)}); err != nil || !reflect.DeepEqual(again, s) {
				t.Errorf("%s and %s: merged %+v, added up %+v, %v", c.level, c.more, s, again, err)
			}
		}
		if got, err := Total(c.rate, s); err != nil || got != dec(c.want) {
			t.Errorf("%s and %s under %s: %s, %v, want %s", c.level, c.more, c.rate.Model, got, err, c.want)
		}
	}
	if _, err := CarriedOver(dec("1"), catalog.Period{Start: 0, End: catalog.Never}); !errors.Is(err, ErrNoPeriod) {
		t.Errorf("a period without an end: %v", err)
	}
}

func mustCarry(t *testing.T, level string, period catalog.Period) State {
	t.Helper()
	s, err := CarriedOver(dec(level), period)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestLevels: averages of 10 hours, each in many orders of arrival, added up event by event and in two halves.
func TestLevels(t *testing.T) {
	for _, c := range []struct {
		name string
		uses []use
		want string
	}{
		{"from the start", []use{{"4", 0, "a"}}, "4"},
		{"from the middle", []use{{"4", 5, "a"}}, "2"},
		// 4 for 3 hours, 10 for 2, 1 for 5: (12 + 20 + 5) / 10
		{"up and down", []use{{"4", 0, "a"}, {"10", 3, "b"}, {"1", 5, "c"}}, "3.7"},
		{"the same again", []use{{"4", 0, "a"}, {"4", 3, "b"}, {"4", 5, "c"}}, "4"},
		{"to nothing", []use{{"4", 0, "a"}, {"0", 5, "b"}}, "2"},
		{"at once: the larger id", []use{{"4", 5, "b"}, {"9", 5, "a"}, {"1", 5, "B"}}, "2"},
		{"at once, of one id from two sources: the higher", []use{{"4", 5, "a"}, {"9", 5, "a"}}, "4.5"},
		// −3 for 1 hour, 6 for 4: (−3 + 24) / 10
		{"below zero", []use{{"-3", 5, "a"}, {"6", 6, "b"}}, "2.1"},
		// 1 for 1, 2 for 2, 3 for 3, 4 for 4 hours
		{"steps", []use{{"1", 0, "a"}, {"2", 1, "b"}, {"3", 3, "c"}, {"4", 6, "d"}}, "3"},
	} {
		for seed := range uint64(20) {
			random := rand.New(rand.NewPCG(seed, 1))
			var whole State
			var halves [2]State
			for _, i := range random.Perm(len(c.uses)) {
				whole = atLevel(t, whole, c.uses[i])
				half := random.IntN(2)
				halves[half] = atLevel(t, halves[half], c.uses[i])
			}
			joined, err := Merge(halves[0], halves[1])
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range []State{whole, joined} {
				if got, err := Quantity(levelRate, s); err != nil || got != dec(c.want) || s.Events != int64(len(c.uses)) {
					t.Fatalf("%s, seed %d: %s of %d events, %v; want %s", c.name, seed, got, s.Events, err, c.want)
				}
			}
			if !reflect.DeepEqual(whole.Rest.Levels(), joined.Rest.Levels()) || whole.Sum != joined.Sum || whole.Exact != joined.Exact || whole.At != joined.At {
				t.Fatalf("%s, seed %d: %+v, in halves %+v", c.name, seed, whole, joined)
			}
		}
	}
}

// TestLevelsOfTwoFutures: two states that came from one do not see each other's levels.
func TestLevelsOfTwoFutures(t *testing.T) {
	var s State
	for i := range int64(5) {
		s = atLevel(t, s, use{"1", i, "a"})
	}
	first, second := atLevel(t, s, use{"7", 8, "b"}), atLevel(t, s, use{"9", 9, "c"})
	third := atLevel(t, first, use{"0", 9, "d"})
	for _, c := range []struct {
		state State
		want  string // 8 or 9 hours at 1, then
	}{{s, "1"}, {first, "2.2"}, {second, "1.8"}, {third, "1.5"}} {
		if got, err := Quantity(levelRate, c.state); err != nil || got != dec(c.want) {
			t.Errorf("%s, %v; want %s: %+v", got, err, c.want, c.state.Rest.Levels())
		}
	}
}

func TestLevelsRefuse(t *testing.T) {
	largest := dec("170141183460469231731687303.715884105727")
	period := catalog.Period{Start: 0, End: 10 * hour}
	full := State{Events: 1, Sum: largest, At: period.End, Rest: RestOfLevels([]Level{{Value: largest}})}
	for name, c := range map[string]struct {
		from State
		in   Input
		want error
	}{
		"no period": {State{}, Input{Quantity: dec("1")}, ErrNoPeriod},
		"a step":    {full, Input{Quantity: dec("-1"), Time: hour, Period: period}, money.ErrOverflow},
	} {
		if got, err := Aggregate(levelRate, c.from, c.in); !errors.Is(err, c.want) || got != (State{}) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	change := &catalog.Rate{Aggregation: catalog.AggregationTimeWeighted}
	if SameKind(levelRate, change) || Shape(levelRate) == Shape(change) {
		t.Error("levels and changes are not of one kind")
	}
}

// BenchmarkLevels adds a level to so many, the latest of all, as mostly comes.
func BenchmarkLevels(b *testing.B) {
	in := Input{Quantity: dec("3"), ID: "event-0123456789", Period: benchPeriod}
	b.ReportAllocs()
	var s State
	for i := 0; b.Loop(); i++ {
		if i%10_000 == 0 {
			s = State{}
		}
		in.Time = benchPeriod.Start + int64(i%10_000)*1e9
		var err error
		if s, err = Aggregate(levelRate, s, in); err == nil {
			_, err = Total(levelRate, s)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
