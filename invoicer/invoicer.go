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

// Invoice is the invoice of one billed account and period as it stands now. Its JSON is the public contract.
type Invoice struct {
	ID           string      `json:"id"`
	Account      string      `json:"account"` // who is invoiced
	AccountName  string      `json:"account_name,omitempty"`
	State        State       `json:"state"`
	Currency     string      `json:"currency"`
	TimeZone     string      `json:"time_zone"`
	Period       Period      `json:"period"`
	Total        money.Fixed `json:"total"` // 12 decimals
	Lines        []Line      `json:"lines"`
	RatedThrough time.Time   `json:"rated_through"` // every event that arrived before it is in
	Forecast     *Forecast   `json:"forecast,omitempty"`
}

// Period is a billing period, half open, in the account's zone.
type Period struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// Line is what an account used of one product under one key.
type Line struct {
	ID           string            `json:"id"`
	UsageAccount string            `json:"usage_account"`
	Product      string            `json:"product"`
	ProductName  string            `json:"product_name,omitempty"`
	Unit         string            `json:"unit,omitempty"`
	Package      *string           `json:"package"`
	Attributes   map[string]string `json:"attributes"`
	Quantity     money.Decimal     `json:"quantity"`
	Events       int64             `json:"events"`
	Amount       money.Fixed       `json:"amount"`
	UsagePeriod  *Period           `json:"usage_period,omitempty"` // late usage: the period that it belongs to
	Rate         LineRate          `json:"rate"`
	Next         *NextStep         `json:"next,omitempty"`
}

// LineRate says where a line's price comes from.
type LineRate struct {
	Level   string `json:"level"` // a catalog.Level
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
