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
	billed  string
	period  catalog.Period // of the invoice
}

// Spot says where Add would put the event, or the reason for which it would not; it adds nothing.
func (f *Fold) Spot(e *usage.Event, on Invoiced) (Spot, string) {
	r, reason := f.resolve(e)
	if reason != "" {
		return Spot{}, reason
	}
	s := Spot{r.f.id, r.invoice, r.billed, r.period}
	if on.Billed != "" {
		s.billed, s.period = on.Billed, on.Period
		s.Invoice = activity.InvoiceID(r.seller, on.Billed, on.Period.Start)
	}
	return s, ""
}

// Segments gives what prices the line: the usage on it and on the lines of its family before it, which it continues. The line's
// amount is price.LineTotal of them, less that of the lines before.
func (f *Fold) Segments(at Spot) ([]price.Segment, error) {
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
	family, err := loadFamily(stored)
	if err != nil {
		return err
	}
	var of outer
	for i := range family.lines {
		l := &family.lines[i]
		for j := range l.segments {
			s := &l.segments[j]
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
		}
		l.bound()
	}
	if !f.reprice(family, -1, nil) {
		return fmt.Errorf("its amount is too large under the definitions at %d", plan.Seq())
	}
	f.take(family, -1, plan.Seq(), func(*line, money.Decimal) {})
	if have := f.families[family.id]; have != nil { // resolutions point to it
		family.recalled = have.recalled
		*have = *family
		return nil
	}
	f.families[family.id], f.order = family, append(f.order, family)
	return nil
}
