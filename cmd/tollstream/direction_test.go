package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/tollstream/tollstream/"

// allowed says which packages of ours a package may import, directly or not, beside itself; a trailing /… covers what is below. What is
// not listed may import anything of ours but cmd.
var allowed = map[string][]string{
	"ledger/money":              {},
	"ledger/money/expression":   {"ledger/money"},
	"rater/method":              {"ledger/money", "ledger/money/expression"},
	"rater/catalog":             {"ledger/money", "ledger/money/expression", "rater/method"},
	"rater/catalog/xlsx":        {"ledger/money", "ledger/money/expression", "rater/method", "rater/catalog", "collector/format/workbook"},
	"rater/price":               {"ledger/money", "ledger/money/expression", "rater/method", "rater/catalog"},
	"rater/price/oracle":        {}, // what the others are compared with knows none of them
	"collector/usage":           {"ledger/money"},
	"rater/activity":            {"ledger/money", "collector/usage"},
	"rater/dedup":               {"ledger/money", "collector/usage"},
	"rater":                     {"ledger/money", "collector/usage", "ledger/money/expression", "rater/method", "rater/catalog", "rater/price", "rater/activity", "rater/dedup"},
	"rater/sink":                {"ledger/money", "collector/usage", "rater/activity"},
	"rater/backtest":            {"ledger/money", "collector/usage", "ledger/money/expression", "rater/method", "rater/catalog", "rater/price", "rater/activity", "rater/dedup", "rater", "rater/sink"},
	"rater/reconcile":           {"ledger/money", "collector/usage", "rater/activity", "rater/sink"},
	"rater/rerate":              {"ledger/money", "collector/usage", "ledger/money/expression", "rater/method", "rater/catalog", "rater/price"},
	"collector":                 {"ledger/money", "ledger/money/expression", "collector/usage", "collector/format", "collector/format/workbook", "collector/secret", "collector/source", "collector/webhook"},
	"collector/format":          {"ledger/money", "ledger/money/expression", "collector/usage", "collector/format/workbook"},
	"collector/format/workbook": {},
	"collector/secret":          {},
	"collector/webhook":         {},
	"collector/source":          {"collector/secret"},
	"invoicer":                  {"ledger/money", "collector/usage", "ledger/money/expression", "rater/method", "rater/catalog", "rater/price", "rater/activity", "rater/dedup", "rater"},
	"api":                       {"ledger/money", "collector", "collector/format", "collector/format/workbook", "collector/secret", "collector/source", "collector/usage", "collector/webhook", "ledger/money/expression", "rater/method", "rater/catalog", "rater/price", "rater/activity", "rater/dedup", "rater", "invoicer"},
	"api/pages":                 {"ledger/money", "collector/usage", "ledger/money/expression", "rater/method", "rater/catalog", "rater/price", "rater/activity", "rater/dedup", "rater", "invoicer"},
	"deploy/local":              {},
	"deploy/schema":             {},
}

// adapters talk to a server each, and never import one another.
var adapters = []string{
	"api/pg", "collector/kafka", "collector/pg", "collector/source/ftp", "collector/source/s3", "collector/source/sftp", "rater/catalog/pg", "rater/kafka", "rater/live", "rater/pg",
	"rater/reconcile/pg", "rater/rerate/pg", "rater/sink/clickhouse", "rater/sink/kafka", "rater/sink/postgres",
}

// drivers are what only adapters, deploy, bench and cmd may import.
var drivers = []string{
	"github.com/twmb/franz-go/", "github.com/jackc/pgx/", "github.com/redis/go-redis/", "github.com/ClickHouse/",
	"github.com/jlaffaye/ftp", "github.com/pkg/sftp", "github.com/minio/", "golang.org/x/crypto/ssh",
}

// TestImportDirection checks the direction of imports: money ← catalog ← price ← rater, usage ← rater, adapters outside.
func TestImportDirection(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Deps \" \"}}", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		name, deps := strings.TrimPrefix(fields[0], module), fields[1:]
		seen[name] = true
		checkPackage(t, name, deps)
	}
	for name := range allowed {
		if !seen[name] {
			t.Errorf("package %s of the table does not exist", name)
		}
	}
	for _, name := range adapters {
		if !seen[name] {
			t.Errorf("adapter %s of the list does not exist", name)
		}
	}
}

func checkPackage(t *testing.T, name string, deps []string) {
	t.Helper()
	may, listed := allowed[name]
	for _, d := range deps {
		ours, isOurs := strings.CutPrefix(d, module)
		switch {
		case isOurs && strings.HasPrefix(ours, "cmd/") && !strings.HasPrefix(name, "cmd/") && !strings.HasPrefix(name, "bench"):
			t.Errorf("%s imports %s: only commands may", name, ours)
		case isOurs && listed && !slices.Contains(may, ours):
			t.Errorf("%s imports %s: the direction is %v", name, ours, may)
		case isOurs && slices.Contains(adapters, name) && slices.Contains(adapters, ours):
			t.Errorf("adapter %s imports adapter %s", name, ours)
		case !isOurs && listed && !strings.HasPrefix(name, "deploy/") && isDriver(d):
			t.Errorf("%s imports the driver %s: put that into an adapter", name, d)
		}
	}
}

func isDriver(path string) bool {
	return slices.ContainsFunc(drivers, func(d string) bool { return strings.HasPrefix(path, d) })
}
