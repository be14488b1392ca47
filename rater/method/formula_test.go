package method_test

import (
	"strings"
	"testing"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/method"
	"github.com/tollstream/tollstream/rater/method/methodtest"
)

func TestFormula(t *testing.T) {
	for _, c := range []struct{ expression, quantity, total, text string }{
		{"quantity * 0.1 + 2", "150", "17", "150 × 0.1 + 2"},
		{"2 + quantity * 0.1", "-150", "-13", "2 + (-150) × 0.1"},
		{"(quantity + 2) * 0.5", "3", "2.5", "(3 + 2) × 0.5"},
		{"quantity - (2 - 1)", "3", "2", "3 - (2 - 1)"},
		{"quantity - 2 - 1", "3", "0", "3 - 2 - 1"},
		{"quantity / 3", "2", "0.666666666667", "2 ÷ 3"},
		{"-quantity / 3", "2", "-0.666666666667", "-2 ÷ 3"},
		{"quantity / 0.000000000002", "0.000000000001", "0.5", "0.000000000001 ÷ 0.000000000002"},
		{"quantity * 0.5", "0.000000000001", "0.000000000001", "0.000000000001 × 0.5"}, // a half, away from zero
		{"quantity * 0.5", "-0.000000000001", "-0.000000000001", "(-0.000000000001) × 0.5"},
		{"quantity * 0.123456789012", "1000000000000000", "123456789012000", "1000000000000000 × 0.123456789012"}, // a float has 17 digits
		{"999999999999.999999999999 + quantity", "0.000000000001", "1000000000000", "999999999999.999999999999 + 0.000000000001"},
		{"1e3 * quantity", "2", "2000", "1000 × 2"},
		{"min(quantity, 100) * 0.1 + max(quantity - 100, 0) * 0.05", "150", "12.5", "min(150, 100) × 0.1 + max(150 - 100, 0) × 0.05"},
		{"quantity > 100 && events >= 7 ? 1 : 2", "100.000000000001", "1", "1"},
		{"quantity > 100 || events != 7 ? 1 : 2", "100", "2", "2"},
		{"!(quantity == 100) ? 1 : quantity * 2", "100", "200", "100 × 2"},
		{"3 * (quantity < 0 ? 0 : quantity + 1)", "4", "15", "3 × (4 + 1)"},
		{"ceil(quantity / 8) * 3", "17", "9", "ceil(17 ÷ 8) × 3"},
		{"floor(quantity, -1) + round(quantity, 1) - ceil(quantity, 0)", "17.25", "9.3", "floor(17.25, -10) + round(17.25, 1) - ceil(17.25, 0)"},
		{"round(quantity)", "-2.5", "-3", "round((-2.5))"},
		{"events", "0", "7", "7"},
	} {
		p, err := method.Formula(c.expression)
		if err != nil {
			t.Errorf("%s: %v", c.expression, err)
			continue
		}
		u := method.Usage{Quantity: money.MustParse(c.quantity), Events: 7}
		total, err := p.Total(u)
		if err != nil || total.String() != c.total {
			t.Errorf("%s of %s is %s, %v; want %s", c.expression, c.quantity, total, err, c.total)
		}
		want := strings.Replace(c.text, "(17.25, -10)", "(17.25, (-1))", 1)
		if terms := p.Terms(u); len(terms) != 1 || terms[0].Text != want || terms[0].Amount != total {
			t.Errorf("%s of %s is told as %v, want %s", c.expression, c.quantity, terms, want)
		}
	}
}

func TestFormulasThatFail(t *testing.T) {
	for expression, quantity := range map[string]string{"1 / quantity": "0", "quantity * quantity": "1000000000000000", "quantity / 0.000000000001": "1000000000000000"} {
		p, err := method.Formula(expression)
		if err != nil {
			t.Fatal(err)
		}
		if total, err := p.Total(method.Usage{Quantity: money.MustParse(quantity), Events: 1}); err == nil {
			t.Errorf("%s of %s is %s", expression, quantity, total)
		}
	}
}

func TestRefusedFormulas(t *testing.T) {
	for expression, want := range map[string]string{
		"":                              "cannot be read at character",
		"quantity *":                    "cannot be read at character",
		"quantity > 1":                  "gives true or false, not an amount",
		"quantity + price":              `at character 12: "price" is not known: known are quantity`,
		"quantity + true":               "at character 12: this is true or false where a number is needed",
		"quantity ? 1 : 2":              "at character 1: this is a number where true or false is needed",
		"quantity > 1 ? 1 : true":       "one side of the condition is a number",
		"quantity + 'a'":                "at character 12: this is a text where a number is needed: compare it",
		"quantity + group.region":       "at character 17: this is a text where a number is needed: compare it",
		"'a'":                           "gives a text, not an amount",
		"group.region":                  "gives a text, not an amount",
		"group":                         "group needs the name of an attribute: write group.NAME",
		"group[0] == 'a' ? 1 : 2":       "this is no part of a formula",
		"group[group.a] == 'a' ? 1 : 2": "this is no part of a formula",
		"days[0] == 'a' ? 1 : 2":        "this is no part of a formula",
		"days.region == 'a' ? 1 : 2":    "this is no part of a formula",
		"group.a.b == 'a' ? 1 : 2":      "this is no part of a formula",
		"has(group.region) ? 1 : 2":     "not known|this is no part of a formula",
		"group.region ? 1 : 2":          "this is a text where true or false is needed",
		"group.region == 1 ? 1 : 2":     "one side of the comparison is a text, the other is none",
		"group.region < 'a' ? 1 : 2":    "this is a text where a number is needed",
		"events > 1 ? 'a' : group.b":    "one side of the condition is a text",
		"min('a', 'b')":                 "this is a text where a number is needed",
		"group.region.size()":           "there are no functions of a value",
		"day * 2":                       `"day" is not known: known are quantity, events, days, group.NAME`,
		"quantity.size()":               "there are no functions of a value",
		"quantity.amount":               "this is no part of a formula",
		"[quantity][0]":                 "this is no part of a formula",
		"[1, 2].map(x, x)":              "there are no functions of a value",
		"quantity % 2":                  `"%" is not known`,
		"pow(quantity, 2)":              `"pow" is not known`,
		"min(quantity)":                 "min needs two numbers or more",
		"round(quantity, 2, 3)":         "round needs a number, and how many decimals",
		"round(quantity, 13)":           "a whole number from -15 to 12",
		"round(quantity, events)":       "a whole number from -15 to 12",
		"quantity / 0.0":                "this divides by zero",
		"0.1234567890123 * quantity":    "at most 12 decimals",
		"1000000000000001 + quantity":   "up to 10^15",
		"0x10 * quantity":               "must be a decimal",
		"10u * quantity":                "this is no number",
		strings.Repeat("1+", 150) + "1": "cannot be read|more than 200 parts",
		strings.Repeat("(", 60) + "1" + strings.Repeat(")", 60): "cannot be read",
		"1" + strings.Repeat(" ", 1000):                         "cannot be read",
	} {
		_, err := method.Formula(expression)
		if err == nil {
			t.Errorf("%.40s is a formula", expression)
			continue
		}
		matched := false
		for _, w := range strings.Split(want, "|") {
			matched = matched || strings.Contains(err.Error(), w)
		}
		if !matched {
			t.Errorf("%.40s: %v, want %s", expression, err, want)
		}
	}
}

// formulas is a method whose parameter is a formula, for the conformance test.
type formulas struct{}

func (formulas) Compile(parameters map[string]string) (method.Price, error) {
	return method.Formula(parameters["expression"])
}

func TestFormulasConform(t *testing.T) {
	methodtest.Run(t, formulas{}, map[string]string{"expression": "quantity > 100 ? min(quantity * 0.05, 80) + ceil(quantity / 8) * events / 3 : round(quantity * 0.1, 2)"})
}

func BenchmarkFormula(b *testing.B) {
	for _, expression := range []string{"quantity * 0.1 + 2", "min(quantity, 100) * 0.1 + max(quantity - 100, 0) * 0.05"} {
		b.Run(expression, func(b *testing.B) {
			p, err := method.Formula(expression)
			if err != nil {
				b.Fatal(err)
			}
			u := method.Usage{Quantity: money.MustParse("150"), Events: 7}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Total(u); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
