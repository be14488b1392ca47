package dedup

import (
	"encoding/binary"
	"math/bits"

	"github.com/tollstream/tollstream/collector/usage"
)

// Filters are made per generation of up to eight days and not per day: with a window of 35 days new usage
// probes five of them instead of 35, and the false positives, each a look-up in the store, shrink as much: to
// 0.01% of new usage.
const (
	FilterBitsPerKey = 32
	FilterDays       = 8
	FilterProbes     = 8 // one in each word of a block
	minFilterKeys    = 1024
	blockBytes       = 64
)

// Filter is a Bloom filter of the identities that arrived on some older days. All bits of a key stand in one block, a cache line, one in each of its
// eight words: waiting for memory is what a look-up costs, and a filter whose bits are anywhere makes it wait for two to eleven. Blocks that are
// fuller than others cost false positives: with 16 bits a key 0.09% instead of 0.05%, with 32 a fiftieth of that. A false positive, a question to the store, costs as much
// as a thousand look-ups, so bits are cheaper. Bits are part of what is stored: how a key finds its bits never changes.
type Filter struct {
	First int32  // the day that it begins with; no two filters of a partition begin on the same day
	Day   int32  // the newest day that it holds
	Keys  int64  // added
	K     int    // probes a key: no filter has another number
	Bits  []byte // whole blocks
}

// NewFilter returns an empty filter that begins on the day and has room for so many keys.
func NewFilter(first int32, keys int64) Filter {
	blocks := (max(keys, minFilterKeys)*FilterBitsPerKey/8 + blockBytes - 1) / blockBytes
	return Filter{First: first, Day: first, K: FilterProbes, Bits: make([]byte, blocks*blockBytes)}
}

// GenerationFilter returns the filter that a finished day's keys are to be added to: current, when the day belongs to its
// generation and it has room for them; otherwise a new one, sized for a generation of such days.
// current may be the zero Filter. The bits of current are not touched.
func GenerationFilter(current Filter, number int32, keys int64) Filter {
	if len(current.Bits) > 0 && number >= current.First && number < current.First+FilterDays &&
		(current.Keys+keys)*FilterBitsPerKey <= int64(len(current.Bits))*8 {
		current.Bits = append([]byte(nil), current.Bits...)
		current.Day = max(current.Day, number)
		return current
	}
	return NewFilter(number, keys*FilterDays)
}

// Add adds an identity.
func (f *Filter) Add(id usage.Identity) {
	k := keyOf(&id)
	block := f.block(k)
	for word := range FilterProbes {
		at := block[word*8:]
		binary.LittleEndian.PutUint64(at, binary.LittleEndian.Uint64(at)|1<<(k.probes>>(6*word)&63))
	}
	f.Keys++
}

// Contains is false only for an identity that was never added.
func (f *Filter) Contains(id usage.Identity) bool {
	return len(f.Bits) > 0 && f.contains(keyOf(&id))
}

func (f *Filter) contains(k key) bool {
	block, probes := f.block(k), k.probes
	// Four words at once tell nearly all keys apart, so the branch is one that the processor foresees.
	if bitOf(block, probes, 0)&bitOf(block, probes, 1)&bitOf(block, probes, 2)&bitOf(block, probes, 3)&1 == 0 {
		return false
	}
	return bitOf(block, probes, 4)&bitOf(block, probes, 5)&bitOf(block, probes, 6)&bitOf(block, probes, 7)&1 != 0
}

// bitOf moves the key's bit of a word to the lowest place.
func bitOf(block *[blockBytes]byte, probes uint64, word int) uint64 {
	return binary.LittleEndian.Uint64(block[word*8:]) >> (probes >> (6 * word) & 63)
}

// key is an identity as filters see it. Identities are hashes already, so their halves serve as two independent ones.
type key struct {
	place  uint64 // of its block among all
	probes uint64 // six bits for each word of the block, from the lowest on
}

func keyOf(id *usage.Identity) key {
	return key{binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:])}
}

// block is where a key's bits stand.
func (f *Filter) block(k key) *[blockBytes]byte {
	n, _ := bits.Mul64(k.place, uint64(len(f.Bits)/blockBytes))
	return (*[blockBytes]byte)(f.Bits[n*blockBytes:])
}

// touch reads a byte of each key's block. The processor waits for as many blocks at a time as there are rounds of this loop among the
// instructions that it looks at together: a round has few.
func (f *Filter) touch(keys []key) (sum uint64) {
	all, blocks := f.Bits, uint64(len(f.Bits)/blockBytes)
	for i := range keys {
		n, _ := bits.Mul64(keys[i].place, blocks)
		sum += uint64(all[n*blockBytes])
	}
	return sum
}

// newestFirst orders filters by the newest day they hold, then by the day they begin with.
func newestFirst(a, b Filter) int {
	if a.Day != b.Day {
		return int(b.Day) - int(a.Day)
	}
	return int(b.First) - int(a.First)
}

// Compacted says that a day's entries were compacted by the store, and with which filter they are to be
// looked for from now on: the arguments of Index.Sealed.
type Compacted struct {
	Day    int32
	Filter Filter
}
