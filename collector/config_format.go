package collector

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tollstream/tollstream/collector/format"
)

// formats are the types of a format. Each starts with its defaults and has its members read into it.
var formats = map[string]func(d *reading) (format.Format, []member){
	"delimited": func(d *reading) (format.Format, []member) {
		f := format.DefaultDelimited()
		return &f, append([]member{
			{"delimiter", d.delimiter(&f.Delimiter)}, {"quote", d.text(&f.Quote)}, {"escape", d.text(&f.Escape)}, {"header", d.flag(&f.Header)},
			{"columns", d.number(&f.Columns)}, {"skip_rows", d.number(&f.SkipRows)}, {"encoding", d.text(&f.Encoding)},
			{"final_newline", d.flag(&f.FinalNewline)},
		}, d.notation(&f.Values)...)
	},
	"ber": func(d *reading) (format.Format, []member) {
		f := format.DefaultBER()
		return &f, append([]member{
			{"records", d.text(&f.Records)}, {"skip_bytes", d.number(&f.SkipBytes)}, {"record_header_bytes", d.number(&f.RecordHeaderBytes)},
			{"elements", func(path string, n *yaml.Node) { d.elements(&f.Elements, path, n) }},
		}, d.notation(&f.Values)...)
	},
	"fixed": func(d *reading) (format.Format, []member) {
		f := format.DefaultFixed()
		return &f, append([]member{
			{"columns", func(path string, n *yaml.Node) { d.fixedColumns(&f.Columns, path, n) }}, {"skip_rows", d.number(&f.SkipRows)},
			{"short_lines", d.flag(&f.ShortLines)}, {"encoding", d.text(&f.Encoding)},
		}, d.notation(&f.Values)...)
	},
	"json": func(d *reading) (format.Format, []member) {
		f := format.DefaultJSON()
		return &f, append([]member{{"records", d.text(&f.Records)}, {"encoding", d.text(&f.Encoding)}}, d.notation(&f.Values)...)
	},
	"ndjson": func(d *reading) (format.Format, []member) {
		f := format.DefaultLines()
		return &f, append([]member{{"encoding", d.text(&f.Encoding)}}, d.notation(&f.Values)...)
	},
	"parquet": func(d *reading) (format.Format, []member) {
		f := format.DefaultParquet()
		return &f, d.notation(&f.Values)
	},
	"xlsx": func(d *reading) (format.Format, []member) {
		f := format.DefaultXLSX()
		return &f, append([]member{{"sheet", d.text(&f.Sheet)}, {"header", d.flag(&f.Header)}, {"skip_rows", d.number(&f.SkipRows)}}, d.notation(&f.Values)...)
	},
	"xml": func(d *reading) (format.Format, []member) {
		f := format.DefaultXML()
		return &f, append([]member{{"record", d.text(&f.Record)}, {"encoding", d.text(&f.Encoding)}}, d.notation(&f.Values)...)
	},
}

// fixedColumns reads a list of {name, start, length, keep_spaces}.
func (d *reading) fixedColumns(into *[]format.Column, path string, node *yaml.Node) {
	if node.Kind != yaml.SequenceNode {
		d.fail(path, node, "must be a list of {name: …, start: …, length: …}")
		return
	}
	for i, n := range node.Content {
		var c format.Column
		d.object(fmt.Sprintf("%s[%d]", path, i), n, member{"name", d.text(&c.Name)}, member{"start", d.number(&c.Start)},
			member{"length", d.number(&c.Length)}, member{"keep_spaces", d.flag(&c.Keep)})
		*into = append(*into, c)
	}
}

// elements reads a list of {name, path, type}.
func (d *reading) elements(into *[]format.Element, path string, node *yaml.Node) {
	if node.Kind != yaml.SequenceNode {
		d.fail(path, node, "must be a list of {name: …, path: …, type: …}")
		return
	}
	for i, n := range node.Content {
		var e format.Element
		d.object(fmt.Sprintf("%s[%d]", path, i), n, member{"name", d.text(&e.Name)}, member{"path", d.text(&e.Path)}, member{"type", d.text(&e.Type)})
		*into = append(*into, e)
	}
}

// notation are the members that say how values are written.
func (d *reading) notation(n *format.Notation) []member {
	return []member{{"decimal", d.text(&n.Decimal)}, {"thousands", d.text(&n.Thousands)}, {"null", d.written(&n.Null)}}
}

func (d *reading) delimiter(into *string) func(string, *yaml.Node) {
	return func(path string, node *yaml.Node) {
		d.text(into)(path, node)
		if *into == "tab" || *into == `\t` {
			*into = "\t"
		}
	}
}

// format reads the description of a format; its type decides which members it has.
func (d *reading) format(c *Config, path string, node *yaml.Node) {
	kind, at := "delimited", node
	if node.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == "type" {
				at = node.Content[i+1]
				d.text(&kind)(joined(path, "type"), at)
			}
		}
	}
	start, known := formats[kind]
	if !known {
		d.fail(joined(path, "type"), at, "unknown type %q; known are %s", kind, strings.Join(slices.Sorted(maps.Keys(formats)), ", "))
		return
	}
	f, members := start(d)
	lines := map[string]*yaml.Node{}
	for i, m := range members {
		members[i].read = func(path string, n *yaml.Node) { lines[m.name] = n; m.read(path, n) }
	}
	before := len(d.problems)
	packing := "auto"
	d.object(path, node, append([]member{{"type", d.text(&kind)}, {"compression", d.text(&packing)}}, members...)...)
	if packing != "auto" {
		c.Packing = format.Packing(packing)
	}
	if err := c.Packing.Check(); err != nil {
		d.fail(joined(path, "compression"), node, "%s", err)
	}
	if len(d.problems) > before {
		return
	}
	c.Format = f
	if name, message := f.Check(); message != "" {
		if at := lines[name]; at != nil {
			node = at
		}
		d.fail(joined(path, name), node, "%s", message)
	}
}
