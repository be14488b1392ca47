package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/sink"
)

// history: what is asked for is a day of November, what is read is the whole period around it.
func history(t *testing.T, s Store) {
	q := sink.HistoryQuery{From: at("2026-11-01T00:00:00Z"), To: at("2026-11-02T00:00:00Z")}
	extent, err := s.Extent(t.Context(), q)
	same(t, "extent", extent, sink.Extent{First: at("2026-10-31T23:00:00Z"), End: at("2026-11-30T23:00:00Z")}, err)
	q.Extent = extent
	counts, err := s.AccountCounts(t.Context(), q, "", 10)
	if err != nil || len(counts) != 2 || counts[0].Account != "acme" || counts[0].Activities < 4 || counts[1].Account != "beta" || counts[1].Activities < 2 {
		t.Errorf("accounts: %v, %v", counts, err)
	}
	counts, err = s.AccountCounts(t.Context(), q, "", 1)
	if err != nil || len(counts) != 1 || counts[0].Account != "acme" {
		t.Errorf("the first account: %v, %v", counts, err)
	}
	counts, err = s.AccountCounts(t.Context(), q, "acme", 1)
	if err != nil || len(counts) != 1 || counts[0].Account != "beta" {
		t.Errorf("the account after it: %v, %v", counts, err)
	}
	const acme = `0-10-0 1 e-1 2026-11-01 gateway-7 acme api-calls <> 3 [{region eu}] 0.3 USD
0-10-1 1 e-2 2026-10-31 gateway-7 acme api-calls <> 2 [{region it's \ a ? $1 test} {tier }] 0.2 USD
0-12-0 1 e-3 2026-11-21 gateway-7 acme voice <> 1.5 [] -0.45 USD
0-13-0 2  2026-10-31  acme api-calls <> 0 [] -0.1 USD
`
	const beta = `1-5-0 1 e-4 2026-11-02 gateway-7 beta storage <> 1000000000000000 [] 999999999999999.123456789012 EUR
1-7-0 1 e-5 2026-11-03 gateway-7 beta storage <it's \ a ? $1> -1000000000000000 [] -999999999999999.123456789011 EUR with -1000000000000000 JPY at 0.005518763797 of 1969-12-31, USD contract:c-1/storage at 0.862663906142 of 2026-11-20 corrects e-4 of it's ? \ $1
`
	later := q
	later.From, later.To = at("2026-11-30T23:00:00Z"), at("2026-12-01T00:00:00Z") // the period is over
	one := q
	one.Account = "beta"
	some, inOrder := q, q
	some.Accounts, inOrder.InLogOrder = []string{"beta", "it's \\ a ?"}, true
	for _, c := range []struct {
		name, first, last, want string
		q                       sink.HistoryQuery
	}{
		{"all", "", "zzz", acme + beta, q},
		{"the first account", "acme", "acme", acme, q},
		{"up to an account that is not there", "acme", "b", acme, q},
		{"from one that is not there", "b", "gamma", beta, q},
		{"one account", "", "zzz", beta, one},
		{"some accounts", "", "zzz", beta, some},
		{"all in log order", "", "zzz", acme + beta, inOrder},
		{"another period", "", "zzz", "", later},
	} {
		got, err := historyText(t, s, c.q, c.first, c.last)
		same(t, c.name, got, c.want, err)
	}
	voice := q
	voice.Products = []string{"voice", "it's \\ a ?"}
	got, err := historyText(t, s, voice, "", "zzz")
	same(t, "one product", got, strings.SplitAfter(acme, "\n")[2], err)
	sums(t, s, q)
	none := sink.HistoryQuery{From: at("2025-11-01T00:00:00Z"), To: at("2025-11-02T00:00:00Z")}
	extent, err = s.Extent(t.Context(), none)
	same(t, "no usage", extent, sink.Extent{}, err)
	if _, err := s.Extent(t.Context(), sink.HistoryQuery{From: 2, To: 2}); err == nil {
		t.Error("a time of no length is asked about")
	}
}

func historyText(t *testing.T, s sink.History, q sink.HistoryQuery, first, last string) (string, error) {
	t.Helper()
	var b strings.Builder
	err := s.History(t.Context(), q, first, last, func(r *sink.Stored) error {
		e := &r.Event
		fmt.Fprintf(&b, "%s %d %s %s %s %s %s <%s> %s %v %s %s", r.Place, r.Kind, e.ID, time.Unix(0, e.Time).UTC().Format(time.DateOnly), e.Source, e.Account, e.Product, e.Package,
			e.Quantity, append([]activity.Attribute{}, e.Attributes...), r.Charge, r.Currency)
		if e.HasAmount {
			fmt.Fprintf(&b, " with %s %s", e.Amount, e.Currency)
		}
		if r.AmountExchange.Used() {
			fmt.Fprintf(&b, " at %s of %s", r.AmountExchange.Rate, r.AmountExchange.Date)
		}
		if r.RateID != "" {
			fmt.Fprintf(&b, ", %s %s at %s of %s", r.RateCurrency, r.RateID, r.RateExchange.Rate, r.RateExchange.Date)
		}
		if e.Corrects != nil {
			fmt.Fprintf(&b, " corrects %s of %s", e.Corrects.ID, e.Corrects.Source)
		}
		b.WriteByte('\n')
		return nil
	})
	return b.String(), err
}

// sums: what history reads, added up; by a name that stands in texts of others, by none, and of one account and product.
func sums(t *testing.T, s Store, q sink.HistoryQuery) {
	const beta = `beta storage <> EUR 1 []: 1 2026-11-02 2026-11-02: 1000000000000000 1000000000000000 1000000000000000, 999999999999999.123456789012 999999999999999.123456789012
beta storage <it's \ a ? $1> EUR 1 []: 1 2026-11-03 2026-11-03: -1000000000000000 -1000000000000000 1000000000000000, -999999999999999.123456789011 999999999999999.123456789011
`
	one := q
	one.Account, one.Products = "acme", []string{"voice"}
	for _, c := range []struct {
		name  string
		q     sink.HistoryQuery
		names []string
		want  string
	}{
		{"by region", q, []string{"region", "it's \\ a ? $1 test"}, `acme api-calls <> USD 1 [{region eu} {it's \ a ? $1 test }]: 1 2026-11-01 2026-11-01: 3 3 3, 0.3 0.3
acme api-calls <> USD 1 [{region it's \ a ? $1 test} {it's \ a ? $1 test }]: 1 2026-10-31 2026-10-31: 2 2 2, 0.2 0.2
acme api-calls <> USD 2 [{region } {it's \ a ? $1 test }]: 1 2026-10-31 2026-10-31: 0 0 0, -0.1 0.1
acme voice <> USD 1 [{region } {it's \ a ? $1 test }]: 1 2026-11-21 2026-11-21: 1.5 1.5 1.5, -0.45 0.45
` + strings.ReplaceAll(beta, "[]", `[{region } {it's \ a ? $1 test }]`)},
		{"by nothing", q, nil, `acme api-calls <> USD 1 []: 2 2026-10-31 2026-11-01: 5 2 5, 0.5 0.3
acme api-calls <> USD 2 []: 1 2026-10-31 2026-10-31: 0 0 0, -0.1 0.1
acme voice <> USD 1 []: 1 2026-11-21 2026-11-21: 1.5 1.5 1.5, -0.45 0.45
` + beta},
		{"one account and product", one, nil, "acme voice <> USD 1 []: 1 2026-11-21 2026-11-21: 1.5 1.5 1.5, -0.45 0.45\n"},
	} {
		var lines []string
		before := ""
		err := s.Sums(t.Context(), c.q, "", "zzz", c.names, func(s *sink.Summed) error {
			if at := s.Account + "\x00" + s.Product; at < before {
				t.Errorf("%s: %q stands behind %q", c.name, at, before)
			} else {
				before = at
			}
			day := func(t int64) string { return time.Unix(0, t).UTC().Format(time.DateOnly) }
			lines = append(lines, fmt.Sprintf("%s %s <%s> %s %d %v: %d %s %s: %s %s %s, %s %s\n", s.Account, s.Product, s.Package, s.Currency, s.Kind,
				append([]activity.Attribute{}, s.Attributes...), s.Activities, day(s.First), day(s.Last), s.Quantity, s.Lowest, s.Magnitude, s.Charge, s.Highest))
			return nil
		})
		slices.Sort(lines)
		same(t, c.name, strings.Join(lines, ""), c.want, err)
	}
}
