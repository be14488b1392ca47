package format

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// readAll gives the rows as "line:field|field", bad ones as "line!raw".
func readAll(t testing.TB, in io.Reader, f *Delimited) []string {
	t.Helper()
	decoded, _ := Decode(in, f.Encoding)
	rows := newRows(decoded, f, Start)
	var got []string
	var row Row
	for {
		err := rows.Next(&row)
		if errors.Is(err, io.EOF) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		if row.Code != "" {
			got = append(got, fmt.Sprintf("%d!%s", row.Line, row.Raw))
		} else {
			got = append(got, fmt.Sprintf("%d:%s", row.Line, strings.Join(row.Fields, "|")))
		}
	}
}

func TestRows(t *testing.T) {
	with := func(change func(*Delimited)) *Delimited {
		f := DefaultDelimited()
		change(&f)
		return &f
	}
	plain := with(func(*Delimited) {})
	cases := []struct {
		name, text string
		format     *Delimited
		want       string // joined by spaces between brackets
	}{
		{"simple", "a,b\nc,d\n", plain, "[1:a|b 2:c|d]"},
		{"no last line end", "a,b\nc,d", plain, "[1:a|b 2:c|d]"},
		{"windows lines", "a,b\r\nc,d\r\n", plain, "[1:a|b 2:c|d]"},
		{"carriage return at the very end", "a,b\r", plain, "[1:a|b]"},
		{"carriage return inside", "a\rx,b\n", plain, "[1:a\rx|b]"},
		{"empty lines count", "\n\na,b\n\r\n\nc,d\n", plain, "[3:a|b 6:c|d]"},
		{"empty columns", ",,\n,\n", plain, "[1:|| 2:|]"},
		{"mark at the start", "\ufeffa,b\n", plain, "[1:a|b]"},
		{"quotes", `"a,""x""",b` + "\n" + `"",c`, plain, `[1:a,"x"|b 2:|c]`},
		{"lines in quotes", "\"a\nb\r\nc\",d\ne,f\n", plain, "[1:a\nb\r\nc|d 4:e|f]"},
		{"quote in the middle is text", "5\" disk,b\n", plain, "[1:5\" disk|b]"},
		{"text behind a quote", "\"a\"x,b\nc,d\n", plain, "[1!\"a\"x,b 2:c|d]"},
		{"open quote takes no other row", "a,\"b\nc,d\ne,f\n", plain, "[1!a,\"b 2:c|d 3:e|f]"},
		{"open quote in the last line", "a,b\nc,\"d", plain, "[1:a|b 2!c,\"d]"},
		{"open quote meets another", "a,\"b\n\"c\",d\ne,f\n", plain, "[1!a,\"b 2:c|d 3:e|f]"},
		{"no quotes", "\"a,b\n", with(func(f *Delimited) { f.Quote = "" }), "[1:\"a|b]"},
		{"backslash", `"a\"b\\",'c'` + "\n", with(func(f *Delimited) { f.Escape = `\` }), `[1:a"b\|'c']`},
		{"semicolon and single quotes", "'a;b';c\n", with(func(f *Delimited) { f.Delimiter, f.Quote = ";", "'" }), "[1:a;b|c]"},
		{"long delimiter", "a||b|c\n\"d\"||e||\n", with(func(f *Delimited) { f.Delimiter = "||" }), "[1:a|b|c 2:d|e|]"},
		{"broken UTF-8", "a,b\nc,\xff\nd,e\n", plain, "[1:a|b 2!c,\ufffd 3:d|e]"},
		{"latin1", "a,\xe9\n", with(func(f *Delimited) { f.Encoding = "iso-8859-1" }), "[1:a|é]"},
		{"windows-1252", "\x80,\x81\nb,c\n", with(func(f *Delimited) { f.Encoding = "windows-1252" }), "[1!€,\ufffd 2:b|c]"},
		{"utf-16", "\xff\xfea\x00,\x00\xe9\x00\n\x00", with(func(f *Delimited) { f.Encoding = "utf-16" }), "[1:a|é]"},
		{"utf-16be", "\x00a\x00,\x00b", with(func(f *Delimited) { f.Encoding = "utf-16be" }), "[1:a|b]"},
		{"final line end demanded", "a,b\nc,d", with(func(f *Delimited) { f.FinalNewline = true }), "[1:a|b 2!c,d]"},
	}
	for _, c := range cases {
		for name, in := range map[string]io.Reader{"whole": strings.NewReader(c.text), "byte by byte": iotest.OneByteReader(strings.NewReader(c.text))} {
			if got := fmt.Sprint(readAll(t, in, c.format)); got != c.want {
				t.Errorf("%s, %s:\n got %q\nwant %q", c.name, name, got, c.want)
			}
		}
	}
}

func TestRowsTooLong(t *testing.T) {
	f := DefaultDelimited()
	long := strings.Repeat("x", 3*MaxRowBytes)
	got := readAll(t, strings.NewReader("a,b\n"+long+"\nc,d\n\"open\n"+strings.Repeat("y\n", MaxRowBytes)+"e,f\n"), &f)
	want := 1 + 1 + 1 + 1 + MaxRowBytes + 1
	if len(got) != want || got[0] != "1:a|b" || !strings.HasPrefix(got[1], "2!xxx") || got[2] != "3:c|d" || got[3] != `4!"open` || got[4] != "5:y" || got[len(got)-1] != fmt.Sprintf("%d:e|f", 5+MaxRowBytes) {
		t.Fatalf("%d rows, want %d: %.60q … %q", len(got), want, got[:5], got[len(got)-1])
	}
}

func TestRowsReadError(t *testing.T) {
	f := DefaultDelimited()
	rows := newRows(io.MultiReader(strings.NewReader("a,b\nc,"), iotest.ErrReader(io.ErrUnexpectedEOF)), &f, Start)
	var row Row
	if err := rows.Next(&row); err != nil || row.Fields[1] != "b" {
		t.Fatal(err, row)
	}
	if err := rows.Next(&row); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("a row that could not be read whole: %v %v", err, row)
	}
}

// TestRowsProperty: what is written with quotes is read back, and reading may stop between any two
// rows and go on at its position.
func TestRowsProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := DefaultDelimited()
		var text strings.Builder
		var want [][]string
		for range rapid.IntRange(1, 12).Draw(t, "rows") {
			fields := rapid.SliceOfN(rapid.StringOf(rapid.RuneFrom([]rune("ab,\"\n\r é"))), 2, 4).Draw(t, "fields")
			want = append(want, fields)
			for i, field := range fields {
				if i > 0 {
					text.WriteByte(',')
				}
				text.WriteString(`"` + strings.ReplaceAll(field, `"`, `""`) + `"`)
			}
			text.WriteString(rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "end"))
		}
		at := Start
		for i, fields := range want {
			in := strings.NewReader(text.String()[at.Offset:])
			rows := newRows(iotest.HalfReader(in), &f, at)
			var row Row
			if err := rows.Next(&row); err != nil {
				t.Fatal(err)
			}
			if fmt.Sprintf("%q", row.Fields) != fmt.Sprintf("%q", fields) {
				t.Fatalf("row %d: got %q, want %q", i, row.Fields, fields)
			}
			if want := int64(1 + strings.Count(text.String()[:at.Offset], "\n")); row.Line != want {
				t.Fatalf("row %d: line %d, want %d", i, row.Line, want)
			}
			at = rows.Position()
		}
	})
}

// FuzzRows: every byte belongs to a row, lines only go up, and it ends.
func FuzzRows(f *testing.F) {
	f.Add("a,\"b\nc,d\n\"e\"\"\",f\r\n", "", ",")
	f.Add("a||b\\\"|\n", `\`, "||")
	f.Fuzz(func(t *testing.T, text, escape, delimiter string) {
		d := DefaultDelimited()
		d.Escape, d.Delimiter = escape, delimiter
		if _, message := d.Check(); message != "" {
			return
		}
		rows := newRows(iotest.HalfReader(strings.NewReader(text)), &d, Start)
		var row Row
		last := int64(0)
		for {
			err := rows.Next(&row)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil || row.Line <= last {
				t.Fatalf("%v, line %d after %d", err, row.Line, last)
			}
			last = row.Line
		}
		if rows.Position().Offset != int64(len(text)) || rows.Position().Line != int64(1+strings.Count(text, "\n")) {
			t.Fatalf("ended at %+v of %d bytes", rows.Position(), len(text))
		}
	})
}
