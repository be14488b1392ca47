package format

import (
	"archive/zip"
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"
)

// book is written by another's program.
func book(t testing.TB, fill func(*excelize.File)) string {
	t.Helper()
	f := excelize.NewFile()
	defer f.Close()
	fill(f)
	var b bytes.Buffer
	if err := f.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func set(t testing.TB, f *excelize.File, sheet, cell string, values ...any) {
	t.Helper()
	if err := f.SetSheetRow(sheet, cell, &values); err != nil {
		t.Fatal(err)
	}
}

func TestXLSX(t *testing.T) {
	file := book(t, func(f *excelize.File) {
		set(t, f, "Sheet1", "A1", "Export of November")
		set(t, f, "Sheet1", "A3", "id", "who", "units", "at", "ok")
		set(t, f, "Sheet1", "A4", "c1", "Zoë & Söhne", 0.1, time.Date(2026, 11, 21, 10, 30, 0, 0, time.UTC), true)
		set(t, f, "Sheet1", "A6", "c2", nil, 1234567890123.25, nil, false)
		set(t, f, "Sheet1", "A7", "007", "=x", -1)
		if _, err := f.NewSheet("Other"); err != nil {
			t.Fatal(err)
		}
		set(t, f, "Other", "A1", "z", 1)
	})
	f := DefaultXLSX()
	f.SkipRows = 2
	check(t, "rows", readRecords(t, &f, file, "id", "who", "units", "at", "ok"), "4:c1|Zoë & Söhne|0.1|2026-11-21T10:30:00|true", "6:c2||1234567890123.25||false", "7:007|=x|-1||")
	check(t, "no such column", readRecords(t, &f, file, "idd"), `! mapping.x: the header has no column "idd"; it has "id", "who", "units", "at", "ok"`)
	f.SkipRows = 7
	check(t, "no header", readRecords(t, &f, file, "id"), "! the sheet ends before its header (skip_rows is 7)")
	other := DefaultXLSX()
	other.Sheet, other.Header = "Other", false
	r, err := other.Open(Plain(strings.NewReader(file), int64(len(file))), []Path{{Column: 2}, {Column: 1}}, Start)
	if err != nil {
		t.Fatal(err)
	}
	var row Row
	if err := r.Next(&row); err != nil || row.Line != 1 || row.Fields[0] != "1" || row.Fields[1] != "z" {
		t.Errorf("%+v %v", row, err)
	}
	other.Sheet, other.Header = "None", true
	check(t, "no such sheet", readRecords(t, &other, file, "id"), `! the file has no sheet "None" with rows; it has ["Sheet1" "Other"]`)
	check(t, "torn", readRecords(t, &f, file[:len(file)/2], "id"), "! the file is no spreadsheet (…")
	check(t, "no spreadsheet", readRecords(t, &f, "id,who\n", "id"), "! the file is no spreadsheet (…")
	if _, err := f.Open(Once(strings.NewReader(file)), nil, Start); err == nil {
		t.Error("a stream has no end to begin at")
	}
}

// TestXLSXBomb: a part that unpacks to more than it may is refused; here the texts, of which 128 MiB are kept.
func TestXLSXBomb(t *testing.T) {
	small := book(t, func(f *excelize.File) { set(t, f, "Sheet1", "A1", "text") })
	in, err := zip.NewReader(strings.NewReader(small), int64(len(small)))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	out := zip.NewWriter(&b)
	for _, f := range in.File {
		if f.Name != "xl/sharedStrings.xml" {
			if err := out.Copy(f); err != nil {
				t.Fatal(err)
			}
			continue
		}
		w, err := out.Create(f.Name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(`<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">`)); err != nil {
			t.Fatal(err)
		}
		item := []byte("<si><t>" + strings.Repeat("x", 1<<20) + "</t></si>")
		for range 129 {
			if _, err := w.Write(item); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Write([]byte("</sst>")); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	f := DefaultXLSX()
	check(t, "bomb", readRecords(t, &f, b.String(), "text"), "! the file is too large when it is unpacked: split it into several files")
}

// TestStoredNumbers: as files have them, and what they mean; worked out by hand.
func TestStoredNumbers(t *testing.T) {
	for text, want := range map[string]string{
		"0.1": "0.1", "0.10000000000000001": "0.1", "3.3000000000000003": "3.3", "-3.3000000000000003": "-3.3", "1E-3": "0.001", "1.5e3": "1500", "123456789012345": "123456789012345",
		"1234567890123456": "1234567890123456", "0": "0", "0E5": "0", "0.00012345678901234567": "0.000123456789012346", "999999999999999.95": "1000000000000000", "x": "x", "1e999": "1e999",
	} {
		if got := number15(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	for _, c := range []struct {
		text    string
		of1904  bool
		written string
	}{
		{"1", false, "1900-01-01T00:00:00"}, {"59", false, "1900-02-28T00:00:00"}, {"61", false, "1900-03-01T00:00:00"}, {"46347", false, "2026-11-21T00:00:00"}, {"46347.4375", false, "2026-11-21T10:30:00"},
		{"46347.416666666664", false, "2026-11-21T10:00:00"}, {"46347.999999999", false, "2026-11-22T00:00:00"}, {"44885", true, "2026-11-21T00:00:00"}, {"0", true, "1904-01-01T00:00:00"}, {"-1", false, ""}, {"3000000", false, ""}, {"x", false, ""},
	} {
		if got := dateText(c.text, c.of1904); got != c.written {
			t.Errorf("%s: %q, want %q", c.text, got, c.written)
		}
	}
}
