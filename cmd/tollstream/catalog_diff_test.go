package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/tollstream/tollstream/api"
)

func TestCatalogDiff(t *testing.T) {
	w := newWorld(t)
	file, other := write(t, "prices.yaml", "products: []"), write(t, "other.json", "{}")
	price := api.Difference{Kind: "product", ID: "api-calls", Text: "API calls, list price: 0.10 → 0.08 EUR per request", Product: "api-calls",
		Accounts: api.AffectedAccounts{Count: 7, Everyone: true, First: []string{"acme", "brown"}}}
	w.applied = api.Applied{Seq: 5, More: 1,
		Changes: []api.Change{{Action: "changed", Kind: "product", ID: "api-calls", Fields: []string{"rates"}}, {Action: "changed", Kind: "account", ID: "acme"}},
		Differences: []api.Difference{
			price,
			{Kind: "package", ID: "starter", Text: "data, package starter: 1.00 EUR per GB (new)", Product: "data", Accounts: api.AffectedAccounts{}},
			{Kind: "account", ID: "acme", Text: "account acme: now identifier x", Accounts: api.AffectedAccounts{Count: 1, First: []string{"acme"}}},
			{Kind: "settings", ID: "settings", Text: "catalogue: currency EUR → USD"},
			{Kind: "contract", ID: "c", Text: "contract c of acme is deleted", Accounts: api.AffectedAccounts{Count: 2, First: []string{"acme", "lab"}}},
		}}
	const words = `API calls, list price: 0.10 → 0.08 EUR per request
    whoever uses it, of 7 accounts: acme, brown, …
data, package starter: 1.00 EUR per GB (new)
    no account can get it
account acme: now identifier x
catalogue: currency EUR → USD
contract c of acme is deleted
    2 accounts: acme, lab
… and 1 more difference
2 definitions would change, nothing was written
`
	code, out, _ := w.tollstream(t, "", "catalog", "diff", file)
	if code != 0 || out != words {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	code, out, _ = w.tollstream(t, "{}", "catalog", "diff", "--exit-code", file, "-", other)
	if code != 1 || out != file+":\n"+words+"standard input:\n"+words+other+":\n"+words {
		t.Errorf("several: exit code %d:\n%s", code, out)
	}
	code, out, _ = w.tollstream(t, "", "catalog", "diff", file, "-o", "json")
	var one api.Applied
	if err := json.Unmarshal([]byte(out), &one); err != nil || code != 0 || one.Differences[0].Accounts.Count != 7 || one.More != 1 || !one.DryRun {
		t.Errorf("as JSON: %d, %v: %s", code, err, out)
	}
	code, out, _ = w.tollstream(t, "", "catalog", "diff", file, other, "-o", "json")
	var several []comparedFile
	if err := json.Unmarshal([]byte(out), &several); err != nil || code != 0 || len(several) != 2 || several[1].File != other || len(several[1].Differences) != 5 {
		t.Errorf("several as JSON: %d, %v: %s", code, err, out)
	}

	// New days are told together; a change that no words tell is told as it is.
	w.applied = api.Applied{
		Changes:     []api.Change{{Action: "created", Kind: "exchange_rates", ID: "EUR@2026-11-20"}, {Action: "created", Kind: "exchange_rates", ID: "EUR@2026-11-21"}, {Action: "changed", Kind: "product", ID: "p", Fields: []string{"rates"}}},
		Differences: []api.Difference{{Kind: "exchange_rates", ID: "EUR@2026-11-20", Text: "new exchange rates of EUR: 2 days from 2026-11-20 to 2026-11-21"}},
	}
	_, out, _ = w.tollstream(t, "", "catalog", "diff", file)
	if want := "new exchange rates of EUR: 2 days from 2026-11-20 to 2026-11-21\nchanged product p: rates\n3 definitions would change, nothing was written\n"; out != want {
		t.Errorf("%s\nwant\n%s", out, want)
	}
	w.applied = api.Applied{Seq: 5}
	code, out, _ = w.tollstream(t, "", "catalog", "diff", "--exit-code", file, other)
	if code != 0 || strings.Count(out, "nothing to change") != 2 {
		t.Errorf("exit code %d: %s", code, out)
	}
	w.applyErr = api.DocumentErrors{{Path: "products", Line: 3, Message: "must be a list"}}
	code, out, stderr := w.tollstream(t, "", "catalog", "diff", file, other)
	if code != 1 || out != "" || !strings.Contains(stderr, file+":3: products: must be a list") {
		t.Errorf("refused: %d %q %q", code, out, stderr)
	}
	code, _, stderr = w.tollstream(t, "", "catalog", "diff")
	check(t, "without a file", code, 2, stderr, "FILE is missing")
}
