package pg

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tollstream/tollstream/collector"
)

var (
	//go:embed queries/put_config.sql
	putConfig string
	//go:embed queries/get_config.sql
	getConfig string
	//go:embed queries/list_configs.sql
	listConfigs string
	//go:embed queries/list_runs.sql
	listRuns string
	//go:embed queries/list_errors.sql
	listErrors string
)

// Config is a version of a collector's configuration.
type Config struct {
	Name      string    `json:"name"`
	Version   int       `json:"version"`
	Document  string    `json:"document"` // as it was written
	CreatedAt time.Time `json:"created_at"`
}

// nameForm keeps names usable in addresses and on a command line.
var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// ErrName says that a collector cannot be called that.
var ErrName = errors.New("a collector's name has 1 to 63 small letters, digits, dots, dashes and underscores, and starts with a letter or digit")

// IsName says whether a collector can be called that.
func IsName(name string) bool { return nameForm.MatchString(name) }

// PutConfig checks the document and stores it as the collector's newest version; created is false
// when the newest says the same. What is wrong with the document are *collector.ConfigError, joined.
func (s *Store) PutConfig(ctx context.Context, name string, document []byte) (version int, created bool, err error) {
	if !IsName(name) {
		return 0, false, fmt.Errorf("collector %q: %w", name, ErrName)
	}
	if _, err := collector.ParseConfig(document); err != nil {
		return 0, false, err //nolint:wrapcheck // names the place already
	}
	const attempts = 5
	for range attempts {
		err = s.pool.QueryRow(ctx, putConfig, name, string(document), s.now()).Scan(&version)
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Code != "23505" { // two writers chose the same version
			break
		}
	}
	if errors.Is(err, pgx.ErrNoRows) {
		current, err := s.Config(ctx, name, 0)
		return current.Version, false, err
	}
	return version, err == nil, describe(ctx, "store collector "+name, err)
}

// Config gives a version of a collector's configuration, the newest for 0, or ErrNotFound.
func (s *Store) Config(ctx context.Context, name string, version int) (c Config, err error) {
	err = s.pool.QueryRow(ctx, getConfig, name, version).Scan(&c.Name, &c.Version, &c.Document, &c.CreatedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return c, fmt.Errorf("collector %s: %w", name, ErrNotFound)
	}
	return c, describe(ctx, "read collector "+name, err)
}

// maxPage bounds a page of a list.
const maxPage = 1000

// ErrCursor says that a cursor is none that a list has given.
var ErrCursor = errors.New("unknown cursor; start without one")

// Configs lists the newest version of each collector by name. The cursor is that of the page before,
// empty at first; next is empty behind the last page.
func (s *Store) Configs(ctx context.Context, cursor string, limit int) (page []Config, next string, err error) {
	limit = min(max(limit, 1), maxPage)
	rows, err := s.pool.Query(ctx, listConfigs, cursor, limit+1)
	if err == nil {
		page, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (c Config, err error) {
			err = row.Scan(&c.Name, &c.Version, &c.Document, &c.CreatedAt)
			return c, err
		})
	}
	if err != nil {
		return nil, "", describe(ctx, "list collectors", err)
	}
	if len(page) > limit {
		page = page[:limit]
		next = page[limit-1].Name
	}
	return page, next, nil
}

// position reads a cursor that is a number.
func position(cursor string, first int64) (int64, error) {
	if cursor == "" {
		return first, nil
	}
	n, err := strconv.ParseInt(cursor, 10, 64)
	if err != nil || n < 0 {
		return 0, ErrCursor
	}
	return n, nil
}

// Runs lists a collector's runs, newest first.
func (s *Store) Runs(ctx context.Context, name, cursor string, limit int) (page []collector.Run, next string, err error) {
	limit = min(max(limit, 1), maxPage)
	before, err := position(cursor, math.MaxInt64)
	if err != nil {
		return nil, "", err
	}
	rows, err := s.pool.Query(ctx, listRuns, name, before, limit+1)
	if err == nil {
		page, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (collector.Run, error) { return scanRun(row) })
	}
	if err != nil {
		return nil, "", describe(ctx, "list runs of "+name, err)
	}
	if len(page) > limit {
		page = page[:limit]
		next = strconv.FormatInt(page[limit-1].ID, 10)
	}
	return page, next, nil
}

// Run gives one run, or ErrNotFound.
func (s *Store) Run(ctx context.Context, id int64) (collector.Run, error) {
	run, err := scanRun(s.pool.QueryRow(ctx, getRun, id))
	if errors.Is(err, pgx.ErrNoRows) {
		return run, fmt.Errorf("run %d: %w", id, ErrNotFound)
	}
	return run, describe(ctx, fmt.Sprintf("read run %d", id), err)
}

// Errors lists the bad rows of a run in the file's order, as far as they were kept.
func (s *Store) Errors(ctx context.Context, run int64, cursor string, limit int) (page []collector.RowError, next string, err error) {
	limit = min(max(limit, 1), maxPage)
	after, err := position(cursor, -1)
	if err != nil {
		return nil, "", err
	}
	rows, err := s.pool.Query(ctx, listErrors, run, after, limit+1)
	if err == nil {
		page, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (e collector.RowError, err error) {
			err = row.Scan(&e.Line, &e.ID, &e.Code, &e.Message, &e.Raw)
			return e, err
		})
	}
	if err != nil {
		return nil, "", describe(ctx, fmt.Sprintf("list bad rows of run %d", run), err)
	}
	if len(page) > limit {
		page = page[:limit]
		next = strconv.FormatInt(page[limit-1].Line, 10)
	}
	return page, next, nil
}
