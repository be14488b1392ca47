package pages_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/tollstream/tollstream/api/pages"
)

// part cuts out of a page what stands from one mark to the next end of a section.
func part(t *testing.T, body, mark string) string {
	t.Helper()
	_, body, found := strings.Cut(body, mark)
	if !found {
		t.Fatalf("the page has no %q", mark)
	}
	body, _, _ = strings.Cut(body, "</section>")
	return body
}

func says(t *testing.T, what, body string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(body, w) {
			t.Errorf("%s does not say %q:\n%s", what, w, body)
		}
	}
}

func TestRerateJobsSayHowFarAndWhatHolds(t *testing.T) {
	h := handler(t, &demo{})
	body := get(h, "/ops/rerate").Body.String()
	running := part(t, body, `id="f-running"`)
	// 12 of 48 accounts are a quarter.
	says(t, "what runs", running, `href="/ops/rerate/40"`, `width="25%"`, "12 of 48 accounts added up again", "Waits for partition 3", "1,204 lines by price, usage of 48 accounts",
		"Looking for lines that it concerns", "Job 40 comes first", "Partition 5 has stopped at offset 120,411: the rated log holds another result", "Waits for the partitions 2, 7", "Held up",
		"for 9"+"\u00a0"+"min so far")
	if strings.Contains(running, "/ops/rerate/39") {
		t.Error("what has ended is said to run")
	}
	says(t, "the list", part(t, body, `id="f-jobs"`), "Asked for<small>by Bert</small>", "Account acme, product api-calls, the period of 21 Nov 2026", "Done, with exceptions", "4 lines added up again, 2 changed",
		"storage stays as it was: its tiers are shared in a pool", "More that stays as it was", "product voice; rate class gold; contract c-7, deleted and others",
		"beta: given up: more usage arrives than is kept behind a marker", "Failed", "Nothing had to change", "Nothing that was rated", `href="/ops/rerate?cursor=31#jobs"`)
	says(t, "a reader's page", get(handler(t, &demo{}, reads), "/ops/rerate").Body.String(), "All jobs")
	if strings.Contains(get(handler(t, &demo{}, reads), "/ops/rerate").Body.String(), "Rate an account anew") {
		t.Error("a reader is offered to rate anew")
	}
	says(t, "an empty page", get(handler(t, &demo{calm: true}), "/ops/rerate").Body.String(), "Nothing is being rated anew", "Nothing was rated anew yet")
}

func TestRerateJobShowsWhatItDid(t *testing.T) {
	h := handler(t, &demo{})
	body := get(h, "/ops/rerate/40").Body.String()
	says(t, "progress", part(t, body, `id="f-job"`), "12 of 48 accounts", "Definitions changed by Anna", "product api-calls")
	says(t, "sums", part(t, body, `id="f-sums"`), `href="/ops/rerate/40?account=acme#lines"`, "€962.50", "€770.00", "−€192.50", "$10.00", "$12.25", "&#43;$2.25",
		`<data value="999999999999999.123456789012"`)
	says(t, "lines", part(t, body, `id="f-lines"`), "/c/acme/lines/00000000000000000000000000000000", "31 Oct 2026, 23:00", "−€180.00", `href="/ops/rerate/40?lines=more#lines"`)
	says(t, "accounts", part(t, body, `id="f-accounts"`), "9 of 14", "All products, periods from 31 Oct 2026, 23:00 to 30 Nov 2026, 23:00", "Product voice", "given up", "Not yet", "Done, with exceptions")
	one := get(h, "/ops/rerate/40?account=acme").Body.String()
	says(t, "one account's lines", part(t, one, `id="f-lines"`), "Lines of acme", "Lines of all accounts")
	if strings.Contains(part(t, one, `id="f-sums"`), "=odd()") {
		t.Error("another account stands among the differences of acme")
	}
	says(t, "a job that has ended", get(h, "/ops/rerate/39?begun").Body.String(), "It has begun.", "reports stays as it was: it counts distinct values")
	if strings.Contains(get(h, "/ops/rerate/39").Body.String(), "data-stream") || !strings.Contains(body, `data-stream="/ops/stream" data-fragments="/ops/rerate/40/fragments"`) {
		t.Error("what moves is not what runs")
	}
	// Without the report store the progress is there all the same.
	away := get(handler(t, &demo{fail: pages.ErrUnavailable, calm: true}), "/ops/rerate/40")
	if away.Code != http.StatusOK {
		t.Errorf("without the report store: %d", away.Code)
	}
	says(t, "without the report store", away.Body.String(), "The report store does not answer", "12 of 48 accounts", "Not yet")
	var data struct {
		Job  pages.RerateJob
		Sums pages.RerateChangePage
	}
	if err := json.Unmarshal(get(h, "/ops/rerate/40?format=json").Body.Bytes(), &data); err != nil || data.Job.Accounts != 48 || len(data.Sums.Changes) != 3 {
		t.Errorf("as JSON: %+v, %v", data, err)
	}
	says(t, "lines as CSV", get(h, "/ops/rerate/40?format=csv&table=lines").Body.String(),
		"acme,storage,,,00000000000000000000000000000002,acme,2026-10-31T23:00:00Z,false,1,USD,10.000000000000,12.250000000000,2.250000000000\n", "'=odd(),voice")
}

// TestRerateIsSeenBeforeItIsDone: the form leads to what would change, and only the button there begins.
func TestRerateIsSeenBeforeItIsDone(t *testing.T) {
	d := &demo{}
	h := handler(t, d, guard)
	body := get(h, "/ops/rerate/try?account=acme&period=2026-11-21").Body.String()
	// 962.5 + 214.6 = 1177.1 before, 192.5 less after.
	says(t, "the trial", body, "Nothing has changed yet", "3 lines added up again, 2 would change", "€1,177.10", "€984.60", "−€192.50", "$12.25", "closed: the difference goes to the current invoice",
		"package starter", "region eu", "storage stays as it was: its tiers are shared in a pool", `name="csrf_token" value="t0ken"`, `name="account" value="acme"`, `name="period" value="2026-11-21"`)
	if lines := part(t, body, `id="lines-h"`); strings.Index(lines, "storage") < strings.Index(lines, "voice") {
		t.Error("a line that stays stands before one that changes")
	}
	says(t, "a long trial", get(handler(t, &demo{many: 10_000}), "/ops/rerate/try?account=acme").Body.String(), "9,503 lines more are in the CSV")
	if len(d.begun) != 0 {
		t.Fatalf("a trial has begun %v", d.begun)
	}
	good := url.Values{"csrf_token": {"t0ken"}, "account": {" acme "}, "product": {"api-calls"}, "period": {"2026-11-21"}}
	for _, c := range []struct {
		name   string
		form   url.Values
		header []string
		change []func(*pages.Config)
		status int
	}{
		{"no token", url.Values{"account": {"acme"}}, nil, nil, 403},
		{"another origin", good, []string{"Sec-Fetch-Site", "cross-site"}, nil, 403},
		{"a reader", good, nil, []func(*pages.Config){reads}, 403},
		{"no account", url.Values{"csrf_token": {"t0ken"}}, nil, nil, 400},
		{"an unknown account", url.Values{"csrf_token": {"t0ken"}, "account": {"nobody"}}, nil, nil, 422},
	} {
		if w := post(handler(t, d, append(c.change, guard)...), "/ops/rerate", c.form, c.header...); w.Code != c.status || len(d.begun) != 0 {
			t.Errorf("%s: status %d, want %d, begun %v", c.name, w.Code, c.status, d.begun)
		}
	}
	if w := get(handler(t, d, reads), "/ops/rerate/try?account=acme"); w.Code != http.StatusForbidden {
		t.Errorf("a reader's trial: %d", w.Code)
	}
	w := post(h, "/ops/rerate", good)
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/ops/rerate/39?begun" {
		t.Errorf("begin: %d to %s", w.Code, w.Header().Get("Location"))
	}
	if want := (pages.RerateQuestion{Account: "acme", Product: "api-calls", Period: "2026-11-21"}); len(d.begun) != 1 || d.begun[0] != want {
		t.Errorf("begun %+v", d.begun)
	}
}

// TestRerateInABrowser goes from the form to the job without JavaScript, and sees a job move with it.
func TestRerateInABrowser(t *testing.T) {
	ctx := browser(t)
	said := complaints(ctx, t)
	d := &demo{}
	closing := make(chan struct{})
	server := httptest.NewServer(handler(t, d, func(c *pages.Config) { c.Closing, c.StatusEvery = closing, statusEvery }))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(closing) })
	look(ctx, t, 1280, "light")
	must(ctx, t, chromedp.Navigate(server.URL+"/ops/rerate"))
	until(ctx, t, `document.querySelector("#live").dataset.state === "live" && document.querySelector("[data-key=job-40]").textContent === "12 of 48 accounts added up again"`)
	must(ctx, t, chromedp.SendKeys(chromedp.CSS("#account"), "ac"))
	d.mu.Lock()
	d.rated = 12
	d.mu.Unlock()
	until(ctx, t, `document.querySelector("[data-key=job-40]").textContent === "24 of 48 accounts added up again" && document.querySelectorAll("#f-running .done")[1].getAttribute("width") === "50%"`)
	if !evaluate[bool](ctx, t, `document.querySelector("#account").value === "ac" && document.activeElement.id === "account"`) {
		t.Error("the update disturbed what was being typed")
	}
	must(ctx, t, chromedp.Navigate(server.URL+"/ops/rerate/40"))
	until(ctx, t, `document.querySelector("[data-key=progress]").textContent === "24 of 48 accounts added up again" && document.querySelector("#live").dataset.state === "live"`)
	d.mu.Lock()
	d.rated = 24
	d.mu.Unlock()
	until(ctx, t, `document.querySelector("[data-key=progress]").textContent === "36 of 48 accounts added up again"`)

	withoutScript(ctx, t)
	must(ctx, t, chromedp.Navigate(server.URL+"/ops/rerate"), chromedp.SendKeys(chromedp.CSS("#account"), "acme\r"), chromedp.WaitReady(chromedp.CSS(`form[method=post]`)))
	if len(d.begun) != 0 {
		t.Errorf("looking has begun %v", d.begun)
	}
	must(ctx, t, chromedp.Click(chromedp.CSS(`form[method=post] button`)), chromedp.WaitReady(chromedp.CSS(".success")))
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.begun) != 1 || d.begun[0] != (pages.RerateQuestion{Account: "acme"}) {
		t.Errorf("begun %+v", d.begun)
	}
	for _, complaint := range said() {
		t.Error("console: ", complaint)
	}
}
