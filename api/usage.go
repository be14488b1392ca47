package api

import (
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tollstream/tollstream/ledger/money"
)

// usageTimeout bounds how long a client may take to send its usage.
const usageTimeout = time.Minute

// UsageEvent is a usage event as clients send it; the document shows it. It is read by the Ingester.
type UsageEvent struct {
	ID         string         `json:"id" required:"true" doc:"identifies the event together with source: sending it again is harmless"`
	Source     string         `json:"source,omitempty" doc:"default: the key's name"`
	Account    string         `json:"account" required:"true" doc:"id or any identifier registered for it"`
	Product    string         `json:"product" required:"true" doc:"id or any identifier registered for it"`
	Package    string         `json:"package,omitempty"`
	Time       string         `json:"time,omitempty" format:"date-time" doc:"when it happened; default: arrival"`
	Quantity   *money.Decimal `json:"quantity,omitempty" doc:"a decimal in a string, or a JSON number; 1 when absent; at most 12 decimals and 10^15"`
	Amount     *money.Decimal `json:"amount,omitempty" doc:"money-denominated usage, with currency"`
	Currency   string         `json:"currency,omitempty"`
	Attributes map[string]any `json:"attributes,omitempty"`
	Corrects   *EventName     `json:"corrects,omitempty" doc:"the event that this one corrects; it needs a quantity or an amount, mostly below zero"`
}

// EventName names a usage event.
type EventName struct {
	Source string `json:"source,omitempty" doc:"default: that of the event that names it"`
	ID     string `json:"id" required:"true"`
}

func (s *Server) registerUsage() {
	if s.Usage == nil {
		return
	}
	event := s.schema(reflect.TypeFor[UsageEvent]())
	batch := &huma.Schema{Type: huma.TypeArray, Items: event}
	cloud := &huma.Schema{
		Type: huma.TypeObject, Required: []string{"specversion", "id", "source", "type", "subject"},
		Description: "A CloudEvent: subject is the account, type the product, data.quantity the quantity, data.corrects the event that is corrected, other data members attributes.",
		Properties: map[string]*huma.Schema{
			"specversion": {Type: huma.TypeString}, "id": {Type: huma.TypeString}, "source": {Type: huma.TypeString}, "type": {Type: huma.TypeString},
			"subject": {Type: huma.TypeString}, "time": {Type: huma.TypeString, Format: "date-time"}, "data": {Type: huma.TypeObject},
		},
	}
	s.raw(SendUsage, huma.Operation{
		OperationID: "send-usage", Method: http.MethodPost, Path: "/v1/usage", Tags: []string{"usage"},
		Summary: "Takes usage in",
		Description: "One event, an array, NDJSON or CloudEvents, gzip if you like. The answer comes when all in-sync replicas of the broker have what was accepted. " +
			"A malformed event is refused by itself; at most 8 MiB (also after decompression) and 10,000 events. After 413, 429 or 503 nothing of the request was accepted: send it again, " +
			"the same ids make that harmless.",
		Parameters: []*huma.Param{
			queryParam("backfill", huma.TypeBoolean, "old usage loaded on purpose: it lands in the period of its event time; where distinct values are counted, in a sealed one for 400 days after its end"),
			{Name: "Content-Encoding", In: "header", Description: "gzip or identity", Schema: &huma.Schema{Type: huma.TypeString}},
		},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/json":                   {Schema: &huma.Schema{OneOf: []*huma.Schema{event, batch}}},
			"application/x-ndjson":               {Schema: &huma.Schema{Type: huma.TypeString, Description: "one event a line"}},
			"application/cloudevents+json":       {Schema: cloud},
			"application/cloudevents-batch+json": {Schema: &huma.Schema{Type: huma.TypeArray, Items: cloud}},
		}},
		Responses: s.jsonAnswer("202", "Accepted", reflect.TypeFor[IngestAnswer]()),
	}, s.fallible(s.sendUsage))
}

func (s *Server) sendUsage(w http.ResponseWriter, r *http.Request) error {
	backfill, err := boolQuery(r, "backfill")
	if err != nil {
		return err
	}
	if r.ContentLength > MaxUsageBytes {
		w.Header().Set("Connection", "close") // the rest of the body is not read
		return fmt.Errorf("%w: %d bytes, at most %d are taken; send it in parts", ErrTooLarge, r.ContentLength, MaxUsageBytes)
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(usageTimeout)) // not every connection has deadlines
	p := PrincipalOf(r.Context())
	answer, err := s.Usage.Ingest(r.Context(), IngestRequest{
		ContentType: r.Header.Get("Content-Type"), ContentEncoding: r.Header.Get("Content-Encoding"),
		Body: http.MaxBytesReader(w, r.Body, MaxUsageBytes), DefaultSource: p.Name, Backfill: backfill,
	})
	if err != nil {
		return err
	}
	if answer.Rejected == nil {
		answer.Rejected = []Refused{}
	}
	s.metrics.ingested(answer)
	writeJSON(w, http.StatusAccepted, answer)
	return nil
}

// boolQuery reads a yes or no; a member without a value means yes.
func boolQuery(r *http.Request, name string) (bool, error) {
	values, ok := r.URL.Query()[name]
	if !ok {
		return false, nil
	}
	if values[0] == "" {
		return true, nil
	}
	b, err := strconv.ParseBool(values[0])
	if err != nil {
		return false, fmt.Errorf("%w: query member %s is %q, want true or false", ErrInvalid, name, values[0])
	}
	return b, nil
}
