package main

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tollstream/tollstream/cmd/tollstream/e2e/drive"
	"github.com/tollstream/tollstream/cmd/tollstream/e2e/oracle"
	"github.com/tollstream/tollstream/deploy/teststores"
)

// TestTenRounds is a short run on servers of its own, and then proof that the checks see what is wrong. The rounds are the same each time;
// new ones are drawn by make chaos.
func TestTenRounds(t *testing.T) {
	if testing.Short() {
		t.Skip("fault runs start real processes: run without -short")
	}
	teststores.Kafka(t) // without servers: skipped, or failed in CI
	cache := os.Getenv("TOLLSTREAM_CACHE")
	if cache == "" {
		cache = filepath.Join("..", "..", ".cache")
	}
	c := settings{
		Rounds: 10, From: 1, Seed: 1, Rate: 500, Binary: os.Getenv("E2E_BINARY"), Repo: filepath.Join("..", ".."),
		Cache: cache, Logs: t.TempDir(), patience: patience,
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	s, err := openSite(ctx, c)
	t.Cleanup(func() {
		if t.Failed() && s != nil {
			t.Logf("again: go run ./bench/chaos -rounds 10 -seed %d", c.Seed)
		}
		if s != nil {
			if err := s.close(false); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	r := newReport(ctx, c)
	if err := s.rounds(ctx, r, t.Output()); err != nil {
		t.Fatal(err)
	}
	if len(r.Rounds) != c.Rounds || r.Deep != 1 {
		t.Errorf("%d rounds, %d deep", len(r.Rounds), r.Deep)
	}
	const briefly = 2 * time.Second // what is wrong stays wrong
	s.patience = briefly
	for _, lie := range []struct{ what, says, tell, takeBack string }{
		{"a line", "lines in PostgreSQL", "UPDATE line SET amount = amount + 0.000000000001 WHERE account = 'acc-000'", "UPDATE line SET amount = amount - 0.000000000001 WHERE account = 'acc-000'"},
		{"a count", "reconcile", "UPDATE rater_count SET rated = rated + 1, accepted = accepted + 1 WHERE rated > 0", "UPDATE rater_count SET rated = rated - 1, accepted = accepted - 1 WHERE rated > 0"},
		{"a rejection", "rejected", "UPDATE rejected_usage SET reason = 'late' WHERE reason = 'too_old'", "UPDATE rejected_usage SET reason = 'too_old' WHERE reason = 'late'"},
	} {
		execute(t, s, lie.tell)
		if err := s.settle(ctx, time.Now(), new(round)); err == nil || !strings.Contains(err.Error(), lie.says) {
			t.Errorf("%s that is wrong: %v", lie.what, err)
		}
		execute(t, s, lie.takeBack)
	}
	s.patience = patience
	if err := s.settle(ctx, time.Now(), new(round)); err != nil {
		t.Errorf("all is right again: %v", err)
	}
	s.patience = briefly
	s.load.book.bills.Add(oracle.Use{Billed: "acc-000", Account: "acc-000", Product: "seats", Quantity: "1", At: s.load.traffic.Begin})
	if err := s.settle(ctx, time.Now(), new(round)); err == nil || !strings.Contains(err.Error(), "live invoice") {
		t.Errorf("an event that was lost: %v", err)
	}
	s.load.edges = append(s.load.edges, &edge{id: "edge-lost-"})
	if err := s.settle(ctx, time.Now(), new(round)); err == nil || !strings.Contains(err.Error(), "not in the log") {
		t.Errorf("an event that never reached the log: %v", err)
	}
}

func execute(t *testing.T, s *site, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.addrs[teststores.EnvPostgres])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	if tag, err := conn.Exec(t.Context(), sql); err != nil || tag.RowsAffected() == 0 {
		t.Fatalf("%s: %v, %d rows", sql, err, tag.RowsAffected())
	}
}

// TestSeedDecides: the same seed and round do the same, whatever round the run began with, and all kinds of faults come.
func TestSeedDecides(t *testing.T) {
	s := &site{wires: map[string]*wire{}, members: map[string]*member{}, disks: true, clocks: true}
	for name := range roles {
		s.members[name] = &member{name: name}
	}
	names := func(n uint64) (list []string) {
		for _, f := range s.choose(rand.New(rand.NewPCG(7, n))) {
			list = append(list, f.String())
		}
		return list
	}
	kinds := map[string]int{}
	for n := range uint64(200) {
		if first := names(n); !slices.Equal(first, names(n)) {
			t.Fatalf("round %d: %v, then %v", n, first, names(n))
		}
		for _, f := range s.choose(rand.New(rand.NewPCG(7, n))) {
			kinds[f.kind]++
			if f.hold < time.Second || f.hold > 15*time.Second {
				t.Errorf("%s is held for %s", f, f.hold)
			}
		}
	}
	for _, c := range []struct {
		name, store string
		uses        bool
	}{{"rater-1", storeClickHouse, false}, {"sink-2", storeRedis, false}, {"rater-2", storeRedis, true}, {"sink-1", storeClickHouse, true}, {"api", storeClickHouse, true}} {
		if uses(c.name, c.store) != c.uses {
			t.Errorf("%s uses %s: %v", c.name, c.store, !c.uses)
		}
	}
	if len(kinds) != 9 {
		t.Errorf("kinds of faults: %v", kinds)
	}
	s.disks, s.clocks = false, false
	for n := range uint64(200) {
		for _, f := range s.choose(rand.New(rand.NewPCG(7, n))) {
			if f.kind == "full disk" || f.kind == "clock step" {
				t.Fatalf("%s on a machine that cannot", f)
			}
		}
	}
}

// TestEdgesAreDecidedByTheLog: 10:00:00.000 stands in the log; an hour later to the millisecond is rated, what is beyond is not, until log
// time has reached it.
func TestEdgesAreDecidedByTheLog(t *testing.T) {
	ten := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name            string
		ahead           time.Duration
		rated, rejected bool
		second          time.Duration // log time when it was sent again, beyond ten; 0: it was not
	}{
		{"just within", time.Hour - time.Microsecond, true, false, 0},
		{"just beyond", time.Hour + time.Microsecond, false, true, 0},
		{"beyond, and again when it is time", time.Hour + time.Minute, true, true, 2 * time.Minute},
		{"beyond, and again too early", time.Hour + time.Minute, false, true, time.Second},
		{"within, and again", time.Hour - time.Minute, true, false, time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			traffic := drive.NewTraffic(rand.New(rand.NewPCG(1, 1)), 1)
			e := &edge{id: "edge-1-", use: oracle.Use{Billed: edgeAccount, Account: edgeAccount, Product: "seats", Quantity: "1", At: ten.Add(c.ahead)}}
			l := &load{edges: []*edge{e}, book: book{bills: oracle.NewBook(traffic.RatesOf), rejected: map[string]string{}}}
			seen := []sighting{{[]byte("\x01edge-11-"), ten.Add(time.Hour)}, {[]byte("\x01edge-1-\x02"), ten}}
			if c.second > 0 {
				seen = append(seen, sighting{[]byte("edge-2-edge-1-"), ten.Add(c.second)})
			}
			if err := l.decide(seen); err != nil {
				t.Fatal(err)
			}
			if (l.book.events == 1) != c.rated || (l.book.rejected["edge-1-"] == "too_new") != c.rejected {
				t.Errorf("rated %d, rejected %v", l.book.events, l.book.rejected)
			}
			if bills := l.book.bills.Bills(); (bills[edgeAccount] != nil) != c.rated {
				t.Errorf("bills: %v", bills)
			}
		})
	}
}

func TestRecoveryByFault(t *testing.T) {
	r := &report{Rounds: []round{
		{kinds: []string{"kill"}, Live: 1, Recovered: 2},
		{kinds: []string{"kill", "kill"}, Live: 3, Recovered: 9},
		{kinds: []string{"stop", "kill"}, Live: 5, Recovered: 6},
	}}
	r.finish()
	for kind, want := range map[string]recovery{
		"kill":    {3, summary{3, 5, 5}, summary{6, 9, 9}},
		"stop":    {1, summary{5, 5, 5}, summary{6, 6, 6}},
		allFaults: {3, summary{3, 5, 5}, summary{6, 9, 9}},
	} {
		if got := r.Recovery[kind]; got != want {
			t.Errorf("%s: %+v, want %+v", kind, got, want)
		}
	}
	if page := r.markdown(); !strings.Contains(page, "| kill | 3 | 3.0 | 5.0 | 5.0 | 6.0 | 9.0 | 9.0 |") {
		t.Errorf("the page:\n%s", page)
	}
}
