package pg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
)

const partitions = 5

// broker gathers what is broadcast, as each partition's reader sees it. The hook may fail a send
// before it arrives or, with its second result, after.
type broker struct {
	mu   sync.Mutex
	logs [partitions][]*usage.Definitions
	hook func(partition int32, d *usage.Definitions) (before, after error)
}

func (b *broker) Broadcast(_ context.Context, partition int32, record []byte) error {
	var r usage.Record
	if err := usage.Decode(record, &r); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var before, after error
	if b.hook != nil {
		before, after = b.hook(partition, r.Definitions)
	}
	if before != nil {
		return before
	}
	b.logs[partition] = append(b.logs[partition], r.Definitions)
	return after
}

// activated follows a partition as the rater does: repeats are passed over, an overlapping range
// applies its tail, a gap or another hash fails the test.
func (b *broker) activated(t *testing.T, partition int) (seq int64) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	links := map[int64]uint64{}
	for _, d := range b.logs[partition] {
		if d.From > seq+1 {
			t.Fatalf("partition %d: %d follows %d", partition, d.From, seq)
		}
		if links[d.From-1] != d.PreviousHash {
			t.Fatalf("partition %d: another history before %d", partition, d.From)
		}
		for i, link := range d.Links {
			at := d.From + int64(i)
			if known, ok := links[at]; ok && known != link {
				t.Fatalf("partition %d: another history at %d", partition, at)
			}
			links[at] = link
		}
		seq = max(seq, d.To)
	}
	return seq
}

func startPublisher(t *testing.T, s *Store, b *broker) (*Publisher, context.CancelFunc) {
	t.Helper()
	p, err := NewPublisher(s, b, PublisherConfig{Partitions: partitions, Retry: time.Millisecond, Window: time.Millisecond}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = p.Run(ctx)
	}()
	stop := func() { cancel(); <-done }
	t.Cleanup(stop)
	return p, stop
}

func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestApplyAndPublishReachesEveryPartition(t *testing.T) {
	s, _ := newStore(t)
	b := &broker{}
	p, _ := startPublisher(t, s, b)
	result, err := p.ApplyAndPublish(bounded(t), parse(t, base))
	if err != nil {
		t.Fatal(err)
	}
	if result, err = p.ApplyAndPublish(bounded(t), parse(t, `accounts: [{id: more}]`)); err != nil || result.Seq != 2 {
		t.Fatalf("%d, %v", result.Seq, err)
	}
	for i := range partitions {
		if seq := b.activated(t, i); seq != 2 {
			t.Errorf("partition %d has %d", i, seq)
		}
	}
	last := b.logs[0][len(b.logs[0])-1]
	if len(last.Changed) != 1 || last.Changed[0] != (usage.DefinitionRef{Seq: 2, Kind: "account", ID: "more"}) {
		t.Errorf("changed: %+v", last.Changed)
	}
	for _, ref := range b.logs[0][0].Changed {
		if ref.Kind == "contract" && ref.Account != "acme" {
			t.Errorf("a contract without its account: %+v", ref)
		}
	}
	// A document that changes nothing is published already.
	if result, err = p.ApplyAndPublish(bounded(t), parse(t, base)); err != nil || result.Seq != 2 {
		t.Errorf("%d, %v", result.Seq, err)
	}
}

// TestPublisherCrashBetweenPartitions stops the publisher at every point of a round: some
// partitions have the record, some have it without the publisher knowing, some do not.
func TestPublisherCrashBetweenPartitions(t *testing.T) {
	s, _ := newStore(t)
	b := &broker{}
	apply(t, s, base)
	for stopAfter := range partitions {
		for _, arrives := range []bool{false, true} {
			seq := apply(t, s, fmt.Sprintf("accounts: [{id: more-%d-%v}]", stopAfter, arrives)).Seq
			sends, crashed, crash := 0, make(chan struct{}), errors.New("crash")
			b.setHook(func(int32, *usage.Definitions) (error, error) {
				if sends++; sends <= stopAfter {
					return nil, nil
				}
				if sends == stopAfter+1 {
					close(crashed)
				}
				if arrives {
					return nil, crash
				}
				return crash, nil
			})
			_, stop := startPublisher(t, s, b)
			<-crashed
			stop()
			b.setHook(nil)

			p, stop := startPublisher(t, s, b)
			if err := p.WaitPublished(bounded(t), seq); err != nil {
				t.Fatal(err)
			}
			stop()
			for i := range partitions {
				if got := b.activated(t, i); got != seq {
					t.Errorf("after %d sends (arrives %v): partition %d has %d, want %d", stopAfter, arrives, i, got, seq)
				}
			}
		}
	}
}

func (b *broker) setHook(hook func(int32, *usage.Definitions) (error, error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hook = hook
}

func TestOnePartitionFailsTheOthersGoOn(t *testing.T) {
	s, _ := newStore(t)
	b := &broker{}
	attempts, tried, healed := 0, make(chan struct{}), false
	b.hook = func(partition int32, _ *usage.Definitions) (error, error) {
		if partition != 3 || healed {
			return nil, nil
		}
		if attempts++; attempts == 2 { // so a whole round has passed
			close(tried)
		}
		return errors.New("no leader"), nil
	}
	p, _ := startPublisher(t, s, b)
	apply(t, s, base)
	<-tried
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.WaitPublished(ended, 1); !errors.Is(err, context.Canceled) {
		t.Fatalf("published to a partition that fails: %v", err)
	}
	if b.activated(t, 0) != 1 || b.activated(t, 3) != 0 {
		t.Error("the others did not go on")
	}
	b.mu.Lock()
	healed = true
	b.mu.Unlock()
	if err := p.WaitPublished(bounded(t), 1); err != nil {
		t.Fatal(err)
	}
}

func TestRepublish(t *testing.T) {
	s, _ := newStore(t)
	b := &broker{}
	p, _ := startPublisher(t, s, b)
	apply(t, s, base)
	apply(t, s, `accounts: [{id: more}]`)
	if err := p.WaitPublished(bounded(t), 2); err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	b.logs[2] = b.logs[2][:1] // the broker lost the rest
	if b.logs[2][0].To == 2 { // both documents went in one record
		b.logs[2] = nil
	}
	b.mu.Unlock()
	if err := s.Republish(t.Context(), 2, b.activated(t, 2)); err != nil {
		t.Fatal(err)
	}
	if err := p.WaitPublished(bounded(t), 2); err != nil {
		t.Fatal(err)
	}
	if seq := b.activated(t, 2); seq != 2 {
		t.Errorf("the partition has %d", seq)
	}
	if err := s.Republish(t.Context(), 2, 2); err != nil {
		t.Fatal(err)
	}
}

// TestTwoPublishers lets one process take over from another.
func TestTwoPublishers(t *testing.T) {
	s, _ := newStore(t)
	b := &broker{}
	_, stop := startPublisher(t, s, b)
	second, _ := startPublisher(t, s, b)
	apply(t, s, base)
	if err := second.WaitPublished(bounded(t), 1); err != nil {
		t.Fatal(err)
	}
	stop()
	apply(t, s, `accounts: [{id: more}]`)
	if err := second.WaitPublished(bounded(t), 2); err != nil {
		t.Fatal(err)
	}
	for i := range partitions {
		if seq := b.activated(t, i); seq != 2 {
			t.Errorf("partition %d has %d", i, seq)
		}
	}
}

func TestRangesAreBounded(t *testing.T) {
	s, _ := newStore(t)
	apply(t, s, base)
	for i := range 3 {
		text := "accounts:\n"
		for j := range 2000 {
			text += fmt.Sprintf("  - {id: b-%d-%d}\n", i, j)
		}
		apply(t, s, text)
	}
	d, err := definitionsAfter(t.Context(), s.pool, 0)
	if err != nil || d.To != 3 || d.All || len(d.Changed) != 9+2*2000 {
		t.Fatalf("first: %d to %d, %d names, %v", d.From, d.To, len(d.Changed), err)
	}
	next, err := definitionsAfter(t.Context(), s.pool, 3)
	if err != nil || next.From != 4 || next.To != 4 || next.PreviousHash != d.Hash || len(next.Links) != 1 {
		t.Fatalf("second: %+v, %v", next, err)
	}
}
