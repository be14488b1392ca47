package rater

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
)

// formulas rates "TIME QUANTITY [REGION]" under the rates of a product that is grouped by region, each line read back before each event, and gives the
// charges or reasons. What a fold makes of it is the same.
func formulas(t *testing.T, account, rates string, sent ...string) string {
	t.Helper()
	stores, err := storesOf(fmt.Sprintf("currency: EUR\nproducts: [{id: p, group_by: [region], rates: [%s]}]\naccounts: [{id: a, %s}]\n", rates, account))
	if err != nil {
		t.Fatal(err)
	}
	m := newMachine(&Checkpoint{Last: -1, ActivatedSeq: 1}, DefaultLimits().Window, Faults{})
	fold := NewFold()
	fold.Use(stores.plan(t, "a"))
	var got []string
	for i, text := range sent {
		words := strings.Fields(text)
		at, err := time.Parse("2006-01-02T15:04", words[0])
		if err != nil {
			t.Fatal(err)
		}
		e := usage.Event{ID: fmt.Sprint(i), Source: "s", Account: "a", RoutingKey: "a", Product: "p", Quantity: money.MustParse(words[1]), Time: at.UnixNano(), Backfill: true}
		if len(words) > 2 {
			e.Attributes = []activity.Attribute{{Name: "region", Value: words[2]}}
		}
		rec := stepOne(t, m, stores, max(m.logTime, e.Time), int64(i), &usage.Record{Kind: usage.KindBatch, Events: []usage.Event{e}})
		folded, reason := fold.Add(&e, Invoiced{})
		if len(rec.Rejected) > 0 {
			got = append(got, rec.Rejected[0].Reason)
			if reason != rec.Rejected[0].Reason {
				t.Errorf("%s: a fold says %q", text, reason)
			}
			continue
		}
		charge := rec.Activities[len(rec.Activities)-1].Charge
		if folded.Charge != charge || reason != "" {
			t.Errorf("%s: charged %s, by a fold %s %s", text, charge, folded.Charge, reason)
		}
		got = append(got, charge.String())
		m.reload(t)
	}
	return strings.Join(got, " ")
}

// TestFormulasCountDays: days are those of the calendar, whatever hours they have.
func TestFormulasCountDays(t *testing.T) {
	const rate = `{model: formula, expression: "days"}`
	for _, c := range []struct{ account, at, want string }{
		{"time_zone: Europe/Berlin", "2026-01-10T12:00", "31"},
		{"time_zone: Europe/Berlin", "2026-02-10T12:00", "28"},
		{"time_zone: Europe/Berlin", "2028-02-10T12:00", "29"},
		{"time_zone: Europe/Berlin", "2026-03-29T12:00", "31"}, // 23 hours
		{"time_zone: Europe/Berlin", "2026-10-31T22:59", "31"}, // of 745 hours, the last minute
		{"time_zone: Europe/Berlin", "2026-10-31T23:00", "30"}, // November
		{"time_zone: Australia/Lord_Howe", "2026-04-10T12:00", "30"},
		{"time_zone: America/Sao_Paulo", "2018-11-10T12:00", "30"}, // a midnight that there is not
		{"cycle: {every: monthly, anchor_day: 31}", "2026-02-10T12:00", "28"},
		{"cycle: {every: monthly, anchor_day: 31}", "2026-03-10T12:00", "31"},
		{"cycle: {every: monthly, anchor_day: 31}", "2028-02-10T12:00", "29"},
		{"cycle: {every: monthly, anchor_day: 15}", "2026-02-20T12:00", "28"},
		{"cycle: {every: daily}, time_zone: Europe/Berlin", "2026-03-29T12:00", "1"},
		{"cycle: {every: weekly, anchor_day: 1}, time_zone: Europe/Berlin", "2026-03-29T12:00", "7"},
		{"cycle: {every: biweekly, anchor_day: 1}, time_zone: Europe/Berlin", "2026-03-29T12:00", "14"},
		{"cycle: {every: quarterly}", "2026-02-10T12:00", "90"},
		{"cycle: {every: yearly}", "2026-02-10T12:00", "365"},
		{"cycle: {every: yearly}", "2028-12-31T23:59", "366"},
		{"cycle: {every: manual}", "2026-02-10T12:00", ReasonNoPeriod},
	} {
		if got := formulas(t, c.account, rate, c.at+" 1"); got != c.want {
			t.Errorf("%s at %s: %s, want %s", c.account, c.at, got, c.want)
		}
	}
}

// TestFormulasSeeTheirLine: January has 31 days. All of a line sees the same of them, whatever part of it a rate is in effect.
func TestFormulasSeeTheirLine(t *testing.T) {
	const eu = `expression: 'group.region == "eu" ? quantity * 2 : quantity'`
	for _, c := range []struct{ name, rates, sent, want string }{
		{"the group", `{model: formula, ` + eu + `}`, "2026-01-05T00:00 10 eu, 2026-01-05T00:00 10 us, 2026-01-05T00:00 10, 2026-01-06T00:00 -4 eu", "20 10 10 -8"},
		// 15 × 31 / 31, less 10 of it for the usage before: the days of the second rate alone would be 21.
		{"a price that changes", `{model: formula, ` + eu + `, end: 2026-01-11}, {model: formula, start: 2026-01-11, expression: "quantity * days / 31"}`,
			"2026-01-05T00:00 10 eu, 2026-01-20T00:00 5 eu, 2026-01-06T00:00 1 eu, 2026-01-20T00:00 7 us", "20 5 2 7"},
		// Under the second rate 12 are 372, of which 310 are those before.
		{"… from one that sees nothing", `{model: per_unit, unit_price: 1, end: 2026-01-11}, {model: formula, start: 2026-01-11, expression: "quantity * days"}`,
			"2026-01-05T00:00 10 eu, 2026-01-20T00:00 2 eu, 2026-01-05T00:00 1 eu", "10 62 1"},
		{"a matrix", `{model: matrix, dimensions: [{name: at, by: weekday}], prices: [{match: {at: [sat, sun]}, model: formula, ` + eu + `}], default: {model: formula, expression: "quantity / days"}}`,
			"2026-01-03T00:00 10 eu, 2026-01-05T00:00 62 eu, 2026-01-03T00:00 10 us", "20 2 10"},
		// 20 and 93 / 31 in two cells; 20 of the 25 are left.
		{"… with a maximum of the whole", `{model: matrix, maximum: 25, dimensions: [{name: at, by: weekday}], prices: [{match: {at: [sat, sun]}, model: formula, ` + eu + `}], default: {model: formula, expression: "quantity / days"}}`,
			"2026-01-03T00:00 10 eu, 2026-01-05T00:00 93 eu, 2026-01-05T00:00 93 eu", "20 3 2"},
		// 31 seats for one day of 31 are 1 on average, and then 2.
		{"an average", `{model: formula, aggregation: time_weighted, expression: "quantity * days"}`, "2026-01-31T00:00 31 eu, 2026-01-31T00:00 31 eu", "31 31"},
		{"a largest value", `{model: formula, aggregation: max, expression: "quantity / days"}`, "2026-01-31T00:00 31 eu, 2026-01-01T00:00 62 eu, 2026-01-01T00:00 5 eu", "1 1 0"},
	} {
		if got := formulas(t, "time_zone: UTC", c.rates, strings.Split(c.sent, ", ")...); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// formulaOnALine gives a fold and an event under a rate of a product that is grouped by region.
func formulaOnALine(t testing.TB, rate string) (*Fold, *usage.Event) {
	t.Helper()
	stores, err := storesOf("currency: EUR\nproducts: [{id: p, group_by: [region], rates: [{" + rate + "}]}]\naccounts: [{id: a, time_zone: UTC}]\n")
	if err != nil {
		t.Fatal(err)
	}
	fold := NewFold()
	fold.Use(stores.plan(t, "a"))
	return fold, &usage.Event{
		ID: "e", Source: "s", Account: "a", RoutingKey: "a", Product: "p", Quantity: money.One, Time: benchStart,
		Attributes: []activity.Attribute{{Name: "region", Value: "eu"}},
	}
}

var ratesOnALine = []string{
	"model: per_unit, unit_price: 1", `model: formula, expression: "quantity * 0.1 + 2"`,
	`model: formula, expression: 'group.region == "eu" ? quantity * 0.1 / days : quantity'`,
}

func TestFormulasDoNotAllocate(t *testing.T) {
	for _, rate := range ratesOnALine {
		fold, e := formulaOnALine(t, rate)
		if n := testing.AllocsPerRun(100, func() { fold.Add(e, Invoiced{}) }); n > 0 {
			t.Errorf("%s: an event allocates %v times", rate, n)
		}
	}
}

func BenchmarkFormulaOnALine(b *testing.B) {
	for _, rate := range ratesOnALine {
		b.Run(rate, func(b *testing.B) {
			fold, e := formulaOnALine(b, rate)
			b.ReportAllocs()
			for b.Loop() {
				if _, reason := fold.Add(e, Invoiced{}); reason != "" {
					b.Fatal(reason)
				}
			}
		})
	}
}
