package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tollstream/tollstream/cmd/tollstream/e2e/drive"
	"github.com/tollstream/tollstream/deploy/freeport"
)

// patience bounds every wait of a run. A sink that was killed is replaced when its lease of 45 s has run out, and PostgreSQL's clock, which
// decides that, may just have been two minutes ahead.
const patience = 4 * time.Minute

// roles are the processes of the installation. Two sinks share one lease.
var roles = map[string][]string{
	"api": {"api", "collector"}, "rater-1": {"rater"}, "rater-2": {"rater"}, "sink-1": {"sink"}, "sink-2": {"sink"},
}

const partitions = "8"

// The names of the servers, as deploy/servers/servers has them.
const (
	storeKafka      = "kafka"
	storePostgres   = "postgres"
	storeRedis      = "redis"
	storeClickHouse = "clickhouse"
)

var stores = []string{storeKafka, storePostgres, storeRedis, storeClickHouse}

// site is the installation.
type site struct {
	settings
	servers  *drive.Servers
	addrs    map[string]string // of the servers themselves, by variable
	wires    map[string]*wire  // by process and store; Kafka's is everybody's
	members  map[string]*member
	api      *drive.Caller
	load     *load
	log      *usageLog
	disks    bool // can be filled
	clocks   bool // can be set
	restarts int  // of servers that died by themselves
}

const setPrefix = "chaos-"

// openSite starts everything and puts the catalogue. What it returns is to be closed even after an error.
func openSite(ctx context.Context, c settings) (*site, error) {
	cache, err := filepath.Abs(c.Cache)
	if err != nil {
		return nil, err
	}
	if c.Logs, err = filepath.Abs(c.Logs); err != nil {
		return nil, err
	}
	s := &site{settings: c, wires: map[string]*wire{}, members: map[string]*member{}}
	s.servers = &drive.Servers{Name: c.Servers, Cache: cache, Repo: c.Repo, Env: []string{"TOLLSTREAM_SERVERS_FAULTS=on"}}
	if c.Binary == "" {
		if err := drive.Build(s.binary()); err != nil {
			return nil, err
		}
	}
	if s.Servers == "" {
		s.servers.Name = fmt.Sprint(setPrefix, os.Getpid())
		s.servers.StopForgotten(setPrefix)
	}
	if err := s.servers.Run("start"); err != nil {
		return s, err
	}
	if s.addrs, err = s.servers.Addresses(); err != nil {
		return s, err
	}
	s.disks = s.servers.Run("free", storeRedis) == nil
	s.clocks = s.servers.Run("clock", storeKafka, "0") == nil
	if err := s.connect(); err != nil {
		return s, err
	}
	if s.log, err = openLog(s.addrs["TOLLSTREAM_TEST_KAFKA"]); err != nil {
		return s, err
	}
	return s, s.startAll(ctx)
}

// connect lays a wire from every process to every store.
func (s *site) connect() error {
	upstream := map[string]string{}
	for _, store := range []string{storePostgres, storeRedis, storeClickHouse} {
		url := s.addrs["TOLLSTREAM_TEST_"+strings.ToUpper(store)]
		_, rest, _ := strings.Cut(url, "://")
		if _, behind, ok := strings.Cut(rest, "@"); ok {
			rest = behind
		}
		upstream[store], _, _ = strings.Cut(rest, "/")
	}
	for name := range roles {
		for store, address := range upstream {
			listen, err := freeport.Address() // a wire that is cut listens again on its port
			if err != nil {
				return err
			}
			w, err := layWire(listen, address)
			if err != nil {
				return fmt.Errorf("a wire from %s to %s: %w", name, store, err)
			}
			s.wires[name+" "+store] = w
		}
	}
	w, err := layWire(s.addrs["TOLLSTREAM_TEST_KAFKA_PROXY"], s.addrs["TOLLSTREAM_TEST_KAFKA_PROXIED"])
	if err != nil {
		return fmt.Errorf("a wire to Kafka: %w", err)
	}
	s.wires[everybody+" "+storeKafka] = w
	return nil
}

// everybody is the name before the wire that all processes share: a broker tells its clients where to come to.
const everybody = "everybody"

func (s *site) startAll(ctx context.Context) error {
	address, err := freeport.Address()
	if err != nil {
		return err
	}
	s.api = &drive.Caller{Address: address}
	if err := s.start(ctx, "api"); err != nil {
		return err
	}
	if err := repeat(ctx, s.patience, "the server tells its key", func() (err error) {
		s.api.Key, err = s.members["api"].process().Said("admin key: ")
		return err
	}); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(roles)) {
		if name == "api" {
			continue
		}
		if err := s.start(ctx, name); err != nil {
			return err
		}
	}
	s.load = newLoad(&s.settings, s.api)
	return repeat(ctx, s.patience, "the catalogue is applied", func() error {
		return s.api.Call(http.MethodPut, "/v1/catalog", s.load.catalog(), nil)
	})
}

// start begins to keep a process running.
func (s *site) start(ctx context.Context, name string) error {
	address := s.api.Address
	if name != "api" { // for its metrics
		var err error
		if address, err = freeport.Address(); err != nil {
			return err
		}
	}
	at := func(who, store string) string { return s.wires[who+" "+store].address() }
	args := append([]string{"run"}, roles[name]...)
	args = append(args, "--partitions", partitions, "--http-addr", address, "--data-dir", filepath.Join(s.Logs, "data-"+name),
		"--kafka", at(everybody, storeKafka), "--postgres", "postgres://tollstream@"+at(name, storePostgres)+"/postgres?sslmode=disable",
		"--redis", "redis://"+at(name, storeRedis)+"/0", "--clickhouse", "clickhouse://"+at(name, storeClickHouse)+"/default")
	m, err := keepRunning(name, s.binary(), s.Logs, args)
	if err != nil {
		return err
	}
	s.members[name] = m
	return repeat(ctx, s.patience, name+" is ready", func() error {
		if name == "api" {
			_, err := m.process().Said("listening on ")
			return err
		}
		return m.process().Ready()
	})
}

// repeat asks until the answer is nil, or patience ends.
func repeat(ctx context.Context, patience time.Duration, what string, ask func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := ask()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not after %s: %w", what, patience, err)
		}
		pause(ctx, 100*time.Millisecond)
	}
}

// revive starts servers again that have died by themselves, of a full disk for example.
func (s *site) revive() error {
	text, err := s.servers.Ask("status") // each on a line
	if err != nil {
		return err
	}
	for _, store := range stores {
		if !strings.Contains("\n"+text, "\n"+store+": not running") {
			continue
		}
		s.restarts++
		if err := s.servers.Run("restart", store); err != nil {
			return err
		}
	}
	return nil
}

// crashed tells of processes that have ended by a fault of their own.
func (s *site) crashed() error {
	var errs []error
	for _, m := range s.members {
		errs = append(errs, m.panicked())
	}
	return errors.Join(errs...)
}

// exits counts how often processes have given up and were started again.
func (s *site) exits() (n int) {
	for _, m := range s.members {
		n += m.gaveUp()
	}
	return n
}

// close stops everything. After a failure the servers' logs are kept with the processes'.
func (s *site) close(failed bool) error {
	for _, m := range s.members {
		m.end()
	}
	for _, w := range s.wires {
		w.remove()
	}
	if s.log != nil {
		s.log.client.Close()
	}
	var errs []error
	if failed {
		errs = append(errs, s.keepLogs())
	}
	if s.Servers == "" {
		errs = append(errs, s.servers.Run("stop"))
	}
	return errors.Join(errs...)
}

func (s *site) keepLogs() error {
	set, err := s.servers.Set()
	if err != nil {
		return err
	}
	logs, _ := filepath.Glob(filepath.Join(set["data"], "*.log"))
	for _, path := range logs {
		text, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(filepath.Join(s.Logs, "server-"+filepath.Base(path)), text, 0o644)
		}
		if err != nil {
			return fmt.Errorf("keep the logs: %w", err)
		}
	}
	return nil
}

// oneOf picks a member of a list.
func oneOf[T any](random *rand.Rand, list ...T) T { return list[random.IntN(len(list))] }
