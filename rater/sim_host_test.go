package rater

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime/debug"
	"sync"
	"time"
)

// The goroutines of the simulated processes are coroutines: one runs at a time, until it waits for something, and what
// runs next is the seed's choice. So the rater's own loop runs unchanged, and a schedule repeats exactly.

// fiber is one such goroutine.
type fiber struct {
	x  *simProcess
	do func()
	co *coroutine // nil before it has begun

	// what it waits for: nothing of this, then it has not begun, or an answer has come
	waits      bool
	wake, done <-chan struct{}
	until      time.Duration // on the world's clock; negative: never
	after      int           // a slow store: not before this step of the schedule
}

// coroutine runs one fiber after another.
type coroutine struct {
	resume   func() (struct{}, bool)
	stop     func()
	yield    func(struct{}) bool
	f        *fiber
	unwind   bool // the process has crashed: whatever it still does comes to nothing
	panicked any
}

// errUnwound ends a fiber of a process that has crashed.
var errUnwound = errors.New("the process has crashed")

var coroutines struct {
	sync.Mutex
	free []*coroutine
}

func takeCoroutine() *coroutine {
	coroutines.Lock()
	defer coroutines.Unlock()
	if n := len(coroutines.free); n > 0 {
		c := coroutines.free[n-1]
		coroutines.free = coroutines.free[:n-1]
		return c
	}
	c := &coroutine{}
	c.resume, c.stop = iter.Pull(func(yield func(struct{}) bool) {
		c.yield = yield
		for {
			c.run()
			c.f = nil
			if !yield(struct{}{}) {
				return
			}
		}
	})
	return c
}

func (c *coroutine) give() {
	*c = coroutine{resume: c.resume, stop: c.stop, yield: c.yield}
	coroutines.Lock()
	defer coroutines.Unlock()
	coroutines.free = append(coroutines.free, c)
}

func (c *coroutine) run() {
	defer func() {
		if e := recover(); e != nil && !c.unwind {
			if _, ok := e.(violation); !ok {
				e = fmt.Sprintf("%v\n%s", e, debug.Stack())
			}
			c.panicked = e
		}
	}()
	c.f.do()
}

// ready says that the fiber may go on.
func (f *fiber) ready(w *world) bool {
	if f.after > w.steps && !w.quiet {
		return false
	}
	if !f.waits || len(f.wake) > 0 || f.until >= 0 && f.until <= w.clock {
		return true
	}
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// goOn runs a fiber until it waits again.
func (w *world) goOn(f *fiber) {
	if f.waits {
		select {
		case <-f.wake:
		default:
		}
		f.waits, f.wake, f.done = false, nil, nil
	}
	f.after = 0
	if f.co == nil {
		f.co = takeCoroutine()
		f.co.f = f
	}
	before := w.running
	w.running = f
	f.co.resume()
	w.running = before
	if f.co.f == nil {
		f.end()
	}
}

// end takes a fiber that has returned, or panicked, out of its process.
func (f *fiber) end() {
	panicked := f.co.panicked
	f.co.give()
	f.co = nil
	for i, other := range f.x.fibers {
		if other == f {
			f.x.fibers = append(f.x.fibers[:i], f.x.fibers[i+1:]...)
			break
		}
	}
	if panicked != nil {
		panic(panicked)
	}
}

// unwind ends the fibers of a process that has crashed.
func (x *simProcess) unwind() {
	for _, f := range x.fibers {
		if f.co == nil {
			continue
		}
		f.co.unwind = true
		x.w.running = f
		for f.co.f != nil {
			f.co.resume()
		}
		f.co.give()
	}
	x.w.running, x.fibers = nil, nil
}

// park hands control back to the schedule.
func (f *fiber) park() {
	f.co.yield(struct{}{})
	if f.co.unwind {
		panic(errUnwound)
	}
}

// now, start, wait, block and timeout make a process the host of its worker.
func (x *simProcess) now() time.Time { return time.Unix(0, simStart).Add(x.w.clock) }

func (x *simProcess) start(do func()) {
	x.fibers = append(x.fibers, &fiber{x: x, do: do})
}

// wait is only called by the fiber that stops the process, the last one then.
func (x *simProcess) wait() {
	for len(x.fibers) > 1 {
		f := x.w.running
		f.waits, f.until = true, x.w.clock
		f.park()
	}
}

func (x *simProcess) block(wake, done <-chan struct{}, most time.Duration) {
	f := x.w.running
	f.waits, f.wake, f.done, f.until = true, wake, done, -1
	if most >= 0 {
		f.until = x.w.clock + most
	}
	f.park()
}

func (*simProcess) timeout(ctx context.Context, _ time.Duration) (context.Context, context.CancelFunc) {
	return ctx, func() {}
}
