package rater

import "fmt"

// log notes what happened, in words, when the schedule is traced.
func (w *world) log(f string, a ...any) {
	if w.tracing {
		w.trace = append(w.trace, fmt.Sprintf(f, a...))
	}
}

// did counts what a schedule exercises.
func (w *world) did(what string) { w.done[what]++ }
