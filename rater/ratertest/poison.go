package ratertest

import (
	"context"
	"slices"

	"github.com/tollstream/tollstream/rater"
)

// Failed implements rater.Poison.
func (s *Store) Failed(ctx context.Context, partition int32, offset int64, _ int, _ string) (int, error) {
	if err := s.before(ctx, Failed, partition); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures[place{partition, offset}]++
	return s.failures[place{partition, offset}], nil
}

// ClearFailures implements rater.Poison.
func (s *Store) ClearFailures(_ context.Context, partition int32, below int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at := range s.failures {
		if at.partition == partition && at.offset < below {
			delete(s.failures, at)
		}
	}
	return nil
}

// Skipped implements rater.Poison.
func (s *Store) Skipped(ctx context.Context, partition int32, offset int64) (bool, error) {
	if err := s.before(ctx, Skipped, partition); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.skips[place{partition, offset}]) > 0, nil
}

// Skip is the operator's word to pass over an event.
func (s *Store) Skip(_ context.Context, partition int32, offset int64, index int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := place{partition, offset}
	if s.skips[at] == nil {
		s.skips[at] = map[int]struct{}{}
	}
	s.skips[at][index] = struct{}{}
	return nil
}

// Failures is how often the rater failed at an offset.
func (s *Store) Failures(partition int32, offset int64) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failures[place{partition, offset}]
}

// Checkpoint returns a partition's checkpoint without claiming it.
func (s *Store) Checkpoint(partition int32) rater.Checkpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.row(partition).checkpoint
}

// Commits returns the next offsets of a partition's commits, in order.
func (s *Store) Commits(partition int32) []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.row(partition).commits)
}

// All returns a partition's lines and rejected usage.
func (s *Store) All(partition int32) (lines []rater.LineState, rejected []rater.RejectedUsage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.row(partition)
	for _, l := range r.lines {
		lines = append(lines, l...)
	}
	return lines, slices.Clone(r.rejected)
}
