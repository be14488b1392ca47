package catalog

import (
	"fmt"
	"strings"
	"testing"
)

// TestDocumentForms: JSON and YAML, as programs save them, within bounds.
func TestDocumentForms(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	inside := func(n int) string { return strings.Repeat("{a: ", n) + "1" + strings.Repeat("}", n) }
	var long strings.Builder
	long.WriteString("currency: EUR\nrate_classes:\n")
	for i := range 6_000 {
		fmt.Fprintf(&long, " - {id: c%d}\n", i)
	}
	for name, c := range map[string]struct{ file, text, want string }{
		"YAML":                           {"x.yaml", "currency: EUR", ""},
		"YAML behind a byte order mark":  {"x.yaml", "\ufeffcurrency: EUR", ""},
		"JSON behind a byte order mark":  {"x.json", "\ufeff{\"currency\": \"EUR\"}", ""},
		"JSON with tabs, by any name":    {"x.yaml", "\n \t{\n\t\"currency\":\n\t\t\"EUR\"}\n", ""},
		"braces that are YAML":           {"x.yaml", "{currency: EUR}", ""},
		"JSON that is YAML":              {"x.JSON", "currency: EUR", "x.JSON:1: not valid JSON: invalid character 'c' looking for beginning of value"},
		"numbers of JSON":                {"x.json", `{"accounts": [{"id": "a", "currency": "EUR", "terms_days": 9, "cycle": {"anchor_day": 19}}]}`, ""},
		"JSON that ends early":           {"x.json", "{\"currency\":\n\"EUR\",\n", "x.json:3: not valid JSON: unexpected end of JSON input"},
		"nothing":                        {"x.yaml", "", "x.yaml: is empty"},
		"a comment":                      {"x.yaml", "# nothing\n", "x.yaml: is empty"},
		"a name that is a list":          {"x.yaml", "currency: EUR\n? [x]\n: 2\n", "x.yaml:2: a member's name must be plain text"},
		"nothing where something may be": {"x.yaml", "currency: ~\nseller: {name: }\nproducts:\n", ""},
		"lists, as deep as may be":       {"x.yaml", "rate_classes: " + nested(31), "x.yaml:1: rate_classes[0]: must be an object, not a list"},
		"lists, deeper":                  {"x.yaml", "rate_classes: " + nested(33), "x.yaml:1: it is nested deeper than 32 levels"},
		"JSON, as deep as may be":        {"x.json", `{"rate_classes": ` + nested(31) + "}", "x.json:1: rate_classes[0]: must be an object, not a list"},
		"JSON, deeper":                   {"x.json", `{"rate_classes": ` + nested(32) + "}", "x.json:1: not valid JSON: it is nested deeper than 32 levels"},
		"objects, deeper":                {"x.yaml", inside(33), "x.yaml:1: it is nested deeper than 32 levels"},
		"objects, as deep as may be":     {"x.yaml", inside(32), "x.yaml:1: a: is not known here: known are currency, seller, products, rate_classes, packages, accounts, contracts, delete, tax_rules, exchange_rates, dunning_flows, campaigns"},
		"many definitions":               {"x.yaml", long.String(), ""},
	} {
		got := ""
		if _, err := ParseDocument(c.file, []byte(c.text)); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %s\nwant %s", name, got, c.want)
		}
	}
}

// TestTypedNumbers: what people type for a number, under the mark of their file, as a document has it; or what is in doubt about it.
func TestTypedNumbers(t *testing.T) {
	const other = " has another decimal mark than the other numbers of the file, which write "
	for _, c := range []struct {
		text      string
		mark      decimalMark
		pointOnly bool
		want      string
	}{
		{"12", 0, false, "12"}, {"+12", 0, false, "12"}, {"-12", ',', false, "-12"}, {"9", 0, false, "9"}, {"1e3", 0, false, "1e3"}, {"1E-3", ',', false, "1E-3"},
		// Groups of thousands by spaces and quotes of all kinds, between digits and in threes.
		{"1 000", 0, false, "1000"}, {"12'345'678", 0, false, "12345678"}, {"1\u00a0000", 0, false, "1000"}, {"1\u202f000", 0, false, "1000"}, {"1’000,5", ',', false, "1000.5"},
		{"9 999 999", 0, false, "9999999"}, {"1 000.25", '.', false, "1000.25"}, {"a 000", 0, false, "a 000"}, {" 000", 0, false, " 000"},
		{"1 00", 0, false, "1 00"}, {"1 0000", 0, false, "1 0000"}, {"1 a00", 0, false, "1 a00"}, {"1 0a0", 0, false, "1 0a0"}, {"1 00a", 0, false, "1 00a"}, {"1 :00", 0, false, "1 :00"}, {"1 /00", 0, false, "1 /00"},
		{"1 000a", 0, false, "1000a"}, {"-1 000", 0, false, "-1000"},
		// A point or comma before three digits is one or the other.
		{"1.234", '.', false, "1.234"}, {"1.234", ',', false, "1234"}, {"1,234", '.', false, "1234"}, {"1,234", ',', false, "1.234"}, {"-999,999", '.', false, "-999999"},
		{"1.234", 0, true, "1.234"}, // commas stand between the cells
		{"1.234", 0, false, "could be 1234 or 1.234: write it without a separator of thousands, or with another decimal such as 1.2340"},
		{"1,234", 0, true, "could be 1234 or 1.234: write it without a separator of thousands, or with another decimal such as 1,2340"},
		{"1,234", ',', true, "1.234"}, {"1.234", ',', true, "1234"},
		// What says its mark by itself.
		{"0,5", 0, false, "0.5"}, {"0.5", 0, false, "0.5"}, {"1.234.567", 0, false, "1234567"}, {"1,234.5", 0, false, "1234.5"}, {"1.234,5", 0, false, "1234.5"}, {"+0,5", ',', false, "0.5"},
		{"0,5", '.', false, "0,5" + other + ".: use one of them"}, {"0.5", ',', false, "0.5" + other + ",: use one of them"},
		{"much", 0, false, "much"}, {"", '.', false, ""}, {"1.2.3", 0, false, "1.2.3"},
	} {
		text, doubt := number(c.text, c.mark, c.pointOnly)
		got := text
		switch {
		case strings.HasPrefix(doubt, "has"):
			got = text + " " + doubt
		case doubt != "":
			got = doubt
		}
		if got != c.want {
			t.Errorf("%q under %q: %q, want %q", c.text, string(rune(c.mark)), got, c.want)
		}
	}
	// What a whole file of CSV says of its own form.
	for text, want := range map[string]string{
		"sep=;\nproduct;model\nf;x\n": "2 product|model 3 f|x", "sep=ab\nproduct,model\n": "1 sep=ab 2 product|model", "sep=\nproduct,model\n": "1 sep= 2 product|model",
		"a;b,c\nd;e,f\n": "1 a;b|c 2 d;e|f", "a;b;c,d\n": "1 a|b|c,d", "x\n": "1 x", ";\n": "1 |",
	} {
		got := ""
		s, err := ParseCSV("x.csv", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range s.Rows {
			var cells []string
			for _, c := range row.Cells {
				cells = append(cells, c.Text)
			}
			got += fmt.Sprintf(" %d %s", row.Line, strings.Join(cells, "|"))
		}
		if got != " "+want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	if _, err := ParseCSV("x.csv", []byte("sep=;\na;b\nc;\"d\n")); err == nil || !strings.HasPrefix(err.Error(), "x.csv:3: cannot be read as CSV") {
		t.Error(err)
	}
	for text, want := range map[string]string{"'": "'", "'x": "'x", "'=x": "=x", "''": "'", "x'=": "x'=", "": ""} {
		if got := plainText(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{"1e400": "1" + strings.Repeat("0", 400), "1e-400": "0." + strings.Repeat("0", 399) + "1", "1e401": "", "1e-401": "", "1ex": ""} {
		if got, ok := storedNumber(text); ok != (want != "") || ok && got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
	// The first day after the one that there was not, and the last that is taken for a day.
	for text, want := range map[string]string{"61": "1900-03-01", "60": "", "200000": "2447-07-30", "200001": "", "1e2x": "", "100.5": ""} {
		if got, ok := serialDate(text, false); ok != (want != "") || ok && got != want {
			t.Errorf("day %s: %s", text, got)
		}
	}
}
