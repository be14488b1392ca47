package method_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/method"
	"github.com/tollstream/tollstream/rater/method/methodtest"
)

// TestFormulasOfALine: 150 units in 7 events, of region eu, whose call type is "on net", in a period of 30 days.
func TestFormulasOfALine(t *testing.T) {
	line := &method.Line{Days: 30, Group: []method.Attribute{{Name: "region", Value: "eu"}, {Name: "call type", Value: "on net"}, {Name: "empty"}}}
	for _, c := range []struct{ expression, total, text, needs string }{
		{"quantity * 0.1", "15", "150 × 0.1", "{false []}"},
		{"quantity / days", "5", "150 ÷ 30", "{true []}"},
		{"9 * days / 30 + events", "16", "9 × 30 ÷ 30 + 7", "{true []}"},
		{`group.region == "eu" ? quantity * 2 : quantity`, "300", "150 × 2", "{false [region]}"},
		{`group.region != "eu" ? quantity * 2 : quantity`, "150", "150", "{false [region]}"},
		{`"eu" == group["region"] && group["call type"] == 'on net' ? 1 : 2`, "1", "1", "{false [region call type]}"},
		{`group.region == "EU" || group.region == "eu " ? 1 : 2`, "2", "2", "{false [region]}"}, // byte by byte
		{`group.empty == "" && group.other == "" ? 1 : 2`, "1", "1", "{false [empty other]}"},
		{`group.region == group.region ? days : 0`, "30", "30", "{true [region]}"},
		{`"\u00e9" == "é" ? 1 : 2`, "1", "1", "{false []}"},
	} {
		p, err := method.Formula(c.expression)
		if err != nil {
			t.Errorf("%s: %v", c.expression, err)
			continue
		}
		u := method.Usage{Quantity: money.MustParse("150"), Events: 7, Line: line}
		total, err := p.Total(u)
		if terms := p.Terms(u); err != nil || total.String() != c.total || len(terms) != 1 || terms[0].Text != c.text {
			t.Errorf("%s is %s, %v, told as %v; want %s, %s", c.expression, total, err, terms, c.total, c.text)
		}
		if got := fmt.Sprint(method.NeedsOf(p)); got != c.needs {
			t.Errorf("%s needs %s, want %s", c.expression, got, c.needs)
		}
		if n := testing.AllocsPerRun(100, func() { _, _ = p.Total(u) }); n > 0 {
			t.Errorf("%s allocates %v times", c.expression, n)
		}
	}
	// Without a line, or in a period without an end, there are no days; of no line every value is empty.
	p, _ := method.Formula("quantity / days")
	q, _ := method.Formula(`group.region == "" ? 1 : 2`)
	for _, l := range []*method.Line{nil, {}} {
		u := method.Usage{Quantity: money.One, Events: 1, Line: l}
		if total, err := p.Total(u); err == nil || !strings.Contains(err.Error(), "no end") {
			t.Errorf("a period without days comes to %s, %v", total, err)
		}
		if p.Terms(u) != nil {
			t.Errorf("… and is told as %v", p.Terms(u))
		}
		if total, err := q.Total(u); err != nil || total != money.One {
			t.Errorf("no group comes to %s, %v", total, err)
		}
	}
	if needs := method.NeedsOf(steps{}); needs.Days || needs.Group != nil {
		t.Errorf("a method in Go needs %+v", needs)
	}
}

func TestFormulasOfALineConform(t *testing.T) {
	methodtest.Run(t, formulas{}, map[string]string{"expression": `group.region == "eu" ? quantity / days : events * 0.5`})
}

func BenchmarkFormulaOfALine(b *testing.B) {
	p, err := method.Formula(`group.region == "eu" ? quantity * 0.1 / days : quantity * 0.05`)
	if err != nil {
		b.Fatal(err)
	}
	line := &method.Line{Days: 30, Group: []method.Attribute{{Name: "plan", Value: "gold"}, {Name: "region", Value: "eu"}}}
	if line.Value("region") != "eu" || slices.Contains(method.NeedsOf(p).Group, "plan") {
		b.Fatal("the line is not read")
	}
	u := method.Usage{Quantity: money.MustParse("150"), Events: 7, Line: line}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Total(u); err != nil {
			b.Fatal(err)
		}
	}
}
