package price

import (
	"errors"
	"math"
	"testing"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// TestWithout: what a line used is taken out of its pool again; of the largest quantity only where it is another's.
func TestWithout(t *testing.T) {
	s := func(events int64, sum, peak string) State {
		return State{Events: events, Sum: dec(sum), Peak: dec(peak)}
	}
	for _, c := range []struct {
		name      string
		all, part State
		left      State
		known     bool
	}{
		{"a sum", s(5, "12", "0"), s(2, "4.5", "0"), s(3, "7.5", "0"), true},
		{"below nothing", s(3, "1", "0"), s(1, "4", "0"), s(2, "-3", "0"), true},
		{"everything", s(2, "4", "9"), s(2, "4", "9"), State{}, true},
		{"nothing", s(2, "4", "9"), s(0, "0", "0"), s(2, "4", "9"), true},
		{"a smaller quantity", s(3, "0", "9"), s(1, "0", "8"), s(2, "0", "9"), true},
		{"the largest quantity", s(3, "0", "9"), s(1, "0", "9"), s(2, "0", "9"), false},
		{"no quantity is the largest", s(3, "5", "0"), s(1, "1", "0"), s(2, "4", "0"), true},
	} {
		left, known, err := Without(&c.all, &c.part)
		if err != nil || left != c.left || known != c.known {
			t.Errorf("%s: %+v, %v, %v; want %+v, %v", c.name, left, known, err, c.left, c.known)
		}
	}
	largest := dec("170141183460469231731687303.715884105727")
	all, part := State{Events: 2, Sum: largest.Neg()}, State{Events: 1, Sum: largest}
	if _, _, err := Without(&all, &part); !errors.Is(err, money.ErrOverflow) {
		t.Errorf("an overflow: %v", err)
	}
}

// TestCapacityPoolLimitsAndCurrencies: a maximum holds for all that a capacity comes to, and another currency is converted behind it; a
// capacity that ends when another begins is before it, also where they have no product in common.
func TestCapacityPoolLimitsAndCurrencies(t *testing.T) {
	rate := func(change func(r *catalog.Rate)) *catalog.Rate {
		r := capacityRate()
		r.Start, r.End = catalog.Always, catalog.Never
		change(r)
		return r
	}
	capped := rate(func(r *catalog.Rate) { r.Maximum = dec("25") })
	at := rate(func(r *catalog.Rate) { r.Maximum = dec("20") })
	foreign := func(product, quantity, rate string, r *catalog.Rate) Segment {
		s := usedUnder(r, product, quantity)
		s.Exchange = money.Exchange{Rate: dec(rate)}
		return s
	}
	old := rate(func(r *catalog.Rate) { r.ID, r.End = "a", 50 })
	seats := rate(func(r *catalog.Rate) {
		r.ID, r.Start, r.Capacity = "b", 50, []catalog.CapacityTier{{Price: dec("5"), Limits: []catalog.Limit{{Product: "seats", Most: dec("3")}}}, {Price: dec("9")}}
	})
	for _, c := range []struct {
		name     string
		segments []Segment
		want     string
	}{
		{"below the maximum", []Segment{usedUnder(capped, "storage", "150")}, "20"},
		{"above the maximum", []Segment{usedUnder(capped, "storage", "300")}, "25"},
		{"at the maximum", []Segment{usedUnder(at, "storage", "150")}, "20"},
		{"in another currency", []Segment{foreign("storage", "300", "0.5", rate(func(*catalog.Rate) {}))}, "15"},
		{"the maximum, in another currency", []Segment{foreign("storage", "300", "1.1", capped)}, "27.5"},
		// 20 under the first; all of it under the second, where storage has no limit, costs 5, of which as much would have been due before.
		{"the next has other products", []Segment{usedUnder(old, "storage", "150"), usedUnder(seats, "seats", "1")}, "20"},
		{"the next has other products, more of them", []Segment{usedUnder(old, "storage", "150"), usedUnder(seats, "seats", "4")}, "24"},
	} {
		if got, err := PoolTotal(c.segments); err != nil || got != dec(c.want) {
			t.Errorf("%s: %s, %v; want %s", c.name, got, err, c.want)
		}
	}
	if _, err := PoolTotal([]Segment{foreign("storage", "1", "1e26", rate(func(r *catalog.Rate) { r.Capacity[0].Price = dec("1e15") }))}); !errors.Is(err, money.ErrOverflow) {
		t.Errorf("an amount that no currency has: %v", err)
	}
	if _, err := PoolTotal([]Segment{usedUnder(rate(func(r *catalog.Rate) { r.Capacity = nil }), "storage", "1")}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("without tiers: %v", err)
	}
}

// TestSegmentsInAnotherCurrency: the total is converted, an error is not.
func TestSegmentsInAnotherCurrency(t *testing.T) {
	r := parseRate(t, "per_unit", "", "2")
	line := func(quantity, rate string) []Segment {
		return []Segment{{Rate: r, State: State{Sum: dec(quantity), Events: 1}, Exchange: money.Exchange{Rate: dec(rate)}}}
	}
	for rate, want := range map[string]string{"0": "6", "1": "6", "1.5": "9", "0.000000000001": "0.000000000006"} {
		if got, err := LineTotal(line("3", rate)); err != nil || got != dec(want) {
			t.Errorf("at %s: %s, %v; want %s", rate, got, err, want)
		}
	}
	if got, err := LineTotal(line("1e14", "1e14")); !errors.Is(err, money.ErrOverflow) {
		t.Errorf("too much: %s, %v", got, err)
	}
	bad := []Segment{{Rate: &catalog.Rate{Model: "none"}, State: State{Sum: dec("1"), Events: 1}, Exchange: money.Exchange{Rate: dec("2")}}}
	if got, err := LineTotal(bad); !errors.Is(err, ErrUnsupported) || got != (money.Decimal{}) {
		t.Errorf("an unknown model: %s, %v", got, err)
	}
}

// TestLevelsAreKeptApart: a level with the event's memory is not the event's, one that comes first stands first, and at the same moment the same.
func TestLevelsAreKeptApart(t *testing.T) {
	period := catalog.Period{Start: 0, End: 10 * hour}
	memory := []byte("id-1")
	id := string(memory)
	s, err := Aggregate(levelRate, State{}, Input{ID: id, Quantity: dec("4"), Time: 5 * hour, Period: period})
	if err != nil {
		t.Fatal(err)
	}
	kept := s.Rest.Levels()[0].ID
	if kept != id || &[]byte(kept)[0] == &memory[0] {
		t.Errorf("%q is not the event's name", kept)
	}
	for _, at := range []int64{3, 1, 2, 2} {
		if s, err = Aggregate(levelRate, s, Input{ID: "x", Quantity: dec("1"), Time: at * hour, Period: period}); err != nil {
			t.Fatal(err)
		}
	}
	if all := s.Rest.Levels(); !InOrder(all) || len(all) != 5 || s.Events != 5 {
		t.Errorf("%+v", all)
	}
	// 1 from the first hour to the fifth, 4 behind: (4 + 20) / 10
	if q, err := Quantity(levelRate, s); err != nil || q != dec("2.4") {
		t.Errorf("%s, %v", q, err)
	}
	other := State{Events: math.MaxInt64 - 4, At: s.At, Rest: RestOfLevels(nil)}
	if _, err := Merge(s, other); !errors.Is(err, money.ErrOverflow) {
		t.Errorf("more events than there are numbers: %v", err)
	}
	other.Events--
	if merged, err := Merge(s, other); err != nil || merged.Events != math.MaxInt64 {
		t.Errorf("as many events as there are numbers: %d, %v", merged.Events, err)
	}
}

// TestValuesAreMerged: only of one set, as the newer state knows it, and with as many events as there are numbers.
func TestValuesAreMerged(t *testing.T) {
	if !CountsValues(users) || CountsValues(levelRate) {
		t.Error("who counts values")
	}
	var set, otherSet Values
	add := func(set *Values, s State, value string) State {
		t.Helper()
		after, err := Aggregate(users, s, Input{Quantity: money.One, Value: set.See(value)})
		if err != nil {
			t.Fatal(err)
		}
		set.Take(value, after)
		return after
	}
	a := add(&set, State{}, "u1")
	b := add(&set, add(&set, State{}, "u1"), "u2")
	for _, pair := range [][2]State{{a, b}, {b, a}} {
		got, err := Merge(pair[0], pair[1])
		if err != nil {
			t.Fatal(err)
		}
		if q, err := Quantity(users, got); err != nil || q != dec("2") || got.Events != 3 {
			t.Errorf("%s values of %d events, %v", q, got.Events, err)
		}
	}
	c := add(&otherSet, State{}, "u1")
	u, place := c.Rest.UniqueOf()
	stranger := *u
	stranger.Set[0]++
	c.Rest = RestOfUnique(&stranger, place)
	if _, err := Merge(a, c); !errors.Is(err, errOtherSet) {
		t.Errorf("of another set: %v", err)
	}
	if _, err := Merge(a, State{Events: 1}); !errors.Is(err, errOtherSet) {
		t.Errorf("of no values: %v", err)
	}
	if _, err := Merge(State{Events: 1}, a); !errors.Is(err, errOtherSet) {
		t.Errorf("into no values: %v", err)
	}
	many := a
	many.Events = math.MaxInt64 - b.Events
	if got, err := Merge(many, b); err != nil || got.Events != math.MaxInt64 {
		t.Errorf("as many events as there are numbers: %d, %v", got.Events, err)
	}
	many.Events++
	if _, err := Merge(many, b); !errors.Is(err, money.ErrOverflow) {
		t.Errorf("more events than there are numbers: %v", err)
	}
}

// TestStandingOfAnotherPrice: two prices may begin at the same time, and one price be written anew at another.
func TestStandingOfAnotherPrice(t *testing.T) {
	first := parseRate(t, "graduated", "", "100:0.10+0 *:0.05+0")
	first.ID, first.Start = "a", 5
	second := *first
	second.ID, second.TiersRestart = "b", true
	later := second
	later.Start = 9
	segments := []Segment{{Rate: first, State: State{Sum: dec("150"), Events: 1}}, {Rate: &second, State: State{Sum: dec("7"), Events: 1}}, {Rate: &later, State: State{Sum: dec("1"), Events: 1}}}
	for _, c := range []struct {
		rate       *catalog.Rate
		used, tier string
	}{{first, "150", "tier 2: above 100"}, {&second, "7", "tier 1: up to 100"}, {&later, "1", "tier 1: up to 100"}} {
		if used, tier, err := Standing(segments, c.rate, ""); err != nil || used != dec(c.used) || tier != c.tier {
			t.Errorf("%s of %d: %s in %q, %v; want %s in %q", c.rate.ID, c.rate.Start, used, tier, err, c.used, c.tier)
		}
	}
	broken := *first
	broken.Aggregation = "none"
	if used, tier, err := Standing([]Segment{{Rate: &broken, State: State{Sum: dec("1"), Events: 1}}}, &broken, ""); err == nil {
		t.Errorf("an unknown aggregation: %s in %q", used, tier)
	}
}

// TestCapacityNotes: what was used together is said for each product.
func TestCapacityNotes(t *testing.T) {
	r := capacityRate()
	segments := []Segment{usedUnder(r, "storage", "60"), usedUnder(r, "transfer", "1001")}
	e := Explain(segments)
	if len(e.Segments) != 1 || e.Segments[0].Note != "used together: 60 of storage, 1001 of transfer" || e.Amount != dec("20") || e.Segments[0].RateID != "c" {
		t.Errorf("%+v", e)
	}
	if e := Explain([]Segment{usedUnder(&catalog.Rate{Model: catalog.ModelCapacity}, "storage", "1")}); !errors.Is(e.Err, ErrUnsupported) {
		t.Errorf("without tiers: %+v", e)
	}
}
