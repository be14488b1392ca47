package pg_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/pg"
)

// changed is the line after some more usage: everything that may change has.
func changed(l rater.LineState) rater.LineState {
	l.Quantity, l.Events, l.Amount, l.Segments = money.MustParse("-7.5"), l.Events+40, money.MustParse("99.000000000001"), []byte{9, 8}
	l.Seq, l.RateLevel, l.RateAccount, l.RateID, l.RateModel = 18, "product_default", "", "r-2", "volume"
	l.Version += 1000
	return l
}

// Lines that stand are updated, new ones inserted; a line that is said to stand and does not is written whole.
func TestKnownLines(t *testing.T) {
	s, pool := open(t)
	_, f := acquire(t, s, 3, alice)
	_, other := acquire(t, s, 4, alice)
	lines := []rater.LineState{lineState(1, 0), lineState(1, 1), lineState(2, 0)}
	commit(t, s, rater.OutcomeCommitted, cut(f, 5, lines...))
	commit(t, s, rater.OutcomeCommitted, cut(other, 5, lines...)) // the same families on another partition stay as they are
	f.Next = 5

	// Out of order: a line that stands, a new one, one that does not stand though it is said to, one more that stands.
	next := cut(f, 6, changed(lines[2]), lineState(3, 0), lineState(4, 0), changed(lines[1]))
	next.Stored = []bool{true, false, true, true}
	commit(t, s, rater.OutcomeCommitted, next)
	f.Next = 6
	expect := func(f rater.Fence, want ...rater.LineState) {
		t.Helper()
		got, err := s.Lines(t.Context(), f, []activity.ID{id(1), id(2), id(3), id(4)})
		if err != nil {
			t.Fatal(err)
		}
		byID := map[activity.ID]rater.LineState{}
		for _, l := range got {
			byID[l.Line] = l
		}
		if len(got) != len(want) {
			t.Fatalf("%d lines stand, %d expected", len(got), len(want))
		}
		for _, l := range want {
			if !reflect.DeepEqual(byID[l.Line], l) {
				t.Errorf("line of family %x is\n%+v, want\n%+v", l.Family[:4], byID[l.Line], l)
			}
		}
	}
	other.Next = 5
	expect(f, lines[0], changed(lines[1]), changed(lines[2]), lineState(3, 0), lineState(4, 0))
	expect(other, lines...)

	// A list of hints that is too short says nothing about the rest.
	next = cut(f, 7, changed(lines[0]), lineState(2, 0))
	next.Stored = []bool{true}
	commit(t, s, rater.OutcomeCommitted, next)
	f.Next = 7
	expect(f, changed(lines[0]), changed(lines[1]), lines[2], lineState(3, 0), lineState(4, 0))

	// The planner's settings end with the transaction.
	var seqscan string
	if err := pool.QueryRow(t.Context(), "SHOW enable_seqscan").Scan(&seqscan); err != nil || seqscan != "on" {
		t.Errorf("enable_seqscan is %q, %v", seqscan, err)
	}
}

// A plan that goes through a partition for each line, or through the lines for each of a partition, takes minutes where these take
// a second. PostgreSQL would choose one while it believes that the table is small, and keep it.
func TestLinesAreFoundByTheIndex(t *testing.T) {
	s, pool := open(t)
	_, f := acquire(t, s, 0, alice)
	lines := make([]rater.LineState, 300)
	for i := range lines {
		lines[i] = lineState(i, 0)
	}
	planner, update, read := pg.LineStatements()
	check := func(when string) {
		t.Helper()
		for _, statement := range []struct {
			sql, planner string
			parameters   int
			want         []string
		}{
			{update, planner, 14, []string{"Tid Scan on line l", `Index Cond: ((partition = $1) AND (family = u.family) AND ("position" = u."position"))`}},
			{pg.FoldStatement(), planner, 4, []string{
				"Tid Scan on line l", "Index Cond: ((partition = $1) AND (cut = k_1.cut) AND (first <= $4) AND (first >= COALESCE(",
				`Index Cond: ((partition = $1) AND (family = u.family) AND ("position" = u."position"))`,
			}},
			{read, "SET LOCAL plan_cache_mode = force_generic_plan", 6, []string{"Index Cond: ((partition = $1) AND (family = i.family))"}},
		} {
			plan := planOf(t, pool, statement.planner, statement.sql, statement.parameters)
			for _, want := range statement.want {
				if !strings.Contains(plan, want) {
					t.Errorf("%s the plan has no %q:\n%s", when, want, plan)
				}
			}
			if strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "Bitmap") || strings.Contains(plan, "Hash Join") || strings.Contains(plan, "Merge") {
				t.Errorf("%s the plan goes through more than it looks for:\n%s", when, plan)
			}
		}
	}
	check("of an empty table")
	commit(t, s, rater.OutcomeCommitted, cut(f, 5, lines...))
	check("of a table that has just grown")
	if _, err := pool.Exec(t.Context(), "ANALYZE line"); err != nil {
		t.Fatal(err)
	}
	check("of a table that the planner knows")
}

// planOf is the plan that a session keeps of a statement, whatever its parameters.
func planOf(t *testing.T, pool *pgxpool.Pool, planner, sql string, parameters int) (plan string) {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	for _, do := range []string{planner, "PREPARE planned AS " + sql} {
		if _, err := tx.Exec(t.Context(), do, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatal(err)
		}
	}
	explain := "EXPLAIN EXECUTE planned (NULL" + strings.Repeat(", NULL", parameters-1) + ")"
	rows, err := tx.Query(t.Context(), explain, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		t.Fatal(err)
	}
	var line string
	if _, err := pgx.ForEachRow(rows, []any{&line}, func() error { plan += line + "\n"; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "DEALLOCATE planned"); err != nil {
		t.Fatal(err)
	}
	return plan
}
