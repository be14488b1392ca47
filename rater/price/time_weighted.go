package price

import (
	"errors"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// ErrNoPeriod reports usage that counts by its share of the period, in a cycle whose period has no end.
var ErrNoPeriod = errors.New("a share of the period needs a period with an end: give the account a cycle other than manual")

// A level goes on from one period to the next. What the period before left is carried over into a state (its Peak), as a first change at the
// period's start would be: whoever adds up the usage of a period gives it with each event, and all states of one line have the same.

// CarriesLevel says whether the level of usage under r goes on into the next period, so that Aggregate needs [Input.Carried].
func CarriesLevel(r *catalog.Rate) bool {
	k := kindOf(r)
	return k == kindTimeWeighted || k == kindLevels
}

// ShapeCarriesLevel is CarriesLevel for states of the shape.
func ShapeCarriesLevel(shape uint64) bool {
	k := uint64(kindQuantity) + shape
	return k == uint64(kindTimeWeighted) || k == uint64(kindLevels)
}

// CarriedOver gives the state of a level that was carried over into a period without an event. It returns ErrNoPeriod for a
// period without an end.
func CarriedOver(level money.Decimal, period catalog.Period) (State, error) {
	_, length, err := inPeriod(&Input{Time: period.Start, Period: period})
	return State{At: length, Peak: level}, err
}

// LevelAtEnd gives the level at the end of the period, of a state that carries it.
func LevelAtEnd(s *State) (money.Decimal, error) {
	if s.Rest.Levels() != nil {
		return s.Sum, nil
	}
	return s.Peak.Add(s.Sum)
}

// addChange adds one more change of the level.
func (s *State) addChange(change money.Decimal, in *Input) error {
	at, length, err := inPeriod(in)
	if err != nil {
		return err
	}
	s.Exact.AddProduct(change, money.FromInt(at))
	if err := s.Exact.Err(); err != nil {
		return err
	}
	s.At, s.Peak = length, in.Carried
	return s.add(change)
}

// inPeriod gives the event's time since the period's start, and the length of the period.
func inPeriod(in *Input) (at, length int64, err error) {
	p := &in.Period
	length = p.End - p.Start
	if p.Start == catalog.Always || p.End == catalog.Never || length <= 0 {
		return 0, 0, ErrNoPeriod
	}
	return max(p.Start, min(in.Time, p.End)) - p.Start, length, nil
}

// averageLevel gives the integral of the level over the period, divided by its length. A change that happens at t counts
// for what is left of the period: with changes d at t and the length p, Σ d × (p − t) / p. What was carried over lasts as long as changes
// do, or until the first level.
func averageLevel(s *State) (money.Decimal, error) {
	if s.At == 0 {
		return s.Sum, nil // changes under a rate that has not said how long the period is
	}
	var integral money.Wide
	integral.AddProduct(s.Sum, money.FromInt(s.At))
	integral.SubWide(&s.Exact)
	if !s.Peak.IsZero() {
		lasts := s.At
		if said := s.Rest.Levels(); said != nil {
			lasts = said[0].At
		}
		integral.AddProduct(s.Peak, money.FromInt(lasts))
	}
	return integral.Quo(s.At)
}
