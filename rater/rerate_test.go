package rater

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
)

// anew is a partition whose definitions change, with what a job reads of it.
type anew struct {
	benchStores
	t      *testing.T
	rows   []catalog.Row // in the order of their sequence numbers, one each
	m      *machine
	log    []activity.Activity
	offset int64
	sent   int
}

// newAnew begins with the first of the definitions, each a product "p" by its rate or a contract of account a: "contract:start:rate".
func newAnew(t *testing.T, rates ...object) *anew {
	a := &anew{t: t}
	for i, r := range rates {
		start, isContract := r["start"]
		delete(r, "start")
		r["id"], r["currency"] = "r", "USD"
		ref, body := catalog.Ref{Kind: catalog.KindProduct, ID: "p"}, object{"id": "p", "rates": []any{r}}
		if isContract {
			r["product"] = "p"
			ref, body = catalog.Ref{Kind: catalog.KindContract, ID: "c"}, object{"id": "c", "account": "a", "start": start, "rates": []any{r}}
		}
		a.rows = append(a.rows, catalog.Row{Ref: ref, Seq: int64(i + 1), Body: mustJSON(body)})
	}
	a.m = newMachine(&Checkpoint{Last: -1, ActivatedSeq: 1}, DefaultLimits().Window, Faults{})
	return a
}

func (a *anew) Snapshot(_ context.Context, seq int64) (*catalog.Snapshot, error) {
	var rows []catalog.Row
	for _, r := range a.rows[:seq] {
		if r.Kind == catalog.KindProduct {
			rows = append(rows, r)
		}
	}
	none, err := catalog.NewSnapshot(nil)
	if err != nil {
		return nil, err
	}
	return none.With(rows, seq)
}

func (a *anew) Accounts(_ context.Context, seq int64, _ []string) (map[string]*catalog.Account, error) {
	var contracts []catalog.Row
	for _, r := range a.rows[:seq] {
		if r.Kind == catalog.KindContract {
			contracts = []catalog.Row{r}
		}
	}
	body := object{"id": "a", "currency": "USD", "routing_key": "a", "seller": "main", "billing": []any{object{"cycle": object{"every": "monthly"}}}}
	account, err := catalog.DecodeAccount(catalog.Row{Ref: catalog.Ref{Kind: catalog.KindAccount, ID: "a"}, Seq: 1, Body: mustJSON(body)}, contracts)
	return map[string]*catalog.Account{"a": account}, err
}

// Each, LinesOfAccount and SealsOn are what a job reads.
func (a *anew) Each(_ context.Context, _ int32, _ string, below int64, do func(*activity.Activity) error) error {
	for i := range a.log {
		if int64(a.log[i].Index) < below { // see step
			if err := do(&a.log[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *anew) LinesOfAccount(context.Context, int32, string) (lines []LineState, err error) {
	for _, f := range a.m.families {
		lines = f.states(lines)
	}
	slices.SortFunc(lines, func(x, y LineState) int { return strings.Compare(x.Line.String(), y.Line.String()) })
	return lines, nil
}

func (a *anew) SealsOn(_ context.Context, _ int32, accounts []string) (out []SealState, err error) {
	for _, account := range accounts {
		if s := a.m.seals[account]; s != nil {
			out = append(out, *s)
		}
	}
	return out, nil
}

// step rates one record, and tells the changes of lines as "kind charge".
func (a *anew) step(logTime int64, r usage.Record) string {
	a.t.Helper()
	in := &Input{Offset: a.offset, Time: logTime, Value: usage.AppendRecord(nil, &r)}
	a.m.decode(in)
	if err := a.m.load(context.Background(), in, Fence{}, a, a); err != nil {
		a.t.Fatal(err)
	}
	rec, err := a.m.step(in)
	if err != nil {
		a.t.Fatal(err)
	}
	for i := range in.Value {
		in.Value[i] = 'z'
	}
	var read activity.Record
	if err := activity.Decode(activity.Append(nil, rec), &read); err != nil {
		a.t.Fatal(err)
	}
	var out []string
	for _, x := range read.Activities {
		what := "usage"
		if x.Kind == activity.KindAdjustment {
			what = x.Source
		}
		out = append(out, what+" "+x.Charge.String())
		x.Index = int(a.offset)
		a.log = append(a.log, x)
	}
	for _, x := range read.Rejected {
		out = append(out, x.Reason)
	}
	a.offset++
	return strings.Join(out, ", ")
}

// use sends an event of a day of January.
func (a *anew) use(quantity string, day int) string {
	a.sent++
	e := usage.Event{
		ID: fmt.Sprint("e", a.sent), Source: "s", Account: "a", RoutingKey: "a", Product: "p", Quantity: money.MustParse(quantity),
		Time: benchStart + int64(day-1)*24*benchHour,
	}
	return a.step(a.now(), usage.Record{Kind: usage.KindBatch, Events: []usage.Event{e}})
}

func (a *anew) now() int64 { return benchStart + 29*24*benchHour }

func (a *anew) activate(seq int64) {
	row := a.rows[seq-1]
	d := usage.Definitions{From: seq, To: seq, Links: []uint64{0}, Changed: []usage.DefinitionRef{{Seq: seq, Kind: string(row.Kind), ID: row.ID, Account: "a"}}}
	a.step(a.now(), usage.Record{Kind: usage.KindDefinitions, Definitions: &d})
}

// mark writes a marker and gives its offset.
func (a *anew) mark(seq, attempt int64) int64 {
	if got := a.step(a.now(), usage.Record{Kind: usage.KindMarker, Marker: &usage.Marker{Account: "a", Seq: seq, Attempt: attempt}}); got != "" {
		a.t.Errorf("a marker charges %s", got)
	}
	return a.offset - 1
}

// result writes what the job finds.
func (a *anew) result(seq, attempt, at int64) string {
	a.t.Helper()
	job := Summing{a, a, a}
	sum, err := job.Sum(context.Background(), SumQuestion{Account: "a", Seq: seq, Under: a.m.markers["a"].Under, Below: at, Closed: true})
	if err != nil {
		a.t.Fatal(err)
	}
	parts, err := sum.Results("a", seq, attempt, at)
	if err != nil {
		a.t.Fatal(err)
	}
	out := ""
	for i := range parts {
		out = a.step(a.now(), usage.Record{Kind: usage.KindResult, Result: &parts[i]})
	}
	return out
}

func (a *anew) want(got, want string) {
	a.t.Helper()
	if got != want {
		a.t.Errorf("got %q, want %q", got, want)
	}
}

// total is what all lines come to, which is what was charged.
func (a *anew) total() string {
	lines, _ := a.LinesOfAccount(context.Background(), 0, "a")
	var total, charged money.Decimal
	for _, l := range lines {
		total = mustAdd(total, l.Amount)
	}
	for i := range a.log {
		charged = mustAdd(charged, a.log[i].Charge)
	}
	if total != charged {
		a.t.Errorf("lines of %s, %s was charged", total, charged)
	}
	return total.String()
}

// TestContractOfThePast: 10 cents a unit, and a contract from the 10th on at 4 cents that comes to be known late.
func TestContractOfThePast(t *testing.T) {
	for _, reload := range []bool{false, true} {
		a := newAnew(t, object{"model": "per_unit", "unit_price": "0.1"}, object{"model": "per_unit", "unit_price": "0.04", "start": "2026-01-10T00:00:00Z"})
		a.want(a.use("100", 5), "usage 10")
		a.want(a.use("50", 15), "usage 5")
		a.activate(2)
		a.want(a.use("10", 16), "usage 0.4")
		at := a.mark(2, 1)
		a.want(a.use("20", 12), "usage 0.8")
		if reload {
			a.reload()
		}
		a.want(a.use("30", 3), "usage 3")
		a.want(a.total(), "19.2")
		a.want(a.result(2, 1, at), "definition:2 -3") // 50 at 4 cents instead of 10
		a.want(a.total(), "16.2")                     // 130 at 10, 80 at 4
		a.want(a.result(2, 1, at), "")                // read again
		a.want(a.use("1", 20), "usage 0.04")
		if s := a.m.markers["a"]; s.Open || s.Done != 2 || a.m.open != 0 {
			t.Errorf("marker %+v, %d open", s, a.m.open)
		}
	}
}

// reload has another machine go on from what a checkpoint holds.
func (a *anew) reload() {
	m := newMachine(&Checkpoint{Last: a.m.last, ActivatedSeq: a.m.act, LogTime: a.m.logTime, Markers: []MarkerState{*a.m.markers["a"]}}, DefaultLimits().Window, Faults{})
	for _, f := range a.m.families {
		if len(f.lines) == 0 {
			continue
		}
		loaded, err := loadFamily(f.states(nil), words{})
		if err != nil {
			a.t.Fatal(err)
		}
		m.families[f.id] = loaded
	}
	m.seals = a.m.seals
	a.m = m
}

// TestMarkersInOrder: only a marker above the last one begins, and only its own result ends it.
func TestMarkersInOrder(t *testing.T) {
	a := newAnew(t, object{"model": "per_unit", "unit_price": "1"}, object{"model": "per_unit", "unit_price": "2", "start": "2026-01-10T00:00:00Z"},
		object{"model": "per_unit", "unit_price": "3", "start": "2026-01-05T00:00:00Z"})
	a.use("10", 7)
	a.want(a.total(), "10")
	a.mark(2, 1)
	if a.m.open != 0 {
		t.Error("a marker of definitions that are not active begins")
	}
	a.activate(2)
	a.activate(3)
	first := a.mark(2, 1)
	again := a.mark(2, 1)
	if a.m.markers["a"].At != first {
		t.Error("the same marker begins again")
	}
	a.want(a.result(2, 1, again), "")
	second := a.mark(2, 2)
	a.want(a.result(2, 1, first), "")
	a.want(a.total(), "10")
	a.want(a.result(2, 2, second), "definition:2 20") // under what is active at the marker
	a.mark(2, 3)
	if a.m.open != 0 {
		t.Error("a finished marker begins again")
	}
	a.want(a.result(3, 1, a.mark(3, 1)), "")
	a.want(a.total(), "30")
}

// TestOrderBehindAMarker: 10% of what exceeds 20 in the order of the log, then 20% under the same id. What comes after the marker finds
// the free amount used up by what came before it.
func TestOrderBehindAMarker(t *testing.T) {
	percent := func(rate string) object { return object{"model": "percentage", "rate": rate, "free_amount": "20"} }
	for _, reload := range []bool{false, true} {
		a := newAnew(t, percent("10"), percent("20"))
		a.want(a.use("15", 5), "usage 0")
		a.want(a.use("15", 5), "usage 1")
		a.activate(2)
		a.want(a.use("10", 5), "usage 2")
		at := a.mark(2, 1)
		a.want(a.use("10", 4), "usage 2")
		if reload {
			a.reload()
		}
		a.want(a.use("5", 4), "usage 1")
		a.want(a.result(2, 1, at), "definition:2 1")
		a.want(a.total(), "7") // 35 at 20%
		a.want(a.use("5", 4), "usage 1")
	}
}

// TestTooMuchBehindAMarker: beyond the bound the marker is over, and the next attempt goes on.
func TestTooMuchBehindAMarker(t *testing.T) {
	percent := func(rate string) object { return object{"model": "percentage", "rate": rate, "free_amount": "20"} }
	a := newAnew(t, percent("10"), percent("20"))
	a.use("120", 5)
	a.activate(2)
	at := a.mark(2, 1)
	for range maxKept + 1 {
		a.use("1", 5)
	}
	if s := a.m.markers["a"]; !s.Open || !s.Over {
		t.Errorf("marker %+v", s)
	}
	a.want(a.result(2, 1, at), "")
	a.want(a.result(2, 2, a.mark(2, 2)), "definition:2 10")
	a.want(a.total(), "225") // 1125 at 20%
}

// TestAnotherKindOfState: what was added up is of no use for a rate that wants the largest.
func TestAnotherKindOfState(t *testing.T) {
	a := newAnew(t, object{"model": "per_unit", "unit_price": "1"}, object{"model": "per_unit", "unit_price": "1", "aggregation": "max"})
	a.use("10", 5)
	a.use("7", 5)
	a.want(a.total(), "17")
	a.activate(2)
	a.want(a.use("3", 5), "usage 3")
	at := a.mark(2, 1)
	a.want(a.use("12", 5), "usage 9")
	a.want(a.result(2, 1, at), "definition:2 -17")
	a.want(a.total(), "12")
}

// TestSweep: prices alone, of lines that nothing touches.
func TestSweep(t *testing.T) {
	a := newAnew(t, object{"model": "per_unit", "unit_price": "1"}, object{"model": "per_unit", "unit_price": "3"}, object{"model": "per_unit", "unit_price": "4"})
	a.use("10", 5)
	lines, _ := a.LinesOfAccount(context.Background(), 0, "a")
	sweep := usage.Record{Kind: usage.KindSweep, Sweep: &usage.Sweep{Seq: 2, Families: [][16]byte{lines[0].Family, {9}}}}
	a.want(a.step(a.now(), sweep), "")
	a.activate(2)
	a.want(a.step(a.now(), sweep), "definition:2 20")
	a.want(a.step(a.now(), sweep), "")
	a.seal()
	a.activate(3)
	sweep.Sweep.Seq = 3
	a.want(a.step(a.now(), sweep), "") // definitions after the seal's
	a.want(a.total(), "30")
}

// seal completes January.
func (a *anew) seal() {
	s := usage.Seal{Account: "a", PeriodStart: benchStart, PeriodEnd: benchStart + 31*24*benchHour}
	a.step(a.now(), usage.Record{Kind: usage.KindSeal, Seal: &s})
}

// TestSealWhileAMarkerIsOpen: up to the seal's definitions results still change what is sealed.
func TestSealWhileAMarkerIsOpen(t *testing.T) {
	a := newAnew(t, object{"model": "per_unit", "unit_price": "1"}, object{"model": "per_unit", "unit_price": "2", "start": "2026-01-10T00:00:00Z"})
	a.use("10", 15)
	a.activate(2)
	at := a.mark(2, 1)
	a.want(a.use("5", 15), "usage 10")
	a.seal()
	a.want(a.use("1", 15), "usage 2") // late
	a.want(a.result(2, 1, at), "definition:2 10")
	a.want(a.total(), "32")
	lines, _ := a.LinesOfAccount(context.Background(), 0, "a")
	for _, l := range lines {
		if want := map[int]string{0: "30", 1: "2"}[l.Position]; l.Amount.String() != want {
			t.Errorf("line %d comes to %s, want %s", l.Position, l.Amount, want)
		}
	}
}

// TestClosedInvoice: what was sealed under older definitions stays; the difference is charged on the current invoice and names the
// closed one. A second job starts from there.
func TestClosedInvoice(t *testing.T) {
	a := newAnew(t, object{"model": "per_unit", "unit_price": "1"}, object{"model": "per_unit", "unit_price": "2", "start": "2026-01-10T00:00:00Z"},
		object{"model": "per_unit", "unit_price": "5", "start": "2026-01-10T00:00:00Z"})
	a.use("10", 15)
	a.use("4", 5)
	a.seal()
	a.activate(2)
	a.want(a.result(2, 1, a.mark(2, 1)), "definition:2 10")
	a.want(a.use("1", 15), "usage 1") // late usage is priced as its period was
	a.activate(3)
	a.want(a.result(3, 1, a.mark(3, 1)), "definition:3 30, definition:3 4")
	a.want(a.total(), "59")
	january := activity.InvoiceID("main", "a", benchStart)
	lines, _ := a.LinesOfAccount(context.Background(), 0, "a")
	got := map[string]string{}
	for _, l := range lines {
		where := "february"
		if l.Invoice == january {
			where = "january"
		}
		if l.RateLevel == LevelCorrection {
			where += " for " + map[bool]string{true: "january", false: "february"}[l.RateAccount == january.String()]
		}
		got[where] = l.Amount.String()
	}
	want := map[string]string{"january": "14", "february": "1", "february for january": "40", "february for february": "4"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("lines %v, want %v", got, want)
	}
	for i := range a.log {
		if x := &a.log[i]; x.Kind == activity.KindAdjustment && x.EventID == "" {
			t.Errorf("%+v names no invoice", x)
		}
	}
}

// TestPartsOfAResult: nothing is merged before the last part is read, whatever their order.
func TestPartsOfAResult(t *testing.T) {
	a := newAnew(t, object{"model": "per_unit", "unit_price": "1"}, object{"model": "per_unit", "unit_price": "2", "start": "2026-01-10T00:00:00Z"})
	a.use("10", 15)
	a.activate(2)
	at := a.mark(2, 1)
	job := Summing{a, a, a}
	sum, err := job.Sum(context.Background(), SumQuestion{Account: "a", Seq: 2, Under: 2, Below: at})
	if err != nil {
		t.Fatal(err)
	}
	l := sum.Lines[0]
	other := l
	other.Product, other.Segments = "q", nil
	for range usage.MaxResultLines {
		sum.Lines = append(sum.Lines, usage.ResultLine{Product: "q", Owed: "a", UsageEnd: 1, PeriodEnd: 1})
	}
	parts, err := sum.Results("a", 2, 1, at)
	if err != nil || len(parts) != 2 {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
	a.want(a.step(a.now(), usage.Record{Kind: usage.KindResult, Result: &parts[1]}), "")
	a.want(a.step(a.now(), usage.Record{Kind: usage.KindResult, Result: &parts[1]}), "")
	a.reload()
	a.want(a.total(), "10")
	a.want(a.step(a.now(), usage.Record{Kind: usage.KindResult, Result: &parts[0]}), "definition:2 10")
	sum.Lines = slices.Repeat(sum.Lines, 16)
	if _, err := sum.Results("a", 2, 1, at); err == nil {
		t.Error("more lines than parts can hold are no error")
	}
}

// TestSumLeavesOut: what has no price any more stays as it was charged.
func TestSumLeavesOut(t *testing.T) {
	a := newAnew(t, object{"model": "per_unit", "unit_price": "1"}, object{"model": "dynamic"})
	a.use("10", 15)
	a.activate(2)
	job := Summing{a, a, a}
	sum, err := job.Sum(context.Background(), SumQuestion{Account: "a", Seq: 2, Under: 2, Below: a.offset})
	if err != nil || len(sum.Lines) != 0 || !strings.Contains(sum.Left["p"], "amount_missing") {
		t.Errorf("%+v, %v", sum, err)
	}
	if _, err := job.Sum(context.Background(), SumQuestion{Account: "b", Seq: 2, Under: 2, Below: a.offset}); err == nil || errors.Is(err, context.Canceled) {
		t.Error("usage of an unknown account is summed up")
	}
}
