package pg

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

var failureSQL = statement("failure")

// Failed counts a failure of the rater at an offset, outside any commit, and returns how often it has failed there. Index is
// that of the event, -1 when unknown.
func (s *Store) Failed(ctx context.Context, partition int32, offset int64, index int, message string) (failures int, err error) {
	message = strings.ReplaceAll(strings.ToValidUTF8(message, "?"), "\x00", "?") // a panic's text may be anything
	if err := s.pool.QueryRow(ctx, failureSQL, partition, offset, index, message).Scan(&failures); err != nil {
		return 0, fmt.Errorf("partition %d offset %d: count the failure: %w", partition, offset, err)
	}
	return failures, nil
}

// ClearFailures forgets failures below an offset that has been committed.
func (s *Store) ClearFailures(ctx context.Context, partition int32, below int64) error {
	_, err := s.pool.Exec(ctx, "DELETE FROM rater_failure WHERE partition = $1 AND usage_offset < $2", partition, below) // rater_failure_pkey
	if err != nil {
		return fmt.Errorf("partition %d: clear failures: %w", partition, err)
	}
	return nil
}

// Failure is an offset at which the rater failed.
type Failure struct {
	Partition int32
	Offset    int64
	Index     int // -1: unknown
	Failures  int
	Message   string
	At        time.Time
}

// Failures lists the offsets at which raters failed and that are not committed yet.
func (s *Store) Failures(ctx context.Context) ([]Failure, error) {
	rows, err := s.pool.Query(ctx, "SELECT partition, usage_offset, event_index, failures, message, failed_at FROM rater_failure ORDER BY partition, usage_offset")
	if err != nil {
		return nil, fmt.Errorf("read failures: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Failure])
	if err != nil {
		return nil, fmt.Errorf("read failures: %w", err)
	}
	return list, nil
}

// Skip tells the rater to reject an event unseen. It takes effect when the partition is acquired next.
func (s *Store) Skip(ctx context.Context, partition int32, offset int64, index int) error {
	_, err := s.pool.Exec(ctx, "INSERT INTO rater_skip (partition, usage_offset, event_index) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
		partition, offset, index)
	if err != nil {
		return fmt.Errorf("partition %d offset %d: skip event %d: %w", partition, offset, index, err)
	}
	return nil
}

// Skipped says whether an event at the offset is to be skipped.
func (s *Store) Skipped(ctx context.Context, partition int32, offset int64) (skipped bool, err error) {
	const query = "SELECT EXISTS (SELECT FROM rater_skip WHERE partition = $1 AND usage_offset = $2)" // rater_skip_pkey
	if err := s.pool.QueryRow(ctx, query, partition, offset).Scan(&skipped); err != nil {
		return false, fmt.Errorf("partition %d offset %d: look for a skip: %w", partition, offset, err)
	}
	return skipped, nil
}
