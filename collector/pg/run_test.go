package pg_test

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tollstream/tollstream/collector"
	"github.com/tollstream/tollstream/collector/kafka"
	"github.com/tollstream/tollstream/collector/pg"
	"github.com/tollstream/tollstream/collector/source"
	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/deploy/schema"
	"github.com/tollstream/tollstream/deploy/teststores"
	"github.com/tollstream/tollstream/ledger/money"
)

const topic, partitions = "usage", 8

// world is a broker and a database of one test.
type world struct {
	t       testing.TB
	brokers []string
	url     string
	pool    *pgxpool.Pool
	store   *pg.Store
	metrics *collector.Metrics
	intake  *collector.Intake
	clock   atomic.Int64 // seconds that each look at the clock takes
	now     func() time.Time
}

func newWorld(t testing.TB) *world {
	t.Helper()
	url := teststores.Postgres(t)
	if err := schema.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, topic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return connect(t, cluster.ListenAddrs(), url, nil)
}

// connect builds what a process has. wrap may stand between the publisher and the broker.
func connect(t testing.TB, brokers []string, url string, wrap func(collector.Producer) collector.Producer) *world {
	t.Helper()
	w := &world{t: t, brokers: brokers, url: url}
	var err error
	if w.pool, err = pgxpool.New(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.pool.Close)
	producer, err := kafka.New(t.Context(), kafka.Config{Brokers: brokers, Topic: topic})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(producer.Close)
	w.metrics = collector.NewMetrics(prometheus.NewRegistry())
	var through collector.Producer = producer
	if wrap != nil {
		through = wrap(producer)
	}
	publisher, err := collector.NewPublisher(through, collector.PublisherConfig{Partitions: producer.Partitions()}, w.metrics)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	var looks atomic.Int64
	w.now = func() time.Time { return start.Add(time.Duration(looks.Add(1)*w.clock.Load()) * time.Second) }
	w.store = pg.New(w.pool, w.now)
	// Every name is an account; who owns an identifier is not at stake here.
	everybody := collector.ResolverFunc(func(_ context.Context, subjects []collector.Subject) ([]collector.Resolution, error) {
		answers := make([]collector.Resolution, len(subjects))
		for i, s := range subjects {
			answers[i] = collector.Resolution{Account: s.Value, RoutingKey: s.Value, From: collector.AlwaysFrom, Until: collector.AlwaysUntil}
		}
		return answers, nil
	})
	w.intake = collector.NewIntake(everybody, publisher, w.now, w.metrics)
	return w
}

func (w *world) run(ctx context.Context, name, config, path string, progress func(collector.Progress)) (collector.RunResult, error) {
	return w.runAgain(ctx, name, config, path, false, progress)
}

func (w *world) runAgain(ctx context.Context, name, config, path string, again bool, progress func(collector.Progress)) (collector.RunResult, error) {
	w.t.Helper()
	parsed, err := collector.ParseConfig([]byte(config))
	if err != nil {
		w.t.Fatal(err)
	}
	file, err := source.Local(path)
	if err != nil {
		w.t.Fatal(err)
	}
	deps := collector.RunDeps{
		Intake: w.intake, Store: w.store, Now: w.now, Log: slog.New(slog.DiscardHandler), Metrics: w.metrics,
		Backoff: func(int) time.Duration { return time.Millisecond }, ChunkRows: 1000,
	}
	return collector.RunFile(ctx, deps, collector.RunRequest{Collector: name, Config: parsed, File: file, Again: again}, progress)
}

// log reads the whole topic: how often each identity stands there, and one event of each.
func (w *world) log() (times map[usage.Identity]int, events map[usage.Identity]usage.Event) {
	w.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.brokers...), kgo.ConsumeTopics(topic))
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	times, events = map[usage.Identity]int{}, map[usage.Identity]usage.Event{}
	ends := map[int32]int64{}
	for p := range int32(partitions) {
		ends[p] = w.end(client, p)
	}
	for len(ends) > 0 {
		for p, end := range ends {
			if end == 0 {
				delete(ends, p)
			}
		}
		if len(ends) == 0 {
			break
		}
		ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute)
		fetches := client.PollFetches(ctx)
		cancel()
		if err := fetches.Err(); err != nil {
			w.t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			var record usage.Record
			if err := usage.Decode(r.Value, &record); err != nil {
				w.t.Fatal(err)
			}
			for _, e := range record.Events {
				if got := usage.PartitionOf(e.RoutingKey, partitions); got != r.Partition {
					w.t.Fatalf("event of partition %d on %d", got, r.Partition)
				}
				times[e.Identity()]++
				events[e.Identity()] = e
			}
			if r.Offset+1 >= ends[r.Partition] {
				delete(ends, r.Partition)
			}
		})
	}
	return times, events
}

func (w *world) end(client *kgo.Client, partition int32) int64 {
	w.t.Helper()
	offset, err := endOffset(w.t.Context(), client, partition)
	if err != nil {
		w.t.Fatal(err)
	}
	return offset
}

const callsConfig = `
format: {type: delimited}
mapping:
  account: {from: caller}
  product: {value: voice}
  quantity: {from: seconds}
  time: {from: at}
`

// calls writes a file of n rows and gives its path.
func calls(t testing.TB, n int) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("caller,seconds,at\n")
	for i := range n {
		fmt.Fprintf(&b, "acme-%d,%d,2026-11-21T10:00:%02dZ\n", i%50, i, i%60)
	}
	return writeFile(t, b.String())
}

func writeFile(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "calls.csv")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (w *world) mustHaveEach(n int) (extra int) {
	w.t.Helper()
	times, _ := w.log()
	if len(times) != n {
		w.t.Errorf("%d different events in the log, want %d", len(times), n)
	}
	for _, k := range times {
		extra += k - 1
	}
	return extra
}

func TestRunTwiceSendsOnce(t *testing.T) {
	w := newWorld(t)
	path := calls(t, 2500)
	var last collector.Progress
	first, err := w.run(t.Context(), "calls", callsConfig, path, func(p collector.Progress) { last = p })
	if err != nil {
		t.Fatal(err)
	}
	if first.State != collector.RunDone || first.Rows != 2500 || first.Sent != 2500 || first.Rejected != 0 || first.Bytes != first.FileBytes || first.FromLine != 1 {
		t.Errorf("%+v", first)
	}
	if first.FirstEvent.Format(time.RFC3339) != "2026-11-21T10:00:00Z" || first.LastEvent.Format(time.RFC3339) != "2026-11-21T10:00:59Z" {
		t.Errorf("times of usage: %v to %v", first.FirstEvent, first.LastEvent)
	}
	if last.Phase != collector.PhaseSend || last.Rows != 2500 || last.Bytes != last.TotalBytes || last.TotalBytes != first.FileBytes {
		t.Errorf("progress: %+v", last)
	}
	renamed := path + ".bak"
	if err := os.Rename(path, renamed); err != nil {
		t.Fatal(err)
	}
	second, err := w.run(t.Context(), "calls", callsConfig, renamed, nil)
	if err != nil || !second.AlreadyDone || second.ID != first.ID || second.Sent != 2500 {
		t.Errorf("again: %v %+v", err, second)
	}
	if extra := w.mustHaveEach(2500); extra != 0 {
		t.Errorf("%d events were sent twice", extra)
	}
	third, err := w.runAgain(t.Context(), "calls", callsConfig, renamed, true, nil)
	if err != nil || third.AlreadyDone || third.Sent != 2500 {
		t.Errorf("on purpose: %v %+v", err, third)
	}
	if extra := w.mustHaveEach(2500); extra != 2500 {
		t.Errorf("%d events stand twice, want each once more", extra)
	}
	runs, next, err := w.store.Runs(t.Context(), "calls", "", 1)
	if err != nil || len(runs) != 1 || runs[0].ID != third.ID || next == "" || runs[0].State != collector.RunDone || runs[0].Sent != 2500 || runs[0].EndedAt == nil {
		t.Fatalf("history: %v %+v %q", err, runs, next)
	}
	if runs, next, err = w.store.Runs(t.Context(), "calls", next, 1); err != nil || len(runs) != 1 || runs[0].ID != first.ID || next != "" {
		t.Errorf("its second page: %v %+v %q", err, runs, next)
	}
}

func TestBadRowsAreKept(t *testing.T) {
	w := newWorld(t)
	path := writeFile(t, "caller,seconds,at\n"+
		"a,1,2026-11-21T10:00:00Z\n"+
		"a,one,2026-11-21T10:00:00Z\n"+ // 3
		"\"a\nb\",1,2026-11-21T10:00:00Z\n"+ // 4 and 5: fine
		"a,1\n"+ // 6
		"\xff,1,2026-11-21T10:00:00Z\n"+ // 7
		"a,\"1,2026-11-21T10:00:00Z\n"+ // 8: the quote is never closed
		"a,1,2026-11-21T10:00:00\n"+ // 9: no zone
		"a,NaN,2026-11-21T10:00:00Z\n"+ // 10
		"a,1e400,2026-11-21T10:00:00Z\n"+ // 11
		",1,2026-11-21T10:00:00Z\n"+ // 12
		"a,2,2026-11-21T10:00:00Z\n"+
		"a,3,2026-1") // 14: torn
	result, err := w.run(t.Context(), "bad", callsConfig, path, nil)
	if err != nil || result.State != collector.RunDone || result.Rows != 12 || result.Sent != 3 || result.Rejected != 9 {
		t.Fatalf("%v %+v", err, result)
	}
	page, next, err := w.store.Errors(t.Context(), result.ID, "", 5)
	if err != nil || next == "" {
		t.Fatal(err)
	}
	rest, next, err := w.store.Errors(t.Context(), result.ID, next, 5)
	if err != nil || next != "" {
		t.Fatal(err)
	}
	var got []string
	for _, e := range append(page, rest...) {
		got = append(got, fmt.Sprintf("%d %s", e.Line, e.Code))
		if e.Message == "" || e.Raw == "" {
			t.Errorf("line %d without message or text: %+v", e.Line, e)
		}
	}
	want := "[3 quantity_invalid 6 row_invalid 7 utf8_invalid 8 row_invalid 9 time_invalid 10 quantity_invalid 11 quantity_invalid 12 account_missing 14 time_invalid]"
	if fmt.Sprint(got) != want {
		t.Errorf("\n got %v\nwant %s", got, want)
	}
	w.mustHaveEach(3)
}

// TestRowsAreCounted: rows are sent, filtered or rejected, and stay so in the history.
func TestRowsAreCounted(t *testing.T) {
	w := newWorld(t)
	const config = `format: {type: delimited}
filter: 'record.state == "ok"'
events:
  - {when: 'record.up != "0"', account: {from: who}, product: {value: up}, quantity: {from: up}}
  - {when: 'record.down != "0"', account: {from: who}, product: {value: down}, quantity: {from: down}}
`
	// Of each six rows two are filtered, one makes nothing, one is bad, two make three events.
	rows := strings.Repeat("a,ok,1,2\nb,ok,0,1\nc,ok,0,0\nd,failed,1,1\ne,,1,1\nf,ok,1,x\n", 1000)
	path := writeFile(t, "who,state,up,down\n"+rows)
	result, err := w.run(t.Context(), "counted", config, path, nil)
	if err != nil || result.Rows != 6000 || result.Sent != 2000 || result.Filtered != 3000 || result.Rejected != 1000 || result.Events != 3000 {
		t.Fatalf("%+v %v", result, err)
	}
	runs, _, err := w.store.Runs(t.Context(), "counted", "", 1)
	if err != nil || len(runs) != 1 || runs[0].Filtered != 3000 || runs[0].Events != 3000 || runs[0].Rows != runs[0].Sent+runs[0].Filtered+runs[0].Rejected {
		t.Errorf("%+v %v", runs, err)
	}
	if _, events := w.log(); len(events) != 3000 {
		t.Errorf("%d events in the log", len(events))
	}
}

// TestTooManyBadRowsStopTheRun: it fails, says both figures, and a later run goes on where it stopped.
func TestTooManyBadRowsStopTheRun(t *testing.T) {
	w := newWorld(t)
	const config = "errors: {at_most: 10}\nformat: {type: delimited}\nmapping: {account: {from: who}, product: {value: p}}\n"
	path := writeFile(t, "who,n\n"+strings.Repeat("a,1\n", 500)+strings.Repeat(",1\n", 11)+strings.Repeat("a,1\n", 9000))
	first, err := w.run(t.Context(), "strict", config, path, nil)
	if err == nil || first.State != collector.RunFailed || first.Rejected != 11 || !strings.Contains(first.Message, "11 of 1000 rows are bad, and errors.at_most allows 10") {
		t.Fatalf("%+v %v", first, err)
	}
	second, err := w.run(t.Context(), "strict", config, path, nil)
	if err != nil || second.State != collector.RunDone || second.FromLine != 1002 || first.Sent+second.Sent != 9500 {
		t.Errorf("%+v %v", second, err)
	}
	w.mustHaveEach(9500)
}

func TestKeptErrorsAreBounded(t *testing.T) {
	w := newWorld(t)
	path := writeFile(t, "caller,seconds,at\n"+strings.Repeat("a,x,2026-11-21T10:00:00Z\n", 100_500))
	result, err := w.run(t.Context(), "bad", callsConfig, path, nil)
	if err != nil || result.Rejected != 100_500 || result.Sent != 0 {
		t.Fatalf("%v %+v", err, result)
	}
	page, _, err := w.store.Errors(t.Context(), result.ID, "100000", 10)
	if err != nil || len(page) != 1 || page[0].Line != 100_001 {
		t.Fatalf("%v, behind line 100000 %+v", err, page)
	}
	if run, err := w.store.Run(t.Context(), result.ID); err != nil || !strings.Contains(run.Message, "100000 of 100500 bad rows are kept") {
		t.Errorf("%v: nothing is said of the others: %+v", err, run)
	}
}

func TestRunsThatCannotStart(t *testing.T) {
	w := newWorld(t)
	for text, says := range map[string]string{
		"":                        "before its header",
		"caller,at\na,b\n":        `mapping.quantity: the header has no column "seconds"; it has "caller", "at"`,
		"caller,\"seconds,at\na,": "the header cannot be read",
	} {
		result, err := w.run(t.Context(), "calls", callsConfig, writeFile(t, text), nil)
		if err == nil || !strings.Contains(err.Error(), says) || result.State != collector.RunFailed {
			t.Errorf("%q: %v %+v", text, err, result)
			continue
		}
		if run, err := w.store.Run(t.Context(), result.ID); err != nil || run.State != collector.RunFailed || !strings.Contains(run.Message, says) {
			t.Errorf("%q in the history: %v %+v", text, err, run)
		}
	}
	if result, err := w.run(t.Context(), "calls", callsConfig, writeFile(t, "caller,seconds,at\n"), nil); err != nil || result.State != collector.RunDone || result.Rows != 0 {
		t.Errorf("only a header: %v %+v", err, result)
	}
}

// flaky fails records on their way to the broker, by their number.
type flaky struct {
	collector.Producer
	n    atomic.Int64
	fail func(n int64) bool
}

func (f *flaky) Produce(partition int32, record []byte, done func(error)) {
	if f.fail(f.n.Add(1)) {
		done(fmt.Errorf("made to fail: %w", collector.ErrUnavailable))
		return
	}
	f.Producer.Produce(partition, record, done)
}

func TestBrokerAwayIsWaitedFor(t *testing.T) {
	home := newWorld(t)
	w := connect(t, home.brokers, home.url, func(p collector.Producer) collector.Producer {
		return &flaky{Producer: p, fail: func(n int64) bool { return n%3 == 0 && n < 200 }}
	})
	waited := 0
	result, err := w.run(t.Context(), "calls", callsConfig, calls(t, 20_000), func(p collector.Progress) {
		if p.Phase == collector.PhaseWait && errors.Is(p.Waiting, collector.ErrUnavailable) {
			waited++
		}
	})
	if err != nil || result.Sent != 20_000 || waited == 0 {
		t.Fatalf("%v %+v, waited %d times", err, result, waited)
	}
	w.mustHaveEach(20_000)
}

func TestStoppedInTheMiddleGoesOn(t *testing.T) {
	w := newWorld(t)
	path := calls(t, 20_000)
	ctx, cancel := context.WithCancel(t.Context())
	first, err := w.run(ctx, "calls", callsConfig, path, func(p collector.Progress) {
		if p.Rows >= 5000 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || first.State != collector.RunInterrupted || first.Sent < 5000 || first.Sent >= 20_000 {
		t.Fatalf("%v %+v", err, first)
	}
	second, err := w.run(t.Context(), "calls", callsConfig, path, nil)
	if err != nil || second.FromLine != first.Sent+2 || first.Sent+second.Sent != 20_000 || first.Bytes+second.Bytes < second.FileBytes {
		t.Fatalf("%v %+v after %+v", err, second, first)
	}
	// Behind the last chunk of 1,000 that counts are four that wait for their turn, one behind these, and one
	// that was cut off on its way. Nothing is sent off after the stop.
	if extra := w.mustHaveEach(20_000); extra > 6000 {
		t.Errorf("%d events were sent again, more than were on their way", extra)
	}
}

// TestGoesOnInOtherEncodings: the checkpoint counts decoded bytes.
func TestGoesOnInOtherEncodings(t *testing.T) {
	w := newWorld(t)
	var b strings.Builder
	b.WriteString("caller,seconds,at\n")
	for i := range 10_000 {
		fmt.Fprintf(&b, "m\xfcller-%d,%d,2026-11-21T10:00:00Z\n", i%50, i)
	}
	path := writeFile(t, b.String())
	config := strings.Replace(callsConfig, "{type: delimited}", "{type: delimited, encoding: iso-8859-1}", 1)
	ctx, cancel := context.WithCancel(t.Context())
	first, err := w.run(ctx, "calls", config, path, func(p collector.Progress) {
		if p.Rows >= 2000 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	second, err := w.run(t.Context(), "calls", config, path, nil)
	if err != nil || first.Sent+second.Sent != 10_000 {
		t.Fatalf("%v %+v after %+v", err, second, first)
	}
	_, events := w.log()
	if len(events) != 10_000 {
		t.Errorf("%d events", len(events))
	}
	for _, e := range events {
		if !strings.HasPrefix(e.Account, "müller-") {
			t.Fatalf("account %q", e.Account)
		}
	}
}

func TestTakenOverRunStops(t *testing.T) {
	w := newWorld(t)
	w.clock.Store(1) // every look at the clock is a second later: each chunk is saved
	path := calls(t, 20_000)
	var second collector.RunResult
	var secondErr error
	started := false
	first, err := w.run(t.Context(), "calls", callsConfig, path, func(p collector.Progress) {
		if p.Phase == collector.PhaseSend && p.Rows >= 3000 && !started {
			started = true
			second, secondErr = w.run(context.WithoutCancel(t.Context()), "calls", callsConfig, path, nil)
		}
	})
	if !errors.Is(err, collector.ErrTakenOver) || first.State != collector.RunInterrupted {
		t.Errorf("first: %v %+v", err, first)
	}
	if secondErr != nil || second.State != collector.RunDone {
		t.Errorf("second: %v %+v", secondErr, second)
	}
	w.mustHaveEach(20_000)
	if run, err := w.store.Run(t.Context(), first.ID); err != nil || run.State != collector.RunInterrupted {
		t.Errorf("history of the first: %v %+v", err, run)
	}
}

// TestKilledInTheMiddle kills a process that collects, and runs the same again.
func TestKilledInTheMiddle(t *testing.T) {
	if path := os.Getenv("COLLECTOR_TEST_VICTIM"); path != "" {
		victim(t, path)
		return
	}
	w := newWorld(t)
	path := calls(t, 30_000)
	for round := range 3 {
		child := exec.Command(os.Args[0], "-test.run", "^TestKilledInTheMiddle$") //nolint:gosec // this test itself
		child.Env = append(os.Environ(), "COLLECTOR_TEST_VICTIM="+path, "COLLECTOR_TEST_URL="+w.url, "COLLECTOR_TEST_BROKERS="+strings.Join(w.brokers, ","))
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		reached := false
		for !reached && lines.Scan() {
			reached = lines.Text() == "half way"
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait()
		if !reached {
			t.Fatalf("round %d: the process ended by itself", round)
		}
	}
	result, err := w.run(t.Context(), "calls", callsConfig, path, nil)
	if err != nil || result.State != collector.RunDone || result.FromLine < 3*4000 || result.Sent != 30_002-result.FromLine {
		t.Fatalf("%v %+v", err, result)
	}
	w.mustHaveEach(30_000)
	runs, _, err := w.store.Runs(t.Context(), "calls", "", 10)
	if err != nil || len(runs) != 4 {
		t.Fatalf("%v %d runs", err, len(runs))
	}
	for _, run := range runs[1:] {
		if run.State != collector.RunInterrupted || run.EndedAt == nil || run.Sent == 0 {
			t.Errorf("killed run: %+v", run)
		}
	}
}

// victim collects until it has done 5,000 rows, and then waits to be killed.
func victim(t *testing.T, path string) {
	w := connect(t, strings.Split(os.Getenv("COLLECTOR_TEST_BROKERS"), ","), os.Getenv("COLLECTOR_TEST_URL"), nil)
	w.clock.Store(1)
	_, err := w.run(t.Context(), "calls", callsConfig, path, func(p collector.Progress) {
		if p.Rows >= 5000 {
			fmt.Println("half way")
			select {}
		}
	})
	t.Fatal("ended by itself", err)
}

// TestFocusSample sends real cloud bills through the collector.
func TestFocusSample(t *testing.T) {
	const path = "../../../shared/data/focus/focus_sample.csv"
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the FOCUS sample is not beside the checkout: %v", err)
	}
	config, err := os.ReadFile("../testdata/focus.yaml")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	result, err := w.run(t.Context(), "focus", string(config), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	page, _, err := w.store.Errors(t.Context(), result.ID, "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	// The standard library reads the same file, and says what must have come of each row.
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	_, events := w.log()
	sent, withoutProduct := 0, 0
	for _, row := range rows[1:] {
		if product := row[column["SkuPriceId"]]; product == "NULL" || product == "" {
			withoutProduct++
			continue
		}
		sent++
		e := usage.Event{ID: row[column["Id"]], Source: "focus", RoutingKey: row[column["SubAccountId"]]}
		got := events[e.Identity()]
		if got.Product != row[column["SkuPriceId"]] || got.Account != e.RoutingKey || got.Quantity != money.MustParse(row[column["PricingQuantity"]]) ||
			time.Unix(0, got.Time).UTC().Format("2006-01-02 15:04:05") != row[column["ChargePeriodStart"]] ||
			got.Attribute("service") != strings.ReplaceAll(row[column["ServiceName"]], "NULL", "") || !got.Backfill {
			t.Errorf("row %s: %+v", e.ID, got)
		}
	}
	if result.Rows != 1000 || int(result.Sent) != sent || len(events) != sent || int(result.Rejected) != withoutProduct || withoutProduct != 8 {
		t.Errorf("%+v, %d events, want %d", result, len(events), sent)
	}
	for _, e := range page {
		if e.Code != usage.CodeProductMissing {
			t.Errorf("line %d: %s %s", e.Line, e.Code, e.Message)
		}
	}
}

// TestCheckpointsOutliveTheServer ends every connection again and again while a run goes on.
func TestCheckpointsOutliveTheServer(t *testing.T) {
	w := newWorld(t)
	w.clock.Store(1)
	other, err := pgxpool.New(t.Context(), w.url)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	cuts := 0
	result, err := w.run(t.Context(), "calls", callsConfig, calls(t, 20_000), func(p collector.Progress) {
		if p.Phase == collector.PhaseSend && cuts < 5 {
			cuts++
			if _, err := other.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil || result.Sent != 20_000 || cuts != 5 {
		t.Fatalf("%v %+v after %d cuts", err, result, cuts)
	}
	if extra := w.mustHaveEach(20_000); extra != 0 {
		t.Errorf("%d events were sent twice", extra)
	}
}
