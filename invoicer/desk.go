package invoicer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
)

// Desk answers questions about current invoices. Its members are set before its first use and never change.
type Desk struct {
	Definitions Definitions
	Live        Reader // asked first; nil: there is none
	Durable     Reader
	Tree        Tree
	Daily       DailyCharges // nil: no forecast
	History     History      // nil: activities are not explained
	Pools       Pools        // nil: nothing is shared
	Values      Values       // nil: no distinct values are counted
	Now         func() time.Time
	Fallback    func(error) // told when the durable reader has to answer; nil: nobody

	mu        sync.Mutex
	lastSeq   int64 // 0: none read yet
	plans     map[planKey]*catalog.Plan
	snapshots map[int64]*catalog.Snapshot
}

type planKey struct {
	seq     int64
	account string
}

// maxPlans and maxSnapshots bound what is remembered; beyond them all are forgotten.
const (
	maxPlans     = 2048
	maxSnapshots = 8
)

// Question asks about an account and one of its periods.
type Question struct {
	Account string
	Period  string // a date of the account's zone or an instant (RFC 3339) inside the period; "": the one that contains now
}

// Target is what a question is about.
type Target struct {
	Account *catalog.Account
	Billed  *catalog.Account
	Chain   []*catalog.Account // the account, its parent … up to the root
	Ref     Ref
	At      time.Time // an instant inside the period: now, or what was asked for

	plan *catalog.Plan
}

// ErrPeriodInvalid says that a question's period cannot be read.
var ErrPeriodInvalid = errors.New(`period is neither a date ("2026-11-01") nor an instant ("2026-11-01T00:00:00Z")`)

// Find returns what the question is about. Errors: ErrAccountUnknown, ErrPeriodInvalid.
func (d *Desk) Find(ctx context.Context, q Question) (*Target, error) {
	seq, err := d.seq(ctx)
	if err != nil {
		return nil, err
	}
	plan, err := d.plan(ctx, seq, q.Account)
	if err != nil {
		return nil, err
	}
	at, err := instantOf(q.Period, zoneOf(plan.Account()), d.Now())
	if err != nil {
		return nil, err
	}
	billed, period := plan.Billing(at.UnixNano())
	return &Target{
		Account: plan.Account(), Billed: billed, Chain: plan.Chain(), At: at, plan: plan,
		Ref: Ref{
			ID: activity.InvoiceID(billed.Seller, billed.ID, period.Start), Seller: billed.Seller, Billed: billed.ID, Period: period,
		},
	}, nil
}

// seq returns the newest sequence number or, while the definitions cannot be read, the newest one that was seen: who
// watches an invoice goes on seeing it.
func (d *Desk) seq(ctx context.Context) (int64, error) {
	seq, err := d.Definitions.CurrentSeq(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		d.lastSeq = max(seq, d.lastSeq)
		return seq, nil
	}
	if d.lastSeq > 0 && ctx.Err() == nil {
		return d.lastSeq, nil
	}
	return 0, fmt.Errorf("read the definitions' sequence number: %w", err)
}

func (d *Desk) snapshot(ctx context.Context, seq int64) (*catalog.Snapshot, error) {
	d.mu.Lock()
	s := d.snapshots[seq]
	d.mu.Unlock()
	if s != nil {
		return s, nil
	}
	s, err := d.Definitions.Snapshot(ctx, seq)
	if err != nil {
		return nil, fmt.Errorf("read the definitions at %d: %w", seq, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.snapshots == nil || len(d.snapshots) >= maxSnapshots {
		d.snapshots = make(map[int64]*catalog.Snapshot)
	}
	d.snapshots[seq] = s
	return s, nil
}

// instantOf reads a question's period; a date means its local midnight.
func instantOf(text string, zone *time.Location, now time.Time) (time.Time, error) {
	if text == "" {
		return now, nil
	}
	if t, err := time.ParseInLocation(time.DateOnly, text, zone); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.Year() < 1970 || t.Year() > 2200 { // instants are nanoseconds in 64 bits
		return time.Time{}, fmt.Errorf("%q: %w", text, ErrPeriodInvalid)
	}
	return t, nil
}

func zoneOf(a *catalog.Account) *time.Location {
	if a.Zone == nil {
		return time.UTC
	}
	return a.Zone
}

// plan returns an account's plan as of seq.
func (d *Desk) plan(ctx context.Context, seq int64, account string) (*catalog.Plan, error) {
	plans, err := d.plansOf(ctx, seq, []string{account})
	if err != nil {
		return nil, err
	}
	if p := plans[account]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("account %q: %w", account, ErrAccountUnknown)
}

// plansOf returns the plans of the accounts that are known as of seq.
func (d *Desk) plansOf(ctx context.Context, seq int64, accounts []string) (map[string]*catalog.Plan, error) {
	found := make(map[string]*catalog.Plan, len(accounts))
	var missing []string
	d.mu.Lock()
	for _, id := range accounts {
		if p := d.plans[planKey{seq, id}]; p != nil {
			found[id] = p
		} else {
			missing = append(missing, id)
		}
	}
	d.mu.Unlock()
	if len(missing) == 0 {
		return found, nil
	}
	snapshot, err := d.snapshot(ctx, seq)
	if err != nil {
		return nil, err
	}
	known, err := d.Definitions.Accounts(ctx, seq, missing)
	if err != nil {
		return nil, fmt.Errorf("read %d accounts at %d: %w", len(missing), seq, err)
	}
	for _, id := range missing {
		p, err := catalog.PlanOf(snapshot, known, id)
		if err != nil {
			return nil, fmt.Errorf("account %q at %d: %w", id, seq, err)
		}
		if p != nil {
			found[id] = p
		}
	}
	d.remember(seq, missing, found)
	return found, nil
}

func (d *Desk) remember(seq int64, ids []string, found map[string]*catalog.Plan) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.plans == nil || len(d.plans)+len(ids) > maxPlans {
		d.plans = make(map[planKey]*catalog.Plan)
	}
	for _, id := range ids {
		if p := found[id]; p != nil && len(d.plans) < maxPlans {
			d.plans[planKey{seq, id}] = p
		}
	}
}

// read asks the live view and, when it cannot answer, the durable one.
func (d *Desk) read(ctx context.Context, ref Ref) (View, error) {
	if d.Live != nil {
		view, err := d.Live.Read(ctx, ref)
		if err == nil {
			return view, nil
		}
		if ctx.Err() != nil {
			return View{}, ctx.Err()
		}
		if d.Fallback != nil {
			d.Fallback(err)
		}
	}
	view, err := d.Durable.Read(ctx, ref)
	if err != nil {
		return View{}, fmt.Errorf("read invoice %s: %w", ref.ID, err)
	}
	return view, nil
}
