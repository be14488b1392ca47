package kafka_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/deploy/schema"
	"github.com/tollstream/tollstream/deploy/teststores"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/kafka"
	"github.com/tollstream/tollstream/rater/pg"
	"github.com/tollstream/tollstream/rater/ratertest"
)

const (
	patience  = 3 * time.Minute // of what is awaited; nothing is decided by how long it takes
	window    = 35 * 24 * time.Hour
	retention = 90 * 24 * time.Hour
	// A machine may stand still for a while: only the test that wants a rater to be replaced lets its session run out, as soon as
	// Apache Kafka allows.
	session      = time.Minute
	shortSession = 6 * time.Second
	heartbeat    = time.Second
)

type store interface {
	rater.Store
	rater.Poison
	Skip(ctx context.Context, partition int32, offset int64, index int) error
}

// world is a pair of topics, a store and what was sent.
type world struct {
	*testing.T
	config     kafka.Config
	cluster    *kfake.Cluster // nil: Apache Kafka
	partitions int32
	store      store
	client     *kgo.Client
	admin      *kadm.Client

	mu      sync.Mutex
	records []int64
	units   []int64
	next    int
}

// onBoth runs a test on the broker in memory with a store in memory, and on Apache Kafka with PostgreSQL.
func onBoth(t *testing.T, partitions int32, test func(t *testing.T, w *world)) {
	t.Run("kfake", func(t *testing.T) { test(t, onFake(t, partitions)) })
	t.Run("apache", func(t *testing.T) {
		if testing.Short() {
			t.Skip("needs servers")
		}
		w := newWorld(t, teststores.Kafka(t), partitions)
		url := teststores.Postgres(t)
		if err := schema.Migrate(t.Context(), url); err != nil {
			t.Fatal(err)
		}
		pool, err := pgxpool.New(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		w.store = pg.New(pool, window)
		test(t, w)
	})
}

func onFake(t *testing.T, partitions int32) *world {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(2), kfake.GroupMinSessionTimeout(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	w := newWorld(t, c.ListenAddrs(), partitions)
	w.cluster, w.store = c, ratertest.NewStore()
	return w
}

func newWorld(t *testing.T, brokers []string, partitions int32) *world {
	t.Helper()
	name := strings.ToLower(rand.Text())
	w := &world{
		T: t, partitions: partitions, records: make([]int64, partitions), units: make([]int64, partitions),
		config: kafka.Config{
			Brokers: brokers, Usage: "usage-" + name, Rated: "rated-" + name, Group: "raters-" + name,
			Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
		},
	}
	n, err := kafka.Prepare(t.Context(), w.config, kafka.Settings{Partitions: int(partitions), Retention: retention, AllowUnsafe: true})
	if err != nil || n != int(partitions) {
		t.Fatalf("%d partitions, %v", n, err)
	}
	w.client, err = kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	if err != nil {
		t.Fatal(err)
	}
	w.admin = kadm.NewClient(w.client)
	t.Cleanup(func() {
		if w.cluster == nil {
			_, _ = w.admin.DeleteTopics(context.Background(), w.config.Usage, w.config.Rated)
		}
		w.client.Close()
	})
	return w
}

// send appends records of two events to a partition.
func (w *world) send(partition int32, records int) {
	w.Helper()
	for range records {
		record := usage.Record{Kind: usage.KindBatch}
		w.mu.Lock()
		for range 2 {
			w.next++
			units := int64(1 + w.next%7)
			account := fmt.Sprintf("p%d-%d", partition, w.next%5)
			record.Events = append(record.Events, usage.Event{
				ID: fmt.Sprint("e", w.next), Source: "test", Account: account, RoutingKey: account, Product: ratertest.Product,
				Time: time.Now().UnixNano(), Quantity: money.FromInt(units), Hash: uint64(w.next),
			})
			w.units[partition] += units
		}
		w.records[partition]++
		w.mu.Unlock()
		if err := w.produce(w.config.Usage, partition, usage.AppendRecord(nil, &record)); err != nil {
			w.Fatal(err)
		}
	}
}

func (w *world) sendAll(records int) {
	w.Helper()
	for p := range w.partitions {
		w.send(p, records)
	}
}

func (w *world) produce(topic string, partition int32, value []byte) error {
	return w.client.ProduceSync(w.Context(), &kgo.Record{Topic: topic, Partition: partition, Value: value}).FirstErr()
}

// process is one rater with clients of its own.
type process struct {
	*rater.Worker
	w        *world
	live     *ratertest.Live
	consumer *kafka.Consumer
	producer *kafka.Producer
	rated    *kafka.RatedLog
	gate     *gate
	wire     *wire
	cancel   context.CancelFunc
	done     chan struct{}
	once     sync.Once
}

func (w *world) start(change ...func(*rater.Config)) *process {
	w.Helper()
	return w.startFor(session, change...)
}

// startFor starts a rater whose partitions go to others when nothing is heard of it for so long.
func (w *world) startFor(session time.Duration, change ...func(*rater.Config)) *process {
	w.Helper()
	p := &process{w: w, live: ratertest.NewLive(), wire: &wire{open: map[net.Conn]struct{}{}}, done: make(chan struct{})}
	var err error
	if p.producer, err = kafka.NewProducer(w.config); err != nil {
		w.Fatal(err)
	}
	if p.rated, err = kafka.NewRatedLog(w.config); err != nil {
		w.Fatal(err)
	}
	definitions, err := ratertest.NewDefinitions()
	if err != nil {
		w.Fatal(err)
	}
	p.gate = &gate{to: p.producer}
	intervals := rater.DefaultIntervals()
	intervals.Skip, intervals.Reopen, intervals.Checkpoint, intervals.Drain = 200*time.Millisecond, 200*time.Millisecond, 100*time.Millisecond, patience/2
	config := rater.Config{
		Stores: rater.Stores{Store: w.store, Definitions: definitions, Rated: p.rated}, Live: p.live, Producer: p.gate, Poison: w.store,
		Limits: rater.DefaultLimits(), Intervals: intervals, Metrics: rater.NewMetrics(prometheus.NewRegistry()), Log: w.config.Log,
		Random: func() (id [16]byte) { _, _ = rand.Read(id[:]); return id },
	}
	for _, c := range change {
		c(&config)
	}
	p.Worker = rater.NewWorker(config)
	over := w.config
	over.SessionTimeout = session
	over.Options = append(over.Options, kgo.Dialer(p.wire.dial), kgo.HeartbeatInterval(heartbeat))
	if p.consumer, err = kafka.NewConsumer(over, p.Worker); err != nil {
		w.Fatal(err)
	}
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(context.Background())
	go func() { defer close(p.done); p.consumer.Run(ctx) }()
	w.Cleanup(p.stop)
	return p
}

// stop ends the process gracefully.
func (p *process) stop() {
	p.once.Do(func() {
		p.cancel()
		<-p.done
		p.Close()
		p.rated.Close()
		p.producer.Close()
	})
}

// owned is how many partitions the process rates.
func (p *process) owned() int { return len(p.Status()) }

func (p *process) stopped(partition int32) string {
	for _, s := range p.Status() {
		if s.Partition == partition {
			return s.Stopped
		}
	}
	return ""
}

// gate holds back what a process produces.
type gate struct {
	to   *kafka.Producer
	mu   sync.Mutex
	shut bool
	held []func()
}

// Produce implements rater.Producer.
func (g *gate) Produce(partition int32, value []byte, done func(int64, error)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		g.held = append(g.held, func() { g.to.Produce(partition, value, done) })
		return
	}
	g.to.Produce(partition, value, done)
}

func (g *gate) set(shut bool) (held int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	held = len(g.held)
	if !shut {
		for _, do := range g.held {
			do()
		}
		g.held = nil
	}
	return held
}

// wire is the network of a process's consumer, which can be cut.
type wire struct {
	mu   sync.Mutex
	gone bool
	open map[net.Conn]struct{}
}

func (x *wire) dial(ctx context.Context, network, host string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, host)
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.gone {
		_ = c.Close()
		return nil, errors.New("the wire is cut")
	}
	x.open[c] = struct{}{}
	return c, nil
}

func (x *wire) cut(gone bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.gone = gone
	for c := range x.open {
		_ = c.Close()
	}
	clear(x.open)
}

// await polls until the condition holds.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(patience); !ok(); <-ticker.C {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// checkpointed says that the partitions' checkpoints have reached the ends of their logs.
func (w *world) checkpointed(partitions ...int32) func() bool {
	if len(partitions) == 0 {
		for p := range w.partitions {
			partitions = append(partitions, p)
		}
	}
	return func() bool {
		for _, p := range partitions {
			w.mu.Lock()
			want := w.records[p]
			w.mu.Unlock()
			if _, _, next, err := w.store.Position(w.Context(), p); err != nil || next != want {
				return false
			}
		}
		return true
	}
}

// verify compares what was rated of a partition with what was sent, to the digit. No rater may run any more. It returns how
// many records stand in `rated` beside those that readers take.
func (w *world) verify(partition int32, rejected int64, rejectedUnits int64) (repeated int) {
	w.Helper()
	want := w.money(w.units[partition] - rejectedUnits)
	log, err := kafka.NewRatedLog(w.config)
	if err != nil {
		w.Fatal(err)
	}
	defer log.Close()
	var charges, amounts money.Decimal
	follow, seen := activity.FollowFrom(-1), map[string]bool{}
	if _, err := log.Walk(w.Context(), partition, 0, -1, func(r *kgo.Record) error {
		var rec activity.Record
		if activity.Decode(r.Value, &rec) != nil || !follow.Take(&rec) {
			repeated++
			return nil
		}
		for _, a := range rec.Activities {
			charges = w.plus(charges, a.Charge)
			if seen[a.EventID] {
				w.Errorf("partition %d: event %s is charged twice", partition, a.EventID)
			}
			seen[a.EventID] = true
		}
		return nil
	}); err != nil {
		w.Fatal(err)
	}
	owner := rater.Owner{1}
	c, err := w.store.Acquire(w.Context(), partition, owner)
	if err != nil {
		w.Fatal(err)
	}
	fence := rater.Fence{Partition: partition, Epoch: c.Epoch, Owner: owner, Next: c.Next, InFlight: -1}
	lines, _, more, err := w.store.OpenLines(w.Context(), fence, math.MinInt64, activity.ID{}, 1000)
	if err != nil || more {
		w.Fatal(err, more)
	}
	for i := range lines {
		amounts = w.plus(amounts, lines[i].Amount)
	}
	var counts rater.Counts
	for _, k := range c.Counts {
		counts.Accepted, counts.Rated, counts.Rejected = counts.Accepted+k.Accepted, counts.Rated+k.Rated, counts.Rejected+k.Rejected
		counts.Duplicates, counts.Charged = counts.Duplicates+k.Duplicates, w.plus(counts.Charged, k.Charged)
	}
	n := w.records[partition]
	wantCounts := rater.Counts{Accepted: 2 * n, Rated: 2*n - rejected, Rejected: rejected, Charged: want}
	if charges != want || amounts != want || counts != wantCounts || follow.Last() != n-1 || c.Next != n {
		w.Errorf("partition %d: activities of %s up to offset %d, lines of %s up to %d, counts %+v; want %s, %d and %+v",
			partition, charges, follow.Last(), amounts, c.Next, counts, want, n, wantCounts)
	}
	return repeated
}

func (w *world) money(units int64) money.Decimal {
	w.Helper()
	d, err := money.FromInt(units).Mul(money.MustParse(ratertest.UnitPrice))
	if err != nil {
		w.Fatal(err)
	}
	return d
}

func (w *world) plus(a, b money.Decimal) money.Decimal {
	w.Helper()
	sum, err := a.Add(b)
	if err != nil {
		w.Fatal(err)
	}
	return sum
}
