package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/tollstream/tollstream/api"
)

var update = flag.Bool("update", false, "write the golden files of this package's tests")

// asProgram makes the test binary the program itself, so that exit codes and signals are those that a user meets.
const asProgram = "TOLLSTREAM_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// program is a command line of the program, not yet started. It inherits no setting.
func program(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, variablePrefix) {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(append(cmd.Env, asProgram+"=1"), env...)
	return cmd
}

func each(cmd *cobra.Command, visit func(*cobra.Command)) {
	visit(cmd)
	for _, c := range cmd.Commands() {
		if c.Name() != "help" {
			each(c, visit)
		}
	}
}

func TestHelp(t *testing.T) {
	root := (&app{}).rootCommand()
	var all bytes.Buffer
	each(root, func(cmd *cobra.Command) {
		if strings.TrimSpace(cmd.Example) == "" || !strings.Contains(cmd.Example, "tollstream") {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		code, stdout, stderr := tollstream(t, nil, "", append(strings.Fields(cmd.CommandPath())[1:], "--help")...)
		if code != exitOK || stderr != "" || !strings.Contains(stdout, "Example") {
			t.Errorf("%s --help: exit code %d, stderr %q, without examples: %s", cmd.CommandPath(), code, stderr, stdout)
		}
		if !strings.Contains(cmd.CommandPath(), "completion") { // the library's own words
			all.WriteString("$ " + cmd.CommandPath() + " --help\n" + stdout + "\n")
		}
	})
	golden := filepath.Join("testdata", "help.txt")
	if *update {
		if err := os.WriteFile(golden, all.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, all.Bytes()) {
		t.Errorf("the help is not that of %s any more: run the test with -update and look at what changed", golden)
	}
}

// What the environment holds is nobody's business who asks for help.
func TestHelpShowsNoSecret(t *testing.T) {
	_, stdout, _ := tollstream(t, map[string]string{"TOLLSTREAM_API_KEY": "ts_hidden", "TOLLSTREAM_POSTGRES": "postgres://u:hidden@db/x"}, "", "run", "--help")
	if strings.Contains(stdout, "hidden") {
		t.Error(stdout)
	}
}

func TestWrongCommandLines(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		args string
		want string // in stderr
	}{
		{"", "name one of the commands"},
		{"catalgo", `"catalgo" is not a command of tollstream, did you mean catalog?`},
		{"catalog", "name one of the commands of tollstream catalog"},
		{"catalog appyl x", "did you mean apply?"},
		{"catalog apply", "FILE is missing"},
		{"catalog apply a b", `"b" is too much`},
		{"catalog export a b", `"b" is too much`},
		{"catalog export --format xml", "yaml, json, csv or xlsx"},
		{"collect calls", "FILE is missing: tollstream collect NAME FILE"},
		{"collect calls .", "is a folder"},
		{"run raiter", `"raiter" is not a role`},
		{"run rater rater", "named twice"},
		{"run rater --demo", "name the role api"},
		{"rate --account acme", "--account and --product"},
		{"rate --account acme --product x -k y", "NAME=VALUE"},
		{"rate", "no event"},
		{"reconcile --period november", "2026-11"},
		{"rejected list --limit -1", "must not be negative"},
		{"key create --role king", "must be one of"},
		{"key create --role customer", "--account goes with"},
		{"key create --role admin --account acme", "--account goes with"},
		{"version --nope", "unknown flag"},
		{"version --output xml", "text or json"},
		{"version --log-level loud", "log-level"},
		{"demo --http-addr nonsense", "host:port"},
	} {
		code, stdout, stderr := w.tollstream(t, "", strings.Fields(c.args)...)
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, c.want) || !strings.Contains(stderr, "--help` for an example") {
			t.Errorf("tollstream %s: exit code %d, stdout %q, stderr %q; want %d and %q", c.args, code, stdout, stderr, exitUsage, c.want)
		}
	}
}

// A program has a way to ask, whatever goes wrong on the way to the server.
func TestRefusals(t *testing.T) {
	w := newWorld(t)
	k, token, err := api.NewKey("gateway", api.RoleIngest, "", noon)
	if err != nil {
		t.Fatal(err)
	}
	w.keys = append(w.keys, k)
	for _, c := range []struct{ name, addr, key, want string }{
		{"nobody there", "127.0.0.1:1", "", "start one with `tollstream run`"},
		{"no key", w.url, "", "set TOLLSTREAM_API_KEY"},
		{"wrong key", w.url, "ts_nonsense", "does not know this API key"},
		{"wrong role", w.url, token, `role "ingest" lacks permission`},
		{"two words", w.url, "admin key", "must be one word"},
	} {
		code, stdout, stderr := tollstream(t, map[string]string{"TOLLSTREAM_HTTP_ADDR": c.addr, "TOLLSTREAM_API_KEY": c.key}, "", "key", "list")
		if code == exitOK || stdout != "" || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q; want %q", c.name, code, stdout, stderr, c.want)
		}
	}
}

func TestExitCodesOfTheProgram(t *testing.T) {
	w := newWorld(t)
	env := []string{"TOLLSTREAM_HTTP_ADDR=" + w.url, "TOLLSTREAM_API_KEY=" + w.admin}
	for _, c := range []struct {
		args string
		want int
	}{
		{"--version", 0}, {"version -o json", 0}, {"completion bash", 0}, {"demo --print-catalog", 0}, {"key list", 0},
		{"catalog apply no-such-file.yaml", 1}, {"key revoke nobody", 1}, {"nonsense", 2}, {"run --partitions -3", 2}, {"run --partitions many", 2},
	} {
		err := program(t, env, strings.Fields(c.args)...).Run()
		code := 0
		if exit, ok := err.(*exec.ExitError); ok {
			code = exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		if code != c.want {
			t.Errorf("tollstream %s ended with %d, want %d", c.args, code, c.want)
		}
	}
}

// A command that waits for a server ends with 130 at the first signal.
func TestASignalInterrupts(t *testing.T) {
	asked := make(chan struct{}, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	defer server.Close()
	cmd := program(t, []string{"TOLLSTREAM_HTTP_ADDR=" + server.URL}, "catalog", "export")
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-asked
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	said, _ := io.ReadAll(bufio.NewReader(errs))
	err = cmd.Wait()
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != exitInterrupted || !strings.Contains(string(said), "once more to stop at once") {
		t.Errorf("ended with %v, said %q", err, said)
	}
}

func TestASecondSignalStopsAtOnce(t *testing.T) {
	signals := make(chan os.Signal, 2)
	ctx, cancel := context.WithCancel(t.Context())
	exited := make(chan int, 1)
	var said bytes.Buffer
	done := make(chan struct{})
	go func() {
		defer close(done)
		stopOnSignal(signals, cancel, &said, func(code int) { exited <- code })
	}()
	signals <- syscall.SIGTERM
	<-ctx.Done()
	select {
	case code := <-exited:
		t.Fatalf("the first signal ended it with %d", code)
	default:
	}
	signals <- syscall.SIGTERM
	<-done
	if code := <-exited; code != exitInterrupted || !strings.Contains(said.String(), "terminated: finishing") {
		t.Errorf("exit code %d, said %q", code, said.String())
	}
}

func TestSettings(t *testing.T) {
	env := map[string]string{
		"TOLLSTREAM_DATA_DIR": "/var/lib/tollstream", "TOLLSTREAM_HTTP_ADDR": "127.0.0.1:9090", "TOLLSTREAM_KAFKA": "k1:9092,k2:9092", "TOLLSTREAM_POSTGRES": "postgres://u:p@db/x",
		"TOLLSTREAM_REDIS": "redis://r:6379/0", "TOLLSTREAM_CLICKHOUSE": "clickhouse://c:9000/x", "TOLLSTREAM_CLOSE_EVERY": "0", "TOLLSTREAM_API_KEY": "ts_1",
		"TOLLSTREAM_ALLOW_UNSAFE_BROKER": "true", "TOLLSTREAM_PARTITIONS": "64", "TOLLSTREAM_LOG_LEVEL": "debug",
	}
	read := func(env map[string]string, args ...string) Settings {
		t.Helper()
		a := &app{getenv: func(name string) string { return env[name] }}
		root := a.rootCommand()
		cmd, rest, err := root.Find(append([]string{"migrate"}, args...))
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.ParseFlags(rest); err != nil {
			t.Fatal(err)
		}
		if err := readEnvironment(cmd, a.getenv); err != nil {
			t.Fatal(err)
		}
		if err := a.settings.Validate(); err != nil {
			t.Fatal(err)
		}
		return a.settings
	}
	text := func(s Settings) string {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	unset := Settings{DataDir: "./data", HTTPAddr: "127.0.0.1:8080", CloseEvery: time.Hour}
	if got := read(nil); text(got) != text(unset) || got.PartitionCount() != 8 {
		t.Errorf("defaults %s with %d partitions, want %s", text(got), got.PartitionCount(), text(unset))
	}
	set := Settings{
		DataDir: "/var/lib/tollstream", HTTPAddr: "127.0.0.1:9090", Kafka: []string{"k1:9092", "k2:9092"}, Postgres: "postgres://u:p@db/x", Redis: "redis://r:6379/0",
		ClickHouse: "clickhouse://c:9000/x", APIKey: "ts_1", AllowUnsafeBroker: true, Partitions: 64, LogLevel: -4,
	}
	if got := read(env); text(got) != text(set) {
		t.Errorf("from the environment %s, want %s", text(got), text(set))
	}
	set.DataDir, set.Kafka, set.Partitions = "here", []string{"k3:1"}, 3
	if got := read(env, "--data-dir", "here", "--kafka", "k3:1", "--partitions", "3"); text(got) != text(set) {
		t.Errorf("flags before the environment %s, want %s", text(got), text(set))
	}
	if s := (Settings{Kafka: []string{"k:1"}}); s.PartitionCount() != DefaultPartitions {
		t.Errorf("%d partitions on a broker of one's own", s.PartitionCount())
	}
}

func TestSettingsThatCannotBe(t *testing.T) {
	for _, c := range []struct{ variable, value, want string }{
		{"TOLLSTREAM_HTTP_ADDR", "8080", "(--http-addr) must be host:port"},
		{"TOLLSTREAM_HTTP_ADDR", "127.0.0.1:99999", "(--http-addr) must be host:port"},
		{"TOLLSTREAM_KAFKA", "k1:9092,k2", `(--kafka) must list brokers as host:port, not "k2"`},
		{"TOLLSTREAM_POSTGRES", "mysql://u:secret@db/x", "(--postgres) must be a URL that begins with postgres://"},
		{"TOLLSTREAM_REDIS", "u:secret@r", "(--redis) must be a URL"},
		{"TOLLSTREAM_CLICKHOUSE", "ftp://u:secret@c", "(--clickhouse) must be a URL"},
		{"TOLLSTREAM_CLOSE_EVERY", "1ms", "(--close-every) must be 0 or at least 1s"},
		{"TOLLSTREAM_CLOSE_EVERY", "hourly", "(--close-every) is not a valid duration"},
		{"TOLLSTREAM_PARTITIONS", "10001", "(--partitions) must lie between 1 and 10000"},
		{"TOLLSTREAM_LOG_LEVEL", "loud", "(--log-level) is not a valid value"},
		{"TOLLSTREAM_ALLOW_UNSAFE_BROKER", "perhaps", "(--allow-unsafe-broker) is not a valid bool"},
	} {
		code, _, stderr := tollstream(t, map[string]string{c.variable: c.value}, "", "migrate")
		if code != exitUsage || !strings.Contains(stderr, c.variable) || !strings.Contains(stderr, c.want) || strings.Contains(stderr, "secret") {
			t.Errorf("%s=%s: exit code %d, stderr %q; want %q", c.variable, c.value, code, stderr, c.want)
		}
	}
}
