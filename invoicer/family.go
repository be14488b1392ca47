package invoicer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tollstream/tollstream/ledger/money"
)

// Family is an account with those below it: what each used itself in its current period, and the sums. The
// members add up without counting anything twice, whoever is invoiced for them.
type Family struct {
	Account   string      `json:"account"`
	Members   []Member    `json:"data" doc:"in tree order, the account itself first"`
	Sums      []FamilySum `json:"sums" doc:"by currency"`
	Truncated bool        `json:"truncated" doc:"there are more accounts than are shown"`
}

// Member is one account of a family.
type Member struct {
	Account       string      `json:"account"`
	Name          string      `json:"name,omitempty"`
	Parent        string      `json:"parent,omitempty"`
	Depth         int         `json:"depth" doc:"0 is the account that was asked about"`
	BilledAccount string      `json:"billed_account"`
	Currency      string      `json:"currency"`
	Period        Period      `json:"period"`
	Lines         int         `json:"lines"`
	Total         money.Fixed `json:"total" doc:"of the lines that the account itself used"`
}

// FamilySum is the sum of the members in one currency.
type FamilySum struct {
	Currency string      `json:"currency"`
	Total    money.Fixed `json:"total"`
}

// maxMembers bounds the accounts that a family shows, maxDepth the generations.
const (
	maxMembers = 1000
	maxDepth   = 64
)

// Children returns the account with those below it.
func (d *Desk) Children(ctx context.Context, q Question) (*Family, error) {
	f := &Family{Account: q.Account, Members: []Member{}, Sums: []FamilySum{}}
	views := make(map[Ref]View) // of the invoices met so far: siblings share them
	if err := d.member(ctx, q, f, views, 0); err != nil {
		return nil, err
	}
	sums := make(map[string]money.Decimal)
	for _, m := range f.Members {
		var err error
		if sums[m.Currency], err = sums[m.Currency].Add(m.Total.Decimal); err != nil {
			return nil, fmt.Errorf("sum the accounts below %q: %w", q.Account, err)
		}
	}
	for _, currency := range slices.Sorted(maps.Keys(sums)) {
		f.Sums = append(f.Sums, FamilySum{Currency: currency, Total: money.Fixed{Decimal: sums[currency]}})
	}
	return f, nil
}

// member adds an account and then those below it.
func (d *Desk) member(ctx context.Context, q Question, f *Family, views map[Ref]View, depth int) error {
	target, err := d.Find(ctx, q)
	if depth > 0 && errors.Is(err, ErrAccountUnknown) {
		return nil // removed meanwhile
	}
	if err != nil {
		return err
	}
	view, ok := views[target.Ref]
	if !ok {
		if view, err = d.read(ctx, target.Ref); err != nil {
			return err
		}
		views[target.Ref] = view
	}
	m := Member{
		Account: target.Account.ID, Name: target.Account.Name, Parent: target.Account.Parent, Depth: depth,
		BilledAccount: target.Billed.ID, Currency: target.Billed.Currency, Period: periodIn(target.Ref.Period, zoneOf(target.Billed)),
	}
	for i := range view.Lines {
		if view.Lines[i].Account != m.Account {
			continue
		}
		m.Lines++
		if m.Total.Decimal, err = m.Total.Add(view.Lines[i].Amount); err != nil {
			return fmt.Errorf("sum the lines of account %q: %w", m.Account, err)
		}
	}
	f.Members = append(f.Members, m)
	for after := ""; depth < maxDepth; {
		children, err := d.Tree.Children(ctx, q.Account, after, maxMembers)
		if err != nil {
			return fmt.Errorf("read the accounts below %q: %w", q.Account, err)
		}
		for _, child := range children {
			if len(f.Members) >= maxMembers {
				f.Truncated = true
				return nil
			}
			if err := d.member(ctx, Question{Account: child, Period: q.Period}, f, views, depth+1); err != nil {
				return err
			}
		}
		if len(children) < maxMembers {
			break
		}
		after = children[len(children)-1]
	}
	return nil
}
