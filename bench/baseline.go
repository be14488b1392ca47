package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	rkafka "github.com/tollstream/tollstream/rater/kafka"
)

// produceOptions are those of the rater's own producer (rater/kafka) but for compression, which nobody gets here: a
// loop that compresses copies of what it read has another task.
func produceOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
		kgo.ProducerBatchMaxBytes(7 << 20), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MaxBufferedRecords(1 << 20),
	}
}

// offsets are where each partition of a topic begins or ends.
type offsets map[int32]int64

func (c *corner) ends(ctx context.Context, topic string) (offsets, error) {
	return rkafka.Ends(ctx, rkafka.Config{Brokers: c.kafka, Log: quiet()}, topic)
}

// loop consumes a topic between offsets and produces every record to the partition of the same number of another, nothing else.
// It returns how long that took until the last record was acknowledged, connections and the first fetch not counted: like
// the rater's, they stand.
func (c *corner) loop(ctx context.Context, from, to string, begin, end offsets) (time.Duration, error) {
	at, left := map[int32]kgo.Offset{}, int64(0)
	for p, o := range begin {
		at[p] = kgo.NewOffset().At(o)
		left += end[p] - o
	}
	reader, err := kgo.NewClient(kgo.SeedBrokers(c.kafka...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{from: {}}),
		kgo.FetchMaxWait(250*time.Millisecond), kgo.FetchMaxPartitionBytes(8<<20))
	if err != nil {
		return 0, fmt.Errorf("configure a Kafka client: %w", err)
	}
	defer reader.Close()
	writer, err := kgo.NewClient(append(produceOptions(), kgo.SeedBrokers(c.kafka...), kgo.DefaultProduceTopic(to))...)
	if err != nil {
		return 0, fmt.Errorf("configure a Kafka client: %w", err)
	}
	defer writer.Close()
	for _, client := range []*kgo.Client{reader, writer} { // connect, learn the topics
		if _, err := kadm.NewClient(client).ListTopics(ctx, from, to); err != nil {
			return 0, fmt.Errorf("describe topics: %w", err)
		}
	}
	var failures atomic.Int64
	done := func(_ *kgo.Record, err error) {
		if err != nil {
			failures.Add(1)
		}
	}
	began := time.Now()
	reader.AddConsumePartitions(map[string]map[int32]kgo.Offset{from: at})
	for left > 0 {
		fetches := reader.PollRecords(ctx, 16384)
		if err := errors.Join(fetches.Err0(), ctx.Err()); err != nil {
			return 0, fmt.Errorf("read %s: %w", from, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset >= end[r.Partition] {
				return
			}
			left--
			writer.Produce(ctx, &kgo.Record{Topic: to, Partition: r.Partition, Value: r.Value}, done)
		})
	}
	if err := writer.Flush(ctx); err != nil {
		return 0, fmt.Errorf("write %s: %w", to, err)
	}
	took := time.Since(began)
	if n := failures.Load(); n > 0 {
		return 0, fmt.Errorf("write %s: %d records were not acknowledged", to, n)
	}
	return took, nil
}
