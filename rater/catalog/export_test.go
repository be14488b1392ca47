package catalog

import (
	"slices"
	"strings"
	"testing"
)

// TestExportStyle: short things are written on one line, dates as dates of their accounts, texts in quotes where they could be taken for numbers.
func TestExportStyle(t *testing.T) {
	b := newBook()
	b.must(t, testNow, `
currency: EUR
seller: {id: us, name: Us}
products:
  - {id: p, identifiers: [x, y], group_by: [g], rates: [{model: matrix, rounding: {mode: ceil}, dimensions: [{name: start, by: prefix}, {name: rates, by: range}], prices: [{match: {start: "49", rates: {from: 1}}, model: graduated, tiers: [{up_to: 1, unit_price: 2}, {unit_price: 1}]}]}]}
accounts: [{id: a, time_zone: Europe/Berlin, cycle: {every: weekly}, identifiers: [{value: z, start: 2026-06-01}]}]
contracts: [{id: c, account: a, start: 2026-06-01}]
exchange_rates: [{base: EUR, date: 2026-01-01, rates: {CHF: 0.9, USD: 1.1}}]
`)
	rows := b.list()
	slices.SortFunc(rows, func(a, b Row) int { return compareRefs(b.Ref, a.Ref) })
	before := slices.Clone(rows)
	text, err := ExportYAML(rows)
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		if rows[i].Ref != before[i].Ref {
			t.Fatal("the rows that it was given are in another order")
		}
	}
	want := `currency: EUR
seller: {id: us, name: Us}
products:
  - id: p
    identifiers: [x, y]
    group_by: [g]
    rates:
      - model: matrix
        dimensions:
          - {name: start, by: prefix}
          - {name: rates, by: range}
        prices:
          - {match: {rates: {from: "1"}, start: "49"}, model: graduated, tiers: [{up_to: 1, unit_price: 2}, {unit_price: 1}]}
        rounding: {mode: ceil}
accounts:
  - id: a
    currency: EUR
    time_zone: Europe/Berlin
    cycle: {every: weekly}
    identifiers: [{value: z, start: 2026-06-01}]
contracts:
  - id: c
    account: a
    start: 2026-06-01
exchange_rates:
  - base: EUR
    date: 2026-01-01
    rates: {CHF: 0.9, USD: 1.1}
`
	if string(text) != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	alone, err := ExportYAML([]Row{b.rows[Ref{KindContract, "c"}]})
	if want := "contracts:\n  - id: c\n    account: a\n    start: 2026-05-31T22:00:00Z\n"; err != nil || string(alone) != want {
		t.Errorf("a contract whose account is not at hand: %v\n%s", err, alone)
	}
}

// TestPricesExported: a row a rate, tier and price; dimensions in words where words can say them.
func TestPricesExported(t *testing.T) {
	const head = "level,product,currency,model,dimensions,match.d,match.n,up_to,unit_price,split\n"
	for _, c := range []struct{ products, want string }{
		{"", "product,currency,model,unit_price\n"},
		{
			`{id: f, rates: [{model: matrix, dimensions: [{name: d, by: prefix, from: dialled}, n], prices: [{match: {d: "4|9", n: [x, "y"]}, model: per_unit, unit_price: 1}]}]},
			{id: g, rates: [{model: graduated, split: false, tiers: [{up_to: 100, unit_price: 0.1}, {unit_price: 0.05}]}]}`,
			head + "product_default,f,EUR,matrix,d from dialled by prefix | n,,,,,\n" + `product_default,f,EUR,per_unit,,4\|9,x|y,,1,` + "\n" +
				"product_default,g,EUR,graduated,,,,100,0.1,false\nproduct_default,g,EUR,graduated,,,,,0.05,\n",
		},
	} {
		b := newBook()
		b.must(t, testNow, "currency: EUR\nproducts: ["+c.products+"]")
		s, err := ExportPrices(b.list())
		if err != nil {
			t.Fatal(err)
		}
		text, err := s.CSV()
		if err != nil || string(text) != c.want {
			t.Errorf("%v\n%s\nwant\n%s", err, text, c.want)
		}
		for i, row := range s.Rows {
			if row.Line != i+1 {
				t.Errorf("row %d is said to be in line %d", i+1, row.Line)
			}
		}
		if len(s.Rows) > 3 {
			if kinds := []CellKind{s.Rows[3].Cells[7].Kind, s.Rows[3].Cells[8].Kind, s.Rows[3].Cells[9].Kind}; !slices.Equal(kinds, []CellKind{CellNumber, CellNumber, CellBool}) {
				t.Errorf("kinds of cells %v", kinds)
			}
		}
	}
	// What words cannot say is said in JSON, and read again.
	for _, dimensions := range []string{
		`{name: "a|b"}`, `{name: a from b}`, `{name: a, from: "b|c"}`, `{name: a, from: b by c}`, `{name: a, from: "b "}`, `{name: "[a"}`, `{name: "a b", from: "c d", by: prefix}`,
	} {
		b := newBook()
		name, _, _ := strings.Cut(dimensions, ", from")
		name = strings.Trim(strings.TrimPrefix(name, "{name: "), "}")
		b.must(t, testNow, "currency: EUR\nproducts: [{id: f, rates: [{model: matrix, dimensions: ["+dimensions+"], prices: [{match: {"+name+": x}, model: per_unit, unit_price: 1}]}]}]")
		s, err := ExportPrices(b.list())
		if err != nil {
			t.Fatal(err)
		}
		if changes, err := b.applyPrices(s); err != nil || len(changes) > 0 {
			t.Errorf("%s: the export changes %v, %v", dimensions, changes, err)
		}
	}
}
