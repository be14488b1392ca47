// Package price computes what usage costs: two pure functions fold usage events into a state and
// give the price of a state, for every rating method and aggregation of the catalogue.
//
// It imports ledger/money and rater/catalog, takes no clock, context, driver or logger, and does
// not allocate on Aggregate, Total and LineTotal. Invariants:
//
//   - A charge is the difference of two totals, so the charges of a line sum exactly to its amount.
//   - Merge is commutative and associative, and Aggregate is Merge with the state of one event: a
//     total does not depend on the order of events nor on how they were batched.
//   - Each Total is exact with 24 decimals and rounded half away from zero to the 12th, once.
//   - A state without events costs nothing, whatever the method.
//
// Where a new rating method goes: one file with its total and its terms, one row in methods. A new
// aggregation: one row in aggregations, its part of State, and of Merge.
package price

import (
	"errors"
	"fmt"
	"math"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// ErrNegativeQuantity reports an event that takes usage back where a quantity cannot: with the
// aggregation count, a correction must name the event that it corrects.
var ErrNegativeQuantity = errors.New("a negative quantity cannot take back a counted event: " +
	"send a correction that names the event")

// ErrUnsupported reports a rate with a method or an aggregation that this package does not know. The
// catalogue refuses such rates when they are written.
var ErrUnsupported = errors.New("not supported")

// State is what the events of one segment add up to; the zero value is no events. Each aggregation
// reads the part that it prices, so a segment keeps its meaning when the next rate counts otherwise.
type State struct {
	Sum    money.Decimal // of the quantities, each rounded as the rate rounds events
	Events int64
}

// Input is what one event brings.
type Input struct {
	Quantity money.Decimal
}

// Merge joins the states of two disjoint sets of events, or gives money.ErrOverflow.
func Merge(a, b State) (State, error) {
	sum, err := a.Sum.Add(b.Sum)
	if err != nil {
		return State{}, err
	}
	if b.Events > 0 && a.Events > math.MaxInt64-b.Events {
		return State{}, money.ErrOverflow
	}
	return State{Sum: sum, Events: a.Events + b.Events}, nil
}

// Aggregate gives the state s with one more event under the rate r. It returns money.ErrOverflow,
// ErrNegativeQuantity or ErrUnsupported, and then the event does not count.
func Aggregate(r *catalog.Rate, s State, in Input) (State, error) {
	a := aggregationOf(r)
	if a == nil {
		return State{}, unsupported(r, "aggregation", string(r.Aggregation))
	}
	if in.Quantity.Sign() < 0 && !a.takesNegative {
		return State{}, ErrNegativeQuantity
	}
	q, err := eventQuantity(&r.Rounding, in.Quantity)
	if err != nil {
		return State{}, err
	}
	return Merge(s, State{Sum: q, Events: 1})
}

// Total gives the price of all the usage in s under the rate r alone. It returns money.ErrOverflow
// or ErrUnsupported.
func Total(r *catalog.Rate, s State) (money.Decimal, error) {
	if s.Events == 0 {
		return money.Decimal{}, nil
	}
	m := methodOf(r)
	if m == nil {
		return money.Decimal{}, unsupported(r, "model", string(r.Model))
	}
	q, err := Quantity(r, s)
	if err != nil {
		return money.Decimal{}, err
	}
	return m.total(r, q)
}

// Quantity gives the quantity of s that r prices: aggregated, then rounded if the rate rounds totals.
func Quantity(r *catalog.Rate, s State) (money.Decimal, error) {
	a := aggregationOf(r)
	if a == nil {
		return money.Decimal{}, unsupported(r, "aggregation", string(r.Aggregation))
	}
	return totalQuantity(&r.Rounding, a.quantity(s))
}

func unsupported(r *catalog.Rate, what, name string) error {
	return fmt.Errorf("rate %s: %s %q: %w", r.ID, what, name, ErrUnsupported)
}
