package invoicer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price"
)

// Conditions are those under which events are priced that are not recorded.
type Conditions struct {
	At    time.Time      // the definitions as they stood then; zero, and later than now: the newest
	Draft *catalog.Draft // laid over the newest definitions; At then counts for nothing
	State bool           // on the accounts' lines as they stand; otherwise on lines that are empty at first
	Brief bool           // charges without explanations
	// May says who may be asked about; nil: everybody. An account that is unknown is asked for by the name that was given.
	May func(ctx context.Context, account string) error
}

// Trial prices events that are not recorded, one after another, each on top of those before it. It is not safe for concurrent use.
type Trial struct {
	Conditions
	desk *Desk
	base int64 // sequence number of the definitions, below the draft
	fold *rater.Fold

	snapshot *catalog.Snapshot // with the draft
	plans    map[string]*catalog.Plan
	found    map[string]string                            // account by name, of names that are ids
	lines    map[activity.ID]map[string][]rater.LineState // of invoices that were read: by account, those that are not loaded yet
	kept     int
	sums     map[sumKey]*TrialSum
}

type sumKey struct{ account, product, currency string }

// TrialSum is what the events of one account and product come to.
type TrialSum struct {
	Account  string        `json:"account"`
	Product  string        `json:"product"`
	Currency string        `json:"currency"`
	Events   int64         `json:"events"`
	Quantity money.Decimal `json:"quantity"`
	Charge   money.Fixed   `json:"charge"`
}

// MaxTrialLines bounds the lines that a trial keeps: those that it prices on, and those of the invoices that they stand on.
const MaxTrialLines = 500_000

// Trial begins pricing. No definitions at that time is ErrAccountUnknown of every event.
func (d *Desk) Trial(ctx context.Context, c Conditions) (*Trial, error) {
	t := &Trial{
		Conditions: c, desk: d, fold: rater.NewFold(), plans: map[string]*catalog.Plan{}, found: map[string]string{},
		lines: map[activity.ID]map[string][]rater.LineState{}, sums: map[sumKey]*TrialSum{},
	}
	var err error
	switch {
	case c.Draft != nil:
		t.base = c.Draft.Seq() - 1
		base, err := d.snapshot(ctx, t.base)
		if err != nil {
			return nil, err
		}
		if t.snapshot, err = c.Draft.Snapshot(base); err != nil {
			return nil, fmt.Errorf("lay the draft over the definitions at %d: %w", t.base, err)
		}
		return t, nil
	case !c.At.IsZero() && c.At.Before(d.Now()):
		t.base, err = d.Definitions.SeqAt(ctx, c.At)
	default:
		t.base, err = d.seq(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("find the definitions: %w", err)
	}
	return t, nil
}

// Seq is the sequence number of the definitions that price, and whether a draft lies over them.
func (t *Trial) Seq() (seq int64, drafted bool) { return t.base, t.Draft != nil }

// Rate prices an event on top of those before it. The event's account is an id or an identifier; its time is set. An event that has no
// price does not count. Errors: ErrAccountUnknown, ErrProductUnknown, ErrNoPrice.
func (t *Trial) Rate(ctx context.Context, e usage.Event) (*Quote, error) {
	name := cmp.Or(e.Subject, e.Account)
	account, err := t.find(ctx, name, e.Time)
	if t.May != nil && (err == nil || errors.Is(err, ErrAccountUnknown)) {
		if refused := t.May(ctx, cmp.Or(account, name)); refused != nil {
			return nil, refused
		}
	}
	if err != nil {
		return nil, err
	}
	plan, err := t.plan(ctx, account)
	if err != nil {
		return nil, err
	}
	e.Account = account
	product := plan.Snapshot().Product(e.Product)
	if product == nil {
		return nil, fmt.Errorf("product %q: %w", e.Product, ErrProductUnknown)
	}
	billed, period := plan.Billing(e.Time)
	if err := t.load(ctx, plan, billed, period); err != nil {
		return nil, err
	}
	if err := t.loadPool(ctx, &e); err != nil {
		return nil, err
	}
	if err := t.loadValue(ctx, &e); err != nil {
		return nil, err
	}
	answer, _ := plan.Resolve(product, e.Package, e.Time)
	q := &Quote{
		Currency: plan.Account().Currency, Account: account, Billed: billed.ID, Product: product.ID, Period: periodIn(period, zoneOf(billed)),
	}
	if answer.Package != "" {
		q.Package = &answer.Package
	}
	if err := t.charge(q, plan, product, &e); err != nil {
		return nil, err
	}
	return q, t.sum(q, e.Quantity)
}

// charge adds the event to its line.
func (t *Trial) charge(q *Quote, plan *catalog.Plan, product *catalog.Product, e *usage.Event) (err error) {
	var before, after []price.Segment
	var spot rater.Spot
	if !t.Brief {
		var reason string
		if spot, reason = t.fold.Spot(e, rater.Invoiced{}); reason != "" {
			return t.noPrice(reason, e, plan, product)
		}
		if before, err = t.fold.Segments(spot); err != nil {
			return err
		}
	}
	folded, reason := t.fold.Add(e, rater.Invoiced{})
	if reason != "" {
		return t.noPrice(reason, e, plan, product)
	}
	q.Charge.Decimal = folded.Charge
	if t.Brief {
		return nil
	}
	if after, err = t.fold.Segments(spot); err != nil {
		return err
	}
	return q.explain(plan, product, e, folded, before, after)
}

// explain says how the charge comes about.
func (q *Quote) explain(plan *catalog.Plan, product *catalog.Product, e *usage.Event, folded rater.Folded, before, after []price.Segment) error {
	x := &QuoteExplanation{}
	q.Explanation = x
	billed, _ := plan.Billing(e.Time)
	rate := folded.Rate
	if rate.Matrix != nil {
		if selected := rater.Selected(rate, e, billed.ZoneAt(e.Time)); selected != nil {
			rate = selected
		}
	}
	x.Rate, x.Asked = rateOf(rate, zoneOf(plan.Account())), askedOf(plan.Explain(product, e.Package, e.Time))
	x.After.Decimal, x.Shared = folded.Amount, sharedWords(rate.Pool, q)
	var err error
	if x.Before.Decimal, err = folded.Amount.Sub(folded.Charge); err != nil {
		return fmt.Errorf("explain event %q: %w", e.ID, err)
	}
	charge := price.ExplainCharge(before, after)
	if charge.Err != nil {
		return fmt.Errorf("explain event %q: %w", e.ID, charge.Err)
	}
	if charge.Amount == folded.Charge {
		x.Charge = arithmeticOf(charge)
	}
	x.Line = price.Explain(after)
	return x.Line.Err
}

// NoPrice is an ErrNoPrice with the reason for which the usage would be rejected.
type NoPrice struct {
	Reason string
	text   string
}

// Error says why, and what would help.
func (n *NoPrice) Error() string { return ErrNoPrice.Error() + ": " + n.Reason + ": " + n.text }

// Is makes it an ErrNoPrice.
func (n *NoPrice) Is(target error) bool { return target == ErrNoPrice }

func (t *Trial) noPrice(reason string, e *usage.Event, plan *catalog.Plan, product *catalog.Product) error {
	advice := adviceOn(reason, e)
	if reason == rater.ReasonNoRate {
		if lack := lackOf(e, plan, product); lack.From != "" {
			advice = fmt.Sprintf("no exchange rate from %s to %s is known on %s or before: add one to exchange_rates, or import it with tollstream catalog rates, or give the product a rate in %s",
				lack.From, lack.To, lack.On, lack.To)
			if lack.amount {
				advice = fmt.Sprintf("no exchange rate from %s, in which the event's amount is, to %s, in which its rate is, is known on %s or before: add one to exchange_rates, or import it with tollstream catalog rates",
					lack.From, lack.To, lack.On)
			}
		}
	}
	return &NoPrice{reason, fmt.Sprintf("product %q of account %q: %s", product.ID, e.Account, advice)}
}

// lack is an exchange rate that would have given the event a price.
type lack struct {
	catalog.Lack
	amount bool // of its amount; otherwise of its rate's prices
}

// lackOf finds it; zero: none is missing.
func lackOf(e *usage.Event, plan *catalog.Plan, product *catalog.Product) (out lack) {
	answer, refusal := plan.Resolve(product, e.Package, e.Time)
	if refusal != "" {
		for _, s := range plan.Explain(product, e.Package, e.Time) {
			if s.Lacks.From != "" {
				return lack{Lack: s.Lacks}
			}
		}
		return out
	}
	rate, day := answer.Rate, money.DateOf(e.Time, time.UTC)
	if rate.Matrix != nil {
		owed, _ := plan.Billing(e.Time)
		if rate = rater.Selected(rate, e, owed.ZoneAt(e.Time)); rate == nil {
			return out
		}
	}
	if !e.HasAmount || !price.OfMoney(rate) || e.Currency == rate.Currency {
		return out
	}
	if _, known := plan.Snapshot().Exchange(e.Currency, rate.Currency, day); !known {
		out.Lack, out.amount = catalog.Lack{From: e.Currency, To: rate.Currency, On: day}, true
	}
	return out
}

// adviceOn says what to do about usage that is rejected with the reason.
func adviceOn(reason string, e *usage.Event) string {
	switch reason {
	case rater.ReasonNoRate:
		return fmt.Sprintf("nothing prices it at %s in the account's currency: give the product, its package or a contract a rate for that time, or in a matrix an entry for these attributes or a default",
			time.Unix(0, e.Time).UTC().Format(time.RFC3339))
	case rater.ReasonNotProvisioned:
		return "the product is for accounts that have it: provision it on the account, by itself or in a package"
	case rater.ReasonNegative:
		return "what is counted, or its largest or latest value, cannot be taken back by a quantity: name the event that is corrected, or send a quantity of 0 or more"
	case rater.ReasonCorrectionWaits:
		return "it leaves out the event that it names, which takes until its line is rated again: it cannot be tried"
	case rater.ReasonPositive:
		return "it leaves out the event that it names, so it cannot add: send a quantity of 0 or less"
	case rater.ReasonNoAmount:
		return "its rate charges the event's own money: send amount and currency"
	case rater.ReasonNoAttribute:
		return "its rate counts the values of an attribute: send the attribute"
	case rater.ReasonNoPeriod:
		return "its rate needs a period with an end: give the account a cycle other than manual"
	case rater.ReasonOverflow:
		return "the line would exceed the largest amount: check the quantity"
	}
	return "it would be rejected with this reason"
}

// find gives the account of an id or an identifier.
func (t *Trial) find(ctx context.Context, name string, at int64) (string, error) {
	if id, ok := t.found[name]; ok {
		return id, nil
	}
	id, err := t.desk.Tree.ResolveAccount(ctx, name, at)
	if err != nil {
		return "", fmt.Errorf("find account %q: %w", name, err)
	}
	if t.Draft != nil {
		id = t.Draft.Find(name, at, id)
	}
	if id == "" {
		return "", fmt.Errorf("account %q: %w", name, ErrAccountUnknown)
	}
	if id == name { // at all times
		t.found[strings.Clone(name)] = id
	}
	return id, nil
}

// plan gives an account's plan, with the draft.
func (t *Trial) plan(ctx context.Context, account string) (*catalog.Plan, error) {
	if p := t.plans[account]; p != nil {
		return p, nil
	}
	p, err := t.planOf(ctx, account)
	if err != nil {
		return nil, err
	}
	if len(t.plans) >= MaxTrialLines {
		return nil, tooManyLines()
	}
	t.plans[p.Account().ID] = p
	t.fold.Use(p)
	return p, nil
}

func (t *Trial) planOf(ctx context.Context, account string) (*catalog.Plan, error) {
	if t.Draft == nil {
		return t.desk.plan(ctx, t.base, account)
	}
	known := map[string]*catalog.Account{}
	var chain []*catalog.Account
	for id := account; id != ""; {
		if _, read := known[id]; !read {
			more, err := t.desk.Definitions.Accounts(ctx, t.base, []string{id})
			if err != nil {
				return nil, fmt.Errorf("read account %q at %d: %w", id, t.base, err)
			}
			known[id] = nil
			maps.Copy(known, more)
		}
		a, err := t.Draft.Account(id, known[id])
		switch {
		case err != nil:
			return nil, fmt.Errorf("lay the draft over account %q: %w", id, err)
		case a == nil:
			return nil, fmt.Errorf("account %q: %w", id, ErrAccountUnknown)
		case len(chain) > maxDepth:
			return nil, fmt.Errorf("account %q: its parents do not end", account)
		}
		chain, id = append(chain, a), a.Parent
	}
	return catalog.NewPlan(t.snapshot, chain)
}

// load puts the lines of the account on the invoice of the period under what is to come.
func (t *Trial) load(ctx context.Context, plan *catalog.Plan, billed *catalog.Account, period catalog.Period) error {
	if !t.State {
		return nil
	}
	ref := Ref{ID: activity.InvoiceID(billed.Seller, billed.ID, period.Start), Seller: billed.Seller, Billed: billed.ID, Period: period}
	accounts, read := t.lines[ref.ID]
	if !read {
		view, err := t.desk.read(ctx, ref)
		if err != nil {
			return err
		}
		if t.kept += len(view.Lines) + 1; t.kept > MaxTrialLines {
			return tooManyLines()
		}
		accounts = map[string][]rater.LineState{}
		for _, l := range view.Lines {
			if l.UsagePeriod == l.Period { // late usage continues a line of another invoice
				accounts[l.Account] = append(accounts[l.Account], l)
			}
		}
		t.lines[ref.ID] = accounts
	}
	account := plan.Account().ID
	own := accounts[account]
	if own == nil {
		return nil
	}
	delete(accounts, account)
	slices.SortFunc(own, func(a, b rater.LineState) int { return slices.Compare(a.Family[:], b.Family[:]) })
	return t.fold.Load(own, plan, func(seq int64) (*catalog.Plan, error) { return t.desk.plan(ctx, seq, account) })
}

func tooManyLines() error {
	return fmt.Errorf("%w: more than %d lines are in use at once: price the events account by account", ErrTooMuch, MaxTrialLines)
}

// sum adds what an event costs to its account's and product's.
func (t *Trial) sum(q *Quote, quantity money.Decimal) (err error) {
	key := sumKey{q.Account, q.Product, q.Currency}
	s := t.sums[key]
	if s == nil {
		s = &TrialSum{Account: q.Account, Product: q.Product, Currency: q.Currency}
		t.sums[key] = s
	}
	s.Events++
	if s.Quantity, err = s.Quantity.Add(quantity); err == nil {
		s.Charge.Decimal, err = s.Charge.Add(q.Charge.Decimal)
	}
	if err != nil {
		return fmt.Errorf("sum what account %q used of %q: %w", q.Account, q.Product, err)
	}
	return nil
}

// Sums gives what the events came to, by account, product and currency, in that order.
func (t *Trial) Sums() []TrialSum {
	sums := make([]TrialSum, 0, len(t.sums))
	for _, s := range t.sums {
		sums = append(sums, *s)
	}
	slices.SortFunc(sums, func(a, b TrialSum) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Product, b.Product), cmp.Compare(a.Currency, b.Currency))
	})
	return sums
}
