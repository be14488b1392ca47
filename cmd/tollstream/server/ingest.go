package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/collector"
	"github.com/tollstream/tollstream/collector/usage"
)

// ingester takes requests with usage to the intake.
type ingester struct {
	intake *collector.Intake
	now    func() time.Time
}

var (
	_ api.Ingester    = ingester{}
	_ api.EventParser = ingester{}
)

// retryAfter is what a sender is told to wait under back-pressure.
const retryAfter = time.Second

// Ingest implements api.Ingester.
func (g ingester) Ingest(ctx context.Context, r api.IngestRequest) (api.IngestAnswer, error) {
	shape, ok := usage.ShapeOf(r.ContentType)
	if !ok {
		return api.IngestAnswer{}, fmt.Errorf("%w: content type %q; send application/json, application/x-ndjson, application/cloudevents+json or application/cloudevents-batch+json", api.ErrUnsupported, r.ContentType)
	}
	body, err := collector.ReadBody(r.Body, r.ContentEncoding)
	if err != nil {
		return api.IngestAnswer{}, refusedRequest(err)
	}
	request, err := usage.Parse(shape, body)
	if err != nil {
		return api.IngestAnswer{}, refusedRequest(err)
	}
	answer, err := g.intake.Accept(ctx, request, collector.AcceptOptions{Source: r.DefaultSource, Backfill: r.Backfill})
	switch {
	case errors.Is(err, collector.ErrBackpressure):
		return api.IngestAnswer{}, &api.BackPressure{RetryAfter: retryAfter}
	case errors.Is(err, collector.ErrUnavailable):
		return api.IngestAnswer{}, fmt.Errorf("%w: %w", api.ErrUnavailable, err)
	case err != nil:
		return api.IngestAnswer{}, err
	}
	out := api.IngestAnswer{Accepted: answer.Accepted, Rejected: make([]api.Refused, len(answer.Rejected))}
	for i, r := range answer.Rejected {
		out.Rejected[i] = api.Refused{Index: r.Index, ID: r.ID, Code: string(r.Code), Message: r.Message}
	}
	return out, nil
}

// refusedRequest says in the API's terms why nothing of a request was taken.
func refusedRequest(err error) error {
	var request *usage.RequestError
	switch {
	case errors.Is(err, collector.ErrEncoding):
		return fmt.Errorf("%w: %w", api.ErrUnsupported, err)
	case !errors.As(err, &request):
		return fmt.Errorf("%w: %w", api.ErrMalformed, err)
	case request.Code == usage.CodeRequestTooLarge, request.Code == usage.CodeTooManyEvents:
		return fmt.Errorf("%w: %s", api.ErrTooLarge, request.Message)
	}
	return fmt.Errorf("%w: %s", api.ErrMalformed, request.Message)
}

// ParseEvent implements api.EventParser.
func (g ingester) ParseEvent(body []byte) (usage.Event, error) {
	request, err := usage.Parse(usage.ShapeJSON, string(body))
	switch {
	case err != nil:
		return usage.Event{}, fmt.Errorf("%w: %w", api.ErrInvalid, err)
	case len(request.Refused) > 0:
		return usage.Event{}, fmt.Errorf("%w: %s: %s", api.ErrInvalid, request.Refused[0].Code, request.Refused[0].Message)
	case len(request.Events) != 1:
		return usage.Event{}, fmt.Errorf("%w: %d events; name one", api.ErrInvalid, len(request.Events))
	}
	sent := &request.Events[0]
	e := sent.Event("rate", g.now().UnixNano())
	e.Account = sent.Account
	return e, nil
}
