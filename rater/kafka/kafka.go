// Package kafka connects the rater to the broker: it reads `usage`, writes and reads back `rated`, belongs to the
// consumer group and checks the broker's settings.
//
// It imports rater, rater/activity and franz-go. Two consuming clients share the work: one belongs to the group and fetches
// nothing, it only tells which partitions are this process's; the other reads exactly those from exactly the offsets that the
// checkpoints say. So nothing that the group does, least of all its committed offsets, decides what is rated next.
//
// Invariants: a partition is read only between its assignment and its loss; there is no reset policy, so an offset
// that the broker no longer has stops the partition instead of being skipped.
package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/zeebo/xxh3"

	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
)

// The topics, whose partitions correspond by number.
const (
	UsageTopic = "usage"
	RatedTopic = "rated"
)

// GroupName is the consumer group of the raters; its lag is what they scale with.
const GroupName = "tollstream-rater"

// Config says how to reach the broker.
type Config struct {
	Brokers []string
	Usage   string // topic; default UsageTopic
	Rated   string // topic; default RatedTopic
	Group   string // default GroupName
	// SessionTimeout is how long a rater may be silent before its partitions go to others.
	SessionTimeout time.Duration
	Log            *slog.Logger
	Options        []kgo.Opt // added to every client's
}

func (c Config) withDefaults() Config {
	if c.Usage == "" {
		c.Usage = UsageTopic
	}
	if c.Rated == "" {
		c.Rated = RatedTopic
	}
	if c.Group == "" {
		c.Group = GroupName
	}
	if c.SessionTimeout == 0 {
		c.SessionTimeout = 10 * time.Second
	}
	return c
}

func (c Config) client(options ...kgo.Opt) (*kgo.Client, error) {
	all := append([]kgo.Opt{
		kgo.SeedBrokers(c.Brokers...), kgo.DisableClientMetrics(),
		kgo.MetadataMinAge(500 * time.Millisecond), // a partition whose leader moved waits for this; 5 s otherwise
	}, options...)
	client, err := kgo.NewClient(append(all, c.Options...)...)
	if err != nil {
		return nil, fmt.Errorf("configure a Kafka client for %v: %w", c.Brokers, err)
	}
	return client, nil
}

// Producer writes rated records.
type Producer struct {
	client *kgo.Client
	topic  string
}

// NewProducer makes the client that writes `rated`: idempotent, acknowledged by all in-sync replicas, in order.
func NewProducer(c Config) (*Producer, error) {
	c = c.withDefaults()
	client, err := c.client(
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(0),
		kgo.ProducerBatchMaxBytes(7<<20),
		kgo.ProducerBatchCompression(kgo.Lz4Compression(), kgo.NoCompression()),
		kgo.MaxBufferedRecords(1<<22), // each partition bounds what it leaves unacknowledged, in records and in bytes
		kgo.RecordDeliveryTimeout(30*time.Second),
	)
	if err != nil {
		return nil, err
	}
	return &Producer{client, c.Rated}, nil
}

// Produce implements rater.Producer.
func (p *Producer) Produce(partition int32, value []byte, done func(at int64, err error)) {
	p.client.TryProduce(context.Background(), &kgo.Record{Topic: p.topic, Partition: partition, Value: value},
		func(r *kgo.Record, err error) { done(r.Offset, err) })
}

// Close ends the client; what is not acknowledged fails.
func (p *Producer) Close() { p.client.Close() }

// RatedLog reads stretches of `rated`.
type RatedLog struct {
	config Config
	client *kgo.Client // for questions about offsets
}

// NewRatedLog returns a reader; stretches are rare and short, so each that is not empty is read by a client of its own.
func NewRatedLog(c Config) (*RatedLog, error) {
	c = c.withDefaults()
	client, err := c.client()
	if err != nil {
		return nil, err
	}
	return &RatedLog{c, client}, nil
}

// Close ends the client.
func (l *RatedLog) Close() { l.client.Close() }

// Read implements rater.RatedLog.
func (l *RatedLog) Read(ctx context.Context, partition int32, from, to int64) ([]rater.RatedEntry, int64, error) {
	var entries []rater.RatedEntry
	end, err := l.Walk(ctx, partition, from, to, func(r *kgo.Record) error {
		h, err := activity.DecodeHeader(r.Value)
		if err != nil { // no rater wrote it; whoever reads on meets the gap if one was lost here
			l.config.Log.Error("rated record cannot be read and is passed over", "partition", partition, "offset", r.Offset, "error", err)
			return nil
		}
		entries = append(entries, rater.RatedEntry{At: r.Offset, Offset: h.Offset, Previous: h.Previous, Sum: xxh3.Hash(r.Value)})
		return nil
	})
	return entries, end, err
}

// Walk calls do for each record in [from, to); to -1: up to the present end. It returns where it stopped.
func (l *RatedLog) Walk(ctx context.Context, partition int32, from, to int64, do func(*kgo.Record) error) (int64, error) {
	start, end, err := l.bounds(ctx, partition)
	if err != nil {
		return 0, err
	}
	if to >= 0 && to < end {
		end = to
	}
	if from < start {
		return 0, fmt.Errorf("rated partition %d begins at %d, offset %d is needed: raise its retention above the longest period: %w",
			partition, start, from, rater.ErrLost)
	}
	if from >= end {
		return end, nil
	}
	client, err := l.config.client(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{l.config.Rated: {partition: kgo.NewOffset().At(from)}}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
	)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	for next := from; next < end; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return next, fmt.Errorf("read rated partition %d at %d: %w", partition, next, err)
		}
		for _, e := range fetches.Errors() {
			return next, fmt.Errorf("read rated partition %d at %d: %w", partition, next, e.Err)
		}
		for _, r := range fetches.Records() {
			if r.Offset >= end {
				return end, nil
			}
			if err := do(r); err != nil {
				return next, err
			}
			next = r.Offset + 1
		}
	}
	return end, nil
}

// bounds returns the first offset of the partition and the one after its last.
func (l *RatedLog) bounds(ctx context.Context, partition int32) (start, end int64, err error) {
	if start, err = offsetOf(ctx, l.client, l.config.Rated, partition, earliest); err != nil {
		return 0, 0, err
	}
	end, err = offsetOf(ctx, l.client, l.config.Rated, partition, latest)
	return start, end, err
}

// The offsets that a leader can be asked for.
const (
	earliest = -2
	latest   = -1
)

// offsetOf asks the partition's leader for an offset.
func offsetOf(ctx context.Context, client *kgo.Client, topic string, partition int32, which int64) (int64, error) {
	request := kmsg.NewPtrListOffsetsRequest()
	request.ReplicaID = -1
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.Timestamp = partition, which
	t.Partitions = append(t.Partitions, p)
	request.Topics = append(request.Topics, t)
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return 0, fmt.Errorf("ask for an offset of %s partition %d: %w", topic, partition, err)
	}
	if len(response.Topics) != 1 || len(response.Topics[0].Partitions) != 1 {
		return 0, fmt.Errorf("topic %s has no partition %d", topic, partition)
	}
	answer := &response.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
		return 0, fmt.Errorf("ask for an offset of %s partition %d: %w", topic, partition, err)
	}
	return answer.Offset, nil
}
