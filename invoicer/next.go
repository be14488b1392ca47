package invoicer

import (
	"slices"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price"
)

// nextOf says what the line's next unit costs at t and where the step ends that it stands on; nil: not known,
// because the product or its rate is gone.
func nextOf(l *rater.LineState, plan *catalog.Plan, t int64) *NextStep {
	product := plan.Snapshot().Product(l.Product)
	if product == nil {
		return nil
	}
	answer, refusal := plan.Resolve(product, l.Package, t)
	if refusal != "" {
		return nil
	}
	rate := answer.Rate
	if rate.Matrix != nil {
		billed, _ := plan.Billing(t)
		if rate = selectedBy(rate, l.Group, t, billed.ZoneAt(t)); rate == nil {
			return nil
		}
	}
	if rate.Pool != "" {
		return nil // where it stands depends on what others use
	}
	if rate.Currency != l.Currency {
		return nil // its prices are not the line's
	}
	segments, err := rater.DecodeSegments(l.Segments)
	if err != nil {
		return nil
	}
	var state price.State
	for _, s := range segments {
		// What a segment is priced on is accumulated through all before it, unless it restarts.
		if s.Start > rate.Start || rate.TiersRestart && s.Rate != rate.ID || !rate.GoesOnFrom(s.Start) {
			continue
		}
		if !s.Pool.IsZero() {
			continue
		}
		if r := s.RateIn(plan); r == nil || r.Cell != rate.Cell || !price.SameKind(r, rate) {
			continue
		}
		if state, err = price.Merge(state, s.State); err != nil {
			return nil
		}
	}
	quantity, err := price.Quantity(rate, state)
	if err != nil {
		return nil
	}
	return nextStep(rate, quantity)
}

// selectedBy gives what a matrix selects for usage of the line at t; nil: that depends on attributes by which the line is not grouped,
// or nothing does.
func selectedBy(r *catalog.Rate, group []activity.Attribute, t int64, zone *time.Location) *catalog.Rate {
	for _, d := range r.Matrix.Dimensions {
		if d.From != "" && !slices.ContainsFunc(group, func(a activity.Attribute) bool { return a.Name == d.From }) {
			return nil
		}
	}
	return rater.Selected(r, &usage.Event{Attributes: group, Time: t}, zone)
}

// nextStep reads the step off the rate's definition; nil where a price list does not tell it: what is included, a maximum, units by day and
// events that are priced whole make the next unit's price depend on more than its place in the tiers.
func nextStep(r *catalog.Rate, q money.Decimal) *NextStep {
	if r.Included.Sign() > 0 || r.Maximum.Sign() > 0 || r.ProrateByDay || r.WholeEvents {
		return nil
	}
	switch r.Model {
	case catalog.ModelFlat:
		return &NextStep{UnitPrice: &money.Decimal{}}
	case catalog.ModelPerUnit:
		return &NextStep{UnitPrice: &r.UnitPrice}
	case catalog.ModelGraduated, catalog.ModelVolume:
		return nextTier(r, q)
	case catalog.ModelPackage:
		return nextPackage(r, q)
	}
	return nil
}

// nextTier finds the tier that what comes after q falls in: a tier is full when q has reached its bound,
// whichever tier the bound itself belongs to.
func nextTier(r *catalog.Rate, q money.Decimal) *NextStep {
	step := &NextStep{}
	for i := range r.Tiers {
		tier := &r.Tiers[i]
		step.UnitPrice = &tier.UnitPrice
		if tier.Last {
			return step
		}
		if q.Cmp(tier.UpTo) < 0 {
			step.UpTo = &tier.UpTo
			if i+1 < len(r.Tiers) {
				step.Then = &r.Tiers[i+1].UnitPrice
			}
			return step
		}
		step.From = tier.UpTo
	}
	return step
}

// nextPackage: inside a package that is paid the next unit costs nothing, at its end the next package is due.
func nextPackage(r *catalog.Rate, q money.Decimal) *NextStep {
	free := &money.Decimal{}
	if q.Cmp(r.Free) < 0 {
		return &NextStep{UpTo: &r.Free, UnitPrice: free, Then: &r.Price}
	}
	used, err := q.Sub(r.Free)
	if err != nil {
		return nil
	}
	packages, err := money.CeilDiv(used, r.Size)
	if err != nil {
		return nil
	}
	end, err := packages.Mul(r.Size)
	if err == nil {
		end, err = end.Add(r.Free)
	}
	if err != nil {
		return nil
	}
	if end.Cmp(q) > 0 {
		from, err := end.Sub(r.Size)
		if err != nil {
			return nil
		}
		return &NextStep{From: from, UpTo: &end, UnitPrice: free, Then: &r.Price}
	}
	until, err := end.Add(r.Size)
	if err != nil {
		return nil
	}
	return &NextStep{From: end, UpTo: &until, UnitPrice: &r.Price, Then: &r.Price}
}
