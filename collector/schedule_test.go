package collector

import (
	"strings"
	"testing"
	"time"
)

func scheduleOf(t *testing.T, text string) *Schedule {
	t.Helper()
	c, err := ParseConfig([]byte("schedule: " + text + "\n" + formatOf("{type: ndjson}")))
	if err != nil {
		t.Fatal(err)
	}
	return &c.Schedule
}

func TestSchedule(t *testing.T) {
	at := func(text string) time.Time {
		t.Helper()
		parsed, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	for _, c := range []struct{ schedule, last, now, want string }{
		{"{every: 5m}", "2026-11-23T10:00:00Z", "2026-11-23T10:00:07Z", "2026-11-23T10:05:00Z"},
		{"{every: 5m}", "2026-11-23T10:00:00Z", "2026-11-23T10:05:00Z", "2026-11-23T10:10:00Z"},
		{"{every: 5m}", "2026-11-23T10:00:00Z", "2026-11-23T13:07:00Z", "2026-11-23T13:10:00Z"}, // what was missed is not made up for
		{"{cron: 30 6 * * 1-5}", "", "2026-11-20T06:30:00Z", "2026-11-23T06:30:00Z"},            // from a Friday to a Monday
		{"{cron: 0 0 31 * *}", "", "2026-01-31T00:00:00Z", "2026-03-31T00:00:00Z"},
		{"{cron: 0 6 * * *, time_zone: Europe/Berlin}", "", "2026-03-28T12:00:00Z", "2026-03-29T04:00:00Z"},  // summer time has begun
		{"{cron: 0 6 * * *, time_zone: Europe/Berlin}", "", "2026-10-24T12:00:00Z", "2026-10-25T05:00:00Z"},  // and ended
		{"{cron: 30 2 * * *, time_zone: Europe/Berlin}", "", "2026-03-28T12:00:00Z", "2026-03-30T00:30:00Z"}, // an hour that is not there
		{"{cron: 0 0 29 2 *}", "", "2026-03-01T00:00:00Z", "2028-02-29T00:00:00Z"},
	} {
		var last time.Time
		if c.last != "" {
			last = at(c.last)
		}
		if got := scheduleOf(t, c.schedule).Next(last, at(c.now)); !got.Equal(at(c.want)) {
			t.Errorf("%s behind %s: %s, want %s", c.schedule, c.now, got.UTC().Format(time.RFC3339), c.want)
		}
	}
	now := at("2026-11-23T10:00:07Z")
	if every := scheduleOf(t, "{every: 5m}"); !every.First(now).Equal(now) || !every.Scheduled() {
		t.Error("an interval begins at once")
	}
	if daily := scheduleOf(t, "{cron: 0 6 * * *}"); !daily.First(now).Equal(at("2026-11-24T06:00:00Z")) || !daily.Scheduled() {
		t.Error("a cron line begins at its time")
	}
	if by, err := ParseConfig([]byte(formatOf("{type: ndjson}"))); err != nil || by.Scheduled() {
		t.Errorf("without a schedule: %v", err)
	}
}

func TestPickUpIsRead(t *testing.T) {
	c, err := ParseConfig([]byte(strings.Replace(goodConfig, `pattern: "*.csv"`,
		`pattern: "**/*.csv", recursive: true, lookback: 72h, minimum_age: 1m, stable: 30s, done_file: .ok, after: {move: done/}, changed: refuse`, 1) +
		"files_at_once: 4\nrows_per_second: 1000\nalerts: {no_file_for: 26h, rejected_above: 2.5%}\n"))
	if err != nil {
		t.Fatal(err)
	}
	s := c.Source
	if s.Pattern != "**/*.csv" || !s.Recursive || s.Lookback != 72*time.Hour || s.MinimumAge != time.Minute || s.Stable != 30*time.Second ||
		s.DoneFile != ".ok" || s.After.Dir != "done" || s.After.Do != "move" || !s.RefuseChanged {
		t.Errorf("%+v", s)
	}
	if c.FilesAtOnce != 4 || c.RowsPerSecond != 1000 || c.Alerts.NoFileFor != 26*time.Hour || c.Alerts.RejectedAbove.String() != "2.5" {
		t.Errorf("%+v", c)
	}
}
