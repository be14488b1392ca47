package pg_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/deploy/schema"
	"github.com/tollstream/tollstream/deploy/teststores"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/dedup"
	"github.com/tollstream/tollstream/rater/pg"
)

const (
	hour   = int64(time.Hour)
	day    = 24 * hour
	window = 35 * 24 * time.Hour
)

var (
	alice = rater.Owner{1}
	bob   = rater.Owner{2}
)

func open(t testing.TB) (*pg.Store, *pgxpool.Pool) {
	t.Helper()
	url := teststores.Postgres(t)
	ctx := t.Context()
	if err := schema.Migrate(ctx, url); err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pg.New(pool, window), pool
}

func acquire(t testing.TB, s *pg.Store, partition int32, owner rater.Owner) (rater.Checkpoint, rater.Fence) {
	t.Helper()
	c, err := s.Acquire(t.Context(), partition, owner)
	if err != nil {
		t.Fatal(err)
	}
	return c, rater.Fence{Partition: partition, Epoch: c.Epoch, Owner: owner, Next: c.Next, InFlight: -1}
}

func id(n int) activity.ID {
	return activity.LineID(activity.ID{byte(n), byte(n >> 8), byte(n >> 16)}, activity.ID{})
}

func identity(n int) usage.Identity { return usage.Identity(id(n)) }

func lineState(family, position int) rater.LineState {
	return rater.LineState{
		Family: id(family), Line: id(1000 + family*10 + position), Invoice: id(9000 + position), Position: position,
		Account: fmt.Sprintf("user-%d", family), Billed: "acme", Seller: "main", Product: "api-calls", Package: "starter",
		Group:    []activity.Attribute{{Name: "region", Value: "eu \"west\" \\ é"}, {Name: "", Value: ""}},
		Currency: "USD", Period: catalog.Period{Start: 100, End: 200}, UsagePeriod: catalog.Period{Start: 50, End: 100},
		Quantity: money.MustParse("123456789012345.123456789012"), Events: 3, Amount: money.MustParse("-0.000000000001"),
		Segments: []byte{0, 1, 255}, Seq: 17, RateLevel: "contract", RateAccount: "acme", RateID: "r-1", RateModel: "graduated",
		Version: int64(family) + 1, Owed: "owed", Second: []byte{0, 255, 1},
	}
}

func cut(f rater.Fence, next int64, lines ...rater.LineState) *rater.Cut {
	return &rater.Cut{Fence: f, Next: next, Last: next - 1, LeaderEpoch: 4, RatedNext: next + 10, LogTime: next * hour,
		ActivatedSeq: 30, ActivatedSum: 1<<63 + 5, Lines: lines}
}

func commit(t testing.TB, s *pg.Store, want rater.Outcome, cuts ...*rater.Cut) {
	t.Helper()
	outcomes, err := s.Commit(t.Context(), cuts)
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range outcomes {
		if o != want {
			t.Fatalf("cut %d: outcome %d, want %d", i, o, want)
		}
	}
}

func TestAcquireStartsAtZero(t *testing.T) {
	s, _ := open(t)
	epoch, owner, next, err := s.Position(t.Context(), 3)
	if err != nil || epoch != 0 || owner != (rater.Owner{}) || next != 0 {
		t.Errorf("position of a partition without a row: %d %v %d %v", epoch, owner, next, err)
	}
	c, _ := acquire(t, s, 3, alice)
	if c.Epoch != 1 || c.Next != 0 || c.Last != -1 || c.LeaderEpoch != -1 || c.Partition != 3 || len(c.Counts)+len(c.Skips)+len(c.Identities)+len(c.Filters) != 0 {
		t.Errorf("checkpoint %+v", c)
	}
	if c, _ = acquire(t, s, 3, bob); c.Epoch != 2 {
		t.Errorf("epoch %d after the second claim", c.Epoch)
	}
	epoch, owner, next, err = s.Position(t.Context(), 3)
	if err != nil || epoch != 2 || owner != bob || next != 0 {
		t.Errorf("position %d %v %d %v", epoch, owner, next, err)
	}
}

func TestCommitIsReadBackWhole(t *testing.T) {
	s, _ := open(t)
	_, f := acquire(t, s, 3, alice)
	event := usage.Event{ID: "e-1", Source: "gw", Account: "acme", RoutingKey: "root", Product: "api-calls", Time: 77, Quantity: money.MustParse("1.5"),
		Attributes: []usage.Attribute{{Name: "region", Value: "eu"}}, Hash: 1<<63 + 9}
	c := cut(f, 40, lineState(2, 1), lineState(1, 0), lineState(2, 0))
	c.Rejected = []rater.RejectedUsage{
		{Offset: 5, Index: 2, Reason: "no_rate", Event: event, LogTime: 60, Retry: true},
		{Offset: 6, Reason: "undecodable", Raw: []byte{0, 255}, LogTime: 61},
	}
	c.Identities = []dedup.Entry{{ID: identity(2), Hash: 1<<63 + 1, Arrived: 39 * hour}, {ID: identity(1), Hash: 2, Arrived: 40 * hour},
		{ID: identity(3), Hash: 3, Arrived: 48 * hour}}
	c.Seals = []rater.SealState{{Account: "acme", Seals: []rater.SealPoint{{Through: 100, Seq: 3}, {Through: 200, Seq: 9}}}, {Account: "zeta"}}
	c.Markers = []rater.MarkerState{
		{Account: "acme", Seq: 9, Attempt: 2, At: 1 << 40, Under: 11, Open: true, Over: true, Done: 3, Parts: [][]byte{{0, 255}, nil, {}}, Sets: []rater.MarkerSet{{Set: id(1), Read: 1 << 40}, {Set: id(2)}}},
		{Account: "beta", Seq: 4, Attempt: 1, At: 5, Done: 4},
	}
	key := rater.CountKey{Month: 2026*12 + 10, Currency: "USD"}
	c.Counts = map[rater.CountKey]rater.Counts{
		key:            {Accepted: 10, Retried: 1, Rated: 8, Duplicates: 2, Rejected: 1, Charged: money.MustParse("12.5")},
		{Month: 24321}: {Accepted: 4},
	}
	commit(t, s, rater.OutcomeCommitted, c)
	f.Next = 40

	again, g := acquire(t, s, 3, bob)
	want := rater.Checkpoint{Partition: 3, Epoch: 2, Next: 40, Last: 39, LeaderEpoch: 4, RatedNext: 50, LogTime: 40 * hour,
		ActivatedSeq: 30, ActivatedSum: 1<<63 + 5, Counts: c.Counts, Skips: map[rater.Skip]struct{}{}, Identities: again.Identities, Markers: c.Markers[:1]}
	if !reflect.DeepEqual(again, want) {
		t.Errorf("checkpoint\ngot  %+v\nwant %+v", again, want)
	}
	index := dedup.New(window)
	index.Load(again.Identities, again.Filters)
	for _, e := range c.Identities {
		if !slices.Contains(again.Identities, e) {
			t.Errorf("identity %v is not in %v", e, again.Identities)
		}
		if got := index.Check(e.ID, 50*hour); got != (dedup.Answer{Verdict: dedup.Hit, Hash: e.Hash}) {
			t.Errorf("identity %v: %+v", e, got)
		}
	}
	lines, err := s.Lines(t.Context(), g, []activity.ID{id(2), id(1), id(7)})
	byFamily := map[activity.ID]int{}
	for i, l := range lines {
		if i > 0 && lines[i-1].Family == l.Family && lines[i-1].Position >= l.Position {
			t.Error("lines are not in order")
		}
		byFamily[l.Family]++
		n := 1
		if l.Family == id(2) {
			n = 2
		}
		if !reflect.DeepEqual(l, lineState(n, l.Position)) {
			t.Errorf("line\ngot  %+v\nwant %+v", l, lineState(n, l.Position))
		}
	}
	if err != nil || byFamily[id(1)] != 1 || byFamily[id(2)] != 2 || len(lines) != 3 {
		t.Errorf("%d lines, %v", len(lines), err)
	}
	seals, err := s.Seals(t.Context(), g, []string{"zeta", "acme", "nobody"})
	if err != nil || len(seals) != 2 {
		t.Errorf("seals %+v, %v", seals, err)
	}
	for _, state := range seals {
		if state.Account == "acme" && !reflect.DeepEqual(state, c.Seals[0]) {
			t.Errorf("seals %+v", state)
		}
	}
	markers, err := s.Markers(t.Context(), g, []string{"beta", "acme", "nobody"})
	slices.SortFunc(markers, func(a, b rater.MarkerState) int { return strings.Compare(a.Account, b.Account) })
	if err != nil || !reflect.DeepEqual(markers, c.Markers) {
		t.Errorf("markers\ngot  %+v, %v\nwant %+v", markers, err, c.Markers)
	}
	list, _, more, err := s.RejectedList(t.Context(), pg.RejectedFilter{}, pg.RejectedCursor{}, 10)
	if err != nil || more || len(list) != 2 {
		t.Fatalf("%d rejected, %v", len(list), err)
	}
	if got := list[1]; got.Partition != 3 || got.State != pg.RejectedOpen || !reflect.DeepEqual(got.RejectedUsage, c.Rejected[0]) {
		t.Errorf("rejected %+v", got)
	}
	if got := list[0]; !reflect.DeepEqual(got.RejectedUsage, c.Rejected[1]) {
		t.Errorf("undecodable %+v", got)
	}
}

func TestUpsertReplacesAbsolutely(t *testing.T) {
	s, _ := open(t)
	_, f := acquire(t, s, 0, alice)
	first := cut(f, 10, lineState(1, 0))
	first.Counts = map[rater.CountKey]rater.Counts{{Month: 1}: {Accepted: 1}}
	first.Seals = []rater.SealState{{Account: "acme", Seals: []rater.SealPoint{{Through: 1}, {Through: 2}}}}
	commit(t, s, rater.OutcomeCommitted, first)
	f.Next = 10
	changed := lineState(1, 0)
	changed.Amount, changed.Segments, changed.Group, changed.Version, changed.RateModel = money.MustParse("7"), nil, nil, 99, "volume"
	changed.Second = nil
	second := cut(f, 20, changed)
	second.Counts = map[rater.CountKey]rater.Counts{{Month: 1}: {Accepted: 5}}
	second.Seals = []rater.SealState{{Account: "acme", Seals: []rater.SealPoint{{Through: 2}}}}
	commit(t, s, rater.OutcomeCommitted, second)
	f.Next = 20
	lines, err := s.Lines(t.Context(), f, []activity.ID{id(1)})
	changed.Segments = []byte{}
	if err != nil || len(lines) != 1 || !reflect.DeepEqual(lines[0], changed) {
		t.Errorf("lines %+v, %v", lines, err)
	}
	counts, err := s.Counts(t.Context(), 1)
	if err != nil || len(counts) != 1 || counts[0].Accepted != 5 {
		t.Errorf("counts %+v, %v", counts, err)
	}
	seals, err := s.SealsOf(t.Context(), "acme")
	if err != nil || !reflect.DeepEqual(seals, map[int32][]rater.SealPoint{0: {{Through: 2}}}) {
		t.Errorf("seals %+v, %v", seals, err)
	}
}

// Every read under a claim that is not the row's answers ErrFenced, whether there is something to read or not.
func TestEveryReadIsFenced(t *testing.T) {
	s, _ := open(t)
	_, mine := acquire(t, s, 0, alice)
	c := cut(mine, 10, lineState(1, 0))
	c.Seals = []rater.SealState{{Account: "acme", Seals: []rater.SealPoint{{Through: 1}}}}
	commit(t, s, rater.OutcomeCommitted, c)
	mine.Next = 10

	other := func(change func(*rater.Fence)) rater.Fence { f := mine; change(&f); return f }
	claims := map[string]struct {
		fence rater.Fence
		ok    bool
	}{
		"mine":                        {mine, true},
		"in flight":                   {other(func(f *rater.Fence) { f.Next, f.InFlight = 5, 10 }), true},
		"another owner":               {other(func(f *rater.Fence) { f.Owner = bob }), false},
		"another epoch":               {other(func(f *rater.Fence) { f.Epoch++ }), false},
		"an epoch before":             {other(func(f *rater.Fence) { f.Epoch-- }), false},
		"the row fell back":           {other(func(f *rater.Fence) { f.Next = 20 }), false},
		"the row is further":          {other(func(f *rater.Fence) { f.Next = 5 }), false},
		"another commit is in flight": {other(func(f *rater.Fence) { f.Next, f.InFlight = 5, 9 }), false},
		"a partition that has no row": {other(func(f *rater.Fence) { f.Partition = 9 }), false},
	}
	ctx := t.Context()
	reads := map[string]func(rater.Fence) error{
		"look":       func(f rater.Fence) error { return s.Look(ctx, f) },
		"lines":      func(f rater.Fence) error { _, err := s.Lines(ctx, f, []activity.ID{id(1)}); return err },
		"no lines":   func(f rater.Fence) error { _, err := s.Lines(ctx, f, []activity.ID{id(5)}); return err },
		"open lines": func(f rater.Fence) error { _, _, _, err := s.OpenLines(ctx, f, 0, activity.ID{}, 10); return err },
		"no open lines": func(f rater.Fence) error {
			_, _, _, err := s.OpenLines(ctx, f, 1<<62, activity.ID{}, 10)
			return err
		},
		"seals":   func(f rater.Fence) error { _, err := s.Seals(ctx, f, []string{"acme"}); return err },
		"markers": func(f rater.Fence) error { _, err := s.Markers(ctx, f, []string{"acme"}); return err },
		"values": func(f rater.Fence) error {
			_, err := s.Values(ctx, f, []rater.ValueKey{{Set: id(1), Hash: id(2)}})
			return err
		},
		"levels":   func(f rater.Fence) error { _, err := s.Levels(ctx, f, "acme", 1<<62, 10); return err },
		"no seals": func(f rater.Fence) error { _, err := s.Seals(ctx, f, []string{"b"}); return err },
		"identities": func(f rater.Fence) error {
			_, err := s.Identities(ctx, f, []dedup.Question{{ID: identity(1), Last: 1000}})
			return err
		},
	}
	for name, claim := range claims {
		for what, read := range reads {
			err := read(claim.fence)
			if claim.ok && err != nil || !claim.ok && !errors.Is(err, rater.ErrFenced) {
				t.Errorf("%s, %s: %v", what, name, err)
			}
		}
	}
}

func TestFencedCommitWritesNothing(t *testing.T) {
	s, _ := open(t)
	_, zombie := acquire(t, s, 0, alice)
	_, healthy := acquire(t, s, 1, alice)
	_, owner := acquire(t, s, 0, bob)
	outcomes, err := s.Commit(t.Context(), []*rater.Cut{cut(healthy, 10, lineState(2, 0)), cut(zombie, 10, lineState(1, 0))})
	if err != nil || !reflect.DeepEqual(outcomes, []rater.Outcome{rater.OutcomeCommitted, rater.OutcomeFenced}) {
		t.Fatalf("outcomes %v, %v", outcomes, err)
	}
	if lines, err := s.Lines(t.Context(), owner, []activity.ID{id(1)}); err != nil || len(lines) != 0 {
		t.Errorf("the fenced partition's lines: %v, %v", lines, err)
	}
	healthy.Next = 10
	if lines, err := s.Lines(t.Context(), healthy, []activity.ID{id(2)}); err != nil || len(lines) != 1 {
		t.Errorf("the other partition's lines: %v, %v", lines, err)
	}
	if _, _, next, err := s.Position(t.Context(), 0); err != nil || next != 0 {
		t.Errorf("the fenced partition stands at %d, %v", next, err)
	}
	commit(t, s, rater.OutcomeFenced, cut(zombie, 11))

	// The same owner and epoch, but from where the row no longer is.
	commit(t, s, rater.OutcomeCommitted, cut(owner, 5))
	commit(t, s, rater.OutcomeFenced, cut(owner, 7, lineState(1, 0)))
	owner.Next = 5
	if lines, err := s.Lines(t.Context(), owner, []activity.ID{id(1)}); err != nil || len(lines) != 0 {
		t.Errorf("lines of a commit from an old offset: %v, %v", lines, err)
	}
}

func TestOpenLinesPages(t *testing.T) {
	s, _ := open(t)
	_, f := acquire(t, s, 0, alice)
	var lines []rater.LineState
	for family := range 7 {
		for position := range family%3 + 1 {
			l := lineState(family, position)
			l.Period.End = int64(100 * (position + 1))
			lines = append(lines, l)
		}
	}
	commit(t, s, rater.OutcomeCommitted, cut(f, 10, lines...))
	f.Next = 10
	for endsAfter, want := range map[int64]int{0: 13, 100: 6, 200: 2, 300: 0} {
		for _, limit := range []int{1, 2, 3, 5, 100} {
			seen := map[activity.ID]bool{}
			var from activity.ID
			for ok, pages := true, 0; ok; pages++ {
				if pages > 20 {
					t.Fatal("the pages never end")
				}
				var page []rater.LineState
				var err error
				page, from, ok, err = s.OpenLines(t.Context(), f, endsAfter, from, limit)
				if err != nil {
					t.Fatal(err)
				}
				for _, l := range page {
					if seen[l.Line] {
						t.Errorf("line %s came twice", l.Line)
					}
					seen[l.Line] = true
				}
			}
			if len(seen) != want {
				t.Errorf("%d lines end after %d, want %d (limit %d)", len(seen), endsAfter, want, limit)
			}
		}
	}
}

func TestUnfencedReaders(t *testing.T) {
	s, _ := open(t)
	_, f := acquire(t, s, 0, alice)
	_, g := acquire(t, s, 1, alice)
	late := lineState(1, 1)
	late.Period = catalog.Period{Start: 200, End: 300}
	commit(t, s, rater.OutcomeCommitted, cut(f, 10, lineState(1, 0), late), cut(g, 7, lineState(3, 0)))
	lines, err := s.InvoiceLines(t.Context(), []activity.ID{id(9000)})
	if err != nil || len(lines) != 2 {
		t.Errorf("lines of the invoice: %d, %v", len(lines), err)
	}
	for at, want := range map[int64]int{99: 0, 100: 2, 199: 2, 200: 1, 300: 0} {
		if lines, err := s.LinesOfBilled(t.Context(), "acme", at); err != nil || len(lines) != want {
			t.Errorf("lines at %d: %d, %v, want %d", at, len(lines), err, want)
		}
	}
	if through, err := s.RatedThrough(t.Context(), []int32{0, 1}); err != nil || through != 7*hour {
		t.Errorf("rated through %d, %v", through, err)
	}
	if through, err := s.RatedThrough(t.Context(), []int32{0, 1, 2}); err != nil || through != 0 {
		t.Errorf("rated through %d with a partition that was never rated, %v", through, err)
	}
	list, err := s.Checkpoints(t.Context())
	if err != nil || len(list) != 2 || list[1].Next != 7 || list[1].Owner != alice || list[1].Committed.IsZero() {
		t.Errorf("checkpoints %+v, %v", list, err)
	}
}

func TestSkipsAndFailures(t *testing.T) {
	s, _ := open(t)
	ctx := t.Context()
	for want := 1; want <= 3; want++ {
		if n, err := s.Failed(ctx, 0, 41, want, "index out of range\x00\xff"); err != nil || n != want {
			t.Errorf("%d failures, %v, want %d", n, err, want)
		}
	}
	list, err := s.Failures(ctx)
	if err != nil || len(list) != 1 || list[0].Index != 3 || list[0].Failures != 3 || list[0].Message != "index out of range??" {
		t.Errorf("failures %+v, %v", list, err)
	}
	for range 2 {
		if err := s.Skip(ctx, 0, 41, 3); err != nil {
			t.Fatal(err)
		}
	}
	c, f := acquire(t, s, 0, alice)
	if _, ok := c.Skips[rater.Skip{Offset: 41, Index: 3}]; !ok || len(c.Skips) != 1 {
		t.Errorf("skips %v", c.Skips)
	}
	commit(t, s, rater.OutcomeCommitted, cut(f, 42))
	if err := s.ClearFailures(ctx, 0, 42); err != nil {
		t.Fatal(err)
	}
	if list, err := s.Failures(ctx); err != nil || len(list) != 0 {
		t.Errorf("failures %+v, %v", list, err)
	}
	if c, _ := acquire(t, s, 0, bob); len(c.Skips) != 0 {
		t.Errorf("skips behind the checkpoint: %v", c.Skips)
	}
}
