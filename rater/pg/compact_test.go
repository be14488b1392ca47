package pg_test

import (
	"errors"
	"testing"

	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/dedup"
	"github.com/tollstream/tollstream/rater/pg"
)

// arrive commits n identities from the first on, in two commits, at an instant of the day; the row stands after them.
func arrive(t *testing.T, s *pg.Store, f *rater.Fence, first, n int, at int64) (entries []dedup.Entry) {
	t.Helper()
	for i := range n {
		entries = append(entries, dedup.Entry{ID: identity(first + i), Hash: uint64(first + i), Arrived: at})
	}
	for _, part := range [][]dedup.Entry{entries[:n/2], entries[n/2:]} {
		c := cut(*f, f.Next+10)
		c.LogTime, c.Identities = at, part
		commit(t, s, rater.OutcomeCommitted, c)
		f.Next += 10
	}
	return entries
}

// rows counts a table's rows.
func rows(t *testing.T, s *pg.Store, table string) (n int) {
	t.Helper()
	if err := pg.PoolOf(s).QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestCompactedDaysAnswer(t *testing.T) {
	s, _ := open(t)
	ctx := t.Context()
	_, f := acquire(t, s, 0, alice)
	first := arrive(t, s, &f, 0, 1000, 100*day+hour)
	second := arrive(t, s, &f, 1000, 301, 101*day+hour)

	// A day is compacted once log time is two hours past its end.
	if done, err := s.Compact(ctx, f, 101*day+2*hour-1); err != nil || len(done) != 0 {
		t.Fatalf("compacted %d days too early, %v", len(done), err)
	}
	done, err := s.Compact(ctx, f, 101*day+2*hour)
	if err != nil || len(done) != 1 || done[0].Day != 100 || done[0].Filter.Keys != 1000 {
		t.Fatalf("compacted %d days, %v", len(done), err)
	}
	if n := rows(t, s, "identity_chunk"); n != 17 { // ceil(1000 / 60)
		t.Errorf("%d chunks, want 17", n)
	}
	if n := rows(t, s, "identity_segment"); n != 2 {
		t.Errorf("%d segments left, want those of the second day", n)
	}
	if done, err := s.Compact(ctx, f, 101*day+2*hour); err != nil || len(done) != 0 {
		t.Errorf("compacted %d days again, %v", len(done), err)
	}

	var asked, elsewhere []dedup.Question
	for i := range 1400 {
		asked = append(asked, dedup.Question{ID: identity(i), First: 100, Last: 100})
		elsewhere = append(elsewhere, dedup.Question{ID: identity(i), First: 92, Last: 99})
	}
	if found, err := s.Identities(ctx, f, elsewhere); err != nil || len(found) != 0 {
		t.Errorf("found %d, %v, on days before", len(found), err)
	}
	found, err := s.Identities(ctx, f, asked)
	if err != nil || len(found) != 1000 {
		t.Fatalf("found %d, %v, want the first day's", len(found), err)
	}
	for _, e := range found {
		if e != first[e.Hash] {
			t.Fatalf("found %+v, want %+v", e, first[e.Hash])
		}
	}

	// The next owner has the second day in memory and the first behind the filter.
	c, g := acquire(t, s, 0, bob)
	if len(c.Identities) != len(second) || len(c.Filters) != 1 || c.Filters[0].Keys != 1000 {
		t.Fatalf("acquired %d identities and %d filters", len(c.Identities), len(c.Filters))
	}
	for _, e := range first {
		if !c.Filters[0].Contains(e.ID) {
			t.Fatal("the filter misses an identity")
		}
	}
	// The second day joins the generation's filter.
	done, err = s.Compact(ctx, g, 102*day+5*hour)
	if err != nil || len(done) != 1 || done[0].Day != 101 || done[0].Filter.First != 100 || done[0].Filter.Keys != 1301 {
		t.Fatalf("compacted %+v, %v", len(done), err)
	}
	for i := range asked {
		asked[i].Last = 101
	}
	if found, err = s.Identities(ctx, g, asked); err != nil || len(found) != 1301 {
		t.Errorf("found %d, %v", len(found), err)
	}
	if n := rows(t, s, "identity_filter"); n != 1 {
		t.Errorf("%d filters", n)
	}
}

func TestCompactGoesOnBesideCommits(t *testing.T) {
	s, _ := open(t)
	_, f := acquire(t, s, 0, alice)
	arrive(t, s, &f, 0, 10, 100*day)
	arrive(t, s, &f, 10, 10, 102*day)
	claim := f
	arrive(t, s, &f, 20, 10, 102*day) // commits while the compaction runs under the claim from before
	if done, err := s.Compact(t.Context(), claim, 102*day); err != nil || len(done) != 1 {
		t.Errorf("compacted %d days, %v", len(done), err)
	}
	ahead := f
	ahead.Next += 10 // the row fell back behind the claim: a failover lost commits
	if _, err := s.Compact(t.Context(), ahead, 104*day); !errors.Is(err, rater.ErrFenced) {
		t.Errorf("compaction in front of the row: %v", err)
	}
}

func TestCompactIsFenced(t *testing.T) {
	s, _ := open(t)
	_, f := acquire(t, s, 0, alice)
	arrive(t, s, &f, 0, 10, 100*day)
	arrive(t, s, &f, 10, 2, 105*day)
	acquire(t, s, 0, bob)
	if done, err := s.Compact(t.Context(), f, 105*day); !errors.Is(err, rater.ErrFenced) || len(done) != 0 {
		t.Errorf("a zombie compacted %d days, %v", len(done), err)
	}
	// It is caught at the last moment too, when its chunks are written already.
	if err := pg.PublishDay(s, t.Context(), f, 100); !errors.Is(err, rater.ErrFenced) {
		t.Errorf("a zombie published a day: %v", err)
	}
	if n := rows(t, s, "identity_day"); n != 0 {
		t.Errorf("%d days", n)
	}
	c, _ := acquire(t, s, 0, bob)
	if len(c.Identities) != 12 {
		t.Errorf("%d identities, want all", len(c.Identities))
	}
}

func TestExpiredDaysArePruned(t *testing.T) {
	s, _ := open(t)
	ctx := t.Context()
	_, f := acquire(t, s, 0, alice)
	arrive(t, s, &f, 0, 100, 100*day)
	arrive(t, s, &f, 100, 100, 101*day)
	arrive(t, s, &f, 200, 2, 102*day)
	if done, err := s.Compact(ctx, f, 102*day+2*hour); err != nil || len(done) != 2 {
		t.Fatalf("compacted %d days, %v", len(done), err)
	}
	// The last instant of day 100 counts for 35 days and an hour.
	end := 101*day - 1 + 35*day + hour
	if _, err := s.Compact(ctx, f, end); err != nil {
		t.Fatal(err)
	}
	if n := rows(t, s, "identity_day WHERE day = 100"); n != 1 {
		t.Error("a day was pruned that counts")
	}
	if _, err := s.Compact(ctx, f, end+1); err != nil {
		t.Fatal(err)
	}
	if n, m := rows(t, s, "identity_day WHERE day = 100"), rows(t, s, "identity_chunk WHERE day = 100"); n+m != 0 {
		t.Errorf("%d days and %d chunks are left of what no longer counts", n, m)
	}
	if _, err := s.Compact(ctx, f, end+4*day); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"identity_day", "identity_chunk", "identity_filter", "identity_segment"} {
		if n := rows(t, s, table); n != 0 {
			t.Errorf("%d rows are left in %s", n, table)
		}
	}
}

func TestSameIdentityOnTwoDays(t *testing.T) {
	s, _ := open(t)
	_, f := acquire(t, s, 0, alice)
	arrive(t, s, &f, 0, 2, 100*day)
	arrive(t, s, &f, 0, 2, 101*day) // resent once it no longer counted
	arrive(t, s, &f, 10, 2, 103*day)
	if _, err := s.Compact(t.Context(), f, 103*day); err != nil {
		t.Fatal(err)
	}
	found, err := s.Identities(t.Context(), f, []dedup.Question{{ID: identity(0), First: 100, Last: 101}})
	if err != nil || len(found) != 2 {
		t.Errorf("found %v, %v, want both arrivals", found, err)
	}
}

// A failover may lose the folding of a day and nothing else of the partition: then its identities must not be taken for unknown.
func TestLostFoldingIsNoticed(t *testing.T) {
	s, pool := open(t)
	_, f := acquire(t, s, 0, alice)
	arrive(t, s, &f, 0, 100, 100*day+hour)
	arrive(t, s, &f, 100, 100, 101*day+hour)
	if _, err := pool.Exec(t.Context(), "CREATE TABLE before AS SELECT * FROM identity_segment"); err != nil {
		t.Fatal(err)
	}
	if done, err := s.Compact(t.Context(), f, 101*day+2*hour); err != nil || len(done) != 1 {
		t.Fatal(len(done), err)
	}
	known := []dedup.Question{{ID: identity(5), First: 100, Last: 100}}
	if found, err := s.Identities(t.Context(), f, known); err != nil || len(found) != 1 {
		t.Fatalf("%d found, %v", len(found), err)
	}
	for _, sql := range []string{
		"DELETE FROM identity_day", "DELETE FROM identity_chunk", "DELETE FROM identity_filter", "DELETE FROM identity_segment",
		"INSERT INTO identity_segment SELECT * FROM before",
	} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Identities(t.Context(), f, known); !errors.Is(err, rater.ErrFenced) {
		t.Errorf("after the loss: %v", err)
	}
	if _, err := s.Identities(t.Context(), f, []dedup.Question{{ID: identity(5), First: 98, Last: 99}, {ID: identity(6), First: 100, Last: 103}}); !errors.Is(err, rater.ErrFenced) {
		t.Errorf("after the loss, asked for among others: %v", err)
	}
	if found, err := s.Identities(t.Context(), f, []dedup.Question{{ID: identity(5), First: 98, Last: 99}}); err != nil || len(found) != 0 {
		t.Errorf("of days without segments: %v, %v", found, err)
	}
}
