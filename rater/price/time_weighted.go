package price

import (
	"errors"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// ErrNoPeriod reports usage that counts by its share of the period, in a cycle whose period has no end.
var ErrNoPeriod = errors.New("a share of the period needs a period with an end: give the account a cycle other than manual")

// addChange gives s with one more change of the level. A level that is carried over into the period is its first change,
// at its start.
func addChange(s State, change money.Decimal, in *Input) (State, error) {
	at, length, err := inPeriod(in)
	if err != nil {
		return State{}, err
	}
	var exact money.Wide
	exact.AddProduct(change, money.FromInt(at))
	if s.Exact, err = s.Exact.Plus(exact); err != nil {
		return State{}, err
	}
	s.At = length
	return with(s, change)
}

// inPeriod gives the event's time since the period's start, and the length of the period.
func inPeriod(in *Input) (at, length int64, err error) {
	p := in.Period
	length = p.End - p.Start
	if p.Start == catalog.Always || p.End == catalog.Never || length <= 0 {
		return 0, 0, ErrNoPeriod
	}
	return max(p.Start, min(in.Time, p.End)) - p.Start, length, nil
}

// averageLevel gives the integral of the level over the period, divided by its length. A change that happens at t counts
// for what is left of the period: with changes d at t and the length p, Σ d × (p − t) / p.
func averageLevel(s *State) (money.Decimal, error) {
	if s.At == 0 {
		return s.Sum, nil // changes under a rate that has not said how long the period is
	}
	missing := s.Exact
	missing.SubProduct(s.Sum, money.FromInt(s.At))
	average, err := missing.Quo(s.At)
	return average.Neg(), err
}
