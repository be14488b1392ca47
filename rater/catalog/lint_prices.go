package catalog

import (
	"fmt"
	"strings"

	"github.com/tollstream/tollstream/ledger/money"
)

// prices looks at what a rate says by itself, and at each of a matrix's prices.
func (l *linter) prices(d *rateDef) {
	l.price(d, d, d.Currency)
	for _, e := range d.Prices {
		l.price(&e.rateDef, d, d.Currency)
	}
	if d.Default != nil {
		l.price(&d.Default.rateDef, d, d.Currency)
	}
	if Model(d.Model) == ModelMatrix {
		l.matrix(d)
	}
}

// price looks at one price; says is the rate around it, which tells how events become a quantity.
func (l *linter) price(d, says *rateDef, currency string) {
	l.belowZero(d)
	l.ownPrices(d)
	if d.Rate != nil && d.Rate.Cmp(money.FromInt(100)) > 0 {
		l.warn("percent", d.at.member("rate"), "write 2.9 for 2.9 %", "is %s %% of the value of each event", d.Rate)
	}
	if Model(d.Model) == ModelCapacity {
		return
	}
	l.tierOrder(d, currency)
	l.tierBounds(d, says)
	if Model(d.Model) == ModelVolume {
		l.volumeSteps(d, currency)
	}
}

// belowZero finds prices by which usage would be paid out.
func (l *linter) belowZero(d *rateDef) {
	look := func(at *place, name string, v money.Decimal) {
		if v.Sign() < 0 {
			l.warn("below-zero", at.member(name), "write it without the sign, or grant a discount by a lower price", "is below zero (%s): usage would be paid out instead of charged", v)
		}
	}
	look(&d.at, "amount", orZero(d.Amount))
	look(&d.at, "unit_price", orZero(d.UnitPrice))
	look(&d.at, "price", orZero(d.Price))
	look(&d.at, "rate", orZero(d.Rate))
	look(&d.at, "fixed", d.Fixed)
	look(&d.at, "min", orZero(d.Min))
	look(&d.at, "max", orZero(d.Max))
	for i := range d.Tiers {
		t := &d.Tiers[i]
		look(&t.at, "unit_price", t.UnitPrice)
		look(&t.at, "flat_price", t.FlatPrice)
		look(&t.at, "rate", orZero(t.Rate))
		look(&t.at, "price", orZero(t.Price))
	}
}

// perUnit is what a unit of the tier costs, as a fraction.
type perUnit struct{ price, units money.Decimal }

func (t *tierDef) perUnit() perUnit {
	switch {
	case t.BlockSize != nil:
		return perUnit{orZero(t.Price), *t.BlockSize}
	case t.Rate != nil:
		return perUnit{*t.Rate, money.One}
	}
	return perUnit{t.UnitPrice, money.One}
}

// compare is 0 as well where the comparison is beyond what decimals can hold.
func (p perUnit) compare(q perUnit) int {
	a, err := p.price.Mul(q.units)
	b, err2 := q.price.Mul(p.units)
	if err != nil || err2 != nil {
		return 0
	}
	return a.Cmp(b)
}

func (p perUnit) text(d *rateDef, currency string) string {
	switch {
	case Model(d.Model) == ModelGraduatedPercentage:
		return p.price.String() + " %"
	case p.units != money.One:
		return amountText(p.price, currency) + " per " + p.units.String()
	}
	return amountText(p.price, currency)
}

// tierOrder finds the tier that breaks the order of the others, and tiers that could be one.
func (l *linter) tierOrder(d *rateDef, currency string) {
	const advice = "exchange the prices if they are mixed up, or correct the one that is mistyped"
	var rises, falls []int // tiers that are dearer, cheaper than the one before
	for i := 1; i < len(d.Tiers); i++ {
		before, t := d.Tiers[i-1].perUnit(), d.Tiers[i].perUnit()
		switch c := t.compare(before); {
		case c > 0 && (i > 1 || !before.price.IsZero()): // a first tier that is free is no step of the order
			rises = append(rises, i)
		case c < 0:
			falls = append(falls, i)
		case c == 0 && d.Tiers[i].FlatPrice.IsZero() && d.Tiers[i-1].BlockSize == nil:
			l.note("tier-same", &d.Tiers[i].at, "join the two", "costs the same per unit (%s) as the tier before", t.text(d, currency))
		}
	}
	price := func(i int) string { return d.Tiers[i].perUnit().text(d, currency) }
	switch {
	case len(rises) == 0:
	case len(falls) == 0:
		i := rises[0]
		l.note("tier-rises", &d.Tiers[i].at, "leave it if more use shall cost more per unit, else exchange the prices",
			"tier %d is dearer per unit (%s) than tier %d (%s)", i+1, price(i), i, price(i-1))
	case len(rises) <= len(falls): // prices fall, but here
		for _, i := range rises {
			l.warn("tier-order", &d.Tiers[i].at, advice, "tier %d is dearer per unit (%s) than tier %d (%s), while the other prices fall", i+1, price(i), i, price(i-1))
		}
	default:
		for _, i := range falls {
			l.warn("tier-order", &d.Tiers[i-1].at, advice, "tier %d is dearer per unit (%s) than the next (%s), while the other prices rise", i, price(i-1), price(i))
		}
	}
}

// tierBounds finds bounds that were probably meant one step higher: up_to 99.99 leaves what lies between 99.99 and 100 to the next tier.
func (l *linter) tierBounds(d, says *rateDef) {
	whole := Aggregation(says.Aggregation) == AggregationCount || says.Rounding.Mode != "" && says.Rounding.Precision <= 0
	for i := range d.Tiers {
		t := &d.Tiers[i]
		if t.UpTo == nil {
			continue
		}
		next, decimals := roundAbove(*t.UpTo)
		if next.IsZero() || d.Bounds == boundsHalfOpen && decimals == 0 || whole && decimals == 0 {
			continue
		}
		say := l.note // 99 may well be the last whole unit of the tier
		if decimals > 0 {
			say = l.warn
		}
		advice := fmt.Sprintf("write %s, which the tier then includes; with bounds: half_open the next tier begins with it", next)
		say("tier-gap", t.at.member("up_to"), advice, "ends just below %s: a quantity between %s and %s is priced in the next tier", next, t.UpTo, next)
	}
}

// roundAbove gives the round number that a bound of nines lies just below: 100 for 99 and 99.99; zero: none. decimals is how many the bound has.
func roundAbove(d money.Decimal) (next money.Decimal, decimals int) {
	text := d.String()
	whole, fraction, _ := strings.Cut(text, ".")
	if strings.Trim(fraction, "9") != "" || fraction == "" && !strings.HasSuffix(whole, "9") || len(fraction) == 1 || fraction == "" && len(whole) < 2 {
		return next, 0
	}
	places := 0
	step := money.One
	if places = len(fraction); places > 0 {
		step = money.MustParse("0." + strings.Repeat("0", places-1) + "1")
	}
	next, err := d.Add(step)
	if err != nil {
		return money.Decimal{}, 0
	}
	return next, places
}

// volumeSteps notes where one unit more costs less in all, which is what a lower price for all units does.
func (l *linter) volumeSteps(d *rateDef, currency string) {
	for i := 1; i < len(d.Tiers); i++ {
		before, t := &d.Tiers[i-1], &d.Tiers[i]
		cost := func(t *tierDef) (money.Decimal, error) {
			v, err := t.UnitPrice.Mul(*before.UpTo)
			if err != nil {
				return v, err
			}
			return v.Add(t.FlatPrice)
		}
		full, err := cost(before)
		less, err2 := cost(t)
		if err != nil || err2 != nil || full.Cmp(less) <= 0 {
			continue
		}
		l.note("volume-step", &t.at, "leave it if that is meant, else use the model graduated, or a flat_price that takes up the step",
			"tier %d is dearer than the next at the bound: %s units cost %s, and just above it all of them %s", i, before.UpTo, amountText(full, currency), amountText(less, currency))
	}
}
