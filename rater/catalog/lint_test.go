package catalog

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLint holds a document for each kind of mistake, with what is said about it.
func TestLint(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "lint", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no documents: %v", err)
	}
	rules := map[string]bool{}
	for _, path := range files {
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			found := Lint(name, data, name == "partial.yaml", testNow)
			var out strings.Builder
			for i := range found.List {
				f := &found.List[i]
				rules[f.Rule] = true
				if f.Severity != SeverityError && (f.Line == 0 || f.Path == "" || f.Advice == "") {
					t.Errorf("%+v does not say where it is or what to do", f)
				}
				fmt.Fprintln(&out, f.Text(name))
			}
			golden(t, path+".want", out.String())
		})
	}
	for _, rule := range []string{
		"refused", "tier-order", "tier-rises", "tier-same", "tier-gap", "volume-step", "below-zero", "percent", "rate-gap", "rate-ends", "contract-gap", "end-of-month",
		"contract-empty", "class-empty", "class-unreachable", "package-empty", "package-unused", "package-not-had", "currency-missing", "currency-unused",
		"rate-currency", "rate-shadowed", "rate-outside-package", "rate-unprovisioned", "matrix-gap", "matrix-default", "matrix-shadowed", "look-alike", "same-name",
		"formula-fails", "formula-negative", "formula-constant", "capacity-tier", "capacity-limit", "capacity-unlimited", "capacity-alone", "pool-alone",
	} {
		if !rules[rule] {
			t.Errorf("no document shows %s", rule)
		}
	}
}

// TestLintOfGoodDocuments: what is as it should be is not found.
func TestLintOfGoodDocuments(t *testing.T) {
	for name, document := range map[string]string{
		"formulas": `
currency: EUR
products:
  - {id: f, rates: [{model: formula, expression: "max(0, quantity - 10) * 0.1"}]}
  - {id: g, rates: [{model: formula, expression: "events * 2"}]}
  - {id: h, rates: [{model: formula, expression: "quantity > 0 ? 100 / quantity : 0"}]}
  - {id: i, rates: [{model: custom, method: half, parameters: {by: 2}}]}`,
		"a capacity": `
currency: EUR
products:
  - {id: seats, rates: [{id: cap, model: capacity, pool: account, tiers: [{price: 50, limits: {seats: 10, gb: 5}}, {price: 60, limits: {seats: 5, gb: 50}}, {price: 90, limits: {seats: 20}}, {price: 200}]}]}
  - {id: gb, rates: [{id: cap, model: capacity, pool: account, tiers: [{price: 50, limits: {seats: 10, gb: 5}}, {price: 60, limits: {seats: 5, gb: 50}}, {price: 90, limits: {seats: 20}}, {price: 200}]}]}`,
		"pools": `
currency: EUR
products:
  - {id: a, group_by: [region], rates: [{model: volume, pool: account, tiers: [{up_to: 10, unit_price: 2}, {unit_price: 1.99}]}]}
  - {id: b, rates: [{model: graduated, pool: invoice, tiers: [{up_to: 10, unit_price: 2}, {unit_price: 1}]}]}
  - {id: c, rates: [{model: graduated, pool: package, tiers: [{up_to: 10, unit_price: 2}, {unit_price: 1}]}]}
  - {id: d, rates: [{model: graduated, pool: account, tiers: [{up_to: 10, unit_price: 2}, {unit_price: 1}]}]}
packages: [{id: k, products: [{product: c}, {product: d}]}]
accounts: [{id: p, packages: [{package: k}]}, {id: q, parent: p, bill_to: parent}]`,
	} {
		found := Lint("good.yaml", []byte(document), false, testNow)
		for i := range found.List {
			if f := &found.List[i]; f.Rule != "volume-step" {
				t.Errorf("%s: %s", name, f.Text("good.yaml"))
			}
		}
	}
}

// golden compares with a file that was read by somebody.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want, err := os.ReadFile(path); err != nil || string(want) != got {
		t.Errorf("%s (%v) wants:\n%s\ngot:\n%s", path, err, want, got)
	}
}

func TestLintIsBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("currency: EUR\nproducts:\n")
	for i := range maxFindings + 10 {
		fmt.Fprintf(&b, "  - {id: p%c%d, rates: [{model: flat, amount: -1}]}\n", 'a'+rune(i%26), i)
	}
	if found := Lint("many.yaml", []byte(b.String()), false, testNow); len(found.List) != maxFindings || found.More != 10 {
		t.Errorf("%d findings and %d more", len(found.List), found.More)
	}
}
