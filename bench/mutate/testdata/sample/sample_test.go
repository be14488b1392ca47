package sample

import "testing"

func TestFee(t *testing.T) {
	for n, want := range map[int]int{0: 0, 1: 2, 9: 2, 10: 10, 20: 20, 21: 20, -1: -1} {
		if got := Fee(n); got != want {
			t.Errorf("%d: %d, want %d", n, got, want)
		}
	}
}
