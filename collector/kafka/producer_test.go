package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tollstream/tollstream/collector"
	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/deploy/freeport"
)

func newCluster(t testing.TB, options ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(4, "usage")}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return cluster
}

func newProducer(t testing.TB, config Config) *Producer {
	t.Helper()
	config.Topic = "usage"
	p, err := New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func produce(p *Producer, partition int32) error {
	answer := make(chan error, 1)
	p.Produce(partition, []byte("record"), func(err error) { answer <- err })
	return <-answer
}

// await asks until the answer is right: nothing here is decided by waiting.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(90 * time.Second); !is(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: never", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func TestProduce(t *testing.T) {
	cluster := newCluster(t)
	p := newProducer(t, Config{Brokers: cluster.ListenAddrs()})
	if p.Partitions() != 4 {
		t.Fatalf("%d partitions", p.Partitions())
	}
	for partition := range int32(4) {
		if err := errors.Join(produce(p, partition), p.Broadcast(t.Context(), partition, []byte("control"))); err != nil {
			t.Error(err)
		}
		if n := cluster.PartitionInfo("usage", partition).HighWatermark; n != 2 {
			t.Errorf("partition %d has %d records", partition, n)
		}
	}
	if err := produce(p, 9); err == nil {
		t.Error("a partition that the topic does not have was written")
	}
}

func TestNoTopic(t *testing.T) {
	cluster := newCluster(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if p, err := New(ctx, Config{Brokers: cluster.ListenAddrs(), Topic: "other"}); err == nil || !strings.Contains(err.Error(), "other") {
		t.Errorf("%v %v", p, err)
	}
}

func TestBrokerAway(t *testing.T) {
	address, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	var port int
	if _, err := fmt.Sscanf(address, "127.0.0.1:%d", &port); err != nil {
		t.Fatal(err)
	}
	options := []kfake.Opt{kfake.DataDir(t.TempDir()), kfake.SyncWrites(), kfake.Ports(port)}
	cluster := newCluster(t, options...)
	p := newProducer(t, Config{Brokers: []string{address}, DeliveryTimeout: time.Second, ProbeEvery: 50 * time.Millisecond})
	await(t, "written", func() bool { return p.Ready() == nil && produce(p, 0) == nil })
	cluster.Close()
	await(t, "away is noticed", func() bool { return errors.Is(p.Ready(), collector.ErrUnavailable) })
	if err := produce(p, 0); !errors.Is(err, collector.ErrUnavailable) {
		t.Errorf("produce while away: %v", err)
	}
	newCluster(t, options...)
	await(t, "back is noticed", func() bool { return p.Ready() == nil })
	await(t, "written again", func() bool { return produce(p, 0) == nil })
}

// TestBrokerThatDoesNotAnswer: it takes the record and says nothing.
func TestBrokerThatDoesNotAnswer(t *testing.T) {
	cluster := newCluster(t)
	hold := make(chan struct{})
	defer close(hold)
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		cluster.SleepControl(func() { <-hold })
		return nil, nil, false
	})
	p := newProducer(t, Config{Brokers: cluster.ListenAddrs(), StallTimeout: 100 * time.Millisecond})
	publisher, err := collector.NewPublisher(p, collector.PublisherConfig{Partitions: 4, AckTimeout: 300 * time.Millisecond}, collector.NewMetrics(prometheus.NewRegistry()))
	if err != nil {
		t.Fatal(err)
	}
	event := usage.Event{ID: "1", Source: "s", Account: "a", RoutingKey: "a", Product: "p"}
	if err := publisher.Publish(t.Context(), usage.KindBatch, []usage.Event{event}); !errors.Is(err, collector.ErrUnavailable) {
		t.Errorf("first: %v", err)
	}
	await(t, "the silence is noticed", func() bool { return errors.Is(p.Ready(), collector.ErrUnavailable) })
	before := publisher.BufferedBytes()
	if err := publisher.Publish(t.Context(), usage.KindBatch, []usage.Event{event}); !errors.Is(err, collector.ErrUnavailable) || publisher.BufferedBytes() != before {
		t.Errorf("second must be turned away before anything is written: %v", err)
	}
}

func TestDescribe(t *testing.T) {
	for err, again := range map[error]bool{
		kerr.MessageTooLarge: false, kerr.TopicAuthorizationFailed: false, context.Canceled: false,
		kerr.NotEnoughReplicas: true, kerr.NotLeaderForPartition: true, errors.New("read: connection reset"): true,
	} {
		if got := errors.Is(describe(err), collector.ErrUnavailable); got != again {
			t.Errorf("%v: try again is %v", err, got)
		}
		if !errors.Is(describe(err), err) {
			t.Errorf("%v is hidden", err)
		}
	}
}
