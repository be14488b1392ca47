package pricetest

import (
	"math/big"
	"testing"
)

func TestWorkOut(t *testing.T) {
	for text, want := range map[string]string{
		"100 × 0.1 + 50 × 0.05 = 12.5":                            "12.5",
		"(100 × 0.1 + 60 × 0.05) - (100 × 0.1 + 50 × 0.05) = 0.5": "0.5",
		"0 - 80 × 0.1 = -8":                                       "-8",
		"(-3) × 0.5 = -1.5":                                       "-1.5",
		"200 × 2.9% + 3 × 0.3 = 6.7":                              "6.7",
		"1 × (-1)% - 0 = -0.01":                                   "-0.01",
		"10 × 3 × 15 / 30 = 15":                                   "15",
		"2 × (1 + 2) - ((-1) - 4) × 2 = 16":                       "16",
		"100 × 0.1 + 50 × 0.05 - 3 × 0.1 - 1 = 11.2":              "11.2",
	} {
		e, err := WorkOut(text)
		amount, _ := new(big.Rat).SetString(want)
		if err != nil || e.Left.Cmp(amount) != 0 || e.Right.Cmp(amount) != 0 || !e.Exact || Claims(text, want, 0) != "" {
			t.Errorf("%s: %v, %v", text, e, err)
		}
	}
	for _, text := range []string{"", "1", "1 + = 1", "(1 = 1", "1) = 1", "1 / 0 = 1", "x = 1", "1 1 = 1", "1 = 1 = 1"} {
		if e, err := WorkOut(text); err == nil {
			t.Errorf("%q: %v", text, e)
		}
	}
	for _, bad := range []string{"1 + 1 = 2.000000000001", "1 + 1 = 3", "1 / 3 = 0.333333333333", "1 / 3 ≈ 0.333333333331"} {
		e, err := WorkOut(bad)
		if err != nil || Claims(bad, e.Right.FloatString(12), 1) == "" {
			t.Errorf("%s passes", bad)
		}
	}
	if bad := Claims("1 / 3 ≈ 0.333333333333", "0.333333333333", 1); bad != "" {
		t.Error(bad)
	}
	if Claims("1 + 1 = 2", "3", 1) == "" {
		t.Error("an equation of another amount passes")
	}
}
