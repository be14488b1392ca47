package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"runtime/pprof"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// ratedCase is a number of accounts that the events of end-to-end rating are spread over.
type ratedCase struct {
	name     string
	accounts func(settings) int
	rounds   int    // so many times a round's events in one: the intervals of checkpoints should come several times in it
	goal     string // of the ratio to the loop of events
}

var ratedCases = []ratedCase{
	{"rated", func(s settings) int { return s.Accounts }, 5, "≥ 1.0"},
	{"rated-many", func(s settings) int { return 10 * s.Accounts }, 7, "≥ 0.7"},
	{"rated-million", func(s settings) int { return 100 * s.Accounts }, 10, "≥ 0.4"},
	{"rated-hot", func(settings) int { return 1 }, 3, "≥ 1.0"},
}

// trial is a round: the same events by the rater and by both loops.
type trial struct {
	rater, single, batch sample
	folded               sample // what the rater's lines cost afterwards, when they are folded into their rows
	moved                volumes
}

func (t trial) disturbed() float64 {
	return max(t.rater.disturbed(), t.single.disturbed(), t.batch.disturbed())
}

// ratedFigures are the rounds of the rater and of both loops.
type ratedFigures struct {
	s      settings
	goal   string
	rounds []trial
}

// calm counts the rounds that nobody disturbed.
func (m *ratedFigures) calm() (n int) {
	for _, t := range m.rounds {
		if t.disturbed() <= calmShare {
			n++
		}
	}
	return n
}

// counted names a number of accounts as figures do.
func counted(accounts int) string {
	text := strconv.Itoa(accounts)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	if accounts == 1 {
		return "1 account"
	}
	return text + " accounts"
}

// The subjects of the figures of end-to-end rating.
func subjectRated(accounts int) string   { return "rated, " + counted(accounts) }
func subjectSingles(accounts int) string { return "loop of events, " + counted(accounts) }
func subjectBatches(accounts int) string { return "loop of batches, " + counted(accounts) }

// measures takes the rounds that were disturbed least.
func (m *ratedFigures) measures() []measure {
	rounds := slices.Clone(m.rounds)
	slices.SortStableFunc(rounds, func(a, b trial) int { return cmp.Compare(a.disturbed(), b.disturbed()) })
	rounds = rounds[:min(len(rounds), m.s.Rounds)]
	var rater, single, batch, folded figure
	moved := volumeFigures{}
	for _, t := range rounds {
		rater.add(t.rater)
		single.add(t.single)
		batch.add(t.batch)
		folded.add(t.folded)
		moved.add(t.moved, t.rater.events)
	}
	name, n := subjectRated(m.s.Accounts), counted(m.s.Accounts)
	out := []measure{
		measured(name+": ratio to the loop of events", "ratio", ratios(rater.speed, single.speed)).goal(m.goal),
		measured(name+": ratio to the loop of batches", "ratio", ratios(rater.speed, batch.speed)),
		measured(name+": ratio of processor time, all processes, to the loop of events", "ratio", ratios(rater.all, single.all)).
			note("others on the machine disturb it less than the clock; below 1 rating costs less than the loop"),
		measured(name+": speed", "events/s", rater.speed).
			note("%d events a round, batches of %d, %d partitions; until the last checkpoint, so the last interval is part of it. "+
				"The %d of %d rounds in which others used least of the machine, at most %.0f%%",
				m.s.Events, m.s.Batch, m.s.Partitions, len(rounds), len(m.rounds), 100*rounds[len(rounds)-1].disturbed()),
		measured("loop of events, "+n+": speed", "events/s", single.speed),
		measured("loop of batches, "+n+": speed", "events/s", batch.speed),
	}
	out = append(out, measured(name+": lines folded into their rows afterwards, processor time", "µs/event", folded.all).
		note("not part of the figures above: all processes, from the last checkpoint until nothing waits to be folded"))
	out = append(out, rater.cost(name)...)
	out = append(out, single.cost(subjectSingles(m.s.Accounts))...)
	out = append(out, batch.cost(subjectBatches(m.s.Accounts))...)
	return append(out, moved.measures(name)...)
}

// roundTimeout bounds what is waited for one round.
const roundTimeout = 2 * time.Minute

// measure compares end-to-end rating with both loops. The first round warms up: every account gets its line in it.
func (rc ratedCase) measure(ctx context.Context, c *corner, s settings, out *report) error {
	s.Accounts, s.Events = rc.accounts(s), rc.rounds*s.Events
	r, err := newRig(ctx, c, s)
	if err != nil {
		return err
	}
	defer func() { out.warn(c.clean()) }()
	defer r.close()
	singles := &stream{accounts: r.events.accounts, start: r.events.start}
	if err := load(ctx, c.kafka, r.single, s.Partitions, singles, s.Events, 1); err != nil {
		return err
	}
	if r.singles, err = c.ends(ctx, r.single); err != nil {
		return err
	}
	if _, err := r.round(ctx, s, 0, max(s.Events, s.Accounts)); err != nil {
		return fmt.Errorf("warm up: %w", err)
	}
	m := &ratedFigures{s: s, goal: rc.goal}
	for round := 1; round <= s.Rounds+s.Repeats && m.calm() < s.Rounds; round++ {
		t, err := r.round(ctx, s, round, s.Events)
		if err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		m.rounds = append(m.rounds, t)
	}
	out.add(m.measures()...)
	return nil
}

// round runs the rater and both loops in turn, each time another one first.
func (r *rig) round(ctx context.Context, s settings, round, events int) (t trial, err error) {
	ctx, cancel := context.WithTimeout(ctx, 4*roundTimeout)
	defer cancel()
	begin, end, err := r.fill(ctx, events, s.Batch)
	if err != nil {
		return t, err
	}
	none := offsets{}
	for p := range r.singles {
		none[p] = 0
	}
	runs := []struct {
		sample *sample
		events int
		do     func() (time.Duration, error)
	}{
		{&t.rater, events, func() (took time.Duration, err error) {
			t.moved, took, err = r.weighed(ctx, func() (time.Duration, error) { return r.profiled(ctx, s, round, end) })
			return took, err
		}},
		{&t.single, s.Events, func() (time.Duration, error) { return r.c.loop(ctx, r.single, r.moved, none, r.singles) }},
		{&t.batch, events, func() (time.Duration, error) { return r.c.loop(ctx, r.usage, r.moved, begin, end) }},
	}
	for i := range runs {
		run := &runs[(i+round)%len(runs)]
		if *run.sample, err = r.c.timed(ctx, s, run.events, run.do); err != nil {
			return t, err
		}
		if run.sample != &t.rater {
			continue
		}
		before := r.c.cpu()
		took, err := folded(ctx, r.pool) // the loops must not pay for it
		if err != nil {
			return t, err
		}
		t.folded = sample{events, took, r.c.cpu().minus(before)}
	}
	return t, nil
}

// folded returns when no changed lines wait to be folded into their rows, and how long that took.
func folded(ctx context.Context, pool *pgxpool.Pool) (time.Duration, error) {
	began := time.Now()
	for {
		var waiting int
		if err := pool.QueryRow(ctx, "SELECT count(*) FROM line_cut").Scan(&waiting); err != nil {
			return 0, fmt.Errorf("ask for lines to fold: %w", err)
		}
		if waiting == 0 {
			return time.Since(began), nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return 0, fmt.Errorf("the lines of %d commits are not folded: %w", waiting, ctx.Err())
		}
	}
}

// timed measures what a run of events took, in a calm moment if there is one.
func (c *corner) timed(ctx context.Context, s settings, events int, do func() (time.Duration, error)) (sample, error) {
	if err := awaitCalm(ctx, s.Patience); err != nil {
		return sample{}, err
	}
	before := c.cpu()
	took, err := do()
	return sample{events, took, c.cpu().minus(before)}, err
}

// rivals are a subject and the baseline that is measured beside it.
type rivals struct {
	subject, bare    figure
	ratio, processor []float64 // of the baseline to the subject: time, and processor time of all processes
}

// alternate runs both in changing order, round after round; the first only warms up.
func (r *rivals) alternate(rounds int, subject, bare func(round int) (sample, error)) (err error) {
	for round := range rounds + 1 {
		var of, to sample
		runs := []struct {
			sample *sample
			do     func(round int) (sample, error)
		}{{&of, subject}, {&to, bare}}
		for i := range runs {
			run := runs[(i+round)%len(runs)]
			if *run.sample, err = run.do(round); err != nil {
				return err
			}
		}
		if round == 0 {
			continue
		}
		r.subject.add(of)
		r.bare.add(to)
		r.ratio = append(r.ratio, to.took.Seconds()/of.took.Seconds())
		r.processor = append(r.processor, r.bare.all[len(r.bare.all)-1]/r.subject.all[len(r.subject.all)-1])
	}
	return nil
}

// profiled rates a round, with a profile if that is asked.
func (r *rig) profiled(ctx context.Context, s settings, round int, end offsets) (took time.Duration, err error) {
	if s.Profile == "" || round == 0 {
		return r.rate(ctx, end)
	}
	profile, err := profileOf(func() (err error) { took, err = r.rate(ctx, end); return err })
	if err != nil {
		return 0, err
	}
	return took, os.WriteFile(fmt.Sprintf("%s.%d.%d", s.Profile, s.Accounts, round), profile, 0o600)
}

// profileOf takes a processor profile of this process while something is done.
func profileOf(do func() error) ([]byte, error) {
	var b bytes.Buffer
	if err := pprof.StartCPUProfile(&b); err != nil {
		return nil, fmt.Errorf("start the profile: %w", err)
	}
	err := do()
	pprof.StopCPUProfile()
	return b.Bytes(), err
}
