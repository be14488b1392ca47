package activity

import (
	"encoding/binary"
	"errors"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tollstream/tollstream/ledger/money"
)

// The wire format is protobuf, written by hand so that it is deterministic: fields in the order of their
// numbers, zero values left out, minimal lengths. Instants are fixed64, amounts the shortest two's
// complement of the number times 10^12, big endian. Numbers are never used again for something else.
const (
	recordOffset     = 1
	recordPrevious   = 2 // zigzag
	recordVersion    = 3
	recordLogTime    = 4
	recordDuplicates = 5
	recordActivity   = 6
	recordRejected   = 7
)

const (
	activityKind         = 1
	activityIndex        = 2
	activityEventID      = 3
	activitySource       = 4
	activityEventTime    = 5
	activityAccount      = 6
	activityBilled       = 7
	activitySeller       = 8
	activityProduct      = 9
	activityPackage      = 10
	activityAttribute    = 11
	activityGroup        = 12
	activityQuantity     = 13
	activityCharge       = 14
	activityCurrency     = 15
	activityLevel        = 16
	activityRateAccount  = 17
	activityRateID       = 18
	activityRateSeq      = 19
	activityRateModel    = 20
	activityActivatedSeq = 21
	activityInvoice      = 22
	activityPeriodStart  = 23
	activityPeriodEnd    = 24
	activityLine         = 25
	activityUsageStart   = 26
	activityUsageEnd     = 27
	activityLineAmount   = 28
)

const (
	rejectedEventIndex = 1
	rejectedReason     = 2
	rejectedEventID    = 3
	rejectedSource     = 4
	rejectedEventTime  = 5
	rejectedAccount    = 6
)

const (
	attributeName  = 1
	attributeValue = 2
)

// MaxActivities bounds the activities, and apart from them the rejected events, of one record: 256 events or lines
// give at most a usage and a few adjustments each.
const MaxActivities = 4096

// ErrMalformed says that bytes are not an encoded record.
var ErrMalformed = errors.New("malformed rated record")

// Append appends the encoded record. The same record gives the same bytes.
func Append(b []byte, r *Record) []byte {
	b = appendVarint(b, recordOffset, uint64(r.Offset))
	b = appendVarint(b, recordPrevious, protowire.EncodeZigZag(r.Previous))
	b = appendVarint(b, recordVersion, uint64(r.Version))
	b = appendInstant(b, recordLogTime, r.LogTime)
	b = appendVarint(b, recordDuplicates, uint64(r.Duplicates))
	for i := range r.Activities {
		var start int
		b, start = beginMessage(b, recordActivity)
		b = endMessage(appendActivity(b, &r.Activities[i]), start)
	}
	for i := range r.Rejected {
		var start int
		b, start = beginMessage(b, recordRejected)
		b = endMessage(appendRejected(b, &r.Rejected[i]), start)
	}
	return b
}

func appendActivity(b []byte, a *Activity) []byte {
	b = appendVarint(b, activityKind, uint64(a.Kind))
	b = appendVarint(b, activityIndex, uint64(a.Index))
	b = appendString(b, activityEventID, a.EventID)
	b = appendString(b, activitySource, a.Source)
	b = appendInstant(b, activityEventTime, a.EventTime)
	b = appendString(b, activityAccount, a.Account)
	b = appendString(b, activityBilled, a.Billed)
	b = appendString(b, activitySeller, a.Seller)
	b = appendString(b, activityProduct, a.Product)
	b = appendString(b, activityPackage, a.Package)
	b = appendAttributes(b, activityAttribute, a.Attributes)
	b = appendAttributes(b, activityGroup, a.Group)
	b = appendDecimal(b, activityQuantity, a.Quantity)
	b = appendDecimal(b, activityCharge, a.Charge)
	b = appendString(b, activityCurrency, a.Currency)
	b = appendString(b, activityLevel, a.Level)
	b = appendString(b, activityRateAccount, a.RateAccount)
	b = appendString(b, activityRateID, a.RateID)
	b = appendVarint(b, activityRateSeq, uint64(a.RateSeq))
	b = appendString(b, activityRateModel, a.RateModel)
	b = appendVarint(b, activityActivatedSeq, uint64(a.ActivatedSeq))
	b = appendID(b, activityInvoice, a.Invoice)
	b = appendInstant(b, activityPeriodStart, a.PeriodStart)
	b = appendInstant(b, activityPeriodEnd, a.PeriodEnd)
	b = appendID(b, activityLine, a.Line)
	b = appendInstant(b, activityUsageStart, a.UsageStart)
	b = appendInstant(b, activityUsageEnd, a.UsageEnd)
	return appendDecimal(b, activityLineAmount, a.LineAmount)
}

func appendRejected(b []byte, r *Rejected) []byte {
	b = appendVarint(b, rejectedEventIndex, uint64(r.EventIndex))
	b = appendString(b, rejectedReason, r.Reason)
	b = appendString(b, rejectedEventID, r.EventID)
	b = appendString(b, rejectedSource, r.Source)
	b = appendInstant(b, rejectedEventTime, r.EventTime)
	return appendString(b, rejectedAccount, r.Account)
}

func appendAttributes(b []byte, number protowire.Number, list []Attribute) []byte {
	for i := range list {
		var start int
		b, start = beginMessage(b, number)
		b = appendString(b, attributeName, list[i].Name)
		b = endMessage(appendString(b, attributeValue, list[i].Value), start)
	}
	return b
}

// beginMessage reserves one byte for the length; endMessage moves the content when that is too little,
// which is cheaper than measuring every message before.
func beginMessage(b []byte, number protowire.Number) ([]byte, int) {
	b = append(protowire.AppendTag(b, number, protowire.BytesType), 0)
	return b, len(b)
}

func endMessage(b []byte, start int) []byte {
	n := len(b) - start
	if n < 1<<7 {
		b[start-1] = byte(n)
		return b
	}
	more := protowire.SizeVarint(uint64(n)) - 1
	for range more {
		b = append(b, 0)
	}
	copy(b[start+more:], b[start:start+n])
	binary.PutUvarint(b[start-1:], uint64(n))
	return b
}

func appendVarint(b []byte, number protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), v)
}

func appendInstant(b []byte, number protowire.Number, t int64) []byte {
	if t == 0 {
		return b
	}
	return protowire.AppendFixed64(protowire.AppendTag(b, number, protowire.Fixed64Type), uint64(t))
}

func appendString(b []byte, number protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, number, protowire.BytesType), s)
}

func appendID(b []byte, number protowire.Number, id ID) []byte {
	if id.IsZero() {
		return b
	}
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), id[:])
}

func appendDecimal(b []byte, number protowire.Number, d money.Decimal) []byte {
	if d.IsZero() {
		return b
	}
	var stack [16]byte
	v := d.AppendBinary16(stack[:0])
	// A leading byte that only repeats the sign of the next one carries nothing.
	for len(v) > 1 && (v[0] == 0 && v[1] < 0x80 || v[0] == 0xff && v[1] >= 0x80) {
		v = v[1:]
	}
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), v)
}
