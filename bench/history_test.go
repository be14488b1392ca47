package main

import (
	"math"
	"testing"
	"time"
)

func near(a, b, most float64) bool { return math.Abs(a-b) <= most }

// TestRegression: the example of many textbooks, x 1…5, y 2 4 5 4 5: slope 0.6, standard error √0.08, t(3) 3.182.
func TestRegression(t *testing.T) {
	slope, error95 := regression([]float64{2, 4, 5, 4, 5})
	if !near(slope, 0.6, 1e-9) || !near(error95, 3.182*math.Sqrt(0.08), 0.01) {
		t.Errorf("%v ± %v", slope, error95)
	}
	// From tables.
	for freedom, want := range map[float64]float64{3: 3.182, 5: 2.571, 10: 2.228, 33: 2.035, 1000: 1.962} {
		if got := studentT(freedom); !near(got, want, want/100) {
			t.Errorf("t(%v) = %v, want %v", freedom, got, want)
		}
	}
	growth, low, high := trendOf([]float64{10, 10, 10, 10})
	if growth != 0 || low != 0 || high != 0 {
		t.Errorf("%v (%v to %v) of what stays the same", growth, low, high)
	}
	// 10 to 13 in a straight line: 3 of a mean of 11.5, without doubt.
	growth, low, high = trendOf([]float64{10, 11, 12, 13})
	if want := 3 / 11.5; !near(growth, want, 1e-9) || !near(low, want, 1e-6) || !near(high, want, 1e-6) {
		t.Errorf("%v (%v to %v), want %v", growth, low, high, want)
	}
}

func TestGrowthIsJudged(t *testing.T) {
	days := func(micros ...float64) (out []slice) {
		for _, v := range micros {
			out = append(out, slice{sample: sample{1, time.Second, usedCPU{self: time.Duration(v * 1000)}}})
		}
		return out
	}
	for _, c := range []struct {
		days []slice
		met  bool
	}{
		{days(5, 6, 5, 6, 5, 6), true},
		{days(6, 5, 4, 3), true}, // cheaper is no growth
		{days(5, 6, 7, 8, 9.1, 10), false},
	} {
		r := &report{Measures: historyMeasures(c.days)}
		for _, m := range r.Measures {
			if m.Goal != "" && (m.Met == nil || *m.Met != c.met) {
				t.Errorf("%+v, want met %v", m, c.met)
			}
		}
	}
}

// TestHistoryBriefly lets four days pass: log time moves, and every event is rated.
func TestHistoryBriefly(t *testing.T) {
	t.Parallel()
	s := brief
	s.History, s.Days = 8_000, 4
	r := measureBriefly(t, testCorner(t), s, measureHistory)
	if m := figureOf(t, r, "days 1 to 4: all"); m.Median <= 0 || len(m.Samples) != 4 {
		t.Errorf("%+v", m)
	}
}
