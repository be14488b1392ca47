package rater

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price"
	priceoracle "github.com/tollstream/tollstream/rater/price/oracle"
)

// storesOf compiles a document, at an empty catalogue.
func storesOf(document string) (*benchStores, error) {
	doc, err := catalog.ParseDocument("case", []byte(document))
	if err != nil {
		return nil, err
	}
	changes, err := doc.Revise(catalog.Stored{Rows: map[catalog.Ref]catalog.Row{}}, benchStart)
	if err != nil {
		return nil, err
	}
	var rows []catalog.Row
	contracts := map[string][]catalog.Row{}
	for _, c := range changes {
		row := catalog.Row{Ref: c.Ref, Seq: 1, Body: c.Body}
		rows = append(rows, row)
		if c.Kind == catalog.KindContract {
			contracts[c.Parent] = append(contracts[c.Parent], row)
		}
	}
	s := &benchStores{accounts: map[string]*catalog.Account{}}
	if s.snap, err = catalog.NewSnapshot(rows); err != nil {
		return nil, err
	}
	for _, row := range rows {
		if row.Kind == catalog.KindAccount {
			if s.accounts[row.ID], err = catalog.DecodeAccount(row, contracts[row.ID]); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

func (s *benchStores) plan(t testing.TB, account string) *catalog.Plan {
	t.Helper()
	var chain []*catalog.Account
	for id := account; id != ""; id = s.accounts[id].Parent {
		chain = append(chain, s.accounts[id])
	}
	plan, err := catalog.NewPlan(s.snap, chain)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// eventsOf are a case's events, with the time in UTC nanoseconds.
func eventsOf(c *priceoracle.Case) []usage.Event {
	var events []usage.Event
	if level := c.Usage.Carried; level != nil { // which the period before ends with
		events = append(events, usage.Event{
			ID: "before", Source: "oracle", Account: c.Accounts[0], RoutingKey: c.Accounts[0], Product: c.Events[0].Product, Backfill: true,
			Time: c.Usage.Start.UnixNano() - 1, Quantity: money.MustParse(priceoracle.Decimal(level)), Hash: 1 << 40,
		})
	}
	for _, e := range c.Events {
		x := usage.Event{
			ID: e.ID, Source: "oracle", Account: e.Account, RoutingKey: c.Accounts[0], Product: e.Product, Package: e.Package,
			Time: e.Time.UnixNano(), Quantity: money.MustParse(priceoracle.Decimal(e.Quantity)), Hash: uint64(len(events)),
		}
		if e.Amount != nil {
			x.HasAmount, x.Amount, x.Currency = true, money.MustParse(priceoracle.Decimal(e.Amount)), "USD"
		}
		for name, value := range e.Attributes {
			x.Attributes = append(x.Attributes, usage.Attribute{Name: name, Value: value})
		}
		slices.SortFunc(x.Attributes, func(a, b usage.Attribute) int { return strings.Compare(a.Name, b.Name) })
		events = append(events, x)
	}
	return events
}

// stepAll rates a log of records and gives the activities, as they are read.
func stepAll(t *testing.T, m *machine, stores *benchStores, logTime int64, log []usage.Record) (activities []activity.Activity) {
	t.Helper()
	for i := range log {
		activities = append(activities, stepOne(t, m, stores, logTime, int64(i), &log[i]).Activities...)
	}
	return activities
}

// stepOne rates a record and gives what is read of it.
func stepOne(t *testing.T, m *machine, stores *benchStores, logTime, offset int64, record *usage.Record) *activity.Record {
	t.Helper()
	in := &Input{Offset: offset, Time: logTime, Value: usage.AppendRecord(nil, record)}
	m.decode(in)
	if err := m.load(context.Background(), in, Fence{}, stores, stores); err != nil {
		t.Fatal(err)
	}
	rec, err := m.step(in)
	if err != nil {
		t.Fatal(err)
	}
	var read activity.Record
	if err := activity.Decode(activity.Append(nil, rec), &read); err != nil {
		t.Fatal(err)
	}
	return &read
}

// TestFoldIsWhatWasRated rates the logs of random cases, some of them with a seal in the middle so that what follows is late, and adds
// up the activities again: charges, lines and segments are the same to the last digit. Where the order of the log does not matter, lines
// come to the same amounts in another.
func TestFoldIsWhatWasRated(t *testing.T) {
	var rated, refused, late, others, carried, begun int
	for seed := range uint64(600) {
		c := priceoracle.Generate(seed, priceoracle.Options{})
		stores, err := storesOf(c.DocumentJSON())
		if err != nil {
			if issues := new(catalog.Issues); !errors.As(err, &issues) {
				t.Fatal(err)
			}
			refused++ // what the oracle prices and the catalogue refuses
			continue
		}
		rated++
		if c.Usage.Carried != nil {
			carried++
		}
		events, random := eventsOf(&c), rand.New(rand.NewPCG(seed, 7))
		m := newMachine(&Checkpoint{Last: -1, ActivatedSeq: 1}, DefaultLimits().Window, Faults{})
		activities := stepAll(t, m, stores, c.Usage.End.UnixNano(), logOf(&c, events, random))
		var want []LineState
		for _, f := range m.families {
			want = f.states(want)
		}
		fold := NewFold()
		for i := range activities {
			a := &activities[i]
			if a.Kind != activity.KindUsage {
				if !begins(a) {
					t.Fatalf("an adjustment under one price list: %+v\n%s", a, c.String())
				}
				begun++
				if got, reason := fold.again(t, stores, a); reason != "" || got.Charge != a.Charge || got.Amount != a.LineAmount || got.Line != a.Line || !got.Others.IsZero() {
					t.Fatalf("a line begins with %+v %s, was rated as %+v\n%s", got, reason, a, c.String())
				}
				continue
			}
			if a.PeriodStart != a.UsageStart {
				late++
			}
			got, reason := fold.again(t, stores, a)
			if reason != "" || got.Charge != a.Charge || got.Amount != a.LineAmount || got.Line != a.Line || got.Rate.ID != a.RateID || !got.Others.IsZero() {
				t.Fatalf("%s is added as %+v %s, was rated as %+v\n%s", a.EventID, got, reason, a, c.String())
			}
		}
		if text, stored := linesText(fold.Lines()), linesText(want); text != stored {
			t.Fatalf("added up:\n%s\nrated:\n%s\n%s", text, stored, c.String())
		}
		if !c.OrderFree() || len(activities) == 0 {
			continue
		}
		fold.Reset()
		charges, amounts := money.Zero, money.Zero
		order := random.Perm(len(activities))
		slices.SortStableFunc(order, func(x, y int) int { return cmp.Compare(activities[x].Kind, activities[y].Kind) }) // lines begin with what is left in the end
		for _, i := range order {
			got, reason := fold.again(t, stores, &activities[i])
			if reason != "" {
				t.Fatalf("%s is refused in another order: %s\n%s", activities[i].EventID, reason, c.String())
			}
			charges = sum(t, sum(t, charges, got.Charge), got.Others)
			if !got.Others.IsZero() {
				others++
			}
		}
		for i := range want {
			amounts = sum(t, amounts, want[i].Amount)
		}
		if charges != amounts {
			t.Fatalf("in another order the charges come to %s, the lines to %s\n%s", charges, amounts, c.String())
		}
	}
	t.Logf("%d cases, %d refused; %d late events, %d that changed other lines, %d levels carried over, %d into the next period", rated, refused, late, others, carried, begun)
	if rated < 500 || late < 400 || others < 20 || carried < 3 || begun < 10 {
		t.Error("these are too few to tell anything")
	}
}

// logOf puts the events into records, and seals now and then between them.
func logOf(c *priceoracle.Case, events []usage.Event, random *rand.Rand) (log []usage.Record) {
	for i := range events {
		if n := len(log); n == 0 || log[n-1].Kind != usage.KindBatch || random.IntN(3) == 0 {
			log = append(log, usage.Record{Kind: usage.KindBatch})
		}
		last := &log[len(log)-1]
		last.Events = append(last.Events, events[i])
		if random.IntN(8) == 0 {
			log = append(log, usage.Record{Kind: usage.KindSeal, Seal: &usage.Seal{Account: c.Accounts[0], PeriodEnd: c.Usage.End.UnixNano()}})
		}
	}
	return log
}

// again adds what an activity says, under the plan of its account.
func (f *Fold) again(t *testing.T, stores *benchStores, a *activity.Activity) (Folded, string) {
	t.Helper()
	if !f.Uses(a.Account) {
		f.Use(stores.plan(t, a.Account))
	}
	e := stored(a)
	if begins(a) {
		return f.Begin(&e, Invoiced{})
	}
	return f.Add(&e, Invoiced{Billed: a.Billed, Period: catalog.Period{Start: a.PeriodStart, End: a.PeriodEnd}})
}

// stored is the event as its activity keeps it.
func stored(a *activity.Activity) usage.Event {
	sent := a.Sent()
	return usage.Event{
		ID: a.EventID, Source: a.Source, Account: a.Account, Product: a.Product, Package: sent.EventPackage, Time: a.EventTime, Quantity: a.Quantity,
		HasAmount: sent.HasAmount, Amount: sent.Amount, Currency: sent.AmountCurrency, Attributes: a.Attributes,
	}
}

func sum(t testing.TB, a, b money.Decimal) money.Decimal {
	t.Helper()
	c, err := a.Add(b)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// linesText tells all of the lines but their versions and the names of their sets of values, in the order of their ids.
func linesText(lines []LineState) string {
	var text []string
	for _, l := range lines {
		segments, err := DecodeSegments(l.Segments)
		if err != nil {
			panic(err)
		}
		for i := range segments {
			if u, places := segments[i].State.Rest.UniqueOf(); u != nil {
				nameless := *u
				nameless.Set = activity.ID{}
				segments[i].State.Rest = price.RestOfUnique(&nameless, places)
			}
		}
		l.Version, l.Segments = 0, appendSegments(nil, segmentsOf(segments))
		text = append(text, fmt.Sprintf("%+v", l))
	}
	slices.Sort(text)
	return strings.Join(text, "\n")
}

// TestFoldDoesNotAllocate: an event like one before it costs no memory, on its period's line and late.
func TestFoldDoesNotAllocate(t *testing.T) {
	stores := newBenchStores(t)
	later := Invoiced{Billed: "acct-00001", Period: catalog.Period{Start: benchStart + 31*24*benchHour, End: benchStart + 59*24*benchHour}}
	for _, c := range []struct {
		product string
		on      Invoiced
	}{{"calls", Invoiced{}}, {"data", Invoiced{}}, {"data", later}} {
		fold := NewFold()
		fold.Use(stores.plan(t, "acct-00001"))
		e := usage.Event{
			ID: "e", Source: "s", Account: "acct-00001", Product: c.product, Time: benchStart, Quantity: money.MustParse("2.5"),
			Attributes: []usage.Attribute{{Name: "region", Value: "eu"}},
		}
		add := func(on Invoiced) {
			if _, reason := fold.Add(&e, on); reason != "" {
				t.Fatal(reason)
			}
		}
		add(Invoiced{})
		add(c.on)
		if n := testing.AllocsPerRun(1000, func() { add(c.on) }); n != 0 {
			t.Errorf("an event of %s costs %v allocations", c.product, n)
		}
	}
}

// TestFoldRefuses says why usage cannot be rated, and goes on as if it had not been there.
func TestFoldRefuses(t *testing.T) {
	_, stores := pricedBy(t, *newBenchStores(t), object{"model": "per_unit", "unit_price": "2", "aggregation": "max", "end": "2026-01-11T00:00:00Z"})
	fold := NewFold()
	fold.Use(stores.plan(t, "acct-00000"))
	for _, c := range []struct {
		account, product, quantity string
		hour                       int64
		want                       string // charge or reason
	}{
		{"acct-00000", "p", "3", 0, "6"},
		{"acct-00009", "p", "3", 0, ReasonAccountUnknown},
		{"acct-00000", "q", "3", 0, ReasonProductUnknown},
		{"acct-00000", "p", "-1", 0, ReasonNegative},
		{"acct-00000", "p", "9", 240, ReasonNoRate},
		{"acct-00000", "p", "1e26", 1, ReasonOverflow}, // twice that is a price beyond all bounds
		{"acct-00000", "p", "4", 1, "2"},
	} {
		e := usage.Event{ID: "e", Account: c.account, Product: c.product, Time: benchStart + c.hour*benchHour, Quantity: money.MustParse(c.quantity)}
		got, reason := fold.Add(&e, Invoiced{})
		if reason == "" {
			reason = got.Charge.String()
		}
		if reason != c.want {
			t.Errorf("%s of %s at %d: %s, want %s", c.quantity, c.product, c.hour, reason, c.want)
		}
	}
	if lines := fold.Lines(); len(lines) != 1 || lines[0].Events != 2 || lines[0].Amount != money.MustParse("8") {
		t.Errorf("the lines are %+v", lines)
	}
}

// BenchmarkFold adds usage of a thousand accounts, each after the one before, as a report is read.
func BenchmarkFold(b *testing.B) {
	stores := newBenchStores(b)
	fold := NewFold()
	e := usage.Event{ID: "e-000000000001", Source: "gateway-7", Product: "calls", Quantity: money.MustParse("2.5"), Attributes: []usage.Attribute{{Name: "region", Value: "eu-central"}}}
	const each = 300
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%each == 0 {
			e.Account = fmt.Sprintf("acct-%05d", i/each%benchAccounts)
			fold.Reset()
			fold.Use(stores.plan(b, e.Account))
		}
		e.Time = benchStart + int64(i%each)*benchHour
		if _, reason := fold.Add(&e, Invoiced{}); reason != "" {
			b.Fatal(reason)
		}
	}
}
