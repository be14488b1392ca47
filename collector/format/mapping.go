package format

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
)

// Mapping says which values of a record become which members of an event. A member without a Field is not sent;
// without ID, the id is made of the file's identity and the row's line.
type Mapping struct {
	ID, Source, Account, Product, Package *Field
	Quantity, Amount, Currency, Time      *Field
	Attributes                            []Attribute // sorted by name, names unique
	When                                  *Expression // the event is made where this is true; nil: always
	// Of the whole record, said at its first event.
	Filter  *Expression // records for which this is not true make none; nil: all do
	Each    string      // the path of an array whose elements make the events, each for itself
	Further []Mapping   // of further events of the same record, or element
	Member  string      // of the configuration: mapping, events[0]
}

// Attribute is a mapped attribute.
type Attribute struct {
	Name  string
	Field *Field
}

// Field is where the text of a member comes from: a value of the record, an expression over several, or Value.
type Field struct {
	From    string      // the path of a record's value: a column's name, a member, an element
	Column  int         // or the number of a column, from 1
	Value   string      // or a constant
	Works   *Expression // or what works it out
	Default string      // stands where the value is empty or null
	Steps   []Step      // done to the record's text in this order; not to Value and Default
	Layouts []string
	Zone    *time.Location // of layouts that say none
	Strict  bool           // a local time that the zone skips or repeats is refused
}

// Mapper maps the records of one file, for one goroutine.
type Mapper struct {
	notation *Notation
	fileID   string
	paths    []Path
	filter   *bound // nil: none
	events   []boundEvent
	each     *elements // nil: the record itself makes the events
	record   record
	ids      map[usage.EventName]bool // of the events of one record; nil where it makes at most one
}

// boundEvent is a mapping whose values are found.
type boundEvent struct {
	id, source, account, product, packaged, quantity, amount, currency, time bound
	attributes                                                               []bound
	when                                                                     *bound
}

// bound is a field and where its values are among those of a record.
type bound struct {
	*Field        // nil: the member is not sent
	what   string // for messages
	at     int    // of From; -1: none
	works  *Expression
	places []int // of the expression's paths
}

// NewMapper prepares the mapping of a file's records, whose values are written in the notation. fileID
// names the file's content.
func NewMapper(mapping *Mapping, notation *Notation, fileID string) *Mapper {
	m := &Mapper{notation: notation, fileID: fileID}
	m.record.notation = notation
	if mapping.Filter != nil {
		m.filter = m.expression("filter", mapping.Filter, "filter")
	}
	if mapping.Each != "" {
		m.each = newElements(m.place(Path{Name: mapping.Each, Member: "each"}))
	}
	m.event(mapping)
	for i := range mapping.Further {
		m.event(&mapping.Further[i])
	}
	if m.each != nil {
		m.each.bind(len(m.paths), m.moved)
	}
	if m.each != nil || len(m.events) > 1 {
		m.ids = map[usage.EventName]bool{}
	}
	return m
}

// place gives a path's place among the values of a record. Those of an element come behind all others, and count down
// from -2 until the others are known.
func (m *Mapper) place(p Path) int {
	if rest, ok := eachPath(p.Name); ok && m.each != nil {
		return m.each.place(Path{Name: rest, Member: p.Member})
	}
	for i, known := range m.paths {
		if known.Name == p.Name && known.Column == p.Column {
			return i
		}
	}
	m.paths = append(m.paths, p)
	return len(m.paths) - 1
}

// moved gives all places that may be an element's.
func (m *Mapper) moved(yield func(place *int)) {
	of := func(b *bound) {
		if b == nil {
			return
		}
		yield(&b.at)
		for i := range b.places {
			yield(&b.places[i])
		}
	}
	for i := range m.events {
		e := &m.events[i]
		for _, b := range []*bound{&e.id, &e.source, &e.account, &e.product, &e.packaged, &e.quantity, &e.amount, &e.currency, &e.time, e.when} {
			of(b)
		}
		for j := range e.attributes {
			of(&e.attributes[j])
		}
	}
}

func (m *Mapper) event(mapping *Mapping) {
	of := func(what string, f *Field) bound { return m.bind(mapping.Member, what, what, f) }
	e := boundEvent{
		id: of("id", mapping.ID), source: of("source", mapping.Source), account: of("account", mapping.Account), product: of("product", mapping.Product),
		packaged: of("package", mapping.Package), quantity: of("quantity", mapping.Quantity), amount: of("amount", mapping.Amount),
		currency: of("currency", mapping.Currency), time: of("time", mapping.Time),
	}
	for _, a := range mapping.Attributes {
		e.attributes = append(e.attributes, m.bind(mapping.Member, "attributes."+a.Name, "attribute "+a.Name, a.Field))
	}
	if mapping.When != nil {
		e.when = m.expression("when", mapping.When, member(mapping.Member, "when"))
	}
	m.events = append(m.events, e)
}

// member is the path of a mapping's member in the configuration.
func member(of, name string) string {
	if of == "" {
		of = "mapping"
	}
	return of + "." + name
}

func (m *Mapper) bind(of, name, what string, f *Field) bound {
	b := bound{Field: f, what: what, at: -1}
	switch {
	case f == nil:
	case f.Works != nil:
		b = *m.expression(what, f.Works, member(of, name))
		b.Field = f
	case f.From != "" || f.Column != 0:
		b.at = m.place(Path{Name: f.From, Column: f.Column, Member: member(of, name)})
	}
	return b
}

func (m *Mapper) expression(what string, x *Expression, path string) *bound {
	b := &bound{what: what, at: -1, works: x}
	for _, p := range x.paths {
		p.Member = path
		b.places = append(b.places, m.place(p))
	}
	return b
}

// Paths are the values that the mapper reads of a record, in the order of its fields.
func (m *Mapper) Paths() []Path { return m.paths }

// CheckPaths gives what is wrong with the paths that the mapping names, in a format: the member and the reason.
func (m *Mapping) CheckPaths(f Format) (problems []Path) {
	mapper := NewMapper(m, f.Notation(), "")
	for _, p := range mapper.paths {
		message := f.CheckPath(p)
		if _, inside := eachPath(p.Name); inside {
			message = "@each is an element of the array that each names, in members of events"
		}
		if message != "" {
			problems = append(problems, Path{Member: p.Member, Name: message})
		}
	}
	if mapper.each != nil {
		for _, p := range mapper.each.paths {
			if message := checkElement(p); message != "" {
				problems = append(problems, Path{Member: p.Member, Name: message})
			}
		}
	}
	return problems
}

// Map appends the events of the row. None are appended, and the row was filtered, where no event is meant to be; none are appended
// of a row that is a bad one, which says why.
func (m *Mapper) Map(row *Row, events []usage.Sent) []usage.Sent {
	if row.Code != "" {
		return events
	}
	w := mapping{m: m, row: row}
	m.record.fields = row.Fields
	if m.filter != nil && !w.holds(m.filter) {
		return events
	}
	first := len(events)
	clear(m.ids)
	if m.each == nil {
		events = w.events(events)
	} else {
		events = w.elements(events)
	}
	if row.Code != "" {
		clear(events[first:])
		return events[:first]
	}
	return events
}

// mapping maps one row.
type mapping struct {
	m        *Mapper
	row      *Row
	fromFile bool // the text that was given last is the file's, not the configuration's
}

// events makes those of the record, or of one element of it.
func (w *mapping) events(events []usage.Sent) []usage.Sent {
	for i := range w.m.events {
		e := &w.m.events[i]
		if w.row.Code != "" || e.when != nil && !w.holds(e.when) {
			continue
		}
		events = append(events, usage.Sent{})
		w.event(e, &events[len(events)-1])
	}
	return events
}

// event makes one.
func (w *mapping) event(e *boundEvent, s *usage.Sent) {
	s.ID = w.name(&e.id, usage.CodeIDInvalid)
	if e.id.Field == nil {
		s.ID = w.m.fileID + ":" + strconv.FormatInt(w.row.Line, 10)
	}
	s.Source = w.name(&e.source, usage.CodeSource)
	if w.m.ids != nil && s.ID != "" {
		w.m.setApart(s)
	}
	if w.row.Code == "" {
		w.row.ID = s.ID
	}
	s.Account = w.name(&e.account, usage.CodeAccountInvalid)
	s.Product = w.name(&e.product, usage.CodeProductInvalid)
	s.Package = w.name(&e.packaged, usage.CodePackage)
	s.Currency = w.name(&e.currency, usage.CodeCurrency)
	s.Quantity, s.HasQuantity = w.decimal(&e.quantity, usage.CodeQuantity)
	s.Amount, s.HasAmount = w.decimal(&e.amount, usage.CodeAmount)
	s.Time, s.HasTime = w.instant(&e.time)
	if len(e.attributes) > 0 {
		s.Attributes = make([]usage.Attribute, 0, len(e.attributes))
	}
	for i := range e.attributes {
		a := &e.attributes[i]
		if text, ok := w.text(a, usage.CodeAttributes); ok {
			s.Attributes = append(s.Attributes, usage.Attribute{Name: a.what[len("attribute "):], Value: text})
		}
	}
	if w.row.Code == "" {
		if code, message := s.Check(); code != "" {
			w.row.Fail(code, message)
		}
	}
}

// setApart gives the event an id that no other of the record has: with its number among them behind it, where one has.
func (m *Mapper) setApart(s *usage.Sent) {
	id := s.ID
	for n := len(m.ids) + 1; m.ids[usage.EventName{Source: s.Source, ID: s.ID}]; n++ {
		s.ID = id + ":" + strconv.Itoa(n)
	}
	m.ids[usage.EventName{Source: s.Source, ID: s.ID}] = true
}

// holds works out a condition; what cannot be worked out makes the row a bad one.
func (w *mapping) holds(b *bound) bool {
	w.m.record.places = b.places
	truth, err := b.works.node.Truth(&w.m.record)
	if err != nil {
		w.row.Fail(usage.CodeRow, b.what+": "+err.Error())
		return false
	}
	return truth
}

// work gives an expression's text; a number is written as the file writes its.
func (w *mapping) work(b *bound, code usage.Code) string {
	w.m.record.places = b.places
	var text string
	var err error
	if number := b.works.node.Number; number != nil {
		var d money.Decimal
		if d, err = number(&w.m.record); err == nil {
			text = w.m.notation.write(d)
		}
	} else {
		text, err = b.works.node.Text(&w.m.record)
	}
	if err != nil {
		w.row.Fail(code, b.what+": "+err.Error())
		return ""
	}
	return text
}

// text gives a member's text after null, transforms and default; false when there is none.
func (w *mapping) text(b *bound, code usage.Code) (string, bool) {
	if b.Field == nil {
		return "", false
	}
	text := ""
	w.fromFile = b.at >= 0 || b.works != nil
	switch {
	case !w.fromFile:
		return b.Value, b.Value != ""
	case b.works != nil:
		text = w.work(b, code)
	default:
		text = w.m.record.fields[b.at]
		if text != "" && slices.Contains(w.m.notation.Null, text) {
			text = ""
		}
	}
	for i := 0; i < len(b.Steps) && text != ""; i++ {
		text = w.step(b.what, &b.Steps[i], text, code)
	}
	if text == "" {
		text, w.fromFile = b.Default, false
	}
	if strings.IndexByte(text, 0) >= 0 {
		w.row.Fail(code, b.what+" holds a NUL character")
	}
	return text, text != ""
}

func (w *mapping) name(b *bound, code usage.Code) string {
	text, _ := w.text(b, code)
	if message := usage.CheckName(b.what, text); message != "" {
		w.row.Fail(code, message)
	}
	return text
}

func (w *mapping) decimal(b *bound, code usage.Code) (d money.Decimal, sent bool) {
	text, ok := w.text(b, code)
	if !ok {
		return d, false
	}
	plain := text
	if w.fromFile { // a configuration writes its numbers with a point
		if plain = w.m.notation.number(text); plain == "" {
			w.row.Fail(code, fmt.Sprintf("%s %q does not fit the format's decimal sign %q and thousands %q", b.what, cut(text), w.m.notation.Decimal, w.m.notation.Thousands))
			return d, false
		}
	}
	d, message := usage.ParseNumber(b.what, plain)
	if message != "" {
		w.row.Fail(code, message)
	}
	return d, true
}

func (w *mapping) instant(b *bound) (instant int64, sent bool) {
	text, ok := w.text(b, usage.CodeTime)
	if !ok {
		return 0, false
	}
	if len(b.Layouts) == 0 {
		instant, message := usage.ParseTime(text)
		if message != "" {
			w.row.Fail(usage.CodeTime, message)
		}
		return instant, true
	}
	instant, message := parseTime(text, b.Field)
	if message != "" {
		w.row.Fail(usage.CodeTime, message)
	}
	return instant, true
}
