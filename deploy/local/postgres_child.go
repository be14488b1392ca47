package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// child is one run of the server.
type child struct {
	pid    int
	exited chan struct{} // closed when it has ended
	err    error         // how; to be read after exited
}

// command prepares one of PostgreSQL's programs: as the server's user, with the
// directory as descriptor 3, in a process group of its own so that Ctrl-C in a
// terminal reaches only this process, which then stops the server in order.
func (p *postgresServer) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.bin, name), args...)
	cmd.Dir = "/" // the present one may be closed to the server's user
	cmd.Env = []string{"PATH=" + p.bin + ":/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
	cmd.ExtraFiles = []*os.File{p.files}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: p.user}
	return cmd
}

// runTool runs a program to its end.
func (p *postgresServer) runTool(ctx context.Context, name string, args ...string) error {
	var out bytes.Buffer
	cmd := p.command(name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	ended := make(chan error, 1)
	go func() {
		// A parent-death signal follows the thread that started the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			ended <- err
			return
		}
		stop := context.AfterFunc(ctx, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		defer stop()
		ended <- cmd.Wait()
	}()
	if err := <-ended; err != nil {
		return errors.Join(fmt.Errorf("run %s: %w\n%s", cmd.Path, err, out.Bytes()), ctx.Err())
	}
	return nil
}

// spawn starts the server without waiting for it to be ready.
func (p *postgresServer) spawn() (*child, error) {
	out, err := p.openLog()
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }()
	settings := []string{
		"listen_addresses=127.0.0.1",
		"port=" + strconv.Itoa(p.port),
		"unix_socket_directories=",
		"fsync=on",
		"synchronous_commit=on",
		"full_page_writes=on",
		"password_encryption=scram-sha-256",
		"cluster_name=tollstream",
		"max_connections=100",
		"shared_buffers=128MB",
		"jit=off",
		"timezone=UTC",
		"log_timezone=UTC",
		"log_line_prefix=%m [%p] ",
		"logging_collector=off",
	}
	args := []string{"-D", inheritedDir + "/data"}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	cmd := p.command("postgres", args...)
	cmd.Stdout, cmd.Stderr = out, out
	// When this process is killed, the server shuts down in order.
	cmd.SysProcAttr.Pdeathsig = syscall.SIGINT

	c := &child{exited: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The signal follows the thread that started the child, not the
		// process: this thread stays until the child has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			c.pid = cmd.Process.Pid
		}
		started <- err
		if err == nil {
			c.err = cmd.Wait()
			close(c.exited)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return c, nil
}

// openLog opens the server's log for appending; one older log is kept.
func (p *postgresServer) openLog() (*os.File, error) {
	if info, err := os.Stat(p.logPath()); err == nil && info.Size() > maxLogBytes {
		if err := os.Rename(p.logPath(), p.logPath()+".1"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(p.logPath(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
}

// awaitReady returns when the server takes connections, as it notes itself in
// the eighth line of postmaster.pid.
func (c *child) awaitReady(ctx context.Context, dataDir string) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if lines := readPidFile(dataDir); len(lines) >= 8 && lines[0] == strconv.Itoa(c.pid) && lines[7] == "ready" {
			return nil
		}
		select {
		case <-tick.C:
		case <-c.exited:
			return fmt.Errorf("the server ended before it was ready: %w", ended(c.err))
		case <-ctx.Done():
			return fmt.Errorf("the server is not ready: %w", ctx.Err())
		}
	}
}

func ended(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// stop ends the server: in order while ctx allows it, at once after that.
func (c *child) stop(ctx context.Context) {
	select {
	case <-c.exited: // its number may be somebody else's by now
		return
	default:
	}
	_ = syscall.Kill(c.pid, syscall.SIGINT)
	select {
	case <-c.exited:
		return
	case <-ctx.Done():
	}
	_ = syscall.Kill(c.pid, syscall.SIGKILL)
	<-c.exited
}

// tail returns the end of a file for an error message.
func tail(path string, limit int64) []byte {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil
	}
	from := max(0, info.Size()-limit)
	text := make([]byte, info.Size()-from)
	n, _ := f.ReadAt(text, from)
	return text[:n]
}
