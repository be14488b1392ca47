package rater

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
)

// keptLines are stores that have the lines of a machine that was stored and evicted.
type keptLines struct {
	*benchStores
	lines map[activity.ID][]LineState
}

func (s *keptLines) Lines(_ context.Context, _ Fence, families []activity.ID) (lines []LineState, _ error) {
	for _, id := range families {
		lines = append(lines, s.lines[id]...)
	}
	return lines, nil
}

// keep stores what the machine has, which then knows nothing any more.
func (s *keptLines) keep(m *machine) {
	for id, f := range m.families {
		if lines := f.states(nil); len(lines) > 0 {
			s.lines[id] = lines
		}
	}
	clear(m.families)
	m.defs.plans = newPlans()
	m.dirty, m.unshown = nil, nil
}

// levelled rates what was sent, "DATE TIME QUANTITY [at=PLACE]" in the account's zone or "seal DATE", and gives the lines' amounts: by the
// first day of their usage, then the invoice's where that is another, and the place. It checks that all charges add up to them.
func levelled(t *testing.T, document, zone string, faults Faults, sent []string) string {
	t.Helper()
	compiled, err := storesOf(fmt.Sprintf("currency: USD\nproducts:\n  - %s\naccounts: [{id: acme, time_zone: %s}]\n", document, zone))
	if err != nil {
		t.Fatal(err)
	}
	at, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	when := func(layout, text string) int64 {
		v, err := time.ParseInLocation(layout, text, at)
		if err != nil {
			t.Fatal(err)
		}
		return v.UnixNano()
	}
	stores := &keptLines{compiled, map[activity.ID][]LineState{}}
	m := newMachine(&Checkpoint{Last: -1, ActivatedSeq: 1}, DefaultLimits().Window, faults)
	charges := map[activity.ID]money.Decimal{}
	right := !faults.LevelsBeginAnew && !faults.LaterLevelsStay
	now, fold, folded := when("2006-01-02", "2027-06-01"), NewFold(), money.Zero
	fold.Use(compiled.plan(t, "acme"))
	for i, text := range sent {
		words := strings.Fields(text)
		record := &usage.Record{Kind: usage.KindSeal}
		if words[0] == "seal" {
			record.Seal = &usage.Seal{Account: "acme", PeriodEnd: when("2006-01-02", words[1])}
		} else {
			e := usage.Event{
				ID: text, Source: "s", Account: "acme", RoutingKey: "acme", Product: "seats", Backfill: true, Hash: uint64(i),
				Time: when("2006-01-02 15:04", words[0]+" "+words[1]), Quantity: money.MustParse(words[2]),
			}
			if len(words) > 3 {
				e.Attributes = []usage.Attribute{{Name: "place", Value: strings.TrimPrefix(words[3], "at=")}}
			}
			record = &usage.Record{Kind: usage.KindBatch, Events: []usage.Event{e}}
		}
		in := &Input{Offset: int64(i), Time: now, Value: usage.AppendRecord(nil, record)}
		m.decode(in)
		if err := m.load(t.Context(), in, Fence{}, stores, stores); err != nil {
			t.Fatal(err)
		}
		rec, err := m.step(in)
		if err != nil || len(rec.Rejected) > 0 {
			t.Fatalf("%s: %+v, %v", text, rec.Rejected, err)
		}
		for j := range rec.Activities {
			a := &rec.Activities[j]
			charges[a.Line] = sum(t, charges[a.Line], a.Charge)
			if a.Kind != activity.KindUsage {
				if a.Source != CauseLevel {
					t.Errorf("%s: an adjustment because of %q", text, a.Source)
				}
				continue
			}
			e := EventOf(a)
			got, reason := fold.Add(&e, Invoiced{Billed: a.Billed, Period: catalog.Period{Start: a.PeriodStart, End: a.PeriodEnd}})
			if reason != "" || got.Charge != a.Charge && right {
				t.Errorf("%s is added up as %s %s, was charged %s", text, got.Charge, reason, a.Charge)
			}
			folded = sum(t, sum(t, folded, got.Charge), got.Others)
		}
		stores.keep(m)
	}
	var got []string
	total := money.Zero
	for _, family := range stores.lines {
		for i := range family {
			l := &family[i]
			if charges[l.Line] != l.Amount {
				t.Errorf("the charges of a line of %s add up to %s", l.Amount, charges[l.Line])
			}
			total = sum(t, total, l.Amount)
			text := time.Unix(0, l.UsagePeriod.Start).In(at).Format("06-01")
			if l.Period != l.UsagePeriod {
				text += time.Unix(0, l.Period.Start).In(at).Format("/06-01")
			}
			for _, g := range l.Group {
				text += g.Value
			}
			got = append(got, text+"="+l.Amount.String())
		}
	}
	if total != folded && right {
		t.Errorf("the lines come to %s, added up again to %s", total, folded)
	}
	slices.Sort(got)
	return strings.Join(got, " ")
}

const (
	changedSeats = "{id: seats, rates: [{model: per_unit, unit_price: 1, aggregation: time_weighted}]}"
	saidSeats    = "{id: seats, rates: [{model: per_unit, unit_price: 1, aggregation: time_weighted, level: absolute}]}"
)

// TestLevelIsCarriedOver: a seat costs 1, so that a line comes to its average level. Where nothing is sealed the usage arrives in every order.
func TestLevelIsCarriedOver(t *testing.T) {
	for _, c := range []struct {
		name, product, zone string
		sent                []string
		want                string
	}{
		// 10 throughout January; in February 4 more for 14 of its 28 days.
		{"31 days, then 28", changedSeats, "UTC", []string{"2026-01-01 00:00 10", "2026-02-15 00:00 4"}, "26-01=10 26-02=12"},
		// 3 more for 15.5 of 31 days, which February has from its first day on.
		{"a change more", changedSeats, "UTC", []string{"2026-01-01 00:00 10", "2026-02-15 00:00 4", "2026-01-16 12:00 3"}, "26-01=11.5 26-02=15"},
		{"down to nothing", changedSeats, "UTC", []string{"2026-01-01 00:00 10", "2026-02-01 00:00 -10", "2026-03-01 00:00 0"}, "26-01=10 26-02=0 26-03=0"},
		{"below", changedSeats, "UTC", []string{"2026-01-01 00:00 -10", "2026-02-15 00:00 4"}, "26-01=-10 26-02=-8"},
		// The level passes by months without an event: there is no line. 5 more from the 1st of March on, 2 for half of April.
		{"months without an event", changedSeats, "UTC", []string{"2025-11-01 00:00 10", "2026-04-16 00:00 2", "2026-03-01 00:00 5", "2026-12-01 00:00 0"}, "25-11=10 26-03=15 26-04=16 26-12=17"},
		// March has 743 hours in Berlin, of which 71 are left on the 29th; October has 745, of which 169 are left on the 25th.
		{
			"an hour less, an hour more", changedSeats, "Europe/Berlin",
			[]string{"2026-02-01 00:00 10", "2026-03-29 00:00 743", "2026-10-25 00:00 745"}, "26-02=10 26-03=81 26-10=922",
		},
		// January: 22 of 31 days of 8, 176 / 31. February: 8, then 2 for its second half.
		{"levels", saidSeats, "UTC", []string{"2026-01-10 00:00 8", "2026-02-15 00:00 2"}, "26-01=5.677419354839 26-02=5"},
		// January: 10 days of 8, 12 of 4: 128 / 31. February begins with 4.
		{"a later level", saidSeats, "UTC", []string{"2026-01-10 00:00 8", "2026-02-15 00:00 2", "2026-01-20 00:00 4"}, "26-01=4.129032258065 26-02=3"},
		// January: 5 days of 8, 5 of 6, 12 of 4: 118 / 31. What its end is stays.
		{
			"a level between", saidSeats, "UTC", []string{"2026-01-10 00:00 8", "2026-02-15 00:00 2", "2026-01-20 00:00 4", "2026-01-15 00:00 6"},
			"26-01=3.806451612903 26-02=3",
		},
		// At the first instant: nothing of what was there before is left.
		{"a level at the start", saidSeats, "UTC", []string{"2026-01-01 00:00 8", "2026-02-01 00:00 2", "2026-03-01 00:00 2"}, "26-01=8 26-02=2 26-03=2"},
		// February at 1 a seat: 10 and 4 for 21 of 28 days, 13; then what 2 more for 7 days make at 2 a seat: 2 × (13.5 − 13).
		{
			"two prices", `{id: seats, rates: [
				{model: per_unit, unit_price: 1, aggregation: time_weighted, end: 2026-02-15}, {model: per_unit, unit_price: 2, aggregation: time_weighted, start: 2026-02-15}]}`,
			"UTC", []string{"2026-01-01 00:00 10", "2026-02-08 00:00 4", "2026-02-22 00:00 2"}, "26-01=10 26-02=14",
		},
		// The first line of changes ends at 10, that of levels goes on from there: 10 for half of February, then 4.
		{
			"changes, then levels", `{id: seats, rates: [
				{model: per_unit, unit_price: 1, aggregation: time_weighted, end: 2026-02-01}, {model: per_unit, unit_price: 1, aggregation: time_weighted, level: absolute, start: 2026-02-01}]}`,
			"UTC", []string{"2026-01-01 00:00 4", "2026-01-31 00:00 6", "2026-02-15 00:00 4"}, "26-01=4.193548387097 26-02=7",
		},
		// Each group has a level of its own.
		{
			"groups", "{id: seats, group_by: [place], rates: [{model: per_unit, unit_price: 1, aggregation: time_weighted}]}", "UTC",
			[]string{"2026-01-01 00:00 10 at=a", "2026-01-01 00:00 1 at=b", "2026-02-15 00:00 4 at=a", "2026-02-15 00:00 4 at=c"},
			"26-01a=10 26-01b=1 26-02a=12 26-02c=2",
		},
		// Each price of a matrix has one as well: in February 12 at 1, and 1.5 at 100.
		{
			"a matrix", `{id: seats, rates: [{model: matrix, aggregation: time_weighted, dimensions: [place], prices: [
				{match: {place: a}, model: per_unit, unit_price: 1}, {match: {place: b}, model: per_unit, unit_price: 100}]}]}`, "UTC",
			[]string{"2026-01-01 00:00 10 at=a", "2026-01-01 00:00 1 at=b", "2026-02-15 00:00 4 at=a", "2026-02-15 00:00 1 at=b"}, "26-01=110 26-02=162",
		},
		// The biggest there can be: nothing is lost.
		{"10^15", changedSeats, "UTC", []string{"2026-01-01 00:00 1000000000000000", "2026-02-15 00:00 0.000000000002"}, "26-01=1000000000000000 26-02=1000000000000000.000000000001"},
	} {
		for order := range permutations(len(c.sent)) {
			var sent []string
			for _, i := range order {
				sent = append(sent, c.sent[i])
			}
			if got := levelled(t, c.product, c.zone, Faults{}, sent); got != c.want {
				t.Errorf("%s: %s come to %s, want %s", c.name, strings.Join(sent, ", "), got, c.want)
			}
		}
	}
}

// permutations gives every order of n.
func permutations(n int) iter.Seq[[]int] {
	return func(yield func([]int) bool) {
		var place func(order []int) bool
		place = func(order []int) bool {
			if len(order) == n {
				return yield(order)
			}
			for i := range n {
				if !slices.Contains(order, i) && !place(append(slices.Clone(order), i)) {
					return false
				}
			}
			return true
		}
		place(nil)
	}
}

// TestSealedLevel: what a sealed period leaves stays, and so do sealed lines; late usage has its own line and goes no further.
func TestSealedLevel(t *testing.T) {
	for _, c := range []struct{ name, sent, want string }{
		{"late behind the next line", "2026-01-01 00:00 10, 2026-02-15 00:00 4, seal 2026-02-01, 2026-01-01 00:00 5", "26-01/26-02=5 26-01=10 26-02=12"},
		{"late before it", "2026-01-01 00:00 10, seal 2026-02-01, 2026-01-01 00:00 5, 2026-02-15 00:00 4", "26-01/26-02=5 26-01=10 26-02=12"},
		// The seal's own period has no line; the late one begins with what was there.
		{"late where nothing was", "2026-01-01 00:00 10, seal 2026-03-01, 2026-02-15 00:00 4, 2026-03-01 00:00 1", "26-01=10 26-02/26-03=12 26-03=11"},
		{"all is sealed", "2026-01-01 00:00 10, 2026-02-15 00:00 4, seal 2026-03-01, 2026-01-01 00:00 5", "26-01/26-03=5 26-01=10 26-02=12"},
		{"the next is open", "2026-01-01 00:00 10, seal 2026-02-01, 2026-02-15 00:00 4, 2026-03-01 00:00 1, 2026-02-15 00:00 2", "26-01=10 26-02=13 26-03=17"},
	} {
		if got := levelled(t, changedSeats, "UTC", Faults{}, strings.Split(c.sent, ", ")); got != c.want {
			t.Errorf("%s: come to %s, want %s", c.name, got, c.want)
		}
	}
}

// TestCarriedFaults: the figures above notice when a level is not carried over, or not any more.
func TestCarriedFaults(t *testing.T) {
	sent := []string{"2026-01-01 00:00 10", "2026-02-15 00:00 4", "2026-01-16 12:00 3"}
	for want, faults := range map[string]Faults{
		"26-01=11.5 26-02=2":  {LevelsBeginAnew: true, LaterLevelsStay: true},
		"26-01=11.5 26-02=12": {LaterLevelsStay: true},
	} {
		if got := levelled(t, changedSeats, "UTC", faults, sent); got != want {
			t.Errorf("%+v: come to %s, want %s", faults, got, want)
		}
	}
}

// TestLevelFromTheSameRecord: lines that an event of the same record has opened count as those before it.
func TestLevelFromTheSameRecord(t *testing.T) {
	compiled, err := storesOf("currency: USD\nproducts:\n  - " + changedSeats + "\naccounts: [{id: acme}]\n")
	if err != nil {
		t.Fatal(err)
	}
	m := newMachine(&Checkpoint{Last: -1, ActivatedSeq: 1}, DefaultLimits().Window, Faults{})
	record := usage.Record{Kind: usage.KindBatch}
	for i, at := range []string{"2026-02-15", "2026-01-01", "2026-03-01"} {
		day, _ := time.Parse("2006-01-02", at)
		record.Events = append(record.Events, usage.Event{
			ID: at, Source: "s", Account: "acme", RoutingKey: "acme", Product: "seats", Backfill: true, Hash: uint64(i), Time: day.UnixNano(), Quantity: money.MustParse("10"),
		})
	}
	day, _ := time.Parse("2006-01-02", "2026-03-05")
	rec := stepOne(t, m, compiled, day.UnixNano(), 0, &record)
	got := map[string]string{}
	for i := range rec.Activities {
		a := &rec.Activities[i]
		got[time.Unix(0, a.UsageStart).UTC().Format("01")] = a.LineAmount.String()
	}
	// 10; 10 and 10 for half of the month; 30 in all.
	if want := map[string]string{"01": "10", "02": "15", "03": "30"}; !maps.Equal(got, want) {
		t.Errorf("the lines come to %v, want %v", got, want)
	}
}
