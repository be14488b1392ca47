package collector

import "testing"

func TestThresholds(t *testing.T) {
	for _, c := range []struct {
		document       string
		rows, rejected int64
		ended, exceeds bool
	}{
		{"", 10_000, 10_000, true, false},
		{"errors: {at_most: 0}\n", 10, 0, true, false},
		{"errors: {at_most: 0}\n", 10, 1, false, true},
		{"errors: {at_most: 1000}\n", 2000, 1000, true, false},
		{"errors: {at_most: 1000}\n", 2000, 1001, false, true},
		{"errors: {at_most: 5%}\n", 999, 999, false, false}, // too few to judge
		{"errors: {at_most: 5%}\n", 999, 999, true, true},
		{"errors: {at_most: 5%}\n", 20, 1, true, false}, // exactly
		{"errors: {at_most: 5%}\n", 19, 1, true, true},
		{"errors: {at_most: 5%}\n", 1000, 50, false, false},
		{"errors: {at_most: 5%}\n", 1000, 51, false, true},
		{"errors: {at_most: 5%}\n", 0, 0, true, false},
	} {
		config, err := ParseConfig([]byte(c.document + goodConfig))
		if err != nil {
			t.Fatal(err)
		}
		if err := config.Errors.exceeded(&Counts{Rows: c.rows, Rejected: c.rejected}, c.ended); (err != nil) != c.exceeds {
			t.Errorf("%q, %d of %d, ended %v: %v", c.document, c.rejected, c.rows, c.ended, err)
		}
	}
}
