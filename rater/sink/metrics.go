package sink

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the sink's figures. At rest received = forwarded + duplicates; a rated record never holds
// anything that the sink could reject.
type Metrics struct {
	records, received, forwarded, duplicates, passed prometheus.Counter
	errors                                           *prometheus.CounterVec
	batch, insertSeconds                             prometheus.Histogram
	lagSeconds, lagRecords, held, stalled            prometheus.Gauge
}

// NewMetrics makes the sink's figures and registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "tollstream", Subsystem: "sink", Name: name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "tollstream", Subsystem: "sink", Name: name, Help: help})
	}
	m := &Metrics{
		records:    counter("records_total", "Rated records read."),
		received:   counter("received_total", "Activities in rated records that were taken."),
		forwarded:  counter("forwarded_total", "Activities inserted into the report store."),
		duplicates: counter("duplicates_total", "Activities dropped because the report store had them already."),
		passed:     counter("passed_over_total", "Rated records that do not follow on from the last one taken, or cannot be read."),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "tollstream", Subsystem: "sink", Name: "errors_total",
			Help: "Errors by kind: store (tried again), decode (passed over), lost (stands still)."}, []string{"kind"}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "tollstream", Subsystem: "sink", Name: "batch_rows",
			Help: "Activities in one inserted block.", Buckets: prometheus.ExponentialBuckets(1, 4, 10)}),
		insertSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "tollstream", Subsystem: "sink", Name: "insert_seconds",
			Help: "Time until an inserted block was acknowledged.", Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 12)}),
		lagSeconds: gauge("lag_seconds", "Age of the oldest rated record that is not taken yet, as of the last one taken; 0 when caught up."),
		lagRecords: gauge("lag_records", "Rated records not read yet."),
		held:       gauge("lease_held", "1 while this process holds the sink's lease."),
		stalled:    gauge("stalled_partitions", "Partitions on which records arrive and none follows on."),
	}
	reg.MustRegister(m.records, m.received, m.forwarded, m.duplicates, m.passed, m.errors, m.batch, m.insertSeconds,
		m.lagSeconds, m.lagRecords, m.held, m.stalled)
	return m
}

func (m *Metrics) inserted(rows int, took time.Duration) {
	m.forwarded.Add(float64(rows))
	m.batch.Observe(float64(rows))
	m.insertSeconds.Observe(took.Seconds())
}

// measure sets the gauges from where the readers stand.
func (s *Sink) measure() {
	now := s.clock.Now()
	var oldest time.Duration
	var behind int64
	stalled := 0
	for _, r := range s.readers {
		if r.alarmed {
			stalled++
		}
		if r.end <= r.next {
			continue
		}
		behind += r.end - r.next
		if r.logTime > 0 {
			oldest = max(oldest, now.Sub(time.Unix(0, r.logTime)))
		}
	}
	s.metrics.lagSeconds.Set(oldest.Seconds())
	s.metrics.lagRecords.Set(float64(behind))
	s.metrics.stalled.Set(float64(stalled))
}
