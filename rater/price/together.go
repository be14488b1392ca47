package price

import (
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// Together says of events that were added up before they are priced as much as decides whether that makes a difference.
type Together struct {
	Events int64
	Lowest money.Decimal // of their quantities

	// Of all events that may be in a state with them, they included.
	Among     int64
	Magnitude money.Decimal // the sum of the quantities without their signs
}

// mostTogether is far from where amounts overflow, however many segments add up.
var mostTogether = func() money.Decimal {
	most, err := money.Limit.Mul(money.FromInt(100_000))
	if err != nil {
		panic(err)
	}
	return most
}()

// AddsUp says whether the events may be given to Aggregate as one, of the sum of their quantities, which Input.Events counts: what r adds up
// is the quantities as they are, r refuses none of them, and no total on the way there overflows, in whatever order they come.
func AddsUp(r *catalog.Rate, of Together) bool {
	if kindOf(r) != kindQuantity || r.WholeEvents || r.ProrateByDay || r.Rounding.PerEvent && r.Rounding.Mode != money.RoundNone || r.Rounding.Next.Sign() > 0 {
		return false
	}
	q := of.Magnitude
	if aggregationOf(r).counts {
		if of.Lowest.Sign() < 0 {
			return false
		}
		q = money.FromInt(of.Among)
	}
	q, err := q.Round(r.Rounding.Precision, upwards(&r.Rounding))
	if err != nil {
		return false
	}
	most, err := mostOf(r, q)
	return err == nil && most.Cmp(mostTogether) <= 0
}

func upwards(r *catalog.Rounding) money.RoundingMode {
	if r.Mode == money.RoundNone {
		return money.RoundNone
	}
	return money.RoundCeil
}

// mostOf gives a bound of the total of any quantity from −q to q, which the total of each tier by itself adds up to; ErrUnsupported of
// methods that have none.
func mostOf(r *catalog.Rate, q money.Decimal) (most money.Decimal, err error) {
	add := func(amount money.Decimal, failed error) {
		if err == nil {
			err = failed
		}
		if err == nil {
			most, err = most.Add(amount.Abs())
		}
	}
	blocks := func(size, price money.Decimal) {
		n, failed := money.CeilDiv(q, size)
		add(n, failed)
		if err == nil {
			add(n.Mul(price))
		}
	}
	switch r.Model {
	case catalog.ModelFlat:
		add(r.Amount, nil)
	case catalog.ModelPerUnit:
		add(q.Mul(r.UnitPrice))
	case catalog.ModelGraduated, catalog.ModelVolume:
		for i := range r.Tiers {
			add(q.Mul(r.Tiers[i].UnitPrice))
			add(r.Tiers[i].FlatPrice, nil)
		}
	case catalog.ModelPackage:
		blocks(r.Size, r.Price)
	case catalog.ModelBlockGraduated, catalog.ModelBlockVolume:
		for i := range r.Blocks {
			blocks(r.Blocks[i].Size, r.Blocks[i].Price)
		}
	default:
		return most, ErrUnsupported
	}
	return most, err
}
