package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tollstream/tollstream/collector/webhook"
)

// Webhooks takes in what others deliver to a collector. Who delivers is verified by it, not by a key.
//
// Errors: ErrNotVerified for everything that may not be delivered, whatever the reason; ErrMalformed, ErrUnsupported, ErrTooLarge, BackPressure,
// ErrUnavailable; after each of them nothing of the delivery was accepted, and it may come again.
type Webhooks interface {
	Deliver(ctx context.Context, d WebhookDelivery) (*WebhookReply, error)
}

// ErrNotVerified is the one answer to a delivery that is not known to come from the collector's sender: it does not tell whether there
// is such a collector.
var ErrNotVerified = errors.New("the delivery is not verified: there is no such webhook, or its signature or password is missing, wrong or too old, or it may not come from this address")

// WebhookDelivery is a request to a collector's webhook.
type WebhookDelivery struct {
	Collector string
	Header    http.Header
	Sender    netip.Addr // not valid: not known
	Body      io.Reader  // read once, after what can be checked without it
}

// WebhookReply is what the collector's configuration answers.
type WebhookReply struct {
	Status      int
	ContentType string
	Body        []byte
}

// Bounds of deliveries. Anybody can begin one, so their number and their time are bounded.
const (
	webhookBodyTimeout = 20 * time.Second
	maxDeliveries      = 64
	deliveryWait       = time.Second
)

func (s *Server) registerWebhooks() {
	if s.Webhooks == nil {
		return
	}
	s.deliveries = make(chan struct{}, maxDeliveries)
	anything := &huma.Schema{Description: "as the collector's format says"}
	s.raw(SeePublic, huma.Operation{
		OperationID: "deliver-webhook", Method: http.MethodPost, Path: "/v1/collectors/{name}/webhook", Tags: []string{"collectors"},
		Summary: "Takes what a sender delivers to a collector",
		Description: "The body is cut and mapped by the collector's configuration. No API key: the signature or password that the configuration asks for is the credential, " +
			"by default the hex HMAC-SHA256 of the body in X-Signature. The answer comes when all in-sync replicas of the broker have what was accepted; the configuration may set another one. " +
			"401: not verified, whatever the reason. At most 8 MiB, also after decompression, and 10,000 records. After 400, 413, 429 or 503 nothing was accepted: deliver it again, the same content makes that harmless.",
		Parameters: []*huma.Param{
			pathParam("name", "name of the collector, the default source of its events"),
			{Name: "X-Signature", In: "header", Description: "hex HMAC-SHA256 of the body, where the configuration asks for nothing else", Schema: &huma.Schema{Type: huma.TypeString}},
			{Name: "Content-Encoding", In: "header", Description: "gzip or identity", Schema: &huma.Schema{Type: huma.TypeString}},
		},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: anything}, "*/*": {Schema: anything}}},
		Responses:   s.jsonAnswer("200", "Taken", reflect.TypeFor[IngestAnswer]()),
	}, s.fallible(s.deliver))
}

func (s *Server) deliver(w http.ResponseWriter, r *http.Request) error {
	if r.ContentLength > MaxUsageBytes {
		w.Header().Set("Connection", "close") // the rest of the body is not read
		return fmt.Errorf("%w: %d bytes, at most %d are taken; deliver it in parts", ErrTooLarge, r.ContentLength, MaxUsageBytes)
	}
	wait := time.NewTimer(deliveryWait)
	defer wait.Stop()
	select {
	case s.deliveries <- struct{}{}:
		defer func() { <-s.deliveries }()
	case <-wait.C:
		return fmt.Errorf("%w: %d deliveries are under way", &BackPressure{RetryAfter: backPressureWait}, maxDeliveries)
	case <-r.Context().Done():
		return r.Context().Err() //nolint:wrapcheck // the sender has gone
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(webhookBodyTimeout)) // not every connection has deadlines
	reply, err := s.Webhooks.Deliver(r.Context(), WebhookDelivery{
		Collector: r.PathValue("name"), Header: r.Header, Sender: webhook.Sender(r, s.TrustedProxies), Body: http.MaxBytesReader(w, r.Body, MaxUsageBytes),
	})
	if err != nil {
		return err
	}
	if reply.Status != http.StatusNoContent {
		w.Header().Set("Content-Type", reply.ContentType)
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(reply.Status)
	_, _ = w.Write(reply.Body) // the sender is gone; it will deliver again
	return nil
}
