package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/tollstream/tollstream/collector"
	"github.com/tollstream/tollstream/collector/usage"
)

// Intake is the collector's entrance as this package's Ingester and EventParser.
type Intake struct {
	Collector *collector.Intake
	Now       func() time.Time // arrival of events that say no time
}

var (
	_ Ingester    = Intake{}
	_ EventParser = Intake{}
)

// backPressureWait is what a client is told to wait: by then a broker that keeps up has taken what waited.
const backPressureWait = time.Second

// Ingest reads, resolves and publishes.
func (i Intake) Ingest(ctx context.Context, r IngestRequest) (IngestAnswer, error) {
	shape, ok := usage.ShapeOf(r.ContentType)
	if !ok {
		return IngestAnswer{}, fmt.Errorf("%w: content type %q; send application/json, application/x-ndjson, application/cloudevents+json or application/cloudevents-batch+json",
			ErrUnsupported, r.ContentType)
	}
	message := collector.Message{Body: r.Body, Encoding: r.ContentEncoding, Shape: shape}
	answer, err := i.Collector.Receive(ctx, message, collector.AcceptOptions{Source: r.DefaultSource, Backfill: r.Backfill})
	if err != nil {
		return IngestAnswer{}, IntakeError(err)
	}
	return IngestAnswerOf(answer), nil
}

// IngestAnswerOf says in this package's words what the collector answered.
func IngestAnswerOf(answer collector.Answer) IngestAnswer {
	out := IngestAnswer{Accepted: answer.Accepted, Rejected: make([]Refused, 0, len(answer.Rejected))}
	for _, f := range answer.Rejected {
		out.Rejected = append(out.Rejected, Refused{Index: f.Index, ID: f.ID, Code: string(f.Code), Message: f.Message})
	}
	return out
}

// IntakeError says in this package's words what the collector could not do.
func IntakeError(err error) error {
	var request *usage.RequestError
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return err
	case errors.Is(err, collector.ErrBody):
		return fmt.Errorf("%w: the body could not be read to its end", ErrMalformed)
	case errors.As(err, &request) && (request.Code == usage.CodeRequestTooLarge || request.Code == usage.CodeTooManyEvents):
		return fmt.Errorf("%w: %w", ErrTooLarge, request)
	case errors.As(err, &request):
		return fmt.Errorf("%w: %w", ErrMalformed, request)
	case errors.Is(err, collector.ErrEncoding):
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	case errors.Is(err, collector.ErrBackpressure):
		return fmt.Errorf("%w: %w", &BackPressure{RetryAfter: backPressureWait}, err)
	case errors.Is(err, collector.ErrUnavailable):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// ParseEvent reads one event, for pricing it without recording it.
func (i Intake) ParseEvent(body []byte, at time.Time) (usage.Event, error) {
	request, err := usage.Parse(usage.ShapeJSON, string(body))
	if err != nil {
		return usage.Event{}, IntakeError(err)
	}
	if len(request.Refused) > 0 {
		f := request.Refused[0]
		return usage.Event{ID: f.ID}, &EventRefusal{Code: string(f.Code), Message: f.Message}
	}
	if len(request.Events) != 1 {
		return usage.Event{}, fmt.Errorf("%w: the body has %d events, want one", ErrInvalid, len(request.Events))
	}
	e := request.Events[0].Event("rate", at.UnixNano())
	e.Subject = request.Events[0].Account
	return e, nil
}
