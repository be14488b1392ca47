package pg_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tollstream/tollstream/collector"
	"github.com/tollstream/tollstream/collector/secret"
	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
)

const hookConfig = `
source: {type: webhook, verify: {secret: [NEW, OLD]}, allow: [192.0.2.0/24]}
format: {type: json}
mapping:
  account: {from: who}
  product: {from: "@header.X-Event"}
  quantity: {from: n, default: 1}
`

var hookSecrets = map[secret.Name]string{"NEW": "new secret", "OLD": "old secret"}

// hook is a webhook of one test.
type hook struct {
	*world
	receiver *collector.Receiver
	journal  *collector.Journal
	config   *collector.Config
}

func newHook(t *testing.T, w *world, config string, store collector.RunStore) *hook {
	t.Helper()
	parsed, err := collector.ParseConfig([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	journal := collector.NewJournal(store, w.now, slog.New(slog.DiscardHandler))
	get := func(n secret.Name) (string, error) {
		if s := hookSecrets[n]; s != "" {
			return s, nil
		}
		return "", secret.ErrMissing
	}
	return &hook{w, &collector.Receiver{Intake: w.intake, Journal: journal, Secret: get, Now: w.now, Metrics: w.metrics}, journal, parsed}
}

var hooks = collector.Journaled{Collector: "hook", Version: 1, What: "deliveries"}

// deliver sends a body with its signature; pairs are further headers.
func (h *hook) deliver(key, body string, pairs ...string) (collector.Answer, error) {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(body))
	header := http.Header{"X-Signature": {hex.EncodeToString(mac.Sum(nil))}, "X-Event": {"calls"}}
	for i := 0; i+1 < len(pairs); i += 2 {
		header.Set(pairs[i], pairs[i+1])
	}
	push := collector.Push{Header: header, Sender: netip.MustParseAddr("192.0.2.9"), Body: strings.NewReader(body)}
	return h.receiver.Webhook(h.t.Context(), hooks, h.config, push)
}

// history gives the sums of the collector's runs and their bad rows.
func (h *hook) history() (rows, sent, rejected int64, errors []collector.RowError) {
	h.t.Helper()
	h.journal.Flush(h.t.Context())
	runs, _, err := h.store.Runs(h.t.Context(), "hook", "", 100)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, r := range runs {
		rows, sent, rejected = rows+r.Rows, sent+r.Sent, rejected+r.Rejected
		if r.State != collector.RunDone || !strings.HasPrefix(r.File, "deliveries of 20") {
			h.t.Errorf("run %+v", r)
		}
		list, _, err := h.store.Errors(h.t.Context(), r.ID, "", 1000)
		if err != nil {
			h.t.Fatal(err)
		}
		errors = append(errors, list...)
	}
	return rows, sent, rejected, errors
}

func (h *hook) wantEvents(n int) map[usage.Identity]usage.Event {
	h.t.Helper()
	_, events := h.log()
	if len(events) != n {
		h.t.Fatalf("%d different events in the log, want %d", len(events), n)
	}
	return events
}

func TestWebhook(t *testing.T) {
	w := newWorld(t)
	h := newHook(t, w, hookConfig, w.store)
	batch := `[{"who": "acme", "n": 2}, {"n": 3}, {"who": "acme", "n": "0.5"}]`
	for range 3 { // the sender did not hear the answer
		answer, err := h.deliver("new secret", batch)
		if err != nil || answer.Accepted != 2 || len(answer.Rejected) != 1 || answer.Rejected[0].Index != 1 || answer.Rejected[0].Code != usage.CodeAccountMissing {
			t.Fatalf("%v %+v", err, answer)
		}
	}
	if answer, err := h.deliver("old secret", `{"who": "umbrella"}`); err != nil || answer.Accepted != 1 {
		t.Fatalf("the secret that is being replaced: %v %+v", err, answer)
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte(`{"who": "zipped"}`))
	_ = z.Close()
	if answer, err := h.deliver("new secret", zipped.String(), "Content-Encoding", "gzip"); err != nil || answer.Accepted != 1 {
		t.Fatalf("gzip: %v %+v", err, answer)
	}
	if answer, err := h.deliver("new secret", `[]`); err != nil || answer.Accepted != 0 {
		t.Fatalf("nothing in it: %v %+v", err, answer)
	}

	events := h.wantEvents(4)
	sum := money.Zero
	for _, e := range events {
		if e.Product != "calls" || e.Source != "hook" {
			t.Errorf("%+v", e)
		}
		sum, _ = sum.Add(e.Quantity)
	}
	if sum != money.MustParse("4.5") { // 2 + 0.5 + 1 + 1
		t.Errorf("quantities add up to %s", sum)
	}
	rows, sent, rejected, bad := h.history()
	if rows != 11 || sent != 8 || rejected != 3 || len(bad) != 3 {
		t.Errorf("rows %d sent %d rejected %d, %d bad rows", rows, sent, rejected, len(bad))
	}
	for i, e := range bad {
		if e.Line != int64(3*i+2) || e.Raw != `{"n": 3}` || !strings.Contains(e.Message, collector.ContentID([]byte(batch))+", record 2: ") {
			t.Errorf("bad row %+v", e)
		}
	}
}

// TestWebhookRefuses: nothing of it is taken, and what is ours to keep is kept.
func TestWebhookRefuses(t *testing.T) {
	w := newWorld(t)
	h := newHook(t, w, hookConfig, w.store)
	var unreadable *collector.DeliveryError
	var tooMuch *usage.RequestError
	long := strings.Repeat(" ", usage.MaxRequestBytes+1)
	for _, c := range []struct {
		name, body string
		headers    []string
		is         func(error) bool
	}{
		{"torn", `[{"who": "a"}, {"who`, nil, func(err error) bool { return errors.As(err, &unreadable) }},
		{"no JSON", `who=a&n=1`, nil, func(err error) bool { return errors.As(err, &unreadable) }},
		{"empty", ``, nil, func(err error) bool { return errors.As(err, &unreadable) }},
		{"too long", long, nil, func(err error) bool { return errors.As(err, &tooMuch) }},
		{"too many", "[" + strings.Repeat(`{"who":"a"},`, usage.MaxRequestEvents) + `{"who":"a"}]`, nil, func(err error) bool { return errors.As(err, &tooMuch) }},
		{"wrong signature", `{"who": "a"}`, []string{"X-Signature", strings.Repeat("0", 64)}, func(err error) bool { return errors.Is(err, collector.ErrNotVerified) }},
		{"no gzip", `{"who": "a"}`, []string{"Content-Encoding", "gzip"}, func(err error) bool { return errors.Is(err, collector.ErrEncoding) }},
		{"no encoding of ours", `{"who": "a"}`, []string{"Content-Encoding", "br"}, func(err error) bool { return errors.Is(err, collector.ErrEncoding) }},
	} {
		if _, err := h.deliver("new secret", c.body, c.headers...); err == nil || !c.is(err) {
			t.Errorf("%s: %v", c.name, err)
		} else if strings.Contains(err.Error(), "new secret") {
			t.Errorf("%s: the error shows the secret", c.name)
		}
	}
	far := collector.Push{Header: http.Header{"X-Signature": {"00"}}, Sender: netip.MustParseAddr("198.51.100.1"), Body: unread{t}}
	if _, err := h.receiver.Webhook(t.Context(), hooks, h.config, far); !errors.Is(err, collector.ErrNotVerified) {
		t.Errorf("another address: %v", err)
	}
	far.Sender, far.Header = netip.MustParseAddr("192.0.2.1"), http.Header{}
	if _, err := h.receiver.Webhook(t.Context(), hooks, h.config, far); !errors.Is(err, collector.ErrNotVerified) {
		t.Errorf("no signature: %v", err)
	}
	h.receiver.Secret = func(secret.Name) (string, error) { return "", secret.ErrMissing }
	if _, err := h.deliver("", `{"who": "a"}`); !errors.Is(err, collector.ErrUnavailable) {
		t.Errorf("no secret is set: %v", err)
	}
	h.wantEvents(0)
	rows, sent, rejected, bad := h.history()
	if rows != 3 || sent != 0 || rejected != 3 || len(bad) != 3 || bad[0].Raw != `[{"who": "a"}, {"who` || bad[0].Code != usage.CodeRow {
		t.Errorf("rows %d sent %d rejected %d: %+v", rows, sent, rejected, bad)
	}
}

// unread fails when it is read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body of somebody unknown is read")
	return 0, io.EOF
}

// torn is a store that fails on demand: before it has stored, or after.
type torn struct {
	collector.RunStore
	mu            sync.Mutex
	before, after int // how many calls of SaveRun
}

func (s *torn) SaveRun(ctx context.Context, save collector.Save) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.before > 0 {
		s.before--
		return fmt.Errorf("%w: down", collector.ErrUnavailable)
	}
	err := s.RunStore.SaveRun(ctx, save)
	if s.after > 0 {
		s.after--
		return fmt.Errorf("%w: the answer is lost", collector.ErrUnavailable)
	}
	return err
}

// TestWebhookKeepsWhatIsWrong: a delivery with a bad record is taken only when the record is kept, whatever the store does; and other
// deliveries' records are never taken for it.
func TestWebhookKeepsWhatIsWrong(t *testing.T) {
	w := newWorld(t)
	store := &torn{RunStore: w.store}
	h := newHook(t, w, hookConfig, store)
	taken := map[string]bool{}
	for i := range 40 {
		store.mu.Lock()
		store.before, store.after = i%3/2, i%4/3
		store.mu.Unlock()
		body := fmt.Sprintf(`[{"who": "acme"}, {"n": %d}]`, i)
		_, err := h.deliver("new secret", body)
		for n := 0; err != nil; n++ {
			if !errors.Is(err, collector.ErrUnavailable) || n > 3 {
				t.Fatal(err)
			}
			_, err = h.deliver("new secret", body)
		}
		taken[fmt.Sprintf(`{"n": %d}`, i)] = true
	}
	h.wantEvents(40)
	_, sent, rejected, bad := h.history()
	if sent != 40 || rejected != 40 {
		t.Errorf("sent %d rejected %d", sent, rejected)
	}
	for _, e := range bad {
		delete(taken, e.Raw)
	}
	if len(taken) != 0 || len(bad) < 40 {
		t.Errorf("not kept: %v, of %d", taken, len(bad))
	}
}

// TestJournalTurns: each hour has a run, and what was counted before stays.
func TestJournalTurns(t *testing.T) {
	w := newWorld(t)
	h := newHook(t, w, hookConfig, w.store)
	w.clock.Store(600) // each look at the clock takes ten minutes
	for i := range 12 {
		if _, err := h.deliver("new secret", fmt.Sprintf(`[{"who": "acme", "n": %d}, 7]`, i)); err != nil {
			t.Fatal(err)
		}
	}
	w.clock.Store(0)
	rows, sent, rejected, bad := h.history()
	if rows != 24 || sent != 12 || rejected != 12 || len(bad) != 12 {
		t.Errorf("rows %d sent %d rejected %d, bad %d", rows, sent, rejected, len(bad))
	}
	runs, _, err := w.store.Runs(t.Context(), "hook", "", 100)
	if err != nil || len(runs) < 3 {
		t.Errorf("%v, %d runs", err, len(runs))
	}
}

func TestWebhookWithoutBroker(t *testing.T) {
	w := newWorld(t)
	away := connect(t, w.brokers, w.url, func(p collector.Producer) collector.Producer { return awayProducer{p} })
	h := newHook(t, away, hookConfig, away.store)
	began := time.Now()
	if _, err := h.deliver("new secret", `{"who": "acme"}`); !errors.Is(err, collector.ErrUnavailable) {
		t.Errorf("never acknowledged: %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("refused after %s", took)
	}
	if rows, _, _, _ := h.history(); rows != 0 {
		t.Errorf("%d rows in the history", rows)
	}
}

// awayProducer takes records and never answers.
type awayProducer struct{ collector.Producer }

func (awayProducer) Produce(int32, []byte, func(error)) {}
