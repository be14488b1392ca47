package price

import (
	"errors"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// With prorate: day, units count from the day on which they come to the end of the period. A state keeps what each day added; the tiers follow
// from all units, the charge from the part of the period for which they were there. Units of a day are added up first and days follow one
// another, so the order of arrival does not matter. Units of an earlier rate that did not keep days count for the whole period.

// Day is what one day of the period added.
type Day struct {
	Left  int64 // days from it to the end of the period, itself among them
	Units money.Decimal
}

var errOtherPeriod = errors.New("units by day belong to periods of different length: they cannot be added up")

// addDay adds one more event of the quantity q, on its day.
func (s *State) addDay(q money.Decimal, in *Input) (err error) {
	if in.Period.Start == catalog.Always || in.Period.End == catalog.Never || in.Period.End <= in.Period.Start {
		return ErrNoPeriod
	}
	zone := in.Zone
	if zone == nil {
		zone = time.UTC
	}
	first, end := dayOf(in.Period.Start, zone), dayAfter(&in.Period, zone)
	day := min(max(dayOf(in.Time, zone), first), end-1)
	if s.Rest, err = mergeDays(s.Rest, &Rest{Days: []Day{{Left: end - day, Units: q}}, Length: end - first}); err != nil {
		return err
	}
	return s.add(q)
}

// dayAfter is the first day that no part of the period lies in.
func dayAfter(p *catalog.Period, zone *time.Location) int64 { return dayOf(p.End-1, zone) + 1 }

// daysOf counts the days of the calendar that a part of the period lies in, however many hours they have.
func daysOf(p catalog.Period, zone *time.Location) int64 {
	return dayAfter(&p, zone) - dayOf(p.Start, zone)
}

// dayOf numbers the days of the zone.
func dayOf(t int64, zone *time.Location) int64 {
	y, m, d := time.Unix(0, t).In(zone).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / (24 * 60 * 60)
}

func (r *Rest) hasDays() bool { return r != nil && r.Days != nil }

// mergeDays adds up day by day. A day whose units come to none stays: it was the end of a day at that position.
func mergeDays(a, b *Rest) (*Rest, error) {
	switch {
	case !a.hasDays():
		return b, nil
	case !b.hasDays():
		return a, nil
	case a.Length != b.Length:
		return nil, errOtherPeriod
	}
	sum := &Rest{Days: make([]Day, 0, len(a.Days)+1), Length: a.Length}
	i := 0
	for _, day := range b.Days {
		for i < len(a.Days) && a.Days[i].Left > day.Left {
			sum.Days = append(sum.Days, a.Days[i])
			i++
		}
		if i < len(a.Days) && a.Days[i].Left == day.Left {
			var err error
			if day.Units, err = day.Units.Add(a.Days[i].Units); err != nil {
				return nil, err
			}
			i++
		}
		sum.Days = append(sum.Days, day)
	}
	sum.Days = append(sum.Days, a.Days[i:]...)
	return sum, nil
}

// dayWalk goes from day to day: the position, which is the quantity that the rate charges for, moves from from to to.
type dayWalk struct {
	rate     *catalog.Rate
	days     []Day
	length   int64
	undated  money.Decimal
	begun    bool
	units    money.Decimal // of all days so far
	from, to money.Decimal
	left     int64
	err      error
}

func walkDays(r *catalog.Rate, s *State) dayWalk {
	w := dayWalk{rate: r, length: 1, undated: s.Sum}
	if s.Rest.hasDays() {
		w.days, w.length = s.Rest.Days, s.Rest.Length
		for i := range w.days {
			if w.undated, w.err = w.undated.Sub(w.days[i].Units); w.err != nil {
				break
			}
		}
	}
	return w
}

// next goes to the next day; false: there is none, or an error.
func (w *dayWalk) next() bool {
	var units money.Decimal
	switch {
	case w.err != nil:
		return false
	case !w.begun && (!w.undated.IsZero() || len(w.days) == 0):
		w.left, units = w.length, w.undated
		if len(w.days) > 0 && w.days[0].Left == w.length {
			units, w.err = units.Add(w.days[0].Units)
			w.days = w.days[1:]
		}
	case len(w.days) > 0:
		w.left, units, w.days = w.days[0].Left, w.days[0].Units, w.days[1:]
	default:
		return false
	}
	w.begun, w.from = true, w.to
	if w.err == nil {
		w.units, w.err = w.units.Add(units)
	}
	if w.err == nil {
		if w.to, w.err = totalQuantity(&w.rate.Rounding, w.units); w.err == nil {
			w.to, w.err = beyondIncluded(w.rate, w.to)
		}
	}
	return w.err == nil
}

// overlap gives the part of the tier between two positions. What lies below zero is the first tier's.
func overlap(r *catalog.Rate, tier int, low, high money.Decimal) (part money.Decimal, err error) {
	if tier > 0 {
		low = larger(low, r.Tiers[tier-1].UpTo)
	}
	if !r.Tiers[tier].Last && r.Tiers[tier].UpTo.Cmp(high) < 0 {
		high = r.Tiers[tier].UpTo
	}
	if high.Cmp(low) <= 0 {
		return money.Decimal{}, nil
	}
	return high.Sub(low)
}

// moved gives the part of the tier that the day adds, below zero where it takes back.
func (w *dayWalk) moved(tier int) (money.Decimal, error) {
	if w.to.Cmp(w.from) >= 0 {
		return overlap(w.rate, tier, w.from, w.to)
	}
	part, err := overlap(w.rate, tier, w.to, w.from)
	return part.Neg(), err
}

// reachedBy gives the tier whose flat price is due at the position, -1: none.
func reachedBy(r *catalog.Rate, q money.Decimal) int {
	if q.IsZero() && r.ChargeFlatAtZero {
		return 0
	}
	return lastReached(r, q)
}

// proratedGraduatedTotal: each day moves the position through the tiers, each part at the tier's price for what is left of the period; the
// flat price of a tier that was reached at the end of a day stays due.
func proratedGraduatedTotal(r *catalog.Rate, s State) (money.Decimal, error) {
	if len(r.Tiers) == 0 {
		return money.Decimal{}, noTiers(r)
	}
	w := walkDays(r, &s)
	return proratedGraduated(&w)
}

func proratedGraduated(w *dayWalk) (money.Decimal, error) {
	r := w.rate
	var sum money.Wide // times the days of the period
	reached := -1
	for w.next() {
		left := money.FromInt(w.left)
		for i := range r.Tiers {
			part, err := w.moved(i)
			if err == nil && part.IsZero() { // of most tiers on most days
				continue
			}
			if err == nil {
				part, err = part.Mul(left)
			}
			if err != nil {
				return money.Decimal{}, err
			}
			sum.AddProduct(part, r.Tiers[i].UnitPrice)
		}
		reached = max(reached, reachedBy(r, w.to))
	}
	if w.err != nil {
		return money.Decimal{}, w.err
	}
	length := money.FromInt(w.length)
	for i := range reached + 1 {
		sum.AddProduct(r.Tiers[i].FlatPrice, length)
	}
	return notNegative(sum, w.length)
}

func notNegative(sum money.Wide, days int64) (money.Decimal, error) {
	total, err := sum.Quo(days)
	if total.Sign() < 0 {
		return money.Decimal{}, nil
	}
	return total, err
}

// proratedVolumeTotal: the tier follows from the units at the end; all units cost its price, for what was left of the period.
func proratedVolumeTotal(r *catalog.Rate, s State) (money.Decimal, error) {
	if len(r.Tiers) == 0 {
		return money.Decimal{}, noTiers(r)
	}
	w := walkDays(r, &s)
	var unitDays money.Decimal
	for w.next() {
		units, err := w.to.Sub(w.from)
		if err == nil {
			units, err = units.Mul(money.FromInt(w.left))
		}
		if err == nil {
			unitDays, err = unitDays.Add(units)
		}
		if err != nil {
			return money.Decimal{}, err
		}
	}
	if w.err != nil {
		return money.Decimal{}, w.err
	}
	return proratedVolume(r, w.to, unitDays, w.length)
}

// proratedVolume prices units times days in the tier of the full units.
func proratedVolume(r *catalog.Rate, full, unitDays money.Decimal, days int64) (money.Decimal, error) {
	tier := &r.Tiers[max(0, lastReached(r, full))]
	var sum money.Wide
	sum.AddProduct(unitDays, tier.UnitPrice)
	if reachedBy(r, full) >= 0 {
		sum.AddProduct(tier.FlatPrice, money.FromInt(days))
	}
	return notNegative(sum, days)
}

// proratedTerms spells out either: a term a day and tier.
func proratedTerms(r *catalog.Rate, s State) []term {
	total := proratedGraduatedTotal
	if r.Model == catalog.ModelVolume {
		total = proratedVolumeTotal
	}
	if amount, err := total(r, s); err != nil || amount.IsZero() {
		return nil // nothing is due, or less than nothing
	}
	w := walkDays(r, &s)
	end := walkDays(r, &s)
	for end.next() {
	}
	all := max(0, lastReached(r, end.to))
	var terms []term
	reached := reachedBy(r, end.to)
	for w.next() {
		if r.Model == catalog.ModelVolume {
			if units, err := w.to.Sub(w.from); err == nil && !units.IsZero() {
				terms = append(terms, w.term("all units at "+tierLabel(r, all), all, units, r.Tiers[all].UnitPrice))
			}
			continue
		}
		for i := range r.Tiers {
			if part, err := w.moved(i); err == nil && !part.IsZero() {
				terms = append(terms, w.term(tierLabel(r, i), i, part, r.Tiers[i].UnitPrice))
			}
		}
		reached = max(reached, reachedBy(r, w.to))
	}
	first := 0
	if r.Model == catalog.ModelVolume {
		first = reached
	}
	for i := max(0, first); i <= reached; i++ {
		if !r.Tiers[i].FlatPrice.IsZero() {
			terms = append(terms, flatTerm(r, i))
		}
	}
	return terms
}

// term is of units that count for what is left of the period.
func (w *dayWalk) term(label string, tier int, units, price money.Decimal) term {
	t := term{label: label, tier: tier + 1, units: units, price: price}
	if w.left < w.length {
		t.left, t.of = w.left, w.length
	}
	return t
}
