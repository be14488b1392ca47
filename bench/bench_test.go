package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
	Accounts: 200, Events: 20_000, Batch: 100, Partitions: 4, Rounds: 1, Repeats: 0, Requests: 3, Probes: 5, Load: 2000,
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

func TestRatedBriefly(t *testing.T) {
	c := testCorner(t)
	r := measureBriefly(t, c, measureRated)
	for _, name := range []string{"rated end to end", "bare loop, one event a record", "bare loop, the same batches", "rated / bare loop of events"} {
		if figureOf(t, r, name).Median <= 0 {
			t.Errorf("%s: nothing measured", name)
		}
	}
}

func TestSiteBriefly(t *testing.T) {
	c := testCorner(t)
	c.kafka = nil // embedded
	r := measureBriefly(t, c, measureLatency)
	if m := figureOf(t, r, "event accepted → live invoice, idle, p99"); m.Median <= 0 || m.Median < m.Min {
		t.Errorf("latency: %+v", m)
	}
	c.data = t.TempDir()
	r = measureBriefly(t, c, measureIngest)
	if figureOf(t, r, "POST /v1/usage, NDJSON of 1,000: processor of the server").Median <= 0 {
		t.Error("ingest: nothing measured")
	}
}

func measureBriefly(t *testing.T, c *corner, do func(context.Context, *corner, settings, *report) error) *report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	r := &report{Date: "2026-01-02", Commit: "none", Load: []float64{0}}
	if err := do(ctx, c, brief, r); err != nil {
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
	if q := quantile([]float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 0.99); q != 10 {
		t.Errorf("p99 of ten is %v", q)
	}
	if r := ratios([]float64{6, 9}, []float64{2, 3}); r[0] != 3 || r[1] != 3 {
		t.Errorf("ratios: %v", r)
	}
}

// TestDisturbedRoundsAreLeftOut: of three rounds two count, those in which others did least.
func TestDisturbedRoundsAreLeftOut(t *testing.T) {
	round := func(speed int, busy time.Duration) trial {
		s := sample{events: speed, took: time.Second, cpu: usedCPU{busy: busy}}
		return trial{s, s, s}
	}
	m := &ratedFigures{s: settings{Rounds: 2}, rounds: []trial{round(100, 0), round(900, time.Hour), round(300, time.Millisecond)}}
	if n := m.calm(); n != 2 {
		t.Errorf("%d calm rounds", n)
	}
	if got := m.measures()[0]; got.Median != 200 || got.Max != 300 {
		t.Errorf("%+v", got)
	}
}

func TestReportIsWritten(t *testing.T) {
	r := &report{Date: "2026-01-02", Commit: "abc", Machine: map[string]string{"cores": "2"}, Load: []float64{1, 2}}
	r.add(measured("speed", "events/s", []float64{1234567, 1, 3}).goal("≥ 2").note("of %s", "something"))
	dir := filepath.Join(t.TempDir(), "results")
	if err := r.write(dir); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "2026-01-02-abc.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| speed | 3.000 | 1.000 | 1234567 | events/s | ≥ 2 |", "speed: of something", "cores 2"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("%q is missing in:\n%s", want, page)
		}
	}
	if _, err := os.ReadFile(filepath.Join(dir, "2026-01-02-abc.json")); err != nil {
		t.Error(err)
	}
}
