// Package api is the outside of tollstream: HTTP under /v1 with problem+json errors, the OpenAPI document that is
// generated from the handlers' types, live invoices as server-sent events, and access by keys, links and sessions.
//
// It may import the domain packages (collector/usage, ledger/money, rater, rater/catalog, invoicer) for their types, the
// HTTP and metrics libraries, never a driver and never api/pages: what it reads and writes comes through the small interfaces of
// ports.go and ports_operations.go, which cmd connects to adapters; keys are kept by api/pg.
//
// Invariants: every route stands in the route table with exactly one permission, is in the OpenAPI document, and is refused before its
// body is read when the caller lacks the permission; a list is {"data": […], "next": CURSOR or null}; an error is application/problem+json
// and never shows what a store said; nothing an account did is a metric's label.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tollstream/tollstream/collector/webhook"
)

// Config is what a server is made of. A nil interface leaves its routes out: a process serves what it has.
type Config struct {
	Version string // of the program, shown in the OpenAPI document
	Log     *slog.Logger
	Now     func() time.Time
	Metrics *prometheus.Registry // the whole process's; /metrics shows it

	Access *Access // required
	Keys   KeyStore

	Usage      Ingester
	Parser     EventParser
	Invoices   Invoices
	Watcher    Watcher
	Catalog    Catalog
	Drafts     Drafts // nil: nothing is priced under drafts
	Kinds      CatalogKinds
	Rejections Rejections
	Collectors CollectorConfigs
	Runs       CollectorRuns
	Files      CollectorFiles
	Control    CollectorControl
	Webhooks   Webhooks
	Reports    Reports
	Reconciler Reconciler
	Activities Activities
	Operations Operations
	Backtests  Backtests
	Reratings  Reratings
	RerateJobs RerateJobs // is needed with Reratings

	// Ready asks each store whether it answers, by the store's name.
	Ready map[string]func(context.Context) error
	// Pages answers /c/, /ops and /assets/; this server checks who may see them. Nil: there are none.
	Pages http.Handler
	// Closing is closed by Serve when it begins to stop; live streams end then. Hand the same channel to the pages. Nil: one is made.
	Closing chan struct{}

	// TrustedProxies are those whose X-Forwarded-For is believed.
	TrustedProxies webhook.Networks

	PublicURL string        // scheme and host that people reach the server by; "": http and the host of their request
	Heartbeat time.Duration // between comments on a quiet stream; 0: 15 s
	Coalesce  time.Duration // least time between two events of one stream; 0: 100 ms
}

// Route is one call of the route table.
type Route struct {
	Method, Path string
	ID           string // operationId
	Need         Permission
}

// Server answers HTTP requests.
type Server struct {
	Config
	log     *slog.Logger
	metrics *metrics
	mux     *http.ServeMux
	api     huma.API
	routes  []Route
	handler http.Handler
	once    sync.Once

	deliveries chan struct{} // has one for each delivery to a webhook that is under way
}

// New builds the server; it does not listen yet.
func New(c Config) (*Server, error) {
	if c.Access == nil {
		return nil, errors.New("api: Access is required")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
	if c.Closing == nil {
		c.Closing = make(chan struct{})
	}
	if c.Heartbeat <= 0 {
		c.Heartbeat = 15 * time.Second
	}
	if c.Coalesce <= 0 {
		c.Coalesce = 100 * time.Millisecond
	}
	s := &Server{Config: c, log: c.Log, metrics: newMetrics(c.Metrics), mux: http.NewServeMux()}
	s.api = humago.New(routeMux{s}, s.document())
	s.registerAll()
	s.handler = s.outer()
	return s, nil
}

func (s *Server) registerAll() {
	s.registerOperational()
	s.registerUsage()
	s.registerInvoices()
	s.registerRate()
	s.registerCatalog()
	s.registerKinds()
	s.registerRejected()
	s.registerCollectors()
	s.registerWebhooks()
	s.registerReports()
	s.registerActivities()
	s.registerBacktests()
	s.registerReratings()
	s.registerKeys()
	s.registerLogin()
}

// Routes is the route table, for those who check it.
func (s *Server) Routes() []Route { return append([]Route(nil), s.routes...) }

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// outer is what every request passes: no panic leaves it, unknown paths get a problem, pages are guarded.
func (s *Server) outer() http.Handler {
	pages := s.guardPages()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v == http.ErrAbortHandler { //nolint:errorlint // the sentinel is panicked as it is
				panic(v)
			}
			s.metrics.errors.Inc()
			s.log.Error("request panicked", slog.Any("panic", v), slog.String("path", r.URL.Path), slog.String("stack", string(debug.Stack())))
			newProblem(http.StatusInternalServerError, "this is our failure, not yours; the server's log has the reason").write(w)
		}()
		if s.Pages != nil && r.URL.Path == "/" && r.Method == http.MethodGet {
			http.Redirect(w, r, "/ops", http.StatusSeeOther)
			return
		}
		if s.Pages != nil && isPage(r.URL.Path) {
			pages.ServeHTTP(w, r)
			return
		}
		h, pattern := s.mux.Handler(r)
		if pattern == "" {
			s.unmatched(h, w, r)
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		s.mux.ServeHTTP(w, r)
	})
}

// unmatched turns the mux's own refusal into a problem; its Allow header stays.
func (s *Server) unmatched(h http.Handler, w http.ResponseWriter, r *http.Request) {
	probe := &probeWriter{header: http.Header{}}
	h.ServeHTTP(probe, r)
	p := newProblem(http.StatusNotFound, "there is nothing at "+r.URL.Path+"; /docs lists what there is")
	switch {
	case probe.status == http.StatusMethodNotAllowed:
		p = newProblem(probe.status, r.Method+" is not a method of "+r.URL.Path+"; allowed: "+probe.header.Get("Allow"))
		p.headers.Set("Allow", probe.header.Get("Allow"))
	case probe.status >= 300 && probe.status < 400: // the mux cleans paths by a redirect
		w.Header().Set("Location", probe.header.Get("Location"))
		w.WriteHeader(probe.status)
		return
	}
	s.metrics.requests.WithLabelValues("unmatched", methodLabel(r.Method), fmt.Sprint(p.Status)).Inc()
	p.write(w)
}

// probeWriter keeps a status and headers and drops the body.
type probeWriter struct {
	header http.Header
	status int
}

func (p *probeWriter) Header() http.Header         { return p.header }
func (p *probeWriter) Write(b []byte) (int, error) { return len(b), nil }
func (p *probeWriter) WriteHeader(status int)      { p.status = status }

// registerOperational adds what machines ask.
func (s *Server) registerOperational() {
	metricsHandler := promhttp.HandlerFor(s.Metrics, promhttp.HandlerOpts{Registry: s.Metrics})
	s.raw(SeePublic, huma.Operation{
		OperationID: "metrics", Method: http.MethodGet, Path: "/metrics", Tags: []string{"operations"},
		Summary: "Metrics in Prometheus' text format", Responses: textAnswer("text/plain"),
	}, metricsHandler)
	register(s, SeePublic, huma.Operation{
		OperationID: "healthz", Method: http.MethodGet, Path: "/healthz", Tags: []string{"operations"},
		Summary: "Whether the process lives", Description: "Answers as long as the process can; asks no store.",
	}, func(context.Context, *struct{}) (*healthOutput, error) {
		return &healthOutput{Status: http.StatusOK, Body: Health{Status: "ok"}}, nil
	})
	register(s, SeePublic, huma.Operation{
		OperationID: "readyz", Method: http.MethodGet, Path: "/readyz", Tags: []string{"operations"},
		Summary: "Whether each store answers", Description: "200 when all do, 503 otherwise; the same body.",
	}, s.ready)
	s.registerDocument()
	if s.Operations != nil {
		register(s, ReadOperations, huma.Operation{
			OperationID: "operations-status", Method: http.MethodGet, Path: "/v1/operations/status", Tags: []string{"operations"},
			Summary: "The stages that usage passes: counts, lag, rejected usage by reason",
		}, func(ctx context.Context, _ *struct{}) (*body[Status], error) {
			status, err := s.Operations.Status(ctx)
			return answer(status, err)
		})
	}
}

// Health is the answer of /healthz and /readyz.
type Health struct {
	Status string                 `json:"status" enum:"ok,unavailable"`
	Stores map[string]StoreHealth `json:"stores,omitempty" doc:"by name"`
}

// StoreHealth is one store's answer.
type StoreHealth struct {
	Ready   bool   `json:"ready"`
	Message string `json:"message,omitempty"`
}

type healthOutput struct {
	Status int
	Body   Health
}

// readyTimeout bounds how long a store may take to say that it is there.
const readyTimeout = 2 * time.Second

func (s *Server) ready(ctx context.Context, _ *struct{}) (*healthOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	out := &healthOutput{Status: http.StatusOK, Body: Health{Status: "ok", Stores: make(map[string]StoreHealth, len(s.Ready))}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name, check := range s.Ready {
		wg.Go(func() {
			err := check(ctx)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				out.Body.Stores[name] = StoreHealth{Ready: true}
				return
			}
			s.log.Warn("store is not ready", slog.String("store", name), slog.Any("error", err))
			out.Status, out.Body.Status = http.StatusServiceUnavailable, "unavailable"
			out.Body.Stores[name] = StoreHealth{Message: "does not answer"} // the reason may name hosts: it is in the log
		})
	}
	wg.Wait()
	return out, nil
}

// Bounds of connections.
const (
	headerTimeout  = 10 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 64 << 10
)

// Serve answers requests on l until ctx ends, then lets the requests under way finish, for at most grace; streams end at once.
func (s *Server) Serve(ctx context.Context, l net.Listener, grace time.Duration) error {
	server := &http.Server{
		Handler: s, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve HTTP on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	s.once.Do(func() { close(s.Closing) })
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := server.Shutdown(stop); err != nil {
		_ = server.Close()
		return fmt.Errorf("stop the HTTP server: requests were still running after %s: %w", grace, err)
	}
	return nil
}

func isPage(path string) bool {
	return strings.HasPrefix(path, "/c/") || path == "/ops" || strings.HasPrefix(path, "/ops/") || strings.HasPrefix(path, "/assets/")
}
