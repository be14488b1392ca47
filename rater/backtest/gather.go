package backtest

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/tollstream/tollstream/ledger/money"
)

// gathered puts shares together, in the order of the accounts.
type gathered struct {
	limits   Limits
	out      Result
	products map[unratedKey]*Row
	totals   map[string]*Row
	besides  ratedShare // what stands beside the rows
	account  []Row      // of the account in work, by currency
}

func newGathered(limits Limits) *gathered {
	return &gathered{
		limits: limits, products: map[unratedKey]*Row{}, totals: map[string]*Row{}, besides: newRatedShare(),
	}
}

func (g *gathered) take(s *ratedShare) error {
	for i := range s.rows {
		if err := tooMuch(g.row(&s.rows[i])); err != nil {
			return err
		}
	}
	s.rows = nil
	return g.besides.add(s)
}

// row counts a row of the result in everything that it is part of.
func (g *gathered) row(r *Row) error {
	if len(g.out.Rows) < g.limits.Rows {
		g.out.Rows = append(g.out.Rows, *r)
	} else {
		g.out.LeftOut++
	}
	key := unratedKey{product: r.Product, currency: r.Currency}
	if g.products[key] == nil {
		g.products[key] = &Row{Product: r.Product, Currency: r.Currency}
	}
	if g.totals[r.Currency] == nil {
		g.totals[r.Currency] = &Row{Currency: r.Currency}
	}
	if err := g.products[key].add(&r.Sum); err != nil {
		return err
	}
	if err := g.totals[r.Currency].add(&r.Sum); err != nil {
		return err
	}
	if len(g.account) > 0 && g.account[0].Account != r.Account {
		if err := g.rank(); err != nil {
			return err
		}
	}
	at := slices.IndexFunc(g.account, func(a Row) bool { return a.Currency == r.Currency })
	if at < 0 {
		at = len(g.account)
		g.account = append(g.account, Row{Account: r.Account, Currency: r.Currency})
	}
	return g.account[at].add(&r.Sum)
}

// rank keeps the account that is done if it is among those whose revenue changes most.
func (g *gathered) rank() error {
	for _, r := range g.account {
		change, err := r.Difference()
		if err != nil {
			return err
		}
		if change.IsZero() {
			continue
		}
		at, _ := slices.BinarySearchFunc(g.out.Top, abs(change), func(other Row, change money.Decimal) int {
			theirs, _ := other.Difference() // it was computed before
			if abs(theirs).Cmp(change) < 0 {
				return 1
			}
			return -1 // equal ones stay in the order of their accounts
		})
		if at < g.limits.Top {
			g.out.Top = slices.Insert(g.out.Top, at, r)
			g.out.Top = g.out.Top[:min(len(g.out.Top), g.limits.Top)]
		}
	}
	g.account = g.account[:0]
	return nil
}

func abs(d money.Decimal) money.Decimal {
	if d.Sign() < 0 {
		return d.Neg()
	}
	return d
}

func (g *gathered) result() (*Result, error) {
	if err := tooMuch(g.rank()); err != nil {
		return nil, err
	}
	for _, r := range g.products {
		g.out.Products = append(g.out.Products, *r)
	}
	slices.SortFunc(g.out.Products, func(a, b Row) int {
		return cmp.Or(strings.Compare(a.Product, b.Product), strings.Compare(a.Currency, b.Currency))
	})
	for _, currency := range slices.Sorted(maps.Keys(g.totals)) {
		g.out.Totals = append(g.out.Totals, *g.totals[currency])
	}
	g.out.Shared = g.besides.shared
	for key, sum := range g.besides.unrated {
		g.out.Unrated = append(g.out.Unrated, Unrated{key.reason, key.product, key.currency, sum.events, sum.before})
	}
	slices.SortFunc(g.out.Unrated, func(a, b Unrated) int {
		return cmp.Or(strings.Compare(a.Reason, b.Reason), strings.Compare(a.Product, b.Product), strings.Compare(a.Currency, b.Currency))
	})
	for _, currency := range slices.Sorted(maps.Keys(g.besides.apart)) {
		g.out.Apart = append(g.out.Apart, *g.besides.apart[currency])
	}
	return &g.out, nil
}
