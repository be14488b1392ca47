package pg

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const family = `
currency: USD
products:
  - {id: calls, name: Calls, unit: call, rates: [{model: per_unit, unit_price: 0.10}]}
  - {id: seats, provisioned_only: true, rates: [{model: per_unit, unit_price: 5}]}
  - {id: gone, provisioned_only: true, rates: [{model: per_unit, unit_price: 5}]}
rate_classes:
  - {id: gold, rates: [{product: calls, model: per_unit, unit_price: 0.04}]}
  - {id: unused, rates: [{product: calls, model: per_unit, unit_price: 0.04}]}
packages:
  - {id: office, products: [{product: seats, rates: [{model: per_unit, unit_price: 4}]}]}
accounts:
  - {id: acme, packages: [{package: office}]}
  - {id: acme-lab, parent: acme}
  - {id: acme-lab-one, parent: acme-lab}
  - {id: acme-shop, parent: acme, inherit_pricing: false, name: '"inherit_pricing":false'}
  - {id: acme-shop-one, parent: acme-shop}
  - {id: brown, products: [{product: seats}]}
  - {id: clark}
contracts:
  - {id: c-lab, account: acme-lab, rate_class: gold}
  - {id: c-brown, account: brown, rate_class: gold}
  - {id: c-clark, account: clark, rates: [{product: calls, package: office, model: per_unit, unit_price: 1}]}
`

// TestCompareCountsAccounts: whom differences concern, counted by hand in the tree above.
func TestCompareCountsAccounts(t *testing.T) {
	s, _ := newStore(t)
	apply(t, s, family)
	for name, tc := range map[string]struct{ document, want string }{
		"a list price is everyone's": {`products: [{id: calls, name: Calls, unit: call, rates: [{model: per_unit, unit_price: 0.2}]}]`,
			"Calls, list price: 0.10 → 0.20 USD per call: 7 acme acme-lab acme-lab-one acme-shop acme-shop-one"},
		"a product for those who have it": {`products: [{id: seats, provisioned_only: true, rates: [{model: per_unit, unit_price: 6}]}]`,
			"seats, list price: 5.00 → 6.00 USD per unit: 4 acme acme-lab acme-lab-one brown"},
		"one that nobody has": {`products: [{id: gone, provisioned_only: true, rates: [{model: per_unit, unit_price: 6}]}]`, "gone, list price: 5.00 → 6.00 USD per unit: 0"},
		"a package": {`packages: [{id: office, products: [{product: seats, rates: [{model: per_unit, unit_price: 3}]}]}]`,
			"seats, package office: 4.00 → 3.00 USD per unit: 3 acme acme-lab acme-lab-one"},
		"a class": {`rate_classes: [{id: gold, rates: [{product: calls, model: per_unit, unit_price: 0.05}]}]`, "Calls, rate class gold: 0.04 → 0.05 USD per call: 3 acme-lab acme-lab-one brown"},
		"a class of no contract": {`rate_classes: [{id: unused, rates: [{product: calls, model: per_unit, unit_price: 0.05}]}]`,
			"Calls, rate class unused: 0.04 → 0.05 USD per call: 0"},
		"a contract": {`contracts: [{id: c-lab, account: acme-lab, rate_class: gold, rates: [{product: calls, model: per_unit, unit_price: 0.01}]}]`,
			"Calls, contract c-lab of acme-lab: 0.01 USD per call (new): 2 acme-lab acme-lab-one"},
		"a name": {`accounts: [{id: acme, name: Acme, packages: [{package: office}]}]`, "account Acme: name (none) → Acme: 1 acme"},
		"a price of its own": {`accounts: [{id: acme, packages: [{package: office, rates: [{product: seats, model: per_unit, unit_price: 1}]}]}]`,
			"seats, own price of acme in package office: 1.00 USD per unit (new): 3 acme acme-lab acme-lab-one"},
		"what the document adds counts": {`
packages: [{id: office, products: [{product: seats, rates: [{model: per_unit, unit_price: 3}]}]}]
accounts: [{id: dora, packages: [{package: office}]}, {id: dora-lab, parent: dora}, {id: dora-shop, parent: dora, inherit_pricing: false}, {id: lab-two, parent: acme-lab-one}]`,
			`seats, package office: 4.00 → 3.00 USD per unit: 6 acme acme-lab acme-lab-one dora dora-lab
new account dora: 2 dora dora-lab
new account dora-lab: 1 dora-lab
new account dora-shop: 1 dora-shop
new account lab-two: 1 lab-two`},
		"what it takes away does not": {`
packages: [{id: office, products: [{product: seats, rates: [{model: per_unit, unit_price: 3}]}]}]
accounts: [{id: acme-lab, parent: acme, inherit_pricing: false}]`,
			`seats, package office: 4.00 → 3.00 USD per unit: 1 acme
account acme-lab: inherit pricing (none) → false: 2 acme-lab acme-lab-one`},
		"a package without the product, another with it": {`
products: [{id: gone, provisioned_only: true, rates: [{model: per_unit, unit_price: 6}]}, {id: seats, provisioned_only: true, rates: [{model: per_unit, unit_price: 6}]}]
packages: [{id: office, products: [{product: gone}]}]`,
			`gone, list price: 5.00 → 6.00 USD per unit: 3 acme acme-lab acme-lab-one
seats, list price: 5.00 → 6.00 USD per unit: 1 brown
package office: no longer product seats: 3 acme acme-lab acme-lab-one
package office: now product gone: 3 acme acme-lab acme-lab-one
seats, package office: 4.00 USD per unit → the next level's price: 3 acme acme-lab acme-lab-one`},
		"accounts that are new and gone, for everyone": {`
products: [{id: calls, name: Calls, unit: call, rates: [{model: per_unit, unit_price: 0.2}]}]
accounts: [{id: aaron}]
delete: [{kind: contract, id: c-clark}, {kind: account, id: clark}]`,
			`Calls, list price: 0.10 → 0.20 USD per call: 7 aaron acme acme-lab acme-lab-one acme-shop
new account aaron: 1 aaron
contract c-clark of clark is deleted: 1 clark
Calls, contract c-clark of clark in package office: 1.00 USD per call → the next level's price: 1 clark
account clark is deleted: 1 clark`},
		"a contract that names another class": {`
rate_classes: [{id: gold, rates: [{product: calls, model: per_unit, unit_price: 0.05}]}]
contracts: [{id: c-brown, account: brown, rate_class: unused}, {id: c-new, account: clark, rate_class: gold}]`,
			`Calls, rate class gold: 0.04 → 0.05 USD per call: 3 acme-lab acme-lab-one clark
contract c-brown of brown: rate class gold → unused: 1 brown
new contract c-new of clark: 1 clark`},
		"a currency": {`currency: EUR`, "catalogue: currency USD → EUR: 0"},
		"nothing":    {family, ""},
	} {
		got, err := s.Compare(t.Context(), parse(t, tc.document))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var lines []string
		for i := range got.Differences {
			d := &got.Differences[i]
			lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s: %d %s", d.Text, d.Accounts, strings.Join(d.First, " "))))
		}
		if text := strings.Join(lines, "\n"); text != tc.want || got.Seq != 1 || got.More != 0 {
			t.Errorf("%s, at %d:\n%s\nwant\n%s", name, got.Seq, text, tc.want)
		}
	}
	if seq, err := s.CurrentSeq(t.Context()); seq != 1 || err != nil {
		t.Errorf("comparing moved the sequence number to %d (%v)", seq, err)
	}
}

// TestCompareDeletedAccounts: whoever was deleted before is nobody.
func TestCompareDeletedAccounts(t *testing.T) {
	s, _ := newStore(t)
	apply(t, s, family)
	apply(t, s, `delete: [{kind: account, id: acme-lab-one}]`)
	got, err := s.Compare(t.Context(), parse(t, `packages: [{id: office, products: [{product: seats}]}]`))
	if err != nil || len(got.Differences) != 1 || got.Differences[0].Accounts != 2 || !slices.Equal(got.Differences[0].First, []string{"acme", "acme-lab"}) {
		t.Errorf("%+v, %v", got, err)
	}
}
