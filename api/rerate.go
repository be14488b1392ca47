package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

func (s *Server) registerReratings() {
	if s.Reratings == nil {
		return
	}
	register(s, Rerate, huma.Operation{
		OperationID: "rerate", Method: http.MethodPost, Path: "/v1/rerate", Tags: []string{"catalog"}, DefaultStatus: http.StatusAccepted,
		Summary: "Rates an account's usage anew under the present definitions",
		Description: "The stored usage is added up again, and each difference becomes an adjustment on its line; what a closed invoice charged stays, and the " +
			"difference goes to the current one. A dry run shows the differences and changes nothing. What definitions change is rated anew by itself.",
		Errors: []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusUnprocessableEntity},
	}, func(ctx context.Context, in *struct{ Body RerateRequest }) (*body[Rerating], error) {
		q := in.Body
		if q.Period != "" {
			var err error
			if q.At, err = rerateTime(q.Period); err != nil {
				return nil, err
			}
		}
		r, err := s.Reratings.Rerate(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("rate account %q anew: %w", q.Account, err)
		}
		return answer(r, nil)
	})
	register(s, ReadRerating, huma.Operation{
		OperationID: "list-rerate", Method: http.MethodGet, Path: "/v1/rerate", Tags: []string{"catalog"},
		Summary:     "Jobs that rate usage anew, newest first",
		Description: "What somebody asked for, and what definitions have caused that change usage already rated.",
	}, func(ctx context.Context, in *RerateQuery) (*body[List[Rerating]], error) {
		jobs, next, err := s.RerateJobs.Reratings(ctx, *in)
		list := listOf(jobs, next)
		return answer(&list, err)
	})
	register(s, ReadRerating, huma.Operation{
		OperationID: "get-rerate", Method: http.MethodGet, Path: "/v1/rerate/{id}", Tags: []string{"catalog"},
		Summary:     "How far rating anew is",
		Description: "The id is what starting answered or, of what definitions caused, their sequence number.",
		Errors:      []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound},
	}, func(ctx context.Context, in *struct {
		ID int64 `path:"id"`
	}) (*body[Rerating], error) {
		r, err := s.Reratings.Rerating(ctx, in.ID)
		if err != nil {
			return nil, fmt.Errorf("rating anew %d: %w", in.ID, err)
		}
		return answer(r, nil)
	})
	s.registerRerateLines()
}

// registerRerateLines adds what a job did.
func (s *Server) registerRerateLines() {
	errs := []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound}
	register(s, ReadRerating, huma.Operation{
		OperationID: "rerate-lines", Method: http.MethodGet, Path: "/v1/rerate/{id}/lines", Tags: []string{"catalog"}, Errors: errs,
		Summary: "What rating anew changed, line by line or summed by account",
		Description: "The adjustments as the report store has them: those of the job, and those of lines that usage fell on under the new definitions before the job came " +
			"to them. What followed in later periods, where a level goes on, is not among them.",
		Metadata: map[string]any{csvCapable: true},
	}, func(ctx context.Context, in *struct {
		ID int64 `path:"id"`
		RerateLinesQuery
		CSVParam
	}) (*body[List[RerateLine]], error) {
		lines, next, err := s.RerateJobs.RerateLines(ctx, in.ID, in.RerateLinesQuery)
		list := listOf(lines, next)
		return answer(&list, err)
	})
	s.offerCSV("/v1/rerate/{id}/lines")
	register(s, ReadRerating, huma.Operation{
		OperationID: "rerate-accounts", Method: http.MethodGet, Path: "/v1/rerate/{id}/accounts", Tags: []string{"catalog"}, Errors: errs,
		Summary:  "The accounts whose usage is added up again, with what stays as it was and why",
		Metadata: map[string]any{csvCapable: true},
	}, func(ctx context.Context, in *struct {
		ID int64 `path:"id"`
		Page
		CSVParam
	}) (*body[List[RerateAccount]], error) {
		accounts, next, err := s.RerateJobs.RerateAccounts(ctx, in.ID, in.Cursor, in.Limit)
		list := listOf(accounts, next)
		return answer(&list, err)
	})
	s.offerCSV("/v1/rerate/{id}/accounts")
}

func rerateTime(text string) (time.Time, error) {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%w: period must be a date such as 2026-11-21 or an instant such as 2026-11-21T10:00:00Z, not %q", ErrInvalid, text)
}
