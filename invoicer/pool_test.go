package invoicer_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"testing"

	"github.com/tollstream/tollstream/invoicer"
	"github.com/tollstream/tollstream/invoicer/invoicertest"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
)

// storedPools are pools as they are committed.
type storedPools []rater.PoolState

func (s storedPools) PoolsOf(_ context.Context, ids []activity.ID) (found []rater.PoolState, err error) {
	for _, id := range ids {
		for i := range s {
			if s[i].ID == id {
				found = append(found, s[i])
			}
		}
	}
	return found, nil
}

// TestQuoteInAPool: 80 calls of lab and 40 of the shop, for both of which acme pays, have 100 at 0.10 together, all above at 0.05: 8, and 20 × 0.1 +
// 20 × 0.05 = 3. What acme adds is above them.
func TestQuoteInAPool(t *testing.T) {
	w := invoicertest.New(t, now, `
currency: USD
products: [{id: calls, rates: [{model: graduated, pool: invoice, tiers: [{up_to: 100, unit_price: 0.10}, {unit_price: 0.05}]}]}]
accounts: [{id: acme}, {id: lab, parent: acme, bill_to: parent}, {id: shop, parent: acme, bill_to: parent}, {id: free}]
`)
	fold, lines := rater.NewFold(), map[string]string{}
	for _, e := range []struct{ account, quantity string }{{"lab", "80"}, {"shop", "40"}} {
		fold.Use(w.Plan(e.account))
		event := eventOf(e.account, "calls", e.quantity, now)
		event.Account = e.account
		if _, reason := fold.Add(&event, rater.Invoiced{}); reason != "" {
			t.Fatal(reason)
		}
	}
	var last rater.LineState
	for _, l := range fold.Lines() {
		lines[l.Account] = l.Line.String()
		w.Put(l)
		last = l
	}
	share := must(rater.DecodeSegments(last.Segments))[0]
	text := func(b []byte, s string) []byte { return append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	segment := text(text(text([]byte{1, 1}, "product"), "calls"), share.Rate)
	segment = binary.AppendVarint(binary.AppendVarint(segment, share.Start), 1)
	segment = binary.AppendVarint(money.MustParse("120").AppendBinary16(segment), 2)
	d := w.Desk(nil)
	d.Pools = storedPools{{
		ID:    activity.PoolID(last.Seller, "invoice", "", "calls", "USD", "acme", last.UsagePeriod.Start),
		Scope: catalog.PoolInvoice, Seller: last.Seller, Billed: "acme", Product: "calls", Currency: "USD", Period: last.UsagePeriod,
		Amount: money.MustParse("11"), Segments: append(text(nil, string(segment)), 0), Seq: 1, Version: 1,
	}}
	for _, tc := range []struct {
		name       string
		conditions invoicer.Conditions
		charges    []string // of 10 of acme, 10 of lab, 130 taken back by the shop, 10 of free
	}{
		{"as it stands", invoicer.Conditions{State: true}, []string{"0.5", "0.5", "-11", "1"}}, // 40 at 0.05 and 90 at 0.1
		{"from nothing", invoicer.Conditions{}, []string{"1", "1", "-13", "1"}},                // 20, of which 2 are due, then 110 below nothing
		{"dearer", invoicer.Conditions{State: true, Draft: must(w.Draft(`products: [{id: calls, rates: [{model: graduated, pool: invoice, tiers: [{up_to: 125, unit_price: 0.20}, {unit_price: 0.01}]}]}]`))},
			[]string{"1.05", "0.1", "-23.15", "2"}}, // 5 × 0.2 + 5 × 0.01; 10 × 0.01; 15 at 0.01 and 115 at 0.2
	} {
		trial := must(d.Trial(t.Context(), tc.conditions))
		for i, e := range []struct{ account, quantity string }{{"acme", "10"}, {"lab", "10"}, {"shop", "-130"}, {"free", "10"}} {
			q, err := trial.Rate(t.Context(), eventOf(e.account, "calls", e.quantity, now))
			if err != nil {
				t.Fatal(tc.name, err)
			}
			if got := q.Charge.Decimal.String(); got != tc.charges[i] {
				t.Errorf("%s: %s of %s cost %s, want %s", tc.name, e.quantity, e.account, got, tc.charges[i])
			}
			if bad := worksOut(q); bad != "" {
				t.Errorf("%s: %s", tc.name, bad)
			}
			if want := "tiers are shared by all usage of calls that account " + q.Billed + " pays for"; q.Explanation.Shared != want {
				t.Errorf("%s: %q, want %q", tc.name, q.Explanation.Shared, want)
			}
		}
	}
	detail := must(d.Line(t.Context(), invoicer.Question{Account: "shop"}, lines["shop"]))
	got := string(must(json.Marshal(detail.Shared)))
	if want := `[{"pool":"invoice","words":"tiers are shared by all usage of calls that account acme pays for","charged":"3.000000000000","used":"40","of":"120","amount":"11.000000000000"}]`; got != want {
		t.Errorf("the line says %s, want %s", got, want)
	}
}
