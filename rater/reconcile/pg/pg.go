// Package pg reads for reconciliation what the rater has committed to PostgreSQL.
//
// It implements reconcile.Books on the tables of rater/pg, whose segments rater decodes; it imports pgx. It only reads.
package pg

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/reconcile"
)

var (
	//go:embed checkpoints.sql
	checkpointsSQL string
	//go:embed lines.sql
	linesSQL string
	//go:embed pools.sql
	poolsSQL string
	//go:embed pooled.sql
	pooledSQL string
)

// Books reads checkpoints and lines.
type Books struct{ pool *pgxpool.Pool }

var _ reconcile.Books = (*Books)(nil)

// NewBooks returns the books of a database that deploy/schema has migrated.
func NewBooks(pool *pgxpool.Pool) *Books { return &Books{pool: pool} }

// Checkpoints implements reconcile.Books.
func (b *Books) Checkpoints(ctx context.Context, month int32) ([]reconcile.Checkpoint, error) {
	rows, err := b.pool.Query(ctx, checkpointsSQL, month)
	if err != nil {
		return nil, fmt.Errorf("read rater_checkpoint: %w", err)
	}
	defer rows.Close()
	var list []reconcile.Checkpoint
	for rows.Next() {
		var c reconcile.Checkpoint
		var currency *string // NULL: the partition counted nothing of the month
		var accepted, retried, rated, duplicates, rejected *int64
		var charged *money.Decimal
		if err := rows.Scan(&c.Partition, &c.Next, &c.Last, &currency, &accepted, &retried, &rated, &duplicates, &rejected, &charged); err != nil {
			return nil, fmt.Errorf("read rater_checkpoint: %w", err)
		}
		if n := len(list); n == 0 || list[n-1].Partition != c.Partition {
			list = append(list, c)
		}
		if currency == nil {
			continue
		}
		last := &list[len(list)-1]
		last.Counts = append(last.Counts, reconcile.Count{Currency: *currency, Accepted: *accepted, Retried: *retried, Rated: *rated,
			Duplicates: *duplicates, Rejected: *rejected, Charged: *charged})
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read rater_checkpoint: %w", err)
	}
	return list, nil
}

// Lines implements reconcile.Books.
func (b *Books) Lines(ctx context.Context, invoices []activity.ID) ([]reconcile.Line, error) {
	ids := make([]pgtype.UUID, len(invoices))
	for i, id := range invoices {
		ids[i] = pgtype.UUID{Bytes: id, Valid: true}
	}
	rows, err := b.pool.Query(ctx, linesSQL, ids)
	if err != nil {
		return nil, fmt.Errorf("read line: %w", err)
	}
	lines, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (reconcile.Line, error) {
		var l reconcile.Line
		var invoice, line pgtype.UUID
		err := row.Scan(&l.Partition, &invoice, &line, &l.Account, &l.Product, &l.Currency, &l.Amount, &l.Version)
		l.Invoice, l.Line = invoice.Bytes, line.Bytes
		return l, err
	})
	if err != nil {
		return nil, fmt.Errorf("read line: %w", err)
	}
	return lines, nil
}
