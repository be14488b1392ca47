package money

// Fixed is a Decimal that is always written with all 12 decimals: amounts in answers, where a reader must see
// that nothing was cut off.
type Fixed struct{ Decimal }

// String gives "12.500000000000".
func (f Fixed) String() string { return f.Decimal.Fixed() }

// MarshalText gives String.
func (f Fixed) MarshalText() ([]byte, error) { return f.append(nil, Scale, false), nil }

// MarshalJSON gives String as a JSON string.
func (f Fixed) MarshalJSON() ([]byte, error) {
	b := append(make([]byte, 0, 40), '"')
	return append(f.append(b, Scale, false), '"'), nil
}

// AppendText appends String to b; the error is always nil.
func (f Fixed) AppendText(b []byte) ([]byte, error) { return f.append(b, Scale, false), nil }
