package clickhouse

import (
	"context"
	"fmt"
	"math"
	"math/big"
	"time"

	"github.com/shopspring/decimal"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/sink"
)

// Insert implements sink.Store: one native block, answered when ClickHouse has written its part.
func (s *Store) Insert(ctx context.Context, b sink.Block) error {
	if len(b.Rows) == 0 {
		return nil
	}
	batch, err := s.conn.PrepareBatch(ctx, insertSQL)
	if err != nil {
		return fmt.Errorf("begin a ClickHouse block: %w", err)
	}
	for i, column := range columns(b) {
		if err := batch.Column(i).Append(column); err != nil {
			_ = batch.Abort() // the block is dropped anyway
			return fmt.Errorf("fill column %d of a ClickHouse block: %w", i, err)
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("send a ClickHouse block: %w", err)
	}
	return nil
}

// columns turns a block on its side, which is how ClickHouse takes it, in the order of insert.sql.
func columns(b sink.Block) []any {
	return []any{
		pick(b.Rows, func(r *sink.Row) int32 { return r.Partition }),
		pick(b.Rows, func(r *sink.Row) int64 { return r.Offset }),
		pick(b.Rows, func(r *sink.Row) int32 { return int32(r.Activity.Index) }),
		pick(b.Rows, func(r *sink.Row) int64 { return r.LogTime }),
		pick(b.Rows, func(r *sink.Row) int32 { return b.Month }),
		pick(b.Rows, func(r *sink.Row) time.Time { return dateTime(r.Activity.EventTime) }),
		pick(b.Rows, func(r *sink.Row) int64 { return r.Activity.EventTime }),
		pick(b.Rows, func(r *sink.Row) int16 { return int16(r.Activity.Kind) }),
		pick(b.Rows, func(r *sink.Row) string { return r.Activity.EventID }),
		pick(b.Rows, func(r *sink.Row) string { return r.Activity.Source }),
		pick(b.Rows, func(r *sink.Row) string { return r.Activity.Account }),
		pick(b.Rows, func(r *sink.Row) string { return r.Activity.Billed }),
		pick(b.Rows, func(r *sink.Row) string { return r.Activity.Seller }),
		pick(b.Rows, func(r *sink.Row) string { return r.Activity.Product }),
		pick(b.Rows, func(r *sink.Row) string { return r.Activity.Package }),
		pick(b.Rows, func(r *sink.Row) []string { return names(r.Activity.Attributes) }),
		pick(b.Rows, func(r *sink.Row) []string { return values(r.Activity.Attributes) }),
		pick(b.Rows, func(r *sink.Row) []string { return names(r.Activity.Group) }),
		pick(b.Rows, func(r *sink.Row) []string { return values(r.Activity.Group) }),
		pick(b.Rows, func(r *sink.Row) decimal.Decimal { return toDecimal(r.Activity.Quantity) }),
		pick(b.Rows, func(r *sink.Row) decimal.Decimal { return toDecimal(r.Activity.Charge) }),
		pick(b.Rows, func(r *sink.Row) string { return r.Activity.Currency }),
		pick(b.Rows, func(r *sink.Row) string { return r.Activity.Level }),
		pick(b.Rows, func(r *sink.Row) string { return r.Activity.RateAccount }),
		pick(b.Rows, func(r *sink.Row) string { return r.Activity.RateID }),
		pick(b.Rows, func(r *sink.Row) int64 { return r.Activity.RateSeq }),
		pick(b.Rows, func(r *sink.Row) string { return r.Activity.RateModel }),
		pick(b.Rows, func(r *sink.Row) int64 { return r.Activity.ActivatedSeq }),
		pick(b.Rows, func(r *sink.Row) []byte { return r.Activity.Invoice[:] }),
		pick(b.Rows, func(r *sink.Row) int64 { return r.Activity.PeriodStart }),
		pick(b.Rows, func(r *sink.Row) int64 { return r.Activity.PeriodEnd }),
		pick(b.Rows, func(r *sink.Row) []byte { return r.Activity.Line[:] }),
		pick(b.Rows, func(r *sink.Row) int64 { return r.Activity.UsageStart }),
		pick(b.Rows, func(r *sink.Row) int64 { return r.Activity.UsageEnd }),
		pick(b.Rows, func(r *sink.Row) decimal.Decimal { return toDecimal(r.Activity.LineAmount) }),
	}
}

func pick[T any](rows []sink.Row, of func(*sink.Row) T) []T {
	column := make([]T, len(rows))
	for i := range rows {
		column[i] = of(&rows[i])
	}
	return column
}

// dateTime cuts an instant to what DateTime holds: whole seconds from 1970 to 2106.
func dateTime(instant int64) time.Time {
	return time.Unix(min(max(instant/int64(time.Second), 0), math.MaxUint32), 0).UTC()
}

func names(list []activity.Attribute) []string {
	names := make([]string, len(list))
	for i := range list {
		names[i] = list[i].Name
	}
	return names
}

func values(list []activity.Attribute) []string {
	values := make([]string, len(list))
	for i := range list {
		values[i] = list[i].Value
	}
	return values
}

// toDecimal goes by the integer, not by text: it is exact and cheap.
func toDecimal(d money.Decimal) decimal.Decimal {
	var stack [16]byte
	b := d.AppendBinary16(stack[:0])
	n := new(big.Int).SetBytes(b)
	if b[0]&0x80 != 0 {
		n.Sub(n, twoTo128)
	}
	return decimal.NewFromBigInt(n, -money.Scale)
}

var twoTo128 = new(big.Int).Lsh(big.NewInt(1), 128)
