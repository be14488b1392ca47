package main

import (
	"context"
	_ "embed"
	"encoding/binary"
	"fmt"
	"math"
	mathrand "math/rand/v2"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/dedup"
	rkafka "github.com/tollstream/tollstream/rater/kafka"
	raterpg "github.com/tollstream/tollstream/rater/pg"
)

const (
	// segmentSize is how many identities a checkpoint of a partition has remembered.
	segmentSize = 1000
	// startRounds bounds the rounds, of which each takes seconds.
	startRounds = 3
	// peek is the pause between looks for what has happened.
	peek = 5 * time.Millisecond
)

// started is what one start took, in seconds, and how much memory at most, in bytes.
type started struct{ first, all, live, memory float64 }

// measureStart times a rater process from its start to the first event that it rates: there are many lines, and the duplicates index
// has to remember many identities, none of them compacted, so that all are read and kept in memory.
func measureStart(ctx context.Context, c *corner, s settings, out *report) error {
	s.Accounts = s.StartAccounts
	tm, err := newTeam(ctx, c, s)
	if err != nil {
		return err
	}
	defer func() { out.warn(c.clean()) }()
	defer func() { out.warn(tm.close()) }()
	if err := tm.used(ctx, s); err != nil {
		return fmt.Errorf("give accounts lines: %w", err)
	}
	if err := tm.remember(ctx, s); err != nil {
		return fmt.Errorf("write identities: %w", err)
	}
	var first, all, live, memory []float64
	for round := range min(s.Rounds, startRounds) {
		last := round == min(s.Rounds, startRounds)-1
		m, err := tm.started(ctx, s, last)
		if err != nil {
			return fmt.Errorf("start %d: %w", round, err)
		}
		first, all, memory = append(first, m.first), append(all, m.all), append(memory, m.memory)
		if last {
			live = append(live, m.live)
		}
	}
	name := "start of a rater: "
	out.add(
		measured(name+"first rated event", "s", first).goal("≤ 10").
			note("%d accounts, a line for each, %d identities in segments of %d, %d partitions; from starting the process until `rated` grows", s.Accounts, s.Remembered, segmentSize, s.Partitions),
		measured(name+"every partition has rated and checkpointed", "s", all),
		measured(name+"the live view is whole", "s", live).note("once; it is written anew from PostgreSQL while usage is rated"),
		measured(name+"memory at most", "GiB", memory).goal("≤ 4"),
	)
	return nil
}

// usedShare of the accounts have rated usage; from their lines those of the others are made, with ids of their own.
const usedShare = 100

//go:embed lines.sql
var moreLines string

// used gives the accounts lines.
func (tm *team) used(ctx context.Context, s settings) error {
	ctx, cancel := context.WithTimeout(ctx, 5*roundTimeout)
	defer cancel()
	rated := max(1, s.Accounts/usedShare)
	if err := load(ctx, tm.c.kafka, rkafka.UsageTopic, s.Partitions, tm.stream, rated, s.Batch); err != nil {
		return err
	}
	if err := tm.join(ctx); err != nil {
		return err
	}
	if err := tm.caughtUp(ctx); err != nil {
		return err
	}
	if err := tm.leave(); err != nil {
		return err
	}
	_, err := tm.pool.Exec(ctx, moreLines, s.Accounts/rated-1)
	return err
}

// remember commits identities to every partition without usage: under offsets that no log has, and at the end the one where it
// stands again.
func (tm *team) remember(ctx context.Context, s settings) error {
	store := raterpg.New(tm.pool, window)
	owner := rater.Owner(random())
	cuts := make([]*rater.Cut, s.Partitions)
	at := make([]rater.Checkpoint, s.Partitions)
	for p := range cuts {
		var err error
		if at[p], err = store.Acquire(ctx, int32(p), owner); err != nil {
			return err
		}
		cuts[p] = &rater.Cut{
			Fence: rater.Fence{Partition: int32(p), Epoch: at[p].Epoch, Owner: owner, Next: at[p].Next, InFlight: -1},
			Last:  at[p].Last, LeaderEpoch: at[p].LeaderEpoch, RatedNext: at[p].RatedNext, LogTime: at[p].LogTime,
			ActivatedSeq: at[p].ActivatedSeq, ActivatedSum: at[p].ActivatedSum,
		}
	}
	random := mathrand.New(mathrand.NewPCG(1, 2))
	commit := func() error {
		outcomes, err := store.Commit(ctx, cuts)
		for p, o := range outcomes {
			if err == nil && o != rater.OutcomeCommitted {
				err = fmt.Errorf("partition %d: outcome %d", p, o)
			}
			cuts[p].Fence.Next = cuts[p].Next
		}
		return err
	}
	for done := 0; done < s.Remembered; done += segmentSize * len(cuts) {
		for p, c := range cuts {
			c.Next = int64(done) - math.MaxInt32
			c.Identities = segment(random, at[p].LogTime, min(segmentSize, s.Remembered/len(cuts)), s.Batch)
		}
		if err := commit(); err != nil {
			return err
		}
	}
	for p, c := range cuts {
		c.Next, c.Identities = at[p].Next, nil
	}
	return commit()
}

// segment makes identities that arrived before the log time, as many at a time as a record has events.
func segment(random *mathrand.Rand, logTime int64, n, batch int) []dedup.Entry {
	entries := make([]dedup.Entry, n)
	for i := range entries {
		var id usage.Identity
		binary.BigEndian.PutUint64(id[:8], random.Uint64())
		binary.BigEndian.PutUint64(id[8:], random.Uint64())
		entries[i] = dedup.Entry{ID: id, Hash: random.Uint64(), Arrived: logTime - int64((n-i)/batch)*int64(time.Millisecond)}
	}
	return entries
}

// started starts a rater that finds some usage to rate, and stops it when all of it is done, or the live view is whole.
func (tm *team) started(ctx context.Context, s settings, whole bool) (m started, err error) {
	ctx, cancel := context.WithTimeout(ctx, 4*roundTimeout)
	defer cancel()
	if err := load(ctx, tm.c.kafka, rkafka.UsageTopic, s.Partitions, tm.stream, 10*s.Batch*s.Partitions, s.Batch); err != nil {
		return m, err
	}
	if err := tm.c.flush(ctx); err != nil {
		return m, err
	}
	if err := awaitCalm(ctx, s.Patience); err != nil {
		return m, err
	}
	before, err := tm.written(ctx)
	if err != nil {
		return m, err
	}
	began := time.Now()
	if err := tm.join(ctx); err != nil {
		return m, err
	}
	process := tm.raters[len(tm.raters)-1].process
	err = until(ctx, "the first rated event", func() (bool, error) {
		now, err := tm.written(ctx)
		return now > before, err
	})
	if err != nil {
		return m, err
	}
	m.first = time.Since(began).Seconds()
	if err := tm.caughtUp(ctx); err != nil {
		return m, err
	}
	m.all = time.Since(began).Seconds()
	if whole {
		if err := tm.shownWhole(ctx, s.Partitions); err != nil {
			return m, err
		}
		m.live = time.Since(began).Seconds()
	}
	if err := tm.leave(); err != nil {
		return m, err
	}
	if used, ok := process.ProcessState.SysUsage().(*syscall.Rusage); ok {
		m.memory = float64(used.Maxrss) / (1 << 20) // of KiB
	}
	return m, nil
}

// written is how many records `rated` has.
func (tm *team) written(ctx context.Context) (n int64, err error) {
	ends, err := tm.c.ends(ctx, rkafka.RatedTopic)
	for _, end := range ends {
		n += end
	}
	return n, err
}

// shownWhole returns when readers may trust the live view of every partition.
func (tm *team) shownWhole(ctx context.Context, partitions int) error {
	options, err := redis.ParseURL(tm.c.redis)
	if err != nil {
		return fmt.Errorf("read %s: %w", envRedis, err)
	}
	view := redis.NewClient(options)
	defer func() { _ = view.Close() }()
	return until(ctx, "the live view", func() (bool, error) {
		var heads []string
		for at := view.Scan(ctx, 0, "*head", 10_000).Iterator(); at.Next(ctx); {
			heads = append(heads, at.Val())
		}
		trusted := 0
		for _, head := range heads {
			rebuilding, err := view.HGet(ctx, head, "rebuilding").Result()
			if err != nil {
				return false, err
			}
			if rebuilding == "0" {
				trusted++
			}
		}
		return trusted == partitions, nil
	})
}

// until looks until something has happened.
func until(ctx context.Context, what string, happened func() (bool, error)) error {
	for {
		ok, err := happened()
		if ok || err != nil {
			return err
		}
		select {
		case <-time.After(peek):
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, ctx.Err())
		}
	}
}
