package pg

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tollstream/tollstream/rater/catalog"
)

var (
	//go:embed queries/load_definitions.sql
	loadDefinitions string
	//go:embed queries/load_newest_shared.sql
	loadNewestShared string
	//go:embed queries/load_newest_accounts.sql
	loadNewestAccounts string
	//go:embed queries/load_newest_contracts.sql
	loadNewestContracts string
	//go:embed queries/load_holders.sql
	loadHolders string
	//go:embed queries/load_rate_owners.sql
	loadRateOwners string
	//go:embed queries/load_users.sql
	loadUsers string
	//go:embed queries/load_pools.sql
	loadPools string
	//go:embed queries/load_crossings.sql
	loadCrossings string
	//go:embed queries/upsert_accounts.sql
	upsertAccounts string
	//go:embed queries/delete_uses.sql
	deleteUses string
	//go:embed queries/delete_identifiers.sql
	deleteIdentifiers string
)

// notifyChange wakes publishers; NOTIFY takes effect with the commit.
const notifyChange = "tollstream_catalog_changed"

// Result is what a document changed. Seq is the sequence number that holds it, also when nothing
// had to change.
type Result struct {
	Seq     int64
	Changes []catalog.Change
}

// Apply writes what the document changes, all or nothing; a document that changes nothing writes
// nothing. Errors of the document are *catalog.Issues. A document is applied once: parse it again
// to apply it again.
func (s *Store) Apply(ctx context.Context, doc *catalog.Document) (Result, error) {
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return Result{}, fmt.Errorf("apply the catalogue: %w", err)
	}
	defer rollback(ctx, tx)
	if err := allowThinking(ctx, tx); err != nil {
		return Result{}, fmt.Errorf("apply the catalogue: %w", err)
	}
	result := Result{}
	var hash int64
	err = tx.QueryRow(ctx, "SELECT seq, hash FROM catalog_counter FOR UPDATE").Scan(&result.Seq, &hash)
	if err != nil {
		return Result{}, fmt.Errorf("apply the catalogue: lock its sequence number: %w", err)
	}
	if _, result.Changes, err = s.revise(ctx, tx, doc); err != nil {
		return Result{}, err
	}
	if len(result.Changes) == 0 {
		return result, nil
	}
	result.Seq++
	if err := s.write(ctx, tx, result, hash, doc.Author); err != nil {
		return Result{}, fmt.Errorf("apply the catalogue: %w", err)
	}
	if err := tx.Commit(ctx); err != nil {
		return Result{}, fmt.Errorf("apply the catalogue: commit: %w", err)
	}
	return result, nil
}

// Diff tells what Apply would change, and writes nothing.
func (s *Store) Diff(ctx context.Context, doc *catalog.Document) ([]catalog.Change, error) {
	tx, err := s.beginComparing(ctx)
	if err != nil {
		return nil, err
	}
	defer rollback(ctx, tx)
	_, changes, err := s.revise(ctx, tx, doc)
	return changes, err
}

func (s *Store) beginComparing(ctx context.Context) (pgx.Tx, error) {
	tx, err := s.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, fmt.Errorf("compare the catalogue: %w", err)
	}
	if err := allowThinking(ctx, tx); err != nil {
		rollback(ctx, tx)
		return nil, fmt.Errorf("compare the catalogue: %w", err)
	}
	return tx, nil
}

// allowThinking lets the transaction wait while a large document is compared; the pool's sessions may be set to end
// sooner, for those that hold a rater's rows.
func allowThinking(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, "SET LOCAL idle_in_transaction_session_timeout = '10min'")
	return err
}

func (s *Store) revise(ctx context.Context, tx pgx.Tx, doc *catalog.Document) (catalog.Stored, []catalog.Change, error) {
	if err := fill(ctx, tx, doc); err != nil {
		return catalog.Stored{}, nil, err
	}
	stored, err := load(ctx, tx, doc.Needs())
	if err != nil {
		return stored, nil, fmt.Errorf("read the stored catalogue: %w", err)
	}
	changes, err := doc.Revise(stored, s.now().UnixNano())
	return stored, changes, err
}

// fill gives a price list the definitions that hold its rates: those that it names, then the accounts of contracts among them.
func fill(ctx context.Context, tx pgx.Tx, doc *catalog.Document) error {
	rows, asked := map[catalog.Ref]catalog.Row{}, 0
	for missing := doc.Missing(rows); len(missing) > 0 && asked < 2; missing = doc.Missing(rows) {
		asked++
		var needs catalog.Needs
		for _, ref := range missing {
			switch ref.Kind {
			case catalog.KindAccount:
				needs.Accounts = append(needs.Accounts, ref.ID)
			case catalog.KindContract:
				needs.Contracts = append(needs.Contracts, ref.ID)
			default:
				needs.Shared = append(needs.Shared, ref)
			}
		}
		stored, err := load(ctx, tx, needs)
		if err != nil {
			return fmt.Errorf("read the definitions that a price list names: %w", err)
		}
		maps.Copy(rows, stored.Rows)
	}
	return doc.Fill(rows)
}

// load reads what a document needs; a document of one account reads that account, its parents and
// the shared definitions, whatever else there is.
func load(ctx context.Context, tx pgx.Tx, needs catalog.Needs) (catalog.Stored, error) {
	stored := catalog.Stored{
		Rows: map[catalog.Ref]catalog.Row{}, Holders: map[string][]catalog.Holder{},
		RateOwners: map[string][]catalog.Ref{}, Users: map[catalog.Ref][]catalog.Ref{},
	}
	put := func(sql string, args ...any) error {
		rows, err := readRows(ctx, tx, sql, args...)
		for _, row := range rows {
			stored.Rows[row.Ref] = row
		}
		return err
	}
	if needs.AllShared {
		if err := put(loadDefinitions, needs.ExchangeRates); err != nil {
			return stored, err
		}
	} else if kinds, ids := split(needs.Shared); len(ids) > 0 {
		if err := put(loadNewestShared, kinds, ids); err != nil {
			return stored, err
		}
	}
	if len(needs.Accounts) > 0 {
		if err := put(loadNewestAccounts, needs.Accounts); err != nil {
			return stored, err
		}
	}
	if len(needs.Contracts)+len(needs.ContractAccounts) > 0 {
		if err := put(loadNewestContracts, needs.Contracts, needs.ContractAccounts); err != nil {
			return stored, err
		}
	}
	if err := loadPooling(ctx, tx, needs, &stored); err != nil {
		return stored, err
	}
	return stored, loadLinks(ctx, tx, needs, stored)
}

// loadPooling reads what tells whether accounts that are routed apart would share tiers.
func loadPooling(ctx context.Context, tx pgx.Tx, needs catalog.Needs, stored *catalog.Stored) error {
	if needs.Pools {
		rows, err := tx.Query(ctx, loadPools)
		if err != nil {
			return err
		}
		var p catalog.Pooled
		if _, err := pgx.ForEachRow(rows, []any{&p.Kind, &p.ID, &p.Path}, func() error {
			stored.Pools = append(stored.Pools, p)
			p.Path = nil
			return nil
		}); err != nil {
			return err
		}
	}
	if !needs.Crossings {
		return nil
	}
	rows, err := tx.Query(ctx, loadCrossings)
	if err != nil {
		return err
	}
	var x catalog.Crossing
	_, err = pgx.ForEachRow(rows, []any{&x.Account, &x.Key, &x.Parent, &x.ParentKey, &x.Path}, func() error {
		stored.Crossings = append(stored.Crossings, x)
		x.Path = nil
		return nil
	})
	return err
}

func loadLinks(ctx context.Context, tx pgx.Tx, needs catalog.Needs, stored catalog.Stored) error {
	if len(needs.Identifiers) > 0 {
		rows, err := tx.Query(ctx, loadHolders, needs.Identifiers)
		if err != nil {
			return err
		}
		var value string
		var h catalog.Holder
		if _, err := pgx.ForEachRow(rows, []any{&value, &h.Account, &h.Start, &h.End}, func() error {
			stored.Holders[value] = append(stored.Holders[value], h)
			return nil
		}); err != nil {
			return err
		}
	}
	if len(needs.RateIDs) > 0 {
		rows, err := tx.Query(ctx, loadRateOwners, needs.RateIDs)
		if err != nil {
			return err
		}
		var id string
		var owner catalog.Ref
		if _, err := pgx.ForEachRow(rows, []any{&id, &owner.Kind, &owner.ID}, func() error {
			stored.RateOwners[id] = append(stored.RateOwners[id], owner)
			return nil
		}); err != nil {
			return err
		}
	}
	used := slices.Concat(needs.Deletes, needs.Grouped)
	if len(used) == 0 {
		return nil
	}
	kinds, ids := split(used)
	rows, err := tx.Query(ctx, loadUsers, kinds, ids)
	if err != nil {
		return err
	}
	var of, user catalog.Ref
	_, err = pgx.ForEachRow(rows, []any{&of.Kind, &of.ID, &user.Kind, &user.ID}, func() error {
		stored.Users[of] = append(stored.Users[of], user)
		return nil
	})
	return err
}

func split(refs []catalog.Ref) (kinds, ids []string) {
	kinds, ids = make([]string, len(refs)), make([]string, len(refs))
	for i, ref := range refs {
		kinds[i], ids[i] = string(ref.Kind), ref.ID
	}
	return kinds, ids
}

// write stores the changes under result.Seq, in the order of kind and id.
func (s *Store) write(ctx context.Context, tx pgx.Tx, result Result, previous int64, author string) error {
	changes := slices.Clone(result.Changes)
	slices.SortFunc(changes, func(a, b catalog.Change) int {
		if c := strings.Compare(string(a.Kind), string(b.Kind)); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"definition"}, []string{"kind", "id", "seq", "deleted", "parent", "body"},
		pgx.CopyFromSlice(len(changes), func(i int) ([]any, error) {
			c := &changes[i]
			return []any{string(c.Kind), c.ID, result.Seq, c.Deleted, c.Parent, string(c.Body)}, nil
		}))
	if err != nil {
		return fmt.Errorf("write %d definitions: %w", len(changes), err)
	}
	if err := writeUses(ctx, tx, changes); err != nil {
		return err
	}
	if err := writeAccounts(ctx, tx, changes); err != nil {
		return err
	}
	hash := int64(link(uint64(previous), changes))
	if _, err := tx.Exec(ctx, "UPDATE catalog_counter SET seq = $1, hash = $2", result.Seq, hash); err != nil {
		return fmt.Errorf("advance the sequence number: %w", err)
	}
	if _, err := tx.Exec(ctx, "INSERT INTO catalog_outbox (seq, hash, rows_count, applied_at, author) VALUES ($1, $2, $3, $4, $5)",
		result.Seq, hash, len(changes), s.now(), author); err != nil {
		return fmt.Errorf("write the outbox: %w", err)
	}
	if slices.ContainsFunc(changes, func(c catalog.Change) bool { return c.ConcernsThePast() }) {
		if _, err := tx.Exec(ctx, "INSERT INTO rerate_job (seq, demand) VALUES ($1, false)", result.Seq); err != nil {
			return fmt.Errorf("write the job that rates usage anew: %w", err)
		}
	}
	if _, err := tx.Exec(ctx, "SELECT pg_notify($1, '')", notifyChange); err != nil {
		return fmt.Errorf("notify publishers: %w", err)
	}
	return nil
}

// Demand is usage that somebody wants rated anew. Instants; a product of "" and instants of 0 are all.
type Demand struct {
	Account     string
	Product     string
	From, Until int64 // periods that end after the one and begin before the other
	Author      string
}

// RateAnew takes a sequence number under which nothing changes, so that the job has its place among those of definitions, and writes
// the job.
func (s *Store) RateAnew(ctx context.Context, d Demand) (seq int64, err error) {
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return 0, fmt.Errorf("ask for account %s to be rated anew: %w", d.Account, err)
	}
	defer rollback(ctx, tx)
	var hash int64
	if err := tx.QueryRow(ctx, "SELECT seq, hash FROM catalog_counter FOR UPDATE").Scan(&seq, &hash); err != nil {
		return 0, fmt.Errorf("ask for account %s to be rated anew: lock the sequence number: %w", d.Account, err)
	}
	seq++
	if err := s.write(ctx, tx, Result{Seq: seq}, hash, d.Author); err != nil {
		return 0, fmt.Errorf("ask for account %s to be rated anew: %w", d.Account, err)
	}
	if _, err := tx.Exec(ctx, "INSERT INTO rerate_job (seq, demand, account, product, from_at, until_at) VALUES ($1, true, $2, $3, $4, $5)",
		seq, d.Account, d.Product, d.From, d.Until); err != nil {
		return 0, fmt.Errorf("ask for account %s to be rated anew: write the job: %w", d.Account, err)
	}
	if err := tx.Commit(ctx); err != nil {
		return 0, fmt.Errorf("ask for account %s to be rated anew: commit: %w", d.Account, err)
	}
	return seq, nil
}

func writeUses(ctx context.Context, tx pgx.Tx, changes []catalog.Change) error {
	var refs []catalog.Ref
	var uses [][]any
	for i := range changes {
		c := &changes[i]
		if c.Action != catalog.ActionCreated {
			refs = append(refs, c.Ref)
		}
		for _, used := range c.Uses {
			uses = append(uses, []any{string(c.Kind), c.ID, string(used.Kind), used.ID})
		}
	}
	if len(refs) > 0 {
		kinds, ids := split(refs)
		if _, err := tx.Exec(ctx, deleteUses, kinds, ids); err != nil {
			return fmt.Errorf("forget what definitions named: %w", err)
		}
	}
	columns := []string{"kind", "id", "used_kind", "used_id"}
	if _, err := tx.CopyFrom(ctx, pgx.Identifier{"definition_use"}, columns, pgx.CopyFromRows(uses)); err != nil {
		return fmt.Errorf("write what definitions name: %w", err)
	}
	return nil
}

func writeAccounts(ctx context.Context, tx pgx.Tx, changes []catalog.Change) error {
	var ids, parents, keys []string
	var parentPays, deleted []bool
	var identifiers, added [][]any
	for i := range changes {
		c := &changes[i]
		if c.Account == nil {
			continue
		}
		if c.New {
			added = append(added, []any{c.ID, c.Parent, c.Account.RoutingKey, c.Account.ParentPays, c.Deleted})
		} else {
			ids, parents, keys = append(ids, c.ID), append(parents, c.Parent), append(keys, c.Account.RoutingKey)
			parentPays, deleted = append(parentPays, c.Account.ParentPays), append(deleted, c.Deleted)
		}
		for _, x := range c.Account.Identifiers {
			identifiers = append(identifiers, []any{x.Value, x.Start, x.End, c.ID})
		}
	}
	if len(ids) > 0 {
		if _, err := tx.Exec(ctx, upsertAccounts, ids, parents, keys, parentPays, deleted); err != nil {
			return fmt.Errorf("write %d accounts: %w", len(ids), err)
		}
		if _, err := tx.Exec(ctx, deleteIdentifiers, ids); err != nil {
			return fmt.Errorf("write identifiers: %w", err)
		}
	}
	if len(added) > 0 {
		columns := []string{"id", "parent", "routing_key", "parent_pays", "deleted"}
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{"account"}, columns, pgx.CopyFromRows(added)); err != nil {
			return fmt.Errorf("write %d new accounts: %w", len(added), err)
		}
	}
	if len(identifiers) == 0 {
		return nil
	}
	columns := []string{"value", "start_at", "end_at", "account"}
	if _, err := tx.CopyFrom(ctx, pgx.Identifier{"identifier"}, columns, pgx.CopyFromRows(identifiers)); err != nil {
		return fmt.Errorf("write identifiers: %w", err)
	}
	return nil
}

// link is the chain's hash after the changes: of the hash before and of every row, in the order of
// kind and id.
func link(previous uint64, changes []catalog.Change) uint64 {
	h := sha256.New()
	var size [8]byte
	number := func(n uint64) {
		binary.BigEndian.PutUint64(size[:], n)
		h.Write(size[:])
	}
	number(previous)
	for i := range changes {
		c := &changes[i]
		for _, part := range [][]byte{[]byte(c.Kind), []byte(c.ID), c.Body} {
			number(uint64(len(part)))
			h.Write(part)
		}
		if c.Deleted {
			number(1)
		} else {
			number(0)
		}
	}
	return binary.BigEndian.Uint64(h.Sum(nil))
}
