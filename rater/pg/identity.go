package pg

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/rater/dedup"
)

// entrySize is the bytes of an identity in a chunk: id, hash, arrival; big endian, so that the bytes sort as
// the ids do.
const entrySize = 32

func appendEntry(b []byte, e *dedup.Entry) []byte {
	b = append(b, e.ID[:]...)
	b = binary.BigEndian.AppendUint64(b, e.Hash)
	return binary.BigEndian.AppendUint64(b, uint64(e.Arrived))
}

func entryAt(b []byte, i int) dedup.Entry {
	b = b[i*entrySize:]
	return dedup.Entry{
		ID:      usage.Identity(b[:16]),
		Hash:    binary.BigEndian.Uint64(b[16:]),
		Arrived: int64(binary.BigEndian.Uint64(b[24:])),
	}
}

func encodeEntries(entries []dedup.Entry) []byte {
	b := make([]byte, 0, len(entries)*entrySize)
	for i := range entries {
		b = appendEntry(b, &entries[i])
	}
	return b
}

func sortEntries(entries []dedup.Entry) {
	slices.SortFunc(entries, func(a, b dedup.Entry) int {
		if c := bytes.Compare(a.ID[:], b.ID[:]); c != 0 {
			return c
		}
		switch {
		case a.Arrived > b.Arrived: // the newest first
			return -1
		case a.Arrived < b.Arrived:
			return 1
		}
		return 0
	})
}

// findEntry looks an identity up in a sorted chunk.
func findEntry(chunk []byte, id usage.Identity) (dedup.Entry, bool, error) {
	if len(chunk)%entrySize != 0 {
		return dedup.Entry{}, false, fmt.Errorf("%d bytes are not a list of identities", len(chunk))
	}
	n := len(chunk) / entrySize
	i := sort.Search(n, func(i int) bool { return bytes.Compare(chunk[i*entrySize:i*entrySize+16], id[:]) >= 0 })
	if i == n {
		return dedup.Entry{}, false, nil
	}
	e := entryAt(chunk, i)
	return e, e.ID == id, nil
}
