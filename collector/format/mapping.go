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

// Mapping says which columns become which members of an event. A member without a Field is not sent;
// without ID, the id is made of the file's identity and the row's line.
type Mapping struct {
	ID, Source, Account, Product, Package *Field
	Quantity, Amount, Currency, Time      *Field
	Attributes                            []Attribute // sorted by name, names unique
}

// Attribute is a mapped attribute.
type Attribute struct {
	Name  string
	Field *Field
}

// Field is where the text of a member comes from: a column, or Value.
type Field struct {
	From    string // the column's name in the header
	Column  int    // or its number, from 1
	Value   string // or a constant
	Default string // stands where the column is empty or null
	Steps   []Step // done to the column's text in this order; not to Value and Default
	Layouts []string
	Zone    *time.Location // of layouts that say none
	Strict  bool           // a local time that the zone skips or repeats is refused
}

// Step is a simple transform.
type Step struct {
	Op   StepOp
	A, B string
	By   money.Decimal // of StepMultiply
}

// StepOp names a transform.
type StepOp string

// The transforms. Multiply is exact up to the 12th decimal, where it rounds half away from zero.
const (
	StepTrim        StepOp = "trim"  // white space at both ends
	StepUpper       StepOp = "upper" // capital letters
	StepLower       StepOp = "lower"
	StepStripPrefix StepOp = "strip_prefix" // A, if it is there
	StepStripSuffix StepOp = "strip_suffix"
	StepReplace     StepOp = "replace"  // every A by B
	StepMultiply    StepOp = "multiply" // a number, by By: 0.001, 60
)

// Mapper maps the rows of one file.
type Mapper struct {
	format  *Delimited
	mapping *Mapping
	columns map[*Field]int // from 0
	fileID  string
	width   int  // columns that a row must have
	exact   bool // or at least
}

// NewMapper binds the mapping to the header (nil when the format has none). fileID names the file's
// content. An error names a column that the header lacks or has twice.
func NewMapper(format *Delimited, mapping *Mapping, header []string, fileID string) (*Mapper, error) {
	m := &Mapper{format: format, mapping: mapping, columns: map[*Field]int{}, fileID: fileID}
	if header != nil {
		m.width, m.exact = len(header), true
	} else if format.Columns > 0 {
		m.width, m.exact = format.Columns, true
	}
	for member, field := range mapping.Fields() {
		if field.From == "" && field.Column == 0 {
			continue
		}
		at := field.Column - 1
		if field.From != "" {
			at = slices.Index(header, field.From)
			if at < 0 {
				return nil, fmt.Errorf("mapping.%s: the header has no column %q; it has %s", member, field.From, listed(header))
			}
			if slices.Index(header[at+1:], field.From) >= 0 {
				return nil, fmt.Errorf("mapping.%s: the header has column %q twice; give its number instead", member, field.From)
			}
		}
		if m.exact && at >= m.width {
			return nil, fmt.Errorf("mapping.%s: column %d, but a row has %d", member, at+1, m.width)
		}
		if !m.exact {
			m.width = max(m.width, at+1)
		}
		m.columns[field] = at
	}
	return m, nil
}

func listed(header []string) string {
	const most = 40
	more := ""
	if len(header) > most {
		header, more = header[:most], ", …"
	}
	names := make([]string, len(header))
	for i, name := range header {
		names[i] = strconv.Quote(cut(name))
	}
	return strings.Join(names, ", ") + more
}

// Fields walks over all mapped members with their names in the configuration.
func (m *Mapping) Fields() func(yield func(string, *Field) bool) {
	return func(yield func(string, *Field) bool) {
		for _, f := range []struct {
			name  string
			field *Field
		}{
			{"id", m.ID}, {"source", m.Source}, {"account", m.Account}, {"product", m.Product}, {"package", m.Package},
			{"quantity", m.Quantity}, {"amount", m.Amount}, {"currency", m.Currency}, {"time", m.Time},
		} {
			if f.field != nil && !yield(f.name, f.field) {
				return
			}
		}
		for _, a := range m.Attributes {
			if !yield("attributes."+a.Name, a.Field) {
				return
			}
		}
	}
}

// Map makes the row's event; on a false return the row is a bad one and says why.
func (m *Mapper) Map(row *Row, s *usage.Sent) bool {
	*s = usage.Sent{Attributes: nil}
	if row.Code != "" {
		return false
	}
	if n := len(row.Fields); n < m.width || m.exact && n > m.width {
		m.failWidth(row, n)
		return false
	}
	w := mapping{m: m, row: row}
	s.ID = w.name("id", m.mapping.ID, usage.CodeIDInvalid)
	if m.mapping.ID == nil {
		s.ID = m.fileID + ":" + strconv.FormatInt(row.Line, 10)
	}
	s.Source = w.name("source", m.mapping.Source, usage.CodeSource)
	s.Account = w.name("account", m.mapping.Account, usage.CodeAccountInvalid)
	s.Product = w.name("product", m.mapping.Product, usage.CodeProductInvalid)
	s.Package = w.name("package", m.mapping.Package, usage.CodePackage)
	s.Currency = w.name("currency", m.mapping.Currency, usage.CodeCurrency)
	s.Quantity, s.HasQuantity = w.decimal("quantity", m.mapping.Quantity, usage.CodeQuantity)
	s.Amount, s.HasAmount = w.decimal("amount", m.mapping.Amount, usage.CodeAmount)
	s.Time, s.HasTime = w.instant(m.mapping.Time)
	if len(m.mapping.Attributes) > 0 {
		s.Attributes = make([]usage.Attribute, 0, len(m.mapping.Attributes))
	}
	for _, a := range m.mapping.Attributes {
		if text, ok := w.text("attribute "+a.Name, a.Field, usage.CodeAttributes); ok {
			s.Attributes = append(s.Attributes, usage.Attribute{Name: a.Name, Value: text})
		}
	}
	if row.Code == "" {
		if code, message := s.Check(); code != "" {
			row.Fail(code, message)
		}
	}
	return row.Code == ""
}

func (m *Mapper) failWidth(row *Row, n int) {
	torn := ""
	if row.torn && n < m.width {
		torn = ": the last line is torn"
	}
	switch {
	case !m.exact:
		row.Fail(usage.CodeRow, fmt.Sprintf("the row has %d columns, the mapping needs %d%s", n, m.width, torn))
	case m.format.Header:
		row.Fail(usage.CodeRow, fmt.Sprintf("the row has %d columns, the header %d%s", n, m.width, torn))
	default:
		row.Fail(usage.CodeRow, fmt.Sprintf("the row has %d columns instead of %d%s", n, m.width, torn))
	}
}

// mapping maps one row.
type mapping struct {
	m        *Mapper
	row      *Row
	fromFile bool // the text that was given last is the file's, not the configuration's
}

// text gives a member's text after null, transforms and default; false when there is none.
func (w *mapping) text(what string, f *Field, code usage.Code) (string, bool) {
	if f == nil {
		return "", false
	}
	at, column := w.m.columns[f]
	if w.fromFile = column; !column {
		return f.Value, f.Value != ""
	}
	text := w.row.Fields[at]
	if text != "" && slices.Contains(w.m.format.Null, text) {
		text = ""
	}
	for i := 0; i < len(f.Steps) && text != ""; i++ {
		text = w.step(what, &f.Steps[i], text, code)
	}
	if text == "" {
		text, w.fromFile = f.Default, false
	}
	if strings.IndexByte(text, 0) >= 0 {
		w.row.Fail(code, what+" holds a NUL character")
	}
	return text, text != ""
}

func (w *mapping) step(what string, s *Step, text string, code usage.Code) string {
	switch s.Op {
	case StepTrim:
		return strings.TrimSpace(text)
	case StepUpper:
		return strings.ToUpper(text)
	case StepLower:
		return strings.ToLower(text)
	case StepStripPrefix:
		return strings.TrimPrefix(text, s.A)
	case StepStripSuffix:
		return strings.TrimSuffix(text, s.A)
	case StepReplace:
		return strings.ReplaceAll(text, s.A, s.B)
	case StepMultiply:
		d, message := usage.ParseNumber(what, w.m.format.number(text))
		if message == "" {
			var err error
			if d, err = d.Mul(s.By); err != nil {
				message = what + " times " + s.By.String() + " is too large"
			}
		}
		if message != "" {
			w.row.Fail(code, message)
			return ""
		}
		// The rest reads numbers in the file's notation.
		return strings.Replace(d.String(), ".", w.m.format.Decimal, 1)
	}
	return text
}

func (w *mapping) name(what string, f *Field, code usage.Code) string {
	text, _ := w.text(what, f, code)
	if message := usage.CheckName(what, text); message != "" {
		w.row.Fail(code, message)
	}
	return text
}

func (w *mapping) decimal(what string, f *Field, code usage.Code) (d money.Decimal, sent bool) {
	text, ok := w.text(what, f, code)
	if !ok {
		return d, false
	}
	plain := text
	if w.fromFile { // a configuration writes its numbers with a point
		if plain = w.m.format.number(text); plain == "" {
			w.row.Fail(code, fmt.Sprintf("%s %q does not fit the format's decimal sign %q and thousands %q", what, cut(text), w.m.format.Decimal, w.m.format.Thousands))
			return d, false
		}
	}
	d, message := usage.ParseNumber(what, plain)
	if message != "" {
		w.row.Fail(code, message)
	}
	return d, true
}

// number rewrites a number of the file with a point and without grouping; empty when its signs are
// not where they belong, for 1.234 must not be read as one when the point groups thousands.
func (d *Delimited) number(text string) string {
	if d.Decimal == "." && d.Thousands == "" {
		return text
	}
	whole, fraction, hasFraction := strings.Cut(text, d.Decimal)
	if d.Thousands != "" && strings.Contains(whole, d.Thousands) {
		groups := strings.Split(whole, d.Thousands)
		for i, g := range groups {
			if i > 0 && len(g) != 3 || i == 0 && (len(strings.TrimLeft(g, "+-")) < 1 || len(strings.TrimLeft(g, "+-")) > 3) {
				return ""
			}
		}
		whole = strings.Join(groups, "")
	}
	if d.Decimal == "," && strings.Contains(whole+fraction, ".") || strings.Contains(fraction, d.Decimal) {
		return ""
	}
	if !hasFraction {
		return whole
	}
	return whole + "." + fraction
}

func (w *mapping) instant(f *Field) (instant int64, sent bool) {
	text, ok := w.text("time", f, usage.CodeTime)
	if !ok {
		return 0, false
	}
	if len(f.Layouts) == 0 {
		instant, message := usage.ParseTime(text)
		if message != "" {
			w.row.Fail(usage.CodeTime, message)
		}
		return instant, true
	}
	instant, message := parseTime(text, f)
	if message != "" {
		w.row.Fail(usage.CodeTime, message)
	}
	return instant, true
}
