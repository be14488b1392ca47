// Package kafka writes usage records to the broker for the collector.
//
// It imports the broker's client and collector. Invariants: a record counts as written only when all
// in-sync replicas have it; records of a partition keep their order; the partition is the caller's
// choice; nothing here waits without a bound.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tollstream/tollstream/collector"
)

// Config of a Producer. The zero value of a duration means its default.
type Config struct {
	Brokers         []string
	Topic           string
	DeliveryTimeout time.Duration // how long a record is tried; 10s
	StallTimeout    time.Duration // without any acknowledgement, after which the broker counts as away; 4s
	ProbeEvery      time.Duration // how often the broker is asked for the topic; 1s
	Log             *slog.Logger
	Options         []kgo.Opt // further options of the client, such as credentials
}

// Producer implements collector.Producer.
type Producer struct {
	config     Config
	client     *kgo.Client
	partitions int

	away         atomic.Pointer[error] // why the broker counts as away; nil while it answers
	inFlight     atomic.Int64
	lastProgress atomic.Int64 // Unix nanoseconds of the last acknowledgement, or of the first record in flight

	nudge chan struct{}
	stop  context.CancelFunc
	ended sync.WaitGroup
}

// New connects and reads how many partitions the topic has. Close ends it.
func New(ctx context.Context, config Config) (*Producer, error) {
	if config.DeliveryTimeout == 0 {
		config.DeliveryTimeout = 10 * time.Second
	}
	if config.StallTimeout == 0 {
		config.StallTimeout = 4 * time.Second
	}
	if config.ProbeEvery == 0 {
		config.ProbeEvery = time.Second
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	p := &Producer{config: config, nudge: make(chan struct{}, 1)}
	options := []kgo.Opt{
		kgo.SeedBrokers(config.Brokers...),
		kgo.DefaultProduceTopic(config.Topic),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(0), // the publisher gathers; waiting again would only add latency
		kgo.ProducerBatchMaxBytes(8 << 20),
		kgo.ProducerBatchCompression(kgo.SnappyCompression()), // as small as LZ4, in a fraction of its time
		kgo.MaxBufferedRecords(1 << 20),                       // the publisher bounds what is buffered, by bytes
		kgo.RecordDeliveryTimeout(config.DeliveryTimeout),
		// A record that was cancelled and is sent again may stand twice; the rater recognises it. A
		// caller that waits for ever would be worse.
		kgo.AllowIdempotentProduceCancellation(),
		kgo.ProduceRequestTimeout(config.DeliveryTimeout),
		kgo.RetryBackoffFn(backoff),
		kgo.DialTimeout(3 * time.Second),
		kgo.MetadataMinAge(250 * time.Millisecond), // or a broker that is back waits 5 s to be found
		kgo.DisableClientMetrics(),
		kgo.WithHooks(p),
	}
	client, err := kgo.NewClient(append(options, config.Options...)...)
	if err != nil {
		return nil, fmt.Errorf("connect to the broker: %w", err)
	}
	p.client = client
	if p.partitions, err = p.probe(ctx); err != nil {
		client.Close()
		return nil, fmt.Errorf("read topic %s: %w", config.Topic, err)
	}
	watch, stop := context.WithCancel(context.WithoutCancel(ctx))
	p.stop = stop
	p.ended.Go(func() { p.watch(watch) })
	return p, nil
}

// backoff of failed requests: soon at first, for a leader that moved; never long, for the caller
// waits.
func backoff(tries int) time.Duration {
	return min(50*time.Millisecond<<min(tries, 5), time.Second)
}

// Partitions is how many partitions the topic has.
func (p *Producer) Partitions() int { return p.partitions }

// Produce implements collector.Producer.
func (p *Producer) Produce(partition int32, record []byte, done func(error)) {
	if p.inFlight.Add(1) == 1 {
		p.lastProgress.Store(time.Now().UnixNano())
	}
	p.client.TryProduce(context.Background(), &kgo.Record{Partition: partition, Value: record}, func(_ *kgo.Record, err error) {
		p.inFlight.Add(-1)
		if err == nil {
			p.lastProgress.Store(time.Now().UnixNano())
			done(nil)
			return
		}
		err = describe(err)
		if errors.Is(err, collector.ErrUnavailable) {
			p.setAway(err)
		}
		done(err)
	})
}

// Broadcast writes one record to the partition and waits for its acknowledgement: for control
// records, which travel alone.
func (p *Producer) Broadcast(ctx context.Context, partition int32, record []byte) error {
	result := p.client.ProduceSync(ctx, &kgo.Record{Partition: partition, Value: record})
	if err := result.FirstErr(); err != nil {
		return fmt.Errorf("write a control record to partition %d: %w", partition, describe(err))
	}
	return nil
}

// describe tells what may be tried again from what may not.
func describe(err error) error {
	var network net.Error
	switch {
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.InvalidRecord), errors.Is(err, kerr.TopicAuthorizationFailed):
		return fmt.Errorf("the broker refused the record: %w", err)
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, kgo.ErrMaxBuffered):
		return fmt.Errorf("%w: %w", err, collector.ErrBackpressure)
	case errors.As(err, &network), errors.Is(err, kgo.ErrRecordTimeout):
		return fmt.Errorf("the broker does not answer: %w (%w)", err, collector.ErrUnavailable)
	default:
		return fmt.Errorf("the broker did not take the record: %w (%w)", err, collector.ErrUnavailable)
	}
}

// Ready implements collector.Producer.
func (p *Producer) Ready() error {
	if err := p.away.Load(); err != nil {
		return *err
	}
	if p.inFlight.Load() > 0 && time.Now().UnixNano()-p.lastProgress.Load() > int64(p.config.StallTimeout) {
		return fmt.Errorf("no acknowledgement from the broker for %s: %w", p.config.StallTimeout, collector.ErrUnavailable)
	}
	return nil
}

func (p *Producer) setAway(err error) {
	if p.away.Swap(&err) == nil {
		p.config.Log.Warn("the broker is away; usage is refused until it answers", "error", err)
	}
	p.probeSoon()
}

func (p *Producer) probeSoon() {
	select {
	case p.nudge <- struct{}{}:
	default:
	}
}

// watch keeps Ready's answer fresh: at its pace, and at once when a connection breaks.
func (p *Producer) watch(ctx context.Context) {
	every := time.NewTicker(p.config.ProbeEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		case <-p.nudge:
		}
		limited, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err := p.probe(limited)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if p.away.Swap(&err) == nil {
				p.config.Log.Warn("the broker is away; usage is refused until it answers", "error", err)
			}
		case p.away.Swap(nil) != nil:
			p.config.Log.Info("the broker answers again")
		}
	}
}

// probe asks for the topic and demands a leader for each of its partitions.
func (p *Producer) probe(ctx context.Context) (partitions int, err error) {
	request := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = kmsg.StringPtr(p.config.Topic)
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(ctx, p.client)
	if err != nil {
		return 0, fmt.Errorf("the broker does not answer: %w (%w)", err, collector.ErrUnavailable)
	}
	if len(response.Topics) != 1 {
		return 0, fmt.Errorf("the broker knows %d topics of that name: %w", len(response.Topics), collector.ErrUnavailable)
	}
	if err := kerr.ErrorForCode(response.Topics[0].ErrorCode); err != nil {
		return 0, fmt.Errorf("topic %s: %w (%w)", p.config.Topic, err, collector.ErrUnavailable)
	}
	for _, partition := range response.Topics[0].Partitions {
		if partition.Leader < 0 {
			return 0, fmt.Errorf("partition %d has no leader: %w", partition.Partition, collector.ErrUnavailable)
		}
	}
	return len(response.Topics[0].Partitions), nil
}

// OnBrokerConnect is a hook of the client.
func (p *Producer) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err != nil && p.away.Load() == nil {
		p.probeSoon()
	}
}

// OnBrokerDisconnect is a hook of the client.
func (p *Producer) OnBrokerDisconnect(kgo.BrokerMetadata, net.Conn) { p.probeSoon() }

// Close ends the connection. What was not acknowledged by now fails; close the publisher first.
func (p *Producer) Close() {
	p.stop()
	p.ended.Wait()
	p.client.Close()
}
