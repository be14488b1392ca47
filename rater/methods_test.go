package rater

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
)

// rateOne rates an event in a record of its own, whose memory is overwritten afterwards as a broker's buffer is, and gives the charge
// or the reason.
func rateOne(t *testing.T, m *machine, stores readStores, e usage.Event) string {
	t.Helper()
	offset := m.last + 1
	e.ID, e.Source, e.Account, e.RoutingKey = e.ID+fmt.Sprint(offset), "s", "acct-00000", "acct-00000"
	in := &Input{Offset: offset, Time: max(benchStart, e.Time), Value: usage.AppendRecord(nil, &usage.Record{Kind: usage.KindBatch, Events: []usage.Event{e}})}
	m.decode(in)
	if err := m.load(context.Background(), in, Fence{}, stores, stores); err != nil {
		t.Fatal(err)
	}
	rec, err := m.step(in)
	if err != nil || len(rec.Activities)+len(rec.Rejected) != 1 {
		t.Fatalf("%d activities, %d rejected, %v", len(rec.Activities), len(rec.Rejected), err)
	}
	defer func() {
		for i := range in.Value {
			in.Value[i] = 'z'
		}
	}()
	if len(rec.Rejected) > 0 {
		return rec.Rejected[0].Reason
	}
	return rec.Activities[0].Charge.String()
}

// readStores are what a machine reads.
type readStores interface {
	Store
	Definitions
}

// pricedBy gives a machine and its stores with one more product, "p", with the rates.
func pricedBy(t *testing.T, stores benchStores, rates ...object) (*machine, *benchStores) {
	t.Helper()
	list := make([]any, len(rates))
	for i, r := range rates {
		r["id"], r["currency"] = fmt.Sprint("r", i), "USD"
		list[i] = r
	}
	row := catalog.Row{Ref: catalog.Ref{Kind: catalog.KindProduct, ID: "p"}, Seq: 1, Body: mustJSON(object{"id": "p", "rates": list})}
	snap, err := stores.snap.With([]catalog.Row{row}, 1)
	if err != nil {
		t.Fatal(err)
	}
	stores.snap = snap
	return newMachine(&Checkpoint{Last: -1, ActivatedSeq: 1}, DefaultLimits().Window, Faults{}), &stores
}

// TestActivitiesKeepWhatWasSent: more events than the machine has room for, with and without something that few have.
func TestActivitiesKeepWhatWasSent(t *testing.T) {
	m, stores := pricedBy(t, *newBenchStores(t), object{"model": "per_unit", "unit_price": "2"})
	var events []usage.Event
	for i := range 100 {
		e := usage.Event{ID: fmt.Sprint(i), Source: "s", Account: "acct-00000", RoutingKey: "acct-00000", Product: "p", Quantity: money.One, Time: benchStart}
		switch i % 3 {
		case 1:
			e.Amount, e.HasAmount, e.Currency = money.MustParse(fmt.Sprint(-i)), true, "JPY"
		case 2:
			e.Package = fmt.Sprint("k", i)
		}
		events = append(events, e)
	}
	in := &Input{Offset: 0, Time: benchStart, Value: usage.AppendRecord(nil, &usage.Record{Kind: usage.KindBatch, Events: events})}
	m.decode(in)
	if err := m.load(context.Background(), in, Fence{}, stores, stores); err != nil {
		t.Fatal(err)
	}
	rec, err := m.step(in)
	if err != nil || len(rec.Activities) != len(events) {
		t.Fatalf("%d activities, %v", len(rec.Activities), err)
	}
	for i := range rec.Activities {
		e, a := &events[i], &rec.Activities[i]
		want := activity.Extra{EventPackage: e.Package, Amount: e.Amount, HasAmount: e.HasAmount, AmountCurrency: e.Currency}
		if got := a.Sent(); got != want || a.Package != e.Package || (a.Extra == nil) != (i%3 == 0) {
			t.Errorf("activity %d has %+v, want %+v", i, got, want)
		}
	}
}

const benchHour = int64(3600e9)

// TestMethodsOnALine follows charges of rates that look at more of an event than its quantity. January has 744 hours.
func TestMethodsOnALine(t *testing.T) {
	stores := newBenchStores(t)
	later := "2026-01-11T00:00:00Z" // 240 hours after the start
	for _, c := range []struct {
		name  string
		rates []object
		sent  string // quantity@hour$amount, in order
		want  string // charges or reasons
	}{
		{"max", []object{{"model": "per_unit", "unit_price": "2", "aggregation": "max"}}, "3@0 2@1 5@2 -1@3", "6 0 4 quantity_negative"},
		{"latest", []object{{"model": "per_unit", "unit_price": "2", "aggregation": "latest"}}, "3@5 7@2 1@6 2@6", "6 0 -4 2"},
		{"an average level", []object{{"model": "per_unit", "unit_price": "2", "aggregation": "time_weighted"}}, "2@0 1@558 -4@651 0.5@372", "4 0.5 -1 0.5"}, // to the end: all, a quarter, an eighth, half
		{"dynamic", []object{{"model": "dynamic"}}, "3@0$5 3@1 1@2$-2EUR 1@3$-2", "5 amount_missing no_rate -2"},
		{"percentage", []object{{"model": "percentage", "rate": "10", "free_amount": "20", "max": "5"}}, "15@0 1@1$15 100@2 7@3$-10", "0 1 5 -1"},
		// 60 are free under the first rate; of the 50 that follow under the second 10 are beyond 100. A late event under the first
		// finds its 40 free: what comes under a later rate does not count before it.
		{"across a change of price", []object{
			{"model": "percentage", "rate": "10", "free_amount": "100", "end": later},
			{"model": "percentage", "rate": "20", "free_amount": "100", "start": later},
		}, "60@0 50@300 40@1 10@2 10@301", "0 2 0 1 2"},
		{"whole events", []object{{"model": "graduated", "split": false, "tiers": []any{
			object{"up_to": "100", "unit_price": "0.1", "flat_price": "1"}, object{"unit_price": "0.05", "flat_price": "2"},
		}}}, "80@0 30@1 10@2 -110@3", "9 3.5 0.5 -11"},
		// The second rate counts another way: its first 3 are the largest, priced anew.
		{"another kind", []object{
			{"model": "per_unit", "unit_price": "1", "end": later},
			{"model": "per_unit", "unit_price": "2", "aggregation": "max", "start": later},
		}, "60@0 3@300 2@301 5@1", "60 6 0 5"},
	} {
		m, stores := pricedBy(t, *stores, c.rates...)
		var got []string
		total := money.Zero
		for _, sent := range strings.Fields(c.sent) {
			var e usage.Event
			sent, amount, _ := strings.Cut(sent, "$")
			quantity, hour, _ := strings.Cut(sent, "@")
			hours, err := strconv.Atoi(hour)
			if err != nil {
				t.Fatal(err)
			}
			e.Product, e.Quantity = "p", money.MustParse(quantity)
			e.Time = benchStart + int64(hours)*benchHour
			if amount != "" {
				e.HasAmount, e.Currency = true, "USD"
				if euros, ok := strings.CutSuffix(amount, "EUR"); ok {
					amount, e.Currency = euros, "EUR"
				}
				e.Amount = money.MustParse(amount)
			}
			charge := rateOne(t, m, stores, e)
			if d, err := money.Parse(charge); err == nil {
				total, _ = total.Add(d)
			}
			got = append(got, charge)
			m.evictAll(reloaded(t, m)) // each event finds the line as it is stored
		}
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("%s: %s charged %s, want %s", c.name, c.sent, got, c.want)
		}
	}
}

// reloaded gives the machine's family of product p as it is read back after it was stored.
func reloaded(t *testing.T, m *machine) *family {
	t.Helper()
	for _, f := range m.families {
		if f.product != "p" {
			continue
		}
		f, err := loadFamily(f.states(nil), words{})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	t.Fatal("no line")
	return nil
}

// TestLateUsageInLogOrder: what the line of a sealed period used of a free amount, and where it stands in the tiers, counts for the
// late usage on the next invoice.
func TestLateUsageInLogOrder(t *testing.T) {
	stores := newBenchStores(t)
	for _, c := range []struct {
		name string
		rate object
		want [5]string
	}{
		// Of 60, 30 and 30 the last 20 are beyond the free 100.
		{"a free amount", object{"model": "percentage", "rate": "10", "free_amount": "100"}, [5]string{"0", "0", "2", "3", "3"}},
		// 60 × 1; to 90; the next ends at 120, all of it in the second tier.
		{"whole events", object{"model": "graduated", "split": false, "tiers": []any{
			object{"up_to": "100", "unit_price": "1"}, object{"unit_price": "0.5", "flat_price": "7"},
		}}, [5]string{"60", "30", "22", "15", "15"}},
	} {
		m, stores := pricedBy(t, *stores, c.rate)
		for i, quantity := range []string{"60", "30", "30", "30", "30"} {
			if got := rateOne(t, m, stores, usage.Event{Product: "p", Quantity: money.MustParse(quantity), Time: benchStart + int64(i)}); got != c.want[i] {
				t.Errorf("%s: event %d charged %s, want %s", c.name, i, got, c.want[i])
			}
			if i == 0 {
				m.sealUpTo(&usage.Seal{Account: "acct-00000", PeriodEnd: benchStart + 744*benchHour})
			}
			if lines := len(reloaded(t, m).lines); lines != min(i+1, 2) {
				t.Errorf("%s: %d lines after event %d", c.name, lines, i)
			}
		}
	}
}
