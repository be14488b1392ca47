package collector

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
)

// Intake is the entrance of usage: it fills in defaults, looks accounts up and publishes. Its
// methods are safe for concurrent use.
type Intake struct {
	resolver  Resolver
	publisher *Publisher
	now       func() time.Time
	metrics   *Metrics
	scratch   sync.Pool // *[]usage.Event
}

// NewIntake takes the arrival time of events from now.
func NewIntake(resolver Resolver, publisher *Publisher, now func() time.Time, metrics *Metrics) *Intake {
	in := &Intake{resolver: resolver, publisher: publisher, now: now, metrics: metrics}
	in.scratch.New = func() any { return new([]usage.Event) }
	return in
}

// AcceptOptions say how a request's events are taken.
type AcceptOptions struct {
	Source   string // of events that name none: the key's or the collector's name
	Backfill bool   // old usage, loaded on purpose
}

// Answer is what the sender is told.
type Answer struct {
	Accepted int             `json:"accepted"`
	Rejected []usage.Refusal `json:"rejected"`
}

// Accept publishes the events of a request and returns when the broker has acknowledged all of them.
// An account that is unknown does not stop an event: it is routed by what was sent and becomes
// rejected usage. On an error the whole request counts as not accepted, and may be sent again.
func (in *Intake) Accept(ctx context.Context, request *usage.Request, options AcceptOptions) (Answer, error) {
	in.metrics.requestEvents.Observe(float64(len(request.Events) + len(request.Refused)))
	if options.Source == "" || len(options.Source) > usage.MaxNameBytes {
		return Answer{}, fmt.Errorf("accept usage: default source of %d bytes, 1 to %d", len(options.Source), usage.MaxNameBytes)
	}
	if err := in.publish(ctx, request.Events, options); err != nil {
		in.metrics.failure(err)
		return Answer{}, fmt.Errorf("accept usage: %w", err)
	}
	in.metrics.decided(len(request.Events), request.Refused)
	answer := Answer{Accepted: len(request.Events), Rejected: request.Refused}
	if answer.Rejected == nil {
		answer.Rejected = []usage.Refusal{}
	}
	return answer, nil
}

func (in *Intake) publish(ctx context.Context, sent []usage.Sent, options AcceptOptions) error {
	if len(sent) == 0 {
		return nil
	}
	scratch := in.scratch.Get().(*[]usage.Event) //nolint:errcheck,forcetypeassert // the pool holds nothing else
	events := (*scratch)[:0]
	// Publish encodes the events before it waits, so they are free when it returns, however it does.
	defer func() {
		clear(events)
		*scratch = events
		in.scratch.Put(scratch)
	}()
	arrival := in.now().UnixNano()
	subjects := make([]Subject, len(sent))
	for i := range sent {
		e := sent[i].Event(options.Source, arrival)
		e.Backfill = options.Backfill
		subjects[i] = Subject{Value: sent[i].Account, Time: e.Time}
		events = append(events, e)
	}
	answers, err := lookUp(ctx, in.resolver, subjects)
	if err != nil {
		return err
	}
	for i := range events {
		assign(&events[i], subjects[i].Value, &answers[i])
	}
	return in.publisher.Publish(ctx, usage.KindBatch, events)
}

// assign writes who the event belongs to.
func assign(e *usage.Event, name string, answer *Resolution) {
	e.Account, e.RoutingKey, e.Subject = answer.Account, answer.RoutingKey, ""
	if answer.Account == "" {
		e.RoutingKey = usage.UnresolvedKey(name)
	}
	if answer.Account != name {
		e.Subject = name
	}
}

// Retry publishes rejected usage again: its accounts are looked up anew, by what was sent, and it is
// routed by what is found now; id, source, hash and time stay. An event whose account is still
// unknown is left out: sent tells which went. On an error some may have been written; they may be
// retried again.
func (in *Intake) Retry(ctx context.Context, events []usage.Event) (sent []bool, err error) {
	subjects := make([]Subject, len(events))
	for i := range events {
		name := events[i].Subject
		if name == "" {
			name = events[i].Account
		}
		subjects[i] = Subject{Value: name, Time: events[i].Time}
	}
	answers, err := lookUp(ctx, in.resolver, subjects)
	if err != nil {
		return nil, fmt.Errorf("retry usage: %w", err)
	}
	sent = make([]bool, len(events))
	going := make([]usage.Event, 0, len(events))
	for i := range events {
		if sent[i] = answers[i].Account != ""; sent[i] {
			e := events[i]
			assign(&e, subjects[i].Value, &answers[i])
			going = append(going, e)
		}
	}
	if err := in.publisher.Publish(ctx, usage.KindRetry, going); err != nil {
		in.metrics.failure(err)
		return nil, fmt.Errorf("retry usage: %w", err)
	}
	return sent, nil
}
