package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/api/pages"
	"github.com/tollstream/tollstream/invoicer"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price"
	"github.com/tollstream/tollstream/rater/sink"
)

// addPages gives the API its pages.
func (p *process) addPages(c *api.Config, desk *invoicer.Desk, watch *watchers, access *api.Access) (err error) {
	customers := customerPages{
		desk: desk, reports: p.reports, watch: watch, now: p.Now, around: newMemo[aroundKey, *pages.Overview](p.Now, aroundFor),
	}
	operators := operatorPages{p: p, operations: c.Operations, rejections: c.Rejections}
	c.Pages, err = pages.New(pages.Config{
		Customer: customers, Operator: operators, Rejections: operators, Reratings: reratePages{rerateDesk{p}}, Rerater: reratePages{rerateDesk{p}}, Watcher: customers, Log: p.Log, Now: p.Now, Closing: c.Closing,
		CSRFToken: access.CSRFToken, CheckCSRF: access.CheckCSRF,
		Viewer: func(r *http.Request) pages.Viewer {
			who := api.PrincipalOf(r.Context())
			return pages.Viewer{Operator: who.Allows(api.ReadOperations), MayRetry: who.Allows(api.RetryRejected), MayRate: who.Allows(api.Rerate)}
		},
	})
	return err
}

// pageError translates what a question was answered with.
func pageError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, invoicer.ErrAccountUnknown), errors.Is(err, invoicer.ErrLineUnknown), errors.Is(err, invoicer.ErrChargeUnknown), errors.Is(err, api.ErrNotFound), errors.Is(err, api.ErrInvalid):
		return fmt.Errorf("%w: %w", pages.ErrNotFound, err)
	case errors.Is(err, invoicer.ErrPeriodInvalid):
		return fmt.Errorf("%w: %w", pages.ErrNotFound, err)
	case errors.Is(err, api.ErrUnavailable):
		return fmt.Errorf("%w: %w", pages.ErrUnavailable, err)
	}
	return err
}

// customerPages reads what a customer's pages show.
type customerPages struct {
	desk    *invoicer.Desk
	reports reportStore
	watch   *watchers
	now     func() time.Time
	around  *memo[aroundKey, *pages.Overview]
}

// aroundKey is who looks at what.
type aroundKey struct {
	account string
	start   int64 // of the period
}

// aroundFor is how long what stands around an invoice (days, prices, other periods) is not read again while the
// invoice itself moves.
const aroundFor = 3 * time.Second

// What a customer's page reaches back to.
const (
	recentFor      = 10 * time.Minute
	recentRead     = 500 // activities
	recentShown    = 20
	earlierPeriods = 3
)

// CustomerInvoice implements pages.Customer.
func (c customerPages) CustomerInvoice(ctx context.Context, account, period string) (*pages.Overview, error) {
	q := invoicer.Question{Account: account, Period: period}
	target, err := c.desk.Find(ctx, q)
	if err != nil {
		return nil, pageError(err)
	}
	inv, err := c.desk.InvoiceOf(ctx, target)
	if err != nil {
		return nil, pageError(err)
	}
	o := &pages.Overview{Invoice: *inv, RecentSince: c.now().Add(-recentFor)}
	if len(target.Chain) > 1 {
		if parent := target.Chain[1]; mayRead(ctx, target.Chain[1:]) {
			o.Parent = &pages.AccountRef{ID: parent.ID, Name: parent.Name}
		}
	}
	around, err := c.around.get(ctx, aroundKey{target.Account.ID, target.Ref.Period.Start}, func(ctx context.Context) (*pages.Overview, error) {
		around := &pages.Overview{Invoice: *inv, RecentSince: o.RecentSince}
		for _, fill := range []func(context.Context, *invoicer.Target, *pages.Overview) error{c.children, c.periods, c.days, c.prices, c.recent} {
			if err := fill(ctx, target, around); err != nil {
				return nil, err
			}
		}
		return around, nil
	})
	if err != nil {
		return nil, pageError(err)
	}
	o.Children, o.Periods, o.Prices = around.Children, around.Periods, around.Prices
	o.Days, o.PreviousDays, o.Recent = around.Days, around.PreviousDays, around.Recent
	return o, nil
}

// mayRead says whether the reader sees one of these accounts, ordered upwards: a customer's link ends at its account.
func mayRead(ctx context.Context, chain []*catalog.Account) bool {
	who := api.PrincipalOf(ctx)
	if who == nil || who.Role != api.RoleCustomer {
		return true
	}
	return slices.ContainsFunc(chain, func(a *catalog.Account) bool { return a.ID == who.Account })
}

func (c customerPages) children(ctx context.Context, t *invoicer.Target, o *pages.Overview) error {
	family, err := c.desk.Children(ctx, invoicer.Question{Account: t.Account.ID})
	if err != nil {
		return err
	}
	for _, m := range family.Members[1:] {
		o.Children = append(o.Children, pages.Child{
			ID: m.Account, Name: m.Name, Depth: m.Depth, Invoiced: m.BilledAccount == m.Account, Currency: m.Currency, Total: m.Total,
		})
	}
	return nil
}

func (c customerPages) periods(ctx context.Context, t *invoicer.Target, o *pages.Overview) error {
	now, err := c.desk.Find(ctx, invoicer.Question{Account: t.Account.ID})
	if err != nil {
		return err
	}
	for i := range earlierPeriods + 1 {
		inv := &o.Invoice
		if now.Ref != t.Ref {
			if inv, err = c.desk.InvoiceOf(ctx, now); err != nil {
				return err
			}
		}
		if i == 0 || len(inv.Lines) > 0 {
			o.Periods = append(o.Periods, pages.PeriodChoice{Period: inv.Period, Total: inv.Total, Current: i == 0})
		}
		if now.Ref.Period.Start == catalog.Always {
			break
		}
		if now, err = c.desk.Find(ctx, before(t, inv.Period)); err != nil {
			return err
		}
	}
	return nil
}

// before asks for the period before one.
func before(t *invoicer.Target, p invoicer.Period) invoicer.Question {
	return invoicer.Question{Account: t.Account.ID, Period: p.Start.Add(-time.Nanosecond).Format(time.RFC3339Nano)}
}

func (c customerPages) days(ctx context.Context, t *invoicer.Target, o *pages.Overview) (err error) {
	if o.Days, err = c.daysOf(ctx, t, o.Invoice.Period, o.Invoice.Lines); err != nil {
		return err
	}
	if t.Ref.Period.Start == catalog.Always {
		return nil
	}
	earlier, err := c.desk.Find(ctx, before(t, o.Invoice.Period))
	if err != nil {
		return err
	}
	zone := o.Invoice.Period.Start.Location()
	previous := invoicer.Period{Start: time.Unix(0, earlier.Ref.Period.Start).In(zone), End: time.Unix(0, earlier.Ref.Period.End).In(zone)}
	o.PreviousDays, err = c.daysOf(ctx, t, previous, o.Invoice.Lines)
	return err
}

func (c customerPages) daysOf(ctx context.Context, t *invoicer.Target, p invoicer.Period, lines []invoicer.Line) ([]pages.DayCharges, error) {
	q := invoicer.DailyQuery{Billed: t.Billed.ID, Zone: p.Start.Location(), From: p.Start, To: p.End}
	if t.Account.ID != t.Billed.ID { // on its parent's invoice it sees what it and those below it used
		q.Accounts = []string{t.Account.ID}
		for _, l := range lines {
			if !slices.Contains(q.Accounts, l.UsageAccount) {
				q.Accounts = append(q.Accounts, l.UsageAccount)
			}
		}
	}
	charges, err := c.reports.DailyCharges(ctx, q)
	if err != nil {
		return nil, err
	}
	var days []pages.DayCharges
	for _, x := range charges {
		if n := len(days); n == 0 || days[n-1].Day != x.Day {
			days = append(days, pages.DayCharges{Day: x.Day})
		}
		day := &days[len(days)-1]
		day.Charges = append(day.Charges, pages.ProductCharge{Product: x.Product, Amount: money.Fixed{Decimal: x.Charge}})
	}
	return days, nil
}

func (c customerPages) prices(ctx context.Context, t *invoicer.Target, o *pages.Overview) error {
	list, err := c.desk.Prices(ctx, invoicer.Question{Account: t.Account.ID})
	if err != nil {
		return err
	}
	names := map[string]string{}
	for _, a := range t.Chain {
		names[a.ID] = a.Name
	}
	for _, x := range list {
		p := pages.Price{Product: x.Product, ProductName: x.ProductName, Unit: x.Unit, Package: optional(x.Package), Rate: x.Definition}
		if owner := x.Definition.OwnerAccount; owner != t.Account.ID {
			p.AccountName = names[owner]
		}
		o.Prices = append(o.Prices, p)
	}
	return nil
}

// recent sums what arrived in the last minutes by line.
func (c customerPages) recent(ctx context.Context, t *invoicer.Target, o *pages.Overview) error {
	query := sink.ActivitiesQuery{Filter: sink.Filter{Invoice: t.Ref.ID}, Newest: true, Limit: recentRead}
	rows, _, err := c.reports.Reports.Activities(ctx, query)
	if err != nil {
		return asked(err)
	}
	lines := map[string]*invoicer.Line{}
	for i := range o.Invoice.Lines {
		lines[o.Invoice.Lines[i].ID] = &o.Invoice.Lines[i]
	}
	moved := map[string]*pages.Movement{}
	for i := range rows {
		a := &rows[i].Activity
		l := lines[a.Line.String()]
		if l == nil || rows[i].LogTime < o.RecentSince.UnixNano() {
			continue
		}
		m := moved[l.ID]
		if m == nil {
			m = &pages.Movement{Line: l.ID, UsageAccount: l.UsageAccount, Product: l.Product, ProductName: l.ProductName, Unit: l.Unit, Attributes: l.Attributes}
			moved[l.ID] = m
		}
		if err := addMovement(m, &rows[i]); err != nil {
			return err
		}
	}
	for _, m := range moved {
		o.Recent = append(o.Recent, *m)
	}
	slices.SortFunc(o.Recent, func(a, b pages.Movement) int { return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.Line, b.Line)) })
	o.Recent = o.Recent[:min(len(o.Recent), recentShown)]
	return nil
}

func addMovement(m *pages.Movement, r *sink.Row) (err error) {
	if m.Quantity, err = m.Quantity.Add(r.Activity.Quantity); err != nil {
		return fmt.Errorf("sum what moved: %w", err)
	}
	if m.Charge.Decimal, err = m.Charge.Add(r.Activity.Charge); err != nil {
		return fmt.Errorf("sum what moved: %w", err)
	}
	if r.Activity.Kind == activity.KindUsage {
		m.Events++
	}
	if at := time.Unix(0, r.LogTime).In(m.Last.Location()); at.After(m.Last) {
		m.Last = at
	}
	return nil
}

// Line implements pages.Customer.
func (c customerPages) Line(ctx context.Context, account, line string) (*pages.LineDetail, error) {
	d, err := c.desk.Line(ctx, invoicer.Question{Account: account}, line)
	if err != nil {
		return nil, pageError(err)
	}
	out := &pages.LineDetail{
		Account: d.Account, AccountName: d.AccountName, Currency: d.Currency, TimeZone: d.TimeZone, Period: d.Period, State: d.State, Line: d.Line,
		Explanation: price.Explanation{Amount: d.Line.Amount.Decimal}, Shared: d.Shared,
	}
	if d.Explanation != nil {
		out.Explanation = *d.Explanation
	} else if d.Continues != nil {
		out.Explanation.Equation = d.Continues.Short
	}
	for _, r := range d.Definitions {
		s := pages.SegmentRate{Rate: r}
		if r.Start > d.Period.Start.UnixNano() {
			s.Start = time.Unix(0, r.Start).In(d.Period.Start.Location())
		}
		if r.End < d.Period.End.UnixNano() {
			s.End = time.Unix(0, r.End).In(d.Period.Start.Location())
		}
		out.Rates = append(out.Rates, s)
	}
	for _, a := range d.Asked {
		out.Asked = append(out.Asked, pages.LevelStep{Level: catalog.Level(a.Level), Account: a.Account, RateID: a.Rate, Why: a.Why, Answered: a.Answered})
	}
	if err := c.facets(ctx, d, out); err != nil {
		return nil, pageError(err)
	}
	return out, nil
}

// facetsRead is how many of a line's newest activities are looked at for what they can be filtered by.
const (
	facetsRead  = 1000
	facetValues = 50
)

func (c customerPages) facets(ctx context.Context, d *invoicer.LineDetail, out *pages.LineDetail) error {
	id, err := activity.ParseID(d.Line.ID)
	if err != nil {
		return err
	}
	filter := sink.Filter{Accounts: []string{d.Line.UsageAccount}, Line: id}
	rows, _, err := c.reports.Reports.Activities(ctx, sink.ActivitiesQuery{Filter: filter, Newest: true, Limit: facetsRead})
	if err != nil {
		return asked(err)
	}
	counts := map[string]map[string]int{}
	for i := range rows {
		for _, a := range rows[i].Activity.Attributes {
			if counts[a.Name] == nil {
				counts[a.Name] = map[string]int{}
			}
			counts[a.Name][a.Value]++
		}
	}
	for name, values := range counts {
		f := pages.Facet{Name: name}
		for v := range values {
			f.Values = append(f.Values, v)
		}
		slices.SortFunc(f.Values, func(a, b string) int { return cmp.Or(values[b]-values[a], cmp.Compare(a, b)) })
		f.Values = f.Values[:min(len(f.Values), facetValues)]
		out.Facets = append(out.Facets, f)
	}
	slices.SortFunc(out.Facets, func(a, b pages.Facet) int { return cmp.Compare(a.Name, b.Name) })
	filter.From, filter.To = d.Period.Start.UnixNano(), d.Period.End.UnixNano()
	if d.Line.UsagePeriod != nil {
		filter.From, filter.To = d.Line.UsagePeriod.Start.UnixNano(), d.Line.UsagePeriod.End.UnixNano()
	}
	days, _, err := c.reports.Totals(ctx, sink.TotalsQuery{Filter: filter, Groups: []sink.Group{sink.GroupDay}, Zone: d.Period.Start.Location()})
	for _, x := range days {
		out.Days = append(out.Days, x.Day)
	}
	return asked(err)
}

// Activities implements pages.Customer.
func (c customerPages) Activities(ctx context.Context, account, line string, f pages.ActivityFilter, cursor string) (*pages.ActivityPage, error) {
	d, err := c.desk.Line(ctx, invoicer.Question{Account: account}, line)
	if err != nil {
		return nil, pageError(err)
	}
	id, err := activity.ParseID(line)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", pages.ErrNotFound, err)
	}
	filter := sink.Filter{Accounts: []string{d.Line.UsageAccount}, Line: id}
	for name, value := range f.Attributes {
		filter.Attributes = append(filter.Attributes, activity.Attribute{Name: name, Value: value})
	}
	if f.Day != "" {
		day, err := time.ParseInLocation(time.DateOnly, f.Day, d.Period.Start.Location())
		if err != nil {
			return nil, fmt.Errorf("%w: day %q", pages.ErrNotFound, f.Day)
		}
		filter.From, filter.To = day.UnixNano(), day.AddDate(0, 0, 1).UnixNano()
	}
	rows, next, err := c.reports.Reports.Activities(ctx, sink.ActivitiesQuery{Filter: filter, Newest: true, Limit: f.Limit, After: cursor})
	if err != nil {
		return nil, pageError(asked(err))
	}
	page := &pages.ActivityPage{Next: next, Events: 0}
	for i := range rows {
		a := describeActivity(&rows[i])
		page.Rows = append(page.Rows, pages.Activity{
			Time: a.Time.In(d.Period.Start.Location()), ID: a.Activity, Adjustment: a.Kind == "adjustment", Source: a.Source, EventID: a.ID, Attributes: a.Attributes,
			Quantity: a.Quantity, Charge: a.Charge, RateID: a.Rate.ID, LineAmount: a.LineAmount,
		})
	}
	sums, _, err := c.reports.Totals(ctx, sink.TotalsQuery{Filter: filter})
	if err != nil {
		return nil, pageError(asked(err))
	}
	page.Quantity, page.Charge = &money.Decimal{}, &money.Fixed{}
	for _, s := range sums { // one row: a line has one currency
		page.Events, page.Quantity, page.Charge = s.Events, &s.Quantity, &money.Fixed{Decimal: s.Revenue}
	}
	return page, nil
}

// Charge implements pages.Charges. What the account may not see looks as if it was not there.
func (c customerPages) Charge(ctx context.Context, account, id string) (*invoicer.ChargeDetail, error) {
	detail, err := c.desk.Charge(ctx, id, "")
	if err != nil {
		return nil, pageError(err)
	}
	target, err := c.desk.Find(ctx, invoicer.Question{Account: detail.Account})
	if err != nil {
		return nil, pageError(err)
	}
	if !slices.ContainsFunc(target.Chain, func(a *catalog.Account) bool { return a.ID == account }) {
		return nil, fmt.Errorf("%w: activity %q is not of account %q", pages.ErrNotFound, id, account)
	}
	return detail, nil
}

// Watch implements pages.Watcher.
func (c customerPages) Watch(ctx context.Context, account string) (<-chan struct{}, error) {
	target, err := c.desk.Find(ctx, invoicer.Question{Account: account})
	if err != nil {
		return nil, pageError(err)
	}
	return c.watch.Watch(ctx, target.Billed.ID)
}
