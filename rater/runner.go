package rater

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tollstream/tollstream/rater/dedup"
)

// runner is the goroutine around one Partition: it waits, the Partition decides.
type runner struct {
	w         *Worker
	partition int32
	p         *Partition

	mu      sync.Mutex
	queue   []Input // delivered, not yet rated
	paused  bool
	wake    chan struct{}
	quit    chan bool // true: drain first
	quitted sync.Once
	gone    chan struct{}

	end      atomic.Int64
	position atomic.Int64
	waiting  atomic.Int64 // broker's time of the oldest record that waits to be rated, 0: none

	acks    chan ack
	cut     chan Outcome
	found   chan found
	read    chan readBack
	shown   chan LiveResult
	folded  chan folded
	folding bool  // days of identities are being folded
	foldDay int32 // the last day for which that was done
	reading bool  // a gap of `rated` is being read back

	cleared     bool // failures below the first commit are forgotten
	draining    bool
	lastProject time.Time
	lastCut     time.Time
	lastLook    time.Time
	retryAt     time.Time
	timer       *time.Timer
}

type ack struct {
	at  int64
	err error
}

type found struct {
	epoch int64
	owner Owner
	next  int64
	err   error
}

type folded struct {
	days []dedup.Compacted
	err  error
}

type readBack struct {
	entries []RatedEntry
	to      int64
	err     error
}

// Bounds of a runner's queue of delivered records: the delivery is paused above the first and resumed below the second.
const (
	queuePause  = 4096
	queueResume = 1024
	ratePerTurn = 256 // records rated before acknowledgements and outcomes are looked at again
)

func newRunner(w *Worker, partition int32, p *Partition) *runner {
	r := &runner{
		w: w, partition: partition, p: p,
		wake: make(chan struct{}, 1), quit: make(chan bool, 2), gone: make(chan struct{}),
		// Each channel holds what may be outstanding at most, so that nobody who sends to it waits for this goroutine.
		acks: make(chan ack, w.Limits.Unacked+ratePerTurn), cut: make(chan Outcome, 1), found: make(chan found, 1), read: make(chan readBack, 1),
		shown: make(chan LiveResult, 1), folded: make(chan folded, 1), timer: time.NewTimer(0),
	}
	r.position.Store(p.Position())
	r.end.Store(-1)
	return r
}

func (r *runner) deliver(in []Input, end int64) {
	r.mu.Lock()
	r.queue = append(r.queue, in...)
	if len(r.queue) > queuePause && !r.paused {
		r.paused = true
		r.w.group.Pause(r.partition)
	}
	r.mu.Unlock()
	r.end.Store(end)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// stop ends the runner; with drain what was rated is checkpointed first.
func (r *runner) stop(drain bool) {
	r.quitted.Do(func() { r.quit <- drain })
	<-r.gone
}

// run is the loop: rate what was delivered, take what the stores answer, and turn to them when it is time.
func (r *runner) run() {
	defer close(r.gone)
	defer r.timer.Stop()
	for {
		err := r.turn()
		if err == nil {
			err = r.wait()
		}
		if err != nil {
			r.finish(err)
			return
		}
	}
}

var errStopped = errors.New("stopped")

// turn does everything that can be done without waiting.
func (r *runner) turn() error {
	if err := r.rate(); err != nil {
		return err
	}
	now := time.Now()
	r.position.Store(r.p.Position())
	caughtUp := r.p.Position() >= r.end.Load() && r.empty()
	if r.draining {
		return r.drain()
	}
	if now.Sub(r.lastCut) >= r.w.Intervals.Checkpoint && r.p.Freeze() {
		r.lastCut = now
	}
	r.commit()
	if caughtUp || now.Sub(r.lastProject) >= r.w.Intervals.Project {
		if work := r.p.Project(caughtUp, now.Sub(r.lastProject) >= r.w.Intervals.Look); work != nil {
			r.lastProject = now
			r.show(work)
		}
	}
	r.fold()
	if now.Sub(r.lastLook) >= r.w.Intervals.Look && r.p.Idle() {
		r.lastLook = now
		ctx, cancel := context.WithTimeout(r.w.ctx, r.w.Intervals.Look)
		defer cancel()
		if err := r.p.Look(ctx); errors.Is(err, ErrFenced) {
			return err
		}
	}
	return nil
}

func (r *runner) empty() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.queue) == 0
}

// rate rates some of the queue.
func (r *runner) rate() error {
	if r.draining || time.Now().Before(r.retryAt) {
		return nil
	}
	r.mu.Lock()
	batch := r.queue
	r.mu.Unlock()
	n := 0
	for n < len(batch) && n < ratePerTurn && r.p.Room() {
		if err := r.rateOne(&batch[n]); err != nil {
			if final(err) {
				return err
			}
			r.retryAt = time.Now().Add(r.w.Intervals.Retry)
			r.w.Metrics.errors.WithLabelValues("read").Inc()
			r.w.Log.Warn("rating waits for a store", "partition", r.partition, "offset", batch[n].Offset, "error", err)
			break
		}
		n++
	}
	r.mu.Lock()
	r.queue = r.queue[n:]
	r.waiting.Store(0)
	if len(r.queue) > 0 {
		r.waiting.Store(r.queue[0].Time)
	}
	resume := r.paused && len(r.queue) < queueResume
	r.paused = r.paused && !resume
	r.mu.Unlock()
	if resume {
		r.w.group.Resume(r.partition)
	}
	return nil
}

// final says whether an error ends the runner; others are of a store that may come back.
func final(err error) bool {
	var p *poisoned
	return errors.Is(err, ErrFenced) || errors.Is(err, ErrDiverged) || errors.Is(err, ErrDefinitions) || errors.Is(err, errGap) ||
		errors.As(err, &p)
}

var errGap = errors.New("the usage log skips offsets")

// poisoned is a panic of the rating code.
type poisoned struct {
	offset  int64
	index   int
	message string
}

func (e *poisoned) Error() string {
	return fmt.Sprintf("rating offset %d panics: %s", e.offset, e.message)
}

func (r *runner) rateOne(in *Input) (err error) {
	defer func() {
		if e := recover(); e != nil {
			r.w.Log.Error("rating panics", "partition", r.partition, "offset", in.Offset, "panic", e, "stack", string(debug.Stack()))
			err = &poisoned{in.Offset, r.p.EventInWork(), fmt.Sprint(e)}
		}
	}()
	if in.Offset < r.p.Position() {
		return nil
	}
	if in.Offset > r.p.Position() {
		return fmt.Errorf("partition %d goes from offset %d to %d: %w", r.partition, r.p.Position(), in.Offset, errGap)
	}
	value, err := r.p.Rate(r.w.ctx, in)
	if err != nil {
		return err
	}
	r.w.Metrics.rated(r.p)
	if value != nil {
		r.w.Producer.Produce(r.partition, value, func(at int64, err error) { r.acks <- ack{at, err} })
	}
	return nil
}

// commit sends the frozen cut once its rated records stand, and reads back what somebody else wrote between them.
func (r *runner) commit() {
	if c := r.p.Commit(); c != nil {
		r.w.cuts <- cutWork{c, r.cut}
		return
	}
	if from, to, ok := r.p.Gap(); ok && !r.reading {
		r.reading = true
		go func() {
			entries, end, err := r.w.Stores.Rated.Read(r.w.ctx, r.partition, from, to)
			r.read <- readBack{entries, end, err}
		}()
	}
}

// fold lets the store fold the identities of days that are over, once a day of log time.
func (r *runner) fold() {
	logTime, ok := r.p.Compactable()
	day := dedup.Day(logTime)
	if !ok || r.folding || day == r.foldDay {
		return
	}
	r.folding = true
	fence := r.p.Fence()
	go func() {
		days, err := r.w.Stores.Store.Compact(r.w.ctx, fence, logTime)
		r.folded <- folded{days, err}
	}()
	r.foldDay = day
}

// show does what a piece of live work asks for before its projection, beside the rating.
func (r *runner) show(work *LiveWork) {
	go func() {
		var next [16]byte
		more := false
		if work.Look {
			if err := r.w.Stores.Store.Look(r.w.ctx, work.Fence); err != nil {
				r.shown <- LiveResult{}
				return
			}
		}
		if work.Page {
			lines, n, m, err := r.w.Stores.Store.OpenLines(r.w.ctx, work.Fence, work.EndsAfter, work.PageFrom, work.PageLimit)
			if err != nil {
				r.shown <- LiveResult{}
				return
			}
			work.Projection.Lines, next, more = lines, n, m
		}
		done := make(chan LiveResult, 1)
		select {
		case r.w.shows <- showWork{work, done}:
		case <-r.w.ctx.Done():
			r.shown <- LiveResult{}
			return
		}
		select {
		case res := <-done:
			res.PageNext, res.PageMore = next, more
			r.shown <- res
		case <-r.w.ctx.Done():
			r.shown <- LiveResult{}
		}
	}()
}

// wait waits for the next thing to happen and takes it.
func (r *runner) wait() error {
	r.timer.Reset(r.pause())
	select {
	case <-r.wake:
	case <-r.timer.C:
	case drain := <-r.quit:
		if !drain {
			return errStopped
		}
		r.draining = true
		r.timer.Reset(r.w.Intervals.Drain)
		r.lastLook = time.Now()
	case a := <-r.acks:
		return r.acknowledge(a)
	case o := <-r.cut:
		return r.cutDone(o)
	case f := <-r.found:
		return r.cutFound(f)
	case b := <-r.read:
		r.reading = false
		if b.err != nil {
			r.w.Log.Warn("rated cannot be read back", "partition", r.partition, "error", b.err)
			return nil
		}
		return r.p.ReadBack(b.entries, b.to)
	case f := <-r.folded:
		r.folding = false
		r.p.Compacted(f.days)
		if f.err != nil { // a commit came between, or the store is away: once more later
			r.foldDay = 0
			r.w.Log.Debug("identities are not folded yet", "partition", r.partition, "error", f.err)
		}
	case s := <-r.shown:
		r.p.Projected(s)
		if !s.Applied { // another head, or the store is away: not at once again
			r.lastProject = time.Now()
		}
	case <-r.w.ctx.Done():
		return errStopped
	}
	return nil
}

// pause is how long nothing has to be done unless something happens.
func (r *runner) pause() time.Duration {
	if !r.draining && r.p.Room() && !r.empty() && !time.Now().Before(r.retryAt) {
		return 0
	}
	return r.w.Intervals.Project / 3
}

func (r *runner) acknowledge(a ack) error {
	for {
		if a.err != nil {
			return fmt.Errorf("produce to rated partition %d: %w", r.partition, a.err)
		}
		if err := r.p.Acked(a.at); err != nil {
			return err
		}
		select {
		case a = <-r.acks:
		default:
			return nil
		}
	}
}

func (r *runner) cutDone(o Outcome) error {
	if o == OutcomeUnknown {
		go func() {
			epoch, owner, next, err := r.w.Stores.Store.Position(r.w.ctx, r.partition)
			if err != nil {
				time.Sleep(r.w.Intervals.Retry)
			}
			r.found <- found{epoch, owner, next, err}
		}()
	}
	if err := r.p.CutDone(o); err != nil {
		return err
	}
	if o == OutcomeCommitted {
		r.w.progressed(r.partition)
		if !r.cleared {
			r.cleared = true
			next := r.p.Fence().Next
			go func() {
				if err := r.w.Poison.ClearFailures(r.w.ctx, r.partition, next); err != nil {
					r.w.Log.Debug("old failures are still listed", "partition", r.partition, "error", err)
				}
			}()
		}
		r.w.group.Committed(r.partition, r.p.Fence().Next)
	}
	return nil
}

func (r *runner) cutFound(f found) error {
	if f.err != nil {
		return r.cutDone(OutcomeUnknown)
	}
	return r.p.CutFound(f.epoch, f.owner, f.next)
}

// drain checkpoints what was rated and then ends the runner.
func (r *runner) drain() error {
	r.p.Freeze()
	r.commit()
	if r.p.Idle() {
		return errStopped
	}
	if time.Since(r.lastLook) > r.w.Intervals.Drain {
		r.w.Log.Warn("partition is given up before its checkpoint; the next owner replays", "partition", r.partition)
		return errStopped
	}
	return nil
}

// finish ends the runner for a reason: a partition that may be rated again is opened anew, one that contradicts itself
// stops until an operator has looked at it.
func (r *runner) finish(err error) {
	var p *poisoned
	switch {
	case errors.Is(err, errStopped):
		return
	case errors.As(err, &p):
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.w.ctx), r.w.Intervals.Drain)
		defer cancel()
		times, ferr := r.w.Poison.Failed(ctx, r.partition, p.offset, p.index, p.message)
		if ferr == nil && times >= maxFailures {
			r.w.halt(r.partition, fmt.Errorf("%w; `tollstream rejected skip --partition %d --offset %d --index %d` turns the event into rejected usage", err, r.partition, p.offset, p.index))
			r.w.group.Pause(r.partition)
			r.w.awaitSkip(r, p.offset)
			return
		}
	case errors.Is(err, errGap): // what the client still had from before a restart looks like one; a true one stays
		if r.w.gaps(r.partition) >= maxFailures {
			r.halt(err)
			return
		}
	case errors.Is(err, ErrDiverged), errors.Is(err, ErrDefinitions):
		r.halt(err)
		return
	}
	r.w.Metrics.forgotten.Inc()
	r.w.Log.Warn("partition is forgotten and opened again", "partition", r.partition, "error", err)
	r.w.reopen(r)
}

func (r *runner) halt(err error) {
	r.w.take(r.partition)
	r.w.halt(r.partition, err)
	r.w.group.Pause(r.partition)
}
