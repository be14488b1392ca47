package rerate

import "github.com/prometheus/client_golang/prometheus"

// Metrics of the runner. No account is in a label.
type Metrics struct {
	open     prometheus.Gauge
	done     prometheus.Counter
	swept    prometheus.Counter
	accounts *prometheus.CounterVec
	errors   prometheus.Counter
}

// NewMetrics registers the metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		open:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "tollstream_rerate_open_jobs", Help: "Jobs that rate usage anew and are not done, as the process that does them saw them last."}),
		done:     prometheus.NewCounter(prometheus.CounterOpts{Name: "tollstream_rerate_done_jobs_total", Help: "Jobs that were finished."}),
		swept:    prometheus.NewCounter(prometheus.CounterOpts{Name: "tollstream_rerate_looked_at_families_total", Help: "Line families that jobs have looked at."}),
		accounts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tollstream_rerate_accounts_total", Help: "Accounts whose usage was rated anew, by state."}, []string{"state"}),
		errors:   prometheus.NewCounter(prometheus.CounterOpts{Name: "tollstream_rerate_errors_total", Help: "Steps that failed and are taken again."}),
	}
	r.MustRegister(m.open, m.done, m.swept, m.accounts, m.errors)
	return m
}
