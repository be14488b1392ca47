package catalog

import (
	"maps"
	"reflect"
	"slices"
	"testing"
)

// A draft reads as if its document were applied: every account, every shared definition.
func TestDraftReadsAsIfApplied(t *testing.T) {
	for name, document := range map[string]string{
		"a new price":              `products: [{id: p, rates: [{model: per_unit, unit_price: 70}]}]`,
		"a class and a package":    `{rate_classes: [{id: gold, rates: [{product: p, model: flat, amount: 1}]}], packages: [{id: k3}]}`,
		"an account":               `accounts: [{id: all, name: Other, products: [{product: p, rates: [{model: flat, amount: 5}]}]}]`,
		"a new account":            `accounts: [{id: fresh, currency: USD, identifiers: ["+1"]}]`,
		"a contract alone":         `contracts: [{id: c-all, account: all, start: 2026-01-01, rates: [{product: p, model: flat, amount: 2}]}]`,
		"one contract more":        `contracts: [{id: c-0, account: all, start: 2025-01-01, end: 2025-06-01}]`,
		"account and contract":     `{accounts: [{id: all}], contracts: [{id: c-more, account: all, start: 2027-01-01}]}`,
		"contract without the old": `delete: [{kind: contract, id: c-all}]`,
		"an account that goes":     `delete: [{kind: account, id: gap}]`,
		"nothing new":              `accounts: [{id: plain}]`,
		"settings":                 `{currency: EUR, seller: {id: main, name: Other}}`,
	} {
		t.Run(name, func(t *testing.T) {
			before, after := newBook(), newBook()
			before.must(t, testNow, resolveBook)
			after.must(t, testNow, resolveBook)
			changes := after.must(t, testNow, document)
			draft := NewDraft(changes, before.seq)

			snap, err := NewSnapshot(before.list())
			if err == nil {
				snap, err = draft.Snapshot(snap)
			}
			if err != nil {
				t.Fatal(err)
			}
			applied, err := NewSnapshot(after.list())
			if err != nil {
				t.Fatal(err)
			}
			applied.seq = draft.Seq() // also where nothing changed
			if !reflect.DeepEqual(snap, applied) {
				t.Errorf("shared definitions differ")
			}
			ids := map[string]bool{}
			for _, b := range []*book{before, after} {
				for ref := range b.rows {
					ids[ref.ID] = ids[ref.ID] || ref.Kind == KindAccount
				}
			}
			for _, id := range slices.Sorted(maps.Keys(ids)) {
				got, err := draft.Account(id, before.account(t, id))
				if want := after.account(t, id); err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("account %s: %+v, %v; want %+v", id, got, err, want)
				}
			}
		})
	}
}

// account gives the account with its contracts, nil where there is none.
func (b *book) account(t *testing.T, id string) *Account {
	t.Helper()
	row, ok := b.rows[Ref{KindAccount, id}]
	if !ok || row.Deleted {
		return nil
	}
	var contracts []Row
	for ref, row := range b.rows {
		var d contractDef
		if ref.Kind == KindContract && unmarshal(row, &d) == nil && d.Account == id {
			contracts = append(contracts, row)
		}
	}
	a, err := DecodeAccount(row, contracts)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestDraftFindsAccounts(t *testing.T) {
	b := newBook()
	b.must(t, testNow, `{currency: USD, accounts: [{id: old, identifiers: ["+1", "+2"]}, {id: gone, identifiers: ["+3"]}, {id: other}]}`)
	changes := b.must(t, testNow, `{accounts: [{id: old, identifiers: ["+2"]}, {id: new, identifiers: [{value: "+4", start: 2026-01-01, end: 2027-01-01}]}], delete: [{kind: account, id: gone}]}`)
	d := NewDraft(changes, 1)
	for _, c := range []struct{ name, at, base, want string }{
		{"old", "2026-12-01T00:00:00Z", "old", "old"},
		{"new", "2026-12-01T00:00:00Z", "", "new"},
		{"+4", "2026-12-01T00:00:00Z", "", "new"},
		{"+4", "2026-01-01T00:00:00Z", "", "new"},
		{"+4", "2025-12-31T23:59:59Z", "", ""},
		{"+4", "2027-01-01T00:00:00Z", "", ""},
		{"+2", "2026-12-01T00:00:00Z", "old", "old"},
		{"+1", "2026-12-01T00:00:00Z", "old", ""},    // given up
		{"+1", "2026-11-01T00:00:00Z", "old", "old"}, // it had it until then
		{"gone", "2026-12-01T00:00:00Z", "gone", ""},
		{"+3", "2026-12-01T00:00:00Z", "gone", ""},
		{"+3", "2026-11-01T00:00:00Z", "gone", ""}, // whatever it was then: usage of an account that is deleted is not priced
		{"other", "2026-12-01T00:00:00Z", "other", "other"},
		{"nobody", "2026-12-01T00:00:00Z", "", ""},
	} {
		if got := d.Find(c.name, at(c.at), c.base); got != c.want {
			t.Errorf("%s at %s: %q, want %q", c.name, c.at, got, c.want)
		}
	}
	if got := d.Accounts(); !slices.Equal(got, []string{"new", "old"}) {
		t.Errorf("accounts %v", got)
	}
}
