package reconcile_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tollstream/tollstream/deploy/schema"
	"github.com/tollstream/tollstream/deploy/teststores"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/reconcile"
	reconcilepg "github.com/tollstream/tollstream/rater/reconcile/pg"
	"github.com/tollstream/tollstream/rater/sink"
	"github.com/tollstream/tollstream/rater/sink/kafka"
	"github.com/tollstream/tollstream/rater/sink/postgres"
)

var _ reconcile.Rated = (*kafka.Log)(nil)

const november int32 = 2026*12 + 10

var (
	invoiceA, invoiceB  = activity.ID{1}, activity.ID{2}
	lineA, lineB, lineC = activity.ID{0xa}, activity.ID{0xb}, activity.ID{0xc}
)

// world is what the stores hold; a case spoils it before it is written.
type world struct {
	checkpoints []reconcile.Checkpoint
	lines       []reconcile.Line
	records     map[int32][]activity.Record // of `rated`
	rows        []sink.Row                  // of the report store
	pools       []pool
	segments    map[activity.ID][]byte // of lines, as they are stored
	positions   []sink.Position
	blind       bool // no broker at hand
	deep        bool
}

func dec(s string) money.Decimal { return money.MustParse(s) }

func act(kind activity.Kind, index int, date, charge, currency, after string, invoice, line activity.ID) activity.Activity {
	t, err := time.Parse(time.DateOnly, date)
	if err != nil {
		panic(err)
	}
	return activity.Activity{Kind: kind, Index: index, EventTime: t.UnixNano(), Charge: dec(charge), LineAmount: dec(after),
		Terms: &activity.Terms{Product: "calls", Currency: currency}, Target: &activity.Target{Account: "acme", Invoice: invoice, Line: line}}
}

// consistent: on partition 0 the month holds 0.3 − 0.1 USD and 1 EUR; line A also has 0.2 USD of October.
func consistent() *world {
	w := &world{records: map[int32][]activity.Record{
		0: {
			{Offset: 0, Previous: -1, Activities: []activity.Activity{act(1, 0, "2026-11-01", "0.3", "USD", "0.3", invoiceA, lineA)}},
			{Offset: 2, Previous: 0, Activities: []activity.Activity{act(1, 0, "2026-10-31", "0.2", "USD", "0.5", invoiceA, lineA)}},
			{Offset: 3, Previous: 2, Duplicates: 1, Rejected: []activity.Rejected{{EventTime: act(1, 0, "2026-11-03", "0", "", "0", invoiceA, lineA).EventTime}}},
			{Offset: 5, Previous: 3, Activities: []activity.Activity{
				act(2, 0, "2026-11-01", "-0.1", "USD", "0.4", invoiceA, lineA), act(1, 1, "2026-11-02", "1", "EUR", "1", invoiceB, lineB)}},
		},
		1: {{Offset: 1, Previous: -1, Activities: []activity.Activity{act(1, 0, "2026-11-05", "5", "USD", "5", invoiceA, lineC)}}},
	}}
	for p, records := range w.records {
		for _, r := range records {
			for _, a := range r.Activities {
				w.add(p, r.Offset, a)
			}
		}
	}
	w.checkpoints = []reconcile.Checkpoint{
		{Partition: 0, Next: 6, Last: 5, Counts: []reconcile.Count{
			{Accepted: 3, Retried: 1, Rated: 2, Duplicates: 1, Rejected: 1}, {Currency: "EUR", Charged: dec("1")}, {Currency: "USD", Charged: dec("0.2")}}},
		{Partition: 1, Next: 2, Last: 1, Counts: []reconcile.Count{{Accepted: 1, Rated: 1}, {Currency: "USD", Charged: dec("5")}}},
		{Partition: 2, Next: 0, Last: -1}, // nothing yet
	}
	w.lines = []reconcile.Line{
		{Partition: 0, Invoice: invoiceA, Line: lineA, Currency: "USD", Amount: dec("0.4"), Version: 6},
		{Partition: 0, Invoice: invoiceB, Line: lineB, Currency: "EUR", Amount: dec("1"), Version: 6},
		{Partition: 1, Invoice: invoiceA, Line: lineC, Currency: "USD", Amount: dec("5"), Version: 2},
	}
	w.positions = []sink.Position{{Partition: 0, Next: 4, Last: 5}, {Partition: 1, Next: 1, Last: 1}}
	return w
}

func (w *world) add(partition int32, offset int64, a activity.Activity) {
	w.rows = append(w.rows, sink.Row{Partition: partition, Offset: offset, Activity: a})
}

func (w *world) row(partition int32, offset int64, index int) *sink.Row {
	return &w.rows[slices.IndexFunc(w.rows, func(r sink.Row) bool {
		return r.Place() == sink.Place{Partition: partition, Offset: offset, Index: index}
	})]
}

func (w *world) remove(partition int32, offset int64, index int) {
	w.rows = slices.DeleteFunc(w.rows, func(r sink.Row) bool {
		return r.Place() == sink.Place{Partition: partition, Offset: offset, Index: index}
	})
}

// Walk implements reconcile.Rated.
func (w *world) Walk(_ context.Context, partition int32, each func(int64, *activity.Record) error) error {
	for i := range w.records[partition] {
		if err := each(int64(i), &w.records[partition][i]); err != nil {
			return err
		}
	}
	return nil
}

// write puts the world into an emptied database.
func (w *world) write(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	ctx := t.Context()
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := pool.Exec(ctx, sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range []string{"rated_activity", "sink_position", "rater_checkpoint", "rater_count", "line", "rater_pool"} {
		exec("DELETE FROM " + table)
	}
	for _, c := range w.checkpoints {
		exec("INSERT INTO rater_checkpoint (partition, epoch, owner, next_offset, last_offset) VALUES ($1, 1, gen_random_uuid(), $2, $3)", c.Partition, c.Next, c.Last)
		for _, n := range c.Counts {
			exec("INSERT INTO rater_count VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::numeric)", c.Partition, november, n.Currency,
				n.Accepted, n.Retried, n.Rated, n.Duplicates, n.Rejected, n.Charged.String())
		}
	}
	for _, l := range w.lines {
		exec(`INSERT INTO line VALUES ($1, $2, 0, $2, $3, 'acme', 'acme', 'main', 'calls', '', '[]', $4, 0, 1, $7, $8, 0, 1, $5::text::numeric, $9, 1, '', '', '', '', $6)`,
			l.Partition, pgtype.UUID{Bytes: l.Line, Valid: true}, pgtype.UUID{Bytes: l.Invoice, Valid: true}, l.Currency, l.Amount.String(), l.Version,
			periodStart, periodEnd, append([]byte{}, w.segments[l.Line]...))
	}
	for _, p := range w.pools {
		exec(`INSERT INTO rater_pool VALUES ($1, $2, 'invoice', '', 'main', 'acme', 'calls', 'USD', $3, $4, $5::text::numeric, $6, 1, 1)`,
			p.partition, pgtype.UUID{Bytes: p.id, Valid: true}, periodStart, periodEnd, p.amount, p.segments)
	}
	byMonth := map[int32][]sink.Row{}
	for _, r := range w.rows {
		m := sink.MonthOf(r.Activity.EventTime)
		byMonth[m] = append(byMonth[m], r)
	}
	for m, rows := range byMonth {
		if err := postgres.NewStore(pool).Insert(ctx, sink.Block{Month: m, Rows: rows}); err != nil {
			t.Fatal(err)
		}
	}
	if err := postgres.NewState(pool).SavePositions(ctx, w.positions); err != nil {
		t.Fatal(err)
	}
}

func database(t *testing.T) *pgxpool.Pool {
	t.Helper()
	url := teststores.Postgres(t)
	if err := schema.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func (w *world) reconcile(t *testing.T, pool *pgxpool.Pool) (*reconcile.Result, error) {
	t.Helper()
	w.write(t, pool)
	r := &reconcile.Reconciler{Books: reconcilepg.NewBooks(pool), Store: postgres.NewStore(pool), Positions: postgres.NewState(pool),
		Rated: w, Pause: reconcile.PauseFor(time.Millisecond), Patience: 2}
	if w.blind {
		r.Rated = nil
	}
	return r.Month(t.Context(), reconcile.Options{Month: november, Deep: w.deep})
}

const idA, idInvoiceA = "0a000000000000000000000000000000", "01000000000000000000000000000000"

func TestMonth(t *testing.T) {
	pool := database(t)
	for _, c := range []struct {
		name  string
		spoil func(*world)
		want  string // the first difference; "" none
	}{
		{"all agree", func(*world) {}, ""},
		{"all agree, deep", func(w *world) { w.deep = true }, ""},
		{"usage lost between the counters", func(w *world) { w.checkpoints[0].Counts[0].Accepted++ },
			"partition 0: usage taken in and dealt with: 5 in accepted + retried, 4 in rated + duplicates + rejected"},
		{"an activity missing in reports", func(w *world) { w.remove(0, 5, 1) },
			"partition 0, offset 5: activities: 1 events charged 1 EUR in the rated topic, nothing in the report store"},
		{"the same without a broker", func(w *world) { w.remove(0, 5, 1); w.blind = true },
			"partition 0: rated usage events: 2 in the checkpoint's counters, 1 in the report store"},
		{"a charge differs in reports", func(w *world) { w.row(0, 0, 0).Activity.Charge = dec("0.300000000001") },
			"partition 0, offset 0: activities: 1 events charged 0.3 USD in the rated topic, 1 events charged 0.300000000001 USD in the report store"},
		{"an activity too many in reports", func(w *world) {
			w.rows = append(w.rows, sink.Row{Partition: 0, Offset: 4, Activity: act(1, 0, "2026-11-09", "7", "USD", "7", invoiceA, lineA)})
		}, "partition 0, offset 4: activities: nothing in the rated topic, 1 events charged 7 USD in the report store"},
		{"an activity too many at the end", func(w *world) {
			w.rows = append(w.rows, sink.Row{Partition: 1, Offset: 1, Activity: act(1, 1, "2026-11-09", "7", "XAF", "7", invoiceA, lineA)})
		}, "partition 1, offset 1: activities: nothing in the rated topic, 1 events charged 7 XAF in the report store"},
		{"the counters are wrong", func(w *world) { w.checkpoints[1].Counts[1].Charged = dec("5.5") },
			"partition 1: charges: 5.5 USD in the checkpoint's counters, 5 USD in the report store; the report store agrees with the rated topic at every offset, so the counters are at fault"},
		{"two swapped charges in reports, deep", func(w *world) {
			w.deep = true
			w.row(0, 0, 0).Activity.Charge, w.row(0, 5, 0).Activity.Charge = dec("-0.1"), dec("0.3")
		}, "partition 0, offset 0: activities: 1 events charged 0.3 USD in the rated topic, 1 events charged -0.1 USD in the report store"},
		{"rejected usage missing in the topic", func(w *world) { w.deep = true; w.records[0][2].Rejected = nil },
			"partition 0: rejected usage events: 1 in the checkpoint's counters, 0 in the rated topic"},
		{"the topic ends early", func(w *world) { w.deep = true; w.records[1] = nil },
			"partition 1, offset 1: the last rated usage offset: 1 in the checkpoint, -1 in the rated topic"},
		{"a line's amount differs", func(w *world) { w.lines[0].Amount = dec("0.41") },
			"partition 0, offset 5, line " + idA + " of invoice " + idInvoiceA + " (account acme, product calls): the line and its activities: 0.41 USD in the invoice line, 0.4 USD in the report store"},
		{"an activity of another month differs", func(w *world) { w.row(0, 2, 0).Activity.Charge = dec("0.25") },
			"partition 0, offset 2, line " + idA + " of invoice " + idInvoiceA + " (account acme, product calls): the line and its activities: 0.4 USD in the invoice line, 0.45 USD in the report store"},
		{"a line is gone", func(w *world) { w.lines = w.lines[1:] },
			"partition 0, line " + idA + " of invoice " + idInvoiceA + ": the line and its activities: no line in the invoice line, 0.4 USD in the report store"},
		{"a line without activities", func(w *world) {
			w.lines = append(w.lines, reconcile.Line{Partition: 1, Invoice: invoiceA, Line: activity.ID{0xd}, Currency: "USD", Amount: dec("2"), Version: 1})
		}, "partition 1, offset 0, line 0d000000000000000000000000000000 of invoice " + idInvoiceA + " (account acme, product calls): the line and its activities: 2 USD in the invoice line, 0 USD in the report store"},
		{"an empty line", func(w *world) {
			w.lines = append(w.lines, reconcile.Line{Partition: 1, Invoice: invoiceA, Line: activity.ID{0xd}, Currency: "USD", Version: 1})
		}, ""},
		{"a line went on after the checkpoint", func(w *world) { // it stands at offset 8, the counters at 5
			w.rows = append(w.rows, sink.Row{Partition: 0, Offset: 8, Activity: act(1, 0, "2026-11-09", "0.2", "USD", "0.6", invoiceA, lineA)},
				sink.Row{Partition: 0, Offset: 9, Activity: act(1, 0, "2026-11-09", "0.1", "USD", "0.7", invoiceA, lineA)})
			w.lines[0].Amount, w.lines[0].Version = dec("0.6"), 9
			w.positions[0].Last = 9
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := consistent()
			c.spoil(w)
			result, err := w.reconcile(t, pool)
			if err != nil {
				t.Fatal(err)
			}
			finds(t, result, c.want)
			if text := result.Text(); !strings.Contains(text, c.want) || c.want == "" && !strings.Contains(text, "2026-11 agrees: 3 partitions, 2 invoices, ") {
				t.Errorf("text:\n%s", text)
			}
		})
	}
}

// finds wants this to be the first difference, "" for none.
func finds(t *testing.T, result *reconcile.Result, want string) {
	t.Helper()
	got := ""
	if result.First != nil {
		got = result.First.String()
	}
	if got != want || result.OK != (want == "") || len(result.Behind) > 0 {
		t.Errorf("ok %v\n got %s\nwant %s", result.OK, got, want)
	}
}

func TestFigures(t *testing.T) {
	w := consistent()
	w.lines[0].Amount = dec("0.41")
	result, err := w.reconcile(t, database(t))
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(map[string]any{"p": result.Partitions[:1], "s": result.Sums, "i": result.Invoices, "l": result.Lines, "d": result.Differences, "ok": result.OK})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"d":1,"i":2,"l":3,"ok":false,` +
		`"p":[{"partition":0,"next_offset":6,"accepted":3,"retried":1,"rated":2,"duplicates":1,"rejected":1,"reported":2,"ok":true}],` +
		`"s":[{"partition":0,"currency":"EUR","charged":"1","reported":"1","lines":"1","ok":true},` +
		`{"partition":0,"currency":"USD","charged":"0.2","reported":"0.2","lines":"0.21","ok":false},` +
		`{"partition":1,"currency":"USD","charged":"5","reported":"5","lines":"5","ok":true}]}`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A sink that is behind is waited for, and named when it does not catch up; nothing is called a difference then.
func TestBehind(t *testing.T) {
	pool := database(t)
	w := consistent()
	w.positions = []sink.Position{{Partition: 0, Next: 2, Last: 2}}
	w.remove(0, 5, 0)
	result, err := w.reconcile(t, pool)
	if err != nil {
		t.Fatal(err)
	}
	want := []reconcile.Behind{{Partition: 0, Stage: reconcile.StageSink, At: 2, Of: 5}, {Partition: 1, Stage: reconcile.StageSink, At: -1, Of: 1}}
	if result.OK || result.First != nil || !slices.Equal(result.Behind, want) {
		t.Errorf("%+v, want behind %v", result, want)
	}
	if text := result.Text(); !strings.Contains(text, "the sink has taken usage up to offset 2, the checkpoint stands at 5: 3 behind") {
		t.Errorf("text:\n%s", text)
	}

	w = consistent()
	w.write(t, pool)
	state := postgres.NewState(pool)
	if _, err := pool.Exec(t.Context(), "TRUNCATE sink_position"); err != nil {
		t.Fatal(err)
	}
	pauses := 0
	r := &reconcile.Reconciler{Books: reconcilepg.NewBooks(pool), Store: postgres.NewStore(pool), Positions: state, Patience: 5,
		Pause: func(ctx context.Context) error {
			pauses++
			return state.SavePositions(ctx, w.positions)
		}}
	result, err = r.Month(t.Context(), reconcile.Options{Month: november})
	if err != nil || !result.OK || pauses != 1 {
		t.Errorf("%+v, %v after %d pauses, want agreement after one", result, err, pauses)
	}
}

// logEnds is a usage log that reaches so far.
type logEnds map[int32]int64

func (e logEnds) Ends(context.Context) (map[int32]int64, error) { return e, nil }

// Usage that is in the log and not yet rated is waited for too: without it nothing is proven.
func TestUnratedUsage(t *testing.T) {
	pool := database(t)
	w := consistent()
	w.write(t, pool)
	next := map[int32]int64{}
	for _, c := range w.checkpoints {
		next[c.Partition] = c.Next
	}
	pauses := 0
	r := &reconcile.Reconciler{
		Books: reconcilepg.NewBooks(pool), Store: postgres.NewStore(pool), Positions: postgres.NewState(pool), Usage: logEnds(next), Patience: 2,
		Pause: func(context.Context) error { pauses++; return nil },
	}
	result, err := r.Month(t.Context(), reconcile.Options{Month: november})
	if err != nil || !result.OK || pauses != 0 {
		t.Fatalf("everything is rated: %+v, %v after %d pauses", result, err, pauses)
	}
	r.Usage = logEnds{0: next[0] + 3, 1: next[1]}
	result, err = r.Month(t.Context(), reconcile.Options{Month: november})
	want := []reconcile.Behind{{Partition: 0, Stage: reconcile.StageRater, At: next[0] - 1, Of: next[0] + 2}}
	if err != nil || result.OK || result.First != nil || !slices.Equal(result.Behind, want) || pauses != 2 {
		t.Errorf("%+v, %v after %d pauses, want behind %v", result, err, pauses, want)
	}
}

func TestDeepNeedsTheTopic(t *testing.T) {
	if _, err := (&reconcile.Reconciler{}).Month(t.Context(), reconcile.Options{Month: november, Deep: true}); err == nil {
		t.Error("accepted")
	}
}
