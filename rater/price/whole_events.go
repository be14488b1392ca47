package price

import (
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// wholeEvents is graduated with split: false, in log order: a whole event costs the unit price of the tier in which it
// ends, and a tier's flat price is due when the tier is first reached.
var wholeEvents = method{model: catalog.ModelGraduated, stateTotal: wholeEventsTotal, stateTerms: wholeEventsTerms}

func wholeEventsTotal(_ *catalog.Rate, s State) (money.Decimal, error) { return s.Exact.Quo(100) }

func wholeEventsTerms(_ *catalog.Rate, s State) []term { return chargesTerms(s) }

// addWhole adds one more event of the quantity q, and with its charge. The highest position at which an event ended
// says which tiers were reached; of rates before that split events it is not known and their quantity stands for it.
func (s *State) addWhole(r *catalog.Rate, before *State, q money.Decimal) error {
	if len(r.Tiers) == 0 {
		return noTiers(r)
	}
	from, err := aggregated(r, s)
	if err != nil {
		return err
	}
	highest := s.Peak
	if before != nil {
		earlier, err := aggregated(r, before)
		if err != nil {
			return err
		}
		if from, err = from.Add(earlier); err != nil {
			return err
		}
		highest = larger(highest, larger(before.Peak, earlier))
	}
	units := q
	if r.Aggregation == catalog.AggregationCount {
		units = money.One
	}
	to, err := from.Add(units)
	if err != nil {
		return err
	}
	charge, err := wholeCharge(r, highest, to, units)
	if err != nil {
		return err
	}
	s.Exact.AddWide(&charge)
	if err := s.Exact.Err(); err != nil {
		return err
	}
	s.Peak = larger(s.Peak, to)
	return s.add(q)
}

// wholeCharge gives a hundred times the charge of units that end at the position to.
func wholeCharge(r *catalog.Rate, highest, to, units money.Decimal) (charge money.Wide, err error) {
	reached, now := lastReached(r, highest), lastReached(r, to)
	price := r.Tiers[max(now, 0)].UnitPrice
	if price, err = price.Mul(hundred); err != nil {
		return money.Wide{}, err
	}
	charge.AddProduct(units, price)
	for i := reached + 1; i <= now; i++ {
		charge.AddProduct(r.Tiers[i].FlatPrice, hundred)
	}
	return charge, nil
}

// lastReached gives the index of the tier that q falls in, -1 where none is reached.
func lastReached(r *catalog.Rate, q money.Decimal) int {
	if q.Sign() <= 0 {
		return -1
	}
	return tierOf(r, q)
}
