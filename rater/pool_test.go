package rater

import (
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tollstream/tollstream/collector/usage"
	priceoracle "github.com/tollstream/tollstream/rater/price/oracle"
)

// TestPoolsAgainstTheOracle rates the logs of random cases whose tiers are shared and compares every charge and every line with what
// the oracle finds in lists of events.
func TestPoolsAgainstTheOracle(t *testing.T) {
	kinds := map[string]int{}
	accounts := 0
	for seed := range uint64(4000) {
		c := priceoracle.Generate(seed, priceoracle.Options{Without: notRated})
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
