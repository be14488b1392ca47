package price

import (
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// perUnitTotal: q × unit price.
func perUnitTotal(r *catalog.Rate, q money.Decimal) (money.Decimal, error) { return q.Mul(r.UnitPrice) }

func perUnitTerms(r *catalog.Rate, q money.Decimal) []term {
	return []term{{label: "units", units: q, price: r.UnitPrice}}
}
