// Package kafka reads the `rated` topic for the sink and for reconciliation.
//
// It implements sink.Log; it imports franz-go, rater/activity and rater/sink. Invariants: it reads from the
// offsets that it was told, never from a group's; it never resets an offset, so that nothing is skipped: what
// the broker no longer has is an error (sink.ErrLost).
package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/sink"
)

// Bounds of a reader.
const (
	pollWait   = 250 * time.Millisecond // that Poll waits for records
	fetchBytes = 32 << 20               // buffered from one broker
	adminWait  = 10 * time.Second
	walkPoll   = 500
)

// Log reads the `rated` topic. It is not safe for concurrent use.
type Log struct {
	brokers []string
	topic   string
	extra   []kgo.Opt
	client  *kgo.Client // nil until Seek
}

var _ sink.Log = (*Log)(nil)

// NewLog returns a reader that connects when it is first used. The options (TLS, SASL) are added to its own.
func NewLog(brokers []string, topic string, options ...kgo.Opt) *Log {
	return &Log{brokers: brokers, topic: topic, extra: options}
}

func (l *Log) options(more ...kgo.Opt) []kgo.Opt {
	base := []kgo.Opt{kgo.SeedBrokers(l.brokers...), kgo.ClientID("tollstream-sink")}
	return slices.Concat(base, l.extra, more)
}

// Partitions implements sink.Log.
func (l *Log) Partitions(ctx context.Context) ([]int32, error) {
	ends, err := l.ends(ctx)
	if err != nil {
		return nil, err
	}
	partitions := make([]int32, 0, len(ends))
	for p := range ends {
		partitions = append(partitions, p)
	}
	slices.Sort(partitions)
	return partitions, nil
}

// ends returns the offset after the last record of each partition.
func (l *Log) ends(ctx context.Context) (map[int32]int64, error) {
	client, err := kgo.NewClient(l.options()...)
	if err != nil {
		return nil, fmt.Errorf("connect to the broker: %w", err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, adminWait)
	defer cancel()
	listed, err := kadm.NewClient(client).ListEndOffsets(ctx, l.topic)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("list the partitions of %s: %w", l.topic, err)
	}
	ends := map[int32]int64{}
	listed.Each(func(o kadm.ListedOffset) { ends[o.Partition] = o.Offset })
	return ends, nil
}

// Seek implements sink.Log.
func (l *Log) Seek(_ context.Context, next map[int32]int64) error {
	l.Close()
	offsets := make(map[int32]kgo.Offset, len(next))
	for p, at := range next {
		offsets[p] = kgo.NewOffset().At(at)
	}
	client, err := kgo.NewClient(l.options(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{l.topic: offsets}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxBytes(fetchBytes), kgo.BrokerMaxReadBytes(2*fetchBytes),
		kgo.FetchIsolationLevel(kgo.ReadUncommitted()), // the rater writes without transactions
	)...)
	if err != nil {
		return fmt.Errorf("read %s: %w", l.topic, err)
	}
	l.client = client
	return nil
}

// Poll implements sink.Log.
func (l *Log) Poll(ctx context.Context, limit int) ([]sink.Fetch, error) {
	if l.client == nil {
		return nil, errors.New("poll before seek")
	}
	wait, cancel := context.WithTimeout(ctx, pollWait)
	defer cancel()
	polled := l.client.PollRecords(wait, limit)
	var fetches []sink.Fetch
	var failed error
	polled.EachPartition(func(p kgo.FetchTopicPartition) {
		if p.Err != nil {
			if failed == nil {
				failed = l.failure(p)
			}
			return
		}
		f := sink.Fetch{Partition: p.Partition, End: p.HighWatermark, Records: make([]sink.Fetched, len(p.Records))}
		for i, r := range p.Records {
			f.Records[i] = sink.Fetched{At: r.Offset, Value: r.Value}
		}
		fetches = append(fetches, f)
	})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if failed != nil {
		// What was polled beside it is lost to this client: the next one starts from the stored position.
		l.Close()
		return nil, failed
	}
	return fetches, nil
}

// failure tells what a partition's error means; nil for the end of the wait.
func (l *Log) failure(p kgo.FetchTopicPartition) error {
	var loss *kgo.ErrDataLoss
	switch {
	case errors.Is(p.Err, context.DeadlineExceeded) || errors.Is(p.Err, context.Canceled):
		return nil
	case errors.As(p.Err, &loss) || errors.Is(p.Err, kerr.OffsetOutOfRange):
		return fmt.Errorf("read %s partition %d: %w: %w", l.topic, p.Partition, sink.ErrLost, p.Err)
	}
	return fmt.Errorf("read %s partition %d: %w", l.topic, p.Partition, p.Err)
}

// Close implements sink.Log.
func (l *Log) Close() {
	if l.client != nil {
		l.client.Close()
		l.client = nil
	}
}

// Walk gives every rated record of a partition that counts (activity.Follow), with its offset in `rated`,
// from the first to the last that stands there at the time of the call. The record is only valid during the call.
func (l *Log) Walk(ctx context.Context, partition int32, each func(at int64, r *activity.Record) error) error {
	ends, err := l.ends(ctx)
	if err != nil {
		return err
	}
	end := ends[partition]
	if end == 0 {
		return nil
	}
	reader := NewLog(l.brokers, l.topic, l.extra...)
	if err := reader.Seek(ctx, map[int32]int64{partition: 0}); err != nil {
		return err
	}
	defer reader.Close()
	follow := activity.FollowFrom(-1)
	var record activity.Record
	for next := int64(0); next < end; {
		fetches, err := reader.Poll(ctx, walkPoll)
		if err != nil {
			return err
		}
		for _, f := range fetches {
			for _, fetched := range f.Records {
				next = fetched.At + 1
				if fetched.At >= end {
					return nil
				}
				// What cannot be decoded was written by no rater; the rule passes over it.
				if activity.Decode(fetched.Value, &record) != nil || !follow.Take(&record) {
					continue
				}
				if err := each(fetched.At, &record); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
