package pg_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/pg"
)

// reject commits n rejected events on each of two partitions; every third reason is account_unknown, the others no_rate.
func reject(t *testing.T, s *pg.Store, n int) {
	t.Helper()
	for partition := range int32(2) {
		_, f := acquire(t, s, partition, alice)
		c := cut(f, 1000)
		for i := range n {
			e := usage.Event{ID: fmt.Sprint("e-", i), Source: "gw", Account: "acme", Product: "p", Time: 1, Quantity: money.One, Hash: uint64(i)}
			reason := "no_rate"
			if i%3 == 0 {
				reason, e.Account, e.Subject, e.RoutingKey = "account_unknown", "", "+49", "?+49"
			}
			c.Rejected = append(c.Rejected, rater.RejectedUsage{Offset: int64(i / 4), Index: i % 4, Reason: reason, Event: e, LogTime: int64(100 + i/5)})
		}
		c.Rejected = append(c.Rejected, rater.RejectedUsage{Offset: 999, Reason: "undecodable", Raw: []byte("?"), LogTime: 90})
		commit(t, s, rater.OutcomeCommitted, c)
	}
}

func TestRejectedPages(t *testing.T) {
	s, _ := open(t)
	reject(t, s, 20)
	tests := []struct {
		name   string
		filter pg.RejectedFilter
		want   int
	}{
		{"all", pg.RejectedFilter{}, 42},
		{"by reason", pg.RejectedFilter{Reason: "account_unknown"}, 14},
		{"by account", pg.RejectedFilter{Account: "acme"}, 26},
		{"by what was sent as the account", pg.RejectedFilter{Account: "+49"}, 14},
		{"by product", pg.RejectedFilter{Product: "q"}, 0},
		{"by source", pg.RejectedFilter{Source: "gw"}, 40},
		{"by arrival", pg.RejectedFilter{From: 101, To: 103}, 20},
		{"retried", pg.RejectedFilter{State: pg.RejectedRetried}, 0},
	}
	for _, test := range tests {
		for _, limit := range []int{1, 7, 100} {
			seen := map[pg.RejectedKey]bool{}
			var cursor pg.RejectedCursor
			last := int64(1 << 62)
			for more := true; more; {
				list, next, ok, err := s.RejectedList(t.Context(), test.filter, cursor, limit)
				if err != nil {
					t.Fatal(err)
				}
				for i := range list {
					if seen[list[i].Key()] || list[i].LogTime > last {
						t.Errorf("%s: %v came again or out of order", test.name, list[i].Key())
					}
					seen[list[i].Key()], last = true, list[i].LogTime
				}
				cursor, more = next, ok
			}
			if len(seen) != test.want {
				t.Errorf("%s, limit %d: %d, want %d", test.name, limit, len(seen), test.want)
			}
		}
	}
}

func TestRetryTakesOnce(t *testing.T) {
	s, _ := open(t)
	ctx := t.Context()
	reject(t, s, 20)
	broken := errors.New("broker away")
	_, _, _, err := s.RejectedTake(ctx, pg.RejectedFilter{}, pg.RejectedCursor{}, 10, func(context.Context, []pg.Rejected) error { return broken })
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
	seen := map[pg.RejectedKey]bool{}
	var cursor pg.RejectedCursor
	for more := true; more; {
		var taken int
		taken, cursor, more, err = s.RejectedTake(ctx, pg.RejectedFilter{}, cursor, 15, func(_ context.Context, list []pg.Rejected) error {
			for i := range list {
				if seen[list[i].Key()] || list[i].Event.ID == "" {
					t.Errorf("took %+v", list[i])
				}
				seen[list[i].Key()] = true
			}
			// Whoever retries at the same time gets others.
			_, _, _, err := s.RejectedTake(ctx, pg.RejectedFilter{}, pg.RejectedCursor{}, 100, func(_ context.Context, others []pg.Rejected) error {
				for i := range others {
					if seen[others[i].Key()] {
						t.Errorf("%v was taken twice", others[i].Key())
					}
				}
				return broken
			})
			if err != nil && !errors.Is(err, broken) {
				return err
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		_ = taken
	}
	if len(seen) != 40 {
		t.Errorf("took %d, want all that were decoded", len(seen))
	}
	open, _, _, err := s.RejectedList(ctx, pg.RejectedFilter{}, pg.RejectedCursor{}, 100)
	if err != nil || len(open) != 2 || string(open[0].Raw) != "?" {
		t.Errorf("left open: %+v, %v", open, err)
	}
	n, err := s.MarkRejected(ctx, []pg.RejectedKey{open[0].Key(), open[0].Key(), {Partition: 0, Offset: 0, Index: 0}}, pg.RejectedDiscarded)
	if err != nil || n != 1 {
		t.Errorf("discarded %d, %v, want the open one", n, err)
	}
}

// Corrections are read as long as they wait. A cut that answers one ends that, also one that is written by the same cut.
func TestCorrectionsWait(t *testing.T) {
	s, _ := open(t)
	_, f := acquire(t, s, 0, alice)
	correction := func(offset int64, index int, account, id, reason string) rater.RejectedUsage {
		return rater.RejectedUsage{Offset: offset, Index: index, Reason: reason, LogTime: 5, Event: usage.Event{
			ID: id, Source: "gw", Account: account, RoutingKey: account, Product: "p", Time: 1, Quantity: money.One.Neg(), Corrects: &usage.EventName{Source: "gw", ID: "x-" + id},
		}}
	}
	c := cut(f, 10)
	c.Rejected = []rater.RejectedUsage{
		correction(7, 1, "acme", "c", rater.ReasonCorrectionWaits), correction(3, 0, "acme", "a", rater.ReasonCorrectionWaits),
		correction(7, 0, "acme", "b", rater.ReasonCorrectionWaits), correction(5, 0, "other", "d", rater.ReasonCorrectionWaits),
		correction(6, 0, "acme", "e", rater.ReasonCorrectionUnknown), correction(8, 0, "acme", "f", rater.ReasonCorrectionWaits),
	}
	c.Answered = []rater.Skip{{Offset: 8}}
	commit(t, s, rater.OutcomeCommitted, c)
	waiting := func(partition int32, below int64, limit int, want string) {
		t.Helper()
		list, err := s.CorrectionsWaiting(t.Context(), partition, "acme", below, limit)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, r := range list {
			got += fmt.Sprintf("%d/%d %s of %s, ", r.Offset, r.Index, r.Event.ID, r.Event.Corrects.ID)
		}
		if got != want {
			t.Errorf("partition %d below %d: %q, want %q", partition, below, got, want)
		}
	}
	waiting(0, 100, 10, "3/0 a of x-a, 7/0 b of x-b, 7/1 c of x-c, ")
	waiting(0, 100, 2, "3/0 a of x-a, 7/0 b of x-b, ")
	waiting(0, 7, 10, "3/0 a of x-a, ")
	waiting(1, 100, 10, "")
	f.Next = 10
	c = cut(f, 20)
	c.Answered = []rater.Skip{{Offset: 3}, {Offset: 7, Index: 1}}
	commit(t, s, rater.OutcomeCommitted, c)
	waiting(0, 100, 10, "7/0 b of x-b, ")
	list, _, _, err := s.RejectedList(t.Context(), pg.RejectedFilter{State: pg.RejectedRetried}, pg.RejectedCursor{}, 10)
	if err != nil || len(list) != 3 {
		t.Errorf("%d are retried, %v", len(list), err)
	}
}
