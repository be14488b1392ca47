package rater

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tollstream/tollstream/rater/activity"
)

// Metrics are the rater's. Counters restart with the process; the counts of the checkpoint do not.
type Metrics struct {
	received          prometheus.Counter
	forwarded         prometheus.Counter
	duplicates        prometheus.Counter
	rejected          *prometheus.CounterVec
	records           prometheus.Counter
	stopped           prometheus.Counter
	forgotten         prometheus.Counter
	errors            *prometheus.CounterVec
	batchEvents       prometheus.Histogram
	lagRecords        prometheus.Gauge
	lagSeconds        prometheus.Gauge
	checkpointSeconds prometheus.Histogram
	projectSeconds    prometheus.Histogram
}

// NewMetrics registers the rater's metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "tollstream", Subsystem: "rater", Name: name, Help: help})
		r.MustRegister(c)
		return c
	}
	seconds := func(name, help string) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "tollstream", Subsystem: "rater", Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(0.0005, 2, 15),
		})
		r.MustRegister(h)
		return h
	}
	m := &Metrics{
		received:   counter("received_total", "Usage events read from the log, replayed ones included."),
		forwarded:  counter("forwarded_total", "Usage events rated."),
		duplicates: counter("duplicates_total", "Usage events recognised as duplicates."),
		records:    counter("records_total", "Usage records rated."),
		stopped:    counter("stopped_partitions_total", "Partitions stopped with an alarm."),
		forgotten:  counter("forgotten_partitions_total", "Partitions forgotten and opened again."),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "tollstream", Subsystem: "rater", Name: "errors_total", Help: "Failures of stores, by what could not be done.",
		}, []string{"operation"}),
		batchEvents: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "tollstream", Subsystem: "rater", Name: "batch_events", Help: "Usage events in a record.", Buckets: []float64{1, 4, 16, 64, 128, 256},
		}),
		lagRecords: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "tollstream", Subsystem: "rater", Name: "lag_records", Help: "Usage records of this process's partitions that are not rated yet.",
		}),
		lagSeconds: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "tollstream", Subsystem: "rater", Name: "lag_seconds", Help: "Age of the oldest usage record of this process's partitions that is not rated yet.",
		}),
		checkpointSeconds: seconds("checkpoint_seconds", "Time of a checkpoint's transaction."),
		projectSeconds:    seconds("project_seconds", "Time of a write to the live view."),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "tollstream", Subsystem: "rater", Name: "rejected_total", Help: "Usage events that could not be rated, by reason.",
		}, []string{"reason"}),
	}
	r.MustRegister(m.rejected, m.errors, m.batchEvents, m.lagRecords, m.lagSeconds)
	return m
}

// rated counts a rated record.
func (m *Metrics) rated(rec *activity.Record) {
	forwarded := 0
	for i := range rec.Activities {
		if rec.Activities[i].EventID != "" {
			forwarded++
		}
	}
	m.records.Inc()
	m.batchEvents.Observe(float64(forwarded + rec.Duplicates + len(rec.Rejected)))
	m.forwarded.Add(float64(forwarded))
	m.duplicates.Add(float64(rec.Duplicates))
	for i := range rec.Rejected {
		m.rejected.WithLabelValues(rec.Rejected[i].Reason).Inc()
	}
	m.received.Add(float64(forwarded + rec.Duplicates + len(rec.Rejected)))
}
