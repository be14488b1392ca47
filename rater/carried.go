package rater

import (
	"fmt"
	"slices"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price"
)

// Under the aggregation time_weighted the level at the end of a period is the one at the start of the next. A line takes over what the line
// before it ends with when the first event falls on it, and keeps it in its states (see price.CarriesLevel). A period without an event
// has no line until the one before is sealed, see levels.go. Usage that comes when later lines are there already changes what these have taken over, and their difference is an
// adjustment. So before the seal it does not matter in which order usage arrives; behind it a period's own line stays as it is, and late
// usage is not carried on.

// mostQuiet bounds how many periods a level passes by, and how many later ones it is carried on into.
const mostQuiet = 60

// carriesLevel says whether the segment's level goes on into the next period, of a cell.
func (s *segment) carriesLevel(cell string) bool {
	return s.share == nil && s.cell == cell && price.ShapeCarriesLevel(s.shape)
}

// tookOver gives the level that was carried over into the family's lines; false: no event has fallen on them, nor have they begun with one.
func (f *family) tookOver(cell string) (level money.Decimal, known bool) {
	for i := range f.lines {
		for j := range f.lines[i].segments {
			if s := &f.lines[i].segments[j]; s.carriesLevel(cell) && s.state.At != 0 {
				return s.state.Peak, true
			}
		}
	}
	return level, false
}

// takeOver has another level carried over into the family's lines.
func (f *family) takeOver(cell string, level money.Decimal) {
	for i := range f.lines {
		for j := range f.lines[i].segments {
			if s := &f.lines[i].segments[j]; s.carriesLevel(cell) && s.state.At != 0 {
				s.state.Peak = level
			}
		}
	}
}

// leaves gives the level at the end of the period, of the period's own line; false: it has none. Where some usage has changed the level and other
// has said it, the kind of the last rate counts.
func (f *family) leaves(cell string) (level money.Decimal, known bool) {
	for i := range f.lines {
		l := &f.lines[i]
		if l.period != f.period || l.target.Billed != f.owed {
			continue
		}
		l.inOrder()
		last := -1
		for j := range l.segments {
			if s := &l.segments[j]; s.carriesLevel(cell) && s.state.At != 0 {
				last = j
			}
		}
		if last < 0 {
			return level, false
		}
		all, err := l.segments[last].state, error(nil)
		for j := range l.segments[:last] {
			if s := &l.segments[j]; s.carriesLevel(cell) && s.shape == l.segments[last].shape && err == nil {
				all, err = price.Merge(all, s.state)
			}
		}
		if err == nil {
			level, err = price.LevelAtEnd(&all)
		}
		return level, err == nil
	}
	return level, false
}

// late says whether the usage stands behind the seal of its period.
func (r *resolution) late() bool { return r.period != r.usagePeriod || r.billed != r.owed }

// beside gives the family of the same usage at another time, and its period.
func (r *resolution) beside(account string, t int64) (activity.ID, string, catalog.Period) {
	owed, period := r.plan.Billing(t)
	return activity.FamilyID(owed.Seller, account, r.product.ID, r.pkg, r.group, owed.ID, period.Start), owed.ID, period
}

// carried gives the level that is carried over into the event's line. It reports false, with what is missing in need, when lines have to be read
// first: those of the period before, and only if these know of no level all the others.
func (p *pricer) carried(r *resolution, account, cell string, need *needs) (level money.Decimal, ok bool) {
	if level, known := r.f.tookOver(cell); known {
		return level, true
	}
	return p.levelBefore(r, account, cell, need)
}

// levelBefore is carried for lines that have taken over nothing, or are to take it over anew.
func (p *pricer) levelBefore(r *resolution, account, cell string, need *needs) (level money.Decimal, ok bool) {
	if p.faults != nil && p.faults.LevelsBeginAnew {
		return level, true
	}
	start, whole := r.usagePeriod.Start, true
	for n := range mostQuiet {
		if start == catalog.Always {
			break
		}
		id, _, before := r.beside(account, start-1)
		start = before.Start
		switch f := p.all[id]; {
		case f == nil && p.reads && need == nil:
			panic(fmt.Sprintf("bug: family %s was not asked for before a step", id))
		case f == nil && p.reads:
			need.family(id)
			whole = false
			if n == 0 {
				return level, false
			}
		case f != nil:
			if level, known := f.leaves(cell); known {
				return level, whole
			}
		}
	}
	return level, whole
}

// later calls do with the families of the same usage in the periods that follow up to an instant, until it says that that is enough, or a period
// is sealed. It reports false when something has to be read first.
func (m *machine) later(r *resolution, account string, until int64, need *needs, do func(f *family) bool) bool {
	at, whole := r.usagePeriod.End, true
	for range mostQuiet {
		if at > until || at == catalog.Never || r.late() {
			break
		}
		id, owed, period := r.beside(account, at)
		seals, ok := m.sealsOf(owed, need)
		if !ok {
			return false
		}
		if _, sealed := seals.sealedUnder(period.End); sealed {
			break
		}
		at = period.End
		f := m.families[id]
		if f == nil {
			need.family(id)
			whole = false
			continue
		}
		m.uses++
		f.lastUsed = m.uses
		if !do(f) {
			break
		}
	}
	return whole
}

// prepareLevel reads the lines that give the event's line its level, and those that its own is carried on into.
func (m *machine) prepareLevel(e *usage.Event, r *resolution, logTime int64, need *needs) {
	rate := m.pricing(m.asPriced(e, r), r)
	if rate == nil {
		return
	}
	m.carried(r, e.Account, rate.Cell, need)
	m.later(r, e.Account, logTime+int64(FutureTolerance), need, func(f *family) bool {
		m.bindLater(f, e.Account, r.plan, need)
		return true
	})
}

// bindLater points the segments of a family of a later period, which is not sealed, and the pools that they share, at their rates.
func (m *machine) bindLater(f *family, account string, plan *catalog.Plan, need *needs) bool {
	return m.bind(f, account, m.act, plan, need) && m.shared(f, m.act, need)
}

// carryOn has the lines of later periods take over the level that the event's line now ends with; it goes on when the period is sealed, too.
func (m *machine) carryOn(rec *activity.Record, r *resolution, account, cell string) {
	if !r.late() {
		m.waits(r.f)
	}
	if m.faults.LaterLevelsStay {
		return
	}
	level, known := r.f.leaves(cell)
	if !known {
		return
	}
	m.later(r, account, m.logTime+int64(FutureTolerance), nil, func(f *family) bool {
		changed, more := m.carryInto(f, cell, level)
		if changed {
			m.commitPrices(rec, f, -1, m.act, CauseLevel) // what is not sealed
			m.sweepPools(rec, f, m.act, "")
			level, more = f.leaves(cell)
		}
		return more
	})
}

// carryInto has the family's lines take over the level, and prices them into p.priced where that changes them: then what they leave goes on. more:
// it goes on as it is. What overflows keeps what it had.
func (p *pricer) carryInto(f *family, cell string, level money.Decimal) (changed, more bool) {
	had, known := f.tookOver(cell)
	if !known || had == level {
		return false, !known
	}
	f.takeOver(cell, level)
	if !p.reprice(f, -1, nil) {
		f.takeOver(cell, had)
		return false, false
	}
	return true, false
}

// CauseLevel is the source of an adjustment of a line that took over another level.
const CauseLevel = "level"

// levels gives the cells in which the family's lines have taken over a level, or begin with one.
func (f *family) levels() (cells []string) {
	for i := range f.lines {
		for j := range f.lines[i].segments {
			if s := &f.lines[i].segments[j]; s.carriesLevel(s.cell) && s.state.At != 0 && !slices.Contains(cells, s.cell) {
				cells = append(cells, s.cell)
			}
		}
	}
	return cells
}

// carryOn is the machine's, of families that are all in memory. What the later lines cost more or less is added to out.
func (f *Fold) carryOn(e *usage.Event, r *resolution, cell string, out *Folded) {
	f.latest = max(f.latest, r.usagePeriod.Start)
	level, known := r.f.leaves(cell)
	if !known || r.late() {
		return
	}
	for at, n := r.usagePeriod.End, 0; at <= f.latest && n < mostQuiet; n++ {
		id, _, period := r.beside(e.Account, at)
		at = period.End
		next := f.families[id]
		if next == nil {
			continue
		}
		changed, more := f.carryInto(next, cell, level)
		if changed {
			f.take(next, -1, r.seq, func(l *line, change money.Decimal) {
				out.other(l, change)
				out.Later = append(out.Later, Later{period.Start, change})
			})
			level, more = next.leaves(cell)
		}
		if !more {
			return
		}
	}
}
