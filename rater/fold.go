package rater

import (
	"bytes"
	"slices"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
)

// Fold adds up usage that was rated before, outside of the loop, by the rules of the machine: what stored activities come to under
// plans as of one sequence number, or of a draft. Given the usage in log order and the plan that it was rated under, it gives the
// same charges, segments and amounts to the last digit.
//
// It knows no log: duplicates, seals and windows were judged when the usage was rated. It is pure, not safe for concurrent use, and
// does not allocate for an event like one before it. What it keeps of an event is its own.
type Fold struct {
	pricer
	words    words
	plans    plans
	families map[activity.ID]*family
	pools    map[activity.ID]*pool
	order    []*family // as usage first fell on them
	resolved resolution
	seq      int64             // of the definitions, see Under
	over     *catalog.Snapshot // see Over
	latest   int64             // of the periods that levels were carried over into
}

// Invoiced is the invoice that charges for usage, as the activity says. The zero value is the invoice of the period that the usage
// belongs to; that of late usage is a later one.
type Invoiced struct {
	Billed string
	Period catalog.Period
	// Whose the usage's own period is, and which it is, where that was settled when the usage was rated; empty: as the plan says.
	Owed  string
	Usage catalog.Period

	Exchanges Exchanges
}

// Exchanges are the exchange rates that an activity rests on: to rate its usage anew does not change them, as long as the same
// currencies are exchanged.
type Exchanges struct {
	RateID   string
	Currency string         // of the rate
	Prices   money.Exchange // turned the rate's prices into the line's currency
	Amount   money.Exchange // turned the event's amount into the rate's

	over *catalog.Snapshot // see Fold.Over
}

// ExchangesOf gives those of an activity.
func ExchangesOf(a *activity.Activity) Exchanges {
	x := Exchanges{RateID: a.RateID, Currency: a.RateCurrency, Prices: a.RateExchange}
	if x.Currency == "" {
		x.Currency = a.Terms.Currency
	}
	if a.Extra != nil {
		x.Amount = a.Extra.AmountExchange
	}
	return x
}

// amount gives what turned the event's amount into the currency of the rate; the zero one for nothing that is known.
func (x *Exchanges) amount(e *usage.Event, r *catalog.Rate, plan *catalog.Plan) money.Exchange {
	if !x.Amount.Used() || x.Currency != r.Currency {
		return money.Exchange{}
	}
	if x.over != nil {
		before, known := x.over.Exchange(e.Currency, r.Currency, money.DateOf(e.Time, time.UTC))
		if now, ok := plan.Snapshot().Exchange(e.Currency, r.Currency, money.DateOf(e.Time, time.UTC)); ok != known || now != before {
			return money.Exchange{}
		}
	}
	return x.Amount
}

// prices gives what turned prices of the rate for usage of the period; nil for nothing that is known.
func (x *Exchanges) prices(r *catalog.Rate, period catalog.Period, plan *catalog.Plan) *conversion {
	if !x.Prices.Used() || x.RateID != r.ID || x.Currency != r.Currency {
		return nil
	}
	if x.over != nil {
		before, known := plan.ExchangeAmong(x.over, r, period)
		if now, ok := plan.ExchangeOf(r, period); ok != known || now != before {
			return nil
		}
	}
	return &conversion{from: x.Currency, exchange: x.Prices}
}

// Folded is what an event added.
type Folded struct {
	Family activity.ID
	Line   activity.ID
	Pool   activity.ID   // in which it has its tiers, zero: its line has them
	Rate   *catalog.Rate // of a matrix the price that was selected
	Charge money.Decimal // the change of its line
	Others money.Decimal // the change of the family's other lines, and of later ones that its level is carried on into, for which the machine makes adjustments
	Amount money.Decimal // of its line with it
	Later  []Later       // what of Others is of later periods
}

// Later is the change of a line that took over another level.
type Later struct {
	Start  int64 // of its period
	Charge money.Decimal
}

// NewFold returns a fold of nothing.
func NewFold() *Fold {
	f := &Fold{words: words{}, plans: newPlans(), families: map[activity.ID]*family{}, pools: map[activity.ID]*pool{}}
	f.all = f.families
	f.distinct = newValues(0, nil)
	f.distinct.all = true
	return f
}

// Reset forgets all usage and all plans.
func (f *Fold) Reset() {
	f.plans = newPlans()
	clear(f.families)
	clear(f.pools)
	f.distinct = newValues(0, nil)
	f.distinct.all = true
	clear(f.order)
	f.order, f.latest = f.order[:0], 0
}

// Use makes plan the one under which usage of its account is priced. An account has one plan until Reset.
func (f *Fold) Use(plan *catalog.Plan) {
	if account := plan.Account().ID; f.plans.of(account) == nil {
		f.plans.keep(account, plan)
	}
}

// Under says which definitions the plans are of, where they have shared ones that are older.
func (f *Fold) Under(seq int64) { f.seq = seq }

// Over says that the plans are of a draft, and over which definitions it is laid: usage keeps the exchange rates that it was rated with,
// Invoiced.Exchanges, but for those that the draft changes.
func (f *Fold) Over(snapshot *catalog.Snapshot) { f.over = snapshot }

// Uses says whether the account has a plan.
func (f *Fold) Uses(account string) bool { return f.plans.of(account) != nil }

// Add adds an event, or says the reason for which it cannot be rated; then it does not count. Usage of an account without a plan is of
// an unknown account.
func (f *Fold) Add(e *usage.Event, on Invoiced) (Folded, string) {
	r, reason := f.place(e, on)
	if reason != "" {
		return Folded{}, reason
	}
	out := Folded{Family: r.f.id}
	if l := r.f.alone(r); l != nil {
		out.Charge, reason = f.chargeAlone(l, e, r)
		out.Line, out.Rate, out.Amount = l.target.Line, l.selected, l.amount
		if r.carries && reason == "" {
			f.carryOn(e, r, f.rate.Cell, &out)
		}
		return out, reason
	}
	at, reason := 0, ""
	if r.pool != nil {
		out.Pool = r.pool.id
		at, _, reason = f.putPooled(r.f, e, r, f.words)
	} else {
		at, reason = f.put(r.f, e, r, f.words)
	}
	if reason != "" {
		return Folded{}, reason
	}
	f.took(at, r, &out)
	if r.carries {
		f.carryOn(e, r, f.rate.Cell, &out)
	}
	return out, ""
}

// Begin has a line begin with the level that the period before leaves, where the log has had a seal do that: e says account, product, package
// and group, and the time at which the period begins. Where there is no such level nothing changes.
func (f *Fold) Begin(e *usage.Event, on Invoiced) (out Folded, reason string) {
	r, reason := f.place(e, on)
	if reason != "" || !r.carries {
		return out, reason
	}
	for n, start := 0, r.usagePeriod.Start; n < mostQuiet && start != catalog.Always; n++ {
		id, _, period := r.beside(e.Account, start-1)
		start = period.Start
		before := f.families[id]
		if before == nil || before.own() == nil {
			continue
		}
		begins := f.beginnings(before, r)
		if len(begins) == 0 {
			break
		}
		if at, ok := f.begin(begins, e.Account, r, f.words); ok {
			out.Family = r.f.id
			f.took(at, r, &out)
			f.latest = max(f.latest, r.usagePeriod.Start)
		}
		break
	}
	return out, ""
}

// took takes over what the last put has priced.
func (f *Fold) took(at int, r *resolution, out *Folded) {
	out.Charge = f.take(r.f, at, r.seq, out.other)
	l := &r.f.lines[at]
	out.Line, out.Rate, out.Amount = l.target.Line, l.selected, l.amount
}

// place resolves an event, on the invoice that charges for it.
func (f *Fold) place(e *usage.Event, on Invoiced) (*resolution, string) {
	f.known = on.Exchanges
	f.known.over = f.over
	r, reason := f.resolve(e)
	if reason != "" {
		return nil, reason
	}
	if on.Owed != "" && (on.Owed != r.owed || on.Usage != r.usagePeriod) {
		f.resolved = f.owedBy(r, e, on)
		r = &f.resolved
	}
	if on.Billed != "" && (on.Period != r.period || on.Billed != r.billed) {
		late := *r
		late.billed, late.period = f.words.of(on.Billed), on.Period
		late.invoice = activity.InvoiceID(r.seller, late.billed, late.period.Start)
		f.resolved = late
		r = &f.resolved
	}
	return r, ""
}

// other adds the change of another line.
func (out *Folded) other(_ *line, change money.Decimal) {
	sum, err := out.Others.Add(change)
	if err != nil { // each is a difference of amounts within bounds, and there are few lines
		panic("bug: the sum of a family's adjustments overflows")
	}
	out.Others = sum
}

// resolve is the machine's, for usage that is not late, of a plan that is at hand and lines that are all in memory.
func (f *Fold) resolve(e *usage.Event) (*resolution, string) {
	p := f.plans.of(e.Account)
	if p == nil {
		return nil, ReasonAccountUnknown
	}
	if r := p.recall(0, e); r != nil {
		return r, ""
	}
	f.resolved = resolution{seq: max(f.seq, p.plan.Seq())}
	r := &f.resolved
	owed, _ := r.bill(p.plan, e.Time)
	id := r.answer(p.plan, e, owed)
	if r.reason != "" {
		return nil, r.reason
	}
	r.f = f.family(id)
	f.share(r, e)
	p.remember(f.words, 0, e, r)
	return r, ""
}

func (f *Fold) family(id activity.ID) *family {
	known := f.families[id]
	if known == nil {
		known = newFamily(id)
		f.families[id], f.order = known, append(f.order, known)
	}
	return known
}

// owedBy is the resolution for usage whose own period is settled otherwise than the plan has it.
func (f *Fold) owedBy(r *resolution, e *usage.Event, on Invoiced) resolution {
	x := *r
	x.owed, x.usagePeriod = f.words.of(on.Owed), on.Usage
	x.f = f.family(activity.FamilyID(r.seller, e.Account, r.product.ID, r.pkg, r.group, on.Owed, on.Usage.Start))
	x.on = lineOf(x.rate, x.plan, x.usagePeriod, x.group)
	f.share(&x, e)
	return x
}

// share finds the pool in which the event's rate has its tiers.
func (f *Fold) share(r *resolution, e *usage.Event) {
	id, ok := r.poolID(e)
	if !ok {
		return
	}
	if f.pools[id] == nil {
		f.pools[id] = &pool{id: id}
	}
	r.pool, r.poolSeq, r.pooled = f.pools[id], r.seq, pooled{rate: r.rate}
}

// Pools gives every pool that something was used in as the machine would store it, but for its version.
func (f *Fold) Pools() []PoolState {
	var pools []PoolState
	for _, q := range f.pools {
		if len(q.segments) > 0 {
			pools = append(pools, q.state())
		}
	}
	slices.SortFunc(pools, func(a, b PoolState) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return pools
}

// Lines gives every line as the machine would store it, but for its version: families in the order in which usage first fell on them,
// the lines of each by position.
func (f *Fold) Lines() []LineState {
	var lines []LineState
	for _, family := range f.order {
		lines = family.states(lines)
	}
	return lines
}
