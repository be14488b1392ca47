package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tollstream/tollstream/cmd/tollstream/e2e/drive"
	"github.com/tollstream/tollstream/deploy/teststores"
)

// serverSet is a set of real servers of these tests alone: they are killed here, and others use the common set meanwhile.
type serverSet struct {
	drive.Servers
	keep bool // somebody else's, named in E2E_SERVERS: it is not stopped
}

const setPrefix = "e2e-"

var ownServers struct {
	once sync.Once
	set  *serverSet
	err  error
}

// servers starts the set, once for all tests.
func servers(t testing.TB) *serverSet {
	t.Helper()
	program(t)
	teststores.Kafka(t) // without servers: skipped, or failed in CI
	ownServers.once.Do(func() { ownServers.set, ownServers.err = startServers() })
	if ownServers.err != nil {
		t.Fatal(ownServers.err)
	}
	return ownServers.set
}

func startServers() (*serverSet, error) {
	cache := os.Getenv("TOLLSTREAM_CACHE")
	if cache == "" {
		cache = filepath.Join(repository, ".cache")
	}
	cache, err := filepath.Abs(cache)
	if err != nil {
		return nil, err
	}
	s := &serverSet{Servers: drive.Servers{Name: os.Getenv("E2E_SERVERS"), Cache: cache, Repo: repository}}
	if s.keep = s.Name != ""; !s.keep {
		s.Name = setPrefix + strconv.Itoa(os.Getpid())
		s.StopForgotten(setPrefix)
	}
	return s, s.Run("start")
}

// stopServers ends what servers has started.
func stopServers() {
	if s := ownServers.set; s != nil && !s.keep {
		if err := s.Run("stop"); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

const repository = "../../.."

func (s *serverSet) must(t testing.TB, args ...string) {
	t.Helper()
	if err := s.Run(args...); err != nil {
		t.Error(err)
	}
}

// cluster is a tollstream installation on the real servers, several processes.
type cluster struct {
	t       testing.TB
	set     *serverSet
	stores  []string // flags that name them
	redis   string
	admin   *caller
	running map[string]*process
}

// newCluster empties the set's Kafka, makes databases of the test's own, and starts the process with the API.
func newCluster(t testing.TB) *cluster {
	t.Helper()
	set := servers(t)
	stores, err := set.Addresses()
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range stores {
		t.Setenv(name, value) // teststores then works on this set
	}
	postgres, clickhouse := teststores.Postgres(t), teststores.ClickHouse(t)
	redisURL, _ := teststores.Redis(t)
	brokers := teststores.Kafka(t)
	eventually(t, "topics are gone", func() error { return drive.EmptyKafka(t.Context(), brokers) })
	c := &cluster{t: t, set: set, redis: redisURL, admin: newCaller(freeAddress(t), ""), running: map[string]*process{}}
	c.stores = []string{"--kafka", stores[teststores.EnvKafka], "--postgres", postgres, "--redis", redisURL, "--clickhouse", clickhouse}
	api := c.start("api", "api", "collector")
	c.admin.Key = api.says("admin key: ")
	api.says("listening on ")
	return c
}

// start runs a process with roles; only api listens.
func (c *cluster) start(name string, roles ...string) *process {
	c.t.Helper()
	args := append(append([]string{"run"}, roles...), c.stores...)
	args = append(args, "--partitions", "12", "--http-addr", c.admin.Address, "--data-dir", filepath.Join(c.t.TempDir(), name))
	p := start(c.t, name, args...)
	c.running[name] = p
	return p
}

// startReady starts a process and waits until it works.
func (c *cluster) startReady(name string, roles ...string) {
	c.t.Helper()
	p := c.start(name, roles...)
	p.eventually("is ready", p.Ready)
}

// emptyRedis forgets what the test's database holds.
func (c *cluster) emptyRedis() {
	options, err := redis.ParseURL(c.redis)
	if err != nil {
		c.t.Error(err)
		return
	}
	client := redis.NewClient(options)
	defer func() { _ = client.Close() }()
	if err := client.FlushDB(context.Background()).Err(); err != nil {
		c.t.Errorf("empty redis: %v", err)
	}
}

// stopAll drains every process; each has to end with code 0.
func (c *cluster) stopAll() {
	c.t.Helper()
	for name, p := range c.running {
		select {
		case <-p.Ended():
			continue // killed by the test
		default:
		}
		if code := p.stop(); code != 0 {
			c.t.Errorf("SIGTERM to %s: exit code %d", name, code)
		}
	}
}

func TestRealServersKilledInTurn(t *testing.T) {
	c := newCluster(t)
	random := seeded(t)
	l := newLoad(random, loadEvents)
	c.startReady("rater", "rater")
	c.startReady("sink", "sink")
	c.admin.apply(t, l.Catalog())
	at := moments(random, 5)
	f := whenReached(at, func(n int) {
		began := time.Now()
		switch n {
		case 0:
			c.running["rater"].Kill()
			c.startReady("rater", "rater")
		case 1:
			c.set.must(t, "restart", "redis")
			c.emptyRedis()
		case 2:
			c.set.must(t, "kill", "postgres")
			pause(time.Duration(random.IntN(1500)) * time.Millisecond) // rating goes on meanwhile
			c.set.must(t, "restart", "postgres")
		case 3:
			c.set.must(t, "restart", "kafka")
		case 4:
			c.set.must(t, "kill", "clickhouse")
			pause(time.Duration(random.IntN(1500)) * time.Millisecond)
			c.set.must(t, "restart", "clickhouse")
		}
		t.Logf("fault %d, at %d acknowledged events, took %s", n, at[n], time.Since(began).Round(time.Millisecond))
	})
	l.send(t, []string{c.admin.Address}, c.admin.Key, f.after)
	f.done()
	l.prove(t, c.admin)
	c.stopAll()
	// The stores agree as well with nobody at work.
	args := append([]string{"reconcile", "--deep", "--period", l.Month()}, c.stores...)
	if out, errs, code := newCaller("", "").command(t, "", args...); code != 0 {
		t.Errorf("reconcile by itself: exit code %d\n%s%s", code, out, errs)
	}
}

func TestRatersTakeOver(t *testing.T) {
	c := newCluster(t)
	random := seeded(t)
	l := newLoad(random, loadEvents)
	c.startReady("rater 1", "rater")
	c.startReady("rater 2", "rater")
	c.startReady("sink", "sink")
	c.admin.apply(t, l.Catalog())
	f := whenReached(moments(random, 5), func(n int) {
		switch n {
		case 0: // two, one of them killed
			c.running["rater 1"].Kill()
		case 1:
			c.startReady("rater 3", "rater")
			c.startReady("rater 4", "rater")
		case 2: // three, one of them killed
			c.running["rater 3"].Kill()
		case 3: // one drained
			if code := c.running["rater 2"].stop(); code != 0 {
				t.Errorf("SIGTERM under load: exit code %d", code)
			}
			c.startReady("rater 5", "rater")
		case 4: // and one that does not know that it is replaced
			c.running["rater 4"].Signal(syscall.SIGSTOP)
		}
	})
	l.send(t, []string{c.admin.Address}, c.admin.Key, f.after)
	f.done()
	l.prove(t, c.admin)
	c.running["rater 4"].Signal(syscall.SIGCONT)
	l.batches = l.batches[:40] // again, all of them duplicates
	l.send(t, []string{c.admin.Address}, c.admin.Key, nil)
	l.prove(t, c.admin)
	c.stopAll()
}
