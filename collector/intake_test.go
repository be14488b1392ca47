package collector

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
)

// accounts is a resolver over a map; what it holds is a test's own.
type accounts struct {
	mu    sync.Mutex
	known map[string]Resolution
	err   error
	asked int
}

func (a *accounts) Resolve(_ context.Context, subjects []Subject, answers []Resolution) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked += len(subjects)
	for i, s := range subjects {
		if known := a.known[s.Value]; known.From <= s.Time && s.Time < known.Until {
			answers[i] = known
		}
	}
	return a.err
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
		answers := make([]Resolution, len(subjects))
		if err := r.Resolve(t.Context(), subjects, answers); err != nil {
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
	if err := r.Resolve(t.Context(), []Subject{{"+49", 30}}, make([]Resolution, 1)); !errors.Is(err, ErrUnavailable) {
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
		if n := r.young.count + r.old.count; n > 100 {
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
	// received = forwarded + rejected: four in the request, one in the resend.
	if r, f, x := value(t, metrics.received), value(t, metrics.forwarded), value(t, metrics.rejected.WithLabelValues("id_missing")); r != 5 || f != 4 || x != 1 {
		t.Errorf("received %v, forwarded %v, rejected %v", r, f, x)
	}
	from.err = errors.New("away")
	if _, err := in.Accept(t.Context(), request, AcceptOptions{Source: "key-1"}); !errors.Is(err, ErrUnavailable) || len(producer.records()) != 3 {
		t.Errorf("accounts away: %v", err)
	}
	if r, e := value(t, metrics.received), value(t, metrics.errors.WithLabelValues("unavailable")); r != 5 || e != 1 {
		t.Errorf("received %v, errors %v", r, e)
	}
}

// TestNamesAgainstMap: the table holds what a map would, also where hashes or places are the same.
func TestNamesAgainstMap(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var table names
	want := map[string]*known{}
	hash := func(name string) uint64 { // few hashes, many places that are shared
		return uint64(len(name))<<40 | uint64(name[0])%8
	}
	for range 3000 {
		name := strings.Repeat("x", random.IntN(3)) + fmt.Sprint(random.IntN(1500))
		k := table.find(name, hash(name))
		if k != want[name] {
			t.Fatalf("%s: %+v, want %+v", name, k, want[name])
		}
		if g := table.guess(hash(name)); g != nil && hash(g.name) != hash(name) {
			t.Fatalf("%s: guessed %s", name, g.name)
		}
		if k == nil {
			want[name] = &known{name: name}
			table.add(want[name], hash(name))
		}
	}
	if table.count != len(want) || 2*table.count > len(table.slots) {
		t.Errorf("%d names in %d slots, want %d", table.count, len(table.slots), len(want))
	}
}

// TestReceiveKeepsNothingOfABody: a body's memory is used again by the next request, so whatever outlives a call must be a copy:
// records, answers and the names that the resolver remembers.
func TestReceiveKeepsNothingOfABody(t *testing.T) {
	everybody := ResolverFunc(func(_ context.Context, subjects []Subject) ([]Resolution, error) {
		answers := make([]Resolution, len(subjects))
		for i, s := range subjects { // sharing the subject's memory
			answers[i] = Resolution{Account: strings.TrimPrefix(s.Value, "+"), RoutingKey: s.Value, From: AlwaysFrom, Until: AlwaysUntil}
		}
		return answers, nil
	})
	producer := &heldProducer{auto: true}
	metrics := NewMetrics(prometheus.NewRegistry())
	resolver := NewCachedResolver(everybody, 0, metrics)
	in := NewIntake(resolver, newTestPublisher(t, producer, PublisherConfig{Partitions: 3, Linger: time.Microsecond}), time.Now, metrics)
	const senders, requests = 8, 50
	var wait sync.WaitGroup
	for sender := range senders {
		wait.Go(func() {
			for n := range requests {
				id := fmt.Sprintf("%d-%02d", sender, n)
				body := fmt.Sprintf(`{"id":"%[1]s","account":"a%[1]s","product":"p%[1]s"}`+"\n"+`{"id":"%[1]s","account":""}`+"\n"+`{"id":"i%[1]s","account":"+a%[1]s","product":"p%[1]s"}`, id)
				answer, err := in.Receive(t.Context(), Message{Body: strings.NewReader(body), Shape: usage.ShapeLines}, AcceptOptions{Source: "key"})
				again := strings.NewReader(strings.Repeat("\n", len(body))) // overwrites the body, if memory is used again
				if _, err := in.Receive(t.Context(), Message{Body: again, Shape: usage.ShapeLines}, AcceptOptions{Source: "key"}); err != nil {
					t.Error(err)
				}
				if err != nil || answer.Accepted != 2 || len(answer.Rejected) != 1 || answer.Rejected[0].ID != id {
					t.Errorf("%s: %v %+v", id, err, answer)
				}
			}
		})
	}
	wait.Wait()
	events := 0
	for _, r := range producer.records() {
		for _, e := range r.record.Events {
			id := strings.TrimPrefix(e.ID, "i")
			if events++; e.Account != "a"+id || e.Product != "p"+id || e.Source != "key" || r.partition != usage.PartitionOf(e.RoutingKey, 3) {
				t.Errorf("%+v", e)
			}
		}
	}
	if events != 2*senders*requests {
		t.Errorf("%d events", events)
	}
	for _, s := range resolver.young.slots {
		if k := s.known; k != nil && (!strings.Contains(k.name, "a") || k.first.Account != strings.TrimPrefix(k.name, "+") || k.first.RoutingKey != k.name) {
			t.Fatalf("%q is remembered as %+v", k.name, k.first)
		}
	}
	if resolver.young.count != events {
		t.Errorf("%d names are remembered", resolver.young.count)
	}
}

func value(t *testing.T, c prometheus.Metric) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}
