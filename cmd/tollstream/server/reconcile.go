package server

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/rater/reconcile"
)

// Reconcile compares a month without a running server: the stores must be named, since embedded ones belong to
// the process that runs them.
func Reconcile(ctx context.Context, c Config, o reconcile.Options, progress func(stage string, done int)) (*api.Reconciliation, error) {
	if len(c.Kafka) == 0 || c.Postgres == "" {
		return nil, errors.New("reconcile without a server needs TOLLSTREAM_KAFKA and TOLLSTREAM_POSTGRES")
	}
	s := &stores{kafka: c.Kafka, postgres: c.Postgres, clickhouse: c.ClickHouse}
	if err := s.connectPostgres(ctx); err != nil {
		return nil, err
	}
	p := &process{Config: c, registry: prometheus.NewRegistry(), stores: s}
	defer p.stop()
	p.onStop(s.close)
	reports, err := p.openReports(ctx)
	if err != nil {
		return nil, err
	}
	p.reports = reports
	r := p.newReconciler()
	r.Progress = progress
	result, err := r.Month(ctx, o)
	if err != nil {
		return nil, err
	}
	return describeReconciliation(result), nil
}
