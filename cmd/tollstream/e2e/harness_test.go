package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tollstream/tollstream/cmd/tollstream/e2e/drive"
	"github.com/tollstream/tollstream/deploy/freeport"
)

// patience bounds every wait: long enough for a busy machine, short enough to name what never came.
const patience = 3 * time.Minute

// binary builds the program, unless E2E_BINARY names one.
var binary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("E2E_BINARY"); path != "" {
		return path, nil
	}
	dir, err := os.MkdirTemp("", "tollstream-e2e-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "tollstream")
	if err := drive.Build(path); err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	stopServers()
	if !built {
		os.Exit(code)
	}
	if path, err := binary(); err == nil && os.Getenv("E2E_BINARY") == "" {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

var built bool

// program is the path of the binary, built once.
func program(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("end-to-end tests start real processes: run without -short")
	}
	built = true
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// seeded gives the test's random numbers; E2E_SEED repeats a run.
func seeded(t testing.TB) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("E2E_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("E2E_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("seed: E2E_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 7))
}

func freeAddress(t testing.TB) string {
	t.Helper()
	address, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// pause lets time pass between two questions, or before a fault; nothing is decided by it.
func pause(d time.Duration) { <-time.After(d) }

// eventually repeats a question until it is answered with nil.
func eventually(t testing.TB, what string, ask func() error) {
	t.Helper()
	began := time.Now()
	deadline := began.Add(patience)
	for {
		err := ask()
		if err == nil {
			if took := time.Since(began); took > 3*time.Second {
				t.Logf("%s: took %s", what, took.Round(time.Millisecond))
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not after %s: %v", what, patience, err)
		}
		pause(50 * time.Millisecond)
	}
}

// process is a running tollstream.
type process struct {
	*drive.Process
	t testing.TB
}

// start runs the program in the background; it is killed when the test ends.
func start(t testing.TB, name string, args ...string) *process {
	t.Helper()
	p, err := drive.Start(name, program(t), t.TempDir(), nil, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("what %s printed:\n%s", name, lastLines(p.Output(), 60))
		}
	})
	return &process{p, t}
}

func lastLines(text string, n int) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// says waits until the process has printed a line that begins so, and returns the rest of the line.
func (p *process) says(prefix string) (rest string) {
	p.t.Helper()
	p.eventually("prints "+strconv.Quote(prefix), func() (err error) {
		rest, err = p.Said(prefix)
		return err
	})
	return rest
}

// eventually is the question repeated as long as the process has not ended.
func (p *process) eventually(what string, ask func() error) {
	p.t.Helper()
	eventually(p.t, p.Name+" "+what, func() error {
		err := ask()
		if errors.Is(err, drive.ErrEnded) {
			p.t.Fatal(err)
		}
		return err
	})
}

// stop is SIGTERM; it returns the exit code.
func (p *process) stop() int {
	p.t.Helper()
	p.Signal(syscall.SIGTERM)
	return p.wait()
}

func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.Ended():
	case <-time.After(patience):
		p.t.Fatalf("%s did not end within %s:\n%s", p.Name, patience, p.Output())
	}
	return p.Code()
}

// caller is an outside user with a key.
type caller struct{ drive.Caller }

func newCaller(address, key string) *caller {
	return &caller{drive.Caller{Address: address, Key: key}}
}

// command runs the program to its end beside a server.
func (c *caller) command(t testing.TB, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	stdout, stderr, code, err := c.Run(ctx, program(t), t.TempDir(), stdin, args...)
	if err != nil {
		t.Fatal(err)
	}
	return stdout, stderr, code
}

// must runs a command that has to succeed and returns what it printed.
func (c *caller) must(t testing.TB, args ...string) string {
	t.Helper()
	out, errs, code := c.command(t, "", args...)
	if code != 0 {
		t.Fatalf("tollstream %s: exit code %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// apply puts a catalogue document and returns when usage is priced under it.
func (c *caller) apply(t testing.TB, document any) {
	t.Helper()
	res := c.answered(t, http.MethodPut, "/v1/catalog", encode(document), "Content-Type", "application/json")
	if res.Status >= 300 {
		t.Fatalf("apply the catalogue: %d %s", res.Status, res.Body)
	}
}

// answered makes a request that may be repeated, as long as the server asks for patience or the connection breaks: every client
// has to, and a machine that stands still for some seconds is reason enough.
func (c *caller) answered(t testing.TB, method, path string, body []byte, header ...string) (res *drive.Reply) {
	t.Helper()
	eventually(t, method+" "+path+" is answered", func() (err error) {
		res, err = c.Do(method, path, bytes.NewReader(body), header...)
		if err == nil && (res.Status == http.StatusTooManyRequests || res.Status == http.StatusServiceUnavailable) {
			err = fmt.Errorf("%w: %d %s", drive.ErrNotNow, res.Status, res.Body)
		}
		return err
	})
	return res
}

// embedded starts a server with all stores of its own and returns it with its admin.
func embedded(t testing.TB) (*process, *caller, string) {
	t.Helper()
	dir, address := filepath.Join(t.TempDir(), "data"), freeAddress(t)
	t.Cleanup(func() { // behind the server, which may be killed before its PostgreSQL, and before the directory goes
		for left := leftovers(dir); len(left) > 0; left = leftovers(dir) {
			for _, process := range left {
				if pid, err := strconv.Atoi(strings.Fields(process)[0]); err == nil {
					_ = syscall.Kill(pid, syscall.SIGKILL) // it may be gone already
				}
			}
			pause(10 * time.Millisecond)
		}
	})
	p := start(t, "the server", "run", "--data-dir", dir, "--http-addr", address)
	key := p.says("admin key: ")
	p.says("listening on ")
	return p, newCaller(address, key), dir
}

// leftovers lists processes that work in a data directory, PostgreSQL's above all.
func leftovers(dir string) (found []string) {
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, proc := range all {
		cwd, _ := os.Readlink(filepath.Join(proc, "cwd"))
		text, _ := os.ReadFile(filepath.Join(proc, "cmdline"))
		if strings.HasPrefix(cwd, dir) || bytes.Contains(text, []byte(dir)) {
			found = append(found, filepath.Base(proc)+" "+string(bytes.ReplaceAll(text, []byte{0}, []byte{' '})))
		}
	}
	return found
}
