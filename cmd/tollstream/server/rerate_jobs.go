package server

import (
	"context"
	"fmt"
	"strconv"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/rerate"
	reratepg "github.com/tollstream/tollstream/rater/rerate/pg"
	"github.com/tollstream/tollstream/rater/sink"
)

var _ api.RerateJobs = rerateDesk{}

// author names who makes a request, for those who ask later.
func author(ctx context.Context) string {
	p := api.PrincipalOf(ctx)
	switch {
	case p == nil:
		return ""
	case p.Name != "":
		return p.Name
	}
	return p.KeyID
}

func (d rerateDesk) store() *reratepg.Store { return reratepg.New(d.p.stores.pool) }

// Reratings implements api.RerateJobs. The cursor is the last job's number.
func (d rerateDesk) Reratings(ctx context.Context, q api.RerateQuery) ([]api.Rerating, string, error) {
	below := int64(0)
	if q.Cursor != "" {
		var err error
		if below, err = strconv.ParseInt(q.Cursor, 10, 64); err != nil || below < 1 {
			return nil, "", fmt.Errorf("%w: cursor %q is not one that this list returned; start again without it", api.ErrInvalid, q.Cursor)
		}
	}
	list, err := d.store().List(ctx, below, q.State == api.RerateRunning, q.Limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", api.ErrUnavailable, err)
	}
	next := ""
	if len(list) > q.Limit {
		list = list[:q.Limit]
		next = strconv.FormatInt(list[q.Limit-1].Job.Seq, 10)
	}
	out := make([]api.Rerating, len(list))
	for i := range list {
		out[i] = *describeRerating(&list[i])
	}
	return out, next, nil
}

// known says whether there is a job.
func (d rerateDesk) known(ctx context.Context, id int64) error {
	_, err := d.Rerating(ctx, id)
	return err
}

// RerateLines implements api.RerateJobs.
func (d rerateDesk) RerateLines(ctx context.Context, id int64, q api.RerateLinesQuery) ([]api.RerateLine, string, error) {
	if err := d.known(ctx, id); err != nil {
		return nil, "", err
	}
	rows, next, err := d.p.reports.Adjusted(ctx, sink.AdjustedQuery{Seq: id, Account: q.Account, ByAccount: q.By == "account", Limit: q.Limit, After: q.Cursor})
	if err != nil {
		return nil, "", asked(err)
	}
	out := make([]api.RerateLine, len(rows))
	for i := range rows {
		r := &rows[i]
		before, err := r.Before()
		if err != nil {
			return nil, "", fmt.Errorf("line %s of account %s: %w", r.Line, r.Account, err)
		}
		out[i] = api.RerateLine{
			Account: r.Account, Billed: r.Billed, Product: r.Product, Lines: r.Lines, Currency: r.Currency,
			Before: money.Fixed{Decimal: before}, After: money.Fixed{Decimal: r.After}, Difference: money.Fixed{Decimal: r.Difference},
		}
		if !r.Line.IsZero() {
			out[i].Line, out[i].Period = r.Line.String(), instantAt(r.UsageStart)
		}
		if r.Package != "" {
			out[i].Package = &r.Package
		}
	}
	return out, next, nil
}

// RerateAccounts implements api.RerateJobs. The cursor is the last account.
func (d rerateDesk) RerateAccounts(ctx context.Context, id int64, after string, limit int) ([]api.RerateAccount, string, error) {
	if err := d.known(ctx, id); err != nil {
		return nil, "", err
	}
	list, err := d.store().JobAccounts(ctx, id, after, limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", api.ErrUnavailable, err)
	}
	next := ""
	if len(list) > limit {
		list = list[:limit]
		next = list[limit-1].Account
	}
	out := make([]api.RerateAccount, len(list))
	for i := range list {
		a := &list[i]
		out[i] = api.RerateAccount{
			Account: a.Account, State: accountStates[a.State], Product: a.Product, From: instantAt(a.From), Until: instantAt(a.Until), Partition: a.Partition,
			Lines: a.Lines, Changed: a.Changed, Message: a.Message,
		}
	}
	return out, next, nil
}

// accountStates are the states of an account's job in the words of the whole one's.
var accountStates = map[rerate.State]string{rerate.StateOpen: api.RerateRunning, rerate.StateDone: api.RerateDone, rerate.StateFailed: api.RerateFailed}
