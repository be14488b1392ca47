package server

import (
	"context"

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
	catalog := catalogDesk{p}
	rejected := rejections{p.rater, p.intake}
	closing := make(chan struct{})
	config := api.Config{
		Version: p.Version, Log: p.Log, Now: p.Now, Metrics: p.registry, Access: access, Keys: p.keys,
		Usage: in, Parser: in, Invoices: desk, Watcher: watch, Catalog: catalog, Kinds: catalog, Rejections: rejected,
		Reports: p.reports, Reconciler: reconciler{p}, Activities: p.reports,
		Ready: map[string]func(context.Context) error{
			"kafka":    func(context.Context) error { return p.producer.Ready() },
			"postgres": func(ctx context.Context) error { return p.stores.pool.Ping(ctx) },
			"redis":    func(ctx context.Context) error { return p.stores.redis.Ping(ctx).Err() },
		},
		Closing: closing, PublicURL: p.PublicURL,
	}
	if p.pingReports != nil {
		config.Ready["clickhouse"] = p.pingReports
	}
	config.Operations = operations{p, config.Ready}
	config.Collectors, config.Runs, config.Files = p.collect, p.collect, p.collect
	if err := p.addPages(&config, desk, watch, access); err != nil {
		return nil, err
	}
	return api.New(config)
}
