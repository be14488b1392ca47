package format

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tollstream/tollstream/collector/usage"
)

// Fixed is text whose columns begin at the same place in every line.
type Fixed struct {
	Columns    []Column
	SkipRows   int  // lines before the first record
	ShortLines bool // what a short line lacks is empty; else it is a bad one
	Encoding   string
	Values     Notation
}

// Column is a place in a line, counted in characters.
type Column struct {
	Name   string
	Start  int // of its first character, from 1
	Length int
	Keep   bool // white space around the text
}

// DefaultFixed is what a configuration changes.
func DefaultFixed() Fixed { return Fixed{Values: DefaultNotation()} }

// Check implements Format.
func (f *Fixed) Check() (member, message string) {
	if len(f.Columns) == 0 || len(f.Columns) > maxColumns {
		return "columns", fmt.Sprintf("needs 1 to %d columns, each with name, start and length", maxColumns)
	}
	for i, c := range f.Columns {
		switch {
		case c.Name == "":
			return "columns", fmt.Sprintf("column %d has no name", i+1)
		case c.Start < 1 || c.Length < 1 || c.Start+c.Length > MaxRecordBytes:
			return "columns", fmt.Sprintf("column %q: start counts from 1, and length is at least 1", c.Name)
		case slices.ContainsFunc(f.Columns[:i], func(other Column) bool { return other.Name == c.Name }):
			return "columns", fmt.Sprintf("column %q stands twice", c.Name)
		}
	}
	if f.SkipRows < 0 || f.SkipRows > 1_000_000 {
		return "skip_rows", "must be 0 to 1,000,000"
	}
	return checkText(f.Encoding, &f.Values)
}

// CheckPath implements Format.
func (f *Fixed) CheckPath(p Path) string {
	if p.Name == "" && p.Column <= len(f.Columns) || f.column(p.Name) >= 0 {
		return ""
	}
	names := make([]string, len(f.Columns))
	for i, c := range f.Columns {
		names[i] = c.Name
	}
	return fmt.Sprintf("%s is none of format.columns; they are %s", p, listed(names))
}

func (f *Fixed) column(name string) int {
	return slices.IndexFunc(f.Columns, func(c Column) bool { return c.Name == name })
}

// Notation implements Format.
func (f *Fixed) Notation() *Notation { return &f.Values }

// Open implements Format.
func (f *Fixed) Open(in Input, paths []Path, from Position) (Reader, error) {
	text, err := openLines(in, f.Encoding, from)
	if err != nil {
		return nil, err
	}
	r := &fixedReader{lines: text, format: f}
	for _, p := range paths {
		at := p.Column - 1
		if p.Name != "" {
			at = f.column(p.Name)
		}
		r.columns = append(r.columns, f.Columns[at])
	}
	for _, c := range f.Columns {
		r.length = max(r.length, c.Start-1+c.Length)
	}
	for range max(f.SkipRows-int(from.Line-1), 0) {
		if _, _, _, err := text.next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
	}
	return r, nil
}

type fixedReader struct {
	*lines
	format  *Fixed
	columns []Column
	length  int // characters of a line
}

// Position implements Reader.
func (r *fixedReader) Position() Position { return r.at }

// Close implements Reader.
func (r *fixedReader) Close() error { return r.closer.Close() } //nolint:wrapcheck // only read

// Next implements Reader; empty lines are passed over.
func (r *fixedReader) Next(row *Row) error {
	for {
		line := r.at.Line
		text, torn, bad, err := r.next()
		if err != nil {
			return err
		}
		if len(text) == 0 || text[0] == 0x1a && len(bytes.TrimSpace(text)) == 1 { // the end mark of old systems
			continue
		}
		*row = Row{Line: line, Fields: row.Fields[:0], torn: torn}
		if bad != "" {
			row.bad(text, usage.CodeRow, bad)
			return nil
		}
		row.text = string(text)
		r.cut(row)
		return nil
	}
}

func (r *fixedReader) cut(row *Row) {
	length := len(row.text)
	plain := true
	for i := 0; i < len(row.text) && plain; i++ {
		plain = row.text[i] < utf8.RuneSelf
	}
	if !plain {
		length = utf8.RuneCountInString(row.text)
	}
	if length < r.length && !r.format.ShortLines {
		torn := ""
		if row.torn {
			torn = ": the last line is torn"
		}
		row.Fail(usage.CodeRow, fmt.Sprintf("the line has %d characters instead of %d%s", length, r.length, torn))
		return
	}
	for _, c := range r.columns {
		from, to := min(c.Start-1, length), min(c.Start-1+c.Length, length)
		if !plain {
			from, to = byteOf(row.text, from), byteOf(row.text, to)
		}
		field := row.text[from:to]
		if !c.Keep {
			field = strings.TrimSpace(field)
		}
		row.Fields = append(row.Fields, field)
	}
}

// byteOf gives where the n-th character begins, from 0.
func byteOf(s string, n int) int {
	for i := range s {
		if n == 0 {
			return i
		}
		n--
	}
	return len(s)
}
