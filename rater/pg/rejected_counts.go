package pg

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// ReasonCount counts rejected usage of one reason; Oldest and Newest are instants of arrival.
type ReasonCount struct {
	Reason         string
	Count          int64
	Oldest, Newest int64
}

// RejectedCounts counts by reason what the filter lets through, the most frequent first.
func (s *Store) RejectedCounts(ctx context.Context, filter RejectedFilter) ([]ReasonCount, error) {
	if filter.State == "" {
		filter.State = RejectedOpen
	}
	rows, err := s.pool.Query(ctx, rejectedCountsSQL, string(filter.State), filter.Reason, filter.Account, filter.Product, filter.Source,
		filter.From, filter.To, filter.ID)
	if err != nil {
		return nil, fmt.Errorf("count rejected usage: %w", err)
	}
	counts, err := pgx.CollectRows(rows, pgx.RowToStructByPos[ReasonCount])
	if err != nil {
		return nil, fmt.Errorf("count rejected usage: %w", err)
	}
	return counts, nil
}

var rejectedCountsSQL = statement("rejected_counts")
