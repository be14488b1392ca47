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
	"errors"
	"fmt"
	"log/slog"
	"sync"
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
	all := append([]kgo.Opt{kgo.SeedBrokers(c.Brokers...), kgo.DisableClientMetrics()}, options...)
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
		kgo.MaxBufferedRecords(1<<20), // each partition bounds what it leaves unacknowledged
		kgo.RecordDeliveryTimeout(30*time.Second),
	)
	if err != nil {
		return nil, err
	}
	return &Producer{client, c.Rated}, nil
}

// Produce implements rater.Producer.
func (p *Producer) Produce(partition int32, value []byte, done func(at int64, err error)) {
	p.client.Produce(context.Background(), &kgo.Record{Topic: p.topic, Partition: partition, Value: value},
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
		if err != nil {
			return fmt.Errorf("rated partition %d offset %d: %w", partition, r.Offset, err)
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
		return 0, fmt.Errorf("rated partition %d begins at %d, offset %d is needed: raise its retention above the longest period", partition, start, from)
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
	const earliest, latest = -2, -1
	if start, err = l.offset(ctx, partition, earliest); err != nil {
		return 0, 0, err
	}
	end, err = l.offset(ctx, partition, latest)
	return start, end, err
}

// offset asks the partition's leader for an offset.
func (l *RatedLog) offset(ctx context.Context, partition int32, which int64) (int64, error) {
	request := kmsg.NewPtrListOffsetsRequest()
	request.ReplicaID = -1
	topic := kmsg.NewListOffsetsRequestTopic()
	topic.Topic = l.config.Rated
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.Timestamp = partition, which
	topic.Partitions = append(topic.Partitions, p)
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(ctx, l.client)
	if err != nil {
		return 0, fmt.Errorf("ask for an offset of rated partition %d: %w", partition, err)
	}
	if len(response.Topics) != 1 || len(response.Topics[0].Partitions) != 1 {
		return 0, fmt.Errorf("topic %s has no partition %d", l.config.Rated, partition)
	}
	answer := &response.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
		return 0, fmt.Errorf("ask for an offset of rated partition %d: %w", partition, err)
	}
	return answer.Offset, nil
}

// Consumer belongs to the group and reads this process's partitions of `usage`.
type Consumer struct {
	config Config
	worker *rater.Worker
	group  *kgo.Client
	reader *kgo.Client

	mu      sync.Mutex
	opening map[int32]context.CancelFunc // partitions whose checkpoint is being read
	wait    sync.WaitGroup
}

// NewConsumer joins the group; Run reads.
func NewConsumer(c Config, w *rater.Worker) (*Consumer, error) {
	c = c.withDefaults()
	k := &Consumer{config: c, worker: w, opening: map[int32]context.CancelFunc{}}
	var err error
	k.reader, err = c.client(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxWait(250*time.Millisecond),
		kgo.FetchMaxPartitionBytes(8<<20),
		kgo.KeepControlRecords(), // none are expected: one would look like a gap otherwise
	)
	if err != nil {
		return nil, err
	}
	w.Use(k)
	k.group, err = c.client(
		kgo.ConsumerGroup(c.Group), kgo.ConsumeTopics(c.Usage), kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.DisableAutoCommit(), kgo.SessionTimeout(c.SessionTimeout), kgo.HeartbeatInterval(c.SessionTimeout/5),
		kgo.RebalanceTimeout(60*time.Second),
		kgo.OnPartitionsAssigned(k.assigned), kgo.OnPartitionsRevoked(k.revoked), kgo.OnPartitionsLost(k.lost),
	)
	if err != nil {
		k.reader.Close()
		return nil, err
	}
	k.group.PauseFetchTopics(c.Usage)
	return k, nil
}

func (k *Consumer) assigned(_ context.Context, _ *kgo.Client, topics map[string][]int32) {
	for _, p := range topics[k.config.Usage] {
		ctx, cancel := context.WithCancel(context.Background())
		k.mu.Lock()
		k.opening[p] = cancel
		k.mu.Unlock()
		k.wait.Add(1)
		go func() {
			defer k.wait.Done()
			offset, epoch, err := k.worker.Assign(ctx, p)
			k.mu.Lock()
			defer k.mu.Unlock()
			if ctx.Err() != nil { // taken away meanwhile
				k.worker.Lost([]int32{p})
				return
			}
			delete(k.opening, p)
			if err == nil {
				k.read(p, offset, epoch)
			}
		}()
	}
}

// read makes the reading client read the partition from an offset on.
func (k *Consumer) read(partition int32, offset int64, epoch int32) {
	at := kgo.NewOffset().At(offset).WithEpoch(-1)
	if epoch >= 0 {
		at = at.WithEpoch(epoch)
	}
	k.reader.ResumeFetchPartitions(map[string][]int32{k.config.Usage: {partition}})
	k.reader.AddConsumePartitions(map[string]map[int32]kgo.Offset{k.config.Usage: {partition: at}})
}

func (k *Consumer) unread(partitions []int32) {
	k.mu.Lock()
	for _, p := range partitions {
		if cancel := k.opening[p]; cancel != nil {
			cancel()
			delete(k.opening, p)
		}
	}
	k.mu.Unlock()
	k.reader.RemoveConsumePartitions(map[string][]int32{k.config.Usage: partitions})
}

func (k *Consumer) revoked(_ context.Context, _ *kgo.Client, topics map[string][]int32) {
	k.worker.Revoke(topics[k.config.Usage])
	k.unread(topics[k.config.Usage])
}

func (k *Consumer) lost(_ context.Context, _ *kgo.Client, topics map[string][]int32) {
	k.worker.Lost(topics[k.config.Usage])
	k.unread(topics[k.config.Usage])
}

// Restart implements rater.Group.
func (k *Consumer) Restart(partition int32, offset int64, epoch int32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.reader.RemoveConsumePartitions(map[string][]int32{k.config.Usage: {partition}})
	k.read(partition, offset, epoch)
}

// Pause implements rater.Group.
func (k *Consumer) Pause(partition int32) {
	k.reader.PauseFetchPartitions(map[string][]int32{k.config.Usage: {partition}})
}

// Resume implements rater.Group.
func (k *Consumer) Resume(partition int32) {
	k.reader.ResumeFetchPartitions(map[string][]int32{k.config.Usage: {partition}})
}

// Committed implements rater.Group.
func (k *Consumer) Committed(partition int32, offset int64) {
	k.group.CommitOffsets(context.Background(), map[string]map[int32]kgo.EpochOffset{k.config.Usage: {partition: {Epoch: -1, Offset: offset}}}, nil)
}

// Run delivers records until ctx ends, then drains: the partitions are revoked, which checkpoints what was rated.
func (k *Consumer) Run(ctx context.Context) {
	groupDone := make(chan struct{})
	groupCtx, stop := context.WithCancel(ctx)
	go func() { // nothing is fetched here; polling only surfaces errors of the group
		defer close(groupDone)
		for groupCtx.Err() == nil {
			k.group.PollFetches(groupCtx).EachError(func(_ string, _ int32, err error) {
				if groupCtx.Err() == nil {
					k.config.Log.Warn("consumer group", "error", err)
				}
			})
		}
	}()
	for ctx.Err() == nil {
		fetches := k.reader.PollRecords(ctx, 16384)
		fetches.EachPartition(func(p kgo.FetchTopicPartition) { k.deliver(ctx, &p.FetchPartition) })
	}
	stop()
	<-groupDone
	k.group.CloseAllowingRebalance() // leaves the group: revokes, and so drains
	k.wait.Wait()
	k.reader.Close()
}

func (k *Consumer) deliver(ctx context.Context, p *kgo.FetchPartition) {
	if p.Err != nil && ctx.Err() == nil {
		k.failed(p.Partition, p.Err)
	}
	if len(p.Records) == 0 {
		return
	}
	in := make([]rater.Input, len(p.Records))
	for i, r := range p.Records {
		in[i] = rater.Input{Offset: r.Offset, LeaderEpoch: r.LeaderEpoch, Time: r.Timestamp.UnixNano(), Value: r.Value}
	}
	k.worker.Deliver(p.Partition, in, max(p.HighWatermark, in[len(in)-1].Offset+1))
}

func (k *Consumer) failed(partition int32, err error) {
	var loss *kgo.ErrDataLoss
	switch {
	case errors.As(err, &loss):
		k.worker.Broken(partition, fmt.Errorf("the broker lost acknowledged usage: %w; restore the topic, nothing is skipped or guessed", err))
	case errors.Is(err, kerr.OffsetOutOfRange):
		k.worker.Broken(partition, fmt.Errorf("the broker no longer has the usage after the checkpoint (%w): "+
			"its retention is too short or its data was replaced; nothing is skipped", err))
	default:
		k.config.Log.Warn("usage cannot be read", "partition", partition, "error", err)
	}
}
