package main

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usedCPU is processor time: of this process, of each server, and of the whole machine.
type usedCPU struct {
	self    time.Duration
	servers map[string]time.Duration
	busy    time.Duration // all processors, everybody
}

// tick is the unit of /proc on Linux.
const tick = 10 * time.Millisecond

// cpu reads processor time. Servers are found by the process numbers that deploy/servers/servers leaves; where there is no
// /proc, or no such file, they are left out.
func (c *corner) cpu() usedCPU {
	u := usedCPU{self: selfCPU(), busy: busy(), servers: map[string]time.Duration{}}
	if c.state == "" {
		return u
	}
	files, _ := filepath.Glob(c.state + "/*.pid")
	sessions := map[string]string{}
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && len(b) > 0 {
			sessions[strings.Fields(string(b))[0]] = strings.TrimSuffix(filepath.Base(f), ".pid")
		}
	}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range stats {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // it has just ended
		}
		fields := statFields(b)
		// Every server leads a session of its own; the children of PostgreSQL lead others.
		name, ok := sessions[fields[3]]
		if !ok {
			name, ok = sessions[fields[1]]
		}
		if ok {
			u.servers[name] += usedTicks(fields)
		}
	}
	return u
}

// selfCPU is the processor time of this process.
func selfCPU() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// statFields are those of /proc/…/stat behind the program's name.
func statFields(stat []byte) []string {
	return strings.Fields(string(stat)[strings.LastIndexByte(string(stat), ')')+1:])
}

func usedTicks(fields []string) time.Duration { return ticks(fields[11]) + ticks(fields[12]) }

// processCPU is the processor time of a process, 0 when it has ended.
func processCPU(pid int) time.Duration {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	return usedTicks(statFields(b))
}

// busy is what all processors have worked, from the first line of /proc/stat: user nice system idle iowait irq softirq steal.
func busy() (sum time.Duration) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	for i, f := range strings.Fields(line) {
		if i > 0 && i < 9 && i != 4 && i != 5 {
			sum += ticks(f)
		}
	}
	return sum
}

func ticks(text string) time.Duration {
	n, _ := strconv.ParseInt(text, 10, 64)
	return time.Duration(n) * tick
}

func (u usedCPU) minus(before usedCPU) usedCPU {
	out := usedCPU{self: u.self - before.self, busy: u.busy - before.busy, servers: map[string]time.Duration{}}
	for name, d := range u.servers {
		out.servers[name] = max(d-before.servers[name], 0)
	}
	return out
}

// others is the time of whoever else works on this machine.
func (u usedCPU) others() time.Duration {
	rest := u.busy - u.self
	for _, d := range u.servers {
		rest -= d
	}
	return max(rest, 0)
}

// awaitCalm waits until everybody together uses little of the machine, but no longer than the patience.
func awaitCalm(ctx context.Context, patience time.Duration) error {
	const look = 250 * time.Millisecond
	for end := time.Now().Add(patience); time.Now().Before(end); {
		before := busy()
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return ctx.Err()
		}
		if (busy() - before).Seconds() < calmShare*look.Seconds()*float64(runtime.NumCPU()) {
			return nil
		}
	}
	return nil
}
