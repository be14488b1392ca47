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
}

func rerateTime(text string) (time.Time, error) {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%w: period must be a date such as 2026-11-21 or an instant such as 2026-11-21T10:00:00Z, not %q", ErrInvalid, text)
}
