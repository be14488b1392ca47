package money

import "math/bits"

// u128 is an unsigned 128-bit integer: the magnitude of a Decimal times 10^12.
type u128 struct{ hi, lo uint64 }

// maxMagnitude is the largest magnitude a Decimal may have, 2^127 - 1. The minimum of two's
// complement, -2^127, is left out so that Neg and Abs never fail.
var maxMagnitude = u128{1<<63 - 1, 1<<64 - 1}

func (u u128) isZero() bool { return u.hi|u.lo == 0 }

func (u u128) less(v u128) bool { return u.hi < v.hi || (u.hi == v.hi && u.lo < v.lo) }

func (u u128) add(v u128) (sum u128, carry uint64) {
	sum.lo, carry = bits.Add64(u.lo, v.lo, 0)
	sum.hi, carry = bits.Add64(u.hi, v.hi, carry)
	return sum, carry
}

func (u u128) sub(v u128) (diff u128) {
	var borrow uint64
	diff.lo, borrow = bits.Sub64(u.lo, v.lo, 0)
	diff.hi, _ = bits.Sub64(u.hi, v.hi, borrow)
	return diff
}

// mul64 multiplies by one word; over reports a product of more than 128 bits.
func (u u128) mul64(v uint64) (product u128, over bool) {
	carry, lo := bits.Mul64(u.lo, v)
	top, hi := bits.Mul64(u.hi, v)
	hi, c := bits.Add64(hi, carry, 0)
	return u128{hi, lo}, top+c != 0
}

// div64 divides by one word, which must not be zero.
func (u u128) div64(v uint64) (quotient u128, rest uint64) {
	quotient.hi, rest = u.hi/v, u.hi%v
	quotient.lo, rest = bits.Div64(rest, u.lo, v)
	return quotient, rest
}

// div divides by v, which must not be zero.
//
// With two words in v the quotient fits one word. It is estimated from the leading 64 bits of v
// (normalised) and half of u, so that Div64 cannot overflow; the estimate, lowered by one, is
// exact or one too small (Hacker's Delight, 9-5).
func (u u128) div(v u128) (quotient, rest u128) {
	if v.hi == 0 {
		q, r := u.div64(v.lo)
		return q, u128{0, r}
	}
	shift := uint(bits.LeadingZeros64(v.hi))
	top := v.hi<<shift | v.lo>>(64-shift) // a shift by 64 gives 0 in Go
	estimate, _ := bits.Div64(u.hi>>1, u.hi<<63|u.lo>>1, top)
	estimate >>= 63 - shift
	if estimate > 0 {
		estimate--
	}
	product, _ := v.mul64(estimate)
	rest = u.sub(product)
	if !rest.less(v) {
		estimate++
		rest = rest.sub(v)
	}
	return u128{0, estimate}, rest
}

// pow10 holds 10^0 … 10^38, the powers that fit 127 bits.
var pow10 = func() (table [39]u128) {
	table[0] = u128{0, 1}
	for i := 1; i < len(table); i++ {
		table[i], _ = table[i-1].mul64(10)
	}
	return table
}()
