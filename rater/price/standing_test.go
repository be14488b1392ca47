package price

import (
	"testing"

	"github.com/tollstream/tollstream/rater/catalog"
)

func TestStanding(t *testing.T) {
	tiers := parseRate(t, "graduated", "included:10", "100:0.10+0 *:0.05+0")
	cheaper := parseRate(t, "graduated", "", "50:0.10+0 *:0.05+0")
	tiers.ID, cheaper.ID, cheaper.Start = "a", "b", 5
	anew := *cheaper
	anew.TiersRestart = true
	blocks := parseRate(t, "block_volume", "", "10x2:5 10x*:3")
	east := *tiers
	east.Cell = "east"
	plan := capacityRate()
	first, second := Segment{Rate: tiers, State: State{Sum: dec("110"), Events: 1}}, Segment{Rate: cheaper, State: State{Sum: dec("1"), Events: 1}}
	for _, c := range []struct {
		name       string
		segments   []Segment
		rate       *catalog.Rate
		cell       string
		used, tier string
	}{
		{"nothing", nil, tiers, "", "0", ""},
		{"what is included is in no tier", []Segment{first}, tiers, "", "110", "tier 1: up to 100"},
		{"before the first of a later price", []Segment{first}, cheaper, "", "110", "tier 2: above 50"},
		{"a later price goes on", []Segment{first, second}, cheaper, "", "111", "tier 2: above 50"},
		{"… or not", []Segment{first, {Rate: &anew, State: second.State}}, &anew, "", "1", "tier 1: up to 50"},
		{"an earlier price", []Segment{first, second}, tiers, "", "110", "tier 1: up to 100"},
		{"an earlier price without usage", []Segment{second}, tiers, "", "0", ""},
		{"taken back", []Segment{{Rate: tiers, State: State{Sum: dec("-3"), Events: 2}}}, tiers, "", "-3", ""},
		{"a cell", []Segment{first, {Rate: &east, Cell: "east", State: State{Sum: dec("7"), Events: 1}}}, &east, "east", "7", ""}, // of 10 included
		{"another cell", []Segment{first}, &east, "east", "0", ""},
		{"blocks", []Segment{{Rate: blocks, State: State{Sum: dec("21"), Events: 1}}}, blocks, "", "21", "tier 2: blocks of 10"},
		{"no tiers", []Segment{{Rate: parseRate(t, "per_unit", "", "2"), State: State{Sum: dec("21"), Events: 1}}}, parseRate(t, "per_unit", "", "2"), "", "21", ""},
		{"a capacity", []Segment{usedUnder(plan, "storage", "60"), usedUnder(plan, "transfer", "1001")}, plan, "storage", "60", "tier 2"},
		{"a product of a capacity without usage", []Segment{usedUnder(plan, "storage", "201")}, plan, "transfer", "0", ""},
	} {
		used, tier, err := Standing(c.segments, c.rate, c.cell)
		if err != nil || used.String() != c.used || tier != c.tier {
			t.Errorf("%s: %s in %q, %v; want %s in %q", c.name, used, tier, err, c.used, c.tier)
		}
	}
	if len(first.Rate.Tiers) != 2 || first.State.Sum != dec("110") {
		t.Error("the segments have changed")
	}
}
