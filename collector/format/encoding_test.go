package format

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"
)

func TestEncodingIsFoundOut(t *testing.T) {
	ascii := strings.Repeat("a,b\n", 50_000) // beyond what is looked at at once
	for _, c := range []struct{ name, said, text, want string }{
		{"nothing", "", "", "utf-8"}, {"nothing, anything", EncodingAuto, "", "utf-8"}, {"one byte", EncodingAuto, "\xff", "windows-1252"},
		{"a mark", "", "\xff\xfea\x00", "utf-16"}, {"the other mark", "", "\xfe\xff\x00a", "utf-16"}, {"no mark, not asked", "", "a\x00,\x00b\x00", "utf-8"},
		{"no mark", EncodingAuto, "a\x00,\x00b\x00\xe9\x00", "utf-16le"}, {"no mark, high first", EncodingAuto, "\x00a\x00,\x00b", "utf-16be"},
		{"ASCII", EncodingAuto, ascii, "utf-8"}, {"UTF-8", EncodingAuto, ascii + "é", "utf-8"}, {"late letters", EncodingAuto, ascii + "Stra\xdfe", "windows-1252"},
		{"mostly UTF-8", EncodingAuto, "éé\xff", "utf-8"}, {"not asked", "", "Stra\xdfe", "utf-8"}, {"said", "iso-8859-1", "\xff\xfe", "iso-8859-1"},
	} {
		f := DefaultDelimited()
		f.Encoding = c.said
		got, err := Resolve(&f, Plain(strings.NewReader(c.text), int64(len(c.text))))
		if err != nil || got.(*Delimited).Encoding != c.want || f.Encoding != c.said {
			t.Errorf("%s: %v %v, want %s", c.name, got, err, c.want)
		}
	}
	f := DefaultXML()
	if _, err := Resolve(&f, Once(iotest.ErrReader(errors.New("away")))); err == nil {
		t.Error("what cannot be read has an encoding")
	}
	p := DefaultParquet()
	if got, err := Resolve(&p, nil); err != nil || got != Format(&p) {
		t.Error("Parquet has none")
	}
}
