package backtest_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/backtest"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/sink"
)

const book = `
currency: USD
products:
  - {id: calls, rates: [{model: graduated, tiers: [{up_to: 100, unit_price: 0.10}, {unit_price: 0.05}]}]}
  - {id: storage, rates: [{model: per_unit, unit_price: 0.5}]}
accounts:
  - {id: acme}
  - {id: beta}
  - {id: gamma, time_zone: America/New_York}
contracts:
  - {id: c-1, account: acme, start: 2026-01-01, end: 2027-01-01, rates: [{product: calls, model: per_unit, unit_price: 0.04}]}
`

// november is usage of three accounts: 200 calls of acme at its contract's 0.04; 60 and 90 of beta, of which the first 100 at 0.10; 80 of
// gamma. Storage is 0.5 a unit.
func november(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, "2026-12-01T00:00:00Z")
	w.apply(book)
	w.use("beta calls 60@2026-11-05T00:00:00Z", "acme calls 200@2026-11-06T00:00:00Z", "gamma storage -2@2026-11-07T00:00:00Z")
	w.use("beta calls 90@2026-11-20T00:00:00Z", "gamma calls 80@2026-11-21T00:00:00Z", "acme storage 10@2026-11-22T00:00:00Z", "beta storage 4@2026-11-30T23:59:59Z")
	return w
}

const (
	start, end = "2026-11-01T00:00:00Z", "2026-12-01T05:00:00Z" // gamma's November is over at 05:00 UTC
	volume     = "products: [{id: calls, rates: [{model: volume, tiers: [{up_to: 100, unit_price: 0.10}, {unit_price: 0.06}]}]}]"
)

// TestByHand: graduated becomes volume. Of beta, 150 calls cost 100 × 0.10 + 50 × 0.05 = 12.5, then 150 × 0.06 = 9; nothing else changes.
func TestByHand(t *testing.T) {
	w := november(t)
	for _, c := range []struct {
		name, draft, account, from, to string
		rows, totals                   string
	}{
		{"graduated to volume", volume, "", start, end,
			"acme calls USD 1: 8 8 0\nacme storage USD 1: 5 5 0\nbeta calls USD 2: 12.5 9 -3.5\nbeta storage USD 1: 2 2 0\ngamma calls USD 1: 8 8 0\ngamma storage USD 1: -1 -1 0\n",
			"  USD 7: 34.5 31 -3.5\n"},
		{"one account", volume, "beta", start, end, "beta calls USD 2: 12.5 9 -3.5\nbeta storage USD 1: 2 2 0\n", "  USD 3: 14.5 11 -3.5\n"},
		// The 60 before stand in the tiers: 12.5 − 6; and 150 × 0.06 − 60 × 0.10.
		{"the second half of the month", volume, "beta", "2026-11-11T00:00:00Z", end, "beta calls USD 1: 6.5 3 -3.5\nbeta storage USD 1: 2 2 0\n", "  USD 2: 8.5 5 -3.5\n"},
		{"the first half of the month", volume, "beta", start, "2026-11-11T00:00:00Z", "beta calls USD 1: 6 6 0\n", "  USD 1: 6 6 0\n"},
		{"a time without usage", volume, "", "2026-09-01T00:00:00Z", "2026-10-01T00:00:00Z", "", ""},
		// Without its contract acme pays 100 × 0.10 + 100 × 0.05.
		{"a contract is deleted", "delete: [{kind: contract, id: c-1}]", "acme", start, end, "acme calls USD 1: 8 15 7\nacme storage USD 1: 5 5 0\n", "  USD 2: 13 20 7\n"},
		// The contract overrides what the draft changes; the account's own rate overrides the contract.
		{"an account's own rate", "accounts: [{id: acme, products: [{product: calls, rates: [{model: flat, amount: 3}]}]}]", "acme", start, end,
			"acme calls USD 1: 8 3 -5\nacme storage USD 1: 5 5 0\n", "  USD 2: 13 8 -5\n"},
		{"a rate that goes", "products: [{id: storage, rates: [{model: per_unit, unit_price: 0.5, start: 2027-01-01}]}]", "", start, end,
			"acme calls USD 1: 8 8 0\nacme storage USD 1: 5 0 -5, unrated 1 of 5\nbeta calls USD 2: 12.5 12.5 0\nbeta storage USD 1: 2 0 -2, unrated 1 of 2\n" +
				"gamma calls USD 1: 8 8 0\ngamma storage USD 1: -1 0 1, unrated 1 of -1\n",
			"  USD 7: 34.5 28.5 -6, unrated 3 of 6\n"},
	} {
		for _, limits := range []backtest.Limits{backtest.DefaultLimits(), {Workers: 1, Activities: 1, Accounts: 1, Rows: 100, Top: 3}, {Workers: 3, Activities: 3, Accounts: 2, Rows: 100, Top: 3}} {
			r := w.backtest(c.draft, c.account, c.from, c.to, limits)
			if got := text(r.Rows); got != c.rows {
				t.Errorf("%s:\n%s, want\n%s", c.name, got, c.rows)
			}
			if got := text(r.Totals); got != c.totals {
				t.Errorf("%s: in all\n%s, want\n%s", c.name, got, c.totals)
			}
		}
	}
}

// TestWhatIsSaidBesides: sums by product, the accounts that change most, what cannot be rated, and what the limits leave out.
func TestWhatIsSaidBesides(t *testing.T) {
	w := november(t)
	r := w.backtest("products: [{id: storage, rates: [{model: per_unit, unit_price: 0.5, start: 2027-01-01}]}, {id: calls, rates: [{model: per_unit, unit_price: 0.20, aggregation: max}]}]",
		"", start, end, backtest.Limits{Rows: 2, Top: 2})
	// Calls: acme keeps its contract; beta's largest is 90, 18 in place of 12.5; gamma's 80 cost 16 in place of 8.
	if got, want := text(r.Products), " calls USD 4: 28.5 42 13.5\n storage USD 3: 6 0 -6, unrated 3 of 6\n"; got != want {
		t.Errorf("by product\n%s, want\n%s", got, want)
	}
	// gamma: 7 → 16; acme: 13 → 8; beta: 14.5 → 18.
	if got, want := text(r.Top), "gamma  USD 2: 7 16 9, unrated 1 of -1\nacme  USD 2: 13 8 -5, unrated 1 of 5\n"; got != want {
		t.Errorf("largest changes\n%s, want\n%s", got, want)
	}
	want := []backtest.Unrated{{Reason: "no_rate", Product: "storage", Currency: "USD", Events: 3, Before: money.MustParse("6")}}
	if !reflect.DeepEqual(r.Unrated, want) {
		t.Errorf("unrated %+v", r.Unrated)
	}
	if len(r.Rows) != 2 || r.LeftOut != 4 || r.Activities != 7 || r.Accounts != 3 || r.Cut || len(r.Apart) != 0 {
		t.Errorf("%d rows, %d left out, %d activities, %d accounts, cut %v, apart %v", len(r.Rows), r.LeftOut, r.Activities, r.Accounts, r.Cut, r.Apart)
	}
	if r := w.backtest("{}", "acme", start, "2026-11-30T00:00:00Z", backtest.DefaultLimits()); !r.Cut {
		t.Error("a month less a day is said to cut no period in two")
	}
	r = w.backtest("products: [{id: storage, rates: [{model: per_unit, unit_price: 0.5, aggregation: max}]}]", "gamma", start, end, backtest.DefaultLimits())
	if len(r.Unrated) != 1 || r.Unrated[0].Reason != "quantity_negative" {
		t.Errorf("unrated %+v", r.Unrated)
	}
	r = w.backtest("delete: [{kind: account, id: gamma}]", "gamma", start, end, backtest.DefaultLimits())
	if len(r.Unrated) != 2 || r.Unrated[0].Reason != "account_unknown" || text(r.Totals) != "  USD 2: 7 0 -7, unrated 2 of 7\n" {
		t.Errorf("unrated %+v, %s", r.Unrated, text(r.Totals))
	}
}

// TestMonthsWithoutAnEvent: a level that went on when its month was sealed goes on in a backtest, at the draft's price.
func TestMonthsWithoutAnEvent(t *testing.T) {
	w := newWorld(t, "2026-09-10T00:00:00Z")
	w.apply(`
currency: USD
products: [{id: seats, group_by: [team], rates: [{model: per_unit, unit_price: 2, aggregation: time_weighted}]}]
packages: [{id: office, products: [{product: seats}]}]
accounts: [{id: acme, packages: [{package: office}]}]
`)
	w.use("acme seats 10@2026-09-01T00:00:00Z team=a", "acme seats 1@2026-09-01T00:00:00Z team=b")
	w.seal("acme", "2026-10-01T00:00:00Z")
	w.seal("acme", "2026-11-01T00:00:00Z")
	// Three months of 11 seats, at 2 and at 3.
	for draft, want := range map[string]string{
		"{}": "acme seats USD 2: 66 66 0\n",
		"products: [{id: seats, group_by: [team], rates: [{model: per_unit, unit_price: 3, aggregation: time_weighted}]}]": "acme seats USD 2: 66 99 33\n",
		// Without a price from October on the two months behind come to nothing.
		"products: [{id: seats, group_by: [team], rates: [{model: per_unit, unit_price: 2, aggregation: time_weighted, end: 2026-10-01}]}]": "acme seats USD 2: 66 22 -44\n",
	} {
		if got := text(w.backtest(draft, "", "2026-09-01T00:00:00Z", "2026-12-01T00:00:00Z", backtest.DefaultLimits()).Rows); got != want {
			t.Errorf("%s:\n%s, want\n%s", draft, got, want)
		}
		// November alone has no event, and a third of each.
		want = map[string]string{"66 66 0": "22 22 0", "66 99 33": "22 33 11", "66 22 -44": "22 0 -22"}[strings.TrimSpace(want[len("acme seats USD 2: "):])]
		if got := text(w.backtest(draft, "", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", backtest.DefaultLimits()).Rows); got != "acme seats USD 0: "+want+"\n" {
			t.Errorf("November under %s:\n%s, want\n%s", draft, got, want)
		}
	}
}

const levelBook = `
currency: USD
products:
  - {id: seats, group_by: [team], rates: [{model: per_unit, unit_price: 2, aggregation: time_weighted}]}
  - {id: sites, rates: [{model: per_unit, unit_price: 1, aggregation: time_weighted, level: absolute}]}
  - {id: calls, rates: [{model: per_unit, unit_price: 0.1}]}
accounts: [{id: acme}, {id: beta}]
`

// carriedOver is ten seats and seven sites of September; from the middle of November on one seat and two sites more, and beta's four seats. Then a change
// of 21 October arrives: five seats more, so that November's line begins with 15.
func carriedOver(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, "2026-09-10T00:00:00Z")
	w.apply(levelBook)
	w.use("acme seats 10@2026-09-01T00:00:00Z team=a", "acme sites 7@2026-09-05T00:00:00Z", "acme calls 50@2026-09-05T00:00:00Z", "beta calls 60@2026-09-05T00:00:00Z")
	w.logTime = instant("2026-11-20T00:00:00Z")
	w.use("acme seats 1@2026-11-16T00:00:00Z team=a", "acme sites 9@2026-11-16T00:00:00Z", "beta seats 4@2026-11-16T00:00:00Z team=a", "acme calls 30@2026-11-16T00:00:00Z")
	w.use("acme seats 5@2026-10-21T00:00:00Z team=a")
	return w
}

// The average of November is 15 + 1/2 seats at 2, (7 + 9)/2 sites at 1; beta has 4/2 seats.
const carriedRows = "acme calls USD 1: 3 3 0\nacme seats USD 1: 31 46.5 15.5\nacme sites USD 1: 8 8 0\nbeta seats USD 1: 4 6 2\n"

const carriedDraft = "products: [{id: seats, group_by: [team], rates: [{model: per_unit, unit_price: 3, aggregation: time_weighted}]}]"

// TestLevelsOfBefore: what a level was when the time asked for began stands in the usage before, however long ago and in whatever order it arrived.
func TestLevelsOfBefore(t *testing.T) {
	w := carriedOver(t)
	const november, december = "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"
	for _, c := range []struct{ name, draft, from, to, want string }{
		{"as it is", "{}", november, december, "acme calls USD 1: 3 3 0\nacme seats USD 1: 31 31 0\nacme sites USD 1: 8 8 0\nbeta seats USD 1: 4 4 0\n"},
		{"dearer", carriedDraft, november, december, carriedRows},
		// 10 + 5 × 11/31 seats, to 12 decimals.
		{"the month of the change that came late", "{}", "2026-10-01T00:00:00Z", november, "acme seats USD 1: 23.548387096774 23.548387096774 0\n"},
		// The change of October is charged at the beginning of November, which is not asked for.
		{"half a month", "{}", "2026-11-16T00:00:00Z", december, "acme calls USD 1: 3 3 0\nacme seats USD 1: 21 21 0\nacme sites USD 1: 8 8 0\nbeta seats USD 1: 4 4 0\n"},
		{"no level any more", "products: [{id: seats, group_by: [team], rates: [{model: per_unit, unit_price: 2}]}]", november, december,
			"acme calls USD 1: 3 3 0\nacme seats USD 1: 31 2 -29\nacme sites USD 1: 8 8 0\nbeta seats USD 1: 4 8 4\n"},
		// 50 of September go on, and 30 come in the middle of November.
		{"a level where there was none", "products: [{id: calls, rates: [{model: per_unit, unit_price: 0.1, aggregation: time_weighted}]}]", november, december,
			"acme calls USD 1: 3 6.5 3.5\nacme seats USD 1: 31 31 0\nacme sites USD 1: 8 8 0\nbeta seats USD 1: 4 4 0\n"},
	} {
		for _, limits := range []backtest.Limits{backtest.DefaultLimits(), {Workers: 2, Activities: 1, Accounts: 1, Rows: 100}} {
			r := w.backtest(c.draft, "", c.from, c.to, limits)
			if got := text(r.Rows); got != c.want || len(r.Unrated) != 0 {
				t.Errorf("%s:\n%s, want\n%s, unrated %v", c.name, got, c.want, r.Unrated)
			}
			if half := c.name == "half a month"; half != (len(r.Apart) == 1) || half && r.Apart[0].Amount != money.MustParse("10") {
				t.Errorf("%s: apart %+v", c.name, r.Apart)
			}
		}
	}
}

// TestIdentity: under the price book that is live, every row comes to what was charged: late usage, adjustments, negative quantities, a matrix, children.
func TestIdentity(t *testing.T) {
	w := newWorld(t, "2026-12-02T00:00:00Z")
	w.apply(`
currency: USD
products:
  - {id: calls, group_by: [team], rates: [{model: graduated, end: 2026-11-20, tiers: [{up_to: 100, unit_price: 0.10, flat_price: 1}, {unit_price: 0.05}]},
      {model: volume, start: 2026-11-20, tiers: [{up_to: 100, unit_price: 0.3}, {unit_price: 0.1}]}]}
  - id: voice
    rates:
      - model: matrix
        dimensions: [{name: dialled, by: prefix}, {name: hour, by: time_of_day}]
        prices: [{match: {dialled: "49"}, model: volume, tiers: [{up_to: 10, unit_price: 0.3}, {unit_price: 0.2}]}, {match: {dialled: "4917"}, model: per_unit, unit_price: 0.7, included: 5}]
        default: {model: package, size: 10, price: 3}
  - {id: shared, group_by: [team], rates: [{model: graduated, pool: account, tiers: [{up_to: 100, unit_price: 1}, {unit_price: 0.5}]}]}
  - {id: level, rates: [{model: per_unit, unit_price: 2, aggregation: time_weighted}]}
accounts:
  - {id: acme, time_zone: Europe/Berlin}
  - {id: branch, parent: acme, bill_to: parent}
`)
	days := []string{"2026-11-03T10:00:00Z", "2026-11-28T23:30:00Z", "2026-11-01T00:00:00Z"}
	spread := func() {
		for i, day := range days {
			for _, account := range []string{"acme", "branch"} {
				w.use(fmt.Sprintf("%s calls %d@%s team=a", account, 70+i, day), fmt.Sprintf("%s calls -%d@%s team=b", account, 30+i, day),
					fmt.Sprintf("%s voice %d@%s dialled=491%d", account, 7*i+1, day, 6+i%2), account+" voice 2.5@"+day+" dialled=33", account+" level 3@"+day,
					account+" shared 20@"+day+" team=a", account+" shared 25@"+day+" team=b")
			}
		}
	}
	spread()
	// Other prices, after usage was rated under those.
	w.apply(`
products:
  - {id: calls, group_by: [team], rates: [{model: graduated, end: 2026-11-20, tiers: [{up_to: 100, unit_price: 0.111111111111, flat_price: 1}, {unit_price: 0.05}]},
      {model: volume, start: 2026-11-20, tiers: [{up_to: 100, unit_price: 0.333333333333}, {unit_price: 0.123456789012}]}]}
  - id: voice
    rates:
      - model: matrix
        dimensions: [{name: dialled, by: prefix}, {name: hour, by: time_of_day}]
        maximum: 4
        prices: [{match: {dialled: "49"}, model: volume, tiers: [{up_to: 10, unit_price: 0.3}, {unit_price: 0.1}]}, {match: {dialled: "4917"}, model: per_unit, unit_price: 0.9}]
        default: {model: package, size: 10, price: 2}
`)
	spread()
	w.seal("acme", "2026-11-30T23:00:00Z")
	w.use("acme calls 500@2026-11-15T00:00:00Z team=a", "branch voice 40@2026-11-25T00:00:00Z dialled=4915", "branch calls -500@2026-11-16T00:00:00Z team=b")
	adjustments, late := 0, 0
	for i := range w.stored {
		if w.stored[i].Kind != 1 && w.stored[i].Event.Time < instant("2026-11-30T23:00:00Z") { // December begins with levels
			adjustments++
		}
		late = i
	}
	if adjustments < 4 || w.stored[late].Event.Quantity != money.MustParse("-500") {
		t.Fatalf("%d adjustments", adjustments)
	}
	for _, limits := range []backtest.Limits{backtest.DefaultLimits(), {Workers: 2, Activities: 1, Accounts: 1, Rows: 100}} {
		r := w.backtest("{}", "", "2026-10-31T23:00:00Z", "2026-11-30T23:00:00Z", limits)
		if len(r.Rows) != 8 || r.Cut || len(r.Unrated) != 0 || len(r.Apart) != 0 {
			t.Errorf("%d rows, cut %v, unrated %v, apart %v", len(r.Rows), r.Cut, r.Unrated, r.Apart)
		}
		for _, row := range r.Rows {
			if d, err := row.Difference(); err != nil || d != money.Zero || row.Before.IsZero() {
				t.Errorf("%s, %v", text([]backtest.Row{row}), err)
			}
		}
	}
	// In the middle of the month the adjustments stand apart; they are all of them.
	r := w.backtest("{}", "", "2026-11-10T00:00:00Z", "2026-11-30T23:00:00Z", backtest.DefaultLimits())
	if !r.Cut || len(r.Apart) != 1 || r.Apart[0].Adjustments != int64(adjustments) {
		t.Errorf("cut %v, apart %+v, %d adjustments", r.Cut, r.Apart, adjustments)
	}
}

// failing is a history or a book that fails at some moment.
type failing struct {
	*world
	at string
}

var errAway = errors.New("the store is away")

func (f *failing) fails(at string) error {
	if f.at == at {
		return errAway
	}
	return nil
}

func (f *failing) Extent(ctx context.Context, q sink.HistoryQuery) (sink.Extent, error) {
	x, err := f.world.Extent(ctx, q)
	return x, errors.Join(err, f.fails("extent"))
}

func (f *failing) AccountCounts(ctx context.Context, q sink.HistoryQuery, after string, limit int) ([]sink.AccountCount, error) {
	counts, err := f.world.AccountCounts(ctx, q, after, limit)
	return counts, errors.Join(err, f.fails("counts"))
}

func (f *failing) History(ctx context.Context, q sink.HistoryQuery, first, last string, each func(*sink.Stored) error) error {
	err := f.world.History(ctx, q, first, last, each)
	if first == "beta" {
		err = errors.Join(err, f.fails("history"))
	}
	return err
}

// Sums makes a history that is to fail be read.
func (f *failing) Sums(ctx context.Context, q sink.HistoryQuery, first, last string, names []string, each func(*sink.Summed) error) error {
	if f.at == "history" {
		return inRows{f.world}.Sums(ctx, q, first, last, names, each)
	}
	err := f.world.Sums(ctx, q, first, last, names, each)
	if first == "beta" {
		err = errors.Join(err, f.fails("sums"))
	}
	return err
}

// Tree implements backtest.Book, as do the following.
func (f *failing) Tree(context.Context, string, int) ([]string, error) { return nil, errAway }

func (f *failing) Over() *catalog.Snapshot { return nil }

func (f *failing) Plans(ctx context.Context, ids []string) (map[string]*catalog.Plan, error) {
	snapshot, err := f.Snapshot(ctx, 1)
	if err != nil {
		return nil, err
	}
	o, err := backtest.NewOverlay(f, snapshot, catalog.NewDraft(nil, 1))
	if err != nil {
		return nil, err
	}
	plans, err := o.Plans(ctx, ids)
	return plans, errors.Join(err, f.fails("plans"))
}

// TestFailures: whatever fails, the answer is that, not a part of a result; and a backtest can be stopped.
func TestFailures(t *testing.T) {
	w := november(t)
	q := backtest.Query{From: instant(start), To: instant(end)}
	for _, at := range []string{"extent", "counts", "sums", "history", "plans"} {
		f := &failing{w, at}
		if r, err := backtest.Run(t.Context(), f, f, q, backtest.Limits{Workers: 2, Activities: 1, Accounts: 1, Rows: 9}, nil); !errors.Is(err, errAway) || r != nil {
			t.Errorf("%s: %+v, %v", at, r, err)
		}
	}
	f := &failing{w, ""}
	ctx, stop := context.WithCancel(t.Context())
	_, err := backtest.Run(ctx, f, f, q, backtest.Limits{Workers: 1, Activities: 1, Accounts: 1, Rows: 9}, func(int64, int64) { stop() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	if _, err := backtest.Run(t.Context(), f, f, backtest.Query{From: 2, To: 1}, backtest.DefaultLimits(), nil); !errors.Is(err, sink.ErrQuery) {
		t.Errorf("a time that ends before it begins: %v", err)
	}
	var most int64
	if _, err := backtest.Run(t.Context(), f, f, q, backtest.Limits{Workers: 1, Activities: 1, Accounts: 1, Rows: 9}, func(done, of int64) {
		if done < most || of != 7 {
			t.Errorf("%d of %d after %d", done, of, most)
		}
		most = done
	}); err != nil || most != 7 {
		t.Errorf("%d are done, %v", most, err)
	}
	// Amounts that cannot be summed are an error, not a wrong sum.
	for i := range w.stored {
		w.stored[i].Charge = money.MustParse("1e26")
	}
	if _, err := backtest.Run(t.Context(), f, f, q, backtest.DefaultLimits(), nil); !errors.Is(err, backtest.ErrTooMuch) || !strings.Contains(err.Error(), "too large") {
		t.Errorf("amounts beyond all bounds: %v", err)
	}
}
