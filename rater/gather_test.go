package rater

import "testing"

func TestTransactionsAreBounded(t *testing.T) {
	for _, c := range []struct {
		lines []int // of the cuts
		want  int
	}{
		{[]int{0, 0, 0}, 3},
		{[]int{20_000, 30_000, 1}, 2},
		{[]int{20_000, 30_001}, 1},
		{[]int{90_000, 1}, 1}, // a cut is never divided
		{[]int{1}, 1},
	} {
		var work []cutWork
		for _, n := range c.lines {
			work = append(work, cutWork{cut: &Cut{Lines: make([]LineState, n)}})
		}
		if got := fitting(work); got != c.want {
			t.Errorf("%v lines: %d cuts together, want %d", c.lines, got, c.want)
		}
	}
}
