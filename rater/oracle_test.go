package rater

import (
	"errors"
	"math/big"
	"slices"
	"testing"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
	priceoracle "github.com/tollstream/tollstream/rater/price/oracle"
)

// TestRatedAgainstOracle rates random cases and compares each line, and which events are rejected, with what the oracle says. In between
// lines are stored and read back.
func TestRatedAgainstOracle(t *testing.T) {
	var compared, events, cells, carried int
	for seed := range uint64(1500) {
		c := priceoracle.Generate(seed, priceoracle.Options{})
		stores, err := storesOf(c.DocumentJSON())
		if issues := new(catalog.Issues); errors.As(err, &issues) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		want := c.Expected()
		if want.Beyond != "" || c.Usage.Carried != nil && !leaves(&c) {
			continue
		}
		compared++
		if c.Usage.Carried != nil {
			carried++
		}
		m := newMachine(&Checkpoint{Last: -1, ActivatedSeq: 1}, DefaultLimits().Window, Faults{})
		var rejected []priceoracle.Rejection
		for i, e := range eventsOf(&c) {
			log := []usage.Record{{Kind: usage.KindBatch, Events: []usage.Event{e}}}
			m.last = -1
			before := len(m.rejected)
			stepAll(t, m, stores, c.Usage.End.UnixNano(), log)
			for _, r := range m.rejected[before:] {
				rejected = append(rejected, priceoracle.Rejection{ID: e.ID, Reason: r.Reason})
			}
			events++
			if i%7 == 6 {
				m.reload(t)
			}
		}
		if !slices.EqualFunc(rejected, want.Rejected, func(a, b priceoracle.Rejection) bool { return a.ID == b.ID && (b.Reason == "" || a.Reason == b.Reason) }) {
			t.Fatalf("rejected %v, want %v\n%s", rejected, want.Rejected, c.String())
		}
		var lines []LineState
		for _, f := range m.families {
			if f.period.Start == c.Usage.Start.UnixNano() {
				lines = f.states(lines)
			}
		}
		if len(lines) != len(want.Lines) {
			t.Fatalf("%d lines, want %d\n%s", len(lines), len(want.Lines), c.String())
		}
		for i := range lines {
			l := &lines[i]
			at := slices.IndexFunc(want.Lines, func(x priceoracle.ExpectedLine) bool {
				return x.Account == l.Account && x.Product == l.Product && x.Package == l.Package &&
					!slices.ContainsFunc(l.Group, func(a usage.Attribute) bool { return x.Attributes[a.Name] != a.Value })
			})
			if at < 0 {
				t.Fatalf("nobody expects line %+v\n%s", l, c.String())
			}
			if x := want.Lines[at]; ratOf(l.Amount).Cmp(x.Amount) != 0 || l.Events != int64(x.Events) {
				t.Fatalf("line of %s, %d events, want %s, %d\n%s", l.Amount, l.Events, priceoracle.Decimal(x.Amount), x.Events, c.String())
			}
			segments, err := DecodeSegments(l.Segments)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range segments {
				if s.Cell != "" {
					cells++
				}
			}
		}
	}
	t.Logf("%d cases, %d events, %d cells, %d levels carried over", compared, events, cells, carried)
	if compared < 1000 || cells < 300 || carried < 5 {
		t.Error("these are too few to tell anything")
	}
}

// leaves says whether the rate takes the level that is carried over as it is, and is there before the period.
func leaves(c *priceoracle.Case) bool {
	r := &c.Rates[0]
	return r.Start.IsZero() && (r.Rounding == nil || r.Rounding.First == nil && !r.Rounding.OnEvent)
}

// reload stores every family and reads it back.
func (m *machine) reload(t *testing.T) {
	t.Helper()
	for id, f := range m.families {
		if len(f.lines) == 0 {
			delete(m.families, id)
			continue
		}
		again, err := loadFamily(f.states(nil), words{})
		if err != nil {
			t.Fatal(err)
		}
		m.families[id] = again
	}
	m.defs.plans = newPlans()
	m.dirty, m.unshown = nil, nil
}

func ratOf(d money.Decimal) *big.Rat {
	r, ok := new(big.Rat).SetString(d.String())
	if !ok {
		panic(d.String())
	}
	return r
}
