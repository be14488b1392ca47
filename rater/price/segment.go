package price

import (
	"cmp"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// Segment is the part of a line that one rate priced: the usage whose event time the rate covers.
type Segment struct {
	Rate  *catalog.Rate
	State State
}

// CompareSegments orders the segments of a line: by the start of the rate, then by its id.
func CompareSegments(a, b Segment) int {
	return cmp.Or(cmp.Compare(a.Rate.Start, b.Rate.Start), cmp.Compare(a.Rate.ID, b.Rate.ID))
}

// LineTotal gives the amount of a line, whose segments must stand in the order of CompareSegments:
//
//	Σ Total_k(S_k) − Total_k(S_k−1), where S_k is the state accumulated through segment k
//
// so that tiers continue when the rate changes. A rate with TiersRestart accumulates from an empty
// state: its own segment starts at the first tier, and later segments go on from there. The charge
// of an event is the difference of the line's totals after and before it.
func LineTotal(segments []Segment) (money.Decimal, error) {
	var total money.Decimal
	var before State
	for i := range segments {
		amount, after, err := segmentAmount(&segments[i], before)
		if err != nil {
			return money.Decimal{}, err
		}
		if total, err = total.Add(amount); err != nil {
			return money.Decimal{}, err
		}
		before = after
	}
	return total, nil
}

// segmentAmount prices a segment on top of the state before it and gives the state after it.
func segmentAmount(s *Segment, before State) (amount money.Decimal, after State, err error) {
	if s.Rate.TiersRestart {
		before = State{}
	}
	if after, err = Merge(before, s.State); err != nil {
		return money.Decimal{}, State{}, err
	}
	upTo, err := Total(s.Rate, after)
	if err != nil {
		return money.Decimal{}, State{}, err
	}
	already, err := Total(s.Rate, before)
	if err != nil {
		return money.Decimal{}, State{}, err
	}
	amount, err = upTo.Sub(already)
	return amount, after, err
}
