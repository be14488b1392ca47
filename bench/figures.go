package main

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// measure is one figure as it is reported.
type measure struct {
	Name    string    `json:"name"`
	Unit    string    `json:"unit"`
	Goal    string    `json:"goal,omitempty"`
	Met     *bool     `json:"met,omitempty"` // whether the goal is; nil without one
	Median  float64   `json:"median"`
	Min     float64   `json:"min"`
	Max     float64   `json:"max"`
	Samples []float64 `json:"samples,omitempty"`
	Note    string    `json:"note,omitempty"`

	// Figures that several subjects have stand side by side in a table: a row a subject, a column a part.
	Table   string `json:"table,omitempty"`
	Subject string `json:"subject,omitempty"`
	Part    string `json:"part,omitempty"`
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

// goal says what is aimed at. Where the text has a bound, such as "≥ 1.0", it decides whether the median meets it.
func (m measure) goal(text string) measure {
	m.Goal = text
	at := strings.IndexAny(text, "≥≤")
	if at < 0 {
		return m
	}
	sign, size := utf8.DecodeRuneInString(text[at:])
	number, _, _ := strings.Cut(strings.TrimSpace(text[at+size:]), " ")
	bound, err := strconv.ParseFloat(strings.TrimRight(number, ",;"), 64)
	if err != nil {
		return m
	}
	return m.judge(sign == '≥' && m.Median >= bound || sign == '≤' && m.Median <= bound)
}

// judge says whether the goal is met, where its text alone cannot.
func (m measure) judge(met bool) measure { m.Met = &met; return m }

// in puts the figure into a table.
func (m measure) in(table, subject, part string) measure {
	m.Table, m.Subject, m.Part = table, subject, part
	return m
}

func (m measure) note(format string, args ...any) measure {
	m.Note = fmt.Sprintf(format, args...)
	return m
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

// calmShare is how much of the machine others may use in a run without disturbing it.
const calmShare = 0.2

// figure is what the runs of events took, by round.
type figure struct {
	speed  []float64            // events a second
	self   []float64            // µs of this process's processor time for an event
	server map[string][]float64 // the same of the other processes
	all    []float64            // the same of all together
	others []float64            // share of the machine that others used
}

func (f *figure) add(s sample) {
	n := float64(s.events)
	f.speed = append(f.speed, n/s.took.Seconds())
	f.self = append(f.self, s.cpu.self.Seconds()*1e6/n)
	if f.server == nil {
		f.server = map[string][]float64{}
	}
	sum := s.cpu.self
	for name, d := range s.cpu.servers {
		f.server[name] = append(f.server[name], d.Seconds()*1e6/n)
		sum += d
	}
	f.all = append(f.all, sum.Seconds()*1e6/n)
	f.others = append(f.others, s.disturbed())
}

// processorTable compares what an event costs in each process.
const processorTable = "Processor time, µs an event"

// The columns of processorTable that are no server.
const (
	partSelf   = "rater or loop"
	partAll    = "all"
	partOthers = "others, share of the machine"
)

// cost lists the processor time of an event, of this process, of each server that worked and of all.
func (f *figure) cost(subject string) []measure {
	row := func(part, unit string, samples []float64) measure {
		return measured(subject+": processor, "+part, unit, samples).in(processorTable, subject, part)
	}
	out := []measure{row(partSelf, "µs/event", f.self)}
	for _, name := range slices.Sorted(maps.Keys(f.server)) {
		if m := row(name, "µs/event", f.server[name]); m.Median > 0 {
			out = append(out, m)
		}
	}
	return append(out, row(partAll, "µs/event", f.all), row(partOthers, "share", f.others))
}

// ratios divides round by round: what slowed one down has mostly slowed down the other.
func ratios(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] / b[i]
	}
	return out
}
