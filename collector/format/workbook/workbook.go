// Package workbook reads spreadsheets of Office Open XML (.xlsx) row by row. Numbers stay as they are
// stored: none passes through a float. It imports the standard library only; why no library reads them,
// ARCHITECTURE.md says under price lists.
//
// Invariants: memory is bounded by the limits, however a file is packed; rows are not kept.
package workbook

import (
	"archive/zip"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
)

// Limits bound what a spreadsheet may take.
type Limits struct {
	PartBytes int64 // of one part, unpacked
	Rows      int
	Columns   int
	Texts     int   // that cells share
	TextBytes int64 // of all of them
}

// Kind is what a cell holds.
type Kind uint8

// The kinds of a cell.
const (
	Text Kind = iota
	Number
	Date // a number that is shown as a date or a time
	Bool
	Error
)

// Cell is a value as it is stored.
type Cell struct {
	Text string
	Kind Kind
}

// Row is a row with its number, from 1. Cells that a file leaves out are empty ones.
type Row struct {
	Line  int
	Cells []Cell
}

// Book is an open workbook.
type Book struct {
	Date1904 bool // days are counted from 1904 instead of 1900

	limits    Limits
	parts     map[string]*zip.File
	sheets    []sheet
	shared    string   // the part with the texts
	styles    string   // and that with the styles
	texts     []string // which cells name by number
	textBytes int64
	dates     []bool // styles that show a date or a time
}

type sheet struct{ name, part string }

// Open reads what stands beside the rows. Errors say what to do.
func Open(at io.ReaderAt, size int64, limits Limits) (*Book, error) {
	archive, err := zip.NewReader(at, size)
	if err != nil {
		return nil, fmt.Errorf("is no spreadsheet (%w): save it as .xlsx or as CSV UTF-8", err)
	}
	b := &Book{parts: map[string]*zip.File{}, limits: limits}
	for _, f := range archive.File {
		b.parts[strings.TrimPrefix(path.Clean("/"+f.Name), "/")] = f
	}
	if err := b.contents(); err != nil {
		return nil, err
	}
	if b.shared != "" {
		if err := b.readShared(); err != nil {
			return nil, err
		}
	}
	if b.parts[b.styles] != nil {
		if err := b.readStyles(); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// Sheets are the names of the sheets with rows, in their order.
func (b *Book) Sheets() []string {
	names := make([]string, len(b.sheets))
	for i, s := range b.sheets {
		names[i] = s.name
	}
	return names
}

// open gives a part, bounded.
func (b *Book) open(name string) (io.ReadCloser, error) {
	f := b.parts[name]
	if f == nil {
		return nil, fmt.Errorf("is no spreadsheet: it has no part %s; save it as .xlsx or as CSV UTF-8", name)
	}
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("cannot be unpacked (%w): save it again", err)
	}
	return &bounded{r, b.limits.PartBytes}, nil
}

var errTooLarge = errors.New("is too large when it is unpacked: split it into several files")

type bounded struct {
	io.ReadCloser
	left int64
}

func (r *bounded) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if r.left -= int64(n); r.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}

// decode reads a small part whole.
func (b *Book) decode(name string, into any) error {
	r, err := b.open(name)
	if err != nil {
		return err
	}
	if err = xml.NewDecoder(r).Decode(into); err == nil {
		_, err = io.Copy(io.Discard, r) // the checksum comes at the end
	}
	return unreadable(name, errors.Join(err, r.Close()))
}

func unreadable(name string, err error) error {
	if err == nil || errors.Is(err, errTooLarge) {
		return err
	}
	return fmt.Errorf("its part %s cannot be read (%w): save it again", name, err)
}

type relations struct {
	All []struct {
		ID     string `xml:"Id,attr"`
		Type   string `xml:"Type,attr"`
		Target string `xml:"Target,attr"`
	} `xml:"Relationship"`
}

// target resolves a relation of a part.
func target(from, to string) string {
	if strings.HasPrefix(to, "/") {
		return strings.TrimPrefix(path.Clean(to), "/")
	}
	return path.Join(path.Dir(from), to)
}

// contents finds the parts of the sheets, and those of the texts and styles.
func (b *Book) contents() error {
	var top, own relations
	if err := b.decode("_rels/.rels", &top); err != nil {
		return err
	}
	workbook := ""
	for _, r := range top.All {
		if strings.HasSuffix(r.Type, "/officeDocument") {
			workbook = target("x", r.Target)
		}
	}
	var w struct {
		Properties struct {
			Date1904 string `xml:"date1904,attr"`
		} `xml:"workbookPr"`
		Sheets []struct {
			Name     string     `xml:"name,attr"`
			Relation []xml.Attr `xml:",any,attr"`
		} `xml:"sheets>sheet"`
	}
	if err := b.decode(workbook, &w); err != nil {
		return err
	}
	if err := b.decode(path.Join(path.Dir(workbook), "_rels", path.Base(workbook)+".rels"), &own); err != nil {
		return err
	}
	b.Date1904 = w.Properties.Date1904 == "1" || w.Properties.Date1904 == "true"
	parts := map[string]string{}
	for _, r := range own.All {
		switch {
		case strings.HasSuffix(r.Type, "/worksheet"):
			parts[r.ID] = target(workbook, r.Target)
		case strings.HasSuffix(r.Type, "/sharedStrings"):
			b.shared = target(workbook, r.Target)
		case strings.HasSuffix(r.Type, "/styles"):
			b.styles = target(workbook, r.Target)
		}
	}
	for _, s := range w.Sheets {
		for _, a := range s.Relation {
			if part := parts[a.Value]; a.Name.Local == "id" && a.Name.Space != "" && part != "" {
				b.sheets = append(b.sheets, sheet{s.Name, part})
			}
		}
	}
	return nil
}

// text is what a cell or a shared text holds: plain, or in runs, among which hints of pronunciation are none of it.
type text struct {
	Plain []string `xml:"t"`
	Runs  []struct {
		Plain []string `xml:"t"`
	} `xml:"r"`
}

func (t *text) all() string {
	var b strings.Builder
	for _, s := range t.Plain {
		b.WriteString(s)
	}
	for _, r := range t.Runs {
		for _, s := range r.Plain {
			b.WriteString(s)
		}
	}
	return b.String()
}

func (b *Book) readShared() error {
	return b.elements(b.shared, "si", func(d *xml.Decoder, e *xml.StartElement) error {
		var t text
		if err := d.DecodeElement(&t, e); err != nil {
			return err
		}
		content := unescaped(t.all())
		if b.textBytes += int64(len(content)); b.textBytes > b.limits.TextBytes || len(b.texts) == b.limits.Texts {
			return errTooLarge
		}
		b.texts = append(b.texts, content)
		return nil
	})
}

// readStyles finds the styles that show a date or a time.
func (b *Book) readStyles() error {
	var s struct {
		Formats []struct {
			ID   int    `xml:"numFmtId,attr"`
			Code string `xml:"formatCode,attr"`
		} `xml:"numFmts>numFmt"`
		Cells []struct {
			Format int `xml:"numFmtId,attr"`
		} `xml:"cellXfs>xf"`
	}
	if err := b.decode(b.styles, &s); err != nil {
		return err
	}
	own := map[int]bool{}
	for _, f := range s.Formats {
		own[f.ID] = showsDate(f.Code)
	}
	for _, c := range s.Cells {
		date, known := own[c.Format]
		b.dates = append(b.dates, date || !known && (c.Format >= 14 && c.Format <= 22 || c.Format >= 45 && c.Format <= 47))
	}
	return nil
}

// showsDate looks for the letters of a date or a time in a format's code, outside of quotes, escapes and conditions.
func showsDate(code string) bool {
	for i := 0; i < len(code); i++ {
		switch c := code[i]; c {
		case '\\', '_', '*':
			i++
		case '"', '[':
			end := strings.IndexByte(code[i+1:], map[byte]byte{'"': '"', '[': ']'}[c])
			if end < 0 {
				return false
			}
			inside := strings.ToLower(code[i+1 : i+1+end])
			if c == '[' && (inside == "h" || inside == "hh" || inside == "m" || inside == "mm" || inside == "s" || inside == "ss") {
				return true
			}
			i += end + 1
		case 'y', 'Y', 'd', 'D', 'm', 'M', 'h', 'H', 's', 'S':
			return true
		case 'E', 'G', 'g': // an exponent, or General
			return false
		}
	}
	return false
}

// elements calls visit for each element of the name, which reads it.
func (b *Book) elements(part, name string, visit func(d *xml.Decoder, e *xml.StartElement) error) error {
	r, err := b.open(part)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // it was only read
	d := xml.NewDecoder(r)
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return unreadable(part, err)
		}
		if e, ok := t.(xml.StartElement); ok && e.Name.Local == name {
			if err := visit(d, &e); err != nil {
				return unreadable(part, err)
			}
		}
	}
}

// Rows are the rows of a sheet.
type Rows struct {
	book   *Book
	part   string
	in     io.ReadCloser
	tokens *xml.Decoder
	line   int
	count  int
}

// Rows opens a sheet by its name; empty: the first.
func (b *Book) Rows(name string) (*Rows, error) {
	for _, s := range b.sheets {
		if name != "" && s.name != name {
			continue
		}
		in, err := b.open(s.part)
		if err != nil {
			return nil, err
		}
		return &Rows{book: b, part: s.part, in: in, tokens: xml.NewDecoder(in)}, nil
	}
	if name == "" {
		return nil, errors.New("has no sheet with rows: put them on its first sheet")
	}
	return nil, fmt.Errorf("has no sheet %q with rows; it has %q", name, b.Sheets())
}

// Close lets go of the sheet.
func (r *Rows) Close() error { return r.in.Close() }

type xmlRow struct {
	Number int `xml:"r,attr"`
	Cells  []struct {
		Place  string  `xml:"r,attr"`
		Type   string  `xml:"t,attr"`
		Style  int     `xml:"s,attr"`
		Value  *string `xml:"v"`
		Inline text    `xml:"is"`
	} `xml:"c"`
}

// Next reads a row that the file has; io.EOF at the end.
func (r *Rows) Next(row *Row) error {
	for {
		t, err := r.tokens.Token()
		if errors.Is(err, io.EOF) {
			return io.EOF
		}
		if err != nil {
			return unreadable(r.part, err)
		}
		e, ok := t.(xml.StartElement)
		if !ok || e.Name.Local != "row" {
			continue
		}
		if err := r.take(row, &e); err != nil {
			return unreadable(r.part, err)
		}
		return nil
	}
}

func (r *Rows) take(row *Row, e *xml.StartElement) error {
	var x xmlRow
	if err := r.tokens.DecodeElement(&x, e); err != nil {
		return err
	}
	if r.line++; x.Number > 0 {
		r.line = x.Number
	}
	if r.count++; r.count > r.book.limits.Rows {
		return fmt.Errorf("more than %d rows: split it into several files", r.book.limits.Rows)
	}
	*row = Row{Line: r.line, Cells: row.Cells[:0]}
	for i := range x.Cells {
		c := &x.Cells[i]
		at := len(row.Cells)
		if c.Place != "" {
			var ok bool
			if at, ok = columnOf(c.Place); !ok {
				return fmt.Errorf("the cell %q is nowhere", c.Place)
			}
		}
		if at >= r.book.limits.Columns {
			return fmt.Errorf("more than %d columns", r.book.limits.Columns)
		}
		for len(row.Cells) <= at {
			row.Cells = append(row.Cells, Cell{})
		}
		value := ""
		if c.Value != nil {
			value = *c.Value
		}
		var err error
		if row.Cells[at], err = r.book.cell(c.Type, value, c.Style, &c.Inline); err != nil {
			return fmt.Errorf("the cell %s: %w", c.Place, err)
		}
	}
	return nil
}

// cell reads a value by the type that stands beside it.
func (b *Book) cell(kind, value string, style int, inline *text) (Cell, error) {
	switch kind {
	case "s":
		n, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil || n < 0 || n >= len(b.texts) {
			return Cell{}, fmt.Errorf("names the text %q, which there is not", value)
		}
		return Cell{Text: b.texts[n]}, nil
	case "inlineStr":
		return Cell{Text: unescaped(inline.all())}, nil
	case "str":
		return Cell{Text: unescaped(value)}, nil
	case "d": // a date of ISO 8601, rarely written
		return Cell{Text: strings.TrimSuffix(value, "T00:00:00")}, nil
	case "b":
		if value == "1" || value == "true" {
			return Cell{Text: "true", Kind: Bool}, nil
		}
		return Cell{Text: "false", Kind: Bool}, nil
	case "e":
		return Cell{Text: value, Kind: Error}, nil
	}
	if value = strings.TrimSpace(value); value == "" {
		return Cell{}, nil
	}
	if style > 0 && style < len(b.dates) && b.dates[style] {
		return Cell{Text: value, Kind: Date}, nil
	}
	return Cell{Text: value, Kind: Number}, nil
}

// columnOf reads the letters of a place such as AB12, from 0.
func columnOf(place string) (column int, ok bool) {
	for _, c := range place {
		if c < 'A' || c > 'Z' {
			break
		}
		if column = column*26 + int(c-'A') + 1; column > 1<<20 {
			return 0, false
		}
	}
	return column - 1, column > 0
}

// unescaped reads _x000D_, which stands for a character that XML does not have.
func unescaped(s string) string {
	if !strings.Contains(s, "_x") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		if len(s)-i >= 7 && s[i] == '_' && s[i+1] == 'x' && s[i+6] == '_' {
			if c, err := strconv.ParseUint(s[i+2:i+6], 16, 16); err == nil && (c < 0xd800 || c > 0xdfff) {
				b.WriteRune(rune(c))
				i += 7
				continue
			}
		}
		b.WriteByte(s[i])
		i++
	}
	return b.String()
}
