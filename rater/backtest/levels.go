package backtest

import (
	"context"
	"slices"

	"github.com/tollstream/tollstream/rater"
)

// A level goes on from period to period, so what a line of the first period asked for begins with depends on all usage before it. As soon as some
// usage of a product turns out to carry a level, what the account used of it is put aside; then it is read from the first activity on, and what
// lies before the time asked for is rated like the rest, but not counted. Late usage of a period that was sealed goes on here, too: the store does not
// tell it from other usage.

// wantsEarlier says whether usage that carries a level is to be put aside.
func (g *rating) wantsEarlier() bool { return g.tiers == putAside && !g.whole }

// earlier says of something at the start of a billing period whether that is over before the time asked for, so that only its level counts.
func (g *rating) earlier(start int64) bool {
	plan := g.plans[g.account]
	if !g.whole || plan == nil {
		return false
	}
	_, period := plan.Billing(start)
	return period.End <= g.q.From
}

// takeLevels rates what was put aside for its levels, and adds it to the share.
func (g *rating) takeLevels(ctx context.Context, s *share) error {
	l := &left{of: map[string][]string{}}
	for _, a := range g.aside {
		if a.levels {
			l.of[a.account] = append(l.of[a.account], a.product)
		}
	}
	if len(l.of) == 0 {
		return nil
	}
	g.aside = slices.DeleteFunc(g.aside, func(a aside) bool { return a.levels })
	x := g.run.rating(g.plans, rater.NewFold())
	x.whole = true
	for _, part := range l.parts(s.accounts) {
		if err := x.each(ctx, part, l); err != nil {
			return err
		}
	}
	if err := x.takeAside(ctx); err != nil {
		return err
	}
	return g.out.add(&x.out)
}
