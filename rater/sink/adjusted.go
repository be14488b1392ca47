package sink

import (
	"context"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
)

// Adjustments tells what definitions did to lines that had been rated before.
type Adjustments interface {
	// Adjusted lists lines in the order of account, product and line, or sums of them in the order of account and currency. The cursor goes on
	// after the last row; it is empty when nothing is left.
	Adjusted(ctx context.Context, q AdjustedQuery) (rows []Adjusted, next string, err error)
}

// MaxAdjusted bounds what one question returns.
const MaxAdjusted = 1_000

// AdjustedQuery asks for the adjustments that follow the definitions of a sequence number: those of the job that rated usage anew, and those of
// lines that usage fell on before it.
type AdjustedQuery struct {
	Seq       int64
	Account   string // who used; empty: everybody
	ByAccount bool   // the lines of an account are summed up
	Limit     int    // 0: 100; more than MaxAdjusted: MaxAdjusted
	After     string // cursor
}

// Adjusted is a line, or an account's lines in a currency. Of the latter Billed, Product, Package, Line and UsageStart are empty.
type Adjusted struct {
	Account, Billed, Product, Package, Currency string
	Line                                        activity.ID
	UsageStart                                  int64 // of the period of the usage, an instant
	Lines                                       int64
	After                                       money.Decimal // behind the last adjustment
	Difference                                  money.Decimal // of all adjustments
}

// Before is what the lines would have been by then.
func (a *Adjusted) Before() (money.Decimal, error) { return a.After.Sub(a.Difference) }

// Keys are the row's values in the order of the list.
func (a *Adjusted) Keys(byAccount bool) []string {
	if byAccount {
		return []string{a.Account, a.Currency}
	}
	return []string{a.Account, a.Product, a.Line.String()}
}
