package rater

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/dedup"
	"github.com/tollstream/tollstream/rater/method"
	"github.com/tollstream/tollstream/rater/price"
)

// resolution is what the definitions say of an event: its rate, its period and the line that it falls on, or the
// reason for which there is none.
type resolution struct {
	// What every event reads stands together.
	group   []activity.Attribute
	f       *family
	reason  string
	rate    *catalog.Rate // of a matrix the whole: what it selects differs from event to event
	seq     int64         // of the definitions that price it: the activated ones or, for late usage, those of the seal
	pool    *pool         // that has the rate's tiers, nil: the line has them
	invoice activity.ID
	counts  bool // distinct values, which are in memory when it is rated
	sealed  bool // its period
	carries bool // its level into the next period

	pooled      pooled
	poolSeq     int64         // of those that price its pool: the same, but for late usage of an account that came after the seal
	plan        *catalog.Plan // under which it is resolved
	product     *catalog.Product
	pkg         string
	seller      string
	usagePeriod catalog.Period
	usageZone   *time.Location // of its days
	owed        string         // who is billed for the usage's own period
	billed      string         // who is invoiced
	period      catalog.Period
	on          *method.Line // what the rate sees of the line, nil: nothing
}

// pooled is what a pool has to know of an event.
type pooled struct {
	rate  *catalog.Rate // that prices it there
	since bool          // the definitions under which the pool is priced do not have that rate
}

// maxCarry bounds how many sealed periods late usage passes on its way to an open one.
const maxCarry = 1200

// resolve finds the event's rate and line. It reports false, with what is missing in need, when something has to
// be read first.
func (m *machine) resolve(e *usage.Event, r *resolution, need *needs) bool {
	*r = resolution{}
	if e.Account == "" {
		r.reason = ReasonAccountUnknown
		return true
	}
	plan, ok := m.defs.planNow(m, e.Account, need)
	if !ok {
		return false
	}
	if plan == nil {
		r.reason = ReasonAccountUnknown
		return true
	}
	r.seq, r.poolSeq = m.act, m.act
	owed, period := r.bill(plan, e.Time)
	seals, ok := m.sealsOf(owed, need)
	if !ok {
		return false
	}
	seq, late := seals.sealedUnder(period.End)
	if m.faults.LateUnderNewDefinitions {
		seq = m.act
	}
	if r.sealed = late; late {
		if plan.Account().LateReject {
			r.reason = ReasonLate
			return true
		}
		if ok := m.carry(owed, period, r, need); !ok {
			return false
		}
		r.seq, r.poolSeq = seq, seq
		if plan, ok = m.defs.planAt(m, e.Account, seq, need); !ok {
			return false
		}
		if plan == nil { // the account came after the seal
			plan, _ = m.defs.planNow(m, e.Account, need)
			r.seq = m.act
		}
	}
	if !m.price(e, r, plan, owed, need) {
		return false
	}
	for late && r.reason == "" && !m.faults.CarryBeforeClosed {
		closed, ok := m.beforeClosed(r, need)
		if !ok {
			return false
		}
		if !closed {
			break
		}
		if ok := m.carry(owed, r.period, r, need); !ok {
			return false
		}
		r.invoice = activity.InvoiceID(r.seller, r.billed, r.period.Start)
	}
	if !late && r.reason == "" {
		m.defs.plans.of(e.Account).remember(m.words, m.circumstance, e, r)
	}
	return true
}

// bill says who is invoiced for usage at t, and in which period, where it is not late.
func (r *resolution) bill(plan *catalog.Plan, t int64) (owed string, period catalog.Period) {
	account, period := plan.Billing(t)
	r.usagePeriod, r.usageZone, r.seller = period, account.ZoneAt(t), account.Seller
	r.owed, r.billed, r.period = account.ID, account.ID, period
	return account.ID, period
}

// answer finds the rate that prices the event, and the family that it falls on, of usage for which owed is invoiced; or the reason.
func (r *resolution) answer(plan *catalog.Plan, e *usage.Event, owed string) (family activity.ID) {
	if r.product = plan.Snapshot().Product(e.Product); r.product == nil {
		r.reason = ReasonProductUnknown
		return family
	}
	r.plan = plan
	answer, refusal := plan.Resolve(r.product, e.Package, e.Time)
	if refusal != "" {
		r.reason = string(refusal)
		return family
	}
	r.rate, r.pkg, r.counts, r.carries = answer.Rate, answer.Package, price.CountsValues(answer.Rate), price.CarriesLevel(answer.Rate)
	for _, name := range r.product.GroupBy {
		r.group = append(r.group, activity.Attribute{Name: name, Value: e.Attribute(name)})
	}
	r.invoice = activity.InvoiceID(r.seller, r.billed, r.period.Start)
	r.on = lineOf(r.rate, plan, r.usagePeriod, r.group)
	return activity.FamilyID(r.seller, e.Account, r.product.ID, r.pkg, r.group, owed, r.usagePeriod.Start)
}

// price finds the rate and the family, with the family's lines bound to the rates that price them.
func (m *machine) price(e *usage.Event, r *resolution, plan *catalog.Plan, owed string, need *needs) bool {
	id := r.answer(plan, e, owed)
	if r.reason != "" {
		return true
	}
	if r.f = m.families[id]; r.f == nil {
		need.family(id)
		return false
	}
	m.uses++
	r.f.lastUsed = m.uses
	bound := m.bind(r.f, e.Account, r.seq, plan, need)
	if r.f.seq < r.seq { // it will be priced anew, with all that its lines have of pools
		bound = m.shared(r.f, r.poolSeq, need) && bound
	}
	return m.share(e, r, need) && bound
}

// carry finds where late usage goes: the earliest unsealed period of whoever is then billed for the account that
// was billed for its own period.
func (m *machine) carry(owed string, period catalog.Period, r *resolution, need *needs) bool {
	plan, ok := m.defs.planNow(m, owed, need)
	if !ok {
		return false
	}
	if plan == nil {
		need.fail(fmt.Errorf("billed account %s is gone from the definitions", owed))
		return false
	}
	for range maxCarry {
		account, next := plan.Billing(period.End)
		if m.faults.CarryToOriginalBilled {
			account = plan.Account()
		}
		seals, ok := m.sealsOf(account.ID, need)
		if !ok {
			return false
		}
		if _, sealed := seals.sealedUnder(next.End); !sealed || m.faults.CarryIntoSealed {
			r.billed, r.period = account.ID, next
			return true
		}
		if next.End <= period.End {
			break
		}
		period = next
	}
	need.fail(fmt.Errorf("no open period within %d periods for late usage of %s", maxCarry, owed))
	return false
}

// beforeClosed says whether the line on the resolution's invoice stands before one on an invoice that is closed, which it would change.
// That happens where others are billed since that line was opened.
func (m *machine) beforeClosed(r *resolution, need *needs) (closed, ok bool) {
	ok = true
	for i := len(r.f.lines) - 1; i >= 0; i-- {
		l := &r.f.lines[i]
		if l.compareInvoice(r.period, r.billed) <= 0 {
			break
		}
		seals, known := m.sealsOf(l.target.Billed, need)
		if !known {
			ok = false
		} else if _, sealed := seals.sealedUnder(l.period.End); sealed {
			closed = true
		}
	}
	return closed, ok
}

func (m *machine) sealsOf(account string, need *needs) (*SealState, bool) {
	s, ok := m.seals[account]
	if !ok {
		need.seal(account)
	}
	return s, ok
}

// prepare resolves the decoded record's events and tells what has to be read before it can be stepped; step may be called
// when need stays empty.
func (m *machine) prepare(offset, logTime int64, need *needs) {
	switch m.record.Kind {
	case usage.KindBatch, usage.KindRetry:
	case usage.KindDefinitions:
		if r := m.record.Definitions; m.snapshotAfter(r) && m.defs.snapshots[r.To] == nil {
			need.snapshot(r.To)
		}
		return
	case usage.KindSeal:
		m.prepareSeal(m.record.Seal, need)
		return
	case usage.KindSweep:
		m.prepareSweep(m.record.Sweep, need)
		return
	case usage.KindMarker:
		m.markerOf(m.record.Marker.Account, need)
		return
	case usage.KindResult:
		if !m.skipped(offset, 0) {
			m.prepareResult(m.record.Result, logTime, need)
		}
		return
	case usage.KindValues:
		if !m.skipped(offset, 0) {
			m.prepareValues(m.record.Values, need)
		}
		return
	default:
		return
	}
	n := len(m.record.Events)
	if cap(m.resolved) < n {
		m.resolved, m.anew = make([]*resolution, n), make([]resolution, n)
	}
	m.resolved, m.anew = m.resolved[:n], m.anew[:n]
	m.ids.known = m.index.Look(m.ids.all, logTime)
	m.recallAll()
	for i := range m.record.Events {
		m.inWork = i
		if m.skipped(offset, i) {
			continue
		}
		e := &m.record.Events[i]
		switch m.ids.known[i].Verdict {
		case dedup.Hit: // it will be one in the step as well
			continue
		case dedup.Ask:
			known := &m.ids.known[i]
			need.asks = append(need.asks, dedup.Question{ID: m.ids.all[i], First: known.First, Last: known.Last})
		}
		if r := m.resolved[i]; r != nil {
			if r.counts {
				m.askValue(e, r, need)
			}
			if r.carries {
				m.prepareLevel(e, r, logTime, need)
			}
			continue
		}
		m.resolved[i] = &m.anew[i]
		if known := m.recall(m.defs.plans.of(e.Account), e); known != nil { // resolved a moment ago, for an event before this
			m.resolved[i] = known
		} else if m.resolve(e, &m.anew[i], need); need.err != nil { // inWork tells of which event
			return
		}
		r := m.resolved[i]
		if r.counts && r.f != nil {
			m.askValue(e, r, need)
		}
		if r.carries && r.f != nil {
			m.prepareLevel(e, r, logTime, need)
		}
	}
}

// maxRounds bounds how often prepare finds that what it read needs more: accounts, then seals and families, then pools and the accounts
// whose rates are in them, then old definitions, each at most twice.
const maxRounds = 16

// errUnratable says that the definitions contradict themselves for an event: to read them again cannot help.
var errUnratable = errors.New("the event cannot be rated")

// load reads what the record needs, in one question a kind and round.
func (m *machine) load(ctx context.Context, in *Input, fence Fence, store Store, defs Definitions) error {
	m.index.Forget()
	m.distinct.bound()
	m.waiting.stored, m.waiting.asked = nil, false
	m.sharing = nil
	for range maxRounds {
		var need needs
		m.prepare(in.Offset, max(m.logTime, in.Time), &need)
		if need.err != nil {
			return fmt.Errorf("%w: %w", errUnratable, need.err)
		}
		if need.empty() {
			return nil
		}
		if err := m.provide(ctx, &need, fence, store, defs); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: bug: offset %d needs more than %d rounds of reading", errUnratable, in.Offset, maxRounds)
}

func (m *machine) provide(ctx context.Context, need *needs, fence Fence, store Store, defs Definitions) error {
	if len(m.defs.snapshots) > maxOld {
		clear(m.defs.snapshots)
	}
	for seq := range need.snapshots {
		snap, err := defs.Snapshot(ctx, seq)
		if err != nil {
			return fmt.Errorf("read the catalogue as of definition %d: %w", seq, err)
		}
		m.defs.snapshots[seq] = snap
		if seq == m.act && m.snap == nil {
			m.snap = snap
		}
	}
	for seq, ids := range need.accounts {
		got, err := defs.Accounts(ctx, seq, keys(ids))
		if err != nil {
			return fmt.Errorf("read %d accounts as of definition %d: %w", len(ids), seq, err)
		}
		if err := m.defs.provideAccounts(m, seq, ids, got); err != nil {
			return err
		}
	}
	if len(need.seals) > 0 {
		got, err := store.Seals(ctx, fence, keys(need.seals))
		if err != nil {
			return fmt.Errorf("read seals: %w", err)
		}
		for account := range need.seals {
			m.seals[account] = &SealState{Account: account}
		}
		for i := range got {
			m.seals[got[i].Account] = &got[i]
		}
	}
	if len(need.markers) > 0 {
		got, err := store.Markers(ctx, fence, keys(need.markers))
		if err != nil {
			return fmt.Errorf("read markers: %w", err)
		}
		for account := range need.markers {
			m.markers[account] = &MarkerState{Account: account}
		}
		for i := range got {
			m.markers[got[i].Account] = &got[i]
		}
	}
	if need.levels != nil {
		if err := m.provideLevels(ctx, need.levels, fence, store); err != nil {
			return err
		}
	}
	if len(need.families) > 0 {
		if err := m.provideFamilies(ctx, need, fence, store); err != nil {
			return err
		}
	}
	if len(need.pools) > 0 {
		if err := m.providePools(ctx, need, fence, store); err != nil {
			return err
		}
	}
	if len(need.sharing) > 0 {
		if err := m.provideSharing(ctx, need, fence, store); err != nil {
			return err
		}
	}
	if len(need.values) > 0 {
		if err := m.provideValues(ctx, need, fence, store); err != nil {
			return err
		}
	}
	if len(need.asks) > 0 {
		got, err := store.Identities(ctx, fence, need.asks)
		if err != nil {
			return fmt.Errorf("read %d identities: %w", len(need.asks), err)
		}
		m.index.Confirm(need.asks, got)
	}
	return nil
}

func (m *machine) provideFamilies(ctx context.Context, need *needs, fence Fence, store Store) error {
	stored, err := store.Lines(ctx, fence, keys(need.families))
	if err != nil {
		return fmt.Errorf("read the lines of %d families: %w", len(need.families), err)
	}
	for id := range need.families {
		m.families[id] = newFamily(id)
	}
	for i := 0; i < len(stored); {
		j := i + 1
		for j < len(stored) && stored[j].Family == stored[i].Family {
			j++
		}
		f, err := loadFamily(stored[i:j], m.words)
		if err != nil {
			return err
		}
		m.families[f.id] = f
		i = j
	}
	return nil
}

// evict lets go of clean families, least recently used first by halves, until at most keep are held.
func (m *machine) evict(keep int) {
	if len(m.families) <= keep {
		return
	}
	for bound := m.uses - uint64(keep)/2; ; bound += max(1, uint64(keep)/8) {
		for id, f := range m.families {
			if (!f.dirty || m.faults.EvictDirty) && !f.unshown && !f.inCut && f.lastUsed <= bound {
				delete(m.families, id)
				if f.recalled != nil {
					f.recalled.forget(f)
				}
			}
		}
		if len(m.families) <= keep || bound >= m.uses {
			return
		}
	}
}

func keys[K comparable](set map[K]struct{}) []K {
	out := make([]K, 0, len(set))
	for k := range set {
		out = append(out, k)
	}
	return out
}
