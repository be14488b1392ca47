package collector

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tollstream/tollstream/collector/format"
	"github.com/tollstream/tollstream/collector/usage"
)

// Config is a collector's configuration, parsed and checked.
type Config struct {
	Source  SourceConfig
	Format  format.Format
	Packing format.Packing
	Mapping format.Mapping
	Schedule
	Backfill      bool
	FilesAtOnce   int // of a pass
	RowsPerSecond int // of all files of a pass together; 0: as fast as they go
	Alerts        AlertRules
	Errors        Threshold
}

// ConfigError says what is wrong with a configuration, and where.
type ConfigError struct {
	Path    string // as in mapping.time.layout
	Line    int    // in the document, from 1
	Message string
}

func (e *ConfigError) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("line %d: %s", e.Line, e.Message)
	}
	return fmt.Sprintf("line %d: %s: %s", e.Line, e.Path, e.Message)
}

const maxConfigBytes = 1 << 20

// ParseConfig reads a configuration in YAML or JSON. All that is wrong is reported, joined, each as
// a *ConfigError.
func ParseConfig(document []byte) (*Config, error) {
	if len(document) > maxConfigBytes {
		return nil, &ConfigError{Line: 1, Message: fmt.Sprintf("the document has more than %d bytes", maxConfigBytes)}
	}
	decoder := yaml.NewDecoder(bytes.NewReader(document))
	var root yaml.Node
	if err := decoder.Decode(&root); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, &ConfigError{Line: 1, Message: "the document is empty; a collector has source, format and mapping"}
		}
		return nil, &ConfigError{Line: lineOf(err), Message: "not YAML or JSON: " + strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	var second yaml.Node
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, &ConfigError{Line: max(second.Line, 1), Message: "more than one document; a file holds one collector"}
	}
	d := &reading{}
	config := &Config{FilesAtOnce: 1}
	d.config(config, root.Content[0])
	if len(d.problems) > 0 {
		return nil, errors.Join(d.problems...)
	}
	return config, nil
}

// lineOf finds the line that the YAML parser names in its message.
func lineOf(err error) int {
	_, rest, _ := strings.Cut(err.Error(), "line ")
	digits, _, _ := strings.Cut(rest, ":")
	if n, err := strconv.Atoi(digits); err == nil {
		return n
	}
	return 1
}

// reading walks over a document and gathers what is wrong.
type reading struct {
	problems []error
	tables   map[string]map[string]string // of lookups
}

func (d *reading) fail(path string, node *yaml.Node, text string, args ...any) {
	d.problems = append(d.problems, &ConfigError{Path: path, Line: node.Line, Message: fmt.Sprintf(text, args...)})
}

// member reads one member of an object.
type member struct {
	name string
	read func(path string, node *yaml.Node)
}

// object reads an object with these members and no others.
func (d *reading) object(path string, node *yaml.Node, members ...member) (seen []string) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind != yaml.MappingNode {
		d.fail(path, node, "must be an object")
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if value.Kind == yaml.AliasNode {
			value = value.Alias
		}
		at := slices.IndexFunc(members, func(m member) bool { return m.name == key.Value })
		switch {
		case slices.Contains(seen, key.Value):
			d.fail(joined(path, key.Value), key, "stands twice")
		case at < 0:
			names := make([]string, len(members))
			for i, m := range members {
				names[i] = m.name
			}
			d.fail(joined(path, key.Value), key, "unknown member; known are %s", strings.Join(names, ", "))
		default:
			members[at].read(joined(path, key.Value), value)
		}
		seen = append(seen, key.Value)
	}
	return seen
}

func joined(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// text reads a scalar as it stands; null leaves what was there.
func (d *reading) text(into *string) func(string, *yaml.Node) {
	return func(path string, node *yaml.Node) {
		if node.Kind != yaml.ScalarNode {
			d.fail(path, node, "must be a text")
		} else if node.Tag != "!!null" {
			*into = node.Value
		}
	}
}

func (d *reading) flag(into *bool) func(string, *yaml.Node) {
	return func(path string, node *yaml.Node) {
		if node.Kind != yaml.ScalarNode || node.Tag != "!!bool" || node.Decode(into) != nil {
			d.fail(path, node, "must be true or false")
		}
	}
}

func (d *reading) number(into *int) func(string, *yaml.Node) {
	return func(path string, node *yaml.Node) {
		if node.Kind != yaml.ScalarNode || node.Tag != "!!int" || node.Decode(into) != nil {
			d.fail(path, node, "must be a whole number")
		}
	}
}

// texts reads one text or a list of them.
func (d *reading) texts(into *[]string) func(string, *yaml.Node) {
	return func(path string, node *yaml.Node) {
		nodes := []*yaml.Node{node}
		if node.Kind == yaml.SequenceNode {
			nodes = node.Content
		}
		for i, n := range nodes {
			var s string
			d.text(&s)(fmt.Sprintf("%s[%d]", path, i), n)
			*into = append(*into, s)
		}
	}
}

// written reads one text or a list of them as they are written, also NULL and ~.
func (d *reading) written(into *[]string) func(string, *yaml.Node) {
	return func(path string, node *yaml.Node) {
		nodes := []*yaml.Node{node}
		if node.Kind == yaml.SequenceNode {
			nodes = node.Content
		}
		for i, n := range nodes {
			if n.Kind != yaml.ScalarNode {
				d.fail(fmt.Sprintf("%s[%d]", path, i), n, "must be a text")
			}
			*into = append(*into, n.Value)
		}
	}
}

func (d *reading) config(c *Config, node *yaml.Node) {
	d.readTables(node)
	whole := &format.Mapping{}
	seen := d.object("", node,
		member{"source", func(path string, n *yaml.Node) { d.source(&c.Source, path, n) }},
		member{"format", func(path string, n *yaml.Node) { d.format(c, path, n) }},
		member{"mapping", func(path string, n *yaml.Node) { d.mapping(&c.Mapping, path, n) }},
		member{"events", func(path string, n *yaml.Node) { d.events(&c.Mapping, path, n) }},
		member{"tables", func(string, *yaml.Node) {}}, // read before
		member{"filter", d.expression(&whole.Filter, true)},
		member{"each", d.text(&whole.Each)},
		member{"schedule", func(path string, n *yaml.Node) { d.schedule(&c.Schedule, path, n) }},
		member{"backfill", d.flag(&c.Backfill)},
		member{"files_at_once", d.within(&c.FilesAtOnce, 1, maxFilesAtOnce)},
		member{"rows_per_second", d.within(&c.RowsPerSecond, 1, 100_000_000)},
		member{"errors", func(path string, n *yaml.Node) { d.threshold(&c.Errors, path, n) }},
		member{"alerts", func(path string, n *yaml.Node) { d.alerts(&c.Alerts, path, n) }},
	)
	if node.Kind != yaml.MappingNode {
		return
	}
	c.Mapping.Filter, c.Mapping.Each = whole.Filter, whole.Each
	switch one, several := slices.Contains(seen, "mapping"), slices.Contains(seen, "events"); {
	case one && several:
		d.fail("events", node, "a record's events are described by mapping, if it makes one, or by events, if several")
	case !one && !several:
		d.fail("mapping", node, "is missing")
	}
	if !slices.Contains(seen, "format") {
		d.fail("format", node, "is missing")
	}
	if c.Source.Type == "" {
		c.Source.Type = "upload"
	}
	if c.Format == nil {
		return
	}
	if c.Source.Webhook != nil {
		d.brought(c, aroundWebhook, node)
	}
	for _, p := range c.Mapping.CheckPaths(c.Format) {
		d.fail(p.Member, node, "%s", p.Name)
	}
}

func (d *reading) mapping(m *format.Mapping, path string, node *yaml.Node, more ...member) {
	into := func(f **format.Field) func(string, *yaml.Node) {
		return func(path string, n *yaml.Node) {
			*f = new(format.Field)
			d.field(*f, path, n, f == &m.Time)
		}
	}
	seen := d.object(path, node, append(more, member{"id", into(&m.ID)}, member{"source", into(&m.Source)}, member{"account", into(&m.Account)},
		member{"product", into(&m.Product)}, member{"package", into(&m.Package)}, member{"quantity", into(&m.Quantity)},
		member{"amount", into(&m.Amount)}, member{"currency", into(&m.Currency)}, member{"time", into(&m.Time)},
		member{"attributes", func(path string, n *yaml.Node) { d.attributes(m, path, n) }})...)
	if node.Kind != yaml.MappingNode {
		return
	}
	for _, name := range []string{"account", "product"} {
		if !slices.Contains(seen, name) {
			d.fail(joined(path, name), node, "is missing: every event needs it")
		}
	}
	if (m.Amount == nil) != (m.Currency == nil) {
		d.fail(joined(path, "amount"), node, "amount and currency go together")
	}
}

func (d *reading) attributes(m *format.Mapping, path string, node *yaml.Node) {
	if node.Kind != yaml.MappingNode {
		d.fail(path, node, "must be an object of names and where they come from")
		return
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, field := node.Content[i].Value, new(format.Field)
		at := joined(path, name)
		switch {
		case name == "" || len(name) > usage.MaxAttributeName:
			d.fail(at, node.Content[i], "a name has 1 to %d bytes", usage.MaxAttributeName)
		case slices.ContainsFunc(m.Attributes, func(a format.Attribute) bool { return a.Name == name }):
			d.fail(at, node.Content[i], "stands twice")
		}
		d.field(field, at, node.Content[i+1], false)
		m.Attributes = append(m.Attributes, format.Attribute{Name: name, Field: field})
	}
	if len(m.Attributes) > usage.MaxAttributes {
		d.fail(path, node, "%d attributes, at most %d", len(m.Attributes), usage.MaxAttributes)
	}
	slices.SortFunc(m.Attributes, func(a, b format.Attribute) int { return strings.Compare(a.Name, b.Name) })
}
