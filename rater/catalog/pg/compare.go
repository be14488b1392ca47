package pg

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/tollstream/tollstream/rater/catalog"
)

var (
	//go:embed queries/load_reach.sql
	loadReach string
	//go:embed queries/count_accounts.sql
	countAccounts string
	//go:embed queries/load_packages_holding.sql
	loadPackagesHolding string
)

// Compared is what a document would change, and what that means.
type Compared struct {
	Seq         int64 // the definitions that it was compared with
	Changes     []catalog.Change
	Differences []Difference
	More        int // differences beyond the first thousand
}

// Difference is one with the accounts that it concerns, once the document is applied.
type Difference struct {
	catalog.Difference
	Accounts int64
	First    []string // of them, by id
}

// mostNamed is how many accounts are named of those that a difference concerns.
const mostNamed = 5

// Compare tells what Apply would change, what that means and whom it concerns, and writes nothing.
func (s *Store) Compare(ctx context.Context, doc *catalog.Document) (*Compared, error) {
	tx, err := s.beginComparing(ctx)
	if err != nil {
		return nil, err
	}
	defer rollback(ctx, tx)
	out := &Compared{}
	if err := tx.QueryRow(ctx, "SELECT seq FROM catalog_counter").Scan(&out.Seq); err != nil {
		return nil, fmt.Errorf("compare the catalogue: %w", err)
	}
	stored, changes, err := s.revise(ctx, tx, doc)
	if err != nil {
		return nil, err
	}
	found, more, err := doc.Differences(stored, changes)
	if err != nil {
		return nil, err
	}
	out.Changes, out.More = changes, more
	r := reacher{tx: tx, changes: changes, found: map[catalog.Reach]accounts{}}
	if err := r.index(); err != nil {
		return nil, err
	}
	for _, d := range found {
		a, err := r.accounts(ctx, d.Reach)
		if err != nil {
			return nil, fmt.Errorf("find the accounts that %s %s concerns: %w", d.Kind, d.ID, err)
		}
		out.Differences = append(out.Differences, Difference{d, a.count, a.first})
	}
	return out, nil
}

type accounts struct {
	count int64
	first []string
}

// reacher finds the accounts of differences, as the document leaves them: what it defines or deletes is not looked up.
type reacher struct {
	tx        pgx.Tx
	changes   []catalog.Change
	revised   []string // that the document defines or deletes
	contracts []string
	packages  []string
	kept      []string // accounts that it defines
	children  []string // of those, the ones that inherit prices
	parents   []string // of the children
	found     map[catalog.Reach]accounts
}

func (r *reacher) index() error {
	r.revised, r.contracts, r.packages, r.kept, r.children, r.parents = []string{}, []string{}, []string{}, []string{}, []string{}, []string{}
	for i := range r.changes {
		switch c := &r.changes[i]; c.Kind {
		case catalog.KindContract:
			r.contracts = append(r.contracts, c.ID)
		case catalog.KindPackage:
			r.packages = append(r.packages, c.ID)
		case catalog.KindAccount:
			r.revised = append(r.revised, c.ID)
			if c.Deleted {
				continue
			}
			r.kept = append(r.kept, c.ID)
			var d struct {
				InheritPricing *bool `json:"inherit_pricing"`
			}
			if err := json.Unmarshal(c.Body, &d); err != nil {
				return fmt.Errorf("read account %s: %w", c.ID, err)
			}
			if c.Parent != "" && (d.InheritPricing == nil || *d.InheritPricing) {
				r.children, r.parents = append(r.children, c.ID), append(r.parents, c.Parent)
			}
		}
	}
	return nil
}

func (r *reacher) accounts(ctx context.Context, reach catalog.Reach) (a accounts, err error) {
	a, known := r.found[reach]
	if known || reach == (catalog.Reach{}) {
		return a, nil
	}
	if reach.Everyone {
		if err = r.tx.QueryRow(ctx, countAccounts, r.revised, mostNamed).Scan(&a.count, &a.first); err == nil {
			a.count += int64(len(r.kept))
			a.first = append(a.first, r.kept...)
			slices.Sort(a.first)
			a.first = a.first[:min(len(a.first), mostNamed)]
		}
	} else {
		a, err = r.reached(ctx, reach)
	}
	r.found[reach] = a
	return a, err
}

// reached finds the accounts that have something, or one account, with those below them.
func (r *reacher) reached(ctx context.Context, reach catalog.Reach) (a accounts, err error) {
	roots, wanted := []string{}, []catalog.Ref{}
	if reach.Account != "" {
		roots = append(roots, reach.Account)
	} else if wanted, err = r.wanted(ctx, reach.Having); err != nil {
		return a, err
	}
	for i := range r.changes {
		c := &r.changes[i]
		if c.Deleted || !slices.ContainsFunc(wanted, func(w catalog.Ref) bool {
			class := w.Kind == catalog.KindRateClass
			return slices.Contains(c.Uses, w) && (c.Kind == catalog.KindContract && class || c.Kind == catalog.KindAccount && !class)
		}) {
			continue
		}
		if c.Kind == catalog.KindContract {
			roots = append(roots, c.Parent)
		} else {
			roots = append(roots, c.ID)
		}
	}
	kinds, ids := split(wanted)
	err = r.tx.QueryRow(ctx, loadReach, kinds, ids, roots, r.revised, r.contracts, r.children, r.parents, mostNamed, reach.Alone).Scan(&a.count, &a.first)
	return a, err
}

// wanted is what accounts have to have, or their contracts to name: of a product it or a package that holds it.
func (r *reacher) wanted(ctx context.Context, having catalog.Ref) ([]catalog.Ref, error) {
	wanted := []catalog.Ref{having}
	if having.Kind != catalog.KindProduct {
		return wanted, nil
	}
	rows, err := r.tx.Query(ctx, loadPackagesHolding, having.ID, r.packages)
	if err != nil {
		return nil, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	for i := range r.changes {
		if c := &r.changes[i]; c.Kind == catalog.KindPackage && !c.Deleted && slices.Contains(c.Uses, having) {
			ids = append(ids, c.ID)
		}
	}
	for _, id := range ids {
		wanted = append(wanted, catalog.Ref{Kind: catalog.KindPackage, ID: id})
	}
	return wanted, nil
}
