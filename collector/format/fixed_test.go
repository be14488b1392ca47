package format

import (
	"strings"
	"testing"
)

func TestFixed(t *testing.T) {
	f := DefaultFixed()
	f.SkipRows = 1
	f.Columns = []Column{{Name: "type", Start: 1, Length: 2}, {Name: "who", Start: 3, Length: 6}, {Name: "units", Start: 9, Length: 4, Keep: true}}
	text := "HEAD\r\n20alice 0012\r\n\r\n20bob      7\n20tor\n20Zoë    1.5\n\x1a"
	check(t, "lines", readRecords(t, &f, text, "who", "units", "type"),
		"2:alice|0012|20", "4:bob|   7|20", "5!the line has 5 characters instead of 12", "6:Zoë| 1.5|20")
	check(t, "torn", readRecords(t, &f, "HEAD\n20alice 00", "who"), "2!the line has 10 characters instead of 12: the last line is torn")
	check(t, "only a header", readRecords(t, &f, "HEAD", "who"))
	check(t, "longer lines", readRecords(t, &f, "H\n20alice 0012 more", "units"), "2:0012")
	f.ShortLines = true
	check(t, "short lines", readRecords(t, &f, "H\n20al\n", "who", "units"), "2:al|")
	f.Encoding = "iso-8859-1"
	check(t, "latin1", readRecords(t, &f, "H\n20Zo\xeb    1.5\n", "who"), "2:Zoë")

	for _, p := range []Path{{Name: "none"}, {Column: 4}} {
		if f.CheckPath(p) == "" {
			t.Errorf("%v was taken", p)
		}
	}
	for name, columns := range map[string][]Column{
		"none": nil, "no name": {{Start: 1, Length: 1}}, "from 0": {{Name: "a", Length: 1}}, "empty": {{Name: "a", Start: 1}}, "twice": {{Name: "a", Start: 1, Length: 1}, {Name: "a", Start: 2, Length: 1}},
	} {
		f.Columns = columns
		if member, message := f.Check(); member != "columns" {
			t.Errorf("%s: %s %s", name, member, message)
		}
	}
}

func FuzzFixed(f *testing.F) {
	f.Add("20alice 0012\n20bob", 3, 6)
	f.Fuzz(func(t *testing.T, text string, start, length int) {
		x := DefaultFixed()
		x.Columns = []Column{{Name: "a", Start: start, Length: length}}
		if _, message := x.Check(); message != "" {
			return
		}
		if n := countRecords(t, &x, text, "a"); n > strings.Count(text, "\n")+1 {
			t.Fatalf("%d records", n)
		}
	})
}
