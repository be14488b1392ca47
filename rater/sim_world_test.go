package rater

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/dedup"
	"github.com/tollstream/tollstream/rater/sink"
)

// The simulated world: processes of real raters, see simProcess, around a broker, PostgreSQL, a live store, definitions and
// time that a seed drives. What stands here only keeps what stores keep; requests and answers fail on their way.

const (
	simHour   = int64(time.Hour)
	simDay    = 24 * simHour
	simWindow = 2 * simDay
	simKeeps  = 20 * simHour                              // distinct values of sealed periods
	simStart  = int64(1_767_225_600) * int64(time.Second) // 2026-01-01T00:00:00Z
)

type simPG struct { // one committed, immutable version of a partition's rows
	epoch  int64
	owner  Owner
	c      Checkpoint
	lines  map[activity.ID][]LineState // as they are read, see seeLines
	pools  map[activity.ID]PoolState
	vals   map[ValueKey]uint64
	sets   map[activity.ID]SetState
	levels map[LevelState]struct{}
	seals  map[string]SealState
	marks  map[string]MarkerState
	ids    map[usage.Identity]dedup.Entry
	days   map[int32]dedup.Filter // compacted
	rej    map[Skip]RejectedUsage
	sunk   sink.Position // the sinks'

	rows    map[activity.ID][]simLine // of lines
	changes []*simChanges             // of lines, by commit
}

type simRedis struct {
	head  Head
	build bool
	lines map[activity.ID]simShown
}

type simShown struct {
	version int64
	amount  money.Decimal
}

type simWrite struct {
	partition int32
	line      activity.ID
	simShown
}

type ratedRecord struct {
	offset, previous int64
	value            []byte
}

type pendingUsage struct {
	p int32
	r usage.Record
}

// simStray is a rated record that nobody waits for any more; it may still reach the broker, or reach it twice.
type simStray struct {
	partition int32
	ratedRecord
}

type usageEntry struct {
	epoch int32 // of the leader
	time  int64
	value []byte
	rec   usage.Record
}

type world struct {
	r           *rand.Rand
	faults      simFaults
	upgrades    bool                           // raters of two versions meet; a partition may stop
	lossy       bool                           // the broker loses acknowledged usage
	rich        bool                           // prices are of all methods
	anew        bool                           // usage is rated anew: prices are of few methods, and not of pools
	aggregation map[string]catalog.Aggregation // of products, where some usage corrects other
	lost        []bool                         // it did, of these partitions
	leader      []int32
	stopped     []bool
	poison      *Skip               // an event on which the rater fails, nil for none
	poisoned    []bool              // partitions that wait for an operator because of it
	skips       []map[Skip]struct{} // what the operator let them pass over
	group       []int64
	tracing     bool
	trace       []string
	done        map[string]int // what was exercised, how often
	odds        []*simAction
	now         int64
	parts       int
	usage       [][]usageEntry
	rated       [][]ratedRecord
	taken       [][]ratedRecord // those that any reader takes; the offset of usage is the index
	defs        []*simRow       // index = seq-1
	pub         int64
	hidden      int64 // the definition that has a number and is not committed yet, 0: none
	cycle       *simCycle
	bill        map[string][]simBill

	families map[string]int    // of rates, by id: the places in simFamilies
	dated    map[string]int64  // where the prices of products change with time
	moneys   map[string]string // of rates whose currency stays, by id

	snapshots []*catalog.Snapshot // by sequence number
	accounts  map[simAccount]*catalog.Account

	pg    []*simPG
	hist  []simRows
	jobs  *simJobs
	works *simWorks
	sinks *simSinks
	redis []*simRedis
	snaps [][]*simRedis
	shown []simWrite

	late        []pendingUsage
	commits     [][]*Cut      // transactions that nobody waits for any more
	projections []*Projection // as such
	strays      []simStray
	failures    map[simPlace]int
	term        int // of PostgreSQL: a failover cuts the connections

	procs     []*simProcess
	processes int           // started so far
	running   *fiber        // nil: the schedule itself
	clock     time.Duration // of the processes
	steps     int
	owners    []*simProcess // as the group sees it, nil: nobody
	moving    []*simProcess // who is being asked to give the partition up
	moves     []int         // of each partition
	news      []simNews

	retried  []map[Skip]bool // taken out of the rejected usage, by partition
	sent     []usage.Event
	next     int
	quiet    bool
	charged  map[simEvent]bool
	checking bool               // the schedule is over, its end is compared
	counted  [][]countingRecord // see counting
	names    uint64
}

var (
	simParent   = map[string]string{"a0": "", "a1": "a0", "a2": "a0", "a3": "", "a4": "a2"}
	simKey      = map[string]string{"a0": "a0", "a1": "a0", "a2": "k2", "a3": "k3", "a4": "k2"} // on partitions of their own, of 3
	simAccounts = []string{"a0", "a1", "a2", "a3", "a4"}
	simProducts = []string{"p0", "p1"}

	// Under these a quantity takes nothing back.
	simAggregations = []catalog.Aggregation{catalog.AggregationCount, catalog.AggregationMax, catalog.AggregationLatest, catalog.AggregationUnique}
)

func newWorld(seed uint64, m simMutant, tracing bool) *world {
	w := &world{r: rand.New(rand.NewPCG(seed, 7)), faults: m.faults, tracing: tracing, odds: odds(m.steer), now: simStart + 12*simHour, done: map[string]int{}}
	w.parts = 2 + w.r.IntN(2)
	w.upgrades, w.lossy = seed%8 == 7, seed%16 == 5 || m.steer["lose usage"] > 0
	w.rich = (w.n(2) == 0 || m.faults.ofValues() || m.faults.ofLevels() || m.faults.NewerExchange) && !m.faults.UnfencedPools
	w.anew = !w.rich && !m.faults.UnfencedPools && (w.n(2) == 0 || m.steer["rate anew under load"] > 0)
	w.lost, w.leader = make([]bool, w.parts), make([]int32, w.parts)
	if seed%8 == 3 {
		w.poison = &Skip{int64(w.n(25)), w.n(2)}
	}
	w.poisoned, w.skips = make([]bool, w.parts), make([]map[Skip]struct{}, w.parts)
	w.stopped, w.group = make([]bool, w.parts), make([]int64, w.parts)
	if w.anew && (w.n(2) == 0 || m.faults.ofCorrections() || m.faults.ofSets()) {
		w.aggregation = map[string]catalog.Aggregation{"p0": simAggregations[w.n(len(simAggregations))]}
		if m.faults.ofSets() {
			w.aggregation["p0"] = catalog.AggregationUnique
		}
	}
	for i := range w.parts {
		w.usage, w.rated, w.retried = append(w.usage, nil), append(w.rated, nil), append(w.retried, map[Skip]bool{})
		w.pg = append(w.pg, &simPG{c: Checkpoint{Partition: int32(i), Last: -1, LeaderEpoch: -1}})
		w.redis = append(w.redis, &simRedis{lines: map[activity.ID]simShown{}})
	}
	if w.cycle = &simCycles[0]; w.n(3) == 0 && !m.faults.ofLevels() { // levels go on at seals: the more of them the better
		w.cycle = &simCycles[w.n(len(simCycles))]
	}
	w.begin()
	w.jobs = &simJobs{} // those of the beginning have nothing to rate anew
	w.synced()
	w.sinks = newSimSinks(w)
	w.works = newSimWorks(w)
	w.counted = make([][]countingRecord, w.parts)
	w.owners, w.moving, w.moves, w.taken = make([]*simProcess, w.parts), make([]*simProcess, w.parts), make([]int, w.parts), make([][]ratedRecord, w.parts)
	w.failures = map[simPlace]int{}
	for range 2 + w.n(2) {
		w.procs = append(w.procs, w.startProcess())
	}
	for p := range w.parts {
		w.assign(int32(p), w.procs[w.n(len(w.procs))])
	}
	for w.n(4) > 0 && w.pub < int64(len(w.defs)) { // mostly the accounts are known before they use something
		w.publish()
	}
	if w.n(4) > 0 { // mostly the partitions are open by then
		for f := w.someReady(); f != nil; f = w.someReady() {
			w.goOn(f)
		}
	}
	return w
}

func (w *world) n(k int) int { return w.r.IntN(k) }

// synced says that nothing of PostgreSQL may be lost from here on; note, that what there is now may be what is left.
func (w *world) synced() { w.hist = []simRows{{slices.Clone(w.pg), w.jobs}} }
func (w *world) note() {
	w.hist = append(w.hist, simRows{slices.Clone(w.pg), w.jobs})
	if len(w.hist) > 20 {
		w.hist = w.hist[1:]
	}
}

// simRows are all rows of PostgreSQL at a moment.
type simRows struct {
	pg   []*simPG
	jobs *simJobs
}

func (w *world) name() [16]byte {
	w.names++
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], w.names)
	return b
}

// ---- the usage log and its clients

func (w *world) append(p int32, r usage.Record) {
	if w.tracing {
		w.log("usage partition %d offset %d at %s: %s", p, len(w.usage[p]), day(w.now), wording(&r))
	}
	at := w.now
	if w.n(12) == 0 { // of a broker whose clock is behind
		at -= int64(w.n(3)) * simHour
	}
	w.usage[p] = append(w.usage[p], usageEntry{epoch: w.leader[p], time: at, value: usage.AppendRecord(nil, &r), rec: r})
}

// send produces now, late, or twice.
func (w *world) send(p int32, r usage.Record) {
	switch k := w.n(12); {
	case k == 0 && !w.quiet:
		w.late = append(w.late, pendingUsage{p, r})
	case k == 1 && !w.quiet:
		w.append(p, r)
		w.late = append(w.late, pendingUsage{p, r})
	default:
		w.append(p, r)
	}
}

func (w *world) land1() {
	if len(w.late) == 0 {
		return
	}
	i := w.n(len(w.late))
	x := w.late[i]
	w.late = slices.Delete(w.late, i, i+1)
	w.append(x.p, x.r)
}

// route resolves the account at the entrance; some names become known only later.
func (w *world) route(e *usage.Event) int32 {
	if strings.HasPrefix(e.Subject, "late-") && w.n(3) == 0 {
		e.Account = strings.TrimPrefix(e.Subject, "late-")
	}
	e.RoutingKey = simKey[e.Account]
	if e.Account == "" {
		e.RoutingKey = usage.UnresolvedKey(e.Subject)
	}
	return usage.PartitionOf(e.RoutingKey, w.parts)
}

func (w *world) client() {
	by, most := make([][]usage.Event, w.parts), 1+w.n(4)
	for range most {
		var e usage.Event
		if len(w.sent) > 0 && w.n(5) == 0 {
			e = w.sent[w.n(len(w.sent))]
			if w.n(8) == 0 {
				e.Quantity, e.Hash = money.FromInt(int64(50+w.n(9))), e.Hash+1
				if w.n(2) == 0 {
					e.Time = w.now
				}
			}
		} else {
			e = w.newEvent()
			w.sent = append(w.sent, e)
		}
		p := w.route(&e)
		if by[p] == nil {
			by[p] = make([]usage.Event, 0, most)
		}
		by[p] = append(by[p], e)
	}
	for p := range int32(w.parts) {
		if len(by[p]) > 0 {
			w.send(p, usage.Record{Kind: usage.KindBatch, Events: by[p]})
		}
	}
}

// sendAgain sends an event as it was sent before.
func (w *world) sendAgain() {
	if len(w.sent) > 0 {
		e := w.sent[w.n(len(w.sent))]
		w.send(w.route(&e), usage.Record{Kind: usage.KindBatch, Events: []usage.Event{e}})
	}
}

func (w *world) newEvent() usage.Event {
	w.next++
	e := usage.Event{
		ID: "e" + strconv.Itoa(w.next), Source: "s", Account: simAccounts[w.n(5)], Product: simProducts[w.n(2)],
		Quantity: money.FromInt(int64(1 + w.n(20))), Hash: uint64(w.next) << 8,
	}
	if region := w.n(4); region > 0 {
		e.Attributes = []usage.Attribute{{Name: "region", Value: strconv.Itoa(region)}}
	}
	if w.rich {
		w.enrich(&e)
	}
	if user := w.n(8); user > 0 && w.aggregation["p0"] == catalog.AggregationUnique {
		e.Attributes = append(e.Attributes, usage.Attribute{Name: simCounted, Value: strconv.Itoa(user)})
	}
	switch w.n(12) {
	case 0:
		e.Subject, e.Account = "late-"+e.Account, ""
	case 1:
		e.Product = "p9"
	case 2:
		e.Quantity = e.Quantity.Neg()
	case 3:
		e.Quantity = money.MustParse("0.333333333333")
	}
	switch w.n(4) {
	case 0:
		e.Time = w.now - int64(w.n(int(simWindow/simHour)+3))*simHour
	case 1:
		e.Time = w.now + int64(w.n(4))*simHour/2
	default:
		e.Time = w.now - int64(w.n(5))*simHour
	}
	if w.aggregation != nil && len(w.sent) > 0 && w.n(4) == 0 {
		w.correct(&e)
	}
	return e
}

// simCounted is the attribute whose values are counted where usage is rated anew.
const simCounted = "user"

// correct makes the event correct one that was sent, or is still to be: mostly one of its own line.
func (w *world) correct(e *usage.Event) {
	last := len(w.sent) - 1
	x := w.sent[last-w.n(min(last+1, 12))]
	e.Corrects = &usage.EventName{Source: x.Source, ID: x.ID}
	if e.Product, e.Attributes, e.Time = x.Product, x.Attributes, x.Time; w.n(8) > 0 {
		e.Account, e.Subject = x.Account, x.Subject
	}
	e.Quantity = money.FromInt(int64(w.n(12) - 10))
	switch w.n(12) {
	case 0:
		e.Corrects.ID = "e" + strconv.Itoa(w.next+1+w.n(3))
	case 1:
		e.Time -= simDay
	}
}

// retry sends rejected usage again; the row is marked afterwards, unless the retrier dies in between.
func (w *world) retry() {
	p := w.n(w.parts)
	keys := slices.SortedFunc(maps.Keys(w.pg[p].rej), func(a, b Skip) int { // but what waits is retried by its job
		if a.Offset != b.Offset {
			return int(a.Offset - b.Offset)
		}
		return a.Index - b.Index
	})
	keys = slices.DeleteFunc(keys, func(k Skip) bool { return w.pg[p].rej[k].Reason == ReasonCorrectionWaits })
	if len(keys) == 0 {
		return
	}
	k := keys[w.n(len(keys))]
	e := w.pg[p].rej[k].Event
	first := e.RoutingKey
	to := w.route(&e)
	if w.faults.KeepRoutingKey {
		e.RoutingKey = first
	}
	w.send(to, usage.Record{Kind: usage.KindRetry, Events: []usage.Event{e}})
	if w.n(4) > 0 {
		v := *w.pg[p]
		v.rej = maps.Clone(v.rej)
		delete(v.rej, k)
		w.pg[p] = &v
		w.retried[p][k] = true
		w.synced()
	}
}

func (w *world) sealSome() {
	start, end := w.cycle.over(w.now - 2*simHour)
	if end <= simStart {
		return
	}
	s := usage.Seal{Account: simAccounts[w.n(5)], PeriodStart: start, PeriodEnd: end}
	for p := range int32(w.parts) {
		if w.n(4) > 0 {
			w.send(p, usage.Record{Kind: usage.KindSeal, Seal: &s})
		}
	}
}

// ---- PostgreSQL

var errSim = errors.New("simulated outage")

func (w *world) fenced(f Fence, unchecked bool) (*simPG, error) {
	v := w.pg[f.Partition]
	if unchecked {
		return v, nil
	}
	if v.epoch != f.Epoch || v.owner != f.Owner || v.c.Next != f.Next && (f.InFlight < 0 || v.c.Next != f.InFlight) {
		return nil, ErrFenced
	}
	return v, nil
}

func (w *world) Acquire(_ context.Context, p int32, owner Owner) (Checkpoint, error) {
	v := *w.pg[p]
	v.epoch++
	v.owner = owner
	w.pg[p] = &v
	w.note()
	c := v.c
	c.Epoch = v.epoch
	c.Counts, c.Skips = maps.Clone(c.Counts), w.skips[p]
	for _, e := range v.ids {
		if _, old := v.days[dedup.Day(e.Arrived)]; !old {
			c.Identities = append(c.Identities, e)
		}
	}
	for _, f := range v.days {
		c.Filters = append(c.Filters, f)
	}
	for _, m := range v.marks {
		if m.Open {
			c.Markers = append(c.Markers, m)
		}
	}
	return c, nil
}

func (w *world) Look(_ context.Context, f Fence) error {
	_, err := w.fenced(f, false)
	return err
}

func (w *world) Position(_ context.Context, p int32) (int64, Owner, int64, error) {
	v := w.pg[p]
	return v.epoch, v.owner, v.c.Next, nil
}

func (w *world) Commit(_ context.Context, cuts []*Cut) ([]Outcome, error) {
	out := make([]Outcome, len(cuts))
	for i, c := range cuts {
		out[i] = OutcomeFenced
		if w.apply(c) {
			out[i] = OutcomeCommitted
		}
	}
	return out, nil
}

func (w *world) apply(c *Cut) bool {
	p := c.Fence.Partition
	o := w.pg[p]
	ok := o.epoch == c.Fence.Epoch && o.owner == c.Fence.Owner && o.c.Next == c.Fence.Next
	switch {
	case w.faults.NoFence:
		ok = true
	case w.faults.FenceOnEpochAlone:
		ok = o.epoch == c.Fence.Epoch
	case w.faults.FenceWithoutOffset:
		ok = o.epoch == c.Fence.Epoch && o.owner == c.Fence.Owner
	}
	c = w.spoil(c)
	if !ok {
		if w.faults.CommitNotAtomic {
			v := *o
			w.saveLines(&v, c)
			w.pg[p] = &v
		}
		return false
	}
	v := &simPG{epoch: o.epoch, owner: o.owner, rows: o.rows, changes: o.changes, seals: maps.Clone(o.seals), pools: maps.Clone(o.pools), vals: maps.Clone(o.vals), sets: maps.Clone(o.sets), levels: maps.Clone(o.levels), marks: maps.Clone(o.marks), ids: maps.Clone(o.ids), rej: maps.Clone(o.rej), days: o.days, sunk: o.sunk}
	if v.seals == nil {
		v.seals, v.marks, v.pools = map[string]SealState{}, map[string]MarkerState{}, map[activity.ID]PoolState{}
		v.vals, v.sets, v.levels = map[ValueKey]uint64{}, map[activity.ID]SetState{}, map[LevelState]struct{}{}
		v.ids, v.rej = map[usage.Identity]dedup.Entry{}, map[Skip]RejectedUsage{}
	}
	v.c = Checkpoint{
		Partition: p, Next: c.Next, Last: c.Last, LeaderEpoch: c.LeaderEpoch, RatedNext: c.RatedNext, LogTime: c.LogTime,
		ActivatedSeq: c.ActivatedSeq, ActivatedSum: c.ActivatedSum, Counts: maps.Clone(o.c.Counts),
	}
	if v.c.Counts == nil {
		v.c.Counts = map[CountKey]Counts{}
	}
	maps.Copy(v.c.Counts, c.Counts)
	w.saveLines(v, c)
	for _, q := range c.Pools {
		v.pools[q.ID] = q
	}
	for _, s := range c.Values {
		v.vals[s.ValueKey] = s.Places
	}
	for _, s := range c.Sets {
		s.Gone = s.Gone || v.sets[s.Set].Gone
		v.sets[s.Set] = s
	}
	for _, l := range c.Levels {
		if done := l.Done; done {
			l.Done = false
			delete(v.levels, l)
		} else {
			v.levels[l] = struct{}{}
		}
	}
	for _, s := range c.Seals {
		v.seals[s.Account] = s
	}
	for _, m := range c.Markers {
		v.marks[m.Account] = m
	}
	for _, e := range c.Identities {
		v.ids[e.ID] = e
	}
	for _, r := range c.Rejected {
		v.rej[Skip{r.Offset, r.Index}] = r
	}
	for _, at := range c.Answered {
		delete(v.rej, at)
	}
	w.pg[p] = v
	w.note()
	return true
}

func (w *world) Lines(_ context.Context, f Fence, families []activity.ID) ([]LineState, error) {
	v, err := w.fenced(f, w.faults.UnfencedLines)
	if err != nil {
		return nil, err
	}
	var out []LineState
	for _, id := range families {
		out = append(out, v.lines[id]...)
	}
	return out, nil
}

func (w *world) Pools(_ context.Context, f Fence, pools []activity.ID) ([]PoolState, error) {
	v, err := w.fenced(f, w.faults.UnfencedPools)
	if err != nil {
		return nil, err
	}
	var out []PoolState
	for _, id := range pools {
		if q, ok := v.pools[id]; ok {
			out = append(out, q)
		}
	}
	return out, nil
}

func (w *world) Sharing(_ context.Context, f Fence, pool activity.ID, billed string, start int64) ([]activity.ID, error) {
	v, err := w.fenced(f, w.faults.UnfencedPools)
	if err != nil {
		return nil, err
	}
	w.did("asked who shares a pool")
	var out []activity.ID
	for _, id := range slices.SortedFunc(maps.Keys(v.lines), func(a, b activity.ID) int { return bytes.Compare(a[:], b[:]) }) {
		lines := v.lines[id]
		if lines[0].Owed == billed && lines[0].UsagePeriod.Start == start && slices.ContainsFunc(lines, func(l LineState) bool { return hasShareOf(&l, pool) }) {
			out = append(out, id)
		}
	}
	return out, nil
}

// hasShareOf says whether the line has a share of the pool.
func hasShareOf(l *LineState, pool activity.ID) bool {
	segments, err := DecodeSegments(l.Segments)
	if err != nil {
		fail("a committed line: %v", err)
	}
	return slices.ContainsFunc(segments, func(s Segment) bool { return s.Pool == pool })
}

func (w *world) Values(_ context.Context, f Fence, values []ValueKey) ([]ValueState, error) {
	v, err := w.fenced(f, w.faults.UnfencedValues)
	if err != nil {
		return nil, err
	}
	w.did("values asked for")
	var out []ValueState
	for _, k := range values {
		if places, ok := v.vals[k]; ok {
			out = append(out, ValueState{k, places})
		}
	}
	return out, nil
}

// Forget deletes a part, as a statement may.
func (w *world) Forget(_ context.Context, f Fence, before int64) (more bool, err error) {
	o := w.pg[f.Partition]
	if o.epoch != f.Epoch || o.owner != f.Owner || o.c.Next < f.Next {
		return false, nil
	}
	v := *o
	v.vals, v.sets = maps.Clone(o.vals), maps.Clone(o.sets)
	for _, id := range slices.SortedFunc(maps.Keys(o.sets), func(a, b activity.ID) int { return bytes.Compare(a[:], b[:]) }) {
		s, seal := o.sets[id], o.seals[o.sets[id].Owed]
		if _, sealed := seal.sealedUnder(s.End); !s.Gone && (!sealed || s.End >= before) {
			continue
		}
		if !s.Gone {
			w.did("values of a sealed period deleted")
		}
		whole := w.n(2) == 0
		for k := range o.vals {
			if k.Set == id && (whole || k.Hash[0] < 0x80) {
				delete(v.vals, k)
				w.did("values that are of no use deleted")
			}
		}
		if more = true; whole {
			delete(v.sets, id)
		}
	}
	if more {
		w.pg[f.Partition] = &v
		w.note()
	}
	return more, nil
}

func (w *world) Levels(_ context.Context, f Fence, owed string, through int64, limit int) ([]LevelState, error) {
	v, err := w.fenced(f, w.faults.UnfencedLevels)
	if err != nil {
		return nil, err
	}
	var out []LevelState
	for l := range v.levels {
		if l.Owed == owed && l.End <= through {
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(a, b LevelState) int {
		return cmp.Or(cmp.Compare(a.End, b.End), bytes.Compare(a.Family[:], b.Family[:]))
	})
	return out[:min(len(out), limit)], nil
}

func (w *world) Seals(_ context.Context, f Fence, accounts []string) ([]SealState, error) {
	v, err := w.fenced(f, w.faults.UnfencedSeals)
	if err != nil {
		return nil, err
	}
	var out []SealState
	for _, a := range accounts {
		if s, ok := v.seals[a]; ok {
			out = append(out, s)
		}
	}
	return out, nil
}

func (w *world) Markers(_ context.Context, f Fence, accounts []string) ([]MarkerState, error) {
	v, err := w.fenced(f, false)
	if err != nil {
		return nil, err
	}
	var out []MarkerState
	for _, a := range accounts {
		if m, ok := v.marks[a]; ok {
			out = append(out, m)
		}
	}
	return out, nil
}

func (w *world) Identities(_ context.Context, f Fence, asked []dedup.Question) ([]dedup.Entry, error) {
	v, err := w.fenced(f, w.faults.UnfencedIdentities)
	if err != nil {
		return nil, err
	}
	var out []dedup.Entry
	for _, q := range asked {
		if !w.faults.UnfencedIdentities && !w.faults.FoldingUnseen && v.unfolded(q.First, q.Last) {
			return nil, ErrFenced
		}
		e, ok := v.ids[q.ID]
		if _, folded := v.days[dedup.Day(e.Arrived)]; ok && folded && dedup.Day(e.Arrived) >= q.First && dedup.Day(e.Arrived) <= q.Last {
			out = append(out, e)
		}
	}
	return out, nil
}

// unfolded says that there are identities of one of the days that are not folded.
func (v *simPG) unfolded(first, last int32) bool {
	for _, e := range v.ids {
		day := dedup.Day(e.Arrived)
		if _, folded := v.days[day]; !folded && day >= first && day <= last {
			return true
		}
	}
	return false
}

func (w *world) Compact(_ context.Context, f Fence, logTime int64) ([]dedup.Compacted, error) {
	v, err := w.fenced(f, false)
	if err != nil {
		return nil, err
	}
	n := *v
	n.days = maps.Clone(v.days)
	if n.days == nil {
		n.days = map[int32]dedup.Filter{}
	}
	var out []dedup.Compacted
	for day := dedup.Day(simStart); day < dedup.Day(logTime-2*simHour); day++ {
		if _, done := n.days[day]; done {
			continue
		}
		filter := dedup.NewFilter(day, 100)
		for _, e := range v.ids {
			if dedup.Day(e.Arrived) == day {
				filter.Add(e.ID)
			}
		}
		filter.Day = day
		w.did("day of identities folded")
		n.days[day] = filter
		out = append(out, dedup.Compacted{Day: day, Filter: filter})
	}
	w.pg[f.Partition] = &n
	w.note()
	return out, nil
}

func (w *world) OpenLines(_ context.Context, f Fence, endsAfter int64, from activity.ID, limit int) ([]LineState, activity.ID, bool, error) {
	v, err := w.fenced(f, false)
	if err != nil {
		return nil, from, false, err
	}
	ids := slices.SortedFunc(maps.Keys(v.lines), func(a, b activity.ID) int { return slices.Compare(a[:], b[:]) })
	var out []LineState
	for _, id := range ids {
		if slices.Compare(id[:], from[:]) <= 0 && from != (activity.ID{}) {
			continue
		}
		if len(out) >= limit {
			return out, from, true, nil
		}
		for _, l := range v.lines[id] {
			if l.Period.End > endsAfter {
				out = append(out, l)
			}
		}
		from = id
	}
	return out, from, false, nil
}

// ---- rated and the live store

func (w *world) Read(_ context.Context, p int32, from, to int64) ([]RatedEntry, int64, error) {
	end := int64(len(w.rated[p]))
	if to >= 0 {
		end = min(end, to)
	}
	var out []RatedEntry
	for at := from; at < end; at++ {
		x := w.rated[p][at]
		out = append(out, RatedEntry{At: at, Offset: x.offset, Previous: x.previous, Sum: SumOf(x.value)})
	}
	return out, end, nil
}

// appendRated is the broker's.
func (w *world) appendRated(p int32, r ratedRecord) int64 {
	at := int64(len(w.rated[p]))
	w.log("rated partition %d: at %d the result of offset %d after %d", p, at, r.offset, r.previous)
	w.rated[p] = append(w.rated[p], r)
	if r.previous == int64(len(w.taken[p]))-1 && r.offset == r.previous+1 {
		w.taken[p] = append(w.taken[p], r)
	}
	return at
}

// project writes to the live store as its script does.
func (w *world) project(pr *Projection) bool {
	v := w.redis[pr.Partition]
	if !pr.Force && v.head != pr.Expect && !w.faults.HeadMovedAtOnce {
		return false
	}
	for _, l := range w.spoilProjection(pr.Lines) {
		if o, ok := v.lines[l.Line]; ok && o.version > l.Version && !w.faults.UnversionedProjection {
			continue
		}
		if o := v.lines[l.Line]; o.version > l.Version {
			fail("the live view of partition %d goes backwards", pr.Partition)
		}
		s := simShown{l.Version, l.Amount}
		v.lines[l.Line] = s
		w.shown = append(w.shown, simWrite{pr.Partition, l.Line, s})
	}
	v.head, v.build = pr.Next, pr.Rebuilding
	return true
}
