// Package pg keeps definitions in PostgreSQL: it applies documents as immutable rows under one
// global sequence number, reads them back as of any sequence number, and publishes what changed to
// the partitions.
//
// It imports rater/catalog, collector/usage for the record that it publishes, and the driver. Its
// tables are made by deploy/schema, 0001_catalog.sql.
//
// Invariants: a change is one transaction and takes one sequence number, from a counter row that is
// locked until the commit, so that numbers become visible in their order; rows never change; the
// current state in account, identifier and definition_use follows from the rows and is written in
// the same transaction; each partition is told of every sequence number in order, at least once.
package pg

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tollstream/tollstream/rater/catalog"
)

// Store reads and writes definitions. Its methods are safe for concurrent use; reads may be
// repeated at any time.
type Store struct {
	pool *pgxpool.Pool
	now  func() time.Time
}

// New makes a store. now decides only when changes of billing and of identifiers take effect.
func New(pool *pgxpool.Pool, now func() time.Time) *Store { return &Store{pool: pool, now: now} }

var (
	//go:embed queries/load_shared.sql
	loadShared string
	//go:embed queries/load_shared_since.sql
	loadSharedSince string
	//go:embed queries/load_newest.sql
	loadNewest string
	//go:embed queries/accounts_at.sql
	accountsAt string
	//go:embed queries/resolve_subjects.sql
	resolveSubjects string
	//go:embed queries/routing_keys_billed_to.sql
	routingKeysBilledTo string
)

// querier is what a pool and a transaction have in common.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func readRows(ctx context.Context, q querier, sql string, args ...any) ([]catalog.Row, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (row catalog.Row, err error) {
		err = r.Scan(&row.Kind, &row.ID, &row.Seq, &row.Deleted, &row.Body)
		return row, err
	})
}

// CurrentSeq is the newest sequence number; 0: nothing was applied yet.
func (s *Store) CurrentSeq(ctx context.Context) (seq int64, err error) {
	if err := s.pool.QueryRow(ctx, "SELECT seq FROM catalog_counter").Scan(&seq); err != nil {
		return 0, fmt.Errorf("read the catalogue's sequence number: %w", err)
	}
	return seq, nil
}

// SeqAt is the newest sequence number that was applied by the instant; 0: nothing was.
func (s *Store) SeqAt(ctx context.Context, t time.Time) (seq int64, err error) {
	// The number follows the time, so the few documents that were ever applied are looked through.
	if err := s.pool.QueryRow(ctx, "SELECT coalesce(max(seq), 0) FROM catalog_outbox WHERE applied_at <= $1", t).Scan(&seq); err != nil {
		return 0, fmt.Errorf("read the catalogue's sequence number at %s: %w", t.Format(time.RFC3339), err)
	}
	return seq, nil
}

// Snapshot reads what all accounts share, as of seq.
func (s *Store) Snapshot(ctx context.Context, seq int64) (*catalog.Snapshot, error) {
	rows, err := readRows(ctx, s.pool, loadShared, seq)
	if err != nil {
		return nil, fmt.Errorf("read the catalogue at %d: %w", seq, err)
	}
	empty, err := catalog.NewSnapshot(nil)
	if err != nil {
		return nil, err
	}
	return empty.With(rows, seq)
}

// Advance returns the snapshot at seq, reading only what changed since the given one.
func (s *Store) Advance(ctx context.Context, from *catalog.Snapshot, seq int64) (*catalog.Snapshot, error) {
	rows, err := readRows(ctx, s.pool, loadSharedSince, from.Seq(), seq)
	if err != nil {
		return nil, fmt.Errorf("read the catalogue from %d to %d: %w", from.Seq(), seq, err)
	}
	return from.With(rows, seq)
}

// Accounts reads the accounts and all their parents up to the root with their contracts, as of
// seq, in one query. Unknown and deleted accounts are absent.
func (s *Store) Accounts(ctx context.Context, seq int64, ids []string) (map[string]*catalog.Account, error) {
	if len(ids) == 0 {
		return map[string]*catalog.Account{}, nil
	}
	rows, err := s.pool.Query(ctx, accountsAt, seq, ids)
	if err != nil {
		return nil, fmt.Errorf("read %d accounts at %d: %w", len(ids), seq, err)
	}
	var accounts []catalog.Row
	contracts := map[string][]catalog.Row{}
	var row catalog.Row
	var parent string
	_, err = pgx.ForEachRow(rows, []any{&row.Kind, &row.ID, &row.Seq, &row.Deleted, &parent, &row.Body}, func() error {
		own := row
		own.Body = append([]byte(nil), row.Body...)
		if row.Kind == catalog.KindContract {
			contracts[parent] = append(contracts[parent], own)
		} else if !row.Deleted {
			accounts = append(accounts, own)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read %d accounts at %d: %w", len(ids), seq, err)
	}
	found := make(map[string]*catalog.Account, len(accounts))
	for _, row := range accounts {
		if found[row.ID], err = catalog.DecodeAccount(row, contracts[row.ID]); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// Subject is what an event names as its account, and when it happened.
type Subject struct {
	Value string
	Time  int64 // instant
}

// Resolution is whom a subject names: Account is empty when it is unknown. The answer holds for the
// value at instants in [From, Until), as long as the definitions do not change.
type Resolution struct {
	Account     string
	RoutingKey  string
	From, Until int64
}

// ResolveSubjects looks subjects up, in their order, in one query: an account's id, or an
// identifier as of the subject's time.
func (s *Store) ResolveSubjects(ctx context.Context, subjects []Subject) ([]Resolution, error) {
	if len(subjects) == 0 {
		return nil, nil
	}
	values, times := make([]string, len(subjects)), make([]int64, len(subjects))
	for i, subject := range subjects {
		values[i], times[i] = subject.Value, subject.Time
	}
	rows, err := s.pool.Query(ctx, resolveSubjects, values, times)
	if err != nil {
		return nil, fmt.Errorf("look up %d subjects: %w", len(subjects), err)
	}
	found, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (x Resolution, err error) {
		err = r.Scan(&x.Account, &x.RoutingKey, &x.From, &x.Until)
		return x, err
	})
	if err != nil {
		return nil, fmt.Errorf("look up %d subjects: %w", len(subjects), err)
	}
	if len(found) != len(subjects) {
		return nil, fmt.Errorf("look up %d subjects: got %d answers", len(subjects), len(found))
	}
	return found, nil
}

// RoutingKeysBilledTo returns the routing keys of all accounts that are or ever were billed to the
// account, its own included, in order.
func (s *Store) RoutingKeysBilledTo(ctx context.Context, account string) ([]string, error) {
	rows, err := s.pool.Query(ctx, routingKeysBilledTo, account)
	if err != nil {
		return nil, fmt.Errorf("read the accounts billed to %s: %w", account, err)
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read the accounts billed to %s: %w", account, err)
	}
	return keys, nil
}

// Rows reads the newest row of every definition that is not deleted, for an export.
func (s *Store) Rows(ctx context.Context) ([]catalog.Row, error) {
	rows, err := readRows(ctx, s.pool, loadNewest)
	if err != nil {
		return nil, fmt.Errorf("read the catalogue: %w", err)
	}
	return rows, nil
}

// rollback ends a transaction that was not committed; its error adds nothing to the first one.
func rollback(ctx context.Context, tx pgx.Tx) {
	if err := tx.Rollback(context.WithoutCancel(ctx)); err != nil && !errors.Is(err, pgx.ErrTxClosed) {
		return // the connection is gone, and with it the transaction
	}
}
