package postgres

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tollstream/tollstream/rater/sink"
)

var (
	//go:embed positions.sql
	positionsSQL string
	//go:embed save_positions.sql
	savePositionsSQL string
	//go:embed hold.sql
	holdSQL string
	//go:embed release.sql
	releaseSQL string
)

// State keeps the sink's positions and its lease, whichever report store is in use.
type State struct{ pool *pgxpool.Pool }

var (
	_ sink.Positions = (*State)(nil)
	_ sink.Lease     = (*State)(nil)
)

// NewState returns the sink's state in a database that deploy/schema has migrated.
func NewState(pool *pgxpool.Pool) *State { return &State{pool: pool} }

// Positions implements sink.Positions.
func (s *State) Positions(ctx context.Context) ([]sink.Position, error) {
	rows, err := s.pool.Query(ctx, positionsSQL)
	if err != nil {
		return nil, fmt.Errorf("read sink_position: %w", err)
	}
	ps, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p sink.Position, err error) {
		err = row.Scan(&p.Partition, &p.Next, &p.Last)
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("read sink_position: %w", err)
	}
	return ps, nil
}

// SavePositions implements sink.Positions.
func (s *State) SavePositions(ctx context.Context, ps []sink.Position) error {
	partitions, next, last := make([]int32, len(ps)), make([]int64, len(ps)), make([]int64, len(ps))
	for i, p := range ps {
		partitions[i], next[i], last[i] = p.Partition, p.Next, p.Last
	}
	if _, err := s.pool.Exec(ctx, savePositionsSQL, partitions, next, last); err != nil {
		return fmt.Errorf("write sink_position: %w", err)
	}
	return nil
}

// Hold implements sink.Lease.
func (s *State) Hold(ctx context.Context, owner string, ttl time.Duration) (bool, error) {
	tag, err := s.pool.Exec(ctx, holdSQL, owner, ttl.Seconds())
	if err != nil {
		return false, fmt.Errorf("write sink_lease: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// Break takes the lease from whoever holds it. Only for who knows that no other process is there: the one that
// has just started the database for itself.
func (s *State) Break(ctx context.Context) error {
	if _, err := s.pool.Exec(ctx, "DELETE FROM sink_lease"); err != nil { // one row
		return fmt.Errorf("delete from sink_lease: %w", err)
	}
	return nil
}

// Release implements sink.Lease.
func (s *State) Release(ctx context.Context, owner string) error {
	if _, err := s.pool.Exec(ctx, releaseSQL, owner); err != nil {
		return fmt.Errorf("delete from sink_lease: %w", err)
	}
	return nil
}
