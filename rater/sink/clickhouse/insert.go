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
	c := newColumns(b)
	for i, column := range c.all() {
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

// columns are a block turned on its side, which is how ClickHouse takes it.
type columns struct {
	partition, index, month                                                                     []int32
	offset, logTime, event, rateSeq, activated, periodStart, periodEnd, usageStart, usageEnd    []int64
	eventTime                                                                                   []time.Time
	kind                                                                                        []int16
	eventID, source, account, billed, seller, product, pkg, currency, level, owner, rate, model []string
	names, values, groupNames, groupValues                                                      [][]string
	quantity, charge, amount                                                                    []decimal.Decimal
	invoice, line                                                                               [][]byte
}

// all lists the columns in the order of insert.sql.
func (c *columns) all() []any {
	return []any{c.partition, c.offset, c.index, c.logTime, c.month, c.eventTime, c.event, c.kind, c.eventID, c.source,
		c.account, c.billed, c.seller, c.product, c.pkg, c.names, c.values, c.groupNames, c.groupValues,
		c.quantity, c.charge, c.currency, c.level, c.owner, c.rate, c.rateSeq, c.model, c.activated,
		c.invoice, c.periodStart, c.periodEnd, c.line, c.usageStart, c.usageEnd, c.amount}
}

func newColumns(b sink.Block) *columns {
	c := &columns{}
	for i := range b.Rows {
		r, a := &b.Rows[i], &b.Rows[i].Activity
		c.partition = append(c.partition, r.Partition)
		c.offset = append(c.offset, r.Offset)
		c.index = append(c.index, int32(a.Index))
		c.logTime = append(c.logTime, r.LogTime)
		c.month = append(c.month, b.Month)
		c.eventTime = append(c.eventTime, dateTime(a.EventTime))
		c.event = append(c.event, a.EventTime)
		c.kind = append(c.kind, int16(a.Kind))
		c.eventID = append(c.eventID, a.EventID)
		c.source = append(c.source, a.Source)
		c.account = append(c.account, a.Account)
		c.billed = append(c.billed, a.Billed)
		c.seller = append(c.seller, a.Seller)
		c.product = append(c.product, a.Product)
		c.pkg = append(c.pkg, a.Package)
		names, values := split(a.Attributes)
		c.names, c.values = append(c.names, names), append(c.values, values)
		names, values = split(a.Group)
		c.groupNames, c.groupValues = append(c.groupNames, names), append(c.groupValues, values)
		c.quantity = append(c.quantity, toDecimal(a.Quantity))
		c.charge = append(c.charge, toDecimal(a.Charge))
		c.currency = append(c.currency, a.Currency)
		c.level = append(c.level, a.Level)
		c.owner = append(c.owner, a.RateAccount)
		c.rate = append(c.rate, a.RateID)
		c.rateSeq = append(c.rateSeq, a.RateSeq)
		c.model = append(c.model, a.RateModel)
		c.activated = append(c.activated, a.ActivatedSeq)
		c.invoice = append(c.invoice, a.Invoice[:])
		c.periodStart = append(c.periodStart, a.PeriodStart)
		c.periodEnd = append(c.periodEnd, a.PeriodEnd)
		c.line = append(c.line, a.Line[:])
		c.usageStart = append(c.usageStart, a.UsageStart)
		c.usageEnd = append(c.usageEnd, a.UsageEnd)
		c.amount = append(c.amount, toDecimal(a.LineAmount))
	}
	return c
}

// dateTime cuts an instant to what DateTime holds: whole seconds from 1970 to 2106.
func dateTime(instant int64) time.Time {
	return time.Unix(min(max(instant/int64(time.Second), 0), math.MaxUint32), 0).UTC()
}

func split(list []activity.Attribute) (names, values []string) {
	names, values = make([]string, len(list)), make([]string, len(list))
	for i, a := range list {
		names[i], values[i] = a.Name, a.Value
	}
	return names, values
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
