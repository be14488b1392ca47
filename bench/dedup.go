package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/rater/dedup"
)

// remembering is the duplicates index of all partitions after some days of usage: the last day is in memory, those before it are behind filters.
type remembering struct {
	partitions []*dedup.Index
	now        int64
	random     *rand.Rand
	held       []usage.Identity // some of the last day, of each partition in turn
	batch      int

	filtered, bytes int64 // identities behind filters and what these take
}

const heldSamples = 100_000

func remember(s settings, days int) *remembering {
	const first = int32(20_000)
	r := &remembering{
		now: (int64(first) + int64(days) - 1) * int64(24*time.Hour), random: rand.New(rand.NewPCG(1, uint64(days))), batch: s.Batch,
	}
	perDay := s.Identities / s.Partitions
	for range s.Partitions {
		var filters []dedup.Filter
		for day := first; day < first+int32(days)-1; day++ {
			filters = r.compacted(filters, day, perDay)
		}
		for i := range filters {
			r.filtered, r.bytes = r.filtered+filters[i].Keys, r.bytes+int64(len(filters[i].Bits))
		}
		x := dedup.New(window)
		x.Load(nil, filters)
		r.partitions = append(r.partitions, x)
	}
	for n := range perDay {
		for _, x := range r.partitions {
			id := r.identity()
			if n%max(1, perDay*s.Partitions/heldSamples) == 0 {
				r.held = append(r.held, id)
			}
			x.Remember(dedup.Entry{ID: id, Hash: 1, Arrived: r.now})
			x.Fresh() // as a checkpoint does
		}
	}
	return r
}

// compacted adds a day's identities to the newest filter, or to a new one.
func (r *remembering) compacted(filters []dedup.Filter, day int32, keys int) []dedup.Filter {
	var newest dedup.Filter
	if len(filters) > 0 {
		newest = filters[len(filters)-1]
	}
	next := dedup.GenerationFilter(newest, day, int64(keys))
	for range keys {
		next.Add(r.identity())
	}
	if len(filters) > 0 && next.First == newest.First {
		filters = filters[:len(filters)-1]
	}
	return append(filters, next)
}

// identity makes one that was never there: identities are hashes.
func (r *remembering) identity() (id usage.Identity) {
	binary.BigEndian.PutUint64(id[:8], r.random.Uint64())
	binary.BigEndian.PutUint64(id[8:], r.random.Uint64())
	return id
}

// remembered is what one round took, in nanoseconds of processor time an event.
type remembered struct{ look, add, again, asked float64 }

// turnRecords are rated of a partition before another one has its turn.
const turnRecords = 8

// round looks up and adds new usage, and looks up usage that is sent again, a record at a time, the partitions in turn.
func (r *remembering) round(events int) remembered {
	var look, add, again time.Duration
	var asked, n int
	turn := make([][]usage.Identity, turnRecords)
	for i := range turn {
		turn[i] = make([]usage.Identity, r.batch)
	}
	for n < events {
		for _, x := range r.partitions {
			for i := range turn {
				for j := range turn[i] {
					turn[i][j] = r.identity()
				}
			}
			began := selfCPU() // asking for it costs as much as some look-ups
			for _, ids := range turn {
				for _, a := range x.Look(ids, r.now) {
					if a.Verdict == dedup.Ask {
						asked++
					}
				}
			}
			looked := selfCPU()
			for _, ids := range turn {
				for _, id := range ids {
					x.Remember(dedup.Entry{ID: id, Hash: 1, Arrived: r.now})
				}
				n += len(ids)
			}
			look, add = look+looked-began, add+selfCPU()-looked
			x.Fresh()
		}
	}
	for at := 0; at < n; at += len(turn) * r.batch {
		p := at / len(turn) / r.batch % len(r.partitions)
		for _, ids := range turn {
			for i := range ids {
				ids[i] = r.held[r.random.IntN(len(r.held)/len(r.partitions))*len(r.partitions)+p]
			}
		}
		began := selfCPU()
		for _, ids := range turn {
			r.partitions[p].Look(ids, r.now)
		}
		again += selfCPU() - began
	}
	per := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / float64(n) }
	return remembered{per(look), per(add), per(again), float64(asked) / float64(n) * 100}
}

// measureDedup times the duplicates index by itself, over growing histories.
func measureDedup(_ context.Context, _ *corner, s settings, out *report) error {
	for _, days := range []int{1, 7, s.Days} {
		before := heap()
		r := remember(s, days)
		memory := float64(heap()-before-r.bytes-int64(cap(r.held)*len(usage.Identity{}))) / float64(s.Identities)
		var look, add, sum, again, asked []float64
		for round := range s.Rounds + 1 {
			m := r.round(s.Events)
			if round == 0 {
				continue
			}
			look, add, sum, again, asked = append(look, m.look), append(add, m.add), append(sum, m.look+m.add), append(again, m.again), append(asked, m.asked)
		}
		name := fmt.Sprintf("duplicates index, %d × %d identities: ", days, s.Identities)
		out.add(
			measured(name+"look up new usage", "ns", look).goal("≤ 300").
				note("processor time of an event, records of %d, %d partitions in turn; the last day in memory, the others behind filters", s.Batch, s.Partitions),
			measured(name+"add", "ns", add),
			measured(name+"look up and add", "ns", sum),
			measured(name+"look up usage that is sent again", "ns", again).goal("≤ 300"),
			measured(name+"new usage that is asked of PostgreSQL", "%", asked),
			measured(name+"memory of an identity of the last day", "bytes", []float64{memory}),
		)
		if r.filtered > 0 {
			out.add(measured(name+"memory of an identity behind filters", "bytes", []float64{float64(r.bytes) / float64(r.filtered)}).
				note("a filter is made with room for eight days like its first"))
		}
		runtime.KeepAlive(r)
	}
	return nil
}

// heap is the memory that is in use.
func heap() int64 {
	runtime.GC()
	runtime.GC() // pools keep what they hold for one collection
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
