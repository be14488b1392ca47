package rater

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tollstream/tollstream/rater/activity"
)

type violation string

func fail(f string, a ...any) { panic(violation(fmt.Sprintf(f, a...))) }

func (w *world) acquire(p int) {
	if old := w.cur[p]; old != nil && !old.dead {
		w.zombies = append(w.zombies, old)
	}
	limits := Limits{Window: 2 * 24 * 3600 * 1e9, Families: 3 + w.n(20), Dirty: 12, Unacked: 40, PageLines: 1 + w.n(5)}
	faults := w.faults.Faults
	faults.OtherVersion = w.upgrades && w.n(3) == 0
	part, err := Open(context.Background(), int32(p), Stores{Store: w, Definitions: w, Rated: w}, limits, faults, w.name)
	if err != nil {
		fail("open: %v", err)
	}
	next, _ := part.Next()
	if w.faults.ResumeFromGroup {
		next = w.group[p]
	}
	w.cur[p] = &simRater{p: part, part: int32(p), pos: next}
	w.log("acquire %d from %d", p, next)
}

// die ends a rater: with a violation when it stopped with an alarm for which the schedule gives no reason.
func (w *world) die(x *simRater, err error) {
	if errors.Is(err, ErrDiverged) && w.upgrades {
		w.stopped[x.part] = true
		x.dead = true
		return
	}
	if errors.Is(err, ErrDiverged) || errors.Is(err, ErrDefinitions) {
		fail("partition %d stopped: %v", x.part, err)
	}
	w.log("dead %d: %v", x.part, err)
	x.dead = true
}

func (w *world) poll(x *simRater, n int) {
	for ; n > 0 && !x.dead && x.p.Room() && x.pos < int64(len(w.usage[x.part])); n-- {
		u := w.usage[x.part][x.pos]
		in := &Input{Offset: x.pos, LeaderEpoch: -1, Time: u.time, Value: u.value}
		if w.faults.AnyClock {
			in.Time = w.now
		}
		value, err := x.p.Rate(context.Background(), in)
		if errors.Is(err, errSim) {
			return
		}
		if err != nil {
			w.die(x, err)
			return
		}
		if value != nil {
			e := x.p.unacked[len(x.p.unacked)-1]
			x.inflight = append(x.inflight, ratedRecord{e.Offset, e.Previous, value})
		}
		x.pos++
		w.group[x.part] = max(w.group[x.part], x.pos)
	}
}

// land lets produced records reach the broker, and their acknowledgements the rater if it still lives.
func (w *world) land(x *simRater, n int) {
	for ; n > 0 && len(x.inflight) > 0; n-- {
		at := int64(len(w.rated[x.part]))
		w.rated[x.part] = append(w.rated[x.part], x.inflight[0])
		x.inflight = x.inflight[1:]
		if x.dead {
			continue
		}
		if err := x.p.Acked(at); err != nil {
			w.die(x, err)
			continue
		}
		if from, to, ok := x.p.Gap(); ok {
			entries, end, _ := w.Read(context.Background(), x.part, from, to)
			if err := x.p.ReadBack(entries, end); err != nil {
				w.die(x, err)
			}
		}
	}
}

func (w *world) checkpoint(x *simRater) {
	switch {
	case x.unknown:
		epoch, owner, next, _ := w.Position(context.Background(), x.part)
		if err := x.p.CutFound(epoch, owner, next); err != nil {
			w.die(x, err)
		}
		x.unknown = false
	case x.p.Idle():
		if err := x.p.Look(context.Background()); err != nil {
			w.die(x, err)
		}
	default:
		c := x.p.Commit()
		if c == nil {
			return
		}
		w.checkCut(x, c)
		out := OutcomeUnknown
		switch k := w.n(8); {
		case w.quiet || k > 2:
			outcomes, _ := w.Commit(context.Background(), []*Cut{c})
			out = outcomes[0]
		case k == 0: // committed, the answer lost
			w.apply(c)
		case k == 1: // not committed
		case k == 2: // still on its way
			w.commits = append(w.commits, c)
		}
		if err := x.p.CutDone(out); err != nil {
			w.die(x, err)
		}
		x.unknown = out == OutcomeUnknown
	}
}

// checkCut: a cut may only be committed when the records that readers of `rated` take below it are the ones that this
// rater computed.
func (w *world) checkCut(x *simRater, c *Cut) {
	last := int64(-1)
	for _, r := range w.rated[x.part] {
		if r.previous != last || r.offset > c.Last {
			continue
		}
		last = r.offset
		if sum, ok := x.p.mine[r.offset]; ok && sum != SumOf(r.value) {
			fail("partition %d: lines by one version, rated by another", x.part)
		}
	}
	if last < c.Last {
		fail("partition %d: a checkpoint before its rated records stand", x.part)
	}
}

func (w *world) lateCommit() {
	if len(w.commits) > 0 {
		i := w.n(len(w.commits))
		w.apply(w.commits[i])
		w.commits = slices.Delete(w.commits, i, i+1)
	}
}

// project begins or ends a piece of work towards the live store; between the two anything may happen.
func (w *world) projectStep(x *simRater) {
	if x.work == nil {
		x.work = x.p.Project(x.pos == int64(len(w.usage[x.part])), w.n(3) == 0)
		return
	}
	work, result := x.work, LiveResult{}
	x.work = nil
	if work.Look {
		if err := w.Look(context.Background(), work.Fence); err != nil {
			w.die(x, err)
			return
		}
	}
	if work.Page {
		lines, next, more, err := w.OpenLines(context.Background(), x.p.Fence(), work.EndsAfter, work.PageFrom, work.PageLimit)
		if err != nil {
			w.die(x, err)
			return
		}
		work.Projection.Lines, result.PageNext, result.PageMore = lines, next, more
	}
	if w.quiet || w.n(12) > 0 {
		result.Applied = w.project(work.Projection)
	}
	x.p.Projected(result)
}

// lookAtLive is a reader: under a head that it may trust no line is older than what PostgreSQL says, unless it waits
// to be shown.
func (w *world) lookAtLive(p int) {
	x := w.cur[p]
	v := w.redis[p]
	if x == nil || x.dead || v.build || v.head != x.p.live.head || x.p.live.stage != stageShown {
		return
	}
	pg := w.pg[p]
	if pg.owner != x.p.fence.Owner || pg.c.Next != x.p.fence.Next {
		return
	}
	waiting := map[activity.ID]bool{}
	for _, f := range slices.Concat(x.p.machine.unshown, x.p.live.sent) {
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

// simulate runs one schedule and returns what it violated, "" for nothing.
func simulate(seed uint64, faults simFaults) (why string, w *world) {
	w = newWorld(seed, faults)
	defer func() {
		if e := recover(); e != nil {
			v, ok := e.(violation)
			if !ok {
				panic(e)
			}
			why = string(v)
		}
	}()
	for range 250 + w.n(700) {
		w.act()
	}
	w.drain()
	return w.check(), w
}

func (w *world) drain() {
	for len(w.late) > 0 {
		w.land1()
	}
	for _, z := range w.zombies {
		w.land(z, 1<<20)
		if !z.dead && w.n(2) == 0 {
			w.poll(z, 3)
			w.land(z, 99)
		}
	}
	w.quiet = true
	failover := w.n(4) == 0
	for round := range 400 {
		w.lateCommit()
		w.publish()
		done := w.sinks.settled(round)
		done = done && w.pub == int64(len(w.defs)) && len(w.commits) == 0
		for p := range w.parts {
			if w.stopped[p] {
				continue
			}
			if w.cur[p] == nil || w.cur[p].dead {
				w.acquire(p)
			}
			x := w.cur[p]
			w.poll(x, 40)
			w.land(x, 1<<20)
			if !x.dead {
				x.p.Freeze()
				w.checkpoint(x)
			}
			for range 3 {
				if !x.dead {
					w.projectStep(x)
				}
			}
			done = done && !x.dead && !x.unknown && w.pg[p].c.Next == int64(len(w.usage[p])) && x.p.Idle() && x.p.Shown() && x.work == nil &&
				w.redis[p].head == x.p.live.head
		}
		if done && !failover {
			return
		}
		if done { // owners without work must notice that PostgreSQL fell back, and that the live store is empty
			failover = false
			w.pg = slices.Clone(w.hist[w.n(len(w.hist))])
			w.redis[w.n(w.parts)] = &simRedis{lines: map[activity.ID]simShown{}}
		}
	}
	fail("no progress")
}
