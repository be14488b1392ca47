package price

import (
	"testing"

	"github.com/tollstream/tollstream/rater/catalog"
	own "github.com/tollstream/tollstream/rater/method"
)

// TestFormulas: 150 units in 3 events, 10 of them included, at 0.1 and a third a event: 14 + 1; at most 12.
func TestFormulas(t *testing.T) {
	p, err := own.Formula("quantity * 0.1 + events / 3")
	if err != nil {
		t.Fatal(err)
	}
	r := &catalog.Rate{ID: "r", Model: catalog.ModelFormula, Aggregation: catalog.AggregationSum, Own: p, Expression: "quantity * 0.1 + events / 3", Included: dec("10")}
	s := State{Sum: dec("150"), Events: 3}
	if got, err := Total(r, s); err != nil || got != dec("15") {
		t.Errorf("total %s, %v", got, err)
	}
	e := Explain([]Segment{{Rate: r, State: s}})
	if e.Err != nil || e.Equation != "(140 × 0.1 + 3 ÷ 3) = 15" || e.Segments[0].Steps[0].Label != "formula: quantity * 0.1 + events / 3" {
		t.Errorf("explained %+v", e)
	}
	if got, err := Total(r, State{}); err != nil || !got.IsZero() {
		t.Errorf("no events cost %s, %v", got, err)
	}
	r.Maximum = dec("12")
	if got, err := Total(r, s); err != nil || got != dec("12") {
		t.Errorf("at most 12: %s, %v", got, err)
	}
	later := *r
	later.ID, later.Start, later.Maximum, later.Included = "later", 5, dec("0"), dec("0")
	// Of 160 units in 4 events: 16 + 1.333333333333, of 150 in 3: 16.
	if got, err := LineTotal([]Segment{{Rate: r, State: s}, {Rate: &later, State: State{Sum: dec("10"), Events: 1}}}); err != nil || got != dec("13.333333333333") {
		t.Errorf("goes on to %s, %v", got, err)
	}
	r.Own = nil
	if _, err := Total(r, s); err == nil {
		t.Error("a method that is not there has a price")
	}
}
