package dedup

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"sort"

	"github.com/tollstream/tollstream/collector/usage"
)

// table holds the entries that arrived on one day, in the order in which they came, and finds them by identity. To look for one that is
// not there, and then to add it, takes one cache line of a leaf. A full leaf is split in two, which takes some microseconds
// however large the table is: usage never waits for millions of entries that move at once.
//
// Memory: 24 bytes for an entry, 16 for each run of arrivals, 10 to 20 of a leaf's slots for an entry.
type table struct {
	day    int32
	n      int         // identities
	chunks [][]content // without pointers, so that the collector passes over them
	added  uint32      // to the chunks
	told   uint32      // of them, by tell
	runs   []run       // entries that arrived at the same time follow one another: those of a record do
	depth  uint        // leading bits of a place that choose the leaf
	leaves []*leaf     // 1<<depth; one that has fewer bits in common stands in several places
}

type content struct {
	id   usage.Identity
	hash uint64
}

type run struct {
	first   uint32 // number of its first entry
	arrived int64
}

// leaf finds the entries whose places begin with the same bits.
type leaf struct {
	// Buckets of a cache line each; a slot holds the upper half of an entry's place above the entry's number from 1 on. Slots are taken
	// from the left, so an empty one ends the search; a full bucket goes on in the next.
	slots []uint64
	n     int
	depth uint
}

const (
	bucketSlots  = 8
	maxSlots     = 4096 // of a leaf, a power of two
	half         = 32   // bits of a place or slot
	chunkEntries = 256
)

// fill is how many entries a leaf with so many slots takes.
func fill(slots int) int { return slots * 13 / 16 }

// The seeds make the order of a table unknown to whoever chooses the ids of usage, who could otherwise make one bucket overflow.
var seeds = newSeeds()

func newSeeds() (s [2]uint64) {
	seed := maphash.MakeSeed()
	for i := range s {
		s[i] = maphash.Comparable(seed, i)
	}
	return s
}

// place is where an identity belongs in every table: 64 bits that are its own to whoever knows the seeds. Tables go by the
// upper half: leaves by its first bits, buckets by its last.
func place(id *usage.Identity) uint64 {
	hi, lo := bits.Mul64(binary.LittleEndian.Uint64(id[:8])^seeds[0], binary.LittleEndian.Uint64(id[8:])^seeds[1])
	return hi ^ lo
}

func newTable(day int32) *table {
	return &table{day: day, leaves: []*leaf{{slots: make([]uint64, bucketSlots)}}}
}

func (t *table) leafAt(at uint64) *leaf { return t.leaves[at>>(64-t.depth)] }

// touch reads the cache line that find begins with, and nothing else.
func (t *table) touch(at uint64) uint64 {
	l := t.leafAt(at)
	return l.slots[l.bucket(at)]
}

// likely returns the number of the first entry that looks like the one of an identity, without reading it. 0 says that the
// identity has none.
func (t *table) likely(at uint64) uint32 {
	l := t.leafAt(at)
	for b := l.bucket(at); ; b = (b + bucketSlots) & (len(l.slots) - 1) {
		for _, slot := range l.slots[b : b+bucketSlots] {
			if slot == 0 || slot>>half == at>>half {
				return uint32(slot)
			}
		}
	}
}

// find returns the number of an identity's entry, 0 when it has none, and the slot with it or the one that is free for it.
func (t *table) find(l *leaf, id *usage.Identity, at uint64) (number uint32, slot *uint64) {
	for b := l.bucket(at); ; b = (b + bucketSlots) & (len(l.slots) - 1) {
		bucket := l.slots[b : b+bucketSlots]
		for i := range bucket {
			slot := &bucket[i]
			if *slot == 0 {
				return 0, slot
			}
			if *slot>>half == at>>half && t.content(uint32(*slot)).id == *id {
				return uint32(*slot), slot
			}
		}
	}
}

// look returns the number of an identity's entry, 0 when it has none.
func (t *table) look(id *usage.Identity, at uint64) uint32 {
	number, _ := t.find(t.leafAt(at), id, at)
	return number
}

func (t *table) content(number uint32) *content {
	return &t.chunks[(number-1)/chunkEntries][(number-1)%chunkEntries]
}

// arrived is when an entry arrived.
func (t *table) arrived(number uint32) int64 { return t.runs[t.runOf(number)].arrived }

// runOf finds the run of an entry.
func (t *table) runOf(number uint32) int {
	return sort.Search(len(t.runs), func(i int) bool { return t.runs[i].first > number }) - 1
}

// answer is the verdict on the identity of an entry.
func (t *table) answer(number uint32, oldest int64) Answer {
	if int64(t.day)*dayNanoseconds < oldest && t.arrived(number) < oldest {
		return Answer{}
	}
	return Answer{Verdict: Hit, Hash: t.content(number).hash}
}

// put adds an entry; of two with the same identity the newest arrival stays.
func (t *table) put(e *Entry, at uint64) {
	for {
		l := t.leafAt(at)
		number, slot := t.find(l, &e.ID, at)
		switch {
		case number > 0:
			if t.arrived(number) <= e.Arrived {
				*slot = at>>half<<half | uint64(t.add(e))
			}
			return
		case l.n < fill(len(l.slots)):
			*slot = at>>half<<half | uint64(t.add(e))
			l.n++
			t.n++
			return
		case len(l.slots) < maxSlots:
			l.grow()
		default:
			t.split(l, at)
		}
	}
}

// add appends an entry and returns its number.
func (t *table) add(e *Entry) uint32 {
	if t.added%chunkEntries == 0 {
		t.chunks = append(t.chunks, make([]content, chunkEntries))
	}
	t.added++
	*t.content(t.added) = content{e.ID, e.Hash}
	if n := len(t.runs); n == 0 || t.runs[n-1].arrived != e.Arrived {
		t.runs = append(t.runs, run{t.added, e.Arrived})
	}
	return t.added
}

// tell appends the entries that were added since it was called last.
func (t *table) tell(to []Entry) []Entry {
	at := t.runOf(t.told + 1)
	for n := t.told; n < t.added; n++ {
		for at+1 < len(t.runs) && t.runs[at+1].first <= n+1 {
			at++
		}
		c := t.content(n + 1)
		to = append(to, Entry{c.id, c.hash, t.runs[at].arrived})
	}
	t.told = t.added
	return to
}

// split divides the full leaf that the place belongs to by the next bit.
func (t *table) split(l *leaf, at uint64) {
	if l.depth == t.depth {
		twice := make([]*leaf, 2*len(t.leaves))
		for i, same := range t.leaves {
			twice[2*i], twice[2*i+1] = same, same
		}
		t.leaves = twice
		t.depth++
	}
	var halves [2]*leaf
	for i := range halves {
		halves[i] = &leaf{slots: make([]uint64, maxSlots), depth: l.depth + 1}
	}
	for _, slot := range l.slots {
		if slot != 0 {
			halves[slot>>(63-l.depth)&1].take(slot)
		}
	}
	first := at >> (64 - l.depth) << (t.depth - l.depth)
	for i := range uint64(1) << (t.depth - l.depth) {
		t.leaves[first+i] = halves[i>>(t.depth-l.depth-1)]
	}
}

// bucket is the first slot of the bucket in which a place, or a slot that was made from it, is looked for.
func (l *leaf) bucket(at uint64) int { return int(at>>half) * bucketSlots & (len(l.slots) - 1) }

// take puts a slot of another leaf where it belongs.
func (l *leaf) take(slot uint64) {
	l.n++
	for b := l.bucket(slot); ; b = (b + bucketSlots) & (len(l.slots) - 1) {
		bucket := l.slots[b : b+bucketSlots]
		for i := range bucket {
			if bucket[i] == 0 {
				bucket[i] = slot
				return
			}
		}
	}
}

// grow doubles the slots.
func (l *leaf) grow() {
	old := l.slots
	l.slots, l.n = make([]uint64, 2*len(old)), 0
	for _, slot := range old {
		if slot != 0 {
			l.take(slot)
		}
	}
}
