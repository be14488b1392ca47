package price

import (
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// method is a rating method: total prices a quantity of at least one event, terms spells out the
// same arithmetic for a reader, so that the terms sum to the total.
type method struct {
	total func(r *catalog.Rate, q money.Decimal) (money.Decimal, error)
	terms func(r *catalog.Rate, q money.Decimal) []term
}

// methods holds every rating method, by its name in the catalogue.
var methods = map[catalog.Model]method{
	catalog.ModelFlat:      {flatTotal, flatTerms},
	catalog.ModelPerUnit:   {perUnitTotal, perUnitTerms},
	catalog.ModelGraduated: {graduatedTotal, graduatedTerms},
	catalog.ModelVolume:    {volumeTotal, volumeTerms},
	catalog.ModelPackage:   {packageTotal, packageTerms},
}

// aggregation says which quantity of a state is priced, and whether a negative quantity unwinds it.
type aggregation struct {
	quantity      func(s State) money.Decimal
	takesNegative bool
}

// aggregations holds every aggregation, by its name in the catalogue; sum is the default.
var aggregations = map[catalog.Aggregation]aggregation{
	"":                       {sumQuantity, true},
	catalog.AggregationSum:   {sumQuantity, true},
	catalog.AggregationCount: {countQuantity, false},
}

func sumQuantity(s State) money.Decimal { return s.Sum }

func countQuantity(s State) money.Decimal { return money.FromInt(s.Events) }
