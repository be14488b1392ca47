package collector

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/tollstream/tollstream/collector/usage"
)

// Intake is the entrance of usage: it fills in defaults, looks accounts up and publishes. Its
// methods are safe for concurrent use.
type Intake struct {
	resolver  Resolver
	publisher *Publisher
	now       func() time.Time
	metrics   *Metrics
	scratch   sync.Pool // *scratch
}

// scratch is the memory of one call. Everything in it refers to the body.
type scratch struct {
	body     []byte
	request  usage.Request
	subjects []Subject
	answers  []Resolution
}

// NewIntake takes the arrival time of events from now.
func NewIntake(resolver Resolver, publisher *Publisher, now func() time.Time, metrics *Metrics) *Intake {
	in := &Intake{resolver: resolver, publisher: publisher, now: now, metrics: metrics}
	in.scratch.New = func() any { return new(scratch) }
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

// Message is a request as it arrived.
type Message struct {
	Body     io.Reader
	Encoding string // its Content-Encoding
	Shape    usage.Shape
}

// Receive reads a request and accepts its events. Errors are those of Accept, refusals of the whole request
// (*usage.RequestError, ErrEncoding) and ErrBody.
func (in *Intake) Receive(ctx context.Context, m Message, options AcceptOptions) (Answer, error) {
	w := in.borrow()
	defer in.giveBack(w)
	var err error
	if w.body, err = readBody(w.body, m.Body, m.Encoding); err != nil {
		return Answer{}, err
	}
	// The body is not written while its text is used: until the call returns. Who keeps a piece of it copies it.
	text := unsafe.String(unsafe.SliceData(w.body), len(w.body))
	if err := w.request.Parse(m.Shape, text); err != nil {
		return Answer{}, err //nolint:wrapcheck // a *usage.RequestError says it all
	}
	answer, err := in.accept(ctx, &w.request, options, w)
	answer.Rejected = slices.Clone(answer.Rejected)
	for i := range answer.Rejected {
		answer.Rejected[i].ID = strings.Clone(answer.Rejected[i].ID)
	}
	return answer, err
}

// Accept publishes the events of a request and returns when the broker has acknowledged all of them.
// An account that is unknown does not stop an event: it is routed by what was sent and becomes
// rejected usage. On an error the whole request counts as not accepted, and may be sent again.
func (in *Intake) Accept(ctx context.Context, request *usage.Request, options AcceptOptions) (Answer, error) {
	w := in.borrow()
	defer in.giveBack(w)
	return in.accept(ctx, request, options, w)
}

func (in *Intake) borrow() *scratch {
	return in.scratch.Get().(*scratch) //nolint:errcheck,forcetypeassert // the pool holds nothing else
}

func (in *Intake) giveBack(w *scratch) {
	if cap(w.body) <= maxKeptBytes && cap(w.subjects) <= maxKeptEvents && cap(w.request.Events) <= maxKeptEvents {
		in.scratch.Put(w)
	}
}

// maxKeptEvents bounds the memory that waits for another call.
const maxKeptEvents = 4096

func (in *Intake) accept(ctx context.Context, request *usage.Request, options AcceptOptions, w *scratch) (Answer, error) {
	in.metrics.requestEvents.Observe(float64(len(request.Events) + len(request.Refused)))
	if options.Source == "" || len(options.Source) > usage.MaxNameBytes {
		return Answer{}, fmt.Errorf("accept usage: default source of %d bytes, 1 to %d", len(options.Source), usage.MaxNameBytes)
	}
	if err := in.publish(ctx, request.Events, options, w); err != nil {
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

func (in *Intake) publish(ctx context.Context, sent []usage.Sent, options AcceptOptions, w *scratch) error {
	if len(sent) == 0 {
		return nil
	}
	arrival := in.now().UnixNano()
	subjects := slices.Grow(w.subjects[:0], len(sent))[:len(sent)]
	answers := slices.Grow(w.answers[:0], len(sent))[:len(sent)]
	w.subjects, w.answers = subjects, answers
	clear(answers)
	for i := range sent {
		subjects[i] = Subject{Value: sent[i].Account, Time: sent[i].Time}
		if !sent[i].HasTime {
			subjects[i].Time = arrival
		}
	}
	if err := lookUp(ctx, in.resolver, subjects, answers); err != nil {
		return err
	}
	o := in.publisher.begin()
	defer in.publisher.end(o)
	for i := range sent {
		e := sent[i].Event(options.Source, arrival)
		e.Backfill = options.Backfill
		assign(&e, subjects[i].Value, &answers[i])
		o.add(&e)
	}
	return in.publisher.publish(ctx, usage.KindBatch, o)
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
	answers := make([]Resolution, len(events))
	if err := lookUp(ctx, in.resolver, subjects, answers); err != nil {
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
