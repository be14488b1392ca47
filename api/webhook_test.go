package api_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tollstream/tollstream/api"
)

// Deliver takes what comes from 192.0.2.1, as httptest's requests do, and is signed "good".
func (m *memoryStores) Deliver(_ context.Context, d api.WebhookDelivery) (*api.WebhookReply, error) {
	if d.Header.Get("X-Signature") != "good" || d.Sender.String() != "192.0.2.1" {
		return nil, fmt.Errorf("%w: collector %s has the secret 4711", api.ErrNotVerified, d.Collector)
	}
	body, err := io.ReadAll(d.Body)
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	if m.err != nil {
		return nil, m.err
	}
	return &api.WebhookReply{Status: 202, ContentType: "text/x-reply", Body: body}, nil
}

func TestWebhook(t *testing.T) {
	o := build(t)
	deliver := func(signature, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/v1/collectors/calls/webhook", strings.NewReader(body))
		r.Header.Set("X-Signature", signature)
		w := httptest.NewRecorder()
		o.server.ServeHTTP(w, r)
		return w
	}
	if w := deliver("good", "as it is"); w.Code != 202 || w.Body.String() != "as it is" || w.Header().Get("Content-Type") != "text/x-reply" {
		t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
	}
	if w := deliver("bad", "x"); w.Code != 401 || strings.Contains(w.Body.String(), "4711") || strings.Contains(w.Body.String(), "calls") || w.Header().Get("WWW-Authenticate") != "" {
		t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
	}
	if w := deliver("good", strings.Repeat("x", api.MaxUsageBytes+1)); w.Code != 413 {
		t.Errorf("too long: %d %s", w.Code, w.Body)
	}
	r := httptest.NewRequest(http.MethodPost, "/v1/collectors/calls/webhook", io.MultiReader(bytes.NewReader(make([]byte, api.MaxUsageBytes)), strings.NewReader("x")))
	r.Header.Set("X-Signature", "good")
	w := httptest.NewRecorder()
	if o.server.ServeHTTP(w, r); w.Code != 413 {
		t.Errorf("too long, and does not say so: %d %s", w.Code, w.Body)
	}
	o.stores.err = fmt.Errorf("%w: broker at 10.0.0.1", api.ErrUnavailable)
	if w := deliver("good", "x"); w.Code != 503 || w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), "10.0.0.1") {
		t.Errorf("away: %d %s %v", w.Code, w.Body, w.Header())
	}
	if w := o.do("", http.MethodGet, "/v1/collectors/calls/webhook", ""); w.Code != 405 {
		t.Errorf("GET: %d", w.Code)
	}
}

// TestDeliveriesAreBounded: anybody may begin a delivery, so there are only so many at a time.
func TestDeliveriesAreBounded(t *testing.T) {
	o := build(t)
	server := httptest.NewServer(o.server)
	defer server.Close()
	held := api.HoldDeliveries(o.server)
	response, err := http.Post(server.URL+"/v1/collectors/calls/webhook", "application/json", strings.NewReader("{}")) //nolint:noctx // the test ends it
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != 429 || response.Header.Get("Retry-After") == "" {
		t.Errorf("while all places are taken: %d", response.StatusCode)
	}
	held()
	response, err = http.Post(server.URL+"/v1/collectors/calls/webhook", "application/json", strings.NewReader("{}")) //nolint:noctx // the test ends it
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != 401 {
		t.Errorf("afterwards: %d", response.StatusCode)
	}
}
