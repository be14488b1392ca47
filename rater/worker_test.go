package rater_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/ratertest"
)

func TestWorkerRatesItsPartitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBroker(5), newSettings()
		p := newProcess(t, b, s)
		defer p.end()
		for q := range int32(4) {
			b.send(q, 100)
			p.Assign(q)
		}
		within(t, "rated", time.Minute, b.ratedAll(s.store, 0, 1, 2, 3))
		within(t, "shown and caught up", time.Minute, func() bool {
			for q := range int32(4) {
				want, err := money.FromInt(b.units[q]).Mul(money.MustParse(ratertest.UnitPrice))
				if got, ok := s.live.Total(q); err != nil || !ok || got != want || !s.live.CaughtUp(q) {
					return false
				}
			}
			return true
		})
		for q := range int32(4) {
			if n := b.verify(t, s.store, q, 0, 0); n != 0 || p.committed[q] != 100 {
				t.Errorf("partition %d: %d records repeated, the group's offset is %d", q, n, p.committed[q])
			}
		}
		if n := len(p.Status()); n != 4 || len(b.rated[4]) != 0 {
			t.Errorf("%d partitions in the status, %d rated records of one that is another's", n, len(b.rated[4]))
		}
	})
}

func TestWorkerIsNotCaughtUpBeforeItKnowsTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBroker(1), newSettings()
		b.send(0, 50)
		p := newProcess(t, b, s)
		defer p.end()
		p.change(func() { p.failing = -1 })
		s.store.Hook(func(_ context.Context, o ratertest.Operation, _ int32) error {
			if o == ratertest.Lines {
				return ratertest.ErrAway
			}
			return nil
		})
		p.Assign(0)
		within(t, "the view is written", time.Minute, func() bool { return s.live.Calls() > 3 })
		if s.live.CaughtUp(0) {
			t.Error("the view claims that everything is rated")
		}
	})
}

// A graceful stop checkpoints at the last rated offset: the next owner starts exactly there.
func TestWorkerHandsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBroker(2), newSettings()
		one, other := newProcess(t, b, s), newProcess(t, b, s)
		defer other.end()
		defer one.end()
		one.Assign(0)
		one.Assign(1)
		b.send(0, 500)
		b.send(1, 10)
		within(t, "some are rated", time.Minute, func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.rated[0]) > 20 })
		b.send(0, 300)
		one.Revoke([]int32{0})
		position := s.store.Checkpoint(0).Next
		b.mu.Lock()
		rated := int64(len(b.rated[0]))
		b.mu.Unlock()
		if position != rated {
			t.Errorf("the checkpoint is at %d, %d records are rated", position, rated)
		}
		other.Assign(0)
		within(t, "rated", time.Minute, b.ratedAll(s.store, 0, 1))
		if !slices.Equal(other.starts[0], []int64{position}) {
			t.Errorf("the next owner starts at %v, want %d", other.starts[0], position)
		}
		for q := range int32(2) {
			if n := b.verify(t, s.store, q, 0, 0); n != 0 {
				t.Errorf("partition %d: %d records were rated again", q, n)
			}
		}
	})
}

// A zombie that the group has given up goes on rating and producing; its results are identical and its commits are refused.
func TestWorkerSurvivesItsZombie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBroker(1), newSettings()
		zombie, owner := newProcess(t, b, s), newProcess(t, b, s)
		defer owner.end()
		defer zombie.end()
		zombie.Assign(0)
		b.send(0, 30)
		within(t, "rated", time.Minute, b.ratedAll(s.store, 0))
		zombie.change(func() { zombie.held = true })
		b.send(0, 40)
		within(t, "the zombie has rated on", time.Minute, func() bool { return zombie.Status()[0].Position == 70 })
		owner.Assign(0)
		b.send(0, 30)
		within(t, "the owner reads", time.Minute, func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(owner.starts[0]) > 0 })
		zombie.change(func() { zombie.held = false }) // its late produces arrive between the owner's
		b.send(0, 30)
		within(t, "rated", time.Minute, func() bool {
			zombie.Lost([]int32{0}) // the group tells it in the end; until then the two may take it from one another
			return b.ratedAll(s.store, 0)()
		})
		if n := b.verify(t, s.store, 0, 0, 0); n == 0 {
			t.Error("the zombie produced nothing late: nothing was tested")
		}
	})
}

// What fails at an offset three times stops its partition alone, until an operator's skip.
func TestWorkerStopsAtPoison(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBroker(2), newSettings()
		s.faults.PanicAt = func(offset int64, index int) bool { return offset == 5 && index == 1 }
		p := newProcess(t, b, s)
		defer p.end()
		p.Assign(0)
		b.send(0, 20)
		status := func() rater.Status { return p.Status()[0] }
		within(t, "stopped", time.Minute, func() bool { return len(p.Status()) == 1 && status().Stopped != "" })
		if x := status(); s.store.Failures(0, 5) != 3 || x.Position != 5 || !strings.Contains(x.Stopped, "rejected skip --partition 0 --offset 5 --index 1`") {
			t.Errorf("%d failures, status %+v", s.store.Failures(0, 5), x)
		}
		s.faults.PanicAt = nil
		p.Assign(1) // the others go on; offset 5 of this one fails as well
		b.send(1, 5)
		within(t, "the other partition is rated", time.Minute, b.ratedAll(s.store, 1))
		if err := s.store.Skip(t.Context(), 0, 5, 1); err != nil {
			t.Fatal(err)
		}
		within(t, "it goes on by itself", time.Minute, b.ratedAll(s.store, 0))
		_, rejected := s.store.All(0)
		if len(rejected) != 1 || rejected[0].Reason != rater.ReasonSkipped || rejected[0].Offset != 5 || rejected[0].Index != 1 {
			t.Fatalf("rejected %+v", rejected)
		}
		units, err := rejected[0].Event.Quantity.Mul(money.FromInt(1))
		if err != nil {
			t.Fatal(err)
		}
		skipped := int64(0)
		for money.FromInt(skipped) != units {
			skipped++
		}
		b.verify(t, s.store, 0, skipped, 1)
		b.verify(t, s.store, 1, 0, 0)
		if s := status().Stopped; s != "" {
			t.Errorf("still stopped: %s", s)
		}
		within(t, "the failures are forgotten", time.Minute, func() bool { return s.store.Failures(0, 5) == 0 })
	})
}

func TestWorkerForgetsAStopWithItsPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBroker(1), newSettings()
		p := newProcess(t, b, s)
		defer p.end()
		p.Assign(0)
		b.send(0, 5)
		within(t, "rated", time.Minute, b.ratedAll(s.store, 0))
		p.Broken(0, rater.ErrLost)
		p.Broken(0, rater.ErrLost)
		b.send(0, 5)
		pass(time.Minute)
		if x := p.Status()[0]; x.Stopped == "" || s.store.Checkpoint(0).Next != 5 {
			t.Errorf("status %+v, checkpoint %d", x, s.store.Checkpoint(0).Next)
		}
		p.Lost([]int32{0})
		if n := len(p.Status()); n != 0 {
			t.Errorf("%d partitions in the status of a process that has none", n)
		}
		p.Assign(0)
		within(t, "rated", time.Minute, b.ratedAll(s.store, 0))
		b.verify(t, s.store, 0, 0, 0)
	})
}

// Another version of the rater finds its results different and stops before it writes anything.
func TestWorkerStopsBeforeItContradicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBroker(1), newSettings()
		old := newProcess(t, b, s)
		defer old.end()
		old.Assign(0)
		b.send(0, 10)
		within(t, "rated", time.Minute, b.ratedAll(s.store, 0))
		s.store.Hook(func(_ context.Context, o ratertest.Operation, _ int32) error {
			if o == ratertest.Commit {
				return ratertest.ErrAway
			}
			return nil
		})
		b.send(0, 10)
		within(t, "produced", time.Minute, func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.rated[0]) == 20 })
		old.Lost([]int32{0})
		s.store.Hook(nil)
		s.faults.OtherVersion = true
		other := newProcess(t, b, s)
		defer other.end()
		other.Assign(0)
		within(t, "stopped", time.Minute, func() bool { return len(other.Status()) == 1 && other.Status()[0].Stopped != "" })
		if n := len(b.rated[0]); n != 20 || s.store.Checkpoint(0).Next != 10 {
			t.Errorf("%d rated records, checkpoint %d: it wrote on", n, s.store.Checkpoint(0).Next)
		}
		other.Lost([]int32{0})
		old.Assign(0)
		within(t, "rated", time.Minute, b.ratedAll(s.store, 0))
		b.verify(t, s.store, 0, 0, 0)
	})
}

func TestWorkerStopsAtAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBroker(1), newSettings()
		p := newProcess(t, b, s)
		defer p.end()
		b.send(0, 10)
		b.usage[0] = slices.Delete(b.usage[0], 4, 5)
		p.Assign(0)
		within(t, "stopped", time.Minute, func() bool { return len(p.Status()) == 1 && p.Status()[0].Stopped != "" })
		if next := s.store.Checkpoint(0).Next; next > 4 || !strings.Contains(p.Status()[0].Stopped, "from offset 4 to 5") {
			t.Errorf("checkpoint %d, status %+v", next, p.Status()[0])
		}
	})
}

// While a store is away rating waits; then it goes on where it was.
func TestWorkerWaitsForStores(t *testing.T) {
	for _, away := range []ratertest.Operation{
		ratertest.Acquire, ratertest.Lines, ratertest.Seals, ratertest.Commit, ratertest.Position, ratertest.Look, ratertest.OpenLines, ratertest.Compact,
	} {
		for _, how := range []string{"at once", "never"} {
			t.Run(string(away)+" answers "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b, s := newBroker(2), newSettings()
					p := newProcess(t, b, s)
					defer p.end()
					var asked atomic.Int64
					s.store.Hook(func(ctx context.Context, o ratertest.Operation, _ int32) error {
						switch {
						case away == ratertest.Position && o == ratertest.Commit: // so that the row is asked for
						case o != away:
							return nil
						}
						asked.Add(1)
						if how == "never" {
							<-ctx.Done()
						}
						return ratertest.ErrAway
					})
					for q := range int32(2) {
						p.Assign(q)
						b.send(q, 20)
					}
					pass(3 * time.Minute)
					if n := asked.Load(); n == 0 || n > 4000 {
						t.Errorf("the store was asked %d times within three minutes", n)
					}
					s.store.Hook(nil)
					for q := range int32(2) {
						b.send(q, 20)
					}
					within(t, "rated", 10*time.Minute, b.ratedAll(s.store, 0, 1))
					b.verify(t, s.store, 0, 0, 0)
					b.verify(t, s.store, 1, 0, 0)
				})
			})
		}
	}
}

// A store that is slow but answers holds nobody up: what was rated meanwhile is shown and saved.
func TestWorkerSavesBesideSlowReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBroker(1), newSettings()
		b.accounts = 600 // each record reads lines of its own
		p := newProcess(t, b, s)
		defer p.end()
		s.store.Hook(func(_ context.Context, o ratertest.Operation, _ int32) error {
			if o == ratertest.Lines {
				pass(200 * time.Millisecond)
			}
			return nil
		})
		b.send(0, 300)
		p.Assign(0)
		pass(10 * time.Second)
		if n := len(s.store.Commits(0)); n < 2 {
			t.Errorf("%d checkpoints in the first ten seconds", n)
		}
		within(t, "rated", 10*time.Minute, b.ratedAll(s.store, 0))
		b.verify(t, s.store, 0, 0, 0)
	})
}

// Commits whose outcome nobody was told, either way, in turn.
func TestWorkerFindsWhatBecameOfACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBroker(1), newSettings()
		p := newProcess(t, b, s)
		defer p.end()
		var calls atomic.Int64
		s.store.Hook(func(_ context.Context, o ratertest.Operation, _ int32) error {
			switch n := calls.Add(1); {
			case o == ratertest.Commit && n%3 == 0:
				return ratertest.ErrAnswerLost
			case o == ratertest.Commit && n%3 == 1, o == ratertest.Position && n%5 == 0:
				return ratertest.ErrAway
			}
			return nil
		})
		p.Assign(0)
		for range 40 {
			b.send(0, 5)
			pass(200 * time.Millisecond)
		}
		within(t, "rated", 2*time.Minute, b.ratedAll(s.store, 0))
		if n := b.verify(t, s.store, 0, 0, 0); n != 0 {
			t.Errorf("%d records were rated again", n)
		}
		if c := s.store.Commits(0); !slices.IsSorted(c) || len(slices.Compact(c)) != len(s.store.Commits(0)) {
			t.Errorf("commits %v", c)
		}
	})
}

// With small bounds the delivery is paused and resumed, and what waits stays bounded.
func TestWorkerHoldsBackTheDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBroker(1), newSettings()
		s.limits.Unacked, s.limits.Families = 3, 1
		p := newProcess(t, b, s)
		defer p.end()
		p.change(func() { p.held = true })
		b.send(0, 12000)
		p.Assign(0)
		within(t, "paused", time.Minute, func() bool { p.b.mu.Lock(); defer p.b.mu.Unlock(); return p.paused[0] })
		if x := p.Status()[0]; x.Position > 4 || p.reading[0] > 4200 {
			t.Errorf("%d rated with 3 unacknowledged allowed, %d delivered with 4096 allowed", x.Position, p.reading[0])
		}
		p.change(func() { p.held = false })
		within(t, "rated", time.Hour, b.ratedAll(s.store, 0))
		if p.pauses < 2 {
			t.Errorf("the delivery was paused %d times", p.pauses)
		}
		b.verify(t, s.store, 0, 0, 0)
	})
}

func TestWorkerHoldsLittleUnsaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBroker(1), newSettings()
		s.limits.Dirty, s.limits.Families = 2, 1
		p := newProcess(t, b, s)
		defer p.end()
		p.Assign(0)
		b.send(0, 100)
		within(t, "rated", time.Hour, b.ratedAll(s.store, 0))
		last := int64(0)
		for _, next := range s.store.Commits(0) { // a record changes two lines
			if next-last > 2 {
				t.Errorf("%d records were rated from checkpoint %d on without another", next-last, last)
			}
			last = next
		}
		b.verify(t, s.store, 0, 0, 0)
	})
}

// A produce that fails leaves later records behind: the partition is forgotten and opened again.
func TestWorkerForgetsAFailedProduce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBroker(1), newSettings()
		p := newProcess(t, b, s)
		defer p.end()
		p.Assign(0)
		for range 5 {
			p.change(func() { p.held = true })
			b.send(0, 20)
			pass(5 * time.Second)
			p.change(func() { p.held, p.failing = false, 1 })
			pass(5 * time.Second)
		}
		within(t, "rated", time.Minute, b.ratedAll(s.store, 0))
		if n := b.verify(t, s.store, 0, 0, 0); n == 0 || len(p.starts[0]) != 6 {
			t.Errorf("%d records left behind, opened %d times", n, len(p.starts[0]))
		}
	})
}

// Nothing that hangs keeps a partition longer than it may.
func TestWorkerLetsGo(t *testing.T) {
	hang := func(s settings, of ratertest.Operation) {
		s.store.Hook(func(ctx context.Context, o ratertest.Operation, _ int32) error {
			if o == of {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		})
	}
	const many = 100
	tests := []struct {
		name string
		of   ratertest.Operation
		end  func(*process, []int32)
		most time.Duration
	}{
		{"lost while opening", ratertest.Acquire, func(p *process, q []int32) { p.Lost(q) }, 0},
		{"revoked while opening", ratertest.Acquire, func(p *process, q []int32) { p.Revoke(q) }, 0},
		{"lost while reading lines", ratertest.Lines, func(p *process, q []int32) { p.Lost(q) }, 0},
		{"revoked while reading lines", ratertest.Lines, func(p *process, q []int32) { p.Revoke(q) }, 0},
		{"lost while committing", ratertest.Commit, func(p *process, q []int32) { p.Lost(q) }, 0},
		{"revoked while committing", ratertest.Commit, func(p *process, q []int32) { p.Revoke(q) }, 21 * time.Second},
		{"closed while committing", ratertest.Commit, func(p *process, _ []int32) { p.Close() }, 0},
		{"closed while showing", ratertest.OpenLines, func(p *process, _ []int32) { p.Close() }, 0},
		{"closed while opening", ratertest.Acquire, func(p *process, _ []int32) { p.Close() }, 0},
	}
	for _, x := range tests {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, s := newBroker(many), newSettings()
				p := newProcess(t, b, s)
				defer p.end()
				hang(s, x.of)
				all := make([]int32, many)
				for q := range int32(many) {
					all[q] = q
					b.send(q, 3)
					p.Assign(q)
				}
				pass(5 * time.Second)
				began := time.Now()
				x.end(p, all)
				if took := time.Since(began); took > x.most {
					t.Errorf("it took %v", took)
				}
				if len(p.reading) != 0 {
					t.Errorf("%d partitions are still read", len(p.reading))
				}
			})
		})
	}
}

// A partition that is taken away while it is opened, and given again at once, has one rater.
func TestWorkerIsGivenWhatWasJustTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBroker(1), newSettings()
		p := newProcess(t, b, s)
		defer p.end()
		var slow atomic.Bool
		s.store.Hook(func(_ context.Context, o ratertest.Operation, _ int32) error {
			if o == ratertest.Acquire && slow.Load() {
				pass(3 * time.Second) // the answer comes, nobody waits for it any more
			}
			return nil
		})
		b.send(0, 10)
		for range 5 {
			slow.Store(true)
			p.Assign(0)
			pass(time.Second)
			slow.Store(false)
			p.Revoke([]int32{0})
			p.Assign(0)
			b.send(0, 10)
			within(t, "rated", time.Minute, b.ratedAll(s.store, 0))
			pass(10 * time.Second)
			if n := len(p.reading); n != 1 {
				t.Fatalf("%d partitions are read", n)
			}
			p.Lost([]int32{0})
		}
		b.verify(t, s.store, 0, 0, 0)
	})
}

// A forgotten partition that is taken away while it waits to be opened again stays away.
func TestWorkerLeavesWhatIsNoLongerItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBroker(1), newSettings()
		one, other := newProcess(t, b, s), newProcess(t, b, s)
		defer other.end()
		defer one.end()
		s.store.Hook(func(_ context.Context, o ratertest.Operation, _ int32) error {
			if o == ratertest.Acquire {
				pass(2 * time.Second)
			}
			return nil
		})
		one.Assign(0)
		b.send(0, 10)
		within(t, "rated", time.Minute, b.ratedAll(s.store, 0))
		one.change(func() { one.failing = 1 })
		b.send(0, 1)
		pass(2 * time.Second) // it is being opened again
		one.Lost([]int32{0})
		other.Assign(0)
		b.send(0, 10)
		within(t, "rated", time.Minute, b.ratedAll(s.store, 0))
		epoch := s.store.Checkpoint(0).Epoch
		pass(time.Minute)
		if s.store.Checkpoint(0).Epoch != epoch || len(one.reading) != 0 || len(one.Status()) != 0 {
			t.Errorf("epoch %d then %d, %d read by the process that lost it", epoch, s.store.Checkpoint(0).Epoch, len(one.reading))
		}
		b.verify(t, s.store, 0, 0, 0)
	})
}

// The live view away or emptied: it is not asked in a hot loop, and made whole again.
func TestWorkerRebuildsTheView(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBroker(1), newSettings()
		s.limits.PageLines = 1
		p := newProcess(t, b, s)
		defer p.end()
		p.Assign(0)
		b.send(0, 10)
		whole := func() bool {
			want, err := money.FromInt(b.units[0]).Mul(money.MustParse(ratertest.UnitPrice))
			got, ok := s.live.Total(0)
			return err == nil && ok && got == want
		}
		within(t, "shown", time.Minute, whole)
		s.live.Hook(func() error { return ratertest.ErrAway })
		b.send(0, 10)
		before := s.live.Calls()
		pass(time.Minute)
		if n := s.live.Calls() - before; n < 10 || n > 400 {
			t.Errorf("the view was tried %d times in a minute", n)
		}
		s.live.Hook(nil)
		within(t, "shown again", time.Minute, whole)
		s.live.Flush()
		within(t, "rebuilt", time.Minute, whole)
	})
}
