package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/catalog"
	catalogpg "github.com/tollstream/tollstream/rater/catalog/pg"
	"github.com/tollstream/tollstream/rater/rerate"
	reratepg "github.com/tollstream/tollstream/rater/rerate/pg"
)

// rerateDesk rates anew on demand.
type rerateDesk struct{ p *process }

var _ api.Reratings = rerateDesk{}

// Rerate implements api.Reratings.
func (d rerateDesk) Rerate(ctx context.Context, q api.RerateRequest) (*api.Rerating, error) {
	current, err := d.p.catalog.CurrentSeq(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", api.ErrUnavailable, err)
	}
	accounts, err := d.p.definitions.Accounts(ctx, current, []string{q.Account})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", api.ErrUnavailable, err)
	}
	account := accounts[q.Account]
	if account == nil {
		return nil, fmt.Errorf("%w: there is no account with this id", api.ErrNotFound)
	}
	if q.Product != "" {
		snapshot, err := d.p.definitions.Snapshot(ctx, current)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", api.ErrUnavailable, err)
		}
		if snapshot.Product(q.Product) == nil {
			return nil, fmt.Errorf("%w: there is no product %q", api.ErrInvalid, q.Product)
		}
	}
	demand := catalogpg.Demand{Account: q.Account, Product: q.Product, Author: author(ctx)}
	if !q.At.IsZero() { // the period that holds the instant
		at := within(&q, account).UnixNano()
		demand.From, demand.Until = at, at+1
	}
	if q.DryRun {
		return d.dryRun(ctx, demand, usage.PartitionOf(account.RoutingKey, d.p.partitions), current)
	}
	seq, err := d.p.catalog.RateAnew(ctx, demand)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", api.ErrUnavailable, err)
	}
	return d.Rerating(ctx, seq)
}

// within gives an instant of the period that is asked for: of a day its noon, where the account is.
func within(q *api.RerateRequest, account *catalog.Account) time.Time {
	day, err := time.Parse(time.DateOnly, q.Period)
	if err != nil {
		return q.At
	}
	noon := day.Add(12 * time.Hour)
	return time.Date(day.Year(), day.Month(), day.Day(), noon.Hour(), 0, 0, 0, account.ZoneAt(noon.UnixNano()))
}

// Rerating implements api.Reratings.
func (d rerateDesk) Rerating(ctx context.Context, id int64) (*api.Rerating, error) {
	p, err := d.store().Progress(ctx, id)
	switch {
	case errors.Is(err, reratepg.ErrNone):
		return nil, fmt.Errorf("%w: nothing is rated anew under this id", api.ErrNotFound)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", api.ErrUnavailable, err)
	}
	return describeRerating(&p), nil
}

func describeRerating(p *reratepg.Progress) *api.Rerating {
	out := &api.Rerating{
		ID: p.Job.Seq, State: api.RerateRunning, Phase: string(p.Job.Phase), Cause: "definitions", Account: p.Job.Account, Product: p.Job.Product,
		Created: p.Created.UTC(), Swept: p.Job.Swept, Accounts: p.Accounts, Finished: p.Ended, Lines: p.Lines, Changed: p.Changed,
		Message: messageOf(p), From: instantAt(p.Job.From), Until: instantAt(p.Job.Until), By: p.Author,
		DefinitionsCount: p.DefinitionsCount, Waits: waitsOf(p), Behind: p.Behind, Partitions: p.Waits,
	}
	for _, d := range p.Definitions {
		out.Definitions = append(out.Definitions, api.RerateDefinition{Kind: string(d.Kind), ID: d.ID, Deleted: d.Deleted})
	}
	if p.Job.Demand {
		out.Cause = "demand"
	}
	if p.Job.Phase == rerate.PhaseDone {
		ended := p.Done.UTC()
		out.State, out.Ended = api.RerateDone, &ended
		if p.Failed > 0 {
			out.State = api.RerateFailed
		}
	}
	return out
}

// messageOf says what a job leaves as it was.
func messageOf(p *reratepg.Progress) string {
	words := slices.Clone(p.Messages)
	if p.Job.Left != "" {
		words = slices.Insert(words, 0, p.Job.Left)
	}
	if more := p.MessagesCount - int64(len(p.Messages)); more > 0 {
		words = append(words, fmt.Sprintf("and %d accounts more", more))
	}
	return strings.Join(words, "; ")
}

func instantAt(ns int64) *time.Time {
	if ns == 0 {
		return nil
	}
	t := time.Unix(0, ns).UTC()
	return &t
}

// waitsOf says what has to come before the job goes on; of one that goes on by itself, which partitions it is busy with.
func waitsOf(p *reratepg.Progress) string {
	var words []string
	if p.Behind != 0 {
		words = append(words, fmt.Sprintf("the job of definition %d", p.Behind))
	}
	if len(p.Waits) > 0 {
		list := make([]string, len(p.Waits))
		for i, n := range p.Waits {
			list[i] = strconv.Itoa(int(n))
		}
		name := "partition "
		if len(list) > 1 {
			name = "partitions "
		}
		words = append(words, name+strings.Join(list, ", "))
	}
	return strings.Join(words, ", which waits for ")
}

// dryRun adds up what the partition has committed and the report store holds.
func (d rerateDesk) dryRun(ctx context.Context, q catalogpg.Demand, partition int32, seq int64) (*api.Rerating, error) {
	below, behind, err := d.settled(ctx, partition)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", api.ErrUnavailable, err)
	}
	began := d.p.Now().UTC()
	sum, err := d.p.summing().Sum(ctx, rater.SumQuestion{
		Partition: partition, Account: q.Account, Seq: seq + 1, Under: seq, Below: below,
		Product: q.Product, From: q.From, Until: q.Until, Closed: true, Shared: true,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", api.ErrUnavailable, err)
	}
	ended := d.p.Now().UTC()
	out := &api.Rerating{
		State: api.RerateDone, Cause: "demand", Account: q.Account, Product: q.Product, Created: began, Ended: &ended, Accounts: 1, Finished: 1,
		Message: leftOf(sum),
	}
	var shared []string // products
	if behind {
		out.Message = strings.TrimPrefix(out.Message+"; usage of the last moments is not in it: the report store is behind", "; ")
	}
	for i := range sum.Differences {
		x := &sum.Differences[i]
		if x.Shared {
			shared = append(shared, x.Product)
			continue
		}
		change := api.RerateChange{
			Billed: x.Billed, Product: x.Product, Attributes: map[string]string{}, Currency: x.Currency, Period: time.Unix(0, x.UsagePeriod.Start).UTC(), Closed: x.Closed,
			Before: money.Fixed{Decimal: x.Before}, After: money.Fixed{Decimal: x.After},
		}
		if x.Package != "" {
			change.Package = &x.Package
		}
		for _, a := range x.Group {
			change.Attributes[a.Name] = a.Value
		}
		if change.Difference.Decimal, err = x.After.Sub(x.Before); err != nil {
			return nil, fmt.Errorf("line of product %s: %w", x.Product, err)
		}
		out.Lines++
		if !change.Difference.IsZero() {
			out.Changed++
		}
		out.Differences = append(out.Differences, change)
	}
	if len(shared) > 0 {
		slices.Sort(shared)
		out.Message = strings.TrimPrefix(out.Message+"; not in it, because tiers are shared with others whose usage cannot be added up: "+strings.Join(slices.Compact(shared), ", "), "; ")
	}
	return out, nil
}

// settledPatience is how long a dry run waits until what is in the log by then is stored everywhere.
const settledPatience = 10 * time.Second

// settled gives the offset below which the partition has committed and the report store holds everything; behind: usage that was in the
// log already lies above it.
func (d rerateDesk) settled(ctx context.Context, partition int32) (below int64, behind bool, err error) {
	ends, err := d.p.usageEnds(ctx)
	if err != nil {
		return 0, false, err
	}
	store := d.store()
	ticker := time.NewTicker(settledPatience / 50)
	defer ticker.Stop()
	for range 50 {
		checkpoints, err := store.Checkpoints(ctx)
		if err != nil {
			return 0, false, err
		}
		sunk, err := store.Sunk(ctx)
		if err != nil {
			return 0, false, err
		}
		stored := int64(0) // the offset behind what the report store holds
		if last, ok := sunk[partition]; ok {
			stored = last + 1
		}
		if below = min(checkpoints[partition].Next, stored); below >= ends[partition] {
			return below, false, nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return 0, false, ctx.Err()
		}
	}
	return below, true, nil
}
