package rater

import (
	"context"
	"slices"

	"github.com/tollstream/tollstream/rater/activity"
)

// simAction is something that may happen next; one of weight 10 happens ten times as often as one of weight 1. It gets
// a partition and a rater of a partition: mostly its owner, sometimes a zombie, and nil when there is none.
type simAction struct {
	name   string
	weight int
	do     func(w *world, p int, x *simRater)
}

// simActions is all that may happen. A fault that shows only under rare schedules steers: see simSteering.
var simActions = []simAction{
	{"client", 12, func(w *world, _ int, _ *simRater) { w.client() }},
	{"rate", 20, alive(func(w *world, _ int, x *simRater) { w.poll(x, 1+w.n(5)) })},
	{"land", 12, func(w *world, _ int, x *simRater) {
		if x != nil {
			w.land(x, 1+w.n(6))
		}
	}},
	{"freeze", 4, alive(func(_ *world, _ int, x *simRater) { x.p.Freeze() })},
	{"compact", 1, alive(func(w *world, _ int, x *simRater) { w.compact(x) })},
	{"checkpoint", 8, alive(func(w *world, _ int, x *simRater) { w.checkpoint(x) })},
	{"project", 9, alive(func(w *world, p int, x *simRater) {
		w.projectStep(x)
		w.lookAtLive(p)
	})},
	{"late commit", 2, func(w *world, _ int, _ *simRater) { w.lateCommit() }},
	{"late produce", 3, func(w *world, _ int, _ *simRater) { w.land1() }},
	{"define", 3, func(w *world, _ int, _ *simRater) { w.change() }},
	{"publish", 4, func(w *world, _ int, _ *simRater) { w.publish() }},
	{"retry", 2, func(w *world, _ int, _ *simRater) { w.retry() }},
	{"seal", 2, func(w *world, _ int, _ *simRater) { w.sealSome() }},
	{"sink", 8, func(w *world, _ int, _ *simRater) { w.sinks.step(w.n(2)) }},
	{"pause the sinks", 1, func(w *world, _ int, _ *simRater) { w.sinks.now = w.sinks.now.Add(simLease) }},
	{"kill a sink", 1, func(w *world, _ int, _ *simRater) { w.sinks.kill(w.n(2)) }},
	{"late insert", 1, func(w *world, _ int, _ *simRater) { w.sinks.landLate() }},
	{"time", 6, func(w *world, _ int, _ *simRater) { w.now += int64(w.n(3)) * simHour }},
	{"rebalance", 5, func(w *world, p int, _ *simRater) {
		if !w.stopped[p] && (w.cur[p] == nil || w.cur[p].dead || w.n(3) == 0) { // the old owner goes on as a zombie
			w.acquire(p)
		}
	}},
	{"crash", 1, func(w *world, _ int, x *simRater) { // some of what it produced still arrives
		if x == nil {
			return
		}
		x.dead = true
		if w.n(2) == 0 {
			x.inflight = nil
		}
	}},
	{"fail a produce", 1, alive(func(w *world, _ int, x *simRater) { // what was behind it may still arrive
		if len(x.inflight) > 0 {
			x.inflight, x.dead = x.inflight[1:], true
			w.zombies = append(w.zombies, x)
		}
	})},
	{"flush redis", 1, func(w *world, p int, _ *simRater) { w.redis[p] = &simRedis{lines: map[activity.ID]simShown{}} }},
	{"copy redis", 1, func(w *world, _ int, _ *simRater) { w.snaps = append(w.snaps, cloneRedis(w.redis)) }},
	{"fail redis over", 1, func(w *world, _ int, _ *simRater) {
		if len(w.snaps) > 0 {
			w.redis = cloneRedis(w.snaps[w.n(len(w.snaps))])
		}
	}},
	{"fail postgres over", 1, func(w *world, _ int, _ *simRater) { // it has lost its last commits
		if w.n(3) > 0 {
			return
		}
		w.pg = slices.Clone(w.hist[w.n(len(w.hist))])
		w.synced()
		w.commits = nil
		w.sinks.failover()
		w.log("PostgreSQL fails over and has lost its last commits")
	}},
}

func alive(do func(w *world, p int, x *simRater)) func(*world, int, *simRater) {
	return func(w *world, p int, x *simRater) {
		if x != nil && !x.dead {
			do(w, p, x)
		}
	}
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

func (w *world) act() {
	p := w.n(w.parts)
	x := w.cur[p]
	if len(w.zombies) > 0 && w.n(4) == 0 {
		x = w.zombies[w.n(len(w.zombies))]
	}
	w.odds[w.n(len(w.odds))].do(w, p, x)
	if len(w.zombies) > 8 {
		w.zombies = w.zombies[len(w.zombies)-8:]
	}
}

func (w *world) compact(x *simRater) {
	if logTime, ok := x.p.Compactable(); ok {
		if days, err := w.Compact(context.Background(), x.p.Fence(), logTime); err == nil {
			x.p.Compacted(days)
		}
	}
}
