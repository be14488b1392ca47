package collector

import (
	"context"
	"time"

	"github.com/tollstream/tollstream/collector/source"
)

// Lease is the right to run a collector's pass. Token tells its holder from earlier ones.
type Lease struct {
	Collector string
	Owner     string
	Token     int64
	Cause     Cause
	Due       time.Time // by the schedule; zero: it was not
}

// Cause is why a pass was made.
type Cause string

// The causes.
const (
	BySchedule Cause = "schedule"
	ByHand     Cause = "hand"
	ByTakeover Cause = "takeover" // of a pass whose process died
)

// LeaseStore says who runs a collector. The store's clock decides when a lease is over.
type LeaseStore interface {
	// Take gives the lease of a collector that is due, wanted, or whose process died, unless it is
	// paused or somebody has it.
	Take(ctx context.Context, name, owner string, now time.Time, ttl time.Duration) (Lease, bool, error)
	// Hold makes the lease last for ttl from now on; ErrLeaseLost when another has it. Paused says that the
	// pass shall stop. It may be repeated.
	Hold(ctx context.Context, lease Lease, ttl time.Duration) (paused bool, err error)
	// Give gives the lease back, and says when the collector is due; zero: by hand only.
	Give(ctx context.Context, lease Lease, version int, due time.Time) error
}

// Pass is one look at a collector's place, and what came of it.
type Pass struct {
	ID            int64      `json:"id"`
	Collector     string     `json:"collector"`
	ConfigVersion int        `json:"config_version"`
	Cause         Cause      `json:"cause"`
	State         RunState   `json:"state"`
	Message       string     `json:"message,omitempty"`
	StartedAt     time.Time  `json:"started_at"`
	EndedAt       *time.Time `json:"ended_at,omitempty"`
	PassCounts
}

// PassCounts are files: Found is the sum of the others.
type PassCounts struct {
	Found   int64 `json:"found"`   // the pattern stands for them
	Known   int64 `json:"known"`   // processed earlier, or failed and not changed since
	Waiting int64 `json:"waiting"` // may not be complete yet
	Old     int64 `json:"old"`     // modified before the lookback
	Taken   int64 `json:"taken"`   // processed to the end
	Failed  int64 `json:"failed"`
	Skipped int64 `json:"skipped"` // not reached when the pass ended
}

// PassStore keeps passes. What is saved under a lease that another has taken gives ErrLeaseLost.
type PassStore interface {
	// BeginPass ends what a dead process left as running, and gives the pass its number.
	BeginPass(ctx context.Context, lease Lease, pass Pass) (id int64, err error)
	// SavePass stores counts, state and message; it may be repeated.
	SavePass(ctx context.Context, lease Lease, pass Pass) error
}

// SeenState is what is known of a file in a place.
type SeenState string

// The states.
const (
	SeenWaiting SeenState = "waiting"
	SeenDone    SeenState = "done"
	SeenFailed  SeenState = "failed"
)

// Seen is what was last seen under a path.
type Seen struct {
	source.Entry
	Since         time.Time // when it was first seen as it is
	State         SeenState
	Hash          string // of its content, once it is done
	Message       string
	ConfigVersion int  // under which it failed
	Afterwards    bool // it is done, and has still to be moved, renamed or deleted
}

// Is says whether the entry is what was seen. The store keeps times to the microsecond.
func (s *Seen) Is(e source.Entry) bool {
	kept := s.Entry
	kept.Modified, e.Modified = kept.Modified.Truncate(time.Microsecond), e.Modified.Truncate(time.Microsecond)
	return kept.Same(e)
}

// SeenStore remembers the files of places.
type SeenStore interface {
	// Seen gives those of the paths that are remembered.
	Seen(ctx context.Context, collector string, paths []string) ([]Seen, error)
	// Afterwards gives those that are done and have still to be dealt with, by path.
	Afterwards(ctx context.Context, collector string) ([]Seen, error)
	// PutSeen remembers files, and forgets paths. It may be repeated; ErrLeaseLost when another has the lease.
	PutSeen(ctx context.Context, lease Lease, put []Seen, forget []string) error
}

// Configured is a collector with its newest configuration.
type Configured struct {
	Name    string
	Version int
	Config  *Config
}
