package price

import (
	"math/big"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// The oracle: slow and obvious, with fractions, written from pricing.md §3 to §5 and not from the
// code. Its state is the list of the events themselves.

type oracleEvent struct{ quantity money.Decimal }

type oracleSegment struct {
	rate   *catalog.Rate
	events []oracleEvent
}

func rat(d money.Decimal) *big.Rat {
	r, ok := new(big.Rat).SetString(d.Fixed())
	if !ok {
		panic(d.Fixed())
	}
	return r
}

func ratInt(n int64) *big.Rat { return new(big.Rat).SetInt64(n) }

func ratPlus(a, b *big.Rat) *big.Rat  { return new(big.Rat).Add(a, b) }
func ratMinus(a, b *big.Rat) *big.Rat { return new(big.Rat).Sub(a, b) }
func ratTimes(a, b *big.Rat) *big.Rat { return new(big.Rat).Mul(a, b) }

// oracleFloor gives the largest whole number at most x.
func oracleFloor(x *big.Rat) *big.Rat {
	return new(big.Rat).SetInt(new(big.Int).Div(x.Num(), x.Denom()))
}

func oracleCeil(x *big.Rat) *big.Rat {
	return new(big.Rat).Neg(oracleFloor(new(big.Rat).Neg(x)))
}

// oracleRound rounds to a multiple of 10^-places.
func oracleRound(x *big.Rat, places int, mode money.RoundingMode) *big.Rat {
	unit := ratInt(1)
	for range places {
		unit.Quo(unit, ratInt(10))
	}
	for range -places {
		unit.Mul(unit, ratInt(10))
	}
	n := new(big.Rat).Quo(x, unit)
	half := big.NewRat(1, 2)
	switch mode {
	case money.RoundNone:
		return x
	case money.RoundCeil:
		n = oracleCeil(n)
	case money.RoundFloor:
		n = oracleFloor(n)
	case money.RoundHalfUp:
		if n.Sign() >= 0 {
			n = oracleFloor(ratPlus(n, half))
		} else {
			n = oracleCeil(ratMinus(n, half))
		}
	case money.RoundHalfEven:
		below := oracleFloor(n)
		off := ratMinus(n, below).Cmp(half)
		if off > 0 || (off == 0 && below.Num().Bit(0) == 1) {
			below.Add(below, ratInt(1))
		}
		n = below
	}
	return n.Mul(n, unit)
}

// oracleQuantity aggregates events and rounds.
func oracleQuantity(r *catalog.Rate, segments []oracleSegment) *big.Rat {
	q := ratInt(0)
	for _, s := range segments {
		for _, event := range s.events {
			if r.Aggregation == catalog.AggregationCount {
				q.Add(q, ratInt(1))
			} else {
				q.Add(q, oracleBilled(s.rate, rat(event.quantity))) // as its own segment's rate rounds it
			}
		}
	}
	if !r.Rounding.PerEvent {
		q = oracleRound(q, r.Rounding.Precision, r.Rounding.Mode)
	}
	return q
}

// oracleBilled gives the quantity of an event after rounding and telecom increments.
func oracleBilled(r *catalog.Rate, q *big.Rat) *big.Rat {
	if r.Rounding.PerEvent {
		q = oracleRound(q, r.Rounding.Precision, r.Rounding.Mode)
	}
	next := rat(r.Rounding.Next)
	if next.Sign() == 0 || q.Sign() == 0 {
		return q
	}
	size, billed := new(big.Rat).Abs(q), rat(r.Rounding.First)
	if size.Cmp(billed) > 0 {
		steps := oracleCeil(new(big.Rat).Quo(ratMinus(size, billed), next))
		billed = ratPlus(billed, ratTimes(steps, next))
	}
	if q.Sign() < 0 {
		billed.Neg(billed)
	}
	return billed
}

// oracleTotal prices all the events of the segments under r.
func oracleTotal(r *catalog.Rate, segments []oracleSegment) *big.Rat {
	events := 0
	for _, s := range segments {
		events += len(s.events)
	}
	if events == 0 {
		return ratInt(0)
	}
	q := oracleQuantity(r, segments)
	total := ratInt(0)
	switch r.Model {
	case catalog.ModelFlat:
		total = rat(r.Amount)
	case catalog.ModelPerUnit:
		total = ratTimes(q, rat(r.UnitPrice))
	case catalog.ModelPackage:
		if beyond := ratMinus(q, rat(r.Free)); beyond.Sign() > 0 {
			total = ratTimes(oracleCeil(beyond.Quo(beyond, rat(r.Size))), rat(r.Price))
		}
	case catalog.ModelGraduated, catalog.ModelVolume:
		total = oracleTiers(r, q)
	case catalog.ModelBlockGraduated, catalog.ModelBlockVolume:
		total = oracleBlocks(r, q)
	}
	return oracleRound(total, 12, money.RoundHalfUp)
}

func oracleTiers(r *catalog.Rate, q *big.Rat) *big.Rat {
	first := r.Tiers[0]
	if q.Sign() < 0 {
		return ratTimes(q, rat(first.UnitPrice))
	}
	if q.Sign() == 0 {
		if r.ChargeFlatAtZero {
			return rat(first.FlatPrice)
		}
		return ratInt(0)
	}
	total, below := ratInt(0), ratInt(0)
	for _, tier := range r.Tiers {
		inside := tier.Last || q.Cmp(rat(tier.UpTo)) < 0 || (q.Cmp(rat(tier.UpTo)) == 0 && !r.HalfOpenBounds)
		if r.Model == catalog.ModelVolume {
			if inside {
				return ratPlus(ratTimes(q, rat(tier.UnitPrice)), rat(tier.FlatPrice))
			}
			continue
		}
		upper := q
		if !inside {
			upper = rat(tier.UpTo)
		}
		total.Add(total, ratTimes(ratMinus(upper, below), rat(tier.UnitPrice)))
		total.Add(total, rat(tier.FlatPrice))
		if inside {
			return total
		}
		below = upper
	}
	panic("no tier holds the quantity")
}

// oracleBlocks fills blocks one after another.
func oracleBlocks(r *catalog.Rate, q *big.Rat) *big.Rat {
	total, below := ratInt(0), ratInt(0)
	if q.Sign() <= 0 {
		return total
	}
	for _, tier := range r.Blocks {
		upper := ratPlus(below, ratTimes(rat(tier.Size), rat(tier.Count)))
		inside := tier.Last || q.Cmp(upper) < 0 || (q.Cmp(upper) == 0 && !(r.HalfOpenBounds && r.Model == catalog.ModelBlockVolume))
		if inside {
			upper = q
		}
		if r.Model == catalog.ModelBlockVolume {
			below, total = ratInt(0), ratInt(0) // the tiers before do not count
		}
		blocks := oracleCeil(new(big.Rat).Quo(ratMinus(upper, below), rat(tier.Size)))
		total.Add(total, ratTimes(blocks, rat(tier.Price)))
		if inside {
			return total
		}
		below = upper
	}
	panic("no tier holds the quantity")
}

// oracleLine is the sum of §3 over the segments, each as the difference of two totals.
func oracleLine(segments []oracleSegment) *big.Rat {
	sum, from := ratInt(0), 0
	for k, s := range segments {
		if s.rate.TiersRestart {
			from = k
		}
		sum.Add(sum, oracleTotal(s.rate, segments[from:k+1]))
		sum.Sub(sum, oracleTotal(s.rate, segments[from:k]))
	}
	return sum
}
