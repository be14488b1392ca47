package backtest

import (
	"context"
	"slices"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price"
	"github.com/tollstream/tollstream/rater/sink"
)

// Most price books price what a period's usage adds up to, and a store adds up several times as fast as it can hand out what it adds up. So
// each share is first asked for in sums. An account's usage of a product is taken from these where rater.Fold.AddTogether takes every one of
// them and all lies inside the time asked for; else it is left to be read. No line, and no pool that is priced in sums, has two products.

// left is the usage of a share that is to be read activity by activity.
type left struct {
	all bool                // of everybody
	of  map[string][]string // else, by account: the products
}

// has says whether a product is left; "": any.
func (l *left) has(ofAccount []string, product string) bool {
	return l.all || len(ofAccount) > 0 && (product == "" || slices.Contains(ofAccount, product))
}

// mostProducts bounds a list of products in a question.
const mostProducts = 100

// products are all that are left of any account; none: no limit to them.
func (l *left) products() (list []string) {
	known := map[string]bool{}
	for _, of := range l.of {
		for _, product := range of {
			if !known[product] {
				known[product], list = true, append(list, product)
			}
		}
	}
	if l.all || len(list) > mostProducts {
		return nil
	}
	slices.Sort(list)
	return list
}

// bridge is how many accounts of which nothing is left stand between two of a part at most, since a question costs more than they do.
const bridge = 32

// parts are the accounts of which something is left, as parts of the list that are worth a question each.
func (l *left) parts(accounts []string) (parts [][]string) {
	if l.all {
		return [][]string{accounts}
	}
	first, last := -1, -1
	for i, account := range accounts {
		switch {
		case len(l.of[account]) == 0:
			continue
		case first < 0:
			first = i
		case i-last > bridge:
			parts, first = append(parts, accounts[first:last+1]), i
		}
		last = i
	}
	if first >= 0 {
		parts = append(parts, accounts[first:last+1])
	}
	return parts
}

// mostNames bounds the attributes by which usage is added up apart.
const mostNames = 8

// names are the attributes by which any product of the price book groups its lines.
func names(plans map[string]*catalog.Plan) (list []string) {
	for _, plan := range plans { // they share the products
		for _, p := range plan.Snapshot().Products() {
			for _, name := range p.GroupBy {
				if !slices.Contains(list, name) {
					list = append(list, name)
				}
			}
		}
		break
	}
	slices.Sort(list)
	return list
}

// worthSums says whether sums have saved enough reading so far that it pays to ask for them again.
func (r *run) worthSums() bool {
	return r.read.Load() <= 3*r.summed.Load()+int64(r.tries)
}

// sums rates what can be rated in sums and says what is left.
func (g *rating) sums(ctx context.Context, s *share) (*left, error) {
	by := names(g.plans)
	if len(by) > mostNames || !g.worthSums() {
		return &left{all: true}, nil
	}
	l := &left{of: map[string][]string{}}
	var sums []sink.Summed // of one account and product
	take := func() error {
		if len(sums) == 0 {
			return nil
		}
		ok, err := g.together(sums)
		n := int64(0)
		for i := range sums {
			n += sums[i].Activities
		}
		if ok {
			g.summed.Add(n)
			g.report(n)
		} else {
			g.read.Add(n)
			l.of[g.account] = append(l.of[g.account], sums[0].Product)
		}
		sums = sums[:0]
		return tooMuch(err)
	}
	err := g.source.Sums(ctx, g.h, s.accounts[0], s.accounts[len(s.accounts)-1], by, func(sum *sink.Summed) error {
		if len(sums) > 0 && (sums[0].Account != sum.Account || sums[0].Product != sum.Product) {
			if err := take(); err != nil {
				return err
			}
		}
		if !g.begun || g.account != sum.Account {
			if err := g.begin(sum.Account); err != nil {
				return err
			}
		}
		kept := *sum
		kept.Attributes = slices.Clone(sum.Attributes)
		sums = append(sums, kept)
		return nil
	})
	if err == nil {
		err = take()
	}
	if err == nil {
		err = g.finish()
	}
	return l, err
}

// mostActivities bounds how many quantities are in a sum: none is above money.Limit, so their sum is within bounds.
const mostActivities = 100_000_000_000

// together rates what an account used of a product, if that can be done in sums.
func (g *rating) together(sums []sink.Summed) (ok bool, err error) {
	of := price.Together{}
	for i := range sums {
		s := &sums[i]
		known := s.Kind == activity.KindUsage || s.Kind == activity.KindAdjustment
		if !known || !g.inside(s.First) || !g.inside(s.Last) || s.Currency != sums[0].Currency {
			return false, nil
		}
		if of.Among += s.Activities; of.Among > mostActivities {
			return false, nil
		}
		if _, err := s.Highest.Mul(money.FromInt(s.Activities)); err != nil {
			return false, nil //nolint:nilerr // then the sum may be wrong, and reading tells whether it is
		}
		if of.Magnitude, err = of.Magnitude.Add(s.Magnitude); err != nil {
			return false, nil //nolint:nilerr // then its events are looked at
		}
	}
	used, row := false, Row{Account: g.account, Product: sums[0].Product, Currency: sums[0].Currency}
	for i := range sums {
		s := &sums[i]
		if row.Before, err = row.Before.Add(s.Charge); err != nil {
			return false, err
		}
		if s.Kind != activity.KindUsage {
			continue
		}
		used = true
		of.Events, of.Lowest = s.Activities, s.Lowest
		e := usage.Event{Account: s.Account, Product: s.Product, Package: s.Package, Attributes: s.Attributes, Time: s.First, Quantity: s.Quantity}
		folded, ok := g.fold.AddTogether(&e, s.Last, of)
		if !ok {
			return false, nil
		}
		row.Events += s.Activities
		if err := row.charged(&folded); err != nil {
			return false, err
		}
	}
	if !used { // its lines may have begun with a level
		return false, nil
	}
	g.out.rows = append(g.out.rows, row)
	return true, nil
}
