package invoicer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price"
)

// ChargeDetail is an activity with the reason of its amount. What was recorded stands as it was recorded; the arithmetic is worked out
// again from the usage that the line had before, and is shown only where it comes to what was recorded.
type ChargeDetail struct {
	Activity    string            `json:"activity" doc:"its id: partition, offset and index of the log"`
	Kind        string            `json:"kind" enum:"usage,adjustment"`
	Event       string            `json:"event,omitempty" doc:"id of the usage event"`
	Source      string            `json:"source,omitempty"`
	Time        time.Time         `json:"time" doc:"of the event; of an adjustment the start of the usage's period"`
	LogTime     time.Time         `json:"log_time" doc:"when the log had it"`
	Account     string            `json:"account" doc:"who used"`
	Billed      string            `json:"billed_account"`
	Product     string            `json:"product"`
	ProductName string            `json:"product_name,omitempty"`
	Unit        string            `json:"unit,omitempty"`
	Package     *string           `json:"package"`
	Attributes  map[string]string `json:"attributes"`
	Quantity    money.Decimal     `json:"quantity"`
	Amount      *EventAmount      `json:"amount,omitempty" doc:"that the event carried"`
	Currency    string            `json:"currency"`
	Invoice     string            `json:"invoice"`
	Line        string            `json:"line"`
	Period      Period            `json:"period" doc:"of the invoice"`
	UsagePeriod *Period           `json:"usage_period,omitempty" doc:"of late usage: the period that it belongs to"`

	Charge money.Fixed `json:"charge"`
	Before money.Fixed `json:"before" doc:"the line's amount before"`
	After  money.Fixed `json:"after" doc:"and after; the charge is the difference"`

	Seq   int64   `json:"seq" doc:"definitions that it was priced under"`
	Rate  *Rate   `json:"rate,omitempty" doc:"that priced the event, as it was then"`
	Asked []Asked `json:"asked" doc:"the levels in the order in which they were asked then: which answered, which were passed over and why"`

	Equation   string             `json:"equation" doc:"Total(after) − Total(before) = charge; the amounts alone where note says why"`
	Arithmetic *Arithmetic        `json:"arithmetic,omitempty"`
	Total      *price.Explanation `json:"total,omitempty" doc:"the arithmetic of the line's amount after it, with each tier; where tiers are shared, of what all who share have used"`
	Shared     *SharedUse         `json:"shared,omitempty" doc:"where the line has its tiers together with others: what all have used; the equation is of these"`
	Earlier    int                `json:"earlier" doc:"usage events that the line had before, as far as they were read"`
	Cause      *Cause             `json:"cause,omitempty" doc:"of an adjustment"`
	Note       string             `json:"note,omitempty"`

	Definitions []*catalog.Rate `json:"-"` // of Total's segments, in their order
	Definition  *catalog.Rate   `json:"-"` // of Rate
}

// EventAmount is money that an event carried.
type EventAmount struct {
	Amount   money.Decimal `json:"amount"`
	Currency string        `json:"currency"`
	Exchange string        `json:"exchange_rate,omitempty" doc:"that turned it into the rate's currency, and its day"`
}

// Cause is why a line was adjusted.
type Cause struct {
	Seq     int64        `json:"seq,omitempty" doc:"of the definitions that changed"`
	Before  int64        `json:"before,omitempty" doc:"of the definitions that priced it before"`
	Event   string       `json:"event,omitempty" doc:"the event that changed a line which continues another"`
	Invoice string       `json:"invoice,omitempty" doc:"the closed invoice that is corrected"`
	Changes []RateChange `json:"changes" doc:"what differs in the prices of the line"`
}

// RateChange is a member of a rate before and after.
type RateChange struct {
	Rate   string `json:"rate"`
	Seq    int64  `json:"seq" doc:"of the definition that holds it now"`
	Member string `json:"member" example:"tiers[0].unit_price"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// Bounds of what is read to explain an activity.
const (
	historyPage = 1000
	MaxHistory  = 100_000 // activities of a line that are added up
	maxReplayed = 64      // definitions that a line was priced under
)

// Charge explains an activity by its id. The account, "" for any, is a hint where to look. Errors: ErrChargeUnknown.
func (d *Desk) Charge(ctx context.Context, id, account string) (*ChargeDetail, error) {
	at, err := ParsePlace(id)
	if err != nil {
		return nil, err
	}
	if d.History == nil {
		return nil, fmt.Errorf("activity %q: %w: no report store is connected", id, ErrChargeUnknown)
	}
	a, err := d.History.Charge(ctx, at, account)
	if err != nil {
		return nil, fmt.Errorf("read activity %s: %w", id, err)
	}
	if a == nil {
		return nil, NoSuchCharge(at)
	}
	out, err := recorded(a)
	if err != nil {
		return nil, err
	}
	plan, err := d.plan(ctx, a.ActivatedSeq, a.Account)
	if errors.Is(err, ErrAccountUnknown) {
		out.Note = fmt.Sprintf("the definitions at %d do not have the account: the amounts are those that were recorded", a.ActivatedSeq)
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	out.place(plan, a)
	w := &working{desk: d, ctx: ctx, plan: plan, of: a, out: out}
	if note, err := w.arithmetic(); err != nil {
		return nil, err
	} else if note != "" {
		out.Note = note
	}
	return out, nil
}

// NoSuchCharge is the ErrChargeUnknown of a place where the report store has none.
func NoSuchCharge(at Place) error {
	return fmt.Errorf("activity %q: %w: the report store has none there; it may be a few seconds behind", at.String(), ErrChargeUnknown)
}

// recorded is what stands of the activity.
func recorded(a *Charged) (*ChargeDetail, error) {
	out := &ChargeDetail{
		Activity: a.Place.String(), Kind: "usage", Event: a.EventID, Source: a.Source, Time: time.Unix(0, a.EventTime).UTC(), LogTime: time.Unix(0, a.LogTime).UTC(),
		Account: a.Account, Billed: a.Billed, Product: a.Product, Attributes: map[string]string{}, Quantity: a.Quantity, Currency: a.Currency,
		Invoice: a.Invoice.String(), Line: a.Line.String(), Period: periodIn(catalog.Period{Start: a.PeriodStart, End: a.PeriodEnd}, time.UTC),
		Charge: money.Fixed{Decimal: a.Charge}, After: money.Fixed{Decimal: a.LineAmount}, Seq: a.ActivatedSeq, Asked: []Asked{},
	}
	var err error
	if out.Before.Decimal, err = a.LineAmount.Sub(a.Activity.Charge); err != nil {
		return nil, fmt.Errorf("activity %s: the amount before it: %w", a.Place, err)
	}
	out.Equation = operand(out.After.Decimal) + " - " + operand(out.Before.Decimal) + " = " + a.Activity.Charge.String()
	if a.Kind == activity.KindAdjustment {
		out.Kind, out.Event, out.Source = "adjustment", "", ""
	}
	if a.Package != "" {
		out.Package = &a.Package
	}
	for _, x := range a.Attributes {
		out.Attributes[x.Name] = x.Value
	}
	if sent := a.Sent(); sent.HasAmount {
		out.Amount = &EventAmount{Amount: sent.Amount, Currency: sent.AmountCurrency}
		if sent.AmountExchange.Used() {
			out.Amount.Exchange = sent.AmountExchange.Rate.String() + " of " + sent.AmountExchange.Date.String()
		}
	}
	return out, nil
}

func operand(d money.Decimal) string {
	if d.Sign() < 0 {
		return "(" + d.String() + ")"
	}
	return d.String()
}

// place adds what the definitions say of it.
func (out *ChargeDetail) place(plan *catalog.Plan, a *Charged) {
	billed, _ := plan.Billing(a.EventTime)
	zone := zoneOf(billed)
	out.Time, out.LogTime = out.Time.In(zone), out.LogTime.In(zone)
	out.Period = periodIn(catalog.Period{Start: a.PeriodStart, End: a.PeriodEnd}, zone)
	if a.UsageStart != a.PeriodStart {
		p := periodIn(catalog.Period{Start: a.UsageStart, End: a.UsageEnd}, zone)
		out.UsagePeriod = &p
	}
	product := plan.Snapshot().Product(a.Product)
	if product == nil {
		return
	}
	out.ProductName, out.Unit = product.Name, product.Unit
	if a.Kind != activity.KindUsage {
		return
	}
	named := a.Sent().EventPackage
	out.Asked = askedOf(plan.Explain(product, named, a.EventTime))
	if answer, refusal := plan.Resolve(product, named, a.EventTime); refusal == "" {
		rate := answer.Rate
		if rate.Matrix != nil {
			e := rater.EventOf(&a.Activity)
			rate = cmp.Or(rater.Selected(rate, &e, billed.ZoneAt(a.EventTime)), rate)
		}
		r := rateOf(rate, zoneOf(plan.Account()))
		out.Rate, out.Definition = &r, rate
	}
}
