package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/pprof/profile"
)

// share is a part of the way of an event, with what its processor time an event is.
type share struct {
	Part   string  `json:"part"`
	Micros float64 `json:"us_per_event"`
	Note   string  `json:"note,omitempty"`
}

const module = "github.com/tollstream/tollstream/"

// parts say to which part of the work a function belongs, by the beginning of its name. A sample belongs to the innermost of
// its functions that is listed: what allocates, copies or calls the system counts as whoever wanted that.
var parts = []struct {
	name     string
	prefixes []string
}{
	{"garbage collection", []string{
		"runtime.gcBgMarkWorker", "runtime.gcAssistAlloc", "runtime.gcStart", "runtime.bgsweep", "runtime.bgscavenge", "runtime.gcMarkDone", "runtime.gcMarkTermination",
	}},
	{"read and recognise the usage record: decode, identities", []string{module + "collector/usage.", module + "rater.(*identities)", module + "rater.(*machine).decode"}},
	{"duplicates index", []string{module + "rater/dedup."}},
	{"resolve: plans, rates, lines", []string{
		module + "rater.(*machine).prepare", module + "rater.(*machine).resolve", module + "rater.(*machine).recall", module + "rater.(*machine).price",
		module + "rater.(*machine).load", module + "rater.(*Partition).load", module + "rater.(*definitions)", module + "rater.(*planned)", module + "rater.(*recalled)",
		module + "rater.(*machine).bind", module + "rater.(*machine).remember", module + "rater/catalog.", module + "rater/activity.FamilyID", module + "rater/activity.InvoiceID",
		module + "rater/activity.LineID", module + "rater/catalog/pg.",
	}},
	{"charge: aggregate, total, counts", []string{
		module + "rater/price.", module + "rater.(*machine).charge", module + "rater.(*machine).reprice", module + "rater.(*machine).commitPrices",
		module + "rater.(*machine).emit", module + "rater.(*tallies)", module + "rater.addTo", module + "rater.lineTotal", module + "rater.(*machine).touch",
	}},
	{"write the rated record", []string{module + "rater/activity.", module + "rater.SumOf", module + "rater.(*Partition).Rate"}},
	{"checkpoints, client side", []string{
		module + "rater.(*Partition).Freeze", module + "rater.(*Partition).Commit", module + "rater.(*Worker).commitLoop", module + "rater/pg.", module + "rater.(*Partition).CutDone",
		"github.com/jackc/pgx/",
	}},
	{"live view, client side", []string{
		module + "rater.(*Partition).Project", module + "rater.(*Partition).sweep", module + "rater.(*Worker).showLoop", module + "rater/live.", "github.com/redis/go-redis/",
	}},
	{"Kafka client: produce", []string{
		"github.com/twmb/franz-go/pkg/kgo.(*sink)", "github.com/twmb/franz-go/pkg/kgo.(*Client).Produce", "github.com/twmb/franz-go/pkg/kgo.(*Client).produce",
		"github.com/twmb/franz-go/pkg/kgo.(*producer)", "github.com/twmb/franz-go/pkg/kgo.(*recBuf)", "github.com/twmb/franz-go/pkg/kgo.(*recBatch)",
		"github.com/twmb/franz-go/pkg/kgo.(*produceRequest)", "github.com/twmb/franz-go/pkg/kgo.(*Client).finish", "github.com/twmb/franz-go/pkg/kgo.seqRecBatch",
		"github.com/twmb/franz-go/pkg/kgo.(*Client).partitionRecord", "github.com/twmb/franz-go/pkg/kgo.(*Client).doPartition", module + "rater/kafka.(*Producer)",
	}},
	{"Kafka client: fetch, connections, answers", []string{"github.com/twmb/franz-go/", module + "rater/kafka."}},
	{"the step around these", []string{module + "rater.(*machine)", module + "rater.(*Partition)", module + "rater.(*family)"}},
	{"goroutines around it: runners, queues, metrics", []string{module + "rater.", "github.com/prometheus/"}},
	{"the benchmark itself", []string{"main.", module + "bench."}},
}

// partRest is what no part claims: idle threads looking for work, timers, signals, the profiler.
const partRest = "scheduler and rest of the runtime"

// partSum is what the parts above it add up to.
const partSum = "this process"

// attribute adds up a profile's processor time by part.
func attribute(p *profile.Profile) (map[string]time.Duration, error) {
	value := slices.IndexFunc(p.SampleType, func(t *profile.ValueType) bool { return t.Type == "cpu" && t.Unit == "nanoseconds" })
	if value < 0 {
		return nil, fmt.Errorf("the profile has no processor time")
	}
	out := map[string]time.Duration{}
	for _, s := range p.Sample {
		out[partOf(s)] += time.Duration(s.Value[value])
	}
	return out, nil
}

func partOf(s *profile.Sample) string {
	for _, location := range s.Location { // the innermost first
		for _, line := range location.Line {
			if line.Function == nil {
				continue
			}
			for _, part := range parts {
				for _, prefix := range part.prefixes {
					if strings.HasPrefix(line.Function.Name, prefix) {
						return part.name
					}
				}
			}
		}
	}
	return partRest
}

// measureWhere rates some rounds under a processor profile and divides what every process used by part and event, so that the
// parts add up to the whole; beside it, what the loop of events uses for the same.
func measureWhere(ctx context.Context, c *corner, s settings, out *report) error {
	r, err := newRig(ctx, c, s)
	if err != nil {
		return err
	}
	defer func() { out.warn(c.clean()) }()
	defer r.close()
	used := map[string]time.Duration{}
	var total figure
	for round := range s.Rounds + 1 {
		parts, rated, err := r.whereRound(ctx, s)
		if err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		if round == 0 { // warms up
			continue
		}
		total.add(rated)
		for part, d := range parts {
			used[part] += d
		}
	}
	out.Where = shares(used, total)
	return nil
}

// whereRound rates a round of events under a profile.
func (r *rig) whereRound(ctx context.Context, s settings) (map[string]time.Duration, sample, error) {
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	_, end, err := r.fill(ctx, s.Events, s.Batch)
	if err != nil {
		return nil, sample{}, err
	}
	var raw []byte
	rated, err := r.c.timed(ctx, s, s.Events, func() (took time.Duration, err error) {
		raw, err = profileOf(func() (err error) { took, err = r.rate(ctx, end); return err })
		return took, err
	})
	if err != nil {
		return nil, sample{}, err
	}
	if _, err := folded(ctx, r.pool); err != nil {
		return nil, sample{}, err
	}
	p, err := profile.ParseData(raw)
	if err != nil {
		return nil, sample{}, fmt.Errorf("read the profile: %w", err)
	}
	used, err := attribute(p)
	return used, rated, err
}

// shares divides the processor time of this process in the profile's proportions and puts the servers behind it.
func shares(used map[string]time.Duration, total figure) (out []share) {
	sum := time.Duration(0)
	for _, d := range used {
		sum += d
	}
	self := mean(total.self)
	row := func(part string) {
		if d := used[part]; d > 0 {
			out = append(out, share{Part: part, Micros: self * float64(d) / float64(sum)})
		}
	}
	for _, p := range parts {
		row(p.name)
	}
	row(partRest)
	out = append(out, share{Part: partSum, Micros: self, Note: fmt.Sprintf("%.1f s of samples", sum.Seconds())})
	all := self
	for _, name := range slices.Sorted(maps.Keys(total.server)) {
		if v := mean(total.server[name]); v > 0 {
			out, all = append(out, share{Part: name, Micros: v}), all+v
		}
	}
	return append(out, share{Part: partAll, Micros: all})
}

func mean(samples []float64) (m float64) {
	for _, v := range samples {
		m += v / float64(len(samples))
	}
	return m
}

// where prints the parts of an event's way.
func (r *report) where(b *strings.Builder) {
	if len(r.Where) == 0 {
		return
	}
	b.WriteString("\n| where the processor time of a rated event goes | µs | |\n|---|---:|---|\n")
	for _, s := range r.Where {
		format := "| %s | %.3f | %s |\n"
		if s.Part == partSum || s.Part == partAll {
			format = "| **%s** | **%.3f** | %s |\n"
		}
		fmt.Fprintf(b, format, s.Part, s.Micros, s.Note)
	}
}
