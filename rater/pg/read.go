package pg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
)

// The readers of this file check no fence: what they return was committed, and may be behind what is shown live.

var (
	invoiceLinesSQL = statement("invoice_lines")
	billedLinesSQL  = statement("billed_lines")
	ratedThroughSQL = statement("rated_through")
	checkpointsSQL  = statement("checkpoints")
	sealsOfSQL      = statement("seals_of")
	accountLinesSQL = statement("account_lines")
	sealsOnSQL      = statement("seals_on")
	linesSharingSQL = statement("lines_sharing")
)

// InvoiceLines reads the lines of invoices on all partitions, ordered by invoice, partition, family and position.
func (s *Store) InvoiceLines(ctx context.Context, invoices []activity.ID) ([]rater.LineState, error) {
	lines, err := s.lines(ctx, invoiceLinesSQL, uuids(invoices))
	if err != nil {
		return nil, fmt.Errorf("read lines of invoices: %w", err)
	}
	return lines, nil
}

// LinesOfBilled reads the lines of the invoice, or the invoices, of a billed account whose period holds the instant.
func (s *Store) LinesOfBilled(ctx context.Context, billed string, at int64) ([]rater.LineState, error) {
	lines, err := s.lines(ctx, billedLinesSQL, billed, at)
	if err != nil {
		return nil, fmt.Errorf("read lines of account %s: %w", billed, err)
	}
	return lines, nil
}

// LinesOfAccount reads the lines of the account's own usage on the partition, ordered by family and position.
func (s *Store) LinesOfAccount(ctx context.Context, partition int32, account string) ([]rater.LineState, error) {
	lines, err := s.lines(ctx, accountLinesSQL, account, partition)
	if err != nil {
		return nil, fmt.Errorf("read lines of account %s on partition %d: %w", account, partition, err)
	}
	return lines, nil
}

// LinesSharing reads the lines of everybody's usage of the product in the period that begins at start and is owed's, ordered by family and
// position.
func (s *Store) LinesSharing(ctx context.Context, partition int32, owed, product string, start int64, limit int) ([]rater.LineState, error) {
	lines, err := s.lines(ctx, linesSharingSQL, partition, owed, product, start, limit)
	if err != nil {
		return nil, fmt.Errorf("read lines of product %s for account %s on partition %d: %w", product, owed, partition, err)
	}
	return lines, nil
}

// SealsOn reads the seals of billed accounts as the partition has committed them. An account without one is absent.
func (s *Store) SealsOn(ctx context.Context, partition int32, accounts []string) ([]rater.SealState, error) {
	rows, err := s.pool.Query(ctx, sealsOnSQL, partition, accounts)
	if err != nil {
		return nil, fmt.Errorf("read seals on partition %d: %w", partition, err)
	}
	seals, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (state rater.SealState, err error) {
		var points []byte
		if err = row.Scan(&state.Account, &points); err == nil {
			state.Seals, err = decodeSeals(points)
		}
		return state, err
	})
	if err != nil {
		return nil, fmt.Errorf("read seals on partition %d: %w", partition, err)
	}
	return seals, nil
}

func (s *Store) lines(ctx context.Context, sql string, args ...any) (lines []rater.LineState, err error) {
	rows, err := s.pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	add := appendLine(&lines)
	for rows.Next() {
		if err := add(rows); err != nil {
			return nil, err
		}
	}
	return lines, rows.Err()
}

// RatedThrough returns the smallest log time that the partitions are committed through; 0 while one of them never was. Read it
// before the lines: what it promises is then among them.
func (s *Store) RatedThrough(ctx context.Context, partitions []int32) (int64, error) {
	var n int
	var through int64
	if err := s.pool.QueryRow(ctx, ratedThroughSQL, partitions).Scan(&n, &through); err != nil {
		return 0, fmt.Errorf("read what is rated through: %w", err)
	}
	if n < len(partitions) {
		return 0, nil
	}
	return through, nil
}

// CheckpointRow is a partition's row as operators and jobs see it.
type CheckpointRow struct {
	Partition    int32
	Epoch        int64
	Owner        rater.Owner
	Next, Last   int64
	LogTime      int64
	ActivatedSeq int64
	Committed    time.Time // zero: never
}

// Checkpoints reads every partition's row, ordered by partition. Partitions that were never rated have none.
func (s *Store) Checkpoints(ctx context.Context) ([]CheckpointRow, error) {
	rows, err := s.pool.Query(ctx, checkpointsSQL)
	if err != nil {
		return nil, fmt.Errorf("read checkpoints: %w", err)
	}
	var list []CheckpointRow
	var row CheckpointRow
	var owner pgtype.UUID
	var committed *time.Time
	_, err = pgx.ForEachRow(rows, []any{&row.Partition, &row.Epoch, &owner, &row.Next, &row.Last, &row.LogTime, &row.ActivatedSeq, &committed}, func() error {
		entry := row
		entry.Owner = owner.Bytes
		if committed != nil {
			entry.Committed = *committed
		}
		list = append(list, entry)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read checkpoints: %w", err)
	}
	return list, nil
}

// CountsRow is what one partition counted of a month and currency.
type CountsRow struct {
	Partition int32
	Currency  string
	rater.Counts
}

// Counts reads a month's counts (rater.CountKey.Month) of every partition.
func (s *Store) Counts(ctx context.Context, month int32) ([]CountsRow, error) {
	rows, err := s.pool.Query(ctx, "SELECT partition, currency, accepted, retried, rated, duplicates, rejected, charged::text FROM rater_count WHERE month = $1 ORDER BY partition, currency", month) // small: read whole
	if err != nil {
		return nil, fmt.Errorf("read counts of month %d: %w", month, err)
	}
	var list []CountsRow
	var row CountsRow
	var charged string
	_, err = pgx.ForEachRow(rows, []any{&row.Partition, &row.Currency, &row.Accepted, &row.Retried, &row.Rated, &row.Duplicates, &row.Rejected, &charged}, func() error {
		var err error
		row.Charged, err = money.Parse(charged)
		list = append(list, row)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read counts of month %d: %w", month, err)
	}
	return list, nil
}

// SealsOf reads a billed account's seals by partition.
func (s *Store) SealsOf(ctx context.Context, account string) (map[int32][]rater.SealPoint, error) {
	rows, err := s.pool.Query(ctx, sealsOfSQL, account)
	if err != nil {
		return nil, fmt.Errorf("read seals of account %s: %w", account, err)
	}
	seals := map[int32][]rater.SealPoint{}
	var partition int32
	var points []byte
	_, err = pgx.ForEachRow(rows, []any{&partition, &points}, func() error {
		var err error
		seals[partition], err = decodeSeals(points)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read seals of account %s: %w", account, err)
	}
	return seals, nil
}
