// Package result is what the results of benchmarks and fault runs have in common: the machine, the commit, the servers' versions, the
// files that they are written to.
//
// It imports clients of the stores and nothing of ours.
package result

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Head says what was run, when and where.
type Head struct {
	Date     string            `json:"date"`
	Commit   string            `json:"commit"`
	Machine  map[string]string `json:"machine"`
	Versions map[string]string `json:"versions"`
	Load     []float64         `json:"load_average"` // before and after
}

// Begin notes what is known before the run. Versions has no servers yet.
func Begin(ctx context.Context) Head {
	return Head{
		Date: time.Now().UTC().Format(time.DateOnly), Commit: commit(ctx), Load: []float64{loadAverage()},
		Machine: map[string]string{
			"processor": fromFile("/proc/cpuinfo", "model name"), "cores": fmt.Sprint(runtime.NumCPU()),
			"memory": fromFile("/proc/meminfo", "MemTotal"), "system": runtime.GOOS + "/" + runtime.GOARCH, "kernel": fromFile("/proc/version", ""),
		},
		Versions: map[string]string{"go": runtime.Version()},
	}
}

// Finish notes how busy the machine was at the end.
func (h *Head) Finish() { h.Load = append(h.Load, loadAverage()) }

// Ask adds the versions of PostgreSQL and Redis, by URL, and of Kafka.
func (h *Head) Ask(ctx context.Context, postgresURL, redisURL string, kafka []string) error {
	conn, err := pgx.Connect(ctx, postgresURL)
	if err != nil {
		return fmt.Errorf("reach PostgreSQL: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	var version, fsync, commit string
	err = conn.QueryRow(ctx, "SELECT current_setting('server_version'), current_setting('fsync'), current_setting('synchronous_commit')").Scan(&version, &fsync, &commit)
	if err != nil {
		return fmt.Errorf("ask PostgreSQL for its version: %w", err)
	}
	h.Versions["PostgreSQL"] = fmt.Sprintf("%s, fsync %s, synchronous_commit %s", version, fsync, commit)
	options, err := redis.ParseURL(redisURL)
	if err != nil {
		return fmt.Errorf("read the URL of Redis: %w", err)
	}
	view := redis.NewClient(options)
	defer func() { _ = view.Close() }()
	info, err := view.Info(ctx, "server").Result()
	if err != nil {
		return fmt.Errorf("ask Redis for its version: %w", err)
	}
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, "redis_version:"); ok {
			h.Versions["Redis"] = strings.TrimSpace(v)
		}
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(kafka...))
	if err != nil {
		return fmt.Errorf("configure a Kafka client: %w", err)
	}
	defer client.Close()
	versions, err := kadm.NewClient(client).ApiVersions(ctx)
	if err != nil {
		return fmt.Errorf("ask Kafka for its version: %w", err)
	}
	for _, v := range versions {
		h.Versions["Kafka"] = v.VersionGuess()
	}
	return nil
}

// Page says on a result's page where it was reached, with what and under which settings.
func (h *Head) Page(settings map[string]string) string {
	var b strings.Builder
	for _, part := range []struct {
		name string
		of   map[string]string
	}{{"Machine", h.Machine}, {"Versions", h.Versions}, {"Settings", settings}} {
		var list []string
		for _, k := range slices.Sorted(maps.Keys(part.of)) {
			list = append(list, k+" "+part.of[k])
		}
		fmt.Fprintf(&b, "\n%s: %s\n", part.name, strings.Join(list, "; "))
	}
	fmt.Fprintf(&b, "\nLoad average of the machine before and after: %v.", h.Load)
	return b.String()
}

// Name begins the names of the result's files.
func (h *Head) Name() string { return h.Date + "-" + h.Commit }

// Write writes a result twice, as JSON and as a page.
func Write(dir, name string, all any, page string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make %s: %w", dir, err)
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	for end, text := range map[string][]byte{".json": append(text, '\n'), ".md": []byte(page)} {
		if err := os.WriteFile(filepath.Join(dir, name+end), text, 0o644); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	return nil
}

// Quantile gives the smallest sample that the share q of all does not exceed.
func Quantile(samples []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(samples))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
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

// loadAverage is the first figure of /proc/loadavg.
func loadAverage() float64 {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil || len(b) == 0 {
		return 0
	}
	v, _ := strconv.ParseFloat(strings.Fields(string(b))[0], 64)
	return v
}
