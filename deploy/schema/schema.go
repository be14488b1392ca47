// Package schema brings a PostgreSQL database to the tables that this version of the program
// needs: one ordered stream of migrations for all packages, embedded in the binary.
//
// It imports a driver, the migration runner and nothing of the project. Every package owns its
// numbered file in migrations/; a file that was released never changes. All tables stand in the
// default schema of the connection, so that tests give each its own.
//
// Invariants: migrating twice changes nothing; of two processes that migrate one schema at the
// same time the second waits for the first; a database that is newer than the program is refused.
package schema

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var embedded embed.FS

// ErrNewer says that the database was migrated by a newer version of the program.
var ErrNewer = errors.New("the database is newer than this program: start the newer version, or restore a backup")

// Version is the schema version that this program needs: the highest number in migrations/.
func Version() int64 {
	entries, err := fs.ReadDir(embedded, "migrations")
	if err != nil {
		panic(fmt.Sprintf("read embedded migrations: %v", err)) // cannot happen: embedded at build time
	}
	var highest int64
	for _, e := range entries {
		digits, _, _ := strings.Cut(e.Name(), "_")
		if n, err := strconv.ParseInt(digits, 10, 64); err == nil && n > highest {
			highest = n
		}
	}
	return highest
}

// Migrate brings the database at url to Version. It waits while another process migrates the same
// schema. The url may carry a search_path, whose first schema then holds all tables.
func Migrate(ctx context.Context, url string) error {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("migrate: parse the PostgreSQL url: %w", err)
	}
	db := stdlib.OpenDB(*config)
	defer db.Close()

	// The lock lives in its own session, so that a crash releases it.
	lock, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("migrate: connect to PostgreSQL: %w", err)
	}
	defer lock.Close()
	const name = "hashtextextended('tollstream schema ' || current_schema(), 0)"
	if _, err := lock.ExecContext(ctx, "SELECT pg_advisory_lock("+name+")"); err != nil {
		return fmt.Errorf("migrate: take the lock: %w", err)
	}
	defer lock.ExecContext(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock("+name+")") //nolint:errcheck // closing the session releases it too

	return up(ctx, db)
}

func up(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(embedded, "migrations")
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files)
	if err != nil {
		return fmt.Errorf("migrate: read the migrations: %w", err)
	}
	current, err := provider.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("migrate: read the database's version: %w", err)
	}
	if current > Version() {
		return fmt.Errorf("migrate: database is at version %d, program at %d: %w", current, Version(), ErrNewer)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate from version %d: %w", current, err)
	}
	return nil
}
