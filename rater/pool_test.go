package rater

import (
	"context"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	priceoracle "github.com/tollstream/tollstream/rater/price/oracle"
)

// TestPoolsAgainstTheOracle rates the logs of random cases whose tiers are shared and compares every charge and every line with what
// the oracle finds in lists of events.
func TestPoolsAgainstTheOracle(t *testing.T) {
	kinds := map[string]int{}
	accounts := 0
	for seed := range uint64(4000) {
		c := priceoracle.Generate(seed, priceoracle.Options{})
		if len(c.Rates) == 0 || c.Rates[0].Pool == "" || c.Rates[0].Pool == "line" {
			continue
		}
		stores, err := storesOf(c.DocumentJSON())
		if err != nil {
			if strings.Contains(err.Error(), "pool") || strings.Contains(err.Error(), "capacity") {
				t.Fatalf("%v\n%s", err, c.String())
			}
			continue // rounding that the oracle prices and the catalogue refuses
		}
		kinds[c.Rates[0].Pool+" "+c.Rates[0].Model]++
		accounts = max(accounts, len(c.Accounts))
		want := c.ExpectCharges()
		m := newMachine(&Checkpoint{Last: -1, ActivatedSeq: 1}, DefaultLimits().Window, Faults{})
		random := rand.New(rand.NewPCG(seed, 7))
		var log []usage.Record
		for _, e := range eventsOf(&c) {
			if n := len(log); n == 0 || random.IntN(3) == 0 {
				log = append(log, usage.Record{Kind: usage.KindBatch})
			}
			last := &log[len(log)-1]
			last.Events = append(last.Events, e)
		}
		charges := map[string]*big.Rat{}
		for _, a := range stepAll(t, m, stores, c.Usage.End.UnixNano(), log) {
			charges[a.EventID] = ratOf(a.Charge)
		}
		for _, r := range want.Rejected {
			if charges[r.ID] != nil {
				t.Fatalf("seed %d: event %s is rated, the oracle rejects it as %s\n%s", seed, r.ID, r.Reason, c.String())
			}
			charges[r.ID] = new(big.Rat)
		}
		for i, e := range c.Events {
			if got := charges[e.ID]; got == nil || got.Cmp(want.Charges[i]) != 0 {
				t.Fatalf("seed %d: event %s costs %v, the oracle says %v\n%s", seed, e.ID, got, want.Charges[i], c.String())
			}
		}
	}
	t.Log(kinds, accounts)
	for _, kind := range []string{"account graduated", "package volume", "invoice graduated", "invoice package", "account capacity"} {
		if kinds[kind] < 3 {
			t.Errorf("only %d cases of %s", kinds[kind], kind)
		}
	}
}

// pooledOn is a partition with products, and the accounts parent, a and b, for both of which the parent pays.
type pooledOn struct {
	t      *testing.T
	stores *benchStores
	m      *machine
	reload bool // what was used is stored and read back after each event
	sent   int
}

func newPooled(t *testing.T, products string) *pooledOn {
	t.Helper()
	stores, err := storesOf("currency: USD\nproducts:\n" + products + `
accounts:
  - {id: parent}
  - {id: a, parent: parent, bill_to: parent, packages: [{package: k}]}
  - {id: b, parent: parent, bill_to: parent, packages: [{package: k}]}
packages: [{id: k, products: [{product: p}]}]
`)
	if err != nil {
		t.Fatal(err)
	}
	return &pooledOn{t: t, stores: stores, m: newMachine(&Checkpoint{Last: -1, ActivatedSeq: 1}, DefaultLimits().Window, Faults{})}
}

// use gives what an event is charged, "account product quantity day", or the reason; an adjustment before it in brackets.
func (p *pooledOn) use(text string) string {
	p.t.Helper()
	f := strings.Fields(text)
	day, err := strconv.Atoi(f[3])
	if err != nil {
		p.t.Fatal(err)
	}
	p.sent++
	e := usage.Event{
		ID: fmt.Sprint("e", p.sent), Source: "s", Account: f[0], RoutingKey: "parent", Product: f[1], Quantity: money.MustParse(f[2]),
		Time: benchStart + int64(day-1)*24*benchHour,
	}
	in := &Input{Offset: p.m.last + 1, Time: benchStart + 30*24*benchHour, Value: usage.AppendRecord(nil, &usage.Record{Kind: usage.KindBatch, Events: []usage.Event{e}})}
	p.m.decode(in)
	if err := p.m.load(context.Background(), in, Fence{}, p.stores, p.stores); err != nil {
		p.t.Fatal(err)
	}
	rec, err := p.m.step(in)
	if err != nil {
		p.t.Fatal(err)
	}
	out := ""
	for i := range rec.Rejected {
		out += rec.Rejected[i].Reason
	}
	for i := range rec.Activities {
		a := &rec.Activities[i]
		if a.Kind == activity.KindAdjustment {
			out += "(" + a.Charge.String() + ") "
		} else {
			out += a.Charge.String()
		}
	}
	for i := range in.Value {
		in.Value[i] = 'z'
	}
	if p.reload {
		p.readBack()
	}
	return out
}

// readBack has families and pools be as they are read back after they were stored.
func (p *pooledOn) readBack() {
	m := p.m
	for id, f := range m.families {
		if len(f.lines) == 0 {
			continue
		}
		loaded, err := loadFamily(f.states(nil), words{})
		if err != nil {
			p.t.Fatal(err)
		}
		m.families[id] = loaded
	}
	for id, q := range m.pools {
		state := q.state()
		loaded, err := loadPool(&state)
		if err != nil {
			p.t.Fatal(err)
		}
		m.pools[id] = loaded
	}
	m.dirty, m.pooled, m.unshown = nil, nil, nil
	m.defs.plans = newPlans()
}

// totals are of the lines and of the pools; a line's shares add up to it, and all shares to the pools.
func (p *pooledOn) totals() (lines string) {
	p.t.Helper()
	var all, shares, pools money.Decimal
	for _, f := range p.m.families {
		for i := range f.lines {
			all = mustAdd(all, f.lines[i].amount)
			for _, s := range f.lines[i].segments {
				if s.share != nil {
					shares = mustAdd(shares, s.share.charged)
				}
			}
		}
	}
	for _, q := range p.m.pools {
		pools = mustAdd(pools, q.amount)
	}
	if shares != pools {
		p.t.Errorf("shares of %s, pools of %s", shares, pools)
	}
	return all.String()
}

func (p *pooledOn) uses(texts, want string) {
	p.t.Helper()
	var got []string
	for text := range strings.SplitSeq(texts, ", ") {
		got = append(got, p.use(text))
	}
	if got := strings.Join(got, ", "); got != want {
		p.t.Errorf("%s: charged %s, want %s", texts, got, want)
	}
}

// TestPoolsByHand: 100 units at 0.10, all above at 0.05, unless it says otherwise.
func TestPoolsByHand(t *testing.T) {
	tiers := "tiers: [{up_to: 100, unit_price: 0.10}, {unit_price: 0.05}]"
	product := func(rates string) string { return "  - {id: p, group_by: [region], rates: [" + rates + "]}" }
	invoice := product("{model: graduated, pool: invoice, " + tiers + "}")
	capacity := func(id string) string {
		return "  - {id: " + id + ", rates: [{id: plan, model: capacity, pool: account, tiers: [{price: 10, limits: {p: 5, q: 100}}, {price: 30, limits: {p: 10}}, {price: 70}]}]}"
	}
	for _, c := range []struct{ name, products, uses, want, total string }{
		// 80 × 0.1; 20 × 0.1 + 40 × 0.05.
		{"a, then b", invoice, "a p 80 1, b p 60 2", "8, 4", "12"},
		{"b, then a", invoice, "b p 60 2, a p 80 1", "6, 6", "12"},
		// 150 are 12.5; 50 taken back by b, at 0.05; 100 by a, at 0.1; then below zero at the first tier.
		{"taken back", invoice, "a p 150 1, b p -50 2, a p -100 3, b p -10 4", "12.5, -2.5, -10, -1", "-1"},
		{"10^15 units", invoice, "a p 1000000000000000 1, b p 1 2, a p -1000000000000000 3", "50000000000005, 0.05, -50000000000004.95", "0.1"},
		{"nothing", invoice, "a p 0 1, b p 0 2", "0, 0", "0"},
		// The second price from the 11th on: 90 × 0.1; then 10 × 0.2 and 40 × 0.1; then late 20 under the first: 10 × 0.1 + 10 × 0.05,
		// and of the 50 under the second, now all above 100, 5 are due instead of 6.
		{"a price that changes inside the period", product("{model: graduated, pool: invoice, end: 2026-01-11, " + tiers + "}, " +
			"{model: graduated, pool: invoice, start: 2026-01-11, tiers: [{up_to: 100, unit_price: 0.20}, {unit_price: 0.10}]}"),
			"a p 90 1, b p 50 20, a p 20 2", "9, 6, 0.5", "15.5"},
		{"tiers that begin anew", product("{model: graduated, pool: invoice, end: 2026-01-11, " + tiers + "}, " +
			"{model: graduated, pool: invoice, tiers_restart: true, start: 2026-01-11, tiers: [{up_to: 100, unit_price: 0.20}, {unit_price: 0.10}]}"),
			"a p 90 1, b p 50 20, a p 20 2", "9, 10, 1.5", "20.5"},
		{"of each account", product("{model: graduated, pool: account, " + tiers + "}"), "a p 80 1, b p 60 2, a p 40 3", "8, 6, 3", "17"},
		{"of a package", product("{model: graduated, pool: package, " + tiers + "}"), "a p 80 1, b p 60 2, parent p 40 3, parent p 70 3", "8, 4, 4, 6.5", "22.5"},
		{"units included", product("{model: per_unit, unit_price: 2, included: 50, pool: invoice}"), "a p 40 1, b p 20 2, a p 1 3", "0, 20, 2", "22"},
		{"a maximum", product("{model: per_unit, unit_price: 2, maximum: 100, pool: invoice}"), "a p 40 1, b p 20 2, b p -15 3", "80, 20, -10", "90"},
		{"all at one price", product("{model: volume, pool: invoice, " + tiers + "}"), "a p 100 1, b p 1 2, a p -1 3", "10, -4.95, 4.95", "10"},
		{"the largest", product("{model: graduated, aggregation: max, pool: invoice, " + tiers + "}"), "a p 50 1, b p 30 2, b p 120 3, a p -1 3", "5, 0, 6, quantity_negative", "11"},
		{"a matrix", product("{model: matrix, pool: invoice, dimensions: [{name: day, by: weekday}], prices: [{match: {day: [sat, sun]}, model: graduated, " + tiers +
			"}], default: {model: per_unit, unit_price: 1}}"), "a p 80 3, b p 60 4, a p 5 5", "8, 4, 5", "17"}, // the 3rd is a Saturday
		// 5 of p are 10; 50 of q with them, too; a sixth of p: 30; 95 more of q, which only the first tier bounds: nothing; 5 more of p: 70; all
		// that back: 30 with q above its bound, and 10 when that comes down.
		{"a capacity", capacity("p") + "\n" + capacity("q"), "a p 5 1, a q 50 1, a p 1 2, a q 95 2, a p 5 3, a p -6 4, a q -45 5, b q 101 5", "10, 0, 20, 0, 40, -40, -20, 30", "40"},
	} {
		for _, reload := range []bool{false, true} {
			t.Run(fmt.Sprint(c.name, " ", reload), func(t *testing.T) {
				p := newPooled(t, c.products)
				p.reload = reload
				p.uses(c.uses, c.want)
				if got := p.totals(); got != c.total {
					t.Errorf("lines of %s, want %s", got, c.total)
				}
			})
		}
	}
}

// TestPoolInAnyOrder: whatever comes first, all pay the same together.
func TestPoolInAnyOrder(t *testing.T) {
	products := `  - {id: p, rates: [{model: graduated, pool: invoice, end: 2026-01-11, tiers: [{up_to: 100, unit_price: 0.10}, {unit_price: 0.05}]},
      {model: volume, pool: invoice, start: 2026-01-11, tiers: [{up_to: 60, unit_price: 0.20}, {unit_price: 0.07, flat_price: 3}]}]}`
	events := []string{"a p 80 1", "b p 60 2", "a p -30 12", "b p 20.5 13", "a p 7 10", "parent p 33 15", "b p -50 3"}
	want, splits := "", map[string]bool{}
	for seed := range uint64(60) {
		p := newPooled(t, products)
		p.reload = seed%3 == 0
		for _, i := range rand.New(rand.NewPCG(seed, 1)).Perm(len(events)) {
			p.use(events[i])
		}
		if total := p.totals(); want == "" {
			want = total
		} else if total != want {
			t.Fatalf("seed %d: %s, want %s", seed, total, want)
		}
		split := ""
		for _, account := range []string{"a", "b", "parent"} {
			for _, f := range p.m.families {
				if f.account == account {
					split += f.lines[0].amount.String() + " "
				}
			}
		}
		splits[split] = true
	}
	if len(splits) < 2 {
		t.Error("the order never changed who pays")
	}
}

// TestLateUsageInAPool goes on from what was used before the seal, on the next invoice.
func TestLateUsageInAPool(t *testing.T) {
	p := newPooled(t, "  - {id: p, rates: [{model: graduated, pool: invoice, tiers: [{up_to: 100, unit_price: 0.10}, {unit_price: 0.05}]}]}")
	p.uses("a p 80 1, b p 10 1", "8, 1")
	p.m.sealUpTo(&usage.Seal{Account: "parent", PeriodEnd: benchStart + 31*24*benchHour})
	p.reload = true
	p.uses("a p 20 1, b p 10 2", "1.5, 0.5") // 10 × 0.1 + 10 × 0.05
	if got := p.totals(); got != "11" {
		t.Errorf("lines of %s", got)
	}
	for _, f := range p.m.families {
		if len(f.lines) != 2 {
			t.Errorf("account %s has %d lines", f.account, len(f.lines))
		}
	}
}

// BenchmarkPool rates events of 10,000 accounts in turn that all share the tiers of one pool, and of as many in 10.
func BenchmarkPool(b *testing.B) {
	for _, accounts := range []int{10, 100, 10_000} {
		b.Run(fmt.Sprint(accounts), func(b *testing.B) {
			var doc strings.Builder
			doc.WriteString("currency: USD\nproducts:\n  - {id: p, rates: [{model: graduated, pool: invoice, tiers: [{up_to: 1000, unit_price: 0.10}, {unit_price: 0.05}]}]}\naccounts:\n  - {id: parent}\n")
			for i := range accounts {
				fmt.Fprintf(&doc, "  - {id: a%d, parent: parent, bill_to: parent}\n", i)
			}
			stores, err := storesOf(doc.String())
			if err != nil {
				b.Fatal(err)
			}
			m := newMachine(&Checkpoint{Last: -1, ActivatedSeq: 1}, DefaultLimits().Window, Faults{})
			n := 0
			rate := func() {
				events := make([]usage.Event, benchBatch)
				for i := range events {
					events[i] = usage.Event{
						ID: fmt.Sprint("e", n), Source: "s", Account: fmt.Sprint("a", n%accounts), RoutingKey: "parent", Product: "p",
						Time: benchStart + int64(n), Quantity: money.One, Hash: uint64(n),
					}
					n++
				}
				in := &Input{Offset: m.last + 1, Time: benchStart, Value: usage.AppendRecord(nil, &usage.Record{Kind: usage.KindBatch, Events: events})}
				b.StartTimer()
				defer b.StopTimer()
				m.decode(in)
				if err := m.load(context.Background(), in, Fence{}, stores, stores); err != nil {
					b.Fatal(err)
				}
				if _, err := m.step(in); err != nil {
					b.Fatal(err)
				}
				m.index.Fresh()
			}
			for n < 2*accounts {
				rate()
			}
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				rate()
			}
			b.StopTimer()
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchBatch), "ns/event")
		})
	}
}
