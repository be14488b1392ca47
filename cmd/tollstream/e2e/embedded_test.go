package e2e

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// moments are the numbers of acknowledged events at which something happens, in order.
func moments(random *rand.Rand, n int) []int {
	at := make([]int, n)
	for i := range at {
		at[i] = loadEvents/20 + random.IntN(loadEvents*9/10)
	}
	slices.Sort(at)
	return at
}

// faults runs what has to happen at each moment, one after the other, while the load goes on.
type faults struct {
	wait sync.WaitGroup
	told chan int
}

func whenReached(moments []int, happen func(n int)) *faults {
	f := &faults{told: make(chan int, 1024)}
	f.wait.Go(func() {
		next := 0
		for acknowledged := range f.told {
			for next < len(moments) && acknowledged >= moments[next] {
				happen(next)
				next++
			}
		}
		for ; next < len(moments); next++ {
			happen(next)
		}
	})
	return f
}

// after never holds the load up: what is not heard now is heard with the next number, or at the end.
func (f *faults) after(acknowledged int) {
	select {
	case f.told <- acknowledged:
	default:
	}
}

func (f *faults) done() {
	close(f.told)
	f.wait.Wait()
}

func TestEmbeddedKilledFiveTimes(t *testing.T) {
	program(t)
	random := seeded(t)
	l := newLoad(random, loadEvents)
	at, delays := moments(random, 5), make([]time.Duration, 5)
	for i := range delays {
		delays[i] = time.Duration(random.IntN(1200)) * time.Millisecond
	}
	t.Logf("killed after %v acknowledged events and %v", at, delays)
	server, admin, dir := embedded(t)
	admin.apply(t, l.Catalog())
	f := whenReached(at, func(n int) {
		pause(delays[n]) // so that the kill meets rating, projecting and checkpoints too
		server.Kill()
		server = start(t, "the server", "run", "--data-dir", dir, "--http-addr", admin.Address)
		server.says("listening on ")
	})
	l.send(t, []string{admin.Address}, admin.Key, f.after)
	f.done()
	l.prove(t, admin)
	if strings.Contains(server.Output(), "admin key: ") {
		t.Error("a later start printed an admin key")
	}
	if code := server.stop(); code != 0 {
		t.Errorf("SIGTERM: exit code %d", code)
	}
	eventually(t, "nothing is left of the stores", func() error {
		if left := leftovers(dir); len(left) > 0 {
			return errors.New(strings.Join(left, "\n"))
		}
		return nil
	})
}
