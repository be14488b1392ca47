package money

import (
	"database/sql/driver"
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// MarshalText gives String.
func (d Decimal) MarshalText() ([]byte, error) { return d.append(make([]byte, 0, 24), 0, true), nil }

// UnmarshalText is Parse.
func (d *Decimal) UnmarshalText(text []byte) error {
	v, err := parse(text)
	if err != nil {
		return err
	}
	*d = v
	return nil
}

// MarshalJSON gives a JSON string, "12.5": readers that take numbers for floats cannot harm it.
func (d Decimal) MarshalJSON() ([]byte, error) {
	b := append(make([]byte, 0, 26), '"')
	return append(d.append(b, 0, true), '"'), nil
}

// UnmarshalJSON reads a JSON string or a JSON number, exactly. null is refused with ErrSyntax: a
// missing number must not become a zero.
func (d *Decimal) UnmarshalJSON(data []byte) error {
	text := data
	if len(data) >= 2 && data[0] == '"' && data[len(data)-1] == '"' {
		text = data[1 : len(data)-1]
		for _, c := range text {
			if c == '\\' {
				return d.unmarshalEscaped(data)
			}
		}
	} else if !isJSONNumber(data) {
		return ErrSyntax
	}
	v, err := parse(text)
	if err != nil {
		return err
	}
	*d = v
	return nil
}

// unmarshalEscaped reads a JSON string that spells characters by escapes, which is legal and rare.
func (d *Decimal) unmarshalEscaped(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) != nil {
		return ErrSyntax
	}
	return d.UnmarshalText([]byte(text))
}

// isJSONNumber checks what Parse is more liberal about: no plus sign, no leading zeros, digits on
// both sides of the point.
func isJSONNumber(b []byte) bool {
	if len(b) > 0 && b[0] == '-' {
		b = b[1:]
	}
	whole := 0
	for whole < len(b) && isDigit(b[whole]) {
		whole++
	}
	if whole == 0 || (whole > 1 && b[0] == '0') {
		return false
	}
	if whole < len(b) && b[whole] == '.' {
		return whole+1 < len(b) && isDigit(b[whole+1])
	}
	return true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// AppendBinary16 appends the 16 bytes that FromBinary16 reads: two's complement of the value times
// 10^12, big endian.
func (d Decimal) AppendBinary16(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(d.hi))
	return binary.BigEndian.AppendUint64(b, d.lo)
}

// FromBinary16 reads what AppendBinary16 wrote; other lengths give ErrSyntax.
func FromBinary16(b []byte) (Decimal, error) {
	if len(b) != 16 {
		return Decimal{}, ErrSyntax
	}
	d := Decimal{int64(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint64(b[8:])}
	if d.isMinimum() {
		return Decimal{}, ErrOverflow
	}
	return d, nil
}

// Value writes the number as text, which numeric and text columns take.
func (d Decimal) Value() (driver.Value, error) { return d.String(), nil }

// Scan reads a numeric or text column. NULL and floating point columns are refused.
func (d *Decimal) Scan(source any) error {
	var err error
	switch v := source.(type) {
	case string:
		*d, err = Parse(v)
	case []byte:
		*d, err = ParseBytes(v)
	case int64:
		*d = FromInt(v)
	default:
		return fmt.Errorf("scan decimal from %T: %w", source, ErrSyntax)
	}
	if err != nil {
		return fmt.Errorf("scan decimal: %w", err)
	}
	return nil
}
