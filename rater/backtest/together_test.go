package backtest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/backtest"
)

const treeBook = `
currency: USD
products:
  - {id: calls, rates: [{model: graduated, tiers: [{up_to: 100, unit_price: 0.10}, {unit_price: 0.05}]}]}
  - {id: storage, rates: [{model: per_unit, unit_price: 0.5}]}
accounts:
  - {id: acme}
  - {id: branch, parent: acme, bill_to: parent}
  - {id: other}
  - {id: shop, parent: branch, bill_to: parent}
`

const treeDraft = "products: [{id: calls, rates: [{model: graduated, pool: invoice, tiers: [{up_to: 100, unit_price: 0.10}, {unit_price: 0.05}]}]}]"

// treeRows: of the 200 that acme pays for, branch's first 60 cost 6, of acme's 90 the first 40 0.10 each, and what comes behind 0.05 each.
const treeRows = "acme calls USD 1: 9 6.5 -2.5\nacme storage USD 1: 1 1 0\nbranch calls USD 2: 7 6.5 -0.5\nother calls USD 1: 11 11 0\nshop calls USD 1: 4 2 -2\n"

// tree is usage of three accounts that one of them pays for, and of one that pays for itself.
func tree(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, "2026-12-01T00:00:00Z")
	w.apply(treeBook)
	w.use("branch calls 60@2026-11-05T00:00:00Z", "acme calls 90@2026-11-06T00:00:00Z", "other calls 120@2026-11-07T00:00:00Z")
	w.use("shop calls 40@2026-11-08T00:00:00Z", "acme storage 2@2026-11-08T00:00:00Z", "branch calls 10@2026-11-09T00:00:00Z")
	return w
}

// TestTogether: accounts that share tiers are rated together where all of them are there; else by themselves, and that is said.
func TestTogether(t *testing.T) {
	w := tree(t)
	alone := "acme calls USD 1: 9 9 0\nacme storage USD 1: 1 1 0\nbranch calls USD 2: 7 7 0\nother calls USD 1: 11 11 0\nshop calls USD 1: 4 4 0\n"
	half := "acme calls USD 1: 9 6.5 -2.5\nacme storage USD 1: 1 1 0\nbranch calls USD 1: 1 0.5 -0.5\nother calls USD 1: 11 11 0\nshop calls USD 1: 4 2 -2\n"
	// Calls of shop cannot be rated, those of the others share 160: acme's begin behind 60, and branch's last ten behind 150.
	unrated := "acme calls USD 1: 9 6.5 -2.5\nacme storage USD 1: 1 1 0\nbranch calls USD 2: 7 6.5 -0.5\nother calls USD 1: 11 11 0\nshop calls USD 1: 4 0 -4, unrated 1 of 4\n"
	for _, c := range []struct {
		name, draft, account, from string
		together                   int
		rows                       string
		shared                     int64
	}{
		{"a tree", treeDraft, "", start, 3, treeRows, 0},
		{"with what was before the time asked for", treeDraft, "", "2026-11-06T00:00:00Z", 3, half, 0},
		{"with usage that has no rate", treeDraft + "\ncontracts: [{id: c, account: shop, start: 2026-01-01, rates: [{product: calls, model: per_unit, unit_price: 1, aggregation: unique, attribute: user}]}]",
			"", start, 3, unrated, 0},
		{"one account more in the draft", treeDraft + "\naccounts: [{id: more, parent: shop, bill_to: parent}]", "", start, 4, treeRows, 0},
		{"too many", treeDraft, "", start, 2, alone, 4}, // other is a tree of one
		{"none", treeDraft, "", start, 0, alone, 5},
		{"one of them", treeDraft, "branch", start, 3, "branch calls USD 2: 7 7 0\n", 2},
		{"one that is all", treeDraft, "other", start, 3, "other calls USD 1: 11 11 0\n", 0},
		// branch has the package, and shop by it: 60 and 40 at 0.10, then 10 at 0.05. The others share nothing.
		{"a package's", strings.Replace(treeDraft, "invoice", "package", 1) + "\npackages: [{id: k, products: [{product: calls}]}]\n" +
			"accounts: [{id: branch, parent: acme, bill_to: parent, packages: [{package: k}]}]", "", start, 3,
			"acme calls USD 1: 9 9 0\nacme storage USD 1: 1 1 0\nbranch calls USD 2: 7 6.5 -0.5\nother calls USD 1: 11 11 0\nshop calls USD 1: 4 4 0\n", 0},
		{"tiers of an account", strings.Replace(treeDraft, "invoice", "account", 1), "", start, 3, alone, 0},
	} {
		for _, limits := range []backtest.Limits{backtest.DefaultLimits(), {Workers: 1, Activities: 1, Accounts: 1, Rows: 100, Top: 9}, {Workers: 3, Activities: 4, Accounts: 2, Rows: 100, Top: 9}} {
			limits.Together = c.together
			r := w.backtest(c.draft, c.account, c.from, "2026-12-01T00:00:00Z", limits)
			if got := text(r.Rows); got != c.rows || r.Shared != c.shared {
				t.Errorf("%s:\n%s%d events of shared tiers, want\n%s%d", c.name, got, r.Shared, c.rows, c.shared)
			}
			if n := int64(len(w.stored)); c.account == "" && r.Activities != n {
				t.Errorf("%s: %d activities of %d", c.name, r.Activities, n)
			}
		}
	}
	r := w.backtest(treeDraft, "", start, "2026-12-01T00:00:00Z", backtest.DefaultLimits())
	if got, want := text(r.Top), "acme  USD 2: 10 7.5 -2.5\nshop  USD 1: 4 2 -2\nbranch  USD 2: 7 6.5 -0.5\n"; got != want {
		t.Errorf("largest changes\n%s, want\n%s", got, want)
	}
}

// TestTogetherIsWhatWasCharged: where the live price book has accounts share tiers, each comes to what it was charged; after a change of
// prices all of them together do, since the difference was charged to whoever used something first.
func TestTogetherIsWhatWasCharged(t *testing.T) {
	w := newWorld(t, "2026-12-02T00:00:00Z")
	w.apply(treeBook)
	w.apply(treeDraft)
	spread := func() {
		for i := range 12 {
			account := []string{"shop", "acme", "branch", "other"}[i*7%4]
			w.use(fmt.Sprintf("%s calls %d@2026-11-%02dT00:00:00Z", account, 3+5*i, 2+i*11%27), fmt.Sprintf("shop calls -%d@2026-11-20T00:00:00Z", i+1))
		}
	}
	check := func(byRow bool) {
		t.Helper()
		r := w.backtest("{}", "", start, "2026-12-01T00:00:00Z", backtest.Limits{Workers: 2, Activities: 5, Accounts: 1, Rows: 9, Together: 3})
		rows := r.Totals
		if byRow {
			rows = r.Rows
		}
		for _, row := range rows {
			if d, err := row.Difference(); err != nil || d != money.Zero || row.Before.IsZero() {
				t.Errorf("%s, %v", text([]backtest.Row{row}), err)
			}
		}
		if len(r.Rows) != 4 || r.Shared != 0 || len(r.Apart) != 0 {
			t.Errorf("%d rows, %d events of shared tiers, apart %v", len(r.Rows), r.Shared, r.Apart)
		}
	}
	spread()
	check(true)
	w.apply(strings.Replace(treeDraft, "0.05", "0.033333333333", 1))
	spread()
	check(false)
}
