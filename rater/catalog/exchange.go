package catalog

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
)

// exchangeDef is what a base currency cost on a day, as it is written and stored.
type exchangeDef struct {
	at    place
	Base  string                   `json:"base"`
	Date  string                   `json:"date"`
	Rates map[string]money.Decimal `json:"rates"` // what one unit of the base costs, by currency
}

// id names the definition; empty where the document lacks what it is made of.
func (d *exchangeDef) id() string {
	if d.Base == "" || d.Date == "" {
		return ""
	}
	return d.Base + "@" + d.Date
}

func (r *reader) exchangeFields(d *exchangeDef, at *place) []field {
	d.at = *at
	return []field{
		{"base", r.currency(&d.Base)},
		{"date", func(n *node, at *place) {
			s, ok := r.scalar(n, at, "a date")
			b, _ := parseBound(s) // open where it is none
			switch {
			case !ok:
			case b.form != boundDate:
				r.fail(at, "must be a date such as 2026-11-20, not %q", shorten(s))
			default:
				d.Date = s
			}
		}},
		{"rates", func(n *node, at *place) { d.Rates = r.exchangeRates(n, at) }},
	}
}

func (r *reader) exchangeRates(n *node, at *place) map[string]money.Decimal {
	if len(n.keys) == 0 { // no object, or an empty one
		r.fail(at, "must say what one unit of the base costs, such as {USD: 1.1592}, not %s", n.describe())
		return nil
	}
	rates := make(map[string]money.Decimal, len(n.keys))
	for i, key := range n.keys {
		member := &place{up: at, name: shorten(key.text), line: key.line}
		var rate money.Decimal
		before := r.count()
		if _, known := money.LookupCurrency(key.text); !known {
			r.fail(member, "%q is not a currency: use a code of ISO 4217 such as EUR", shorten(key.text))
		} else if _, twice := rates[key.text]; twice {
			r.fail(member, "is written twice")
		} else if r.decimal(&rate)(n.items[i], member); r.count() == before && rate.Sign() <= 0 {
			r.fail(member, "must be greater than 0, not %s: leave a currency out that has no rate on that day", rate)
		}
		rates[key.text] = rate
	}
	return rates
}

// exchangeRates checks the days that a document brings.
func (v *revision) exchangeRates() {
	for _, d := range v.doc.exchange {
		switch {
		case d.Base == "":
			v.failOnce(d.at.member("base"), "is missing: name the currency whose unit is priced")
		case d.Date == "":
			v.failOnce(d.at.member("date"), "is missing: write the day of the rates")
		case len(d.Rates) == 0:
			v.failOnce(d.at.member("rates"), "is missing: say what one unit of %s costs, such as {USD: 1.1592}", d.Base)
		}
		if _, ok := d.Rates[d.Base]; ok {
			v.fail(d.at.member("rates"), "prices %s, the base, in itself: leave it out", d.Base)
		}
	}
}

// exchanges holds what is known of each base currency. It is immutable.
type exchanges []*exchangeBase // ordered by their currencies

// exchangeBase is what one unit of a currency cost.
type exchangeBase struct {
	currency string
	index    map[string]int // of a currency in the rates of a day; the base itself is -1
	days     []*exchangeDay // in their order
}

// exchangeDay has a rate for each currency of its base's index as of when it was made; zero: none.
type exchangeDay struct {
	date  money.Date
	rates []money.Decimal
}

// with gives what is known once the rows count.
func (x exchanges) with(rows []Row) (exchanges, error) {
	changed := map[string]map[money.Date]*Row{}
	for i := range rows {
		row := &rows[i]
		base, text, _ := strings.Cut(row.ID, "@")
		date, err := money.ParseDate(text)
		if err != nil {
			return nil, fmt.Errorf("decode %s %s at %d: %w", row.Kind, row.ID, row.Seq, err)
		}
		days := changed[base]
		if days == nil {
			days = map[money.Date]*Row{}
			changed[base] = days
		}
		days[date] = row
	}
	next := slices.Clone(x)
	for _, currency := range slices.Sorted(maps.Keys(changed)) {
		at, found := slices.BinarySearchFunc(next, currency, func(b *exchangeBase, currency string) int { return strings.Compare(b.currency, currency) })
		base := &exchangeBase{currency: currency, index: map[string]int{currency: -1}}
		if found {
			base = next[at]
		} else {
			next = slices.Insert(next, at, base)
		}
		var err error
		if next[at], err = base.with(changed[currency]); err != nil {
			return nil, err
		}
	}
	return next, nil
}

// with gives the base with days that are new, replaced or deleted.
func (b *exchangeBase) with(changed map[money.Date]*Row) (*exchangeBase, error) {
	next := &exchangeBase{currency: b.currency, index: maps.Clone(b.index), days: make([]*exchangeDay, 0, len(b.days)+len(changed))}
	for _, day := range b.days {
		if _, replaced := changed[day.date]; !replaced {
			next.days = append(next.days, day)
		}
	}
	for _, date := range slices.Sorted(maps.Keys(changed)) {
		row := changed[date]
		if row.Deleted {
			continue
		}
		day := &exchangeDay{date: date, rates: make([]money.Decimal, len(next.index)-1)}
		err := eachRate(row, func(currency []byte, rate money.Decimal) {
			at, known := next.index[string(currency)]
			if !known {
				at = len(next.index) - 1
				next.index[string(currency)] = at
			}
			for len(day.rates) <= at {
				day.rates = append(day.rates, money.Decimal{})
			}
			day.rates[at] = rate
		})
		if err != nil {
			return nil, err
		}
		next.days = append(next.days, day)
	}
	slices.SortFunc(next.days, func(a, b *exchangeDay) int { return cmp.Compare(a.date, b.date) })
	return next, nil
}

// eachRate visits the rates of a stored day. There are thousands of days, so what is read is what json.Marshal writes of an
// exchangeDef, and nothing else: no spaces, no escapes.
func eachRate(row *Row, visit func(currency []byte, rate money.Decimal)) error {
	malformed := fmt.Errorf("decode %s %s at %d: its rates cannot be read", row.Kind, row.ID, row.Seq)
	_, rest, _ := bytes.Cut(row.Body, []byte(`"rates":{`))
	rest, closed := bytes.CutSuffix(rest, []byte("}}"))
	if !closed {
		return malformed
	}
	for len(rest) > 0 {
		var pair []byte
		pair, rest, _ = bytes.Cut(rest, []byte(","))
		name, text, _ := bytes.Cut(pair, []byte(":"))
		if len(name) != len(`"EUR"`) || len(text) < len(`"1"`) {
			return malformed
		}
		rate, err := money.ParseBytes(text[1 : len(text)-1])
		if err != nil {
			return malformed
		}
		visit(name[1:len(name)-1], rate)
	}
	return nil
}

// pair is two currencies that a base may know: where their rates stand in each day.
type pair struct {
	base     *exchangeBase
	from, to int
	ok       bool // both are the base's, or were ever priced in it
}

func (b *exchangeBase) pair(from, to string) pair {
	p := pair{base: b}
	var a, z bool
	p.from, a = b.index[from]
	p.to, z = b.index[to]
	p.ok = a && z
	return p
}

// rates gives what a unit of the base cost in both on a day; ok is false unless both are known.
func (p pair) rates(day *exchangeDay) (from, to money.Decimal, ok bool) {
	from, to = day.rate(p.from), day.rate(p.to)
	return from, to, !from.IsZero() && !to.IsZero()
}

func (d *exchangeDay) rate(at int) money.Decimal {
	switch {
	case at < 0:
		return money.One
	case at >= len(d.rates):
		return money.Decimal{}
	}
	return d.rates[at]
}

// last finds the last day up to date of which both currencies are known.
func (p pair) last(date money.Date) *exchangeDay {
	days := p.base.days
	n := sort.Search(len(days), func(i int) bool { return days[i].date > date })
	for n--; n >= 0; n-- {
		if _, _, ok := p.rates(days[n]); ok {
			return days[n]
		}
	}
	return nil
}

// Exchange gives what a unit of a currency cost in another on the date or, where that day is not known, on the last known one before it:
// directly, or through a base that has both, rounded half away from zero at the 12th decimal. Where several bases have both, the one with the
// latest day answers, of the same day one that is one of the two currencies, then the first in the alphabet. ok is false where none has.
func (s *Snapshot) Exchange(from, to string, date money.Date) (x money.Exchange, ok bool) {
	var best pair
	var of *exchangeDay
	for _, b := range s.exchanges {
		p := b.pair(from, to)
		if !p.ok {
			continue
		}
		day := p.last(date)
		if day == nil {
			continue
		}
		direct := p.from < 0 || p.to < 0
		if of == nil || day.date > of.date || day.date == of.date && direct && best.from >= 0 && best.to >= 0 {
			best, of = p, day
		}
	}
	if of == nil {
		return x, false
	}
	one, other, _ := best.rates(of)
	rate, err := other.Div(one)
	if err != nil || rate.IsZero() { // out of range, or too small for 12 decimals: nothing can be priced with it
		return x, false
	}
	return money.Exchange{Rate: rate, Date: of.date}, true
}

// firstExchange gives the first day on which Exchange may answer.
func (s *Snapshot) firstExchange(from, to string) (date money.Date, ok bool) {
	for _, b := range s.exchanges {
		p := b.pair(from, to)
		if !p.ok {
			continue
		}
		for _, day := range b.days {
			if _, _, known := p.rates(day); known {
				if !ok || day.date < date {
					date, ok = day.date, true
				}
				break
			}
		}
	}
	return date, ok
}

// ExchangeOf gives the exchange that turns the rate's prices into the account's currency for usage of a period: of the day on which the
// rate takes effect in it, in the zone of whoever is invoiced, as far as is known to the plan's snapshot. None is needed, and the zero
// one given, for a rate in the account's currency.
func (p *Plan) ExchangeOf(r *Rate, period Period) (x money.Exchange, ok bool) {
	return p.ExchangeAmong(p.snap, r, period)
}

// ExchangeAmong is ExchangeOf as far as is known to another snapshot.
func (p *Plan) ExchangeAmong(known *Snapshot, r *Rate, period Period) (x money.Exchange, ok bool) {
	start := max(r.Start, period.Start)
	switch {
	case r.Currency == p.chain[0].Currency:
		return x, true
	case start == Always:
		return x, false
	}
	owed, _ := p.Billing(start)
	return known.Exchange(r.Currency, p.chain[0].Currency, money.DateOf(start, owed.ZoneAt(start)))
}

// convertsFrom gives the instant from which the rate's prices can be turned into the account's currency: where usage of a period begins
// of whose first day, or of the rate's, an exchange rate is known.
func (p *Plan) convertsFrom(r *Rate) int64 {
	first, ok := p.snap.firstExchange(r.Currency, p.chain[0].Currency)
	if !ok {
		return Never
	}
	midday := first.In(time.UTC).Add(12 * time.Hour).UnixNano()
	owed, period := p.Billing(midday)
	zone := owed.ZoneAt(midday)
	if money.DateOf(r.Start, zone) >= first {
		return Always // whenever the rate is in effect
	}
	for money.DateOf(period.Start, zone) < first {
		if period.End == Never {
			return Never
		}
		owed, period = p.Billing(period.End)
		zone = owed.ZoneAt(period.Start)
	}
	return period.Start
}
