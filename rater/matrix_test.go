package rater

import (
	"context"
	"fmt"
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
