package price

import (
	"testing"

	"github.com/tollstream/tollstream/rater/catalog"
)

func TestChargesInWords(t *testing.T) {
	graduated := parseRate(t, "graduated", "", "100:0.10+1 *:0.05+2")
	volume := parseRate(t, "volume", "", "100:0.10+0 *:0.05+0")
	blocks := parseRate(t, "block_graduated", "", "10x2:5 10x*:3")
	dearer := parseRate(t, "graduated", "", "100:0.20+1 *:0.05+2")
	capped := parseRate(t, "per_unit", "maximum:10", "0.5")
	for _, c := range []struct {
		name          string
		before, after []Segment
		full, short   string
		label         string // of the first step
	}{
		{"the first event", nil, []Segment{{Rate: graduated, State: State{Sum: dec("3"), Events: 1}}},
			"(3 × 0.1 + 1) - 0 = 1.3", "3 × 0.1 + 1 = 1.3", "tier 1: up to 100"},
		{"over a bound", []Segment{{Rate: graduated, State: State{Sum: dec("95"), Events: 1}}}, []Segment{{Rate: graduated, State: State{Sum: dec("105"), Events: 2}}},
			"(100 × 0.1 + 1 + 5 × 0.05 + 2) - (95 × 0.1 + 1) = 2.75", "5 × 0.1 + 5 × 0.05 + 2 = 2.75", "tier 1: up to 100"},
		{"taken back over a bound", []Segment{{Rate: graduated, State: State{Sum: dec("105"), Events: 2}}}, []Segment{{Rate: graduated, State: State{Sum: dec("95"), Events: 3}}},
			"(95 × 0.1 + 1) - (100 × 0.1 + 1 + 5 × 0.05 + 2) = -2.75", "(-5) × 0.1 - 5 × 0.05 - 2 = -2.75", "tier 1: up to 100"},
		{"a cheaper tier of all", []Segment{{Rate: volume, State: State{Sum: dec("100"), Events: 1}}}, []Segment{{Rate: volume, State: State{Sum: dec("101"), Events: 2}}},
			"101 × 0.05 - 100 × 0.1 = -4.95", "101 × 0.05 - 100 × 0.1 = -4.95", "all units at tier 2: above 100"},
		{"inside a block", []Segment{{Rate: blocks, State: State{Sum: dec("1"), Events: 1}}}, []Segment{{Rate: blocks, State: State{Sum: dec("9"), Events: 2}}},
			"1 × 5 - 1 × 5 = 0", "0 = 0", ""},
		{"another price", []Segment{{Rate: graduated, State: State{Sum: dec("95"), Events: 1}}}, []Segment{{Rate: dearer, State: State{Sum: dec("95"), Events: 1}}},
			"(95 × 0.2 + 1) - (95 × 0.1 + 1) = 9.5", "95 × 0.2 - 95 × 0.1 = 9.5", "tier 1: up to 100"},
		{"up to the maximum", []Segment{{Rate: capped, State: State{Sum: dec("19"), Events: 1}}}, []Segment{{Rate: capped, State: State{Sum: dec("25"), Events: 2}}},
			"10 - 19 × 0.5 = 0.5", "10 - 19 × 0.5 = 0.5", "maximum"},
		{"rounded", []Segment{{Rate: parseRate(t, "per_unit", "", "0.000000000001"), State: State{Sum: dec("0.5"), Events: 1}}},
			[]Segment{{Rate: parseRate(t, "per_unit", "", "0.000000000001"), State: State{Sum: dec("0.9"), Events: 2}}},
			"0.9 × 0.000000000001 - 0.5 × 0.000000000001 ≈ 0", "0.4 × 0.000000000001 ≈ 0", "units"},
	} {
		got := ExplainCharge(c.before, c.after)
		if got.Err != nil || got.Equation != c.full || got.Short != c.short {
			t.Errorf("%s: %q, %q, %v", c.name, got.Equation, got.Short, got.Err)
		}
		if c.label != "" && (len(got.Steps) == 0 || got.Steps[0].Label != c.label) {
			t.Errorf("%s: steps %+v", c.name, got.Steps)
		}
	}
}

func TestTiersTellWhatLiesInThem(t *testing.T) {
	first, second := parseRate(t, "graduated", "", "100:0.10+1 200:0.08+0 *:0.05+2"), parseRate(t, "graduated", "", "100:0.11+0 200:0.09+3 *:0.06+0")
	first.ID, second.ID, second.Start = "a", "b", 5
	e := Explain([]Segment{{Rate: first, State: State{Sum: dec("95"), Events: 1}}, {Rate: second, State: State{Sum: dec("20"), Events: 1}}})
	want := [][]TierUse{
		{{"tier 1: up to 100", dec("95"), dec("0.1"), dec("1"), dec("10.5")}, {Label: "tier 2: above 100, up to 200", Price: dec("0.08")}, {Label: "tier 3: above 200", Price: dec("0.05")}},
		{{Label: "tier 1: up to 100", Units: dec("5"), Price: dec("0.11"), Amount: dec("0.55")},
			{"tier 2: above 100, up to 200", dec("15"), dec("0.09"), dec("3"), dec("4.35")}, {Label: "tier 3: above 200", Price: dec("0.06")}},
	}
	for i := range want {
		if len(e.Segments[i].Tiers) != 3 {
			t.Fatalf("segment %d: %+v", i, e.Segments[i].Tiers)
		}
		for j := range want[i] {
			if e.Segments[i].Tiers[j] != want[i][j] {
				t.Errorf("segment %d: %+v, want %+v", i, e.Segments[i].Tiers[j], want[i][j])
			}
		}
	}
	if got := e.Segments[1].Equation; got != "5 × 0.11 + 15 × 0.09 + 3 = 4.9" {
		t.Error(got)
	}
	if plain := Explain([]Segment{{Rate: &catalog.Rate{Model: catalog.ModelPerUnit, UnitPrice: dec("1")}, State: State{Sum: dec("1"), Events: 1}}}); plain.Segments[0].Tiers != nil {
		t.Errorf("a price without tiers: %+v", plain.Segments[0].Tiers)
	}
}
