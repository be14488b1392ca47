package rater

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/dedup"
)

// benchEdge is what stands around a worker and costs nothing: stores that agree, a broker that acknowledges from
// a goroutine of its own.
type benchEdge struct {
	*benchStores
	acks    chan func()
	started chan struct{}
	next    atomic.Int64
	want    int64
	done    chan struct{}
}

func (e *benchEdge) Commit(_ context.Context, cuts []*Cut) ([]Outcome, error) {
	out := make([]Outcome, len(cuts))
	for i := range out {
		out[i] = OutcomeCommitted
	}
	return out, nil
}

func (*benchEdge) Look(context.Context, Fence) error { return nil }

func (*benchEdge) Fold(context.Context, Fence) error                                { return nil }
func (*benchEdge) Forget(context.Context, Fence, int64) (bool, error)               { return false, nil }
func (*benchEdge) Compact(context.Context, Fence, int64) ([]dedup.Compacted, error) { return nil, nil }

func (*benchEdge) OpenLines(context.Context, Fence, int64, activity.ID, int) ([]LineState, activity.ID, bool, error) {
	return nil, activity.ID{}, false, nil
}

func (*benchEdge) Project(_ context.Context, ps []*Projection) ([]bool, error) {
	out := make([]bool, len(ps))
	for i := range out {
		out[i] = true
	}
	return out, nil
}

func (e *benchEdge) Produce(_ int32, _ []byte, done func(int64, error)) {
	at := e.next.Add(1) - 1
	e.acks <- func() { done(at, nil) }
}

func (*benchEdge) Failed(context.Context, int32, int64, int, string) (int, error) { return 0, nil }
func (*benchEdge) ClearFailures(context.Context, int32, int64) error              { return nil }
func (*benchEdge) Skipped(context.Context, int32, int64) (bool, error)            { return false, nil }

type benchGroup struct{ *benchEdge }

func (g benchGroup) End(context.Context, int32) (int64, error) { return g.want, nil }
func (g benchGroup) Read(int32, int64, int32)                  { close(g.started) }
func (benchGroup) Stop(int32)                                  {}
func (benchGroup) Pause(int32)                                 {}
func (benchGroup) Resume(int32)                                {}

func (g benchGroup) Committed(_ int32, offset int64) {
	if offset == g.want {
		close(g.done)
	}
}

// BenchmarkWorker is the loop around a partition: deliveries, acknowledgements, checkpoints and projections. It includes what BenchmarkRate measures.
// With records of one event, what a record costs shows; with records of a hundred, how far an assistant helps a partition that is alone.
func BenchmarkWorker(b *testing.B) {
	for _, c := range []struct{ events, processors int }{{1, 1}, {100, 1}, {100, 2}} {
		b.Run(fmt.Sprintf("events=%d/processors=%d", c.events, c.processors), func(b *testing.B) { benchWorker(b, c.events, c.processors) })
	}
}

func benchWorker(b *testing.B, events, processors int) {
	var names atomic.Uint64
	limits := DefaultLimits()
	limits.Processors = processors
	e := &benchEdge{benchStores: newBenchStores(b), acks: make(chan func(), 1<<16), started: make(chan struct{}), done: make(chan struct{}), want: int64(b.N)}
	w := NewWorker(Config{
		Stores: Stores{Store: e, Definitions: e, Rated: e}, Live: e, Producer: e, Poison: e, Limits: limits, Intervals: DefaultIntervals(),
		Random:  func() (id [16]byte) { binary.BigEndian.PutUint64(id[:], names.Add(1)); return id },
		Metrics: NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler),
	})
	w.Use(benchGroup{e})
	in := make([]Input, b.N)
	buffer := make([]usage.Event, events)
	for n := range in {
		in[n] = Input{Offset: int64(n), LeaderEpoch: -1, Time: benchStart + int64(n)*1_000_000, Value: benchRecord(nil, 0, n, buffer)}
	}
	go func() {
		for ack := range e.acks {
			ack()
		}
	}()
	w.Assign(0)
	<-e.started
	b.ReportAllocs()
	b.ResetTimer()
	before := processor()
	const most = 500 // records in a delivery
	for n := 0; n < b.N; n += most {
		w.Deliver(0, in[n:min(n+most, b.N)], int64(b.N))
	}
	<-e.done
	b.StopTimer()
	b.ReportMetric(float64(processor()-before)/float64(b.N*events), "cpu-ns/event")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*events), "ns/event")
	w.Close()
	close(e.acks)
}
