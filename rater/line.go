package rater

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/method"
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
	waits    bool     // its level is noted to go on when the period is sealed
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
	selected  *catalog.Rate   // what a matrix selected for it, else the same
	terms     *activity.Terms // of the last activity, and of which rate they are
	termsRate *catalog.Rate
	shares    bool                  // pools have charged to the line
	capped    bool                  // a segment stands in a matrix with a maximum, to which all its cells add up
	ordered   int                   // so many segments stand in order; each behind them is the first of its cell
	young     map[string]int        // where those stand, by cell
	places    map[*catalog.Rate]int // where segments stood, if there are many, see placeOf
	period    catalog.Period
	shown     lineRate
	second    *second // nil: nothing
}

// lineOn gives the place of the line on the invoice, -1 if there is none.
func (f *family) lineOn(invoice activity.ID) int {
	for i := range f.lines {
		if f.lines[i].target.Invoice == invoice {
			return i
		}
	}
	return -1
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
	for at > 0 && f.lines[at-1].compareInvoice(period, billed) > 0 {
		at--
	}
	return at
}

// compareInvoice compares the line with one on the invoice of a period: lines stand in the order of their invoices' periods, then of who is
// billed.
func (l *line) compareInvoice(period catalog.Period, billed string) int {
	return cmp.Or(cmp.Compare(l.period.Start, period.Start), cmp.Compare(l.target.Billed, billed))
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
	rate       *catalog.Rate // nil after loading until bound to definitions
	seq        int64         // the last definitions that the family was priced under while the rate existed
	gone       bool          // the rate no longer exists in the definitions that the family is bound to, or not with states of this shape
	conversion *conversion   // of the rate, nil for one in the line's currency
	state      price.State
	pinned     *conversion  // the conversion that the family was last priced with
	owner      catalog.Ref  // with id and seq finds the rate again
	on         *method.Line // for a rate that looks at it, see catalog.Rate.SeesLine; else nil
	segmentKey
}

// lineOf gives what methods of the price book's own see of the line of usage in the period; nil: the rate is none, nor is one of its matrix.
func lineOf(r *catalog.Rate, plan *catalog.Plan, period catalog.Period, group []activity.Attribute) *method.Line {
	if !r.SeesLine {
		return nil
	}
	seen := make([]method.Attribute, len(group))
	for i := range group {
		seen[i] = method.Attribute{Name: strings.Clone(group[i].Name), Value: strings.Clone(group[i].Value)}
	}
	owed, _ := plan.Billing(period.Start)
	return price.LineOf(period, owed.ZoneAt(period.Start), seen)
}

// segmentKey names a segment of a line.
type segmentKey struct {
	id    string
	cell  string // of the matrix, see catalog.Rate.Cell
	start int64
	shape uint64 // see price.Shape
	share *share // of a pool, whose segment stands behind the line's own of the rate; nil: it is that
}

func keyOf(r *catalog.Rate) segmentKey {
	return segmentKey{id: r.ID, cell: r.Cell, start: r.Start, shape: price.Shape(r)}
}

// conversion turns a rate's prices into the line's currency. It is never changed: what was priced stays priced so.
type conversion struct {
	from     string // the rate's currency
	exchange money.Exchange
}

// priced is the segment as it is priced.
func (s *segment) priced() price.Segment {
	p := price.Segment{Rate: s.rate, State: s.state, Cell: s.cell, Line: s.on}
	if s.conversion != nil {
		p.Exchange = s.conversion.exchange
	}
	return p
}

// conversionOf gives what turns prices of the rate, for usage in the period, into the account's currency, nil where they are in that: the
// pinned one, if it is of the rate's currency, else what the plan knows of the day on which the rate takes effect. ok is false where it
// knows nothing.
func conversionOf(r *catalog.Rate, period catalog.Period, pinned *conversion, plan *catalog.Plan) (c *conversion, ok bool) {
	if r.Currency == plan.Account().Currency {
		return nil, true
	}
	if pinned != nil && pinned.from == r.Currency {
		return pinned, true
	}
	x, ok := plan.ExchangeOf(r, period)
	if !ok {
		return nil, false
	}
	return &conversion{from: r.Currency, exchange: x}, true
}

// conversionIn is conversionOf for usage that falls on the family, which may have some under the rate: one rate has one conversion.
func (f *family) conversionIn(r *catalog.Rate, period catalog.Period, pinned *conversion, plan *catalog.Plan) (c *conversion, ok bool) {
	if r.Currency == plan.Account().Currency {
		return nil, true
	}
	for i := range f.lines {
		for j := range f.lines[i].segments {
			s := &f.lines[i].segments[j]
			if s.id != r.ID || s.start != r.Start || s.owner != r.Owner {
				continue
			}
			for _, known := range [...]*conversion{s.conversion, s.pinned} {
				if known != nil && known.from == r.Currency {
					return known, true
				}
			}
		}
	}
	return conversionOf(r, period, pinned, plan)
}

// compare orders segments as price.CompareSegments does.
func (s *segmentKey) compare(to *segmentKey) int {
	if s.cell != to.cell {
		return cmp.Compare(s.cell, to.cell)
	}
	if c := cmp.Or(cmp.Compare(s.start, to.start), cmp.Compare(s.id, to.id), cmp.Compare(s.shape, to.shape)); c != 0 || s.share == to.share {
		return c
	}
	return s.share.compare(to.share)
}

// placeOf gives where the segment stands or belongs, and whether it is there.
func placeOf(segments []segment, key *segmentKey) (at int, found bool) {
	if len(segments) > few {
		return sort.Find(len(segments), func(i int) int { return key.compare(&segments[i].segmentKey) })
	}
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

// few segments are searched one after another. Of more it is remembered where those were that events fell on, since the words that a search
// compares are mostly in no cache.
const few = 8

// placeOf is placeOf for the segment of the rate.
func (l *line) placeOf(r *catalog.Rate) (at int, found bool) {
	key := keyOf(r)
	if len(l.segments) <= few {
		return placeOf(l.segments, &key)
	}
	if at, found = l.places[r]; found && l.segments[at].rate == r { // no segment ever goes
		return at, true
	}
	if at, found = l.young[r.Cell]; found {
		found = l.segments[at].compare(&key) == 0
	}
	if !found {
		if len(l.young) > 0 && l.young[r.Cell] > 0 {
			l.inOrder()
		}
		at, found = placeOf(l.segments[:l.ordered], &key)
	}
	if found {
		if l.places == nil {
			l.places = map[*catalog.Rate]int{}
		}
		l.places[r] = at
	}
	return at, found
}

// insert puts a segment where placeOf says that it belongs, and gives where it stands. The first of a cell is put behind all, where there
// are many, since it would move half of them; inOrder moves them once for all that came.
func (l *line) insert(at int, s segment) int {
	inCell := at > 0 && l.segments[at-1].cell == s.cell || at < len(l.segments) && l.segments[at].cell == s.cell
	if len(l.segments) <= few || inCell {
		if l.ordered < len(l.segments) {
			l.inOrder()
			at, _ = placeOf(l.segments, &s.segmentKey)
		}
		l.segments = slices.Insert(l.segments, at, s)
		l.ordered = len(l.segments)
		return at
	}
	at = len(l.segments)
	l.segments = append(l.segments, s)
	if l.young == nil {
		l.young = map[string]int{}
	}
	l.young[s.cell] = at
	return at
}

// inOrder puts all segments in the order of price.CompareSegments.
func (l *line) inOrder() {
	if l.ordered >= len(l.segments) {
		return
	}
	slices.SortFunc(l.segments[l.ordered:], func(a, b segment) int { return a.compare(&b.segmentKey) })
	young := slices.Clone(l.segments[l.ordered:])
	to := len(l.segments)
	for old := l.ordered; len(young) > 0; { // the last of both goes behind
		to--
		if y := &young[len(young)-1]; old == 0 || l.segments[old-1].compare(&y.segmentKey) < 0 {
			l.segments[to], young = *y, young[:len(young)-1]
			continue
		}
		old--
		l.segments[to] = l.segments[old]
	}
	l.ordered = len(l.segments)
	clear(l.young)
}

// cellAround appends the segments of the rate's cell, whose own stands at if it was found, else belongs there, and gives where that is among them.
func (l *line) cellAround(dst []price.Segment, at int, found bool, r *catalog.Rate) (cell []price.Segment, own int) {
	from, to := at, at
	if found {
		to++
	}
	key := keyOf(r)
	for from > 0 && l.segments[from-1].besides(&key) {
		from--
	}
	for to < len(l.segments) && l.segments[to].besides(&key) {
		to++
	}
	return appendPriced(dst, l.segments[from:to]), at - from
}

// besides says whether the segment, which is not own, stands in its cell. Most have the same rate in another: then cells,
// whose words are in no cache, need not be compared.
func (s *segmentKey) besides(own *segmentKey) bool {
	return (s.start != own.start || s.id != own.id || s.shape != own.shape) && s.cell == own.cell
}

// hasMaximum says whether the rate stands in a matrix that has a maximum of the whole.
func hasMaximum(r *catalog.Rate) bool { return r != nil && r.Outer != nil && !r.Outer.Maximum.IsZero() }

// bound takes note that the line has other segments, or that they point at other rates.
func (l *line) bound() {
	l.capped, l.shares, l.places = false, false, nil
	for i := range l.segments {
		l.shares = l.shares || l.segments[i].share != nil
		l.capped = l.capped || hasMaximum(l.segments[i].rate)
	}
}

// outer is the rate that was found last, to which all cells of a matrix lead.
type outer struct {
	owner catalog.Ref
	id    string
	rate  *catalog.Rate
	plan  *catalog.Plan
}

// rateIn finds the segment's rate in a plan, nil where it is gone, or has states of another shape.
func (o *outer) rateIn(plan *catalog.Plan, s *segment) *catalog.Rate {
	if o.plan != plan || o.owner != s.owner || o.id != s.id {
		*o = outer{owner: s.owner, id: s.id, plan: plan, rate: plan.RateByID(s.owner, s.id)}
	}
	r := inCell(o.rate, s.cell)
	if r == nil || price.Shape(r) != s.shape {
		return nil
	}
	return r
}

// addTo puts in into the segment of the rate, at its place in the order; it returns the changed copy of the
// segments so that a failed pricing leaves the line as it was. The copy is made in scratch. A rate that prices in log order also looks
// at the others: the segments of the family's other lines.
func addTo(scratch []segment, segments []segment, r *catalog.Rate, c *conversion, in price.Input, others []segment) ([]segment, error) {
	scratch = append(scratch[:0], segments...)
	key := keyOf(r)
	i, found := placeOf(scratch, &key)
	if !found {
		scratch = slices.Insert(scratch, i, segment{owner: r.Owner, segmentKey: key})
	}
	scratch[i].rate, scratch[i].gone, scratch[i].conversion, scratch[i].on = r, false, c, in.Line
	if price.InLogOrder(r) {
		before, err := beforeIn(scratch, i, others)
		if err != nil {
			return scratch, err
		}
		in.Before = &before
	}
	return scratch, aggregate(r, &scratch[i].state, &in)
}

// aggregate is price.Add; what the state keeps of the event is its own.
func aggregate(r *catalog.Rate, s *price.State, in *price.Input) error {
	before := s.ID
	err := price.Add(r, s, in)
	if s.ID == before {
		s.ID = before
	} else {
		s.ID = strings.Clone(s.ID)
	}
	return err
}

// beforeIn gives what was accumulated before segment i of a line, by it and by the others of its family: in earlier segments, and in
// the same segment of other lines.
func beforeIn(segments []segment, i int, others []segment) (price.State, error) {
	all, err := merged(slices.Clone(segments), others)
	if err != nil {
		return price.State{}, err
	}
	all = slices.DeleteFunc(all, func(s segment) bool { return s.share != nil })
	at, _ := placeOf(all, &segments[i].segmentKey)
	before, err := price.Before(appendPriced(nil, all), at)
	if err != nil {
		return price.State{}, err
	}
	if j, found := placeOf(others, &segments[i].segmentKey); found {
		return price.Merge(before, others[j].state)
	}
	return before, nil
}

// merged returns the segments of dst and b together, in order.
func merged(dst []segment, b []segment) ([]segment, error) {
	added := 0
	for i, j := 0, 0; j < len(b); {
		c := 1
		if i < len(dst) {
			c = dst[i].compare(&b[j].segmentKey)
		}
		switch {
		case c < 0:
			i++
			continue
		case c == 0:
			state, err := price.Merge(dst[i].state, b[j].state)
			if err == nil && dst[i].share != nil {
				dst[i].share, err = dst[i].share.plus(b[j].share.charged)
			}
			if err != nil {
				return dst, err
			}
			dst[i].state = state
			i++
		default:
			added++
		}
		j++
	}
	if added == 0 {
		return dst, nil
	}
	i, j := len(dst)-1, len(b)-1
	dst = slices.Grow(dst, added)[:len(dst)+added]
	for to := len(dst) - 1; added > 0; to-- { // the last of both goes behind
		if i >= 0 {
			c := dst[i].compare(&b[j].segmentKey)
			if c >= 0 {
				dst[to] = dst[i]
				i--
				if c == 0 {
					j--
				}
				continue
			}
		}
		dst[to] = b[j]
		j--
		added--
	}
	return dst, nil
}

// othersThan puts the segments of the family's lines other than line at together, in to.
func (f *family) othersThan(at int, to []segment) ([]segment, error) {
	for i := range f.lines {
		if i == at {
			continue
		}
		f.lines[i].inOrder()
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
		l.inOrder()
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
func loadFamily(stored []LineState, words words) (*family, error) {
	s := &stored[0]
	f := newFamily(s.Family)
	f.account, f.product, f.pkg, f.group = s.Account, words.of(s.Product), words.of(s.Package), words.attributes(s.Group)
	f.seller, f.currency, f.period, f.seq, f.stored = words.of(s.Seller), words.of(s.Currency), s.UsagePeriod, s.Seq, len(stored)
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
		l.ordered = len(l.segments)
		if err := f.loadSecond(l, s.Second); err != nil {
			return nil, fmt.Errorf("line %x: %w", s.Line, err)
		}
		l.settle(f)
	}
	return f, nil
}
