package rater

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price"
	priceoracle "github.com/tollstream/tollstream/rater/price/oracle"
	"github.com/tollstream/tollstream/rater/price/pricetest"
)

// TestFoldGoesOnFromStoredLines adds the usage of random cases, late usage among it: all of it to one fold, and to another that begins
// with the lines as they were stored in the middle. Both come to the same. Each charge is the difference of what the line's segments come
// to with the event and without it, and its explanation works out to it.
func TestFoldGoesOnFromStoredLines(t *testing.T) {
	var charges, late, asked int
	for seed := range uint64(900) {
		c := priceoracle.Generate(seed, priceoracle.Options{})
		stores, err := storesOf(c.DocumentJSON())
		if err != nil {
			continue // refused documents are TestFoldIsWhatWasRated's
		}
		events, random := eventsOf(&c), rand.New(rand.NewPCG(seed, 11))
		whole, parts := NewFold(), NewFold()
		for _, id := range c.Accounts {
			whole.Use(stores.plan(t, id))
			parts.Use(stores.plan(t, id))
		}
		middle := random.IntN(len(events) + 1)
		for i := range events {
			if i == middle {
				parts = goingOn(t, stores, c.Accounts, parts)
			}
			e := &events[i]
			on := Invoiced{}
			if i > len(events)/2 && random.IntN(3) == 0 {
				on = nextInvoice(stores.plan(t, e.Account), e)
				late++
			}
			spot, refused := parts.Spot(e, on)
			if k := spot.Value; k != (ValueKey{}) {
				places, _ := whole.distinct.places(&k)
				parts.Know(ValueState{k, places})
				asked++
			}
			before := segmentsAt(t, parts, spot)
			want, reason := whole.Add(e, on)
			got, again := parts.Add(e, on)
			if again != reason || reason == "" && (got.Charge != want.Charge || got.Amount != want.Amount || got.Line != want.Line) {
				t.Fatalf("seed %d: event %d comes to %+v %s, without a break to %+v %s\n%s", seed, i, got, again, want, reason, c.String())
			}
			if reason != "" {
				continue
			}
			if refused != "" || spot.Family != got.Family || activity.LineID(spot.Family, spot.Invoice) != got.Line {
				t.Fatalf("seed %d: event %d was to fall on %v %s and fell on %+v", seed, i, spot, refused, got)
			}
			x := price.ExplainCharge(before, segmentsAt(t, parts, spot))
			if x.Err != nil || x.Amount != got.Charge {
				t.Fatalf("seed %d: event %d: charge %s is explained by %+v\n%s", seed, i, got.Charge, x, c.String())
			}
			for _, equation := range []string{x.Equation, x.Short} {
				if slices.ContainsFunc(c.Rates, func(r priceoracle.Rate) bool { return r.Formula != nil }) {
					break // it does not say that each of its products is rounded
				}
				if bad := pricetest.Claims(equation, got.Charge.String(), 40); bad != "" {
					t.Fatalf("seed %d: event %d: %s\n%s", seed, i, bad, c.String())
				}
			}
			charges++
		}
		if text, stored := linesText(parts.Lines()), linesText(whole.Lines()); text != stored {
			t.Fatalf("seed %d: with a break:\n%s\nwithout:\n%s\n%s", seed, text, stored, c.String())
		}
	}
	t.Logf("%d charges explained, %d late, %d values asked for", charges, late, asked)
	if charges < 2000 || late < 250 || asked < 10 {
		t.Error("these are too few to tell anything")
	}
}

// goingOn is a fold that begins with the lines of another.
func goingOn(t *testing.T, stores *benchStores, accounts []string, from *Fold) *Fold {
	t.Helper()
	into, lines := NewFold(), from.Lines()
	for _, id := range accounts {
		var own []LineState
		for i := range lines {
			if lines[i].Account == id {
				own = append(own, lines[i])
			}
		}
		if err := into.Load(own, stores.plan(t, id), nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, q := range from.pools {
		state := q.state()
		if len(q.segments) == 0 {
			continue
		}
		at := func(string) (*catalog.Plan, error) { return stores.plan(t, accounts[0]), nil }
		if err := into.LoadPool(&state, at, nil); err != nil {
			t.Fatal(err)
		}
	}
	return into
}

func segmentsAt(t *testing.T, f *Fold, at Spot) []price.Segment {
	t.Helper()
	segments, err := f.Segments(at)
	if err != nil {
		t.Fatal(err)
	}
	return segments
}

// nextInvoice is the invoice of the period after the event's.
func nextInvoice(plan *catalog.Plan, e *usage.Event) Invoiced {
	_, period := plan.Billing(e.Time)
	billed, next := plan.Billing(period.End)
	return Invoiced{Billed: billed.ID, Period: next}
}

// TestFoldLoadsUnderAnotherPriceList: stored lines are priced under the plan; a rate that is gone from it keeps its prices.
func TestFoldLoadsUnderAnotherPriceList(t *testing.T) {
	priced := func(id, unit string) *benchStores {
		stores := newBenchStores(t)
		row := catalog.Row{Ref: catalog.Ref{Kind: catalog.KindProduct, ID: "p"}, Seq: 1, Body: mustJSON(object{
			"id": "p", "rates": []any{object{"id": id, "currency": "USD", "model": "per_unit", "unit_price": unit}},
		})}
		var err error
		if stores.snap, err = stores.snap.With([]catalog.Row{row}, 1); err != nil {
			t.Fatal(err)
		}
		return stores
	}
	cheap, dear, other := priced("r", "2"), priced("r", "3"), priced("another", "5")
	e := usage.Event{ID: "e", Account: "acct-00000", Product: "p", Time: benchStart, Quantity: money.MustParse("4")}
	fold := NewFold()
	fold.Use(cheap.plan(t, e.Account))
	if _, reason := fold.Add(&e, Invoiced{}); reason != "" {
		t.Fatal(reason)
	}
	lines := fold.Lines()
	asked := int64(0)
	old := func(seq int64) (*catalog.Plan, error) {
		asked = seq
		return cheap.plan(t, e.Account), nil
	}
	for _, c := range []struct {
		stores         *benchStores
		amount, charge string
	}{{cheap, "8", "8"}, {dear, "12", "12"}, {other, "8", "20"}} {
		fold := NewFold()
		if err := fold.Load(lines, c.stores.plan(t, e.Account), old); err != nil {
			t.Fatal(err)
		}
		if got := fold.Lines()[0].Amount.String(); got != c.amount {
			t.Errorf("loaded it comes to %s, want %s", got, c.amount)
		}
		if got, reason := fold.Add(&e, Invoiced{}); reason != "" || got.Charge.String() != c.charge {
			t.Errorf("the next event costs %s %s, want %s", got.Charge, reason, c.charge)
		}
	}
	if asked == 0 {
		t.Error("the prices of a rate that is gone were not asked for")
	}
	if err := NewFold().Load(lines, other.plan(t, e.Account), func(int64) (*catalog.Plan, error) { return nil, nil }); err == nil {
		t.Error("a line whose rate nobody knows was loaded")
	}
}
