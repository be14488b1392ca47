package rater

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price"
)

// Ten seats cost what ten seats cost, also in a month in which nobody comes or goes. So when a period is sealed, what its lines leave is put
// on the lines of the next one, where these have taken over nothing yet: a line may begin without an event. It is there for whoever looks at the
// invoice, goes on when its own period is sealed, and is priced by the rate under which a first event at the period's start would fall. Where
// such an event would have no rate, or fall on the lines of another key, the level ends.
//
// Which lines a seal concerns is kept beside them, since an invoice may have many others: of each family whose level goes on, until it has.

// mostLevels bounds how many families' levels go on with one seal record. The same record again goes on with the next.
const mostLevels = 256

// LevelState says that what a family's own line leaves goes on when the period is sealed.
type LevelState struct {
	Owed   string // who is billed for the period
	End    int64  // of the period
	Family activity.ID
	Done   bool // it has gone on, or never will
}

type levelKey struct {
	owed   string
	end    int64
	family activity.ID
}

// waiting is what a partition knows of the families whose levels wait for a seal.
type waiting struct {
	fresh   map[levelKey]bool // since the last cut: it waits; false: no more
	cutting map[levelKey]bool // in the cut in flight
	stored  []LevelState      // what the store has, as it was asked for the record in work …
	asked   bool              // … if it was
}

// freeze gives what changed since the last cut.
func (w *waiting) freeze() []LevelState {
	if len(w.fresh) == 0 {
		return nil
	}
	out := make([]LevelState, 0, len(w.fresh))
	for k, waits := range w.fresh {
		out = append(out, LevelState{k.owed, k.end, k.family, !waits})
	}
	w.cutting, w.fresh = w.fresh, map[levelKey]bool{}
	return out
}

// waits notes that the family's level goes on when its period is sealed.
func (m *machine) waits(f *family) {
	if !f.waits {
		f.waits = true
		m.waiting.fresh[levelKey{f.owed, f.period.End, f.id}] = true
	}
}

// due gives the families whose levels go on with a seal, the first of them. It reports false when the store has to be asked.
func (m *machine) due(s *usage.Seal, need *needs) ([]activity.ID, bool) {
	w := &m.waiting
	known := map[levelKey]bool{}
	finished := 0
	for _, part := range []map[levelKey]bool{w.cutting, w.fresh} {
		for k, waits := range part {
			if k.owed == s.Account && k.end <= s.PeriodEnd {
				known[k] = waits
			}
		}
	}
	var list []levelKey
	for k, waits := range known {
		if waits {
			list = append(list, k)
		} else {
			finished++
		}
	}
	if !w.asked {
		need.levels = &levelQuestion{s.Account, s.PeriodEnd, mostLevels + finished}
		return nil, false
	}
	for i := range w.stored {
		k := levelKey{s.Account, w.stored[i].End, w.stored[i].Family}
		if _, changed := known[k]; !changed {
			list = append(list, k)
		}
	}
	slices.SortFunc(list, func(a, b levelKey) int {
		return cmp.Or(cmp.Compare(a.end, b.end), bytes.Compare(a.family[:], b.family[:]))
	})
	families := make([]activity.ID, 0, min(len(list), mostLevels))
	for _, k := range list[:min(len(list), mostLevels)] {
		families = append(families, k.family)
	}
	return families, true
}

// levelQuestion asks for the families whose levels wait for a seal.
type levelQuestion struct {
	owed    string
	through int64
	limit   int
}

func (m *machine) provideLevels(ctx context.Context, q *levelQuestion, fence Fence, store Store) (err error) {
	if m.waiting.stored, err = store.Levels(ctx, fence, q.owed, q.through, q.limit); err != nil {
		return fmt.Errorf("read which levels account %s leaves: %w", q.owed, err)
	}
	m.waiting.asked = true
	return nil
}

// lineKey is a line's key: which usage falls on it, in one period.
type lineKey struct {
	family       activity.ID
	account      string
	product, pkg string
	group        []activity.Attribute
	period       catalog.Period
}

func (f *family) key() lineKey {
	return lineKey{f.id, f.account, f.product, f.pkg, f.group, f.period}
}

// next resolves a first event at the start of the period behind a line's, as far as it falls on the same key there; it leaves the family to be
// found by its id. A zero id: it does not, or that period is sealed already. It reports false when something has to be read first.
func (m *machine) next(k *lineKey, s *usage.Seal, need *needs) (r resolution, id activity.ID, ok bool) {
	if k.period.End == catalog.Never {
		return r, id, true
	}
	plan, ok := m.defs.planNow(m, k.account, need)
	if !ok || plan == nil {
		return r, id, ok
	}
	owed, period := r.bill(plan, k.period.End)
	seals, ok := m.sealsOf(owed, need)
	if !ok || period.End == catalog.Never || seals.sealedBefore(period.End, s) {
		return r, id, ok
	}
	if plan, r.seq, ok = m.pricedUnder(k.account, owed, period, need); !ok || plan == nil {
		return r, id, ok
	}
	e := usage.Event{Account: k.account, Product: k.product, Package: k.pkg, Time: period.Start, Attributes: k.group}
	family := r.answer(plan, &e, owed)
	if r.reason != "" || !r.carries || r.pkg != k.pkg || !slices.Equal(r.group, k.group) {
		return r, id, true
	}
	if before, _, _ := r.beside(k.account, period.Start-1); before == k.family {
		id = family
	}
	return r, id, true
}

// familyOf finds the family of a resolution in a period that is not sealed, bound to its definitions with the pools of its lines; false: something
// has to be read first.
func (m *machine) familyOf(r *resolution, id activity.ID, account string, need *needs) bool {
	if r.f = m.families[id]; r.f == nil {
		need.family(id)
		return false
	}
	m.uses++
	r.f.lastUsed = m.uses
	return m.bind(r.f, account, r.seq, r.plan, need) && m.shared(r.f, m.act, need)
}

// sealedBefore says whether a period that ends at end was sealed before the seal's own.
func (s *SealState) sealedBefore(end int64, by *usage.Seal) bool {
	for _, p := range s.Seals {
		if p.Through >= end {
			return s.Account != by.Account || p.Through < by.PeriodEnd
		}
	}
	return false
}

// prepareSeal reads the lines whose levels go on with the seal, and those on which they go on.
func (m *machine) prepareSeal(s *usage.Seal, need *needs) {
	if state, ok := m.sealsOf(s.Account, need); !ok || state.newest() > s.PeriodEnd {
		return
	}
	families, _ := m.due(s, need)
	for _, id := range families {
		f := m.families[id]
		if f == nil {
			need.family(id)
			continue
		}
		m.uses++
		f.lastUsed = m.uses
		k := f.key()
		for range mostQuiet {
			r, id, _ := m.next(&k, s, need)
			if id.IsZero() {
				break
			}
			m.familyOf(&r, id, k.account, need)
			if k.family, k.period = id, r.usagePeriod; k.period.End > s.PeriodEnd {
				break
			}
		}
	}
}

// goOn has the levels that wait for the seal go on.
func (m *machine) goOn(rec *activity.Record, s *usage.Seal) {
	families, ok := m.due(s, &needs{})
	for _, id := range families {
		f := m.families[id]
		for n := 0; ok && n < mostQuiet && f.period.End <= s.PeriodEnd; n++ {
			m.waiting.fresh[levelKey{f.owed, f.period.End, f.id}] = false
			k := f.key()
			r, id, found := m.next(&k, s, &needs{})
			if ok = found && (id.IsZero() || m.familyOf(&r, id, k.account, &needs{})); !ok || id.IsZero() || !m.beginLine(rec, f, &r) {
				break
			}
			f = r.f
		}
	}
	if !ok {
		panic("bug: a seal was not prepared")
	}
}

// beginLine puts what a line leaves on that of the next period, where it takes over nothing yet. What it comes to is an adjustment that
// names the line before, with all that says where it falls.
func (m *machine) beginLine(rec *activity.Record, before *family, r *resolution) bool {
	begins := m.beginnings(before, r)
	if len(begins) == 0 || m.faults.QuietPeriodsFree {
		return false
	}
	f := r.f
	if len(f.lines) > 0 && f.seq < r.seq {
		if !m.reprice(f, -1, nil) {
			return false
		}
		m.commitPrices(rec, f, -1, r.seq, "")
		m.sweepPools(rec, f, m.act, "")
	}
	at, ok := m.begin(begins, before.account, r, m.words)
	if !ok {
		return false
	}
	charged := m.commitPrices(rec, f, at, r.seq, CauseLevel)
	if marker := m.openMarker(&usage.Event{Account: before.account}, r); marker != nil {
		s := f.secondOn(at, marker)
		var err error
		if s.segments, err = merged(slices.Clone(s.segments), begins); err != nil {
			panic("bug: levels that nothing was taken over of are there already")
		}
	}
	m.exchange = money.Exchange{}
	m.emit(rec, f, &f.lines[at], activity.Activity{
		Kind: activity.KindAdjustment, EventID: before.own().target.Line.String(), Source: CauseLevel, EventTime: f.period.Start, Charge: charged,
		Attributes: f.group, Extra: m.extraOf(&usage.Event{Package: f.pkg}), Terms: m.termsOf(f, &f.lines[at], r.rate, r.seq),
	})
	m.waits(f)
	return true
}

// begins says whether the activity is that of a line which begins with a level.
func begins(a *activity.Activity) bool {
	return a.Kind == activity.KindAdjustment && a.Source == CauseLevel && a.EventID != ""
}

// own gives the line of the period's own usage, nil: there is none.
func (f *family) own() *line {
	for i := range f.lines {
		if l := &f.lines[i]; l.period == f.period && l.target.Billed == f.owed {
			return l
		}
	}
	return nil
}

// beginnings gives the segments with which the resolution's line begins: of each cell of the own line of the family before that leaves a level,
// where nothing was taken over yet.
func (p *pricer) beginnings(before *family, r *resolution) (begins []segment) {
	from := before.own()
	if from == nil {
		return nil
	}
	from.inOrder()
	for i := range from.segments {
		cell := from.segments[i].cell
		if i > 0 && cell == from.segments[i-1].cell {
			continue
		}
		level, known := before.leaves(cell)
		if !known || level.IsZero() {
			continue
		}
		if s, ok := p.begins(r, cell, level); ok {
			begins = append(begins, s)
		}
	}
	return begins
}

// begin puts these segments on the resolution's line, which may be a new one, and prices the family's lines into p.priced, as put does. When it
// reports false nothing has changed.
func (p *pricer) begin(begins []segment, account string, r *resolution, words words) (at int, ok bool) {
	f := r.f
	at = f.lineOn(r.invoice)
	p.scratch = p.scratch[:0]
	if at >= 0 {
		f.lines[at].inOrder()
		p.scratch = append(p.scratch, f.lines[at].segments...)
	}
	for i := range begins {
		place, _ := placeOf(p.scratch, &begins[i].segmentKey)
		p.scratch = slices.Insert(p.scratch, place, begins[i])
	}
	if len(f.lines) == 0 {
		f.begin(&usage.Event{Account: account}, r, words)
	}
	fresh := at < 0
	if fresh {
		at = f.open(r.period, r.billed, r.invoice)
	}
	if !p.reprice(f, at, p.scratch) {
		if fresh {
			f.lines = slices.Delete(f.lines, at, at+1)
		}
		return at, false
	}
	l := &f.lines[at]
	l.segments = append(l.segments[:0], p.scratch...)
	l.ordered, l.last, l.selected = len(l.segments), r.rate, begins[0].rate
	l.bound()
	return at, true
}

// begins gives the segment with which a cell of the resolution's line begins with a level; false: it has begun already, or has no price.
func (p *pricer) begins(r *resolution, cell string, level money.Decimal) (s segment, ok bool) {
	if _, known := r.f.tookOver(cell); known {
		return s, false
	}
	rate := inCell(r.rate, cell)
	if rate == nil || !price.CarriesLevel(rate) {
		return s, false
	}
	state, err := price.CarriedOver(level, r.usagePeriod)
	if err != nil {
		return s, false
	}
	c, ok := r.f.conversionIn(rate, r.usagePeriod, p.known.prices(rate, r.usagePeriod, r.plan), r.plan)
	return segment{rate: rate, owner: rate.Owner, segmentKey: keyOf(rate), seq: r.seq, state: state, conversion: c, pinned: c, on: r.on}, ok
}

// newest is up to where the account's periods are sealed.
func (s *SealState) newest() int64 {
	if n := len(s.Seals); n > 0 {
		return s.Seals[n-1].Through
	}
	return math.MinInt64
}
