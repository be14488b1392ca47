package collector

import (
	"context"
	"sync"
	"time"
)

// Pace holds rows back so that no more than so many a second are sent, by all who share it.
type Pace struct {
	perSecond int
	mu        sync.Mutex
	free      time.Time // when the next rows may go
}

// NewPace makes one; nil, which holds nothing back, for 0.
func NewPace(rowsPerSecond int) *Pace {
	if rowsPerSecond == 0 {
		return nil
	}
	return &Pace{perSecond: rowsPerSecond}
}

// reserve gives how long the rows have to wait, and what comes behind them waits for them.
func (p *Pace) reserve(now time.Time, rows int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.free.Before(now) {
		p.free = now
	}
	wait := p.free.Sub(now)
	p.free = p.free.Add(time.Duration(rows) * time.Second / time.Duration(p.perSecond))
	return wait
}

func (p *Pace) wait(ctx context.Context, rows int) error {
	if p == nil {
		return nil
	}
	return sleep(ctx, p.reserve(time.Now(), rows))
}

// sleep waits; a context that ends gives its error.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // the caller names what was stopped
	}
}
