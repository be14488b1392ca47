package collector

import "github.com/zeebo/xxh3"

// names are what a CachedResolver remembers, by name: a table with open addressing that holds a hash and a pointer a slot. A
// look-up of a cold name is mostly waiting for memory, so it should touch little of it, and many should wait together (see
// CachedResolver.Resolve). The zero value is empty.
type names struct {
	slots []slot // a power of two, at most half of them taken
	count int
}

type slot struct {
	hash  uint64
	known *known // nil: free
}

// known are the answers to one name: nearly always one.
type known struct {
	name  string
	first Resolution
	more  []Resolution
}

// at gives the answer that holds at an instant.
func (k *known) at(instant int64) *Resolution {
	if k.first.From <= instant && instant < k.first.Until {
		return &k.first
	}
	for i := range k.more {
		if answer := &k.more[i]; answer.From <= instant && instant < answer.Until {
			return answer
		}
	}
	return nil
}

func hashOfName(name string) uint64 { return xxh3.HashString(name) }

// place is where a search for the hash begins.
func (n *names) place(hash uint64) int { return int(hash & uint64(len(n.slots)-1)) } //nolint:gosec // smaller than the table

// guess gives what most likely bears the name of that hash, without reading it; nil when the first place that it could have does not hold it.
func (n *names) guess(hash uint64) *known {
	if len(n.slots) == 0 {
		return nil
	}
	if s := &n.slots[n.place(hash)]; s.hash == hash {
		return s.known
	}
	return nil
}

// find gives what is known by the name; nil: nothing.
func (n *names) find(name string, hash uint64) *known {
	if len(n.slots) == 0 {
		return nil
	}
	for i := n.place(hash); ; i = (i + 1) & (len(n.slots) - 1) {
		switch s := &n.slots[i]; {
		case s.known == nil:
			return nil
		case s.hash == hash && s.known.name == name:
			return s.known
		}
	}
}

// add takes in a name that is not there yet.
func (n *names) add(k *known, hash uint64) {
	if 2*(n.count+1) > len(n.slots) {
		larger := names{slots: make([]slot, max(64, 2*len(n.slots))), count: n.count}
		for _, s := range n.slots {
			if s.known != nil {
				larger.put(s)
			}
		}
		*n = larger
	}
	n.put(slot{hash, k})
	n.count++
}

func (n *names) put(s slot) {
	i := n.place(s.hash)
	for n.slots[i].known != nil {
		i = (i + 1) & (len(n.slots) - 1)
	}
	n.slots[i] = s
}
