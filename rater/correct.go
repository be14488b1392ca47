package rater

import (
	"fmt"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/dedup"
)

// A usage event may name another that it corrects. Where a quantity takes usage back, the correction's own does, and the name is only
// recorded. Elsewhere (price.TakesBack) the line has to be rated again without the event. What that takes is not in memory, so the
// correction waits as rejected usage, which is kept in the checkpoint. A job rates the account anew (rater/rerate), leaves out what
// corrections that stood before its marker name, and its result answers them: it is as if they were retried then.
//
// A correction that was answered is an activity under no rate, which costs nothing, with the quantity of what was left out taken back. What it
// changed stands in the adjustments of the same record. Whoever adds up stored usage leaves both events out (see LeftOut).

// reasonToWait is why a correction is not rated as it comes.
func reasonToWait(e *usage.Event) string {
	if e.Quantity.Sign() > 0 {
		return ReasonPositive
	}
	return ReasonCorrectionWaits
}

// Leaves gives the event that a stored activity leaves out of its line, if it is a correction that was answered.
func Leaves(a *activity.Activity) (name usage.EventName, ok bool) {
	if a.Kind != activity.KindUsage || a.RateID != "" {
		return name, false
	}
	name = a.Sent().Corrects
	return name, name != usage.EventName{}
}

// familyOf names the family of an account's line.
func familyOf(account string, l *usage.ResultLine) activity.ID {
	return activity.FamilyID(l.Seller, account, l.Product, l.Package, l.Group, l.Owed, l.UsageStart)
}

// answering is an answer, and the family from which an event is left out.
type answering struct {
	*usage.Answer
	f      *family // nil: there is a reason
	closed bool    // its usage's period was sealed under older definitions: what changes is charged by corrections of the result
}

// prepareAnswer reads what an answer needs.
func (m *machine) prepareAnswer(s *MarkerState, a *usage.Answer, logTime int64, need *needs) {
	id := a.Event.Identity()
	if known := m.index.Check(id, logTime); known.Verdict == dedup.Ask {
		need.asks = append(need.asks, dedup.Question{ID: id, First: known.First, Last: known.Last})
	}
	out := answering{Answer: a}
	if a.Reason == "" {
		family := familyOf(s.Account, &a.Line)
		if out.f = m.families[family]; out.f == nil {
			need.family(family)
			return
		}
		m.uses++
		out.f.lastUsed = m.uses
		_, seq, _ := m.pricedUnder(s.Account, a.Line.Owed, catalog.Period{Start: a.Line.UsageStart, End: a.Line.UsageEnd}, need)
		out.closed = seq < s.Seq
	}
	m.answers = append(m.answers, out)
}

// answer ends the waiting of a correction: it is rated, or rejected for a reason that stays. below is where its marker stands; anew are the
// families that were rated anew.
func (m *machine) answer(rec *activity.Record, i int, below int64, anew map[*family]bool) {
	a := &m.answers[i]
	e := &a.Event
	if !m.faults.AnsweredWaits {
		m.answered = append(m.answered, Skip{a.Offset, a.Index})
	}
	count := m.counts.of(m.counts.month(e.Time), "")
	count.Retried++
	id := e.Identity()
	known := m.index.Check(id, m.logTime)
	reason := a.Reason
	switch {
	case known.Verdict == dedup.Ask:
		panic(fmt.Sprintf("bug: identity of event %s/%s was not confirmed before its step", e.Source, e.ID))
	case known.Verdict == dedup.Hit && known.Hash == e.Hash:
		count.Duplicates++
		rec.Duplicates++
		return
	case known.Verdict == dedup.Hit:
		reason = ReasonDuplicateConflict
	case reason == "" && !m.leaveOut(rec, a, below, anew):
		reason = ReasonCorrectionImpossible
	}
	if reason != "" {
		count.Rejected++
		m.rejectEvent(rec, i, e, reason, true)
		return
	}
	count.Rated++
	if m.faults.AnsweredForgotten {
		return
	}
	m.index.Remember(dedup.Entry{ID: id, Hash: e.Hash, Arrived: m.logTime})
}

// leaveOut says on the line that an event of it, which stands below an offset, does not count any more, if that is so.
func (m *machine) leaveOut(rec *activity.Record, a *answering, below int64, anew map[*family]bool) bool {
	f, e := a.f, &a.Event
	at := f.lineOn(activity.InvoiceID(a.Line.Seller, a.Line.Billed, a.Line.PeriodStart))
	if at < 0 || !anew[f] && !a.closed {
		return false
	}
	l := &f.lines[at]
	m.exchange = money.Exchange{}
	extra := m.extraOf(e)
	if !m.faults.NamesakeLeftOut {
		extra.CorrectsBelow = below
	}
	m.emit(rec, f, l, activity.Activity{
		Kind: activity.KindUsage, EventID: e.ID, Source: e.Source, EventTime: e.Time, Attributes: e.Attributes,
		Quantity: a.Line.Quantity.Neg(), Extra: extra, Terms: m.termsOf(f, l, nil, f.seq),
	})
	return true
}
