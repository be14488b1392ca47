package rater

import (
	"bytes"
	"iter"
	"maps"
	"slices"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/rater/activity"
)

// countedSet is a set of values that a family of a sum counts.
type countedSet struct {
	fold   *Fold
	family activity.ID
	set    activity.ID
}

// mostValues are about 200 MB.
const mostValues = 2_000_000

// values is how many are counted.
func (s folding) values() (n int) {
	for _, fold := range s.of {
		n += len(fold.distinct.fresh)
	}
	return n
}

// keepValues notes what counts values, of lines that may still change.
func (out *Sum) keepValues(folds folding, closed map[string]bool) {
	for _, fold := range folds.of {
		for _, f := range fold.order {
			if out.Left[f.product] != "" || closed[periodKey(f.owed, f.period)] {
				continue
			}
			sets := map[activity.ID]bool{}
			setsOf(f.lines, sets)
			for set := range sets {
				out.counted = append(out.counted, countedSet{fold, f.id, set})
			}
		}
	}
	slices.SortFunc(out.counted, func(a, b countedSet) int { return bytes.Compare(a.set[:], b.set[:]) })
}

// Values gives the distinct values that the lines count, as the records that stand before a marker's result.
func (out *Sum) Values(account string, seq, attempt, at int64) iter.Seq[*usage.Values] {
	return func(yield func(*usage.Values) bool) {
		of := map[activity.ID][]usage.Value{}
		for i := range out.counted {
			of[out.counted[i].set] = nil
		}
		for fold := range out.folds() {
			for key, places := range fold.distinct.fresh {
				if values, wanted := of[key.Set]; wanted {
					of[key.Set] = append(values, usage.Value{Hash: key.Hash, Places: places})
				}
			}
		}
		for i := range out.counted {
			c := &out.counted[i]
			values := of[c.set]
			slices.SortFunc(values, func(a, b usage.Value) int { return bytes.Compare(a.Hash[:], b.Hash[:]) })
			for chunk := range slices.Chunk(values, usage.MaxValues) {
				v := usage.Values{
					Account: account, Seq: seq, Attempt: attempt, At: at, Family: c.family, Set: c.set, Values: chunk,
				}
				if !yield(&v) {
					return
				}
			}
			delete(of, c.set)
		}
	}
}

// folds are those in which values were counted.
func (out *Sum) folds() iter.Seq[*Fold] {
	all := map[*Fold]bool{}
	for i := range out.counted {
		all[out.counted[i].fold] = true
	}
	return maps.Keys(all)
}
