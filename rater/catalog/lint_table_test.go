package catalog

import (
	"fmt"
	"strings"
	"testing"
)

// odd gives findings a line each: where, by which rule, and what is odd.
func odd(f *Findings) (lines []string) {
	for i := range f.List {
		x := &f.List[i]
		lines = append(lines, fmt.Sprintf("%d %s %s: %s", x.Line, x.Rule, x.Path, x.Message))
	}
	return lines
}

// TestLintTable: what is odd, and what is next to it and is not. What is wanted is the beginning of each finding.
func TestLintTable(t *testing.T) {
	list := func(n, from int) string { // of values
		values := make([]string, n)
		for i := range values {
			values[i] = fmt.Sprintf("v%d", from+i)
		}
		return "[" + strings.Join(values, ", ") + "]"
	}
	rate := func(text string) string { return "currency: EUR\nproducts:\n  - {id: p, rates: [{" + text + "}]}" }
	tiers := func(model, tiers string) string { return rate("model: " + model + ", tiers: [" + tiers + "]") }
	matrix := func(dimensions string, matches ...string) string {
		document := "currency: EUR\nproducts:\n  - id: p\n    rates:\n      - model: matrix\n        dimensions: [" + dimensions + "]\n        prices:\n"
		for _, m := range matches {
			document += "          - {match: {" + m + "}, model: flat, amount: 1}\n"
		}
		return document
	}
	const place = "products[0].rates[0]"
	const book = `
currency: EUR
products:
  - {id: calls, rates: [{model: flat, amount: 1}]}
  - {id: data, rates: [{model: flat, amount: 1}]}
  - {id: only, provisioned_only: true, rates: [{model: flat, amount: 1}]}
`
	for name, c := range map[string]struct {
		document string
		partial  bool
		want     []string
	}{
		// Prices of one rate.
		"a hundred percent":            {rate("model: percentage, rate: 100"), false, nil},
		"more than a hundred percent":  {rate("model: percentage, rate: 100.5"), false, []string{"3 percent " + place + ".rate: is 100.5 % of the value"}},
		"percent below zero in a tier": {tiers("graduated_percentage", "{up_to: 10, rate: -2}, {rate: -2.5}"), false, []string{"3 below-zero " + place + ".tiers[0].rate: is below zero (-2)", "3 below-zero " + place + ".tiers[1].rate: is below zero (-2.5)"}},
		"a free tier among others": {
			tiers("graduated", "{up_to: 10, unit_price: 1}, {up_to: 20, unit_price: 0}, {unit_price: 2}"), false,
			[]string{"3 tier-order " + place + ".tiers[2]: tier 3 is dearer per unit (2.00) than tier 2 (0.00), while the other prices fall"},
		},
		"the same price with a flat price": {tiers("graduated", "{up_to: 10, unit_price: 1}, {unit_price: 1, flat_price: 2}"), false, nil},
		"the same price at last":           {tiers("graduated", "{up_to: 10, unit_price: 2}, {unit_price: 2}"), false, []string{"3 tier-same " + place + ".tiers[1]: costs the same per unit (2.00) as the tier before"}},
		"blocks that cost the same":        {tiers("block_graduated", "{block_size: 10, max_blocks: 3, price: 1}, {block_size: 100, price: 10}"), false, nil},
		"an exact price of cents":          {tiers("graduated", "{up_to: 10, unit_price: 1.25}, {unit_price: 2.5}"), false, []string{"3 tier-rises " + place + ".tiers[1]: tier 2 is dearer per unit (2.50) than tier 1 (1.25)"}},
		"blocks too large to compare":      {tiers("block_graduated", "{block_size: 1, max_blocks: 1, price: 1000000000000000}, {block_size: 100000000000000, price: 1}"), false, nil},
		"blocks too small to compare": {
			tiers("block_graduated", "{block_size: 100000000000000, max_blocks: 1, price: 1}, {block_size: 1, max_blocks: 1, price: 1000000000000000}, {block_size: 0.5, price: 1000000000000000}"), false,
			[]string{"3 tier-rises " + place + ".tiers[2]: tier 3 is dearer per unit"},
		},
		"bounds": {
			tiers("graduated", "{up_to: 5.99, unit_price: 6}, {up_to: 99.55, unit_price: 5}, {up_to: 120.99, unit_price: 4}, {up_to: 1000, unit_price: 3}, {unit_price: 2}"), false,
			[]string{"3 tier-gap " + place + ".tiers[0].up_to: ends just below 6: a quantity between 5.99 and 6", "3 tier-gap " + place + ".tiers[2].up_to: ends just below 121:"},
		},
		"whole units, and a bound between them": {rate("model: graduated, aggregation: count, tiers: [{up_to: 99.99, unit_price: 2}, {unit_price: 1}]"), false, []string{"3 tier-gap " + place + ".tiers[0].up_to: ends just below 100"}},
		"rounded to cents":                      {rate("model: graduated, rounding: {mode: ceil, precision: 2}, tiers: [{up_to: 99, unit_price: 2}, {unit_price: 1}]"), false, []string{"3 tier-gap " + place + ".tiers[0].up_to: ends just below 100"}},
		"rounded to tens":                       {rate("model: graduated, rounding: {mode: ceil, precision: -1}, tiers: [{up_to: 99, unit_price: 2}, {unit_price: 1}]"), false, nil},
		"a step beyond all numbers":             {tiers("volume", "{up_to: 1000000000000000, unit_price: 1}, {unit_price: 1000000000000000}"), false, []string{"3 tier-rises"}},
		"a step back from beyond all numbers": {
			tiers("volume", "{up_to: 1000000000000000, unit_price: 1000000000000000}, {unit_price: -1}"), false, []string{"3 below-zero " + place + ".tiers[1].unit_price"},
		},
		"a formula that fails for many events": {
			rate(`model: formula, expression: "events > 1 ? quantity / (events - 50) : 1"`), false,
			[]string{"3 formula-fails " + place + ".expression: has no price for a quantity of 0 in 50 events"},
		},
		"a formula of nothing but conditions":  {rate(`model: formula, expression: "events > 0 ? 7 : 8"`), false, []string{"3 formula-constant " + place + ".expression: comes to 7 whatever is used"}},
		"a formula that is the same at first":  {rate(`model: formula, expression: "quantity > 5000000 ? 7 : 8"`), false, nil},
		"a formula that differs for one event": {rate(`model: formula, expression: "events == 1 ? 8 : 7"`), false, nil},
		"a formula that fails, and else is the same": {
			rate(`model: formula, expression: "events == 1 ? 7 : 7 / (events - 50)"`), false, []string{"3 formula-fails " + place + ".expression: has no price for a quantity of 0 in 50 events"},
		},
		"a method's price below zero": {rate("model: custom, method: half, parameters: {by: -2}"), false, []string{"3 formula-negative " + place + ".method: comes to -0.5 for a quantity of 1 in one event"}},

		// Matrices.
		"a range that ends": {matrix("{name: size, by: range}", "size: {from: 10, to: 20}", "size: {from: 0, to: 9}"), false, []string{"8 matrix-gap " + place + ".prices[0].match: no price where size is from 9 to 10"}},
		"ranges below zero": {matrix("{name: size, by: range}", "size: {from: -4}", "size: {to: -5}"), false, []string{"8 matrix-gap " + place + ".prices[0].match: no price where size is from -5 to -4"}},
		"ranges that meet":  {matrix("{name: size, by: range}", "size: {from: 10, to: 20}", "size: {from: 0, to: 10}"), false, nil},
		"the morning":       {matrix("{name: hour, by: time_of_day}", `hour: {from: "06:00", to: "24:00"}`), false, []string{"8 matrix-gap " + place + ".prices[0].match: no price where hour is from 00:00 to 06:00"}},
		"the night":         {matrix("{name: hour, by: time_of_day}", `hour: {from: "00:00", to: "22:00"}`), false, []string{"8 matrix-gap " + place + ".prices[0].match: no price where hour is from 22:00 to 24:00"}},
		"two halves of a day": {
			matrix("{name: hour, by: time_of_day}", `hour: {from: "00:00", to: "12:00"}`, `hour: {from: "12:00", to: "24:00"}`), false, nil,
		},
		"all of the week": {matrix("{name: day, by: weekday}", "day: mon-fri", "day: [sat, sun]"), false, nil},
		"hours of days": {
			matrix("{name: hour, by: time_of_day}, {name: day, by: weekday}", `hour: {from: "08:00", to: "20:00"}, day: mon-fri`, `hour: {from: "20:00", to: "08:00"}, day: mon-fri`, "day: [sat, sun]"), false, nil,
		},
		"sizes at hours": {
			matrix("{name: size, by: range}, {name: hour, by: time_of_day}", `size: {from: 0, to: 5}, hour: {from: "08:00", to: "20:00"}`, `size: {from: 6}, hour: {from: "08:00", to: "20:00"}`), false,
			[]string{
				"8 matrix-gap " + place + ".prices[0].match: no price where hour is from 00:00 to 08:00", "9 matrix-gap " + place + ".prices[1].match: no price where size is from 5 to 6",
				"9 matrix-gap " + place + ".prices[1].match: no price where hour is from 00:00 to 08:00",
			},
		},
		"hours, whatever else": {
			matrix("region, {name: hour, by: time_of_day}", `region: eu, hour: {from: "08:00", to: "20:00"}`, "region: eu"), false, []string{"5 matrix-default " + place + ": has no default"},
		},
		"a price of all regions at other hours": {
			matrix("region, {name: hour, by: time_of_day}", `region: eu, hour: {from: "08:00", to: "20:00"}`, `hour: {from: "20:00", to: "08:00"}`), false,
			[]string{"9 matrix-gap " + place + ".prices[1].match: no price where hour is from 08:00 to 20:00"}, // of other regions
		},
		"a price of more regions at all hours": {
			matrix("region, {name: hour, by: time_of_day}", `region: eu, hour: {from: "08:00", to: "20:00"}`, "region: [us, eu]"), false, []string{"5 matrix-default " + place + ": has no default"},
		},
		"a price of other regions at all hours": {
			matrix("region, {name: hour, by: time_of_day}", `region: eu, hour: {from: "08:00", to: "20:00"}`, "region: [us, uk]"), false,
			[]string{"8 matrix-gap " + place + ".prices[0].match: no price where hour is from 00:00 to 08:00"},
		},
		"a shorter prefix at all hours": {
			matrix("{name: dest, by: prefix}, {name: hour, by: time_of_day}", `dest: "4930", hour: {from: "08:00", to: "20:00"}`, `dest: ["1", "49"]`), false, []string{"5 matrix-default " + place + ": has no default"},
		},
		"a longer prefix at all hours": {
			matrix("{name: dest, by: prefix}, {name: hour, by: time_of_day}", `dest: "49", hour: {from: "08:00", to: "20:00"}`, `dest: "4930"`), false,
			[]string{"8 matrix-gap " + place + ".prices[0].match: no price where hour is from 00:00 to 08:00"},
		},
		"all sizes at some hours": {
			matrix("{name: size, by: range}, {name: hour, by: time_of_day}", `size: {from: 3, to: 5}, hour: {from: "08:00", to: "20:00"}`, `hour: {from: "20:00", to: "08:00"}`, `size: {from: 5}, hour: {from: "08:00", to: "20:00"}`, `size: {to: 3}, hour: {from: "08:00", to: "20:00"}`), false,
			[]string{"9 matrix-gap " + place + ".prices[1].match: no price where hour is from 08:00 to 20:00"},
		},
		"a range across a gap": {
			matrix("region, {name: size, by: range}", "region: eu, size: {to: 5}", "region: eu, size: {from: 9}", "size: {from: 4, to: 7}"), false,
			[]string{"9 matrix-gap " + place + ".prices[1].match: no price where size is from 7 to 9"},
		},
		"hours of some days": {
			matrix("{name: hour, by: time_of_day}, {name: day, by: weekday}", `hour: {from: "08:00", to: "20:00"}, day: mon-fri`, `hour: {from: "20:00", to: "08:00"}, day: mon-thu`, "day: [sun]"), false,
			[]string{"8 matrix-gap " + place + ".prices[0].match: no price where day is fri, sat and hour is from 00:00 to 08:00"},
		},
		"days at some hours": {
			matrix("{name: day, by: weekday}, {name: hour, by: time_of_day}", `day: mon-fri`, `day: [sat, sun], hour: {from: "08:00", to: "20:00"}`, `hour: {from: "20:00", to: "23:59"}`, `hour: {from: "00:00", to: "08:00"}`), false,
			[]string{"8 matrix-gap " + place + ".prices[0].match: no price where day is sat, sun and hour is from 23:59 to 24:00"},
		},
		"days without hours": {
			matrix("{name: day, by: weekday}, {name: hour, by: time_of_day}", `day: mon-thu`, `day: [fri], hour: {from: "08:00", to: "20:00"}`, `day: [fri], hour: {from: "20:00", to: "08:00"}`), false,
			[]string{"8 matrix-gap " + place + ".prices[0].match: no price where day is sat, sun: such usage"},
		},
		"a night on every day": {
			matrix("{name: day, by: weekday}, {name: hour, by: time_of_day}", `day: mon-fri, hour: {from: "06:00", to: "22:00"}`, `day: [sat, sun], hour: {from: "06:00", to: "22:00"}`), false,
			[]string{"8 matrix-gap " + place + ".prices[0].match: no price where hour is from 00:00 to 06:00"},
		},
		"prefixes alone": {matrix("{name: dest, by: prefix}", "dest: 49"), false, []string{"5 matrix-default " + place + ": has no default"}},
		"a range within others": {
			matrix("dest, {name: size, by: range}", "dest: [a, b], size: {from: 0}", "dest: a, size: {from: 0}", "dest: [a, c], size: {from: 0}"), false,
			[]string{"5 matrix-default", "9 matrix-shadowed " + place + ".prices[1]: never applies: the prices before it (up to prices[0], line 8)"},
		},
		"a thousand values": {
			matrix("dest", "dest: "+list(1000, 0), "dest: [v0, v999]"), false,
			[]string{"5 matrix-default", "9 matrix-shadowed " + place + ".prices[1]: never applies"},
		},
		"more than a thousand values are not looked at": {
			matrix("dest, region", "dest: "+list(1001, 0), "dest: [v0, v1]", "dest: "+list(1001, 5000), "dest: "+list(501, 0)+", region: [eu, us]", "dest: v0, region: eu"), false, []string{"5 matrix-default"},
		},

		// Periods.
		"rates that follow one another, in any order": {
			book + "rate_classes: [{id: gold, rates: [{product: calls, model: flat, amount: 1, start: 2026-02-01}, {product: calls, model: flat, amount: 1, end: 2026-02-01}]}]", true, nil,
		},
		"a gap, backwards": {
			book + "rate_classes: [{id: gold, rates: [{product: calls, model: flat, amount: 1, start: 2026-03-01}, {product: calls, model: flat, amount: 1, end: 2026-02-01}]}]", true,
			[]string{"7 rate-gap rate_classes[0].rates[0].start: no rate for calls from 2026-02-01 to 2026-03-01"},
		},
		"gaps and ends everywhere": {
			book + `packages:
  - {id: k, products: [{product: calls, rates: [{model: flat, amount: 1, end: 2026-02-28}, {model: flat, amount: 1, start: 2026-03-02, end: 2026-05-05}]}]}
accounts:
  - {id: a, products: [{product: data, rates: [{model: flat, amount: 1, end: 2026-03-31}, {model: flat, amount: 1, start: 2026-04-02, end: 2026-05-05}]}]}
  - {id: b, packages: [{package: k, rates: [{product: calls, model: flat, amount: 1, end: 2026-04-30}, {product: calls, model: flat, amount: 1, start: 2026-05-02, end: 2026-05-05}]}]}
contracts:
  - {id: c, account: a, rates: [{product: calls, model: flat, amount: 1, end: 2026-05-31}, {product: calls, model: flat, amount: 1, start: 2026-06-02, end: 2026-06-05}]}`, true,
			[]string{
				"8 rate-gap packages[0].products[0].rates[1].start: no rate for calls from 2026-02-28 to 2026-03-02, between this one and that of line 8: the next level",
				"8 end-of-month packages[0].products[0].rates[0].end: ends where 2026-02-28 begins",
				"10 rate-gap accounts[0].products[0].rates[1].start: no rate for data from 2026-03-31 to 2026-04-02",
				"10 end-of-month accounts[0].products[0].rates[0].end: ends where 2026-03-31 begins",
				"11 rate-gap accounts[1].packages[0].rates[1].start: no rate for calls from 2026-04-30 to 2026-05-02",
				"11 end-of-month accounts[1].packages[0].rates[0].end: ends where 2026-04-30 begins",
				"13 rate-gap contracts[0].rates[1].start: no rate for calls from 2026-05-31 to 2026-06-02",
				"13 end-of-month contracts[0].rates[0].end: ends where 2026-05-31 begins",
			},
		},
		"in the midst of the last day": {book + "accounts: [{id: a, time_zone: Europe/Berlin, products: [{product: calls, end: 2026-01-31T10:00:00Z}, {product: data, end: 2026-01-30T23:00:00Z}]}]", true, []string{"7 end-of-month accounts[0].products[1].end: ends where 2026-01-31 begins"}},
		"contracts that miss a day, of 25 hours at most": {
			book + `accounts: [{id: a, time_zone: Europe/Berlin}]
contracts:
  - {id: c5, account: a, start: 2027-03-01, rates: [{product: calls, model: flat, amount: 1}]}
  - {id: c4, account: a, start: 2026-12-01, end: 2027-02-01, rates: [{product: calls, model: flat, amount: 1}]}
  - {id: c3, account: a, start: 2026-11-10T00:00:01Z, end: 2026-12-01, rates: [{product: calls, model: flat, amount: 1}]}
  - {id: c2, account: a, start: 2026-10-26, end: 2026-11-09, rates: [{product: calls, model: flat, amount: 1}]}
  - {id: c1, account: a, end: 2026-10-25, rates: [{product: calls, model: flat, amount: 1}]}`, true,
			[]string{"12 contract-gap contracts[3].start: the contract c1 ends at 2026-10-25 and this one starts at 2026-10-26: no contract in between"},
		},
		"currencies of many": {
			"products: [{id: p, rates: [{model: flat, amount: 1, currency: EUR}]}]\naccounts: [{id: a, currency: USD}, {id: b, currency: USD}, {id: c, currency: USD}, {id: d, currency: USD}, {id: e, currency: USD}, {id: f, currency: EUR}, {id: g, currency: GBP}, {id: h, currency: GBP}, {id: i, currency: GBP}]", false,
			[]string{"1 currency-missing products[0].rates: no default rate in GBP, the currency of g, h, i: usage", "1 currency-missing products[0].rates: no default rate in USD, the currency of a, b, c, … (2 more): usage"},
		},

		// Rates that never apply.
		"shadowed by a contract": {
			book + `rate_classes: [{id: gold, rates: [{product: calls, model: flat, amount: 1}, {product: data, model: flat, amount: 1, start: 2026-02-01}, {product: only, model: flat, amount: 1, end: 2026-01-01}]}]
accounts: [{id: a, products: [{product: calls}, {product: data}, {product: only}]}]
contracts:
  - {id: c1, account: a, start: 2026-01-01, rate_class: gold, rates: [{product: calls, model: flat, amount: 1, start: 2026-07-01}, {product: calls, model: flat, amount: 1, end: 2026-07-01}, {product: data, model: flat, amount: 1, start: 2026-02-02}]}`, false,
			[]string{
				"7 rate-shadowed rate_classes[0].rates[0]: never applies: every contract that names the class has a price for calls",
				"7 rate-shadowed rate_classes[0].rates[2]: never applies: none of the contracts that name the class is in effect in its time",
			},
		},
		"of a partial document the same": {
			book + `rate_classes: [{id: gold, rates: [{product: calls, model: flat, amount: 1}, {product: calls, model: flat, amount: 1, currency: USD}]}, {id: iron, rates: [{product: calls, model: flat, amount: 1}]}]
accounts: [{id: a, currency: EUR, products: [{product: data, rates: [{model: flat, amount: 1, currency: USD}]}], packages: [{package: elsewhere, rates: [{product: calls, model: flat, amount: 1}]}]}]
contracts:
  - {id: c1, account: a, rate_class: gold, rates: [{product: calls, model: flat, amount: 1}, {product: data, package: elsewhere, model: flat, amount: 1}]}
  - {id: c2, account: somebody, rate_class: iron, rates: [{product: calls, model: flat, amount: 1, end: 2026-01-31}]}`, true,
			[]string{
				"7 rate-shadowed rate_classes[0].rates[0]: never applies: every contract that names the class has a price for calls",
				"11 end-of-month contracts[1].rates[0].end: ends where 2026-01-31 begins",
			},
		},
		"in other currencies": {
			book + `rate_classes: [{id: gold, rates: [{product: calls, model: flat, amount: 1, currency: USD}]}]
accounts: [{id: a, products: [{product: calls, rates: [{model: flat, amount: 1, currency: USD}]}]}]
contracts: [{id: c, account: a, rate_class: gold}]`, false,
			[]string{
				"7 rate-currency rate_classes[0].rates[0].currency: never applies: it is in USD, and no account whose contract names the class is (a is in EUR)",
				"8 rate-currency accounts[0].products[0].rates[0].currency: never applies: it is in USD, and the account a is in EUR",
			},
		},
		"in other currencies that are converted": {
			book + `rate_classes: [{id: gold, rates: [{product: calls, model: flat, amount: 1, currency: USD}]}]
accounts: [{id: a, products: [{product: calls, rates: [{model: flat, amount: 1, currency: USD}]}]}]
contracts: [{id: c, account: a, rate_class: gold}]
exchange_rates: [{base: EUR, date: 2026-01-01, rates: {USD: 1.1}}]`, false, nil,
		},
		"an own price that begins later": {
			book + `accounts: [{id: a, products: [{product: calls, rates: [{model: flat, amount: 1, start: 2026-02-01}]}, {product: data, rates: [{model: flat, amount: 1, start: 2026-03-01}, {model: flat, amount: 1, end: 2026-03-01}]}]}]
contracts: [{id: c, account: a, rates: [{product: calls, model: flat, amount: 1, start: 2026-01-01}, {product: data, model: flat, amount: 1, start: 2026-01-01}]}]`, false,
			[]string{"8 rate-shadowed contracts[0].rates[1]: never applies: the account's own price for data"},
		},
		"packages of contracts": {
			book + `packages: [{id: k, products: [{product: data}]}, {id: m, products: [{product: calls}]}]
accounts: [{id: top, packages: [{package: k}]}, {id: a, parent: top, products: [{product: calls}]}, {id: free, parent: top, inherit_pricing: false}, {id: m1, packages: [{package: m}]}]
contracts:
  - {id: c, account: a, rates: [{product: data, package: k, model: flat, amount: 1}, {product: calls, package: k, model: flat, amount: 1}, {product: calls, package: m, model: flat, amount: 1, start: 2026-01-01}]}
  - {id: d, account: free, rates: [{product: data, model: flat, amount: 1}, {product: only, model: flat, amount: 1}]}`, false,
			[]string{
				"10 rate-outside-package contracts[0].rates[1].package: the package k does not hold calls",
				"10 package-not-had contracts[0].rates[2].package: neither a nor its parents have the package m",
				"11 rate-unprovisioned contracts[1].rates[0].product: the account free has not provisioned data",
				"11 rate-unprovisioned contracts[1].rates[1].product: never applies: only is for accounts that have it (provisioned_only), and free has not",
			},
		},

		// What is shared.
		"a capacity that holds everything": {rate("id: c, model: capacity, pool: account, tiers: [{price: 5}]"), true, nil},
		"tiers of a capacity that are never reached": {
			rate("id: c, model: capacity, pool: account, tiers: [{price: 5, limits: {p: 10}}, {price: 6, limits: {p: 20}}, {price: 7, limits: {p: 9}}, {price: 8}]"), true,
			[]string{"3 capacity-tier " + place + ".tiers[2]: is never reached: tier 1 holds all that it holds"},
		},
		"a capacity, seen in part": {rate("id: c, model: capacity, pool: account, tiers: [{price: 5, limits: {p: 10, q: 5}}, {price: 8}]"), true, nil},
		"limits of products without the capacity": {
			rate("id: c, model: capacity, pool: account, tiers: [{price: 5, limits: {t: 1, r: 2, q: 3, s: 4, p: 10}}, {price: 8}]") + "\n" +
				"  - {id: q, rates: [{model: flat, amount: 1}]}\n  - {id: r, rates: [{model: flat, amount: 1}]}\n  - {id: s, rates: [{model: flat, amount: 1}]}\n  - {id: t, rates: [{model: flat, amount: 1}]}", false,
			[]string{
				"3 capacity-limit " + place + ".tiers: limits q, which", "3 capacity-limit " + place + ".tiers: limits r, which",
				"3 capacity-limit " + place + ".tiers: limits s, which", "3 capacity-limit " + place + ".tiers: limits t, which", "3 capacity-alone " + place + ".id: only p has the capacity c",
			},
		},
		"pools at every level": {
			book + `rate_classes: [{id: gold, rates: [{product: calls, model: volume, pool: invoice, tiers: [{unit_price: 1}]}]}]
packages: [{id: k, products: [{product: data, rates: [{model: volume, pool: invoice, tiers: [{unit_price: 1}]}]}]}]
accounts:
  - {id: a, products: [{product: calls, rates: [{model: volume, pool: package, tiers: [{unit_price: 1}]}]}, {product: only}]}
  - {id: b, packages: [{package: k, rates: [{product: data, model: volume, pool: package, tiers: [{unit_price: 1}]}]}]}
contracts: [{id: c, account: a, rate_class: gold, rates: [{product: only, model: volume, pool: account, tiers: [{unit_price: 1}]}, {product: data, package: k, model: volume, pool: account, tiers: [{unit_price: 1}]}]}]`, false,
			[]string{
				"7 rate-shadowed", // by the own price for calls
				"7 pool-alone rate_classes[0].rates[0].pool: no account pays for another",
				"8 pool-alone packages[0].products[0].rates[0].pool: no account pays for another",
				"10 pool-alone accounts[0].products[0].rates[0].pool: no package holds calls",
				"12 package-not-had", // of data
				"12 pool-alone contracts[0].rates[0].pool: only has no group_by and is in no package",
				"12 rate-unprovisioned",
			},
		},
		"pools without accounts": {rate("model: volume, pool: invoice, tiers: [{unit_price: 1}]"), false, nil},
		"billed to a parent elsewhere": {
			"accounts: [{id: a, currency: EUR, parent: elsewhere, bill_to: parent}, {id: b, parent: a, currency: EUR, bill_to: parent}]", true, nil,
		},

		// Names.
		"names that look alike": {
			"currency: EUR\nproducts: [{id: file, rates: [{model: flat, amount: 1}]}, {id: FLLE, rates: [{model: flat, amount: 1}]}, {id: c1-a, rates: [{model: flat, amount: 1}]}, {id: c1a, rates: [{model: flat, amount: 1}]}, {id: c-11, rates: [{model: flat, amount: 1}]}, {id: c1-1, rates: [{model: flat, amount: 1}]}]", false,
			[]string{`2 look-alike products[1].id: "FLLE" of FLLE looks like "file" of file`, `2 look-alike products[3].id: "c1a" of c1a looks like "c1-a" of c1-a`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := odd(Lint("d.yaml", []byte(c.document), c.partial, testNow))
			same := len(got) == len(c.want)
			for i := 0; same && i < len(got); i++ {
				same = strings.HasPrefix(got[i], c.want[i])
			}
			if !same {
				t.Errorf("%s\ngot\n  %s\nwant\n  %s", c.document[:min(len(c.document), 2000)], strings.Join(got, "\n  "), strings.Join(c.want, "\n  "))
			}
		})
	}
}

// TestLintPrices: a price list adds to a catalogue that is not looked at; what is refused of it is an error, in its words.
func TestLintPrices(t *testing.T) {
	for list, want := range map[string]string{
		"level,owner,product,unit_price,currency\nrate_class,gold,calls,-1,EUR\n":   "2 below-zero unit_price (column D): is below zero (-1)",
		"level,owner,product,unit_price,currency\ncontract,c-1,calls,0.5,EUR\n":     "",
		"level,owner,product,unit_price,currency\ncontract,c-1,calls,much,EUR\n":    "2 refused unit_price (column D): must be a decimal number",
		"product,model,up_to,unit_price,currency\np,graduated,10,1,EUR\n,,,2,EUR\n": "3 tier-rises ",
	} {
		sheet, err := ParseCSV("p.csv", []byte(list))
		if err != nil {
			t.Fatal(err)
		}
		found := LintPrices("p.csv", sheet, testNow)
		if got := strings.Join(odd(found), "\n"); (want == "") != (got == "") || !strings.HasPrefix(got, want) || strings.Contains(got, "\n") {
			t.Errorf("%s\ngot\n%s\nwant\n%s", list, got, want)
		}
	}
}

// TestLintCounts: findings are counted by how bad they are, and mistakes beyond the first hundred are counted.
func TestLintCounts(t *testing.T) {
	found := Lint("d.yaml", []byte("currency: EUR\nproducts: [{id: p, rates: [{model: graduated, tiers: [{up_to: 99, unit_price: -1}, {unit_price: 2}]}]}]"), false, testNow)
	for severity, want := range map[Severity]int{SeverityError: 0, SeverityWarning: 1, SeverityNote: 2} {
		if got := found.Count(severity); got != want {
			t.Errorf("%d of %s, want %d: %v", got, severity, want, odd(found))
		}
	}
	many := Lint("d.yaml", []byte("currency: EUR\nrate_classes:\n"+strings.Repeat("  - {}\n", 130)), false, testNow)
	if many.Count(SeverityError) != maxIssues || many.More != 30 {
		t.Errorf("%d errors and %d more", many.Count(SeverityError), many.More)
	}
	if got := newBook().refused("currency: EUR\nrate_classes:\n"+strings.Repeat("  - {}\n", 130), testNow); strings.Count(got, "\n") != maxIssues || !strings.HasSuffix(got, "\n… and 30 more") {
		t.Error(got)
	}
}
