package pg

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tollstream/tollstream/collector"
)

var (
	//go:embed queries/lock_lease.sql
	lockLeaseSQL string
	//go:embed queries/plan.sql
	planSQL string
	//go:embed queries/take_lease.sql
	takeLeaseSQL string
	//go:embed queries/hold_lease.sql
	holdLeaseSQL string
	//go:embed queries/give_lease.sql
	giveLeaseSQL string
	//go:embed queries/end_passes.sql
	endPassesSQL string
	//go:embed queries/add_pass.sql
	addPassSQL string
	//go:embed queries/save_pass.sql
	savePassSQL string
	//go:embed queries/list_passes.sql
	listPassesSQL string
	//go:embed queries/seen.sql
	seenSQL string
	//go:embed queries/seen_afterwards.sql
	seenAfterwardsSQL string
	//go:embed queries/put_seen.sql
	putSeenSQL string
	//go:embed queries/forget_seen.sql
	forgetSeenSQL string
	//go:embed queries/want.sql
	wantSQL string
	//go:embed queries/pause.sql
	pauseSQL string
	//go:embed queries/get_state.sql
	getStateSQL string
	//go:embed queries/of_a_day.sql
	ofADaySQL string
)

var (
	_ collector.LeaseStore = (*Store)(nil)
	_ collector.PassStore  = (*Store)(nil)
	_ collector.SeenStore  = (*Store)(nil)
)

// fenced gives ErrLeaseLost when the token is not that of the collector's lease; 0 needs none.
func fenced(ctx context.Context, tx pgx.Tx, name string, token int64) error {
	if token == 0 {
		return nil
	}
	var one int
	err := tx.QueryRow(ctx, lockLeaseSQL, name, token).Scan(&one)
	if errors.Is(err, pgx.ErrNoRows) {
		return collector.ErrLeaseLost
	}
	return err
}

// under does what only the holder of the lease may do.
func (s *Store) under(ctx context.Context, operation string, lease collector.Lease, do func(ctx context.Context, tx pgx.Tx) error) error {
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := pgx.BeginFunc(limited, s.pool, func(tx pgx.Tx) error {
		if err := fenced(limited, tx, lease.Collector, lease.Token); err != nil {
			return err
		}
		return do(limited, tx)
	})
	return describe(ctx, operation, err)
}

// optional is a time, or null for none.
func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Plan says when a collector is due, if the version of its configuration is a new one; zero: by hand only.
func (s *Store) Plan(ctx context.Context, name string, version int, due time.Time) error {
	_, err := s.pool.Exec(ctx, planSQL, name, version, optional(due))
	return describe(ctx, "plan collector "+name, err)
}

// Take implements collector.LeaseStore.
func (s *Store) Take(ctx context.Context, name, owner string, now time.Time, ttl time.Duration) (collector.Lease, bool, error) {
	lease := collector.Lease{Collector: name, Owner: owner}
	var due *time.Time
	err := s.pool.QueryRow(ctx, takeLeaseSQL, name, owner, now, ttl.Seconds()).Scan(&lease.Token, &lease.Cause, &due)
	if errors.Is(err, pgx.ErrNoRows) {
		return lease, false, nil
	}
	if due != nil {
		lease.Due = *due
	}
	return lease, err == nil, describe(ctx, "take the lease of collector "+name, err)
}

// Hold implements collector.LeaseStore.
func (s *Store) Hold(ctx context.Context, lease collector.Lease, ttl time.Duration) (paused bool, err error) {
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err = s.pool.QueryRow(limited, holdLeaseSQL, lease.Collector, lease.Token, ttl.Seconds()).Scan(&paused)
	if errors.Is(err, pgx.ErrNoRows) {
		err = collector.ErrLeaseLost
	}
	return paused, describe(ctx, "hold the lease of collector "+lease.Collector, err)
}

// Give implements collector.LeaseStore.
func (s *Store) Give(ctx context.Context, lease collector.Lease, version int, due time.Time) error {
	_, err := s.pool.Exec(ctx, giveLeaseSQL, lease.Collector, lease.Token, version, optional(due))
	return describe(ctx, "give back the lease of collector "+lease.Collector, err)
}

// BeginPass implements collector.PassStore.
func (s *Store) BeginPass(ctx context.Context, lease collector.Lease, pass collector.Pass) (id int64, err error) {
	err = s.under(ctx, "begin pass", lease, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, endPassesSQL, lease.Collector, s.now()); err != nil {
			return err
		}
		return tx.QueryRow(ctx, addPassSQL, pass.Collector, pass.ConfigVersion, pass.Cause, pass.StartedAt).Scan(&id)
	})
	return id, err
}

// SavePass implements collector.PassStore.
func (s *Store) SavePass(ctx context.Context, lease collector.Lease, p collector.Pass) error {
	return s.under(ctx, fmt.Sprintf("save pass %d", p.ID), lease, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, savePassSQL, p.ID, p.State, p.Message, p.EndedAt, p.Found, p.Known, p.Waiting, p.Old, p.Taken, p.Failed, p.Skipped)
		return err
	})
}

// Passes lists a collector's passes, newest first.
func (s *Store) Passes(ctx context.Context, name, cursor string, limit int) (page []collector.Pass, next string, err error) {
	limit = min(max(limit, 1), maxPage)
	before, err := position(cursor, math.MaxInt64)
	if err != nil {
		return nil, "", err
	}
	rows, err := s.pool.Query(ctx, listPassesSQL, name, before, limit+1)
	if err == nil {
		page, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (p collector.Pass, err error) {
			err = row.Scan(&p.ID, &p.Collector, &p.ConfigVersion, &p.Cause, &p.State, &p.Message, &p.StartedAt, &p.EndedAt,
				&p.Found, &p.Known, &p.Waiting, &p.Old, &p.Taken, &p.Failed, &p.Skipped)
			return p, err
		})
	}
	if err != nil {
		return nil, "", describe(ctx, "list passes of "+name, err)
	}
	if len(page) > limit {
		page = page[:limit]
		next = strconv.FormatInt(page[limit-1].ID, 10)
	}
	return page, next, nil
}

func scanSeen(row pgx.CollectableRow) (x collector.Seen, err error) {
	var modified *time.Time
	err = row.Scan(&x.Path, &x.Size, &modified, &x.Version, &x.Since, &x.State, &x.Hash, &x.Message, &x.ConfigVersion, &x.Afterwards)
	if modified != nil {
		x.Modified = *modified
	}
	return x, err
}

// Seen implements collector.SeenStore.
func (s *Store) Seen(ctx context.Context, name string, paths []string) ([]collector.Seen, error) {
	return s.listSeen(ctx, seenSQL, name, paths)
}

// Afterwards implements collector.SeenStore.
func (s *Store) Afterwards(ctx context.Context, name string) ([]collector.Seen, error) {
	return s.listSeen(ctx, seenAfterwardsSQL, name)
}

func (s *Store) listSeen(ctx context.Context, sql string, args ...any) (found []collector.Seen, err error) {
	rows, err := s.pool.Query(ctx, sql, args...)
	if err == nil {
		found, err = pgx.CollectRows(rows, scanSeen)
	}
	return found, describe(ctx, "read which files are known", err)
}

// PutSeen implements collector.SeenStore.
func (s *Store) PutSeen(ctx context.Context, lease collector.Lease, put []collector.Seen, forget []string) error {
	n := len(put)
	paths, sizes, modified, versions, since := make([]string, n), make([]int64, n), make([]*time.Time, n), make([]string, n), make([]time.Time, n)
	states, hashes, messages, configs, after := make([]string, n), make([]string, n), make([]string, n), make([]int, n), make([]bool, n)
	for i, x := range put {
		paths[i], sizes[i], modified[i], versions[i], since[i] = x.Path, x.Size, optional(x.Modified), x.Version, x.Since
		states[i], hashes[i], messages[i], configs[i], after[i] = string(x.State), x.Hash, x.Message, x.ConfigVersion, x.Afterwards
	}
	return s.under(ctx, "remember files", lease, func(ctx context.Context, tx pgx.Tx) error {
		if n > 0 {
			if _, err := tx.Exec(ctx, putSeenSQL, lease.Collector, paths, sizes, modified, versions, since, states, hashes, messages, configs, after); err != nil {
				return err
			}
		}
		if len(forget) == 0 {
			return nil
		}
		_, err := tx.Exec(ctx, forgetSeenSQL, lease.Collector, forget)
		return err
	})
}

// ErrPaused says that a collector is paused, so that no pass can be asked for.
var ErrPaused = errors.New("the collector is paused; resume it first")

// Want asks for a pass as soon as a process has time for it; ErrPaused.
func (s *Store) Want(ctx context.Context, name string) error {
	tag, err := s.pool.Exec(ctx, wantSQL, name)
	if err == nil && tag.RowsAffected() == 0 {
		return fmt.Errorf("collector %s: %w", name, ErrPaused)
	}
	return describe(ctx, "start collector "+name, err)
}

// Pause pauses a collector or resumes it; a pass that goes on stops at its checkpoints.
func (s *Store) Pause(ctx context.Context, name string, paused bool) error {
	_, err := s.pool.Exec(ctx, pauseSQL, name, paused, s.now())
	return describe(ctx, "pause or resume collector "+name, err)
}

// State is how a collector stands.
type State struct {
	Paused  bool
	Wanted  bool      // a pass was asked for and has not begun
	NextDue time.Time // zero: only by hand
	Running bool      // a process has its lease
	// Of the last 24 hours.
	Rows, Rejected int64
	LastFile       time.Time // when the last run began; zero: never
}

// State reads how a collector stands.
func (s *Store) State(ctx context.Context, name string) (x State, err error) {
	var due, last *time.Time
	err = s.pool.QueryRow(ctx, getStateSQL, name).Scan(&x.Paused, &x.Wanted, &due, &x.Running)
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}
	if err == nil {
		err = s.pool.QueryRow(ctx, ofADaySQL, name, s.now().Add(-24*time.Hour)).Scan(&x.Rows, &x.Rejected, &last)
	}
	if due != nil {
		x.NextDue = *due
	}
	if last != nil {
		x.LastFile = *last
	}
	return x, describe(ctx, "read the state of collector "+name, err)
}
