package invoicer_test

import (
	"fmt"
	"testing"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/invoicer"
	"github.com/tollstream/tollstream/invoicer/invoicertest"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
)

// TestFormulasOfALineAreExplained: November has 30 days. A unit costs 1, then in eu what there are days, elsewhere nothing; then half of that. What is
// rated, swept, tried, explained and shown of the line sees the same.
func TestFormulasOfALineAreExplained(t *testing.T) {
	product := func(rate string) string {
		return "products: [{id: calls, group_by: [region], rates: [{" + rate + "}]}]"
	}
	w := invoicertest.New(t, now, "currency: USD\n"+product("model: per_unit, unit_price: 1")+family)
	r := invoicertest.NewRated(w)
	d := w.Desk(nil)
	d.History = &r.Log
	send := func(quantity, region string) *invoicer.Charged {
		t.Helper()
		e := eventOf("acme", "calls", quantity, now)
		e.ID, e.Attributes = fmt.Sprint("e", len(r.History)), []usage.Attribute{{Name: "region", Value: region}}
		if rejected := r.Use(e); rejected != nil {
			t.Fatal(rejected)
		}
		return &r.History[len(r.History)-1]
	}
	want := func(c *invoicer.Charged, equation string) {
		t.Helper()
		if x := explained(t, d, c); x.Equation != equation || x.Note != "" {
			t.Errorf("%s: %q, want %q; %q", c.Place, x.Equation, equation, x.Note)
		}
	}
	want(send("10", "eu"), "10 × 1 - 0 = 10")
	want(send("4", "us"), "4 × 1 - 0 = 4")
	w.Apply(product(`model: formula, expression: 'group.region == "eu" ? quantity * days : 0'`))
	r.Sweep()
	eu, us := r.History[2], r.History[3]
	want(&eu, "(10 × 30) - 10 × 1 = 290")
	want(&us, "(0) - 4 × 1 = -4")
	last := *send("1", "eu")
	want(&last, "(11 × 30) - (10 × 30) = 30")
	w.Apply(product(`model: formula, expression: 'group["region"] == "us" ? quantity : quantity * days * 0.5'`))
	more := send("2", "eu") // 11 × 15 is what the line comes to under these, and 2 more
	want(more, "(13 × 30 × 0.5) - (11 × 30 × 0.5) = 30")
	want(&r.History[len(r.History)-2], "(11 × 30 × 0.5) - (11 × 30) = -165")
	want(&last, "(11 × 30) - (10 × 30) = 30")

	// A trial, from nothing and on top of the line, whose stored state says nothing of days or group.
	fold := rater.NewFold()
	fold.Use(w.Plan("acme"))
	for i := range r.History {
		if a := &r.History[i].Activity; a.Kind == activity.KindUsage {
			e := rater.EventOf(a)
			fold.Add(&e, rater.Invoiced{})
		}
	}
	for _, l := range fold.Lines() {
		w.Put(l)
	}
	for _, c := range []struct {
		state          bool
		region, charge string
	}{{false, "eu", "15"}, {true, "eu", "15"}, {true, "us", "1"}, {false, "us", "1"}} {
		trial := must(d.Trial(t.Context(), invoicer.Conditions{State: c.state}))
		e := eventOf("acme", "calls", "1", now)
		e.Attributes = []activity.Attribute{{Name: "region", Value: c.region}}
		q := must(trial.Rate(t.Context(), e))
		if q.Charge.Decimal.String() != c.charge {
			t.Errorf("%+v costs %s: %s", c, q.Charge, q.Explanation.Charge.Equation)
		}
		if bad := worksOut(q); bad != "" {
			t.Error(bad)
		}
	}
	detail := must(d.Line(t.Context(), invoicer.Question{Account: "acme"}, more.Line.String()))
	if detail.Explanation == nil || detail.Explanation.Equation != "(13 × 30 × 0.5) = 195" || detail.Explanation.Amount != money.MustParse("195") {
		t.Errorf("the line says %+v", detail.Explanation)
	}
}
