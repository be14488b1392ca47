package pg

import (
	"context"
	"strconv"
	"testing"
	"time"
)

func TestSeqAt(t *testing.T) {
	s, clock := newStore(t)
	for i, at := range []string{"2026-11-22T12:00:00Z", "2026-11-22T13:00:00Z", "2026-11-22T13:00:00Z"} {
		clock.set(at)
		apply(t, s, `accounts: [{id: a, currency: USD, name: n`+strconv.Itoa(i)+`}]`)
	}
	for at, want := range map[string]int64{
		"2026-11-22T11:59:59.999999Z": 0, "2026-11-22T12:00:00Z": 1, "2026-11-22T12:59:59Z": 1, "2026-11-22T13:00:00Z": 3, "2030-01-01T00:00:00Z": 3,
	} {
		if got, err := s.SeqAt(context.Background(), time.Unix(0, instant(at))); err != nil || got != want {
			t.Errorf("at %s: %d, %v; want %d", at, got, err, want)
		}
	}
}
