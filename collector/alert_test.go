package collector

import (
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
)

func TestAlerts(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	never, before := time.Time{}, now.Add(-27*time.Hour)
	rules := AlertRules{NoFileFor: 26 * time.Hour, RejectedAbove: money.MustParse("2.5")}
	for _, c := range []struct {
		rules            AlertRules
		configured, last time.Time
		rows, rejected   int64
		want             string
	}{
		{AlertRules{}, before, never, 10, 10, ""},
		{rules, now, never, 0, 0, ""},
		{rules, before, never, 0, 0, "no file since 2026-11-22T09:00:00Z"},
		{rules, before, now.Add(-26 * time.Hour), 0, 0, ""},
		{rules, before, now.Add(-26*time.Hour - 1), 0, 0, "no file since 2026-11-22T09:59:59Z"},
		{rules, now, never, 1000, 25, ""}, // exactly the share
		{rules, now, never, 1000, 26, "26 of 1000 rows of the last 24 hours were rejected, more than 2.5%"},
		{rules, now, never, 1e15, 25e12 + 1, "25000000000001 of 1000000000000000 rows of the last 24 hours were rejected, more than 2.5%"},
	} {
		if got := strings.Join(c.rules.Raised(c.configured, c.last, c.rows, c.rejected, now), "; "); got != c.want {
			t.Errorf("%+v: %q, want %q", c, got, c.want)
		}
	}
}

func TestPace(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	p := NewPace(1000)
	for i, c := range []struct {
		at   time.Duration
		rows int
		want time.Duration
	}{
		{0, 500, 0}, {0, 1000, 500 * time.Millisecond}, {time.Second, 1, 500 * time.Millisecond}, {time.Hour, 10, 0}, {time.Hour, 0, 10 * time.Millisecond},
	} {
		if got := p.reserve(now.Add(c.at), c.rows); got != c.want {
			t.Errorf("%d: waits %s, want %s", i, got, c.want)
		}
	}
	if err := NewPace(0).wait(t.Context(), 1<<40); err != nil {
		t.Error(err)
	}
}
