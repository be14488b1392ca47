package local

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// orderlyWithin is what a left-over server gets for an orderly shutdown, and
	// promptlyWithin for one without a checkpoint. Neither can lose a commit. A
	// killed one is gone when a busy machine has got round to it.
	orderlyWithin  = 20 * time.Second
	promptlyWithin = 5 * time.Second
	killedWithin   = 20 * time.Second
)

// stopLeftover ends every process that works in the data directory and removes
// its postmaster.pid. The caller holds the lock on the directory, so what is
// found was started by a process that is gone. A server is known by its working
// directory, not by the number in postmaster.pid: after a reboot that number can
// be anybody's.
func stopLeftover(ctx context.Context, dataDir string, log *slog.Logger) error {
	steps := []struct {
		signal syscall.Signal
		within time.Duration
	}{
		{syscall.SIGINT, orderlyWithin},
		{syscall.SIGQUIT, promptlyWithin},
		{syscall.SIGKILL, killedWithin},
	}
	pids := workingIn(dataDir)
	for _, step := range steps {
		if len(pids) == 0 {
			break
		}
		log.Warn("stopping a left-over server", "pids", pids, "signal", step.signal.String())
		signalServer(dataDir, pids, step.signal)
		var err error
		if pids, err = awaitGone(ctx, dataDir, step.within); err != nil {
			return err
		}
	}
	if len(pids) != 0 {
		return fmt.Errorf("processes %v still work in %s although they were killed", pids, dataDir)
	}
	if err := os.Remove(filepath.Join(dataDir, "postmaster.pid")); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("remove the left-over postmaster.pid: %w", err)
	}
	return nil
}

// signalServer signals the postmaster, which tells its workers. Without one, or
// to kill, it signals all of them.
func signalServer(dataDir string, pids []int, signal syscall.Signal) {
	if lines := readPidFile(dataDir); len(lines) > 0 && signal != syscall.SIGKILL {
		for _, pid := range pids {
			if lines[0] == strconv.Itoa(pid) {
				_ = syscall.Kill(pid, signal)
				return
			}
		}
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, signal)
	}
}

// awaitGone waits until nothing works in the directory any more and returns what
// still does when the time is over.
func awaitGone(ctx context.Context, dataDir string, within time.Duration) ([]int, error) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	timeout := time.NewTimer(within)
	defer timeout.Stop()
	for {
		pids := workingIn(dataDir)
		if len(pids) == 0 {
			return nil, nil
		}
		select {
		case <-tick.C:
		case <-timeout.C:
			return pids, nil
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the left-over server %v: %w", pids, ctx.Err())
		}
	}
}

// workingIn lists the processes whose working directory is dir. PostgreSQL's
// processes all work in their data directory and nobody else has a reason to.
func workingIn(dir string) []int {
	want, err := os.Stat(dir)
	if err != nil {
		return nil
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		proc := filepath.Join("/proc", e.Name())
		if cwd, err := os.Stat(filepath.Join(proc, "cwd")); err != nil || !os.SameFile(cwd, want) {
			continue
		}
		// A shell that somebody opened in the directory is not ours to end.
		if name, err := os.ReadFile(filepath.Join(proc, "comm")); err == nil && strings.HasPrefix(string(name), "postgres") {
			pids = append(pids, pid)
		}
	}
	return pids
}

// readPidFile returns the trimmed lines of postmaster.pid, nil without one.
func readPidFile(dataDir string) []string {
	text, err := os.ReadFile(filepath.Join(dataDir, "postmaster.pid"))
	if err != nil {
		return nil
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return lines
}
