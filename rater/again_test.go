package rater

import (
	"errors"
	"testing"
)

// TestLossShowsInWhatComesAgain: usage that was fetched before the broker lost it was rated up to offset 3; the delivery that begins anew
// has another leader's record there.
func TestLossShowsInWhatComesAgain(t *testing.T) {
	for _, c := range []struct {
		what   string
		rated  int32 // leader epoch of the record at offset 3 that was rated, -1 unknown
		offset int64
		came   int32
		lost   bool
	}{
		{"the same record", 7, 3, 7, false},
		{"of a later leader", 7, 3, 8, true},
		{"an earlier record, of the leader before", 7, 2, 6, false},
		{"an earlier record, of the same leader", 7, 2, 7, false},
		{"an earlier record, of a later leader, in a log that may end there", 7, 2, 8, true},
		{"of a broker that knows no epochs", -1, 3, 8, false},
		{"from a broker that tells none", 7, 3, -1, false},
	} {
		p := &Partition{machine: &machine{last: 3}, leaderEpoch: c.rated}
		if err := p.again(&Input{Offset: c.offset, LeaderEpoch: c.came}); errors.Is(err, ErrLost) != c.lost {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}
