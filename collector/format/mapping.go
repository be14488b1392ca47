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
}

// Attribute is a mapped attribute.
type Attribute struct {
	Name  string
	Field *Field
}

// Field is where the text of a member comes from: a value of the record, or Value.
type Field struct {
	From    string // the path of a record's value: a column's name, a member, an element
	Column  int    // or the number of a column, from 1
	Value   string // or a constant
	Default string // stands where the value is empty or null
	Steps   []Step // done to the record's text in this order; not to Value and Default
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

// Mapper maps the records of one file.
type Mapper struct {
	mapping  *Mapping
	notation *Notation
	places   map[*Field]int // of a record's fields
	paths    []Path
	fileID   string
}

// NewMapper prepares the mapping of a file's records, whose values are written in the notation. fileID
// names the file's content.
func NewMapper(mapping *Mapping, notation *Notation, fileID string) *Mapper {
	m := &Mapper{mapping: mapping, notation: notation, places: map[*Field]int{}, fileID: fileID}
	for path, field := range mapping.Paths() {
		m.places[field] = len(m.paths)
		m.paths = append(m.paths, path)
	}
	return m
}

// Paths are the values that the mapper reads of a record, in the order of its fields.
func (m *Mapper) Paths() []Path { return m.paths }

// Paths walks over the paths of all members that read one.
func (m *Mapping) Paths() func(yield func(Path, *Field) bool) {
	return func(yield func(Path, *Field) bool) {
		for member, f := range m.Fields() {
			if (f.From != "" || f.Column != 0) && !yield(Path{Name: f.From, Column: f.Column, Member: "mapping." + member}, f) {
				return
			}
		}
	}
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
	at, read := w.m.places[f]
	if w.fromFile = read; !read {
		return f.Value, f.Value != ""
	}
	text := w.row.Fields[at]
	if text != "" && slices.Contains(w.m.notation.Null, text) {
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
		d, message := usage.ParseNumber(what, w.m.notation.number(text))
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
		return strings.Replace(d.String(), ".", w.m.notation.Decimal, 1)
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
		if plain = w.m.notation.number(text); plain == "" {
			w.row.Fail(code, fmt.Sprintf("%s %q does not fit the format's decimal sign %q and thousands %q", what, cut(text), w.m.notation.Decimal, w.m.notation.Thousands))
			return d, false
		}
	}
	d, message := usage.ParseNumber(what, plain)
	if message != "" {
		w.row.Fail(code, message)
	}
	return d, true
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
