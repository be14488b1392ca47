package pg_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/api/pg"
	"github.com/tollstream/tollstream/deploy/schema"
	"github.com/tollstream/tollstream/deploy/teststores"
)

var now = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

func open(t *testing.T) *pg.Keys {
	t.Helper()
	url := teststores.Postgres(t)
	if err := schema.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pg.New(pool)
}

func create(t *testing.T, store *pg.Keys, name string, at time.Time) (api.Key, string) {
	t.Helper()
	k, token, err := api.NewKey(name, api.RoleSupport, "", at)
	if err != nil {
		t.Fatal(err)
	}
	if made, err := store.CreateKey(t.Context(), k, false); err != nil || !made {
		t.Fatal(made, err)
	}
	return k, token
}

func TestKeyIsFoundByItsHashUntilRevokedAndAfter(t *testing.T) {
	store := open(t)
	k, token := create(t, store, "help desk", now)
	got, err := store.KeyByHash(t.Context(), sha256.Sum256([]byte(token)))
	if err != nil || got != k {
		t.Fatalf("got %+v, want %+v: %v", got, k, err)
	}
	if _, err := store.KeyByHash(t.Context(), sha256.Sum256([]byte(token+"x"))); !errors.Is(err, api.ErrNotFound) {
		t.Fatalf("another token: %v", err)
	}
	if err := store.UseKey(t.Context(), k.ID, now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := store.UseKey(t.Context(), k.ID, now); err != nil { // a late note does not turn the clock back
		t.Fatal(err)
	}
	for _, at := range []time.Time{now.Add(time.Hour), now.Add(2 * time.Hour)} {
		got, err = store.RevokeKey(t.Context(), k.ID, at)
		if err != nil || got.RevokedAt == nil || !got.RevokedAt.Equal(now.Add(time.Hour)) || !got.LastUsedAt.Equal(now.Add(time.Minute)) {
			t.Fatalf("revoked: %+v, %v", got, err)
		}
	}
	if got, err = store.KeyByHash(t.Context(), k.Hash); err != nil || got.RevokedAt == nil {
		t.Fatalf("after the revocation: %+v, %v", got, err)
	}
	if _, err := store.RevokeKey(t.Context(), "nobody", now); !errors.Is(err, api.ErrNotFound) {
		t.Fatalf("revoke an unknown key: %v", err)
	}
}

func TestKeysComeInPagesNewestFirst(t *testing.T) {
	store := open(t)
	var want []string
	for i := range 5 {
		k, _ := create(t, store, "k", now.Add(time.Duration(i/2)*time.Second)) // pairs share their instant
		want = append(want, k.ID)
	}
	var got []api.Key
	for cursor := ""; ; {
		page, next, err := store.Keys(t.Context(), cursor, 2)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, page...)
		if cursor = next; next == "" {
			break
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d keys, want %d", len(got), len(want))
	}
	seen := map[string]bool{}
	for i, k := range got {
		if seen[k.ID] || (i > 0 && k.CreatedAt.After(got[i-1].CreatedAt)) {
			t.Fatalf("key %d is out of order or there twice: %+v", i, got)
		}
		seen[k.ID] = true
	}
}

func TestOfManyProcessesOneMakesTheFirstKeyAndTheSecret(t *testing.T) {
	store := open(t)
	var tokens atomic.Int32
	var mu sync.Mutex
	secrets := map[string]bool{}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			token, err := api.FirstKey(context.Background(), store, "127.0.0.1:8080", now)
			if err != nil {
				t.Error(err)
			}
			if token != "" {
				tokens.Add(1)
			}
			secret, err := store.Secret(context.Background(), "sessions", []byte{byte(i), 31: 1})
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			secrets[string(secret)] = true
			mu.Unlock()
		})
	}
	wg.Wait()
	if tokens.Load() != 1 || len(secrets) != 1 {
		t.Fatalf("%d first keys and %d secrets, want one of each", tokens.Load(), len(secrets))
	}
	// With a key in force the server may listen anywhere; with all revoked it is as without any.
	keys, _, err := store.Keys(t.Context(), "", 10)
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	if token, err := api.FirstKey(t.Context(), store, "0.0.0.0:8080", now); err != nil || token != "" {
		t.Fatal(token, err)
	}
	if _, err := store.RevokeKey(t.Context(), keys[0].ID, now); err != nil {
		t.Fatal(err)
	}
	if _, err := api.FirstKey(t.Context(), store, "0.0.0.0:8080", now); !errors.Is(err, api.ErrNotLoopback) {
		t.Fatal(err)
	}
	if token, err := api.FirstKey(t.Context(), store, "[::1]:8080", now); err != nil || token == "" {
		t.Fatal(token, err)
	}
}
