package pg

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/dedup"
)

var (
	acquireSQL         = statement("acquire")
	openMarkersSQL     = statement("open_markers")
	acquireSegmentsSQL = statement("acquire_segments")
	filtersSQL         = statement("filters")
)

// Acquire raises the partition's epoch, makes owner its owner and reads its checkpoint in one transaction. When it
// fails the claim may stand nevertheless; to acquire again only raises the epoch once more.
func (s *Store) Acquire(ctx context.Context, partition int32, owner rater.Owner) (rater.Checkpoint, error) {
	c := rater.Checkpoint{Partition: partition, Counts: map[rater.CountKey]rater.Counts{}, Skips: map[rater.Skip]struct{}{}}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var sum int64
		err := tx.QueryRow(ctx, acquireSQL, partition, uuid(owner)).
			Scan(&c.Epoch, &c.Next, &c.Last, &c.LeaderEpoch, &c.RatedNext, &c.LogTime, &c.ActivatedSeq, &sum)
		if err != nil {
			return fmt.Errorf("take the checkpoint: %w", err)
		}
		c.ActivatedSum = uint64(sum)
		// From here on the row is locked: no commit and no compaction of an owner before can still come in between.
		if err := readCounts(ctx, tx, &c); err != nil {
			return err
		}
		if err := readSkips(ctx, tx, &c); err != nil {
			return err
		}
		if err := readOpenMarkers(ctx, tx, &c); err != nil {
			return err
		}
		oldest := s.oldest(c.LogTime)
		if c.Identities, err = readSegments(ctx, tx, partition, oldest); err != nil {
			return err
		}
		c.Filters, err = readFilters(ctx, tx, partition, oldest)
		return err
	})
	if err != nil {
		return rater.Checkpoint{}, fmt.Errorf("acquire partition %d: %w", partition, err)
	}
	return c, nil
}

func readCounts(ctx context.Context, tx pgx.Tx, c *rater.Checkpoint) error {
	rows, err := tx.Query(ctx, // index: rater_count_pkey
		"SELECT month, currency, accepted, retried, rated, duplicates, rejected, charged::text FROM rater_count WHERE partition = $1", c.Partition)
	if err != nil {
		return fmt.Errorf("read counts: %w", err)
	}
	var k rater.CountKey
	var n rater.Counts
	var charged string
	_, err = pgx.ForEachRow(rows, []any{&k.Month, &k.Currency, &n.Accepted, &n.Retried, &n.Rated, &n.Duplicates, &n.Rejected, &charged}, func() error {
		var err error
		n.Charged, err = money.Parse(charged)
		c.Counts[k] = n
		return err
	})
	if err != nil {
		return fmt.Errorf("read counts: %w", err)
	}
	return nil
}

func readSkips(ctx context.Context, tx pgx.Tx, c *rater.Checkpoint) error {
	rows, err := tx.Query(ctx, // index: rater_skip_pkey
		"SELECT usage_offset, event_index FROM rater_skip WHERE partition = $1 AND usage_offset >= $2", c.Partition, c.Next)
	if err != nil {
		return fmt.Errorf("read skips: %w", err)
	}
	var skip rater.Skip
	_, err = pgx.ForEachRow(rows, []any{&skip.Offset, &skip.Index}, func() error { c.Skips[skip] = struct{}{}; return nil })
	if err != nil {
		return fmt.Errorf("read skips: %w", err)
	}
	return nil
}

func readOpenMarkers(ctx context.Context, tx pgx.Tx, c *rater.Checkpoint) error {
	rows, err := tx.Query(ctx, openMarkersSQL, c.Partition)
	if err == nil {
		c.Markers, err = pgx.AppendRows(c.Markers, rows, func(row pgx.CollectableRow) (rater.MarkerState, error) { return scanMarker(row) })
	}
	if err != nil {
		return fmt.Errorf("read markers: %w", err)
	}
	return nil
}

func readSegments(ctx context.Context, tx pgx.Tx, partition, oldest int32) (entries []dedup.Entry, err error) {
	rows, err := tx.Query(ctx, acquireSegmentsSQL, partition, oldest)
	if err != nil {
		return nil, fmt.Errorf("read identities: %w", err)
	}
	var segment pgtype.DriverBytes
	_, err = pgx.ForEachRow(rows, []any{&segment}, func() error {
		var err error
		entries, err = decodeSegment(entries, segment)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read identities: %w", err)
	}
	return entries, nil
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func readFilters(ctx context.Context, q querier, partition, oldest int32) (filters []dedup.Filter, err error) {
	rows, err := q.Query(ctx, filtersSQL, partition, oldest)
	if err != nil {
		return nil, fmt.Errorf("read filters: %w", err)
	}
	var f dedup.Filter
	_, err = pgx.ForEachRow(rows, []any{&f.First, &f.Day, &f.Keys, &f.K, &f.Bits}, func() error {
		if f.K != dedup.FilterProbes {
			return fmt.Errorf("the filter from day %d on has %d probes a key, not %d: its bits mean something else", f.First, f.K, dedup.FilterProbes)
		}
		filters = append(filters, f)
		f.Bits = nil
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read filters: %w", err)
	}
	return filters, nil
}
