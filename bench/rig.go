package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"

	ckafka "github.com/tollstream/tollstream/collector/kafka"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/catalog"
	catalogpg "github.com/tollstream/tollstream/rater/catalog/pg"
	"github.com/tollstream/tollstream/rater/dedup"
	rkafka "github.com/tollstream/tollstream/rater/kafka"
	"github.com/tollstream/tollstream/rater/live"
	raterpg "github.com/tollstream/tollstream/rater/pg"
)

const window = 35 * 24 * time.Hour // of the duplicates index

// witness stands before the stores and notes up to where each partition is checkpointed and shown.
type witness struct {
	*raterpg.Store
	live rater.Live

	mu         sync.Mutex
	committed  offsets
	showing    offsets // the newest version that the live view took: offset of the last record on a line, plus one
	shown      offsets // the same, when all lines were
	lines      lineCounts
	compacting int // days of identities that are being folded
	moved      chan struct{}
}

// lineCounts are how many lines were written, each as often as it was.
type lineCounts struct{ saved, shown int }

// Commit implements rater.Store.
func (w *witness) Commit(ctx context.Context, cuts []*rater.Cut) ([]rater.Outcome, error) {
	outcomes, err := w.Store.Commit(ctx, cuts)
	w.mu.Lock()
	for i, c := range cuts {
		if outcomes[i] == rater.OutcomeCommitted {
			w.committed[c.Fence.Partition] = c.Next
			w.lines.saved += len(c.Lines)
		}
	}
	w.mu.Unlock()
	w.signal()
	return outcomes, err
}

// Project implements rater.Live.
func (w *witness) Project(ctx context.Context, ps []*rater.Projection) ([]bool, error) {
	applied, err := w.live.Project(ctx, ps)
	w.mu.Lock()
	for i, p := range ps {
		if err != nil || !applied[i] {
			continue
		}
		w.lines.shown += len(p.Lines)
		for j := range p.Lines {
			w.showing[p.Partition] = max(w.showing[p.Partition], p.Lines[j].Version)
		}
		if p.CaughtUp && !p.Rebuilding { // otherwise lines may be left for the next projection
			w.shown[p.Partition] = w.showing[p.Partition]
		}
	}
	w.mu.Unlock()
	w.signal()
	return applied, err
}

// Compact implements rater.Store.
func (w *witness) Compact(ctx context.Context, f rater.Fence, logTime int64) ([]dedup.Compacted, error) {
	w.mu.Lock()
	w.compacting++
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.compacting--
		w.mu.Unlock()
		w.signal()
	}()
	return w.Store.Compact(ctx, f, logTime)
}

func (w *witness) signal() {
	select {
	case w.moved <- struct{}{}:
	default:
	}
}

// await returns when every partition is checkpointed, and shown if that is asked, up to its end, and nothing is being folded.
func (w *witness) await(ctx context.Context, ends offsets, shown bool) error {
	for {
		w.mu.Lock()
		folding, unsaved, unshown := w.compacting, 0, 0
		for p, end := range ends {
			if w.committed[p] < end {
				unsaved++
			}
			if shown && w.shown[p] < end {
				unshown++
			}
		}
		w.mu.Unlock()
		if folding+unsaved+unshown == 0 {
			return nil
		}
		select {
		case <-w.moved:
		case <-ctx.Done():
			return fmt.Errorf("%d partitions are not checkpointed, %d not shown, %d are being folded: %w", unsaved, unshown, folding, ctx.Err())
		}
	}
}

// rig is a rater at work in this process, as the server assembles it, and what it reads from.
type rig struct {
	c             *corner
	usage, rated  string
	single, moved string // topics of the bare loops: one event a record, and what they write
	partitions    int
	pool          *pgxpool.Pool
	filled        float64 // bytes that the last fill added to usage
	witness       *witness
	consumer      *rkafka.Consumer
	events        *stream
	singles       offsets // where the single events end
	closing       []func()
}

func (r *rig) onClose(do func()) { r.closing = append(r.closing, do) }

func (r *rig) close() {
	for i := len(r.closing) - 1; i >= 0; i-- {
		r.closing[i]()
	}
}

// newRig prepares topics and definitions and starts the rater; it returns when every partition has activated the catalogue.
func newRig(ctx context.Context, c *corner, s settings) (_ *rig, err error) {
	r := &rig{
		c: c, usage: c.name + "-usage", rated: c.name + "-rated", single: c.name + "-single", moved: c.name + "-moved", partitions: s.Partitions,
		events: &stream{accounts: accountIDs(s.Accounts), start: time.Now().Add(-time.Hour).UnixNano()},
	}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	if err := errors.Join(c.pair(ctx, r.usage, r.rated, s.Partitions), c.pair(ctx, r.single, r.moved, s.Partitions)); err != nil {
		return nil, err
	}
	if r.pool, err = c.pool(ctx); err != nil {
		return nil, err
	}
	r.onClose(r.pool.Close)
	if err := c.define(ctx, r.pool, r.usage, r.events.accounts, s.Partitions); err != nil {
		return nil, err
	}
	if err := r.start(r.pool); err != nil {
		return nil, err
	}
	ends, err := c.ends(ctx, r.usage)
	if err != nil {
		return nil, err
	}
	return r, r.witness.await(ctx, ends, false)
}

// pool connects to a database of its own, as the server does.
func (c *corner) pool(ctx context.Context) (*pgxpool.Pool, error) {
	url, err := c.database(ctx)
	if err != nil {
		return nil, err
	}
	return connect(ctx, url)
}

func connect(ctx context.Context, url string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	config.MaxConns = 16
	raterpg.Configure(config)
	return pgxpool.NewWithConfig(ctx, config)
}

// define applies the catalogue and publishes it on every partition of the topic.
func (c *corner) define(ctx context.Context, pool *pgxpool.Pool, topic string, accounts []string, partitions int) error {
	producer, err := ckafka.New(ctx, ckafka.Config{Brokers: c.kafka, Topic: topic, Log: quiet()})
	if err != nil {
		return err
	}
	defer producer.Close()
	definitions := catalogpg.New(pool, time.Now)
	publisher, err := catalogpg.NewPublisher(definitions, producer, catalogpg.PublisherConfig{Partitions: partitions}, quiet())
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	var wait sync.WaitGroup
	wait.Go(func() { _ = publisher.Run(running) }) // its errors are those of ApplyAndPublish
	defer wait.Wait()
	defer stop()
	for body, err := range documents(accounts) {
		if err != nil {
			return err
		}
		d, err := catalog.ParseDocument("bench.json", body)
		if err != nil {
			return err
		}
		if _, err := publisher.ApplyAndPublish(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

func (r *rig) start(pool *pgxpool.Pool) error {
	options, err := redis.ParseURL(r.c.redis)
	if err != nil {
		return fmt.Errorf("read %s: %w", envRedis, err)
	}
	view := redis.NewClient(options)
	r.onClose(func() { _ = view.Close() })
	r.witness = &witness{
		Store: raterpg.New(pool, window), live: live.NewProjector(view, systemClock{}, r.c.name),
		committed: offsets{}, showing: offsets{}, shown: offsets{}, moved: make(chan struct{}, 1),
	}
	kafka := rkafka.Config{
		Brokers: r.c.kafka, Usage: r.usage, Rated: r.rated, Group: r.c.name, Log: quiet(),
		Options: []kgo.Opt{kgo.ProducerBatchCompression(kgo.NoCompression())},
	}
	producer, err := rkafka.NewProducer(kafka)
	if err != nil {
		return err
	}
	r.onClose(producer.Close)
	log, err := rkafka.NewRatedLog(kafka)
	if err != nil {
		return err
	}
	r.onClose(log.Close)
	worker := rater.NewWorker(rater.Config{
		Stores:   rater.Stores{Store: r.witness, Definitions: catalogpg.New(pool, time.Now), Rated: log},
		Live:     r.witness,
		Producer: producer, Poison: r.witness.Store, Limits: rater.DefaultLimits(), Intervals: rater.DefaultIntervals(),
		Random: random, Metrics: rater.NewMetrics(prometheus.NewRegistry()), Log: quiet(),
	})
	r.onClose(worker.Close)
	if r.consumer, err = rkafka.NewConsumer(kafka, worker); err != nil {
		return err
	}
	running, stop := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() { r.consumer.Run(running) })
	r.onClose(func() { stop(); wait.Wait() })
	return nil
}

type systemClock struct{}

// Now implements rater.Clock.
func (systemClock) Now() time.Time { return time.Now() }

func random() (b [16]byte) {
	_, _ = rand.Read(b[:]) // never fails, see its documentation
	return b
}

// fill loads a round's events while the rater's reading is paused; it returns where they begin and end, of the partitions that
// got some.
func (r *rig) fill(ctx context.Context, n, batch int) (begin, end offsets, err error) {
	for p := range r.partitions {
		r.consumer.Pause(int32(p))
	}
	if begin, err = r.c.ends(ctx, r.usage); err != nil {
		return nil, nil, err
	}
	before, err := r.c.size(ctx, r.usage)
	if err != nil {
		return nil, nil, err
	}
	if err = load(ctx, r.c.kafka, r.usage, r.partitions, r.events, n, batch); err != nil {
		return nil, nil, err
	}
	if r.filled, err = r.c.size(ctx, r.usage); err != nil {
		return nil, nil, err
	}
	r.filled -= before
	end, err = r.c.ends(ctx, r.usage)
	for p, o := range end {
		if o == begin[p] {
			delete(begin, p)
			delete(end, p)
		}
	}
	return begin, end, err
}

// rate lets the rater go and waits until everything is rated, acknowledged, shown and checkpointed.
func (r *rig) rate(ctx context.Context, end offsets) (time.Duration, error) {
	began := time.Now()
	for p := range r.partitions {
		r.consumer.Resume(int32(p))
	}
	err := r.witness.await(ctx, end, true)
	return time.Since(began), err
}
