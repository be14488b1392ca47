package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/ledger/money"
)

// scriptedBacktests answers with one backtest, which runs for some questions.
type scriptedBacktests struct {
	mu      sync.Mutex
	asked   api.BacktestQuery
	startAs error
	running int // questions until it is over
	end     api.Backtest
	rows    []api.BacktestRow
	stopped bool
	looked  chan struct{} // told of every question, nil: nobody
}

func (s *scriptedBacktests) StartBacktest(_ context.Context, q api.BacktestQuery) (*api.Backtest, error) {
	if s.asked = q; s.startAs != nil {
		return nil, s.startAs
	}
	return &api.Backtest{ID: "b/1", State: api.BacktestRunning}, nil
}

func (s *scriptedBacktests) Backtests(context.Context) ([]api.Backtest, error) { return nil, nil }

func (s *scriptedBacktests) Backtest(_ context.Context, id string) (*api.Backtest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.looked != nil {
		select {
		case s.looked <- struct{}{}:
		default:
		}
	}
	if id != "b/1" {
		return nil, api.ErrNotFound
	}
	if s.running--; s.running >= 0 {
		return &api.Backtest{ID: id, State: api.BacktestRunning, Activities: 1000, Total: 4000}, nil
	}
	out := s.end
	out.ID = id
	return &out, nil
}

func (s *scriptedBacktests) StopBacktest(_ context.Context, id string) (*api.Backtest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	return &api.Backtest{ID: id, State: api.BacktestStopped}, nil
}

func (s *scriptedBacktests) BacktestRows(_ context.Context, _, cursor string, limit int) (rows []api.BacktestRow, next string, err error) {
	from, _ := strconv.Atoi(cursor)
	to := min(len(s.rows), from+limit)
	if to < len(s.rows) {
		next = strconv.Itoa(to)
	}
	return s.rows[from:to], next, nil
}

func comparedRow(account, product, before, after, percent string, unrated int64) api.BacktestRow {
	fixed := func(text string) money.Fixed { return money.Fixed{Decimal: money.MustParse(text)} }
	r := api.BacktestRow{Account: account, Product: product, Currency: "USD", Events: 2, Before: fixed(before), After: fixed(after), Unrated: unrated}
	difference, err := r.After.Sub(r.Before.Decimal)
	if err != nil {
		panic(err)
	}
	r.Difference = money.Fixed{Decimal: difference}
	if percent != "" {
		p := money.MustParse(percent)
		r.Percent = &p
	}
	return r
}

func newScripted(w *world) *scriptedBacktests {
	beta := comparedRow("beta", "calls", "12.5", "9", "-28", 0)
	w.backtests = scriptedBacktests{
		running: 1, rows: []api.BacktestRow{comparedRow("acme", "calls", "8", "8", "0", 0), beta, comparedRow("gamma", "storage", "0", "0", "", 2)},
		end: api.Backtest{State: api.BacktestDone, Activities: 4000, Total: 4000, Result: &api.BacktestResult{
			Accounts: 3, Rows: 3, Notes: []string{"Usage only."}, Totals: []api.BacktestRow{comparedRow("", "", "20.5", "17", "-17.07", 2)},
			Products: []api.BacktestRow{comparedRow("", "calls", "20.5", "17", "-17.07", 0)}, Largest: []api.BacktestRow{beta},
			Unrated: []api.BacktestUnrated{{Reason: "no_rate", Product: "storage", Currency: "USD", Events: 2}},
		}},
	}
	return &w.backtests
}

func TestBacktestCommand(t *testing.T) {
	w := newWorld(t)
	s := newScripted(w)
	file := write(t, "draft.yaml", "products: []")
	args := []string{"backtest", "--catalog", file, "--from", "2026-10-01", "--to", "2026-11-01"}
	code, out, _ := w.tollstream(t, "", append(args, "--account", "acme", "--time-zone", "Europe/Berlin")...)
	check(t, "backtest", code, 0, out,
		"acme     calls    2       8.000000000000 USD   8.000000000000  0.000000000000   0%       0\n", "12.500000000000 USD  9.000000000000  -3.500000000000  -28%",
		"gamma    storage  2       0.000000000000 USD   0.000000000000  0.000000000000   –        2\n", "\nby product\n", "\nlargest changes\n", "\nin all\n", "-17.07%",
		"no_rate: 2 events of storage, charged 0.000000000000 USD", "Usage only.", "4000 activities of 3 accounts were read; nothing was changed")
	if q := s.asked; q.Account != "acme" || string(q.Draft.Body) != "products: []" || q.Draft.Format != api.FormatYAML || q.From.UTC() != time.Date(2026, 9, 30, 22, 0, 0, 0, time.UTC) {
		t.Errorf("the server was asked %+v", q)
	}
	code, out, stderr := w.tollstream(t, "", append(args, "--output", "csv")...)
	check(t, "as CSV", code, 0, out, "account,product,currency,events,before,after,difference,percent,unrated,unrated_before\n", "beta,calls,USD,2,12.500000000000,9.000000000000,-3.500000000000,-28,0,")
	check(t, "as CSV, beside it", code, 0, stderr, "Usage only.")
	code, out, _ = w.tollstream(t, "", append(args, "-o", "json")...)
	var b api.Backtest
	if err := json.Unmarshal([]byte(out), &b); err != nil || code != 0 || b.Result == nil || b.Result.Rows != 3 {
		t.Errorf("as JSON: %d, %v: %s", code, err, out)
	}
	page := filepath.Join(t.TempDir(), "page.html")
	code, _, _ = w.tollstream(t, "", append(args, "--html", page)...)
	text, err := os.ReadFile(page)
	check(t, "as a page", code, 0, string(text), "Usage from 2026-10-01 to 2026-11-01 (UTC)", "<!doctype html>", "beta", "Usage only.")
	if err != nil {
		t.Error(err)
	}
	for range 200 {
		s.rows = append(s.rows, comparedRow("x", "calls", "1", "1", "0", 0))
	}
	s.end.Result.Rows = 203
	code, out, _ = w.tollstream(t, "", args...)
	check(t, "many rows", code, 0, out, "103 more rows: --output csv has all of them")
	code, out, _ = w.tollstream(t, "", append(args, "-o", "csv")...)
	if n := strings.Count(out, "\n"); code != 0 || n != 204 {
		t.Errorf("CSV of 203 rows has %d lines", n)
	}
	s.end.Result = &api.BacktestResult{}
	code, out, _ = w.tollstream(t, "", args...)
	check(t, "no usage", code, 0, out, "there is no usage in that time")
}

func TestBacktestCommandFails(t *testing.T) {
	w := newWorld(t)
	s := newScripted(w)
	file := write(t, "draft.yaml", "products: 3")
	args := []string{"backtest", "--catalog", file, "--from", "2026-10-01", "--to", "2026-11-01"}
	for what, c := range map[string]struct {
		args []string
		want string
	}{
		"no draft":             {[]string{"backtest", "--from", "2026-10-01", "--to", "2026-11-01"}, "--catalog is missing"},
		"no time":              {[]string{"backtest", "--catalog", file, "--from", "2026-10-01"}, "--from and --to are both needed"},
		"a form of its own":    {append(args[:len(args):len(args)], "-o", "yaml"), "text or json or csv"},
		"another command":      {[]string{"reconcile", "-o", "csv"}, "text or json, not"},
		"a file that is not":   {[]string{"backtest", "--catalog", file + "x", "--from", "2026-10-01", "--to", "2026-11-01"}, "no such file"},
		"a time that is wrong": {[]string{"backtest", "--catalog", file, "--from", "2026-11-01", "--to", "2026-10-01"}, "is not before to"},
	} {
		code, out, stderr := w.tollstream(t, "", c.args...)
		if code == 0 || !strings.Contains(stderr, c.want) || out != "" {
			t.Errorf("%s: %d %q %q", what, code, out, stderr)
		}
	}
	s.startAs = api.DocumentErrors{{Path: "products", Line: 1, Message: "must be a list"}}
	code, _, stderr := w.tollstream(t, "", args...)
	check(t, "a wrong draft", code, 1, stderr, file+":1: products: must be a list")
	s.startAs = fmt.Errorf("%w: the backtest b-0 is running; wait for it or stop it", api.ErrConflict)
	code, _, stderr = w.tollstream(t, "", args...)
	check(t, "another one is running", code, 1, stderr, "b-0 is running")
	s.startAs, s.end = nil, api.Backtest{State: api.BacktestFailed, Error: "a store did not answer"}
	code, _, stderr = w.tollstream(t, "", args...)
	check(t, "it fails", code, 1, stderr, "a store did not answer")
	s.end = api.Backtest{State: api.BacktestStopped}
	code, _, stderr = w.tollstream(t, "", args...)
	check(t, "somebody stops it", code, 1, stderr, "the backtest was stopped")
}

// TestBacktestIsStopped: who ends the command ends the backtest.
func TestBacktestIsStopped(t *testing.T) {
	w := newWorld(t)
	s := newScripted(w)
	s.running, s.looked = 1<<30, make(chan struct{}, 1)
	file := write(t, "draft.yaml", "products: []")
	ctx, stop := context.WithCancel(t.Context())
	go func() { <-s.looked; stop() }()
	var out, errs bytes.Buffer
	env := map[string]string{"TOLLSTREAM_HTTP_ADDR": w.url, "TOLLSTREAM_API_KEY": w.admin}
	a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, getenv: func(name string) string { return env[name] }}
	code := execute(ctx, a, []string{"backtest", "--catalog", file, "--from", "2026-10-01", "--to", "2026-11-01"})
	if code == 0 || !s.stopped || !strings.Contains(errs.String(), "was stopped; nothing was changed") {
		t.Errorf("%d %s, stopped %v", code, errs.String(), s.stopped)
	}
}

func TestProgressText(t *testing.T) {
	for _, c := range []struct {
		done, of int64
		took     time.Duration
		want     string
	}{
		{0, 0, 0, "counting stored usage"}, {0, 10, time.Second, "0 of 10 activities, 0%"}, {10, 10, time.Second, "10 of 10 activities, 100%"},
		{2500, 10_000, 10 * time.Second, "2500 of 10000 activities, 25%, 30s left"},
	} {
		if got := progressText(c.done, c.of, c.took); got != c.want {
			t.Errorf("%d of %d: %q, want %q", c.done, c.of, got, c.want)
		}
	}
	var out bytes.Buffer
	p := newBacktestProgress(&out)
	p.show(1, 2)
	p.shown = p.shown.Add(-logEvery)
	p.show(1, 2)
	p.end()
	if got := out.String(); got != "1 of 2 activities, 50%, 0s left\n" {
		t.Errorf("into a file: %q", got)
	}
}
