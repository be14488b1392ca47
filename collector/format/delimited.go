package format

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Delimited is text in rows and columns.
type Delimited struct {
	Delimiter    string // between columns; ","
	Quote        string // one byte around a column that may hold anything; `"`; empty: none
	Escape       string // one byte before a quote inside quotes; empty: a quote is doubled
	Header       bool   // the first row (after SkipRows) names the columns
	Columns      int    // how many columns a row has, where no header says it; 0: as many as the paths need, or more
	SkipRows     int    // lines before the header or the first row
	Encoding     string // see Decode
	FinalNewline bool   // a last line without its end is torn, even when all columns are there
	Values       Notation
}

// DefaultDelimited is what a configuration changes.
func DefaultDelimited() Delimited {
	return Delimited{Delimiter: ",", Quote: `"`, Header: true, Values: DefaultNotation()}
}

// Check implements Format.
func (d *Delimited) Check() (member, message string) {
	switch {
	case d.Delimiter == "" || len(d.Delimiter) > 8 || strings.ContainsAny(d.Delimiter, "\r\n"):
		return "delimiter", "must be one to eight characters other than line ends"
	case len(d.Quote) > 1 || d.Quote != "" && strings.ContainsAny(d.Quote, "\r\n"+d.Delimiter):
		return "quote", "must be one ASCII character other than the delimiter, or empty for none"
	case len(d.Escape) > 1 || d.Escape != "" && strings.ContainsAny(d.Escape, "\r\n"+d.Delimiter):
		return "escape", "must be one ASCII character other than the delimiter, or empty where quotes are doubled"
	case d.SkipRows < 0 || d.SkipRows > 1_000_000:
		return "skip_rows", "must be 0 to 1,000,000"
	case d.Columns < 0 || d.Columns > maxColumns:
		return "columns", fmt.Sprintf("must be 0 to %d", maxColumns)
	}
	if member, message := d.Values.Check(); message != "" {
		return member, message
	}
	if _, err := decoderOf(d.Encoding); err != nil {
		return "encoding", err.Error()
	}
	return "", ""
}

// CheckPath implements Format.
func (d *Delimited) CheckPath(p Path) string {
	if p.Name != "" && !d.Header {
		return fmt.Sprintf("names the column %q, but format.header is false; give the column's number", p.Name)
	}
	return ""
}

// Notation implements Format.
func (d *Delimited) Notation() *Notation { return &d.Values }

// Open implements Format.
func (d *Delimited) Open(in Input, paths []Path, from Position) (Reader, error) {
	stream, err := in.Stream(0)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the file already
	}
	rows, err := d.Read(stream)
	if err == nil {
		err = rows.Bind(paths)
	}
	if err != nil || from.Offset <= rows.at.Offset {
		return closing(rows, stream, err)
	}
	if err := stream.Close(); err != nil {
		return nil, fmt.Errorf("go to line %d: %w", from.Line, err)
	}
	return d.openAt(in, rows, from)
}

// openAt opens the input at a checkpoint: by seeking, or where the text is in another encoding by
// decoding what stands before it.
func (d *Delimited) openAt(in Input, before *Rows, from Position) (Reader, error) {
	_, plain := Decode(nil, d.Encoding)
	offset := int64(0)
	if plain {
		offset = from.Offset
	}
	stream, err := in.Stream(offset)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the file already
	}
	text, _ := Decode(stream, d.Encoding)
	if !plain {
		if _, err := io.CopyN(io.Discard, text, from.Offset); err != nil {
			return nil, errors.Join(fmt.Errorf("go to line %d: %w", from.Line, err), stream.Close())
		}
	}
	rows := newRows(text, d, from)
	rows.columns, rows.width, rows.exact = before.columns, before.width, before.exact
	return closing(rows, stream, nil)
}

// closing gives the rows the stream to close, or closes it at once on an error.
func closing(rows *Rows, stream io.Closer, err error) (Reader, error) {
	if err != nil {
		return nil, errors.Join(err, stream.Close())
	}
	rows.closer = stream
	return rows, nil
}

// Read reads text from its beginning: the header, and then a row with every Next.
func (d *Delimited) Read(in io.Reader) (*Rows, error) {
	text, _ := Decode(in, d.Encoding)
	rows := newRows(text, d, Start)
	header, err := rows.readHeader()
	if err != nil {
		return nil, err
	}
	if header != nil {
		rows.width, rows.exact = len(header), true
	} else if d.Columns > 0 {
		rows.width, rows.exact = d.Columns, true
	}
	rows.Header = header
	return rows, nil
}

// readHeader gives the names of the columns, nil when the format has none.
func (r *Rows) readHeader() ([]string, error) {
	err := r.skipLines(r.format.SkipRows)
	var header Row
	if err == nil && r.format.Header {
		err = r.Next(&header)
	}
	switch {
	case errors.Is(err, io.EOF) && r.format.Header:
		return nil, fmt.Errorf("the file ends before its header (skip_rows is %d)", r.format.SkipRows)
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, err
	case header.Code != "":
		return nil, fmt.Errorf("line %d: the header cannot be read: %s", header.Line, header.Message)
	}
	return header.Fields, nil
}

// Bind makes the rows to come have the columns of the paths instead of all.
func (r *Rows) Bind(paths []Path) error {
	r.columns = make([]int, len(paths))
	for i, p := range paths {
		at := p.Column - 1
		if p.Name != "" {
			at = slices.Index(r.Header, p.Name)
			if at < 0 {
				return fmt.Errorf("%s: the header has no column %q; it has %s", p.Member, p.Name, listed(r.Header))
			}
			if slices.Index(r.Header[at+1:], p.Name) >= 0 {
				return fmt.Errorf("%s: the header has column %q twice; give its number instead", p.Member, p.Name)
			}
		}
		if r.exact && at >= r.width {
			return fmt.Errorf("%s: column %d, but a row has %d", p.Member, at+1, r.width)
		}
		if !r.exact {
			r.width = max(r.width, at+1)
		}
		r.columns[i] = at
	}
	return nil
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
