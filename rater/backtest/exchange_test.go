package backtest_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/tollstream/tollstream/rater/backtest"
)

// exchangeBooks are the price books one after the other: exchange rates are imported after usage was rated, of the days before it, too.
// A dollar is at first 0.8 euros, later 0.625 on the first of November, and 0.25 in the end; 1,000 yen are 5, later 4, and 2.
var exchangeBooks = []string{`
currency: EUR
products:
  - {id: calls, rates: [{model: graduated, currency: USD, tiers: [{up_to: 100, unit_price: 0.2}, {unit_price: 0.1}]}]}
  - {id: pay, rates: [{model: percentage, rate: 10}]}
  - {id: fee, rates: [{model: percentage, rate: 10, currency: USD}]}
  - {id: shared, rates: [{model: graduated, currency: USD, pool: account, tiers: [{up_to: 100, unit_price: 1}, {unit_price: 0.5}]}]}
  - {id: zone, rates: [{model: matrix, currency: USD, dimensions: [to], prices: [{match: {to: a}, model: per_unit, unit_price: 2}], default: {model: per_unit, unit_price: 3}}]}
accounts: [{id: acme}, {id: beta}]
exchange_rates: [{base: EUR, date: 2026-10-30, rates: {USD: 1.25, JPY: 200}}]
`, `
exchange_rates:
  - {base: EUR, date: 2026-10-31, rates: {USD: 1.6, JPY: 100}}
  - {base: EUR, date: 2026-11-04, rates: {USD: 2, JPY: 250}}
`, `
exchange_rates:
  - {base: EUR, date: 2026-10-31, rates: {USD: 4, JPY: 400}}
  - {base: EUR, date: 2026-11-04, rates: {USD: 4, JPY: 500}}
`}

const dearer = "products: [{id: calls, rates: [{model: graduated, currency: USD, tiers: [{up_to: 100, unit_price: 0.4}, {unit_price: 0.2}]}]}]"

// exchangedRows is what was charged: lines of acme keep the exchange rate of their first usage, those of beta begin with another.
var exchangedRows = map[string]string{
	"acme calls EUR 2":  "20.8",  // 100 × 0.2 + 60 × 0.1 = 26 dollars at 0.8
	"acme fee EUR 1":    "0.5",   // 1,000 yen are 6.25 dollars: 0.625 at 0.8
	"acme pay EUR 2":    "0.9",   // 5 and 4 euros
	"acme shared EUR 2": "92",    // 100 + 30 × 0.5 = 115 dollars at 0.8
	"acme zone EUR 2":   "4",     // 2 + 3 dollars at 0.8
	"beta calls EUR 1":  "1.25",  // 2 dollars at 0.625
	"beta fee EUR 1":    "0.5",   // 1,000 yen are 8 dollars: 0.8 at 0.625
	"beta zone EUR 1":   "1.875", // 3 dollars at 0.625
}

func exchanged(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, "2026-12-01T00:00:00Z")
	w.apply(exchangeBooks[0])
	w.use("acme calls 150@2026-11-05T00:00:00Z", "acme pay 1@2026-11-05T00:00:00Z amount=1000,JPY", "acme fee 1@2026-11-05T00:00:00Z amount=1000,JPY",
		"acme shared 80@2026-11-05T00:00:00Z", "acme zone 1@2026-11-05T00:00:00Z to=a")
	w.apply(exchangeBooks[1])
	w.use("acme calls 10@2026-11-06T00:00:00Z", "beta calls 10@2026-11-06T00:00:00Z", "acme pay 1@2026-11-06T00:00:00Z amount=1000,JPY",
		"beta fee 1@2026-11-06T00:00:00Z amount=1000,JPY", "acme shared 50@2026-11-06T00:00:00Z", "acme zone 1@2026-11-06T00:00:00Z to=b", "beta zone 1@2026-11-06T00:00:00Z to=b")
	w.apply(exchangeBooks[2])
	return w
}

// rowsOf tells the rows of the exchanged world, of which some come to something else: "before after difference".
func rowsOf(others map[string]string) string {
	var b strings.Builder
	for _, row := range slices.Sorted(maps.Keys(exchangedRows)) {
		change := others[row]
		if change == "" {
			change = exchangedRows[row] + " " + exchangedRows[row] + " 0"
		}
		b.WriteString(row + ": " + change + "\n")
	}
	return b.String()
}

// TestExchangeRates: usage keeps the exchange rates that it was charged with, whatever was imported since, but for those that the draft changes.
func TestExchangeRates(t *testing.T) {
	w := exchanged(t)
	for _, c := range []struct {
		name, draft string
		others      map[string]string
	}{
		{"the live catalogue", "{}", nil},
		{"other prices", dearer, map[string]string{"acme calls EUR 2": "20.8 41.6 20.8", "beta calls EUR 1": "1.25 2.5 1.25"}},
		{"exchange rates of other days", "exchange_rates: [{base: EUR, date: 2026-10-29, rates: {USD: 9, JPY: 9}}, {base: EUR, date: 2026-11-07, rates: {USD: 9, JPY: 9}}]", nil},
		{"a currency that nothing is in", "exchange_rates: [{base: EUR, date: 2026-11-05, rates: {GBP: 9}}]", nil},
		// A dollar is 0.5 on the first of November. The amounts' days are not changed.
		{"the day before the period", "exchange_rates: [{base: EUR, date: 2026-10-31, rates: {USD: 2, JPY: 400}}]", map[string]string{
			"acme calls EUR 2": "20.8 13 -7.8", "acme fee EUR 1": "0.5 0.3125 -0.1875", "acme shared EUR 2": "92 57.5 -34.5", "acme zone EUR 2": "4 2.5 -1.5",
			"beta calls EUR 1": "1.25 1 -0.25", "beta fee EUR 1": "0.5 0.4 -0.1", "beta zone EUR 1": "1.875 1.5 -0.375",
		}},
		// One more day, which is nearer to the first of November, with 0.2; from the fifth on the fourth counts.
		{"the first day of the period", "exchange_rates: [{base: EUR, date: 2026-11-01, rates: {USD: 5}}]", map[string]string{
			"acme calls EUR 2": "20.8 5.2 -15.6", "acme fee EUR 1": "0.5 0.125 -0.375", "acme shared EUR 2": "92 23 -69", "acme zone EUR 2": "4 1 -3",
			"beta calls EUR 1": "1.25 0.4 -0.85", "beta fee EUR 1": "0.5 0.16 -0.34", "beta zone EUR 1": "1.875 0.6 -1.275",
		}},
		// 1,000 yen are 1 euro, or 4 dollars; a dollar of the first of November is what it was.
		{"the amounts' day", "exchange_rates: [{base: EUR, date: 2026-11-04, rates: {USD: 4, JPY: 1000}}]", map[string]string{
			"acme pay EUR 2": "0.9 0.2 -0.7", "acme fee EUR 1": "0.5 0.32 -0.18", "beta fee EUR 1": "0.5 0.25 -0.25",
		}},
		// Without the last day of October it is that before, with 0.8 for all.
		{"a day that goes", "delete: [{kind: exchange_rates, id: EUR@2026-10-31}]", map[string]string{
			"beta calls EUR 1": "1.25 1.6 0.35", "beta fee EUR 1": "0.5 0.64 0.14", "beta zone EUR 1": "1.875 2.4 0.525",
		}},
		// 13,000 and 1,000 yen at 0.0025, which is what the catalogue knows.
		{"prices in another currency", "products: [{id: calls, rates: [{model: graduated, currency: JPY, tiers: [{up_to: 100, unit_price: 100}, {unit_price: 50}]}]}]", map[string]string{
			"acme calls EUR 2": "20.8 32.5 11.7", "beta calls EUR 1": "1.25 2.5 1.25",
		}},
		// 1,000 yen into dollars, at 0.008; the rate is new in them: 0.8 dollars twice at 0.25.
		{"a percentage in another currency", "products: [{id: pay, rates: [{model: percentage, rate: 10, currency: USD, id: pay-dollars}]}]", map[string]string{"acme pay EUR 2": "0.9 0.4 -0.5"}},
		{"prices in the account's currency", "products: [{id: calls, rates: [{model: per_unit, unit_price: 0.1}]}]", map[string]string{
			"acme calls EUR 2": "20.8 16 -4.8", "beta calls EUR 1": "1.25 1 -0.25",
		}},
	} {
		for _, limits := range []backtest.Limits{backtest.DefaultLimits(), {Workers: 1, Activities: 1, Accounts: 1, Rows: 100, Top: 3}} {
			r := w.backtest(c.draft, "", start, "2026-12-01T00:00:00Z", limits)
			if got, want := text(r.Rows), rowsOf(c.others); got != want || len(r.Unrated) != 0 {
				t.Errorf("%s:\n%s, want\n%s unrated %+v", c.name, got, want, r.Unrated)
			}
		}
	}
	// The very charges, in dollars: 150 calls 25, 10 more one; 80 of what shares tiers 80, 50 more 35.
	for _, c := range []struct{ from, to, want string }{
		{start, "2026-11-06T00:00:00Z", "20 0.5 0.5 64 1.6"},
		{"2026-11-06T00:00:00Z", "2026-12-01T00:00:00Z", "0.8 0.4 28 2.4"},
	} {
		want, got := "", ""
		for _, row := range w.backtest("{}", "acme", c.from, c.to, backtest.DefaultLimits()).Rows {
			got += row.After.String() + " "
		}
		for _, charge := range strings.Fields(c.want) {
			want += charge + " "
		}
		if got != want {
			t.Errorf("from %s: %s, want %s", c.from, got, want)
		}
	}
}
