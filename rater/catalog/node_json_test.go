package catalog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// any gives what encoding/json makes of the same text.
func (n *node) any() any {
	switch n.form {
	case nodeNull:
		return nil
	case nodeQuoted:
		return n.text
	case nodePlain:
		if n.text == "true" || n.text == "false" {
			return n.text == "true"
		}
		return json.Number(n.text)
	case nodeList:
		list := []any{}
		for _, item := range n.items {
			list = append(list, item.any())
		}
		return list
	}
	object := map[string]any{}
	for i, key := range n.keys {
		object[key.text] = n.items[i].any()
	}
	return object
}

// TestJSONIsWhatTheLibraryReads breaks texts at random: what encoding/json takes is taken, with the same content, and nothing else.
func TestJSONIsWhatTheLibraryReads(t *testing.T) {
	texts := []string{
		`{"a": [1, -0.5e+10, 0, true, false, null, "x\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"], "b": {}, "c": [], "ü": {"d": ""}}`,
		`[]`, `"x"`, `12`, `null`, " \r\n\t{\"a\":\n[{}]}\n", `{"a":1,"a":2}`, `["\ud800", "\udc00\ud800x"]`,
	}
	random := rand.New(rand.NewPCG(1, 2))
	const alphabet = "{}[]\",:\\ \n\t0123.-+eEutfalsn\x01/dbr8c"
	taken := 0
	for i := range 60_000 {
		text := []byte(texts[i%len(texts)])
		for range random.IntN(3) {
			at := random.IntN(len(text) + 1)
			switch c := alphabet[random.IntN(len(alphabet))]; {
			case random.IntN(2) == 0:
				text = append(text[:at], append([]byte{c}, text[at:]...)...)
			case at < len(text):
				text = append(text[:at], text[at+1:]...)
			}
		}
		if !utf8.Valid(text) {
			continue // refused before
		}
		n, err := parseJSON("x.json", text)
		if valid := json.Valid(text); valid != (err == nil) {
			t.Fatalf("%q: %v, encoding/json says %v", text, err, valid)
		}
		if err != nil {
			continue
		}
		taken++
		var want any
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		if err := decoder.Decode(&want); err != nil {
			t.Fatal(err)
		}
		if got := n.any(); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: %#v, want %#v", text, got, want)
		}
	}
	if taken < 5_000 {
		t.Errorf("only %d texts were JSON", taken)
	}
}

func TestJSONLines(t *testing.T) {
	n, err := parseJSON("x.json", []byte("\n{\"a\":\n [1,\n\n 2], \"b\"\n: {}}"))
	if err != nil {
		t.Fatal(err)
	}
	a, b := n.items[0], n.items[1]
	got := fmt.Sprint(n.line, n.keys[0].line, a.line, a.items[0].line, a.items[1].line, n.keys[1].line, b.line)
	if got != "2 2 3 3 5 5 6" {
		t.Errorf("lines %s", got)
	}
	if _, err := parseJSON("x.json", []byte("[\n1,\n2\n")); err == nil || !strings.HasPrefix(err.Error(), "x.json:4: not valid JSON: unexpected end") {
		t.Errorf("%v", err)
	}
	if _, err := parseJSON("x.json", []byte(strings.Repeat("[", 40)+strings.Repeat("]", 40))); err == nil || !strings.Contains(err.Error(), "nested deeper") {
		t.Errorf("%v", err)
	}
}
