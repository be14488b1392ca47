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

// TestOneMistakeIsOneIssue: a mistake is said once, where it is, and nothing that follows from it; what is next to it is taken.
func TestOneMistakeIsOneIssue(t *testing.T) {
	const begin = `
currency: EUR
products: [{id: calls, rates: [{model: flat, amount: 1}]}, {id: data, rates: [{model: flat, amount: 1}]}]
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
