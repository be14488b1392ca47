package pg_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/dedup"
)

// BenchmarkCommit writes lines that stand already, new ones, and identities. PostgreSQL's own processor time is reported beside.
func BenchmarkCommit(b *testing.B) {
	const n = 10000
	for _, c := range []struct {
		name       string
		fresh      bool // lines that do not stand yet
		lines      int
		identities int
	}{{"few_lines", false, 255, 0}, {"lines", false, n, 0}, {"new_lines", true, n, 0}, {"identities", false, 0, n}} {
		b.Run(c.name, func(b *testing.B) {
			s, pool := open(b)
			_, f := acquire(b, s, 0, alice)
			lines := make([]rater.LineState, c.lines)
			for i := range lines {
				lines[i] = lineState(i, 0)
			}
			var server time.Duration
			at := 0
			b.ReportAllocs()
			for b.Loop() {
				next := cut(f, f.Next+1, lines...)
				for range lines {
					next.Stored = append(next.Stored, !c.fresh && f.Next > 0)
				}
				for i := range lines {
					if lines[i].Version++; c.fresh {
						lines[i].Family, lines[i].Line = id(at), id(at)
						at++
					}
				}
				for range c.identities {
					next.Identities = append(next.Identities, dedup.Entry{ID: identity(at), Hash: uint64(at), Arrived: next.LogTime})
					at++
				}
				before := serverTime(b, pool)
				commit(b, s, rater.OutcomeCommitted, next)
				server += serverTime(b, pool) - before
				f.Next++
			}
			rows := float64(c.lines+c.identities) * float64(b.N)
			b.ReportMetric(rows/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(server.Nanoseconds())/rows, "server-ns/row")
		})
	}
}

// BenchmarkFold folds what so many commits have appended of the same lines; PostgreSQL's own processor time by line of the table.
func BenchmarkFold(b *testing.B) {
	const n = 10000
	for _, commits := range []int{1, 8} {
		b.Run(strconv.Itoa(commits), func(b *testing.B) {
			s, pool := open(b)
			_, f := acquire(b, s, 0, alice)
			lines := make([]rater.LineState, n)
			for i := range lines {
				lines[i] = lineState(i, 0)
			}
			commit(b, s, rater.OutcomeCommitted, cut(f, f.Next+1, lines...))
			f.Next++
			var server time.Duration
			for b.Loop() {
				for range commits {
					next := cut(f, f.Next+1, lines...)
					for range lines {
						next.Stored = append(next.Stored, true)
					}
					commit(b, s, rater.OutcomeCommitted, next)
					f.Next++
				}
				before := serverTime(b, pool)
				if err := s.Fold(b.Context(), f); err != nil {
					b.Fatal(err)
				}
				server += serverTime(b, pool) - before
			}
			b.ReportMetric(float64(server.Nanoseconds())/float64(n*b.N), "server-ns/line")
		})
	}
}

// serverTime is the processor time of PostgreSQL's sessions of this pool, from /proc; 0 where there is none.
func serverTime(b *testing.B, pool *pgxpool.Pool) (sum time.Duration) {
	for _, c := range pool.AcquireAllIdle(b.Context()) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", c.Conn().PgConn().PID()))
		if err == nil {
			n, _ := strconv.ParseInt(strings.Fields(string(stat))[0], 10, 64)
			sum += time.Duration(n)
		}
		c.Release()
	}
	return sum
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
	ids := make([]dedup.Question, 100)
	for i := range ids {
		ids[i] = dedup.Question{ID: identity(1_000_000 + i), First: 100, Last: 109}
	}
	for b.Loop() {
		if found, err := s.Identities(b.Context(), f, ids); err != nil || len(found) != 0 {
			b.Fatal(found, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(ids)), "µs/id")
}
