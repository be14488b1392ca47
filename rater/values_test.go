package rater

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
)

// valueStores keep distinct values in little memory, in the first free slot from their hash on.
type valueStores struct {
	benchStores
	slots []ValueState // a power of two
	asked int
}

func (s *valueStores) slot(k *ValueKey) *ValueState {
	at := binary.LittleEndian.Uint64(k.Hash[:]) ^ binary.LittleEndian.Uint64(k.Set[:])
	for ; ; at++ {
		v := &s.slots[at&uint64(len(s.slots)-1)]
		if v.Places == 0 || v.ValueKey == *k {
			return v
		}
	}
}

func (s *valueStores) Values(_ context.Context, _ Fence, values []ValueKey) (out []ValueState, err error) {
	s.asked += len(values)
	for i := range values {
		if v := s.slot(&values[i]); v.Places != 0 {
			out = append(out, *v)
		}
	}
	return out, nil
}

// cut commits what the machine has, and lets go of all that it may.
func (s *valueStores) cut(m *machine) {
	for _, v := range m.distinct.freeze() {
		*s.slot(&v.ValueKey) = v
	}
	m.distinct.committed()
}

// counted gives a machine with a product "p" whose rates are these, and its stores.
func counted(t *testing.T, base *benchStores, slots, keep int, rates ...object) (*machine, *valueStores) {
	t.Helper()
	m, stores := pricedBy(t, *base, rates...)
	m.distinct.keep = keep
	return m, &valueStores{benchStores: *stores, slots: make([]ValueState, slots)}
}

// TestDistinctValuesOnALine follows charges by hand: each value counts once, in the earliest rate under which it was seen.
func TestDistinctValuesOnALine(t *testing.T) {
	base := newBenchStores(t)
	later := "2026-01-11T00:00:00Z" // 240 hours after the start
	unique := func(of, price string, more object) object {
		r := object{"model": "per_unit", "unit_price": price, "aggregation": "unique", "attribute": of}
		for k, v := range more {
			r[k] = v
		}
		return r
	}
	for _, c := range []struct {
		name  string
		rates []object
		sent  string // user[/host]@hour[*quantity], in order
		want  string // charges or reasons
	}{
		{"one rate", []object{unique("user", "2", nil)}, "ann@0 ann@1 bob@5 @6 cy@2*-1 cy@2*0 bob@0", "2 0 2 attribute_missing quantity_negative 2 0"},
		{"volume", []object{{"model": "volume", "aggregation": "unique", "attribute": "user", "tiers": []any{
			object{"up_to": "2", "unit_price": "5"}, object{"unit_price": "3"},
		}}}, "a@0 b@0 a@0 c@0 d@0 c@1", "5 5 0 -1 3 0"},
		// ann under both rates counts under the first. Bob is seen under the second, and then earlier: 3 for him are 1.
		{"across a change of price", []object{unique("user", "1", object{"end": later}), unique("user", "3", object{"start": later})},
			"ann@0 ann@300 bob@300 bob@1 cy@301 cy@302 ann@1", "1 0 3 -2 3 0 0"},
		{"tiers that start anew", []object{unique("user", "1", object{"end": later}), unique("user", "3", object{"start": later, "tiers_restart": true})},
			"ann@0 ann@300 bob@1 bob@300 bob@2", "1 3 1 3 0"},
		// Another attribute is another kind: nothing goes on.
		{"another attribute", []object{unique("user", "1", object{"end": later}), unique("host", "3", object{"start": later})},
			"ann/x@0 ann/x@300 bob/x@300 bob/y@301 bob/x@5 cy@300", "1 3 0 3 1 attribute_missing"},
		{"cells", []object{{"model": "matrix", "aggregation": "unique", "attribute": "user", "dimensions": []any{object{"name": "host"}}, "prices": []any{
			object{"match": object{"host": "x"}, "model": "per_unit", "unit_price": "1"}, object{"match": object{"host": "y"}, "model": "per_unit", "unit_price": "10"},
		}}}, "ann/x@0 ann/y@0 ann/x@1 bob/y@0 ann/z@0", "1 10 0 10 no_rate"},
	} {
		for _, keep := range []int{0, 2, 1000} { // values in memory
			for _, cuts := range []int{1, 2, 100} { // after so many events
				m, stores := counted(t, base, 64, keep, c.rates...)
				var got []string
				for i, sent := range strings.Fields(c.sent) {
					sent, quantity, _ := strings.Cut(sent, "*")
					of, hour, _ := strings.Cut(sent, "@")
					user, host, _ := strings.Cut(of, "/")
					hours, err := strconv.Atoi(hour)
					if err != nil {
						t.Fatal(err)
					}
					e := usage.Event{Product: "p", Quantity: money.One, Time: benchStart + int64(hours)*benchHour}
					if quantity != "" {
						e.Quantity = money.MustParse(quantity)
					}
					for _, a := range []usage.Attribute{{Name: "host", Value: host}, {Name: "user", Value: user}} {
						if a.Value != "" {
							e.Attributes = append(e.Attributes, a)
						}
					}
					got = append(got, rateOne(t, m, stores, e))
					if (i+1)%cuts == 0 {
						stores.cut(m)
						m.evictAll(reloaded(t, m)) // the next event finds the line as it is stored
					}
				}
				if got := strings.Join(got, " "); got != c.want {
					t.Errorf("%s, %d in memory, cuts after %d: %s charged %s, want %s", c.name, keep, cuts, c.sent, got, c.want)
				}
				if keep == 0 && cuts == 1 && stores.asked == 0 {
					t.Errorf("%s: the store was never asked", c.name)
				}
			}
		}
	}
}

// TestMillionValues counts a million values on one line, exactly, and keeps a bounded number of them.
func TestMillionValues(t *testing.T) {
	values, slots := 1_000_000, 1<<21
	if testing.Short() {
		values, slots = 100_000, 1<<18
	}
	keep := DefaultLimits().Values
	m, stores := counted(t, newBenchStores(t), slots, keep, object{"model": "per_unit", "unit_price": "0.01", "aggregation": "unique", "attribute": "user"})
	heap := func() int64 {
		var s runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc)
	}
	before, most, random := heap(), int64(0), rand.New(rand.NewPCG(1, 2))
	next, repeated, charged := 0, 0, money.Zero
	for record := 0; next < values; record++ {
		var events []usage.Event
		for range 200 {
			user := next
			if random.IntN(4) == 0 && next > 0 { // one that was seen before, mostly long ago
				user = random.IntN(next)
				repeated++
			} else if next == values {
				break
			} else {
				next++
			}
			events = append(events, usage.Event{
				ID: fmt.Sprint(len(events)), Source: fmt.Sprint(record), Account: "acct-00000", RoutingKey: "acct-00000", Product: "p", Quantity: money.One, Time: benchStart,
				Attributes: []usage.Attribute{{Name: "user", Value: fmt.Sprint("user-", user)}},
			})
		}
		// The identities of the events are not what is measured.
		m.index = newMachine(&Checkpoint{Last: -1}, DefaultLimits().Window, Faults{}).index
		in := &Input{Offset: m.last + 1, Time: benchStart, Value: usage.AppendRecord(nil, &usage.Record{Kind: usage.KindBatch, Events: events})}
		m.decode(in)
		if err := m.load(context.Background(), in, Fence{}, stores, stores); err != nil {
			t.Fatal(err)
		}
		rec, err := m.step(in)
		if err != nil || len(rec.Activities) != len(events) {
			t.Fatalf("%d activities, %v", len(rec.Activities), err)
		}
		for i := range rec.Activities {
			charged = sum(t, charged, rec.Activities[i].Charge)
		}
		if record%100 == 0 {
			stores.cut(m)
		}
		if held := len(m.distinct.recent) + len(m.distinct.older) + m.distinct.unsaved() + len(m.distinct.whole); held > keep+101*200 {
			t.Fatalf("%d values are held", held)
		}
		if record%1000 == 0 {
			most = max(most, heap()-before)
		}
	}
	l := reloaded(t, m).lines[0]
	want := money.MustParse(fmt.Sprint(values / 100))
	if l.amount != want || charged != want || l.events != int64(values+repeated) {
		t.Errorf("%d values come to %s in %d events, charged are %s; want %s in %d", values, l.amount, l.events, charged, want, values+repeated)
	}
	t.Logf("%d values, %d events of known ones, %d asked for; %d KiB more memory at most", values, repeated, stores.asked, most>>10)
	if most > 32<<20 {
		t.Errorf("%d bytes more memory", most)
	}
}
