package sink

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// Run steps until ctx is done, then gives the lease back. While another sink holds the lease it asks again
// now and then; after an error it pauses, longer with each error in a row. It returns nil: no error of a
// store ends it, for `rated` keeps the records until the store is back.
func (s *Sink) Run(ctx context.Context) error {
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.InsertTimeout)
		defer cancel()
		if err := s.Close(closing); err != nil {
			s.slog.Warn("sink stopped without giving its lease back; it runs out by itself", "error", err)
		}
	}()
	failures := 0
	for ctx.Err() == nil {
		worked, err := s.Step(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			failures++
			wait := s.pause(failures)
			s.report(err, failures, wait)
			sleep(ctx, wait)
		case worked:
			failures = s.recovered(failures)
		default:
			failures = s.recovered(failures)
			if s.leaseEnds.IsZero() {
				sleep(ctx, s.cfg.LeaseTTL/6)
			}
		}
	}
	return nil
}

// pause is the time to wait after the given number of errors in a row, with a jitter of a half.
func (s *Sink) pause(failures int) time.Duration {
	d := s.cfg.RetryMin
	for i := 1; i < failures && d < s.cfg.RetryMax; i++ {
		d *= 2
	}
	d = min(d, s.cfg.RetryMax)
	return d/2 + rand.N(d/2+1)
}

func (s *Sink) report(err error, failures int, wait time.Duration) {
	if errors.Is(err, ErrLost) {
		s.metrics.errors.WithLabelValues("lost").Inc()
		s.slog.Error("the sink stands still: restore the topic, or rebuild the report store from what is left",
			"error", err, "retry_seconds", wait.Seconds())
		return
	}
	s.metrics.errors.WithLabelValues("store").Inc()
	s.slog.Warn("sink tries again", "error", err, "failures", failures, "retry_seconds", wait.Seconds())
}

func (s *Sink) recovered(failures int) int {
	if failures > 0 {
		s.slog.Info("sink works again", "failures", failures)
	}
	return 0
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
