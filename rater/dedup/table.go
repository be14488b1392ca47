package dedup

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"

	"github.com/tollstream/tollstream/collector/usage"
)

// table holds the entries that arrived on one day. To look for an identity that is not there, and then to add it, takes one
// cache line of a leaf. A full leaf is split in two, which takes some tens of microseconds however large the table is: usage never
// waits for millions of entries that move at once.
//
// Memory: 32 bytes for an entry, 5 to 10 of a leaf's slots for it.
type table struct {
	day    int32
	n      int
	depth  uint    // leading bits of a place that choose the leaf
	leaves []*leaf // 1<<depth; one that has fewer bits in common stands in several places
}

// leaf holds the entries whose places begin with the same bits, in the order in which they came.
type leaf struct {
	// Buckets of a cache line each; a slot holds a part of an entry's place, its tag, above the entry's number from 1 on. Slots are
	// taken from the left, so an empty one ends the search; a full bucket goes on in the next.
	slots  []uint32
	chunks [][]Entry // without pointers, so that the collector passes over them
	n      int
	depth  uint
}

const (
	bucketSlots  = 16
	maxSlots     = 8192 // of a leaf; a power of two, and few enough for the numbers of the entries in them
	tagMask      = 0xffff0000
	chunkEntries = 64
)

// fill is how many entries a leaf with so many slots takes.
func fill(slots int) int { return slots / 16 * 13 }

// The seeds make the order of a table unknown to whoever chooses the ids of usage, who could otherwise make one bucket overflow.
var seeds = newSeeds()

func newSeeds() (s [2]uint64) {
	seed := maphash.MakeSeed()
	for i := range s {
		s[i] = maphash.Comparable(seed, i)
	}
	return s
}

// place is where an identity belongs in every table: 64 bits that are its own to whoever knows the seeds.
func place(id *usage.Identity) uint64 {
	hi, lo := bits.Mul64(binary.LittleEndian.Uint64(id[:8])^seeds[0], binary.LittleEndian.Uint64(id[8:])^seeds[1])
	return hi ^ lo
}

func newTable(day int32) *table {
	return &table{day: day, leaves: []*leaf{{slots: make([]uint32, bucketSlots)}}}
}

func (t *table) leafAt(at uint64) *leaf { return t.leaves[at>>(64-t.depth)] }

// touch reads the cache line that find begins with, and nothing else.
func (t *table) touch(at uint64) uint32 {
	l := t.leafAt(at)
	return l.slots[l.bucket(at)]
}

// find returns the entry of an identity, nil when it has none.
func (t *table) find(id *usage.Identity, at uint64) *Entry {
	e, _ := t.leafAt(at).find(id, at)
	return e
}

// likely returns the first entry that looks like the one of an identity, without reading it. Nil says that the identity has none.
func (t *table) likely(at uint64) *Entry {
	l := t.leafAt(at)
	tag := uint32(at) & tagMask
	for b := l.bucket(at); ; b = (b + bucketSlots) & (len(l.slots) - 1) {
		for _, slot := range l.slots[b : b+bucketSlots] {
			if slot == 0 {
				return nil
			}
			if slot&tagMask == tag {
				return l.entry(int(slot&^tagMask) - 1)
			}
		}
	}
}

// put adds an entry; of two with the same identity the newest arrival stays.
func (t *table) put(e *Entry, at uint64) {
	for {
		l := t.leafAt(at)
		known, free := l.find(&e.ID, at)
		switch {
		case known != nil:
			if known.Arrived <= e.Arrived {
				*known = *e
			}
			return
		case l.n < fill(len(l.slots)):
			l.add(e, at, free)
			t.n++
			return
		case len(l.slots) < maxSlots:
			l.grow()
		default:
			t.split(l, at)
		}
	}
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
		halves[i] = &leaf{slots: make([]uint32, maxSlots), depth: l.depth + 1}
	}
	for i := range l.n {
		e := l.entry(i)
		at := place(&e.ID)
		half := halves[at>>(63-l.depth)&1]
		half.add(e, at, half.free(at))
	}
	first := at >> (64 - l.depth) << (t.depth - l.depth)
	for i := range uint64(1) << (t.depth - l.depth) {
		t.leaves[first+i] = halves[i>>(t.depth-l.depth-1)]
	}
}

func (l *leaf) entry(i int) *Entry { return &l.chunks[i/chunkEntries][i%chunkEntries] }

// bucket is the first slot of the bucket in which a place is looked for.
func (l *leaf) bucket(at uint64) int { return int(at) & (len(l.slots) - 1) &^ (bucketSlots - 1) }

// find returns the entry of an identity or, without one, the slot that is free for it.
func (l *leaf) find(id *usage.Identity, at uint64) (e *Entry, free int) {
	tag := uint32(at) & tagMask
	for b := l.bucket(at); ; b = (b + bucketSlots) & (len(l.slots) - 1) {
		for i, slot := range l.slots[b : b+bucketSlots] {
			if slot == 0 {
				return nil, b + i
			}
			if slot&tagMask == tag {
				if e := l.entry(int(slot&^tagMask) - 1); e.ID == *id {
					return e, 0
				}
			}
		}
	}
}

// free is the slot for an entry that is known to be new.
func (l *leaf) free(at uint64) int {
	for b := l.bucket(at); ; b = (b + bucketSlots) & (len(l.slots) - 1) {
		for i, slot := range l.slots[b : b+bucketSlots] {
			if slot == 0 {
				return b + i
			}
		}
	}
}

func (l *leaf) add(e *Entry, at uint64, free int) {
	if l.n%chunkEntries == 0 {
		l.chunks = append(l.chunks, make([]Entry, chunkEntries))
	}
	*l.entry(l.n) = *e
	l.n++
	l.slots[free] = uint32(at)&tagMask | uint32(l.n)
}

// grow doubles the slots.
func (l *leaf) grow() {
	l.slots = make([]uint32, 2*len(l.slots))
	for i := range l.n {
		at := place(&l.entry(i).ID)
		l.slots[l.free(at)] = uint32(at)&tagMask | uint32(i+1)
	}
}
