package catalog

import (
	"fmt"
	"strings"
	"testing"
)

// step is a document that is applied, and what it changes: a line a definition with what it hangs below, what it names, and "new" for
// what was never there before; or how it is refused.
type step struct {
	when, document string
	want           []string
}

// told runs the documents of a story one after another.
func (b *book) told(t *testing.T, steps []step) {
	t.Helper()
	for i, s := range steps {
		changes, err := b.apply("story.yaml", s.document, at(s.when))
		var got []string
		for _, c := range changes {
			line := c.String()
			if c.New {
				line += " new"
			}
			if c.Parent != "" {
				line += " below " + c.Parent
			}
			for _, used := range c.Uses {
				line += " " + string(used.Kind) + ":" + used.ID
			}
			got = append(got, line)
		}
		if err != nil {
			got = strings.Split(strings.ReplaceAll(err.Error(), "story.yaml:", ""), "\n")
		}
		if g, w := strings.Join(got, "\n"), strings.Join(s.want, "\n"); g != w {
			t.Fatalf("document %d:\n%s\nbecomes:\n%s\nwant:\n%s", i+1, s.document, g, w)
		}
	}
}

const (
	inMay  = "2026-05-10T12:00:00Z"
	inJune = "2026-06-10T12:00:00Z"
	inJuly = "2026-07-10T12:00:00Z"
)

const storyBegins = `
currency: EUR
products:
  - {id: calls, rates: [{model: per_unit, unit_price: 1}]}
  - {id: data, rates: [{model: graduated, tiers: [{unit_price: 1}], pool: invoice, id: shared-data}]}
rate_classes: [{id: gold, rates: [{product: calls, model: per_unit, unit_price: 0.5}]}]
packages: [{id: std, products: [{product: calls, rates: [{model: flat, amount: 3}]}]}]
accounts:
  - {id: group, currency: USD}
  - {id: acme, parent: group, products: [{product: calls, rates: [{model: flat, amount: 1, id: acme-calls}]}], packages: [{package: std, rates: [{product: data, model: flat, amount: 2}]}]}
contracts: [{id: c1, account: acme, rate_class: gold, rates: [{product: data, package: std, model: flat, amount: 4}]}]
`

func storyBegun() []step {
	return []step{{inMay, storyBegins, []string{
		"created settings main new",
		"created product calls new",
		"created product data new pool:accounts rate:shared-data",
		"created rate_class gold new product:calls",
		"created package std new product:calls",
		"created account group new",
		"created account acme new below group account:group package:std product:calls product:data rate:acme-calls",
		"created contract c1 new below acme account:acme package:std product:data rate_class:gold",
	}}}
}

// TestChangesSayWhatIsNamed: what is created, changed and deleted, in which members, below what, and what it uses.
func TestChangesSayWhatIsNamed(t *testing.T) {
	newBook().told(t, append(storyBegun(), []step{
		// A currency that was left out stays, as does a rate without a change; members that differ are named in their order.
		{inJune, "accounts: [{id: group, name: Group, terms_days: 10}]", []string{"changed account group: name, terms_days"}},
		{inJune, "accounts: [{id: group, terms_days: 10}]", []string{"changed account group: name"}},
		{inJune, "products: [{id: calls, unit: call, rates: [{model: per_unit, unit_price: 2}]}]", []string{"changed product calls: rates, unit"}},
		// Another anchor takes effect where the period ends. It is told again only if it changes again.
		{inJune, "accounts: [{id: group, terms_days: 10, cycle: {anchor_day: 5}}]", []string{"changed account group: billing, cycle (billing from 2026-07-01T00:00:00Z)"}},
		{inJune, "accounts: [{id: group, terms_days: 10, cycle: {anchor_day: 5}}]", nil},
		{inJuly, "accounts: [{id: group, terms_days: 9, cycle: {anchor_day: 5}}]", []string{"changed account group: terms_days"}},
		// A contract with the id of an account has nothing of its note.
		{inJuly, "accounts: [{id: group, terms_days: 9, cycle: {anchor_day: 6}}]\ncontracts: [{id: group, account: acme, start: 2030-01-01}]", []string{
			"changed account group: billing, cycle (billing from 2026-08-05T00:00:00Z)", "created contract group new below acme account:acme",
		}},
		{inJuly, "accounts: [{id: group, terms_days: 9, cycle: {anchor_day: 7}}]\ncontracts: [{id: group, account: acme, start: 2031-01-01}]", []string{
			"changed account group: billing, cycle (billing from 2026-08-05T00:00:00Z)", "changed contract group: start below acme account:acme",
		}},
	}...))
}

// TestDeletions: what is used stays, what is deleted ends and may come back.
func TestDeletions(t *testing.T) {
	newBook().told(t, append(storyBegun(), []step{
		{inJune, "delete: [{kind: rate_class, id: gold}]", []string{`1: delete[0]: rate_class "gold" is still used by contract "c1": change or delete that first`}},
		// Of several users one is named, and that both are needed is said of both.
		{inJune, "delete: [{kind: product, id: calls}, {kind: package, id: nowhere}]", []string{
			`1: delete[0]: product "calls" is still used by account "acme": change or delete that first`,
			`1: delete[1]: there is no package "nowhere" to delete: correct the id, or leave it out`,
		}},
		{inJune, "delete: [{kind: account, id: acme}]", []string{`1: delete[0]: account "acme" is still used by contract "c1": change or delete that first`}},
		{inJune, "delete: [{kind: account, id: group}]", []string{`1: delete[0]: account "group" is still used by account "acme": change or delete that first`}},
		// The document that defines a user anew without it may delete what it used.
		{inJune, "contracts: [{id: c1, account: acme, rates: [{product: data, model: flat, amount: 4}]}]\ndelete: [{kind: rate_class, id: gold}]", []string{
			"changed contract c1: rate_class, rates below acme account:acme product:data", "deleted rate_class gold",
		}},
		{inJune, "delete: [{kind: rate_class, id: gold}, {kind: contract, id: c1}, {kind: contract, id: c1}]", []string{"deleted contract c1 below acme"}},
		{inJune, "delete: [{kind: account, id: acme}]", []string{"deleted account acme below group"}},
		{inJune, "delete: [{kind: account, id: acme}]", nil},
		// It comes back, and is not new.
		{inJuly, "accounts: [{id: acme}]", []string{"created account acme"}},
	}...))
}

// TestAccountsKeepWhatTheyWere: currency, parent and billing of an account that is there.
func TestAccountsKeepWhatTheyWere(t *testing.T) {
	b := newBook()
	b.told(t, append(storyBegun(), []step{
		{inJune, "currency: USD\naccounts: [{id: acme, parent: group, name: A}]", []string{
			"changed settings main: currency", "changed account acme: name, packages, products below group account:group",
		}},
		{inJune, "accounts: [{id: acme, parent: group, currency: USD}]", []string{
			"1: accounts[0].currency: cannot change from EUR to USD: what was used stays in its currency; create another account",
		}},
		{inJune, "accounts: [{id: new, parent: acme, bill_to: parent}]", []string{
			"1: accounts[0].currency: is USD, but the account is billed to acme, which is in EUR: an account has the currency of who pays for it",
		}},
		{inJune, "accounts: [{id: kid, parent: acme, currency: EUR, bill_to: parent}, {id: free, parent: acme}]", []string{
			"created account kid new below acme account:acme", "created account free new below acme account:acme",
		}},
		// Who is or was billed to the parent stays below it; who never was may move.
		{inJuly, "accounts: [{id: kid, parent: acme}]", []string{"changed account kid: bill_to, billing (billing from 2026-08-01T00:00:00Z) below acme account:acme"}},
		{inJuly, "accounts: [{id: kid, parent: group}]", []string{
			`1: accounts[0].parent: cannot change from "acme" to "group": the account is or was billed to its parent, whose invoices hold its usage; create another account`,
		}},
		{inJuly, "accounts: [{id: free, parent: group}]", []string{"changed account free: parent below group account:group"}},
		// A payer that does not exist is all that is said.
		{inJuly, "accounts: [{id: lone, bill_to: parent}]", []string{"1: accounts[0].bill_to: is parent, but the account has no parent: name one, or leave bill_to out"}},
	}...))
	if a := b.account(t, "kid"); a.Seller != "main" || a.RoutingKey != "acme" || a.Currency != "EUR" {
		t.Errorf("seller %q, routing key %q, currency %q", a.Seller, a.RoutingKey, a.Currency)
	}
}

// TestSellers: an account is the seller's that the catalogue names when it is created.
func TestSellers(t *testing.T) {
	b := newBook()
	b.told(t, []step{
		{inMay, "currency: EUR\nseller: {name: Us}\naccounts: [{id: a}]", []string{"created settings main new", "created account a new"}},
		{inMay, "seller: {name: Us}", nil}, // whose id is main
		{inJune, "seller: {id: second, name: Us}\naccounts: [{id: a}, {id: b}]", []string{"changed settings main: seller", "created account b new"}},
		{inJuly, "currency: EUR\naccounts: [{id: c}]", []string{"created account c new"}},
	})
	for account, want := range map[string]string{"a": "main", "b": "second", "c": "second"} {
		if got := b.account(t, account).Seller; got != want {
			t.Errorf("%s is sold to by %q, want %q", account, got, want)
		}
	}
}

// TestContractsOfAnAccount: a class at a time, rates that do not overlap, whatever was stored before.
func TestContractsOfAnAccount(t *testing.T) {
	const begin = `
currency: EUR
products: [{id: calls, rates: [{model: flat, amount: 1}]}]
packages: [{id: std, products: [{product: calls}]}]
rate_classes: [{id: gold, rates: []}, {id: iron, rates: []}]
accounts: [{id: a, time_zone: Asia/Kolkata}, {id: b}]
contracts:
  - {id: first, account: a, start: 2026-01-01, end: 2026-07-01, rate_class: gold, rates: [{product: calls, model: flat, amount: 1}]}
  - {id: other, account: b, rate_class: iron}
`
	b := newBook()
	b.must(t, at(inMay), begin)
	const clash = ": the contract %s of the same account names the rate class %s at the same time: one of them must end before the other starts"
	b.told(t, []step{
		{inMay, "contracts: [{id: next, account: a, start: 2026-06-30, rate_class: iron}]", []string{"1: contracts[0].rate_class" + fmt.Sprintf(clash, "first", "gold")}},
		{inMay, "contracts: [{id: next, account: a, end: 2026-01-02, rate_class: iron}]", []string{"1: contracts[0].rate_class" + fmt.Sprintf(clash, "first", "gold")}},
		{inMay, "contracts: [{id: next, account: a, start: 2026-03-01, end: 2026-03-02, rate_class: iron}]", []string{"1: contracts[0].rate_class" + fmt.Sprintf(clash, "first", "gold")}},
		{inMay, "contracts: [{id: next, account: a, start: 2026-03-01, rate_class: gold}, {id: none, account: a, start: 2026-03-01}]", []string{
			"created contract next new below a account:a rate_class:gold", "created contract none new below a account:a",
		}},
		{inMay, "delete: [{kind: contract, id: next}, {kind: contract, id: none}]", []string{"deleted contract next below a", "deleted contract none below a"}},
		// What is deleted is in nobody's way; one may begin where the other ends.
		{inMay, "contracts: [{id: after, account: a, start: 2026-07-01, rate_class: iron}, {id: before, account: a, end: 2026-01-01, rate_class: iron}]", []string{
			"created contract after new below a account:a rate_class:iron", "created contract before new below a account:a rate_class:iron",
		}},
		{inMay, "contracts: [{id: again, account: a, start: 2026-06-01, rates: [{product: calls, model: flat, amount: 2}]}]", []string{
			"1: contracts[0].rates[0]: overlaps with the contract first for calls: contract:again/calls is in effect from 2026-05-31T18:30:00Z to the end of time, " +
				"contract:first/calls from 2025-12-31T18:30:00Z to 2026-06-30T18:30:00Z; give one an end or a later start",
		}},
		// In Kolkata the day begins five and a half hours before it does in UTC.
		{inMay, "contracts: [{id: again, account: a, start: 2026-07-01, end: 2026-06-30T18:30:00Z}]", []string{"1: contracts[0].end: must be after start (2026-07-01)"}},
		{inMay, "contracts: [{id: again, account: a, start: 2026-07-01, end: 2026-06-30T18:31:00Z, rate_class: iron}]\ndelete: [{kind: contract, id: after}]", []string{
			"created contract again new below a account:a rate_class:iron", "deleted contract after below a",
		}},
		{inMay, "contracts: [{id: again, account: nobody, start: 2026-07-01}]", []string{`1: contracts[0].account: names the account "nobody", which does not exist: define it or correct the id`}},
		{inMay, "contracts: [{id: again, account: a, rates: [{product: calls, package: nowhere, model: flat, amount: 1, start: 2027-01-01}]}]", []string{
			`1: contracts[0].rates[0].package: names the package "nowhere", which does not exist: define it or correct the id`,
		}},
		{inMay, "contracts: [{id: first, account: b}]", []string{`1: contracts[0].account: cannot change from "a" to "b": write a contract with another id`}},
	})
}

// TestProvisions: what accounts have, and rates that are their own.
func TestProvisions(t *testing.T) {
	const begin = `
currency: EUR
products: [{id: calls, rates: [{model: flat, amount: 1}]}, {id: data, rates: [{model: flat, amount: 1}]}]
packages: [{id: std, products: [{product: calls}]}, {id: pro, products: [{product: calls}]}]
`
	b := newBook()
	b.must(t, at(inMay), begin)
	b.told(t, []step{
		{inMay, "accounts: [{id: a, products: [{product: calls, start: 2026-05-01, end: 2026-05-01}]}]", []string{"1: accounts[0].products[0].end: must be after start (2026-05-01)"}},
		{inMay, "accounts: [{id: a, products: [{product: calls, start: 2026-05-02, end: 2026-05-01}]}]", []string{"1: accounts[0].products[0].end: must be after start (2026-05-02)"}},
		{inMay, "accounts: [{id: a, packages: [{package: std, rates: [{product: faxes, model: flat, amount: 1}]}]}]", []string{
			`1: accounts[0].packages[0].rates[0].product: names the product "faxes", which does not exist: define it or correct the id`,
		}},
		{inMay, "accounts: [{id: a, products: [{product: calls, rates: [{model: flat, amount: 1}]}, {product: calls, rates: [{model: flat, amount: 2}]}]}]", []string{
			"1: accounts[0].products[1].rates[0]: overlaps with accounts[0].products[0].rates[0] (line 1) for calls: account:a/calls is in effect from the beginning to the end of time, " +
				"account:a/calls from the beginning to the end of time; give one an end or a later start",
		}},
		{inMay, "accounts: [{id: a, packages: [{package: std, rates: [{product: calls, model: flat, amount: 1}]}, {package: std, rates: [{product: calls, model: flat, amount: 2}]}]}]", []string{
			"1: accounts[0].packages[1].rates[0]: overlaps with accounts[0].packages[0].rates[0] (line 1) for calls: account:a/std/calls is in effect from the beginning to the end of time, " +
				"account:a/std/calls from the beginning to the end of time; give one an end or a later start",
		}},
		// In two packages, and of two products, they do not overlap.
		{inMay, "accounts: [{id: a, packages: [{package: std, rates: [{product: calls, model: flat, amount: 1}, {product: data, model: flat, amount: 1}]}, {package: pro, rates: [{product: calls, model: flat, amount: 2}]}]}]", []string{
			"created account a new package:pro package:std product:calls product:data",
		}},
		{inMay, "accounts: [{id: b, products: [{product: calls, rates: [{id: mine, model: flat, amount: 1}]}]}]", []string{"created account b new product:calls rate:mine"}},
		{inMay, "accounts: [{id: c, products: [{product: calls, rates: [{id: mine, model: flat, amount: 1}]}]}]", []string{`1: accounts[0].products[0].rates[0].id: the rate id "mine" is taken by a rate of account "b"`}},
		{inMay, "accounts: [{id: c}]\ncontracts: [{id: k, account: c, rates: [{product: calls, id: mine, model: flat, amount: 1}]}]", []string{`2: contracts[0].rates[0].id: the rate id "mine" is taken by a rate of account "b"`}},
		{inMay, "rate_classes: [{id: k, rates: [{product: calls, id: mine, model: flat, amount: 1}]}]", []string{`1: rate_classes[0].rates[0].id: the rate id "mine" is taken by a rate of account "b"`}},
		{inMay, "packages: [{id: k, products: [{product: calls, rates: [{id: mine, model: flat, amount: 1}]}]}]", []string{`1: packages[0].products[0].rates[0].id: the rate id "mine" is taken by a rate of account "b"`}},
		{inMay, "products: [{id: k, rates: [{id: mine, model: flat, amount: 1}]}]", []string{`1: products[0].rates[0].id: the rate id "mine" is taken by a rate of account "b"`}},
		// It is free again once its owner leaves it, in the same document too.
		{inMay, "accounts: [{id: b}, {id: c, products: [{product: calls, rates: [{id: mine, model: flat, amount: 1}]}]}]", []string{
			"changed account b: products", "created account c new product:calls rate:mine",
		}},
		{inMay, "accounts: [{id: d, products: [{product: calls, rates: [{id: mine, model: flat, amount: 1}]}]}]\ndelete: [{kind: account, id: c}]", []string{
			"created account d new product:calls rate:mine", "deleted account c",
		}},
		{inMay, "accounts: [{id: d, time_zone: Mars/Base, identifiers: [x]}]", []string{`1: accounts[0].time_zone: unknown time zone "Mars/Base": use a name of the IANA database such as Europe/Berlin`}},
	})
}

// TestBillingChangesMoreThanOnce: of changes that have not begun the last one counts, and one that is taken back was none.
func TestBillingChangesMoreThanOnce(t *testing.T) {
	b := newBook()
	b.told(t, []step{
		{inMay, "currency: EUR\naccounts: [{id: a}]", []string{"created settings main new", "created account a new"}},
		{inMay, "accounts: [{id: a, cycle: {anchor_day: 3}}]", []string{"changed account a: billing, cycle (billing from 2026-06-01T00:00:00Z)"}},
		{inMay, "accounts: [{id: a, cycle: {anchor_day: 4}}]", []string{"changed account a: billing, cycle (billing from 2026-06-01T00:00:00Z)"}},
		{inMay, "accounts: [{id: a, time_zone: UTC}]", []string{"changed account a: billing, cycle"}}, // which is where it was
		{inMay, "accounts: [{id: a, cycle: {anchor_day: 4}}]", []string{"changed account a: billing, cycle (billing from 2026-06-01T00:00:00Z)"}},
		// At the instant at which it begins it has begun; the period that runs then ends on the 4th.
		{"2026-06-01T00:00:00Z", "accounts: [{id: a, cycle: {anchor_day: 9}}]", []string{"changed account a: billing, cycle (billing from 2026-06-04T00:00:00Z)"}},
		{inJune, "accounts: [{id: a, cycle: {every: weekly, anchor_day: 1}}]", []string{"changed account a: billing, cycle (billing from 2026-07-09T00:00:00Z)"}},
	})
	var terms []string
	for _, term := range b.account(t, "a").Billing {
		terms = append(terms, instantBound(term.Start).String())
	}
	if got := strings.Join(terms, " "); got != "open 2026-06-01T00:00:00Z 2026-06-04T00:00:00Z 2026-07-09T00:00:00Z" {
		t.Errorf("terms begin at %s", got)
	}
}

// TestCapacities: a capacity has one id, and says the same, on each of its products; what is stored elsewhere counts as well.
func TestCapacities(t *testing.T) {
	const rate = "id: plan, model: capacity, pool: account, tiers: [{price: 10, limits: {seats: 5}}, {price: 30}]"
	const other = "id: plan, model: capacity, pool: account, tiers: [{price: 10, limits: {seats: 6}}, {price: 30}]"
	const says = ", which is another product's or says something else: a capacity says the same on each of its products, in one document"
	product := func(id, rate string) string { return "{id: " + id + ", rates: [{" + rate + "}]}" }
	taken := func(place, says string, by ...string) (lines []string) {
		for _, owner := range by {
			lines = append(lines, "1: "+place+`.rates[0].id: the rate id "plan" is taken by a rate of product "`+owner+`"`+says)
		}
		return lines
	}
	b := newBook()
	b.told(t, []step{
		{inMay, "currency: EUR\nproducts: [" + product("seats", rate) + ", " + product("space", rate) + "]", []string{
			"created settings main new", "created product seats new rate:plan", "created product space new rate:plan",
		}},
		{inMay, "products: [" + product("mail", rate) + "]", []string{"created product mail new rate:plan"}},
		{inMay, "products: [" + product("film", other) + "]", taken("products[0]", says, "mail", "seats", "space")},
		{inMay, "products: [" + product("film", "id: plan, model: flat, amount: 1") + "]", taken("products[0]", "", "mail", "seats", "space")},
		// On all of them it may change at once, not on one alone.
		{inMay, "products: [" + product("seats", other) + "]", taken("products[0]", says, "mail", "space")},
		{inMay, "products: [" + product("seats", other) + ", " + product("space", other) + ", " + product("mail", other) + "]", []string{
			"changed product seats: rates rate:plan", "changed product space: rates rate:plan", "changed product mail: rates rate:plan",
		}},
		{inMay, "products: [" + product("seats", other) + ", " + product("space", rate) + "]", taken("products[1]", says, "seats")},
		// A product that is deleted is in nobody's way.
		{inMay, "products: [" + product("seats", rate) + "]\ndelete: [{kind: product, id: space}, {kind: product, id: mail}]", []string{
			"changed product seats: rates rate:plan", "deleted product space", "deleted product mail",
		}},
		// Twice on one product is no capacity, in a class and in a package neither.
		{inMay, "rate_classes: [{id: gold, rates: [{product: seats, " + strings.ReplaceAll(rate, "plan", "gold") + ", end: 2026-01-01}, {product: seats, " + strings.ReplaceAll(rate, "plan", "gold") + ", start: 2026-01-01}]}]", []string{
			`1: rate_classes[0].rates[1].id: the rate id "gold" is taken by a rate of rate_class "gold"` + says,
		}},
		{inMay, "rate_classes: [{id: gold, rates: [{product: seats, " + strings.ReplaceAll(rate, "plan", "gold") + "}]}]", []string{"created rate_class gold new product:seats rate:gold"}},
		{inMay, "rate_classes: [{id: rest, rates: [{product: space, " + strings.ReplaceAll(rate, "plan", "gold") + "}]}]\nproducts: [" + product("space", "model: flat, amount: 1") + "]", []string{
			"created product space", "created rate_class rest new product:space rate:gold",
		}},
		{inMay, "rate_classes: [{id: third, rates: [{product: seats, " + strings.ReplaceAll(rate, "plan", "gold") + "}]}]", []string{
			`1: rate_classes[0].rates[0].id: the rate id "gold" is taken by a rate of rate_class "gold"` + says,
		}},
		{inMay, "packages: [{id: std, products: [{product: seats, rates: [{" + strings.ReplaceAll(rate, "plan", "std") + "}]}]}]", []string{"created package std new product:seats rate:std"}},
		{inMay, "packages: [{id: pro, products: [{product: space, rates: [{" + strings.ReplaceAll(rate, "plan", "std") + "}]}]}]", []string{"created package pro new product:space rate:std"}},
		{inMay, "packages: [{id: max, products: [{product: space, rates: [{" + strings.ReplaceAll(rate, "plan", "std") + "}]}]}]", []string{
			`1: packages[0].products[0].rates[0].id: the rate id "std" is taken by a rate of package "pro"` + says,
		}},
	})
}

// TestIdentifiersBetweenAccounts: an identifier is one account's at a time, and never the id of another account.
func TestIdentifiersBetweenAccounts(t *testing.T) {
	b := newBook()
	b.told(t, []step{
		{inMay, "currency: EUR\naccounts: [{id: a, identifiers: [a, x, {value: y, start: 2026-06-01}, {value: z, end: 2026-06-01}, {value: v, start: 2026-06-05}]}, {id: b}]", []string{
			"created settings main new", "created account a new", "created account b new",
		}},
		{inMay, "accounts: [{id: c, identifiers: [b]}]", []string{`1: accounts[0].identifiers[0]: "b" is the id of another account: use another identifier`}},
		{inMay, "accounts: [{id: x}]", []string{`1: accounts[0].id: "x" is or was an identifier of the account "a"`}},
		{inMay, "accounts: [{id: c, identifiers: [d]}, {id: d}]", []string{
			`1: accounts[0].identifiers[0]: "d" is the id of another account: use another identifier`,
		}},
		{inMay, "accounts: [{id: c, identifiers: [q]}, {id: d, identifiers: [q]}]", []string{
			`1: accounts[1].identifiers[0]: "q" is an identifier of the account "c" from the beginning to the end of time: an identifier names one account at a time`,
		}},
		// One ends where the other begins.
		{inMay, "accounts: [{id: c, identifiers: [{value: y, end: 2026-06-01}, {value: z, start: 2026-06-01}]}]", []string{"created account c new"}},
		{inMay, "accounts: [{id: k, identifiers: [w]}, {id: l, identifiers: [w]}, {id: m, identifiers: [w]}]", []string{
			`1: accounts[1].identifiers[0]: "w" is an identifier of the account "k" from the beginning to the end of time: an identifier names one account at a time`,
		}},
		{inMay, "accounts: [{id: k, identifiers: [{end: 2026-08-01}]}]", []string{"1: accounts[0].identifiers[0].value: is missing: write the identifier"}},
		{inMay, "accounts: [{id: d, identifiers: [{value: q, start: 2026-07-01, end: 2026-07-01}]}]", []string{"1: accounts[0].identifiers[0].end: must be after start (2026-07-01T00:00:00Z)"}},
		{inMay, "accounts: [{id: d, identifiers: [{value: y, start: 2026-05-01, end: 2026-05-02}]}]", []string{
			`1: accounts[0].identifiers[0]: "y" is an identifier of the account "c" from the beginning to 2026-06-01T00:00:00Z: an identifier names one account at a time`,
		}},
		// What its account gives up in the same document was its until now; two who had a name are one mistake.
		{inJune, "accounts: [{id: a, identifiers: [a, x]}, {id: f, identifiers: [{value: v, start: 2026-05-20}]}]", []string{
			`1: accounts[1].identifiers[0]: "v" is an identifier of the account "a" from 2026-06-05T00:00:00Z to 2026-06-10T12:00:00Z: an identifier names one account at a time`,
		}},
		{inJune, "accounts: [{id: z}]", []string{`1: accounts[0].id: "z" is or was an identifier of the account "a"`}},
		// With its account deleted it is free from now on, and was that account's until now.
		{inJune, "accounts: [{id: d, identifiers: [x]}]\ndelete: [{kind: account, id: a}]", []string{"created account d new", "deleted account a"}},
		{inJuly, "accounts: [{id: e, identifiers: [{value: x, start: 2026-06-20}]}]", []string{
			`1: accounts[0].identifiers[0]: "x" is an identifier of the account "d" from 2026-06-10T12:00:00Z to the end of time: an identifier names one account at a time`,
		}},
	})
}

// TestClassesOfContracts: a class's rates begin with the contract that names it, and go in the order of their starts.
func TestClassesOfContracts(t *testing.T) {
	b := newBook()
	b.must(t, at(inMay), `
currency: EUR
products: [{id: calls, rates: [{id: plain, model: flat, amount: 9}]}, {id: data, rates: [{model: flat, amount: 9}]}]
rate_classes:
  - id: gold
    rates:
      - {product: calls, id: late, model: flat, amount: 3, start: 2026-09-01}
      - {product: calls, id: early, model: flat, amount: 1, end: 2026-08-01}
accounts: [{id: a, late: reject, terms_days: 7, inherit_pricing: false}, {id: b}]
contracts:
  - {id: two, account: a, start: 2026-09-10, end: 2026-10-01, rate_class: gold}
  - {id: one, account: a, start: 2026-07-01, end: 2026-09-05, rate_class: gold}
`)
	p := b.plan(t, "a")
	for when, want := range map[string]string{
		"2026-06-30T23:59:59Z": "plain", "2026-07-01T00:00:00Z": "early", "2026-07-31T23:59:59Z": "early", "2026-08-01T00:00:00Z": "plain",
		"2026-09-01T00:00:00Z": "late", "2026-09-05T00:00:00Z": "plain", "2026-09-09T23:59:59Z": "plain", "2026-09-10T00:00:00Z": "late", "2026-10-01T00:00:00Z": "plain",
	} {
		answer, refusal := p.Resolve(p.Snapshot().Product("calls"), "", at(when))
		if refusal != "" || answer.Rate.ID != want {
			t.Errorf("%s: %v %s, want %s", when, answer.Rate, refusal, want)
		}
	}
	a := b.account(t, "a")
	if !a.LateReject || a.TermsDays != 7 || a.InheritPricing || a.Contracts[0].ID != "one" || a.Contracts[1].ID != "two" {
		t.Errorf("%+v", a)
	}
	if a := b.account(t, "b"); a.LateReject || a.TermsDays != -1 || !a.InheritPricing {
		t.Errorf("%+v", a)
	}
}

// TestProvisionedOnly: such a product is priced while the account has it, by itself, in a package, or as a parent has it.
func TestProvisionedOnly(t *testing.T) {
	b := newBook()
	b.must(t, at(inMay), `
currency: EUR
products: [{id: calls, provisioned_only: true, rates: [{model: flat, amount: 9}]}, {id: data, rates: [{model: flat, amount: 9}]}]
packages: [{id: std, products: [{product: calls}]}]
accounts:
  - {id: top, products: [{product: data}, {product: calls, start: 2026-03-01, end: 2026-04-01}]}
  - {id: kid, parent: top, packages: [{package: std, start: 2026-06-01, end: 2026-07-01}]}
  - {id: own, parent: top, inherit_pricing: false, products: [{product: data}]}
`)
	for _, c := range []struct {
		account, when string
		priced        bool
	}{
		{"top", "2026-02-28T23:59:59Z", false}, {"top", "2026-03-01T00:00:00Z", true}, {"top", "2026-03-31T23:59:59Z", true}, {"top", "2026-04-01T00:00:00Z", false},
		{"kid", "2026-02-28T23:59:59Z", false}, {"kid", "2026-03-01T00:00:00Z", true}, {"kid", "2026-04-01T00:00:00Z", false},
		{"kid", "2026-05-31T23:59:59Z", false}, {"kid", "2026-06-01T00:00:00Z", true}, {"kid", "2026-07-01T00:00:00Z", false},
		{"own", "2026-03-15T00:00:00Z", false},
	} {
		p := b.plan(t, c.account)
		_, refusal := p.Resolve(p.Snapshot().Product("calls"), "", at(c.when))
		if want := map[bool]Refusal{false: RefusedNotProvisioned}[c.priced]; refusal != want {
			t.Errorf("%s at %s: %q, want %q", c.account, c.when, refusal, want)
		}
	}
}

// TestRefusalsChange: an account that has a product which nothing prices yet is refused for another reason than one that has it not.
func TestRefusalsChange(t *testing.T) {
	b := newBook()
	b.must(t, at(inMay), "currency: EUR\nproducts: [{id: only, provisioned_only: true, rates: [{model: flat, amount: 9, start: 2026-07-01}]}]\naccounts: [{id: a, products: [{product: only, start: 2026-06-01}]}]")
	p := b.plan(t, "a")
	for when, want := range map[string]Refusal{inMay: RefusedNotProvisioned, inJune: RefusedNoRate, inJuly: ""} {
		if _, refusal := p.Resolve(p.Snapshot().Product("only"), "", at(when)); refusal != want {
			t.Errorf("%s: %q, want %q", when, refusal, want)
		}
	}
}

// TestDepthOfTheTree: an account and its parents are at most 32 levels below their root.
func TestDepthOfTheTree(t *testing.T) {
	b := newBook()
	document := "currency: EUR\naccounts:\n  - {id: a0}\n"
	for i := 1; i <= 31; i++ {
		document += fmt.Sprintf("  - {id: a%d, parent: a%d, bill_to: parent}\n", i, i-1)
	}
	b.must(t, at(inMay), document)
	b.told(t, []step{
		{inMay, "accounts: [{id: b, parent: a31, bill_to: parent}]", []string{"1: accounts[0].parent: is deeper than 32 levels below its root"}},
		{inMay, "accounts: [{id: b, parent: a30, bill_to: parent}]", []string{"created account b new below a30 account:a30"}},
	})
	if a := b.account(t, "b"); a.RoutingKey != "a0" {
		t.Errorf("the lowest account is routed by %q, want the root that pays", a.RoutingKey)
	}
}
