package rerate

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/rater/catalog"
)

// Config bounds the work of a runner.
type Config struct {
	Owner       string        // a name of its own
	Partitions  int           // of the usage log
	Lease       time.Duration // default 15 s
	Page        int           // families looked at in a step; default 1,000
	Sweep       int           // families in a sweep; default and at most usage.MaxSweepFamilies
	Accounts    int           // accounts worked on in a step; default 64
	Attempts    int64         // of one marker; default 10
	Passes      int           // over the lines; default 8
	Idle        time.Duration // between steps without work; default 200 ms
	PauseOnFail time.Duration // default 1 s
	Faults      Faults
	// Again says that the next attempt begins though the marker is not over, as if its state was not known; nil: never.
	Again func() bool
	// Lost says of a partition that nothing is committed any more, so that nothing is waited for; nil: of none.
	Lost func(partition int32) bool
}

// Faults are deliberate violations of the rules; the simulation switches each on in turn and must notice.
type Faults struct {
	SinkNotAwaited    bool // what stands before a marker is summed up before the report store holds it
	OutOfOrder        bool // jobs do not wait for those before them
	SweepForgotten    bool // lines that nothing touches are left as they are
	PoolsUnsettled    bool // … or the lines of pools that others have left
	SharersStay       bool // others that share pools on closed invoices are not corrected
	ActivationNotSeen bool // lines are looked at before the partitions have activated the definitions
}

const (
	openJobs = 64
)

func (c Config) withDefaults() Config {
	number := func(n *int, standard int) {
		if *n <= 0 {
			*n = standard
		}
	}
	duration := func(d *time.Duration, standard time.Duration) {
		if *d <= 0 {
			*d = standard
		}
	}
	number(&c.Page, 1000)
	number(&c.Sweep, usage.MaxSweepFamilies)
	number(&c.Accounts, 64)
	number(&c.Passes, 8)
	duration(&c.Lease, 15*time.Second)
	duration(&c.Idle, 200*time.Millisecond)
	duration(&c.PauseOnFail, time.Second)
	if c.Attempts <= 0 {
		c.Attempts = 10
	}
	if c.Again == nil {
		c.Again = func() bool { return false }
	}
	if c.Lost == nil {
		c.Lost = func(int32) bool { return false }
	}
	return c
}

// Runner does the jobs. Its steps are taken by one goroutine, or by the simulation.
type Runner struct {
	config      Config
	store       Store
	definitions Definitions
	log         Log
	summer      Summer
	demands     Demands
	slog        *slog.Logger
	metrics     *Metrics
	sent        map[string]map[int32]int64 // what was written for an account and where the log ended then
	after       string                     // the account behind which those follow whose turn is next, "": the first
}

// New returns a runner.
func New(c Config, store Store, definitions Definitions, log Log, summer Summer, demands Demands, m *Metrics, l *slog.Logger) *Runner {
	return &Runner{config: c.withDefaults(), store: store, definitions: definitions, log: log, summer: summer, demands: demands, slog: l, metrics: m, sent: map[string]map[int32]int64{}}
}

// Run steps until ctx ends. After an error it pauses and goes on: everything may be done again.
func (r *Runner) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		worked, err := r.Step(ctx)
		wait := r.config.Idle
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			r.metrics.errors.Inc()
			r.slog.Warn("rating usage anew pauses", "error", err)
			wait = r.config.PauseOnFail
		case worked:
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	return ctx.Err()
}

// Step does the next pieces of work and says whether there were some.
func (r *Runner) Step(ctx context.Context) (worked bool, err error) {
	held, err := r.store.Hold(ctx, r.config.Owner, r.config.Lease)
	if err != nil || !held {
		clear(r.sent)
		return false, err
	}
	if worked, err := r.correct(ctx); worked || err != nil {
		return worked, err
	}
	jobs, err := r.store.Jobs(ctx, openJobs)
	r.metrics.open.Set(float64(len(jobs)))
	if err != nil || len(jobs) == 0 {
		clear(r.sent)
		return false, err
	}
	checkpoints, err := r.store.Checkpoints(ctx)
	if err != nil {
		return false, err
	}
	for i := range jobs {
		j := &jobs[i]
		moved, err := r.advance(ctx, j, checkpoints)
		worked = worked || moved
		if err != nil {
			return worked, fmt.Errorf("rate anew after definition %d: %w", j.Seq, err)
		}
		if (j.Pass == 0 || j.Demand && j.Pass == passOwn) && !r.config.Faults.OutOfOrder { // a later one must not find its accounts first
			break
		}
	}
	moved, err := r.accounts(ctx, checkpoints)
	return worked || moved, err
}

// correct demands jobs for accounts with corrections that wait. One that is no more has none: its corrections wait until it is there again.
func (r *Runner) correct(ctx context.Context) (demanded bool, err error) {
	list, err := r.store.Waiting(ctx, r.config.Accounts)
	if err != nil || len(list) == 0 {
		return false, err
	}
	checkpoints, err := r.store.Checkpoints(ctx)
	if err != nil {
		return false, err
	}
	newest := int64(0)
	for _, c := range checkpoints {
		newest = max(newest, c.ActivatedSeq)
	}
	ids := make([]string, len(list))
	for i := range list {
		ids[i] = list[i].Account
	}
	accounts, err := r.definitions.Accounts(ctx, newest, ids)
	if err != nil {
		return false, err
	}
	for _, w := range list {
		if accounts[w.Account] == nil {
			continue
		}
		if err := r.demands.Demand(ctx, w); err != nil {
			return demanded, fmt.Errorf("rate account %s anew for its corrections: %w", w.Account, err)
		}
		demanded = true
	}
	return demanded, nil
}

// advance does a job's next piece of work.
func (r *Runner) advance(ctx context.Context, j *Job, checkpoints map[int32]Checkpoint) (bool, error) {
	switch j.Phase {
	case PhaseLooking:
		if !r.config.Faults.ActivationNotSeen {
			if active, err := r.activated(ctx, j, checkpoints); err != nil || !active {
				return false, err
			}
		}
		return true, r.look(ctx, j)
	case PhaseWaiting:
		ends, err := r.store.Ends(ctx, j.Seq)
		if err != nil {
			return false, err
		}
		if passed, err := r.passed(ctx, checkpoints, ends); err != nil || !passed {
			return false, err
		}
		j.Phase, j.Cursor, j.Found = PhaseLooking, "", 0
		if j.Demand || j.Pass >= r.config.Passes {
			j.Phase = PhaseAccounts
		}
		return true, r.store.Save(ctx, *j, nil, nil)
	case PhaseAccounts:
		left, err := r.store.Left(ctx, j.Seq)
		if err != nil || left > 0 {
			return false, err
		}
		if j.Demand && j.Pass == passOwn {
			found, err := r.beside(ctx, j)
			if err != nil {
				return false, err
			}
			j.Pass = passShared
			return true, r.store.Save(ctx, *j, found, nil)
		}
		unsettled, err := r.store.Unsettled(ctx, j.Seq, r.config.Sweep)
		if err != nil {
			return false, err
		}
		if len(unsettled) > 0 && j.Pass < maxSettled && !r.config.Faults.PoolsUnsettled {
			return true, r.settle(ctx, j, unsettled)
		}
		if len(unsettled) > 0 {
			j.Left = "lines have left pools, and what others owe since is due with their next usage"
		}
		j.Phase = PhaseDone
		r.metrics.done.Inc()
		return true, r.store.Save(ctx, *j, nil, nil)
	}
	return false, nil
}

// maxSettled bounds the passes after which pools are settled: what cannot be is left to their next event.
const maxSettled = 64

// settle sweeps lines of pools that others have left.
func (r *Runner) settle(ctx context.Context, j *Job, families []Family) error {
	sweeps := map[int32][][16]byte{}
	for i := range families {
		sweeps[families[i].Partition] = append(sweeps[families[i].Partition], families[i].ID)
	}
	ends, err := r.sweep(ctx, j.Seq, sweeps)
	if err != nil {
		return err
	}
	j.Pass++
	j.Phase = PhaseWaiting
	return r.store.Save(ctx, *j, nil, ends)
}

// activated says whether every partition has committed the definitions on which there may be lines that the job concerns: of what accounts
// have of their own, those of the accounts. So a partition that has stopped holds up what needs it.
func (r *Runner) activated(ctx context.Context, j *Job, checkpoints map[int32]Checkpoint) (bool, error) {
	var behind []int32
	for p := range int32(r.config.Partitions) { //nolint:gosec // far below
		if !r.config.Lost(p) && checkpoints[p].ActivatedSeq < j.Seq {
			behind = append(behind, p)
		}
	}
	if len(behind) == 0 {
		return true, nil
	}
	of := []string{j.Account}
	if !j.Demand {
		changed, err := r.store.Changed(ctx, j.Seq)
		if err != nil || len(changed.Refs) > 0 || changed.Many {
			return false, err
		}
		of = changed.Accounts
	}
	for _, seq := range []int64{j.Seq, j.Seq - 1} { // one may be gone
		accounts, err := r.definitions.Accounts(ctx, seq, of)
		if err != nil {
			return false, err
		}
		for _, a := range accounts {
			if slices.Contains(behind, usage.PartitionOf(a.RoutingKey, r.config.Partitions)) {
				return false, nil
			}
		}
	}
	return true, nil
}

// passed says whether every partition has committed what lies below the ends, or all that the broker still has.
func (r *Runner) passed(ctx context.Context, checkpoints map[int32]Checkpoint, ends map[int32]int64) (bool, error) {
	var now map[int32]int64
	for p, end := range ends {
		if r.config.Lost(p) || checkpoints[p].Next >= end {
			continue
		}
		if now == nil {
			var err error
			if now, err = r.log.Ends(ctx); err != nil {
				return false, err
			}
		}
		if checkpoints[p].Next < now[p] || now[p] >= end {
			return false, nil
		}
	}
	return true, nil
}

// look looks at the next page of lines.
func (r *Runner) look(ctx context.Context, j *Job) error {
	if j.Demand {
		return r.demand(ctx, j)
	}
	changed, err := r.store.Changed(ctx, j.Seq)
	if err != nil {
		return err
	}
	lines, any, err := r.concerned(ctx, j.Seq, changed)
	if err != nil {
		return err
	}
	var families []Family
	next := ""
	if any {
		if families, next, err = r.store.Families(ctx, lines, j.Cursor, r.config.Page); err != nil {
			return err
		}
	}
	sweeps, found, err := r.sort(ctx, j, families)
	if err != nil {
		return err
	}
	if j.Pass > 0 {
		found = nil
	}
	ends, err := r.sweep(ctx, j.Seq, sweeps)
	if err != nil {
		return err
	}
	for _, list := range sweeps {
		j.Found += int64(len(list))
		j.Swept += int64(len(list))
	}
	r.metrics.swept.Add(float64(len(families)))
	if j.Cursor = next; next == "" {
		j.Pass++
		j.Phase = PhaseAccounts
		if j.Found > 0 {
			j.Phase = PhaseWaiting
		}
	}
	return r.store.Save(ctx, *j, found, ends)
}

// demand has the account rated anew.
func (r *Runner) demand(ctx context.Context, j *Job) error {
	accounts, err := r.definitions.Accounts(ctx, j.Seq, []string{j.Account})
	if err != nil {
		return err
	}
	beside, err := r.beside(ctx, j)
	if err != nil {
		return err
	}
	j.Pass, j.Phase = passShared, PhaseAccounts
	if len(beside) > 0 {
		j.Pass = passOwn // they follow
	}
	a := accounts[j.Account]
	if a == nil {
		j.Left = "the account does not exist"
		return r.store.Save(ctx, *j, nil, nil)
	}
	return r.store.Save(ctx, *j, []AccountJob{{
		Seq: j.Seq, Account: j.Account, Partition: usage.PartitionOf(a.RoutingKey, r.config.Partitions), Product: j.Product,
		From: j.From, Until: j.Until, Closed: true, State: StateOpen,
	}}, nil)
}

// concerned says which lines the definitions may concern.
func (r *Runner) concerned(ctx context.Context, seq int64, changed Changed) (lines Lines, any bool, err error) {
	if len(changed.Refs) == 0 && !changed.Many {
		lines.Accounts = changed.Accounts
		return lines, len(changed.Accounts) > 0, nil
	}
	if changed.Many || len(changed.Accounts) > 0 {
		return lines, true, nil
	}
	old, err := r.definitions.Snapshot(ctx, seq-1)
	if err != nil {
		return lines, false, err
	}
	now, err := r.definitions.Snapshot(ctx, seq)
	if err != nil {
		return lines, false, err
	}
	for _, ref := range changed.Refs {
		for _, s := range []*catalog.Snapshot{old, now} {
			lines.Products = append(lines.Products, productsOf(s, ref)...)
		}
	}
	slices.Sort(lines.Products)
	lines.Products = slices.Compact(lines.Products)
	return lines, len(lines.Products) > 0, nil
}

// productsOf gives the products whose prices a definition has a part in.
func productsOf(s *catalog.Snapshot, ref catalog.Ref) []string {
	var ids []string
	switch ref.Kind {
	case catalog.KindProduct:
		ids = []string{ref.ID}
	case catalog.KindRateClass:
		if c := s.RateClass(ref.ID); c != nil {
			for id := range c.Rates {
				ids = append(ids, id)
			}
		}
	case catalog.KindPackage:
		if k := s.Package(ref.ID); k != nil {
			for id := range k.Products {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// sort says which of the families are swept, by partition, and which accounts are rated anew.
func (r *Runner) sort(ctx context.Context, j *Job, families []Family) (sweeps map[int32][][16]byte, found []AccountJob, err error) {
	plans, err := r.plans(ctx, j.Seq, families)
	if err != nil {
		return nil, nil, err
	}
	sweeps = map[int32][][16]byte{}
	x := r.finder(j)
	for i := range families {
		f := &families[i]
		p := plans[f.Account]
		if p.before == nil || p.after == nil {
			continue // there was no account, or there is none
		}
		effect := effectOn(p.before, p.after, f.Product, f.Package, f.Start, f.End)
		closed := effect != effectNone && f.Sealed && f.SealedSeq < j.Seq
		if closed {
			if closed, err = r.existed(ctx, f.Account, f.SealedSeq); err != nil {
				return nil, nil, err
			}
		}
		switch effect {
		case effectPrices:
			if !closed && f.Seq < j.Seq && !r.config.Faults.SweepForgotten {
				sweeps[f.Partition] = append(sweeps[f.Partition], f.ID)
			}
		case effectBoundaries:
			x.add(f, closed)
			if closed {
				if err := x.sharers(ctx, f, p.before, p.after); err != nil {
					return nil, nil, err
				}
			}
		}
	}
	return sweeps, x.found, nil
}

// existed says whether there was an account under older definitions. What was sealed before there was is priced as if it was not.
func (r *Runner) existed(ctx context.Context, account string, seq int64) (bool, error) {
	accounts, err := r.definitions.Accounts(ctx, seq, []string{account})
	return accounts[account] != nil, err
}

// planPair is an account under the definitions before and after.
type planPair struct{ before, after *catalog.Plan }

func (r *Runner) plans(ctx context.Context, seq int64, families []Family) (map[string]planPair, error) {
	var ids []string
	for i := range families {
		ids = append(ids, families[i].Account)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	pairs := make(map[string]planPair, len(ids))
	if len(ids) == 0 {
		return pairs, nil
	}
	for _, at := range []int64{seq - 1, seq} {
		snap, err := r.definitions.Snapshot(ctx, at)
		if err != nil {
			return nil, err
		}
		accounts, err := r.definitions.Accounts(ctx, at, ids)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			plan, err := catalog.PlanOf(snap, accounts, id)
			if err != nil {
				return nil, fmt.Errorf("compile account %s as of definition %d: %w", id, at, err)
			}
			if plan == nil {
				continue
			}
			pair := pairs[id]
			if at == seq {
				pair.after = plan
			} else {
				pair.before = plan
			}
			pairs[id] = pair
		}
	}
	return pairs, nil
}

// sweep writes the families' sweeps and gives the ends of the log behind them.
func (r *Runner) sweep(ctx context.Context, seq int64, sweeps map[int32][][16]byte) (map[int32]int64, error) {
	if len(sweeps) == 0 {
		return nil, nil
	}
	for _, p := range slices.Sorted(maps.Keys(sweeps)) {
		for chunk := range slices.Chunk(sweeps[p], r.config.Sweep) {
			if err := r.write(ctx, p, usage.Record{Kind: usage.KindSweep, Sweep: &usage.Sweep{Seq: seq, Families: chunk}}); err != nil {
				return nil, err
			}
		}
	}
	return r.ends(ctx, sweeps)
}

func (r *Runner) ends(ctx context.Context, sweeps map[int32][][16]byte) (map[int32]int64, error) {
	all, err := r.log.Ends(ctx)
	if err != nil {
		return nil, err
	}
	ends := map[int32]int64{}
	for p := range sweeps {
		ends[p] = all[p]
	}
	return ends, nil
}

func (r *Runner) write(ctx context.Context, partition int32, rec usage.Record) error {
	return r.log.Broadcast(ctx, partition, usage.AppendRecord(nil, &rec))
}
