package pg

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/rater/dedup"
)

// A segment is the identities of a commit, in runs of those that arrived at the same time, as the events of a record do: arrival
// and count of the run, then id and hash of each. It is not sorted: whoever reads it, reads all of it.
const (
	runSize   = 8 + 4
	inRunSize = 16 + 8
)

func encodeSegment(entries []dedup.Entry) []byte {
	runs := 0
	for i := range entries {
		if i == 0 || entries[i].Arrived != entries[i-1].Arrived {
			runs++
		}
	}
	b := make([]byte, 0, runs*runSize+len(entries)*inRunSize)
	for len(entries) > 0 {
		n := 1
		for n < len(entries) && entries[n].Arrived == entries[0].Arrived {
			n++
		}
		b = binary.BigEndian.AppendUint64(b, uint64(entries[0].Arrived))
		b = binary.BigEndian.AppendUint32(b, uint32(n))
		for i := range entries[:n] {
			b = append(b, entries[i].ID[:]...)
			b = binary.BigEndian.AppendUint64(b, entries[i].Hash)
		}
		entries = entries[n:]
	}
	return b
}

var errSegment = errors.New("damaged segment of identities")

// decodeSegment appends the entries of a segment.
func decodeSegment(to []dedup.Entry, b []byte) ([]dedup.Entry, error) {
	to = slices.Grow(to, len(b)/inRunSize)
	for len(b) > 0 {
		if len(b) < runSize {
			return to, errSegment
		}
		arrived, n := int64(binary.BigEndian.Uint64(b)), uint64(binary.BigEndian.Uint32(b[8:]))
		if b = b[runSize:]; n == 0 || n*inRunSize > uint64(len(b)) {
			return to, errSegment
		}
		for range n {
			to = append(to, dedup.Entry{ID: usage.Identity(b[:16]), Hash: binary.BigEndian.Uint64(b[16:]), Arrived: arrived})
			b = b[inRunSize:]
		}
	}
	return to, nil
}
