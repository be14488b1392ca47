package backtest

import (
	"context"
	"fmt"

	"github.com/tollstream/tollstream/rater/catalog"
)

// Definitions reads accounts as of a sequence number, as rater.Definitions does.
type Definitions interface {
	Accounts(ctx context.Context, seq int64, ids []string) (map[string]*catalog.Account, error)
	// Children gives the accounts right below one in the order of their ids, at most limit after the one given.
	Children(ctx context.Context, account, after string, limit int) ([]string, error)
}

// Overlay is a Book: a draft laid over definitions as of a sequence number.
type Overlay struct {
	definitions Definitions
	over        *catalog.Snapshot
	draft       *catalog.Draft
	snapshot    *catalog.Snapshot
}

// NewOverlay lays the draft over the snapshot and over the accounts as of its sequence number.
func NewOverlay(definitions Definitions, over *catalog.Snapshot, draft *catalog.Draft) (*Overlay, error) {
	snapshot, err := draft.Snapshot(over)
	if err != nil {
		return nil, fmt.Errorf("lay the draft over the catalogue: %w", err)
	}
	return &Overlay{definitions: definitions, over: over, draft: draft, snapshot: snapshot}, nil
}

// Over implements Book.
func (o *Overlay) Over() *catalog.Snapshot { return o.over }

// Plans implements Book.
func (o *Overlay) Plans(ctx context.Context, ids []string) (map[string]*catalog.Plan, error) {
	accounts := map[string]*catalog.Account{} // with the draft; nil: there is none
	for missing := ids; len(missing) > 0; {
		stored, err := o.definitions.Accounts(ctx, o.over.Seq(), missing)
		if err != nil {
			return nil, err
		}
		for _, id := range missing {
			if accounts[id], err = o.draft.Account(id, stored[id]); err != nil {
				return nil, err
			}
		}
		for id, a := range stored {
			if _, known := accounts[id]; !known {
				if accounts[id], err = o.draft.Account(id, a); err != nil {
					return nil, err
				}
			}
		}
		missing = o.parents(accounts)
	}
	plans := make(map[string]*catalog.Plan, len(ids))
	for _, id := range ids {
		plan, err := catalog.PlanOf(o.snapshot, accounts, id)
		if err != nil {
			return nil, err
		}
		if plan != nil {
			plans[id] = plan
		}
	}
	return plans, nil
}

// Tree implements Book.
func (o *Overlay) Tree(ctx context.Context, root string, most int) ([]string, error) {
	below := map[string][]string{} // in the draft, by parent
	for _, id := range o.draft.Accounts() {
		a, err := o.draft.Account(id, nil)
		if err != nil {
			return nil, err
		}
		below[a.Parent] = append(below[a.Parent], id)
	}
	tree, known := []string{root}, map[string]bool{root: true}
	add := func(ids []string) {
		for _, id := range ids {
			if !known[id] {
				known[id], tree = true, append(tree, id)
			}
		}
	}
	for at := 0; at < len(tree); at++ {
		add(below[tree[at]])
		for after, more := "", true; more && len(tree) <= most; {
			page, err := o.definitions.Children(ctx, tree[at], after, most)
			if err != nil {
				return nil, err
			}
			add(page)
			if more = len(page) == most; more {
				after = page[most-1]
			}
		}
		if len(tree) > most {
			return nil, nil
		}
	}
	return tree, nil
}

// parents lists the parents that were not read yet: those that the draft gives.
func (o *Overlay) parents(accounts map[string]*catalog.Account) (missing []string) {
	for _, a := range accounts {
		if a == nil || a.Parent == "" {
			continue
		}
		if _, known := accounts[a.Parent]; !known {
			missing = append(missing, a.Parent)
			accounts[a.Parent] = nil // asked for once
		}
	}
	return missing
}
