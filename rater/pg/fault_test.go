package pg_test

import (
	"bytes"
	"context"
	"net"
	"reflect"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tollstream/tollstream/deploy/schema"
	"github.com/tollstream/tollstream/deploy/teststores"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/pg"
)

// waiting waits until a backend of the database waits for a lock, and returns its process id.
func waiting(t *testing.T, pool *pgxpool.Pool) (pid int) {
	t.Helper()
	for {
		err := pool.QueryRow(t.Context(), "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&pid)
		if err == nil {
			return pid
		}
		if err != pgx.ErrNoRows {
			t.Fatal(err)
		}
	}
}

// A backend that dies in the middle of the commit leaves the outcome unknown, and nothing behind.
func TestKilledInTheMiddle(t *testing.T) {
	s, pool := open(t)
	ctx := t.Context()
	_, f := acquire(t, s, 0, alice)
	commit(t, s, rater.OutcomeCommitted, cut(f, 10, lineState(1, 0)))
	f.Next = 10
	// The commit moves the checkpoint, then waits for a lock on its line.
	blocker, err := pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := blocker.Exec(ctx, "SELECT FROM line FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	changed := lineState(1, 0)
	changed.Version = 500
	result := make(chan []rater.Outcome)
	go func() { result <- outcomes(ctx, s, []*rater.Cut{cut(f, 20, changed, lineState(2, 0))}) }()
	if _, err := pool.Exec(ctx, "SELECT pg_terminate_backend($1)", waiting(t, pool)); err != nil {
		t.Fatal(err)
	}
	if got := <-result; !reflect.DeepEqual(got, []rater.Outcome{rater.OutcomeUnknown}) {
		t.Errorf("outcomes %v, want unknown", got)
	}
	if err := blocker.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	if _, owner, next, err := s.Position(ctx, 0); err != nil || owner != alice || next != 10 {
		t.Errorf("the row says %v %d, %v", owner, next, err)
	}
	lines, err := s.Lines(ctx, f, []activity.ID{id(1), id(2)})
	if err != nil || len(lines) != 1 || lines[0].Version != 2 {
		t.Errorf("lines %+v, %v", lines, err)
	}
	commit(t, s, rater.OutcomeCommitted, cut(f, 20, changed))
}

// cutter is a proxy that drops the server's answers once told to, so that a commit arrives and its answer does not.
type cutter struct {
	mu   sync.Mutex
	deaf bool
}

func (c *cutter) serve(t *testing.T, server string) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			upstream, err := net.Dial("tcp", server)
			if err != nil {
				_ = client.Close()
				return
			}
			go c.copy(upstream, client, nil)
			go c.copy(client, upstream, func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.deaf })
		}
	}()
	return listener.Addr().String()
}

func (c *cutter) copy(to, from net.Conn, drop func() bool) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && drop != nil && drop() && bytes.Contains(buffer[:n], []byte("COMMIT\x00")) {
			_ = to.Close()
			_ = from.Close()
			return
		}
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				_ = from.Close()
				return
			}
		}
		if err != nil {
			_ = to.Close()
			return
		}
	}
}

// When only the answer is lost the commit stands: the row tells, and to send the cut again is refused.
func TestLostAnswer(t *testing.T) {
	url := teststores.Postgres(t)
	ctx := t.Context()
	if err := schema.Migrate(ctx, url); err != nil {
		t.Fatal(err)
	}
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &cutter{}
	through := proxy.serve(t, net.JoinHostPort(config.ConnConfig.Host, strconv.Itoa(int(config.ConnConfig.Port))))
	config.ConnConfig.DialFunc = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, through)
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	s := pg.New(pool, window)
	_, f := acquire(t, s, 0, alice)

	proxy.mu.Lock()
	proxy.deaf = true
	proxy.mu.Unlock()
	bounded, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if got := outcomes(bounded, s, []*rater.Cut{cut(f, 10, lineState(1, 0))}); !reflect.DeepEqual(got, []rater.Outcome{rater.OutcomeUnknown}) {
		t.Errorf("outcomes %v, want unknown", got)
	}
	proxy.mu.Lock()
	proxy.deaf = false
	proxy.mu.Unlock()
	epoch, owner, next, err := s.Position(ctx, 0)
	if err != nil || epoch != f.Epoch || owner != alice || next != 10 {
		t.Fatalf("the row says %d %v %d, %v", epoch, owner, next, err)
	}
	commit(t, s, rater.OutcomeFenced, cut(f, 10, lineState(1, 0)))
	f.Next = 10
	if lines, err := s.Lines(ctx, f, []activity.ID{id(1)}); err != nil || len(lines) != 1 {
		t.Errorf("lines %v, %v", lines, err)
	}
}

// A commit that arrives late, after the rater gave it up and sent the cut again: exactly one of the two counts.
func TestLateCommit(t *testing.T) {
	s, pool := open(t)
	ctx := t.Context()
	_, f := acquire(t, s, 0, alice)
	commit(t, s, rater.OutcomeCommitted, cut(f, 10, lineState(1, 0)))
	f.Next = 10
	blocker, err := pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := blocker.Exec(ctx, "SELECT FROM line FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	late := make(chan []rater.Outcome)
	go func() { late <- outcomes(ctx, s, []*rater.Cut{cut(f, 20, lineState(1, 0), lineState(2, 0))}) }()
	waiting(t, pool)
	if _, _, next, err := s.Position(ctx, 0); err != nil || next != 10 {
		t.Fatalf("the row says %d, %v", next, err)
	}
	again := make(chan []rater.Outcome)
	go func() { again <- outcomes(ctx, s, []*rater.Cut{cut(f, 20, lineState(1, 0), lineState(3, 0))}) }()
	for n := 0; n < 2; { // until both wait, the second for the checkpoint row
		if err := pool.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&n); err != nil {
			t.Fatal(err)
		}
	}
	if err := blocker.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	if got := <-late; !reflect.DeepEqual(got, []rater.Outcome{rater.OutcomeCommitted}) {
		t.Errorf("the late commit: %v", got)
	}
	if got := <-again; !reflect.DeepEqual(got, []rater.Outcome{rater.OutcomeFenced}) {
		t.Errorf("the repeated commit: %v", got)
	}
	f.Next = 20
	lines, err := s.Lines(ctx, f, []activity.ID{id(2), id(3)})
	if err != nil || len(lines) != 1 || lines[0].Family != id(2) {
		t.Errorf("lines %+v, %v", lines, err)
	}
}

// Two raters that commit the same partitions in another order never wait for each other for ever.
func TestNoDeadlock(t *testing.T) {
	s, _ := open(t)
	ctx := t.Context()
	fences := make([]rater.Fence, 8)
	for i := range fences {
		_, fences[i] = acquire(t, s, int32(i), alice)
	}
	var wait sync.WaitGroup
	results := make([][]rater.Outcome, 4)
	for g := range results {
		wait.Go(func() {
			cuts := make([]*rater.Cut, len(fences))
			for i := range cuts {
				at := (i*3 + g*5) % len(fences)
				cuts[i] = cut(fences[at], 10, lineState(at, 0), lineState(at+20, 0))
			}
			results[g] = outcomes(ctx, s, cuts)
		})
	}
	wait.Wait()
	n := map[rater.Outcome]int{}
	for _, outcomes := range results {
		for _, o := range outcomes {
			n[o]++
		}
	}
	if n[rater.OutcomeCommitted] != len(fences) || n[rater.OutcomeFenced] != 3*len(fences) {
		t.Errorf("outcomes %v", n)
	}
}

// outcomes commits without asking why an outcome is unknown.
func outcomes(ctx context.Context, s *pg.Store, cuts []*rater.Cut) []rater.Outcome {
	out, _ := s.Commit(ctx, cuts)
	return out
}

// A rater that is stopped in the middle of a commit, SIGSTOP or a frozen machine, keeps its connection and its locks: the next
// owner must get the partition all the same.
func TestAcquireFromAStoppedCommit(t *testing.T) {
	url := teststores.Postgres(t)
	if err := schema.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	pg.Configure(config)
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	s := pg.New(pool, 35*24*time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if _, err := s.Acquire(ctx, 7, rater.Owner{1}); err != nil {
		t.Fatal(err)
	}
	stopped, err := pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stopped.Exec(ctx, "UPDATE rater_checkpoint SET log_time = 1 WHERE partition = 7"); err != nil {
		t.Fatal(err)
	}
	next, err := s.Acquire(ctx, 7, rater.Owner{2})
	if err != nil || next.Epoch != 2 {
		t.Fatalf("the next owner: epoch %d, %v", next.Epoch, err)
	}
	if err := stopped.Commit(ctx); err == nil {
		t.Error("the stopped commit went through after its successor had the partition")
	}
}
