package catalog

import (
	"fmt"
	"strings"
	"testing"
)

// refused applies a document to a book and gives what is said, a line each without the document's name; "": it is taken.
func (b *book) refused(document string, now int64) string {
	if _, err := b.apply("d.yaml", document, now); err != nil {
		return strings.ReplaceAll(err.Error(), "d.yaml:", "")
	}
	return ""
}

// many writes that many parameters more.
func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ", x%d: 1", i)
	}
	return b.String()
}

// TestOneMistakeIsOneIssue: a mistake is said once, where it is, and nothing that follows from it; what is next to it is taken.
func TestOneMistakeIsOneIssue(t *testing.T) {
	const begin = `
currency: EUR
products: [{id: calls, rates: [{model: flat, amount: 1}]}, {id: data, rates: [{model: flat, amount: 1}]}, {id: named, identifiers: [old], rates: [{model: flat, amount: 1}]}, {id: gone, identifiers: [past], rates: [{model: flat, amount: 1}]}]
rate_classes: [{id: gold}, {id: iron}]
accounts: [{id: top}, {id: kid, parent: top, bill_to: parent}]
exchange_rates: [{base: EUR, date: 2026-05-01, rates: {USD: 1.1}}]
`
	flat := "model: flat, amount: 1"
	in := func(rate string) string { return "products: [{id: p, rates: [{" + rate + "}]}]" }
	rounded := func(rounding string) string {
		return in("model: per_unit, unit_price: 1, rounding: {" + rounding + "}")
	}
	const at = "1: products[0].rates[0]."
	const noMode = at + "rounding.mode: is missing: use round, ceil or floor"
	const noSteps = at + "rounding.next: must be greater than 0, and first not below 0"
	for name, c := range map[string]struct{ document, want string }{
		// Accounts.
		"parents in a circle, of one that cannot move": {
			"accounts: [{id: kid, parent: new, bill_to: parent}, {id: new, parent: kid}]",
			"1: accounts[0].parent: accounts are parents of each other in a circle, kid → new → kid: leave one parent out\n" +
				"1: accounts[1].parent: accounts are parents of each other in a circle, new → kid → new: leave one parent out",
		},
		"a parent's parent that there is not": {
			"accounts: [{id: kid, parent: new, bill_to: parent}, {id: new, parent: nobody}]",
			`1: accounts[1].parent: names the account "nobody", which does not exist: define it or correct the id`,
		},
		"billed to nobody": {"accounts: [{id: kid, bill_to: parent}]", "1: accounts[0].bill_to: is parent, but the account has no parent: name one, or leave bill_to out"},
		"the zone of the machine": {
			"accounts: [{id: a, time_zone: Local}]", `1: accounts[0].time_zone: unknown time zone "Local": use a name of the IANA database such as Europe/Berlin`,
		},
		"UTC": {"accounts: [{id: a, time_zone: UTC}]", ""},

		// Contracts.
		"two contracts of nobody": {
			"contracts: [{id: c, account: nobody, rates: [{product: calls, " + flat + "}]}, {id: d, account: nobody, rates: [{product: calls, " + flat + "}]}]",
			`1: contracts[0].account: names the account "nobody", which does not exist: define it or correct the id` + "\n" +
				`1: contracts[1].account: names the account "nobody", which does not exist: define it or correct the id`,
		},
		"a contract that ends before it starts": {
			"contracts: [{id: c, account: top, start: 2026-02-01, end: 2026-01-01, rates: [{product: calls, " + flat + "}]}]", "1: contracts[0].end: must be after start (2026-02-01)",
		},
		"a contract beside exchange rates": {
			"contracts: [{id: c, account: top, rate_class: gold}]\nexchange_rates: [{base: EUR, date: 2026-05-01, rates: {USD: 1.2}}]", "",
		},
		"a provision that ends before it starts": {
			"accounts: [{id: a, products: [{product: calls, start: 2026-02-01, end: 2026-01-01, rates: [{" + flat + "}]}]}]", "1: accounts[0].products[0].end: must be after start (2026-02-01)",
		},

		// Dates.
		"the first year":                   {"accounts: [{id: a, products: [{product: calls, start: 1900-01-01, end: 2200-12-31}]}]", ""},
		"the first and the last instant":   {"accounts: [{id: a, products: [{product: calls, start: 1900-01-01T00:00:00Z, end: 2200-12-31T23:59:59Z}]}]", ""},
		"a day before the first year":      {"accounts: [{id: a, products: [{product: calls, start: 1899-12-31}]}]", "1: accounts[0].products[0].start: must lie between the years 1900 and 2200"},
		"a day after the last year":        {"accounts: [{id: a, products: [{product: calls, end: 2201-01-01}]}]", "1: accounts[0].products[0].end: must lie between the years 1900 and 2200"},
		"an instant before the first year": {"accounts: [{id: a, products: [{product: calls, start: 1899-12-31T23:59:59Z}]}]", "1: accounts[0].products[0].start: must lie between the years 1900 and 2200"},
		"an instant after the last year":   {"accounts: [{id: a, products: [{product: calls, end: 2201-01-01T00:00:00Z}]}]", "1: accounts[0].products[0].end: must lie between the years 1900 and 2200"},

		// Members of the wrong form.
		"a maximum in words":                     {in(flat + ", maximum: much"), at + `maximum: must be a decimal number such as 0.10, not "much"`},
		"a kind that is a list":                  {"products: [{id: p, kind: [usage], rates: [{" + flat + "}]}]", "1: products[0].kind: must be usage, not a list"},
		"a country that is a list":               {"seller: {country: [DE]}", "1: seller.country: must be text, not a list"},
		"whether prices are inherited, in words": {"accounts: [{id: a, inherit_pricing: never}]", `1: accounts[0].inherit_pricing: must be true or false, not "never"`},

		"a capacity with a minimum": {
			in("id: c, model: capacity, pool: account, minimum: 5, tiers: [{price: 10, limits: {calls: 3}}, {price: 20}]"),
			at + "minimum: is trued up line by line, and a capacity is of the lines of several products: leave it out, and give the first tier the price that is due at least",
		},
		"a formula that is a list":    {in("model: formula, expression: [x]"), at + "expression: must be a formula, not a list"},
		"an attribute that is a list": {in("model: per_unit, unit_price: 1, aggregation: unique, attribute: [x]"), at + "attribute: must be text, not a list"},
		"rate of a tier in words":     {in("model: graduated_percentage, tiers: [{rate: much}]"), at + `tiers[0].rate: must be a decimal number such as 0.10, not "much"`},
		"max_blocks in words": {
			in("model: block_volume, tiers: [{block_size: 1, max_blocks: many, price: 1}, {block_size: 1, price: 1}]"), at + `tiers[0].max_blocks: must be a decimal number such as 0.10, not "many"`,
		},
		"an id that is a list":           {"accounts: [{id: [a]}]", "1: accounts[0].id: must be an id, not a list"},
		"a number that is a list":        {"accounts: [{id: a, terms_days: [1]}]", "1: accounts[0].terms_days: must be a whole number, not a list"},
		"an anchor beyond all days":      {"accounts: [{id: a, cycle: {every: weekly, anchor_day: 32}}]", `1: accounts[0].cycle.anchor_day: must be a whole number from 1 to 31, not "32"`},
		"a start that is a list":         {"contracts: [{id: c, account: top, start: [1]}]", "1: contracts[0].start: must be a date or an instant, not a list"},
		"a choice that is a list":        {"accounts: [{id: a, late: [carry]}]", "1: accounts[0].late: must be one of carry, reject, not a list"},
		"a currency that is a list":      {"accounts: [{id: a, currency: [EUR]}]", "1: accounts[0].currency: must be a currency, not a list"},
		"a zone that is a list":          {"accounts: [{id: a, time_zone: [UTC]}]", "1: accounts[0].time_zone: must be a time zone, not a list"},
		"true in quotes":                 {"products: [{id: p, provisioned_only: \"true\", rates: [{" + flat + "}]}]", `1: products[0].provisioned_only: must be true or false, not "true"`},
		"what is written twice":          {"accounts: [{id: a, name: x, name: [y]}]", "1: accounts[0].name: is written twice: leave one out"},
		"a name of 256 bytes":            {"accounts: [{id: a, name: " + strings.Repeat("x", 256) + "}]", ""},
		"a name of 257 bytes":            {"accounts: [{id: a, name: " + strings.Repeat("x", 257) + "}]", "1: accounts[0].name: must have 1 to 256 bytes, not 257"},
		"a name of no bytes":             {"accounts: [{id: a, name: \"\"}]", "1: accounts[0].name: must have 1 to 256 bytes, not 0"},
		"an unknown member of 256 bytes": {"accounts: [{id: a, " + strings.Repeat("x", 256) + ": 1}]", "1: accounts[0]." + strings.Repeat("x", 256) + ": is not known here: known are id, name, parent, bill_to, inherit_pricing, currency, time_zone, cycle, terms_days, class, late, identifiers, products, packages"},
		"an unknown member of 300 bytes": {"accounts: [{id: a, " + strings.Repeat("x", 300) + ": 1}]", "1: accounts[0]." + strings.Repeat("x", 256) + "…: is not known here: known are id, name, parent, bill_to, inherit_pricing, currency, time_zone, cycle, terms_days, class, late, identifiers, products, packages"},
		"sixty letters":                  {"accounts: [{id: a, late: " + strings.Repeat("x", 60) + "}]", `1: accounts[0].late: must be one of carry, reject, not "` + strings.Repeat("x", 60) + `"`},
		"sixty-one letters":              {"accounts: [{id: a, late: " + strings.Repeat("x", 61) + "}]", `1: accounts[0].late: must be one of carry, reject, not "` + strings.Repeat("x", 60) + `…"`},
		"the largest number":             {in("model: flat, amount: 1000000000000000"), ""},
		"a number beyond the largest":    {in("model: flat, amount: 1000000000000000.1"), at + "amount: must lie between -10^15 and 10^15, not 1000000000000000.1"},
		"a number beyond all numbers":    {in("model: flat, amount: 1" + strings.Repeat("0", 40)), at + "amount: must lie between -10^15 and 10^15, not 1" + strings.Repeat("0", 40)},

		// Methods of one's own.
		"a formula of a thousand bytes": {in(`model: formula, expression: "` + "1" + strings.Repeat(" ", 999) + `"`), ""},
		"a formula that is longer":      {in(`model: formula, expression: "` + "1" + strings.Repeat(" ", 1000) + `"`), at + "expression: must have 1 to 1000 bytes, not 1001"},
		"a formula of nothing":          {in(`model: formula, expression: ""`), at + "expression: must have 1 to 1000 bytes, not 0"},
		"a formula on two lines":        {in("model: formula, expression: \"quantity\\n+\\t1\""), ""},
		"parameters that are a list":    {in("model: custom, method: half, parameters: [2]"), at + "parameters: must be an object of at most 50 names and values, not a list\n" + at + "method: by must be a number"},
		"a parameter twice":             {in("model: custom, method: half, parameters: {by: 2, by: 3}"), at + "parameters.by: is written twice"},
		"a method that makes nothing":   {in("model: custom, method: half, parameters: {by: 0}"), at + "method: the method half made nothing of its parameters"},
		"fifty parameters":              {in("model: custom, method: half, parameters: {by: 2" + many(49) + "}"), ""},
		"more than fifty":               {in("model: custom, method: half, parameters: {by: 2" + many(50) + "}"), at + "parameters: must be an object of at most 50 names and values, not an object\n" + at + "method: by must be a number"},

		// Tiers, caps and what is shared.
		"min is max":                     {in("model: percentage, rate: 1, min: 2, max: 2"), ""},
		"the minimum is the maximum":     {in(flat + ", minimum: 2, maximum: 2"), ""},
		"tiers from zero":                {in("model: graduated, tiers: [{up_to: 0, unit_price: 1}, {up_to: -1, unit_price: 1}, {unit_price: 1}]"), at + "tiers[0].up_to: must be greater than 0, not 0\n" + at + "tiers[1].up_to: must be greater than the tier before (0)"},
		"blocks to the end of numbers":   {in("model: block_graduated, tiers: [{block_size: 1000000000000000, max_blocks: 1, price: 1}, {block_size: 1, price: 1}]"), ""},
		"the last blocks are counted":    {in("model: block_graduated, tiers: [{block_size: 1, max_blocks: 1.5, price: 1}]"), at + "tiers[0].max_blocks: must be left out: the last tier is open"},
		"a limit of nothing":             {in("id: cap, model: capacity, pool: account, tiers: [{price: 1, limits: {calls: 0}}, {price: 2}]"), ""},
		"a limit of no id, in words":     {in("id: cap, model: capacity, pool: account, tiers: [{price: 1, limits: {a/b: much}}, {price: 2}]"), at + `tiers[0].limits.a/b: an id must not hold '/' (in "a/b"): use letters, digits and . _ - +`},
		"a limit twice, in words":        {in("id: cap, model: capacity, pool: account, tiers: [{price: 1, limits: {calls: 1, calls: much}}, {price: 2}]"), at + "tiers[0].limits.calls: is written twice"},
		"a maximum that is shared":       {in("model: per_unit, unit_price: 1, maximum: 5, pool: account"), ""},
		"a free part that is shared":     {in("model: per_unit, unit_price: 1, included: 5, pool: account"), ""},
		"nothing that is shared":         {in("model: per_unit, unit_price: 1, pool: account"), at + "pool: shares tiers, what is included and a maximum, and this rate has none of them: leave it out"},
		"cells that are shared":          {in("model: matrix, pool: account, dimensions: [d], prices: [{match: {d: x}, model: per_unit, unit_price: 1}]"), ""},
		"a flat cell that is shared":     {in("model: matrix, pool: account, dimensions: [d], prices: [{match: {d: x}, model: per_unit, unit_price: 1}], default: {model: flat, amount: 1}"), at + "pool: shares tiers, and a flat amount has none: leave it out"},
		"many cells that are not shared": {in("model: matrix, pool: account, dimensions: [d], prices: [{match: {d: x}, model: flat, amount: 1}, {match: {d: \"y\"}, model: dynamic}]"), at + "pool: shares tiers, and a flat amount has none: leave it out"},

		// Products and packages.
		"an identifier twice": {"products: [{id: p, identifiers: [x, x], rates: [{" + flat + "}]}]", `1: products[0].identifiers[1]: "x" already names the product "p": an identifier names one product`},
		"an identifier of three": {
			"products: [{id: p, identifiers: [x], rates: [{" + flat + "}]}, {id: q, identifiers: [x], rates: [{" + flat + "}]}, {id: r, identifiers: [x], rates: [{" + flat + "}]}]",
			`1: products[1].identifiers[0]: "x" already names the product "p": an identifier names one product` + "\n" + `1: products[2].identifiers[0]: "x" already names the product "p": an identifier names one product`,
		},
		"an identifier that is a product":            {"products: [{id: p, identifiers: [calls], rates: [{" + flat + "}]}]", `1: products[0].identifiers[0]: "calls" already names the product "calls": an identifier names one product`},
		"an identifier that is stored":               {"products: [{id: p, identifiers: [old], rates: [{" + flat + "}]}]", `1: products[0].identifiers[0]: "old" already names the product "named": an identifier names one product`},
		"an identifier that was given up":            {"products: [{id: p, identifiers: [old], rates: [{" + flat + "}]}, {id: named, rates: [{" + flat + "}]}]", ""},
		"an identifier that goes":                    {"products: [{id: p, identifiers: [old], rates: [{" + flat + "}]}]\ndelete: [{kind: product, id: named}]", ""},
		"an identifier that is gone":                 {"products: [{id: p, identifiers: [gone, past], rates: [{" + flat + "}]}]", ""},
		"a package of nothing, twice":                {"packages: [{id: k, products: [{}, {}]}]", "1: packages[0].products[0].product: is missing: name the product\n1: packages[0].products[1].product: is missing: name the product"},
		"a product that there is not, below another": {"packages: [{id: k, products: [{product: nothing, parent: nowhere}]}]", `1: packages[0].products[0].product: names the product "nothing", which does not exist: define it or correct the id`},
		"a parent elsewhere":                         {"packages: [{id: k, products: [{product: calls, parent: data}]}]", `1: packages[0].products[0].parent: "data" is not a product of this package: list it here, or correct the id`},
		"nested in a circle": {
			"packages: [{id: k, products: [{product: calls, parent: data}, {product: data, parent: calls}, {product: named, parent: calls}]}]",
			"1: packages[0].products[0].parent: products are nested in a circle, calls → data → calls: leave one parent out\n1: packages[0].products[1].parent: products are nested in a circle, data → calls → data: leave one parent out",
		},

		// Rates in one another's way.
		"one within the other": {
			"rate_classes: [{id: k, rates: [{product: calls, " + flat + "}, {product: calls, " + flat + ", start: 2026-01-01, end: 2026-02-01}, {product: calls, " + flat + ", start: 2026-03-01}]}]",
			"1: rate_classes[0].rates[1]: overlaps with rate_classes[0].rates[0] (line 1) for calls: rate_class:k/calls@2026-01-01 is in effect from 2026-01-01T00:00:00Z to 2026-02-01T00:00:00Z, " +
				"rate_class:k/calls from the beginning to the end of time; give one an end or a later start\n" +
				"1: rate_classes[0].rates[2]: overlaps with rate_classes[0].rates[0] (line 1) for calls: rate_class:k/calls@2026-03-01 is in effect from 2026-03-01T00:00:00Z to the end of time, " +
				"rate_class:k/calls from the beginning to the end of time; give one an end or a later start",
		},
		"the longest of all": {
			"rate_classes: [{id: k, rates: [{product: calls, " + flat + ", end: 2026-03-01}, {product: calls, " + flat + ", start: 2026-01-01, end: 2026-02-01}, " +
				"{product: calls, " + flat + ", start: 2026-02-15, end: 2026-04-01}, {product: calls, " + flat + ", start: 2026-03-15}]}]",
			"1: rate_classes[0].rates[1]: overlaps with rate_classes[0].rates[0] (line 1) for calls: rate_class:k/calls@2026-01-01 is in effect from 2026-01-01T00:00:00Z to 2026-02-01T00:00:00Z, " +
				"rate_class:k/calls from the beginning to 2026-03-01T00:00:00Z; give one an end or a later start\n" +
				"1: rate_classes[0].rates[2]: overlaps with rate_classes[0].rates[0] (line 1) for calls: rate_class:k/calls@2026-02-15 is in effect from 2026-02-15T00:00:00Z to 2026-04-01T00:00:00Z, " +
				"rate_class:k/calls from the beginning to 2026-03-01T00:00:00Z; give one an end or a later start\n" +
				"1: rate_classes[0].rates[3]: overlaps with rate_classes[0].rates[2] (line 1) for calls: rate_class:k/calls@2026-03-15 is in effect from 2026-03-15T00:00:00Z to the end of time, " +
				"rate_class:k/calls@2026-02-15 from 2026-02-15T00:00:00Z to 2026-04-01T00:00:00Z; give one an end or a later start",
		},
		// Matrices.
		"eight dimensions":       {in("model: matrix, dimensions: [a, b, c, d, e, f, g, h], prices: [{match: {h: x}, " + flat + "}]"), ""},
		"nine dimensions":        {in("model: matrix, dimensions: [a, b, c, d, e, f, g, h, i], prices: [{match: {i: x}, model: flat}]"), at + "dimensions: has 9 dimensions, more than 8"},
		"a night without an end": {in("model: matrix, dimensions: [{name: h, by: time_of_day}], prices: [{match: {h: {from: \"08:00\"}}, " + flat + "}]"), at + "prices[0].match.h.to: is missing: use a time such as 22:00"},
		"a day without an end":   {in("model: matrix, dimensions: [{name: h, by: time_of_day}], prices: [{match: {h: {from: \"00:00\"}}, " + flat + "}]"), at + "prices[0].match.h.to: is missing: use a time such as 22:00"},
		"a night that begins wrongly": {
			in("model: matrix, dimensions: [{name: h, by: time_of_day}], prices: [{match: {h: {from: \"25:00\", to: \"24:00\"}}, " + flat + "}]"),
			at + `prices[0].match.h.from: must be a time of the day from 00:00 to 24:00 such as 22:00, not "25:00"`,
		},
		"a night that ends wrongly": {
			in("model: matrix, dimensions: [{name: h, by: time_of_day}], prices: [{match: {h: {from: \"00:00\", to: \"25:00\"}}, " + flat + "}]"),
			at + `prices[0].match.h.to: must be a time of the day from 00:00 to 24:00 such as 22:00, not "25:00"`,
		},
		"a night from a list": {in("model: matrix, dimensions: [{name: h, by: time_of_day}], prices: [{match: {h: {from: [x], to: \"24:00\"}}, " + flat + "}]"), at + "prices[0].match.h.from: must be a time such as 22:00, not a list"},
		"the same range": {
			in("model: matrix, dimensions: [{name: n, by: range}], prices: [{match: {n: {from: 1, to: 5}}, " + flat + "}, {match: {n: {from: 1.0, to: 5}}, " + flat + "}]"),
			at + "prices[1].match: is the same as that of prices[0] (line 1): no rule says which of them prices what both match, so change or delete one",
		},
		"a range of the same beginning": {
			in("model: matrix, dimensions: [{name: n, by: range}], prices: [{match: {n: {from: 1, to: 5}}, " + flat + "}, {match: {n: {from: 1, to: 6}}, " + flat + "}]"),
			at + "prices[1].match: overlaps with that of prices[0] (line 1): no rule says which of them prices what both match, so change or delete one",
		},
		"the later one is written first": {
			"rate_classes:\n - id: k\n   rates:\n    - {product: calls, " + flat + ", start: 2026-01-01}\n    - {product: calls, " + flat + ", end: 2026-02-01}",
			"5: rate_classes[0].rates[1]: overlaps with rate_classes[0].rates[0] (line 4) for calls: rate_class:k/calls is in effect from the beginning to 2026-02-01T00:00:00Z, " +
				"rate_class:k/calls@2026-01-01 from 2026-01-01T00:00:00Z to the end of time; give one an end or a later start",
		},
		"a rate of no time": {
			"rate_classes: [{id: k, rates: [{product: calls, " + flat + ", start: 2026-01-01, end: 2026-01-01}]}]",
			"1: rate_classes[0].rates[0].end: must be after start (2026-01-01T00:00:00Z)",
		},
		"a contract's rate that begins where the contract ends": {
			"contracts: [{id: c, account: top, end: 2026-02-01, rates: [{product: calls, " + flat + ", start: 2026-02-01}]}]",
			"1: contracts[0].rates[0]: never takes effect: it runs from 2026-02-01T00:00:00Z to open, the contract runs from open to 2026-02-01",
		},

		// Rounding.
		"increments":                  {rounded("first: 60, next: 6"), ""},
		"increments from nothing":     {rounded("next: 6"), ""},
		"increments and precision":    {rounded("first: 60, next: 6, precision: 2, on: event"), ""},
		"only the first":              {rounded("first: 60"), noSteps},
		"a first below zero":          {rounded("first: -60, next: 6"), noSteps},
		"increments backwards":        {rounded("next: -6"), noSteps},
		"a mode and steps":            {rounded("mode: ceil, next: 6"), at + "rounding: has both a mode and increments: use {mode, precision, on} or {first, next}"},
		"where to round, and not how": {rounded("on: event"), noMode},
		"how finely, and not how":     {rounded("precision: 2"), noMode},
		"no rounding":                 {rounded("mode: none"), ""},

		// Exchange rates.
		"days without a base": {
			"exchange_rates: [{date: 2026-01-01, rates: {USD: 1}}, {date: 2026-01-01, rates: {USD: 1}}]",
			"1: exchange_rates[0].base: is missing: name the currency whose unit is priced\n1: exchange_rates[1].base: is missing: name the currency whose unit is priced",
		},
		"bases without a day": {
			"exchange_rates: [{base: EUR, rates: {USD: 1}}, {base: EUR, rates: {USD: 1}}]",
			"1: exchange_rates[0].date: is missing: write the day of the rates\n1: exchange_rates[1].date: is missing: write the day of the rates",
		},
		"a day that is a list":  {"exchange_rates: [{base: EUR, date: [x], rates: {USD: 1}}]", "1: exchange_rates[0].date: must be a date, not a list"},
		"a day in words":        {"exchange_rates: [{base: EUR, date: today, rates: {USD: 1}}]", `1: exchange_rates[0].date: must be a date such as 2026-11-20, not "today"`},
		"an instant":            {"exchange_rates: [{base: EUR, date: 2026-01-01T00:00:00Z, rates: {USD: 1}}]", `1: exchange_rates[0].date: must be a date such as 2026-11-20, not "2026-01-01T00:00:00Z"`},
		"rates that are a list": {"exchange_rates: [{base: EUR, date: 2026-01-01, rates: [1]}]", "1: exchange_rates[0].rates: must say what one unit of the base costs, such as {USD: 1.1592}, not a list"},
		"rates that are none":   {"exchange_rates: [{base: EUR, date: 2026-01-01, rates: {}}]", "1: exchange_rates[0].rates: must say what one unit of the base costs, such as {USD: 1.1592}, not an object"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBook()
			b.must(t, testNow, begin)
			b.must(t, testNow, "delete: [{kind: product, id: gone}]")
			if got := strings.ReplaceAll(" "+b.refused(c.document, testNow), "\n ", "\n"); strings.TrimSpace(got) != c.want {
				t.Errorf("%s\ngot\n%s\nwant\n%s", c.document, got, c.want)
			}
		})
	}
}

// TestCataloguesWithoutACurrency: where nothing says what prices and accounts are in, each of them has to.
func TestCataloguesWithoutACurrency(t *testing.T) {
	got := newBook().refused("products: [{id: p, rates: [{model: flat, amount: 1}]}]\naccounts: [{id: a}, {id: b, currency: EUR}]", testNow)
	want := "1: products[0].rates[0].currency: is missing, and the catalogue has no default: write currency at the top\n" +
		"2: accounts[0].currency: is missing, and the catalogue has no default: write currency here or at the top"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestDamagedDefinitions: what is stored and cannot be read is said, once, and nothing is written over it.
func TestDamagedDefinitions(t *testing.T) {
	const sold = "products: [{id: p, rates: [{model: flat, amount: 1}]}]\n"
	for name, c := range map[string]struct {
		ref                  Ref
		body, document, want string
	}{
		"settings": {Ref{KindSettings, "main"}, `{"currency":5}`, "accounts: [{id: x, currency: EUR}]", "decode settings main at 3: json: cannot unmarshal number into Go struct field settingsDef.currency of type string"},
		"an account that is defined again": {
			Ref{KindAccount, "a"}, `{"id":"a","currency":5}`, "currency: EUR\naccounts: [{id: a}]",
			"decode account a at 3: json: cannot unmarshal number into Go struct field accountDef.currency of type string",
		},
		"an account with a contract": {
			Ref{KindAccount, "a"}, `{"id":"a","currency":5}`, sold + "contracts: [{id: c, account: a, rates: [{product: p, model: flat, amount: 1}]}]",
			"decode account a at 3: json: cannot unmarshal number into Go struct field accountDef.currency of type string",
		},
		"a zone that is no more": {
			Ref{KindAccount, "a"}, `{"id":"a","currency":"EUR","time_zone":"Mars/Base","billing":[{}]}`, "contracts: [{id: c, account: a, start: 2026-01-01}]",
			`1: contracts[0].account: unknown time zone "Mars/Base": use a name of the IANA database such as Europe/Berlin`,
		},
		"a zone of former terms": {
			Ref{KindAccount, "a"}, `{"id":"a","currency":"EUR","billing":[{"time_zone":"Mars/Base"}]}`, "accounts: [{id: a, cycle: {anchor_day: 5}}]",
			`unknown time zone "Mars/Base": use a name of the IANA database such as Europe/Berlin`,
		},
		"the contract that is defined again": {
			Ref{KindContract, "c"}, `{"id":"c","account":5}`, "currency: EUR\naccounts: [{id: b}]\ncontracts: [{id: c, account: b}]",
			"decode contract c at 3: json: cannot unmarshal number into Go struct field contractDef.account of type string",
		},
		"another contract of the account": {
			Ref{KindContract, "c"}, `{"id":"c","account":"b","rate_class":"iron","rates":5}`,
			"currency: EUR\nrate_classes: [{id: gold}]\naccounts: [{id: b}]\ncontracts: [{id: d, account: b, rate_class: gold}]",
			"decode contract c at 3: json: cannot unmarshal number into Go struct field contractDef.rates of type []*catalog.rateDef",
		},
		"another product": {
			Ref{KindProduct, "q"}, `{"id":"q","identifiers":["x"],"rates":5}`, "currency: EUR\nproducts: [{id: p, identifiers: [x], rates: [{model: flat, amount: 1}]}]",
			"decode product q at 3: json: cannot unmarshal number into Go struct field productDef.rates of type []*catalog.rateDef",
		},
	} {
		doc, err := ParseDocument("d.yaml", []byte(c.document))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		rows := map[Ref]Row{{KindSettings, "main"}: {Ref{KindSettings, "main"}, 1, false, []byte(`{"currency":"EUR"}`)}}
		rows[c.ref] = Row{c.ref, 3, false, []byte(c.body)}
		if _, err := doc.Revise(Stored{Rows: rows}, testNow); err == nil || strings.ReplaceAll(err.Error(), "d.yaml:", "") != c.want && err.Error() != "d.yaml: "+c.want {
			t.Errorf("%s: %v\nwant %s", name, err, c.want)
		}
	}
}

// TestContractsInTheWay: of several contracts that are in the way all are named, in the order of their ids; those that go are in nobody's.
func TestContractsInTheWay(t *testing.T) {
	b := newBook()
	b.must(t, at(inMay), "currency: EUR\nrate_classes: [{id: gold}, {id: iron}]\naccounts: [{id: a}]")
	var want []string
	for i := range 6 {
		id, month := string(rune('f'-i)), i+1
		b.must(t, at(inMay), fmt.Sprintf("contracts: [{id: %s, account: a, start: 2026-%02d-01, end: 2026-%02d-01, rate_class: gold}]", id, month, month+1))
		want = append([]string{fmt.Sprintf("1: contracts[0].rate_class: the contract %s of the same account names the rate class gold at the same time: one of them must end before the other starts", id)}, want...)
	}
	b.told(t, []step{
		{inMay, "contracts: [{id: new, account: a, rate_class: iron}]", want},
		{inMay, "contracts: [{id: new, account: a, start: 2026-06-01, rate_class: iron}]\ndelete: [{kind: contract, id: a}]", []string{
			"created contract new new below a account:a rate_class:iron", "deleted contract a below a",
		}},
		// Who uses what is deleted may go with it.
		{inMay, "delete: [{kind: rate_class, id: iron}, {kind: contract, id: new}]", []string{"deleted rate_class iron", "deleted contract new below a"}},
		{inMay, "delete: [{kind: rate_class, id: gold}, {kind: contract, id: b}]", []string{`1: delete[0]: rate_class "gold" is still used by contract "c": change or delete that first`}},
	})
}

// TestWhoPaysNow: a new account is routed by who pays for its parents now, and billing changes where the period of who pays now ends.
func TestWhoPaysNow(t *testing.T) {
	b := newBook()
	b.told(t, []step{
		{inMay, "currency: EUR\naccounts: [{id: top, cycle: {every: yearly}}, {id: mid, parent: top, bill_to: parent}, {id: low, parent: mid, bill_to: parent}, {id: free, parent: top}]", []string{
			"created settings main new", "created account top new", "created account mid new below top account:top", "created account low new below mid account:mid",
			"created account free new below top account:top",
		}},
		// What the document says of the payer's own billing begins later.
		{inMay, "accounts: [{id: mid, parent: top}, {id: new, parent: mid, bill_to: parent}, {id: free, parent: top, bill_to: parent}, {id: newer, parent: free, bill_to: parent}]", []string{
			"changed account mid: bill_to, billing (billing from 2027-01-01T00:00:00Z) below top account:top", "created account new new below mid account:mid",
			"changed account free: bill_to, billing (billing from 2026-06-01T00:00:00Z) below top account:top", "created account newer new below free account:free",
		}},
		{inMay, "accounts: [{id: low, parent: mid, cycle: {anchor_day: 5}, bill_to: parent}]", []string{
			"changed account low: billing, cycle (billing from 2027-01-01T00:00:00Z) below mid account:mid",
		}},
		// It is told again only if it changes again.
		{inMay, "accounts: [{id: low, name: Low, parent: mid, cycle: {anchor_day: 5}, bill_to: parent}]", []string{"changed account low: name below mid account:mid"}},
	})
	for account, want := range map[string]string{"new": "top", "newer": "free", "low": "top"} {
		if got := b.account(t, account).RoutingKey; got != want {
			t.Errorf("%s is routed by %q, want %q", account, got, want)
		}
	}
}
