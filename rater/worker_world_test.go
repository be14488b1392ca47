package rater_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/ratertest"
)

// The worker's tests run in bubbles of testing/synctest: its real goroutines, between a broker in memory and the stores of
// ratertest, under a clock that moves when nobody has anything to do. A goroutine that is left behind fails the test.

// broker holds both topics; its lock also covers what the processes read.
type broker struct {
	mu    sync.Mutex
	cond  *sync.Cond
	usage [][]rater.Input
	rated [][][]byte
	units []int64 // sent to each partition
	next  int

	accounts int // of each partition
}

func newBroker(partitions int) *broker {
	b := &broker{usage: make([][]rater.Input, partitions), rated: make([][][]byte, partitions), units: make([]int64, partitions), accounts: 3}
	b.cond = sync.NewCond(&b.mu)
	return b
}

// send appends records of two events each.
func (b *broker) send(partition int32, records int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range records {
		record := usage.Record{Kind: usage.KindBatch}
		for range 2 {
			b.next++
			units := int64(1 + b.next%7)
			account := fmt.Sprintf("p%d-%d", partition, b.next%b.accounts)
			record.Events = append(record.Events, usage.Event{
				ID: fmt.Sprint("e", b.next), Source: "test", Account: account, RoutingKey: account, Product: ratertest.Product,
				Time: time.Now().UnixNano(), Quantity: money.FromInt(units), Hash: uint64(b.next),
			})
			b.units[partition] += units
		}
		b.usage[partition] = append(b.usage[partition], rater.Input{
			Offset: int64(len(b.usage[partition])), LeaderEpoch: -1, Time: time.Now().UnixNano(), Value: usage.AppendRecord(nil, &record),
		})
	}
	b.cond.Broadcast()
}

// Read implements rater.RatedLog.
func (b *broker) Read(ctx context.Context, partition int32, from, to int64) (out []rater.RatedEntry, end int64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	end = int64(len(b.rated[partition]))
	if to >= 0 {
		end = min(end, to)
	}
	for at := from; at < end; at++ {
		value := b.rated[partition][at]
		h, err := activity.DecodeHeader(value)
		if err != nil {
			return nil, 0, err
		}
		out = append(out, rater.RatedEntry{At: at, Offset: h.Offset, Previous: h.Previous, Sum: rater.SumOf(value)})
	}
	return out, end, ctx.Err()
}

// process is one rater: a worker, and the group and the producer that it uses.
type process struct {
	*rater.Worker
	b      *broker
	metric *prometheus.Registry
	wait   sync.WaitGroup

	// under broker.mu
	reading   map[int32]int64 // where the delivery stands
	paused    map[int32]bool
	pauses    int
	starts    map[int32][]int64 // from where each partition was read
	committed map[int32]int64
	produced  []production
	held      bool // what is produced waits
	failing   int  // productions that fail yet
	closed    bool
}

type production struct {
	partition int32
	value     []byte
	done      func(int64, error)
}

type settings struct {
	store  *ratertest.Store
	live   *ratertest.Live
	limits rater.Limits
	faults rater.Faults
}

func newSettings() settings {
	return settings{store: ratertest.NewStore(), live: ratertest.NewLive(), limits: rater.DefaultLimits()}
}

func newProcess(t *testing.T, b *broker, s settings) *process {
	t.Helper()
	definitions, err := ratertest.NewDefinitions()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{
		b: b, reading: map[int32]int64{}, paused: map[int32]bool{}, starts: map[int32][]int64{}, committed: map[int32]int64{},
		metric: prometheus.NewRegistry(),
	}
	p.Worker = rater.NewWorker(rater.Config{
		Stores: rater.Stores{Store: s.store, Definitions: definitions, Rated: b}, Live: s.live, Producer: p, Poison: s.store,
		Limits: s.limits, Intervals: rater.DefaultIntervals(), Random: random, Metrics: rater.NewMetrics(p.metric),
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Faults: s.faults,
	})
	p.Use(p)
	p.wait.Go(p.deliver)
	p.wait.Go(p.land)
	return p
}

func random() (id [16]byte) {
	_, _ = rand.Read(id[:])
	return id
}

// end closes the worker and what is around it.
func (p *process) end() {
	p.Close()
	p.b.mu.Lock()
	p.closed = true
	p.b.cond.Broadcast()
	p.b.mu.Unlock()
	p.wait.Wait()
}

func (p *process) change(do func()) {
	p.b.mu.Lock()
	defer p.b.mu.Unlock()
	do()
	p.b.cond.Broadcast()
}

// await runs do under the lock as often as something changes, until it is satisfied or the process ends.
func (p *process) await(do func() bool) bool {
	p.b.mu.Lock()
	defer p.b.mu.Unlock()
	for !p.closed && !do() {
		p.b.cond.Wait()
	}
	return !p.closed
}

// deliver hands out what is read, some records of one partition at a time.
func (p *process) deliver() {
	const most = 7
	var partition int32
	var in []rater.Input
	var end int64
	for p.await(func() bool {
		for q, from := range p.reading {
			log := p.b.usage[q]
			if !p.paused[q] && from < int64(len(log)) {
				partition, in, end = q, log[from:min(from+most, int64(len(log)))], int64(len(log))
				p.reading[q] += int64(len(in))
				return true
			}
		}
		return false
	}) {
		p.Deliver(partition, in, end)
	}
}

// land lets what was produced reach the broker.
func (p *process) land() {
	var x production
	var at int64
	var err error
	for p.await(func() bool {
		if p.held || len(p.produced) == 0 {
			return false
		}
		x, at, err = p.produced[0], -1, nil
		p.produced = p.produced[1:]
		if p.failing > 0 {
			p.failing--
			err = errors.New("produce failed")
			return true
		}
		at = int64(len(p.b.rated[x.partition]))
		p.b.rated[x.partition] = append(p.b.rated[x.partition], x.value)
		return true
	}) {
		x.done(at, err)
	}
}

// Produce implements rater.Producer.
func (p *process) Produce(partition int32, value []byte, done func(int64, error)) {
	p.change(func() { p.produced = append(p.produced, production{partition, value, done}) })
}

// End implements rater.Group, as do the following.
func (p *process) End(ctx context.Context, partition int32) (int64, error) {
	p.b.mu.Lock()
	defer p.b.mu.Unlock()
	return int64(len(p.b.usage[partition])), ctx.Err()
}

func (p *process) Read(partition int32, offset int64, _ int32) {
	p.change(func() {
		p.reading[partition] = offset
		p.starts[partition] = append(p.starts[partition], offset)
		delete(p.paused, partition)
	})
}
func (p *process) Stop(partition int32) { p.change(func() { delete(p.reading, partition) }) }
func (p *process) Pause(partition int32) {
	p.change(func() { p.paused[partition] = true; p.pauses++ })
}
func (p *process) Resume(partition int32) { p.change(func() { delete(p.paused, partition) }) }
func (p *process) Committed(partition int32, offset int64) {
	p.change(func() { p.committed[partition] = offset })
}

// within lets the clock run until the condition holds.
func within(t *testing.T, what string, most time.Duration, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(most); ; pass(20 * time.Millisecond) {
		synctest.Wait()
		if ok() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, most)
		}
	}
}

// rated says that a partition's checkpoint has reached the end of its log.
func (b *broker) ratedAll(s *ratertest.Store, partitions ...int32) func() bool {
	return func() bool {
		for _, p := range partitions {
			b.mu.Lock()
			end := int64(len(b.usage[p]))
			b.mu.Unlock()
			if s.Checkpoint(p).Next != end {
				return false
			}
		}
		return true
	}
}

// verify compares what was rated of a partition with what was sent: to the digit, nothing twice. It returns how many
// records stand in `rated` beside those that readers take.
func (b *broker) verify(t *testing.T, s *ratertest.Store, partition int32, skippedUnits, skippedEvents int64) (repeated int) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	want, err := money.FromInt(b.units[partition] - skippedUnits).Mul(money.MustParse(ratertest.UnitPrice))
	if err != nil {
		t.Fatal(err)
	}
	var charges, amounts money.Decimal
	follow, seen := activity.FollowFrom(-1), map[string]bool{}
	for _, value := range b.rated[partition] {
		var rec activity.Record
		if err := activity.Decode(value, &rec); err != nil {
			t.Fatal(err)
		}
		if !follow.Take(&rec) {
			repeated++
			continue
		}
		for _, a := range rec.Activities {
			charges = plus(t, charges, a.Charge)
			if seen[a.EventID] {
				t.Errorf("partition %d: event %s is charged twice", partition, a.EventID)
			}
			seen[a.EventID] = true
		}
	}
	records := int64(len(b.usage[partition]))
	if follow.Last() != records-1 {
		t.Errorf("partition %d: rated ends with the result of offset %d, usage with %d", partition, follow.Last(), records-1)
	}
	lines, _ := s.All(partition)
	for i := range lines {
		amounts = plus(t, amounts, lines[i].Amount)
	}
	var counts rater.Counts
	for _, c := range s.Checkpoint(partition).Counts {
		counts.Accepted, counts.Rated = counts.Accepted+c.Accepted, counts.Rated+c.Rated
		counts.Rejected, counts.Duplicates = counts.Rejected+c.Rejected, counts.Duplicates+c.Duplicates
		counts.Charged = plus(t, counts.Charged, c.Charged)
	}
	wantCounts := rater.Counts{Accepted: 2 * records, Rated: 2*records - skippedEvents, Rejected: skippedEvents, Charged: want}
	if charges != want || amounts != want || counts != wantCounts {
		t.Errorf("partition %d: activities of %s, lines of %s, counts %+v, want %s and %+v", partition, charges, amounts, counts, want, wantCounts)
	}
	if next := s.Checkpoint(partition).Next; next != records {
		t.Errorf("partition %d: the checkpoint is at %d of %d", partition, next, records)
	}
	return repeated
}

func plus(t *testing.T, a, b money.Decimal) money.Decimal {
	t.Helper()
	sum, err := a.Add(b)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// pass lets the bubble's clock go on.
func pass(d time.Duration) { <-time.After(d) }
