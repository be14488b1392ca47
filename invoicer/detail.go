package invoicer

import (
	"context"
	"fmt"
	"slices"

	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price"
)

// LineDetail is a line with the arithmetic of its amount.
type LineDetail struct {
	Account     string             `json:"account" doc:"that was asked about"`
	AccountName string             `json:"account_name,omitempty"`
	Invoice     string             `json:"invoice"`
	State       State              `json:"state"`
	Currency    string             `json:"currency"`
	TimeZone    string             `json:"time_zone"`
	Period      Period             `json:"period"`
	Line        Line               `json:"line"`
	Seq         int64              `json:"seq" doc:"definitions that the amount was priced under"`
	Explanation *price.Explanation `json:"explanation,omitempty" doc:"none for late usage, see continues, and for corrections; none where tiers are shared, see shared"`
	Continues   *Arithmetic        `json:"continues,omitempty" doc:"of late usage: what it comes to together with the lines that it continues, less what these come to"`
	Shared      []Shared           `json:"shared,omitempty" doc:"what the line has in pools, whose tiers it has together with other lines"`
	Rates       []Rate             `json:"rates" doc:"one for each of the explanation's segments, in its order"`
	Asked       []Asked            `json:"asked" doc:"the levels in the order in which they are asked now"`

	Definitions []*catalog.Rate `json:"-"` // of Rates
}

// earlierPeriods is how many periods before the current one are searched for a line when no period is named.
const earlierPeriods = 2

// Line returns one line of the account's invoice, explained under the definitions that its amount was priced
// under. Without a period the current one and the two before it are searched. Errors: ErrAccountUnknown, ErrLineUnknown.
func (d *Desk) Line(ctx context.Context, q Question, line string) (*LineDetail, error) {
	t, err := d.Find(ctx, q)
	if err != nil {
		return nil, err
	}
	for back := 0; ; back++ {
		detail, err := d.lineOf(ctx, t, line)
		if detail != nil || err != nil {
			return detail, err
		}
		if q.Period != "" || back == earlierPeriods || t.Ref.Period.Start == catalog.Always {
			return nil, fmt.Errorf("line %q of account %q: %w", line, q.Account, ErrLineUnknown)
		}
		earlier := q
		earlier.Period = periodIn(catalog.Period{Start: t.Ref.Period.Start - 1}, zoneOf(t.Billed)).Start.Format("2006-01-02T15:04:05.999999999Z07:00")
		if t, err = d.Find(ctx, earlier); err != nil {
			return nil, err
		}
	}
}

// lineOf looks on one invoice; nil: it is not there.
func (d *Desk) lineOf(ctx context.Context, t *Target, line string) (*LineDetail, error) {
	view, err := d.read(ctx, t.Ref)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(view.Lines, func(l rater.LineState) bool { return l.Line.String() == line })
	if at < 0 {
		return nil, nil
	}
	l := &view.Lines[at]
	plans, err := d.plansOf(ctx, t.plan.Seq(), []string{l.Account})
	if err != nil {
		return nil, err
	}
	plan := plans[l.Account]
	if t.Account.ID != t.Billed.ID && !below(plan, t.Account.ID) {
		return nil, nil
	}
	inv := t.invoice(view)
	out := &LineDetail{
		Account: inv.Account, AccountName: inv.AccountName, Invoice: inv.ID, State: inv.State, Currency: inv.Currency,
		TimeZone: inv.TimeZone, Period: inv.Period, Line: d.line(t, l, plan, inv.State), Seq: l.Seq, Rates: []Rate{}, Asked: []Asked{},
	}
	if out.Line.Corrects != nil {
		return out, nil // nothing prices it; its usage is that of the line it corrects
	}
	if plan != nil {
		if product := plan.Snapshot().Product(l.Product); product != nil {
			out.Asked = askedOf(plan.Explain(product, l.Package, min(t.At.UnixNano(), l.Period.End-1)))
		}
	}
	return out, d.explain(ctx, out, l)
}

// explain adds the arithmetic. Late usage continues a sealed line on another invoice, so its own segments alone
// do not give its amount: see continues.
func (d *Desk) explain(ctx context.Context, out *LineDetail, l *rater.LineState) error {
	plan, err := d.plan(ctx, l.Seq, l.Account)
	if err != nil {
		return err
	}
	segments, err := d.bind(ctx, plan, l)
	if err != nil {
		return err
	}
	for i := range segments {
		out.Rates = append(out.Rates, rateOf(segments[i].Rate, zoneOf(plan.Account())))
		out.Definitions = append(out.Definitions, segments[i].Rate)
	}
	if out.Shared, err = d.shared(ctx, plan, l); err != nil {
		return err
	}
	switch {
	case len(out.Shared) > 0:
	case l.Position == 0:
		e := price.Explain(segments)
		if e.Err != nil {
			return fmt.Errorf("explain line %s: %w", l.Line, e.Err)
		}
		out.Explanation = &e
	default:
		out.Continues, err = d.continues(ctx, plan, l, segments)
	}
	return err
}

// mostInvoices bounds those that are searched for the lines that late usage continues.
const mostInvoices = 24

// continues explains late usage by what the lines of its family before it come to, without it and with it; nil where they are not found, or do
// not give its amount.
func (d *Desk) continues(ctx context.Context, plan *catalog.Plan, l *rater.LineState, own []price.Segment) (*Arithmetic, error) {
	var before []price.Segment
	billed, period := l.Owed, l.UsagePeriod
	for range mostInvoices {
		view, err := d.read(ctx, Ref{ID: activity.InvoiceID(l.Seller, billed, period.Start), Seller: l.Seller, Billed: billed, Period: period})
		if err != nil {
			return nil, err
		}
		for i := range view.Lines {
			x := &view.Lines[i]
			if x.Family != l.Family || x.Position >= l.Position {
				continue
			}
			segments, err := d.bind(ctx, plan, x)
			if err != nil {
				return nil, err
			}
			if before, err = together(before, segments); err != nil {
				return nil, fmt.Errorf("explain line %s: %w", l.Line, err)
			}
		}
		if period.End >= l.Period.End {
			break
		}
		var account *catalog.Account
		account, period = plan.Billing(period.End)
		billed = account.ID
	}
	after, err := together(before, own)
	if err != nil {
		return nil, fmt.Errorf("explain line %s: %w", l.Line, err)
	}
	if c := price.ExplainCharge(before, after); c.Err == nil && c.Amount == l.Amount {
		return arithmeticOf(c), nil
	}
	return nil, nil
}

// together adds segments to others: usage under one rate is one segment.
func together(all, more []price.Segment) ([]price.Segment, error) {
	all = slices.Clone(all)
	for _, s := range more {
		at := slices.IndexFunc(all, func(x price.Segment) bool { return x.Rate == s.Rate && x.Cell == s.Cell })
		if at < 0 {
			all = append(all, s)
			continue
		}
		var err error
		if all[at].State, err = price.Merge(all[at].State, s.State); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(all, price.CompareSegments)
	return all, nil
}
