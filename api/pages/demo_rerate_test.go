package pages_test

import (
	"context"
	"fmt"
	"time"

	"github.com/tollstream/tollstream/api/pages"
)

// demoJobs are one that somebody asked for and that runs, one that is held up, and three that have ended.
func demoJobs(rated int64) []pages.RerateJob {
	now := demoNow()
	return []pages.RerateJob{
		{ID: 41, State: "running", Phase: "looking", By: "Anna", Created: now.Add(-4 * time.Minute), Behind: 40,
			Definitions: []pages.DefinitionName{{Kind: "product", ID: "voice"}, {Kind: "rate_class", ID: "gold"}, {Kind: "contract", ID: "c-7", Deleted: true}, {Kind: "account", ID: "acme"}}, More: 96,
			Waits: []pages.Partition{{Number: 5, Offset: 120411, Note: "the rated log holds another result"}, {Number: 2}, {Number: 7}}},
		{ID: 40, State: "running", Phase: "accounts", By: "Anna", Created: now.Add(-9 * time.Minute), Definitions: []pages.DefinitionName{{Kind: "product", ID: "api-calls"}},
			Accounts: 48, Finished: 12 + rated, Lines: 30, Changed: 21, Swept: 1204, Waits: []pages.Partition{{Number: 3}}},
		{ID: 39, State: "done", Phase: "done", Demand: true, By: "Bert", Created: now.Add(-2 * time.Hour), Ended: now.Add(-2*time.Hour + 3*time.Second), Account: "acme", Product: "api-calls",
			From: time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC), Until: time.Date(2026, 11, 21, 0, 0, 0, 1, time.UTC), Accounts: 1, Finished: 1, Lines: 4, Changed: 2,
			Left: "storage stays as it was: its tiers are shared in a pool; reports stays as it was: it counts distinct values"},
		{ID: 35, State: "failed", Phase: "done", By: "Anna", Created: now.Add(-30 * time.Hour), Ended: now.Add(-29 * time.Hour), Definitions: []pages.DefinitionName{{Kind: "contract", ID: "c-1"}},
			Accounts: 2, Finished: 2, Lines: 9, Changed: 1, Left: "beta: given up: more usage arrives than is kept behind a marker"},
		{ID: 31, State: "done", Phase: "done", Created: now.Add(-50 * time.Hour), Ended: now.Add(-50*time.Hour + time.Second), Definitions: []pages.DefinitionName{{Kind: "product", ID: "sms"}}},
	}
}

func (d *demo) RerateJobs(_ context.Context, running bool, cursor string) (*pages.RerateJobPage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		return nil, d.fail
	}
	page := &pages.RerateJobPage{}
	for _, j := range demoJobs(d.rated) {
		if d.calm || running && j.State != "running" {
			continue
		}
		page.Rows = append(page.Rows, j)
	}
	if !running && !d.calm && cursor == "" {
		page.Next = "31"
	}
	return page, nil
}

func (d *demo) RerateJob(_ context.Context, id int64) (*pages.RerateJob, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil && !d.calm {
		return nil, d.fail
	}
	for _, j := range demoJobs(d.rated) {
		if j.ID == id {
			return &j, nil
		}
	}
	return nil, pages.ErrNotFound
}

// RerateChanges: two accounts, of which one is billed in two currencies; three lines of api-calls.
func (d *demo) RerateChanges(_ context.Context, id int64, q pages.RerateChangesQuery) (*pages.RerateChangePage, error) {
	page := &pages.RerateChangePage{}
	change := func(account, product, currency, before, after, difference string, n int64) {
		if q.Account != "" && q.Account != account {
			return
		}
		c := pages.RerateChange{Account: account, Product: product, Lines: n, Currency: currency, Before: fix(before), After: fix(after), Difference: fix(difference)}
		if product != "" {
			c.Billed, c.Line, c.Period = account, fmt.Sprintf("%032x", len(page.Changes)), november.Start
		}
		page.Changes = append(page.Changes, c)
	}
	switch {
	case id == 31 || d.empty:
	case q.Table == pages.RerateAccounts && id != 39:
		page.Accounts = []pages.RerateAccount{
			{Account: "acme", State: "done", From: november.Start, Until: november.End, Lines: 14, Changed: 9},
			{Account: "beta", State: "failed", Product: "voice", From: november.Start, Until: november.End, Message: "given up: more usage arrives than is kept behind a marker"},
			{Account: "gamma", State: "running", From: november.Start, Until: november.End},
			{Account: "=odd()", State: "done", Lines: 7, Changed: 7, Message: "storage stays as it was: its tiers are shared in a pool"},
		}
	case d.fail != nil:
		return nil, d.fail
	case q.Table == pages.RerateSums:
		change("acme", "", "EUR", "962.5", "770", "-192.5", 2)
		change("acme", "", "USD", "10", "12.25", "2.25", 1)
		change("=odd()", "", "EUR", "0", "999999999999999.123456789012", "999999999999999.123456789012", 1)
	case q.Table == pages.RerateLines && q.Cursor == "":
		change("acme", "api-calls", "EUR", "900", "720", "-180", 1)
		change("acme", "voice", "EUR", "62.5", "50", "-12.5", 1)
		change("acme", "storage", "USD", "10", "12.25", "2.25", 1)
		page.Next = "more"
	case q.Table == pages.RerateLines:
		change("=odd()", "voice", "EUR", "0", "999999999999999.123456789012", "999999999999999.123456789012", 1)
	}
	return page, nil
}

// TryRerate: 1000 × 0.10 + 17250 × 0.05 would be 1000 × 0.08 + 17250 × 0.04; storage stays.
func (d *demo) TryRerate(_ context.Context, q pages.RerateQuestion) (*pages.RerateTrial, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.fail != nil:
		return nil, d.fail
	case q.Account == "nobody":
		return nil, &pages.WrongField{Field: "account", Text: "There is no account with the id “nobody”"}
	case q.Product == "nothing":
		return nil, fmt.Errorf("try: %w", &pages.WrongField{Field: "product", Text: "There is no product with the id “nothing”"})
	}
	t := &pages.RerateTrial{Lines: 3, Changed: 2, Message: "storage stays as it was: its tiers are shared in a pool", Changes: []pages.RerateChange{
		{Account: q.Account, Billed: q.Account, Product: "storage", Lines: 1, Currency: "EUR", Period: november.Start, Before: fix("214.6"), After: fix("214.6"), Difference: fix("0")},
		{Account: q.Account, Billed: q.Account, Product: "api-calls", Attributes: map[string]string{"region": "eu"}, Lines: 1, Currency: "EUR", Period: november.Start, Before: fix("962.5"), After: fix("770"), Difference: fix("-192.5")},
		{Account: q.Account, Billed: q.Account, Product: "voice", Package: "starter", Lines: 1, Currency: "USD", Period: october.Start, Closed: true, Before: fix("10"), After: fix("12.25"), Difference: fix("2.25")},
	}}
	for i := range d.many {
		t.Changes = append(t.Changes, pages.RerateChange{Account: q.Account, Product: fmt.Sprintf("p-%d", i), Lines: 1, Currency: "EUR", Before: fix("1"), After: fix("1"), Difference: fix("0")})
	}
	return t, nil
}

func (d *demo) Rerate(_ context.Context, q pages.RerateQuestion) (int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if q.Account == "nobody" {
		return 0, &pages.WrongField{Field: "account", Text: "There is no account with the id “nobody”"}
	}
	d.begun = append(d.begun, q)
	return 39, nil
}
