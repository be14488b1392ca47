package pages

import (
	"context"
	"errors"
	"time"

	"github.com/tollstream/tollstream/invoicer"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price"
)

// What a source answers instead of data. Anything else is shown as a failure of ours, and logged.
var (
	ErrNotFound    = errors.New("not found")
	ErrForbidden   = errors.New("not allowed")
	ErrUnavailable = errors.New("a store does not answer")
)

// Customer reads what a customer's pages show. Every call is read only and may be repeated.
type Customer interface {
	// CustomerInvoice returns an account's invoice with what the page shows around it. The period is a
	// date (2026-11-01, a day of the account's zone inside it); "" is the current period. ErrNotFound
	// when the account is unknown. A known account without usage has an invoice without lines.
	CustomerInvoice(ctx context.Context, account, period string) (*Overview, error)
	// Line returns one line of the account's invoices, explained. ErrNotFound when no such line is on an
	// invoice of the account.
	Line(ctx context.Context, account, line string) (*LineDetail, error)
	// Activities returns a page of the usage behind a line, newest event time first. The cursor is ""
	// for the first page, otherwise the Next of the page before.
	Activities(ctx context.Context, account, line string, filter ActivityFilter, cursor string) (*ActivityPage, error)
}

// Charges explains activities; a Customer that does has pages for them.
type Charges interface {
	// Charge returns an activity of the account, or of one below it, explained. ErrNotFound when there is none.
	Charge(ctx context.Context, account, id string) (*invoicer.ChargeDetail, error)
}

// Watcher tells when an account's invoice may have changed.
type Watcher interface {
	// Watch returns a channel that receives after every change of the account's current invoice, until
	// the context ends; then it is closed. Changes may be joined: a receiver reads the whole state again.
	Watch(ctx context.Context, account string) (<-chan struct{}, error)
}

// Operator reads what the operator's pages show.
type Operator interface {
	// Status returns the stages, the stores, what was rejected, and the collectors, as of now.
	Status(ctx context.Context) (*Status, error)
	// Runs returns a page of a collector's runs, newest first; collector "" means those of all.
	Runs(ctx context.Context, collector, cursor string) (*RunPage, error)
	// Event returns the way of every usage event of that source and id (source "" means any); an event
	// that nobody has seen has none.
	Event(ctx context.Context, source, id string) ([]EventWay, error)
}

// Rejections reads rejected usage and tries it again.
type Rejections interface {
	// Rejected returns a page of rejected usage that is not retried yet, newest arrival first.
	Rejected(ctx context.Context, filter RejectedFilter, cursor string) (*RejectedPage, error)
	// RetryRejected puts the rejected usage that the filter matches (an empty one: all) back into the
	// log and returns how many events that were. An event is never retried twice for one rejection.
	RetryRejected(ctx context.Context, filter RejectedFilter) (int64, error)
}

// Overview is an account's invoice with what the page shows around it. Times are in the account's zone.
type Overview struct {
	Invoice  invoicer.Invoice `json:"invoice"`
	Parent   *AccountRef      `json:"parent,omitempty"` // nil: a root, or the viewer may not see it
	Children []Child          `json:"children"`         // direct and deeper ones, in tree order
	Periods  []PeriodChoice   `json:"periods"`          // that have an invoice, newest first

	Days         []DayCharges `json:"days"`          // of this period, in order; days without usage may be absent
	PreviousDays []DayCharges `json:"previous_days"` // of the period before; empty: there was none

	Prices      []Price    `json:"prices"`
	Recent      []Movement `json:"recent"` // newest first, at most 20
	RecentSince time.Time  `json:"recent_since"`
}

// AccountRef names an account.
type AccountRef struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Child is an account below the one shown.
type Child struct {
	ID       string      `json:"id"`
	Name     string      `json:"name"`
	Depth    int         `json:"depth"`    // 1: a direct child
	Invoiced bool        `json:"invoiced"` // it has an invoice of its own; otherwise its usage is on this one
	Currency string      `json:"currency"`
	Total    money.Fixed `json:"total"` // of its own invoice, or of its lines on this one
}

// PeriodChoice is a period that can be looked at.
type PeriodChoice struct {
	Period  invoicer.Period `json:"period"`
	Total   money.Fixed     `json:"total"`
	Current bool            `json:"current"`
}

// DayCharges is what one day of event time cost, by product.
type DayCharges struct {
	Day     string          `json:"day"` // 2026-11-03, in the account's zone
	Charges []ProductCharge `json:"charges"`
}

// ProductCharge is what a product cost.
type ProductCharge struct {
	Product string      `json:"product"`
	Amount  money.Fixed `json:"amount"`
}

// Price is an entry of an account's own price list: the rate that would price a usage event now.
type Price struct {
	Product     string        `json:"product"`
	ProductName string        `json:"product_name"`
	Unit        string        `json:"unit"`
	Package     string        `json:"package,omitempty"` // that the price is inside of; "": none
	Rate        *catalog.Rate `json:"rate"`              // its Level and OwnerAccount say where it comes from
	OwnerName   string        `json:"owner_name"`        // name of the contract, rate class or package that holds it; "": its id is shown
	AccountName string        `json:"account_name"`      // of Rate.OwnerAccount where that is another account: an inherited price
}

// Movement is what happened to one line since Overview.RecentSince.
type Movement struct {
	Line         string            `json:"line"`
	UsageAccount string            `json:"usage_account"`
	Product      string            `json:"product"`
	ProductName  string            `json:"product_name"`
	Unit         string            `json:"unit"`
	Attributes   map[string]string `json:"attributes"`
	Quantity     money.Decimal     `json:"quantity"`
	Events       int64             `json:"events"`
	Charge       money.Fixed       `json:"charge"`
	Last         time.Time         `json:"last"` // arrival of its newest event
}

// LineDetail is a line with its explanation.
type LineDetail struct {
	Account     string            `json:"account"` // that the page was asked for
	AccountName string            `json:"account_name"`
	Currency    string            `json:"currency"`
	TimeZone    string            `json:"time_zone"`
	Period      invoicer.Period   `json:"period"` // of the invoice
	State       invoicer.State    `json:"state"`
	Line        invoicer.Line     `json:"line"`
	Explanation price.Explanation `json:"explanation"`
	Shared      []invoicer.Shared `json:"shared,omitempty"` // what the line has of tiers that it shares with others, which its explanation says nothing of
	Rates       []SegmentRate     `json:"rates"`            // one for each of the explanation's segments, in its order
	Asked       []LevelStep       `json:"asked"`            // the levels in the order in which they were asked, up to the one that answered
	Facets      []Facet           `json:"facets"`           // attributes that the usage can be filtered by
	Days        []string          `json:"days"`             // days with usage, 2026-11-03, in order
}

// SegmentRate is the rate of a segment and the time that it priced.
type SegmentRate struct {
	Rate       *catalog.Rate `json:"rate"`
	Start, End time.Time     // inside the period; zero: from its start, to its end
}

// LevelStep is one level of the pricing hierarchy that was asked.
type LevelStep struct {
	Level       catalog.Level `json:"level"`
	Account     string        `json:"account,omitempty"` // whose level it is; "": of none
	AccountName string        `json:"account_name,omitempty"`
	RateID      string        `json:"rate,omitempty"` // that answered, or was passed over
	Why         string        `json:"why"`            // a sentence
	Answered    bool          `json:"answered"`
}

// Facet is an attribute with the values that the line's usage has, the most frequent first, at most 50.
type Facet struct {
	Name   string   `json:"name"`
	Values []string `json:"values"`
}

// ActivityFilter narrows the usage behind a line. Empty members match everything.
type ActivityFilter struct {
	Day        string            // 2026-11-03, of event time in the account's zone
	Attributes map[string]string // equal, all of them
	Limit      int               // rows a page, at most 1,000
}

// ActivityPage is a page of the usage behind a line.
type ActivityPage struct {
	Rows     []Activity     `json:"data"`
	Next     string         `json:"next,omitempty"`     // "": the last page
	Events   int64          `json:"events"`             // that match; -1: not counted
	Quantity *money.Decimal `json:"quantity,omitempty"` // of all that match; nil: not summed
	Charge   *money.Fixed   `json:"charge,omitempty"`   // of all that match; nil: not summed
}

// Activity is one charge behind a line.
type Activity struct {
	Time       time.Time         `json:"time"`               // of the event
	ID         string            `json:"activity,omitempty"` // by which it is explained; "": it is not
	Adjustment bool              `json:"adjustment"`
	Source     string            `json:"source"`
	EventID    string            `json:"id"`
	Attributes map[string]string `json:"attributes"`
	Quantity   money.Decimal     `json:"quantity"`
	Charge     money.Fixed       `json:"charge"`
	RateID     string            `json:"rate"`
	LineAmount money.Fixed       `json:"line_amount"` // of the line after this charge
}
