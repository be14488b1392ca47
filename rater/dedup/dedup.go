// Package dedup recognises usage that was rated before: exactly, for the whole window, without reading
// a store for usage that is new.
//
// It is pure and imports collector/usage only. The days of arrival that are not yet compacted by the store are held
// whole in memory; an older day answers through a Bloom filter, and only an identity that a filter may hold
// is looked up in the store. What the index answers is a function of the entries that were remembered and of the
// log time asked with: filters only decide whether the store is asked.
//
// Invariants: an identity counts for exactly the window plus one hour after it arrived; the newest
// arrival of an identity is the one that answers; a day leaves memory only when a filter that holds it
// takes its place. An Index belongs to one partition and is not safe for concurrent use.
package dedup

import (
	"math"
	"slices"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
)

// Tolerance is how far ahead of log time usage may lie: identities count for so much longer than
// the window, so that usage resent until its event time is too old always meets its original.
const Tolerance = time.Hour

const dayNanoseconds = int64(24 * time.Hour)

// Entry is a rated event's identity as it is remembered.
type Entry struct {
	ID      usage.Identity
	Hash    uint64 // of the event as it was sent
	Arrived int64  // log time, instant
}

// Day returns the UTC day of an instant, counted from the Unix epoch.
func Day(instant int64) int32 {
	day := instant / dayNanoseconds
	if instant%dayNanoseconds < 0 {
		day--
	}
	return int32(day)
}

// Verdict is what the index knows of an identity.
type Verdict uint8

// The verdicts.
const (
	Miss Verdict = iota // it was not rated within the window
	Hit                 // it was: the entry says when and with which content
	Ask                 // an older day may hold it: look it up in the store and Confirm
)

// memory is what is kept of an entry beside its identity.
type memory struct {
	hash    uint64
	arrived int64
}

// day holds the entries that arrived on one day. A Go map of fixed-size keys and values holds no
// pointers, so the collector does not scan it, and it grows in small steps: an open-addressing table of
// our own would have to move millions of entries at once while usage waits.
type day struct {
	number  int32
	entries map[usage.Identity]memory
}

// Index is the duplicates index of one partition.
type Index struct {
	keep      int64    // nanoseconds that an entry counts: window and tolerance
	days      []day    // newest first
	filters   []Filter // newest first
	confirmed map[usage.Identity]Entry
	denied    map[usage.Identity]struct{}
	fresh     []Entry
	last      int // how many were fresh the last time
}

// New returns an empty index that remembers for the window and the tolerance.
func New(window time.Duration) *Index {
	return &Index{
		keep:      int64(window + Tolerance),
		confirmed: make(map[usage.Identity]Entry),
		denied:    make(map[usage.Identity]struct{}),
	}
}

// Load fills an index with what the store holds: the entries of the days that are not compacted, and the filters of the others.
func (x *Index) Load(entries []Entry, filters []Filter) {
	for i := range entries {
		x.put(entries[i])
	}
	x.filters = slices.Clone(filters)
	slices.SortFunc(x.filters, newestFirst)
}

// Check says whether an identity was rated. The entry is set for a Hit only.
func (x *Index) Check(id usage.Identity, logTime int64) (Entry, Verdict) {
	oldest := x.oldest(logTime)
	for i := range x.days {
		if m, ok := x.days[i].entries[id]; ok {
			if m.arrived < oldest {
				return Entry{}, Miss
			}
			return Entry{ID: id, Hash: m.hash, Arrived: m.arrived}, Hit
		}
	}
	if e, ok := x.confirmed[id]; ok {
		if e.Arrived < oldest {
			return Entry{}, Miss
		}
		return e, Hit
	}
	oldestDay := Day(oldest)
	for i := range x.filters {
		if x.filters[i].Day < oldestDay {
			break // newest first: the rest is older
		}
		if !x.filters[i].Contains(id) {
			continue
		}
		if _, denied := x.denied[id]; denied {
			return Entry{}, Miss
		}
		return Entry{}, Ask
	}
	return Entry{}, Miss
}

// oldest returns the arrival from which on entries count at the log time.
func (x *Index) oldest(logTime int64) int64 {
	if logTime < math.MinInt64+x.keep {
		return math.MinInt64
	}
	return logTime - x.keep
}

// Confirm takes the store's answer: of the identities asked for, those found, with every arrival that
// the store has. It is remembered until Forget or Sealed.
func (x *Index) Confirm(asked []usage.Identity, found []Entry) {
	for _, id := range asked {
		x.denied[id] = struct{}{}
	}
	for _, e := range found {
		if known, ok := x.confirmed[e.ID]; !ok || known.Arrived < e.Arrived {
			x.confirmed[e.ID] = e
		}
		delete(x.denied, e.ID)
	}
}

// Forget drops the answers that Confirm took. Called when a batch is done, it bounds them.
func (x *Index) Forget() {
	clear(x.confirmed)
	clear(x.denied)
}

// Remember adds an event that was rated. Log time never goes back, so it is the identity's newest arrival.
func (x *Index) Remember(e Entry) {
	if len(x.days) > 0 && x.days[0].number == Day(e.Arrived) {
		x.days[0].entries[e.ID] = memory{e.Hash, e.Arrived}
	} else {
		x.put(e)
	}
	if x.fresh == nil {
		x.fresh = make([]Entry, 0, x.last)
	}
	x.fresh = append(x.fresh, e)
}

// Fresh returns what was remembered since it was called last, in order; the caller owns the slice.
func (x *Index) Fresh() []Entry {
	fresh := x.fresh
	x.fresh, x.last = nil, len(fresh)
	return fresh
}

// put keeps the newest arrival when an identity arrives twice on a day.
func (x *Index) put(e Entry) {
	number := Day(e.Arrived)
	i := 0
	for i < len(x.days) && x.days[i].number > number {
		i++
	}
	if i == len(x.days) || x.days[i].number != number {
		x.days = slices.Insert(x.days, i, day{number, make(map[usage.Identity]memory)})
		if i == 0 {
			x.expire(e.Arrived)
		}
	}
	entries := x.days[i].entries
	if known, ok := entries[e.ID]; ok && known.arrived > e.Arrived {
		return
	}
	entries[e.ID] = memory{e.Hash, e.Arrived}
}

// expire drops the days of which nothing counts any more.
func (x *Index) expire(logTime int64) {
	oldest := Day(x.oldest(logTime))
	x.days = slices.DeleteFunc(x.days, func(d day) bool { return d.number < oldest })
	x.filters = slices.DeleteFunc(x.filters, func(f Filter) bool { return f.Day < oldest })
}

// Sealed takes a filter that holds a day which the store has compacted: the day's entries leave memory. A filter
// that begins on the same day as one that is known takes its place, as it holds more.
func (x *Index) Sealed(number int32, f Filter) {
	x.days = slices.DeleteFunc(x.days, func(d day) bool { return d.number == number })
	x.filters = slices.DeleteFunc(x.filters, func(old Filter) bool { return old.First == f.First })
	x.filters = append(x.filters, f)
	slices.SortFunc(x.filters, newestFirst)
	// An answer from before says nothing about the entries that now stand in the store only.
	x.Forget()
}

// Len returns how many identities are held in memory.
func (x *Index) Len() int {
	n := 0
	for i := range x.days {
		n += len(x.days[i].entries)
	}
	return n
}
