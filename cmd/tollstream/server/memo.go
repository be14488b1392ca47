package server

import (
	"context"
	"sync"
	"time"
)

// memo remembers answers for a while, so that a page that is looked at by many, or that moves many times a second, asks its
// store only now and then; and it goes on giving the last answer while the store is away.
type memo[K comparable, V any] struct {
	now   func() time.Time
	fresh time.Duration // how long an answer is given without asking again

	mu      sync.Mutex
	answers map[K]remembered[V]
}

type remembered[V any] struct {
	value V
	at    time.Time
}

// maxMemo bounds a memo; a full one is emptied.
const maxMemo = 10_000

func newMemo[K comparable, V any](now func() time.Time, fresh time.Duration) *memo[K, V] {
	return &memo[K, V]{now: now, fresh: fresh, answers: map[K]remembered[V]{}}
}

// peek returns what is remembered, and whether it would be given without asking again.
func (m *memo[K, V]) peek(key K) (value V, known, fresh bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.answers[key]
	return r.value, ok, ok && m.now().Sub(r.at) < m.fresh
}

// get returns the remembered answer if it is fresh, else asks; if that fails and ctx still stands, an older answer serves.
func (m *memo[K, V]) get(ctx context.Context, key K, ask func(context.Context) (V, error)) (V, error) {
	known, ok, fresh := m.peek(key)
	if fresh {
		return known, nil
	}
	value, err := ask(ctx)
	if err != nil {
		if ok && ctx.Err() == nil {
			return known, nil
		}
		return value, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.answers) >= maxMemo {
		clear(m.answers)
	}
	m.answers[key] = remembered[V]{value, m.now()}
	return value, nil
}

// forget drops every answer.
func (m *memo[K, V]) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.answers)
}
