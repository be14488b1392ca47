package catalog

import (
	"encoding/json"
	"slices"
	"strings"
)

// object is a node on its way.
func object(line int) *node { return &node{form: nodeObject, line: line} }

func scalar(line int, text string) *node { return &node{form: nodePlain, line: line, text: text} }

func (n *node) set(name string, line int, item *node) {
	n.keys, n.items = append(n.keys, nodeKey{name, line}), append(n.items, item)
}

// member finds a member of an object; nil: it has none.
func (n *node) member(name string) *node {
	for i := range n.keys {
		if n.keys[i].text == name {
			return n.items[i]
		}
	}
	return nil
}

// put writes a cell into an object: rounding.mode into the member mode of rounding. What stands before the first dot is a member, the
// rest its name, for those of matches, limits and parameters are free.
func (n *node) put(column string, line int, text string) {
	into, name := n, column
	if head, rest, dotted := strings.Cut(column, "."); dotted {
		if into, name = n.member(head), rest; into == nil {
			into = object(line)
			n.set(head, line, into)
		}
	}
	into.set(name, line, scalar(line, text))
}

// textOf gives the text of a member; empty: it has none.
func (n *node) textOf(name string) string {
	if m := n.member(name); m != nil {
		return m.text
	}
	return ""
}

func (n *node) list(member string) []*node {
	if m := n.member(member); m != nil {
		return m.items
	}
	return nil
}

func (n *node) remove(name string) {
	for i := range n.keys {
		if n.keys[i].text == name {
			n.keys, n.items = slices.Delete(n.keys, i, i+1), slices.Delete(n.items, i, i+1)
			return
		}
	}
}

// replace exchanges the elements of a list that are gone for others, in the place of the first of them.
func (n *node) replace(member string, with []*node, gone func(*node) bool) {
	list := n.member(member)
	if list == nil {
		list = &node{form: nodeList, line: n.line}
		n.set(member, n.line, list)
	}
	at := slices.IndexFunc(list.items, gone)
	if at < 0 {
		at = len(list.items)
	}
	kept := slices.DeleteFunc(slices.Clone(list.items[at:]), gone)
	list.items = slices.Concat(list.items[:at], with, kept)
}

// move gives a node and all in it a line.
func (n *node) move(line int) {
	n.line = line
	for i := range n.keys {
		n.keys[i].line = line
	}
	for _, item := range n.items {
		item.move(line)
	}
}

// json writes a node of texts, lists and objects.
func (n *node) json() string {
	quote := func(s string) string {
		text, err := json.Marshal(s)
		if err != nil {
			return `""`
		}
		return string(text)
	}
	var b strings.Builder
	switch n.form {
	case nodeList:
		b.WriteString("[")
		for i, item := range n.items {
			if i > 0 {
				b.WriteString(",")
			}
			b.WriteString(item.json())
		}
		b.WriteString("]")
	case nodeObject:
		b.WriteString("{")
		for i, k := range n.keys {
			if i > 0 {
				b.WriteString(",")
			}
			b.WriteString(quote(k.text) + ":" + n.items[i].json())
		}
		b.WriteString("}")
	default:
		return quote(n.text)
	}
	return b.String()
}
