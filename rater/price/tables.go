package price

import (
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// method is a rating method: total prices a quantity of at least one event, terms spells out the
// same arithmetic for a reader, so that the terms sum to the total.
type method struct {
	model catalog.Model
	total func(r *catalog.Rate, q money.Decimal) (money.Decimal, error)
	terms func(r *catalog.Rate, q money.Decimal) []term
}

// methods holds every rating method. It is searched in this order for every event, which takes less
// time than a map does.
var methods = [...]method{
	{catalog.ModelPerUnit, perUnitTotal, perUnitTerms},
	{catalog.ModelGraduated, graduatedTotal, graduatedTerms},
	{catalog.ModelVolume, volumeTotal, volumeTerms},
	{catalog.ModelPackage, packageTotal, packageTerms},
	{catalog.ModelFlat, flatTotal, flatTerms},
	{catalog.ModelBlockGraduated, blockGraduatedTotal, blockGraduatedTerms},
	{catalog.ModelBlockVolume, blockVolumeTotal, blockVolumeTerms},
}

// methodOf gives nil for an unknown method.
func methodOf(r *catalog.Rate) *method {
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
	quantity      func(s State) money.Decimal
	takesNegative bool
}

// aggregations holds every aggregation; sum is the default.
var aggregations = [...]aggregation{
	{catalog.AggregationSum, sumQuantity, true},
	{catalog.AggregationCount, countQuantity, false},
	{"", sumQuantity, true},
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

func sumQuantity(s State) money.Decimal { return s.Sum }

func countQuantity(s State) money.Decimal { return money.FromInt(s.Events) }
