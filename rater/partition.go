package rater

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/dedup"
)

// ErrDiverged says that `rated` holds another result for an offset than the one computed here: another version of
// the code or of the zone data rated it, or the log was changed. The partition stops before it writes anything.
var ErrDiverged = errors.New("the rated log holds another result")

// Stores are what a partition reads by itself while it rates; each answer is awaited.
type Stores struct {
	Store       Store
	Definitions Definitions
	Rated       RatedLog
}

// Limits bound what a partition holds in memory, and how many processors it uses.
type Limits struct {
	Window     time.Duration // of the duplicates index
	Families   int           // line families kept, dirty ones not counted
	Pools      int           // … and pools
	Values     int           // distinct values kept, beside those that are not saved yet
	LateValues time.Duration // how long after its end usage of a sealed period is taken where distinct values are counted; then they are deleted
	Dirty      int           // line families changed since the last commit; beyond it rating pauses
	Unacked    int           // rated records produced and not acknowledged
	PageLines  int           // lines in a page of a rebuild, line families in a projection
	Unfolded   int           // commits whose changed lines are folded into their rows together, sooner where nothing changes

	// A partition with so many bytes before it has an assistant as long as fewer goroutines rate than there are processors.
	AheadBytes int
	Processors int
}

// DefaultLimits suit a process of 1 GiB.
func DefaultLimits() Limits {
	return Limits{
		Window: 35 * 24 * time.Hour, Families: 200_000, Pools: 100_000, Values: 65_536, LateValues: 400 * 24 * time.Hour, Dirty: 200_000, Unacked: 4096, PageLines: 2000, Unfolded: 8,
		AheadBytes: 128 << 10, Processors: runtime.GOMAXPROCS(0),
	}
}

// Partition rates one partition during one assignment. Its methods are called by one goroutine (or by the
// simulation) and never block except in the reads of Stores. After an error other than one that Retryable names,
// the partition must be forgotten: nothing more may be written on its behalf.
type Partition struct {
	machine *machine
	stores  Stores
	limits  Limits
	faults  Faults
	fence   Fence
	random  func() [16]byte

	leaderEpoch int32

	// what stands in `rated`
	taken     int64            // the usage offset of the last record that any reader takes
	chain     []standing       // taken records from the fence's Next on
	mine      map[int64]uint64 // sums of the records computed here, from the fence's Next on
	rated     int              // records whose result is not taken yet
	ratedNext int64            // where the next record of `rated` will stand if nobody else writes
	unacked   []RatedEntry     // produced, in order
	acks      []RatedEntry     // acknowledged, waiting for a gap to be read back

	cut       *Cut
	cutSent   bool
	inCut     []*family
	poolsCut  []*pool // in the cut
	committed int64   // log time of the last commit
	useless   bool    // sets of values may be gone that the store still has
	own       work
	encoder   activity.Encoder

	live live
}

// standing is a record of `rated` that any reader takes.
type standing struct {
	offset, at int64
	sum        uint64
}

// Open acquires the partition and reads the tail of `rated` behind its checkpoint. random makes owner and head names.
func Open(ctx context.Context, partition int32, stores Stores, limits Limits, faults Faults, random func() [16]byte) (*Partition, error) {
	owner := Owner(random())
	c, err := stores.Store.Acquire(ctx, partition, owner)
	if err != nil {
		return nil, fmt.Errorf("acquire partition %d: %w", partition, err)
	}
	p := &Partition{
		machine: newMachine(&c, limits.Window, faults), stores: stores, limits: limits, faults: faults, random: random,
		fence:       Fence{Partition: partition, Epoch: c.Epoch, Owner: owner, Next: c.Next, InFlight: -1},
		leaderEpoch: c.LeaderEpoch, useless: true, taken: c.Last, ratedNext: c.RatedNext, mine: map[int64]uint64{}, committed: c.LogTime,
	}
	p.machine.distinct.keep, p.machine.keeps = limits.Values, limits.LateValues
	entries, end, err := stores.Rated.Read(ctx, partition, c.RatedNext, -1)
	if err != nil {
		return nil, fmt.Errorf("read the tail of rated partition %d from %d: %w", partition, c.RatedNext, err)
	}
	if end < c.RatedNext {
		return nil, fmt.Errorf("rated partition %d ends at %d, the checkpoint knows %d: %w", partition, end, c.RatedNext, ErrDiverged)
	}
	for _, e := range entries {
		if err := p.follow(e); err != nil {
			return nil, err
		}
	}
	p.ratedNext = end
	return p, nil
}

// Next is the offset from which the usage log is to be read, and the leader epoch of the record before it.
func (p *Partition) Next() (offset int64, leaderEpoch int32) { return p.fence.Next, p.leaderEpoch }

// EventInWork is the index of the event that was rated last, to say which one a panic met.
func (p *Partition) EventInWork() int { return p.machine.inWork }

// Position is the offset after the last rated one.
func (p *Partition) Position() int64 { return max(p.machine.last+1, p.fence.Next) }

// LogTime is the broker's time of what was rated last.
func (p *Partition) LogTime() time.Time { return time.Unix(0, p.machine.logTime) }

// Room says whether more may be rated now: the bounds of unsaved and unacknowledged work are not reached.
func (p *Partition) Room() bool {
	return len(p.machine.dirty)+len(p.machine.pooled)+len(p.inCut)+len(p.poolsCut) < p.limits.Dirty && p.machine.distinct.unsaved() < p.limits.Dirty && len(p.unacked)+p.rated < p.limits.Unacked
}

// HalfFull says that the next cut would hold half of what may be unsaved: it should not wait any longer.
func (p *Partition) HalfFull() bool {
	return 2*max(len(p.machine.dirty), len(p.machine.rejected), len(p.machine.distinct.fresh)) >= p.limits.Dirty
}

// Rate rates one usage record. It returns the record that is to be produced to `rated`, nil when that already holds
// it. A failed read of a store changes nothing and may be tried again.
func (p *Partition) Rate(ctx context.Context, in *Input) (value []byte, err error) {
	w := &p.own
	w.decode(in)
	if err := p.rate(ctx, w, in); err != nil {
		return nil, err
	}
	w.encode(&p.encoder)
	return p.result(w)
}

// rate is Rate without what needs no partition: the record is decoded before, and its result encoded afterwards. Then result takes
// it, in the order of the records.
func (p *Partition) rate(ctx context.Context, w *work, in *Input) error {
	m := p.machine
	m.work = w
	if in.Offset <= m.last {
		return fmt.Errorf("bug: usage offset %d came again after %d", in.Offset, m.last)
	}
	if err := m.load(ctx, in, p.fence, p.stores.Store, p.stores.Definitions); err != nil {
		return fmt.Errorf("partition %d offset %d: %w", p.fence.Partition, in.Offset, err)
	}
	if _, err := m.step(in); err != nil {
		return fmt.Errorf("partition %d offset %d: %w", p.fence.Partition, in.Offset, err)
	}
	p.leaderEpoch = in.LeaderEpoch
	p.rated++
	return nil
}

// again looks at a record that was rated already. A client whose delivery begins anew may still hand out what it had fetched before; when
// the broker has lost that meanwhile, the last such record comes again under another leader, or one before it under a later leader than
// the last one's: leaders follow one another in the log. The log may be shorter than what was rated, so the last one need not come.
func (p *Partition) again(in *Input) error {
	if in.LeaderEpoch < 0 || p.leaderEpoch < 0 {
		return nil
	}
	if in.LeaderEpoch > p.leaderEpoch || in.Offset == p.machine.last && in.LeaderEpoch != p.leaderEpoch {
		return fmt.Errorf("partition %d was rated up to offset %d as leader epoch %d wrote it, and now offset %d stands there of %d: %w",
			p.fence.Partition, p.machine.last, p.leaderEpoch, in.Offset, in.LeaderEpoch, ErrLost)
	}
	return nil
}

// result takes the encoded result of the oldest record whose result was not taken yet.
func (p *Partition) result(w *work) (value []byte, err error) {
	offset := w.out.Offset
	p.rated--
	p.mine[offset] = w.sum
	if offset <= p.taken {
		return nil, p.compare(offset, w.sum)
	}
	p.unacked = append(p.unacked, RatedEntry{Offset: offset, Previous: w.out.Previous, Sum: w.sum})
	return w.value, nil
}

// compare checks the result of a replayed offset against what stands in `rated`.
func (p *Partition) compare(offset int64, sum uint64) error {
	if p.faults.NoReplayCheck {
		return nil
	}
	if s := p.standsAt(offset); s != nil && s.sum == sum {
		return nil
	}
	return fmt.Errorf("partition %d offset %d: %w", p.fence.Partition, offset, ErrDiverged)
}

// standsAt returns the record of an offset that any reader takes, nil when there is none from the fence's Next on.
func (p *Partition) standsAt(offset int64) *standing {
	i, ok := slices.BinarySearchFunc(p.chain, offset, func(s standing, offset int64) int { return cmp.Compare(s.offset, offset) })
	if !ok {
		return nil
	}
	return &p.chain[i]
}

// follow applies the rule by which any reader of `rated` takes a record: only if its predecessor is the last one taken.
func (p *Partition) follow(e RatedEntry) error {
	if e.Previous != p.taken && !(p.faults.TakeBehindGap && e.Offset > p.taken) {
		return nil
	}
	p.taken = e.Offset
	p.chain = append(p.chain, standing{offset: e.Offset, at: e.At, sum: e.Sum})
	if sum, ok := p.mine[e.Offset]; ok && sum != e.Sum {
		return fmt.Errorf("partition %d offset %d: %w", p.fence.Partition, e.Offset, ErrDiverged)
	}
	return nil
}

// Acked takes the acknowledgement of the oldest unacknowledged rated record, which stands at the offset of `rated`. Offsets that
// follow one another prove that nobody else wrote; a gap has to be read back, see Gap.
func (p *Partition) Acked(at int64) error {
	e := p.unacked[0]
	p.unacked = p.unacked[1:]
	e.At = at
	p.acks = append(p.acks, e)
	return p.settle()
}

// settle follows the acknowledged records up to a gap.
func (p *Partition) settle() error {
	for len(p.acks) > 0 {
		e := p.acks[0]
		if e.At > p.ratedNext && !p.faults.NoReadBack {
			return nil
		}
		if e.At < p.ratedNext && !p.faults.NoReadBack {
			return fmt.Errorf("partition %d: rated record of offset %d stands at %d, before %d: %w", p.fence.Partition, e.Offset, e.At, p.ratedNext, ErrDiverged)
		}
		p.acks = p.acks[1:]
		p.ratedNext = e.At + 1
		if err := p.follow(e); err != nil {
			return err
		}
	}
	return nil
}

// Gap is the range of `rated` that somebody else wrote and that has to be read back, ok false when there is none.
func (p *Partition) Gap() (from, to int64, ok bool) {
	if len(p.acks) == 0 || p.acks[0].At == p.ratedNext {
		return 0, 0, false
	}
	return p.ratedNext, p.acks[0].At, true
}

// ReadBack takes what stands in the gap that ends at to.
func (p *Partition) ReadBack(entries []RatedEntry, to int64) error {
	if _, end, ok := p.Gap(); !ok || end != to {
		return nil
	}
	for _, e := range entries {
		if err := p.follow(e); err != nil {
			return err
		}
	}
	p.ratedNext = to
	return p.settle()
}

// Freeze freezes everything that changed since the last cut at the present record boundary. It reports false when
// a cut is in flight or nothing was rated.
func (p *Partition) Freeze() bool {
	m := p.machine
	if p.cut != nil || p.Position() == p.fence.Next {
		return false
	}
	c := &Cut{
		Fence: p.fence, Next: m.last + 1, Last: m.last, LeaderEpoch: p.leaderEpoch, LogTime: m.logTime,
		ActivatedSeq: m.act, ActivatedSum: m.sum, Rejected: m.rejected, Answered: m.answered, Counts: m.counts.fresh(),
		Lines: make([]LineState, 0, len(m.dirty)+len(m.dirty)/8), Stored: make([]bool, 0, len(m.dirty)+len(m.dirty)/8),
	}
	for _, f := range m.dirty {
		c.Lines = f.states(c.Lines)
		if p.faults.SecondOutside {
			for i := range f.lines {
				c.Lines[len(c.Lines)-1-i].Second = nil
			}
		}
		for i := range f.lines {
			c.Stored = append(c.Stored, i < f.stored && (!f.whole || p.faults.MovedAsUsual) && f.gathers == 0)
		}
		f.dirty, f.inCut, f.whole, f.cutLines = false, true, false, len(f.lines)
	}
	for _, q := range m.pooled {
		c.Pools = append(c.Pools, q.state())
		q.dirty, q.inCut = false, true
	}
	if c.Values = m.distinct.freeze(); p.faults.ValuesOutside {
		c.Values = nil
	}
	if c.Sets = m.distinct.freezeSets(); p.faults.SetsOutside {
		c.Sets = nil
	}
	if c.Levels = m.waiting.freeze(); p.faults.LevelsOutside {
		c.Levels = nil
	}
	p.inCut, m.dirty, m.rejected, m.answered = m.dirty, nil, nil, nil
	p.poolsCut, m.pooled = m.pooled, nil
	if !p.faults.IdentitiesOutside {
		c.Identities = m.index.Fresh()
	}
	for account := range m.sealed {
		c.Seals = append(c.Seals, *m.seals[account])
	}
	clear(m.sealed)
	for account := range m.marked {
		c.Markers = append(c.Markers, *m.markers[account])
	}
	clear(m.marked)
	p.cut, p.cutSent = c, false
	return true
}

// Commit returns the cut when it may be committed: every rated record below it stands in `rated` as it was computed
// here. It is handed out once; CutDone takes its outcome.
func (p *Partition) Commit() *Cut {
	c := p.cut
	if c == nil || p.cutSent {
		return nil
	}
	c.RatedNext = p.ratedNext
	if !p.faults.CheckpointBeforeAcks {
		if p.taken < c.Last {
			return nil
		}
		if s := p.standsAt(c.Last); s != nil && !p.faults.TailFromTheEnd {
			c.RatedNext = s.at + 1
		}
	}
	if p.faults.LiveNext {
		c.Next, c.Last = p.machine.last+1, p.machine.last
	}
	if p.faults.LiveLines {
		c.Lines = c.Lines[:0]
		for _, f := range p.inCut {
			c.Lines = f.states(c.Lines)
		}
	}
	if p.faults.LivePools {
		c.Pools = c.Pools[:0]
		for _, q := range p.poolsCut {
			c.Pools = append(c.Pools, q.state())
		}
	}
	p.cutSent, p.fence.InFlight = true, c.Next
	return c
}

// CutDone takes the outcome of the cut that Commit returned. After an unknown one the caller reads the row and calls
// CutFound.
func (p *Partition) CutDone(o Outcome) error {
	switch o {
	case OutcomeCommitted:
		p.commit()
	case OutcomeFenced:
		return ErrFenced
	}
	return nil
}

// CutFound takes what the row says after an unknown outcome.
func (p *Partition) CutFound(epoch int64, owner Owner, next int64) error {
	switch {
	case p.cut == nil:
	case epoch != p.fence.Epoch || owner != p.fence.Owner:
		return ErrFenced
	case next == p.cut.Next:
		p.commit()
	case next == p.fence.Next:
		p.cutSent = false // not committed: once more; should it arrive late after all, the fence refuses one of the two
	default:
		return ErrFenced
	}
	return nil
}

func (p *Partition) commit() {
	last := p.cut.Last
	p.useless = p.useless || slices.ContainsFunc(p.cut.Sets, func(s SetState) bool { return s.Gone }) || dedup.Day(p.cut.LogTime) != dedup.Day(p.committed)
	for _, f := range p.inCut {
		f.inCut, f.stored = false, f.cutLines
	}
	for _, q := range p.poolsCut {
		q.inCut = false
	}
	for o := range p.mine {
		if o <= last {
			delete(p.mine, o)
		}
	}
	i := 0
	for i < len(p.chain) && p.chain[i].offset <= last {
		i++
	}
	p.chain = append(p.chain[:0], p.chain[i:]...)
	p.fence.Next, p.fence.InFlight, p.committed = p.cut.Next, -1, p.cut.LogTime
	p.cut, p.inCut, p.poolsCut, p.cutSent = nil, nil, nil, false
	p.machine.evict(p.limits.Families)
	p.machine.distinct.committed()
	p.machine.waiting.cutting = nil
	p.machine.forgetMarkers()
	p.machine.evictPools(p.limits.Pools)
}

// Idle says that everything rated is committed: nothing is in flight.
func (p *Partition) Idle() bool {
	return p.cut == nil && p.Position() == p.fence.Next && len(p.unacked) == 0 && len(p.acks) == 0
}

// Look reads the claim. An owner without work calls it every few seconds, so that one that was replaced notices.
func (p *Partition) Look(ctx context.Context) error {
	if p.faults.IdleOwnerDoesNotLook {
		return nil
	}
	return p.stores.Store.Look(ctx, p.fence)
}

// Compactable says that the store may be asked to fold days of identities behind filters: with this log time, and under a claim
// that no commit in flight is about to change.
func (p *Partition) Compactable() (logTime int64, ok bool) {
	return p.committed, p.cut == nil && p.committed != 0
}

// Compacted takes the days that the store has folded.
func (p *Partition) Compacted(days []dedup.Compacted) {
	for _, d := range days {
		p.machine.index.Sealed(d.Day, d.Filter)
	}
}

// Forgets says up to which end distinct values of sealed periods are of no use, and whether the store may have some that are not.
func (p *Partition) Forgets() (before int64, ok bool) {
	return p.committed - int64(p.machine.keeps), p.useless
}

// Forgot takes what the store says of values that are of no use.
func (p *Partition) Forgot(more bool) { p.useless = more }

// Fence is the partition's present claim.
func (p *Partition) Fence() Fence { return p.fence }

// SumOf is the checksum by which rated records are compared.
func SumOf(value []byte) uint64 { return xxh3.Hash(value) }
