package format

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// TestEnvelope: each path is read from where it is, whatever the order, in good rows and behind bad ones.
func TestEnvelope(t *testing.T) {
	around := func(path string) string { return map[string]string{"@key": "k", "@header.x": "h"}[path] }
	paths := []Path{{Name: "@key"}, {Name: "b"}, {Name: "@header.x"}, {Name: "a"}, {Name: "@header.none"}}
	csv, ndjson := DefaultDelimited(), DefaultLines()
	for _, c := range []struct {
		format Format
		text   string
		value  func(string) string
		want   string
	}{
		{&csv, "a,b\n1,2\n3\n5,6\n", around, `["k" "2" "h" "1" ""]|bad|["k" "6" "h" "5" ""]|`},
		{&ndjson, "{\"a\":1,\"b\":2}\nno\n{\"a\":5}\n", around, `["k" "2" "h" "1" ""]|bad|["k" "" "h" "5" ""]|`},
		{&ndjson, "{\"a\":1,\"b\":2}\n", nil, `["" "2" "" "1" ""]|`},
	} {
		e := &Envelope{Format: c.format, Names: []string{"@key", "@header."}, Value: c.value}
		reader, err := e.Open(Plain(strings.NewReader(c.text), int64(len(c.text))), paths, Start)
		if err != nil {
			t.Fatal(err)
		}
		var row Row
		got := ""
		for {
			err := reader.Next(&row)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if row.Code != "" {
				got += "bad|"
				continue
			}
			got += fmt.Sprintf("%q|", row.Fields)
		}
		if got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
	e := &Envelope{Format: &ndjson, Names: []string{"@key", "@header."}}
	xml := &XML{Record: "a"}
	inXML := &Envelope{Format: xml, Names: e.Names}
	for _, c := range []struct {
		e    *Envelope
		path string
		says string
	}{
		{e, "@key", ""}, {e, "@header.x", ""}, {e, "a.b", ""}, {e, "a..b", "a name is missing"}, {inXML, "@id", ""},
		{inXML, "a b", "must be the path of an element"},
	} {
		if got := c.e.CheckPath(Path{Name: c.path}); (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
			t.Errorf("%s: %q, want %q", c.path, got, c.says)
		}
	}
}
