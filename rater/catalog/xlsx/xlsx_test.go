package xlsx

import (
	"archive/zip"
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"

	"github.com/tollstream/tollstream/rater/catalog"
)

func sheet(rows ...[]catalog.Cell) *catalog.Sheet {
	s := &catalog.Sheet{}
	for i, cells := range rows {
		s.Rows = append(s.Rows, catalog.SheetRow{Line: i + 1, Cells: cells})
	}
	return s
}

func words(texts ...string) (cells []catalog.Cell) {
	for _, w := range texts {
		cells = append(cells, catalog.Cell{Text: w})
	}
	return cells
}

var traps = []string{
	"", "a", "=1+1", "+49", "0049", "-x", "'x", "<b>&\"'", " outer ", "line\nbreak", "_x000D_", "ü€😀", "1E5", "true", "2026-01-01", "\t",
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	s := sheet(words(traps...), []catalog.Cell{
		{Text: "0.1", Kind: catalog.CellNumber}, {Text: "-12.5", Kind: catalog.CellNumber}, {}, {Text: "true", Kind: catalog.CellBool}, {Text: "false", Kind: catalog.CellBool},
		{Text: "100000000000000", Kind: catalog.CellNumber},
	}, nil, words("", "", "x"))
	data, err := Write(s)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Read(data)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, s)
	again, err := Write(s)
	if err != nil || !bytes.Equal(again, data) {
		t.Error("the same rows give other bytes")
	}
	// Digits that a spreadsheet does not keep are kept as text.
	data, err = Write(sheet([]catalog.Cell{{Text: "123456789.123456789012", Kind: catalog.CellNumber}, {Text: "0.000123456789012345", Kind: catalog.CellNumber}}))
	if err != nil {
		t.Fatal(err)
	}
	if got, err = Read(data); err != nil || got.Rows[0].Cells[0] != (catalog.Cell{Text: "123456789.123456789012"}) || got.Rows[0].Cells[1].Kind != catalog.CellNumber {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := Write(sheet(words(strings.Repeat("x", maxCellBytes+1)))); err == nil || !strings.Contains(err.Error(), "export CSV") {
		t.Errorf("a long cell: %v", err)
	}
}

// same compares rows without the empty cells at their ends.
func same(t *testing.T, got, want *catalog.Sheet) {
	t.Helper()
	trim := func(s *catalog.Sheet) (rows [][]catalog.Cell) {
		for _, r := range s.Rows {
			cells := slices.Clone(r.Cells)
			for len(cells) > 0 && cells[len(cells)-1].Text == "" {
				cells = cells[:len(cells)-1]
			}
			rows = append(rows, cells)
		}
		return rows
	}
	if a, b := trim(got), trim(want); !slices.EqualFunc(a, b, slices.Equal) {
		t.Errorf("got\n%q\nwant\n%q", a, b)
	}
}

func TestRandomSheetsAreReadBack(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		s := &catalog.Sheet{}
		for i := range random.IntN(20) {
			row := catalog.SheetRow{Line: i + 1}
			for range random.IntN(30) {
				row.Cells = append(row.Cells, catalog.Cell{Text: traps[random.IntN(len(traps))] + traps[random.IntN(len(traps))]})
			}
			s.Rows = append(s.Rows, row)
		}
		data, err := Write(s)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Read(data)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, s)
	}
}

// TestOthersReadWhatIsWritten: another implementation finds the same texts and numbers.
func TestOthersReadWhatIsWritten(t *testing.T) {
	data, err := Write(sheet(words("product", "unit_price"), []catalog.Cell{{Text: "=1+1 <&>"}, {Text: "0.07", Kind: catalog.CellNumber}, {Text: "true", Kind: catalog.CellBool}}))
	if err != nil {
		t.Fatal(err)
	}
	f, err := excelize.OpenReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := f.GetRows("prices", excelize.Options{RawCellValue: true})
	if err != nil || len(rows) != 2 || !slices.Equal(rows[0], []string{"product", "unit_price"}) || !slices.Equal(rows[1], []string{"=1+1 <&>", "0.07", "1"}) {
		t.Errorf("%q, %v", rows, err)
	}
	if formula, err := f.GetCellFormula("prices", "A2"); err != nil || formula != "" {
		t.Errorf("a formula %q, %v", formula, err)
	}
}

// TestWhatOthersWriteIsRead: shared and formatted texts, floats, dates, formulas and errors.
func TestWhatOthersWriteIsRead(t *testing.T) {
	f := excelize.NewFile()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const s = "Sheet1"
	must(f.SetSheetRow(s, "A1", &[]string{"product", "unit_price", "start", "split"}))
	must(f.SetCellValue(s, "A2", 1001))
	must(f.SetCellValue(s, "B2", 0.07))
	must(f.SetCellValue(s, "C2", time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)))
	must(f.SetCellValue(s, "D2", true))
	must(f.SetCellRichText(s, "A4", []excelize.RichTextRun{{Text: "vo"}, {Text: "ice"}}))
	must(f.SetCellFormula(s, "B4", "=B2*2"))
	must(f.SetCellStr(s, "AB4", "far"))
	var out bytes.Buffer
	if _, err := f.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	got, err := Read(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	byLine := map[int]catalog.SheetRow{}
	for _, r := range got.Rows {
		byLine[r.Line] = r
	}
	two := byLine[2].Cells
	if two[0] != (catalog.Cell{Text: "1001", Kind: catalog.CellNumber}) || two[1] != (catalog.Cell{Text: "0.07", Kind: catalog.CellNumber}) ||
		two[2] != (catalog.Cell{Text: "46357", Kind: catalog.CellNumber}) || two[3] != (catalog.Cell{Text: "true", Kind: catalog.CellBool}) {
		t.Errorf("row 2: %+v", two)
	}
	four := byLine[4].Cells
	if four[0].Text != "voice" || four[1].Text != "" || len(four) != 28 || four[27].Text != "far" {
		t.Errorf("row 4: %+v", four)
	}
	if byLine[1].Cells[2].Text != "start" || got.Date1904 {
		t.Errorf("row 1: %+v", byLine[1])
	}
}

// pack makes a workbook of a sheet's XML.
func pack(t *testing.T, changes map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	all := map[string]string{"xl/worksheets/sheet1.xml": `<worksheet><sheetData/></worksheet>`}
	for _, p := range parts {
		all[p.name] = p.content
	}
	for name, content := range changes {
		all[name] = content
	}
	for name, content := range all {
		if content == "" {
			continue
		}
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestCellsAsFilesStoreThem(t *testing.T) {
	got, err := Read(pack(t, map[string]string{
		"xl/workbook.xml": `<workbook xmlns:r="` + office + `"><workbookPr date1904="1"/><sheets><sheet name="x" sheetId="1" r:id="rId1"/></sheets></workbook>`,
		"xl/_rels/workbook.xml.rels": `<Relationships><Relationship Id="rId1" Type="` + office + `/worksheet" Target="/xl/worksheets/sheet1.xml"/>` +
			`<Relationship Id="rId2" Type="` + office + `/sharedStrings" Target="strings/texts.xml"/></Relationships>`,
		"xl/strings/texts.xml": `<sst><si><t>plain</t></si><si><r><t>in </t></r><r><t>runs</t></r><rPh><t>hint</t></rPh></si></sst>`,
		"xl/worksheets/sheet1.xml": `<worksheet><sheetData><row r="3"><c r="A3" t="s"><v>0</v></c><c r="C3" t="s"><v>1</v></c><c t="str"><f>A1</f><v>cached</v></c>` +
			`<c t="e"><v>#REF!</v></c><c t="n"><v>7.0000000000000007E-2</v></c><c t="b"><v>1</v></c><c t="b"><v>0</v></c><c t="d"><v>2026-12-01T00:00:00</v></c><c><v> </v></c></row>` +
			`<row><c t="inlineStr"><is><r><t>a</t></r><r><t>_x0041_</t></r></is></c></row></sheetData></worksheet>`,
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := []catalog.Cell{
		{Text: "plain"}, {}, {Text: "in runs"}, {Text: "cached"}, {Text: "#REF!", Kind: catalog.CellError}, {Text: "7.0000000000000007E-2", Kind: catalog.CellNumber},
		{Text: "true", Kind: catalog.CellBool}, {Text: "false", Kind: catalog.CellBool}, {Text: "2026-12-01"}, {},
	}
	if !got.Date1904 || len(got.Rows) != 2 || got.Rows[0].Line != 3 || !slices.Equal(got.Rows[0].Cells, want) || got.Rows[1].Line != 4 || got.Rows[1].Cells[0].Text != "aA" {
		t.Errorf("%+v", got)
	}
}

// changed is a workbook in which something became something else on its way.
func changed(t *testing.T, from, to string) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, p := range append(slices.Clone(parts), struct{ name, content string }{"xl/worksheets/sheet1.xml", `<worksheet><sheetData><row><c><v>0.07</v></c></row></sheetData></worksheet>`}) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: p.name, Method: zip.Store})
		if err == nil {
			_, err = w.Write([]byte(p.content))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(out.Bytes()); err != nil || got.Rows[0].Cells[0].Text != "0.07" || !bytes.Contains(out.Bytes(), []byte(from)) {
		t.Fatalf("unchanged: %+v, %v", got, err)
	}
	return bytes.Replace(out.Bytes(), []byte(from), []byte(to), 1)
}

func TestWhatIsNoSpreadsheet(t *testing.T) {
	bomb := pack(t, map[string]string{"xl/worksheets/sheet1.xml": `<x><!--` + strings.Repeat(" ", 1<<20) + `--></x>`})
	if _, err := read(bomb, 1<<20); err == nil || !strings.Contains(err.Error(), "too large when it is unpacked") {
		t.Errorf("a bomb: %v", err)
	}
	for name, tc := range map[string]struct {
		data []byte
		want string
	}{
		"text":                {[]byte("product,unit_price"), "is no spreadsheet"},
		"empty":               {nil, "is no spreadsheet"},
		"another archive":     {pack(t, map[string]string{"_rels/.rels": ""}), "it has no part _rels/.rels"},
		"no workbook":         {pack(t, map[string]string{"xl/workbook.xml": ""}), "it has no part xl/workbook.xml"},
		"no sheet":            {pack(t, map[string]string{"xl/workbook.xml": "<workbook/>"}), "has no sheet with rows"},
		"rows cut off":        {pack(t, map[string]string{"xl/worksheets/sheet1.xml": `<worksheet><sheetData><row><c><v>1</v></c></row>`}), "cannot be read"},
		"rows after a flaw":   {pack(t, map[string]string{"xl/worksheets/sheet1.xml": `<worksheet><sheetData><row><c><v>1</w></c></row><row/></sheetData></worksheet>`}), "cannot be read"},
		"a changed digit":     {changed(t, "<v>0.07<", "<v>0.77<"), "its part xl/worksheets/sheet1.xml cannot be read (zip: checksum error): save it again"},
		"a changed name":      {changed(t, `name="prices"`, `name="priced"`), "its part xl/workbook.xml cannot be read (zip: checksum error): save it again"},
		"a text by no number": {pack(t, map[string]string{"xl/worksheets/sheet1.xml": `<x><row><c r="B1" t="s"><v>x</v></c></row></x>`}), `the cell B1: names the text "x"`},
		"broken XML":          {pack(t, map[string]string{"xl/worksheets/sheet1.xml": "<worksheet><row>"}), "cannot be read"},
		"a text there is not": {pack(t, map[string]string{"xl/worksheets/sheet1.xml": `<x><row><c r="B1" t="s"><v>3</v></c></row></x>`}), `the cell B1: names the text "3"`},
		"a cell nowhere":      {pack(t, map[string]string{"xl/worksheets/sheet1.xml": `<x><row><c r="1"/></row></x>`}), "is nowhere"},
		"a cell far away":     {pack(t, map[string]string{"xl/worksheets/sheet1.xml": `<x><row><c r="ZZZZ1"/></row></x>`}), "more than 1000 columns"},
	} {
		if got, err := Read(tc.data); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %+v, %v; want %q", name, got, err, tc.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	data, err := Write(sheet(words(traps...)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Read(data)
		if err != nil || len(s.Rows) > 100 {
			return
		}
		if _, err := catalog.ParsePrices("x.xlsx", s); err == nil {
			return
		}
	})
}

func TestDocumentByItsName(t *testing.T) {
	data, err := Write(sheet(words("product", "unit_price"), []catalog.Cell{{Text: "f"}, {Text: "0.5", Kind: catalog.CellNumber}}))
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]string{"a.yaml": "currency: EUR", "a.json": "{}", "a.CSV": "product,unit_price\nf,1\n", "a.xlsx": string(data)} {
		if _, err := Document(name, []byte(body)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Document("a.xlsx", []byte("x")); err == nil || !strings.Contains(err.Error(), "a.xlsx: is no spreadsheet") {
		t.Errorf("%v", err)
	}
	if _, err := Document("a.csv", []byte("x")); err == nil || !strings.Contains(err.Error(), "a.csv: has no prices") {
		t.Errorf("%v", err)
	}
}
