package dedup

import (
	"encoding/binary"
	"math/bits"

	"github.com/tollstream/tollstream/collector/usage"
)

// Filters are made per generation of up to eight days and not per day: with a window of 35 days new usage
// probes five of them instead of 35, and the false positives, each a look-up in the store, shrink as much: to
// 0.2% of new usage at 16 bits a key.
const (
	FilterBitsPerKey = 16
	FilterDays       = 8
	filterProbes     = 11 // 16 bits a key × ln 2: the fewest false positives, 0.05%
	minFilterKeys    = 1024
)

// Filter is a Bloom filter of the identities that arrived on some older days. Bits are part of what is stored:
// how a key finds its bits never changes.
type Filter struct {
	First int32  // the day that it begins with; no two filters of a partition begin on the same day
	Day   int32  // the newest day that it holds
	Keys  int64  // added
	K     int    // probes a key
	Bits  []byte // at least eight bits
}

// NewFilter returns an empty filter that begins on the day and has room for so many keys at
// 16 bits each.
func NewFilter(first int32, keys int64) Filter {
	keys = max(keys, minFilterKeys)
	return Filter{First: first, Day: first, K: filterProbes, Bits: make([]byte, keys*FilterBitsPerKey/8)}
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
	at, step, size := f.start(id)
	for range f.K {
		bit, _ := bits.Mul64(at, size)
		f.Bits[bit>>3] |= 1 << (bit & 7)
		at += step
	}
	f.Keys++
}

// Contains is false only for an identity that was never added.
func (f *Filter) Contains(id usage.Identity) bool {
	if len(f.Bits) == 0 {
		return false
	}
	at, step, size := f.start(id)
	for range f.K {
		bit, _ := bits.Mul64(at, size)
		if f.Bits[bit>>3]&(1<<(bit&7)) == 0 {
			return false
		}
		at += step
	}
	return true
}

// start returns the first probe and the step to the next; a probe's bit is its share of the filter's size.
// Identities are hashes already, so their halves serve as two independent ones.
func (f *Filter) start(id usage.Identity) (at, step, size uint64) {
	return binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:]) | 1, uint64(len(f.Bits)) * 8
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
