package rater

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price"
)

// family is the lines that are priced together: the line of a period's usage on its own invoice and, behind
// it, the lines of late usage on later invoices, each priced as the continuation of those before.
//
// Events of a record mostly fall on different families, none of which is in a processor's cache. So what every event touches
// stands together, and with it the one line and its one segment that almost all have.
type family struct {
	lines    []line         // in only while there is one
	seq      int64          // of the definitions that the amounts are priced under
	lastUsed uint64         // of the machine's use counter, for eviction
	dirty    bool           // changed since the last cut was frozen
	unshown  bool           // changed since it was last projected
	inCut    bool           // stands in the cut in flight
	bound    bool           // the segments point at their rates as of boundSeq
	period   catalog.Period // of the usage
	currency string
	only     [1]line
	first    [1]segment

	id       activity.ID
	account  string
	product  string
	pkg      string
	group    []activity.Attribute
	seller   string
	boundSeq int64
	cutLines int      // how many lines it had in its last cut
	stored   int      // how many lines stand in the store
	recalled *planned // which remembers resolutions that point here
}

// newFamily returns a family without lines, which begin fills in.
func newFamily(id activity.ID) *family {
	f := &family{id: id}
	f.lines = f.only[:0]
	return f
}

// add appends a line. The pointers of activities to the lines before stay good: what they point at never changes.
func (f *family) add(l line) *line {
	if len(f.lines) == 0 {
		l.segments = f.first[:0]
	}
	f.lines = append(f.lines, l)
	return &f.lines[len(f.lines)-1]
}

// line is one line of a family, on one invoice.
type line struct {
	target    activity.Target // what its activities point at
	segments  []segment       // ordered by rate start, then rate id
	quantity  money.Decimal
	events    int64
	amount    money.Decimal
	version   int64
	last      *catalog.Rate   // of the event rated last; nil after loading
	terms     *activity.Terms // of the last activity, and of which rate they are
	termsRate *catalog.Rate
	period    catalog.Period
	shown     lineRate
}

// settle prepares the target for the activities: whether its ids follow from what they say, and one string for an account that pays for
// itself, which is equal to itself at a glance.
func (l *line) settle(f *family) {
	if l.target.Billed == f.account {
		l.target.Billed = f.account
	}
	l.target.Plain = l.target.Follows(&activity.Terms{
		Seller: f.seller, Product: f.product, Package: f.pkg, PeriodStart: l.period.Start, UsageStart: f.period.Start,
	})
}

// lineRate is what a line shows of the rate of its last event.
type lineRate struct{ level, account, id, model string }

// segment is the usage that fell under one rate.
type segment struct {
	rate  *catalog.Rate // nil after loading until bound to definitions
	state price.State
	seq   int64       // the last definitions that the family was priced under while the rate existed
	gone  bool        // the rate no longer exists in the definitions that the family is bound to
	owner catalog.Ref // with id and seq finds the rate again
	id    string
	start int64
}

// before says whether s stands before a segment with that start and id.
func (s *segment) before(start int64, id string) bool {
	return s.start < start || s.start == start && s.id < id
}

// addTo puts in into the segment of the rate, at its place in the order; it returns the changed copy of the
// segments so that a failed pricing leaves the line as it was. The copy is made in scratch.
func addTo(scratch []segment, segments []segment, r *catalog.Rate, in price.Input) ([]segment, error) {
	scratch = append(scratch[:0], segments...)
	i := 0
	for i < len(scratch) && scratch[i].before(r.Start, r.ID) {
		i++
	}
	if i == len(scratch) || scratch[i].start != r.Start || scratch[i].id != r.ID {
		scratch = append(scratch, segment{})
		copy(scratch[i+1:], scratch[i:])
		scratch[i] = segment{owner: r.Owner, id: r.ID, start: r.Start}
	}
	state, err := price.Aggregate(r, scratch[i].state, in)
	if err != nil {
		return scratch, err
	}
	scratch[i].rate, scratch[i].gone, scratch[i].state = r, false, state
	return scratch, nil
}

// merged returns the segments of a and b together, in order.
func merged(dst []segment, b []segment) ([]segment, error) {
	for j := range b {
		i := 0
		for i < len(dst) && dst[i].before(b[j].start, b[j].id) {
			i++
		}
		if i < len(dst) && dst[i].start == b[j].start && dst[i].id == b[j].id {
			state, err := price.Merge(dst[i].state, b[j].state)
			if err != nil {
				return dst, err
			}
			dst[i].state = state
			continue
		}
		dst = append(dst, segment{})
		copy(dst[i+1:], dst[i:])
		dst[i] = b[j]
	}
	return dst, nil
}

// segmentFormat is the first byte of encoded segments.
const segmentFormat = 1

// appendSegments encodes segments: format, count, and for each owner kind, owner id, rate id (length-prefixed),
// start, seq, sum, events.
func appendSegments(b []byte, segments []segment) []byte {
	b = append(b, segmentFormat)
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
	Start int64
	Seq   int64
	State price.State
}

// DecodeSegments reads LineState.Segments.
func DecodeSegments(b []byte) ([]Segment, error) {
	d := decoder{b: b}
	if d.byte() != segmentFormat {
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

// states appends the family's lines as they are stored and shown.
func (f *family) states(dst []LineState) []LineState {
	for i := range f.lines {
		l := &f.lines[i]
		shown := l.shown
		if r := l.last; r != nil {
			shown = lineRate{level: string(r.Level), account: r.OwnerAccount, id: r.ID, model: string(r.Model)}
		}
		dst = append(dst, LineState{
			Family: f.id, Line: l.target.Line, Invoice: l.target.Invoice, Position: i,
			Account: f.account, Billed: l.target.Billed, Seller: f.seller, Product: f.product, Package: f.pkg,
			Group: f.group, Currency: f.currency, Period: l.period, UsagePeriod: f.period,
			Quantity: l.quantity, Events: l.events, Amount: l.amount,
			Segments: appendSegments(make([]byte, 0, 96*len(l.segments)), l.segments), Seq: f.seq,
			RateLevel: shown.level, RateAccount: shown.account, RateID: shown.id, RateModel: shown.model,
			Version: l.version,
		})
	}
	return dst
}

// loadFamily builds a family from its stored lines, which stand in the order of their positions.
func loadFamily(stored []LineState) (*family, error) {
	s := &stored[0]
	f := newFamily(s.Family)
	f.account, f.product, f.pkg, f.group = s.Account, s.Product, s.Package, s.Group
	f.seller, f.currency, f.period, f.seq, f.stored = s.Seller, s.Currency, s.UsagePeriod, s.Seq, len(stored)
	for i := range stored {
		s := &stored[i]
		segs, err := DecodeSegments(s.Segments)
		if err != nil {
			return nil, fmt.Errorf("line %x: %w", s.Line, err)
		}
		l := f.add(line{
			target: activity.Target{Account: f.account, Billed: s.Billed, Group: f.group, Invoice: s.Invoice, Line: s.Line},
			period: s.Period, quantity: s.Quantity, events: s.Events, amount: s.Amount, version: s.Version,
			shown: lineRate{level: s.RateLevel, account: s.RateAccount, id: s.RateID, model: s.RateModel},
		})
		for _, g := range segs {
			l.segments = append(l.segments, segment{owner: g.Owner, id: g.Rate, start: g.Start, seq: g.Seq, state: g.State})
		}
		l.settle(f)
	}
	return f, nil
}
