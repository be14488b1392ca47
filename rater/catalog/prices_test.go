package catalog

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// everything has a rate of each kind at each level, with texts that are traps.
const everything = `
currency: EUR
seller: {id: main, name: Example}
products:
  - {id: api-calls, name: "=API calls", unit: request, identifiers: [api.requests], group_by: [region], rates: [{model: graduated, tiers: [{up_to: 100, unit_price: 0.10}, {up_to: 1000, unit_price: 0.05, flat_price: 3}, {unit_price: 0}]}]}
  - {id: data, unit: GB, rates: [{model: per_unit, unit_price: 1.234, end: 2026-06-01}, {model: volume, bounds: half_open, start: 2026-06-01, tiers: [{up_to: 10, unit_price: 2, flat_price: -1}, {unit_price: 1}]}, {model: flat, amount: 7, currency: USD}]}
  - {id: seats, provisioned_only: true, rates: [{id: cap, model: capacity, pool: account, tiers: [{price: 50, limits: {seats: 10, gb: 5}}, {price: 90, limits: {seats: 20}}, {price: 200}]}]}
  - {id: gb, rates: [{id: cap, model: capacity, pool: account, tiers: [{price: 50, limits: {seats: 10, gb: 5}}, {price: 90, limits: {seats: 20}}, {price: 200}]}]}
  - {id: fee, rates: [{model: percentage, rate: 2.9, fixed: 0.3, min: 1, max: 100, free_events: 3, free_amount: 50, maximum: 1000, minimum: 5, minimum_prorated: true}]}
  - {id: sales, rates: [{model: graduated_percentage, tiers: [{up_to: 1000, rate: 2}, {rate: 1.5, flat_price: 3}], included: 10}]}
  - {id: boxes, rates: [{model: block_volume, tiers: [{block_size: 10, max_blocks: 3, price: 2}, {block_size: 5, price: 1}], rounding: {mode: ceil, precision: -1, on: event}}]}
  - {id: packs, rates: [{model: package, size: 10, price: 5, free: 3, aggregation: max}]}
  - {id: whole, rates: [{model: graduated, split: false, tiers_restart: true, tiers: [{up_to: 100, unit_price: 0.10}, {unit_price: 0.05}]}]}
  - {id: days, rates: [{model: graduated, prorate: day, zero_usage_flat: charge, tiers: [{unit_price: 0.05, flat_price: 2}]}]}
  - {id: level, rates: [{model: per_unit, unit_price: 3, aggregation: time_weighted, level: absolute}]}
  - {id: carried, rates: [{model: dynamic}]}
  - {id: f, rates: [{model: formula, expression: "-quantity * 0.1 + 200"}]}
  - {id: c, rates: [{model: custom, method: half, parameters: {by: 4}}]}
  - id: calls
    name: Phone calls
    unit: minute
    rates:
      - model: matrix
        dimensions: [{name: dest, by: prefix}, {name: size, by: range}, {name: "a|b", from: plan}, {name: night, by: time_of_day}, {name: day, by: weekday}]
        maximum: 99
        rounding: {first: 60, next: 1}
        prices:
          - {match: {dest: ["49", "+33", "0049"]}, model: per_unit, unit_price: 0.1}
          - {match: {size: {from: 1, to: 5}, dest: "44"}, model: flat, amount: 2}
          - {match: {size: {from: 5}}, model: graduated, included: 3, tiers: [{up_to: 3, unit_price: 2}, {unit_price: 1}]}
          - {match: {"a|b": ["x|y", "\\", " s"], night: {from: "22:00", to: "06:00"}, day: mon-fri}, model: package, size: 3, price: 1}
        default: {model: volume, tiers: [{up_to: 3, unit_price: 2}, {unit_price: 1}], maximum: 12}
rate_classes:
  - {id: gold, rates: [{product: data, model: per_unit, unit_price: 0.9}, {product: api-calls, model: per_unit, unit_price: 0.03}]}
packages:
  - {id: starter, name: Starter, products: [{product: api-calls, rates: [{model: per_unit, unit_price: 0.08}]}, {product: data, parent: api-calls}]}
accounts:
  - id: acme
    name: Acme GmbH
    currency: EUR
    time_zone: Europe/Berlin
    identifiers: ["+49"]
    products:
      - {product: data, start: 2026-01-01, end: 2026-05-01, rates: [{model: per_unit, unit_price: 5}]}
      - {product: data, start: 2026-05-01, rates: [{model: per_unit, unit_price: 4, start: 2026-07-01T10:00:00Z}]}
      - {product: seats}
    packages: [{package: starter, rates: [{product: data, model: per_unit, unit_price: 0.5}]}]
  - {id: usd, currency: USD, products: [{product: data, rates: [{model: per_unit, unit_price: 5}]}]}
contracts:
  - {id: c-1, account: acme, start: 2026-01-01, end: 2027-01-01, rate_class: gold, rates: [{product: api-calls, model: per_unit, unit_price: 0.10}, {product: api-calls, package: starter, model: per_unit, unit_price: 0.07, start: 2026-03-01}]}
`

// fillFrom fills a price list in from a book, as the adapter does.
func (b *book) fillFrom(d *Document) error {
	rows := map[Ref]Row{}
	for range 2 {
		for _, ref := range d.Missing(rows) {
			if row, ok := b.rows[ref]; ok {
				rows[ref] = row
			}
		}
	}
	return d.Fill(rows)
}

// applyPrices applies a price list to a book and gives what changes.
func (b *book) applyPrices(s *Sheet) ([]Change, error) {
	doc, err := ParsePrices("prices.csv", s)
	if err != nil {
		return nil, err
	}
	if err := b.fillFrom(doc); err != nil {
		return nil, err
	}
	changes, err := doc.Revise(b.stored(), testNow)
	for _, c := range changes {
		b.rows[c.Ref] = Row{c.Ref, b.seq, c.Deleted, c.Body}
	}
	return changes, err
}

func (b *book) applyCSV(text string) ([]Change, error) {
	s, err := ParseCSV("prices.csv", []byte(text))
	if err != nil {
		return nil, err
	}
	return b.applyPrices(s)
}

func TestPricesRoundTrip(t *testing.T) {
	b := newBook()
	b.must(t, testNow, everything)
	sheet, err := ExportPrices(b.list())
	if err != nil {
		t.Fatal(err)
	}
	text, err := sheet.CSV()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/prices/everything.csv", string(text))
	if changes, err := b.applyCSV(string(text)); err != nil || len(changes) > 0 {
		t.Fatalf("the export changed %v, %v:\n%s", changes, err, text)
	}
	// The same with semicolons, a byte order mark and Windows' ends of lines, as another spreadsheet saves it.
	read, err := ParseCSV("prices.csv", text)
	if err != nil {
		t.Fatal(err)
	}
	var other strings.Builder
	other.WriteString("\ufeff")
	for _, row := range read.Rows {
		for i, c := range row.Cells {
			if i > 0 {
				other.WriteString(";")
			}
			other.WriteString(`"` + strings.ReplaceAll(c.Text, `"`, `""`) + `"`)
		}
		other.WriteString("\r\n;;\r\n")
	}
	if changes, err := b.applyCSV(other.String()); err != nil || len(changes) > 0 {
		t.Fatalf("with semicolons it changed %v, %v", changes, err)
	}
	// Into an empty catalogue come products and classes with all that they cost.
	fresh := newBook()
	fresh.must(t, testNow, `{currency: EUR}`)
	var lists []string
	for _, line := range strings.SplitAfter(string(text), "\n") {
		if !strings.HasPrefix(line, "account") && !strings.HasPrefix(line, "contract") && !strings.HasPrefix(line, "package_default") {
			lists = append(lists, line)
		}
	}
	if _, err := fresh.applyCSV(strings.Join(lists, "")); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"calls", "boxes", "f"} {
		var had, has productDef
		if err := errors.Join(unmarshal(b.rows[Ref{KindProduct, id}], &had), unmarshal(fresh.rows[Ref{KindProduct, id}], &has)); err != nil {
			t.Fatal(err)
		}
		if string(terms(had.Rates[0])) != string(terms(has.Rates[0])) || had.Name != has.Name || had.Unit != has.Unit {
			t.Errorf("%s became %+v", id, has)
		}
	}
}

// TestPrices: what lists as people write them do to the catalogue above, told as differences that were written by hand.
func TestPrices(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"a list price":                         {"product,model,unit_price\nf,per_unit,0.12\n", "f, list price: formula -quantity * 0.1 + 200 → 0.12 EUR per unit"},
		"no model where there is a unit price": {"Product, Unit Price,Valid From\nf,0.12,\n", "f, list price: formula -quantity * 0.1 + 200 → 0.12 EUR per unit"},
		"tiers, the product named once": {"product,model,up_to,unit_price\nf,graduated,10,2\n,,20,1\n,,,0.5\n",
			"f, list price: formula -quantity * 0.1 + 200 → 2.00 EUR per unit up to 10, then 1.00 up to 20, then 0.50"},
		"tiers, the product named in each": {"product,model,up_to,unit_price,included\nf,graduated,10,2,5\nf,graduated,20,1,5\nf,,,0.5,\n",
			"f, list price: formula -quantity * 0.1 + 200 → 2.00 EUR per unit up to 10, then 1.00 up to 20, then 0.50, 5 included"},
		"decimal commas": {"product;model;up_to;unit_price\nf;graduated;1.000;0,125\n;;12.500,5;1,234\n;;;-0,5\n",
			"f, list price: formula -quantity * 0.1 + 200 → 0.125 EUR per unit up to 1000, then 1.234 up to 12500.5, then -0.50"},
		"separators of thousands": {"product,model,up_to,unit_price\nf,graduated,\"1,000.0\",\"2\"\n,,\"1,000,000\",1.234\n,,,+0.5\n",
			"f, list price: formula -quantity * 0.1 + 200 → 2.00 EUR per unit up to 1000, then 1.234 up to 1000000, then 0.50"},
		"spaces and quotes between thousands": {"product;model;up_to;unit_price\nf;graduated;1 000;2\n;;12'345'678,5;1\n;;;0,5\n",
			"f, list price: formula -quantity * 0.1 + 200 → 2.00 EUR per unit up to 1000, then 1.00 up to 12345678.5, then 0.50"},
		"exponents":                    {"product;unit_price\nf;1E-03\n", "f, list price: formula -quantity * 0.1 + 200 → 0.001 EUR per unit"},
		"tabs, and the separator said": {"sep=;\nproduct;unit_price\nf;2\n", "f, list price: formula -quantity * 0.1 + 200 → 2.00 EUR per unit"},
		"tabs": {"product\tunit_price\tvalid until\nf\t2\t31.12.2026\n",
			"f, list price, until 2026-12-31: formula -quantity * 0.1 + 200 → 2.00 EUR per unit\nf, list price, from 2026-12-31: formula -quantity * 0.1 + 200 → the next level's price"},
		"a class keeps its other products": {"level,owner,product,unit_price\nrate_class,gold,data,0.8\n", "data, rate class gold: 0.90 → 0.80 EUR per GB"},
		"a class gets another product":     {"level,owner,product,unit_price\nrate_class,gold,f,0.8\n", "f, rate class gold: 0.80 EUR per unit (new)"},
		"a package":                        {"level,owner,product,unit_price\npackage_default,starter,data,0.8\n", "data, package Starter: 0.80 EUR per GB (new)"},
		"a contract, but not in its package": {"level,owner,product,unit_price\ncontract,c-1,api-calls,0.2\n",
			"=API calls, contract c-1 of Acme GmbH, from 2026-01-01 until 2027-01-01: 0.10 → 0.20 EUR per request"},
		"a contract in its package": {"level,owner,package,product,unit_price\ncontract,c-1,starter,api-calls,0.2\n",
			"=API calls, contract c-1 of Acme GmbH in package starter, from 2026-01-01 until 2026-03-01: 0.20 EUR per request (new)\n" +
				"=API calls, contract c-1 of Acme GmbH in package starter, from 2026-03-01 until 2027-01-01: 0.07 → 0.20 EUR per request"},
		"one of two times of a product": {"level,owner,since,product,unit_price\naccount_product,acme,2026-01-01,data,6\n", "data, own price of Acme GmbH, from 2026-01-01 until 2026-05-01: 5.00 → 6.00 EUR per GB"},
		"a package of an account":       {"level,owner,package,product,unit_price\naccount_package_product,acme,starter,api-calls,6\n", "=API calls, own price of Acme GmbH in package starter: 6.00 EUR per request (new)"},
		"a name": {"product,name,unit_price,unit\ndata,Data,1,MB\n", "product Data: name (none) → Data\nproduct Data: unit GB → MB\n" +
			"Data, list price, until 2026-06-01: 1.234 → 1.00 EUR per MB\nData, list price, from 2026-06-01: all at 2.00 EUR per MB + -1.00 EUR below 10, then 1.00 → 1.00 EUR per MB\n" +
			"Data, list price: 7.00 USD once there is usage → the next level's price"},
		"prefixes": {"product,match.dest by prefix,unit_price\nf,49,0.1\nf,'+33,0.2\nf,0049|0033,0.3\nf,,9\n",
			"f, list price: formula -quantity * 0.1 + 200 → 3 prices by dest"},
		"a formula that looks like one to spreadsheets": {"product,model,expression\nf,formula,'-quantity * 0.1 + 300\n", "f, list price: formula -quantity * 0.1 + 200 → formula -quantity * 0.1 + 300"},
		"nothing": {"product,model,expression\nf,formula,'-quantity * 0.1 + 200\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBook()
			b.must(t, testNow, everything)
			s, err := ParseCSV("prices.csv", []byte(tc.text))
			if err != nil {
				t.Fatal(err)
			}
			doc, err := ParsePrices("prices.csv", s)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.fillFrom(doc); err != nil {
				t.Fatal(err)
			}
			stored := b.stored()
			changes, err := doc.Revise(stored, testNow)
			if err != nil {
				t.Fatal(err)
			}
			found, _, err := doc.Differences(stored, changes)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(texts(found), "\n"); got != tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}

// TestPricesSelect: a list of prefixes prices what it says.
func TestPricesSelect(t *testing.T) {
	b := newBook()
	b.must(t, testNow, everything)
	if _, err := b.applyCSV("product,match.dest by prefix,match.size.from,match.size.to,unit_price\nf,49,,,0.1\nf,'+33,,,0.2\nf,0049|0033,,,0.3\nf,44,\"1,000.5\",,4\nf,44,,1000.5,5\nf,,,,9\n"); err != nil {
		t.Fatal(err)
	}
	m := b.plan(t, "acme").Snapshot().Product("f").Rates[0].Matrix
	for dest, want := range map[string]string{"4930": "0.1", "+33": "0.2", "00331": "0.3", "0049": "0.3", "33": "9", "44": "5"} {
		if got := m.Select([]string{dest, "3"}, 0, nil); got == nil || got.UnitPrice.String() != want {
			t.Errorf("%s costs %+v, not %s", dest, got, want)
		}
	}
	if got := m.Select([]string{"44", "1000.5"}, 0, nil); got.UnitPrice.String() != "4" {
		t.Errorf("44 of 1000.5 costs %s", got.UnitPrice)
	}
}

// TestReadmeExample: the list that README shows.
func TestReadmeExample(t *testing.T) {
	b := newBook()
	b.must(t, testNow, everything)
	const list = `product,match.prefix by prefix,model,up_to,unit_price,currency,start,level,owner
data,,graduated,100,0.10,,,,
,,,,0.05,,,,
calls,'+49,,,0.012,EUR,2027-01-01,,
calls,'+4915,,,0.09,EUR,2027-01-01,,
data,,per_unit,,0.04,,,contract,c-1
`
	changes, err := b.applyCSV(list)
	if err != nil || len(changes) != 3 {
		t.Fatal(changes, err)
	}
	if m := b.plan(t, "acme").Snapshot().Product("calls").Rates[0].Matrix; m.Select([]string{"+491512"}, 0, nil).UnitPrice.String() != "0.09" {
		t.Error("+4915 does not win over +49")
	}
}

// TestPricesAreRefused: with the row, the column and what to do.
func TestPricesAreRefused(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"empty":                        {"", "prices.csv: has no prices: want a header such as product, model, unit_price and a row for each price"},
		"a header alone":               {"product,model\n,\n", "prices.csv: has no prices: want a header"},
		"not UTF-8":                    {"product\n\xff", "prices.csv:2: is not UTF-8: save it as CSV UTF-8"},
		"a quote that is left open":    {"product,unit_price\n\"f,1\n", "prices.csv:2: cannot be read as CSV"},
		"no product":                   {"model,unit_price\nflat,1\n", "prices.csv:1: has no column product: begin with a header"},
		"a column that is not known":   {"product,unitprice\nf,1\n", `prices.csv:1: column B: "unitprice" is not known here: did you mean unit_price?`},
		"a strange column":             {"product,colour\nf,1\n", `prices.csv:1: column B: "colour" is not known here: known are level, owner`},
		"a column twice":               {"product,unit price,unit_price\nf,1,2\n", `prices.csv:1: column C: "unit_price" is also column B: leave one out`},
		"a cell beyond the header":     {"product,unit_price\nf,1,2\n", `prices.csv:2: column C: holds "2" and has no name in the header: name it, or empty its cells`},
		"a column without a name":      {"product,,unit_price\nf,x,2\n", `prices.csv:2: column B: holds "x" and has no name in the header`},
		"a price in words":             {"product,unit_price\nf,1\ncalls,much\n", `prices.csv:3: unit_price (column B): must be a decimal number such as 0.10, not "much"`},
		"two of them":                  {"product,unit_price\nf,a\ncalls,b\n", "prices.csv:2: unit_price (column B): must be a decimal number such as 0.10, not \"a\"\nprices.csv:3: unit_price (column B): must be"},
		"too many decimals":            {"product,unit_price\nf,0.0000000000001\n", "prices.csv:2: unit_price (column B): has more than 12 decimals"},
		"too large":                    {"product,unit_price\nf,2000000000000000\n", "prices.csv:2: unit_price (column B): must lie between"},
		"a number that could be two":   {"product;unit_price\nf;1,234\n", `prices.csv:2: unit_price (column B): "1,234" could be 1234 or 1.234: write it without a separator of thousands, or with another decimal such as 1,2340`},
		"a comma in a file of points":  {"product,unit_price\nf,\"0,10\"\n", `prices.csv:2: unit_price (column B): "0,10" has another decimal mark than the other numbers of the file, which write .: use one of them`},
		"both marks":                   {"product;unit_price\nf;0,10\ncalls;0.10\n", `prices.csv:3: unit_price (column B): "0.10" has another decimal mark than the other numbers of the file, which write ,: use one of them`},
		"a currency in the number":     {"product,unit_price\nf,€ 1\n", `prices.csv:2: unit_price (column B): must be a decimal number`},
		"an American date":             {"product,unit_price,start\nf,1,12/31/2026\n", `prices.csv:2: start (column C): must be a date (2026-01-31) or an instant`},
		"an unknown model":             {"product,model\nf,pre_unit\n", `prices.csv:2: model (column B): must be a rating method, not "pre_unit": did you mean per_unit?`},
		"no model":                     {"product,up_to,unit_price\nf,10,1\n", `prices.csv:2: model: is missing: use one of`},
		"a bound without tiers":        {"product,model,up_to,unit_price\nf,per_unit,10,1\n", "prices.csv:2: up_to (column C): is part of a tier, and the model per_unit has none"},
		"a limit without tiers":        {"product,unit_price,limits.gb\nf,1,3\n", "prices.csv:2: limits.gb (column C): is part of a tier, and the model per_unit has none"},
		"a tier too low":               {"product,model,up_to,unit_price\nf,graduated,10,1\n,,5,1\n,,,1\n", `prices.csv:3: up_to (column C): must be greater than the tier before (10)`},
		"a member of another model":    {"product,model,size,unit_price\nf,per_unit,3,1\n", `prices.csv:2: size (column C): is a member of package, not of the model per_unit`},
		"a row twice":                  {"product,unit_price\nf,1\nf,2\n", `prices.csv:3: product (column A): is there twice with the same level, owner, currency and start, in line 2 too`},
		"another model for a tier":     {"product,model,up_to,unit_price\nf,graduated,10,1\nf,volume,,1\n", `prices.csv:3: model (column B): is "volume" here and "graduated" in line 2`},
		"rates that overlap":           {"product,unit_price,start\nf,1,\nf,2,2026-01-01\n", `overlap`},
		"tiers that differ":            {"product,model,up_to,unit_price,included\nf,graduated,10,1,5\nf,graduated,,2,6\n", `prices.csv:3: included (column E): is "6" here and "5" in line 2: the tiers of a rate have it together`},
		"no product in the first row":  {"product,unit_price\n,1\n", `prices.csv:2: product (column A): is missing: name the product; a row without one goes on with the row above`},
		"a start without its product":  {"product,unit_price,start\nf,1,\n,2,2027-01-01\n", `prices.csv:3: start (column C): is "2027-01-01" and the row has no product: name the product`},
		"an unknown level":             {"level,product,unit_price\nlist,f,1\n", `prices.csv:2: level (column A): must be product_default (or empty), rate_class`},
		"an owner of a list price":     {"owner,product,unit_price\nacme,f,1\n", `prices.csv:2: owner (column A): is no part of a price of the level product_default: leave it empty`},
		"no owner":                     {"level,product,unit_price\nrate_class,f,1\n", `prices.csv:2: owner: is missing: a price of the level rate_class needs it`},
		"no package":                   {"level,owner,product,unit_price\naccount_package_product,acme,f,1\n", `prices.csv:2: package: is missing: a price of the level account_package_product needs it`},
		"a name of a class":            {"level,owner,product,name,unit_price\nrate_class,gold,f,x,1\n", `prices.csv:2: name (column D): is no part of a price of the level rate_class`},
		"since of a class":             {"level,owner,product,since,unit_price\nrate_class,gold,f,2026-01-01,1\n", `prices.csv:2: since (column D): is no part`},
		"an unknown contract":          {"level,owner,product,unit_price\ncontract,c-9,f,1\n", `prices.csv:2: owner (column B): names the contract "c-9", which does not exist: define it in a document, or correct the id`},
		"an unknown account":           {"level,owner,product,unit_price\naccount_product,nobody,f,1\n", `names the account "nobody", which does not exist`},
		"an unknown product":           {"level,owner,product,unit_price\nrate_class,gold,nothing,1\n", `prices.csv:2: product (column C): names the product "nothing", which does not exist`},
		"a product that it has not":    {"level,owner,product,unit_price\naccount_product,acme,f,1\n", `prices.csv:2: product (column C): is f, which the account acme has not: add it there in a document first`},
		"a package that it has not":    {"level,owner,package,product,unit_price\naccount_package_product,acme,x,f,1\n", `prices.csv:2: package (column C): is x, which the account acme has not`},
		"a product not in the package": {"level,owner,product,unit_price\npackage_default,starter,f,1\n", `prices.csv:2: product (column C): is f, which the package starter has not`},
		"which of two times":           {"level,owner,product,unit_price\naccount_product,acme,data,1\n", `prices.csv:2: since: is missing: acme has the product data more than once, so write the start of the one that is meant`},
		"none of two times":            {"level,owner,since,product,unit_price\naccount_product,acme,2026-02-01,data,1\n", `prices.csv:2: since (column C): is 2026-02-01, and the account acme has not had the product data since then`},
		"two names":                    {"product,name,model,up_to,unit_price\nf,a,graduated,1,1\nf,b,graduated,,1\n", `prices.csv:3: name (column B): is "b" here and "a" above: the product has one`},
		"a matrix without dimensions":  {"product,model\nf,matrix\n", `dimensions`},
		"a match twice":                {"product,match.dest,unit_price\nf,a,1\nf,a,2\n", `prices.csv:3: product (column A): matches the same as line 2: leave one of the two out`},
		"a match beside matrix":        {"product,model,match.dest,unit_price\nf,matrix,a,1\n", `prices.csv:2: match.dest (column C): says what is matched beside the model matrix`},
		"an unknown kind of match":     {"product,match.dest by prefixes,unit_price\nf,a,1\n", `must be one of exact, prefix, range, time_of_day, weekday, not "prefixes"`},
		"a range the wrong way":        {"product,match.n.from,match.n.to,unit_price\nf,5,3,1\n", `prices.csv:2: match.n.to (column C): must be greater than from (5), not 3`},
		"ranges that overlap":          {"product,match.n.from,match.n.to,unit_price\nf,1,5,1\nf,3,9,2\n", `prices.csv:3: match: overlaps with`},
		"a matrix of two minds":        {"product,match.d,unit_price,pool\nf,a,1,account\nf,b,2,invoice\n", `prices.csv:3: pool (column D): is "invoice" here and "account" in line 2: all prices of a matrix have it together`},
		"an entry's number":            {"product,match.d,unit_price\nf,a,1\nf,b,x\n", `prices.csv:3: unit_price (column C): must be a decimal number`},
		"dimensions that are no JSON":  {"product,match.d,unit_price,dimensions\nf,a,1,[x\n", `prices.csv:2: dimensions (column D): not valid JSON`},
		"a boolean in words":           {"product,model,split,up_to,unit_price\nf,graduated,no,1,1\n,,,,2\n", `prices.csv:2: split (column C): must be true or false, not "no"`},
		"limits below zero":            {"product,id,model,pool,price,limits.gb\nf,x,capacity,account,3,-1\nf,x,capacity,account,3,\n", `prices.csv:2: limits.gb (column F): must not be below 0, not -1`},
		"rounding":                     {"product,unit_price,rounding.mode\nf,1,up\n", `prices.csv:2: rounding.mode (column C): must be one of none, round, ceil, floor, not "up"`},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBook()
			b.must(t, testNow, everything)
			_, err := b.applyCSV(tc.text)
			var issues *Issues
			if !errors.As(err, &issues) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got\n%v\nwant\n%s", err, tc.want)
			}
		})
	}
}

// TestStoredCells: what spreadsheets keep, in the text of a document; worked out by hand.
func TestStoredCells(t *testing.T) {
	for text, want := range map[string]string{
		"0.1": "0.1", "7.0000000000000007E-2": "0.07", "0.28999999999999998": "0.29", "1E-3": "0.001", "1.5E+3": "1500", "-2.5": "-2.5", "0": "0", "-0": "0", "000": "0",
		"4.91234567E8": "491234567", "999999999999999.9": "1000000000000000", "9.9999999999999995E-2": "0.1", "0.123456789012345": "0.123456789012345",
		"0.1234567890123455": "0.123456789012346", "0.1234567890123454": "0.123456789012345", "12345678901234567": "12345678901234600", "100": "100", "1.10": "1.1", "1e2": "100", "+3": "3",
	} {
		if got, ok := storedNumber(text); !ok || got != want {
			t.Errorf("%s is %s (%v), not %s", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "x", "1e", "1e999", "1.2.3", "e5", "0x1"} {
		if got, ok := storedNumber(text); ok {
			t.Errorf("%q is %s", text, got)
		}
	}
	for text, want := range map[string]string{"46357": "2026-12-01", "61": "1900-03-01", "46357.0": "2026-12-01"} {
		if got, ok := serialDate(text, false); !ok || got != want {
			t.Errorf("%s is %s (%v), not %s", text, got, ok, want)
		}
	}
	if got, ok := serialDate("44895", true); !ok || got != "2026-12-01" {
		t.Errorf("since 1904: %s (%v)", got, ok)
	}
	for _, text := range []string{"46357.5", "60", "200001", "-3", "x"} {
		if got, ok := serialDate(text, false); ok {
			t.Errorf("%q is %s", text, got)
		}
	}
	for _, text := range []string{"=1+1", "+49", "-x", "@a", "'a", "'=a", "\tx", "a", "", "'", "=", "''", "a=b"} {
		if got := plainText(harmless(text)); got != text {
			t.Errorf("%q comes back as %q", text, got)
		}
		if h := harmless(text); h != "" && strings.ContainsRune("=+-@\t", rune(h[0])) {
			t.Errorf("%q is written as %q", text, h)
		}
	}
	for _, values := range [][]string{{"a"}, {"a|b", `c\`, " d ", `\s`, "  "}, {`\|`, "", "x"}} {
		if got := splitValues(joinValues(values)); strings.Join(got, "\x00") != strings.Join(values, "\x00") {
			t.Errorf("%q comes back as %q", values, got)
		}
	}
	for at, want := range map[int]string{0: "A", 25: "Z", 26: "AA", 51: "AZ", 52: "BA", 701: "ZZ", 702: "AAA"} {
		if got := ColumnName(at); got != want {
			t.Errorf("column %d is %s, not %s", at, got, want)
		}
	}
}

// TestNamesThatPriceListsQuote: dimensions, products and parameters whose names would be read as something else come back as they are.
func TestNamesThatPriceListsQuote(t *testing.T) {
	b := newBook()
	b.must(t, testNow, `
currency: EUR
products:
  - id: p
    rates:
      - model: matrix
        dimensions: ["made by hand", " a space ", {name: "size by range", by: range}, {name: "\"quoted\"", by: prefix}, "`+"`"+`tick", "by"]
        prices:
          - {match: {"made by hand": "yes", " a space ": " x ", "by": "|"}, model: per_unit, unit_price: 1}
          - {match: {"size by range": {from: 1, to: 5}, "\"quoted\"": [a, b], "`+"`"+`tick": t}, model: custom, method: half, parameters: {by: 2, " by ": 1, "x by y": 3}}
accounts: [{id: a}]
`)
	sheet, err := ExportPrices(b.list())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range sheet.Rows[0].Cells {
		names = append(names, c.Text)
	}
	for _, want := range []string{`match."made by hand"`, `match." a space "`, `match."size by range.from"`, `match."\"quoted\""`, "match.\"`tick\"", "match.by", `parameters." by "`, `parameters."x by y"`, "parameters.by"} {
		if !slices.Contains(names, want) {
			t.Errorf("no column %s: %q", want, names)
		}
	}
	if changes, err := b.applyPrices(sheet); err != nil || len(changes) > 0 {
		t.Error(changes, err)
	}
	// As people write it, with how it is matched behind the quotes.
	if changes, err := b.applyCSV("product,\"match.\"\"dialled by\"\" by prefix\",unit_price\np,49,1\n"); err != nil || len(changes) != 1 {
		t.Error(changes, err)
	}
	if x := b.plan(t, "a").Snapshot().Product("p").Rates[0].Matrix; len(x.Dimensions) != 1 || x.Dimensions[0].Name != "dialled by" || x.Dimensions[0].By != ByPrefix {
		t.Errorf("%+v", x.Dimensions)
	}
}

// TestTenThousandPrefixes: a price list as carriers send it.
func TestTenThousandPrefixes(t *testing.T) {
	b := newBook()
	b.must(t, testNow, everything)
	var list strings.Builder
	list.WriteString("product;match.dest by prefix;unit_price\n")
	for i := range 10_000 {
		list.WriteString("calls;'+" + strconv.Itoa(10_000+i) + ";0,0" + strconv.Itoa(1+i%9) + "\n")
	}
	if changes, err := b.applyCSV(list.String()); err != nil || len(changes) != 1 {
		t.Fatal(changes, err)
	}
	sheet, err := ExportPrices(b.list())
	if err != nil {
		t.Fatal(err)
	}
	if changes, err := b.applyPrices(sheet); err != nil || len(changes) > 0 {
		t.Fatal(len(changes), err)
	}
	m := b.plan(t, "acme").Snapshot().Product("calls").Rates[0].Matrix
	if got := m.Select([]string{"+12345678"}, 0, nil); got == nil || got.UnitPrice.String() != "0.06" { // 2345 = 9·260 + 5
		t.Errorf("+12345678 costs %+v", got)
	}
}
