package pg

import (
	"bytes"
	"slices"
	"testing"

	"github.com/tollstream/tollstream/rater/dedup"
)

func TestSegment(t *testing.T) {
	entries := []dedup.Entry{ // two that came together, one before the epoch, one later
		{ID: [16]byte{1, 15: 2}, Hash: 1<<63 + 3, Arrived: -5}, {ID: [16]byte{0, 4}, Hash: 0, Arrived: 7}, {ID: [16]byte{9}, Hash: 6, Arrived: 7},
	}
	b := encodeSegment(entries)
	want := slices.Concat(
		[]byte{255, 255, 255, 255, 255, 255, 255, 251, 0, 0, 0, 1}, []byte{1, 15: 2}, []byte{128, 0, 0, 0, 0, 0, 0, 3},
		[]byte{0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 2}, []byte{0, 4, 15: 0}, make([]byte, 8), []byte{9, 15: 0}, []byte{0, 0, 0, 0, 0, 0, 0, 6})
	if !bytes.Equal(b, want) {
		t.Fatalf("encoded\n%v, want\n%v", b, want)
	}
	first := dedup.Entry{Hash: 1}
	if got, err := decodeSegment([]dedup.Entry{first}, b); err != nil || !slices.Equal(got, append([]dedup.Entry{first}, entries...)) {
		t.Errorf("decoded %v, %v", got, err)
	}
	if got, err := decodeSegment(nil, encodeSegment(nil)); err != nil || len(got) != 0 {
		t.Errorf("the empty segment is %v, %v", got, err)
	}
	for n := range b {
		if got, err := decodeSegment(nil, b[:n]); (err == nil) != (n == 0 || n == 36) { // the first run is whole after 36 bytes
			t.Errorf("%d bytes of it: %v, %v", n, got, err)
		}
	}
}

func FuzzSegment(f *testing.F) {
	f.Add(encodeSegment([]dedup.Entry{{Hash: 1, Arrived: 2}, {Hash: 3, Arrived: 2}, {Hash: 3, Arrived: 4}}))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 7, 255, 255, 255, 255})
	f.Add(make([]byte, runSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, err := decodeSegment(nil, b)
		if err != nil {
			return
		}
		again, err := decodeSegment(nil, encodeSegment(entries))
		if err != nil || !slices.Equal(again, entries) {
			t.Errorf("%v becomes %v, %v", entries, again, err)
		}
	})
}
