package ratertest

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
)

// The one product of Definitions, and what a unit of it costs.
const (
	Product   = "calls"
	UnitPrice = "0.01"
)

// Definitions are the same at every sequence number: one product at one price, and every account that anybody asks
// for, billed in USD, monthly.
type Definitions struct{ snapshot *catalog.Snapshot }

var _ rater.Definitions = (*Definitions)(nil)

// NewDefinitions compiles the product.
func NewDefinitions() (*Definitions, error) {
	empty, err := catalog.NewSnapshot(nil)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string]any{"id": Product, "rates": []any{
		map[string]any{"id": "product:" + Product, "model": "per_unit", "currency": "USD", "unit_price": UnitPrice},
	}})
	if err != nil {
		return nil, err
	}
	row := catalog.Row{Ref: catalog.Ref{Kind: catalog.KindProduct, ID: Product}, Seq: 1, Body: body}
	s, err := empty.With([]catalog.Row{row}, 1)
	if err != nil {
		return nil, err
	}
	return &Definitions{s}, nil
}

// Snapshot implements rater.Definitions.
func (d *Definitions) Snapshot(context.Context, int64) (*catalog.Snapshot, error) {
	return d.snapshot, nil
}

// Accounts implements rater.Definitions.
func (d *Definitions) Accounts(_ context.Context, _ int64, ids []string) (map[string]*catalog.Account, error) {
	out := map[string]*catalog.Account{}
	for _, id := range ids {
		body, err := json.Marshal(map[string]any{
			"id": id, "currency": "USD", "routing_key": id, "seller": "main",
			"billing": []any{map[string]any{"cycle": map[string]any{"every": "monthly"}}},
		})
		if err != nil {
			return nil, err
		}
		row := catalog.Row{Ref: catalog.Ref{Kind: catalog.KindAccount, ID: id}, Seq: 1, Body: body}
		if out[id], err = catalog.DecodeAccount(row, nil); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Live is the live view.
type Live struct {
	mu       sync.Mutex
	hook     func() error
	calls    int
	views    map[int32]*view
	caughtUp map[int32]bool
}

type view struct {
	head       rater.Head
	rebuilding bool
	lines      map[activity.ID]rater.LineState
}

var _ rater.Live = (*Live)(nil)

// NewLive returns an empty view.
func NewLive() *Live { return &Live{views: map[int32]*view{}, caughtUp: map[int32]bool{}} }

// Hook sets what is called before each write and may make it fail.
func (l *Live) Hook(h func() error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hook = h
}

// Flush forgets everything, as a Redis that lost its memory.
func (l *Live) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.views)
}

// Project implements rater.Live.
func (l *Live) Project(ctx context.Context, ps []*rater.Projection) ([]bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	if l.hook != nil {
		if err := l.hook(); err != nil {
			return nil, err
		}
	}
	applied := make([]bool, len(ps))
	for i, p := range ps {
		v := l.views[p.Partition]
		if v == nil {
			v = &view{lines: map[activity.ID]rater.LineState{}}
			l.views[p.Partition] = v
		}
		if !p.Force && v.head != p.Expect {
			continue
		}
		for _, line := range p.Lines {
			if v.lines[line.Line].Version <= line.Version {
				v.lines[line.Line] = line
			}
		}
		v.head, v.rebuilding, applied[i] = p.Next, p.Rebuilding, true
		l.caughtUp[p.Partition] = p.CaughtUp
	}
	return applied, ctx.Err()
}

// Calls is how often the view was written to.
func (l *Live) Calls() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls
}

// Total sums a partition's lines; ok false: readers must not trust the view.
func (l *Live) Total(partition int32) (sum money.Decimal, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.views[partition]
	if v == nil || v.rebuilding {
		return money.Decimal{}, false
	}
	for _, line := range v.lines {
		next, err := sum.Add(line.Amount)
		if err != nil {
			return money.Decimal{}, false
		}
		sum = next
	}
	return sum, true
}

// CaughtUp is what the last write said of the partition.
func (l *Live) CaughtUp(partition int32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.caughtUp[partition]
}
