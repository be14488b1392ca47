package price

import (
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// eventQuantity gives the quantity that an event counts with: rounded when the rate rounds events,
// then raised to the telecom increments.
func eventQuantity(r *catalog.Rounding, q money.Decimal) (money.Decimal, error) {
	var err error
	if r.PerEvent && r.Mode != money.RoundNone {
		if q, err = q.Round(r.Precision, r.Mode); err != nil {
			return money.Decimal{}, err
		}
	}
	if r.Next.Sign() > 0 {
		return increments(r.First, r.Next, q)
	}
	return q, nil
}

// totalQuantity gives the quantity that is priced when the rate rounds totals.
func totalQuantity(r *catalog.Rounding, q money.Decimal) (money.Decimal, error) {
	if r.PerEvent || r.Mode == money.RoundNone {
		return q, nil
	}
	return q.Round(r.Precision, r.Mode)
}

// increments bills at least first, then steps of next. A correction with a negative quantity is
// raised alike, so that it takes back exactly what the same positive quantity was billed; zero,
// which is its own opposite, is no use and stays zero.
func increments(first, next, q money.Decimal) (money.Decimal, error) {
	if q.IsZero() {
		return q, nil
	}
	billed := first
	if beyond, err := q.Abs().Sub(first); err != nil {
		return money.Decimal{}, err
	} else if beyond.Sign() > 0 {
		steps, err := money.CeilDiv(beyond, next)
		if err != nil {
			return money.Decimal{}, err
		}
		if beyond, err = steps.Mul(next); err != nil {
			return money.Decimal{}, err
		}
		if billed, err = first.Add(beyond); err != nil {
			return money.Decimal{}, err
		}
	}
	if q.Sign() < 0 {
		billed = billed.Neg()
	}
	return billed, nil
}
