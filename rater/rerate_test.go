package rater

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

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
	values map[ValueKey]uint64 // that are saved
	keep   int                 // of them in memory, 0: as many as usual
	large  *valueStores        // in their place, nil: none
}

// newAnew begins with the first of the definitions, each a product "p" by its rate or a contract of account a: "contract:start:rate".
func newAnew(t *testing.T, rates ...object) *anew {
	a := &anew{t: t, values: map[ValueKey]uint64{}}
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

// Each and what follows are what a job reads.
func (a *anew) Each(_ context.Context, q UsageQuestion, do func(int64, *activity.Activity) error) error {
	for i := range a.log {
		if int64(a.log[i].Index) < q.Below { // see step
			if err := do(int64(a.log[i].Index), &a.log[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *anew) EachCorrection(ctx context.Context, q UsageQuestion, do func(int64, *activity.Activity) error) error {
	return a.Each(ctx, q, func(offset int64, x *activity.Activity) error {
		if (x.Sent().Corrects == usage.EventName{}) {
			return nil
		}
		return do(offset, x)
	})
}

func (a *anew) CorrectionsWaiting(_ context.Context, _ int32, account string, below int64, limit int) (out []RejectedUsage, err error) {
	for _, r := range a.m.rejected {
		if r.Reason == ReasonCorrectionWaits && r.Event.Account == account && r.Offset < below && len(out) < limit &&
			!slices.Contains(a.m.answered, Skip{r.Offset, r.Index}) {
			out = append(out, r)
		}
	}
	return out, nil
}

func (a *anew) LinesOfAccount(context.Context, int32, string) (lines []LineState, err error) {
	for _, f := range a.m.families {
		lines = f.states(lines)
	}
	slices.SortFunc(lines, func(x, y LineState) int { return strings.Compare(x.Line.String(), y.Line.String()) })
	return lines, nil
}

func (a *anew) LinesSharing(ctx context.Context, partition int32, _, _ string, _ int64, _ int) ([]LineState, error) {
	return a.LinesOfAccount(ctx, partition, "a")
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
	rated := activity.Append(nil, rec)
	for i := range in.Value {
		in.Value[i] = 'z'
	}
	var read activity.Record
	if err := activity.Decode(rated, &read); err != nil {
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
	for range read.Duplicates {
		out = append(out, "duplicate")
	}
	a.offset++
	return strings.Join(out, ", ")
}

// Levels gives none but those in memory.
func (a *anew) Levels(context.Context, Fence, string, int64, int) ([]LevelState, error) {
	return nil, nil
}

// use sends an event of a day of January.
func (a *anew) use(quantity string, day int) string {
	return a.send(a.now(), quantity, benchStart+int64(day-1)*24*benchHour)
}

// useAt sends an event of any time up to April.
func (a *anew) useAt(quantity string, at int64) string { return a.send(a.later(), quantity, at) }

func (a *anew) later() int64 { return benchStart + 100*24*benchHour }

func (a *anew) send(now int64, quantity string, at int64, attributes ...usage.Attribute) string {
	a.sent++
	e := usage.Event{
		ID: fmt.Sprint("e", a.sent), Source: "s", Account: "a", RoutingKey: "a", Product: "p", Quantity: money.MustParse(quantity),
		Time: at, Backfill: true, Hash: uint64(a.sent), Attributes: attributes,
	}
	return a.step(now, usage.Record{Kind: usage.KindBatch, Events: []usage.Event{e}})
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
	job := Summing{a, a, a, a, 0}
	sum, err := job.Sum(context.Background(), SumQuestion{Account: "a", Seq: seq, Under: a.m.markers["a"].Under, Below: at, Closed: true})
	if err != nil {
		a.t.Fatal(err)
	}
	parts, err := sum.Results("a", seq, attempt, at)
	if err != nil {
		a.t.Fatal(err)
	}
	for v := range sum.Values("a", seq, attempt, at) {
		a.want(a.step(a.now(), usage.Record{Kind: usage.KindValues, Values: v}), "")
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
	a.save()
	m.distinct.keep = max(a.keep, 1)
	m.seals, m.index, m.counts, m.rejected, m.answered = a.m.seals, a.m.index, a.m.counts, a.m.rejected, a.m.answered
	a.m = m
}

// save saves distinct values.
func (a *anew) save() {
	for _, v := range a.m.distinct.freeze() {
		a.values[v.ValueKey] = v.Places
	}
	for _, s := range a.m.distinct.freezeSets() {
		if s.Gone {
			maps.DeleteFunc(a.values, func(k ValueKey, _ uint64) bool { return k.Set == s.Set })
		}
	}
	a.m.distinct.committed()
}

// Values gives those that are saved.
func (a *anew) Values(ctx context.Context, f Fence, keys []ValueKey) (out []ValueState, err error) {
	if a.large != nil {
		return a.large.Values(ctx, f, keys)
	}
	for _, k := range keys {
		if places, known := a.values[k]; known {
			out = append(out, ValueState{k, places})
		}
	}
	return out, nil
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
	job := Summing{a, a, a, a, 0}
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
	job := Summing{a, a, a, a, 0}
	sum, err := job.Sum(context.Background(), SumQuestion{Account: "a", Seq: 2, Under: 2, Below: a.offset})
	if err != nil || len(sum.Lines) != 0 || !strings.Contains(sum.Left["p"], "amount_missing") {
		t.Errorf("%+v, %v", sum, err)
	}
	if _, err := job.Sum(context.Background(), SumQuestion{Account: "b", Seq: 2, Under: 2, Below: a.offset}); err == nil || errors.Is(err, context.Canceled) {
		t.Error("usage of an unknown account is summed up")
	}
}

// TestLevelsAnew: seats at 1, and from some day on at another price that comes to be known late. What the months before leave is taken over
// anew, and what comes behind the marker goes on from there.
func TestLevelsAnew(t *testing.T) {
	seats := func(price, start string) object {
		r := object{"model": "per_unit", "unit_price": price, "aggregation": "time_weighted"}
		if start != "" {
			r["start"] = start
		}
		return r
	}
	for _, c := range []struct {
		name, start   string
		before, after []string // "DAY QUANTITY", or "seal DAY"; behind the marker
		first, result string   // what lines come to before and after it
	}{
		// 10 in January, 10 and 4 for 14 of 28 days in February at 2.
		{"from February on", "2026-02-01T00:00:00Z", []string{"1 10", "46 4"}, nil, "22", "34"},
		{"a change behind the marker", "2026-02-01T00:00:00Z", []string{"1 10"}, []string{"46 4"}, "34", "34"},
		// Of February 10 at 1 taken over before the 15th, then 4 for 14 days at 2.
		{"in the middle of a month", "2026-02-15T00:00:00Z", []string{"1 10", "32 0", "46 4"}, nil, "22", "24"},
		// 3 more for the second half of January, at 2, are 3 more at 1 in February: 10 + 3, 13 + 2. Then all is at 2: 11.5 and 15.
		{"January, too", "2026-01-01T00:00:00Z", []string{"1 10", "46 4"}, []string{"16.5 3"}, "28", "53"},
		{"nobody comes in February", "2026-02-01T00:00:00Z", []string{"1 10", "seal 32"}, nil, "20", "30"},
		{"… and somebody behind the marker", "2026-02-01T00:00:00Z", []string{"1 10", "seal 32"}, []string{"46 4"}, "24", "34"},
		{"January is sealed behind the marker", "2026-02-01T00:00:00Z", []string{"1 10"}, []string{"seal 32"}, "30", "30"},
		// March has taken over 10, then 14, at 1: 10 + 24 + 14; then at 2.
		{"March has a line already", "2026-02-01T00:00:00Z", []string{"1 10", "60 0"}, []string{"46 4"}, "48", "62"},
	} {
		a := newAnew(t, seats("1", ""), seats("2", c.start))
		put := func(list []string) {
			for _, text := range list {
				var day float64
				quantity := ""
				if n, _ := fmt.Sscanf(text, "seal %g", &day); n == 1 {
					s := usage.Seal{Account: "a", PeriodEnd: benchStart + int64((day-1)*24)*benchHour}
					a.step(a.later(), usage.Record{Kind: usage.KindSeal, Seal: &s})
				} else if _, err := fmt.Sscan(text, &day, &quantity); err != nil {
					t.Fatal(err)
				} else {
					a.useAt(quantity, benchStart+int64((day-1)*24)*benchHour)
				}
			}
		}
		put(c.before)
		a.activate(2)
		at := a.mark(2, 1)
		put(c.after)
		a.want(c.name+": "+a.total(), c.name+": "+c.first)
		a.result(2, 1, at)
		a.want(c.name+": "+a.total(), c.name+": "+c.result)
		a.result(2, 2, a.mark(2, 2))
		a.want(c.name+": again: "+a.total(), c.name+": again: "+c.result)
	}
	a := newAnew(t, seats("1", ""), seats("2", "2026-01-01T00:00:00Z"))
	a.m.faults.MergedLevelsStay = true
	a.use("10", 1)
	a.useAt("4", benchStart+45*24*benchHour)
	a.activate(2)
	at := a.mark(2, 1)
	a.use("3", 1)
	a.result(2, 1, at)
	a.want(a.total(), "50") // February has not heard of the 3
}

// TestLevelsAnewLikeFromTheStart: whatever arrives before and behind a marker, and is sealed, comes to what it would have come to had the
// definitions been known from the start.
func TestLevelsAnewLikeFromTheStart(t *testing.T) {
	tiers := []any{object{"up_to": "12", "unit_price": "0.5", "flat_price": "3"}, object{"unit_price": "0.2"}}
	kinds := []object{
		{"model": "graduated", "tiers": tiers, "aggregation": "time_weighted"}, {"model": "graduated", "tiers": tiers, "aggregation": "time_weighted", "level": "absolute"},
		{"model": "volume", "tiers": tiers, "aggregation": "time_weighted"}, {"model": "per_unit", "unit_price": "0.7"},
	}
	runs := 400
	if testing.Short() {
		runs = 60
	}
	merged := 0
	for seed := range uint64(runs) {
		r := rand.New(rand.NewPCG(seed, 7))
		first, second := kinds[r.IntN(len(kinds))], maps.Clone(kinds[r.IntN(len(kinds))])
		sameKind := first["aggregation"] == second["aggregation"] && first["level"] == second["level"]
		if r.IntN(4) > 0 {
			second["start"] = time.Unix(0, benchStart+int64(r.IntN(75*24))*benchHour).UTC().Format(time.RFC3339)
		}
		if second["model"] == first["model"] {
			second["unit_price"] = "0.3"
		}
		a, scratch := newAnew(t, maps.Clone(first), maps.Clone(second)), newAnew(t, maps.Clone(first), maps.Clone(second))
		scratch.activate(2)
		sealed := int64(0) // months
		ends := []int64{0, 31, 59, 90}
		put := func(some int, seals bool) {
			for range some {
				if seals && sealed < 3 && r.IntN(5) == 0 {
					sealed++
					for _, x := range []*anew{a, scratch} {
						s := usage.Seal{Account: "a", PeriodEnd: benchStart + ends[sealed]*24*benchHour}
						x.step(x.later(), usage.Record{Kind: usage.KindSeal, Seal: &s})
					}
					continue
				}
				from := int64(0)
				if !seals {
					from = ends[sealed] * 24
				}
				at, quantity := benchStart+(from+r.Int64N(98*24-from))*benchHour, fmt.Sprint(r.IntN(15)-3)
				a.useAt(quantity, at)
				scratch.useAt(quantity, at)
			}
		}
		put(1+r.IntN(8), sameKind)
		a.activate(2)
		put(r.IntN(3), false)
		at := a.mark(2, 1)
		sum, err := (&Summing{a, a, a, a, 0}).Sum(t.Context(), SumQuestion{Account: "a", Seq: 2, Under: 2, Below: at, Closed: true})
		if err != nil || len(sum.Left) > 0 {
			t.Fatalf("seed %d: %v, %v", seed, sum, err)
		}
		shown := money.Zero
		for i := range sum.Differences {
			shown = mustAdd(shown, sum.Differences[i].After)
		}
		if want := scratch.total(); shown.String() != want {
			t.Errorf("seed %d: %v, then %v: is shown as %s, from the start it comes to %s", seed, first, second, shown, want)
		}
		put(r.IntN(5), false)
		if r.IntN(2) == 0 {
			a.reload()
		}
		if a.result(2, 1, at) != "" {
			merged++
		}
		if got, want := a.total(), scratch.total(); got != want {
			t.Errorf("seed %d: %v, then %v: comes to %s, from the start to %s", seed, first, second, got, want)
		}
	}
	if merged < runs/4 {
		t.Errorf("of %d results %d change anything", runs, merged)
	}
}
