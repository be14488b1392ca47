package rater

import (
	"context"
	"encoding/binary"
	"fmt"
	"syscall"
	"testing"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/dedup"
)

const (
	benchAccounts   = 10_000
	benchPartitions = 16
	benchBatch      = 100
	benchStart      = int64(1_767_225_600_000_000_000) // 2026-01-01T00:00:00Z
)

// benchStores remember nothing: what is measured is the partition itself, with all it needs in memory.
type benchStores struct {
	Store
	snap     *catalog.Snapshot
	accounts map[string]*catalog.Account
}

func (s *benchStores) Acquire(_ context.Context, p int32, owner Owner) (Checkpoint, error) {
	return Checkpoint{Partition: p, Epoch: 1, Last: -1, LeaderEpoch: -1, ActivatedSeq: 1}, nil
}

func (*benchStores) Lines(context.Context, Fence, []activity.ID) ([]LineState, error) {
	return nil, nil
}
func (*benchStores) Seals(context.Context, Fence, []string) ([]SealState, error)     { return nil, nil }
func (*benchStores) Markers(context.Context, Fence, []string) ([]MarkerState, error) { return nil, nil }
func (*benchStores) Values(context.Context, Fence, []ValueKey) ([]ValueState, error) {
	return nil, nil
}
func (*benchStores) Levels(context.Context, Fence, string, int64, int) ([]LevelState, error) {
	return nil, nil
}
func (*benchStores) Pools(context.Context, Fence, []activity.ID) ([]PoolState, error) {
	return nil, nil
}
func (*benchStores) Sharing(context.Context, Fence, activity.ID, string, int64) ([]activity.ID, error) {
	return nil, nil
}
func (*benchStores) Identities(context.Context, Fence, []dedup.Question) ([]dedup.Entry, error) {
	return nil, nil
}

func (s *benchStores) Snapshot(context.Context, int64) (*catalog.Snapshot, error) { return s.snap, nil }

func (s *benchStores) Accounts(_ context.Context, _ int64, ids []string) (map[string]*catalog.Account, error) {
	out := map[string]*catalog.Account{}
	for _, id := range ids {
		for ; id != "" && s.accounts[id] != nil; id = s.accounts[id].Parent {
			out[id] = s.accounts[id]
		}
	}
	return out, nil
}

func (*benchStores) Read(context.Context, int32, int64, int64) ([]RatedEntry, int64, error) {
	return nil, 0, nil
}

func newBenchStores(b testing.TB) *benchStores {
	s := &benchStores{accounts: map[string]*catalog.Account{}}
	empty, err := catalog.NewSnapshot(nil)
	if err != nil {
		b.Fatal(err)
	}
	var rows []catalog.Row
	for _, p := range []object{
		{"id": "calls", "rates": []any{object{"id": "product:calls", "model": "graduated", "currency": "USD", "tiers": []any{
			object{"up_to": "1000", "unit_price": "0.05"}, object{"up_to": "10000", "unit_price": "0.04"}, object{"unit_price": "0.03"}}}}},
		{"id": "data", "group_by": []any{"region"}, "rates": []any{object{"id": "product:data", "model": "per_unit", "currency": "USD", "unit_price": "0.002"}}},
	} {
		rows = append(rows, catalog.Row{Ref: catalog.Ref{Kind: catalog.KindProduct, ID: p["id"].(string)}, Seq: 1, Body: mustJSON(p)})
	}
	rows = append(rows, catalog.Row{Ref: catalog.Ref{Kind: catalog.KindPackage, ID: "starter"}, Seq: 1, Body: mustJSON(object{"id": "starter"})})
	if s.snap, err = empty.With(rows, 1); err != nil {
		b.Fatal(err)
	}
	for i := range benchAccounts {
		id := fmt.Sprintf("acct-%05d", i)
		body := object{"id": id, "currency": "USD", "routing_key": id, "seller": "main", "billing": []any{object{"cycle": object{"every": "monthly"}}}}
		row := catalog.Row{Ref: catalog.Ref{Kind: catalog.KindAccount, ID: id}, Seq: 1, Body: mustJSON(body)}
		if s.accounts[id], err = catalog.DecodeAccount(row, nil); err != nil {
			b.Fatal(err)
		}
	}
	return s
}

// benchRecord encodes the n-th batch of a partition: events of its accounts in turn, each with an attribute.
func benchRecord(dst []byte, partition, n int, events []usage.Event) []byte {
	for i := range events {
		at := n*len(events) + i
		account := (at*7919)%(benchAccounts/benchPartitions)*benchPartitions + partition
		product := "calls"
		if account/benchPartitions%2 == 1 {
			product = "data"
		}
		id := fmt.Sprintf("acct-%05d", account)
		events[i] = usage.Event{
			ID: fmt.Sprintf("e-%012d", at), Source: "gateway-7", Account: id, RoutingKey: id, Product: product,
			Time: benchStart + int64(at)*1_000_000, Quantity: money.MustParse("2.5"),
			Attributes: []usage.Attribute{{Name: "region", Value: "eu-central"}}, Hash: uint64(at),
		}
	}
	return usage.AppendRecord(dst, &usage.Record{Kind: usage.KindBatch, Events: events})
}

// BenchmarkRate rates batches of 100 events over 10,000 accounts, two products and 16 partitions in turn, with nothing but the partitions
// at work: decode, duplicates, resolve, price, encode. Each freezes a cut and a projection every 50 records, as under load. That
// many lines do not fit into the caches of a processor, as they do not in a rater.
func BenchmarkRate(b *testing.B) {
	s := newBenchStores(b)
	var names uint64
	random := func() (id [16]byte) { names++; binary.BigEndian.PutUint64(id[:], names); return id }
	ctx := context.Background()
	var partitions [benchPartitions]*Partition
	for i := range partitions {
		var err error
		if partitions[i], err = Open(ctx, int32(i), Stores{Store: s, Definitions: s, Rated: s}, DefaultLimits(), Faults{}, random); err != nil {
			b.Fatal(err)
		}
	}
	var rated int
	rate := func(record int, value []byte) {
		p, n := partitions[record%benchPartitions], record/benchPartitions
		out, err := p.Rate(ctx, &Input{Offset: int64(n), LeaderEpoch: -1, Time: benchStart + int64(n)*100_000_000, Value: value})
		if err != nil {
			b.Fatal(err)
		}
		rated += len(out)
		if err := p.Acked(int64(n)); err != nil {
			b.Fatal(err)
		}
		if n%50 == 49 {
			p.Freeze()
			p.Commit()
			if err := p.CutDone(OutcomeCommitted); err != nil {
				b.Fatal(err)
			}
			if w := p.Project(false, false); w != nil {
				p.Projected(LiveResult{Applied: true})
			}
		}
	}
	const warm = 20 * benchPartitions
	buffer := make([]usage.Event, benchBatch)
	records := make([][]byte, warm+b.N)
	for i := range records {
		records[i] = benchRecord(nil, i%benchPartitions, i/benchPartitions, buffer)
	}
	for i, value := range records[:warm] {
		rate(i, value)
	}
	b.ReportAllocs()
	b.ResetTimer()
	rated = 0
	before := processor()
	for i, value := range records[warm:] {
		rate(warm+i, value)
	}
	events := float64(b.N * benchBatch)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/events, "ns/event")
	b.ReportMetric(float64(processor()-before)/events, "cpu-ns/event")
	b.ReportMetric(float64(rated)/events, "rated-B/event")
}

// processor is the processor time of this process in nanoseconds: on a machine that others use too it says more
// than the clock on the wall.
func processor() int64 {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return r.Utime.Nano() + r.Stime.Nano()
}
