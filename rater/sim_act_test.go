package rater

import "github.com/tollstream/tollstream/rater/activity"

// simAction is something that may happen next; one of weight 10 happens ten times as often as one of weight 1. It gets
// a partition and a process, often one that reads that partition.
type simAction struct {
	name   string
	weight int
	do     func(w *world, p int32, x *simProcess)
}

// simActions is all that may happen. A fault that shows only under rare schedules steers: see simSteering.
var simActions = []simAction{
	{"client", 28, func(w *world, _ int32, _ *simProcess) { w.client() }},
	{"deliver", 28, func(w *world, p int32, x *simProcess) {
		if x = w.whoever(x, func(x *simProcess) bool { return x.behind(p) }); x != nil {
			x.fetch(p, 1+w.n(6))
			if w.n(5) > 0 {
				x.deliver()
			}
		}
	}},
	{"go on", 100, func(w *world, _ int32, _ *simProcess) { w.goOnSome(1 + w.n(16)) }},
	{"tick", 20, func(w *world, _ int32, _ *simProcess) { w.tick() }},
	{"land", 24, func(w *world, p int32, x *simProcess) {
		if x = w.whoever(x, func(x *simProcess) bool { return len(x.produced[p]) > 0 }); x != nil {
			x.land(p, 1+w.n(6))
		}
	}},
	{"acknowledge", 24, func(w *world, p int32, x *simProcess) {
		if x = w.whoever(x, func(x *simProcess) bool { return len(x.landed[p]) > 0 }); x != nil {
			x.acknowledge(p, 1+w.n(8))
		}
	}},
	{"stray", 2, func(w *world, _ int32, _ *simProcess) { w.landStray() }},
	{"late commit", 2, func(w *world, _ int32, _ *simProcess) { w.landCommit() }},
	{"late projection", 1, func(w *world, _ int32, _ *simProcess) { w.landProjection() }},
	{"late produce", 4, func(w *world, _ int32, _ *simProcess) { w.land1() }},
	{"define", 4, func(w *world, _ int32, _ *simProcess) { w.change() }},
	{"publish", 6, func(w *world, _ int32, _ *simProcess) { w.publish() }},
	{"retry", 4, func(w *world, _ int32, _ *simProcess) { w.retry() }},
	{"seal", 4, func(w *world, _ int32, _ *simProcess) { w.sealSome() }},
	{"sink", 14, func(w *world, _ int32, _ *simProcess) { w.sinks.step(w.n(2)) }},
	{"pause the sinks", 1, func(w *world, _ int32, _ *simProcess) { w.sinks.now = w.sinks.now.Add(simLease) }},
	{"kill a sink", 1, func(w *world, _ int32, _ *simProcess) { w.sinks.kill(w.n(2)) }},
	{"late insert", 1, func(w *world, _ int32, _ *simProcess) { w.sinks.landLate() }},
	{"time", 12, func(w *world, _ int32, _ *simProcess) { w.now += int64(w.n(10)) * simHour }},
	{"rebalance", 2, func(w *world, p int32, _ *simProcess) { w.rebalance(p) }},
	{"adopt", 6, func(w *world, _ int32, _ *simProcess) { w.adopt() }},
	{"news", 1, func(w *world, _ int32, _ *simProcess) { w.hearNews() }},
	{"crash", 1, func(w *world, _ int32, x *simProcess) { w.crash(x) }},
	{"stop", 1, func(w *world, _ int32, x *simProcess) {
		if w.n(4) == 0 {
			w.stop(x)
		}
	}},
	{"skip", 1, func(w *world, _ int32, _ *simProcess) { w.skip() }},
	{"freeze", 3, func(w *world, _ int32, x *simProcess) { // it does not notice what happens meanwhile
		if x.frozen || w.n(4) == 0 {
			x.frozen = !x.frozen
			w.log("process %d is frozen: %v", x.id, x.frozen)
		}
	}},
	{"fail a produce", 1, func(_ *world, p int32, x *simProcess) { x.failProduce(p) }},
	{"flush redis", 1, func(w *world, p int32, _ *simProcess) { w.redis[p] = &simRedis{lines: map[activity.ID]simShown{}} }},
	{"copy redis", 1, func(w *world, _ int32, _ *simProcess) { w.snaps = append(w.snaps, cloneRedis(w.redis)) }},
	{"fail redis over", 1, func(w *world, _ int32, _ *simProcess) {
		if len(w.snaps) > 0 {
			w.redis = cloneRedis(w.snaps[w.n(len(w.snaps))])
		}
	}},
	{"fail postgres over", 1, func(w *world, _ int32, _ *simProcess) {
		if w.n(3) == 0 {
			w.failPostgresOver()
		}
	}},
}

// simSteering replaces the weights of some actions, by name.
type simSteering map[string]int

// odds lists each action as often as its weight says.
func odds(s simSteering) []*simAction {
	var out []*simAction
	for i := range simActions {
		a := &simActions[i]
		weight, steered := s[a.name]
		if !steered {
			weight = a.weight
		}
		for range weight {
			out = append(out, a)
		}
	}
	return out
}

// whoever finds a process of which something holds, x before the others.
func (w *world) whoever(x *simProcess, is func(*simProcess) bool) *simProcess {
	if is(x) {
		return x
	}
	for _, x := range w.procs {
		if is(x) {
			return x
		}
	}
	return nil
}

func (w *world) act() {
	w.steps++
	p := int32(w.n(w.parts))
	x := w.procs[w.n(len(w.procs))]
	if o := w.owners[p]; o != nil && !o.ended && w.n(4) > 0 {
		x = o
	}
	w.odds[w.n(len(w.odds))].do(w, p, x)
}
