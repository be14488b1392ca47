package collector

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// LeaseTTL is how long a process that died keeps others from its collectors.
const LeaseTTL = 30 * time.Second

// lookEvery is how often a process asks which collectors are due.
const lookEvery = 2 * time.Second

// ErrPaused says that somebody paused the collector.
var ErrPaused = errors.New("the collector was paused; it goes on where it was when it is resumed")

// Worker makes the passes of all collectors that are due and that no other process runs.
type Worker struct {
	PassDeps
	Owner      string // names this process; unique
	TTL        time.Duration
	Collectors func(ctx context.Context) ([]Configured, error)
	// Plan tells the store when a collector is due under a configuration that it did not know before.
	Plan func(ctx context.Context, name string, version int, due time.Time) error

	mu      sync.Mutex
	planned map[string]int // versions
	running map[string]struct{}
	wait    sync.WaitGroup
}

// Run works until ctx ends; then passes stop at their checkpoints.
func (w *Worker) Run(ctx context.Context) error {
	defer w.wait.Wait()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		if err := w.Look(ctx); err != nil && ctx.Err() == nil {
			w.Log.Warn("collectors that are due were not started; the next look tries again", "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err() //nolint:wrapcheck // the caller names what was stopped
		case <-ticker.C:
		}
	}
}

// Wait waits for the passes that were started.
func (w *Worker) Wait() { w.wait.Wait() }

// Look starts a pass of each collector that is due.
func (w *Worker) Look(ctx context.Context) error {
	all, err := w.Collectors(ctx)
	if err != nil {
		return err
	}
	var problems []error
	for _, c := range all {
		if !c.Config.Source.Listed() {
			continue
		}
		if err := w.start(ctx, c); err != nil {
			problems = append(problems, fmt.Errorf("collector %s: %w", c.Name, err))
		}
	}
	return errors.Join(problems...)
}

func (w *Worker) start(ctx context.Context, c Configured) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running == nil {
		w.running, w.planned = map[string]struct{}{}, map[string]int{}
	}
	if w.planned[c.Name] != c.Version {
		var due time.Time
		if c.Config.Scheduled() {
			due = c.Config.First(w.Now())
		}
		if err := w.Plan(ctx, c.Name, c.Version, due); err != nil {
			return err
		}
		w.planned[c.Name] = c.Version
	}
	if _, ok := w.running[c.Name]; ok {
		return nil
	}
	lease, ok, err := w.Leases.Take(ctx, c.Name, w.Owner, w.Now(), w.TTL)
	if err != nil || !ok {
		return err
	}
	w.running[c.Name] = struct{}{}
	w.wait.Go(func() {
		defer func() {
			w.mu.Lock()
			delete(w.running, c.Name)
			w.mu.Unlock()
		}()
		if err := w.pass(ctx, c, lease); err != nil {
			w.Log.Warn("a pass did not reach its end", "collector", c.Name, "error", err)
		}
	})
	return nil
}

// pass makes one and gives the lease back.
func (w *Worker) pass(parent context.Context, c Configured, lease Lease) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	p := &pass{PassDeps: w.PassDeps, of: c, lease: lease}
	p.hold = func(ctx context.Context) error {
		paused, err := w.Leases.Hold(ctx, lease, w.TTL)
		if err == nil && paused {
			err = ErrPaused
		}
		return err //nolint:wrapcheck // says it all
	}
	var keeper sync.WaitGroup
	keeper.Go(func() { w.keep(ctx, p, cancel) })
	begun := w.Now()
	err := p.run(ctx)
	cancel(nil)
	keeper.Wait()
	if errors.Is(err, ErrLeaseLost) {
		return err
	}
	now := w.Now()
	due := lease.Due
	switch {
	case p.row.State == RunInterrupted && parent.Err() != nil, p.row.State == RunRunning:
		due = now // whoever is there goes on with it
	case c.Config.Scheduled():
		if due.IsZero() {
			due = begun
		}
		if due = c.Config.Next(due, now); p.again.After(now) && p.again.Before(due) {
			due = p.again
		}
	}
	limited, stop := context.WithTimeout(context.WithoutCancel(parent), finalSaveWithin)
	defer stop()
	return errors.Join(err, w.Leases.Give(limited, lease, c.Version, due))
}

// keep renews the lease until ctx ends, and stops the pass when it is lost or paused.
func (w *Worker) keep(ctx context.Context, p *pass, stop context.CancelCauseFunc) {
	last := time.Now()
	for sleep(ctx, w.TTL/3) == nil {
		asked := time.Now()
		err := p.hold(ctx)
		switch {
		case err == nil:
			last = asked
		case errors.Is(err, ErrLeaseLost), errors.Is(err, ErrPaused):
			stop(err)
			return
		case time.Since(last) > w.TTL:
			stop(fmt.Errorf("%w, or may: %w", ErrLeaseLost, err))
			return
		}
	}
}
