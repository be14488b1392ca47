package pg

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tollstream/tollstream/rater"
)

var (
	levelsSQL           = statement("levels")
	commitLevelsSQL     = statement("commit_levels")
	commitLevelsDoneSQL = statement("commit_levels_done")
)

// Levels reads which families' levels wait for a seal of the billed account up to an instant, the first of them.
func (s *Store) Levels(ctx context.Context, f rater.Fence, owed string, through int64, limit int) ([]rater.LevelState, error) {
	var found []rater.LevelState
	err := s.fenced(ctx, f, "read levels", levelsSQL, func(rows pgx.Rows) error {
		l := rater.LevelState{Owed: owed}
		var family pgtype.UUID
		if err := rows.Scan(&l.End, &family); err != nil {
			return err
		}
		l.Family = family.Bytes
		found = append(found, l)
		return nil
	}, owed, through, limit)
	return found, err
}

// queueLevels queues the levels that wait, and those that do no more, sorted by the table's key.
func queueLevels(batch *pgx.Batch, cuts []*rater.Cut) {
	for _, c := range cuts {
		levels := slices.Clone(c.Levels)
		slices.SortFunc(levels, func(a, b rater.LevelState) int {
			return cmp.Or(cmp.Compare(a.Owed, b.Owed), cmp.Compare(a.End, b.End), bytes.Compare(a.Family[:], b.Family[:]))
		})
		for chunk := range slices.Chunk(levels, upsertRows) {
			for _, done := range []bool{false, true} {
				var owed []string
				var end []int64
				var family pgtype.FlatArray[pgtype.UUID]
				for i := range chunk {
					if l := &chunk[i]; l.Done == done {
						owed, end, family = append(owed, l.Owed), append(end, l.End), append(family, uuid(l.Family))
					}
				}
				if len(owed) == 0 {
					continue
				}
				sql := commitLevelsSQL
				if done {
					sql = commitLevelsDoneSQL
				}
				batch.Queue(sql, c.Fence.Partition, owed, end, family)
			}
		}
	}
}
