package rater

import (
	"fmt"
	"strings"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/dedup"
)

// Reasons for which usage is rejected; they are part of the outside contract.
const (
	ReasonAccountUnknown    = "account_unknown"
	ReasonProductUnknown    = "product_unknown"
	ReasonNoRate            = "no_rate"
	ReasonNotProvisioned    = "not_provisioned"
	ReasonTooOld            = "too_old"
	ReasonTooNew            = "too_new"
	ReasonDuplicateConflict = "duplicate_conflict"
	ReasonLate              = "late"
	ReasonOverflow          = "quantity_overflow"
	ReasonNegative          = "quantity_negative"
	ReasonNoAmount          = "amount_missing"    // the rate charges the event's own amount
	ReasonNoAttribute       = "attribute_missing" // the rate counts the values of an attribute
	ReasonNoPeriod          = "period_unbounded"  // the rate averages over the period
	ReasonValuesGone        = "values_gone"       // the rate counts values, and those of the period, which is sealed, are kept no more
	ReasonUndecodable       = "undecodable"

	// Of a correction where a quantity takes nothing back, see correct.go.
	ReasonPositive             = "quantity_positive"     // it would add
	ReasonCorrectionWaits      = "correction_waits"      // until its line is rated again
	ReasonCorrectionUnknown    = "correction_unknown"    // the event that it names is not on its line
	ReasonCorrectionRepeated   = "correction_repeated"   // … was corrected before
	ReasonCorrectionImpossible = "correction_impossible" // the line cannot be rated again

	ReasonSkipped = "skipped"
)

// FutureTolerance is how far an event may lie ahead of log time. Identities count for that much
// longer than the window, so that no resend after the window can be charged twice.
const FutureTolerance = time.Hour

// Input is one record of the `usage` topic as the broker delivers it.
type Input struct {
	Offset      int64
	LeaderEpoch int32
	Time        int64  // the broker's timestamp, instant
	Value       []byte // an encoded usage.Record; must not change while it is rated, and is not kept
}

// machine is the state of one partition at an offset and the rules that carry it over a record. It
// does no I/O: what a record needs and the machine lacks is told by prepare and given by provide.
type machine struct {
	partition int32
	window    time.Duration
	keeps     time.Duration // distinct values of sealed periods
	faults    Faults

	last    int64 // offset of the last record, -1 before the first
	logTime int64
	act     int64 // the activated sequence number
	sum     uint64
	snap    *catalog.Snapshot // as of act, or older when nothing it holds has changed since

	index    *dedup.Index
	families map[activity.ID]*family
	pools    map[activity.ID]*pool
	terms    map[activity.Terms]*activity.Terms // what lines share, see termsOf
	seals    map[string]*SealState              // by billed account; an empty one is known to have none
	markers  map[string]*MarkerState            // by account; the open ones are all there
	open     int                                // how many of them are
	skips    map[Skip]struct{}
	counts   tallies

	defs definitions

	// since the last cut
	dirty    []*family
	pooled   []*pool // that have changed
	rejected []RejectedUsage
	answered []Skip // corrections that wait no more
	sealed   map[string]struct{}
	marked   map[string]struct{}
	waiting  waiting // levels

	unshown []*family // since the last projection
	uses    uint64

	circumstance uint64 // what resolutions were made under, see recalled

	words words
	pricer

	// of the record in work
	*work
	plans       []*planned // as its hashes say
	touched     uint64     // see recallAll
	resolved    []*resolution
	anew        []resolution                  // those of them that were not recalled
	merges      []merging                     // what a result makes of families
	sharing     map[activity.ID][]activity.ID // the families that have shared a pool, as committed
	corrections []correcting
	answers     []answering
	unread      bool // values that the result counts are
	inWork      int  // index of the event in work
}

func newMachine(c *Checkpoint, window time.Duration, faults Faults) *machine {
	m := &machine{
		partition: c.Partition, window: window, keeps: DefaultLimits().LateValues, faults: faults,
		last: c.Last, logTime: c.LogTime, act: c.ActivatedSeq, sum: c.ActivatedSum,
		index:    dedup.New(remembered(window, faults)),
		families: map[activity.ID]*family{}, pools: map[activity.ID]*pool{}, terms: map[activity.Terms]*activity.Terms{}, words: words{}, seals: map[string]*SealState{}, skips: c.Skips,
		counts: newTallies(c.Counts), sealed: map[string]struct{}{}, marked: map[string]struct{}{}, markers: map[string]*MarkerState{}, defs: newDefinitions(), work: new(work),
	}
	m.waiting.fresh = map[levelKey]bool{}
	m.pricer.faults, m.distinct = &m.faults, newValues(DefaultLimits().Values, &m.faults)
	m.all, m.reads = m.families, true
	m.index.Load(c.Identities, c.Filters)
	for i := range c.Markers {
		m.markers[c.Markers[i].Account] = &c.Markers[i]
	}
	m.open = len(c.Markers)
	return m
}

// remembered is the window of the duplicates index, which adds the future tolerance by itself.
func remembered(window time.Duration, faults Faults) time.Duration {
	if faults.WindowWithoutTolerance {
		return window - FutureTolerance
	}
	return window
}

// step rates the decoded record, which prepare has found complete, and returns its rated record, valid until the
// next step. An error stops the partition: the log contradicts what it said before.
func (m *machine) step(in *Input) (*activity.Record, error) {
	rec := &m.out
	*rec = activity.Record{
		Offset: in.Offset, Previous: m.last, Version: activity.PricingVersion,
		Activities: rec.Activities[:0], Rejected: rec.Rejected[:0],
	}
	m.extras, m.offset = m.extras[:0], in.Offset
	if m.faults.OtherVersion {
		rec.Version++
	}
	if in.Time > m.logTime {
		m.logTime = in.Time
	}
	rec.LogTime = m.logTime
	switch m.record.Kind {
	case usage.KindBatch, usage.KindRetry:
		for i := range m.record.Events {
			m.inWork = i
			m.event(rec, i)
		}
	case usage.KindDefinitions:
		if err := m.activate(m.record.Definitions); err != nil {
			return nil, err
		}
	case usage.KindSeal:
		m.seal(rec, m.record.Seal)
	case usage.KindSweep:
		m.sweep(rec, m.record.Sweep)
	case usage.KindMarker:
		m.mark(m.record.Marker, in.Offset)
	case usage.KindResult:
		if !m.skipped(rec.Offset, 0) {
			m.result(rec, m.record.Result)
		}
	case usage.KindValues:
		if !m.skipped(rec.Offset, 0) {
			m.countedBefore(m.record.Values)
		}
	default:
		m.undecodable(rec, in)
	}
	m.last, m.inWork = in.Offset, 0
	return rec, nil
}

// event rates one usage event of the record.
func (m *machine) event(rec *activity.Record, i int) {
	e := &m.record.Events[i]
	count := m.counts.of(m.counts.month(e.Time), "")
	if m.record.Kind == usage.KindRetry {
		count.Retried++
	} else {
		count.Accepted++
	}
	if m.skipped(rec.Offset, i) {
		count.Rejected++
		m.reject(rec, i, ReasonSkipped)
		return
	}
	if m.faults.PanicAt != nil && m.faults.PanicAt(rec.Offset, i) {
		panic("injected")
	}
	id := m.ids.all[i]
	known := m.ids.known[i]
	if m.ids.twins && !m.faults.TwinsUnseen {
		known = m.index.Check(id, m.logTime)
	}
	switch {
	case known.Verdict == dedup.Ask:
		panic(fmt.Sprintf("bug: identity of event %s/%s was not confirmed before its step", e.Source, e.ID))
	case known.Verdict == dedup.Hit && (known.Hash == e.Hash || m.faults.ConflictIsDuplicate):
		count.Duplicates++
		rec.Duplicates++
		return
	case known.Verdict == dedup.Hit:
		count.Rejected++
		m.reject(rec, i, ReasonDuplicateConflict)
		return
	}
	reason := m.refusal(e, m.resolved[i])
	if reason == "" {
		reason = m.charge(rec, e, m.resolved[i])
	}
	if reason != "" {
		count.Rejected++
		m.reject(rec, i, reason)
		if !m.faults.RememberRejected {
			return
		}
	} else {
		count.Rated++
	}
	m.index.Remember(dedup.Entry{ID: id, Hash: e.Hash, Arrived: m.logTime})
}

// skipped says whether an operator told the rater to pass over the event.
func (m *machine) skipped(offset int64, i int) bool {
	if len(m.skips) == 0 {
		return false
	}
	_, ok := m.skips[Skip{offset, i}]
	return ok
}

// refusal says why an event that is no duplicate cannot be rated, "" when it can.
func (m *machine) refusal(e *usage.Event, r *resolution) string {
	switch {
	case r.reason == ReasonAccountUnknown:
		return r.reason
	case e.Time > m.logTime+int64(FutureTolerance):
		return ReasonTooNew
	case e.Time < m.logTime-int64(m.window) && !e.Backfill:
		return ReasonTooOld
	case r.reason == "" && r.counts && r.sealed && e.Corrects == nil && r.usagePeriod.End < m.logTime-int64(m.keeps) && !m.faults.LateValuesTaken:
		return ReasonValuesGone
	}
	return r.reason
}

// reject keeps the event with its reason.
func (m *machine) reject(rec *activity.Record, i int, reason string) {
	m.rejectEvent(rec, i, &m.record.Events[i], reason, m.record.Kind == usage.KindRetry)
}

func (m *machine) rejectEvent(rec *activity.Record, i int, e *usage.Event, reason string, retry bool) {
	rec.Rejected = append(rec.Rejected, activity.Rejected{
		EventIndex: i, Reason: reason, EventID: e.ID, Source: e.Source, EventTime: e.Time, Account: e.Account,
	})
	m.rejected = append(m.rejected, RejectedUsage{
		Offset: rec.Offset, Index: i, Reason: reason, Event: e.Clone(), LogTime: m.logTime, Retry: retry,
	})
}

// undecodable keeps the raw bytes of a record that no version of this program can have written whole.
func (m *machine) undecodable(rec *activity.Record, in *Input) {
	count := m.counts.of(m.counts.month(m.logTime), "")
	count.Accepted++
	count.Rejected++
	rec.Rejected = append(rec.Rejected, activity.Rejected{Reason: ReasonUndecodable, EventTime: m.logTime})
	m.rejected = append(m.rejected, RejectedUsage{
		Offset: in.Offset, Reason: ReasonUndecodable, Raw: append([]byte(nil), in.Value...), LogTime: m.logTime,
	})
}

// seal moves the billed account's sealed_through, notes under which definitions, and has levels go on into what is not sealed.
func (m *machine) seal(rec *activity.Record, s *usage.Seal) {
	newest := m.seals[s.Account].newest()
	if newest < s.PeriodEnd {
		m.sealUpTo(s)
	}
	if newest <= s.PeriodEnd {
		m.goOn(rec, s)
	}
}

func (m *machine) sealUpTo(s *usage.Seal) {
	state := m.seals[s.Account]
	through := s.PeriodEnd
	if m.faults.SealEndsEarly {
		through--
	}
	// A cut in flight may hold the old state: never change it in place.
	account := strings.Clone(s.Account)
	next := &SealState{Account: account, Seals: append(append([]SealPoint(nil), state.Seals...), SealPoint{Through: through, Seq: m.act})}
	m.seals[account] = next
	m.sealed[account] = struct{}{}
	if !m.faults.SealLeavesRecalled {
		m.changed()
	}
}

// sealedUnder says whether a period that ends at end is sealed, and under which definitions.
func (s *SealState) sealedUnder(end int64) (int64, bool) {
	for _, p := range s.Seals {
		if p.Through >= end {
			return p.Seq, true
		}
	}
	return 0, false
}
