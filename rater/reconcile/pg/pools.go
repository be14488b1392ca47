package pg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/reconcile"
)

// Pools implements reconcile.Books.
func (b *Books) Pools(ctx context.Context, partition, month int32, pool func(*reconcile.Pool) error, line func(*reconcile.Pooled) error) error {
	start := time.Date(int(month/12), time.Month(month%12+1), 1, 0, 0, 0, 0, time.UTC)
	args := []any{partition, start.UnixNano(), start.AddDate(0, 1, 0).UnixNano()}
	// A checkpoint writes pools and lines in one transaction, so that a snapshot has both as of the same offset.
	err := pgx.BeginTxFunc(ctx, b.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if err := readPools(ctx, tx, args, partition, pool); err != nil {
			return fmt.Errorf("read rater_pool: %w", err)
		}
		if err := readPooled(ctx, tx, args, partition, line); err != nil {
			return fmt.Errorf("read line: %w", err)
		}
		return nil
	})
	return err
}

func readPools(ctx context.Context, tx pgx.Tx, args []any, partition int32, each func(*reconcile.Pool) error) error {
	rows, err := tx.Query(ctx, poolsSQL, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		p := reconcile.Pool{Partition: partition}
		var id pgtype.UUID
		var encoded []byte
		if err := rows.Scan(&id, &p.Account, &p.Product, &p.Currency, &p.Amount, &encoded); err != nil {
			return err
		}
		p.ID = id.Bytes
		segments, err := rater.DecodePool(encoded)
		if err != nil {
			return fmt.Errorf("pool %s: %w", p.ID, err)
		}
		for i := range segments {
			p.Used = append(p.Used, usedOf(&segments[i].Segment))
		}
		if err := each(&p); err != nil {
			return err
		}
	}
	return rows.Err()
}

func readPooled(ctx context.Context, tx pgx.Tx, args []any, partition int32, each func(*reconcile.Pooled) error) error {
	rows, err := tx.Query(ctx, pooledSQL, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		l := reconcile.Pooled{Line: reconcile.Line{Partition: partition}, Whole: true}
		var invoice, line pgtype.UUID
		var encoded []byte
		if err := rows.Scan(&invoice, &line, &l.Account, &l.Product, &l.Currency, &l.Amount, &l.Version, &encoded); err != nil {
			return err
		}
		l.Invoice, l.Line.Line = invoice.Bytes, line.Bytes
		segments, err := rater.DecodeSegments(encoded)
		if err != nil {
			return fmt.Errorf("line %s: %w", l.Line.Line, err)
		}
		for i := range segments {
			if s := &segments[i]; s.Pool.IsZero() {
				l.Whole = false
			} else {
				l.Shares = append(l.Shares, reconcile.Share{Pool: s.Pool, Charged: s.Charged, Used: usedOf(s)})
			}
		}
		if len(l.Shares) == 0 {
			continue
		}
		if err := each(&l); err != nil {
			return err
		}
	}
	return rows.Err()
}

func usedOf(s *rater.Segment) reconcile.Used {
	return reconcile.Used{
		Rate:   reconcile.Rate{Kind: string(s.Owner.Kind), Owner: s.Owner.ID, ID: s.Rate, Cell: s.Cell, Shape: s.Shape},
		Events: s.State.Events, Sum: s.State.Sum, Peak: s.State.Peak,
	}
}
