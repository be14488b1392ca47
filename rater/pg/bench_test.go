package pg_test

import (
	"testing"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/dedup"
)

func BenchmarkCommit(b *testing.B) {
	s, _ := open(b)
	_, f := acquire(b, s, 0, alice)
	const n = 10000
	lines := make([]rater.LineState, n)
	for i := range lines {
		lines[i] = lineState(i, 0)
	}
	b.ReportAllocs()
	for b.Loop() {
		c := cut(f, f.Next+1, lines...)
		for i := range lines {
			lines[i].Version++
			c.Identities = append(c.Identities, dedup.Entry{ID: identity(i), Arrived: c.LogTime})
		}
		commit(b, s, rater.OutcomeCommitted, c)
		f.Next++
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}

// BenchmarkIdentities looks up what a filter could not deny, among ten compacted days.
func BenchmarkIdentities(b *testing.B) {
	s, _ := open(b)
	_, f := acquire(b, s, 0, alice)
	const n = 5000
	for d := range int64(11) {
		c := cut(f, f.Next+1)
		c.LogTime = (100 + d) * day
		for i := range n {
			c.Identities = append(c.Identities, dedup.Entry{ID: identity(int(d)*n + i), Arrived: c.LogTime})
		}
		commit(b, s, rater.OutcomeCommitted, c)
		f.Next++
	}
	if done, err := s.Compact(b.Context(), f, 110*day+2*hour); err != nil || len(done) != 10 {
		b.Fatal(len(done), err)
	}
	ids := make([]usage.Identity, 100)
	for i := range ids {
		ids[i] = identity(1_000_000 + i)
	}
	for b.Loop() {
		if found, err := s.Identities(b.Context(), f, ids); err != nil || len(found) != 0 {
			b.Fatal(found, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(ids)), "µs/id")
}
