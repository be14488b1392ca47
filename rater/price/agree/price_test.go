package agree

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/method"
	"github.com/tollstream/tollstream/rater/price"
	"github.com/tollstream/tollstream/rater/price/oracle"
)

// book is what a case's document becomes.
type book struct {
	snapshot *catalog.Snapshot
	plans    map[string]*catalog.Plan
}

func open(document string, now time.Time) (*book, error) {
	doc, err := catalog.ParseDocument("case.yaml", []byte(document))
	if err != nil {
		return nil, err
	}
	changes, err := doc.Revise(catalog.Stored{}, now.UnixNano())
	if err != nil {
		return nil, err
	}
	var rows []catalog.Row
	accounts, parents := map[string]*catalog.Account{}, map[string]string{}
	for _, c := range changes {
		row := catalog.Row{Ref: c.Ref, Seq: 1, Body: c.Body}
		if c.Kind != catalog.KindAccount {
			rows = append(rows, row)
			continue
		}
		if accounts[c.ID], err = catalog.DecodeAccount(row, nil); err != nil {
			return nil, err
		}
		parents[c.ID] = c.Parent
	}
	b := &book{plans: map[string]*catalog.Plan{}}
	if b.snapshot, err = catalog.NewSnapshot(rows); err != nil {
		return nil, err
	}
	for id := range accounts {
		var chain []*catalog.Account
		for up := id; up != ""; up = parents[up] {
			chain = append(chain, accounts[up])
		}
		if b.plans[id], err = catalog.NewPlan(b.snapshot, chain); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// line is a line of the invoice while events arrive.
type line struct {
	events int
	amount money.Decimal
}

// used is what is priced together: the usage of a line, or of a pool.
type used struct {
	segments []price.Segment
	values   map[string]*price.Values // by cell and attribute
	total    money.Decimal
}

// priced is what the product makes of a case.
type priced struct {
	lines    map[string]*line
	used     map[string]*used  // by what has its tiers together
	rejected map[string]string // by id: the reason
	charges  []money.Decimal   // of each event
}

func (b *book) price(c *oracle.Case) (*priced, error) {
	p := &priced{lines: map[string]*line{}, used: map[string]*used{}, rejected: map[string]string{}}
	for i := range c.Events {
		e, err := eventOf(&c.Events[i])
		if err != nil {
			return nil, err
		}
		charge, reason, err := b.rate(p, c, e)
		if err != nil {
			return nil, fmt.Errorf("event %s: %w", e.ID, err)
		}
		if reason != "" {
			p.rejected[e.ID] = reason
		}
		p.charges = append(p.charges, charge)
	}
	return p, nil
}

// rate puts an event on its line.
func (b *book) rate(p *priced, c *oracle.Case, e *usage.Event) (charge money.Decimal, reason string, err error) {
	plan, product := b.plans[e.Account], b.snapshot.Product(e.Product)
	owed, period := plan.Billing(e.Time)
	if start := c.Usage.Start.UnixNano(); period.Start != start || period.End != c.Usage.End.UnixNano() {
		return charge, "", fmt.Errorf("the period begins at %d, the case's at %d", period.Start, start)
	}
	zone := owed.ZoneAt(e.Time)
	answer, refusal := plan.Resolve(product, e.Package, e.Time)
	if refusal != "" {
		return charge, string(refusal), nil
	}
	r := answer.Rate
	if r.Matrix != nil {
		values := make([]string, len(r.Matrix.Dimensions))
		for i, d := range r.Matrix.Dimensions {
			values[i] = e.Attribute(d.From)
		}
		if r = r.Matrix.Select(values, e.Time, zone); r == nil {
			return charge, rater.ReasonNoRate, nil
		}
	}
	in, _, reason := rater.InputOf(e, r, period, zone, plan.Snapshot())
	if reason != "" {
		return charge, reason, nil
	}
	key := e.Account + "\x00" + product.ID + "\x00" + answer.Package
	var group []method.Attribute
	for _, name := range product.GroupBy {
		key += "\x00" + e.Attribute(name)
		group = append(group, method.Attribute{Name: name, Value: e.Attribute(name)})
	}
	in.Line = price.LineOf(period, zone, group)
	shared := sharedBy(r, e, answer.Package, key)
	u := p.used[shared]
	if u == nil {
		u = &used{}
	}
	if c.Usage.Carried != nil && price.CarriesLevel(r) {
		in.Carried = money.MustParse(oracle.Decimal(c.Usage.Carried))
	}
	var set *price.Values
	if price.CountsValues(r) {
		in.Value, set = u.see(r, e)
	}
	segments, err := with(u.segments, r, product.ID, in)
	switch {
	case errors.Is(err, price.ErrNegativeQuantity):
		return charge, rater.ReasonNegative, nil
	case errors.Is(err, price.ErrNoAttribute):
		return charge, rater.ReasonNoAttribute, nil
	case errors.Is(err, price.ErrNoAmount):
		return charge, rater.ReasonNoAmount, nil
	case err != nil:
		return charge, "", err
	}
	total, err := price.PoolTotal(segments)
	if err == nil {
		charge, err = total.Sub(u.total)
	}
	if err != nil {
		return charge, "", err
	}
	if set != nil {
		i, _ := slices.BinarySearchFunc(segments, price.Segment{Rate: r, Cell: r.Cell}, price.CompareSegments)
		set.Take(e.Attribute(r.Attribute), segments[i].State)
	}
	u.segments, u.total = segments, total
	p.used[shared] = u
	l := p.lines[key]
	if l == nil {
		l = &line{}
		p.lines[key] = l
	}
	l.events++
	l.amount, err = l.amount.Add(charge)
	return charge, "", err
}

// sharedBy names what has the rate's tiers together with the line. All is billed to one account, in one period.
func sharedBy(r *catalog.Rate, e *usage.Event, pkg, line string) string {
	product := e.Product
	if r.Model == catalog.ModelCapacity {
		product = ""
	}
	switch {
	case r.Pool == catalog.PoolAccount:
		return "account " + e.Account + "\x00" + product
	case r.Pool == catalog.PoolPackage && pkg != "":
		return "package " + pkg + "\x00" + product
	case r.Pool == catalog.PoolInvoice:
		return "invoice " + product
	}
	return "line " + line
}

// see gives what is known of the event's value, and where that is kept.
func (u *used) see(r *catalog.Rate, e *usage.Event) (*price.Value, *price.Values) {
	if u.values == nil {
		u.values = map[string]*price.Values{}
	}
	key := r.Cell + "\x00" + r.Attribute
	if u.values[key] == nil {
		u.values[key] = &price.Values{}
	}
	return u.values[key].See(e.Attribute(r.Attribute)), u.values[key]
}

// with are the segments with one more event under the rate.
func with(segments []price.Segment, r *catalog.Rate, product string, in price.Input) ([]price.Segment, error) {
	segments = slices.Clone(segments)
	own := price.Segment{Rate: r, Cell: r.Cell, Line: in.Line}
	if r.Model == catalog.ModelCapacity { // its segments are told apart by product
		own.Cell = product
	}
	i, found := slices.BinarySearchFunc(segments, own, price.CompareSegments)
	if !found {
		segments = slices.Insert(segments, i, own)
	}
	if price.InLogOrder(r) {
		before, err := price.Before(segments, i)
		if err != nil {
			return nil, err
		}
		in.Before = &before
	}
	state, err := price.Aggregate(r, segments[i].State, in)
	segments[i].State = state
	return segments, err
}

func eventOf(o *oracle.Event) (*usage.Event, error) {
	e := &usage.Event{ID: o.ID, Source: "oracle", Account: o.Account, Product: o.Product, Package: o.Package, Time: o.Time.UnixNano()}
	var err error
	if e.Quantity, err = money.Parse(oracle.Decimal(o.Quantity)); err != nil {
		return nil, err
	}
	if e.HasAmount = o.Amount != nil; e.HasAmount {
		e.Currency = "USD"
		if e.Amount, err = money.Parse(oracle.Decimal(o.Amount)); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.Attributes)) {
		e.Attributes = append(e.Attributes, usage.Attribute{Name: name, Value: o.Attributes[name]})
	}
	return e, nil
}

// fold prices the case as stored usage is added up again, by the rules of the rater itself.
func (b *book) fold(c *oracle.Case) (*priced, error) {
	p, fold := &priced{lines: map[string]*line{}, rejected: map[string]string{}}, rater.NewFold()
	if c.Usage.Carried != nil {
		if left, err := b.leave(c, fold); err != nil || !left {
			return nil, err
		}
	}
	for i := range c.Events {
		e, err := eventOf(&c.Events[i])
		if err != nil {
			return nil, err
		}
		fold.Use(b.plans[e.Account])
		folded, reason := fold.Add(e, rater.Invoiced{})
		if reason != "" {
			p.rejected[e.ID] = reason
		}
		p.charges = append(p.charges, folded.Charge)
	}
	for _, l := range fold.Lines() {
		if l.UsagePeriod.Start != c.Usage.Start.UnixNano() {
			continue
		}
		key := []string{l.Account, l.Product, l.Package}
		for _, g := range l.Group {
			key = append(key, g.Value)
		}
		p.lines[strings.Join(key, "\x00")] = &line{events: int(l.Events), amount: l.Amount}
	}
	return p, nil
}

// leave has the period before the case's end at the level that is carried over; false: what its rate does to a quantity makes it another.
func (b *book) leave(c *oracle.Case, fold *rater.Fold) (bool, error) {
	before := c.Events[0]
	before.ID, before.Time, before.Quantity = "before", c.Usage.Start.Add(-time.Second), c.Usage.Carried
	e, err := eventOf(&before)
	if err != nil {
		return false, err
	}
	fold.Use(b.plans[e.Account])
	if _, reason := fold.Add(e, rater.Invoiced{}); reason != "" {
		return false, nil // it has no rate yet
	}
	rounding := c.Rates[0].Rounding
	return rounding == nil || rounding.First == nil && !rounding.OnEvent, nil
}
