package oracle

import (
	"math/big"
	"slices"
	"time"
)

func num(n int64) *big.Rat { return new(big.Rat).SetInt64(n) }

func add(a, b *big.Rat) *big.Rat { return new(big.Rat).Add(a, b) }
func sub(a, b *big.Rat) *big.Rat { return new(big.Rat).Sub(a, b) }
func mul(a, b *big.Rat) *big.Rat { return new(big.Rat).Mul(a, b) }
func div(a, b *big.Rat) *big.Rat { return new(big.Rat).Quo(a, b) }

// or is x, or 0 where x is absent.
func or(x *big.Rat) *big.Rat {
	if x == nil {
		return new(big.Rat)
	}
	return x
}

func least(a, b *big.Rat) *big.Rat {
	if a.Cmp(b) < 0 {
		return a
	}
	return b
}

func most(a, b *big.Rat) *big.Rat {
	if a.Cmp(b) > 0 {
		return a
	}
	return b
}

// floorInt and ceilInt are the whole numbers next to x.
func floorInt(x *big.Rat) *big.Rat {
	// Euclid's division leaves a remainder that is never negative, so it is the floor for a positive denominator.
	q, _ := new(big.Int).DivMod(x.Num(), x.Denom(), new(big.Int))
	return new(big.Rat).SetInt(q)
}

func ceilInt(x *big.Rat) *big.Rat {
	f := floorInt(x)
	if f.Cmp(x) == 0 {
		return f
	}
	return add(f, num(1))
}

// roundInt is the nearest whole number, the one further from zero at a half.
func roundInt(x *big.Rat) *big.Rat {
	half := big.NewRat(1, 2)
	if x.Sign() < 0 {
		return new(big.Rat).Neg(floorInt(sub(half, x)))
	}
	return floorInt(add(x, half))
}

// ten is 10^n, for a negative n as well.
func ten(n int) *big.Rat {
	p := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(n, -n))), nil)
	if n < 0 {
		return new(big.Rat).SetFrac(big.NewInt(1), p)
	}
	return new(big.Rat).SetInt(p)
}

// decimals is what amounts are kept with.
const decimals = 12

// Round is x with n decimals, half away from zero.
func Round(x *big.Rat, n int) *big.Rat { return div(roundInt(mul(x, ten(n))), ten(n)) }

func (o *Rounding) apply(x *big.Rat) *big.Rat {
	p := ten(o.Precision)
	switch scaled := mul(x, p); o.Mode {
	case "round":
		return div(roundInt(scaled), p)
	case "ceil":
		return div(ceilInt(scaled), p)
	case "floor":
		return div(floorInt(scaled), p)
	}
	return x
}

// increments is a call's length: nothing stays nothing, and what is taken back is as long as what was given.
func (o *Rounding) increments(x *big.Rat) *big.Rat {
	if o.First == nil || x.Sign() == 0 {
		return x
	}
	if x.Sign() < 0 {
		return new(big.Rat).Neg(o.increments(new(big.Rat).Neg(x)))
	}
	if x.Cmp(o.First) <= 0 {
		return o.First
	}
	steps := ceilInt(div(sub(x, o.First), o.Next))
	return add(o.First, mul(steps, o.Next))
}

// ofEvent is an event's quantity as it is aggregated.
func (r *Rate) ofEvent(x *big.Rat) *big.Rat {
	if r.Rounding == nil {
		return x
	}
	if r.Rounding.OnEvent {
		x = r.Rounding.apply(x)
	}
	return r.Rounding.increments(x)
}

// billed is the aggregated quantity as it is priced: rounded, less what is included.
func (r *Rate) billed(q *big.Rat) *big.Rat {
	if o := r.Rounding; o != nil && !o.OnEvent {
		q = o.apply(q)
	}
	return r.lessIncluded(q)
}

func (r *Rate) lessIncluded(q *big.Rat) *big.Rat {
	if r.Included == nil || q.Sign() < 0 {
		return q
	}
	return most(sub(q, r.Included), num(0))
}

// aggregate is the quantity that events of a rate's kind add up to under it.
func (r *Rate) aggregate(u Usage, of []*used) *big.Rat {
	if r.OfMoney() {
		return sum(of, func(e *used) *big.Rat { return e.value })
	}
	switch r.aggregation() {
	case countOf:
		return num(int64(len(of)))
	case maxOf:
		return slices.MaxFunc(of, func(a, b *used) int { return a.quantity.Cmp(b.quantity) }).quantity
	case latestOf:
		return slices.MaxFunc(of, byTime).quantity
	case uniqueOf:
		seen := map[string]bool{}
		for _, e := range of {
			seen[e.event.Attributes[r.Attribute]] = true
		}
		return num(int64(len(seen)))
	case timeWeighted:
		return r.averageLevel(u, of)
	}
	return sum(of, func(e *used) *big.Rat { return e.quantity })
}

func sum(of []*used, what func(*used) *big.Rat) *big.Rat {
	s := new(big.Rat)
	for _, e := range of {
		s.Add(s, what(e))
	}
	return s
}

// byTime orders by the time of the event, then by its id, byte by byte.
func byTime(a, b *used) int {
	if c := a.event.Time.Compare(b.event.Time); c != 0 {
		return c
	}
	switch {
	case a.event.ID < b.event.ID:
		return -1
	case a.event.ID > b.event.ID:
		return 1
	}
	return 0
}

// averageLevel walks through the period in the order of time and adds up level × how long it lasted.
func (r *Rate) averageLevel(u Usage, of []*used) *big.Rat {
	level, since, area := or(u.Carried), u.Start, new(big.Rat)
	until := func(t time.Time) {
		area.Add(area, mul(level, num(t.Sub(since).Nanoseconds())))
		since = t
	}
	for _, e := range slices.SortedFunc(slices.Values(of), byTime) {
		until(e.event.Time)
		if r.Level == "absolute" {
			level = e.quantity
		} else {
			level = add(level, e.quantity)
		}
	}
	until(u.End)
	return Round(div(area, num(u.End.Sub(u.Start).Nanoseconds())), decimals)
}
