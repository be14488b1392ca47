package sink

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
)

// Reports answers what people ask. Every activity counts once in its answers.
type Reports interface {
	// Totals sums usage and revenue, ordered by the query's groups, then currency. The cursor goes on after
	// the last row; it is empty when nothing is left.
	Totals(ctx context.Context, q TotalsQuery) (rows []Total, next string, err error)
	// Activities lists activities. The cursor goes on after the last one.
	Activities(ctx context.Context, q ActivitiesQuery) (rows []Row, next string, err error)
}

// ErrQuery marks what the asker did wrong; its text says what and what to do.
var ErrQuery = errors.New("the report cannot be made")

// Bounds of what one question returns.
const (
	MaxTotals     = 100_000
	MaxActivities = 1_000
	MaxReportDays = 3_700 // of a report by day
)

// Group is what totals are split by.
type Group string

// The groups, by their public names.
const (
	GroupAccount Group = "account"
	GroupBilled  Group = "billed"
	GroupProduct Group = "product"
	GroupPackage Group = "package"
	GroupDay     Group = "day" // in the query's zone
)

// Filter narrows a question. Empty members do not.
type Filter struct {
	Accounts    []string // who used: any of these
	Billed      string   // who is invoiced
	Product     string
	Package     string
	Currency    string
	Invoice     activity.ID
	Line        activity.ID
	EventID     string
	Source      string
	Attributes  []activity.Attribute // that the event must all carry, with these values
	From, To    int64                // event time in [From, To), instants; 0: open
	At          *Place               // the one at this place of the log; nil: any
	Corrections bool                 // usage events that correct others
}

// TotalsQuery asks for sums. Amounts of different currencies are never added up, so the currency is always a group.
type TotalsQuery struct {
	Filter
	Groups []Group
	Zone   *time.Location // of days; nil: UTC
	Limit  int            // 0 or more than MaxTotals: MaxTotals
	After  string         // cursor
}

// Total is one row of a report; members that are not grouped by are empty.
type Total struct {
	Account  string        `json:"account,omitempty"`
	Billed   string        `json:"billed,omitempty"`
	Product  string        `json:"product,omitempty"`
	Package  *string       `json:"package,omitempty"` // "" is usage outside of any package
	Day      string        `json:"day,omitempty"`     // 2026-11-21
	Currency string        `json:"currency"`
	Events   int64         `json:"events"` // usage events; adjustments are none
	Quantity money.Decimal `json:"quantity"`
	Revenue  money.Decimal `json:"revenue"` // charges and adjustments, 12 decimals
}

func (q TotalsQuery) validateGroups() error {
	for i, g := range q.Groups {
		switch g {
		case GroupAccount, GroupBilled, GroupProduct, GroupPackage, GroupDay:
		default:
			return fmt.Errorf("%w: it cannot be grouped by %q; use account, billed, product, package or day", ErrQuery, g)
		}
		for _, earlier := range q.Groups[:i] {
			if earlier == g {
				return fmt.Errorf("%w: group %q is named twice; name it once", ErrQuery, g)
			}
		}
	}
	return nil
}

// Validate says what is wrong with the question.
func (q TotalsQuery) Validate() error {
	if err := q.validateGroups(); err != nil {
		return err
	}
	if err := q.Filter.validate(); err != nil {
		return err
	}
	for _, g := range q.Groups {
		if g != GroupDay {
			continue
		}
		if q.From == 0 || q.To == 0 {
			return fmt.Errorf("%w: a report by day needs from and to", ErrQuery)
		}
		if days := (q.To/int64(24*time.Hour) - q.From/int64(24*time.Hour)); days > MaxReportDays {
			return fmt.Errorf("%w: %d days are more than the %d of one report by day; ask for less time", ErrQuery, days, MaxReportDays)
		}
	}
	return nil
}

func (f Filter) validate() error {
	if f.From != 0 && f.To != 0 && f.To <= f.From {
		return fmt.Errorf("%w: to must lie after from", ErrQuery)
	}
	return nil
}

// Location returns the zone of days.
func (q TotalsQuery) Location() *time.Location {
	if q.Zone == nil {
		return time.UTC
	}
	return q.Zone
}

// ActivitiesQuery asks for activities in log order, or by event time with the newest first.
type ActivitiesQuery struct {
	Filter
	Newest bool
	Limit  int    // 0: 100; more than MaxActivities: MaxActivities
	After  string // cursor
}

// Validate says what is wrong with the question.
func (q ActivitiesQuery) Validate() error { return q.Filter.validate() }

// Place is an activity's place in the log.
type Place struct {
	Partition int32
	Offset    int64
	Index     int
}

// String writes the place as partition-offset-index.
func (p Place) String() string { return fmt.Sprintf("%d-%d-%d", p.Partition, p.Offset, p.Index) }

// Place returns the row's place in the log.
func (r *Row) Place() Place {
	return Place{Partition: r.Partition, Offset: r.Offset, Index: r.Activity.Index}
}

// Cursor writes where a list goes on after the row.
func (r *Row) Cursor(newest bool) string {
	if !newest {
		return r.Place().String()
	}
	return fmt.Sprintf("%d_%s", r.Activity.EventTime, r.Place())
}

// ParseCursor reads what Cursor wrote; ok is false for an empty cursor.
func ParseCursor(cursor string, newest bool) (p Place, eventTime int64, ok bool, err error) {
	if cursor == "" {
		return Place{}, 0, false, nil
	}
	if newest {
		_, err = fmt.Sscanf(cursor, "%d_%d-%d-%d", &eventTime, &p.Partition, &p.Offset, &p.Index)
	} else {
		_, err = fmt.Sscanf(cursor, "%d-%d-%d", &p.Partition, &p.Offset, &p.Index)
	}
	r := Row{Partition: p.Partition, Offset: p.Offset, Activity: activity.Activity{Index: p.Index, EventTime: eventTime}}
	if err != nil || r.Cursor(newest) != cursor {
		return Place{}, 0, false, fmt.Errorf("%w: cursor %q is not one that this list returned; start again without it", ErrQuery, cursor)
	}
	return p, eventTime, true, nil
}

// Keys are a total's values in the order of the groups, with the currency last; days are YYYY-MM-DD.
func (t *Total) Keys(groups []Group) []string {
	keys := make([]string, 0, len(groups)+1)
	for _, g := range groups {
		keys = append(keys, *t.member(g))
	}
	return append(keys, t.Currency)
}

// SetKey sets the member of a group.
func (t *Total) SetKey(g Group, value string) {
	if g == GroupPackage {
		t.Package = &value
		return
	}
	*t.member(g) = value
}

func (t *Total) member(g Group) *string {
	switch g {
	case GroupAccount:
		return &t.Account
	case GroupBilled:
		return &t.Billed
	case GroupProduct:
		return &t.Product
	case GroupPackage:
		if t.Package == nil {
			t.Package = new(string)
		}
		return t.Package
	case GroupDay:
		return &t.Day
	}
	panic(fmt.Sprintf("bug: group %q was not validated", g))
}

// KeysCursor writes keys as a cursor.
func KeysCursor(keys []string) string {
	b, err := json.Marshal(keys)
	if err != nil {
		panic(fmt.Sprintf("bug: strings cannot be written as JSON: %v", err))
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseKeys reads what KeysCursor wrote for n keys; nil for an empty cursor.
func ParseKeys(cursor string, n int) ([]string, error) {
	if cursor == "" {
		return nil, nil
	}
	var keys []string
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		err = json.Unmarshal(b, &keys)
	}
	if err != nil || len(keys) != n {
		return nil, fmt.Errorf("%w: the cursor is not one that this report returned; start again without it", ErrQuery)
	}
	return keys, nil
}
