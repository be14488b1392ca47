package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tollstream/tollstream/cmd/tollstream/e2e/oracle"
)

const bookYAML = `currency: EUR
seller: {id: main, name: E2E}
products:
  - {id: calls, identifiers: [voice.call], rates: [{model: graduated, tiers: [{up_to: 10, unit_price: 0.10}, {unit_price: 0.05}]}]}
accounts:
  - {id: acme, currency: EUR, time_zone: UTC, identifiers: ["+49301"]}
`

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustSay(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%s does not say %q:\n%s", what, part, text)
		}
	}
}

func TestCommandsBesideAServer(t *testing.T) {
	server, admin, dir := embedded(t)

	t.Run("catalog", func(t *testing.T) {
		book := write(t, "book.yaml", bookYAML)
		mustSay(t, "diff", admin.must(t, "catalog", "diff", book), "new product calls", "nothing was written")
		if _, _, code := admin.command(t, "", "catalog", "diff", "--exit-code", book); code != 1 {
			t.Errorf("diff --exit-code: %d", code)
		}
		mustSay(t, "apply", admin.must(t, "catalog", "apply", book), "created product calls", "created account acme")
		mustSay(t, "apply again", admin.must(t, "catalog", "apply", book), "nothing to change")
		dearer := strings.Replace(bookYAML, "up_to: 10", "up_to: 20", 1)
		if dearer == bookYAML {
			t.Fatal("no price changes")
		}
		mustSay(t, "diff in words", admin.must(t, "catalog", "diff", write(t, "dearer.yaml", dearer)), "up to 10", " → ", "up to 20", "whoever uses it, of 1 account: acme", "1 definition would change, nothing was written")
		exported := filepath.Join(t.TempDir(), "exported.yaml")
		admin.must(t, "catalog", "export", exported)
		mustSay(t, "apply what was exported", admin.must(t, "catalog", "apply", exported), "nothing to change")
		for _, form := range []string{"csv", "xlsx"} { // prices alone
			prices := filepath.Join(t.TempDir(), "prices."+form)
			admin.must(t, "catalog", "export", prices)
			mustSay(t, "apply the prices as "+form, admin.must(t, "catalog", "apply", prices), "nothing to change")
		}
		list := write(t, "list.csv", "product;match.prefix by prefix;unit_price\ncalls;'+49;0,05\ncalls;'+33;0,07\n;;0,1\n")
		mustSay(t, "diff of a price list", admin.must(t, "catalog", "diff", list), "2 prices by prefix", "1 definition would change, nothing was written")
		wrong := write(t, "wrong.csv", "product;match.prefix by prefix;unit_price\ncalls;'+49;0,05\ncalls;'+33;cheap\n")
		_, refused, exit := admin.command(t, "", "catalog", "apply", wrong)
		if exit != 1 {
			t.Errorf("a broken price list: exit code %d", exit)
		}
		mustSay(t, "a broken price list", refused, "wrong.csv:3: unit_price (column C): must be a decimal number", "nothing was changed")
		if out := admin.must(t, "catalog", "export", "--output", "json"); !json.Valid([]byte(out)) {
			t.Errorf("export as JSON: %s", out)
		}
		broken := write(t, "broken.yaml", strings.Replace(bookYAML, "up_to: 10", "up_to: ten", 1))
		_, said, code := admin.command(t, "", "catalog", "apply", broken)
		if code != 1 {
			t.Errorf("a broken document: exit code %d", code)
		}
		mustSay(t, "a broken document", said, "broken.yaml:4", "products[0].rates[0].tiers[0].up_to", "nothing was changed")
	})

	t.Run("collect", func(t *testing.T) {
		collector := write(t, "collector.yaml", `format: {type: delimited, delimiter: ";", decimal: ",", header: true}
mapping:
  id: call
  account: number
  product: {value: voice.call}
  quantity: minutes
  time: {from: began, layout: "02.01.2006 15:04:05", time_zone: UTC}
`)
		began := eventTime.Format("02.01.2006 15:04:05")
		calls := write(t, "calls.csv", "call;number;began;minutes\nc-1;+49301;"+began+";1,5\nc-2;+49301;"+began+";x\nc-3;+49301;"+began+";9,75\nc-4;+49999;"+began+";1\n")
		mustSay(t, "collect", admin.must(t, "collect", "calls", calls, "--config", collector, "--quiet"),
			"4 rows: 3 accepted, 1 bad", "calls.csv:3: quantity_invalid")
		mustSay(t, "collect again", admin.must(t, "collect", "calls", calls), "4 rows: 3 accepted, 1 bad")
		if _, _, code := admin.command(t, "", "collect", "calls", calls, "--strict"); code != 1 {
			t.Errorf("--strict with a bad row: exit code %d", code)
		}
		_, said, code := admin.command(t, "", "collect", "unknown", calls)
		if code != 1 {
			t.Errorf("an unknown collector: exit code %d", code)
		}
		mustSay(t, "an unknown collector", said, "--config")
		// 10 at 0.10 and 1.25 at 0.05.
		want := &oracle.Expectation{Total: oracle.Rat("1.0625"), Lines: map[string]*oracle.ExpectedLine{"acme calls": {Amount: oracle.Rat("1.0625"), Quantity: oracle.Rat("11.25"), Events: 2}}}
		eventually(t, "the file is billed once", func() error {
			got, err := admin.InvoiceAt("acme", eventTime)
			if err != nil {
				return err
			}
			return want.Differs(got)
		})
	})

	t.Run("rate", func(t *testing.T) {
		at := eventTime.Format(time.RFC3339)
		out := admin.must(t, "rate", "--account", "+49301", "--product", "voice.call", "--quantity", "2", "--time", at)
		mustSay(t, "rate", out, "0.10 EUR", "product_default")
		out, errs, code := admin.command(t, `{"id": "q", "account": "acme", "product": "calls", "quantity": "100", "time": "`+at+`"}`, "rate", "--output", "json")
		var quote struct{ Charge string }
		if err := json.Unmarshal([]byte(out), &quote); err != nil || code != 0 || oracle.Same(quote.Charge, oracle.Rat("5")) != nil {
			t.Errorf("rate from standard input: %d %v %s%s", code, err, out, errs)
		}
		if _, _, code := admin.command(t, "", "rate", "--account", "acme"); code != 2 {
			t.Errorf("rate without a product: exit code %d", code)
		}
	})

	t.Run("rejected", func(t *testing.T) {
		eventually(t, "the call of a stranger is rejected", func() error {
			out := admin.must(t, "rejected", "list")
			if !strings.Contains(out, "account_unknown") || !strings.Contains(out, "+49999") || !strings.Contains(out, "1 of 1 shown") {
				return os.ErrNotExist
			}
			return nil
		})
		admin.must(t, "catalog", "apply", write(t, "more.json", `{"accounts": [{"id": "stranger", "currency": "EUR", "time_zone": "UTC", "identifiers": ["+49999"]}]}`))
		mustSay(t, "retry", admin.must(t, "rejected", "retry", "--reason", "account_unknown"), "1 events tried again")
		mustSay(t, "the list", admin.must(t, "rejected", "list"), "no rejected usage")
		want := &oracle.Expectation{Total: oracle.Rat("0.1"), Lines: map[string]*oracle.ExpectedLine{"stranger calls": {Amount: oracle.Rat("0.1"), Quantity: oracle.Rat("1"), Events: 1}}}
		eventually(t, "billed after the retry", func() error {
			got, err := admin.InvoiceAt("stranger", eventTime)
			if err != nil {
				return err
			}
			return want.Differs(got)
		})
	})

	t.Run("key", func(t *testing.T) {
		var key struct{ ID, Key string }
		if err := json.Unmarshal([]byte(admin.must(t, "key", "create", "--role", "auditor", "--name", "books", "--output", "json")), &key); err != nil {
			t.Fatal(err)
		}
		auditor := newCaller(admin.Address, key.Key)
		auditor.must(t, "catalog", "export")
		if _, said, code := auditor.command(t, "", "catalog", "apply", write(t, "book.yaml", bookYAML)); code != 1 || !strings.Contains(said, "auditor") {
			t.Errorf("an auditor writes: %d %s", code, said)
		}
		mustSay(t, "revoke", admin.must(t, "key", "revoke", key.ID), "revoked "+key.ID)
		if _, _, code := auditor.command(t, "", "catalog", "export"); code != 1 {
			t.Errorf("a revoked key: exit code %d", code)
		}
		mustSay(t, "list", admin.must(t, "key", "list"), key.ID, "revoked")
	})

	t.Run("reconcile", func(t *testing.T) {
		admin.proveReconciled(t, eventTime.Format("2006-01"))
		if _, _, code := admin.command(t, "", "reconcile", "--period", "November"); code != 2 {
			t.Errorf("a wrong period: exit code %d", code)
		}
	})

	t.Run("backtest", func(t *testing.T) {
		month := time.Date(eventTime.Year(), eventTime.Month(), 1, 0, 0, 0, 0, time.UTC)
		args := []string{"--from", month.Format(time.DateOnly), "--to", month.AddDate(0, 1, 0).Format(time.DateOnly), "--output", "csv", "--catalog"}
		live := admin.must(t, "catalog", "export")
		draft := write(t, "draft.yaml", "products: [{id: calls, rates: [{model: volume, tiers: [{up_to: 10, unit_price: 0.10}, {unit_price: 0.06}]}]}]")
		// As it is, 10 at 0.10 and 1.25 at 0.05; under the draft 11.25 at 0.06.
		for file, want := range map[string]string{
			draft: "acme,calls,EUR,2,1.062500000000,0.675000000000,-0.387500000000,-36.47,0,0.000000000000\n" +
				"stranger,calls,EUR,1,0.100000000000,0.100000000000,0.000000000000,0,0,0.000000000000\n",
			write(t, "live.yaml", live): "acme,calls,EUR,2,1.062500000000,1.062500000000,0.000000000000,0,0,0.000000000000\n" +
				"stranger,calls,EUR,1,0.100000000000,0.100000000000,0.000000000000,0,0,0.000000000000\n",
		} {
			eventually(t, "the report store has the usage", func() error {
				out := admin.must(t, append([]string{"backtest"}, append(args, file)...)...)
				if _, rows, _ := strings.Cut(out, "\n"); rows != want {
					return fmt.Errorf("backtest of %s:\n%s, want\n%s", file, out, want)
				}
				return nil
			})
		}
		if now := admin.must(t, "catalog", "export"); now != live {
			t.Errorf("a backtest changed the catalogue:\n%s", now)
		}
		if got, err := admin.InvoiceAt("acme", eventTime); err != nil || oracle.Same(got.Total, oracle.Rat("1.0625")) != nil {
			t.Errorf("a backtest changed the invoice: %+v, %v", got, err)
		}
	})

	t.Run("data directory in use", func(t *testing.T) {
		second := start(t, "a second server", "run", "--data-dir", dir, "--http-addr", freeAddress(t))
		if code := second.wait(); code != 1 {
			t.Errorf("exit code %d", code)
		}
		mustSay(t, "a second server", second.Output(), dir, "in use by process")
	})

	t.Run("no server", func(t *testing.T) {
		nobody := newCaller(freeAddress(t), "x")
		_, said, code := nobody.command(t, "", "reconcile")
		if code != 1 {
			t.Errorf("exit code %d", code)
		}
		mustSay(t, "a command without a server", said, nobody.Address)
	})

	if code := server.stop(); code != 0 {
		t.Errorf("SIGTERM: exit code %d", code)
	}
}

// TestSecondSignalStopsAtOnce asks twice; what was accepted is there at the next start.
func TestSecondSignalStopsAtOnce(t *testing.T) {
	server, admin, dir := embedded(t)
	admin.apply(t, smallCatalog)
	admin.mustAccept(t, event("kept"))
	for range 2 {
		server.Signal(syscall.SIGTERM)
		server.says("tollstream: terminated")
	}
	if code := server.wait(); code != 130 && code != 0 { // 0: it was done before the second signal came
		t.Errorf("exit code %d", code)
	}
	again := start(t, "the server", "run", "--data-dir", dir, "--http-addr", admin.Address)
	again.says("listening on ")
	want := &oracle.Expectation{Total: oracle.Rat("0.5"), Lines: map[string]*oracle.ExpectedLine{"acme calls": {Amount: oracle.Rat("0.5"), Quantity: oracle.Rat("2"), Events: 1}}}
	eventually(t, "what was accepted is billed", func() error {
		got, err := admin.InvoiceAt("acme", eventTime)
		if err != nil {
			return err
		}
		return want.Differs(got)
	})
	if code := again.stop(); code != 0 {
		t.Errorf("SIGTERM: exit code %d", code)
	}
}
