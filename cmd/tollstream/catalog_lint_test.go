package main

import (
	"encoding/json"
	"testing"

	"github.com/tollstream/tollstream/rater/catalog"
)

func TestCatalogLint(t *testing.T) {
	const warned = `
currency: EUR
products: [{id: calls, rates: [{model: per_unit, unit_price: -1}]}]
`
	const refused = `{"currency": "EUR",
"products": [{"id": "calls"}]}`
	for name, tc := range map[string]struct {
		document string
		args     []string
		code     int
		want     string
	}{
		"a warning":               {warned, nil, 0, "standard input:3: warning: products[0].rates[0].unit_price: is below zero"},
		"a warning, strictly":     {warned, []string{"--strict"}, 1, "0 errors, 1 warning, 0 notes"},
		"refused":                 {refused, nil, 1, "standard input:2: error: products[0].rates: is missing"},
		"a reference":             {"contracts: [{id: c, account: a, rate_class: g}]", nil, 1, "does not exist"},
		"a reference, in a part":  {"contracts: [{id: c, account: a, rate_class: g}]", []string{"--partial", "--strict"}, 0, "0 errors, 0 warnings, 0 notes"},
		"nothing odd":             {book, []string{"--strict"}, 0, "0 errors, 0 warnings, 0 notes"},
		"a file that is not YAML": {"a: [", nil, 1, "not valid YAML"},
	} {
		code, out, _ := tollstream(t, nil, tc.document, append([]string{"catalog", "lint", "-"}, tc.args...)...)
		check(t, name, code, tc.code, out, tc.want)
	}
	for name, tc := range map[string]struct {
		list string
		code int
		want string
	}{
		"a warning of a list":    {"product,unit_price\na,1\nb,-1\n", 0, "prices.csv:3: warning: unit_price (column B): is below zero"},
		"a list refused":         {"product,unit_price\na,1\nb,x\n", 1, "prices.csv:3: error: unit_price (column B): must be a decimal number"},
		"a class that may exist": {"level,owner,product,unit_price\ncontract,c,b,1\n", 0, "0 errors, 0 warnings"},
		"a list of nothing":      {"", 1, "has no prices"},
	} {
		code, out, _ := tollstream(t, nil, "", "catalog", "lint", write(t, "prices.csv", tc.list))
		check(t, name, code, tc.code, out, tc.want)
	}
	code, _, stderr := tollstream(t, nil, "", "catalog", "lint", write(t, "prices.xlsx", "x"))
	check(t, "no spreadsheet", code, 1, stderr, "is no spreadsheet")
	code, out, _ := tollstream(t, nil, warned, "catalog", "lint", "-", "-o", "json")
	var found catalog.Findings
	if err := json.Unmarshal([]byte(out), &found); err != nil || code != 0 || len(found.List) != 1 || found.List[0].Rule != "below-zero" || found.List[0].Line != 3 {
		t.Errorf("as JSON: %d, %v: %s", code, err, out)
	}
	code, out, _ = tollstream(t, nil, book, "catalog", "lint", "-", "-o", "json")
	check(t, "nothing as JSON", code, 0, out, `"findings": []`)
}

func TestCatalogSchema(t *testing.T) {
	code, out, _ := tollstream(t, nil, "", "catalog", "schema")
	if check(t, "schema", code, 0, out, "2020-12"); out != string(catalog.Schema()) {
		t.Error("another schema than the server's")
	}
}
