package collector

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/tollstream/tollstream/collector/format"
	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
)

// field reads where a member comes from: {from: column}, {value: constant}, with default, transform
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
	from, value := slices.Contains(seen, "from"), slices.Contains(seen, "value")
	switch {
	case from == value:
		d.fail(path, node, "needs either from, a column, or value, a constant")
	case value && (slices.Contains(seen, "default") || slices.Contains(seen, "transform")):
		d.fail(path, node, "default and transform go with from; write the value as it shall be")
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

// steps reads one transform or a list: trim, upper, lower, {strip_prefix: A}, {strip_suffix: A},
// {replace: {old: A, new: B}}, {multiply: N}.
func (d *reading) steps(f *format.Field, path string, node *yaml.Node) {
	nodes := []*yaml.Node{node}
	if node.Kind == yaml.SequenceNode {
		nodes = node.Content
	}
	for i, n := range nodes {
		at := fmt.Sprintf("%s[%d]", path, i)
		step := format.Step{}
		if n.Kind == yaml.ScalarNode {
			step.Op = format.StepOp(n.Value)
			if !slices.Contains([]format.StepOp{format.StepTrim, format.StepUpper, format.StepLower}, step.Op) {
				d.fail(at, n, "unknown transform %q; known are trim, upper, lower, {strip_prefix: …}, {strip_suffix: …}, {replace: {old: …, new: …}}, {multiply: …}", n.Value)
			}
		} else {
			d.stepWithArgument(&step, at, n)
		}
		f.Steps = append(f.Steps, step)
	}
}

func (d *reading) stepWithArgument(step *format.Step, path string, node *yaml.Node) {
	argument := func(op format.StepOp) member {
		return member{string(op), func(path string, n *yaml.Node) {
			step.Op = op
			d.text(&step.A)(path, n)
		}}
	}
	before := len(d.problems)
	seen := d.object(path, node, argument(format.StepStripPrefix), argument(format.StepStripSuffix), argument(format.StepMultiply),
		member{string(format.StepReplace), func(path string, n *yaml.Node) {
			step.Op = format.StepReplace
			d.object(path, n, member{"old", d.text(&step.A)}, member{"new", d.text(&step.B)})
		}})
	switch {
	case len(d.problems) > before:
	case len(seen) != 1:
		d.fail(path, node, "a transform has one member; write several as a list")
	case step.A == "":
		d.fail(path, node, "%s needs a text", step.Op)
	case step.Op == format.StepMultiply:
		by, message := usage.ParseNumber("factor", step.A)
		if message == "" && by == money.Zero {
			message = "a factor of zero makes everything free"
		}
		if message != "" {
			d.fail(path, node, "%s", message)
		}
		step.By = by
	}
}
