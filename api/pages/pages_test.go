package pages_test

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tollstream/tollstream/api/pages"
)

func handler(tb testing.TB, d *demo, change ...func(*pages.Config)) http.Handler {
	tb.Helper()
	c := pages.Config{Customer: d, Operator: d, Rejections: d, Reratings: d, Rerater: d, Watcher: d, Log: slog.New(slog.DiscardHandler), Now: demoNow}
	for _, f := range change {
		f(&c)
	}
	h, err := pages.New(c)
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

func get(h http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

var everyPage = []string{
	"/c/acme", "/c/acme?period=2026-10-01", "/c/acme?q=voice", "/c/acme?usage=acme-lab", "/c/acme?q=zzz", "/c/acme/lines/" + lineID,
	"/c/acme/lines/" + lineID + "?attr.region=mars", "/c/acme/lines/" + sharedLineID, "/ops", "/ops/rejected", "/ops/rejected?account=nobody", "/ops/events",
	"/ops/events?id=req-90210", "/ops/events?id=unseen&source=x", "/ops/collectors", "/ops/collectors?name=cdr-berlin",
	"/ops/rerate", "/ops/rerate?cursor=31", "/ops/rerate/40", "/ops/rerate/39?begun", "/ops/rerate/40?account=acme", "/ops/rerate/31", "/ops/rerate/try?account=acme",
}

func TestFailuresComeInTheReadersWords(t *testing.T) {
	broken := errors.New("password=hunter2 at 10.0.0.7")
	for _, c := range []struct {
		path   string
		fail   error
		status int
		words  string
	}{
		{"/c/nobody", nil, 404, "There is no such account"},
		{"/c/acme/lines/none", nil, 404, "There is no such line"},
		{"/c/acme?period=soon", nil, 400, "That is not a date"},
		{"/c/acme/lines/" + lineID + "?day=someday", nil, 400, "There is a problem"},
		{"/c/acme", pages.ErrForbidden, 403, "You may not see this account"},
		{"/c/acme", pages.ErrUnavailable, 503, "nothing is lost"},
		{"/c/acme", broken, 500, "Something went wrong on our side"},
		{"/c/acme/fragments", broken, 500, "Something went wrong on our side"},
		{"/ops", broken, 500, "Something went wrong on our side"},
		{"/ops/events?source=x", nil, 400, "Enter the event"},
		{"/ops/nothing", nil, 404, "There is no such page"},
		{"/ops/rerate", broken, 500, "Something went wrong on our side"},
		{"/ops/rerate/40", broken, 500, "Something went wrong on our side"},
		{"/ops/rerate/7", nil, 404, "There is no such job"},
		{"/ops/rerate/x", nil, 404, "There is no such job"},
		{"/ops/rerate/try?account=acme", broken, 500, "Something went wrong on our side"},
		{"/ops/rerate/try", nil, 400, "Enter the account"},
		{"/ops/rerate/try?account=acme&period=soon", nil, 400, "Enter a day of the period"},
		{"/ops/rerate/try?account=nobody", nil, 422, "There is no account with the id “nobody”"},
		{"/ops/rerate/try?account=acme&product=nothing", nil, 422, `<a href="#product">There is no product`},
		{"/c/acme/other", nil, 404, "There is no such page"},
	} {
		w := get(handler(t, &demo{fail: c.fail}), c.path)
		body := w.Body.String()
		if w.Code != c.status || !strings.Contains(body, c.words) {
			t.Errorf("%s: status %d, want %d with %q", c.path, w.Code, c.status, c.words)
		}
		if strings.Contains(body, "hunter2") {
			t.Errorf("%s tells the reader what only the log may know", c.path)
		}
	}
	w := get(handler(t, &demo{fail: pages.ErrUnavailable}), "/c/acme?format=json")
	if w.Code != 503 || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("as JSON: %d %s", w.Code, w.Header().Get("Content-Type"))
	}
}

func TestNothingInlineAndNothingFramed(t *testing.T) {
	h := handler(t, &demo{})
	inline := regexp.MustCompile(`(?i)<style|\sstyle=|<script>|\son[a-z]+=|javascript:|https?://`)
	for _, path := range append(everyPage, "/c/nobody") {
		w := get(h, path)
		policy := w.Header().Get("Content-Security-Policy")
		if !strings.Contains(policy, "frame-ancestors 'none'") || !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy %q", path, policy)
		}
		if w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: no nosniff", path)
		}
		body := strings.ReplaceAll(w.Body.String(), "http://www.w3.org/2000/svg", "")
		if hit := inline.FindString(body); hit != "" {
			t.Errorf("%s has %q inside", path, hit)
		}
		if strings.Contains(body, "ZgotmplZ") || strings.Contains(body, "<no value>") {
			t.Errorf("%s has a value that the template refused", path)
		}
	}
}

func TestTextOfOthersIsText(t *testing.T) {
	w := get(handler(t, &demo{}), "/c/"+url.PathEscape(`"><script>alert(1)</script>/..`))
	if w.Code != 200 || strings.Contains(w.Body.String(), "<script>alert") {
		t.Errorf("status %d: an account's id reached the page as markup", w.Code)
	}
	for _, path := range []string{"/c/acme?q=%3Cimg%20src=x%3E", "/ops/events?id=%3Cimg%20src=x%3E", "/ops/rejected?reason=%3Cimg%20src=x%3E", "/ops/rerate/40?account=%3Cimg%20src=x%3E", "/ops/rerate/try?account=%3Cimg%20src=x%3E", "/c/acme/lines/" + lineID + "?attr.%3Cimg%20src=x%3E=1"} {
		if strings.Contains(get(handler(t, &demo{}), path).Body.String(), "<img") {
			t.Errorf("%s: the search reached the page as markup", path)
		}
	}
}

func TestOverviewShowsWhatACustomerAsks(t *testing.T) {
	body := get(handler(t, &demo{}), "/c/acme").Body.String()
	// 962.5 + 280.9845 + 61.80375 + 0.18 + 214.6 + 0 + 15 = 1535.06825
	for _, want := range []string{
		`<data value="1535.068250000000" title="1,535.068250000000` + "\u00a0" + `EUR">€1,535.07</data>`,
		"10 days left, today included", "Forecast for 30 November", "€2,310.40", "€2,655.90", "Europe/Berlin, UTC+01:00",
		"Next request €0.05", "6,750\u00a0requests until €0.03", // 25,000 − 18,250
		"Next message included", "360\u00a0messages left, then €0.04",
		"late usage of October 2026", "Contract Frame agreement 2026", "until 31 December 2026",
		"Rate class Gold, named by its contract, inherited from Acme Group",
		"+1,240\u00a0requests", "+€62.00", "−4\u00a0GB",
		"Acme Logistics Inc.", "$512.75", "Sum in EUR", "Sum in USD",
	} {
		if !strings.Contains(body, strings.ReplaceAll(want, "+", "&#43;")) && !strings.Contains(body, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	german := get(handler(t, &demo{}), "/c/acme", "Accept-Language", "de").Body.String()
	if !strings.Contains(german, "1.535,07\u00a0€") || strings.Contains(german, "€1,535.07") {
		t.Error("a German browser does not get German separators")
	}
	if !strings.Contains(get(handler(t, &demo{}), "/c/acme").Header().Get("Vary"), "Accept-Language") {
		t.Error("the answer does not vary by language")
	}
	if get(handler(t, &demo{empty: true}), "/c/new").Code != 200 {
		t.Error("an account without usage has no page")
	}
}

// Whatever needs an operator is said at the top; idle is not called arriving.
func TestOperationsSayWhatIsWrongFirst(t *testing.T) {
	top := func(change func(*pages.Status)) string {
		d := &demo{calm: true}
		body := get(handler(t, d, func(c *pages.Config) { c.Operator = changed{d, change} }), "/ops").Body.String()
		_, body, _ = strings.Cut(body, `id="f-trouble"`)
		body, _, _ = strings.Cut(body, "</section>")
		return body
	}
	for _, c := range []struct {
		change func(*pages.Status)
		want   string
	}{
		{func(*pages.Status) {}, "Usage is arriving and being rated"},
		{func(s *pages.Status) { s.Stages = s.Stages[:1] }, "No usage is arriving at the moment"},
		{func(s *pages.Status) { s.Stages = nil }, "No usage is arriving at the moment"},
		{func(s *pages.Status) {
			s.Partitions = []pages.Partition{{Number: 3, Offset: 12044, Note: "failed three times"}}
		}, "Partition 3 at offset 12,044: failed three times"},
		{func(s *pages.Status) { s.Stores[0].Ready = false }, "Kafka does not answer."},
		{func(s *pages.Status) { s.Stages[2].Condition = pages.ConditionFailed }, "Rater: stopped."},
	} {
		if got := top(c.change); !strings.Contains(got, c.want) {
			t.Errorf("the top says %q, want %q", got, c.want)
		}
	}
}

// changed is the demo with another status.
type changed struct {
	*demo
	change func(*pages.Status)
}

func (c changed) Status(ctx context.Context) (*pages.Status, error) {
	s, err := c.demo.Status(ctx)
	if err == nil {
		c.change(s)
	}
	return s, err
}

func TestManyLinesStaySmall(t *testing.T) {
	for _, c := range []struct {
		path  string
		lines int
		want  int // lines on the page
	}{
		{"/c/acme", 10_000, 100}, {"/c/acme?per=1000", 1000, 1000}, {"/c/acme?per=999999", 10_000, 1000}, {"/c/acme?page=100", 10_000, 100}, {"/c/acme?page=999", 10_000, 100},
	} {
		body := get(handler(t, &demo{many: c.lines}), c.path).Body.String()
		if got := strings.Count(body, `/lines/0000000000000000abcdef`); got != c.want {
			t.Errorf("%s of %d lines shows %d, want %d", c.path, c.lines, got, c.want)
		}
		if len(body) > 200<<10 {
			t.Errorf("%s of %d lines has %d bytes, over 200 KB", c.path, c.lines, len(body))
		}
	}
}

func TestJSONAndCSV(t *testing.T) {
	h := handler(t, &demo{})
	var o struct {
		Invoice struct{ Total string }
		Prices  []struct {
			Level  string
			Prices []struct{ Price string }
		}
	}
	if err := json.Unmarshal(get(h, "/c/acme", "Accept", "application/json").Body.Bytes(), &o); err != nil {
		t.Fatal(err)
	}
	if o.Invoice.Total != "1535.068250000000" || len(o.Prices) != 5 || o.Prices[0].Level != "contract" || o.Prices[0].Prices[0].Price != "€0.10 per request" {
		t.Errorf("overview as JSON: %+v", o)
	}
	for _, c := range []struct {
		path string
		rows int
	}{
		{"/c/acme?format=csv", 8}, {"/c/acme?format=csv&table=days", 1 + 4*(21+31)}, {"/c/acme?format=csv&table=prices", 1 + 3 + 3 + 1 + 2 + 1},
		{"/c/acme/lines/" + lineID + "?format=csv", 61}, {"/ops?format=csv", 6}, {"/ops/rejected?format=csv&reason=no_rate", 11},
		{"/ops/collectors?format=csv", 4}, {"/ops/events?format=csv&id=req-90210", 17},
		{"/ops/rerate?format=csv", 6 + 5}, {"/ops/rerate/40?format=csv&table=sums", 4}, {"/ops/rerate/40?format=csv&table=lines", 5}, {"/ops/rerate/40?format=csv&table=lines&account=acme", 4},
		{"/ops/rerate/40?format=csv&table=accounts", 5}, {"/ops/rerate/31?format=csv&table=lines", 1}, {"/ops/rerate/try?format=csv&account=acme", 4},
	} {
		w := get(h, c.path, "Accept-Language", "de")
		rows, err := csv.NewReader(w.Body).ReadAll()
		if err != nil || len(rows) != c.rows {
			t.Errorf("%s: %d rows, want %d, error %v", c.path, len(rows), c.rows, err)
		}
		if !strings.HasPrefix(w.Header().Get("Content-Disposition"), "attachment") {
			t.Errorf("%s is not a download", c.path)
		}
		for _, row := range rows {
			for _, field := range row {
				if strings.HasPrefix(field, "=") {
					t.Errorf("%s: %q would run as a formula", c.path, field)
				}
			}
		}
	}
	usage := get(h, "/c/acme/lines/"+lineID+"?format=csv").Body.String()
	if !strings.Contains(usage, "2026-11-21T10:30:00+01:00,gateway-7,req-90210,false,3,request,0.150000000000,EUR,962.500000000000,") {
		t.Errorf("usage as CSV: %.300s", usage)
	}
}

func post(h http.Handler, path string, form url.Values, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// guard demands a token in forms; reads is a reader who may do nothing.
func guard(c *pages.Config) {
	c.CSRFToken = func(http.ResponseWriter, *http.Request) string { return "t0ken" }
	c.CheckCSRF = func(_ *http.Request, token string) bool { return token == "t0ken" }
}

func reads(c *pages.Config) {
	c.Viewer = func(*http.Request) pages.Viewer { return pages.Viewer{Operator: true} }
}

func TestRetryNeedsTokenRightAndFilter(t *testing.T) {
	good := url.Values{"csrf_token": {"t0ken"}, "filter": {"reason=no_rate"}}
	for _, c := range []struct {
		name   string
		form   url.Values
		header []string
		change []func(*pages.Config)
		status int
	}{
		{"no token", url.Values{"filter": {"reason=no_rate"}}, nil, nil, 403},
		{"wrong token", url.Values{"csrf_token": {"x"}, "filter": {""}}, nil, nil, 403},
		{"another origin", good, []string{"Sec-Fetch-Site", "cross-site"}, nil, 403},
		{"a reader", good, nil, []func(*pages.Config){reads}, 403},
		{"no filter at all", url.Values{"csrf_token": {"t0ken"}}, nil, nil, 400},
		{"a broken filter", url.Values{"csrf_token": {"t0ken"}, "filter": {"%zz"}}, nil, nil, 400},
	} {
		d := &demo{}
		if w := post(handler(t, d, append(c.change, guard)...), "/ops/rejected/retry", c.form, c.header...); w.Code != c.status || len(d.retried) != 0 {
			t.Errorf("%s: status %d, want %d, retried %v", c.name, w.Code, c.status, d.retried)
		}
	}
	d := &demo{}
	h := handler(t, d, guard)
	if body := get(h, "/ops/rejected").Body.String(); !strings.Contains(body, `name="csrf_token" value="t0ken"`) {
		t.Error("the form has no token")
	}
	w := post(h, "/ops/rejected/retry", good)
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/ops/rejected?reason=no_rate&retried=31" {
		t.Errorf("retry: %d to %s", w.Code, w.Header().Get("Location"))
	}
	if len(d.retried) != 1 || d.retried[0] != (pages.RejectedFilter{Reason: "no_rate"}) {
		t.Errorf("retried %+v", d.retried)
	}
	if !strings.Contains(get(h, w.Header().Get("Location")).Body.String(), "31 events are on their way again.") {
		t.Error("the reader is not told what happened")
	}
	if strings.Contains(get(handler(t, d, reads), "/ops").Body.String(), `<button type="submit" class="secondary" name="filter"`) {
		t.Error("a reader is offered a retry")
	}
}

func TestStreamTellsOfChangesAndEnds(t *testing.T) {
	d := &demo{}
	closing := make(chan struct{})
	server := httptest.NewServer(handler(t, d, func(c *pages.Config) { c.Closing, c.MaxStreams = closing, 1 }))
	defer server.Close()
	answer, err := http.Get(server.URL + "/c/acme/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("content type %q", answer.Header.Get("Content-Type"))
	}
	lines := bufio.NewScanner(answer.Body)
	next := func(want string) {
		t.Helper()
		for lines.Scan() {
			if lines.Text() == want {
				return
			}
		}
		t.Fatalf("the stream ended before %q", want)
	}
	next("id: 0")
	next("event: changed")
	d.arrive(1)
	next("id: 1")
	second, err := http.Get(server.URL + "/c/acme/stream")
	if err != nil {
		t.Fatal(err)
	}
	second.Body.Close()
	if second.StatusCode != http.StatusServiceUnavailable || second.Header.Get("Retry-After") == "" {
		t.Errorf("one stream too many: %d", second.StatusCode)
	}
	close(closing)
	if _, err := io.ReadAll(answer.Body); err != nil {
		t.Errorf("the server's stop did not end the stream cleanly: %v", err)
	}
	if w := get(handler(t, d), "/c/nobody/stream"); w.Code != 404 {
		t.Errorf("an unknown account's stream: %d", w.Code)
	}
	if w := get(handler(t, d, func(c *pages.Config) { c.Watcher = nil }), "/c/acme/stream"); w.Code != 404 {
		t.Errorf("without a watcher: %d", w.Code)
	}
}

// A burst of changes makes two messages, not hundreds, and the last change is always told.
func TestStreamJoinsBursts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &demo{}
		ctx := t.Context()
		stop := make(chan struct{})
		h := handler(t, d, func(c *pages.Config) { c.Closing = stop })
		w := httptest.NewRecorder()
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/c/acme/stream", nil).WithContext(ctx))
		}()
		synctest.Wait()
		for range 200 {
			d.arrive(1)
			synctest.Wait()
		}
		<-time.After(16 * time.Second) // of the bubble's clock: past the pause and one heartbeat
		synctest.Wait()
		close(stop)
		<-done
		if got := strings.Count(w.Body.String(), "event: changed"); got != 3 {
			t.Errorf("%d messages, want the first, one at once and one for the rest", got)
		}
		if !strings.Contains(w.Body.String(), ": still here") {
			t.Error("no heartbeat")
		}
	})
}

func BenchmarkOverview(b *testing.B) {
	for _, lines := range []int{0, 1000, 10_000} {
		for _, query := range []string{"", "?per=1000"} {
			b.Run(fmt.Sprintf("lines=%d%s", lines, query), func(b *testing.B) {
				h := handler(b, &demo{many: lines})
				get(h, "/c/acme"+query)
				b.ReportAllocs()
				for b.Loop() {
					get(h, "/c/acme"+query)
				}
			})
		}
	}
}

func TestLineSaysWhatItSharesWithOthers(t *testing.T) {
	h := handler(t, &demo{})
	shared := part(t, get(h, "/c/acme/lines/"+sharedLineID).Body.String(), `id="how"`)
	says(t, "line", shared, "Tiers are shared by all usage of api-calls that account acme pays for.", "18,250\u00a0requests", "€962.50", "40,000\u00a0requests", "€2,050.00")
	if strings.Contains(shared, "not available") {
		t.Errorf("the calculation is there: %s", shared)
	}
	if alone := get(h, "/c/acme/lines/"+lineID).Body.String(); strings.Contains(alone, "Shared tiers") {
		t.Error("a line of its own says that it shares tiers")
	}
}
