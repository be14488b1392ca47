package rater

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/tollstream/tollstream/collector/usage"
)

// log notes what happened, in words, when the schedule is traced: the step of the schedule, the processes' clock, and what
// was done. A step of which nothing is noted did nothing, or what it did is still on its way.
func (w *world) log(f string, a ...any) {
	if w.tracing {
		w.trace = append(w.trace, fmt.Sprintf("%4d %8.3fs  %s", w.steps, w.clock.Seconds(), fmt.Sprintf(f, a...)))
	}
}

// did counts what a schedule exercises.
func (w *world) did(what string) { w.done[what]++ }

// traceOf runs a schedule again and tells what happened, the violation last, and how to see it again.
func traceOf(seed uint64, m simMutant) string {
	why, w := simulate(seed, m, true)
	var b strings.Builder
	fmt.Fprintf(&b, "schedule %d: %d partitions, %d processes", seed, w.parts, len(w.procs))
	if w.upgrades {
		b.WriteString(", of two versions")
	}
	if m.name != "" {
		fmt.Fprintf(&b, ", with the fault %s", m.name)
	}
	b.WriteString("\nstep    clock\n")
	for _, l := range w.trace {
		fmt.Fprintln(&b, l)
	}
	again := "TestSimulation$"
	if m.name != "" {
		again = "TestSimulationCatches/" + m.name + "$"
	}
	if why != "" {
		fmt.Fprintf(&b, "VIOLATION of schedule %d: %s\n", seed, why)
	}
	fmt.Fprintf(&b, "again: go test ./rater -run '%s' -seed %d -schedules 1 -v\n", again, seed)
	return b.String()
}

// wording says what a usage record holds.
func wording(r *usage.Record) string {
	switch r.Kind {
	case usage.KindDefinitions:
		return fmt.Sprintf("definitions %d to %d", r.Definitions.From, r.Definitions.To)
	case usage.KindSeal:
		return fmt.Sprintf("seal of what %s is billed for up to %s", r.Seal.Account, day(r.Seal.PeriodEnd))
	case usage.KindSweep:
		return fmt.Sprintf("sweep of %d families after definition %d", len(r.Sweep.Families), r.Sweep.Seq)
	case usage.KindMarker:
		return fmt.Sprintf("marker of %s, definition %d attempt %d", r.Marker.Account, r.Marker.Seq, r.Marker.Attempt)
	case usage.KindValues:
		x := r.Values
		return fmt.Sprintf("%d values of %s, definition %d attempt %d at %d, in set %x", len(x.Values), x.Account, x.Seq, x.Attempt, x.At, x.Set[:4])
	case usage.KindResult:
		x := r.Result
		text := fmt.Sprintf("result of %s, definition %d attempt %d at %d: part %d of %d, %d lines, %d corrections", x.Account, x.Seq, x.Attempt, x.At, x.Part, x.Parts, len(x.Lines), len(x.Corrections))
		for i := range x.Answers {
			text += fmt.Sprintf(", %s of offset %d: %s", x.Answers[i].Event.ID, x.Answers[i].Offset, cmp.Or(x.Answers[i].Reason, "leaves out"))
		}
		return text
	}
	var b strings.Builder
	if r.Kind == usage.KindRetry {
		b.WriteString("retry of ")
	}
	for i := range r.Events {
		e := &r.Events[i]
		if i > 0 {
			b.WriteString(", ")
		}
		account := e.Account
		if account == "" {
			account = e.Subject
		}
		fmt.Fprintf(&b, "%s of %s (%s %s, %s)", e.ID, account, e.Quantity, e.Product, day(e.Time))
		if e.Corrects != nil {
			b.WriteString(" corrects " + e.Corrects.ID)
		}
	}
	return b.String()
}

// day writes an instant by the days since the simulation's first.
func day(t int64) string {
	const before = 1000 // days, so that nothing is negative
	at := t - simStart + before*simDay
	return fmt.Sprintf("day %d %02dh", at/simDay-before, at%simDay/simHour)
}
