// Package xlsx reads and writes spreadsheets of Office Open XML (.xlsx) as rows of text. Numbers stay as they are stored: none passes
// through a float. It imports rater/catalog for the rows and collector/format/workbook to read them.
//
// Invariants: what Write writes, Read reads back the same; a file costs no more memory than the bounds allow, however it is packed.
package xlsx

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/tollstream/tollstream/collector/format/workbook"
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

// kinds are those of a workbook's cells; a date is read as the number that it is stored as.
var kinds = map[workbook.Kind]catalog.CellKind{workbook.Number: catalog.CellNumber, workbook.Date: catalog.CellNumber, workbook.Bool: catalog.CellBool, workbook.Error: catalog.CellError}

// Read reads the first sheet of a workbook. Errors say what to do.
func Read(data []byte) (*catalog.Sheet, error) { return read(data, maxPartBytes) }

func read(data []byte, most int64) (*catalog.Sheet, error) {
	book, err := workbook.Open(bytes.NewReader(data), int64(len(data)), workbook.Limits{PartBytes: most, Rows: maxRows, Columns: maxColumns, Texts: maxCells, TextBytes: most})
	if err != nil {
		return nil, err
	}
	rows, err := book.Rows("")
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // it was only read
	out := &catalog.Sheet{Date1904: book.Date1904}
	cells := 0
	var row workbook.Row
	for {
		if err := rows.Next(&row); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, err
		}
		if cells += len(row.Cells); cells > maxCells {
			return nil, fmt.Errorf("more than %d cells: split it into several files", maxCells)
		}
		line := catalog.SheetRow{Line: row.Line, Cells: make([]catalog.Cell, len(row.Cells))}
		for i, c := range row.Cells {
			line.Cells[i] = catalog.Cell{Text: c.Text, Kind: kinds[c.Kind]}
		}
		out.Rows = append(out.Rows, line)
	}
}
