package pg_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tollstream/tollstream/collector"
	"github.com/tollstream/tollstream/collector/format"
	"github.com/tollstream/tollstream/collector/pg"
	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/deploy/freeport"
)

func TestStoreAwayIsWaitedFor(t *testing.T) {
	address, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.New(t.Context(), "postgres://nobody@"+address+"/x?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	store := pg.New(pool, time.Now)
	if _, err := store.BeginRun(t.Context(), collector.Begin{}); !errors.Is(err, collector.ErrUnavailable) {
		t.Errorf("begin: %v", err)
	}
	if err := store.SaveRun(t.Context(), collector.Save{}); !errors.Is(err, collector.ErrUnavailable) {
		t.Errorf("save: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := store.SaveRun(ended, collector.Save{}); errors.Is(err, collector.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("save after the end: %v", err)
	}
}

func TestSavingTwiceCountsOnce(t *testing.T) {
	w := newWorld(t)
	begun, err := w.store.BeginRun(t.Context(), collector.Begin{File: collector.FileKey{Collector: "c", Hash: "h"}, Name: "f"})
	if err != nil || begun.From != format.Start || begun.Done != nil {
		t.Fatalf("%v %+v", err, begun)
	}
	save := collector.Save{
		File: collector.FileKey{Collector: "c", Hash: "h"}, Run: begun.Run, Next: format.Position{Offset: 100, Line: 9}, State: collector.RunRunning,
		Counts: collector.Counts{Rows: 8, Sent: 7, Rejected: 1}, Errors: []collector.RowError{{Line: 3, Code: usage.CodeTime, Message: "m", Raw: "r"}},
	}
	for range 2 {
		if err := w.store.SaveRun(t.Context(), save); err != nil {
			t.Fatal(err)
		}
	}
	page, _, err := w.store.Errors(t.Context(), begun.Run, "", 10)
	if run, err2 := w.store.Run(t.Context(), begun.Run); err != nil || err2 != nil || len(page) != 1 || run.Rows != 8 || run.Rejected != 1 || run.EndedAt != nil {
		t.Errorf("%v %v %+v %+v", err, err2, page, run)
	}
	back := save
	back.Next.Offset = 50
	if err := w.store.SaveRun(t.Context(), back); !errors.Is(err, collector.ErrTakenOver) {
		t.Errorf("a checkpoint that goes back: %v", err)
	}
	again, err := w.store.BeginRun(t.Context(), collector.Begin{File: save.File, Name: "f"})
	if err != nil || again.From != save.Next {
		t.Errorf("%v %+v", err, again)
	}
	if err := w.store.SaveRun(t.Context(), save); !errors.Is(err, collector.ErrTakenOver) {
		t.Errorf("the run that was taken over: %v", err)
	}
}

func TestConfigs(t *testing.T) {
	w := newWorld(t)
	put := func(name, document string, version int, created bool) {
		t.Helper()
		got, isNew, err := w.store.PutConfig(t.Context(), name, []byte(document))
		if err != nil || got != version || isNew != created {
			t.Errorf("%s: version %d, new %v, %v", name, got, isNew, err)
		}
	}
	put("calls", callsConfig, 1, true)
	put("calls", callsConfig, 1, false)
	put("calls", callsConfig+"backfill: true\n", 2, true)
	put("calls", callsConfig, 3, true)
	put("b", callsConfig, 1, true)
	if c, err := w.store.Config(t.Context(), "calls", 0); err != nil || c.Version != 3 || c.Document != callsConfig {
		t.Errorf("%v %+v", err, c)
	}
	if c, err := w.store.Config(t.Context(), "calls", 2); err != nil || !strings.Contains(c.Document, "backfill") {
		t.Errorf("%v %+v", err, c)
	}
	if _, err := w.store.Config(t.Context(), "calls", 9); !errors.Is(err, pg.ErrNotFound) {
		t.Errorf("%v", err)
	}
	page, next, err := w.store.Configs(t.Context(), "", 1)
	if err != nil || len(page) != 1 || page[0].Name != "b" || next != "b" {
		t.Errorf("%v %+v %q", err, page, next)
	}
	if page, next, err = w.store.Configs(t.Context(), next, 1); err != nil || len(page) != 1 || page[0].Version != 3 || next != "" {
		t.Errorf("%v %+v %q", err, page, next)
	}
	var where *collector.ConfigError
	if _, _, err := w.store.PutConfig(t.Context(), "calls", []byte("mapping: {}")); !errors.As(err, &where) {
		t.Errorf("bad document: %v", err)
	}
	if _, _, err := w.store.PutConfig(t.Context(), "No Name", []byte(callsConfig)); !errors.Is(err, pg.ErrName) {
		t.Errorf("bad name: %v", err)
	}
	if _, _, err := w.store.Runs(t.Context(), "calls", "x", 1); !errors.Is(err, pg.ErrCursor) {
		t.Errorf("bad cursor: %v", err)
	}
	if _, err := w.store.Run(t.Context(), 1<<40); !errors.Is(err, pg.ErrNotFound) {
		t.Errorf("no run: %v", err)
	}
	// Two writers at once: both are stored, as two versions.
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			if _, _, err := w.store.PutConfig(t.Context(), "race", fmt.Appendf(nil, "%s# %d\n", callsConfig, i)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if c, err := w.store.Config(t.Context(), "race", 0); err != nil || c.Version != 4 {
		t.Errorf("%v %+v", err, c)
	}
}
