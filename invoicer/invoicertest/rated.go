package invoicertest

import (
	"context"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/invoicer"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/ratertest"
)

// Rated is a log that a rater's partition rates, with seals, late usage and sweeps, and what a report store has of it.
type Rated struct {
	Log

	partition *rater.Partition
	at        int64 // log time
	act       int64
}

// NewRated returns an empty log.
func NewRated(w *World) *Rated {
	w.T.Helper()
	r := &Rated{Log: Log{World: w}}
	n := byte(0)
	p, err := rater.Open(w.T.Context(), 0, rater.Stores{Store: ratertest.NewStore(), Definitions: w, Rated: nobody{}}, rater.DefaultLimits(), rater.Faults{},
		func() (id [16]byte) { n++; return [16]byte{n} })
	if err != nil {
		w.T.Fatal(err)
	}
	r.partition = p
	return r
}

// nobody has rated before.
type nobody struct{}

func (nobody) Read(context.Context, int32, int64, int64) ([]rater.RatedEntry, int64, error) {
	return nil, 0, nil
}

// Use rates events as one record under the world's newest definitions, at the log time of the latest; it gives the reasons of those that were rejected.
func (r *Rated) Use(events ...usage.Event) (rejected []string) {
	r.World.T.Helper()
	r.activate()
	for i := range events {
		e := &events[i]
		if e.Account == "" {
			e.Account = e.Subject
		}
		e.RoutingKey = "all"
		r.at = max(r.at, e.Time)
	}
	for _, x := range r.rate(usage.Record{Kind: usage.KindBatch, Events: events}).Rejected {
		rejected = append(rejected, x.Reason)
	}
	return rejected
}

// Seal completes a billed account's period.
func (r *Rated) Seal(account string, start, end int64) {
	r.World.T.Helper()
	r.activate()
	r.at = max(r.at, end)
	r.rate(usage.Record{Kind: usage.KindSeal, Seal: &usage.Seal{Account: account, PeriodStart: start, PeriodEnd: end}})
}

// Sweep prices the families of all lines under the newest definitions.
func (r *Rated) Sweep() {
	r.World.T.Helper()
	r.activate()
	var families [][16]byte
	seen := map[activity.ID]bool{}
	for i := range r.History {
		a := &r.History[i]
		id := activity.FamilyID(a.Seller, a.Account, a.Product, a.Package, a.Group, a.Billed, a.UsageStart)
		if !seen[id] {
			seen[id], families = true, append(families, id)
		}
	}
	r.rate(usage.Record{Kind: usage.KindSweep, Sweep: &usage.Sweep{Seq: r.act, Families: families}})
}

// activate tells the partition of definitions that were applied since.
func (r *Rated) activate() {
	for r.act < r.World.seq {
		r.act++
		r.rate(usage.Record{Kind: usage.KindDefinitions, Definitions: &usage.Definitions{
			From: r.act, To: r.act, PreviousHash: uint64(r.act - 1), Hash: uint64(r.act), Links: []uint64{uint64(r.act)}, All: true, //nolint:gosec // a small number
		}})
	}
}

func (r *Rated) rate(in usage.Record) *activity.Record {
	r.World.T.Helper()
	value, err := r.partition.Rate(r.World.T.Context(), &rater.Input{Offset: r.offset, Time: r.at, Value: usage.AppendRecord(nil, &in)})
	if err != nil {
		r.World.T.Fatal(err)
	}
	out := &activity.Record{}
	if err := activity.Decode(value, out); err != nil {
		r.World.T.Fatal(err)
	}
	for _, a := range out.Activities {
		c := invoicer.Charged{Place: invoicer.Place{Offset: r.offset, Index: a.Index}, LogTime: out.LogTime, Activity: a}
		r.History = append(r.History, c)
	}
	r.offset++
	return out
}
