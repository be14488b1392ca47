package invoicer_test

import (
	"encoding/json"
	"testing"

	"github.com/tollstream/tollstream/invoicer"
	"github.com/tollstream/tollstream/invoicer/invoicertest"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
)

// TestLateUsageIsExplained: 90 calls in September, of 100 at 0.10; 20 more came in October, 30 in November: 10 × 0.1 + 10 × 0.05, and 30 × 0.05.
func TestLateUsageIsExplained(t *testing.T) {
	w := invoicertest.New(t, now, book)
	plan := w.Plan("acme")
	fold := rater.NewFold()
	fold.Use(plan)
	september := now.AddDate(0, -2, 0)
	for late, quantity := range []string{"90", "20", "30"} {
		e := eventOf("acme", "api-calls", quantity, september)
		e.Account = "acme"
		on := rater.Invoiced{}
		if late > 0 {
			_, on.Period = plan.Billing(september.AddDate(0, late, 0).UnixNano())
			on.Billed = "acme"
		}
		if _, reason := fold.Add(&e, on); reason != "" {
			t.Fatal(reason)
		}
	}
	lines := fold.Lines()
	for _, l := range lines {
		w.Put(l)
	}
	d := w.Desk(nil)
	for i, want := range []string{"", "10 × 0.1 + 10 × 0.05 = 1.5", "30 × 0.05 = 1.5"} {
		detail := must(d.Line(t.Context(), invoicer.Question{Account: "acme"}, lines[i].Line.String()))
		switch {
		case i == 0:
			if detail.Continues != nil || detail.Explanation == nil || detail.Explanation.Equation != "90 × 0.1 = 9" {
				t.Errorf("the line of September: %+v", detail)
			}
		case detail.Continues == nil || detail.Continues.Short != want || detail.Explanation != nil:
			t.Errorf("line %d: %+v, want %s", i, detail.Continues, want)
		}
	}
	w.Put(rater.LineState{Line: lines[0].Line}) // it is not found any more
	if detail := must(d.Line(t.Context(), invoicer.Question{Account: "acme"}, lines[1].Line.String())); detail.Continues != nil {
		t.Errorf("without the line that it continues: %+v", detail.Continues)
	}
}

// TestWhatRatingAnewLeaves: a line from which all usage has gone is not shown, and a correction says which line of a closed invoice it is of.
func TestWhatRatingAnewLeaves(t *testing.T) {
	w := filled(t)
	empty, correction := w.Use("acme", "storage", "7", now), w.Use("acme", "sms", "1", now)
	empty.Quantity, empty.Amount, empty.Events, empty.Segments = money.Zero, money.Zero, 0, []byte{1, 0}
	w.Put(empty)
	correction.Quantity, correction.Amount, correction.Events, correction.Segments = money.Zero, money.MustParse("-2.5"), 0, []byte{1, 0}
	correction.UsagePeriod.Start, correction.UsagePeriod.End = correction.Period.Start-1, correction.Period.Start
	closed := activity.ID{0xc}
	correction.RateLevel, correction.RateAccount, correction.RateID, correction.RateModel = rater.LevelCorrection, closed.String(), correction.Line.String(), ""
	w.Put(correction)
	d := w.Desk(nil)
	found := false
	for _, l := range ask(t, d, "acme", "").Lines {
		switch l.ID {
		case empty.Line.String():
			t.Errorf("nothing is shown: %+v", l)
		case correction.Line.String():
			found = true
			got := string(must(json.Marshal([]any{l.Amount, l.Rate, l.Corrects, l.Next})))
			want := `["-2.500000000000",{"level":"correction","id":"","model":""},{"invoice":"` + closed.String() + `","line":"` + correction.Line.String() + `"},null]`
			if got != want || l.UsagePeriod == nil {
				t.Errorf("the correction is %s, want %s", got, want)
			}
		}
	}
	detail := must(d.Line(t.Context(), invoicer.Question{Account: "acme"}, correction.Line.String()))
	if !found || detail.Line.Corrects == nil || detail.Explanation != nil || len(detail.Asked) > 0 {
		t.Errorf("found %v: %+v", found, detail)
	}
	if detail := must(d.Line(t.Context(), invoicer.Question{Account: "acme"}, empty.Line.String())); detail.Line.Events != 0 {
		t.Errorf("by its id: %+v", detail)
	}
}
