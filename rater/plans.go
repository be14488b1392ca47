package rater

import (
	"github.com/zeebo/xxh3"

	"github.com/tollstream/tollstream/rater/catalog"
)

// plans finds what is planned of an account: a table of hashes, searched from a hash's place on. A map would serve as well, but not the
// accounts of a record in turns (see recallAll), and it compares strings that stand elsewhere, another miss of the caches for each event.
type plans struct {
	slots []planSlot // a power of two
	used  int        // of them, with those that were dropped
}

// planSlot is free while p is nil.
type planSlot struct {
	hash uint64 // of the account's name
	p    *planned
}

// dropped stands in the slots of plans that were let go, so that those behind are still found.
var dropped = &planned{}

const fewestSlots = 16

func newPlans() plans { return plans{slots: make([]planSlot, fewestSlots)} }

// place is where the search for a hash begins.
func (t *plans) place(hash uint64) int { return int(hash & uint64(len(t.slots)-1)) }

func (t *plans) after(at int) int { return (at + 1) & (len(t.slots) - 1) }

// touch reads the first slot of a hash.
func (t *plans) touch(hash uint64) uint64 { return t.slots[t.place(hash)].hash }

// guess returns the first plan of the hash: that of the account unless another has the same hash, which name.is tells.
func (t *plans) guess(hash uint64) *planned {
	for at := t.place(hash); t.slots[at].p != nil; at = t.after(at) {
		if s := &t.slots[at]; s.hash == hash && s.p != dropped {
			return s.p
		}
	}
	return nil
}

// of returns what is planned of the account, nil for nothing.
func (t *plans) of(account string) *planned {
	if at, ok := t.find(account); ok {
		return t.slots[at].p
	}
	return nil
}

// find gives the account's slot, or the free one behind all that it could stand in.
func (t *plans) find(account string) (at int, ok bool) {
	hash := xxh3.HashString(account)
	for at = t.place(hash); t.slots[at].p != nil; at = t.after(at) {
		if s := &t.slots[at]; s.hash == hash && s.p != dropped && s.p.name.is(account) {
			return at, true
		}
	}
	return at, false
}

// keep adds the plan of an account that has none.
func (t *plans) keep(account string, plan *catalog.Plan) {
	if 2*(t.used+1) > len(t.slots) {
		t.rebuild()
	}
	p := &planned{name: shorten(account), plan: plan}
	p.known = p.few[:0]
	at, _ := t.find(account)
	t.slots[at] = planSlot{xxh3.HashString(account), p}
	t.used++
}

// rebuild makes room for as many as there are, and forgets what was dropped.
func (t *plans) rebuild() {
	old, held := t.slots, 0
	for i := range old {
		if old[i].p != nil && old[i].p != dropped {
			held++
		}
	}
	size := fewestSlots
	for size < 4*(held+1) {
		size *= 2
	}
	t.slots, t.used = make([]planSlot, size), held
	for _, s := range old {
		if s.p == nil || s.p == dropped {
			continue
		}
		at := t.place(s.hash)
		for t.slots[at].p != nil {
			at = t.after(at)
		}
		t.slots[at] = s
	}
}

func (t *plans) drop(account string) {
	if at, ok := t.find(account); ok {
		t.slots[at].p = dropped
	}
}

// shortName is a name beside what it names: up to 23 bytes stand in it, and a longer one elsewhere.
type shortName struct {
	length int
	text   [23]byte
	long   string
}

func shorten(name string) shortName {
	s := shortName{length: len(name)}
	if copy(s.text[:], name) < len(name) {
		s.long = name
	}
	return s
}

func (s *shortName) is(name string) bool {
	if len(name) != s.length {
		return false
	}
	if s.length > len(s.text) {
		return s.long == name
	}
	return string(s.text[:s.length]) == name
}
