package rater

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Producer produces rated records. Produce does not block; done is called once a record, in the order of the
// partition's records, with the record's offset in `rated`.
type Producer interface {
	Produce(partition int32, value []byte, done func(at int64, err error))
}

// Group is the consumer group as the worker needs it.
type Group interface {
	// Restart makes the group deliver the partition from an offset on again, after it was forgotten and opened anew.
	Restart(partition int32, offset int64, leaderEpoch int32)
	// Pause stops the delivery of a partition, Resume goes on with it.
	Pause(partition int32)
	Resume(partition int32)
	// Committed moves the group's offset, which is only looked at for the lag.
	Committed(partition int32, offset int64)
}

// Intervals say how often a partition turns to its stores. Under load each waits for the one before it.
type Intervals struct {
	Project    time.Duration // while busy; an idle partition projects at once
	Checkpoint time.Duration
	Look       time.Duration // of an idle owner at its row; also how often an idle view's head moves
	Drain      time.Duration // the longest that a graceful stop waits for acknowledgements and the checkpoint
	Retry      time.Duration // after a failed read
	Reopen     time.Duration // after a partition was forgotten
	Skip       time.Duration // between looks for an operator's skip
}

// DefaultIntervals are those of the design.
func DefaultIntervals() Intervals {
	return Intervals{
		Project: 75 * time.Millisecond, Checkpoint: 500 * time.Millisecond, Look: 2 * time.Second,
		Drain: 20 * time.Second, Retry: 200 * time.Millisecond, Reopen: time.Second, Skip: 10 * time.Second,
	}
}

// Poison keeps count of an offset's failures, across processes.
type Poison interface {
	// Failed notes that the rater panicked at the offset and says how often it has by now.
	Failed(ctx context.Context, partition int32, offset int64, index int, message string) (times int, err error)
	// ClearFailures forgets those below an offset that has been committed.
	ClearFailures(ctx context.Context, partition int32, below int64) error
	// Skipped says whether an operator told the rater to pass over an event at the offset.
	Skipped(ctx context.Context, partition int32, offset int64) (bool, error)
}

// maxFailures is how often an offset may fail before its partition stops.
const maxFailures = 3

// Config is what a Worker is made of.
type Config struct {
	Stores    Stores
	Live      Live
	Producer  Producer
	Poison    Poison
	Limits    Limits
	Intervals Intervals
	Random    func() [16]byte
	Metrics   *Metrics
	Log       *slog.Logger
}

// Worker rates the partitions that are assigned to one process: one goroutine a partition, one that commits the
// cuts of all of them, one that projects. Assign, Deliver, Revoke and Lost are called by the consumer group's adapter.
type Worker struct {
	Config
	group Group

	mu      sync.Mutex
	runners map[int32]*runner
	stopped map[int32]error // partitions that wait for an operator
	gap     map[int32]int   // gaps found in a partition's deliveries since it last went on

	cuts   chan cutWork
	shows  chan showWork
	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// NewWorker starts the worker's committing and projecting goroutines; Close ends them.
func NewWorker(c Config) *Worker {
	w := &Worker{
		Config: c, runners: map[int32]*runner{}, stopped: map[int32]error{}, gap: map[int32]int{},
		cuts: make(chan cutWork, 64), shows: make(chan showWork, 64),
	}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	w.done.Add(3)
	go func() { defer w.done.Done(); w.measureLoop() }()
	go func() { defer w.done.Done(); w.commitLoop() }()
	go func() { defer w.done.Done(); w.showLoop() }()
	return w
}

// Use names the consumer group, before the first assignment.
func (w *Worker) Use(g Group) { w.group = g }

// Assign opens a partition and says from where it is to be delivered. It tries until it succeeds or ctx ends, since a
// partition that is not rated helps nobody.
func (w *Worker) Assign(ctx context.Context, partition int32) (offset int64, leaderEpoch int32, err error) {
	for {
		p, err := Open(ctx, partition, w.Stores, w.Limits, Faults{}, w.Random)
		if err == nil {
			offset, leaderEpoch = p.Next()
			w.start(partition, p)
			return offset, leaderEpoch, nil
		}
		if errors.Is(err, ErrDiverged) {
			w.halt(partition, err)
			return 0, -1, err
		}
		w.Log.Warn("partition cannot be opened yet", "partition", partition, "error", err)
		select {
		case <-time.After(w.Intervals.Reopen):
		case <-ctx.Done():
			return 0, -1, fmt.Errorf("open partition %d: %w", partition, errors.Join(err, ctx.Err()))
		}
	}
}

func (w *Worker) start(partition int32, p *Partition) {
	r := newRunner(w, partition, p)
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.stopped, partition)
	w.runners[partition] = r
	w.done.Add(1)
	go func() { defer w.done.Done(); r.run() }()
}

// Deliver hands records to their partition, with the offset after the partition's last record.
func (w *Worker) Deliver(partition int32, in []Input, end int64) {
	w.mu.Lock()
	r := w.runners[partition]
	w.mu.Unlock()
	if r != nil {
		r.deliver(in, end)
	}
}

// Revoke drains partitions that are being taken away: what was rated is checkpointed, so that the next owner begins
// there.
func (w *Worker) Revoke(partitions []int32) {
	var wait sync.WaitGroup
	for _, p := range partitions {
		if r := w.take(p); r != nil {
			wait.Add(1)
			go func() { defer wait.Done(); r.stop(true) }()
		}
	}
	wait.Wait()
}

// Lost forgets partitions that were taken away already.
func (w *Worker) Lost(partitions []int32) {
	for _, p := range partitions {
		if r := w.take(p); r != nil {
			r.stop(false)
		}
	}
}

// Broken stops a partition whose log cannot be read on: records are gone, or the broker lost acknowledged ones.
func (w *Worker) Broken(partition int32, err error) {
	if r := w.take(partition); r != nil {
		r.stop(false)
	}
	w.halt(partition, err)
}

func (w *Worker) take(partition int32) *runner {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.runners[partition]
	delete(w.runners, partition)
	return r
}

// halt stops a partition until an operator has looked at it; the others go on.
func (w *Worker) halt(partition int32, err error) {
	w.mu.Lock()
	w.stopped[partition] = err
	w.mu.Unlock()
	w.Metrics.stopped.Inc()
	w.Log.Error("partition stopped, nothing of it is rated until this is resolved", "partition", partition, "error", err)
}

func (w *Worker) gaps(partition int32) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gap[partition]++
	return w.gap[partition]
}

// progressed forgets the gaps of a partition that goes on.
func (w *Worker) progressed(partition int32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.gap, partition)
}

// reopen opens a forgotten partition again after a while, unless it was taken away.
func (w *Worker) reopen(old *runner) {
	if w.group == nil {
		return
	}
	w.done.Add(1)
	go func() {
		defer w.done.Done()
		select {
		case <-time.After(w.Intervals.Reopen):
		case <-w.ctx.Done():
			return
		}
		w.mu.Lock()
		mine := w.runners[old.partition] == old
		w.mu.Unlock()
		if !mine {
			return
		}
		if offset, epoch, err := w.Assign(w.ctx, old.partition); err == nil {
			w.group.Restart(old.partition, offset, epoch)
		}
	}()
}

// measureLoop keeps the lag's gauges.
func (w *Worker) measureLoop() {
	const every = time.Second
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-ticker.C:
		}
		var records int64
		var oldest time.Duration
		w.mu.Lock()
		for _, r := range w.runners {
			records += max(0, r.end.Load()-r.position.Load())
			if at := r.waiting.Load(); at != 0 {
				oldest = max(oldest, time.Since(time.Unix(0, at)))
			}
		}
		w.mu.Unlock()
		w.Metrics.lagRecords.Set(float64(records))
		w.Metrics.lagSeconds.Set(oldest.Seconds())
	}
}

// awaitSkip opens a partition that stopped at an offset again once an operator has told the rater to pass over what
// fails there.
func (w *Worker) awaitSkip(old *runner, offset int64) {
	w.done.Add(1)
	go func() {
		defer w.done.Done()
		ticker := time.NewTicker(w.Intervals.Skip)
		defer ticker.Stop()
		for {
			select {
			case <-w.ctx.Done():
				return
			case <-ticker.C:
			}
			w.mu.Lock()
			mine := w.runners[old.partition] == old
			w.mu.Unlock()
			if !mine {
				return
			}
			if skipped, err := w.Poison.Skipped(w.ctx, old.partition, offset); err != nil || !skipped {
				continue
			}
			if next, epoch, err := w.Assign(w.ctx, old.partition); err == nil {
				w.group.Restart(old.partition, next, epoch)
			}
			return
		}
	}()
}

// Status is what an operator sees of a partition.
type Status struct {
	Partition int32
	Position  int64 // the next usage offset to rate
	End       int64 // the offset after the log's last record, as last heard
	Stopped   string
}

// Status lists the partitions of this process.
func (w *Worker) Status() []Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]Status, 0, len(w.runners)+len(w.stopped))
	for p, r := range w.runners {
		out = append(out, Status{Partition: p, Position: r.position.Load(), End: r.end.Load()})
	}
	for p, err := range w.stopped {
		out = append(out, Status{Partition: p, Stopped: err.Error()})
	}
	return out
}

// Close ends the worker. Partitions that were not revoked are forgotten without a checkpoint.
func (w *Worker) Close() {
	w.mu.Lock()
	var left []int32
	for p := range w.runners {
		left = append(left, p)
	}
	w.mu.Unlock()
	w.Lost(left)
	w.cancel()
	w.done.Wait()
}

type cutWork struct {
	cut  *Cut
	done chan<- Outcome
}

// commitLoop commits the cuts of all partitions that are ready at the same time in one transaction.
func (w *Worker) commitLoop() {
	for {
		var work []cutWork
		select {
		case c := <-w.cuts:
			work = append(work, c)
		case <-w.ctx.Done():
			return
		}
		for more := true; more && len(work) < cap(w.cuts); {
			select {
			case c := <-w.cuts:
				work = append(work, c)
			default:
				more = false
			}
		}
		cuts := make([]*Cut, len(work))
		for i := range work {
			cuts[i] = work[i].cut
		}
		began := time.Now()
		for i, o := range w.Stores.Store.Commit(w.ctx, cuts) {
			if o == OutcomeUnknown {
				w.Metrics.errors.WithLabelValues("checkpoint").Inc()
			}
			work[i].done <- o
		}
		w.Metrics.checkpointSeconds.Observe(time.Since(began).Seconds())
	}
}

type showWork struct {
	work *LiveWork
	done chan<- LiveResult
}

// showLoop writes the projections of all partitions that are ready at the same time in one round trip.
func (w *Worker) showLoop() {
	for {
		var work []showWork
		select {
		case s := <-w.shows:
			work = append(work, s)
		case <-w.ctx.Done():
			return
		}
		for more := true; more && len(work) < cap(w.shows); {
			select {
			case s := <-w.shows:
				work = append(work, s)
			default:
				more = false
			}
		}
		ps := make([]*Projection, len(work))
		for i := range work {
			ps[i] = work[i].work.Projection
		}
		began := time.Now()
		applied, err := w.Live.Project(w.ctx, ps)
		if err != nil {
			w.Metrics.errors.WithLabelValues("project").Inc()
			w.Log.Warn("the live view cannot be written, readers fall back to PostgreSQL", "error", err)
		}
		w.Metrics.projectSeconds.Observe(time.Since(began).Seconds())
		for i := range work {
			work[i].done <- LiveResult{Applied: err == nil && applied[i]}
		}
	}
}
