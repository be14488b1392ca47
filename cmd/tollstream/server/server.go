// Package server assembles tollstream: it opens the stores, connects the adapters to the packages that declare what they
// need, runs the roles that were asked for and stops them in order.
//
// It is the only place that knows every package. Nothing here decides anything about usage, prices or money.
package server

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/tollstream/tollstream/api"
	apipg "github.com/tollstream/tollstream/api/pg"
	"github.com/tollstream/tollstream/collector"
	ckafka "github.com/tollstream/tollstream/collector/kafka"
	cpg "github.com/tollstream/tollstream/collector/pg"
	"github.com/tollstream/tollstream/collector/secret"
	"github.com/tollstream/tollstream/collector/webhook"
	"github.com/tollstream/tollstream/rater"
	catalogpg "github.com/tollstream/tollstream/rater/catalog/pg"
	rkafka "github.com/tollstream/tollstream/rater/kafka"
	"github.com/tollstream/tollstream/rater/live"
	raterpg "github.com/tollstream/tollstream/rater/pg"
)

// Role is a part of the path that a process may take.
type Role string

// The roles. A process without any named has all of them.
const (
	RoleAPI       Role = "api"
	RoleCollector Role = "collector"
	RoleRater     Role = "rater"
	RoleSink      Role = "sink"
	RoleInvoicer  Role = "invoicer"
)

// Roles lists them.
var Roles = []Role{RoleAPI, RoleCollector, RoleRater, RoleSink, RoleInvoicer}

// ParseRoles reads role names; none are all.
func ParseRoles(names []string) ([]Role, error) {
	if len(names) == 0 {
		return Roles, nil
	}
	var roles []Role
	for _, n := range names {
		if !slices.Contains(Roles, Role(n)) {
			return nil, fmt.Errorf("unknown role %q: choose from api, collector, rater, sink, invoicer", n)
		}
		roles = append(roles, Role(n))
	}
	return roles, nil
}

// Config is what a process is told.
type Config struct {
	DataDir     string
	HTTPAddr    string
	Kafka       []string // brokers; none: an embedded broker
	Postgres    string   // URL; "": a child process
	Redis       string   // URL; "": embedded
	ClickHouse  string   // URL; "": reports stay in PostgreSQL
	Partitions  int      // of topics that are created
	AllowUnsafe bool     // a broker whose settings may lose usage is a warning only
	PublicURL   string
	Secrets     secret.Store
	Proxies     webhook.Networks // whose X-Forwarded-For is believed
	Version     string
	Roles       []Role
	Log         *slog.Logger
	Now         func() time.Time
	// Ready is called once when the process does its work, with the address that it listens on ("" without the API) and,
	// the first time, the admin key that was made.
	Ready func(address, adminKey string)
}

// Defaults of what a process is not told.
const (
	window    = 35 * 24 * time.Hour // of the duplicates index
	retention = 45 * 24 * time.Hour // of usage and rated: the longest period, its grace and some days
	stopGrace = 20 * time.Second
)

func (c *Config) has(r Role) bool { return slices.Contains(c.Roles, r) }

// process is a running assembly.
type process struct {
	Config
	stores     *stores
	registry   *prometheus.Registry
	partitions int

	catalog     *catalogpg.Store
	publisher   *catalogpg.Publisher // of definitions
	definitions *definitions
	rater       *raterpg.Store
	liveView    *live.Reader
	livePrefix  string
	keys        *apipg.Keys
	runs        *cpg.Store

	producer    *ckafka.Producer
	gatherer    *collector.Publisher
	resolver    *collector.CachedResolver
	intake      *collector.Intake
	metrics     *collector.Metrics
	reports     reportStore
	worker      *rater.Worker               // nil without the role
	pingReports func(context.Context) error // nil: reports stay in PostgreSQL
	collect     *collectDesk
	receiver    *collector.Receiver
	meter       meter
	placed      *memo[string, []int32]                     // by billed account
	seals       *memo[string, map[int32][]rater.SealPoint] // by billed account

	stopping []func() // run in reverse order
}

// Run assembles the process and works until ctx ends; then it stops gracefully: requests finish, what was rated is
// checkpointed, the stores that it started stop last.
func Run(ctx context.Context, c Config) (err error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	p := &process{Config: c, registry: prometheus.NewRegistry()}
	var listener net.Listener
	if c.has(RoleAPI) { // first: a port in use is known before anything else is started
		listener, err = net.Listen("tcp", c.HTTPAddr)
		if err != nil {
			return fmt.Errorf("listen on %s: %w; choose another address with TOLLSTREAM_HTTP_ADDR or --http-addr", c.HTTPAddr, err)
		}
		defer listener.Close() //nolint:errcheck // closed already when it served
	}
	p.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	defer p.stop()
	if p.stores, err = openStores(ctx, c); err != nil {
		return err
	}
	p.onStop(p.stores.close)
	if err := p.assemble(ctx); err != nil {
		return err
	}
	if c.has(RoleCollector) {
		p.work(ctx, "collectors", p.collect.work)
	}
	if c.has(RoleRater) {
		if err := p.startRater(ctx); err != nil {
			return err
		}
		if err := p.startRerate(ctx); err != nil {
			return err
		}
	}
	if c.has(RoleSink) {
		if err := p.startSink(ctx); err != nil {
			return err
		}
	}
	if !c.has(RoleAPI) {
		p.watchable(ctx)
		c.Ready("", "")
		<-ctx.Done()
		return nil
	}
	return p.serve(ctx, listener)
}

// onStop adds what has to be done when the process ends; the last added is done first.
func (p *process) onStop(do func()) { p.stopping = append(p.stopping, do) }

func (p *process) stop() {
	for _, do := range slices.Backward(p.stopping) {
		do()
	}
}

// work runs a part of the process until it ends by itself or the process stops; what was added to onStop before it still
// stands while it ends.
func (p *process) work(ctx context.Context, name string, do func(context.Context) error) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := do(ctx); err != nil && ctx.Err() == nil {
			p.Log.Error("a part of the process ended", "part", name, "error", err)
		}
	}()
	p.onStop(func() { cancel(); <-done })
}

// assemble connects what every role needs.
func (p *process) assemble(ctx context.Context) (err error) {
	if err := migrate(ctx, p.stores); err != nil {
		return err
	}
	kafka := rkafka.Config{Brokers: p.stores.kafka, Log: p.Log}
	settings := rkafka.Settings{Partitions: p.Partitions, Retention: retention, Embedded: p.stores.embedded(), AllowUnsafe: p.AllowUnsafe}
	if p.partitions, err = rkafka.Prepare(ctx, kafka, settings); err != nil {
		return err
	}
	p.catalog = catalogpg.New(p.stores.pool, p.Now)
	p.definitions = newDefinitions(p.catalog)
	p.placed = newMemo[string, []int32](p.Now, time.Minute)
	p.seals = newMemo[string, map[int32][]rater.SealPoint](p.Now, time.Second)
	p.rater = raterpg.New(p.stores.pool, window)
	p.keys = apipg.New(p.stores.pool)
	if err := p.nameLiveView(ctx); err != nil {
		return err
	}
	p.liveView = live.NewReader(p.stores.redis, p.livePrefix)
	p.runs = cpg.New(p.stores.pool, p.Now)
	if p.reports, err = p.openReports(ctx); err != nil {
		return err
	}
	if err := p.assembleIntake(ctx); err != nil {
		return err
	}
	p.collect, err = p.newCollectDesk()
	return err
}

// nameLiveView finds what the keys of the live view begin with: a name that the installation's database holds, so that a
// Redis that an older installation has used shows nothing of it.
func (p *process) nameLiveView(ctx context.Context) error {
	candidate := random()
	name, err := p.keys.Secret(ctx, "live view", candidate[:8])
	if err != nil {
		return fmt.Errorf("read the name of the live view: %w", err)
	}
	p.livePrefix = fmt.Sprintf("tollstream:%x", name)
	return nil
}

// assembleIntake connects the way into the log: the producer, the gathering publisher, the publisher of definitions.
func (p *process) assembleIntake(ctx context.Context) (err error) {
	p.producer, err = ckafka.New(ctx, ckafka.Config{Brokers: p.stores.kafka, Topic: rkafka.UsageTopic, Log: p.Log})
	if err != nil {
		return err
	}
	p.onStop(p.producer.Close)
	p.metrics = collector.NewMetrics(p.registry)
	p.gatherer, err = collector.NewPublisher(p.producer, collector.PublisherConfig{Partitions: p.partitions}, p.metrics)
	if err != nil {
		return err
	}
	p.metrics.WatchBuffered(p.registry, p.gatherer)
	p.onStop(func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
		defer cancel()
		if err := p.gatherer.Close(closing); err != nil {
			p.Log.Warn("usage was still on its way when the process stopped; its senders were not answered", "error", err)
		}
	})
	p.resolver = collector.NewCachedResolver(subjects{p.catalog}, 0, p.metrics)
	p.intake = collector.NewIntake(p.resolver, p.gatherer, p.Now, p.metrics)
	journal := collector.NewJournal(p.runs, p.Now, p.Log)
	p.work(ctx, "history of deliveries", journal.Run)
	p.receiver = &collector.Receiver{Intake: p.intake, Journal: journal, Secret: p.Secrets.Get, Now: p.Now, Metrics: p.metrics}
	p.publisher, err = catalogpg.NewPublisher(p.catalog, p.producer, catalogpg.PublisherConfig{Partitions: p.partitions}, p.Log)
	if err != nil {
		return err
	}
	p.work(ctx, "publisher of definitions", p.publisher.Run)
	p.work(ctx, "watch of definitions", p.watchDefinitions)
	return nil
}

// serve answers HTTP until ctx ends.
func (p *process) serve(ctx context.Context, listener net.Listener) error {
	token, err := api.FirstKey(ctx, p.keys, p.HTTPAddr, p.Now())
	if err != nil {
		return err
	}
	s, err := p.newAPI(ctx)
	if err != nil {
		return err
	}
	p.Ready(listener.Addr().String(), token)
	return s.Serve(ctx, listener, stopGrace)
}

func random() (b [16]byte) {
	_, _ = rand.Read(b[:]) // never fails, see its documentation
	return b
}

func redacted(url string) string {
	if at := strings.LastIndex(url, "@"); at >= 0 {
		return "…" + url[at:]
	}
	return url
}
