package money

import (
	"cmp"
	"errors"
	"math/big"
	"slices"
)

// ErrWeights reports weights that cannot share an amount.
var ErrWeights = errors.New("weights must not be negative and must not all be zero")

// Allocate splits total over the weights in multiples of 10^-places, so that the parts sum exactly
// to total: each part is its exact share cut off, and the units that are left go one each to the
// largest remainders, ties by position. A weight of zero gets nothing; a negative total is split
// like its magnitude. It returns ErrPrecision when total has more than places decimals and
// ErrWeights when nothing could carry the total.
func Allocate(total Decimal, weights []Decimal, places int) ([]Decimal, error) {
	if rounded, err := total.Round(places, RoundHalfUp); err != nil || rounded != total {
		return nil, ErrPrecision
	}
	parts := make([]Decimal, len(weights))
	sum := new(big.Int)
	for _, w := range weights {
		if w.Sign() < 0 {
			return nil, ErrWeights
		}
		sum.Add(sum, w.magnitude().big())
	}
	if total.IsZero() {
		return parts, nil
	}
	if sum.Sign() == 0 {
		return nil, ErrWeights
	}
	unit := pow10[Scale-min(places, Scale)] // total is a multiple of it, so it is in the table
	units := new(big.Int).Quo(total.magnitude().big(), unit.big())
	left := new(big.Int).Set(units)
	quotients, rests := make([]*big.Int, len(weights)), make([]*big.Int, len(weights))
	order := make([]int, len(weights))
	for i, w := range weights {
		order[i] = i
		share := new(big.Int).Mul(units, w.magnitude().big())
		quotients[i], rests[i] = new(big.Int).QuoRem(share, sum, new(big.Int))
		left.Sub(left, quotients[i])
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(rests[b].Cmp(rests[a]), cmp.Compare(a, b))
	})
	for _, i := range order[:left.Int64()] { // fewer units are left than there are weights
		quotients[i].Add(quotients[i], big.NewInt(1))
	}
	for i, quotient := range quotients {
		parts[i] = fromMagnitude(u128FromBig(quotient.Mul(quotient, unit.big())), total.hi < 0)
	}
	return parts, nil
}

func (u u128) big() *big.Int {
	b := new(big.Int).SetUint64(u.hi)
	return b.Or(b.Lsh(b, 64), new(big.Int).SetUint64(u.lo))
}

// u128FromBig expects a value of 0 to 2^128 - 1.
func u128FromBig(b *big.Int) u128 {
	return u128{new(big.Int).Rsh(b, 64).Uint64(), new(big.Int).And(b, new(big.Int).SetUint64(1<<64-1)).Uint64()}
}
