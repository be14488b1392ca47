package rater

import (
	"context"
	"sync"
	"time"
)

// host runs what a Worker starts and tells it the time: everything that waits does so through it. In production these are
// goroutines and the system's clock; in the simulation a seed decides who goes on, and when.
type host interface {
	now() time.Time
	// start runs f beside the caller.
	start(f func())
	// wait returns when everything that was started has ended.
	wait()
	// block returns when something is received from wake, when done is closed, or after most. A nil channel and a
	// negative duration never end it; a duration of zero ends it at once.
	block(wake, done <-chan struct{}, most time.Duration)
	// timeout bounds the time that a store may take to answer.
	timeout(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc)
}

// goroutines is the host of production.
type goroutines struct{ running sync.WaitGroup }

func (*goroutines) now() time.Time { return time.Now() }

func (g *goroutines) start(f func()) { g.running.Go(f) }

func (g *goroutines) wait() { g.running.Wait() }

func (*goroutines) block(wake, done <-chan struct{}, most time.Duration) {
	var end <-chan time.Time
	switch {
	case most == 0:
		return
	case most > 0:
		timer := time.NewTimer(most)
		defer timer.Stop()
		end = timer.C
	}
	select {
	case <-wake:
	case <-done:
	case <-end:
	}
}

func (*goroutines) timeout(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, most)
}

// pause lets a while pass; false says that ctx ended.
func pause(ctx context.Context, h host, most time.Duration) bool {
	if most > 0 && ctx.Err() == nil {
		h.block(nil, ctx.Done(), most)
	}
	return ctx.Err() == nil
}
