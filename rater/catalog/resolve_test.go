package catalog

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The price book of the table below. Each rate has a price of its own, so that the price tells
// which one answered.
const resolveBook = `
currency: USD
products:
  - {id: p, identifiers: [p.alias], rates: [{model: per_unit, unit_price: 7}, {model: per_unit, unit_price: 77, currency: EUR}]}
  - {id: late, rates: [{model: per_unit, unit_price: 8, start: 2026-03-01}]}
  - {id: only, provisioned_only: true, rates: [{model: per_unit, unit_price: 9}]}
rate_classes:
  - {id: gold, rates: [{product: p, model: per_unit, unit_price: 4, end: 2026-09-01}]}
  - {id: empty}
packages:
  - {id: k1, products: [{product: p, rates: [{model: per_unit, unit_price: 6.1}]}, {product: only, parent: p}]}
  - {id: k2, products: [{product: p, rates: [{model: per_unit, unit_price: 6.2, start: 2026-02-01}]}]}
  - {id: k3, products: [{product: late}]}
accounts:
  - {id: plain}
  - {id: euro, currency: EUR}
  - {id: pound, currency: GBP}
  - id: all
    products: [{product: p, start: 2026-01-01, end: 2026-02-01, rates: [{model: per_unit, unit_price: 1}]}]
    packages: [{package: k1, start: 2026-01-01, rates: [{product: p, model: per_unit, unit_price: 2, end: 2026-03-01}]}]
  - {id: later-first, packages: [{package: k1, start: 2026-05-01}, {package: k2, start: 2026-01-01}]}
  - {id: same-start, packages: [{package: k2, start: 2026-01-01}, {package: k1, start: 2026-01-01}]}
  - {id: holding, products: [{product: p, rates: [{model: per_unit, unit_price: 50}]}, {product: only}], packages: [{package: k2}]}
  - {id: child, parent: holding}
  - {id: own-pricing, parent: holding, inherit_pricing: false}
  - {id: grandchild, parent: own-pricing}
  - {id: class-only}
  - {id: negotiated, packages: [{package: k1}]}
  - {id: gap, products: [{product: p, rates: [{model: per_unit, unit_price: 1, end: 2026-02-01}, {model: per_unit, unit_price: 11, start: 2026-03-01}]}]}
  - {id: euro-rate, products: [{product: p, rates: [{model: per_unit, unit_price: 1, currency: EUR}]}]}
contracts:
  - {id: c-all, account: all, start: 2026-01-01, end: 2026-06-01, rate_class: gold,
     rates: [{product: p, model: per_unit, unit_price: 3, end: 2026-04-01}]}
  - {id: c-class, account: class-only, start: 2026-01-01, end: 2027-01-01, rate_class: gold}
  - {id: c-pkg, account: negotiated, rates: [{product: p, model: per_unit, unit_price: 3}, {product: p, package: k2, model: per_unit, unit_price: 3.2}]}
`

func TestResolve(t *testing.T) {
	b := newBook()
	b.must(t, testNow, resolveBook)
	for _, c := range []struct {
		account, product, pkg, day string
		want                       string // price level owner-account K, or the refusal and K
	}{
		// One account, one level after the other as time goes on.
		{"all", "p", "", "2025-12-31", "7 product_default - -"},
		{"all", "p", "", "2026-01-01", "1 account_product all k1"},
		{"all", "p", "", "2026-02-01", "2 account_package_product all k1"},
		{"all", "p", "", "2026-03-01", "3 contract all k1"},
		{"all", "p", "", "2026-04-01", "4 rate_class all k1"},
		{"all", "p", "", "2026-06-01", "6.1 package_default - k1"},
		{"all", "p.alias", "", "2026-06-01", "6.1 package_default - k1"},
		// The package that the event names.
		{"all", "p", "k2", "2026-02-15", "3 contract all k2"},
		{"all", "p", "k2", "2026-07-01", "6.2 package_default - k2"},
		{"all", "p", "k2", "2026-01-15", "1 account_product all k2"},
		{"plain", "p", "k1", "2026-01-15", "6.1 package_default - k1"},
		{"plain", "p", "k2", "2026-01-15", "7 product_default - k2"}, // k2 has no rate yet
		{"plain", "p", "k3", "2026-01-15", "7 product_default - k3"}, // k3 does not contain p
		{"plain", "p", "unknown", "2026-01-15", "7 product_default - unknown"},
		{"negotiated", "p", "", "2026-01-15", "3 contract negotiated k1"},
		{"negotiated", "p", "k2", "2026-01-15", "3.2 contract negotiated k2"},
		// The package provisioned first; of one start, the one written first.
		{"later-first", "p", "", "2026-04-30", "6.2 package_default - k2"},
		{"later-first", "p", "", "2026-06-01", "6.2 package_default - k2"},
		{"later-first", "p", "", "2025-12-31", "7 product_default - -"},
		{"same-start", "p", "", "2026-06-01", "6.2 package_default - k2"},
		// Nothing provisioned: the hierarchy all the same.
		{"plain", "p", "", "2026-01-01", "7 product_default - -"},
		{"plain", "late", "", "2026-02-28", "no_rate -"},
		{"plain", "late", "", "2026-03-01", "8 product_default - -"},
		{"plain", "only", "", "2026-01-01", "not_provisioned -"},
		{"all", "only", "", "2026-01-01", "9 product_default - k1"},
		{"all", "only", "", "2025-12-31", "not_provisioned -"},
		// Parents.
		{"child", "p", "", "2026-06-01", "50 account_product holding k2"},
		{"child", "only", "", "2026-06-01", "9 product_default - -"},
		{"own-pricing", "p", "", "2026-06-01", "7 product_default - -"},
		{"own-pricing", "only", "", "2026-06-01", "not_provisioned -"},
		{"grandchild", "p", "", "2026-06-01", "7 product_default - -"},
		// A class reached by a contract, until its own rate ends.
		{"class-only", "p", "", "2026-08-31", "4 rate_class class-only -"},
		{"class-only", "p", "", "2026-09-01", "7 product_default - -"},
		// A gap between two rates of one level.
		{"gap", "p", "", "2026-01-31", "1 account_product gap -"},
		{"gap", "p", "", "2026-02-15", "7 product_default - -"},
		{"gap", "p", "", "2026-03-01", "11 account_product gap -"},
		// Only the account's currency counts.
		{"euro", "p", "", "2026-01-01", "77 product_default - -"},
		{"pound", "p", "", "2026-01-01", "no_rate -"},
		{"euro-rate", "p", "", "2026-01-01", "7 product_default - -"},
	} {
		p := b.plan(t, c.account)
		product := p.Snapshot().Product(c.product)
		when := at(c.day + "T00:00:00Z")
		for range 2 { // cold and warm
			answer, refusal := p.Resolve(product, c.pkg, when)
			if got := answerText(answer, refusal); got != c.want {
				t.Errorf("%s %s %q %s: %s, want %s", c.account, c.product, c.pkg, c.day, got, c.want)
			}
			if answer.Rate != nil && answer.Rate != p.RateByID(answer.Rate.Owner, answer.Rate.ID) {
				t.Errorf("%s %s: RateByID(%v, %s) finds another", c.account, c.day, answer.Rate.Owner, answer.Rate.ID)
			}
		}
	}
}

func answerText(a Answer, refusal Refusal) string {
	dash := func(s string) string {
		if s == "" {
			return "-"
		}
		return s
	}
	if refusal != "" {
		return fmt.Sprintf("%s %s", refusal, dash(a.Package))
	}
	return fmt.Sprintf("%s %s %s %s", a.Rate.UnitPrice, a.Rate.Level, dash(a.Rate.OwnerAccount), dash(a.Package))
}

func TestExplainNamesEveryLevel(t *testing.T) {
	b := newBook()
	b.must(t, testNow, resolveBook)
	p := b.plan(t, "all")
	var lines []string
	for _, s := range p.Explain(p.Snapshot().Product("p"), "", at("2026-06-01T00:00:00Z")) {
		lines = append(lines, fmt.Sprintf("%s %s %s %v: %s", s.Level, s.Account, s.RateID, s.Answered, s.Why))
	}
	want := `account_product all account:all/p@2026-01-01 false: in effect from 2026-01-01T00:00:00Z to 2026-02-01T00:00:00Z only
account_package_product all account:all/k1/p@2026-01-01 false: in effect from 2026-01-01T00:00:00Z to 2026-03-01T00:00:00Z only
contract all  false: contract c-all is not in effect at that time
package_default  package:k1/p true: in effect, in the account's currency`
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestDeletedDefinitionsAreSkipped(t *testing.T) {
	b := newBook()
	b.must(t, testNow, resolveBook)
	b.must(t, testNow, "accounts: [{id: all, packages: [{package: k1, start: 2026-01-01}]}]\ndelete: [{kind: contract, id: c-all}]")
	p := b.plan(t, "all")
	answer, refusal := p.Resolve(p.Snapshot().Product("p"), "", at("2026-01-15T00:00:00Z"))
	if got := answerText(answer, refusal); got != "6.1 package_default - k1" {
		t.Error(got)
	}
	if r := p.RateByID(Ref{KindContract, "c-all"}, "contract:c-all/p"); r != nil {
		t.Errorf("the deleted contract's rate is still found: %+v", r)
	}
}

// TestClassIsALiveReference changes the class and reads the contract's answer.
func TestClassIsALiveReference(t *testing.T) {
	b := newBook()
	b.must(t, testNow, resolveBook)
	b.must(t, testNow, "rate_classes: [{id: gold, rates: [{product: p, model: per_unit, unit_price: 4.5}]}]")
	p := b.plan(t, "class-only")
	answer, refusal := p.Resolve(p.Snapshot().Product("p"), "", at("2026-10-01T00:00:00Z"))
	if got := answerText(answer, refusal); got != "4.5 rate_class class-only -" {
		t.Error(got)
	}
	if answer.Rate.Start != at("2026-01-01T00:00:00Z") {
		t.Errorf("the class's rate begins before the contract: %s", instantText(answer.Rate.Start))
	}
}

func TestPriceChangeKeepsRateID(t *testing.T) {
	b := newBook()
	b.must(t, testNow, whole)
	before := b.plan(t, "acme").Snapshot().Product("api-calls").Rates[0]
	b.must(t, testNow, "products: [{id: api-calls, rates: [{model: per_unit, unit_price: 0.2}]}]")
	after := b.plan(t, "acme").Snapshot().Product("api-calls").Rates[0]
	if before.ID != "product:api-calls" || after.ID != before.ID || after.Seq != 2 {
		t.Errorf("%s %s %d", before.ID, after.ID, after.Seq)
	}
}

// TestTimelinesAgreeWithTheLevels compares the cached answers with a resolution from scratch at
// random instants, and the bounds of every rate with its neighbours.
func TestTimelinesAgreeWithTheLevels(t *testing.T) {
	b := newBook()
	b.must(t, testNow, resolveBook)
	accounts := []string{"all", "plain", "euro", "child", "grandchild", "class-only", "negotiated", "gap", "later-first"}
	plans := map[string]*Plan{}
	for _, a := range accounts {
		plans[a] = b.plan(t, a)
	}
	low, high := at("2025-12-01T00:00:00Z"), at("2027-02-01T00:00:00Z")
	rapid.Check(t, func(t *rapid.T) {
		p := plans[rapid.SampledFrom(accounts).Draw(t, "account")]
		product := p.Snapshot().Product(rapid.SampledFrom([]string{"p", "late", "only"}).Draw(t, "product"))
		pkg := rapid.SampledFrom([]string{"", "", "k1", "k2", "k3", "unknown"}).Draw(t, "package")
		when := rapid.Int64Range(low, high).Draw(t, "time")
		if rapid.Bool().Draw(t, "midnight") {
			when -= when % 86_400_000_000_000
		}
		want := p.resolveAt(product, pkg, when, nil)
		answer, refusal := p.Resolve(product, pkg, when)
		if answer != want.answer || refusal != want.refusal {
			t.Fatalf("%v %q, want %v %q", answer, refusal, want.answer, want.refusal)
		}
		steps := p.Explain(product, pkg, when)
		if answered := len(steps) > 0 && steps[len(steps)-1].Answered; answered != (answer.Rate != nil) {
			t.Fatalf("explained %v, answered %v", steps, answer.Rate)
		}
	})
}

func BenchmarkResolve(b *testing.B) {
	book := newBook()
	if _, err := book.apply("catalog.yaml", resolveBook, testNow); err != nil {
		b.Fatal(err)
	}
	t := &testing.T{}
	p := book.plan(t, "all")
	product := p.Snapshot().Product("p")
	when := at("2026-07-01T00:00:00Z")
	b.Run("plain", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p.Resolve(product, "", when)
		}
	})
	b.Run("package", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p.Resolve(product, "k2", when)
		}
	})
	b.Run("billing", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p.Billing(when)
		}
	})
	b.Run("cold", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p.Rebase(p.Snapshot()).Resolve(product, "", when)
		}
	})
}
