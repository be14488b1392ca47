package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
)

// paperRate is what the model is asked for: 400 billion events a day.
const (
	paperDaily = 400e9
	paperRate  = paperDaily / 86_400 // events a second
)

// What the model takes for granted, since one machine cannot show it.
const (
	machineCores   = 32
	machineMemory  = 256 << 30
	used           = 0.6   // of processors, memory and network; the rest is for peaks and for a machine that fails
	replicas       = 3     // of what Kafka keeps
	replicaCost    = 0.5   // a follower's processor time, in that of the leader
	keptDays       = 45    // of both topics
	windowDays     = 35    // of the duplicates index
	walMost        = 300e6 // bytes a second that one PostgreSQL primary writes and replicates
	clickhouseRow  = 5.0   // µs, unless the sink was measured: 400,000 rows/s on two cores
	identityStored = 32.0  // bytes in PostgreSQL
)

// constant is a measured figure that the model uses, or what is assumed in its place.
type constant struct {
	value float64
	from  string
}

// paper is the model: what an event takes, from a result.
type paper struct {
	result                                            *report
	rater, kafka, postgres, redis, ingest, clickhouse constant // µs
	usage, rated, wal                                 constant // bytes
	recent, filtered                                  constant // bytes of memory of an identity
	partition                                         constant // events a second that one partition rates
}

// printPaper reads a result and prints the model.
func printPaper(path string, out io.Writer) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the result: %w", err)
	}
	r := &report{}
	if err := json.Unmarshal(text, r); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	p, err := newPaper(r)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	_, err = io.WriteString(out, p.markdown())
	return err
}

func newPaper(r *report) (*paper, error) {
	p := &paper{result: r}
	subject := p.largest()
	if subject == "" {
		return nil, fmt.Errorf("it holds no end-to-end rating: measure -only rated first")
	}
	cost := func(part string) constant { return p.find(math.NaN(), subject+": processor, "+part) }
	p.rater, p.kafka, p.postgres, p.redis = cost(partSelf), cost("kafka"), cost("postgres"), cost("redis")
	p.usage, p.rated, p.wal = p.find(math.NaN(), subject+": "+partUsage), p.find(math.NaN(), subject+": "+partRated), p.find(math.NaN(), subject+": "+partWAL)
	p.ingest = p.find(2.5, "POST /v1/usage, NDJSON of 1,000: processor of the server")
	p.clickhouse = p.find(clickhouseRow, "sink into ClickHouse: processor, clickhouse")
	p.partition = p.find(250_000, subjectRated(1)+": speed")
	p.recent = p.find(40, "memory of an identity of the last day")
	p.filtered = p.find(4, "memory of an identity behind filters")
	for _, c := range []constant{p.rater, p.kafka, p.postgres, p.redis, p.usage, p.rated, p.wal} {
		if math.IsNaN(c.value) {
			return nil, fmt.Errorf("the result lacks what %s cost in each process", subject)
		}
	}
	return p, nil
}

// largest is the end-to-end rating with the most accounts: there every event falls on a line of its own, as it does in a large
// installation.
func (p *paper) largest() (subject string) {
	most := 0
	for _, m := range p.result.Measures {
		n := 0
		if rest, ok := strings.CutPrefix(m.Subject, "rated, "); ok {
			_, _ = fmt.Sscanf(strings.ReplaceAll(rest, ",", ""), "%d", &n)
		}
		if n > most {
			most, subject = n, m.Subject
		}
	}
	return subject
}

// find takes the last figure whose name ends so.
func (p *paper) find(otherwise float64, name string) constant {
	for _, m := range slices.Backward(p.result.Measures) {
		if strings.HasSuffix(m.Name, name) {
			return constant{m.Median, "measured"}
		}
	}
	return constant{otherwise, "assumed"}
}

// demand is something that is used up, in units of which an installation has some.
type demand struct {
	what  string
	event string  // what an event takes
	from  string  // measured or assumed
	units float64 // needed at paperRate
	unit  string
	has   float64 // units of the reference installation
	at    string
}

// demands are what paperRate takes. The reference installation is one that somebody would plan at first.
func (p *paper) demands() []demand {
	cores := func(c constant) float64 { return c.value * paperRate / 1e6 / used }
	identities := paperDaily * windowDays
	micros := func(c constant) string { return fmt.Sprintf("%.2f µs", c.value) }
	bytes := func(cs ...constant) string {
		sum := 0.0
		for _, c := range cs {
			sum += c.value
		}
		return fmt.Sprintf("%.0f bytes", sum)
	}
	kafka := constant{p.kafka.value * (1 + (replicas-1)*replicaCost), p.kafka.from}
	recent := constant{p.recent.value * 1.5, p.recent.from} // until a day is folded, a part of the day before is there as well
	return []demand{
		{"ingest: processors", micros(p.ingest), p.ingest.from, cores(p.ingest), "cores", 20 * machineCores, "20 machines of 32 cores"},
		{"raters: processors", micros(p.rater), p.rater.from, cores(p.rater), "cores", 24 * machineCores, "24 machines"},
		{"raters: one partition's thread", fmt.Sprintf("%.0f events/s a partition", p.partition.value), p.partition.from, paperRate / p.partition.value / used, "partitions", 256, "256 partitions"},
		{"duplicates of the last day: memory of raters", bytes(recent), recent.from, recent.value * paperDaily / machineMemory / used, "machines", 24, "24 machines of 256 GiB"},
		{"duplicates behind filters: memory of raters", bytes(p.filtered) + ", 35 days", p.filtered.from, p.filtered.value * identities / machineMemory / used, "machines", 24, "the same 24"},
		{"duplicates: PostgreSQL's disk", fmt.Sprintf("%.0f bytes, 35 days", identityStored), "by design", identityStored * identities / 10e12, "disks of 10 TB", 8, "4 primaries with 2 each"},
		{"PostgreSQL: log", bytes(p.wal), p.wal.from, p.wal.value * paperRate / walMost, "primaries of 300 MB/s", 4, "4 primaries"},
		{"PostgreSQL: processors", micros(p.postgres), p.postgres.from, cores(p.postgres), "cores", 4 * machineCores, "4 primaries"},
		{"Kafka: processors, 3 replicas", micros(kafka), kafka.from, cores(kafka), "cores", 18 * machineCores, "18 brokers"},
		{"Kafka: disk, 45 days, 3 replicas", bytes(p.usage, p.rated), p.usage.from, (p.usage.value + p.rated.value) * paperDaily * keptDays * replicas / 30e12 / used, "disks of 30 TB", 18 * 8, "18 brokers with 8 each"},
		{"Redis: one thread a shard", micros(p.redis), p.redis.from, p.redis.value * paperRate / 1e6 / used, "shards", 32, "32 shards"},
		{"ClickHouse: processors", micros(p.clickhouse) + " a row", p.clickhouse.from, cores(p.clickhouse), "cores", 24 * machineCores, "24 machines"},
	}
}

func (p *paper) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "400 billion events a day, %.2f million a second, from %s, %s (%s): processors, memory and disks used to %.0f%%.\n\n",
		paperRate/1e6, p.result.Date, p.result.Commit, p.largest(), 100*used)
	b.WriteString("| what is used | an event takes | | needed | an installation of | lasts to, events/s |\n|---|---:|---|---:|---|---:|\n")
	demands := p.demands()
	slices.SortStableFunc(demands, func(a, b demand) int { return cmp.Compare(a.has/a.units, b.has/b.units) })
	for _, d := range demands {
		fmt.Fprintf(&b, "| %s | %s | %s | %s %s | %s | %s |\n", d.what, d.event, d.from, rough(d.units), d.unit, d.at, rough(paperRate*d.has/d.units))
	}
	fmt.Fprintf(&b, "\nWhat stands first breaks first: %s, at %s events/s.\n", demands[0].what, rough(paperRate*demands[0].has/demands[0].units))
	return b.String()
}

// rough writes a figure with two digits that count: a model on paper has no more.
func rough(v float64) string {
	switch {
	case v >= 1e7:
		return fmt.Sprintf("%.0f million", v/1e6)
	case v >= 1e6:
		return fmt.Sprintf("%.2g million", v/1e6)
	case v >= 1000:
		return fmt.Sprintf("%.0f", math.Round(v/100)*100)
	case v >= 10:
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.1f", v)
}
