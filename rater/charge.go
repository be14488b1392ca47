package rater

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price"
)

// pricer works out what a usage event makes of its family. The machine and Fold share it, so that what is added up again from
// stored usage is what was rated.
type pricer struct {
	faults   *Faults // nil: none
	scratch  []segment
	together []segment
	segments []price.Segment
	in       price.Input   // what the event in work brings
	rate     *catalog.Rate // … to its rate, of a matrix the price that is selected
	cell     []price.Segment
	priced   []money.Decimal                // the lines' amounts under new circumstances, computed before anything changes
	values   [catalog.MostDimensions]string // of an event, by which a matrix selects
	exchange money.Exchange                 // turned the last event's amount into its rate's currency

	conversion *conversion             // of the last put's rate
	known      Exchanges               // that the event was rated with before
	events     int64                   // that are priced as one, see Fold.AddTogether; 0: one
	all        map[activity.ID]*family // the machine's or the fold's
	reads      bool                    // … which are not all there are
	distinct   values                  // where they are counted …
	within     uint64                  // … in such places, see price.Value
	offset     int64                   // of the record in work, which names the sets that begin
	value      price.Value             // that of the event, if p.in has it
	behind     price.Value             // … and in what is gathered behind a marker
	valueKey   ValueKey
}

// charge puts the event on its line: charge = Total(after) − the line's stored amount. It returns the reason
// when the arithmetic overflows; then nothing has changed.
func (m *machine) charge(rec *activity.Record, e *usage.Event, r *resolution) string {
	f, sent := r.f, e
	e = m.asPriced(e, r)
	m.uses++
	f.lastUsed = m.uses
	marker := m.openMarker(e, r)
	if l := f.alone(r); l != nil && marker == nil {
		charged, reason := m.chargeAlone(l, e, r)
		m.in.ID = "" // a part of the record
		if reason == "" {
			l.version = rec.Offset + 1
			m.touch(f)
			m.emitUsage(rec, sent, r, l, charged)
			if r.carries {
				m.carryOn(rec, r, e.Account, m.rate.Cell)
			}
		}
		return reason
	}
	if len(f.lines) > 0 && f.seq < r.seq {
		if !m.reprice(f, -1, nil) {
			return ReasonOverflow
		}
		m.commitPrices(rec, f, -1, r.seq, "")
		m.sweepPools(rec, f, r.poolSeq, "")
	}
	if r.pool != nil {
		reason := m.chargePooled(rec, e, r, marker)
		m.in.ID = "" // a part of the record
		return reason
	}
	at, reason := m.put(f, e, r, m.words)
	if reason == "" {
		charged := m.commitPrices(rec, f, at, r.seq, "")
		m.emitUsage(rec, sent, r, &f.lines[at], charged)
		if marker != nil {
			m.gather(f, at, e, r, marker, nil)
		}
		if r.carries {
			m.carryOn(rec, r, e.Account, m.rate.Cell)
		}
	}
	m.in.ID = "" // a part of the record
	return reason
}

// asPriced is the event itself, but for faults.
func (m *machine) asPriced(e *usage.Event, r *resolution) *usage.Event {
	if m.faults.CellByLogTime && r.rate.Matrix != nil || m.faults.LatestByArrival && r.rate.Matrix == nil {
		arrived := *e
		arrived.Time = m.logTime
		return &arrived
	}
	return e
}

// enter finds the rate that prices the event and what the event brings to it, into p.rate and p.in, and adds its quantity to that of its
// line so far. It returns the reason why that cannot be.
func (p *pricer) enter(e *usage.Event, r *resolution, sofar money.Decimal) (quantity money.Decimal, reason string) {
	if p.rate = p.pricing(e, r); p.rate == nil {
		return quantity, ReasonNoRate
	}
	if e.Corrects != nil && !price.TakesBack(p.rate) {
		return quantity, reasonToWait(e)
	}
	if p.rate.Needs.Days && r.on.PeriodDays() == 0 {
		return quantity, ReasonNoPeriod
	}
	quantity, err := sofar.Add(e.Quantity)
	if err != nil {
		return quantity, ReasonOverflow
	}
	if price.QuantityAlone(p.rate) { // mostly, and then nothing else needs to be read
		p.in, p.exchange = price.Input{Quantity: e.Quantity, Events: p.events, Line: r.on}, money.Exchange{}
		return quantity, ""
	}
	p.in, p.exchange, reason = inputOf(e, p.rate, r.usagePeriod, r.usageZone, r.plan.Snapshot(), p.known.amount(e, p.rate, r.plan))
	p.in.Line = r.on
	if price.CountsValues(p.rate) {
		p.see(r.f, e)
	}
	if r.carries && reason == "" {
		p.in.Carried, _ = p.carried(r, e.Account, p.rate.Cell, nil)
	}
	return quantity, reason
}

// put puts the event into the segments of its line, which may be a new one, and prices the family's lines into p.priced, which are
// theirs once take was called. After a reason nothing has changed.
func (p *pricer) put(f *family, e *usage.Event, r *resolution, words words) (at int, reason string) {
	at = f.lineOn(r.invoice)
	segments := []segment(nil)
	quantity, events := money.Decimal{}, int64(0)
	if at >= 0 {
		f.lines[at].inOrder()
		segments, quantity, events = f.lines[at].segments, f.lines[at].quantity, f.lines[at].events
	}
	if quantity, reason = p.enter(e, r, quantity); reason != "" {
		return at, reason
	}
	if len(f.lines) == 0 {
		f.begin(e, r, words)
	}
	conversion, ok := f.conversionIn(p.rate, r.usagePeriod, p.known.prices(p.rate, r.usagePeriod, r.plan), r.plan)
	if !ok {
		return at, ReasonNoRate
	}
	p.conversion = conversion
	p.together = p.together[:0]
	var err error
	if price.InLogOrder(p.rate) && (p.faults == nil || !p.faults.LogOrderAlone) {
		if p.together, err = f.othersThan(at, p.together); err != nil {
			return at, ReasonOverflow
		}
	}
	if p.in.Value != nil {
		p.value.Of = f.newest(p.valueKey.Set)
	}
	p.scratch, err = addTo(p.scratch, segments, p.rate, conversion, p.in, p.together)
	if err != nil {
		return at, reasonOf(err)
	}
	fresh := at < 0
	if fresh {
		at = f.open(r.period, r.billed, r.invoice)
	}
	if !p.reprice(f, at, p.scratch) {
		if fresh {
			f.lines = slices.Delete(f.lines, at, at+1)
		}
		return at, ReasonOverflow
	}
	l := &f.lines[at]
	l.segments = append(l.segments[:0], p.scratch...)
	if p.in.Value != nil {
		key := keyOf(p.rate)
		i, _ := placeOf(l.segments, &key)
		p.seen(f, &l.segments[i].state)
	}
	l.ordered, l.capped = len(l.segments), l.capped || hasMaximum(p.rate)
	l.quantity, l.events, l.last, l.selected = quantity, events+max(p.events, 1), r.rate, p.rate
	return at, ""
}

// alone gives the event's line where the event changes nothing but what its cell costs: in a family of one line, on the event's invoice,
// under the definitions that price the event, where no matrix has a maximum of the whole. There LineTotal is the sum over the cells.
func (f *family) alone(r *resolution) *line {
	if len(f.lines) == 1 && f.seq == r.seq && f.lines[0].target.Invoice == r.invoice {
		if l := &f.lines[0]; !l.capped && !l.shares && r.pool == nil && (r.rate.Matrix == nil || r.rate.Maximum.IsZero()) {
			return l
		}
	}
	return nil
}

// chargeAlone is put and take for such a line. After a reason nothing has changed.
func (p *pricer) chargeAlone(l *line, e *usage.Event, r *resolution) (charged money.Decimal, reason string) {
	quantity, reason := p.enter(e, r, l.quantity)
	if reason != "" {
		return charged, reason
	}
	if len(l.segments) == 1 && l.segments[0].rate == p.rate && r.rate == p.rate && !l.segments[0].gone {
		charged, reason = p.chargeSegment(l, &l.segments[0], r)
	} else {
		charged, reason = p.chargeCell(l, r)
	}
	if reason == "" {
		l.quantity, l.events, l.last, l.selected = quantity, l.events+max(p.events, 1), r.rate, p.rate
	}
	return charged, reason
}

// chargeSegment puts the event into the line's only segment, where it is one of its rate.
func (p *pricer) chargeSegment(l *line, s *segment, r *resolution) (charged money.Decimal, reason string) {
	state := s.state
	if p.in.Value != nil {
		p.value.Of, _ = state.Rest.UniqueOf()
	}
	if err := aggregate(p.rate, &state, &p.in); err != nil {
		return charged, reasonOf(err)
	}
	total, err := price.TotalOf(p.rate, &state, s.on)
	if err == nil && s.conversion != nil {
		total, err = s.conversion.exchange.Convert(total)
	}
	if err != nil {
		return charged, ReasonOverflow
	}
	if p.in.Value != nil {
		p.seen(r.f, &state)
	}
	charged = difference(total, l.amount)
	s.state, s.seq, l.amount = state, r.seq, total
	return charged, ""
}

// chargeCell prices the event's cell without it and with it, however many cells the line has.
func (p *pricer) chargeCell(l *line, r *resolution) (charged money.Decimal, reason string) {
	rate := p.rate
	c, ok := r.f.conversionIn(rate, r.usagePeriod, p.known.prices(rate, r.usagePeriod, r.plan), r.plan)
	if !ok {
		return charged, ReasonNoRate
	}
	at, found := l.placeOf(rate)
	cell, own := l.cellAround(p.cell[:0], at, found, rate)
	p.cell = cell
	before, err := price.LineTotal(cell)
	if err != nil {
		return charged, ReasonOverflow
	}
	if !found {
		cell = slices.Insert(cell, own, price.Segment{Cell: rate.Cell})
	}
	cell[own].Rate, cell[own].Line = rate, p.in.Line
	if c != nil {
		cell[own].Exchange = c.exchange
	}
	if price.InLogOrder(rate) {
		accumulated, err := price.Before(cell, own)
		if err != nil {
			return charged, ReasonOverflow
		}
		p.in.Before = &accumulated
	}
	if p.in.Value != nil {
		p.value.Of = newestIn(cell, p.valueKey.Set)
	}
	if err = aggregate(rate, &cell[own].State, &p.in); err != nil {
		return charged, reasonOf(err)
	}
	after, err := price.LineTotal(cell)
	if err != nil {
		return charged, ReasonOverflow
	}
	if charged, err = after.Sub(before); err != nil {
		return charged, ReasonOverflow
	}
	amount, err := l.amount.Add(charged)
	if err != nil {
		return charged, ReasonOverflow
	}
	if p.in.Value != nil {
		p.seen(r.f, &cell[own].State)
	}
	if !found {
		at = l.insert(at, segment{owner: rate.Owner, segmentKey: keyOf(rate)})
	}
	s := &l.segments[at]
	s.rate, s.gone, s.state, s.seq, s.conversion, s.pinned, s.on = rate, false, cell[own].State, r.seq, c, c, p.in.Line
	l.amount = amount
	return charged, ""
}

// difference is of two amounts, which are within bounds.
func difference(a, b money.Decimal) money.Decimal {
	d, err := a.Sub(b)
	if err != nil {
		panic("bug: the difference of two amounts within bounds overflows")
	}
	return d
}

// Selected gives the price that a matrix selects for an event of the account whose days are in the zone, nil: it has none.
func Selected(r *catalog.Rate, e *usage.Event, zone *time.Location) *catalog.Rate {
	return new(pricer).selected(r, e, zone)
}

// pricing gives the rate that prices the event: of a matrix the price that it selects, nil where it has none.
func (p *pricer) pricing(e *usage.Event, r *resolution) *catalog.Rate {
	if r.rate.Matrix == nil {
		return r.rate
	}
	return p.selected(r.rate, e, r.usageZone)
}

func (p *pricer) selected(r *catalog.Rate, e *usage.Event, zone *time.Location) *catalog.Rate {
	dimensions := r.Matrix.Dimensions
	for i := range dimensions {
		if dimensions[i].From != "" {
			p.values[i] = e.Attribute(dimensions[i].From)
		}
	}
	rate := r.Matrix.Select(p.values[:len(dimensions)], e.Time, zone)
	clear(p.values[:len(dimensions)]) // parts of the record
	if rate != nil && p.faults != nil && p.faults.CellsTogether {
		alike := *rate
		alike.Cell, rate = "", &alike
	}
	return rate
}

// InputOf gives what an event brings to its rate, in the period and zone of its line's usage, or the reason why it cannot be priced. An amount
// in another currency than the rate's is converted at the last exchange rate that is known of the event's day in UTC, or before.
func InputOf(
	e *usage.Event, r *catalog.Rate, period catalog.Period, zone *time.Location, known *catalog.Snapshot,
) (in price.Input, x money.Exchange, reason string) {
	return inputOf(e, r, period, zone, known, x)
}

// inputOf is InputOf with the exchange rate that an amount was converted with before, if there is one.
func inputOf(
	e *usage.Event, r *catalog.Rate, period catalog.Period, zone *time.Location, known *catalog.Snapshot, before money.Exchange,
) (in price.Input, x money.Exchange, reason string) {
	in.Quantity = e.Quantity
	if price.QuantityAlone(r) {
		return in, x, ""
	}
	in.ID, in.Time, in.Period, in.Zone = e.ID, e.Time, period, zone
	if !e.HasAmount || !price.OfMoney(r) {
		return in, x, ""
	}
	in.Money, in.HasMoney = e.Amount, true
	if e.Currency == r.Currency {
		return in, x, ""
	}
	if x = before; !x.Used() {
		var ok bool
		if x, ok = known.Exchange(e.Currency, r.Currency, money.DateOf(e.Time, time.UTC)); !ok {
			return in, x, ReasonNoRate
		}
	}
	var err error
	if in.Money, err = x.Convert(e.Amount); err != nil {
		return in, x, ReasonOverflow
	}
	return in, x, ""
}

// reasonOf says why an event is rejected that cannot be aggregated.
func reasonOf(err error) string {
	switch {
	case errors.Is(err, price.ErrNegativeQuantity):
		return ReasonNegative
	case errors.Is(err, price.ErrNoAmount):
		return ReasonNoAmount
	case errors.Is(err, price.ErrNoAttribute):
		return ReasonNoAttribute
	case errors.Is(err, price.ErrNoPeriod):
		return ReasonNoPeriod
	}
	return ReasonOverflow
}

// begin fills in a family that has no lines yet.
func (f *family) begin(e *usage.Event, r *resolution, words words) {
	f.account, f.product, f.pkg, f.group = strings.Clone(e.Account), r.product.ID, words.of(r.pkg), words.attributes(r.group)
	f.seller, f.currency = words.of(r.seller), words.of(r.plan.Account().Currency)
	f.period, f.seq, f.owed = r.usagePeriod, r.seq, r.owed
}

// reprice computes every line's amount anew into p.priced, with the segments given in place of those of line at. Each line
// continues the ones before it: Total(before + own) − Total(before). It reports false when the arithmetic overflows.
func (p *pricer) reprice(f *family, at int, segments []segment) bool {
	p.priced = p.priced[:0]
	for i := range f.lines {
		f.lines[i].inOrder()
	}
	if len(f.lines) == 1 {
		if at < 0 {
			segments = f.lines[0].segments
		}
		total, err := p.lineTotal(segments)
		p.priced = append(p.priced, total)
		return err == nil
	}
	p.together = p.together[:0]
	before := money.Decimal{}
	for i := range f.lines {
		own := f.lines[i].segments
		if i == at {
			own = segments
		}
		var err error
		if p.together, err = merged(p.together, own); err != nil {
			return false
		}
		total, err := p.lineTotal(p.together)
		if err != nil {
			return false
		}
		amount, err := total.Sub(before)
		if err != nil {
			return false
		}
		p.priced, before = append(p.priced, amount), total
	}
	return true
}

// lineTotal prices segments: the sum over k of Total_k(S_k) − Total_k(S_k−1), pricing.md §3.
func (p *pricer) lineTotal(segments []segment) (money.Decimal, error) {
	p.segments = appendPriced(p.segments[:0], segments)
	total, err := p.ownTotal()
	if err != nil {
		return money.Decimal{}, err
	}
	for i := range segments {
		if s := segments[i].share; s != nil {
			if total, err = total.Add(s.charged); err != nil {
				return money.Decimal{}, err
			}
		}
	}
	return total, nil
}

// ownTotal prices p.segments, whose tiers are the line's own.
func (p *pricer) ownTotal() (money.Decimal, error) {
	if p.faults != nil && p.faults.TiersAnew {
		return tiersAnew(p.segments)
	}
	return price.LineTotal(p.segments)
}

// tiersAnew is LineTotal under that fault.
func tiersAnew(segments []price.Segment) (sum money.Decimal, err error) {
	for i := range segments {
		total, err := price.LineTotal(segments[i : i+1])
		if err != nil {
			return sum, err
		}
		if sum, err = sum.Add(total); err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// appendPriced appends the segments as they are priced; those that are shared are priced in their pools.
func appendPriced(dst []price.Segment, segments []segment) []price.Segment {
	for i := range segments {
		if segments[i].share == nil {
			dst = append(dst, segments[i].priced())
		}
	}
	return dst
}

// take takes over the amounts of the last reprice and returns the change of line at; other gets every other line that changed.
func (p *pricer) take(f *family, at int, seq int64, other func(l *line, change money.Decimal)) (charged money.Decimal) {
	for i := range f.lines {
		l := &f.lines[i]
		change := difference(p.priced[i], l.amount)
		l.amount = p.priced[i]
		if i == at {
			charged = change
		} else if !change.IsZero() {
			other(l, change)
		}
	}
	f.seq = seq
	for i := range f.lines {
		for j := range f.lines[i].segments {
			if s := &f.lines[i].segments[j]; !s.gone {
				s.seq, s.pinned = seq, s.conversion
			}
		}
	}
	return charged
}

// commitPrices takes over the amounts of the last reprice; what changed on other lines than at becomes an adjustment.
// It returns the change of line at.
// Cause says what a job's adjustments are due to.
func (m *machine) commitPrices(rec *activity.Record, f *family, at int, seq int64, cause string) money.Decimal {
	charged := m.take(f, at, seq, func(l *line, change money.Decimal) {
		l.version = rec.Offset + 1
		m.emit(rec, f, l, activity.Activity{
			Kind: activity.KindAdjustment, Source: cause, EventTime: f.period.Start, Charge: change, Terms: m.termsOf(f, l, lastRate(l.segments), seq),
		})
	})
	if at >= 0 {
		f.lines[at].version = rec.Offset + 1
	}
	m.touch(f)
	return charged
}

// touch marks the family as changed for the next cut and the next projection.
func (m *machine) touch(f *family) {
	if !f.dirty && !(m.faults.LostDirtyFlag && f.inCut) {
		f.dirty = true
		m.dirty = append(m.dirty, f)
	}
	m.show(f)
}

// bind points the family's segments at their rates as of seq: the rate as it stands there or, where it is gone, as
// it was when the family was last priced with it. It changes nothing that is stored, since prepare calls it for events
// that turn out to be duplicates too. It reports false, with what is missing in need, when definitions have to be read first.
func (m *machine) bind(f *family, account string, seq int64, plan *catalog.Plan, need *needs) bool {
	if f.bound && f.boundSeq == seq {
		return true
	}
	for i := range f.lines {
		if !m.bindSegments(f.lines[i].segments, account, f.period, f.group, seq, plan, need) {
			return false
		}
		f.lines[i].bound()
	}
	f.bound, f.boundSeq = true, seq
	return true
}

// bindSegments is bind for some segments, of usage in a period and group.
func (m *machine) bindSegments(
	segs []segment, account string, period catalog.Period, group []activity.Attribute, seq int64, plan *catalog.Plan, need *needs,
) bool {
	var of outer
	for j := range segs {
		s := &segs[j]
		r, c, gone := of.rateIn(plan, s), s.pinned, true
		if r != nil {
			if m.faults.NewerExchange {
				c = nil
			}
			var ok bool
			if c, ok = conversionOf(r, period, c, plan); ok {
				gone = false
			}
		}
		if gone {
			r, c = nil, s.pinned
			old, ok := m.defs.planAt(m, account, s.seq, need)
			if !ok {
				return false
			}
			if old != nil {
				r = of.rateIn(old, s)
			}
		}
		if r == nil {
			panic("bug: a segment's rate is gone from the definitions that it was priced under")
		}
		s.rate, s.gone, s.conversion, s.on = r, gone, c, lineOf(r, plan, period, group)
	}
	return true
}
