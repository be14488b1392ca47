package catalog

import (
	"math"
	"time"
)

// Period is a billing period, half open.
type Period struct{ Start, End int64 }

// Contains reports whether the instant lies in the period.
func (p Period) Contains(t int64) bool { return p.Start <= t && t < p.End }

// The rhythms of billing periods.
const (
	EveryDay       = "daily"
	EveryWeek      = "weekly"
	EveryTwoWeeks  = "biweekly"
	EveryMonth     = "monthly"
	EveryQuarter   = "quarterly"
	EveryYear      = "yearly"
	EveryByHand    = "manual" // one period until a later term ends it
	defaultCycle   = EveryMonth
	defaultAnchor  = 1
	twoWeeks       = 14
	shortestPeriod = 27 * time.Hour // more than the distance between any two zones
	shortestDay    = 12 * time.Hour
)

// earliest and latest bound the instants for which there are periods: the years 1700 and 2250.
var (
	earliest = time.Date(1700, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()
	latest   = time.Date(2250, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()
)

// periodAt gives the cycle's natural period that contains t: local midnights of the zone. Days of
// 23 or 25 hours, anchors beyond a month's end and missing midnights are what the zone makes them.
func (c Cycle) periodAt(t int64, zone *time.Location) Period {
	if c.Every == EveryByHand {
		return Period{Always, Never}
	}
	if t < earliest || t > latest { // usage is never there, but nothing may overflow
		if p := c.periodAt(min(max(t, earliest), latest), zone); t < p.Start {
			return Period{Always, p.Start}
		} else if t >= p.End {
			return Period{p.End, Never}
		} else {
			return p
		}
	}
	n := c.indexOf(time.Unix(0, t).In(zone))
	// The index follows from the local date, which can run backwards when a clock is set back
	// over midnight; the periods themselves tile the time, so a step or two corrects the guess.
	for c.startOf(n, zone) > t {
		n--
	}
	for c.startOf(n+1, zone) <= t {
		n++
	}
	return Period{c.startOf(n, zone), c.startOf(n+1, zone)}
}

func (c Cycle) anchor() int { return max(c.AnchorDay, 1) }

// indexOf numbers the periods: days or weeks since the epoch, or months, quarters, years.
func (c Cycle) indexOf(local time.Time) int {
	day := civilDay(local.Year(), local.Month(), local.Day())
	month := local.Year()*12 + int(local.Month()) - 1
	switch c.Every {
	case EveryDay:
		return day
	case EveryWeek:
		return floorDiv(day-c.firstWeek(), 7)
	case EveryTwoWeeks:
		return floorDiv(day-c.firstWeek(), twoWeeks)
	case EveryQuarter:
		return floorDiv(month, 3)
	case EveryYear:
		return local.Year()
	default:
		return month
	}
}

// startOf gives the first instant of the period of that number.
func (c Cycle) startOf(n int, zone *time.Location) int64 {
	switch c.Every {
	case EveryDay:
		return dayStart(1970, time.January, 1+n, zone)
	case EveryWeek:
		return dayStart(1970, time.January, 1+c.firstWeek()+7*n, zone)
	case EveryTwoWeeks:
		return dayStart(1970, time.January, 1+c.firstWeek()+twoWeeks*n, zone)
	case EveryQuarter:
		return c.anchoredMonth(3*n, zone)
	case EveryYear:
		return c.anchoredMonth(12*n, zone)
	default:
		return c.anchoredMonth(n, zone)
	}
}

// firstWeek is the day number of the anchor's weekday in the week of Monday, 5 January 1970, from
// which weeks are counted.
func (c Cycle) firstWeek() int { return 4 + c.anchor() - 1 }

// anchoredMonth is the anchor day of a month, or the month's last day where it is shorter.
func (c Cycle) anchoredMonth(month int, zone *time.Location) int64 {
	year, m := floorDiv(month, 12), time.Month(month-12*floorDiv(month, 12)+1)
	last := time.Date(year, m+1, 0, 0, 0, 0, 0, time.UTC).Day()
	return dayStart(year, m, min(c.anchor(), last), zone)
}

func civilDay(year int, month time.Month, day int) int {
	return int(time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

func floorDiv(a, b int) int {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

// dayStart gives the first instant of a local day: midnight, its first occurrence where clocks go
// back over it, or the end of the gap where clocks skip it. The day may lie outside the month.
func dayStart(year int, month time.Month, day int, zone *time.Location) int64 {
	midnight := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	t := time.Date(year, month, day, 0, 0, 0, 0, zone)
	from, to := t.ZoneBounds()
	_, offset := t.Zone()
	if wall := t.Unix() + int64(offset); wall != midnight.Unix() { // skipped: time.Date picked a side
		if wall < midnight.Unix() && !to.IsZero() {
			return saturate(to)
		}
		if wall > midnight.Unix() && !from.IsZero() {
			return saturate(from)
		}
	}
	if !from.IsZero() {
		_, before := from.Add(-1).Zone()
		if earlier := midnight.Add(-time.Duration(before) * time.Second); earlier.Before(from) && earlier.Before(t) {
			t = earlier
		}
	}
	return saturate(t)
}

// saturate gives nanoseconds since the epoch, Always or Never where they do not fit.
func saturate(t time.Time) int64 {
	const first, last = math.MinInt64/1_000_000_000 + 1, math.MaxInt64/1_000_000_000 - 1
	switch s := t.Unix(); {
	case s < first:
		return Always
	case s > last:
		return Never
	}
	return t.UnixNano()
}

// periodAt gives the account's own billing period that contains t: the natural one of the term in
// force, cut so that the first period of a term starts where the last one ended. A first period
// that would be shorter than any distance between zones is joined with the next.
func (a *Account) periodAt(t int64) Period {
	i := a.termAt(t)
	term := &a.Billing[i]
	end := int64(Never)
	if i+1 < len(a.Billing) {
		end = a.Billing[i+1].Start
	}
	if term.Start == Always {
		p := term.Cycle.periodAt(t, term.Zone)
		return Period{p.Start, min(p.End, end)}
	}
	first := term.Cycle.periodAt(term.Start, term.Zone)
	if first.End-term.Start < int64(term.Cycle.shortest()) { // no natural period is that short
		first.End = term.Cycle.periodAt(first.End, term.Zone).End
	}
	if t < first.End {
		return Period{term.Start, min(first.End, end)}
	}
	p := term.Cycle.periodAt(t, term.Zone)
	return Period{p.Start, min(p.End, end)}
}

func (c Cycle) shortest() time.Duration {
	if c.Every == EveryDay {
		return shortestDay
	}
	return shortestPeriod
}

// termAt gives the index of the billing term in force at t.
func (a *Account) termAt(t int64) int {
	i := len(a.Billing) - 1
	for i > 0 && a.Billing[i].Start > t {
		i--
	}
	return i
}

// ZoneAt gives the time zone in which the account's billing periods, and their days, are at t.
func (a *Account) ZoneAt(t int64) *time.Location { return a.Billing[a.termAt(t)].Zone }
