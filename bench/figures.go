package main

import (
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

// figure is what a run of events took, by round.
type figure struct {
	speed  []float64            // events a second
	self   []float64            // µs of this process's processor time for an event
	server map[string][]float64 // the same of the servers
	others []float64            // share of the machine that others used
}

func (f *figure) add(events int, took time.Duration, cpu usedCPU) {
	n := float64(events)
	f.speed = append(f.speed, n/took.Seconds())
	f.self = append(f.self, cpu.self.Seconds()*1e6/n)
	if f.server == nil {
		f.server = map[string][]float64{}
	}
	for name, d := range cpu.servers {
		f.server[name] = append(f.server[name], d.Seconds()*1e6/n)
	}
	f.others = append(f.others, cpu.others().Seconds()/(took.Seconds()*float64(runtime.NumCPU())))
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

// ratedFigures are those of the rater and of both loops.
type ratedFigures struct {
	s                    settings
	rater, single, batch figure
}

func newRatedFigures(s settings) *ratedFigures { return &ratedFigures{s: s} }

// ratios divides round by round: what slowed one down has mostly slowed down the other.
func ratios(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] / b[i]
	}
	return out
}

func (m *ratedFigures) measures() []measure {
	out := []measure{
		measured("rated end to end", "events/s", m.rater.speed).
			note("%d accounts, batches of %d, %d partitions; until the last checkpoint, so the last interval of 0.5 s is part of it", m.s.Accounts, m.s.Batch, m.s.Partitions),
		measured("bare loop, one event a record", "events/s", m.single.speed),
		measured("bare loop, the same batches", "events/s", m.batch.speed),
		measured("rated / bare loop of events", "ratio", ratios(m.rater.speed, m.single.speed)).goal("≥ 1.0"),
		measured("rated / bare loop of batches", "ratio", ratios(m.rater.speed, m.batch.speed)),
		measured("processor of this process: rated / loop of events", "ratio", ratios(m.rater.self, m.single.self)).
			note("hardly depends on what else the machine does; below 1 the rater costs less than the loop"),
	}
	out = append(out, m.rater.cost("rated")...)
	out = append(out, m.single.cost("loop of events")...)
	return append(out, m.batch.cost("loop of batches")...)
}
