package rater

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
)

// berlinStores have one account in Berlin's time and a product whose prices differ from one sequence number to the next.
type berlinStores struct {
	*benchStores
	snaps []*catalog.Snapshot // as of 1, 2 …
}

func newBerlinStores(t testing.TB, products ...object) *berlinStores {
	t.Helper()
	s := &berlinStores{benchStores: &benchStores{accounts: map[string]*catalog.Account{}}}
	snap, err := catalog.NewSnapshot(nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range products {
		row := catalog.Row{Ref: catalog.Ref{Kind: catalog.KindProduct, ID: p["id"].(string)}, Seq: int64(i + 1), Body: mustJSON(p)}
		if snap, err = snap.With([]catalog.Row{row}, int64(i+1)); err != nil {
			t.Fatal(err)
		}
		s.snaps = append(s.snaps, snap)
	}
	body := object{"id": "a", "currency": "USD", "routing_key": "a", "seller": "main", "time_zone": "Europe/Berlin",
		"billing": []any{object{"cycle": object{"every": "monthly"}, "time_zone": "Europe/Berlin"}}}
	row := catalog.Row{Ref: catalog.Ref{Kind: catalog.KindAccount, ID: "a"}, Seq: 1, Body: mustJSON(body)}
	if s.accounts["a"], err = catalog.DecodeAccount(row, nil); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *berlinStores) Snapshot(_ context.Context, seq int64) (*catalog.Snapshot, error) {
	return s.snaps[seq-1], nil
}

// rated is a partition over the stores, and the log that it reads.
type rated struct {
	t         testing.TB
	partition *Partition
	offset    int64
	sent      int
}

func (s *berlinStores) open(t testing.TB, log int64) *rated {
	t.Helper()
	p, err := Open(context.Background(), 0, Stores{Store: s, Definitions: s, Rated: s}, DefaultLimits(), Faults{}, func() [16]byte { return [16]byte{} })
	if err != nil {
		t.Fatal(err)
	}
	return &rated{t: t, partition: p, offset: log}
}

// rate rates one record, whose memory is overwritten afterwards as a broker's buffer is.
func (r *rated) rate(at int64, u *usage.Record) activity.Record {
	r.t.Helper()
	in := &Input{Offset: r.offset, LeaderEpoch: -1, Time: at, Value: usage.AppendRecord(nil, u)}
	value, err := r.partition.Rate(context.Background(), in)
	if err != nil {
		r.t.Fatal(err)
	}
	r.offset++
	for i := range in.Value {
		in.Value[i] = 'z'
	}
	var out activity.Record
	if err := activity.Decode(value, &out); err != nil {
		r.t.Fatal(err)
	}
	return out
}

// change makes the definitions up to seq active.
func (r *rated) change(at, seq int64, product string) {
	r.rate(at, &usage.Record{Kind: usage.KindDefinitions, Definitions: &usage.Definitions{
		From: seq, To: seq, PreviousHash: uint64(seq-2) * 11, Links: []uint64{uint64(seq-1) * 11},
		Changed: []usage.DefinitionRef{{Kind: string(catalog.KindProduct), ID: product, Seq: seq}},
	}})
}

// event rates one event and gives its charges, an adjustment's before its own, or the reason.
func (r *rated) event(e usage.Event) string {
	r.t.Helper()
	r.sent++
	e.ID, e.Source, e.Account, e.RoutingKey, e.Hash = fmt.Sprint("e", r.sent), "s", "a", "a", uint64(r.sent)
	out := r.rate(e.Time, &usage.Record{Kind: usage.KindBatch, Events: []usage.Event{e}})
	if len(out.Rejected) > 0 {
		return out.Rejected[0].Reason
	}
	var charges []string
	for i := range out.Activities {
		charges = append(charges, out.Activities[i].Charge.String())
	}
	return strings.Join(charges, "+")
}

func localTime(t testing.TB, zone, text string) int64 {
	t.Helper()
	z, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	at, err := time.ParseInLocation("2006-01-02 15:04", text, z)
	if err != nil {
		t.Fatal(err)
	}
	return at.UnixNano()
}

// matrixProduct is calls by number and time of day: two rates, the second from 20 March on, which has no default.
func matrixProduct(otherwise string) object {
	tiers := func(first, second string) object {
		return object{"match": object{"to": "4917"}, "model": "graduated", "tiers": []any{object{"up_to": "10", "unit_price": first}, object{"unit_price": second}}}
	}
	night := object{"from": "22:00", "to": "06:00"}
	dimensions := []any{object{"name": "to", "by": "prefix"}, object{"name": "at", "by": "time_of_day"}}
	return object{"id": "p", "rates": []any{
		object{"id": "m1", "currency": "USD", "model": "matrix", "end": "2026-03-19T23:00:00Z", "dimensions": dimensions, "prices": []any{
			object{"match": object{"to": "49"}, "model": "per_unit", "unit_price": "0.1"},
			object{"match": object{"to": "49", "at": night}, "model": "per_unit", "unit_price": "0.05"},
			tiers("1", "0.5"),
		}, "default": object{"model": "per_unit", "unit_price": otherwise}},
		object{"id": "m2", "currency": "USD", "model": "matrix", "start": "2026-03-19T23:00:00Z", "dimensions": dimensions, "prices": []any{
			object{"match": object{"to": "49"}, "model": "per_unit", "unit_price": "0.2"},
			object{"match": object{"to": "49", "at": night}, "model": "per_unit", "unit_price": "0.04"},
			tiers("2", "1"),
		}},
	}}
}

// TestMatrixOnALine: each event is priced in the cell that its attributes and its local time select.
func TestMatrixOnALine(t *testing.T) {
	s := newBerlinStores(t, matrixProduct("2"), matrixProduct("3"))
	log := s.open(t, 0)
	send := func(to, local, quantity, want string) {
		t.Helper()
		e := usage.Event{Product: "p", Quantity: money.MustParse(quantity), Time: localTime(t, "Europe/Berlin", local)}
		if to != "" {
			e.Attributes = []usage.Attribute{{Name: "other", Value: "49"}, {Name: "to", Value: to}}
		}
		if got := log.event(e); got != want {
			t.Errorf("%s to %q at %s charged %s, want %s", quantity, to, local, got, want)
		}
	}
	send("4930", "2026-03-01 12:00", "10", "1")   // 10 × 0.1
	send("4930", "2026-03-01 21:59", "1", "0.1")  // still day
	send("4930", "2026-03-01 22:00", "10", "0.5") // night
	send("4930", "2026-03-02 05:59", "2", "0.1")  // … after midnight
	send("4930", "2026-03-02 06:00", "1", "0.1")  // day again
	send("49171", "2026-03-02 23:00", "8", "8")   // the longer prefix, at whatever time
	send("4917", "2026-03-03 01:00", "4", "3")    // 2 × 1 + 2 × 0.5
	send("331", "2026-03-03 01:00", "5", "10")    // nothing matches: the default
	send("", "2026-03-03 01:00", "1", "2")        // … also without the attribute
	send("4917", "2026-03-20 00:00", "3", "3")    // under the second rate 12 to 15 are beyond 10: × 1
	send("4930", "2026-03-20 12:00", "1", "0.2")
	send("331", "2026-03-20 12:00", "5", ReasonNoRate)
	// A late event under the first rate: the 4917 before 20 March cost 13 × … = 10 + 1.5, those after it go on from there.
	send("4917", "2026-03-19 23:59", "1", "0.5")
	// The clocks go from 02:00 to 03:00 on 29 March: 01:30 and 05:59 are night, 06:00 is day, whatever has passed since midnight.
	send("4930", "2026-03-29 01:30", "1", "0.04")
	send("4930", "2026-03-29 05:59", "1", "0.04")
	send("4930", "2026-03-29 06:00", "1", "0.2")
	log.change(localTime(t, "Europe/Berlin", "2026-03-29 12:00"), 2, "p")
	// The default costs 3 instead of 2, and its cell has 6 units.
	send("4930", "2026-03-29 13:00", "1", "6+0.2")
	send("331", "2026-03-04 01:00", "1", "3")

	f := onlyFamily(t, log.partition.machine)
	if cells := cellsOf(f); cells != "at=22:00-06:00&to=49=m1 at=22:00-06:00&to=49=m2 default=m1 to=49=m1 to=49=m2 to=4917=m1 to=4917=m2" {
		t.Errorf("segments %s", cells)
	}
	// default 7 × 3; to 49: 12 × 0.1 + 3 × 0.2; at night 12 × 0.05 + 2 × 0.04; to 4917: 10 × 1 + 3 × 0.5 + 3 × 1
	if l := &f.lines[0]; l.amount.String() != "37.98" || l.events != 17 {
		t.Errorf("line of %s, %d events", l.amount, l.events)
	}
}

// TestMatrixWhereClocksGoBack: 25 October has the hour from 02:00 to 03:00 twice; both are night, and neither the hour before nor after.
func TestMatrixWhereClocksGoBack(t *testing.T) {
	s := newBerlinStores(t, object{"id": "p", "rates": []any{object{
		"id": "m", "currency": "USD", "model": "matrix", "dimensions": []any{object{"name": "at", "by": "time_of_day"}, object{"name": "on", "by": "weekday"}},
		"prices": []any{
			object{"match": object{"at": object{"from": "02:00", "to": "03:00"}, "on": "sun"}, "model": "per_unit", "unit_price": "1"},
			object{"match": object{"at": object{"from": "02:00", "to": "03:00"}}, "model": "per_unit", "unit_price": "10"},
		},
		"default": object{"model": "per_unit", "unit_price": "100"},
	}}})
	log := s.open(t, 0)
	for _, c := range []struct{ utc, want string }{
		{"2026-10-24 00:30", "10"},  // Saturday, 02:30
		{"2026-10-24 23:59", "100"}, // Sunday, 01:59
		{"2026-10-25 00:00", "1"},   // 02:00 in summer time
		{"2026-10-25 00:59", "1"},   // 02:59
		{"2026-10-25 01:00", "1"},   // 02:00 again
		{"2026-10-25 01:59", "1"},   // 02:59
		{"2026-10-25 02:00", "100"}, // 03:00
		{"2026-10-26 01:30", "10"},  // Monday, 02:30
	} {
		if got := log.event(usage.Event{Product: "p", Quantity: money.One, Time: localTime(t, "UTC", c.utc)}); got != c.want {
			t.Errorf("at %s UTC charged %s, want %s", c.utc, got, c.want)
		}
	}
}

func onlyFamily(t testing.TB, m *machine) *family {
	t.Helper()
	if len(m.families) != 1 {
		t.Fatalf("%d families", len(m.families))
	}
	for _, f := range m.families {
		return f
	}
	return nil
}

// cellsOf lists the segments of the family's first line as they are read back: cell and rate.
func cellsOf(f *family) string {
	var words []string
	segments, err := DecodeSegments(f.states(nil)[0].Segments)
	if err != nil {
		return err.Error()
	}
	for _, s := range segments {
		words = append(words, s.Cell+"="+s.Rate)
	}
	return strings.Join(words, " ")
}

// BenchmarkCells rates events that fall on so many cells of one line in turn. Of most of them nothing but the cell may be looked at.
func BenchmarkCells(b *testing.B) {
	for _, cells := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint(cells), func(b *testing.B) {
			const batch = 100
			log, records := cellsLog(b, cells, batch)
			for _, value := range records { // every cell is there
				log.again(value)
			}
			b.ReportAllocs()
			b.ResetTimer()
			before := processor()
			for i := 0; i < b.N; i++ {
				log.again(records[i%len(records)])
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/event")
			b.ReportMetric(float64(processor()-before)/float64(b.N*batch), "cpu-ns/event")
		})
	}
}

// BenchmarkNewCells rates the first event of each of many cells of a line.
func BenchmarkNewCells(b *testing.B) {
	const batch = 100
	for range b.N {
		b.StopTimer()
		log, records := cellsLog(b, 10_000, batch)
		b.StartTimer()
		for _, value := range records {
			log.again(value)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*10_000), "ns/event")
}

// BenchmarkFreezeCells encodes a line of so many cells, as each cut and each projection does in which it changed.
func BenchmarkFreezeCells(b *testing.B) {
	for _, cells := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint(cells), func(b *testing.B) {
			log, records := cellsLog(b, cells, 100)
			for _, value := range records {
				log.again(value)
			}
			f := onlyFamily(b, log.partition.machine)
			b.ReportAllocs()
			var lines []LineState
			for b.Loop() {
				lines = f.states(lines[:0])
			}
			b.ReportMetric(float64(len(lines[0].Segments)), "bytes")
		})
	}
}

// again rates a record's bytes, as if they came at the next offset: its events carry other ids each time.
func (r *rated) again(value []byte) {
	in := &Input{Offset: r.offset, LeaderEpoch: -1, Time: benchStart, Value: value}
	r.partition.own.decode(in)
	for i := range r.partition.own.ids.all {
		r.sent++
		r.partition.own.ids.all[i][0], r.partition.own.ids.all[i][1], r.partition.own.ids.all[i][2], r.partition.own.ids.all[i][3] = byte(r.sent), byte(r.sent>>8), byte(r.sent>>16), byte(r.sent>>24)
	}
	if err := r.partition.rate(context.Background(), &r.partition.own, in); err != nil {
		r.t.Fatal(err)
	}
	if len(r.partition.own.out.Rejected) > 0 || r.partition.own.out.Duplicates > 0 {
		r.t.Fatalf("%+v", r.partition.own.out)
	}
	r.offset++
	r.partition.rated--
}

// cellsLog makes a partition and records whose events fall on the cells one after another: by number prefixes, one of them by the hour too.
func cellsLog(t testing.TB, cells, batch int) (*rated, [][]byte) {
	t.Helper()
	prices := []any{object{"match": object{"to": "9", "at": object{"from": "22:00", "to": "06:00"}}, "model": "per_unit", "unit_price": "7"}}
	for i := range cells {
		prices = append(prices, object{"match": object{"to": cellNumber(i)}, "model": "graduated", "tiers": []any{
			object{"up_to": "1000", "unit_price": "0.05"}, object{"unit_price": fmt.Sprintf("0.%05d", i+1)},
		}})
	}
	s := newBerlinStores(t, object{"id": "p", "rates": []any{object{"id": "m", "currency": "USD", "model": "matrix", "prices": prices,
		"dimensions": []any{object{"name": "to", "by": "prefix"}, object{"name": "at", "by": "time_of_day"}}}}})
	var records [][]byte
	for at := 0; at < max(cells, batch); {
		u := usage.Record{Kind: usage.KindBatch}
		for range batch {
			u.Events = append(u.Events, usage.Event{
				ID: fmt.Sprint("e", at), Source: "s", Account: "a", RoutingKey: "a", Product: "p", Time: benchStart + int64(at), Quantity: money.One,
				Attributes: []usage.Attribute{{Name: "to", Value: cellNumber(at*7919%cells) + "77"}},
			})
			at++
		}
		records = append(records, usage.AppendRecord(nil, &u))
	}
	return s.open(t, 0), records
}

func cellNumber(i int) string { return fmt.Sprintf("%05d", i) }

// TestManyCells rates usage that falls on many cells under two rates in random order, at times of late usage, of lines that were just read
// back or not, and compares the family with sums made by hand: in cell i the first 10 units cost i+1 under the first rate, twice that under
// the second; all others cost 1 cent.
func TestManyCells(t *testing.T) {
	for _, cells := range []int{3, 9, 40} {
		rates := make([]any, 2)
		for k, span := range []object{{"id": "m1", "end": "2026-03-20T00:00:00Z"}, {"id": "m2", "start": "2026-03-20T00:00:00Z"}} {
			var prices []any
			for i := range cells {
				prices = append(prices, object{"match": object{"to": cellNumber(i)}, "model": "graduated", "tiers": []any{
					object{"up_to": "10", "unit_price": fmt.Sprint((k + 1) * (i + 1))}, object{"unit_price": "0.01"},
				}})
			}
			span["currency"], span["model"], span["dimensions"], span["prices"] = "USD", "matrix", []any{object{"name": "to", "by": "prefix"}}, prices
			rates[k] = span
		}
		s := newBerlinStores(t, object{"id": "p", "rates": rates})
		for seed := range uint64(12) {
			random := rand.New(rand.NewPCG(seed, uint64(cells)))
			log := s.open(t, 0)
			used := map[[2]int]int64{}
			charges := money.Zero
			for range 300 {
				cell, k, quantity := random.IntN(cells), random.IntN(2), int64(1+random.IntN(4))
				day := 1 + random.IntN(18) + 20*k
				if day > 31 {
					day = 31
				}
				used[[2]int{cell, k}] += quantity
				charge := log.event(usage.Event{
					Product: "p", Quantity: money.FromInt(quantity), Time: localTime(t, "UTC", fmt.Sprintf("2026-03-%02d 01:00", day)),
					Attributes: []usage.Attribute{{Name: "to", Value: cellNumber(cell)}},
				})
				for _, part := range strings.Split(charge, "+") {
					charges = sum(t, charges, money.MustParse(part))
				}
				m := log.partition.machine
				switch random.IntN(40) {
				case 0:
					m.reload(t)
				case 1:
					if seed%3 == 0 {
						log.rate(0, &usage.Record{Kind: usage.KindSeal, Seal: &usage.Seal{Account: "a", PeriodEnd: localTime(t, "Europe/Berlin", "2026-04-01 00:00")}})
						onlyFamily(t, m)
					}
				}
				if !onlyFamily(t, m).lines[0].isOrdered() {
					t.Fatal("segments are out of order where they say that they are not")
				}
			}
			var cents int64
			for i := range cells {
				first, both := used[[2]int{i, 0}], used[[2]int{i, 0}]+used[[2]int{i, 1}]
				at := func(k, q int64) int64 { return min(q, 10)*k*int64(i+1)*100 + max(0, q-10) }
				cents += at(1, first) + at(2, both) - at(2, first)
			}
			want, err := money.FromInt(cents).Mul(money.MustParse("0.01"))
			if err != nil {
				t.Fatal(err)
			}
			amount, segments := money.Zero, 0
			f := onlyFamily(t, log.partition.machine)
			for _, l := range f.states(nil) {
				amount = sum(t, amount, l.Amount)
			}
			for i := range f.lines {
				l := &f.lines[i]
				if l.ordered != len(l.segments) || !l.isOrdered() {
					t.Errorf("%d cells, seed %d: line %d is not in order", cells, seed, i)
				}
				segments = max(segments, len(l.segments))
			}
			if len(f.lines) == 1 && segments != len(used) {
				t.Errorf("%d cells, seed %d: %d segments of %d", cells, seed, segments, len(used))
			}
			if amount != want || charges != want {
				t.Errorf("%d cells, seed %d: lines of %s, charges of %s, want %s", cells, seed, amount, charges, want)
			}
		}
	}
}

func (l *line) isOrdered() bool {
	return slices.IsSortedFunc(l.segments[:l.ordered], func(a, b segment) int { return a.compare(&b.segmentKey) })
}
