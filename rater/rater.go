// Package rater turns the `usage` log into charges, exactly once, exact to the last digit.
//
// One partition is rated by one [Partition] at a time: a single-threaded state machine that takes
// records, acknowledgements and the outcomes of stores, and hands out what is to be produced,
// projected and checkpointed. It reads no clock and starts no goroutine; [Worker] runs one
// goroutine a partition around it and does the waiting, all of it through one small interface. The simulation in this
// package's tests runs the same Worker and decides from a seed who goes on, and when.
//
// The one principle: the state of a partition at an offset is a pure function of the log up to it.
// The checkpoint is the one commit point; the rated record, the live projection and the report
// store are projections that a replay repeats byte for byte.
//
// It may import collector/usage, ledger/money, rater/catalog, rater/price, rater/dedup and
// rater/activity, never a driver: the adapters (rater/pg, rater/live, rater/kafka) import it.
package rater

import (
	"context"
	"errors"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/dedup"
)

// Owner is the random name that a rater gives itself for one assignment of one partition.
type Owner [16]byte

// Fence names the rater's claim on a partition. Every read of its rows checks the claim in the same
// statement: the checkpoint row must carry this epoch and owner, and a next offset that is Next or,
// while a commit is in flight, InFlight (-1: none). Otherwise the read answers ErrFenced.
type Fence struct {
	Partition int32
	Epoch     int64
	Owner     Owner
	Next      int64
	InFlight  int64
}

// ErrFenced says that another rater owns the partition, or that a store fell back behind this one:
// the partition must be forgotten, nothing of it may be written.
var ErrFenced = errors.New("partition is owned by another rater")

// Checkpoint is where the rating of a partition stands: everything before Next is in the stores.
type Checkpoint struct {
	Partition    int32
	Epoch        int64
	Next         int64 // the next usage offset to rate
	Last         int64 // the last rated usage offset, -1 before the first
	LeaderEpoch  int32 // of Last's record, -1 unknown: lets the broker tell of lost records
	RatedNext    int64 // no rated record of an offset below Next stands at or after this offset of `rated`
	LogTime      int64 // instant
	ActivatedSeq int64
	ActivatedSum uint64              // the chain's hash at ActivatedSeq
	Counts       map[CountKey]Counts // every month that has been counted
	Skips        map[Skip]struct{}   // events that an operator told the rater to pass over
	Markers      []MarkerState       // the open ones
	Identities   []dedup.Entry       // of the days that are held in memory
	Filters      []dedup.Filter      // of older days
}

// CountKey says what is counted apart: the UTC month of the events' time and the currency of the charges
// ("" for what has none: duplicates, rejected usage and the events themselves).
type CountKey struct {
	Month    int32 // year*12 + month-1 of the event time
	Currency string
}

// Counts add up: Accepted + Retried = Rated + Duplicates + Rejected, summed over the currencies of a month.
type Counts struct {
	Accepted, Retried, Rated, Duplicates, Rejected int64
	Charged                                        money.Decimal // charges and adjustments, by the event time of the activity
}

// Skip names an event that an operator told the rater to reject unseen, because it fails on it.
type Skip struct {
	Offset int64
	Index  int
}

// LineState is a line of a current invoice as it is stored and shown: absolute values, never changes.
type LineState struct {
	Family   activity.ID // lines that are priced together: late usage continues the line of its own period
	Line     activity.ID
	Invoice  activity.ID
	Position int // of the line in its family: 0 is the line of the usage's own period

	Account     string // who used
	Billed      string // who is invoiced
	Owed        string // who was billed for the usage's own period: another only for late usage
	Seller      string
	Product     string
	Package     string // "": none
	Group       []activity.Attribute
	Currency    string
	Period      catalog.Period // of the invoice
	UsagePeriod catalog.Period // that the usage belongs to; differs from Period for late usage

	Quantity money.Decimal // as it was sent, summed
	Events   int64
	Amount   money.Decimal // 12 decimals
	Segments []byte        // encoded rates and states, see Segment
	Second   []byte        // encoded: what came after the account's marker; empty: nothing, see MarkerState
	Seq      int64         // of the definitions it was priced under

	RateLevel, RateAccount, RateID, RateModel string // of the event rated last

	Version int64 // usage offset of its last change, plus one: an older version never replaces a newer one
}

// PoolState is a pool as it is stored: usage of a period whose tiers several lines have together. Its lines' shares, see
// Segment, add up to its amount.
type PoolState struct {
	ID       activity.ID
	Scope    catalog.Pool
	Of       string // the account or the package; "": all that are billed together
	Seller   string
	Billed   string // who is invoiced for the period of the usage
	Product  string // "": the capacities of the account
	Currency string
	Period   catalog.Period // of the usage

	Amount   money.Decimal
	Segments []byte // encoded rates and states, see PoolSegment
	Seq      int64  // of the definitions it was priced under; below 0: its lines owe a difference since results for -Seq
	Version  int64  // usage offset of its last change, plus one
}

// RejectedUsage is an event that could not be rated, kept whole so that it can be retried.
type RejectedUsage struct {
	Offset  int64
	Index   int
	Reason  string
	Event   usage.Event // zero when the record could not be decoded
	Raw     []byte      // what could not be decoded
	LogTime int64       // instant of its arrival
	Retry   bool        // it came in a retry record
}

// SealState says up to where a billed account's periods are sealed on a partition.
type SealState struct {
	Account string // the billed account
	Seals   []SealPoint
}

// SealPoint is one seal: periods that end at or before Through are sealed; those not sealed before are
// priced under Seq for ever.
type SealPoint struct {
	Through int64
	Seq     int64
}

// MarkerState says where rating an account's usage anew stands on its partition. What stands before the marker is summed up by a job;
// what comes after it is gathered beside the lines, as their second states. The parts of the result are kept until the last one is
// read; then result and second states are merged and take the lines' place.
type MarkerState struct {
	Account string
	Seq     int64       // of the definition because of which it is done
	Attempt int64       // from 1; numbers the markers of one definition
	At      int64       // offset of the marker
	Under   int64       // the definitions that were active there: what stands before it is summed up under them
	Open    bool        // its result is awaited
	Over    bool        // it cannot be finished: more came after it than is kept, or too much for the arithmetic
	Done    int64       // the newest definition that is finished: older markers are ignored
	Parts   [][]byte    // of the result, encoded as they were read; nil: missing
	Sets    []MarkerSet // in which distinct values are counted anew; ascending
}

// MarkerSet is a set in which distinct values are counted anew behind a marker.
type MarkerSet struct {
	Set  activity.ID
	Read int64 // how many values that were counted before the marker are read
}

// Cut is a partition's state frozen at a record boundary, ready to be committed.
type Cut struct {
	Fence        Fence // Next is the offset that must still stand in the row
	Next         int64 // the new next offset
	Last         int64
	LeaderEpoch  int32
	RatedNext    int64
	LogTime      int64
	ActivatedSeq int64
	ActivatedSum uint64
	Lines        []LineState
	Stored       []bool // of each of Lines: it stands in the store, at its position, and only what usage usually changes has changed
	Pools        []PoolState
	Values       []ValueState // that were counted in another place since the cut before
	Sets         []SetState   // of values that have begun since then, or are gone
	Levels       []LevelState // that wait for their seal since then, or no more
	Rejected     []RejectedUsage
	Answered     []Skip              // rejected usage that is none any more: corrections that have waited
	Identities   []dedup.Entry       // rated since the cut before
	Seals        []SealState         // changed since the cut before, whole
	Markers      []MarkerState       // … as well
	Counts       map[CountKey]Counts // changed months, absolute
}

// Outcome is what became of a cut.
type Outcome uint8

// The outcomes of a cut.
const (
	OutcomeCommitted Outcome = iota + 1
	OutcomeFenced            // the row was not touched: this rater is a zombie
	OutcomeUnknown           // the connection broke: read the row
)

// Store keeps checkpoints. Every read is fenced (see Fence). Reads may be repeated; the caller retries
// errors other than ErrFenced with backoff.
type Store interface {
	// Acquire raises the partition's epoch, makes owner its owner and reads its checkpoint; a partition
	// without a row starts at offset 0.
	Acquire(ctx context.Context, partition int32, owner Owner) (Checkpoint, error)
	// Look checks the claim and nothing else.
	Look(ctx context.Context, f Fence) error
	// Commit writes several partitions' cuts in one transaction; a fenced one drops out without failing the others.
	// The outcomes stand in the order of the cuts; the error is why some are unknown.
	Commit(ctx context.Context, cuts []*Cut) ([]Outcome, error)
	// Position reads the row without a fence, to learn what became of an unknown commit.
	Position(ctx context.Context, partition int32) (epoch int64, owner Owner, next int64, err error)
	// Lines reads every line of the families, ordered by family and position. A family without a row is absent.
	Lines(ctx context.Context, f Fence, families []activity.ID) ([]LineState, error)
	// Pools reads pools. One without a row is absent.
	Pools(ctx context.Context, f Fence, pools []activity.ID) ([]PoolState, error)
	// Sharing reads which families have shares of a pool, whose usage is of the period that begins at start and of the billed account.
	Sharing(ctx context.Context, f Fence, pool activity.ID, billed string, start int64) ([]activity.ID, error)
	// Values reads values that are counted. One without a row is absent.
	Values(ctx context.Context, f Fence, values []ValueKey) ([]ValueState, error)
	// Levels reads which families' levels wait for a seal of the billed account up to an instant: the first in the order of the ends of their
	// periods, then of their ids.
	Levels(ctx context.Context, f Fence, owed string, through int64, limit int) ([]LevelState, error)
	// Seals reads the seals of billed accounts. An account without a row is absent.
	Seals(ctx context.Context, f Fence, accounts []string) ([]SealState, error)
	// Markers reads where rating accounts anew stands. An account without a row is absent.
	Markers(ctx context.Context, f Fence, accounts []string) ([]MarkerState, error)
	// Identities reads which of the identities arrived on the compacted days that are asked for, with every arrival. That one of these
	// days is not compacted any more is ErrFenced, too.
	Identities(ctx context.Context, f Fence, asked []dedup.Question) ([]dedup.Entry, error)
	// Compact folds the days of identities that are over, as of the log time of the last commit, behind filters. It
	// may be refused with ErrFenced because a commit came between; then nothing has changed and it may be tried again.
	Compact(ctx context.Context, f Fence, logTime int64) ([]dedup.Compacted, error)
	// Fold folds the changed lines that commits have appended into their rows. What is read of them does not change by it. It
	// may be refused with ErrFenced, or end early, and be tried again.
	Fold(ctx context.Context, f Fence) error
	// Forget deletes some values of sets that are gone, or of sealed periods that end before the instant, and says whether there may be more.
	// A claim that is over deletes nothing.
	Forget(ctx context.Context, f Fence, before int64) (more bool, err error)
	// OpenLines reads a page of the lines whose period ends after the instant, ordered by (family, position),
	// from the cursor on (zero: the first page); it returns the next cursor, ok false at the end.
	OpenLines(ctx context.Context, f Fence, endsAfter int64, from activity.ID, limit int) (lines []LineState, next activity.ID, ok bool, err error)
}

// Definitions reads immutable definitions as of a sequence number. Answers may be cached and shared.
type Definitions interface {
	Snapshot(ctx context.Context, seq int64) (*catalog.Snapshot, error)
	// Accounts returns the accounts and all their parents up to the root, as of seq; unknown ones are absent.
	Accounts(ctx context.Context, seq int64, ids []string) (map[string]*catalog.Account, error)
}

// RatedEntry is a record of the `rated` topic as the protocol needs it.
type RatedEntry struct {
	At       int64 // its offset in `rated`
	Offset   int64 // of the usage record
	Previous int64
	Sum      uint64 // xxh3 of the encoded record
}

// ErrLost says that the broker no longer has what the checkpoint needs of a log: reading it again cannot help.
var ErrLost = errors.New("the broker no longer has it")

// RatedLog reads the `rated` topic of one partition.
type RatedLog interface {
	// Read returns the entries in [from, to) in order; to -1: up to the end at the time of the call. What no rater can
	// have written is passed over. It also returns the offset after the last one. It fails with ErrLost when
	// the log begins after from.
	Read(ctx context.Context, partition int32, from, to int64) ([]RatedEntry, int64, error)
}

// Head names the owner's last write to the live store.
type Head [16]byte

// Projection is one atomic write to a partition's live view.
type Projection struct {
	Partition  int32
	Expect     Head // must stand there, otherwise nothing is written
	Force      bool // set Next whatever stands there: begins a rebuild
	Next       Head
	Rebuilding bool // readers must not trust the view after this write
	LogTime    int64
	CaughtUp   bool        // the partition had nothing more to rate when this was made
	Lines      []LineState // an older version never overwrites a newer one
	Clear      bool        // with Force: the partition's lines are dropped first
}

// Live is the projection of current invoices that customers watch.
type Live interface {
	// Project applies each projection atomically and tells its watchers; applied[i] is false when another head was found.
	Project(ctx context.Context, ps []*Projection) (applied []bool, err error)
}

// Clock tells the adapters' time; it never reaches rating.
type Clock interface{ Now() time.Time }
