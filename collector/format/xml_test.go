package format

import (
	"strings"
	"testing"
)

func TestXML(t *testing.T) {
	f := DefaultXML()
	f.Record = "calls/day/call"
	doc := `<?xml version="1.0" encoding="utf-8"?><!-- a comment --><x:calls xmlns:x="u"><head><call>no</call></head><day at="1">
		<call id="c1"><caller><number> 0049&amp;1 </number></caller><charge currency="EUR">1.50</charge></call>
		<x:call id="c2"><charge currency="USD"><![CDATA[<2>]]></charge></x:call><other/></day><day><call/></day></x:calls>`
	check(t, "records", readRecords(t, &f, doc, "@id", "caller/number", "charge", "charge/@currency"), "1:c1|0049&1|1.50|EUR", "2:c2||<2>|USD", "3:|||")
	check(t, "torn", readRecords(t, &f, strings.TrimSuffix(doc, "</x:calls>"), "@id"), "1:c1", "2:c2", "3:", "! record 4, line 3: the document is torn")
	check(t, "torn in a record", readRecords(t, &f, doc[:200], "@id"), "! record 1, line 2: the document is torn or not XML: …")
	check(t, "not closed in order", readRecords(t, &f, "<calls><day><call></day></call></calls>", "@id"), "! record 1, line 1: the document is torn or not XML: </day> closes what is not open")
	check(t, "no XML", readRecords(t, &f, "a,b,c", "@id"), "! record 1, line 1: the document is torn")
	check(t, "two values", readRecords(t, &f, "<calls><day><call><a>1</a><a>2</a></call><call><a>3</a></call></day></calls>", "a"), "1!a stands more than once in the record", "2:3")
	check(t, "latin1", readRecords(t, &f, "<?xml version='1.0' encoding='ISO-8859-1'?><calls><day><call><a>\xe9</a></call></day></calls>", "a"), "1:é")
	check(t, "an unknown encoding", readRecords(t, &f, "<?xml version='1.0' encoding='ebcdic'?><calls/>", "a"), "! the document says that it has an unknown encoding \"ebcdic\"…")
	laughs := `<!DOCTYPE z [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><calls><day><call><a>&b;</a></call></day></calls>`
	check(t, "entities of its own", readRecords(t, &f, laughs, "a"), "! record 1: the document defines entities, which are not read")
	long := "<calls><day><call><a>" + strings.Repeat("x", 2*MaxRecordBytes) + "</a></call></day></calls>"
	check(t, "long", readRecords(t, &f, long, "a"), "! record 1: a record is longer than 1048576 bytes")
	check(t, "deep", readRecords(t, &f, "<calls><day><call>"+strings.Repeat("<a>", 100), "a"), "! record 1: elements are nested deeper than 64")

	for _, path := range []string{"", "a b", "/a", "a/", "@a/b", "a//b", strings.Repeat("a/", 70) + "a"} {
		if f.CheckPath(Path{Name: path, Column: 1}) == "" {
			t.Errorf("%q was taken", path)
		}
	}
	for _, record := range []string{"", "calls/@id", "/calls"} {
		if member, _ := (&XML{Record: record, Values: DefaultNotation()}).Check(); member != "record" {
			t.Errorf("record %q was taken", record)
		}
	}
}

func TestXMLShowsABadRecord(t *testing.T) {
	f := DefaultXML()
	f.Record = "r/c"
	doc := "<r><c> <a>1</a></c>\n<c id='x'><a>1</a><a>2</a></c></r>"
	r, err := f.Open(Plain(strings.NewReader(doc), int64(len(doc))), []Path{{Name: "a"}}, Position{Line: 2})
	if err != nil {
		t.Fatal(err)
	}
	var row Row
	if err := r.Next(&row); err != nil || row.Raw != "<c id='x'><a>1</a><a>2</a></c>" {
		t.Errorf("%v %+v", err, row)
	}
}

func FuzzXML(f *testing.F) {
	f.Add("<a><b c='1'>x</b><b/></a>")
	f.Add("<?xml version='1.0' encoding='utf-16'?><a><b>&lt;</b></a>")
	f.Fuzz(func(t *testing.T, text string) {
		x := DefaultXML()
		x.Record = "a/b"
		if n := countRecords(t, &x, text, "@c", "d"); n > len(text)+1 {
			t.Fatalf("%d records in %d bytes", n, len(text))
		}
	})
}
