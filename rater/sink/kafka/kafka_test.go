package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tollstream/tollstream/deploy/schema"
	"github.com/tollstream/tollstream/deploy/teststores"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/sink"
	"github.com/tollstream/tollstream/rater/sink/kafka"
	"github.com/tollstream/tollstream/rater/sink/postgres"
)

const topic = "rated"

const patience = 2 * time.Minute // of what is awaited; nothing is decided by how long it takes

// cluster is a broker with two empty partitions of a topic, and a producer.
type cluster struct {
	brokers []string
	topic   string
	client  *kgo.Client
}

func (c cluster) produce(t *testing.T, partition int32, values ...[]byte) {
	t.Helper()
	for _, v := range values {
		if err := c.client.ProduceSync(t.Context(), &kgo.Record{Topic: c.topic, Partition: partition, Value: v}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

func producer(t *testing.T, brokers []string) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// each runs the test on the embedded broker and on Apache Kafka.
func each(t *testing.T, test func(*testing.T, cluster)) {
	t.Run("embedded", func(t *testing.T) {
		fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, topic))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(fake.Close)
		test(t, cluster{fake.ListenAddrs(), topic, producer(t, fake.ListenAddrs())})
	})
	t.Run("apache", func(t *testing.T) {
		brokers := teststores.Kafka(t)
		test(t, cluster{brokers, teststores.Topic(t, brokers, 2, nil), producer(t, brokers)})
	})
}

func rated(previous, offset int64, charge string) []byte {
	return activity.Append(nil, &activity.Record{Offset: offset, Previous: previous, Version: activity.PricingVersion, LogTime: offset + 1,
		Activities: []activity.Activity{{Kind: activity.KindUsage, EventID: fmt.Sprint("e", offset), Source: "s", EventTime: 1_793_000_000_000_000_000,
			Quantity: money.One, Charge: money.MustParse(charge),
			Terms:  &activity.Terms{Seller: "main", Product: "calls", Currency: "USD", Level: "contract", RateID: "r", RateModel: "per_unit"},
			Target: &activity.Target{Account: "acme", Billed: "acme", Line: activity.ID{1}, Invoice: activity.ID{2}}}}})
}

// drain polls until n records have come.
func drain(t *testing.T, l *kafka.Log, n int) map[int32][]int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	got := map[int32][]int64{}
	for n > 0 {
		fetches, err := l.Poll(ctx, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fetches {
			for _, r := range f.Records {
				got[f.Partition] = append(got[f.Partition], r.At)
				n--
			}
		}
	}
	return got
}

func TestReadsFromWhereItIsTold(t *testing.T) { each(t, readsFromWhereItIsTold) }

func readsFromWhereItIsTold(t *testing.T, c cluster) {
	c.produce(t, 0, rated(-1, 0, "1"), rated(0, 1, "1"), rated(1, 2, "1"))
	c.produce(t, 1, rated(-1, 0, "1"))
	l := kafka.NewLog(c.brokers, c.topic)
	defer l.Close()
	partitions, err := l.Partitions(t.Context())
	if err != nil || !slices.Equal(partitions, []int32{0, 1}) {
		t.Fatalf("partitions %v, %v", partitions, err)
	}
	for _, from := range []struct {
		next  map[int32]int64
		first []int64
		total int
	}{
		{map[int32]int64{0: 1, 1: 1}, []int64{1, 2}, 2},
		{map[int32]int64{0: 0, 1: 0}, []int64{0, 1, 2}, 4}, // back again
	} {
		if err := l.Seek(t.Context(), from.next); err != nil {
			t.Fatal(err)
		}
		if got := drain(t, l, from.total); !slices.Equal(got[0], from.first) {
			t.Errorf("from %v: %v", from.next, got)
		}
	}
	fetches, err := l.Poll(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fetches {
		if len(f.Records) > 0 {
			t.Errorf("more than was written: %v", f)
		}
	}
}

// What the broker no longer has, or never had, is an error and not skipped.
func TestLostRecords(t *testing.T) {
	for name, next := range map[string]int64{"cut off": 0, "behind the end": 9} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, c cluster) {
				c.produce(t, 0, rated(-1, 0, "1"), rated(0, 1, "1"), rated(1, 2, "1"))
				var cut kadm.Offsets
				cut.Add(kadm.Offset{Topic: c.topic, Partition: 0, At: 2, LeaderEpoch: -1})
				if _, err := kadm.NewClient(c.client).DeleteRecords(t.Context(), cut); err != nil {
					t.Fatal(err)
				}
				l := kafka.NewLog(c.brokers, c.topic)
				defer l.Close()
				if err := l.Seek(t.Context(), map[int32]int64{0: next, 1: 0}); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				for {
					fetches, err := l.Poll(ctx, 10)
					if errors.Is(err, sink.ErrLost) {
						return
					}
					if err != nil {
						t.Fatal(err)
					}
					for _, f := range fetches {
						if len(f.Records) > 0 {
							t.Fatalf("it skipped to %d", f.Records[0].At)
						}
					}
				}
			})
		})
	}
}

func TestWalk(t *testing.T) { each(t, walk) }

func walk(t *testing.T, c cluster) {
	c.produce(t, 0, rated(-1, 0, "1"), rated(2, 3, "9"), []byte("\xff"), rated(0, 2, "2"), rated(0, 2, "8"), rated(2, 3, "3"))
	l := kafka.NewLog(c.brokers, c.topic)
	for partition, want := range map[int32][]string{0: {"0@0 1", "3@2 2", "5@3 3"}, 1: nil} {
		var got []string
		err := l.Walk(t.Context(), partition, func(at int64, r *activity.Record) error {
			got = append(got, fmt.Sprintf("%d@%d %s", at, r.Offset, r.Activities[0].Charge))
			return nil
		})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("partition %d: %v, %v, want %v", partition, got, err, want)
		}
	}
	stop := errors.New("stop")
	if err := l.Walk(t.Context(), 0, func(int64, *activity.Record) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v, want the caller's error", err)
	}
}

type wall struct{}

func (wall) Now() time.Time { return time.Now() }

// The whole way: broker, sink, report store. The second sink takes over when the first stops.
func TestSinkFromBrokerToStore(t *testing.T) { each(t, sinkFromBrokerToStore) }

func sinkFromBrokerToStore(t *testing.T, c cluster) {
	url := teststores.Postgres(t)
	if err := schema.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	store, state := postgres.NewStore(pool), postgres.NewState(pool)
	var last int64 = -1
	for round, owner := range []string{"a", "b"} {
		for range 50 {
			c.produce(t, 0, rated(last, last+1, "0.1"))
			last++
		}
		config := sink.DefaultConfig()
		config.Owner, config.MaxDelay, config.MaxRows = owner, 10*time.Millisecond, 20
		s, err := sink.New(config, store, state, state, kafka.NewLog(c.brokers, c.topic), wall{}, slog.New(slog.NewTextHandler(io.Discard, nil)), sink.NewMetrics(prometheus.NewRegistry()))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		ended := make(chan error)
		go func() { ended <- s.Run(ctx) }()
		wait(t, ctx, state, int64(50*(round+1)))
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
	sums, err := store.SumByMonth(t.Context(), sink.MonthOf(1_793_000_000_000_000_000), map[int32]int64{0: 1000, 1: 1000})
	want := []sink.MonthSum{{Partition: 0, Currency: "USD", Events: 100, Charged: money.FromInt(10)}}
	if err != nil || !slices.Equal(sums, want) {
		t.Errorf("%v, %v, want %v", sums, err, want)
	}
}

func wait(t *testing.T, ctx context.Context, state *postgres.State, next int64) {
	t.Helper()
	for {
		ps, err := state.Positions(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if len(ps) > 0 && ps[0].Next == next {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("positions %v, want %d", ps, next)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
