// Package format turns the bytes of a file into usage events: a Format cuts them into records, and a
// Mapper makes the members of an event out of a record's values.
//
// It imports collector/usage, ledger/money and readers of encodings. It reads no clock and opens
// nothing. Invariants: memory does not grow with the file; a record that is wrong is reported with
// its line and costs no other record; numbers never pass through a float; the same bytes under the
// same configuration always give the same events, so that a file that is read twice gives duplicates.
package format

import (
	"fmt"
	"io"
	"strings"

	"github.com/tollstream/tollstream/collector/usage"
)

// Format is how the content of a file is cut into records.
type Format interface {
	// Check gives what is wrong with the description: the member and the reason.
	Check() (member, message string)
	// CheckPath gives what is wrong with a path that a mapping names, empty when nothing is.
	CheckPath(p Path) (message string)
	// Notation is how the format's values are written.
	Notation() *Notation
	// Open goes to the position and reads the values of the paths, in their order, from there on. An
	// error names a path that the file cannot have, or says that reading failed.
	Open(in Input, paths []Path, from Position) (Reader, error)
}

// Reader gives the records of one file, one after the other.
type Reader interface {
	// Next reads a record. It gives io.EOF at the end, and the input's error if reading failed: what was
	// read of the last record then does not count.
	Next(row *Row) error
	// Position is where the next record starts.
	Position() Position
	// Close lets go of the input.
	Close() error
}

// Input is the content of a file, unpacked.
type Input interface {
	// Stream reads from the offset to the end.
	Stream(offset int64) (io.ReadCloser, error)
	// Whole is the content at any place, for formats that have their directory at the end; ok is false
	// where it is packed, and can only be read from the front.
	Whole() (at io.ReaderAt, size int64, ok bool)
}

// Plain is an input of bytes as they are.
func Plain(at io.ReaderAt, size int64) Input { return plain{at, size} }

type plain struct {
	at   io.ReaderAt
	size int64
}

func (p plain) Stream(offset int64) (io.ReadCloser, error) {
	return io.NopCloser(io.NewSectionReader(p.at, offset, max(p.size-offset, 0))), nil
}

func (p plain) Whole() (io.ReaderAt, int64, bool) { return p.at, p.size, true }

// Once is an input that can be read from its beginning, one time.
func Once(in io.Reader) Input { return once{in} }

type once struct{ in io.Reader }

func (o once) Stream(offset int64) (io.ReadCloser, error) {
	if _, err := io.CopyN(io.Discard, o.in, offset); err != nil {
		return nil, fmt.Errorf("go to byte %d: %w", offset, err)
	}
	return io.NopCloser(o.in), nil
}

func (o once) Whole() (io.ReaderAt, int64, bool) { return nil, 0, false }

// Path names a value of a record.
type Path struct {
	Name   string // of a column, a member, an element
	Column int    // or the number of a column, from 1
	Member string // of the mapping that asks for it, for messages
}

func (p Path) String() string {
	if p.Name == "" {
		return fmt.Sprintf("column %d", p.Column)
	}
	return fmt.Sprintf("%q", p.Name)
}

// Position is a place between two records.
type Position struct {
	Offset int64 // bytes of decoded text before it, in formats that can begin there
	Line   int64 // number of the line that starts there, or of the record where the format knows no lines; from 1
}

// Start is the position before everything.
var Start = Position{Offset: 0, Line: 1}

// Row is a record, or a bad one: then Code and Message say why, Raw shows it, and Fields is of no use.
type Row struct {
	Line    int64    // of its first line, as an editor counts, or its number where the format knows no lines
	Fields  []string // of the paths, in their order; empty for what is not there
	Code    usage.Code
	Message string
	Raw     string // of a bad record, the beginning of its text
	ID      string // of the event that was mapped last, as far as it is known
	text    string // of a good record
	width   int    // columns that it has
	torn    bool   // it is the last and its line has no end
}

// Bytes is about how long the record is.
func (r *Row) Bytes() int {
	n := len(r.text)
	if n == 0 {
		for _, f := range r.Fields {
			n += len(f)
		}
	}
	return n
}

// Fail makes the record a bad one.
func (r *Row) Fail(code usage.Code, message string) {
	if r.Code == "" {
		r.Code, r.Message = code, message
		if r.Raw == "" && r.text == "" { // of a format without text
			r.Raw = cut(strings.ToValidUTF8(fmt.Sprintf("%q", r.Fields), "\ufffd"))
		} else if r.Raw == "" {
			r.Raw = cut(strings.TrimRight(r.text, "\r\n"))
		}
	}
}

// Notation is how values are written.
type Notation struct {
	Decimal   string   // the decimal sign of numbers, "." or ","
	Thousands string   // what groups the digits of numbers by three; empty: nothing
	Null      []string // texts that stand for nothing
}

// DefaultNotation is what a configuration changes.
func DefaultNotation() Notation { return Notation{Decimal: "."} }

// Check gives what is wrong with the notation: the member and the reason.
func (n *Notation) Check() (member, message string) {
	switch {
	case n.Decimal != "." && n.Decimal != ",":
		return "decimal", `must be "." or ","`
	case n.Thousands == n.Decimal || len(n.Thousands) > 2 || strings.ContainsAny(n.Thousands, "0123456789-+eE"):
		return "thousands", "must be one character other than the decimal sign, a digit or a sign, or empty for none"
	}
	return "", ""
}

// number rewrites a number of the file with a point and without grouping; empty when its signs are
// not where they belong, for 1.234 must not be read as one when the point groups thousands.
func (n *Notation) number(text string) string {
	if n.Decimal == "." && n.Thousands == "" {
		return text
	}
	whole, fraction, hasFraction := strings.Cut(text, n.Decimal)
	if n.Thousands != "" && strings.Contains(whole, n.Thousands) {
		groups := strings.Split(whole, n.Thousands)
		for i, g := range groups {
			if i > 0 && len(g) != 3 || i == 0 && (len(strings.TrimLeft(g, "+-")) < 1 || len(strings.TrimLeft(g, "+-")) > 3) {
				return ""
			}
		}
		whole = strings.Join(groups, "")
	}
	if n.Decimal == "," && strings.Contains(whole+fraction, ".") || strings.Contains(fraction, n.Decimal) {
		return ""
	}
	if !hasFraction {
		return whole
	}
	return whole + "." + fraction
}
