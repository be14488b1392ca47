package sink_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/sink"
)

// world is everything around a sink, in memory and with faults to order: the topic, the report store, the
// positions, the lease and the time.
type world struct {
	now       time.Time
	log       map[int32][][]byte // values of `rated`, by partition
	start     int64              // first offset that the broker still has
	rows      map[sink.Place]sink.Row
	inserted  int // rows, doubles included
	blocks    []sink.Block
	positions map[int32]sink.Position
	saves     int
	owner     string
	until     time.Time

	onInsert func(sink.Block) (refuse, lose error) // refuse: nothing is stored; lose: stored, but the answer is lost
	onSave   func() error
	onHold   func() error
}

func newWorld() *world {
	return &world{now: time.Unix(1_800_000_000, 0), log: map[int32][][]byte{0: nil, 1: nil},
		rows: map[sink.Place]sink.Row{}, positions: map[int32]sink.Position{}}
}

func (w *world) Now() time.Time { return w.now }

func (w *world) Insert(_ context.Context, b sink.Block) error {
	var refuse, lose error
	if w.onInsert != nil {
		refuse, lose = w.onInsert(b)
	}
	if refuse != nil {
		return refuse
	}
	w.blocks = append(w.blocks, b)
	for _, r := range b.Rows {
		if month := sink.MonthOf(r.Activity.EventTime); month != b.Month {
			panic(fmt.Sprintf("a row of month %d in a block of month %d", month, b.Month))
		}
		w.inserted++
		w.rows[r.Place()] = r
	}
	return lose
}

func (w *world) MaxOffsets(_ context.Context, above []sink.Position) ([]sink.Mark, error) {
	highest := map[[2]int32]int64{}
	for place, r := range w.rows {
		for _, p := range above {
			if p.Partition != place.Partition || place.Offset <= p.Last {
				continue
			}
			key := [2]int32{place.Partition, sink.MonthOf(r.Activity.EventTime)}
			if at, ok := highest[key]; !ok || place.Offset > at {
				highest[key] = place.Offset
			}
		}
	}
	var marks []sink.Mark
	for key, at := range highest {
		marks = append(marks, sink.Mark{Partition: key[0], Month: key[1], Offset: at})
	}
	return marks, nil
}

func (w *world) Positions(context.Context) ([]sink.Position, error) {
	var ps []sink.Position
	for _, p := range w.positions {
		ps = append(ps, p)
	}
	return ps, nil
}

func (w *world) SavePositions(_ context.Context, ps []sink.Position) error {
	if w.onSave != nil {
		if err := w.onSave(); err != nil {
			return err
		}
	}
	w.saves++
	for _, p := range ps {
		if w.positions[p.Partition].Next <= p.Next {
			w.positions[p.Partition] = p
		}
	}
	return nil
}

func (w *world) Hold(_ context.Context, owner string, ttl time.Duration) (bool, error) {
	if w.onHold != nil {
		if err := w.onHold(); err != nil {
			return false, err
		}
	}
	if w.owner != owner && w.now.Before(w.until) {
		return false, nil
	}
	w.owner, w.until = owner, w.now.Add(ttl)
	return true, nil
}

func (w *world) Release(_ context.Context, owner string) error {
	if w.owner == owner {
		w.until = time.Time{}
	}
	return nil
}

// reader is one sink's view of the topic.
type reader struct {
	w    *world
	next map[int32]int64
}

func (r *reader) Partitions(context.Context) ([]int32, error) { return []int32{0, 1}, nil }

func (r *reader) Seek(_ context.Context, next map[int32]int64) error {
	r.next = next
	return nil
}

func (r *reader) Poll(_ context.Context, limit int) ([]sink.Fetch, error) {
	if r.next == nil {
		return nil, errors.New("poll before seek")
	}
	var fetches []sink.Fetch
	for p := int32(0); p < 2; p++ {
		if r.next[p] < r.w.start {
			return nil, sink.ErrLost
		}
		f := sink.Fetch{Partition: p, End: int64(len(r.w.log[p]))}
		for limit > 0 && r.next[p] < f.End {
			f.Records = append(f.Records, sink.Fetched{At: r.next[p], Value: r.w.log[p][r.next[p]]})
			r.next[p]++
			limit--
		}
		fetches = append(fetches, f)
	}
	return fetches, nil
}

func (r *reader) Close() { r.next = nil }

// write appends the rated record of a usage offset: an activity for each event time.
func (w *world) write(partition int32, previous, offset int64, times ...string) {
	w.log[partition] = append(w.log[partition], record(previous, offset, "", times...))
}

func record(previous, offset int64, mark string, times ...string) []byte {
	r := activity.Record{Offset: offset, Previous: previous, Version: activity.PricingVersion, LogTime: offset + 1}
	for i, text := range times {
		t, err := time.Parse(time.DateOnly, text)
		if err != nil {
			panic(err)
		}
		r.Activities = append(r.Activities, activity.Activity{Kind: activity.KindUsage, Index: i, EventID: fmt.Sprintf("e%d-%d%s", offset, i, mark),
			Source: "s", EventTime: t.UnixNano(), Quantity: money.One, Charge: money.FromInt(offset),
			Terms:  &activity.Terms{Seller: "main", Product: "calls", Currency: "USD", Level: "contract", RateID: "r", RateModel: "per_unit"},
			Target: &activity.Target{Account: "acme", Billed: "acme"}})
	}
	return activity.Append(nil, &r)
}

func config(owner string) sink.Config {
	c := sink.DefaultConfig()
	c.Owner, c.MaxDelay = owner, 0
	return c
}

func (w *world) sink(t testing.TB, c sink.Config) (*sink.Sink, *prometheus.Registry) {
	t.Helper()
	registry := prometheus.NewRegistry()
	s, err := sink.New(c, w, w, w, &reader{w: w}, w, slog.New(slog.NewTextHandler(io.Discard, nil)), sink.NewMetrics(registry))
	if err != nil {
		t.Fatal(err)
	}
	return s, registry
}

// settle steps until nothing is left to do.
func settle(t testing.TB, s *sink.Sink) {
	t.Helper()
	for range 1000 {
		worked, err := s.Step(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !worked {
			return
		}
	}
	t.Fatal("the sink does not come to rest")
}
