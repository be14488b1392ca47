package rater

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/bench/result"
)

var simReport = flag.String("report", "", "write a result of the simulation into this folder")

// simResult is what `make simulate` writes down.
type simResult struct {
	result.Head
	Schedules  int            `json:"schedules"`
	From       uint64         `json:"first_seed"`
	To         uint64         `json:"last_seed"`
	Seconds    float64        `json:"seconds"`
	Events     int            `json:"events"`
	Exercised  map[string]int `json:"exercised"`
	Violations int            `json:"violations"`
	Faults     []simCaught    `json:"faults"`
}

// simCaught says how a fault was noticed.
type simCaught struct {
	Fault   string `json:"fault"`
	After   int    `json:"schedules"` // 0: it was not
	Steered bool   `json:"steered,omitempty"`
	Check   string `json:"check"`
}

// TestSimulationReport runs many schedules and every fault, and writes down what came of it. It is run by `make simulate`.
func TestSimulationReport(t *testing.T) {
	if *simReport == "" {
		t.Skip("no folder for a report is given")
	}
	r := &simResult{Head: result.Begin(t.Context()), Schedules: *simSchedules, From: uint64(max(0, *simSeed)), Exercised: map[string]int{}}
	r.To = r.From + uint64(r.Schedules) - 1
	began := time.Now()
	done, told := 0, began
	seed, why := simulateAll(r.From, r.Schedules, simMutant{}, func(w *world) {
		done++
		for what, n := range w.done {
			r.Exercised[what] += n
		}
		if time.Since(told) > 10*time.Second {
			told = time.Now()
			fmt.Fprintf(os.Stderr, "%d of %d schedules in %.0f s\n", done, r.Schedules, told.Sub(began).Seconds())
		}
	})
	r.Seconds = time.Since(began).Seconds()
	r.Events = r.Exercised["usage accepted"] + r.Exercised["usage retried"]
	if why != "" {
		r.Violations++
		t.Error(traceOf(seed, simMutant{}))
	}
	for _, m := range simMutants() {
		fmt.Fprintf(os.Stderr, "fault %s\n", m.name)
		seed, why := simulateAll(0, m.most(), m, nil)
		c := simCaught{Fault: m.name, Steered: m.steer != nil, Check: why}
		if why != "" {
			c.After = int(seed) + 1
		} else {
			t.Errorf("%s is not caught in %d schedules", m.name, m.most())
		}
		r.Faults = append(r.Faults, c)
	}
	r.Finish()
	if err := result.Write(*simReport, "simulation-"+r.Name(), r, r.page()); err != nil {
		t.Fatal(err)
	}
}

func (r *simResult) page() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Simulation of %s, commit %s\n\n", r.Date, r.Commit)
	fmt.Fprintf(&b, "%d schedules, seeds %d to %d, in %.0f s (%.0f a second); %d usage events. **%d violations.**\n\n",
		r.Schedules, r.From, r.To, r.Seconds, float64(r.Schedules)/r.Seconds, r.Events, r.Violations)
	b.WriteString("| exercised | times |\n|---|---:|\n")
	for _, what := range slices.Sorted(maps.Keys(r.Exercised)) {
		fmt.Fprintf(&b, "| %s | %d |\n", what, r.Exercised[what])
	}
	b.WriteString("\n| rule that is left out | fault | caught after | by |\n|---|---|---:|---|\n")
	for _, rule := range simRules {
		if rule.later != "" {
			fmt.Fprintf(&b, "| %s | belongs to %s, not built yet | | |\n", rule.rule, rule.later)
		}
		for _, name := range rule.faults {
			if by := simElsewhere[name]; by != "" {
				fmt.Fprintf(&b, "| %s | `%s` | not by schedules | %s |\n", rule.rule, name, by)
				continue
			}
			c := r.Faults[slices.IndexFunc(r.Faults, func(c simCaught) bool { return c.Fault == name })]
			after := fmt.Sprint(c.After)
			switch {
			case c.After == 0:
				after = "**never**"
			case c.Steered:
				after += ", steered"
			}
			fmt.Fprintf(&b, "| %s | `%s` | %s | %s |\n", rule.rule, name, after, c.Check)
		}
	}
	b.WriteString("\nSteered: the fault shows only under rare schedules, so the weights of some actions are raised (`simSteered`).\n")
	b.WriteString(r.Page(map[string]string{"schedules": fmt.Sprint(r.Schedules)}))
	b.WriteString("\n")
	return b.String()
}
