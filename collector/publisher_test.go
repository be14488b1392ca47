package collector

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
)

// heldProducer keeps records until the test answers them: what a broker cannot be made to do on cue.
type heldProducer struct {
	mu    sync.Mutex
	held  []held
	ready error
	auto  bool // acknowledge at once
}

type held struct {
	partition int32
	record    usage.Record
	done      func(error)
}

func (p *heldProducer) Produce(partition int32, record []byte, done func(error)) {
	var r usage.Record
	if err := usage.Decode(record, &r); err != nil {
		panic(err)
	}
	p.mu.Lock()
	p.held = append(p.held, held{partition, r, done})
	auto := p.auto
	p.mu.Unlock()
	if auto {
		done(nil)
	}
}

func (p *heldProducer) Ready() error { return p.ready }

func (p *heldProducer) records() []held {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]held(nil), p.held...)
}

func newEvents(n int, key string) []usage.Event {
	events := make([]usage.Event, n)
	for i := range events {
		events[i] = usage.Event{ID: fmt.Sprintf("e-%d", i), Source: "s", Account: key, RoutingKey: key, Product: "p", Quantity: money.One}
	}
	return events
}

func newTestPublisher(t testing.TB, producer Producer, config PublisherConfig) *Publisher {
	t.Helper()
	p, err := NewPublisher(producer, config, NewMetrics(prometheus.NewRegistry()))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPublisherGathersAcrossCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := &heldProducer{}
		p := newTestPublisher(t, producer, PublisherConfig{Partitions: 4, Linger: 2 * time.Millisecond})
		answers := make(chan error, 3)
		for range 3 {
			go func() { answers <- p.Publish(t.Context(), usage.KindBatch, newEvents(5, "acme")) }()
		}
		synctest.Wait()
		if n := len(producer.records()); n != 0 {
			t.Fatalf("%d records before the linger", n)
		}
		<-time.After(2 * time.Millisecond) // the bubble's clock
		synctest.Wait()
		records := producer.records()
		if len(records) != 1 || len(records[0].record.Events) != 15 || records[0].partition != usage.PartitionOf("acme", 4) {
			t.Fatalf("%+v", records)
		}
		if len(answers) != 0 {
			t.Fatal("answered before the acknowledgement")
		}
		records[0].done(nil)
		for range 3 {
			if err := <-answers; err != nil {
				t.Error(err)
			}
		}
		if p.BufferedBytes() != 0 {
			t.Errorf("%d bytes are still reserved", p.BufferedBytes())
		}
	})
}

// TestPublisherLingers: each batch goes when its own time has come, a large call's later than a single event's.
func TestPublisherLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := &heldProducer{auto: true}
		p := newTestPublisher(t, producer, PublisherConfig{Partitions: 8, Linger: 2 * time.Millisecond, BulkLinger: 7 * time.Millisecond})
		start := time.Now()
		took := make(chan time.Duration, 3)
		publish := func(after time.Duration, events []usage.Event) {
			go func() {
				<-time.After(after) // the bubble's clock
				if err := p.Publish(t.Context(), usage.KindBatch, events); err != nil {
					t.Error(err)
				}
				took <- time.Since(start)
			}()
		}
		if usage.PartitionOf("a", 8) == usage.PartitionOf("d", 8) {
			t.Fatal("choose other keys")
		}
		publish(0, newEvents(bulkEvents, "a"))
		publish(time.Millisecond, newEvents(1, "d"))
		publish(5*time.Millisecond, newEvents(1, "d"))
		for _, want := range []time.Duration{3 * time.Millisecond, 7 * time.Millisecond, 7 * time.Millisecond} {
			if got := <-took; got != want {
				t.Errorf("answered after %s, want %s", got, want)
			}
		}
		if n := len(producer.records()); n != 3 {
			t.Errorf("%d records", n)
		}
	})
}

func TestPublisherBounds(t *testing.T) {
	producer := &heldProducer{auto: true}
	p := newTestPublisher(t, producer, PublisherConfig{Partitions: 1})
	big := newEvents(40, "acme")
	for i := range big {
		big[i].Attributes = []usage.Attribute{{Name: "a", Value: strings.Repeat("x", 12<<10)}}
	}
	for _, events := range [][]usage.Event{newEvents(600, "acme"), big} {
		producer.held = nil
		if err := p.Publish(t.Context(), usage.KindBatch, events); err != nil {
			t.Fatal(err)
		}
		next := 0
		for _, r := range producer.records() {
			if n := len(r.record.Events); n > usage.MaxBatchEvents {
				t.Errorf("%d events in a record", n)
			}
			for _, e := range r.record.Events {
				if e.ID != events[next].ID {
					t.Fatalf("event %s where %s was next", e.ID, events[next].ID)
				}
				next++
			}
		}
		if next != len(events) {
			t.Errorf("%d events published, want %d", next, len(events))
		}
	}
}

func TestPublisherFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := &heldProducer{ready: fmt.Errorf("gone: %w", ErrUnavailable)}
		p := newTestPublisher(t, producer, PublisherConfig{Partitions: 8, BufferedBytes: 1, AckTimeout: time.Second})
		publish := func(ctx context.Context, events []usage.Event) chan error {
			answer := make(chan error, 1)
			go func() { answer <- p.Publish(ctx, usage.KindBatch, events) }()
			<-time.After(10 * time.Millisecond) // the bubble's clock
			return answer
		}
		if err := <-publish(t.Context(), newEvents(1, "a")); !errors.Is(err, ErrUnavailable) || len(producer.records()) != 0 {
			t.Errorf("broker away: %v, %d records", err, len(producer.records()))
		}
		producer.ready = nil

		// One of two partitions fails: the call fails, both are accounted for.
		two := append(newEvents(1, "a"), newEvents(1, "d")...)
		if usage.PartitionOf("a", 8) == usage.PartitionOf("d", 8) {
			t.Fatal("choose other keys")
		}
		answer := publish(t.Context(), two)
		records := producer.records()
		records[0].done(nil)
		records[1].done(fmt.Errorf("lost: %w", ErrUnavailable))
		if err := <-answer; !errors.Is(err, ErrUnavailable) || p.BufferedBytes() != 0 {
			t.Errorf("one of two: %v, %d bytes reserved", err, p.BufferedBytes())
		}

		// The broker takes nothing more: the next call is turned away at once, then the first gives up.
		huge := newEvents(2000, "a")
		for i := range huge {
			huge[i].Attributes = []usage.Attribute{{Name: "a", Value: strings.Repeat("x", 10<<10)}}
		}
		first := publish(t.Context(), huge[:1500])
		before := len(producer.records())
		if err := <-publish(t.Context(), huge[:1500]); !errors.Is(err, ErrBackpressure) || len(producer.records()) != before {
			t.Errorf("full: %v", err)
		}
		if err := <-first; !errors.Is(err, ErrUnavailable) || p.BufferedBytes() == 0 {
			t.Errorf("no acknowledgement: %v; its bytes must stay reserved", err)
		}
		for _, r := range producer.records()[2:] {
			r.done(nil)
		}
		ctx, cancel := context.WithCancel(t.Context())
		answer = publish(ctx, newEvents(1, "a"))
		cancel()
		if err := <-answer; !errors.Is(err, context.Canceled) {
			t.Errorf("caller left: %v", err)
		}

		// Closing writes what is open and waits for it.
		open := make(chan error, 1)
		go func() { open <- p.Publish(t.Context(), usage.KindBatch, newEvents(1, "c")) }()
		synctest.Wait()
		closed := make(chan error, 1)
		go func() { closed <- p.Close(t.Context()) }()
		synctest.Wait()
		for _, r := range producer.records()[before:] {
			r.done(nil)
		}
		if err := errors.Join(<-closed, <-open); err != nil {
			t.Error(err)
		}
		if err := p.Publish(t.Context(), usage.KindBatch, newEvents(1, "c")); !errors.Is(err, ErrUnavailable) || p.BufferedBytes() != 0 {
			t.Errorf("after closing: %v", err)
		}
	})
}
