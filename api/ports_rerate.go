package api

import (
	"context"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
)

// Reratings rates an account's stored usage anew under the present definitions.
type Reratings interface {
	// Rerate starts and returns at once; a dry run computes the difference, changes nothing and returns when it is done. Errors: ErrNotFound
	// for an unknown account, ErrInvalid.
	Rerate(ctx context.Context, q RerateRequest) (*Rerating, error)
	// Rerating returns one that was started, by anybody or by a change of definitions; an unknown one is an ErrNotFound.
	Rerating(ctx context.Context, id int64) (*Rerating, error)
}

// RerateJobs lists what was rated anew. Nothing is changed.
type RerateJobs interface {
	// Reratings returns jobs, the newest first. Errors: ErrInvalid for a cursor that is none.
	Reratings(ctx context.Context, q RerateQuery) (page []Rerating, next string, err error)
	// RerateLines returns what a job changed, in the order of account, product and line. An unknown job is an ErrNotFound.
	RerateLines(ctx context.Context, id int64, q RerateLinesQuery) (page []RerateLine, next string, err error)
	// RerateAccounts returns how far a job is with the accounts whose usage it adds up again, in the order of their ids.
	RerateAccounts(ctx context.Context, id int64, after string, limit int) (page []RerateAccount, next string, err error)
}

// RerateQuery narrows a list of jobs.
type RerateQuery struct {
	State  string `query:"state" enum:"running" doc:"only those that are not done"`
	Cursor string `query:"cursor" doc:"next of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

// RerateLinesQuery narrows what a job changed.
type RerateLinesQuery struct {
	Account string `query:"account" doc:"of this account only"`
	By      string `query:"by" enum:"line,account" default:"line" doc:"account: sums by account and currency"`
	Cursor  string `query:"cursor" doc:"next of the page before"`
	Limit   int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

// RerateLine is a line that a job changed, or the sum of an account's.
type RerateLine struct {
	Account    string      `json:"account"`
	Billed     string      `json:"billed_account,omitempty" doc:"of a line, as the following"`
	Product    string      `json:"product,omitempty"`
	Package    *string     `json:"package"`
	Line       string      `json:"line,omitempty"`
	Period     *time.Time  `json:"period_start,omitempty" doc:"of the usage"`
	Lines      int64       `json:"lines"`
	Currency   string      `json:"currency"`
	Before     money.Fixed `json:"before"`
	After      money.Fixed `json:"after" doc:"behind the last adjustment; usage that came later is not in it"`
	Difference money.Fixed `json:"difference"`
}

// RerateAccount is an account whose usage a job adds up again.
type RerateAccount struct {
	Account   string     `json:"account"`
	State     string     `json:"state" enum:"running,done,failed"`
	Product   string     `json:"product,omitempty" doc:"absent: all"`
	From      *time.Time `json:"from,omitempty" doc:"usage of periods that end after it; absent: all"`
	Until     *time.Time `json:"until,omitempty" doc:"… and begin before it"`
	Partition int32      `json:"partition"`
	Lines     int64      `json:"lines"`
	Changed   int64      `json:"lines_changed"`
	Message   string     `json:"message,omitempty" doc:"what stays as it was, and why"`
}

// RerateRequest says which usage is rated anew.
type RerateRequest struct {
	Account string `json:"account" minLength:"1" doc:"id of the account that used"`
	Product string `json:"product,omitempty" doc:"absent: all"`
	Period  string `json:"period,omitempty" doc:"a date in the account's time zone, 2026-11-21, or an instant in the billing period; absent: all periods" example:"2026-11-21"`
	DryRun  bool   `json:"dry_run,omitempty" doc:"show the difference and change nothing"`

	At time.Time `json:"-"` // Period; a date stands for a day in the account's time zone
}

// The states of rating anew.
const (
	RerateRunning = "running"
	RerateDone    = "done"
	RerateFailed  = "failed"
)

// Rerating is usage that is rated anew, or was.
type Rerating struct {
	ID      int64      `json:"id,omitempty" doc:"absent for a dry run"`
	State   string     `json:"state" enum:"running,done,failed"`
	Phase   string     `json:"phase,omitempty" enum:"looking,waiting,accounts,done"`
	Cause   string     `json:"cause" enum:"demand,definitions"`
	Account string     `json:"account,omitempty" doc:"of a demand"`
	Product string     `json:"product,omitempty"`
	From    *time.Time `json:"from,omitempty" doc:"of a demand: periods that end after it; absent: all"`
	Until   *time.Time `json:"until,omitempty" doc:"… and begin before it"`
	By      string     `json:"by,omitempty" doc:"who changed the definitions, or asked"`
	Created time.Time  `json:"created_at"`
	Ended   *time.Time `json:"ended_at,omitempty"`

	Definitions      []RerateDefinition `json:"definitions,omitempty" doc:"that were changed, the first 20"`
	DefinitionsCount int64              `json:"definitions_count"`

	Swept    int64 `json:"lines_swept" doc:"priced anew because their prices changed"`
	Accounts int64 `json:"accounts" doc:"whose usage is added up again"`
	Finished int64 `json:"accounts_done"`
	Lines    int64 `json:"lines" doc:"that were added up again"`
	Changed  int64 `json:"lines_changed" doc:"of them"`

	Waits       string         `json:"waits_for,omitempty" doc:"what has to come first: an earlier job, or partitions that have not committed what the job has written" example:"partition 3"`
	Message     string         `json:"message,omitempty" doc:"what stays as it was, and why"`
	Differences []RerateChange `json:"differences,omitempty" doc:"of a dry run: every line that was added up again"`

	Behind     int64   `json:"-"` // what Waits says in words: an earlier job, 0: none
	Partitions []int32 `json:"-"` // … and partitions
}

// RerateDefinition is a definition that was changed.
type RerateDefinition struct {
	Kind    string `json:"kind"`
	ID      string `json:"id"`
	Deleted bool   `json:"deleted,omitempty"`
}

// RerateChange is a line as it stands and as it would be.
type RerateChange struct {
	Billed     string            `json:"billed_account"`
	Product    string            `json:"product"`
	Package    *string           `json:"package"`
	Attributes map[string]string `json:"attributes"`
	Currency   string            `json:"currency"`
	Period     time.Time         `json:"period_start" doc:"of the usage"`
	Closed     bool              `json:"closed" doc:"its period is sealed: the difference would be charged on the current invoice"`
	Before     money.Fixed       `json:"before"`
	After      money.Fixed       `json:"after"`
	Difference money.Fixed       `json:"difference"`
}
