package collector

import (
	"sync"
	"time"
)

// alarm calls when open batches are due: one timer for all lanes, for the batches that a call begins are due together.
type alarm struct {
	mu      sync.Mutex
	waiting []entry
	at      time.Time // when the timer rings; zero: not at all
	timer   *time.Timer
}

// entry is a batch that waits in a lane.
type entry struct {
	lane  int
	batch *batch
	due   time.Time
}

// set has ring called when the batch is due.
func (a *alarm) set(e entry, ring func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting = append(a.waiting, e)
	if a.at.IsZero() || e.due.Before(a.at) {
		a.ringAt(e.due, ring)
	}
}

func (a *alarm) ringAt(due time.Time, ring func()) {
	a.at = due
	if a.timer == nil {
		a.timer = time.AfterFunc(time.Until(due), ring)
		return
	}
	a.timer.Reset(time.Until(due))
}

// early is how much sooner than due a batch may go when others are: a ring for each would cost more than the wait brings.
const early = 300 * time.Microsecond

// due takes out what is due now, and has ring called for the rest.
func (a *alarm) due(now time.Time, ring func()) []entry {
	a.mu.Lock()
	defer a.mu.Unlock()
	var due []entry
	var next time.Time
	rest := a.waiting[:0]
	for _, e := range a.waiting {
		switch {
		case e.due.Sub(now) <= early:
			due = append(due, e)
			continue
		case next.IsZero() || e.due.Before(next):
			next = e.due
		}
		rest = append(rest, e)
	}
	clear(a.waiting[len(rest):])
	a.waiting, a.at = rest, time.Time{}
	if !next.IsZero() {
		a.ringAt(next, ring)
	}
	return due
}
