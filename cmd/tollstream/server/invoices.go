package server

import (
	"context"
	"fmt"
	"sync"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/invoicer"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
)

// newDesk assembles what answers questions about current invoices.
func (p *process) newDesk() *invoicer.Desk {
	return &invoicer.Desk{
		Definitions: p.definitions, Live: liveInvoices{p}, Durable: durableInvoices{p}, Tree: p.catalog, Pools: p.rater, Values: p.rater, Daily: newPace(p.reports, p.Now),
		History: charges{p.reports.Reports}, Now: p.Now,
		Fallback: func(err error) { p.Log.Debug("an invoice is read from PostgreSQL", "reason", err) },
	}
}

// partitionsOf lists the partitions that an invoice of the billed account may have lines on. What is remembered is dropped when
// definitions change, and serves while PostgreSQL is away.
func (p *process) partitionsOf(ctx context.Context, billed string) ([]int32, error) {
	return p.placed.get(ctx, billed, func(ctx context.Context) ([]int32, error) { return p.readPartitionsOf(ctx, billed) })
}

func (p *process) readPartitionsOf(ctx context.Context, billed string) ([]int32, error) {
	keys, err := p.catalog.RoutingKeysBilledTo(ctx, billed)
	if err != nil {
		return nil, err
	}
	var partitions []int32
	seen := map[int32]struct{}{}
	for _, k := range keys {
		n := usage.PartitionOf(k, p.partitions)
		if _, ok := seen[n]; !ok {
			seen[n] = struct{}{}
			partitions = append(partitions, n)
		}
	}
	return partitions, nil
}

// liveInvoices reads the live view.
type liveInvoices struct{ p *process }

// Read implements invoicer.Reader.
func (r liveInvoices) Read(ctx context.Context, ref invoicer.Ref) (invoicer.View, error) {
	partitions, err := r.p.partitionsOf(ctx, ref.Billed)
	if err != nil {
		return invoicer.View{}, err
	}
	lines, through, ok, err := r.p.liveView.Invoice(ctx, ref.ID, partitions)
	if err != nil {
		return invoicer.View{}, err
	}
	if !ok {
		return invoicer.View{}, invoicer.ErrNotLive
	}
	return r.p.view(ctx, ref, lines, through)
}

// durableInvoices reads PostgreSQL.
type durableInvoices struct{ p *process }

// Read implements invoicer.Reader.
func (r durableInvoices) Read(ctx context.Context, ref invoicer.Ref) (invoicer.View, error) {
	partitions, err := r.p.partitionsOf(ctx, ref.Billed)
	if err != nil {
		return invoicer.View{}, err
	}
	through, err := r.p.rater.RatedThrough(ctx, partitions)
	if err != nil {
		return invoicer.View{}, err
	}
	lines, err := r.p.rater.InvoiceLines(ctx, []activity.ID{ref.ID})
	if err != nil {
		return invoicer.View{}, err
	}
	return r.p.view(ctx, ref, lines, through)
}

// view completes an invoice's lines. The version sums what each partition has last changed: a family's lines stand on one
// partition, that of its account's routing key, so the highest version by account is a lower bound that only grows.
func (p *process) view(ctx context.Context, ref invoicer.Ref, lines []rater.LineState, through int64) (invoicer.View, error) {
	v := invoicer.View{Lines: lines, RatedThrough: through}
	newest := map[string]int64{}
	for i := range lines {
		newest[lines[i].Account] = max(newest[lines[i].Account], lines[i].Version)
	}
	for _, n := range newest {
		v.Version += n
	}
	seals, err := p.seals.get(ctx, ref.Billed, func(ctx context.Context) (map[int32][]rater.SealPoint, error) {
		return p.rater.SealsOf(ctx, ref.Billed)
	})
	if err != nil {
		return invoicer.View{}, err
	}
	sealed := 0
	for _, points := range seals {
		if n := len(points); n > 0 && points[n-1].Through >= ref.Period.End {
			sealed++
		}
	}
	if sealed > 0 {
		partitions, err := p.partitionsOf(ctx, ref.Billed)
		if err != nil {
			return invoicer.View{}, err
		}
		v.Sealed = sealed >= len(partitions)
	}
	return v, nil
}

// watchers share one subscription of the live view between all that watch invoices in this process.
type watchers struct {
	mu  sync.Mutex
	all map[string]map[chan struct{}]struct{} // by billed account
}

var _ api.Watcher = (*watchers)(nil)

// run hands changes on until ctx ends.
func (w *watchers) run(ctx context.Context, p *process) error {
	changes, stop := p.liveView.Watch(ctx)
	defer stop()
	for c := range changes {
		w.mu.Lock()
		for billed, set := range w.all {
			if !c.Gap && billed != c.Billed {
				continue
			}
			for ch := range set {
				select {
				case ch <- struct{}{}:
				default: // it will read everything anyway
				}
			}
		}
		w.mu.Unlock()
	}
	return ctx.Err()
}

// Watch implements api.Watcher.
func (w *watchers) Watch(ctx context.Context, billed string) (<-chan struct{}, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("watch %s: %w", billed, err)
	}
	ch := make(chan struct{}, 1)
	w.mu.Lock()
	if w.all[billed] == nil {
		w.all[billed] = map[chan struct{}]struct{}{}
	}
	w.all[billed][ch] = struct{}{}
	w.mu.Unlock()
	context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.all[billed], ch)
		if len(w.all[billed]) == 0 {
			delete(w.all, billed)
		}
		close(ch)
	})
	return ch, nil
}
