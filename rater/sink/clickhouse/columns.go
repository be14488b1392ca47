package clickhouse

import (
	"encoding/binary"
	"math"
	"time"

	dcolumn "github.com/ClickHouse/clickhouse-go/v2/lib/column"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/sink"
)

type driverColumn = dcolumn.Interface

// column gathers one column of a block.
type column interface {
	fill(month int32, rows []sink.Row)
	into(to driverColumn, rows int, t *table) error
	forget()
}

// fixed is a column of values of one size, in bytes as they go over the wire: little endian.
type fixed struct {
	as       string // the type that the bytes mean
	appendTo func(b []byte, r *sink.Row) []byte
	b        []byte
}

func (c *fixed) fill(_ int32, rows []sink.Row) {
	for i := range rows {
		c.b = c.appendTo(c.b, &rows[i])
	}
}

func (c *fixed) into(to driverColumn, rows int, t *table) error { return t.decode(to, c.as, c.b, rows) }

func (c *fixed) forget() { c.b = c.b[:0] }

// months is the column of the block's month.
type months struct{ fixed }

func (c *months) fill(month int32, rows []sink.Row) {
	for range rows {
		c.b = binary.LittleEndian.AppendUint32(c.b, uint32(month))
	}
}

// texts is a column of strings.
type texts struct {
	of   func(r *sink.Row) string
	list []string
}

func (c *texts) fill(_ int32, rows []sink.Row) {
	for i := range rows {
		c.list = append(c.list, c.of(&rows[i]))
	}
}

func (c *texts) into(to driverColumn, _ int, _ *table) error {
	_, err := to.Append(c.list)
	return err
}

func (c *texts) forget() {
	clear(c.list)
	c.list = c.list[:0]
}

// lists is a column of lists of strings: where each ends, in strings from the beginning of the column, then all strings.
type lists struct {
	of    func(r *sink.Row) []activity.Attribute
	text  func(a *activity.Attribute) string
	ends  []byte
	count uint64
	texts []byte
}

func (c *lists) fill(_ int32, rows []sink.Row) {
	for i := range rows {
		list := c.of(&rows[i])
		for j := range list {
			text := c.text(&list[j])
			c.texts = append(binary.AppendUvarint(c.texts, uint64(len(text))), text...)
		}
		c.count += uint64(len(list))
		c.ends = binary.LittleEndian.AppendUint64(c.ends, c.count)
	}
}

func (c *lists) into(to driverColumn, rows int, t *table) error {
	c.ends = append(c.ends, c.texts...)
	return t.decode(to, "Array(String)", c.ends, rows)
}

func (c *lists) forget() { c.ends, c.count, c.texts = c.ends[:0], 0, c.texts[:0] }

func name(a *activity.Attribute) string  { return a.Name }
func value(a *activity.Attribute) string { return a.Value }

// columns are those of insert.sql, in its order.
func columns() []column {
	attributes := func(r *sink.Row) []activity.Attribute { return r.Activity.Attributes }
	group := func(r *sink.Row) []activity.Attribute { return r.Activity.Group }
	return []column{
		int32s(func(r *sink.Row) int32 { return r.Partition }),
		int64s(func(r *sink.Row) int64 { return r.Offset }),
		int32s(func(r *sink.Row) int32 { return int32(r.Activity.Index) }),
		int64s(func(r *sink.Row) int64 { return r.LogTime }),
		&months{fixed{as: "Int32"}},
		&fixed{as: "DateTime", appendTo: func(b []byte, r *sink.Row) []byte {
			return binary.LittleEndian.AppendUint32(b, dateTime(r.Activity.EventTime))
		}},
		int64s(func(r *sink.Row) int64 { return r.Activity.EventTime }),
		&fixed{as: "Int16", appendTo: func(b []byte, r *sink.Row) []byte {
			return binary.LittleEndian.AppendUint16(b, uint16(r.Activity.Kind))
		}},
		&texts{of: func(r *sink.Row) string { return r.Activity.EventID }},
		&texts{of: func(r *sink.Row) string { return r.Activity.Source }},
		&texts{of: func(r *sink.Row) string { return r.Activity.Account }},
		&texts{of: func(r *sink.Row) string { return r.Activity.Billed }},
		&texts{of: func(r *sink.Row) string { return r.Activity.Seller }},
		&texts{of: func(r *sink.Row) string { return r.Activity.Product }},
		&texts{of: func(r *sink.Row) string { return r.Activity.Package }},
		&lists{of: attributes, text: name},
		&lists{of: attributes, text: value},
		&lists{of: group, text: name},
		&lists{of: group, text: value},
		decimals(func(r *sink.Row) money.Decimal { return r.Activity.Quantity }),
		decimals(func(r *sink.Row) money.Decimal { return r.Activity.Charge }),
		&texts{of: func(r *sink.Row) string { return r.Activity.Currency }},
		&texts{of: func(r *sink.Row) string { return r.Activity.Level }},
		&texts{of: func(r *sink.Row) string { return r.Activity.RateAccount }},
		&texts{of: func(r *sink.Row) string { return r.Activity.RateID }},
		int64s(func(r *sink.Row) int64 { return r.Activity.RateSeq }),
		&texts{of: func(r *sink.Row) string { return r.Activity.RateModel }},
		int64s(func(r *sink.Row) int64 { return r.Activity.ActivatedSeq }),
		ids(func(r *sink.Row) *activity.ID { return &r.Activity.Invoice }),
		int64s(func(r *sink.Row) int64 { return r.Activity.PeriodStart }),
		int64s(func(r *sink.Row) int64 { return r.Activity.PeriodEnd }),
		ids(func(r *sink.Row) *activity.ID { return &r.Activity.Line }),
		int64s(func(r *sink.Row) int64 { return r.Activity.UsageStart }),
		int64s(func(r *sink.Row) int64 { return r.Activity.UsageEnd }),
		decimals(func(r *sink.Row) money.Decimal { return r.Activity.LineAmount }),
		&texts{of: func(r *sink.Row) string { return extra(r).EventPackage }},
		&fixed{as: "Int16", appendTo: func(b []byte, r *sink.Row) []byte {
			has := uint16(0)
			if extra(r).HasAmount {
				has = 1
			}
			return binary.LittleEndian.AppendUint16(b, has)
		}},
		decimals(func(r *sink.Row) money.Decimal { return extra(r).Amount }),
		&texts{of: func(r *sink.Row) string { return extra(r).AmountCurrency }},
		decimals(func(r *sink.Row) money.Decimal { return extra(r).AmountExchange.Rate }),
		int32s(func(r *sink.Row) int32 { return int32(extra(r).AmountExchange.Date) }),
		&texts{of: func(r *sink.Row) string { return r.Activity.RateCurrency }},
		decimals(func(r *sink.Row) money.Decimal { return r.Activity.RateExchange.Rate }),
		int32s(func(r *sink.Row) int32 { return int32(r.Activity.RateExchange.Date) }),
		&texts{of: func(r *sink.Row) string { return extra(r).Corrects.Source }},
		&texts{of: func(r *sink.Row) string { return extra(r).Corrects.ID }},
		int64s(func(r *sink.Row) int64 { return extra(r).CorrectsBelow }),
	}
}

// nothing is what most activities bring along.
var nothing activity.Extra

func extra(r *sink.Row) *activity.Extra {
	if x := r.Activity.Extra; x != nil {
		return x
	}
	return &nothing
}

func int32s(of func(*sink.Row) int32) *fixed {
	return &fixed{as: "Int32", appendTo: func(b []byte, r *sink.Row) []byte { return binary.LittleEndian.AppendUint32(b, uint32(of(r))) }}
}

func int64s(of func(*sink.Row) int64) *fixed {
	return &fixed{as: "Int64", appendTo: func(b []byte, r *sink.Row) []byte { return binary.LittleEndian.AppendUint64(b, uint64(of(r))) }}
}

func ids(of func(*sink.Row) *activity.ID) *fixed {
	return &fixed{as: "FixedString(16)", appendTo: func(b []byte, r *sink.Row) []byte { return append(b, of(r)[:]...) }}
}

// decimals are integers of 128 bits in units of 12 decimals, as money has them and the table too.
func decimals(of func(*sink.Row) money.Decimal) *fixed {
	return &fixed{as: "Decimal(38, 12)", appendTo: func(b []byte, r *sink.Row) []byte {
		var stack [16]byte
		big := of(r).AppendBinary16(stack[:0])
		b = binary.LittleEndian.AppendUint64(b, binary.BigEndian.Uint64(big[8:]))
		return binary.LittleEndian.AppendUint64(b, binary.BigEndian.Uint64(big[:8]))
	}}
}

// dateTime cuts an instant to what DateTime holds: whole seconds from 1970 to 2106.
func dateTime(instant int64) uint32 {
	return uint32(min(max(instant/int64(time.Second), 0), math.MaxUint32))
}
