// Package teststores gives a test its own corner of a real server: a database, a
// topic, a keyspace, removed when the test ends. It is imported by tests, and by
// deploy/servers/await for the names of its variables,
// and imports no other package of tollstream.
//
// The servers are started by deploy/servers/servers, which `make test` does; it
// passes their addresses in the variables below. A server that is missing fails
// the test when CI is true, so that nothing is left out unnoticed, and skips it
// otherwise.
//
// Invariants: tests of all packages may run at the same time on the same
// servers; a corner is empty when a test gets it and shared with nobody.
//
// A further kind of server (mail) is a file of its own beside
// postgres.go: one variable here, one function there, one start and stop in
// deploy/servers.
package teststores

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
	"testing"
	"time"
)

// The variables with the servers' addresses.
const (
	EnvPostgres          = "TOLLSTREAM_TEST_POSTGRES"           // URL of a role that may create databases
	EnvRedis             = "TOLLSTREAM_TEST_REDIS"              // URL
	EnvKafka             = "TOLLSTREAM_TEST_KAFKA"              // host:port, several with commas
	EnvClickHouse        = "TOLLSTREAM_TEST_CLICKHOUSE"         // URL, native protocol, server 18.16
	EnvPython            = "TOLLSTREAM_TEST_PYTHON"             // a Python with packages that sign webhooks
	EnvClickHouseCurrent = "TOLLSTREAM_TEST_CLICKHOUSE_CURRENT" // URL, HTTP, a current engine
	EnvFTP               = "TOLLSTREAM_TEST_FTP"                // URL, with the server's folder on this machine behind a question mark
	EnvFTPS              = "TOLLSTREAM_TEST_FTPS"               // the same, TLS from the first byte
	EnvSFTP              = "TOLLSTREAM_TEST_SFTP"               // the same
)

// What is done to a server before a test may take as long as a busy machine needs; after it, a server that was killed is not
// waited for.
const (
	beforeTimeout = 2 * time.Minute
	afterTimeout  = 30 * time.Second
)

// need returns a variable's value, or ends the test.
func need(t testing.TB, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value != "" {
		return value
	}
	const advice = "%s is not set: run `make test`, or `deploy/servers/servers start` and source the file that it names"
	if os.Getenv("CI") == "true" {
		t.Fatalf(advice, name)
	}
	t.Skipf(advice, name)
	return ""
}

// unique names a corner: lower case letters and digits, usable as the name of a
// database or a topic without quotes.
func unique() string {
	return "t" + strings.ToLower(rand.Text())
}

// bounded is for work before the test.
func bounded(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), beforeTimeout)
	t.Cleanup(cancel)
	return ctx
}

// afterwards does work when the test has ended, when its own context is over. A
// server that a test has killed on purpose keeps its rubbish; that is logged.
func afterwards(t testing.TB, what string, work func(context.Context) error) {
	t.Helper()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), afterTimeout)
		defer cancel()
		if err := work(ctx); err != nil {
			t.Logf("%s: %v", what, err)
		}
	})
}
