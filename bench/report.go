package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tollstream/tollstream/bench/result"
)

// report is a run's result, as it is written.
type report struct {
	result.Head
	Settings map[string]string `json:"settings"`
	Measures []measure         `json:"measures"`
	Where    []share           `json:"where,omitempty"`
	Warnings []string          `json:"warnings,omitempty"`
}

func newReport(ctx context.Context, c *corner, s settings) (*report, error) {
	r := &report{
		Head: result.Begin(ctx),
		Settings: map[string]string{
			"accounts": fmt.Sprint(s.Accounts), "lines": "one an account, of four products", "events a round": fmt.Sprint(s.Events), "events a record": fmt.Sprint(s.Batch),
			"partitions": fmt.Sprint(s.Partitions), "rounds": fmt.Sprintf("%d and one to warm up", s.Rounds),
			"producers": "acks=all, idempotent, linger 0, no compression", "broker": "one, flush.messages=1, LogAppendTime",
			"PostgreSQL": "fsync and synchronous_commit as it runs, see versions", "load": fmt.Sprintf("half of what the server takes, %d events/s at most", s.Load),
		},
	}
	return r, r.Ask(ctx, c.postgres, c.redis, c.kafka)
}

func (r *report) add(m ...measure) { r.Measures = append(r.Measures, m...) }

func (r *report) warn(err error) {
	if err != nil {
		r.Warnings = append(r.Warnings, err.Error())
	}
}

// markdown is the report as a page.
func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Benchmarks of %s, commit %s\n\n", r.Date, r.Commit)
	r.goals(&b)
	r.figures(&b)
	for _, table := range []string{processorTable, volumeTable, historyTable} {
		r.table(&b, table)
	}
	r.where(&b)
	b.WriteString("\n")
	for _, m := range r.Measures {
		if m.Note != "" {
			fmt.Fprintf(&b, "- %s: %s\n", m.Name, m.Note)
		}
	}
	for _, w := range r.Warnings {
		fmt.Fprintf(&b, "- warning: %s\n", w)
	}
	b.WriteString(r.Page(r.Settings) + " What others used of it is among the figures.\n")
	return b.String()
}

// goals lists what has one, and whether it is met.
func (r *report) goals(b *strings.Builder) {
	b.WriteString("| measure | goal | reached | smallest–largest | unit | |\n|---|---|---:|---:|---|---|\n")
	for _, m := range r.Measures {
		if m.Goal == "" {
			continue
		}
		verdict := ""
		if m.Met != nil {
			verdict = map[bool]string{true: "met", false: "**not met**"}[*m.Met]
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s–%s | %s | %s |\n", m.Name, m.Goal, number(m.Median), number(m.Min), number(m.Max), m.Unit, verdict)
	}
}

// figures lists those without a goal that stand in no table.
func (r *report) figures(b *strings.Builder) {
	head := "\n| figure | median | smallest–largest | unit |\n|---|---:|---:|---|\n"
	for _, m := range r.Measures {
		if m.Goal != "" || m.Table != "" {
			continue
		}
		fmt.Fprintf(b, "%s| %s | %s | %s–%s | %s |\n", head, m.Name, number(m.Median), number(m.Min), number(m.Max), m.Unit)
		head = ""
	}
}

// table sets the medians of several subjects side by side.
func (r *report) table(b *strings.Builder, name string) {
	var subjects, parts []string
	cells := map[[2]string]string{}
	for _, m := range r.Measures {
		if m.Table != name {
			continue
		}
		if !slices.Contains(subjects, m.Subject) {
			subjects = append(subjects, m.Subject)
		}
		if !slices.Contains(parts, m.Part) {
			parts = append(parts, m.Part)
		}
		cells[[2]string{m.Subject, m.Part}] = number(m.Median)
	}
	if len(subjects) == 0 {
		return
	}
	slices.SortStableFunc(parts, func(a, b string) int { return cmp.Compare(columnRank(a), columnRank(b)) })
	fmt.Fprintf(b, "\n| %s | %s |\n|---|%s\n", name, strings.Join(parts, " | "), strings.Repeat("---:|", len(parts)))
	for _, subject := range subjects {
		fmt.Fprintf(b, "| %s |", subject)
		for _, part := range parts {
			fmt.Fprintf(b, " %s |", cells[[2]string{subject, part}])
		}
		b.WriteString("\n")
	}
}

// columnRank keeps the sums of a table behind what they are made of.
func columnRank(part string) int { return slices.Index([]string{partAll, partOthers}, part) }

func number(v float64) string {
	switch {
	case v >= 1000:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

func (r *report) write(dir string) error {
	return result.Write(dir, r.Name(), r, r.markdown())
}
