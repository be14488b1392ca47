package pg

import (
	"context"
	"strings"
	"testing"
)

const pooled = `
currency: USD
products:
  - {id: calls, rates: [{model: graduated, tiers: [{up_to: 100, unit_price: 0.10}, {unit_price: 0.05}]}]}
  - {id: data, rates: [{model: per_unit, unit_price: 1}]}
accounts:
  - {id: group}
  - {id: branch, parent: group}
  - {id: desk, parent: branch, bill_to: parent}
  - {id: shop, parent: group, bill_to: parent}
  - {id: other}
contracts:
  - {id: c, account: other, rates: [{product: calls, model: graduated, pool: invoice, tiers: [{up_to: 5, unit_price: 1}, {unit_price: 2}]}]}
`

// TestPoolsOverRoutingKeys: the branch paid for itself when it was created, so its usage and that of its desk are rated apart from the group's.
// Where the group pays for it, no tiers can be shared between them, whichever of both comes first.
func TestPoolsOverRoutingKeys(t *testing.T) {
	const (
		paid  = "accounts: [{id: branch, parent: group, bill_to: parent}]"
		alone = "accounts: [{id: branch, parent: group}]"
		rate  = "model: graduated, tiers: [{up_to: 5, unit_price: 1}, {unit_price: 2}], pool: "
		both  = `"group" (routing key "group") and "branch" (routing key "branch")`
	)
	product := func(pool string) string { return "products: [{id: calls, rates: [{" + rate + pool + "}]}]" }
	contract := func(account, pool string) string {
		return "contracts: [{id: new, account: " + account + ", rates: [{product: calls, " + rate + pool + "}]}]"
	}
	for _, c := range []struct {
		name, before, then string
		refused            string // with what
	}{
		{"a product's, then the group pays", product("invoice"), paid, `accounts[0].bill_to: product "calls" would share tiers between the accounts ` + both},
		{"the group pays, then a product's", paid, product("package"), `products[0].rates[0].pool: would share tiers between the accounts ` + both},
		{"of each account by itself", paid, product("account"), ""},
		{"in both documents at once", "", paid + "\n" + product("invoice"), both},
		{"a contract of the group", paid, contract("group", "invoice"), "contracts[0].rates[0].pool: would share"},
		{"… before", contract("group", "invoice"), paid, `contract "new" would share`},
		{"a contract below the branch", paid, contract("desk", "invoice"), both},
		{"… before", contract("desk", "invoice"), paid, both},
		{"a contract beside it", paid, contract("shop", "invoice"), ""},
		{"… before", contract("shop", "invoice"), paid, ""},
		{"it pays for itself again", product("invoice"), alone, ""},
		{"the pool is gone", product("invoice") + "\n---\n" + product("account"), paid, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := newStore(t)
			apply(t, s, pooled)
			for _, document := range strings.Split(c.before, "\n---\n") {
				if document != "" {
					apply(t, s, document)
				}
			}
			_, err := s.Apply(context.Background(), parse(t, c.then))
			switch {
			case c.refused == "" && err != nil:
				t.Error(err)
			case c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)):
				t.Errorf("%v\nwant %s", err, c.refused)
			}
		})
	}
}
