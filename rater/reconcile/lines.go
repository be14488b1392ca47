package reconcile

import (
	"context"
	"fmt"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/sink"
)

type lineKey struct {
	partition int32
	line      activity.ID
}

// invoices compares the lines of each invoice that the month touches.
func (r *run) invoices(ctx context.Context) error {
	var after activity.ID
	for {
		page, err := r.Store.Invoices(ctx, r.month, r.bounds, after, invoicePage)
		if err != nil || len(page) == 0 {
			return err
		}
		if err := r.page(ctx, page); err != nil {
			return err
		}
		r.result.Invoices += len(page)
		r.progress("invoices", r.result.Invoices)
		after = page[len(page)-1]
	}
}

func (r *run) page(ctx context.Context, invoices []activity.ID) error {
	// The store first: what it has below the bounds is then in the lines.
	sums, err := r.Store.SumByLine(ctx, invoices, r.bounds)
	if err != nil {
		return err
	}
	lines, err := r.Books.Lines(ctx, invoices)
	if err != nil {
		return fmt.Errorf("read invoice lines: %w", err)
	}
	stored := make(map[lineKey][]sink.LineSum, len(sums))
	for _, s := range sums {
		key := lineKey{s.Partition, s.Line}
		stored[key] = append(stored[key], s)
	}
	r.result.Lines += len(lines)
	for i := range lines {
		l := &lines[i]
		key := lineKey{l.Partition, l.Line}
		found := stored[key]
		delete(stored, key)
		if agrees(l, found) {
			continue
		}
		if err := r.judge(ctx, l); err != nil {
			return err
		}
	}
	for _, s := range sums {
		if _, unknown := stored[lineKey{s.Partition, s.Line}]; unknown {
			r.differLine(&Line{Partition: s.Partition, Invoice: s.Invoice, Line: s.Line, Currency: s.Currency}, s.Charged,
				Difference{Left: Figure{whereLines, "no line"}, Right: Figure{whereStore, s.Charged.String()}})
		}
	}
	return nil
}

// agrees says whether the store's sum of a line is its amount.
func agrees(l *Line, found []sink.LineSum) bool {
	switch len(found) {
	case 0:
		return l.Amount.IsZero()
	case 1:
		return found[0].Currency == l.Currency && found[0].Charged == l.Amount && found[0].Invoice == l.Invoice
	}
	return false
}

// judge sums a line's activities below the later of the checkpoint and the line's own version, and finds the
// first activity after which the line's amount is not what the activities sum to.
func (r *run) judge(ctx context.Context, l *Line) error {
	bound := r.bounds[l.Partition]
	if l.Version > bound {
		bound = l.Version
		behind, err := r.await(ctx, map[int32]int64{l.Partition: l.Version - 1})
		if err != nil {
			return err
		}
		if len(behind) > 0 {
			r.result.Behind = append(r.result.Behind, behind...)
			return nil
		}
	}
	sum, at, err := r.replay(ctx, l, bound)
	if err != nil {
		return err
	}
	if at == nil && sum == l.Amount {
		return nil
	}
	if at == nil && l.Version > 0 {
		last := l.Version - 1
		at = &last // every activity follows from the one before it, so the last change is missing
	}
	missing, err := sum.Sub(l.Amount)
	if err != nil {
		return fmt.Errorf("line %s: %w", l.Line, err)
	}
	r.differLine(l, missing, Difference{Offset: at, Left: Figure{whereLines, l.Amount.String()}, Right: Figure{whereStore, sum.String()}})
	return nil
}

// replay sums a line's activities; at is the first offset after which the running sum is not the line's
// amount that the activity names.
func (r *run) replay(ctx context.Context, l *Line, bound int64) (sum money.Decimal, at *int64, err error) {
	after := sink.Place{Partition: l.Partition, Offset: -1}
	for {
		rows, err := r.Store.LineActivities(ctx, l.Partition, l.Line, after, bound, activityPage)
		if err != nil {
			return sum, nil, err
		}
		for i := range rows {
			row := &rows[i]
			if sum, err = sum.Add(row.Activity.Charge); err != nil {
				return sum, nil, fmt.Errorf("sum line %s: %w", l.Line, err)
			}
			if at == nil && (sum != row.Activity.LineAmount || row.Activity.Currency != l.Currency || row.Activity.Invoice != l.Invoice) {
				offset := row.Offset
				at = &offset
			}
			after = row.Place()
		}
		if len(rows) < activityPage {
			return sum, at, nil
		}
	}
}

// differLine notes a line's difference, and takes it out of what the lines hold of the month.
func (r *run) differLine(l *Line, missing money.Decimal, d Difference) {
	d.What, d.Partition, d.Currency = "the line and its activities", l.Partition, l.Currency
	d.Invoice, d.Line, d.Account, d.Product = &l.Invoice, &l.Line, l.Account, l.Product
	r.result.differ(d)
	for i := range r.result.Sums {
		s := &r.result.Sums[i]
		if s.Partition != l.Partition || s.Currency != l.Currency {
			continue
		}
		s.OK = false
		if held, err := s.Lines.Sub(missing); err == nil { // beyond 10^26 the figure stays as it is; the difference stands
			s.Lines = held
		}
	}
}
