package catalog

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestExplainTable: why a level answers or does not, in words.
func TestExplainTable(t *testing.T) {
	b := newBook()
	b.must(t, testNow, `
currency: USD
products:
  - {id: p, rates: [{model: flat, amount: 1}, {model: flat, amount: 2, currency: GBP}, {model: flat, amount: 3, currency: CHF}, {model: flat, amount: 4, currency: CAD}]}
  - {id: only, provisioned_only: true, rates: [{model: flat, amount: 1, currency: EUR}]}
  - {id: late, rates: [{model: flat, amount: 1, currency: GBP, start: 2026-03-01, end: 2026-04-01}]}
  - {id: q, rates: [{id: q1, model: flat, amount: 1, currency: GBP}, {id: q2, model: flat, amount: 1, currency: USD}, {id: q3, model: flat, amount: 1, currency: CHF}]}
packages:
  - {id: m, products: [{product: q, rates: [{id: m1, model: flat, amount: 1, currency: GBP}, {id: m2, model: flat, amount: 1, currency: CHF}, {id: m3, model: flat, amount: 1, currency: DKK}]}]}
  - {id: k, products: [{product: p, rates: [{model: flat, amount: 5, currency: GBP}, {model: flat, amount: 6, currency: CHF}]}, {product: only}]}
  - {id: z}
rate_classes: [{id: gold, rates: [{product: late, model: flat, amount: 1, currency: EUR}]}]
accounts:
  - {id: e, currency: EUR, packages: [{package: k, start: 2026-02-01, end: 2026-05-01}]}
  - {id: d, currency: EUR}
contracts:
  - {id: c0, account: e, end: 2026-01-01, rates: [{product: p, model: flat, amount: 1, currency: EUR}]}
  - {id: c1, account: e, start: 2026-06-01, end: 2026-07-01, rate_class: gold, rates: [{product: p, package: k, model: flat, amount: 8, currency: EUR}, {product: p, package: z, model: flat, amount: 9, currency: EUR}, {product: p, model: flat, amount: 9, currency: JPY}]}
exchange_rates: [{base: EUR, date: 2026-01-15, rates: {USD: 2, GBP: 3, CHF: 4, DKK: 7}}]
`)
	const turned = ", which an exchange rate turns into the account's EUR"
	const lacks = ", the account is in EUR, and no exchange rate between them is known"
	for _, c := range []struct{ account, product, pkg, when, want string }{
		// The catalogue's currency goes before others, those in the order of the alphabet.
		{"d", "p", "", "2026-02-10T00:00:00Z", "product_default product:p#CAD is in CAD" + lacks + " (CAD in EUR on 2026-02-01)\nproduct_default product:p in effect, in USD" + turned + " !"},
		{"d", "q", "", "2026-02-10T00:00:00Z", "product_default q2 in effect, in USD" + turned + " !"},
		{"d", "q", "m", "2026-02-10T00:00:00Z", "package_default m2 in effect, in CHF" + turned + " !"},
		{"d", "p", "k", "2026-02-10T00:00:00Z", "package_default package:k/p#CHF in effect, in CHF" + turned + " !"},
		// What it would cost cannot be said: of a currency that nobody knows, or not yet.
		{"d", "p", "", "2026-01-31T23:59:59Z", "product_default product:p is in USD" + lacks + " before 2026-02-01T00:00:00Z (USD in EUR on 2026-01-01)\n" +
			"product_default product:p#CAD is in CAD" + lacks + " (CAD in EUR on 2026-01-01)\n" +
			"product_default product:p#CHF is in CHF" + lacks + " before 2026-02-01T00:00:00Z (CHF in EUR on 2026-01-01)\n" +
			"product_default product:p#GBP is in GBP" + lacks + " before 2026-02-01T00:00:00Z (GBP in EUR on 2026-01-01)"},
		{"d", "late", "", "2026-02-28T23:59:59Z", "product_default product:late@2026-03-01#GBP in effect from 2026-03-01T00:00:00Z to 2026-04-01T00:00:00Z only"},
		{"d", "late", "", "2026-03-01T00:00:00Z", "product_default product:late@2026-03-01#GBP in effect, in GBP" + turned + " !"},
		{"d", "late", "", "2026-04-01T00:00:00Z", "product_default product:late@2026-03-01#GBP in effect from 2026-03-01T00:00:00Z to 2026-04-01T00:00:00Z only"},
		{"d", "late", "k", "2026-03-01T00:00:00Z", "package_default  no rate for the product\nproduct_default product:late@2026-03-01#GBP in effect, in GBP" + turned + " !"},
		{"d", "only", "", "2026-03-01T00:00:00Z", "account_product  only is for accounts that have it, and d has not at that time"},
		{"e", "only", "", "2026-03-01T00:00:00Z", "account_package_product  no rate for the product\ncontract  contract c0 is not in effect at that time\ncontract  contract c1 is not in effect at that time\n" +
			"package_default  no rate for the product\nproduct_default product:only#EUR in effect, in the account's currency !"},
		{"e", "p", "", "2025-12-31T23:59:59Z", "contract contract:c0/p in effect, in the account's currency !"},
		{"e", "p", "", "2026-01-01T00:00:00Z", "contract  contract c0 is not in effect at that time\ncontract  contract c1 is not in effect at that time\n" +
			"product_default product:p is in USD" + lacks + " before 2026-02-01T00:00:00Z (USD in EUR on 2026-01-01)\n" +
			"product_default product:p#CAD is in CAD" + lacks + " (CAD in EUR on 2026-01-01)\n" +
			"product_default product:p#CHF is in CHF" + lacks + " before 2026-02-01T00:00:00Z (CHF in EUR on 2026-01-01)\n" +
			"product_default product:p#GBP is in GBP" + lacks + " before 2026-02-01T00:00:00Z (GBP in EUR on 2026-01-01)"},
		{"e", "p", "z", "2026-06-10T00:00:00Z", "contract  contract c0 is not in effect at that time\ncontract contract:c1/z/p in effect, in the account's currency !"},
		{"e", "p", "", "2026-06-10T00:00:00Z", "contract  contract c0 is not in effect at that time\ncontract  no rate for the product\ncontract contract:c1/p#JPY is in JPY" + lacks + " (JPY in EUR on 2026-06-01)\n" +
			"rate_class  no rate for the product\nproduct_default product:p#CAD is in CAD" + lacks + " (CAD in EUR on 2026-06-01)\nproduct_default product:p in effect, in USD" + turned + " !"},
		{"e", "late", "", "2026-06-10T00:00:00Z", "contract  contract c0 is not in effect at that time\ncontract  no rate for the product\nrate_class rate_class:gold/late#EUR in effect, in the account's currency !"},
		{"e", "late", "", "2026-05-31T23:59:59Z", "contract  contract c0 is not in effect at that time\ncontract  contract c1 is not in effect at that time\n" +
			"product_default product:late@2026-03-01#GBP in effect from 2026-03-01T00:00:00Z to 2026-04-01T00:00:00Z only"},
	} {
		p := b.plan(t, c.account)
		var lines []string
		for _, s := range p.Explain(p.Snapshot().Product(c.product), c.pkg, at(c.when)) {
			line := fmt.Sprintf("%s %s %s", s.Level, s.RateID, s.Why)
			if s.Lacks != (Lack{}) {
				line += fmt.Sprintf(" (%s in %s on %s)", s.Lacks.From, s.Lacks.To, s.Lacks.On)
			}
			if s.Answered {
				line += " !"
			}
			lines = append(lines, line)
		}
		if got := strings.Join(lines, "\n"); got != c.want {
			t.Errorf("%s %s %q at %s:\n%s\nwant\n%s", c.account, c.product, c.pkg, c.when, got, c.want)
		}
	}
}

// TestConcernsThePast: names and terms of payment cost nothing anew.
func TestConcernsThePast(t *testing.T) {
	for _, c := range []struct {
		change Change
		want   bool
	}{
		{Change{Ref: Ref{KindContract, "c"}, Action: ActionCreated}, true}, {Change{Ref: Ref{KindSettings, "main"}, Action: ActionChanged, Fields: []string{"currency"}}, false},
		{Change{Ref: Ref{KindExchangeRates, "EUR@2026-01-01"}, Action: ActionChanged, Fields: []string{"rates"}}, false},
		{Change{Ref: Ref{KindProduct, "p"}, Action: ActionCreated}, false}, {Change{Ref: Ref{KindProduct, "p"}, Action: ActionDeleted}, true},
		{Change{Ref: Ref{KindProduct, "p"}, Action: ActionChanged, Fields: []string{"name", "unit"}}, false}, {Change{Ref: Ref{KindProduct, "p"}, Action: ActionChanged, Fields: []string{"name", "rates"}}, true},
		{Change{Ref: Ref{KindAccount, "a"}, Action: ActionChanged, Fields: []string{"terms_days"}}, false}, {Change{Ref: Ref{KindAccount, "a"}, Action: ActionChanged, Fields: []string{"billing"}}, true},
		{Change{Ref: Ref{KindRateClass, "g"}, Action: ActionChanged, Fields: []string{"name"}}, false}, {Change{Ref: Ref{KindPackage, "k"}, Action: ActionChanged, Fields: []string{"unit"}}, true},
	} {
		if c.change.ConcernsThePast() != c.want {
			t.Errorf("%s: %v", c.change, !c.want)
		}
	}
}

// TestSnapshots: a snapshot has the newest sequence number, and nothing of what was deleted.
func TestSnapshots(t *testing.T) {
	product := Row{Ref{KindProduct, "p"}, 3, false, []byte(`{"id":"p","identifiers":["x"],"rates":[{"id":"product:p","model":"flat","currency":"EUR","amount":"1"}]}`)}
	first, err := NewSnapshot([]Row{{Ref{KindRateClass, "g"}, 7, false, []byte(`{"id":"g"}`)}, product, {Ref{KindAccount, "a"}, 5, false, nil}})
	if err != nil {
		t.Fatal(err)
	}
	if first.Seq() != 7 || len(first.Products()) != 1 || first.Products()[0] != first.Product("x") || first.RateByID(product.Ref, "product:p") == nil || first.RateByID(Ref{KindRateClass, "none"}, "x") != nil {
		t.Errorf("%+v", first)
	}
	product.Deleted = true
	second, err := first.With([]Row{product}, 9)
	if err != nil || second.Seq() != 9 || second.Product("p") != nil || second.Product("x") != nil || len(second.Products()) > 0 || first.Product("p") == nil {
		t.Errorf("%+v, %v", second, err)
	}
	if older, err := second.With(nil, 4); err != nil || older.Seq() != 9 {
		t.Errorf("back to %d, %v", older.Seq(), err)
	}
	if _, err := NewSnapshot([]Row{{Ref{"tariff", "t"}, 1, false, []byte(`{}`)}}); err == nil || err.Error() != `build snapshot: unknown kind "tariff" of t at 1` {
		t.Error(err)
	}
}

// TestAccountsAreAsNewAsTheirContracts: what was worked out with an older contract is of no use.
func TestAccountsAreAsNewAsTheirContracts(t *testing.T) {
	row := func(kind Kind, id string, seq int64, body string) Row {
		return Row{Ref{kind, id}, seq, false, []byte(body)}
	}
	a, err := DecodeAccount(row(KindAccount, "a", 3, `{"id":"a","currency":"EUR","billing":[{}]}`), []Row{row(KindContract, "c", 9, `{"id":"c","account":"a"}`), row(KindContract, "d", 5, `{"id":"d","account":"a"}`)})
	if err != nil || a.Seq != 9 {
		t.Errorf("%+v, %v", a, err)
	}
}

// TestTermsOfAnAccount: the first period of a term begins where the last one ended, and is joined with the next where it would be too short.
func TestTermsOfAnAccount(t *testing.T) {
	term := func(start, every string, anchor int) BillingTerm {
		from := int64(Always)
		if start != "" {
			from = at(start)
		}
		return BillingTerm{Start: from, Cycle: Cycle{Every: every, AnchorDay: anchor}, Zone: time.UTC}
	}
	const may, day28, june = "2026-05-01T00:00:00Z", "2026-05-28T00:00:00Z", "2026-06-01T00:00:00Z"
	for name, c := range map[string]struct {
		terms            []BillingTerm
		when, start, end string // "": open
	}{
		"before the next term":             {[]BillingTerm{term("", EveryMonth, 1), term(day28, EveryMonth, 1)}, "2026-05-27T23:59:59Z", may, day28},
		"a term in a period":               {[]BillingTerm{term("", EveryMonth, 1), term(day28, EveryMonth, 1)}, day28, day28, june},
		"and the period after it":          {[]BillingTerm{term("", EveryMonth, 1), term(day28, EveryMonth, 1)}, june, june, "2026-07-01T00:00:00Z"},
		"a term where a period begins":     {[]BillingTerm{term("", EveryMonth, 1), term(june, EveryDay, 1)}, june, june, "2026-06-02T00:00:00Z"},
		"27 hours are enough":              {[]BillingTerm{term("", EveryMonth, 1), term("2026-05-30T21:00:00Z", EveryMonth, 1)}, june, june, "2026-07-01T00:00:00Z"},
		"less than 27 hours are not":       {[]BillingTerm{term("", EveryMonth, 1), term("2026-05-30T21:00:01Z", EveryMonth, 1)}, june, "2026-05-30T21:00:01Z", "2026-07-01T00:00:00Z"},
		"of a day twelve hours are":        {[]BillingTerm{term("", EveryMonth, 1), term("2026-05-30T12:00:00Z", EveryDay, 1)}, "2026-05-30T12:00:00Z", "2026-05-30T12:00:00Z", "2026-05-31T00:00:00Z"},
		"less are not":                     {[]BillingTerm{term("", EveryMonth, 1), term("2026-05-30T12:00:01Z", EveryDay, 1)}, "2026-05-30T12:00:01Z", "2026-05-30T12:00:01Z", june},
		"closed by hand":                   {[]BillingTerm{term("", EveryMonth, 1), term(day28, EveryByHand, 1)}, june, day28, ""},
		"closed by hand, and then no more": {[]BillingTerm{term("", EveryByHand, 1), term(day28, EveryMonth, 1)}, may, "", day28},
		"three terms":                      {[]BillingTerm{term("", EveryMonth, 1), term(may, EveryYear, 1), term(june, EveryMonth, 15)}, may, may, june},
		"the last of three":                {[]BillingTerm{term("", EveryMonth, 1), term(may, EveryYear, 1), term(june, EveryMonth, 15)}, june, june, "2026-06-15T00:00:00Z"},
	} {
		a := &Account{Billing: c.terms}
		want := Period{Always, Never}
		if c.start != "" {
			want.Start = at(c.start)
		}
		if c.end != "" {
			want.End = at(c.end)
		}
		if got := a.periodAt(at(c.when)); got != want {
			t.Errorf("%s: %s to %s, want %s to %s", name, instantText(got.Start), instantText(got.End), c.start, c.end)
		}
	}
}
