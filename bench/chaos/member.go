package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/tollstream/tollstream/cmd/tollstream/e2e/drive"
)

// startAgainAfter is how long a process that gave up stays away, as a supervisor would have it.
const startAgainAfter = 500 * time.Millisecond

// member is a process that is started again whenever it ends, unless it is held down.
type member struct {
	name, binary, dir string
	args              []string
	log               *os.File
	over              sync.WaitGroup

	mu     sync.Mutex
	p      *drive.Process
	up     chan struct{} // closed: it may run
	ended  bool
	exits  int
	panics string // what it printed when it panicked
}

// keepRunning starts the process and sees to it that it runs.
func keepRunning(name, binary, dir string, args []string) (*member, error) {
	log, err := os.OpenFile(filepath.Join(dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", name, err)
	}
	m := &member{name: name, binary: binary, dir: dir, args: args, log: log, up: make(chan struct{})}
	close(m.up)
	if err := m.start(); err != nil {
		return nil, err
	}
	m.over.Go(m.watch)
	return m, nil
}

// start runs the process, unless it is over.
func (m *member) start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended {
		return nil
	}
	fmt.Fprintf(m.log, "---- started at %s\n", time.Now().UTC().Format(time.RFC3339Nano))
	p, err := drive.Start(m.name, m.binary, m.dir, m.log, m.args...)
	if err == nil {
		m.p = p
	}
	return err
}

func (m *member) watch() {
	for {
		p := m.process()
		<-p.Ended()
		m.mu.Lock()
		up, over := m.up, m.ended
		select {
		case <-up:
			if !over {
				m.exits++
			}
		default: // held down
		}
		if text := p.Output(); strings.Contains(text, "\npanic: ") || strings.Contains(text, "\nfatal error: ") {
			m.panics = text[max(0, len(text)-4000):]
		}
		m.mu.Unlock()
		if over {
			return
		}
		select {
		case <-up:
			<-time.After(startAgainAfter)
		default:
			<-up
		}
		if err := m.start(); err != nil {
			fmt.Fprintln(m.log, "----", err)
		}
	}
}

func (m *member) process() *drive.Process {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.p
}

// holdDown kills the process with kill -9 and keeps it from being started.
func (m *member) holdDown() {
	m.mu.Lock()
	m.up = make(chan struct{})
	p := m.p
	m.mu.Unlock()
	p.Kill()
}

// letGo lets it be started again.
func (m *member) letGo() {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.up)
}

func (m *member) gaveUp() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.exits
}

func (m *member) panicked() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.panics == "" {
		return nil
	}
	return fmt.Errorf("%s panicked:\n%s", m.name, m.panics)
}

// end kills the process for good.
func (m *member) end() {
	m.mu.Lock()
	m.ended = true
	select {
	case <-m.up:
	default:
		close(m.up)
	}
	p := m.p
	m.mu.Unlock()
	p.Kill()
	m.over.Wait()
	_ = m.log.Close() // everything was written
}
