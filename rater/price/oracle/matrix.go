package oracle

import (
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"time"
)

const otherwise = "default"

// cell is what usage is accumulated in by itself: an entry of a matrix, by its match, or all of a rate that is none.
type cell struct {
	name string
	rate *Rate
}

// cells are the parts of a rate. Those of a matrix take aggregation and rounding from it, and stand in the order of its entries.
func (r *Rate) cells() []cell {
	if r.settled != nil {
		return r.settled
	}
	if r.Model != matrix {
		return []cell{{"", r}}
	}
	var cells []cell
	put := func(name string, entry Rate) {
		entry.Aggregation, entry.Attribute, entry.Level, entry.Rounding, entry.Currency = r.Aggregation, r.Attribute, r.Level, r.Rounding, r.Currency
		cells = append(cells, cell{name, &entry})
	}
	for _, e := range r.Entries {
		put("{"+r.canonical(e.Match)+"}", e.Rate)
	}
	if r.Default != nil {
		put(otherwise, *r.Default)
	}
	return cells
}

// canonical is the match as a text: two entries with one text are the same cell.
func (r *Rate) canonical(match map[string]Match) string {
	var parts []string
	for _, d := range r.Dimensions {
		m, named := match[d.Name]
		if !named {
			continue
		}
		values := slices.Clone(m.Values)
		slices.Sort(values)
		parts = append(parts, fmt.Sprintf("%s %q %v %v %d %d", d.Name, values, m.From, m.To, m.FromMinute, m.ToMinute))
	}
	return strings.Join(parts, ", ")
}

// choose is the cell of the best entry that matches the event: dimension by dimension a named one is better than one left
// out and a longer prefix than a shorter; then the one that is written first.
func (r *Rate) choose(cells []cell, e Event, zone *time.Location) (best cell, ok bool) {
	var most []int
	for i, entry := range r.Entries {
		score, holds := r.score(entry.Match, e, zone)
		if holds && (!ok || slices.Compare(score, most) > 0) {
			most, best, ok = score, cells[i], true
		}
	}
	if !ok && r.Default != nil {
		return cells[len(cells)-1], true
	}
	return best, ok
}

// score says for each dimension how well it is matched: 0 is not named, more is better.
func (r *Rate) score(match map[string]Match, e Event, zone *time.Location) (score []int, ok bool) {
	for _, d := range r.Dimensions {
		m, named := match[d.Name]
		if !named {
			score = append(score, 0)
			continue
		}
		s := d.matches(m, e, zone)
		if s == 0 {
			return nil, false
		}
		score = append(score, s)
	}
	return score, true
}

var decimal = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)

// matches is 0 where the condition does not hold.
func (d *Dimension) matches(m Match, e Event, zone *time.Location) int {
	from := d.From
	if from == "" {
		from = d.Name
	}
	value, present := e.Attributes[from]
	local := e.Time.In(zone)
	switch d.By {
	case "time_of_day":
		return truth(m.holdsAt(local))
	case "weekday":
		return truth(slices.Contains(m.Values, strings.ToLower(local.Weekday().String()[:3])))
	case "prefix":
		longest := 0
		for _, p := range m.Values {
			if present && strings.HasPrefix(value, p) {
				longest = max(longest, 1+len(p))
			}
		}
		return longest
	case "range":
		if !decimal.MatchString(value) {
			return 0
		}
		x, _ := new(big.Rat).SetString(value)
		return truth((m.From == nil || x.Cmp(m.From) >= 0) && (m.To == nil || x.Cmp(m.To) < 0))
	}
	return truth(present && slices.Contains(m.Values, value))
}

// holdsAt is by the clock on the wall: a minute that comes twice is twice inside, and one that is skipped is never.
func (m Match) holdsAt(local time.Time) bool {
	minute := local.Hour()*60 + local.Minute()
	if m.FromMinute <= m.ToMinute {
		return minute >= m.FromMinute && minute < m.ToMinute
	}
	return minute >= m.FromMinute || minute < m.ToMinute
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}
