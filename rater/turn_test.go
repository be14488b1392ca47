package rater

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/rater/activity"
)

// keeping is a benchEdge that keeps what is produced.
type keeping struct {
	*benchEdge
	mu     sync.Mutex
	values [][]byte
}

func (k *keeping) Produce(partition int32, value []byte, done func(int64, error)) {
	k.mu.Lock()
	k.values = append(k.values, value)
	k.mu.Unlock()
	k.benchEdge.Produce(partition, value, done)
}

// TestAssistedPartitionWritesTheSame rates a log with an assistant, whose turns end early where too much is unacknowledged, and record after
// record without one.
func TestAssistedPartitionWritesTheSame(t *testing.T) {
	const records, events = 3000, 7
	log := make([]Input, records)
	buffer := make([]usage.Event, events)
	for n := range log {
		log[n] = Input{Offset: int64(n), LeaderEpoch: -1, Time: benchStart + int64(n)*7_000_000, Value: benchRecord(nil, 0, n, buffer)}
		if n%11 == 5 {
			log[n].Value = []byte("no usage record")
		}
		if n%7 == 3 { // sent again
			log[n].Value = bytes.Clone(log[n-2].Value)
		}
	}
	stores := newBenchStores(t)
	var names atomic.Uint64
	name := func() (id [16]byte) { binary.BigEndian.PutUint64(id[:], names.Add(1)); return id }
	alone, err := Open(context.Background(), 0, Stores{Store: stores, Definitions: stores, Rated: stores}, DefaultLimits(), Faults{}, name)
	if err != nil {
		t.Fatal(err)
	}
	var want [][]byte
	for n := range log {
		value, err := alone.Rate(context.Background(), &log[n])
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, value)
	}

	k := &keeping{benchEdge: &benchEdge{benchStores: stores, acks: make(chan func(), 16), started: make(chan struct{}), done: make(chan struct{}), want: records}}
	limits := DefaultLimits()
	limits.AheadBytes, limits.Processors, limits.Unacked = 1, 2, 100
	w := NewWorker(Config{
		Stores: Stores{Store: k, Definitions: k, Rated: k}, Live: k, Producer: k, Poison: k, Limits: limits, Intervals: DefaultIntervals(),
		Random: name, Metrics: NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler),
	})
	w.Use(benchGroup{k.benchEdge})
	go func() {
		for ack := range k.acks {
			ack()
		}
	}()
	w.Assign(0)
	<-k.started
	w.Deliver(0, log, records)
	<-k.done
	w.mu.Lock()
	r := w.claims[0].runner
	w.mu.Unlock()
	w.Close()
	close(k.acks)
	if r.works == nil {
		t.Error("nobody assisted")
	}
	if busy := w.busy.Load(); busy != 0 {
		t.Errorf("%d are busy after the end", busy)
	}
	if len(k.values) != len(want) {
		t.Fatalf("%d records produced, want %d", len(k.values), len(want))
	}
	for n := range want {
		if !bytes.Equal(k.values[n], want[n]) {
			t.Fatalf("record %d is another than without an assistant", n)
		}
	}
}

// TestRunnerDoesWhatItsAssistantFailsAt lets the assistant panic, which must not end the process: the runner meets the panic itself, or does not.
func TestRunnerDoesWhatItsAssistantFailsAt(t *testing.T) {
	batch := []Input{{Offset: 8, Value: benchRecord(nil, 0, 0, make([]usage.Event, 3))}}
	turn := newTurn(&goroutines{}, batch, new([aheadMost]prepared))
	fail := func(*prepared, *Input) { panic("injected") }
	turn.mu.Lock()
	turn.decoded++
	turn.do(0, fail)
	turn.mu.Unlock()
	w := turn.next()
	if len(w.record.Events) != 3 {
		t.Errorf("%d events decoded, want 3", len(w.record.Events))
	}
	turn.rates()
	turn.mu.Lock()
	turn.encoded++
	turn.do(0, fail)
	turn.mu.Unlock()
	if w := turn.result(true, new(activity.Encoder)); len(w.value) == 0 || w.sum != SumOf(w.value) {
		t.Error("the result is not encoded")
	}
}
