package money

// Parse reads a decimal number: an optional sign, digits with an optional point (".5" and "5." are
// fine), an optional exponent ("1e3", "1E-12"). Zeros after the 12th decimal are fine, other digits
// there give ErrPrecision; a value out of range gives ErrOverflow; anything else (spaces,
// separators, hexadecimal, NaN, Inf, nothing at all) gives ErrSyntax. The cost is linear in the
// text and independent of the exponent.
func Parse(text string) (Decimal, error) { return parse(text) }

// ParseBytes is Parse for bytes.
func ParseBytes(text []byte) (Decimal, error) { return parse(text) }

// MustParse is Parse for constants; it panics on an error.
func MustParse(text string) Decimal {
	d, err := Parse(text)
	if err != nil {
		panic("money: parse " + text + ": " + err.Error())
	}
	return d
}

// maxExponent caps the exponent while it is read: beyond any length of text, far below overflow of
// the arithmetic on it.
const maxExponent = 1 << 56

func parse[T string | []byte](text T) (Decimal, error) {
	i, negative := 0, false
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		negative = text[0] == '-'
		i++
	}
	// coefficient · 10^exponent is the value up to the last digit that is not zero; zeros wait in
	// pending, so that trailing ones never enlarge the coefficient.
	var coefficient u128
	var exponent, pending int64
	digits, point, tooLong := 0, false, false
	for ; i < len(text); i++ {
		c := text[i]
		if c == '.' && !point {
			point = true
			continue
		}
		if c < '0' || c > '9' {
			break
		}
		digits++
		if point {
			exponent--
		}
		if c == '0' {
			pending++
			continue
		}
		if !tooLong {
			coefficient, tooLong = shiftIn(coefficient, pending, uint64(c-'0'))
		}
		pending = 0
	}
	if digits == 0 {
		return Decimal{}, ErrSyntax
	}
	if i < len(text) {
		shift, ok := parseExponent(text[i:])
		if !ok {
			return Decimal{}, ErrSyntax
		}
		exponent += shift
	}
	return assemble(coefficient, exponent+pending, negative, tooLong)
}

// shiftIn appends zeros and then a digit to the coefficient; over reports that it does not fit.
func shiftIn(coefficient u128, zeros int64, digit uint64) (_ u128, over bool) {
	if coefficient.isZero() {
		return u128{0, digit}, false
	}
	for ; zeros >= 0; zeros-- {
		if coefficient, over = coefficient.mul64(10); over {
			return coefficient, true
		}
	}
	coefficient, carry := coefficient.add(u128{0, digit})
	return coefficient, carry != 0
}

// parseExponent reads "e3", "E-12"; the result is capped at maxExponent either way.
func parseExponent[T string | []byte](text T) (exponent int64, ok bool) {
	if text[0] != 'e' && text[0] != 'E' {
		return 0, false
	}
	i, negative := 1, false
	if i < len(text) && (text[i] == '-' || text[i] == '+') {
		negative = text[i] == '-'
		i++
	}
	if i == len(text) {
		return 0, false
	}
	for ; i < len(text); i++ {
		c := text[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		if exponent = exponent*10 + int64(c-'0'); exponent > maxExponent {
			exponent = maxExponent
		}
	}
	if negative {
		exponent = -exponent
	}
	return exponent, true
}

// assemble gives coefficient · 10^exponent. A coefficient that is too long ends in a digit other
// than zero, so it has too many decimals or is too large.
func assemble(coefficient u128, exponent int64, negative, tooLong bool) (Decimal, error) {
	switch {
	case coefficient.isZero() && !tooLong: // one that is too long may have wrapped to zero
		return Decimal{}, nil
	case exponent < -Scale:
		return Decimal{}, ErrPrecision
	case tooLong || exponent+Scale >= int64(len(pow10)):
		return Decimal{}, ErrOverflow
	}
	over := false
	for power := exponent + Scale; power > 0; power-- {
		if coefficient, over = coefficient.mul64(10); over {
			return Decimal{}, ErrOverflow
		}
	}
	return checked(coefficient, negative)
}

// textSize holds a sign, 27 digits, a point and 12 decimals.
const textSize = 48

// String gives the shortest text that Parse reads back: "12.5", "-0.000001", "0".
func (d Decimal) String() string {
	var buffer [textSize]byte
	return string(d.append(buffer[:0], 0, true))
}

// Fixed gives the text with all 12 decimals: "12.500000000000".
func (d Decimal) Fixed() string { return d.Places(Scale) }

// Places gives the text with exactly n decimals, 0 to 12. The value should have been rounded
// before, by the rule that applies to it; what is left is rounded half away from zero.
func (d Decimal) Places(n int) string {
	n = min(max(n, 0), Scale)
	if rounded, err := d.Round(n, RoundHalfUp); err == nil {
		d = rounded
	}
	var buffer [textSize]byte
	return string(d.append(buffer[:0], n, false))
}

// AppendText appends String to b; the error is always nil.
func (d Decimal) AppendText(b []byte) ([]byte, error) { return d.append(b, 0, true), nil }

// append writes the number with n decimals, or as many as it needs when shortest is set.
func (d Decimal) append(b []byte, n int, shortest bool) []byte {
	whole, fraction := d.magnitude().div64(scaleFactor)
	var digits [textSize]byte
	at := len(digits)
	for i := range Scale {
		digit := byte(fraction % 10)
		fraction /= 10
		if shortest && digit != 0 {
			n, shortest = Scale-i, false
		}
		if Scale-i <= n && !shortest {
			at--
			digits[at] = '0' + digit
		}
	}
	if n > 0 {
		at--
		digits[at] = '.'
	}
	for {
		var digit uint64
		whole, digit = whole.div64(10)
		at--
		digits[at] = '0' + byte(digit)
		if whole.isZero() {
			break
		}
	}
	if d.hi < 0 {
		b = append(b, '-')
	}
	return append(b, digits[at:]...)
}
