package sink_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tollstream/tollstream/rater/sink"
)

// events lists the stored events by partition and place.
func (w *world) events() string {
	places := slices.SortedFunc(maps.Keys(w.rows), func(a, b sink.Place) int {
		return int((int64(a.Partition)-int64(b.Partition))*1000000 + (a.Offset-b.Offset)*1000 + int64(a.Index-b.Index))
	})
	var names []string
	for _, p := range places {
		names = append(names, w.rows[p].Activity.EventID)
	}
	return strings.Join(names, " ")
}

func value(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "tollstream_sink_"+name {
			m := f.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

func metrics(t *testing.T, registry *prometheus.Registry, want map[string]float64) {
	t.Helper()
	for name, n := range want {
		if got := value(t, registry, name); got != n {
			t.Errorf("%s is %v, want %v", name, got, n)
		}
	}
}

func TestForwards(t *testing.T) {
	w := newWorld()
	w.write(0, -1, 0, "2026-11-01", "2026-10-31")
	w.write(0, 0, 4, "2026-11-02")
	w.write(0, 4, 5) // a control record
	w.write(1, -1, 2, "2026-11-03")
	s, registry := w.sink(t, config("a"))
	settle(t, s)
	if got := w.events(); got != "e0-0 e0-1 e4-0 e2-0" {
		t.Errorf("stored %s", got)
	}
	if len(w.blocks) != 2 || len(w.blocks[0].Rows) != 1 || len(w.blocks[1].Rows) != 3 {
		t.Errorf("blocks %+v, want October with 1 row and November with 3", w.blocks)
	}
	want := map[int32]sink.Position{0: {Partition: 0, Next: 3, Last: 5}, 1: {Partition: 1, Next: 1, Last: 2}}
	if !maps.Equal(w.positions, want) {
		t.Errorf("positions %v, want %v", w.positions, want)
	}
	metrics(t, registry, map[string]float64{"records_total": 4, "received_total": 4, "forwarded_total": 4, "duplicates_total": 0, "lag_seconds": 0, "lag_records": 0, "lease_held": 1})
	saves := w.saves
	settle(t, s)
	if w.saves != saves {
		t.Error("an idle sink stores its position again and again")
	}
}

// A failed produce leaves 2 and 3 behind; the next owner writes 1, 2, 3 again in order.
func TestGapInRated(t *testing.T) {
	w := newWorld()
	w.write(0, -1, 0, "2026-11-01")
	w.write(0, 1, 2, "2026-11-01")
	w.write(0, 2, 3, "2026-11-01")
	s, registry := w.sink(t, config("a"))
	settle(t, s)
	if got := w.events(); got != "e0-0" {
		t.Fatalf("behind the gap: stored %s", got)
	}
	w.write(0, 0, 1, "2026-11-01")
	w.write(0, 1, 2, "2026-11-01")
	w.write(0, 2, 3, "2026-11-01")
	settle(t, s)
	if got := w.events(); got != "e0-0 e1-0 e2-0 e3-0" || w.inserted != 4 {
		t.Errorf("stored %s in %d rows", got, w.inserted)
	}
	metrics(t, registry, map[string]float64{"passed_over_total": 2, "received_total": 4, "forwarded_total": 4, "stalled_partitions": 0})
}

// A zombie's records stand behind those of its successor: same offsets, other content, some unreadable.
func TestPassesOverZombies(t *testing.T) {
	w := newWorld()
	w.log[0] = append(w.log[0],
		record(-1, 0, "", "2026-11-01"), record(0, 1, "", "2026-11-01"),
		record(0, 1, "-zombie", "2026-11-01"), record(-1, 0, "-zombie", "2026-11-01"), []byte("\xff no record"), record(5, 6, "-zombie", "2026-11-01"),
		record(1, 2, "", "2026-11-01"), record(1, 2, "-zombie", "2026-11-01"),
	)
	s, registry := w.sink(t, config("a"))
	settle(t, s)
	if got := w.events(); got != "e0-0 e1-0 e2-0" || w.inserted != 3 {
		t.Errorf("stored %s in %d rows", got, w.inserted)
	}
	metrics(t, registry, map[string]float64{"passed_over_total": 5, "errors_total": 1})
	if w.positions[0].Next != 8 {
		t.Errorf("position %v: what was passed over is read again", w.positions[0])
	}
}

func TestStallRaisesTheAlarm(t *testing.T) {
	w := newWorld()
	w.write(0, 0, 1, "2026-11-01")
	s, registry := w.sink(t, config("a"))
	settle(t, s)
	metrics(t, registry, map[string]float64{"stalled_partitions": 0})
	w.now = w.now.Add(31 * time.Second)
	w.write(0, 1, 2, "2026-11-01")
	settle(t, s)
	metrics(t, registry, map[string]float64{"stalled_partitions": 1})
	w.write(0, -1, 0, "2026-11-01")
	settle(t, s)
	metrics(t, registry, map[string]float64{"stalled_partitions": 0})
}

// The store takes October, refuses November twice, and takes it at the third try.
func TestRefusedInsertIsRepeated(t *testing.T) {
	w := newWorld()
	w.write(0, -1, 0, "2026-10-01", "2026-11-01")
	refusals := 0
	w.onInsert = func(b sink.Block) (error, error) {
		if b.Month == 2026*12+10 && refusals < 2 {
			refusals++
			return errors.New("away"), nil
		}
		return nil, nil
	}
	s, registry := w.sink(t, config("a"))
	for i := range 2 {
		if _, err := s.Step(t.Context()); err == nil || !strings.Contains(err.Error(), "month 2026-11") {
			t.Fatalf("step %d: %v, want the month that failed", i, err)
		}
		if w.saves != 0 {
			t.Fatal("the position was stored although November is missing")
		}
	}
	settle(t, s)
	if got := w.events(); got != "e0-0 e0-1" || w.inserted != 2 {
		t.Errorf("stored %s in %d rows", got, w.inserted)
	}
	metrics(t, registry, map[string]float64{"received_total": 2, "forwarded_total": 2, "duplicates_total": 0})
}

// The store took the block, the answer was lost: it is not inserted a second time.
func TestLostAnswer(t *testing.T) {
	w := newWorld()
	w.write(0, -1, 0, "2026-11-01")
	lost := false
	w.onInsert = func(sink.Block) (error, error) {
		if lost {
			return nil, nil
		}
		lost = true
		return nil, errors.New("connection reset")
	}
	s, _ := w.sink(t, config("a"))
	if _, err := s.Step(t.Context()); err == nil {
		t.Fatal("the error is gone")
	}
	settle(t, s)
	if w.inserted != 1 || w.positions[0].Next != 1 {
		t.Errorf("%d rows inserted, position %v", w.inserted, w.positions[0])
	}
}

// Killed between the insert and the position: the next process drops what is there.
func TestCrashBeforePosition(t *testing.T) {
	w := newWorld()
	w.write(0, -1, 0, "2026-11-01")
	w.write(0, 0, 1, "2026-10-01")
	w.onSave = func() error { return errors.New("killed") }
	s, _ := w.sink(t, config("a"))
	if _, err := s.Step(t.Context()); err == nil {
		t.Fatal("the error is gone")
	}
	w.onSave = nil
	w.now = w.now.Add(time.Hour)
	w.write(0, 1, 2, "2026-10-02")
	again, registry := w.sink(t, config("b"))
	settle(t, again)
	if got := w.events(); got != "e0-0 e1-0 e2-0" || w.inserted != 3 {
		t.Errorf("stored %s in %d rows", got, w.inserted)
	}
	metrics(t, registry, map[string]float64{"received_total": 3, "forwarded_total": 1, "duplicates_total": 2})
}

func TestLease(t *testing.T) {
	w := newWorld()
	w.write(0, -1, 0, "2026-11-01")
	a, registryA := w.sink(t, config("a"))
	b, registryB := w.sink(t, config("b"))
	settle(t, a)
	w.write(0, 0, 1, "2026-11-01")
	settle(t, b)
	if got := w.events(); got != "e0-0" {
		t.Fatalf("the second sink worked without the lease: %s", got)
	}
	metrics(t, registryB, map[string]float64{"lease_held": 0})
	w.now = w.now.Add(46 * time.Second) // a sleeps through its lease
	settle(t, b)
	if got := w.events(); got != "e0-0 e1-0" || w.inserted != 2 {
		t.Fatalf("after the lease ran out: %s in %d rows", got, w.inserted)
	}
	w.write(0, 1, 2, "2026-11-01")
	settle(t, a)
	metrics(t, registryA, map[string]float64{"lease_held": 0})
	if w.inserted != 2 {
		t.Fatal("the first sink goes on without the lease")
	}
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	settle(t, a) // given back: at once
	if got := w.events(); got != "e0-0 e1-0 e2-0" || w.inserted != 3 {
		t.Errorf("after the lease was given back: %s in %d rows", got, w.inserted)
	}
}

// A sink sleeps in the middle of an insert until its lease is gone and its successor has inserted the same.
func TestSleepsThroughItsLease(t *testing.T) {
	w := newWorld()
	w.write(0, -1, 0, "2026-10-01", "2026-11-01")
	a, _ := w.sink(t, config("a"))
	b, _ := w.sink(t, config("b"))
	slept := false
	w.onInsert = func(sink.Block) (error, error) {
		if !slept {
			slept = true
			w.now = w.now.Add(time.Minute)
			settle(t, b)
			w.write(0, 0, 1, "2026-11-02")
			settle(t, b)
		}
		return nil, nil
	}
	settle(t, a)
	if got := w.events(); got != "e0-0 e0-1 e1-0" {
		t.Errorf("stored %s", got)
	}
	if w.inserted != 4 {
		t.Errorf("%d rows inserted, want 4: only the block that it slept in is doubled", w.inserted)
	}
	if w.positions[0].Next != 2 {
		t.Errorf("position %v moved back", w.positions[0])
	}
}

// Its lease ran out and nobody else took it: what was pending is read again, not inserted as a block without rows.
func TestSleepsAlone(t *testing.T) {
	w := newWorld()
	w.write(0, -1, 0, "2026-10-01", "2026-11-01")
	a, _ := w.sink(t, config("a"))
	slept := false
	w.onInsert = func(b sink.Block) (error, error) {
		if len(b.Rows) == 0 {
			t.Error("a block without rows")
		}
		if !slept {
			slept = true
			w.now = w.now.Add(time.Minute)
		}
		return nil, nil
	}
	settle(t, a)
	if got := w.events(); got != "e0-0 e0-1" || w.inserted != 2 {
		t.Errorf("stored %s in %d rows", got, w.inserted)
	}
}

func TestLostRecordsStopTheSink(t *testing.T) {
	w := newWorld()
	w.write(0, -1, 0, "2026-11-01")
	w.start = 1
	s, _ := w.sink(t, config("a"))
	for range 3 {
		if _, err := s.Step(t.Context()); !errors.Is(err, sink.ErrLost) {
			t.Fatalf("%v, want ErrLost", err)
		}
	}
	if len(w.rows) != 0 || w.saves != 0 {
		t.Error("it went on")
	}
}

// What gathers is bounded in rows; the position stands at a record's end.
func TestBatches(t *testing.T) {
	w := newWorld()
	for i := int64(0); i < 10; i++ {
		w.write(0, i-1, i, "2026-11-01", "2026-11-02", "2026-11-03")
	}
	c := config("a")
	c.MaxRows, c.MaxDelay = 7, time.Hour
	s, registry := w.sink(t, c)
	settle(t, s)
	for _, b := range w.blocks {
		if last := b.Rows[len(b.Rows)-1]; last.Activity.Index != 2 {
			t.Errorf("a block of %d rows splits offset %d", len(b.Rows), last.Offset)
		}
	}
	if len(w.blocks) != 4 || len(w.blocks[0].Rows) != 9 || len(w.blocks[3].Rows) != 3 {
		t.Errorf("%d blocks, want 9, 9, 9 and 3 rows", len(w.blocks))
	}
	metrics(t, registry, map[string]float64{"forwarded_total": 30})
}

func TestConfigIsChecked(t *testing.T) {
	for name, change := range map[string]func(*sink.Config){
		"owner":   func(c *sink.Config) { c.Owner = "" },
		"rows":    func(c *sink.Config) { c.MaxRows = 0 },
		"block":   func(c *sink.Config) { c.MaxRows = 2_000_000 },
		"bytes":   func(c *sink.Config) { c.MaxBytes = 0 },
		"lease":   func(c *sink.Config) { c.LeaseTTL = c.InsertTimeout },
		"retries": func(c *sink.Config) { c.RetryMax = 0 },
		"delay":   func(c *sink.Config) { c.MaxDelay = -1 },
	} {
		c := config("a")
		if c.Validate() != nil {
			t.Fatal("the defaults are refused")
		}
		if change(&c); c.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestMonths(t *testing.T) {
	for text, want := range map[string]string{
		"2026-11-30T23:59:59.999999999Z": "2026-11", "2026-12-01T00:00:00Z": "2026-12", "1969-12-31T23:59:59Z": "1969-12",
		"2026-12-31T23:00:00-02:00": "2027-01",
	} {
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		month := sink.MonthOf(at.UnixNano())
		start, end := sink.MonthBounds(month)
		if sink.MonthText(month) != want || at.UnixNano() < start || at.UnixNano() >= end {
			t.Errorf("%s is in %s from %d to %d, want %s", text, sink.MonthText(month), start, end, want)
		}
		if sink.MonthOf(end) != month+1 || sink.MonthOf(start) != month {
			t.Errorf("%s: the bounds of the month lie outside", text)
		}
	}
}

// Another sink worked and gave the lease back while this one slept: what it holds is out of date.
func TestAwakesAfterAnother(t *testing.T) {
	w := newWorld()
	w.write(0, -1, 0, "2026-11-01")
	c := config("a")
	c.MaxDelay = time.Hour
	a, _ := w.sink(t, c)
	if _, err := a.Step(t.Context()); err != nil || w.inserted != 0 {
		t.Fatalf("%v; %d rows: they were to be held back", err, w.inserted)
	}
	w.now = w.now.Add(time.Minute)
	b, _ := w.sink(t, config("b"))
	settle(t, b)
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	settle(t, a)
	if w.inserted != 1 {
		t.Errorf("%d rows inserted, want the one of the other sink", w.inserted)
	}
}
