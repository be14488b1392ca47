// Package money holds the exact decimals of prices, quantities and amounts, and the currencies.
//
// It is a leaf: it imports the standard library only, takes no clock, context or logger, and no
// float ever touches a value. Invariants:
//
//   - A Decimal is an integer multiple of 10^-12 with a magnitude below 2^127 / 10^12 (about
//     1.7 · 10^26). Nothing wraps around: an operation gives the exact result, the rounding that its
//     name promises, or an error.
//   - Equal values are equal under ==, so a Decimal may be a map key; there is no negative zero.
//   - Arithmetic and parsing do not allocate, whatever the input.
//
// Outside values (JSON, text, databases) are written as text in full precision; see [Decimal.String].
package money

import (
	"errors"
	"math/bits"
)

// Scale is the number of decimals that a Decimal keeps.
const Scale = 12

const scaleFactor = 1_000_000_000_000 // 10^Scale

// Errors of this package. They carry no input, so that refusing a hostile number costs nothing;
// the caller adds where it stood.
var (
	ErrOverflow  = errors.New("number is too large")
	ErrSyntax    = errors.New("not a decimal number")
	ErrPrecision = errors.New("more than 12 decimals")
	ErrDivision  = errors.New("division by zero")
)

// Decimal is an exact decimal number with up to 12 decimals. The zero value is 0.
type Decimal struct {
	hi int64 // two's complement of value · 10^12, upper half
	lo uint64
}

// Frequent values. They must not be assigned to.
var (
	Zero = Decimal{}
	One  = FromInt(1)
	// Limit is the largest magnitude of a quantity or a price, 10^15. Amounts may be larger.
	Limit = FromInt(1_000_000_000_000_000)
)

// FromInt gives the whole number n.
func FromInt(n int64) Decimal {
	negative := n < 0
	magnitude := uint64(n)
	if negative {
		magnitude = -magnitude
	}
	hi, lo := bits.Mul64(magnitude, scaleFactor)
	return fromMagnitude(u128{hi, lo}, negative)
}

// fromMagnitude expects a magnitude of at most maxMagnitude.
func fromMagnitude(m u128, negative bool) Decimal {
	if negative {
		m = u128{}.sub(m)
	}
	return Decimal{int64(m.hi), m.lo}
}

// checked is fromMagnitude for magnitudes that may be too large.
func checked(m u128, negative bool) (Decimal, error) {
	if m.hi > maxMagnitude.hi {
		return Decimal{}, ErrOverflow
	}
	return fromMagnitude(m, negative), nil
}

func (d Decimal) magnitude() u128 {
	m := u128{uint64(d.hi), d.lo}
	if d.hi < 0 {
		m = u128{}.sub(m)
	}
	return m
}

// Add gives d + b, or ErrOverflow.
func (d Decimal) Add(b Decimal) (Decimal, error) {
	lo, carry := bits.Add64(d.lo, b.lo, 0)
	hi, _ := bits.Add64(uint64(d.hi), uint64(b.hi), carry)
	sum := Decimal{int64(hi), lo}
	if (d.hi^sum.hi)&(b.hi^sum.hi) < 0 || sum.isMinimum() {
		return Decimal{}, ErrOverflow
	}
	return sum, nil
}

// Sub gives d - b, or ErrOverflow.
func (d Decimal) Sub(b Decimal) (Decimal, error) {
	lo, borrow := bits.Sub64(d.lo, b.lo, 0)
	hi, _ := bits.Sub64(uint64(d.hi), uint64(b.hi), borrow)
	diff := Decimal{int64(hi), lo}
	if (d.hi^b.hi)&(d.hi^diff.hi) < 0 || diff.isMinimum() {
		return Decimal{}, ErrOverflow
	}
	return diff, nil
}

// isMinimum reports -2^127, which is not a valid value.
func (d Decimal) isMinimum() bool { return uint64(d.hi) == 1<<63 && d.lo == 0 }

// Neg gives -d.
func (d Decimal) Neg() Decimal {
	m := u128{}.sub(u128{uint64(d.hi), d.lo})
	return Decimal{int64(m.hi), m.lo}
}

// Abs gives the magnitude of d.
func (d Decimal) Abs() Decimal {
	if d.hi < 0 {
		return d.Neg()
	}
	return d
}

// Sign gives -1, 0 or 1.
func (d Decimal) Sign() int {
	switch {
	case d.hi < 0:
		return -1
	case d.hi|int64(d.lo) == 0:
		return 0
	}
	return 1
}

// IsZero reports whether d is 0.
func (d Decimal) IsZero() bool { return d == Decimal{} }

// Cmp gives -1 when d < b, 0 when they are equal, 1 when d > b.
func (d Decimal) Cmp(b Decimal) int {
	switch {
	case d == b:
		return 0
	case d.hi < b.hi || (d.hi == b.hi && d.lo < b.lo):
		return -1
	}
	return 1
}

// WithinLimit reports whether d may be a quantity or a price: its magnitude is at most Limit.
func (d Decimal) WithinLimit() bool { return d.Abs().Cmp(Limit) <= 0 }

// Mul gives d · b, rounded half away from zero at the 12th decimal, or ErrOverflow.
func (d Decimal) Mul(b Decimal) (Decimal, error) {
	return product256(d.magnitude(), b.magnitude()).narrow((d.hi < 0) != (b.hi < 0))
}

// CeilDiv gives the smallest whole number that is at least a / b. It returns ErrDivision when b is
// zero and ErrOverflow when the result does not fit.
func CeilDiv(a, b Decimal) (Decimal, error) {
	if b.IsZero() {
		return Decimal{}, ErrDivision
	}
	quotient, rest := a.magnitude().div(b.magnitude())
	negative := (a.hi < 0) != (b.hi < 0)
	if !negative && !rest.isZero() {
		quotient, _ = quotient.add(u128{0, 1}) // at most 2^127: no carry
	}
	scaled, over := quotient.mul64(scaleFactor)
	if over {
		return Decimal{}, ErrOverflow
	}
	return checked(scaled, negative)
}
