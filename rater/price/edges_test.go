package price

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// most is the largest decimal, about 1.7 × 10^26.
var most = dec("170141183460469231731687303.715884105727")

// TestMergeOfWhatFewNeed: each member that a kind of state uses comes through, from either side.
func TestMergeOfWhatFewNeed(t *testing.T) {
	exact := func(n int64) (w money.Wide) {
		w.AddProduct(money.FromInt(n), money.One)
		return w
	}
	days := func(left int64, units string) *Rest {
		return &Rest{Length: 30, Days: []Day{{Left: left, Units: dec(units)}}}
	}
	for _, c := range []struct {
		name       string
		a, b, want State
	}{
		{"charges and the highest position", State{Sum: dec("7"), Events: 1, Peak: dec("9"), Exact: exact(3)}, State{Sum: dec("1"), Events: 2, Peak: dec("12"), Exact: exact(4)},
			State{Sum: dec("8"), Events: 3, Peak: dec("12"), Exact: exact(7)}},
		{"charges on one side", State{Sum: dec("7"), Events: 1, Peak: dec("9"), Exact: exact(3)}, State{Sum: dec("1"), Events: 2},
			State{Sum: dec("8"), Events: 3, Peak: dec("9"), Exact: exact(3)}},
		{"the later of two", State{Events: 1, Peak: dec("9"), At: 5, ID: "a"}, State{Events: 1, Peak: dec("2"), At: 6, ID: "b"},
			State{Events: 2, Peak: dec("2"), At: 6, ID: "b"}},
		{"of one time and value, the id", State{Events: 1, Peak: dec("9"), At: 5, ID: "a"}, State{Events: 1, Peak: dec("9"), At: 5, ID: "b"},
			State{Events: 2, Peak: dec("9"), At: 5, ID: "b"}},
		{"of one time and id, the value", State{Events: 1, Peak: dec("9"), At: 5, ID: "a"}, State{Events: 1, Peak: dec("10"), At: 5, ID: "a"},
			State{Events: 2, Peak: dec("10"), At: 5, ID: "a"}},
		{"days", State{Sum: dec("4"), Events: 1, Rest: days(30, "4")}, State{Sum: dec("3"), Events: 1, Rest: days(12, "3")},
			State{Sum: dec("7"), Events: 2, Rest: &Rest{Length: 30, Days: []Day{{30, dec("4")}, {12, dec("3")}}}}},
		{"days and units of none", State{Sum: dec("4"), Events: 1, Rest: days(30, "4")}, State{Sum: dec("3"), Events: 1},
			State{Sum: dec("7"), Events: 2, Rest: days(30, "4")}},
		{"days, and a position that split: false has left", State{Sum: dec("4"), Events: 1, Rest: days(30, "4")}, State{Sum: dec("3"), Events: 1, Peak: dec("3")},
			State{Sum: dec("7"), Events: 2, Peak: dec("3"), Rest: days(30, "4")}},
		{"as many events as there can be", State{Events: math.MaxInt64 - 1}, State{Events: 1}, State{Events: math.MaxInt64}},
	} {
		for side, pair := range [][2]State{{c.a, c.b}, {c.b, c.a}} {
			got, err := Merge(pair[0], pair[1])
			same := got.Sum == c.want.Sum && got.Events == c.want.Events && got.Peak == c.want.Peak && got.At == c.want.At && got.Exact == c.want.Exact &&
				got.ID == c.want.ID && got.Rest.hasDays() == c.want.Rest.hasDays()
			if same && c.want.Rest.hasDays() {
				same = got.Rest.Length == c.want.Rest.Length && slices.Equal(got.Rest.Days, c.want.Rest.Days)
			}
			if err != nil || !same {
				t.Errorf("%s, side %d: %+v, %v; want %+v", c.name, side, got, err, c.want)
			}
		}
	}
}

// TestWhatARateLooksAt lists what callers ask of a rate before they price an event.
func TestWhatARateLooksAt(t *testing.T) {
	free := &catalog.Percentage{FreeEvents: 1}
	for _, c := range []struct {
		name                                     string
		rate                                     *catalog.Rate
		inLogOrder, ofMoney, quantityAlone, sums bool
	}{
		{"tiers", graduatedRate("r", "*:1+0"), false, false, true, true},
		{"whole events", &catalog.Rate{Model: catalog.ModelGraduated, WholeEvents: true}, true, false, false, true},
		{"by day", &catalog.Rate{Model: catalog.ModelVolume, ProrateByDay: true}, false, false, false, true},
		{"percentage", &catalog.Rate{Model: catalog.ModelPercentage, Percentage: &catalog.Percentage{}}, false, true, false, false},
		{"percentage without prices", &catalog.Rate{Model: catalog.ModelPercentage}, false, true, false, false},
		{"percentage with free events", &catalog.Rate{Model: catalog.ModelPercentage, Percentage: free}, true, true, false, false},
		{"prices of another method", &catalog.Rate{Model: catalog.ModelFlat, Percentage: free}, false, false, true, true},
		{"mark", &catalog.Rate{Model: catalog.ModelFlat, Aggregation: catalog.AggregationMax}, false, false, false, false},
	} {
		if InLogOrder(c.rate) != c.inLogOrder || OfMoney(c.rate) != c.ofMoney || QuantityAlone(c.rate) != c.quantityAlone ||
			SameKind(c.rate, &catalog.Rate{Aggregation: catalog.AggregationCount}) != c.sums {
			t.Errorf("%s: in log order %t, of money %t, quantity alone %t, sums %t", c.name, InLogOrder(c.rate), OfMoney(c.rate), QuantityAlone(c.rate),
				SameKind(c.rate, &catalog.Rate{Aggregation: catalog.AggregationCount}))
		}
	}
}

// TestOutOfRange: what cannot be computed is an error wherever it happens.
func TestOutOfRange(t *testing.T) {
	low := most.Neg()
	if _, err := Total(&catalog.Rate{Model: catalog.ModelPackage, Size: money.One, Free: dec("1")}, State{Sum: low, Events: 1}); !errors.Is(err, money.ErrOverflow) {
		t.Errorf("less than the smallest, after what is free: %v", err)
	}
	up := catalog.Rounding{Mode: money.RoundCeil, Precision: -26}
	for _, included := range []string{"0", "1"} {
		r := &catalog.Rate{Model: catalog.ModelPerUnit, UnitPrice: money.One, Included: dec(included), Rounding: up}
		if _, err := Total(r, State{Sum: most, Events: 1}); !errors.Is(err, money.ErrOverflow) {
			t.Errorf("rounded up beyond the largest, %s included: %v", included, err)
		}
	}
	p := &catalog.Rate{Model: catalog.ModelPercentage, Percentage: &catalog.Percentage{Rate: money.One, FreeAmount: dec("5")}}
	if _, err := Aggregate(p, State{}, Input{Quantity: most, Before: &State{Sum: most, Events: 1}}); !errors.Is(err, money.ErrOverflow) {
		t.Errorf("more used than there can be: %v", err)
	}
	before := &State{Events: math.MaxInt64}
	if _, err := Aggregate(p, State{}, Input{Quantity: money.One, Before: before}); err != nil {
		t.Errorf("as many events before as there can be: %v", err)
	}
	if _, err := Aggregate(p, State{Events: 1}, Input{Quantity: money.One, Before: before}); !errors.Is(err, money.ErrOverflow) {
		t.Errorf("more events than there can be: %v", err)
	}
	fills := &catalog.Rate{Model: catalog.ModelGraduated, Tiers: parseTiers("*:0+0"), ProrateByDay: true}
	lost := State{Sum: low, Events: 1, Rest: &Rest{Length: 3, Days: []Day{{Left: 2, Units: dec("5")}, {Left: 1, Units: dec("-5")}}}}
	if _, err := Total(fills, lost); !errors.Is(err, money.ErrOverflow) {
		t.Errorf("days that do not fit what there is: %v", err)
	}
}

// TestMaximumBehindARestart: under the third rate only what the second began with counts, in every cell.
func TestMaximumBehindARestart(t *testing.T) {
	rate := func(start int64, restart bool) *catalog.Rate {
		r := matrixOf("m", start, map[string]*catalog.Rate{"eu": unitRate("1"), "us": unitRate("1")})
		r.TiersRestart = restart
		for i := range r.Matrix.Entries {
			r.Matrix.Entries[i].Rate.TiersRestart = restart
		}
		return r
	}
	first, second, third := rate(1, false), rate(2, true), rate(3, false)
	third.Maximum = dec("50")
	third.Anew, third.AnewSince = true, 2
	second.Anew, second.AnewSince = true, 2
	seg := func(r *catalog.Rate, region, sum string) Segment {
		return Segment{Rate: r.Matrix.Entry("region=" + region), Cell: "region=" + region, State: State{Sum: dec(sum), Events: 1}}
	}
	apart := rate(3, false) // of another list, which does not know the second
	apart.Maximum = dec("50")
	for _, c := range []struct {
		name, want string
		line       []Segment
	}{
		{"of another list", "130", []Segment{seg(first, "eu", "80"), seg(second, "eu", "10"), seg(apart, "eu", "60")}},
		// 80 and 10 are due. Under the third 10 were used before, and 60 more come to 70, capped: 50 - 10.
		{"in the same cell", "130", []Segment{seg(first, "eu", "80"), seg(second, "eu", "10"), seg(third, "eu", "60")}},
		// Nothing that the third goes on from: 50 of 60.
		{"where the second was not used", "130", []Segment{seg(first, "eu", "80"), seg(third, "eu", "60")}},
		// The third goes on from 10 in the other cell: 50 - 10.
		{"in another cell", "130", []Segment{seg(first, "eu", "80"), seg(second, "us", "10"), seg(third, "eu", "60")}},
		{"in a cell that the third does not use", "130", []Segment{seg(first, "eu", "80"), seg(second, "eu", "10"), seg(third, "us", "60")}},
	} {
		slices.SortFunc(c.line, CompareSegments)
		if got, err := LineTotal(c.line); err != nil || got != dec(c.want) {
			t.Errorf("%s: %s, %v; want %s", c.name, got, err, c.want)
		}
	}
}

// TestExplainEdges: equations at zero, on bounds and below, and what lies in the tiers.
func TestExplainEdges(t *testing.T) {
	halfOpen := graduatedRate("g", "10:1+0 *:2+0")
	halfOpen.HalfOpenBounds = true
	flatAtZero := graduatedRate("z", "10:1+3 *:2+0")
	flatAtZero.ChargeFlatAtZero = true
	blocks := func(model catalog.Model) *catalog.Rate {
		return &catalog.Rate{ID: "b", Model: model, Blocks: parseBlocks("5x2:1 8x*:3")}
	}
	capped := &catalog.Rate{ID: "c", Model: catalog.ModelPerUnit, UnitPrice: money.One, Maximum: dec("7")}
	whole := graduatedRate("w", "10:1+0 *:2+0")
	whole.WholeEvents = true
	for _, c := range []struct {
		name, units, equation, tiers string
		rate                         *catalog.Rate
	}{
		{"no blocks", "0", "0 = 0", "1:0 2:0", blocks(catalog.ModelBlockGraduated)},
		{"blocks to the bound", "10", "2 × 1 = 2", "1:2 2:0", blocks(catalog.ModelBlockGraduated)},
		{"a block more", "11", "2 × 1 + 1 × 3 = 5", "1:2 2:1", blocks(catalog.ModelBlockGraduated)},
		{"no blocks at all", "0", "0 = 0", "1:0 2:0", blocks(catalog.ModelBlockVolume)},
		{"all in the second", "11", "2 × 3 = 6", "1:0 2:2", blocks(catalog.ModelBlockVolume)},
		{"on a half-open bound", "10", "10 × 1 = 10", "1:10 2:0", halfOpen},
		{"flat at zero", "0", "3 = 3", "1:0+3 2:0", flatAtZero},
		{"below zero", "-4", "(-4) × 1 = -4", "1:-4 2:0", flatAtZero},
		{"at the maximum", "7", "7 × 1 = 7", "", capped},
		{"above it", "8", "7 = 7", "", capped},
		{"nothing was charged", "8", "0 = 0", "", whole},
	} {
		e := Explain([]Segment{{Rate: c.rate, State: State{Sum: dec(c.units), Events: 1}}})
		var tiers []string
		if e.Err == nil {
			for _, u := range e.Segments[0].Tiers {
				label := strings.TrimPrefix(strings.Split(u.Label, ":")[0], "tier ") + ":" + u.Units.String()
				if !u.Flat.IsZero() {
					label += "+" + u.Flat.String()
				}
				tiers = append(tiers, label)
			}
		}
		if got := strings.Join(tiers, " "); e.Err != nil || e.Equation != c.equation || got != c.tiers {
			t.Errorf("%s: %q with tiers %q, %v; want %q with %q", c.name, e.Equation, got, e.Err, c.equation, c.tiers)
		}
	}
	all := Explain([]Segment{{Rate: blocks(catalog.ModelBlockVolume), State: State{Sum: dec("11"), Events: 1}}})
	if got := all.Segments[0].Steps[0].Label; got != "all units in tier 2: blocks of 8" {
		t.Errorf("label %q", got)
	}
}

// TestExplainByDay: days that come to nothing are left out, and what is less than nothing has no terms.
func TestExplainByDay(t *testing.T) {
	for _, c := range []struct {
		name  string
		model catalog.Model
		uses  []byDay
		want  string
		note  string
	}{
		{"taken back on the same day", catalog.ModelVolume, []byDay{{1, "4"}, {10, "5"}, {10, "-5"}}, "4 × 10 = 40", ""},
		{"taken back on the same day, by tiers", catalog.ModelGraduated, []byDay{{1, "4"}, {10, "5"}, {10, "-5"}}, "4 × 10 = 40", ""},
		// 2 for 30 of 30 days and 8 back for 21: less than nothing.
		{"less than nothing", catalog.ModelVolume, []byDay{{1, "2"}, {10, "-8"}}, "0 = 0", ""},
		{"less than nothing, by tiers", catalog.ModelGraduated, []byDay{{1, "2"}, {10, "-8"}}, "0 = 0", ""},
		// By tiers 2 × 10 - 8 × 10 × 21 / 30 + 9 × 4 × 15 / 30 … is another sum than all at the second tier's price.
		{"all at the last tier", catalog.ModelVolume, []byDay{{1, "4"}, {16, "4"}}, "4 × 5 + 4 × 5 × 15 / 30 = 30", ""},
	} {
		r := &catalog.Rate{ID: "r", Model: c.model, ProrateByDay: true, Tiers: parseTiers("5:10+0 *:5+0")}
		e := Explain([]Segment{{Rate: r, State: dated(t, r, c.uses)}})
		if e.Err != nil || e.Equation != c.want {
			t.Errorf("%s: %q, %v; want %q", c.name, e.Equation, e.Err, c.want)
		}
		if note := e.Segments[0].Note; note != "units count from their day to the end of the period" {
			t.Errorf("%s: note %q", c.name, note)
		}
	}
}

// TestExplainAfterAnotherRate: what was priced before is taken off where it was, tier by tier and day by day.
func TestExplainAfterAnotherRate(t *testing.T) {
	seg := func(r *catalog.Rate, sum string) Segment {
		return Segment{Rate: r, State: State{Sum: dec(sum), Events: 1}}
	}
	first := &catalog.Rate{ID: "a", Model: catalog.ModelPerUnit, UnitPrice: dec("3")}
	even := graduatedRate("b", "10:1+0 *:1+0") // both tiers at one price
	volume := &catalog.Rate{ID: "c", Model: catalog.ModelVolume, Tiers: parseTiers("10:2+0 *:1+0")}
	days := func(id string) *catalog.Rate {
		return &catalog.Rate{ID: id, Model: catalog.ModelGraduated, ProrateByDay: true, Tiers: parseTiers("100:2+0 *:1+0")}
	}
	on := func(r *catalog.Rate, uses ...byDay) Segment { return Segment{Rate: r, State: dated(t, r, uses)} }
	for _, c := range []struct {
		name, equation, tiers string
		line                  []Segment
	}{
		{"tiers at one price", "15 × 3 + 10 × 1 = 55", "tier 1: up to 10 0, tier 2: above 10 10", []Segment{seg(first, "15"), seg(even, "10")}},
		{"all at another tier", "8 × 3 + 12 × 1 - 8 × 2 = 20", "tier 1: up to 10 -8, tier 2: above 10 12", []Segment{seg(first, "8"), seg(volume, "4")}},
		// The second rate's terms for the days of the first are its own: only its day is left.
		{"days", "4 × 2 × 20 / 30 + 3 × 2 × 10 / 30 + 6 × 2 × 5 / 30 = 9.333333333333", "",
			[]Segment{on(days("d"), byDay{11, "4"}, byDay{21, "3"}), on(days("e"), byDay{26, "6"})}},
		{"nothing in packages", "0 × 5 = 0", "", []Segment{seg(&catalog.Rate{ID: "p", Model: catalog.ModelPackage, Size: dec("2"), Price: dec("5"), Free: dec("3")}, "2")}},
	} {
		e := Explain(c.line)
		var tiers []string
		for _, u := range e.Segments[len(e.Segments)-1].Tiers {
			tiers = append(tiers, u.Label+" "+u.Units.String())
		}
		equation := strings.Replace(e.Equation, "≈", "=", 1)
		if got := strings.Join(tiers, ", "); e.Err != nil || equation != c.equation || c.tiers != "" && got != c.tiers {
			t.Errorf("%s: %q with %q, %v; want %q with %q", c.name, e.Equation, got, e.Err, c.equation, c.tiers)
		}
	}
	e := Explain([]Segment{on(days("d"), byDay{11, "4"})})
	if step := e.Segments[0].Steps[0]; len(e.Segments[0].Steps) != 1 || step.Amount != dec("5.333333333333") {
		t.Errorf("steps %+v", e.Segments[0].Steps)
	}
	odd := &catalog.Rate{ID: "o", Model: catalog.ModelFlat, Rounding: catalog.Rounding{PerEvent: true}}
	if note := Explain([]Segment{seg(odd, "1")}).Segments[0].Note; note != "" {
		t.Errorf("note %q", note)
	}
	still := &catalog.Rate{ID: "s", Model: catalog.ModelGraduated, ProrateByDay: true, ChargeFlatAtZero: true, Tiers: parseTiers("*:2+7")}
	if got, err := Total(still, State{Events: 1}); err != nil || got != dec("7") {
		t.Errorf("flat at zero units of no day: %s, %v", got, err)
	}
}

// TestExplainNothingByDay: all units are in a tier that costs nothing.
func TestExplainNothingByDay(t *testing.T) {
	r := &catalog.Rate{ID: "r", Model: catalog.ModelVolume, ProrateByDay: true, Tiers: parseTiers("5:10+0 *:0+0")}
	if e := Explain([]Segment{{Rate: r, State: dated(t, r, []byDay{{1, "8"}})}}); e.Err != nil || e.Equation != "0 = 0" {
		t.Errorf("%q, %v", e.Equation, e.Err)
	}
}

// TestChargesAfterAnotherRate: a charge counts what changes on both sides of a rate's difference, and rates that are no more.
func TestChargesAfterAnotherRate(t *testing.T) {
	seg := func(r *catalog.Rate, sum string) Segment {
		return Segment{Rate: r, State: State{Sum: dec(sum), Events: 1}}
	}
	first := &catalog.Rate{ID: "a", Model: catalog.ModelPerUnit, UnitPrice: dec("3")}
	later := &catalog.Rate{ID: "b", Start: 5, Model: catalog.ModelVolume, Tiers: parseTiers("10:2+0 *:1+0")}
	again := &catalog.Rate{ID: "a", Start: 9, Model: catalog.ModelPerUnit, UnitPrice: dec("4")}
	other := &catalog.Rate{ID: "z", Model: catalog.ModelPerUnit, UnitPrice: dec("5")}
	matrix := matrixOf("m", 1, map[string]*catalog.Rate{"eu": unitRate("3"), "us": unitRate("1")})
	cell := func(region, sum string) Segment {
		return Segment{Rate: matrix.Matrix.Entry("region=" + region), Cell: "region=" + region, State: State{Sum: dec(sum), Events: 1}}
	}
	for _, c := range []struct {
		name, short   string
		before, after []Segment
	}{
		// The later rate was 12 × 1 - 8 × 2, and is 14 × 1 - 10 × 2.
		{"late usage of the rate before", "2 × 3 + 2 × 1 - 2 × 2 = 4", []Segment{seg(first, "8"), seg(later, "4")}, []Segment{seg(first, "10"), seg(later, "4")}},
		{"a rate that is no more", "0 - 8 × 3 = -24", []Segment{seg(first, "8")}, nil},
		{"one of the same id goes", "1 × 4 - 8 × 3 = -20", []Segment{seg(first, "8"), seg(again, "2")}, []Segment{seg(again, "3")}},
		{"another id", "2 × 5 - 8 × 3 = -14", []Segment{seg(first, "8")}, []Segment{seg(other, "2")}},
		{"one cell of two", "2 × 1 = 2", []Segment{cell("eu", "8"), cell("us", "4")}, []Segment{cell("eu", "8"), cell("us", "6")}},
		{"one of the same id", "2 × 4 = 8", []Segment{seg(first, "8")}, []Segment{seg(first, "8"), seg(again, "2")}},
	} {
		got := ExplainCharge(c.before, c.after)
		var sum money.Decimal
		for _, step := range got.Steps {
			sum, _ = sum.Add(step.Amount)
			if strings.Contains(step.Label, "rounding") {
				t.Errorf("%s: %+v", c.name, got.Steps)
			}
		}
		if got.Err != nil || sum != got.Amount || got.Short != c.short {
			t.Errorf("%s: %+v; want %q", c.name, got, c.short)
		}
	}
}

// TestShapes: of each kind, and of those in log order and by day.
func TestShapes(t *testing.T) {
	seen := map[uint64]string{}
	for name, r := range map[string]*catalog.Rate{
		"sum": {Model: catalog.ModelGraduated}, "whole events": {Model: catalog.ModelGraduated, WholeEvents: true},
		"by day": {Model: catalog.ModelGraduated, ProrateByDay: true}, "max": {Aggregation: catalog.AggregationMax},
		"latest": {Aggregation: catalog.AggregationLatest}, "money": {Model: catalog.ModelDynamic},
		"users": {Aggregation: catalog.AggregationUnique, Attribute: "user"}, "hosts": {Aggregation: catalog.AggregationUnique, Attribute: "host"},
		"allowance": {Model: catalog.ModelPercentage, Percentage: &catalog.Percentage{FreeEvents: 1}},
	} {
		if other := seen[Shape(r)]; other != "" {
			t.Errorf("%s and %s have one shape", name, other)
		}
		seen[Shape(r)] = name
	}
	if seen[0] != "sum" {
		t.Errorf("shape 0 is of %s", seen[0])
	}
}
