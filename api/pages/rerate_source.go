package pages

import (
	"context"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
)

// Reratings reads jobs that rate usage anew, and what they did.
type Reratings interface {
	// RerateJobs lists jobs, the newest first; with running only those that are not done.
	RerateJobs(ctx context.Context, running bool, cursor string) (*RerateJobPage, error)
	// RerateJob returns one.
	RerateJob(ctx context.Context, id int64) (*RerateJob, error)
	// RerateChanges lists what a job did.
	RerateChanges(ctx context.Context, id int64, q RerateChangesQuery) (*RerateChangePage, error)
}

// Rerater rates an account's usage anew. Both fail with a [WrongField] where the question names something that is not there.
type Rerater interface {
	// TryRerate says what would change, and changes nothing.
	TryRerate(ctx context.Context, q RerateQuestion) (*RerateTrial, error)
	// Rerate begins and returns the job's id.
	Rerate(ctx context.Context, q RerateQuestion) (int64, error)
}

// WrongField says what is wrong with a field of a form, in the reader's words.
type WrongField struct{ Field, Text string }

// Error is the text.
func (w *WrongField) Error() string { return w.Text }

// RerateQuestion says which usage is rated anew.
type RerateQuestion struct {
	Account string `json:"account"`
	Product string `json:"product,omitempty"` // "": all
	Period  string `json:"period,omitempty"`  // a day of the billing period, 2026-11-21; "": all periods
}

// RerateTrial is what would change.
type RerateTrial struct {
	Lines   int64          `json:"lines"` // that were added up again
	Changed int64          `json:"lines_changed"`
	Message string         `json:"message,omitempty"` // what stays as it is, and why
	Changes []RerateChange `json:"changes"`
}

// The states of a job and of an account in it.
const (
	RerateRunning = "running"
	RerateDone    = "done"
	RerateFailed  = "failed"
)

// RerateJob rates usage anew, or has done so.
type RerateJob struct {
	ID      int64     `json:"id"`
	State   string    `json:"state"`          // running done failed
	Phase   string    `json:"phase"`          // looking waiting accounts done
	Demand  bool      `json:"demand"`         // somebody asked for it; otherwise definitions have changed
	By      string    `json:"by,omitempty"`   // who asked, or changed the definitions
	Created time.Time `json:"created"`        //
	Ended   time.Time `json:"ended,omitzero"` // zero: it is running

	Account     string           `json:"account,omitempty"` // of a demand, as the following; empty and zero are all
	Product     string           `json:"product,omitempty"`
	From        time.Time        `json:"from,omitzero"` // periods that end after it
	Until       time.Time        `json:"until,omitzero"`
	Definitions []DefinitionName `json:"definitions,omitempty"` // that were changed, the first ones
	More        int64            `json:"definitions_more"`      // that are not among them

	Swept    int64  `json:"lines_swept"` // priced anew because their prices changed
	Accounts int64  `json:"accounts"`    // whose usage is added up again
	Finished int64  `json:"accounts_done"`
	Lines    int64  `json:"lines"` // that were added up again
	Changed  int64  `json:"lines_changed"`
	Left     string `json:"left,omitempty"` // what stays as it was, and why

	Behind int64       `json:"behind,omitempty"`    // an earlier job comes first; 0: none
	Waits  []Partition `json:"waits_for,omitempty"` // for what these have not committed; with a note where one has stopped
}

// DefinitionName names a definition that was changed.
type DefinitionName struct {
	Kind    string `json:"kind"`
	ID      string `json:"id"`
	Deleted bool   `json:"deleted,omitempty"`
}

// RerateJobPage is a page of jobs.
type RerateJobPage struct {
	Rows []RerateJob `json:"data"`
	Next string      `json:"next,omitempty"`
}

// RerateTable is what is listed of a job.
type RerateTable string

// The tables of a job.
const (
	RerateSums     RerateTable = "sums"     // differences by account and currency
	RerateLines    RerateTable = "lines"    // differences by line
	RerateAccounts RerateTable = "accounts" // how far it is with accounts whose usage it adds up again
)

// RerateChangesQuery asks for a page of a job's table.
type RerateChangesQuery struct {
	Table   RerateTable
	Account string // of this one only; "": all
	Limit   int
	Cursor  string
}

// RerateChangePage is a page of what a job did: changes, or of RerateAccounts accounts.
type RerateChangePage struct {
	Changes  []RerateChange  `json:"changes,omitempty"`
	Accounts []RerateAccount `json:"accounts,omitempty"`
	Next     string          `json:"next,omitempty"`
}

// RerateChange is a line before and after, or the sum of lines of an account.
type RerateChange struct {
	Account    string            `json:"account"`
	Product    string            `json:"product,omitempty"` // of a line, as the following
	Package    string            `json:"package,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`
	Line       string            `json:"line,omitempty"`
	Billed     string            `json:"billed_account,omitempty"`
	Period     time.Time         `json:"period,omitzero"` // the beginning of the usage's
	Closed     bool              `json:"closed,omitempty"`
	Lines      int64             `json:"lines"`
	Currency   string            `json:"currency"`
	Before     money.Fixed       `json:"before"`
	After      money.Fixed       `json:"after"`
	Difference money.Fixed       `json:"difference"`
}

// RerateAccount is an account whose usage is added up again.
type RerateAccount struct {
	Account string    `json:"account"`
	State   string    `json:"state"`
	Product string    `json:"product,omitempty"` // "": all
	From    time.Time `json:"from,omitzero"`     // periods that end after it
	Until   time.Time `json:"until,omitzero"`
	Lines   int64     `json:"lines"`
	Changed int64     `json:"lines_changed"`
	Message string    `json:"message,omitempty"`
}
