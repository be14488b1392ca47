package invoicer

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
)

// Invoice assembles the account's invoice of the question's period. A period without usage has an invoice
// without lines.
func (d *Desk) Invoice(ctx context.Context, q Question) (*Invoice, error) {
	target, err := d.Find(ctx, q)
	if err != nil {
		return nil, err
	}
	return d.InvoiceOf(ctx, target)
}

// InvoiceOf is Invoice for a question that is answered already.
func (d *Desk) InvoiceOf(ctx context.Context, target *Target) (*Invoice, error) {
	view, err := d.read(ctx, target.Ref)
	if err != nil {
		return nil, err
	}
	plans, err := d.plansOf(ctx, target.plan.Seq(), usersOf(view.Lines))
	if err != nil {
		return nil, err
	}
	lines := target.visible(view.Lines, plans)
	inv := target.invoice(view)
	var total money.Decimal
	for i := range lines {
		if total, err = total.Add(lines[i].Amount); err != nil {
			return nil, fmt.Errorf("sum invoice %s: %w", inv.ID, err)
		}
		inv.Lines = append(inv.Lines, d.line(target, &lines[i], plans[lines[i].Account], inv.State))
	}
	inv.Total = money.Fixed{Decimal: total}
	if inv.State == StateCurrent {
		inv.Forecast = d.forecast(ctx, target, usersOf(lines), total)
	}
	return inv, nil
}

// invoice is the invoice's head.
func (t *Target) invoice(view View) *Invoice {
	zone := zoneOf(t.Billed)
	inv := &Invoice{
		ID: t.Ref.ID.String(), Account: t.Account.ID, AccountName: t.Account.Name,
		BilledAccount: t.Billed.ID, BilledName: t.Billed.Name,
		State: StateCurrent, Currency: t.Billed.Currency, TimeZone: zone.String(), Period: periodIn(t.Ref.Period, zone),
		Lines: []Line{}, RatedThrough: time.Unix(0, view.RatedThrough).UTC(), Version: view.Version,
	}
	if view.Sealed {
		inv.State = StateSealed
	}
	return inv
}

func periodIn(p catalog.Period, zone *time.Location) Period {
	return Period{Start: time.Unix(0, p.Start).In(zone), End: time.Unix(0, p.End).In(zone)}
}

// usersOf lists the accounts that used, each once.
func usersOf(lines []rater.LineState) []string {
	var users []string
	seen := make(map[string]struct{})
	for i := range lines {
		if _, ok := seen[lines[i].Account]; !ok {
			seen[lines[i].Account] = struct{}{}
			users = append(users, lines[i].Account)
		}
	}
	slices.Sort(users)
	return users
}

// visible returns, in their order on the invoice, the lines that have something to show and that the target's account may see: all of its own
// invoice, of its parent's those that it and the accounts below it used.
func (t *Target) visible(lines []rater.LineState, plans map[string]*catalog.Plan) []rater.LineState {
	// What was rated anew may have left nothing behind.
	lines = slices.DeleteFunc(slices.Clone(lines), func(l rater.LineState) bool { return l.Events == 0 && l.Amount.IsZero() && l.Quantity.IsZero() })
	if t.Account.ID != t.Billed.ID {
		lines = slices.DeleteFunc(lines, func(l rater.LineState) bool { return !below(plans[l.Account], t.Account.ID) })
	}
	slices.SortFunc(lines, func(a, b rater.LineState) int {
		return cmp.Or(
			cmp.Compare(a.Product, b.Product), cmp.Compare(a.Account, b.Account), cmp.Compare(a.Package, b.Package),
			slices.CompareFunc(a.Group, b.Group, func(x, y activity.Attribute) int { return cmp.Compare(x.Value, y.Value) }),
			cmp.Compare(a.UsagePeriod.Start, b.UsagePeriod.Start), strings.Compare(string(a.Line[:]), string(b.Line[:])),
		)
	})
	return lines
}

// below says whether the plan's account is the named one or stands under it.
func below(plan *catalog.Plan, account string) bool {
	if plan == nil {
		return false
	}
	return slices.ContainsFunc(plan.Chain(), func(a *catalog.Account) bool { return a.ID == account })
}

// line writes one line; plan is the user's, nil when the account is gone.
func (d *Desk) line(t *Target, l *rater.LineState, plan *catalog.Plan, state State) Line {
	out := Line{
		ID: l.Line.String(), UsageAccount: l.Account, Product: l.Product, Attributes: make(map[string]string, len(l.Group)),
		Quantity: l.Quantity, Events: l.Events, Amount: money.Fixed{Decimal: l.Amount},
		Rate: LineRate{Level: l.RateLevel, Account: l.RateAccount, ID: l.RateID, Model: l.RateModel},
	}
	if l.RateLevel == rater.LevelCorrection {
		out.Corrects, out.Rate = &Corrected{Invoice: l.RateAccount, Line: l.RateID}, LineRate{Level: l.RateLevel}
	}
	if l.Package != "" {
		out.Package = &l.Package
	}
	for _, a := range l.Group {
		out.Attributes[a.Name] = a.Value
	}
	if product := t.plan.Snapshot().Product(l.Product); product != nil {
		out.ProductName, out.Unit = product.Name, product.Unit
	}
	if plan != nil {
		out.UsageName = plan.Account().Name
	}
	if l.UsagePeriod != l.Period {
		p := periodIn(l.UsagePeriod, zoneOf(t.Billed))
		out.UsagePeriod = &p
	} else if state == StateCurrent && plan != nil {
		out.Next = nextOf(l, plan, min(t.At.UnixNano(), l.Period.End-1))
	}
	return out
}
