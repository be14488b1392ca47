package pg

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
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
	commitSetsSQL   = statement("commit_sets")
	forgetValuesSQL = statement("forget_values")
	forgetSetsSQL   = statement("forget_sets")
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

// queueSets queues which sets have begun and which are gone, sorted by the table's key.
func queueSets(batch *pgx.Batch, cuts []*rater.Cut) {
	for _, c := range cuts {
		all := slices.Clone(c.Sets)
		slices.SortFunc(all, func(a, b rater.SetState) int { return bytes.Compare(a.Set[:], b.Set[:]) })
		for chunk := range slices.Chunk(all, upsertRows) {
			sets, owed := make(pgtype.FlatArray[pgtype.UUID], len(chunk)), make([]string, len(chunk))
			ends, gone := make([]int64, len(chunk)), make([]bool, len(chunk))
			for i := range chunk {
				sets[i], owed[i], ends[i], gone[i] = uuid(chunk[i].Set), chunk[i].Owed, chunk[i].End, chunk[i].Gone
			}
			batch.Queue(commitSetsSQL, c.Fence.Partition, sets, owed, ends, gone)
		}
	}
}

// forgetRows bounds the values that one statement deletes.
const forgetRows = 5000

// Forget deletes some values of sets that are of no use, then the sets that have none any more. Each statement looks at the claim and at what
// is of use by itself, so whoever dies between them, or after either, leaves nothing that is not found again.
func (s *Store) Forget(ctx context.Context, f rater.Fence, before int64) (more bool, err error) {
	claim := []any{f.Partition, f.Epoch, uuid(f.Owner), f.Next, before}
	values, err := s.pool.Exec(ctx, forgetValuesSQL, append(claim, forgetRows)...)
	if err != nil {
		return false, failed(f, "delete values", err)
	}
	sets, err := s.pool.Exec(ctx, forgetSetsSQL, claim...)
	if err != nil {
		return false, failed(f, "delete sets of values", err)
	}
	return values.RowsAffected()+sets.RowsAffected() > 0, nil
}

const markerSetSize = 24

// encodeSets writes each set with how many of its values are read.
func encodeSets(sets []rater.MarkerSet) []byte {
	b := make([]byte, 0, markerSetSize*len(sets))
	for i := range sets {
		b = append(b, sets[i].Set[:]...)
		b = binary.BigEndian.AppendUint64(b, uint64(sets[i].Read))
	}
	return b
}

func decodeSets(b []byte) (sets []rater.MarkerSet, err error) {
	if len(b)%markerSetSize != 0 {
		return nil, fmt.Errorf("%d bytes are not a list of sets", len(b))
	}
	for ; len(b) > 0; b = b[markerSetSize:] {
		sets = append(sets, rater.MarkerSet{Set: [16]byte(b[:16]), Read: int64(binary.BigEndian.Uint64(b[16:]))})
	}
	return sets, nil
}
