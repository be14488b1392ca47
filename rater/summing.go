package rater

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price"
)

// Summing adds up an account's stored usage under given definitions: what a marker's result is made of, and what a dry run shows.
type Summing struct {
	Definitions Definitions
	Usage       StoredUsage
	Lines       AccountLines
	Waiting     WaitingCorrections
	MostValues  int // distinct values in a sum, which are all in memory; 0: 2,000,000
}

// StoredUsage reads rated usage where reports are kept.
type StoredUsage interface {
	// Each calls do with every activity that is asked for, in log order. The activity is the callee's.
	Each(ctx context.Context, q UsageQuestion, do func(offset int64, a *activity.Activity) error) error
	// EachCorrection is Each for those that name an event that they correct.
	EachCorrection(ctx context.Context, q UsageQuestion, do func(offset int64, a *activity.Activity) error) error
}

// UsageQuestion asks for what accounts have used, on a partition at an offset below.
type UsageQuestion struct {
	Partition int32
	Accounts  []string
	Product   string // empty: all
	From, To  int64  // of the events, 0: open
	Below     int64
}

// WaitingCorrections reads what is committed, without a fence.
type WaitingCorrections interface {
	// CorrectionsWaiting reads the first of the account's corrections that wait, of those that stand on the partition at an offset below, in
	// log order. Until a result answers them, they stay.
	CorrectionsWaiting(ctx context.Context, partition int32, account string, below int64, limit int) ([]RejectedUsage, error)
}

// AccountLines reads what is committed, without a fence: what does not change once it is there.
type AccountLines interface {
	// LinesOfAccount reads every line of the account on the partition.
	LinesOfAccount(ctx context.Context, partition int32, account string) ([]LineState, error)
	// LinesSharing reads the lines, at most some, of all usage of the product on the partition in the period that begins at start and is
	// owed's.
	LinesSharing(ctx context.Context, partition int32, owed, product string, start int64, limit int) ([]LineState, error)
	// SealsOf reads the seals of billed accounts on the partition.
	SealsOn(ctx context.Context, partition int32, accounts []string) ([]SealState, error)
}

// SumQuestion says what is summed up: the usage of an account on its partition below an offset, under definitions.
type SumQuestion struct {
	Partition int32
	Account   string
	Seq       int64 // what is sealed under older definitions is closed
	Under     int64 // the definitions that price what is not sealed
	Below     int64
	Product   string // empty: all
	From      int64  // usage of periods that end after this instant; 0: all
	Until     int64  // … and begin before this one; 0: all
	Closed    bool   // what is sealed under older definitions is summed up too, as corrections
	Shared    bool   // what others share with lines that may still change is added up too, so that it is known what these come to
}

// Sum is what the usage comes to.
type Sum struct {
	Lines       []usage.ResultLine // of what may still change; those without events say that usage has gone elsewhere
	Corrections []usage.Correction // of what is sealed under older definitions
	Answers     []usage.Answer     // to corrections that have waited
	Differences []Difference
	Events      int64
	Left        map[string]string // products that are left out, with the reason: some of their usage has no price any more
	Closed      map[string]string // … whose lines on closed invoices are, with the reason

	counted []countedSet                 // of Lines, those that count distinct values
	charged map[lineInPool]money.Decimal // by pools that others share
}

// Difference is what a line comes to, before and after. Of a line on a closed invoice the difference goes to the current one.
type Difference struct {
	Line, Invoice activity.ID
	Account       string
	Billed        string
	Product       string
	Package       string
	Group         []activity.Attribute
	Currency      string
	Period        catalog.Period // of the invoice
	UsagePeriod   catalog.Period
	Before, After money.Decimal
	Closed        bool
	Shared        bool // with others: After is what the line would come to if these had used nothing. See SumQuestion.Shared
}

// home is where usage was charged.
type home struct {
	LineState
	charged money.Decimal
	used    bool
	closed  bool
	seq     int64 // of the definitions that price it
}

// leftMany says why lines are left as they are.
const leftMany = "more distinct values than are counted anew at a time: do it product by product, or period by period"

// poolOf names the account's own pool of a product, or of capacities.
func (h *home) poolOf(product string) activity.ID {
	return activity.PoolID(h.Seller, string(catalog.PoolAccount), h.Account, product, h.Currency, h.Owed, h.UsagePeriod.Start)
}

// sharesAlone says whether the pool, if it is one, has nothing but the account's own usage of what is asked for.
func (h *home) sharesAlone(pool activity.ID, q *SumQuestion) bool {
	return pool.IsZero() || pool == h.poolOf(h.Product) || pool == h.poolOf("") && q.Product == ""
}

// invoiced is how the line's activity is charged for.
func (h *home) invoiced(a *activity.Activity) Invoiced {
	return Invoiced{
		Billed: a.Billed, Period: catalog.Period{Start: a.PeriodStart, End: a.PeriodEnd}, Owed: h.Owed, Usage: h.UsagePeriod, Exchanges: ExchangesOf(a),
	}
}

// Sum adds up. Asked again it gives the same, whatever comes after the offset, but for levels that lines take over from those that are not
// summed up: whoever merges the result takes them from the lines themselves.
func (s *Summing) Sum(ctx context.Context, q SumQuestion) (*Sum, error) {
	homes, order, err := s.homes(ctx, q)
	if err != nil {
		return nil, err
	}
	folds := folding{s, q, UsageQuestion{Partition: q.Partition, Accounts: []string{q.Account}, Below: q.Below}, map[int64]*Fold{}}
	out := &Sum{Left: map[string]string{}, Closed: map[string]string{}}
	var shared []sharedUsage
	many := map[string]bool{}
	left, err := folds.leftOut(ctx, homes)
	if err != nil {
		return nil, fmt.Errorf("sum up account %s: corrections: %w", q.Account, err)
	}
	err = s.Usage.Each(ctx, folds.usage, func(offset int64, a *activity.Activity) error {
		if !q.holds(a) {
			return nil
		}
		h := homes[a.Line]
		if h == nil {
			return fmt.Errorf("line %s of a stored activity is not committed yet", a.Line)
		}
		if h.RateLevel == LevelCorrection { // belongs to the line that it corrects
			if h = homes[lineNamed(h.RateID)]; h == nil {
				return fmt.Errorf("line %s corrects one that is not there", a.Line)
			}
		}
		if h.charged, err = h.charged.Add(a.Charge); err != nil {
			return err
		}
		if a.Kind != activity.KindUsage && !begins(a) {
			return nil
		}
		h.used = true
		e := EventOf(a)
		if out, err := left.takes(ctx, folds, h, place{offset, a.Index}, a, &e); err != nil || out {
			return err
		}
		on := h.invoiced(a)
		fold, err := folds.under(ctx, h.seq)
		if err != nil {
			return err
		}
		if begins(a) {
			return fold.begins(&e, on, h.cells())
		}
		out.Events++
		if many[a.Product] {
			return nil
		}
		folded, reason := fold.Add(&e, on)
		if reason == "" && q.looksAt(h) && !h.sharesAlone(folded.Pool, &q) {
			if x := h.sharedBy(folded.Pool); !slices.Contains(shared, x) {
				shared = append(shared, x)
			}
		}
		if reason == "" && price.CountsValues(folded.Rate) && folds.values() > cmp.Or(s.MostValues, mostValues) {
			reason, many[a.Product] = leftMany, true
		}
		if reason != "" && out.Left[a.Product] == "" {
			out.Left[a.Product] = fmt.Sprintf("event %s of %s: %s", a.EventID, a.Source, reason)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("sum up account %s: %w", q.Account, err)
	}
	if err := folds.levels(order); err != nil {
		return nil, err
	}
	if err := folds.together(ctx, shared, homes, out); err != nil {
		return nil, fmt.Errorf("sum up account %s: %w", q.Account, err)
	}
	if err := out.collect(q, folds, homes, order); err != nil {
		return nil, fmt.Errorf("sum up account %s: %w", q.Account, err)
	}
	out.Answers = left.answers(q.Closed, out)
	return out, nil
}

// holds says whether the activity's line is asked for.
func (q *SumQuestion) holds(a *activity.Activity) bool {
	return q.concerns(a.Product, a.UsageStart, a.UsageEnd)
}

// looksAt says whether it has to be known what the line comes to when others share its pools.
func (q *SumQuestion) looksAt(h *home) bool {
	if h.closed {
		return q.Closed
	}
	return q.Shared
}

func (q *SumQuestion) concerns(product string, start, end int64) bool {
	return (q.Product == "" || product == q.Product) && (q.From == 0 || end > q.From) && (q.Until == 0 || start < q.Until)
}

// folding adds up usage under the definitions that price it: one fold each, since periods are sealed whole.
type folding struct {
	*Summing
	q     SumQuestion
	usage UsageQuestion // of these accounts
	of    map[int64]*Fold
}

func (s folding) under(ctx context.Context, seq int64) (*Fold, error) {
	if f := s.of[seq]; f != nil {
		return f, nil
	}
	snap, err := s.Definitions.Snapshot(ctx, seq)
	if err != nil {
		return nil, fmt.Errorf("read the catalogue as of definition %d: %w", seq, err)
	}
	accounts, err := s.Definitions.Accounts(ctx, seq, s.usage.Accounts)
	if err != nil {
		return nil, fmt.Errorf("read account %s as of definition %d: %w", s.q.Account, seq, err)
	}
	f := NewFold()
	f.Under(seq)
	for _, id := range s.usage.Accounts {
		plan, err := catalog.PlanOf(snap, accounts, id)
		if err != nil {
			return nil, err
		}
		if plan != nil {
			f.Use(plan)
		} else if id == s.q.Account {
			return nil, fmt.Errorf("account %s as of definition %d: there is none", id, seq)
		}
	}
	f.offset, f.within = s.q.Below, price.FirstPlaces
	s.of[seq] = f
	return f, nil
}

// homes reads the lines of the account, and which of them are sealed under older definitions.
func (s *Summing) homes(ctx context.Context, q SumQuestion) (map[activity.ID]*home, []*home, error) {
	lines, err := s.Lines.LinesOfAccount(ctx, q.Partition, q.Account)
	if err != nil {
		return nil, nil, err
	}
	var owed []string
	for i := range lines {
		owed = append(owed, lines[i].Owed)
	}
	seals, err := s.Lines.SealsOn(ctx, q.Partition, owed)
	if err != nil {
		return nil, nil, err
	}
	sealed := map[string]*SealState{}
	for i := range seals {
		sealed[seals[i].Account] = &seals[i]
	}
	known := map[int64]bool{}
	homes, order := map[activity.ID]*home{}, make([]*home, 0, len(lines))
	for _, l := range lines {
		h := &home{LineState: l, seq: q.Under}
		if state := sealed[l.Owed]; state != nil {
			// What was sealed later is priced by others by then, but not here: the answer must stay the same.
			if seq, ok := state.sealedUnder(l.UsagePeriod.End); ok && seq <= q.Under {
				existed, err := s.known(ctx, known, seq, q.Account)
				if err != nil {
					return nil, nil, err
				}
				h.closed = existed && seq < q.Seq
				if existed && !h.closed {
					h.seq = seq
				}
			}
		}
		homes[l.Line], order = h, append(order, h)
	}
	return homes, order, nil
}

// known says whether the account existed under definitions: what was sealed before that is priced as if it was not.
func (s *Summing) known(ctx context.Context, answers map[int64]bool, seq int64, account string) (bool, error) {
	known, asked := answers[seq]
	if !asked {
		accounts, err := s.Definitions.Accounts(ctx, seq, []string{account})
		if err != nil {
			return false, fmt.Errorf("read account %s as of definition %d: %w", account, seq, err)
		}
		known = accounts[account] != nil
		answers[seq] = known
	}
	return known, nil
}

// EventOf gives the usage event that an activity was made of, as far as it decides the price.
func EventOf(a *activity.Activity) usage.Event {
	sent := a.Sent()
	e := usage.Event{
		ID: a.EventID, Source: a.Source, Account: a.Account, RoutingKey: a.Account, Product: a.Product, Package: sent.EventPackage,
		Time: a.EventTime, Quantity: a.Quantity, Amount: sent.Amount, HasAmount: sent.HasAmount, Currency: sent.AmountCurrency, Attributes: a.Attributes,
	}
	if sent.Corrects != (activity.EventName{}) {
		e.Corrects = &sent.Corrects
	}
	return e
}

// collect gives what the fold came to as lines, and says of those from which all usage has gone that they are empty.
func (out *Sum) collect(q SumQuestion, folds folding, homes map[activity.ID]*home, order []*home) error {
	sealedPeriods := map[string]bool{}
	for _, h := range order {
		if h.closed {
			sealedPeriods[periodKey(h.Owed, h.UsagePeriod)] = true
		}
	}
	after := map[activity.ID]LineState{}
	var lines []LineState
	for _, seq := range slices.Sorted(maps.Keys(folds.of)) {
		lines = append(lines, folds.of[seq].Lines()...)
	}
	for _, l := range lines {
		if out.Left[l.Product] != "" || l.Events == 0 && len(levelsOf(&l)) == 0 {
			continue
		}
		after[l.Line] = l
		isClosed := sealedPeriods[periodKey(l.Owed, l.UsagePeriod)]
		d := differenceOf(&l, isClosed)
		if h := homes[l.Line]; h != nil {
			d.Before = h.charged
		}
		amount, known, err := out.withShares(&q, &l)
		if err != nil {
			return fmt.Errorf("line %s: %w", l.Line, err)
		}
		d.After, d.Shared = amount, !known
		out.add(q, &l, d)
	}
	out.keepValues(folds, sealedPeriods)
	for _, h := range order {
		_, still := after[h.Line]
		if still || !h.used || out.Left[h.Product] != "" {
			continue
		}
		gone := h.LineState
		gone.Quantity, gone.Events, gone.Segments = money.Decimal{}, 0, nil
		gone.RateLevel, gone.RateAccount, gone.RateID, gone.RateModel = "", "", "", ""
		d := differenceOf(&gone, h.closed)
		d.Before = h.charged
		out.add(q, &gone, d)
	}
	return nil
}

func periodKey(owed string, p catalog.Period) string { return fmt.Sprintf("%d %s", p.Start, owed) }

func differenceOf(l *LineState, closed bool) Difference {
	return Difference{
		Line: l.Line, Invoice: l.Invoice, Account: l.Account, Billed: l.Billed, Product: l.Product, Package: l.Package, Group: l.Group,
		Currency: l.Currency, Period: l.Period, UsagePeriod: l.UsagePeriod, Closed: closed,
	}
}

// add notes what became of a line.
func (out *Sum) add(q SumQuestion, l *LineState, d Difference) {
	if d.Closed && (!q.Closed || out.Closed[l.Product] != "") {
		return
	}
	out.Differences = append(out.Differences, d)
	if d.Closed {
		change := difference(d.After, d.Before)
		if !change.IsZero() {
			out.Corrections = append(out.Corrections, usage.Correction{
				Seller: l.Seller, Billed: l.Billed, Product: l.Product, Package: l.Package, Currency: l.Currency, Group: l.Group, Owed: l.Owed,
				UsageStart: l.UsagePeriod.Start, UsageEnd: l.UsagePeriod.End, PeriodStart: l.Period.Start, PeriodEnd: l.Period.End, Amount: change,
			})
		}
		return
	}
	out.Lines = append(out.Lines, usage.ResultLine{
		Product: l.Product, Package: l.Package, Seller: l.Seller, Currency: l.Currency, Owed: l.Owed, Billed: l.Billed, Group: l.Group,
		UsageStart: l.UsagePeriod.Start, UsageEnd: l.UsagePeriod.End, PeriodStart: l.Period.Start, PeriodEnd: l.Period.End,
		Quantity: l.Quantity, Events: l.Events, Segments: l.Segments,
		RateLevel: l.RateLevel, RateAccount: l.RateAccount, RateID: l.RateID, RateModel: l.RateModel,
	})
}

// Results cuts the sum into the records of a marker's result. It fails when there are too many lines.
func (out *Sum) Results(account string, seq, attempt, at int64) ([]usage.Result, error) {
	const most = usage.MaxResultLines * usage.MaxResultParts
	if len(out.Lines) > most || len(out.Corrections) > most {
		return nil, fmt.Errorf("account %s: %d lines are rated anew, at most %d can be at a time: do it product by product", account, max(len(out.Lines), len(out.Corrections)), most)
	}
	var parts []usage.Result
	for lines, corrections := out.Lines, out.Corrections; len(parts) == 0 || len(lines)+len(corrections) > 0; {
		n, c := min(len(lines), usage.MaxResultLines), min(len(corrections), usage.MaxResultLines)
		parts = append(parts, usage.Result{
			Account: account, Seq: seq, Attempt: attempt, At: at, Part: len(parts) + 1, Lines: lines[:n:n], Corrections: corrections[:c:c],
		})
		lines, corrections = lines[n:], corrections[c:]
	}
	for i := range parts {
		parts[i].Parts = len(parts)
	}
	parts[0].Answers = out.Answers
	return parts, nil
}
