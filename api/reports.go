package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// maxReportRows bounds a report as CSV, which comes whole.
const maxReportRows = 100_000

// reportInput is what usage and revenue ask alike.
type reportInput struct {
	Period   string   `query:"period" doc:"a month, 2026-11; default: the current one, unless from and to are given" example:"2026-11"`
	From     string   `query:"from" doc:"date or instant, inclusive"`
	To       string   `query:"to" doc:"date or instant, exclusive"`
	Account  string   `query:"account" doc:"who used; default: all, for a customer its own"`
	Product  string   `query:"product"`
	GroupBy  []string `query:"group_by" doc:"of day, account, billed_account, product, package; several separated by commas; default: day, account, product"`
	TimeZone string   `query:"time_zone" default:"UTC" doc:"of days and dates" example:"Europe/Berlin"`
	Cursor   string   `query:"cursor" doc:"next of the page before"`
	Limit    int      `query:"limit" minimum:"1" maximum:"10000" default:"1000"`
	CSVParam
}

// query checks the question and limits a customer to its own accounts.
func (s *Server) query(ctx context.Context, in *reportInput) (ReportQuery, error) {
	q := ReportQuery{Account: in.Account, Product: in.Product, GroupBy: in.GroupBy, Cursor: in.Cursor, Limit: in.Limit}
	if in.Format == "csv" {
		q.Limit = MaxReportPage
	}
	if len(q.GroupBy) == 0 {
		q.GroupBy = []string{"day", "account", "product"}
	}
	for _, g := range q.GroupBy {
		if !slices.Contains(Groups, g) {
			return q, fmt.Errorf("%w: group_by %q is none of %s", ErrInvalid, g, strings.Join(Groups, ", "))
		}
	}
	var err error
	if q.Zone, err = zoneOf(in.TimeZone); err != nil {
		return q, err
	}
	if q.From, q.To, err = s.span(in.Period, in.From, in.To, q.Zone); err != nil {
		return q, err
	}
	p := PrincipalOf(ctx)
	if p.Role == RoleCustomer && q.Account == "" {
		q.Account = p.Account
	}
	if q.Account == "" {
		return q, nil
	}
	return q, s.mayRead(ctx, q.Account)
}

func zoneOf(name string) (*time.Location, error) {
	if name == "" || name == "Local" {
		return time.UTC, nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("%w: time zone %q is not known; use a name like Europe/Berlin", ErrInvalid, name)
	}
	return zone, nil
}

// span reads a month, or from and to.
func (s *Server) span(period, from, to string, zone *time.Location) (start, end time.Time, err error) {
	if from == "" && to == "" {
		year, month, err := s.month(period, zone)
		if err != nil {
			return start, end, err
		}
		start = time.Date(year, month, 1, 0, 0, 0, 0, zone)
		return start, start.AddDate(0, 1, 0), nil
	}
	if from == "" || to == "" || period != "" {
		return start, end, fmt.Errorf("%w: give either period, or both from and to", ErrInvalid)
	}
	if start, err = instantOf("from", from, zone); err != nil {
		return start, end, err
	}
	if end, err = instantOf("to", to, zone); err != nil {
		return start, end, err
	}
	if !start.Before(end) {
		return start, end, fmt.Errorf("%w: from %s is not before to %s", ErrInvalid, from, to)
	}
	return start, end, nil
}

// month reads "2026-11", also as a date in it; empty: the current one.
func (s *Server) month(period string, zone *time.Location) (int, time.Month, error) {
	if period == "" {
		now := s.Now().In(zone)
		return now.Year(), now.Month(), nil
	}
	for _, layout := range []string{"2006-01", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, period, zone); err == nil && plausible(t) {
			return t.Year(), t.Month(), nil
		}
	}
	return 0, 0, fmt.Errorf(`%w: period %q is not a month like "2026-11"`, ErrInvalid, period)
}

// plausible keeps instants inside what 64 bits of nanoseconds hold.
func plausible(t time.Time) bool { return t.Year() >= 1970 && t.Year() <= 2200 }

func instantOf(name, text string, zone *time.Location) (time.Time, error) {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil && plausible(t) {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf(`%w: %s %q is neither a date ("2026-11-01") nor an instant ("2026-11-01T00:00:00Z")`, ErrInvalid, name, text)
}

// report asks for a page, or as CSV for all of them.
func report[T any](ctx context.Context, q ReportQuery, format string, ask func(context.Context, ReportQuery) ([]T, string, error)) (*body[List[T]], error) {
	var all []T
	for {
		rows, next, err := ask(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("ask the report store: %w", err)
		}
		all = append(all, rows...)
		if format != "csv" || next == "" {
			list := listOf(all, next)
			return answer(&list, nil)
		}
		if len(all) >= maxReportRows {
			return nil, fmt.Errorf("%w: the report has more than %d rows; ask for less time, one account or fewer groups", ErrInvalid, maxReportRows)
		}
		q.Cursor = next
	}
}

func (s *Server) registerReports() {
	operation := func(id, summary, description string) huma.Operation {
		return huma.Operation{
			OperationID: "report-" + id, Method: http.MethodGet, Path: "/v1/reports/" + id, Tags: []string{"reports"}, Summary: summary, Description: description,
			Metadata: map[string]any{csvCapable: true},
			Errors:   []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusUnprocessableEntity},
		}
	}
	if s.Reports != nil {
		register(s, ReadReports, operation("usage", "What was used, by account, product and day", "From the report store. A customer sees its own accounts."),
			func(ctx context.Context, in *reportInput) (*body[List[UsageRow]], error) {
				q, err := s.query(ctx, in)
				if err != nil {
					return nil, err
				}
				return report(ctx, q, in.Format, s.Reports.UsageReport)
			})
		s.offerCSV("/v1/reports/usage")
		register(s, ReadReports, operation("revenue", "What it cost, by account, product, day and currency", "From the report store: charges and adjustments by event time. A customer sees its own accounts."),
			func(ctx context.Context, in *reportInput) (*body[List[RevenueRow]], error) {
				q, err := s.query(ctx, in)
				if err != nil {
					return nil, err
				}
				return report(ctx, q, in.Format, s.Reports.RevenueReport)
			})
		s.offerCSV("/v1/reports/revenue")
	}
	if s.Reconciler != nil {
		s.registerReconciliation(operation("reconciliation", "Whether usage, activity and invoices agree, for a UTC month of event time",
			"Per partition: accepted + retried = rated + duplicates + rejected, and charges = invoice lines = report store. What lines have in pools, whose tiers they share, adds up to the pool."))
	}
}

func (s *Server) registerReconciliation(op huma.Operation) {
	register(s, ReadMoney, op, func(ctx context.Context, in *struct {
		Period string `query:"period" doc:"a month, 2026-11; default: the current one" example:"2026-11"`
		Deep   bool   `query:"deep" doc:"also compare record by record: slower, finds the first offset that differs"`
		CSVParam
	}) (*body[Reconciliation], error) {
		year, month, err := s.month(in.Period, time.UTC)
		if err != nil {
			return nil, err
		}
		r, err := s.Reconciler.Reconcile(ctx, year, month, in.Deep)
		if err != nil {
			return nil, fmt.Errorf("reconcile %04d-%02d: %w", year, month, err)
		}
		if r.Partitions == nil {
			r.Partitions = []ReconciledPartition{}
		}
		if r.Sums == nil {
			r.Sums = []ReconciledCurrency{}
		}
		return answer(r, nil)
	})
	s.offerCSV(op.Path)
}

func (r Reconciliation) rows() any { return r.Partitions }
