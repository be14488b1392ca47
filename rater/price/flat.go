package price

import (
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// flatTotal: the amount as soon as one event arrived, whatever its quantity.
func flatTotal(r *catalog.Rate, _ money.Decimal) (money.Decimal, error) { return r.Amount, nil }

func flatTerms(r *catalog.Rate, _ money.Decimal) []term {
	return []term{fixed("flat amount", r.Amount)}
}
