package rater

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tollstream/tollstream/deploy/schema"
	"github.com/tollstream/tollstream/deploy/teststores"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/sink"
	"github.com/tollstream/tollstream/rater/sink/clickhouse"
	"github.com/tollstream/tollstream/rater/sink/postgres"
)

// reportStore is a report store as it is written and summed.
type reportStore interface {
	Insert(ctx context.Context, b sink.Block) error
	SumByLine(ctx context.Context, invoices []activity.ID, below map[int32]int64) ([]sink.LineSum, error)
}

func openedClickHouse(url func(testing.TB) string) func(*testing.T) reportStore {
	return func(t *testing.T) reportStore {
		at := url(t)
		if err := clickhouse.Migrate(t.Context(), at); err != nil {
			t.Fatal(err)
		}
		s, err := clickhouse.Open(at)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
}

// TestReportsOfRatingAnew: in the report store as well, what a line's activities and the adjustments of jobs sum to is the line: of one
// whose price another takes over in the past, which goes up and comes down to less than nothing, of late usage, and of corrections of a
// closed invoice.
func TestReportsOfRatingAnew(t *testing.T) {
	a := newAnew(t, object{"model": "per_unit", "unit_price": "1"}, object{"model": "per_unit", "unit_price": "2", "start": "2026-01-10T00:00:00Z"},
		object{"model": "per_unit", "unit_price": "5", "start": "2026-01-10T00:00:00Z"}, object{"model": "per_unit", "unit_price": "-3", "start": "2026-01-12T00:00:00Z"})
	a.use("10", 15)
	a.use("4", 5)
	a.activate(2)
	at := a.mark(2, 1)
	a.want(a.use("3", 16), "usage 6")
	a.want(a.result(2, 1, at), "definition:2 10") // the 10 cost 2 each
	a.seal()
	a.want(a.use("1", 15), "usage 2")
	a.activate(3)
	a.want(a.result(3, 1, a.mark(3, 1)), "definition:3 39, definition:3 3") // 13 cost 3 more each on the closed invoice, the late one 3 more
	a.activate(4)
	a.want(a.result(4, 1, a.mark(4, 1)), "definition:4 -104, definition:4 -8") // 8 less each
	january := activity.InvoiceID("main", "a", benchStart)
	invoices := []activity.ID{january}
	lines, err := a.LinesOfAccount(context.Background(), 0, "a")
	if err != nil {
		t.Fatal(err)
	}
	var amounts []string
	for _, l := range lines {
		if !slices.Contains(invoices, l.Invoice) {
			invoices = append(invoices, l.Invoice)
		}
	}
	for _, x := range []struct {
		what   string
		closed bool
		level  string
	}{{"january", true, ""}, {"late", false, ""}} {
		for _, l := range lines {
			if (l.Invoice == january) == x.closed && l.RateLevel != LevelCorrection {
				amounts = append(amounts, x.what+" "+l.Amount.String())
			}
		}
	}
	if got := fmt.Sprint(amounts); got != "[january 30 late 2]" { // 4 × 1 + 13 × 2; the corrections are −65 and −5
		t.Errorf("lines %s", got)
	}
	if len(invoices) != 2 {
		t.Errorf("%d invoices: the correction of late usage stays on the invoice that charges for it, which is open", len(invoices))
	}
	if len(lines) != 4 {
		t.Errorf("%d lines", len(lines))
	}
	a.reported(lines)
}

// TestReportsOfLevels: the same of lines that begin without an event, and of levels that are taken over anew.
func TestReportsOfLevels(t *testing.T) {
	a := newAnew(t, object{"model": "per_unit", "unit_price": "1", "aggregation": "time_weighted"},
		object{"model": "per_unit", "unit_price": "2", "aggregation": "time_weighted", "start": "2026-02-01T00:00:00Z"})
	day := func(n int64) int64 { return benchStart + (n-1)*24*benchHour }
	a.useAt("10", day(1))
	a.useAt("-1", day(60)) // in March
	a.seal()
	a.activate(2)
	at := a.mark(2, 1)
	a.useAt("4", day(46)) // half of February
	// February has 10 at 1, then 2 at 2; March 9, then 13 at 1; then all of that at 2.
	a.want(a.total(), "37")
	a.want(a.result(2, 1, at), "definition:2 10, definition:2 13")
	a.want(a.total(), "60")
	lines, err := a.LinesOfAccount(context.Background(), 0, "a")
	if err != nil || len(lines) != 3 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	a.reported(lines)
}

// reported checks that in every report store the lines' activities and adjustments sum to them.
func (a *anew) reported(lines []LineState) {
	t := a.t
	want := map[activity.ID]string{}
	var invoices []activity.ID
	for _, l := range lines {
		want[l.Line], invoices = l.Amount.String(), append(invoices, l.Invoice)
	}
	byMonth := map[int32][]sink.Row{}
	places := map[int64]int{}
	for i := range a.log {
		row := sink.Row{Offset: int64(a.log[i].Index), Activity: a.log[i]} // see step
		row.Activity.Index = places[row.Offset]
		places[row.Offset]++
		month := sink.MonthOf(row.Activity.EventTime)
		byMonth[month] = append(byMonth[month], row)
	}
	for name, open := range map[string]func(*testing.T) reportStore{
		"postgres": func(t *testing.T) reportStore {
			url := teststores.Postgres(t)
			if err := schema.Migrate(t.Context(), url); err != nil {
				t.Fatal(err)
			}
			pool, err := pgxpool.New(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(pool.Close)
			return postgres.NewStore(pool)
		},
		"clickhouse 18.16":   openedClickHouse(teststores.ClickHouse),
		"clickhouse current": openedClickHouse(teststores.ClickHouseCurrent),
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			for range 2 { // a sink that lost its answer
				for month, rows := range byMonth {
					if err := s.Insert(t.Context(), sink.Block{Month: month, Rows: rows}); err != nil {
						t.Fatal(err)
					}
				}
			}
			sums, err := s.SumByLine(t.Context(), invoices, map[int32]int64{0: a.offset})
			if err != nil {
				t.Fatal(err)
			}
			if len(sums) != len(want) {
				t.Errorf("%d sums of %d lines", len(sums), len(want))
			}
			for _, sum := range sums {
				if got := sum.Charged.String(); got != want[sum.Line] {
					t.Errorf("line %s: activities of %s, the line of %s", sum.Line, got, want[sum.Line])
				}
			}
		})
	}
}

// TestReportsOfValues: the same of distinct values that are counted anew, of late usage, and of corrections.
func TestReportsOfValues(t *testing.T) {
	a := newAnew(t, users("1"), since("10", users("3")), since("10", users("5")))
	a.want(a.by("ann@5 bob@15 cy@16 ann@17"), "1 1 1 0")
	a.activate(2)
	at := a.mark(2, 1)
	a.want(a.by("dan@18 bob@6"), "3 0")
	a.want(a.result(2, 1, at), "definition:2 2") // ann and bob 1, cy and dan 3
	a.seal()
	a.want(a.by("eve@20 cy@4"), "3 -2") // late: cy counts before the 10th now
	a.want(a.correct("c", "-1", 18, "e5"), ReasonCorrectionWaits)
	// Of the closed invoice dan goes, and cy costs 2 more: −3 + 2. The late line counts eve at 5 now, and takes back 4 for cy: as much as before.
	a.want(a.again(3), "definition:3 -1, usage 0")
	a.want(a.total(), "8")
	lines, err := a.LinesOfAccount(context.Background(), 0, "a")
	if err != nil {
		t.Fatal(err)
	}
	a.reported(lines)
}
