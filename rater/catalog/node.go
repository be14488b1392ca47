package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// node is a part of a document as text: numbers stay as they were written, so nothing passes
// through a float, and every part knows its line.
type node struct {
	form  nodeForm
	text  string
	line  int
	keys  []nodeKey // of an object, one for each item
	items []*node
}

type nodeForm uint8

const (
	nodeNull   nodeForm = iota
	nodePlain           // a scalar without quotes: a number, a word
	nodeQuoted          // a string
	nodeList
	nodeObject
)

type nodeKey struct {
	text string
	line int
}

func (n *node) describe() string {
	switch n.form {
	case nodeNull:
		return "nothing"
	case nodeList:
		return "a list"
	case nodeObject:
		return "an object"
	}
	return strconv.Quote(n.text)
}

// Bounds of a document, so that a hostile one costs no more than its size.
const (
	maxDocumentBytes = 256 << 20
	maxDocumentDepth = 32
)

// parseNodes reads YAML or JSON: JSON when the name says so or the text is JSON.
func parseNodes(name string, data []byte) (*node, error) {
	if len(data) > maxDocumentBytes {
		return nil, Issue{File: name, Message: fmt.Sprintf("has %d bytes, more than %d: split it into several documents", len(data), maxDocumentBytes)}.err()
	}
	if !utf8.Valid(data) {
		return nil, Issue{File: name, Line: badLine(data), Message: "is not UTF-8: save it in that encoding"}.err()
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	isJSON := strings.HasSuffix(strings.ToLower(name), ".json")
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); isJSON || len(trimmed) > 0 && trimmed[0] == '{' {
		n, err := parseJSON(name, data)
		if err == nil || isJSON {
			return n, err
		}
	}
	return parseYAML(name, data)
}

func (i Issue) err() error { return &Issues{List: []Issue{i}} }

func badLine(data []byte) int {
	for i, line := range bytes.Split(data, []byte("\n")) {
		if !utf8.Valid(line) {
			return i + 1
		}
	}
	return 0
}

var yamlLine = regexp.MustCompile(`line (\d+): `)

func parseYAML(name string, data []byte) (*node, error) {
	var root, second yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	err := decoder.Decode(&root)
	if errors.Is(err, io.EOF) || err == nil && len(root.Content) == 0 {
		return nil, Issue{File: name, Message: "is empty"}.err()
	}
	if err == nil {
		if extra := decoder.Decode(&second); !errors.Is(extra, io.EOF) {
			return nil, Issue{File: name, Line: second.Line, Message: "holds more than one document: give each its own file"}.err()
		}
	}
	if err != nil {
		issue := Issue{File: name, Message: "not valid YAML: " + strings.TrimPrefix(err.Error(), "yaml: ")}
		if m := yamlLine.FindStringSubmatch(issue.Message); m != nil {
			issue.Line, _ = strconv.Atoi(m[1])
			issue.Message = strings.Replace(issue.Message, m[0], "", 1)
		}
		return nil, issue.err()
	}
	// Every part takes a byte or more, so only aliases that multiply each other pass the bound.
	c := yamlConverter{limit: 2*len(data) + 10_000}
	n, err := c.convert(root.Content[0], 0)
	if err != nil {
		return nil, Issue{File: name, Line: c.line, Message: err.Error()}.err()
	}
	return n, nil
}

type yamlConverter struct {
	nodes, limit int
	line         int
}

func (c *yamlConverter) convert(y *yaml.Node, depth int) (*node, error) {
	c.line = y.Line
	if c.nodes++; c.nodes > c.limit {
		return nil, errors.New("its aliases stand for far more than is written: write the parts out")
	}
	if depth > maxDocumentDepth {
		return nil, fmt.Errorf("it is nested deeper than %d levels", maxDocumentDepth)
	}
	n := &node{line: y.Line}
	switch y.Kind {
	case yaml.AliasNode:
		return c.convert(y.Alias, depth+1)
	case yaml.ScalarNode:
		n.text = y.Value
		switch {
		case y.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0:
			n.form = nodeQuoted
		case y.ShortTag() == "!!null": // nodeNull
		default:
			n.form = nodePlain
		}
	case yaml.SequenceNode:
		n.form = nodeList
		for _, item := range y.Content {
			converted, err := c.convert(item, depth+1)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, converted)
		}
	case yaml.MappingNode:
		n.form = nodeObject
		for i := 0; i+1 < len(y.Content); i += 2 {
			if y.Content[i].Kind != yaml.ScalarNode {
				c.line = y.Content[i].Line
				return nil, errors.New("a member's name must be plain text")
			}
			converted, err := c.convert(y.Content[i+1], depth+1)
			if err != nil {
				return nil, err
			}
			n.keys = append(n.keys, nodeKey{y.Content[i].Value, y.Content[i].Line})
			n.items = append(n.items, converted)
		}
	default:
		return nil, errors.New("cannot be read as YAML")
	}
	return n, nil
}
