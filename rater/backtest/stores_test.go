package backtest_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tollstream/tollstream/deploy/schema"
	"github.com/tollstream/tollstream/deploy/teststores"
	"github.com/tollstream/tollstream/rater/backtest"
	"github.com/tollstream/tollstream/rater/catalog"
	catalogpg "github.com/tollstream/tollstream/rater/catalog/pg"
	"github.com/tollstream/tollstream/rater/sink"
	"github.com/tollstream/tollstream/rater/sink/clickhouse"
	"github.com/tollstream/tollstream/rater/sink/postgres"
	"github.com/tollstream/tollstream/rater/sink/storetest"
)

// everything is the content of all tables of a database, as text.
func everything(t *testing.T, pool *pgxpool.Pool) string {
	t.Helper()
	rows, err := pool.Query(t.Context(), "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE' ORDER BY 1")
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) < 10 {
		t.Fatal(tables, err)
	}
	var b strings.Builder
	for _, table := range tables {
		var n int
		var sum string
		name := pgx.Identifier{table}.Sanitize()
		if err := pool.QueryRow(t.Context(), "SELECT count(*), coalesce(md5(string_agg(x::text, '|' ORDER BY x::text)), '') FROM "+name+" x").Scan(&n, &sum); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, table, n, sum)
	}
	return b.String()
}

// TestInStores: the figures that were worked out by hand, from each report store and the catalogue as it is stored; and nothing is changed.
func TestInStores(t *testing.T) {
	// acme's 200 calls without its contract: 200 × 0.06.
	inStores(t, november(t), []string{book}, volume+"\ndelete: [{kind: contract, id: c-1}]\naccounts: [{id: delta}]", 3,
		"acme calls USD 1: 8 12 4\nacme storage USD 1: 5 5 0\nbeta calls USD 2: 12.5 9 -3.5\nbeta storage USD 1: 2 2 0\ngamma calls USD 1: 8 8 0\ngamma storage USD 1: -1 -1 0\n")
}

// TestExchangeRatesInStores: calls at twice the price, at the exchange rates that their charges rest on.
func TestExchangeRatesInStores(t *testing.T) {
	inStores(t, exchanged(t), exchangeBooks, dearer, 1, rowsOf(map[string]string{"acme calls EUR 2": "20.8 41.6 20.8", "beta calls EUR 1": "1.25 2.5 1.25"}))
}

// TestTogetherInStores: a tree's accounts share tiers in the order of the log, whatever the store's.
func TestTogetherInStores(t *testing.T) {
	inStores(t, tree(t), []string{treeBook}, treeDraft, 1, treeRows)
}

// TestLevelsInStores: November begins with the levels of September.
func TestLevelsInStores(t *testing.T) {
	inStores(t, carriedOver(t), []string{levelBook}, carriedDraft, 1, carriedRows)
}

func inStores(t *testing.T, w *world, books []string, draft string, changed int, want string) {
	url := teststores.Postgres(t)
	if err := schema.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	definitions := catalogpg.New(pool, func() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) })
	parse := func(text string) *catalog.Document {
		doc, err := catalog.ParseDocument("book.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
	seq := int64(0)
	for _, text := range books {
		applied, err := definitions.Apply(t.Context(), parse(text))
		if err != nil {
			t.Fatal(err)
		}
		seq = applied.Seq
	}
	native, current := teststores.ClickHouse(t), teststores.ClickHouseCurrent(t)
	for name, open := range map[string]func() sink.Store{
		"PostgreSQL":       func() sink.Store { return postgres.NewStore(pool) },
		"ClickHouse 18.16": func() sink.Store { return openClickHouse(t, native) },
		"ClickHouse":       func() sink.Store { return openClickHouse(t, current) },
	} {
		t.Run(name, func(t *testing.T) {
			store := open()
			for range 2 { // a sink may insert a block twice
				for _, block := range storetest.Blocks(w.rows) {
					if err := store.Insert(t.Context(), block); err != nil {
						t.Fatal(err)
					}
				}
			}
			before := everything(t, pool)
			changes, err := definitions.Diff(t.Context(), parse(draft))
			if err != nil || len(changes) != changed {
				t.Fatal(changes, err)
			}
			snapshot, err := definitions.Snapshot(t.Context(), seq)
			if err != nil {
				t.Fatal(err)
			}
			overlay, err := backtest.NewOverlay(definitions, snapshot, catalog.NewDraft(changes, seq))
			if err != nil {
				t.Fatal(err)
			}
			history, ok := store.(sink.History)
			if !ok {
				t.Fatal("it has no history")
			}
			got, err := backtest.Run(t.Context(), history, overlay, backtest.Query{From: instant(start), To: instant(end)}, backtest.Limits{Workers: 2, Activities: 3, Accounts: 2, Rows: 100, Together: 9}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if text(got.Rows) != want {
				t.Errorf("\n%s, want\n%s", text(got.Rows), want)
			}
			if after := everything(t, pool); after != before {
				t.Errorf("PostgreSQL was changed:\n%s before:\n%s", after, before)
			}
			var rows []sink.Row
			for cursor := ""; ; {
				page, next, err := store.(sink.Reports).Activities(t.Context(), sink.ActivitiesQuery{After: cursor})
				if err != nil {
					t.Fatal(err)
				}
				if rows = append(rows, page...); next == "" {
					break
				}
				cursor = next
			}
			if len(rows) != len(w.rows) || !slices.EqualFunc(rows, w.rows, func(a, b sink.Row) bool {
				return a.Place() == b.Place() && a.Activity.Charge == b.Activity.Charge && reflect.DeepEqual(a.Activity.Terms, b.Activity.Terms)
			}) {
				t.Errorf("the report store was changed: %d rows of %d", len(rows), len(w.rows))
			}
		})
	}
}

func openClickHouse(t *testing.T, url string) *clickhouse.Store {
	t.Helper()
	if err := clickhouse.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	s, err := clickhouse.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}
