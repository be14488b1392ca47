package reconcile_test

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/reconcile"
)

var (
	periodStart = time.Date(2026, 10, 15, 0, 0, 0, 0, time.UTC).UnixNano()
	periodEnd   = time.Date(2026, 11, 15, 0, 0, 0, 0, time.UTC).UnixNano()
	poolA       = activity.ID{0xf0}
)

// pool is one as it is stored.
type pool struct {
	partition int32
	id        activity.ID
	amount    string
	segments  []byte
}

// encoded is a segment of the product's rate as it is stored: in this cell, of a share or, with a zero pool, of the pool itself.
func encoded(rate, cell, sum string, events int64, of activity.ID, charged string) []byte {
	text := func(b []byte, s string) []byte { return append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	b := text(text(text(nil, "product"), "calls"), rate)
	b = binary.AppendVarint(binary.AppendVarint(b, 0), 1)
	b = binary.AppendVarint(dec(sum).AppendBinary16(b), events)
	flags := uint64(0)
	if cell != "" {
		flags |= 1
	}
	if !of.IsZero() {
		flags |= 1 << 8
	}
	b = binary.AppendUvarint(b, flags)
	if cell != "" {
		b = text(b, cell)
	}
	if !of.IsZero() {
		b = dec(charged).AppendBinary16(append(b, of[:]...))
	}
	return b
}

// segments puts them together as a line has them.
func segments(all ...[]byte) []byte {
	b := []byte{2, byte(len(all))}
	for _, s := range all {
		b = append(b, s...)
	}
	return b
}

// inPool is the same as a pool has them: found without an account.
func inPool(all ...[]byte) []byte {
	b := segments(all...)
	return append(append(binary.AppendUvarint(nil, uint64(len(b))), b...), make([]byte, len(all))...)
}

// sharing is the consistent world in which line A has 0.4 of a pool of 150 units in three events, and line D on the same invoice 7.1.
func sharing() *world {
	w := consistent()
	lineD := activity.ID{0xd}
	w.records[0][3].Activities = append(w.records[0][3].Activities, act(1, 2, "2026-11-05", "7.1", "USD", "7.1", invoiceA, lineD))
	w.rows = nil
	for p, records := range w.records {
		for _, r := range records {
			for _, a := range r.Activities {
				w.add(p, r.Offset, a)
			}
		}
	}
	w.checkpoints[0].Counts[0].Accepted++
	w.checkpoints[0].Counts[0].Rated++
	w.checkpoints[0].Counts[2].Charged = dec("7.3")
	w.lines = append(w.lines, reconcile.Line{Partition: 0, Invoice: invoiceA, Line: lineD, Currency: "USD", Amount: dec("7.1"), Version: 6})
	w.segments = map[activity.ID][]byte{
		lineA: segments(encoded("r", "", "50", 2, poolA, "0.4")),
		lineD: segments(encoded("r", "", "100", 1, poolA, "7.1")),
	}
	w.pools = []pool{{0, poolA, "7.5", inPool(encoded("r", "", "150", 3, activity.ID{}, ""))}}
	return w
}

// TestPools: what a pool holds is what its lines add up to.
func TestPools(t *testing.T) {
	pool := database(t)
	lineD := activity.ID{0xd}
	const id = "f0000000000000000000000000000000"
	for _, c := range []struct {
		name  string
		spoil func(*world)
		want  string
	}{
		{"all agree", func(*world) {}, ""},
		{"its amount", func(w *world) { w.pools[0].amount = "7.500000000001" },
			"partition 0, pool " + id + " (account acme, product calls): the pool and its lines: 7.500000000001 USD in the pool, 7.5 USD in the lines that share it"},
		{"no pool", func(w *world) { w.pools = nil },
			"partition 0, pool " + id + " (account acme, product calls): the pool and its lines: no pool in the pool, 7.5 in the lines that share it"},
		{"on another partition", func(w *world) { w.pools[0].partition = 1 },
			"partition 0, pool " + id + " (account acme, product calls): the pool and its lines: no pool in the pool, 7.5 in the lines that share it"},
		{"no lines", func(w *world) { w.segments = nil },
			"partition 0, pool " + id + " (account acme, product calls): the pool and its lines: 7.5 USD in the pool, 0 USD in the lines that share it"},
		{"an event", func(w *world) { w.pools[0].segments = inPool(encoded("r", "", "150", 4, activity.ID{}, "")) },
			"partition 0, pool " + id + " (account acme, product calls): events in the pool: 4 in the pool, 3 in the lines that share it"},
		{"a unit", func(w *world) { w.pools[0].segments = inPool(encoded("r", "", "149", 3, activity.ID{}, "")) },
			"partition 0, pool " + id + " (account acme, product calls): usage in the pool: 149 in the pool, 150 in the lines that share it"},
		{"another rate", func(w *world) { w.segments[lineD] = segments(encoded("s", "", "100", 1, poolA, "7.1")) },
			"partition 0, pool " + id + " (account acme, product calls): events in the pool: 3 in the pool, 2 in the lines that share it"},
		{"another cell", func(w *world) { w.segments[lineD] = segments(encoded("r", "c", "100", 1, poolA, "7.1")) },
			"partition 0, pool " + id + " (account acme, product calls): events in the pool: 3 in the pool, 2 in the lines that share it"},
		{"a share and its line", func(w *world) {
			w.segments[lineA], w.segments[lineD] = segments(encoded("r", "", "50", 2, poolA, "0.3")), segments(encoded("r", "", "100", 1, poolA, "7.2"))
		}, "partition 0, line " + idA + " of invoice " + idInvoiceA + " (account acme, product calls): the line and its shares of pools: 0.4 USD in the invoice line, 0.3 USD in its shares"},
		{"a line with usage of its own, too", func(w *world) {
			w.segments[lineA] = segments(encoded("q", "", "7", 1, activity.ID{}, ""), encoded("r", "", "50", 2, poolA, "0.3"))
			w.pools[0].amount = "7.4"
		}, ""},
		{"in cells", func(w *world) {
			w.segments[lineD] = segments(encoded("r", "c", "100", 1, poolA, "7.1"))
			w.pools[0].segments = inPool(encoded("r", "", "50", 2, activity.ID{}, ""), encoded("r", "c", "100", 1, activity.ID{}, ""))
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := sharing()
			c.spoil(w)
			result, err := w.reconcile(t, pool)
			if err != nil {
				t.Fatal(err)
			}
			finds(t, result, c.want)
			if result.OK && result.Pools != 1 {
				t.Errorf("%d pools", result.Pools)
			}
		})
	}
}

// TestDamagedPool says which it is.
func TestDamagedPool(t *testing.T) {
	w := sharing()
	w.pools[0].segments = []byte{9}
	if _, err := w.reconcile(t, database(t)); err == nil {
		t.Error("no error")
	}
}
