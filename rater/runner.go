package rater

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tollstream/tollstream/rater/dedup"
)

// runner is the goroutine around one Partition: it waits, the Partition decides.
type runner struct {
	w         *Worker
	claim     *claim
	partition int32
	p         *Partition

	ctx        context.Context // of everything that the runner asks for; ends with it
	cancel     context.CancelFunc
	rating     context.Context // of the reads of rating, which a stop does not wait for
	stopRating context.CancelFunc
	quitted    sync.Once
	gone       chan struct{}

	delivered
	inbox
	end      atomic.Int64
	position atomic.Int64
	waiting  atomic.Int64 // broker's time of the oldest record that waits to be rated, 0: none

	works   *[aheadMost]prepared // of turns with an assistant, nil before the first
	flying  int                  // bytes produced and not acknowledged
	reading bool                 // a gap of `rated` is being read back
	folding bool                 // days of identities are being folded
	foldDay int32                // the last day for which that was done

	appended     int  // commits since lines were folded into their rows, one for those of owners before
	foldingLines bool // that is being done
	forgetting   bool // values that are of no use are being deleted

	cleared  bool // failures below the first commit are forgotten
	failing  bool // reads of rating fail
	draining bool

	level    time.Time // when the partition had last caught up with its log, at first when it was opened
	lastShow time.Time // when it last turned to the live view
	lastCut  time.Time // when it last froze its changes
	shown    time.Time // when nothing waited to be shown
	saved    time.Time // when nothing was unsaved
	// from when on something may be done, or done again after it failed
	rateAt, commitAt, readAt, projectAt, foldAt, foldLinesAt, forgetAt, lookAt, giveUpAt time.Time
}

type ack struct {
	at    int64
	bytes int
	err   error
}

const (
	ratePerTurn = 256     // records rated before acknowledgements and outcomes are looked at again
	flyingMost  = 4 << 20 // bytes produced and not acknowledged beyond which rating pauses
)

func newRunner(w *Worker, c *claim, p *Partition, end int64) *runner {
	r := &runner{
		w: w, claim: c, partition: c.partition, p: p,
		inbox: inbox{wake: make(chan struct{}, 1)}, gone: make(chan struct{}),
	}
	r.level, r.appended = w.host.now(), 1
	r.ctx, r.cancel = context.WithCancel(w.ctx)
	r.rating, r.stopRating = context.WithCancel(r.ctx)
	r.position.Store(p.Position())
	r.end.Store(end)
	return r
}

// leave tells the runner to end; with drain what was rated is checkpointed first. It has ended when gone is closed.
func (r *runner) leave(drain bool) {
	r.quitted.Do(func() {
		r.answer(func() error {
			if !drain {
				return errStopped
			}
			r.draining, r.giveUpAt = true, r.w.host.now().Add(r.w.Intervals.Drain)
			return nil
		})
	})
	r.stopRating()
	if !drain {
		r.cancel()
	}
}

// run is the loop: rate what was delivered, take what the stores answer, and turn to them when it is time.
func (r *runner) run() {
	defer close(r.gone)
	defer r.cancel()
	for {
		err := r.turn()
		if err == nil {
			r.w.host.block(r.wake, r.ctx.Done(), r.pause())
			err = r.hear()
		}
		if err != nil {
			r.position.Store(r.p.Position())
			r.close()
			r.finish(err)
			return
		}
	}
}

var errStopped = errors.New("stopped")

// turn does everything that can be done without waiting.
func (r *runner) turn() error {
	now := r.w.host.now()
	if r.p.Idle() {
		r.saved = now
	}
	if r.p.Shown() {
		r.shown = now
	}
	if err := r.rate(); err != nil {
		return err
	}
	r.position.Store(r.p.Position())
	now = r.w.host.now()
	if r.draining {
		return r.drain(now)
	}
	caughtUp := r.caughtUp()
	if caughtUp {
		r.level = now
	}
	r.freeze(now)
	r.commit(now)
	r.project(now, caughtUp)
	r.fold(now)
	r.foldLines(now)
	r.forget(now)
	return r.look(now)
}

// due says whether it is time to turn to a store again. While a partition is behind its log the interval grows from the usual one to
// the longest: a line that changes ten times in it is written once, so that the partition catches up sooner, and what it
// shows and saves is late anyway, to which half as much is added. With more than a turn's work before it, it is
// behind for certain, and where records have waited for long yet longer intervals add no more than half either. A longer interval
// begins with the first change, not to write little at once and the rest later.
func (r *runner) due(now, last, clean time.Time, usual, longest time.Duration) bool {
	const far = 4 // the longest interval, in those of a partition that is just behind
	interval := max(usual, min(now.Sub(r.level)/2, longest))
	if longest > usual && r.end.Load()-r.p.Position() > int64(ratePerTurn) {
		interval = max(longest, min(now.Sub(r.p.LogTime())/2, far*longest))
	}
	if interval > usual && clean.After(last) {
		last = clean
	}
	return now.Sub(last) >= interval
}

// freeze freezes what changed since the last checkpoint when it is time to.
func (r *runner) freeze(now time.Time) {
	longest := r.w.Intervals.CheckpointBehind
	if r.p.HalfFull() {
		longest = r.w.Intervals.Checkpoint
	}
	if r.due(now, r.lastCut, r.saved, r.w.Intervals.Checkpoint, longest) && r.p.Freeze() {
		r.lastCut = now
	}
}

// commit sends the frozen cut once its rated records stand, and reads back what somebody else wrote between them.
func (r *runner) commit(now time.Time) {
	if now.Before(r.commitAt) {
		return
	}
	if c := r.p.Commit(); c != nil {
		r.w.cuts.put(cutWork{c, func(o Outcome) { r.answer(func() error { return r.cutDone(o) }) }})
		return
	}
	from, to, ok := r.p.Gap()
	if !ok || r.reading || now.Before(r.readAt) {
		return
	}
	r.reading = true
	r.ask(func(ctx context.Context) {
		entries, end, err := r.w.Stores.Rated.Read(ctx, r.partition, from, to)
		r.answer(func() error { return r.haveRead(entries, end, err) })
	})
}

// ask does something that waits for a store beside the runner, which hears of the answer.
func (r *runner) ask(do func(ctx context.Context)) {
	r.w.host.start(func() {
		ctx, cancel := r.w.host.timeout(r.ctx, r.w.Intervals.Answer)
		defer cancel()
		do(ctx)
	})
}

// fold lets the store fold the identities of days that are over, once a day of log time.
func (r *runner) fold(now time.Time) {
	logTime, ok := r.p.Compactable()
	day := dedup.Day(logTime)
	if !ok || r.folding || day == r.foldDay || now.Before(r.foldAt) {
		return
	}
	r.folding, r.foldDay = true, day
	fence := r.p.Fence()
	r.w.host.start(func() { // takes as long as it takes: a day of a large installation is much work
		days, err := r.w.Stores.Store.Compact(r.ctx, fence, logTime)
		r.answer(func() error { r.haveFolded(days, err); return nil })
	})
}

// foldLines lets the store fold the changed lines of several commits into their rows, or of one once nothing has changed for a while:
// a line that several have changed is written once, and nothing while a partition that is behind its log needs the processors.
func (r *runner) foldLines(now time.Time) {
	idle := r.p.Idle() && now.Sub(r.lastCut) >= r.w.Intervals.Fold
	if r.foldingLines || r.appended == 0 || r.appended < r.w.Limits.Unfolded && !idle || now.Before(r.foldLinesAt) {
		return
	}
	r.foldingLines = true
	fence, appended := r.p.Fence(), r.appended
	r.w.host.start(func() { // takes as long as it takes, a part at a time
		err := r.w.Stores.Store.Fold(r.ctx, fence)
		r.answer(func() error { r.haveFoldedLines(appended, err); return nil })
	})
}

func (r *runner) haveFoldedLines(appended int, err error) {
	r.foldingLines = false
	if err == nil {
		r.appended -= appended
		return
	}
	r.foldLinesAt = r.w.host.now().Add(r.w.Intervals.Look)
	r.w.Log.Debug("lines are not folded yet", "partition", r.partition, "error", err)
}

// forget lets the store delete distinct values that are of no use, a part at a time.
func (r *runner) forget(now time.Time) {
	before, ok := r.p.Forgets()
	if !ok || r.forgetting || now.Before(r.forgetAt) {
		return
	}
	r.forgetting = true
	r.p.Forgot(false) // a commit that comes meanwhile may bring others
	fence := r.p.Fence()
	r.ask(func(ctx context.Context) {
		more, err := r.w.Stores.Store.Forget(ctx, fence, before)
		r.answer(func() error { r.haveForgotten(more, err); return nil })
	})
}

func (r *runner) haveForgotten(more bool, err error) {
	r.forgetting = false
	if more || err != nil {
		r.p.Forgot(true)
		r.forgetAt = r.w.host.now().Add(r.w.Intervals.Checkpoint)
	}
	if err != nil {
		r.forgetAt = r.w.host.now().Add(r.w.Intervals.Look)
		r.w.Log.Debug("distinct values that are of no use are not deleted yet", "partition", r.partition, "error", err)
	}
}

// project turns to the live view when it is time to, at once when nothing waits to be rated.
func (r *runner) project(now time.Time, caughtUp bool) {
	i := &r.w.Intervals
	longest := i.ProjectBehind
	if !r.p.Whole() { // readers wait for the rebuild
		longest = i.Project
	}
	stale := now.Sub(r.lastShow) >= i.Look // the head's log time must move
	soon := caughtUp || r.p.ShowsMore() || stale && r.p.Shown()
	if now.Before(r.projectAt) || !soon && !r.due(now, r.lastShow, r.shown, i.Project, longest) {
		return
	}
	if work := r.p.Project(caughtUp, stale); work != nil {
		r.lastShow = now
		r.ask(func(ctx context.Context) { r.show(ctx, work) })
	}
}

// show does what a piece of live work asks for before its projection, then hands that on.
func (r *runner) show(ctx context.Context, work *LiveWork) {
	var result LiveResult
	tell := func(applied bool) {
		result.Applied = applied
		r.answer(func() error { r.haveShown(result); return nil })
	}
	if work.Look && r.w.Stores.Store.Look(ctx, work.Fence) != nil {
		tell(false)
		return
	}
	if work.Page {
		var err error
		work.Projection.Lines, result.PageNext, result.PageMore, err =
			r.w.Stores.Store.OpenLines(ctx, work.Fence, work.EndsAfter, work.PageFrom, work.PageLimit)
		if err != nil {
			tell(false)
			return
		}
	}
	r.w.shows.put(showWork{work.Projection, tell})
}

// look reads the claim of a partition without work, so that one that was replaced notices.
func (r *runner) look(now time.Time) error {
	if now.Before(r.lookAt) || !r.p.Idle() {
		return nil
	}
	r.lookAt = now.Add(r.w.Intervals.Look)
	ctx, cancel := r.w.host.timeout(r.rating, r.w.Intervals.Look)
	defer cancel()
	if err := r.p.Look(ctx); errors.Is(err, ErrFenced) {
		return err
	}
	return nil
}

// hear takes what has been answered.
func (r *runner) hear() error {
	if r.ctx.Err() != nil {
		return errStopped
	}
	acks, answers := r.heard()
	for _, a := range acks {
		if a.err != nil {
			return fmt.Errorf("produce to rated partition %d: %w", r.partition, a.err)
		}
		r.flying -= a.bytes
		if err := r.p.Acked(a.at); err != nil {
			return err
		}
	}
	for _, do := range answers {
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) haveShown(result LiveResult) {
	r.p.Projected(result)
	if !result.Applied { // another head, or the store is away: not at once again
		r.projectAt = r.w.host.now().Add(r.w.Intervals.Retry)
	}
}

// caughtUp says that nothing more is known to be rated.
func (r *runner) caughtUp() bool { return r.p.Position() >= r.end.Load() && r.empty() }

// pause is how long nothing has to be done unless something happens.
func (r *runner) pause() time.Duration {
	const often, seldom = 3, 4
	switch {
	case !r.draining && !r.empty() && r.room() && !r.w.host.now().Before(r.rateAt):
		return 0
	case r.p.Idle() && r.p.Shown():
		return r.w.Intervals.Look / seldom
	}
	return r.w.Intervals.Project / often
}

func (r *runner) cutDone(o Outcome) error {
	if err := r.p.CutDone(o); err != nil {
		return err
	}
	switch o {
	case OutcomeCommitted:
		r.committed()
	case OutcomeUnknown:
		r.askRow()
	}
	return nil
}

// askRow reads what became of a cut.
func (r *runner) askRow() {
	r.ask(func(ctx context.Context) {
		epoch, owner, next, err := r.w.Stores.Store.Position(ctx, r.partition)
		if err != nil {
			pause(r.ctx, r.w.host, r.w.Intervals.Retry)
		}
		r.answer(func() error { return r.cutFound(epoch, owner, next, err) })
	})
}

func (r *runner) cutFound(epoch int64, owner Owner, next int64, err error) error {
	if err != nil {
		r.askRow()
		return nil
	}
	before := r.p.Fence().Next
	if err := r.p.CutFound(epoch, owner, next); err != nil {
		return err
	}
	if r.p.Fence().Next == before { // not committed: not at once again
		r.commitAt = r.w.host.now().Add(r.w.Intervals.Retry)
		return nil
	}
	r.committed()
	return nil
}

// committed does what follows a checkpoint.
func (r *runner) committed() {
	next := r.p.Fence().Next
	r.appended++
	r.w.progressed(r.claim)
	r.w.group.Committed(r.partition, next)
	if r.cleared {
		return
	}
	r.cleared = true
	r.ask(func(ctx context.Context) {
		if err := r.w.Poison.ClearFailures(ctx, r.partition, next); err != nil {
			r.w.Log.Debug("old failures are still listed", "partition", r.partition, "error", err)
		}
	})
}

func (r *runner) haveRead(entries []RatedEntry, to int64, err error) error {
	r.reading = false
	switch {
	case err == nil:
		return r.p.ReadBack(entries, to)
	case final(err):
		return err
	}
	r.readAt = r.w.host.now().Add(r.w.Intervals.Retry)
	r.w.Log.Warn("rated cannot be read back", "partition", r.partition, "error", err)
	return nil
}

func (r *runner) haveFolded(days []dedup.Compacted, err error) {
	r.folding = false
	r.p.Compacted(days)
	if err != nil { // a commit came between, or the store is away: once more later
		r.foldDay, r.foldAt = 0, r.w.host.now().Add(r.w.Intervals.Look)
		r.w.Log.Debug("identities are not folded yet", "partition", r.partition, "error", err)
	}
}

// drain checkpoints what was rated and then ends the runner.
func (r *runner) drain(now time.Time) error {
	r.p.Freeze()
	r.commit(now)
	if r.p.Idle() {
		return errStopped
	}
	if now.After(r.giveUpAt) {
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
		if r.failedOften(p) {
			err = fmt.Errorf("%w; `tollstream rejected skip --partition %d --offset %d --index %d` turns the event into rejected usage",
				err, r.partition, p.offset, p.index)
			if r.w.halt(r.claim, err) {
				r.w.host.start(func() { r.w.awaitSkip(r.claim, p.offset) })
			}
			return
		}
	case errors.Is(err, errGap): // not again and again: what the client had fetched before it was sent elsewhere looks like one
		if r.w.gap(r.claim) >= maxFailures {
			r.w.halt(r.claim, err)
			return
		}
	case errors.Is(err, ErrDiverged), errors.Is(err, ErrLost), errors.Is(err, ErrDefinitions):
		r.w.halt(r.claim, err)
		return
	}
	r.w.reopen(r.claim, err)
}

// failedOften counts a failure and says whether the offset has failed too often.
func (r *runner) failedOften(p *poisoned) bool {
	ctx, cancel := r.w.host.timeout(r.ctx, r.w.Intervals.Answer)
	defer cancel()
	times, err := r.w.Poison.Failed(ctx, r.partition, p.offset, p.index, p.err.Error())
	return err == nil && times >= maxFailures
}
