package invoicer

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price"
)

// working is how an activity's arithmetic is worked out again.
type working struct {
	desk *Desk
	ctx  context.Context //nolint:containedctx // of one question
	plan *catalog.Plan   // under which the activity was priced
	of   *Charged
	out  *ChargeDetail

	pool   *catalog.Rate // whose tiers the usage has together with other lines; nil: its line has them …
	priced *catalog.Rate // … of a matrix the price of it
	owed   string        // … who pays for all
	before []Charged     // what it rests on, before it, in log order: of its family, or of all that share its tiers, or of all periods
	after  []Charged     // of the same record, behind it
	all    bool          // … of all periods
}

// side is a line's segments under some definitions, and what it comes to; where tiers are shared, the pool's segments.
type side struct {
	segments []price.Segment
	amount   money.Decimal // of the line, not of those that it continues
	recorded money.Decimal // what the pool's charges that stand in the report store add up to …
	known    bool          // … if they can be told from its lines' other charges
}

// arithmetic explains the amounts, or says why it cannot.
func (w *working) arithmetic() (note string, err error) {
	a := w.of
	if a.Kind == activity.KindAdjustment && a.Source == rater.CauseLevel {
		return w.level()
	}
	like := a
	if a.Kind == activity.KindUsage {
		w.pooled(a)
	} else if like, note, err = w.usage(); note != "" || err != nil {
		return note, err
	}
	if note, err = w.read(); note != "" || err != nil {
		return note, err
	}
	if a.Kind == activity.KindAdjustment {
		return w.adjustment(like)
	}
	if done, err := w.charge(); done || err != nil {
		return "", err
	}
	if w.carries(a) {
		if note, err = w.readAll(); note != "" || err != nil {
			return note, err
		}
		if done, err := w.charge(); done || err != nil {
			return "", err
		}
	}
	return "worked out again from the usage in the report store, the line comes to another amount than was recorded: its usage, or what shares its tiers, was corrected since, " +
		"or not all of it stands there. The amounts are those that were recorded.", nil
}

// charge shows what the usage made of its line, if what is read comes to what was recorded: as if all usage before had been priced under the
// same definitions, else as it was priced at the time, under each of the definitions that activities name.
func (w *working) charge() (done bool, err error) {
	for _, at := range []func(*Charged) int64{
		func(*Charged) int64 { return w.of.ActivatedSeq },
		func(c *Charged) int64 { return c.ActivatedSeq },
	} {
		was, is, err := w.sides(w.before, w.of, w.of, at)
		if done, err := w.settle(was, is, err); done || err != nil {
			return done, err
		}
	}
	return false, nil
}

// settle shows both sides if they come to what was recorded. Usage that has no price under other definitions comes to nothing.
func (w *working) settle(was, is side, err error) (done bool, _ error) {
	var without *unpriced
	switch {
	case errors.As(err, &without):
		return false, nil
	case err != nil:
		return false, err
	case !w.agrees(was, is):
		return false, nil
	}
	return true, w.show(was, is)
}

// agrees says whether both sides come to what was recorded, and explain the charge. How a pool's amount is spread over its lines depends on when
// its prices changed: there all that was charged adds up to what the pool comes to.
func (w *working) agrees(was, is side) bool {
	c := price.ExplainCharge(was.segments, is.segments)
	if c.Err != nil || c.Amount != w.of.Activity.Charge {
		return false
	}
	return was.amount == w.out.Before.Decimal && is.amount == w.out.After.Decimal || w.pool != nil && was.known && was.recorded == c.Before
}

// show fills in the arithmetic.
func (w *working) show(was, is side) error {
	c := price.ExplainCharge(was.segments, is.segments)
	w.out.Equation, w.out.Arithmetic = c.Equation, arithmeticOf(c)
	total := price.Explain(is.segments)
	if total.Err != nil {
		return fmt.Errorf("explain activity %s: %w", w.of.Place, total.Err)
	}
	w.out.Total = &total
	for i := range is.segments {
		w.out.Definitions = append(w.out.Definitions, is.segments[i].Rate)
	}
	if w.pool == nil {
		return nil
	}
	shared, err := w.shared(was.segments, is.segments, c)
	if err != nil {
		return fmt.Errorf("explain activity %s: %w", w.of.Place, err)
	}
	w.out.Shared = shared
	return nil
}

// unpriced says that usage has no price under other definitions.
type unpriced struct{ reason string }

func (u *unpriced) Error() string { return "stored usage has no price: " + u.reason }

func invoicedOf(a *activity.Activity) rater.Invoiced {
	return rater.Invoiced{
		Billed: a.Billed, Period: catalog.Period{Start: a.PeriodStart, End: a.PeriodEnd}, Exchanges: rater.ExchangesOf(a),
	}
}

// sums adds stored usage up, under one definition after another.
type sums struct {
	w     *working
	fold  *rater.Fold
	at    int64 // the definitions
	moved int
	added []addend
}

// addend is an activity that was passed, and the pool in which it had its tiers.
type addend struct {
	*Charged
	pool activity.ID
}

// under goes over to other definitions, with all that was added up.
func (s *sums) under(seq int64) error {
	if s.fold != nil && seq == s.at {
		return nil
	}
	if s.moved++; s.moved > maxReplayed {
		return &unpriced{"priced under too many definitions"}
	}
	next := rater.NewFold()
	next.Under(seq)
	if s.fold != nil {
		if err := s.hand(next, seq); err != nil {
			return err
		}
	}
	s.fold, s.at = next, seq
	return nil
}

// hand gives the next fold what this one has.
func (s *sums) hand(next *rater.Fold, seq int64) error {
	of := func(account string, seq int64) (*catalog.Plan, error) {
		return s.w.desk.plan(s.w.ctx, seq, cmp.Or(account, s.w.of.Account))
	}
	lines := s.fold.Lines()
	for len(lines) > 0 {
		n := 1
		for n < len(lines) && lines[n].Account == lines[0].Account {
			n++
		}
		account := lines[0].Account
		plan, err := of(account, seq)
		if err != nil {
			return err
		}
		if err := next.Load(lines[:n], plan, func(seq int64) (*catalog.Plan, error) { return of(account, seq) }); err != nil {
			return &unpriced{err.Error()}
		}
		lines = lines[n:]
	}
	for _, q := range s.fold.Pools() {
		at := func(account string) (*catalog.Plan, error) { return of(account, seq) }
		if err := next.LoadPool(&q, at, of); err != nil {
			return &unpriced{err.Error()}
		}
	}
	next.TakeValues(s.fold)
	return nil
}

// add adds an activity: usage, and the level with which a line begins; others are passed.
func (s *sums) add(c *Charged) error {
	s.added = append(s.added, addend{Charged: c})
	starts := begins(c)
	if c.Kind != activity.KindUsage && !starts {
		return nil
	}
	if !s.fold.Uses(c.Account) {
		plan, err := s.w.desk.plan(s.w.ctx, s.at, c.Account)
		if err != nil {
			return err
		}
		s.fold.Use(plan)
	}
	e := rater.EventOf(&c.Activity)
	put := s.fold.Add
	if starts {
		put = s.fold.Begin
	}
	folded, reason := put(&e, invoicedOf(&c.Activity))
	if reason != "" {
		return &unpriced{reason}
	}
	s.added[len(s.added)-1].pool = folded.Pool
	return nil
}

// side gives what the activity's line comes to so far, of which like is usage, or what its pool does.
func (s *sums) side(like *Charged) (x side, err error) {
	if !s.fold.Uses(like.Account) {
		plan, err := s.w.desk.plan(s.w.ctx, s.at, like.Account)
		if err != nil {
			return x, err
		}
		s.fold.Use(plan)
	}
	a, e := s.w.of, rater.EventOf(&like.Activity)
	spot, reason := s.fold.Spot(&e, invoicedOf(&a.Activity))
	if reason != "" {
		return x, &unpriced{reason}
	}
	if x.segments, err = s.fold.Segments(spot); err != nil {
		return x, err
	}
	for _, l := range s.fold.Lines() {
		if l.Line == a.Line {
			x.amount = l.Amount
		}
	}
	if s.w.pool != nil {
		x.recorded, x.known, err = recordedOf(s.added, spot.Pool, a.Line)
	}
	return x, err
}

// recordedOf adds up what was charged for a pool's usage, with the adjustments of its lines, of which line is one; not known where one of these
// may be of other usage.
func recordedOf(added []addend, pool, line activity.ID) (sum money.Decimal, known bool, err error) {
	in, out := map[activity.ID]bool{line: true}, map[activity.ID]bool{}
	for i := range added {
		if c := &added[i]; c.Kind == activity.KindUsage {
			in[c.Line], out[c.Line] = in[c.Line] || c.pool == pool, out[c.Line] || c.pool != pool
		}
	}
	for i := range added {
		c := &added[i]
		switch {
		case c.Kind == activity.KindUsage && c.pool != pool, c.Level == rater.LevelCorrection, c.Kind != activity.KindUsage && !in[c.Line]:
			continue
		case c.Kind != activity.KindUsage && out[c.Line]:
			return sum, false, nil
		}
		if sum, err = sum.Add(c.Activity.Charge); err != nil {
			return sum, false, err
		}
	}
	return sum, true, nil
}

// sides adds usage up and gives what it comes to without one more activity and with it, nil: none, each under the definitions that at says.
func (w *working) sides(usage []Charged, more, like *Charged, at func(*Charged) int64) (was, is side, err error) {
	s := &sums{w: w}
	for i := range usage {
		if err = s.under(at(&usage[i])); err == nil {
			err = s.add(&usage[i])
		}
		if err != nil {
			return was, is, err
		}
	}
	if err = s.under(at(w.of)); err != nil {
		return was, is, err
	}
	if was, err = s.side(like); err != nil || more == nil {
		return was, was, err
	}
	if err = s.add(more); err != nil {
		return was, is, err
	}
	is, err = s.side(like)
	return was, is, err
}

// begins says whether the activity is that of a line which begins with a level: it names the line before.
func begins(c *Charged) bool {
	return c.Kind == activity.KindAdjustment && c.Source == rater.CauseLevel && c.EventID != ""
}

// level explains the adjustment of a line that has taken over the level of the one before it.
func (w *working) level() (note string, err error) {
	if note, err = w.readAll(); note != "" || err != nil {
		return note, err
	}
	before, more, like := w.before, w.of, w.of
	if begins(w.of) {
		note = "When the period before was sealed, this line had no usage yet: the level at the end of that period, of the line " + w.of.EventID + ", goes on into this one."
	} else {
		note = "The level at the end of the period before became another one after usage of this period had come; it goes on into this line, and the difference is charged here."
		at, own := lastOf(before, func(c *Charged) bool { return c.Offset == w.of.Offset }), lastOf(before, func(c *Charged) bool { return c.UsageStart == w.of.UsageStart })
		if at < 0 || own < 0 {
			return note, nil
		}
		before, more, like = before[:at], &before[at], &before[own]
	}
	for _, at := range []func(*Charged) int64{
		func(*Charged) int64 { return w.of.ActivatedSeq },
		func(c *Charged) int64 { return c.ActivatedSeq },
	} {
		was, is, err := w.sides(before, more, like, at)
		if done, err := w.settle(was, is, err); done || err != nil {
			return note, err
		}
	}
	return note + " The amounts are those that were recorded.", nil
}

// lastOf gives the place of the last usage, or beginning of a line, of which that holds; -1: there is none.
func lastOf(list []Charged, holds func(*Charged) bool) int {
	for i := len(list) - 1; i >= 0; i-- {
		if c := &list[i]; (c.Kind == activity.KindUsage || begins(c)) && holds(c) {
			return i
		}
	}
	return -1
}
