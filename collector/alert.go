package collector

import (
	"fmt"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
)

// Raised says in words why somebody should look at the collector: since when no file came, counted from when it was
// configured if none ever did, and which share of the rows of a day was rejected.
func (a *AlertRules) Raised(configured, lastFile time.Time, rows, rejected int64, now time.Time) (alerts []string) {
	since := latestOf(configured, lastFile)
	if a.NoFileFor > 0 && now.Sub(since) > a.NoFileFor {
		alerts = append(alerts, fmt.Sprintf("no file since %s", since.UTC().Format(time.RFC3339)))
	}
	if a.RejectedAbove.IsZero() || rows == 0 {
		return alerts
	}
	// Both sides times the rows, so that nothing is rounded. A day's rows stay far below what a decimal holds.
	share, err := money.FromInt(rejected).Mul(hundred)
	limit, err2 := money.FromInt(rows).Mul(a.RejectedAbove)
	if err != nil || err2 != nil || share.Cmp(limit) > 0 {
		alerts = append(alerts, fmt.Sprintf("%d of %d rows of the last 24 hours were rejected, more than %s%%", rejected, rows, a.RejectedAbove))
	}
	return alerts
}

func latestOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
