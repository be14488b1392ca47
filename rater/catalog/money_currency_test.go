package catalog

import (
	"strings"
	"testing"
)

// TestMoneyKeepsItsCurrency: what a rate adds up in one currency is not priced in another.
func TestMoneyKeepsItsCurrency(t *testing.T) {
	const before = `
currency: USD
products:
  - {id: pay, rates: [{model: percentage, rate: 2}]}
  - {id: calls, rates: [{model: per_unit, unit_price: 1}]}
  - {id: gone, rates: [{model: percentage, rate: 1}]}
  - {id: other, rates: [{model: matrix, dimensions: [kind], prices: [{match: {kind: card}, model: flat, amount: 1}], default: {model: percentage, rate: 1}}]}
  - {id: mixed, rates: [{model: matrix, dimensions: [kind], prices: [{match: {kind: card}, model: percentage, rate: 1}], default: {model: flat, amount: 1}}]}
rate_classes: [{id: gold, rates: [{id: g, product: pay, model: graduated_percentage, tiers: [{rate: 1}]}]}]
packages: [{id: k, products: [{product: pay, rates: [{id: p, model: dynamic}]}]}]
accounts: [{id: a, products: [{product: pay, rates: [{id: own, model: percentage, rate: 1}]}]}]
contracts: [{id: c, account: a, start: 2026-01-01, rates: [{id: con, product: pay, model: dynamic, start: 2026-02-01}]}]
`
	for _, c := range []struct{ name, document, want string }{
		{"the default of all", "currency: EUR\nproducts:\n  - {id: pay, rates: [{model: percentage, rate: 2}]}", `new.yaml:3: products[0].rates[0].currency: cannot change from USD to EUR: the rate "product:pay" adds up money`},
		{"a matrix with such a price", "currency: EUR\nproducts:\n  - {id: mixed, rates: [{model: matrix, dimensions: [kind], prices: [{match: {kind: card}, model: percentage, rate: 1}], default: {model: flat, amount: 1}}]}", `write currency: USD, or give the new rate an id of its own`},
		{"a chosen id", "rate_classes: [{id: gold, rates: [{id: g, product: pay, model: graduated_percentage, tiers: [{rate: 1}], currency: EUR}]}]", `rate_classes[0].rates[0].currency: cannot change from USD to EUR: the rate "g"`},
		{"another model that adds up money", "rate_classes: [{id: gold, rates: [{id: g, product: pay, model: dynamic, currency: EUR}]}]", "cannot change from USD to EUR"},
		{"in a package", "packages: [{id: k, products: [{product: pay, rates: [{id: p, model: dynamic, currency: EUR}]}]}]", "packages[0].products[0].rates[0].currency: cannot change"},
		{"of an account", "accounts: [{id: a, products: [{product: pay, rates: [{id: own, model: percentage, rate: 1, currency: EUR}]}]}]", "accounts[0].products[0].rates[0].currency: cannot change"},
		{"in a contract", "contracts: [{id: c, account: a, start: 2026-01-01, rates: [{id: con, product: pay, model: dynamic, start: 2026-02-01, currency: EUR}]}]", "contracts[0].rates[0].currency: cannot change"},
		{"an id of its own", "products:\n  - {id: pay, rates: [{model: percentage, rate: 2, currency: EUR}]}", ""},
		{"a price that does not add up money", "currency: EUR\nproducts:\n  - {id: calls, rates: [{model: per_unit, unit_price: 1}]}", ""},
		{"a default that adds up money", "currency: EUR\nproducts:\n  - {id: other, rates: [{model: matrix, dimensions: [kind], prices: [{match: {kind: card}, model: flat, amount: 1}], default: {model: percentage, rate: 1}}]}", `cannot change from USD to EUR: the rate "product:other" adds up money`},
		{"what did not add up money", "currency: EUR\nproducts:\n  - {id: calls, rates: [{model: percentage, rate: 1}]}", ""},
		{"what was deleted", "currency: EUR\nproducts:\n  - {id: gone, rates: [{model: percentage, rate: 1}]}", ""},
		{"what is new", "currency: EUR\nproducts:\n  - {id: new, rates: [{model: percentage, rate: 1}]}", ""},
		{"money that is counted no more", "rate_classes: [{id: gold, rates: [{id: g, product: pay, model: per_unit, unit_price: 1, currency: EUR}]}]", ""},
		{"the currency it has", "products:\n  - {id: pay, rates: [{model: percentage, rate: 3}]}", ""},
	} {
		b := newBook()
		b.must(t, testNow, before)
		b.must(t, testNow, "delete: [{kind: product, id: gone}]")
		_, err := b.apply("new.yaml", c.document, testNow)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}
