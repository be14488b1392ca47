package format

import (
	"fmt"
	"strconv"
	"strings"
)

// Paths of nested records: members behind dots, elements in brackets: usage.account, lines[0].id,
// labels["k8s.io/name"]. A name that holds a dot, a bracket or a quote stands in brackets and quotes.

// step is a part of a path: a member, or an element.
type step struct {
	member  string
	element int // from 0; -1: a member
}

const maxPathSteps = 32

// parsePath gives the steps of a path, or what is wrong with it.
func parsePath(path string) (steps []step, message string) {
	rest := path
	for first := true; rest != ""; first = false {
		if len(steps) == maxPathSteps {
			return nil, fmt.Sprintf("goes deeper than %d", maxPathSteps)
		}
		if rest[0] == '[' {
			s, after, ok := bracketed(rest[1:])
			if !ok {
				return nil, fmt.Sprintf(`%q: in brackets stands a number from 0, or a name in quotes: lines[0], labels["a.b"]`, path)
			}
			steps, rest = append(steps, s), after
			continue
		}
		if !first {
			if rest[0] != '.' {
				return nil, fmt.Sprintf("%q: behind a bracket comes a dot, a bracket or the end", path)
			}
			rest = rest[1:]
		}
		end := strings.IndexAny(rest, ".[")
		if end < 0 {
			end = len(rest)
		}
		if end == 0 || strings.ContainsAny(rest[:end], `]"`) {
			return nil, fmt.Sprintf(`%q: a name is missing, or holds a bracket or a quote; write such a name as ["name"]`, path)
		}
		steps, rest = append(steps, step{rest[:end], -1}), rest[end:]
	}
	if len(steps) == 0 {
		return nil, "is empty"
	}
	return steps, ""
}

// bracketed reads what stands behind an opening bracket, and gives what follows the closing one.
func bracketed(text string) (s step, rest string, ok bool) {
	if strings.HasPrefix(text, `"`) {
		prefix, err := strconv.QuotedPrefix(text)
		if err != nil {
			return s, "", false
		}
		name, err := strconv.Unquote(prefix)
		rest, ok = strings.CutPrefix(text[len(prefix):], "]")
		return step{name, -1}, rest, ok && err == nil
	}
	digits, rest, ok := strings.Cut(text, "]")
	n, err := strconv.ParseUint(digits, 10, 16)
	return step{element: int(n)}, rest, ok && err == nil
}

// tree is what is wanted of a value: itself, or what is in it.
type tree struct {
	wanted   []int // places in a record's fields
	members  map[string]*tree
	elements map[int]*tree
}

// newTree gathers paths; their texts were checked before.
func newTree(paths []Path) (*tree, error) {
	root := &tree{}
	for i, p := range paths {
		steps, message := parsePath(p.Name)
		if p.Name == "" {
			message = "columns have no numbers here; give the path of a member"
		}
		if message != "" {
			return nil, fmt.Errorf("%s: %s", p.Member, message)
		}
		at := root
		for _, s := range steps {
			at = at.below(s)
		}
		at.wanted = append(at.wanted, i)
	}
	return root, nil
}

func (t *tree) below(s step) *tree {
	if s.element >= 0 {
		if t.elements == nil {
			t.elements = map[int]*tree{}
		}
		if t.elements[s.element] == nil {
			t.elements[s.element] = &tree{}
		}
		return t.elements[s.element]
	}
	if t.members == nil {
		t.members = map[string]*tree{}
	}
	if t.members[s.member] == nil {
		t.members[s.member] = &tree{}
	}
	return t.members[s.member]
}

// checkNested is CheckPath of formats whose records are nested.
func checkNested(p Path) string {
	if p.Name == "" {
		return "columns have no numbers in this format; give the path of a member, like usage.account"
	}
	_, message := parsePath(p.Name)
	return message
}
