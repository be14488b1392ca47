package oracle

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

const drawn = 1500

func TestSameSeedSameCase(t *testing.T) {
	for seed := range uint64(50) {
		a, b := Generate(seed, Options{}), Generate(seed, Options{})
		if a.String() != b.String() {
			t.Fatalf("seed %d draws two cases:\n%s\n%s", seed, a.String(), b.String())
		}
	}
}

// What the description promises of all prices holds in every case: charges add up, the order of the log does not matter
// unless a method says so, and nothing drawn is out of scope.
func TestPropertiesOfCases(t *testing.T) {
	for seed := range uint64(drawn * 2 / 3) {
		c := Generate(seed, Options{})
		x := c.Expected()
		if x.Beyond != "" || !c.valid() || c.Doubt() != "" {
			t.Fatalf("out of scope: %s\n%s", x.Beyond, c.String())
		}
		if seed%4 == 0 {
			if y := c.ExpectCharges(); !same(x, y) {
				t.Fatalf("charges do not add up\n%s", c.String())
			}
		}
		if p := Permute(c, seed); c.OrderFree() && !same(x, p.Expected()) {
			t.Fatalf("the order matters\n%s\n%s", c.String(), p.EventsJSON())
		}
		var total int
		for _, l := range x.Lines {
			total += l.Events
		}
		if total+len(x.Rejected) != len(c.Events) {
			t.Fatalf("%d events rated and %d rejected of %d\n%s", total, len(x.Rejected), len(c.Events), c.String())
		}
	}
}

func same(x, y Expected) bool {
	return slices.EqualFunc(x.Lines, y.Lines, func(a, b ExpectedLine) bool {
		return a.Account == b.Account && a.Product == b.Product && a.Package == b.Package && a.Events == b.Events &&
			a.Amount.Cmp(b.Amount) == 0
	})
}

func TestDocumentsAreJSON(t *testing.T) {
	for seed := range uint64(500) {
		c := Generate(seed, Options{})
		for _, text := range []string{c.DocumentJSON(), c.EventsJSON(), c.ExpectedJSON()} {
			if !json.Valid([]byte(text)) {
				t.Fatalf("no JSON:\n%s", text)
			}
		}
	}
}

// Every model, aggregation and option comes up often enough to be tested, most cases cost something, and none of them is drawn
// when it is left out.
func TestEverythingIsDrawn(t *testing.T) {
	marks := map[string]string{
		"bounds": "bounds: half_open", "gap": `"reason": "no_rate"`, "group_by": "group_by: ", "included": "included: ", "level_absolute": "level: absolute",
		"increments": "first: ", "maximum": "maximum: ", "minimum": "minimum: ", "negative": `"quantity": "-`, "pool": "pool: ",
		"prices_change": "model: flat, start: ", "prorate": "prorate: day", "split_false": "split: false", "tiers_restart": "tiers_restart: ",
		"zero_usage_flat": "zero_usage_flat: charge", "rounding": "mode: ", "accounts": "bill_to: parent", "package_names": "packages: [",
		"rejected": `"reason": "a`, "huge": `"quantity": "1000000000000000"`, "default": "default: {", "prefix": "by: prefix", "range": "by: range",
		"time_of_day": "by: time_of_day", "weekday": "by: weekday", "free_events": "free_events: ", "free_amount": "free_amount: ",
		"event rounding": "on: event",
	}
	for _, m := range allModels {
		marks[m] = "{model: " + m + ","
	}
	for _, a := range allAggregations {
		marks[a] = "aggregation: " + a
	}
	found := map[string]int{}
	cost, carried := 0, 0
	for seed := range uint64(drawn) {
		c := Generate(seed, Options{})
		text := c.String()
		for name, mark := range marks {
			if strings.Contains(text, mark) {
				found[name]++
			}
		}
		if slices.ContainsFunc(c.Expected().Lines, func(l ExpectedLine) bool { return l.Amount.Sign() != 0 }) {
			cost++
		}
		if c.Usage.Carried != nil {
			carried++
		}
	}
	for name := range marks {
		if found[name] < 10 {
			t.Errorf("%s in %d of %d cases", name, found[name], drawn)
		}
	}
	if cost < drawn/2 || carried < 5 {
		t.Errorf("%d of %d cases cost something, %d have a level carried over", cost, drawn, carried)
	}
	t.Logf("%d cost something, %d carried, %v", cost, carried, found)
	for _, name := range Features() {
		mark, ok := marks[name]
		for seed := range uint64(30) {
			c := Generate(seed, Options{Without: []string{name}})
			if text := c.String(); ok && name != "gap" && name != sumOf && strings.Contains(text, mark) {
				t.Fatalf("without %s:\n%s", name, text)
			}
		}
	}
}

func BenchmarkGenerate(b *testing.B) {
	b.ReportAllocs()
	for seed := uint64(0); b.Loop(); seed++ {
		c := Generate(seed, Options{})
		c.Expected()
	}
}
