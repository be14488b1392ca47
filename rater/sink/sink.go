// Package sink carries rated activity from the `rated` topic into the report store, so that every
// activity stands there exactly once, and says which questions a report store answers.
//
// It may import collector/usage, ledger/money, rater/activity and a metrics registry, never a driver: the stores
// (sink/clickhouse, sink/postgres) and the broker (sink/kafka) import it. Invariants:
//
//   - A record of `rated` is taken by the rule of [activity.Follow] only.
//   - Per (partition, month) the store holds a prefix of the activities in log order, because blocks are
//     inserted in order, a block never splits a usage offset, and what lies at or below the store's own
//     highest offset is dropped.
//   - The position is stored only after every insert before it was acknowledged; it never moves back.
//   - Only the holder of the lease inserts. One that slept through its lease may insert a block a second
//     time; the stores' keys (account, product, partition, offset, index) take that out again.
//
// [Sink.Step] reads no clock but the injected one and starts no goroutine, so that a simulation can drive it.
package sink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tollstream/tollstream/rater/activity"
)

// Position is how far the sink has come on one partition.
type Position struct {
	Partition int32
	Next      int64 // offset in `rated` to read next
	Last      int64 // usage offset of the last record taken, -1 before the first
}

// Mark is the highest usage offset that the store holds of one partition and UTC month of event time.
type Mark struct {
	Partition int32
	Month     int32 // see MonthOf
	Offset    int64
}

// Row is one activity with its place in the log.
type Row struct {
	Partition int32
	Offset    int64 // of the usage record; the index is the activity's
	LogTime   int64 // instant
	Activity  activity.Activity
}

// Block is what is inserted at once: activities of one UTC month of event time, in log order per partition.
type Block struct {
	Month int32
	Rows  []Row
}

// Store takes in activities. Insert is atomic for a block, returns when the block is durable, and may be
// repeated: a key that is there already counts once. The sink retries errors with backoff.
type Store interface {
	Insert(ctx context.Context, b Block) error
	// MaxOffsets returns the marks that lie above the Last of the given positions.
	MaxOffsets(ctx context.Context, above []Position) ([]Mark, error)
}

// Positions keeps where the sink stands. Save never moves a partition back.
type Positions interface {
	Positions(ctx context.Context) ([]Position, error)
	SavePositions(ctx context.Context, ps []Position) error
}

// Lease lets one sink work at a time. Hold takes or renews it for ttl from the call on and answers false
// while another owner holds it. Release gives it back if it is held by owner.
type Lease interface {
	Hold(ctx context.Context, owner string, ttl time.Duration) (bool, error)
	Release(ctx context.Context, owner string) error
}

// Log reads the `rated` topic.
type Log interface {
	// Partitions returns the partitions of the topic.
	Partitions(ctx context.Context) ([]int32, error)
	// Seek makes the next Poll start at these offsets, one for each partition. An offset that the broker no
	// longer has makes Poll fail with ErrLost; nothing is ever skipped.
	Seek(ctx context.Context, next map[int32]int64) error
	// Poll waits a bounded time for records and returns what there is, at most max, per partition in order.
	Poll(ctx context.Context, max int) ([]Fetch, error)
	// Close lets go of the broker; a Seek begins anew.
	Close()
}

// Fetch is what Poll read of one partition.
type Fetch struct {
	Partition int32
	End       int64 // offset after the last record of the partition at the time of the read
	Records   []Fetched
}

// Fetched is one record of the `rated` topic.
type Fetched struct {
	At    int64 // its offset in `rated`
	Value []byte
}

// ErrLost says that the broker no longer has records that the sink has not read. Nothing can be skipped
// without losing activities from the reports, so the sink stops until an operator decides.
var ErrLost = errors.New("the broker no longer has rated records that the report store lacks")

// Clock tells the time.
type Clock interface{ Now() time.Time }

// Config bounds the sink's work.
type Config struct {
	Owner         string        // names this process in the lease; unique
	MaxRows       int           // rows gathered before they are inserted; one poll may exceed it by as many
	MaxBytes      int           // encoded bytes gathered before they are inserted
	MaxDelay      time.Duration // that rows wait while more keep coming
	InsertTimeout time.Duration // of one statement at a store
	LeaseTTL      time.Duration // a sink that died is replaced after this time
	StallAfter    time.Duration // records arrive and none is taken: raise the alarm
	RetryMin      time.Duration // first pause after an error; doubles
	RetryMax      time.Duration // longest pause after an error
	Faults        Faults        // tests only
}

// DefaultConfig returns the defaults; Owner is left to the caller.
func DefaultConfig() Config {
	return Config{
		MaxRows: 50_000, MaxBytes: 16 << 20, MaxDelay: time.Second, InsertTimeout: 30 * time.Second,
		LeaseTTL: 45 * time.Second, StallAfter: 30 * time.Second,
		RetryMin: 100 * time.Millisecond, RetryMax: 15 * time.Second,
	}
}

// maxRowsLimit keeps a block within what ClickHouse inserts as one part (max_insert_block_size is a million).
const maxRowsLimit = 500_000

// Validate says what is wrong with the configuration.
func (c Config) Validate() error {
	switch {
	case c.Owner == "":
		return errors.New("sink: the owner must be named")
	case c.MaxRows < 1 || c.MaxRows > maxRowsLimit:
		return fmt.Errorf("sink: max rows is %d; it must be between 1 and %d", c.MaxRows, maxRowsLimit)
	case c.MaxBytes < 1:
		return fmt.Errorf("sink: max bytes is %d; it must be positive", c.MaxBytes)
	case c.InsertTimeout <= 0 || c.LeaseTTL <= c.InsertTimeout:
		return fmt.Errorf("sink: the lease of %s must outlast an insert of up to %s", c.LeaseTTL, c.InsertTimeout)
	case c.RetryMin <= 0 || c.RetryMax < c.RetryMin:
		return fmt.Errorf("sink: pauses from %s to %s do not make a range", c.RetryMin, c.RetryMax)
	case c.MaxDelay < 0 || c.StallAfter <= 0:
		return fmt.Errorf("sink: delay %s and stall %s must not be negative", c.MaxDelay, c.StallAfter)
	}
	return nil
}

// MonthOf returns the UTC month of an instant as year*12 + month-1.
func MonthOf(t int64) int32 {
	y, m, _ := time.Unix(0, t).UTC().Date()
	return int32(y*12 + int(m) - 1)
}

// MonthBounds returns the first instant of a month and of the month after it. Months at the ends of what
// an instant can hold (1677 and 2262) are cut off there.
func MonthBounds(month int32) (start, end int64) {
	return monthStart(month), monthStart(month + 1)
}

func monthStart(month int32) int64 {
	const lowest, highest = -1 << 63, 1<<63 - 1
	first, last := MonthOf(lowest), MonthOf(highest)
	if month <= first {
		return lowest
	}
	if month > last {
		return highest
	}
	return time.Date(int(month/12), time.Month(month%12+1), 1, 0, 0, 0, 0, time.UTC).UnixNano()
}
