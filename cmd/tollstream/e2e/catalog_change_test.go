package e2e

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/tollstream/tollstream/cmd/tollstream/e2e/oracle"
)

// TestCatalogChangesUnderUsage sends usage, changes definitions, sends usage, and so on: what is accepted after a change was
// answered is priced under it, and a line that is touched again is priced anew as a whole.
func TestCatalogChangesUnderUsage(t *testing.T) {
	_, admin, _ := embedded(t)
	hour := func(n int) time.Time { return eventTime.Add(time.Duration(n) * time.Hour) }
	list := func(price string) *oracle.Rate { return &oracle.Rate{Model: "per_unit", Unit: price} }
	agreed := func(first string) *oracle.Rate { // for two hours in the middle
		return &oracle.Rate{Model: "graduated", Tiers: []oracle.Tier{{UpTo: "10", Unit: first}, {Unit: "0.02", Flat: "1.5"}}, Start: hour(1), End: hour(3)}
	}
	product := func(r *oracle.Rate) map[string]any {
		return map[string]any{"products": []any{map[string]any{"id": "calls", "rates": []any{r.Document()}}}}
	}
	contract := func(r *oracle.Rate) map[string]any {
		d := r.Document()
		d["product"] = "calls"
		delete(d, "start")
		delete(d, "end")
		return map[string]any{"contracts": []any{map[string]any{
			"id": "c-1", "account": "special", "start": r.Start.Format(time.RFC3339), "end": r.End.Format(time.RFC3339), "rates": []any{d},
		}}}
	}
	first := product(list("0.10"))
	first["currency"], first["seller"] = "EUR", map[string]any{"id": "main", "name": "E2E"}
	first["accounts"] = []any{
		map[string]any{"id": "plain", "currency": "EUR", "time_zone": "UTC"},
		map[string]any{"id": "special", "currency": "EUR", "time_zone": "UTC"},
	}
	rounds := []struct {
		document     map[string]any
		list, agreed *oracle.Rate
		accounts     []string // that use something under it
	}{
		{first, list("0.10"), nil, []string{"plain"}},
		{contract(agreed("0.08")), list("0.10"), agreed("0.08"), []string{"plain", "special"}},
		{product(list("0.123456789")), list("0.123456789"), agreed("0.08"), []string{"plain", "special"}},
		{contract(agreed("0.07")), list("0.123456789"), agreed("0.07"), []string{"special"}},
		{product(list("0.09")), list("0.09"), agreed("0.07"), []string{"plain", "special"}},
	}
	var uses []oracle.Use
	seqs := map[string]int64{} // of each event
	for round, r := range rounds {
		var applied struct{ Seq int64 }
		res := admin.answered(t, http.MethodPut, "/v1/catalog", encode(r.document), "Content-Type", "application/json")
		if err := json.Unmarshal(res.Body, &applied); err != nil || applied.Seq == 0 {
			t.Fatalf("change %d: %d %s", round, res.Status, res.Body)
		}
		var events []map[string]any
		for i := range 8 {
			for _, account := range r.accounts {
				at, quantity := eventTime.Add(time.Duration(i)*30*time.Minute), fmt.Sprintf("%d.%03d", 1+i, 7*round+i)
				id := fmt.Sprintf("r%d-%d-%s", round, i, account)
				events = append(events, event(id, "account", account, "time", at.Format(time.RFC3339), "quantity", quantity))
				uses = append(uses, oracle.Use{Billed: account, Account: account, Product: "calls", Quantity: quantity, At: at})
				seqs[id] = applied.Seq
			}
		}
		admin.mustAccept(t, events...)
		bills := oracle.Bill(uses, func(account, _ string) []*oracle.Rate {
			if account == "special" && r.agreed != nil {
				below := *r.list
				below.Yields = r.agreed
				return []*oracle.Rate{&below, r.agreed}
			}
			return []*oracle.Rate{r.list}
		})
		for _, account := range r.accounts {
			eventually(t, fmt.Sprintf("invoice of %s after change %d", account, round), func() error {
				got, err := admin.InvoiceAt(account, eventTime)
				if err != nil {
					return err
				}
				return bills[account].Differs(got)
			})
		}
		if round == len(rounds)-1 {
			for account, want := range bills {
				proveActivities(t, admin, account, want.Total, seqs)
			}
		}
	}
	admin.proveReconciled(t, eventTime.Format("2006-01"))
}

// proveActivities checks that each event was priced under the definitions that it was accepted under, that lines priced anew have
// their adjustments, and that all of it sums to the invoice.
func proveActivities(t *testing.T, c *caller, account string, total *big.Rat, seqs map[string]int64) {
	t.Helper()
	eventually(t, "activities of "+account, func() error {
		var page struct {
			Data []struct {
				Kind, ID, Charge string
				ActivatedSeq     int64 `json:"activated_seq"`
			}
		}
		if err := c.Get("/v1/accounts/"+account+"/activities", url.Values{"limit": {"1000"}}, &page); err != nil {
			return err
		}
		sum, adjustments := new(big.Rat), 0
		for _, a := range page.Data {
			charge, err := oracle.Decimal(a.Charge)
			if err != nil {
				return err
			}
			sum.Add(sum, charge)
			switch {
			case a.Kind == "adjustment":
				adjustments++
			case a.ActivatedSeq != seqs[a.ID]:
				return fmt.Errorf("event %s was priced under %d, accepted under %d", a.ID, a.ActivatedSeq, seqs[a.ID])
			}
		}
		if sum.Cmp(total) != 0 {
			return fmt.Errorf("sum %s, want %s", sum.FloatString(12), total.FloatString(12))
		}
		if adjustments == 0 {
			return fmt.Errorf("no adjustment of the usage before a change")
		}
		return nil
	})
}
