package invoicer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
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
	Total      *price.Explanation `json:"total,omitempty" doc:"the arithmetic of the line's amount after it, with each tier"`
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

// working is how an activity's arithmetic is worked out again.
type working struct {
	desk *Desk
	ctx  context.Context //nolint:containedctx // of one question
	plan *catalog.Plan   // under which the activity was priced
	of   *Charged
	out  *ChargeDetail

	before []Charged // activities of its family before it, in log order
	after  []Charged // of the same record, behind it
}

// side is a line's segments under some definitions, and what it comes to.
type side struct {
	segments []price.Segment
	amount   money.Decimal // of the line, not of those that it continues
}

// arithmetic explains the amounts, or says why it cannot.
func (w *working) arithmetic() (note string, err error) {
	if note, err = w.read(); note != "" || err != nil {
		return note, err
	}
	if w.of.Kind == activity.KindAdjustment {
		return w.adjustment()
	}
	for _, work := range []func([]Charged, int64, *Charged) (side, side, error){w.folded, w.replayed} {
		was, is, err := work(w.before, w.of.ActivatedSeq, w.of)
		var without *unpriced
		if err != nil && !errors.As(err, &without) {
			return "", err
		}
		if err == nil && w.agrees(was, is) {
			return "", w.show(was, is)
		}
	}
	return "worked out again from the usage in the report store, the line comes to another amount than was recorded: it shares its tiers with other lines, carries a level over " +
		"from the period before, or its usage was corrected since. The amounts are those that were recorded.", nil
}

// agrees says whether both sides come to what was recorded, and explain the charge.
func (w *working) agrees(was, is side) bool {
	if was.amount != w.out.Before.Decimal || is.amount != w.out.After.Decimal {
		return false
	}
	c := price.ExplainCharge(was.segments, is.segments)
	return c.Err == nil && c.Amount == w.of.Activity.Charge
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
	return nil
}

// read reads the family's activities up to the one in question and those of its record.
func (w *working) read() (note string, err error) {
	a := w.of
	q := HistoryQuery{Account: a.Account, Product: a.Product, From: a.UsageStart, To: a.UsageEnd, Limit: historyPage}
	if q.From == catalog.Always { // a period without bounds
		q.From, q.To = 0, 0
	}
	if a.UsageStart == a.PeriodStart { // late usage continues other lines, this does not
		q.Line = a.Line
	}
	for read := 0; ; {
		page, err := w.desk.History.Charges(w.ctx, q)
		if err != nil {
			return "", fmt.Errorf("read the usage behind activity %s: %w", a.Place, err)
		}
		for i := range page {
			c := &page[i]
			switch {
			case c.Partition != a.Partition || !sameFamily(c, a) || c.Place == a.Place:
			case c.Place.before(a.Place):
				w.before = append(w.before, *c)
				if c.Kind == activity.KindUsage {
					w.out.Earlier++
				}
			case c.Offset == a.Offset:
				w.after = append(w.after, *c)
			default:
				return "", nil
			}
		}
		if len(page) < q.Limit {
			return "", nil
		}
		if read += len(page); read >= MaxHistory {
			return fmt.Sprintf("the line has more than %d earlier activities, too many to add up again here: the amounts are those that were recorded", MaxHistory), nil
		}
		q.After = &page[len(page)-1].Place
	}
}

// sameFamily says whether two activities are of lines that are priced together.
func sameFamily(a, b *Charged) bool {
	return a.Package == b.Package && a.UsageStart == b.UsageStart && a.Seller == b.Seller && slices.Equal(a.Group, b.Group)
}

// unpriced says that usage has no price under other definitions.
type unpriced struct{ reason string }

func (u *unpriced) Error() string { return "stored usage has no price: " + u.reason }

func invoicedOf(a *activity.Activity) rater.Invoiced {
	return rater.Invoiced{
		Billed: a.Billed, Period: catalog.Period{Start: a.PeriodStart, End: a.PeriodEnd}, Exchanges: rater.ExchangesOf(a),
	}
}

// add adds an activity's usage.
func add(fold *rater.Fold, a *Charged) error {
	e := rater.EventOf(&a.Activity)
	if _, reason := fold.Add(&e, invoicedOf(&a.Activity)); reason != "" {
		return &unpriced{reason}
	}
	return nil
}

// fold adds usage up under the definitions at seq.
func (w *working) fold(usage []Charged, seq int64) (*rater.Fold, error) {
	plan, err := w.desk.plan(w.ctx, seq, w.of.Account)
	if err != nil {
		return nil, err
	}
	fold := rater.NewFold()
	fold.Under(seq)
	fold.Use(plan)
	for i := range usage {
		if usage[i].Kind != activity.KindUsage {
			continue
		}
		if err := add(fold, &usage[i]); err != nil {
			return nil, err
		}
	}
	return fold, nil
}

// sideOf gives what the fold has of the activity's line. like is usage of the family.
func (w *working) sideOf(fold *rater.Fold, like *Charged) (s side, err error) {
	e := rater.EventOf(&like.Activity)
	spot, reason := fold.Spot(&e, invoicedOf(&w.of.Activity))
	if reason != "" {
		return s, &unpriced{reason}
	}
	if s.segments, err = fold.Segments(spot); err != nil {
		return s, err
	}
	for _, l := range fold.Lines() {
		if l.Line == w.of.Line {
			s.amount = l.Amount
		}
	}
	return s, nil
}

// folded works both sides out under the definitions at seq alone, as if all usage before had been priced under them.
func (w *working) folded(usage []Charged, seq int64, event *Charged) (was, is side, err error) {
	fold, err := w.fold(usage, seq)
	if err != nil {
		return was, is, err
	}
	return w.sides(fold, event)
}

func (w *working) sides(fold *rater.Fold, event *Charged) (was, is side, err error) {
	if was, err = w.sideOf(fold, event); err != nil {
		return was, is, err
	}
	if err = add(fold, event); err != nil {
		return was, is, err
	}
	is, err = w.sideOf(fold, event)
	return was, is, err
}

// replayed works both sides out as the line was priced at the time: under each of the definitions that its activities name.
func (w *working) replayed(usage []Charged, seq int64, event *Charged) (was, is side, err error) {
	var fold *rater.Fold
	at, changes := int64(-1), 0
	move := func(to int64) error {
		if to == at {
			return nil
		}
		if changes++; changes > maxReplayed {
			return &unpriced{"priced under too many definitions"}
		}
		plan, err := w.desk.plan(w.ctx, to, w.of.Account)
		if err != nil {
			return err
		}
		next := rater.NewFold()
		next.Under(to)
		next.Use(plan)
		if fold != nil {
			old := func(seq int64) (*catalog.Plan, error) { return w.desk.plan(w.ctx, seq, w.of.Account) }
			if err := next.Load(fold.Lines(), plan, old); err != nil {
				return &unpriced{err.Error()}
			}
		}
		fold, at = next, to
		return nil
	}
	for i := range usage {
		if usage[i].Kind != activity.KindUsage {
			continue
		}
		if err := move(usage[i].ActivatedSeq); err != nil {
			return was, is, err
		}
		if err := add(fold, &usage[i]); err != nil {
			return was, is, err
		}
	}
	if err := move(seq); err != nil {
		return was, is, err
	}
	return w.sides(fold, event)
}

// adjustment explains a line that was priced anew: by the definitions that changed, or by an event on a line that it continues.
func (w *working) adjustment() (note string, err error) {
	a, seq := w.of, w.of.ActivatedSeq
	switch {
	case a.Source == rater.CauseLevel && a.EventID != "":
		return "When the period before was sealed, this line had no usage yet: the level at the end of that period, of the line " + a.EventID + ", goes on into this one.", nil
	case a.Source == rater.CauseLevel:
		return "The level at the end of the period before became another one after usage of this period had come; it goes on into this line, and the difference is charged here.", nil
	}
	cause := &Cause{Seq: seq, Changes: []RateChange{}}
	w.out.Cause = cause
	if text, ok := strings.CutPrefix(a.Source, "definition:"); ok {
		if cause.Seq, err = strconv.ParseInt(text, 10, 64); err != nil {
			return "", fmt.Errorf("activity %s: its cause %q: %w", a.Place, a.Source, err)
		}
	}
	if a.Level == rater.LevelCorrection || a.EventID != "" {
		cause.Invoice = a.EventID
		return fmt.Sprintf("The invoice %s was closed before its usage was rated anew under the definitions at %d; what it would have differed by is charged here.", a.EventID, cause.Seq), nil
	}
	last := slices.IndexFunc(w.before, func(c Charged) bool { return c.Kind == activity.KindUsage })
	if last < 0 {
		return "no usage of the line stands in the report store: the amounts are those that were recorded", nil
	}
	like, previous := &w.before[last], seq
	for i := range w.before {
		if c := &w.before[i]; c.Offset != a.Offset || c.Kind == activity.KindUsage { // others of its record are of its cause
			previous = c.ActivatedSeq
		}
	}
	before, after := w.before, w.before
	if previous == seq {
		event := slices.IndexFunc(w.after, func(c Charged) bool { return c.Kind == activity.KindUsage })
		if event < 0 {
			return "the line was rated anew from its usage, under the same definitions: the amounts are those that were recorded", nil
		}
		cause.Seq, cause.Event = 0, w.after[event].EventID
		after = append(slices.Clone(w.before), w.after[event])
	} else {
		cause.Before = previous
	}
	was, err := w.under(before, previous, like)
	var is side
	if err == nil {
		is, err = w.under(after, seq, like)
	}
	var without *unpriced
	if err != nil && !errors.As(err, &without) {
		return "", err
	}
	if err == nil && a.UsageStart != a.PeriodStart && was.amount == w.out.Before.Decimal && is.amount == w.out.After.Decimal && !w.agrees(was, is) {
		cause.Changes = changesOf(was.segments, is.segments)
		return "the line continues lines of closed invoices: it comes to what the usage comes to together, less what those before it come to", nil
	}
	if err != nil || !w.agrees(was, is) {
		return "worked out again from the usage in the report store, the line comes to another amount than was recorded: the amounts are those that were recorded", nil
	}
	cause.Changes = changesOf(was.segments, is.segments)
	return "", w.show(was, is)
}

func (w *working) under(usage []Charged, seq int64, like *Charged) (side, error) {
	fold, err := w.fold(usage, seq)
	if err != nil {
		return side{}, err
	}
	return w.sideOf(fold, like)
}
