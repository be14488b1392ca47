package format

import (
	"errors"
	"fmt"
	"io"
	"math/big"
	"regexp"
	"strings"
	"time"

	"github.com/tollstream/tollstream/collector/format/workbook"
)

// XLSX is a sheet of a workbook. A path is a column's name, or its number from 1. Numbers are read as
// they are stored, to the 15 digits that spreadsheets have; what is shown as a date or a time is the time
// on the wall, 2006-01-02T15:04:05, for a sheet knows no zones.
type XLSX struct {
	Sheet    string // its name; empty: the first
	Header   bool   // the first row (after SkipRows) names the columns
	SkipRows int    // rows before the header or the first record
	Values   Notation
}

// DefaultXLSX is what a configuration changes.
func DefaultXLSX() XLSX { return XLSX{Header: true, Values: DefaultNotation()} }

// workbookLimits bound what a workbook may take; the texts that cells share are all in memory.
var workbookLimits = workbook.Limits{PartBytes: 4 << 30, Rows: 1 << 20, Columns: maxColumns, Texts: 4_000_000, TextBytes: 128 << 20}

// Check implements Format.
func (x *XLSX) Check() (member, message string) {
	if x.SkipRows < 0 || x.SkipRows > 1_000_000 {
		return "skip_rows", "must be 0 to 1,000,000"
	}
	return x.Values.Check()
}

// CheckPath implements Format.
func (x *XLSX) CheckPath(p Path) string {
	return (&Delimited{Header: x.Header}).CheckPath(p)
}

// Notation implements Format.
func (x *XLSX) Notation() *Notation { return &x.Values }

// Open implements Format. The sheet is read from its beginning: what lies before the position is passed
// over.
func (x *XLSX) Open(in Input, paths []Path, from Position) (Reader, error) {
	at, size, ok := in.Whole()
	if !ok {
		return nil, errors.New("a spreadsheet is read from its end: give it unpacked, as a file")
	}
	book, err := workbook.Open(at, size, workbookLimits)
	if err != nil {
		return nil, fmt.Errorf("the file %w", err)
	}
	rows, err := book.Rows(x.Sheet)
	if err != nil {
		return nil, fmt.Errorf("the file %w", err)
	}
	r := &sheetReader{rows: rows, date1904: book.Date1904, at: Start}
	if err := r.begin(x, paths); err != nil {
		return nil, errors.Join(err, rows.Close())
	}
	var row Row
	for r.at.Line < from.Line {
		if err := r.Next(&row); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, errors.Join(err, rows.Close())
		}
	}
	return r, nil
}

type sheetReader struct {
	rows     *workbook.Rows
	date1904 bool
	columns  []int
	row      workbook.Row
	at       Position
}

// begin reads the header and finds the columns.
func (r *sheetReader) begin(x *XLSX, paths []Path) error {
	var header []string
	for x.Header || x.SkipRows > 0 {
		err := r.read()
		if errors.Is(err, io.EOF) && x.Header {
			return fmt.Errorf("the sheet ends before its header (skip_rows is %d)", x.SkipRows)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if r.row.Line <= x.SkipRows {
			continue
		}
		if !x.Header { // it is the first record
			r.at.Line = int64(r.row.Line)
			break
		}
		for _, c := range r.row.Cells {
			header = append(header, strings.TrimSpace(c.Text))
		}
		r.row.Line, r.at.Line = 0, int64(r.row.Line)+1
		break
	}
	b := Rows{Header: header, exact: x.Header, width: len(header)}
	if err := b.Bind(paths); err != nil {
		return err
	}
	r.columns = b.columns
	return nil
}

// read reads the next row with something in it.
func (r *sheetReader) read() error {
	for {
		if err := r.rows.Next(&r.row); err != nil {
			if errors.Is(err, io.EOF) {
				return io.EOF
			}
			return fmt.Errorf("the file %w", err)
		}
		for _, c := range r.row.Cells {
			if c.Text != "" {
				return nil
			}
		}
	}
}

// Position implements Reader.
func (r *sheetReader) Position() Position { return r.at }

// Close implements Reader.
func (r *sheetReader) Close() error { return r.rows.Close() } //nolint:wrapcheck // only read

// Next implements Reader; empty rows are passed over.
func (r *sheetReader) Next(row *Row) error {
	if r.row.Line == 0 { // else it was read while looking for the first
		if err := r.read(); err != nil {
			return err
		}
	}
	*row = Row{Line: int64(r.row.Line), Fields: row.Fields[:0]}
	for _, at := range r.columns {
		text := ""
		if at < len(r.row.Cells) {
			text = r.text(r.row.Cells[at])
		}
		row.Fields = append(row.Fields, text)
	}
	r.at.Line, r.row.Line = int64(r.row.Line)+1, 0
	return nil
}

func (r *sheetReader) text(c workbook.Cell) string {
	switch c.Kind {
	case workbook.Number:
		return number15(c.Text)
	case workbook.Date:
		if text := dateText(c.Text, r.date1904); text != "" {
			return text
		}
		return number15(c.Text)
	default:
		return c.Text
	}
}

// stored is a number as spreadsheets write it.
var stored = regexp.MustCompile(`^-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][-+]?[0-9]{1,2})?$`)

// number15 gives a number with the 15 digits that a spreadsheet has: 0.1 may be stored as
// 0.10000000000000001. What is not a number stays as it is.
func number15(text string) string {
	if !stored.MatchString(text) {
		return text
	}
	mantissa, exponent, _ := strings.Cut(strings.ToLower(text), "e")
	digits := strings.TrimLeft(strings.ReplaceAll(strings.TrimPrefix(mantissa, "-"), ".", ""), "0")
	if len(digits) <= 15 && exponent == "" {
		return text
	}
	n, ok := new(big.Rat).SetString(text)
	if !ok || n.Sign() == 0 {
		return "0"
	}
	// The place of the first digit: 10^(places-1) <= |n| < 10^places.
	places, abs, ten := 0, new(big.Rat).Abs(n), big.NewRat(10, 1)
	for bound := big.NewRat(1, 1); abs.Cmp(bound) >= 0; places++ {
		bound.Mul(bound, ten)
	}
	for bound := big.NewRat(1, 10); abs.Cmp(bound) < 0; places-- {
		bound.Quo(bound, ten)
	}
	decimals := 15 - places
	if decimals <= 0 {
		return n.FloatString(0)
	}
	return strings.TrimSuffix(strings.TrimRight(n.FloatString(decimals), "0"), ".")
}

// dateText gives the time on the wall of days since 1900 or 1904, to the millisecond; empty when there
// is none. In 1900 spreadsheets count a 29th of February that was not.
func dateText(text string, date1904 bool) string {
	if !stored.MatchString(text) {
		return ""
	}
	n, ok := new(big.Rat).SetString(text)
	if !ok || n.Sign() < 0 || n.Cmp(big.NewRat(2_958_466, 1)) >= 0 { // the year 9999
		return ""
	}
	n.Mul(n, big.NewRat(86_400_000, 1))
	n.Add(n, big.NewRat(1, 2))
	milliseconds := new(big.Int).Quo(n.Num(), n.Denom()).Int64()
	epoch := time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC)
	if date1904 {
		epoch = time.Date(1904, 1, 1, 0, 0, 0, 0, time.UTC)
	} else if milliseconds < 60*86_400_000 {
		epoch = time.Date(1899, 12, 31, 0, 0, 0, 0, time.UTC)
	}
	return epoch.AddDate(0, 0, int(milliseconds/86_400_000)).Add(time.Duration(milliseconds%86_400_000) * time.Millisecond).Format("2006-01-02T15:04:05.999")
}
