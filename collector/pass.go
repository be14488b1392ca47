package collector

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tollstream/tollstream/collector/source"
)

// Bounds of a pass.
const (
	maxListed   = 1_000_000 // files of a place
	seenAtOnce  = 5000      // paths in one question
	maxTargets  = 8         // names that are tried for a file that is moved
	maxMessages = 5         // of files that failed, in the message of the pass
)

// PassDeps is what passes work with.
type PassDeps struct {
	RunDeps
	Leases LeaseStore
	Passes PassStore
	Seen   SeenStore
	Open   func(ctx context.Context, s *SourceConfig) (source.Place, error)
	Spool  string // folder for what is fetched, one below it for each collector
}

// pass is a look at a collector's place under a lease.
type pass struct {
	PassDeps
	of      Configured
	lease   Lease
	hold    func(context.Context) error // makes sure of the lease
	pace    *Pace
	again   time.Time // when a file that waits may be ready; zero: nobody knows
	spooled string

	mu       sync.Mutex
	row      Pass
	messages []string
}

// run makes the pass and stores what came of it. Its error is why it did not reach the end.
func (p *pass) run(ctx context.Context) error {
	p.row = Pass{Collector: p.of.Name, ConfigVersion: p.of.Version, Cause: p.lease.Cause, State: RunRunning, StartedAt: p.Now()}
	p.pace, p.spooled = NewPace(p.of.Config.RowsPerSecond), filepath.Join(p.Spool, p.of.Name)
	if err := os.MkdirAll(p.spooled, 0o700); err != nil {
		return fmt.Errorf("make a place for fetched files: %w", err)
	}
	id, err := p.Passes.BeginPass(ctx, p.lease, p.row)
	if err != nil {
		return fmt.Errorf("begin a pass of collector %s: %w", p.of.Name, err)
	}
	p.row.ID = id
	err = p.work(ctx)
	ended := p.Now()
	p.row.EndedAt, p.row.State = &ended, RunDone
	switch {
	case ctx.Err() != nil:
		p.row.State = RunInterrupted
		p.messages = append([]string{context.Cause(ctx).Error()}, p.messages...)
	case err != nil:
		p.row.State = RunFailed
		p.messages = append([]string{err.Error()}, p.messages...)
	case p.row.Failed > 0:
		p.row.State = RunFailed
	}
	p.row.Message = strings.Join(p.messages, "\n")
	p.Metrics.passes.WithLabelValues(string(p.row.State)).Inc()
	if errors.Is(err, ErrLeaseLost) {
		return err
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), finalSaveWithin)
	defer cancel()
	return errors.Join(err, p.Passes.SavePass(limited, p.lease, p.row))
}

func (p *pass) work(ctx context.Context) error {
	place, err := p.Open(ctx, &p.of.Config.Source)
	if err != nil {
		return err
	}
	defer place.Close() //nolint:errcheck // what counts was answered
	left, err := p.Seen.Afterwards(ctx, p.of.Name)
	if err != nil {
		return fmt.Errorf("read what is left to do: %w", err)
	}
	for i := range left {
		if err := p.afterwards(ctx, place, left[i]); err != nil {
			return err
		}
	}
	take, err := p.look(ctx, place)
	if err != nil {
		return err
	}
	if err := p.save(ctx); err != nil {
		return err
	}
	return p.takeAll(ctx, place, take)
}

func (p *pass) save(ctx context.Context) error {
	p.mu.Lock()
	row := p.row
	p.mu.Unlock()
	if err := p.Passes.SavePass(ctx, p.lease, row); err != nil {
		return fmt.Errorf("save pass %d: %w", row.ID, err)
	}
	return nil
}

// look lists the place and gives what is to be taken.
func (p *pass) look(ctx context.Context, place source.Place) (take []Seen, err error) {
	s := &p.of.Config.Source
	var entries []source.Entry
	err = place.List(ctx, s.Deep(), func(e source.Entry) error {
		if len(entries) == maxListed {
			return fmt.Errorf("more than %d files; move or delete what is done with after, or collect from folders below", maxListed)
		}
		entries = append(entries, e)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the place: %w", err)
	}
	known := map[string]Seen{}
	for part := range slices.Chunk(entries, seenAtOnce) {
		paths := make([]string, len(part))
		for i := range part {
			paths[i] = part[i].Path
		}
		found, err := p.Seen.Seen(ctx, p.of.Name, paths)
		if err != nil {
			return nil, fmt.Errorf("read which files are known: %w", err)
		}
		for i := range found {
			known[found[i].Path] = found[i]
		}
	}
	now := p.Now()
	since := func(e source.Entry) (time.Time, bool) {
		k, ok := known[e.Path]
		return k.Since, ok && k.Is(e)
	}
	var fresh []Seen
	for _, j := range s.Select(entries, s.After, since, now) {
		p.row.Found++
		k, ok := known[j.Path]
		same := ok && k.Is(j.Entry)
		k.Entry = j.Entry
		if !same {
			k = Seen{Entry: j.Entry, Since: now, State: SeenWaiting}
		}
		switch {
		case same && k.State == SeenDone, same && k.State == SeenFailed && k.ConfigVersion == p.of.Version && p.lease.Cause != ByHand:
			p.row.Known++
		case j.Verdict == source.Old:
			p.row.Old++
		case ok && !same && known[j.Path].State == SeenDone && s.RefuseChanged:
			p.failed(j.Path, fmt.Errorf("its content changed since it was processed (%d bytes of %s, before %d of %s), and changed: refuse stands in the configuration; give it another name",
				j.Size, j.Modified.UTC().Format(time.RFC3339), known[j.Path].Size, known[j.Path].Modified.UTC().Format(time.RFC3339)))
		case j.Verdict == source.Wait:
			p.row.Waiting++
			if !j.Until.IsZero() && (p.again.IsZero() || j.Until.Before(p.again)) {
				p.again = j.Until
			}
			if !same {
				fresh = append(fresh, k)
			}
		default:
			take = append(take, k)
		}
	}
	p.row.Skipped = int64(len(take))
	for part := range slices.Chunk(fresh, seenAtOnce) {
		if err := p.Seen.PutSeen(ctx, p.lease, part, nil); err != nil {
			return nil, fmt.Errorf("remember which files wait: %w", err)
		}
	}
	return take, nil
}

// failed notes a file that was not processed.
func (p *pass) failed(path string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.row.Failed++
	switch {
	case len(p.messages) < maxMessages:
		p.messages = append(p.messages, path+": "+err.Error())
	case len(p.messages) == maxMessages:
		p.messages = append(p.messages, "… and more; each run in the history says why")
	}
	p.Log.Warn("a file was not processed", "collector", p.of.Name, "file", path, "error", err)
}

// takeAll processes the files, some at a time, each in the order of the list.
func (p *pass) takeAll(parent context.Context, first source.Place, take []Seen) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	queue := make(chan Seen)
	var workers sync.WaitGroup
	for n := range min(p.of.Config.FilesAtOnce, len(take)) {
		workers.Go(func() {
			place := first
			if n > 0 { // a place is one connection
				var err error
				if place, err = p.Open(ctx, &p.of.Config.Source); err != nil {
					p.Log.Warn("fewer files at once", "collector", p.of.Name, "error", err)
					return
				}
				defer place.Close() //nolint:errcheck // what counts was answered
			}
			for s := range queue {
				if err := p.take(ctx, place, s); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, s := range take {
		select {
		case queue <- s:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(queue)
	workers.Wait()
	if err := context.Cause(ctx); err != nil {
		return err //nolint:wrapcheck // says it all
	}
	return nil
}

// take processes one file. An error ends the pass; what is wrong with the file alone does not.
func (p *pass) take(ctx context.Context, place source.Place, s Seen) error {
	if ctx.Err() != nil {
		return ctx.Err() //nolint:wrapcheck // the caller names what was stopped
	}
	file, remove, err := source.Fetch(ctx, place, s.Entry, p.spooled, nil)
	if err != nil {
		return p.notTaken(ctx, s, err, false)
	}
	file.Name = s.Path
	result, err := RunFile(ctx, p.RunDeps, RunRequest{
		Collector: p.of.Name, Version: p.of.Version, Config: p.of.Config, File: file, Pass: p.row.ID, Token: p.lease.Token, Pace: p.pace,
	}, nil)
	if err != nil {
		lasting := result.State == RunFailed
		if lasting {
			err = errors.Join(err, remove())
		}
		return p.notTaken(ctx, s, err, lasting)
	}
	s.State, s.Hash, s.Message, s.Afterwards = SeenDone, result.FileHash, "", p.of.Config.Source.After.Do != source.AfterKeep
	if err := p.Seen.PutSeen(ctx, p.lease, []Seen{s}, nil); err != nil {
		return fmt.Errorf("remember file %s: %w", s.Path, err)
	}
	p.reached(&p.row.Taken)
	if err := errors.Join(p.save(ctx), remove()); err != nil {
		return err
	}
	if s.Afterwards {
		return p.afterwards(ctx, place, s)
	}
	return nil
}

// reached counts a file that is skipped no more.
func (p *pass) reached(as *int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.row.Skipped--
	*as++
}

// notTaken decides what a file that was not processed means for the pass.
func (p *pass) notTaken(ctx context.Context, s Seen, err error, lasting bool) error {
	switch {
	case ctx.Err() != nil, errors.Is(err, ErrLeaseLost):
		return err
	case errors.Is(err, ErrTakenOver): // a copy of it, or the same file sent by hand: whether that comes to its end shows soon
		p.reached(&p.row.Waiting)
		p.mu.Lock()
		p.again = p.Now().Add(lookEvery)
		p.mu.Unlock()
		return nil
	case errors.Is(err, source.ErrGone):
		return nil // it is not there any more, and counts as skipped
	case errors.Is(err, source.ErrChanged):
		p.reached(&p.row.Waiting)
		return nil
	}
	p.failed(s.Path, err)
	p.mu.Lock()
	p.row.Skipped--
	p.mu.Unlock()
	if !lasting {
		return p.save(ctx)
	}
	s.State, s.Message, s.ConfigVersion = SeenFailed, err.Error(), p.of.Version
	if err := p.Seen.PutSeen(ctx, p.lease, []Seen{s}, nil); err != nil {
		return fmt.Errorf("remember file %s: %w", s.Path, err)
	}
	return p.save(ctx)
}

// afterwards moves, renames or deletes a file that is done, unless another stands there by now. It may be
// repeated: a process that died in the middle leaves it to the next pass.
func (p *pass) afterwards(ctx context.Context, place source.Place, s Seen) error {
	now, err := place.Stat(ctx, s.Path)
	after := p.of.Config.Source.After
	switch {
	case errors.Is(err, source.ErrGone):
		return p.settled(ctx, s, true)
	case err != nil:
		return fmt.Errorf("deal with file %s that is done: %w", s.Path, err)
	case !s.Is(now), after.Do == source.AfterKeep:
		return p.settled(ctx, s, false)
	}
	if err := p.hold(ctx); err != nil { // who slept through the lease moves nothing
		return err
	}
	if suffix := p.of.Config.Source.DoneFile; suffix != "" {
		if err := place.Remove(ctx, s.Path+suffix); err != nil {
			return fmt.Errorf("delete the done file of %s: %w", s.Path, err)
		}
	}
	if after.Do == source.AfterDelete {
		err = place.Remove(ctx, s.Path)
	} else {
		err = fs.ErrExist
		for n := 0; n < maxTargets && errors.Is(err, fs.ErrExist); n++ {
			err = place.Move(ctx, s.Path, after.Target(s.Path, s.Hash, n))
		}
	}
	if err != nil && !errors.Is(err, source.ErrGone) {
		return fmt.Errorf("%s file %s that is done: %w", after.Do, s.Path, err)
	}
	return p.settled(ctx, s, true)
}

// settled forgets a file that is not there any more, or remembers that nothing is left to do.
func (p *pass) settled(ctx context.Context, s Seen, gone bool) error {
	var put []Seen
	var forget []string
	if gone {
		forget = []string{s.Path}
	} else {
		s.Afterwards = false
		put = []Seen{s}
	}
	if err := p.Seen.PutSeen(ctx, p.lease, put, forget); err != nil {
		return fmt.Errorf("remember that file %s is dealt with: %w", s.Path, err)
	}
	return nil
}
