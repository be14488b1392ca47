package pg

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
)

var (
	poolsSQL       = statement("pools")
	poolsOfSQL     = statement("pools_of")
	sharingSQL     = statement("sharing")
	commitPoolsSQL = statement("commit_pools")
)

// Pools reads pools. One without a row is absent.
func (s *Store) Pools(ctx context.Context, f rater.Fence, pools []activity.ID) ([]rater.PoolState, error) {
	var found []rater.PoolState
	err := s.fenced(ctx, f, "read pools", poolsSQL, appendPool(&found), uuids(pools))
	return found, err
}

// Sharing reads which families have shares of the pool.
func (s *Store) Sharing(ctx context.Context, f rater.Fence, pool activity.ID, billed string, start int64) ([]activity.ID, error) {
	var found []activity.ID
	err := s.fenced(ctx, f, "read who shares a pool", sharingSQL, func(rows pgx.Rows) error {
		var family pgtype.UUID
		err := rows.Scan(&family)
		found = append(found, family.Bytes)
		return err
	}, pool[:], billed, start)
	return found, err
}

// PoolsOf reads pools as they are committed, without a fence.
func (s *Store) PoolsOf(ctx context.Context, pools []activity.ID) ([]rater.PoolState, error) {
	var found []rater.PoolState
	rows, err := s.pool.Query(ctx, poolsOfSQL, uuids(pools))
	if err != nil {
		return nil, fmt.Errorf("read %d pools: %w", len(pools), err)
	}
	defer rows.Close()
	add := appendPool(&found)
	for rows.Next() {
		if err := add(rows); err != nil {
			return nil, fmt.Errorf("read %d pools: %w", len(pools), err)
		}
	}
	return found, rows.Err()
}

func appendPool(pools *[]rater.PoolState) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		var q rater.PoolState
		var id pgtype.UUID
		var scope, amount string
		err := rows.Scan(&id, &scope, &q.Of, &q.Seller, &q.Billed, &q.Product, &q.Currency, &q.Period.Start, &q.Period.End, &amount,
			&q.Segments, &q.Seq, &q.Version)
		if err != nil {
			return err
		}
		q.ID, q.Scope = id.Bytes, catalog.Pool(scope)
		if q.Amount, err = money.Parse(amount); err != nil {
			return fmt.Errorf("pool %s: amount: %w", q.ID, err)
		}
		*pools = append(*pools, q)
		return nil
	}
}

// queuePools queues the pools that have changed, sorted by the table's key.
func queuePools(batch *pgx.Batch, cuts []*rater.Cut) {
	var partition []int32
	var id pgtype.FlatArray[pgtype.UUID]
	var scope, of, seller, billed, product, currency, amount []string
	var start, end, seq, version []int64
	var segments [][]byte
	flush := func() {
		if len(partition) > 0 {
			batch.Queue(commitPoolsSQL, partition, id, scope, of, seller, billed, product, currency, start, end, amount, segments, seq, version)
		}
		partition, id, start, end, seq, version, segments = nil, nil, nil, nil, nil, nil, nil
		scope, of, seller, billed, product, currency, amount = nil, nil, nil, nil, nil, nil, nil
	}
	for _, c := range cuts {
		pools := slices.Clone(c.Pools)
		slices.SortFunc(pools, func(a, b rater.PoolState) int { return bytes.Compare(a.ID[:], b.ID[:]) })
		for i := range pools {
			q := &pools[i]
			partition, id = append(partition, c.Fence.Partition), append(id, uuid(q.ID))
			scope, of, seller, billed = append(scope, string(q.Scope)), append(of, q.Of), append(seller, q.Seller), append(billed, q.Billed)
			product, currency, amount = append(product, q.Product), append(currency, q.Currency), append(amount, q.Amount.String())
			start, end = append(start, q.Period.Start), append(end, q.Period.End)
			segments, seq, version = append(segments, notNull(q.Segments)), append(seq, q.Seq), append(version, q.Version)
			if len(partition) == upsertRows {
				flush()
			}
		}
	}
	flush()
}
