package rerate

import (
	"context"
	"fmt"

	"github.com/tollstream/tollstream/rater/catalog"
)

// What changes on a closed invoice in pools over accounts changes what all that share them would have been charged. So these are rated anew,
// too: of definitions by the same job, each of them looks at the same usage; of a demand behind the account that it is for, because
// events may be left out of its usage then.

// mostSharing bounds how many accounts are added; where there are more the sum says that it cannot be.
const mostSharing = 1000

// The passes of a demand: over the account's own lines, and over those of others that share with it.
const (
	passOwn    = 1
	passShared = 2
)

// finder gathers the accounts that a job rates anew.
type finder struct {
	*Runner
	job    *Job
	found  []AccountJob
	of     map[string]int       // where they stand in found
	shared map[sharedUsage]bool // whose sharers are found
}

type sharedUsage struct {
	account, product string
	start            int64
}

func (r *Runner) finder(j *Job) *finder {
	return &finder{Runner: r, job: j, of: map[string]int{}, shared: map[sharedUsage]bool{}}
}

// add has the family's account rated anew, as far as the family.
func (x *finder) add(f *Family, closed bool) {
	at, known := x.of[f.Account]
	if !known {
		at = len(x.found)
		x.of[f.Account] = at
		x.found = append(x.found, AccountJob{
			Seq: x.job.Seq, Account: f.Account, Partition: f.Partition, Product: f.Product, From: f.Start, Until: f.End, State: StateOpen,
		})
	}
	a := &x.found[at]
	a.From, a.Until, a.Closed = min(a.From, f.Start), max(a.Until, f.End), a.Closed || closed
	if a.Product != f.Product {
		a.Product = ""
	}
}

// sharers adds the other accounts that share pools with the closed family, before or after.
func (x *finder) sharers(ctx context.Context, f *Family, before, after *catalog.Plan) error {
	if x.config.Faults.SharersStay || x.shared[sharedUsage{f.Account, f.Product, f.Start}] || !overAccounts(before, f) && !overAccounts(after, f) {
		return nil
	}
	others, err := x.store.Sharing(ctx, *f, mostSharing+1)
	if err != nil || len(others) > mostSharing {
		return err
	}
	for i := range others {
		o := &others[i]
		x.shared[sharedUsage{o.Account, o.Product, o.Start}] = true
		x.add(o, true)
	}
	return nil
}

// overAccounts says whether usage as the family's has tiers that accounts share.
func overAccounts(plan *catalog.Plan, f *Family) bool {
	if plan == nil || plan.Snapshot().Product(f.Product) == nil {
		return false
	}
	product := plan.Snapshot().Product(f.Product)
	for _, name := range named(f.Package) {
		for t := f.Start; t < f.End; {
			a, refused := plan.Resolve(product, name, t)
			if refused == "" && (a.Rate.Pool == catalog.PoolPackage || a.Rate.Pool == catalog.PoolInvoice) {
				return true
			}
			_, end := plan.Constant(product, name, t)
			if end <= t {
				break
			}
			t = end
		}
	}
	return false
}

// beside finds the accounts that share pools on closed invoices with the one that a demand is for.
func (r *Runner) beside(ctx context.Context, j *Job) ([]AccountJob, error) {
	x := r.finder(j)
	plans := map[int64]*catalog.Plan{}
	planAt := func(seq int64) (*catalog.Plan, error) {
		if plan, known := plans[seq]; known {
			return plan, nil
		}
		plan, err := r.planAt(ctx, seq, j.Account)
		plans[seq] = plan
		return plan, err
	}
	for cursor := ""; ; {
		families, next, err := r.store.Families(ctx, Lines{Accounts: []string{j.Account}}, cursor, r.config.Page)
		if err != nil {
			return nil, err
		}
		for i := range families {
			f := &families[i]
			if !f.Sealed || f.SealedSeq >= j.Seq || j.Product != "" && f.Product != j.Product || j.From != 0 && f.End <= j.From || j.Until != 0 && f.Start >= j.Until {
				continue
			}
			before, err := planAt(f.SealedSeq)
			if err != nil {
				return nil, err
			}
			after, err := planAt(j.Seq)
			if err != nil {
				return nil, err
			}
			if err := x.sharers(ctx, f, before, after); err != nil {
				return nil, err
			}
		}
		if cursor = next; next == "" {
			return x.found, nil
		}
	}
}

func (r *Runner) planAt(ctx context.Context, seq int64, account string) (*catalog.Plan, error) {
	snap, err := r.definitions.Snapshot(ctx, seq)
	if err != nil {
		return nil, err
	}
	accounts, err := r.definitions.Accounts(ctx, seq, []string{account})
	if err != nil {
		return nil, err
	}
	plan, err := catalog.PlanOf(snap, accounts, account)
	if err != nil {
		return nil, fmt.Errorf("compile account %s as of definition %d: %w", account, seq, err)
	}
	return plan, nil
}
