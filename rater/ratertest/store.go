// Package ratertest keeps in memory what stands around a rater: its store, the live view, the definitions. It is for
// tests of what runs raters, of rater.Worker and of the adapters, where PostgreSQL and Redis are not what is tested.
//
// It imports rater and its packages, and no driver.
//
// Invariants: the store fences as PostgreSQL does, and a commit is atomic; everything is safe for concurrent use.
package ratertest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/dedup"
)

// ErrAway is the answer of a store that does not answer.
var ErrAway = errors.New("store is away")

// ErrAnswerLost makes a commit succeed without its writer being told.
var ErrAnswerLost = errors.New("the answer was lost")

// Operation is what a store is asked for.
type Operation string

// The operations that a hook meets.
const (
	Acquire    Operation = "acquire"
	Look       Operation = "look"
	Commit     Operation = "commit"
	Position   Operation = "position"
	Lines      Operation = "lines"
	Pools      Operation = "pools"
	Values     Operation = "values"
	Levels     Operation = "levels"
	Seals      Operation = "seals"
	Markers    Operation = "markers"
	Identities Operation = "identities"
	Compact    Operation = "compact"
	Fold       Operation = "fold"
	Forget     Operation = "forget"
	OpenLines  Operation = "open lines"
	Failed     Operation = "failed"
	Skipped    Operation = "skipped"
)

// Hook is called before an operation and may wait, or make it fail. For a commit of several partitions it is called for
// each; ErrAnswerLost lets that cut be written.
type Hook func(ctx context.Context, operation Operation, partition int32) error

// Store is a rater.Store and a rater.Poison.
type Store struct {
	mu       sync.Mutex
	hook     Hook
	rows     map[int32]*row
	failures map[place]int
	skips    map[place]map[int]struct{}
}

type row struct {
	checkpoint rater.Checkpoint
	owner      rater.Owner
	lines      map[activity.ID][]rater.LineState
	pools      map[activity.ID]rater.PoolState
	values     map[rater.ValueKey]uint64
	sets       map[activity.ID]rater.SetState
	levels     map[rater.LevelState]struct{}
	seals      map[string]rater.SealState
	markers    map[string]rater.MarkerState
	rejected   []rater.RejectedUsage
	commits    []int64 // the next offsets, in order
}

type place struct {
	partition int32
	offset    int64
}

var (
	_ rater.Store  = (*Store)(nil)
	_ rater.Poison = (*Store)(nil)
)

// NewStore returns a store in which nothing was rated.
func NewStore() *Store {
	return &Store{rows: map[int32]*row{}, failures: map[place]int{}, skips: map[place]map[int]struct{}{}}
}

// Hook sets what is called before each operation; nil: nothing.
func (s *Store) Hook(h Hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = h
}

func (s *Store) before(ctx context.Context, o Operation, partition int32) error {
	s.mu.Lock()
	h := s.hook
	s.mu.Unlock()
	if h != nil {
		if err := h(ctx, o, partition); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (s *Store) row(partition int32) *row {
	if s.rows[partition] == nil {
		s.rows[partition] = &row{
			checkpoint: rater.Checkpoint{Partition: partition, Last: -1, LeaderEpoch: -1, Counts: map[rater.CountKey]rater.Counts{}},
			lines:      map[activity.ID][]rater.LineState{}, pools: map[activity.ID]rater.PoolState{}, values: map[rater.ValueKey]uint64{}, sets: map[activity.ID]rater.SetState{}, levels: map[rater.LevelState]struct{}{}, seals: map[string]rater.SealState{},
			markers: map[string]rater.MarkerState{},
		}
	}
	return s.rows[partition]
}

// Acquire implements rater.Store.
func (s *Store) Acquire(ctx context.Context, partition int32, owner rater.Owner) (rater.Checkpoint, error) {
	if err := s.before(ctx, Acquire, partition); err != nil {
		return rater.Checkpoint{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.row(partition)
	r.checkpoint.Epoch++
	r.owner = owner
	c := r.checkpoint
	c.Counts, c.Identities = maps.Clone(c.Counts), slices.Clone(c.Identities)
	for _, m := range r.markers {
		if m.Open {
			c.Markers = append(c.Markers, m)
		}
	}
	c.Skips = map[rater.Skip]struct{}{}
	for at, indexes := range s.skips {
		for i := range indexes {
			if at.partition == partition {
				c.Skips[rater.Skip{Offset: at.offset, Index: i}] = struct{}{}
			}
		}
	}
	return c, nil
}

func (s *Store) fenced(ctx context.Context, o Operation, f rater.Fence, read func(*row)) error {
	if err := s.before(ctx, o, f.Partition); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.row(f.Partition)
	next := r.checkpoint.Next
	if r.checkpoint.Epoch != f.Epoch || r.owner != f.Owner || next != f.Next && (f.InFlight < 0 || next != f.InFlight) {
		return rater.ErrFenced
	}
	read(r)
	return nil
}

// Look implements rater.Store.
func (s *Store) Look(ctx context.Context, f rater.Fence) error {
	return s.fenced(ctx, Look, f, func(*row) {})
}

// Commit implements rater.Store.
func (s *Store) Commit(ctx context.Context, cuts []*rater.Cut) ([]rater.Outcome, error) {
	var errs []error
	out := make([]rater.Outcome, len(cuts))
	for i, c := range cuts {
		err := s.before(ctx, Commit, c.Fence.Partition)
		if err != nil && !errors.Is(err, ErrAnswerLost) {
			out[i] = rater.OutcomeUnknown
			errs = append(errs, err)
			continue
		}
		out[i] = s.commit(c)
		if err != nil {
			out[i] = rater.OutcomeUnknown
			errs = append(errs, err)
		}
	}
	return out, errors.Join(errs...)
}

func (s *Store) commit(c *rater.Cut) rater.Outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.row(c.Fence.Partition)
	k := &r.checkpoint
	if k.Epoch != c.Fence.Epoch || r.owner != c.Fence.Owner || k.Next != c.Fence.Next {
		return rater.OutcomeFenced
	}
	k.Next, k.Last, k.LeaderEpoch, k.RatedNext, k.LogTime = c.Next, c.Last, c.LeaderEpoch, c.RatedNext, c.LogTime
	k.ActivatedSeq, k.ActivatedSum = c.ActivatedSeq, c.ActivatedSum
	maps.Copy(k.Counts, c.Counts)
	k.Identities = append(k.Identities, c.Identities...)
	for _, l := range c.Lines {
		lines := slices.Clone(r.lines[l.Family])
		if l.Position < len(lines) {
			lines[l.Position] = l
		} else {
			lines = append(lines, l)
		}
		r.lines[l.Family] = lines
	}
	for _, q := range c.Pools {
		r.pools[q.ID] = q
	}
	for _, v := range c.Values {
		r.values[v.ValueKey] = v.Places
	}
	for _, set := range c.Sets {
		r.sets[set.Set] = set
	}
	for _, l := range c.Levels {
		if waits := (rater.LevelState{Owed: l.Owed, End: l.End, Family: l.Family}); l.Done {
			delete(r.levels, waits)
		} else {
			r.levels[waits] = struct{}{}
		}
	}
	for _, seal := range c.Seals {
		r.seals[seal.Account] = seal
	}
	for _, m := range c.Markers {
		r.markers[m.Account] = m
	}
	r.rejected = append(r.rejected, c.Rejected...)
	r.rejected = slices.DeleteFunc(r.rejected, func(x rater.RejectedUsage) bool {
		return slices.Contains(c.Answered, rater.Skip{Offset: x.Offset, Index: x.Index})
	})
	r.commits = append(r.commits, c.Next)
	return rater.OutcomeCommitted
}

// Position implements rater.Store.
func (s *Store) Position(ctx context.Context, partition int32) (int64, rater.Owner, int64, error) {
	if err := s.before(ctx, Position, partition); err != nil {
		return 0, rater.Owner{}, 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.row(partition)
	return r.checkpoint.Epoch, r.owner, r.checkpoint.Next, nil
}

// Lines implements rater.Store.
func (s *Store) Lines(ctx context.Context, f rater.Fence, families []activity.ID) (out []rater.LineState, err error) {
	err = s.fenced(ctx, Lines, f, func(r *row) {
		for _, id := range families {
			out = append(out, r.lines[id]...)
		}
	})
	return out, err
}

// Pools implements rater.Store.
func (s *Store) Pools(ctx context.Context, f rater.Fence, pools []activity.ID) (out []rater.PoolState, err error) {
	err = s.fenced(ctx, Pools, f, func(r *row) {
		for _, id := range pools {
			if q, ok := r.pools[id]; ok {
				out = append(out, q)
			}
		}
	})
	return out, err
}

// Sharing implements rater.Store.
func (s *Store) Sharing(ctx context.Context, f rater.Fence, pool activity.ID, billed string, start int64) (out []activity.ID, err error) {
	err = s.fenced(ctx, Pools, f, func(r *row) {
		for id, lines := range r.lines {
			for i := range lines {
				l := &lines[i]
				segments, bad := rater.DecodeSegments(l.Segments)
				if bad == nil && l.Owed == billed && l.UsagePeriod.Start == start && !slices.Contains(out, id) &&
					slices.ContainsFunc(segments, func(s rater.Segment) bool { return s.Pool == pool }) {
					out = append(out, id)
				}
			}
		}
	})
	return out, err
}

// Values implements rater.Store.
func (s *Store) Values(ctx context.Context, f rater.Fence, values []rater.ValueKey) (out []rater.ValueState, err error) {
	err = s.fenced(ctx, Values, f, func(r *row) {
		for _, k := range values {
			if places, ok := r.values[k]; ok {
				out = append(out, rater.ValueState{ValueKey: k, Places: places})
			}
		}
	})
	return out, err
}

// Levels implements rater.Store.
func (s *Store) Levels(ctx context.Context, f rater.Fence, owed string, through int64, limit int) (out []rater.LevelState, err error) {
	err = s.fenced(ctx, Levels, f, func(r *row) {
		for l := range r.levels {
			if l.Owed == owed && l.End <= through {
				out = append(out, l)
			}
		}
	})
	slices.SortFunc(out, func(a, b rater.LevelState) int {
		return cmp.Or(cmp.Compare(a.End, b.End), bytes.Compare(a.Family[:], b.Family[:]))
	})
	return out[:min(len(out), limit)], err
}

// Seals implements rater.Store.
func (s *Store) Seals(ctx context.Context, f rater.Fence, accounts []string) (out []rater.SealState, err error) {
	err = s.fenced(ctx, Seals, f, func(r *row) {
		for _, a := range accounts {
			if seal, ok := r.seals[a]; ok {
				out = append(out, seal)
			}
		}
	})
	return out, err
}

// Markers implements rater.Store.
func (s *Store) Markers(ctx context.Context, f rater.Fence, accounts []string) (out []rater.MarkerState, err error) {
	err = s.fenced(ctx, Markers, f, func(r *row) {
		for _, a := range accounts {
			if m, ok := r.markers[a]; ok {
				out = append(out, m)
			}
		}
	})
	return out, err
}

// Identities implements rater.Store. All are handed out by Acquire, so there are no older ones.
func (s *Store) Identities(ctx context.Context, f rater.Fence, _ []dedup.Question) ([]dedup.Entry, error) {
	return nil, s.fenced(ctx, Identities, f, func(*row) {})
}

// Compact implements rater.Store. Nothing is ever folded.
func (s *Store) Compact(ctx context.Context, f rater.Fence, _ int64) ([]dedup.Compacted, error) {
	return nil, s.fenced(ctx, Compact, f, func(*row) {})
}

// Fold implements rater.Store. Lines are never appended.
func (s *Store) Fold(ctx context.Context, f rater.Fence) error {
	return s.fenced(ctx, Fold, f, func(*row) {})
}

// Forget implements rater.Store.
func (s *Store) Forget(ctx context.Context, f rater.Fence, before int64) (bool, error) {
	return false, s.fenced(ctx, Forget, f, func(r *row) {
		forgotten := map[activity.ID]bool{}
		for id, set := range r.sets {
			seals := r.seals[set.Owed].Seals
			sealed := slices.ContainsFunc(seals, func(p rater.SealPoint) bool { return p.Through >= set.End })
			if forgotten[id] = set.Gone || sealed && set.End < before; forgotten[id] {
				delete(r.sets, id)
			}
		}
		maps.DeleteFunc(r.values, func(k rater.ValueKey, _ uint64) bool { return forgotten[k.Set] })
	})
}

// OpenLines implements rater.Store.
func (s *Store) OpenLines(ctx context.Context, f rater.Fence, endsAfter int64, from activity.ID, limit int) (out []rater.LineState, next activity.ID, more bool, err error) {
	next = from
	err = s.fenced(ctx, OpenLines, f, func(r *row) {
		ids := slices.SortedFunc(maps.Keys(r.lines), func(a, b activity.ID) int { return slices.Compare(a[:], b[:]) })
		for _, id := range ids {
			if from != (activity.ID{}) && slices.Compare(id[:], from[:]) <= 0 {
				continue
			}
			if more = len(out) >= limit; more {
				return
			}
			for _, l := range r.lines[id] {
				if l.Period.End > endsAfter {
					out = append(out, l)
				}
			}
			next = id
		}
	})
	return out, next, more, err
}
