package collector

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/tollstream/tollstream/collector/format"
)

// Journal keeps the history of collectors that are brought their usage, which has no file that would be a run: each
// process has a run an hour of each collector that it takes something in for. What was wrong is stored before a delivery is
// answered; counts alone follow within a second, and a process that is killed takes those of its last second with it.
type Journal struct {
	store RunStore
	now   func() time.Time
	log   *slog.Logger
	self  string // this process, so that no other has its runs

	mu   sync.Mutex
	open map[Journaled]*hourly
}

// Journaled is what has a run an hour.
type Journaled struct {
	Collector string
	Version   int    // of the configuration
	What      string // as people read it: deliveries, topic calls
}

// Noted is what one delivery, or several, came to.
type Noted struct {
	ID          string // of the delivery, where there is one
	Rows, Sent  int64  // records
	Events      int64  // of those that were sent
	Bytes       int64
	First, Last time.Time // of the events' times; zero: none says one
	Errors      []RowError
}

// maxEntryErrors bounds the bad rows of a run; with more another one begins.
const maxEntryErrors = 10_000

// journalEvery is how often counts are stored.
const journalEvery = time.Second

// NewJournal stores in store; Run has to run.
func NewJournal(store RunStore, now func() time.Time, log *slog.Logger) *Journal {
	return &Journal{store: store, now: now, log: log, self: rand.Text()[:12], open: map[Journaled]*hourly{}}
}

// hourly is a run of an hour. Its lock is a channel, so that who waits for it can give up.
type hourly struct {
	lock   chan struct{}
	of     Journaled
	hour   time.Time
	part   int
	begun  Begun // no run yet: its number is 0
	errors int
	lines  int64 // numbers that were given to records
	counts Counts
	dirty  bool // counts were not stored
}

func (j *Journal) hourly(of Journaled) *hourly {
	j.mu.Lock()
	defer j.mu.Unlock()
	e := j.open[of]
	if e == nil {
		e = &hourly{lock: make(chan struct{}, 1), of: of, hour: j.now().UTC().Truncate(time.Hour)}
		j.open[of] = e
	}
	return e
}

func (e *hourly) acquire(ctx context.Context) error {
	select {
	case e.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the history of collector %s: %w: %w", e.of.Collector, ErrUnavailable, ctx.Err())
	}
}

func (e *hourly) release() { <-e.lock }

// Note adds to the history. When something is wrong in it, that is stored when it returns; on an error it may
// not be, and the delivery must be refused, so that it comes again.
func (j *Journal) Note(ctx context.Context, of Journaled, n Noted) error {
	e := j.hourly(of)
	if err := e.acquire(ctx); err != nil {
		return err
	}
	defer e.release()
	if err := j.turn(ctx, e); err != nil {
		return err
	}
	counts := e.counts
	counts.add(&n)
	if len(n.Errors) == 0 {
		e.counts, e.dirty = counts, true
		return nil
	}
	base := e.lines
	e.lines += n.Rows // given even if this fails: it may have been stored all the same
	for i := range n.Errors {
		n.Errors[i].Line += base
		if n.ID != "" {
			n.Errors[i].Message = fmt.Sprintf("delivery %s, record %d: %s", n.ID, n.Errors[i].Line-base, n.Errors[i].Message)
		}
	}
	if err := j.save(ctx, e, counts, n.Errors); err != nil {
		return err
	}
	e.errors += len(n.Errors)
	return nil
}

// turn begins another run where the hour is over or the run is full.
func (j *Journal) turn(ctx context.Context, e *hourly) error {
	hour := j.now().UTC().Truncate(time.Hour)
	full := e.errors >= maxEntryErrors
	if hour.Equal(e.hour) && !full {
		return nil
	}
	if e.dirty {
		if err := j.save(ctx, e, e.counts, nil); err != nil {
			return err
		}
	}
	if full && hour.Equal(e.hour) {
		e.part++
	} else {
		e.part = 0
	}
	e.hour, e.begun, e.errors, e.lines, e.counts = hour, Begun{}, 0, 0, Counts{}
	return nil
}

// save stores the counts and what was wrong at once. The run is done each time, so that a process that is killed leaves no
// run that would seem to go on.
func (j *Journal) save(ctx context.Context, e *hourly, counts Counts, errors []RowError) error {
	file := FileKey{Collector: e.of.Collector, Hash: fmt.Sprintf("%s %s %s %d v%d", e.of.What, e.hour.Format(time.RFC3339), j.self, e.part, e.of.Version)}
	if e.begun.Run == 0 {
		name := fmt.Sprintf("%s of %s", e.of.What, e.hour.Format("2006-01-02 15:04 UTC"))
		begun, err := j.store.BeginRun(ctx, Begin{File: file, Name: name, ConfigVersion: e.of.Version, Again: true})
		if err != nil {
			return fmt.Errorf("history of collector %s: %w", e.of.Collector, err)
		}
		e.begun = begun
	}
	counts.Seconds = j.now().Sub(e.hour).Seconds()
	err := j.store.SaveRun(ctx, Save{File: file, Run: e.begun.Run, Next: format.Position{Line: counts.Rows + 1}, Counts: counts, State: RunDone, Errors: errors})
	if err != nil {
		return fmt.Errorf("history of collector %s: %w", e.of.Collector, err)
	}
	e.counts, e.dirty = counts, false
	return nil
}

func (c *Counts) add(n *Noted) {
	c.Rows += n.Rows
	c.Sent += n.Sent
	c.Events += n.Events
	c.Rejected += int64(len(n.Errors))
	c.Filtered += n.Rows - n.Sent - int64(len(n.Errors))
	c.Bytes += n.Bytes
	if n.First.IsZero() {
		return
	}
	if c.FirstEvent == nil || n.First.Before(*c.FirstEvent) {
		c.FirstEvent = &n.First
	}
	if c.LastEvent == nil || n.Last.After(*c.LastEvent) {
		c.LastEvent = &n.Last
	}
}

// Run stores counts until ctx ends, and then what is left.
func (j *Journal) Run(ctx context.Context) error {
	ticker := time.NewTicker(journalEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			j.Flush(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), finalSaveWithin)
			defer cancel()
			j.Flush(last)
			return ctx.Err() //nolint:wrapcheck // the caller stopped it
		}
	}
}

// Flush stores the counts that are not stored yet.
func (j *Journal) Flush(ctx context.Context) {
	j.mu.Lock()
	entries := make([]*hourly, 0, len(j.open))
	for _, e := range j.open {
		entries = append(entries, e)
	}
	j.mu.Unlock()
	for _, e := range entries {
		if e.acquire(ctx) != nil {
			return
		}
		if e.dirty {
			if err := j.save(ctx, e, e.counts, nil); err != nil {
				j.log.Warn("counts of a collector wait for the store", "collector", e.of.Collector, "error", err)
			}
		}
		e.release()
	}
}
