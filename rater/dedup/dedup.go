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
	Miss    Verdict = iota // it was not rated within the window
	Hit                    // it was: the entry says when and with which content
	Ask                    // an older day may hold it: look it up in the store and Confirm
	unknown                // not yet decided
)

// Answer is what the index knows of an identity.
type Answer struct {
	Verdict     Verdict
	Hash        uint64 // of the event as it was rated; set for a Hit only
	First, Last int32  // the days of which one may hold it; set for an Ask only
}

// Question is what an Ask leaves to the store: whether the identity arrived on one of the compacted days from First to Last.
type Question struct {
	ID          usage.Identity
	First, Last int32
}

// Index is the duplicates index of one partition.
type Index struct {
	keep      int64    // nanoseconds that an entry counts: window and tolerance
	days      []*table // newest first
	filters   []Filter // newest first
	confirmed map[usage.Identity]Entry
	denied    map[usage.Identity]struct{}
	left      []*table // days that left with entries that Fresh has not returned, oldest first

	// of the identities looked for together
	places  []uint64
	answers []Answer
	likely  []uint32 // numbers of entries
	pending []int    // the identities that filters have to tell about
	keys    []key    // these
	touched uint64   // keeps the compiler from leaving out what only touches
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
		x.put(&entries[i])
	}
	for _, d := range x.days {
		d.told = d.added
	}
	x.filters = slices.Clone(filters)
	slices.SortFunc(x.filters, newestFirst)
}

// Look says of each identity what Check would. The answers are valid until the next call. Each step first touches what
// it will read of memory for all of them: then the processor waits for many cache lines at the same time instead of one after
// another, and that waiting is most of what a look-up costs.
func (x *Index) Look(ids []usage.Identity, logTime int64) []Answer {
	oldest := x.oldest(logTime)
	x.places, x.answers = x.places[:0], x.answers[:0]
	for i := range ids {
		x.places = append(x.places, place(&ids[i]))
		x.answers = append(x.answers, Answer{Verdict: unknown})
	}
	for _, d := range x.days {
		x.lookIn(d, ids, oldest)
	}
	x.lookBehind(ids, oldest)
	for i := range x.answers {
		x.answers[i] = x.answers[i].settled()
	}
	return x.answers
}

// lookIn answers for the identities that arrived on a day that is held in memory.
func (x *Index) lookIn(d *table, ids []usage.Identity, oldest int64) {
	var sum uint64
	for _, at := range x.places {
		sum += d.touch(at)
	}
	x.likely = x.likely[:0]
	for i, at := range x.places {
		var number uint32
		if x.answers[i].Verdict == unknown {
			if number = d.likely(at); number > 0 {
				sum += d.content(number).hash
			}
		}
		x.likely = append(x.likely, number)
	}
	x.touched = sum
	for i, number := range x.likely {
		if number > 0 && d.content(number).id != ids[i] {
			number = d.look(&ids[i], x.places[i])
		}
		if number > 0 {
			x.answers[i] = d.answer(number, oldest)
		}
	}
}

// lookBehind answers for the identities that the store has confirmed, and those that a filter may hold.
func (x *Index) lookBehind(ids []usage.Identity, oldest int64) {
	x.pending, x.keys = x.pending[:0], x.keys[:0]
	for i := range ids {
		if a := &x.answers[i]; a.Verdict == unknown {
			if *a = x.recalled(&ids[i], oldest); a.Verdict == unknown {
				x.pending, x.keys = append(x.pending, i), append(x.keys, keyOf(&ids[i]))
			}
		}
	}
	filters := x.counting(oldest)
	for f := range filters {
		x.touched += filters[f].touch(x.keys)
	}
	for f := range filters {
		for n, i := range x.pending {
			if a := &x.answers[i]; a.open() && filters[f].contains(x.keys[n]) {
				*a = x.filtered(*a, &filters[f], &ids[i])
			}
		}
	}
}

// Check says whether an identity was rated.
func (x *Index) Check(id usage.Identity, logTime int64) Answer {
	oldest := x.oldest(logTime)
	a := x.held(&id, place(&id), oldest)
	key := keyOf(&id)
	for filters := x.counting(oldest); a.open() && len(filters) > 0; filters = filters[1:] {
		if filters[0].contains(key) {
			a = x.filtered(a, &filters[0], &id)
		}
	}
	return a.settled()
}

// held answers from what is in memory and what the store has confirmed.
func (x *Index) held(id *usage.Identity, at uint64, oldest int64) Answer {
	for _, d := range x.days {
		if number := d.look(id, at); number > 0 {
			return d.answer(number, oldest)
		}
	}
	return x.recalled(id, oldest)
}

// recalled answers from what the store has confirmed.
func (x *Index) recalled(id *usage.Identity, oldest int64) Answer {
	if e, ok := x.confirmed[*id]; ok {
		if e.Arrived < oldest {
			return Answer{}
		}
		return Answer{Verdict: Hit, Hash: e.Hash}
	}
	return Answer{Verdict: unknown}
}

// filtered adds to an answer that a filter may hold the identity.
func (x *Index) filtered(a Answer, f *Filter, id *usage.Identity) Answer {
	if _, denied := x.denied[*id]; denied {
		return Answer{}
	}
	if a.Verdict == unknown {
		return Answer{Verdict: Ask, First: f.First, Last: f.Day}
	}
	a.First, a.Last = min(a.First, f.First), max(a.Last, f.Day)
	return a
}

// open says that the filters still have a say.
func (a Answer) open() bool { return a.Verdict == unknown || a.Verdict == Ask }

// settled is the answer when nothing else can know of the identity.
func (a Answer) settled() Answer {
	if a.Verdict == unknown {
		return Answer{}
	}
	return a
}

// counting are the filters with days that count; newest first, so they are the first ones.
func (x *Index) counting(oldest int64) []Filter {
	day, n := Day(oldest), 0
	for n < len(x.filters) && x.filters[n].Day >= day && len(x.filters[n].Bits) > 0 {
		n++
	}
	return x.filters[:n]
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
func (x *Index) Confirm(asked []Question, found []Entry) {
	for i := range asked {
		x.denied[asked[i].ID] = struct{}{}
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
	x.put(&e)
}

// Fresh returns what was remembered since it was called last, in order; the caller owns the slice.
func (x *Index) Fresh() []Entry {
	n := 0
	for _, d := range x.days {
		n += int(d.added - d.told)
	}
	for _, d := range x.left {
		n += int(d.added - d.told)
	}
	if n == 0 {
		return nil
	}
	fresh := make([]Entry, 0, n)
	for _, d := range x.left {
		fresh = d.tell(fresh)
	}
	x.left = nil
	for _, d := range slices.Backward(x.days) {
		fresh = d.tell(fresh)
	}
	return fresh
}

// put keeps the newest arrival when an identity arrives twice on a day.
func (x *Index) put(e *Entry) {
	number := Day(e.Arrived)
	i := 0
	for i < len(x.days) && x.days[i].day > number {
		i++
	}
	if i == len(x.days) || x.days[i].day != number {
		x.days = slices.Insert(x.days, i, newTable(number))
		if i == 0 {
			x.expire(e.Arrived)
		}
	}
	x.days[i].put(e, place(&e.ID))
}

// expire drops the days of which nothing counts any more.
func (x *Index) expire(logTime int64) {
	oldest := Day(x.oldest(logTime))
	x.drop(func(d *table) bool { return d.day < oldest })
	x.filters = slices.DeleteFunc(x.filters, func(f Filter) bool { return f.Day < oldest })
}

// drop drops days.
func (x *Index) drop(which func(*table) bool) {
	for _, d := range slices.Backward(x.days) {
		if which(d) && d.added > d.told {
			x.left = append(x.left, d)
		}
	}
	x.days = slices.DeleteFunc(x.days, which)
}

// Sealed takes a filter that holds a day which the store has compacted: the day's entries leave memory. A filter
// that begins on the same day as one that is known takes its place, as it holds more.
func (x *Index) Sealed(number int32, f Filter) {
	x.drop(func(d *table) bool { return d.day == number })
	x.filters = slices.DeleteFunc(x.filters, func(old Filter) bool { return old.First == f.First })
	x.filters = append(x.filters, f)
	slices.SortFunc(x.filters, newestFirst)
	// An answer from before says nothing about the entries that now stand in the store only.
	x.Forget()
}

// Len returns how many identities are held in memory.
func (x *Index) Len() int {
	n := 0
	for _, d := range x.days {
		n += d.n
	}
	return n
}
