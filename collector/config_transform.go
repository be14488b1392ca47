package collector

import (
	"fmt"
	"regexp"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/tollstream/tollstream/collector/format"
	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
)

// Bounds of tables and patterns.
const (
	maxTables  = 100
	maxPattern = 1000 // bytes
)

const knownTransforms = "known are trim, upper, lower, {strip_prefix: …}, {strip_suffix: …}, {replace: {old: …, new: …}}, {multiply: …}, {divide: …}, " +
	"{unit: {from: …, to: …}}, {lookup: {table: …, default: …}}, {match: …, group: …, default: …}"

// steps reads one transform or a list.
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
				d.fail(at, n, "unknown transform %q; %s", n.Value, knownTransforms)
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
	fallback := member{"default", func(path string, n *yaml.Node) {
		step.Default = true
		d.text(&step.B)(path, n)
	}}
	members := []member{
		argument(format.StepStripPrefix), argument(format.StepStripSuffix), argument(format.StepMultiply), argument(format.StepDivide),
		{string(format.StepReplace), func(path string, n *yaml.Node) {
			step.Op = format.StepReplace
			d.object(path, n, member{"old", d.text(&step.A)}, member{"new", d.text(&step.B)})
		}},
		{string(format.StepUnit), func(path string, n *yaml.Node) {
			step.Op = format.StepUnit
			d.object(path, n, member{"from", d.text(&step.A)}, member{"to", d.text(&step.B)})
		}},
		{string(format.StepLookup), func(path string, n *yaml.Node) {
			step.Op = format.StepLookup
			d.object(path, n, member{"table", d.text(&step.A)}, fallback)
		}},
		argument(format.StepMatch), {"group", d.number(&step.Group)}, fallback,
	}
	before := len(d.problems)
	seen := d.object(path, node, members...)
	ops := slices.DeleteFunc(slices.Clone(seen), func(name string) bool { return name == "group" || name == "default" })
	switch {
	case len(d.problems) > before:
	case len(ops) != 1:
		d.fail(path, node, "a transform has one member; write several as a list")
	case len(seen) > 1 && step.Op != format.StepMatch:
		d.fail(path, node, "group and default go with match; the default of lookup stands beside its table")
	case step.A == "":
		d.fail(path, node, "%s needs a text", step.Op)
	default:
		if message := d.complete(step); message != "" {
			d.fail(path, node, "%s", message)
		}
	}
}

// complete gives a transform what its text means, or says what is wrong with it.
func (d *reading) complete(step *format.Step) (message string) {
	switch step.Op {
	case format.StepMultiply, format.StepDivide:
		step.By, message = usage.ParseNumber("factor", step.A)
		if message == "" && step.By == money.Zero {
			message = "a factor of zero makes everything free"
			if step.Op == format.StepDivide {
				message = "nothing can be divided by zero"
			}
		}
	case format.StepUnit:
		step.By, step.Over, message = format.Convert(step.A, step.B)
	case format.StepLookup:
		var ok bool
		if step.Table, ok = d.tables[step.A]; !ok {
			message = fmt.Sprintf("there is no table %q; write it under tables: {%s: {key: value}}", step.A, step.A)
		}
	case format.StepMatch:
		pattern, err := regexp.Compile(step.A)
		switch {
		case err != nil:
			return err.Error()
		case len(step.A) > maxPattern:
			return fmt.Sprintf("the pattern has more than %d bytes", maxPattern)
		case step.Group < 0 || step.Group > pattern.NumSubexp():
			return fmt.Sprintf("the pattern has no group %d; it has %d, and 0 is all of it", step.Group, pattern.NumSubexp())
		}
		step.Pattern = pattern
	}
	return message
}

// readTables reads what lookups look in, wherever it stands in the document.
func (d *reading) readTables(document *yaml.Node) {
	d.tables = map[string]map[string]string{}
	for i := 0; document.Kind == yaml.MappingNode && i+1 < len(document.Content); i += 2 {
		if document.Content[i].Value != "tables" {
			continue
		}
		d.texted("tables", document.Content[i+1], func(path, name string, n *yaml.Node) {
			table := map[string]string{}
			d.texted(path, n, func(path, key string, n *yaml.Node) {
				var value string
				d.text(&value)(path, n)
				table[key] = value
			})
			d.tables[name] = table
		})
	}
	if len(d.tables) > maxTables {
		d.fail("tables", document, "%d tables, at most %d", len(d.tables), maxTables)
	}
}

// texted walks over an object whose names are anybody's.
func (d *reading) texted(path string, node *yaml.Node, each func(path, name string, node *yaml.Node)) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind != yaml.MappingNode {
		d.fail(path, node, "must be an object")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, at := node.Content[i].Value, joined(path, node.Content[i].Value)
		if seen[name] {
			d.fail(at, node.Content[i], "stands twice")
		}
		seen[name] = true
		value := node.Content[i+1]
		if value.Kind == yaml.AliasNode {
			value = value.Alias
		}
		each(at, name, value)
	}
}

// expression reads one, which gives true or false, or a text or number.
func (d *reading) expression(into **format.Expression, condition bool) func(string, *yaml.Node) {
	return func(path string, node *yaml.Node) {
		var source string
		before := len(d.problems)
		if d.text(&source)(path, node); len(d.problems) > before {
			return
		}
		x, err := format.CompileExpression(source)
		switch {
		case err != nil:
			d.fail(path, node, "%s", err)
		case condition && !x.Condition():
			d.fail(path, node, "must give true or false: compare it with something")
		case !condition && x.Condition():
			d.fail(path, node, `gives true or false: write condition ? "one" : "other"`)
		default:
			*into = x
		}
	}
}

// events reads a list of mappings, each for an event of the record.
func (d *reading) events(m *format.Mapping, path string, node *yaml.Node) {
	if node.Kind != yaml.SequenceNode || len(node.Content) == 0 || len(node.Content) > maxEvents {
		d.fail(path, node, "must be a list of 1 to %d mappings, each with when: condition if it is not for every record", maxEvents)
		return
	}
	for i, n := range node.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		one := format.Mapping{Member: at}
		d.mapping(&one, at, n, member{"when", d.expression(&one.When, true)})
		if i == 0 {
			*m = one
		} else {
			m.Further = append(m.Further, one)
		}
	}
}

// maxEvents bounds the mappings of one record.
const maxEvents = 50
