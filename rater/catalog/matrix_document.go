package catalog

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tollstream/tollstream/ledger/money"
)

// dimensionDef is a dimension as it is stored; a document may write its name alone.
type dimensionDef struct {
	at   place
	Name string `json:"name"`
	From string `json:"from,omitempty"` // left out: the attribute of that name
	By   string `json:"by,omitempty"`   // left out: exact
}

// entryDef is one of a matrix's prices. Of the members of a rate it has those that say how much.
type entryDef struct {
	Match map[string]conditionDef `json:"match,omitempty"`
	rateDef

	match   *node
	matchAt place
}

// conditionDef is a value of a match as it is stored: texts, or a span from and to.
type conditionDef struct {
	values   []string // not nil: texts
	from, to string
}

type spanDef struct {
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// MarshalJSON writes one text by itself, several as a list, and a span as an object.
func (c conditionDef) MarshalJSON() ([]byte, error) {
	switch len(c.values) {
	case 0:
		return json.Marshal(spanDef{c.from, c.to})
	case 1:
		return json.Marshal(c.values[0])
	}
	return json.Marshal(c.values)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (c *conditionDef) UnmarshalJSON(data []byte) error {
	switch data[0] {
	case '"':
		c.values = make([]string, 1)
		return json.Unmarshal(data, &c.values[0])
	case '[':
		return json.Unmarshal(data, &c.values)
	}
	var span spanDef
	err := json.Unmarshal(data, &span)
	c.from, c.to = span.From, span.To
	return err
}

func (r *reader) dimensions(into *[]dimensionDef) read {
	return r.list(func(n *node, at *place) {
		d := dimensionDef{at: *at}
		if n.form == nodePlain || n.form == nodeQuoted {
			r.text(&d.Name)(n, at)
		} else {
			r.object(n, at, []field{
				{"name", r.text(&d.Name)},
				{"from", r.text(&d.From)},
				{"by", r.choice(&d.By, ByExact, ByPrefix, ByRange, ByTimeOfDay, ByWeekday)},
			})
		}
		switch {
		case d.Name == "":
			r.failOnce(at.member("name"), "is missing: name the attribute")
		case slices.ContainsFunc(*into, func(other dimensionDef) bool { return other.Name == d.Name }):
			r.fail(at, "the dimension %q is there twice: leave one out", d.Name)
		case d.From != "" && ofTime(d.By):
			r.fail(at.member("from"), "has no meaning by %s, which looks at the event's time: leave it out", d.By)
		}
		if d.From == d.Name {
			d.From = ""
		}
		*into = append(*into, d)
	})
}

func ofTime(by string) bool { return by == ByTimeOfDay || by == ByWeekday }

// prices reads the entries of a matrix; their matches are read when the dimensions are known.
func (r *reader) prices(into *[]*entryDef) read {
	return r.list(func(n *node, at *place) {
		e := &entryDef{rateDef: rateDef{at: *at}}
		match := field{"match", func(n *node, at *place) { e.match, e.matchAt = n, *at }}
		r.object(n, at, append([]field{match}, r.entryFields(&e.rateDef)...))
		*into = append(*into, e)
	})
}

func (r *reader) defaultPrice(into **entryDef) read {
	return func(n *node, at *place) {
		e := &entryDef{rateDef: rateDef{at: *at}}
		match := field{"match", func(_ *node, at *place) { r.fail(at, "has no meaning: the default prices what no entry matches") }}
		r.object(n, at, append([]field{match}, r.entryFields(&e.rateDef)...))
		*into = e
	}
}

// entryFields are the members of a rate that an entry has, and those that stand beside the entries.
func (r *reader) entryFields(d *rateDef) []field {
	fields := r.priceFields(d)
	for _, outer := range []string{
		"id", "currency", "start", "end", "aggregation", "level", "attribute", "rounding", "tiers_restart", "pool", "minimum", "minimum_prorated",
		"product", "package", "dimensions", "prices", "default",
	} {
		fields = append(fields, field{outer, func(_ *node, at *place) {
			r.fail(at, "holds for all entries of a matrix: write it on the rate, beside prices")
		}})
	}
	return fields
}

// checkMatrix reads the matches and checks the entries, each a rate by itself, and that no two of them contradict each other.
func (r *reader) checkMatrix(d *rateDef) {
	switch {
	case len(d.Dimensions) > MostDimensions:
		r.fail(d.at.member("dimensions"), "has %d dimensions, more than %d", len(d.Dimensions), MostDimensions)
		return
	case len(d.Prices) > maxMatrixEntries:
		r.fail(d.at.member("prices"), "has %d entries, more than %d", len(d.Prices), maxMatrixEntries)
		return
	}
	before := r.count()
	for _, e := range d.Prices {
		r.checkEntry(d, &e.rateDef)
		r.match(d, e)
	}
	if d.Default != nil {
		r.checkEntry(d, &d.Default.rateDef)
	}
	if r.count() > before || len(d.Dimensions) == 0 {
		return
	}
	m, clashes, err := matrixOf(d, &Rate{})
	if err != nil {
		r.fail(d.at.member("prices"), "%v", err)
		return
	}
	for _, c := range clashes {
		first, second := d.Prices[c.first], d.Prices[c.second]
		says := "overlaps with"
		if m.cellOf(m.Entries[c.first].Match, true) == m.cellOf(m.Entries[c.second].Match, true) {
			says = "is the same as"
		}
		r.fail(&second.matchAt, "%s that of prices[%d] (line %d): no rule says which of them prices what both match, so change or delete one",
			says, c.first, first.matchAt.line)
	}
}

func (r *reader) checkEntry(outer, entry *rateDef) {
	if Model(entry.Model) == ModelMatrix {
		r.fail(entry.at.member("model"), "must not be matrix inside a matrix: add dimensions to the outer one")
		return
	}
	if Model(entry.Model) == ModelCapacity {
		r.fail(entry.at.member("model"), "must not be capacity inside a matrix: a capacity counts what is used of whole products")
		return
	}
	r.checkRate(entry)
	r.checkProrate(entry, outer)
	r.checkQuantity(entry, outer)
}

// match reads what an entry asks of each dimension.
func (r *reader) match(d *rateDef, e *entryDef) {
	if e.match == nil {
		r.failOnce(e.at.member("match"), "is missing: write a price for everything else as default, beside prices")
		return
	}
	e.Match = map[string]conditionDef{}
	if len(d.Dimensions) == 0 { // which is reported
		return
	}
	fields := make([]field, len(d.Dimensions))
	for i := range d.Dimensions {
		name := d.Dimensions[i].Name
		fields[i] = field{name, func(n *node, at *place) {
			c := r.condition(d.Dimensions[i].By, n, at)
			e.Match[name] = c
		}}
	}
	r.object(e.match, &e.matchAt, fields)
	if len(e.Match) == 0 {
		r.failOnce(&e.matchAt, "names no dimension: write a price for everything else as default, beside prices")
	}
	e.match = nil
}

func (r *reader) condition(by string, n *node, at *place) (c conditionDef) {
	switch by {
	case ByRange, ByTimeOfDay:
		var from, to *node
		keep := func(into **node) read { return func(n *node, _ *place) { *into = n } }
		r.object(n, at, []field{{"from", keep(&from)}, {"to", keep(&to)}})
		switch {
		case n.form != nodeObject:
		case by == ByRange:
			r.rangeCondition(&c, from, to, at)
		default:
			r.timeCondition(&c, from, to, at)
		}
		return c
	}
	switch n.form {
	case nodePlain, nodeQuoted:
		c.values = make([]string, 1)
		r.text(&c.values[0])(n, at)
	case nodeList:
		r.texts(&c.values)(n, at)
		if len(c.values) == 0 {
			r.failOnce(at, "is empty: leave the dimension out where anything matches")
		}
	default:
		r.fail(at, "must be a value or a list of values, not %s", n.describe())
		return c
	}
	if by == ByWeekday {
		days, err := parseWeekdays(c.values)
		if err != nil && !r.reportedAt(at) {
			r.fail(at, "%v", err)
		}
		c.values = days.names()
	}
	slices.Sort(c.values)
	c.values = slices.Compact(c.values)
	return c
}

func (r *reader) rangeCondition(c *conditionDef, from, to *node, at *place) {
	var low, high *money.Decimal
	if from != nil {
		r.someDecimal(&low)(from, at.member("from"))
	}
	if to != nil {
		r.someDecimal(&high)(to, at.member("to"))
	}
	switch {
	case from == nil && to == nil:
		r.failOnce(at, "needs a from or a to: leave the dimension out where anything matches")
	case low != nil && high != nil && low.Cmp(*high) >= 0:
		r.fail(at.member("to"), "must be greater than from (%s), not %s: a range holds from and ends below to", low, high)
	}
	if low != nil {
		c.from = low.String()
	}
	if high != nil {
		c.to = high.String()
	}
}

func (r *reader) timeCondition(c *conditionDef, from, to *node, at *place) {
	clock := func(n *node, name string) (int, bool) {
		member := at.member(name)
		if n == nil {
			r.fail(member, "is missing: use a time such as 22:00")
			return 0, false
		}
		s, ok := r.scalar(n, member, "a time such as 22:00")
		if !ok {
			return 0, false
		}
		minute, ok := parseClock(s)
		if !ok || name == "from" && minute == minutesOfDay {
			r.fail(member, "must be a time of the day from 00:00 to 24:00 such as 22:00, not %q", shorten(s))
			return 0, false
		}
		return minute, true
	}
	start, ok := clock(from, "from")
	end, also := clock(to, "to")
	if !ok || !also {
		return
	}
	if start == end || start == 0 && end == minutesOfDay {
		r.fail(at, "is the whole day: leave the dimension out where any time matches")
	}
	c.from, c.to = clockText(start), clockText(end)
}

func clockText(minute int) string { return fmt.Sprintf("%02d:%02d", minute/60, minute%60) }

// parseClock reads hours and minutes.
func parseClock(s string) (minute int, ok bool) {
	h, m, _ := strings.Cut(s, ":")
	hours, err := strconv.ParseUint(h, 10, 8)
	minutes, also := strconv.ParseUint(m, 10, 8)
	minute = int(hours)*60 + int(minutes)
	return minute, err == nil && also == nil && len(h) <= 2 && len(m) == 2 && minutes < 60 && minute <= minutesOfDay
}

var weekdayNames = [daysOfWeek]string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

// parseWeekdays reads days and stretches of days such as mon-fri.
func parseWeekdays(words []string) (days Weekdays, err error) {
	for _, word := range words {
		from, to, stretch := strings.Cut(word, "-")
		if !stretch {
			to = from
		}
		first, last := slices.Index(weekdayNames[:], from), slices.Index(weekdayNames[:], to)
		if first < 0 || last < 0 {
			return 0, fmt.Errorf("must be days of mon, tue, wed, thu, fri, sat, sun or a stretch such as mon-fri, not %q", shorten(word))
		}
		days |= 1 << first
		for day := first; day != last; {
			day = (day + 1) % daysOfWeek
			days |= 1 << day
		}
	}
	return days, nil
}

func (w Weekdays) names() []string {
	names := make([]string, 0, daysOfWeek)
	for day, name := range weekdayNames {
		if w&(1<<day) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// matrixOf compiles the matrix of a rate, from whose entries every rate takes what stands beside them.
func matrixOf(d *rateDef, outer *Rate) (*Matrix, []clash, error) {
	m := &Matrix{Dimensions: make([]Dimension, len(d.Dimensions)), Entries: make([]Entry, len(d.Prices))}
	for i, x := range d.Dimensions {
		dimension := Dimension{Name: x.Name, From: x.From, By: x.By}
		if x.By == "" {
			dimension.By = ByExact
		}
		switch {
		case ofTime(x.By):
		case x.From == "":
			dimension.From = x.Name
		}
		m.Dimensions[i] = dimension
	}
	for i, e := range d.Prices {
		match := make([]Condition, len(d.Dimensions))
		for j := range d.Dimensions {
			if c, named := e.Match[d.Dimensions[j].Name]; named {
				var err error
				if match[j], err = c.compile(d.Dimensions[j].By); err != nil {
					return nil, nil, fmt.Errorf("prices[%d]: %w", i, err)
				}
			}
		}
		m.Entries[i] = Entry{Match: match, Rate: e.compile(outer)}
	}
	if d.Default != nil {
		m.Default = d.Default.compile(outer)
	}
	clashes, err := m.build()
	return m, clashes, err
}

func (c conditionDef) compile(by string) (Condition, error) {
	out := Condition{Named: true, Values: c.values}
	var err error
	switch by {
	case ByRange:
		for _, end := range []struct {
			text string
			into *Ordinal
		}{{c.from, &out.From}, {c.to, &out.To}} {
			if end.text != "" && err == nil {
				end.into.Set = true
				end.into.Value, err = money.Parse(end.text)
			}
		}
	case ByTimeOfDay:
		out.Minutes.From, _ = parseClock(c.from)
		out.Minutes.To, _ = parseClock(c.to)
	case ByWeekday:
		out.Values = nil
		out.Days, err = parseWeekdays(c.values)
	}
	return out, err
}

// compile gives the rate of an entry: how much by itself, all else as the rate that holds it.
func (e *entryDef) compile(outer *Rate) *Rate {
	r := &Rate{
		ID: outer.ID, Product: outer.Product, Package: outer.Package, Currency: outer.Currency, Start: outer.Start, End: outer.End,
		Aggregation: outer.Aggregation, AbsoluteLevel: outer.AbsoluteLevel, Attribute: outer.Attribute, Pool: outer.Pool, Rounding: outer.Rounding, TiersRestart: outer.TiersRestart,
		Level: outer.Level, Owner: outer.Owner, OwnerAccount: outer.OwnerAccount, Seq: outer.Seq, Outer: outer, SeesLine: outer.SeesLine,
	}
	r.price(&e.rateDef)
	return r
}
