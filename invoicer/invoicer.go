// Package invoicer shows and, later, closes invoices. Today it assembles the current invoice of an
// account: the lines that raters keep, their way to the next tier, the forecast to the period's end.
//
// It imports ledger/money, rater/catalog, rater/price, rater/activity and rater for their types, no driver:
// what it reads comes through small interfaces. Amounts are exact decimals with 12 places; nothing here rounds
// to a currency's minor unit except where a page shows a total, and says so.
package invoicer

import (
	"time"

	"github.com/tollstream/tollstream/ledger/money"
)

// State is where an invoice is in its life.
type State string

// The states of an invoice that exist so far.
const (
	StateCurrent State = "CURRENT"
	StateSealed  State = "SEALED"
)

// Invoice is an account's invoice of one period as it stands now. Its JSON is the public contract.
//
// An account that is billed to its parent has no invoice of its own. It sees its part of the parent's: the
// parent's id and period, the lines that it and the accounts below it used, and their total; BilledAccount
// names who is invoiced. So what a child may see never shows what its siblings used.
type Invoice struct {
	ID            string      `json:"id" doc:"of the invoice that the lines stand on"`
	Account       string      `json:"account" doc:"whose view this is"`
	AccountName   string      `json:"account_name,omitempty"`
	BilledAccount string      `json:"billed_account" doc:"who is invoiced: the account itself, or the parent that it is billed to"`
	BilledName    string      `json:"billed_name,omitempty"`
	State         State       `json:"state" enum:"CURRENT,SEALED"`
	Currency      string      `json:"currency"`
	TimeZone      string      `json:"time_zone"`
	Period        Period      `json:"period"`
	Total         money.Fixed `json:"total" doc:"sum of the lines, 12 decimals"`
	Lines         []Line      `json:"lines"`
	RatedThrough  time.Time   `json:"rated_through" doc:"every event that arrived before it is in"`
	Forecast      *Forecast   `json:"forecast,omitempty"`

	Version int64 `json:"-"` // View.Version
}

// Period is a billing period, half open, in the account's zone.
type Period struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// Line is what an account used of one product under one key.
type Line struct {
	ID           string            `json:"id"`
	UsageAccount string            `json:"usage_account" doc:"who used"`
	UsageName    string            `json:"usage_account_name,omitempty"`
	Product      string            `json:"product"`
	ProductName  string            `json:"product_name,omitempty"`
	Unit         string            `json:"unit,omitempty"`
	Package      *string           `json:"package"`
	Attributes   map[string]string `json:"attributes"`
	Quantity     money.Decimal     `json:"quantity"`
	Events       int64             `json:"events"`
	Amount       money.Fixed       `json:"amount"`
	UsagePeriod  *Period           `json:"usage_period,omitempty" doc:"of late usage and of corrections: the period that it belongs to"`
	Corrects     *Corrected        `json:"corrects,omitempty" doc:"the line is what a line of a closed invoice would have differed by, rated anew"`
	Rate         LineRate          `json:"rate"`
	Next         *NextStep         `json:"next,omitempty"`
}

// Corrected is a line of a closed invoice, which stays as it is.
type Corrected struct {
	Invoice string `json:"invoice"`
	Line    string `json:"line"`
}

// LineRate says where a line's price comes from.
type LineRate struct {
	Level   string `json:"level" doc:"of the pricing hierarchy, or correction"`
	Account string `json:"account,omitempty"`
	ID      string `json:"id"`
	Model   string `json:"model"`
}

// NextStep is the way to the next tier or the next package of units.
type NextStep struct {
	From      money.Decimal  `json:"from"`                 // where the step began
	UpTo      *money.Decimal `json:"up_to,omitempty"`      // where it ends; none: the last tier
	UnitPrice *money.Decimal `json:"unit_price,omitempty"` // of the next unit
	Then      *money.Decimal `json:"then,omitempty"`       // unit price after UpTo
}

// Forecast is an honest guess of the total at the period's end, from the pace of the last days, as a range.
type Forecast struct {
	Low  money.Fixed `json:"low"`
	High money.Fixed `json:"high"`
	Days int         `json:"days"` // that it is made from
}
