// Package format turns the bytes of a file into usage events: it cuts delimited text into rows and
// maps the columns of a row to the members of an event.
//
// It imports collector/usage, ledger/money and text encodings. It reads no clock and opens nothing.
// Invariants: memory does not grow with the file; a row that is wrong is reported with its line and
// costs no other row; numbers never pass through a float; the same bytes under the same
// configuration always give the same events, so that a file that is read twice gives duplicates.
package format

import (
	"fmt"
	"io"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// Delimited describes delimited text.
type Delimited struct {
	Delimiter    string // between columns; ","
	Quote        string // one byte around a column that may hold anything; `"`; empty: none
	Escape       string // one byte before a quote inside quotes; empty: a quote is doubled
	Header       bool   // the first row (after SkipRows) names the columns
	Columns      int    // how many columns a row has, where no header says it; 0: as many as the mapping needs, or more
	SkipRows     int    // lines before the header or the first row
	Encoding     string // utf-8 iso-8859-1 windows-1252 utf-16 utf-16le utf-16be
	Decimal      string // the decimal sign of numbers, "." or ","
	Thousands    string // what groups the digits of numbers by three; empty: nothing
	Null         []string
	FinalNewline bool // a last line without its end is torn, even when all columns are there
}

// DefaultDelimited is what a configuration changes.
func DefaultDelimited() Delimited {
	return Delimited{Delimiter: ",", Quote: `"`, Header: true, Encoding: "utf-8", Decimal: "."}
}

// Check gives what is wrong with the description: the member and the reason.
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
	case d.Decimal != "." && d.Decimal != ",":
		return "decimal", `must be "." or ","`
	case d.Thousands == d.Decimal || len(d.Thousands) > 2 || strings.ContainsAny(d.Thousands, "0123456789-+eE"):
		return "thousands", "must be one character other than the decimal sign, a digit or a sign, or empty for none"
	}
	if _, err := decoderOf(d.Encoding); err != nil {
		return "encoding", err.Error()
	}
	return "", ""
}

// decoderOf gives the decoder to UTF-8, nil for UTF-8 itself.
func decoderOf(name string) (*encoding.Decoder, error) {
	switch strings.ToLower(name) {
	case "utf-8", "utf8", "":
		return nil, nil //nolint:nilnil // no decoder is needed
	case "iso-8859-1", "latin1":
		return charmap.ISO8859_1.NewDecoder(), nil
	case "windows-1252":
		return charmap.Windows1252.NewDecoder(), nil
	case "utf-16":
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewDecoder(), nil
	case "utf-16le":
		return unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM).NewDecoder(), nil
	case "utf-16be":
		return unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM).NewDecoder(), nil
	}
	return nil, fmt.Errorf("unknown encoding %q; use utf-8, iso-8859-1, windows-1252, utf-16, utf-16le or utf-16be", name)
}

// Decode gives the UTF-8 of a file's bytes. Plain says that the bytes are passed through, so that an
// offset in the one is an offset in the other.
func (d *Delimited) Decode(r io.Reader) (decoded io.Reader, plain bool) {
	decoder, err := decoderOf(d.Encoding)
	if err != nil || decoder == nil {
		return r, true
	}
	return transform.NewReader(r, decoder), false
}
