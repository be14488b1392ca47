package rater

import (
	"context"
	"fmt"
	"testing"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
)

// correct sends an event of a day of January that corrects another of the same source; the same id is the same event.
func (a *anew) correct(id, quantity string, day int, corrected string) string {
	e := usage.Event{
		ID: id, Source: "s", Account: "a", RoutingKey: "a", Product: "p", Quantity: money.MustParse(quantity),
		Time: benchStart + int64(day-1)*24*benchHour, Backfill: true, Corrects: &usage.EventName{Source: "s", ID: corrected},
	}
	return a.step(a.now(), usage.Record{Kind: usage.KindBatch, Events: []usage.Event{e}})
}

// anew rates account a anew under the next definitions.
func (a *anew) again(seq int64) string {
	a.activate(seq)
	return a.result(seq, 1, a.mark(seq, 1))
}

func of(aggregation, price string) object {
	return object{"model": "per_unit", "unit_price": price, "aggregation": aggregation}
}

// Where a quantity takes nothing back, the line is rated again without the event that is named. Events e1, e2, … are 3, 8 and 5 on the 10th,
// 12th and 11th; behind the marker comes 6 on the 9th. All cost 1 a unit; when events are counted, 1 an event.
func TestCorrectionLeavesOut(t *testing.T) {
	tests := []struct {
		aggregation       string
		before, corrected string
		behind            string // what 6 behind the marker costs while e2 still counts
		after             string // without e2
		then              string // when the line is rated anew once more, and e3 is corrected too
	}{
		// 8; without it the largest of 3, 5 and 6; without 5 as well: 6
		{"max", "8", "e2", "usage 0", "definition:2 -2, usage 0", "definition:3 0"},
		// three events; four; three without e2; two without e3
		{"count", "3", "e2", "usage 1", "definition:2 -1, usage 0", "definition:3 -1"},
		// 8 of the 12th; 5 of the 11th; 3 of the 10th
		{"latest", "8", "e2", "usage 0", "definition:2 -3, usage 0", "definition:3 -2"},
	}
	for _, c := range tests {
		for _, reload := range []bool{false, true} {
			a := newAnew(t, of(c.aggregation, "1"), of(c.aggregation, "1"), of(c.aggregation, "1"))
			a.use("3", 10)
			a.use("8", 12)
			a.use("5", 11)
			a.want(a.total(), c.before)
			a.want(a.correct("c1", "-8", 10, c.corrected), ReasonCorrectionWaits)
			a.want(a.total(), c.before)
			a.activate(2)
			at := a.mark(2, 1)
			a.want(a.use("6", 9), c.behind)
			if reload {
				a.reload()
			}
			a.want(a.result(2, 1, at), c.after)
			a.want(a.result(2, 1, at), "") // read again
			last := a.log[len(a.log)-1]
			if last.Sent().Corrects != (usage.EventName{Source: "s", ID: "e2"}) || last.Quantity != money.MustParse("-8") || last.EventID != "c1" || !last.Charge.IsZero() {
				t.Errorf("%s: the correction is %+v", c.aggregation, last)
			}
			a.want(a.correct("c1", "-8", 10, c.corrected), "duplicate")
			a.want(a.correct("c2", "-5", 10, "e3"), ReasonCorrectionWaits)
			then := c.then + ", usage 0"
			if c.aggregation == "max" { // nothing changes but that e3 is gone
				then = "usage 0"
			}
			a.want(a.again(3), then)
			if n, _ := a.CorrectionsWaiting(context.Background(), 0, "a", a.offset, 10); len(n) != 0 {
				t.Errorf("%s: %d corrections wait", c.aggregation, len(n))
			}
			counts := a.m.counts.of(a.m.counts.month(benchStart), "")
			if counts.Counts != (Counts{Accepted: 7, Retried: 2, Rated: 6, Duplicates: 1, Rejected: 2}) { // each correction was rejected before it was rated
				t.Errorf("%s: counts %+v", c.aggregation, *counts)
			}
		}
	}
}

// A correction names one event: what comes again under its name, when the window for duplicates is over, is another one. Between a marker and
// its result that is so too, whether the line is rated anew later or not.
func TestCorrectionLeavesItsNamesakesIn(t *testing.T) {
	a := newAnew(t, of("count", "1"), of("count", "1"), of("count", "1"), of("count", "1"))
	again := func(id string) string { // on the 12th of January, when the window is over
		e := usage.Event{
			ID: id, Source: "s", Account: "a", RoutingKey: "a", Product: "p", Quantity: money.One, Time: benchStart + 11*24*benchHour, Backfill: true, Hash: 99,
		}
		return a.step(a.later(), usage.Record{Kind: usage.KindBatch, Events: []usage.Event{e}})
	}
	a.use("3", 10)
	a.use("8", 12)
	a.use("5", 11)
	a.want(a.correct("c1", "-8", 10, "e2"), ReasonCorrectionWaits)
	a.want(a.correct("c2", "-5", 10, "e3"), ReasonCorrectionWaits)
	a.activate(2)
	at := a.mark(2, 1)
	a.want(again("e2"), "usage 1")
	a.want(a.result(2, 1, at), "definition:2 -2, usage 0, usage 0")
	a.want(again("e3"), "usage 1")
	a.want(a.total(), "3") // e1, e2 and e3
	a.want(a.again(3), "")
	a.want(a.total(), "3")
	a.want(a.correct("c3", "-1", 10, "e2"), ReasonCorrectionWaits) // the other one
	a.want(a.again(4), "definition:4 -1, usage 0")
	a.want(a.total(), "2")
}

// What a correction cannot name ends its waiting with a reason.
func TestCorrectionOfNothing(t *testing.T) {
	a := newAnew(t, of("max", "1"), of("max", "1"), of("max", "1"))
	a.use("3", 10)
	a.use("8", 12)
	a.want(a.correct("plain", "3", 10, "e1"), ReasonPositive)
	for i, corrected := range []string{
		"nobody", // there is no such event
		"e3",     // comes later
		"e1",     // is of this line, but the correction is of another month
		"e2",     // this and …
		"e2",     // … twice
		"c3",     // a correction
		"e2",     // and once more, see below
	} {
		day := 11
		if i == 2 {
			day = -3
		}
		a.want(a.correct(fmt.Sprint("c", i), "-8", day, corrected), ReasonCorrectionWaits)
	}
	a.want(a.correct("c3", "-8", 11, "e2"), ReasonCorrectionWaits) // c3 once more
	a.want(a.correct("c4", "-9", 11, "e2"), ReasonCorrectionWaits) // c4, with another content
	a.activate(2)
	at := a.mark(2, 1)
	a.use("4", 10)                                           // e3
	a.want(a.result(2, 1, at), "definition:2 -4, usage 0, "+ // 3 and 4 are left
		"correction_unknown, correction_unknown, correction_unknown, correction_repeated, correction_unknown, correction_repeated, correction_repeated, duplicate")
	a.want(a.total(), "4")
	a.want(a.correct("late", "-3", 11, "e2"), ReasonCorrectionWaits)
	a.want(a.again(3), ReasonCorrectionRepeated)
}

// A correction whose line is not rated again keeps its reason for it: there is too much behind the marker, or no price for what is left.
func TestCorrectionThatCannotBe(t *testing.T) {
	a := newAnew(t, of("max", "1"), object{"model": "dynamic"})
	a.use("3", 10)
	a.use("8", 12)
	a.want(a.correct("c", "-8", 10, "e2"), ReasonCorrectionWaits)
	a.want(a.again(2), ReasonCorrectionImpossible) // e1 has no amount
	a.want(a.total(), "8")

	a = newAnew(t, of("max", "1"), of("max", "1"))
	a.use("8", 12)
	a.want(a.correct("c", "-8", 10, "e1"), ReasonCorrectionWaits)
	a.activate(2)
	at := a.mark(2, 1)
	over := *a.m.markers["a"]
	over.Over = true
	a.m.setMarker(a.m.markers["a"], over)
	job := Summing{a, a, a, a, 0}
	answers, err := job.Unanswered(context.Background(), SumQuestion{Account: "a", Below: at, From: benchStart, Until: benchStart + 31*24*benchHour})
	if err != nil || len(answers) != 1 {
		t.Fatal(answers, err)
	}
	for _, none := range []SumQuestion{{Account: "a", Below: at, Product: "p"}, {Account: "a", Below: at, Until: benchStart}, {Account: "b", Below: at}, {Account: "a", Below: 1}} {
		if answers, err := job.Unanswered(context.Background(), none); err != nil || len(answers) != 0 {
			t.Errorf("%+v: %v %v", none, answers, err)
		}
	}
	r := usage.Result{Account: "a", Seq: 2, Attempt: 1, At: at, Part: 1, Parts: 1, Answers: answers}
	a.want(a.step(a.now(), usage.Record{Kind: usage.KindResult, Result: &r}), ReasonCorrectionImpossible)
	a.want(a.total(), "8")
	if a.m.open != 0 {
		t.Error("the marker is open")
	}
}

// Where a quantity takes usage back, it does so at once and the name is recorded. When the rate becomes one under which it does not, the
// line is summed up without both.
func TestCorrectionByQuantity(t *testing.T) {
	a := newAnew(t, of("sum", "1"), of("max", "1"))
	a.use("3", 10)
	a.use("8", 12)
	a.want(a.correct("c", "-2", 10, "e2"), "usage -2")
	if x := a.log[len(a.log)-1]; x.Sent() != (activity.Extra{Corrects: usage.EventName{Source: "s", ID: "e2"}}) || x.Quantity != money.MustParse("-2") {
		t.Errorf("%+v", x)
	}
	a.want(a.total(), "9")
	a.want(a.again(2), "definition:2 -6") // the largest without e2 is 3
	a.want(a.total(), "3")
}

// On a closed invoice the event stays; the difference goes to the current one.
func TestCorrectionOfAClosedInvoice(t *testing.T) {
	a := newAnew(t, of("max", "1"), of("max", "1"), of("max", "1"))
	a.use("3", -3) // December
	a.use("8", -1)
	a.step(a.now(), usage.Record{Kind: usage.KindSeal, Seal: &usage.Seal{Account: "a", PeriodStart: benchStart - 31*24*benchHour, PeriodEnd: benchStart}})
	a.want(a.correct("c", "-8", -2, "e2"), ReasonCorrectionWaits)
	a.want(a.again(2), "definition:2 -5, usage 0")
	a.want(a.total(), "3")
	lines, _ := a.LinesOfAccount(context.Background(), 0, "a")
	for _, l := range lines {
		switch closed := l.Period.End <= benchStart; {
		case closed && (l.Amount != money.MustParse("8") || l.Events != 2):
			t.Errorf("the closed line is %+v", l)
		case !closed && (l.Amount != money.MustParse("-5") || l.RateLevel != LevelCorrection):
			t.Errorf("the current line is %+v", l)
		}
	}
	a.want(a.correct("c2", "-3", -2, "e1"), ReasonCorrectionWaits)
	a.want(a.again(3), "definition:3 -3, usage 0")
	a.want(a.total(), "0")
}
