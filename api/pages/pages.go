package pages

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

//go:embed templates assets
var files embed.FS

// Config is what the pages need. Customer, Operator, Rejections, Reratings, Rerater and Log are required.
type Config struct {
	Customer   Customer
	Operator   Operator
	Rejections Rejections
	Reratings  Reratings
	Rerater    Rerater
	Watcher    Watcher // nil: invoices do not move by themselves, a reload shows the newest state
	Log        *slog.Logger

	Now func() time.Time // the adapters' clock; nil: time.Now

	// Viewer says who looks; nil: an operator who may do everything.
	Viewer func(*http.Request) Viewer
	// CSRFToken gives the token for a form of this reader; it may set a cookie. CheckCSRF tells whether
	// a form's token (the value csrf_token) is the reader's. Without both of them no form is accepted
	// that came from another origin, which every current browser says of itself.
	CSRFToken func(http.ResponseWriter, *http.Request) string
	CheckCSRF func(r *http.Request, token string) bool

	// StatusEvery is how often operator's pages look again; 0: 2 s.
	StatusEvery time.Duration
	// MaxStreams is how many live pages may be open at once; 0: 1,000. More are told to try later.
	MaxStreams int
	// Closing, when it closes, ends the live streams, so that a graceful stop does not wait for them.
	Closing <-chan struct{}
}

// Viewer is who looks at a page.
type Viewer struct {
	Operator bool // sees links to the operator's pages
	MayRetry bool // may retry rejected usage
	MayRate  bool // may rate usage anew
}

type server struct {
	Config
	pages   map[string]*template.Template
	assets  map[string]asset // by path below /assets/
	urls    assetURLs
	streams atomic.Int64
	origin  *http.CrossOriginProtection
}

type asset struct {
	content     []byte
	contentType string
}

type assetURLs struct{ CSS, JS, Icon string }

// New returns the pages as a handler for /c/, /ops, /ops/ and /assets/. It checks nobody's
// credentials: the handler around it does.
func New(config Config) (http.Handler, error) {
	if config.Customer == nil || config.Operator == nil || config.Rejections == nil || config.Reratings == nil || config.Rerater == nil || config.Log == nil {
		return nil, errors.New("pages: Customer, Operator, Rejections, Reratings, Rerater and Log are required")
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Viewer == nil {
		config.Viewer = func(*http.Request) Viewer { return Viewer{Operator: true, MayRetry: true, MayRate: true} }
	}
	if config.StatusEvery <= 0 {
		config.StatusEvery = 2 * time.Second
	}
	if config.MaxStreams <= 0 {
		config.MaxStreams = 1000
	}
	s := &server{Config: config, origin: http.NewCrossOriginProtection()}
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	return s.routes(), nil
}

func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /assets/{name}", s.serveAsset)
	mux.HandleFunc("GET /c/{account}", s.overview)
	mux.HandleFunc("GET /c/{account}/fragments", s.overviewFragments)
	mux.HandleFunc("GET /c/{account}/stream", s.invoiceStream)
	mux.HandleFunc("GET /c/{account}/lines/{line}", s.line)
	mux.HandleFunc("GET /c/{account}/activities/{activity}", s.charge)
	mux.HandleFunc("GET /ops", s.ops)
	mux.HandleFunc("GET /ops/fragments", s.opsFragments)
	mux.HandleFunc("GET /ops/stream", s.opsStream)
	mux.HandleFunc("GET /ops/account", s.opsAccount)
	mux.HandleFunc("GET /ops/rejected", s.rejected)
	mux.HandleFunc("POST /ops/rejected/retry", s.retry)
	mux.HandleFunc("GET /ops/events", s.events)
	mux.HandleFunc("GET /ops/collectors", s.collectors)
	mux.HandleFunc("GET /ops/rerate", s.reratings)
	mux.HandleFunc("GET /ops/rerate/fragments", s.reratingsFragments)
	mux.HandleFunc("POST /ops/rerate", s.rerate)
	mux.HandleFunc("GET /ops/rerate/try", s.rerateTry)
	mux.HandleFunc("GET /ops/rerate/{job}", s.rerating)
	mux.HandleFunc("GET /ops/rerate/{job}/fragments", s.reratingFragments)
	mux.HandleFunc("GET /c/", s.unknown)
	mux.HandleFunc("GET /ops/", s.unknown)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secure(w.Header())
		mux.ServeHTTP(w, r)
	})
}

// secure lets a page load only what this server serves, and nothing inline.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "+
		"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// load parses the templates, each page with the layout, and names the assets by their content.
func (s *server) load() error {
	s.assets = map[string]asset{}
	for _, a := range []struct {
		file, contentType string
		url               *string
	}{
		{"app.css", "text/css; charset=utf-8", &s.urls.CSS},
		{"live.js", "text/javascript; charset=utf-8", &s.urls.JS},
		{"icon.svg", "image/svg+xml", &s.urls.Icon},
	} {
		content, err := files.ReadFile("assets/" + a.file)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		name := hex.EncodeToString(sum[:6]) + "-" + a.file
		s.assets[name] = asset{content, a.contentType}
		*a.url = "/assets/" + name
	}
	s.pages = map[string]*template.Template{}
	for _, name := range []string{"overview", "line", "charge", "ops", "rejected", "events", "collectors", "rerate", "rerate_job", "problem"} {
		t, err := template.New(name).ParseFS(files, "templates/layout.html", "templates/"+name+".html")
		if err != nil {
			return err
		}
		s.pages[name] = t
	}
	return nil
}

func (s *server) serveAsset(w http.ResponseWriter, r *http.Request) {
	a, ok := s.assets[r.PathValue("name")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", a.contentType)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.content))
}

// frame is what the layout needs around a page.
type frame struct {
	Title  string
	Assets assetURLs
	Viewer Viewer
	Area   string // customer, ops: which navigation is shown
	Here   string // path of the page, to mark it in the navigation
	Live   *live
	Body   any
}

// live makes a page move: a stream that says when, and the address of its fragments.
type live struct{ Stream, Fragments string }

// render writes a page, or with block one of its templates alone.
func (s *server) render(w http.ResponseWriter, r *http.Request, status int, name, block string, f frame) {
	f.Assets, f.Viewer, f.Here = s.urls, s.Viewer(r), r.URL.Path
	var page bytes.Buffer
	if err := s.pages[name].ExecuteTemplate(&page, block, f); err != nil {
		s.Log.ErrorContext(r.Context(), "page was not rendered", "page", name, "error", err)
		http.Error(w, "The page could not be shown. Please try again.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store") // what somebody pays stays out of shared caches
	h.Add("Vary", "Accept-Language")
	w.WriteHeader(status)
	if _, err := page.WriteTo(w); err != nil {
		s.Log.DebugContext(r.Context(), "reader went away", "page", name, "error", err)
	}
}

// problem is an error page: what happened, and what the reader can do.
type problem struct {
	Status   int
	Heading  string
	Text     string
	Back     string
	BackWord string
}

// fail answers an error of a source, in the reader's words.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error, what string) {
	p := problem{Back: with(r.URL.EscapedPath(), r.URL.Query()), BackWord: "Try again"}
	switch {
	case r.Context().Err() != nil:
		return // the reader went away
	case errors.Is(err, ErrNotFound):
		p.Status, p.Heading = http.StatusNotFound, "There is no such "+what
		p.Text = "Check the address. If you followed a link from an e-mail, it may be an old one: ask for a new link."
		p.Back, p.BackWord = "", ""
	case errors.Is(err, ErrForbidden):
		p.Status, p.Heading = http.StatusForbidden, "You may not see this "+what
		p.Text = "The link or key that you came with belongs to another account, or it has expired. Ask for a new link."
		p.Back, p.BackWord = "", ""
	case errors.Is(err, ErrUnavailable):
		p.Status, p.Heading = http.StatusServiceUnavailable, "We cannot read the figures at the moment"
		p.Text = "Usage is still being collected and nothing is lost. Please try again in a minute."
		w.Header().Set("Retry-After", "30")
	default:
		p.Status, p.Heading = http.StatusInternalServerError, "Something went wrong on our side"
		p.Text = "Nothing of your usage is lost by this. Please try again; if it stays, tell us when it happened."
	}
	if p.Status >= 500 {
		s.Log.ErrorContext(r.Context(), "page failed", "path", r.URL.Path, "error", err)
	}
	s.showProblem(w, r, p)
}

func (s *server) showProblem(w http.ResponseWriter, r *http.Request, p problem) {
	if wants(r) != "html" {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(p.Status)
		body, _ := json.Marshal(map[string]any{"title": p.Heading, "detail": p.Text, "status": p.Status})
		_, _ = w.Write(body)
		return
	}
	area := "customer"
	if strings.HasPrefix(r.URL.Path, "/ops") {
		area = "ops"
	}
	s.render(w, r, p.Status, "problem", "layout", frame{Title: p.Heading, Area: area, Body: p})
}

func (s *server) unknown(w http.ResponseWriter, r *http.Request) {
	s.fail(w, r, ErrNotFound, "page")
}

// wants tells which form of a page the reader asks for: html, json or csv.
func wants(r *http.Request) string {
	switch format := r.URL.Query().Get("format"); format {
	case "json", "csv":
		return format
	case "":
		accept := r.Header.Get("Accept")
		if strings.HasPrefix(accept, "application/json") {
			return "json"
		}
		if strings.HasPrefix(accept, "text/csv") {
			return "csv"
		}
	}
	return "html"
}

// with returns the address with values set, or removed where they are "".
func with(path string, query url.Values, set ...string) string {
	q := make(url.Values, len(query))
	for name, values := range query {
		q[name] = values
	}
	for i := 0; i+1 < len(set); i += 2 {
		if set[i+1] == "" {
			q.Del(set[i])
		} else {
			q.Set(set[i], set[i+1])
		}
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

func accountPath(account string) string { return "/c/" + url.PathEscape(account) }

func linePath(account, line string) string {
	return accountPath(account) + "/lines/" + url.PathEscape(line)
}
