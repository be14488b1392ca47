package pg

import (
	"context"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/dedup"
)

// PoolOf lets tests look at the tables.
func PoolOf(s *Store) *pgxpool.Pool { return s.pool }

// PublishDay is the last step of a compaction.
func PublishDay(s *Store, ctx context.Context, f rater.Fence, day int32) error {
	return s.publishDay(ctx, f, day, 1, 1, dedup.NewFilter(day, 1))
}

// LineStatements are the update of lines, with what is said to the planner before it, and the reading of lines.
func LineStatements() (planner, update, read string) {
	return byIndexSQL, commitKnownLinesSQL, linesSQL
}

// FoldPart is a part of a folding: nil is the beginning, or the end.
func FoldPart(s *Store, ctx context.Context, f rater.Fence, through int64, from, to *activity.ID) error {
	var above pgtype.UUID
	if from != nil {
		above = uuid(*from)
	}
	upTo := uuid(lastFamily)
	if to != nil {
		upTo = uuid(*to)
	}
	return s.foldPart(ctx, f, through, above, upTo)
}

// FoldStatement is the folding of lines; before it the planner is told the same.
func FoldStatement() string { return foldLinesSQL }
