package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
)

// report is a run's result, as it is written.
type report struct {
	Date     string            `json:"date"`
	Commit   string            `json:"commit"`
	Machine  map[string]string `json:"machine"`
	Versions map[string]string `json:"versions"`
	Settings map[string]string `json:"settings"`
	Load     []float64         `json:"load_average"` // before and after
	Measures []measure         `json:"measures"`
	Warnings []string          `json:"warnings,omitempty"`
}

func newReport(ctx context.Context, c *corner, s settings) (*report, error) {
	r := &report{
		Date: time.Now().UTC().Format(time.DateOnly), Commit: commit(ctx), Load: []float64{loadAverage()},
		Machine: map[string]string{
			"processor": fromFile("/proc/cpuinfo", "model name"), "cores": fmt.Sprint(runtime.NumCPU()),
			"memory": fromFile("/proc/meminfo", "MemTotal"), "system": runtime.GOOS + "/" + runtime.GOARCH, "kernel": fromFile("/proc/version", ""),
		},
		Versions: map[string]string{"go": runtime.Version()},
		Settings: map[string]string{
			"accounts": fmt.Sprint(s.Accounts), "lines": "one an account, of four products", "events a round": fmt.Sprint(s.Events), "events a record": fmt.Sprint(s.Batch),
			"partitions": fmt.Sprint(s.Partitions), "rounds": fmt.Sprintf("%d and one to warm up", s.Rounds),
			"producers": "acks=all, idempotent, linger 0, no compression", "broker": "one, flush.messages=1, LogAppendTime",
			"PostgreSQL": "fsync and synchronous_commit as it runs, see versions", "load": fmt.Sprintf("%d events/s", s.Load),
		},
	}
	return r, r.readVersions(ctx, c)
}

func (r *report) readVersions(ctx context.Context, c *corner) error {
	conn, err := pgx.Connect(ctx, c.postgres)
	if err != nil {
		return fmt.Errorf("reach PostgreSQL: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	var version, fsync, commit string
	err = conn.QueryRow(ctx, "SELECT current_setting('server_version'), current_setting('fsync'), current_setting('synchronous_commit')").Scan(&version, &fsync, &commit)
	if err != nil {
		return fmt.Errorf("ask PostgreSQL for its version: %w", err)
	}
	r.Versions["PostgreSQL"] = fmt.Sprintf("%s, fsync %s, synchronous_commit %s", version, fsync, commit)
	options, err := redis.ParseURL(c.redis)
	if err != nil {
		return fmt.Errorf("read %s: %w", envRedis, err)
	}
	view := redis.NewClient(options)
	defer func() { _ = view.Close() }()
	info, err := view.Info(ctx, "server").Result()
	if err != nil {
		return fmt.Errorf("ask Redis for its version: %w", err)
	}
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, "redis_version:"); ok {
			r.Versions["Redis"] = strings.TrimSpace(v)
		}
	}
	return c.administer(func(admin *kadm.Client) error {
		versions, err := admin.ApiVersions(ctx)
		if err != nil {
			return fmt.Errorf("ask Kafka for its version: %w", err)
		}
		for _, v := range versions {
			r.Versions["Kafka"] = v.VersionGuess()
		}
		return nil
	})
}

// commit names what was measured; a trailing + says that files had been changed since.
func commit(ctx context.Context) string {
	head, err := exec.CommandContext(ctx, "git", "rev-parse", "--short=10", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	name := strings.TrimSpace(string(head))
	changed, err := exec.CommandContext(ctx, "git", "status", "--porcelain", "--untracked-files=no").Output()
	if err == nil && len(changed) > 0 {
		name += "+"
	}
	return name
}

// fromFile gives the first line of a file of /proc, or the value behind a name in it.
func fromFile(path, name string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(b)) {
		if name == "" {
			return strings.Join(strings.Fields(line)[:3], " ")
		}
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func (r *report) add(m ...measure) { r.Measures = append(r.Measures, m...) }

func (r *report) warn(err error) {
	if err != nil {
		r.Warnings = append(r.Warnings, err.Error())
	}
}

func (r *report) finish() { r.Load = append(r.Load, loadAverage()) }

// markdown is the report as a page.
func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Benchmarks of %s, commit %s\n\n", r.Date, r.Commit)
	r.goals(&b)
	r.figures(&b)
	for _, table := range []string{processorTable, volumeTable} {
		r.table(&b, table)
	}
	b.WriteString("\n")
	for _, m := range r.Measures {
		if m.Note != "" {
			fmt.Fprintf(&b, "- %s: %s\n", m.Name, m.Note)
		}
	}
	for _, w := range r.Warnings {
		fmt.Fprintf(&b, "- warning: %s\n", w)
	}
	for _, part := range []struct {
		name string
		of   map[string]string
	}{{"Machine", r.Machine}, {"Versions", r.Versions}, {"Settings", r.Settings}} {
		fmt.Fprintf(&b, "\n%s: ", part.name)
		var list []string
		for _, k := range slices.Sorted(maps.Keys(part.of)) {
			list = append(list, k+" "+part.of[k])
		}
		b.WriteString(strings.Join(list, "; ") + "\n")
	}
	fmt.Fprintf(&b, "\nLoad average of the machine before and after: %v. What others used of it is among the figures.\n", r.Load)
	return b.String()
}

// goals lists what has one, and whether it is met.
func (r *report) goals(b *strings.Builder) {
	b.WriteString("| measure | goal | reached | smallest–largest | unit | |\n|---|---|---:|---:|---|---|\n")
	for _, m := range r.Measures {
		if m.Goal == "" {
			continue
		}
		verdict := ""
		if m.Met != nil {
			verdict = map[bool]string{true: "met", false: "**not met**"}[*m.Met]
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s–%s | %s | %s |\n", m.Name, m.Goal, number(m.Median), number(m.Min), number(m.Max), m.Unit, verdict)
	}
}

// figures lists those without a goal that stand in no table.
func (r *report) figures(b *strings.Builder) {
	head := "\n| figure | median | smallest–largest | unit |\n|---|---:|---:|---|\n"
	for _, m := range r.Measures {
		if m.Goal != "" || m.Table != "" {
			continue
		}
		fmt.Fprintf(b, "%s| %s | %s | %s–%s | %s |\n", head, m.Name, number(m.Median), number(m.Min), number(m.Max), m.Unit)
		head = ""
	}
}

// table sets the medians of several subjects side by side.
func (r *report) table(b *strings.Builder, name string) {
	var subjects, parts []string
	cells := map[[2]string]string{}
	for _, m := range r.Measures {
		if m.Table != name {
			continue
		}
		if !slices.Contains(subjects, m.Subject) {
			subjects = append(subjects, m.Subject)
		}
		if !slices.Contains(parts, m.Part) {
			parts = append(parts, m.Part)
		}
		cells[[2]string{m.Subject, m.Part}] = number(m.Median)
	}
	if len(subjects) == 0 {
		return
	}
	slices.SortStableFunc(parts, func(a, b string) int { return cmp.Compare(columnRank(a), columnRank(b)) })
	fmt.Fprintf(b, "\n| %s | %s |\n|---|%s\n", name, strings.Join(parts, " | "), strings.Repeat("---:|", len(parts)))
	for _, subject := range subjects {
		fmt.Fprintf(b, "| %s |", subject)
		for _, part := range parts {
			fmt.Fprintf(b, " %s |", cells[[2]string{subject, part}])
		}
		b.WriteString("\n")
	}
}

// columnRank keeps the sums of a table behind what they are made of.
func columnRank(part string) int { return slices.Index([]string{partAll, partOthers}, part) }

func number(v float64) string {
	switch {
	case v >= 1000:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

func (r *report) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make %s: %w", dir, err)
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	base := filepath.Join(dir, r.Date+"-"+r.Commit)
	if err := os.WriteFile(base+".json", append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if err := os.WriteFile(base+".md", []byte(r.markdown()), 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
