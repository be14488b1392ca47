package catalog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// jsonReader reads JSON into nodes in one pass. What it cannot read is given to encoding/json, which says why.
type jsonReader struct {
	text  string // every node's text is a part of it
	at    int
	line  int
	depth int
	nodes []node    // the next ones to give out
	items []*node   // of the lists and objects that are open
	keys  []nodeKey // of the objects that are open
}

var errJSON = errors.New("not JSON")

func parseJSON(name string, data []byte) (*node, error) {
	r := &jsonReader{text: string(data), line: 1}
	n, err := r.value()
	if err == nil {
		if r.space(); r.at < len(r.text) {
			err = errJSON
		}
	}
	if err == nil {
		return n, nil
	}
	issue := Issue{File: name, Line: r.line, Message: "not valid JSON: " + err.Error()}
	var syntax *json.SyntaxError
	if wrong := json.Unmarshal(data, new(json.RawMessage)); errors.As(wrong, &syntax) {
		issue.Line = 1 + bytes.Count(data[:min(int(syntax.Offset), len(data))], []byte("\n"))
		issue.Message = "not valid JSON: " + syntax.Error()
	}
	return nil, issue.err()
}

// space passes over white space, which is the only place for ends of lines.
func (r *jsonReader) space() {
	for ; r.at < len(r.text); r.at++ {
		switch r.text[r.at] {
		case '\n':
			r.line++
		case ' ', '\t', '\r':
		default:
			return
		}
	}
}

// next passes over space and gives the byte that follows; 0: the end.
func (r *jsonReader) next() byte {
	if r.space(); r.at < len(r.text) {
		return r.text[r.at]
	}
	return 0
}

const nodesAtATime = 256

func (r *jsonReader) node(form nodeForm) *node {
	if len(r.nodes) == 0 {
		r.nodes = make([]node, nodesAtATime)
	}
	n := &r.nodes[0]
	r.nodes = r.nodes[1:]
	n.form, n.line = form, r.line
	return n
}

func (r *jsonReader) value() (*node, error) {
	switch c := r.next(); {
	case c == '{' || c == '[':
		return r.many(c)
	case c == '"':
		n := r.node(nodeQuoted)
		var err error
		n.text, err = r.quoted()
		return n, err
	case c == '-' || c >= '0' && c <= '9':
		n := r.node(nodePlain)
		var err error
		n.text, err = r.number()
		return n, err
	}
	for _, word := range []string{"null", "true", "false"} {
		if len(r.text)-r.at >= len(word) && r.text[r.at:r.at+len(word)] == word {
			form := nodePlain
			if word == "null" {
				form, word = nodeNull, ""
				r.at += len("null")
			}
			n := r.node(form)
			n.text = word
			r.at += len(word)
			return n, nil
		}
	}
	return nil, errJSON
}

// many reads a list or an object.
func (r *jsonReader) many(open byte) (*node, error) {
	form, shut := nodeList, byte(']')
	if open == '{' {
		form, shut = nodeObject, '}'
	}
	if r.depth++; r.depth > maxDocumentDepth {
		return nil, fmt.Errorf("it is nested deeper than %d levels", maxDocumentDepth)
	}
	n := r.node(form)
	r.at++
	items, keys := len(r.items), len(r.keys)
	for c := r.next(); c != shut; {
		if form == nodeObject {
			if c != '"' {
				return nil, errJSON
			}
			key, err := r.quoted()
			if err != nil {
				return nil, err
			}
			r.keys = append(r.keys, nodeKey{key, r.line})
			if r.next() != ':' {
				return nil, errJSON
			}
			r.at++
		}
		item, err := r.value()
		if err != nil {
			return nil, err
		}
		r.items = append(r.items, item)
		if c = r.next(); c == ',' {
			r.at++
			if c = r.next(); c == shut {
				return nil, errJSON
			}
		} else if c != shut {
			return nil, errJSON
		}
	}
	r.at++
	r.depth--
	if len(r.items) > items {
		n.items = append(make([]*node, 0, len(r.items)-items), r.items[items:]...)
		r.items = r.items[:items]
	}
	if len(r.keys) > keys {
		n.keys = append(make([]nodeKey, 0, len(r.keys)-keys), r.keys[keys:]...)
		r.keys = r.keys[:keys]
	}
	return n, nil
}

// quoted reads a string.
func (r *jsonReader) quoted() (string, error) {
	begin := r.at + 1
	for i := begin; i < len(r.text); i++ {
		switch c := r.text[i]; {
		case c == '"':
			r.at = i + 1
			return r.text[begin:i], nil
		case c == '\\':
			return r.escaped(begin - 1)
		case c < ' ':
			return "", errJSON
		}
	}
	return "", errJSON
}

// escaped reads a string that holds escapes, which encoding/json knows.
func (r *jsonReader) escaped(begin int) (s string, err error) {
	for i := begin + 1; i < len(r.text); i++ {
		switch r.text[i] {
		case '\\':
			i++
		case '"':
			if json.Unmarshal([]byte(r.text[begin:i+1]), &s) != nil || !utf8.ValidString(s) {
				return "", errJSON
			}
			r.at = i + 1
			return s, nil
		}
	}
	return "", errJSON
}

func (r *jsonReader) digits() bool {
	begin := r.at
	for r.at < len(r.text) && r.text[r.at] >= '0' && r.text[r.at] <= '9' {
		r.at++
	}
	return r.at > begin
}

// number keeps a number as it is written.
func (r *jsonReader) number() (string, error) {
	begin := r.at
	is := func(set string) bool {
		for i := 0; r.at < len(r.text) && i < len(set); i++ {
			if r.text[r.at] == set[i] {
				r.at++
				return true
			}
		}
		return false
	}
	is("-")
	if !is("0") && !r.digits() || is(".") && !r.digits() {
		return "", errJSON
	}
	if is("eE") {
		is("+-")
		if !r.digits() {
			return "", errJSON
		}
	}
	return r.text[begin:r.at], nil
}
