package price

import (
	"cmp"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// A matrix prices nothing itself: its prices are rates, and usage under each has a state of its own. What remains for the whole is
// its maximum, which caps the sum of its cells.

// aboveMaximum gives by how much the cells of the matrix of segment i exceed its maximum through its usage: what lies above the maximum with
// it, less what lay above with the usage before it. Only the first of the matrix's segments answers; the others give 0.
func aboveMaximum(segments []Segment, i int) (money.Decimal, error) {
	r, exchange := segments[i].Rate.Outer, segments[i].Exchange
	for j := range segments[:i] {
		if compareRates(segments[j].Rate, r) == 0 {
			return money.Decimal{}, nil
		}
	}
	var after, before money.Decimal
	for first := 0; first < len(segments); {
		end := first + 1
		for end < len(segments) && segments[end].Cell == segments[first].Cell {
			end++
		}
		if entry := r.Matrix.Entry(segments[first].Cell); entry != nil {
			up, already, err := cellTotals(segments[first:end], &Segment{Rate: entry, Exchange: exchange, Line: segments[i].Line}, r)
			if err == nil {
				after, err = after.Add(up)
			}
			if err == nil {
				before, err = before.Add(already)
			}
			if err != nil {
				return money.Decimal{}, err
			}
		}
		first = end
	}
	maximum, err := exchange.Convert(r.Maximum)
	if err != nil {
		return money.Decimal{}, err
	}
	above, err := beyond(after, maximum)
	if err != nil {
		return money.Decimal{}, err
	}
	already, err := beyond(before, maximum)
	if err != nil {
		return money.Decimal{}, err
	}
	return above.Sub(already)
}

// cellTotals prices the usage of a cell through the rate r and before it, as r prices the cell: as entry says.
func cellTotals(cell []Segment, entry *Segment, r *catalog.Rate) (after, before money.Decimal, err error) {
	from, at, own := 0, 0, State{}
	for ; at < len(cell) && compareRates(cell[at].Rate, r) <= 0; at++ {
		from = goesOn(cell[:at], from, cell[at].Rate)
		if compareRates(cell[at].Rate, r) == 0 {
			own = cell[at].State
			break
		}
	}
	from = goesOn(cell[:at], from, r)
	s, err := accumulated(cell[from:at], heldBy(entry.Rate))
	if err != nil {
		return after, before, err
	}
	if before, err = entry.total(&s); err != nil {
		return after, before, err
	}
	if s, err = Merge(s, own); err != nil {
		return after, before, err
	}
	after, err = entry.total(&s)
	return after, before, err
}

func beyond(amount, maximum money.Decimal) (money.Decimal, error) {
	if amount.Cmp(maximum) <= 0 {
		return money.Decimal{}, nil
	}
	return amount.Sub(maximum)
}

func compareRates(a, b *catalog.Rate) int {
	return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.ID, b.ID))
}
