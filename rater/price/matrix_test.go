package price

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// matrixOf makes a matrix rate by the attribute region; the entry of "*" is the default.
func matrixOf(id string, start int64, entries map[string]*catalog.Rate) *catalog.Rate {
	r := &catalog.Rate{ID: id, Start: start, Model: catalog.ModelMatrix}
	var list []catalog.Entry
	var otherwise *catalog.Rate
	for region, e := range entries {
		e.ID, e.Start, e.Outer = id, start, r
		if region == "*" {
			otherwise = e
			continue
		}
		list = append(list, catalog.Entry{Match: []catalog.Condition{{Named: true, Values: []string{region}}}, Rate: e})
	}
	m, err := catalog.NewMatrix([]catalog.Dimension{{Name: "region", From: "region", By: catalog.ByExact}}, list, otherwise)
	if err != nil {
		panic(err)
	}
	r.Matrix = m
	return r
}

func unitRate(price string) *catalog.Rate {
	return &catalog.Rate{Model: catalog.ModelPerUnit, UnitPrice: dec(price)}
}

// TestMatrixLines works lines of a matrix out by hand.
func TestMatrixLines(t *testing.T) {
	tiers := func(text string) *catalog.Rate { return graduatedRate("", text) }
	first := matrixOf("m", 1, map[string]*catalog.Rate{"eu": tiers("100:0.10+0 *:0.05+0"), "us": unitRate("2"), "*": unitRate("3")})
	second := matrixOf("m", 2, map[string]*catalog.Rate{"eu": tiers("100:0.20+0 *:0.08+0"), "us": unitRate("4")})
	restarting := matrixOf("n", 3, map[string]*catalog.Rate{"eu": tiers("100:0.20+0 *:0.08+0")})
	restarting.TiersRestart, restarting.Matrix.Entries[0].Rate.TiersRestart = true, true
	cappedFirst := matrixOf("m", 1, map[string]*catalog.Rate{"eu": unitRate("1"), "us": unitRate("2"), "*": unitRate("3")})
	cappedFirst.Maximum = dec("100")
	cappedSecond := matrixOf("m", 2, map[string]*catalog.Rate{"eu": unitRate("2"), "us": unitRate("3")})
	cappedSecond.Maximum = dec("120")
	entryCapped := unitRate("1")
	entryCapped.Maximum, entryCapped.Included = dec("30"), dec("5")
	inner := matrixOf("m", 1, map[string]*catalog.Rate{"eu": entryCapped, "us": unitRate("2")})
	inner.Maximum = dec("50")
	plain := &catalog.Rate{ID: "p", Model: catalog.ModelPerUnit, UnitPrice: dec("0.5")}
	seg := func(r *catalog.Rate, cell, sum string) Segment {
		if cell != "" && cell != catalog.DefaultCell {
			cell = "region=" + cell
		}
		if r.Matrix != nil {
			r = r.Matrix.Entry(cell)
		}
		return Segment{Rate: r, Cell: cell, State: State{Sum: dec(sum), Events: 1}}
	}
	for _, c := range []struct {
		name     string
		line     []Segment
		want     string
		equation string
	}{
		{"cells are apart", []Segment{seg(first, "eu", "80"), seg(first, "us", "80"), seg(first, catalog.DefaultCell, "1")}, "171",
			"1 × 3 + 80 × 0.1 + 80 × 2 = 171"},
		// eu: 80 × 0.10, then from 80 to 150 at the second: 20 × 0.20 + 50 × 0.08. us: 10 × 2 and 5 × 4.
		{"tiers continue in their cell", []Segment{seg(first, "eu", "80"), seg(second, "eu", "70"), seg(first, "us", "10"), seg(second, "us", "5")}, "56",
			"80 × 0.1 + 20 × 0.2 + 50 × 0.08 + 10 × 2 + 5 × 4 = 56"},
		{"tiers restart in their cell", []Segment{seg(first, "eu", "80"), seg(restarting, "eu", "70"), seg(first, "us", "10")}, "42",
			"80 × 0.1 + 70 × 0.2 + 10 × 2 = 42"},
		{"a plain rate before", []Segment{seg(plain, "", "80"), seg(second, "eu", "70")}, "54", "80 × 0.5 + 70 × 0.2 = 54"},
		{"below the maximum", []Segment{seg(cappedFirst, "eu", "40"), seg(cappedFirst, "us", "30")}, "100", "40 × 1 + 30 × 2 = 100"},
		// 40 + 120 + 3 = 163.
		{"capped", []Segment{seg(cappedFirst, "eu", "40"), seg(cappedFirst, "us", "60"), seg(cappedFirst, catalog.DefaultCell, "1")}, "100",
			"1 × 3 + 40 × 1 + 60 × 2 + (-63) = 100"},
		// Under the first: min(100, 80) = 80. Under the second 80 units of eu cost 160, so 120 are due before and after: 0.
		{"capped before a price change", []Segment{seg(cappedFirst, "eu", "80"), seg(cappedSecond, "us", "50")}, "80",
			"80 × 1 + 50 × 3 + (-150) = 80"},
		// Under the first: 10. Under the second 10 of eu cost 20 before; with 50 of us 170, capped 120: 100 more.
		{"capped after it", []Segment{seg(cappedFirst, "eu", "10"), seg(cappedSecond, "us", "50")}, "110", "10 × 1 + 50 × 3 + (-50) = 110"},
		// Under the first 10 + 6; the default's cell is not priced under the second, so before: 20, after: 20 + 90 = 110.
		{"a cell that the next rate has not", []Segment{seg(cappedFirst, "eu", "10"), seg(cappedSecond, "us", "30"), seg(cappedFirst, catalog.DefaultCell, "2")}, "106",
			"2 × 3 + 10 × 1 + 30 × 3 = 106"},
		// Under the first: 100 of 150. Under the second before: 150 × 2, capped at 120; after taking back 140: 20. So -100.
		{"taken back from above", []Segment{seg(cappedFirst, "eu", "150"), seg(cappedSecond, "eu", "-140")}, "0",
			"150 × 1 + (-140) × 2 + (-50) + 180 = 0"},
		// eu: 40 less 5 included, at most 30; us: 22. Together 52 of 50.
		{"caps inside and outside", []Segment{seg(inner, "eu", "40"), seg(inner, "us", "11")}, "50", "30 + 11 × 2 + (-2) = 50"},
	} {
		slices.SortFunc(c.line, CompareSegments)
		got, err := LineTotal(c.line)
		if err != nil || got != dec(c.want) {
			t.Errorf("%s: %s, %v; want %s", c.name, got, err, c.want)
		}
		if e := Explain(c.line); e.Err != nil || e.Equation != c.equation || e.Amount != got {
			t.Errorf("%s: explained as %q, %v; want %q", c.name, e.Equation, e.Err, c.equation)
		}
	}
	whole := []Segment{{Rate: first, State: State{Sum: dec("1"), Events: 1}}}
	if _, err := LineTotal(whole); !errors.Is(err, ErrUnsupported) {
		t.Errorf("a matrix without a price selected: %v", err)
	}
	if e := Explain(whole); !errors.Is(e.Err, ErrUnsupported) {
		t.Errorf("a matrix without a price selected, explained: %v", e)
	}
}

// twoCells is a line with 2 units in the default's cell and 3 of eu.
func twoCells(r *catalog.Rate) []Segment {
	return []Segment{
		{Rate: r.Matrix.Default, Cell: "default", State: State{Sum: dec("2"), Events: 1}},
		{Rate: r.Matrix.Entry("region=eu"), Cell: "region=eu", State: State{Sum: dec("3"), Events: 1}},
	}
}

// TestMatrixExplained: a segment names its cell, and what lies above the maximum is a part of its own.
func TestMatrixExplained(t *testing.T) {
	r := matrixOf("m", 1, map[string]*catalog.Rate{"eu": unitRate("1"), "*": unitRate("2")})
	r.Maximum = dec("5")
	e := Explain(twoCells(r))
	var got []string
	for _, s := range e.Segments {
		got = append(got, fmt.Sprintf("%s %q %s %s", s.RateID, s.Cell, s.Amount, s.Steps[0].Label))
	}
	want := []string{`m "default" 4 units`, `m "region=eu" 3 units`, `m "" -2 above the maximum of 5`}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// matrixHistory is a line of several rates, some of them matrices, and its events.
type matrixHistory struct {
	rates  []*catalog.Rate
	events []matrixEvent
}

type matrixEvent struct {
	rate  int
	cell  string // empty: the rate is no matrix
	event oracleEvent
}

// anyRateInAnyOrder leaves out what prices in log order, whose events the oracle would have to price one by one.
func anyRateInAnyOrder(id string) *rapid.Generator[*catalog.Rate] {
	return anyRate(id).Filter(func(r *catalog.Rate) bool { return !oracleInLogOrder(r) })
}

var regions = []string{"a", "b", "c", "*"}

func anyMatrixHistory() *rapid.Generator[matrixHistory] {
	return rapid.Custom(func(t *rapid.T) (h matrixHistory) {
		for k := range rapid.IntRange(1, 3).Draw(t, "rates") {
			id := fmt.Sprint("r", k)
			if rapid.IntRange(0, 3).Draw(t, "plain") == 0 {
				r := anyRateInAnyOrder(id).Draw(t, "rate")
				r.Start = int64(k)
				h.rates = append(h.rates, r)
				continue
			}
			restart := rapid.IntRange(0, 3).Draw(t, "restart") == 0
			outer := anyRateInAnyOrder(id).Draw(t, "outer")
			entries := map[string]*catalog.Rate{}
			for _, region := range regions[:rapid.IntRange(1, 4).Draw(t, "cells")] {
				e := anyRateInAnyOrder(id).Draw(t, "entry")
				e.TiersRestart = restart
				if kindOf(e) != kindMoney && kindOf(outer) != kindMoney {
					e.Aggregation, e.Rounding = outer.Aggregation, outer.Rounding
					e.ProrateByDay = e.ProrateByDay && e.Aggregation == catalog.AggregationSum
				}
				entries[region] = e
			}
			r := matrixOf(id, int64(k), entries)
			r.TiersRestart = restart
			if rapid.Bool().Draw(t, "capped") {
				r.Maximum = anyDecimal(150, false).Draw(t, "outer maximum")
			}
			h.rates = append(h.rates, r)
		}
		for range rapid.IntRange(0, 12).Draw(t, "events") {
			e := matrixEvent{rate: rapid.IntRange(0, len(h.rates)-1).Draw(t, "segment")}
			priced := h.rates[e.rate]
			if m := priced.Matrix; m != nil {
				region := rapid.SampledFrom(regions).Draw(t, "region")
				if priced = m.Select([]string{region}, 0, nil); priced == nil {
					continue
				}
				e.cell = priced.Cell
			}
			e.event = anyEvent(priced).Draw(t, "event")
			h.events = append(h.events, e)
		}
		return h
	})
}

// line folds the events into segments.
func (h matrixHistory) line(t *rapid.T) []Segment {
	var line []Segment
	for _, e := range h.events {
		r := h.rates[e.rate]
		if r.Matrix != nil {
			r = r.Matrix.Entry(e.cell)
		}
		i := slices.IndexFunc(line, func(s Segment) bool { return s.Rate == r })
		if i < 0 {
			i, line = len(line), append(line, Segment{Rate: r, Cell: e.cell})
		}
		var err error
		if line[i].State, err = Aggregate(r, line[i].State, e.event.input()); err != nil {
			t.Fatal(err)
		}
	}
	slices.SortFunc(line, CompareSegments)
	return line
}

// oracle sums over the rates what each prices of all cells with its usage and before it, each time at most its maximum.
func (h matrixHistory) oracle() *big.Rat {
	sum := ratInt(0)
	for k, r := range h.rates {
		after, before := ratInt(0), ratInt(0)
		for _, cell := range []string{"", "region=a", "region=b", "region=c", "default"} {
			priced := r
			if r.Matrix != nil {
				priced = r.Matrix.Entry(cell)
			} else if cell != "" {
				continue
			}
			if priced == nil {
				continue
			}
			var upTo []oracleSegment
			own := oracleSegment{rate: priced}
			for j, other := range h.rates[:k+1] {
				s := oracleSegment{rate: other}
				if other.Matrix != nil {
					if s.rate = other.Matrix.Entry(cell); s.rate == nil {
						continue
					}
				}
				for _, e := range h.events {
					if e.rate == j && e.cell == cell {
						s.events = append(s.events, e.event)
					}
				}
				if j == k {
					own.events = s.events
				} else {
					if other.TiersRestart && len(s.events) > 0 {
						upTo = nil
					}
					upTo = append(upTo, s)
				}
			}
			if r.TiersRestart {
				upTo = nil
			}
			before.Add(before, oracleTotal(priced, upTo))
			after.Add(after, oracleTotal(priced, append(upTo, own)))
		}
		if r.Matrix != nil && r.Maximum.Sign() > 0 {
			for _, x := range []*big.Rat{after, before} {
				if x.Cmp(rat(r.Maximum)) > 0 {
					x.Set(rat(r.Maximum))
				}
			}
		}
		sum.Add(sum, ratMinus(after, before))
	}
	return sum
}

// TestMatrixOracle: lines with cells agree with the oracle, and their explanations add up.
func TestMatrixOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := anyMatrixHistory().Draw(t, "history")
		line := h.line(t)
		got := lineTotal(t, line)
		if want := h.oracle(); rat(got).Cmp(want) != 0 {
			t.Fatalf("line %s, want %s", got, want.FloatString(12))
		}
		e := Explain(line)
		sum := money.Zero
		for _, s := range e.Segments {
			steps := money.Zero
			for _, step := range s.Steps {
				steps, _ = steps.Add(step.Amount)
			}
			if steps != s.Amount {
				t.Fatalf("steps sum to %s: %+v", steps, s)
			}
			sum, _ = sum.Add(s.Amount)
		}
		if e.Err != nil || e.Amount != got || sum != got {
			t.Fatalf("explained as %s, segments sum to %s, line %s: %v", e.Amount, sum, got, e.Err)
		}
	})
}

func TestMatrixLineDoesNotAllocate(t *testing.T) {
	r := matrixOf("m", 1, map[string]*catalog.Rate{"eu": unitRate("1"), "*": unitRate("2")})
	r.Maximum = dec("5")
	line := twoCells(r)
	if n := testing.AllocsPerRun(10, func() { _, _ = LineTotal(line) }); n != 0 {
		t.Errorf("allocates %v times", n)
	}
}
