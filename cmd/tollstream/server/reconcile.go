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
	if len(c.Kafka) == 0 || c.Postgres == "" || c.Redis == "" {
		return nil, errors.New("reconcile without a server needs TOLLSTREAM_KAFKA, TOLLSTREAM_POSTGRES and TOLLSTREAM_REDIS")
	}
	s, err := openStores(ctx, c)
	if err != nil {
		return nil, err
	}
	p := &process{Config: c, registry: prometheus.NewRegistry(), stores: s}
	defer p.stop()
	p.onStop(s.close)
	if p.reports, err = p.openReports(ctx); err != nil {
		return nil, err
	}
	r := p.newReconciler()
	r.Progress = progress
	result, err := r.Month(ctx, o)
	if err != nil {
		return nil, err
	}
	return describeReconciliation(result), nil
}
