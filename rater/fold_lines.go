package rater

import (
	"fmt"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price"
)

// Spot is where an event falls: on the line of the family on the invoice.
type Spot struct {
	Family  activity.ID
	Invoice activity.ID
	Pool    activity.ID // in which the event's rate has its tiers, zero: the line has them
	Value   ValueKey    // of the event: Know has to say where it was seen before Add; zero: nothing has to be known
	billed  string
	period  catalog.Period // of the invoice
}

// Spot says where Add would put the event, or the reason for which it would not; it adds nothing.
func (f *Fold) Spot(e *usage.Event, on Invoiced) (Spot, string) {
	r, reason := f.resolve(e)
	if reason != "" {
		return Spot{}, reason
	}
	s := Spot{Family: r.f.id, Invoice: r.invoice, billed: r.billed, period: r.period}
	if r.pool != nil {
		s.Pool = r.pool.id
	}
	if r.counts {
		s.Value = f.unread(e, r)
	}
	if on.Billed != "" {
		s.billed, s.period = on.Billed, on.Period
		s.Invoice = activity.InvoiceID(r.seller, on.Billed, on.Period.Start)
	}
	return s, ""
}

// unread gives the event's value if it is counted with those of a line that was loaded, and is not known.
func (f *Fold) unread(e *usage.Event, r *resolution) ValueKey {
	rate := f.pricing(e, r)
	if rate == nil {
		return ValueKey{}
	}
	set, begun := r.f.setOf(rate)
	if !begun {
		return ValueKey{}
	}
	key := ValueKey{set, f.hashOf(rate, e.Attribute(rate.Attribute))}
	if _, known := f.distinct.places(&key); known {
		return ValueKey{}
	}
	return key
}

// Know says in which places a value was seen; 0: in none.
func (f *Fold) Know(v ValueState) { f.distinct.recent[v.ValueKey] = v.Places }

// TakeValues takes over which values another fold has counted, whose lines were loaded; that one must not be used any more.
func (f *Fold) TakeValues(of *Fold) { f.distinct = of.distinct }

// Segments gives what prices the line: the usage on it and on the lines of its family before it, which it continues. The line's
// amount is price.LineTotal of them, less that of the lines before. Of a spot in a pool it is what prices the pool, whose amount is
// price.PoolTotal.
func (f *Fold) Segments(at Spot) ([]price.Segment, error) {
	if q := f.pools[at.Pool]; q != nil {
		all := make([]price.Segment, len(q.segments))
		for i := range q.segments {
			all[i] = q.segments[i].priced()
		}
		return all, nil
	}
	family := f.families[at.Family]
	if family == nil {
		return nil, nil
	}
	var all []segment
	upTo := family.placeOf(at.period, at.billed) // where a new line would stand
	for i := range family.lines {
		if i == upTo && family.lines[i].target.Invoice != at.Invoice {
			break
		}
		family.lines[i].inOrder()
		var err error
		if all, err = merged(all, family.lines[i].segments); err != nil {
			return nil, fmt.Errorf("put the lines of family %s together: %w", at.Family, err)
		}
		if family.lines[i].target.Invoice == at.Invoice {
			break
		}
	}
	return appendPriced(make([]price.Segment, 0, len(all)), all), nil
}

// HasPool says whether the pool was loaded, or used.
func (f *Fold) HasPool(id activity.ID) bool {
	return f.pools[id] != nil && len(f.pools[id].segments) > 0
}

// LoadPool takes a pool as it is stored, to add usage to it. It is priced under the plans that at gives of accounts, and a segment whose
// rate is gone from them under the plan of before, as of a sequence number. Without an account the plan is of somebody.
func (f *Fold) LoadPool(stored *PoolState, at func(account string) (*catalog.Plan, error), before func(account string, seq int64) (*catalog.Plan, error)) error {
	q, err := loadPool(stored)
	if err != nil {
		return err
	}
	for i := range q.segments {
		s := &q.segments[i]
		plan, err := at(s.via)
		if err != nil {
			return err
		}
		r := s.rateIn(plan)
		if r == nil || !samePool(r, q.product == "") || !s.exchanged(r, q.currency) {
			if plan, err = before(s.via, s.seq); err != nil {
				return err
			}
			r, s.gone = s.rateIn(plan), true
		}
		if s.rate, s.conversion = r, s.pinned; r == nil {
			return fmt.Errorf("pool %s: rate %q of %s %q is gone from the definitions at %d", q.id, s.id, s.owner.Kind, s.owner.ID, s.seq)
		}
	}
	total, err := f.poolTotal(q, &poolCharge{at: -1}, false)
	if err != nil {
		return fmt.Errorf("pool %s: %w", q.id, err)
	}
	q.price(total, max(f.seq, q.seq))
	if have := f.pools[q.id]; have != nil { // resolutions point to it
		*have = *q
		return nil
	}
	f.pools[q.id] = q
	return nil
}

// Load takes lines of the plan's account as they are stored, ordered by family and position, to add usage to them. They are priced under
// the plan; a segment whose rate is gone from it keeps the prices that it was last priced under, which old gives, nil for none. Families
// that the fold has already stay as they are.
func (f *Fold) Load(stored []LineState, plan *catalog.Plan, old func(seq int64) (*catalog.Plan, error)) error {
	f.Use(plan)
	for i := 0; i < len(stored); {
		j := i + 1
		for j < len(stored) && stored[j].Family == stored[i].Family {
			j++
		}
		if have := f.families[stored[i].Family]; have == nil || len(have.lines) == 0 {
			if err := f.load(stored[i:j], plan, old); err != nil {
				return fmt.Errorf("load line %s: %w", stored[i].Line, err)
			}
		}
		i = j
	}
	return nil
}

func (f *Fold) load(stored []LineState, plan *catalog.Plan, old func(seq int64) (*catalog.Plan, error)) error {
	family, err := loadFamily(stored, f.words)
	if err != nil {
		return err
	}
	var of outer
	for i := range family.lines {
		l := &family.lines[i]
		for j := range l.segments {
			s := &l.segments[j]
			if u, _ := s.state.Rest.UniqueOf(); u != nil {
				f.distinct.lacks(u.Set)
			}
			r, gone := of.rateIn(plan, s), true
			if r != nil {
				var ok bool
				if s.conversion, ok = conversionOf(r, family.period, s.pinned, plan); ok {
					gone = false
				}
			}
			if gone {
				before, err := old(s.seq)
				if err != nil {
					return err
				}
				r, s.conversion = nil, s.pinned
				if before != nil {
					r = of.rateIn(before, s)
				}
			}
			if s.rate, s.gone = r, gone; r == nil {
				return fmt.Errorf("rate %q of %s %q is gone from the definitions at %d and at %d", s.id, s.owner.Kind, s.owner.ID, plan.Seq(), s.seq)
			}
			s.on = lineOf(r, plan, family.period, family.group)
		}
		l.bound()
	}
	if !f.reprice(family, -1, nil) {
		return fmt.Errorf("its amount is too large under the definitions at %d", plan.Seq())
	}
	f.take(family, -1, plan.Seq(), func(*line, money.Decimal) {})
	f.latest = max(f.latest, family.period.Start)
	if have := f.families[family.id]; have != nil { // resolutions point to it
		family.recalled = have.recalled
		*have = *family
		return nil
	}
	f.families[family.id], f.order = family, append(f.order, family)
	return nil
}
