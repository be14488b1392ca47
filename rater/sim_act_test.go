package rater

import (
	"sync"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/rater/activity"
)

// simAction is something that may happen next; one of weight 10 happens ten times as often as one of weight 1. It gets
// a partition and a process, often one that reads that partition.
type simAction struct {
	name   string
	weight int
	do     func(w *world, p int32, x *simProcess)
}

// simActions is all that may happen. A fault that shows only under rare schedules steers: see simSteering.
var simActions = []simAction{
	{"client", 18, func(w *world, _ int32, _ *simProcess) { w.client() }},
	{"send again", 2, func(w *world, _ int32, _ *simProcess) { w.sendAgain() }},
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
	{"stray", 3, func(w *world, _ int32, _ *simProcess) { w.landStray() }},
	{"late commit", 3, func(w *world, _ int32, _ *simProcess) { w.landCommit() }},
	{"late projection", 2, func(w *world, _ int32, _ *simProcess) { w.landProjection() }},
	{"late produce", 4, func(w *world, _ int32, _ *simProcess) { w.land1() }},
	{"define", 5, func(w *world, _ int32, _ *simProcess) { w.change() }},
	{"publish", 6, func(w *world, _ int32, _ *simProcess) { w.publish() }},
	{"retry", 6, func(w *world, _ int32, _ *simProcess) { w.retry() }},
	{"seal", 6, func(w *world, _ int32, _ *simProcess) { w.sealSome() }},
	{"sink", 24, func(w *world, _ int32, _ *simProcess) { w.sinks.step(w.n(2)) }},
	{"pause the sinks", 2, func(w *world, _ int32, _ *simProcess) { w.sinks.now = w.sinks.now.Add(simLease) }},
	{"kill a sink", 2, func(w *world, _ int32, _ *simProcess) { w.sinks.kill(w.n(2)) }},
	{"late insert", 2, func(w *world, _ int32, _ *simProcess) { w.sinks.landLate() }},
	{"rate anew", 24, func(w *world, _ int32, _ *simProcess) { w.works.step(w.n(2)) }},
	{"kill a job", 1, func(w *world, _ int32, _ *simProcess) { w.works.kill(w.n(2)) }},
	{"time", 18, func(w *world, _ int32, _ *simProcess) { w.pass(w.n(10)) }},
	{"rebalance", 4, func(w *world, p int32, _ *simProcess) { w.rebalance(p) }},
	{"adopt", 6, func(w *world, _ int32, _ *simProcess) { w.adopt() }},
	{"news", 2, func(w *world, _ int32, _ *simProcess) { w.hearNews() }},
	{"crash", 2, func(w *world, _ int32, x *simProcess) { w.crash(x) }},
	{"stop", 2, func(w *world, _ int32, x *simProcess) {
		if w.n(4) == 0 {
			w.stop(x)
		}
	}},
	{"skip", 2, func(w *world, _ int32, _ *simProcess) { w.skip() }},
	{"freeze", 3, func(w *world, _ int32, x *simProcess) { // it does not notice what happens meanwhile
		if x.frozen || w.n(4) == 0 {
			x.frozen = !x.frozen
			w.log("process %d is frozen: %v", x.id, x.frozen)
		}
	}},
	{"rate anew under load", 0, func(w *world, _ int32, _ *simProcess) { w.rateAnewUnderLoad() }},
	{"sleep long", 0, func(w *world, p int32, _ *simProcess) { w.sleepLong(p) }},
	{"fail a produce", 2, func(_ *world, p int32, x *simProcess) { x.failProduce(p) }},
	{"flush redis", 1, func(w *world, p int32, _ *simProcess) { w.redis[p] = &simRedis{lines: map[activity.ID]simShown{}} }},
	{"copy redis", 1, func(w *world, _ int32, _ *simProcess) { w.snaps = append(w.snaps, cloneRedis(w.redis)) }},
	{"fail redis over", 1, func(w *world, _ int32, _ *simProcess) {
		if len(w.snaps) > 0 {
			w.redis = cloneRedis(w.snaps[w.n(len(w.snaps))])
		}
	}},
	{"lose usage", 2, func(w *world, p int32, _ *simProcess) { w.loseUsage(p) }},
	{"fail postgres over", 2, func(w *world, _ int32, _ *simProcess) {
		if w.n(3) == 0 {
			w.failPostgresOver()
		}
	}},
}

// simSteering replaces the weights of some actions, by name.
type simSteering map[string]int

// simUsual are the odds without steering.
var simUsual = sync.OnceValue(func() []*simAction { return weigh(nil) })

func odds(s simSteering) []*simAction {
	if s == nil {
		return simUsual()
	}
	return weigh(s)
}

// weigh lists each action as often as its weight says.
func weigh(s simSteering) []*simAction {
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

// sleepLong has a process acquire a partition and sleep while another rates, seals and commits on. Then it wakes up and goes
// on from where it was.
func (w *world) sleepLong(p int32) {
	i := w.n(len(w.procs))
	a, b := w.procs[i], w.procs[(i+1)%len(w.procs)]
	if w.stopped[p] || a.stopping || b.stopping {
		return
	}
	a.frozen, b.frozen = false, false
	for _, old := range []*simProcess{w.owners[p], w.moving[p]} {
		if old != nil {
			w.news = append(w.news, simNews{old, p})
		}
	}
	w.moves[p]++
	w.assign(p, a)
	if !w.work(p, a, func() bool { r := w.ownerOf(p); return r != nil && r == a.runner(p) }) {
		return
	}
	a.frozen = true
	w.log("process %d is frozen: it sleeps long", a.id)
	w.moves[p]++
	w.assign(p, b)
	w.news = append(w.news, simNews{a, p})
	w.useOneAccount(p)
	w.work(p, b, func() bool { return w.pg[p].c.Next == int64(len(w.usage[p])) })
	a.frozen = false
	w.log("process %d wakes up", a.id)
	w.work(p, a, func() bool { return a.runner(p) == nil })
}

// work lets a process work on a partition until something is reached; false: it takes too long.
func (w *world) work(p int32, x *simProcess, reached func() bool) bool {
	for range 60 {
		if reached() {
			return true
		}
		x.fetch(p, 40)
		x.deliver()
		w.goOnSome(10)
		x.land(p, 40)
		x.acknowledge(p, 40)
		w.tick()
	}
	return false
}

// useOneAccount sends single events of one account of the partition, new ones and ids that come again behind the window,
// with a seal in between.
func (w *world) useOneAccount(p int32) {
	account := simAccounts[w.n(len(simAccounts))]
	if usage.PartitionOf(simKey[account], w.parts) != p {
		return
	}
	seal := 1 + w.n(3)
	for i := range 5 {
		e := w.newEvent()
		for _, old := range w.sent {
			if old.Account == account && old.Time < w.now-simWindow-2*simHour && old.Time > w.now-simWindow-simDay && w.n(3) == 0 {
				e = old
				e.Time, e.Hash = w.now, e.Hash+2
				break
			}
		}
		e.Account, e.Subject, e.RoutingKey = account, "", simKey[account]
		w.append(p, usage.Record{Kind: usage.KindBatch, Events: []usage.Event{e}})
		if start, end := w.cycle.over(w.now - 2*simHour); i == seal && end > simStart {
			w.append(p, usage.Record{Kind: usage.KindSeal, Seal: &usage.Seal{Account: account, PeriodStart: start, PeriodEnd: end}})
		}
	}
}

// loseUsage lets the broker fail over to a replica that lacks what it has acknowledged last.
func (w *world) loseUsage(p int32) {
	keep := len(w.usage[p]) - 1 - w.n(3)
	if !w.lossy || keep < 1 {
		return
	}
	w.did("broker lost usage")
	w.log("the broker loses the usage of partition %d from offset %d on", p, keep)
	w.usage[p] = w.usage[p][:keep:keep]
	w.lost[p] = true
	w.leader[p]++
}
