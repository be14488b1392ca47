package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tollstream/tollstream/deploy/teststores"
)

// serverSet is a set of real servers of these tests alone: they are killed here, and others use the common set meanwhile.
type serverSet struct {
	name, cache string
	keep        bool // somebody else's, named in E2E_SERVERS: it is not stopped
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
	ownServers.once.Do(func() {
		s := &serverSet{name: os.Getenv("E2E_SERVERS"), cache: os.Getenv("TOLLSTREAM_CACHE")}
		if s.cache == "" {
			s.cache = filepath.Join(repository, ".cache")
		}
		if s.keep = s.name != ""; !s.keep {
			s.name = setPrefix + strconv.Itoa(os.Getpid())
			s.stopForgotten()
		}
		ownServers.set = s
		ownServers.err = s.run("start")
	})
	if ownServers.err != nil {
		t.Fatal(ownServers.err)
	}
	return ownServers.set
}

// stopServers ends what servers has started.
func stopServers() {
	if s := ownServers.set; s != nil && !s.keep {
		if err := s.run("stop"); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

const repository = "../../.."

// stopForgotten ends the sets of test processes that were killed.
func (s *serverSet) stopForgotten() {
	sets, _ := filepath.Glob(filepath.Join(s.cache, "servers", setPrefix+"*"))
	for _, path := range sets {
		pid := strings.TrimPrefix(filepath.Base(path), setPrefix)
		if _, err := os.Stat("/proc/" + pid); os.IsNotExist(err) {
			_ = (&serverSet{name: filepath.Base(path), cache: s.cache}).run("stop") // it may be half gone
		}
	}
}

// run calls deploy/servers/servers for this set.
func (s *serverSet) run(args ...string) error {
	cmd := exec.Command(filepath.Join(repository, "deploy/servers/servers"), args...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "TOLLSTREAM_SERVERS") && !strings.HasPrefix(v, "TOLLSTREAM_CACHE=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cache, err := filepath.Abs(s.cache)
	if err != nil {
		return err
	}
	cmd.Env = append(cmd.Env, "TOLLSTREAM_SERVERS="+s.name, "TOLLSTREAM_CACHE="+cache, "TOLLSTREAM_SERVERS_FSYNC=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("servers %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

func (s *serverSet) must(t testing.TB, args ...string) {
	t.Helper()
	if err := s.run(args...); err != nil {
		t.Error(err)
	}
}

// addresses reads the set's own env file.
func (s *serverSet) addresses(t testing.TB) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.cache, "servers", s.name, "env"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		if ok {
			found[name] = strings.Trim(value, "'")
		}
	}
	return found
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
	stores := set.addresses(t)
	for name, value := range stores {
		t.Setenv(name, value) // teststores then works on this set
	}
	postgres, clickhouse := teststores.Postgres(t), teststores.ClickHouse(t)
	redisURL, _ := teststores.Redis(t)
	emptyKafka(t, teststores.Kafka(t))
	c := &cluster{t: t, set: set, redis: redisURL, admin: &caller{address: freeAddress(t)}, running: map[string]*process{}}
	c.stores = []string{"--kafka", stores[teststores.EnvKafka], "--postgres", postgres, "--redis", redisURL, "--clickhouse", clickhouse}
	api := c.start("api", "api", "collector")
	c.admin.key = api.says("admin key: ")
	api.says("listening on ")
	return c
}

// emptyKafka removes the topics of the test before: their names are fixed.
func emptyKafka(t testing.TB, brokers []string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	eventually(t, "topics are gone", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		topics, err := admin.ListTopics(ctx)
		if err != nil {
			return err
		}
		names := topics.Names()
		if len(names) == 0 {
			return nil
		}
		if _, err := admin.DeleteTopics(ctx, names...); err != nil {
			return err
		}
		return fmt.Errorf("there were %v", names)
	})
}

// start runs a process with roles; only api listens.
func (c *cluster) start(name string, roles ...string) *process {
	c.t.Helper()
	args := append(append([]string{"run"}, roles...), c.stores...)
	args = append(args, "--partitions", "12", "--http-addr", c.admin.address, "--data-dir", filepath.Join(c.t.TempDir(), name))
	p := start(c.t, name, args...)
	c.running[name] = p
	return p
}

// startReady starts a process and waits until it works.
func (c *cluster) startReady(name string, roles ...string) {
	c.t.Helper()
	p := c.start(name, roles...)
	eventually(c.t, name+" is ready", func() error {
		select {
		case <-p.done:
			c.t.Fatalf("%s ended with code %d:\n%s", name, p.code, p.out)
		default:
		}
		if !strings.Contains(p.out.String(), "msg=ready") {
			return fmt.Errorf("not yet")
		}
		return nil
	})
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
		case <-p.done:
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
	c.admin.apply(t, l.catalog())
	at := moments(random, 5)
	f := whenReached(at, func(n int) {
		began := time.Now()
		switch n {
		case 0:
			c.running["rater"].kill()
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
	l.send(t, []string{c.admin.address}, c.admin.key, f.after)
	f.done()
	l.prove(t, c.admin)
	c.stopAll()
	// The stores agree as well with nobody at work.
	args := append([]string{"reconcile", "--deep", "--period", l.month()}, c.stores...)
	if out, errs, code := new(caller).command(t, "", args...); code != 0 {
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
	c.admin.apply(t, l.catalog())
	f := whenReached(moments(random, 5), func(n int) {
		switch n {
		case 0: // two, one of them killed
			c.running["rater 1"].kill()
		case 1:
			c.startReady("rater 3", "rater")
			c.startReady("rater 4", "rater")
		case 2: // three, one of them killed
			c.running["rater 3"].kill()
		case 3: // one drained
			if code := c.running["rater 2"].stop(); code != 0 {
				t.Errorf("SIGTERM under load: exit code %d", code)
			}
			c.startReady("rater 5", "rater")
		case 4: // and one that does not know that it is replaced
			c.running["rater 4"].signal(syscall.SIGSTOP)
		}
	})
	l.send(t, []string{c.admin.address}, c.admin.key, f.after)
	f.done()
	l.prove(t, c.admin)
	c.running["rater 4"].signal(syscall.SIGCONT)
	l.batches = l.batches[:40] // again, all of them duplicates
	l.send(t, []string{c.admin.address}, c.admin.key, nil)
	l.prove(t, c.admin)
	c.stopAll()
}
