package money

// RoundingMode says which neighbour a value that lies between two takes.
type RoundingMode uint8

// The rounding modes.
const (
	RoundNone     RoundingMode = iota // not at all
	RoundHalfUp                       // to the nearer, halves away from zero
	RoundHalfEven                     // to the nearer, halves to the even neighbour
	RoundCeil                         // towards positive infinity
	RoundFloor                        // towards negative infinity
)

// String gives the mode's name in words.
func (m RoundingMode) String() string {
	switch m {
	case RoundNone:
		return "none"
	case RoundHalfUp:
		return "half up"
	case RoundHalfEven:
		return "half even"
	case RoundCeil:
		return "ceil"
	case RoundFloor:
		return "floor"
	}
	return "unknown"
}

// Round gives d with at most places decimals; negative places round to tens, hundreds and so on.
// RoundNone gives d itself. It returns ErrOverflow when the neighbour does not fit.
func (d Decimal) Round(places int, mode RoundingMode) (Decimal, error) {
	if mode == RoundNone || places >= Scale || d.IsZero() {
		return d, nil
	}
	m, negative := d.magnitude(), d.hi < 0
	awayIsUp := (mode == RoundCeil && !negative) || (mode == RoundFloor && negative)
	if places < Scale-len(pow10)+1 {
		// The unit exceeds every value, and so does half of it: zero, or a neighbour out of range.
		if awayIsUp {
			return Decimal{}, ErrOverflow
		}
		return Decimal{}, nil
	}
	unit := pow10[Scale-places]
	quotient, rest := m.div(unit)
	down := m.sub(rest)
	away := awayIsUp && !rest.isZero()
	if mode == RoundHalfUp || mode == RoundHalfEven {
		other := unit.sub(rest) // the distance to the neighbour away from zero
		away = other.less(rest) || (other == rest && (mode == RoundHalfUp || quotient.lo&1 == 1))
	}
	if !away {
		return fromMagnitude(down, negative), nil
	}
	up, _ := down.add(unit) // both below 2^127: no carry
	return checked(up, negative)
}
