package rater

import (
	"cmp"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	priceoracle "github.com/tollstream/tollstream/rater/price/oracle"
)

// Every second schedule draws its price lists from all methods. A rate stays one of its family while its prices change, since usage that
// was gathered for one kind of price is of no use to another; what its match is in a matrix stays as well.

type simFamily struct {
	name string
	draw func(w *world) priceoracle.Rate
}

var simFamilies = []simFamily{
	{"tiers", func(w *world) priceoracle.Rate {
		r := priceoracle.Rate{Model: "graduated", Tiers: w.tiers()}
		if w.n(2) == 0 {
			r.Model = "volume"
		}
		return r
	}},
	{"matrix by class and hour", func(w *world) priceoracle.Rate {
		night := priceoracle.Match{FromMinute: 20 * 60, ToMinute: 8 * 60}
		day := priceoracle.Match{FromMinute: 8 * 60, ToMinute: 20 * 60}
		r := priceoracle.Rate{
			Model: "matrix", Dimensions: []priceoracle.Dimension{{Name: "class", By: "exact"}, {Name: "hours", By: "time_of_day"}},
			Entries: []priceoracle.Entry{
				{Match: map[string]priceoracle.Match{"class": exactly("a"), "hours": day}, Rate: priceoracle.Rate{Model: "graduated", Tiers: w.tiers()}},
				{Match: map[string]priceoracle.Match{"class": exactly("a")}, Rate: priceoracle.Rate{Model: "per_unit", UnitPrice: w.price()}},
				{Match: map[string]priceoracle.Match{"class": exactly("b", "c")}, Rate: priceoracle.Rate{Model: "volume", Tiers: w.tiers()}},
				{Match: map[string]priceoracle.Match{"hours": night}, Rate: priceoracle.Rate{Model: "package", Size: whole(7), Price: w.price(), Free: whole(3)}},
			},
		}
		if w.n(3) == 0 {
			r.Maximum = whole(1 + w.n(3))
		}
		return r
	}},
	{"matrix by number and size", func(w *world) priceoracle.Rate {
		other := priceoracle.Rate{Model: "per_unit", UnitPrice: w.price(), Included: whole(5)}
		return priceoracle.Rate{
			Model: "matrix", Dimensions: []priceoracle.Dimension{{Name: "to", From: "number", By: "prefix"}, {Name: "size", By: "range"}},
			Entries: []priceoracle.Entry{
				{Match: map[string]priceoracle.Match{"to": exactly("49")}, Rate: priceoracle.Rate{Model: "graduated", Tiers: w.tiers(), WholeEvent: true}},
				{Match: map[string]priceoracle.Match{"to": exactly("4930", "4940")}, Rate: priceoracle.Rate{Model: "percentage", Percent: whole(1 + w.n(9)), FreeEvents: 1, Fixed: w.price()}},
				{Match: map[string]priceoracle.Match{"size": {From: whole(0), To: whole(10)}}, Rate: priceoracle.Rate{Model: "flat", Amount: w.price(), Maximum: whole(2)}},
			},
			Default: &other,
		}
	}},
	{"percentage with a free amount", func(w *world) priceoracle.Rate {
		r := priceoracle.Rate{Model: "percentage", Percent: whole(1 + w.n(9)), Fixed: w.price(), FreeAmount: whole(5 + w.n(30)), FreeEvents: w.n(3)}
		if w.n(2) == 0 {
			r.Min, r.Max = w.price(), whole(3)
		}
		return r
	}},
	{"percentage", func(w *world) priceoracle.Rate {
		return priceoracle.Rate{Model: "percentage", Percent: big.NewRat(int64(1+w.n(300)), 100), Fixed: w.price()}
	}},
	{"whole events", func(w *world) priceoracle.Rate {
		r := priceoracle.Rate{Model: "graduated", Tiers: w.tiers(), WholeEvent: true}
		r.Tiers[1].Flat = w.price()
		return r
	}},
	{"units by day", func(w *world) priceoracle.Rate {
		r := priceoracle.Rate{Model: "graduated", Tiers: w.tiers(), ProrateDay: true, Included: whole(2)}
		r.Tiers[1].Flat = w.price()
		return r
	}},
	{"average level", func(w *world) priceoracle.Rate {
		return priceoracle.Rate{Model: "graduated", Aggregation: "time_weighted", Tiers: w.tiers()}
	}},
	{"high-water mark", func(w *world) priceoracle.Rate {
		return priceoracle.Rate{Model: "graduated", Aggregation: "max", Tiers: w.tiers()}
	}},
	{"latest", func(w *world) priceoracle.Rate {
		return priceoracle.Rate{Model: "volume", Aggregation: "latest", Tiers: w.tiers()}
	}},
	{"users", func(w *world) priceoracle.Rate {
		return priceoracle.Rate{Model: "graduated", Aggregation: "unique", Attribute: "number", Tiers: []priceoracle.Tier{
			{UpTo: whole(1 + w.n(2)), UnitPrice: w.price(), Flat: w.price()}, {UnitPrice: w.price()},
		}}
	}},
	{"users by class", func(w *world) priceoracle.Rate {
		return priceoracle.Rate{
			Model: "matrix", Aggregation: "unique", Attribute: "size", Dimensions: []priceoracle.Dimension{{Name: "class", By: "exact"}},
			Entries: []priceoracle.Entry{
				{Match: map[string]priceoracle.Match{"class": exactly("a")}, Rate: priceoracle.Rate{Model: "per_unit", UnitPrice: w.price()}},
				{Match: map[string]priceoracle.Match{"class": exactly("b", "c")}, Rate: priceoracle.Rate{Model: "volume", Tiers: []priceoracle.Tier{
					{UpTo: whole(1 + w.n(3)), UnitPrice: w.price()}, {UnitPrice: w.price()},
				}}},
			},
		}
	}},
	{"volume with options", func(w *world) priceoracle.Rate {
		r := priceoracle.Rate{Model: "volume", Tiers: w.tiers(), HalfOpen: true, ZeroFlat: true, Included: whole(4), Maximum: whole(1 + w.n(4))}
		r.Tiers[0].Flat = w.price()
		return r
	}},
	{"packages", func(w *world) priceoracle.Rate {
		return priceoracle.Rate{
			Model: "package", Size: whole(2 + w.n(9)), Price: w.price(), Free: whole(w.n(5)), Rounding: &priceoracle.Rounding{Mode: "ceil", OnEvent: true},
		}
	}},
	{"blocks", func(w *world) priceoracle.Rate {
		r := priceoracle.Rate{Model: "block_graduated", Rounding: &priceoracle.Rounding{Mode: "round", Precision: -1}}
		if w.n(2) == 0 {
			r.Model = "block_volume"
		}
		r.Tiers = []priceoracle.Tier{{BlockSize: whole(5), MaxBlocks: whole(1 + w.n(5)), Price: w.price()}, {BlockSize: whole(8), Price: w.price()}}
		return r
	}},
	{"graduated percentage", func(w *world) priceoracle.Rate {
		return priceoracle.Rate{Model: "graduated_percentage", Tiers: []priceoracle.Tier{
			{UpTo: whole(10 + w.n(20)), Percent: whole(1 + w.n(9)), Flat: w.price()}, {Percent: big.NewRat(int64(w.n(300)), 100)},
		}}
	}},
	{"amounts", func(*world) priceoracle.Rate { return priceoracle.Rate{Model: "dynamic"} }},
	{"counted", func(w *world) priceoracle.Rate {
		return priceoracle.Rate{Model: "graduated", Aggregation: "count", Tiers: []priceoracle.Tier{
			{UpTo: whole(2), UnitPrice: w.price(), Flat: w.price()}, {UnitPrice: w.price()},
		}}
	}},
}

func whole(n int) *big.Rat                       { return big.NewRat(int64(n), 1) }
func exactly(values ...string) priceoracle.Match { return priceoracle.Match{Values: values} }
func (w *world) price() *big.Rat                 { return big.NewRat(int64(1+w.n(15)), 100) }

func (w *world) tiers() []priceoracle.Tier {
	return []priceoracle.Tier{{UpTo: whole(20 + w.n(20)), UnitPrice: w.price()}, {UnitPrice: w.price()}}
}

// simTerms are a rate of any method: for the oracle, and as definitions hold it.
type simTerms struct {
	family int
	rate   *priceoracle.Rate
}

// terms draws the rate of an id; one that is known stays in its family.
func (w *world) terms(id string, start, end int64) *simTerms {
	family, known := w.families[id]
	if !known {
		family = w.n(len(simFamilies))
		if w.faults.ofValues() {
			family = slices.IndexFunc(simFamilies, func(f simFamily) bool { return f.name == "users" })
		}
		if w.faults.ofLevels() {
			family = slices.IndexFunc(simFamilies, func(f simFamily) bool { return f.name == "average level" })
		}
		w.families[id] = family
	}
	r := simFamilies[family].draw(w)
	r.Currency = w.currency(id, simFamilies[family].name)
	r.ID, r.List, r.Restart = id, id, start != always && w.n(4) == 0 // a list's first price does not begin anew
	if start != always {
		r.Start = time.Unix(0, start).UTC()
	}
	if end != never {
		r.End = time.Unix(0, end).UTC()
	}
	r.Settle()
	return &simTerms{family, &r}
}

// Prices without a beginning or an end.
const (
	always = -1 << 63
	never  = 1<<63 - 1
)

// body is the rate as a definition of the product holds it.
func (t *simTerms) body(product string) string {
	return fmt.Sprintf(`{"product":%q,`, product) + t.rate.JSON()[1:]
}

// anyPrices draws the prices of a product: those of always and, mostly, others from some hour on, which may have passed. Now and
// then there is none for the hour before.
func (w *world) anyPrices(product string) *simPrice {
	base, end := "product:"+product, int64(never)
	p := &simPrice{product: product, start: always}
	if w.n(3) > 0 {
		at, known := w.dated[product]
		if !known || w.n(3) == 0 { // else it is a change of prices that are there
			at = w.someHour()
			w.dated[product] = at
		}
		id := fmt.Sprintf("%s@%d", base, (at-simStart)/simHour)
		p.next = &simPrice{product: product, start: at, terms: w.terms(id, at, never)}
		if end = at; w.n(6) == 0 {
			end -= simHour
		}
	}
	p.end, p.terms = end, w.terms(base, always, end)
	return p
}

// at gives the price that holds then, nil: none.
func (p *simPrice) at(t int64) *simPrice {
	if p.terms == nil {
		return p
	}
	if p.next != nil && t >= p.next.start {
		return p.next
	}
	if p.contract == "" && t >= p.end {
		return nil
	}
	return p
}

// enrich gives an event what matrices and prices of money look at.
func (w *world) enrich(e *usage.Event) {
	put := func(name string, values ...string) {
		if v := values[w.n(len(values))]; v != "" {
			e.Attributes = append(e.Attributes, usage.Attribute{Name: name, Value: v})
		}
	}
	region := e.Attributes
	e.Attributes = nil
	put("class", "a", "a", "b", "c", "")
	put("number", "4930123", "49301", "4912", "1", "")
	e.Attributes = append(e.Attributes, region...)
	put("size", "3", "9.5", "10", "many", "")
	if w.n(2) == 0 {
		e.HasAmount, e.Amount, e.Currency = true, money.FromInt(int64(w.n(40))), simMoneys[w.n(len(simMoneys))]
	}
}

// rich is the event as the oracle of prices knows it under the rate.
func (o *oracle) rich(e *usage.Event, r *priceoracle.Rate, seq int64) priceoracle.Event {
	x := priceoracle.Event{ID: e.ID, Time: time.Unix(0, e.Time).UTC(), Quantity: o.rat(e.Quantity), Attributes: map[string]string{}}
	if e.HasAmount {
		x.Amount, x.Foreign = o.paid(e, r, seq)
	}
	for _, a := range e.Attributes {
		x.Attributes[a.Name] = a.Value
	}
	return x
}

// take puts the event on the line at a place of the family, under the price that answers for it.
func (o *oracle) take(f *oracleUses, line oracleLine, price *simPrice, e *usage.Event, seq int64) string {
	if f.ledger == nil {
		f.ledger = &priceoracle.Ledger{Usage: priceoracle.Usage{Start: time.Unix(0, line.usage).UTC(), End: time.Unix(0, o.w.cycle.end(line.usage)).UTC(), Zone: time.UTC}}
	}
	o.reprice(f, line.usage, seq)
	id := price.terms.rate.ID
	rates := []*priceoracle.Rate{price.terms.rate}
	for _, p := range f.prices {
		if p.terms.rate.ID != id {
			rates = append(rates, p.terms.rate)
		}
	}
	x := o.rich(e, price.terms.rate, seq)
	if x.Foreign && price.terms.rate.OfMoney() {
		o.w.did("amount that nothing converts")
	}
	reason, ok := f.ledger.Take(rates, id, x)
	if !ok {
		return map[string]string{"": ReasonNegative, "amount_missing": ReasonNoAmount, "attribute_missing": ReasonNoAttribute, "no_rate": ReasonNoRate}[reason]
	}
	o.w.did("usage under " + simFamilies[price.terms.family].name)
	if x.Amount != nil && x.Amount.Cmp(o.rat(e.Amount)) != 0 && price.terms.rate.OfMoney() {
		o.w.did("amount converted")
	}
	f.prices[id] = price
	o.pin(f, price.terms.rate, line.usage, seq, "usage at prices in another currency")
	if price.terms.rate.Aggregation == "time_weighted" {
		o.level(f, line, e)
	}
	return ""
}

// reprice has the family of a period priced under the definitions.
func (o *oracle) reprice(f *oracleUses, period, seq int64) {
	for id, p := range f.prices {
		if now := o.now(id, p, seq); now != nil {
			f.prices[id] = now
			o.pin(f, now.terms.rate, period, seq, "prices in another currency than before")
		}
	}
}

// level follows what a change of the level means for other days: the family's first one takes over what the last day before with a line of its
// own has left, and where the day is not sealed the days behind it take over what it leaves now.
func (o *oracle) level(f *oracleUses, line oracleLine, e *usage.Event) {
	key := oracleFamily{account: line.account, product: line.product, group: line.group}
	on := func(day int64) *oracleUses {
		key.usage, key.owed = day, o.root(line.account, day)
		return o.families[key]
	}
	if f.ledger.Usage.Carried == nil {
		f.ledger.Usage.Carried = new(big.Rat)
		day := line.usage
		for range mostQuiet {
			day, _ = o.w.cycle.at(day - 1)
			if before := on(day); before != nil && before.own != nil {
				f.ledger.Usage.Carried = before.left()
				o.w.did("level carried over")
				break
			}
		}
	}
	if line.period != line.usage || line.billed != o.root(line.account, line.usage) {
		return
	}
	if f.own == nil {
		f.own = new(big.Rat)
	}
	f.own.Add(f.own, o.rat(e.Quantity))
	level := f.left()
	for day := o.w.cycle.end(line.usage); day <= o.logTime+simHour; day = o.w.cycle.end(day) {
		next := on(day)
		if _, sealed := o.sealed(key.owed, o.w.cycle.end(day)); sealed {
			break
		}
		if next == nil || next.ledger == nil || next.ledger.Usage.Carried == nil {
			continue
		}
		if next.ledger.Usage.Carried.Cmp(level) == 0 {
			break
		}
		o.w.did("level carried on")
		next.ledger.Usage.Carried = level
		o.reprice(next, day, o.act)
		if next.own == nil {
			break
		}
		level = next.left()
	}
}

// goOn has the levels of sealed days go on: the first usage of the day behind, if it falls on lines of the same key that have taken over
// nothing yet, is none of what was there.
func (o *oracle) goOn(s *usage.Seal) {
	var days []oracleFamily
	for k, f := range o.families {
		if k.owed == s.Account && o.w.cycle.end(k.usage) <= s.PeriodEnd && f.own != nil && !f.wentOn {
			days = append(days, k)
		}
	}
	for ; len(days) > 0; days = days[1:] {
		slices.SortFunc(days, func(a, b oracleFamily) int { return cmp.Compare(a.usage, b.usage) })
		k := days[0]
		f := o.families[k]
		f.wentOn = true
		day := o.w.cycle.end(k.usage)
		next := oracleFamily{k.account, k.product, k.group, day, o.root(k.account, day)}
		seq := o.act
		for _, p := range o.through[next.owed] {
			if p.Through >= o.w.cycle.end(day) {
				if seq = p.Seq; p.Through < s.PeriodEnd || next.owed != s.Account {
					seq = 0
				}
				break
			}
		}
		if seq == 0 || f.left().Sign() == 0 || o.root(k.account, k.usage) != k.owed || !o.productKnown(k.product, seq) {
			continue
		}
		rate, _ := o.rate(k.account, k.product, day, seq)
		if rate == nil || rate.terms == nil || rate.terms.rate.Aggregation != "time_weighted" {
			continue
		}
		x := o.families[next]
		if x == nil {
			x = &oracleUses{prices: map[string]*simPrice{}, pinned: map[string]simPinned{}}
			o.families[next] = x
		}
		if x.ledger != nil && x.ledger.Usage.Carried != nil {
			continue
		}
		e := usage.Event{Account: k.account, Product: k.product, Time: day}
		line := oracleLine{k.account, k.product, k.group, day, next.owed, day}
		if reason := o.take(x, line, rate, &e, seq); reason != "" {
			panic(reason)
		}
		at := slices.Index(x.lines, line)
		if at < 0 {
			at = len(x.lines)
			x.lines, x.shared = append(x.lines, line), append(x.shared, new(big.Rat))
		}
		x.orders = append(x.orders, at)
		o.w.did("level begins a day without usage")
		if o.w.cycle.end(day) <= s.PeriodEnd {
			days = append(days, next)
		}
	}
}

// left is the level at the end of the family's day, as its own line has it.
func (f *oracleUses) left() *big.Rat { return new(big.Rat).Add(f.ledger.Usage.Carried, f.own) }

// now is what the rate says in the definitions of seq, nil: it is gone.
func (o *oracle) now(id string, was *simPrice, seq int64) *simPrice {
	p := o.latest(was.account, was.product, seq)
	switch {
	case p == nil || p.deleted:
		return nil
	case p.terms.rate.ID == id:
		return p
	case p.next != nil && p.next.terms.rate.ID == id:
		return p.next
	}
	return nil
}

// richTotal prices the usage of the first lines of a family.
func (f *oracleUses) richTotal(upTo int) *big.Rat {
	var rates []*priceoracle.Rate
	for id, p := range f.prices {
		r := *p.terms.rate
		r.Exchange = f.pinned[id].rate
		rates = append(rates, &r)
	}
	return f.ledger.Total(rates, func(event int) bool { return f.orders[event] <= upTo })
}

// prices tells of the prices behind a line.
func (o *oracle) prices(k oracleLine) string {
	var s strings.Builder
	for at, f := range o.families {
		if f.ledger == nil || at.account != k.account || at.product != k.product || at.group != k.group || at.usage != k.usage {
			continue
		}
		for _, id := range slices.Sorted(maps.Keys(f.prices)) {
			fmt.Fprintf(&s, "\n%s", f.prices[id].terms.rate.JSON())
			if x := f.pinned[id].rate; x != nil {
				fmt.Fprintf(&s, " at %s", x.FloatString(12))
			}
		}
		fmt.Fprintf(&s, "\nits events are under %v, of its lines %v", f.ledger.Rates(), f.orders)
	}
	return s.String()
}
