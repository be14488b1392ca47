package collector

import (
	"strings"
	"time"

	"github.com/robfig/cron/v3"
	"go.yaml.in/yaml/v3"

	"github.com/tollstream/tollstream/collector/format"
)

// Schedule says when a collector looks at its place by itself: after Every, or at the times of a cron line.
// Neither: only by hand.
type Schedule struct {
	Every time.Duration
	Cron  string
	times cron.Schedule
	zone  *time.Location
}

// Scheduled says whether it does so at all.
func (s *Schedule) Scheduled() bool { return s.Every > 0 || s.times != nil }

// First is when a collector that was never due is due: at once where it looks in intervals.
func (s *Schedule) First(now time.Time) time.Time {
	if s.times != nil {
		return s.Next(now, now)
	}
	return now
}

// Next is when the collector is due behind the time at which it was due last. What was missed is not made up for.
func (s *Schedule) Next(last, now time.Time) time.Time {
	if s.times != nil {
		return s.times.Next(now.In(s.zone))
	}
	if next := last.Add(s.Every); next.After(now) {
		return next
	}
	return now.Add(s.Every - now.Sub(last)%s.Every)
}

var cronFields = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

func (d *reading) schedule(s *Schedule, path string, node *yaml.Node) {
	var zoned format.Field // for its zone alone
	lines := map[string]*yaml.Node{}
	before := len(d.problems)
	d.object(path, node,
		member{"every", d.duration(&s.Every, time.Second)},
		member{"cron", func(path string, n *yaml.Node) { lines["cron"] = n; d.text(&s.Cron)(path, n) }},
		member{"time_zone", func(path string, n *yaml.Node) { lines["time_zone"] = n; d.zone(&zoned, path, n) }})
	switch {
	case len(d.problems) > before:
	case s.Every > 0 && s.Cron != "":
		d.fail(path, node, "either every or cron")
	case s.Cron == "" && zoned.Zone != nil:
		d.fail(joined(path, "time_zone"), lines["time_zone"], "goes with cron")
	case s.Cron != "":
		if s.zone = zoned.Zone; s.zone == nil {
			s.zone = time.UTC
		}
		d.cron(s, joined(path, "cron"), lines["cron"])
	}
}

func (d *reading) cron(s *Schedule, path string, node *yaml.Node) {
	if strings.Contains(s.Cron, "TZ=") { // the parser takes it, and panics where nothing follows
		d.fail(path, node, "the zone stands in time_zone")
		return
	}
	times, err := cronFields.Parse(s.Cron)
	switch {
	case err != nil:
		d.fail(path, node, "%s; write minute, hour, day of the month, month and day of the week, like 30 6 * * 1-5", err)
	case times.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, s.zone)).IsZero():
		d.fail(path, node, "such a day never comes")
	default:
		s.times = times
	}
}

// duration reads a duration like 30s, 5m or 36h.
func (d *reading) duration(into *time.Duration, atLeast time.Duration) func(string, *yaml.Node) {
	return func(path string, node *yaml.Node) {
		parsed, err := time.ParseDuration(node.Value)
		if node.Kind != yaml.ScalarNode || err != nil || parsed < atLeast {
			d.fail(path, node, "must be a duration of at least %s, like 30s, 5m or 36h", atLeast)
			return
		}
		*into = parsed
	}
}
