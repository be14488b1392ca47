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
		time.Sleep(2 * time.Millisecond) // the bubble's clock
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
			time.Sleep(10 * time.Millisecond)
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

// accounts is a resolver over a map; what it holds is a test's own.
type accounts struct {
	mu    sync.Mutex
	known map[string]Resolution
	err   error
	asked int
}

func (a *accounts) Resolve(_ context.Context, subjects []Subject) ([]Resolution, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked += len(subjects)
	answers := make([]Resolution, len(subjects))
	for i, s := range subjects {
		if known := a.known[s.Value]; known.From <= s.Time && s.Time < known.Until {
			answers[i] = known
		}
	}
	return answers, a.err
}

func TestCachedResolver(t *testing.T) {
	from := &accounts{known: map[string]Resolution{
		"acme": {"acme", "root", AlwaysFrom, AlwaysUntil},
		"+49":  {"acme", "root", 10, 20},
	}}
	r := NewCachedResolver(from, 100, NewMetrics(prometheus.NewRegistry()))
	ask := func(wantAsked int, subjects ...Subject) []Resolution {
		t.Helper()
		before := from.asked
		answers, err := r.Resolve(t.Context(), subjects)
		if err != nil {
			t.Fatal(err)
		}
		if from.asked-before != wantAsked {
			t.Errorf("%v: asked for %d, want %d", subjects, from.asked-before, wantAsked)
		}
		return answers
	}
	if got := ask(3, Subject{"acme", 1}, Subject{"+49", 15}, Subject{"nobody", 1}, Subject{"acme", 1}); got[0].Account != "acme" || got[1].Account != "acme" || got[2].Account != "" || got[3].RoutingKey != "root" {
		t.Errorf("%+v", got)
	}
	ask(0, Subject{"acme", 999}, Subject{"+49", 10}, Subject{"+49", 19})
	ask(2, Subject{"nobody", 1}, Subject{"+49", 20}) // unknown ones are asked for again
	from.known["nobody"] = Resolution{"new", "new", AlwaysFrom, AlwaysUntil}
	if got := ask(1, Subject{"nobody", 1}); got[0].Account != "new" {
		t.Errorf("%+v", got)
	}
	from.err = errors.New("away")
	ask(0, Subject{"acme", 1}) // known ones need no store
	if _, err := r.Resolve(t.Context(), []Subject{{"+49", 30}}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("store away: %v", err)
	}
	from.err = nil
	r.AdvanceTo(5)
	ask(1, Subject{"acme", 1})
	r.AdvanceTo(5)
	ask(0, Subject{"acme", 1})
	r.Invalidate()
	ask(1, Subject{"acme", 1})
	for i := range 1000 {
		from.known[fmt.Sprint(i)] = Resolution{"x", "x", AlwaysFrom, AlwaysUntil}
		ask(1, Subject{fmt.Sprint(i), 1})
		if n := len(r.young) + len(r.old); n > 100 {
			t.Fatalf("%d names are kept", n)
		}
	}
}

func TestIntake(t *testing.T) {
	from := &accounts{known: map[string]Resolution{
		"acme": {"acme", "root", AlwaysFrom, AlwaysUntil},
		"+49":  {"acme", "root", AlwaysFrom, AlwaysUntil},
	}}
	producer := &heldProducer{auto: true}
	metrics := NewMetrics(prometheus.NewRegistry())
	arrival := time.Unix(0, 777)
	in := NewIntake(from, newTestPublisher(t, producer, PublisherConfig{Partitions: 1, Linger: 50 * time.Millisecond}), func() time.Time { return arrival }, metrics)
	request, err := usage.Parse(usage.ShapeJSON, `[{"id":"1","account":"acme","product":"p"},{"id":"2","account":"+49","product":"p","source":"own"},{"id":"","account":"a","product":"p"},{"id":"4","account":"nobody","product":"p","quantity":2}]`)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := in.Accept(t.Context(), request, AcceptOptions{Source: "key-1", Backfill: true})
	if err != nil || answer.Accepted != 3 || len(answer.Rejected) != 1 || answer.Rejected[0].Index != 2 {
		t.Fatalf("%v %+v", err, answer)
	}
	events := producer.records()[0].record.Events
	want := []usage.Event{
		{ID: "1", Source: "key-1", Account: "acme", RoutingKey: "root", Product: "p", Time: 777, Quantity: money.One, Backfill: true},
		{ID: "2", Source: "own", Account: "acme", Subject: "+49", RoutingKey: "root", Product: "p", Time: 777, Quantity: money.One, Backfill: true},
		{ID: "4", Source: "key-1", Subject: "nobody", RoutingKey: usage.UnresolvedKey("nobody"), Product: "p", Time: 777, Quantity: money.FromInt(2), Backfill: true},
	}
	for i := range want {
		want[i].Hash = usage.HashOf(&request.Events[i])
		if got := fmt.Sprintf("%+v", events[i]); got != fmt.Sprintf("%+v", want[i]) {
			t.Errorf("event %d:\n got %s\nwant %+v", i, got, want[i])
		}
	}

	// The account becomes known: the retry is routed by it and keeps everything else.
	if sent, err := in.Retry(t.Context(), []usage.Event{events[2]}); err != nil || sent[0] {
		t.Fatalf("still unknown: %v %v", sent, err)
	}
	from.known["nobody"] = Resolution{"new", "new-root", AlwaysFrom, AlwaysUntil}
	if sent, err := in.Retry(t.Context(), []usage.Event{events[2]}); err != nil || !sent[0] {
		t.Fatalf("%v %v", sent, err)
	}
	last := producer.records()[1].record
	want[2].Account, want[2].RoutingKey = "new", "new-root"
	if last.Kind != usage.KindRetry || fmt.Sprintf("%+v", last.Events[0]) != fmt.Sprintf("%+v", want[2]) {
		t.Errorf("retry: %+v", last)
	}
	// The client's own resend, now resolved, meets the retry's identity.
	if _, err := in.Accept(t.Context(), &usage.Request{Events: request.Events[2:]}, AcceptOptions{Source: "key-1"}); err != nil {
		t.Fatal(err)
	}
	resent := producer.records()[2].record.Events[0]
	if resent.Identity() != last.Events[0].Identity() || resent.Hash != last.Events[0].Hash {
		t.Error("a resend after the retry is another event")
	}
	from.err = errors.New("away")
	if _, err := in.Accept(t.Context(), request, AcceptOptions{Source: "key-1"}); !errors.Is(err, ErrUnavailable) || len(producer.records()) != 3 {
		t.Errorf("accounts away: %v", err)
	}
}
