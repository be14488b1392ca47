package result

import "testing"

func TestQuantile(t *testing.T) {
	ten := []float64{10, 9, 8, 7, 6, 5, 4, 3, 2, 1}
	for _, c := range []struct {
		samples []float64
		q, want float64
	}{{ten, 0.99, 10}, {ten, 0.5, 6}, {[]float64{4}, 0.5, 4}} {
		if got := Quantile(c.samples, c.q); got != c.want {
			t.Errorf("%v of %v: %v, want %v", c.q, c.samples, got, c.want)
		}
	}
	if ten[0] != 10 {
		t.Error("the samples were put in order")
	}
}
