package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/tollstream/tollstream/bench/result"
)

// round is what was done in one, and how long it took until all was well.
type round struct {
	Number    int       `json:"round"`
	Began     time.Time `json:"began"`
	Faults    []string  `json:"faults"`
	kinds     []string
	Held      float64 `json:"held_seconds"`
	Live      float64 `json:"live_seconds"`      // from the heal until everything acknowledged is on the live invoices
	Recovered float64 `json:"recovered_seconds"` // … and in PostgreSQL and the report store
	Events    int     `json:"events"`            // rated since the run began
}

func (r *round) what() string { return strings.Join(r.Faults, " + ") }

// report is a run's result, as it is written.
type report struct {
	result.Head
	Seed       uint64              `json:"seed"`
	Settings   map[string]string   `json:"settings"`
	LeftOut    []string            `json:"left_out,omitempty"` // faults that this machine cannot have
	Violations int                 `json:"violations"`
	Deep       int                 `json:"deep_reconciles"`
	Recovery   map[string]recovery `json:"recovery"` // by kind of fault
	Counts     []count             `json:"counts"`
	Rounds     []round             `json:"rounds"`
}

// recovery sums up how long it took after the heal.
type recovery struct {
	Rounds int     `json:"rounds"`
	Live   summary `json:"live"`
	All    summary `json:"all"`
}

// summary is of times in seconds.
type summary struct {
	P50 float64 `json:"p50_seconds"`
	P99 float64 `json:"p99_seconds"`
	Max float64 `json:"max_seconds"`
}

func summed(samples []float64) summary {
	return summary{result.Quantile(samples, 0.5), result.Quantile(samples, 0.99), slices.Max(samples)}
}

type count struct {
	Name string `json:"name"`
	N    int64  `json:"n"`
}

const allFaults = "all rounds"

func newReport(ctx context.Context, s settings) *report {
	return &report{Head: result.Begin(ctx), Seed: s.Seed, Settings: map[string]string{
		"processes": fmt.Sprintf("%d: one with the API, two raters, two sinks", len(roles)), "partitions": partitions, "accounts": fmt.Sprint(accounts),
		"load": fmt.Sprintf("%d events/s by %d clients, a fifth of the batches sent again", s.Rate, clients),
	}}
}

// describe adds what only the servers know.
func (r *report) describe(ctx context.Context, s *site) error {
	if !s.disks {
		r.LeftOut = append(r.LeftOut, "full disk: no tmpfs can be mounted here")
	}
	if !s.clocks {
		r.LeftOut = append(r.LeftOut, "clock step: there is no libfaketime here")
	}
	if err := r.Ask(ctx, s.addrs["TOLLSTREAM_TEST_POSTGRES"], s.addrs["TOLLSTREAM_TEST_REDIS"], []string{s.addrs["TOLLSTREAM_TEST_KAFKA"]}); err != nil {
		return err
	}
	options, err := clickhouse.ParseDSN(s.addrs["TOLLSTREAM_TEST_CLICKHOUSE"])
	if err != nil {
		return fmt.Errorf("read where ClickHouse is: %w", err)
	}
	conn, err := clickhouse.Open(options)
	if err != nil {
		return fmt.Errorf("reach ClickHouse: %w", err)
	}
	defer func() { _ = conn.Close() }()
	version, err := conn.ServerVersion()
	if err != nil {
		return fmt.Errorf("ask ClickHouse for its version: %w", err)
	}
	r.Versions["ClickHouse"] = version.Version.String()
	return nil
}

// add notes a round that went well.
func (r *report) add(s *site, done round, deep bool) {
	done.Events = s.load.book.events
	r.Rounds = append(r.Rounds, done)
	if deep {
		r.Deep++
	}
	c := s.load.book.counted
	r.Counts = []count{
		{"events acknowledged", int64(s.load.book.events)}, {"events to be rejected", int64(len(s.load.book.rejected))},
		{"events sent again on purpose", int64(s.load.book.duplicates)}, {"requests sent again for want of an answer", int64(s.load.book.repeats)},
		{"events in the log", c.Accepted}, {"rated", c.Rated}, {"duplicates", c.Duplicates}, {"rejected", c.Rejected},
		{"processes that gave up and were started again", int64(s.exits())}, {"servers that died by themselves", int64(s.restarts)},
	}
}

// finish works the recovery times out.
func (r *report) finish() {
	r.Finish()
	live, all := map[string][]float64{}, map[string][]float64{}
	for _, d := range r.Rounds {
		for _, k := range append(slices.Compact(slices.Sorted(slices.Values(d.kinds))), allFaults) {
			live[k], all[k] = append(live[k], d.Live), append(all[k], d.Recovered)
		}
	}
	r.Recovery = map[string]recovery{}
	for k := range all {
		r.Recovery[k] = recovery{len(all[k]), summed(live[k]), summed(all[k])}
	}
}

// markdown is the report as a page.
func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Fault runs of %s, commit %s\n\n%d rounds, seed %d: **%d violations**. After each round the live invoices, PostgreSQL's lines, the report store\n"+
		"and `tollstream reconcile` agreed with the oracle to the last digit; `--deep` %d times.\n\n", r.Date, r.Commit, len(r.Rounds), r.Seed, r.Violations, r.Deep)
	b.WriteString("| fault | rounds | live again p50, s | p99 | max | recovered p50, s | p99 | max |\n|---|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, k := range slices.Sorted(maps.Keys(r.Recovery)) {
		x := r.Recovery[k]
		fmt.Fprintf(&b, "| %s | %d | %.1f | %.1f | %.1f | %.1f | %.1f | %.1f |\n", k, x.Rounds, x.Live.P50, x.Live.P99, x.Live.Max, x.All.P50, x.All.P99, x.All.Max)
	}
	b.WriteString("\nA round with two faults stands with both. Counted from the heal (a server that was killed answers again, a process may start) until everything that was\n" +
		"acknowledged, a little more load after the heal included, is on the live invoices; and until it is in PostgreSQL and the report store too.\n\n")
	for _, c := range r.Counts {
		fmt.Fprintf(&b, "- %s: %d\n", c.Name, c.N)
	}
	for _, text := range r.LeftOut {
		fmt.Fprintf(&b, "- left out: %s\n", text)
	}
	b.WriteString(r.Page(r.Settings) + "\n")
	return b.String()
}
