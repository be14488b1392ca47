package kafka_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/kafka"
)

func TestRatesItsPartitions(t *testing.T) {
	onBoth(t, 6, func(t *testing.T, w *world) {
		goroutines := runtime.NumGoroutine()
		p := w.start()
		w.sendAll(40)
		await(t, "rated", w.checkpointed())
		await(t, "shown and caught up", func() bool {
			for q := range w.partitions {
				if got, ok := p.live.Total(q); !ok || got != w.money(w.units[q]) || !p.live.CaughtUp(q) {
					return false
				}
			}
			return true
		})
		await(t, "the group's offsets follow", func() bool { return w.grouped(40) })
		w.sendAll(1)
		await(t, "rated", w.checkpointed())
		p.stop()
		if !w.grouped(41) {
			t.Error("the group's offsets stand before the last checkpoints after a graceful stop")
		}
		for q := range w.partitions {
			if n := w.verify(q, 0, 0); n != 0 {
				t.Errorf("partition %d: %d records more in rated than in usage", q, n)
			}
		}
		w.client.CloseAllowingRebalance()
		await(t, "no goroutine is left", func() bool { return w.cluster == nil || runtime.NumGoroutine() <= goroutines })
	})
}

// grouped says whether the group's offset is the given one on every partition.
func (w *world) grouped(want int64) bool {
	offsets, err := w.admin.FetchOffsets(w.Context(), w.config.Group)
	if err != nil {
		return false
	}
	for p := range w.partitions {
		if o, ok := offsets.Lookup(w.config.Usage, p); !ok || o.At != want {
			return false
		}
	}
	return true
}

// Partitions move between two raters under load, each from exactly where it was rated to.
func TestHandsPartitionsOver(t *testing.T) {
	onBoth(t, 6, func(t *testing.T, w *world) {
		one := w.start()
		ctx, cancel := context.WithCancel(t.Context())
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for ctx.Err() == nil {
				w.sendAll(1)
			}
		}()
		await(t, "one rates all", func() bool { return one.owned() == 6 })
		other := w.start()
		await(t, "they share", func() bool { return one.owned() == 3 && other.owned() == 3 })
		one.stop()
		await(t, "the other rates all", func() bool { return other.owned() == 6 })
		cancel()
		<-sent
		await(t, "rated", w.checkpointed())
		other.stop()
		for q := range w.partitions {
			if n := w.verify(q, 0, 0); n != 0 {
				t.Errorf("partition %d: %d records were rated again", q, n)
			}
		}
	})
}

// A rater is cut off from the group but not from the rest: it still produces what it had read, when another has taken over.
func TestSurvivesAZombie(t *testing.T) {
	onBoth(t, 4, func(t *testing.T, w *world) {
		zombie := w.startFor(shortSession)
		w.sendAll(20)
		await(t, "rated", w.checkpointed())
		zombie.gate.set(true)
		w.sendAll(20)
		await(t, "the zombie has rated on", func() bool {
			done := 0
			for _, s := range zombie.Status() {
				if s.Position == 40 {
					done++
				}
			}
			return done == 4
		})
		zombie.wire.cut(true)
		owner := w.startFor(shortSession)
		await(t, "the other takes over", func() bool { return owner.owned() == 4 })
		w.sendAll(10)
		if held := zombie.gate.set(false); held == 0 {
			t.Error("the zombie produced nothing late: nothing was tested")
		}
		w.sendAll(10)
		await(t, "rated", w.checkpointed())
		zombie.wire.cut(false)
		await(t, "they share", func() bool { return owner.owned() == 2 && zombie.owned() == 2 })
		w.sendAll(10)
		await(t, "rated", w.checkpointed())
		zombie.stop()
		owner.stop()
		for q := range w.partitions {
			if n := w.verify(q, 0, 0); n == 0 {
				t.Errorf("partition %d: nothing was rated twice", q)
			}
		}
	})
}

func TestStopsAtPoisonUntilItIsSkipped(t *testing.T) {
	onBoth(t, 3, func(t *testing.T, w *world) {
		p := w.start(func(c *rater.Config) {
			c.Faults.PanicAt = func(offset int64, index int) bool { return offset == 7 && index == 0 }
		})
		w.send(0, 20)
		w.send(1, 5)
		await(t, "stopped", func() bool { return p.stopped(0) != "" })
		w.send(1, 2)
		w.send(2, 5)
		await(t, "the others are rated", w.checkpointed(1, 2))
		if err := w.store.Skip(t.Context(), 0, 7, 0); err != nil {
			t.Fatal(err)
		}
		await(t, "it goes on by itself", w.checkpointed(0))
		if s := p.stopped(0); s != "" {
			t.Errorf("still stopped: %s", s)
		}
		p.stop()
		w.verify(0, 1, 1+15%7) // the 15th event that was sent
		w.verify(1, 0, 0)
		w.verify(2, 0, 0)
	})
}

// What the broker no longer has stops the partition; nothing is skipped.
func TestStopsWhereUsageIsMissing(t *testing.T) {
	onBoth(t, 2, func(t *testing.T, w *world) {
		p := w.start()
		w.sendAll(10)
		await(t, "rated", w.checkpointed())
		p.stop()
		w.sendAll(10)
		w.remove(w.config.Usage, 0, 15)
		p = w.start()
		await(t, "stopped", func() bool { return p.stopped(0) != "" })
		await(t, "the other is rated", w.checkpointed(1))
		w.sendAll(3)
		await(t, "the other is rated", w.checkpointed(1))
		if s := p.stopped(0); !strings.Contains(s, "no longer has the usage") {
			t.Errorf("stopped: %s", s)
		}
		if _, _, next, err := w.store.Position(t.Context(), 0); err != nil || next != 10 {
			t.Errorf("the checkpoint is at %d, %v", next, err)
		}
		ends, err := kafka.Ends(t.Context(), w.config, w.config.Rated)
		if err != nil || ends[0] != 10 {
			t.Errorf("%d rated records, %v", ends[0], err)
		}
		p.stop()
		w.verify(1, 0, 0)
	})
}

func TestStopsWhereRatedIsMissing(t *testing.T) {
	onBoth(t, 1, func(t *testing.T, w *world) {
		p := w.start()
		w.send(0, 10)
		await(t, "rated", w.checkpointed())
		p.stop()
		if err := w.produce(w.config.Rated, 0, []byte("another's")); err != nil {
			t.Fatal(err)
		}
		w.remove(w.config.Rated, 0, 11)
		p = w.start()
		await(t, "stopped", func() bool { return strings.Contains(p.stopped(0), "raise its retention") })
	})
}

// remove truncates a partition's log, as retention does.
func (w *world) remove(topic string, partition int32, before int64) {
	w.Helper()
	offsets := kadm.Offsets{}
	offsets.AddOffset(topic, partition, before, -1)
	answers, err := w.admin.DeleteRecords(w.Context(), offsets)
	if err == nil {
		err = answers.Error()
	}
	if err != nil {
		w.Fatal(err)
	}
}

// Records of `rated` that no rater can have written change nothing.
func TestPassesOverWhatNoRaterWrote(t *testing.T) {
	onBoth(t, 1, func(t *testing.T, w *world) {
		for range 3 {
			p := w.start()
			if err := w.produce(w.config.Rated, 0, []byte("not a rated record")); err != nil {
				t.Fatal(err)
			}
			w.send(0, 10)
			if err := w.produce(w.config.Rated, 0, nil); err != nil {
				t.Fatal(err)
			}
			w.send(0, 10)
			await(t, "rated", w.checkpointed())
			p.stop()
		}
		if n := w.verify(0, 0, 0); n != 6 {
			t.Errorf("%d records beside the rated ones, want 6", n)
		}
	})
}

// Another version's results stand in `rated`: the rater stops before it writes.
func TestStopsBeforeItContradicts(t *testing.T) {
	onBoth(t, 1, func(t *testing.T, w *world) {
		var away atomic.Bool
		p := w.start(func(c *rater.Config) {
			c.Stores.Store = &failing{Store: w.store, commit: func() rater.Outcome {
				if away.Load() {
					return rater.OutcomeUnknown
				}
				return 0
			}}
			c.Intervals.Drain = time.Second
		})
		w.send(0, 10)
		await(t, "rated", w.checkpointed())
		away.Store(true)
		w.send(0, 10)
		ends := func() int64 {
			e, err := kafka.Ends(t.Context(), w.config, w.config.Rated)
			if err != nil {
				t.Fatal(err)
			}
			return e[0]
		}
		await(t, "produced", func() bool { return ends() == 20 })
		p.stop()
		other := w.start(func(c *rater.Config) { c.Faults.OtherVersion = true })
		await(t, "stopped", func() bool { return strings.Contains(other.stopped(0), rater.ErrDiverged.Error()) })
		other.stop()
		if _, _, next, err := w.store.Position(t.Context(), 0); err != nil || next != 10 || ends() != 20 {
			t.Errorf("checkpoint %d, %v, %d rated records", next, err, ends())
		}
		p = w.start()
		await(t, "rated", w.checkpointed())
		p.stop()
		w.verify(0, 0, 0)
	})
}

// failing is a store whose commits fail when they are told to.
type failing struct {
	rater.Store
	commit func() rater.Outcome // 0: commit; unknown: do not, without telling
}

// Commit implements rater.Store.
func (f *failing) Commit(ctx context.Context, cuts []*rater.Cut) ([]rater.Outcome, error) {
	o := f.commit()
	if o == 0 {
		return f.Store.Commit(ctx, cuts)
	}
	out := make([]rater.Outcome, len(cuts))
	for i := range out {
		out[i] = o
	}
	return out, errors.New("the answer is lost")
}

// Failed produces forget the partition, which is opened again and rated exactly; with small bounds the delivery is paused
// and resumed on the way.
func TestForgetsAPartitionWhoseProduceFails(t *testing.T) {
	for _, err := range []*kerr.Error{kerr.MessageTooLarge, kerr.NotEnoughReplicasAfterAppend, kerr.NotLeaderForPartition, kerr.UnknownServerError} {
		t.Run(err.Message, func(t *testing.T) {
			w := onFake(t, 2)
			p := w.start(func(c *rater.Config) { c.Limits.Unacked = 4 })
			w.sendAll(30)
			await(t, "rated", w.checkpointed())
			h := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: w.config.Rated, Err: err, Count: 5})
			defer h.Remove()
			for h.Hits() < 5 {
				w.sendAll(10)
			}
			w.sendAll(100)
			await(t, "rated", w.checkpointed())
			p.stop()
			for q := range w.partitions {
				w.verify(q, 0, 0)
			}
		})
	}
}

func TestGoesOnWhenTheBrokerIsUnwell(t *testing.T) {
	w := onFake(t, 4)
	one, other := w.start(), w.start()
	await(t, "they share", func() bool { return one.owned() == 2 && other.owned() == 2 })
	for range 6 {
		h := w.cluster.Fault(
			kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: w.config.Usage, Err: kerr.NotLeaderForPartition, Count: 2},
			kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Err: kerr.LeaderNotAvailable, Count: 2},
			kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Topic: w.config.Usage, Err: kerr.NotCoordinator, Count: 2},
		)
		failures := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: w.config.Rated, Err: kerr.MessageTooLarge, Count: 1})
		w.cluster.ShufflePartitionLeaders()
		w.sendAll(10)
		await(t, "a produce fails", func() bool { return failures.Hits() > 0 })
		h.Remove()
	}
	await(t, "rated", w.checkpointed())
	one.wire.cut(true) // for a moment: it stays a member
	one.wire.cut(false)
	w.sendAll(10)
	await(t, "rated", w.checkpointed())
	await(t, "they share again", func() bool { return one.owned() == 2 && other.owned() == 2 })
	one.stop()
	other.stop()
	for q := range w.partitions {
		w.verify(q, 0, 0)
	}
}

func TestRatedLogReads(t *testing.T) {
	onBoth(t, 2, func(t *testing.T, w *world) {
		p := w.start()
		w.send(1, 10)
		await(t, "rated", w.checkpointed())
		p.stop()
		log, err := kafka.NewRatedLog(w.config)
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		for _, x := range []struct {
			partition  int32
			from, to   int64
			first, end int64
			n          int
		}{
			{0, 0, -1, 0, 0, 0}, {1, 0, -1, 0, 10, 10}, {1, 4, -1, 4, 10, 6}, {1, 4, 6, 4, 6, 2}, {1, 4, 4, 0, 4, 0}, {1, 8, 100, 8, 10, 2}, {1, 10, -1, 0, 10, 0},
			{1, 12, -1, 0, 10, 0},
		} {
			entries, end, err := log.Read(t.Context(), x.partition, x.from, x.to)
			if err != nil || end != x.end || len(entries) != x.n || x.n > 0 && (entries[0].At != x.first || entries[0].Offset != x.first || entries[0].Previous != x.first-1) {
				t.Errorf("%+v: %v, end %d, %v", x, entries, end, err)
			}
		}
		if _, _, err := log.Read(t.Context(), 7, 0, -1); err == nil {
			t.Error("a partition that does not exist was read")
		}
		w.remove(w.config.Rated, 1, 5)
		if _, _, err := log.Read(t.Context(), 1, 4, -1); !errors.Is(err, rater.ErrLost) {
			t.Errorf("read below the log's start: %v", err)
		}
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := log.Read(canceled, 1, 5, -1); !errors.Is(err, context.Canceled) {
			t.Errorf("read under a context that ended: %v", err)
		}
	})
}
