package money

import (
	"encoding/binary"
	"math/bits"
)

// The compact form is what most amounts need, two to five bytes, and the 16 bytes of AppendBinary16 for the rest: a
// varint of m·16 + t·2 + sign, where the magnitude is m · 1000^t · 10^-12 with the largest t up to 4 and m below 2^60,
// or the one byte 14 (t = 7) and 16 bytes. Zero is the byte 0.
const (
	compactLimit = 1 << 60
	compactFull  = 7 << 1
)

// AppendCompact appends the bytes that FromCompact reads. Equal numbers give equal bytes.
func (d Decimal) AppendCompact(b []byte) []byte {
	m, sign := d.magnitude(), uint64(d.hi)>>63
	n, thousands, ok := m.lo, uint64(0), m.hi == 0
	if ok {
		n, thousands = stripThousands(n)
	} else {
		n, thousands, ok = m.narrowThousands()
	}
	if !ok || n >= compactLimit {
		return d.AppendBinary16(append(b, compactFull))
	}
	if n == 0 {
		return append(b, 0)
	}
	return binary.AppendUvarint(b, n<<4|thousands<<1|sign)
}

// stripThousands takes out up to four factors of 1000.
func stripThousands(n uint64) (uint64, uint64) {
	thousands := uint64(0)
	for thousands < 4 {
		million := n / 1_000_000
		if million*1_000_000 != n {
			break
		}
		n, thousands = million, thousands+2
	}
	if thousands < 4 {
		if thousand := n / 1000; thousand*1000 == n {
			n, thousands = thousand, thousands+1
		}
	}
	return n, thousands
}

// narrowThousands is stripThousands for two words; ok is false when one is not enough for what is left.
func (u u128) narrowThousands() (n, thousands uint64, ok bool) {
	divisor := uint64(scaleFactor)
	for thousands = 4; thousands > 0; thousands-- {
		if u.hi < divisor {
			if quotient, rest := bits.Div64(u.hi, u.lo, divisor); rest == 0 {
				return quotient, thousands, true
			}
		}
		divisor /= 1000
	}
	return 0, 0, false
}

// FromCompact reads what AppendCompact wrote from the front of b, and tells how many bytes that were; other bytes give
// ErrSyntax or ErrOverflow.
func FromCompact(b []byte) (Decimal, int, error) {
	if len(b) > 0 && b[0] == compactFull {
		if len(b) < 17 {
			return Decimal{}, 0, ErrSyntax
		}
		d, err := FromBinary16(b[1:17])
		return d, 17, err
	}
	v, n := binary.Uvarint(b)
	thousands := v >> 1 & 7
	if n <= 0 || thousands > 4 {
		return Decimal{}, 0, ErrSyntax
	}
	hi, lo := bits.Mul64(v>>4, thousandPowers[thousands])
	return fromMagnitude(u128{hi, lo}, v&1 != 0), n, nil
}

var thousandPowers = [...]uint64{1, 1e3, 1e6, 1e9, 1e12}
