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

// RerateRequest says which usage is rated anew.
type RerateRequest struct {
	Account string `json:"account" minLength:"1" doc:"id of the account that used"`
	Product string `json:"product,omitempty" doc:"absent: all"`
	Period  string `json:"period,omitempty" doc:"a date, 2026-11-21, or an instant in the billing period; absent: all periods" example:"2026-11-21"`
	DryRun  bool   `json:"dry_run,omitempty" doc:"show the difference and change nothing"`

	At time.Time `json:"-"` // Period
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
	Created time.Time  `json:"created_at"`
	Ended   *time.Time `json:"ended_at,omitempty"`

	Swept    int64 `json:"lines_swept" doc:"priced anew because their prices changed"`
	Accounts int64 `json:"accounts" doc:"whose usage is added up again"`
	Finished int64 `json:"accounts_done"`
	Lines    int64 `json:"lines" doc:"that were added up again"`
	Changed  int64 `json:"lines_changed" doc:"of them"`

	Waits       string         `json:"waits_for,omitempty" doc:"what has to come first: an earlier job, or partitions that have not committed what the job has written" example:"partition 3"`
	Message     string         `json:"message,omitempty" doc:"what stays as it was, and why"`
	Differences []RerateChange `json:"differences,omitempty" doc:"of a dry run: every line that was added up again"`
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
