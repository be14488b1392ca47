package price

import (
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// dynamicTotal: the amounts that the events themselves carry.
func dynamicTotal(_ *catalog.Rate, v money.Decimal) (money.Decimal, error) { return v, nil }

func dynamicTerms(_ *catalog.Rate, v money.Decimal) []term {
	return []term{fixed("amounts of the events", v)}
}
