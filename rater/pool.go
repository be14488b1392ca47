package rater

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price"
)

// pool is usage of one period whose tiers several lines have together. Its charge of an event, Total(after) − Total(before) of all that
// was used in it, goes to the event's line, which keeps what it was charged (see share): the order of the log decides who pays
// how much, and never how much all pay.
//
// A pool is priced under one set of definitions. When it is touched under newer ones, what all of it costs more or less is an adjustment
// on the line of the event that touches it, before its charge: that line changes anyway, it is in memory, and the same log gives the same
// line again. To spread it over the pool's lines would have to read and write all of them for one event.
type pool struct {
	segments []poolSegment // in the order of price.CompareSegments, see start
	amount   money.Decimal // that its lines were charged
	seq      int64         // of the definitions that the amount is priced under; below 0: see moved
	version  int64
	lastUsed uint64
	dirty    bool // changed since the last cut was frozen
	inCut    bool // stands in the cut in flight
	bound    bool // the segments point at their rates as of boundSeq
	boundSeq int64

	id       activity.ID
	scope    catalog.Pool
	of       string
	seller   string
	billed   string
	product  string
	currency string
	period   catalog.Period
}

// poolSegment is what was used in a pool under one rate, by whatever account; of capacities, of one product (which is its cell).
type poolSegment struct {
	segment
	via string // the account in whose contract the rate stands, "": the rate is found without
}

// share is what a line has of a pool. It is replaced, never changed, but by the line's own charge.
type share struct {
	pool    activity.ID
	charged money.Decimal
}

// plus gives the share with one more charge.
func (s *share) plus(charge money.Decimal) (*share, error) {
	charged, err := s.charged.Add(charge)
	return &share{s.pool, charged}, err
}

// compare orders the shares of one rate by their pools, behind the line's own segment.
func (s *share) compare(to *share) int {
	switch {
	case s == to:
		return 0
	case s == nil:
		return -1
	case to == nil:
		return 1
	}
	return bytes.Compare(s.pool[:], to.pool[:])
}

// share finds the pool in which the event's rate has its tiers, with its segments bound to the rates that price them. It
// reports false, with what is missing in need, when something has to be read first.
func (m *machine) share(e *usage.Event, r *resolution, need *needs) bool {
	id, ok := r.poolID(e)
	if !ok {
		return true
	}
	if r.pool = m.pools[id]; r.pool == nil {
		need.pool(id)
		return false
	}
	m.uses++
	r.pool.lastUsed = m.uses
	bound, found := m.bindPool(r.pool, r.poolSeq, need), m.poolRate(r, need)
	return bound && found
}

// poolID names the event's pool; false: its line has the tiers.
func (r *resolution) poolID(e *usage.Event) (activity.ID, bool) {
	of, product := "", r.product.ID
	switch r.rate.Pool {
	case "":
		return activity.ID{}, false
	case catalog.PoolAccount:
		of = e.Account
	case catalog.PoolPackage:
		if of = r.pkg; of == "" {
			return activity.ID{}, false
		}
	}
	if r.rate.Model == catalog.ModelCapacity {
		product = ""
	}
	return activity.PoolID(r.seller, string(r.rate.Pool), of, product, r.plan.Account().Currency, r.owed, r.usagePeriod.Start), true
}

// poolRate gives the rate under which the pool prices the event: its own, but where the pool is priced under other definitions than
// the event, and these have the rate as well.
func (m *machine) poolRate(r *resolution, need *needs) bool {
	r.pooled.rate, r.pooled.since = r.rate, false
	if r.poolSeq == r.seq {
		return true
	}
	s := poolSegment{segment{owner: r.rate.Owner, segmentKey: keyOf(r.rate)}, viaOf(r.rate)}
	then, ok := m.rateAt(&s, r.poolSeq, need)
	if then != nil && samePool(then, r.rate.Model == catalog.ModelCapacity) {
		r.pooled.rate = then
	} else {
		r.pooled.since = true
	}
	return ok
}

// viaOf names the account whose plan finds the rate, "" where the snapshot does.
func viaOf(r *catalog.Rate) string {
	switch r.Owner.Kind {
	case catalog.KindAccount, catalog.KindContract:
		return r.OwnerAccount
	}
	return ""
}

// samePool says whether a rate can price what was used in a pool, of capacities or of tiers.
func samePool(r *catalog.Rate, capacity bool) bool {
	return r.Poolable() && (r.Model == catalog.ModelCapacity) == capacity
}

// ratesByID is a plan or a snapshot.
type ratesByID interface {
	RateByID(owner catalog.Ref, id string) *catalog.Rate
}

// rateIn finds the segment's rate, nil where it is gone, or has states of another shape.
func (s *poolSegment) rateIn(rates ratesByID) *catalog.Rate {
	r := inCell(rates.RateByID(s.owner, s.id), s.cell)
	if r == nil || price.Shape(r) != s.shape {
		return nil
	}
	return r
}

// rateAt finds a segment's rate as of seq, nil where it is gone; false when something has to be read first.
func (m *machine) rateAt(s *poolSegment, seq int64, need *needs) (*catalog.Rate, bool) {
	if s.via == "" {
		snap := m.defs.snapshotAt(m, seq, need)
		if snap == nil {
			return nil, false
		}
		return s.rateIn(snap), true
	}
	plan, ok := m.defs.planAt(m, s.via, seq, need)
	if plan == nil {
		return nil, ok
	}
	return s.rateIn(plan), true
}

// bindPool points the pool's segments at their rates as of seq: as they stand there or, where one is gone, as it was when the pool was
// last priced with it. Like bind it changes nothing that is stored.
func (m *machine) bindPool(q *pool, seq int64, need *needs) bool {
	if q.bound && q.boundSeq == seq {
		return true
	}
	whole := true
	for i := range q.segments {
		s := &q.segments[i]
		r, ok := m.rateAt(s, seq, need)
		gone := ok && (r == nil || !samePool(r, q.product == "") || !s.exchanged(r, q.currency))
		if gone {
			r, ok = m.rateAt(s, s.seq, need)
		}
		switch {
		case !ok:
			whole = false
		case r == nil:
			panic("bug: the rate of a pool's segment is gone from the definitions that it was priced under")
		default:
			s.rate, s.gone, s.conversion = r, gone, s.pinned
		}
	}
	q.bound, q.boundSeq = whole, seq
	return whole
}

// exchanged says whether the rate is still in the currency that the segment's prices were converted from, or not.
func (s *poolSegment) exchanged(r *catalog.Rate, currency string) bool {
	if s.pinned == nil {
		return r.Currency == currency
	}
	return r.Currency == s.pinned.from
}

// begin fills in a pool in which nothing was used yet, for usage of the family under the rate.
func (q *pool) begin(r *catalog.Rate, f *family, seq int64) {
	if len(q.segments) > 0 {
		return
	}
	q.scope, q.seller, q.billed, q.currency, q.period, q.seq = r.Pool, f.seller, f.owed, f.currency, f.period, seq
	if r.Model != catalog.ModelCapacity {
		q.product = f.product
	}
	switch q.scope {
	case catalog.PoolAccount:
		q.of = f.account
	case catalog.PoolPackage:
		q.of = f.pkg
	}
}

// start is where the segment of a rate stands in the pool's order. Accounts have the rates of a class from when their contracts began: of
// those before the period it does not matter when, so that they have one segment together.
func (q *pool) start(r *catalog.Rate) int64 {
	if r.Owner.Kind == catalog.KindRateClass {
		return max(r.Start, q.period.Start)
	}
	return r.Start
}

// keyIn is where the rate's segment stands in the pool; a capacity has one for each product, which is its cell.
func (q *pool) keyIn(r *catalog.Rate, product string) segmentKey {
	key := keyOf(r)
	key.start = q.start(r)
	if r.Model == catalog.ModelCapacity {
		key.cell = product
	}
	return key
}

// place gives where the segment stands or belongs, and whether it is there.
func (q *pool) place(key *segmentKey) (int, bool) {
	return slices.BinarySearchFunc(q.segments, key, func(s poolSegment, key *segmentKey) int { return s.compare(key) })
}

// poolCharge is what an event makes of its pool, worked out before anything changes.
type poolCharge struct {
	at       int // of the event's segment
	found    bool
	segment  poolSegment
	adjusted money.Decimal // Total under the pool's definitions less its stored amount
	charged  money.Decimal // Total(after) − Total(before)
	total    money.Decimal // after
}

// charge works out what the event costs in the pool, whose rate is the event's or the one that was in its place under the pool's definitions.
func (p *pricer) chargePool(r *resolution, rate *catalog.Rate, since bool) (c poolCharge, reason string) {
	q := r.pool
	key := q.keyIn(rate, r.product.ID)
	c.at, c.found = q.place(&key)
	anew := !c.found
	if c.found {
		c.segment = q.segments[c.at]
		anew = c.segment.gone // it is of an account that came after the seal, or its currency has changed
	} else {
		c.segment = poolSegment{segment{owner: rate.Owner, segmentKey: key}, viaOf(rate)}
	}
	if anew {
		conversion, ok := conversionOf(rate, r.usagePeriod, p.known.prices(rate, r.usagePeriod, r.plan), r.plan)
		if !ok {
			return c, ReasonNoRate
		}
		c.segment.rate, c.segment.seq, c.segment.gone, c.segment.conversion, c.segment.pinned = rate, r.seq, since, conversion, conversion
	}
	before, err := q.amount, error(nil)
	if q.seq != r.poolSeq || c.found && anew {
		if before, err = p.poolTotal(q, &c, c.found); err != nil {
			return c, ReasonOverflow
		}
	}
	if err = aggregate(c.segment.rate, &c.segment.state, &p.in); err != nil {
		return c, reasonOf(err)
	}
	if c.total, err = p.poolTotal(q, &c, true); err != nil {
		return c, ReasonOverflow
	}
	if c.adjusted, err = before.Sub(q.amount); err != nil {
		return c, ReasonOverflow
	}
	if c.charged, err = c.total.Sub(before); err != nil {
		return c, ReasonOverflow
	}
	return c, ""
}

// poolTotal prices the pool, with the event's segment as c has it.
func (p *pricer) poolTotal(q *pool, c *poolCharge, with bool) (money.Decimal, error) {
	all := p.segments[:0]
	for i := range q.segments {
		s := &q.segments[i].segment
		if with && i == c.at {
			if !c.found {
				all = append(all, c.segment.priced())
			} else {
				s = &c.segment.segment
			}
		}
		all = append(all, s.priced())
	}
	if with && c.at == len(q.segments) {
		all = append(all, c.segment.priced())
	}
	p.segments = all
	return price.PoolTotal(all)
}

// take takes the charge over.
func (q *pool) take(c *poolCharge, r *resolution) {
	if c.found {
		q.segments[c.at] = c.segment
	} else {
		q.segments = slices.Insert(q.segments, c.at, c.segment)
	}
	q.price(c.total, r.poolSeq)
}

// price takes over what the pool comes to under the definitions.
func (q *pool) price(total money.Decimal, seq int64) {
	q.amount, q.seq = total, seq
	q.bound, q.boundSeq = true, seq
	for i := range q.segments {
		if s := &q.segments[i]; !s.gone {
			s.seq, s.pinned = seq, s.conversion
		}
	}
}

// putPooled puts the event into its pool and into its line, which may be a new one, and prices the family's lines into p.priced, as put
// does. After a reason nothing has changed.
func (p *pricer) putPooled(f *family, e *usage.Event, r *resolution, words words) (at int, c poolCharge, reason string) {
	at = f.lineOn(r.invoice)
	p.scratch = p.scratch[:0]
	quantity, events := money.Decimal{}, int64(0)
	if at >= 0 {
		f.lines[at].inOrder()
		p.scratch = append(p.scratch, f.lines[at].segments...)
		quantity, events = f.lines[at].quantity, f.lines[at].events
	}
	if quantity, reason = p.enter(e, r, quantity); reason != "" {
		return at, c, reason
	}
	pooled, since := r.pooled.rate, r.pooled.since
	if r.rate.Matrix != nil {
		if pooled = pooled.Matrix.Entry(p.rate.Cell); pooled == nil {
			pooled, since = p.rate, true
		}
	}
	if len(f.lines) == 0 {
		f.begin(e, r, words)
	}
	r.pool.begin(r.rate, f, r.poolSeq)
	if c, reason = p.chargePool(r, pooled, since); reason != "" {
		return at, c, reason
	}
	if err := p.shareOf(r.pool, p.rate, &c); err != nil {
		return at, c, reasonOf(err)
	}
	fresh := at < 0
	if fresh {
		at = f.open(r.period, r.billed, r.invoice)
	}
	if !p.reprice(f, at, p.scratch) {
		if fresh {
			f.lines = slices.Delete(f.lines, at, at+1)
		}
		return at, c, ReasonOverflow
	}
	l := &f.lines[at]
	l.segments = append(l.segments[:0], p.scratch...)
	l.ordered, l.shares = len(l.segments), true
	l.quantity, l.events, l.last, l.selected = quantity, events+1, r.rate, p.rate
	r.pool.take(&c, r)
	return at, c, ""
}

// shareOf puts the event and what the pool charges for it into the line's segment, in p.scratch.
func (p *pricer) shareOf(q *pool, r *catalog.Rate, c *poolCharge) error {
	key := keyOf(r)
	key.share = &share{pool: q.id}
	i, found := placeOf(p.scratch, &key)
	if !found {
		s := segment{owner: r.Owner, segmentKey: key}
		p.scratch = slices.Insert(p.scratch, i, s)
	}
	s := &p.scratch[i]
	s.rate, s.gone, s.conversion = r, false, c.segment.conversion
	all, err := c.adjusted.Add(c.charged)
	if err != nil {
		return err
	}
	if s.share, err = s.share.plus(all); err != nil {
		return err
	}
	return aggregate(c.segment.rate, &s.state, &p.in) // as the pool does, so that its lines add up to it
}

// chargePooled is charge for usage whose tiers are shared.
func (m *machine) chargePooled(rec *activity.Record, e *usage.Event, r *resolution, marker *MarkerState) string {
	at, c, reason := m.putPooled(r.f, e, r, m.words)
	if reason != "" {
		return reason
	}
	l := &r.f.lines[at]
	if !c.adjusted.IsZero() {
		before := l.amount
		amount, err := before.Add(c.adjusted)
		if err != nil {
			panic("bug: an amount within bounds overflows")
		}
		l.amount = amount
		m.emit(rec, r.f, l, activity.Activity{
			Kind: activity.KindAdjustment, EventTime: r.f.period.Start, Charge: c.adjusted, Terms: m.termsOf(r.f, l, r.rate, r.seq),
		})
	}
	charged := m.commitPrices(rec, r.f, at, r.seq, "")
	m.emitUsage(rec, e, r, &r.f.lines[at], charged)
	r.pool.version = rec.Offset + 1
	m.touchPool(r.pool)
	if marker != nil {
		m.gather(r.f, at, e, r, marker, &c)
	}
	return ""
}

// shared finds the pools of the family's lines, bound to the definitions; false: something has to be read first.
func (m *machine) shared(f *family, seq int64, need *needs) bool {
	whole := true
	for i := range f.lines {
		for j := range f.lines[i].segments {
			s := f.lines[i].segments[j].share
			if s == nil {
				continue
			}
			q := m.pools[s.pool]
			if q == nil {
				need.pool(s.pool)
				whole = false
				continue
			}
			m.uses++
			q.lastUsed = m.uses
			whole = m.bindPool(q, seq, need) && whole
		}
	}
	return whole
}

// sweepPools prices the pools of the family's lines under newer definitions, as their next event would. What changes is an adjustment on the
// line with which the sweep comes to a pool first. A pool that overflows keeps its amount.
func (m *machine) sweepPools(rec *activity.Record, f *family, seq int64, cause string) {
	for i := range f.lines {
		l := &f.lines[i]
		for j := range l.segments {
			s := &l.segments[j]
			if s.share == nil {
				continue
			}
			q := m.pools[s.share.pool]
			if q.seq >= seq {
				continue
			}
			c := poolCharge{at: -1}
			total, err := m.poolTotal(q, &c, false)
			change, charged := money.Decimal{}, s.share
			if err == nil {
				change = difference(total, q.amount)
				charged, err = s.share.plus(change)
			}
			if err != nil {
				if q.seq < 0 { // nobody is waited for
					q.seq = 0
					m.touchPool(q)
				}
				continue
			}
			s.share = charged
			q.price(total, seq)
			q.version = rec.Offset + 1
			m.touchPool(q)
			if change.IsZero() {
				continue
			}
			if l.amount, err = l.amount.Add(change); err != nil {
				panic("bug: an amount within bounds overflows")
			}
			l.version = rec.Offset + 1
			m.emit(rec, f, l, activity.Activity{
				Kind: activity.KindAdjustment, Source: cause, EventTime: f.period.Start, Charge: change, Terms: m.termsOf(f, l, s.rate, seq),
			})
			m.touch(f)
		}
	}
}

// touchPool marks the pool as changed for the next cut.
func (m *machine) touchPool(q *pool) {
	m.uses++
	q.lastUsed = m.uses
	if !q.dirty {
		q.dirty = true
		m.pooled = append(m.pooled, q)
	}
}

// providePools takes the pools that were asked for; one without a row is new.
func (m *machine) providePools(ctx context.Context, need *needs, fence Fence, store Store) error {
	stored, err := store.Pools(ctx, fence, keys(need.pools))
	if err != nil {
		return fmt.Errorf("read %d pools: %w", len(need.pools), err)
	}
	for id := range need.pools {
		m.pools[id] = &pool{id: id}
	}
	for i := range stored {
		q, err := loadPool(&stored[i])
		if err != nil {
			return err
		}
		m.pools[q.id] = q
	}
	return nil
}

// evictPools lets go of clean pools, those that were not used lately, once there are more than keep. What is remembered of resolutions points at
// pools, and is void with them.
func (m *machine) evictPools(keep int) {
	if len(m.pools) <= keep {
		return
	}
	var clean []*pool
	for _, q := range m.pools {
		if (!q.dirty || m.faults.EvictDirty) && !q.inCut {
			clean = append(clean, q)
		}
	}
	slices.SortFunc(clean, func(a, b *pool) int { return cmp.Compare(a.lastUsed, b.lastUsed) })
	for _, q := range clean[:min(len(clean), len(m.pools)-keep/2)] {
		delete(m.pools, q.id)
	}
	if len(clean) > 0 {
		m.changed()
	}
}

// state gives the pool as it is stored.
func (q *pool) state() PoolState {
	segments := make([]segment, len(q.segments))
	for i := range q.segments {
		segments[i] = q.segments[i].segment
	}
	b := appendSegments(nil, segments)
	encoded := appendString(make([]byte, 0, len(b)+len(q.segments)+4), string(b))
	for i := range q.segments {
		encoded = appendString(encoded, q.segments[i].via)
	}
	return PoolState{
		ID: q.id, Scope: q.scope, Of: q.of, Seller: q.seller, Billed: q.billed, Product: q.product, Currency: q.currency, Period: q.period,
		Amount: q.amount, Segments: encoded, Seq: q.seq, Version: q.version,
	}
}

// PoolSegment is what a stored pool says of the usage under one rate.
type PoolSegment struct {
	Segment
	Via string // the account in whose plan the rate is found, "": it is the snapshot's
}

// DecodePool reads PoolState.Segments, which stand in their order.
func DecodePool(b []byte) ([]PoolSegment, error) {
	d := decoder{b: b}
	segments, err := DecodeSegments(d.take(d.uvarint()))
	if err != nil {
		return nil, err
	}
	out := make([]PoolSegment, len(segments))
	for i := range segments {
		out[i] = PoolSegment{Segment: segments[i], Via: d.string()}
	}
	if len(d.b) != 0 || d.bad {
		return nil, errSegments
	}
	return out, nil
}

func loadPool(s *PoolState) (*pool, error) {
	stored, err := DecodePool(s.Segments)
	if err != nil {
		return nil, fmt.Errorf("pool %s: %w", s.ID, err)
	}
	q := &pool{
		id: s.ID, scope: s.Scope, of: s.Of, seller: s.Seller, billed: s.Billed, product: s.Product, currency: s.Currency, period: s.Period,
		amount: s.Amount, seq: s.Seq, version: s.Version,
	}
	for i := range stored {
		g := &stored[i]
		q.segments = append(q.segments, poolSegment{
			g.segment(), strings.Clone(g.Via),
		})
	}
	return q, nil
}
