package api

import (
	"context"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
)

// Backtests rates stored usage again under a draft of the catalogue. Nothing is changed by it.
type Backtests interface {
	// StartBacktest checks the draft, starts and returns at once. Errors: DocumentErrors, ErrInvalid, ErrConflict while one is running.
	StartBacktest(ctx context.Context, q BacktestQuery) (*Backtest, error)
	// Backtests returns those that are remembered, newest first.
	Backtests(ctx context.Context) ([]Backtest, error)
	// Backtest returns one; an unknown one is an ErrNotFound.
	Backtest(ctx context.Context, id string) (*Backtest, error)
	// BacktestRows returns a page of its rows by account and product; ErrConflict until it is done.
	BacktestRows(ctx context.Context, id, cursor string, limit int) (rows []BacktestRow, next string, err error)
	// StopBacktest ends one that is running; repeatable.
	StopBacktest(ctx context.Context, id string) (*Backtest, error)
}

// BacktestQuery says which usage is rated again, under what.
type BacktestQuery struct {
	Draft    Document  // laid over the live catalogue, as applying it would
	Account  string    // who used; "": everybody
	From, To time.Time // of event time, [From, To)
}

// The states of a backtest.
const (
	BacktestRunning = "running"
	BacktestDone    = "done"
	BacktestFailed  = "failed"
	BacktestStopped = "stopped"
)

// Backtest is usage that is rated again, or was.
type Backtest struct {
	ID         string          `json:"id"`
	State      string          `json:"state" enum:"running,done,failed,stopped"`
	StartedAt  time.Time       `json:"started_at"`
	EndedAt    *time.Time      `json:"ended_at,omitempty"`
	Account    string          `json:"account,omitempty" doc:"who used; absent: everybody"`
	From       time.Time       `json:"from" doc:"event time, inclusive"`
	To         time.Time       `json:"to" doc:"event time, exclusive"`
	Seq        int64           `json:"seq" doc:"definitions that the draft is laid over"`
	Changes    int             `json:"changes" doc:"definitions that the draft changes"`
	Activities int64           `json:"activities" doc:"read so far, those of whole billing periods"`
	Total      int64           `json:"activities_total" doc:"to be read; 0: not known yet"`
	Error      string          `json:"error,omitempty"`
	Result     *BacktestResult `json:"result,omitempty" doc:"when it is done"`
}

// BacktestResult is what the usage was charged and what it would have been charged: usage only.
type BacktestResult struct {
	Accounts int               `json:"accounts" doc:"with usage in the billing periods that were read"`
	Rows     int               `json:"rows" doc:"by account and product, see the call for rows"`
	LeftOut  int               `json:"rows_left_out" doc:"beyond what is kept; the sums count them"`
	Totals   []BacktestRow     `json:"totals" doc:"by currency"`
	Products []BacktestRow     `json:"products" doc:"summed over accounts"`
	Largest  []BacktestRow     `json:"largest_changes" doc:"accounts whose revenue changes most, the largest change first"`
	Unrated  []BacktestUnrated `json:"unrated" doc:"usage that the draft cannot rate, which is not in after"`
	Notes    []string          `json:"notes" doc:"what to know to read the figures"`
}

// BacktestRow compares; members that it is summed over are absent.
type BacktestRow struct {
	Account       string         `json:"account,omitempty" doc:"who used"`
	Product       string         `json:"product,omitempty"`
	Currency      string         `json:"currency"`
	Events        int64          `json:"events"`
	Before        money.Fixed    `json:"before" doc:"as rated, adjustments included"`
	After         money.Fixed    `json:"after" doc:"under the draft, of the events that it can rate"`
	Difference    money.Fixed    `json:"difference" doc:"after less before"`
	Percent       *money.Decimal `json:"percent" doc:"of before, two decimals; null: before is 0"`
	Unrated       int64          `json:"unrated" doc:"events that the draft cannot rate"`
	UnratedBefore money.Fixed    `json:"unrated_before" doc:"what was charged for these, a part of before"`
}

// BacktestUnrated is usage that the draft cannot rate.
type BacktestUnrated struct {
	Reason   string      `json:"reason" doc:"as of rejected usage: no_rate …"`
	Product  string      `json:"product"`
	Currency string      `json:"currency"`
	Events   int64       `json:"events"`
	Before   money.Fixed `json:"before" doc:"what was charged for it"`
}
