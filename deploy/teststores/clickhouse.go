package teststores

import (
	"context"
	"net/url"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// ClickHouse returns the URL of an empty database of this test on the server
// 18.16, native protocol: clickhouse://host:port/database.
func ClickHouse(t testing.TB) string {
	t.Helper()
	return clickhouseDatabase(t, EnvClickHouse)
}

// ClickHouseCurrent is ClickHouse on a current engine, over HTTP:
// http://host:port/database.
func ClickHouseCurrent(t testing.TB) string {
	t.Helper()
	return clickhouseDatabase(t, EnvClickHouseCurrent)
}

func clickhouseDatabase(t testing.TB, env string) string {
	t.Helper()
	server := need(t, env)
	u, err := url.Parse(server)
	if err != nil {
		t.Fatalf("%s: %v", env, err)
	}
	name := unique()
	if err := execClickHouse(bounded(t), server, "CREATE DATABASE "+name); err != nil {
		t.Fatalf("create a database on %s: %v", server, err)
	}
	afterwards(t, "drop database "+name, func(ctx context.Context) error {
		return execClickHouse(ctx, server, "DROP DATABASE "+name)
	})
	u.Path = "/" + name
	return u.String()
}

func execClickHouse(ctx context.Context, url, sql string) error {
	opts, err := clickhouse.ParseDSN(url)
	if err != nil {
		return err
	}
	conn, err := clickhouse.Open(opts)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	return conn.Exec(ctx, sql)
}
