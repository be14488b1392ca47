package catalog

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
)

// checkRate checks what a rate says by itself.
func (r *reader) checkRate(d *rateDef) {
	at := &d.at
	if d.Model == "" {
		if !r.reported(at) {
			r.fail(at.member("model"), "is missing: use one of %s", listed(models, ", "))
		}
		return
	}
	r.checkModelMembers(d)
	r.checkLimits(d)
	switch Model(d.Model) {
	case ModelGraduated, ModelVolume:
		r.checkTierMembers(d)
		r.checkTiers(d)
	case ModelBlockGraduated, ModelBlockVolume:
		r.checkTierMembers(d)
		r.checkBlocks(d)
	case ModelMatrix:
		r.checkMatrix(d)
	case ModelCapacity:
		r.checkTierMembers(d)
		r.checkCapacity(d)
	case ModelGraduatedPercentage:
		r.checkTierMembers(d)
		r.checkTiers(d)
	case ModelPercentage:
		r.checkPercentage(d)
	case ModelPackage:
		if d.Size != nil && d.Size.Sign() <= 0 {
			r.fail(at.member("size"), "must be greater than 0, not %s", d.Size)
		}
		if d.Free.Sign() < 0 {
			r.fail(at.member("free"), "must not be below 0, not %s", d.Free)
		}
	}
	r.checkQuantity(d, d)
	r.checkSplit(d)
	r.checkPool(d)
	if d.level != "" && d.Aggregation != string(AggregationTimeWeighted) {
		r.fail(at.member("level"), "is a member of the aggregation time_weighted: leave it out or write aggregation: time_weighted")
	}
	switch unique := d.Aggregation == string(AggregationUnique); {
	case unique && d.Attribute == "" && !r.reportedAt(at.member("attribute")):
		r.fail(at.member("attribute"), "is missing: the aggregation unique counts the values of an attribute, write which one")
	case !unique && d.Attribute != "":
		r.fail(at.member("attribute"), "is a member of the aggregation unique: leave it out or write aggregation: unique")
	}
}

// moneyModels price the money values of events, which are added up as they are.
var moneyModels = []Model{ModelPercentage, ModelGraduatedPercentage, ModelDynamic}

// checkQuantity checks that how events become a quantity suits the model. A price inside a matrix takes that from the rate
// around it, which says it.
func (r *reader) checkQuantity(d, says *rateDef) {
	aggregation, rounding := says.at.member("aggregation"), says.at.member("rounding")
	if slices.Contains(moneyModels, Model(d.Model)) {
		if says.Aggregation != "" {
			r.failOnce(aggregation, "cannot be %s with the model %s, which adds up money: leave it out", says.Aggregation, d.Model)
		}
		if says.Rounding != (roundingDef{}) {
			r.failOnce(rounding, "rounds quantities, and the model %s prices money: leave it out", d.Model)
		}
	}
	if d.Split == nil || Model(d.Model) != ModelGraduated {
		return
	}
	if a := says.Aggregation; a != "" && Aggregation(a) != AggregationCount {
		r.failOnce(aggregation, "cannot be %s where split is false, because each event needs a place of its own: use sum or count", a)
	}
	if says.Rounding.Mode != "" && says.Rounding.On != roundingOnEvent {
		r.failOnce(rounding, "must be on: event where split is false, because each event is priced by itself")
	}
}

// checkSplit checks what does not go with events that are priced whole.
func (r *reader) checkSplit(d *rateDef) {
	switch {
	case d.Split == nil || Model(d.Model) != ModelGraduated:
	case d.ZeroUsageFlat != "":
		r.fail(d.at.member("zero_usage_flat"), "has no meaning where split is false: a flat price is due when its tier is first reached")
	case !d.Included.IsZero():
		r.fail(d.at.member("included"), "cannot be taken off events that are priced whole: use a first tier with unit_price 0, or leave split out")
	case d.Prorate != "":
		r.fail(d.at.member("prorate"), "cannot count units by day where split is false: leave one of them out")
	}
}

func (r *reader) checkPercentage(d *rateDef) {
	if d.FreeAmount.Sign() < 0 {
		r.fail(d.at.member("free_amount"), "must not be below 0, not %s", d.FreeAmount)
	}
	if d.Min != nil && d.Max != nil && d.Min.Cmp(*d.Max) > 0 {
		r.fail(d.at.member("max"), "must not be below min (%s), not %s", d.Min, d.Max)
	}
}

// reported says whether something below the place was refused already.
func (r *report) reported(at *place) bool {
	path := at.path()
	return slices.ContainsFunc(r.issues.List, func(i Issue) bool { return strings.HasPrefix(i.Path, path+".") })
}

// checkModelMembers checks that the members of the rate's model are there and no other model's.
func (r *reader) checkModelMembers(d *rateDef) {
	members := []struct {
		name             string
		written, missing bool // missing: the models need it and it is not there
		models           []Model
	}{
		{"amount", d.Amount != nil, d.Amount == nil, []Model{ModelFlat}},
		{"unit_price", d.UnitPrice != nil, d.UnitPrice == nil, []Model{ModelPerUnit}},
		{"expression", d.Expression != "", d.Expression == "", []Model{ModelFormula}},
		{"method", d.Method != "", d.Method == "", []Model{ModelCustom}},
		{"parameters", len(d.Parameters) > 0, false, []Model{ModelCustom}},
		{"tiers", len(d.Tiers) > 0, len(d.Tiers) == 0, []Model{ModelGraduated, ModelVolume, ModelBlockGraduated, ModelBlockVolume, ModelGraduatedPercentage, ModelCapacity}},
		{"size", d.Size != nil, d.Size == nil, []Model{ModelPackage}},
		{"price", d.Price != nil, d.Price == nil, []Model{ModelPackage}},
		{"free", !d.Free.IsZero(), false, []Model{ModelPackage}},
		{"dimensions", len(d.Dimensions) > 0, len(d.Dimensions) == 0, []Model{ModelMatrix}},
		{"prices", len(d.Prices) > 0, len(d.Prices) == 0, []Model{ModelMatrix}},
		{"default", d.Default != nil, false, []Model{ModelMatrix}},
		{"prorate", d.Prorate != "", false, []Model{ModelGraduated, ModelVolume}},
		{"rate", d.Rate != nil, d.Rate == nil, []Model{ModelPercentage}},
		{"fixed", !d.Fixed.IsZero(), false, []Model{ModelPercentage}},
		{"free_events", d.FreeEvents != 0, false, []Model{ModelPercentage}},
		{"free_amount", !d.FreeAmount.IsZero(), false, []Model{ModelPercentage}},
		{"min", d.Min != nil, false, []Model{ModelPercentage}},
		{"max", d.Max != nil, false, []Model{ModelPercentage}},
		{"bounds", d.Bounds != "", false, []Model{ModelGraduated, ModelVolume, ModelBlockVolume, ModelGraduatedPercentage}},
		{"zero_usage_flat", d.ZeroUsageFlat != "", false, []Model{ModelGraduated, ModelVolume, ModelGraduatedPercentage}},
		{"split", d.Split != nil, false, []Model{ModelGraduated}},
	}
	for _, m := range members {
		belongs := slices.Contains(m.models, Model(d.Model))
		member := d.at.member(m.name)
		switch {
		case belongs && m.missing && !r.reportedAt(member):
			r.fail(member, "is missing: the model %s needs it", d.Model)
		case !belongs && m.written:
			r.fail(member, "is a member of %s, not of the model %s", listed(m.models, " and "), d.Model)
		}
	}
	r.checkOwn(d)
}

// includedAdvice says what to do instead where units cannot be included.
var includedAdvice = map[Model]string{
	ModelFlat:       "a flat amount does not depend on units",
	ModelMatrix:     "write it on the entries that have units of their own included",
	ModelPercentage: "use free_amount",
	ModelDynamic:    "each event costs the amount that it carries",
	ModelCapacity:   "raise the limits of its tiers",
}

// checkLimits checks what is included, and the bounds of the amount.
func (r *reader) checkLimits(d *rateDef) {
	included := d.at.member("included")
	if advice := includedAdvice[Model(d.Model)]; advice != "" && !d.Included.IsZero() {
		r.fail(included, "is no member of the model %s: %s", d.Model, advice)
	} else if d.Included.Sign() < 0 {
		r.fail(included, "must not be below 0, not %s", d.Included)
	}
	minimum := d.at.member("minimum")
	switch {
	case d.Minimum.Sign() < 0:
		r.fail(minimum, "must not be below 0, not %s", d.Minimum)
	case d.Maximum.Sign() > 0 && d.Minimum.Cmp(d.Maximum) > 0:
		r.fail(minimum, "must not be above the maximum (%s), not %s", d.Maximum, d.Minimum)
	case d.MinimumByDay && d.Minimum.IsZero():
		r.fail(d.at.member("minimum_prorated"), "has no meaning without a minimum: leave it out")
	}
	r.checkProrate(d, d)
}

// checkProrate takes the aggregation from the rate that says it, which for a price inside a matrix is the outer one.
func (r *reader) checkProrate(d, says *rateDef) {
	if d.Prorate != "" && says.Aggregation != "" {
		r.fail(d.at.member("prorate"), "needs the aggregation sum, not %s: it counts the units that each day adds", says.Aggregation)
	}
}

func (r *report) reportedAt(at *place) bool {
	path := at.path()
	return slices.ContainsFunc(r.issues.List, func(i Issue) bool {
		return i.Path == path || strings.HasPrefix(i.Path, path+"[") || strings.HasPrefix(i.Path, path+".")
	})
}

func listed(models []Model, between string) string {
	names := make([]string, len(models))
	for i, m := range models {
		names[i] = string(m)
	}
	return strings.Join(names, between)
}

// checkTierMembers checks that each tier says what the model needs and no other model's members.
func (r *reader) checkTierMembers(d *rateDef) {
	perUnit, blocks := []Model{ModelGraduated, ModelVolume}, []Model{ModelBlockGraduated, ModelBlockVolume}
	percent, bounded := []Model{ModelGraduatedPercentage}, []Model{ModelGraduated, ModelVolume, ModelGraduatedPercentage}
	capacity := []Model{ModelCapacity}
	for i := range d.Tiers {
		t := &d.Tiers[i]
		for _, m := range []struct {
			name              string
			written, required bool
			models            []Model
		}{
			{"up_to", t.UpTo != nil, false, bounded},
			{"unit_price", !t.UnitPrice.IsZero(), false, perUnit},
			{"flat_price", !t.FlatPrice.IsZero(), false, bounded},
			{"rate", t.Rate != nil, true, percent},
			{"block_size", t.BlockSize != nil, true, blocks},
			{"max_blocks", t.MaxBlocks != nil, false, blocks},
			{"price", t.Price != nil, true, slices.Concat(blocks, capacity)},
			{"limits", len(t.Limits) > 0, false, capacity},
		} {
			belongs := slices.Contains(m.models, Model(d.Model))
			switch member := t.at.member(m.name); {
			case belongs && m.required && !m.written && !r.reportedAt(member):
				r.fail(member, "is missing: a tier of the model %s needs it", d.Model)
			case !belongs && m.written:
				r.fail(member, "is a member of the tiers of %s, not of the model %s", listed(m.models, " and "), d.Model)
			}
		}
	}
}

func (r *reader) checkTiers(d *rateDef) {
	last := len(d.Tiers) - 1
	var before money.Decimal
	for i := range d.Tiers {
		t := &d.Tiers[i]
		upTo := t.at.member("up_to")
		switch {
		case t.UpTo == nil && i < last:
			if !r.reportedAt(upTo) {
				r.fail(upTo, "is missing: only the last tier is open")
			}
			continue
		case t.UpTo == nil:
			continue
		case i == last:
			r.fail(upTo, "must be left out: the last tier is open")
		case i == 0 && t.UpTo.Sign() <= 0:
			r.fail(upTo, "must be greater than 0, not %s", t.UpTo)
		case i > 0 && t.UpTo.Cmp(before) <= 0:
			r.fail(upTo, "must be greater than the tier before (%s)", before)
		}
		before = *t.UpTo
	}
}

// checkBlocks checks sizes and counts, and that the units of all blocks stay countable.
func (r *reader) checkBlocks(d *rateDef) {
	last := len(d.Tiers) - 1
	var bound money.Decimal
	for i := range d.Tiers {
		t := &d.Tiers[i]
		if t.BlockSize != nil && t.BlockSize.Sign() <= 0 {
			r.fail(t.at.member("block_size"), "must be greater than 0, not %s", t.BlockSize)
		}
		most := t.at.member("max_blocks")
		switch {
		case t.MaxBlocks == nil:
			if i < last && !r.reportedAt(most) {
				r.fail(most, "is missing: only the last tier is open")
			}
			continue
		case i == last:
			r.fail(most, "must be left out: the last tier is open")
			continue
		}
		if whole, err := t.MaxBlocks.Round(0, money.RoundFloor); err != nil || whole != *t.MaxBlocks || whole.Sign() <= 0 {
			r.fail(most, "must be a whole number greater than 0, not %s", t.MaxBlocks)
		} else if bound, err = blockBound(bound, t); err != nil || !bound.WithinLimit() {
			r.fail(most, "makes the tier end above 10^15 units: use fewer or smaller blocks")
		}
	}
}

// blockBound gives the units up to the end of the tier, which follows the bound before it.
func blockBound(before money.Decimal, t *tierDef) (money.Decimal, error) {
	units, err := orZero(t.BlockSize).Mul(orZero(t.MaxBlocks))
	if err != nil {
		return money.Decimal{}, err
	}
	return before.Add(units)
}

// rateOwner is what rates take from the definition that holds them when they are finished.
type rateOwner struct {
	prefix   string // of derived ids: "product:api-calls"
	currency string // the default
	zone     *time.Location
	product  string // of rates that do not name one
	start    Bound  // of a provision: part of derived ids
	from, to int64  // the owner's period
	what     string // the owner's period in words, for refusals
}

// finishRates resolves dates, gives each rate its currency and id, and refuses rates that never
// take effect.
func (v *revision) finishRates(o rateOwner, rates []*rateDef) {
	v.limitedProducts(rates)
	for _, d := range rates {
		d.Start.resolve(o.zone)
		d.End.resolve(o.zone)
		if d.Currency == "" {
			if d.Currency = o.currency; d.Currency == "" && !v.granted {
				v.fail(d.at.member("currency"), "is missing, and the catalogue has no default: write currency at the top")
			}
		}
		if d.Product == "" && o.product == "" {
			v.failOnce(d.at.member("product"), "is missing: name the product")
		}
		v.groups(d, orElse(d.Product, o.product))
		if d.ID == "" {
			d.ID = o.deriveID(d)
		} else {
			v.chosenIDs = append(v.chosenIDs, chosenID{&d.at, d.ID, d, orElse(d.Product, o.product)})
		}
		switch start, end := d.Start.startAt(), d.End.endAt(); {
		case start >= end:
			v.fail(d.at.member("end"), "must be after start (%s)", d.Start)
		case max(start, o.from) >= min(end, o.to):
			v.fail(&d.at, "never takes effect: it runs from %s to %s, %s", d.Start, d.End, o.what)
		}
	}
}

// deriveID names a rate by its place, so that a change of its price keeps the id.
func (o rateOwner) deriveID(d *rateDef) string {
	id := o.prefix
	if d.Package != "" {
		id += "/" + d.Package
	}
	if d.Product != "" {
		id += "/" + d.Product
	}
	start := d.Start
	if start.IsZero() {
		start = o.start
	}
	if !start.IsZero() {
		id += "@" + start.in(o.zone)
	}
	if d.Currency != o.currency {
		id += "#" + d.Currency
	}
	return id
}

// listedRate is a rate of one level of one owner, with the period in which it can answer.
type listedRate struct {
	product, pkg, currency string
	start, end             int64
	id                     string
	at                     *place // nil: stored, not in the document
	owner                  string // named when it is not in the document
}

func listRates(into []listedRate, rates []*rateDef, product string, from, to int64) []listedRate {
	for _, d := range rates {
		p := product
		if p == "" {
			p = d.Product
		}
		start, end := max(d.Start.startAt(), from), min(d.End.endAt(), to)
		into = append(into, listedRate{p, d.Package, d.Currency, start, end, d.ID, &d.at, ""})
	}
	return into
}

// refuseOverlaps refuses rates of one level that would answer for the same product, package and
// currency at the same time; each refusal names both.
func (v *revision) refuseOverlaps(rates []listedRate) {
	slices.SortStableFunc(rates, func(a, b listedRate) int {
		return cmp.Or(strings.Compare(a.product, b.product), strings.Compare(a.pkg, b.pkg), strings.Compare(a.currency, b.currency), cmp.Compare(a.start, b.start))
	})
	longest := 0 // the rate of the group that ends last so far
	for i := 1; i < len(rates); i++ {
		a, b := &rates[longest], &rates[i]
		if a.product != b.product || a.pkg != b.pkg || a.currency != b.currency {
			longest = i
			continue
		}
		if b.start < a.end && a.start < a.end && b.start < b.end {
			first, second := a, b
			if second.at == nil || first.at != nil && second.at.line < first.at.line {
				first, second = b, a
			}
			v.fail(second.at, "overlaps with %s for %s: %s is in effect from %s to %s, %s from %s to %s; give one an end or a later start",
				first.name(), second.product, second.id, instantText(second.start), instantText(second.end),
				first.id, instantText(first.start), instantText(first.end))
		}
		if b.end > a.end {
			longest = i
		}
	}
}

func (l *listedRate) name() string {
	if l.at == nil {
		return l.owner
	}
	return fmt.Sprintf("%s (line %d)", l.at.path(), l.at.line)
}
