package catalog

import (
	"strings"
	"testing"
)

// TestFormulasNameGroups: what a formula names stays in the product's group_by, whoever holds the formula.
func TestFormulasNameGroups(t *testing.T) {
	const named = `model: formula, expression: 'group.region == "eu" ? quantity * 2 / days : quantity'`
	product := func(groupBy, rates string) string {
		return "currency: EUR\nproducts: [{id: p, group_by: [" + groupBy + "], rates: [" + rates + "]}]\n"
	}
	const plain = "{model: flat, amount: 1}"
	holders := map[string]string{
		"package":    "packages: [{id: k, products: [{product: p, rates: [{" + named + "}]}]}]",
		"rate_class": "rate_classes: [{id: gold, rates: [{product: p, " + named + "}]}]",
		"account":    "accounts: [{id: acme, products: [{product: p, start: 2026-01-01, rates: [{" + named + "}]}]}]",
		"contract":   "accounts: [{id: acme}]\ncontracts: [{id: c-1, account: acme, start: 2026-01-01, rates: [{product: p, " + named + "}]}]",
		"matrix":     "rate_classes: [{id: gold, rates: [{product: p, model: matrix, dimensions: [to], prices: [{match: {to: a}, " + named + "}]}]}]",
	}
	for name, holder := range holders {
		b := newBook()
		b.must(t, testNow, product("region, team", plain)+holder)
		if got := b.refused(product("team", plain), testNow); !strings.Contains(got, `products[0].group_by: leaves out "region", and a formula of `) || !strings.Contains(got, "keep it, or change that formula in the same document") {
			t.Errorf("%s: %s", name, got)
		}
		b.must(t, testNow, product("team, region, more", plain)) // the order, and more
		if name == "package" || name == "rate_class" || name == "matrix" {
			b.must(t, testNow, product("region", plain)) // team is named by nobody
		}
		other := strings.Replace(holder, named, "model: flat, amount: 2", 1)
		b.must(t, testNow, product("", plain)+other)
		b.must(t, testNow, product("team", plain)+other)
	}
	b := newBook()
	b.must(t, testNow, product("region", "{"+named+"}"))
	if got := b.refused(product("team", "{"+named+"}"), testNow); !strings.Contains(got, `names group.region, by which the product "p" is not grouped: add "region" to its group_by`) {
		t.Error(got)
	}
	b.must(t, testNow, product("", plain))
	if got := b.refused("rate_classes: [{id: gold, rates: [{product: p, "+named+"}]}]", testNow); !strings.Contains(got, `the product "p" is not grouped`) {
		t.Error(got)
	}
}
