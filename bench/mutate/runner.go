package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// runner tries changes, and keeps in its directory what came of it.
type runner struct {
	settings
	mutants []mutant
	dir     string
	mu      sync.Mutex
	tried   map[string]string // by program and change, and by change: the test that noticed, "": none
	log     *os.File
	waiting int // changes that were not tried by everything
}

func (r *runner) open(dir string) error {
	r.dir, r.tried = dir, map[string]string{}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	path := filepath.Join(dir, "tried.txt")
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for line := range strings.Lines(string(text)) {
		key, test, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		r.tried[key] = test
	}
	r.log, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	return err
}

// keyOf is a change as it was tried by tests in the state in which they are: another program makes it another try.
func keyOf(of string, m *mutant) string { return of + " " + m.file + " " + m.change() }

func (r *runner) note(key, test string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tried[key] = test
	fmt.Fprintf(r.log, "%s\t%s\n", key, test)
}

func (r *runner) killed(m *mutant) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tried["killed "+m.file+" "+m.change()] != ""
}

// suite is the tests of a package, built with the changes.
type suite struct {
	name, binary, dir string
	tests             []string
	took              map[string]time.Duration
	meets             map[string][]byte // by test: what it comes by
}

// try has the tests of a package look at the changes that nothing has noticed yet, and says whether it came to the end.
func (r *runner) try(p *sourcePackage, name string, deadline time.Time) (bool, error) {
	s, err := r.build(p, name)
	if err != nil {
		return false, err
	}
	if done, err := r.meet(s, deadline); !done || err != nil {
		r.waiting = len(r.mutants)
		return false, err
	}
	sum, err := sumOf(s.binary)
	if err != nil {
		return false, err
	}
	work := make(chan *mutant)
	var wait sync.WaitGroup
	for range r.Workers {
		wait.Go(func() {
			for m := range work {
				if test := r.notice(s, m); test != "" {
					r.note("killed "+m.file+" "+m.change(), name+" "+test)
				} else {
					r.note(keyOf(sum, m), "")
				}
			}
		})
	}
	for i := range r.mutants {
		m := &r.mutants[i]
		r.mu.Lock()
		_, before := r.tried[keyOf(sum, m)]
		r.mu.Unlock()
		switch {
		case before || r.killed(m):
		case !deadline.IsZero() && time.Now().After(deadline):
			r.waiting++
		default:
			work <- m
		}
	}
	close(work)
	wait.Wait()
	return r.waiting == 0, nil
}

func sumOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return fmt.Sprintf("%x", h.Sum(nil)[:6]), err
}

func (r *runner) build(p *sourcePackage, name string) (*suite, error) {
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for _, path := range slices.Sorted(maps.Keys(p.changed)) {
		to := filepath.Join(r.dir, filepath.Base(path)+".txt")
		if err := os.WriteFile(to, []byte(p.changed[path]), 0o644); err != nil {
			return nil, err
		}
		overlay.Replace[path] = to
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(r.dir, "overlay.json")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return nil, err
	}
	listed, err := goList("{{.Dir}}", name)
	if err != nil {
		return nil, err
	}
	s := &suite{name: name, dir: listed[0], binary: filepath.Join(r.dir, strings.ReplaceAll(strings.Trim(name, "./"), "/", "-")+".test")}
	out, err := exec.Command("go", "test", "-c", "-vet=off", "-overlay", file, "-o", s.binary, name).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("build the tests of %s with the changes: %w\n%s", name, err, out)
	}
	if out, err = s.command(context.Background(), r.Args, "-test.list", ".").Output(); err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "Test") || strings.HasPrefix(line, "Fuzz") || strings.HasPrefix(line, "Example") {
			s.tests = append(s.tests, line)
		}
	}
	return s, nil
}

func (s *suite) command(ctx context.Context, args string, own ...string) *exec.Cmd {
	for _, a := range strings.Fields(args) {
		own = append(own, strings.Replace(a, "-short", "-test.short", 1))
	}
	c := exec.CommandContext(ctx, s.binary, own...)
	c.Dir = s.dir
	c.WaitDelay = time.Second
	return c
}

// meet finds out by which changes each test comes, and how long it takes.
func (r *runner) meet(s *suite, deadline time.Time) (bool, error) {
	s.took, s.meets = map[string]time.Duration{}, map[string][]byte{}
	sum, err := sumOf(s.binary)
	if err != nil {
		return false, err
	}
	dir := filepath.Join(r.dir, "met-"+sum)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return false, err
	}
	for _, test := range s.tests {
		if !deadline.IsZero() && time.Now().After(deadline) {
			return false, nil
		}
		met, took := filepath.Join(dir, test), filepath.Join(dir, test+".took")
		if _, err := os.Stat(took); err != nil {
			if err := os.WriteFile(met, make([]byte, len(r.mutants)+1), 0o644); err != nil {
				return false, err
			}
			c := s.command(context.Background(), r.Args, "-test.run", "^"+test+"$")
			c.Env = append(c.Environ(), "MUTANTS="+met)
			start := time.Now()
			if out, err := c.CombinedOutput(); err != nil {
				return false, fmt.Errorf("%s fails without a change: %w\n%s", test, err, out)
			}
			if err := os.WriteFile(took, []byte(time.Since(start).String()), 0o644); err != nil {
				return false, err
			}
		}
		var text []byte
		if text, err = os.ReadFile(took); err == nil {
			s.took[test], err = time.ParseDuration(string(text))
		}
		if err == nil {
			s.meets[test], err = os.ReadFile(met)
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

// notice runs the tests that come by the change, the quick ones first, and gives the one that fails.
func (r *runner) notice(s *suite, m *mutant) string {
	var tests []string
	for _, test := range s.tests {
		if s.meets[test][m.id] != 0 {
			tests = append(tests, test)
		}
	}
	slices.SortStableFunc(tests, func(a, b string) int { return int(s.took[a] - s.took[b]) })
	for len(tests) > 0 {
		n, sum := 0, time.Duration(0)
		for n < len(tests) && (n == 0 || sum+s.took[tests[n]] < time.Second) { // several in one process
			sum += s.took[tests[n]]
			n++
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second+10*sum)
		c := s.command(ctx, r.Args, "-test.failfast", "-test.run", "^("+strings.Join(tests[:n], "|")+")$")
		c.Env = append(c.Environ(), fmt.Sprintf("MUTANT=%d", m.id))
		out, err := c.CombinedOutput()
		cancel()
		if err != nil {
			return failing(out)
		}
		tests = tests[n:]
	}
	return ""
}

func failing(out []byte) string {
	for line := range strings.Lines(string(out)) {
		if _, test, ok := strings.Cut(line, "--- FAIL: "); ok {
			return strings.Fields(test)[0]
		}
	}
	return "(does not end)"
}

// readExcused reads the changes that alter nothing: a reason after "# ", then the changes that it is given for, each with its file.
func readExcused(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	excused, why := map[string]string{}, ""
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if reason, ok := strings.CutPrefix(line, "# "); ok {
			why = reason
		} else if line != "" {
			excused[line] = why
		}
	}
	return excused, nil
}

// report counts, and lists what nothing noticed.
func (r *runner) report(w io.Writer, excused map[string]string, part bool) error {
	killed, same := 0, 0
	var left []*mutant
	known := map[string]bool{}
	for i := range r.mutants {
		m := &r.mutants[i]
		key := m.file + " " + m.change()
		known[key] = true
		switch _, is := excused[key]; {
		case r.killed(m) && is:
			return fmt.Errorf("%s: a test notices %q, which is listed as nothing that one could", m.place(), m.change())
		case r.killed(m):
			killed++
		case is:
			same++
		default:
			left = append(left, m)
		}
	}
	for key := range excused {
		if !part && !known[key] {
			return fmt.Errorf("%q is listed as nothing that one could notice, and is no change any more", key)
		}
	}
	for _, m := range left {
		fmt.Fprintf(w, "%s\t%s\n", m.place(), m.change())
	}
	if r.waiting > 0 {
		_, err := fmt.Fprintf(w, "%d are still to be tried\n", r.waiting)
		return err
	}
	of := len(r.mutants) - same
	fmt.Fprintf(w, "%d changes, %d killed (%.1f%%), %d change nothing; %.1f%% of those that change anything\n",
		len(r.mutants), killed, 100*float64(killed)/float64(len(r.mutants)), same, 100*float64(killed)/float64(of))
	return nil
}
