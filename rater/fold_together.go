package rater

import (
	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/rater/price"
)

// AddTogether adds events that were added up before: e has the sum of their quantities, the earliest of their times, and of their attributes
// those by which lines are grouped; last is the latest of their times. What they come to is what they would come to one by one. It reports
// false where that takes the events themselves, and then nothing has changed.
func (f *Fold) AddTogether(e *usage.Event, last int64, of price.Together) (Folded, bool) {
	f.known = Exchanges{}
	r, reason := f.resolve(e)
	if reason != "" {
		return Folded{}, false
	}
	if from, until := r.plan.Constant(r.product, e.Package, e.Time); from >= until || last >= until {
		return Folded{}, false // not all of them have the same rate, or period
	}
	// Which of a pool's lines pays depends on the order, and what is converted is rounded once more.
	if r.pool != nil || r.rate.Currency != r.plan.Account().Currency || !price.AddsUp(r.rate, of) {
		return Folded{}, false
	}
	f.events = of.Events
	out, reason := f.Add(e, Invoiced{})
	f.events = 0
	return out, reason == ""
}
