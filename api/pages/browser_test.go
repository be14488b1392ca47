package pages_test

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/tollstream/tollstream/api/pages"
)

var (
	screenshots = flag.String("screenshots", "", "directory for a picture of every page")
	axe         = flag.String("axe", "", "axe.min.js of the package axe-core, to scan with it too")
)

//go:embed testdata/scan.js
var scan string

// browser starts Chromium with an empty profile and ends it with the test.
func browser(t *testing.T) context.Context {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("no chromium on this machine: apt-get install chromium")
		}
		t.Skip("no chromium on this machine: apt-get install chromium")
	}
	// Not the test's own folder, which has to be empty at its end: Chromium's helpers may write for a moment after it is gone.
	profile, err := os.MkdirTemp("", "tollstream-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 100 {
			if os.RemoveAll(profile) == nil {
				return
			}
		}
		t.Logf("%s is left", profile)
	})
	options := append([]chromedp.ExecAllocatorOption{}, chromedp.DefaultExecAllocatorOptions[:]...)
	options = append(options, chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(profile),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("no-first-run", true), chromedp.WSURLReadTimeout(3*time.Minute))
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // without a deadline: this call's context is the browser's
		t.Fatalf("start %s: %v", path, err)
	}
	ctx, cancelTimeout := context.WithTimeout(ctx, 8*time.Minute)
	t.Cleanup(cancelTimeout)
	return ctx
}

// complaints gathers what a page writes on the console, and the errors that nobody caught.
func complaints(ctx context.Context, t *testing.T) func() []string {
	t.Helper()
	var mu sync.Mutex
	var all []string
	err := chromedp.Listen(ctx, func(event any) {
		mu.Lock()
		defer mu.Unlock()
		switch e := event.(type) {
		case *runtime.EventConsoleAPICalled:
			for _, arg := range e.Args {
				all = append(all, string(e.Type)+" "+string(arg.Value))
			}
		case *runtime.EventExceptionThrown:
			all = append(all, fmt.Sprint(e.ExceptionDetails.Text, " ", e.ExceptionDetails.URL, " ", e.ExceptionDetails.LineNumber))
		case *log.EventEntryAdded:
			// A page that is an error says so with its status; Chromium writes that to the console.
			if !strings.Contains(e.Entry.Text, "the server responded with a status of") {
				all = append(all, e.Entry.Text+" "+e.Entry.URL)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		taken := all
		all = nil
		return taken
	}
}

type view struct {
	name     string
	demo     *demo
	path     string
	extremes bool // is looked at in the smallest and the largest window too
}

func views() []view {
	usual, empty, many, broken, calm := &demo{}, &demo{empty: true}, &demo{many: 10_000}, &demo{fail: pages.ErrUnavailable}, &demo{calm: true}
	line := "/c/acme/lines/" + lineID
	return []view{
		{"overview", usual, "/c/acme", true}, {"overview-earlier", usual, "/c/acme?period=2026-10-01", false}, {"overview-empty", empty, "/c/fresh", false},
		{"overview-10000", many, "/c/acme", true}, {"overview-1000-dense", many, "/c/acme?per=1000", false}, {"overview-no-match", many, "/c/acme?q=zzz", false},
		{"overview-broken", broken, "/c/acme", false}, {"overview-unknown", usual, "/c/nobody", false},
		{"line", usual, line, true}, {"line-shared", usual, "/c/acme/lines/" + sharedLineID, true}, {"line-no-match", usual, line + "?attr.region=mars", false}, {"line-bad-day", usual, line + "?day=someday", false},
		{"charge", usual, "/c/acme/activities/3-18231-0", true}, {"adjustment", usual, "/c/acme/activities/3-18224-0", false}, {"charge-shared", usual, "/c/acme/activities/3-18231-1", true}, {"charge-unknown", usual, "/c/acme/activities/0-0-0", false},
		{"ops", usual, "/ops", true}, {"ops-calm", calm, "/ops", false}, {"rejected", usual, "/ops/rejected", true}, {"rejected-retried", usual, "/ops/rejected?retried=31", false},
		{"rejected-none", usual, "/ops/rejected?account=nobody", false}, {"events", usual, "/ops/events?id=req-90210", true},
		{"events-unseen", usual, "/ops/events?id=unseen", false}, {"events-bad", usual, "/ops/events?id=", false}, {"collectors", usual, "/ops/collectors", true},
		{"collector", usual, "/ops/collectors?name=cdr-berlin", false},
		{"rerate", usual, "/ops/rerate", true}, {"rerate-none", calm, "/ops/rerate", false}, {"rerate-wrong", usual, "/ops/rerate/try?account=nobody", false},
		{"rerate-try", usual, "/ops/rerate/try?account=acme&period=2026-11-21", true}, {"rerate-try-10000", many, "/ops/rerate/try?account=acme", false},
		{"rerate-job", usual, "/ops/rerate/40", true}, {"rerate-job-account", usual, "/ops/rerate/40?account=acme", false}, {"rerate-begun", usual, "/ops/rerate/39?begun", false},
		{"rerate-job-none", empty, "/ops/rerate/31", false}, {"rerate-held-up", usual, "/ops/rerate/41", false},
	}
}

// Every page, at a phone's and a desktop's width, light and dark: nothing on the console, nothing wider than
// the window, and nothing that the scan objects to.
func TestEveryPageInABrowser(t *testing.T) {
	ctx := browser(t)
	said := complaints(ctx, t)
	servers := map[*demo]*httptest.Server{}
	for _, v := range views() {
		if servers[v.demo] == nil {
			closing := make(chan struct{})
			servers[v.demo] = httptest.NewServer(handler(t, v.demo, func(c *pages.Config) { c.Closing = closing }))
			t.Cleanup(servers[v.demo].Close)
			t.Cleanup(func() { close(closing) })
		}
		for _, width := range []int64{360, 390, 1280, 3840} {
			for _, theme := range []string{"light", "dark"} {
				if (width == 360 || width == 3840) && (theme == "dark" || !v.extremes) {
					continue // a matter of layout, not of colours
				}
				name := fmt.Sprintf("%s-%d-%s", v.name, width, theme)
				t.Run(name, func(t *testing.T) {
					look(ctx, t, width, theme)
					must(ctx, t, chromedp.Navigate(servers[v.demo].URL+v.path), chromedp.WaitReady(chromedp.CSS("main")))
					findings := evaluate[[]string](ctx, t, scan)
					for _, finding := range findings {
						t.Error(finding)
					}
					for _, complaint := range said() {
						t.Error("console: ", complaint)
					}
					if *axe != "" && (width == 390 || width == 1280) {
						scanWithAxe(ctx, t)
					}
					if *screenshots != "" {
						picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
						if err != nil {
							t.Fatal(err)
						}
						if err := os.WriteFile(filepath.Join(*screenshots, name+".png"), picture, 0o644); err != nil {
							t.Fatal(err)
						}
					}
				})
			}
		}
	}
}

func must(ctx context.Context, t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatal(err)
	}
}

func evaluate[T any](ctx context.Context, t *testing.T, expression string, options ...chromedp.EvaluateOption) T {
	t.Helper()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, options...))
	if err != nil {
		t.Fatalf("%.80s: %v", expression, err)
	}
	return value
}

// until waits for an expression of the page to become true.
func until(ctx context.Context, t *testing.T, expression string) {
	t.Helper()
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(2*time.Minute))); err != nil {
		t.Fatalf("waiting for %s: %v", expression, err)
	}
}

// look sets the window's size and the reader's colours.
func look(ctx context.Context, t *testing.T, width int64, theme string) {
	t.Helper()
	size := emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 900, DeviceScaleFactor: 1}
	if width < 500 {
		size.Height, size.Mobile = 844, true
	}
	if _, err := chromedp.Call(ctx, emulation.SetDeviceMetricsOverride, size); err != nil {
		t.Fatal(err)
	}
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: theme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}}
	if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, media); err != nil {
		t.Fatal(err)
	}
}

func scanWithAxe(ctx context.Context, t *testing.T) {
	t.Helper()
	script, err := os.ReadFile(*axe)
	if err != nil {
		t.Fatal(err)
	}
	evaluate[int](ctx, t, string(script)+";0")
	for _, violation := range evaluate[[]string](ctx, t,
		`axe.run({runOnly: ["wcag2a","wcag2aa","wcag21a","wcag21aa","wcag22aa","best-practice"]}).then(r => r.violations.map(v => v.id + ": " + v.nodes.slice(0, 3).map(n => n.html.slice(0, 120)).join(" | ")))`,
		chromedp.EvalAwaitPromise) {
		t.Error("axe: ", violation)
	}
}

func withoutScript(ctx context.Context, t *testing.T) {
	t.Helper()
	if _, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
}

// statusEvery is how often an operator's page looks again in these tests.
const statusEvery = 100 * time.Millisecond

const totalText = `document.querySelector("#f-summary .total").textContent.trim()`

func TestTheInvoiceMovesWhileItIsWatched(t *testing.T) {
	ctx := browser(t)
	said := complaints(ctx, t)
	d := &demo{}
	closing := make(chan struct{})
	server := httptest.NewServer(handler(t, d, func(c *pages.Config) { c.Closing, c.StatusEvery = closing, statusEvery }))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(closing) })
	look(ctx, t, 1280, "light")
	must(ctx, t, chromedp.Navigate(server.URL+"/c/acme"))
	until(ctx, t, totalText+` === "€1,535.07" && document.querySelector("#live").dataset.state === "live"`)
	evaluate[int](ctx, t, `document.querySelector("#chart-table").open = true; document.querySelector('#f-lines a[href*="`+lineID+`"]').focus(); 0`)

	d.arrive(1000) // 1,000 × 0.05 = 50.00 more
	until(ctx, t, totalText+` === "€1,585.07"`)
	if got := evaluate[string](ctx, t, `document.querySelector('[data-key="`+lineID+`"] td:last-child').textContent`); got != "€1,012.50" {
		t.Errorf("the line shows %q", got)
	}
	if got := evaluate[string](ctx, t, `document.activeElement.getAttribute("href")`); got != "/c/acme/lines/"+lineID {
		t.Errorf("the update took the focus to %q", got)
	}
	if !evaluate[bool](ctx, t, `document.querySelector("#chart-table").open`) {
		t.Error("the update folded the table")
	}
	until(ctx, t, `document.querySelector("#announcer").textContent.startsWith("Total so far €1,5")`)

	must(ctx, t, chromedp.Click(chromedp.CSS("#live-pause")))
	until(ctx, t, `document.querySelector("#live-text").textContent === "Paused"`)
	d.arrive(1000)
	if got := evaluate[string](ctx, t, totalText); got != "€1,585.07" {
		t.Errorf("a paused page shows %q", got)
	}
	must(ctx, t, chromedp.Click(chromedp.CSS("#live-pause")))
	until(ctx, t, totalText+` === "€1,635.07"`)

	must(ctx, t, chromedp.Navigate(server.URL+"/ops"))
	until(ctx, t, `document.querySelector("#live").dataset.state === "live"`)
	must(ctx, t, chromedp.SendKeys(chromedp.CSS("#find-id"), "req"))
	d.arrive(5_000_000) // 9,120,411 + 2,000 + 5,000,000
	until(ctx, t, `document.querySelector("#f-stages").textContent.includes("14,122,411")`)
	if !evaluate[bool](ctx, t, `document.querySelector("#find-id").value === "req" && document.activeElement.id === "find-id"`) {
		t.Error("the update disturbed what was being typed")
	}
	for _, complaint := range said() {
		t.Error("console: ", complaint)
	}
}

func TestEverythingWorksByKeyboard(t *testing.T) {
	ctx := browser(t)
	closing := make(chan struct{})
	server := httptest.NewServer(handler(t, &demo{}, func(c *pages.Config) { c.Watcher, c.Closing = nil, closing }))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(closing) })
	type stop struct {
		Name    string
		Outline float64
	}
	for _, path := range []string{"/c/acme", "/c/acme/lines/" + lineID, "/ops/rejected", "/ops/rerate", "/ops/rerate/40"} {
		look(ctx, t, 1280, "light")
		must(ctx, t, chromedp.Navigate(server.URL+path), chromedp.WaitReady(chromedp.CSS("main")))
		names := map[string]bool{}
		for range 12 {
			must(ctx, t, chromedp.KeyEvent(kb.Tab))
			s := evaluate[stop](ctx, t, `(() => { const e = document.activeElement, c = getComputedStyle(e);
				return {Name: e.tagName + " " + e.textContent.trim().slice(0, 30) + (e.id || ""), Outline: c.outlineStyle === "none" ? 0 : parseFloat(c.outlineWidth)}; })()`)
			if strings.HasPrefix(s.Name, "BODY") { // past the last one
				break
			}
			if s.Outline < 2 {
				t.Errorf("%s: the focus on %q cannot be seen", path, s.Name)
			}
			names[s.Name] = true
		}
		if len(names) < 9 {
			t.Errorf("%s: the focus goes round in %v", path, names)
		}
	}
}

// Without JavaScript the page shows everything as of its loading, and its forms work.
func TestWithoutJavaScript(t *testing.T) {
	ctx := browser(t)
	d := &demo{}
	server := httptest.NewServer(handler(t, d))
	t.Cleanup(server.Close)
	withoutScript(ctx, t)
	must(ctx, t, chromedp.Navigate(server.URL+"/c/acme"))
	text, err := chromedp.Run(ctx, chromedp.OuterHTML(chromedp.CSS("main")))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"€1,535.07", "Per day", "What it is made of", "Your prices", `id="live" hidden`} {
		if !strings.Contains(text, want) {
			t.Errorf("without JavaScript the page does not show %q", want)
		}
	}
	must(ctx, t, chromedp.Navigate(server.URL+"/ops/rejected"), chromedp.Click(chromedp.CSS(`button[value*="id=bad-1&"]`)), chromedp.WaitReady(chromedp.CSS(".success")))
	where, err := chromedp.Run(ctx, chromedp.Location())
	if err != nil {
		t.Fatal(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !strings.HasSuffix(where, "retried=31") || len(d.retried) != 1 || d.retried[0].ID != "bad-1" {
		t.Errorf("the retry led to %s with %+v", where, d.retried)
	}
}
