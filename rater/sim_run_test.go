package rater

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tollstream/tollstream/rater/activity"
)

type violation string

func fail(f string, a ...any) { panic(violation(fmt.Sprintf(f, a...))) }

// ---- the consumer group's coordinator

// simNews is what a process learns late: the group gave its partition to another.
type simNews struct {
	x         *simProcess
	partition int32
}

// rebalance gives a partition to some process: the owner is asked to give it up first, or was taken for dead and goes on
// as a zombie.
func (w *world) rebalance(p int32) {
	if w.stopped[p] {
		return
	}
	old, to := w.owners[p], w.procs[w.n(len(w.procs))]
	w.moves[p]++
	switch {
	case old == nil || old.ended:
		w.assign(p, to)
	case w.n(3) == 0:
		w.did("zombie")
		w.log("partition %d is taken from process %d without its knowledge", p, old.id)
		w.news = append(w.news, simNews{old, p})
		w.assign(p, to)
	default:
		w.did("handed over")
		w.log("process %d is asked to give partition %d to process %d", old.id, p, to.id)
		w.owners[p], w.moving[p] = to, old
		move := w.moves[p]
		old.tell(func() {
			old.worker.Revoke([]int32{p})
			if w.moves[p] == move {
				w.assign(p, to)
			}
		})
	}
}

func (w *world) assign(p int32, to *simProcess) {
	w.owners[p], w.moving[p] = to, nil
	if to.ended {
		return
	}
	w.log("partition %d is assigned to process %d", p, to.id)
	w.news = slices.DeleteFunc(w.news, func(n simNews) bool { return n == simNews{to, p} })
	to.tell(func() { to.worker.Assign(p) })
}

// hearNews lets a process learn what it has lost.
func (w *world) hearNews() {
	if len(w.news) == 0 {
		return
	}
	i := w.n(len(w.news))
	n := w.news[i]
	w.news = slices.Delete(w.news, i, i+1)
	if !n.x.ended {
		w.log("process %d learns that it has lost partition %d", n.x.id, n.partition)
		n.x.tell(func() { n.x.worker.Lost([]int32{n.partition}) })
	}
}

// adopt gives away what an ended process owned or was asked for.
func (w *world) adopt() {
	for p := range w.owners {
		switch {
		case w.stopped[p]:
		case w.owners[p] == nil || w.owners[p].ended:
			w.moves[p]++
			w.assign(int32(p), w.procs[w.n(len(w.procs))])
		case w.moving[p] != nil && w.moving[p].ended:
			w.assign(int32(p), w.owners[p])
		}
	}
}

// ---- what processes do

// crash kills a process; another is started in its place.
func (w *world) crash(x *simProcess) {
	w.did("crash")
	i := slices.Index(w.procs, x)
	x.crash()
	w.procs[i] = w.startProcess()
}

// stop ends a process in good order.
func (w *world) stop(x *simProcess) {
	if x.stopping {
		return
	}
	w.did("graceful stop")
	w.log("process %d is stopped", x.id)
	x.stopping = true
	x.tell(func() {
		var all []int32
		for p := range w.parts {
			all = append(all, int32(p))
		}
		x.worker.Revoke(all)
		x.worker.Close()
		x.ended = true
		x.leaveBehind()
		w.log("process %d has stopped", x.id)
		w.procs[slices.Index(w.procs, x)] = w.startProcess()
	})
}

// goOnSome runs some of what is ready.
func (w *world) goOnSome(n int) {
	for ; n > 0; n-- {
		f := w.someReady()
		if f == nil {
			w.tick()
			return
		}
		w.goOn(f)
	}
}

// someReady picks a fiber that may go on, nil when all wait.
func (w *world) someReady() *fiber {
	first := w.n(len(w.procs))
	for i := range w.procs {
		x := w.procs[(first+i)%len(w.procs)]
		if x.frozen || len(x.fibers) == 0 {
			continue
		}
		start := w.n(len(x.fibers))
		for j := range x.fibers {
			if f := x.fibers[(start+j)%len(x.fibers)]; f.ready(w) {
				return f
			}
		}
	}
	return nil
}

// tick moves the processes' clock: to the moment for which somebody waits first, or a little, or far.
func (w *world) tick() {
	switch w.n(8) {
	case 0:
		w.clock += time.Duration(w.n(1000)) * time.Millisecond
	case 1, 2, 3, 4:
		w.clock += time.Duration(w.n(100)) * time.Millisecond
	default:
		first := time.Duration(-1)
		for _, x := range w.procs {
			for _, f := range x.fibers {
				if !x.frozen && f.waits && f.until >= 0 && (first < 0 || f.until < first) {
					first = f.until
				}
			}
		}
		w.clock = max(w.clock, first)
	}
}

// halted is told of a partition that waits for an operator: a violation when the schedule gives no reason for it.
func (w *world) halted(x *simProcess, p int32, err error) {
	w.log("partition %d stops in process %d: %v", p, x.id, err)
	var poison *poisoned
	switch {
	case errors.Is(err, ErrDiverged) && w.upgrades:
		w.did("partition stopped before it contradicts")
		w.stopped[p] = true
	case w.lost[p] && (errors.Is(err, ErrLost) || errors.Is(err, ErrDiverged) || errors.Is(err, ErrDefinitions) || errors.Is(err, errGap)):
		w.did("partition stopped at a loss")
		w.stopped[p] = true
	case errors.As(err, &poison) && w.poison != nil && *w.poison == Skip{poison.offset, poison.index}:
		w.did("partition stopped at an event")
		w.poisoned[p] = w.skips[p] == nil
	default:
		fail("partition %d stopped: %v", p, err)
	}
}

// ---- what is checked on the way

// checkCut: a cut may only be committed when the records that readers of `rated` take below it are the ones that this
// rater computed.
func (w *world) checkCut(x *simProcess, c *Cut) {
	p := c.Fence.Partition
	if int64(len(w.taken[p])) <= c.Last {
		fail("partition %d: a checkpoint before its rated records stand", p)
	}
	r := x.runner(p)
	if r == nil || r.p.fence.Owner != c.Fence.Owner {
		return
	}
	for o := c.Fence.Next; o <= c.Last; o++ {
		if sum, ok := r.p.mine[o]; ok && sum != SumOf(w.taken[p][o].value) {
			fail("partition %d: lines by one version, rated by another", p)
		}
	}
}

// lookAtLive is a reader: under a head that it may trust no line is older than what PostgreSQL says, unless it waits
// to be shown.
func (w *world) lookAtLive(p int) {
	v, pg := w.redis[p], w.pg[p]
	r := w.ownerOf(int32(p))
	if r == nil || v.build || v.head != r.p.live.head || r.p.live.stage != stageShown || pg.c.Next != r.p.fence.Next {
		return
	}
	waiting := map[activity.ID]bool{}
	for _, f := range slices.Concat(r.p.machine.unshown, r.p.live.sent) {
		waiting[f.id] = true
	}
	for _, ls := range pg.lines {
		for _, l := range ls {
			if s, ok := v.lines[l.Line]; (!ok || s.version < l.Version) && !waiting[l.Family] {
				fail("live view of partition %d is older than PostgreSQL under a valid head", p)
			}
		}
	}
}

// ownerOf is the runner whose claim stands in the checkpoint's row, nil for none.
func (w *world) ownerOf(p int32) *runner {
	for _, x := range w.procs {
		if r := x.runner(p); r != nil && r.p.fence.Owner == w.pg[p].owner && r.p.fence.Epoch == w.pg[p].epoch {
			return r
		}
	}
	return nil
}

// ---- the schedule

// simulate runs one schedule and returns what it violated, "" for nothing.
func simulate(seed uint64, m simMutant, tracing bool) (why string, w *world) {
	w = newWorld(seed, m, tracing)
	return w.run(), w
}

// run runs the schedule and returns what it violated.
func (w *world) run() (why string) {
	defer func() {
		e := recover()
		for _, x := range w.procs {
			x.unwind()
		}
		switch e := e.(type) {
		case nil:
		case violation:
			why = string(e)
		default:
			why = fmt.Sprintf("panic: %v", e)
		}
	}()
	for range 80 + w.n(1+w.n(700)) { // many short ones, and some long
		w.act()
	}
	w.drain()
	return w.check()
}

// drain ends all faults and runs the world until nothing is left to be done.
func (w *world) drain() {
	w.quiet, w.hidden = true, 0
	w.log("no faults any more: what is on its way arrives, and everybody does what is left to do")
	for len(w.late) > 0 {
		w.land1()
	}
	for len(w.news) > 0 {
		w.hearNews()
	}
	for _, x := range w.procs {
		x.frozen = false
	}
	failover, waits := w.n(4) == 0, ""
	for round := range 400 {
		for len(w.commits)+len(w.projections)+len(w.strays) > 0 {
			w.landCommit()
			w.landProjection()
			w.landStray()
		}
		w.publish()
		w.adopt()
		w.skip()
		w.round()
		settled := w.sinks.settled(round)
		w.works.settle(round)
		if waits = w.waitsFor(); waits == "" && !settled {
			waits = "the sinks"
		}
		if waits == "" {
			waits = w.works.waitsFor()
		}
		if waits != "" {
			continue
		}
		if !failover {
			return
		}
		failover = false // owners without work must notice that PostgreSQL fell back, and that the live store is empty
		w.failPostgresOver()
		w.redis[w.n(w.parts)] = &simRedis{lines: map[activity.ID]simShown{}}
	}
	fail("no progress: %s", waits)
}

// round lets everything that is on its way arrive and everybody do what there is to do.
func (w *world) round() {
	const most = 2000
	for _, x := range slices.Clone(w.procs) {
		for p := range int32(w.parts) {
			x.land(p, 1<<20)
			x.acknowledge(p, 1<<20)
			x.fetch(p, 40)
		}
		for len(x.fetched) > 0 {
			x.deliver()
		}
	}
	for range most {
		f := w.someReady()
		if f == nil {
			break
		}
		w.goOn(f)
	}
	w.clock += 30 * time.Millisecond
}

// waitsFor says what is not rated, checkpointed and shown yet, "" for nothing.
func (w *world) waitsFor() string {
	if w.pub < int64(len(w.defs)) {
		return "definitions"
	}
	for p := range int32(w.parts) {
		if w.stopped[p] {
			continue
		}
		r, end := w.ownerOf(p), int64(len(w.usage[p]))
		switch {
		case r == nil || w.owners[p] != r.w.host || w.moving[p] != nil:
			return fmt.Sprintf("partition %d has no owner", p)
		case w.pg[p].c.Next != end || !r.p.Idle():
			return fmt.Sprintf("partition %d is rated up to %d of %d, committed up to %d", p, r.p.Position(), end, w.pg[p].c.Next)
		case w.pg[p].c.ActivatedSeq < w.pub:
			return fmt.Sprintf("partition %d lacks definitions", p)
		case r.p.useless:
			return fmt.Sprintf("partition %d keeps values that are of no use", p)
		case !r.p.Shown() || w.redis[p].head != r.p.live.head:
			return fmt.Sprintf("partition %d is not shown", p)
		}
	}
	return ""
}

func (w *world) landCommit() {
	if len(w.commits) == 0 {
		return
	}
	i := w.n(len(w.commits))
	cuts := w.commits[i]
	w.commits = slices.Delete(w.commits, i, i+1)
	for _, c := range cuts {
		applied := w.apply(c)
		w.did(map[bool]string{true: "late checkpoint committed", false: "late checkpoint fenced"}[applied])
		w.log("a late commit of partition %d up to %d: %v", c.Fence.Partition, c.Next, applied)
	}
}

func (w *world) landProjection() {
	if len(w.projections) == 0 {
		return
	}
	i := w.n(len(w.projections))
	w.project(w.projections[i])
	w.projections = slices.Delete(w.projections, i, i+1)
}

func (w *world) landStray() {
	if len(w.strays) == 0 {
		return
	}
	i := 0 // mostly in order
	if w.n(4) == 0 {
		i = w.n(len(w.strays))
	}
	s := w.strays[i]
	if w.quiet || w.n(20) > 0 { // otherwise it will come once more
		w.strays = slices.Delete(w.strays, i, i+1)
	}
	w.did("rated record nobody waits for")
	w.appendRated(s.partition, s.ratedRecord)
}

// failPostgresOver lets PostgreSQL lose its last commits, and every connection.
func (w *world) failPostgresOver() {
	w.did("PostgreSQL failover")
	w.log("PostgreSQL fails over and has lost its last commits")
	left := w.hist[w.n(len(w.hist))]
	w.pg, w.jobs = slices.Clone(left.pg), left.jobs
	w.synced()
	w.commits = nil
	w.term++
	w.sinks.failover()
}

func cloneRedis(in []*simRedis) []*simRedis {
	var out []*simRedis
	for _, v := range in {
		out = append(out, &simRedis{v.head, v.build, maps.Clone(v.lines)})
	}
	return out
}
