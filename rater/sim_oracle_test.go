package rater

import (
	"bytes"
	"cmp"
	"context"
	"fmt"

	"math/big"
	"slices"
	"sort"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price"
	priceoracle "github.com/tollstream/tollstream/rater/price/oracle"
	"github.com/tollstream/tollstream/rater/sink"
)

// check compares the drained world with a replay without faults, and that with a naive oracle.
func (w *world) check() string {
	w.checking, w.charged = true, map[simEvent]bool{}
	if why := w.sinks.check(); why != "" {
		return why
	}
	for p := range w.parts {
		if w.stopped[p] {
			continue
		}
		if len(w.taken[p]) > len(w.usage[p]) && w.lost[p] {
			w.did("rated outlives lost usage") // what to do with it is an operator's decision
			continue
		}
		ref, history := w.replay(p)
		if why := w.checkRated(p, ref); why != "" && !w.upgrades {
			return why
		}
		if why := w.checkState(p, ref); why != "" {
			return why
		}
		for _, s := range w.shown {
			if s.partition != int32(p) || w.lost[p] {
				continue
			}
			if want, ok := history[simVersion{s.line, s.version}]; !ok || want != s.amount {
				return fmt.Sprintf("the live view showed %s at version %d of a line, the log implies %s", s.amount, s.version, want)
			}
		}
	}
	w.countInvoices()
	if slices.Contains(w.stopped, true) || slices.Contains(w.lost, true) {
		return "" // what is not rated cannot be reconciled
	}
	return w.reconciled()
}

// countInvoices notes invoices whose lines stand on more than one partition.
func (w *world) countInvoices() {
	on := map[activity.ID]map[int]bool{}
	for p, v := range w.pg {
		for _, lines := range v.lines {
			for _, l := range lines {
				if on[l.Invoice] == nil {
					on[l.Invoice] = map[int]bool{}
				}
				on[l.Invoice][p] = true
			}
		}
	}
	for _, ps := range on {
		if len(ps) > 1 {
			w.did("invoice on several partitions")
		}
	}
}

// simVersion is a line at one of its versions.
type simVersion struct {
	line    activity.ID
	version int64
}

// replay rates the whole log with a fresh machine over empty stores: no fault can happen.
func (w *world) replay(p int) ([][]byte, map[simVersion]money.Decimal) {
	m := newMachine(&Checkpoint{Partition: int32(p), Last: -1, Skips: w.skips[p]}, time.Duration(simWindow), w.faults.Faults) // what its rules have wrong it has wrong as well
	m.keeps = time.Duration(simKeeps)
	var (
		out    [][]byte
		buffer []byte
		states []LineState
		enc    activity.Encoder
	)
	history := map[simVersion]money.Decimal{}
	for o := range w.usage[p] {
		u := &w.usage[p][o]
		// Nothing of the value may be kept: it is overwritten when the record has been rated.
		buffer = append(buffer[:0], u.value...)
		in := &Input{Offset: int64(o), LeaderEpoch: -1, Time: u.time, Value: buffer}
		m.decode(in)
		if err := m.load(context.Background(), in, Fence{}, emptyStore{w}, w); err != nil {
			fail("replay: %v", err)
		}
		open := m.open
		rec, err := m.step(in)
		if err != nil {
			fail("replay: %v", err)
		}
		w.sawMarkers(u.rec.Kind, open, m.open)
		out = append(out, enc.Append(nil, rec))
		for i := range in.Value {
			in.Value[i] = '#'
		}
		for _, f := range m.unshown {
			f.unshown = false
			states = f.states(states[:0])
			for i := range states {
				history[simVersion{states[i].Line, states[i].Version}] = states[i].Amount
			}
		}
		m.unshown = m.unshown[:0]
	}
	return out, history
}

// sawMarkers notes what happens to markers.
func (w *world) sawMarkers(kind usage.RecordKind, before, after int) {
	switch {
	case kind == usage.KindMarker && after > before:
		w.did("marker")
	case kind == usage.KindResult && after < before:
		w.did("result merged")
	case kind == usage.KindSeal && after > 0:
		w.did("seal while a marker is open")
	case kind == usage.KindBatch && after > 0:
		w.did("usage behind a marker")
	}
}

type emptyStore struct{ *world }

func (emptyStore) Lines(context.Context, Fence, []activity.ID) ([]LineState, error) { return nil, nil }
func (emptyStore) Values(context.Context, Fence, []ValueKey) ([]ValueState, error)  { return nil, nil }
func (emptyStore) Pools(context.Context, Fence, []activity.ID) ([]PoolState, error) { return nil, nil }
func (emptyStore) Sharing(context.Context, Fence, activity.ID, string, int64) ([]activity.ID, error) {
	return nil, nil
}
func (emptyStore) Seals(context.Context, Fence, []string) ([]SealState, error)     { return nil, nil }
func (emptyStore) Markers(context.Context, Fence, []string) ([]MarkerState, error) { return nil, nil }
func (emptyStore) Levels(context.Context, Fence, string, int64, int) ([]LevelState, error) {
	return nil, nil
}
func (emptyStore) Fold(context.Context, Fence) error { return nil }

// checkRated: what a reader takes is what a replay computes, one record for each usage record.
func (w *world) checkRated(p int, ref [][]byte) string {
	last, taken := int64(-1), 0
	for _, x := range w.rated[p] {
		if x.previous != last {
			continue
		}
		if x.offset >= int64(len(ref)) || !bytes.Equal(x.value, ref[x.offset]) {
			return fmt.Sprintf("rated record of offset %d differs from a replay", x.offset)
		}
		last = x.offset
		taken++
	}
	if taken != len(w.usage[p]) {
		return fmt.Sprintf("readers of rated take %d records of %d", taken, len(w.usage[p]))
	}
	return ""
}

// checkState: PostgreSQL and the live store at rest agree with the oracle.
func (w *world) checkState(p int, ref [][]byte) string {
	pg := w.pg[p]
	o := w.oracle(p, ref)
	if o.why != "" {
		return o.why
	}
	want := o.totals()
	got, shares := map[oracleLine]money.Decimal{}, map[activity.ID]money.Decimal{}
	lines := map[activity.ID]money.Decimal{}
	for _, ls := range pg.lines {
		for i := range ls {
			l := &ls[i]
			group := ""
			for _, g := range l.Group {
				group += g.Value
			}
			lines[l.Line] = l.Amount
			if l.Events > 0 || begun(l) {
				own := l.Amount
				if w.anew {
					own = ownOf(l, shares)
				}
				got[oracleLine{l.Account, l.Product, group, l.UsagePeriod.Start, l.Billed, l.Period.Start}] = own
			} else if l.RateLevel != LevelCorrection && !l.Amount.IsZero() {
				return fmt.Sprintf("a line of %s without usage", l.Amount)
			}
			if s := w.redis[p].lines[l.Line]; s.amount != l.Amount && !w.lost[p] {
				return fmt.Sprintf("the live view ends with %s for a line of %s", s.amount, l.Amount)
			}
		}
	}
	for k, v := range want {
		if g, ok := got[k]; !ok || o.rat(g).Cmp(v) != 0 {
			return fmt.Sprintf("line %v is %s, the oracle says %s", k, g, v.FloatString(12)) + o.prices(k)
		}
	}
	if len(got) != len(want) {
		return fmt.Sprintf("%d lines, the oracle knows %d", len(got), len(want))
	}
	if why := w.checkSets(p); why != "" {
		return why
	}
	if w.anew {
		if why := o.checkPools(shares); why != "" {
			return why
		}
	}
	for _, m := range pg.marks {
		if m.Open {
			return fmt.Sprintf("the marker of %s for definition %d stays open", m.Account, m.Seq)
		}
	}
	if why := w.checkRejected(p, o); why != "" {
		return why
	}
	return w.checkSums(p, lines, o.counts)
}

// checkSets: no values are kept but those that lines count. A failover may lose that others were deleted, and nothing else; then they are
// when the day is over.
func (w *world) checkSets(p int) string {
	counted := map[activity.ID]bool{}
	for _, lines := range w.pg[p].lines {
		for i := range lines {
			segments, _ := DecodeSegments(lines[i].Segments)
			for j := range segments {
				if u, _ := segments[j].State.Rest.UniqueOf(); u != nil {
					counted[u.Set] = true
				}
			}
		}
	}
	for k := range w.pg[p].vals {
		if !counted[k.Set] && !(w.pg[p].sets[k.Set].Gone && w.done["PostgreSQL failover"] > 0) {
			return fmt.Sprintf("values of set %s are kept, which no line counts", k.Set)
		}
	}
	return ""
}

// ownOf is what a line comes to without what pools have charged to it, which is added to theirs.
func ownOf(l *LineState, shares map[activity.ID]money.Decimal) money.Decimal {
	own := l.Amount
	segments, err := DecodeSegments(l.Segments)
	if err != nil {
		fail("a committed line: %v", err)
	}
	for _, s := range segments {
		if !s.Pool.IsZero() {
			own, shares[s.Pool] = mustAdd(own, s.Charged.Neg()), mustAdd(shares[s.Pool], s.Charged)
		}
	}
	return own
}

// begun says whether the line has a level.
func begun(l *LineState) bool {
	segments, _ := DecodeSegments(l.Segments)
	return slices.ContainsFunc(segments, func(s Segment) bool { return price.ShapeCarriesLevel(s.Shape) && s.State.At != 0 })
}

// checkRejected: what could not be rated is kept with its reason, until it is retried.
func (w *world) checkRejected(p int, o *oracle) string {
	for at, reason := range o.rejected {
		r, ok := w.pg[p].rej[at]
		switch {
		case !ok && !w.retried[p][at]:
			return fmt.Sprintf("usage of partition %d offset %d, event %d, rejected as %s, is lost", p, at.Offset, at.Index, reason)
		case ok && r.Reason != reason:
			return fmt.Sprintf("usage of partition %d offset %d, event %d, is rejected as %s, the oracle says %s", p, at.Offset, at.Index, r.Reason, reason)
		}
	}
	for at := range w.pg[p].rej {
		if o.rejected[at] == "" {
			return fmt.Sprintf("usage of partition %d offset %d is rejected, the oracle rates it", p, at.Offset)
		}
	}
	return ""
}

// simEvent is what happened once: an id may come again behind the window, at another time.
type simEvent struct {
	id   string
	time int64
}

// checkSums: the charges of a line add up to it, the counts to the events.
func (w *world) checkSums(p int, lines map[activity.ID]money.Decimal, counts map[CountKey]Counts) string {
	sums := map[activity.ID]money.Decimal{}
	for _, rec := range w.counting(p) {
		for _, a := range rec.Activities {
			sums[a.Line] = mustAdd(sums[a.Line], a.Charge)
			k := CountKey{Month: sink.MonthOf(a.EventTime), Currency: a.Currency}
			c := counts[k]
			c.Charged = mustAdd(c.Charged, a.Charge)
			counts[k] = c
			e := simEvent{a.EventID, a.EventTime}
			if a.Kind == activity.KindUsage && w.charged[e] {
				return "event " + a.EventID + " is charged twice"
			}
			w.charged[e] = true
		}
	}
	for l, v := range lines {
		if sums[l] != v {
			return fmt.Sprintf("the charges of a line add up to %s, it says %s", sums[l], v)
		}
	}
	got := w.pg[p].c.Counts
	for k, want := range counts {
		if got[k] != want {
			return fmt.Sprintf("partition %d has counted %+v in month %s, the log says %+v", p, got[k], sink.MonthText(k.Month), want)
		}
	}
	if len(got) != len(counts) {
		return fmt.Sprintf("partition %d has counted in %d months and currencies, the log says %d", p, len(got), len(counts))
	}
	return ""
}

var bigScale = new(big.Int).Exp(big.NewInt(10), big.NewInt(money.Scale), nil)

// rat is a number as the oracle calculates with it. It must not be changed.
func (o *oracle) rat(d money.Decimal) *big.Rat {
	r := o.rats[d]
	if r == nil {
		var ok bool
		if r, ok = new(big.Rat).SetString(d.String()); !ok {
			panic(d.String())
		}
		o.rats[d] = r
	}
	return r
}

// ---- the oracle: written from pricing.md and billing.md; event lists, everything priced from scratch at the end

// oracleFamily are the lines that usage of one period is charged on.
type oracleFamily struct {
	account, product, group string
	usage                   int64 // when the period of the usage begins
	owed                    string
}

// oracleLine is such a line, on the invoice of whoever is billed for the period.
type oracleLine struct {
	account, product, group string
	usage                   int64
	billed                  string
	period                  int64
}

// oracleUses is what is known of a family.
type oracleUses struct {
	uses   []oracleUse
	lines  []oracleLine         // in the order of their first use, see arrange
	prices map[string]*simPrice // of its rates, by contract, as of the last event that found the rate existing

	// With terms the prices are by the rate's id, and these stand in the place of uses.
	ledger *priceoracle.Ledger
	own    *big.Rat             // what the changes of a level on the line of its own day add up to
	wentOn bool                 // that has gone on when the day was sealed
	pinned map[string]simPinned // by the rate's id
	orders []int                // of each event, the line's
	shared []*big.Rat           // what pools have charged to each line
	pools  []oracleIn           // which have
	seq    int64                // of the definitions under which it was touched last

	emptied bool // an event was left out: lines may have none
}

// oraclePool is what is priced together.
type oraclePool struct {
	scope       catalog.Pool
	of, product string
	usage       int64
	owed        string
}

// oracleIn is a line, by its order, and a pool that has charged to it.
type oracleIn struct {
	order int
	*oracleShared
}

// oracleShared is what is known of a pool: the same as of one line, and what it came to when it was touched last.
type oracleShared struct {
	oracleUses
	amount *big.Rat
}

type oracleUse struct {
	order    int // of the line in its family
	rate     *simPrice
	start    int64
	quantity *big.Rat
	time     int64
	event    usage.EventName
	offset   int64
	left     bool // out, though it stands on a closed line
	value    string
}

type oracle struct {
	w        *world
	act      int64
	logTime  int64
	offset   int64
	through  map[string][]SealPoint
	seen     map[usage.Identity]*usage.Event
	arrived  map[usage.Identity]int64
	families map[oracleFamily]*oracleUses
	pools    map[oraclePool]*oracleShared
	counts   map[CountKey]Counts        // without charges
	rejected map[Skip]string            // why
	skips    map[Skip]struct{}          // what the operator told the rater to pass over
	rats     map[money.Decimal]*big.Rat // see rat
	answers  map[simMarked][]usage.Answer
	left     map[simNamed]bool // out, by corrections
	why      string            // a correction was answered wrongly
}

// oracle reads the log. What it takes from the rated records, ref, is only which results count.
func (w *world) oracle(p int, ref [][]byte) *oracle {
	o := &oracle{
		counts: map[CountKey]Counts{}, rejected: map[Skip]string{}, skips: w.skips[p],
		w: w, through: map[string][]SealPoint{}, seen: map[usage.Identity]*usage.Event{}, arrived: map[usage.Identity]int64{},
		families: map[oracleFamily]*oracleUses{}, pools: map[oraclePool]*oracleShared{}, rats: map[money.Decimal]*big.Rat{},
		answers: map[simMarked][]usage.Answer{}, left: map[simNamed]bool{},
	}
	logTime := int64(0)
	for offset := range w.usage[p] {
		u := &w.usage[p][offset]
		logTime, o.offset = max(logTime, u.time), int64(offset)
		switch r := &u.rec; r.Kind {
		case usage.KindDefinitions:
			if r.Definitions.To > o.act {
				o.w.did("definitions activated")
			}
			o.act = max(o.act, r.Definitions.To)
		case usage.KindSeal:
			s := o.through[r.Seal.Account]
			if len(s) == 0 || s[len(s)-1].Through < r.Seal.PeriodEnd {
				o.w.did("seal")
				o.w.did("seal of " + o.w.cycle.name)
				if len(s) > 0 && o.w.cycle.every != "daily" {
					o.w.did("another long period of an account sealed")
				}
				o.through[r.Seal.Account] = append(s, SealPoint{r.Seal.PeriodEnd, o.act})
			}
			if s = o.through[r.Seal.Account]; s[len(s)-1].Through == r.Seal.PeriodEnd {
				o.logTime = logTime
				o.goOn(r.Seal)
			}
		case usage.KindResult:
			o.logTime = logTime
			o.result(int64(offset), r.Result, ref[offset])
		default:
			for i := range r.Events {
				o.event(Skip{int64(offset), i}, &r.Events[i], logTime, r.Kind == usage.KindRetry)
			}
		}
	}
	return o
}

func (o *oracle) event(at Skip, e *usage.Event, logTime int64, retry bool) {
	o.logTime = logTime
	month := CountKey{Month: sink.MonthOf(e.Time)}
	c := o.counts[month]
	defer func() { o.counts[month] = c }()
	if retry {
		c.Retried++
		o.w.did("usage retried")
	} else {
		c.Accepted++
		o.w.did("usage accepted")
	}
	if _, skipped := o.skips[at]; skipped {
		c.Rejected++
		o.reject(at, ReasonSkipped)
		return
	}
	id := e.Identity()
	old, sent := o.seen[id]
	if sent && o.arrived[id] >= logTime-simWindow-simHour {
		if old.Hash == e.Hash {
			c.Duplicates++
			o.w.did("duplicate")
			return
		}
		c.Rejected++
		o.reject(at, ReasonDuplicateConflict)
		return
	}
	if sent {
		o.w.did("sent again behind the window")
	}
	if reason := o.refusal(e, logTime); reason != "" {
		c.Rejected++
		o.reject(at, reason)
		return
	}
	c.Rated++
	if retry {
		o.w.did("retry rated")
	}
	o.seen[id], o.arrived[id] = e, logTime
}

func (o *oracle) reject(at Skip, reason string) {
	o.rejected[at] = reason
	o.w.did("rejected: " + reason)
}

func (o *oracle) refusal(e *usage.Event, logTime int64) string {
	switch {
	case e.Account == "" || !o.known(e.Account, o.act):
		return ReasonAccountUnknown
	case e.Time > logTime+simHour:
		return ReasonTooNew
	case e.Time < logTime-simWindow:
		return ReasonTooOld
	}
	return o.place(e)
}

// place puts the event on its line, or says why it is rejected.
func (o *oracle) place(e *usage.Event) string {
	day, _ := o.w.cycle.at(e.Time)
	owed := o.root(e.Account, e.Time)
	billed, period, seq, late := owed, day, o.act, false
	if s, sealed := o.sealed(owed, o.w.cycle.end(day)); sealed {
		late = true
		if e.Account == "a4" {
			return ReasonLate
		}
		o.w.did("late usage carried")
		billed, period = o.carried(owed, period)
		if o.known(e.Account, s) { // an account that came after the seal is priced as it is now
			seq = s
		}
	}
	if !slices.Contains(simProducts, e.Product) || !o.productKnown(e.Product, seq) {
		return ReasonProductUnknown
	}
	rate, start := o.rate(e.Account, e.Product, e.Time, seq)
	if rate == nil {
		return ReasonNoRate
	}
	unique := rate.aggregation == catalog.AggregationUnique || rate.terms != nil && rate.terms.rate.Aggregation == "unique"
	if unique && late && e.Corrects == nil && o.w.cycle.end(day) < o.logTime-simKeeps {
		return ReasonValuesGone
	}
	group := ""
	if e.Product == "p1" {
		group = e.Attribute("region")
	}
	family := oracleFamily{e.Account, e.Product, group, day, owed}
	line := oracleLine{e.Account, e.Product, group, day, billed, period}
	f := o.families[family]
	if f == nil {
		f = &oracleUses{prices: map[string]*simPrice{}, pinned: map[string]simPinned{}}
		o.families[family] = f
	}
	for line.period != day && o.beforeClosed(f, line) {
		o.w.did("late usage carried past a closed line")
		line.billed, line.period = o.carried(owed, line.period)
	}
	if rate.aggregation != "" && (e.Corrects != nil || e.Quantity.Sign() < 0) {
		return reasonWithout(e)
	}
	if rate.aggregation == catalog.AggregationUnique && e.Attribute(simCounted) == "" {
		return ReasonNoAttribute
	}
	at := slices.Index(f.lines, line)
	if rate.terms != nil {
		if reason := o.take(f, line, rate, e, seq); reason != "" {
			return reason
		}
	}
	if at < 0 {
		at = len(f.lines)
		f.lines, f.shared = append(f.lines, line), append(f.shared, new(big.Rat))
	}
	poolSeq := o.act
	if s, late := o.sealed(owed, o.w.cycle.end(day)); late {
		poolSeq = s
	}
	if rate.pool != "" && !o.w.anew {
		o.touch(f, seq, poolSeq)
		charge, q := o.share(e, rate, start, owed, day, poolSeq)
		f.shared[at] = new(big.Rat).Add(f.shared[at], charge)
		if in := (oracleIn{at, q}); !slices.Contains(f.pools, in) {
			f.pools = append(f.pools, in)
		}
		return ""
	}
	if rate.terms != nil {
		f.orders = append(f.orders, at)
		return ""
	}
	f.uses = append(f.uses, oracleUse{at, rate, start, o.rat(e.Quantity), e.Time, usage.EventName{Source: e.Source, ID: e.ID}, o.offset, false, e.Attribute(simCounted)})
	o.touch(f, seq, poolSeq)
	return ""
}

// touch has the family priced under the definitions, and the pools that have charged to it, of which the first of its lines takes what changes.
func (o *oracle) touch(f *oracleUses, seq, poolSeq int64) {
	for _, in := range f.pools {
		if f.seq < seq && in.seq < poolSeq {
			f.shared[in.order] = new(big.Rat).Add(f.shared[in.order], o.poolAnew(in.oracleShared, poolSeq))
		}
	}
	f.seq = max(f.seq, seq)
	for i := range f.uses {
		used := f.uses[i].rate
		if now := o.latest(used.account, used.product, seq); now != nil && !now.deleted {
			f.prices[used.contract] = now
		}
	}
}

// share puts the event into its pool and gives what that comes to more than before, which is for the event's line. The pool is priced
// under seq; a rate that is not known there keeps its prices, and that of the event has its own.
func (o *oracle) share(e *usage.Event, rate *simPrice, start int64, owed string, day, seq int64) (*big.Rat, *oracleShared) {
	q := o.pool(rate, e.Account, e.Product, day, owed)
	q.uses = append(q.uses, oracleUse{0, rate, start, o.rat(e.Quantity), e.Time, usage.EventName{}, o.offset, false, ""})
	q.prices[rate.contract] = rate
	return o.poolAnew(q, seq), q
}

// poolAnew prices the pool under seq and gives what it comes to more than before.
func (o *oracle) poolAnew(q *oracleShared, seq int64) *big.Rat {
	q.seq = seq
	for i := range q.uses {
		used := q.uses[i].rate
		if now := o.latest(used.account, used.product, seq); now != nil && !now.deleted && (used.account == "" || o.known(used.account, seq)) {
			q.prices[used.contract] = now
		}
	}
	before := q.amount
	q.amount = q.total(0)
	return new(big.Rat).Sub(q.amount, before)
}

// pool finds the pool of usage under a rate.
func (o *oracle) pool(rate *simPrice, account, product string, day int64, owed string) *oracleShared {
	k := oraclePool{rate.pool, "", product, day, owed}
	if rate.pool == catalog.PoolAccount {
		k.of = account
	}
	q := o.pools[k]
	if q == nil {
		q = &oracleShared{oracleUses{prices: map[string]*simPrice{}}, new(big.Rat)}
		o.pools[k] = q
	}
	o.w.did("usage in a pool of an " + string(rate.pool))
	return q
}

func (o *oracle) sealed(account string, end int64) (int64, bool) {
	for _, s := range o.through[account] {
		if s.Through >= end {
			return s.Seq, true
		}
	}
	return 0, false
}

func (o *oracle) known(account string, seq int64) bool {
	return slices.ContainsFunc(o.w.defs[:seq], func(d *simRow) bool { return d.bill != nil && d.bill.account == account })
}

func (o *oracle) productKnown(product string, seq int64) bool {
	return slices.ContainsFunc(o.w.defs[:seq], func(d *simRow) bool { return d.price != nil && d.price.contract == "" && d.price.product == product })
}

// root follows bill_to at t.
func (o *oracle) root(account string, t int64) string {
	for {
		parent := false
		for _, d := range o.w.defs[:o.act] {
			if d.bill != nil && d.bill.account == account && d.bill.from <= t {
				parent = d.bill.parent
			}
		}
		if !parent || simParent[account] == "" {
			return account
		}
		account = simParent[account]
	}
}

// rate asks the contracts of the account, then of its parents, then the product.
func (o *oracle) rate(account, product string, t, seq int64) (*simPrice, int64) {
	for a := account; a != ""; a = simParent[a] {
		if p := o.latest(a, product, seq); p != nil && !p.deleted && p.start <= t {
			return p, p.start
		}
	}
	if p := o.latest("", product, seq); p != nil {
		return p.at(t), -1 << 63
	}
	return nil, 0
}

// latest is the price of a product in the account's contract, "" for the product's own.
func (o *oracle) latest(account, product string, seq int64) *simPrice {
	var found *simPrice
	for _, d := range o.w.defs[:seq] {
		if d.price != nil && d.price.account == account && d.price.product == product {
			found = d.price
		}
	}
	return found
}

// totals prices every family under the definitions that it was touched under last; a rate that was gone then keeps the
// prices of the last time that it was not.
func (o *oracle) totals() map[oracleLine]*big.Rat {
	out := map[oracleLine]*big.Rat{}
	for k, f := range o.families {
		f.arrange()
		if o.w.anew {
			o.rateAnew(k, f)
		}
		used := make([]bool, len(f.lines))
		for i := range f.uses {
			used[f.uses[i].order] = true
		}
		if o.w.anew {
			o.shareAnew(k, f)
		}
		before := new(big.Rat)
		for i, line := range f.lines {
			total := f.total(i)
			if f.emptied && !used[i] {
				before = total
				continue
			}
			out[line] = new(big.Rat).Sub(total, before)
			out[line].Add(out[line], f.shared[i])
			before = total
		}
	}
	return out
}

// arrange puts the lines into the order in which they continue one another: of their invoices' periods, then of who is billed.
func (f *oracleUses) arrange() {
	old, shared := slices.Clone(f.lines), slices.Clone(f.shared)
	slices.SortFunc(f.lines, func(a, b oracleLine) int {
		return cmp.Or(cmp.Compare(a.period, b.period), cmp.Compare(a.billed, b.billed))
	})
	at := make([]int, len(old))
	for i, line := range old {
		at[i] = slices.Index(f.lines, line)
		f.shared[at[i]] = shared[i]
	}
	for i := range f.uses {
		f.uses[i].order = at[f.uses[i].order]
	}
	for i := range f.orders {
		f.orders[i] = at[f.orders[i]]
	}
}

// rateAnew has a family's usage priced under the newest definitions or, when its period is sealed, under those of its seal, as jobs
// leave it.
func (o *oracle) rateAnew(k oracleFamily, f *oracleUses) {
	seq := o.act
	if s, sealed := o.sealed(k.owed, o.w.cycle.end(k.usage)); sealed && o.known(k.account, s) {
		seq = s
	}
	for i := range f.uses {
		u := &f.uses[i]
		was := u.rate
		u.rate, u.start = o.rate(k.account, k.product, u.time, seq)
		switch {
		case u.rate.contract != was.contract:
			o.w.did("usage rated anew under another rate")
		case u.rate != was:
			o.w.did("usage rated anew at other prices")
		}
		f.prices[u.rate.contract] = u.rate
	}
}

// shareAnew puts into pools what the family has used in them, of rates as they are in the end. Which of a pool's lines pays is decided by when
// jobs rate them anew, so all that the oracle knows is what all of them pay.
func (o *oracle) shareAnew(k oracleFamily, f *oracleUses) {
	seq := o.act
	if s, sealed := o.sealed(k.owed, o.w.cycle.end(k.usage)); sealed {
		seq = s
	}
	f.uses = slices.DeleteFunc(f.uses, func(u oracleUse) bool {
		if u.rate.pool == "" {
			return false
		}
		q := o.pool(u.rate, k.account, k.product, k.usage, k.owed)
		u.order = 0
		q.uses = append(q.uses, u)
		q.prices[u.rate.contract] = u.rate
		if now := o.latest(u.rate.account, k.product, seq); now != nil && !now.deleted && (u.rate.account == "" || o.known(u.rate.account, seq)) {
			q.prices[u.rate.contract] = now
		}
		return true
	})
}

// checkPools compares what the shares of each pool add up to with the oracle's total.
func (o *oracle) checkPools(shares map[activity.ID]money.Decimal) string {
	for k, q := range o.pools {
		id := activity.PoolID("main", string(k.scope), k.of, k.product, "USD", k.owed, k.usage)
		if want := q.total(0); o.rat(shares[id]).Cmp(want) != 0 {
			return fmt.Sprintf("the lines in pool %v are charged %s, the oracle says %s", k, shares[id], want.FloatString(12))
		}
		delete(shares, id)
	}
	for id := range shares {
		return fmt.Sprintf("a line shares pool %s, the oracle knows of none", id)
	}
	return ""
}

// carried is the first open period behind one, of whoever is billed then.
func (o *oracle) carried(owed string, period int64) (billed string, next int64) {
	for late := true; late; {
		period = o.w.cycle.end(period)
		billed = o.root(owed, period)
		_, late = o.sealed(billed, o.w.cycle.end(period))
	}
	return billed, period
}

// beforeClosed says whether a line that the other would stand before is on a closed invoice.
func (o *oracle) beforeClosed(f *oracleUses, line oracleLine) bool {
	return slices.ContainsFunc(f.lines, func(l oracleLine) bool {
		_, closed := o.sealed(l.billed, o.w.cycle.end(l.period))
		return closed && cmp.Or(cmp.Compare(l.period, line.period), cmp.Compare(l.billed, line.billed)) > 0
	})
}

type oracleSegment struct {
	contract string
	start    int64
	uses     []oracleUse
}

// total prices the usage of the first lines of a family: segment by segment, each continuing the ones before.
func (f *oracleUses) total(upTo int) *big.Rat {
	if f.ledger != nil {
		return f.richTotal(upTo)
	}
	var segments []oracleSegment
	for _, u := range f.uses {
		if u.order > upTo {
			continue
		}
		i := slices.IndexFunc(segments, func(s oracleSegment) bool { return s.contract == u.rate.contract })
		if i < 0 {
			segments = append(segments, oracleSegment{u.rate.contract, u.start, nil})
			i = len(segments) - 1
		}
		segments[i].uses = append(segments[i].uses, u)
	}
	sort.Slice(segments, func(i, j int) bool {
		a, b := segments[i], segments[j]
		return a.start < b.start || a.start == b.start && a.contract < b.contract
	})
	var uses []oracleUse
	total := new(big.Rat)
	for _, s := range segments {
		rate := f.prices[s.contract]
		prior := priceOf(rate, quantityOf(rate, uses))
		uses = append(uses, s.uses...)
		total.Add(total, new(big.Rat).Sub(priceOf(rate, quantityOf(rate, uses)), prior))
	}
	return total
}

// priceOf is graduated or volume with two tiers; what lies below zero is priced at the first.
func priceOf(p *simPrice, q *big.Rat) *big.Rat {
	first, second, limit := big.NewRat(p.first, 100), big.NewRat(p.second, 100), big.NewRat(p.limit, 1)
	switch {
	case q.Cmp(limit) <= 0:
		return roundHalfAway(first.Mul(first, q))
	case p.volume:
		return roundHalfAway(second.Mul(second, q))
	}
	rest := new(big.Rat).Sub(q, limit)
	return roundHalfAway(rest.Add(rest.Mul(rest, second), limit.Mul(limit, first)))
}

// roundHalfAway rounds to 12 decimals.
func roundHalfAway(v *big.Rat) *big.Rat {
	n := new(big.Int).Mul(v.Num(), bigScale)
	q, r := n.QuoRem(n, v.Denom(), new(big.Int))
	if r.Sign() == 0 { // there are no more
		return v
	}
	if r.Abs(r).Lsh(r, 1).Cmp(v.Denom()) >= 0 {
		q.Add(q, big.NewInt(int64(v.Sign())))
	}
	return new(big.Rat).SetFrac(q, bigScale)
}
