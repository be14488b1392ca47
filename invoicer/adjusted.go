package invoicer

import (
	"fmt"
	"slices"

	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/price"
)

// adjustment explains a line that was priced anew: by the definitions that changed, or by an event on a line that it continues. like is usage of
// the line, nil where there is none.
func (w *working) adjustment(like *Charged) (note string, err error) {
	a, seq := w.of, w.of.ActivatedSeq
	cause := &Cause{Seq: seq, Changes: []RateChange{}}
	w.out.Cause = cause
	if named, ok := activity.CausedBy(a.Source); ok {
		cause.Seq = named
	}
	if a.Level == rater.LevelCorrection || a.EventID != "" {
		cause.Invoice = a.EventID
		return fmt.Sprintf("The invoice %s was closed before its usage was rated anew under the definitions at %d; what it would have differed by is charged here.", a.EventID, cause.Seq), nil
	}
	if like == nil {
		return "no usage of the line stands in the report store: the amounts are those that were recorded", nil
	}
	after, earlier := w.before, w.earlier()
	if earlier[0] == seq && w.pool == nil {
		event := slices.IndexFunc(w.after, func(c Charged) bool { return c.Kind == activity.KindUsage })
		if event < 0 {
			return "the line was rated anew from its usage, under the same definitions: the amounts are those that were recorded", nil
		}
		cause.Seq, cause.Event = 0, w.after[event].EventID
		after = append(slices.Clone(w.before), w.after[event])
	}
	for _, previous := range earlier {
		if cause.Event == "" {
			cause.Before = previous
		}
		was, err := w.under(w.before, previous, like)
		var is side
		if err == nil {
			is, err = w.under(after, seq, like)
		}
		if err == nil && a.UsageStart != a.PeriodStart && was.amount == w.out.Before.Decimal && is.amount == w.out.After.Decimal && !w.agrees(was, is) {
			cause.Changes = changesOf(was.segments, is.segments)
			return "the line continues lines of closed invoices: it comes to what the usage comes to together, less what those before it come to", nil
		}
		done, err := w.settle(was, is, err)
		if err != nil {
			return "", err
		}
		if done {
			cause.Changes = changesOf(was.segments, is.segments)
			return "", nil
		}
	}
	if !w.all && w.carries(like) {
		note, err = w.readAll()
		if note != "" || err != nil {
			return note, err
		}
		return w.adjustment(like)
	}
	return "worked out again from the usage in the report store, the line comes to another amount than was recorded: the amounts are those that were recorded", nil
}

// carries says whether the level of the usage goes on from one period to the next.
func (w *working) carries(like *Charged) bool {
	product := w.plan.Snapshot().Product(like.Product)
	if product == nil || w.pool != nil {
		return false
	}
	answer, refusal := w.plan.Resolve(product, like.Sent().EventPackage, like.EventTime)
	return refusal == "" && price.CarriesLevel(answer.Rate)
}

// earlier gives the definitions under which the adjusted line was priced before. A pool may have been priced under any that usage beside it was:
// these are the last of them, the newest first.
func (w *working) earlier() []int64 {
	const most = 8
	previous := []int64{w.of.ActivatedSeq}
	for i := range w.before {
		c := &w.before[i]
		switch {
		case c.Offset == w.of.Offset && c.Kind != activity.KindUsage, w.all && !sameFamily(c, w.of): // others of its record are of its cause
		case w.pool == nil || previous[0] == w.of.ActivatedSeq:
			previous[0] = c.ActivatedSeq
		case !slices.Contains(previous, c.ActivatedSeq) && c.ActivatedSeq != w.of.ActivatedSeq:
			previous = slices.Insert(previous, 0, c.ActivatedSeq)
		}
	}
	return previous[:min(len(previous), most)]
}

func (w *working) under(usage []Charged, seq int64, like *Charged) (side, error) {
	was, _, err := w.sides(usage, nil, like, func(*Charged) int64 { return seq })
	return was, err
}
