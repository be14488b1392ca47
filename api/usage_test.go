package api_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/collector"
)

const (
	ndjson     = "application/x-ndjson"
	cloudEvent = "application/cloudevents+json"
	cloudBatch = "application/cloudevents-batch+json"
)

func event(id string) string {
	return `{"id":"` + id + `","account":"acme","product":"api-calls","quantity":"3","time":"2026-11-21T10:00:00Z"}`
}

func cloud(id string) string {
	return `{"specversion":"1.0","id":"` + id + `","source":"gw","type":"api-calls","subject":"acme","data":{"quantity":"3"}}`
}

func zipped(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, text)
	_ = z.Close()
	return b.String()
}

func TestUsageInAllItsShapes(t *testing.T) {
	for name, tc := range map[string]struct {
		contentType, encoding, body string
		accepted                    int
	}{
		"one":            {"application/json", "", event("a"), 1},
		"no type":        {"", "", event("a"), 1},
		"with charset":   {"application/json; charset=utf-8", "", event("a"), 1},
		"array":          {"application/json", "", "[" + event("a") + "," + event("b") + "]", 2},
		"empty array":    {"application/json", "", "[]", 0},
		"lines":          {ndjson, "", event("a") + "\n" + event("b") + "\n", 2},
		"cloudevent":     {cloudEvent, "", cloud("a"), 1},
		"cloudevents":    {cloudBatch, "", "[" + cloud("a") + "," + cloud("b") + "]", 2},
		"gzip":           {"application/json", "gzip", zipped(event("a")), 1},
		"10,000 events":  {ndjson, "", manyEvents(10_000), 10_000},
		"unknown names":  {"application/json", "", `{"id":"a","account":"nobody","product":"nothing"}`, 1}, // rated as rejected usage
		"number, no set": {"application/json", "", `{"id":"a","account":"+4930123","product":"api.requests","quantity":1.5e1}`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			o := build(t)
			w := o.do(o.tokens[api.RoleIngest], http.MethodPost, "/v1/usage", tc.body, "Content-Type", tc.contentType, "Content-Encoding", tc.encoding)
			o.want(w, http.StatusAccepted, fmt.Sprintf(`{"accepted":%d,"rejected":[]}`, tc.accepted))
			if got := len(o.broker.events()); got != tc.accepted {
				t.Errorf("%d events in the log", got)
			}
		})
	}
}

func manyEvents(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(event(fmt.Sprint(i)))
		b.WriteByte('\n')
	}
	return b.String()
}

func TestMalformedEventsAreRefusedByThemselves(t *testing.T) {
	with := func(member string) string { return `{"id":"e","account":"acme","product":"api-calls",` + member + `}` }
	for body, code := range map[string]string{
		`hello`:                                                    "json_invalid",
		with(`"quantity":"1000000000000001"`):                      "quantity_invalid", // 10^15 + 1
		with(`"quantity":"0.1234567890123"`):                       "quantity_invalid", // 13 decimals
		with(`"quantity":"NaN"`):                                   "quantity_invalid",
		with(`"quantity":true`):                                    "quantity_invalid",
		with(`"time":"2026-11-21T10:00:00"`):                       "time_invalid", // no zone
		with(`"currency":"XXXX","amount":"1"`):                     "currency_invalid",
		`{"account":"acme","product":"x"}`:                         "id_missing",
		`{"id":"e","product":"x"}`:                                 "account_missing",
		`{"id":5,"account":"acme","product":""}`:                   "id_invalid",
		"{\"id\":\"\xff\",\"account\":\"acme\",\"product\":\"x\"}": "utf8_invalid",
	} {
		o := build(t)
		o.want(o.as(api.RoleIngest, http.MethodPost, "/v1/usage", body), http.StatusAccepted, `"accepted":0`, `"index":0`, `"code":"`+code+`"`, `"message":"`)
		if body == "hello" {
			continue // without brackets around it nothing tells where the next event begins
		}
		batch := "[" + event("ok-1") + "," + body + "," + event("ok-2") + "]"
		o.want(o.as(api.RoleIngest, http.MethodPost, "/v1/usage", batch), http.StatusAccepted, `"accepted":2`, `"index":1`)
		if len(o.broker.events()) != 2 {
			t.Errorf("%s disturbed its batch", body)
		}
	}
}

func TestUsageRefusedAsAWhole(t *testing.T) {
	big := strings.Repeat(" ", 9<<20)
	for name, tc := range map[string]struct {
		contentType, encoding, body string
		status                      int
	}{
		"torn":                  {"application/json", "", "[" + event("a"), 400},
		"9 MiB":                 {"application/json", "", big + event("a"), 413},
		"9 MiB when unpacked":   {"application/json", "gzip", zipped(big + event("a")), 413},
		"10,001 events":         {ndjson, "", manyEvents(10_001), 413},
		"XML":                   {"application/xml", "", "<a/>", 415},
		"brotli":                {"application/json", "br", event("a"), 415},
		"not gzip after all":    {"application/json", "gzip", event("a"), 415},
		"CloudEvents as binary": {"text/plain", "", "x", 415},
	} {
		t.Run(name, func(t *testing.T) {
			o := build(t)
			w := o.do(o.tokens[api.RoleIngest], http.MethodPost, "/v1/usage", tc.body, "Content-Type", tc.contentType, "Content-Encoding", tc.encoding)
			o.want(w, tc.status)
			if len(o.broker.events()) != 0 {
				t.Error("something was accepted")
			}
		})
	}
	o := build(t)
	o.want(o.as(api.RoleIngest, http.MethodPost, "/v1/usage?backfill=perhaps", event("a")), http.StatusUnprocessableEntity, "backfill")
}

func TestUsageWithoutADeclaredLengthStopsAtTheBound(t *testing.T) {
	o := build(t)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/usage", io.MultiReader(strings.NewReader(strings.Repeat(" ", 9<<20)), strings.NewReader(event("a"))))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+o.tokens[api.RoleIngest])
	w := recorder()
	o.server.ServeHTTP(w, r)
	o.want(w, http.StatusRequestEntityTooLarge)
}

// torn is a connection that breaks.
type torn struct{ r io.Reader }

func (t torn) Read(b []byte) (int, error) {
	n, err := t.r.Read(b)
	if errors.Is(err, io.EOF) {
		err = errors.New("connection reset by peer")
	}
	return n, err
}

func TestUsageWhoseConnectionBreaksIsNotTaken(t *testing.T) {
	o := build(t)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/usage", torn{strings.NewReader(event("a") + "\n")})
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+o.tokens[api.RoleIngest])
	r.Header.Set("Content-Type", ndjson)
	w := recorder()
	o.server.ServeHTTP(w, r)
	if o.want(w, http.StatusBadRequest); len(o.broker.events()) != 0 {
		t.Error("something was accepted")
	}
}

func TestUsageWhileTheBrokerIsAwayOrSlow(t *testing.T) {
	o := build(t)
	o.broker.err = collector.ErrUnavailable
	w := o.as(api.RoleIngest, http.MethodPost, "/v1/usage", event("a"))
	if o.want(w, http.StatusServiceUnavailable); w.Header().Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
	o.broker.err = collector.ErrBackpressure
	w = o.as(api.RoleIngest, http.MethodPost, "/v1/usage", event("a"))
	if o.want(w, http.StatusTooManyRequests); w.Header().Get("Retry-After") != "1" {
		t.Errorf("429 with Retry-After %q", w.Header().Get("Retry-After"))
	}
	o.broker.err = errors.New("secret internal state")
	w = o.as(api.RoleIngest, http.MethodPost, "/v1/usage", event("a"))
	if o.want(w, http.StatusInternalServerError); strings.Contains(w.Body.String(), "secret") {
		t.Errorf("an answer shows what a store said: %s", w.Body)
	}
}

func TestBackfillReachesTheLog(t *testing.T) {
	o := build(t)
	for target, want := range map[string]bool{"/v1/usage": false, "/v1/usage?backfill=true": true, "/v1/usage?backfill": true, "/v1/usage?backfill=false": false} {
		o.broker.records = nil
		o.want(o.as(api.RoleIngest, http.MethodPost, target, event("a")), http.StatusAccepted)
		if got := o.broker.events()[0].Backfill; got != want {
			t.Errorf("%s: backfill %v", target, got)
		}
	}
}

func TestCountsOfTheStageAddUp(t *testing.T) {
	o := build(t)
	o.as(api.RoleIngest, http.MethodPost, "/v1/usage", "["+event("a")+`,{"id":"x"},`+event("b")+"]")
	o.want(o.do("", http.MethodGet, "/metrics", ""), http.StatusOK,
		"tollstream_api_received_events_total 3", "tollstream_api_forwarded_events_total 2", "tollstream_api_duplicate_events_total 0",
		`tollstream_api_rejected_events_total{reason="account_missing"} 1`, `tollstream_api_requests_total{method="POST",route="/v1/usage",status="202"} 1`,
		"tollstream_collector_received_total")
}

func TestRateChargesNothingAndSaysWhy(t *testing.T) {
	o := build(t)
	o.world.Use("acme", "api-calls", "95", noon)
	o.want(o.as(api.RoleSupport, http.MethodPost, "/v1/rate", `{"id":"e","account":"acme","product":"api-calls","quantity":10,"time":"2026-11-21T10:00:00Z"}`), http.StatusOK,
		`"charge":"0.750000000000"`, // 5 × 0.10 + 5 × 0.05
		`"before":"9.500000000000"`, `"level":"product_default"`, `"equation":`, `"answered":true`)
	for body, status := range map[string]int{
		`{"id":"e","account":"nobody","product":"api-calls"}`: 404, `{"id":"e","account":"acme","product":"nothing"}`: 422,
		`{"id":"e","account":"acme"}`: 422, `[]`: 422, `nonsense`: 400, `{"id":"e","account":"acme","product":"api-calls","quantity":"NaN"}`: 422,
	} {
		o.want(o.as(api.RoleSupport, http.MethodPost, "/v1/rate", body), status)
	}
	if len(o.broker.records) != 0 {
		t.Error("something was recorded")
	}
}
