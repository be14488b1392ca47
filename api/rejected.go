package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// Retried is the answer to a retry.
type Retried struct {
	Retried int64 `json:"retried" doc:"events put back into the log; they leave the list"`
}

func (s *Server) registerRejected() {
	if s.Rejections == nil {
		return
	}
	register(s, ReadRejected, huma.Operation{
		OperationID: "list-rejected", Method: http.MethodGet, Path: "/v1/rejected", Tags: []string{"usage"},
		Summary:     "Usage that was accepted and could not be rated, newest first",
		Description: "With counts by reason of everything that the filter matches. Reasons: account_unknown, product_unknown, no_rate, not_provisioned, too_old, too_new, duplicate_conflict, late, quantity_overflow, quantity_negative, amount_missing, attribute_missing, values_gone (distinct values of its sealed period are kept no more), period_unbounded; of corrections quantity_positive, correction_waits (until its line is rated again: it is not retried before), correction_unknown, correction_repeated, correction_impossible.",
		Metadata:    map[string]any{csvCapable: true},
	}, func(ctx context.Context, in *struct {
		RejectedFilter
		Page
		CSVParam
	}) (*body[RejectedPage], error) {
		page, err := s.Rejections.Rejected(ctx, in.RejectedFilter, in.Cursor, in.Limit)
		if err != nil {
			return nil, err
		}
		if page.Data == nil {
			page.Data = []RejectedUsage{}
		}
		if page.Counts == nil {
			page.Counts = []ReasonCount{}
		}
		return answer(page, nil)
	})
	s.offerCSV("/v1/rejected")
	register(s, RetryRejected, huma.Operation{
		OperationID: "retry-rejected", Method: http.MethodPost, Path: "/v1/rejected/retry", Tags: []string{"usage"},
		Summary:     "Tries rejected usage again, after a fix",
		Description: "The body is a filter, {} means all. A retry keeps source and id.",
	}, func(ctx context.Context, in *struct{ Body RejectedFilter }) (*body[Retried], error) {
		n, err := s.Rejections.RetryRejected(ctx, in.Body)
		return answer(&Retried{Retried: n}, err)
	})
	register(s, SkipEvents, huma.Operation{
		OperationID: "skip-event", Method: http.MethodPost, Path: "/v1/rejected/skip", Tags: []string{"operations"},
		Summary:     "Turns an event on which rating fails into rejected usage",
		Description: "For a partition that stopped after it failed three times at one offset, as /v1/operations/status says. It goes on by itself.",
	}, func(ctx context.Context, in *struct{ Body EventPlace }) (*body[EventPlace], error) {
		err := s.Rejections.SkipEvent(ctx, in.Body)
		return answer(&in.Body, err)
	})
}

func (p RejectedPage) rows() any { return p.Data }
