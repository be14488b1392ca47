// Command bench measures tollstream on real servers: rated usage end to end against bare loops that only move the same
// events, the cost of ingest, and the time from an accepted event to its place on the live invoice.
//
// It may import everything, as cmd/ does, and nothing imports it. What it drives is the production code: rater.Worker with its adapters in
// this process, and for the HTTP figures the whole assembly in a process of its own, so that the load generator's work is
// not counted. Baseline and subject alternate, the first round only warms up, and a figure is the median of the others
// with the smallest and the largest beside it.
//
// Usage: `make bench`, or with servers at hand `go run ./bench -help`.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/tollstream/tollstream/cmd/tollstream/server"
)

// settings say how much is measured.
type settings struct {
	Accounts   int
	Events     int // of one round
	Batch      int // events in a usage record
	Partitions int
	Rounds     int // that count; one more warms up
	Repeats    int // rounds at most beyond those, where others disturbed
	Patience   time.Duration

	History       int // events of a long history
	Days          int // of log time that it takes
	Steps         int // of a round that times one step of rating
	Identities    int // that arrive a day, of the duplicates index by itself
	StartAccounts int // with a line each, when a rater starts
	Remembered    int // identities, when a rater starts

	Requests int // of 1,000 events in one round of ingest
	Singles  int // events, one a request, in a round of each server
	Probes   int // of the latency, idle and under load each
	Load     int // events a second while the latency is measured under load, at most

	Backtested int // stored activities that a round rates again

	SinkRows int // that a round carries into the report store

	CatalogAccounts int
	CatalogProducts int
	CatalogPart     int // accounts in a document

	Profile string // where a CPU profile of the rater goes, "": none
}

func main() {
	exitOn(server.Memory(os.Getenv)) // as the server has it
	if len(os.Args) > 1 && os.Args[1] == serveCommand {
		exitOn(serve(os.Stdin, os.Stdout))
		return
	}
	var s settings
	flag.IntVar(&s.Accounts, "accounts", 10_000, "accounts that use something")
	flag.IntVar(&s.Events, "events", 600_000, "usage events of one round; end to end it is 3 to 10 times as many")
	flag.IntVar(&s.Batch, "batch", 100, "events in a usage record")
	flag.IntVar(&s.Partitions, "partitions", 16, "partitions of the topics")
	flag.IntVar(&s.Rounds, "rounds", 5, "rounds that count; one more warms up")
	flag.IntVar(&s.Repeats, "repeats", 3, "further rounds at most, where others used more than a fifth of the machine")
	flag.DurationVar(&s.Patience, "patience", 5*time.Second, "how long to wait before a run until others leave the machine alone")
	flag.IntVar(&s.History, "history", 5_000_000, "usage events while log time passes")
	flag.IntVar(&s.Days, "days", 35, "days of log time that these take")
	flag.IntVar(&s.Steps, "steps", 1_000_000, "how often a round prices and resolves")
	flag.IntVar(&s.Identities, "identities", 1_000_000, "identities a day in the duplicates index")
	flag.IntVar(&s.StartAccounts, "start-accounts", 1_000_000, "accounts with a line each when a rater starts")
	flag.IntVar(&s.Remembered, "remembered", 10_000_000, "identities that a rater remembers when it starts")
	flag.IntVar(&s.Requests, "requests", 100, "requests of 1,000 events in one round of ingest")
	flag.IntVar(&s.Singles, "singles", 20_000, "requests of one event in one round")
	flag.IntVar(&s.Probes, "probes", 300, "events whose way to the invoice is timed")
	flag.IntVar(&s.Load, "load", 1_000_000, "events a second beside the probes at most: half of what the server takes, if that is less")
	flag.IntVar(&s.Backtested, "backtested", 1_000_000, "stored activities that a round rates again")
	flag.IntVar(&s.SinkRows, "sink-rows", 300_000, "rated activities that a round carries into the report store")
	flag.IntVar(&s.CatalogAccounts, "catalog-accounts", 1_000_000, "accounts of a large catalogue")
	flag.IntVar(&s.CatalogProducts, "catalog-products", 10_000, "products of a large catalogue")
	flag.IntVar(&s.CatalogPart, "catalog-part", 50_000, "accounts in one of its documents")
	flag.StringVar(&s.Profile, "cpuprofile", "", "write CPU profiles of the rater's rounds and of the server's ingest to files that begin so")
	only := flag.String("only", names(), "what is measured")
	out := flag.String("out", "bench/results", "directory of the results; empty: only printed")
	paper := flag.String("paper", "", "print the model of 400 billion events a day from a result's .json, and measure nothing")
	flag.Parse()
	if *paper != "" {
		exitOn(printPaper(*paper, os.Stdout))
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exitOn(run(ctx, s, strings.Split(*only, ","), *out, os.Stdout))
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// measurement is something that can be measured by itself.
type measurement struct {
	name string
	do   func(context.Context, *corner, settings, *report) error
}

// measurements are all of them, in the order in which they are done.
func measurements() []measurement {
	var all []measurement
	for _, rc := range ratedCases {
		all = append(all, measurement{rc.name, rc.measure})
	}
	return append(all,
		measurement{"where", measureWhere},
		measurement{"scaling", measureScaling},
		measurement{"history", measureHistory},
		measurement{"price", measurePrice},
		measurement{"dedup", measureDedup},
		measurement{"start", measureStart},
		measurement{"catalog", measureCatalog},
		measurement{"sink", measureSink},
		measurement{"backtest", measureBacktest},
		measurement{"latency", measureLatency},
		measurement{"ingest", measureIngest},
		measurement{"single", measureSingle},
		measurement{"collect", measureCollect},
	)
}

func names() string {
	var list []string
	for _, m := range measurements() {
		list = append(list, m.name)
	}
	return strings.Join(list, ",")
}

func run(ctx context.Context, s settings, only []string, out string, print io.Writer) (err error) {
	c, err := openCorner(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	for _, name := range only {
		if !slices.ContainsFunc(measurements(), func(m measurement) bool { return m.name == name }) {
			return fmt.Errorf("nothing is called %q, choose from %s", name, names())
		}
	}
	r, err := newReport(ctx, c, s)
	if err != nil {
		return err
	}
	for _, m := range measurements() {
		if !slices.Contains(only, m.name) {
			continue
		}
		fmt.Fprintf(print, "measuring %s …", m.name)
		began := time.Now()
		if err := m.do(ctx, c, s, r); err != nil {
			return fmt.Errorf("measure %s: %w", m.name, err)
		}
		fmt.Fprintf(print, " %.0f s\n", time.Since(began).Seconds())
	}
	r.Finish()
	fmt.Fprint(print, "\n"+r.markdown())
	if out == "" {
		return nil
	}
	return r.write(out)
}

// quiet logs warnings and worse: a figure whose partitions were forgotten on the way is none.
func quiet() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}
