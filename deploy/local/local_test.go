package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const within = 3 * time.Minute // a failing test ends; no test waits for it

// TestMain lets the test binary stand for a process that runs the stores: with
// the variable set it starts them, prints where they are and runs until it is
// killed or its input ends.
func TestMain(m *testing.M) {
	if dir := os.Getenv("TOLLSTREAM_LOCAL_TEST_DIR"); dir != "" {
		os.Exit(runStores(dir))
	}
	os.Exit(m.Run())
}

type announcement struct {
	Stores *Stores
	Error  string
	InUse  int
}

func runStores(dir string) int {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	s, err := Start(context.Background(), Config{DataDir: dir, Kafka: true, Postgres: true, Redis: true, Log: log})
	out := announcement{Stores: s}
	if err != nil {
		out.Error = err.Error()
	}
	if inUse, ok := errors.AsType[*InUseError](err); ok {
		out.InUse = inUse.PID
	}
	_ = json.NewEncoder(os.Stdout).Encode(out)
	if err != nil {
		return 1
	}
	_, _ = os.Stdin.Read(make([]byte, 1))
	if err := s.Close(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// runner starts test processes as one user.
type runner struct {
	binary string
	user   *syscall.Credential
	dir    string // data directory
}

type process struct {
	announcement
	cmd *exec.Cmd
	end func() error // lets it stop in order
}

func (r runner) start(t *testing.T) process {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), r.binary)
	cmd.Env = append(os.Environ(), "TOLLSTREAM_LOCAL_TEST_DIR="+r.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: r.user}
	cmd.Dir = "/"
	var log strings.Builder
	cmd.Stderr = &log
	stdin, err := cmd.StdinPipe()
	check(t, err)
	stdout, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		if t.Failed() {
			t.Logf("log of process %d:\n%s", cmd.Process.Pid, log.String())
		}
	})
	p := process{cmd: cmd, end: func() error { return errors.Join(stdin.Close(), cmd.Wait()) }}
	if err := json.NewDecoder(stdout).Decode(&p.announcement); err != nil {
		t.Fatalf("the process announced nothing: %v", err)
	}
	return p
}

// runners are the users to test as: the present one below a directory that only
// it can enter, and, for root, also an ordinary one.
func runners(t *testing.T) map[string]func(t *testing.T) runner {
	t.Helper()
	self, err := os.Executable()
	check(t, err)
	closed := func(t *testing.T) string {
		dir := filepath.Join(t.TempDir(), "closed")
		check(t, os.Mkdir(dir, 0o700))
		return dir
	}
	if os.Geteuid() != 0 {
		return map[string]func(*testing.T) runner{
			"as an ordinary user": func(t *testing.T) runner { return runner{self, nil, filepath.Join(closed(t), "data")} },
		}
	}
	return map[string]func(*testing.T) runner{
		"as root": func(t *testing.T) runner { return runner{self, nil, filepath.Join(closed(t), "data")} },
		"as an ordinary user": func(t *testing.T) runner {
			const nobody = 65534
			// The test's own folders are closed to others.
			dir, err := os.MkdirTemp("/tmp", "tollstream-local-")
			check(t, err)
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			binary, err := os.ReadFile(self)
			check(t, err)
			path := filepath.Join(dir, "local.test")
			check(t, os.WriteFile(path, binary, 0o755))
			check(t, os.Chown(dir, nobody, nobody))
			return runner{path, &syscall.Credential{Uid: nobody, Gid: nobody}, filepath.Join(dir, "data")}
		},
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// needPostgres keeps the quick run from starting PostgreSQL, which it would even
// download where there is none.
func needPostgres(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts PostgreSQL; run without -short")
	}
}

func client(t *testing.T, brokers []string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(brokers...)}, opts...)...)
	check(t, err)
	t.Cleanup(c.Close)
	return c
}

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	t.Cleanup(cancel)
	return ctx
}

func TestKilledProcessLosesNothing(t *testing.T) {
	needPostgres(t)
	for name, as := range runners(t) {
		t.Run(name, func(t *testing.T) {
			run := as(t)
			first := run.start(t)
			if first.Error != "" {
				t.Fatal(first.Error)
			}
			second := run.start(t)
			if second.InUse != first.cmd.Process.Pid {
				t.Fatalf("a second process: in use by %d, want %d; error %q", second.InUse, first.cmd.Process.Pid, second.Error)
			}
			ctx := soon(t)
			adm := kadm.NewClient(client(t, first.Stores.KafkaBrokers))
			if _, err := adm.CreateTopic(ctx, 2, 1, nil, "usage"); err != nil {
				t.Fatal(err)
			}
			conn, err := pgx.Connect(ctx, first.Stores.PostgresURL)
			check(t, err)
			_, err = conn.Exec(ctx, `CREATE TABLE acknowledged (n int PRIMARY KEY)`)
			check(t, err)
			postmaster := serverPID(t, run.dir)

			var sent, stored atomic.Int64
			inserting, enoughRows := context.WithCancel(ctx)
			inserted := make(chan struct{})
			go func() { // the server outlives its parent
				defer close(inserted)
				for n := int64(0); ; n++ {
					if _, err := conn.Exec(inserting, `INSERT INTO acknowledged VALUES ($1)`, n); err != nil {
						return
					}
					stored.Store(n + 1)
				}
			}()
			producer := client(t, first.Stores.KafkaBrokers)
			enough, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				for n := int64(0); ; n++ {
					r := &kgo.Record{Topic: "usage", Value: fmt.Appendf(nil, "%d", n)}
					if err := producer.ProduceSync(ctx, r).FirstErr(); err != nil {
						return
					}
					if sent.Store(n + 1); n == 200 {
						close(enough)
					}
				}
			}()
			select {
			case <-enough:
			case <-ctx.Done():
				t.Fatal("200 records were not written in time")
			}
			check(t, first.cmd.Process.Kill())
			_ = first.cmd.Wait()
			// To cancel the context would not do: an idempotent producer holds on to
			// a record that the broker may have.
			producer.Close()
			<-done
			enoughRows()
			<-inserted
			_ = conn.Close(ctx)

			again := run.start(t)
			if again.Error != "" {
				t.Fatal(again.Error)
			}
			if serverRuns(run.dir, postmaster) {
				t.Errorf("the left-over server %d still runs", postmaster)
			}
			wantRecords(t, again.Stores.KafkaBrokers, sent.Load())
			conn, err = pgx.Connect(ctx, again.Stores.PostgresURL)
			check(t, err)
			var rows int64
			check(t, conn.QueryRow(ctx, `SELECT count(*) FROM acknowledged WHERE n < $1`, stored.Load()).Scan(&rows))
			if rows != stored.Load() {
				t.Errorf("%d rows found of %d acknowledged", rows, stored.Load())
			}
			check(t, conn.Close(ctx))
			t.Logf("%d records and %d rows acknowledged", sent.Load(), stored.Load())
			if !slices.Equal(first.Stores.KafkaBrokers, again.Stores.KafkaBrokers) {
				t.Logf("the broker moved from %v to %v", first.Stores.KafkaBrokers, again.Stores.KafkaBrokers)
			}

			postmaster = serverPID(t, run.dir)
			check(t, again.end())
			if serverRuns(run.dir, postmaster) {
				t.Errorf("server %d outlived an orderly stop", postmaster)
			}
		})
	}
}

// wantRecords reads the topic usage and checks that 0…n-1 are all there.
func wantRecords(t *testing.T, brokers []string, n int64) {
	t.Helper()
	ctx := soon(t)
	c := client(t, brokers, kgo.ConsumeTopics("usage"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ends, err := kadm.NewClient(c).ListEndOffsets(ctx, "usage")
	check(t, err)
	var total, read int64
	ends.Each(func(o kadm.ListedOffset) { total += o.Offset })
	missing := map[string]bool{}
	for i := range n {
		missing[fmt.Sprint(i)] = true
	}
	for read < total {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("read back: %v", err)
		}
		fetches.EachRecord(func(r *kgo.Record) { read++; delete(missing, string(r.Value)) })
	}
	if len(missing) > 0 {
		t.Errorf("%d of %d acknowledged records are missing: %v", len(missing), n, slices.Sorted(maps.Keys(missing)))
	}
}

func serverPID(t *testing.T, dir string) int {
	t.Helper()
	lines := readPidFile(filepath.Join(dir, "postgres", "data"))
	if len(lines) == 0 {
		t.Fatal("no postmaster.pid")
	}
	var pid int
	_, err := fmt.Sscan(lines[0], &pid)
	check(t, err)
	return pid
}

func serverRuns(dir string, pid int) bool {
	return slices.Contains(workingIn(filepath.Join(dir, "postgres", "data")), pid)
}

func TestServerThatDiesIsStartedAgain(t *testing.T) {
	needPostgres(t)
	ctx := soon(t)
	dir := t.TempDir()
	s, err := Start(ctx, Config{DataDir: dir, Postgres: true})
	check(t, err)
	t.Cleanup(func() { check(t, s.Close(context.Background())) })
	pid := serverPID(t, dir)
	check(t, syscall.Kill(pid, syscall.SIGKILL))
	for serverRuns(dir, pid) { // until the kernel is done with it
		check(t, ctx.Err())
	}
	for {
		conn, err := pgx.Connect(ctx, s.PostgresURL)
		if err == nil {
			check(t, conn.Close(ctx))
			break
		}
		check(t, ctx.Err())
	}
	if now := serverPID(t, dir); now == pid {
		t.Errorf("still server %d", pid)
	}
}

func TestStartAfterOrderlyStop(t *testing.T) {
	ctx := soon(t)
	dir := t.TempDir()
	cfg := Config{DataDir: dir, Kafka: true, Redis: true, Partitions: 3}
	s, err := Start(ctx, cfg)
	check(t, err)
	const topic = "orders"
	_, err = kadm.NewClient(client(t, s.KafkaBrokers)).CreateTopic(ctx, -1, -1, nil, topic)
	check(t, err)
	// Members that are simply gone must not hold up the group's next members.
	living, die := context.WithCancel(ctx)
	defer die()
	member := client(t, s.KafkaBrokers, kgo.WithContext(living), kgo.ConsumerGroup("raters"), kgo.ConsumeTopics(topic), kgo.SessionTimeout(time.Hour/12),
		kgo.ProducerBatchMaxBytes(maxMessageBytes))
	check(t, member.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: make([]byte, 5<<20)},
		&kgo.Record{Topic: topic, Value: []byte("b")}).FirstErr())
	if got := member.PollFetches(ctx); got.Err() != nil {
		t.Fatal(got.Err())
	}
	check(t, member.CommitUncommittedOffsets(ctx))
	check(t, s.Close(ctx))
	check(t, s.Close(ctx))
	// The broker comes back on the same port: a member that lived on would join
	// again and keep its share of the records.
	die()
	member.Close()

	again, err := Start(ctx, cfg)
	check(t, err)
	t.Cleanup(func() { check(t, again.Close(context.Background())) })
	c := client(t, again.KafkaBrokers, kgo.ConsumerGroup("raters"), kgo.ConsumeTopics(topic))
	check(t, c.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("c")}).FirstErr())
	var last string
	for last != "c" {
		fetches := c.PollFetches(ctx)
		check(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) { last = string(r.Value) })
	}
	details, err := kadm.NewClient(c).ListTopics(ctx, topic)
	check(t, err)
	if n := len(details[topic].Partitions); n != 3 {
		t.Errorf("%d partitions, want the default of 3", n)
	}
}

func TestCooperativeGroup(t *testing.T) {
	ctx := soon(t)
	s, err := Start(ctx, Config{DataDir: t.TempDir(), Kafka: true, Partitions: 4})
	check(t, err)
	t.Cleanup(func() { check(t, s.Close(context.Background())) })
	_, err = kadm.NewClient(client(t, s.KafkaBrokers)).CreateTopic(ctx, -1, -1, nil, "usage")
	check(t, err)
	type change struct {
		member  string
		gained  bool
		numbers []int32
	}
	changes := make(chan change, 100)
	join := func(name string) *kgo.Client {
		tell := func(gained bool) func(context.Context, *kgo.Client, map[string][]int32) {
			return func(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
				changes <- change{name, gained, parts["usage"]}
			}
		}
		c := client(t, s.KafkaBrokers, kgo.ConsumerGroup("raters"), kgo.ConsumeTopics("usage"),
			kgo.Balancers(kgo.CooperativeStickyBalancer()), kgo.HeartbeatInterval(100*time.Millisecond),
			kgo.OnPartitionsAssigned(tell(true)), kgo.OnPartitionsRevoked(tell(false)))
		go func() {
			for !c.PollFetches(ctx).IsClientClosed() && ctx.Err() == nil {
				c.AllowRebalance()
			}
		}()
		return c
	}
	owned := map[string]map[int32]bool{"one": {}, "two": {}}
	settle := func(one, two int) {
		t.Helper()
		for len(owned["one"]) != one || len(owned["two"]) != two {
			select {
			case c := <-changes:
				for _, p := range c.numbers {
					if c.gained {
						owned[c.member][p] = true
					} else {
						delete(owned[c.member], p)
					}
				}
			case <-ctx.Done():
				t.Fatalf("the group has not settled at %d and %d: %v", one, two, owned)
			}
		}
	}
	join("one")
	settle(4, 0)
	second := join("two")
	settle(2, 2)
	second.Close()
	settle(4, 0)
}

func TestRedisForgetsExpiredKeys(t *testing.T) {
	ctx := soon(t)
	s, err := Start(ctx, Config{DataDir: t.TempDir(), Redis: true})
	check(t, err)
	t.Cleanup(func() { check(t, s.Close(context.Background())) })
	opts, err := redis.ParseURL(s.RedisURL)
	check(t, err)
	r := redis.NewClient(opts)
	t.Cleanup(func() { _ = r.Close() })
	check(t, r.Set(ctx, "short", "1", time.Second).Err())
	check(t, r.Set(ctx, "long", "1", time.Hour).Err())
	for {
		n, err := r.Exists(ctx, "short").Result()
		check(t, err)
		if n == 0 {
			break
		}
	}
	if n, err := r.Exists(ctx, "long").Result(); err != nil || n != 1 {
		t.Errorf("the other key: %d, %v", n, err)
	}
}

func TestStartRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(file, nil, 0o600))
	unknown := t.TempDir()
	check(t, os.MkdirAll(filepath.Join(unknown, "postgres", "data"), 0o700))
	check(t, os.WriteFile(filepath.Join(unknown, "postgres", "data", "PG_VERSION"), []byte("9.1\n"), 0o600))
	for name, c := range map[string]struct {
		cfg  Config
		want string
	}{
		"no directory":            {Config{Kafka: true}, "no data directory"},
		"a file in its place":     {Config{DataDir: file}, "create the data directory"},
		"negative partitions":     {Config{DataDir: t.TempDir(), Partitions: -1}, "must not be negative"},
		"files of an old version": {Config{DataDir: unknown, Postgres: true}, "install postgresql-9.1"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Start(soon(t), c.cfg)
			if err == nil {
				check(t, s.Close(context.Background()))
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}
