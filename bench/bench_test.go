package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/bench/result"
	"github.com/tollstream/tollstream/deploy/teststores"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == serveCommand { // started by startSite
		exitOn(serve(os.Stdin, os.Stdout))
		return
	}
	os.Exit(m.Run())
}

// brief is enough to see that every figure can still be measured.
var brief = settings{
	Accounts: 40, Events: 10_000, Batch: 100, Partitions: 4, Rounds: 1, Repeats: 0, Requests: 3, Singles: 200, Probes: 5, Load: 2000,
	Identities: 8000, StartAccounts: 200, Remembered: 20_000, SinkRows: 10_000, Backtested: 10_000,
	CatalogAccounts: 300, CatalogProducts: 50, CatalogPart: 100,
}

// testCorner shares the tests' servers: the databases go with the corner, the HTTP figures' broker is an embedded one, since
// the topics of a server have fixed names.
func testCorner(t *testing.T) *corner {
	t.Helper()
	brokers := teststores.Kafka(t)
	redis, prefix := teststores.Redis(t)
	c := &corner{kafka: brokers, postgres: teststores.Postgres(t), redis: redis, name: "b" + strings.Trim(prefix, ":"), data: t.TempDir()}
	t.Cleanup(c.close)
	return c
}

func TestCatalogBriefly(t *testing.T) {
	t.Parallel()
	r := measureBriefly(t, testCorner(t), brief, measureCatalog)
	for _, figure := range []string{"all of it applied and published", "one account's change active"} {
		if figureOf(t, r, "catalogue: "+figure).Median <= 0 {
			t.Errorf("%s: nothing measured", figure)
		}
	}
}

func TestRatedBriefly(t *testing.T) {
	for _, rc := range ratedCases {
		t.Run(rc.name, func(t *testing.T) {
			t.Parallel()
			s := brief
			if rc.name != "rated" {
				s.Events /= 4
			}
			s.Events /= rc.rounds
			r := measureBriefly(t, testCorner(t), s, rc.measure)
			name := subjectRated(rc.accounts(s))
			for _, figure := range []string{
				": speed", ": ratio to the loop of events", ": ratio to the loop of batches", ": processor, all", ": lines saved", ": `usage`, bytes",
			} {
				if figureOf(t, r, name+figure).Median <= 0 {
					t.Errorf("%s%s: nothing measured", name, figure)
				}
			}
		})
	}
}

func TestCollectBriefly(t *testing.T) {
	t.Parallel()
	r := measureBriefly(t, testCorner(t), brief, measureCollect)
	for _, f := range collectedFiles {
		for _, figure := range []string{": rows from disk to acknowledged", ": ratio to reading and producing the same bytes"} {
			if figureOf(t, r, "file of "+f.name+figure).Median <= 0 {
				t.Errorf("%s%s: nothing measured", f.name, figure)
			}
		}
	}
}

func TestSinkBriefly(t *testing.T) {
	t.Parallel()
	teststores.ClickHouse(t) // or there is none to measure
	teststores.ClickHouseCurrent(t)
	r := measureBriefly(t, testCorner(t), brief, measureSink)
	for _, figure := range []string{
		"ClickHouse 18.16, native: ratio to the driver's bare insert", "ClickHouse 26.5, HTTP: ratio to the driver's bare insert",
		"ClickHouse 26.5, HTTP: processor, all", "PostgreSQL as the report store: speed",
	} {
		if figureOf(t, r, "sink, "+figure).Median <= 0 {
			t.Errorf("sink, %s: nothing measured", figure)
		}
	}
}

func TestBacktestBriefly(t *testing.T) {
	t.Parallel()
	teststores.ClickHouse(t) // or there is none to measure
	teststores.ClickHouseCurrent(t)
	r := measureBriefly(t, testCorner(t), brief, measureBacktest)
	for _, figure := range []string{
		"ClickHouse 18.16, native: speed", "ClickHouse 18.16, native: ratio to a bare read of the same rows", "ClickHouse 26.5, HTTP: speed", "PostgreSQL: speed",
	} {
		if figureOf(t, r, "backtest, "+figure).Median <= 0 {
			t.Errorf("backtest, %s: nothing measured", figure)
		}
	}
}

func TestSiteBriefly(t *testing.T) {
	t.Parallel()
	c := testCorner(t)
	c.kafka, c.bare = nil, c.kafka // the server's is embedded
	r := measureBriefly(t, c, brief, measureLatency)
	if m := figureOf(t, r, "event accepted → live invoice, idle, p99"); m.Median <= 0 || m.Median < m.Min {
		t.Errorf("latency: %+v", m)
	}
	c.data = t.TempDir()
	r = measureBriefly(t, c, brief, measureIngest)
	if figureOf(t, r, "POST /v1/usage, NDJSON of 1,000: accepted").Median <= 0 { // the kernel counts processor time in steps that a few requests may not take
		t.Error("ingest: nothing measured")
	}
	c.data = t.TempDir()
	r = measureBriefly(t, c, brief, measureSingle)
	for _, figure := range []string{"ratio to a bare handler", "accepted", "bare handler"} {
		if figureOf(t, r, "single events, 64 clients: "+figure).Median <= 0 {
			t.Errorf("single events: %s: nothing measured", figure)
		}
	}
}

func measureBriefly(t *testing.T, c *corner, s settings, do func(context.Context, *corner, settings, *report) error) *report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute) // of a machine that is busy elsewhere
	defer cancel()
	r := &report{Head: result.Head{Date: "2026-01-02", Commit: "none", Load: []float64{0}}}
	if err := do(ctx, c, s, r); err != nil {
		t.Fatal(err)
	}
	if len(r.Warnings) > 0 {
		t.Errorf("warnings: %q", r.Warnings)
	}
	return r
}

func figureOf(t *testing.T, r *report, name string) measure {
	t.Helper()
	for _, m := range r.Measures {
		if m.Name == name {
			return m
		}
	}
	t.Fatalf("no figure is called %q", name)
	return measure{}
}

func TestMeasured(t *testing.T) {
	for _, c := range []struct {
		samples          []float64
		median, min, max float64
	}{
		{[]float64{3}, 3, 3, 3},
		{[]float64{5, 1, 4, 2, 3}, 3, 1, 5},
		{[]float64{4, 1, 2, 3}, 2.5, 1, 4},
		{nil, 0, 0, 0},
	} {
		if m := measured("x", "y", c.samples); m.Median != c.median || m.Min != c.min || m.Max != c.max {
			t.Errorf("%v: %+v", c.samples, m)
		}
	}
	if r := ratios([]float64{6, 9}, []float64{2, 3}); r[0] != 3 || r[1] != 3 {
		t.Errorf("ratios: %v", r)
	}
}

// TestDisturbedRoundsAreLeftOut: of three rounds two count, those in which others did least.
func TestDisturbedRoundsAreLeftOut(t *testing.T) {
	round := func(speed int, busy time.Duration) trial {
		s := sample{events: speed, took: time.Second, cpu: usedCPU{busy: busy}}
		return trial{rater: s, single: s, batch: s}
	}
	m := &ratedFigures{s: settings{Rounds: 2, Accounts: 1}, rounds: []trial{round(100, 0), round(900, time.Hour), round(300, time.Millisecond)}}
	if n := m.calm(); n != 2 {
		t.Errorf("%d calm rounds", n)
	}
	if got := figureOf(t, &report{Measures: m.measures()}, "rated, 1 account: speed"); got.Median != 200 || got.Max != 300 {
		t.Errorf("%+v", got)
	}
}

func TestGoals(t *testing.T) {
	yes, no := true, false
	for _, c := range []struct {
		goal   string
		median float64
		met    *bool
	}{
		{"≥ 1.0", 1, &yes},
		{"≥ 1.0", 0.99, &no},
		{"≤ 2.5", 2.5, &yes},
		{"≤ 2", 2.01, &no},
		{"p99 ≤ 250 ms at half the maximum", 249, &yes},
		{"≤ 100, 0 allocations", 101, &no},
		{"flat", 5, nil},
		{"≥ what it was", 5, nil},
	} {
		m := measured("x", "y", []float64{c.median}).goal(c.goal)
		if (m.Met == nil) != (c.met == nil) || m.Met != nil && *m.Met != *c.met {
			t.Errorf("%s with %v: %v", c.goal, c.median, m.Met)
		}
	}
}

func TestReportIsWritten(t *testing.T) {
	r := &report{Head: result.Head{Date: "2026-01-02", Commit: "abc", Machine: map[string]string{"cores": "2"}, Load: []float64{1, 2}}}
	r.add(
		measured("speed", "events/s", []float64{1234567, 1, 3}).goal("≥ 2").note("of %s", "something"),
		measured("delay", "ms", []float64{9}).goal("≤ 2"),
		measured("size", "GB", []float64{7}),
		measured("a: all", "µs", []float64{4}).in(processorTable, "a", partAll),
		measured("a: kafka", "µs", []float64{1}).in(processorTable, "a", "kafka"),
		measured("b: redis", "µs", []float64{2}).in(processorTable, "b", "redis"),
	)
	dir := filepath.Join(t.TempDir(), "results")
	if err := r.write(dir); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "2026-01-02-abc.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| speed | ≥ 2 | 3.000 | 1.000–1234567 | events/s | met |", "| delay | ≤ 2 | 9.000 | 9.000–9.000 | ms | **not met** |",
		"| size | 7.000 | 7.000–7.000 | GB |", "speed: of something", "cores 2",
		"| kafka | redis | all |\n|---|---:|---:|---:|\n| a | 1.000 |  | 4.000 |\n| b |  | 2.000 |  |\n",
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("%q is missing in:\n%s", want, page)
		}
	}
	if _, err := os.ReadFile(filepath.Join(dir, "2026-01-02-abc.json")); err != nil {
		t.Error(err)
	}
}
