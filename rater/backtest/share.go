package backtest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/sink"
)

// ratedShare is what a share of the accounts comes to.
type ratedShare struct {
	rows    []Row // in the order of account, product and currency
	unrated map[unratedKey]*unratedSum
	apart   map[string]*Apart
	shared  int64
}

type unratedKey struct{ reason, product, currency string }

type unratedSum struct {
	events int64
	before money.Decimal
}

// rating rates a share, one account after the other.
type rating struct {
	*run
	plans   map[string]*catalog.Plan
	fold    *rater.Fold
	account string
	begun   bool
	first   int // of the account's rows
	last    int // of the rows, that which was added to last
	out     ratedShare
}

// reportEvery is how many activities are read between two reports of progress.
const reportEvery = 5000

// share reads and rates the usage of some accounts.
func (r *run) share(ctx context.Context, s *share) (*ratedShare, error) {
	plans, err := r.book.Plans(ctx, s.accounts)
	if err != nil {
		return nil, fmt.Errorf("read the price book of %d accounts: %w", len(s.accounts), err)
	}
	g := &rating{run: r, plans: plans, fold: rater.NewFold(), out: ratedShare{unrated: map[unratedKey]*unratedSum{}, apart: map[string]*Apart{}}}
	n := int64(0)
	err = r.source.History(ctx, r.h, s.accounts[0], s.accounts[len(s.accounts)-1], func(a *sink.Stored) error {
		if n++; n == reportEvery {
			r.report(n)
			n = 0
		}
		return tooMuch(g.add(a))
	})
	if err != nil {
		return nil, err
	}
	r.report(n)
	g.sort()
	return &g.out, nil
}

// add takes one activity, in log order of its account.
func (g *rating) add(a *sink.Stored) error {
	e := &a.Event
	if !g.begun || e.Account != g.account {
		g.begin(e.Account)
	}
	inside := g.q.From <= e.Time && e.Time < g.q.To
	if a.Kind != activity.KindUsage {
		return g.adjusted(a, inside)
	}
	folded, reason := g.fold.Add(e, rater.Invoiced{}) // of late usage, too: what its lines come to together does not depend on their invoices
	if !inside {
		return nil
	}
	row := g.row(a)
	row.Events++
	var err error
	if row.Before, err = row.Before.Add(a.Charge); err != nil {
		return err
	}
	if reason != "" {
		return g.unrated(a, row, reason)
	}
	if r := folded.Rate; r.Pool.OverAccounts() || r.Outer != nil && r.Outer.Pool.OverAccounts() {
		g.out.shared++
	}
	if row.After, err = row.After.Add(folded.Charge); err == nil {
		row.After, err = row.After.Add(folded.Others)
	}
	return err
}

// begin goes on to the next account.
func (g *rating) begin(account string) {
	g.sort()
	g.fold.Reset()
	if plan := g.plans[account]; plan != nil {
		g.fold.Use(plan)
	}
	g.begun, g.account, g.first, g.last = true, account, len(g.out.rows), len(g.out.rows)
}

// sort puts the rows of the present account in order: an account's usage comes in the order of the log.
func (g *rating) sort() {
	slices.SortFunc(g.out.rows[g.first:], func(a, b Row) int {
		return cmp.Or(strings.Compare(a.Product, b.Product), strings.Compare(a.Currency, b.Currency))
	})
}

// row finds the row of the activity among those of its account.
func (g *rating) row(a *sink.Stored) *Row {
	is := func(r *Row) bool { return r.Product == a.Event.Product && r.Currency == a.Currency }
	if g.last < len(g.out.rows) && is(&g.out.rows[g.last]) {
		return &g.out.rows[g.last]
	}
	for g.last = g.first; g.last < len(g.out.rows); g.last++ {
		if r := &g.out.rows[g.last]; is(r) {
			return r
		}
	}
	g.out.rows = append(g.out.rows, Row{Account: a.Event.Account, Product: a.Event.Product, Currency: a.Currency})
	return &g.out.rows[g.last]
}

// adjusted takes an adjustment, which stands where its billing period begins.
func (g *rating) adjusted(a *sink.Stored, inside bool) (err error) {
	if inside {
		row := g.row(a)
		row.Before, err = row.Before.Add(a.Charge)
		return err
	}
	apart := g.out.apart[a.Currency]
	if apart == nil {
		apart = &Apart{Currency: a.Currency}
		g.out.apart[a.Currency] = apart
	}
	apart.Adjustments++
	apart.Amount, err = apart.Amount.Add(a.Charge)
	return err
}

func (g *rating) unrated(a *sink.Stored, row *Row, reason string) (err error) {
	row.Unrated++
	if row.UnratedBefore, err = row.UnratedBefore.Add(a.Charge); err != nil {
		return err
	}
	key := unratedKey{reason, a.Event.Product, a.Currency}
	sum := g.out.unrated[key]
	if sum == nil {
		sum = &unratedSum{}
		g.out.unrated[key] = sum
	}
	sum.events++
	sum.before, err = sum.before.Add(a.Charge)
	return err
}
