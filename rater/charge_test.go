package rater

import (
	"context"
	"fmt"
	"testing"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
)

// TestLineOfOneSegment: what a line says after each event, worked out by hand. The product costs 0.05 up to 1000, 0.04 up to 10000,
// then 0.03. The first event takes the general way through charge, the others the short one.
func TestLineOfOneSegment(t *testing.T) {
	stores := newBenchStores(t)
	m := newMachine(&Checkpoint{Last: -1, ActivatedSeq: 1}, DefaultLimits().Window, Faults{})
	for o, x := range []struct{ sent, quantity, charge, amount string }{
		{"400.5", "400.5", "20.025", "20.025"},
		{"600", "1000.5", "29.995", "50.02"},           // 1000·0.05 + 0.5·0.04
		{"-0.5", "1000", "-0.02", "50"},                // taken back at the price that it cost
		{"9500", "10500", "375", "425"},                // 50 + 9000·0.04 + 500·0.03
		{"-10500", "0", "-425", "0"},                   // all of it
		{"0.000000000001", "0.000000000001", "0", "0"}, // 5·10^-14 rounds to nothing
	} {
		e := usage.Event{
			ID: fmt.Sprint(o), Source: "s", Account: "acct-00000", RoutingKey: "acct-00000", Product: "calls", Time: benchStart + int64(o), Quantity: money.MustParse(x.sent),
		}
		in := &Input{Offset: int64(o), Time: benchStart, Value: usage.AppendRecord(nil, &usage.Record{Kind: usage.KindBatch, Events: []usage.Event{e}})}
		m.decode(in)
		if err := m.load(context.Background(), in, Fence{}, stores, stores); err != nil {
			t.Fatal(err)
		}
		rec, err := m.step(in)
		if err != nil || len(rec.Activities) != 1 {
			t.Fatalf("event %d: %d activities, %v", o, len(rec.Activities), err)
		}
		a := &rec.Activities[0]
		if a.Charge.String() != x.charge || a.LineAmount.String() != x.amount || a.Quantity != e.Quantity || a.RateID != "product:calls" || a.EventID != e.ID {
			t.Errorf("event %d: charge %s, line %s, want %s, %s; %+v of %+v", o, a.Charge, a.LineAmount, x.charge, x.amount, a, a.Terms)
		}
		var lines []LineState
		for _, f := range m.dirty {
			lines = f.states(lines)
		}
		if len(lines) != 1 {
			t.Fatalf("event %d: %d lines changed", o, len(lines))
		}
		l := lines[0]
		segments, err := DecodeSegments(l.Segments)
		if err != nil || len(segments) != 1 || segments[0].State.Sum != l.Quantity || segments[0].State.Events != l.Events {
			t.Errorf("event %d: segments %+v, %v", o, segments, err)
		}
		if l.Quantity.String() != x.quantity || l.Events != int64(o+1) || l.Amount.String() != x.amount || l.Version != int64(o+1) || l.RateID != "product:calls" {
			t.Errorf("event %d: %+v", o, l)
		}
	}
}

// TestLineShowsTheLastRate: a line that was stored says what its last event was rated under, by whichever way it was charged.
func TestLineShowsTheLastRate(t *testing.T) {
	stores := newBenchStores(t)
	m := newMachine(&Checkpoint{Last: -1, ActivatedSeq: 1}, DefaultLimits().Window, Faults{})
	event := func(o int64) {
		e := usage.Event{ID: fmt.Sprint(o), Source: "s", Account: "acct-00000", RoutingKey: "acct-00000", Product: "calls", Time: benchStart, Quantity: money.One}
		in := &Input{Offset: o, Time: benchStart, Value: usage.AppendRecord(nil, &usage.Record{Kind: usage.KindBatch, Events: []usage.Event{e}})}
		m.decode(in)
		if err := m.load(context.Background(), in, Fence{}, stores, stores); err != nil {
			t.Fatal(err)
		}
		if _, err := m.step(in); err != nil {
			t.Fatal(err)
		}
	}
	event(0)
	stored := m.dirty[0].states(nil)
	stored[0].RateID = "an older one"
	f, err := loadFamily(stored, words{})
	if err != nil {
		t.Fatal(err)
	}
	m.evictAll(f)
	if got := f.states(nil)[0].RateID; got != "an older one" {
		t.Fatalf("loaded with rate %q", got)
	}
	event(1)
	if got := f.states(nil)[0]; got.RateID != "product:calls" || got.Events != 2 {
		t.Errorf("after an event: %+v", got)
	}
}

// evictAll puts f in the place of every family, as if it had just been read.
func (m *machine) evictAll(f *family) {
	clear(m.families)
	m.defs.plans = newPlans()
	m.dirty, m.unshown = nil, nil
	m.families[f.id] = f
}
