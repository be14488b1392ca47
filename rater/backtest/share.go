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
	"github.com/tollstream/tollstream/rater/price"
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

	tiers    sharing
	own      map[string]*ratedShare // what is not rated of the account in work, and its adjustments, by product
	others   map[string]bool        // products of it that are put aside
	levels   map[string]bool        // of these, for the levels that they carry
	aside    []aside
	whole    bool // earlier periods are read, too, for the levels that they leave
	capacity bool // some usage fell into one
}

// sharing is what becomes of usage whose tiers several accounts share.
type sharing uint8

const (
	putAside sharing = iota // it is rated later
	allThere                // all that share are there
	notAll                  // it is rated as if its account had the tiers for itself, and counted
)

// rating begins one on a fold.
func (r *run) rating(plans map[string]*catalog.Plan, fold *rater.Fold) *rating {
	fold.Over(r.book.Over())
	return &rating{run: r, plans: plans, fold: fold, out: newRatedShare(), own: map[string]*ratedShare{}, others: map[string]bool{}, levels: map[string]bool{}}
}

func newRatedShare() ratedShare {
	return ratedShare{unrated: map[unratedKey]*unratedSum{}, apart: map[string]*Apart{}}
}

// reportEvery is how many activities are read between two reports of progress.
const reportEvery = 5000

// share rates the usage of some accounts: what can be priced as a sum is added up by the store, the rest is read.
func (r *run) share(ctx context.Context, s *share) (*ratedShare, error) {
	plans, err := r.book.Plans(ctx, s.accounts)
	if err != nil {
		return nil, fmt.Errorf("read the price book of %d accounts: %w", len(s.accounts), err)
	}
	g := r.rating(plans, rater.NewFold())
	left, err := g.sums(ctx, s)
	if err != nil {
		return nil, err
	}
	for _, part := range left.parts(s.accounts) {
		if err := g.each(ctx, part, left); err != nil {
			return nil, err
		}
	}
	if err := g.takeLevels(ctx, s); err != nil {
		return nil, err
	}
	if err := g.takeAside(ctx); err != nil {
		return nil, err
	}
	slices.SortFunc(g.out.rows, func(a, b Row) int {
		return cmp.Or(strings.Compare(a.Account, b.Account), strings.Compare(a.Product, b.Product), strings.Compare(a.Currency, b.Currency))
	})
	return &g.out, nil
}

// each rates the usage of neighbouring accounts that is left, an activity at a time.
func (g *rating) each(ctx context.Context, accounts []string, left *left) error {
	h := g.h
	h.Products = left.products()
	if g.whole {
		h.From, h.Extent.First = 1, 0
	}
	g.begun = false
	n, ofAccount, last, skip := int64(0), []string(nil), "", false
	err := g.source.History(ctx, h, accounts[0], accounts[len(accounts)-1], func(a *sink.Stored) error {
		e := &a.Event
		if !g.begun || e.Account != g.account {
			if err := g.begin(e.Account); err != nil {
				return err
			}
			ofAccount, last, skip = left.of[e.Account], "", !left.has(left.of[e.Account], "")
		}
		if e.Product != last {
			last, skip = e.Product, !left.has(ofAccount, e.Product)
		}
		if skip {
			return nil
		}
		if n++; n == reportEvery && !g.whole {
			g.report(n)
			n = 0
		}
		return tooMuch(g.add(a))
	})
	if err != nil {
		return err
	}
	if !g.whole { // then they were reported as they were put aside
		g.report(n)
	}
	return g.finish()
}

// add takes one activity, in log order of its account.
func (g *rating) add(a *sink.Stored) error {
	e := &a.Event
	if g.others[e.Product] {
		return nil
	}
	inside := g.inside(e.Time)
	if a.Kind != activity.KindUsage {
		if e.Source == rater.CauseLevel && e.ID != "" {
			if g.wantsEarlier() {
				g.putAside(e.Product, true)
				return nil
			}
			if err := g.began(a, inside); err != nil {
				return err
			}
		}
		if g.earlier(e.Time) {
			return nil
		}
		return g.adjusted(&adjustment{e.Product, a.Currency, 1, a.Charge}, inside)
	}
	// Of late usage, too: what its lines come to together does not depend on their invoices.
	folded, reason := g.fold.Add(e, rater.Invoiced{Exchanges: rater.Exchanges{
		RateID: a.RateID, Currency: cmp.Or(a.RateCurrency, a.Currency), Prices: a.RateExchange, Amount: a.AmountExchange,
	}})
	if r := folded.Rate; r != nil {
		g.capacity = g.capacity || r.Model == catalog.ModelCapacity
		if g.tiers != allThere && !folded.Pool.IsZero() && (r.Pool.OverAccounts() || r.Outer != nil && r.Outer.Pool.OverAccounts()) {
			if g.tiers == putAside {
				g.putAside(e.Product, false)
				return nil
			}
			if inside {
				g.out.shared++
			}
		}
	}
	if folded.Rate != nil && folded.Pool.IsZero() && price.CarriesLevel(folded.Rate) && g.wantsEarlier() {
		g.putAside(e.Product, true)
		return nil
	}
	if err := g.later(a, &folded); err != nil || !inside {
		return err
	}
	row := g.row(e.Product, a.Currency)
	row.Events++
	var err error
	if row.Before, err = row.Before.Add(a.Charge); err != nil {
		return err
	}
	if reason != "" {
		return g.unrated(a, row, reason)
	}
	return row.charged(&folded)
}

// began has a line begin with the level of the period before, as it did when that was sealed.
func (g *rating) began(a *sink.Stored, inside bool) error {
	folded, _ := g.fold.Begin(&a.Event, rater.Invoiced{}) // what the draft has no rate for has ended
	if !inside {
		return nil
	}
	return g.row(a.Event.Product, a.Currency).charged(&folded)
}

// later counts what usage changed in later periods, where their lines stand as their adjustments do.
func (g *rating) later(a *sink.Stored, folded *rater.Folded) (err error) {
	for _, l := range folded.Later {
		if folded.Others, err = folded.Others.Sub(l.Charge); err != nil {
			return err
		}
		if !g.inside(l.Start) {
			continue
		}
		row := g.row(a.Event.Product, a.Currency)
		if row.After, err = row.After.Add(l.Charge); err != nil {
			return err
		}
	}
	return nil
}

// charged adds what usage adds to the line and to the others of its family.
func (r *Row) charged(folded *rater.Folded) (err error) {
	if r.After, err = r.After.Add(folded.Charge); err == nil {
		r.After, err = r.After.Add(folded.Others)
	}
	return err
}

func (g *rating) inside(t int64) bool { return g.q.From <= t && t < g.q.To }

// begin goes on to the next account.
func (g *rating) begin(account string) error {
	if err := g.finish(); err != nil {
		return err
	}
	g.fold.Reset()
	if plan := g.plans[account]; plan != nil {
		g.fold.Use(plan)
	}
	g.begun, g.account, g.first, g.last = true, account, len(g.out.rows), len(g.out.rows)
	return nil
}

// finish is done with the account in work: what is put aside of it is not told here.
func (g *rating) finish() error {
	for product, part := range g.own {
		if !g.others[product] {
			if err := g.out.add(part); err != nil {
				return err
			}
		}
	}
	if len(g.others) > 0 {
		rows := slices.DeleteFunc(g.out.rows[g.first:], func(r Row) bool { return g.others[r.Product] })
		g.out.rows = g.out.rows[:g.first+len(rows)]
		for product := range g.others {
			g.aside = append(g.aside, aside{g.account, product, g.levels[product]})
		}
	}
	clear(g.own)
	clear(g.others)
	clear(g.levels)
	return nil
}

// putAside leaves what the account in work uses of the product to be rated later, from its first usage on where levels are carried over.
func (g *rating) putAside(product string, levels bool) {
	g.others[product], g.levels[product] = true, levels
}

// ofProduct is what of the account in work stands beside its rows.
func (g *rating) ofProduct(product string) *ratedShare {
	part := g.own[product]
	if part == nil {
		made := newRatedShare()
		part = &made
		g.own[product] = part
	}
	return part
}

// row finds the row of the product among those of the account.
func (g *rating) row(product, currency string) *Row {
	is := func(r *Row) bool { return r.Product == product && r.Currency == currency }
	if g.last < len(g.out.rows) && is(&g.out.rows[g.last]) {
		return &g.out.rows[g.last]
	}
	for g.last = g.first; g.last < len(g.out.rows); g.last++ {
		if r := &g.out.rows[g.last]; is(r) {
			return r
		}
	}
	g.out.rows = append(g.out.rows, Row{Account: g.account, Product: product, Currency: currency})
	return &g.out.rows[g.last]
}

// adjustment is one or some, of the account in work.
type adjustment struct {
	product, currency string
	n                 int64
	charge            money.Decimal
}

// adjusted takes adjustments, which stand where their billing period begins.
func (g *rating) adjusted(a *adjustment, inside bool) (err error) {
	if inside {
		row := g.row(a.product, a.currency)
		row.Before, err = row.Before.Add(a.charge)
		return err
	}
	all := g.ofProduct(a.product).apart
	apart := all[a.currency]
	if apart == nil {
		apart = &Apart{Currency: a.currency}
		all[a.currency] = apart
	}
	apart.Adjustments += a.n
	apart.Amount, err = apart.Amount.Add(a.charge)
	return err
}

func (g *rating) unrated(a *sink.Stored, row *Row, reason string) (err error) {
	row.Unrated++
	if row.UnratedBefore, err = row.UnratedBefore.Add(a.Charge); err != nil {
		return err
	}
	key := unratedKey{reason, a.Event.Product, a.Currency}
	all := g.ofProduct(a.Event.Product).unrated
	sum := all[key]
	if sum == nil {
		sum = &unratedSum{}
		all[key] = sum
	}
	sum.events++
	sum.before, err = sum.before.Add(a.Charge)
	return err
}
