// Package drive runs a real installation from outside: processes of the built program, the HTTP interface as a customer's program
// calls it, the test servers as an operator handles them, and a stream of usage whose bill is known. The end-to-end tests and the fault
// runs share it.
//
// It imports the oracle and clients of the stores, and nothing of what it drives. A question that fails is answered with an
// error; whether it is asked again is the caller's.
package drive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Build compiles the program.
func Build(path string) error {
	out, err := exec.Command("go", "build", "-o", path, "github.com/tollstream/tollstream/cmd/tollstream").CombinedOutput()
	if err != nil {
		return fmt.Errorf("build tollstream: %w\n%s", err, out)
	}
	return nil
}

// Environment is what a process sees: nothing of the caller's settings.
func Environment(extra ...string) []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir(), "TOLLSTREAM_CLOSE_EVERY=0"}
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		env = append(env, "XDG_CACHE_HOME="+dir)
	}
	return append(env, extra...)
}

// Process is a running tollstream.
type Process struct {
	Name string
	cmd  *exec.Cmd
	out  *output
	done chan struct{}
	code int
}

// output gathers what a process prints.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	also io.Writer // nil: nobody else
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.also != nil {
		if n, err := o.also.Write(b); err != nil {
			return n, err
		}
	}
	return o.text.Write(b)
}

// Start runs the program at path in dir; also, if not nil, is given what it prints.
func Start(name, path, dir string, also io.Writer, args ...string) (*Process, error) {
	p := &Process{Name: name, cmd: exec.Command(path, args...), out: &output{also: also}, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.Env = Environment()
	p.cmd.Dir = dir
	p.cmd.WaitDelay = 5 * time.Second // a child that keeps the pipe open
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait() // the code says it
		p.code = p.cmd.ProcessState.ExitCode()
		close(p.done)
	}()
	return p, nil
}

// Output is what the process has printed so far.
func (p *Process) Output() string {
	p.out.mu.Lock()
	defer p.out.mu.Unlock()
	return p.out.text.String()
}

// Said returns the rest of a line that the process has printed and that begins so. It fails for good when the process has ended.
func (p *Process) Said(prefix string) (rest string, err error) {
	for line := range strings.Lines(p.Output()) {
		if after, ok := strings.CutPrefix(line, prefix); ok && strings.HasSuffix(line, "\n") {
			return strings.TrimSpace(after), nil
		}
	}
	return "", p.missing(strconv.Quote(prefix))
}

// Ready tells whether a process that does not listen works.
func (p *Process) Ready() error {
	if strings.Contains(p.Output(), "msg=ready") {
		return nil
	}
	return p.missing("that it is ready")
}

// ErrEnded is answered for a process that has ended before it did what was asked.
var ErrEnded = errors.New("it has ended")

func (p *Process) missing(what string) error {
	select {
	case <-p.done:
		return fmt.Errorf("%s has not printed %s: %w with code %d:\n%s", p.Name, what, ErrEnded, p.code, p.Output())
	default:
		return fmt.Errorf("%s has not printed %s", p.Name, what)
	}
}

// Kill is kill -9; it returns when the process is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // gone already
	<-p.done
}

// Signal sends one; a process that has ended does not mind.
func (p *Process) Signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.done }

// Code is the exit code of a process that has ended.
func (p *Process) Code() int {
	<-p.done
	return p.code
}
