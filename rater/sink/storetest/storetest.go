package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/sink"
)

// Run asks every question of stores that open returns empty.
func Run(t *testing.T, open func(t *testing.T) Store) {
	t.Run("Empty", func(t *testing.T) { empty(t, open(t)) })
	t.Run("Once", func(t *testing.T) {
		s := open(t)
		fill(t, s, Rows())
		questions(t, s)
	})
	t.Run("Doubled", func(t *testing.T) {
		s := open(t)
		rows := Rows()
		fill(t, s, rows)
		fill(t, s, rows[2:7]) // a sink that slept through its lease
		fill(t, s, rows)
		questions(t, s)
	})
	t.Run("PartlyDoubled", func(t *testing.T) {
		s := open(t)
		rows := Rows()
		fill(t, s, rows[3:6]) // blocks of keys that are there and of others
		fill(t, s, rows)
		questions(t, s)
	})
	t.Run("Adjusted", func(t *testing.T) { adjusted(t, open(t)) })
	t.Run("Days", func(t *testing.T) { daysOfZones(t, open(t)) })
	t.Run("Decimals", func(t *testing.T) { decimals(t, open(t)) })
}

func questions(t *testing.T, s Store) {
	t.Run("Totals", func(t *testing.T) { totals(t, s) })
	t.Run("TotalsPaged", func(t *testing.T) { totalsPaged(t, s) })
	t.Run("Refused", func(t *testing.T) { refused(t, s) })
	t.Run("Activities", func(t *testing.T) { activities(t, s) })
	t.Run("ActivitiesPaged", func(t *testing.T) { activitiesPaged(t, s) })
	t.Run("MaxOffsets", func(t *testing.T) { maxOffsets(t, s) })
	t.Run("Proof", func(t *testing.T) { proof(t, s) })
	t.Run("History", func(t *testing.T) { history(t, s) })
}

func empty(t *testing.T, s Store) {
	ctx := t.Context()
	all := map[int32]int64{0: 1 << 40}
	rows, next, err := s.Totals(ctx, sink.TotalsQuery{Groups: []sink.Group{sink.GroupAccount}})
	same(t, "totals", rows, []sink.Total(nil), err)
	same(t, "cursor", next, "", nil)
	marks, err := s.MaxOffsets(ctx, []sink.Position{{Partition: 0, Last: -1}})
	if len(marks) != 0 || err != nil {
		t.Errorf("marks of an empty store: %v, %v", marks, err)
	}
	sums, err := s.SumByMonth(ctx, november, all)
	same(t, "months", sums, []sink.MonthSum(nil), err)
	lines, err := s.SumByLine(ctx, []activity.ID{invoiceAcme}, all)
	same(t, "lines", lines, []sink.LineSum(nil), err)
	same(t, "insert nothing", s.Insert(ctx, sink.Block{Month: november}), error(nil), nil)
}

// totals: each expectation is one line a row: keys, currency, events, quantity, revenue.
func totals(t *testing.T, s Store) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	const account, product, day, billed, pkg = sink.GroupAccount, sink.GroupProduct, sink.GroupDay, sink.GroupBilled, sink.GroupPackage
	autumn := sink.Filter{From: at("2026-10-01T00:00:00Z"), To: at("2026-12-01T00:00:00Z")}
	for _, c := range []struct {
		name string
		q    sink.TotalsQuery
		want string
	}{
		{"all", sink.TotalsQuery{}, "EUR 5 70 7.000000000001\nUSD 4 13.5 0.51"},
		{"account", sink.TotalsQuery{Groups: []sink.Group{account}},
			"acme USD 3 6.5 -0.05\nacme-sub USD 1 7 0.56\nbeta EUR 2 0 0.000000000001\ngamma EUR 3 70 7"},
		{"billed", sink.TotalsQuery{Groups: []sink.Group{billed}}, "acme USD 4 13.5 0.51\nbeta EUR 2 0 0.000000000001\ngamma EUR 3 70 7"},
		{"product", sink.TotalsQuery{Groups: []sink.Group{product}},
			"api-calls USD 3 12 0.96\nstorage EUR 2 0 0.000000000001\nvoice EUR 3 70 7\nvoice USD 1 1.5 -0.45"},
		{"package of acme", sink.TotalsQuery{Groups: []sink.Group{pkg}, Filter: sink.Filter{Billed: "acme"}}, " USD 3 6.5 -0.05\nstarter USD 1 7 0.56"},
		{"one account", sink.TotalsQuery{Filter: sink.Filter{Accounts: []string{"acme"}, Product: "api-calls"}}, "USD 2 5 0.4"},
		{"one package", sink.TotalsQuery{Filter: sink.Filter{Package: "starter"}}, "USD 1 7 0.56"},
		{"one currency", sink.TotalsQuery{Filter: sink.Filter{Currency: "EUR"}}, "EUR 5 70 7.000000000001"},
		{"from to the nanosecond", sink.TotalsQuery{Filter: sink.Filter{Accounts: []string{"acme"}, From: at("2026-11-01T00:30:00.000000001Z"), To: at("2026-11-21T10:00:00Z")}}, "USD 1 3 0.3"},
		{"just after", sink.TotalsQuery{Filter: sink.Filter{Accounts: []string{"acme"}, From: at("2026-11-01T00:30:00.000000002Z"), To: at("2026-11-21T10:00:00.000000001Z")}}, "USD 1 1.5 -0.45"},
		{"day", sink.TotalsQuery{Filter: autumn, Groups: []sink.Group{day}}, `2026-10-24 EUR 1 10 1
2026-10-25 EUR 2 60 6
2026-10-31 USD 1 2 0.1
2026-11-01 USD 1 3 0.3
2026-11-02 EUR 1 1000000000000000 999999999999999.123456789012
2026-11-03 EUR 1 -1000000000000000 -999999999999999.123456789011
2026-11-21 USD 1 1.5 -0.45
2026-11-30 USD 1 7 0.56`},
		{"day in Berlin", sink.TotalsQuery{Filter: autumn, Zone: berlin, Groups: []sink.Group{day, account}}, `2026-10-25 gamma EUR 2 30 3
2026-10-26 gamma EUR 1 40 4
2026-11-01 acme USD 2 5 0.4
2026-11-02 beta EUR 1 1000000000000000 999999999999999.123456789012
2026-11-03 beta EUR 1 -1000000000000000 -999999999999999.123456789011
2026-11-21 acme USD 1 1.5 -0.45
2026-12-01 acme-sub USD 1 7 0.56`},
		{"account, product, day", sink.TotalsQuery{Filter: sink.Filter{Accounts: []string{"acme"}, From: autumn.From, To: autumn.To}, Groups: []sink.Group{account, product, day}},
			"acme api-calls 2026-10-31 USD 1 2 0.1\nacme api-calls 2026-11-01 USD 1 3 0.3\nacme voice 2026-11-21 USD 1 1.5 -0.45"},
		{"two accounts", sink.TotalsQuery{Filter: sink.Filter{Accounts: []string{"acme", "acme-sub"}}}, "USD 4 13.5 0.51"},
		{"one line", sink.TotalsQuery{Filter: sink.Filter{Line: lineCalls}}, "USD 2 5 0.4"},
		{"one line, attribute", sink.TotalsQuery{Filter: sink.Filter{Line: lineCalls, Attributes: []activity.Attribute{{Name: "region", Value: "eu"}}}}, "USD 1 3 0.3"},
		{"nobody", sink.TotalsQuery{Filter: sink.Filter{Accounts: []string{"' OR 1=1 --"}}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			rows, next, err := s.Totals(t.Context(), c.q)
			same(t, "rows", totalsText(rows, c.q.Groups), c.want, err)
			same(t, "cursor", next, "", nil)
		})
	}
}

func totalsText(rows []sink.Total, groups []sink.Group) string {
	lines := make([]string, len(rows))
	for i := range rows {
		lines[i] = fmt.Sprintf("%s %d %s %s", strings.Join(rows[i].Keys(groups), " "), rows[i].Events, rows[i].Quantity, rows[i].Revenue)
	}
	return strings.Join(lines, "\n")
}

func totalsPaged(t *testing.T, s Store) {
	for _, groups := range [][]sink.Group{nil, {sink.GroupDay}, {sink.GroupProduct}, {sink.GroupAccount, sink.GroupDay, sink.GroupProduct}} {
		q := sink.TotalsQuery{Groups: groups, Filter: sink.Filter{From: at("2026-10-01T00:00:00Z"), To: at("2027-01-01T00:00:00Z")}}
		whole, _, err := s.Totals(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		var paged []sink.Total
		for q.Limit = 1; ; {
			rows, next, err := s.Totals(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			paged = append(paged, rows...)
			if q.After = next; next == "" || len(paged) > len(whole) {
				break
			}
		}
		same(t, fmt.Sprint(groups), totalsText(paged, groups), totalsText(whole, groups), nil)
	}
}

func refused(t *testing.T, s Store) {
	for _, q := range []sink.TotalsQuery{
		{Groups: []sink.Group{"charge) --"}},
		{Groups: []sink.Group{sink.GroupDay, sink.GroupDay}, Filter: sink.Filter{From: 1, To: 2}},
		{Groups: []sink.Group{sink.GroupDay}},
		{Groups: []sink.Group{sink.GroupDay}, Filter: sink.Filter{From: 1, To: 1 << 62}},
		{Filter: sink.Filter{From: 2, To: 1}},
		{After: "x"},
		{After: sink.KeysCursor([]string{"a", "b"})},
		{Groups: []sink.Group{sink.GroupDay}, Filter: sink.Filter{From: 1, To: 2}, After: sink.KeysCursor([]string{"soon", "EUR"})},
	} {
		if _, _, err := s.Totals(t.Context(), q); !errors.Is(err, sink.ErrQuery) {
			t.Errorf("%+v: %v, want a refusal", q, err)
		}
	}
	for _, q := range []sink.ActivitiesQuery{{After: "1-2"}, {After: "1-2-3; --"}, {After: "1-2-3", Newest: true}, {After: "5_1-2-3"}, {Filter: sink.Filter{From: 2, To: 1}}} {
		if _, _, err := s.Activities(t.Context(), q); !errors.Is(err, sink.ErrQuery) {
			t.Errorf("%+v: %v, want a refusal", q, err)
		}
	}
}

func activities(t *testing.T, s Store) {
	november1 := sink.Filter{Accounts: []string{"acme"}, From: at("2026-11-01T00:00:00Z"), To: at("2026-11-02T00:00:00Z")}
	for _, c := range []struct {
		name string
		q    sink.ActivitiesQuery
		want []int // of the fixture
	}{
		{"all", sink.ActivitiesQuery{}, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{"newest first", sink.ActivitiesQuery{Filter: sink.Filter{Billed: "acme"}, Newest: true}, []int{6, 2, 0, 1, 3}},
		{"two accounts", sink.ActivitiesQuery{Filter: sink.Filter{Accounts: []string{"beta", "acme-sub"}}}, []int{4, 5, 6}},
		{"two attributes", sink.ActivitiesQuery{Filter: sink.Filter{Attributes: []activity.Attribute{{Name: "tier"}, {Name: "region", Value: "it's \\ a ? $1 test"}}}}, []int{1}},
		{"from on", sink.ActivitiesQuery{Filter: sink.Filter{From: at("2026-11-21T10:00:00Z")}}, []int{2, 6}},
		{"up to", sink.ActivitiesQuery{Filter: sink.Filter{To: at("2026-10-25T23:30:00Z")}}, []int{7, 8}},
		{"account", sink.ActivitiesQuery{Filter: sink.Filter{Accounts: []string{"acme"}}}, []int{0, 1, 2, 3}},
		{"account, product", sink.ActivitiesQuery{Filter: sink.Filter{Accounts: []string{"acme"}, Product: "voice"}}, []int{2}},
		{"day", sink.ActivitiesQuery{Filter: november1}, []int{0}},
		{"line", sink.ActivitiesQuery{Filter: sink.Filter{Line: lineCalls}}, []int{0, 1, 3}},
		{"invoice", sink.ActivitiesQuery{Filter: sink.Filter{Invoice: invoiceAcme}}, []int{0, 1, 2, 3, 6}},
		{"unknown invoice", sink.ActivitiesQuery{Filter: sink.Filter{Invoice: id(99)}}, nil},
		{"event", sink.ActivitiesQuery{Filter: sink.Filter{EventID: "e-6"}}, []int{6}},
		{"event of another source", sink.ActivitiesQuery{Filter: sink.Filter{EventID: "e-6", Source: "other"}}, nil},
		{"event and source", sink.ActivitiesQuery{Filter: sink.Filter{EventID: "e-6", Source: "gateway-7"}}, []int{6}},
		{"attribute", sink.ActivitiesQuery{Filter: sink.Filter{Attributes: []activity.Attribute{{Name: "region", Value: "eu"}}}}, []int{0, 6}},
		{"attribute with signs", sink.ActivitiesQuery{Filter: sink.Filter{Attributes: []activity.Attribute{{Name: "region", Value: "it's \\ a ? $1 test"}}}}, []int{1}},
		{"empty attribute", sink.ActivitiesQuery{Filter: sink.Filter{Attributes: []activity.Attribute{{Name: "tier"}}}}, []int{1}},
		{"value of another name", sink.ActivitiesQuery{Filter: sink.Filter{Attributes: []activity.Attribute{{Name: "tier", Value: "eu"}}}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			rows, next, err := s.Activities(t.Context(), c.q)
			same(t, "rows", rows, pick(c.want), err)
			same(t, "cursor", next, "", nil)
		})
	}
	for i, row := range Rows() {
		place := row.Place()
		for account, want := range map[string][]int{"": {i}, row.Activity.Account: {i}, "nobody": nil} {
			filter := sink.Filter{At: &place}
			if account != "" {
				filter.Accounts = []string{account}
			}
			rows, _, err := s.Activities(t.Context(), sink.ActivitiesQuery{Filter: filter})
			same(t, "the one at "+place.String(), rows, pick(want), err)
		}
	}
	rows, err := s.LineActivities(t.Context(), 0, lineCalls, sink.Place{Partition: 0, Offset: 10, Index: 0}, 13, 10)
	same(t, "line activities below 13", rows, pick([]int{1}), err)
}

func pick(indexes []int) []sink.Row {
	var rows []sink.Row
	for _, i := range indexes {
		rows = append(rows, fixture[i].row())
	}
	return rows
}

func activitiesPaged(t *testing.T, s Store) {
	for _, newest := range []bool{false, true} {
		q := sink.ActivitiesQuery{Limit: 3, Newest: newest}
		var got []string
		for {
			rows, next, err := s.Activities(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for i := range rows {
				got = append(got, rows[i].Place().String())
			}
			if q.After = next; next == "" || len(got) > 20 {
				break
			}
		}
		want := "0-10-0 0-10-1 0-12-0 0-13-0 1-5-0 1-7-0 1-7-1 1-9-0 1-9-1 1-9-2"
		if newest {
			want = "1-7-1 0-12-0 1-7-0 1-5-0 0-10-0 0-10-1 0-13-0 1-9-2 1-9-1 1-9-0"
		}
		same(t, "places", strings.Join(got, " "), want, nil)
	}
}

func maxOffsets(t *testing.T, s Store) {
	for _, c := range []struct {
		above []sink.Position
		want  map[sink.Mark]bool
	}{
		{nil, nil},
		{[]sink.Position{{Partition: 0, Last: -1}, {Partition: 1, Last: -1}, {Partition: 2, Last: -1}}, map[sink.Mark]bool{
			{Partition: 0, Month: october, Offset: 13}: true, {Partition: 0, Month: november, Offset: 12}: true,
			{Partition: 1, Month: october, Offset: 9}: true, {Partition: 1, Month: november, Offset: 7}: true}},
		{[]sink.Position{{Partition: 0, Last: 12}, {Partition: 1, Last: 7}}, map[sink.Mark]bool{
			{Partition: 0, Month: october, Offset: 13}: true, {Partition: 1, Month: october, Offset: 9}: true}},
		{[]sink.Position{{Partition: 0, Last: 13}}, nil},
	} {
		marks, err := s.MaxOffsets(t.Context(), c.above)
		got := map[sink.Mark]bool{}
		for _, m := range marks {
			got[m] = true
		}
		if c.want == nil {
			c.want = map[sink.Mark]bool{}
		}
		same(t, fmt.Sprint("above ", c.above), got, c.want, err)
	}
}

func proof(t *testing.T, s Store) {
	ctx, m := t.Context(), money.MustParse
	all := map[int32]int64{0: 100, 1: 100}
	months, err := s.SumByMonth(ctx, november, all)
	same(t, "november", months, []sink.MonthSum{
		{Partition: 0, Currency: "USD", Events: 2, Charged: m("-0.15")},
		{Partition: 1, Currency: "EUR", Events: 2, Charged: m("0.000000000001")},
		{Partition: 1, Currency: "USD", Events: 1, Charged: m("0.56")}}, err)
	months, err = s.SumByMonth(ctx, october, map[int32]int64{0: 13})
	same(t, "october below the adjustment", months, []sink.MonthSum{{Partition: 0, Currency: "USD", Events: 1, Charged: m("0.2")}}, err)
	months, err = s.SumByMonth(ctx, december, all)
	same(t, "december", months, []sink.MonthSum(nil), err)
	months, err = s.SumByMonth(ctx, november, nil)
	same(t, "no partition", months, []sink.MonthSum(nil), err)

	offsets, err := s.SumByOffset(ctx, 1, november, 0, 100, 10)
	same(t, "offsets", offsets, []sink.OffsetSum{
		{Offset: 5, Currency: "EUR", Events: 1, Charged: m("999999999999999.123456789012")},
		{Offset: 7, Currency: "EUR", Events: 1, Charged: m("-999999999999999.123456789011")},
		{Offset: 7, Currency: "USD", Events: 1, Charged: m("0.56")}}, err)
	offsets, err = s.SumByOffset(ctx, 1, november, 0, 100, 2)
	same(t, "an offset is not split", len(offsets), 1, err)
	offsets, err = s.SumByOffset(ctx, 1, november, 6, 8, 10)
	same(t, "offsets from 6", len(offsets), 2, err)

	ids, err := s.Invoices(ctx, november, all, activity.ID{}, 10)
	same(t, "invoices", ids, []activity.ID{invoiceAcme, invoiceBeta}, err)
	ids, err = s.Invoices(ctx, november, all, invoiceAcme, 10)
	same(t, "invoices after the first", ids, []activity.ID{invoiceBeta}, err)
	ids, err = s.Invoices(ctx, october, all, activity.ID{}, 1)
	same(t, "first invoice", ids, []activity.ID{invoiceAcme}, err)

	lines, err := s.SumByLine(ctx, []activity.ID{invoiceAcme, invoiceGamma}, all)
	same(t, "lines", lines, []sink.LineSum{
		{Partition: 0, Invoice: invoiceAcme, Line: lineCalls, Currency: "USD", Activities: 3, Charged: m("0.4")},
		{Partition: 0, Invoice: invoiceAcme, Line: lineVoice, Currency: "USD", Activities: 1, Charged: m("-0.45")},
		{Partition: 1, Invoice: invoiceAcme, Line: lineSub, Currency: "USD", Activities: 1, Charged: m("0.56")},
		{Partition: 1, Invoice: invoiceGamma, Line: lineGamma, Currency: "EUR", Activities: 3, Charged: m("7")}}, err)
	lines, err = s.SumByLine(ctx, []activity.ID{invoiceAcme}, map[int32]int64{0: 12})
	same(t, "lines below 12", lines, []sink.LineSum{{Partition: 0, Invoice: invoiceAcme, Line: lineCalls, Currency: "USD", Activities: 2, Charged: m("0.5")}}, err)
}

// decimals: what goes in comes out, to the 12th decimal, at the ends of what quantities and amounts can be.
func decimals(t *testing.T, s Store) {
	texts := []string{"0", "0.000000000001", "-0.000000000001", "1000000000000000", "-1000000000000000", "999999999999999.999999999999",
		"-999999999999999.999999999999", "99999999999999999999999999.999999999999", "-99999999999999999999999999.999999999999", "0.1", "-12.5"}
	var rows []sink.Row
	for i, text := range texts {
		row := fixture[0].row()
		row.Offset = int64(i)
		row.Activity.Quantity, row.Activity.Charge, row.Activity.LineAmount = money.MustParse(text), money.MustParse(text), money.MustParse(text).Neg()
		row.Activity.EventTime = at("1969-12-31T23:59:59.999999999Z") // before what DateTime holds
		rows = append(rows, row)
	}
	fill(t, s, rows)
	got, _, err := s.Activities(t.Context(), sink.ActivitiesQuery{})
	same(t, "rows", got, rows, err)
	sums, _, err := s.Totals(t.Context(), sink.TotalsQuery{Groups: []sink.Group{sink.GroupDay}, Filter: sink.Filter{From: at("1969-12-30T10:00:00Z"), To: at("1970-01-02T00:00:00Z")}})
	same(t, "sum", totalsText(sums, []sink.Group{sink.GroupDay}), "1969-12-31 USD 11 -12.4 -12.4", err)
}

func same(t *testing.T, what string, got, want any, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}
