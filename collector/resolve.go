package collector

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
)

// Subject is what an event names as its account: an account's id or an identifier, as of the time of
// the usage, for an identifier may pass from one account to another.
type Subject struct {
	Value string
	Time  int64 // instant
}

// Resolution is the answer to a Subject. An empty Account means that no account was known by that
// name at that time.
type Resolution struct {
	Account    string
	RoutingKey string
	// The answer holds for the name at instants in [From, Until). An account's own id holds always.
	From, Until int64
}

// Always are the bounds of a resolution that does not depend on the time.
const (
	AlwaysFrom  = math.MinInt64
	AlwaysUntil = math.MaxInt64
)

// Resolver looks accounts up in the definitions. It answers every subject, in their order, from one
// consistent state; it may be called again with the same at any time. An error means that nothing
// is known (the store is away: it then wraps ErrUnavailable).
type Resolver interface {
	Resolve(ctx context.Context, subjects []Subject) ([]Resolution, error)
}

// ResolverFunc is a function as a Resolver.
type ResolverFunc func(ctx context.Context, subjects []Subject) ([]Resolution, error)

// Resolve implements Resolver.
func (f ResolverFunc) Resolve(ctx context.Context, subjects []Subject) ([]Resolution, error) {
	return f(ctx, subjects)
}

// lookUp asks the resolver. That it cannot answer is a reason to try again later.
func lookUp(ctx context.Context, from Resolver, subjects []Subject) ([]Resolution, error) {
	answers, err := from.Resolve(ctx, subjects)
	switch {
	case err == nil && len(answers) == len(subjects):
		return answers, nil
	case err == nil:
		return nil, fmt.Errorf("look up accounts: %d answers to %d questions", len(answers), len(subjects))
	case ctx.Err() != nil || errors.Is(err, ErrUnavailable):
		return nil, fmt.Errorf("look up accounts: %w", err)
	default:
		return nil, fmt.Errorf("look up accounts: %w (%w)", err, ErrUnavailable)
	}
}

// CachedResolver keeps what another resolver found, within a bound. What was not found is asked
// again each time, so that usage of an account that was just created meets it.
//
// Whoever changes definitions calls Invalidate before the change counts as applied: a definition may
// end an identifier's resolution that was kept as open-ended. Its methods are safe for concurrent use.
type CachedResolver struct {
	from    Resolver
	limit   int
	metrics *Metrics

	mu         sync.RWMutex
	generation uint64
	seq        int64
	// Names move from old to young when they are used; when young is full, it becomes old and what
	// was old is forgotten.
	young, old map[string][]Resolution
}

const maxRanges = 16 // of one name, after which it is loaded anew

// NewCachedResolver keeps up to limit names; 0 means 200,000.
func NewCachedResolver(from Resolver, limit int, metrics *Metrics) *CachedResolver {
	if limit <= 0 {
		limit = 200_000
	}
	return &CachedResolver{from: from, limit: limit, metrics: metrics, young: map[string][]Resolution{}}
}

// Invalidate forgets everything, what is being loaded now included.
func (r *CachedResolver) Invalidate() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget()
}

// AdvanceTo forgets everything when the definitions' sequence number is beyond the last that was
// told: the hook for a process that watches the number instead of making the changes.
func (r *CachedResolver) AdvanceTo(seq int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if seq > r.seq {
		r.seq = seq
		r.forget()
	}
}

func (r *CachedResolver) forget() {
	r.generation++
	r.young, r.old = map[string][]Resolution{}, nil
}

// Resolve implements Resolver. Known names cost no look-up, so they resolve while the store is away.
func (r *CachedResolver) Resolve(ctx context.Context, subjects []Subject) ([]Resolution, error) {
	answers := make([]Resolution, len(subjects))
	var missing []int
	r.mu.RLock()
	generation := r.generation
	for i := range subjects {
		found, promote := r.lookup(&subjects[i], &answers[i])
		if !found || promote {
			missing = append(missing, i)
		}
	}
	r.mu.RUnlock()
	if len(missing) == 0 {
		r.metrics.subjects.WithLabelValues("cached").Add(float64(len(subjects)))
		return answers, nil
	}
	return answers, r.load(ctx, generation, subjects, answers, missing)
}

// lookup finds a kept answer; promote says that it stands among the old ones.
func (r *CachedResolver) lookup(s *Subject, into *Resolution) (found, promote bool) {
	for _, kept := range r.young[s.Value] {
		if kept.From <= s.Time && s.Time < kept.Until {
			*into = kept
			return true, false
		}
	}
	for _, kept := range r.old[s.Value] {
		if kept.From <= s.Time && s.Time < kept.Until {
			*into = kept
			return true, true
		}
	}
	return false, false
}

// load asks for what was not found, each name and time once, and keeps the answers.
func (r *CachedResolver) load(ctx context.Context, generation uint64, subjects []Subject, answers []Resolution, missing []int) error {
	var ask []Subject
	position := make(map[Subject]int)
	for _, i := range missing {
		if answers[i].Account != "" {
			continue // only to be promoted
		}
		if _, ok := position[subjects[i]]; !ok {
			position[subjects[i]] = len(ask)
			ask = append(ask, subjects[i])
		}
	}
	var loaded []Resolution
	if len(ask) > 0 {
		var err error
		if loaded, err = lookUp(ctx, r.from, ask); err != nil {
			return err
		}
	}
	unknown := 0
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, i := range missing {
		if answers[i].Account == "" {
			answers[i] = loaded[position[subjects[i]]]
		}
		if answers[i].Account == "" {
			unknown++
		} else if r.generation == generation {
			r.keep(subjects[i].Value, answers[i])
		}
	}
	r.metrics.subjects.WithLabelValues("cached").Add(float64(len(subjects) - len(missing)))
	r.metrics.subjects.WithLabelValues("loaded").Add(float64(len(missing) - unknown))
	r.metrics.subjects.WithLabelValues("unknown").Add(float64(unknown))
	return nil
}

func (r *CachedResolver) keep(name string, answer Resolution) {
	ranges := r.young[name]
	for _, kept := range ranges {
		if kept == answer {
			return
		}
	}
	if len(ranges) >= maxRanges {
		ranges = nil
	}
	if ranges == nil && len(r.young) >= (r.limit+1)/2 {
		r.young, r.old = make(map[string][]Resolution, len(r.young)), r.young
	}
	// The name may share memory with a whole request; a copy keeps only itself.
	r.young[string([]byte(name))] = append(ranges[:len(ranges):len(ranges)], answer)
}
