package rater

import (
	"flag"
	"reflect"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	simSchedules = flag.Int("schedules", 0, "schedules of the rater's simulation; 0: 1,000, with -short 200")
	simSeed      = flag.Int64("seed", -1, "the first schedule; a failing one prints its trace")
)

// simMust is what some of a thousand schedules must exercise: what does not happen is not shown to be harmless.
var simMust = []string{
	"crash", "zombie", "handed over", "graceful stop", "PostgreSQL failover", "broker lost usage", "loss of usage noticed",
	"checkpoint fenced", "checkpoint without an answer", "late checkpoint fenced", "one partition of a checkpoint fenced", "partitions in one checkpoint",
	"produce failed", "rated read back", "partition stopped before it contradicts", "rebuild of the live view", "another head in the live view",
	"lease taken over", "sink killed", "sink sleeps through its lease", "report store refuses", "report store loses an answer",
	"insert arrives late", "row inserted again", "definitions activated", "publisher killed between partitions",
	"seal", "late usage carried", "rejected: " + ReasonLate, "duplicate", "rejected: " + ReasonDuplicateConflict, "sent again behind the window",
	"lines swept", "marker", "result merged", "usage behind a marker", "seal while a marker is open", "job killed", "a job sleeps", "correction of what is sealed",
	"retry rated", "event skipped", "invoice on several partitions", "day of identities folded",
	"usage in a pool of an account", "usage in a pool of an invoice", "values asked for", "level carried over", "level carried on", "level begins a day without usage",
	"usage rated anew under another rate", "usage rated anew at other prices",
	"seal of a day", "seal of a week", "seal of a month", "another long period of an account sealed",
	"usage at prices in another currency", "prices in another currency than before", "amount converted", "amount that nothing converts", "exchange rates changed", "exchange rates deleted",
	"values counted before a marker", "values that are of no use deleted", "values of a sealed period deleted", "rejected: " + ReasonValuesGone,
	"rejected: " + ReasonNegative, "rejected: " + ReasonNoAmount, "rejected: " + ReasonNoRate,
}

// simMost is within how many schedules a fault must be noticed.
const simMost = 1000

// TestSimulation runs the real rater through seeded schedules of crashes, zombies, late and doubled writes, failovers and
// flushed live stores, and compares the end with a naive oracle.
func TestSimulation(t *testing.T) {
	n := *simSchedules
	switch {
	case n > 0:
	case *simSeed >= 0:
		n = 1
	case testing.Short():
		n = 200
	default:
		n = 1000
	}
	from := uint64(max(0, *simSeed))
	done := map[string]int{}
	seed, why := simulateAll(from, n, simMutant{}, func(w *world) {
		for what, times := range w.done {
			done[what] += times
		}
	})
	if why != "" {
		t.Fatal(traceOf(seed, simMutant{}))
	}
	must := slices.Clone(simMust)
	for _, f := range simFamilies {
		must = append(must, "usage under "+f.name)
	}
	for _, what := range must {
		if n >= simMost && done[what] == 0 {
			t.Errorf("no schedule exercises: %s", what)
		}
	}
	if n == 1 {
		t.Log(traceOf(from, simMutant{}))
	}
}

// simulateAll runs schedules on all cores until one violates something: the lowest seed that does, and what.
func simulateAll(from uint64, n int, m simMutant, each func(*world)) (seed uint64, why string) {
	var (
		next, least atomic.Uint64
		mu          sync.Mutex
		wait        sync.WaitGroup
	)
	const garbage = 1600 // percent: a schedule leaves much behind and lives shortly
	defer debug.SetGCPercent(debug.SetGCPercent(garbage))
	next.Store(from)
	least.Store(from + uint64(n))
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for s := next.Add(1) - 1; s < least.Load(); s = next.Add(1) - 1 {
				found, w := simulate(s, m, false)
				mu.Lock()
				if found != "" && s < least.Load() {
					least.Store(s)
					seed, why = s, found
				}
				if each != nil {
					each(w)
				}
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	return seed, why
}

// TestSimulationCatches switches each fault on in turn: the simulation must notice it.
func TestSimulationCatches(t *testing.T) {
	for i := range simMutants() {
		m := simMutants()[i]
		if testing.Short() && (i+time.Now().YearDay())%4 != 0 { // a part of them, another one each day
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			most := m.most()
			if *simSchedules > 0 {
				most = *simSchedules
			}
			from := uint64(max(0, *simSeed))
			seed, why := simulateAll(from, most, m, nil)
			switch {
			case why == "":
				t.Fatalf("not caught in %d schedules", most)
			case most == 1:
				t.Log(traceOf(seed, m))
			default:
				t.Logf("caught after %d schedules: %s", seed-from+1, why)
			}
		})
	}
}

// most is how many schedules a fault may take.
func (m *simMutant) most() int {
	if m.steer != nil { // it is rare
		return 3 * simMost
	}
	return simMost
}

// simMutant is a fault, and the schedules that show it where they are rare.
type simMutant struct {
	name   string
	faults simFaults
	steer  simSteering
}

// simMutants are all faults, one a time.
func simMutants() []simMutant {
	var out []simMutant
	for _, path := range switches(reflect.TypeFor[simFaults](), nil) {
		m := simMutant{}
		of := reflect.TypeFor[simFaults]()
		m.name = of.FieldByIndex(path).Name
		if len(path) > 1 && !of.Field(path[0]).Anonymous {
			m.name = of.Field(path[0]).Name + m.name
		}
		reflect.ValueOf(&m.faults).Elem().FieldByIndex(path).SetBool(true)
		m.steer = simSteered[m.name]
		out = append(out, m)
	}
	return out
}

// switches finds the faults of a struct and of those in it.
func switches(of reflect.Type, at []int) [][]int {
	var out [][]int
	for i := range of.NumField() {
		path := append(at[:len(at):len(at)], i)
		switch f := of.Field(i); {
		case f.Type.Kind() == reflect.Struct:
			out = append(out, switches(f.Type, path)...)
		case f.Type.Kind() == reflect.Bool && f.Name != "OtherVersion" && simElsewhere[f.Name] == "":
			out = append(out, path)
		}
	}
	return out
}
