package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/tollstream/tollstream/cmd/tollstream/server"
	rkafka "github.com/tollstream/tollstream/rater/kafka"
)

// raterCounts are the numbers of processes that share the partitions.
var raterCounts = []int{1, 2, 4}

// teamRounds makes a round long enough that what a process does by itself, awakened and without usage, is a small part of it.
const teamRounds = 6

// team is several rater processes on the same stores, and the usage that they rate.
type team struct {
	c        *corner
	settings serverSettings
	pool     *pgxpool.Pool
	stream   *stream
	raters   []*site
}

// measureScaling lets 1, 2 and 4 rater processes share the same partitions and compares what an event costs; then processes
// come, leave and are killed while usage arrives. At the end every line must be what the events sent add up to.
func measureScaling(ctx context.Context, c *corner, s settings, out *report) error {
	s.Events *= teamRounds
	tm, err := newTeam(ctx, c, s)
	if err != nil {
		return err
	}
	defer func() { out.warn(c.clean()) }()
	defer func() { out.warn(tm.close()) }()
	var costs []figure
	for _, n := range raterCounts {
		cost, err := tm.costOf(ctx, s, n)
		if err != nil {
			return fmt.Errorf("%d raters: %w", n, err)
		}
		costs = append(costs, cost)
		out.add(cost.cost(subjectRaters(n))...)
	}
	for i, n := range raterCounts {
		if i > 0 {
			out.add(measured(subjectRaters(n)+": cost of an event, all processes, to that of one", "ratio", ratios(costs[i].all, costs[0].all)).goal("≤ 1.1"))
		}
		out.add(measured(subjectRaters(n)+": speed", "events/s", costs[i].speed).note("they share the machine's cores"))
	}
	if err := tm.change(ctx, s); err != nil {
		return fmt.Errorf("raters come and go: %w", err)
	}
	assignments, wrong, err := tm.verify(ctx)
	if err != nil {
		return err
	}
	out.add(measured("raters come, leave and are killed: lines that differ from the events sent", "lines", []float64{float64(wrong)}).goal("≤ 0").
		note("%d events on %d accounts; partitions were assigned %d times", tm.stream.at, s.Accounts, assignments))
	return nil
}

func subjectRaters(n int) string {
	if n == 1 {
		return "1 rater process"
	}
	return fmt.Sprintf("%d rater processes", n)
}

func newTeam(ctx context.Context, c *corner, s settings) (tm *team, err error) {
	tm = &team{c: c, stream: &stream{accounts: accountIDs(s.Accounts), start: monthStart(time.Now()).UnixNano()}}
	if tm.settings, err = c.siteSettings(ctx, s, server.RoleRater); err != nil {
		return nil, err
	}
	if tm.pool, err = connect(ctx, tm.settings.Postgres); err != nil {
		return nil, err
	}
	return tm, c.define(ctx, tm.pool, rkafka.UsageTopic, tm.stream.accounts, s.Partitions)
}

// monthStart is in the past and, since events follow one another by a microsecond, so are they all: one invoice an account.
func monthStart(now time.Time) time.Time {
	return time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
}

func (tm *team) close() error {
	var errs []error
	for len(tm.raters) > 0 {
		errs = append(errs, tm.leave())
	}
	tm.pool.Close()
	return errors.Join(errs...)
}

// join starts a rater, which works until ctx ends at the latest; leave stops the last one in order, kill does not ask.
func (tm *team) join(ctx context.Context) error {
	r, err := startSite(ctx, tm.settings, "")
	if err == nil {
		tm.raters = append(tm.raters, r)
	}
	return err
}

func (tm *team) leave() error {
	last := len(tm.raters) - 1
	r := tm.raters[last]
	tm.raters = tm.raters[:last]
	return r.stop()
}

func (tm *team) kill() error {
	r := tm.raters[0]
	tm.raters = tm.raters[1:]
	err := r.process.Process.Kill()
	_ = r.process.Wait() // says that it was killed
	return err
}

// resize lets raters join or leave until there are n of them, each with its part of the partitions.
func (tm *team) resize(ctx context.Context, n int) error {
	for len(tm.raters) < n {
		if err := tm.join(ctx); err != nil {
			return err
		}
	}
	for len(tm.raters) > n {
		if err := tm.leave(); err != nil {
			return err
		}
	}
	waiting, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	return tm.c.administer(func(admin *kadm.Client) error {
		for {
			state, own, err := members(waiting, admin)
			if err == nil && state == "Stable" && evenly(own, n, tm.settings.Partitions) {
				return nil
			}
			select {
			case <-time.After(100 * time.Millisecond):
			case <-waiting.Done():
				return fmt.Errorf("wait until %d raters share the partitions; the group is %s, its members have %v: %w", n, state, own, errors.Join(err, waiting.Err()))
			}
		}
	})
}

// members says how many partitions each member of the raters' group has.
func members(ctx context.Context, admin *kadm.Client) (state string, own []int, err error) {
	groups, err := admin.DescribeGroups(ctx, rkafka.GroupName)
	if err != nil {
		return "", nil, err
	}
	g := groups[rkafka.GroupName]
	for _, m := range g.Members {
		n := 0
		if assigned, ok := m.Assigned.AsConsumer(); ok {
			for _, t := range assigned.Topics {
				n += len(t.Partitions)
			}
		}
		own = append(own, n)
	}
	return g.State, own, g.Err
}

// evenly says whether n members have all partitions, none one more than its share.
func evenly(own []int, n, partitions int) bool {
	all := 0
	for _, m := range own {
		if m > (partitions+n-1)/n {
			return false
		}
		all += m
	}
	return len(own) == n && all == partitions
}

// costOf rates rounds of events by n processes. They are held while a round is filled in, shorter than a session of the group lasts.
func (tm *team) costOf(ctx context.Context, s settings, n int) (cost figure, err error) {
	if err := tm.resize(ctx, n); err != nil {
		return cost, err
	}
	for round := range s.Rounds + 1 {
		rated, err := tm.round(ctx, s)
		if err != nil {
			return cost, fmt.Errorf("round %d: %w", round, err)
		}
		if round > 0 { // the first one warms up
			cost.add(rated)
		}
	}
	return cost, nil
}

func (tm *team) round(ctx context.Context, s settings) (sample, error) {
	if err := awaitCalm(ctx, s.Patience); err != nil {
		return sample{}, err
	}
	if err := tm.signal(syscall.SIGSTOP); err != nil {
		return sample{}, err
	}
	err := load(ctx, tm.c.kafka, rkafka.UsageTopic, s.Partitions, tm.stream, s.Events, s.Batch)
	before, own := tm.c.cpu(), tm.cpu()
	began := time.Now()
	if err := errors.Join(err, tm.signal(syscall.SIGCONT)); err != nil {
		return sample{}, err
	}
	if err := tm.caughtUp(ctx); err != nil {
		return sample{}, err
	}
	used := tm.c.cpu().minus(before)
	used.busy -= used.self // this process only watched
	used.self = tm.cpu() - own
	rated := sample{s.Events, time.Since(began), used}
	_, err = folded(ctx, tm.pool)
	return rated, err
}

func (tm *team) signal(sig syscall.Signal) error {
	var errs []error
	for _, r := range tm.raters {
		errs = append(errs, r.process.Process.Signal(sig))
	}
	return errors.Join(errs...)
}

// cpu is the processor time of all raters.
func (tm *team) cpu() (sum time.Duration) {
	for _, r := range tm.raters {
		sum += processCPU(r.process.Process.Pid)
	}
	return sum
}

// caughtUp returns when every partition is checkpointed up to its end.
func (tm *team) caughtUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*roundTimeout)
	defer cancel()
	ends, err := tm.c.ends(ctx, rkafka.UsageTopic)
	if err != nil {
		return err
	}
	want := int64(0)
	for _, end := range ends {
		want += end
	}
	for {
		var done int64
		if err := tm.pool.QueryRow(ctx, "SELECT coalesce(sum(next_offset), 0) FROM rater_checkpoint").Scan(&done); err != nil {
			return fmt.Errorf("read the checkpoints: %w", err)
		}
		if done == want {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%d of %d records are checkpointed: %w", done, want, ctx.Err())
		}
	}
}

// pace is how many events a second arrive while raters come and go.
const pace = 20_000

// change lets raters come and go while usage arrives. The group settles before the next of them does: the embedded broker, which the
// brief run has, keeps a member that leaves before its first join was answered, and lets the others wait a minute for it.
func (tm *team) change(ctx context.Context, s settings) error {
	if err := tm.resize(ctx, 1); err != nil {
		return err
	}
	join := func() error { return tm.join(ctx) }
	steps := []func() error{join, join, tm.leave, join, tm.kill, tm.leave}
	for _, step := range slices.Concat([]func() error{func() error { return nil }}, steps) {
		if err := step(); err != nil {
			return err
		}
		if err := tm.arrive(ctx, s, s.Events/len(steps)/teamRounds/4); err != nil {
			return err
		}
		if err := tm.resize(ctx, len(tm.raters)); err != nil {
			return err
		}
	}
	return tm.caughtUp(ctx)
}

// arrive sends events at a steady pace.
func (tm *team) arrive(ctx context.Context, s settings, n int) error {
	const parts = 20 // a second
	ticker := time.NewTicker(time.Second / parts)
	defer ticker.Stop()
	for n > 0 {
		some := min(n, pace/parts)
		if err := load(ctx, tm.c.kafka, rkafka.UsageTopic, s.Partitions, tm.stream, some, s.Batch); err != nil {
			return err
		}
		n -= some
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// verify compares every line with what the sent events add up to.
func (tm *team) verify(ctx context.Context) (assignments int64, wrong int, err error) {
	want := sums(tm.stream)
	rows, err := tm.pool.Query(ctx, "SELECT account, product, events, quantity::text, amount::text FROM line_now")
	if err != nil {
		return 0, 0, fmt.Errorf("read the lines: %w", err)
	}
	defer rows.Close()
	seen := 0
	for rows.Next() {
		var account, product, quantity, amount string
		var events int64
		if err := rows.Scan(&account, &product, &events, &quantity, &amount); err != nil {
			return 0, 0, fmt.Errorf("read a line: %w", err)
		}
		seen++
		if w, ok := want[account]; !ok || !w.matches(product, events, quantity, amount) {
			wrong++
		}
	}
	if err := rows.Err(); err != nil {
		return 0, 0, fmt.Errorf("read the lines: %w", err)
	}
	if seen != len(want) {
		wrong += max(seen-len(want), len(want)-seen)
	}
	err = tm.pool.QueryRow(ctx, "SELECT sum(epoch) FROM rater_checkpoint").Scan(&assignments)
	return assignments, wrong, err
}
