package rater

import (
	"context"
	"sync"
)

// gathered is work that the runners hand to one goroutine. Nobody waits who hands it in; it is bounded because a runner
// has at most one piece of a kind outstanding.
type gathered[T any] struct {
	host  host
	mu    sync.Mutex
	work  []T
	ready chan struct{}
}

// together bounds the pieces of one transaction or round trip.
const together = 64

func newGathered[T any](h host) *gathered[T] {
	return &gathered[T]{host: h, ready: make(chan struct{}, 1)}
}

func (g *gathered[T]) put(x T) {
	g.mu.Lock()
	g.work = append(g.work, x)
	g.mu.Unlock()
	g.signal()
}

func (g *gathered[T]) signal() {
	select {
	case g.ready <- struct{}{}:
	default:
	}
}

// take waits for work and returns what there is, nil when ctx ends.
func (g *gathered[T]) take(ctx context.Context) []T {
	for {
		g.mu.Lock()
		n := min(len(g.work), together)
		taken := g.work[:n:n]
		if g.work = g.work[n:]; len(g.work) > 0 {
			g.signal()
		} else {
			g.work = nil
		}
		g.mu.Unlock()
		if ctx.Err() != nil {
			return nil
		}
		if n > 0 {
			return taken
		}
		g.host.block(g.ready, ctx.Done(), -1)
	}
}

type cutWork struct {
	cut  *Cut
	done func(Outcome)
}

// commitLines bounds the lines of one transaction, but for those of a single partition: they are encoded while its rows are
// locked, and PostgreSQL ends a session that holds locks for long without a word.
const commitLines = 50_000

// fitting is how many of the first cuts go into one transaction.
func fitting(work []cutWork) int {
	lines := 0
	for n := range work {
		if lines += len(work[n].cut.Lines); n > 0 && lines > commitLines {
			return n
		}
	}
	return len(work)
}

// commitLoop commits the cuts of all partitions that are ready at the same time in one transaction, or in a few if they are large.
func (w *Worker) commitLoop() {
	failing := false
	for work := w.cuts.take(w.ctx); work != nil; work = w.cuts.take(w.ctx) {
		for len(work) > 0 {
			n := fitting(work)
			failing = w.commit(work[:n], failing)
			work = work[n:]
		}
	}
}

// commit commits cuts in one transaction and tells their runners; it returns whether that fails.
func (w *Worker) commit(work []cutWork, failing bool) (failed bool) {
	cuts := make([]*Cut, len(work))
	for i := range work {
		cuts[i] = work[i].cut
	}
	began := w.host.now()
	ctx, cancel := w.host.timeout(w.ctx, w.Intervals.Answer)
	outcomes, err := w.Stores.Store.Commit(ctx, cuts)
	cancel()
	for i, o := range outcomes {
		if o == OutcomeUnknown {
			failed = true
			w.Metrics.errors.WithLabelValues("checkpoint").Inc()
		}
		work[i].done(o)
	}
	w.Metrics.checkpointSeconds.Observe(w.host.now().Sub(began).Seconds())
	if failed != failing { // once an outage
		w.Log.Warn("checkpoints in PostgreSQL", "failing", failed, "partitions", len(cuts), "error", err)
	}
	return failed
}

type showWork struct {
	projection *Projection
	done       func(applied bool)
}

// showLoop writes the projections of all partitions that are ready at the same time in one round trip.
func (w *Worker) showLoop() {
	failing := false
	for work := w.shows.take(w.ctx); work != nil; work = w.shows.take(w.ctx) {
		ps := make([]*Projection, len(work))
		for i := range work {
			ps[i] = work[i].projection
		}
		began := w.host.now()
		ctx, cancel := w.host.timeout(w.ctx, w.Intervals.Answer)
		applied, err := w.Live.Project(ctx, ps)
		cancel()
		w.Metrics.projectSeconds.Observe(w.host.now().Sub(began).Seconds())
		if err != nil {
			w.Metrics.errors.WithLabelValues("project").Inc()
		}
		if failing != (err != nil) { // once an outage
			failing = err != nil
			w.Log.Warn("writes to the live view; while they fail readers fall back to PostgreSQL", "failing", failing, "error", err)
		}
		for i := range work {
			work[i].done(err == nil && applied[i])
		}
	}
}
