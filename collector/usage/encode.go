package usage

import (
	"encoding/binary"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tollstream/tollstream/ledger/money"
)

// Field numbers of usage.proto.
const (
	recordKind        = 1
	recordEvents      = 2
	recordDefinitions = 3
	recordSeal        = 4
	recordSweep       = 5
	recordMarker      = 6
	recordResult      = 7
	recordValues      = 8

	eventID         = 1
	eventSource     = 2
	eventAccount    = 3
	eventSubject    = 4
	eventRoutingKey = 5
	eventProduct    = 6
	eventPackage    = 7
	eventTime       = 8
	eventQuantity   = 9
	eventAmount     = 10
	eventCurrency   = 11
	eventAttributes = 12
	eventHash       = 13
	eventBackfill   = 14
	eventCorrects   = 15

	attributeName  = 1
	attributeValue = 2

	nameSource = 1
	nameID     = 2

	definitionsFrom     = 1
	definitionsTo       = 2
	definitionsPrevious = 3
	definitionsHash     = 4
	definitionsLinks    = 5
	definitionsChanged  = 6
	definitionsAll      = 7

	refSeq     = 1
	refKind    = 2
	refID      = 3
	refAccount = 4

	sealAccount = 1
	sealStart   = 2
	sealEnd     = 3
)

// AppendRecord appends the wire form of the record to b. It writes what it is given: the bounds, and
// what the types' comments demand, are the caller's to keep; Decode refuses what breaks them.
func AppendRecord(b []byte, r *Record) []byte {
	b = AppendKind(b, r.Kind)
	for i := range r.Events {
		b = AppendEvent(b, &r.Events[i])
	}
	if r.Definitions != nil {
		b = protowire.AppendTag(b, recordDefinitions, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(sizeDefinitions(r.Definitions)))
		b = appendDefinitions(b, r.Definitions)
	}
	if r.Seal != nil {
		b = protowire.AppendTag(b, recordSeal, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(sizeSeal(r.Seal)))
		b = appendString(b, sealAccount, r.Seal.Account)
		b = appendFixed64(b, sealStart, uint64(r.Seal.PeriodStart))
		b = appendFixed64(b, sealEnd, uint64(r.Seal.PeriodEnd))
	}
	if r.Sweep != nil {
		b = appendMessage(b, recordSweep, r.Sweep.encode())
	}
	if r.Marker != nil {
		b = appendMessage(b, recordMarker, r.Marker.encode())
	}
	if r.Result != nil {
		b = appendMessage(b, recordResult, r.Result.encode())
	}
	if r.Values != nil {
		b = appendMessage(b, recordValues, r.Values.encode())
	}
	return b
}

// AppendKind appends the start of a record. A batch is AppendKind followed by AppendEvent for each of
// its events, so that a publisher can gather encoded events of many callers without a Record.
func AppendKind(b []byte, kind RecordKind) []byte {
	b = protowire.AppendTag(b, recordKind, protowire.VarintType)
	return protowire.AppendVarint(b, uint64(kind))
}

// KindSize is the number of bytes that AppendKind appends.
const KindSize = 2

// AppendEvent appends an event as a member of a batch or retry record: e.Size() bytes.
func AppendEvent(b []byte, e *Event) []byte {
	size := e.bodySize()
	b = slices.Grow(b, size+protowire.SizeVarint(uint64(size))+1)
	b = appendLength(append(b, tag(recordEvents)), size)
	return appendEventBody(b, e)
}

func appendEventBody(b []byte, e *Event) []byte {
	b = appendString(b, eventID, e.ID)
	b = appendString(b, eventSource, e.Source)
	b = appendString(b, eventAccount, e.Account)
	b = appendString(b, eventSubject, e.Subject)
	if e.RoutingKey != e.Account {
		b = appendString(b, eventRoutingKey, e.RoutingKey)
	}
	b = appendString(b, eventProduct, e.Product)
	b = appendString(b, eventPackage, e.Package)
	b = appendFixed64(b, eventTime, uint64(e.Time))
	if e.Quantity != money.One {
		b = appendDecimal(b, eventQuantity, e.Quantity)
	}
	if e.HasAmount {
		b = appendDecimal(b, eventAmount, e.Amount)
	}
	b = appendString(b, eventCurrency, e.Currency)
	for i := range e.Attributes {
		a := &e.Attributes[i]
		b = appendLength(append(b, tag(eventAttributes)), sizeString(a.Name)+sizeString(a.Value))
		b = appendString(b, attributeName, a.Name)
		b = appendString(b, attributeValue, a.Value)
	}
	b = appendFixed64(b, eventHash, e.Hash)
	if e.Backfill {
		b = protowire.AppendTag(b, eventBackfill, protowire.VarintType)
		b = append(b, 1)
	}
	if c := e.Corrects; c != nil {
		b = appendLength(append(b, tag(eventCorrects)), sizeString(c.Source)+sizeString(c.ID))
		b = appendString(b, nameSource, c.Source)
		b = appendString(b, nameID, c.ID)
	}
	return b
}

// Size is the number of bytes that the event takes in a record, its own tag and length included.
func (e *Event) Size() int {
	return 1 + sizeBytes(e.bodySize())
}

func (e *Event) bodySize() int {
	n := sizeString(e.ID) + sizeString(e.Source) + sizeString(e.Account) + sizeString(e.Subject) +
		sizeString(e.Product) + sizeString(e.Package) + sizeFixed64(uint64(e.Time)) +
		sizeString(e.Currency) + sizeFixed64(e.Hash)
	if e.RoutingKey != e.Account {
		n += sizeString(e.RoutingKey)
	}
	if e.Quantity != money.One {
		n += sizeDecimal(e.Quantity)
	}
	if e.HasAmount {
		n += sizeDecimal(e.Amount)
	}
	for i := range e.Attributes {
		a := &e.Attributes[i]
		n += 1 + sizeBytes(sizeString(a.Name)+sizeString(a.Value))
	}
	if e.Backfill {
		n += 2
	}
	if c := e.Corrects; c != nil {
		n += 1 + sizeBytes(sizeString(c.Source)+sizeString(c.ID))
	}
	return n
}

func appendDefinitions(b []byte, d *Definitions) []byte {
	b = appendInt(b, definitionsFrom, d.From)
	b = appendInt(b, definitionsTo, d.To)
	b = appendFixed64(b, definitionsPrevious, d.PreviousHash)
	b = appendFixed64(b, definitionsHash, d.Hash)
	if len(d.Links) > 0 {
		b = protowire.AppendTag(b, definitionsLinks, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(8*len(d.Links)))
		for _, link := range d.Links {
			b = protowire.AppendFixed64(b, link)
		}
	}
	for i := range d.Changed {
		ref := &d.Changed[i]
		b = protowire.AppendTag(b, definitionsChanged, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(sizeRef(ref)))
		b = appendInt(b, refSeq, ref.Seq)
		b = appendString(b, refKind, ref.Kind)
		b = appendString(b, refID, ref.ID)
		b = appendString(b, refAccount, ref.Account)
	}
	if d.All {
		b = protowire.AppendTag(b, definitionsAll, protowire.VarintType)
		b = append(b, 1)
	}
	return b
}

func sizeDefinitions(d *Definitions) int {
	n := sizeInt(d.From) + sizeInt(d.To) + sizeFixed64(d.PreviousHash) + sizeFixed64(d.Hash)
	if len(d.Links) > 0 {
		n += 1 + protowire.SizeBytes(8*len(d.Links))
	}
	for i := range d.Changed {
		n += 1 + protowire.SizeBytes(sizeRef(&d.Changed[i]))
	}
	if d.All {
		n += 2
	}
	return n
}

func sizeRef(ref *DefinitionRef) int {
	return sizeInt(ref.Seq) + sizeString(ref.Kind) + sizeString(ref.ID) + sizeString(ref.Account)
}

func sizeSeal(s *Seal) int {
	return sizeString(s.Account) + sizeFixed64(uint64(s.PeriodStart)) + sizeFixed64(uint64(s.PeriodEnd))
}

// The scalar helpers leave out a member that holds its default, as proto3 does. Every field number
// of the format is below 16, so that a tag is one byte.

// tag is the byte before a member of variable length.
func tag(field protowire.Number) byte { return byte(field)<<3 | byte(protowire.BytesType) }

func appendLength(b []byte, n int) []byte {
	if n < 0x80 { // nearly always
		return append(b, byte(n))
	}
	return protowire.AppendVarint(b, uint64(n))
}

func appendString(b []byte, field protowire.Number, s string) []byte {
	switch {
	case s == "":
		return b
	case len(s) < 0x80:
		b = append(b, tag(field), byte(len(s)))
	default:
		b = appendLength(append(b, tag(field)), len(s))
	}
	return append(b, s...)
}

func sizeString(s string) int {
	if s == "" {
		return 0
	}
	return 1 + sizeBytes(len(s))
}

// sizeBytes is the size of so many bytes with their length.
func sizeBytes(n int) int {
	if n < 0x80 {
		return 1 + n
	}
	return protowire.SizeBytes(n)
}

func appendFixed64(b []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	b = append(b, byte(field)<<3|byte(protowire.Fixed64Type))
	return binary.LittleEndian.AppendUint64(b, v)
}

func sizeFixed64(v uint64) int {
	if v == 0 {
		return 0
	}
	return 9
}

func appendInt(b []byte, field protowire.Number, v int64) []byte {
	if v == 0 {
		return b
	}
	b = protowire.AppendTag(b, field, protowire.VarintType)
	return protowire.AppendVarint(b, uint64(v))
}

func sizeInt(v int64) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(uint64(v))
}

func appendDecimal(b []byte, field protowire.Number, d money.Decimal) []byte {
	var buffer [16]byte
	full := d.AppendBinary16(buffer[:0])
	full = full[redundant(full):]
	b = append(b, tag(field), byte(len(full)))
	return append(b, full...)
}

func sizeDecimal(d money.Decimal) int {
	var buffer [16]byte
	return 2 + 16 - redundant(d.AppendBinary16(buffer[:0]))
}

// redundant counts the leading bytes of a two's complement number that only repeat its sign.
func redundant(b []byte) int {
	n := 0
	if len(b) == 16 {
		if high := int64(binary.BigEndian.Uint64(b)); high == int64(binary.BigEndian.Uint64(b[8:]))>>63 {
			n = 8 // the usual amounts fit 64 bits
		}
	}
	for n < len(b)-1 && ((b[n] == 0 && b[n+1] < 0x80) || (b[n] == 0xff && b[n+1] >= 0x80)) {
		n++
	}
	return n
}

// decimalOf is the inverse of appendDecimal's trimming; ok is false for any other form.
func decimalOf(b []byte) (d money.Decimal, ok bool) {
	if len(b) == 0 || len(b) > 16 || redundant(b) != 0 {
		return d, false
	}
	var full [16]byte
	if b[0] >= 0x80 {
		binary.BigEndian.PutUint64(full[:], ^uint64(0))
		binary.BigEndian.PutUint64(full[8:], ^uint64(0))
	}
	copy(full[16-len(b):], b)
	d, err := money.FromBinary16(full[:])
	return d, err == nil
}
