package money

import (
	"cmp"
	"encoding/binary"
	"math/bits"
)

// Wide adds up products exactly before they are rounded once: a signed 256-bit integer with 24
// decimals. The zero value is 0. It lives on the stack; an overflow is remembered and reported by
// Decimal, so a sum is written without a check at each step.
type Wide struct {
	sum  u256 // two's complement
	over bool
}

// u256 is an unsigned 256-bit integer, least significant word first. Four fields instead of an
// array, because the compiler keeps those in registers.
type u256 struct{ w0, w1, w2, w3 uint64 }

func (u u256) add(v u256) (sum u256) {
	var c uint64
	sum.w0, c = bits.Add64(u.w0, v.w0, 0)
	sum.w1, c = bits.Add64(u.w1, v.w1, c)
	sum.w2, c = bits.Add64(u.w2, v.w2, c)
	sum.w3, _ = bits.Add64(u.w3, v.w3, c)
	return sum
}

func (u u256) sub(v u256) (diff u256) {
	var b uint64
	diff.w0, b = bits.Sub64(u.w0, v.w0, 0)
	diff.w1, b = bits.Sub64(u.w1, v.w1, b)
	diff.w2, b = bits.Sub64(u.w2, v.w2, b)
	diff.w3, _ = bits.Sub64(u.w3, v.w3, b)
	return diff
}

// product256 gives the product of two magnitudes; most are of one word each.
func product256(a, b u128) (p u256) {
	p.w1, p.w0 = bits.Mul64(a.lo, b.lo)
	if a.hi|b.hi == 0 {
		return p
	}
	h01, l01 := bits.Mul64(a.lo, b.hi)
	h10, l10 := bits.Mul64(a.hi, b.lo)
	h11, l11 := bits.Mul64(a.hi, b.hi)
	var c1, c2 uint64
	p.w1, c1 = bits.Add64(p.w1, l01, 0)
	p.w1, c2 = bits.Add64(p.w1, l10, 0)
	p.w2, c1 = bits.Add64(l11, h01, c1)
	p.w2, c2 = bits.Add64(p.w2, h10, c2)
	p.w3 = h11 + c1 + c2
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
	if d.IsZero() {
		return
	}
	w.accumulate(product256(d.magnitude(), u128{0, scaleFactor}), d.hi < 0)
}

// accumulate adds a magnitude below 2^255, or subtracts it.
func (w *Wide) accumulate(p u256, negative bool) {
	before := int64(w.sum.w3)
	if negative {
		w.sum = w.sum.sub(p)
		w.over = w.over || (before < 0 && int64(w.sum.w3) >= 0)
		return
	}
	w.sum = w.sum.add(p)
	w.over = w.over || (before >= 0 && int64(w.sum.w3) < 0)
}

// AddWide adds v.
func (w *Wide) AddWide(v *Wide) {
	before := w.sum.w3
	w.sum = w.sum.add(v.sum)
	w.over = w.over || v.over || int64((before^w.sum.w3)&(v.sum.w3^w.sum.w3)) < 0
}

// SubWide subtracts v.
func (w *Wide) SubWide(v *Wide) {
	before := w.sum.w3
	w.sum = w.sum.sub(v.sum)
	w.over = w.over || v.over || int64((before^v.sum.w3)&(before^w.sum.w3)) < 0
}

// Err gives ErrOverflow if the sum, at any step, was too large.
func (w *Wide) Err() error {
	if w.over {
		return ErrOverflow
	}
	return nil
}

// Cmp gives -1 when w < v, 0 when they are equal, 1 when w > v; after an overflow it means nothing.
func (w *Wide) Cmp(v *Wide) int {
	return cmp.Or(
		cmp.Compare(int64(w.sum.w3), int64(v.sum.w3)), cmp.Compare(w.sum.w2, v.sum.w2),
		cmp.Compare(w.sum.w1, v.sum.w1), cmp.Compare(w.sum.w0, v.sum.w0),
	)
}

// Quo gives the sum divided by n, above zero, rounded half away from zero at the 12th decimal, or ErrOverflow
// or ErrDivision. What the division leaves lies below the 24th decimal, where it cannot make a half.
func (w Wide) Quo(n int64) (Decimal, error) {
	switch {
	case n <= 0:
		return Decimal{}, ErrDivision
	case w.over:
		return Decimal{}, ErrOverflow
	case int64(w.sum.w3) < 0:
		return u256{}.sub(w.sum).div64(uint64(n)).narrow(true)
	}
	return w.sum.div64(uint64(n)).narrow(false)
}

// div64 divides by one word, which must not be zero, and drops the rest.
func (u u256) div64(v uint64) (q u256) {
	var rest uint64
	if u.w3|u.w2 != 0 { // of few
		q.w3, rest = u.w3/v, u.w3%v
		q.w2, rest = bits.Div64(rest, u.w2, v)
	}
	q.w1, rest = bits.Div64(rest, u.w1, v)
	q.w0, _ = bits.Div64(rest, u.w0, v)
	return q
}

// AppendBinary32 appends the 32 bytes that WideFromBinary32 reads: two's complement of the sum times 10^24, big
// endian. The sum must not have overflowed.
func (w Wide) AppendBinary32(b []byte) []byte {
	for _, word := range [4]uint64{w.sum.w3, w.sum.w2, w.sum.w1, w.sum.w0} {
		b = binary.BigEndian.AppendUint64(b, word)
	}
	return b
}

// WideFromBinary32 reads what AppendBinary32 wrote; other lengths give ErrSyntax.
func WideFromBinary32(b []byte) (Wide, error) {
	if len(b) != 32 {
		return Wide{}, ErrSyntax
	}
	word := func(i int) uint64 { return binary.BigEndian.Uint64(b[8*i:]) }
	return Wide{sum: u256{w0: word(3), w1: word(2), w2: word(1), w3: word(0)}}, nil
}

// IsZero reports whether the sum is exactly 0.
func (w Wide) IsZero() bool { return !w.over && w.sum == u256{} }

// Decimal gives the sum rounded half away from zero at the 12th decimal, or ErrOverflow.
func (w Wide) Decimal() (Decimal, error) {
	if w.over {
		return Decimal{}, ErrOverflow
	}
	if int64(w.sum.w3) < 0 {
		return u256{}.sub(w.sum).narrow(true)
	}
	return w.sum.narrow(false)
}

// narrow takes a magnitude with 24 decimals to a Decimal, rounded half away from zero.
func (u u256) narrow(negative bool) (Decimal, error) {
	// A quotient of more than 128 bits shows in the two upper words.
	if u.w3 != 0 || u.w2 >= scaleFactor {
		return Decimal{}, ErrOverflow
	}
	var quotient u128
	rest := u.w1
	if u.w2 != 0 || u.w1 >= scaleFactor {
		quotient.hi, rest = bits.Div64(u.w2, u.w1, scaleFactor)
	}
	quotient.lo, rest = bits.Div64(rest, u.w0, scaleFactor)
	if rest >= scaleFactor/2 {
		var carry uint64
		if quotient, carry = quotient.add(u128{0, 1}); carry != 0 {
			return Decimal{}, ErrOverflow
		}
	}
	return checked(quotient, negative)
}
