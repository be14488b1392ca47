package price

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/tollstream/tollstream/ledger/money"
)

// With level: absolute an event says the level itself, so what it changes depends on the one before it in the order of time, which may come
// later. A state therefore keeps them all, and beside them what changes would have added up to: an event changes that by its own step
// and by the step behind it, so a level is averaged as changes are.

// Level is what one event said.
type Level struct {
	At    int64 // nanoseconds since the period's start
	ID    string
	Value money.Decimal
}

// levels are never changed, only appended to, and by one state alone: another that came from the same one copies them.
type levels struct{ all []Level }

// Levels gives the levels of a state in their order; not to be changed.
func (r *Rest) Levels() []Level {
	if r == nil || r.levels == nil {
		return nil
	}
	return r.levels.all[:r.count:r.count]
}

// RestOfLevels makes the rest of a state of levels that stand in their order.
func RestOfLevels(all []Level) *Rest { return &Rest{levels: &levels{all}, count: len(all)} }

// compare orders levels by time, then the id of the event, then (for there may be two sources) the level: the last one counts.
func (l *Level) compare(to *Level) int {
	return cmp.Or(cmp.Compare(l.At, to.At), cmp.Compare(l.ID, to.ID), l.Value.Cmp(to.Value))
}

// InOrder says whether the levels stand in their order.
func InOrder(all []Level) bool {
	return slices.IsSortedFunc(all, func(a, b Level) int { return a.compare(&b) })
}

// addLevel adds one more event, of the level value.
func (s *State) addLevel(value money.Decimal, in *Input) error {
	at, length, err := inPeriod(in)
	if err != nil {
		return err
	}
	l := Level{At: at, ID: in.ID, Value: value}
	have := s.Rest.Levels()
	place := len(have)
	for place > 0 && have[place-1].compare(&l) > 0 { // mostly none
		place--
	}
	if err := s.step(have[:place], have[place:], &l); err != nil {
		return err
	}
	if err := s.count(); err != nil {
		return err
	}
	s.At, s.Peak = length, in.Carried
	l.ID = strings.Clone(l.ID)
	switch {
	case s.Rest == nil || s.Rest.levels == nil:
		s.Rest = RestOfLevels([]Level{l})
	case place == len(have) && len(s.Rest.levels.all) == len(have):
		s.Rest.levels.all = append(s.Rest.levels.all, l)
		s.Rest = &Rest{levels: s.Rest.levels, count: len(have) + 1}
	default:
		all := make([]Level, 0, len(have)+1+len(have)/4)
		all = append(append(append(all, have[:place]...), l), have[place:]...)
		s.Rest = RestOfLevels(all)
	}
	return nil
}

// step adds to Sum and Exact what a level between others changes.
func (s *State) step(before, after []Level, l *Level) error {
	step := l.Value
	var err error
	if n := len(before); n > 0 {
		if step, err = step.Sub(before[n-1].Value); err != nil {
			return err
		}
	}
	s.Exact.AddProduct(step, money.FromInt(l.At))
	if len(after) > 0 {
		s.Exact.SubProduct(step, money.FromInt(after[0].At))
	} else if s.Sum, err = s.Sum.Add(step); err != nil {
		return err
	}
	return s.Exact.Err()
}

// mergeLevels joins b to s, both with events, of which at least one has levels.
func (s *State) mergeLevels(b *State) error {
	mine, others := s.Rest.Levels(), b.Rest.Levels()
	all := make([]Level, 0, len(mine)+len(others))
	for len(mine) > 0 && len(others) > 0 {
		if mine[0].compare(&others[0]) <= 0 {
			all, mine = append(all, mine[0]), mine[1:]
		} else {
			all, others = append(all, others[0]), others[1:]
		}
	}
	all = append(append(all, mine...), others...)
	sum := State{Events: s.Events, At: max(s.At, b.At), Peak: s.Peak, Rest: RestOfLevels(all)}
	for i := range all {
		if err := sum.step(all[:i], nil, &all[i]); err != nil {
			return err
		}
	}
	if sum.Events > math.MaxInt64-b.Events {
		return money.ErrOverflow
	}
	sum.Events += b.Events
	*s = sum
	return nil
}
