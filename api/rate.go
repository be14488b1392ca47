package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tollstream/tollstream/invoicer"
	"github.com/tollstream/tollstream/rater/catalog"
)

// RateRequest asks what events would cost. A bare event is one, too.
type RateRequest struct {
	Event   *UsageEvent  `json:"event,omitempty" doc:"one event: the answer is its quote"`
	Events  []UsageEvent `json:"events,omitempty" doc:"at most 10,000, each priced on top of those before it: the answer has a result for each, and sums"`
	Catalog any          `json:"catalog,omitempty" doc:"a catalogue document, or YAML in a string: laid over the catalogue for these events alone, nothing is written"`
	At      string       `json:"at,omitempty" format:"date-time" doc:"the definitions as they stood then, and the time of events that say none; with a catalogue the latter alone. Default: now"`
	State   *bool        `json:"state,omitempty" doc:"on the accounts' lines as they stand (the default), or on empty ones"`
	Explain *bool        `json:"explain,omitempty" doc:"false: charges without explanations"`
}

// RateAnswer is what several events would cost.
type RateAnswer struct {
	Results []RatedEvent        `json:"results"`
	Sums    []invoicer.TrialSum `json:"sums" doc:"by account, product and currency"`
	Events  int64               `json:"events" doc:"that have a price"`
	Errors  int64               `json:"errors" doc:"events that have none"`
	Seq     int64               `json:"seq" doc:"definitions that priced them"`
	Draft   bool                `json:"draft" doc:"a draft lay over them"`
}

// RatedEvent is one event's quote, or why it has none.
type RatedEvent struct {
	Line  int64           `json:"line,omitempty" doc:"of NDJSON, from 1"`
	Index int64           `json:"index" doc:"of the event among all, from 0"`
	ID    string          `json:"id,omitempty"`
	Quote *invoicer.Quote `json:"quote,omitempty"`
	Error *EventError     `json:"error,omitempty"`
}

// EventError says why an event has no price.
type EventError struct {
	Code    string `json:"code" example:"no_rate"`
	Message string `json:"message" doc:"what is wrong, and what to do"`
}

// Bounds of one request.
const (
	maxEventBody   = 64 << 10 // of one event
	maxRateBody    = 72 << 20 // of JSON with events, and of the settings before NDJSON
	rateTimeout    = time.Minute
	rateFlushEvery = 256 // results of NDJSON
)

func (s *Server) registerRate() {
	if s.Invoices == nil || s.Parser == nil {
		return
	}
	event, request := s.schema(reflect.TypeFor[UsageEvent]()), s.schema(reflect.TypeFor[RateRequest]())
	quote, answer := s.schema(reflect.TypeFor[invoicer.Quote]()), s.schema(reflect.TypeFor[RateAnswer]())
	lines := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Description: "one JSON value a line"}}
	s.raw(ReadAccount, huma.Operation{
		OperationID: "rate-event", Method: http.MethodPost, Path: "/v1/rate", Tags: []string{"usage"},
		Summary: "What usage events would cost, and why",
		Description: "Nothing is recorded. One event is priced on its account's line as it stands, under the newest definitions; a request says otherwise: other definitions, a draft, empty lines. " +
			"NDJSON is priced while it arrives, however long it is: one event a line, before them a line with catalog, at, state or explain if you like; the answer is a result a line, as of events, and at the end a line with sums. " +
			"A customer's key prices its own accounts' events, without a draft and not as NDJSON.",
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/json":     {Schema: &huma.Schema{OneOf: []*huma.Schema{event, {Type: huma.TypeArray, Items: event}, request}}},
			"application/x-ndjson": lines,
		}},
		Responses: map[string]*huma.Response{"200": {Description: "Quotes", Content: map[string]*huma.MediaType{
			"application/json": {Schema: &huma.Schema{OneOf: []*huma.Schema{quote, answer}}}, "application/x-ndjson": lines,
		}}},
	}, s.fallible(s.rate))
}

func (s *Server) rate(w http.ResponseWriter, r *http.Request) error {
	kind, _, err := mime.ParseMediaType(cmp.Or(r.Header.Get("Content-Type"), "application/json"))
	switch {
	case err != nil:
		return fmt.Errorf("%w: content type %q cannot be read", ErrUnsupported, r.Header.Get("Content-Type"))
	case kind == "application/x-ndjson" || kind == "application/ndjson":
		return s.rateLines(w, r)
	case kind != "application/json" && kind != "application/x-www-form-urlencoded": // what curl sends when nothing is said
		return fmt.Errorf("%w: %q; send application/json, or a file of events as application/x-ndjson", ErrUnsupported, kind)
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(rateTimeout)) // not every connection has deadlines
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRateBody))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return fmt.Errorf("%w: at most %d bytes are taken as JSON; send the events as application/x-ndjson, which has no bound", ErrTooLarge, maxRateBody)
		}
		return fmt.Errorf("%w: the body could not be read to its end", ErrMalformed)
	}
	request, err := readRateRequest(text)
	if err != nil {
		return err
	}
	rating, err := s.begin(r.Context(), request)
	if err != nil {
		return err
	}
	if request.Event != nil {
		quote, _, err := rating.event(r.Context(), request.Event)
		if err != nil {
			return err
		}
		writeJSON(w, http.StatusOK, quote)
		return nil
	}
	answer := rating.answer()
	answer.Results = make([]RatedEvent, 0, len(request.Events))
	for i, event := range request.Events {
		result := RatedEvent{Index: int64(i)}
		if err := rating.result(r.Context(), event, &result, answer); err != nil {
			return err
		}
		answer.Results = append(answer.Results, result)
	}
	answer.Sums = rating.trial.Sums()
	writeJSON(w, http.StatusOK, answer)
	return nil
}

// rateRequest is a RateRequest as it was sent.
type rateRequest struct {
	Event   json.RawMessage   `json:"event"`
	Events  []json.RawMessage `json:"events"`
	Catalog json.RawMessage   `json:"catalog"`
	At      *time.Time        `json:"at"`
	State   *bool             `json:"state"`
	Explain *bool             `json:"explain"`
}

// rateMembers are those of a request; a bare event has none of them.
var rateMembers = []string{"event", "events", "catalog", "at", "state", "explain"}

// isSettings says whether a JSON object is a request rather than an event.
func isSettings(text []byte) bool {
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil {
		return false
	}
	for _, name := range rateMembers {
		if _, ok := members[name]; ok {
			return true
		}
	}
	return false
}

// readRateRequest reads a request, a bare event or an array of events.
func readRateRequest(text []byte) (request rateRequest, err error) {
	trimmed := bytes.TrimLeft(text, " \t\r\n")
	switch {
	case len(trimmed) == 0:
		return request, fmt.Errorf("%w: the body is empty", ErrMalformed)
	case trimmed[0] == '[':
		err = json.Unmarshal(text, &request.Events)
	case isSettings(text):
		request, err = readSettings(text)
	case !json.Valid(text):
		err = json.Unmarshal(text, new(any))
	default:
		request.Event = text
	}
	switch {
	case err != nil && !errors.Is(err, ErrInvalid):
		return request, fmt.Errorf("%w: the body is not JSON: %w", ErrMalformed, err)
	case err != nil:
		return request, err
	case request.Event == nil && len(request.Events) == 0:
		return request, fmt.Errorf("%w: there is no event: give event, or events", ErrInvalid)
	case request.Event != nil && request.Events != nil:
		return request, fmt.Errorf("%w: give either event or events", ErrInvalid)
	case len(request.Events) > MaxUsageEvents:
		return request, fmt.Errorf("%w: %d events, at most %d as JSON; send them as application/x-ndjson, which has no bound", ErrTooLarge, len(request.Events), MaxUsageEvents)
	}
	return request, nil
}

func readSettings(text []byte) (request rateRequest, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&request); err != nil {
		return request, fmt.Errorf("%w: %w: a request has event or events, catalog, at (RFC 3339), state and explain", ErrInvalid, err)
	}
	return request, nil
}

// rating prices the events of one request.
type rating struct {
	s     *Server
	trial *invoicer.Trial
	at    time.Time // of events that say none
	who   *Principal
}

// begin sets up what a request prices under. A draft shows what is in the catalogue around it, so it is for those who may read that.
func (s *Server) begin(ctx context.Context, r rateRequest) (*rating, error) {
	g := &rating{s: s, at: s.Now(), who: PrincipalOf(ctx)}
	c := invoicer.Conditions{State: r.State == nil || *r.State, Brief: r.Explain != nil && !*r.Explain}
	if r.At != nil {
		if g.at = *r.At; !plausible(g.at) {
			return nil, fmt.Errorf("%w: at %s is out of range", ErrInvalid, g.at.Format(time.RFC3339))
		}
		c.At = g.at
	}
	if g.who.Role == RoleCustomer {
		c.May = s.mayRead
	}
	if r.Catalog != nil && string(r.Catalog) != "null" {
		if !g.who.Allows(ReadCatalog) {
			return nil, fmt.Errorf("%w: a draft needs a key that may read the catalogue", ErrForbidden)
		}
		var err error
		if c.Draft, err = s.draft(ctx, r.Catalog); err != nil {
			return nil, err
		}
	}
	var err error
	g.trial, err = s.Invoices.Trial(ctx, c)
	return g, err
}

// draft reads a document that lies in a request.
func (s *Server) draft(ctx context.Context, text json.RawMessage) (*catalog.Draft, error) {
	if s.Drafts == nil {
		return nil, fmt.Errorf("%w: this server prices under the catalogue only", ErrInvalid)
	}
	d := Document{Format: FormatJSON, Body: text, Actor: actorOf(ctx)}
	if text[0] == '"' {
		var yaml string
		if err := json.Unmarshal(text, &yaml); err != nil {
			return nil, fmt.Errorf("%w: catalog: %w", ErrMalformed, err)
		}
		d = Document{Format: FormatYAML, Body: []byte(yaml), Actor: d.Actor}
	}
	return s.Drafts.Draft(ctx, d)
}

// event prices one event.
func (g *rating) event(ctx context.Context, text []byte) (quote *invoicer.Quote, id string, err error) {
	if len(text) > maxEventBody {
		return nil, "", &EventRefusal{Code: "event_too_large", Message: fmt.Sprintf("the event has %d bytes, at most %d are taken", len(text), maxEventBody)}
	}
	e, err := g.s.Parser.ParseEvent(text, g.at)
	if err != nil {
		return nil, e.ID, err
	}
	quote, err = g.trial.Rate(ctx, e)
	return quote, e.ID, err
}

// result prices one event of many; an error is the request's.
func (g *rating) result(ctx context.Context, text []byte, result *RatedEvent, answer *RateAnswer) (err error) {
	if result.Quote, result.ID, err = g.event(ctx, text); err == nil {
		answer.Events++
		return nil
	}
	answer.Errors++
	result.Error, err = eventError(err)
	return err
}

// eventError tells what is wrong with an event from what is wrong with us.
func eventError(err error) (*EventError, error) {
	var refusal *EventRefusal
	var noPrice *invoicer.NoPrice
	switch {
	case errors.As(err, &refusal):
		return &EventError{refusal.Code, refusal.Message}, nil
	case errors.As(err, &noPrice):
		return &EventError{noPrice.Reason, err.Error()}, nil
	case errors.Is(err, invoicer.ErrAccountUnknown):
		return &EventError{"account_unknown", err.Error() + ": give an id or an identifier that is valid at the event's time, or define it in the catalogue"}, nil
	case errors.Is(err, invoicer.ErrProductUnknown):
		return &EventError{"product_unknown", err.Error() + ": give an id or an identifier of a product, or define it in the catalogue"}, nil
	case errors.Is(err, ErrForbidden):
		return &EventError{"forbidden", err.Error()}, nil
	}
	return nil, err
}

// EventErrorOf says why an event has no price, whatever the error is.
func EventErrorOf(err error) *EventError {
	if e, _ := eventError(err); e != nil {
		return e
	}
	return &EventError{"failed", err.Error()}
}

// answer is empty so far.
func (g *rating) answer() *RateAnswer {
	a := &RateAnswer{Results: []RatedEvent{}}
	a.Seq, a.Draft = g.trial.Seq()
	return a
}
