package catalog

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Sheet is a price list as rows of cells: of a CSV file or of a spreadsheet.
type Sheet struct {
	Rows      []SheetRow
	Date1904  bool // the numbers of days count from 1904 instead of 1900
	pointOnly bool // between cells stands a comma, so none is a decimal one
}

// SheetRow is a row with its number in the file, from 1.
type SheetRow struct {
	Line  int
	Cells []Cell
}

// Cell is what a cell holds, as text.
type Cell struct {
	Text string
	Kind CellKind
}

// CellKind says what a cell's text is.
type CellKind uint8

// The kinds of cells.
const (
	CellText   CellKind = iota // as somebody wrote it
	CellNumber                 // a number as the file stores it: with a point, perhaps with an exponent
	CellBool                   // true or false
	CellError                  // #REF! and the like
)

// maxSheetRows bounds a price list.
const maxSheetRows = 200_000

// ParseCSV reads rows that are separated by commas, semicolons or tabs, whichever the first line has most of. The error is an *Issues.
func ParseCSV(name string, data []byte) (*Sheet, error) {
	if len(data) > maxDocumentBytes {
		return nil, Issue{File: name, Message: fmt.Sprintf("has %d bytes, more than %d: split it into several files", len(data), maxDocumentBytes)}.err()
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if !utf8.Valid(data) {
		return nil, Issue{File: name, Line: badLine(data), Message: "is not UTF-8: save it as CSV UTF-8"}.err()
	}
	lines := 0 // before the header
	first, rest, _ := bytes.Cut(data, []byte("\n"))
	in := csv.NewReader(nil)
	if said, ok := bytes.CutPrefix(bytes.TrimSpace(first), []byte("sep=")); ok && len(said) == 1 { // what Excel reads
		in.Comma, lines, data = rune(said[0]), 1, rest
	} else {
		in.Comma = delimiterOf(string(first))
	}
	s := &Sheet{pointOnly: in.Comma == ','}
	comma := in.Comma
	in = csv.NewReader(bytes.NewReader(data))
	in.Comma, in.FieldsPerRecord = comma, -1
	for {
		record, err := in.Read()
		if errors.Is(err, io.EOF) {
			return s, nil
		}
		var wrong *csv.ParseError
		if errors.As(err, &wrong) {
			return nil, Issue{File: name, Line: wrong.StartLine + lines, Message: fmt.Sprintf("cannot be read as CSV: %v; write a quote inside a cell twice", wrong.Err)}.err()
		}
		if err != nil {
			return nil, Issue{File: name, Message: fmt.Sprintf("cannot be read as CSV: %v", err)}.err()
		}
		if len(s.Rows) == maxSheetRows {
			return nil, Issue{File: name, Message: fmt.Sprintf("has more than %d rows: split it into several files", maxSheetRows)}.err()
		}
		line, _ := in.FieldPos(0)
		row := SheetRow{Line: line + lines, Cells: make([]Cell, len(record))}
		for i, text := range record {
			row.Cells[i].Text = text
		}
		s.Rows = append(s.Rows, row)
	}
}

// delimiterOf finds what separates the cells of a header.
func delimiterOf(header string) rune {
	best := ','
	for _, c := range ";\t" {
		if strings.Count(header, string(c)) > strings.Count(header, string(best)) {
			best = c
		}
	}
	return best
}

// CSV writes the rows with commas between the cells.
func (s *Sheet) CSV() ([]byte, error) {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	for _, row := range s.Rows {
		record := make([]string, len(row.Cells))
		for i, c := range row.Cells {
			if record[i] = c.Text; c.Kind == CellText {
				record[i] = harmless(c.Text)
			}
		}
		if err := w.Write(record); err != nil {
			return nil, fmt.Errorf("write CSV: %w", err)
		}
	}
	w.Flush()
	return out.Bytes(), w.Error()
}

// formulaStarts begin what spreadsheets take for a formula, and the quote that keeps them from it.
const formulaStarts = "=+-@\t\r'"

// harmless puts a quote before what a spreadsheet would take for a formula; plainText takes it off again.
func harmless(text string) string {
	if text != "" && strings.IndexByte(formulaStarts, text[0]) >= 0 {
		return "'" + text
	}
	return text
}

func plainText(text string) string {
	if len(text) > 1 && text[0] == '\'' && strings.IndexByte(formulaStarts, text[1]) >= 0 {
		return text[1:]
	}
	return text
}

// ColumnName gives the letters that a spreadsheet has over a column, from 0: A, Z, AA.
func ColumnName(column int) string {
	name := ""
	for column++; column > 0; column = (column - 1) / 26 {
		name = string(rune('A'+(column-1)%26)) + name
	}
	return name
}
