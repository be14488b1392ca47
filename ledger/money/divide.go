package money

import "math/bits"

// Div gives d / b, rounded half away from zero at the 12th decimal, or ErrDivision or ErrOverflow.
func (d Decimal) Div(b Decimal) (Decimal, error) {
	if b.IsZero() {
		return Decimal{}, ErrDivision
	}
	v := b.magnitude()
	quotient, rest, ok := product256(d.magnitude(), u128{0, scaleFactor}).div(v)
	if !ok {
		return Decimal{}, ErrOverflow
	}
	if other := v.sub(rest); !rest.less(other) { // at least a half
		quotient, _ = quotient.add(u128{0, 1}) // at most 2^127: no carry
	}
	return checked(quotient, (d.hi < 0) != (b.hi < 0))
}

// div divides a number below 2^192 by v, which must not be zero; ok is false when the quotient is not below 2^127.
func (u u256) div(v u128) (quotient, rest u128, ok bool) {
	if v.hi == 0 {
		if u.w2 >= v.lo {
			return quotient, rest, false
		}
		quotient.hi, rest.lo = bits.Div64(u.w2, u.w1, v.lo)
		quotient.lo, rest.lo = bits.Div64(rest.lo, u.w0, v.lo)
		return quotient, rest, quotient.hi>>63 == 0
	}
	high, rest := u128{u.w2, u.w1}.div(v)
	shift := uint(bits.LeadingZeros64(v.hi))
	low, rest := div3(rest.shifted(u.w0, shift), u.w0<<shift, u128{v.hi<<shift | v.lo>>(64-shift), v.lo << shift})
	return u128{high.lo, low}, u128{rest.hi >> shift, rest.hi<<(64-shift) | rest.lo>>shift}, high.lo>>63 == 0
}

// shifted gives the upper two words of u and the word behind it, shifted to the left.
func (u u128) shifted(behind uint64, shift uint) u128 {
	return u128{u.hi<<shift | u.lo>>(64-shift), u.lo<<shift | behind>>(64-shift)}
}

// div3 divides u, which is less than v, and the word behind it by v, whose highest bit is set: Knuth's step D3, The Art of Computer
// Programming, volume 2, 4.3.1.
func div3(u u128, behind uint64, v u128) (quotient uint64, rest u128) {
	estimate, left, carry := ^uint64(0), uint64(0), uint64(0)
	if u.hi < v.hi {
		estimate, left = bits.Div64(u.hi, u.lo, v.hi)
	} else {
		left, carry = bits.Add64(u.lo, v.hi, 0)
	}
	for carry == 0 {
		hi, lo := bits.Mul64(estimate, v.lo)
		if hi < left || hi == left && lo <= behind {
			break
		}
		estimate--
		left, carry = bits.Add64(left, v.hi, 0)
	}
	product, _ := v.mul64(estimate) // what overflows is taken off the words above
	return estimate, u128{u.lo, behind}.sub(product)
}
