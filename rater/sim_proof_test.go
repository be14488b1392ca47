package rater

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/reconcile"
	"github.com/tollstream/tollstream/rater/sink"
)

// simProof lets the real reconcile look at the simulated stores.
type simProof struct {
	w    *world
	rows []sink.Row // of the report store, in the order of their places
}

// reconciled runs the comparison of every month that has usage, down to the `rated` topic.
func (w *world) reconciled() string {
	p := &simProof{w, w.sinks.reported()}
	r := reconcile.Reconciler{
		Books: p, Usage: p, Store: p, Positions: w.sinks, Rated: p,
		Pause: func(context.Context) error { return nil },
	}
	months := map[int32]bool{}
	for _, v := range w.pg {
		for k := range v.c.Counts {
			months[k.Month] = true
		}
	}
	for i := range p.rows {
		months[sink.MonthOf(p.rows[i].Activity.EventTime)] = true
	}
	for _, month := range slices.Sorted(maps.Keys(months)) {
		result, err := r.Month(context.Background(), reconcile.Options{Month: month, Deep: true})
		switch {
		case err != nil:
			return fmt.Sprintf("reconcile: %v", err)
		case !result.OK && result.First != nil:
			return fmt.Sprintf("reconcile of %s: %s", result.Period, result.First)
		case !result.OK:
			return fmt.Sprintf("reconcile of %s: %v", result.Period, result.Behind)
		}
	}
	return ""
}

// Checkpoints and Lines are the books.
func (p *simProof) Checkpoints(_ context.Context, month int32) ([]reconcile.Checkpoint, error) {
	var out []reconcile.Checkpoint
	for i, v := range p.w.pg {
		c := reconcile.Checkpoint{Partition: int32(i), Next: v.c.Next, Last: v.c.Last}
		for k, n := range v.c.Counts {
			if k.Month == month {
				c.Counts = append(c.Counts, reconcile.Count{
					Currency: k.Currency, Accepted: n.Accepted, Retried: n.Retried, Rated: n.Rated, Duplicates: n.Duplicates,
					Rejected: n.Rejected, Charged: n.Charged,
				})
			}
		}
		out = append(out, c)
	}
	return out, nil
}

func (p *simProof) Lines(_ context.Context, invoices []activity.ID) ([]reconcile.Line, error) {
	var out []reconcile.Line
	for i, v := range p.w.pg {
		for _, lines := range v.lines {
			for _, l := range lines {
				if slices.Contains(invoices, l.Invoice) {
					out = append(out, reconcile.Line{
						Partition: int32(i), Invoice: l.Invoice, Line: l.Line, Account: l.Account, Product: l.Product, Currency: l.Currency,
						Amount: l.Amount, Version: l.Version,
					})
				}
			}
		}
	}
	return out, nil
}

// Pools are all pools and all lines that share some: of a pool whose usage's period the month does not touch as well.
func (p *simProof) Pools(_ context.Context, partition, _ int32, pool func(*reconcile.Pool) error, line func(*reconcile.Pooled) error) error {
	used := func(s *Segment) reconcile.Used {
		return reconcile.Used{
			Rate:   reconcile.Rate{Kind: string(s.Owner.Kind), Owner: s.Owner.ID, ID: s.Rate, Cell: s.Cell, Shape: s.Shape},
			Events: s.State.Events, Sum: s.State.Sum, Peak: s.State.Peak,
		}
	}
	v := p.w.pg[partition]
	for _, s := range v.pools {
		q := reconcile.Pool{Partition: partition, ID: s.ID, Account: s.Billed, Product: s.Product, Currency: s.Currency, Amount: s.Amount}
		segments, err := DecodePool(s.Segments)
		if err != nil {
			return err
		}
		for i := range segments {
			q.Used = append(q.Used, used(&segments[i].Segment))
		}
		if err := pool(&q); err != nil {
			return err
		}
	}
	for _, lines := range v.lines {
		for i := range lines {
			l := &lines[i]
			out := reconcile.Pooled{Whole: true, Line: reconcile.Line{
				Partition: partition, Invoice: l.Invoice, Line: l.Line, Account: l.Account, Product: l.Product, Currency: l.Currency,
				Amount: l.Amount, Version: l.Version,
			}}
			segments, err := DecodeSegments(l.Segments)
			if err != nil {
				return err
			}
			for j := range segments {
				if s := &segments[j]; s.Pool.IsZero() {
					out.Whole = false
				} else {
					out.Shares = append(out.Shares, reconcile.Share{Pool: s.Pool, Charged: s.Charged, Used: used(s)})
				}
			}
			if len(out.Shares) == 0 {
				continue
			}
			if err := line(&out); err != nil {
				return err
			}
		}
	}
	return nil
}

// Ends is the usage log.
func (p *simProof) Ends(context.Context) (map[int32]int64, error) {
	out := map[int32]int64{}
	for i := range p.w.usage {
		out[int32(i)] = int64(len(p.w.usage[i]))
	}
	return out, nil
}

// Walk is the `rated` topic.
func (p *simProof) Walk(_ context.Context, partition int32, each func(int64, *activity.Record) error) error {
	for _, rec := range p.w.counting(int(partition)) {
		if err := each(0, rec.Record); err != nil {
			return err
		}
	}
	return nil
}

// SumByMonth and the following are the report store.
func (p *simProof) SumByMonth(_ context.Context, month int32, below map[int32]int64) ([]sink.MonthSum, error) {
	var out []sink.MonthSum
	for i := range p.rows {
		r := &p.rows[i]
		if r.Offset >= below[r.Partition] || sink.MonthOf(r.Activity.EventTime) != month {
			continue
		}
		at := slices.IndexFunc(out, func(s sink.MonthSum) bool { return s.Partition == r.Partition && s.Currency == r.Activity.Currency })
		if at < 0 {
			at = len(out)
			out = append(out, sink.MonthSum{Partition: r.Partition, Currency: r.Activity.Currency})
		}
		s := &out[at]
		s.Charged, s.Events = mustAdd(s.Charged, r.Activity.Charge), s.Events+usages(r)
	}
	return out, nil
}

func usages(r *sink.Row) int64 {
	if r.Activity.Kind == activity.KindUsage {
		return 1
	}
	return 0
}

func (p *simProof) SumByOffset(_ context.Context, partition, month int32, from, below int64, limit int) ([]sink.OffsetSum, error) {
	var out []sink.OffsetSum
	for i := range p.rows {
		r := &p.rows[i]
		if r.Partition != partition || r.Offset < from || r.Offset >= below || sink.MonthOf(r.Activity.EventTime) != month {
			continue
		}
		if n := len(out); n == 0 || out[n-1].Offset != r.Offset { // there is one currency
			if n == limit {
				break
			}
			out = append(out, sink.OffsetSum{Offset: r.Offset, Currency: r.Activity.Currency})
		}
		s := &out[len(out)-1]
		s.Charged, s.Events = mustAdd(s.Charged, r.Activity.Charge), s.Events+usages(r)
	}
	return out, nil
}

func (p *simProof) Invoices(_ context.Context, month int32, below map[int32]int64, after activity.ID, limit int) ([]activity.ID, error) {
	found := map[activity.ID]bool{}
	for i := range p.rows {
		r := &p.rows[i]
		id := r.Activity.Invoice
		if r.Offset < below[r.Partition] && sink.MonthOf(r.Activity.EventTime) == month && bytes.Compare(id[:], after[:]) > 0 {
			found[id] = true
		}
	}
	out := slices.SortedFunc(maps.Keys(found), func(a, b activity.ID) int { return bytes.Compare(a[:], b[:]) })
	return out[:min(len(out), limit)], nil
}

func (p *simProof) SumByLine(_ context.Context, invoices []activity.ID, below map[int32]int64) ([]sink.LineSum, error) {
	type key struct {
		partition int32
		line      activity.ID
	}
	sums := map[key]*sink.LineSum{}
	for i := range p.rows {
		r := &p.rows[i]
		a := &r.Activity
		if r.Offset >= below[r.Partition] || !slices.Contains(invoices, a.Invoice) {
			continue
		}
		k := key{r.Partition, a.Line}
		if sums[k] == nil {
			sums[k] = &sink.LineSum{Partition: r.Partition, Invoice: a.Invoice, Line: a.Line, Currency: a.Currency}
		}
		sums[k].Activities++
		sums[k].Charged = mustAdd(sums[k].Charged, a.Charge)
	}
	var out []sink.LineSum
	for _, s := range sums {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b sink.LineSum) int {
		return cmp.Or(bytes.Compare(a.Invoice[:], b.Invoice[:]), bytes.Compare(a.Line[:], b.Line[:]), cmp.Compare(a.Partition, b.Partition))
	})
	return out, nil
}

func (p *simProof) LineActivities(_ context.Context, partition int32, line activity.ID, after sink.Place, below int64, limit int) ([]sink.Row, error) {
	var out []sink.Row
	for _, r := range p.rows {
		at := r.Place()
		behind := at.Offset > after.Offset || at.Offset == after.Offset && at.Index > after.Index
		if r.Partition == partition && r.Activity.Line == line && behind && r.Offset < below && len(out) < limit {
			out = append(out, r)
		}
	}
	return out, nil
}

func mustAdd(a, b money.Decimal) money.Decimal {
	v, err := a.Add(b)
	if err != nil {
		panic(err)
	}
	return v
}
