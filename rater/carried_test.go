package rater

import (
	"bytes"
	"cmp"
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
	lines  map[activity.ID][]LineState
	levels []LevelState
}

func (s *keptLines) Levels(_ context.Context, _ Fence, owed string, through int64, limit int) (out []LevelState, _ error) {
	for _, l := range s.levels {
		if l.Owed == owed && l.End <= through {
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(a, b LevelState) int {
		return cmp.Or(cmp.Compare(a.End, b.End), bytes.Compare(a.Family[:], b.Family[:]))
	})
	return out[:min(len(out), limit)], nil
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
	for _, l := range m.waiting.freeze() {
		done := l.Done
		l.Done = false
		s.levels = slices.DeleteFunc(s.levels, func(other LevelState) bool { return other == l })
		if !done {
			s.levels = append(s.levels, l)
		}
	}
	m.waiting.cutting = nil
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
	stores := &keptLines{benchStores: compiled, lines: map[activity.ID][]LineState{}}
	m := newMachine(&Checkpoint{Last: -1, ActivatedSeq: 1}, DefaultLimits().Window, faults)
	charges := map[activity.ID]money.Decimal{}
	right := !faults.LevelsBeginAnew && !faults.LaterLevelsStay && !faults.QuietPeriodsFree
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
				if begins(a) {
					e := usage.Event{Account: a.Account, Product: a.Product, Package: a.Sent().EventPackage, Time: a.EventTime, Attributes: a.Attributes}
					got, reason := fold.Begin(&e, Invoiced{})
					if reason != "" || got.Charge != a.Charge && right {
						t.Errorf("%s: a line begins with %s %s, was charged %s", text, got.Charge, reason, a.Charge)
					}
					folded = sum(t, sum(t, folded, got.Charge), got.Others)
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
		// February has its line since it was sealed with January, and so has March.
		{"late where nobody came", "2026-01-01 00:00 10, seal 2026-03-01, 2026-02-15 00:00 4, 2026-03-01 00:00 1", "26-01=10 26-02/26-03=2 26-02=10 26-03=11"},
		{"all is sealed", "2026-01-01 00:00 10, 2026-02-15 00:00 4, seal 2026-03-01, 2026-01-01 00:00 5", "26-01/26-03=5 26-01=10 26-02=12 26-03=14"},
		{"the next is open", "2026-01-01 00:00 10, seal 2026-02-01, 2026-02-15 00:00 4, 2026-03-01 00:00 1, 2026-02-15 00:00 2", "26-01=10 26-02=13 26-03=17"},
	} {
		if got := levelled(t, changedSeats, "UTC", Faults{}, strings.Split(c.sent, ", ")); got != c.want {
			t.Errorf("%s: come to %s, want %s", c.name, got, c.want)
		}
	}
}

// TestQuietPeriods: what a sealed period leaves is due in the next one, whether anything happens there or not, and so on.
func TestQuietPeriods(t *testing.T) {
	ended := "{id: seats, rates: [{model: per_unit, unit_price: 1, aggregation: time_weighted, end: 2026-02-01}]}"
	dearer := `{id: seats, rates: [{model: per_unit, unit_price: 1, aggregation: time_weighted, end: 2026-02-15},
		{model: per_unit, unit_price: 2, aggregation: time_weighted, start: 2026-02-15}]}`
	matrix := `{id: seats, rates: [{model: matrix, aggregation: time_weighted, dimensions: [place], prices: [
		{match: {place: a}, model: per_unit, unit_price: 1}, {match: {place: b}, model: per_unit, unit_price: 100}]}]}`
	grouped := "{id: seats, group_by: [place], rates: [{model: per_unit, unit_price: 1, aggregation: time_weighted}]}"
	flat := "{id: seats, rates: [{model: flat, amount: 7, aggregation: time_weighted}]}"
	for _, c := range []struct{ name, product, zone, sent, want string }{
		{"a quarter, sealed month by month", changedSeats, "UTC", "2026-01-01 00:00 10, seal 2026-02-01, seal 2026-03-01, seal 2026-04-01", "26-01=10 26-02=10 26-03=10 26-04=10"},
		{"all at once", changedSeats, "UTC", "2026-01-01 00:00 10, seal 2026-04-01", "26-01=10 26-02=10 26-03=10 26-04=10"},
		{"the same seal again", changedSeats, "UTC", "2026-01-01 00:00 10, seal 2026-02-01, seal 2026-02-01", "26-01=10 26-02=10"},
		{"an older seal", changedSeats, "UTC", "2026-01-01 00:00 10, seal 2026-03-01, seal 2026-02-01", "26-01=10 26-02=10 26-03=10"},
		{"all have gone", changedSeats, "UTC", "2026-01-01 00:00 10, 2026-01-16 12:00 -10, seal 2026-02-01", "26-01=5"},
		{"below", changedSeats, "UTC", "2026-01-01 00:00 -10, seal 2026-03-01", "26-01=-10 26-02=-10 26-03=-10"},
		{"10^15", changedSeats, "UTC", "2026-01-01 00:00 1000000000000000, seal 2026-02-01", "26-01=1000000000000000 26-02=1000000000000000"},
		{"somebody comes after the seal", changedSeats, "UTC", "2026-01-01 00:00 10, seal 2026-02-01, 2026-02-15 00:00 4", "26-01=10 26-02=12"},
		{"… and before it", changedSeats, "UTC", "2026-01-01 00:00 10, 2026-02-15 00:00 4, seal 2026-02-01", "26-01=10 26-02=12"},
		// March had taken over 10, and takes over 14.
		{"… into a month before one with usage", changedSeats, "UTC", "2026-01-01 00:00 10, 2026-03-01 00:00 -3, seal 2026-02-01, 2026-02-15 00:00 4", "26-01=10 26-02=12 26-03=11"},
		{"all go in a month that began without an event", changedSeats, "UTC", "2026-01-01 00:00 10, seal 2026-02-01, 2026-02-15 00:00 -10, seal 2026-03-01", "26-01=10 26-02=5"},
		{"an hour less, an hour more", changedSeats, "Europe/Berlin", "2026-02-01 00:00 10, seal 2026-11-01", "26-02=10 26-03=10 26-04=10 26-05=10 26-06=10 26-07=10 26-08=10 26-09=10 26-10=10 26-11=10"},
		// January: 22 of 31 days of 8.
		{"a level", saidSeats, "UTC", "2026-01-10 00:00 8, seal 2026-02-01", "26-01=5.677419354839 26-02=8"},
		// 8, then 2 for half of February.
		{"… and another", saidSeats, "UTC", "2026-01-10 00:00 8, seal 2026-02-01, 2026-02-15 00:00 2, seal 2026-03-01", "26-01=5.677419354839 26-02=5 26-03=2"},
		{"the rate has ended", ended, "UTC", "2026-01-01 00:00 10, seal 2026-02-01, seal 2026-03-01", "26-01=10"},
		// What was there at the start is priced by the rate of the start, and 2 for 7 of 28 days by theirs: 10 + 2 × 0.5.
		{"two prices", dearer, "UTC", "2026-01-01 00:00 10, seal 2026-02-01, 2026-02-22 00:00 2, seal 2026-03-01", "26-01=10 26-02=11 26-03=24"},
		{"groups", grouped, "UTC", "2026-01-01 00:00 10 at=a, 2026-01-01 00:00 1 at=b, 2026-02-15 00:00 4 at=a, seal 2026-02-01", "26-01a=10 26-01b=1 26-02a=12 26-02b=1"},
		// In February 12 at 1, and one at 100, of which there was no event.
		{"a matrix", matrix, "UTC", "2026-01-01 00:00 10 at=a, 2026-01-01 00:00 1 at=b, 2026-02-15 00:00 4 at=a, seal 2026-02-01, seal 2026-03-01", "26-01=110 26-02=112 26-03=114"},
		{"a flat price", flat, "UTC", "2026-01-01 00:00 10, seal 2026-02-01, 2026-02-01 00:00 -10, seal 2026-03-01", "26-01=7 26-02=7"},
	} {
		if got := levelled(t, c.product, c.zone, Faults{}, strings.Split(c.sent, ", ")); got != c.want {
			t.Errorf("%s: come to %s, want %s", c.name, got, c.want)
		}
	}
}

// TestManyQuietLines: more lines than one seal takes on are taken on by the same seal again.
func TestManyQuietLines(t *testing.T) {
	var sent []string
	for i := range mostLevels + 20 {
		sent = append(sent, fmt.Sprintf("2026-01-01 00:00 1 at=%d", i))
	}
	product := "{id: seats, group_by: [place], rates: [{model: per_unit, unit_price: 1, aggregation: time_weighted}]}"
	for seals, want := range []int{0, mostLevels, mostLevels + 20, mostLevels + 20} {
		if got := strings.Count(levelled(t, product, "UTC", Faults{}, sent), "26-02"); got != want {
			t.Errorf("after %d seals %d lines of the next month, want %d", seals, got, want)
		}
		sent = append(sent, "seal 2026-02-01")
	}
}

// TestCarriedFaults: the figures above notice when a level is not carried over, or not any more.
func TestCarriedFaults(t *testing.T) {
	sent := []string{"2026-01-01 00:00 10", "2026-02-15 00:00 4", "2026-01-16 12:00 3", "seal 2026-03-01"}
	for want, faults := range map[string]Faults{
		"26-01=11.5 26-02=2 26-03=4":   {LevelsBeginAnew: true, LaterLevelsStay: true},
		"26-01=11.5 26-02=12 26-03=14": {LaterLevelsStay: true},
		"26-01=11.5 26-02=15":          {QuietPeriodsFree: true},
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

// TestQuietLinesFollowDefinitions: a line that has begun without an event is swept like any other, and where another kind of usage is priced when
// the period is sealed, none begins.
func TestQuietLinesFollowDefinitions(t *testing.T) {
	seats := func(price string) object {
		return object{"model": "per_unit", "unit_price": price, "aggregation": "time_weighted"}
	}
	a := newAnew(t, seats("1"), seats("3"), object{"model": "per_unit", "unit_price": "3"})
	a.useAt("10", benchStart)
	a.seal()
	a.want(a.total(), "20")
	a.activate(2)
	var families [][16]byte
	for id := range a.m.families {
		families = append(families, id)
	}
	// January is sealed at 1.
	a.want(a.step(a.later(), usage.Record{Kind: usage.KindSweep, Sweep: &usage.Sweep{Seq: 2, Families: families}}), "definition:2 20")
	a.activate(3)
	s := usage.Seal{Account: "a", PeriodEnd: benchStart + 59*24*benchHour}
	a.want(a.step(a.later(), usage.Record{Kind: usage.KindSeal, Seal: &s}), "")
	a.want(a.total(), "40")
	for k, waits := range a.m.waiting.fresh {
		if waits {
			t.Errorf("family %s waits for a seal that has come", k.family)
		}
	}
}
