package rater

import (
	"encoding/binary"
	"errors"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

var errSecond = errors.New("damaged second state")

// secondOf encodes what the line has gathered, nil for nothing: the marker's offset plus one, quantity, events, whether the last rate is
// one of theirs, segments with their length, and the events that are kept: order, seq, owner, key, id, time, quantities, money.
func (f *family) secondOf(l *line) []byte {
	s := l.second
	if s == nil || f.gathers == 0 {
		return nil
	}
	b := binary.AppendVarint(nil, f.gathers)
	b = s.quantity.AppendBinary16(b)
	b = binary.AppendVarint(b, s.events)
	b = appendFlag(b, s.last)
	segments := appendSegments(nil, s.segments)
	b = appendString(b, string(segments))
	b = binary.AppendUvarint(b, uint64(len(s.kept)))
	for i := range s.kept {
		k := &s.kept[i]
		b = binary.AppendUvarint(b, uint64(k.order))
		b = binary.AppendVarint(b, k.seq)
		b = appendString(b, string(k.owner.Kind))
		b = appendString(b, k.owner.ID)
		b = appendString(b, k.key.id)
		b = appendString(b, k.key.cell)
		b = binary.AppendVarint(b, k.key.start)
		b = append(b, byte(k.key.shape))
		b = appendString(b, k.id)
		b = binary.AppendVarint(b, k.time)
		b = k.sent.AppendBinary16(b)
		b = k.quantity.AppendBinary16(b)
		b = appendFlag(b, k.hasMoney)
		if k.hasMoney {
			b = k.money.AppendBinary16(b)
		}
	}
	return b
}

func appendFlag(b []byte, set bool) []byte {
	if set {
		return append(b, 1)
	}
	return append(b, 0)
}

func (d *decoder) flag() bool {
	v := d.byte()
	if v > 1 {
		d.b, d.bad = nil, true
	}
	return v == 1
}

// loadSecond reads what secondOf wrote. The lines of a family gather behind one marker; what is left of an older one does not count.
func (f *family) loadSecond(l *line, b []byte) error {
	if len(b) == 0 {
		return nil
	}
	d := decoder{b: b}
	gathers := d.varint()
	s := &second{quantity: d.decimal(), events: d.varint(), last: d.flag()}
	segments, err := DecodeSegments(d.take(d.uvarint()))
	if err != nil || d.bad {
		return errSecond
	}
	for i := range segments {
		s.segments = append(s.segments, segments[i].segment())
	}
	n := d.uvarint()
	if n > maxKept {
		return errSecond
	}
	for range n {
		s.kept = append(s.kept, d.kept())
	}
	if d.bad || len(d.b) != 0 {
		return errSecond
	}
	switch {
	case gathers < f.gathers:
		return nil
	case gathers > f.gathers:
		for i := range f.lines {
			f.lines[i].second = nil
		}
		f.gathers = gathers
	}
	l.second = s
	return nil
}

func (d *decoder) kept() (k kept) {
	k.order, k.seq = int(d.uvarint()), d.varint()
	k.owner = catalog.Ref{Kind: catalog.Kind(d.string()), ID: d.string()}
	k.key.id, k.key.cell, k.key.start, k.key.shape = d.string(), d.string(), d.varint(), uint64(d.byte())
	k.id, k.time = d.string(), d.varint()
	k.sent, k.quantity = d.decimal(), d.decimal()
	if k.hasMoney = d.flag(); k.hasMoney {
		k.money = d.decimal()
	}
	return k
}

// addCounts adds up what two lines have counted.
func addCounts(quantity, more money.Decimal, events, moreEvents int64) (money.Decimal, int64, error) {
	sum, err := quantity.Add(more)
	return sum, events + moreEvents, err
}
