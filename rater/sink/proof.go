package sink

import (
	"context"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
)

// Proof answers what reconciliation asks. Every activity counts once in its answers. Bounds name, per
// partition, the usage offset that the answer stops before; partitions without a bound are left out.
type Proof interface {
	// SumByMonth sums a UTC month of event time, ordered by partition and currency.
	SumByMonth(ctx context.Context, month int32, below map[int32]int64) ([]MonthSum, error)
	// SumByOffset sums a month of one partition for each usage offset in [from, below) that has activities,
	// in order, at most limit rows; rows of one offset never end at the limit unless limit is below their number.
	SumByOffset(ctx context.Context, partition, month int32, from, below int64, limit int) ([]OffsetSum, error)
	// Invoices lists the invoices that the month's activities charge, in the order of their ids, after the given one.
	Invoices(ctx context.Context, month int32, below map[int32]int64, after activity.ID, limit int) ([]activity.ID, error)
	// SumByLine sums the activities of all months of these invoices, ordered by invoice, line and partition.
	SumByLine(ctx context.Context, invoices []activity.ID, below map[int32]int64) ([]LineSum, error)
	// LineActivities lists a line's activities on one partition in log order, after the place, below the bound.
	LineActivities(ctx context.Context, partition int32, line activity.ID, after Place, below int64, limit int) ([]Row, error)
}

// MonthSum is the sum of a month on one partition.
type MonthSum struct {
	Partition int32
	Currency  string
	Events    int64 // usage events; adjustments are none
	Charged   money.Decimal
}

// OffsetSum is the sum of one usage record's activities of a month.
type OffsetSum struct {
	Offset   int64
	Currency string
	Events   int64
	Charged  money.Decimal
}

// LineSum is the sum of a line's activities.
type LineSum struct {
	Partition  int32
	Invoice    activity.ID
	Line       activity.ID
	Currency   string
	Activities int64
	Charged    money.Decimal
}
