package rater

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/dedup"
)

// simProcess is a process of raters: the real Worker with all that it starts, and its side of the connections to the
// broker and the stores. A request waits on its way there and its answer on the way back; what happens meanwhile, and
// whether either arrives, is the seed's choice.
type simProcess struct {
	w        *world
	id       int
	worker   *Worker
	faults   Faults
	fibers   []*fiber
	frozen   bool // nothing of it goes on, and it does not notice
	stopping bool
	ended    bool // stopped in good order, or crashed

	// the consumer group's client: its callbacks run one at a time, in order
	calls  []func()
	called chan struct{}
	// the reader of usage, by partition
	reading []int64 // what is fetched next, -1: nothing
	epochs  []int32 // the leader epoch of the record before it
	orders  []int   // of what to read, so far
	paused  []bool
	fetched []simFetch // in the client's buffer; delivered even if the partition was sent elsewhere meanwhile

	produced [][]simProduced // by partition: on their way to the broker
	landed   [][]simProduced // their acknowledgements are on their way back
	sending  [][]*Cut        // commits on their way to PostgreSQL
}

type simFetch struct {
	partition int32
	order     int
	in        []Input // at least one
}

type simProduced struct {
	ratedRecord
	at   int64
	done func(int64, error)
}

// The connections that a process has to what the world keeps.
type (
	simGroup    struct{ *simProcess }
	simRatedLog struct{ *simProcess }
	simStore    struct{ *simProcess }
)

var simMetrics = NewMetrics(prometheus.NewRegistry())

func (w *world) startProcess() *simProcess {
	w.processes++
	x := &simProcess{
		w: w, id: w.processes, called: make(chan struct{}, 1), reading: make([]int64, w.parts), epochs: make([]int32, w.parts), orders: make([]int, w.parts), paused: make([]bool, w.parts),
		produced: make([][]simProduced, w.parts), landed: make([][]simProduced, w.parts),
	}
	for p := range x.reading {
		x.reading[p] = -1
	}
	x.faults = w.faults.Faults
	x.faults.OtherVersion = w.upgrades && w.n(3) == 0
	if w.poison != nil {
		x.faults.PanicAt = func(offset int64, index int) bool { return *w.poison == Skip{offset, index} }
	}
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	x.worker = NewWorker(Config{
		Stores: Stores{Store: simStore{x}, Definitions: x, Rated: simRatedLog{x}}, Live: x, Producer: x, Poison: x,
		Limits: Limits{Window: 2 * 24 * 3600 * 1e9, Families: 1 + w.n(2)*w.n(200), Pools: w.n(2) * w.n(20), Values: w.n(2) * w.n(12), LateValues: time.Duration(simKeeps), Dirty: 12, Unacked: 40, PageLines: 1 + w.n(12), Unfolded: 1 + w.n(8), AheadBytes: 1, Processors: x.id % 3},
		Intervals: Intervals{
			Project: ms(5 + w.n(60)), ProjectBehind: ms(100), Checkpoint: ms(1 + w.n(100)), CheckpointBehind: ms(200), Fold: ms(w.n(600)), Look: ms(100 + w.n(200)),
			Drain: ms(500), Retry: ms(1 + w.n(50)), Answer: ms(1000), Reopen: ms(1 + w.n(50)), Skip: ms(100),
		},
		Random: w.name, Metrics: simMetrics, Log: slog.New(simLog{x}), Faults: x.faults, host: x,
	})
	x.worker.Use(simGroup{x})
	x.start(x.callback)
	w.log("process %d starts", x.id)
	return x
}

// callback runs the group's callbacks.
func (x *simProcess) callback() {
	for !x.ended {
		x.block(x.called, nil, -1)
		for len(x.calls) > 0 {
			call := x.calls[0]
			x.calls = x.calls[1:]
			call()
		}
	}
}

// tell has the group's client call back.
func (x *simProcess) tell(call func()) {
	x.calls = append(x.calls, call)
	select {
	case x.called <- struct{}{}:
	default:
	}
}

// crash ends the process at whatever its goroutines wait for.
func (x *simProcess) crash() {
	w := x.w
	w.log("process %d crashes", x.id)
	x.ended = true
	x.unwind()
	x.leaveBehind()
}

// leaveBehind leaves what is on its way to arrive or to be lost.
func (x *simProcess) leaveBehind() {
	w := x.w
	for p, out := range x.produced {
		if w.n(2) == 0 {
			for i := range out {
				w.strays = append(w.strays, simStray{int32(p), out[i].ratedRecord})
			}
		}
		x.produced[p], x.landed[p], x.reading[p] = nil, nil, -1
	}
	for _, cuts := range x.sending {
		if w.n(2) == 0 {
			w.commits = append(w.commits, cuts)
		}
	}
	x.sending = nil
}

// ---- the way to the stores and back

// travel lets a request or an answer be on its way; it fails when the connection is cut meanwhile, or the process has
// stopped waiting.
func (x *simProcess) travel(ctx context.Context) error {
	w := x.w
	f := w.running
	if f == nil || f.x != x { // the schedule's end looks at the stores
		return nil
	}
	if f.co.unwind {
		panic(errUnwound)
	}
	if w.n(3) > 0 {
		return ctx.Err()
	}
	term := w.term
	if w.n(12) == 0 && !w.quiet {
		f.after = w.steps + w.n(60)
	}
	f.waits = false
	f.park()
	if term != w.term {
		return errSim
	}
	return ctx.Err()
}

// answer is what a store's answer is when nothing but the way back can fail.
func (x *simProcess) reached(ctx context.Context) error {
	if err := x.travel(ctx); err != nil {
		return err
	}
	if !x.w.quiet && x.w.n(40) == 0 {
		return errSim
	}
	return nil
}

func (x simStore) Acquire(ctx context.Context, p int32, owner Owner) (c Checkpoint, err error) {
	if err := x.reached(ctx); err != nil {
		return c, err
	}
	c, err = x.w.Acquire(ctx, p, owner)
	x.w.did("partition opened")
	x.w.log("process %d acquires %d: epoch %d, next %d", x.id, p, c.Epoch, c.Next)
	return c, errors.Join(err, x.reached(ctx))
}

func (x simStore) Look(ctx context.Context, f Fence) error {
	if err := x.reached(ctx); err != nil {
		return err
	}
	return errors.Join(x.w.Look(ctx, f), x.travel(ctx))
}

func (x simStore) Position(ctx context.Context, p int32) (int64, Owner, int64, error) {
	if err := x.reached(ctx); err != nil {
		return 0, Owner{}, 0, err
	}
	epoch, owner, next, err := x.w.Position(ctx, p)
	return epoch, owner, next, errors.Join(err, x.travel(ctx))
}

func (x simStore) Lines(ctx context.Context, f Fence, families []activity.ID) ([]LineState, error) {
	if err := x.reached(ctx); err != nil {
		return nil, err
	}
	lines, err := x.w.Lines(ctx, f, families)
	return lines, errors.Join(err, x.travel(ctx))
}

func (x simStore) Pools(ctx context.Context, f Fence, pools []activity.ID) ([]PoolState, error) {
	if err := x.reached(ctx); err != nil {
		return nil, err
	}
	found, err := x.w.Pools(ctx, f, pools)
	return found, errors.Join(err, x.travel(ctx))
}

func (x simStore) Sharing(ctx context.Context, f Fence, pool activity.ID, billed string, start int64) ([]activity.ID, error) {
	if err := x.reached(ctx); err != nil {
		return nil, err
	}
	found, err := x.w.Sharing(ctx, f, pool, billed, start)
	return found, errors.Join(err, x.travel(ctx))
}

func (x simStore) Values(ctx context.Context, f Fence, values []ValueKey) ([]ValueState, error) {
	if err := x.reached(ctx); err != nil {
		return nil, err
	}
	found, err := x.w.Values(ctx, f, values)
	return found, errors.Join(err, x.travel(ctx))
}

func (x simStore) Forget(ctx context.Context, f Fence, before int64) (bool, error) {
	if err := x.reached(ctx); err != nil {
		return false, err
	}
	more, err := x.w.Forget(ctx, f, before)
	return more, errors.Join(err, x.travel(ctx))
}

func (x simStore) Levels(ctx context.Context, f Fence, owed string, through int64, limit int) ([]LevelState, error) {
	if err := x.reached(ctx); err != nil {
		return nil, err
	}
	found, err := x.w.Levels(ctx, f, owed, through, limit)
	return found, errors.Join(err, x.travel(ctx))
}

func (x simStore) Seals(ctx context.Context, f Fence, accounts []string) ([]SealState, error) {
	if err := x.reached(ctx); err != nil {
		return nil, err
	}
	seals, err := x.w.Seals(ctx, f, accounts)
	return seals, errors.Join(err, x.travel(ctx))
}

func (x simStore) Markers(ctx context.Context, f Fence, accounts []string) ([]MarkerState, error) {
	if err := x.reached(ctx); err != nil {
		return nil, err
	}
	markers, err := x.w.Markers(ctx, f, accounts)
	return markers, errors.Join(err, x.travel(ctx))
}

func (x simStore) Identities(ctx context.Context, f Fence, asked []dedup.Question) ([]dedup.Entry, error) {
	if err := x.reached(ctx); err != nil {
		return nil, err
	}
	entries, err := x.w.Identities(ctx, f, asked)
	return entries, errors.Join(err, x.travel(ctx))
}

func (x simStore) Compact(ctx context.Context, f Fence, logTime int64) ([]dedup.Compacted, error) {
	if err := x.reached(ctx); err != nil {
		return nil, err
	}
	days, err := x.w.Compact(ctx, f, logTime)
	return days, errors.Join(err, x.travel(ctx))
}

func (x simStore) OpenLines(ctx context.Context, f Fence, endsAfter int64, from activity.ID, limit int) ([]LineState, activity.ID, bool, error) {
	if err := x.reached(ctx); err != nil {
		return nil, from, false, err
	}
	lines, next, more, err := x.w.OpenLines(ctx, f, endsAfter, from, limit)
	return lines, next, more, errors.Join(err, x.travel(ctx))
}

// Commit may be refused, carried out though the answer is lost, or still be on its way when nobody waits for it any more.
func (x simStore) Commit(ctx context.Context, cuts []*Cut) ([]Outcome, error) {
	w := x.w
	unknown := make([]Outcome, len(cuts))
	for i, c := range cuts {
		unknown[i] = OutcomeUnknown
		w.checkCut(x.simProcess, c)
	}
	x.sending = append(x.sending, cuts)
	term, err := w.term, x.travel(ctx)
	x.sending = slices.DeleteFunc(x.sending, func(c []*Cut) bool { return &c[0] == &cuts[0] })
	k := w.n(12)
	w.did("checkpoint sent")
	switch {
	case w.quiet && err == nil:
	case term != w.term, k == 0:
		w.did("checkpoint without an answer")
		return unknown, errSim
	case err != nil, k == 1: // not waited for any more
		w.did("checkpoint without an answer")
		w.commits = append(w.commits, cuts)
		return unknown, errSim
	}
	outcomes, err := w.Commit(ctx, cuts)
	for i, c := range cuts {
		if outcomes[i] == OutcomeFenced {
			w.did("checkpoint fenced")
		}
		w.log("process %d commits partition %d up to %d: %s", x.id, c.Fence.Partition, c.Next, simOutcome(outcomes[i]))
	}
	if len(cuts) > 1 {
		w.did("partitions in one checkpoint")
		if slices.Contains(outcomes, OutcomeFenced) && slices.Contains(outcomes, OutcomeCommitted) {
			w.did("one partition of a checkpoint fenced")
		}
	}
	if err := errors.Join(err, x.travel(ctx)); err != nil || k == 2 && !w.quiet {
		w.did("checkpoint without an answer")
		return unknown, errSim
	}
	return outcomes, nil
}

func simOutcome(o Outcome) string {
	switch o {
	case OutcomeCommitted:
		return "committed"
	case OutcomeFenced:
		return "fenced"
	}
	return "unknown"
}

// Snapshot and Accounts make the process its worker's Definitions.
func (x *simProcess) Snapshot(ctx context.Context, seq int64) (*catalog.Snapshot, error) {
	if err := x.reached(ctx); err != nil {
		return nil, err
	}
	return x.w.Snapshot(ctx, seq)
}

func (x *simProcess) Accounts(ctx context.Context, seq int64, ids []string) (map[string]*catalog.Account, error) {
	if err := x.reached(ctx); err != nil {
		return nil, err
	}
	return x.w.Accounts(ctx, seq, ids)
}

// Project writes some of the projections, and may lose the answer or come late.
func (x *simProcess) Project(ctx context.Context, ps []*Projection) ([]bool, error) {
	w := x.w
	err := x.travel(ctx)
	applied := make([]bool, len(ps))
	if err != nil || !w.quiet && w.n(20) == 0 { // not waited for any more
		w.did("write to the live view without an answer")
		w.projections = append(w.projections, ps...)
		return applied, errSim
	}
	for i, p := range ps {
		if !w.quiet && w.n(30) == 0 { // the connection breaks between two scripts
			return applied, errSim
		}
		applied[i] = w.project(p)
		switch {
		case !applied[i]:
			w.did("another head in the live view")
		case p.Rebuilding && p.Force:
			w.did("rebuild of the live view")
		}
		w.lookAtLive(int(p.Partition))
	}
	if err := x.travel(ctx); err != nil || !w.quiet && w.n(30) == 0 {
		return applied, errSim
	}
	return applied, nil
}

// ---- the broker

// Produce implements Producer.
func (x *simProcess) Produce(p int32, value []byte, done func(int64, error)) {
	h, err := activity.DecodeHeader(value)
	if err != nil {
		fail("a rated record of partition %d cannot be read: %v", p, err)
	}
	x.produced[p] = append(x.produced[p], simProduced{ratedRecord: ratedRecord{h.Offset, h.Previous, value}, done: done})
}

// land lets produced records reach the broker.
func (x *simProcess) land(p int32, n int) {
	w := x.w
	for ; n > 0 && len(x.produced[p]) > 0; n-- {
		r := x.produced[p][0]
		x.produced[p] = x.produced[p][1:]
		r.at = w.appendRated(p, r.ratedRecord)
		x.landed[p] = append(x.landed[p], r)
	}
}

// acknowledge tells the process of records that have landed.
func (x *simProcess) acknowledge(p int32, n int) {
	for ; n > 0 && len(x.landed[p]) > 0; n-- {
		r := x.landed[p][0]
		x.landed[p] = x.landed[p][1:]
		r.done(r.at, nil)
	}
}

// failProduce fails a record for which no acknowledgement is on its way; it, and what is behind it, may arrive all the
// same.
func (x *simProcess) failProduce(p int32) {
	if len(x.landed[p]) > 0 || len(x.produced[p]) == 0 {
		return
	}
	r := x.produced[p][0]
	x.produced[p] = x.produced[p][1:]
	x.w.did("produce failed")
	x.w.log("process %d cannot produce the result of offset %d of partition %d", x.id, r.offset, p)
	if x.w.n(3) == 0 {
		x.w.strays = append(x.w.strays, simStray{p, r.ratedRecord})
	}
	r.done(-1, errSim)
}

func (x simRatedLog) Read(ctx context.Context, p int32, from, to int64) ([]RatedEntry, int64, error) {
	if err := x.reached(ctx); err != nil {
		return nil, 0, err
	}
	entries, end, err := x.w.Read(ctx, p, from, to)
	if to >= 0 {
		x.w.did("rated read back")
	}
	return entries, end, errors.Join(err, x.travel(ctx))
}

func (x simGroup) End(ctx context.Context, p int32) (int64, error) {
	if err := x.reached(ctx); err != nil {
		return 0, err
	}
	return int64(len(x.w.usage[p])), nil
}

func (x simGroup) Read(p int32, offset int64, leaderEpoch int32) {
	if x.w.faults.ResumeFromGroup {
		offset = x.w.group[p]
	}
	x.reading[p], x.epochs[p], x.paused[p] = offset, leaderEpoch, false
	x.orders[p]++
}

func (x simGroup) Stop(p int32) {
	x.reading[p] = -1
	x.orders[p]++
	if c := x.worker.claims[p]; c != nil && c.stopped != nil {
		x.w.halted(x.simProcess, p, c.stopped)
	}
}

func (x simGroup) Pause(p int32)  { x.paused[p] = true }
func (x simGroup) Resume(p int32) { x.paused[p] = false }

func (x simGroup) Committed(p int32, offset int64) { x.w.group[p] = max(x.w.group[p], offset) }

// fetch brings records of a partition into the client's buffer.
func (x *simProcess) fetch(p int32, n int) {
	if !x.behind(p) {
		return
	}
	if x.torn(p) {
		x.w.did("loss of usage noticed")
		x.w.log("process %d notices that usage of partition %d before offset %d is lost", x.id, p, x.reading[p])
		x.reading[p] = -1
		x.tell(func() { x.worker.Broken(p, ErrLost) })
		return
	}
	from := x.reading[p]
	to := min(from+int64(n), int64(len(x.w.usage[p])))
	f := simFetch{partition: p, order: x.orders[p], in: make([]Input, 0, to-from)}
	for o := from; o < to; o++ {
		u := &x.w.usage[p][o]
		f.in = append(f.in, Input{Offset: o, LeaderEpoch: u.epoch, Time: u.time, Value: u.value})
		if x.w.faults.AnyClock {
			f.in[len(f.in)-1].Time = x.w.now
		}
		x.epochs[p] = u.epoch
	}
	x.reading[p] = to
	x.fetched = append(x.fetched, f)
}

// torn says that the log has lost records that were read: it is shorter, or the epoch that they were written in ended before.
func (x *simProcess) torn(p int32) bool {
	log, at := x.w.usage[p], x.reading[p]
	if at > int64(len(log)) {
		return true
	}
	return at > 0 && x.epochs[p] >= 0 && log[at-1].epoch > x.epochs[p] && !x.w.faults.NoLeaderEpochCheck
}

// behind says that there is something to be fetched of a partition.
func (x *simProcess) behind(p int32) bool {
	return x.reading[p] >= 0 && !x.paused[p] && (x.reading[p] < int64(len(x.w.usage[p])) || x.torn(p))
}

// deliver hands out what was fetched first.
func (x *simProcess) deliver() {
	if len(x.fetched) == 0 {
		return
	}
	f := x.fetched[0]
	x.fetched = x.fetched[1:]
	if c := x.worker.claims[f.partition]; c == nil || f.order != x.orders[f.partition] && (c.gaps > 0 || x.w.n(3) > 0) {
		return // the client drops nearly all that it was not asked for last; what it does not may look like a gap
	}
	x.w.log("process %d is delivered offsets %d to %d of partition %d", x.id, f.in[0].Offset, f.in[len(f.in)-1].Offset, f.partition)
	x.worker.Deliver(f.partition, f.in, int64(len(x.w.usage[f.partition])))
}

// runner is the one that the process has of a partition, nil for none.
func (x *simProcess) runner(p int32) *runner {
	if c := x.worker.claims[p]; c != nil {
		return c.runner
	}
	return nil
}

// ---- an event on which the rater fails

// Failed implements Poison, as do the following.
func (x *simProcess) Failed(ctx context.Context, p int32, offset int64, _ int, message string) (int, error) {
	if err := x.reached(ctx); err != nil {
		return 0, err
	}
	x.w.log("partition %d fails at offset %d: %s", p, offset, message)
	x.w.failures[simPlace{p, offset}]++
	return x.w.failures[simPlace{p, offset}], nil
}

// ClearFailures forgets those below an offset.
func (x *simProcess) ClearFailures(ctx context.Context, p int32, below int64) error {
	if err := x.reached(ctx); err != nil {
		return err
	}
	for at := range x.w.failures {
		if at.partition == p && at.offset < below {
			delete(x.w.failures, at)
		}
	}
	return nil
}

// Skipped asks for an operator's decision.
func (x *simProcess) Skipped(ctx context.Context, p int32, offset int64) (bool, error) {
	if err := x.reached(ctx); err != nil {
		return false, err
	}
	for s := range x.w.skips[p] {
		if s.Offset == offset {
			return true, nil
		}
	}
	return false, nil
}

// skip is an operator who lets a partition pass over the event at which it stopped.
func (w *world) skip() {
	for p, waits := range w.poisoned {
		if waits {
			w.did("event skipped")
			w.log("an operator lets partition %d pass over event %d of offset %d", p, w.poison.Index, w.poison.Offset)
			w.skips[p], w.poisoned[p] = map[Skip]struct{}{*w.poison: {}}, false
		}
	}
}

type simPlace struct {
	partition int32
	offset    int64
}

// simLog writes what a process logs into the trace.
type simLog struct{ x *simProcess }

func (l simLog) Enabled(_ context.Context, level slog.Level) bool {
	return l.x.w.tracing && level > slog.LevelDebug && !l.x.ended
}

func (l simLog) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != "stack" {
			text += " " + a.String()
		}
		return true
	})
	l.x.w.log("process %d says: %s", l.x.id, text)
	return nil
}

func (l simLog) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l simLog) WithGroup(string) slog.Handler      { return l }
