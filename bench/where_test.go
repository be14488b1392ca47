package main

import (
	"testing"
	"time"

	"github.com/google/pprof/profile"
)

// sampled makes a profile; a stack begins with its innermost function.
func sampled(stacks map[time.Duration][]string) *profile.Profile {
	p := &profile.Profile{SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}}}
	for d, names := range stacks {
		s := &profile.Sample{Value: []int64{1, int64(d)}}
		for _, name := range names {
			s.Location = append(s.Location, &profile.Location{Line: []profile.Line{{Function: &profile.Function{Name: name}}}})
		}
		p.Sample = append(p.Sample, s)
	}
	return p
}

func TestSamplesBelongToParts(t *testing.T) {
	const rate, step = module + "rater.(*Partition).Rate", module + "rater.(*machine).step"
	got, err := attribute(sampled(map[time.Duration][]string{
		1:    {"runtime.memmove", module + "collector/usage.Decode", rate},
		10:   {module + "ledger/money.Decimal.Add", module + "rater/price.Total", module + "rater.(*machine).charge", step, rate},
		100:  {"runtime.scanobject", "runtime.gcBgMarkWorker"},
		1000: {"syscall.Syscall", "net.(*conn).Write", "github.com/twmb/franz-go/pkg/kgo.(*sink).produce"},
		2000: {"github.com/twmb/franz-go/pkg/kgo.(*source).fetch"},
		4000: {"runtime.futex", "runtime.findRunnable"},
		8000: {"runtime.mallocgc", "github.com/jackc/pgx/v5.(*Conn).Exec", module + "rater/pg.(*Store).Commit"},
	}))
	if err != nil {
		t.Fatal(err)
	}
	for part, want := range map[string]time.Duration{
		"read and recognise the usage record: decode, identities": 1, "charge: aggregate, total, counts": 10, "garbage collection": 100,
		"Kafka client: produce": 1000, "Kafka client: fetch, connections, answers": 2000, partRest: 4000, "checkpoints, client side": 8000,
	} {
		if got[part] != want {
			t.Errorf("%s: %d, want %d", part, got[part], want)
		}
	}
	if _, err := attribute(&profile.Profile{}); err == nil {
		t.Error("a profile without processor time is taken")
	}
}

// TestSharesAddUp: 4 µs of this process in the profile's proportions, 2 of the servers.
func TestSharesAddUp(t *testing.T) {
	total := figure{self: []float64{3, 5}, server: map[string][]float64{"kafka": {1, 2}, "redis": {0.5, 0.5}}}
	got := map[string]float64{}
	for _, s := range shares(map[string]time.Duration{"duplicates index": 3 * time.Second, partRest: time.Second}, total) {
		got[s.Part] = s.Micros
	}
	for part, want := range map[string]float64{"duplicates index": 3, partRest: 1, partSum: 4, "kafka": 1.5, "redis": 0.5, partAll: 6} {
		if got[part] != want {
			t.Errorf("%s: %v, want %v", part, got[part], want)
		}
	}
}

func TestWhereBriefly(t *testing.T) {
	t.Parallel()
	s := brief
	s.Events *= 10 // samples
	r := measureBriefly(t, testCorner(t), s, measureWhere)
	sum, self := 0.0, 0.0
	for _, x := range r.Where {
		if x.Part == partSum {
			self = x.Micros
			break
		}
		sum += x.Micros
	}
	if self <= 0 || sum < 0.999*self || sum > 1.001*self {
		t.Errorf("the parts are %v of %v µs: %+v", sum, self, r.Where)
	}
}
