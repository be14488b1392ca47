package dedup_test

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/zeebo/xxh3"
	"pgregory.net/rapid"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/rater/dedup"
)

const (
	hour = int64(time.Hour)
	dayN = 24 * hour
)

func identity(n uint64) usage.Identity {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	return usage.Identity(xxh3.Hash128(b[:]).Bytes())
}

func entry(n uint64, hash uint64, arrived int64) dedup.Entry {
	return dedup.Entry{ID: identity(n), Hash: hash, Arrived: arrived}
}

func TestDay(t *testing.T) {
	for instant, want := range map[int64]int32{0: 0, dayN - 1: 0, dayN: 1, -1: -1, -dayN: -1, -dayN - 1: -2} {
		if got := dedup.Day(instant); got != want {
			t.Errorf("day of %d: %d, want %d", instant, got, want)
		}
	}
}

func TestExpiryIsExact(t *testing.T) {
	const window = 35 * dayN
	arrived := 100*dayN + 5
	inMemory := dedup.New(35 * 24 * time.Hour)
	inMemory.Remember(entry(1, 7, arrived))
	inStore := dedup.New(35 * 24 * time.Hour)
	inStore.Remember(entry(1, 7, arrived))
	filter := dedup.NewFilter(100, 1)
	filter.Add(identity(1))
	inStore.Sealed(100, filter)
	if inStore.Len() != 0 {
		t.Fatal("a compacted day is still in memory")
	}
	for _, test := range []struct {
		name    string
		logTime int64
		counts  bool
	}{
		{"at once", arrived, true},
		{"at the end of the window", arrived + window, true},
		{"within the tolerance", arrived + window + hour - 1, true},
		{"at its end", arrived + window + hour, true},
		{"after it", arrived + window + hour + 1, false},
		{"long after it", arrived + 10*window, false},
	} {
		e, v := inMemory.Check(identity(1), test.logTime)
		if (v == dedup.Hit) != test.counts || test.counts && e != entry(1, 7, arrived) {
			t.Errorf("%s, in memory: verdict %d, entry %+v", test.name, v, e)
		}
		inStore.Forget()
		_, v = inStore.Check(identity(1), test.logTime)
		if test.counts && v != dedup.Ask {
			t.Errorf("%s, in the store: verdict %d, want to ask", test.name, v)
		}
		if v == dedup.Ask {
			inStore.Confirm([]usage.Identity{identity(1)}, []dedup.Entry{entry(1, 7, arrived)})
			if e, v = inStore.Check(identity(1), test.logTime); (v == dedup.Hit) != test.counts || test.counts && e != entry(1, 7, arrived) {
				t.Errorf("%s, confirmed: verdict %d, entry %+v", test.name, v, e)
			}
		}
	}
}

func TestNewestArrivalAnswers(t *testing.T) {
	x := dedup.New(24 * time.Hour)
	filter := dedup.NewFilter(10, 1)
	filter.Add(identity(1))
	x.Load(nil, []dedup.Filter{filter})
	now := 11*dayN + 2*hour
	if _, v := x.Check(identity(1), now); v != dedup.Ask {
		t.Fatalf("verdict %d, want to ask", v)
	}
	x.Confirm([]usage.Identity{identity(1)}, []dedup.Entry{entry(1, 2, now-dayN), entry(1, 1, now-3*dayN)})
	if e, v := x.Check(identity(1), now); v != dedup.Hit || e.Hash != 2 {
		t.Errorf("verdict %d of %+v, want the newest arrival", v, e)
	}
}

func TestDenialEndsWithTheNextCompactedDay(t *testing.T) {
	x := dedup.New(35 * 24 * time.Hour)
	old := dedup.NewFilter(10, 1)
	old.Add(identity(1)) // stands for a false positive
	x.Load(nil, []dedup.Filter{old})
	now := 12 * dayN
	if _, v := x.Check(identity(1), now); v != dedup.Ask {
		t.Fatalf("verdict %d, want to ask", v)
	}
	x.Confirm([]usage.Identity{identity(1)}, nil)
	if _, v := x.Check(identity(1), now); v != dedup.Miss {
		t.Fatalf("verdict %d after a denial", v)
	}
	x.Remember(entry(1, 5, now))
	next := dedup.GenerationFilter(old, 12, 1)
	next.Add(identity(1))
	x.Sealed(12, next)
	if _, v := x.Check(identity(1), now+dayN); v != dedup.Ask {
		t.Errorf("verdict %d: what was denied before it was rated is rated again", v)
	}
}

func TestFreshIsHandedOutOnce(t *testing.T) {
	x := dedup.New(35 * 24 * time.Hour)
	x.Load([]dedup.Entry{entry(9, 9, 9)}, nil)
	x.Remember(entry(1, 1, 10))
	x.Remember(entry(2, 2, 11))
	if got, want := x.Fresh(), []dedup.Entry{entry(1, 1, 10), entry(2, 2, 11)}; !slices.Equal(got, want) {
		t.Errorf("fresh %v, want %v", got, want)
	}
	if got := x.Fresh(); len(got) != 0 {
		t.Errorf("fresh again: %v", got)
	}
	if x.Len() != 3 {
		t.Errorf("%d in memory, want 3", x.Len())
	}
}

func TestMemoryIsBounded(t *testing.T) {
	x := dedup.New(2 * 24 * time.Hour)
	for d := range int64(40) {
		x.Remember(entry(uint64(d), 1, d*dayN+hour))
	}
	// At 01:00 of the last day what arrived in the 49 hours before counts: 01:00 of that day and of the two before it.
	if x.Len() != 3 {
		t.Errorf("%d in memory, want 3", x.Len())
	}
}

func TestGenerations(t *testing.T) {
	var f dedup.Filter
	f = dedup.GenerationFilter(f, 20, 1000)
	if f.First != 20 || f.Day != 20 || len(f.Bits) != 8000*16/8 {
		t.Fatalf("first filter: %d to %d, %d bytes", f.First, f.Day, len(f.Bits))
	}
	for i := range uint64(1000) {
		f.Add(identity(i))
	}
	tests := []struct {
		name  string
		day   int32
		keys  int64
		first int32
	}{
		{"the next day", 21, 1000, 20},
		{"the last day of the generation", 27, 7000, 20},
		{"the day after it", 28, 1000, 28},
		{"no room", 21, 7001, 21},
	}
	for _, test := range tests {
		next := dedup.GenerationFilter(f, test.day, test.keys)
		if next.First != test.first || next.Day != test.day {
			t.Errorf("%s: filter of %d to %d, want from %d", test.name, next.First, next.Day, test.first)
		}
		next.Add(identity(5000))
		if f.Contains(identity(5000)) {
			t.Fatalf("%s: adding to the next filter changed the one before", test.name)
		}
	}
}

// The bits of a key are part of what is stored.
func TestFilterBitsNeverChange(t *testing.T) {
	f := dedup.NewFilter(0, 1)
	f.Add(usage.Identity{0, 0, 0, 0, 0, 0, 0, 0, 0x10}) // probes at 0, 1/16, 2/16 … 10/16 of 16384 bits
	for bit := range len(f.Bits) * 8 {
		want := bit%1024 == 0 && bit <= 10*1024
		if got := f.Bits[bit>>3]&(1<<(bit&7)) != 0; got != want {
			t.Errorf("bit %d is %v", bit, got)
		}
	}
}

func TestFilterFalsePositives(t *testing.T) {
	const keys = 50_000
	f := dedup.NewFilter(0, keys)
	for i := range uint64(keys) {
		f.Add(identity(i))
	}
	wrong := 0
	for i := range uint64(keys) {
		if !f.Contains(identity(i)) {
			t.Fatalf("key %d is not found", i)
		}
		if f.Contains(identity(keys + i)) {
			wrong++
		}
	}
	// (1 − e^(−11/16))^11 = 0.00046: 23 of 50,000 are expected.
	if wrong > 50 {
		t.Errorf("%d false positives of %d", wrong, keys)
	}
}

// TestAgainstOracle rates a random log: whatever is compacted, reloaded or confirmed when, the index together with
// the store answers what one large map of the newest arrivals would.
func TestAgainstOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		window := rapid.IntRange(1, 20).Draw(t, "window in days")
		keep := int64(window)*dayN + hour
		x := dedup.New(time.Duration(window) * 24 * time.Hour)
		oracle := map[usage.Identity]dedup.Entry{}
		committed := map[int32][]dedup.Entry{} // by day, as in the store
		compacted := map[int32]bool{}
		var filters []dedup.Filter // the store's, in order
		now := 1000 * dayN
		steps := rapid.IntRange(20, 150).Draw(t, "steps")
		for range steps {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				now += rapid.Int64Range(0, 3*dayN).Draw(t, "wait")
			case 1: // compact finished days, oldest first
				commit(x, committed)
				filters = compact(x, committed, compacted, filters, dedup.Day(now))
			case 2: // another rater takes over
				commit(x, committed)
				x = dedup.New(time.Duration(window) * 24 * time.Hour)
				var held []dedup.Entry
				for number, entries := range committed {
					if !compacted[number] {
						held = append(held, entries...)
					}
				}
				x.Load(held, filters)
			case 3:
				x.Forget()
			default:
				id := identity(rapid.Uint64Range(0, 8).Draw(t, "id"))
				now += rapid.Int64Range(0, hour).Draw(t, "pass")
				e, v := x.Check(id, now)
				if v == dedup.Ask {
					x.Confirm([]usage.Identity{id}, lookUp(committed, compacted, id))
					if e, v = x.Check(id, now); v == dedup.Ask {
						t.Fatal("asks again after the answer")
					}
				}
				known, ok := oracle[id]
				if ok = ok && known.Arrived >= now-keep; ok != (v == dedup.Hit) || ok && e != known {
					t.Fatalf("verdict %d of %+v, the oracle has %v %+v", v, e, ok, known)
				}
				if !ok {
					rated := dedup.Entry{ID: id, Hash: rapid.Uint64().Draw(t, "hash"), Arrived: now}
					oracle[id] = rated
					x.Remember(rated)
				}
			}
		}
	})
}

func commit(x *dedup.Index, committed map[int32][]dedup.Entry) {
	for _, e := range x.Fresh() {
		committed[dedup.Day(e.Arrived)] = append(committed[dedup.Day(e.Arrived)], e)
	}
}

func compact(x *dedup.Index, committed map[int32][]dedup.Entry, compacted map[int32]bool, filters []dedup.Filter, today int32) []dedup.Filter {
	var numbers []int32
	for number := range committed {
		if number < today && !compacted[number] {
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	for _, number := range numbers {
		var current dedup.Filter
		if len(filters) > 0 {
			current = filters[len(filters)-1]
		}
		next := dedup.GenerationFilter(current, number, int64(len(committed[number])))
		for _, e := range committed[number] {
			next.Add(e.ID)
		}
		if len(filters) > 0 && next.First == current.First {
			filters = filters[:len(filters)-1]
		}
		filters = append(slices.Clone(filters), next)
		compacted[number] = true
		x.Sealed(number, next)
	}
	return filters
}

func lookUp(committed map[int32][]dedup.Entry, compacted map[int32]bool, id usage.Identity) (found []dedup.Entry) {
	for number, entries := range committed {
		for _, e := range entries {
			if compacted[number] && e.ID == id {
				found = append(found, e)
			}
		}
	}
	return found
}

func BenchmarkCheck(b *testing.B) {
	const keys = 1_000_000
	x := dedup.New(35 * 24 * time.Hour)
	var filters []dedup.Filter
	n := uint64(0)
	for generation := range int32(5) {
		f := dedup.NewFilter(1000+generation*8, keys)
		for range keys {
			f.Add(identity(n))
			n++
		}
		filters = append(filters, f)
	}
	var held []dedup.Entry
	now := 1040 * dayN
	for range keys {
		held = append(held, dedup.Entry{ID: identity(n), Arrived: now})
		n++
	}
	x.Load(held, filters)
	ids := make([]usage.Identity, 1<<16)
	for i := range ids {
		ids[i] = identity(n + uint64(i))
	}
	b.Run("new", func(b *testing.B) {
		b.ReportAllocs()
		i, ask := 0, 0
		for b.Loop() {
			if _, v := x.Check(ids[i&(1<<16-1)], now); v == dedup.Ask {
				ask++
			}
			i++
		}
		b.ReportMetric(float64(ask)/float64(i)*100, "%asked")
	})
	b.Run("duplicate in memory", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			x.Check(held[i%len(held)].ID, now)
			i += 7919
		}
	})
}
