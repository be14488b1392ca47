package live_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/deploy/teststores"
	"github.com/tollstream/tollstream/rater"
)

// BenchmarkChanges shows lines that stand already, a line an invoice: newer than all that was shown before, and not all of them
// newer. Redis' own processor time is reported beside.
func BenchmarkChanges(b *testing.B) {
	const partitions, n = 16, 2000
	for _, c := range []struct {
		name  string
		older int64 // by how much the oldest line is older than the newest shown before
	}{{"newer", 0}, {"mixed", 1}} {
		b.Run(c.name, func(b *testing.B) {
			url, prefix := teststores.Redis(b)
			f := connect(b, url, prefix)
			ps := make([]*rater.Projection, partitions)
			for p := range ps {
				ps[p] = begin(0)
				ps[p].Partition, ps[p].Rebuilding = int32(p), false
				for i := range n {
					ps[p].Lines = append(ps[p].Lines, lineState(i, i, 1))
				}
			}
			f.project(b, ps...)
			var server time.Duration
			b.ReportAllocs()
			for b.Loop() {
				for _, p := range ps {
					p.Force, p.Expect = false, p.Next
					p.Next[0]++
					for i := range p.Lines {
						p.Lines[i].Version += n + 1
					}
					p.Lines[0].Version -= c.older * (n + 2)
				}
				before := f.used(b)
				for p, applied := range f.project(b, ps...) {
					if !applied {
						b.Fatalf("partition %d was not written", p)
					}
				}
				server += f.used(b) - before
				for _, p := range ps {
					p.Lines[0].Version += c.older * (n + 2)
				}
			}
			lines := float64(partitions*n) * float64(b.N)
			b.ReportMetric(lines/b.Elapsed().Seconds(), "lines/s")
			b.ReportMetric(float64(server.Nanoseconds())/lines, "server-ns/line")
		})
	}
}

// used is the processor time of Redis.
func (f *fixture) used(b *testing.B) (sum time.Duration) {
	text, err := f.client.Info(b.Context(), "cpu").Result()
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_user" || name == "used_cpu_sys" {
			seconds, _ := strconv.ParseFloat(value, 64)
			sum += time.Duration(seconds * float64(time.Second))
		}
	}
	return sum
}
