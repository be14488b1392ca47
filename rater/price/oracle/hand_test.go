package oracle

import (
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"
)

// berlin is October 2026, in which the clocks go back: 31 days, 745 hours.
var berlin = func() Usage {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err)
	}
	return Usage{
		Start: time.Date(2026, 10, 1, 0, 0, 0, 0, zone), End: time.Date(2026, 11, 1, 0, 0, 0, 0, zone), Zone: zone,
	}
}()

// march is March 2026, in which the clocks go forward on the 29th: 31 days, 743 hours.
var march = Usage{
	Start: time.Date(2026, 3, 1, 0, 0, 0, 0, berlin.Zone), End: time.Date(2026, 4, 1, 0, 0, 0, 0, berlin.Zone), Zone: berlin.Zone,
}

// on reads events, "day hour:minute quantity [key=value ...]" each, in log order; the key amount is the money that it carries.
func on(u Usage, events ...string) (list []Event) {
	for i, s := range events {
		var d, h, m int
		var q string
		if _, err := fmt.Sscanf(s, "%d %d:%d %s", &d, &h, &m, &q); err != nil {
			panic(err)
		}
		e := Event{
			ID: fmt.Sprintf("e%d", i), Time: time.Date(u.Start.In(u.Zone).Year(), u.Start.In(u.Zone).Month(), d, h, m, 0, 0, u.Zone),
			Quantity: rat(q), Attributes: map[string]string{},
		}
		for _, field := range strings.Fields(s)[3:] {
			key, value, _ := strings.Cut(field, "=")
			switch key {
			case "amount":
				e.Amount = rat(value)
			case "product":
				e.Product = value
			case "account":
				e.Account = value
			case "id":
				e.ID = value
			case "utc":
				t, err := time.Parse(time.RFC3339, value)
				if err != nil {
					panic(err)
				}
				e.Time = t
			default:
				e.Attributes[key] = value
			}
		}
		list = append(list, e)
	}
	return list
}

func from(d int, r Rate) Rate {
	r.Start = time.Date(2026, 10, d, 0, 0, 0, 0, berlin.Zone)
	return r
}

func until(d int, r Rate) Rate {
	r.End = time.Date(2026, 10, d, 0, 0, 0, 0, berlin.Zone)
	return r
}

func unit(price string) Rate { return Rate{Model: perUnit, UnitPrice: rat(price)} }

// steps are tiers "up_to unit_price flat_price"; the last begins with "-".
func steps(tiers ...string) (list []Tier) {
	for _, s := range tiers {
		f := strings.Fields(s)
		t := Tier{UnitPrice: rat(f[1]), Flat: rat(f[2])}
		if f[0] != "-" {
			t.UpTo = rat(f[0])
		}
		list = append(list, t)
	}
	return list
}

func percents(tiers []Tier) []Tier {
	for i := range tiers {
		tiers[i].Percent, tiers[i].UnitPrice = tiers[i].UnitPrice, nil
	}
	return tiers
}

// blocks are tiers "block_size max_blocks price".
func blocks(tiers ...string) (list []Tier) {
	for _, s := range tiers {
		f := strings.Fields(s)
		t := Tier{BlockSize: rat(f[0]), Price: rat(f[2])}
		if f[1] != "-" {
			t.MaxBlocks = rat(f[1])
		}
		list = append(list, t)
	}
	return list
}

type hand struct {
	name   string
	rates  []Rate
	usage  Usage
	events []string
	want   string // the rates' amounts
	not    string // the events that are rejected, with the reason
}

func (h *hand) run(t *testing.T) {
	if h.usage.Zone == nil {
		h.usage = berlin
	}
	got := Line(h.rates, h.usage, on(h.usage, h.events...))
	total := num(0)
	var amounts []*big.Rat
	for _, w := range strings.Fields(h.want) {
		amounts = append(amounts, rat(w))
		total = add(total, rat(w))
	}
	for k, want := range amounts {
		if got.Rates[k].Cmp(want) != 0 {
			t.Errorf("rate %d costs %s, want %s", k, got.Rates[k].FloatString(12), want.FloatString(12))
		}
	}
	if got.Amount.Cmp(total) != 0 {
		t.Errorf("amount %s, want %s", got.Amount.FloatString(12), total.FloatString(12))
	}
	var not []string
	for _, r := range got.Rejected {
		not = append(not, strings.TrimSpace(r.ID+" "+r.Reason))
	}
	if s := strings.Join(not, ", "); s != h.not {
		t.Errorf("rejected %q, want %q", s, h.not)
	}
	if got.Beyond != "" {
		t.Errorf("out of scope: %s", got.Beyond)
	}
}

func TestByHand(t *testing.T) {
	for _, group := range [][]hand{models(), money(), aggregations(), options(), changes(), matrices()} {
		for _, h := range group {
			t.Run(h.name, h.run)
		}
	}
}

func models() []hand {
	two := steps("100 1 5", "- 0.5 7")
	return []hand{
		// The amount once, whatever the quantities are.
		{name: "flat", rates: []Rate{{Model: flat, Amount: rat("5")}}, events: []string{"1 0:00 3", "2 0:00 0", "3 0:00 -9"}, want: "5"},
		{name: "nothing", rates: []Rate{{Model: flat, Amount: rat("5")}}, want: "0"},
		// 0.333333333333 + 0.666666666666 = 0.999999999999; × 0.1 = 0.0999999999999, half away from zero at the 12th: 0.1
		{name: "per_unit", rates: []Rate{unit("0.1")}, events: []string{"1 0:00 0.333333333333", "9 0:00 0.666666666666"}, want: "0.1"},
		// -0.000000000005 × 0.1 = -0.0000000000005, a half at the 12th, away from zero
		{name: "per_unit, below zero", rates: []Rate{unit("0.1")}, events: []string{"1 0:00 -0.000000000005"}, want: "-0.000000000001"},
		// 100 × 1 + 0.5 × 0.5 + both flat prices 5 + 7
		{name: "graduated", rates: []Rate{{Model: graduated, Tiers: two}}, events: []string{"1 0:00 100", "2 0:00 0.5"}, want: "112.25"},
		// 100 × 1 + 5: the bound belongs to the first tier
		{name: "graduated, on the bound", rates: []Rate{{Model: graduated, Tiers: two}}, events: []string{"1 0:00 100"}, want: "105"},
		// 100 × 1 + 5 + 7: the bound is the first of the second tier, which has no units yet
		{name: "graduated, half open", rates: []Rate{{Model: graduated, Tiers: two, HalfOpen: true}}, events: []string{"1 0:00 100"}, want: "112"},
		// -3 × 1, no flat price
		{name: "graduated, below zero", rates: []Rate{{Model: graduated, Tiers: two, ZeroFlat: true}}, events: []string{"1 0:00 -3"}, want: "-3"},
		// 100.000000000001 × 0.5 = 50.0000000000005, + 7, a half at the 12th
		{name: "volume", rates: []Rate{{Model: volume, Tiers: two}}, events: []string{"1 0:00 100.000000000001"}, want: "57.000000000001"},
		// 100 × 1 + 5; 100 × 0.5 + 7
		{name: "volume, on the bound", rates: []Rate{{Model: volume, Tiers: two}}, events: []string{"1 0:00 100"}, want: "105"},
		{name: "volume, half open", rates: []Rate{{Model: volume, Tiers: two, HalfOpen: true}}, events: []string{"1 0:00 100"}, want: "57"},
		// ceil((31 - 10) / 10) = 3 packages of 4
		{
			name: "package", rates: []Rate{{Model: packaged, Size: rat("10"), Price: rat("4"), Free: rat("10")}},
			events: []string{"1 0:00 30", "1 0:01 1"}, want: "12",
		},
		{
			name: "package, all free", rates: []Rate{{Model: packaged, Size: rat("10"), Price: rat("4"), Free: rat("10")}},
			events: []string{"1 0:00 10"}, want: "0",
		},
		// 27: 2 blocks of 10 at 3 = 6, then 7 units are 2 blocks of 5 at 4 = 8
		{
			name: "block_graduated", rates: []Rate{{Model: blockGraduated, Tiers: blocks("10 2 3", "5 - 4")}},
			events: []string{"1 0:00 27"}, want: "14",
		},
		// 20 is the end of the first tier: 2 blocks of 10 at 3
		{
			name: "block_volume", rates: []Rate{{Model: blockVolume, Tiers: blocks("10 2 3", "5 - 4")}},
			events: []string{"1 0:00 20"}, want: "6",
		},
		// ... and the first of the second: 4 blocks of 5 at 4
		{
			name: "block_volume, half open", rates: []Rate{{Model: blockVolume, Tiers: blocks("10 2 3", "5 - 4"), HalfOpen: true}},
			events: []string{"1 0:00 20"}, want: "16",
		},
		{
			name: "block_graduated, below zero", rates: []Rate{{Model: blockGraduated, Tiers: blocks("10 - 3")}},
			events: []string{"1 0:00 -20"}, want: "0",
		},
		// voice 11 > 10 is beyond the first tier, data 500 is within the second's 500; texts have no limit
		{
			name: "capacity",
			rates: []Rate{{Model: capacity, Tiers: []Tier{
				{Price: rat("10"), Limits: map[string]*big.Rat{"voice": rat("10"), "data": rat("500")}},
				{Price: rat("20"), Limits: map[string]*big.Rat{"voice": rat("20"), "data": rat("500")}},
				{Price: rat("30"), Limits: map[string]*big.Rat{"voice": rat("30")}},
			}}},
			events: []string{"1 0:00 11 product=voice", "1 0:00 500 product=data", "1 0:00 9999 product=text"}, want: "20",
		},
	}
}

func money() []hand {
	card := Rate{Model: percentage, Percent: rat("2.9"), Fixed: rat("0.3")}
	freeEvents, freeAmount, clamped := card, card, card
	freeEvents.FreeEvents, freeEvents.FreeAmount = 2, rat("100")
	freeAmount.FreeAmount = rat("100")
	clamped.Min, clamped.Max = rat("0.5"), rat("3")
	return []hand{
		// 2.9 % of 100.01 = 2.90029, + 2 × 0.3; the second event's value is its quantity
		{name: "percentage", rates: []Rate{card}, events: []string{"1 0:00 7 amount=100", "2 0:00 0.01"}, want: "3.50029"},
		// 60 is free, 140 > 100 crosses: 2.9 % of 40 + 0.3 = 1.46; then 2.9 % of 1 + 0.3 = 0.329
		{name: "percentage, free amount", rates: []Rate{freeAmount}, events: []string{"1 0:00 60", "2 0:00 80", "3 0:00 1"}, want: "1.789"},
		// 110 cross with 10: 0.29 + 0.3; 20 back are 10 that were charged and 10 of the free ones: -0.29 + 0.3; then 10 are free again
		{name: "percentage, free amount given back", rates: []Rate{freeAmount}, events: []string{"1 0:00 110", "2 0:00 -20", "3 0:00 10"}, want: "0.6"},
		// two events are free (50, 50: 100 is still inside); the third is the third: 2.9 % of 10 + 0.3
		{name: "percentage, free events", rates: []Rate{freeEvents}, events: []string{"1 0:00 50", "2 0:00 50", "3 0:00 10"}, want: "0.59"},
		// 70 is free; the second crosses 100 with 30 of its 60: 0.87 + 0.3; the third is no longer free: 2.9 + 0.3
		{
			name: "percentage, free events that end early", rates: []Rate{freeEvents},
			events: []string{"1 0:00 70", "2 0:00 60", "3 0:00 100"}, want: "4.37",
		},
		// log order counts, not the order of time: the first that arrived is free
		{
			name: "percentage, log order", rates: []Rate{{Model: percentage, Percent: rat("10"), FreeEvents: 1}},
			events: []string{"9 0:00 100", "2 0:00 50"}, want: "5",
		},
		// 2.9 % of 1 + 0.3 = 0.329 is raised to 0.5; 2.9 % of 50 + 0.3 = 1.75; 2.9 % of 1000 + 0.3 is held at 3
		{name: "percentage, clamped", rates: []Rate{clamped}, events: []string{"1 0:00 1", "2 0:00 50", "3 0:00 1000"}, want: "5.25"},
		// 150 - 50 included = 100: 1 % of 60 + flat 1 + 2 % of 40 + flat 3
		{
			name:   "graduated_percentage",
			rates:  []Rate{{Model: graduatedPercentage, Tiers: percents(steps("60 1 1", "- 2 3")), Included: rat("50")}},
			events: []string{"1 0:00 1 amount=100", "2 0:00 1 amount=50"}, want: "5.4",
		},
		{
			name: "dynamic", rates: []Rate{{Model: dynamic}},
			events: []string{"1 0:00 5 amount=1.25", "2 0:00 5", "2 0:00 1 amount=-0.25"}, want: "1", not: "e1 amount_missing",
		},
	}
}

func aggregations() []hand {
	by := func(aggregation string) []Rate {
		return []Rate{{Model: perUnit, UnitPrice: num(1), Aggregation: aggregation}}
	}
	unique := by(uniqueOf)
	unique[0].Attribute = "user"
	absolute := by(timeWeighted)
	absolute[0].Level = "absolute"
	carried := berlin
	carried.Carried = rat("2")
	return []hand{
		{name: "sum", rates: by(""), events: []string{"1 0:00 5", "1 0:00 -7"}, want: "-2"},
		{name: "count", rates: by(countOf), events: []string{"1 0:00 5", "1 0:00 0", "1 0:00 -1"}, want: "2", not: "e2"},
		{name: "max", rates: by(maxOf), events: []string{"1 0:00 5", "1 0:00 7", "1 0:00 6", "1 0:00 -8"}, want: "7", not: "e3"},
		// of the two at 5:00 the id "b" is behind "a", though it arrived first
		{
			name: "latest", rates: by(latestOf),
			events: []string{"1 5:00 3 id=b", "1 5:00 4 id=a", "1 4:59 9", "1 6:00 -1"}, want: "3", not: "e3",
		},
		{
			name: "unique", rates: unique,
			events: []string{"1 0:00 1 user=ann", "2 0:00 1 user=bob", "3 0:00 9 user=ann", "3 0:00 1"}, want: "2", not: "e3 attribute_missing",
		},
		// the 25th has 25 hours. Level 10 from the 25th 0:00 on: 25 + 6 × 24 = 169 h, 10 × 169 = 1690; 5 less from the 31st on:
		// 24 h × -5 = -120. 1570 / 745 = 2.107382550335(57...), rounded to 2.107382550336
		{
			name: "time_weighted", rates: by(timeWeighted),
			events: []string{"31 0:00 -5", "25 0:00 10"}, want: "2.107382550336",
		},
		// 743 for the 23 + 24 + 24 hours from the 29th on, of 743
		{name: "time_weighted, a day of 23 hours", usage: march, rates: by(timeWeighted), events: []string{"29 0:00 743"}, want: "71"},
		// carried 2 for 24 h, then 10 for 48 h, then 0: 48 + 480 = 528; / 745 = 0.708724832214(76...)
		{
			name: "time_weighted, absolute", usage: carried, rates: absolute,
			events: []string{"4 0:00 0", "2 0:00 10"}, want: "0.708724832215",
		},
		// carried 2 for the whole of it, and 1 more from the 2nd on: 2 + 721 / 745 = 2.967785234899(32...)
		{name: "time_weighted, carried", usage: carried, rates: by(timeWeighted), events: []string{"2 0:00 1"}, want: "2.967785234899"},
	}
}

func options() []hand {
	priced := func(change func(*Rate)) []Rate {
		r := unit("2")
		change(&r)
		return []Rate{r}
	}
	with := func(r Rate, change func(*Rate)) []Rate {
		change(&r)
		return []Rate{r}
	}
	tiers := Rate{Model: graduated, Tiers: steps("10 1 5", "20 2 6", "- 3 7")}
	volumes := Rate{Model: volume, Tiers: steps("10 1 5", "20 2 6", "- 3 7")}
	whole := func(r *Rate) { r.WholeEvent = true }
	daily := func(r *Rate) { r.ProrateDay = true }
	return []hand{
		// (10 + 0.5 - 10) × 2; nothing below; a negative quantity as it is
		{name: "included", rates: priced(func(r *Rate) { r.Included = num(10) }), events: []string{"1 0:00 10", "2 0:00 0.5"}, want: "1"},
		{name: "included, all", rates: priced(func(r *Rate) { r.Included = num(10) }), events: []string{"1 0:00 9"}, want: "0"},
		{name: "included, below zero", rates: priced(func(r *Rate) { r.Included = num(10) }), events: []string{"1 0:00 -9"}, want: "-18"},
		// 10 - 10 = 0, at which the first flat price is due
		{
			name:   "included, zero",
			rates:  with(tiers, func(r *Rate) { r.Included, r.ZeroFlat = num(10), true }),
			events: []string{"1 0:00 10"}, want: "5",
		},
		{name: "zero, skipped", rates: []Rate{tiers}, events: []string{"1 0:00 0"}, want: "0"},
		{name: "maximum", rates: priced(func(r *Rate) { r.Maximum = num(7) }), events: []string{"1 0:00 3", "2 0:00 1"}, want: "7"},
		// 2 × round(2.5) = 2 × 3; of the sum, not of each
		{
			name: "rounding", rates: priced(func(r *Rate) { r.Rounding = &Rounding{Mode: "round"} }),
			events: []string{"1 0:00 1.25", "2 0:00 1.25"}, want: "6",
		},
		// ceil of 11 and of 21 to tens: 20 + 30 = 50
		{
			name: "rounding of events", rates: priced(func(r *Rate) { r.Rounding = &Rounding{Mode: "ceil", Precision: -1, OnEvent: true} }),
			events: []string{"1 0:00 11", "2 0:00 21"}, want: "100",
		},
		{
			name: "floor below zero", rates: priced(func(r *Rate) { r.Rounding = &Rounding{Mode: "floor", Precision: 1} }),
			events: []string{"1 0:00 -0.01"}, want: "-0.2",
		},
		// 1 → 60; 60 → 60; 60.1 → 66; -7 → -60; 0 → 0: 126 × 2
		{
			name: "increments", rates: priced(func(r *Rate) { r.Rounding = &Rounding{First: num(60), Next: num(6)} }),
			events: []string{"1 0:00 1", "1 0:00 60", "1 0:00 60.1", "1 0:00 -7", "1 0:00 0"}, want: "252",
		},
		// 8 ends in the first tier: 8 × 1 + 5; 8 + 4 = 12 in the second: 4 × 2 + 6; 12 + 10 = 22: 10 × 3 + 7
		{name: "split: false", rates: with(tiers, whole), events: []string{"1 0:00 8", "2 0:00 4", "3 0:00 10"}, want: "64"},
		// 25 × 3 + 5 + 6 + 7 = 93, then -20 ends in the first tier: -20; 10 more in the second: 20, no flat price twice
		{name: "split: false, back", rates: with(tiers, whole), events: []string{"1 0:00 25", "2 0:00 -20", "3 0:00 10"}, want: "93"},
		// the 1st counts wholly, the 17th for 15 of 31 days: 8 × 1 + 5; from 8 to 12: (2 × 1 + 2 × 2) × 15/31 = 2.903225806451(6...), + 6
		{name: "prorate, graduated", rates: with(tiers, daily), events: []string{"17 23:59 4", "1 0:00 8"}, want: "21.903225806452"},
		// the 25th, of 25 hours, is the first of the last 7 days; in at 0:30 and out at 23:30 is nothing, no tier was reached
		{name: "prorate, within a day", rates: with(tiers, daily), events: []string{"25 0:30 31", "25 23:30 -31"}, want: "0"},
		// up on the 1st: 12 + 2 flat prices; down to 0 on the 31st for 1/31 of (10 × 1 + 2 × 2) = 14/31; flat prices stay:
		// 14 + 11 - 0.451612903225(8...) = 24.548387096774(19...)
		{name: "prorate, flat prices stay", rates: with(tiers, daily), events: []string{"1 0:00 12", "31 0:00 -12"}, want: "24.548387096774"},
		// 12 units at the end, so 2 a unit: (8 + 4 × 15/31) × 2 + 6 = 22 + 120/31
		{name: "prorate, volume", rates: with(volumes, daily), events: []string{"1 0:00 8", "17 0:00 4"}, want: "25.870967741935"},
		// the 29th and two more days of 31, though it has 23 hours: 31 × 3/31 = 3 at 3 (31 is above 20), + 7
		{name: "prorate, a day of 23 hours", usage: march, rates: with(volumes, daily), events: []string{"29 23:59 31"}, want: "16"},
		{name: "prorate, below zero", rates: with(volumes, daily), events: []string{"1 0:00 -8"}, want: "0"},
	}
}

func changes() []hand {
	a := until(11, Rate{Model: graduated, Tiers: steps("10 1 0", "- 2 0")})
	b := from(11, Rate{Model: graduated, Tiers: steps("10 3 0", "- 4 0")})
	restart := b
	restart.Restart = true
	restart = until(21, restart)
	counted := from(11, Rate{Model: perUnit, UnitPrice: num(1), Aggregation: countOf})
	highest := from(11, Rate{Model: perUnit, UnitPrice: num(1), Aggregation: maxOf})
	return []hand{
		// 8 × 1 = 8; under the second 12: 10 × 3 + 2 × 4 = 38, less 8 × 3 = 24: 14
		{name: "tiers continue", rates: []Rate{a, b}, events: []string{"1 0:00 8", "11 0:00 4"}, want: "8 14"},
		// the late one makes the first 10, and the second (10 × 3 + 4 × 4) - 30 = 16
		{name: "late into the first", rates: []Rate{a, b}, events: []string{"1 0:00 8", "11 0:00 4", "10 23:59 2"}, want: "10 16"},
		// 4 × 3 of its own; the third goes on from the second alone: 5 × 10 - 4 × 10
		{
			name: "tiers_restart", rates: []Rate{a, restart, from(21, unit("10"))},
			events: []string{"1 0:00 8", "11 0:00 4", "21 0:00 1"}, want: "8 12 10",
		},
		// nothing was used under the second, and the third begins anew all the same: 4 × 3
		{
			name: "tiers_restart without usage", rates: []Rate{a, restart, from(21, Rate{Model: graduated, Tiers: steps("10 3 0", "- 4 0")})},
			events: []string{"1 0:00 8", "21 0:00 4"}, want: "8 0 12",
		},
		// 7 end in the first tier; the late one makes them 8, and the event that ends at 8 is the first of its rate in the second: + 1
		{
			name:   "whole events, and late usage under the rate before",
			rates:  []Rate{until(11, unit("0")), from(11, Rate{Model: graduated, WholeEvent: true, Tiers: steps("7 0 0", "- 0 1")})},
			events: []string{"12 0:00 7", "1 0:00 1", "13 0:00 0"}, want: "0 1",
		},
		// 9 lie in the first tier before, so that it is reached: nothing is due, though the first event ended below zero
		{
			name:   "whole events, and a tier that the usage before has reached",
			rates:  []Rate{until(11, unit("0")), from(11, Rate{Model: graduated, WholeEvent: true, Tiers: steps("- 0 1")})},
			events: []string{"12 0:00 -13", "1 0:00 9", "13 0:00 7"}, want: "0 0",
		},
		// the 12 of before count for all of the month, the 5 that are taken back for 11 of 31 days: (12 - 55/31) - 12
		{
			name: "units of a rate that does not count days", rates: []Rate{until(11, unit("0")), from(11, Rate{Model: graduated, ProrateDay: true, Tiers: steps("- 1 0")})},
			events: []string{"5 0:00 12", "21 0:00 -5"}, want: "0 -1.774193548387",
		},
		// sum and count go on from each other: 3 events less 2
		{name: "count after sum", rates: []Rate{a, counted}, events: []string{"1 0:00 8", "1 0:00 1", "11 0:00 4"}, want: "9 1"},
		// max is of another kind: 4, not max(9, 4) - 9
		{name: "max after sum", rates: []Rate{a, highest}, events: []string{"1 0:00 8", "1 0:00 1", "11 0:00 4"}, want: "9 4"},
		// min(8, 5) = 5; under the second min(12, 11) - min(8, 11) = 3
		{
			name: "maximum on both sides",
			rates: []Rate{
				until(11, Rate{Model: perUnit, UnitPrice: num(1), Maximum: num(5)}),
				from(11, Rate{Model: perUnit, UnitPrice: num(1), Maximum: num(11)}),
			},
			events: []string{"1 0:00 8", "11 0:00 4"}, want: "5 3",
		},
		{name: "no rate in between", rates: []Rate{a, from(12, unit("1"))}, events: []string{"11 12:00 1"}, want: "0 0", not: "e0 no_rate"},
	}
}

func matrices() []hand {
	entry := func(price string, match map[string]Match) Entry { return Entry{Match: match, Rate: unit(price)} }
	is := func(values ...string) Match { return Match{Values: values} }
	other := unit("100")
	calls := Rate{
		Model:      matrix,
		Dimensions: []Dimension{{Name: "to", From: "number", By: "prefix"}, {Name: "when", By: "time_of_day"}},
		Entries: []Entry{
			entry("1", map[string]Match{"to": is("49", "43")}),
			entry("2", map[string]Match{"to": is("4930")}),
			entry("3", map[string]Match{"to": is("49"), "when": {FromMinute: 22 * 60, ToMinute: 6 * 60}}),
		},
		Default: &other,
	}
	sizes := Rate{
		Model:      matrix,
		Dimensions: []Dimension{{Name: "size", By: "range"}, {Name: "day", By: "weekday"}},
		Entries: []Entry{
			entry("1", map[string]Match{"size": {To: num(10)}}),
			entry("10", map[string]Match{"size": {From: num(10), To: num(20)}}),
			entry("1000", map[string]Match{"day": is("sat", "sun")}),
		},
	}
	capped := sizes
	capped.Maximum = num(15)
	tiered := func(region string, price string) Entry {
		return Entry{
			Match: map[string]Match{"region": is(region)},
			Rate:  Rate{Model: graduated, Tiers: steps("10 "+price+" 0", "- 0 0"), Included: num(1)},
		}
	}
	before := until(11, Rate{Model: matrix, Dimensions: []Dimension{{Name: "region"}}, Entries: []Entry{tiered("eu", "1"), tiered("us", "2")}})
	after := from(11, Rate{Model: matrix, Dimensions: []Dimension{{Name: "region"}}, Entries: []Entry{tiered("us", "4"), tiered("eu", "3")}})
	night := Rate{
		Model: matrix, Dimensions: []Dimension{{Name: "when", By: "time_of_day"}},
		Entries: []Entry{entry("1", map[string]Match{"when": {FromMinute: 2 * 60, ToMinute: 3 * 60}})}, Default: &other,
	}
	lists := Rate{
		Model: matrix, Dimensions: []Dimension{{Name: "plan"}},
		Entries: []Entry{entry("1", map[string]Match{"plan": is("a", "b")}), entry("2", map[string]Match{"plan": is("b", "c")})},
	}
	return []hand{
		{name: "matrix, the first that is written", rates: []Rate{lists}, events: []string{"1 0:00 1 plan=b"}, want: "1"},
		// 0:30 and 1:30 UTC are both 2:30; 0:59:59 before the first and 2:00 after the second are outside
		{
			name: "matrix, an hour that comes twice", rates: []Rate{night},
			events: []string{
				"1 0:00 1 utc=2026-10-25T00:30:00Z", "1 0:00 1 utc=2026-10-25T01:30:00Z",
				"1 0:00 1 utc=2026-10-24T23:59:59Z", "1 0:00 1 utc=2026-10-25T02:00:00Z",
			},
			want: "202",
		},
		// 0:59:59 UTC is 1:59:59, and a second later it is 3:00
		{
			name: "matrix, an hour that is skipped", usage: march, rates: []Rate{night},
			events: []string{"1 0:00 1 utc=2026-03-29T00:59:59Z", "1 0:00 1 utc=2026-03-29T01:00:00Z"}, want: "200",
		},
		// 4930 is the longest: 2; 4989 at noon 1, at 22:00 and 5:59 the entry with the time 3 each, at 6:00 again 1; 33: 100
		{
			name: "matrix, prefix and time", rates: []Rate{calls},
			events: []string{
				"1 23:00 1 number=4930", "1 12:00 1 number=4989", "1 22:00 1 number=4989", "1 5:59 1 number=4989",
				"1 6:00 1 number=4989", "1 12:00 1 number=33",
			},
			want: "110",
		},
		// 9.99: 1; 10: 10; "x" is no decimal, but the 3rd is a Saturday: 1000; without a size on a Monday: none
		{
			name: "matrix, range and weekday", rates: []Rate{sizes},
			events: []string{"1 0:00 1 size=9.99", "3 0:00 1 size=10", "3 0:00 1 size=x", "5 0:00 1", "5 0:00 1 size=20"},
			want:   "1011", not: "e3 no_rate, e4 no_rate",
		},
		// 2 × 1 + 2 × 10 = 22, at most 15
		{name: "matrix, maximum of all", rates: []Rate{capped}, events: []string{"1 0:00 2 size=1", "1 0:00 2 size=10"}, want: "15"},
		// eu: 5 - 1 included = 4 at 1; us: 12 - 1 = 11, 10 at 2 and 1 at 0. Later eu: 8 - 1 = 7 at 3 less 4 at 3: 9; us: nothing more
		{
			name: "matrix, cells continue", rates: []Rate{before, after},
			events: []string{"1 0:00 5 region=eu", "1 0:00 12 region=us", "11 0:00 3 region=eu", "12 0:00 3 region=us"},
			want:   "24 9",
		},
	}
}

// The pool's quantity decides the tier, the event's line gets the charge: 8 × 1 to a; 4 more are 2 × 1 + 2 × 5 to b; 1 × 5 to a.
func TestPoolByHand(t *testing.T) {
	rates := []Rate{{Model: graduated, Tiers: steps("10 1 0", "- 5 0")}}
	charges := Charges(rates, berlin, on(berlin, "1 0:00 8 account=a", "1 0:00 4 account=b", "2 0:00 1 account=a"))
	for i, want := range []string{"8", "12", "5"} {
		if charges[i].Cmp(rat(want)) != 0 {
			t.Errorf("charge %d is %s, want %s", i, charges[i].FloatString(12), want)
		}
	}
}
