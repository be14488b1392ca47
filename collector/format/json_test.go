package format

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// readRecords gives the records as "line:field|field", bad ones as "line!message", and the error at the end if it is not io.EOF.
func readRecords(t testing.TB, f Format, text string, paths ...string) []string {
	t.Helper()
	if member, message := f.Check(); message != "" {
		t.Fatalf("%s: %s", member, message)
	}
	var wanted []Path
	for _, p := range paths {
		path := Path{Name: p, Member: "mapping.x"}
		if message := f.CheckPath(path); message != "" {
			t.Fatalf("%s: %s", p, message)
		}
		wanted = append(wanted, path)
	}
	from := Start
	var got []string
	for {
		// Each record is read by a reader of its own, that goes on where the one before it was.
		r, err := f.Open(Plain(strings.NewReader(text), int64(len(text))), wanted, from)
		if err != nil {
			return append(got, "! "+err.Error())
		}
		var row Row
		switch err := r.Next(&row); {
		case errors.Is(err, io.EOF):
			return got
		case err != nil:
			return append(got, "! "+err.Error())
		case row.Code != "":
			got = append(got, fmt.Sprintf("%d!%s", row.Line, row.Message))
		default:
			got = append(got, fmt.Sprintf("%d:%s", row.Line, strings.Join(row.Fields, "|")))
		}
		from = r.Position()
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func check(t *testing.T, name string, got []string, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s:\n got %q\nwant %q", name, got, want)
		return
	}
	for i := range want {
		if got[i] != want[i] && (!strings.HasSuffix(want[i], "…") || !strings.HasPrefix(got[i], strings.TrimSuffix(want[i], "…"))) {
			t.Errorf("%s, %d:\n got %q\nwant %q", name, i, got[i], want[i])
		}
	}
}

func TestJSON(t *testing.T) {
	plain, deep := DefaultJSON(), DefaultJSON()
	deep.Records = "data.items"
	check(t, "array", readRecords(t, &plain, "\ufeff [ {\"a\":1.50,\"b\":{\"c\":\"x\\u00e9\\\"\"}},\n{\"b\":{\"c\":null,\"d\":[1]},\"a\":true}, {} ] ", "a", "b.c", "b"),
		"1:1.50|xé\"|{\"c\":\"x\\u00e9\\\"\"}", "2:true||{\"c\":null,\"d\":[1]}", "3:||")
	check(t, "values one after another", readRecords(t, &plain, `{"a":1}{"a":2}  {"a":3}`, "a"), "1:1", "2:2", "3:3")
	check(t, "one value", readRecords(t, &plain, `{"a":100000000000000000000000000000.000000000000001}`, "a"), "1:100000000000000000000000000000.000000000000001")
	check(t, "elements and odd names", readRecords(t, &plain, `[{"a":[{"x":1},{"x":2}],"k8s.io/n":"v","[":"w"}]`, "a[1].x", `["k8s.io/n"]`, `["["]`, "a[7].x", "a.x"), "1:2|v|w||")
	check(t, "nothing", readRecords(t, &plain, " ", "a"))
	check(t, "empty array", readRecords(t, &plain, "[]", "a"))
	check(t, "arrays one after another", readRecords(t, &plain, `[{"a":1}] [{"a":2}]`, "a"), "1:1", "2:2")
	check(t, "below a path", readRecords(t, &deep, `{"n":[1,{"items":2}],"data":{"x":{},"items":[{"a":1},{"a":2}],"y":3}}`, "a"), "1:1", "2:2")
	check(t, "nothing below the path", readRecords(t, &deep, `{"data":{}}`, "a"), "! format.records: the document has no data.items…")
	check(t, "no array there", readRecords(t, &deep, `{"data":{"items":3}}`, "a"), "! format.records: data.items is no array")
	check(t, "torn", readRecords(t, &plain, `[{"a":1},{"a":`, "a"), "1:1", "! record 2: the document is torn or not JSON: …")
	check(t, "torn behind the last record", readRecords(t, &plain, `[{"a":1}`, "a"), "1:1", "! record 2: the document is torn or not JSON: …")
	check(t, "torn below a path", readRecords(t, &deep, `{"data":{"items":[{"a":1}]`, "a"), "1:1", "! record 2: …")
	check(t, "not JSON", readRecords(t, &plain, `a,b,c`, "a"), "! record 1: the document is torn or not JSON: …")
	check(t, "a member twice", readRecords(t, &plain, `[{"a":1,"a":2},{"a":3}]`, "a"), "! record 1: the document is torn or not JSON: duplicate object member name…")
	check(t, "broken UTF-8 costs its record", readRecords(t, &plain, "[{\"a\":\"\xff\"},{\"a\":3}]", "a"), "1!not a JSON value: invalid UTF-8…", "2:3")
	long := `[{"a":1},{"a":"` + strings.Repeat("x", 3*MaxRecordBytes) + `"}]`
	check(t, "a long record", readRecords(t, &plain, long, "a"), "1:1", "! record 2: a record is longer than 1048576 bytes")
	nested := strings.Repeat("[", 20_000)
	check(t, "deep", readRecords(t, &plain, `[{"a":`+nested, "b"), "! record 1: the document is torn or not JSON: …")
}

func TestLines(t *testing.T) {
	f := DefaultLines()
	check(t, "lines", readRecords(t, &f, "\ufeff{\"a\":1}\r\n\n  \n{\"a\":\"ü\"}\n{\"a\":3}", "a"), "1:1", "4:ü", "5:3")
	check(t, "bad lines cost themselves", readRecords(t, &f, "{\"a\":1\n{\"a\":2} x\nNaN\n{\"a\":\"\xff\"}\n{\"a\":5}\n{\"a\"", "a"),
		"1!not a JSON value: it ends in the middle", "2!not a JSON value: …", "3!not a JSON value: …",
		"4!the line is not valid UTF-8; set the format's encoding to that of the file, or to auto", "5:5", "6!not a JSON value: it ends in the middle; it is the last one and has no line end: torn?")
	check(t, "a long line", readRecords(t, &f, "{\"a\":1}\n"+strings.Repeat("x", 3*MaxRecordBytes)+"\n{\"a\":2}\n", "a"), "1:1", "2!the line is longer than 1048576 bytes", "3:2")
	f.Encoding = "utf-16le"
	check(t, "another encoding", readRecords(t, &f, "{\x00}\x00\n\x00[\x00]\x00", "a"), "1:", "2:")
}

func TestPathsAreChecked(t *testing.T) {
	f := DefaultJSON()
	for _, path := range []string{"", ".a", "a.", "a..b", "a[x]", "a[-1]", "a[1", `a["b]`, "a[1]b", `a"b`, "a]", strings.Repeat("a.", 40) + "a", "a[70000]"} {
		if f.CheckPath(Path{Name: path, Column: 1}) == "" {
			t.Errorf("%q was taken", path)
		}
	}
}

// countRecords reads until the end or an error, and that there is one.
func countRecords(t testing.TB, f Format, text string, paths ...string) (n int) {
	t.Helper()
	var wanted []Path
	for _, p := range paths {
		wanted = append(wanted, Path{Name: p})
	}
	r, err := f.Open(Plain(strings.NewReader(text), int64(len(text))), wanted, Start)
	if err != nil {
		return 0
	}
	var row Row
	for last := int64(0); ; n++ {
		if err := r.Next(&row); err != nil {
			return n
		}
		if row.Line <= last || row.Code == "" && len(row.Fields) != len(paths) {
			t.Fatalf("record %d of line %d behind line %d", n, row.Line, last)
		}
		last = row.Line
	}
}

// FuzzJSON: whatever the bytes are, reading ends.
func FuzzJSON(f *testing.F) {
	f.Add(`[{"a":1},{"a":"é\n"},3]`, "")
	f.Add("{\"a\":1}\n{\"b\":{\"a\":[]}}", "b")
	f.Fuzz(func(t *testing.T, text, records string) {
		j := DefaultJSON()
		j.Records = records
		if _, message := j.Check(); message != "" {
			return
		}
		if n := countRecords(t, &j, text, "a", "b.a[0]"); n > len(text)+1 {
			t.Fatalf("%d records in %d bytes", n, len(text))
		}
		l := DefaultLines()
		if n := countRecords(t, &l, text, "a"); n > len(text) {
			t.Fatalf("%d records in %d bytes", n, len(text))
		}
	})
}

func BenchmarkLines(b *testing.B) {
	f := DefaultLines()
	line := `{"id":"a-1","time":"2026-11-21T10:00:00Z","account":"acme-17","product":"api-calls","quantity":1500,"attributes":{"region":"eu","zone":"a"}}` + "\n"
	in := &endless{row: strings.Repeat(line, 1000), left: int64(b.N+1) * int64(len(line))}
	var paths []Path
	for _, p := range []string{"id", "time", "account", "product", "quantity", "attributes.region"} {
		paths = append(paths, Path{Name: p})
	}
	r, err := f.Open(Once(in), paths, Start)
	if err != nil {
		b.Fatal(err)
	}
	var row Row
	b.ReportAllocs()
	b.SetBytes(int64(len(line)))
	for range b.N {
		if err := r.Next(&row); err != nil || row.Code != "" {
			b.Fatal(err, row)
		}
	}
}
