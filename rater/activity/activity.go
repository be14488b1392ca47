// Package activity is the language of the `rated` topic: what rating one usage record resulted in,
// and the rule by which any reader follows the topic.
//
// It imports ledger/money and collector/usage. Invariants: encoding is
// deterministic, so a replay writes the same bytes; exactly one valid record stands for each usage
// record; positions are (partition, offset, index) of the usage record and never change.
package activity

import (
	"strconv"
	"strings"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
)

// PricingVersion is the version of the pricing code. Raise it with every change that alters a
// charge: a replay under another version stops before it writes anything. Since 4 pools follow the lines that share them when these
// are rated anew or take over a level, and an answered correction says up to where it leaves its event out.
const PricingVersion = 4

// Record is the result of one usage record.
type Record struct {
	Offset     int64 // of the usage record
	Previous   int64 // offset of the usage record before it, -1 for the first
	Version    uint32
	LogTime    int64 // instant
	Duplicates int
	Activities []Activity
	Rejected   []Rejected
}

// Kind says why an activity exists.
type Kind uint8

// The kinds of activities.
const (
	KindUsage      Kind = 1 // a usage event was rated
	KindAdjustment Kind = 2 // a line was priced anew under newer definitions
)

// causePrefix begins the source of an adjustment that a job made.
const causePrefix = "definition:"

// CauseOf is the source of an adjustment that a job made, which follows the definitions of a sequence number.
func CauseOf(seq int64) string { return causePrefix + strconv.FormatInt(seq, 10) }

// CausedBy reads what CauseOf wrote.
func CausedBy(source string) (seq int64, ok bool) {
	text, ok := strings.CutPrefix(source, causePrefix)
	if !ok {
		return 0, false
	}
	seq, err := strconv.ParseInt(text, 10, 64)
	return seq, err == nil
}

// Activity is one charge: a usage event's, or an adjustment of a line. What many activities have in common they share;
// it must not be changed.
type Activity struct {
	Kind  Kind
	Index int // its place in the record, from 0

	EventID    string // of the usage event; empty for adjustments
	Source     string
	EventTime  int64       // instant; an adjustment's is the start of its line's own period
	Attributes []Attribute // all that the event carried

	Quantity   money.Decimal // zero for adjustments
	Charge     money.Decimal // 12 decimals
	LineAmount money.Decimal // of the line after this charge

	Extra *Extra // nil: it has none, see Sent

	*Terms
	*Target
}

// Extra is what few usage events bring along.
type Extra struct {
	EventPackage   string        // that the event named
	Amount         money.Decimal // as the event sent it, in AmountCurrency
	HasAmount      bool
	AmountCurrency string
	AmountExchange Exchange  // turned the amount into the rate's currency
	Corrects       EventName // the event that it corrects; empty: none
	CorrectsBelow  int64     // … as far as it stands at an offset below, where it was left out; 0: it was not
}

// Sent gives what the activity has besides; the zero Extra for most.
func (a *Activity) Sent() Extra {
	if a.Extra == nil {
		return Extra{}
	}
	return *a.Extra
}

// Exchange is an exchange rate that a price rests on. The zero one says that there was none.
type Exchange = money.Exchange

// Terms are what an activity shares with others of the same product, period and rate.
type Terms struct {
	Seller   string
	Product  string
	Package  string
	Currency string

	Level        string // of the pricing hierarchy, a catalog.Level
	RateAccount  string // the account that owns the rate; empty for defaults
	RateID       string
	RateSeq      int64 // sequence number of the definition
	RateModel    string
	ActivatedSeq int64 // under which the line was priced

	PeriodStart int64 // of the invoice that is charged
	PeriodEnd   int64
	UsageStart  int64 // the period that the usage belongs to; differs from PeriodStart for late usage
	UsageEnd    int64

	// Of a rate in another currency than the line's: that currency, and what turned its prices into the line's.
	RateCurrency string
	RateExchange Exchange
}

// Target is the line that is charged, and whose it is.
type Target struct {
	Account string
	Billed  string      // the account that is invoiced
	Group   []Attribute // the values of the product's group_by
	Invoice ID
	Line    ID
	// Plain says that both ids follow from the other members and the terms, see Follows: the usual case, in which the record leaves
	// them out.
	Plain bool
}

// Follows says whether the target's ids are those of the line that usage of the period itself falls on.
func (t *Target) Follows(terms *Terms) bool {
	invoice, line := t.derived(terms)
	return t.Invoice == invoice && t.Line == line
}

func (t *Target) derived(terms *Terms) (invoice, line ID) {
	invoice = InvoiceID(terms.Seller, t.Billed, terms.PeriodStart)
	family := FamilyID(terms.Seller, t.Account, terms.Product, terms.Package, t.Group, t.Billed, terms.UsageStart)
	return invoice, LineID(family, invoice)
}

// Attribute is a name and a value, as the usage event carried it.
type Attribute = usage.Attribute

// EventName names a usage event.
type EventName = usage.EventName

// Rejected is a usage event that could not be rated; its content is kept with the checkpoint.
type Rejected struct {
	EventIndex int // of the event in the usage record
	Reason     string
	EventID    string
	Source     string
	EventTime  int64
	Account    string
}

// ID is a 128-bit identifier: of an invoice (seller, billed account, period start) or of a line.
type ID [16]byte
