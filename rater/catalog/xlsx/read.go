// Package xlsx reads and writes spreadsheets of Office Open XML (.xlsx) as rows of text. Numbers stay as they are stored: none passes
// through a float. It imports rater/catalog for the rows and the standard library; why no library reads them, ARCHITECTURE.md says under
// price lists.
//
// Invariants: what Write writes, Read reads back the same; a file costs no more memory than the bounds allow, however it is packed.
package xlsx

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/tollstream/tollstream/rater/catalog"
)

// Bounds of a spreadsheet.
const (
	maxPartBytes = 128 << 20 // of one part, unpacked
	maxRows      = 200_000
	maxColumns   = 1000
	maxCells     = 4_000_000
	maxCellBytes = 32_767 // what spreadsheets allow
)

// Read reads the first sheet of a workbook. Errors say what to do.
func Read(data []byte) (*catalog.Sheet, error) { return read(data, maxPartBytes) }

func read(data []byte, most int) (*catalog.Sheet, error) {
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fmt.Errorf("is no spreadsheet (%w): save it as .xlsx or as CSV UTF-8", err)
	}
	b := &book{parts: map[string]*zip.File{}, most: most}
	for _, f := range archive.File {
		b.parts[strings.TrimPrefix(path.Clean("/"+f.Name), "/")] = f
	}
	sheet, err := b.first()
	if err != nil {
		return nil, err
	}
	if b.shared != "" {
		if err := b.readShared(); err != nil {
			return nil, err
		}
	}
	if err := b.readSheet(sheet); err != nil {
		return nil, err
	}
	return &b.out, nil
}

type book struct {
	parts  map[string]*zip.File
	most   int      // bytes of a part
	shared string   // the part with the texts
	texts  []string // which cells name by number
	cells  int
	out    catalog.Sheet
}

// open gives a part, bounded.
func (b *book) open(name string) (io.ReadCloser, error) {
	f := b.parts[name]
	if f == nil {
		return nil, fmt.Errorf("is no spreadsheet: it has no part %s; save it as .xlsx or as CSV UTF-8", name)
	}
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("cannot be unpacked (%w): save it again", err)
	}
	return &bounded{r, b.most}, nil
}

var errTooLarge = errors.New("is too large when it is unpacked: split it into several files")

type bounded struct {
	io.ReadCloser
	left int
}

func (r *bounded) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if r.left -= n; r.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}

// decode reads a small part whole.
func (b *book) decode(name string, into any) error {
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

// first finds the part of the first sheet, and that of the texts.
func (b *book) first() (string, error) {
	var top, own relations
	if err := b.decode("_rels/.rels", &top); err != nil {
		return "", err
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
			Relation []xml.Attr `xml:",any,attr"`
		} `xml:"sheets>sheet"`
	}
	if err := b.decode(workbook, &w); err != nil {
		return "", err
	}
	if err := b.decode(path.Join(path.Dir(workbook), "_rels", path.Base(workbook)+".rels"), &own); err != nil {
		return "", err
	}
	b.out.Date1904 = w.Properties.Date1904 == "1" || w.Properties.Date1904 == "true"
	sheets := map[string]string{}
	for _, r := range own.All {
		switch {
		case strings.HasSuffix(r.Type, "/worksheet"):
			sheets[r.ID] = target(workbook, r.Target)
		case strings.HasSuffix(r.Type, "/sharedStrings"):
			b.shared = target(workbook, r.Target)
		}
	}
	for _, s := range w.Sheets {
		for _, a := range s.Relation {
			if name := sheets[a.Value]; a.Name.Local == "id" && a.Name.Space != "" && name != "" {
				return name, nil
			}
		}
	}
	return "", errors.New("has no sheet with rows: put the prices on its first sheet")
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

// elements calls visit for each element of the name, which reads it.
func (b *book) elements(part, name string, visit func(d *xml.Decoder, e *xml.StartElement) error) error {
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

func (b *book) readShared() error {
	return b.elements(b.shared, "si", func(d *xml.Decoder, e *xml.StartElement) error {
		if len(b.texts) == maxCells {
			return errTooLarge
		}
		var t text
		if err := d.DecodeElement(&t, e); err != nil {
			return err
		}
		b.texts = append(b.texts, unescaped(t.all()))
		return nil
	})
}

type xmlRow struct {
	Number int `xml:"r,attr"`
	Cells  []struct {
		Place  string  `xml:"r,attr"`
		Type   string  `xml:"t,attr"`
		Value  *string `xml:"v"`
		Inline text    `xml:"is"`
	} `xml:"c"`
}

func (b *book) readSheet(part string) error {
	line := 0
	return b.elements(part, "row", func(d *xml.Decoder, e *xml.StartElement) error {
		var x xmlRow
		if err := d.DecodeElement(&x, e); err != nil {
			return err
		}
		if line++; x.Number > 0 {
			line = x.Number
		}
		if len(b.out.Rows) == maxRows {
			return fmt.Errorf("more than %d rows: split it into several files", maxRows)
		}
		row := catalog.SheetRow{Line: line}
		for i := range x.Cells {
			c := &x.Cells[i]
			at := len(row.Cells)
			if c.Place != "" {
				var ok bool
				if at, ok = columnOf(c.Place); !ok {
					return fmt.Errorf("the cell %q is nowhere", c.Place)
				}
			}
			if at >= maxColumns {
				return fmt.Errorf("more than %d columns", maxColumns)
			}
			for len(row.Cells) <= at {
				row.Cells = append(row.Cells, catalog.Cell{})
				if b.cells++; b.cells > maxCells {
					return fmt.Errorf("more than %d cells: split it into several files", maxCells)
				}
			}
			value := ""
			if c.Value != nil {
				value = *c.Value
			}
			var err error
			if row.Cells[at], err = b.cell(c.Type, value, &c.Inline); err != nil {
				return fmt.Errorf("the cell %s: %w", c.Place, err)
			}
		}
		b.out.Rows = append(b.out.Rows, row)
		return nil
	})
}

// cell reads a value by the type that stands beside it.
func (b *book) cell(kind, value string, inline *text) (catalog.Cell, error) {
	switch kind {
	case "s":
		n, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil || n < 0 || n >= len(b.texts) {
			return catalog.Cell{}, fmt.Errorf("names the text %q, which there is not", value)
		}
		return catalog.Cell{Text: b.texts[n]}, nil
	case "inlineStr":
		return catalog.Cell{Text: unescaped(inline.all())}, nil
	case "str":
		return catalog.Cell{Text: unescaped(value)}, nil
	case "d": // a date of ISO 8601, rarely written
		return catalog.Cell{Text: strings.TrimSuffix(value, "T00:00:00")}, nil
	case "b":
		if value == "1" || value == "true" {
			return catalog.Cell{Text: "true", Kind: catalog.CellBool}, nil
		}
		return catalog.Cell{Text: "false", Kind: catalog.CellBool}, nil
	case "e":
		return catalog.Cell{Text: value, Kind: catalog.CellError}, nil
	}
	if value = strings.TrimSpace(value); value == "" {
		return catalog.Cell{}, nil
	}
	return catalog.Cell{Text: value, Kind: catalog.CellNumber}, nil
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
