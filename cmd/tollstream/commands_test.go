package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tollstream/tollstream/api"
)

// check compares an exit code and looks for words.
func check(t *testing.T, what string, code, want int, text string, words ...string) {
	t.Helper()
	if code != want {
		t.Errorf("%s: exit code %d, want %d", what, code, want)
	}
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%s: %q lacks %q", what, text, word)
		}
	}
}

func TestCatalogApply(t *testing.T) {
	w := newWorld(t)
	file := write(t, "catalog.yaml", book)
	w.applied = api.Applied{Seq: 5, Changes: []api.Change{
		{Action: "created", Kind: "product", ID: "api-calls"}, {Action: "changed", Kind: "account", ID: "acme", Fields: []string{"name", "cycle"}, Note: "billing from 2026-12-01"},
	}}
	code, out, _ := w.tollstream(t, "", "catalog", "apply", file)
	check(t, "apply", code, 0, out, "created product api-calls\n", "changed account acme: name, cycle (billing from 2026-12-01)\n", "2 changes, definitions 5")
	if d := w.documents[0]; string(d.Body) != book || d.Format != api.FormatYAML {
		t.Errorf("the server got %s: %s", d.Format, d.Body)
	}
	code, out, _ = w.tollstream(t, "", "catalog", "diff", file)
	check(t, "diff", code, 0, out, "changed account acme: name, cycle (billing from 2026-12-01)\n2 definitions would change, nothing was written")
	code, _, _ = w.tollstream(t, "", "catalog", "diff", "--exit-code", file)
	check(t, "diff --exit-code", code, 1, "")
	code, out, _ = w.tollstream(t, "", "catalog", "apply", file, "-o", "json")
	var applied api.Applied
	if err := json.Unmarshal([]byte(out), &applied); err != nil || code != 0 || len(applied.Changes) != 2 {
		t.Errorf("apply as JSON: %d, %v: %s", code, err, out)
	}
	w.applied.Changes = nil
	code, out, _ = w.tollstream(t, `{"currency": "USD"}`, "catalog", "apply", "-")
	check(t, "apply again", code, 0, out, "nothing to change")
	if d := w.documents[len(w.documents)-1]; d.Format != api.FormatJSON {
		t.Errorf("JSON from standard input went as %s", d.Format)
	}
	code, _, _ = w.tollstream(t, "", "catalog", "diff", "--exit-code", file)
	check(t, "diff --exit-code without changes", code, 0, "")
}

func TestPriceListsAreSentAsSuch(t *testing.T) {
	w := newWorld(t)
	for name, want := range map[string]api.Format{"prices.csv": api.FormatCSV, "Prices.XLSX": api.FormatXLSX, "prices.json": api.FormatJSON} {
		for _, command := range []string{"apply", "diff"} {
			code, _, stderr := w.tollstream(t, "", "catalog", command, write(t, name, "product,unit_price\nf,1\n"))
			check(t, name, code, 0, stderr)
			if d := w.documents[len(w.documents)-1]; d.Format != want {
				t.Errorf("%s %s was sent as %s", command, name, d.Format)
			}
		}
	}
	code, _, stderr := w.tollstream(t, "", "rate", "--catalog", "prices.csv", "--account", "acme", "--product", "x")
	check(t, "rate with a price list", code, 2, stderr, "not the price list prices.csv")
}

func TestCatalogErrorsNameFileAndLine(t *testing.T) {
	w := newWorld(t)
	file := write(t, "catalog.yaml", "products: 3")
	w.applyErr = api.DocumentErrors{{Path: "products", Line: 1, Message: "must be a list"}, {Path: "currency", Message: "is missing"}}
	code, out, stderr := w.tollstream(t, "", "catalog", "apply", file)
	check(t, "a wrong document", code, 1, stderr, file+":1: products: must be a list", file+": currency: is missing", "nothing was changed")
	if out != "" {
		t.Errorf("stdout %q", out)
	}
	code, _, stderr = w.tollstream(t, "products: 3", "catalog", "apply", "-")
	check(t, "from standard input", code, 1, stderr, "standard input:1: products")
	w.applyErr = api.ErrUnavailable
	code, _, stderr = w.tollstream(t, "", "catalog", "apply", file)
	check(t, "a store that is away", code, 1, stderr, "run the command again")
}

func TestCatalogExport(t *testing.T) {
	w := newWorld(t)
	for args, want := range map[string]string{"": "yaml", "--format json": "json", "-o json": "json", "--format csv": "csv", "--format xlsx -o json": "xlsx"} {
		code, out, _ := w.tollstream(t, "", append([]string{"catalog", "export"}, strings.Fields(args)...)...)
		check(t, "export "+args, code, 0, out, "catalogue in "+want+"\n")
	}
	folder := t.TempDir()
	file := filepath.Join(folder, "catalog.json")
	for range 2 { // the second replaces the first
		code, out, stderr := w.tollstream(t, "", "catalog", "export", file)
		check(t, "export to a file", code, 0, out+stderr)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "catalogue in json\n" {
		t.Errorf("the file holds %q: %v", text, err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	prices := filepath.Join(folder, "prices.XLSX")
	code, _, _ := w.tollstream(t, "", "catalog", "export", prices)
	if text, err := os.ReadFile(prices); err != nil || code != 0 || string(text) != "catalogue in xlsx\n" {
		t.Errorf("the file holds %q: %v", text, err)
	}
	code, _, stderr := w.tollstream(t, "", "catalog", "export", filepath.Join(folder, "missing", "x.yaml"))
	check(t, "export to nowhere", code, 1, stderr, "missing")
}

const rows = "id,account\n1,acme\n2,acme\n"

func TestCollect(t *testing.T) {
	w := newWorld(t)
	file := write(t, "calls.csv", rows)
	code, out, stderr := w.tollstream(t, "", "collect", "calls", file)
	check(t, "collect", code, 0, out, file+": done, 3 rows: 3 accepted, 0 bad")
	if w.files["calls.csv"] != rows || stderr != "" {
		t.Errorf("the server got %q; stderr %q, want no bar where nobody looks", w.files["calls.csv"], stderr)
	}
	code, _, _ = w.tollstream(t, rows, "collect", "calls", "-", "--backfill")
	check(t, "collect from standard input", code, 0, "")
	if w.files["standard-input"] != rows || !w.upload.Backfill {
		t.Errorf("the server got %q, %+v", w.files["standard-input"], w.upload)
	}
	config := write(t, "collector.yaml", "format: {type: delimited}\n")
	code, _, stderr = w.tollstream(t, "", "collect", "new", file)
	check(t, "an unknown collector", code, 1, stderr, "--config collector.yaml")
	code, _, _ = w.tollstream(t, "", "collect", "new", file, "--config", config)
	check(t, "with its configuration", code, 0, "")
	if string(w.configs["new"].Body) != "format: {type: delimited}\n" {
		t.Errorf("configurations %v", w.configs)
	}
	w.applyErr = api.DocumentErrors{{Path: "mapping", Line: 1, Message: "is missing"}}
	code, _, stderr = w.tollstream(t, "", "collect", "new", file, "--config", config)
	check(t, "with a wrong configuration", code, 1, stderr, config+":1: mapping: is missing")
	code, _, stderr = w.tollstream(t, "", "collect", "calls", "no-such-file.csv")
	check(t, "no such file", code, 1, stderr, "no-such-file.csv")
}

func TestCollectBadRows(t *testing.T) {
	w := newWorld(t)
	file := write(t, "calls.csv", rows)
	w.run = api.Run{ID: "7", State: "done", Rows: 3, Accepted: 1, Bad: 2, BadRows: []api.BadRow{{Line: 3, Code: "quantity_invalid", Reason: `quantity "x"`}}}
	code, out, _ := w.tollstream(t, "", "collect", "calls", file)
	check(t, "bad rows", code, 0, out, file+`:3: quantity_invalid: quantity "x"`, "1 more bad rows")
	code, out, stderr := w.tollstream(t, "", "collect", "calls", file, "--strict")
	check(t, "bad rows, strictly", code, 1, out+stderr, "1 accepted, 2 bad", "has 2 bad rows")
	w.run = api.Run{ID: "7", State: "failed", Rows: 2, Accepted: 2, Error: "the broker is away"}
	code, out, stderr = w.tollstream(t, "", "collect", "calls", file)
	check(t, "a failed run", code, 1, out+stderr, "failed, 2 rows", "the broker is away", "run the same command again")
}

// A server may keep the file and go on by itself; the command waits for its end.
func TestCollectWaits(t *testing.T) {
	w := newWorld(t)
	w.run = api.Run{ID: "7", State: "running"}
	w.runs = []api.Run{{ID: "7", State: "running", Rows: 1}, {ID: "7", State: "done", Rows: 2, Accepted: 2}}
	code, out, _ := w.tollstream(t, "", "collect", "calls", write(t, "calls.csv", rows), "-o", "json")
	var run api.Run
	if err := json.Unmarshal([]byte(out), &run); err != nil || code != 0 || run.State != "done" || run.Accepted != 2 {
		t.Errorf("exit code %d, %v: %s", code, err, out)
	}
	w.runs = nil
	code, _, stderr := w.tollstream(t, "", "collect", "calls", write(t, "calls.csv", rows))
	check(t, "a run that is gone", code, 1, stderr, "not in its history")
}

func TestRate(t *testing.T) {
	w := newWorld(t)
	code, out, stderr := w.tollstream(t, "", "rate", "--account", "acme", "--product", "api-calls", "--quantity", "150", "-k", "region=eu")
	// 100 × 0.10 + 50 × 0.05
	check(t, "rate: "+stderr, code, 0, out, "charge      12.50 USD", "100 × 0.1 + 50 × 0.05 = 12.5", "answered    product_default", "0.00 USD → 12.50 USD")
	code, out, _ = w.tollstream(t, `{"id": "e", "account": "acme", "product": "api-calls", "quantity": 1}`, "rate", "-o", "json")
	var quote struct {
		Charge      string
		Explanation struct{ Asked []struct{ Answered bool } }
	}
	if err := json.Unmarshal([]byte(out), &quote); err != nil || code != 0 || quote.Charge != "0.100000000000" || len(quote.Explanation.Asked) == 0 {
		t.Errorf("exit code %d, %v: %s", code, err, out)
	}
	code, _, stderr = w.tollstream(t, "", "rate", "--account", "acme", "--product", "nothing")
	check(t, "an unknown product", code, 1, stderr, `product "nothing"`)
	code, _, stderr = w.tollstream(t, "", "rate", "--account", "acme", "--product", "api-calls", "--quantity", "many")
	check(t, "a wrong quantity", code, 1, stderr, "not a decimal number")
}

func TestRejected(t *testing.T) {
	w := newWorld(t)
	code, out, _ := w.tollstream(t, "", "rejected", "list")
	check(t, "none", code, 0, out, "no rejected usage")
	w.rejected = rejectedEvents(2500)
	code, out, _ = w.tollstream(t, "", "rejected", "list", "--limit", "2")
	check(t, "two", code, 0, out, "REASON", "no_rate  gw      e-0", "e-1", "2 of 2500 shown: 2500 no_rate")
	if strings.Contains(out, "e-2 ") {
		t.Errorf("more than asked for: %s", out)
	}
	for limit, want := range map[string]int{"0": 2500, "1500": 1500} {
		code, out, _ = w.tollstream(t, "", "rejected", "list", "--limit", limit, "-o", "json")
		var page api.RejectedPage
		if err := json.Unmarshal([]byte(out), &page); err != nil || code != 0 || len(page.Data) != want || page.Data[want-1].Quantity.String() != "1" {
			t.Errorf("limit %s: exit code %d, %d events, %v", limit, code, len(page.Data), err)
		}
	}
	code, out, _ = w.tollstream(t, "", "rejected", "list", "--reason", "too_old")
	check(t, "a filter", code, 0, out, "no rejected usage")
	code, out, _ = w.tollstream(t, "", "rejected", "retry", "--reason", "no_rate", "--product", "x")
	check(t, "retry", code, 0, out, "3 events tried again")
	if want := (api.RejectedFilter{Reason: "no_rate", Product: "x"}); w.retried != want {
		t.Errorf("retried %+v", w.retried)
	}
	code, out, _ = w.tollstream(t, "", "rejected", "skip", "--partition", "3", "--offset", "18231", "--index", "2")
	check(t, "skip", code, 0, out, "partition 3 passes over event 2 of offset 18231")
	if want := (api.EventPlace{Partition: 3, Offset: 18231, Index: 2}); w.skipped != want {
		t.Errorf("skipped %+v", w.skipped)
	}
}

func TestReconcile(t *testing.T) {
	w := newWorld(t)
	w.reconciled = api.Reconciliation{Agrees: true, Partitions: []api.ReconciledPartition{{Partition: 0, Accepted: 5, Rated: 5, Agrees: true}}}
	code, out, _ := w.tollstream(t, "", "reconcile", "--period", "2026-10")
	check(t, "agrees", code, 0, out, "2026-10 agrees", "ok")
	code, _, stderr := w.tollstream(t, "", "reconcile", "--period", "2026-10", "--deep")
	check(t, "deep where the server is not", code, 1, stderr, "does not walk the rated topic")
	w.reconciled = api.Reconciliation{Difference: "partition 0, offset 17: charged 1, lines 2", Partitions: []api.ReconciledPartition{{Accepted: 5, Rated: 4}}}
	code, out, stderr = w.tollstream(t, "", "reconcile", "--period", "2026-10")
	check(t, "differs", code, 1, out+stderr, "DIFFERS", "2026-10 does not agree: partition 0, offset 17")
	code, out, _ = w.tollstream(t, "", "reconcile", "--period", "2026-10", "-o", "json")
	check(t, "differs, as JSON", code, 1, out, `"agrees": false`, `"deep": false`)
}

func TestKeys(t *testing.T) {
	w := newWorld(t)
	code, out, _ := w.tollstream(t, "", "key", "create", "--role", "ingest", "--name", "gateway-7")
	check(t, "create", code, 0, out, "key: ts_", "id: ")
	made := w.keys[1]
	if made.Name != "gateway-7" || made.Role != api.RoleIngest {
		t.Errorf("made %+v", made)
	}
	code, out, _ = w.tollstream(t, "", "key", "list")
	check(t, "list", code, 0, out, "gateway-7", "active", "never")
	code, out, _ = w.tollstream(t, "", "key", "revoke", made.ID)
	check(t, "revoke", code, 0, out, "revoked "+made.ID+" (gateway-7, ingest)")
	code, out, _ = w.tollstream(t, "", "key", "list")
	check(t, "list afterwards", code, 0, out, "revoked 2026-11-21")
	code, _, stderr := w.tollstream(t, "", "key", "revoke", "nobody")
	check(t, "revoke what is not there", code, 1, stderr, `key "nobody"`)
	code, out, _ = w.tollstream(t, "", "key", "create", "--role", "auditor", "-o", "json")
	var answer api.NewKeyAnswer
	if err := json.Unmarshal([]byte(out), &answer); err != nil || code != 0 || !strings.HasPrefix(answer.Token, "ts_") || answer.Name != "auditor key" {
		t.Errorf("exit code %d, %v: %s", code, err, out)
	}
}
