package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// Key is an API key as it is stored: never the key itself.
//
// The hash is a plain SHA-256. A key is 256 random bits that nobody chose, so there is nothing to guess that a
// slow hash with salt would protect, and a fast one lets every request be checked.
type Key struct {
	ID         string     `json:"id" example:"1f0c9a2b77d40e15"`
	Prefix     string     `json:"prefix" doc:"the key's beginning, to recognise it by" example:"ts_1f0c9a2b77d40e15"`
	Name       string     `json:"name"`
	Role       Role       `json:"role" enum:"ingest,customer,support,finance,admin,auditor"`
	Account    string     `json:"account,omitempty" doc:"of a customer key: the account that it sees, with those below it"`
	CreatedAt  time.Time  `json:"created_at"`
	RevokedAt  *time.Time `json:"revoked_at,omitempty"`
	LastUsedAt *time.Time `json:"last_used_at,omitempty" doc:"to the minute"`

	Hash [sha256.Size]byte `json:"-"`
}

// KeyStore keeps keys. api/pg is it.
type KeyStore interface {
	// CreateKey stores a new key; onlyFirst: not when a key exists that is not revoked (made is false then).
	CreateKey(ctx context.Context, k Key, onlyFirst bool) (made bool, err error)
	// KeyByHash returns a key, revoked or not; ErrNotFound.
	KeyByHash(ctx context.Context, hash [sha256.Size]byte) (Key, error)
	// Keys returns a page ordered by creation, newest first, and the next cursor ("": the end).
	Keys(ctx context.Context, cursor string, limit int) ([]Key, string, error)
	// RevokeKey revokes it and returns it; a revoked one stays as it is; ErrNotFound.
	RevokeKey(ctx context.Context, id string, at time.Time) (Key, error)
	// UseKey notes when a key was used last.
	UseKey(ctx context.Context, id string, at time.Time) error
	// Secret returns the named secret of the installation; the first call of all processes makes it from candidate.
	Secret(ctx context.Context, name string, candidate []byte) ([]byte, error)
}

// tokenStart makes keys recognisable to secret scanners.
const tokenStart = "ts_"

// NewKey makes a key. The token is shown once and kept nowhere.
func NewKey(name string, role Role, account string, now time.Time) (k Key, token string, err error) {
	if err := checkKey(role, account); err != nil {
		return Key{}, "", err
	}
	var random [8 + 32]byte
	if _, err := rand.Read(random[:]); err != nil {
		return Key{}, "", fmt.Errorf("make a key: %w", err)
	}
	id := hex.EncodeToString(random[:8])
	token = tokenStart + id + "_" + hex.EncodeToString(random[8:])
	return Key{
		ID: id, Prefix: tokenStart + id, Name: name, Role: role, Account: account, CreatedAt: now.UTC().Truncate(time.Microsecond),
		Hash: sha256.Sum256([]byte(token)),
	}, token, nil
}

func checkKey(role Role, account string) error {
	known := false
	for _, r := range Roles {
		known = known || r == role
	}
	switch {
	case !known:
		return fmt.Errorf("%w: role %q is none of %v", ErrInvalid, role, Roles)
	case role == RoleCustomer && account == "":
		return fmt.Errorf("%w: a customer key needs the account that it may see", ErrInvalid)
	case role != RoleCustomer && account != "":
		return fmt.Errorf("%w: only a customer key is limited to an account", ErrInvalid)
	}
	return nil
}

// ErrNotLoopback says that the server was asked to listen where others reach it while no key exists.
var ErrNotLoopback = errors.New("no API key exists yet, so the server listens on loopback only: start it on 127.0.0.1 first, take the admin key that it prints, then change the address")

// FirstKey makes sure that somebody can get in before the server listens on addr (host:port). When no key is in
// force it refuses every address but loopback with ErrNotLoopback, else makes an admin key and returns it, to be printed once on a
// line "admin key: …". It returns "" when keys exist. Of several processes one makes the key.
func FirstKey(ctx context.Context, store KeyStore, addr string, now time.Time) (token string, err error) {
	active, err := keyInForce(ctx, store)
	switch {
	case err != nil:
		return "", fmt.Errorf("look for API keys: %w", err)
	case active:
		return "", nil
	case !IsLoopback(addr):
		return "", fmt.Errorf("listen on %s: %w", addr, ErrNotLoopback)
	}
	k, token, err := NewKey("first admin key", RoleAdmin, "", now)
	if err != nil {
		return "", err
	}
	made, err := store.CreateKey(ctx, k, true)
	if err != nil {
		return "", fmt.Errorf("make the first admin key: %w", err)
	}
	if !made {
		return "", nil
	}
	return token, nil
}

// keyInForce says whether a key exists that is not revoked.
func keyInForce(ctx context.Context, store KeyStore) (bool, error) {
	for cursor := ""; ; {
		keys, next, err := store.Keys(ctx, cursor, 100)
		if err != nil {
			return false, err
		}
		for i := range keys {
			if keys[i].RevokedAt == nil {
				return true, nil
			}
		}
		if next == "" {
			return false, nil
		}
		cursor = next
	}
}

// IsLoopback says whether a listening address is reached from this machine only. A name counts when it
// is localhost; an empty host listens everywhere.
func IsLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// Bounds of the keys that are remembered.
const (
	keyFresh    = 5 * time.Second // a key revoked by another process is refused after this time
	maxKeyCache = 4096
	useEvery    = time.Minute
)

type cachedKey struct {
	key    Key
	readAt time.Time
	usedAt time.Time // last told to the store
}

// keyring remembers keys, so that a request costs no query, and usage is still taken in while the store is away.
type keyring struct {
	store KeyStore
	now   func() time.Time

	mu   sync.Mutex
	keys map[[sha256.Size]byte]cachedKey
}

// find returns the key of a token.
func (r *keyring) find(ctx context.Context, token string) (Key, error) {
	if !strings.HasPrefix(token, tokenStart) {
		return Key{}, ErrUnauthenticated
	}
	return r.byHash(ctx, sha256.Sum256([]byte(token)))
}

// byHash returns the key with the hash. A key that was valid stays so while the store does not answer: nobody can
// revoke it meanwhile either.
func (r *keyring) byHash(ctx context.Context, hash [sha256.Size]byte) (Key, error) {
	now := r.now()
	r.mu.Lock()
	c, known := r.keys[hash]
	r.mu.Unlock()
	if known && now.Sub(c.readAt) < keyFresh && now.Sub(c.usedAt) < useEvery {
		return c.key, nil
	}
	if !known || now.Sub(c.readAt) >= keyFresh {
		k, err := r.store.KeyByHash(ctx, hash)
		switch {
		case errors.Is(err, ErrNotFound):
			return Key{}, ErrUnauthenticated
		case err != nil && !known:
			return Key{}, fmt.Errorf("look up the API key: %w", errors.Join(ErrUnavailable, err))
		case err == nil:
			c.key, c.readAt = k, now
		}
	}
	if c.key.RevokedAt != nil {
		r.forget(hash)
		return Key{}, ErrUnauthenticated
	}
	if now.Sub(c.usedAt) >= useEvery {
		c.usedAt = now
		_ = r.store.UseKey(ctx, c.key.ID, now) // a note for people; losing one harms nobody
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.keys == nil || len(r.keys) >= maxKeyCache {
		r.keys = make(map[[sha256.Size]byte]cachedKey)
	}
	r.keys[hash] = c
	return c.key, nil
}

func (r *keyring) forget(hash [sha256.Size]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.keys, hash)
}
