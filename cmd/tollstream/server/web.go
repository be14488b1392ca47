package server

import (
	"context"
	"net"

	"github.com/tollstream/tollstream/api"
)

// newAPI assembles the HTTP server.
func (p *process) newAPI(ctx context.Context) (*api.Server, error) {
	access, err := api.NewAccess(ctx, api.AccessConfig{Keys: p.keys, Lineage: p.definitions, Now: p.Now})
	if err != nil {
		return nil, err
	}
	desk := p.newDesk()
	watch := &watchers{all: map[string]map[chan struct{}]struct{}{}}
	p.work(ctx, "watch of the live view", func(ctx context.Context) error { return watch.run(ctx, p) })
	in := api.Intake{Collector: p.intake, Now: p.Now}
	p.work(ctx, "meter", p.keepMeasuring)
	catalog := catalogDesk{p}
	rejected := rejections{p.rater, p.intake}
	closing := make(chan struct{})
	config := api.Config{
		Version: p.Version, Log: p.Log, Now: p.Now, Metrics: p.registry, Access: access, Keys: p.keys,
		Usage: in, Parser: in, Invoices: desk, Watcher: watch, Catalog: catalog, Drafts: catalog, Kinds: catalog, Rejections: rejected,
		Reports: p.reports, Reconciler: reconciler{p}, Activities: p.reports,
		Ready: p.readiness(), Closing: closing, PublicURL: p.PublicURL,
	}
	config.Backtests = p.newBacktests(ctx)
	config.Reratings, config.RerateJobs = rerateDesk{p}, rerateDesk{p}
	config.Operations = operations{p, config.Ready}
	config.Collectors, config.Runs, config.Files, config.Control = p.collect, p.collect, p.collect, p.collect
	config.Webhooks, config.TrustedProxies = p.newWebhooks(), p.Proxies
	if err := p.addPages(&config, desk, watch, access); err != nil {
		return nil, err
	}
	return api.New(config)
}

// readiness asks each store whether it answers.
func (p *process) readiness() map[string]func(context.Context) error {
	ready := map[string]func(context.Context) error{
		"kafka":    func(context.Context) error { return p.producer.Ready() },
		"postgres": func(ctx context.Context) error { return p.stores.pool.Ping(ctx) },
		"redis":    func(ctx context.Context) error { return p.stores.redis.Ping(ctx).Err() },
	}
	if p.pingReports != nil {
		ready["clickhouse"] = p.pingReports
	}
	return ready
}

// watchable answers /metrics, /healthz and /readyz, and nothing else, in a process without the role api. Several on one
// machine need an address each; one whose address is taken works all the same.
func (p *process) watchable(ctx context.Context) {
	access, err := api.NewAccess(ctx, api.AccessConfig{Keys: p.keys, Lineage: p.definitions, Now: p.Now})
	if err != nil {
		p.Log.Warn("no metrics are served", "error", err)
		return
	}
	s, err := api.New(api.Config{Version: p.Version, Log: p.Log, Now: p.Now, Metrics: p.registry, Access: access, Ready: p.readiness()})
	if err != nil {
		p.Log.Warn("no metrics are served", "error", err)
		return
	}
	listener, err := net.Listen("tcp", p.HTTPAddr)
	if err != nil {
		p.Log.Warn("no metrics are served: choose another address with TOLLSTREAM_HTTP_ADDR", "address", p.HTTPAddr, "error", err)
		return
	}
	p.Log.Info("serving /metrics, /healthz and /readyz", "address", listener.Addr().String())
	p.work(ctx, "metrics", func(ctx context.Context) error { return s.Serve(ctx, listener, stopGrace) })
}
