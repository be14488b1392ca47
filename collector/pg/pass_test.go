package pg_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tollstream/tollstream/collector"
	"github.com/tollstream/tollstream/collector/pg"
	"github.com/tollstream/tollstream/collector/source"
)

// errDead is what a process that was killed is answered; nothing of it reaches anybody.
var errDead = fmt.Errorf("the process is dead: %w", context.Canceled)

// mortal stands between a worker and everything outside of it. At its step-th call it dies, before that
// call is done or behind it; or it sleeps, until others have done its work.
type mortal struct {
	*world
	step   int64
	before bool
	asleep func() // instead of dying; never in a move or removal itself, which no place can fence
	kill   context.CancelFunc
	calls  atomic.Int64
	dead   atomic.Bool
}

func (m *mortal) do(call func() error) error {
	if m.dead.Load() {
		return errDead
	}
	n := m.calls.Add(1)
	if n != m.step {
		return call()
	}
	if m.asleep != nil {
		m.asleep()
		return call()
	}
	var err error
	if !m.before {
		err = call()
	}
	m.dead.Store(true)
	m.kill()
	return errors.Join(errDead, err)
}

func (m *mortal) Take(ctx context.Context, name, owner string, now time.Time, ttl time.Duration) (l collector.Lease, ok bool, err error) {
	err = m.do(func() error { l, ok, err = m.store.Take(ctx, name, owner, now, ttl); return err })
	return l, ok, err
}

func (m *mortal) Hold(ctx context.Context, l collector.Lease, ttl time.Duration) (paused bool, err error) {
	err = m.do(func() error { paused, err = m.store.Hold(ctx, l, ttl); return err })
	return paused, err
}

func (m *mortal) Give(ctx context.Context, l collector.Lease, version int, due time.Time) error {
	return m.do(func() error { return m.store.Give(ctx, l, version, due) })
}

func (m *mortal) BeginPass(ctx context.Context, l collector.Lease, p collector.Pass) (id int64, err error) {
	err = m.do(func() error { id, err = m.store.BeginPass(ctx, l, p); return err })
	return id, err
}

func (m *mortal) SavePass(ctx context.Context, l collector.Lease, p collector.Pass) error {
	return m.do(func() error { return m.store.SavePass(ctx, l, p) })
}

func (m *mortal) Seen(ctx context.Context, name string, paths []string) (s []collector.Seen, err error) {
	err = m.do(func() error { s, err = m.store.Seen(ctx, name, paths); return err })
	return s, err
}

func (m *mortal) Afterwards(ctx context.Context, name string) (s []collector.Seen, err error) {
	err = m.do(func() error { s, err = m.store.Afterwards(ctx, name); return err })
	return s, err
}

func (m *mortal) PutSeen(ctx context.Context, l collector.Lease, put []collector.Seen, forget []string) error {
	return m.do(func() error { return m.store.PutSeen(ctx, l, put, forget) })
}

func (m *mortal) BeginRun(ctx context.Context, b collector.Begin) (begun collector.Begun, err error) {
	err = m.do(func() error { begun, err = m.store.BeginRun(ctx, b); return err })
	return begun, err
}

func (m *mortal) SaveRun(ctx context.Context, s collector.Save) error {
	return m.do(func() error { return m.store.SaveRun(ctx, s) })
}

// mortalPlace is a folder whose every use is a step. It has no file of its own to give, so files are fetched.
type mortalPlace struct {
	m *mortal
	f *source.Folder
}

func (p *mortalPlace) List(ctx context.Context, deep bool, visit func(source.Entry) error) error {
	return p.m.do(func() error { return p.f.List(ctx, deep, visit) })
}

func (p *mortalPlace) Stat(ctx context.Context, path string) (e source.Entry, err error) {
	err = p.m.do(func() error { e, err = p.f.Stat(ctx, path); return err })
	return e, err
}

func (p *mortalPlace) Open(ctx context.Context, path string, offset int64) (r io.ReadCloser, err error) {
	err = p.m.do(func() error { r, err = p.f.Open(ctx, path, offset); return err })
	return r, err
}

func (p *mortalPlace) Remove(ctx context.Context, path string) error {
	if p.m.asleep != nil {
		return p.f.Remove(ctx, path)
	}
	return p.m.do(func() error { return p.f.Remove(ctx, path) })
}

func (p *mortalPlace) Move(ctx context.Context, from, to string) error {
	if p.m.asleep != nil {
		return p.f.Move(ctx, from, to)
	}
	return p.m.do(func() error { return p.f.Move(ctx, from, to) })
}

func (p *mortalPlace) Close() error { return p.f.Close() }

// worker is a process with the role collector; step 0 never dies.
func (w *world) worker(owner string, m *mortal, c ...collector.Configured) *collector.Worker {
	w.t.Helper()
	m.world = w
	return &collector.Worker{
		PassDeps: collector.PassDeps{
			RunDeps: collector.RunDeps{
				Intake: w.intake, Store: m, Now: w.now, Log: slog.New(slog.DiscardHandler), Metrics: w.metrics,
				Backoff: func(int) time.Duration { return time.Millisecond },
			},
			Leases: m, Passes: m, Seen: m, Spool: w.t.TempDir(),
			Open: func(_ context.Context, s *collector.SourceConfig) (source.Place, error) {
				f, err := source.OpenFolder(s.Path)
				return &mortalPlace{m, f}, err
			},
		},
		Owner: owner, TTL: time.Hour,
		Collectors: func(context.Context) ([]collector.Configured, error) { return c, nil },
		Plan:       w.store.Plan,
	}
}

// configured is a collector of a folder with these files.
func (w *world) configured(name, sourceMembers, more string, files map[string]string) (collector.Configured, string) {
	w.t.Helper()
	dir := filepath.Join(w.t.TempDir(), name)
	for path, text := range files {
		full := filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o700), os.WriteFile(full, []byte(text), 0o600)); err != nil {
			w.t.Fatal(err)
		}
	}
	document := fmt.Sprintf("source: {type: folder, path: %q, %s}\nschedule: {every: 5m}\n%s%s", dir, sourceMembers, more, callsConfig)
	config, err := collector.ParseConfig([]byte(document))
	if err != nil {
		w.t.Fatal(err)
	}
	return collector.Configured{Name: name, Version: 1, Config: config}, dir
}

// rows is a file of n rows; what is called differently has other content.
func rows(name string, n int) string {
	var b strings.Builder
	b.WriteString("caller,seconds,at\n")
	for i := range n {
		fmt.Fprintf(&b, "%s,%d,2026-11-21T10:00:00Z\n", name, i)
	}
	return b.String()
}

// look makes the passes that are due.
func look(t *testing.T, ctx context.Context, w *collector.Worker) {
	t.Helper()
	if err := w.Look(ctx); err != nil && !errors.Is(err, errDead) {
		t.Error(err)
	}
	w.Wait()
}

func (w *world) lastPass(name string) collector.Pass {
	w.t.Helper()
	page, _, err := w.store.Passes(w.t.Context(), name, "", 1)
	if err != nil || len(page) != 1 {
		w.t.Fatalf("%v, %d passes", err, len(page))
	}
	return page[0]
}

// leaseOver lets the time of a lease pass.
func (w *world) leaseOver(name string) {
	w.t.Helper()
	if _, err := w.pool.Exec(w.t.Context(), "UPDATE collector_state SET lease_until = '-infinity' WHERE name = $1", name); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) sources() map[string]int {
	w.t.Helper()
	_, events := w.log()
	count := map[string]int{}
	for _, e := range events {
		count[e.Source]++
	}
	return count
}

func filesIn(t *testing.T, dir string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			path, err = filepath.Rel(dir, path)
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

const moved = `pattern: "*.csv", done_file: .ok, after: {move: done}`

func twoFiles() map[string]string {
	return map[string]string{"a.csv": rows("a", 20), "a.csv.ok": "", "b.csv": rows("b", 30), "b.csv.ok": "", "c.csv": rows("c", 5)}
}

// TestKilledInEachStep kills a process at each call that leaves it, before the call or behind it; another takes over.
func TestKilledInEachStep(t *testing.T) {
	w := newWorld(t)
	w.clock.Store(1) // every look at the clock is a second later: each chunk is saved
	want := map[string]int{}
	for _, before := range []bool{true, false} {
		for step := int64(1); ; step++ {
			name := fmt.Sprintf("killed-%v-%d", before, step)
			c, dir := w.configured(name, moved, "", twoFiles())
			ctx, cancel := context.WithCancel(t.Context())
			first := &mortal{step: step, before: before, kill: cancel}
			look(t, ctx, w.worker("first", first, c))
			cancel()
			if !first.dead.Load() {
				if step < 20 {
					t.Fatalf("only %d steps", step)
				}
				break
			}
			w.leaseOver(name)
			look(t, t.Context(), w.worker("second", &mortal{}, c))
			want[name] = 50
			if got := filesIn(t, dir); !slices.Equal(got, []string{"c.csv", "done/a.csv", "done/b.csv"}) {
				t.Errorf("%s: %q are left: %+v", name, got, w.lastPass(name))
			}
			w.mustBeWhole(name, 50)
		}
	}
	got := w.sources()
	for name, n := range want {
		if got[name] != n {
			t.Errorf("%s: %d events, want %d", name, got[name], n)
		}
	}
}

// mustBeWhole checks a collector's history: each file was done once, in one run or several that add up, and nothing is open.
func (w *world) mustBeWhole(name string, rows int64) {
	w.t.Helper()
	runs, _, err := w.store.Runs(w.t.Context(), name, "", 100)
	if err != nil {
		w.t.Fatal(err)
	}
	done, sent := 0, int64(0)
	for i := range runs {
		sent += runs[i].Sent
		switch {
		case runs[i].State == collector.RunDone:
			done++
		case runs[i].State != collector.RunInterrupted:
			w.t.Errorf("%s: run %+v", name, runs[i])
		}
	}
	var open, left int
	if err := w.pool.QueryRow(w.t.Context(), "SELECT (SELECT count(*) FROM collector_pass WHERE collector = $1 AND state = 'running') + "+
		"(SELECT count(*) FROM collector_state WHERE name = $1 AND owner <> ''), (SELECT count(*) FROM collector_seen WHERE collector = $1 AND state <> 'waiting')", name).Scan(&open, &left); err != nil {
		w.t.Fatal(err)
	}
	if done != 2 || sent < rows || open != 0 || left != 0 {
		w.t.Errorf("%s: %d files done with %d rows, %d passes and leases open, %d files remembered", name, done, sent, open, left)
	}
}

// TestSleepsThroughItsLease: at each call, a process sleeps until another has done the work, and then wants to go on.
func TestSleepsThroughItsLease(t *testing.T) {
	w := newWorld(t)
	w.clock.Store(1)
	want := map[string]int{}
	for step := int64(1); ; step++ {
		name := fmt.Sprintf("sleeps-%d", step)
		c, dir := w.configured(name, moved, "", twoFiles())
		slept := false
		m := &mortal{step: step}
		m.asleep = func() {
			slept = true
			w.leaseOver(name)
			look(t, t.Context(), w.worker("second", &mortal{}, c))
			// What comes meanwhile under the name of a file that is done is another file.
			if err := os.WriteFile(filepath.Join(dir, "a.csv"), []byte(rows("later", 7)), 0o600); err != nil {
				t.Error(err)
			}
		}
		look(t, t.Context(), w.worker("first", m, c))
		if !slept {
			break
		}
		if got := filesIn(t, dir); !slices.Equal(got, []string{"a.csv", "c.csv", "done/a.csv", "done/b.csv"}) {
			t.Errorf("%s: %q are left: %+v", name, got, w.lastPass(name))
		}
		want[name] = 50
	}
	got := w.sources()
	for name, n := range want {
		if got[name] != n {
			t.Errorf("%s: %d events, want %d", name, got[name], n)
		}
	}
	if len(want) < 20 {
		t.Errorf("only %d steps", len(want))
	}
}

// TestWhatAPassTakes: what is known, failed or changed, under one configuration and the next.
func TestWhatAPassTakes(t *testing.T) {
	w := newWorld(t)
	c, dir := w.configured("calls", `pattern: "*.csv", changed: refuse`, "",
		map[string]string{"a.csv": rows("a", 20), "b.csv": rows("b", 30), "copy.csv": rows("a", 20), "wrong.csv": "x,y\n1,2\n", "c.txt": ""})
	worker := w.worker("first", &mortal{}, c)
	pass := func() collector.Pass {
		t.Helper()
		look(t, t.Context(), worker)
		return w.lastPass("calls")
	}
	again := func() collector.Pass {
		t.Helper()
		if err := w.store.Want(t.Context(), "calls"); err != nil {
			t.Fatal(err)
		}
		return pass()
	}
	first := pass()
	if want := (collector.PassCounts{Found: 4, Taken: 3, Failed: 1}); first.PassCounts != want || first.Cause != collector.BySchedule || first.State != collector.RunFailed ||
		!strings.Contains(first.Message, `wrong.csv: `) || !strings.Contains(first.Message, `no column "caller"`) {
		t.Errorf("%+v", first)
	}
	if got := w.sources()["calls"]; got != 50 { // the copy is the same file
		t.Errorf("%d events", got)
	}
	if same := pass(); same.ID != first.ID {
		t.Errorf("a pass before it is due: %+v", same)
	}
	if _, err := w.pool.Exec(t.Context(), "UPDATE collector_state SET next_due = '2000-01-01'"); err != nil {
		t.Fatal(err)
	}
	if second := pass(); second.PassCounts != (collector.PassCounts{Found: 4, Known: 4}) || second.State != collector.RunDone {
		t.Errorf("nothing changed: %+v", second)
	}
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "a.csv"), []byte(rows("other", 7)), 0o600),
		os.WriteFile(filepath.Join(dir, "wrong.csv"), []byte(rows("right", 9)), 0o600)); err != nil {
		t.Fatal(err)
	}
	third := again()
	if want := (collector.PassCounts{Found: 4, Known: 2, Taken: 1, Failed: 1}); third.PassCounts != want || third.Cause != collector.ByHand ||
		!strings.Contains(third.Message, "a.csv: its content changed") {
		t.Errorf("a changed file is refused, one that was wrong is read again: %+v", third)
	}
	c.Version, c.Config.Source.RefuseChanged = 2, false
	worker = w.worker("first", &mortal{}, c)
	if fourth := pass(); fourth.PassCounts != (collector.PassCounts{Found: 4, Known: 3, Taken: 1}) {
		t.Errorf("taken as new: %+v", fourth)
	}
	if got := w.sources()["calls"]; got != 50+9+7 {
		t.Errorf("%d events", got)
	}
	runs, _, err := w.store.Runs(t.Context(), "calls", "", 100)
	if err != nil || runs[0].Pass != w.lastPass("calls").ID {
		t.Errorf("%v %+v", err, runs)
	}
}

// TestPausedAndWaiting: a paused collector makes no pass; a file that may grow waits for a second look.
func TestPausedAndWaiting(t *testing.T) {
	w := newWorld(t)
	w.clock.Store(60)
	c, _ := w.configured("calls", `pattern: "*.csv", stable: 1m`, "", map[string]string{"a.csv": rows("a", 20)})
	worker := w.worker("first", &mortal{}, c)
	if err := w.store.Pause(t.Context(), "calls", true); err != nil {
		t.Fatal(err)
	}
	look(t, t.Context(), worker)
	if page, _, err := w.store.Passes(t.Context(), "calls", "", 1); err != nil || len(page) != 0 {
		t.Fatalf("%v %+v", err, page)
	}
	if err := w.store.Want(t.Context(), "calls"); !errors.Is(err, pg.ErrPaused) {
		t.Errorf("%v", err)
	}
	if err := w.store.Pause(t.Context(), "calls", false); err != nil {
		t.Fatal(err)
	}
	look(t, t.Context(), worker)
	if p := w.lastPass("calls"); p.PassCounts != (collector.PassCounts{Found: 1, Waiting: 1}) {
		t.Errorf("first look: %+v", p)
	}
	look(t, t.Context(), worker) // due again when the file has been as it is for a minute
	if p := w.lastPass("calls"); p.PassCounts != (collector.PassCounts{Found: 1, Taken: 1}) {
		t.Errorf("second look: %+v", p)
	}
	state, err := w.store.State(t.Context(), "calls")
	if err != nil || state.Paused || state.Running || state.Rows != 20 || state.LastFile.IsZero() || state.NextDue.IsZero() {
		t.Errorf("%v %+v", err, state)
	}
}

// TestCopiesAtOnce: of files with the same content one is sent, however many are read at the same time.
func TestCopiesAtOnce(t *testing.T) {
	w := newWorld(t)
	w.clock.Store(300)
	c, _ := w.configured("calls", `pattern: "*.csv"`, "files_at_once: 3\n", map[string]string{"a.csv": rows("a", 20), "b.csv": rows("a", 20), "c.csv": rows("a", 20)})
	worker := w.worker("first", &mortal{}, c)
	for range 10 { // the clock makes each look due
		look(t, t.Context(), worker)
		if p := w.lastPass("calls"); p.Known == 3 {
			break
		}
	}
	if p := w.lastPass("calls"); p.PassCounts != (collector.PassCounts{Found: 3, Known: 3}) || p.State != collector.RunDone {
		t.Errorf("%+v", p)
	}
	if got := w.sources()["calls"]; got != 20 {
		t.Errorf("%d events", got)
	}
}
