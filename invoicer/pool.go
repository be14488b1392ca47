package invoicer

import (
	"context"
	"fmt"
	"slices"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price"
)

// Shared is what a line has in one pool.
type Shared struct {
	Pool    string        `json:"pool" enum:"account,package,invoice" doc:"who shares: one account's lines, all inside one package, or all that is billed together"`
	Words   string        `json:"words" doc:"whose tiers these are"`
	Charged money.Fixed   `json:"charged" doc:"to this line, for its own usage as it came; with what the others were charged it adds up to amount"`
	Used    money.Decimal `json:"used" doc:"by this line"`
	Of      money.Decimal `json:"of" doc:"by all lines; of capacities of all products"`
	Amount  money.Fixed   `json:"amount" doc:"of all lines: what their usage costs together"`
}

// wordsOf says who shares tiers.
func wordsOf(pool catalog.Pool, account, pkg, billed, product string) string {
	of := "usage of " + product
	if product == "" {
		of = "usage of all products of the capacity"
	}
	switch pool {
	case catalog.PoolAccount:
		return fmt.Sprintf("tiers are shared by all %s of account %s", of, account)
	case catalog.PoolPackage:
		return fmt.Sprintf("tiers are shared by all %s in package %s that account %s pays for", of, pkg, billed)
	case catalog.PoolInvoice:
		return fmt.Sprintf("tiers are shared by all %s that account %s pays for", of, billed)
	}
	return ""
}

// SharedUse is what all who share tiers have used, without an activity and with it.
type SharedUse struct {
	Pool   string   `json:"pool" enum:"account,package,invoice" doc:"who shares: one account's lines, all inside one package, or all that is billed together"`
	Words  string   `json:"words" doc:"whose tiers these are"`
	Before Standing `json:"before"`
	After  Standing `json:"after" doc:"what this costs more than before is the charge"`
}

// Standing is where usage stands in shared tiers.
type Standing struct {
	Used   money.Decimal `json:"used" doc:"by all who share, under the activity's rate and those that it goes on from; of a matrix at this price of it, of a capacity of this product"`
	Tier   string        `json:"tier,omitempty" doc:"that this has reached" example:"tier 2: above 100"`
	Amount money.Fixed   `json:"amount" doc:"what all that they have used costs"`
}

// shared tells what all had used who share the tiers of the activity's usage, before it and after it.
func (w *working) shared(before, after []price.Segment, c price.ChargeExplanation) (*SharedUse, error) {
	a, product, cell := w.of, w.of.Product, w.priced.Cell
	if w.pool.Model == catalog.ModelCapacity {
		product, cell = "", product
	}
	out := &SharedUse{Pool: string(w.pool.Pool), Words: wordsOf(w.pool.Pool, a.Account, a.Package, w.owed, product)}
	out.Before.Amount.Decimal, out.After.Amount.Decimal = c.Before, c.After
	at := slices.IndexFunc(after, func(s price.Segment) bool { return s.Rate.ID == w.priced.ID && s.Cell == cell })
	if at < 0 {
		return out, nil
	}
	var err error
	if out.Before.Used, out.Before.Tier, err = price.Standing(before, after[at].Rate, cell); err == nil {
		out.After.Used, out.After.Tier, err = price.Standing(after, after[at].Rate, cell)
	}
	return out, err
}

// sharedWords says whose the tiers are that price a quote, "": the line's own.
func sharedWords(pool catalog.Pool, q *Quote) string {
	if pool == catalog.PoolPackage && q.Package == nil {
		return ""
	}
	pkg := ""
	if q.Package != nil {
		pkg = *q.Package
	}
	return wordsOf(pool, q.Account, pkg, q.Billed, q.Product)
}

// shared tells of the pools that have charged to the line.
func (d *Desk) shared(ctx context.Context, plan *catalog.Plan, l *rater.LineState) ([]Shared, error) {
	segments, err := rater.DecodeSegments(l.Segments)
	if err != nil {
		return nil, fmt.Errorf("line %s: %w", l.Line, err)
	}
	var ids []activity.ID
	var out []Shared
	for i := range segments {
		s := &segments[i]
		if s.Pool.IsZero() {
			continue
		}
		at := slices.Index(ids, s.Pool)
		if at < 0 {
			at = len(ids)
			ids, out = append(ids, s.Pool), append(out, Shared{})
		}
		if out[at].Charged.Decimal, err = out[at].Charged.Add(s.Charged); err == nil {
			out[at].Used, err = out[at].Used.Add(s.State.Sum)
		}
		if err != nil {
			return nil, fmt.Errorf("line %s: %w", l.Line, err)
		}
	}
	if len(ids) == 0 || d.Pools == nil {
		return out, nil
	}
	pools, err := d.Pools.PoolsOf(ctx, ids)
	if err != nil {
		return nil, err
	}
	for i := range pools {
		q := &pools[i]
		x := &out[slices.Index(ids, q.ID)]
		x.Pool, x.Words, x.Amount.Decimal = string(q.Scope), wordsOf(q.Scope, l.Account, q.Of, q.Billed, q.Product), q.Amount
		parts, err := rater.DecodePool(q.Segments)
		if err != nil {
			return nil, fmt.Errorf("pool %s: %w", q.ID, err)
		}
		for j := range parts {
			if x.Of, err = x.Of.Add(parts[j].State.Sum); err != nil {
				return nil, fmt.Errorf("pool %s: %w", q.ID, err)
			}
		}
	}
	return out, nil
}

// loadValue looks up whether the event's value was counted on its line, where distinct values are.
func (t *Trial) loadValue(ctx context.Context, e *usage.Event) error {
	if !t.State {
		return nil
	}
	spot, reason := t.fold.Spot(e, rater.Invoiced{})
	if reason != "" || spot.Value == (rater.ValueKey{}) {
		return nil
	}
	t.fold.Know(rater.ValueState{ValueKey: spot.Value})
	if t.desk.Values == nil {
		return nil
	}
	found, err := t.desk.Values.ValuesOf(ctx, []rater.ValueKey{spot.Value})
	if err != nil {
		return fmt.Errorf("look a value up: %w", err)
	}
	for _, v := range found {
		t.fold.Know(v)
	}
	return nil
}

// loadPool puts the pool under what is to come in which the event's rate has its tiers.
func (t *Trial) loadPool(ctx context.Context, e *usage.Event) error {
	if !t.State || t.desk.Pools == nil {
		return nil
	}
	spot, reason := t.fold.Spot(e, rater.Invoiced{})
	if reason != "" || spot.Pool.IsZero() || t.fold.HasPool(spot.Pool) {
		return nil
	}
	stored, err := t.desk.Pools.PoolsOf(ctx, []activity.ID{spot.Pool})
	if err != nil {
		return err
	}
	account := func(via string) string {
		if via == "" {
			return e.Account
		}
		return via
	}
	for i := range stored {
		if err := t.fold.LoadPool(&stored[i], func(via string) (*catalog.Plan, error) {
			return t.planOf(ctx, account(via))
		}, func(via string, seq int64) (*catalog.Plan, error) {
			return t.desk.plan(ctx, seq, account(via))
		}); err != nil {
			return err
		}
	}
	return nil
}
