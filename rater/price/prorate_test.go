package price

import (
	"errors"
	"testing"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// used by day: units on days of April 2026 in Berlin, which has 30 days; 0: under a rate that does not count by day.
type byDay struct {
	day   int
	units string
}

func april(day int) int64 { return time.Date(2026, 4, day, 12, 0, 0, 0, oracleZone).UnixNano() }

var inApril = catalog.Period{
	Start: time.Date(2026, 4, 1, 0, 0, 0, 0, oracleZone).UnixNano(), End: time.Date(2026, 5, 1, 0, 0, 0, 0, oracleZone).UnixNano(),
}

func dated(t *testing.T, r *catalog.Rate, uses []byDay) State {
	t.Helper()
	var s State
	plain := &catalog.Rate{Model: catalog.ModelPerUnit}
	for _, u := range uses {
		by := r
		if u.day == 0 {
			by = plain
		}
		var err error
		if s, err = Aggregate(by, s, Input{Quantity: dec(u.units), Time: april(u.day), Period: inApril, Zone: oracleZone}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestProratedByHand(t *testing.T) {
	for _, c := range []struct {
		name     string
		model    catalog.Model
		tiers    string
		policy   func(r *catalog.Rate)
		uses     []byDay
		want     string
		equation string
	}{
		{"from the first day", catalog.ModelGraduated, "5:10+100 *:5+50", defaults, []byDay{{1, "8"}}, "215",
			"5 × 10 + 3 × 5 + 100 + 50 = 215"},
		// At the end of the first day there are 7: the second tier is not reached.
		{"of no day, with those of the first", catalog.ModelGraduated, "10:1+0 *:1+7", defaults, []byDay{{0, "12"}, {1, "-5"}}, "7", "7 × 1 = 7"},
		// The tenth day is followed by 20: 21 of 30 days. 5 × 10 × 0.7 = 35; on the 16th, 15 days are left: 2 × 5 × 0.5 = 5.
		{"tiers by full units", catalog.ModelGraduated, "5:10+100 *:5+50", defaults, []byDay{{10, "5"}, {16, "2"}}, "190",
			"5 × 10 × 21 / 30 + 2 × 5 × 15 / 30 + 100 + 50 = 190"},
		{"in any order", catalog.ModelGraduated, "5:10+100 *:5+50", defaults, []byDay{{16, "2"}, {10, "4"}, {10, "1"}}, "190",
			"5 × 10 × 21 / 30 + 2 × 5 × 15 / 30 + 100 + 50 = 190"},
		// On the 19th 12 days are left: 2 × 5 × 0.4 and 2 × 10 × 0.4 back. The second tier was reached: its flat price stays.
		{"taken back down the tiers", catalog.ModelGraduated, "5:10+100 *:5+50", defaults, []byDay{{10, "5"}, {16, "2"}, {19, "-4"}}, "178",
			"5 × 10 × 21 / 30 + 2 × 5 × 15 / 30 + (-2) × 10 × 12 / 30 + (-2) × 5 × 12 / 30 + 100 + 50 = 178"},
		// A tier that is left on the day on which it is reached costs nothing.
		{"within a day", catalog.ModelGraduated, "5:10+100 *:5+50", defaults, []byDay{{10, "5"}, {16, "2"}, {16, "-2"}}, "135",
			"5 × 10 × 21 / 30 + 100 = 135"},
		{"less than nothing", catalog.ModelGraduated, "5:10+100 *:5+50", defaults, []byDay{{19, "5"}, {21, "-100"}}, "0", "0 = 0"},
		{"all taken back before the end", catalog.ModelGraduated, "5:10+0 *:5+0", defaults, []byDay{{1, "3"}, {16, "-3"}}, "15",
			"3 × 10 + (-3) × 10 × 15 / 30 = 15"},
		{"there from the beginning", catalog.ModelGraduated, "5:10+0 *:5+0", defaults, []byDay{{0, "4"}, {16, "2"}}, "47.5",
			"4 × 10 + 1 × 10 × 15 / 30 + 1 × 5 × 15 / 30 = 47.5"},
		{"nothing by the end of any day", catalog.ModelGraduated, "5:10+7 *:5+0", defaults, []byDay{{3, "4"}, {3, "-4"}}, "0", "0 = 0"},
		{"nothing, charged for", catalog.ModelGraduated, "5:10+7 *:5+0", chargeFlatZero, []byDay{{3, "4"}, {3, "-4"}}, "7", "7 = 7"},
		{"half open", catalog.ModelGraduated, "5:10+100 *:5+50", halfOpen, []byDay{{1, "5"}}, "200", "5 × 10 + 100 + 50 = 200"},
		// 3 of 4 are included on the tenth; 2 more on the 16th are charged.
		{"included", catalog.ModelGraduated, "*:10+0", func(r *catalog.Rate) { r.Included = dec("3") }, []byDay{{10, "4"}, {16, "2"}}, "17",
			"1 × 10 × 21 / 30 + 2 × 10 × 15 / 30 = 17"},
		{"rounded in all", catalog.ModelGraduated, "*:10+0", func(r *catalog.Rate) { r.Rounding.Mode = money.RoundCeil }, []byDay{{10, "0.5"}, {16, "0.4"}, {22, "0.2"}}, "10",
			"1 × 10 × 21 / 30 + 1 × 10 × 9 / 30 = 10"},
		{"a maximum", catalog.ModelGraduated, "*:10+0", func(r *catalog.Rate) { r.Maximum = dec("6") }, []byDay{{10, "1"}}, "6", "6 = 6"},
		// 25.8 units for 29 days and 274.2 for 19 are 198.6 for the period: × 0.5 + 50 in the tier of 300.
		{"volume", catalog.ModelVolume, "100:2+10 200:1+0 *:0.5+50", defaults, []byDay{{2, "25.8"}, {12, "274.2"}}, "149.3",
			"25.8 × 0.5 × 29 / 30 + 274.2 × 0.5 × 19 / 30 + 50 = 149.3"},
		{"volume, less than nothing", catalog.ModelVolume, "*:2+10", defaults, []byDay{{2, "-5"}}, "0", "0 = 0"},
		// One for 30 days less one for 15; at zero the flat price is not due.
		{"volume, none at the end", catalog.ModelVolume, "*:2+10", defaults, []byDay{{1, "1"}, {16, "-1"}}, "1", "1 × 2 + (-1) × 2 × 15 / 30 = 1"},
		{"a third", catalog.ModelVolume, "*:1+0", defaults, []byDay{{21, "1"}}, "0.333333333333", "1 × 1 × 10 / 30 ≈ 0.333333333333"},
	} {
		r := &catalog.Rate{ID: "r", Model: c.model, Aggregation: catalog.AggregationSum, ProrateByDay: true, Tiers: parseTiers(c.tiers)}
		c.policy(r)
		s := dated(t, r, c.uses)
		if got, err := Total(r, s); err != nil || got != dec(c.want) {
			t.Errorf("%s: %s, %v; want %s", c.name, got, err, c.want)
		}
		if e := Explain([]Segment{{Rate: r, State: s}}); e.Err != nil || e.Amount != dec(c.want) || e.Equation != c.equation {
			t.Errorf("%s: explained as %q, %v; want %q", c.name, e.Equation, e.Err, c.equation)
		}
	}
}

// TestDays: an event is on the day that the zone's calendar shows, whatever the length of days, and inside its period.
func TestDays(t *testing.T) {
	r := &catalog.Rate{Model: catalog.ModelVolume, ProrateByDay: true, Tiers: parseTiers("*:1+0")}
	march := catalog.Period{
		Start: time.Date(2026, 3, 1, 0, 0, 0, 0, oracleZone).UnixNano(), End: time.Date(2026, 4, 1, 0, 0, 0, 0, oracleZone).UnixNano(),
	}
	for _, c := range []struct {
		at     string
		period catalog.Period
		zone   *time.Location
		left   int64
	}{
		{"2026-03-01T00:00:00+01:00", march, oracleZone, 31},
		{"2026-03-28T23:59:59+01:00", march, oracleZone, 4},
		{"2026-03-29T00:00:00+01:00", march, oracleZone, 3}, // 23 hours
		{"2026-03-29T23:59:59+02:00", march, oracleZone, 3},
		{"2026-03-30T00:00:00+02:00", march, oracleZone, 2},
		{"2026-03-31T23:59:59+02:00", march, oracleZone, 1},
		{"2026-02-01T00:00:00+01:00", march, oracleZone, 31}, // before the period
		{"2026-05-01T00:00:00+02:00", march, oracleZone, 1},  // behind it
		{"2026-03-31T22:00:00Z", march, nil, 1},              // the days of UTC: the period begins on 28 February
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Aggregate(r, State{}, Input{Quantity: money.One, Time: at.UnixNano(), Period: c.period, Zone: c.zone})
		if err != nil {
			t.Fatal(err)
		}
		length := int64(31)
		if c.zone == nil {
			length = 32
		}
		if d := s.Rest.Days[0]; d.Left != c.left || s.Rest.Length != length {
			t.Errorf("%s: %d of %d days, want %d of %d", c.at, d.Left, s.Rest.Length, c.left, length)
		}
	}
}

func TestProratedRefuses(t *testing.T) {
	r := &catalog.Rate{Model: catalog.ModelGraduated, ProrateByDay: true, Tiers: parseTiers("*:1+0")}
	for _, p := range []catalog.Period{{}, {Start: catalog.Always, End: 5}, {Start: 5, End: catalog.Never}} {
		if _, err := Aggregate(r, State{}, Input{Quantity: money.One, Period: p}); !errors.Is(err, ErrNoPeriod) {
			t.Errorf("period %v: %v", p, err)
		}
	}
	huge := dec("170141183460469231731687303.715884105727")
	s := dated(t, r, []byDay{{1, "1"}})
	other := State{Sum: money.One, Events: 1, Rest: &Rest{Days: []Day{{Left: 3, Units: money.One}}, Length: 31}}
	if _, err := Merge(s, other); err == nil {
		t.Error("days of periods of 30 and 31 days are added up")
	}
	if _, err := Aggregate(r, s, Input{Quantity: huge, Time: april(1), Period: inApril, Zone: oracleZone}); !errors.Is(err, money.ErrOverflow) {
		t.Errorf("a day overflows: %v", err)
	}
	large := State{Sum: huge, Events: 1, Rest: &Rest{Days: []Day{{Left: 3, Units: huge}}, Length: 31}}
	for _, model := range []catalog.Model{catalog.ModelGraduated, catalog.ModelVolume} {
		r := &catalog.Rate{Model: model, ProrateByDay: true, Tiers: parseTiers("*:1+0")}
		if _, err := Total(r, large); !errors.Is(err, money.ErrOverflow) {
			t.Errorf("%s of huge units: %v", model, err)
		}
		r.Tiers = nil
		if _, err := Total(r, s); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s without tiers: %v", model, err)
		}
	}
	for _, r := range []*catalog.Rate{
		{Model: catalog.ModelPerUnit, ProrateByDay: true},
		{Model: catalog.ModelVolume, ProrateByDay: true, Aggregation: catalog.AggregationMax, Tiers: parseTiers("*:1+0")},
		{Model: catalog.ModelVolume, ProrateByDay: true, Aggregation: catalog.AggregationCount, Tiers: parseTiers("*:1+0")},
	} {
		if _, err := Total(r, s); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s of %s by day: %v", r.Model, r.Aggregation, err)
		}
	}
}

// TestStatesByDayAreShared: a state in hand does not change when another goes on from it.
func TestStatesByDayAreShared(t *testing.T) {
	r := &catalog.Rate{Model: catalog.ModelVolume, ProrateByDay: true, Tiers: parseTiers("*:1+0")}
	s := dated(t, r, []byDay{{3, "1"}, {5, "2"}})
	before, _ := Total(r, s)
	in := Input{Quantity: dec("7"), Period: inApril, Zone: oracleZone}
	for _, day := range []int{1, 3, 4, 5, 6} {
		in.Time = april(day)
		if _, err := Aggregate(r, s, in); err != nil {
			t.Fatal(err)
		}
	}
	if after, _ := Total(r, s); after != before || len(s.Rest.Days) != 2 {
		t.Errorf("%s became %s", before, after)
	}
}

func TestProratedTotalDoesNotAllocate(t *testing.T) {
	for _, model := range []catalog.Model{catalog.ModelGraduated, catalog.ModelVolume} {
		r := &catalog.Rate{Model: model, ProrateByDay: true, Tiers: parseTiers("5:10+100 *:5+50")}
		s := dated(t, r, []byDay{{0, "1"}, {3, "1"}, {5, "9"}})
		if n := testing.AllocsPerRun(10, func() { _, _ = Total(r, s) }); n != 0 {
			t.Errorf("%s allocates %v times", model, n)
		}
	}
}

func BenchmarkProrated(b *testing.B) {
	for _, model := range []catalog.Model{catalog.ModelGraduated, catalog.ModelVolume} {
		r := benchRate(model)
		r.ProrateByDay = true
		for name, days := range map[string]int{"a day": 1, "30 days": 30} {
			s := State{Events: 1, Rest: &Rest{Length: 30}}
			for i := range days {
				s.Sum, _ = s.Sum.Add(dec("70.5"))
				s.Rest.Days = append(s.Rest.Days, Day{Left: int64(30 - i), Units: dec("70.5")})
			}
			b.Run(string(model)+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := Total(r, s); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
