package collector

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
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

// Resolver looks accounts up in the definitions. It writes an answer to every subject, in their
// order, from one consistent state, into answers, of which there are as many and which are empty; it
// may be called again with the same at any time. An error means that nothing is known (the store is
// away: it then wraps ErrUnavailable). It keeps neither the slices nor a subject's text.
type Resolver interface {
	Resolve(ctx context.Context, subjects []Subject, answers []Resolution) error
}

// ResolverFunc is a function that returns its answers as a Resolver.
type ResolverFunc func(ctx context.Context, subjects []Subject) ([]Resolution, error)

// Resolve implements Resolver.
func (f ResolverFunc) Resolve(ctx context.Context, subjects []Subject, answers []Resolution) error {
	found, err := f(ctx, subjects)
	if err == nil && len(found) != len(subjects) {
		err = fmt.Errorf("%d answers to %d questions", len(found), len(subjects))
	}
	copy(answers, found)
	return err
}

// lookUp asks the resolver. That it cannot answer is a reason to try again later.
func lookUp(ctx context.Context, from Resolver, subjects []Subject, answers []Resolution) error {
	err := from.Resolve(ctx, subjects, answers)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil || errors.Is(err, ErrUnavailable):
		return fmt.Errorf("look up accounts: %w", err)
	default:
		return fmt.Errorf("look up accounts: %w (%w)", err, ErrUnavailable)
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
	young, old names
}

const maxRanges = 16 // of one name, after which it is loaded anew

// NewCachedResolver keeps up to limit names; 0 means 200,000.
func NewCachedResolver(from Resolver, limit int, metrics *Metrics) *CachedResolver {
	if limit <= 0 {
		limit = 200_000
	}
	return &CachedResolver{from: from, limit: limit, metrics: metrics}
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
	r.young, r.old = names{}, names{}
}

// Resolve implements Resolver. Known names cost no look-up, so they resolve while the store is away.
func (r *CachedResolver) Resolve(ctx context.Context, subjects []Subject, answers []Resolution) error {
	var missing []int
	r.mu.RLock()
	generation := r.generation
	for start := 0; start < len(subjects); start += together {
		end := min(start+together, len(subjects))
		missing = r.lookup(subjects[start:end], answers[start:end], start, missing)
	}
	r.mu.RUnlock()
	if len(missing) == 0 {
		r.metrics.cached.Add(float64(len(subjects)))
		return nil
	}
	return r.load(ctx, generation, subjects, answers, missing)
}

// together is how many names are looked up at a time: first all of their places in the table are read, then what stands there,
// so that the processor waits for the memory of many at once.
const together = 32

// lookup answers up to as many subjects as that from what is kept, and appends the places, from start on, of those that are not, or only
// among the old ones.
func (r *CachedResolver) lookup(subjects []Subject, answers []Resolution, start int, missing []int) []int {
	var hashes [together]uint64
	var guesses [together]*known
	for i := range subjects {
		hashes[i] = hashOfName(subjects[i].Value)
		guesses[i] = r.young.guess(hashes[i])
	}
	for i := range subjects {
		s, k := &subjects[i], guesses[i]
		if k == nil || k.name != s.Value {
			k = r.young.find(s.Value, hashes[i])
		}
		if k != nil {
			if answer := k.at(s.Time); answer != nil {
				answers[i] = *answer
				continue
			}
		}
		if k = r.old.find(s.Value, hashes[i]); k != nil {
			if answer := k.at(s.Time); answer != nil {
				answers[i] = *answer
			}
		}
		missing = append(missing, start+i)
	}
	return missing
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
	loaded := make([]Resolution, len(ask))
	if len(ask) > 0 {
		if err := lookUp(ctx, r.from, ask, loaded); err != nil {
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
	r.metrics.cached.Add(float64(len(subjects) - len(missing)))
	r.metrics.loaded.Add(float64(len(missing) - unknown))
	r.metrics.unknown.Add(float64(unknown))
	return nil
}

// keep remembers an answer, in memory of its own: the name may be part of a request, whose memory is used again. Names that
// are the same share theirs, so that a look-up reads it once.
func (r *CachedResolver) keep(name string, answer Resolution) {
	hash := hashOfName(name)
	k := r.young.find(name, hash)
	if k != nil && (k.first == answer || slices.Contains(k.more, answer)) {
		return
	}
	answer.Account = strings.Clone(answer.Account)
	answer.RoutingKey = copyOf(answer.RoutingKey, answer.Account)
	switch {
	case k == nil:
		if r.young.count >= (r.limit+1)/2 {
			r.young, r.old = names{}, r.young
		}
		r.young.add(&known{name: copyOf(name, answer.Account), first: answer}, hash)
	case len(k.more) < maxRanges-1:
		k.more = append(k.more, answer)
	default:
		k.first, k.more = answer, nil
	}
}

// copyOf is s in other memory: that of same, where it says the same.
func copyOf(s, same string) string {
	if s == same {
		return same
	}
	return strings.Clone(s)
}
