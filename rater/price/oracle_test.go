package price

import (
	"cmp"
	"math/big"
	"slices"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// The oracle: slow and obvious, with fractions, written from pricing.md §3 to §5 and not from the
// code. Its state is the list of the events themselves.

type oracleEvent struct {
	quantity money.Decimal
	money    money.Decimal // instead of the quantity where hasMoney
	hasMoney bool
	id       string
	time     int64
	billed   *big.Rat // the quantity as the event's own rate rounds it
	charge   *big.Rat // as it was made, of rates in log order
	ended    *big.Rat // split: false: the position at which it ended
}

type oracleSegment struct {
	rate   *catalog.Rate
	events []oracleEvent
}

// oraclePeriod is the usage period of all events: October 2026 in Berlin, 31 days and an hour.
var oraclePeriod = catalog.Period{Start: 1790805600e9, End: 1793487600e9}

func rat(d money.Decimal) *big.Rat {
	r, ok := new(big.Rat).SetString(d.Fixed())
	if !ok {
		panic(d.Fixed())
	}
	return r
}

func ratInt(n int64) *big.Rat { return new(big.Rat).SetInt64(n) }

func ratPlus(a, b *big.Rat) *big.Rat  { return new(big.Rat).Add(a, b) }
func ratMinus(a, b *big.Rat) *big.Rat { return new(big.Rat).Sub(a, b) }
func ratTimes(a, b *big.Rat) *big.Rat { return new(big.Rat).Mul(a, b) }

// oracleFloor gives the largest whole number at most x.
func oracleFloor(x *big.Rat) *big.Rat {
	return new(big.Rat).SetInt(new(big.Int).Div(x.Num(), x.Denom()))
}

func oracleCeil(x *big.Rat) *big.Rat {
	return new(big.Rat).Neg(oracleFloor(new(big.Rat).Neg(x)))
}

// oracleRound rounds to a multiple of 10^-places.
func oracleRound(x *big.Rat, places int, mode money.RoundingMode) *big.Rat {
	unit := ratInt(1)
	for range places {
		unit.Quo(unit, ratInt(10))
	}
	for range -places {
		unit.Mul(unit, ratInt(10))
	}
	n := new(big.Rat).Quo(x, unit)
	half := big.NewRat(1, 2)
	switch mode {
	case money.RoundNone:
		return x
	case money.RoundCeil:
		n = oracleCeil(n)
	case money.RoundFloor:
		n = oracleFloor(n)
	case money.RoundHalfUp:
		if n.Sign() >= 0 {
			n = oracleFloor(ratPlus(n, half))
		} else {
			n = oracleCeil(ratMinus(n, half))
		}
	case money.RoundHalfEven:
		below := oracleFloor(n)
		off := ratMinus(n, below).Cmp(half)
		if off > 0 || (off == 0 && below.Num().Bit(0) == 1) {
			below.Add(below, ratInt(1))
		}
		n = below
	}
	return n.Mul(n, unit)
}

// oracleKind names what the states of a rate hold: tiers continue within a kind.
func oracleKind(r *catalog.Rate) string {
	switch r.Model {
	case catalog.ModelPercentage, catalog.ModelGraduatedPercentage, catalog.ModelDynamic:
		return "money"
	}
	switch r.Aggregation {
	case catalog.AggregationMax, catalog.AggregationLatest, catalog.AggregationTimeWeighted:
		return string(r.Aggregation)
	}
	return "quantity"
}

// oracleQuantity aggregates events and rounds.
func oracleQuantity(r *catalog.Rate, segments []oracleSegment) *big.Rat {
	type use struct {
		oracleEvent
		q *big.Rat
	}
	var uses []use
	for _, s := range segments {
		for _, event := range s.events {
			q := oracleBilled(s.rate, rat(event.quantity)) // as its own segment's rate rounds it
			if oracleKind(r) == "money" {
				q = oracleValue(event)
			}
			uses = append(uses, use{event, q})
		}
	}
	q := ratInt(0)
	switch r.Aggregation {
	case catalog.AggregationCount:
		q = ratInt(int64(len(uses)))
	case catalog.AggregationMax:
		for _, u := range uses {
			if u.q.Cmp(q) > 0 {
				q = u.q
			}
		}
	case catalog.AggregationLatest:
		slices.SortFunc(uses, func(a, b use) int {
			return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.id, b.id), a.q.Cmp(b.q))
		})
		q = uses[len(uses)-1].q
	case catalog.AggregationTimeWeighted:
		slices.SortFunc(uses, func(a, b use) int { return cmp.Compare(a.time, b.time) })
		level, from := ratInt(0), oraclePeriod.Start
		for i := range len(uses) + 1 {
			until := oraclePeriod.End
			if i < len(uses) {
				until = uses[i].time
			}
			q = ratPlus(q, ratTimes(level, ratInt(until-from)))
			if from = until; i < len(uses) {
				level = ratPlus(level, uses[i].q)
			}
		}
		q = oracleRound(q.Quo(q, ratInt(oraclePeriod.End-oraclePeriod.Start)), 12, money.RoundHalfUp)
	default:
		for _, u := range uses {
			q = ratPlus(q, u.q)
		}
	}
	if !r.Rounding.PerEvent {
		q = oracleRound(q, r.Rounding.Precision, r.Rounding.Mode)
	}
	return q
}

// oracleValue gives the money value of an event.
func oracleValue(e oracleEvent) *big.Rat {
	if e.hasMoney {
		return rat(e.money)
	}
	return rat(e.quantity)
}

// oracleBilled gives the quantity of an event after rounding and telecom increments.
func oracleBilled(r *catalog.Rate, q *big.Rat) *big.Rat {
	if r.Rounding.PerEvent {
		q = oracleRound(q, r.Rounding.Precision, r.Rounding.Mode)
	}
	next := rat(r.Rounding.Next)
	if next.Sign() == 0 || q.Sign() == 0 {
		return q
	}
	size, billed := new(big.Rat).Abs(q), rat(r.Rounding.First)
	if size.Cmp(billed) > 0 {
		steps := oracleCeil(new(big.Rat).Quo(ratMinus(size, billed), next))
		billed = ratPlus(billed, ratTimes(steps, next))
	}
	if q.Sign() < 0 {
		billed.Neg(billed)
	}
	return billed
}

// oracleTotal prices all the events of the segments under r.
func oracleTotal(r *catalog.Rate, segments []oracleSegment) *big.Rat {
	var same []oracleSegment
	events := 0
	charges := ratInt(0)
	for _, s := range segments {
		if oracleKind(s.rate) == oracleKind(r) {
			same = append(same, s)
			events += len(s.events)
			for _, e := range s.events {
				if e.charge != nil {
					charges.Add(charges, e.charge)
				}
			}
		}
	}
	if segments = same; events == 0 {
		return ratInt(0)
	}
	total := charges
	if !oracleInLogOrder(r) {
		total = oracleUncapped(r, segments, events)
	}
	total = oracleRound(total, 12, money.RoundHalfUp)
	if r.Maximum.Sign() > 0 && total.Cmp(rat(r.Maximum)) > 0 {
		return rat(r.Maximum)
	}
	return total
}

// oracleUncapped prices by the method, exactly.
func oracleUncapped(r *catalog.Rate, segments []oracleSegment, events int) *big.Rat {
	if r.ProrateByDay {
		return oracleByDay(r, segments)
	}
	q := oracleQuantity(r, segments)
	if q.Sign() > 0 {
		if q = ratMinus(q, rat(r.Included)); q.Sign() < 0 {
			q = ratInt(0)
		}
	}
	total := ratInt(0)
	switch r.Model {
	case catalog.ModelFlat:
		total = rat(r.Amount)
	case catalog.ModelPerUnit:
		total = ratTimes(q, rat(r.UnitPrice))
	case catalog.ModelPackage:
		if beyond := ratMinus(q, rat(r.Free)); beyond.Sign() > 0 {
			total = ratTimes(oracleCeil(beyond.Quo(beyond, rat(r.Size))), rat(r.Price))
		}
	case catalog.ModelGraduated, catalog.ModelVolume, catalog.ModelGraduatedPercentage:
		total = oracleTiers(r, q)
	case catalog.ModelPercentage:
		total = ratPlus(oraclePercent(q, r.Percentage.Rate), ratTimes(ratInt(int64(events)), rat(r.Percentage.Fixed)))
	case catalog.ModelDynamic:
		total = q
	case catalog.ModelBlockGraduated, catalog.ModelBlockVolume:
		total = oracleBlocks(r, q)
	}
	return total
}

func oraclePercent(v *big.Rat, rate money.Decimal) *big.Rat {
	return new(big.Rat).Quo(ratTimes(v, rat(rate)), ratInt(100))
}

func oracleInLogOrder(r *catalog.Rate) bool {
	p := r.Percentage
	return r.WholeEvents || r.Model == catalog.ModelPercentage && (p.HasMin || p.HasMax || p.FreeEvents > 0 || p.FreeAmount.Sign() > 0)
}

// oracleCharge prices an event in log order, after what arrived before it: in earlier segments and in its own, of its kind.
func oracleCharge(r *catalog.Rate, earlier, own []oracleEvent, e *oracleEvent) {
	if r.WholeEvents {
		oracleWhole(r, earlier, own, e)
		return
	}
	before := slices.Concat(earlier, own)
	p, running := r.Percentage, ratInt(0)
	for _, b := range before {
		running.Add(running, oracleValue(b))
	}
	v := oracleValue(*e)
	freeEvents, freeAmount := p.FreeEvents > 0, rat(p.FreeAmount)
	if (!freeEvents || int64(len(before)) < p.FreeEvents) && (freeEvents || freeAmount.Sign() > 0) {
		after := ratPlus(running, v)
		if freeAmount.Sign() == 0 || (running.Cmp(freeAmount) <= 0 && after.Cmp(freeAmount) <= 0) {
			e.charge = ratInt(0)
			return
		}
		if running.Cmp(freeAmount) < 0 {
			running = freeAmount
		}
		if after.Cmp(freeAmount) < 0 {
			after = freeAmount
		}
		v = ratMinus(after, running)
	}
	charge := ratPlus(oraclePercent(v, p.Rate), rat(p.Fixed))
	if p.HasMin && charge.Cmp(rat(p.Min)) < 0 {
		charge = rat(p.Min)
	}
	if p.HasMax && charge.Cmp(rat(p.Max)) > 0 {
		charge = rat(p.Max)
	}
	e.charge = charge
}

// oracleWhole prices a whole event at the tier where it ends. A tier is reached where an event ended in it, and where the
// earlier segments' quantity lies in it.
func oracleWhole(r *catalog.Rate, earlier, own []oracleEvent, e *oracleEvent) {
	units := func(events ...oracleEvent) *big.Rat {
		sum := ratInt(0)
		for _, e := range events {
			if r.Aggregation == catalog.AggregationCount {
				sum.Add(sum, ratInt(1))
			} else {
				sum.Add(sum, e.billed)
			}
		}
		return sum
	}
	tier := func(q *big.Rat) int {
		if q.Sign() <= 0 {
			return -1
		}
		for i, tier := range r.Tiers {
			if tier.Last || q.Cmp(rat(tier.UpTo)) < 0 || (q.Cmp(rat(tier.UpTo)) == 0 && !r.HalfOpenBounds) {
				return i
			}
		}
		panic("no tier holds the quantity")
	}
	reached := tier(units(earlier...))
	for _, b := range slices.Concat(earlier, own) {
		if b.ended != nil {
			reached = max(reached, tier(b.ended))
		}
	}
	e.ended = ratPlus(ratPlus(units(earlier...), units(own...)), units(*e))
	e.charge = ratTimes(units(*e), rat(r.Tiers[max(tier(e.ended), 0)].UnitPrice))
	for i := reached + 1; i <= tier(e.ended); i++ {
		e.charge.Add(e.charge, rat(r.Tiers[i].FlatPrice))
	}
}

func oracleTiers(r *catalog.Rate, q *big.Rat) *big.Rat {
	if r.Model == catalog.ModelGraduatedPercentage { // units at a hundredth of the tier's percentage
		tiers := slices.Clone(r.Tiers)
		for i := range tiers {
			tiers[i].FlatPrice, tiers[i].UnitPrice = money.Zero, r.Tiers[i].UnitPrice
		}
		total := new(big.Rat).Quo(oracleTiers(&catalog.Rate{Model: catalog.ModelGraduated, Tiers: tiers, HalfOpenBounds: r.HalfOpenBounds}, q), ratInt(100))
		for i := range tiers {
			tiers[i].FlatPrice, tiers[i].UnitPrice = r.Tiers[i].FlatPrice, money.Zero
		}
		flat := &catalog.Rate{Model: catalog.ModelGraduated, Tiers: tiers, HalfOpenBounds: r.HalfOpenBounds, ChargeFlatAtZero: r.ChargeFlatAtZero}
		return total.Add(total, oracleTiers(flat, q))
	}
	first := r.Tiers[0]
	if q.Sign() < 0 {
		return ratTimes(q, rat(first.UnitPrice))
	}
	if q.Sign() == 0 {
		if r.ChargeFlatAtZero {
			return rat(first.FlatPrice)
		}
		return ratInt(0)
	}
	total, below := ratInt(0), ratInt(0)
	for _, tier := range r.Tiers {
		inside := tier.Last || q.Cmp(rat(tier.UpTo)) < 0 || (q.Cmp(rat(tier.UpTo)) == 0 && !r.HalfOpenBounds)
		if r.Model == catalog.ModelVolume {
			if inside {
				return ratPlus(ratTimes(q, rat(tier.UnitPrice)), rat(tier.FlatPrice))
			}
			continue
		}
		upper := q
		if !inside {
			upper = rat(tier.UpTo)
		}
		total.Add(total, ratTimes(ratMinus(upper, below), rat(tier.UnitPrice)))
		total.Add(total, rat(tier.FlatPrice))
		if inside {
			return total
		}
		below = upper
	}
	panic("no tier holds the quantity")
}

var oracleZone = func() *time.Location {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err)
	}
	return zone
}()

// oracleByDay walks the 31 days of October. Units of rates that do not count by day were there from the beginning.
func oracleByDay(r *catalog.Rate, segments []oracleSegment) *big.Rat {
	var days [32]*big.Rat // 0: from the beginning
	dated := false
	for _, s := range segments {
		for _, e := range s.events {
			day := 0
			if s.rate.ProrateByDay {
				day, dated = time.Unix(0, e.time).In(oracleZone).Day(), true
			}
			if days[day] == nil {
				days[day] = ratInt(0)
			}
			days[day].Add(days[day], oracleBilled(s.rate, rat(e.quantity)))
		}
	}
	if dated && days[0] != nil && days[0].Sign() == 0 {
		days[0] = nil
	}
	// price gives the units of a position in a tier; below zero all is the first tier's.
	units := func(position *big.Rat, tier int) *big.Rat {
		low, high := ratInt(0), position
		if tier > 0 {
			low = rat(r.Tiers[tier-1].UpTo)
		}
		if !r.Tiers[tier].Last && high.Cmp(rat(r.Tiers[tier].UpTo)) > 0 {
			high = rat(r.Tiers[tier].UpTo)
		}
		if high.Cmp(low) < 0 && tier > 0 {
			return ratInt(0)
		}
		return ratMinus(high, low)
	}
	falls := func(position *big.Rat) int { // -1: in no tier
		if position.Sign() < 0 || position.Sign() == 0 && !r.ChargeFlatAtZero {
			return -1
		}
		i := 0
		for ; i < len(r.Tiers)-1 && position.Sign() > 0; i++ {
			if c := position.Cmp(rat(r.Tiers[i].UpTo)); c < 0 || c == 0 && !r.HalfOpenBounds {
				break
			}
		}
		return i
	}
	all, position, highest := ratInt(0), ratInt(0), -1
	prorated, total := ratInt(0), ratInt(0)
	for day, added := range days {
		if added == nil {
			continue
		}
		share := big.NewRat(int64(32-max(day, 1)), 31)
		all.Add(all, added)
		next := oracleRound(new(big.Rat).Set(all), r.Rounding.Precision, r.Rounding.Mode)
		if r.Rounding.PerEvent {
			next = new(big.Rat).Set(all)
		}
		if next.Sign() > 0 {
			if next = ratMinus(next, rat(r.Included)); next.Sign() < 0 {
				next = ratInt(0)
			}
		}
		prorated.Add(prorated, ratTimes(ratMinus(next, position), share))
		for i, tier := range r.Tiers {
			moved := ratMinus(units(next, i), units(position, i))
			total.Add(total, ratTimes(ratTimes(moved, rat(tier.UnitPrice)), share))
		}
		position = next
		highest = max(highest, falls(position))
	}
	if r.Model == catalog.ModelVolume {
		i := falls(position)
		total = ratTimes(prorated, rat(r.Tiers[max(i, 0)].UnitPrice))
		if i >= 0 {
			total.Add(total, rat(r.Tiers[i].FlatPrice))
		}
	} else {
		for i := range highest + 1 {
			total.Add(total, rat(r.Tiers[i].FlatPrice))
		}
	}
	if total.Sign() < 0 {
		return ratInt(0)
	}
	return total
}

// oracleBlocks fills blocks one after another.
func oracleBlocks(r *catalog.Rate, q *big.Rat) *big.Rat {
	total, below := ratInt(0), ratInt(0)
	if q.Sign() <= 0 {
		return total
	}
	for _, tier := range r.Blocks {
		upper := ratPlus(below, ratTimes(rat(tier.Size), rat(tier.Count)))
		inside := tier.Last || q.Cmp(upper) < 0 || (q.Cmp(upper) == 0 && !(r.HalfOpenBounds && r.Model == catalog.ModelBlockVolume))
		if inside {
			upper = q
		}
		if r.Model == catalog.ModelBlockVolume {
			below, total = ratInt(0), ratInt(0) // the tiers before do not count
		}
		blocks := oracleCeil(new(big.Rat).Quo(ratMinus(upper, below), rat(tier.Size)))
		total.Add(total, ratTimes(blocks, rat(tier.Price)))
		if inside {
			return total
		}
		below = upper
	}
	panic("no tier holds the quantity")
}

// oracleLine is the sum of §3 over the segments, each as the difference of two totals.
func oracleLine(segments []oracleSegment) *big.Rat {
	sum, from := ratInt(0), 0
	for k, s := range segments {
		if s.rate.TiersRestart {
			from = k
		}
		sum.Add(sum, oracleTotal(s.rate, segments[from:k+1]))
		sum.Sub(sum, oracleTotal(s.rate, segments[from:k]))
	}
	return sum
}
