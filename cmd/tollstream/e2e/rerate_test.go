package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestUsageIsRatedAnew changes prices for usage that is already rated and sends no more: invoices move by themselves, to figures worked
// out by hand, once, although the server is killed right after each change was answered.
func TestUsageIsRatedAnew(t *testing.T) {
	server, admin, dir := embedded(t)
	product := func(first string) string {
		return `{"products": [{"id": "calls", "rates": [{"model": "graduated", "tiers": [{"up_to": 100, "unit_price": ` + first + `}, {"unit_price": 0.05}]}]}]`
	}
	put := func(document string) {
		t.Helper()
		if res := admin.answered(t, http.MethodPut, "/v1/catalog", []byte(document), "Content-Type", "application/json"); res.Status != http.StatusOK {
			t.Fatalf("%d %s", res.Status, res.Body)
		}
	}
	killed := func() {
		t.Helper()
		server.Kill()
		server = start(t, "the server", "run", "--data-dir", dir, "--http-addr", admin.Address)
		server.says("listening on ")
	}
	come := func(what string, totals map[string]string) {
		t.Helper()
		for account, want := range totals {
			eventually(t, what+": invoice of "+account, func() error {
				got, err := admin.InvoiceAt(account, eventTime)
				if err == nil && got.Total != want {
					err = fmt.Errorf("total %s, want %s", got.Total, want)
				}
				return err
			})
		}
	}
	put(product("0.10") + `, "currency": "EUR", "seller": {"id": "main", "name": "E2E"},
		"accounts": [{"id": "plain", "currency": "EUR", "time_zone": "UTC"}, {"id": "special", "currency": "EUR", "time_zone": "UTC"}]}`)
	later := eventTime.Add(time.Hour)
	for _, account := range []string{"plain", "special"} {
		admin.mustAccept(t,
			event(account+"-1", "account", account, "quantity", "80"),
			event(account+"-2", "account", account, "quantity", "80", "time", later.Format(time.RFC3339)))
	}
	come("as used", map[string]string{"plain": "13.000000000000", "special": "13.000000000000"}) // 100 × 0.10 + 60 × 0.05

	put(`{"contracts": [{"id": "c-1", "account": "special", "start": "` + later.Format(time.RFC3339) + `",
		"rates": [{"product": "calls", "model": "per_unit", "unit_price": 0.02}]}]}`)
	killed()
	come("a contract that began in the past", map[string]string{"special": "9.600000000000", "plain": "13.000000000000"}) // 80 × 0.10 + 80 × 0.02

	put(product("0.20") + `}`)
	killed()
	come("another price", map[string]string{"plain": "23.000000000000", "special": "17.600000000000"}) // 100 × 0.20 + 60 × 0.05; 80 × 0.20 + 80 × 0.02
	dry := admin.must(t, "rerate", "--account", "special", "--dry-run")
	if !strings.Contains(dry, "17.600000000000  17.600000000000  0.000000000000") || !strings.Contains(dry, "1 lines were added up again, 0 would change") {
		t.Errorf("a dry run says\n%s", dry)
	}
	if done := admin.must(t, "rerate", "--account", "special", "--product", "calls"); !strings.Contains(done, "1 lines were added up again, 0 changed") {
		t.Errorf("rating anew says\n%s", done)
	}
	come("rated anew on demand", map[string]string{"plain": "23.000000000000", "special": "17.600000000000"})
	if _, said, code := admin.command(t, "", "rerate", "--account", "nobody"); code == 0 || !strings.Contains(said, "there is no account with this id") {
		t.Errorf("an unknown account: %d %s", code, said)
	}
	rerateJobsAreListed(t, admin)
	admin.proveReconciled(t, eventTime.Format("2006-01"))
}

// rerateJobsAreListed looks at the three jobs: what each did stands in the report store, whoever moved the lines first.
func rerateJobsAreListed(t *testing.T, admin *caller) {
	t.Helper()
	read := func(path string, into any) error {
		res := admin.answered(t, http.MethodGet, path, nil)
		if res.Status != http.StatusOK {
			return fmt.Errorf("%s: %d %s", path, res.Status, res.Body)
		}
		return json.Unmarshal(res.Body, into)
	}
	var jobs struct {
		Data []struct {
			ID                 int64
			State, Cause, By   string
			DefinitionsCount   int64 `json:"definitions_count"`
			Account, Product   string
			Accounts, Finished int64
		}
	}
	if err := read("/v1/rerate", &jobs); err != nil {
		t.Fatal(err)
	}
	if n := len(jobs.Data); n != 3 {
		t.Fatalf("%d jobs: %+v", n, jobs)
	}
	if j := jobs.Data[0]; j.Cause != "demand" || j.Account != "special" || j.Product != "calls" || j.State != "done" || j.By == "" {
		t.Errorf("what was asked for: %+v", j)
	}
	if j := jobs.Data[1]; j.Cause != "definitions" || j.DefinitionsCount != 1 || j.By == "" {
		t.Errorf("another price: %+v", j)
	}
	for i, want := range []string{"", "plain 13.000000000000 23.000000000000 10.000000000000; special 9.600000000000 17.600000000000 8.000000000000; ", "special 13.000000000000 9.600000000000 -3.400000000000; "} {
		for _, by := range []string{"line", "account"} {
			eventually(t, fmt.Sprintf("what job %d did, by %s", jobs.Data[i].ID, by), func() error {
				var lines struct {
					Data []struct{ Account, Before, After, Difference string }
				}
				if err := read(fmt.Sprintf("/v1/rerate/%d/lines?by=%s", jobs.Data[i].ID, by), &lines); err != nil {
					return err
				}
				got := ""
				for _, l := range lines.Data {
					got += l.Account + " " + l.Before + " " + l.After + " " + l.Difference + "; "
				}
				if got != want {
					return fmt.Errorf("%q, want %q", got, want)
				}
				return nil
			})
		}
	}
	for path, want := range map[string]string{
		"/ops/rerate": "Account special, product calls, all periods", fmt.Sprintf("/ops/rerate/%d", jobs.Data[2].ID): "contract c-1",
		"/ops/rerate/try?account=special": "1 line added up again, 0 would change", "/ops/rerate/try?account=special&product=none": "There is no product",
		"/ops/rerate/999": "There is no such job",
	} {
		if res := admin.answered(t, http.MethodGet, path, nil); !strings.Contains(string(res.Body), want) {
			t.Errorf("%s: %d\n%s", path, res.Status, res.Body)
		}
	}
}

// TestDistinctValuesAreCountedAnew has a contract begin in the past for usage of which distinct users are counted, and corrects events, while
// the server is killed again and again and more usage arrives: the invoice comes to the figures that are worked out by hand.
func TestDistinctValuesAreCountedAnew(t *testing.T) {
	server, admin, dir := embedded(t)
	random := seeded(t)
	killed := func(times int) {
		t.Helper()
		for range times {
			server.Kill()
			server = start(t, "the server", "run", "--data-dir", dir, "--http-addr", admin.Address)
			server.says("listening on ")
			pause(time.Duration(random.IntN(1500)) * time.Millisecond)
		}
	}
	total := func(what, want string) {
		t.Helper()
		eventually(t, what, func() error {
			got, err := admin.InvoiceAt("acme", eventTime)
			if err == nil && got.Total != want {
				err = fmt.Errorf("total %s, want %s", got.Total, want)
			}
			return err
		})
	}
	put := func(document string) {
		t.Helper()
		if res := admin.answered(t, http.MethodPut, "/v1/catalog", []byte(document), "Content-Type", "application/json"); res.Status != http.StatusOK {
			t.Fatalf("%d %s", res.Status, res.Body)
		}
	}
	put(`{"products": [{"id": "calls", "rates": [{"model": "per_unit", "unit_price": 0.01, "aggregation": "unique", "attribute": "user"}]}],
		"currency": "EUR", "seller": {"id": "main", "name": "E2E"}, "accounts": [{"id": "acme", "currency": "EUR", "time_zone": "UTC"}]}`)
	later := eventTime.Add(time.Hour)
	sent := 0
	use := func(from, to int, at time.Time) {
		t.Helper()
		var events []map[string]any
		for user := from; user < to; user++ {
			sent++
			events = append(events, event(fmt.Sprintf("u-%d", sent), "quantity", "1", "time", at.Format(time.RFC3339), "attributes", map[string]any{"user": fmt.Sprint("user-", user)}))
			if len(events) == 1000 || user == to-1 {
				admin.mustAccept(t, events...)
				events = nil
			}
		}
	}
	use(0, 6000, eventTime)
	use(3000, 9000, later)
	total("as used", "90.000000000000") // 9,000 users
	put(`{"contracts": [{"id": "c-1", "account": "acme", "start": "` + later.Format(time.RFC3339) + `",
		"rates": [{"product": "calls", "model": "per_unit", "unit_price": 0.02, "aggregation": "unique", "attribute": "user"}]}]}`)
	killed(1)
	use(8500, 9500, later) // while the job is at it: 500 of them are new
	killed(2)
	total("a contract that began in the past", "130.000000000000") // 6,000 × 0.01 + 3,500 × 0.02
	use(0, 500, later)
	use(8000, 8100, eventTime) // count at the lower price now
	total("more of the same users", "129.000000000000")
	use(20_000, 20_001, later)
	total("another user", "129.020000000000")
	admin.mustAccept(t, event("wrong", "quantity", "-1", "time", later.Format(time.RFC3339), "corrects", map[string]any{"source": "gate", "id": fmt.Sprintf("u-%d", sent)}))
	killed(1)
	total("… whom a correction takes back", "129.000000000000")
	use(20_000, 20_001, later)
	total("… and who comes again", "129.020000000000")
	admin.proveReconciled(t, eventTime.Format("2006-01"))
}
