package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/price/pricetest"
)

const offlineBook = `
currency: USD
products: [{id: api-calls, rates: [{model: graduated, tiers: [{up_to: 100, unit_price: 0.10}, {unit_price: 0.05}]}]}, {id: sms, rates: [{model: per_unit, unit_price: 0.02}]}]
accounts: [{id: fresh}, {id: other, identifiers: ["+1"]}]
`

func TestRateOffline(t *testing.T) {
	book := write(t, "book.yaml", offlineBook)
	csv := write(t, "usage.csv", "id,account,product,quantity,time,region\na,fresh,api-calls,95,2026-11-21T10:00:00Z,eu\nb,fresh,api-calls,10,2026-11-21T10:00:00Z,us\nc,nobody,sms,1,,\nd,+1,sms,x,,\ne,+1,sms,7,,\n")
	ndjson := write(t, "usage.ndjson", `{"id":"a","account":"fresh","product":"api-calls","quantity":"95"}`+"\n\nnonsense\n"+`{"id":"b","account":"fresh","product":"api-calls","quantity":10}`+"\n")
	array := write(t, "usage.json", `[{"id":"a","account":"fresh","product":"api-calls","quantity":"95"},
		{"id":"b","account":"fresh","product":"api-calls","quantity":"10"}]`)
	for _, c := range []struct {
		args []string
		code int
		out  string
		errs []string
	}{
		{[]string{csv}, 1, "2  fresh  api-calls  9.50 USD  95 × 0.1 = 9.5\n3  fresh  api-calls  0.75 USD  5 × 0.1 + 5 × 0.05 = 0.75\n6  other  sms  0.14 USD  7 × 0.02 = 0.14\n" +
			"ACCOUNT  PRODUCT    EVENTS  QUANTITY  CHARGE\nfresh    api-calls  2       105       10.25 USD\nother    sms        1       7         0.14 USD\n",
			[]string{csv + ":4: account_unknown: ", "define it in the catalogue", csv + ":5: quantity_invalid: "}},
		{[]string{ndjson, "--summary"}, 1, "ACCOUNT  PRODUCT    EVENTS  QUANTITY  CHARGE\nfresh    api-calls  2       105       10.25 USD\n", []string{ndjson + ":3: json_invalid"}},
		{[]string{array, "--summary"}, 0, "ACCOUNT  PRODUCT    EVENTS  QUANTITY  CHARGE\nfresh    api-calls  2       105       10.25 USD\n", nil},
	} {
		code, out, errs := tollstream(t, nil, "", append([]string{"rate", "--offline", "--catalog", book}, c.args...)...)
		if code != c.code || out != c.out {
			t.Errorf("%v: exit code %d\n%s", c.args, code, out)
		}
		for _, part := range c.errs {
			if !strings.Contains(errs, part) {
				t.Errorf("%v: %q lacks %q", c.args, errs, part)
			}
		}
	}
	code, out, _ := tollstream(t, nil, "", "rate", csv, "--offline", "--catalog", book, "-o", "json")
	var answer struct {
		Results []struct {
			Line  int
			Quote *struct {
				Charge      string
				Explanation struct {
					Charge struct{ Equation, Short string }
				}
			}
			Error *struct{ Code string }
		}
		Sums           []struct{ Account, Charge string }
		Events, Errors int
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil || code != 1 || len(answer.Results) != 5 || answer.Events != 3 || answer.Errors != 2 || len(answer.Sums) != 2 {
		t.Fatalf("%d, %v: %s", code, err, out)
	}
	for _, r := range answer.Results {
		if r.Quote == nil {
			continue
		}
		for _, equation := range []string{r.Quote.Explanation.Charge.Equation, r.Quote.Explanation.Charge.Short} {
			if bad := pricetest.Claims(equation, r.Quote.Charge, 0); bad != "" {
				t.Errorf("line %d: %s", r.Line, bad)
			}
		}
	}
	code, out, _ = tollstream(t, nil, "", "rate", "--offline", "--catalog", book, "--account", "fresh", "--product", "sms", "--quantity", "3")
	check(t, "one event", code, 0, out, "0.06 USD", "3 × 0.02 - 0 = 0.06")
	code, _, errs := tollstream(t, nil, "", "rate", "--offline", "--account", "fresh", "--product", "sms")
	check(t, "without a draft", code, 2, errs, "--offline needs --catalog")
	code, _, errs = tollstream(t, nil, "", "rate", csv, "--offline", "--catalog", write(t, "bad.yaml", "products: 3"))
	check(t, "a wrong draft", code, 1, errs, "products", "bad.yaml:1")
}

func TestRateAFileOnTheServer(t *testing.T) {
	w := newWorld(t)
	var file strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&file, `{"id":"e-%d","account":"acme","product":"api-calls","quantity":"1"}`+"\n", i)
	}
	file.WriteString(`{"id":"last","account":"acme","product":"nothing"}` + "\n")
	name := write(t, "usage.ndjson", file.String())
	code, out, errs := w.tollstream(t, "", "rate", name, "--summary")
	check(t, "a file", code, 1, out, "acme     api-calls  3000    3000      155.00 USD") // 100 × 0.10 + 2900 × 0.05
	check(t, "its errors", code, 1, errs, name+":3001: product_unknown")
	draft := write(t, "draft.yaml", "products: [{id: api-calls, rates: [{model: per_unit, unit_price: 1}]}]")
	code, out, _ = w.tollstream(t, "id,account,product,quantity\na,acme,api-calls,3\n", "rate", "-", "--catalog", draft, "--fresh")
	check(t, "under a draft, CSV from standard input", code, 0, out, "2  acme  api-calls  3.00 USD  3 × 1 = 3")
	code, _, errs = w.tollstream(t, "", "rate", name, "--catalog", write(t, "bad.yaml", "products: 3"))
	check(t, "under a wrong draft", code, 1, errs, "bad.yaml:1: products")
	mapping := write(t, "collector.yaml", "source: {type: upload}\nformat: {delimiter: ';'}\nmapping: {id: {from: call}, account: {value: acme}, product: {value: api-calls}, quantity: {from: seconds}}\n")
	code, out, _ = w.tollstream(t, "call;seconds\nx;4\n", "rate", "-", "--collector", mapping)
	check(t, "by a collector's mapping", code, 0, out, "2  acme  api-calls  0.40 USD")
}

func TestExplain(t *testing.T) {
	w := newWorld(t)
	for _, quantity := range []string{"95", "10"} {
		e := usage.Event{ID: "e-" + quantity, Source: "gw", Account: "acme", Product: "api-calls", Quantity: money.MustParse(quantity), Time: noon.UnixNano()}
		if _, reason := w.log.Add(e, rater.Invoiced{}); reason != "" {
			t.Fatal(reason)
		}
	}
	code, out, _ := w.tollstream(t, "", "explain", "0-1-0")
	check(t, "an activity", code, 0, out, "0.75 USD", "e-10 gw", "(100 × 0.1 + 5 × 0.05) - 95 × 0.1 = 0.75", "tier 2: above 100: 5 × 0.05 = 0.25", "answered    product_default")
	code, out, _ = w.tollstream(t, "", "explain", "0-1-0", "-o", "json")
	var x struct{ Equation, Charge string }
	if err := json.Unmarshal([]byte(out), &x); err != nil || code != 0 || pricetest.Claims(x.Equation, x.Charge, 0) != "" {
		t.Errorf("%d, %v: %s", code, err, out)
	}
	line := w.prices.Use("acme", "api-calls", "105", noon)
	code, out, _ = w.tollstream(t, "", "explain", "--account", "acme", "--line", line.Line.String())
	check(t, "a line", code, 0, out, "10.25 USD", "100 × 0.1 + 5 × 0.05 = 10.25", "tier 1: up to 100: 100 × 0.1 = 10", "tier 2: above 100: 5 × 0.05 = 0.25")
	w.prices.Apply("products: [{id: shared, group_by: [region], rates: [{model: graduated, pool: account, tiers: [{up_to: 100, unit_price: 0.10}, {unit_price: 0.05}]}]}]")
	for i, region := range []string{"eu", "us"} {
		e := usage.Event{ID: region, Source: "gw", Account: "acme", Product: "shared", Quantity: money.MustParse("60"), Time: noon.UnixNano() + int64(i), Attributes: []usage.Attribute{{Name: "region", Value: region}}}
		if _, reason := w.log.Add(e, rater.Invoiced{}); reason != "" {
			t.Fatal(reason)
		}
	}
	code, out, _ = w.tollstream(t, "", "explain", "0-3-0")
	check(t, "a line that shares its tiers", code, 0, out, "(100 × 0.1 + 20 × 0.05) - 60 × 0.1 = 5", "0.00 USD → 5.00 USD", "tiers are shared by all usage of shared of account acme",
		"before: 60 in tier 1: up to 100, which costs 6.00 USD", "after: 120 in tier 2: above 100, which costs 11.00 USD")
	code, _, errs := w.tollstream(t, "", "explain", "0-7-0")
	check(t, "an unknown activity", code, 1, errs, "0-7-0", "report store")
	code, _, errs = w.tollstream(t, "", "explain", "--line", "x")
	check(t, "a line of nobody", code, 2, errs, "--account and --line")
}
