// Package pg keeps collectors in PostgreSQL: their configurations, the history of their runs, and how
// far each file was processed.
//
// It imports collector and the driver. Its tables are made by deploy/schema, 0004_collector.sql.
//
// Invariants: a checkpoint, the counts up to it and the bad rows before it are written in one
// transaction; only the run that took a file last moves its checkpoint; every write may be repeated
// when its outcome is unknown.
package pg

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tollstream/tollstream/collector"
	"github.com/tollstream/tollstream/collector/format"
)

var (
	//go:embed queries/lock_file.sql
	lockFile string
	//go:embed queries/add_run.sql
	addRun string
	//go:embed queries/interrupt_run.sql
	interruptRun string
	//go:embed queries/take_file.sql
	takeFile string
	//go:embed queries/move_file.sql
	moveFile string
	//go:embed queries/save_run.sql
	saveRun string
	//go:embed queries/add_errors.sql
	addErrors string
	//go:embed queries/get_run.sql
	getRun string
)

// Store implements collector.RunStore, and keeps configurations. Its methods are safe for concurrent
// use.
type Store struct {
	pool *pgxpool.Pool
	now  func() time.Time
}

// New makes a store; now dates what is written.
func New(pool *pgxpool.Pool, now func() time.Time) *Store { return &Store{pool: pool, now: now} }

// callTimeout bounds every call: a server that takes no more is as good as away.
const callTimeout = 15 * time.Second

// describe tells what may be tried again (collector.ErrUnavailable) from what may not.
func describe(ctx context.Context, operation string, err error) error {
	if err == nil {
		return nil
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		switch refused.Code[:2] {
		case "08", "40", "53", "55", "57", "58", "25": // connection, rollback, resources, locks, operator, system, read-only standby
			return fmt.Errorf("%s: %w (%w)", operation, err, collector.ErrUnavailable)
		}
		return fmt.Errorf("%s: %w", operation, err)
	}
	for _, permanent := range []error{collector.ErrTakenOver, collector.ErrLeaseLost, ErrNotFound, pgx.ErrNoRows, ctx.Err()} {
		if permanent != nil && errors.Is(err, permanent) {
			return fmt.Errorf("%s: %w", operation, err)
		}
	}
	return fmt.Errorf("%s: %w (%w)", operation, err, collector.ErrUnavailable)
}

// ErrNotFound says that there is nothing of that name or number.
var ErrNotFound = errors.New("not found")

// BeginRun implements collector.RunStore.
func (s *Store) BeginRun(ctx context.Context, begin collector.Begin) (begun collector.Begun, err error) {
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err = pgx.BeginFunc(limited, s.pool, func(tx pgx.Tx) error {
		begun, err = s.beginRun(limited, tx, begin)
		return err
	})
	return begun, describe(ctx, "begin run", err)
}

func (s *Store) beginRun(ctx context.Context, tx pgx.Tx, begin collector.Begin) (begun collector.Begun, err error) {
	if err := fenced(ctx, tx, begin.File.Collector, begin.Token); err != nil {
		return begun, err
	}
	// Two runs of one new file at once have no row to lock yet.
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended($1 || '/' || $2, 4))", begin.File.Collector, begin.File.Hash); err != nil {
		return begun, err
	}
	var last int64
	var done bool
	begun.From = format.Start
	err = tx.QueryRow(ctx, lockFile, begin.File.Collector, begin.File.Hash).Scan(&last, &begun.From.Offset, &begun.From.Line, &done)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
	case err != nil:
		return begun, err
	case done && !begin.Again:
		run, err := scanRun(tx.QueryRow(ctx, getRun, last))
		begun.Done = &run
		return begun, err
	case done:
		begun.From = format.Start
	}
	now := s.now()
	if last != 0 {
		if _, err := tx.Exec(ctx, interruptRun, last, now, "its process ended; another run went on"); err != nil {
			return begun, err
		}
	}
	if err := tx.QueryRow(ctx, addRun, begin.File.Collector, begin.ConfigVersion, begin.Name, begin.File.Hash, begin.Bytes, now, begun.From.Line, begin.Pass).Scan(&begun.Run); err != nil {
		return begun, err
	}
	_, err = tx.Exec(ctx, takeFile, begin.File.Collector, begin.File.Hash, begin.Name, begun.Run, begun.From.Offset, begun.From.Line, now)
	return begun, err
}

// SaveRun implements collector.RunStore.
func (s *Store) SaveRun(ctx context.Context, save collector.Save) error {
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := pgx.BeginFunc(limited, s.pool, func(tx pgx.Tx) error { return s.saveRun(limited, tx, &save) })
	return describe(ctx, fmt.Sprintf("save run %d", save.Run), err)
}

func (s *Store) saveRun(ctx context.Context, tx pgx.Tx, save *collector.Save) error {
	if err := fenced(ctx, tx, save.File.Collector, save.Token); err != nil {
		return err
	}
	now := s.now()
	tag, err := tx.Exec(ctx, moveFile, save.File.Collector, save.File.Hash, save.Run, save.Next.Offset, save.Next.Line, save.State == collector.RunDone, now)
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return collector.ErrTakenOver
	}
	var ended *time.Time
	if save.State != collector.RunRunning {
		ended = &now
	}
	c := &save.Counts
	if _, err := tx.Exec(ctx, saveRun, save.Run, save.State, save.Message, ended, c.Rows, c.Sent, c.Rejected, c.Bytes, c.Seconds, c.FirstEvent, c.LastEvent, c.Filtered, c.Events); err != nil {
		return err
	}
	if len(save.Errors) == 0 {
		return nil
	}
	n := len(save.Errors)
	lines, ids, codes, messages, raws := make([]int64, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i, e := range save.Errors {
		lines[i], ids[i], codes[i], messages[i], raws[i] = e.Line, e.ID, string(e.Code), e.Message, e.Raw
	}
	_, err = tx.Exec(ctx, addErrors, save.Run, lines, ids, codes, messages, raws)
	return err
}

func scanRun(row pgx.Row) (run collector.Run, err error) {
	err = row.Scan(&run.ID, &run.Collector, &run.ConfigVersion, &run.File, &run.FileHash, &run.FileBytes, &run.Pass, &run.State, &run.Message,
		&run.StartedAt, &run.EndedAt, &run.FromLine, &run.Rows, &run.Sent, &run.Rejected, &run.Bytes, &run.Seconds, &run.FirstEvent, &run.LastEvent, &run.Filtered, &run.Events)
	return run, err
}
