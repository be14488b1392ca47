package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/invoicer/invoicertest"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

var noon = time.Date(2026, 11, 21, 11, 0, 0, 0, time.UTC)

const book = `
currency: USD
products:
  - {id: api-calls, unit: request, rates: [{model: graduated, tiers: [{up_to: 100, unit_price: 0.10}, {unit_price: 0.05}]}]}
accounts:
  - {id: acme, name: Acme GmbH, currency: USD}
`

// world is a server whose routes, access and pricing are the real ones, and whose stores are scripted.
type world struct {
	// What the commands do not ask for is nil, and a call of it fails loudly.
	api.KeyStore
	api.Catalog
	api.Rejections
	api.CollectorConfigs
	api.CollectorRuns
	api.CollectorFiles
	api.Reconciler

	url    string
	admin  string // key
	prices *invoicertest.World
	log    *invoicertest.Log

	mu         sync.Mutex
	keys       []api.Key
	documents  []api.Document
	applied    api.Applied
	applyErr   error
	rejected   []api.RejectedUsage
	retried    api.RejectedFilter
	skipped    api.EventPlace
	configs    map[string]api.Document
	files      map[string]string
	upload     api.Upload
	run        api.Run   // the answer to an upload
	runs       []api.Run // one for each question for the history
	reconciled api.Reconciliation
	backtests  scriptedBacktests
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{configs: map[string]api.Document{}, files: map[string]string{}, run: api.Run{ID: "7", State: "done", Rows: 3, Accepted: 3}}
	prices := invoicertest.New(t, noon, book)
	w.prices, w.log = prices, invoicertest.NewLog(prices)
	desk := prices.Desk(nil)
	desk.History = w.log
	access, err := api.NewAccess(t.Context(), api.AccessConfig{Keys: w, Lineage: prices, Now: prices.Now})
	if err != nil {
		t.Fatal(err)
	}
	server, err := api.New(api.Config{
		Now: prices.Now, Access: access, Keys: w, Parser: api.Intake{Now: prices.Now}, Invoices: desk, Catalog: w, Drafts: w, Rejections: w, Collectors: w, Runs: w, Files: w, Reconciler: w,
		Backtests: &w.backtests,
	})
	if err != nil {
		t.Fatal(err)
	}
	key, token, err := api.NewKey("test", api.RoleAdmin, "", noon)
	if err != nil {
		t.Fatal(err)
	}
	w.keys, w.admin = []api.Key{key}, token
	http := httptest.NewServer(server)
	t.Cleanup(http.Close)
	w.url = http.URL
	return w
}

// Draft lays a document over the world's definitions.
func (w *world) Draft(_ context.Context, d api.Document) (*catalog.Draft, error) {
	draft, err := w.prices.Draft(string(d.Body))
	var issues *catalog.Issues
	if errors.As(err, &issues) {
		return nil, api.DocumentErrors{{Path: issues.List[0].Path, Line: issues.List[0].Line, Message: issues.List[0].Message}}
	}
	return draft, err
}

func (w *world) CreateKey(_ context.Context, k api.Key, _ bool) (bool, error) {
	w.keys = append(w.keys, k)
	return true, nil
}

func (w *world) KeyByHash(_ context.Context, hash [sha256.Size]byte) (api.Key, error) {
	for _, k := range w.keys {
		if k.Hash == hash {
			return k, nil
		}
	}
	return api.Key{}, api.ErrNotFound
}

func (w *world) Keys(context.Context, string, int) ([]api.Key, string, error) { return w.keys, "", nil }

func (w *world) RevokeKey(_ context.Context, id string, at time.Time) (api.Key, error) {
	for i := range w.keys {
		if w.keys[i].ID == id {
			w.keys[i].RevokedAt = &at
			return w.keys[i], nil
		}
	}
	return api.Key{}, api.ErrNotFound
}

func (w *world) UseKey(context.Context, string, time.Time) error { return nil }

func (w *world) Secret(_ context.Context, _ string, candidate []byte) ([]byte, error) {
	return candidate, nil
}

func (w *world) Apply(_ context.Context, d api.Document, dryRun bool) (*api.Applied, error) {
	w.documents = append(w.documents, d)
	if w.applyErr != nil {
		return nil, w.applyErr
	}
	a := w.applied
	a.DryRun = dryRun
	return &a, nil
}

func (w *world) Export(_ context.Context, f api.Format) ([]byte, error) {
	return []byte("catalogue in " + string(f) + "\n"), nil
}

func (w *world) Rejected(_ context.Context, f api.RejectedFilter, cursor string, limit int) (*api.RejectedPage, error) {
	p := &api.RejectedPage{Counts: []api.ReasonCount{{Reason: "no_rate", Count: int64(len(w.rejected))}}}
	start := 0
	if cursor != "" {
		_, _ = fmt.Sscan(cursor, &start)
	}
	for i := start; i < len(w.rejected); i++ {
		if len(p.Data) == limit {
			next := fmt.Sprint(i)
			p.Next = &next
			break
		}
		if f.Reason == "" || f.Reason == w.rejected[i].Reason {
			p.Data = append(p.Data, w.rejected[i])
		}
	}
	return p, nil
}

func (w *world) RetryRejected(_ context.Context, f api.RejectedFilter) (int64, error) {
	w.retried = f
	return 3, nil
}

func (w *world) Collectors(context.Context) ([]api.CollectorInfo, error) { return nil, nil }

func (w *world) PutCollector(_ context.Context, name string, d api.Document) (*api.CollectorInfo, bool, error) {
	if w.applyErr != nil {
		return nil, false, w.applyErr
	}
	w.configs[name] = d
	return &api.CollectorInfo{Name: name}, true, nil
}

func (w *world) StartRun(context.Context, string) (*api.Run, error) { return nil, api.ErrNotFound }

func (w *world) Runs(context.Context, string, string, int) ([]api.Run, string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.runs) == 0 {
		return nil, "", nil
	}
	run := w.runs[0]
	if len(w.runs) > 1 {
		w.runs = w.runs[1:]
	}
	return []api.Run{run}, "", nil
}

func (w *world) UploadFile(_ context.Context, u api.Upload) (*api.Run, error) {
	if _, ok := w.configs[u.Collector]; !ok && u.Collector != "calls" {
		return nil, api.ErrNotFound
	}
	body, err := io.ReadAll(u.Body)
	if err != nil {
		return nil, err
	}
	w.files[u.FileName], w.upload = string(body), u
	run := w.run
	run.File = u.FileName
	return &run, nil
}

// Reconcile notes what was asked.
func (w *world) Reconcile(_ context.Context, year int, month time.Month, _ bool) (*api.Reconciliation, error) {
	r := w.reconciled
	r.Period = fmt.Sprintf("%04d-%02d", year, month)
	return &r, nil
}

func rejectedEvents(n int) []api.RejectedUsage {
	all := make([]api.RejectedUsage, n)
	for i := range all {
		all[i] = api.RejectedUsage{Reason: "no_rate", Source: "gw", ID: fmt.Sprintf("e-%d", i), Account: "acme", Product: "x", Quantity: money.One, Time: noon}
	}
	return all
}

// tollstream runs one command line against the world, with its address and key in the environment.
func (w *world) tollstream(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return tollstream(t, map[string]string{"TOLLSTREAM_HTTP_ADDR": w.url, "TOLLSTREAM_API_KEY": w.admin}, stdin, args...)
}

func tollstream(t *testing.T, env map[string]string, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs, getenv: func(name string) string { return env[name] }}
	code = execute(t.Context(), a, args)
	return code, out.String(), errs.String()
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func (w *world) SkipEvent(_ context.Context, at api.EventPlace) error {
	w.skipped = at
	return nil
}
