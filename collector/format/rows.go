package format

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/tollstream/tollstream/collector/usage"
)

// Bounds of a row.
const (
	MaxRowBytes = 256 << 10
	maxColumns  = 4096
	maxRawBytes = 1024 // of a bad row's text that is kept
	readBytes   = 64 << 10
)

// Rows cuts text into rows. After a row that cannot be cut (an open quote, text behind a closing
// one, too long) it goes on at the line after that row's first line, so that a quote that was lost
// costs one row and not the file.
type Rows struct {
	Header []string // the names of the columns; nil when the format has none

	in     io.Reader
	closer io.Closer
	format *Delimited
	quote  int // the quote's byte, -1 for none
	escape int
	buffer []byte
	from   int // unread bytes are buffer[from:]
	eof    bool
	err    error
	at     Position
	skip   bool // in the middle of a line that is too long

	columns []int // from 0, of the paths; nil: a row has all its columns
	width   int   // columns that a row must have; 0: any
	exact   bool  // or at least
}

// newRows reads from the position, at which in already stands.
func newRows(in io.Reader, format *Delimited, at Position) *Rows {
	rows := &Rows{in: in, format: format, quote: -1, escape: -1, at: at}
	if format.Quote != "" {
		rows.quote = int(format.Quote[0])
	}
	if format.Escape != "" && format.Escape != format.Quote {
		rows.escape = int(format.Escape[0])
	}
	return rows
}

// Position implements Reader.
func (r *Rows) Position() Position { return r.at }

// Close implements Reader.
func (r *Rows) Close() error {
	if r.closer == nil {
		return nil
	}
	return r.closer.Close() //nolint:wrapcheck // only read
}

// skipLines passes over lines, whatever they hold.
func (r *Rows) skipLines(n int) error {
	for range n {
		for {
			i := bytes.IndexByte(r.buffer[r.from:], '\n')
			if i >= 0 {
				r.advance(i+1, 1)
				break
			}
			r.advance(len(r.buffer)-r.from, 0)
			if r.eof {
				return r.end()
			}
			r.fill()
		}
	}
	return nil
}

// end is what there is to say at the end of the input.
func (r *Rows) end() error {
	if r.err != nil {
		return r.err
	}
	return io.EOF
}

func (r *Rows) advance(n int, lines int64) {
	r.from += n
	r.at.Offset += int64(n)
	r.at.Line += lines
}

// fill reads more behind what is unread.
func (r *Rows) fill() {
	if r.from > 0 {
		r.buffer = append(r.buffer[:0], r.buffer[r.from:]...)
		r.from = 0
	}
	if cap(r.buffer)-len(r.buffer) < readBytes {
		grown := make([]byte, len(r.buffer), max(2*cap(r.buffer), 2*readBytes))
		copy(grown, r.buffer)
		r.buffer = grown
	}
	n, err := r.in.Read(r.buffer[len(r.buffer):cap(r.buffer)])
	r.buffer = r.buffer[:len(r.buffer)+n]
	if err != nil {
		r.eof = true
		if !errors.Is(err, io.EOF) {
			r.err = fmt.Errorf("read line %d: %w", r.at.Line, err)
		}
	}
}

// Next implements Reader; empty lines are passed over.
func (r *Rows) Next(row *Row) error {
	for {
		if r.skip {
			if err := r.skipRest(); err != nil {
				return err
			}
		}
		data := r.buffer[r.from:]
		if len(data) == 0 {
			if r.eof {
				return r.end()
			}
			r.fill()
			continue
		}
		if r.at.Offset == 0 && r.startsWithMark(data) {
			continue
		}
		*row = Row{Line: r.at.Line, Fields: row.Fields[:0]}
		n, lines, state := r.cut(data, row)
		switch {
		case r.err != nil && r.unfinished(data, n, state):
			return r.err
		case state == rowBad && !r.eof && len(data) < MaxRowBytes && bytes.IndexByte(data, '\n') < 0:
			r.fill() // to show the whole line
			continue
		case state == rowMore && r.eof:
			row.Fail(usage.CodeRow, "a quote is opened and never closed: the row is torn")
			r.bad(row, data)
			return nil
		case state == rowMore && len(data) < MaxRowBytes:
			r.fill()
			continue
		case state == rowMore:
			row.Fail(usage.CodeRow, fmt.Sprintf("the row is longer than %d bytes, or a quote in it is never closed", MaxRowBytes))
			r.bad(row, data)
			return nil
		case state == rowEmpty:
			r.advance(n, lines)
			continue
		case state == rowBad:
			r.bad(row, data)
			return nil
		}
		r.advance(n, lines)
		row.torn = r.eof && r.from == len(r.buffer) && !strings.HasSuffix(row.text, "\n")
		r.checkText(row)
		r.checkWidth(row)
		return nil
	}
}

// unfinished reports whether the row lacks what could not be read.
func (r *Rows) unfinished(data []byte, n int, state rowState) bool {
	switch state {
	case rowMore:
		return true
	case rowBad:
		return bytes.IndexByte(data, '\n') < 0
	default:
		return n == len(data) && data[n-1] != '\n'
	}
}

// startsWithMark drops a byte order mark from the start of the text; true when the caller looks again.
func (r *Rows) startsWithMark(data []byte) bool {
	const mark = "\ufeff"
	if len(data) < len(mark) && !r.eof {
		r.fill()
		return true
	}
	if bytes.HasPrefix(data, []byte(mark)) {
		r.advance(len(mark), 0)
		return true
	}
	return false
}

// skipRest passes over the rest of a line that was too long.
func (r *Rows) skipRest() error {
	if err := r.skipLines(1); err != nil {
		return err
	}
	r.skip = false
	return nil
}

// bad reports the row by its first line and goes on behind it.
func (r *Rows) bad(row *Row, data []byte) {
	line := data
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		line = data[:i+1]
		r.advance(i+1, 1)
	} else {
		r.advance(len(data), 0)
		r.skip = !r.eof
	}
	row.Raw = cut(strings.ToValidUTF8(string(bytes.TrimRight(line[:min(len(line), maxRawBytes+4)], "\r\n")), "\ufffd"))
}

// cut shortens text that is kept to look at.
func cut(s string) string {
	s = strings.ReplaceAll(s, "\x00", "\ufffd")
	if len(s) <= maxRawBytes {
		return s
	}
	n := maxRawBytes
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// checkText looks for what no column may hold.
func (r *Rows) checkText(row *Row) {
	decoded := r.format.Encoding != "" && !strings.EqualFold(r.format.Encoding, "utf-8") && !strings.EqualFold(r.format.Encoding, "utf8")
	switch {
	case !utf8.ValidString(row.text):
		row.Raw = cut(strings.ToValidUTF8(strings.TrimRight(row.text, "\r\n"), "\ufffd"))
		row.Fail(usage.CodeUTF8, "the row is not valid UTF-8; set the format's encoding to that of the file, or to auto")
	case decoded && strings.ContainsRune(row.text, utf8.RuneError):
		row.Fail(usage.CodeUTF8, "the row has bytes that the encoding "+r.format.Encoding+" does not know")
	case row.torn && r.format.FinalNewline:
		row.Fail(usage.CodeRow, "the last line is torn: it has no line end")
	}
}

// rowState is how cutting a row ended.
type rowState uint8

const (
	rowDone  rowState = iota
	rowEmpty          // a line without anything
	rowMore           // the row goes on behind the data
	rowBad
)

// cut cuts the row that data starts with. It gives the bytes and lines that the row takes.
func (r *Rows) cut(data []byte, row *Row) (n int, lines int64, state rowState) {
	// One pass finds the end and the columns as ranges; text is copied once at the end.
	var clean []column
	var stack [64]column
	clean = stack[:0]
	i := 0
	for {
		c := column{from: i}
		if r.quote >= 0 && i < len(data) && int(data[i]) == r.quote {
			after, ok := r.quoted(data, i+1, &c, &lines)
			if !ok {
				return 0, 0, rowMore
			}
			c.quoted, i = true, after
		} else {
			i = r.plain(data, i)
			c.to = i
		}
		clean = append(clean, c)
		switch {
		case i >= len(data) && !r.eof:
			return 0, 0, rowMore
		case i >= len(data) || data[i] == '\n' || data[i] == '\r' && (i+1 == len(data) && r.eof || i+1 < len(data) && data[i+1] == '\n'):
			return r.finish(data, i, lines, clean, row)
		case data[i] == '\r' && i+1 == len(data):
			return 0, 0, rowMore
		case hasPrefix(data[i:], r.format.Delimiter):
			i += len(r.format.Delimiter)
			if len(clean) == maxColumns {
				row.Fail(usage.CodeRow, fmt.Sprintf("the row has more than %d columns", maxColumns))
				return 0, 0, rowBad
			}
		case c.quoted:
			if len(data)-i < len(r.format.Delimiter) && !r.eof {
				return 0, 0, rowMore
			}
			row.Fail(usage.CodeRow, fmt.Sprintf("column %d has text behind its closing quote; double a quote that belongs to the text", len(clean)))
			return 0, 0, rowBad
		default:
			return 0, 0, rowMore // a delimiter of several bytes that may go on behind the data
		}
	}
}

// column is where a column stands; unescape says that quotes in it are still doubled or escaped.
type column struct {
	from, to int
	quoted   bool
	unescape bool
}

// quoted finds the end of a quoted column that starts at i, behind its quote, and gives the place
// behind the closing one.
func (r *Rows) quoted(data []byte, i int, c *column, lines *int64) (after int, ok bool) {
	c.from = i
	for i < len(data) {
		b := int(data[i])
		switch {
		case b == '\n':
			*lines++
			i++
		case b == r.escape:
			c.unescape = true
			if i+1 < len(data) && data[i+1] == '\n' {
				*lines++
			}
			i += 2
		case b != r.quote:
			i++
		case i+1 < len(data) && int(data[i+1]) == r.quote:
			c.unescape = true
			i += 2
		case i+1 == len(data) && !r.eof:
			return len(data), false // the next byte decides
		default:
			c.to = i
			return i + 1, true
		}
	}
	return len(data), false
}

// plain finds the end of a column without quotes.
func (r *Rows) plain(data []byte, i int) int {
	first := r.format.Delimiter[0]
	for ; i < len(data); i++ {
		switch c := data[i]; {
		case c == '\n':
			return i
		case c == '\r':
			if i+1 == len(data) || data[i+1] == '\n' {
				return i
			}
		case c == first:
			if hasPrefix(data[i:], r.format.Delimiter) || !r.eof && len(data)-i < len(r.format.Delimiter) {
				return i
			}
		}
	}
	return i
}

func hasPrefix(b []byte, s string) bool { return len(b) >= len(s) && string(b[:len(s)]) == s }

// finish ends a row at i and copies its columns.
func (r *Rows) finish(data []byte, i int, lines int64, columns []column, row *Row) (int, int64, rowState) {
	n := i
	if n < len(data) && data[n] == '\r' {
		n++
	}
	if n < len(data) && data[n] == '\n' {
		n++
		lines++
	}
	if len(columns) == 1 && columns[0].from == 0 && columns[0].to == 0 {
		return n, lines, rowEmpty
	}
	row.text, row.width = string(data[:n]), len(columns)
	if r.columns == nil {
		for _, c := range columns {
			row.Fields = append(row.Fields, r.field(row.text, c))
		}
		return n, lines, rowDone
	}
	for _, at := range r.columns {
		if at < len(columns) {
			row.Fields = append(row.Fields, r.field(row.text, columns[at]))
		}
	}
	return n, lines, rowDone
}

func (r *Rows) field(text string, c column) string {
	if c.unescape {
		return r.unescape(text[c.from:c.to])
	}
	return text[c.from:c.to]
}

// checkWidth looks whether the row has as many columns as it must.
func (r *Rows) checkWidth(row *Row) {
	n := row.width
	if r.columns == nil || n >= r.width && (!r.exact || n == r.width) {
		return
	}
	torn := ""
	if row.torn && n < r.width {
		torn = ": the last line is torn"
	}
	switch {
	case !r.exact:
		row.Fail(usage.CodeRow, fmt.Sprintf("the row has %d columns, the mapping needs %d%s", n, r.width, torn))
	case r.format.Header:
		row.Fail(usage.CodeRow, fmt.Sprintf("the row has %d columns, the header %d%s", n, r.width, torn))
	default:
		row.Fail(usage.CodeRow, fmt.Sprintf("the row has %d columns instead of %d%s", n, r.width, torn))
	}
}

func (r *Rows) unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := int(s[i]); (c == r.escape || c == r.quote) && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
