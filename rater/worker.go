package rater

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Producer produces rated records. Produce does not block; done is called once a record, in the order of the
// partition's records, with the record's offset in `rated`.
type Producer interface {
	Produce(partition int32, value []byte, done func(at int64, err error))
}

// Group is the consumer group as the worker needs it. None of its methods but End waits for the broker.
type Group interface {
	// End is the offset after the partition's last record.
	End(ctx context.Context, partition int32) (int64, error)
	// Read makes the group deliver the partition from an offset on, whatever it delivered before.
	Read(partition int32, offset int64, leaderEpoch int32)
	// Stop ends the delivery of a partition; what was fetched already is dropped.
	Stop(partition int32)
	// Pause holds back the delivery of a partition, Resume goes on with it.
	Pause(partition int32)
	Resume(partition int32)
	// Committed moves the group's offset, which is only looked at for the lag.
	Committed(partition int32, offset int64)
}

// Intervals say how often a partition turns to its stores. Under load each waits for the one before it.
type Intervals struct {
	Project          time.Duration // while busy; an idle partition projects at once
	ProjectBehind    time.Duration // of a partition that has been behind its log for twice as long; up to four times this if its log waits for longer yet
	Checkpoint       time.Duration
	CheckpointBehind time.Duration // likewise
	Fold             time.Duration // without a change, after which lines are folded into their rows
	Look             time.Duration // of an idle owner at its row; also how often an idle view's head moves
	Drain            time.Duration // the longest that a graceful stop waits for acknowledgements and the checkpoint
	Retry            time.Duration // after a store failed
	Answer           time.Duration // the longest that a store may take to answer; after that it counts as away
	Reopen           time.Duration // after a partition was forgotten
	Skip             time.Duration // between looks for an operator's skip
}

// DefaultIntervals are those of the design.
func DefaultIntervals() Intervals {
	return Intervals{
		Project: 75 * time.Millisecond, ProjectBehind: time.Second, Checkpoint: 500 * time.Millisecond, CheckpointBehind: 4 * time.Second,
		Fold: 5 * time.Second,
		Look: 2 * time.Second, Drain: 20 * time.Second, Retry: 200 * time.Millisecond, Answer: 30 * time.Second, Reopen: time.Second, Skip: 10 * time.Second,
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
	Faults    Faults // tests only
	host      host   // nil: goroutines
}

// Worker rates the partitions that are assigned to one process: one goroutine a partition, one that commits the
// cuts of all of them, one that projects. Assign, Deliver, Revoke, Lost and Broken are called by the consumer group's
// adapter; Close comes after its last call.
type Worker struct {
	Config
	group Group

	mu     sync.Mutex
	claims map[int32]*claim // the partitions of this process
	closed bool

	busy   atomic.Int32 // goroutines that rate, and their assistants
	cuts   *gathered[cutWork]
	shows  *gathered[showWork]
	ctx    context.Context
	cancel context.CancelFunc
}

// claim is one assignment of a partition, from Assign until Revoke, Lost or Close. Whatever opens, forgets or stops the
// partition meanwhile does so under this claim: work that was begun under an earlier one comes to nothing.
type claim struct {
	partition int32
	ctx       context.Context // ends with the claim
	cancel    context.CancelFunc

	// under Worker.mu
	runner  *runner // the present one or, when the partition stopped or is opened again, the last; nil before the first
	stopped error   // why the partition waits for an operator
	gaps    int     // found in the deliveries since the partition last went on
}

// NewWorker starts the worker's committing and projecting goroutines; Close ends them.
func NewWorker(c Config) *Worker {
	if c.host == nil {
		c.host = &goroutines{}
	}
	w := &Worker{Config: c, claims: map[int32]*claim{}, cuts: newGathered[cutWork](c.host), shows: newGathered[showWork](c.host)}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	w.host.start(w.measureLoop)
	w.host.start(w.commitLoop)
	w.host.start(w.showLoop)
	return w
}

// Use names the consumer group, before the first assignment.
func (w *Worker) Use(g Group) { w.group = g }

// Assign claims a partition: it is opened, delivered and rated until it is taken away.
func (w *Worker) Assign(partition int32) {
	w.Lost([]int32{partition}) // a group that gives what it never took away
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	c := &claim{partition: partition}
	c.ctx, c.cancel = context.WithCancel(w.ctx)
	w.claims[partition] = c
	w.host.start(func() { w.open(c, 0) })
}

// open opens the claimed partition after a while. It tries until it succeeds or the claim ends, since a partition
// that is not rated helps nobody.
func (w *Worker) open(c *claim, after time.Duration) {
	const slower = 10 // the longest pause, in those of the beginning
	for pause(c.ctx, w.host, after) {
		p, end, err := w.tryOpen(c)
		switch {
		case err == nil:
			w.start(c, p, end)
			return
		case c.ctx.Err() != nil:
			return
		case errors.Is(err, ErrDiverged), errors.Is(err, ErrLost):
			w.halt(c, err)
			return
		}
		w.Log.Warn("partition cannot be opened yet", "partition", c.partition, "error", err)
		after = min(max(2*after, w.Intervals.Reopen), slower*w.Intervals.Reopen)
	}
}

// tryOpen acquires the partition and asks for the end of its log.
func (w *Worker) tryOpen(c *claim) (p *Partition, end int64, err error) {
	const longer = 10 // in the time of other answers: much may have to be read
	ctx, cancel := w.host.timeout(c.ctx, longer*w.Intervals.Answer)
	defer cancel()
	if end, err = w.group.End(ctx, c.partition); err != nil {
		return nil, 0, err
	}
	p, err = Open(ctx, c.partition, w.Stores, w.Limits, w.Faults, w.Random)
	return p, end, err
}

func (w *Worker) start(c *claim, p *Partition, end int64) {
	offset, leaderEpoch := p.Next()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.claims[c.partition] != c { // taken away meanwhile
		return
	}
	c.runner, c.stopped = newRunner(w, c, p, end), nil
	w.host.start(c.runner.run)
	w.group.Read(c.partition, offset, leaderEpoch)
}

// Deliver hands records to their partition, with the offset after the partition's last record.
func (w *Worker) Deliver(partition int32, in []Input, end int64) {
	var r *runner
	w.mu.Lock()
	if c := w.claims[partition]; c != nil {
		r = c.runner
	}
	w.mu.Unlock()
	if r != nil {
		r.deliver(in, end)
	}
}

// Revoke drains partitions that are being taken away: what was rated is checkpointed, so that the next owner begins
// there.
func (w *Worker) Revoke(partitions []int32) { w.release(partitions, true) }

// Lost forgets partitions that were taken away already.
func (w *Worker) Lost(partitions []int32) { w.release(partitions, false) }

func (w *Worker) release(partitions []int32, drain bool) {
	var runners []*runner
	w.mu.Lock()
	for _, p := range partitions {
		c := w.claims[p]
		if c == nil {
			continue
		}
		delete(w.claims, p)
		c.cancel()
		w.group.Stop(p)
		if r := c.runner; r != nil {
			runners = append(runners, r)
		}
	}
	w.mu.Unlock()
	for _, r := range runners {
		r.leave(drain)
	}
	for _, r := range runners {
		w.host.block(nil, r.gone, -1)
	}
}

// Broken stops a partition whose log cannot be read on: records are gone, or the broker lost acknowledged ones.
func (w *Worker) Broken(partition int32, err error) {
	w.mu.Lock()
	c := w.claims[partition]
	w.mu.Unlock()
	if c == nil || !w.halt(c, err) {
		return
	}
	w.mu.Lock()
	r := c.runner
	w.mu.Unlock()
	if r != nil {
		r.leave(false)
		w.host.block(nil, r.gone, -1)
	}
}

// halt stops a partition until an operator has looked at it; the others go on. It reports whether that was news.
func (w *Worker) halt(c *claim, err error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.claims[c.partition] != c || c.stopped != nil {
		return false
	}
	c.stopped = err
	w.group.Stop(c.partition)
	w.Metrics.stopped.Inc()
	w.Log.Error("partition stopped, nothing of it is rated until this is resolved", "partition", c.partition, "error", err)
	return true
}

// reopen forgets what a partition has not committed and opens it again after a while.
func (w *Worker) reopen(c *claim, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.claims[c.partition] != c || c.stopped != nil {
		return
	}
	w.group.Stop(c.partition)
	w.Metrics.forgotten.Inc()
	w.Log.Warn("partition is forgotten and opened again", "partition", c.partition, "error", err)
	w.host.start(func() { w.open(c, w.Intervals.Reopen) })
}

// awaitSkip opens a partition that stopped at an offset again once an operator has told the rater to pass over what
// fails there.
func (w *Worker) awaitSkip(c *claim, offset int64) {
	for pause(c.ctx, w.host, w.Intervals.Skip) {
		ctx, cancel := w.host.timeout(c.ctx, w.Intervals.Answer)
		skipped, err := w.Poison.Skipped(ctx, c.partition, offset)
		cancel()
		if err == nil && skipped {
			w.mu.Lock()
			c.stopped = nil
			w.mu.Unlock()
			w.open(c, 0)
			return
		}
	}
}

// gap counts a gap in the deliveries, progressed forgets those of a partition that goes on.
func (w *Worker) gap(c *claim) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	c.gaps++
	return c.gaps
}

func (w *Worker) progressed(c *claim) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c.gaps = 0
}

// Status is what an operator sees of a partition.
type Status struct {
	Partition int32
	Position  int64 // the next usage offset to rate
	End       int64 // the offset after the log's last record, as last heard
	Stopped   string
}

// Status lists the partitions of this process that were opened or stopped.
func (w *Worker) Status() []Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]Status, 0, len(w.claims))
	for p, c := range w.claims {
		s := Status{Partition: p}
		if c.runner != nil {
			s.Position, s.End = c.runner.position.Load(), c.runner.end.Load()
		}
		if c.stopped != nil {
			s.Stopped = c.stopped.Error()
		}
		if c.runner != nil || c.stopped != nil {
			out = append(out, s)
		}
	}
	return out
}

// measureLoop keeps the lag's gauges.
func (w *Worker) measureLoop() {
	for pause(w.ctx, w.host, time.Second) {
		var records int64
		var oldest time.Duration
		w.mu.Lock()
		for _, c := range w.claims {
			if c.runner == nil {
				continue
			}
			records += max(0, c.runner.end.Load()-c.runner.position.Load())
			if at := c.runner.waiting.Load(); at != 0 {
				oldest = max(oldest, w.host.now().Sub(time.Unix(0, at)))
			}
		}
		w.mu.Unlock()
		w.Metrics.lagRecords.Set(float64(records))
		w.Metrics.lagSeconds.Set(oldest.Seconds())
	}
}

// Close ends the worker and waits for all that it started. Partitions that were not revoked are forgotten without a
// checkpoint.
func (w *Worker) Close() {
	w.mu.Lock()
	w.closed = true
	var left []int32
	for p := range w.claims {
		left = append(left, p)
	}
	w.mu.Unlock()
	w.Lost(left)
	w.cancel()
	w.host.wait()
}
