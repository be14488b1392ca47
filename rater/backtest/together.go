package backtest

import (
	"context"
	"slices"
	"sync"

	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/sink"
)

// Where a draft has several accounts share tiers, who pays how much depends on the order in which their usage came, and every one of them
// has to be there. They are all of one tree, and no such pool has two products. So what an account used of a product is put aside as soon as
// some of it falls into such a pool; then what the whole tree used of it is rated at once, in the order of the log.

// pooled names usage that is rated together.
type pooled struct{ root, product string }

// aside is usage of an account that is rated together with that of others.
type aside struct {
	account, product string
	levels           bool // it is not, but carries a level over from periods before
}

// tree is the usage of a product by the accounts of a tree, rated by whichever account comes to it first.
type tree struct {
	once sync.Once
	err  error
	of   map[string]*ratedShare // what is left to be taken, by account, under run.trees; nil: each account is rated by itself
}

// trees are those of a run.
type trees struct {
	mu sync.Mutex
	of map[pooled]*tree
}

// takeAside adds what was put aside to the share.
func (g *rating) takeAside(ctx context.Context) error {
	for _, a := range g.aside {
		chain := g.plans[a.account].Chain()
		out, err := g.amongTree(ctx, pooled{chain[len(chain)-1].ID, a.product}, a.account)
		if err == nil && out == nil {
			out, err = g.alone(ctx, a)
		}
		if err == nil {
			err = g.out.add(out)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// amongTree gives what the account's usage comes to among that of its tree; nil: it is to be rated by itself.
func (r *run) amongTree(ctx context.Context, of pooled, account string) (*ratedShare, error) {
	r.trees.mu.Lock()
	t := r.trees.of[of]
	if t == nil {
		t = &tree{}
		r.trees.of[of] = t
	}
	r.trees.mu.Unlock()
	t.once.Do(func() { t.of, t.err = r.rateTree(ctx, of) })
	if t.err != nil || t.of == nil {
		return nil, t.err
	}
	r.trees.mu.Lock()
	defer r.trees.mu.Unlock()
	out := t.of[account]
	delete(t.of, account)
	return out, nil
}

// rateTree rates what the accounts of a tree used of a product; nil: they are too many, or not all are asked for, or a capacity has other
// products besides.
func (r *run) rateTree(ctx context.Context, of pooled) (map[string]*ratedShare, error) {
	if r.most < 1 {
		return nil, nil
	}
	accounts, err := r.book.Tree(ctx, of.root, r.most)
	if err != nil || accounts == nil {
		return nil, err
	}
	plans, err := r.book.Plans(ctx, accounts)
	if err != nil {
		return nil, err
	}
	fold, ratings, h := rater.NewFold(), map[string]*rating{}, r.h
	for _, account := range accounts {
		plan := plans[account]
		if plan == nil {
			continue
		}
		if chain := plan.Chain(); chain[len(chain)-1].ID != of.root {
			continue // the draft has it elsewhere
		}
		fold.Use(plan)
		g := r.rating(plans, fold)
		g.account, g.begun, g.tiers = account, true, allThere
		ratings[account], h.Accounts = g, append(h.Accounts, account)
	}
	if len(h.Accounts) == 0 || len(h.Accounts) > 1 && r.q.Account != "" {
		return nil, nil
	}
	slices.Sort(h.Accounts)
	h.Products, h.InLogOrder = []string{of.product}, true
	capacity := false
	err = r.source.History(ctx, h, h.Accounts[0], h.Accounts[len(h.Accounts)-1], func(a *sink.Stored) error {
		g := ratings[a.Event.Account]
		err := g.add(a)
		capacity = capacity || g.capacity
		return tooMuch(err)
	})
	if err != nil || capacity {
		return nil, err
	}
	out := map[string]*ratedShare{}
	for account, g := range ratings {
		if err := g.finish(); err != nil {
			return nil, err
		}
		out[account] = &g.out
	}
	return out, nil
}

// alone rates usage that was put aside as if the account had its tiers for itself.
func (g *rating) alone(ctx context.Context, a aside) (*ratedShare, error) {
	x, h := g.rating(g.plans, rater.NewFold()), g.h
	x.tiers, h.Products = notAll, []string{a.product}
	err := x.begin(a.account)
	if err == nil {
		err = g.source.History(ctx, h, a.account, a.account, func(a *sink.Stored) error { return tooMuch(x.add(a)) })
	}
	if err == nil {
		err = x.finish()
	}
	return &x.out, err
}

// add puts one more part to the share.
func (s *ratedShare) add(o *ratedShare) (err error) {
	s.rows, s.shared = append(s.rows, o.rows...), s.shared+o.shared
	for key, sum := range o.unrated {
		mine := s.unrated[key]
		if mine == nil {
			mine = &unratedSum{}
			s.unrated[key] = mine
		}
		mine.events += sum.events
		if mine.before, err = mine.before.Add(sum.before); err != nil {
			return tooMuch(err)
		}
	}
	for currency, part := range o.apart {
		mine := s.apart[currency]
		if mine == nil {
			mine = &Apart{Currency: currency}
			s.apart[currency] = mine
		}
		mine.Adjustments += part.Adjustments
		if mine.Amount, err = mine.Amount.Add(part.Amount); err != nil {
			return tooMuch(err)
		}
	}
	return nil
}
