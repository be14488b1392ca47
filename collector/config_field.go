package collector

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/tollstream/tollstream/collector/format"
)

// field reads where a member comes from: {from: column}, {value: constant}, {expression: text}, with default, transform
// and, for the time, layout and time_zone. A text alone is short for {from: text}.
func (d *reading) field(f *format.Field, path string, node *yaml.Node, isTime bool) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind == yaml.ScalarNode && node.Tag != "!!null" {
		d.column(f, path, node)
		return
	}
	members := []member{
		{"from", func(path string, n *yaml.Node) { d.column(f, path, n) }},
		{"value", d.text(&f.Value)},
		{"expression", d.expression(&f.Works, false)},
		{"default", d.text(&f.Default)},
		{"transform", func(path string, n *yaml.Node) { d.steps(f, path, n) }},
	}
	if isTime {
		members = append(members, member{"layout", d.texts(&f.Layouts)},
			member{"time_zone", func(path string, n *yaml.Node) { d.zone(f, path, n) }},
			member{"strict", d.flag(&f.Strict)})
	}
	before := len(d.problems)
	seen := d.object(path, node, members...)
	if len(d.problems) > before {
		return
	}
	sources := 0
	for _, name := range []string{"from", "value", "expression"} {
		if slices.Contains(seen, name) {
			sources++
		}
	}
	value := slices.Contains(seen, "value")
	switch {
	case sources != 1:
		d.fail(path, node, "needs either from, a column, or value, a constant, or expression")
	case value && (slices.Contains(seen, "default") || slices.Contains(seen, "transform")):
		d.fail(path, node, "default and transform go with from and expression; write the value as it shall be")
	case value && f.Value == "":
		d.fail(path, node, "value is empty")
	}
	if isTime {
		d.layouts(f, path, node)
	}
}

// column reads a column's name, or its number where it is written as one.
func (d *reading) column(f *format.Field, path string, node *yaml.Node) {
	switch {
	case node.Kind != yaml.ScalarNode || node.Value == "":
		d.fail(path, node, "must be a column's name or number")
	case node.Tag == "!!int":
		n, err := strconv.Atoi(node.Value)
		if err != nil || n < 1 {
			d.fail(path, node, "columns are counted from 1")
		}
		f.Column = n
	default:
		f.From = node.Value
	}
}

func (d *reading) zone(f *format.Field, path string, node *yaml.Node) {
	var name string
	d.text(&name)(path, node)
	zone, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" {
		d.fail(path, node, "unknown time zone %q; use a name like Europe/Berlin or UTC", name)
		return
	}
	f.Zone = zone
}

func (d *reading) layouts(f *format.Field, path string, node *yaml.Node) {
	local := false
	for i, layout := range f.Layouts {
		zoned, message := format.CheckLayout(layout)
		if message != "" {
			d.fail(fmt.Sprintf("%s.layout[%d]", path, i), node, "%s", message)
		}
		local = local || !zoned
	}
	switch {
	case local && f.Zone == nil:
		d.fail(path+".time_zone", node, "is missing: the layout reads no zone, and a time without one is not an instant")
	case !local && f.Zone != nil:
		d.fail(path+".time_zone", node, "has no use: every layout reads the zone from the text")
	}
}
