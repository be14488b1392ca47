package invoicer

import (
	"context"
	"fmt"
	"slices"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price"
)

// Quote says what a usage event would cost on its account's line as it stands, and why. Nothing is recorded.
type Quote struct {
	Charge      money.Fixed      `json:"charge" doc:"what the event would cost"`
	Currency    string           `json:"currency"`
	Account     string           `json:"account"`
	Billed      string           `json:"billed_account"`
	Product     string           `json:"product"`
	Package     *string          `json:"package"`
	Period      Period           `json:"period" doc:"that the event would fall in"`
	Explanation QuoteExplanation `json:"explanation"`
}

// QuoteExplanation is how the charge comes about.
type QuoteExplanation struct {
	Rate   Rate              `json:"rate" doc:"that answered"`
	Asked  []Asked           `json:"asked" doc:"the levels in the order in which they were asked"`
	Before money.Fixed       `json:"before" doc:"the line's amount without the event"`
	After  money.Fixed       `json:"after" doc:"the line's amount with it; the charge is the difference"`
	Line   price.Explanation `json:"line" doc:"the arithmetic of the amount with the event"`
}

// Asked is one level of the pricing hierarchy that was asked.
type Asked struct {
	Level    string `json:"level"`
	Account  string `json:"account,omitempty"`
	Rate     string `json:"rate,omitempty"`
	Why      string `json:"why"`
	Answered bool   `json:"answered"`
}

// Quote prices an event that is not recorded, on the line as it is priced under the newest definitions. Errors: ErrAccountUnknown, ErrProductUnknown, ErrNoPrice.
func (d *Desk) Quote(ctx context.Context, e usage.Event) (*Quote, error) {
	if e.Account == "" {
		e.Account = e.Subject
	}
	account, err := d.Tree.ResolveAccount(ctx, e.Account, e.Time)
	if err != nil {
		return nil, fmt.Errorf("find account %q: %w", e.Account, err)
	}
	if account == "" {
		return nil, fmt.Errorf("account %q: %w", e.Account, ErrAccountUnknown)
	}
	seq, err := d.seq(ctx)
	if err != nil {
		return nil, err
	}
	plan, err := d.plan(ctx, seq, account)
	if err != nil {
		return nil, err
	}
	product := plan.Snapshot().Product(e.Product)
	if product == nil {
		return nil, fmt.Errorf("product %q: %w", e.Product, ErrProductUnknown)
	}
	answer, refusal := plan.Resolve(product, e.Package, e.Time)
	if refusal != "" {
		return nil, fmt.Errorf("%w: %s for product %q of account %q", ErrNoPrice, refusal, product.ID, account)
	}
	billed, period := plan.Billing(e.Time)
	view, err := d.read(ctx, Ref{
		ID: activity.InvoiceID(billed.Seller, billed.ID, period.Start), Seller: billed.Seller, Billed: billed.ID, Period: period,
	})
	if err != nil {
		return nil, err
	}
	q := &Quote{
		Currency: answer.Rate.Currency, Account: account, Billed: billed.ID, Product: product.ID, Period: periodIn(period, zoneOf(billed)),
		Explanation: QuoteExplanation{Rate: rateOf(answer.Rate, zoneOf(plan.Account())), Asked: askedOf(plan.Explain(product, e.Package, e.Time))},
	}
	if answer.Package != "" {
		q.Package = &answer.Package
	}
	stored, rate := lineFor(view.Lines, account, product, answer.Package, &e), answer.Rate
	if rate.Matrix != nil {
		if rate = rater.Selected(rate, &e, billed.ZoneAt(e.Time)); rate == nil {
			return nil, fmt.Errorf("%w: %s for these attributes of product %q: the matrix of rate %q has no entry that matches and no default",
				ErrNoPrice, rater.ReasonNoRate, product.ID, answer.Rate.ID)
		}
	}
	in, reason := rater.InputOf(&e, rate, period, billed.ZoneAt(e.Time))
	if reason != "" {
		return nil, fmt.Errorf("%w: %s: the event's amount is in %s, the rate in %s", ErrNoPrice, reason, e.Currency, answer.Rate.Currency)
	}
	if err := q.price(plan, stored, rate, in); err != nil {
		return nil, fmt.Errorf("price event %q: %w", e.ID, err)
	}
	return q, nil
}

// lineFor finds the line that the event would fall on; nil: it would be the first.
func lineFor(lines []rater.LineState, account string, product *catalog.Product, pkg string, e *usage.Event) *rater.LineState {
	for i := range lines {
		l := &lines[i]
		if l.Account != account || l.Product != product.ID || l.Package != pkg || l.UsagePeriod != l.Period || len(l.Group) != len(product.GroupBy) {
			continue
		}
		if !slices.ContainsFunc(l.Group, func(a activity.Attribute) bool { return e.Attribute(a.Name) != a.Value }) {
			return l
		}
	}
	return nil
}

// price fills in the amounts: Total(after) − Total(before), both under the plan's definitions.
func (q *Quote) price(plan *catalog.Plan, stored *rater.LineState, r *catalog.Rate, in price.Input) error {
	var segments []price.Segment
	var err error
	if stored != nil {
		if segments, err = bind(plan, stored); err != nil {
			return err
		}
	}
	before, err := price.LineTotal(segments)
	if err != nil {
		return err
	}
	own := price.Segment{Rate: r, Cell: r.Cell}
	at, found := slices.BinarySearchFunc(segments, own, price.CompareSegments)
	if !found {
		segments = slices.Insert(segments, at, own)
	}
	accumulated, err := price.Before(segments, at)
	if err != nil {
		return err
	}
	in.Before = &accumulated
	if segments[at].State, err = price.Aggregate(r, segments[at].State, in); err != nil {
		return err
	}
	after, err := price.LineTotal(segments)
	if err != nil {
		return err
	}
	if q.Charge.Decimal, err = after.Sub(before); err != nil {
		return err
	}
	q.Explanation.Before.Decimal, q.Explanation.After.Decimal = before, after
	q.Explanation.Line = price.Explain(segments)
	return q.Explanation.Line.Err
}

// bind gives a stored line's segments their rates under the plan's definitions.
func bind(plan *catalog.Plan, l *rater.LineState) ([]price.Segment, error) {
	stored, err := rater.DecodeSegments(l.Segments)
	if err != nil {
		return nil, fmt.Errorf("line %s: %w", l.Line, err)
	}
	segments := make([]price.Segment, 0, len(stored)+1)
	for _, s := range stored {
		r := s.RateIn(plan)
		if r == nil {
			return nil, fmt.Errorf("line %s: rate %q of %s %q is gone from the definitions at %d", l.Line, s.Rate, s.Owner.Kind, s.Owner.ID, plan.Seq())
		}
		segments = append(segments, price.Segment{Rate: r, State: s.State, Cell: s.Cell})
	}
	slices.SortFunc(segments, price.CompareSegments)
	return segments, nil
}

func askedOf(steps []catalog.Step) []Asked {
	asked := make([]Asked, 0, len(steps))
	for _, s := range steps {
		asked = append(asked, Asked{Level: string(s.Level), Account: s.Account, Rate: s.RateID, Why: s.Why, Answered: s.Answered})
	}
	return asked
}
