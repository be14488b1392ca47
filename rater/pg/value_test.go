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

// TestForget: values of sets that are gone, and of sealed periods that end before the instant, are deleted step by step; a connection that
// dies in the middle, or a claim that is over, changes nothing.
func TestForget(t *testing.T) {
	s, pool := open(t)
	ctx := t.Context()
	_, f := acquire(t, s, 3, alice)
	_, other := acquire(t, s, 4, alice)
	const many = 12_000
	c := cut(f, 40)
	c.Seals = []rater.SealState{{Account: "acme", Seals: []rater.SealPoint{{Through: 30 * day, Seq: 1}}}}
	c.Sets = []rater.SetState{
		{Set: id(1), Owed: "acme", End: 90 * day}, {Set: id(2), Owed: "acme", End: 90 * day}, // the first goes
		{Set: id(3), Owed: "acme", End: 10 * day}, // sealed, and older than the instant
		{Set: id(4), Owed: "acme", End: 30 * day}, // sealed
		{Set: id(5), Owed: "root", End: 10 * day}, // not sealed
	}
	for set := 1; set <= 5; set++ {
		c.Values = append(c.Values, valueState(set, 7, 1), valueState(set, 8, 2))
	}
	for i := range many {
		c.Values = append(c.Values, valueState(1, 100+i, 1))
	}
	commit(t, s, rater.OutcomeCommitted, c)
	elsewhere := cut(other, 40)
	elsewhere.Sets = []rater.SetState{{Set: id(1), Owed: "acme", End: 5 * day}}
	elsewhere.Values = []rater.ValueState{valueState(1, 7, 1)}
	commit(t, s, rater.OutcomeCommitted, elsewhere)
	old := f
	f.Next = 40
	count := func(sql string) (n int) {
		t.Helper()
		if err := pool.QueryRow(ctx, sql).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	forget := func(f rater.Fence, want bool) {
		t.Helper()
		if more, err := s.Forget(ctx, f, 20*day); err != nil || more != want {
			t.Fatalf("more %v, %v; want %v", more, err, want)
		}
	}
	forget(f, true) // id(3)
	if n := count("SELECT count(*) FROM rater_value WHERE partition = 3"); n != many+8 {
		t.Fatalf("%d values are left", n)
	}
	forget(f, false)
	c = cut(f, 50)
	c.Sets = []rater.SetState{{Set: id(1), Gone: true}, {Set: id(9), Gone: true}} // the other is of before there were rows of sets
	c.Values = []rater.ValueState{valueState(1, 50, 1), valueState(9, 7, 1)}      // counted before it went
	commit(t, s, rater.OutcomeCommitted, c)
	f.Next = 50
	zombie := f
	zombie.Owner = bob
	forget(zombie, false)
	ahead := f
	ahead.Next = 60 // of before the database fell back
	forget(ahead, false)
	if n := count("SELECT count(*) FROM rater_value WHERE partition = 3"); n != many+10 {
		t.Fatalf("%d values are left", n)
	}
	steps := 0
	for more, killed := true, false; more; steps++ {
		if steps == 1 && !killed { // a step waits for a row, and its connection dies
			killed = true
			blocker, err := pool.Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := blocker.Exec(ctx, "SELECT FROM rater_value WHERE partition = 3 FOR UPDATE"); err != nil {
				t.Fatal(err)
			}
			failed := make(chan error)
			go func() { _, err := s.Forget(ctx, f, 20*day); failed <- err }()
			before := count("SELECT count(*) FROM rater_value")
			if _, err := pool.Exec(ctx, "SELECT pg_terminate_backend($1)", waiting(t, pool)); err != nil {
				t.Fatal(err)
			}
			if err := <-failed; err == nil {
				t.Error("a step whose connection dies succeeds")
			}
			if err := blocker.Rollback(ctx); err != nil {
				t.Fatal(err)
			}
			if n := count("SELECT count(*) FROM rater_value"); n != before {
				t.Errorf("%d values are left of %d", n, before)
			}
		}
		var err error
		if more, err = s.Forget(ctx, old, 20*day); err != nil { // a claim may be behind its own commits
			t.Fatal(err)
		}
		if n := count("SELECT count(*) FROM rater_value"); steps == 0 && n < many/2 {
			t.Errorf("one step leaves %d values", n)
		}
	}
	if steps < 4 {
		t.Errorf("all is gone after %d steps", steps)
	}
	if n := count("SELECT count(*) FROM rater_value WHERE partition = 3"); n != 6 { // of the three that are of use
		t.Errorf("%d values are left", n)
	}
	if sets, values := count("SELECT count(*) FROM rater_set"), count("SELECT count(*) FROM rater_value"); sets != 4 || values != 7 {
		t.Errorf("%d sets and %d values are left", sets, values)
	}
}
