package server

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/backtest"
	"github.com/tollstream/tollstream/rater/sink"
)

// keptBacktests is how many the process remembers, results included.
const keptBacktests = 4

// backtests runs one backtest at a time. They live in the memory of the process.
type backtests struct {
	p    *process
	ctx  context.Context //nolint:containedctx // they end with the process, not with the request
	wait sync.WaitGroup

	mu   sync.Mutex
	jobs []*backtestJob // oldest first
}

var _ api.Backtests = (*backtests)(nil)

type backtestJob struct {
	stop        context.CancelFunc
	done, total atomic.Int64

	// under backtests.mu
	about api.Backtest
	rows  []backtest.Row
}

func (p *process) newBacktests(ctx context.Context) *backtests {
	own, cancel := context.WithCancel(ctx)
	b := &backtests{p: p, ctx: own}
	p.onStop(func() { cancel(); b.wait.Wait() })
	return b
}

// StartBacktest implements api.Backtests.
func (b *backtests) StartBacktest(ctx context.Context, q api.BacktestQuery) (*api.Backtest, error) {
	draft, err := catalogDesk{b.p}.Draft(ctx, q.Draft)
	if err != nil {
		return nil, err
	}
	seq := draft.Seq() - 1
	snapshot, err := b.p.definitions.Snapshot(ctx, seq)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", api.ErrUnavailable, err)
	}
	book, err := backtest.NewOverlay(b.p.definitions, snapshot, draft)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.jobs); n > 0 && b.jobs[n-1].about.State == api.BacktestRunning {
		return nil, fmt.Errorf("%w: the backtest %s is running; wait for it or stop it (DELETE /v1/backtests/%s)", api.ErrConflict, b.jobs[n-1].about.ID, b.jobs[n-1].about.ID)
	}
	run, stop := context.WithCancel(b.ctx)
	name := random()
	job := &backtestJob{stop: stop, about: api.Backtest{
		ID: hex.EncodeToString(name[:8]), State: api.BacktestRunning, StartedAt: b.p.Now().UTC(), Account: q.Account, From: q.From, To: q.To,
		Seq: seq, Changes: draft.Changes(),
	}}
	if b.jobs = append(b.jobs, job); len(b.jobs) > keptBacktests {
		b.jobs = slices.Delete(b.jobs, 0, 1)
	}
	b.wait.Go(func() {
		defer stop()
		query := backtest.Query{Account: q.Account, From: instant(q.From), To: instant(q.To)}
		result, err := backtest.Run(run, b.p.reports.History, book, query, backtest.DefaultLimits(), func(done, of int64) {
			job.done.Store(done)
			job.total.Store(of)
		})
		b.end(job, result, err)
	})
	about := job.about
	return &about, nil
}

// end notes how a backtest came out.
func (b *backtests) end(job *backtestJob, result *backtest.Result, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	ended := b.p.Now().UTC()
	job.about.EndedAt = &ended
	if err == nil {
		job.about.Result, err = describeResult(result)
	}
	switch {
	case err == nil:
		job.about.State, job.rows = api.BacktestDone, result.Rows
		job.done.Store(result.Activities)
		job.total.Store(result.Activities)
	case errors.Is(err, context.Canceled):
		job.about.State = api.BacktestStopped
	case errors.Is(err, sink.ErrQuery), errors.Is(err, backtest.ErrTooMuch):
		job.about.State, job.about.Error = api.BacktestFailed, err.Error()
	default:
		job.about.State, job.about.Error = api.BacktestFailed, "a store did not answer; the server's log has the reason. Start it again"
		b.p.Log.Error("backtest failed", slog.String("id", job.about.ID), slog.Any("error", err))
	}
}

func (b *backtests) find(id string) (*backtestJob, error) {
	for _, job := range b.jobs {
		if job.about.ID == id {
			return job, nil
		}
	}
	return nil, fmt.Errorf("backtest %q: %w; the last %d are remembered, by the process that ran them, until it ends", id, api.ErrNotFound, keptBacktests)
}

func (j *backtestJob) describe() api.Backtest {
	out := j.about
	out.Activities, out.Total = j.done.Load(), j.total.Load()
	return out
}

// Backtests implements api.Backtests.
func (b *backtests) Backtests(context.Context) ([]api.Backtest, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []api.Backtest
	for _, job := range slices.Backward(b.jobs) {
		out = append(out, job.describe())
	}
	return out, nil
}

// Backtest implements api.Backtests.
func (b *backtests) Backtest(_ context.Context, id string) (*api.Backtest, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	job, err := b.find(id)
	if err != nil {
		return nil, err
	}
	out := job.describe()
	return &out, nil
}

// StopBacktest implements api.Backtests.
func (b *backtests) StopBacktest(ctx context.Context, id string) (*api.Backtest, error) {
	b.mu.Lock()
	job, err := b.find(id)
	if err == nil {
		job.stop()
	}
	b.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return b.Backtest(ctx, id)
}

// BacktestRows implements api.Backtests. The cursor is a row's number.
func (b *backtests) BacktestRows(_ context.Context, id, cursor string, limit int) (out []api.BacktestRow, next string, err error) {
	b.mu.Lock()
	job, err := b.find(id)
	var rows []backtest.Row
	state := ""
	if err == nil {
		rows, state = job.rows, job.about.State // what is done never changes
	}
	b.mu.Unlock()
	if err != nil {
		return nil, "", err
	}
	if state != api.BacktestDone {
		return nil, "", fmt.Errorf("%w: it is %s: there are rows when it is done", api.ErrConflict, state)
	}
	from := 0
	if cursor != "" {
		if from, err = strconv.Atoi(cursor); err != nil || from < 0 || from > len(rows) {
			return nil, "", fmt.Errorf("%w: the cursor is not one that this list returned; start again without it", api.ErrInvalid)
		}
	}
	to := min(len(rows), from+limit)
	for i := from; i < to; i++ {
		row, err := describeRow(&rows[i])
		if err != nil {
			return nil, "", err
		}
		out = append(out, row)
	}
	if to < len(rows) {
		next = strconv.Itoa(to)
	}
	return out, next, nil
}

func describeRow(r *backtest.Row) (api.BacktestRow, error) {
	difference, err := r.Difference()
	if err != nil {
		return api.BacktestRow{}, fmt.Errorf("%w: %w", backtest.ErrTooMuch, err)
	}
	return api.BacktestRow{
		Account: r.Account, Product: r.Product, Currency: r.Currency, Events: r.Events,
		Before: money.Fixed{Decimal: r.Before}, After: money.Fixed{Decimal: r.After}, Difference: money.Fixed{Decimal: difference},
		Percent: percentOf(difference, r.Before), Unrated: r.Unrated, UnratedBefore: money.Fixed{Decimal: r.UnratedBefore},
	}, nil
}

// percentOf gives a hundred times part by whole with two decimals, rounded half away from zero; nil: the whole is nothing. More of a
// negative whole is more than nothing.
func percentOf(part, whole money.Decimal) *money.Decimal {
	if whole.IsZero() {
		return nil
	}
	p, okPart := new(big.Rat).SetString(part.String())
	w, okWhole := new(big.Rat).SetString(whole.String())
	if !okPart || !okWhole {
		return nil
	}
	share := new(big.Rat).Quo(p, w.Abs(w))
	d, err := money.Parse(share.Mul(share, big.NewRat(100, 1)).FloatString(2))
	if err != nil {
		return nil // more than any percentage says
	}
	return &d
}

func describeResult(r *backtest.Result) (*api.BacktestResult, error) {
	out := &api.BacktestResult{
		Accounts: r.Accounts, Rows: len(r.Rows), LeftOut: r.LeftOut, Unrated: []api.BacktestUnrated{}, Notes: notesOf(r),
		Totals: []api.BacktestRow{}, Products: []api.BacktestRow{}, Largest: []api.BacktestRow{},
	}
	for _, list := range []struct {
		of []backtest.Row
		to *[]api.BacktestRow
	}{{r.Totals, &out.Totals}, {r.Products, &out.Products}, {r.Top, &out.Largest}} {
		for i := range list.of {
			row, err := describeRow(&list.of[i])
			if err != nil {
				return nil, err
			}
			*list.to = append(*list.to, row)
		}
	}
	for _, u := range r.Unrated {
		out.Unrated = append(out.Unrated, api.BacktestUnrated{Reason: u.Reason, Product: u.Product, Currency: u.Currency, Events: u.Events, Before: money.Fixed{Decimal: u.Before}})
	}
	return out, nil
}

// notesOf says what to know to read the figures.
func notesOf(r *backtest.Result) []string {
	notes := []string{"Usage only: one-time and recurring charges, minimums, discounts and taxes are the close's."}
	if r.Cut {
		notes = append(notes, "The time asked for cuts billing periods in two. They were rated whole, so that tiers stand where they stood; what is reported is the usage inside.")
	}
	for _, a := range r.Apart {
		notes = append(notes, fmt.Sprintf("%d adjustments of %s %s stand at the beginning of periods that are cut, and are not in before: ask for whole periods to have them compared.",
			a.Adjustments, a.Amount, a.Currency))
	}
	if r.Shared > 0 {
		notes = append(notes, fmt.Sprintf("%d events have tiers that several accounts share (pool: package or invoice). Not all of these accounts were asked for, or they are more than %d: each was rated by itself, as if the tiers were its own, and their figures after are not those of the pool.", r.Shared, backtest.DefaultLimits().Together))
	}
	events := int64(0)
	for _, u := range r.Unrated {
		events += u.Events
	}
	if events > 0 {
		notes = append(notes, fmt.Sprintf("%d events cannot be rated under the draft: what was charged for them is in before, and nothing of them in after.", events))
	}
	if r.LeftOut > 0 {
		notes = append(notes, fmt.Sprintf("%d rows by account and product are left out behind the first %d; the sums count them. Ask for one account to see its own.", r.LeftOut, len(r.Rows)))
	}
	return notes
}
