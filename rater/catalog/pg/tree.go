package pg

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Children returns the ids of the accounts right below the account, ordered, at most limit after the given id.
func (s *Store) Children(ctx context.Context, account, after string, limit int) ([]string, error) {
	const query = "SELECT id FROM account WHERE parent = $1 AND parent <> '' AND id > $2 AND NOT deleted ORDER BY id LIMIT $3" // account_by_parent
	rows, err := s.pool.Query(ctx, query, account, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read the accounts below %s: %w", account, err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read the accounts below %s: %w", account, err)
	}
	return ids, nil
}

// ResolveAccount returns the id of the account that has this id or, at the instant, this identifier; "" when none has.
func (s *Store) ResolveAccount(ctx context.Context, name string, at int64) (string, error) {
	found, err := s.ResolveSubjects(ctx, []Subject{{Value: name, Time: at}})
	if err != nil {
		return "", err
	}
	return found[0].Account, nil
}
