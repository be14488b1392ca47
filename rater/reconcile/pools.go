package reconcile

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
)

const (
	wherePool   = "the pool"
	whereShares = "the lines that share it"
)

// Pool is usage of a period whose tiers several lines have together, as it is committed.
type Pool struct {
	Partition int32
	ID        activity.ID
	Account   string // whose it is, or who is billed for it
	Product   string // "": the capacities of the account
	Currency  string
	Amount    money.Decimal
	Used      []Used
}

// Pooled is a line that has shares of pools.
type Pooled struct {
	Line
	Whole  bool // it has nothing else
	Shares []Share
}

// Share is what a pool has charged to a line, and what the line has used in it.
type Share struct {
	Pool    activity.ID
	Charged money.Decimal
	Used    Used
}

// Used is what was used under one rate: the sum and the number of events, or the largest quantity.
type Used struct {
	Rate   Rate
	Events int64
	Sum    money.Decimal
	Peak   money.Decimal
}

// Rate names a rate as segments do. Of a capacity the cell is the product.
type Rate struct {
	Kind, Owner, ID, Cell string
	Shape                 uint64
}

func (r Rate) compare(to Rate) int {
	return cmp.Or(cmp.Compare(r.Kind, to.Kind), cmp.Compare(r.Owner, to.Owner), cmp.Compare(r.ID, to.ID), cmp.Compare(r.Cell, to.Cell), cmp.Compare(r.Shape, to.Shape))
}

// pooling is a pool with what its lines add up to.
type pooling struct {
	Pool
	stored  bool
	charged money.Decimal
	used    map[Rate]Used
	own     map[Rate]Used
}

// pools compares what each pool holds with what the lines have of it. Lines are held against their activities elsewhere; here a line
// that has nothing but shares is held against these, so that a pool follows from activities.
func (r *run) pools(ctx context.Context) error {
	for _, c := range r.checkpoints {
		all := map[activity.ID]*pooling{}
		of := func(id activity.ID) *pooling {
			if all[id] == nil {
				all[id] = &pooling{Pool: Pool{ID: id, Partition: c.Partition}, used: map[Rate]Used{}, own: map[Rate]Used{}}
			}
			return all[id]
		}
		err := r.Books.Pools(ctx, c.Partition, r.month, func(p *Pool) error {
			q := of(p.ID)
			q.Pool, q.stored = *p, true
			return q.add(q.own, p.Used...)
		}, func(l *Pooled) error {
			shares := money.Decimal{}
			for i := range l.Shares {
				s := &l.Shares[i]
				q := of(s.Pool)
				if !q.stored {
					q.Account, q.Product, q.Currency = l.Account, l.Product, l.Currency
				}
				var err error
				if q.charged, err = q.charged.Add(s.Charged); err == nil {
					shares, err = shares.Add(s.Charged)
				}
				if err == nil {
					if q.stored && q.Product == "" {
						s.Used.Rate.Cell = l.Product
					}
					err = q.add(q.used, s.Used)
				}
				if err != nil {
					return fmt.Errorf("sum pool %s: %w", s.Pool, err)
				}
			}
			if l.Whole && shares != l.Amount {
				r.result.differ(Difference{
					What: "the line and its shares of pools", Partition: l.Partition, Invoice: &l.Invoice, Line: &l.Line.Line, Account: l.Account,
					Product: l.Product, Currency: l.Currency, Left: Figure{whereLines, l.Amount.String()}, Right: Figure{"its shares", shares.String()},
				})
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("read pools of partition %d: %w", c.Partition, err)
		}
		r.result.Pools += len(all)
		for _, id := range slices.SortedFunc(maps.Keys(all), func(a, b activity.ID) int { return bytes.Compare(a[:], b[:]) }) {
			if d, differs := all[id].compare(); differs {
				r.result.differ(d)
			}
		}
	}
	return nil
}

// add puts what was used under the same rate together.
func (q *pooling) add(to map[Rate]Used, all ...Used) error {
	for _, u := range all {
		have := to[u.Rate]
		sum, err := have.Sum.Add(u.Sum)
		if err != nil {
			return err
		}
		if have.Events == 0 || have.Peak.Cmp(u.Peak) < 0 {
			have.Peak = u.Peak
		}
		have.Rate, have.Sum, have.Events = u.Rate, sum, have.Events+u.Events
		to[u.Rate] = have
	}
	return nil
}

// compare finds the first figure of the pool that its lines do not add up to.
func (q *pooling) compare() (Difference, bool) {
	d := Difference{Partition: q.Partition, Pool: &q.ID, Account: q.Account, Product: q.Product}
	if !q.stored {
		d.What, d.Left, d.Right = "the pool and its lines", Figure{wherePool, "no pool"}, Figure{whereShares, q.charged.String()}
		return d, true
	}
	if q.Amount != q.charged {
		d.What, d.Currency = "the pool and its lines", q.Currency
		d.Left, d.Right = Figure{wherePool, q.Amount.String()}, Figure{whereShares, q.charged.String()}
		return d, true
	}
	rates := slices.AppendSeq(slices.Collect(maps.Keys(q.own)), maps.Keys(q.used))
	slices.SortFunc(rates, Rate.compare)
	for _, rate := range slices.Compact(rates) {
		a, b := q.own[rate], q.used[rate]
		for _, f := range []struct{ what, left, right string }{
			{"events in the pool", whole(a.Events), whole(b.Events)},
			{"usage in the pool", a.Sum.String(), b.Sum.String()},
			{"the largest quantity in the pool", a.Peak.String(), b.Peak.String()},
		} {
			if f.left != f.right {
				d.What, d.Left, d.Right = f.what, Figure{wherePool, f.left}, Figure{whereShares, f.right}
				return d, true
			}
		}
	}
	return d, false
}
