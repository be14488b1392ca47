package price

import (
	"slices"
	"strings"
	"testing"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

func graduatedRate(id, tiers string) *catalog.Rate {
	return &catalog.Rate{ID: id, Model: catalog.ModelGraduated, Aggregation: catalog.AggregationSum, Tiers: parseTiers(tiers)}
}

// TestSegments works the formula of pricing.md §3 out by hand.
func TestSegments(t *testing.T) {
	first := graduatedRate("a", "100:0.10+1 *:0.05+2")
	second := graduatedRate("b", "100:0.20+3 *:0.08+4")
	restarting := graduatedRate("c", "100:0.20+3 *:0.08+4")
	restarting.TiersRestart = true
	behind := graduatedRate("b", "100:0.20+3 *:0.08+4") // behind a rate with tiers_restart from 5 on
	behind.Start, behind.Anew, behind.AnewSince = 7, true, 5
	since := graduatedRate("a", "100:0.10+1 *:0.05+2")
	since.Start = 5
	perUnit := &catalog.Rate{ID: "d", Model: catalog.ModelPerUnit, UnitPrice: dec("0.3")}
	counting := &catalog.Rate{ID: "e", Model: catalog.ModelPerUnit, Aggregation: catalog.AggregationCount, UnitPrice: dec("7")}
	flat := &catalog.Rate{ID: "f", Model: catalog.ModelFlat, Amount: dec("10")}
	s := func(r *catalog.Rate, sum string, events int64) Segment {
		return Segment{Rate: r, State: State{Sum: dec(sum), Events: events}}
	}
	in := func(cell string, s Segment) Segment {
		s.Cell = cell
		return s
	}
	for _, c := range []struct {
		name     string
		line     []Segment
		want     string
		equation string
	}{
		{"none", nil, "0", "0 = 0"},
		{"one", []Segment{s(first, "150", 2)}, "15.5", "100 × 0.1 + 1 + 50 × 0.05 + 2 = 15.5"},
		// 80 at a: 9. Then b from 80 to 150: (20 + 3 + 50·0.08 + 4) − (16 + 3) = 12.
		{"tiers continue", []Segment{s(first, "80", 1), s(second, "70", 1)}, "21", "80 × 0.1 + 1 + 20 × 0.2 + 50 × 0.08 + 4 = 21"},
		// 80 at a: 9. Then 70 from the first tier of c: 14 + 3.
		{"tiers restart", []Segment{s(first, "80", 1), s(restarting, "70", 1)}, "26", "80 × 0.1 + 1 + 70 × 0.2 + 3 = 26"},
		// After the restart b goes on from 70: 30·0.20 + 20·0.08 + 4 = 11.6.
		{"on after a restart", []Segment{s(first, "80", 1), s(restarting, "70", 1), s(second, "50", 1)}, "37.6",
			"80 × 0.1 + 1 + 70 × 0.2 + 3 + 30 × 0.2 + 20 × 0.08 + 4 = 37.6"},
		{"on after a restart without usage", []Segment{s(first, "80", 1), s(behind, "70", 1)}, "26", "80 × 0.1 + 1 + 70 × 0.2 + 3 = 26"},
		{"on from where it was", []Segment{s(since, "80", 1), s(behind, "70", 1)}, "21", "80 × 0.1 + 1 + 20 × 0.2 + 50 × 0.08 + 4 = 21"},
		// Of 80 and 80 only the second is behind the restart: 9 and, from 80 to 160 under a, 20 · 0.10 + 60 · 0.05 + 2.
		{"some of what was before", []Segment{s(first, "80", 1), s(since, "80", 1), s(behind, "70", 1)}, "28",
			"80 × 0.1 + 1 + 20 × 0.1 + 60 × 0.05 + 2 + 20 × 0.2 + 50 × 0.08 + 4 = 28"},
		{"restart of the first segment", []Segment{s(restarting, "70", 1)}, "17", "70 × 0.2 + 3 = 17"},
		// The later segment takes back more than it used: at b from 150 back to 90.
		{"taken back later", []Segment{s(first, "150", 2), s(second, "-60", 1)}, "5.5",
			"100 × 0.1 + 1 + 50 × 0.05 + 2 + (-10) × 0.2 - 50 × 0.08 - 4 = 5.5"},
		{"an empty segment between", []Segment{s(first, "80", 1), s(perUnit, "0", 0), s(second, "70", 1)}, "21",
			"80 × 0.1 + 1 + 20 × 0.2 + 50 × 0.08 + 4 = 21"},
		{"another method", []Segment{s(first, "80", 1), s(perUnit, "70", 1)}, "30", "80 × 0.1 + 1 + 70 × 0.3 = 30"},
		// e counts: (1 + 3) · 7 − 1 · 7.
		{"another aggregation", []Segment{s(first, "80", 1), s(counting, "70", 3)}, "30", "80 × 0.1 + 1 + 3 × 7 = 30"},
		// In y tiers start anew: 15.5 for 150 under a, 80 · 0.10 + 1 in the other cell.
		{"another cell", []Segment{in("x", s(first, "150", 2)), in("y", s(first, "80", 1))}, "24.5",
			"100 × 0.1 + 1 + 50 × 0.05 + 2 + 80 × 0.1 + 1 = 24.5"},
		{"flat once", []Segment{s(flat, "1", 1), s(flat, "1", 1)}, "10", "10 = 10"},
		{"nothing due", []Segment{s(first, "0", 1)}, "0", "0 = 0"},
		// 0.5 · 10^-12 of each segment rounds up, so each is due.
		{"rounded", []Segment{s(&catalog.Rate{ID: "g", Model: catalog.ModelPerUnit, UnitPrice: dec("0.000000000001")}, "0.5", 1)},
			"0.000000000001", "0.5 × 0.000000000001 ≈ 0.000000000001"},
	} {
		got, err := LineTotal(c.line)
		if err != nil || got != dec(c.want) {
			t.Errorf("%s: %s, %v; want %s", c.name, got, err, c.want)
		}
		if e := Explain(c.line); e.Err != nil || e.Equation != c.equation || e.Amount != got {
			t.Errorf("%s: explained as %q, %v; want %q", c.name, e.Equation, e.Err, c.equation)
		}
	}
}

func TestCompareSegments(t *testing.T) {
	line := []Segment{
		{Rate: &catalog.Rate{ID: "b", Start: 5}}, {Rate: &catalog.Rate{ID: "z", Start: catalog.Always}},
		{Rate: &catalog.Rate{ID: "a", Start: 5}}, {Rate: &catalog.Rate{ID: "c", Start: 4}},
		{Rate: &catalog.Rate{ID: "d", Start: 1}, Cell: "x"},
	}
	slices.SortFunc(line, CompareSegments)
	order := ""
	for _, s := range line {
		order += s.Rate.ID
	}
	if order != "zcabd" {
		t.Errorf("order %s", order)
	}
}

func TestExplainSteps(t *testing.T) {
	first := graduatedRate("a", "100:0.10+1 *:0.05+2")
	second := &catalog.Rate{ID: "b", Model: catalog.ModelVolume, Tiers: parseTiers("100:0.20+0 *:0.08+4"),
		Rounding: catalog.Rounding{Mode: money.RoundCeil}}
	e := Explain([]Segment{{Rate: first, State: State{Sum: dec("80"), Events: 1}}, {Rate: second, State: State{Sum: dec("69.5"), Events: 2}}})
	want := []SegmentExplanation{
		{RateID: "a", Quantity: dec("80"), Amount: dec("9"), Steps: []Step{
			{"80 × 0.1", "tier 1: up to 100", dec("8")},
			{"1", "tier 1: flat price", dec("1")},
		}},
		// 150 units at the second tier, less the 80 units that the first rate has priced.
		{RateID: "b", Quantity: dec("69.5"), Amount: dec("0"), Steps: []Step{
			{"150 × 0.08", "all units at tier 2: above 100", dec("12")},
			{"4", "tier 2: flat price", dec("4")},
			{"- 80 × 0.2", "priced before: all units at tier 1: up to 100", dec("-16")},
		}, Note: "149.5 rounded up to whole units: 150; continues from 80 used before"},
	}
	for i, w := range want {
		got := e.Segments[i]
		if got.RateID != w.RateID || got.Quantity != w.Quantity || got.Amount != w.Amount || got.Note != w.Note || !slices.Equal(got.Steps, w.Steps) {
			t.Errorf("segment %d:\n got %+v\nwant %+v", i, got, w)
		}
	}
}

func TestExplainNotes(t *testing.T) {
	rate := func(change func(r *catalog.Rate)) *catalog.Rate {
		r := &catalog.Rate{ID: "r", Model: catalog.ModelPerUnit, UnitPrice: dec("1")}
		change(r)
		return r
	}
	for _, c := range []struct {
		rate *catalog.Rate
		want string
	}{
		{rate(func(*catalog.Rate) {}), ""},
		{rate(func(r *catalog.Rate) { r.Aggregation = catalog.AggregationCount }), "events are counted"},
		{rate(func(r *catalog.Rate) { r.Rounding = catalog.Rounding{First: dec("60"), Next: dec("1")} }),
			"each event billed as at least 60, then in steps of 1"},
		{rate(func(r *catalog.Rate) {
			r.Rounding = catalog.Rounding{Mode: money.RoundHalfUp, Precision: 2, PerEvent: true}
		}), "each event rounded half up to 2 decimals"},
		{rate(func(r *catalog.Rate) { r.Rounding = catalog.Rounding{Mode: money.RoundFloor, Precision: -2} }),
			"123.4 rounded down to multiples of 100: 100"},
		{rate(func(r *catalog.Rate) { r.TiersRestart = true }), "tiers start anew with this rate"},
		{rate(func(r *catalog.Rate) { r.Included, r.Maximum = dec("23"), dec("99") }), "23 included: 100.4 charged for; 100.4 without the maximum"},
		{rate(func(r *catalog.Rate) { r.Maximum = dec("123.4") }), ""},
	} {
		e := Explain([]Segment{{Rate: c.rate, State: State{Sum: dec("123.4"), Events: 3}}})
		if e.Err != nil || e.Segments[0].Note != c.want {
			t.Errorf("note %q, %v; want %q", e.Segments[0].Note, e.Err, c.want)
		}
	}
}

// TestExplainLabels: packages and tiers in the middle name their bounds.
func TestExplainLabels(t *testing.T) {
	tiers := "10:3+0 20:2+0 *:1+0"
	halfOpen := graduatedRate("h", tiers)
	halfOpen.HalfOpenBounds = true
	for _, c := range []struct {
		rate *catalog.Rate
		want string
	}{
		{graduatedRate("g", tiers), "tier 1: up to 10 | tier 2: above 10, up to 20 | tier 3: above 20"},
		{halfOpen, "tier 1: below 10 | tier 2: from 10, below 20 | tier 3: from 20"},
		{graduatedRate("s", "*:1+0"), "tier 1: every unit"},
		{&catalog.Rate{Model: catalog.ModelPackage, Size: dec("20"), Price: dec("5"), Free: dec("3")}, "packages of 20, after 3 free"},
	} {
		var labels []string
		for _, step := range Explain([]Segment{{Rate: c.rate, State: State{Sum: dec("25"), Events: 1}}}).Segments[0].Steps {
			labels = append(labels, step.Label)
		}
		if got := strings.Join(labels, " | "); got != c.want {
			t.Errorf("labels %q, want %q", got, c.want)
		}
	}
}
