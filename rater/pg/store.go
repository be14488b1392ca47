// Package pg keeps the rater's checkpoints in PostgreSQL: lines, rejected usage, seals, counts and the
// duplicates index, each commit in one transaction that the checkpoint row fences.
//
// It implements rater.Store, and beside it the unfenced readers that the API, the invoicer and operators need.
// It may import rater and its packages, collector/usage, ledger/money and the driver; never another adapter.
//
// Invariants: nothing of a partition is written without touching its checkpoint row under the writer's
// epoch, owner and next offset in the same transaction; every read for a rater joins that row in the same
// statement; rows are locked in the order of their keys. Commits need synchronous_commit, which is
// PostgreSQL's default.
package pg

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/dedup"
)

//go:embed sql/*.sql
var files embed.FS

// statement reads an embedded statement; a missing one is a mistake of the build.
func statement(name string) string {
	b, err := files.ReadFile("sql/" + name + ".sql")
	if err != nil {
		panic(err)
	}
	return string(b)
}

// Store keeps checkpoints in PostgreSQL. It is safe for concurrent use.
type Store struct {
	pool    *pgxpool.Pool
	window  time.Duration
	folding chan struct{} // lines of one partition at a time
}

var _ rater.Store = (*Store)(nil)

// idleInTransaction is how long PostgreSQL lets a session hold its locks without a word from its client.
const idleInTransaction = 5 * time.Second

// Configure sets what every session of a rater's pool needs: a process that is stopped in the middle of a commit, and not
// killed, keeps its connection, and with it the lock on the checkpoint row that the partition's next owner has to write. PostgreSQL ends
// such a session.
func Configure(c *pgxpool.Config) {
	c.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = strconv.FormatInt(idleInTransaction.Milliseconds(), 10)
}

// New returns a store on the pool, whose schema is migrated. Identities are kept for the window and an hour.
func New(pool *pgxpool.Pool, window time.Duration) *Store {
	return &Store{pool: pool, window: window, folding: make(chan struct{}, 1)}
}

// oldest returns the first day of which an identity may count at the log time.
func (s *Store) oldest(logTime int64) int32 {
	return dedup.Day(logTime - int64(s.window+dedup.Tolerance))
}

func failed(f rater.Fence, operation string, err error) error {
	return fmt.Errorf("partition %d: %s: %w", f.Partition, operation, err)
}

func uuids[T ~[16]byte](ids []T) pgtype.FlatArray[pgtype.UUID] {
	list := make(pgtype.FlatArray[pgtype.UUID], len(ids))
	for i := range ids {
		list[i] = uuid(ids[i])
	}
	return list
}

func uuid[T ~[16]byte](id T) pgtype.UUID { return pgtype.UUID{Bytes: id, Valid: true} }

// fenced runs a statement that begins with the checkpoint row ($1 to $5) and joins what is read to it from the outside:
// no row at all is another's partition, a row whose first column is null says that nothing was found.
func (s *Store) fenced(ctx context.Context, f rater.Fence, operation, sql string, scan func(pgx.Rows) error, args ...any) error {
	return s.claimed(ctx, f, operation, sql, scan, append([]any{f.InFlight}, args...)...)
}

// claimed is fenced without the commit in flight ($1 to $4).
func (s *Store) claimed(ctx context.Context, f rater.Fence, operation, sql string, scan func(pgx.Rows) error, args ...any) error {
	rows, err := s.pool.Query(ctx, sql, append([]any{f.Partition, f.Epoch, uuid(f.Owner), f.Next}, args...)...)
	if err != nil {
		return failed(f, operation, err)
	}
	defer rows.Close()
	mine := false
	for rows.Next() {
		mine = true
		if rows.RawValues()[0] == nil {
			continue
		}
		if err := scan(rows); err != nil {
			return failed(f, operation, err)
		}
	}
	if err := rows.Err(); err != nil {
		return failed(f, operation, err)
	}
	if !mine {
		return failed(f, operation, rater.ErrFenced)
	}
	return nil
}

var lookSQL = statement("look")

// Look checks the claim and nothing else.
func (s *Store) Look(ctx context.Context, f rater.Fence) error {
	return s.fenced(ctx, f, "look at the checkpoint", lookSQL, func(pgx.Rows) error { return nil })
}

// Position reads the row without a fence. A partition that was never acquired has epoch 0.
func (s *Store) Position(ctx context.Context, partition int32) (epoch int64, owner rater.Owner, next int64, err error) {
	var id pgtype.UUID
	err = s.pool.QueryRow(ctx, "SELECT epoch, owner, next_offset FROM rater_checkpoint WHERE partition = $1", // its primary key
		partition).Scan(&epoch, &id, &next)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, rater.Owner{}, 0, nil
	}
	if err != nil {
		return 0, rater.Owner{}, 0, fmt.Errorf("partition %d: read the position: %w", partition, err)
	}
	return epoch, id.Bytes, next, nil
}

var linesSQL = statement("lines")

// Lines reads every line of the families, ordered by family and position.
func (s *Store) Lines(ctx context.Context, f rater.Fence, families []activity.ID) ([]rater.LineState, error) {
	var lines []rater.LineState
	err := s.fenced(ctx, f, "read lines", linesSQL, appendLine(&lines), uuids(families))
	return lines, err
}

var openLinesSQL = statement("open_lines")

// OpenLines reads a page of the lines whose period ends after the instant, ordered by (family, position). A page
// holds whole families, so it may be longer than the limit by the lines of its last family.
func (s *Store) OpenLines(ctx context.Context, f rater.Fence, endsAfter int64, from activity.ID, limit int) (
	lines []rater.LineState, next activity.ID, ok bool, err error) {
	err = s.fenced(ctx, f, "read open lines", openLinesSQL, appendLine(&lines), endsAfter, uuid(from), limit)
	if err != nil || len(lines) < limit {
		return lines, activity.ID{}, false, err
	}
	next = lines[len(lines)-1].Family
	for i := len(next) - 1; i >= 0; i-- { // the next family's id is above this one
		if next[i]++; next[i] != 0 {
			return lines, next, true, nil
		}
	}
	return lines, activity.ID{}, false, nil
}

var sealsSQL = statement("seals")

// Seals reads the seals of billed accounts. An account without a row is absent.
func (s *Store) Seals(ctx context.Context, f rater.Fence, accounts []string) ([]rater.SealState, error) {
	var seals []rater.SealState
	err := s.fenced(ctx, f, "read seals", sealsSQL, func(rows pgx.Rows) error {
		var state rater.SealState
		var points []byte
		err := rows.Scan(&state.Account, &points)
		if err == nil {
			state.Seals, err = decodeSeals(points)
		}
		seals = append(seals, state)
		return err
	}, accounts)
	return seals, err
}

var markersSQL = statement("markers")

// Markers reads where rating accounts anew stands. An account without a row is absent.
func (s *Store) Markers(ctx context.Context, f rater.Fence, accounts []string) ([]rater.MarkerState, error) {
	var markers []rater.MarkerState
	err := s.fenced(ctx, f, "read markers", markersSQL, func(rows pgx.Rows) error {
		m, err := scanMarker(rows)
		markers = append(markers, m)
		return err
	}, accounts)
	return markers, err
}

func scanMarker(row pgx.Row) (m rater.MarkerState, err error) {
	var sets []byte
	err = row.Scan(&m.Account, &m.Seq, &m.Attempt, &m.At, &m.Open, &m.Over, &m.Done, &m.Parts, &m.Under, &sets)
	if len(m.Parts) == 0 {
		m.Parts = nil
	}
	if err == nil {
		m.Sets, err = decodeSets(sets)
	}
	return m, err
}

var identitiesSQL = statement("identities")

// Identities reads which of the identities arrived on the compacted days that are asked for, with every arrival. A day among them that
// is compacted no more is ErrFenced: the store fell back behind the answer of Compact.
func (s *Store) Identities(ctx context.Context, f rater.Fence, asked []dedup.Question) ([]dedup.Entry, error) {
	if len(asked) == 0 {
		return nil, nil
	}
	ids := make(pgtype.FlatArray[pgtype.UUID], len(asked))
	first, last := make([]int32, len(asked)), make([]int32, len(asked))
	for i := range asked {
		ids[i], first[i], last[i] = uuid(asked[i].ID), asked[i].First, asked[i].Last
	}
	var found []dedup.Entry
	err := s.fenced(ctx, f, "read identities", identitiesSQL, func(rows pgx.Rows) error {
		var id pgtype.UUID
		var chunk pgtype.DriverBytes
		if err := rows.Scan(&id, &chunk); err != nil {
			return err
		}
		e, ok, err := findEntry(chunk, id.Bytes)
		if ok {
			found = append(found, e)
		}
		return err
	}, ids, first, last, slices.Min(first), slices.Max(last))
	return found, err
}
