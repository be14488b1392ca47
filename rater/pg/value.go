package pg

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tollstream/tollstream/rater"
)

var (
	valuesSQL       = statement("values")
	valuesOfSQL     = statement("values_of")
	commitValuesSQL = statement("commit_values")
)

// Values reads distinct values. One without a row was not counted.
func (s *Store) Values(ctx context.Context, f rater.Fence, values []rater.ValueKey) ([]rater.ValueState, error) {
	var found []rater.ValueState
	sets, hashes := valueColumns(values)
	err := s.fenced(ctx, f, "read values", valuesSQL, appendValue(&found), sets, hashes)
	return found, err
}

// ValuesOf reads distinct values as they are committed, without a fence.
func (s *Store) ValuesOf(ctx context.Context, values []rater.ValueKey) ([]rater.ValueState, error) {
	var found []rater.ValueState
	sets, hashes := valueColumns(values)
	rows, err := s.pool.Query(ctx, valuesOfSQL, sets, hashes)
	if err != nil {
		return nil, fmt.Errorf("read %d values: %w", len(values), err)
	}
	defer rows.Close()
	add := appendValue(&found)
	for rows.Next() {
		if err := add(rows); err != nil {
			return nil, fmt.Errorf("read %d values: %w", len(values), err)
		}
	}
	return found, rows.Err()
}

func valueColumns(values []rater.ValueKey) (sets, hashes pgtype.FlatArray[pgtype.UUID]) {
	sets, hashes = make(pgtype.FlatArray[pgtype.UUID], len(values)), make(pgtype.FlatArray[pgtype.UUID], len(values))
	for i := range values {
		sets[i], hashes[i] = uuid(values[i].Set), uuid(values[i].Hash)
	}
	return sets, hashes
}

func appendValue(values *[]rater.ValueState) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		var set, hash pgtype.UUID
		var places int64
		if err := rows.Scan(&set, &hash, &places); err != nil {
			return err
		}
		*values = append(*values, rater.ValueState{ValueKey: rater.ValueKey{Set: set.Bytes, Hash: hash.Bytes}, Places: uint64(places)})
		return nil
	}
}

// queueValues queues the values that came to a place, sorted by the table's key.
func queueValues(batch *pgx.Batch, cuts []*rater.Cut) {
	for _, c := range cuts {
		values := slices.Clone(c.Values)
		slices.SortFunc(values, func(a, b rater.ValueState) int {
			return cmp.Or(bytes.Compare(a.Set[:], b.Set[:]), bytes.Compare(a.Hash[:], b.Hash[:]))
		})
		for chunk := range slices.Chunk(values, upsertRows) {
			sets, hashes, places := make(pgtype.FlatArray[pgtype.UUID], len(chunk)), make(pgtype.FlatArray[pgtype.UUID], len(chunk)), make([]int64, len(chunk))
			for i := range chunk {
				sets[i], hashes[i], places[i] = uuid(chunk[i].Set), uuid(chunk[i].Hash), int64(chunk[i].Places)
			}
			batch.Queue(commitValuesSQL, c.Fence.Partition, sets, hashes, places)
		}
	}
}
