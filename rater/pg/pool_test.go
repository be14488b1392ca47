package pg_test

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
)

func poolState(n int) rater.PoolState {
	return rater.PoolState{
		ID: id(n), Scope: catalog.PoolInvoice, Of: "k \"1\"", Seller: "main", Billed: "acme", Product: "calls", Currency: "USD",
		Period: catalog.Period{Start: 50, End: 100}, Amount: money.MustParse("-123456789012345.123456789012"), Segments: []byte{0, 1, 255},
		Seq: 17, Version: int64(n) + 1,
	}
}

// TestPoolsAreCommittedWithTheirCut: pools are read back as they were written, newer ones take the place of older, and a fenced cut
// writes none.
func TestPoolsAreCommittedWithTheirCut(t *testing.T) {
	s, _ := open(t)
	_, f := acquire(t, s, 3, alice)
	_, other := acquire(t, s, 4, alice)
	read := func(f rater.Fence, want ...rater.PoolState) {
		t.Helper()
		got, err := s.Pools(t.Context(), f, []activity.ID{id(1), id(2), id(3)})
		if err != nil {
			t.Fatal(err)
		}
		found := map[activity.ID]rater.PoolState{}
		for _, q := range got {
			found[q.ID] = q
		}
		expected := map[activity.ID]rater.PoolState{}
		for _, q := range want {
			expected[q.ID] = q
		}
		if !reflect.DeepEqual(found, expected) {
			t.Fatalf("read\n%+v\nwant\n%+v", found, expected)
		}
	}
	read(f)
	c := cut(f, 40)
	c.Pools = []rater.PoolState{poolState(2), poolState(1)}
	commit(t, s, rater.OutcomeCommitted, c)
	f.Next = 40
	read(f, poolState(1), poolState(2))
	read(other)

	next := poolState(2)
	next.Amount, next.Segments, next.Seq, next.Version = money.MustParse("7"), []byte{3}, 18, 50
	c = cut(f, 50)
	c.Pools = []rater.PoolState{next, poolState(3)}
	commit(t, s, rater.OutcomeCommitted, c)
	zombie := cut(f, 60) // of before that commit
	zombie.Pools = []rater.PoolState{poolState(2)}
	commit(t, s, rater.OutcomeFenced, zombie)
	if _, err := s.Pools(t.Context(), f, []activity.ID{id(1)}); !errors.Is(err, rater.ErrFenced) {
		t.Fatalf("a zombie read pools: %v", err)
	}
	f.Next = 50
	read(f, poolState(1), next, poolState(3))
	if got, err := s.PoolsOf(t.Context(), []activity.ID{id(2), id(9)}); err != nil || !reflect.DeepEqual(got, []rater.PoolState{next}) {
		t.Errorf("without a fence: %+v, %v", got, err)
	}
}

// TestSharing: which families have shares of a pool, whose id stands in their segments, as the last commit left them.
func TestSharing(t *testing.T) {
	s, _ := open(t)
	_, f := acquire(t, s, 3, alice)
	_, other := acquire(t, s, 4, alice)
	pool := id(77)
	with := func(family, position int, segments ...byte) rater.LineState {
		l := lineState(family, position)
		l.Segments = segments
		return l
	}
	own := append([]byte{2, 1}, pool[:]...)
	c := cut(f, 40, with(1, 0, append(own, 9)...), with(2, 0, 2, 1), with(2, 1, own...), with(3, 0, 2, 0xff), with(4, 0, own...))
	c.Lines[4].UsagePeriod.Start = 51
	commit(t, s, rater.OutcomeCommitted, c)
	f.Next = 40
	read := func(f rater.Fence, billed string, start int64) string {
		t.Helper()
		families, err := s.Sharing(t.Context(), f, pool, billed, start)
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(families, func(a, b activity.ID) int { return bytes.Compare(a[:], b[:]) })
		var names []string
		for n := range 6 {
			if slices.Contains(families, id(n)) {
				names = append(names, fmt.Sprint(n))
			}
		}
		if len(names) != len(families) {
			t.Errorf("%d families, known are %v", len(families), names)
		}
		return strings.Join(names, " ")
	}
	for _, x := range []struct {
		f      rater.Fence
		billed string
		start  int64
		want   string
	}{{f, "owed", 50, "1 2"}, {f, "owed", 51, "4"}, {f, "acme", 50, ""}, {other, "owed", 50, ""}} {
		if got := read(x.f, x.billed, x.start); got != x.want {
			t.Errorf("pool of %s from %d on: families %q, want %q", x.billed, x.start, got, x.want)
		}
	}
	gone := with(1, 0, 2, 1)
	gone.Version = 45
	c = cut(f, 50, gone)
	commit(t, s, rater.OutcomeCommitted, c)
	if _, err := s.Sharing(t.Context(), f, pool, "owed", 50); !errors.Is(err, rater.ErrFenced) {
		t.Errorf("a zombie reads who shares a pool: %v", err)
	}
	f.Next = 50
	if got := read(f, "owed", 50); got != "2" {
		t.Errorf("families %q", got)
	}
}

// TestLinesSharing: of a period's usage of a product the lines of all accounts are read, whoever they are billed to by now.
func TestLinesSharing(t *testing.T) {
	s, _ := open(t)
	_, f := acquire(t, s, 3, alice)
	own, late, elsewhere, others := lineState(1, 0), lineState(2, 0), lineState(3, 0), []rater.LineState{lineState(4, 0), lineState(5, 0), lineState(6, 0)}
	own.Owed, own.Period = "acme", own.UsagePeriod
	late.Owed = "acme"
	elsewhere.Owed, elsewhere.Billed = "acme", "other"
	others[1].Owed, others[1].Product = "acme", "storage"
	others[2].Owed, others[2].UsagePeriod.Start = "acme", 40
	commit(t, s, rater.OutcomeCommitted, cut(f, 40, append(others, own, late, elsewhere)...))
	read := func(partition int32, limit int) (of []string) {
		lines, err := s.LinesSharing(t.Context(), partition, "acme", "api-calls", 50, limit)
		if err != nil {
			t.Fatal(err)
		}
		for i := range lines {
			of = append(of, lines[i].Account)
		}
		slices.Sort(of)
		return of
	}
	if got := read(3, 10); fmt.Sprint(got) != "[user-1 user-2 user-3]" {
		t.Errorf("%s", got)
	}
	if got := read(3, 2); len(got) != 2 {
		t.Errorf("%s", got)
	}
	if got := read(4, 10); len(got) != 0 {
		t.Errorf("%s", got)
	}
}
