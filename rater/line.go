package rater

import (
	"cmp"
	"fmt"
	"slices"

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
	owed     string   // who was billed for the usage's own period
	gathers  int64    // offset of the marker that the lines' second states begin at, plus one; 0: there are none
	corrects bool     // a line of a closed invoice: nothing is priced anew
	whole    bool     // more than a line's usual changes has changed since the last cut
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
	segments  []segment       // in the order of price.CompareSegments
	quantity  money.Decimal
	events    int64
	amount    money.Decimal
	version   int64
	last      *catalog.Rate   // of the event rated last; nil after loading
	terms     *activity.Terms // of the last activity, and of which rate they are
	termsRate *catalog.Rate
	period    catalog.Period
	shown     lineRate
	second    *second // nil: nothing
}

// open adds a line on an invoice, in the order of the invoices' periods: each continues those before it. It returns its place.
func (f *family) open(period catalog.Period, billed string, invoice activity.ID) int {
	l := line{period: period, target: activity.Target{
		Account: f.account, Billed: billed, Group: f.group, Invoice: invoice, Line: activity.LineID(f.id, invoice),
	}}
	at := f.placeOf(period, billed)
	if at == len(f.lines) {
		f.add(l)
	} else {
		f.lines = slices.Insert(slices.Clone(f.lines), at, l) // activities point into the old ones
		f.whole = true
	}
	f.lines[at].settle(f)
	return at
}

// placeOf gives where a line on an invoice that has none belongs.
func (f *family) placeOf(period catalog.Period, billed string) int {
	at := len(f.lines)
	for at > 0 && cmp.Or(cmp.Compare(f.lines[at-1].period.Start, period.Start), cmp.Compare(f.lines[at-1].target.Billed, billed)) > 0 {
		at--
	}
	return at
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
	gone  bool        // the rate no longer exists in the definitions that the family is bound to, or not with states of this shape
	owner catalog.Ref // with id and seq finds the rate again
	segmentKey
}

// segmentKey names a segment of a line.
type segmentKey struct {
	id    string
	cell  string // of the matrix, see catalog.Rate.Cell
	start int64
	shape uint8 // see price.Shape
}

func keyOf(r *catalog.Rate) segmentKey {
	return segmentKey{id: r.ID, cell: r.Cell, start: r.Start, shape: price.Shape(r)}
}

// compare orders segments as price.CompareSegments does.
func (s *segmentKey) compare(to *segmentKey) int {
	if s.cell != to.cell {
		return cmp.Compare(s.cell, to.cell)
	}
	return cmp.Or(cmp.Compare(s.start, to.start), cmp.Compare(s.id, to.id), cmp.Compare(s.shape, to.shape))
}

// placeOf gives where the segment stands or belongs, and whether it is there.
func placeOf(segments []segment, key *segmentKey) (at int, found bool) {
	for at < len(segments) {
		switch c := segments[at].compare(key); {
		case c == 0:
			return at, true
		case c > 0:
			return at, false
		}
		at++
	}
	return at, false
}

// rateIn finds the segment's rate in a plan, nil where it is gone, or has states of another shape.
func (s *segment) rateIn(plan *catalog.Plan) *catalog.Rate {
	r := rateOf(plan, s.owner, s.id, s.cell)
	if r == nil || price.Shape(r) != s.shape {
		return nil
	}
	return r
}

// addTo puts in into the segment of the rate, at its place in the order; it returns the changed copy of the
// segments so that a failed pricing leaves the line as it was. The copy is made in scratch. A rate that prices in log order also looks
// at the others: the segments of the family's other lines.
func addTo(scratch []segment, segments []segment, r *catalog.Rate, in price.Input, others []segment) ([]segment, error) {
	scratch = append(scratch[:0], segments...)
	key := keyOf(r)
	i, found := placeOf(scratch, &key)
	if !found {
		scratch = slices.Insert(scratch, i, segment{owner: r.Owner, segmentKey: key})
	}
	scratch[i].rate, scratch[i].gone = r, false
	if price.InLogOrder(r) {
		before, err := beforeIn(scratch, i, others)
		if err != nil {
			return scratch, err
		}
		in.Before = &before
	}
	state, err := aggregate(r, scratch[i].state, in)
	if err != nil {
		return scratch, err
	}
	scratch[i].state = state
	return scratch, nil
}

// aggregate is price.Aggregate; what the state keeps of the event is its own.
func aggregate(r *catalog.Rate, s price.State, in price.Input) (price.State, error) {
	after, err := price.Aggregate(r, s, in)
	if err == nil && after.Rest != s.Rest {
		after.Rest = after.Rest.Clone()
	}
	return after, err
}

// beforeIn gives what was accumulated before segment i of a line, by it and by the others of its family: in earlier segments, and in
// the same segment of other lines.
func beforeIn(segments []segment, i int, others []segment) (price.State, error) {
	all, err := merged(slices.Clone(segments), others)
	if err != nil {
		return price.State{}, err
	}
	at, _ := placeOf(all, &segments[i].segmentKey)
	priced := make([]price.Segment, len(all))
	for j := range all {
		priced[j] = price.Segment{Rate: all[j].rate, State: all[j].state, Cell: all[j].cell}
	}
	before, err := price.Before(priced, at)
	if err != nil {
		return price.State{}, err
	}
	if j, found := placeOf(others, &segments[i].segmentKey); found {
		return price.Merge(before, others[j].state)
	}
	return before, nil
}

// merged returns the segments of a and b together, in order.
func merged(dst []segment, b []segment) ([]segment, error) {
	for j := range b {
		i, found := placeOf(dst, &b[j].segmentKey)
		if !found {
			dst = slices.Insert(dst, i, b[j])
			continue
		}
		state, err := price.Merge(dst[i].state, b[j].state)
		if err != nil {
			return dst, err
		}
		dst[i].state = state
	}
	return dst, nil
}

// othersThan puts the segments of the family's lines other than line at together, in to.
func (f *family) othersThan(at int, to []segment) ([]segment, error) {
	for i := range f.lines {
		if i == at {
			continue
		}
		var err error
		if to, err = merged(to, f.lines[i].segments); err != nil {
			return to, err
		}
	}
	return to, nil
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
			Account: f.account, Billed: l.target.Billed, Owed: f.owed, Seller: f.seller, Product: f.product, Package: f.pkg,
			Group: f.group, Currency: f.currency, Period: l.period, UsagePeriod: f.period,
			Quantity: l.quantity, Events: l.events, Amount: l.amount,
			Segments: appendSegments(make([]byte, 0, 96*len(l.segments)), l.segments), Second: f.secondOf(l), Seq: f.seq,
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
	f.owed, f.corrects = s.Owed, s.RateLevel == LevelCorrection
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
			l.segments = append(l.segments, g.segment())
		}
		if err := f.loadSecond(l, s.Second); err != nil {
			return nil, fmt.Errorf("line %x: %w", s.Line, err)
		}
		l.settle(f)
	}
	return f, nil
}
