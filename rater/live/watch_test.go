package live_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/live"
)

// take returns the next change, or fails the test when none comes.
func take(t *testing.T, changes <-chan live.Change) live.Change {
	t.Helper()
	select {
	case c, ok := <-changes:
		if !ok {
			t.Fatal("the watch ended")
		}
		return c
	case <-time.After(90 * time.Second):
		t.Fatal("no change came")
	}
	return live.Change{}
}

func TestWatch(t *testing.T) {
	both(t, func(t *testing.T, f *fixture) {
		changes, stop := f.r.Watch(t.Context())
		if c := take(t, changes); !c.Gap {
			t.Fatalf("first %+v, want a gap", c)
		}
		// A rebuild tells nothing until it is done, then that everything may have changed.
		f.must(t, true, begin(1))
		page := step(1, 2, lineState(1, 0, 1))
		page.Rebuilding = true
		f.must(t, true, page)
		f.must(t, true, step(2, 3, lineState(2, 0, 1)))
		if c := take(t, changes); !c.Gap {
			t.Errorf("after the rebuild %+v, want a gap", c)
		}
		f.must(t, true, step(3, 4)) // no line changed
		f.must(t, false, step(3, 5, lineState(2, 7, 3)))
		f.must(t, true, step(4, 5, lineState(2, 0, 2), lineState(3, 1, 2), lineState(4, 0, 2)))
		for _, want := range []live.Change{{Billed: "acme-0", Invoice: id(90000)}, {Billed: "acme-1", Invoice: id(90001)}} {
			if c := take(t, changes); c != want {
				t.Errorf("got %+v, want %+v", c, want)
			}
		}
		stop()
		for range changes { // it is closed
		}
	})
}

func TestWatchReportsALostConnection(t *testing.T) {
	both(t, func(t *testing.T, f *fixture) {
		changes, stop := f.r.Watch(t.Context())
		defer stop()
		take(t, changes)
		p := begin(1)
		p.Rebuilding = false
		f.must(t, true, p)
		f.wire.cut()
		if c := take(t, changes); !c.Gap {
			t.Errorf("got %+v after a lost connection, want a gap", c)
		}
		f.must(t, true, step(1, 2, lineState(1, 0, 1)))
		if c := take(t, changes); c.Billed != "acme-0" {
			t.Errorf("got %+v", c)
		}
	})
}

// What waits for a watcher that does not read is bounded; past the bound it is told of a gap.
func TestSlowWatcher(t *testing.T) {
	message := &redis.Message{Payload: live.Payload([]rater.LineState{lineState(1, 0, 1), lineState(2, 1, 1)})}
	var pending []live.Change
	for range live.MaxPending / 2 {
		pending = live.Queue(pending, message)
	}
	if len(pending) != live.MaxPending || pending[0] != (live.Change{Billed: "acme-0", Invoice: id(90000)}) {
		t.Fatalf("%d wait, the first is %+v", len(pending), pending[0])
	}
	gap := []live.Change{{Gap: true}}
	for _, next := range []any{message, message, &redis.Subscription{}, &redis.Pong{}} {
		if pending = live.Queue(pending, next); !reflect.DeepEqual(pending, gap) {
			t.Fatalf("%d wait after %T, want a gap", len(pending), next)
		}
	}
	if pending = live.Queue(nil, message); len(pending) != 2 {
		t.Errorf("%d wait once the gap was read", len(pending))
	}
	for _, payload := range []string{"", "\xff", "\x05acme", "\x04acmeshort"} {
		if pending = live.Queue(nil, &redis.Message{Payload: payload}); !reflect.DeepEqual(pending, gap) {
			t.Errorf("message %q: %v", payload, pending)
		}
	}
}
