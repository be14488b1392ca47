package api_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/collector"
	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/invoicer/invoicertest"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

const book = `
currency: USD
products:
  - {id: api-calls, name: API calls, unit: request, identifiers: [api.requests],
     rates: [{model: graduated, tiers: [{up_to: 100, unit_price: 0.10}, {unit_price: 0.05}]}]}
accounts:
  - {id: acme, name: Acme GmbH, currency: USD, time_zone: Europe/Berlin, identifiers: ["+4930123"]}
  - {id: lab, name: Acme Lab, parent: acme, bill_to: parent, currency: USD, time_zone: Europe/Berlin}
  - {id: other, name: Other Ltd, currency: USD, identifiers: ["+44123"]}
`

var noon = time.Date(2026, 11, 21, 11, 0, 0, 0, time.UTC)

// outside is a server with everything around it in memory. What reads usage, definitions, prices and invoices is the real thing.
type outside struct {
	*testing.T
	server    *api.Server
	world     *invoicertest.World
	keys      *memoryKeys
	broker    *memoryBroker
	stores    *memoryStores
	watcher   *memoryWatcher
	catalog   *memoryCatalog
	backtests memoryBacktests
	reratings memoryReratings
	registry  *prometheus.Registry
	tokens    map[api.Role]string
	closing   chan struct{}
}

func build(t *testing.T, change ...func(*api.Config)) *outside {
	t.Helper()
	o := &outside{
		T: t, world: invoicertest.New(t, noon, book), keys: &memoryKeys{secrets: map[string][]byte{}}, broker: &memoryBroker{},
		stores: &memoryStores{}, watcher: &memoryWatcher{}, registry: prometheus.NewRegistry(), tokens: map[api.Role]string{}, closing: make(chan struct{}),
	}
	o.catalog = &memoryCatalog{rows: map[catalog.Ref]catalog.Row{}}
	access, err := api.NewAccess(t.Context(), api.AccessConfig{Keys: o.keys, Lineage: o.world, Now: o.world.Now})
	if err != nil {
		t.Fatal(err)
	}
	publisher, err := collector.NewPublisher(o.broker, collector.PublisherConfig{Partitions: 4, AckTimeout: time.Second}, collector.NewMetrics(o.registry))
	if err != nil {
		t.Fatal(err)
	}
	resolver := collector.ResolverFunc(func(ctx context.Context, subjects []collector.Subject) ([]collector.Resolution, error) {
		answers := make([]collector.Resolution, len(subjects))
		for i, s := range subjects {
			id, err := o.world.ResolveAccount(ctx, s.Value, s.Time)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", collector.ErrUnavailable, err)
			}
			answers[i] = collector.Resolution{Account: id, RoutingKey: id, From: collector.AlwaysFrom, Until: collector.AlwaysUntil}
		}
		return answers, nil
	})
	intake := api.Intake{
		Collector: collector.NewIntake(resolver, publisher, o.world.Now, collector.NewMetrics(prometheus.NewRegistry())), Now: o.world.Now,
	}
	config := api.Config{
		Version: "1.2.3", Log: slog.New(slog.NewTextHandler(testLog{t}, nil)), Now: o.world.Now, Metrics: o.registry, Access: access, Keys: o.keys,
		Usage: intake, Parser: intake, Invoices: o.world.Desk(nil), Watcher: o.watcher, Catalog: o.catalog, Drafts: worldDrafts{o.world}, Kinds: o.catalog,
		Rejections: o.stores, Collectors: o.stores, Runs: o.stores, Files: o.stores, Webhooks: o.stores, Control: o.stores, Reports: o.stores, Reconciler: o.stores,
		Activities: o.stores, Operations: o.stores, Backtests: &o.backtests, Reratings: &o.reratings, RerateJobs: &o.reratings, Closing: o.closing,
		Ready: map[string]func(context.Context) error{"postgres": func(context.Context) error { return o.stores.err }},
		Pages: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p := api.PrincipalOf(r.Context())
			_, _ = fmt.Fprintf(w, "page %s for %v", r.URL.Path, p)
		}),
	}
	for _, f := range change {
		f(&config)
	}
	if o.server, err = api.New(config); err != nil {
		t.Fatal(err)
	}
	for _, role := range api.Roles {
		account := ""
		if role == api.RoleCustomer {
			account = "acme"
		}
		o.tokens[role] = o.key(role, account)
	}
	return o
}

// worldDrafts lays documents over the world's definitions.
type worldDrafts struct{ world *invoicertest.World }

func (d worldDrafts) Draft(_ context.Context, document api.Document) (*catalog.Draft, error) {
	draft, err := d.world.Draft(string(document.Body))
	var issues *catalog.Issues
	if errors.As(err, &issues) {
		return nil, api.DocumentErrors{{Path: issues.List[0].Path, Line: issues.List[0].Line, Message: issues.List[0].Message}}
	}
	return draft, err
}

type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

func (o *outside) key(role api.Role, account string) string {
	o.Helper()
	k, token, err := api.NewKey(string(role)+" key", role, account, noon)
	if err != nil {
		o.Fatal(err)
	}
	if _, err := o.keys.CreateKey(o.Context(), k, false); err != nil {
		o.Fatal(err)
	}
	return token
}

// do sends a request with a key ("": none) and headers as pairs.
func (o *outside) do(token, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	o.Helper()
	r := httptest.NewRequestWithContext(o.Context(), method, target, strings.NewReader(body))
	if body == "" {
		r.Body = http.NoBody
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	o.server.ServeHTTP(w, r)
	return w
}

// as sends a request with the role's key and JSON.
func (o *outside) as(role api.Role, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	o.Helper()
	if body != "" {
		headers = append([]string{"Content-Type", "application/json"}, headers...)
	}
	return o.do(o.tokens[role], method, target, body, headers...)
}

// want checks a status and that the body holds the parts.
func (o *outside) want(w *httptest.ResponseRecorder, status int, parts ...string) {
	o.Helper()
	if w.Code != status {
		o.Errorf("status %d, want %d: %s", w.Code, status, w.Body)
		return
	}
	for _, part := range parts {
		if !strings.Contains(w.Body.String(), part) {
			o.Errorf("body lacks %s: %s", part, w.Body)
		}
	}
	if status >= 400 {
		var p api.Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != status || p.Title == "" || p.Type == "" {
			o.Errorf("not a problem: %v: %s", err, w.Body)
		}
		if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
			o.Errorf("content type %q", got)
		}
	}
}

// memoryKeys is a KeyStore.
type memoryKeys struct {
	mu      sync.Mutex
	all     []api.Key
	secrets map[string][]byte
	reads   int
	err     error
}

func (m *memoryKeys) CreateKey(_ context.Context, k api.Key, onlyFirst bool) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if onlyFirst && slices.ContainsFunc(m.all, func(k api.Key) bool { return k.RevokedAt == nil }) {
		return false, nil
	}
	m.all = append(m.all, k)
	return true, m.err
}

func (m *memoryKeys) KeyByHash(_ context.Context, hash [sha256.Size]byte) (api.Key, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	if m.err != nil {
		return api.Key{}, m.err
	}
	for _, k := range m.all {
		if k.Hash == hash {
			return k, nil
		}
	}
	return api.Key{}, api.ErrNotFound
}

func (m *memoryKeys) Keys(_ context.Context, _ string, limit int) ([]api.Key, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.all[:min(limit, len(m.all))]), "", m.err
}

func (m *memoryKeys) RevokeKey(_ context.Context, id string, at time.Time) (api.Key, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.all {
		if m.all[i].ID == id {
			m.all[i].RevokedAt = &at
			return m.all[i], m.err
		}
	}
	return api.Key{}, api.ErrNotFound
}

func (m *memoryKeys) UseKey(context.Context, string, time.Time) error { return m.err }

func (m *memoryKeys) Secret(_ context.Context, name string, candidate []byte) ([]byte, error) {
	if m.secrets[name] == nil {
		m.secrets[name] = candidate
	}
	return m.secrets[name], nil
}

// memoryBroker acknowledges at once, or answers err.
type memoryBroker struct {
	mu      sync.Mutex
	records []usage.Record
	err     error
}

func (m *memoryBroker) Produce(_ int32, record []byte, done func(error)) {
	var r usage.Record
	err := usage.Decode(bytes.Clone(record), &r)
	m.mu.Lock()
	m.records = append(m.records, r)
	m.mu.Unlock()
	done(err)
}

func (m *memoryBroker) Ready() error { return m.err }

func (m *memoryBroker) events() []usage.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []usage.Event
	for _, r := range m.records {
		all = append(all, r.Events...)
	}
	return all
}

// memoryWatcher hands out one channel a watch.
type memoryWatcher struct {
	mu      sync.Mutex
	watched []string
	chans   []chan struct{}
	err     error
}

func (m *memoryWatcher) Watch(ctx context.Context, billed string) (<-chan struct{}, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := make(chan struct{}, 1)
	m.watched, m.chans = append(m.watched, billed), append(m.chans, c)
	return c, m.err
}

func (m *memoryWatcher) change() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.chans {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// memoryCatalog applies documents as rater/catalog reads and revises them.
type memoryCatalog struct {
	rows map[catalog.Ref]catalog.Row
	seq  int64
	last api.Document
	err  error

	exported api.Format
}

func (m *memoryCatalog) Apply(_ context.Context, d api.Document, dryRun bool) (*api.Applied, error) {
	m.last = d
	if m.err != nil {
		return nil, m.err
	}
	doc, err := catalog.ParseDocument("catalog", d.Body)
	var changes []catalog.Change
	if err == nil {
		changes, err = doc.Revise(catalog.Stored{
			Rows: maps.Clone(m.rows), Holders: map[string][]catalog.Holder{}, RateOwners: map[string][]catalog.Ref{}, Users: map[catalog.Ref][]catalog.Ref{},
		}, noon.UnixNano())
	}
	var issues *catalog.Issues
	if errors.As(err, &issues) {
		var out api.DocumentErrors
		for _, i := range issues.List {
			out = append(out, api.DocumentError{Path: i.Path, Line: i.Line, Message: i.Message})
		}
		return nil, out
	}
	if err != nil {
		return nil, err
	}
	applied := &api.Applied{Seq: m.seq, DryRun: dryRun}
	for _, c := range changes {
		applied.Changes = append(applied.Changes, api.Change{Action: c.Action, Kind: string(c.Kind), ID: c.ID, Fields: c.Fields})
		if !dryRun {
			m.rows[c.Ref] = catalog.Row{Ref: c.Ref, Seq: m.seq + 1, Deleted: c.Deleted, Body: c.Body}
		}
	}
	if !dryRun && len(changes) > 0 {
		m.seq++
		applied.Seq = m.seq
	}
	return applied, nil
}

func (m *memoryCatalog) Export(_ context.Context, f api.Format) ([]byte, error) {
	rows := slices.Collect(maps.Values(m.rows))
	m.exported = f
	if f == api.FormatYAML {
		return catalog.ExportYAML(rows)
	}
	return catalog.ExportJSON(rows)
}

func (m *memoryCatalog) Definition(_ context.Context, kind catalog.Kind, id string) (json.RawMessage, error) {
	row, ok := m.rows[catalog.Ref{Kind: kind, ID: id}]
	if !ok || row.Deleted {
		return nil, api.ErrNotFound
	}
	return row.Body, m.err
}

func (m *memoryCatalog) Definitions(_ context.Context, kind catalog.Kind, _ string, _ int) ([]json.RawMessage, string, error) {
	var data []json.RawMessage
	for ref, row := range m.rows {
		if ref.Kind == kind {
			data = append(data, row.Body)
		}
	}
	return data, "more", m.err
}

// memoryStores answers what it was given and remembers what it was asked.
type memoryStores struct {
	err        error
	rejected   api.RejectedFilter
	retried    api.RejectedFilter
	report     api.ReportQuery
	activities api.ActivityQuery
	month      string
	upload     api.Upload
	uploaded   func(io.Reader) (*api.Run, error)
	known      []api.Activity
	refused    []api.RejectedUsage
	pages      int // of a report
}

func (m *memoryStores) Rejected(_ context.Context, f api.RejectedFilter, cursor string, _ int) (*api.RejectedPage, error) {
	m.rejected = f
	if cursor == "bad" {
		return nil, fmt.Errorf("%w: cursor", api.ErrInvalid)
	}
	return &api.RejectedPage{Data: m.refused}, m.err
}

func (m *memoryStores) RetryRejected(_ context.Context, f api.RejectedFilter) (int64, error) {
	m.retried = f
	return 7, m.err
}

func (m *memoryStores) Collectors(context.Context) ([]api.CollectorInfo, error) {
	return []api.CollectorInfo{{Name: "calls", State: "idle", Config: json.RawMessage(`{"source":{"type":"upload"}}`)}}, m.err
}

func (m *memoryStores) PutCollector(_ context.Context, name string, d api.Document) (*api.CollectorInfo, bool, error) {
	if !bytes.Contains(d.Body, []byte("mapping")) {
		return nil, false, api.DocumentErrors{{Path: "mapping", Line: 1, Message: "is missing"}}
	}
	return &api.CollectorInfo{Name: name, State: "idle", Config: json.RawMessage(`{}`)}, true, m.err
}

func (m *memoryStores) StartRun(_ context.Context, name string) (*api.Run, error) {
	if name != "calls" {
		return nil, fmt.Errorf("collector %q: %w", name, api.ErrNotFound)
	}
	return &api.Run{ID: "1", Collector: name, State: "running"}, m.err
}

func (m *memoryStores) Runs(_ context.Context, name, _ string, _ int) ([]api.Run, string, error) {
	return []api.Run{{ID: "1", Collector: name, State: "done"}}, "", m.err
}

func (m *memoryStores) PauseCollector(_ context.Context, name string, paused bool) (*api.CollectorInfo, error) {
	if name != "calls" {
		return nil, fmt.Errorf("collector %q: %w", name, api.ErrNotFound)
	}
	return &api.CollectorInfo{Name: name, State: map[bool]string{true: "paused", false: "idle"}[paused], Config: json.RawMessage(`{}`)}, m.err
}

func (m *memoryStores) Passes(_ context.Context, name, _ string, limit int) ([]collector.Pass, string, error) {
	return []collector.Pass{{ID: 7, Collector: name, State: collector.RunDone, PassCounts: collector.PassCounts{Found: 3, Taken: 3}}}, "7", m.err
}

func (m *memoryStores) RunErrors(_ context.Context, name string, run int64, _ string, _ int) ([]collector.RowError, string, error) {
	return []collector.RowError{{Line: run, ID: "e", Code: usage.CodeTime, Message: "no time", Raw: "a,\"b\""}}, "", m.err
}

func (m *memoryStores) TryCollector(_ context.Context, name string, u api.Upload, limit int) (*collector.Trial, error) {
	text, err := io.ReadAll(u.Body)
	return &collector.Trial{File: u.FileName, Rows: int64(len(text)), Mapped: int64(limit)}, err
}

func (m *memoryStores) UploadFile(_ context.Context, u api.Upload) (*api.Run, error) {
	m.upload = u
	if m.uploaded != nil {
		return m.uploaded(u.Body)
	}
	n, err := io.Copy(io.Discard, u.Body)
	return &api.Run{ID: "1", Collector: u.Collector, File: u.FileName, State: "done", Rows: n}, err
}

func (m *memoryStores) UsageReport(_ context.Context, q api.ReportQuery) ([]api.UsageRow, string, error) {
	m.report = q
	next := ""
	if m.pages--; m.pages > 0 {
		next = fmt.Sprint(m.pages)
	}
	return []api.UsageRow{{Day: "2026-11-03", Account: "acme", Product: "api-calls", Quantity: money.MustParse("1.5"), Events: 2}}, next, m.err
}

func (m *memoryStores) RevenueReport(_ context.Context, q api.ReportQuery) ([]api.RevenueRow, string, error) {
	m.report = q
	return []api.RevenueRow{{Account: "acme", Currency: "USD", Amount: money.Fixed{Decimal: money.MustParse("-0.5")}}}, "", m.err
}

func (m *memoryStores) Reconcile(_ context.Context, year int, month time.Month, _ bool) (*api.Reconciliation, error) {
	m.month = fmt.Sprintf("%04d-%02d", year, month)
	return &api.Reconciliation{Period: m.month, Agrees: true}, m.err
}

func (m *memoryStores) Activities(_ context.Context, q api.ActivityQuery) (*api.ActivityPage, error) {
	m.activities = q
	return &api.ActivityPage{Data: m.known, Next: "next-page"}, m.err
}

func (m *memoryStores) Status(context.Context) (*api.Status, error) {
	return &api.Status{At: noon, Stages: []api.StageStatus{{Name: "rater", Condition: "ok", Received: 3, Forwarded: 2, Duplicates: 1}}}, m.err
}

func recorder() *httptest.ResponseRecorder { return httptest.NewRecorder() }

func (m *memoryStores) SkipEvent(context.Context, api.EventPlace) error { return nil }
