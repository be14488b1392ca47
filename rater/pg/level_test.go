package pg_test

import (
	"bytes"
	"cmp"
	"reflect"
	"slices"
	"testing"

	"github.com/tollstream/tollstream/rater"
)

// TestLevelsWaitUntilTheyAreDone: which lines wait is read back in the order of the ends of their periods, of one account and partition, and
// written twice is written once; what is done is gone, whether it was there or not, and a fenced cut changes nothing.
func TestLevelsWaitUntilTheyAreDone(t *testing.T) {
	s, _ := open(t)
	_, f := acquire(t, s, 3, alice)
	_, other := acquire(t, s, 4, alice)
	level := func(owed string, end int64, family int, done bool) rater.LevelState {
		return rater.LevelState{Owed: owed, End: end, Family: id(family), Done: done}
	}
	read := func(f rater.Fence, owed string, through int64, limit int, want ...rater.LevelState) {
		t.Helper()
		slices.SortFunc(want, func(a, b rater.LevelState) int {
			return cmp.Or(cmp.Compare(a.End, b.End), bytes.Compare(a.Family[:], b.Family[:]))
		})
		if got, err := s.Levels(t.Context(), f, owed, through, limit); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("read %v, %v, want %v", got, err, want)
		}
	}
	read(f, "acme", 100, 10)
	c := cut(f, 40)
	c.Levels = []rater.LevelState{level("acme", 50, 9, false), level("acme", 60, 1, false), level("acme", 50, 2, false), level("other", 50, 3, false)}
	commit(t, s, rater.OutcomeCommitted, c)
	f.Next = 40
	read(f, "acme", 60, 10, level("acme", 50, 2, false), level("acme", 50, 9, false), level("acme", 60, 1, false))
	read(f, "acme", 59, 10, level("acme", 50, 2, false), level("acme", 50, 9, false))
	read(f, "acme", 60, 1, level("acme", 50, 9, false))
	read(f, "acme", 49, 10)
	read(other, "acme", 60, 10)

	c = cut(f, 50)
	c.Levels = []rater.LevelState{level("acme", 50, 9, true), level("acme", 60, 1, false), level("acme", 70, 8, true)}
	zombie := cut(f, 50)
	commit(t, s, rater.OutcomeCommitted, c)
	zombie.Levels = []rater.LevelState{level("acme", 50, 2, true)}
	commit(t, s, rater.OutcomeFenced, zombie)
	f.Next = 50
	read(f, "acme", 100, 10, level("acme", 50, 2, false), level("acme", 60, 1, false))
	read(f, "other", 100, 10, level("other", 50, 3, false))
}
