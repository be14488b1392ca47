// Package pg keeps API keys and the signing secret in PostgreSQL.
//
// It may import api for the interface that it fulfils, and the driver. Invariants: a key is stored as its hash only; rows are
// never deleted; of any number of processes that start at once one makes the first key and one the secret.
package pg

import (
	"context"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tollstream/tollstream/api"
)

//go:embed sql/*.sql
var queries embed.FS

func query(name string) string {
	text, err := queries.ReadFile("sql/" + name + ".sql")
	if err != nil {
		panic("bug: embedded query: " + err.Error())
	}
	return string(text)
}

var (
	createKey  = query("create_key")
	keyInForce = query("key_in_force")
	keyByHash  = query("key_by_hash")
	keys       = query("keys")
	revokeKey  = query("revoke_key")
	useKey     = query("use_key")
	makeSecret = query("make_secret")
	secret     = query("secret")
)

// Keys is the api.KeyStore of an installation.
type Keys struct{ pool *pgxpool.Pool }

var _ api.KeyStore = (*Keys)(nil)

// New keeps keys in the pool's database, which is migrated already.
func New(pool *pgxpool.Pool) *Keys { return &Keys{pool} }

// firstKeyLock serialises processes that look whether there is a key and make the first one.
const firstKeyLock = 0x746f6c6c6b6579 // "tollkey"

// CreateKey stores a new key; with onlyFirst, not when one is in force.
func (s *Keys) CreateKey(ctx context.Context, k api.Key, onlyFirst bool) (made bool, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if onlyFirst {
			if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(firstKeyLock)); err != nil {
				return err
			}
			var inForce bool
			if err := tx.QueryRow(ctx, keyInForce).Scan(&inForce); err != nil || inForce {
				return err
			}
		}
		_, err := tx.Exec(ctx, createKey, k.ID, k.Prefix, k.Name, string(k.Role), k.Account, k.Hash[:], k.CreatedAt)
		made = err == nil
		return err
	})
	if err != nil {
		return false, fmt.Errorf("store key %s: %w", k.ID, err)
	}
	return made, nil
}

// KeyByHash returns a key, revoked or not.
func (s *Keys) KeyByHash(ctx context.Context, hash [sha256.Size]byte) (api.Key, error) {
	k, err := one(s.pool.Query(ctx, keyByHash, hash[:]))
	if err != nil {
		return api.Key{}, fmt.Errorf("read a key by its hash: %w", err)
	}
	return k, nil
}

// Keys returns a page, newest first. The cursor is the last key's id.
func (s *Keys) Keys(ctx context.Context, cursor string, limit int) ([]api.Key, string, error) {
	rows, err := s.pool.Query(ctx, keys, cursor, limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("read keys: %w", err)
	}
	page, err := pgx.CollectRows(rows, scan)
	if err != nil {
		return nil, "", fmt.Errorf("read keys: %w", err)
	}
	if len(page) > limit {
		return page[:limit], page[limit-1].ID, nil
	}
	return page, "", nil
}

// RevokeKey revokes a key; one that is revoked keeps its time.
func (s *Keys) RevokeKey(ctx context.Context, id string, at time.Time) (api.Key, error) {
	k, err := one(s.pool.Query(ctx, revokeKey, id, at))
	if err != nil {
		return api.Key{}, fmt.Errorf("revoke: %w", err)
	}
	return k, nil
}

// UseKey notes when a key was used last.
func (s *Keys) UseKey(ctx context.Context, id string, at time.Time) error {
	if _, err := s.pool.Exec(ctx, useKey, id, at); err != nil {
		return fmt.Errorf("note the use of key %s: %w", id, err)
	}
	return nil
}

// Secret returns the named secret, which the first caller's candidate becomes.
func (s *Keys) Secret(ctx context.Context, name string, candidate []byte) ([]byte, error) {
	if _, err := s.pool.Exec(ctx, makeSecret, name, candidate); err != nil {
		return nil, fmt.Errorf("make secret %s: %w", name, err)
	}
	var value []byte
	if err := s.pool.QueryRow(ctx, secret, name).Scan(&value); err != nil {
		return nil, fmt.Errorf("read secret %s: %w", name, err)
	}
	return value, nil
}

func one(rows pgx.Rows, err error) (api.Key, error) {
	if err != nil {
		return api.Key{}, err
	}
	k, err := pgx.CollectExactlyOneRow(rows, scan)
	if errors.Is(err, pgx.ErrNoRows) {
		return api.Key{}, api.ErrNotFound
	}
	return k, err
}

func scan(row pgx.CollectableRow) (api.Key, error) {
	var k api.Key
	var hash []byte
	err := row.Scan(&k.ID, &k.Prefix, &k.Name, &k.Role, &k.Account, &hash, &k.CreatedAt, &k.RevokedAt, &k.LastUsedAt)
	k.CreatedAt = k.CreatedAt.UTC()
	copy(k.Hash[:], hash)
	return k, err
}
