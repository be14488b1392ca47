package rater

import (
	"slices"
	"testing"
)

// A schedule is what its seed says, to the last step: otherwise a failure could not be repeated.
func TestSimulationRepeats(t *testing.T) {
	for seed := range uint64(20) {
		var traces [2][]string
		for i := range traces {
			why, w := simulate(seed, simMutant{}, true)
			traces[i] = append(w.trace, why)
		}
		if len(traces[0]) < 50 {
			t.Fatalf("seed %d: a trace of %d lines", seed, len(traces[0]))
		}
		if !slices.Equal(traces[0], traces[1]) {
			at := 0
			for at < min(len(traces[0]), len(traces[1])) && traces[0][at] == traces[1][at] {
				at++
			}
			t.Fatalf("seed %d: another trace from line %d on: %q, then %q", seed, at, traces[0][at:min(at+1, len(traces[0]))], traces[1][at:min(at+1, len(traces[1]))])
		}
	}
}
