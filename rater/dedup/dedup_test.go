package dedup_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
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
		want := dedup.Answer{}
		if test.counts {
			want = dedup.Answer{Verdict: dedup.Hit, Hash: 7}
		}
		if a := inMemory.Check(identity(1), test.logTime); a != want {
			t.Errorf("%s, in memory: %+v", test.name, a)
		}
		inStore.Forget()
		a := inStore.Check(identity(1), test.logTime)
		if test.counts && a != (dedup.Answer{Verdict: dedup.Ask, First: 100, Last: 100}) {
			t.Errorf("%s, in the store: %+v, want to ask", test.name, a)
		}
		if a.Verdict == dedup.Ask {
			inStore.Confirm(asking(identity(1), a), []dedup.Entry{entry(1, 7, arrived)})
			if a = inStore.Check(identity(1), test.logTime); a != want {
				t.Errorf("%s, confirmed: %+v", test.name, a)
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
	a := x.Check(identity(1), now)
	if a.Verdict != dedup.Ask {
		t.Fatalf("verdict %d, want to ask", a.Verdict)
	}
	x.Confirm(asking(identity(1), a), []dedup.Entry{entry(1, 2, now-dayN), entry(1, 1, now-3*dayN)})
	if a := x.Check(identity(1), now); a.Verdict != dedup.Hit || a.Hash != 2 {
		t.Errorf("%+v, want the newest arrival", a)
	}
}

func TestRatedAgainOnTheSameDay(t *testing.T) {
	x := dedup.New(time.Hour)
	for i := range int64(3) { // each after the one before has ceased to count
		at := 10*dayN + 3*i*hour
		if a := x.Check(identity(1), at); a.Verdict != dedup.Miss {
			t.Errorf("%d: %+v", i, a)
		}
		x.Remember(entry(1, uint64(i), at))
		x.Remember(entry(uint64(2+i), 9, at+1))
		if a := x.Check(identity(1), at+2*hour); a != (dedup.Answer{Verdict: dedup.Hit, Hash: uint64(i)}) {
			t.Errorf("%d: %+v after it was rated", i, a)
		}
		if a := x.Check(identity(1), at+2*hour+1); a.Verdict != dedup.Miss {
			t.Errorf("%d: %+v at the end", i, a)
		}
	}
	if x.Len() != 4 {
		t.Errorf("%d identities", x.Len())
	}
	x = dedup.New(time.Hour) // as the store hands them out: in any order
	x.Load([]dedup.Entry{entry(1, 2, 10*dayN+6*hour), entry(1, 0, 10*dayN), entry(2, 9, 10*dayN+1)}, nil)
	if a := x.Check(identity(1), 10*dayN+6*hour); a != (dedup.Answer{Verdict: dedup.Hit, Hash: 2}) {
		t.Errorf("loaded: %+v", a)
	}
}

func TestDenialEndsWithTheNextCompactedDay(t *testing.T) {
	x := dedup.New(35 * 24 * time.Hour)
	old := dedup.NewFilter(10, 1)
	old.Add(identity(1)) // stands for a false positive
	x.Load(nil, []dedup.Filter{old})
	now := 12 * dayN
	a := x.Check(identity(1), now)
	if a.Verdict != dedup.Ask {
		t.Fatalf("verdict %d, want to ask", a.Verdict)
	}
	x.Confirm(asking(identity(1), a), nil)
	if a := x.Check(identity(1), now); a.Verdict != dedup.Miss {
		t.Fatalf("verdict %d after a denial", a.Verdict)
	}
	x.Remember(entry(1, 5, now))
	next := dedup.GenerationFilter(old, 12, 1)
	next.Add(identity(1))
	x.Sealed(12, next)
	if a := x.Check(identity(1), now+dayN); a.Verdict != dedup.Ask {
		t.Errorf("verdict %d: what was denied before it was rated is rated again", a.Verdict)
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

func TestFreshHoldsDaysThatLeft(t *testing.T) {
	const hour = int64(time.Hour)
	x := dedup.New(23 * time.Hour)
	told := entry(1, 1, 10*24*hour)
	x.Remember(told)
	x.Fresh()
	// The 10th day leaves with the first entry of the 12th, and the 12th, after a pause, with that of the 15th.
	var want []dedup.Entry
	for i, at := range []int64{10*24 + 1, 10*24 + 1, 11 * 24, 12 * 24, 12*24 + 5, 15 * 24} {
		e := entry(uint64(2+i), uint64(i), at*hour)
		x.Remember(e)
		want = append(want, e)
	}
	if got := x.Fresh(); !slices.Equal(got, want) {
		t.Errorf("fresh %v, want %v", got, want)
	}
	if got := x.Fresh(); len(got) != 0 {
		t.Errorf("fresh again: %v", got)
	}
	if a := x.Check(want[0].ID, 15*24*hour); a.Verdict != dedup.Miss {
		t.Errorf("verdict %d on an entry that no longer counts", a.Verdict)
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
	if f.First != 20 || f.Day != 20 || len(f.Bits) != 8000*32/8 {
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
	for _, test := range []struct {
		name  string
		id    usage.Identity
		block int
		bits  [8]int // of the words
	}{
		{"nothing", usage.Identity{}, 0, [8]int{}},
		// The first half is 3/4 of its range: block 288 of 384. From the lowest six bits on, 1, 2 and 3, and 63 in the last word.
		{"some", usage.Identity{0: 0xc0, 10: 0xfc, 14: 0x30, 15: 0x81}, 288, [8]int{1, 2, 3, 0, 0, 0, 0, 63}},
		// The two highest bits of the second half are not used.
		{"all", usage.Identity{0: 0xff, 1: 0xff, 8: 0xff, 9: 0xff, 10: 0xff, 11: 0xff, 12: 0xff, 13: 0xff, 14: 0xff, 15: 0xff}, 383, [8]int{63, 63, 63, 63, 63, 63, 63, 63}},
	} {
		f := dedup.NewFilter(0, 6144) // 6144 × 32 bits are 384 blocks of 64 bytes
		if len(f.Bits) != 384*64 || f.K != 8 {
			t.Fatalf("%d bytes, %d probes", len(f.Bits), f.K)
		}
		f.Add(test.id)
		want := make([]byte, len(f.Bits))
		for word, bit := range test.bits {
			want[test.block*64+word*8+bit/8] |= 1 << (bit % 8)
		}
		if !slices.Equal(f.Bits, want) || !f.Contains(test.id) {
			t.Errorf("%s: other bits", test.name)
		}
	}
}

func TestFilterFalsePositives(t *testing.T) {
	const keys, strangers = 50_000, 1_000_000
	f := dedup.NewFilter(0, keys)
	for i := range uint64(keys) {
		f.Add(identity(i))
	}
	for i := range uint64(keys) {
		if !f.Contains(identity(i)) {
			t.Fatalf("key %d is not found", i)
		}
	}
	wrong := 0
	for i := range uint64(strangers) {
		if f.Contains(identity(keys + i)) {
			wrong++
		}
	}
	// Of a block with n keys (1 − (63/64)^n)^8 of others pass; n is 16 in the mean and distributed as Poisson has it: 17 of a million.
	if wrong > 40 {
		t.Errorf("%d false positives of %d", wrong, strangers)
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
			default: // a record of some events, maybe several with one identity
				now += rapid.Int64Range(0, hour).Draw(t, "pass")
				var ids []usage.Identity
				for _, n := range rapid.SliceOfN(rapid.Uint64Range(0, 8), 1, 5).Draw(t, "ids") {
					ids = append(ids, identity(n))
				}
				answers := slices.Clone(x.Look(ids, now))
				for i, a := range answers {
					if a.Verdict == dedup.Ask {
						asked := asking(ids[i], a)
						x.Confirm(asked, lookUp(committed, compacted, asked[0]))
					}
				}
				answers = slices.Clone(x.Look(ids, now))
				for i, id := range ids {
					a := answers[i]
					if slices.Contains(ids[:i], id) {
						a = x.Check(id, now)
					}
					var want dedup.Answer
					if known, ok := oracle[id]; ok && known.Arrived >= now-keep {
						want = dedup.Answer{Verdict: dedup.Hit, Hash: known.Hash}
					}
					if a != want {
						t.Fatalf("event %d of %d: %+v, the oracle has %+v", i, len(ids), a, want)
					}
					if a.Verdict == dedup.Miss {
						rated := dedup.Entry{ID: id, Hash: rapid.Uint64().Draw(t, "hash"), Arrived: now}
						oracle[id] = rated
						x.Remember(rated)
					}
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

// asking is what an answer leaves to the store.
func asking(id usage.Identity, a dedup.Answer) []dedup.Question {
	return []dedup.Question{{ID: id, First: a.First, Last: a.Last}}
}

func lookUp(committed map[int32][]dedup.Entry, compacted map[int32]bool, q dedup.Question) (found []dedup.Entry) {
	for number, entries := range committed {
		for _, e := range entries {
			if compacted[number] && number >= q.First && number <= q.Last && e.ID == q.ID {
				found = append(found, e)
			}
		}
	}
	return found
}

// TestLargeDays holds three days of 60,000 identities each, more than a leaf of a table takes, against a map of all: in
// memory, loaded from the store, and behind filters.
func TestLargeDays(t *testing.T) {
	const perDay, record = 60_000, 100
	x := dedup.New(24 * time.Hour)
	oracle := map[usage.Identity]dedup.Entry{}
	committed := map[int32][]dedup.Entry{}
	var filters []dedup.Filter
	compacted := map[int32]bool{}
	random := rand.New(rand.NewPCG(1, 2))
	n, known := uint64(0), []uint64{}
	for now := 100 * dayN; now < 103*dayN; now += dayN / (perDay / record) {
		ids := make([]usage.Identity, record)
		for i := range ids {
			switch {
			case len(known) > 0 && random.IntN(10) == 0: // a resend, mostly of a day that counts
				ids[i] = identity(known[len(known)-1-random.IntN(min(len(known), 2*perDay))])
			case i > 0 && random.IntN(50) == 0:
				ids[i] = ids[random.IntN(i)]
			default:
				n++
				known = append(known, n)
				ids[i] = identity(n)
			}
		}
		answers := slices.Clone(x.Look(ids, now))
		for i, a := range answers {
			if a.Verdict == dedup.Ask {
				var found []dedup.Entry
				if e, ok := oracle[ids[i]]; ok && compacted[dedup.Day(e.Arrived)] && dedup.Day(e.Arrived) >= a.First && dedup.Day(e.Arrived) <= a.Last {
					found = append(found, e)
				}
				x.Confirm(asking(ids[i], a), found)
			}
		}
		answers = slices.Clone(x.Look(ids, now))
		for i, id := range ids {
			if slices.Contains(ids[:i], id) {
				answers[i] = x.Check(id, now)
			}
			var want dedup.Answer
			if e, ok := oracle[id]; ok && e.Arrived >= now-25*hour {
				want = dedup.Answer{Verdict: dedup.Hit, Hash: e.Hash}
			}
			if answers[i] != want {
				t.Fatalf("at %d, event %d: %+v, the oracle has %+v", now, i, answers[i], want)
			}
			if want.Verdict == dedup.Miss {
				oracle[id] = dedup.Entry{ID: id, Hash: random.Uint64(), Arrived: now}
				x.Remember(oracle[id])
			}
		}
		x.Forget()
		if now%dayN == 2*hour { // the day before is over, and another rater takes the partition
			commit(x, committed)
			filters = compact(x, committed, compacted, filters, dedup.Day(now))
			x = dedup.New(24 * time.Hour)
			x.Load(committed[dedup.Day(now)], filters)
		}
	}
	if held := x.Len(); held < perDay*8/10 || len(filters) != 1 || filters[0].Keys < 2*perDay*8/10 {
		t.Errorf("%d in memory, %d filters", held, len(filters))
	}
}

// benchHistory makes an index that has seen so many days of so many identities: the last in memory, those before behind filters.
func benchHistory(days, perDay int) (x *dedup.Index, next uint64, now int64) {
	x = dedup.New(35 * 24 * time.Hour)
	var filters []dedup.Filter
	first := int32(1000)
	for d := range int32(days - 1) {
		var current dedup.Filter
		if len(filters) > 0 {
			current = filters[len(filters)-1]
		}
		f := dedup.GenerationFilter(current, first+d, int64(perDay))
		for range perDay {
			next++
			f.Add(identity(next))
		}
		if len(filters) > 0 && f.First == current.First {
			filters = filters[:len(filters)-1]
		}
		filters = append(filters, f)
	}
	now = (int64(first) + int64(days) - 1) * dayN
	x.Load(nil, filters)
	for range perDay {
		next++
		x.Remember(dedup.Entry{ID: identity(next), Arrived: now})
	}
	x.Fresh()
	return x, next, now
}

// BenchmarkRecord looks a record's identities up, all new, and remembers them, over histories of several days.
func BenchmarkRecord(b *testing.B) {
	for _, perDay := range []int{62_500, 1_000_000} { // of 1 million a day one partition of 16; all of them in one
		for _, days := range []int{1, 7, 35} {
			b.Run(fmt.Sprintf("%dx%d", days, perDay), func(b *testing.B) {
				x, next, now := benchHistory(days, perDay)
				ids := make([]usage.Identity, 100)
				asked, events := 0, 0
				b.ReportAllocs()
				before := processor()
				for b.Loop() {
					for i := range ids {
						next++
						ids[i] = usage.Identity(xxh3.Uint128{Hi: next * 0x9e3779b97f4a7c15, Lo: next * 0xd6e8feb86659fd93}.Bytes())
					}
					for i, a := range x.Look(ids, now) {
						if a.Verdict == dedup.Ask {
							asked++
						}
						x.Remember(dedup.Entry{ID: ids[i], Arrived: now})
					}
					if events += len(ids); events%1_000_000 == 0 {
						x.Fresh()
					}
				}
				b.ReportMetric(float64(processor()-before)/float64(events), "cpu-ns/event")
				b.ReportMetric(float64(asked)/float64(events)*100, "%asked")
			})
		}
	}
}

// processor is the processor time of this process in nanoseconds: on a machine that others use too it says more
// than the clock on the wall.
func processor() int64 {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return r.Utime.Nano() + r.Stime.Nano()
}
