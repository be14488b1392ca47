package rater

import (
	"context"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/price"
)

// leftOut is what corrections leave out of an account's usage when it is summed up.
type leftOut struct {
	before  map[named]place // by corrections that are stored: where what they name ends
	waiting []question
	by      map[usage.EventName][]int // those that name an event
}

// named is an event of a family's lines. Behind the window for duplicates a name may come again.
type named struct {
	family activity.ID
	usage.EventName
}

// place is one of an activity in the log.
type place struct {
	offset int64
	index  int
}

func (p place) before(q place) bool {
	return p.offset < q.offset || p.offset == q.offset && p.index < q.index
}

// question is a correction that waits for an answer.
type question struct {
	*RejectedUsage
	product string // that it is for; empty: it has no price any more
	family  activity.ID
	line    *home // on which the event was, nil: on none that is the correction's
	sum     money.Decimal
	events  int64
	again   bool // the event was left out before
}

// leftOut reads the corrections: those that are stored, and those of the question that wait.
func (s folding) leftOut(ctx context.Context, homes map[activity.ID]*home) (*leftOut, error) {
	out := &leftOut{before: map[named]place{}, by: map[usage.EventName][]int{}}
	err := s.Usage.EachCorrection(ctx, s.usage, func(offset int64, a *activity.Activity) error {
		h := homes[a.Line]
		if a.Kind != activity.KindUsage || h == nil {
			return nil
		}
		e := EventOf(a)
		if _, answered := Leaves(a); !answered { // its quantity does it, unless it cannot any more
			fold, err := s.under(ctx, h.seq)
			if err != nil {
				return err
			}
			if fold.takesBack(&e) {
				return nil
			}
		}
		until := place{offset, a.Index}
		if below := a.Sent().CorrectsBelow; below > 0 {
			until = place{below, 0}
		}
		if name := (named{h.Family, *e.Corrects}); out.before[name].before(until) {
			out.before[name] = until
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	list, err := s.Waiting.CorrectionsWaiting(ctx, s.q.Partition, s.q.Account, s.q.Below, usage.MaxAnswers)
	if err != nil || len(list) == 0 {
		return out, err
	}
	fold, err := s.under(ctx, s.q.Under)
	if err != nil {
		return nil, err
	}
	for i := range list {
		w := question{RejectedUsage: &list[i]}
		r, reason := fold.resolve(&w.Event)
		if reason == "" {
			if w.product, w.family = r.product.ID, r.f.id; !s.q.concerns(w.product, r.usagePeriod.Start, r.usagePeriod.End) {
				continue
			}
		}
		if reason == "" {
			out.by[*w.Event.Corrects] = append(out.by[*w.Event.Corrects], len(out.waiting))
		}
		out.waiting = append(out.waiting, w)
	}
	return out, nil
}

// takesBack says whether the event's quantity takes usage back; what has no price does.
func (f *Fold) takesBack(e *usage.Event) bool {
	r, reason := f.resolve(e)
	if reason != "" {
		return true
	}
	rate := f.pricing(e, r)
	return rate == nil || price.TakesBack(rate)
}

// takes says whether the stored usage is left out: a correction that was answered, or an event that one names.
func (o *leftOut) takes(ctx context.Context, folds folding, h *home, at place, a *activity.Activity, e *usage.Event) (bool, error) {
	if _, answered := Leaves(a); answered {
		return true, nil
	}
	name := usage.EventName{Source: e.Source, ID: e.ID}
	left, by := at.before(o.before[named{h.Family, name}]), o.by[name]
	if len(by) == 0 && (left || e.Corrects == nil) {
		return left, nil
	}
	fold, err := folds.under(ctx, h.seq)
	if err != nil {
		return false, err
	}
	if e.Corrects != nil && !fold.takesBack(e) {
		return true, nil
	}
	for _, i := range by {
		w := &o.waiting[i]
		family, reason := fold.familyOf(&w.Event)
		if own, _ := fold.familyOf(e); reason != "" || own != family {
			continue
		}
		if left {
			w.again = true
			continue
		}
		if w.sum, err = w.sum.Add(e.Quantity); err != nil {
			return false, err
		}
		w.line, w.events = h, w.events+1
		return true, nil
	}
	return left, nil
}

// familyOf says on which lines an event falls.
func (f *Fold) familyOf(e *usage.Event) (id activity.ID, reason string) {
	r, reason := f.resolve(e)
	if reason == "" {
		id = r.f.id
	}
	return id, reason
}

// Unanswered gives the answers to the corrections for which the sum was asked for, where it cannot be. One that a product's job meets waits
// for its own.
func (s *Summing) Unanswered(ctx context.Context, q SumQuestion) ([]usage.Answer, error) {
	list, err := s.Waiting.CorrectionsWaiting(ctx, q.Partition, q.Account, q.Below, usage.MaxAnswers)
	if err != nil {
		return nil, err
	}
	var out []usage.Answer
	for i := range list {
		if w := &list[i]; q.concerns("", w.Event.Time, w.Event.Time+1) {
			out = append(out, usage.Answer{Offset: w.Offset, Index: w.Index, Event: w.Event, Reason: ReasonCorrectionImpossible})
		}
	}
	return out, nil
}

// answers says what becomes of the corrections that have waited. One of a closed invoice, where these are not corrected, goes on waiting.
func (o *leftOut) answers(closed bool, sum *Sum) (out []usage.Answer) {
	for i := range o.waiting {
		w := &o.waiting[i]
		line := w.line
		for _, other := range o.waiting[:i] {
			if other.line != nil && other.family == w.family && *other.Event.Corrects == *w.Event.Corrects {
				w.again, line = true, other.line
			}
		}
		if line != nil && line.closed && !closed {
			continue
		}
		a := usage.Answer{Offset: w.Offset, Index: w.Index, Event: w.Event}
		switch {
		case sum.Left[w.product] != "" || w.product == "" || line != nil && line.closed && sum.Closed[w.product] != "":
			a.Reason = ReasonCorrectionImpossible
		case w.line == nil && w.again:
			a.Reason = ReasonCorrectionRepeated
		case w.line == nil:
			a.Reason = ReasonCorrectionUnknown
		default:
			l := &w.line.LineState
			a.Line = usage.ResultLine{
				Product: l.Product, Package: l.Package, Seller: l.Seller, Currency: l.Currency, Owed: l.Owed, Billed: l.Billed, Group: l.Group,
				UsageStart: l.UsagePeriod.Start, UsageEnd: l.UsagePeriod.End, PeriodStart: l.Period.Start, PeriodEnd: l.Period.End,
				Quantity: w.sum, Events: w.events,
			}
		}
		out = append(out, a)
	}
	return out
}
