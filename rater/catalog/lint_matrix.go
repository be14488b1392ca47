package catalog

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tollstream/tollstream/ledger/money"
)

// matrix finds events that no entry of a matrix prices, and entries that price none.
func (l *linter) matrix(d *rateDef) {
	l.shadowedEntries(d)
	if d.Default != nil {
		return
	}
	odd := len(l.found)
	times := false
	for i := range d.Dimensions {
		if x := &d.Dimensions[i]; !ofTime(x.By) || !times { // those of time are looked at together
			times = times || ofTime(x.By)
			l.uncovered(d, x)
		}
	}
	open := slices.ContainsFunc(d.Dimensions, func(x dimensionDef) bool { return x.By == "" || x.By == ByPrefix })
	if open && len(l.found) == odd {
		l.note("matrix-default", &d.at, "write a price for everything else as default, if there may be such usage",
			"has no default: usage that none of its prices matches is rejected (no_rate)")
	}
}

// others is the text of a match without some dimensions.
func (e *entryDef) others(without func(name string) bool) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(e.Match)) {
		if c := e.Match[name]; !without(name) {
			fmt.Fprintf(&b, "%q=%q,%q,%q;", name, c.values, c.from, c.to)
		}
	}
	return b.String()
}

// matches says whether the entry matches, as far as some dimensions are left aside, all that another one does.
func (e *entryDef) matches(other *entryDef, d *rateDef, without func(name string) bool) bool {
	for _, x := range d.Dimensions {
		mine, named := e.Match[x.Name]
		its, also := other.Match[x.Name]
		switch {
		case without(x.Name) || !named:
		case !also || !mine.holds(its, x.By):
			return false
		}
	}
	return true
}

// holds says whether a condition holds wherever another one does.
func (c conditionDef) holds(other conditionDef, by string) bool {
	bound := func(text string, open money.Decimal) money.Decimal {
		if text == "" {
			return open
		}
		d, _ := money.Parse(text)
		return d
	}
	if by == ByRange {
		return bound(c.from, money.Limit.Neg()).Cmp(bound(other.from, money.Limit.Neg())) <= 0 && bound(c.to, money.Limit).Cmp(bound(other.to, money.Limit)) >= 0
	}
	if ofTime(by) {
		return c.from == other.from && c.to == other.to && slices.Equal(c.values, other.values)
	}
	for _, v := range other.values {
		if !slices.ContainsFunc(c.values, func(mine string) bool { return v == mine || by == ByPrefix && strings.HasPrefix(v, mine) }) {
			return false
		}
	}
	return true
}

// uncovered looks at the entries that differ in one dimension of numbers only, or in those of time, with the wider ones that match what these do.
func (l *linter) uncovered(d *rateDef, x *dimensionDef) {
	aside := func(name string) bool { return name == x.Name }
	if ofTime(x.By) {
		aside = d.isTime
	}
	names := func(e *entryDef) bool {
		return slices.ContainsFunc(d.Dimensions, func(y dimensionDef) bool { return aside(y.Name) && e.names(y.Name) })
	}
	done := map[string]bool{}
	for _, first := range d.Prices {
		if !names(first) || done[first.others(aside)] {
			continue
		}
		done[first.others(aside)] = true
		entries, all := []*entryDef{first}, false
		for _, e := range d.Prices {
			if e != first && e.matches(first, d, aside) {
				entries = append(entries, e)
			}
		}
		for _, e := range entries {
			all = all || !names(e)
		}
		switch {
		case all:
		case x.By == ByRange:
			l.rangeGaps(x, entries)
		case ofTime(x.By):
			l.timeGaps(d, entries)
		}
	}
}

func (e *entryDef) names(dimension string) bool {
	_, named := e.Match[dimension]
	return named
}

// isTime says whether it is a dimension of time.
func (d *rateDef) isTime(name string) bool {
	return slices.ContainsFunc(d.Dimensions, func(x dimensionDef) bool { return x.Name == name && ofTime(x.By) })
}

const gapAdvice = "close the gap, or write a default"

func (l *linter) rangeGaps(x *dimensionDef, entries []*entryDef) {
	type end struct {
		from, to money.Decimal
		e        *entryDef
	}
	var ends []end
	for _, e := range entries {
		c := e.Match[x.Name]
		s := end{from: money.Limit.Neg(), to: money.Limit, e: e}
		if c.from != "" {
			s.from, _ = money.Parse(c.from)
		}
		if c.to != "" {
			s.to, _ = money.Parse(c.to)
		}
		ends = append(ends, s)
	}
	slices.SortFunc(ends, func(a, b end) int { return a.from.Cmp(b.from) })
	upTo := ends[0].to
	for _, s := range ends[1:] {
		if upTo.Cmp(s.from) < 0 {
			l.warn("matrix-gap", s.e.at.member("match"), gapAdvice+"; a range ends below its to, so the next one begins with that number",
				"no price where %s is from %s to %s: such usage is rejected (no_rate)", x.Name, upTo, s.from)
		}
		if upTo.Cmp(s.to) < 0 {
			upTo = s.to
		}
	}
}

// timeGaps looks for minutes of the week that no entry prices.
func (l *linter) timeGaps(d *rateDef, entries []*entryDef) {
	var covered [daysOfWeek][minutesOfDay]bool
	clocks, weekdays := []string{}, []string{}
	for _, x := range d.Dimensions {
		switch x.By {
		case ByTimeOfDay:
			clocks = append(clocks, x.Name)
		case ByWeekday:
			weekdays = append(weekdays, x.Name)
		}
	}
	for _, e := range entries {
		days, minutes := Weekdays(1<<daysOfWeek-1), [minutesOfDay]bool{}
		for m := range minutes {
			minutes[m] = true
		}
		for _, name := range weekdays {
			if c, is := e.Match[name]; is {
				named, _ := parseWeekdays(c.values) // which are as they were read
				days &= named
			}
		}
		for _, name := range clocks {
			if c, is := e.Match[name]; is {
				var span Minutes
				span.From, _ = parseClock(c.from)
				span.To, _ = parseClock(c.to)
				for m := range minutes {
					minutes[m] = minutes[m] && span.contains(m)
				}
			}
		}
		for day := range covered {
			for m := range minutes {
				covered[day][m] = covered[day][m] || minutes[m] && days&(1<<day) != 0
			}
		}
	}
	for day := range covered {
		first := slices.Index(covered[day][:], false)
		if first < 0 {
			continue
		}
		last := first
		for last < minutesOfDay && !covered[day][last] {
			last++
		}
		l.warn("matrix-gap", entries[0].at.member("match"), gapAdvice, "no price where %s: such usage is rejected (no_rate)", gapWords(clocks, weekdays, &covered, first, last))
		return
	}
}

// gapWords tells of the first gap, with all days that have it.
func gapWords(clocks, weekdays []string, covered *[daysOfWeek][minutesOfDay]bool, first, last int) string {
	var days Weekdays
	for day := range covered {
		if !slices.Contains(covered[day][first:last], true) {
			days |= 1 << day
		}
	}
	var words []string
	if len(weekdays) > 0 && days != 1<<daysOfWeek-1 {
		words = append(words, strings.Join(weekdays, ", ")+" is "+strings.Join(days.names(), ", "))
	}
	if len(clocks) > 0 && (first > 0 || last < minutesOfDay || len(words) == 0) {
		words = append(words, strings.Join(clocks, ", ")+" is from "+clockText(first)+" to "+clockText(last))
	}
	return strings.Join(words, " and ")
}

// maxLintedValues bounds the combinations of values of an entry that are compared with those of others.
const maxLintedValues = 1000

// shadowedEntries finds entries all of whose values an earlier entry names too, for then the earlier one answers.
func (l *linter) shadowedEntries(d *rateDef) {
	first := map[string]int{}
	for i, e := range d.Prices {
		keys := []string{""}
		for j := range d.Dimensions {
			c := e.Match[d.Dimensions[j].Name]
			values := c.values
			if values == nil { // a span, or anything
				values = []string{c.from + "\x00" + c.to}
			}
			if len(keys)*len(values) > maxLintedValues {
				keys = nil
			}
			var more []string
			for _, key := range keys {
				for _, v := range values {
					more = append(more, key+"\x01"+v)
				}
			}
			keys = more
		}
		by, seen := -1, len(keys) > 0
		for _, key := range keys {
			if n, known := first[key]; known {
				by = max(by, n)
			} else {
				first[key] = i
				seen = false
			}
		}
		if seen {
			l.warn("matrix-shadowed", &e.at, "delete it, or take its values out of the earlier ones", "never applies: the prices before it (up to prices[%d], line %d) match all that it matches", by, d.Prices[by].at.line)
		}
	}
}
