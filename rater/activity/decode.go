package activity

import (
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tollstream/tollstream/ledger/money"
)

// Header is what the order of the topic is judged by.
type Header struct {
	Offset   int64
	Previous int64
	Version  uint32
	LogTime  int64
}

// DecodeHeader reads a record's header without its activities.
func DecodeHeader(b []byte) (Header, error) {
	var r Record
	if err := (&decoder{headerOnly: true}).record(b, &r); err != nil {
		return Header{}, fmt.Errorf("decode header of rated record: %w", err)
	}
	return Header{Offset: r.Offset, Previous: r.Previous, Version: r.Version, LogTime: r.LogTime}, nil
}

// Decode reads what Append wrote; fields that it does not know are passed over. The slices of r are used
// again; strings and attributes are not, they stand in one copy of b that lives as long as any of them.
func Decode(b []byte, r *Record) error {
	*r = Record{Activities: r.Activities[:0], Rejected: r.Rejected[:0]}
	if err := (&decoder{text: string(b)}).record(b, r); err != nil {
		return fmt.Errorf("decode rated record: %w", err)
	}
	return nil
}

// field is one field of a message. Bytes are given as their place in the whole input.
type field struct {
	number     protowire.Number
	kind       protowire.Type
	value      uint64 // varint or fixed64
	start, end int    // bytes
}

type decoder struct {
	text       string // the whole input: strings are parts of it
	headerOnly bool
	attributes []Attribute // of all activities: one slice grows instead of two for each activity
	groups     []Attribute
}

// next reads the field at from.
func next(b []byte, from, to int) (field, int, error) {
	number, kind, n := protowire.ConsumeTag(b[from:to])
	if n < 0 {
		return field{}, 0, ErrMalformed
	}
	f := field{number: number, kind: kind}
	from += n
	switch kind {
	case protowire.VarintType:
		f.value, n = protowire.ConsumeVarint(b[from:to])
	case protowire.Fixed64Type:
		f.value, n = protowire.ConsumeFixed64(b[from:to])
	case protowire.BytesType:
		var length uint64
		length, n = protowire.ConsumeVarint(b[from:to])
		if n < 0 || length > uint64(to-from-n) {
			return field{}, 0, ErrMalformed
		}
		f.start = from + n
		f.end = f.start + int(length)
		n += int(length)
	default:
		n = protowire.ConsumeFieldValue(number, kind, b[from:to])
	}
	if n < 0 {
		return field{}, 0, ErrMalformed
	}
	return f, from + n, nil
}

func (d *decoder) record(b []byte, r *Record) error {
	for at := 0; at < len(b); {
		f, after, err := next(b, at, len(b))
		if err != nil {
			return err
		}
		at = after
		switch f.number {
		case recordOffset:
			err = f.int64(&r.Offset)
		case recordPrevious:
			if err = f.int64(&r.Previous); err == nil {
				r.Previous = protowire.DecodeZigZag(f.value)
			}
		case recordVersion:
			if f.kind != protowire.VarintType || f.value > math.MaxUint32 {
				return ErrMalformed
			}
			r.Version = uint32(f.value)
		case recordLogTime:
			err = f.instant(&r.LogTime)
		case recordDuplicates:
			err = f.count(&r.Duplicates)
		case recordActivity:
			if d.headerOnly {
				continue
			}
			if f.kind != protowire.BytesType || len(r.Activities) == MaxActivities {
				return ErrMalformed
			}
			r.Activities = append(r.Activities, Activity{})
			err = d.activity(b, f.start, f.end, &r.Activities[len(r.Activities)-1])
		case recordRejected:
			if d.headerOnly {
				continue
			}
			if f.kind != protowire.BytesType || len(r.Rejected) == MaxActivities {
				return ErrMalformed
			}
			r.Rejected = append(r.Rejected, Rejected{})
			err = d.rejected(b, f.start, f.end, &r.Rejected[len(r.Rejected)-1])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) activity(b []byte, at, to int, a *Activity) error {
	attributes, groups := len(d.attributes), len(d.groups)
	for at < to {
		f, after, err := next(b, at, to)
		if err != nil {
			return err
		}
		at = after
		switch f.number {
		case activityAttribute:
			d.attributes, err = d.attribute(b, f, d.attributes)
		case activityGroup:
			d.groups, err = d.attribute(b, f, d.groups)
		default:
			err = d.activityField(b, f, a)
		}
		if err != nil {
			return err
		}
	}
	if n := len(d.attributes); n > attributes {
		a.Attributes = d.attributes[attributes:n:n]
	}
	if n := len(d.groups); n > groups {
		a.Group = d.groups[groups:n:n]
	}
	return nil
}

// activityField has one case a field of the wire format, hence its length.
func (d *decoder) activityField(b []byte, f field, a *Activity) error {
	switch f.number {
	case activityKind:
		if f.kind != protowire.VarintType || f.value > math.MaxUint8 {
			return ErrMalformed
		}
		a.Kind = Kind(f.value)
		return nil
	case activityIndex:
		return f.count(&a.Index)
	case activityEventID:
		return d.string(f, &a.EventID)
	case activitySource:
		return d.string(f, &a.Source)
	case activityEventTime:
		return f.instant(&a.EventTime)
	case activityAccount:
		return d.string(f, &a.Account)
	case activityBilled:
		return d.string(f, &a.Billed)
	case activitySeller:
		return d.string(f, &a.Seller)
	case activityProduct:
		return d.string(f, &a.Product)
	case activityPackage:
		return d.string(f, &a.Package)
	case activityQuantity:
		return f.decimal(b, &a.Quantity)
	case activityCharge:
		return f.decimal(b, &a.Charge)
	case activityCurrency:
		return d.string(f, &a.Currency)
	case activityLevel:
		return d.string(f, &a.Level)
	case activityRateAccount:
		return d.string(f, &a.RateAccount)
	case activityRateID:
		return d.string(f, &a.RateID)
	case activityRateSeq:
		return f.int64(&a.RateSeq)
	case activityRateModel:
		return d.string(f, &a.RateModel)
	case activityActivatedSeq:
		return f.int64(&a.ActivatedSeq)
	case activityInvoice:
		return f.id(b, &a.Invoice)
	case activityPeriodStart:
		return f.instant(&a.PeriodStart)
	case activityPeriodEnd:
		return f.instant(&a.PeriodEnd)
	case activityLine:
		return f.id(b, &a.Line)
	case activityUsageStart:
		return f.instant(&a.UsageStart)
	case activityUsageEnd:
		return f.instant(&a.UsageEnd)
	case activityLineAmount:
		return f.decimal(b, &a.LineAmount)
	}
	return nil
}

func (d *decoder) rejected(b []byte, at, to int, r *Rejected) error {
	for at < to {
		f, after, err := next(b, at, to)
		if err != nil {
			return err
		}
		at = after
		switch f.number {
		case rejectedEventIndex:
			err = f.count(&r.EventIndex)
		case rejectedReason:
			err = d.string(f, &r.Reason)
		case rejectedEventID:
			err = d.string(f, &r.EventID)
		case rejectedSource:
			err = d.string(f, &r.Source)
		case rejectedEventTime:
			err = f.instant(&r.EventTime)
		case rejectedAccount:
			err = d.string(f, &r.Account)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) attribute(b []byte, f field, list []Attribute) ([]Attribute, error) {
	if f.kind != protowire.BytesType {
		return list, ErrMalformed
	}
	var a Attribute
	for at := f.start; at < f.end; {
		inner, after, err := next(b, at, f.end)
		if err != nil {
			return list, err
		}
		at = after
		switch inner.number {
		case attributeName:
			err = d.string(inner, &a.Name)
		case attributeValue:
			err = d.string(inner, &a.Value)
		}
		if err != nil {
			return list, err
		}
	}
	return append(list, a), nil
}

func (d *decoder) string(f field, to *string) error {
	if f.kind != protowire.BytesType {
		return ErrMalformed
	}
	*to = d.text[f.start:f.end]
	return nil
}

func (f field) int64(to *int64) error {
	if f.kind != protowire.VarintType {
		return ErrMalformed
	}
	*to = int64(f.value)
	return nil
}

func (f field) count(to *int) error {
	if f.kind != protowire.VarintType || f.value > math.MaxInt32 {
		return ErrMalformed
	}
	*to = int(f.value)
	return nil
}

func (f field) instant(to *int64) error {
	if f.kind != protowire.Fixed64Type {
		return ErrMalformed
	}
	*to = int64(f.value)
	return nil
}

func (f field) id(b []byte, to *ID) error {
	if f.kind != protowire.BytesType || f.end-f.start != len(to) {
		return ErrMalformed
	}
	*to = ID(b[f.start:f.end])
	return nil
}

func (f field) decimal(b []byte, to *money.Decimal) error {
	n := f.end - f.start
	if f.kind != protowire.BytesType || n < 1 || n > 16 {
		return ErrMalformed
	}
	var full [16]byte
	if b[f.start] >= 0x80 {
		for i := range full {
			full[i] = 0xff
		}
	}
	copy(full[16-n:], b[f.start:f.end])
	d, err := money.FromBinary16(full[:])
	if err != nil {
		return ErrMalformed
	}
	*to = d
	return nil
}
