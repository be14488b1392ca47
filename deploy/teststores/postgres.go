package teststores

import (
	"context"
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Postgres returns the URL of an empty database of this test.
func Postgres(t testing.TB) string {
	t.Helper()
	server := need(t, EnvPostgres)
	u, err := url.Parse(server)
	if err != nil {
		t.Fatalf("%s: %v", EnvPostgres, err)
	}
	name := unique()
	if err := execPostgres(bounded(t), server, "CREATE DATABASE "+name); err != nil {
		t.Fatalf("create a database: %v", err)
	}
	afterwards(t, "drop database "+name, func(ctx context.Context) error {
		// FORCE ends the connections that the test has left open.
		return execPostgres(ctx, server, "DROP DATABASE "+name+" WITH (FORCE)")
	})
	u.Path = "/" + name
	return u.String()
}

func execPostgres(ctx context.Context, url, sql string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, sql)
	return err
}
