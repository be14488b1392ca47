package invoicer_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/invoicer"
	"github.com/tollstream/tollstream/invoicer/invoicertest"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
)

const book = `
currency: USD
seller: {id: main, name: Example Ltd, country: DE}
products:
  - {id: api-calls, name: API calls, unit: request, identifiers: [api.requests], group_by: [region],
     rates: [{model: graduated, tiers: [{up_to: 100, unit_price: 0.10}, {unit_price: 0.05}]}]}
  - {id: storage, name: Storage, unit: GB, rates: [{model: package, size: 10, price: 3, free: 5}]}
  - {id: sms, rates: [{model: per_unit, unit_price: 0.02}]}
accounts:
  - {id: acme, name: Acme GmbH, currency: USD, time_zone: Europe/Berlin, identifiers: ["+4930123"]}
  - {id: lab, name: Acme Lab, parent: acme, bill_to: parent, currency: USD, time_zone: Europe/Berlin}
  - {id: bench, parent: lab, bill_to: parent, currency: USD, time_zone: Europe/Berlin}
  - {id: shop, name: Acme Shop, parent: acme, bill_to: parent, currency: USD, time_zone: Europe/Berlin}
  - {id: free, name: Acme Free, parent: acme, currency: USD, time_zone: Europe/Berlin}
contracts:
  - {id: c-1, account: acme, start: 2026-01-01, rates: [{product: sms, model: per_unit, unit_price: 0.01}]}
`

// matrices are prices by attributes and the hour, for some tests beside the book.
const matrices = `
products:
  - id: traffic
    group_by: [region]
    rates:
      - model: matrix
        dimensions: [region, {name: at, by: time_of_day}]
        prices:
          - {match: {region: eu}, model: graduated, tiers: [{up_to: 100, unit_price: 0.10}, {unit_price: 0.05}]}
          - {match: {region: eu, at: {from: "22:00", to: "06:00"}}, model: per_unit, unit_price: 0.01}
  - {id: fetches, rates: [{model: matrix, dimensions: [region], prices: [{match: {region: eu}, model: per_unit, unit_price: 2}], default: {model: per_unit, unit_price: 3}}]}
`

var (
	berlin = must(time.LoadLocation("Europe/Berlin"))
	now    = time.Date(2026, 11, 21, 12, 0, 0, 0, berlin)
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func region(name string) activity.Attribute { return activity.Attribute{Name: "region", Value: name} }

// filled is a world in which everybody used something in November.
func filled(t *testing.T) *invoicertest.World {
	w := invoicertest.New(t, now, book)
	w.Use("acme", "api-calls", "100", now, region("eu"))
	w.Use("acme", "api-calls", "50", now, region("eu")) // 100 × 0.10 + 50 × 0.05 = 12.5
	w.Use("lab", "sms", "300", now)                     // the parent's contract: 3
	w.Use("bench", "storage", "6", now)                 // one package: 3
	w.Use("shop", "sms", "7", now)                      // 0.07
	w.Use("free", "sms", "1", now)                      // its own invoice: 0.01
	return w
}

func ask(t *testing.T, d *invoicer.Desk, account, period string) *invoicer.Invoice {
	t.Helper()
	inv, err := d.Invoice(t.Context(), invoicer.Question{Account: account, Period: period})
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

func TestInvoiceOfTheBilledAccountHasEverybodysLines(t *testing.T) {
	inv := ask(t, filled(t).Desk(nil), "acme", "")
	if inv.Account != "acme" || inv.BilledAccount != "acme" || inv.State != "CURRENT" || inv.Currency != "USD" || inv.TimeZone != "Europe/Berlin" {
		t.Errorf("head: %+v", inv)
	}
	if got := inv.Total.String(); got != "18.570000000000" { // 12.5 + 3 + 3 + 0.07
		t.Errorf("total %s", got)
	}
	var users []string
	for _, l := range inv.Lines {
		users = append(users, l.Product+"/"+l.UsageAccount)
	}
	if got := strings.Join(users, " "); got != "api-calls/acme sms/lab sms/shop storage/bench" {
		t.Errorf("lines: %s", got)
	}
	calls := inv.Lines[0]
	if calls.Quantity.String() != "150" || calls.Events != 2 || calls.Amount.String() != "12.500000000000" || calls.Attributes["region"] != "eu" ||
		calls.ProductName != "API calls" || calls.Unit != "request" || calls.Package != nil || calls.Rate.Level != "product_default" || calls.Rate.Model != "graduated" {
		t.Errorf("line: %+v", calls)
	}
	if sms := inv.Lines[1]; sms.Rate.Level != "contract" || sms.Rate.Account != "acme" || sms.UsageName != "Acme Lab" {
		t.Errorf("inherited price: %+v", sms)
	}
	text := string(must(json.Marshal(inv)))
	for _, part := range []string{
		`"period":{"start":"2026-11-01T00:00:00+01:00","end":"2026-12-01T00:00:00+01:00"}`, `"total":"18.570000000000"`, `"package":null`,
		`"quantity":"150"`, `"amount":"12.500000000000"`, `"rated_through":"2026-11-21T11:00:00Z"`, `"attributes":{}`,
	} {
		if !strings.Contains(text, part) {
			t.Errorf("JSON lacks %s: %s", part, text)
		}
	}
}

func TestAccountBilledToItsParentSeesItsOwnPartOnly(t *testing.T) {
	d := filled(t).Desk(nil)
	parent, lab := ask(t, d, "acme", ""), ask(t, d, "lab", "")
	if lab.ID != parent.ID || lab.Account != "lab" || lab.BilledAccount != "acme" || lab.BilledName != "Acme GmbH" {
		t.Errorf("head: %+v", lab)
	}
	if len(lab.Lines) != 2 || lab.Lines[0].UsageAccount != "lab" || lab.Lines[1].UsageAccount != "bench" || lab.Total.String() != "6.000000000000" {
		t.Errorf("lines: %+v total %s", lab.Lines, lab.Total)
	}
	if own := ask(t, d, "free", ""); own.ID == parent.ID || own.BilledAccount != "free" || own.Total.String() != "0.010000000000" {
		t.Errorf("its own invoice: %+v", own)
	}
}

func TestPeriods(t *testing.T) {
	d := filled(t).Desk(nil)
	for _, tc := range []struct{ period, start, lines string }{
		{"", "2026-11-01T00:00:00+01:00", "4"},
		{"2026-11-01", "2026-11-01T00:00:00+01:00", "4"},
		{"2026-11-30", "2026-11-01T00:00:00+01:00", "4"},
		{"2026-10-31", "2026-10-01T00:00:00+02:00", "0"},
		{"2026-10-31T22:59:59Z", "2026-10-01T00:00:00+02:00", "0"},
		{"2026-10-31T23:00:00Z", "2026-11-01T00:00:00+01:00", "4"}, // Berlin's midnight
	} {
		inv := ask(t, d, "acme", tc.period)
		if got := inv.Period.Start.Format(time.RFC3339); got != tc.start || len(inv.Lines) != int(tc.lines[0]-'0') {
			t.Errorf("%q: start %s, %d lines", tc.period, got, len(inv.Lines))
		}
	}
	if empty := ask(t, d, "acme", "2026-10-31"); empty.Lines == nil || empty.Total.String() != "0.000000000000" || len(empty.ID) != 32 {
		t.Errorf("a period without usage: %+v", empty)
	}
	for _, bad := range []string{"yesterday", "2026-13-01", "9999-01-01T00:00:00Z", "2026-11"} {
		if _, err := d.Invoice(t.Context(), invoicer.Question{Account: "acme", Period: bad}); !errors.Is(err, invoicer.ErrPeriodInvalid) {
			t.Errorf("period %q: %v", bad, err)
		}
	}
	if _, err := d.Invoice(t.Context(), invoicer.Question{Account: "nobody"}); !errors.Is(err, invoicer.ErrAccountUnknown) {
		t.Errorf("unknown account: %v", err)
	}
}

// away is a live view that is being rebuilt.
type away struct{ err error }

func (a away) Read(context.Context, invoicer.Ref) (invoicer.View, error) {
	return invoicer.View{}, a.err
}

func TestDurableReaderAnswersWhenTheLiveOneCannot(t *testing.T) {
	for _, failure := range []error{invoicer.ErrNotLive, errors.New("connection refused")} {
		d := filled(t).Desk(away{failure})
		var told error
		d.Fallback = func(err error) { told = err }
		if inv := ask(t, d, "acme", ""); len(inv.Lines) != 4 || !errors.Is(told, failure) {
			t.Errorf("%v: %d lines, told %v", failure, len(inv.Lines), told)
		}
	}
}

func TestLiveInvoiceGoesOnWhileTheDefinitionsCannotBeRead(t *testing.T) {
	w := filled(t)
	live := filled(t) // its own failure is not the definitions'
	d := w.Desk(live)
	ask(t, d, "acme", "")
	w.Err = errors.New("connection refused")
	if inv := ask(t, d, "acme", ""); len(inv.Lines) != 4 {
		t.Errorf("%d lines", len(inv.Lines))
	}
}

func TestNextStep(t *testing.T) {
	for _, tc := range []struct{ product, used, want string }{
		{"api-calls", "0", `{"from":"0","up_to":"100","unit_price":"0.1","then":"0.05"}`},
		{"api-calls", "99.5", `{"from":"0","up_to":"100","unit_price":"0.1","then":"0.05"}`},
		{"api-calls", "100", `{"from":"100","unit_price":"0.05"}`}, // the bound belongs to its tier, the next unit does not
		{"storage", "4", `{"from":"0","up_to":"5","unit_price":"0","then":"3"}`},
		{"storage", "5", `{"from":"5","up_to":"15","unit_price":"3","then":"3"}`},
		{"storage", "6", `{"from":"5","up_to":"15","unit_price":"0","then":"3"}`},
		{"storage", "15", `{"from":"15","up_to":"25","unit_price":"3","then":"3"}`},
		{"storage", "15.1", `{"from":"15","up_to":"25","unit_price":"0","then":"3"}`},
		{"sms", "7", `{"from":"0","unit_price":"0.01"}`},
		{"traffic", "40", `{"from":"0","up_to":"100","unit_price":"0.1","then":"0.05"}`}, // what the line's group and the hour select
	} {
		w := invoicertest.New(t, now, book)
		w.Apply(matrices)
		w.Use("acme", tc.product, tc.used, now, region("eu"))
		got := string(must(json.Marshal(ask(t, w.Desk(nil), "acme", "").Lines[0].Next)))
		if got != tc.want {
			t.Errorf("%s %s: %s, want %s", tc.product, tc.used, got, tc.want)
		}
	}
}

func TestSealedAndLateLinesHaveNoNextStep(t *testing.T) {
	w := filled(t)
	late := w.Use("acme", "sms", "5", now)
	late.UsagePeriod.Start, late.UsagePeriod.End = late.Period.Start-1, late.Period.Start
	late.Position = 1
	w.Put(late)
	d := w.Desk(nil)
	for _, l := range ask(t, d, "acme", "").Lines {
		if isLate := l.ID == late.Line.String(); isLate != (l.UsagePeriod != nil) || isLate == (l.Next != nil) {
			t.Errorf("late %v: %+v", isLate, l)
		}
	}
	if detail := must(d.Line(t.Context(), invoicer.Question{Account: "acme"}, late.Line.String())); detail.Explanation != nil || len(detail.Rates) != 1 {
		t.Errorf("a late line's own segments do not give its amount: %+v", detail)
	}
	w.Sealed = true
	inv := ask(t, d, "acme", "")
	if inv.State != invoicer.StateSealed || inv.Forecast != nil || inv.Lines[0].Next != nil {
		t.Errorf("sealed: %+v", inv)
	}
}

func TestForecast(t *testing.T) {
	w := filled(t)
	d := w.Desk(nil)
	charge := func(day, amount string) invoicer.DayCharge {
		return invoicer.DayCharge{Day: day, Product: "sms", Charge: money.MustParse(amount)}
	}
	for _, tc := range []struct {
		name      string
		charges   []invoicer.DayCharge
		low, high string // 9.5 days remain; the total is 18.57
		days      int
	}{
		{"quiet and busy days", []invoicer.DayCharge{charge("2026-11-18", "2"), charge("2026-11-19", "4"), charge("2026-11-20", "6"), charge("2026-11-20", "2"), charge("2026-11-21", "9")},
			// whole days 2, 4, 8: quieter half (2 + 4) ÷ 2 = 3, busier (4 + 8) ÷ 2 = 6
			"47.070000000000", "75.570000000000", 3},
		{"one whole day", []invoicer.DayCharge{charge("2026-11-20", "10")}, "94.570000000000", "132.570000000000", 1}, // 8 and 12
		{"a quiet day counts", []invoicer.DayCharge{charge("2026-11-19", "2")}, "18.570000000000", "37.570000000000", 2},
		{"today only", []invoicer.DayCharge{charge("2026-11-21", "6")}, "18.570000000000", "132.570000000000", 0}, // 12 a day at noon
		{"nothing", nil, "18.570000000000", "18.570000000000", 0},
	} {
		w.Charges = tc.charges
		f := ask(t, d, "acme", "").Forecast
		if f == nil || f.Low.String() != tc.low || f.High.String() != tc.high || f.Days != tc.days {
			t.Errorf("%s: %+v", tc.name, f)
		}
	}
	if w.Asked.Billed != "acme" || w.Asked.Accounts != nil || w.Asked.From.Format(time.RFC3339) != "2026-11-14T00:00:00+01:00" {
		t.Errorf("asked %+v", w.Asked)
	}
	ask(t, d, "lab", "")
	if got := strings.Join(w.Asked.Accounts, " "); got != "bench lab" {
		t.Errorf("a child's forecast asks for %q", got)
	}
	if past := ask(t, d, "acme", "2026-10-05"); past.Forecast != nil {
		t.Errorf("a past period has a forecast: %+v", past.Forecast)
	}
}

func TestChildrenAddUpWithoutCountingTwice(t *testing.T) {
	f := must(filled(t).Desk(nil).Children(t.Context(), invoicer.Question{Account: "acme"}))
	var got []string
	for _, m := range f.Members {
		got = append(got, strings.Repeat("-", m.Depth)+m.Account+":"+m.BilledAccount+":"+m.Total.Decimal.String())
	}
	if want := "acme:acme:12.5 -free:free:0.01 -lab:acme:3 --bench:acme:3 -shop:acme:0.07"; strings.Join(got, " ") != want {
		t.Errorf("members: %s", strings.Join(got, " "))
	}
	if len(f.Sums) != 1 || f.Sums[0].Total.String() != "18.580000000000" || f.Truncated {
		t.Errorf("sums: %+v", f.Sums)
	}
}

func TestPricesSayWhereTheyComeFrom(t *testing.T) {
	prices := must(filled(t).Desk(nil).Prices(t.Context(), invoicer.Question{Account: "bench"}))
	var got []string
	for _, p := range prices {
		got = append(got, p.Product+" "+p.Rate.Level+" "+p.Rate.Account+" "+p.Rate.Model)
	}
	if want := "api-calls product_default  graduated|sms contract acme per_unit|storage product_default  package"; strings.Join(got, "|") != want {
		t.Errorf("prices: %s", strings.Join(got, "|"))
	}
	if tiers := prices[0].Rate.Tiers; len(tiers) != 2 || tiers[0].UpTo.String() != "100" || tiers[1].UpTo != nil {
		t.Errorf("tiers: %+v", tiers)
	}
}

func TestLineExplainsItsAmount(t *testing.T) {
	w := filled(t)
	d := w.Desk(nil)
	line := ask(t, d, "acme", "").Lines[0]
	detail := must(d.Line(t.Context(), invoicer.Question{Account: "acme"}, line.ID))
	if detail.Explanation.Amount != line.Amount.Decimal || detail.Explanation.Equation == "" || len(detail.Rates) != 1 || len(detail.Asked) == 0 {
		t.Errorf("detail: %+v", detail)
	}
	bench := ask(t, d, "lab", "").Lines[1]
	if _, err := d.Line(t.Context(), invoicer.Question{Account: "shop"}, bench.ID); !errors.Is(err, invoicer.ErrLineUnknown) {
		t.Errorf("a sibling's line: %v", err)
	}
	if detail, err := d.Line(t.Context(), invoicer.Question{Account: "lab"}, bench.ID); err != nil || detail.Line.UsageAccount != "bench" {
		t.Errorf("a line of an account below: %v", err)
	}
	old := w.Use("acme", "sms", "10", now.AddDate(0, -1, 0))
	if detail, err := d.Line(t.Context(), invoicer.Question{Account: "acme"}, old.Line.String()); err != nil || detail.Period.Start.Month() != time.October {
		t.Errorf("last month's line: %v", err)
	}
	if _, err := d.Line(t.Context(), invoicer.Question{Account: "acme", Period: "2026-11-01"}, old.Line.String()); !errors.Is(err, invoicer.ErrLineUnknown) {
		t.Errorf("a line of another period: %v", err)
	}
}

func TestQuotePricesOnTheLineAsItStandsAndRecordsNothing(t *testing.T) {
	w := filled(t)
	w.Apply(matrices)
	w.Use("acme", "traffic", "90", now, region("eu"))
	d := w.Desk(nil)
	event := func(account, product, quantity, in string) usage.Event {
		return usage.Event{
			ID: "e", Source: "s", Subject: account, Product: product, Quantity: money.MustParse(quantity), Time: now.UnixNano(),
			Attributes: []usage.Attribute{{Name: "region", Value: in}},
		}
	}
	for _, tc := range []struct{ account, product, quantity, region, charge, before string }{
		{"acme", "api-calls", "10", "eu", "0.500000000000", "12.500000000000"},        // the second tier
		{"acme", "api-calls", "10", "us", "1.000000000000", "0.000000000000"},         // another line, from its first tier
		{"+4930123", "api.requests", "10", "eu", "0.500000000000", "12.500000000000"}, // by identifiers
		{"acme", "api-calls", "-100", "eu", "-7.500000000000", "12.500000000000"},     // 150 → 50: 50 × 0.05 + 50 × 0.10
		{"lab", "sms", "1", "", "0.010000000000", "3.000000000000"},
		{"acme", "traffic", "20", "eu", "1.500000000000", "9.000000000000"}, // 90 → 110 in the cell of the day
		{"acme", "fetches", "1", "eu", "2.000000000000", "0.000000000000"},
		{"acme", "fetches", "1", "us", "3.000000000000", "0.000000000000"},
	} {
		q, err := d.Quote(t.Context(), event(tc.account, tc.product, tc.quantity, tc.region))
		if err != nil {
			t.Errorf("%+v: %v", tc, err)
			continue
		}
		if q.Charge.String() != tc.charge || q.Explanation.Before.String() != tc.before || q.Explanation.Line.Amount != q.Explanation.After.Decimal {
			t.Errorf("%+v: %+v", tc, q)
		}
	}
	if got := ask(t, d, "acme", "").Total.String(); got != "27.570000000000" { // with the traffic's 9
		t.Errorf("a quote moved the invoice to %s", got)
	}
	for _, tc := range []struct {
		account, product string
		want             error
	}{{"nobody", "sms", invoicer.ErrAccountUnknown}, {"acme", "nothing", invoicer.ErrProductUnknown}, {"acme", "traffic", invoicer.ErrNoPrice}} {
		if _, err := d.Quote(t.Context(), event(tc.account, tc.product, "1", "")); !errors.Is(err, tc.want) {
			t.Errorf("%+v: %v", tc, err)
		}
	}
}
