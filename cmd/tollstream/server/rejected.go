package server

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/collector"
	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/rater"
	raterpg "github.com/tollstream/tollstream/rater/pg"
)

// rejections reads rejected usage and tries it again.
type rejections struct {
	store  *raterpg.Store
	intake *collector.Intake
}

var _ api.Rejections = rejections{}

func filterOf(f api.RejectedFilter) raterpg.RejectedFilter {
	return raterpg.RejectedFilter{Reason: f.Reason, Account: f.Account, Product: f.Product, Source: f.Source, ID: f.ID}
}

// Rejected implements api.Rejections.
func (r rejections) Rejected(ctx context.Context, f api.RejectedFilter, cursor string, limit int) (*api.RejectedPage, error) {
	var after raterpg.RejectedCursor
	if cursor != "" {
		text, err := base64.RawURLEncoding.DecodeString(cursor)
		if err == nil {
			err = json.Unmarshal(text, &after)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: cursor %q is not one that this list returned; start again without it", api.ErrInvalid, cursor)
		}
	}
	list, next, more, err := r.store.RejectedList(ctx, filterOf(f), after, limit)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", api.ErrUnavailable, err)
	}
	counts, err := r.store.RejectedCounts(ctx, filterOf(f))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", api.ErrUnavailable, err)
	}
	page := &api.RejectedPage{Data: make([]api.RejectedUsage, len(list)), Counts: make([]api.ReasonCount, len(counts))}
	for i := range list {
		page.Data[i] = describeRejected(&list[i])
	}
	for i, c := range counts {
		page.Counts[i] = api.ReasonCount{Reason: c.Reason, Count: c.Count, Oldest: time.Unix(0, c.Oldest).UTC(), Newest: time.Unix(0, c.Newest).UTC()}
	}
	if more {
		text, err := json.Marshal(next)
		if err != nil {
			return nil, fmt.Errorf("write a cursor: %w", err)
		}
		encoded := base64.RawURLEncoding.EncodeToString(text)
		page.Next = &encoded
	}
	return page, nil
}

func describeRejected(r *raterpg.Rejected) api.RejectedUsage {
	e := &r.Event
	out := api.RejectedUsage{
		Reason: r.Reason, Source: e.Source, ID: e.ID, Account: sentAccount(e), Product: e.Product, Quantity: e.Quantity,
		Time: time.Unix(0, e.Time).UTC(), Attributes: map[string]string{}, ReceivedAt: time.Unix(0, r.LogTime).UTC(),
		Partition: r.Partition, Offset: r.Offset, Index: r.Index, Raw: r.Raw,
	}
	if len(r.Raw) > 0 {
		out.Time = out.ReceivedAt
	}
	for _, a := range e.Attributes {
		out.Attributes[a.Name] = a.Value
	}
	return out
}

// sentAccount is the account as the client named it.
func sentAccount(e *usage.Event) string {
	if e.Subject != "" {
		return e.Subject
	}
	return e.Account
}

// retryPage is how many are read and sent at a time.
const retryPage = 500

// RetryRejected implements api.Rejections. Who dies between sending and marking has sent some that stay on the list:
// their second retry is a duplicate of the first. What still has no account stays on the list.
func (r rejections) RetryRejected(ctx context.Context, f api.RejectedFilter) (int64, error) {
	var sum int64
	var after raterpg.RejectedCursor
	for {
		list, next, more, err := r.store.RejectedList(ctx, filterOf(f), after, retryPage)
		if err != nil {
			return sum, fmt.Errorf("%w: %w", api.ErrUnavailable, err)
		}
		n, err := r.retry(ctx, list)
		sum += n
		if err != nil {
			return sum, fmt.Errorf("%w: %w", api.ErrUnavailable, err)
		}
		if !more {
			return sum, nil
		}
		after = next
	}
}

// SkipEvent implements api.Rejections.
func (r rejections) SkipEvent(ctx context.Context, at api.EventPlace) error {
	if err := r.store.Skip(ctx, at.Partition, at.Offset, at.Index); err != nil {
		return fmt.Errorf("%w: %w", api.ErrUnavailable, err)
	}
	return nil
}

func (r rejections) retry(ctx context.Context, list []raterpg.Rejected) (int64, error) {
	var events []usage.Event
	var keys []raterpg.RejectedKey
	for i := range list {
		if len(list[i].Raw) == 0 && list[i].Reason != rater.ReasonCorrectionWaits { // what waits is retried by its job
			events, keys = append(events, list[i].Event), append(keys, list[i].Key())
		}
	}
	if len(events) == 0 {
		return 0, nil
	}
	sent, err := r.intake.Retry(ctx, events)
	if err != nil {
		return 0, err
	}
	gone := keys[:0]
	for i, s := range sent {
		if s {
			gone = append(gone, keys[i])
		}
	}
	if _, err := r.store.MarkRejected(ctx, gone, raterpg.RejectedRetried); err != nil {
		return 0, err
	}
	return int64(len(gone)), nil
}
