package postgres_test

import (
	"slices"
	"testing"
	"time"

	"github.com/tollstream/tollstream/rater/sink"
	"github.com/tollstream/tollstream/rater/sink/postgres"
)

func TestPositionsNeverMoveBack(t *testing.T) {
	s := postgres.NewState(pool(t))
	ctx := t.Context()
	for _, step := range []struct{ save, want []sink.Position }{
		{nil, nil},
		{[]sink.Position{{Partition: 0, Next: 3, Last: 2}, {Partition: 5, Next: 1, Last: 0}}, []sink.Position{{Partition: 0, Next: 3, Last: 2}, {Partition: 5, Next: 1, Last: 0}}},
		{[]sink.Position{{Partition: 0, Next: 9, Last: 7}}, []sink.Position{{Partition: 0, Next: 9, Last: 7}, {Partition: 5, Next: 1, Last: 0}}},
		{[]sink.Position{{Partition: 0, Next: 4, Last: 3}, {Partition: 5, Next: 2, Last: 1}}, []sink.Position{{Partition: 0, Next: 9, Last: 7}, {Partition: 5, Next: 2, Last: 1}}},
	} {
		if err := s.SavePositions(ctx, step.save); err != nil {
			t.Fatal(err)
		}
		got, err := s.Positions(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, step.want) {
			t.Errorf("after %v: %v, want %v", step.save, got, step.want)
		}
	}
}

func TestLease(t *testing.T) {
	p := pool(t)
	s := postgres.NewState(p)
	hold := func(owner string, want bool) {
		t.Helper()
		got, err := s.Hold(t.Context(), owner, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s: %v, want %v", owner, got, want)
		}
	}
	hold("a", true)
	hold("b", false)
	hold("a", true) // renewed
	if err := s.Release(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	hold("b", false)
	if err := s.Release(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	hold("b", true)
	hold("a", false)
	// Its holder is gone: the lease runs out by itself.
	if _, err := p.Exec(t.Context(), "UPDATE sink_lease SET until = now() - interval '1 second'"); err != nil {
		t.Fatal(err)
	}
	hold("a", true)
	hold("b", false)
}

// Several processes ask at the same moment: one gets it.
func TestLeaseRace(t *testing.T) {
	s := postgres.NewState(pool(t))
	held := make(chan bool)
	for _, owner := range []string{"a", "b", "c", "d"} {
		go func() {
			ok, err := s.Hold(t.Context(), owner, time.Hour)
			held <- ok && err == nil
		}()
	}
	holders := 0
	for range 4 {
		if <-held {
			holders++
		}
	}
	if holders != 1 {
		t.Errorf("%d sinks hold the lease", holders)
	}
}
