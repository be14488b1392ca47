package rater

import (
	"context"
	"fmt"
	"slices"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price"
)

// When a result rates a family anew, what its lines had of pools is taken out of them, and what they have now is put in: usage may come into a
// pool, leave it, or go from one to another. That is an event of the log like others, so what it changes belongs to the lines whose usage
// it is: a family that has usage in the pool afterwards keeps what it was charged, more or less what all of the pool costs more or less.
//
// A family that has none any more keeps nothing. What the others then owe of the pool's total, or get back, is left open: the pool's seq is
// below 0 and says for which definition. It is an adjustment on the line that touches the pool next, as when its prices have
// changed, and the job sees to it that one does (see rerate.Store.Unsettled). Only where the others are closed, the family keeps it.

// moved is what a family's being rated anew makes of a pool, worked out before anything changes.
type moved struct {
	q        *pool
	segments []poolSegment
	total    money.Decimal // of all that is used in it
	amount   money.Decimal // that its lines are charged
}

// sharedBy gives the pools of the lines in the order in which they stand there.
func sharedBy(all ...[]line) (pools []activity.ID) {
	for _, lines := range all {
		for i := range lines {
			for j := range lines[i].segments {
				if s := lines[i].segments[j].share; s != nil && !slices.Contains(pools, s.pool) {
					pools = append(pools, s.pool)
				}
			}
		}
	}
	return pools
}

// staysIn is 0 where the family leaves a pool, and else 1.
func (g *merging) staysIn() int {
	now := sharedBy(g.lines)
	if slices.ContainsFunc(sharedBy(g.f.lines), func(id activity.ID) bool { return !slices.Contains(now, id) }) {
		return 0
	}
	return 1
}

// partsOf gives what lines of the family have of the pool, as its segments.
func (m *machine) partsOf(q *pool, f *family, lines []line) (parts []poolSegment, err error) {
	for i := range lines {
		for j := range lines[i].segments {
			s := &lines[i].segments[j]
			if s.share == nil || s.share.pool != q.id || s.state.Events == 0 {
				continue
			}
			p := poolSegment{segment: *s}
			p.share = nil
			if s.owner.Kind == catalog.KindRateClass {
				p.start = max(s.start, q.period.Start)
			}
			if q.capacities(s) {
				p.cell = f.product
			}
			at := findPart(parts, &p)
			if at < 0 {
				parts = append(parts, p)
				continue
			}
			if parts[at].state, err = price.Merge(parts[at].state, s.state); err != nil {
				return parts, err
			}
		}
	}
	return parts, nil
}

// capacities says whether the pool is one of capacities, of one that has not begun by what is to be used in it.
func (q *pool) capacities(s *segment) bool {
	if len(q.segments) > 0 {
		return q.product == ""
	}
	return s.rate.Model == catalog.ModelCapacity
}

// joined gives the pool's segments, one a rate. Within a period a rate may begin at another time under other definitions; then it has two until
// something is rated anew.
func (q *pool) joined() (all []poolSegment, err error) {
	for i := range q.segments {
		s := q.segments[i]
		at := findPart(all, &s)
		if at < 0 {
			all = append(all, s)
			continue
		}
		if all[at].state, err = price.Merge(all[at].state, s.state); err != nil {
			return all, err
		}
	}
	return all, nil
}

// findPart finds the segment of a rate, whenever that begins; -1: there is none.
func findPart(segments []poolSegment, p *poolSegment) int {
	return slices.IndexFunc(segments, func(s poolSegment) bool {
		return s.id == p.id && s.cell == p.cell && s.shape == p.shape && s.owner == p.owner
	})
}

// bindPart points what a line has of the pool at the rate that prices it there, see poolRate.
func (m *machine) bindPart(q *pool, p *poolSegment, g *merging, need *needs) bool {
	p.via = viaOf(p.rate)
	r, ok := m.rateAt(p, g.pools, need)
	switch {
	case !ok:
		return false
	case r != nil && samePool(r, q.capacities(&p.segment)):
		p.rate, p.gone, p.start = r, false, q.start(r)
	case !p.gone: // as the line has it
		p.gone, p.seq = true, g.seq
	}
	return true
}

// prepareMoved reads what moving the family's shares needs.
func (m *machine) prepareMoved(g *merging, need *needs) bool {
	whole := true
	for _, id := range sharedBy(g.f.lines, g.lines) {
		q := m.pools[id]
		if q == nil {
			need.pool(id)
			whole = false
			continue
		}
		m.uses++
		q.lastUsed = m.uses
		if !m.bindPool(q, g.pools, need) || !m.bindParts(q, g, need) {
			whole = false
			continue
		}
		if old, _ := m.partsOf(q, g.f, g.f.lines); !q.knowsWithout(old) {
			whole = m.readSharing(q, need) && whole
		}
	}
	return whole
}

func (m *machine) bindParts(q *pool, g *merging, need *needs) bool {
	parts, _ := m.partsOf(q, g.f, g.lines)
	for i := range parts {
		if !m.bindPart(q, &parts[i], g, need) {
			return false
		}
	}
	return true
}

// knowsWithout says whether the pool knows what it has without these parts.
func (q *pool) knowsWithout(parts []poolSegment) bool {
	all, err := q.joined()
	if err != nil {
		return false
	}
	for i := range parts {
		at := findPart(all, &parts[i])
		if at < 0 {
			continue
		}
		if _, known, _ := price.Without(&all[at].state, &parts[i].state); !known {
			return false
		}
	}
	return true
}

// readSharing has all families in memory that share the pool.
func (m *machine) readSharing(q *pool, need *needs) bool {
	stored, known := m.sharing[q.id]
	if !known {
		need.share(q.id)
		return false
	}
	whole := true
	for _, id := range stored {
		f := m.families[id]
		if f == nil {
			need.family(id)
			whole = false
			continue
		}
		m.uses++
		f.lastUsed = m.uses
	}
	return whole
}

// provideSharing takes which families shared the pools when they were committed last.
func (m *machine) provideSharing(ctx context.Context, need *needs, fence Fence, store Store) error {
	if m.sharing == nil {
		m.sharing = map[activity.ID][]activity.ID{}
	}
	for id := range need.sharing {
		q := m.pools[id]
		families, err := store.Sharing(ctx, fence, id, q.billed, q.period.Start)
		if err != nil {
			return fmt.Errorf("read who shares pool %s: %w", id, err)
		}
		m.sharing[id] = families
	}
	return nil
}

// others adds up what all other families have in the pool's segment.
func (m *machine) others(q *pool, p *poolSegment, f *family) (all price.State, err error) {
	if _, known := m.sharing[q.id]; !known {
		panic("bug: who shares a pool was not asked for before a step")
	}
	for _, other := range m.families {
		if other == f {
			continue
		}
		parts, err := m.partsOf(q, other, other.lines)
		if err != nil {
			return all, err
		}
		if at := findPart(parts, p); at >= 0 {
			if all, err = price.Merge(all, parts[at].state); err != nil {
				return all, err
			}
		}
	}
	return all, nil
}

// move works out what becomes of the pools when the family has the merge's lines in place of its own, and says in their shares what they
// are charged. When it reports false something overflows.
func (m *machine) move(g *merging) (all []moved, ok bool) {
	for i := range g.f.lines {
		g.f.lines[i].inOrder()
	}
	for _, id := range sharedBy(g.f.lines, g.lines) {
		x, err := m.moveIn(m.pools[id], g)
		if err != nil {
			return nil, false
		}
		all = append(all, x)
	}
	return all, true
}

func (m *machine) moveIn(q *pool, g *merging) (x moved, err error) {
	old, err := m.partsOf(q, g.f, g.f.lines)
	if err != nil {
		return x, err
	}
	q.beginWith(g)
	now, err := m.partsOf(q, g.f, g.lines)
	if err != nil {
		return x, err
	}
	x = moved{q: q}
	if x.segments, err = q.joined(); err != nil {
		return x, err
	}
	if m.faults.MovedSharesStay {
		old = nil
	}
	for i := range old {
		if err == nil {
			err = m.takeOut(&x, &old[i], g.f)
		}
	}
	for i := range now {
		if !m.bindPart(q, &now[i], g, &needs{}) {
			panic("bug: a result was not prepared")
		}
		if err == nil {
			err = x.putIn(&now[i])
		}
	}
	x.segments = slices.DeleteFunc(x.segments, func(s poolSegment) bool { return s.state.Events == 0 })
	if err != nil {
		return x, err
	}
	m.segments = m.segments[:0]
	for i := range x.segments {
		m.segments = append(m.segments, x.segments[i].priced())
	}
	if x.total, err = price.PoolTotal(m.segments); err == nil {
		err = x.charge(g, len(now) > 0)
	}
	return x, err
}

// beginWith fills in a pool in which nothing was used yet.
func (q *pool) beginWith(g *merging) {
	for i := range g.lines {
		for j := range g.lines[i].segments {
			if s := &g.lines[i].segments[j]; s.share != nil && s.share.pool == q.id {
				r := s.rate
				if r.Outer != nil {
					r = r.Outer
				}
				q.begin(r, g.f, g.pools)
				return
			}
		}
	}
}

// takeOut takes what the family had in the pool out of it.
func (m *machine) takeOut(x *moved, p *poolSegment, f *family) (err error) {
	at := findPart(x.segments, p)
	if at < 0 {
		panic("bug: a pool lacks what a line has of it")
	}
	known := false
	if x.segments[at].state, known, err = price.Without(&x.segments[at].state, &p.state); !known && err == nil {
		x.segments[at].state, err = m.others(x.q, p, f)
	}
	return err
}

// putIn puts what the family has in the pool into it, where its rate begins by now.
func (x *moved) putIn(p *poolSegment) (err error) {
	s := *p
	if at := findPart(x.segments, p); at >= 0 {
		if there := &x.segments[at]; !there.gone {
			s = *there
			s.start = p.start
		}
		if s.state, err = price.Merge(x.segments[at].state, p.state); err != nil {
			return err
		}
		x.segments = slices.Delete(x.segments, at, at+1)
	}
	at, _ := slices.BinarySearchFunc(x.segments, &s.segmentKey, func(s poolSegment, key *segmentKey) int { return s.compare(key) })
	x.segments = slices.Insert(x.segments, at, s)
	return nil
}

// charge says in the shares of the merge's lines what they are charged: what the same line was charged before and, on the last of them, what
// the family as a whole is charged besides.
func (x *moved) charge(g *merging, stays bool) error {
	had, err := chargedTo(x.q.id, g.f.lines)
	if err != nil {
		return err
	}
	if !stays && !g.alone {
		x.amount, err = x.q.amount.Sub(had)
		return err
	}
	x.amount = x.total
	change, err := x.total.Sub(x.q.amount)
	if err != nil {
		return err
	}
	rest, err := had.Add(change)
	if err != nil {
		return err
	}
	if !stays {
		x.keep(g, rest)
		return nil
	}
	var last *segment
	for i := range g.lines {
		l := &g.lines[i]
		before := g.f.lineOn(l.target.Invoice)
		for j := range l.segments {
			s := &l.segments[j]
			if s.share == nil || s.share.pool != x.q.id {
				continue
			}
			charged := money.Decimal{}
			if before >= 0 {
				if at, found := placeOf(g.f.lines[before].segments, &s.segmentKey); found {
					charged = g.f.lines[before].segments[at].share.charged
				}
			}
			if rest, err = rest.Sub(charged); err != nil {
				return err
			}
			s.share, last = &share{x.q.id, charged}, s
		}
	}
	last.share, err = last.share.plus(rest)
	return err
}

// keep leaves what the others would owe on a line that has left the pool.
func (x *moved) keep(g *merging, owed money.Decimal) {
	for i := range g.f.lines {
		for _, s := range g.f.lines[i].segments {
			if s.share == nil || s.share.pool != x.q.id || owed.IsZero() {
				continue
			}
			s.state, s.share = price.State{}, &share{x.q.id, owed}
			l := &g.lines[slices.IndexFunc(g.lines, func(l line) bool { return l.target.Invoice == g.f.lines[i].target.Invoice })]
			at, _ := placeOf(l.segments, &s.segmentKey)
			l.segments = slices.Insert(l.segments, at, s)
			return
		}
	}
}

// chargedTo adds up what the pool has charged to the lines.
func chargedTo(pool activity.ID, lines []line) (sum money.Decimal, err error) {
	for i := range lines {
		for j := range lines[i].segments {
			if s := lines[i].segments[j].share; s != nil && s.pool == pool && err == nil {
				sum, err = sum.Add(s.charged)
			}
		}
	}
	return sum, err
}

// settle takes over what becomes of the pool because of the definition.
func (m *machine) settle(rec *activity.Record, x *moved, poolSeq, because int64) {
	q := x.q
	q.segments = x.segments
	q.price(x.total, poolSeq)
	if q.amount = x.amount; x.amount != x.total && !m.faults.LeftSharesForgotten {
		q.seq = -because
	}
	q.version = rec.Offset + 1
	m.touchPool(q)
}

// unsettled says whether a pool of the family's lines waits for one that takes a difference over.
func (m *machine) unsettled(f *family) bool {
	return slices.ContainsFunc(sharedBy(f.lines), func(id activity.ID) bool { return m.pools[id].seq < 0 })
}
