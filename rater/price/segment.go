package price

import (
	"cmp"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
	own "github.com/tollstream/tollstream/rater/method"
)

// Segment is the part of a line that one rate priced: the usage whose event time the rate covers.
type Segment struct {
	Rate  *catalog.Rate // of a matrix the price that was selected
	State State
	Cell  string // the rate's: usage in a cell of a matrix has tiers of its own

	Exchange money.Exchange // turns totals under the rate into the line's currency; the zero one where that is the rate's
	Line     *own.Line      // for rates that look at it, see catalog.Rate.SeesLine; nil: not known
}

// total prices a state as the segment's rate does, in the line's currency.
func (s *Segment) total(state *State) (money.Decimal, error) {
	total, err := capped(s.Rate, state, s.Line)
	if err != nil || !s.Exchange.Used() {
		return total, err
	}
	return s.Exchange.Convert(total)
}

// CompareSegments orders the segments of a line: by cell, then the start of the rate, then its id.
func CompareSegments(a, b Segment) int {
	return cmp.Or(cmp.Compare(a.Cell, b.Cell), compareRates(a.Rate, b.Rate))
}

// LineTotal gives the amount of a line, whose segments must stand in the order of CompareSegments:
//
//	Σ Total_k(S_k) − Total_k(S_k−1), where S_k is the state accumulated through segment k
//
// so that tiers continue when the rate changes. Accumulated are the segments of one cell whose states are of the same
// kind as the rate's: where the kind changes, tiers start anew. Totals of a rate in another currency are converted, each rounded once more. A rate with TiersRestart accumulates from an empty
// state: its own segment starts at the first tier, and later segments go on from there, also where nothing was used under
// it. The charge of an event is the difference of the line's totals after and before it.
//
// Cells are apart from one another, so where no matrix has a maximum a line's amount is the sum of LineTotal of each cell.
func LineTotal(segments []Segment) (money.Decimal, error) {
	if len(segments) == 1 && segments[0].Rate.Outer == nil {
		return segments[0].total(&segments[0].State)
	}
	var total money.Decimal
	w := walk{segments: segments}
	for i := range segments {
		if err := w.to(i); err != nil {
			return money.Decimal{}, err
		}
		amount, err := w.amount()
		if err != nil {
			return money.Decimal{}, err
		}
		if total, err = total.Add(amount); err != nil {
			return money.Decimal{}, err
		}
	}
	for i := range segments {
		if r := segments[i].Rate.Outer; r != nil && r.Maximum.Sign() > 0 {
			above, err := aboveMaximum(segments, i)
			if err == nil {
				total, err = total.Sub(above)
			}
			if err != nil {
				return money.Decimal{}, err
			}
		}
	}
	return total, nil
}

// Before gives what was accumulated before segment i, which is what a method in log order builds on.
func Before(segments []Segment, i int) (State, error) {
	w := walk{segments: segments}
	for j := range i + 1 {
		if err := w.to(j); err != nil {
			return State{}, err
		}
	}
	return w.before, nil
}

// walk goes over segments in order and accumulates their states.
type walk struct {
	segments      []Segment
	at            int // the segment reached
	from          int // the first that is accumulated
	kind          held
	before, after State // S_k−1 and S_k
}

// to reaches segment i, the one after the last that was reached.
func (w *walk) to(i int) (err error) {
	s := &w.segments[i]
	k, from := heldBy(s.Rate), w.from
	if i > 0 && s.Cell != w.segments[i-1].Cell {
		from = i
	}
	from = goesOn(w.segments[:i], from, s.Rate)
	switch {
	case from == i:
		w.before = State{}
	case from == w.from && k == w.kind:
		w.before = w.after
	default:
		if w.before, err = accumulated(w.segments[from:i], k); err != nil {
			return err
		}
	}
	w.at, w.from, w.kind, w.after = i, from, k, w.before
	return w.after.merge(&s.State)
}

// goesOn gives the first of the segments, not before from, whose usage counts for tiers of the rate r behind them.
func goesOn(segments []Segment, from int, r *catalog.Rate) int {
	if r.TiersRestart {
		return len(segments)
	}
	for from < len(segments) && !r.GoesOnFrom(segments[from].Rate.Start) {
		from++
	}
	return from
}

// accumulated merges the states of the kind.
func accumulated(segments []Segment, k held) (State, error) {
	var sum State
	for i := range segments {
		if heldBy(segments[i].Rate) == k {
			if err := sum.merge(&segments[i].State); err != nil {
				return State{}, err
			}
		}
	}
	return sum, nil
}

// amount prices the segment reached.
func (w *walk) amount() (money.Decimal, error) {
	s := &w.segments[w.at]
	upTo, err := s.total(&w.after)
	if err != nil {
		return money.Decimal{}, err
	}
	already, err := s.total(&w.before)
	if err != nil {
		return money.Decimal{}, err
	}
	return upTo.Sub(already)
}
