package pg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/dedup"
)

const (
	// chunkEntries keeps a chunk's row under PostgreSQL's 2 KiB threshold, so that it is one of four on a page and a look-up,
	// which has to try every day of the window, reads a page for each and not a large value out of line.
	chunkEntries = 60
	// chunkRows bounds one insert of chunks: 8 MiB.
	chunkRows = 4096
	// settled is how long after its end a day is compacted: most resends come soon, and meet memory.
	settled = 2 * time.Hour
)

var (
	finishedDaySQL   = statement("finished_day")
	daySegmentsSQL   = statement("day_segments")
	compactFenceSQL  = statement("compact_fence")
	compactFilterSQL = statement("compact_filter")
	dropSegmentsSQL  = statement("drop_segments")
)

// Compact compacts the days that were over two hours before the log time, and drops what no longer counts. LogTime is that of
// the last commit: with it everything that arrived before is in the store. The caller hands each
// answer to its index (dedup.Index.Sealed) before it rates on; when an error comes with answers, these count. It
// takes 32 bytes of memory for each identity of a day. After ErrFenced nothing was changed that counts.
func (s *Store) Compact(ctx context.Context, f rater.Fence, logTime int64) ([]dedup.Compacted, error) {
	var done []dedup.Compacted
	before, oldest := dedup.Day(logTime-int64(settled)), s.oldest(logTime)
	for {
		day, ok, err := s.finishedDay(ctx, f, before, oldest)
		if err != nil {
			return done, err
		}
		if !ok {
			break
		}
		c, err := s.compactDay(ctx, f, day, oldest)
		if err != nil {
			return done, err
		}
		done = append(done, c)
	}
	return done, s.prune(ctx, f, oldest)
}

func (s *Store) finishedDay(ctx context.Context, f rater.Fence, before, oldest int32) (day int32, ok bool, err error) {
	err = s.claimed(ctx, f, "find a finished day", finishedDaySQL, func(rows pgx.Rows) error {
		ok = true
		return rows.Scan(&day)
	}, before, oldest)
	return day, ok, err
}

// compactDay writes the day's chunks first, which nobody reads yet, and then makes them count in one short fenced
// transaction.
func (s *Store) compactDay(ctx context.Context, f rater.Fence, day, oldest int32) (dedup.Compacted, error) {
	var entries []dedup.Entry
	err := s.claimed(ctx, f, "read a finished day", daySegmentsSQL, func(rows pgx.Rows) error {
		var segment pgtype.DriverBytes
		err := rows.Scan(&segment)
		if err == nil {
			entries, err = decodeSegment(entries, segment)
		}
		return err
	}, day)
	if err != nil {
		return dedup.Compacted{}, err
	}
	sortEntries(entries)
	entries = newestOnly(entries)
	filters, err := readFilters(ctx, s.pool, f.Partition, oldest)
	if err != nil {
		return dedup.Compacted{}, failed(f, "compact a day", err)
	}
	var current dedup.Filter
	for _, known := range filters {
		if known.Day >= current.Day || len(current.Bits) == 0 {
			current = known
		}
	}
	filter := dedup.GenerationFilter(current, day, int64(len(entries)))
	for i := range entries {
		filter.Add(entries[i].ID)
	}
	attempt, err := s.writeChunks(ctx, f.Partition, day, entries)
	if err != nil {
		return dedup.Compacted{}, failed(f, "write chunks of identities", err)
	}
	if err := s.publishDay(ctx, f, day, attempt, int64(len(entries)), filter); err != nil {
		// The answer to the commit may be lost: the row tells.
		var published int64
		found := s.pool.QueryRow(ctx, "SELECT attempt FROM identity_day WHERE partition = $1 AND day = $2", f.Partition, day).Scan(&published)
		if found != nil || published != attempt {
			return dedup.Compacted{}, failed(f, "publish a compacted day", err)
		}
	}
	return dedup.Compacted{Day: day, Filter: filter}, nil
}

// newestOnly drops older arrivals of an identity from sorted entries.
func newestOnly(entries []dedup.Entry) []dedup.Entry {
	kept := entries[:0]
	for i := range entries {
		if len(kept) == 0 || kept[len(kept)-1].ID != entries[i].ID {
			kept = append(kept, entries[i])
		}
	}
	return kept
}

func (s *Store) writeChunks(ctx context.Context, partition, day int32, entries []dedup.Entry) (attempt int64, err error) {
	if err := s.pool.QueryRow(ctx, "SELECT nextval('identity_attempt')").Scan(&attempt); err != nil {
		return 0, err
	}
	for len(entries) > 0 {
		var first pgtype.FlatArray[pgtype.UUID]
		var chunks [][]byte
		for len(entries) > 0 && len(first) < chunkRows {
			n := min(len(entries), chunkEntries)
			first, chunks = append(first, uuid(entries[0].ID)), append(chunks, encodeEntries(entries[:n]))
			entries = entries[n:]
		}
		_, err := s.pool.Exec(ctx, "INSERT INTO identity_chunk SELECT $1, $2, $3, u.* FROM unnest($4::uuid[], $5::bytea[]) AS u",
			partition, day, attempt, first, chunks)
		if err != nil {
			return 0, err
		}
	}
	return attempt, nil
}

// publishDay makes the attempt's chunks count. Another attempt at the same day fails on the day's key.
func (s *Store) publishDay(ctx context.Context, f rater.Fence, day int32, attempt, keys int64, filter dedup.Filter) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := holdCheckpoint(ctx, tx, f); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO identity_day (partition, day, attempt, keys) VALUES ($1, $2, $3, $4)", f.Partition, day, attempt, keys)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, compactFilterSQL, f.Partition, filter.First, filter.Day, filter.Keys, filter.K, filter.Bits)
		return err
	})
}

// holdCheckpoint keeps the claim as it is until the transaction ends.
func holdCheckpoint(ctx context.Context, tx pgx.Tx, f rater.Fence) error {
	var mine bool
	err := tx.QueryRow(ctx, compactFenceSQL, f.Partition, f.Epoch, uuid(f.Owner), f.Next).Scan(&mine)
	if errors.Is(err, pgx.ErrNoRows) {
		return rater.ErrFenced
	}
	return err
}

// prune drops what no reader looks at any more, so it needs no fence: segments of compacted days, and days of
// which nothing counts, with the chunks that failed attempts left.
func (s *Store) prune(ctx context.Context, f rater.Fence, oldest int32) error {
	batch := &pgx.Batch{}
	batch.Queue(dropSegmentsSQL, f.Partition, oldest)
	// Indexes: the primary keys.
	batch.Queue("DELETE FROM identity_day WHERE partition = $1 AND day < $2", f.Partition, oldest)
	batch.Queue("DELETE FROM identity_filter WHERE partition = $1 AND last_day < $2", f.Partition, oldest)
	batch.Queue("DELETE FROM identity_chunk WHERE partition = $1 AND day < $2", f.Partition, oldest)
	if err := s.pool.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("partition %d: prune identities: %w", f.Partition, err)
	}
	return nil
}
