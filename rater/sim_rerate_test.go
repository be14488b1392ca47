package rater

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/rerate"
)

// simJobs are the rows of jobs, immutable.
type simJobs struct {
	jobs     []rerate.Job // by sequence number, from 1
	ends     map[int64]map[int32]int64
	accounts map[simAccountJob]rerate.AccountJob
	owner    string
	until    time.Time
}

type simAccountJob struct {
	account string
	seq     int64
}

func (j *simJobs) clone() *simJobs {
	return &simJobs{slices.Clone(j.jobs), maps.Clone(j.ends), maps.Clone(j.accounts), j.owner, j.until}
}

// addJob is part of the transaction that writes a definition.
func (w *world) addJob(row *simRow) {
	jobs := w.jobs
	if jobs == nil { // of the beginning, which is shared
		return
	}
	next := jobs.clone()
	j := rerate.Job{Seq: int64(len(w.defs)), Demand: row.demand != "", Account: row.demand, From: row.from, Until: row.until, Phase: rerate.PhaseLooking}
	if !w.anew { // prices stay as they were when usage was charged: see oracle.totals
		j.Phase = rerate.PhaseDone
	}
	if len(next.jobs) == 0 { // those that were there from the beginning have nothing to rate anew
		for seq := int64(1); seq < j.Seq; seq++ {
			next.jobs = append(next.jobs, rerate.Job{Seq: seq, Phase: rerate.PhaseDone})
		}
	}
	next.jobs = append(next.jobs, j)
	w.jobs = next
}

// simWorks are two processes' runners; one of them has the lease.
type simWorks struct {
	w       *world
	running [2]*rerate.Runner
	names   int
	asleep  bool
}

var simWorkMetrics = rerate.NewMetrics(prometheus.NewRegistry())

func newSimWorks(w *world) *simWorks {
	s := &simWorks{w: w}
	for i := range s.running {
		s.start(i)
	}
	return s
}

func (s *simWorks) start(i int) {
	s.names++
	s.running[i] = rerate.New(rerate.Config{
		Owner: fmt.Sprint("job ", s.names), Partitions: s.w.parts, Page: 1 + s.w.n(30), Sweep: 1 + s.w.n(6), Faults: s.w.faults.Job,
		Again: func() bool { return !s.w.quiet && s.w.n(6) == 0 }, Attempts: 3,
		Lost: func(p int32) bool { return s.w.stopped[p] },
	}, s, simWorkDefinitions{s.w}, simWorkLog{s}, s, s, simWorkMetrics, simSilent)
}

func (s *simWorks) kill(i int) {
	s.w.did("job killed")
	s.start(i)
}

func (s *simWorks) step(i int) {
	if _, err := s.running[i].Step(context.Background()); err != nil && s.w.tracing {
		s.w.log("rating anew: %v", err)
	}
}

func (s *simWorks) settle(round int) {
	for range 8 {
		if s.waitsFor() == "" {
			return
		}
		s.step(round / 40 % 2)
	}
}

func (s *simWorks) waitsFor() string {
	for _, j := range s.w.jobs.jobs {
		if j.Phase != rerate.PhaseDone {
			return fmt.Sprintf("the job of definition %d is %s", j.Seq, j.Phase)
		}
	}
	for p := range int32(s.w.parts) {
		if n := len(s.waiting(p)); n > 0 && !s.w.stopped[p] {
			return fmt.Sprintf("%d corrections on partition %d", n, p)
		}
	}
	return ""
}

// interrupted lets a call fail, or the process sleep while the other works.
func (s *simWorks) interrupted() error {
	w := s.w
	switch {
	case w.quiet:
	case w.n(30) == 0:
		return errSim
	case w.n(60) == 0 && !s.asleep:
		s.asleep = true
		w.did("a job sleeps")
		w.sinks.now = w.sinks.now.Add(time.Minute)
		for range w.n(6) {
			s.step(w.n(2))
			w.goOnSome(10)
		}
		s.asleep = false
	}
	return nil
}

// save changes the rows; the answer may be lost.
func (s *simWorks) save(change func(*simJobs)) error {
	next := s.w.jobs.clone()
	change(next)
	s.w.jobs = next
	s.w.note()
	return s.interrupted()
}

func (s *simWorks) Hold(_ context.Context, owner string, ttl time.Duration) (bool, error) {
	j := s.w.jobs
	if j.owner != owner && s.w.sinks.now.Before(j.until) && !s.w.quiet {
		return false, nil
	}
	if j.owner == owner && s.w.sinks.now.Add(ttl/2).Before(j.until) {
		return true, nil
	}
	next := j.clone()
	next.owner, next.until = owner, s.w.sinks.now.Add(ttl)
	s.w.jobs = next
	return true, nil
}

func (s *simWorks) Jobs(_ context.Context, limit int) (out []rerate.Job, err error) {
	for _, j := range s.w.jobs.jobs {
		if j.Phase != rerate.PhaseDone && len(out) < limit {
			out = append(out, j)
		}
	}
	return out, nil
}

func (s *simWorks) Changed(_ context.Context, seq int64) (c rerate.Changed, err error) {
	d := s.w.defs[seq-1]
	of := ""
	switch {
	case d.bill != nil:
		of = d.bill.account
	case d.price != nil && d.price.contract != "":
		of = d.price.account
	case d.price != nil:
		c.Refs = []catalog.Ref{d.row.Ref}
	}
	for _, a := range simAccounts {
		for x := a; x != "" && of != ""; x = simParent[x] {
			if x == of && (a == of || !s.w.faults.ChildrenLeftOut) {
				c.Accounts = append(c.Accounts, a)
			}
		}
	}
	return c, s.interrupted()
}

func (s *simWorks) Families(_ context.Context, lines rerate.Lines, cursor string, limit int) (out []rerate.Family, next string, err error) {
	for p, v := range s.w.pg {
		ids := slices.SortedFunc(maps.Keys(v.lines), func(a, b activity.ID) int { return bytes.Compare(a[:], b[:]) })
		for _, id := range ids {
			at := fmt.Sprintf("%d %s", p, hex.EncodeToString(id[:]))
			l := v.lines[id][0]
			if at <= cursor || l.RateLevel == LevelCorrection || s.w.stopped[p] || lines.Accounts != nil && !slices.Contains(lines.Accounts, l.Account) ||
				lines.Products != nil && !slices.Contains(lines.Products, l.Product) {
				continue
			}
			if len(out) == limit {
				return out, next, s.interrupted()
			}
			f := rerate.Family{Partition: int32(p), ID: id, Account: l.Account, Product: l.Product, Package: l.Package, Start: l.UsagePeriod.Start, End: l.UsagePeriod.End, Seq: l.Seq}
			seal := v.seals[l.Owed]
			f.SealedSeq, f.Sealed = seal.sealedUnder(f.End)
			out, next = append(out, f), at
		}
	}
	return out, "", s.interrupted()
}

func (s *simWorks) Save(_ context.Context, j rerate.Job, found []rerate.AccountJob, ends map[int32]int64) error {
	if err := s.interrupted(); err != nil {
		return err
	}
	if j.Behind(&s.w.jobs.jobs[j.Seq-1]) {
		s.w.did("a job is behind another process")
		if !s.w.faults.JobGoesBack {
			return rerate.ErrBehind
		}
	}
	return s.save(func(rows *simJobs) {
		rows.jobs[j.Seq-1] = j
		if rows.ends == nil {
			rows.ends, rows.accounts = map[int64]map[int32]int64{}, map[simAccountJob]rerate.AccountJob{}
		}
		all := maps.Clone(rows.ends[j.Seq])
		if all == nil {
			all = map[int32]int64{}
		}
		for p, end := range ends {
			all[p] = max(all[p], end)
			s.w.did("lines swept")
		}
		rows.ends[j.Seq] = all
		for _, a := range found {
			key := simAccountJob{a.Account, a.Seq}
			if old, known := rows.accounts[key]; known {
				a.From, a.Until, a.Closed, a.State = min(a.From, old.From), max(a.Until, old.Until), a.Closed || old.Closed, old.State
				if old.Product != a.Product {
					a.Product = ""
				}
			}
			rows.accounts[key] = a
		}
	})
}

func (s *simWorks) Ends(_ context.Context, seq int64) (map[int32]int64, error) {
	return s.w.jobs.ends[seq], nil
}

func (s *simWorks) Accounts(_ context.Context, after string, limit int) (out []rerate.AccountJob, err error) {
	seen := map[string]bool{}
	open := slices.SortedFunc(maps.Values(s.w.jobs.accounts), func(a, b rerate.AccountJob) int {
		return cmp.Or(cmp.Compare(a.Seq, b.Seq), strings.Compare(a.Account, b.Account))
	})
	if s.w.faults.Job.OutOfOrder {
		slices.Reverse(open)
	}
	for _, a := range open {
		looked := s.w.jobs.jobs[a.Seq-1].Pass > 0
		if a.State == rerate.StateOpen && looked && !seen[a.Account] && a.Account > after {
			out, seen[a.Account] = append(out, a), true
		}
	}
	slices.SortFunc(out, func(a, b rerate.AccountJob) int { return strings.Compare(a.Account, b.Account) })
	return out[:min(limit, len(out))], nil
}

func (s *simWorks) Left(_ context.Context, seq int64) (n int, err error) {
	for _, a := range s.w.jobs.accounts {
		if a.Seq == seq && a.State == rerate.StateOpen && !s.w.stopped[a.Partition] {
			n++
		}
	}
	return n, nil
}

func (s *simWorks) SaveAccount(_ context.Context, a rerate.AccountJob) error {
	if a.State == rerate.StateFailed || a.Message != "" {
		fail("account %s is not rated anew after definition %d: %s", a.Account, a.Seq, a.Message)
	}
	if err := s.interrupted(); err != nil {
		return err
	}
	key := simAccountJob{a.Account, a.Seq}
	if s.w.jobs.accounts[key].State != rerate.StateOpen {
		return nil
	}
	return s.save(func(rows *simJobs) { rows.accounts[key] = a })
}

func (s *simWorks) Markers(_ context.Context, accounts []rerate.AccountJob) ([]rerate.Marker, error) {
	out := make([]rerate.Marker, len(accounts))
	for i, a := range accounts {
		m := s.w.pg[a.Partition].marks[a.Account]
		out[i] = rerate.Marker{Seq: m.Seq, Attempt: m.Attempt, At: m.At, Under: m.Under, Done: m.Done, Open: m.Open, Over: m.Over}
	}
	return out, s.interrupted()
}

func (s *simWorks) Checkpoints(context.Context) (map[int32]rerate.Checkpoint, error) {
	out := map[int32]rerate.Checkpoint{}
	for p, v := range s.w.pg {
		out[int32(p)] = rerate.Checkpoint{Next: v.c.Next, ActivatedSeq: v.c.ActivatedSeq}
	}
	return out, s.interrupted()
}

func (s *simWorks) Sunk(context.Context) (map[int32]int64, error) {
	out := map[int32]int64{}
	for p, v := range s.w.pg {
		out[int32(p)] = v.sunk.Last
		if v.sunk.Next == 0 {
			out[int32(p)] = -1
		}
	}
	return out, nil
}

// Broadcast writes now, late, or twice, and the answer may be lost.
func (s *simWorks) Broadcast(_ context.Context, p int32, record []byte) error {
	if err := s.interrupted(); err != nil {
		return err
	}
	var r usage.Record
	if err := usage.Decode(record, &r); err != nil {
		fail("a job writes what cannot be read: %v", err)
	}
	if r.Kind == usage.KindValues && !s.w.quiet && s.w.n(3) == 0 { // it may come behind the result
		s.w.late = append(s.w.late, pendingUsage{p, r})
		return s.interrupted()
	}
	s.w.send(p, r)
	if r.Kind == usage.KindMarker {
		s.w.behindMarker()
	}
	return s.interrupted()
}

// behindMarker lets usage and seals arrive before the result does. Mostly that is at the end, when sinks catch up and clients are gone.
func (w *world) behindMarker() {
	for range w.n(4) {
		w.client()
	}
	if w.n(4) == 0 {
		w.sealSome()
	}
}

// simWorkLog is the log; Ends of the store are others.
type simWorkLog struct{ *simWorks }

func (s simWorkLog) Ends(context.Context) (map[int32]int64, error) {
	out := map[int32]int64{}
	for p := range s.w.usage {
		out[int32(p)] = int64(len(s.w.usage[p]))
	}
	return out, s.interrupted()
}

// Sum is the real one, of what the report store holds.
func (s *simWorks) Sum(ctx context.Context, a rerate.AccountJob, m rerate.Marker) (out rerate.Summed, err error) {
	if err := s.interrupted(); err != nil {
		return out, err
	}
	sum, err := s.summing().Sum(ctx, simQuestion(a, m))
	if err != nil {
		return out, err
	}
	for product, why := range sum.Left {
		fail("product %s of account %s is left out: %s", product, a.Account, why)
	}
	for product, why := range sum.Closed {
		fail("closed lines of product %s of account %s are left as they are: %s", product, a.Account, why)
	}
	if len(sum.Corrections) > 0 {
		s.w.did("correction of what is sealed")
	}
	out.Results, err = sum.Results(a.Account, a.Seq, m.Attempt, m.At)
	out.Values = s.simValues(sum.Values(a.Account, a.Seq, m.Attempt, m.At))
	if len(sum.Lines) > 1 { // several parts, as of a large account
		out.Results = simParts(out.Results[0])
	}
	return out, errors.Join(err, s.interrupted())
}

// simValues cuts values into smaller records.
func (s *simWorks) simValues(all iter.Seq[*usage.Values]) iter.Seq[*usage.Values] {
	return func(yield func(*usage.Values) bool) {
		for v := range all {
			for chunk := range slices.Chunk(v.Values, 1+s.w.n(4)) {
				part := *v
				part.Values = chunk
				s.w.did("values counted before a marker")
				if !yield(&part) {
					return
				}
			}
		}
	}
}

// simParts cuts a result into smaller parts.
func simParts(r usage.Result) (parts []usage.Result) {
	for i := range r.Lines {
		p := r
		p.Lines, p.Part, p.Parts = r.Lines[i:i+1], i+1, len(r.Lines)
		if i > 0 {
			p.Corrections, p.Answers = nil, nil
		}
		if p.Parts > usage.MaxResultParts {
			return []usage.Result{r}
		}
		parts = append(parts, p)
	}
	return parts
}

func (s *simWorks) summing() *Summing {
	return &Summing{Definitions: simWorkDefinitions{s.w}, Usage: s, Lines: s, Waiting: s}
}

func simQuestion(a rerate.AccountJob, m rerate.Marker) SumQuestion {
	return SumQuestion{Partition: a.Partition, Account: a.Account, Seq: a.Seq, Under: m.Under, Below: m.At, Product: a.Product, From: a.From, Until: a.Until, Closed: a.Closed}
}

func (s *simWorks) Unanswered(ctx context.Context, a rerate.AccountJob, m rerate.Marker) ([]usage.Answer, error) {
	return s.summing().Unanswered(ctx, simQuestion(a, m))
}

func (s *simWorks) Each(_ context.Context, q UsageQuestion, do func(int64, *activity.Activity) error) error {
	for _, r := range s.w.sinks.reported() {
		if r.Partition == q.Partition && r.Offset < q.Below && q.asksFor(&r.Activity) {
			if err := do(r.Offset, &r.Activity); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *simWorks) EachCorrection(ctx context.Context, q UsageQuestion, do func(int64, *activity.Activity) error) error {
	return s.Each(ctx, q, func(offset int64, a *activity.Activity) error {
		if (a.Sent().Corrects == usage.EventName{}) || s.w.faults.CorrectedAgain {
			return nil
		}
		return do(offset, a)
	})
}

func (s *simWorks) Unsettled(_ context.Context, seq int64, limit int) (out []rerate.Family, err error) {
	ordered := func(a, b activity.ID) int { return bytes.Compare(a[:], b[:]) }
	for p, v := range s.w.pg {
		for _, id := range slices.SortedFunc(maps.Keys(v.pools), ordered) {
			if v.pools[id].Seq != -seq || s.w.stopped[p] {
				continue
			}
			for _, family := range slices.SortedFunc(maps.Keys(v.lines), ordered) {
				if len(out) < limit && slices.ContainsFunc(v.lines[family], func(l LineState) bool { return hasShareOf(&l, id) }) {
					s.w.did("a pool that lines have left is settled")
					out = append(out, rerate.Family{Partition: int32(p), ID: family})
					break
				}
			}
		}
	}
	return out, s.interrupted()
}

func (s *simWorks) Sharing(_ context.Context, f rerate.Family, limit int) (out []rerate.Family, err error) {
	v := s.w.pg[f.Partition]
	own := v.lines[f.ID][0]
	seen := map[string]bool{f.Account: true}
	for _, id := range slices.SortedFunc(maps.Keys(v.lines), func(a, b activity.ID) int { return bytes.Compare(a[:], b[:]) }) {
		l := v.lines[id][0]
		if l.Owed != own.Owed || l.Product != own.Product || l.UsagePeriod != own.UsagePeriod || l.RateLevel == LevelCorrection || seen[l.Account] || len(out) == limit {
			continue
		}
		seen[l.Account] = true
		s.w.did("others that share pools on closed invoices")
		out = append(out, rerate.Family{Partition: f.Partition, ID: id, Account: l.Account, Product: l.Product, Package: l.Package, Start: f.Start, End: f.End, Seq: l.Seq})
	}
	return out, s.interrupted()
}

// waiting gives the corrections that wait on a partition, in log order.
func (s *simWorks) waiting(partition int32) (out []RejectedUsage) {
	for _, r := range s.w.pg[partition].rej {
		if r.Reason == ReasonCorrectionWaits {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b RejectedUsage) int {
		return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Index, b.Index))
	})
	return out
}

func (s *simWorks) CorrectionsWaiting(_ context.Context, partition int32, account string, below int64, limit int) (out []RejectedUsage, err error) {
	for _, r := range s.waiting(partition) {
		if r.Event.Account == account && r.Offset < below && len(out) < limit {
			out = append(out, r)
		}
	}
	return out, s.interrupted()
}

func (s *simWorks) Waiting(_ context.Context, limit int) (out []rerate.Waiting, err error) {
	of := map[string]rerate.Waiting{}
	for p := range s.w.pg {
		if s.w.stopped[int32(p)] {
			continue
		}
		for _, r := range s.waiting(int32(p)) {
			a, t := r.Event.Account, r.Event.Time
			if w, known := of[a]; known {
				of[a] = rerate.Waiting{Account: a, From: min(w.From, t), Until: max(w.Until, t+1)}
			} else {
				of[a] = rerate.Waiting{Account: a, From: t, Until: t + 1}
			}
		}
	}
	for _, j := range s.w.jobs.jobs {
		if j.Demand && j.Phase != rerate.PhaseDone {
			delete(of, j.Account)
		}
	}
	for _, a := range slices.Sorted(maps.Keys(of)) {
		if len(out) < limit {
			out = append(out, of[a])
		}
	}
	return out, s.interrupted()
}

func (s *simWorks) Demand(_ context.Context, x rerate.Waiting) error {
	if err := s.interrupted(); err != nil {
		return err
	}
	s.w.define(&simRow{demand: x.Account, from: x.From, until: x.Until})
	s.w.synced()
	s.w.did("rated anew for corrections")
	return s.interrupted()
}

func (s *simWorks) LinesOfAccount(_ context.Context, partition int32, account string) (out []LineState, err error) {
	v := s.w.pg[partition]
	ids := slices.SortedFunc(maps.Keys(v.lines), func(a, b activity.ID) int { return bytes.Compare(a[:], b[:]) })
	for _, id := range ids {
		if v.lines[id][0].Account == account {
			out = append(out, v.lines[id]...)
		}
	}
	return out, nil
}

func (s *simWorks) LinesSharing(_ context.Context, partition int32, owed, product string, start int64, limit int) (out []LineState, err error) {
	v := s.w.pg[partition]
	ids := slices.SortedFunc(maps.Keys(v.lines), func(a, b activity.ID) int { return bytes.Compare(a[:], b[:]) })
	for _, id := range ids {
		for _, l := range v.lines[id] {
			if l.Owed == owed && l.Product == product && l.UsagePeriod.Start == start && len(out) < limit {
				out = append(out, l)
			}
		}
	}
	return out, s.interrupted()
}

func (s *simWorks) SealsOn(_ context.Context, partition int32, accounts []string) (out []SealState, err error) {
	for _, a := range accounts {
		if seal, ok := s.w.pg[partition].seals[a]; ok {
			out = append(out, seal)
		}
	}
	return out, nil
}

// simWorkDefinitions reads definitions as they are, by a job that knows which are committed.
type simWorkDefinitions struct{ w *world }

func (d simWorkDefinitions) Snapshot(ctx context.Context, seq int64) (*catalog.Snapshot, error) {
	return d.w.Snapshot(ctx, seq)
}

func (d simWorkDefinitions) Accounts(ctx context.Context, seq int64, ids []string) (map[string]*catalog.Account, error) {
	return d.w.Accounts(ctx, seq, ids)
}

// rateAnewUnderLoad lets jobs come to their ends while usage arrives; the sinks are mostly behind.
func (w *world) rateAnewUnderLoad() {
	for range 30 {
		switch w.n(12) {
		case 0, 1, 2, 3:
			w.client()
		case 4:
			w.publish()
		case 5:
			w.crash(w.procs[w.n(len(w.procs))])
			w.adopt()
		case 6:
			w.land1()
		case 7, 8:
			w.sinks.step(w.n(2))
		case 9:
			w.sealSome()
		case 10:
			if w.now < simStart+20*simDay { // a rebuild shows forty days
				w.pass(w.n(8))
			}
		}
		for p := range int32(w.parts) {
			if x := w.owners[p]; x != nil && !x.ended {
				x.fetch(p, 20)
				x.deliver()
				w.goOnSome(6)
				x.land(p, 20)
				x.acknowledge(p, 20)
			}
		}
		w.tick()
		w.works.step(w.n(2))
	}
}

// TestSimulationRatesAnew runs schedules in which much is rated anew while usage arrives and periods are sealed.
func TestSimulationRatesAnew(t *testing.T) {
	n := 60
	switch {
	case *simSchedules > 0:
		n = *simSchedules
	case testing.Short():
		n = 12
	}
	sealed := 0
	for name, steer := range map[string]simSteering{"under load": reratings, "with seals": simSteered["ContinuationStays"]} {
		m := simMutant{name: name, steer: steer}
		seed, why := simulateAll(uint64(max(0, *simSeed)), n, m, func(w *world) { sealed += w.done["seal while a marker is open"] })
		if why != "" {
			t.Errorf("%s: seed %d: %s\n%s", name, seed, why, traceOf(seed, m))
		}
	}
	if n >= 60 && sealed == 0 {
		t.Error("no schedule seals while a marker is open")
	}
}
