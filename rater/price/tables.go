package price

import (
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
	own "github.com/tollstream/tollstream/rater/method"
)

// method is a rating method: total prices a quantity of at least one event, terms spells out the
// same arithmetic for a reader, so that the terms sum to the total. A method that needs more of the state than its
// quantity has stateTotal and stateTerms in their place, one that looks at the line as well lineTotal and lineTerms.
type method struct {
	model      catalog.Model
	total      func(r *catalog.Rate, q money.Decimal) (money.Decimal, error)
	terms      func(r *catalog.Rate, q money.Decimal) []term
	stateTotal func(r *catalog.Rate, s State) (money.Decimal, error)
	stateTerms func(r *catalog.Rate, s State) []term
	lineTotal  func(r *catalog.Rate, s State, line *own.Line) (money.Decimal, error)
	lineTerms  func(r *catalog.Rate, s State, line *own.Line) []term
}

// methods holds every rating method. It is searched in this order for every event, which takes less
// time than a map does.
var methods = [...]method{
	{model: catalog.ModelPerUnit, total: perUnitTotal, terms: perUnitTerms},
	{model: catalog.ModelGraduated, total: graduatedTotal, terms: graduatedTerms},
	{model: catalog.ModelVolume, total: volumeTotal, terms: volumeTerms},
	{model: catalog.ModelPackage, total: packageTotal, terms: packageTerms},
	{model: catalog.ModelFlat, total: flatTotal, terms: flatTerms},
	{model: catalog.ModelBlockGraduated, total: blockGraduatedTotal, terms: blockGraduatedTerms},
	{model: catalog.ModelBlockVolume, total: blockVolumeTotal, terms: blockVolumeTerms},
	{model: catalog.ModelPercentage, stateTotal: percentageTotal, stateTerms: percentageTerms},
	{model: catalog.ModelGraduatedPercentage, total: graduatedPercentageTotal, terms: graduatedPercentageTerms},
	{model: catalog.ModelDynamic, total: dynamicTotal, terms: dynamicTerms},
	{model: catalog.ModelFormula, lineTotal: ownTotal, lineTerms: ownTerms},
	{model: catalog.ModelCustom, lineTotal: ownTotal, lineTerms: ownTerms},
}

// prorated holds the methods that count units by day.
var prorated = [...]method{
	{model: catalog.ModelGraduated, stateTotal: proratedGraduatedTotal, stateTerms: proratedTerms},
	{model: catalog.ModelVolume, stateTotal: proratedVolumeTotal, stateTerms: proratedTerms},
}

func proratedMethod(r *catalog.Rate) *method {
	for i := range prorated {
		if prorated[i].model == r.Model && kindOf(r) == kindQuantity && r.Aggregation != catalog.AggregationCount {
			return &prorated[i]
		}
	}
	return nil
}

// methodOf gives nil for an unknown method.
func methodOf(r *catalog.Rate) *method {
	if r.WholeEvents {
		return &wholeEvents
	}
	if r.ProrateByDay {
		return proratedMethod(r)
	}
	for i := range methods {
		if methods[i].model == r.Model {
			return &methods[i]
		}
	}
	return nil
}

// aggregation says which quantity of a state is priced, and whether a negative quantity unwinds it.
type aggregation struct {
	name          catalog.Aggregation
	kind          kind
	counts        bool
	takesNegative bool
	words         string // how a quantity came about, where it is not the sum
}

// aggregations holds every aggregation; sum is the default.
var aggregations = [...]aggregation{
	{name: catalog.AggregationSum, kind: kindQuantity, takesNegative: true},
	{name: catalog.AggregationCount, kind: kindQuantity, counts: true, words: "events are counted"},
	{name: catalog.AggregationMax, kind: kindMax, words: "the largest quantity counts"},
	{name: catalog.AggregationLatest, kind: kindLatest, words: "the latest quantity counts"},
	{name: catalog.AggregationTimeWeighted, kind: kindTimeWeighted, takesNegative: true, words: "the average level of the period counts"},
	{name: catalog.AggregationUnique, kind: kindUnique, words: "distinct values are counted"},
	{name: "", kind: kindQuantity, takesNegative: true},
}

// aggregationOf gives nil for an unknown aggregation.
func aggregationOf(r *catalog.Rate) *aggregation {
	for i := range aggregations {
		if aggregations[i].name == r.Aggregation {
			return &aggregations[i]
		}
	}
	return nil
}

// kind says what a state holds. Tiers continue from one rate to the next where both accumulate states of one kind. The numbers are stored,
// see Shape: a new kind gets the next one.
type kind uint8

const (
	kindUnknown      kind = iota
	kindQuantity          // of sum and count: Sum and Events
	kindMax               // Peak
	kindLatest            // Peak, At and ID
	kindTimeWeighted      // Sum and Exact of the changes, At
	kindMoney             // of the methods that price money: Sum of the values and Events
	kindLevels            // as kindTimeWeighted, and Rest's levels
	kindUnique            // Events, and Rest's values
)

// ofMoney says whether r prices the money values of events.
func ofMoney(r *catalog.Rate) bool {
	switch r.Model {
	case catalog.ModelPercentage, catalog.ModelGraduatedPercentage, catalog.ModelDynamic:
		return true
	}
	return false
}

// kindOf gives the kind of the states that r accumulates.
func kindOf(r *catalog.Rate) kind {
	if ofMoney(r) {
		return kindMoney
	}
	a := aggregationOf(r)
	switch {
	case a == nil:
		return kindUnknown
	case r.AbsoluteLevel && a.kind == kindTimeWeighted:
		return kindLevels
	}
	return a.kind
}

// Shape tells apart what states hold: one of another shape than r's cannot be priced by r, even if its rate had the same id. It is
// stored; 0 is a sum and a number of events. Behind the lowest byte stands whose values are counted, see ShapeOf.
func Shape(r *catalog.Rate) uint64 {
	const (
		charged = 1 << 6 // in log order
		byDay   = 1 << 7
	)
	shape := uint64(kindOf(r) - kindQuantity)
	if InLogOrder(r) {
		shape |= charged
	}
	if r.ProrateByDay {
		shape |= byDay
	}
	if r.Attribute != "" {
		return ShapeOf(uint8(shape), r.Attribute)
	}
	return shape
}

// ShapeOf is the shape whose lowest byte is given, of values of the attribute; "": of none.
func ShapeOf(lowest uint8, attribute string) uint64 {
	if attribute == "" {
		return uint64(lowest)
	}
	hash := uint64(14695981039346656037) // FNV-1a
	for i := range len(attribute) {
		hash = (hash ^ uint64(attribute[i])) * 1099511628211
	}
	return hash<<8 | uint64(lowest)
}

// held is what the states of a rate hold, so that they can be merged with others.
type held struct {
	kind kind
	of   string // the currency of sums of money, the attribute whose values are counted
}

func heldBy(r *catalog.Rate) held {
	k := held{kind: kindOf(r)}
	switch k.kind {
	case kindMoney:
		k.of = r.Currency
	case kindUnique:
		k.of = r.Attribute
	}
	return k
}

// SameKind says whether the states of a and b can be merged, so that tiers continue from one to the other.
func SameKind(a, b *catalog.Rate) bool { return heldBy(a) == heldBy(b) }
