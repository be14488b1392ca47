package main

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// fault is one thing that goes wrong. What it disturbs is as before when heal has returned, so far as an operator can see to it.
type fault struct {
	kind   string // what is counted
	detail string
	target string
	hold   time.Duration
	inject func() error
	heal   func() error
}

func (f *fault) String() string {
	text := f.kind + " " + f.target
	if f.detail != "" {
		text += " " + f.detail
	}
	return text
}

// choose says what goes wrong in a round: one thing, and now and then two at once.
func (s *site) choose(random *rand.Rand) []*fault {
	faults := []*fault{s.one(random)}
	if random.IntN(5) == 0 {
		second := s.one(random)
		if second.target != faults[0].target {
			faults = append(faults, second)
		}
	}
	return faults
}

func (s *site) one(random *rand.Rand) *fault {
	hold := time.Duration(1000+random.IntN(4000)) * time.Millisecond
	kinds := []func(*rand.Rand) *fault{
		s.killProcess, s.stopProcess, s.killServer, s.killServer, s.stopServer, s.cutWire, s.stallWire, s.slowWire,
	}
	// Always drawn, so that a machine without disks or clocks does the other rounds alike.
	kind := random.IntN(len(kinds) + 2)
	switch {
	case kind < len(kinds):
	case kind == len(kinds) && s.disks:
		kinds = append(kinds, s.fillDisk)
	case kind > len(kinds) && s.clocks:
		kinds, kind = append(kinds, s.stepClock), len(kinds)
	default:
		kind -= 2
	}
	f := kinds[kind](random)
	if f.hold == 0 {
		f.hold = hold
	}
	return f
}

func (s *site) anyMember(random *rand.Rand) *member {
	return s.members[oneOf(random, slices.Sorted(maps.Keys(roles))...)]
}

func (s *site) killProcess(random *rand.Rand) *fault {
	m := s.anyMember(random)
	return &fault{kind: "kill process", target: m.name,
		inject: func() error { m.holdDown(); return nil },
		heal:   func() error { m.letGo(); return nil },
	}
}

// stopProcess stops one for a while; a rater sometimes for longer than the group waits for it, so that it wakes up as a zombie.
func (s *site) stopProcess(random *rand.Rand) *fault {
	m := s.anyMember(random)
	f := &fault{kind: "stop process", target: m.name,
		inject: func() error { m.process().Signal(syscall.SIGSTOP); return nil },
		heal:   func() error { m.process().Signal(syscall.SIGCONT); return nil },
	}
	if roles[m.name][0] == "rater" && random.IntN(3) == 0 {
		f.hold, f.detail = 13*time.Second, "until it is replaced"
	}
	return f
}

func (s *site) killServer(random *rand.Rand) *fault {
	store := oneOf(random, stores...)
	return &fault{kind: "kill server", target: store,
		inject: func() error { return s.servers.Run("kill", store) },
		heal:   func() error { return s.servers.Run("restart", store) },
	}
}

func (s *site) stopServer(random *rand.Rand) *fault {
	store := oneOf(random, stores...)
	return &fault{kind: "stop server", target: store,
		inject: func() error { return s.servers.Run("pause", store) },
		heal:   func() error { return s.servers.Run("resume", store) },
	}
}

// anyWires picks the wire of one process to a store, or those of all.
func (s *site) anyWires(random *rand.Rand) (target string, wires []*wire) {
	store := oneOf(random, stores...)
	if store == storeKafka {
		return store, []*wire{s.wires[everybody+" "+store]}
	}
	var who []string
	for _, name := range slices.Sorted(maps.Keys(roles)) {
		if uses(name, store) {
			who = append(who, name)
			wires = append(wires, s.wires[name+" "+store])
		}
	}
	if i := random.IntN(2 * len(who)); i < len(who) {
		return store + " from " + who[i], wires[i : i+1]
	}
	return store, wires
}

// uses says whether a process has work to do with a store. Raters write no reports, sinks show nothing.
func uses(name, store string) bool {
	role := roles[name][0]
	return (role != "rater" || store != storeClickHouse) && (role != "sink" || store != storeRedis)
}

func onWires(kind, target, detail string, wires []*wire, harm func(*wire) error) *fault {
	each := func(do func(*wire) error) error {
		var errs []error
		for _, w := range wires {
			errs = append(errs, do(w))
		}
		return errors.Join(errs...)
	}
	return &fault{kind: kind, target: target, detail: detail,
		inject: func() error { return each(harm) },
		heal:   func() error { return each((*wire).mend) },
	}
}

// cutWire closes connections; new ones are refused, or broken off as soon as something is said.
func (s *site) cutWire(random *rand.Rand) *fault {
	target, wires := s.anyWires(random)
	if random.IntN(2) == 0 {
		return onWires("cut connection", target, "refused", wires, (*wire).cut)
	}
	return onWires("cut connection", target, "reset", wires, func(w *wire) error {
		return w.disturb("reset_peer", map[string]any{"timeout": 0})
	})
}

// stallWire lets connections stand and carries nothing any more: nobody is told.
func (s *site) stallWire(random *rand.Rand) *fault {
	target, wires := s.anyWires(random)
	return onWires("stall connection", target, "", wires, func(w *wire) error {
		return w.disturb("timeout", map[string]any{"timeout": 0})
	})
}

func (s *site) slowWire(random *rand.Rand) *fault {
	target, wires := s.anyWires(random)
	latency, rate := 50+random.IntN(250), 20+random.IntN(200)
	return onWires("slow connection", target, fmt.Sprintf("%d ms, %d KB/s", latency, rate), wires, func(w *wire) error {
		if err := w.disturb("latency", map[string]any{"latency": latency, "jitter": latency / 2}); err != nil {
			return err
		}
		return w.disturb("bandwidth", map[string]any{"rate": rate})
	})
}

func (s *site) fillDisk(random *rand.Rand) *fault {
	store := oneOf(random, stores...)
	return &fault{kind: "full disk", target: store,
		inject: func() error { return s.servers.Run("fill", store) },
		heal: func() error {
			if err := s.servers.Run("free", store); err != nil {
				return err
			}
			return s.revive()
		},
	}
}

// stepClock puts a server's clock ahead or behind by minutes, and back. Kafka's stamps the log.
func (s *site) stepClock(random *rand.Rand) *fault {
	store, most := storeKafka, 600
	if random.IntN(3) == 0 {
		store, most = storePostgres, 120
	}
	step := 60 + random.IntN(most-60)
	if random.IntN(2) == 0 {
		step = -step
	}
	// A server looks once a second what time it is to be.
	return &fault{kind: "clock step", target: store, detail: fmt.Sprintf("by %+d s", step), hold: time.Duration(3+random.IntN(3)) * time.Second,
		inject: func() error { return s.servers.Run("clock", store, strconv.Itoa(step)) },
		heal:   func() error { return s.servers.Run("clock", store, "0") },
	}
}
