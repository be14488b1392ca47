package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/api/pages"
	"github.com/tollstream/tollstream/rater"
)

// reratePages shows jobs that rate usage anew, and begins them.
type reratePages struct{ desk rerateDesk }

var (
	_ pages.Reratings = reratePages{}
	_ pages.Rerater   = reratePages{}
)

// RerateJobs implements pages.Reratings.
func (r reratePages) RerateJobs(ctx context.Context, running bool, cursor string) (*pages.RerateJobPage, error) {
	q := api.RerateQuery{Cursor: cursor, Limit: runsShown}
	if running {
		q.State = api.RerateRunning
	}
	jobs, next, err := r.desk.Reratings(ctx, q)
	if err != nil {
		return nil, pageError(err)
	}
	page := &pages.RerateJobPage{Next: next}
	stopped := r.stopped()
	for i := range jobs {
		page.Rows = append(page.Rows, pageRerating(&jobs[i], stopped))
	}
	return page, nil
}

// RerateJob implements pages.Reratings.
func (r reratePages) RerateJob(ctx context.Context, id int64) (*pages.RerateJob, error) {
	job, err := r.desk.Rerating(ctx, id)
	if err != nil {
		return nil, pageError(err)
	}
	out := pageRerating(job, r.stopped())
	return &out, nil
}

// stopped are the partitions of this process that have stopped.
func (r reratePages) stopped() map[int32]rater.Status {
	out := map[int32]rater.Status{}
	if r.desk.p.worker == nil {
		return out
	}
	for _, s := range r.desk.p.worker.Status() {
		if s.Stopped != "" {
			out[s.Partition] = s
		}
	}
	return out
}

func pageRerating(j *api.Rerating, stopped map[int32]rater.Status) pages.RerateJob {
	out := pages.RerateJob{
		ID: j.ID, State: j.State, Phase: j.Phase, Demand: j.Cause == "demand", By: j.By, Created: j.Created, Account: j.Account, Product: j.Product,
		More: j.DefinitionsCount - int64(len(j.Definitions)), Swept: j.Swept, Accounts: j.Accounts, Finished: j.Finished, Lines: j.Lines, Changed: j.Changed,
		Left: j.Message, Behind: j.Behind, Ended: moment(j.Ended), From: moment(j.From), Until: moment(j.Until),
	}
	for _, d := range j.Definitions {
		out.Definitions = append(out.Definitions, pages.DefinitionName(d))
	}
	for _, p := range j.Partitions {
		out.Waits = append(out.Waits, pages.Partition{Number: p, Offset: stopped[p].Position, Note: stopped[p].Stopped})
	}
	return out
}

func moment(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// RerateChanges implements pages.Reratings.
func (r reratePages) RerateChanges(ctx context.Context, id int64, q pages.RerateChangesQuery) (*pages.RerateChangePage, error) {
	if q.Table == pages.RerateAccounts {
		return r.accounts(ctx, id, q)
	}
	of := api.RerateLinesQuery{Account: q.Account, By: "line", Cursor: q.Cursor, Limit: q.Limit}
	if q.Table == pages.RerateSums {
		of.By = "account"
	}
	lines, next, err := r.desk.RerateLines(ctx, id, of)
	if err != nil {
		return nil, pageError(err)
	}
	page := &pages.RerateChangePage{Next: next}
	for i := range lines {
		l := &lines[i]
		page.Changes = append(page.Changes, pages.RerateChange{
			Account: l.Account, Product: l.Product, Package: optional(l.Package), Line: l.Line, Billed: l.Billed, Period: moment(l.Period), Lines: l.Lines,
			Currency: l.Currency, Before: l.Before, After: l.After, Difference: l.Difference,
		})
	}
	return page, nil
}

func (r reratePages) accounts(ctx context.Context, id int64, q pages.RerateChangesQuery) (*pages.RerateChangePage, error) {
	list, next, err := r.desk.RerateAccounts(ctx, id, q.Cursor, q.Limit)
	if err != nil {
		return nil, pageError(err)
	}
	page := &pages.RerateChangePage{Next: next}
	for i := range list {
		a := &list[i]
		page.Accounts = append(page.Accounts, pages.RerateAccount{
			Account: a.Account, State: a.State, Product: a.Product, From: moment(a.From), Until: moment(a.Until), Lines: a.Lines, Changed: a.Changed, Message: a.Message,
		})
	}
	return page, nil
}

// ask asks for usage to be rated anew, or what that would change.
func (r reratePages) ask(ctx context.Context, q pages.RerateQuestion, dry bool) (*api.Rerating, error) {
	request := api.RerateRequest{Account: q.Account, Product: q.Product, Period: q.Period, DryRun: dry}
	if q.Period != "" {
		var err error
		if request.At, err = time.Parse(time.DateOnly, q.Period); err != nil {
			return nil, &pages.WrongField{Field: "period", Text: "Enter a day of the period, such as 2026-11-21"}
		}
	}
	answer, err := r.desk.Rerate(ctx, request)
	switch {
	case errors.Is(err, api.ErrNotFound):
		return nil, &pages.WrongField{Field: "account", Text: fmt.Sprintf("There is no account with the id “%s”", q.Account)}
	case errors.Is(err, api.ErrInvalid):
		return nil, &pages.WrongField{Field: "product", Text: fmt.Sprintf("There is no product with the id “%s”", q.Product)}
	}
	return answer, pageError(err)
}

// TryRerate implements pages.Rerater.
func (r reratePages) TryRerate(ctx context.Context, q pages.RerateQuestion) (*pages.RerateTrial, error) {
	answer, err := r.ask(ctx, q, true)
	if err != nil {
		return nil, err
	}
	out := &pages.RerateTrial{Lines: answer.Lines, Changed: answer.Changed, Message: answer.Message, Changes: []pages.RerateChange{}}
	for i := range answer.Differences {
		d := &answer.Differences[i]
		out.Changes = append(out.Changes, pages.RerateChange{
			Account: q.Account, Billed: d.Billed, Product: d.Product, Package: optional(d.Package), Attributes: d.Attributes, Period: d.Period, Closed: d.Closed, Lines: 1,
			Currency: d.Currency, Before: d.Before, After: d.After, Difference: d.Difference,
		})
	}
	return out, nil
}

// Rerate implements pages.Rerater.
func (r reratePages) Rerate(ctx context.Context, q pages.RerateQuestion) (int64, error) {
	answer, err := r.ask(ctx, q, false)
	if err != nil {
		return 0, err
	}
	return answer.ID, nil
}
