package main

import (
	"cmp"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sort"
	"time"
)

// measure is one figure as it is reported.
type measure struct {
	Name    string    `json:"name"`
	Unit    string    `json:"unit"`
	Goal    string    `json:"goal,omitempty"`
	Median  float64   `json:"median"`
	Min     float64   `json:"min"`
	Max     float64   `json:"max"`
	Samples []float64 `json:"samples,omitempty"`
	Note    string    `json:"note,omitempty"`
}

func measured(name, unit string, samples []float64) measure {
	m := measure{Name: name, Unit: unit, Samples: samples}
	if len(samples) == 0 {
		return m
	}
	sorted := slices.Sorted(slices.Values(samples))
	m.Min, m.Max, m.Median = sorted[0], sorted[len(sorted)-1], sorted[len(sorted)/2]
	if len(sorted)%2 == 0 {
		m.Median = (sorted[len(sorted)/2-1] + m.Median) / 2
	}
	return m
}

func (m measure) goal(text string) measure { m.Goal = text; return m }

func (m measure) note(format string, args ...any) measure {
	m.Note = fmt.Sprintf(format, args...)
	return m
}

// quantile gives the smallest sample that the share q of all does not exceed.
func quantile(samples []float64, q float64) float64 {
	sorted := slices.Clone(samples)
	sort.Float64s(sorted)
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// sample is what one run of events took.
type sample struct {
	events int
	took   time.Duration
	cpu    usedCPU
}

// disturbed is the share of the machine that others used meanwhile.
func (s sample) disturbed() float64 {
	return s.cpu.others().Seconds() / (s.took.Seconds() * float64(runtime.NumCPU()))
}

// trial is a round: the same events by the rater and by both loops.
type trial struct{ rater, single, batch sample }

func (t trial) disturbed() float64 {
	return max(t.rater.disturbed(), t.single.disturbed(), t.batch.disturbed())
}

// calmShare is how much of the machine others may use in a run without disturbing it.
const calmShare = 0.2

// figure is what the runs of events took, by round.
type figure struct {
	speed  []float64            // events a second
	self   []float64            // µs of this process's processor time for an event
	server map[string][]float64 // the same of the servers
	others []float64            // share of the machine that others used
}

func (f *figure) add(s sample) {
	n := float64(s.events)
	f.speed = append(f.speed, n/s.took.Seconds())
	f.self = append(f.self, s.cpu.self.Seconds()*1e6/n)
	if f.server == nil {
		f.server = map[string][]float64{}
	}
	for name, d := range s.cpu.servers {
		f.server[name] = append(f.server[name], d.Seconds()*1e6/n)
	}
	f.others = append(f.others, s.disturbed())
}

// cost lists the processor time of an event, of this process and of each server that worked.
func (f *figure) cost(subject string) []measure {
	out := []measure{measured(subject+": processor, this process", "µs/event", f.self)}
	for _, name := range slices.Sorted(maps.Keys(f.server)) {
		if m := measured(subject+": processor, "+name, "µs/event", f.server[name]); m.Max > 0 {
			out = append(out, m)
		}
	}
	return append(out, measured(subject+": others on the machine", "share", f.others))
}

// ratedFigures are the rounds of the rater and of both loops.
type ratedFigures struct {
	s      settings
	rounds []trial
}

// calm counts the rounds that nobody disturbed.
func (m *ratedFigures) calm() (n int) {
	for _, t := range m.rounds {
		if t.disturbed() <= calmShare {
			n++
		}
	}
	return n
}

// ratios divides round by round: what slowed one down has mostly slowed down the other.
func ratios(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] / b[i]
	}
	return out
}

// measures takes the rounds that were disturbed least.
func (m *ratedFigures) measures() []measure {
	rounds := slices.Clone(m.rounds)
	slices.SortStableFunc(rounds, func(a, b trial) int { return cmp.Compare(a.disturbed(), b.disturbed()) })
	rounds = rounds[:min(len(rounds), m.s.Rounds)]
	var rater, single, batch figure
	for _, t := range rounds {
		rater.add(t.rater)
		single.add(t.single)
		batch.add(t.batch)
	}
	out := []measure{
		measured("rated end to end", "events/s", rater.speed).
			note("%d accounts, batches of %d, %d partitions; until the last checkpoint, so the last interval of 0.5 s is part of it. "+
				"The %d of %d rounds in which others used least of the machine, at most %.0f%%",
				m.s.Accounts, m.s.Batch, m.s.Partitions, len(rounds), len(m.rounds), 100*rounds[len(rounds)-1].disturbed()),
		measured("bare loop, one event a record", "events/s", single.speed),
		measured("bare loop, the same batches", "events/s", batch.speed),
		measured("rated / bare loop of events", "ratio", ratios(rater.speed, single.speed)).goal("≥ 1.0"),
		measured("rated / bare loop of batches", "ratio", ratios(rater.speed, batch.speed)),
		measured("processor of this process: rated / loop of events", "ratio", ratios(rater.self, single.self)).
			note("others on the machine disturb it less than the clock; below 1 the rater costs less than the loop"),
	}
	out = append(out, rater.cost("rated")...)
	out = append(out, single.cost("loop of events")...)
	return append(out, batch.cost("loop of batches")...)
}
