package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tollstream/tollstream/rater"
)

// Consumer belongs to the group and reads this process's partitions of `usage`.
//
// What is read changes between two polls only, by the goroutine that polls: so what a poll returns always belongs to
// what was asked for last. Its lock is taken under the worker's, never the other way round.
type Consumer struct {
	config Config
	worker *rater.Worker
	group  *kgo.Client
	reader *kgo.Client

	commits sync.Mutex // around commit; taken first

	mu        sync.Mutex
	orders    map[int32]order // not carried out yet
	wake      context.CancelFunc
	reading   map[int32]bool // without a newer order
	committed map[int32]int64
}

// order is where a partition is to be read from, or that it is not to be read.
type order struct {
	read bool
	at   kgo.Offset
}

// pollRecords bounds what one poll returns.
const pollRecords = 16384

// fetchWait is how long the broker waits for usage. A partition that is read on after a pause waits for as long when the others have
// none: what is still delivered and not rated must last until then.
const fetchWait = 25 * time.Millisecond

// commitEvery is how often the group's offsets follow the checkpoints.
const commitEvery = time.Second

// NewConsumer joins the group; Run reads.
func NewConsumer(c Config, w *rater.Worker) (*Consumer, error) {
	c = c.withDefaults()
	k := &Consumer{config: c, worker: w, orders: map[int32]order{}, wake: func() {}, reading: map[int32]bool{}, committed: map[int32]int64{}}
	var err error
	k.reader, err = c.client(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxWait(fetchWait),
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
		k.worker.Assign(p)
	}
}

func (k *Consumer) revoked(ctx context.Context, _ *kgo.Client, topics map[string][]int32) {
	k.worker.Revoke(topics[k.config.Usage])
	k.commit(ctx)
}

func (k *Consumer) lost(_ context.Context, _ *kgo.Client, topics map[string][]int32) {
	k.worker.Lost(topics[k.config.Usage])
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range topics[k.config.Usage] {
		delete(k.committed, p) // the next owner's to move
	}
}

// End implements rater.Group.
func (k *Consumer) End(ctx context.Context, partition int32) (int64, error) {
	return offsetOf(ctx, k.reader, k.config.Usage, partition, latest)
}

// Read implements rater.Group.
func (k *Consumer) Read(partition int32, offset int64, epoch int32) {
	at := kgo.NewOffset().At(offset).WithEpoch(-1)
	if epoch >= 0 {
		at = at.WithEpoch(epoch)
	}
	k.order(partition, order{true, at})
}

// Stop implements rater.Group.
func (k *Consumer) Stop(partition int32) { k.order(partition, order{}) }

func (k *Consumer) order(partition int32, o order) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.reading, partition)
	k.orders[partition] = o
	k.wake()
}

// obey carries out what was ordered and returns a context that ends with the next order.
func (k *Consumer) obey(ctx context.Context) (poll context.Context, cancel context.CancelFunc) {
	k.mu.Lock()
	defer k.mu.Unlock()
	poll, cancel = context.WithCancel(ctx)
	k.wake = cancel
	if len(k.orders) == 0 {
		return poll, cancel
	}
	at := map[int32]kgo.Offset{}
	for p, o := range k.orders {
		if o.read {
			at[p], k.reading[p] = o.at, true
		}
	}
	topic := k.config.Usage
	k.reader.RemoveConsumePartitions(map[string][]int32{topic: slices.Collect(maps.Keys(k.orders))})
	k.reader.ResumeFetchPartitions(map[string][]int32{topic: slices.Collect(maps.Keys(at))})
	k.reader.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: at})
	clear(k.orders)
	return poll, cancel
}

// Pause implements rater.Group.
func (k *Consumer) Pause(partition int32) {
	k.reader.PauseFetchPartitions(map[string][]int32{k.config.Usage: {partition}})
}

// Resume implements rater.Group.
func (k *Consumer) Resume(partition int32) {
	k.reader.ResumeFetchPartitions(map[string][]int32{k.config.Usage: {partition}})
}

// Committed implements rater.Group. The broker is told later, of all partitions at once: the group's client lets a commit
// wait for a rebalance, and a newer one cancels the one before.
func (k *Consumer) Committed(partition int32, offset int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.committed[partition] = offset
}

// commit tells the broker how far the checkpoints are. What it could not be told is told the next time. One at a time: who leaves the
// group waits for the commit under way, which would come to nothing without a member.
func (k *Consumer) commit(ctx context.Context) {
	k.commits.Lock()
	defer k.commits.Unlock()
	k.mu.Lock()
	offsets := map[int32]kgo.EpochOffset{}
	for p, o := range k.committed {
		offsets[p] = kgo.EpochOffset{Epoch: -1, Offset: o}
	}
	clear(k.committed)
	k.mu.Unlock()
	if len(offsets) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, k.config.SessionTimeout)
	defer cancel()
	var failed error
	k.group.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{k.config.Usage: offsets},
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, response *kmsg.OffsetCommitResponse, err error) {
			failed = err
			if err != nil {
				return
			}
			for _, t := range response.Topics {
				for _, p := range t.Partitions {
					failed = errors.Join(failed, kerr.ErrorForCode(p.ErrorCode))
				}
			}
		})
	if failed == nil {
		return
	}
	k.config.Log.Debug("the group's offsets do not follow the checkpoints yet", "error", failed)
	k.mu.Lock()
	defer k.mu.Unlock()
	for p, o := range offsets {
		if _, newer := k.committed[p]; !newer {
			k.committed[p] = o.Offset
		}
	}
}

// Run delivers records until ctx ends, then drains: the partitions are revoked, which checkpoints what was rated.
func (k *Consumer) Run(ctx context.Context) {
	beside, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wait sync.WaitGroup
	wait.Go(func() { k.watchGroup(beside) })
	wait.Go(func() { k.commitLoop(beside) })
	for ctx.Err() == nil {
		poll, cancel := k.obey(ctx)
		k.reader.PollRecords(poll, pollRecords).EachPartition(func(p kgo.FetchTopicPartition) {
			if poll.Err() == nil || !errors.Is(p.Err, poll.Err()) {
				k.deliver(&p.FetchPartition)
			}
		})
		cancel()
	}
	k.group.CloseAllowingRebalance() // leaves the group: revokes, and so drains
	stop()
	wait.Wait()
	k.reader.Close()
}

// watchGroup surfaces the errors of the group; nothing is fetched there.
func (k *Consumer) watchGroup(ctx context.Context) {
	for ctx.Err() == nil {
		fetches := k.group.PollFetches(ctx)
		if fetches.IsClientClosed() {
			return
		}
		fetches.EachError(func(_ string, _ int32, err error) {
			if ctx.Err() == nil {
				k.config.Log.Warn("consumer group", "error", err)
			}
		})
	}
}

func (k *Consumer) commitLoop(ctx context.Context) {
	ticker := time.NewTicker(commitEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			k.commit(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (k *Consumer) deliver(p *kgo.FetchPartition) {
	k.mu.Lock()
	reading := k.reading[p.Partition]
	k.mu.Unlock()
	if !reading {
		return
	}
	if len(p.Records) > 0 {
		in := make([]rater.Input, len(p.Records))
		for i, r := range p.Records {
			in[i] = rater.Input{Offset: r.Offset, LeaderEpoch: r.LeaderEpoch, Time: r.Timestamp.UnixNano(), Value: r.Value}
		}
		k.worker.Deliver(p.Partition, in, max(p.HighWatermark, in[len(in)-1].Offset+1))
	}
	if p.Err != nil {
		k.failed(p.Partition, p.Err)
	}
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
