package rater

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price"
)

// merging is what a result makes of a family: its lines with what they amounted to before the marker and have gathered since.
type merging struct {
	f     *family
	seq   int64 // of the definitions that price it
	lines []line
	pools int64 // the definitions that price the pools in which it shares
	alone bool  // the other lines in them are closed: the account came after their seal
	like  *usage.ResultLine
	at    resolution // of the period's own usage, as far as levels go on from and into others
}

// LevelCorrection stands in the place of a rate's level on a line that corrects one of a closed invoice; the rate's account is that
// invoice's id, and the rate's id that line's.
const LevelCorrection = "correction"

// correcting is a correction and where it goes.
type correcting struct {
	*usage.Correction
	f       *family
	closed  activity.ID // the line
	invoice activity.ID // the closed one
	billed  string
	period  catalog.Period
}

// lineNamed reads what activity.ID.String writes; zero: it is none.
func lineNamed(text string) (id activity.ID) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(id) {
		return activity.ID{}
	}
	return activity.ID(b)
}

// takes says whether the part belongs to the account's open marker and is not there yet.
func (m *machine) takes(s *MarkerState, r *usage.Result) bool {
	switch {
	case s.Over && (r.Parts > 1 || len(r.Lines)+len(r.Corrections) > 0): // but what says nothing ends it
		return false
	case !s.Open, s.Seq != r.Seq, r.At != s.At && !m.faults.ResultOfAnyMarker:
		return false
	case r.Attempt != s.Attempt && !m.faults.ResultOfAnyMarker:
		return false
	}
	return len(s.Parts) == 0 || len(s.Parts) == r.Parts && s.Parts[r.Part-1] == nil
}

// partsWith gives the parts that are there with another one, and how many are missing.
func partsWith(s *MarkerState, r *usage.Result) (parts [][]byte, missing int) {
	parts = make([][]byte, r.Parts)
	copy(parts, s.Parts)
	parts[r.Part-1] = usage.AppendRecord(nil, &usage.Record{Kind: usage.KindResult, Result: r})
	for _, p := range parts {
		if p == nil {
			missing++
		}
	}
	return parts, missing
}

// prepareResult works out the merges when the last part is read. It changes nothing.
func (m *machine) prepareResult(r *usage.Result, logTime int64, need *needs) {
	m.merges, m.corrections, m.answers, m.unread = m.merges[:0], m.corrections[:0], m.answers[:0], false
	s, ok := m.markerOf(r.Account, need)
	if !ok || !m.takes(s, r) {
		return
	}
	parts, missing := partsWith(s, r)
	if missing > 0 && !m.faults.PartLost {
		return
	}
	var lines []usage.ResultLine
	var corrections []usage.Correction
	var answers []usage.Answer
	for _, p := range parts {
		var rec usage.Record
		if p == nil {
			continue
		}
		if err := usage.Decode(p, &rec); err != nil {
			need.fail(fmt.Errorf("a part of the result of account %s: %w", r.Account, err))
			return
		}
		lines, corrections = append(lines, rec.Result.Lines...), append(corrections, rec.Result.Corrections...)
		answers = append(answers, rec.Result.Answers...)
	}
	read, err := m.countsRead(s, lines)
	if err != nil {
		need.fail(fmt.Errorf("the result of account %s: %w", r.Account, err))
		return
	}
	if m.unread = !read; !read { // the job writes them again, and the part
		return
	}
	for i := range corrections {
		if c, ok := m.prepareCorrection(s.Account, &corrections[i], need); ok {
			m.corrections = append(m.corrections, c)
		}
	}
	for i := range answers {
		m.prepareAnswer(s, &answers[i], logTime, need)
	}
	of := map[activity.ID][]*usage.ResultLine{}
	var order []activity.ID
	for i := range lines {
		l := &lines[i]
		id := familyOf(s.Account, l)
		if of[id] == nil {
			order = append(order, id)
		}
		of[id] = append(of[id], l)
	}
	for _, id := range order {
		if merge, ok := m.prepareMerge(s, id, of[id], logTime, need); ok && merge.f != nil {
			m.merges = append(m.merges, merge)
		}
	}
	// A line takes over the level that an earlier one leaves when that is merged; and what usage leaves of a pool goes with it to another line.
	slices.SortStableFunc(m.merges, func(a, b merging) int {
		return cmp.Or(cmp.Compare(a.like.UsageStart, b.like.UsageStart), cmp.Compare(a.staysIn(), b.staysIn()))
	})
}

// prepareMerge works out what a family becomes; a merge of no family: it is not rated anew. It reports false when something has to be
// read first.
func (m *machine) prepareMerge(s *MarkerState, id activity.ID, results []*usage.ResultLine, logTime int64, need *needs) (merging, bool) {
	first := results[0]
	period := catalog.Period{Start: first.UsageStart, End: first.UsageEnd}
	plan, seq, ok := m.pricedUnder(s.Account, first.Owed, period, need)
	f := m.families[id]
	if f == nil {
		need.family(id)
	}
	if !ok || f == nil {
		return merging{}, false
	}
	if plan == nil || seq < s.Seq && !m.faults.ResultOnAnySeal || m.faults.ResultNotOnSealed && seq < m.act {
		return merging{}, true
	}
	used := false
	for _, l := range results {
		used = used || l.Events > 0 || len(l.Segments) > 0
	}
	if len(f.lines) == 0 && !used {
		return merging{}, true
	}
	m.uses++
	f.lastUsed = m.uses
	out := merging{f: f, seq: seq, like: first}
	if m.faults.ResultOnAnySeal {
		plan, seq = m.defs.plans.of(s.Account).plan, m.act
		out.seq = m.act
	}
	err := out.join(f, s, results)
	if errors.Is(err, money.ErrOverflow) {
		return merging{}, true
	}
	if err != nil {
		need.fail(fmt.Errorf("the result of account %s: %w", s.Account, err))
		return merging{}, false
	}
	for i := range out.lines {
		if !m.bindSegments(out.lines[i].segments, s.Account, period, f.group, seq, plan, need) {
			return merging{}, false
		}
	}
	out.pools, _ = m.poolPricedUnder(first.Owed, period, need)
	out.alone = out.pools < s.Seq
	whole := m.bind(f, s.Account, seq, plan, need) && m.prepareMoved(&out, need)
	whole = m.prepareLevels(&out, s.Account, plan, logTime, need) && whole
	return out, m.addKept(&out, s, plan, need) && whole
}

// prepareLevels reads the lines from which those of a merge take over levels, and those into which theirs go on.
func (m *machine) prepareLevels(g *merging, account string, plan *catalog.Plan, logTime int64, need *needs) bool {
	cells := (&family{lines: g.lines}).levels()
	if len(cells) == 0 {
		return true
	}
	l := g.like
	period := catalog.Period{Start: l.UsageStart, End: l.UsageEnd}
	g.at = resolution{
		f: g.f, plan: plan, product: &catalog.Product{ID: l.Product}, pkg: l.Package, group: l.Group, owed: l.Owed, billed: l.Owed,
		usagePeriod: period, period: period,
	}
	whole := true
	for _, cell := range cells {
		_, known := m.levelBefore(&g.at, account, cell, need)
		whole = known && whole
	}
	now, ok := m.defs.planNow(m, account, need)
	if !ok {
		return false
	}
	return m.later(&g.at, account, logTime+int64(FutureTolerance), need, func(f *family) bool {
		whole = m.bindLater(f, account, now, need) && whole
		return true
	}) && whole
}

// levelsGoOn has the lines of later periods take over what merged ones leave.
func (m *machine) levelsGoOn(rec *activity.Record, account string, g *merging) {
	for _, cell := range g.f.levels() {
		m.carryOn(rec, &g.at, account, cell)
	}
}

// join puts the result's lines and the second states together, in the order of the invoices' periods.
func (g *merging) join(f *family, s *MarkerState, results []*usage.ResultLine) error {
	for i := range f.lines {
		l := f.lines[i]
		l.segments, l.quantity, l.events, l.terms, l.termsRate = nil, money.Decimal{}, 0, nil, nil
		if l.second != nil && f.gathers == s.At+1 {
			l.segments = slices.Clone(l.second.segments)
			l.quantity, l.events = l.second.quantity, l.second.events
		}
		if l.second == nil || !l.second.last {
			l.last, l.shown = nil, lineRate{}
		}
		g.lines = append(g.lines, l)
	}
	segments := make([][]segment, len(results))
	for i, r := range results {
		if len(r.Segments) == 0 {
			continue
		}
		decoded, err := DecodeSegments(r.Segments)
		if err != nil {
			return err
		}
		for j := range decoded {
			x := decoded[j].segment()
			if x.share != nil { // what it is charged is seen when it comes into the pool
				x.share = &share{pool: x.share.pool}
			}
			segments[i] = append(segments[i], x)
		}
	}
	if err := g.countTogether(segments); err != nil {
		return err
	}
	for i, r := range results {
		invoice := activity.InvoiceID(r.Seller, r.Billed, r.PeriodStart)
		at := slices.IndexFunc(g.lines, func(l line) bool { return l.target.Invoice == invoice })
		if at < 0 {
			if r.Events == 0 && len(r.Segments) == 0 {
				continue
			}
			at = len(g.lines)
			g.lines = append(g.lines, line{
				period: catalog.Period{Start: r.PeriodStart, End: r.PeriodEnd},
				target: activity.Target{Account: s.Account, Billed: strings.Clone(r.Billed), Invoice: invoice, Line: activity.LineID(f.id, invoice)},
			})
		}
		l := &g.lines[at]
		var err error
		if l.quantity, l.events, err = addCounts(l.quantity, r.Quantity, l.events, r.Events); err != nil {
			return err
		}
		if l.last == nil && l.shown == (lineRate{}) {
			l.shown = lineRate{level: r.RateLevel, account: r.RateAccount, id: r.RateID, model: r.RateModel}
		}
		if l.segments, err = merged(l.segments, segments[i]); err != nil {
			return err
		}
	}
	slices.SortStableFunc(g.lines, func(a, b line) int {
		return cmp.Or(cmp.Compare(a.period.Start, b.period.Start), cmp.Compare(a.target.Billed, b.target.Billed))
	})
	return nil
}

// addKept aggregates the events that were kept behind the marker because their order counts, in their order.
func (m *machine) addKept(g *merging, s *MarkerState, plan *catalog.Plan, need *needs) bool {
	type event struct {
		line int
		*kept
	}
	var events []event
	for i := range g.lines {
		if x := g.lines[i].second; x != nil && g.f.gathers == s.At+1 {
			for j := range x.kept {
				events = append(events, event{i, &x.kept[j]})
			}
		}
	}
	slices.SortFunc(events, func(a, b event) int { return cmp.Compare(a.order, b.order) })
	for _, e := range events {
		bound := []segment{{owner: e.owner, segmentKey: e.key, seq: e.seq}}
		period := catalog.Period{Start: g.like.UsageStart, End: g.like.UsageEnd}
		if !m.bindSegments(bound, s.Account, period, g.f.group, g.seq, plan, need) {
			return false
		}
		c := bound[0].conversion
		if !bound[0].gone {
			var ok bool
			if c, ok = g.f.conversionIn(bound[0].rate, period, c, plan); !ok {
				panic("bug: a segment's rate was bound that cannot be converted")
			}
		}
		owed, _ := plan.Billing(e.time)
		in := price.Input{
			Quantity: e.quantity, Money: e.money, HasMoney: e.hasMoney, ID: e.id, Time: e.time, Zone: owed.ZoneAt(e.time),
			Period: period, Line: bound[0].on,
		}
		var others []segment
		var err error
		for i := range g.lines {
			if i != e.line && err == nil {
				others, err = merged(others, g.lines[i].segments)
			}
		}
		l := &g.lines[e.line]
		var segments []segment
		if err == nil {
			segments, err = addTo(nil, l.segments, bound[0].rate, c, in, others)
		}
		if err != nil {
			need.fail(fmt.Errorf("the result of account %s: event %s: %w", s.Account, e.id, err))
			return false
		}
		i, _ := placeOf(segments, &bound[0].segmentKey)
		segments[i].gone, segments[i].seq = bound[0].gone, e.seq
		l.segments = segments
	}
	return true
}

// prepareCorrection finds where a correction goes: as late usage of the closed invoice's period would. That of a line of late usage, whose
// prices are settled while its invoice is open, stays on that invoice.
func (m *machine) prepareCorrection(account string, c *usage.Correction, need *needs) (correcting, bool) {
	invoice := activity.InvoiceID(c.Seller, c.Billed, c.PeriodStart)
	family := activity.FamilyID(c.Seller, account, c.Product, c.Package, c.Group, c.Owed, c.UsageStart)
	out := correcting{Correction: c, invoice: invoice, closed: activity.LineID(family, invoice)}
	r := resolution{billed: c.Billed, period: catalog.Period{Start: c.PeriodStart, End: c.PeriodEnd}}
	seals, ok := m.sealsOf(c.Billed, need)
	if ok {
		if _, closed := seals.sealedUnder(c.PeriodEnd); closed {
			ok = m.carry(c.Billed, r.period, &r, need)
		}
	}
	out.billed, out.period = r.billed, r.period
	id := activity.CorrectionID(out.closed)
	if out.f = m.families[id]; out.f == nil {
		need.family(id)
		return out, false
	}
	m.uses++
	out.f.lastUsed = m.uses
	return out, ok
}

// correct charges what a closed invoice would have differed by. Nothing prices such a line anew.
func (m *machine) correct(rec *activity.Record, s *MarkerState, c *correcting) {
	f := c.f
	if len(f.lines) == 0 {
		f.account, f.product, f.pkg, f.group = s.Account, m.words.of(c.Product), m.words.of(c.Package), m.words.attributes(c.Group)
		f.seller, f.currency, f.owed = m.words.of(c.Seller), m.words.of(c.Currency), m.words.of(c.Owed)
		f.period, f.seq, f.corrects = catalog.Period{Start: c.UsageStart, End: c.UsageEnd}, s.Seq, true
	}
	invoice := activity.InvoiceID(f.seller, c.billed, c.period.Start)
	at := f.lineOn(invoice)
	if at < 0 {
		at = f.open(c.period, m.words.of(c.billed), invoice)
		f.lines[at].shown = lineRate{level: LevelCorrection, account: c.invoice.String(), id: c.closed.String()}
	}
	l := &f.lines[at]
	amount, err := l.amount.Add(c.Amount)
	if err != nil {
		return // beyond what an amount can be: the closed invoice stays as it is
	}
	l.amount, l.version, f.seq = amount, rec.Offset+1, s.Seq
	m.emit(rec, f, l, activity.Activity{
		Kind: activity.KindAdjustment, EventID: c.invoice.String(), Source: activity.CauseOf(s.Seq), EventTime: f.period.Start, Charge: c.Amount,
		Terms: m.termsOf(f, l, nil, s.Seq),
	})
	m.touch(f)
}

// result takes a part and, when it is the last one, merges.
func (m *machine) result(rec *activity.Record, r *usage.Result) {
	s := m.markers[r.Account]
	if !m.takes(s, r) {
		return
	}
	next := *s
	parts, missing := partsWith(s, r)
	if missing > 0 && !m.faults.PartLost {
		next.Parts = parts
		m.setMarker(s, next)
		return
	}
	if m.unread {
		return
	}
	anew := map[*family]bool{}
	sets := map[activity.ID]bool{} // of values: whether they are counted from now on
	for i := range s.Sets {
		sets[s.Sets[i].Set] = false
	}
	for i := range m.merges {
		f := m.merges[i].f
		before := map[activity.ID]bool{}
		setsOf(f.lines, before)
		for set := range before {
			sets[set] = false
		}
		anew[f] = m.merge(rec, s, &m.merges[i])
	}
	for i := range m.merges {
		f, counted := m.merges[i].f, map[activity.ID]bool{}
		setsOf(f.lines, counted)
		for set := range counted {
			sets[set], m.distinct.sets[set] = true, f.holds(set)
		}
	}
	for set, counted := range sets {
		if !counted || m.faults.SetsGoneInUse {
			m.distinct.gone(set)
		}
	}
	for i := range m.merges {
		if m.faults.MergedLevelsStay {
			break
		}
		m.levelsGoOn(rec, s.Account, &m.merges[i])
	}
	for i := range m.corrections {
		m.correct(rec, s, &m.corrections[i])
	}
	for i := range m.answers {
		m.answer(rec, i, s.At, anew)
	}
	m.merges, m.corrections, m.answers = m.merges[:0], m.corrections[:0], m.answers[:0]
	next.Open, next.Done, next.Parts, next.Sets = false, s.Seq, nil, nil
	m.setMarker(s, next)
}

// merge replaces the family's lines, and charges what changes as adjustments. A family that overflows stays as it is: then it reports false.
func (m *machine) merge(rec *activity.Record, s *MarkerState, g *merging) bool {
	f := g.f
	if len(f.lines) == 0 {
		l := g.like
		f.account, f.product, f.pkg, f.group = s.Account, strings.Clone(l.Product), m.words.of(l.Package), m.words.attributes(l.Group)
		f.seller, f.currency, f.owed = m.words.of(l.Seller), m.words.of(l.Currency), strings.Clone(l.Owed)
		f.period = catalog.Period{Start: l.UsageStart, End: l.UsageEnd}
	}
	pools, ok := m.move(g)
	if !ok {
		return false
	}
	before, gathers := f.lines, f.gathers
	f.lines, f.gathers = g.lines, 0
	for i := range f.lines {
		l := &f.lines[i]
		l.second, l.target.Group = nil, f.group
		l.ordered, l.young = len(l.segments), nil
		l.bound()
	}
	for _, cell := range f.levels() {
		if m.faults.MergedLevelsStay {
			break
		}
		level, known := m.levelBefore(&g.at, s.Account, cell, nil)
		if !known {
			panic("bug: a result was not prepared")
		}
		f.takeOver(cell, level)
	}
	if !m.reprice(f, -1, nil) {
		f.lines, f.gathers = before, gathers
		return false
	}
	for i := range f.lines {
		if m.faults.ContinuationStays && i > 0 {
			m.priced[i] = f.lines[i].amount
		}
		f.lines[i].version = rec.Offset + 1
		f.lines[i].settle(f)
	}
	for i := range pools {
		m.settle(rec, &pools[i], g.pools, s.Seq)
	}
	f.bound, f.boundSeq, f.whole = true, g.seq, true
	m.commitPrices(rec, f, -1, g.seq, activity.CauseOf(s.Seq))
	return true
}
