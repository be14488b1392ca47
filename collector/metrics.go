package collector

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/collector/webhook"
)

// Metrics are the collector's. At rest received = forwarded + rejected: events of a request that
// failed as a whole were not received, they show in errors only.
type Metrics struct {
	received       prometheus.Counter
	forwarded      prometheus.Counter
	rejected       *prometheus.CounterVec
	errors         *prometheus.CounterVec
	requestEvents  prometheus.Histogram
	batchEvents    prometheus.Histogram
	batchBytes     prometheus.Histogram
	publishSeconds prometheus.Histogram
	cached         prometheus.Counter // look-ups of accounts by outcome
	loaded         prometheus.Counter
	unknown        prometheus.Counter
	fileBytes      prometheus.Counter
	runs           *prometheus.CounterVec
	passes         *prometheus.CounterVec
	running        prometheus.Gauge
	deliveries     *prometheus.CounterVec
}

// NewMetrics registers the metrics with the registerer.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	const namespace, subsystem = "tollstream", "collector"
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help, Buckets: buckets})
	}
	m := &Metrics{
		received:       prometheus.NewCounter(counter("received_total", "Events that were taken or refused, one by one.")),
		forwarded:      prometheus.NewCounter(counter("forwarded_total", "Events that the broker acknowledged.")),
		rejected:       prometheus.NewCounterVec(counter("rejected_total", "Events that were refused at the entrance, by code."), []string{"reason"}),
		errors:         prometheus.NewCounterVec(counter("errors_total", "Requests, chunks of files and records that failed as a whole, by reason."), []string{"reason"}),
		requestEvents:  histogram("request_events", "Events in a request or a chunk of a file.", prometheus.ExponentialBuckets(1, 4, 8)),
		batchEvents:    histogram("batch_events", "Events in a record.", prometheus.ExponentialBuckets(1, 2, 9)),
		batchBytes:     histogram("batch_bytes", "Bytes of a record.", prometheus.ExponentialBuckets(256, 4, 6)),
		publishSeconds: histogram("publish_seconds", "From the first event of a record to its acknowledgement.", prometheus.ExponentialBuckets(0.001, 2, 14)),
		fileBytes:      prometheus.NewCounter(counter("file_bytes_total", "Bytes of files that were read.")),
		runs:           prometheus.NewCounterVec(counter("runs_total", "Runs of collectors that ended, by state."), []string{"state"}),
		passes:         prometheus.NewCounterVec(counter("passes_total", "Looks of collectors at their places that ended, by state."), []string{"state"}),
		running:        prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem, Name: "runs_running", Help: "Runs of collectors that go on now."}),
	}
	m.deliveries = prometheus.NewCounterVec(counter("deliveries_total", "Requests to webhooks, by outcome: taken, or why not."), []string{"outcome"})
	subjects := prometheus.NewCounterVec(counter("subjects_total", "Look-ups of accounts, by outcome: cached, loaded, unknown."), []string{"outcome"})
	m.cached, m.loaded, m.unknown = subjects.WithLabelValues("cached"), subjects.WithLabelValues("loaded"), subjects.WithLabelValues("unknown")
	registerer.MustRegister(m.received, m.forwarded, m.rejected, m.errors, m.requestEvents, m.batchEvents, m.batchBytes,
		m.publishSeconds, subjects, m.fileBytes, m.runs, m.passes, m.running, m.deliveries)
	return m
}

// WatchBuffered adds the gauge of what the publisher holds and the broker has not acknowledged: the
// stage's lag.
func (m *Metrics) WatchBuffered(registerer prometheus.Registerer, p *Publisher) {
	registerer.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "tollstream", Subsystem: "collector", Name: "lag_bytes",
		Help: "Bytes of events that are not acknowledged yet.",
	}, func() float64 { return float64(p.BufferedBytes()) }))
}

func (m *Metrics) failure(err error) { m.errors.WithLabelValues(reasonOf(err)).Inc() }

// decided counts events whose fate is known.
func (m *Metrics) decided(forwarded int, refused []usage.Refusal) {
	m.received.Add(float64(forwarded + len(refused)))
	m.forwarded.Add(float64(forwarded))
	for i := range refused {
		m.rejected.WithLabelValues(string(refused[i].Code)).Inc()
	}
}

// Delivered counts a request to a webhook by what became of it.
func (m *Metrics) Delivered(err error) { m.deliveries.WithLabelValues(outcomeOf(err)).Inc() }

// outcomeOf names what became of a delivery.
func outcomeOf(err error) string {
	var unreadable *DeliveryError
	var tooMuch *usage.RequestError
	switch {
	case err == nil:
		return "taken"
	case errors.Is(err, webhook.ErrTime):
		return "too_old"
	case errors.Is(err, errAddress):
		return "address"
	case errors.Is(err, webhook.ErrMissing):
		return "no_credential"
	case errors.Is(err, webhook.ErrSignature):
		return "wrong_credential"
	case errors.Is(err, ErrNotVerified):
		return "no_webhook"
	case errors.As(err, &unreadable), errors.Is(err, ErrEncoding), errors.Is(err, ErrBody):
		return "unreadable"
	case errors.As(err, &tooMuch):
		return "too_large"
	}
	return reasonOf(err)
}
