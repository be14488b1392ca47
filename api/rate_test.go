package api_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/rater/price/pricetest"
)

func used(quantity string) string {
	return fmt.Sprintf(`{"id":"e","account":"acme","product":"api-calls","quantity":%s,"time":"2026-11-21T10:00:00Z"}`, quantity)
}

const dearer = `{"products":[{"id":"api-calls","rates":[{"model":"per_unit","unit_price":"0.3"}]}]}`

func TestRateUnderConditions(t *testing.T) {
	o := build(t)
	o.world.Use("acme", "api-calls", "95", noon)
	for _, c := range []struct{ body, charge string }{
		{used("10"), "0.75"}, // 5 × 0.10 + 5 × 0.05
		{`{"event":` + used("10") + `}`, "0.75"},
		{`{"event":` + used("10") + `,"state":true,"explain":true}`, "0.75"},
		{`{"event":` + used("10") + `,"state":false}`, "1"},
		{`{"event":` + used("10") + `,"catalog":` + dearer + `}`, "3"},
		{`{"event":` + used("10") + `,"catalog":"products: [{id: api-calls, rates: [{model: per_unit, unit_price: 0.4}]}]"}`, "4"},
		{`{"event":{"id":"e","account":"acme","product":"api-calls"},"at":"2026-11-21T11:00:00Z"}`, "0.1"},
		{`{"event":{"id":"e","account":"fresh","product":"api-calls"},"catalog":{"accounts":[{"id":"fresh","currency":"USD"}]}}`, "0.1"},
	} {
		w := o.as(api.RoleAuditor, http.MethodPost, "/v1/rate", c.body)
		o.want(w, http.StatusOK)
		var quote struct {
			Charge      string
			Explanation struct {
				Before, After string
				Charge        struct{ Equation, Short string }
				Line          struct{ Equation string }
			}
		}
		if err := json.Unmarshal(w.Body.Bytes(), &quote); err != nil || strings.TrimSuffix(strings.TrimRight(quote.Charge, "0"), ".") != c.charge {
			t.Errorf("%s: %v: %s", c.body, err, w.Body)
		}
		x := &quote.Explanation
		for equation, amount := range map[string]string{x.Charge.Equation: quote.Charge, x.Charge.Short: quote.Charge, x.Line.Equation: x.After} {
			if bad := pricetest.Claims(equation, amount, 0); bad != "" {
				t.Errorf("%s: %s", c.body, bad)
			}
		}
	}
	brief := o.as(api.RoleAuditor, http.MethodPost, "/v1/rate", `{"event":`+used("10")+`,"explain":false}`)
	if o.want(brief, http.StatusOK, `"charge":"0.750000000000"`); strings.Contains(brief.Body.String(), "explanation") {
		t.Errorf("not asked for: %s", brief.Body)
	}
	for body, part := range map[string]string{
		`{"event":` + used("1") + `,"events":[]}`: "either event or events",
		`{"state":true}`: "there is no event",
		`{"events":[]}`:  "there is no event",
		`{"event":` + used("1") + `,"stat":true}`:                    "unknown field",
		`{"event":` + used("1") + `,"at":"yesterday"}`:               "RFC 3339",
		`{"event":` + used("1") + `,"at":"9999-01-01T00:00:00Z"}`:    "out of range",
		`{"event":` + used("1") + `,"catalog":{"products":3}}`:       "products",
		`{"event":` + used("1") + `,"catalog":"products: [{id: x}"}`: "not valid YAML",
		`{"event":` + used("many") + `}`:                             "not JSON",
	} {
		w := o.as(api.RoleAuditor, http.MethodPost, "/v1/rate", body)
		if w.Code < 400 || w.Code >= 500 || !strings.Contains(w.Body.String(), part) {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	o.want(o.do(o.tokens[api.RoleAuditor], http.MethodPost, "/v1/rate", used("1"), "Content-Type", "text/csv"), http.StatusUnsupportedMediaType)
	if len(o.broker.records) != 0 {
		t.Error("something was recorded")
	}
}

func TestRateSeveralEvents(t *testing.T) {
	o := build(t)
	o.world.Use("acme", "api-calls", "95", noon)
	mixed := `[` + used("10") + `,{"id":"bad","account":"acme","product":"api-calls","quantity":"NaN"},{"id":"who","account":"nobody","product":"api-calls"},` +
		`{"id":"what","account":"lab","product":"nothing"},` + used("1") + `]`
	w := o.as(api.RoleFinance, http.MethodPost, "/v1/rate", `{"events":`+mixed+`}`)
	o.want(w, http.StatusOK)
	var answer api.RateAnswer
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	if answer.Events != 2 || answer.Errors != 3 || len(answer.Results) != 5 || answer.Seq != 1 || answer.Draft {
		t.Errorf("%+v", answer)
	}
	if got := fmt.Sprint(answer.Sums); got != "[{acme api-calls USD 2 11 0.800000000000}]" { // 0.75 + 0.05
		t.Errorf("sums %s", got)
	}
	for i, want := range []string{"", "quantity_invalid", "account_unknown", "product_unknown", ""} {
		r := answer.Results[i]
		if r.Index != int64(i) || (want == "") != (r.Quote != nil) || want != "" && (r.Error.Code != want || r.Error.Message == "") || r.ID == "" {
			t.Errorf("result %d: %+v %+v", i, r, r.Error)
		}
	}
	bare := o.as(api.RoleFinance, http.MethodPost, "/v1/rate", mixed)
	if bare.Body.String() != w.Body.String() {
		t.Errorf("a bare array: %s", bare.Body)
	}
	many := "[" + strings.TrimSuffix(strings.Repeat(used("1")+",", api.MaxUsageEvents+1), ",") + "]"
	o.want(o.as(api.RoleFinance, http.MethodPost, "/v1/rate", many), http.StatusRequestEntityTooLarge, "x-ndjson")
}

// Who may ask about what: a customer about its own accounts, without a draft, and not as a file.
func TestRateByRole(t *testing.T) {
	o := build(t)
	own, foreign := used("1"), strings.Replace(used("1"), "acme", "other", 1)
	bodies := []struct{ name, kind, body string }{
		{"own", "application/json", own},
		{"own at a date", "application/json", `{"event":` + own + `,"at":"2026-11-21T12:00:00Z"}`},
		{"own without state", "application/json", `{"events":[` + own + `],"state":false}`},
		{"foreign", "application/json", foreign},
		{"draft", "application/json", `{"event":` + own + `,"catalog":` + dearer + `}`},
		{"file", "application/x-ndjson", own},
	}
	for role, may := range map[api.Role]string{
		api.RoleIngest: "000000", api.RoleCustomer: "111000", api.RoleSupport: "111111", api.RoleFinance: "111111", api.RoleAdmin: "111111", api.RoleAuditor: "111111",
	} {
		for i, b := range bodies {
			w := o.do(o.tokens[role], http.MethodPost, "/v1/rate", b.body, "Content-Type", b.kind)
			if want := map[byte]int{'1': http.StatusOK, '0': http.StatusForbidden}[may[i]]; w.Code != want {
				t.Errorf("%s as %s: %d %s", b.name, role, w.Code, w.Body)
			}
		}
	}
	// Among several events, others' and unknown accounts look alike.
	w := o.as(api.RoleCustomer, http.MethodPost, "/v1/rate", `[`+foreign+`,`+strings.Replace(own, "acme", "nobody", 1)+`,`+own+`]`)
	var answer api.RateAnswer
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Errors != 2 || answer.Events != 1 {
		t.Fatalf("%v: %s", err, w.Body)
	}
	if a, b := answer.Results[0].Error, answer.Results[1].Error; a == nil || b == nil || *a != *b || a.Code != "forbidden" {
		t.Errorf("a customer can tell that an account exists: %+v %+v", a, b)
	}
	if got := fmt.Sprint(answer.Sums); got != "[{acme api-calls USD 1 1 0.100000000000}]" {
		t.Errorf("sums %s", got)
	}
}

func TestRateNDJSON(t *testing.T) {
	o := build(t)
	o.world.Use("acme", "api-calls", "95", noon)
	lines := func(body string) (results []api.RatedEvent, end api.RateEnd) {
		t.Helper()
		w := o.do(o.tokens[api.RoleSupport], http.MethodPost, "/v1/rate", body, "Content-Type", "application/x-ndjson")
		o.want(w, http.StatusOK)
		all := strings.Split(strings.TrimSuffix(w.Body.String(), "\n"), "\n")
		for _, line := range all[:len(all)-1] {
			var r api.RatedEvent
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			results = append(results, r)
		}
		if err := json.Unmarshal([]byte(all[len(all)-1]), &end); err != nil {
			t.Fatalf("%v: %s", err, all[len(all)-1])
		}
		return results, end
	}
	results, end := lines(used("10") + "\n\n  \nnonsense\n" + used("1") + "\n" + strings.Repeat("x", 70_000) + "\n" + used("2"))
	if end.Events != 3 || end.Errors != 2 || fmt.Sprint(end.Sums) != "[{acme api-calls USD 3 13 0.900000000000}]" || end.Failed != "" {
		t.Errorf("%+v", end)
	}
	for i, want := range []struct {
		line int64
		code string
	}{{1, ""}, {4, "json_invalid"}, {5, ""}, {6, "event_too_large"}, {7, ""}} {
		if r := results[i]; r.Line != want.line || r.Index != int64(i) || (r.Error == nil) != (want.code == "") || r.Error != nil && r.Error.Code != want.code {
			t.Errorf("result %d: %+v %+v", i, r, r.Error)
		}
	}
	results, end = lines(`{"state":false,"explain":false,"catalog":` + dearer + `}` + "\n" + used("10") + "\n")
	if len(results) != 1 || results[0].Line != 2 || results[0].Quote.Charge.String() != "3.000000000000" || results[0].Quote.Explanation != nil || !end.Draft {
		t.Errorf("with settings: %+v %+v", results, end)
	}
	for body, part := range map[string]string{
		"": "no event", "\n\n": "no event", `{"events":[` + used("1") + `]}`: "lines of their own", `{"state":1}`: "state",
	} {
		o.want(o.do(o.tokens[api.RoleSupport], http.MethodPost, "/v1/rate", body, "Content-Type", "application/x-ndjson"), http.StatusUnprocessableEntity, part)
	}
}

// TestRateAnswersWhileItReads: results come while events are still sent, so that a file of any length needs no memory.
func TestRateAnswersWhileItReads(t *testing.T) {
	o := build(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: o.server, ReadHeaderTimeout: time.Minute}
	go server.Serve(l) //nolint:errcheck // it is closed
	t.Cleanup(func() { _ = server.Close() })
	sent, body := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+l.Addr().String()+"/v1/rate", sent)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+o.tokens[api.RoleSupport])
	r.Header.Set("Content-Type", "application/x-ndjson")
	const half = 600
	goOn := make(chan struct{})
	go func() {
		for i := range 2 * half {
			if i == half {
				<-goOn // sent only after results were read
			}
			_, _ = io.WriteString(body, used("1")+"\n")
		}
		_ = body.Close()
	}()
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	in := bufio.NewScanner(res.Body)
	in.Buffer(nil, 1<<20)
	n := 0
	for in.Scan() {
		if n++; n == half/2 {
			close(goOn)
		}
	}
	if n != 2*half+1 || in.Err() != nil {
		t.Errorf("%d lines, %v", n, in.Err())
	}
}
