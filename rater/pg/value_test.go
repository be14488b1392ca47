package pg_test

import (
	"errors"
	"maps"
	"testing"

	"github.com/tollstream/tollstream/rater"
)

func valueState(set, value int, places uint64) rater.ValueState {
	return rater.ValueState{ValueKey: rater.ValueKey{Set: id(set), Hash: id(value)}, Places: places}
}

// TestValuesAreCommittedWithTheirCut: values are read back as they were written, each in its set and on its partition, newer ones
// take the place of older, and a fenced cut writes none.
func TestValuesAreCommittedWithTheirCut(t *testing.T) {
	s, _ := open(t)
	_, f := acquire(t, s, 3, alice)
	_, other := acquire(t, s, 4, alice)
	asked := []rater.ValueKey{
		{Set: id(1), Hash: id(7)}, {Set: id(1), Hash: id(8)}, {Set: id(2), Hash: id(7)}, {Set: id(2), Hash: id(9)},
	}
	same := func(got []rater.ValueState, err error, want ...rater.ValueState) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		found, expected := map[rater.ValueKey]uint64{}, map[rater.ValueKey]uint64{}
		for _, v := range got {
			found[v.ValueKey] = v.Places
		}
		for _, v := range want {
			expected[v.ValueKey] = v.Places
		}
		if !maps.Equal(found, expected) {
			t.Fatalf("read %v, want %v", found, expected)
		}
	}
	read := func(f rater.Fence, want ...rater.ValueState) {
		t.Helper()
		got, err := s.Values(t.Context(), f, asked)
		same(got, err, want...)
	}
	read(f)
	c := cut(f, 40)
	c.Values = []rater.ValueState{valueState(2, 7, 1<<63|1), valueState(1, 8, 1), valueState(1, 7, 2)}
	commit(t, s, rater.OutcomeCommitted, c)
	f.Next = 40
	read(f, valueState(1, 7, 2), valueState(1, 8, 1), valueState(2, 7, 1<<63|1))
	read(other)

	c = cut(f, 50)
	for i := range 5000 { // several statements
		c.Values = append(c.Values, valueState(3, 10+i, 1))
	}
	c.Values = append(c.Values, valueState(1, 8, 3), valueState(2, 9, 4))
	commit(t, s, rater.OutcomeCommitted, c)
	zombie := cut(f, 60) // of before that commit
	zombie.Values = []rater.ValueState{valueState(1, 7, 1)}
	commit(t, s, rater.OutcomeFenced, zombie)
	if _, err := s.Values(t.Context(), f, asked); !errors.Is(err, rater.ErrFenced) {
		t.Fatalf("a zombie read values: %v", err)
	}
	f.Next = 50
	read(f, valueState(1, 7, 2), valueState(1, 8, 3), valueState(2, 7, 1<<63|1), valueState(2, 9, 4))
	got, err := s.ValuesOf(t.Context(), []rater.ValueKey{{Set: id(1), Hash: id(8)}, {Set: id(3), Hash: id(5009)}, {Set: id(1), Hash: id(9)}})
	same(got, err, valueState(1, 8, 3), valueState(3, 5009, 1))
}
