// Package price computes what usage costs: two pure functions fold usage events into a state and
// give the price of a state, for every rating method and aggregation of the catalogue.
//
// It imports ledger/money and rater/catalog, takes no clock, context, driver or logger, and does
// not allocate on Aggregate, Total and LineTotal. Invariants:
//
//   - A charge is the difference of two totals, so the charges of a line sum exactly to its amount.
//   - Merge is commutative and associative, and Aggregate is Merge with the state of one event: a
//     total does not depend on the order of events nor on how they were batched. The charges of methods that price
//     in log order depend on the events before; they merge all the same.
//   - Each Total is exact with 24 decimals and rounded half away from zero to the 12th, once.
//   - A state without events costs nothing, whatever the method, but for a level that was carried over.
//
// Where a new rating method goes: one file with its total and its terms, one row in methods. A new
// aggregation: one row in aggregations, its part of State, and of Merge.
package price

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
	own "github.com/tollstream/tollstream/rater/method"
)

// ErrNegativeQuantity reports an event that takes usage back where a quantity cannot: where events
// are counted, a correction must name the event that it corrects.
var ErrNegativeQuantity = errors.New("a negative quantity cannot take back a counted event: " +
	"send a correction that names the event")

// ErrNoAmount reports an event without an amount of money under a rate that charges the event's own amount.
var ErrNoAmount = errors.New("the event carries no amount: send amount and currency")

// ErrUnsupported reports a rate with a method or an aggregation that this package does not know. The
// catalogue refuses such rates when they are written.
var ErrUnsupported = errors.New("not supported")

// State is what the events of one segment add up to; the zero value is no events. What a state holds goes by
// the kind of its rate (see [SameKind]), and only states of one kind are merged.
type State struct {
	Sum    money.Decimal // of the quantities, each rounded as the rate rounds events; or of the events' money values
	Events int64
	Peak   money.Decimal // max: the largest quantity; latest: the value; split: false: the highest position; time_weighted: the level carried over
	At     int64         // latest: its instant; time_weighted: nanoseconds of the period
	ID     string        // latest: of the event

	// Exact is 100 times the charges as they were made, of methods that price in log order; or, of time_weighted, the
	// sum of each change of the level times the nanoseconds since the period's start, where Sum is of the changes.
	Exact money.Wide
	Rest  *Rest // what few methods need; nil: nothing
}

// Rest is the part of a state that few methods need. It is immutable: replaced, never changed.
type Rest struct {
	Days   []Day // prorate: in their order
	Length int64 // prorate: days of the period

	levels *levels // level: absolute: those of the state and, behind them, of states that came from it
	count  int     // how many are the state's

	unique *Unique // unique: of the whole set …
	places uint64  // … and which places the state is of
}

// Input is what one event brings. A state may keep ID: whoever owns its memory clones it.
type Input struct {
	Quantity money.Decimal
	Money    money.Decimal // the event's amount in the rate's currency, if HasMoney
	HasMoney bool
	ID       string
	Time     int64          // instant
	Period   catalog.Period // of the line's usage
	Zone     *time.Location // in which the period's days are
	Before   *State         // of methods in log order: what was accumulated before the segment; nil: nothing
	Events   int64          // how many events the quantity is the sum of, where AddsUp says that it may be; 0: one
	Value    *Value         // of unique; nil: the event does not say the attribute
	Carried  money.Decimal  // of time_weighted: the level that the period before left
	Line     *own.Line      // on which it falls, for segments that begin with it; Add does not look at it
}

// Merge joins the states of two disjoint sets of events under rates of one kind, or gives money.ErrOverflow.
func Merge(a, b State) (State, error) {
	if err := a.merge(&b); err != nil {
		return State{}, err
	}
	return a, nil
}

// empty says that nothing was used: there is no event, and no level that was carried over.
func (s *State) empty() bool { return s.Events == 0 && (s.At == 0 || s.Peak.IsZero()) }

// merge joins b to s, in place; after an error s means nothing.
func (s *State) merge(b *State) (err error) {
	switch {
	case b.empty():
		return nil
	case s.empty():
		*s = *b
		return nil
	}
	if s.Rest != nil || b.Rest != nil {
		switch {
		case s.Rest != nil && s.Rest.levels != nil || b.Rest != nil && b.Rest.levels != nil:
			return s.mergeLevels(b)
		case s.Rest != nil && s.Rest.unique != nil || b.Rest != nil && b.Rest.unique != nil:
			return s.mergeValues(b)
		}
	}
	if s.Sum, err = s.Sum.Add(b.Sum); err != nil {
		return err
	}
	if s.Events > math.MaxInt64-b.Events {
		return money.ErrOverflow
	}
	s.Events += b.Events
	if !b.Exact.IsZero() {
		s.Exact.AddWide(&b.Exact)
		if err = s.Exact.Err(); err != nil {
			return err
		}
	}
	if s.Rest.hasDays() || b.Rest.hasDays() {
		if s.Rest, err = mergeDays(s.Rest, b.Rest); err != nil {
			return err
		}
	}
	s.keepLater(b.Peak, b.At, b.ID)
	return nil
}

// keepLater lets a value take the place of the one that s holds if it is the later one, or the larger. Where two events of latest have the
// same time and id (from two sources), the larger value counts, so that the order of arrival does not matter.
func (s *State) keepLater(value money.Decimal, at int64, id string) {
	switch {
	case at != s.At:
		if at < s.At {
			return
		}
	case id != s.ID:
		if id < s.ID {
			return
		}
	case value.Cmp(s.Peak) <= 0:
		return
	}
	s.Peak, s.At, s.ID = value, at, id
}

// TakesBack says whether a quantity, or an amount, below zero takes back what was used under the rate. Where it does not, the event itself
// has to be left out: of events that are counted, of the largest and the latest quantity, of distinct values, and of levels that are said.
func TakesBack(r *catalog.Rate) bool {
	if ofMoney(r) {
		return true
	}
	a := aggregationOf(r)
	return a != nil && a.takesNegative && !r.AbsoluteLevel
}

// Aggregate gives the state s with one more event under the rate r. It returns money.ErrOverflow,
// ErrNegativeQuantity, ErrNoAmount, ErrNoAttribute, ErrNoPeriod or ErrUnsupported, and then the event does not count.
func Aggregate(r *catalog.Rate, s State, in Input) (State, error) {
	if err := Add(r, &s, &in); err != nil {
		return State{}, err
	}
	return s, nil
}

// Add is Aggregate in place, since a state is large to hand around; after an error s means nothing.
func Add(r *catalog.Rate, s *State, in *Input) (err error) {
	if ofMoney(r) {
		return s.addMoney(r, in)
	}
	a := aggregationOf(r)
	if a == nil {
		return unsupported(r, "aggregation", string(r.Aggregation))
	}
	if in.Quantity.Sign() < 0 && !a.takesNegative {
		return ErrNegativeQuantity
	}
	q, err := eventQuantity(&r.Rounding, in.Quantity)
	if err != nil {
		return err
	}
	switch {
	case r.WholeEvents:
		err = s.addWhole(r, in.Before, q)
	case r.ProrateByDay:
		err = s.addDay(q, in)
	case r.AbsoluteLevel && a.kind == kindTimeWeighted:
		err = s.addLevel(q, in)
	case a.kind == kindTimeWeighted:
		err = s.addChange(q, in)
	case a.kind == kindUnique:
		err = s.addValue(in.Value)
	case a.kind == kindLatest:
		err = s.addOne(q, in.Time, in.ID)
	case a.kind == kindMax:
		err = s.addOne(q, 0, "")
	case in.Events != 0:
		err = s.merge(&State{Events: in.Events, Sum: q})
	default:
		err = s.add(q)
	}
	return err
}

// add counts one more event of the quantity q.
func (s *State) add(q money.Decimal) (err error) {
	if s.Sum, err = s.Sum.Add(q); err != nil {
		return err
	}
	return s.count()
}

// addOne counts one more event, whose value is kept if it is the latest or, without a time, the largest.
func (s *State) addOne(value money.Decimal, at int64, id string) error {
	if s.Events == 0 {
		s.Peak, s.At, s.ID = value, at, id
	} else {
		s.keepLater(value, at, id)
	}
	return s.count()
}

// count counts one more event.
func (s *State) count() error {
	if s.Events == math.MaxInt64 {
		return money.ErrOverflow
	}
	s.Events++
	return nil
}

// Total gives the price of all the usage in s under the rate r alone, on no line that is known. It returns money.ErrOverflow
// or ErrUnsupported.
func Total(r *catalog.Rate, s State) (money.Decimal, error) { return capped(r, &s, nil) }

// TotalOf is Total on a line, without a copy of the state.
func TotalOf(r *catalog.Rate, s *State, line *own.Line) (money.Decimal, error) {
	return capped(r, s, line)
}

func capped(r *catalog.Rate, s *State, line *own.Line) (money.Decimal, error) {
	total, err := uncapped(r, s, line)
	if r.Maximum.Sign() > 0 && total.Cmp(r.Maximum) > 0 {
		return r.Maximum, nil
	}
	return total, err
}

// uncapped is Total without a maximum.
func uncapped(r *catalog.Rate, s *State, line *own.Line) (money.Decimal, error) {
	if s.empty() {
		return money.Decimal{}, nil
	}
	m := methodOf(r)
	if m == nil {
		return money.Decimal{}, unsupported(r, "model", string(r.Model))
	}
	switch {
	case m.stateTotal != nil:
		return m.stateTotal(r, *s)
	case m.lineTotal != nil:
		return m.lineTotal(r, *s, line)
	}
	q, err := billable(r, s)
	if err != nil {
		return money.Decimal{}, err
	}
	return m.total(r, q)
}

// billable gives the quantity of s that r charges for: its Quantity less what is included.
func billable(r *catalog.Rate, s *State) (money.Decimal, error) {
	q, err := quantity(r, s)
	if err != nil || r.Included.IsZero() {
		return q, err
	}
	return beyondIncluded(r, q)
}

// beyondIncluded takes what is included off a quantity above zero, down to none.
func beyondIncluded(r *catalog.Rate, q money.Decimal) (money.Decimal, error) {
	switch {
	case q.Sign() <= 0:
		return q, nil
	case q.Cmp(r.Included) <= 0:
		return money.Decimal{}, nil
	}
	return q.Sub(r.Included)
}

// Quantity gives the quantity of s under r: aggregated, then rounded if the rate rounds totals.
func Quantity(r *catalog.Rate, s State) (money.Decimal, error) { return quantity(r, &s) }

func quantity(r *catalog.Rate, s *State) (money.Decimal, error) {
	q, err := aggregated(r, s)
	if err != nil {
		return money.Decimal{}, err
	}
	return totalQuantity(&r.Rounding, q)
}

// aggregated gives the quantity of s before it is rounded.
func aggregated(r *catalog.Rate, s *State) (money.Decimal, error) {
	a := aggregationOf(r)
	switch {
	case a == nil:
		return money.Decimal{}, unsupported(r, "aggregation", string(r.Aggregation))
	case a.counts:
		return money.FromInt(s.Events), nil
	case a.kind == kindQuantity:
		return s.Sum, nil
	case a.kind == kindTimeWeighted:
		return averageLevel(s)
	case a.kind == kindUnique:
		return uniqueValues(s), nil
	}
	return s.Peak, nil
}

func unsupported(r *catalog.Rate, what, name string) error {
	return fmt.Errorf("rate %s: %s %q: %w", r.ID, what, name, ErrUnsupported)
}
