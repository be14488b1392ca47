package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the stage's own. Labels are routes, methods, status codes and reasons: never accounts.
type metrics struct {
	requests   *prometheus.CounterVec
	seconds    *prometheus.HistogramVec
	inFlight   prometheus.Gauge
	streams    prometheus.Gauge
	received   prometheus.Counter
	forwarded  prometheus.Counter
	duplicates prometheus.Counter
	rejected   *prometheus.CounterVec
	errors     prometheus.Counter
	batch      prometheus.Histogram
}

func newMetrics(r prometheus.Registerer) *metrics {
	const ns, sub = "tollstream", "api"
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: ns, Subsystem: sub, Name: name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: ns, Subsystem: sub, Name: name, Help: help})
	}
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: ns, Subsystem: sub, Name: "requests_total", Help: "Requests answered.",
		}, []string{"route", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: ns, Subsystem: sub, Name: "request_seconds", Help: "Time to answer, streams left out.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"route"}),
		inFlight:   gauge("in_flight_requests", "Requests being answered now; the stage's lag."),
		streams:    gauge("open_streams", "Watchers of live invoices."),
		received:   counter("received_events_total", "Usage events in requests that could be read."),
		forwarded:  counter("forwarded_events_total", "Usage events that the broker acknowledged."),
		duplicates: counter("duplicate_events_total", "Always 0: duplicates are found by the rater."),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: ns, Subsystem: sub, Name: "rejected_events_total", Help: "Usage events refused by themselves.",
		}, []string{"reason"}),
		errors: counter("errors_total", "Requests that failed by our fault."),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: ns, Subsystem: sub, Name: "batch_events", Help: "Usage events in one request.",
			Buckets: []float64{1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000},
		}),
	}
	r.MustRegister(m.requests, m.seconds, m.inFlight, m.streams, m.received, m.forwarded, m.duplicates, m.rejected, m.errors, m.batch)
	return m
}

// ingested counts what a request brought: received = forwarded + duplicates + rejected.
func (m *metrics) ingested(a IngestAnswer) {
	n := float64(a.Accepted + len(a.Rejected))
	m.received.Add(n)
	m.batch.Observe(n)
	m.forwarded.Add(float64(a.Accepted))
	for i := range a.Rejected {
		m.rejected.WithLabelValues(a.Rejected[i].Code).Inc()
	}
}

// watch measures a route. Its name comes from the route table, so that the label stays small.
func (m *metrics) watch(route string, stream bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		rec := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
		m.inFlight.Inc()
		defer func() {
			m.inFlight.Dec()
			m.requests.WithLabelValues(route, methodLabel(r.Method), strconv.Itoa(rec.status)).Inc()
			if !stream {
				m.seconds.WithLabelValues(route).Observe(time.Since(start).Seconds())
			}
		}()
		next.ServeHTTP(rec, r)
	})
}

func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions:
		return method
	}
	return "other"
}

// statusRecorder remembers the status. Unwrap lets http.ResponseController reach the connection.
type statusRecorder struct {
	http.ResponseWriter
	status  int
	written bool
}

func (r *statusRecorder) WriteHeader(status int) {
	if !r.written {
		r.status, r.written = status, true
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *statusRecorder) Write(b []byte) (int, error) {
	r.written = true
	return r.ResponseWriter.Write(b)
}

func (r *statusRecorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
