package xlsx

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/tollstream/tollstream/rater/catalog"
)

const (
	xmlHead    = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>` + "\n"
	office     = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
	packageNS  = "http://schemas.openxmlformats.org/package/2006/"
	mainNS     = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
	mediaTypes = "application/vnd.openxmlformats-officedocument.spreadsheetml."
)

// The parts beside the sheet. Of the styles 0 is general, 1 text, so that a prefix such as 0049 stays as it is when somebody edits it,
// and 2 bold for the header.
var parts = []struct{ name, content string }{
	{"[Content_Types].xml", `<Types xmlns="` + packageNS + `content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>` +
		`<Default Extension="xml" ContentType="application/xml"/><Override PartName="/xl/workbook.xml" ContentType="` + mediaTypes + `sheet.main+xml"/>` +
		`<Override PartName="/xl/worksheets/sheet1.xml" ContentType="` + mediaTypes + `worksheet+xml"/><Override PartName="/xl/styles.xml" ContentType="` + mediaTypes + `styles+xml"/></Types>`},
	{"_rels/.rels", `<Relationships xmlns="` + packageNS + `relationships"><Relationship Id="rId1" Type="` + office + `/officeDocument" Target="xl/workbook.xml"/></Relationships>`},
	{"xl/workbook.xml", `<workbook xmlns="` + mainNS + `" xmlns:r="` + office + `"><sheets><sheet name="prices" sheetId="1" r:id="rId1"/></sheets></workbook>`},
	{"xl/_rels/workbook.xml.rels", `<Relationships xmlns="` + packageNS + `relationships"><Relationship Id="rId1" Type="` + office + `/worksheet" Target="worksheets/sheet1.xml"/>` +
		`<Relationship Id="rId2" Type="` + office + `/styles" Target="styles.xml"/></Relationships>`},
	{"xl/styles.xml", `<styleSheet xmlns="` + mainNS + `"><fonts count="2"><font><sz val="11"/><name val="Calibri"/></font><font><b/><sz val="11"/><name val="Calibri"/></font></fonts>` +
		`<fills count="2"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill></fills><borders count="1"><border/></borders>` +
		`<cellStyleXfs count="1"><xf/></cellStyleXfs><cellXfs count="3"><xf/><xf numFmtId="49" applyNumberFormat="1"/><xf fontId="1" applyFont="1"/></cellXfs></styleSheet>`},
}

// Write writes a workbook of one sheet, its header in bold and always in sight. The same rows give the same bytes.
func Write(s *catalog.Sheet) ([]byte, error) {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	part := func(name, content string) error {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write([]byte(xmlHead + content))
		}
		return err
	}
	for _, p := range parts {
		if err := part(p.name, p.content); err != nil {
			return nil, fmt.Errorf("write a spreadsheet: %w", err)
		}
	}
	var sheet strings.Builder
	sheet.WriteString(`<worksheet xmlns="` + mainNS + `"><sheetViews><sheetView workbookViewId="0"><pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews>` +
		`<sheetFormatPr defaultRowHeight="15" defaultColWidth="14"/><sheetData>`)
	for i, row := range s.Rows {
		number := strconv.Itoa(i + 1)
		sheet.WriteString(`<row r="` + number + `">`)
		for j, c := range row.Cells {
			if c.Text == "" {
				continue
			}
			if len(c.Text) > maxCellBytes {
				return nil, fmt.Errorf("write a spreadsheet: the cell %s%s has %d bytes, more than spreadsheets hold: export CSV", catalog.ColumnName(j), number, len(c.Text))
			}
			writeCell(&sheet, catalog.ColumnName(j)+number, c, i == 0)
		}
		sheet.WriteString(`</row>`)
	}
	sheet.WriteString(`</sheetData></worksheet>`)
	if err := part("xl/worksheets/sheet1.xml", sheet.String()); err != nil {
		return nil, fmt.Errorf("write a spreadsheet: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("write a spreadsheet: %w", err)
	}
	return out.Bytes(), nil
}

// keptDigits is how many digits a spreadsheet keeps of a number; one with more is written as text, so that none is lost.
const keptDigits = 15

func writeCell(b *strings.Builder, place string, c catalog.Cell, header bool) {
	style := "1"
	if header {
		style = "2"
	}
	switch digits := strings.Trim(strings.ReplaceAll(strings.TrimPrefix(c.Text, "-"), ".", ""), "0"); {
	case c.Kind == catalog.CellNumber && len(digits) <= keptDigits:
		b.WriteString(`<c r="` + place + `"><v>` + c.Text + `</v></c>`)
	case c.Kind == catalog.CellBool:
		b.WriteString(`<c r="` + place + `" t="b"><v>` + map[bool]string{true: "1", false: "0"}[c.Text == "true"] + `</v></c>`)
	default:
		b.WriteString(`<c r="` + place + `" s="` + style + `" t="inlineStr"><is><t xml:space="preserve">`)
		_ = xml.EscapeText(b, []byte(escaped(c.Text))) // a builder takes everything
		b.WriteString(`</t></is></c>`)
	}
}

var looksEscaped = regexp.MustCompile(`_x[0-9A-Fa-f]{4}_`)

// escaped writes a text that looks like an escape so that it is read as it is.
func escaped(s string) string {
	return looksEscaped.ReplaceAllStringFunc(s, func(x string) string { return "_x005F" + x })
}
