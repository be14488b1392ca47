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
	for i := range d.Dimensions {
		l.uncovered(d, &d.Dimensions[i])
	}
	open := slices.ContainsFunc(d.Dimensions, func(x dimensionDef) bool { return x.By == "" || x.By == ByPrefix })
	if open && len(l.found) == odd {
		l.note("matrix-default", &d.at, "write a price for everything else as default, if there may be such usage",
			"has no default: usage that none of its prices matches is rejected (no_rate)")
	}
}

// others is the text of a match without one dimension.
func (e *entryDef) others(without string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(e.Match)) {
		if c := e.Match[name]; name != without {
			fmt.Fprintf(&b, "%q=%q,%q,%q;", name, c.values, c.from, c.to)
		}
	}
	return b.String()
}

// uncovered looks at the entries that differ in one dimension of numbers or time only.
func (l *linter) uncovered(d *rateDef, x *dimensionDef) {
	groups := map[string][]*entryDef{}
	anything := map[string]bool{} // what is priced whatever the dimension says
	var order []string
	for _, e := range d.Prices {
		key := e.others(x.Name)
		if _, named := e.Match[x.Name]; !named {
			anything[key] = true
			continue
		}
		if groups[key] == nil {
			order = append(order, key)
		}
		groups[key] = append(groups[key], e)
	}
	for _, key := range order {
		if anything[key] || d.hasOtherTimes(x) {
			continue
		}
		switch x.By {
		case ByRange:
			l.rangeGaps(x, groups[key])
		case ByTimeOfDay:
			l.clockGaps(x, groups[key])
		case ByWeekday:
			l.dayGaps(x, groups[key])
		}
	}
}

// hasOtherTimes says whether a dimension of time is not the only one: together they may cover what each alone does not.
func (d *rateDef) hasOtherTimes(x *dimensionDef) bool {
	return ofTime(x.By) && slices.ContainsFunc(d.Dimensions, func(y dimensionDef) bool { return y.Name != x.Name && ofTime(y.By) })
}

const gapAdvice = "close the gap, or write a default"

func (l *linter) rangeGaps(x *dimensionDef, entries []*entryDef) {
	type end struct {
		from, to money.Decimal // to is open in none but the last, for ranges that overlap are refused
		e        *entryDef
	}
	var ends []end
	for _, e := range entries {
		c := e.Match[x.Name]
		s := end{from: money.Limit.Neg(), e: e}
		if c.from != "" {
			s.from, _ = money.Parse(c.from)
		}
		s.to, _ = money.Parse(c.to)
		ends = append(ends, s)
	}
	slices.SortFunc(ends, func(a, b end) int { return a.from.Cmp(b.from) })
	for i := 1; i < len(ends); i++ {
		if before := ends[i-1]; before.to.Cmp(ends[i].from) < 0 {
			l.warn("matrix-gap", ends[i].e.at.member("match"), gapAdvice+"; a range ends below its to, so the next one begins with that number",
				"no price where %s is from %s to %s: such usage is rejected (no_rate)", x.Name, before.to, ends[i].from)
		}
	}
}

func (l *linter) clockGaps(x *dimensionDef, entries []*entryDef) {
	var covered [minutesOfDay]bool
	for _, e := range entries {
		var span Minutes
		span.From, _ = parseClock(e.Match[x.Name].from)
		span.To, _ = parseClock(e.Match[x.Name].to)
		for m := range covered {
			covered[m] = covered[m] || span.contains(m)
		}
	}
	first := slices.Index(covered[:], false)
	if first < 0 {
		return
	}
	last := first
	for last < minutesOfDay && !covered[last] {
		last++
	}
	l.warn("matrix-gap", entries[0].at.member("match"), gapAdvice, "no price where %s is from %s to %s: such usage is rejected (no_rate)", x.Name, clockText(first), clockText(last))
}

func (l *linter) dayGaps(x *dimensionDef, entries []*entryDef) {
	var covered Weekdays
	for _, e := range entries {
		days, _ := parseWeekdays(e.Match[x.Name].values) // which are as they were read
		covered |= days
	}
	if missing := ^covered & (1<<daysOfWeek - 1); missing != 0 {
		l.warn("matrix-gap", entries[0].at.member("match"), gapAdvice, "no price where %s is %s: such usage is rejected (no_rate)", x.Name, strings.Join(missing.names(), ", "))
	}
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
