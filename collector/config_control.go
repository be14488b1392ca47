package collector

import (
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/tollstream/tollstream/collector/source"
	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
)

// maxFilesAtOnce bounds the files of a pass that are read at the same time; each has its buffers and its connection.
const maxFilesAtOnce = 32

// AlertRules say when somebody should look at a collector.
type AlertRules struct {
	NoFileFor     time.Duration // 0: never
	RejectedAbove money.Decimal // percent of the rows of a day; 0: never
}

// pickUp are the members of a source that say which files are taken, when, and what becomes of them.
func (d *reading) pickUp(s *SourceConfig) []member {
	return []member{
		{"recursive", d.flag(&s.Recursive)}, {"lookback", d.duration(&s.Lookback, time.Second)},
		{"minimum_age", d.duration(&s.MinimumAge, time.Second)}, {"stable", d.duration(&s.Stable, time.Second)},
		{"done_file", d.text(&s.DoneFile)},
		{"after", func(path string, n *yaml.Node) { d.after(&s.After, path, n) }},
		{"changed", func(path string, n *yaml.Node) {
			var what string
			d.text(&what)(path, n)
			if s.RefuseChanged = what == "refuse"; what != "refuse" && what != "new" {
				d.fail(path, n, "must be new (a file with other content under a known name is a new file) or refuse")
			}
		}},
	}
}

// after reads keep, delete, {move: FOLDER} or {rename: SUFFIX}.
func (d *reading) after(a *source.After, path string, node *yaml.Node) {
	if node.Kind == yaml.ScalarNode {
		switch node.Value {
		case "keep":
		case "delete":
			a.Do = source.AfterDelete
		default:
			d.fail(path, node, "must be keep, delete, {move: FOLDER} or {rename: SUFFIX}")
		}
		return
	}
	seen := d.object(path, node,
		member{"move", func(path string, n *yaml.Node) {
			a.Do = source.AfterMove
			d.text(&a.Dir)(path, n)
			a.Dir = strings.TrimSuffix(a.Dir, "/")
		}},
		member{"rename", func(path string, n *yaml.Node) { a.Do = source.AfterRename; d.text(&a.Suffix)(path, n) }})
	if node.Kind == yaml.MappingNode && len(seen) != 1 {
		d.fail(path, node, "must be keep, delete, {move: FOLDER} or {rename: SUFFIX}")
	}
}

func (d *reading) alerts(a *AlertRules, path string, node *yaml.Node) {
	d.object(path, node, member{"no_file_for", d.duration(&a.NoFileFor, time.Minute)},
		member{"rejected_above", func(path string, n *yaml.Node) {
			share, message := usage.ParseNumber("share", strings.TrimSuffix(n.Value, "%"))
			if n.Kind != yaml.ScalarNode || message != "" || !strings.HasSuffix(n.Value, "%") || share.Sign() <= 0 || share.Cmp(hundred) >= 0 {
				d.fail(path, n, "must be a share of the rows between 0%% and 100%%, like 2.5%%")
				return
			}
			a.RejectedAbove = share
		}})
}

var hundred = money.MustParse("100")

// within reads a whole number between two bounds.
func (d *reading) within(into *int, least, most int) func(string, *yaml.Node) {
	return func(path string, node *yaml.Node) {
		before := len(d.problems)
		d.number(into)(path, node)
		if len(d.problems) == before && (*into < least || *into > most) {
			d.fail(path, node, "must be %d to %d", least, most)
		}
	}
}
