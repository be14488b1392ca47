package rater

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/sink"
)

// simMarked names a marker.
type simMarked struct {
	account          string
	seq, attempt, at int64
}

// simNamed is an event of a family.
type simNamed struct {
	oracleFamily
	usage.EventName
}

// reasonWithout is why an event cannot be rated where a quantity takes nothing back.
func reasonWithout(e *usage.Event) string {
	switch {
	case e.Corrects == nil:
		return ReasonNegative
	case e.Quantity.Sign() > 0:
		return ReasonPositive
	}
	return ReasonCorrectionWaits
}

// quantityOf is what is priced of the uses.
func quantityOf(p *simPrice, uses []oracleUse) *big.Rat {
	q := new(big.Rat)
	switch p.aggregation {
	case catalog.AggregationCount:
		return q.SetInt64(int64(len(uses)))
	case catalog.AggregationUnique:
		values := map[string]bool{}
		for i := range uses {
			values[uses[i].value] = true
		}
		return q.SetInt64(int64(len(values)))
	case catalog.AggregationMax, catalog.AggregationLatest:
		if len(uses) == 0 {
			return q
		}
		return slices.MaxFunc(uses, func(a, b oracleUse) int {
			if p.aggregation == catalog.AggregationLatest {
				if c := cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.event.ID, b.event.ID)); c != 0 {
					return c
				}
			}
			return a.quantity.Cmp(b.quantity)
		}).quantity
	}
	for i := range uses {
		q.Add(q, uses[i].quantity)
	}
	return q
}

// result judges the answers to corrections that have waited. Which results count is decided by markers, of which the oracle knows nothing:
// it takes from the rated record that one counted, and nothing of what it says.
func (o *oracle) result(offset int64, r *usage.Result, value []byte) {
	marked := simMarked{r.Account, r.Seq, r.Attempt, r.At}
	if r.Part == 1 && o.answers[marked] == nil {
		o.answers[marked] = r.Answers
	}
	var rated activity.Record
	if err := activity.Decode(value, &rated); err != nil {
		fail("what a replay rated: %v", err)
	}
	done := map[string]bool{}
	for i := range rated.Activities {
		if a := &rated.Activities[i]; a.Kind == activity.KindUsage {
			done[a.EventID] = true
		}
	}
	if len(done)+len(rated.Rejected)+rated.Duplicates == 0 {
		return
	}
	for i := range o.answers[marked] {
		a := &o.answers[marked][i]
		e := &a.Event
		delete(o.rejected, Skip{a.Offset, a.Index})
		month := CountKey{Month: sink.MonthOf(e.Time)}
		c := o.counts[month]
		c.Retried++
		id := e.Identity()
		old, seen := o.seen[id]
		reason := ""
		switch seen = seen && o.arrived[id] >= o.logTime-simWindow-simHour; {
		case seen && old.Hash == e.Hash:
			c.Duplicates++
			o.counts[month] = c
			continue
		case seen:
			reason = ReasonDuplicateConflict
		default:
			reason = o.leaveOut(e, r)
		}
		if reason != "" {
			c.Rejected++
			o.reject(Skip{offset, i}, reason)
		} else {
			c.Rated++
			o.seen[id], o.arrived[id] = e, o.logTime
			o.w.did("an event left out")
			if !done[e.ID] {
				o.why = fmt.Sprintf("correction %s at offset %d leaves nothing out, the oracle does", e.ID, offset)
			}
		}
		o.counts[month] = c
	}
}

// leaveOut takes the event that is corrected off its line, unless that is closed, or says why it cannot be.
func (o *oracle) leaveOut(e *usage.Event, r *usage.Result) string {
	k := o.familyOf(e)
	name := simNamed{k, *e.Corrects}
	named := func(u oracleUse) bool { return u.event == name.EventName && u.offset < r.At && !u.left }
	var f *oracleUses
	for _, k.owed = range simAccounts { // whoever was billed
		if f = o.families[k]; f != nil && slices.ContainsFunc(f.uses, named) {
			break
		}
		f = nil
	}
	switch {
	case f == nil && o.left[name]:
		return ReasonCorrectionRepeated
	case f == nil:
		return ReasonCorrectionUnknown
	}
	o.left[name] = true
	if s, sealed := o.sealed(k.owed, o.w.cycle.end(k.usage)); sealed && s < r.Seq && o.known(k.account, s) {
		o.w.did("an event of a closed line left out")
		for i := range f.uses {
			f.uses[i].left = f.uses[i].left || named(f.uses[i])
		}
		return ""
	}
	f.uses, f.emptied = slices.DeleteFunc(f.uses, named), true
	return ""
}

// familyOf gives the lines on which an event falls, whoever is billed.
func (o *oracle) familyOf(e *usage.Event) oracleFamily {
	day, _ := o.w.cycle.at(e.Time)
	group := ""
	if e.Product == "p1" {
		group = e.Attribute("region")
	}
	return oracleFamily{e.Account, e.Product, group, day, ""}
}
