package rater

import "time"

// simCycle is the rhythm of all periods of a schedule.
type simCycle struct {
	every  string
	anchor int // as definitions have it
	days   int // that a long schedule takes
	pace   int // how much faster time passes
	name   string
}

// simCycles: mostly a day, in which most happens. No schedule takes longer than a rebuild of the live view looks back.
var simCycles = []simCycle{
	{"daily", 0, 4, 1, "a day"},
	{"weekly", 4, 21, 5, "a week"},
	{"weekly", 1, 21, 5, "a week"},
	{"monthly", 1, 36, 10, "a month"},
	{"monthly", 31, 36, 10, "a month"},
	{"monthly", 15, 36, 10, "a month"},
}

// simLongest is where time passes no faster than in periods of days.
const simLongest = simStart + 30*simDay

func (c *simCycle) definition() object {
	if c.anchor == 0 {
		return object{"every": c.every}
	}
	return object{"every": c.every, "anchor_day": c.anchor}
}

// at gives the period of an instant.
func (c *simCycle) at(t int64) (start, end int64) {
	today := t - ((t-simStart)%simDay+simDay)%simDay
	if c.every == "daily" {
		return today, today + simDay
	}
	day := time.Unix(0, today).UTC()
	var next time.Time
	switch c.every {
	case "weekly":
		for int(day.Weekday()) != c.anchor {
			day = day.AddDate(0, 0, -1)
		}
		next = day.AddDate(0, 0, 7)
	case "monthly":
		year, month := day.Year(), day.Month()
		if day.Before(c.inMonth(year, month)) {
			month--
		}
		day, next = c.inMonth(year, month), c.inMonth(year, month+1)
	}
	return day.UnixNano(), next.UnixNano()
}

// inMonth is the first day of the period that begins in a month, its last one where it has fewer days.
func (c *simCycle) inMonth(year int, month time.Month) time.Time {
	last := time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC)
	return last.AddDate(0, 0, min(0, c.anchor-last.Day()))
}

// end is that of the period that begins then.
func (c *simCycle) end(start int64) int64 {
	_, end := c.at(start)
	return end
}

// over gives the last period that has ended by then.
func (c *simCycle) over(t int64) (start, end int64) {
	end, _ = c.at(t)
	start, _ = c.at(end - 1)
	return start, end
}

// pass lets some hours pass, or days where periods are long.
func (w *world) pass(hours int) {
	if w.now < simLongest {
		hours *= w.cycle.pace
	}
	w.now += int64(hours) * simHour
}

// someHour is one from which prices may hold.
func (w *world) someHour() int64 { return simStart + int64(w.n(w.cycle.days*24))*simHour }
