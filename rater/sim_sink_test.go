package rater

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/sink"
)

// Two sinks race for the report store: the real ones, step by step, over a lease, positions and a store that refuse,
// lose their answers, answer late, and put whoever asks them to sleep.

const simLease = 45 * time.Second

// simSinks is the report store and what stands between it and `rated`. The sinks' positions are rows of PostgreSQL, see
// simPG, and go back with it.
type simSinks struct {
	w       *world
	now     time.Time // of the sinks and of PostgreSQL, seconds of which nothing else depends on
	running [2]*simSink
	names   int

	owner string
	until time.Time // the lease's end
	torn  time.Time // until when two may hold the lease, since PostgreSQL has lost it

	rows    map[sink.Place]simReported
	late    []sink.Block // inserts that nobody waits for any more
	asleep  bool         // a sink sleeps in an insert
	repeats int
}

// simReported is a row of the report store; late: its block came when its sink no longer waited for it.
type simReported struct {
	sink.Row
	late bool
}

// simSink is one process's sink with its reader of `rated`.
type simSink struct {
	*simSinks
	*sink.Sink
	name string
	next map[int32]int64
}

var (
	simSinkMetrics = sink.NewMetrics(prometheus.NewRegistry())
	simSilent      = slog.New(slog.DiscardHandler)
)

func newSimSinks(w *world) *simSinks {
	s := &simSinks{w: w, now: time.Unix(0, simStart), rows: map[sink.Place]simReported{}}
	for i := range s.running {
		s.start(i)
	}
	return s
}

// start replaces a sink by a new process's.
func (s *simSinks) start(i int) {
	s.names++
	x := &simSink{simSinks: s, name: fmt.Sprintf("sink %d", s.names)}
	cfg := sink.DefaultConfig()
	cfg.Owner, cfg.LeaseTTL, cfg.MaxDelay, cfg.Faults = x.name, simLease, 0, s.w.faults.Sink
	if s.w.n(2) == 0 {
		cfg.MaxDelay = 5 * time.Second
	}
	cfg.MaxRows = 1 + s.w.n(30)
	real, err := sink.New(cfg, x, s, s, x, s, simSilent, simSinkMetrics)
	if err != nil {
		panic(err)
	}
	x.Sink, s.running[i] = real, x
}

// kill ends a sink's process; another begins.
func (s *simSinks) kill(i int) {
	s.w.did("sink killed")
	s.w.log("%s is killed", s.running[i].name)
	s.start(i)
}

// failover makes PostgreSQL forget the lease, or not; the positions are forgotten with the other rows.
func (s *simSinks) failover() {
	if s.w.n(2) == 0 {
		s.owner, s.until, s.torn = "", time.Time{}, s.now.Add(simLease)
	}
}

// step lets one of the sinks do its next piece of work.
func (s *simSinks) step(i int) {
	s.now = s.now.Add(time.Duration(s.w.n(3)) * time.Second)
	if _, err := s.running[i].Step(context.Background()); err != nil {
		s.w.log("%s: %v", s.running[i].name, err)
	}
}

// landLate lets an insert that nobody waits for reach the store, or never.
func (s *simSinks) landLate() {
	if len(s.late) == 0 {
		return
	}
	i := s.w.n(len(s.late))
	b := s.late[i]
	s.late = slices.Delete(s.late, i, i+1)
	if s.w.n(2) == 0 {
		s.store(b, true)
	}
}

// Now makes simSinks the sinks' clock.
func (s *simSinks) Now() time.Time { return s.now }

func (s *simSinks) Hold(_ context.Context, owner string, ttl time.Duration) (bool, error) {
	if s.w.fails(20) {
		return false, errSim
	}
	if s.owner != owner && s.now.Before(s.until) {
		return false, nil
	}
	if s.owner != owner {
		s.w.did("lease taken over")
		s.w.log("%s takes the lease from %q", owner, s.owner)
	}
	s.owner, s.until = owner, s.now.Add(ttl)
	return true, nil
}

func (s *simSinks) Release(_ context.Context, owner string) error {
	if s.owner == owner {
		s.until = time.Time{}
	}
	return nil
}

func (s *simSinks) Positions(context.Context) ([]sink.Position, error) {
	if s.w.fails(20) {
		return nil, errSim
	}
	var out []sink.Position
	for p, v := range s.w.pg {
		if v.sunk.Next > 0 {
			at := v.sunk
			at.Partition = int32(p)
			out = append(out, at)
		}
	}
	return out, nil
}

// SavePositions never moves a partition back.
func (s *simSinks) SavePositions(_ context.Context, ps []sink.Position) error {
	if s.w.fails(20) {
		return errSim
	}
	for _, at := range ps {
		if v := *s.w.pg[at.Partition]; v.sunk.Next < at.Next {
			v.sunk = at
			s.w.pg[at.Partition] = &v
		}
	}
	s.w.note()
	if s.w.fails(20) {
		s.w.log("the sink's positions are saved, the answer is lost")
		return errSim
	}
	return nil
}

func (s *simSinks) MaxOffsets(_ context.Context, above []sink.Position) ([]sink.Mark, error) {
	if s.w.fails(20) {
		return nil, errSim
	}
	highest := map[sink.Mark]int64{}
	for place, r := range s.rows {
		i := slices.IndexFunc(above, func(p sink.Position) bool { return p.Partition == place.Partition })
		if i < 0 || place.Offset <= above[i].Last {
			continue
		}
		key := sink.Mark{Partition: place.Partition, Month: sink.MonthOf(r.Activity.EventTime)}
		if at, ok := highest[key]; !ok || at < place.Offset {
			highest[key] = place.Offset
		}
	}
	var out []sink.Mark
	for m, at := range highest {
		m.Offset = at
		out = append(out, m)
	}
	return out, nil
}

// Insert stores a block, or refuses it, or stores it and loses the answer, or sends the sink to sleep before or after.
func (x *simSink) Insert(_ context.Context, b sink.Block) error {
	if len(b.Rows) == 0 {
		fail("a sink inserts a block without rows")
	}
	b.Rows = slices.Clone(b.Rows)
	if x.w.quiet {
		x.store(b, false)
		return nil
	}
	switch x.w.n(10) {
	case 0:
		x.w.did("report store refuses")
		return errSim
	case 1:
		x.w.did("report store loses an answer")
		x.w.log("the report store has %s but its answer is lost", blockText(b))
		x.store(b, x.w.faults.InsertNotAtomic)
		return errSim
	case 2:
		x.w.did("insert arrives late")
		x.late = append(x.late, b)
		return errSim
	case 3:
		late := x.sleep()
		x.store(b, late)
		return nil
	}
	x.store(b, false)
	return nil
}

// sleep lets the sink that asks sleep through its lease, while the other works; it says whether what the sleeper
// does next comes late.
func (x *simSink) sleep() bool {
	if x.asleep {
		return false
	}
	x.asleep = true
	defer func() { x.asleep = false }()
	x.w.did("sink sleeps through its lease")
	x.w.log("%s sleeps in the middle of an insert", x.name)
	x.now = x.now.Add(simLease + time.Second)
	for i, other := range x.running {
		if other != x {
			for range x.w.n(6) {
				x.step(i)
			}
		}
	}
	return x.owner != x.name
}

// store keeps each key once, as FINAL and a primary key do. A block stands there a second time only when its sink slept,
// when nobody waited for it any more, or when PostgreSQL had lost the lease.
func (s *simSinks) store(b sink.Block, late bool) {
	if s.w.faults.InsertNotAtomic && len(b.Rows) > 1 && s.w.n(2) == 0 {
		b.Rows = b.Rows[len(b.Rows)/2:]
	}
	late = late || s.now.Before(s.torn)
	s.w.log("report store: %s%s", blockText(b), map[bool]string{true: ", late"}[late])
	for i := range b.Rows {
		r := simReported{b.Rows[i], late}
		if month := sink.MonthOf(r.Activity.EventTime); month != b.Month {
			fail("report store: an activity of month %d in a block of month %d", month, b.Month)
		}
		old, twice := s.rows[r.Place()]
		if twice {
			s.repeats++
			s.w.did("row inserted again")
			switch {
			case !sameRow(&old.Row, &r.Row):
				fail("report store: partition %d offset %d is inserted again with another content", r.Partition, r.Offset)
			case !late && !old.late:
				fail("report store: partition %d offset %d is inserted twice though no sink slept", r.Partition, r.Offset)
			}
		}
		s.rows[r.Place()] = r
	}
}

func blockText(b sink.Block) string {
	first, last := &b.Rows[0], &b.Rows[len(b.Rows)-1]
	return fmt.Sprintf("%d activities of %s, partition %d offset %d to partition %d offset %d", len(b.Rows), sink.MonthText(b.Month),
		first.Partition, first.Offset, last.Partition, last.Offset)
}

func sameRow(a, b *sink.Row) bool {
	encode := func(r *sink.Row) []byte {
		return activity.Append(nil, &activity.Record{Offset: r.Offset, LogTime: r.LogTime, Activities: []activity.Activity{r.Activity}})
	}
	return bytes.Equal(encode(a), encode(b))
}

// Partitions, Seek, Poll and Close read `rated`.
func (x *simSink) Partitions(context.Context) ([]int32, error) {
	var out []int32
	for p := range x.w.parts {
		out = append(out, int32(p))
	}
	return out, nil
}

func (x *simSink) Seek(_ context.Context, next map[int32]int64) error {
	x.next = maps.Clone(next)
	return nil
}

func (x *simSink) Poll(_ context.Context, _ int) ([]sink.Fetch, error) {
	if x.next == nil {
		return nil, errors.New("poll before seek")
	}
	if x.w.fails(20) {
		return nil, errSim
	}
	limit := 100 // the real one is of records that hold more
	if !x.w.quiet {
		limit = 1 + x.w.n(6)
	}
	out := make([]sink.Fetch, 0, len(x.next))
	for p := range int32(x.w.parts) {
		f := sink.Fetch{Partition: p, End: int64(len(x.w.rated[p]))}
		if n := min(int64(limit), f.End-x.next[p]); n > 0 {
			f.Records = make([]sink.Fetched, 0, n)
		}
		for ; limit > 0 && x.next[p] < f.End; limit-- {
			f.Records = append(f.Records, sink.Fetched{At: x.next[p], Value: x.w.rated[p][x.next[p]].value})
			x.next[p]++
		}
		out = append(out, f)
	}
	return out, nil
}

func (x *simSink) Close() { x.next = nil }

// fails says whether a store is to fail now, once in so many times.
func (w *world) fails(oneIn int) bool { return !w.quiet && w.n(oneIn) == 0 }

// settled lets the sinks work in peace and says whether they have taken all of `rated`.
func (s *simSinks) settled(round int) bool {
	if round == 0 {
		for len(s.late) > 0 {
			s.landLate()
		}
	}
	if round%20 == 0 {
		s.now = s.now.Add(simLease)
	}
	for range 4 {
		if s.taken() {
			return true
		}
		s.step(round / 20 % 2)
	}
	return s.taken()
}

// taken says whether the sinks' positions are the ends of `rated`.
func (s *simSinks) taken() bool {
	for p, v := range s.w.pg {
		if v.sunk.Next != int64(len(s.w.rated[p])) {
			return false
		}
	}
	return true
}

// check: the report store holds each activity of the records that count once, and nothing else.
func (s *simSinks) check() string {
	var (
		want    int
		encoded []byte
		enc     activity.Encoder
	)
	for p := range s.w.parts {
		for _, rec := range s.w.counting(p) {
			stored := *rec.Record
			stored.Activities = nil
			for i := range rec.Activities {
				want++
				got, ok := s.rows[sink.Place{Partition: int32(p), Offset: rec.Offset, Index: i}]
				if !ok {
					return fmt.Sprintf("the report store lacks an activity of partition %d offset %d", p, rec.Offset)
				}
				if stored.Activities = append(stored.Activities, got.Activity); got.LogTime != rec.LogTime {
					return fmt.Sprintf("the report store differs from rated at partition %d offset %d: log time %d", p, rec.Offset, got.LogTime)
				}
			}
			if encoded = enc.Append(encoded[:0], &stored); !bytes.Equal(encoded, rec.value) {
				return fmt.Sprintf("the report store differs from rated at partition %d offset %d", p, rec.Offset)
			}
		}
	}
	if len(s.rows) != want {
		return fmt.Sprintf("the report store holds %d activities, rated %d", len(s.rows), want)
	}
	return ""
}

// countingRecord is a record of `rated` that any reader takes, and the bytes that say so.
type countingRecord struct {
	*activity.Record
	value []byte
}

// counting returns them all.
func (w *world) counting(p int) []countingRecord {
	if w.checking && w.counted[p] != nil {
		return w.counted[p]
	}
	out := make([]countingRecord, 0, len(w.rated[p]))
	last := int64(-1)
	for _, x := range w.rated[p] {
		if x.previous != last || x.offset <= last {
			continue
		}
		last = x.offset
		rec := &activity.Record{}
		if err := activity.Decode(x.value, rec); err != nil {
			fail("partition %d offset %d of rated: %v", p, x.offset, err)
		}
		out = append(out, countingRecord{rec, x.value})
	}
	if w.checking {
		w.counted[p] = out
	}
	return out
}

// reported returns the rows in the order of their places.
func (s *simSinks) reported() []sink.Row {
	out := make([]sink.Row, 0, len(s.rows))
	for _, r := range s.rows {
		out = append(out, r.Row)
	}
	slices.SortFunc(out, func(a, b sink.Row) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Activity.Index, b.Activity.Index))
	})
	return out
}
