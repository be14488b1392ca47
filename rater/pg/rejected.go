package pg

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/rater"
)

// RejectedState says what became of rejected usage.
type RejectedState string

// The states of rejected usage.
const (
	RejectedOpen      RejectedState = "open"
	RejectedRetried   RejectedState = "retried"
	RejectedDiscarded RejectedState = "discarded"
)

// RejectedKey names rejected usage: the position of its event in the log.
type RejectedKey struct {
	Partition int32
	Offset    int64
	Index     int
}

// Rejected is rejected usage as it is listed.
type Rejected struct {
	Partition int32
	State     RejectedState
	rater.RejectedUsage
}

// Key returns its name.
func (r *Rejected) Key() RejectedKey { return RejectedKey{r.Partition, r.Offset, r.Index} }

// RejectedFilter limits a list; zero members do not.
type RejectedFilter struct {
	State   RejectedState // zero: open
	Reason  string
	Account string // as resolved, or as it was sent when it could not be
	Product string
	Source  string
	ID      string // of the event
	From    int64  // instants of arrival, half open
	To      int64
}

// RejectedCursor stands after the last entry of a page; zero: before the first.
type RejectedCursor struct {
	LogTime int64
	RejectedKey
}

var (
	rejectedListSQL = statement("rejected_list")
	rejectedTakeSQL = strings.TrimRight(rejectedListSQL, "\n") + "\nFOR UPDATE SKIP LOCKED"
	rejectedMarkSQL = statement("rejected_mark")
	waitingSQL      = statement("rejected_waiting")
)

// RejectedList reads a page, the newest arrivals first, and the cursor of the next one; ok is false at the end.
func (s *Store) RejectedList(ctx context.Context, filter RejectedFilter, after RejectedCursor, limit int) (
	list []Rejected, next RejectedCursor, ok bool, err error) {
	list, err = rejected(ctx, s.pool, rejectedListSQL, filter, after, limit)
	if err != nil {
		return nil, RejectedCursor{}, false, fmt.Errorf("list rejected usage: %w", err)
	}
	if len(list) == 0 || len(list) < limit {
		return list, RejectedCursor{}, false, nil
	}
	last := &list[len(list)-1]
	return list, RejectedCursor{last.LogTime, last.Key()}, true, nil
}

// RejectedTake takes up to limit open entries that the filter lets through, gives those that were decoded to publish, and
// marks them as retried when it succeeds. While it runs nobody else takes them. It returns how
// many were taken and the cursor to go on from. When the mark is lost after publish, they are taken
// again: the second retry is a duplicate of the first. Entries that could not be decoded stay open.
func (s *Store) RejectedTake(ctx context.Context, filter RejectedFilter, after RejectedCursor, limit int,
	publish func(ctx context.Context, list []Rejected) error) (taken int, next RejectedCursor, ok bool, err error) {
	filter.State = RejectedOpen
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		page, err := rejected(ctx, tx, rejectedTakeSQL, filter, after, limit)
		if err != nil || len(page) == 0 {
			return err
		}
		last := &page[len(page)-1]
		next, ok = RejectedCursor{last.LogTime, last.Key()}, len(page) == limit
		decoded := page[:0]
		var keys []RejectedKey
		for i := range page {
			if len(page[i].Raw) == 0 {
				keys = append(keys, page[i].Key())
				decoded = append(decoded, page[i])
			}
		}
		if len(decoded) == 0 {
			return nil
		}
		if err := publish(ctx, decoded); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		taken = len(decoded)
		_, err = mark(ctx, tx, keys, RejectedRetried)
		return err
	})
	if err != nil {
		return 0, RejectedCursor{}, false, fmt.Errorf("retry rejected usage: %w", err)
	}
	return taken, next, ok, nil
}

// CorrectionsWaiting implements rater.WaitingCorrections.
func (s *Store) CorrectionsWaiting(ctx context.Context, partition int32, account string, below int64, limit int) ([]rater.RejectedUsage, error) {
	rows, err := s.pool.Query(ctx, waitingSQL, account, partition, below, limit)
	var list []Rejected
	if err == nil {
		list, err = collectRejected(rows)
	}
	if err != nil {
		return nil, fmt.Errorf("read corrections of account %s that wait: %w", account, err)
	}
	out := make([]rater.RejectedUsage, len(list))
	for i := range list {
		out[i] = list[i].RejectedUsage
	}
	return out, nil
}

// MarkRejected gives open entries another state; it returns how many were open.
func (s *Store) MarkRejected(ctx context.Context, keys []RejectedKey, state RejectedState) (int, error) {
	n, err := mark(ctx, s.pool, keys, state)
	if err != nil {
		return 0, fmt.Errorf("mark rejected usage as %s: %w", state, err)
	}
	return n, nil
}

func mark(ctx context.Context, q querier, keys []RejectedKey, state RejectedState) (int, error) {
	partition, offset, index := columnsOf(keys)
	rows, err := q.Query(ctx, rejectedMarkSQL, partition, offset, index, string(state))
	if err != nil {
		return 0, err
	}
	rows.Close()
	return int(rows.CommandTag().RowsAffected()), rows.Err()
}

func columnsOf(keys []RejectedKey) (partition []int32, offset []int64, index []int32) {
	for _, k := range keys {
		partition, offset, index = append(partition, k.Partition), append(offset, k.Offset), append(index, int32(k.Index))
	}
	return partition, offset, index
}

func rejected(ctx context.Context, q querier, sql string, filter RejectedFilter, after RejectedCursor, limit int) ([]Rejected, error) {
	if filter.State == "" {
		filter.State = RejectedOpen
	}
	if after == (RejectedCursor{}) {
		after.LogTime = math.MaxInt64
	}
	rows, err := q.Query(ctx, sql, string(filter.State), filter.Reason, filter.Account, filter.Product, filter.Source, filter.From, filter.To,
		after.LogTime, after.Partition, after.Offset, after.Index, limit, filter.ID)
	if err != nil {
		return nil, err
	}
	return collectRejected(rows)
}

func collectRejected(rows pgx.Rows) ([]Rejected, error) {
	var list []Rejected
	var r Rejected
	var state string
	var event []byte
	_, err := pgx.ForEachRow(rows, []any{&r.Partition, &r.Offset, &r.Index, &r.LogTime, &r.Reason, &state, &r.Retry, &event, &r.Raw}, func() error {
		entry := r
		entry.State, r.Raw = RejectedState(state), nil
		if len(entry.Raw) == 0 {
			var record usage.Record // a new one each: its slices are kept
			if err := usage.Decode(event, &record); err != nil || len(record.Events) != 1 {
				return fmt.Errorf("partition %d offset %d index %d: stored event: %w", r.Partition, r.Offset, r.Index, err)
			}
			entry.Raw, entry.Event = nil, record.Events[0]
		}
		list = append(list, entry)
		return nil
	})
	return list, err
}
