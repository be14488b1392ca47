package money

import "math/bits"

// Wide adds up products exactly before they are rounded once: a signed 256-bit integer with 24
// decimals. The zero value is 0. It lives on the stack; an overflow is remembered and reported by
// Decimal, so a sum is written without a check at each step.
type Wide struct {
	w    [4]uint64 // two's complement, least significant word first
	over bool
}

// product256 gives the product of two magnitudes.
func product256(a, b u128) (p [4]uint64) {
	h00, l00 := bits.Mul64(a.lo, b.lo)
	h01, l01 := bits.Mul64(a.lo, b.hi)
	h10, l10 := bits.Mul64(a.hi, b.lo)
	h11, l11 := bits.Mul64(a.hi, b.hi)
	var c1, c2 uint64
	p[0] = l00
	p[1], c1 = bits.Add64(h00, l01, 0)
	p[1], c2 = bits.Add64(p[1], l10, 0)
	p[2], c1 = bits.Add64(l11, h01, c1)
	p[2], c2 = bits.Add64(p[2], h10, c2)
	p[3] = h11 + c1 + c2
	return p
}

// AddProduct adds a · b.
func (w *Wide) AddProduct(a, b Decimal) {
	w.accumulate(product256(a.magnitude(), b.magnitude()), (a.hi < 0) != (b.hi < 0))
}

// SubProduct subtracts a · b.
func (w *Wide) SubProduct(a, b Decimal) {
	w.accumulate(product256(a.magnitude(), b.magnitude()), (a.hi < 0) == (b.hi < 0))
}

// Add adds d.
func (w *Wide) Add(d Decimal) {
	w.accumulate(product256(d.magnitude(), u128{0, scaleFactor}), d.hi < 0)
}

// accumulate adds a magnitude below 2^255, or subtracts it.
func (w *Wide) accumulate(p [4]uint64, negative bool) {
	before := w.w[3]
	var c uint64
	if negative {
		w.w[0], c = bits.Sub64(w.w[0], p[0], 0)
		w.w[1], c = bits.Sub64(w.w[1], p[1], c)
		w.w[2], c = bits.Sub64(w.w[2], p[2], c)
		w.w[3], _ = bits.Sub64(w.w[3], p[3], c)
		w.over = w.over || (int64(before) < 0 && int64(w.w[3]) >= 0)
		return
	}
	w.w[0], c = bits.Add64(w.w[0], p[0], 0)
	w.w[1], c = bits.Add64(w.w[1], p[1], c)
	w.w[2], c = bits.Add64(w.w[2], p[2], c)
	w.w[3], _ = bits.Add64(w.w[3], p[3], c)
	w.over = w.over || (int64(before) >= 0 && int64(w.w[3]) < 0)
}

// Decimal gives the sum rounded half away from zero at the 12th decimal, or ErrOverflow.
func (w Wide) Decimal() (Decimal, error) {
	if w.over {
		return Decimal{}, ErrOverflow
	}
	m, negative := w.w, int64(w.w[3]) < 0
	if negative {
		var c uint64
		m[0], c = bits.Sub64(0, m[0], 0)
		m[1], c = bits.Sub64(0, m[1], c)
		m[2], c = bits.Sub64(0, m[2], c)
		m[3], _ = bits.Sub64(0, m[3], c)
	}
	// A quotient of more than 128 bits shows in the two upper words.
	if m[3] != 0 || m[2] >= scaleFactor {
		return Decimal{}, ErrOverflow
	}
	var quotient u128
	var rest uint64
	quotient.hi, rest = bits.Div64(m[2], m[1], scaleFactor)
	quotient.lo, rest = bits.Div64(rest, m[0], scaleFactor)
	if rest >= scaleFactor/2 {
		var carry uint64
		if quotient, carry = quotient.add(u128{0, 1}); carry != 0 {
			return Decimal{}, ErrOverflow
		}
	}
	return checked(quotient, negative)
}

// IsZero reports whether the sum is exactly 0.
func (w Wide) IsZero() bool { return !w.over && w.w == [4]uint64{} }
