package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tollstream/tollstream/api"
)

// site is a server as the player sees it. It fails as the script says: one status a request for usage, 0 breaks the connection.
type site struct {
	t       *testing.T
	url     string
	keys    []string
	loaded  int
	script  []int
	newest  map[string]api.Activity // by account
	got     map[string]int          // accepted, by id
	order   []event
	backfil map[bool]int // events by the query member
}

func newSite(t *testing.T) *site {
	s := &site{t: t, keys: []string{"ts_admin"}, newest: map[string]api.Activity{}, got: map[string]int{}, backfil: map[bool]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"status":"ok"}`) })
	mux.HandleFunc("GET /v1/accounts/{id}", func(w http.ResponseWriter, _ *http.Request) {
		if s.loaded == 0 {
			refuse(w, http.StatusNotFound)
		}
	})
	mux.HandleFunc("PUT /v1/catalog", func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); !bytes.Equal(body, Catalog) {
			t.Errorf("another catalogue came: %d bytes", len(body))
		}
		s.loaded++
		answer(w, api.Applied{Seq: 1})
	})
	mux.HandleFunc("POST /v1/accounts/{id}/links", func(w http.ResponseWriter, r *http.Request) {
		answer(w, api.Link{URL: "http://pages/c/" + r.PathValue("id") + "?token=x"})
	})
	mux.HandleFunc("GET /v1/accounts/{id}/activities", func(w http.ResponseWriter, r *http.Request) {
		list := api.List[api.Activity]{Data: []api.Activity{}}
		if a, ok := s.newest[r.PathValue("id")]; ok {
			list.Data = append(list.Data, api.Activity{ID: "by hand", Source: "curl", Time: a.Time.Add(time.Hour)}, a)
		}
		answer(w, list)
	})
	mux.HandleFunc("GET /v1/keys", func(w http.ResponseWriter, _ *http.Request) { answer(w, api.List[api.Key]{}) })
	mux.HandleFunc("POST /v1/keys", func(w http.ResponseWriter, _ *http.Request) {
		key := fmt.Sprintf("ts_made%d", len(s.keys))
		s.keys = append(s.keys, key)
		answer(w, api.NewKeyAnswer{Token: key})
	})
	mux.HandleFunc("POST /v1/usage", s.usage)
	var one sync.Mutex // a request may come while the one before, which was cut off, still ends
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		one.Lock()
		defer one.Unlock()
		if !slices.Contains(s.keys, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")) {
			refuse(w, http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func refuse(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
}

func answer(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }

func (s *site) usage(w http.ResponseWriter, r *http.Request) {
	status := http.StatusAccepted
	if len(s.script) > 0 {
		status, s.script = s.script[0], s.script[1:]
	}
	switch status {
	case 0:
		panic(http.ErrAbortHandler)
	case http.StatusAccepted:
	default:
		refuse(w, status)
		return
	}
	var events []event
	if err := json.NewDecoder(r.Body).Decode(&events); err != nil {
		s.t.Errorf("usage: %v", err)
	}
	for _, e := range events {
		s.got[e.ID]++
		s.order = append(s.order, e)
	}
	s.backfil[r.URL.Query().Get("backfill") == "true"] += len(events)
	w.WriteHeader(http.StatusAccepted)
	answer(w, api.IngestAnswer{Accepted: len(events)})
}

func (s *site) player(now *time.Time, change ...func(*Settings)) *player {
	s.t.Helper()
	settings := Settings{Addr: s.url, Key: "ts_admin", Now: func() time.Time { return *now }}
	for _, f := range change {
		f(&settings)
	}
	p, err := newPlayer(settings, slog.New(slog.DiscardHandler))
	if err != nil {
		s.t.Fatal(err)
	}
	p.wait = func(ctx context.Context, d time.Duration) error { *now = now.Add(d); return ctx.Err() }
	return p
}

// Refused, cut off and slowed down, the player sends every event of its time, in order, and none that was acknowledged twice.
func TestEveryEventArrives(t *testing.T) {
	s := newSite(t)
	now := noon.Add(90 * time.Second)
	p := s.player(&now)
	s.script = []int{503, 429, 0, 202, 500, 0, 202}
	next, err := p.advance(t.Context(), noon, now)
	if err != nil || !next.Equal(noon.Add(90*time.Second)) {
		t.Fatalf("came to %s: %v", next, err)
	}
	want := 0
	for second := range 90 {
		for _, e := range eventsIn(noon.Add(time.Duration(second) * time.Second)) {
			want++
			if s.got[e.ID] != 1 {
				t.Fatalf("event %s was accepted %d times", e.ID, s.got[e.ID])
			}
		}
	}
	if len(s.got) != want || s.backfil[true] != 0 {
		t.Errorf("%d events, %d as backfill; want %d and none", len(s.got), s.backfil[true], want)
	}
}

func TestARefusalForGoodEndsIt(t *testing.T) {
	s := newSite(t)
	now := noon.Add(time.Second)
	s.script = []int{400}
	if _, err := s.player(&now).advance(t.Context(), noon, now); err == nil || !strings.Contains(err.Error(), "send usage") {
		t.Errorf("got %v", err)
	}
	if err := s.player(&now, func(c *Settings) { c.Key = "ts_wrong" }).load(t.Context()); err == nil || !strings.Contains(err.Error(), "TOLLSTREAM_API_KEY") {
		t.Errorf("wrong key: got %v", err)
	}
}

// A first start fills in the past; a second one goes on, without doubles beyond the overlap; a long pause is filled hour by hour.
func TestStartStopStart(t *testing.T) {
	s := newSite(t)
	now := noon.Add(10*time.Minute + 300*time.Millisecond)
	play := func(seconds int) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		p := s.player(&now)
		waits := 0
		p.wait = func(_ context.Context, d time.Duration) error {
			now = now.Add(d)
			if waits++; waits > seconds {
				cancel()
				return ctx.Err()
			}
			return nil
		}
		if err := p.play(ctx); err != nil && ctx.Err() == nil {
			t.Fatal(err)
		}
		newest := s.order[len(s.order)-1]
		s.newest["harbor"] = api.Activity{ID: newest.ID, Source: Source, Time: newest.Time}
	}
	play(5)
	if s.loaded != 1 || s.backfil[true] == 0 || s.backfil[false] == 0 {
		t.Fatalf("catalogue loaded %d times, %d events of the past, %d live", s.loaded, s.backfil[true], s.backfil[false])
	}
	first := s.order[0].Time
	if want := time.Date(2026, 10, 1, 5, 30, 0, 0, time.UTC); !first.Equal(want) {
		t.Errorf("the past begins at %s, want %s", first, want)
	}
	past := s.backfil[true]
	now = now.Add(20 * time.Minute)
	play(5)
	if s.loaded != 1 || s.backfil[true] != past {
		t.Errorf("the second start loaded the catalogue %d times and sent %d events of the past again", s.loaded-1, s.backfil[true]-past)
	}
	live := map[int64]bool{}
	for _, e := range s.order {
		if strings.HasPrefix(e.ID, livePrefix) {
			live[e.Time.Unix()] = true
		}
	}
	if len(live) < 20*60 {
		t.Errorf("usage of %d seconds, want the 20 minutes between the starts too", len(live))
	}
	now = now.Add(5 * time.Hour)
	play(2)
	hours := map[string]bool{}
	for _, e := range s.order {
		if strings.HasPrefix(e.ID, historyPrefix) && e.Time.After(noon) {
			hours[e.Time.Format("15:04")] = true
		}
	}
	if len(hours) != 4 { // 12:30 to 15:30: 11 began second by second, 16 is not over
		t.Errorf("the long pause was filled with %v", hours)
	}
}

func TestAnnouncesThePages(t *testing.T) {
	s := newSite(t)
	now := noon
	var out bytes.Buffer
	if err := s.player(&now, func(c *Settings) { c.Out = &out }).announce(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"http://pages/c/nordwind?token=x", "http://pages/c/harbor?token=x", s.url + "/ops"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q lacks %s", out.String(), want)
		}
	}
}

func TestKeyOfItsOwn(t *testing.T) {
	s := newSite(t)
	now := noon
	file := filepath.Join(t.TempDir(), "demo.key")
	unlock := func(key string) error {
		return s.player(&now, func(c *Settings) { c.Key, c.KeyFile = key, file }).unlock(t.Context())
	}
	if err := unlock(""); err == nil || !strings.Contains(err.Error(), "TOLLSTREAM_API_KEY") {
		t.Errorf("without any key: %v", err)
	}
	for range 2 { // the second start finds it
		if err := unlock("ts_admin"); err != nil {
			t.Fatal(err)
		}
	}
	if err := unlock(""); err != nil {
		t.Errorf("a later start, which knows no admin key: %v", err)
	}
	if len(s.keys) != 2 {
		t.Errorf("keys %v, want one made", s.keys)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v", info.Mode(), err)
	}
	s.keys = []string{"ts_admin"} // another database: the kept key is worth nothing
	if err := unlock("ts_admin"); err != nil || len(s.keys) != 2 {
		t.Errorf("keys %v: %v", s.keys, err)
	}
}

func TestNobodyThere(t *testing.T) {
	s := newSite(t)
	now := noon
	p := s.player(&now, func(c *Settings) { c.Addr = "127.0.0.1:1" })
	if err := p.play(t.Context()); err == nil || !strings.Contains(err.Error(), "tollstream run") {
		t.Errorf("got %v", err)
	}
}
