package rater

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price"
)

// The first byte of encoded segments: of segments that have a sum and a number of events alone, as most do; or of segments that say
// behind these what else they have.
const (
	segmentsPlain = 1
	segmentsFull  = 2
)

// What a segment has besides, in the order in which it follows.
const (
	hasCell = 1 << iota
	hasPeak
	hasAt
	hasExact
	hasID
	hasDays
	hasShape
	hasExchange
	hasShare
	hasLevels
	hasUnique
	allFlags = 1<<iota - 1
)

// more gives the flags of the segment.
func (s *segment) more() (flags uint64) {
	if s.cell != "" {
		flags |= hasCell
	}
	if s.shape != 0 {
		flags |= hasShape
	}
	if !s.state.Peak.IsZero() {
		flags |= hasPeak
	}
	if s.state.At != 0 {
		flags |= hasAt
	}
	if !s.state.Exact.IsZero() {
		flags |= hasExact
	}
	if s.state.ID != "" {
		flags |= hasID
	}
	if rest := s.state.Rest; rest != nil && rest.Days != nil {
		flags |= hasDays
	} else if rest.Levels() != nil {
		flags |= hasLevels
	} else if u, _ := rest.UniqueOf(); u != nil {
		flags |= hasUnique
	}
	if s.pinned != nil {
		flags |= hasExchange
	}
	if s.share != nil {
		flags |= hasShare
	}
	return flags
}

// appendSegments encodes segments: format, count, and for each owner kind, owner id, rate id (length-prefixed),
// start, seq, sum, events and, in the full format, flags and what they say.
func appendSegments(b []byte, segments []segment) []byte {
	format := byte(segmentsPlain)
	for i := range segments {
		if segments[i].more() != 0 {
			format = segmentsFull
		}
	}
	b = append(b, format)
	b = binary.AppendUvarint(b, uint64(len(segments)))
	for i := range segments {
		s := &segments[i]
		b = appendString(b, string(s.owner.Kind))
		b = appendString(b, s.owner.ID)
		b = appendString(b, s.id)
		b = binary.AppendVarint(b, s.start)
		b = binary.AppendVarint(b, s.seq)
		b = s.state.Sum.AppendBinary16(b)
		b = binary.AppendVarint(b, s.state.Events)
		if format == segmentsFull {
			b = s.appendMore(b)
		}
	}
	return b
}

func (s *segment) appendMore(b []byte) []byte {
	flags := s.more()
	b = binary.AppendUvarint(b, flags)
	if flags&hasCell != 0 {
		b = appendString(b, s.cell)
	}
	if flags&hasPeak != 0 {
		b = s.state.Peak.AppendBinary16(b)
	}
	if flags&hasAt != 0 {
		b = binary.AppendVarint(b, s.state.At)
	}
	if flags&hasExact != 0 {
		b = s.state.Exact.AppendBinary32(b)
	}
	if flags&hasID != 0 {
		b = appendString(b, s.state.ID)
	}
	if flags&hasDays != 0 {
		b = binary.AppendUvarint(b, uint64(s.state.Rest.Length))
		b = binary.AppendUvarint(b, uint64(len(s.state.Rest.Days)))
		for _, day := range s.state.Rest.Days {
			b = binary.AppendUvarint(b, uint64(day.Left))
			b = day.Units.AppendBinary16(b)
		}
	}
	if flags&hasShape != 0 {
		b = append(b, byte(s.shape))
	}
	if flags&hasExchange != 0 {
		b = appendString(b, s.pinned.from)
		b = s.pinned.exchange.Rate.AppendBinary16(b)
		b = binary.AppendVarint(b, int64(s.pinned.exchange.Date))
	}
	if flags&hasShare != 0 {
		b = append(b, s.share.pool[:]...)
		b = s.share.charged.AppendBinary16(b)
	}
	if flags&hasLevels != 0 {
		b = binary.AppendUvarint(b, uint64(len(s.state.Rest.Levels())))
		before := int64(0)
		for _, l := range s.state.Rest.Levels() {
			b = binary.AppendUvarint(b, uint64(l.At-before))
			b = appendString(b, l.ID)
			b = l.Value.AppendBinary16(b)
			before = l.At
		}
	}
	if flags&hasUnique != 0 {
		b = s.appendUnique(b)
	}
	return b
}

// appendUnique encodes which attribute's values are counted, the set, how it has changed, the places, those of the state, and the spreads.
func (s *segment) appendUnique(b []byte) []byte {
	u, places := s.state.Rest.UniqueOf()
	b = binary.AppendUvarint(b, s.attribute())
	b = append(b, u.Set[:]...)
	b = binary.AppendUvarint(b, uint64(u.Changes))
	b = binary.AppendUvarint(b, uint64(u.NumberOfPlaces()))
	b = binary.AppendUvarint(b, places)
	b = binary.AppendUvarint(b, uint64(len(u.Spreads)))
	for _, spread := range u.Spreads {
		b = binary.AppendUvarint(b, spread.Places)
		b = binary.AppendUvarint(b, uint64(spread.Values)) // of a second state it may be below zero
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

var errSegments = errors.New("damaged segments")

// Segment is what a stored line says of the usage under one rate, for readers that explain a line.
type Segment struct {
	Owner catalog.Ref
	Rate  string
	Cell  string // of a matrix: the canonical text of the match
	Start int64
	Shape uint64 // see price.Shape
	Seq   int64
	State price.State

	Currency string         // of the rate, where it is another than the line's
	Exchange money.Exchange // which turned its prices into the line's

	Pool    activity.ID   // in which it has its tiers, zero: they are the line's own
	Charged money.Decimal // what the pool's charges to it add up to
}

// Priced is the segment of the line as the plan prices it; ok is false where the rate is gone, or nothing turns it into
// the account's currency. It keeps its exchange as long as the rate is in the currency that it was in.
func (s *Segment) Priced(plan *catalog.Plan, l *LineState) (p price.Segment, ok bool) {
	p = price.Segment{Rate: s.RateIn(plan), State: s.State, Cell: s.Cell}
	if p.Rate == nil {
		return p, false
	}
	p.Line = lineOf(p.Rate, plan, l.UsagePeriod, l.Group)
	if p.Rate.Currency == s.Currency {
		p.Exchange = s.Exchange
		return p, true
	}
	p.Exchange, ok = plan.ExchangeOf(p.Rate, l.UsagePeriod)
	return p, ok
}

func (s *Segment) pinned() *conversion {
	if s.Currency == "" {
		return nil
	}
	return &conversion{from: s.Currency, exchange: s.Exchange}
}

func (s *Segment) segment() segment {
	g := segment{owner: s.Owner, segmentKey: segmentKey{id: s.Rate, cell: s.Cell, start: s.Start, shape: s.Shape}, seq: s.Seq, state: s.State, pinned: s.pinned()}
	if !s.Pool.IsZero() {
		g.share = &share{pool: s.Pool, charged: s.Charged}
	}
	return g
}

// RateIn finds the rate in a plan, nil where it is gone.
func (s *Segment) RateIn(plan *catalog.Plan) *catalog.Rate {
	g := s.segment()
	return new(outer).rateIn(plan, &g)
}

// inCell gives the price of the cell, of a rate that is no matrix the rate itself; nil: there is none.
func inCell(r *catalog.Rate, cell string) *catalog.Rate {
	switch {
	case r != nil && r.Model == catalog.ModelCapacity: // in a pool the cell is the product
		return r
	case r == nil || r.Matrix == nil && cell == "":
		return r
	case r.Matrix == nil:
		return nil
	}
	return r.Matrix.Entry(cell)
}

// DecodeSegments reads LineState.Segments.
func DecodeSegments(b []byte) ([]Segment, error) {
	d := decoder{b: b}
	format := d.byte()
	if format != segmentsPlain && format != segmentsFull {
		return nil, fmt.Errorf("format: %w", errSegments)
	}
	n := d.uvarint()
	if n > uint64(len(b)) {
		return nil, fmt.Errorf("count: %w", errSegments)
	}
	out := make([]Segment, 0, n)
	for range n {
		var s Segment
		s.Owner.Kind = catalog.Kind(d.string())
		s.Owner.ID = d.string()
		s.Rate = d.string()
		s.Start = d.varint()
		s.Seq = d.varint()
		s.State.Sum = d.decimal()
		s.State.Events = d.varint()
		if format == segmentsFull {
			d.more(&s)
		}
		if d.bad {
			return nil, errSegments
		}
		out = append(out, s)
	}
	if len(d.b) != 0 || d.bad {
		return nil, errSegments
	}
	return out, nil
}

// more reads what the flags say.
func (d *decoder) more(s *Segment) {
	flags := d.uvarint()
	if flags > allFlags {
		d.b, d.bad = nil, true
	}
	if flags&hasCell != 0 {
		s.Cell = d.string()
	}
	if flags&hasPeak != 0 {
		s.State.Peak = d.decimal()
	}
	if flags&hasAt != 0 {
		s.State.At = d.varint()
	}
	if flags&hasExact != 0 {
		s.State.Exact = d.wide()
	}
	if flags&hasID != 0 {
		s.State.ID = d.string()
	}
	if flags&hasDays != 0 {
		s.State.Rest = d.days(flags)
	}
	if flags&hasShape != 0 {
		s.Shape = uint64(d.byte())
	}
	if flags&hasExchange != 0 {
		d.exchange(s)
	}
	if flags&hasShare != 0 {
		copy(s.Pool[:], d.take(uint64(len(s.Pool))))
		s.Charged = d.decimal()
	}
	if flags&hasLevels != 0 {
		s.State.Rest = d.levels(flags)
	}
	if flags&hasUnique != 0 {
		d.unique(s, flags)
	}
}

// unique reads what appendUnique wrote. A state with values has no id, days or levels.
func (d *decoder) unique(s *Segment, flags uint64) {
	attribute := d.uvarint()
	u := &price.Unique{}
	copy(u.Set[:], d.take(uint64(len(u.Set))))
	changes, places, own, n := d.uvarint(), d.uvarint(), d.uvarint(), d.uvarint()
	if attribute == 0 || attribute > math.MaxUint64>>8 || changes > math.MaxInt64 || own == 0 || n > uint64(len(d.b)) ||
		flags&(hasID|hasDays|hasLevels) != 0 {
		d.b, d.bad = nil, true
		return
	}
	u.Changes, u.Spreads = int64(changes), make([]price.Spread, 0, n)
	for range n {
		in, values := d.uvarint(), d.uvarint()
		if k := len(u.Spreads); values == 0 || k > 0 && u.Spreads[k-1].Places >= in {
			d.b, d.bad = nil, true
			return
		}
		u.Spreads = append(u.Spreads, price.Spread{Places: in, Values: int64(values)}) //nolint:gosec // as it was written
	}
	if places == 0 || places != uint64(u.NumberOfPlaces()) {
		d.b, d.bad = nil, true
		return
	}
	s.Shape |= attribute << 8
	s.State.Rest = price.RestOfUnique(u, own)
}

func (d *decoder) exchange(s *Segment) {
	s.Currency, s.Exchange.Rate = d.string(), d.decimal()
	date := d.varint()
	s.Exchange.Date = money.Date(date) //nolint:gosec // compared below
	if s.Currency == "" || s.Exchange.Rate.IsZero() || int64(s.Exchange.Date) != date {
		d.b, d.bad = nil, true
	}
}

// levels reads levels in their order. A state with levels has no id and no days.
func (d *decoder) levels(flags uint64) *price.Rest {
	n := d.uvarint()
	if n == 0 || n > uint64(len(d.b)) || flags&(hasID|hasDays) != 0 {
		d.b, d.bad = nil, true
		return nil
	}
	all, at := make([]price.Level, 0, n), uint64(0)
	for range n {
		if at += d.uvarint(); at > math.MaxInt64 {
			d.b, d.bad = nil, true
		}
		all = append(all, price.Level{At: int64(at), ID: d.string(), Value: d.decimal()})
	}
	if d.bad || !price.InOrder(all) {
		d.b, d.bad = nil, true
		return nil
	}
	return price.RestOfLevels(all)
}

// days reads units by day, whose days follow one another to the end of the period. A state with days has no id.
func (d *decoder) days(flags uint64) *price.Rest {
	length, n := d.uvarint(), d.uvarint()
	if n == 0 || n > length || n > uint64(len(d.b)) || length > math.MaxInt32 || flags&hasID != 0 {
		d.b, d.bad = nil, true
		return nil
	}
	rest := &price.Rest{Length: int64(length), Days: make([]price.Day, 0, n)}
	before := length + 1
	for range n {
		left := d.uvarint()
		if left == 0 || left >= before {
			d.b, d.bad = nil, true
			return nil
		}
		before = left
		rest.Days = append(rest.Days, price.Day{Left: int64(left), Units: d.decimal()})
	}
	return rest
}

// decoder takes values off the front of b; after the first failure bad is set and zero values follow.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.b, d.bad = nil, true
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) byte() byte {
	if v := d.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.b, d.bad = nil, true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.b, d.bad = nil, true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) string() string { return string(d.take(d.uvarint())) }

func (d *decoder) decimal() money.Decimal {
	b := d.take(16)
	if b == nil {
		return money.Decimal{}
	}
	v, err := money.FromBinary16(b)
	if err != nil {
		d.bad = true
	}
	return v
}

func (d *decoder) wide() money.Wide {
	b := d.take(32)
	if b == nil {
		return money.Wide{}
	}
	v, err := money.WideFromBinary32(b)
	if err != nil {
		d.bad = true
	}
	return v
}
