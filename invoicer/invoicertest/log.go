package invoicertest

import (
	"cmp"
	"context"
	"slices"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/invoicer"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
)

// Log rates usage by rater.Fold as a rater does, under the world's newest definitions, and keeps the activities as a report store does.
// A line that newer definitions reach gets an adjustment before its next event.
type Log struct {
	World   *World
	History []invoicer.Charged // in log order

	fold    *rater.Fold
	seq     int64
	offset  int64
	amounts map[activity.ID]money.Decimal
}

// NewLog returns an empty log.
func NewLog(w *World) *Log { return &Log{World: w, amounts: map[activity.ID]money.Decimal{}} }

// Add rates an event on the invoice, the zero one on that of its period, and returns its activity, or the reason for which it has none.
func (l *Log) Add(e usage.Event, on rater.Invoiced) (*invoicer.Charged, string) {
	l.World.T.Helper()
	plan := l.World.Plan(e.Account)
	l.under(plan)
	l.fold.Use(plan)
	folded, reason := l.fold.Add(&e, on)
	if reason != "" {
		return nil, reason
	}
	l.settle(folded.Line)
	rate := folded.Rate
	a := l.activityOf(folded.Line)
	a.Kind, a.EventID, a.Source, a.EventTime, a.Attributes, a.Quantity = activity.KindUsage, e.ID, e.Source, e.Time, e.Attributes, e.Quantity
	a.Activity.Charge = folded.Charge
	a.Level, a.RateAccount, a.RateID, a.RateSeq, a.RateModel = string(rate.Level), rate.OwnerAccount, rate.ID, rate.Seq, string(rate.Model)
	if e.Package != "" || e.HasAmount {
		a.Extra = &activity.Extra{EventPackage: e.Package, Amount: e.Amount, HasAmount: e.HasAmount, AmountCurrency: e.Currency}
	}
	l.amounts[folded.Line] = folded.Amount
	l.keep(a)
	l.offset++
	return &l.History[len(l.History)-1], ""
}

// under prices all lines anew when the definitions changed.
func (l *Log) under(plan *catalog.Plan) {
	if l.fold != nil && l.seq == l.World.seq {
		return
	}
	next := rater.NewFold()
	if l.fold != nil {
		var own []rater.LineState
		for _, line := range l.fold.Lines() {
			if line.Account == plan.Account().ID {
				own = append(own, line)
			}
		}
		if err := next.Load(own, plan, func(seq int64) (*catalog.Plan, error) { return l.World.planAt(plan.Account().ID, seq), nil }); err != nil {
			l.World.T.Fatal(err)
		}
		next.TakeValues(l.fold)
	}
	l.fold, l.seq = next, l.World.seq
	l.settle(activity.ID{})
}

// settle makes adjustments of what changed on other lines than the one.
func (l *Log) settle(but activity.ID) {
	for _, line := range l.fold.Lines() {
		was, known := l.amounts[line.Line]
		if line.Line == but || !known || was == line.Amount {
			continue
		}
		a := l.activityOf(line.Line)
		a.Kind, a.EventTime = activity.KindAdjustment, line.UsagePeriod.Start
		var err error
		if a.Activity.Charge, err = line.Amount.Sub(was); err != nil {
			l.World.T.Fatal(err)
		}
		l.amounts[line.Line] = line.Amount
		l.keep(a)
	}
}

func (l *Log) keep(a invoicer.Charged) {
	a.Offset = l.offset
	for i := range l.History {
		if l.History[i].Offset == l.offset {
			a.Place.Index++
		}
	}
	a.Activity.Index = a.Place.Index
	l.History = append(l.History, a)
}

// activityOf is what the line's activities have in common.
func (l *Log) activityOf(id activity.ID) invoicer.Charged {
	lines := l.fold.Lines()
	s := &lines[slices.IndexFunc(lines, func(s rater.LineState) bool { return s.Line == id })]
	a := invoicer.Charged{LogTime: l.World.At.UnixNano()}
	a.LineAmount = s.Amount
	a.Terms = &activity.Terms{
		Seller: s.Seller, Product: s.Product, Package: s.Package, Currency: s.Currency, ActivatedSeq: l.seq,
		PeriodStart: s.Period.Start, PeriodEnd: s.Period.End, UsageStart: s.UsagePeriod.Start, UsageEnd: s.UsagePeriod.End,
	}
	a.Target = &activity.Target{Account: s.Account, Billed: s.Billed, Group: s.Group, Invoice: s.Invoice, Line: s.Line}
	return a
}

// Lines gives the lines as they stand now.
func (l *Log) Lines() []rater.LineState { return l.fold.Lines() }

// Charge makes it, with Charges, an invoicer.History.
func (l *Log) Charge(_ context.Context, at invoicer.Place, account string) (*invoicer.Charged, error) {
	for i := range l.History {
		if c := &l.History[i]; c.Place == at && (account == "" || c.Account == account) {
			return c, nil
		}
	}
	return nil, nil
}

// Charges lists in log order.
func (l *Log) Charges(_ context.Context, q invoicer.HistoryQuery) ([]invoicer.Charged, error) {
	var page []invoicer.Charged
	for _, c := range l.History {
		after := q.After == nil || cmp.Or(cmp.Compare(c.Offset, q.After.Offset), cmp.Compare(c.Place.Index, q.After.Index)) > 0
		of := (q.Account == "" || c.Account == q.Account) && (q.Product == "" || c.Product == q.Product) && (q.Invoice.IsZero() || c.Invoice == q.Invoice) && (q.Line.IsZero() || c.Line == q.Line)
		if after && of && (q.From == 0 || q.From <= c.EventTime) && (q.To == 0 || c.EventTime < q.To) && len(page) < q.Limit {
			page = append(page, c)
		}
	}
	return page, nil
}
