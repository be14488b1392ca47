package usage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tollstream/tollstream/ledger/money"
)

// ErrMalformed is what every error of Decode wraps: the bytes are not a usage record that this
// version writes, and no retry will change that.
var ErrMalformed = errors.New("malformed usage record")

// Decode reads a record. It refuses, with an error that wraps ErrMalformed, everything but the
// canonical form that AppendRecord writes within the package's bounds, so that what it accepts
// encodes to the same bytes again.
//
// The strings of the record share one copy of b, which may be reused at once. The record's slices
// are used again, those of its events too: an event that outlives the next Decode into the same
// record must have its Attributes cloned. After an error the record holds nothing of use.
func Decode(b []byte, r *Record) error { return DecodeInPlace(bytes.Clone(b), r) }

// DecodeInPlace is Decode without the copy: the strings of the record are parts of b, which must not change as long
// as one of them is in use, and stays in memory so long. What outlives the record is kept by Event.Clone.
func DecodeInPlace(b []byte, r *Record) error {
	d := decoder{b: b}
	events := r.Events[:0]
	*r = Record{}
	if len(b) > MaxRecordBytes {
		return fmt.Errorf("%d bytes, at most %d: %w", len(b), MaxRecordBytes, ErrMalformed)
	}
	d.s = unsafe.String(unsafe.SliceData(b), len(b))
	d.record(r, events)
	if d.problem != "" {
		return fmt.Errorf("byte %d: %s: %w", d.at, d.problem, ErrMalformed)
	}
	return nil
}

// decoder walks over b; s is the same as a string, which strings are cut from. The first problem sticks.
type decoder struct {
	b       []byte
	s       string
	at      int
	problem string
}

func (d *decoder) fail(problem string) {
	if d.problem == "" {
		d.problem = problem
	}
}

// field reads the next tag of a message that ends at end. Fields ascend; only repeated ones may
// stand more than once. It gives 0 at the end and after a problem.
func (d *decoder) field(end int, last *protowire.Number, repeated protowire.Number, types string) protowire.Number {
	if d.at >= end || d.problem != "" {
		return 0
	}
	tag := d.b[d.at]
	number, wire := protowire.Number(tag>>3), protowire.Type(tag&7)
	switch {
	case tag >= 0x80 || int(number) >= len(types) || number == 0:
		d.fail("unknown field")
	case types[number] != "vf s"[wireIndex(wire)]:
		d.fail("wrong wire type")
	case number < *last || number == *last && number != repeated:
		d.fail("fields out of order")
	default:
		*last = number
		d.at++
		return number
	}
	return 0
}

// wireIndex maps a wire type to its letter in the type strings below: v varint, f 8 bytes, s bytes.
func wireIndex(wire protowire.Type) int {
	switch wire {
	case protowire.VarintType:
		return 0
	case protowire.Fixed64Type:
		return 1
	case protowire.BytesType:
		return 3
	default:
		return 2
	}
}

// The wire types of each message's fields, by number; position 0 is no field.
const (
	recordTypes      = "-vsssssss"
	definitionsTypes = "-vvffssv"
	refTypes         = "-vsss"
	sealTypes        = "-sff"
	nameTypes        = "-ss"
)

func (d *decoder) record(r *Record, events []Event) {
	var last protowire.Number
	for {
		switch d.field(len(d.b), &last, recordEvents, recordTypes) {
		case recordKind:
			r.Kind = RecordKind(min(d.varint(len(d.b)), math.MaxUint8))
		case recordEvents:
			if len(events) == MaxBatchEvents {
				d.fail("too many events")
				return
			}
			if len(events) < cap(events) {
				events = events[:len(events)+1]
			} else {
				events = append(events, Event{})
			}
			before := &none
			if n := len(events); n > 1 {
				before = &events[n-2]
			}
			d.event(&events[len(events)-1], before, d.length(len(d.b)))
		case recordDefinitions:
			r.Definitions = new(Definitions)
			d.definitions(r.Definitions, d.length(len(d.b)))
		case recordSeal:
			r.Seal = new(Seal)
			d.seal(r.Seal, d.length(len(d.b)))
		case recordSweep:
			r.Sweep = new(Sweep)
			d.sweep(r.Sweep, d.length(len(d.b)))
		case recordMarker:
			r.Marker = new(Marker)
			d.marker(r.Marker, d.length(len(d.b)))
		case recordResult:
			r.Result = new(Result)
			d.result(r.Result, d.length(len(d.b)))
		case recordValues:
			r.Values = new(Values)
			d.values(r.Values, d.length(len(d.b)))
		default:
			r.Events = events
			d.complete(r)
			return
		}
	}
}

// none is before the first event.
var none Event

// complete checks that exactly the member that the kind names is there.
func (d *decoder) complete(r *Record) {
	members := [...]struct {
		of    RecordKind
		there bool
	}{
		{KindBatch, len(r.Events) > 0}, {KindDefinitions, r.Definitions != nil}, {KindSeal, r.Seal != nil}, {KindSweep, r.Sweep != nil},
		{KindMarker, r.Marker != nil}, {KindResult, r.Result != nil}, {KindValues, r.Values != nil},
	}
	kind := r.Kind
	switch {
	case kind < KindBatch || kind > KindValues:
		d.fail("unknown kind of record")
	case kind == KindBatch && len(d.b) > MaxBatchBytes:
		d.fail("batch too large")
	case kind == KindRetry:
		kind = KindBatch
	}
	for _, m := range members {
		if m.there != (m.of == kind) {
			d.fail("kind and content differ")
		}
	}
}

// The tags of an event's and an attribute's fields: number and wire type, which ascend together. Almost all of a record is
// events, so they are read without the tables above.
const (
	tagEventID         = eventID<<3 | byte(protowire.BytesType)
	tagEventSource     = eventSource<<3 | byte(protowire.BytesType)
	tagEventAccount    = eventAccount<<3 | byte(protowire.BytesType)
	tagEventSubject    = eventSubject<<3 | byte(protowire.BytesType)
	tagEventRoutingKey = eventRoutingKey<<3 | byte(protowire.BytesType)
	tagEventProduct    = eventProduct<<3 | byte(protowire.BytesType)
	tagEventPackage    = eventPackage<<3 | byte(protowire.BytesType)
	tagEventTime       = eventTime<<3 | byte(protowire.Fixed64Type)
	tagEventQuantity   = eventQuantity<<3 | byte(protowire.BytesType)
	tagEventAmount     = eventAmount<<3 | byte(protowire.BytesType)
	tagEventCurrency   = eventCurrency<<3 | byte(protowire.BytesType)
	tagEventAttributes = eventAttributes<<3 | byte(protowire.BytesType)
	tagEventHash       = eventHash<<3 | byte(protowire.Fixed64Type)
	tagEventBackfill   = eventBackfill<<3 | byte(protowire.VarintType)
	tagEventCorrects   = eventCorrects<<3 | byte(protowire.BytesType)

	tagAttributeName  = attributeName<<3 | byte(protowire.BytesType)
	tagAttributeValue = attributeValue<<3 | byte(protowire.BytesType)
)

// event reads an event. Much of it mostly stands in the event before too: those bytes were checked, and strings that are the same memory are
// compared at once from here on.
func (d *decoder) event(e, before *Event, end int) {
	if end-d.at > MaxEventBytes {
		d.fail("event too large")
	}
	*e = Event{Quantity: money.One, Attributes: e.Attributes[:0]}
	last := byte(0)
	for d.at < end && d.problem == "" {
		tag := d.b[d.at]
		if tag <= last && (tag != tagEventAttributes || last != tag) {
			d.fail("fields out of order")
			return
		}
		last = tag
		d.at++
		switch tag {
		case tagEventID:
			e.ID = d.text(end)
		case tagEventSource:
			e.Source = d.textLike(before.Source, end)
		case tagEventAccount:
			e.Account = d.textLike(before.Account, end)
		case tagEventSubject:
			e.Subject = d.text(end)
		case tagEventRoutingKey:
			e.RoutingKey = d.text(end)
			if e.RoutingKey == e.Account {
				d.fail("routing key repeats the account")
			}
		case tagEventProduct:
			e.Product = d.textLike(before.Product, end)
		case tagEventPackage:
			e.Package = d.textLike(before.Package, end)
		case tagEventTime:
			e.Time = int64(d.fixed64(end))
		case tagEventQuantity:
			e.Quantity = d.decimal(end)
			if e.Quantity == money.One {
				d.fail("default written out")
			}
		case tagEventAmount:
			e.Amount, e.HasAmount = d.decimal(end), true
		case tagEventCurrency:
			e.Currency = d.text(end)
		case tagEventAttributes:
			d.attribute(e, before, d.length(end))
		case tagEventHash:
			e.Hash = d.fixed64(end)
		case tagEventBackfill:
			e.Backfill = d.flag(end)
		case tagEventCorrects:
			e.Corrects = d.eventName(d.length(end))
		default:
			d.fail("unknown field")
		}
	}
	d.finishEvent(e)
}

func (d *decoder) eventName(end int) *EventName {
	n := new(EventName)
	var last protowire.Number
	for {
		switch d.field(end, &last, 0, nameTypes) {
		case nameSource:
			n.Source = d.text(end)
		case nameID:
			n.ID = d.text(end)
		default:
			if n.Source == "" || n.ID == "" {
				d.fail("corrected event without source or id")
			}
			return n
		}
	}
}

func (d *decoder) finishEvent(e *Event) {
	if e.RoutingKey == "" {
		e.RoutingKey = e.Account
	}
	if e.ID == "" || e.Source == "" || e.RoutingKey == "" || e.Product == "" {
		d.fail("event without id, source, routing key or product")
	}
	if e.Account == "" && e.Subject == "" {
		d.fail("event without account and subject")
	}
}

func (d *decoder) attribute(e, before *Event, end int) {
	var a, like Attribute
	if n := len(e.Attributes); n < len(before.Attributes) {
		like = before.Attributes[n]
	}
	if d.at < end && d.b[d.at] == tagAttributeName {
		d.at++
		a.Name = d.textLike(like.Name, end)
	}
	if d.at < end && d.b[d.at] == tagAttributeValue {
		d.at++
		a.Value = d.textLike(like.Value, end)
	}
	if d.at != end {
		d.fail("unknown field")
	}
	if n := len(e.Attributes); a.Name == "" || n > 0 && e.Attributes[n-1].Name >= a.Name {
		d.fail("attributes not ascending by name")
		return
	}
	e.Attributes = append(e.Attributes, a)
}

func (d *decoder) definitions(v *Definitions, end int) {
	var last protowire.Number
	for {
		switch d.field(end, &last, definitionsChanged, definitionsTypes) {
		case definitionsFrom:
			v.From = d.positive(end)
		case definitionsTo:
			v.To = d.positive(end)
		case definitionsPrevious:
			v.PreviousHash = d.fixed64(end)
		case definitionsHash:
			v.Hash = d.fixed64(end)
		case definitionsLinks:
			d.links(v, d.length(end))
		case definitionsChanged:
			if len(v.Changed) == MaxDefinitionRefs {
				d.fail("too many definitions")
				return
			}
			v.Changed = append(v.Changed, d.ref(d.length(end)))
		case definitionsAll:
			v.All = d.flag(end)
		default:
			if v.From < 1 || v.To < v.From || v.To-v.From >= MaxDefinitionRange {
				d.fail("range of definitions")
			}
			return
		}
	}
}

func (d *decoder) links(v *Definitions, end int) {
	n := (end - d.at) / 8
	if d.problem != "" || n == 0 || n > MaxDefinitionRange || (end-d.at)%8 != 0 {
		d.fail("links of definitions")
		return
	}
	v.Links = make([]uint64, n)
	for i := range v.Links {
		v.Links[i], _ = protowire.ConsumeFixed64(d.b[d.at:])
		d.at += 8
	}
}

func (d *decoder) ref(end int) (ref DefinitionRef) {
	var last protowire.Number
	for {
		switch d.field(end, &last, 0, refTypes) {
		case refSeq:
			ref.Seq = d.positive(end)
		case refKind:
			ref.Kind = d.text(end)
		case refID:
			ref.ID = d.text(end)
		case refAccount:
			ref.Account = d.text(end)
		default:
			return ref
		}
	}
}

func (d *decoder) seal(s *Seal, end int) {
	var last protowire.Number
	for {
		switch d.field(end, &last, 0, sealTypes) {
		case sealAccount:
			s.Account = d.text(end)
		case sealStart:
			s.PeriodStart = int64(d.fixed64(end))
		case sealEnd:
			s.PeriodEnd = int64(d.fixed64(end))
		default:
			if s.Account == "" || s.PeriodEnd <= s.PeriodStart {
				d.fail("seal without account or period")
			}
			return
		}
	}
}

// varint reads a number in its shortest form that ends before end.
func (d *decoder) varint(end int) uint64 {
	if d.problem != "" {
		return 0
	}
	v, n := protowire.ConsumeVarint(d.b[d.at:end])
	if n < 0 || n != protowire.SizeVarint(v) {
		d.fail("bad varint")
		return 0
	}
	d.at += n
	return v
}

func (d *decoder) positive(end int) int64 {
	v := d.varint(end)
	if v == 0 || v > math.MaxInt64 {
		d.fail("number out of range")
		return 0
	}
	return int64(v)
}

func (d *decoder) flag(end int) bool {
	if d.varint(end) != 1 {
		d.fail("flag that is not 1")
	}
	return true
}

func (d *decoder) fixed64(end int) uint64 {
	if d.problem != "" {
		return 0
	}
	v, n := protowire.ConsumeFixed64(d.b[d.at:end])
	if n < 0 || v == 0 {
		d.fail("bad 8-byte number")
		return 0
	}
	d.at += n
	return v
}

// length reads the length of a nested field and gives where it ends: never past end.
func (d *decoder) length(end int) int {
	var n uint64
	if d.at < end && d.b[d.at] < 0x80 && d.problem == "" {
		n = uint64(d.b[d.at])
		d.at++
	} else {
		n = d.varint(end)
	}
	if n > uint64(end-d.at) {
		d.fail("length past the end")
		return d.at
	}
	return d.at + int(n)
}

// textLike is text where a string that text gave before is likely to come again.
func (d *decoder) textLike(like string, end int) string {
	from := d.at + 1
	to := from + len(like)
	if like != "" && to <= end && int(d.b[d.at]) == len(like) && len(like) < 0x80 && d.s[from:to] == like && d.problem == "" {
		d.at = to
		return like
	}
	return d.text(end)
}

// text reads a string: not empty, valid UTF-8, without NUL, which PostgreSQL cannot store.
func (d *decoder) text(end int) string {
	stop := d.length(end)
	s := d.s[d.at:stop]
	if s == "" || !ascii(d.b[d.at:stop]) && (!utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0) {
		d.fail("bad string")
		return ""
	}
	d.at = stop
	return s
}

// ascii says whether all bytes are 1 to 127. Without a high bit, taking 1 from each byte sets the high bit of one that is 0.
func ascii(b []byte) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	bad := uint64(0)
	if len(b) >= 8 {
		for at := 0; at < len(b)-8; at += 8 {
			word := binary.LittleEndian.Uint64(b[at:])
			bad |= word | (word - ones)
		}
		word := binary.LittleEndian.Uint64(b[len(b)-8:])
		return (bad|word|(word-ones))&highs == 0
	}
	for _, c := range b {
		bad |= uint64(c) | (uint64(c) - 1)
	}
	return bad&0x80 == 0
}

func (d *decoder) decimal(end int) money.Decimal {
	stop := d.length(end)
	v, ok := decimalOf(d.b[d.at:stop])
	if !ok {
		d.fail("bad decimal")
	}
	d.at = stop
	return v
}
