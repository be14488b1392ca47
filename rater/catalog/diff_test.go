package catalog

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

const sold = `
currency: EUR
products:
  - {id: api-calls, name: API calls, unit: request, rates: [{model: graduated, tiers: [{up_to: 100, unit_price: 0.10}, {unit_price: 0.05}]}]}
  - {id: data, unit: GB, rates: [{model: per_unit, unit_price: 1}, {model: per_unit, unit_price: 1.2, currency: USD}]}
  - {id: seats, provisioned_only: true, rates: [{model: package, size: 10, price: 5, free: 3}]}
  - id: calls
    name: Phone calls
    unit: minute
    rates:
      - model: matrix
        dimensions: [{name: dest, by: prefix}, {name: size, by: range}]
        prices: [{match: {dest: ["49", "33"]}, model: per_unit, unit_price: 0.1}, {match: {size: {from: 1, to: 5}}, model: flat, amount: 2}]
rate_classes:
  - {id: gold, rates: [{product: data, model: per_unit, unit_price: 0.9}]}
packages:
  - {id: starter, name: Starter, products: [{product: api-calls, rates: [{model: per_unit, unit_price: 0.08}]}, {product: data}]}
accounts:
  - {id: acme, name: Acme GmbH, time_zone: Europe/Berlin, terms_days: 30, products: [{product: data, start: 2026-01-01}], packages: [{package: starter}]}
  - {id: branch, parent: acme}
contracts:
  - id: c-1
    account: acme
    start: 2026-01-01
    end: 2027-01-01
    rate_class: gold
    rates: [{product: api-calls, model: per_unit, unit_price: 0.10}]
`

// TestDifferences: what documents change, in words that were written by hand.
func TestDifferences(t *testing.T) {
	for name, tc := range map[string]struct {
		document string
		want     []string
	}{
		"nothing": {sold, nil},
		"a contract's price from a date on": {`contracts: [{id: c-1, account: acme, start: 2026-01-01, end: 2027-01-01, rate_class: gold, rates: [
			{product: api-calls, model: per_unit, unit_price: 0.10, end: 2026-12-01}, {product: api-calls, model: per_unit, unit_price: 0.08, start: 2026-12-01}]}]`,
			[]string{"API calls, contract c-1 of Acme GmbH, from 2026-12-01 until 2027-01-01: 0.10 → 0.08 EUR per request"}},
		"a contract that goes on": {`contracts: [{id: c-1, account: acme, start: 2026-01-01, end: 2028-01-01, rate_class: gold, rates: [{product: api-calls, model: per_unit, unit_price: 0.10}]}]`,
			[]string{"contract c-1 of Acme GmbH: end 2027-01-01 → 2028-01-01",
				"API calls, contract c-1 of Acme GmbH, from 2027-01-01 until 2028-01-01: 0.10 EUR per request (new)"}},
		"no class any more": {`contracts: [{id: c-1, account: acme, start: 2026-01-01, end: 2027-01-01, rates: [{product: api-calls, model: per_unit, unit_price: 0.10}]}]`,
			[]string{"contract c-1 of Acme GmbH: rate class gold → (none)"}},
		"a contract is deleted": {`delete: [{kind: contract, id: c-1}]`, []string{"contract c-1 of Acme GmbH is deleted",
			"API calls, contract c-1 of Acme GmbH, from 2026-01-01 until 2027-01-01: 0.10 EUR per request → the next level's price"}},
		"a list price": {`products: [{id: api-calls, name: API calls, unit: request, rates: [{model: graduated, tiers: [{up_to: 100, unit_price: 0.10}, {up_to: 200, unit_price: 0.06, flat_price: 3}, {unit_price: 0.05}]}]}]`,
			[]string{"API calls, list price: 0.10 EUR per request up to 100, then 0.05 → 0.10 EUR per request up to 100, then 0.06 + 3.00 EUR up to 200, then 0.05"}},
		"one of two currencies, and another model": {`products: [{id: data, unit: GB, rates: [{model: per_unit, unit_price: 1}, {model: flat, amount: 7, currency: USD, start: 2027-01-01}]}]`,
			[]string{"data, list price, until 2027-01-01: 1.20 USD per GB → the next level's price", "data, list price, from 2027-01-01: 1.20 USD per GB → 7.00 USD once there is usage"}},
		"what no words tell": {`products: [{id: seats, name: Seats, provisioned_only: true, rates: [{model: package, size: 10, price: 5, free: 3, rounding: {mode: ceil}}]}]`,
			[]string{"product Seats: name (none) → Seats", "Seats, list price: 5.00 EUR per started 10 unit after the first 3, rounding (none) → mode ceil"}},
		"a matrix": {`products:
  - id: calls
    name: Phone calls
    unit: minute
    rates:
      - model: matrix
        dimensions: [{name: dest, by: prefix}, {name: size, by: range}]
        prices: [{match: {dest: ["49", "33"]}, model: per_unit, unit_price: 0.08}, {match: {size: {from: 5}}, model: flat, amount: 3}]
        default: {model: per_unit, unit_price: 1}`,
			[]string{"Phone calls, list price: dest 33 or 49: 0.10 → 0.08 EUR per minute; size 1 to 5: 2.00 EUR once there is usage → no price; size from 5: 3.00 EUR once there is usage (new); everything else: 1.00 EUR per minute (new)"}},
		"a rate class": {`rate_classes: [{id: gold, rates: [{product: data, model: per_unit, unit_price: 0.8, start: 2026-06-01}]}]`,
			[]string{"data, rate class gold, until 2026-06-01: 0.90 EUR per GB → the next level's price", "data, rate class gold, from 2026-06-01: 0.90 → 0.80 EUR per GB"}},
		"the same price twice, one after the other": {`rate_classes: [{id: gold, rates: [
			{product: data, model: per_unit, unit_price: 0.8, end: 2026-06-01}, {product: data, model: per_unit, unit_price: 0.8, start: 2026-06-01}]}]`,
			[]string{"data, rate class gold: 0.90 → 0.80 EUR per GB"}},
		"the same price twice, with the old one between": {`rate_classes: [{id: gold, rates: [
			{product: data, model: per_unit, unit_price: 0.8, end: 2026-06-01}, {product: data, model: per_unit, unit_price: 0.9, start: 2026-06-01, end: 2026-07-01},
			{product: data, model: per_unit, unit_price: 0.8, start: 2026-07-01}]}]`,
			[]string{"data, rate class gold, until 2026-06-01: 0.90 → 0.80 EUR per GB", "data, rate class gold, from 2026-07-01: 0.90 → 0.80 EUR per GB"}},
		"a package": {`packages: [{id: starter, name: Starter, products: [{product: api-calls, rates: [{model: per_unit, unit_price: 0.07, maximum: 50}]}]}]`,
			[]string{"package Starter: no longer product data", "API calls, package Starter: 0.08 EUR per request → 0.07 EUR per request, at most 50.00 EUR"}},
		"an account": {`accounts: [{id: acme, name: Acme AG, time_zone: Europe/Berlin, terms_days: 14, identifiers: ["+49"], packages: [{package: starter, start: 2026-07-01, rates: [{product: data, model: per_unit, unit_price: 0.5}]}]}]`,
			[]string{"account Acme AG: now identifier +49", "account Acme AG: name Acme GmbH → Acme AG", "account Acme AG: no longer package starter",
				"account Acme AG: now package starter from 2026-07-01", "account Acme AG: no longer product data from 2026-01-01", "account Acme AG: terms days 30 → 14",
				"data, own price of Acme AG in package starter, from 2026-07-01: 0.50 EUR per GB (new)"}},
		"a cycle": {`accounts: [{id: branch, parent: acme, cycle: {every: weekly}}]`, []string{"account branch: cycle (none) → every weekly", "account branch: billing from 2026-12-01T00:00:00Z"}},
		"what is new": {`products: [{id: new, rates: [{model: percentage, rate: 2.9, fixed: 0.3, min: 1, free_events: 3}]}]`,
			[]string{"new product new", "new, list price: 2.9 % + 0.30 EUR, at least 1.00 EUR, 3 events free (new)"}},
		"the catalogue's currency": {`currency: USD`, []string{"catalogue: currency EUR → USD"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBook()
			b.must(t, testNow, sold)
			got := texts(differences(t, b, tc.document))
			if !slices.Equal(got, tc.want) {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(tc.want, "\n  "))
			}
		})
	}
}

// TestPriceWords: each model before and after, in words that were written by hand.
func TestPriceWords(t *testing.T) {
	const head = "currency: EUR\nproducts:\n  - {id: seats, name: Seats, unit: seat, rates: [{model: flat, amount: 1, currency: USD}]}\n  - {id: gb, rates: [{model: flat, amount: 1, currency: USD}]}\n"
	of := func(rate string) string { return "products: [{id: p, unit: unit, rates: [" + rate + "]}]" }
	for name, tc := range map[string]struct{ before, after, want string }{
		"a pool": {"model: graduated, tiers: [{up_to: 10, unit_price: 1}, {unit_price: 0.5}]", "model: graduated, pool: account, tiers: [{up_to: 10, unit_price: 1}, {unit_price: 0.5}]",
			"1.00 EUR per unit up to 10, then 0.50 → 1.00 EUR per unit up to 10, then 0.50, for all that an account uses together"},
		"another pool": {"model: volume, pool: package, tiers: [{unit_price: 0.5}]", "model: volume, pool: invoice, tiers: [{unit_price: 0.5}]",
			"all at 0.50 EUR per unit, for all accounts inside the package together → all at 0.50 EUR per unit, for all accounts on one invoice together"},
		"a capacity": {"id: c, model: capacity, pool: account, tiers: [{price: 50, limits: {seats: 10, gb: 5}}, {price: 90}]",
			"id: c, model: capacity, pool: account, tiers: [{price: 50, limits: {seats: 12}}, {price: 95.5}]",
			"50.00 EUR up to 5 gb and 10 seats, then 90.00 → 50.00 EUR up to 12 seats, then 95.50"},
		"a formula": {`model: formula, expression: "quantity * 2"`, `model: formula, expression: "quantity * 3"`, "formula quantity * 2 → formula quantity * 3"},
		"a method":  {`model: custom, method: half, parameters: {by: 2}`, `model: custom, method: half, parameters: {by: 4}`, "method half with by 2 → method half with by 4"},
		"what is below": {"model: graduated, bounds: half_open, tiers: [{up_to: 10, unit_price: 1}, {unit_price: 0.5}]", "model: graduated, tiers: [{up_to: 10, unit_price: 1}, {unit_price: 0.5}]",
			"1.00 EUR per unit below 10, then 0.50 → 1.00 EUR per unit up to 10, then 0.50"},
		"a bound that no words tell": {"model: graduated, bounds: half_open, tiers: [{unit_price: 1}]", "model: graduated, tiers: [{unit_price: 1}]", "1.00 EUR per unit, bounds half_open → (none)"},
		"price and rounding": {"model: per_unit, unit_price: 1, rounding: {mode: ceil}", "model: per_unit, unit_price: 2, aggregation: max",
			"1.00 → 2.00 EUR per unit, aggregation (none) → max, rounding mode ceil → (none)"},
		"blocks": {"model: block_graduated, tiers: [{block_size: 10, max_blocks: 3, price: 2}, {block_size: 5, price: 1}]", "model: block_volume, tiers: [{block_size: 10, price: 2}]",
			"2.00 EUR per started 10 unit, 3 times, then 1.00 EUR per started 5 unit → all at 2.00 EUR per started 10 unit"},
		"percent": {"model: graduated_percentage, tiers: [{up_to: 1000, rate: 2}, {rate: 1.5, flat_price: 3}]", "model: percentage, rate: 2, max: 10, free_amount: 100",
			"2 % up to 1000, then 1.5 % + 3.00 EUR → 2 %, at most 10.00 EUR, 100.00 EUR free"},
		"what is included": {"model: per_unit, unit_price: 1", "model: per_unit, unit_price: 1, included: 5, minimum: 3, maximum: 9, minimum_prorated: true",
			"1.00 EUR per unit → 1.00 EUR per unit, 5 included, at most 9.00 EUR, at least 3.00 EUR, minimum prorated (none) → true"},
		"dynamic":                            {"model: flat, amount: 2", "model: dynamic", "2.00 EUR once there is usage → the amount of each event"},
		"the same price, but once a package": {"model: package, size: 10, price: 5", "model: package, size: 10, price: 6", "5.00 → 6.00 EUR per started 10 unit"},
		"a matrix that becomes flat": {
			"model: matrix, dimensions: [to], prices: [{match: {to: a}, model: per_unit, unit_price: 1}]", "model: flat, amount: 2", "1 prices by to → 2.00 EUR once there is usage"},
		"a matrix by something else": {
			"model: matrix, dimensions: [to], prices: [{match: {to: a}, model: per_unit, unit_price: 1}]", "model: matrix, dimensions: [{name: to, by: prefix}], prices: [{match: {to: a}, model: per_unit, unit_price: 1}]",
			"1 prices by to, dimensions [name to] → [name to, by prefix]"},
		"a range from below": {
			"model: matrix, dimensions: [{name: n, by: range}], prices: [{match: {n: {to: 5}}, model: per_unit, unit_price: 1}]",
			"model: matrix, dimensions: [{name: n, by: range}], prices: [{match: {n: {to: 5}}, model: per_unit, unit_price: 2}]", "n below 5: 1.00 → 2.00 EUR per unit"},
		"a method without parameters": {"model: flat, amount: 1", "model: custom, method: half, parameters: {by: 2}", "1.00 EUR once there is usage → method half with by 2"},
		"a matrix's maximum and rounding": {
			"model: matrix, dimensions: [to], prices: [{match: {to: a}, model: per_unit, unit_price: 1}]",
			"model: matrix, dimensions: [to], maximum: 7, rounding: {mode: ceil}, prices: [{match: {to: a}, model: per_unit, unit_price: 2}]",
			"to a: 1.00 → 2.00 EUR per unit, (none) → at most 7.00 EUR, rounding (none) → mode ceil"},
		"a matrix's rounding alone": {
			"model: matrix, dimensions: [to], prices: [{match: {to: a}, model: per_unit, unit_price: 1}]",
			"model: matrix, dimensions: [to], rounding: {mode: ceil}, prices: [{match: {to: a}, model: per_unit, unit_price: 1}]",
			"1 prices by to, rounding (none) → mode ceil"},
		"many prices of a matrix": {
			"model: matrix, dimensions: [to], prices: [{match: {to: a}, model: per_unit, unit_price: 1}]",
			`model: matrix, dimensions: [to], prices: [{match: {to: a}, model: per_unit, unit_price: 1}, {match: {to: b}, model: per_unit, unit_price: 1}, {match: {to: c}, model: per_unit, unit_price: 1},
				{match: {to: d}, model: per_unit, unit_price: 1}, {match: {to: e}, model: per_unit, unit_price: 1}, {match: {to: f}, model: per_unit, unit_price: 1}, {match: {to: g}, model: per_unit, unit_price: 1}]`,
			"to b: 1.00 EUR per unit (new); to c: 1.00 EUR per unit (new); to d: 1.00 EUR per unit (new); to e: 1.00 EUR per unit (new); to f: 1.00 EUR per unit (new); and 1 more prices"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBook()
			b.must(t, testNow, head+"  - {id: p, unit: unit, rates: [{"+tc.before+"}]}")
			got := differences(t, b, of("{"+tc.after+"}"))
			if len(got) != 1 || got[0].Text != "p, list price: "+tc.want {
				t.Errorf("got\n  %+v\nwant\n  p, list price: %s", got, tc.want)
			}
		})
	}
}

// differences tells what a document means for a book.
func differences(t *testing.T, b *book, document string) []Difference {
	t.Helper()
	doc, err := ParseDocument("x.yaml", []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	stored := b.stored()
	changes, err := doc.Revise(stored, testNow)
	if err != nil {
		t.Fatal(err)
	}
	found, more, err := doc.Differences(stored, changes)
	if err != nil || more > 0 {
		t.Fatal(more, err)
	}
	return found
}

func texts(found []Difference) (out []string) {
	for i := range found {
		out = append(out, found[i].Text)
	}
	return out
}

func TestDifferencesOfExchangeRates(t *testing.T) {
	b := newBook()
	b.must(t, testNow, `{currency: EUR, exchange_rates: [{base: EUR, date: 2026-11-20, rates: {USD: 1.1592, CHF: 0.93, JPY: 181}}]}`)
	got := texts(differences(t, b, `
exchange_rates:
  - {base: EUR, date: 2026-11-20, rates: {USD: 1.16, GBP: 0.8, JPY: 181}}
  - {base: EUR, date: 2026-11-18, rates: {USD: 1.1}}
  - {base: EUR, date: 2026-11-21, rates: {USD: 1.2}}
  - {base: EUR, date: 2026-11-19, rates: {USD: 1.3}}
  - {base: USD, date: 2026-11-21, rates: {CAD: 1.4}}`))
	want := []string{
		"exchange rates of 2026-11-20, 1 EUR: no longer 0.93 CHF", "exchange rates of 2026-11-20, 1 EUR: now 0.8 GBP", "exchange rates of 2026-11-20, 1 EUR: 1.1592 → 1.16 USD",
		"new exchange rates of EUR: 3 days from 2026-11-18 to 2026-11-21", "new exchange rates of USD: 2026-11-21",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	if got := texts(differences(t, b, `delete: [{kind: exchange_rates, id: EUR@2026-11-20}]`)); len(got) != 1 || got[0] != "exchange rates of 2026-11-20, 1 EUR is deleted" {
		t.Error(got)
	}
}

// TestDifferenceMembers: what programs read beside the words.
func TestDifferenceMembers(t *testing.T) {
	b := newBook()
	b.must(t, testNow, sold)
	for _, tc := range []struct {
		document string
		want     Difference // the last one
	}{
		{`contracts: [{id: c-1, account: acme, start: 2026-01-01, end: 2027-01-01, rate_class: gold, rates: [
			{product: api-calls, model: per_unit, unit_price: 0.10, end: 2026-12-01}, {product: api-calls, model: per_unit, unit_price: 0.08, start: 2026-12-01}]}]`,
			Difference{Ref: Ref{KindContract, "c-1"}, Product: "api-calls", Level: LevelContract, Currency: "EUR", From: "2026-12-01", Until: "2027-01-01",
				Before: "0.10 EUR per request", After: "0.08 EUR per request", Reach: Reach{Account: "acme"}}},
		{`rate_classes: [{id: gold, rates: [{product: data, model: per_unit, unit_price: 0.8}]}]`,
			Difference{Ref: Ref{KindRateClass, "gold"}, Product: "data", Level: LevelRateClass, Currency: "EUR", Before: "0.90 EUR per GB", After: "0.80 EUR per GB", Reach: Reach{Having: Ref{KindRateClass, "gold"}}}},
		{`packages: [{id: starter, name: Starter, products: [{product: api-calls, rates: [{model: per_unit, unit_price: 0.07}]}, {product: data}]}]`,
			Difference{Ref: Ref{KindPackage, "starter"}, Product: "api-calls", Level: LevelPackageDefault, Package: "starter", Currency: "EUR", Before: "0.08 EUR per request", After: "0.07 EUR per request",
				Reach: Reach{Having: Ref{KindPackage, "starter"}}}},
		{`products: [{id: seats, provisioned_only: true, rates: [{model: package, size: 10, price: 4, free: 3}]}]`,
			Difference{Ref: Ref{KindProduct, "seats"}, Product: "seats", Level: LevelProductDefault, Currency: "EUR", Before: "5.00 EUR per started 10 unit after the first 3",
				After: "4.00 EUR per started 10 unit after the first 3", Reach: Reach{Having: Ref{KindProduct, "seats"}}}},
		{`products: [{id: data, unit: GB, rates: [{model: per_unit, unit_price: 1}]}]`,
			Difference{Ref: Ref{KindProduct, "data"}, Product: "data", Level: LevelProductDefault, Currency: "USD", Before: "1.20 USD per GB", Reach: Reach{Everyone: true}}},
		{`accounts: [{id: acme, name: Acme, time_zone: Europe/Berlin, terms_days: 30, products: [{product: data, start: 2026-01-01}], packages: [{package: starter}]}]`,
			Difference{Ref: Ref{KindAccount, "acme"}, Reach: Reach{Account: "acme", Alone: true}}},
		{`accounts: [{id: acme, name: Acme GmbH, time_zone: Europe/Berlin, terms_days: 30, packages: [{package: starter}]}]`,
			Difference{Ref: Ref{KindAccount, "acme"}, Reach: Reach{Account: "acme"}}},
		{`contracts: [{id: c-2, account: branch, rate_class: gold}]`, Difference{Ref: Ref{KindContract, "c-2"}, Reach: Reach{Account: "branch"}}},
		{`delete: [{kind: contract, id: c-1}]`,
			Difference{Ref: Ref{KindContract, "c-1"}, Product: "api-calls", Level: LevelContract, Currency: "EUR", From: "2026-01-01", Until: "2027-01-01",
				Before: "0.10 EUR per request", Reach: Reach{Account: "acme"}}},
		{`rate_classes: [{id: silver}]`, Difference{Ref: Ref{KindRateClass, "silver"}}},
		{`accounts: [{id: fresh}]`, Difference{Ref: Ref{KindAccount, "fresh"}, Reach: Reach{Account: "fresh"}}},
		{`accounts: [{id: branch, parent: acme, cycle: {every: weekly}}]`, Difference{Ref: Ref{KindAccount, "branch"}, Reach: Reach{Account: "branch", Alone: true}}}, // where billing changes
		{`products: [{id: seats, name: Seats, provisioned_only: true, rates: [{model: package, size: 10, price: 5, free: 3}]}]`,
			Difference{Ref: Ref{KindProduct, "seats"}, Reach: Reach{Having: Ref{KindProduct, "seats"}}}}, // nobody's alone
		{`rate_classes: [{id: gold, rates: [{product: data, model: per_unit, unit_price: 0.7, end: 2026-06-01}, {product: data, model: per_unit, unit_price: 0.8, start: 2026-06-01}]}]`,
			Difference{Ref: Ref{KindRateClass, "gold"}, Product: "data", Level: LevelRateClass, Currency: "EUR", From: "2026-06-01", Before: "0.90 EUR per GB", After: "0.80 EUR per GB",
				Reach: Reach{Having: Ref{KindRateClass, "gold"}}}},
	} {
		list := differences(t, b, tc.document)
		got := list[len(list)-1]
		if got.Text == "" {
			t.Errorf("no words for %s", tc.document)
		}
		if got.Text = ""; got != tc.want {
			t.Errorf("%s\ngot  %+v\nwant %+v", tc.document, got, tc.want)
		}
	}
}

func TestDifferencesAreBounded(t *testing.T) {
	var doc strings.Builder
	doc.WriteString("rate_classes:\n")
	for i := range maxDifferences + 7 {
		doc.WriteString("  - {id: c" + strconv.Itoa(i) + "}\n")
	}
	d, err := ParseDocument("x.yaml", []byte(doc.String()))
	if err != nil {
		t.Fatal(err)
	}
	changes, err := d.Revise(Stored{}, testNow)
	if err != nil {
		t.Fatal(err)
	}
	found, more, err := d.Differences(Stored{}, changes)
	if err != nil || len(found) != maxDifferences || more != 7 {
		t.Errorf("%d differences and %d more, %v", len(found), more, err)
	}
}
