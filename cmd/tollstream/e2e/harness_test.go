package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait: long enough for a busy machine, short enough to name what never came.
const patience = 90 * time.Second

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
	out, err := exec.Command("go", "build", "-o", path, "github.com/tollstream/tollstream/cmd/tollstream").CombinedOutput()
	if err != nil {
		_ = os.RemoveAll(dir)
		return "", fmt.Errorf("build tollstream: %w\n%s", err, out)
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

// freeAddress finds a port below those that outgoing connections take, so that it is still free after a restart.
func freeAddress(t testing.TB) string {
	t.Helper()
	for range 200 {
		address := "127.0.0.1:" + strconv.Itoa(10_000+rand.IntN(5000))
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		_ = l.Close()
		return address
	}
	t.Fatal("no free port")
	return ""
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
	t    testing.TB
	name string
	cmd  *exec.Cmd
	out  *output
	done chan struct{}
	code int
}

// output gathers what a process prints.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// environment is what a process sees: nothing of the caller's settings.
func environment(extra ...string) []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir(), "TOLLSTREAM_CLOSE_EVERY=0"}
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		env = append(env, "XDG_CACHE_HOME="+dir)
	}
	return append(env, extra...)
}

// start runs the program in the background; it is killed when the test ends.
func start(t testing.TB, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, cmd: exec.Command(program(t), args...), out: new(output), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.Env = environment()
	p.cmd.Dir = t.TempDir()
	p.cmd.WaitDelay = 5 * time.Second // a child that keeps the pipe open
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		_ = p.cmd.Wait() // the code says it
		p.code = p.cmd.ProcessState.ExitCode()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("what %s printed:\n%s", name, lastLines(p.out.String(), 60))
		}
	})
	return p
}

func lastLines(text string, n int) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// says waits until the process has printed a line that begins so, and returns the rest of the line.
func (p *process) says(prefix string) string {
	p.t.Helper()
	var rest string
	eventually(p.t, p.name+" prints "+strconv.Quote(prefix), func() error {
		for line := range strings.Lines(p.out.String()) {
			if after, ok := strings.CutPrefix(line, prefix); ok && strings.HasSuffix(line, "\n") {
				rest = strings.TrimSpace(after)
				return nil
			}
		}
		select {
		case <-p.done:
			p.t.Fatalf("%s ended with code %d before it printed %q:\n%s", p.name, p.code, prefix, p.out)
		default:
		}
		return errors.New("it has not")
	})
	return rest
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // gone already
	<-p.done
}

// signal sends one; a process that has ended does not mind.
func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// stop is SIGTERM; it returns the exit code.
func (p *process) stop() int {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	return p.wait()
}

func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("%s did not end within %s:\n%s", p.name, patience, p.out)
	}
	return p.code
}

// command runs the program to its end beside a server.
func (c *caller) command(t testing.TB, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(t), args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	cmd.Env = environment("TOLLSTREAM_HTTP_ADDR="+c.address, "TOLLSTREAM_API_KEY="+c.key)
	cmd.Dir = t.TempDir()
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("run tollstream %s: %v", strings.Join(args, " "), err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
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

// caller is an outside user with a key.
type caller struct {
	address, key string
}

var web = &http.Client{
	Timeout:   60 * time.Second,
	Transport: &http.Transport{MaxIdleConnsPerHost: 16, DisableCompression: true},
}

// reply is what came back.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// do makes one request; header holds pairs of names and values.
func (c *caller) do(method, path string, body io.Reader, header ...string) (*reply, error) {
	r, err := http.NewRequest(method, "http://"+c.address+path, body) //nolint:noctx // the client has a timeout
	if err != nil {
		return nil, err
	}
	if c.key != "" {
		r.Header.Set("Authorization", "Bearer "+c.key)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := web.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	return &reply{res.StatusCode, res.Header, text}, nil
}

// get reads a JSON document.
func (c *caller) get(path string, query url.Values, into any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return c.call(http.MethodGet, path, nil, into)
}

// call sends a JSON document and reads one.
func (c *caller) call(method, path string, send, into any) error {
	var body io.Reader
	if send != nil {
		text, err := json.Marshal(send)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	res, err := c.do(method, path, body, "Content-Type", "application/json")
	if err != nil {
		return err
	}
	if res.status >= 300 {
		return fmt.Errorf("%s %s: %d %s", method, path, res.status, res.body)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(res.body, into)
}

// apply puts a catalogue document and returns when usage is priced under it.
func (c *caller) apply(t testing.TB, document any) {
	t.Helper()
	if err := c.call(http.MethodPut, "/v1/catalog", document, nil); err != nil {
		t.Fatalf("apply the catalogue: %v", err)
	}
}

// embedded starts a server with all stores of its own and returns it with its admin.
func embedded(t testing.TB) (*process, *caller, string) {
	t.Helper()
	dir, address := filepath.Join(t.TempDir(), "data"), freeAddress(t)
	p := start(t, "the server", "run", "--data-dir", dir, "--http-addr", address)
	key := p.says("admin key: ")
	p.says("listening on ")
	return p, &caller{address, key}, dir
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
