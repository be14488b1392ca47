package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/invoicer"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	rkafka "github.com/tollstream/tollstream/rater/kafka"
	"github.com/tollstream/tollstream/rater/reconcile"
	reconcilepg "github.com/tollstream/tollstream/rater/reconcile/pg"
	"github.com/tollstream/tollstream/rater/sink"
	"github.com/tollstream/tollstream/rater/sink/clickhouse"
	sinkkafka "github.com/tollstream/tollstream/rater/sink/kafka"
	sinkpg "github.com/tollstream/tollstream/rater/sink/postgres"
)

// reportStore answers the questions of finance; ClickHouse and PostgreSQL both do.
type reportStore struct {
	sink.Store
	sink.Reports
	sink.Proof
	sink.History
	sink.Adjustments
}

var (
	_ api.Reports           = reportStore{}
	_ api.Activities        = reportStore{}
	_ invoicer.DailyCharges = reportStore{}
	_ invoicer.History      = charges{}
)

func (p *process) openReports(context.Context) (reportStore, error) {
	if p.stores.clickhouse == "" {
		s := sinkpg.NewStore(p.stores.pool)
		return reportStore{s, s, s, s, s}, nil
	}
	s, err := clickhouse.Open(p.stores.clickhouse)
	if err != nil {
		return reportStore{}, err
	}
	p.onStop(func() { _ = s.Close() }) // every insert was awaited
	p.pingReports = s.Ping
	return reportStore{s, s, s, s, s}, nil
}

// startSink follows `rated` into the report store.
func (p *process) startSink(ctx context.Context) error {
	config := sink.DefaultConfig()
	config.Owner = fmt.Sprintf("%x", random())
	state := sinkpg.NewState(p.stores.pool)
	if p.stores.ownPostgres { // whoever held the lease was killed with its database
		if err := state.Break(ctx); err != nil {
			return err
		}
	}
	log := sinkkafka.NewLog(p.stores.kafka, rkafka.RatedTopic)
	s, err := sink.New(config, p.reports.Store, state, state, log, wallClock{p.Now}, p.Log, sink.NewMetrics(p.registry))
	if err != nil {
		return err
	}
	p.work(ctx, "sink", s.Run)
	return nil
}

// asked translates what an asker did wrong.
func asked(err error) error {
	if errors.Is(err, sink.ErrQuery) {
		return fmt.Errorf("%w: %w", api.ErrInvalid, err)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", api.ErrUnavailable, err)
	}
	return nil
}

var groups = map[string]sink.Group{
	"day": sink.GroupDay, "account": sink.GroupAccount, "billed_account": sink.GroupBilled, "product": sink.GroupProduct, "package": sink.GroupPackage,
}

func (s reportStore) totals(ctx context.Context, q api.ReportQuery) ([]sink.Total, string, error) {
	query := sink.TotalsQuery{Filter: sink.Filter{Product: q.Product}, Zone: q.Zone, Limit: q.Limit, After: q.Cursor}
	query.From, query.To = instant(q.From), instant(q.To)
	if q.Account != "" {
		query.Accounts = []string{q.Account}
	}
	for _, g := range q.GroupBy {
		query.Groups = append(query.Groups, groups[g])
	}
	rows, next, err := s.Totals(ctx, query)
	return rows, next, asked(err)
}

func instant(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func optional(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// UsageReport implements api.Reports. Rows of several currencies are the same usage's: they are joined.
func (s reportStore) UsageReport(ctx context.Context, q api.ReportQuery) ([]api.UsageRow, string, error) {
	rows, next, err := s.totals(ctx, q)
	if err != nil {
		return nil, "", err
	}
	out := make([]api.UsageRow, 0, len(rows))
	for _, r := range rows {
		row := api.UsageRow{Day: r.Day, Account: r.Account, Billed: r.Billed, Product: r.Product, Package: optional(r.Package), Quantity: r.Quantity, Events: r.Events}
		if n := len(out); n > 0 {
			last := out[n-1]
			if last.Day == row.Day && last.Account == row.Account && last.Billed == row.Billed && last.Product == row.Product && last.Package == row.Package {
				sum, err := last.Quantity.Add(row.Quantity)
				if err != nil {
					return nil, "", fmt.Errorf("sum usage: %w", err)
				}
				out[n-1].Quantity, out[n-1].Events = sum, last.Events+row.Events
				continue
			}
		}
		out = append(out, row)
	}
	return out, next, nil
}

// RevenueReport implements api.Reports.
func (s reportStore) RevenueReport(ctx context.Context, q api.ReportQuery) ([]api.RevenueRow, string, error) {
	rows, next, err := s.totals(ctx, q)
	if err != nil {
		return nil, "", err
	}
	out := make([]api.RevenueRow, len(rows))
	for i, r := range rows {
		out[i] = api.RevenueRow{
			Day: r.Day, Account: r.Account, Billed: r.Billed, Product: r.Product, Package: optional(r.Package),
			Currency: r.Currency, Amount: money.Fixed{Decimal: r.Revenue}, Events: r.Events,
		}
	}
	return out, next, nil
}

// DailyCharges implements invoicer.DailyCharges.
func (s reportStore) DailyCharges(ctx context.Context, q invoicer.DailyQuery) ([]invoicer.DayCharge, error) {
	query := sink.TotalsQuery{
		Filter: sink.Filter{Billed: q.Billed, Accounts: q.Accounts, From: instant(q.From), To: instant(q.To)},
		Groups: []sink.Group{sink.GroupDay, sink.GroupProduct}, Zone: q.Zone,
	}
	var out []invoicer.DayCharge
	for {
		rows, next, err := s.Totals(ctx, query)
		if err != nil {
			return nil, asked(err)
		}
		for _, r := range rows {
			out = append(out, invoicer.DayCharge{Day: r.Day, Product: r.Product, Charge: r.Revenue})
		}
		if next == "" {
			return out, nil
		}
		query.After = next
	}
}

// Activities implements api.Activities.
func (s reportStore) Activities(ctx context.Context, q api.ActivityQuery) (*api.ActivityPage, error) {
	query := sink.ActivitiesQuery{
		Filter: sink.Filter{Product: q.Product, EventID: q.EventID, Source: q.Source, From: instant(q.From), To: instant(q.To)},
		Newest: true, Limit: q.Limit, After: q.Cursor,
	}
	if q.Account != "" {
		query.Accounts = []string{q.Account}
	}
	if q.Line != "" {
		line, err := activity.ParseID(q.Line)
		if err != nil {
			return nil, fmt.Errorf("%w: line: %w", api.ErrInvalid, err)
		}
		query.Line = line
	}
	for name, value := range q.Attributes {
		query.Attributes = append(query.Attributes, activity.Attribute{Name: name, Value: value})
	}
	rows, next, err := s.Reports.Activities(ctx, query)
	if err != nil {
		return nil, asked(err)
	}
	page := &api.ActivityPage{Data: make([]api.Activity, len(rows)), Next: next}
	for i := range rows {
		page.Data[i] = describeActivity(&rows[i])
	}
	return page, nil
}

// charges reads activities for those that explain them.
type charges struct{ sink.Reports }

// Charge implements invoicer.History.
func (c charges) Charge(ctx context.Context, at invoicer.Place, account string) (*invoicer.Charged, error) {
	filter := sink.Filter{At: &sink.Place{Partition: at.Partition, Offset: at.Offset, Index: at.Index}}
	if account != "" {
		filter.Accounts = []string{account}
	}
	rows, _, err := c.Activities(ctx, sink.ActivitiesQuery{Filter: filter, Limit: 1})
	if err != nil || len(rows) == 0 {
		return nil, asked(err)
	}
	charged := chargedOf(&rows[0])
	return &charged, nil
}

// Charges implements invoicer.History. What is asked for stands on one partition: an account's usage, and what shares tiers on an invoice.
func (c charges) Charges(ctx context.Context, q invoicer.HistoryQuery) ([]invoicer.Charged, error) {
	query := sink.ActivitiesQuery{Filter: sink.Filter{Product: q.Product, Invoice: q.Invoice, Line: q.Line, From: q.From, To: q.To}, Limit: q.Limit}
	if q.Account != "" {
		query.Accounts = []string{q.Account}
	}
	if q.After != nil {
		query.After = q.After.String()
	}
	rows, _, err := c.Activities(ctx, query)
	if err != nil {
		return nil, asked(err)
	}
	page := make([]invoicer.Charged, len(rows))
	for i := range rows {
		page[i] = chargedOf(&rows[i])
	}
	return page, nil
}

func chargedOf(r *sink.Row) invoicer.Charged {
	return invoicer.Charged{
		Place: invoicer.Place{Partition: r.Partition, Offset: r.Offset, Index: r.Activity.Index}, LogTime: r.LogTime, Activity: r.Activity,
	}
}

func describeActivity(r *sink.Row) api.Activity {
	a := &r.Activity
	out := api.Activity{
		Kind: "usage", Activity: r.Place().String(), ID: a.EventID, Source: a.Source, Time: time.Unix(0, a.EventTime).UTC(), Account: a.Account, Billed: a.Billed,
		Product: a.Product, Attributes: map[string]string{}, Quantity: a.Quantity, Charge: money.Fixed{Decimal: a.Charge}, Currency: a.Currency,
		Rate:    api.ActivityRate{Level: a.Level, Account: a.RateAccount, ID: a.RateID, Model: a.RateModel, Seq: a.RateSeq},
		Invoice: a.Invoice.String(), Line: a.Line.String(), LineAmount: money.Fixed{Decimal: a.LineAmount}, ActivatedSeq: a.ActivatedSeq,
		Partition: r.Partition, Offset: r.Offset, Index: a.Index, LogTime: time.Unix(0, r.LogTime).UTC(),
	}
	if a.Kind == activity.KindAdjustment {
		out.Kind = "adjustment"
	}
	if a.Package != "" {
		out.Package = &a.Package
	}
	for _, x := range a.Attributes {
		out.Attributes[x.Name] = x.Value
	}
	sent := a.Sent()
	out.EventPackage = sent.EventPackage
	if sent.HasAmount {
		out.Amount = &api.ActivityAmount{Amount: sent.Amount, Currency: sent.AmountCurrency, Exchange: describeExchange(sent.AmountExchange)}
	}
	if sent.Corrects != (activity.EventName{}) {
		out.Corrects = &api.EventName{Source: sent.Corrects.Source, ID: sent.Corrects.ID}
	}
	out.Rate.Currency, out.Rate.Exchange = a.RateCurrency, describeExchange(a.RateExchange)
	return out
}

func describeExchange(x activity.Exchange) *api.Exchange {
	if !x.Used() {
		return nil
	}
	return &api.Exchange{Rate: x.Rate, Date: x.Date.String()}
}

// newReconciler compares what the process's stores say.
func (p *process) newReconciler() *reconcile.Reconciler {
	return &reconcile.Reconciler{
		Usage: usageLog{p}, Books: reconcilepg.NewBooks(p.stores.pool), Store: p.reports.Proof, Positions: sinkpg.NewState(p.stores.pool),
		Rated: sinkkafka.NewLog(p.stores.kafka, rkafka.RatedTopic),
		Pause: reconcile.PauseFor(reconcile.StandardPause), Patience: reconcile.StandardPatience,
	}
}

// usageLog is the usage log for the reconciliation and for the jobs that rate usage anew.
type usageLog struct{ p *process }

// Ends implements reconcile.Usage and rerate.Log.
func (l usageLog) Ends(ctx context.Context) (map[int32]int64, error) { return l.p.usageEnds(ctx) }

// reconciler is the reconciliation for the API.
type reconciler struct{ p *process }

// Reconcile implements api.Reconciler.
func (r reconciler) Reconcile(ctx context.Context, year int, month time.Month, deep bool) (*api.Reconciliation, error) {
	result, err := r.p.newReconciler().Month(ctx, reconcile.Options{Month: int32(year*12 + int(month) - 1), Deep: deep}) //nolint:gosec // a calendar month
	if err != nil {
		return nil, fmt.Errorf("%w: %w", api.ErrUnavailable, err)
	}
	return describeReconciliation(result), nil
}

func describeReconciliation(result *reconcile.Result) *api.Reconciliation {
	out := &api.Reconciliation{Period: result.Period, Agrees: result.OK, Deep: result.Deep, Pools: result.Pools}
	if result.First != nil {
		out.Difference = result.First.String()
	} else if len(result.Behind) > 0 {
		out.Difference = result.Behind[0].String()
	}
	for _, x := range result.Partitions {
		out.Partitions = append(out.Partitions, api.ReconciledPartition{
			Partition: x.Partition, Accepted: x.Accepted, Retried: x.Retried, Rated: x.Rated, Duplicates: x.Duplicates, Rejected: x.Rejected, Agrees: x.OK,
		})
	}
	for _, x := range result.Sums {
		out.Sums = append(out.Sums, api.ReconciledCurrency{
			Partition: x.Partition, Currency: x.Currency, Charged: money.Fixed{Decimal: x.Charged}, Lines: money.Fixed{Decimal: x.Lines},
			Reported: money.Fixed{Decimal: x.Reported}, Agrees: x.OK,
		})
	}
	return out
}
