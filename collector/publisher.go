package collector

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
)

// Producer writes records to the `usage` topic.
type Producer interface {
	// Produce writes the record to the partition, in the order of its calls, and calls done once,
	// from any goroutine, perhaps before it returns: nil when all in-sync replicas have the record,
	// else an error that wraps ErrUnavailable if another attempt may succeed. It does not block. The
	// record is not touched after done was called, nor kept.
	Produce(partition int32, record []byte, done func(error))
	// Ready gives an error that wraps ErrUnavailable while the broker is known to be away.
	Ready() error
}

// PublisherConfig has the bounds of a Publisher. The zero value of a member means its default.
type PublisherConfig struct {
	Partitions    int           // of the topic; required
	Linger        time.Duration // how long a batch waits for more events; 2ms
	BulkLinger    time.Duration // the same of a batch that a call with many events begins; 5ms
	BufferedBytes int64         // of events that are not acknowledged yet; 64 MiB, at least 16 MiB
	AckTimeout    time.Duration // how long a caller waits for the broker; 15s
}

func (c *PublisherConfig) complete() error {
	if c.Partitions < 1 {
		return fmt.Errorf("publisher: %d partitions, need at least 1", c.Partitions)
	}
	if c.Linger == 0 {
		c.Linger = 2 * time.Millisecond
	}
	if c.BulkLinger == 0 {
		c.BulkLinger = max(5*time.Millisecond, c.Linger)
	}
	if c.BufferedBytes == 0 {
		c.BufferedBytes = 64 << 20
	}
	c.BufferedBytes = max(c.BufferedBytes, 2*usage.MaxRequestBytes)
	if c.AckTimeout == 0 {
		c.AckTimeout = 15 * time.Second
	}
	return nil
}

// Publisher gathers the events of concurrent calls into records, one open batch per partition and
// kind. Its methods are safe for concurrent use.
type Publisher struct {
	config   PublisherConfig
	producer Producer
	metrics  *Metrics
	lanes    []lane       // by partition: batches, then retries
	buffered atomic.Int64 // bytes that are reserved by calls or not acknowledged yet
	batches  sync.Pool    // *batch
	outgoing sync.Pool    // *outgoing
	open     alarm

	closing sync.RWMutex // held for reading while a call fills batches
	closed  bool
}

// lane is where one partition's next record of one kind is filled.
type lane struct {
	mu   sync.Mutex
	open *batch
}

// batch is a record that is being filled or awaits its acknowledgement.
type batch struct {
	record  []byte
	events  int
	calls   []*call // whose events it holds
	started time.Time
}

// call is one Publish that waits for its batches.
type call struct {
	pending atomic.Int32 // batches, and 1 while it is still being distributed
	failure atomic.Pointer[error]
	done    chan struct{}
}

func (c *call) finish(err error) {
	if err != nil {
		c.failure.CompareAndSwap(nil, &err)
	}
	if c.pending.Add(-1) == 0 {
		close(c.done)
	}
}

// NewPublisher starts no goroutine; Close flushes.
func NewPublisher(producer Producer, config PublisherConfig, metrics *Metrics) (*Publisher, error) {
	if err := config.complete(); err != nil {
		return nil, err
	}
	p := &Publisher{config: config, producer: producer, metrics: metrics, lanes: make([]lane, 2*config.Partitions)}
	p.batches.New = func() any { return &batch{record: make([]byte, 0, 32<<10)} }
	p.outgoing.New = func() any { return newOutgoing(config.Partitions) }
	return p, nil
}

// Publish writes the events, as a batch or as a retry, and returns when all of them are
// acknowledged. Whether it can is decided first: with ErrBackpressure or ErrUnavailable from that
// decision nothing was written. When the broker fails on the way, or ctx ends, some events may have
// been written; publishing them again does no harm.
func (p *Publisher) Publish(ctx context.Context, kind usage.RecordKind, events []usage.Event) error {
	o := p.begin()
	defer p.end(o)
	for i := range events {
		o.add(&events[i])
	}
	return p.publish(ctx, kind, o)
}

// begin gives memory for the events of a call; end takes it back, after publish has returned.
func (p *Publisher) begin() *outgoing {
	return p.outgoing.Get().(*outgoing) //nolint:errcheck,forcetypeassert // the pool holds nothing else
}

// maxKeptBytes bounds the memory that waits for another call.
const maxKeptBytes = 1 << 20

func (p *Publisher) end(o *outgoing) {
	if cap(o.bytes) <= maxKeptBytes {
		o.reset()
		p.outgoing.Put(o)
	}
}

// publish is Publish. The events are copied before it waits.
func (p *Publisher) publish(ctx context.Context, kind usage.RecordKind, o *outgoing) error {
	if len(o.ends) == 0 {
		return nil
	}
	if err := p.producer.Ready(); err != nil {
		return fmt.Errorf("publish usage: %w", err)
	}
	size := int64(len(o.bytes))
	if p.buffered.Add(size) > p.config.BufferedBytes {
		p.buffered.Add(-size)
		return fmt.Errorf("publish usage: %d MiB wait for the broker: %w", p.config.BufferedBytes>>20, ErrBackpressure)
	}
	c := &call{done: make(chan struct{})}
	c.pending.Store(1)
	if !p.distribute(c, kind, o) {
		p.buffered.Add(-size)
		return fmt.Errorf("publish usage: shutting down: %w", ErrUnavailable)
	}
	c.finish(nil)

	timeout := time.NewTimer(p.config.AckTimeout)
	defer timeout.Stop()
	select {
	case <-c.done:
		if failure := c.failure.Load(); failure != nil {
			return fmt.Errorf("publish usage: %w", *failure)
		}
		return nil
	case <-timeout.C:
		return fmt.Errorf("publish usage: no acknowledgement within %s: %w", p.config.AckTimeout, ErrUnavailable)
	case <-ctx.Done():
		return fmt.Errorf("publish usage: %w", ctx.Err())
	}
}

// distribute puts the events into the open batches; false when the publisher is closed.
func (p *Publisher) distribute(c *call, kind usage.RecordKind, o *outgoing) bool {
	p.closing.RLock()
	defer p.closing.RUnlock()
	if p.closed {
		return false
	}
	for _, partition := range o.touched {
		at := int(partition)
		if kind == usage.KindRetry {
			at += p.config.Partitions
		}
		p.add(at, kind, c, o)
	}
	return true
}

// add puts a partition's events into its lane.
func (p *Publisher) add(at int, kind usage.RecordKind, c *call, o *outgoing) {
	l := &p.lanes[at]
	l.mu.Lock()
	defer l.mu.Unlock()
	for number := o.first[at%p.config.Partitions]; number != 0; number = o.next[number-1] {
		event := o.event(number)
		if l.open != nil && len(l.open.record)+len(event) > usage.MaxBatchBytes {
			p.flush(at)
		}
		if l.open == nil {
			p.begins(at, kind, len(o.ends))
		}
		b := l.open
		if n := len(b.calls); n == 0 || b.calls[n-1] != c {
			c.pending.Add(1)
			b.calls = append(b.calls, c)
		}
		b.record = append(b.record, event...)
		b.events++
		if b.events == usage.MaxBatchEvents {
			p.flush(at)
		}
	}
}

// bulkEvents make a call one whose sender looks for throughput: then larger records are worth more than a few milliseconds.
const bulkEvents = 100

// begins opens a batch for a call of so many events.
func (p *Publisher) begins(at int, kind usage.RecordKind, events int) {
	b := p.batches.Get().(*batch) //nolint:errcheck,forcetypeassert // the pool holds nothing else
	b.record = usage.AppendKind(b.record[:0], kind)
	b.started = time.Now()
	p.lanes[at].open = b
	linger := p.config.Linger
	if events >= bulkEvents {
		linger = p.config.BulkLinger
	}
	p.open.set(entry{at, b, b.started.Add(linger)}, p.flushDue)
}

// flushDue flushes the batches that have waited long enough.
func (p *Publisher) flushDue() {
	for _, e := range p.open.due(time.Now(), p.flushDue) {
		l := &p.lanes[e.lane]
		l.mu.Lock()
		if l.open == e.batch {
			p.flush(e.lane)
		}
		l.mu.Unlock()
	}
}

// flush hands a lane's open batch to the producer. The lane stays locked, so that records of a partition
// keep their order.
func (p *Publisher) flush(at int) {
	l, partition := &p.lanes[at], int32(at%p.config.Partitions) //nolint:gosec // smaller than the number of partitions
	b := l.open
	l.open = nil
	p.metrics.batchEvents.Observe(float64(b.events))
	p.metrics.batchBytes.Observe(float64(len(b.record)))
	p.producer.Produce(partition, b.record, func(err error) {
		p.buffered.Add(-int64(len(b.record) - usage.KindSize))
		if err != nil {
			p.metrics.failure(err)
		} else {
			p.metrics.publishSeconds.Observe(time.Since(b.started).Seconds())
		}
		for i, c := range b.calls {
			c.finish(err)
			b.calls[i] = nil
		}
		// The alarm still knows this batch when it was full early, so the batch itself is not used
		// again, only its memory.
		p.batches.Put(&batch{record: b.record, calls: b.calls[:0]})
	})
}

// BufferedBytes tells how much is not acknowledged yet.
func (p *Publisher) BufferedBytes() int64 { return p.buffered.Load() }

// Close refuses new events, writes what is open and waits for its acknowledgement or the end of ctx.
func (p *Publisher) Close(ctx context.Context) error {
	p.closing.Lock()
	p.closed = true
	p.closing.Unlock()
	for i := range p.lanes {
		l := &p.lanes[i]
		l.mu.Lock()
		if l.open != nil {
			p.flush(i)
		}
		l.mu.Unlock()
	}
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for p.buffered.Load() > 0 {
		select {
		case <-poll.C:
		case <-ctx.Done():
			return fmt.Errorf("close publisher: %d bytes not acknowledged: %w", p.buffered.Load(), ctx.Err())
		}
	}
	return nil
}

// reasonOf names an error for the metrics.
func reasonOf(err error) string {
	switch {
	case errors.Is(err, ErrBackpressure):
		return "backpressure"
	case errors.Is(err, ErrUnavailable):
		return "unavailable"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "canceled"
	default:
		return "other"
	}
}
