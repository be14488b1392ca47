package rater

import (
	"sync"

	"github.com/tollstream/tollstream/rater/activity"
)

// aheadMost is how many records are decoded, rated or encoded and not produced yet. They should stay in a processor's cache.
const aheadMost = 8

// turn is records that a runner rates one after another while an assistant decodes those that follow and encodes those before. Each is
// decoded, rated, encoded and taken, in their order; rating and taking are the runner's alone. The runner does
// what it needs and nobody has begun, so that it waits for no more than what is in work.
type turn struct {
	host  host
	batch []Input // with consecutive offsets
	works *[aheadMost]prepared

	mu                             sync.Mutex
	decoded, rated, encoded, taken int  // how many records are, or are being
	doing                          int  // the record that the assistant has in work, -1: none
	waiting                        bool // the runner waits for it
	idle                           bool // the assistant waits for more
	ended                          bool
	more, done                     chan struct{} // wake the assistant, the runner
}

func newTurn(h host, batch []Input, works *[aheadMost]prepared) *turn {
	t := &turn{host: h, batch: batch, works: works, doing: -1, more: make(chan struct{}, 1), done: make(chan struct{}, 1)}
	for t.decoded < min(len(batch), aheadMost) && t.work(t.decoded).holds(&batch[t.decoded]) { // an earlier turn had to end
		t.decoded++
	}
	return t
}

// work is where the record of the batch is worked on. Records keep their places from turn to turn.
func (t *turn) work(i int) *prepared { return &t.works[t.batch[i].Offset%aheadMost] }

// next returns the record that is to be rated, decoded. There must be room for it: fewer than aheadMost are not taken.
func (t *turn) next() *work {
	t.mu.Lock()
	i := t.rated
	w := t.work(i)
	if t.decoded == i {
		t.decoded++
		t.mu.Unlock()
		w.decode(&t.batch[i])
	} else {
		t.await(i)
		t.mu.Unlock()
		if w.failed {
			w.decode(&t.batch[i])
		}
	}
	w.of, w.failed = nil, false
	return &w.work
}

// rates notes that the record that next returned is rated.
func (t *turn) rates() {
	t.mu.Lock()
	t.rated++
	if t.idle && (t.rated-t.encoded >= aheadMost/2 || t.decoded-t.rated <= 1) {
		t.wake()
	}
	t.mu.Unlock()
}

// full says that a result has to be taken before more is rated.
func (t *turn) full() bool { return t.rated-t.taken == aheadMost }

// result returns the oldest rated record that was not taken, encoded; nil if it is not encoded yet and not needed now. After takes its
// memory is used again.
func (t *turn) result(now bool, e *activity.Encoder) *work {
	t.mu.Lock()
	w := t.work(t.taken)
	switch {
	case t.encoded > t.taken && (now || t.doing != t.taken):
		t.await(t.taken)
		t.mu.Unlock()
		if w.failed {
			w.encode(e)
		}
	case now:
		t.encoded++
		t.mu.Unlock()
		w.encode(e)
	default:
		t.mu.Unlock()
		return nil
	}
	w.failed = false
	return &w.work
}

// takes notes that the result is taken.
func (t *turn) takes() {
	t.mu.Lock()
	t.taken++
	t.mu.Unlock()
}

// await waits until the assistant is done with a record. It is called with mu held.
func (t *turn) await(i int) {
	for t.doing == i {
		t.waiting = true
		t.block(t.done)
	}
}

// block waits without the lock.
func (t *turn) block(wake chan struct{}) {
	t.mu.Unlock()
	defer t.mu.Lock()
	t.host.block(wake, nil, -1)
}

// end ends the turn. What was decoded and not rated is kept for the next one.
func (t *turn) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	t.wake()
	if t.doing >= 0 {
		t.await(t.doing)
	}
}

func (t *turn) wake() {
	select {
	case t.more <- struct{}{}:
	default:
	}
}

// assist decodes ahead of the runner and encodes behind it until the turn ends.
func (t *turn) assist() {
	var e activity.Encoder
	t.mu.Lock()
	defer t.mu.Unlock()
	for !t.ended {
		decodes := t.decoded < min(len(t.batch), t.taken+aheadMost)
		switch {
		case decodes && t.decoded-t.rated <= 1, decodes && t.encoded == t.rated:
			t.decoded++
			t.do(t.decoded-1, (*prepared).ahead)
		case t.encoded < t.rated:
			t.encoded++
			t.do(t.encoded-1, func(w *prepared, _ *Input) { w.encode(&e) })
		default:
			t.idle = true
			t.block(t.more)
			t.idle = false
		}
	}
}

// do does a piece of work without the lock. If it panics the runner will do it again: the panic is its to tell of.
func (t *turn) do(i int, work func(w *prepared, in *Input)) {
	w, in := t.work(i), &t.batch[i]
	t.doing = i
	t.mu.Unlock()
	defer func() {
		w.failed = recover() != nil
		t.mu.Lock()
		t.doing = -1
		if t.waiting {
			t.waiting = false
			t.done <- struct{}{}
		}
	}()
	work(w, in)
}
