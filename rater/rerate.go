package rater

import (
	"strings"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price"
)

// maxKept bounds the events of one family that are kept behind a marker because their order counts; beyond it the marker is over.
const maxKept = 1024

// maxMarkers bounds the finished markers that are remembered.
const maxMarkers = 4096

// pricedUnder gives the plan and the definitions that a family of the account is priced under: those of the seal of its usage's period,
// which later ones never change, else the activated ones. A nil plan: the account is gone.
func (m *machine) pricedUnder(account, owed string, period catalog.Period, need *needs) (plan *catalog.Plan, seq int64, ok bool) {
	seals, ok := m.sealsOf(owed, need)
	if !ok {
		return nil, 0, false
	}
	seq, sealed := seals.sealedUnder(period.End)
	if !sealed || m.faults.SealedAsOpen {
		plan, ok = m.defs.planNow(m, account, need)
		return plan, m.act, ok
	}
	if plan, ok = m.defs.planAt(m, account, seq, need); ok && plan == nil { // the account came after the seal
		plan, ok = m.defs.planNow(m, account, need)
		return plan, m.act, ok
	}
	return plan, seq, ok
}

// poolPricedUnder gives the definitions that pools of usage of the period are priced under.
func (m *machine) poolPricedUnder(owed string, period catalog.Period, need *needs) (seq int64, ok bool) {
	seals, ok := m.sealsOf(owed, need)
	if !ok {
		return 0, false
	}
	if seq, sealed := seals.sealedUnder(period.End); sealed && !m.faults.SealedAsOpen && !m.faults.ResultOnAnySeal {
		return seq, true
	}
	return m.act, true
}

// ---- sweeps

// swept says whether the sweep reprices the family, under which definitions, and its pools under which; false for ok: something has to be
// read first.
func (m *machine) swept(id activity.ID, need *needs) (f *family, seq, pools int64, ok bool) {
	f = m.families[id]
	if f == nil {
		need.family(id)
		return nil, 0, 0, false
	}
	m.uses++
	f.lastUsed = m.uses
	if len(f.lines) == 0 || f.corrects {
		return nil, 0, 0, true
	}
	plan, seq, ok := m.pricedUnder(f.account, f.owed, f.period, need)
	if !ok {
		return nil, 0, 0, false
	}
	if plan == nil || m.faults.SweepSkipsSealed && seq < m.act {
		return nil, 0, 0, true
	}
	pools, _ = m.poolPricedUnder(f.owed, f.period, need)
	if !m.shared(f, pools, need) {
		return nil, 0, 0, false
	}
	if f.seq >= seq && !m.unsettled(f) {
		return nil, 0, 0, true
	}
	return f, seq, pools, m.bind(f, f.account, seq, plan, need)
}

func (m *machine) prepareSweep(s *usage.Sweep, need *needs) {
	for _, id := range s.Families {
		m.swept(id, need)
	}
}

// sweep prices families under the definitions that are active for them, as their next event would. One that overflows keeps its
// amounts.
func (m *machine) sweep(rec *activity.Record, s *usage.Sweep) {
	for _, id := range s.Families {
		f, seq, pools, ok := m.swept(id, &needs{})
		if !ok {
			panic("bug: a sweep was not prepared")
		}
		if f == nil {
			continue
		}
		m.sweepPools(rec, f, pools, activity.CauseOf(s.Seq))
		if f.seq >= seq {
			continue
		}
		if m.reprice(f, -1, nil) {
			m.commitPrices(rec, f, -1, seq, activity.CauseOf(s.Seq))
		} else {
			f.seq = seq
			m.touch(f)
		}
	}
}

// ---- markers

func (m *machine) markerOf(account string, need *needs) (*MarkerState, bool) {
	s, ok := m.markers[account]
	if !ok {
		need.marker(account)
	}
	return s, ok
}

// mark begins to gather what comes after the marker. One that is finished, not above the last one, or of a definition that is not
// active here, is ignored.
func (m *machine) mark(r *usage.Marker, offset int64) {
	s := m.markers[r.Account]
	if r.Seq > m.act || r.Seq <= s.Done && !m.faults.MarkerAgain {
		return
	}
	if (r.Seq < s.Seq || r.Seq == s.Seq && r.Attempt <= s.Attempt) && !(m.faults.MarkerAgain && r.Seq == s.Seq) {
		return
	}
	for i := range s.Sets {
		m.distinct.gone(s.Sets[i].Set)
	}
	m.setMarker(s, MarkerState{Account: s.Account, Seq: r.Seq, Attempt: r.Attempt, At: offset, Under: m.act, Open: true, Done: s.Done})
}

// setMarker replaces the account's state, which a cut in flight may hold.
func (m *machine) setMarker(old *MarkerState, s MarkerState) {
	switch {
	case s.Open && !old.Open:
		m.open++
	case !s.Open && old.Open:
		m.open--
	}
	m.markers[s.Account] = &s
	if !m.faults.MarkersOutside {
		m.marked[s.Account] = struct{}{}
	}
}

// forgetMarkers lets go of finished ones. It is called when no cut is in flight.
func (m *machine) forgetMarkers() {
	if len(m.markers) < maxMarkers {
		return
	}
	for account, s := range m.markers {
		if _, changed := m.marked[account]; !changed && !s.Open {
			delete(m.markers, account)
		}
	}
}

// openMarker gives the account's marker if an event so resolved is gathered behind it, nil if not. Usage that is priced under older
// definitions than the marker's, as its seal demands, is not rated anew.
func (m *machine) openMarker(e *usage.Event, r *resolution) *MarkerState {
	if m.open == 0 {
		return nil
	}
	s := m.markers[e.Account]
	if s == nil || !s.Open || s.Over || r.seq < s.Seq {
		return nil
	}
	return s
}

// ---- second states

// second is what a line has gathered since its account's marker, beside its state, which goes on as before.
type second struct {
	segments []segment
	quantity money.Decimal
	events   int64
	last     bool // the line's last rate is of an event that was gathered
	kept     []kept
}

// kept is an event whose order counts: it is aggregated when the result says what came before it.
type kept struct {
	order    int // of the family's
	seq      int64
	owner    catalog.Ref
	key      segmentKey
	id       string
	time     int64
	quantity money.Decimal
	money    money.Decimal
	hasMoney bool
	sent     money.Decimal // the quantity as it was sent
}

// secondOn gives what line at gathers behind the marker.
func (f *family) secondOn(at int, marker *MarkerState) *second {
	if f.gathers != marker.At+1 {
		for i := range f.lines {
			f.lines[i].second = nil
		}
		f.gathers = marker.At + 1
	}
	l := &f.lines[at]
	if l.second == nil {
		l.second = &second{}
	}
	return l.second
}

// gather adds the event, which was put on line at just now, to what the line gathers behind the marker. Usage in a pool, which shared says
// of, is gathered as a share of it: in a pool the order does not count.
func (m *machine) gather(f *family, at int, e *usage.Event, r *resolution, marker *MarkerState, shared *poolCharge) {
	if m.faults.NoSecondState {
		return
	}
	s := f.secondOn(at, marker)
	n := 0
	for i := range f.lines {
		if x := f.lines[i].second; x != nil {
			n += len(x.kept)
		}
	}
	quantity, err := s.quantity.Add(e.Quantity)
	counts := price.CountsValues(m.rate)
	if counts {
		m.seeBehind(f, e, marker)
	}
	switch {
	case err != nil:
	case shared != nil:
		m.scratch = append(m.scratch[:0], s.segments...)
		uncharged := poolCharge{segment: shared.segment}
		key := keyOf(m.rate)
		key.share = &share{pool: r.pool.id}
		if err = m.shareOf(r.pool, m.rate, &uncharged); err == nil {
			s.take(m.scratch, &key, r.seq, shared.segment.conversion)
		}
	case counts || n == 0 && !price.InLogOrder(m.rate):
		if m.scratch, err = addTo(m.scratch, s.segments, m.rate, m.conversion, m.in, nil); err == nil {
			key := keyOf(m.rate)
			own := s.take(m.scratch, &key, r.seq, m.conversion)
			if counts {
				marker = m.seenBehind(f, &own.state, marker)
			}
		}
	case n == maxKept:
		err = money.ErrOverflow
	default:
		s.kept = append(s.kept, kept{
			order: n, seq: r.seq, owner: m.rate.Owner, key: keyOf(m.rate), id: strings.Clone(m.in.ID), time: e.Time,
			quantity: m.in.Quantity, money: m.in.Money, hasMoney: m.in.HasMoney, sent: e.Quantity,
		})
	}
	if err != nil { // of no use any more: the next attempt gathers anew
		over := *marker
		over.Over = true
		m.setMarker(marker, over)
		return
	}
	s.quantity, s.events, s.last = quantity, s.events+1, true
}

// take takes the segments over, in that of the key, which it gives, with an event.
func (s *second) take(segments []segment, key *segmentKey, seq int64, c *conversion) *segment {
	s.segments = append(s.segments[:0], segments...)
	i, _ := placeOf(s.segments, key)
	s.segments[i].seq, s.segments[i].pinned = seq, c
	return &s.segments[i]
}
