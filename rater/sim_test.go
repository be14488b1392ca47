package rater

import (
	"flag"
	"reflect"
	"testing"
)

var (
	simSchedules = flag.Int("schedules", 200, "schedules of the rater's simulation")
	simSeed      = flag.Int64("seed", -1, "run this schedule alone and print its trace")
)

// TestSimulation runs the real rater through seeded schedules of crashes, zombies, late and doubled writes, failovers and
// flushed live stores, and compares the end with a naive oracle.
func TestSimulation(t *testing.T) {
	if *simSeed >= 0 {
		why, w := simulate(uint64(*simSeed), simFaults{})
		for _, l := range w.trace {
			t.Log(l)
		}
		if why != "" {
			t.Fatalf("seed %d: %s", *simSeed, why)
		}
		return
	}
	for seed := range *simSchedules {
		if why, _ := simulate(uint64(seed), simFaults{}); why != "" {
			t.Fatalf("seed %d: %s (repeat with -run TestSimulation -seed %d -v)", seed, why, seed)
		}
	}
}

// TestSimulationCatches switches each fault on in turn: the simulation must notice it.
func TestSimulationCatches(t *testing.T) {
	const most = 1000
	for _, name := range faultNames(reflect.TypeFor[simFaults]()) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var f simFaults
			reflect.ValueOf(&f).Elem().FieldByName(name).SetBool(true)
			for seed := range most {
				if why, _ := simulate(uint64(seed), f); why != "" {
					t.Logf("caught after %d schedules: %s", seed+1, why)
					return
				}
			}
			t.Fatalf("not caught in %d schedules", most)
		})
	}
}

// faultNames are the switches of a struct of faults and of those that it embeds.
func faultNames(of reflect.Type) []string {
	var names []string
	for i := range of.NumField() {
		switch f := of.Field(i); {
		case f.Anonymous:
			names = append(names, faultNames(f.Type)...)
		case f.Type.Kind() == reflect.Bool && f.Name != "OtherVersion":
			names = append(names, f.Name)
		}
	}
	return names
}
