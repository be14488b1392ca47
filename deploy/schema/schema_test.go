package schema

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tollstream/tollstream/deploy/teststores"
)

func TestMigrate(t *testing.T) {
	url := teststores.Postgres(t)
	ctx := context.Background()

	var group sync.WaitGroup // several processes start at once on a fresh database
	for range 3 {
		group.Go(func() {
			if err := Migrate(ctx, url); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if err := Migrate(ctx, url); err != nil {
		t.Errorf("again: %v", err)
	}

	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, "INSERT INTO goose_db_version (version_id, is_applied) VALUES ($1, true)", Version()+1); err != nil {
		t.Fatal(err)
	}
	if err := Migrate(ctx, url); !errors.Is(err, ErrNewer) {
		t.Errorf("a newer database: %v", err)
	}
}

func TestMigrateSaysWhatIsWrong(t *testing.T) {
	if err := Migrate(context.Background(), "postgres://nobody@127.0.0.1:1/none"); err == nil {
		t.Error("no server, no error")
	}
}
