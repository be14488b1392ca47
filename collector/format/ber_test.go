package format

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

func bin(t testing.TB, parts ...string) string {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(strings.Join(parts, ""), " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Records by hand: a SEQUENCE with a served number [1], a call duration [2], a list [4] of two volumes SEQUENCE {[0], [1]}, and a
// time [3].
const (
	firstCDR = "30 2a" +
		"81 07 91 94 71 00 32 54 f6" + // +49170023456
		"82 02 01 2c" + // 300
		"a4 10  30 06 80 01 05 81 01 07  30 06 80 01 ff 81 01 08" +
		"83 09 26 11 21 10 00 00 2b 01 00" // 2026-11-21 10:00:00 +0100
	secondCDR = "bf 8f 68 80" + // [2024], ended by a mark
		"81 01 a1" + // a national number without digits
		"82 05 00 ff ff ff ff" + // 4294967295
		"a4 80 30 80 80 01 05 00 00 00 00" +
		"00 00"
)

func cdrs() BER {
	f := DefaultBER()
	f.Elements = []Element{
		{"kind", "@", ""}, {"who", "1", "address"}, {"seconds", "2", "integer"}, {"up", "4/u16/0", "integer"}, {"down", "4/u16[1]/1", "unsigned"}, {"at", "3", "time"}, {"none", "9/1", "text"}, {"raw", "2", "hex"},
	}
	return f
}

func TestBER(t *testing.T) {
	f := cdrs()
	names := []string{"kind", "who", "seconds", "up", "down", "at", "none", "raw"}
	check(t, "records", readRecords(t, &f, bin(t, firstCDR, "00 00 00", secondCDR, "ff ff", firstCDR), names...),
		"1:u16|+49170023456|300|5|8|2026-11-21T10:00:00+01:00||012c",
		"2:c2024||4294967295|5||||00ffffffff",
		"3:u16|+49170023456|300|5|8|2026-11-21T10:00:00+01:00||012c")
}

// TestBERNumbers: the same bytes, read in every way; the figures are worked out by hand.
func TestBERNumbers(t *testing.T) {
	for _, c := range []struct{ kind, content, want string }{
		{"integer", "", "0"}, {"integer", "7f", "127"}, {"integer", "80", "-128"}, {"integer", "ff7f", "-129"}, {"integer", "00ff", "255"}, {"integer", "7fffffffffffffffff", "2361183241434822606847"},
		{"unsigned", "ff", "255"}, {"unsigned", "", "0"}, {"boolean", "00", "false"}, {"boolean", "ff", "true"}, {"text", "c3a9", "é"}, {"latin1", "e9", "é"}, {"hex", "0aff", "0aff"},
		{"bcd", "1234", "1234"}, {"bcd", "123f", "123"}, {"tbcd", "2143f5", "12345"}, {"tbcd", "a1fb", "1*#"}, {"address", "912143", "+1234"}, {"address", "a12143", "1234"}, {"address", "", ""},
		{"ip", "7f000001", "127.0.0.1"}, {"ip", "20010db8000000000000000000000001", "2001:db8::1"},
		{"time", "2611211000002d0500", "2026-11-21T10:00:00-05:00"}, {"time", "2602281000002b0000", "2026-02-28T10:00:00Z"},
		{"generalized", hex.EncodeToString([]byte("20261121100000.5Z")), "2026-11-21T10:00:00.5Z"}, {"generalized", hex.EncodeToString([]byte("20261121100000+0130")), "2026-11-21T10:00:00+01:30"},
		{"generalized", hex.EncodeToString([]byte("20261121100000")), "2026-11-21T10:00:00"}, {"utc", hex.EncodeToString([]byte("261121100000Z")), "2026-11-21T10:00:00Z"}, {"utc", hex.EncodeToString([]byte("2611211000+0100")), "2026-11-21T10:00:00+01:00"},
	} {
		content, err := hex.DecodeString(c.content)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := elementTypes[c.kind](content); err != nil || got != c.want {
			t.Errorf("%s of %s: %q, %v; want %q", c.kind, c.content, got, err, c.want)
		}
	}
	for kind, content := range map[string]string{"text": "ff", "bcd": "1a", "ip": "7f00", "time": "2602301000002b0000", "generalized": "32", "utc": "3236"} {
		b, err := hex.DecodeString(content)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := elementTypes[kind](b); err == nil {
			t.Errorf("%s of %s was read as %q", kind, content, got)
		}
	}
}

// TestBERBelow: the records are the elements of a list in a list, as in files that are one element: a1 { a4 { … } }.
func TestBERBelow(t *testing.T) {
	f := cdrs()
	f.Records = "a1/a3"
	record := "69 05 81 03 91 21 43" // [APPLICATION 9] +1234
	check(t, "definite lengths", readRecords(t, &f, bin(t, "61 15  64 03 02 01 05  63 0e", record, record), "kind", "who"), "1:a9|+1234", "2:a9|+1234")
	check(t, "marks", readRecords(t, &f, bin(t, "61 80  64 80 02 01 05 00 00  63 80", record, record, "00 00  64 00  63 07", record, "00 00"), "who"), "1:+1234", "2:+1234", "3:+1234")
	check(t, "torn", readRecords(t, &f, bin(t, "61 80  63 80", record, record[:9]), "who"), "1:+1234", "! record 2, byte 15: the file is torn…")
	check(t, "no end", readRecords(t, &f, bin(t, "61 80  63 80", record), "who"), "1:+1234", "! record 2, byte 12: the file is torn…")
	check(t, "longer than what is around", readRecords(t, &f, bin(t, "61 0a  63 03", record), "who"), "1:+1234", "! record 2, byte 12: the file is torn…")
	f.Records = "a1/a3[1]"
	check(t, "the second", readRecords(t, &f, bin(t, "61 12  63 07", record, "63 07", strings.Replace(record, "69", "6a", 1)), "kind"), "1:a10")
}

func TestBERWithHeaders(t *testing.T) {
	f := cdrs()
	f.SkipBytes, f.RecordHeaderBytes = 3, 2
	check(t, "headers", readRecords(t, &f, bin(t, "00 11 22", "33 44 30 04 82 02 01 2c", "33 45 30 03 82 01 01", "ff ff"), "seconds"), "1:300", "2:1")
	check(t, "only a header", readRecords(t, &f, bin(t, "00 11 22 33 44"), "seconds"), "! record 1, byte 6: the file is torn…")
	check(t, "not even that", readRecords(t, &f, bin(t, "00 11"), "seconds"), "! record 1, byte 3: the file is torn…")
}

func TestBERBadRecords(t *testing.T) {
	f := cdrs()
	check(t, "a bad record costs itself", readRecords(t, &f, bin(t, "30 04 83 02 26 11", "30 03 82 05 01", "30 03 82 01 07"), "at", "seconds"),
		"1!at: 2611 is no time of 9 bytes", "2!at: the file is torn, or is not in the Basic Encoding Rules", "3:|7")
	check(t, "too long", readRecords(t, &f, bin(t, "30 84 7f ff ff ff")+"x", "at"), "! record 1, byte 7: a record is longer than 1048576 bytes")
	check(t, "a length of lengths", readRecords(t, &f, bin(t, "30 89 01"), "at"), "! record 1, byte 3: the file is torn…")
	check(t, "deep", readRecords(t, &f, strings.Repeat(bin(t, "30 80"), 100), "at"), "! record 1, byte 69: elements are nested deeper than 32")
	check(t, "text", readRecords(t, &f, "id,account\n", "at"), "! record 1, byte 12: the file is torn…")
	for name, change := range map[string]func(*BER){
		"records": func(f *BER) { f.Records = "x" }, "skip_bytes": func(f *BER) { f.SkipBytes = -1 }, "record_header_bytes": func(f *BER) { f.RecordHeaderBytes = 5000 }, "elements": func(f *BER) { f.Elements = nil },
		"elements[1]": func(f *BER) { f.Elements[1].Name = "kind" }, "elements[2]": func(f *BER) { f.Elements[2].Path = "4//5" }, "elements[3]": func(f *BER) { f.Elements[3].Type = "float" },
	} {
		f := cdrs()
		change(&f)
		if member, message := f.Check(); member != name {
			t.Errorf("%s: %s %s", name, member, message)
		}
	}
	if f.CheckPath(Path{Name: "what"}) == "" {
		t.Error("an element that the table does not have was taken")
	}
}

func FuzzBER(f *testing.F) {
	f.Add([]byte("\x30\x03\x82\x01\x07"), "")
	f.Add([]byte("\x61\x80\x63\x80\x69\x00\x00\x00\x00\x00"), "a1/a3")
	f.Fuzz(func(t *testing.T, data []byte, records string) {
		x := cdrs()
		x.Records = records
		if _, message := x.Check(); message != "" {
			return
		}
		if n := countRecords(t, &x, string(bytes.Clone(data)), "kind", "who", "seconds", "down", "at"); n > len(data) {
			t.Fatalf("%d records in %d bytes", n, len(data))
		}
	})
}
