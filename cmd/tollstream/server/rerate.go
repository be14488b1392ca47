package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
	catalogpg "github.com/tollstream/tollstream/rater/catalog/pg"
	"github.com/tollstream/tollstream/rater/rerate"
	reratepg "github.com/tollstream/tollstream/rater/rerate/pg"
	"github.com/tollstream/tollstream/rater/sink"
)

// startRerate does the jobs that rate usage anew, in one process at a time.
func (p *process) startRerate(ctx context.Context) error {
	store := reratepg.New(p.stores.pool)
	if p.stores.ownPostgres { // whoever held the lease was killed with its database
		if err := store.Break(ctx); err != nil {
			return err
		}
	}
	owner := fmt.Sprintf("%x", random())
	runner := rerate.New(rerate.Config{Owner: owner, Partitions: p.partitions, Idle: time.Second}, store, p.definitions, usageLog{p},
		summer{p.summing()}, demands{p}, rerate.NewMetrics(p.registry), p.Log)
	p.work(ctx, "jobs that rate usage anew", func(ctx context.Context) error {
		err := runner.Run(ctx)
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return errors.Join(err, store.Release(closing, owner))
	})
	return nil
}

// summing adds up stored usage again.
func (p *process) summing() *rater.Summing {
	return &rater.Summing{Definitions: p.definitions, Usage: storedUsage{p}, Lines: p.rater, Waiting: p.rater}
}

// Broadcast implements rerate.Log.
func (l usageLog) Broadcast(ctx context.Context, partition int32, record []byte) error {
	return l.p.producer.Broadcast(ctx, partition, record)
}

// storedUsage is what the report store holds.
type storedUsage struct{ *process }

// Each implements rater.StoredUsage: it reads page by page, in log order.
func (s storedUsage) Each(ctx context.Context, q rater.UsageQuestion, do func(int64, *activity.Activity) error) error {
	return s.each(ctx, usedBy(q), q, do)
}

// EachCorrection implements rater.StoredUsage.
func (s storedUsage) EachCorrection(ctx context.Context, q rater.UsageQuestion, do func(int64, *activity.Activity) error) error {
	filter := usedBy(q)
	filter.Corrections = true
	return s.each(ctx, filter, q, do)
}

func usedBy(q rater.UsageQuestion) sink.Filter {
	return sink.Filter{Accounts: q.Accounts, Product: q.Product, From: q.From, To: q.To}
}

func (s storedUsage) each(ctx context.Context, filter sink.Filter, of rater.UsageQuestion, do func(int64, *activity.Activity) error) error {
	q := sink.ActivitiesQuery{Filter: filter, Limit: sink.MaxActivities}
	for {
		rows, next, err := s.reports.Reports.Activities(ctx, q)
		if err != nil {
			return err
		}
		for i := range rows {
			if rows[i].Partition != of.Partition {
				continue
			}
			if rows[i].Offset >= of.Below { // so is all that follows on the partition
				return nil
			}
			if err := do(rows[i].Offset, &rows[i].Activity); err != nil {
				return err
			}
		}
		if q.After = next; next == "" {
			return nil
		}
	}
}

// summer sums up as the rater does.
type summer struct{ *rater.Summing }

// Sum implements rerate.Summer.
func (s summer) Sum(ctx context.Context, a rerate.AccountJob, m rerate.Marker) (out rerate.Summed, err error) {
	sum, err := s.Summing.Sum(ctx, questionOf(a, m))
	if err != nil {
		return out, err
	}
	if out.Results, err = sum.Results(a.Account, a.Seq, m.Attempt, m.At); err != nil {
		return out, fmt.Errorf("%w: %w", rerate.ErrNever, err)
	}
	out.Values = sum.Values(a.Account, a.Seq, m.Attempt, m.At)
	out.Lines, out.Left = int64(len(sum.Differences)), leftOf(sum)
	for i := range sum.Differences {
		if sum.Differences[i].Before != sum.Differences[i].After {
			out.Changed++
		}
	}
	return out, nil
}

// Unanswered implements rerate.Summer.
func (s summer) Unanswered(ctx context.Context, a rerate.AccountJob, m rerate.Marker) ([]usage.Answer, error) {
	return s.Summing.Unanswered(ctx, questionOf(a, m))
}

func questionOf(a rerate.AccountJob, m rerate.Marker) rater.SumQuestion {
	return rater.SumQuestion{
		Partition: a.Partition, Account: a.Account, Seq: a.Seq, Under: m.Under, Below: m.At, Product: a.Product, From: a.From, Until: a.Until, Closed: a.Closed,
	}
}

// demands asks for accounts to be rated anew as people do.
type demands struct{ *process }

// Demand implements rerate.Demands.
func (d demands) Demand(ctx context.Context, w rerate.Waiting) error {
	_, err := d.catalog.RateAnew(ctx, catalogpg.Demand{Account: w.Account, From: w.From, Until: w.Until, Author: "corrections that wait"})
	return err
}

// leftOf says what stays as it was, and why.
func leftOf(sum *rater.Sum) string {
	left := make([]string, 0, len(sum.Left)+len(sum.Closed))
	for product, why := range sum.Left {
		left = append(left, product+" stays as it was: "+why)
	}
	for product, why := range sum.Closed {
		left = append(left, product+" stays as it was on closed invoices: "+why)
	}
	slices.Sort(left)
	return strings.Join(left, "; ")
}
