package collector

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tollstream/tollstream/collector/usage"
)

// sinkProducer acknowledges every record at once.
type sinkProducer struct{}

func (sinkProducer) Produce(_ int32, _ []byte, done func(error)) { done(nil) }
func (sinkProducer) Ready() error                                { return nil }

// BenchmarkReceive is the way of a request of 1,000 events of 10,000 accounts from its text into the records of 16 partitions,
// in processor time: calls wait for one another's events, so the clock says little.
func BenchmarkReceive(b *testing.B) {
	metrics := NewMetrics(prometheus.NewRegistry())
	publisher, err := NewPublisher(sinkProducer{}, PublisherConfig{Partitions: 16}, metrics)
	if err != nil {
		b.Fatal(err)
	}
	everybody := ResolverFunc(func(_ context.Context, subjects []Subject) ([]Resolution, error) {
		answers := make([]Resolution, len(subjects))
		for i, s := range subjects {
			answers[i] = Resolution{Account: s.Value, RoutingKey: s.Value, From: AlwaysFrom, Until: AlwaysUntil}
		}
		return answers, nil
	})
	in := NewIntake(NewCachedResolver(everybody, 0, metrics), publisher, time.Now, metrics)
	texts := make([]string, 10)
	for t := range texts {
		var body strings.Builder
		for i := range 1000 {
			n := t*1000 + i
			fmt.Fprintf(&body, `{"id":"e-%012d","source":"gateway-7","account":"acct-%07d","product":"traffic","time":"2026-11-21T10:00:00.%03dZ","quantity":"2.5","attributes":{"region":"eu-central-1"}}`+"\n", n, n*7919%10_000, i)
		}
		texts[t] = body.String()
	}
	send := func(text string) {
		message := Message{Body: strings.NewReader(text), Shape: usage.ShapeLines}
		if answer, err := in.Receive(context.Background(), message, AcceptOptions{Source: "key"}); err != nil || answer.Accepted != 1000 {
			b.Error(answer, err)
		}
	}
	for _, text := range texts {
		send(text) // every account is known
	}
	b.ReportAllocs()
	b.SetParallelism(4)
	b.ResetTimer()
	began := processorTime(b)
	b.RunParallel(func(loop *testing.PB) {
		for i := 0; loop.Next(); i++ {
			send(texts[i%len(texts)])
		}
	})
	b.ReportMetric(float64(processorTime(b)-began)/float64(b.N)/1000, "cpu-ns/event")
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
