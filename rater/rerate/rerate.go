// Package rerate rates usage anew after definitions have changed, or when somebody asks for it: a job that writes control records into
// the usage log and waits for what they do.
//
// Where prices alone change, lines that nothing has touched since are named in sweeps. Where another rate answers for the past, or what
// was added up is of no use, the accounts that have such usage get a marker; when the report store holds all that stands before it, that is
// summed up and written as the marker's result. Everything that a job has done stands in its rows, in what the partitions have committed
// and in the log, so that whoever holds the lease goes on, and everything may be done twice.
//
// It imports collector/usage, rater/catalog and rater/price, never the rater: the simulation in that package's tests runs a [Runner] step
// by step. Invariants: an account's jobs run in the order of their sequence numbers, one at a time; a job looks at lines only when every
// partition that may have some has committed its definitions; what stands before a marker is summed up only when the sink's stored position is past it.
package rerate

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/rater/catalog"
)

// Phase is where a job stands.
type Phase string

// The phases of a job.
const (
	PhaseLooking  Phase = "looking"  // for lines that the definitions concern
	PhaseWaiting  Phase = "waiting"  // for what its sweeps do; then it looks again, if definitions have changed
	PhaseAccounts Phase = "accounts" // for those that it rates anew
	PhaseDone     Phase = "done"
)

// Phases are all of them, in the order that they have within a pass.
var Phases = []string{string(PhaseWaiting), string(PhaseLooking), string(PhaseAccounts), string(PhaseDone)}

// ErrBehind says that a job stands further than where it was to be saved.
var ErrBehind = errors.New("another process has brought the job further")

// Job is what follows from one sequence number.
type Job struct {
	Seq     int64
	Demand  bool // somebody asked for it; otherwise definitions have changed
	Account string
	Product string // of a demand, as the following: empty and zero are all
	From    int64
	Until   int64

	Phase  Phase
	Pass   int    // how often all lines were looked at
	Cursor string // where looking goes on
	Found  int64  // lines swept in this pass
	Swept  int64  // … and in all
	Left   string // why something stays as it was; empty: nothing
}

// Changed is what a sequence number changed.
type Changed struct {
	Refs     []catalog.Ref // products, rate classes and packages
	Accounts []string      // that changed, or a parent or contract of which did
	Many     bool          // too many to name
}

// Family is lines that are priced together.
type Family struct {
	Partition  int32
	ID         [16]byte
	Account    string
	Product    string
	Package    string
	Start, End int64 // of the usage's period
	Seq        int64 // of the definitions that it is priced under
	SealedSeq  int64 // its period is sealed under these definitions
	Sealed     bool
}

// Lines says which families are looked at.
type Lines struct {
	Accounts []string // of these; nil: of all
	Products []string
}

// Behind says whether the job stands before another state of it. Lines are looked at in passes; where a page of them was looked at twice
// does not matter.
func (j *Job) Behind(other *Job) bool {
	return cmp.Or(cmp.Compare(j.Pass, other.Pass), cmp.Compare(slices.Index(Phases, string(j.Phase)), slices.Index(Phases, string(other.Phase)))) < 0
}

// AccountJob is an account that a job rates anew.
type AccountJob struct {
	Seq       int64
	Account   string
	Partition int32
	Product   string // empty: all
	From      int64  // usage of periods that end after, 0: all
	Until     int64  // … and begin before
	Closed    bool   // closed invoices are corrected
	State     State
	Message   string
	Lines     int64 // that were summed up
	Changed   int64 // of them
}

// State is how an account's job ended.
type State string

// The states of an account's job.
const (
	StateOpen   State = "open"
	StateDone   State = "done"
	StateFailed State = "failed"
)

// Marker is what a partition has committed of an account's marker.
type Marker struct {
	Seq, Attempt, At, Done int64
	Under                  int64 // the definitions that were active there
	Open, Over             bool
}

// Checkpoint is how far a partition is committed.
type Checkpoint struct{ Next, ActivatedSeq int64 }

// Store keeps jobs and reads what partitions and the sink have committed. Whatever it writes may be written again.
type Store interface {
	// Hold takes or renews the lease for ttl; false: another holds it.
	Hold(ctx context.Context, owner string, ttl time.Duration) (bool, error)
	// Jobs reads the open jobs in the order of their sequence numbers, at most some.
	Jobs(ctx context.Context, limit int) ([]Job, error)
	Changed(ctx context.Context, seq int64) (Changed, error)
	// Families reads a page of families from the cursor on, with what seals them; the next cursor is empty at the end.
	Families(ctx context.Context, lines Lines, cursor string, limit int) ([]Family, string, error)
	// Save writes where the job stands with the accounts that it has found, which are added to those it has, and the ends of the log
	// behind its sweeps. An account that is known keeps its state and takes the wider range. A job that stands further already is left as
	// it is, with ErrBehind: a process that has slept must not bring back what another has done meanwhile, for an account's later job
	// would go before the earlier one.
	Save(ctx context.Context, j Job, found []AccountJob, ends map[int32]int64) error
	// Ends reads the ends of the log behind the job's sweeps.
	Ends(ctx context.Context, seq int64) (map[int32]int64, error)
	// Accounts reads open accounts of jobs that have looked at all lines, of each the first job, in the order of their ids behind one.
	Accounts(ctx context.Context, after string, limit int) ([]AccountJob, error)
	// Left counts the job's open accounts.
	Left(ctx context.Context, seq int64) (int, error)
	SaveAccount(ctx context.Context, a AccountJob) error
	Markers(ctx context.Context, accounts []AccountJob) ([]Marker, error)
	Checkpoints(ctx context.Context) (map[int32]Checkpoint, error)
	// Unsettled reads families to sweep, at most some: of each pool that lines have left by results of the job, so that others owe a
	// difference, a line that shares it.
	Unsettled(ctx context.Context, seq int64, limit int) ([]Family, error)
	// Sharing reads a family of each other account, at most some, whose usage of the product in the family's period is the same account's to pay.
	Sharing(ctx context.Context, f Family, limit int) ([]Family, error)
	// Waiting reads accounts with corrections that wait, which no open job was demanded for, at most some.
	Waiting(ctx context.Context, limit int) ([]Waiting, error)
	// Sunk gives the offset of usage up to which the report store holds each partition.
	Sunk(ctx context.Context) (map[int32]int64, error)
}

// Definitions reads immutable definitions as of a sequence number.
type Definitions interface {
	Snapshot(ctx context.Context, seq int64) (*catalog.Snapshot, error)
	// Accounts returns the accounts and all their parents; unknown ones are absent.
	Accounts(ctx context.Context, seq int64, ids []string) (map[string]*catalog.Account, error)
}

// Log is the usage log.
type Log interface {
	// Broadcast writes a record to the partition and returns when it is acknowledged.
	Broadcast(ctx context.Context, partition int32, record []byte) error
	// Ends gives the offset after the last record of each partition.
	Ends(ctx context.Context) (map[int32]int64, error)
}

// Waiting is an account with usage events that correct others and wait for their lines to be rated again.
type Waiting struct {
	Account     string
	From, Until int64 // of the periods of the events' times: those that end after the one and begin before the other
}

// Demands asks for accounts to be rated anew.
type Demands interface {
	Demand(ctx context.Context, w Waiting) error
}

// Summer sums up what stands before a marker. Asked again it gives the same.
type Summer interface {
	// Sum fails with ErrNever when it always will.
	Sum(ctx context.Context, a AccountJob, m Marker) (Summed, error)
	// Unanswered gives the answers to the corrections that would wait for the sum, where there is none.
	Unanswered(ctx context.Context, a AccountJob, m Marker) ([]usage.Answer, error)
}

// Summed is a marker's result.
type Summed struct {
	Values         iter.Seq[*usage.Values] // that the results count, which stand before them; nil: none
	Results        []usage.Result
	Lines, Changed int64
	Left           string // why something stays as it was; empty: nothing
}

// ErrNever says that trying again cannot help.
var ErrNever = errors.New("this cannot be rated anew")
