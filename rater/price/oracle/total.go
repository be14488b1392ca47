package oracle

import (
	"maps"
	"math/big"
	"slices"
	"time"
)

// used is an event that was accepted, with what its rate made of it.
type used struct {
	event    Event
	rate     int // the place of its rate
	cell     cell
	quantity *big.Rat
	value    *big.Rat // the money value
	charge   *big.Rat // as it was made, for rates in log order; else 0
	ends     *big.Rat // split: false: where it ends
}

// limit is what quantities and amounts may be at most, either side of zero.
var limit = ten(15)

func (l *line) within(x *big.Rat, what string) *big.Rat {
	if new(big.Rat).Abs(x).Cmp(limit) > 0 && l.beyond == "" {
		l.beyond = what + " passes 10^15"
	}
	return x
}

// total is Total of the usage under rate r, capped and rounded.
func (l *line) total(r *Rate, of []*used) *big.Rat {
	if len(of) == 0 {
		return num(0)
	}
	l.within(sum(of, func(e *used) *big.Rat { return e.quantity }), "a sum of quantities")
	t := l.within(l.exact(r, of), "a total")
	if r.Maximum != nil {
		t = least(t, r.Maximum)
	}
	return Round(t, decimals)
}

// exact is Total before the maximum and the rounding.
func (l *line) exact(r *Rate, of []*used) *big.Rat {
	switch {
	case r.inLogOrder():
		return sum(of, func(e *used) *big.Rat { return e.charge })
	case r.Model == flat:
		return r.Amount
	case r.Model == percentage:
		v := l.within(r.aggregate(l.usage, of), "a sum of money values")
		return add(percent(r.Percent, v), mul(or(r.Fixed), num(int64(len(of)))))
	case r.Model == capacity:
		return r.ofCapacity(of)
	case r.ProrateDay:
		return most(l.within(r.byDay(l.moves(r, of)), "a total by day"), num(0))
	}
	q := l.within(r.billed(l.within(r.aggregate(l.usage, of), "a quantity")), "a rounded quantity")
	if r.Model == formula {
		return l.ofFormula(r.Formula, q, of)
	}
	return r.of(q)
}

// of is the price of a quantity, for the models that need no more than it.
func (r *Rate) of(q *big.Rat) *big.Rat {
	switch r.Model {
	case perUnit:
		return mul(q, r.UnitPrice)
	case dynamic:
		return q
	case graduated, graduatedPercentage:
		return add(r.byTier(q), r.flats(r.reached(q)))
	case volume:
		t := r.Tiers[r.tierOf(q)]
		price := mul(q, t.UnitPrice)
		if r.reached(q) > 0 {
			price = add(price, or(t.Flat))
		}
		return price
	case packaged:
		above := sub(q, or(r.Free))
		if above.Sign() <= 0 {
			return num(0)
		}
		return mul(ceilInt(div(above, r.Size)), r.Price)
	case blockGraduated:
		return r.blocksByTier(q)
	case blockVolume:
		if q.Sign() <= 0 {
			return num(0)
		}
		t := r.Tiers[r.tierOf(q)]
		return mul(ceilInt(div(q, t.BlockSize)), t.Price)
	}
	panic("oracle: no model " + r.Model)
}

// ofFormula is the price of a quantity on the line of these events.
func (l *line) ofFormula(f *Formula, q *big.Rat, of []*used) *big.Rat {
	unit := f.Then
	if f.Group != "" && of[0].event.Attributes[f.Group] != f.Value {
		unit = f.Else
	}
	days := int64(0)
	for day := l.usage.Start; day.Before(l.usage.End); day = time.Date(day.Year(), day.Month(), day.Day()+1, 12, 0, 0, 0, l.usage.Zone) {
		days++
	}
	total := num(0)
	for _, part := range [][2]*big.Rat{{q, unit}, {num(int64(len(of))), f.Events}, {num(days), f.Days}} {
		total = l.within(add(total, l.within(Round(mul(part[0], part[1]), decimals), "a product")), "a sum")
	}
	return total
}

func percent(rate, x *big.Rat) *big.Rat { return mul(div(rate, num(100)), x) }

// unit is the price of one unit in a tier.
func (t *Tier) unit() *big.Rat {
	if t.Percent != nil {
		return div(t.Percent, num(100))
	}
	return t.UnitPrice
}

// bounds are the quantities at which the tiers end, one less than there are tiers.
func (r *Rate) bounds() []*big.Rat {
	var ends []*big.Rat
	end := num(0)
	for _, t := range r.Tiers[:len(r.Tiers)-1] {
		if t.BlockSize != nil {
			end = add(end, mul(t.BlockSize, t.MaxBlocks))
		} else {
			end = t.UpTo
		}
		ends = append(ends, end)
	}
	return ends
}

// tierOf is the tier that a quantity falls in.
func (r *Rate) tierOf(q *big.Rat) int {
	tier := 0
	for i, end := range r.bounds() {
		if c := q.Cmp(end); c > 0 || c == 0 && r.HalfOpen {
			tier = i + 1
		}
	}
	return tier
}

// reached is how many tiers a quantity has reached: none below zero, and at zero the first one only if its flat price is due there.
func (r *Rate) reached(q *big.Rat) int {
	if q.Sign() < 0 || q.Sign() == 0 && !r.ZeroFlat {
		return 0
	}
	return r.tierOf(q) + 1
}

func (r *Rate) flats(tiers int) *big.Rat {
	s := num(0)
	for _, t := range r.Tiers[:tiers] {
		s = add(s, or(t.Flat))
	}
	return s
}

// byTier is each tier's units at its price, without flat prices. What is below zero goes at the first tier's.
func (r *Rate) byTier(q *big.Rat) *big.Rat {
	if q.Sign() <= 0 {
		return mul(q, r.Tiers[0].unit())
	}
	s, from, ends := num(0), num(0), r.bounds()
	for i := range r.Tiers {
		to := q
		if i < len(ends) {
			to = least(q, ends[i])
		}
		if to.Cmp(from) > 0 {
			s = add(s, mul(sub(to, from), r.Tiers[i].unit()))
			from = to
		}
	}
	return s
}

func (r *Rate) blocksByTier(q *big.Rat) *big.Rat {
	s := num(0)
	for _, t := range r.Tiers {
		if q.Sign() <= 0 {
			break
		}
		here := q
		if t.MaxBlocks != nil {
			here = least(q, mul(t.BlockSize, t.MaxBlocks))
		}
		s = add(s, mul(ceilInt(div(here, t.BlockSize)), t.Price))
		q = sub(q, here)
	}
	return s
}

// ofCapacity is the first tier whose every limit holds, the last if none does.
func (r *Rate) ofCapacity(of []*used) *big.Rat {
	quantity := map[string]*big.Rat{}
	for _, e := range of {
		quantity[e.event.Product] = add(or(quantity[e.event.Product]), e.quantity)
	}
	for _, t := range r.Tiers {
		holds := true
		for product, most := range t.Limits {
			holds = holds && or(quantity[product]).Cmp(most) <= 0
		}
		if holds {
			return t.Price
		}
	}
	return r.Tiers[len(r.Tiers)-1].Price
}

// move is the units by which a day changes what is billed, and as much of them as the rest of the period is.
type move struct{ units, prorated *big.Rat }

// moves are what the days change, in their order. Units of a rate that does not count days are there from the first.
func (l *line) moves(r *Rate, of []*used) []move {
	first, end := day(l.usage.Start, l.usage.Zone), day(l.usage.End, l.usage.Zone)
	units := map[int]*big.Rat{}
	for _, e := range of {
		d := first
		if e.cell.rate.ProrateDay {
			d = day(e.event.Time, l.usage.Zone)
		}
		units[d] = add(or(units[d]), e.quantity)
	}
	var m []move
	so, billed := num(0), num(0)
	for _, d := range slices.Sorted(maps.Keys(units)) {
		so = l.within(add(so, units[d]), "units by day")
		next := l.within(r.billed(so), "units by day, rounded")
		moved := sub(next, billed)
		m = append(m, move{moved, mul(moved, big.NewRat(int64(end-d), int64(end-first)))})
		billed = next
	}
	return m
}

// day numbers the local days.
func day(t time.Time, zone *time.Location) int {
	y, m, d := t.In(zone).Date()
	return int(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

// prorated is the price of the units by day: a negative total is zero.
func (r *Rate) prorated(days []move) *big.Rat { return most(r.byDay(days), num(0)) }

// byDay is what the units by day come to, flat prices not prorated.
func (r *Rate) byDay(days []move) *big.Rat {
	position, total, tiers := num(0), num(0), 0
	if r.Model == volume {
		units := num(0)
		for _, m := range days {
			position, units = add(position, m.units), add(units, m.prorated)
		}
		t := r.Tiers[r.tierOf(position)]
		total = mul(units, t.UnitPrice)
		if r.reached(position) > 0 {
			total = add(total, or(t.Flat))
		}
		return total
	}
	for _, m := range days {
		next := add(position, m.units)
		if m.units.Sign() != 0 {
			factor := div(m.prorated, m.units)
			total = add(total, mul(sub(r.byTier(next), r.byTier(position)), factor))
		}
		position, tiers = next, max(tiers, r.reached(next))
	}
	return add(total, r.flats(tiers))
}
