package source

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC)

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"", "a", true},
		{"", "in/a.csv", true},
		{"*.csv", "a.csv", true},
		{"*.csv", "in/a.csv", true}, // the name alone
		{"*.csv", "a.csv.gz", false},
		{"in/*.csv", "in/a.csv", true},
		{"in/*.csv", "a.csv", false},
		{"in/*.csv", "in/deep/a.csv", false},
		{"in/**/*.csv", "in/a.csv", true},
		{"in/**/*.csv", "in/x/y/a.csv", true},
		{"in/**/*.csv", "out/in/a.csv", false},
		{"**/2026/*", "2026/a", true},
		{"**/2026/*", "x/y/2026/a", true},
		{"**/2026/*", "x/2026/y/a", false},
		{"in/**", "in/x/y", true},
		{"in/**", "in", true}, // no folder at all is a number, too
		{"**/**/a", "a", true},
		{"cdr-[0-9][0-9].csv", "cdr-07.csv", true},
		{"cdr-[0-9][0-9].csv", "cdr-7.csv", false},
		{"?.csv", "ü.csv", true},
	} {
		r := Rules{Pattern: c.pattern}
		if got := r.Matches(c.path); got != c.want {
			t.Errorf("%q for %q: %v", c.pattern, c.path, got)
		}
	}
}

func TestSelect(t *testing.T) {
	hour := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Hour) }
	a, b, c := Entry{Path: "b.csv", Size: 1, Modified: hour(-1)}, Entry{Path: "a.csv", Size: 2, Modified: hour(-50)}, Entry{Path: "c.txt", Size: 1, Modified: hour(-1)}
	undated := Entry{Path: "u.csv", Size: 1}
	never := func(Entry) (time.Time, bool) { return time.Time{}, false }
	since := func(at time.Time) func(Entry) (time.Time, bool) {
		return func(Entry) (time.Time, bool) { return at, true }
	}
	for name, c := range map[string]struct {
		rules   Rules
		after   After
		entries []Entry
		seen    func(Entry) (time.Time, bool)
		want    string
	}{
		"nothing there":                       {want: ""},
		"in the order of names":               {rules: Rules{Pattern: "*.csv"}, entries: []Entry{a, b, c}, want: "a.csv take, b.csv take"},
		"too old":                             {rules: Rules{Lookback: 49 * time.Hour}, entries: []Entry{a, b}, want: "a.csv old, b.csv take"},
		"exactly as old as is taken":          {rules: Rules{Lookback: 50 * time.Hour}, entries: []Entry{b}, want: "a.csv take"},
		"too young":                           {rules: Rules{MinimumAge: 61 * time.Minute}, entries: []Entry{a}, want: "b.csv wait 12:01"},
		"exactly old enough":                  {rules: Rules{MinimumAge: time.Hour}, entries: []Entry{a}, want: "b.csv take"},
		"from the future":                     {rules: Rules{MinimumAge: time.Hour}, entries: []Entry{{Path: "f", Modified: hour(2)}}, want: "f wait 15:00"},
		"from the future, without an age":     {entries: []Entry{{Path: "f", Modified: hour(2)}}, want: "f take"},
		"seen for the first time":             {rules: Rules{Stable: time.Minute}, entries: []Entry{a}, want: "b.csv wait 12:01"},
		"unchanged for long enough":           {rules: Rules{Stable: time.Minute}, entries: []Entry{a}, seen: since(noon.Add(-time.Minute)), want: "b.csv take"},
		"changed a moment ago":                {rules: Rules{Stable: time.Minute}, entries: []Entry{a}, seen: since(noon.Add(-59 * time.Second)), want: "b.csv wait 12:00"},
		"a server without times":              {rules: Rules{MinimumAge: time.Hour, Lookback: time.Hour}, entries: []Entry{undated}, want: "u.csv wait 13:00"},
		"a server without times, seen before": {rules: Rules{MinimumAge: time.Hour}, entries: []Entry{undated}, seen: since(hour(-1)), want: "u.csv take"},
		"with a done file":                    {rules: Rules{DoneFile: ".ok"}, entries: []Entry{a, b, {Path: "b.csv.ok"}}, want: "a.csv wait, b.csv take"},
		"what stands where files are moved":   {after: After{Do: AfterMove, Dir: "done"}, entries: []Entry{a, {Path: "done/x.csv"}, {Path: "done2/x.csv"}}, want: "b.csv take, done2/x.csv take"},
		"what was renamed": {after: After{Do: AfterRename, Suffix: ".done"}, entries: []Entry{a, {Path: "b.csv.done"}, {Path: "b.csv.done.0123456789ab"}, {Path: "b.csv.done.0123456789ab.2"}, {Path: "x.done.csv"}},
			want: "b.csv take, x.done.csv take"},
	} {
		if c.seen == nil {
			c.seen = never
		}
		var got []string
		for _, j := range c.rules.Select(c.entries, c.after, c.seen, noon) {
			text := j.Path + " " + string(j.Verdict)
			if !j.Until.IsZero() {
				text += j.Until.Format(" 15:04")
			}
			got = append(got, text)
		}
		if text := strings.Join(got, ", "); text != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, text, c.want)
		}
	}
}

func TestTargets(t *testing.T) {
	move, rename := After{Do: AfterMove, Dir: "done/in"}, After{Do: AfterRename, Suffix: ".ok"}
	var got []string
	for n := range 3 {
		got = append(got, move.Target("x/a.csv", "0123456789abcdef", n), rename.Target("x/a.csv", "0123456789abcdef", n))
	}
	want := []string{"done/in/x/a.csv", "x/a.csv.ok", "done/in/x/a.csv.0123456789ab", "x/a.csv.ok.0123456789ab", "done/in/x/a.csv.0123456789ab.2", "x/a.csv.ok.0123456789ab.2"}
	if !slices.Equal(got, want) {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
	for i, p := range got { // what was put there is not taken again
		if after := []After{move, rename}[i%2]; !after.own(p) || after.own("x/a.csv") {
			t.Errorf("%s", p)
		}
	}
}

func TestRulesAreChecked(t *testing.T) {
	for _, c := range []struct {
		rules Rules
		after After
		want  string
	}{
		{Rules{Pattern: "*.csv", DoneFile: ".ok"}, After{Do: AfterRename, Suffix: ".done"}, ""},
		{Rules{Pattern: "[a"}, After{}, "pattern"},
		{Rules{Pattern: "a//b"}, After{}, "pattern"},
		{Rules{Pattern: "**/a/**/b/**/c/**/d/**"}, After{}, "pattern"},
		{Rules{DoneFile: "../ok"}, After{}, "done_file"},
		{Rules{}, After{Do: AfterMove}, "after.move"},
		{Rules{}, After{Do: AfterMove, Dir: "../x"}, "after.move"},
		{Rules{}, After{Do: AfterMove, Dir: "/x"}, "after.move"},
		{Rules{}, After{Do: AfterRename, Suffix: "/x"}, "after.rename"},
		{Rules{}, After{Do: AfterRename}, "after.rename"},
		{Rules{DoneFile: ".done"}, After{Do: AfterRename, Suffix: ".done"}, "after.rename"},
	} {
		if member, message := c.rules.Check(c.after); member != c.want || (message == "") != (c.want == "") {
			t.Errorf("%s: %s %s, want %q", fmt.Sprint(c.rules, c.after), member, message, c.want)
		}
	}
}
