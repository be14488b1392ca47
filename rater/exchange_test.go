package rater

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
)

// exchanging is a machine with one account in euros and in Berlin's time, whose definitions change as a test goes on.
type exchanging struct {
	t testing.TB
	*berlinStores
	m      *machine
	offset int64
	last   activity.Record // decoded
}

func newExchanging(t testing.TB, faults Faults, rows ...catalog.Row) *exchanging {
	t.Helper()
	x := &exchanging{t: t, berlinStores: &berlinStores{benchStores: &benchStores{accounts: map[string]*catalog.Account{}}}}
	snap, err := catalog.NewSnapshot(rows)
	if err != nil {
		t.Fatal(err)
	}
	x.snaps = []*catalog.Snapshot{snap}
	body := object{"id": "a", "currency": "EUR", "routing_key": "a", "seller": "main", "time_zone": "Europe/Berlin",
		"billing": []any{object{"cycle": object{"every": "monthly"}, "time_zone": "Europe/Berlin"}}}
	if x.accounts["a"], err = catalog.DecodeAccount(catalog.Row{Ref: catalog.Ref{Kind: catalog.KindAccount, ID: "a"}, Seq: 1, Body: mustJSON(body)}, nil); err != nil {
		t.Fatal(err)
	}
	x.m = newMachine(&Checkpoint{Last: -1, ActivatedSeq: 1}, 100*24*time.Hour, faults)
	return x
}

// euros are the exchange rates of a day: "USD 1.15 JPY 180".
func euros(day, rates string) catalog.Row {
	list, of := strings.Fields(rates), object{}
	for i := 0; i < len(list); i += 2 {
		of[list[i]] = list[i+1]
	}
	return catalog.Row{Ref: catalog.Ref{Kind: catalog.KindExchangeRates, ID: "EUR@" + day}, Seq: 1, Body: mustJSON(object{"base": "EUR", "date": day, "rates": of})}
}

func product(id string, rates ...object) catalog.Row {
	list := make([]any, len(rates))
	for i, r := range rates {
		if r["id"] == nil {
			r["id"] = fmt.Sprint(id, "-", i)
		}
		list[i] = r
	}
	return catalog.Row{Ref: catalog.Ref{Kind: catalog.KindProduct, ID: id}, Seq: 1, Body: mustJSON(object{"id": id, "rates": list})}
}

// define makes the rows active.
func (x *exchanging) define(rows ...catalog.Row) {
	x.t.Helper()
	seq := x.m.act + 1
	d := &usage.Definitions{From: seq, To: seq, PreviousHash: x.m.sum, Links: []uint64{uint64(seq)}}
	for i := range rows {
		rows[i].Seq = seq
		d.Changed = append(d.Changed, usage.DefinitionRef{Seq: seq, Kind: string(rows[i].Kind), ID: rows[i].ID})
	}
	snap, err := x.snaps[seq-2].With(rows, seq)
	if err != nil {
		x.t.Fatal(err)
	}
	x.snaps = append(x.snaps, snap)
	x.step(&usage.Record{Kind: usage.KindDefinitions, Definitions: d})
}

func (x *exchanging) step(u *usage.Record) {
	x.t.Helper()
	in := &Input{Offset: x.offset, Time: at("2026-12-20T00:00:00Z"), Value: usage.AppendRecord(nil, u)}
	x.offset++
	x.m.decode(in)
	if err := x.m.load(context.Background(), in, Fence{}, x, x); err != nil {
		x.t.Fatal(err)
	}
	rec, err := x.m.step(in)
	if err != nil {
		x.t.Fatal(err)
	}
	x.last = activity.Record{}
	if err := activity.Decode(activity.Append(nil, rec), &x.last); err != nil {
		x.t.Fatal(err)
	}
	for id, f := range x.m.families { // each record finds the lines as they are stored
		if len(f.lines) == 0 {
			continue
		}
		if x.m.families[id], err = loadFamily(f.states(nil), words{}); err != nil {
			x.t.Fatal(err)
		}
	}
	x.m.changed()
}

func at(text string) int64 {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return t.UnixNano()
}

// use rates usage "product quantity time [amount currency] [attribute=value]" and gives the sum of the charges, or the reason.
func (x *exchanging) use(text string) string {
	x.t.Helper()
	words := strings.Fields(text)
	e := usage.Event{ID: fmt.Sprint("e", x.offset), Source: "s", Account: "a", RoutingKey: "a", Product: words[0], Quantity: money.MustParse(words[1]), Time: at(words[2])}
	if words = words[3:]; len(words) > 1 {
		e.Amount, e.HasAmount, e.Currency = money.MustParse(words[0]), true, words[1]
		words = words[2:]
	}
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		e.Attributes = append(e.Attributes, usage.Attribute{Name: name, Value: value})
	}
	x.step(&usage.Record{Kind: usage.KindBatch, Events: []usage.Event{e}})
	if len(x.last.Rejected) > 0 {
		return x.last.Rejected[0].Reason
	}
	sum := money.Zero
	for _, a := range x.last.Activities {
		var err error
		if sum, err = sum.Add(a.Charge); err != nil {
			x.t.Fatal(err)
		}
	}
	return sum.String()
}

// expect rates usage in order.
func (x *exchanging) expect(pairs ...string) {
	x.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if got := x.use(pairs[i]); got != pairs[i+1] {
			x.t.Errorf("%s charges %s, want %s", pairs[i], got, pairs[i+1])
		}
	}
}

// paid tells the exchange of the last event's amount, priced that of its rate's prices.
func (x *exchanging) paid() string {
	e := x.last.Activities[len(x.last.Activities)-1].Sent().AmountExchange
	return fmt.Sprint(e.Rate, " of ", e.Date)
}

func (x *exchanging) priced() string {
	t := x.last.Activities[len(x.last.Activities)-1].Terms
	return fmt.Sprint(t.Currency, " from ", t.RateCurrency, " ", t.RateExchange.Rate, " of ", t.RateExchange.Date)
}

func (x *exchanging) want(what, got, want string) {
	x.t.Helper()
	if got != want {
		x.t.Errorf("%s is %s, want %s", what, got, want)
	}
}

func TestAmountsInOtherCurrencies(t *testing.T) {
	x := newExchanging(t, Faults{}, product("pay", object{"model": "dynamic", "currency": "EUR"}),
		product("fee", object{"model": "percentage", "rate": "10", "fixed": "1", "currency": "USD"}),
		euros("2026-10-30", "USD 1.15"), euros("2026-11-19", "USD 1.15 JPY 180"), euros("2026-11-20", "USD 1.1592 JPY 181.2"))
	x.expect("pay 1 2026-11-20T10:00:00Z 100 USD", "86.2663906142") // 1 / 1.1592 = 0.86266390614216…
	x.want("the exchange", x.paid(), "0.862663906142 of 2026-11-20")
	x.want("the rate", x.priced(), "EUR from  0 of 1970-01-01")
	x.expect("pay 1 2026-11-21T10:00:00Z 1000 JPY", "5.518763797") // Saturday: 1 / 181.2 = 0.00551876379690…
	x.want("the exchange", x.paid(), "0.005518763797 of 2026-11-20")
	x.expect(
		"pay 1 2026-11-19T23:59:59Z -50 USD", "-43.47826086955", // 1 / 1.15 = 0.86956521739130…; Friday in Berlin, not in UTC
		"pay 1 2026-11-20T00:00:00Z 0 USD", "0",
		"pay 1 2026-11-20T10:00:00Z 7.000000000001 EUR", "7.000000000001",
		"pay 1 2026-11-20T10:00:00Z 1000000000000000 USD", "862663906142000",
		"pay 1 2026-11-20T10:00:00Z -1000000000000000 USD", "-862663906142000",
		"pay 1 2026-11-22T10:00:00Z 0.5 JPY", "0.002759381899", // 0.0027593818985: half away from zero
		"pay 1 2026-11-22T10:00:00Z -0.5 JPY", "-0.002759381899",
		"pay 1 2026-11-20T10:00:00Z 1 GBP", "no_rate",
		"pay 1 2026-11-18T10:00:00Z 1 JPY", "no_rate", // known from the 19th on
		"pay 1 2026-11-20T10:00:00Z", "amount_missing",
		// Yen into the rate's dollars: 1.1592 / 181.2 = 0.00639735099337…, 1000 of them 6.397350993; 10% and one make
		// 1.6397350993 dollars, at November's 0.869565217391 1.425856608086.
		"fee 1 2026-11-20T10:00:00Z 1000 JPY", "1.425856608086",
	)
	x.want("the exchange", x.paid(), "0.006397350993 of 2026-11-20")
	x.want("the rate", x.priced(), "EUR from USD 0.869565217391 of 2026-10-30")

	// A correction of Friday counts for what is rated afterwards, and changes nothing that was.
	x.define(euros("2026-11-20", "USD 1.2 JPY 180"), euros("2026-11-23", "USD 1.25"))
	x.expect(
		"pay 1 2026-11-20T10:00:00Z 100 USD", "83.3333333333",
		"pay 1 2026-11-23T10:00:00Z 100 USD", "80",
		"pay 1 2026-11-23T10:00:00Z 180 JPY", "1.00000000008", // 1 / 180 = 0.005555555556, of Friday
	)
	x.want("the exchange", x.paid(), "0.005555555556 of 2026-11-20")
}

// pinned rates usage of a product in dollars across an import that says something else of the month's first day.
func pinned(t testing.TB, faults Faults) []string {
	x := newExchanging(t, faults, product("calls", object{"model": "per_unit", "unit_price": "2", "currency": "USD"}), euros("2026-10-30", "USD 1.15"))
	charges := []string{x.use("calls 3 2026-11-05T10:00:00Z")}
	x.define(euros("2026-10-31", "USD 1.25"))
	return append(charges, x.use("calls 1 2026-11-06T10:00:00Z"))
}

// TestPricesKeepTheirExchangeRate: 6 dollars at 0.869565217391, and 2 more, whatever is imported in between.
func TestPricesKeepTheirExchangeRate(t *testing.T) {
	want := "5.217391304346 1.739130434782"
	if got := strings.Join(pinned(t, Faults{}), " "); got != want {
		t.Errorf("charged %s, want %s", got, want)
	}
	if got := strings.Join(pinned(t, Faults{NewerExchange: true}), " "); got == want {
		t.Error("prices that follow the exchange rates are not noticed")
	}
}

func TestPricesInAnotherCurrency(t *testing.T) {
	x := newExchanging(t, Faults{}, product("calls", object{"model": "per_unit", "unit_price": "2", "currency": "USD"}), euros("2026-10-30", "USD 1.15 JPY 180"))
	x.expect("calls 3 2026-11-05T10:00:00Z", "5.217391304346") // 6 × 0.869565217391
	x.want("the rate", x.priced(), "EUR from USD 0.869565217391 of 2026-10-30")
	x.expect(
		"calls -5 2026-11-05T10:00:00Z", "-8.69565217391", // to −4 × 0.869565217391
		"calls 6 2026-11-05T10:00:00Z", "10.434782608692", // to 8 × 0.869565217391
		"calls 0 2026-11-05T10:00:00Z", "0",
	)
	// Four dollars from the eleventh on, whose exchange rate is that of the day before: 1 / 1.6 = 0.625.
	first := object{"id": "calls-0", "model": "per_unit", "unit_price": "2", "currency": "USD", "end": "2026-11-10T23:00:00Z"}
	second := object{"id": "calls-1", "model": "per_unit", "unit_price": "4", "currency": "USD", "start": "2026-11-10T23:00:00Z"}
	x.define(product("calls", first, second), euros("2026-10-31", "USD 1.25"), euros("2026-11-10", "USD 1.6"))
	x.expect("calls 1 2026-11-12T10:00:00Z", "2.5") // (5 − 4) × 4 × 0.625
	x.want("the rate", x.priced(), "EUR from USD 0.625 of 2026-11-10")
	x.expect("calls 1 2026-11-06T10:00:00Z", "1.739130434782") // 2 × 0.869565217391, and what follows moves up by one: (6 − 5) × 4 × 0.625
	// Another price of the first: 5 × 3 × 0.869565217391 = 13.043478260865 in place of 8.69565217391; and one more of the second.
	first["unit_price"] = "3"
	x.define(product("calls", first, second))
	x.expect("calls 1 2026-11-12T10:00:00Z", "6.847826086955")
	// In yen, of which the month's first day knew 180: 5 × 300 × 0.005555555556 = 8.333333334 in place of 13.043478260865.
	first["currency"], first["unit_price"] = "JPY", "300"
	x.define(product("calls", first, second))
	x.expect("calls 0 2026-11-12T10:00:00Z", "-4.710144926865")
	// In euros: 5 × 1.
	first["currency"], first["unit_price"] = "EUR", "1"
	x.define(product("calls", first, second))
	x.expect("calls 0 2026-11-12T10:00:00Z", "-3.333333334")
	// In pounds, which nothing turns into euros: the prices stay as they were, and no usage of that time is priced.
	first["currency"] = "GBP"
	x.define(product("calls", first, second))
	x.expect("calls 0 2026-11-12T10:00:00Z", "0", "calls 1 2026-11-06T10:00:00Z", "no_rate", "calls 1 2026-11-12T10:00:00Z", "2.5")
	// December begins with 0.625 for every rate.
	x.expect("calls 10 2026-12-02T10:00:00Z", "25")
	x.want("the rate", x.priced(), "EUR from USD 0.625 of 2026-11-10")
}

// TestAMatrixInAnotherCurrency: all its cells have one exchange rate, also those that are first used after an import, and its maximum
// is exactly that many dollars.
func TestAMatrixInAnotherCurrency(t *testing.T) {
	x := newExchanging(t, Faults{}, product("calls", object{
		"model": "matrix", "currency": "USD", "maximum": "10", "dimensions": []any{object{"name": "to"}},
		"prices":  []any{object{"match": object{"to": "a"}, "model": "per_unit", "unit_price": "2"}},
		"default": object{"model": "per_unit", "unit_price": "3"},
	}), euros("2026-10-30", "USD 1.15"))
	x.expect("calls 2 2026-11-05T10:00:00Z to=a", "3.478260869564") // 4 × 0.869565217391
	x.define(euros("2026-10-31", "USD 1.25"))
	x.expect("calls 3 2026-11-05T10:00:00Z to=b", "5.217391304346") // 4 + 9 are above 10: to 8.69565217391
	x.want("the rate", x.priced(), "EUR from USD 0.869565217391 of 2026-10-30")
	x.expect("calls 9 2026-11-05T10:00:00Z to=a", "0")
}

// TestLateUsageKeepsTheExchangeRate: late usage continues the sealed line as it was priced.
func TestLateUsageKeepsTheExchangeRate(t *testing.T) {
	x := newExchanging(t, Faults{}, product("calls", object{"model": "per_unit", "unit_price": "2", "currency": "USD"}), euros("2026-10-30", "USD 1.15"))
	x.expect("calls 3 2026-11-05T10:00:00Z", "5.217391304346")
	x.step(&usage.Record{Kind: usage.KindSeal, Seal: &usage.Seal{Account: "a", PeriodEnd: at("2026-11-30T23:00:00Z")}})
	x.define(euros("2026-10-31", "USD 1.25"))
	x.expect("calls 1 2026-11-06T10:00:00Z", "1.739130434782", "calls 1 2026-11-07T10:00:00Z", "1.739130434782")
	if lines := len(x.last.Activities); lines != 1 || x.last.Activities[0].PeriodStart != at("2026-11-30T23:00:00Z") {
		t.Errorf("%d activities of the period from %d", lines, x.last.Activities[0].PeriodStart)
	}
	x.want("the rate", x.priced(), "EUR from USD 0.869565217391 of 2026-10-30")
}
