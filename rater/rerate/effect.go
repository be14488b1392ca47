package rerate

import (
	"reflect"
	"slices"

	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price"
)

// effect is what newer definitions do to usage that was rated before.
type effect uint8

const (
	effectNone       effect = iota
	effectPrices            // the same rates answer, at other prices: what was added up is priced anew
	effectBoundaries        // another rate answers, or what was added up is of no use: the usage is summed up anew
)

// effectOn compares what two plans of an account answer for a product, and for usage that fell into a package, in a period.
func effectOn(before, after *catalog.Plan, product, pkg string, from, until int64) effect {
	old, now := before.Snapshot().Product(product), after.Snapshot().Product(product)
	switch {
	case old == nil:
		return effectNone // nothing can have been rated
	case now == nil || !slices.Equal(old.GroupBy, now.GroupBy):
		return effectBoundaries
	}
	worst := effectNone
	for _, name := range named(pkg) {
		for t := from; t < until && worst < effectBoundaries; {
			a, refusedBefore := before.Resolve(old, name, t)
			b, refused := after.Resolve(now, name, t)
			switch {
			case refusedBefore != "": // nothing was rated, and what is rejected is retried by its sender
			case refused != "" || a.Package != b.Package:
				worst = effectBoundaries
			default:
				worst = max(worst, compareRates(a.Rate, b.Rate))
			}
			_, endBefore := before.Constant(old, name, t)
			_, endAfter := after.Constant(now, name, t)
			next := min(endBefore, endAfter)
			if next <= t { // nothing is remembered of the package: it does not exist
				break
			}
			t = next
		}
	}
	return worst
}

// named gives the packages that events may have named, of usage that fell into one: "" is none.
func named(pkg string) []string {
	if pkg == "" {
		return []string{""}
	}
	return []string{"", pkg}
}

// compareRates says what it does to a segment when b prices it instead of a.
func compareRates(a, b *catalog.Rate) effect {
	switch {
	case a == b:
		return effectNone
	case a.Owner != b.Owner || a.ID != b.ID || a.Start != b.Start || a.Cell != b.Cell || a.Currency != b.Currency || (a.Matrix == nil) != (b.Matrix == nil):
		return effectBoundaries
	case a.Seq == b.Seq:
		return effectNone
	case a.Pool != b.Pool || (a.Model == catalog.ModelCapacity) != (b.Model == catalog.ModelCapacity):
		return effectBoundaries // other usage has the tiers together
	case a.Matrix != nil:
		return max(compareMatrices(a.Matrix, b.Matrix), comparePrices(a, b))
	case price.Shape(a) != price.Shape(b) || roundsEvents(a.Rounding) && a.Rounding != b.Rounding || roundsEvents(b.Rounding) && a.Rounding != b.Rounding:
		return effectBoundaries
	}
	changed := comparePrices(a, b)
	if changed == effectPrices && (price.InLogOrder(a) || price.InLogOrder(b)) {
		return effectBoundaries // the state holds charges
	}
	return changed
}

// roundsEvents says whether what was added up is rounded.
func roundsEvents(r catalog.Rounding) bool {
	return r.PerEvent || !r.First.IsZero() || !r.Next.IsZero()
}

// comparePrices looks at everything that may change an amount.
func comparePrices(a, b *catalog.Rate) effect {
	x, y := *a, *b
	for _, r := range []*catalog.Rate{&x, &y} {
		r.Seq, r.End, r.Matrix, r.Outer = 0, 0, nil, nil
	}
	if reflect.DeepEqual(x, y) {
		return effectNone
	}
	return effectPrices
}

// compareMatrices compares cell by cell where both choose alike.
func compareMatrices(a, b *catalog.Matrix) effect {
	if !reflect.DeepEqual(a.Dimensions, b.Dimensions) || len(a.Entries) != len(b.Entries) || (a.Default == nil) != (b.Default == nil) {
		return effectBoundaries
	}
	worst := effectNone
	if a.Default != nil {
		worst = compareCells(a.Default, b.Default)
	}
	for i := range a.Entries {
		if !reflect.DeepEqual(a.Entries[i].Match, b.Entries[i].Match) {
			return effectBoundaries
		}
		worst = max(worst, compareCells(a.Entries[i].Rate, b.Entries[i].Rate))
	}
	return worst
}

// compareCells is compareRates for prices in a matrix, which are as old as the rate around them.
func compareCells(a, b *catalog.Rate) effect {
	x, y := *a, *b
	x.Start, y.Start, x.Seq, y.Seq = 0, 0, 1, 2
	return compareRates(&x, &y)
}
