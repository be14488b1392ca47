package kafka

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tollstream/tollstream/collector"
	"github.com/tollstream/tollstream/collector/usage"
)

// BenchmarkIngest is the way of a request of 1,000 events from its text to the acknowledgement of a
// broker in this process, which is part of the figure.
func BenchmarkIngest(b *testing.B) {
	cluster := newCluster(b)
	p := newProducer(b, Config{Brokers: cluster.ListenAddrs()})
	metrics := collector.NewMetrics(prometheus.NewRegistry())
	publisher, err := collector.NewPublisher(p, collector.PublisherConfig{Partitions: 4}, metrics)
	if err != nil {
		b.Fatal(err)
	}
	everybody := collector.ResolverFunc(func(_ context.Context, subjects []collector.Subject) ([]collector.Resolution, error) {
		answers := make([]collector.Resolution, len(subjects))
		for i, s := range subjects {
			answers[i] = collector.Resolution{Account: s.Value, RoutingKey: s.Value, From: collector.AlwaysFrom, Until: collector.AlwaysUntil}
		}
		return answers, nil
	})
	in := collector.NewIntake(collector.NewCachedResolver(everybody, 0, metrics), publisher, time.Now, metrics)
	var body strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&body, `{"id": "e-%d", "source": "gateway-7", "account": "acme-%d", "product": "api-calls", "time": "2026-11-21T10:00:00.%03dZ", "quantity": "3", "attributes": {"region": "eu", "zone": "a"}}`+"\n", i, i%50, i)
	}
	text := body.String()
	b.ReportAllocs()
	b.SetParallelism(4) // requests wait for the broker, not for each other
	b.RunParallel(func(loop *testing.PB) {
		for loop.Next() {
			message := collector.Message{Body: strings.NewReader(text), Shape: usage.ShapeLines}
			if answer, err := in.Receive(context.Background(), message, collector.AcceptOptions{Source: "key"}); err != nil || answer.Accepted != 1000 {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/event")
}
