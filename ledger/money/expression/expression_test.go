package expression

import (
	"errors"
	"strings"
	"testing"

	"github.com/tollstream/tollstream/ledger/money"
)

// values are an input: v.NAME and v["NAME"] are its texts, v[1] is one, n is a number.
type values map[string]string

var language = &Language[values]{
	Called: "a test", Known: "known are n and v.NAME",
	Name: func(name string) (n Node[values], message string, ok bool) {
		switch name {
		case "n":
			return Number(func(values) money.Decimal { return money.FromInt(7) }), "", true
		case "v":
			return n, "v needs a name", true
		}
		return n, "", false
	},
	Member: func(of, name string, number int) (n Node[values], message string, ok bool) {
		if number == 1 {
			name = "first"
		}
		return Text(func(v values) string { return v[name] }), "", of == "v"
	},
	Parse: func(_ values, text string) (money.Decimal, error) {
		d, err := money.Parse(text)
		if err != nil {
			return d, errors.New("no number")
		}
		return d, nil
	},
}

// result is what an expression gives, as a text with its kind.
func result(source string, v values) (string, error) {
	n, err := Compile(source, language)
	if err != nil {
		return "", err
	}
	switch {
	case n.Truth != nil:
		truth, err := n.Truth(v)
		if truth {
			return "true", err
		}
		return "false", err
	case n.Number != nil:
		d, err := n.Number(v)
		return d.String(), err
	}
	text, err := n.Text(v)
	return `"` + text + `"`, err
}

func TestTexts(t *testing.T) {
	v := values{"a": "Äpfel 12", "b": "", "x": "1.25", "first": "one", "call id": "k-7", "big": "1000000000000000"}
	for source, want := range map[string]string{
		`v.a`:                      `"Äpfel 12"`,
		`v["call id"]`:             `"k-7"`,
		`v[1]`:                     `"one"`,
		`v.a + "/" + v.x`:          `"Äpfel 12/1.25"`,
		`v.b + v.b`:                `""`,
		`v.a.lower()`:              `"äpfel 12"`,
		`upper(v.a)`:               `"ÄPFEL 12"`,
		`(" " + v.x + " ").trim()`: `"1.25"`,
		`v.a.replace("p", "")`:     `"Äfel 12"`,
		`v.a.substring(6)`:         `"12"`,
		`v.a.substring(0, 1)`:      `"Ä"`, // characters, not bytes
		`v.a.substring(8)`:         `""`,
		`v.a.size() * 2`:           `16`,
		`size(v.b)`:                `0`,
		`v.a.contains("fel")`:      `true`,
		`v.a.contains("Fel")`:      `false`,
		`v.a.startsWith("Ä") && v.a.endsWith("12")`:  `true`,
		`v.a.matches("^\\S+ [0-9]{2}$")`:             `true`,
		`v.a.matches("^[0-9]")`:                      `false`,
		`v.x in ["1.24", "1.25"]`:                    `true`,
		`!(v.b in ["a"]) && v.a != v.b`:              `true`,
		`decimal(v.x) / 3`:                           `0.416666666667`,
		`decimal(v.big) + 0.000000000001 - 1`:        `999999999999999.000000000001`, // a float has 17 digits
		`text(decimal(v.x) * 2)`:                     `"2.5"`,
		`text(n) + "x"`:                              `"7x"`,
		`v.b == "" ? "none" : v.b`:                   `"none"`,
		`v.b == "" ? n : decimal(v.b)`:               `7`, // the other side is not worked out
		`v.b != "" && decimal(v.b) > 1`:              `false`,
		`decimal(v.x) > 1 ? v.a.size() > 3 : true`:   `true`,
		`round(decimal(v.x), 1) == 1.3 ? "a" : "b"`:  `"a"`,
		`decimal("-0.000000000001") < 0 ? "-" : "+"`: `"-"`,
	} {
		if got, err := result(source, v); err != nil || got != want {
			t.Errorf("%s is %s, %v; want %s", source, got, err, want)
		}
	}
}

func TestTextsThatFail(t *testing.T) {
	v := values{"a": "abc", "long": strings.Repeat("ab", 20_000)}
	for source, says := range map[string]string{
		`decimal(v.b)`:                     "no number",
		`decimal(v.a) > 1`:                 "no number",
		`text(decimal(v.a))`:               "no number",
		`v.b in ["a"] || decimal(v.b) > 1`: "no number",
		`decimal(v.a) > 1 ? "a" : "b"`:     "no number",
		`text(decimal(v.a)) == "1"`:        "no number",
		`"1" == text(decimal(v.a))`:        "no number",
		`text(decimal(v.a)).size()`:        "no number",
		`"x" + text(decimal(v.a))`:         "no number",
		`text(decimal(v.a)).lower()`:       "no number",
		`text(1 / size(v.b))`:              "zero",
		`v.a.substring(4)`:                 "has 3 characters",
		`v.a.substring(2, 1)`:              "has 3 characters",
		`v.a.substring(0, 4)`:              "has 3 characters",
		`v.a.replace(v.b, "x")`:            "replaces nothing",
		`v.long + v.long`:                  "more than 65536 bytes",
		`v.long.replace("a", "xyz")`:       "more than 65536 bytes",
	} {
		if got, err := result(source, v); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s is %s, %v; want %s", source, got, err, says)
		}
	}
	if got, err := result(`v.long.replace("a", "xy").size()`, v); err != nil || got != "60000" {
		t.Errorf("%s %v", got, err)
	}
}

func TestRefused(t *testing.T) {
	for source, says := range map[string]string{
		"":                                  "cannot be read at character",
		"w":                                 `at character 1: "w" is not known: known are n and v.NAME`,
		"v":                                 "v needs a name",
		"v[0]":                              "this is no part of a test",
		"v[n]":                              "this is no part of a test",
		"v.a.b":                             "this is no part of a test",
		"n.a":                               "this is no part of a test",
		"v.a.reverse()":                     `"reverse" is no function of a text`,
		"v.a.min(1)":                        `"min" is no function of a text`,
		"v.a + 1":                           "this is a text where a number is needed",
		"1 + v.a":                           "this is a text where a number is needed",
		"v.a == 1":                          "one side of the comparison is a text",
		"v.a < v.b":                         "this is a text where a number is needed",
		"v.a ? 1 : 2":                       "this is a text where true or false is needed",
		"n > 1 ? v.a : 1":                   "one side of the condition is a text",
		"lower(1)":                          "lower needs a text; text(number) makes one",
		"decimal(1)":                        "decimal needs a text",
		"text(v.a)":                         "text needs a number",
		"lower()":                           "lower has 0 arguments here, and needs 1",
		"v.a.lower(v.b)":                    "lower has 2 arguments here",
		"v.a.substring(v.b)":                "substring needs whole numbers",
		"v.a.substring(n)":                  "substring needs whole numbers from 0, written",
		"v.a.substring(-1)":                 "substring needs whole numbers from 0",
		"v.a.substring(0.5)":                "substring needs whole numbers from 0",
		"v.a.matches(v.b)":                  "stands in quotes",
		"v.a.matches('(')":                  "missing closing",
		"v.a.matches('(?=a)')":              "invalid",
		"v.a in v.b":                        "in looks for a text in a list",
		"n in ['7']":                        "in looks for a text in a list",
		"v.a in [1]":                        "the list of in has texts",
		"v.a in ['']":                       "none of them empty",
		"['a', 'b']":                        "this is no part of a test",
		"[v.a].exists(x, x == v.b)":         `"exists" is no function of a text`,
		"v.a.lower().upper(":                "cannot be read",
		strings.Repeat("v.a+", 150) + "v.a": "cannot be read|more than 200 parts",
	} {
		_, err := Compile(source, language)
		matched := false
		for s := range strings.SplitSeq(says, "|") {
			matched = matched || err != nil && strings.Contains(err.Error(), s)
		}
		if !matched {
			t.Errorf("%.40s: %v, want %s", source, err, says)
		}
	}
}

func TestWritten(t *testing.T) {
	n, err := Compile(`v.x in ["1"] || v.a.lower() + v.x == "y" ? decimal(v.x) * (n + 1) : 0`, language)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	n.Write(&b, values{"x": "1"}, 0)
	if b.String() != `decimal("1") × (7 + 1)` {
		t.Error(b.String())
	}
}

func FuzzCompile(f *testing.F) {
	for _, s := range []string{`v.a.substring(1, 2) + "x"`, `decimal(v["a b"]) / 3 > n ? v[1] : "z"`, `v.a in ["b"] && v.a.matches("a+")`, `round(1e3, 2) - -n`} {
		f.Add(s, "1.5")
	}
	f.Fuzz(func(t *testing.T, source, a string) {
		n, err := Compile(source, language)
		if err != nil {
			return
		}
		kinds := 0
		for _, is := range []bool{n.Number != nil, n.Truth != nil, n.Text != nil} {
			if is {
				kinds++
			}
		}
		if kinds != 1 {
			t.Fatalf("%q has %d kinds", source, kinds)
		}
		first, failed := result(source, values{"a": a, "first": a})
		again, failedAgain := result(source, values{"a": a, "first": a})
		if first != again || (failed == nil) != (failedAgain == nil) {
			t.Fatalf("%q gives %q, then %q", source, first, again)
		}
		n.Write(&strings.Builder{}, values{"a": a}, 0)
	})
}
