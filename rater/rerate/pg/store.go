// Package pg keeps the jobs that rate usage anew in PostgreSQL, beside what they wait for: the partitions' checkpoints and markers,
// and the sink's position.
//
// It implements rerate.Store, and answers who asks how far a job is. It may import rater/rerate, rater/catalog and the driver;
// never another adapter. Invariant: what it writes may be written again.
package pg

import (
	"context"
	"embed"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/rerate"
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

var (
	changedAccountsSQL = statement("changed_accounts")
	familiesSQL        = statement("families")
	accountFamiliesSQL = statement("account_families")
	saveAccountsSQL    = statement("save_accounts")
	openAccountsSQL    = statement("open_accounts")
	accountMarkersSQL  = statement("account_markers")
	holdSQL            = statement("hold")
	settledSQL         = statement("settled")
	waitingSQL         = statement("waiting")
	unsettledSQL       = statement("unsettled")
	sharingSQL         = statement("sharing")
)

// manyAccounts are more than a job names: then it looks at all lines.
const manyAccounts = 10_000

// Store keeps jobs. It is safe for concurrent use.
type Store struct{ pool *pgxpool.Pool }

var _ rerate.Store = (*Store)(nil)

// New returns a store on the pool, whose schema is migrated.
func New(pool *pgxpool.Pool) *Store { return &Store{pool} }

// Hold takes or renews the lease.
func (s *Store) Hold(ctx context.Context, owner string, ttl time.Duration) (bool, error) {
	tag, err := s.pool.Exec(ctx, holdSQL, owner, ttl.Seconds())
	if err != nil {
		return false, fmt.Errorf("hold the lease of jobs: %w", err)
	}
	return tag.RowsAffected() > 0, nil
}

// Release gives the lease back.
func (s *Store) Release(ctx context.Context, owner string) error {
	if _, err := s.pool.Exec(ctx, "DELETE FROM rerate_lease WHERE owner = $1", owner); err != nil { // one row
		return fmt.Errorf("release the lease of jobs: %w", err)
	}
	return nil
}

// Break ends the lease, whoever holds it: for a process that knows that no other is alive.
func (s *Store) Break(ctx context.Context) error {
	if _, err := s.pool.Exec(ctx, "DELETE FROM rerate_lease"); err != nil { // one row
		return fmt.Errorf("end the lease of jobs: %w", err)
	}
	return nil
}

// Jobs reads the open jobs in the order of their sequence numbers.
func (s *Store) Jobs(ctx context.Context, limit int) ([]rerate.Job, error) {
	rows, err := s.pool.Query(ctx, // index: rerate_job_open
		`SELECT seq, demand, account, product, from_at, until_at, phase, pass, cursor_at, found, swept, message
		 FROM rerate_job WHERE phase <> 'done' ORDER BY seq LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("read open jobs: %w", err)
	}
	jobs, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (j rerate.Job, err error) {
		err = r.Scan(&j.Seq, &j.Demand, &j.Account, &j.Product, &j.From, &j.Until, &j.Phase, &j.Pass, &j.Cursor, &j.Found, &j.Swept, &j.Left)
		return j, err
	})
	if err != nil {
		return nil, fmt.Errorf("read open jobs: %w", err)
	}
	return jobs, nil
}

// Changed reads what a sequence number changed.
func (s *Store) Changed(ctx context.Context, seq int64) (c rerate.Changed, err error) {
	rows, err := s.pool.Query(ctx, "SELECT kind, id FROM definition WHERE seq = $1 AND kind IN ('product', 'rate_class', 'package')", seq) // index: definition_by_seq
	if err != nil {
		return c, fmt.Errorf("read what definition %d changed: %w", seq, err)
	}
	c.Refs, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (ref catalog.Ref, err error) {
		err = r.Scan(&ref.Kind, &ref.ID)
		return ref, err
	})
	if err != nil {
		return c, fmt.Errorf("read what definition %d changed: %w", seq, err)
	}
	if rows, err = s.pool.Query(ctx, changedAccountsSQL, seq, manyAccounts+1); err != nil {
		return c, fmt.Errorf("read the accounts that definition %d concerns: %w", seq, err)
	}
	if c.Accounts, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		return c, fmt.Errorf("read the accounts that definition %d concerns: %w", seq, err)
	}
	c.Many = len(c.Accounts) > manyAccounts
	return c, nil
}

// Families reads a page of families. The cursor is a partition and a family.
func (s *Store) Families(ctx context.Context, lines rerate.Lines, cursor string, limit int) ([]rerate.Family, string, error) {
	partition, family, err := place(cursor)
	if err != nil {
		return nil, "", err
	}
	sql, of := familiesSQL, lines.Products
	if lines.Accounts != nil {
		sql, of = accountFamiliesSQL, lines.Accounts
	}
	rows, err := s.pool.Query(ctx, sql, partition, family, of, limit)
	if err != nil {
		return nil, "", fmt.Errorf("read lines to be rated anew: %w", err)
	}
	families, err := pgx.CollectRows(rows, scanFamily)
	if err != nil {
		return nil, "", fmt.Errorf("read lines to be rated anew: %w", err)
	}
	if len(families) < limit {
		return families, "", nil
	}
	last := &families[len(families)-1]
	return families, fmt.Sprintf("%d/%x", last.Partition, last.ID), nil
}

func scanFamily(r pgx.CollectableRow) (f rerate.Family, err error) {
	var id pgtype.UUID
	var points []byte
	if err := r.Scan(&f.Partition, &id, &f.Account, &f.Product, &f.Package, &f.Start, &f.End, &f.Seq, &points); err != nil {
		return f, err
	}
	f.ID = id.Bytes
	for ; len(points) >= 16; points = points[16:] { // through and seq, see rater/pg
		if through := int64(binary.BigEndian.Uint64(points)); through >= f.End && !f.Sealed { //nolint:gosec // as it was written
			f.Sealed, f.SealedSeq = true, int64(binary.BigEndian.Uint64(points[8:])) //nolint:gosec // as it was written
		}
	}
	return f, nil
}

func place(cursor string) (partition int32, family pgtype.UUID, err error) {
	family.Valid = true
	if cursor == "" {
		return -1, family, nil
	}
	head, tail, _ := strings.Cut(cursor, "/")
	_, err = fmt.Sscan(head, &partition)
	id, bad := hex.DecodeString(tail)
	if err != nil || bad != nil || len(id) != 16 {
		return 0, family, fmt.Errorf("cursor %q: %w", cursor, errors.Join(err, bad))
	}
	family.Bytes = [16]byte(id)
	return partition, family, nil
}

// Save writes where the job stands, with what it has found.
func (s *Store) Save(ctx context.Context, j rerate.Job, found []rerate.AccountJob, ends map[int32]int64) error {
	batch := &pgx.Batch{}
	if len(found) > 0 {
		var accounts, products []string
		var partitions []int32
		var from, until []int64
		var closed []bool
		for i := range found {
			a := &found[i]
			accounts, products, partitions = append(accounts, a.Account), append(products, a.Product), append(partitions, a.Partition)
			from, until, closed = append(from, a.From), append(until, a.Until), append(closed, a.Closed)
		}
		batch.Queue(saveAccountsSQL, accounts, j.Seq, partitions, products, from, until, closed)
	}
	for p, end := range ends {
		batch.Queue(`INSERT INTO rerate_sweep AS r (seq, partition, end_offset) VALUES ($1, $2, $3)
			ON CONFLICT (seq, partition) DO UPDATE SET end_offset = greatest(r.end_offset, excluded.end_offset)`, j.Seq, p, end) // its primary key
	}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		saved, err := tx.Exec(ctx, `UPDATE rerate_job SET phase = $2, pass = $3, cursor_at = $4, found = $5, swept = $6, message = $7,
			done_at = CASE WHEN $2 = 'done' THEN now() END
			WHERE seq = $1 AND (pass, array_position($8::text[], phase)) <= ($3, array_position($8::text[], $2))`, // its primary key
			j.Seq, string(j.Phase), j.Pass, j.Cursor, j.Found, j.Swept, j.Left, rerate.Phases)
		if err == nil && saved.RowsAffected() == 0 {
			err = rerate.ErrBehind
		}
		if err != nil {
			return err
		}
		return tx.SendBatch(ctx, batch).Close()
	})
	if err != nil {
		return fmt.Errorf("save the job of definition %d: %w", j.Seq, err)
	}
	return nil
}

// Ends reads the ends of the log behind the job's sweeps.
func (s *Store) Ends(ctx context.Context, seq int64) (map[int32]int64, error) {
	return s.byPartition(ctx, "SELECT partition, end_offset FROM rerate_sweep WHERE seq = $1", seq) // its primary key
}

// Sunk reads how far the report store is.
func (s *Store) Sunk(ctx context.Context) (map[int32]int64, error) {
	return s.byPartition(ctx, "SELECT source_partition, last_offset FROM sink_position") // one row a partition
}

func (s *Store) byPartition(ctx context.Context, sql string, args ...any) (map[int32]int64, error) {
	rows, err := s.pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read offsets: %w", err)
	}
	out := map[int32]int64{}
	var p int32
	var offset int64
	if _, err := pgx.ForEachRow(rows, []any{&p, &offset}, func() error { out[p] = offset; return nil }); err != nil {
		return nil, fmt.Errorf("read offsets: %w", err)
	}
	return out, nil
}

// Checkpoints reads how far the partitions are committed.
func (s *Store) Checkpoints(ctx context.Context) (map[int32]rerate.Checkpoint, error) {
	rows, err := s.pool.Query(ctx, "SELECT partition, next_offset, activated_seq FROM rater_checkpoint") // one row a partition
	if err != nil {
		return nil, fmt.Errorf("read checkpoints: %w", err)
	}
	out := map[int32]rerate.Checkpoint{}
	var p int32
	var c rerate.Checkpoint
	if _, err := pgx.ForEachRow(rows, []any{&p, &c.Next, &c.ActivatedSeq}, func() error { out[p] = c; return nil }); err != nil {
		return nil, fmt.Errorf("read checkpoints: %w", err)
	}
	return out, nil
}

// Accounts reads open accounts of jobs that have looked at all lines, of each the first.
func (s *Store) Accounts(ctx context.Context, after string, limit int) ([]rerate.AccountJob, error) {
	rows, err := s.pool.Query(ctx, openAccountsSQL, limit, after)
	if err != nil {
		return nil, fmt.Errorf("read accounts to be rated anew: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanAccount)
	if err != nil {
		return nil, fmt.Errorf("read accounts to be rated anew: %w", err)
	}
	return list, nil
}

func scanAccount(r pgx.CollectableRow) (a rerate.AccountJob, err error) {
	err = r.Scan(&a.Account, &a.Seq, &a.Partition, &a.Product, &a.From, &a.Until, &a.Closed, &a.State, &a.Message, &a.Lines, &a.Changed)
	return a, err
}

// Left counts the job's open accounts.
func (s *Store) Left(ctx context.Context, seq int64) (n int, err error) {
	err = s.pool.QueryRow(ctx, "SELECT count(*) FROM rerate_account WHERE seq = $1 AND state = 'open'", seq).Scan(&n) // index: rerate_account_open
	if err != nil {
		return 0, fmt.Errorf("count the accounts of definition %d: %w", seq, err)
	}
	return n, nil
}

// SaveAccount writes where an account's job stands. One that has ended stays so.
func (s *Store) SaveAccount(ctx context.Context, a rerate.AccountJob) error {
	_, err := s.pool.Exec(ctx, `UPDATE rerate_account SET state = $3, message = $4, lines = $5, changed = $6
		WHERE account = $1 AND seq = $2 AND state = 'open'`, a.Account, a.Seq, string(a.State), a.Message, a.Lines, a.Changed) // its primary key
	if err != nil {
		return fmt.Errorf("save account %s of definition %d: %w", a.Account, a.Seq, err)
	}
	return nil
}

// Unsettled reads families to sweep: of pools that wait for lines because of results of the job.
func (s *Store) Unsettled(ctx context.Context, seq int64, limit int) ([]rerate.Family, error) {
	rows, err := s.pool.Query(ctx, unsettledSQL, -seq, limit)
	if err != nil {
		return nil, fmt.Errorf("read pools that lines have left: %w", err)
	}
	families, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (f rerate.Family, err error) {
		var id pgtype.UUID
		err = r.Scan(&f.Partition, &id)
		f.ID = id.Bytes
		return f, err
	})
	if err != nil {
		return nil, fmt.Errorf("read pools that lines have left: %w", err)
	}
	return families, nil
}

// Sharing reads a family of each other account that may share pools with one.
func (s *Store) Sharing(ctx context.Context, f rerate.Family, limit int) ([]rerate.Family, error) {
	rows, err := s.pool.Query(ctx, sharingSQL, f.Partition, pgtype.UUID{Bytes: f.ID, Valid: true}, limit)
	if err != nil {
		return nil, fmt.Errorf("read who shares with account %s: %w", f.Account, err)
	}
	families, err := pgx.CollectRows(rows, scanFamily)
	if err != nil {
		return nil, fmt.Errorf("read who shares with account %s: %w", f.Account, err)
	}
	return families, nil
}

// Waiting reads accounts with corrections that wait.
func (s *Store) Waiting(ctx context.Context, limit int) ([]rerate.Waiting, error) {
	rows, err := s.pool.Query(ctx, waitingSQL, limit)
	if err != nil {
		return nil, fmt.Errorf("read corrections that wait: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (w rerate.Waiting, err error) {
		err = r.Scan(&w.Account, &w.From, &w.Until)
		return w, err
	})
	if err != nil {
		return nil, fmt.Errorf("read corrections that wait: %w", err)
	}
	return list, nil
}

// Markers reads what the partitions have committed of the accounts' markers.
func (s *Store) Markers(ctx context.Context, accounts []rerate.AccountJob) ([]rerate.Marker, error) {
	partitions, names := make([]int32, len(accounts)), make([]string, len(accounts))
	for i := range accounts {
		partitions[i], names[i] = accounts[i].Partition, accounts[i].Account
	}
	rows, err := s.pool.Query(ctx, accountMarkersSQL, partitions, names)
	if err != nil {
		return nil, fmt.Errorf("read markers: %w", err)
	}
	out := make([]rerate.Marker, len(accounts))
	var n int64
	var m rerate.Marker
	_, err = pgx.ForEachRow(rows, []any{&n, &m.Seq, &m.Attempt, &m.At, &m.Under, &m.Done, &m.Open, &m.Over}, func() error { out[n-1] = m; return nil })
	if err != nil {
		return nil, fmt.Errorf("read markers: %w", err)
	}
	return out, nil
}

// Settled says whether nothing up to the sequence number can change lines of the accounts any more: a close waits for it with the
// definitions of its seal and the accounts that are billed on the invoice.
func (s *Store) Settled(ctx context.Context, seq int64, accounts []string) (settled bool, err error) {
	if err := s.pool.QueryRow(ctx, settledSQL, seq, accounts).Scan(&settled); err != nil {
		return false, fmt.Errorf("look for open jobs up to definition %d: %w", seq, err)
	}
	return settled, nil
}
