package invoicer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
)

// What a question about an invoice is answered with when there is no answer.
var (
	ErrAccountUnknown = errors.New("account is unknown")
	ErrProductUnknown = errors.New("product is unknown")
	ErrLineUnknown    = errors.New("line is unknown")
	ErrNoPrice        = errors.New("no rate prices this")
	ErrTooMuch        = errors.New("too much at once")
	ErrChargeUnknown  = errors.New("activity is unknown")
	// ErrNotLive says that the live view is missing or being rebuilt; the durable one answers instead.
	ErrNotLive = errors.New("live view is not complete")
)

// Ref names the invoice of a billed account and period.
type Ref struct {
	ID     activity.ID
	Seller string
	Billed string
	Period catalog.Period
}

// View is what a store knows of one invoice.
type View struct {
	Lines []rater.LineState // in any order
	// RatedThrough is the smallest log time of the partitions that the invoice's accounts live on; a
	// partition that is idle and caught up counts as now.
	RatedThrough int64
	// Version grows with every change of a line of the invoice, in whatever store it is read: the sum, over the
	// partitions, of the highest LineState.Version on each. 0: no line yet.
	Version int64
	// Sealed says that the period is sealed on every partition that carries lines.
	Sealed bool
}

// Reader reads an invoice's lines from all partitions. An invoice that nobody has charged has an empty
// view and no error. The live reader answers ErrNotLive while a partition's head is missing or rebuilding; any
// other failure of it is treated the same way. Reads may be repeated.
type Reader interface {
	Read(ctx context.Context, ref Ref) (View, error)
}

// Definitions reads definitions as of a sequence number; CurrentSeq is the newest that is committed, SeqAt the newest that
// was committed by the instant, 0: none. Answers may be cached and shared.
type Definitions interface {
	rater.Definitions
	CurrentSeq(ctx context.Context) (int64, error)
	SeqAt(ctx context.Context, t time.Time) (int64, error)
}

// Tree answers what cannot be read off an account's own chain.
type Tree interface {
	// Children returns the ids of the accounts right below the account now, ordered, at most limit after the given id.
	Children(ctx context.Context, account, after string, limit int) ([]string, error)
	// ResolveAccount returns the id of the account that has this id or, at the instant, this identifier; "" when none has.
	ResolveAccount(ctx context.Context, name string, at int64) (string, error)
}

// Pools reads what shares tiers as it is committed; a pool that nothing was used in is absent, one on several partitions is there for each.
type Pools interface {
	PoolsOf(ctx context.Context, pools []activity.ID) ([]rater.PoolState, error)
}

// Values reads distinct values as they are committed, which may be a second behind the live lines; one that was not counted is absent.
type Values interface {
	ValuesOf(ctx context.Context, values []rater.ValueKey) ([]rater.ValueState, error)
}

// DailyQuery asks for charges by day of event time in the zone: of usage by the accounts, on invoices of the
// billed account, for events in [From, To).
type DailyQuery struct {
	Billed   string
	Accounts []string // nil: all that are billed to Billed
	Zone     *time.Location
	From, To time.Time
}

// DayCharge is what one product cost on one day of the zone.
type DayCharge struct {
	Day     string // 2026-11-03
	Product string
	Charge  money.Decimal
}

// DailyCharges reads them from the report store, ordered by day and product; days without charges are absent.
type DailyCharges interface {
	DailyCharges(ctx context.Context, q DailyQuery) ([]DayCharge, error)
}

// Place is an activity's id: the partition and the offset of its usage record, and its index in the record of the result.
type Place struct {
	Partition int32
	Offset    int64
	Index     int
}

// String writes partition-offset-index.
func (p Place) String() string { return fmt.Sprintf("%d-%d-%d", p.Partition, p.Offset, p.Index) }

// ParsePlace reads what String writes. Errors: ErrChargeUnknown.
func ParsePlace(text string) (p Place, err error) {
	if _, err = fmt.Sscanf(text, "%d-%d-%d", &p.Partition, &p.Offset, &p.Index); err != nil || p.String() != text || p.Partition < 0 || p.Offset < 0 || p.Index < 0 {
		return Place{}, fmt.Errorf("activity %q: %w: an id is partition-offset-index, such as 3-18231-0", text, ErrChargeUnknown)
	}
	return p, nil
}

// compare orders places of one partition as the log has them.
func (p Place) compare(q Place) int {
	return cmp.Or(cmp.Compare(p.Offset, q.Offset), cmp.Compare(p.Index, q.Index))
}

// Charged is a rated activity with its place in the log.
type Charged struct {
	Place
	LogTime int64 // instant
	activity.Activity
}

// HistoryQuery asks for activities with event times in [From, To), of an account or on an invoice.
type HistoryQuery struct {
	Account, Product string      // "": all
	Invoice          activity.ID // zero: any
	Line             activity.ID // zero: of all lines
	From, To         int64       // 0: open
	After            *Place      // the last one of the page before; nil: from the first on
	Limit            int
}

// History reads rated activities where reports are kept.
type History interface {
	// Charge returns the activity at the place, nil where there is none; an account that is named makes it faster to find.
	Charge(ctx context.Context, at Place, account string) (*Charged, error)
	// Charges returns a page of activities in log order.
	Charges(ctx context.Context, q HistoryQuery) ([]Charged, error)
}
