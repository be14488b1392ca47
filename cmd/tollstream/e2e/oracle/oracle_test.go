package oracle

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// TestOracle holds the oracle against figures worked out by hand.
func TestOracle(t *testing.T) {
	tiers := []Tier{{"100", "0.10", ""}, {"200", "0.05", "2.5"}, {"", "0.01", ""}}
	for _, c := range []struct {
		name, quantity, want string
		rate                 Rate
	}{
		{"per unit", "3", "0.75", Rate{Model: "per_unit", Unit: "0.25"}},
		{"half of the 12th is rounded up", "0.000000000005", "0.000000000001", Rate{Model: "per_unit", Unit: "0.1"}},
		{"below half of it is not", "0.000000000004", "0", Rate{Model: "per_unit", Unit: "0.1"}},
		{"flat", "7", "49.99", Rate{Model: "flat", Amount: "49.99"}},
		{"package, all free", "50", "0", Rate{Model: "package", Size: "100", Price: "7.5", Free: "50"}},
		{"package, begun", "50.001", "7.5", Rate{Model: "package", Size: "100", Price: "7.5", Free: "50"}},
		{"package, two full", "250", "15", Rate{Model: "package", Size: "100", Price: "7.5", Free: "50"}},
		{"graduated, on the bound", "100", "10", Rate{Model: "graduated", Tiers: tiers}},
		{"graduated, above it", "100.5", "12.525", Rate{Model: "graduated", Tiers: tiers}},
		{"graduated, last tier", "300", "18.5", Rate{Model: "graduated", Tiers: tiers}},
		{"volume, on the bound", "100", "10", Rate{Model: "volume", Tiers: tiers}},
		{"volume, second tier", "150", "10", Rate{Model: "volume", Tiers: tiers}},
		{"volume, last tier", "300", "3", Rate{Model: "volume", Tiers: tiers}},
	} {
		if got := c.rate.total(Rat(c.quantity), 1); got.Cmp(Rat(c.want)) != 0 {
			t.Errorf("%s: %s, want %s", c.name, got.FloatString(13), c.want)
		}
	}
	// A price that changes after 90 units: 90 at 0.10; the line goes on from 90 to 120 in tiers of 0.20 up to 100, then 0.30.
	begin := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	change := begin.Add(time.Hour)
	rates := []*Rate{
		{Model: "per_unit", Unit: "0.10", End: change},
		{Model: "graduated", Tiers: []Tier{{"100", "0.20", ""}, {"", "0.30", ""}}, Start: change},
	}
	uses := []Use{
		{Billed: "b", Account: "a", Product: "p", Quantity: "30", At: change},
		{Billed: "b", Account: "a", Product: "p", Quantity: "90", At: begin},
	}
	got := Bill(uses, func(string, string) []*Rate { return rates })["b"]
	if got.Total.Cmp(Rat("17")) != 0 { // 9 + 10 × 0.20 + 20 × 0.30
		t.Errorf("a price that changes: %s, want 17", got.Total.FloatString(12))
	}
	proveComparison(t, got)
}

// proveComparison makes sure that an invoice that is wrong in one place is told apart.
func proveComparison(t *testing.T, want *Expectation) {
	t.Helper()
	const right = `{"total": "17.000000000000", "lines": [{"usage_account": "a", "product": "p", "quantity": "120", "events": 2, "amount": "17.000000000000"}]}`
	for _, c := range []struct{ old, broken string }{
		{"", ""},
		{`"total": "17.000000000000"`, `"total": "17.000000000001"`},
		{`"amount": "17.000000000000"`, `"amount": "16.999999999999"`},
		{`"quantity": "120"`, `"quantity": "120.1"`},
		{`"events": 2`, `"events": 3`},
		{`"product": "p"`, `"product": "q"`},
		{`[{`, `[{"usage_account": "a", "product": "p", "quantity": "120", "events": 2, "amount": "17"}, {`},
		{`"lines": [`, `"none": [`},
	} {
		i := new(Invoice)
		if err := json.Unmarshal([]byte(strings.Replace(right, c.old, c.broken, 1)), i); err != nil {
			t.Fatal(err)
		}
		if err := want.Differs(i); (err == nil) != (c.broken == "") {
			t.Errorf("an invoice with %s: %v", c.broken, err)
		}
	}
}
