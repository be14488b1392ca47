package catalog

import (
	"reflect"
	"strings"
	"testing"
)

// TestPoolsOfAccountsRoutedApart: tiers are not shared between accounts that one pays for the other though their usage is rated apart.
func TestPoolsOfAccountsRoutedApart(t *testing.T) {
	const begin = `
currency: EUR
products: [{id: calls, rates: [{model: flat, amount: 1}]}, {id: data, rates: [{model: flat, amount: 1}]}]
packages: [{id: k, products: [{product: calls}]}]
rate_classes: [{id: gold}]
accounts: [{id: top}, {id: mid, parent: top}, {id: low, parent: mid, bill_to: parent}, {id: other, parent: top}, {id: free}]
`
	const pool = "model: volume, pool: invoice, tiers: [{unit_price: 1}]"
	const apart = `the accounts "top" (routing key "top") and "mid" (routing key "mid"), whose usage is rated apart because the one did not pay for the other when it was created`
	const pays = "accounts: [{id: mid, parent: top, bill_to: parent}]\n"
	at := func(path string) string {
		return path + ".pool: would share tiers between " + apart + ": use pool: account, or leave it out"
	}
	crossing := Crossing{"mid", "mid", "top", "top", []string{"mid", "top"}}
	product, class := Pooled{Ref{KindProduct, "data"}, nil}, Pooled{Ref{KindRateClass, "gold"}, nil}
	for name, c := range map[string]struct {
		document  string
		crossings []Crossing
		pools     []Pooled
		want      string // "": it is taken
	}{
		"nobody pays for another":         {"products: [{id: data, rates: [{" + pool + "}]}]", nil, nil, ""},
		"a product, beside it":            {pays + "products: [{id: data, rates: [{" + pool + "}]}]", nil, nil, "2: " + at("products[0].rates[0]")},
		"a product's second rate":         {pays + "products: [{id: data, rates: [{model: flat, amount: 1, end: 2026-01-01}, {" + pool + ", start: 2026-01-01}]}]", nil, nil, "2: " + at("products[0].rates[1]")},
		"a pool of each account":          {pays + "products: [{id: data, rates: [{model: per_unit, unit_price: 1, maximum: 5, pool: account}]}]", nil, nil, ""},
		"a class":                         {"rate_classes: [{id: gold, rates: [{product: data, " + pool + "}]}]", []Crossing{crossing}, nil, "1: " + at("rate_classes[0].rates[0]")},
		"a package":                       {"packages: [{id: k, products: [{product: calls}, {product: data, rates: [{" + pool + "}]}]}]", []Crossing{crossing}, nil, "1: " + at("packages[0].products[1].rates[0]")},
		"an account above":                {"accounts: [{id: top, products: [{product: data, rates: [{" + pool + "}]}]}]", []Crossing{crossing}, nil, "1: " + at("accounts[0].products[0].rates[0]")},
		"an account below, in a package":  {"accounts: [{id: low, parent: mid, bill_to: parent, packages: [{package: k, rates: [{product: data, " + pool + "}]}]}]", []Crossing{crossing}, nil, "1: " + at("accounts[0].packages[0].rates[0]")},
		"an account beside":               {"accounts: [{id: other, parent: top, products: [{product: data, rates: [{" + pool + "}]}]}]", []Crossing{crossing}, nil, ""},
		"an account far away":             {"accounts: [{id: free, products: [{product: data, rates: [{" + pool + "}]}]}]", []Crossing{crossing}, nil, ""},
		"a contract":                      {"contracts: [{id: c, account: top, rates: [{product: data, " + pool + "}]}]", []Crossing{crossing}, nil, "1: " + at("contracts[0].rates[0]")},
		"a contract of an account beside": {"contracts: [{id: c, account: other, rates: [{product: data, " + pool + "}]}]", []Crossing{crossing}, nil, ""},
		"of two crossings one is named":   {"rate_classes: [{id: gold, rates: [{product: data, " + pool + "}]}]", []Crossing{crossing, {"other", "other", "top", "top", []string{"other", "top"}}}, nil, "1: " + at("rate_classes[0].rates[0]")},
		"a crossing that ends":            {"accounts: [{id: mid, parent: top}]\nrate_classes: [{id: gold, rates: [{product: data, " + pool + "}]}]", []Crossing{crossing}, nil, ""},
		"a crossing of an account that goes": {
			"delete: [{kind: account, id: other}]\nrate_classes: [{id: gold, rates: [{product: data, " + pool + "}]}]", []Crossing{{"other", "other", "top", "top", []string{"other", "top"}}}, nil, "",
		},
		"stored pools, of which one is named": {pays, nil, []Pooled{product, class}, `1: accounts[0].bill_to: product "data" would share tiers between ` + apart + `: let it pay for itself, or take pool off those rates`},
		"a stored pool of an account above":   {pays, nil, []Pooled{{Ref{KindAccount, "top"}, []string{"top"}}}, `1: accounts[0].bill_to: account "top" would share tiers between ` + apart + `: let it pay for itself, or take pool off those rates`},
		"a stored pool of an account beside":  {pays, nil, []Pooled{{Ref{KindAccount, "other"}, []string{"other", "top"}}}, ""},
		"a pool that is given up":             {pays + "products: [{id: data, rates: [{model: flat, amount: 1}]}]", nil, []Pooled{product}, ""},
		"a pool that goes":                    {pays + "delete: [{kind: rate_class, id: gold}]", nil, []Pooled{class}, ""},
		"who always paid for itself":          {"accounts: [{id: mid, name: M, parent: top}]", nil, []Pooled{product}, ""},
		"who was always paid for":             {"accounts: [{id: low, name: L, parent: mid, bill_to: parent}]", nil, []Pooled{product}, ""},
	} {
		b := newBook()
		b.must(t, testNow, begin)
		doc, err := ParseDocument("d.yaml", []byte(c.document))
		if err != nil {
			t.Fatal(name, err)
		}
		stored := b.stored()
		stored.Crossings, stored.Pools = c.crossings, c.pools
		got := ""
		if _, err := doc.Revise(stored, testNow); err != nil {
			got = strings.ReplaceAll(err.Error(), "d.yaml:", "")
		}
		if got != c.want {
			t.Errorf("%s:\n%s\ngot\n%s\nwant\n%s", name, c.document, got, c.want)
		}
	}
}

// TestCapacityCompiled: limits stand in the order of their products.
func TestCapacityCompiled(t *testing.T) {
	b := newBook()
	b.must(t, testNow, `
currency: EUR
products:
  - {id: a, rates: [{id: cap, model: capacity, pool: account, tiers: [{price: 5, limits: {e: 5, b: 2, d: 4, a: 1, c: 3}}, {price: 9.5}]}]}
  - {id: b, rates: [{model: flat, amount: 1}]}
  - {id: c, rates: [{model: flat, amount: 1}]}
  - {id: d, rates: [{model: flat, amount: 1}]}
  - {id: e, rates: [{model: flat, amount: 1}]}
accounts: [{id: x}]`)
	want := []CapacityTier{
		{Price: dec("5"), Limits: []Limit{{"a", dec("1")}, {"b", dec("2")}, {"c", dec("3")}, {"d", dec("4")}, {"e", dec("5")}}}, {Price: dec("9.5")},
	}
	if got := b.plan(t, "x").Snapshot().Product("a").Rates[0].Capacity; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}
