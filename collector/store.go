package collector

import (
	"context"
	"errors"
	"time"

	"github.com/tollstream/tollstream/collector/format"
	"github.com/tollstream/tollstream/collector/usage"
)

// RunState is how a run stands.
type RunState string

// The states of a run.
const (
	RunRunning     RunState = "running"
	RunDone        RunState = "done"
	RunFailed      RunState = "failed"      // it cannot go on: the message says why
	RunInterrupted RunState = "interrupted" // stopped in the middle; run again to go on
)

// Run is an entry of the history: one pass over one file, or over the rest of one.
type Run struct {
	ID            int64      `json:"id"`
	Collector     string     `json:"collector"`
	ConfigVersion int        `json:"config_version"` // 0: the configuration was given by hand
	File          string     `json:"file"`
	FileHash      string     `json:"file_hash"` // of its content
	FileBytes     int64      `json:"file_bytes"`
	Pass          int64      `json:"pass,omitempty"` // that found the file
	State         RunState   `json:"state"`
	Message       string     `json:"message,omitempty"`
	StartedAt     time.Time  `json:"started_at"`
	EndedAt       *time.Time `json:"ended_at,omitempty"`
	FromLine      int64      `json:"from_line"` // 1, or where an earlier run had stopped
	Counts
}

// Counts are of one run. Rows = Sent + Filtered + Rejected.
type Counts struct {
	Rows       int64      `json:"rows"`     // without the header and empty lines
	Sent       int64      `json:"sent"`     // rows whose events were acknowledged by the broker
	Filtered   int64      `json:"filtered"` // rows that shall make no event
	Rejected   int64      `json:"rejected"`
	Events     int64      `json:"events"` // of the rows sent
	Bytes      int64      `json:"bytes"`  // of the file that were read
	Seconds    float64    `json:"seconds"`
	FirstEvent *time.Time `json:"first_event,omitempty"` // earliest and latest time of usage that was sent
	LastEvent  *time.Time `json:"last_event,omitempty"`
}

// RowError is a row that was not sent.
type RowError struct {
	Line    int64      `json:"line"`
	ID      string     `json:"id,omitempty"`
	Code    usage.Code `json:"code"`
	Message string     `json:"message"`
	Raw     string     `json:"raw"` // the row's text, shortened
}

// FileKey is a file as a collector knows it: by its content.
type FileKey struct{ Collector, Hash string }

// Begin is what a run starts with.
type Begin struct {
	File          FileKey
	Name          string
	Bytes         int64
	ConfigVersion int
	Again         bool // from the start, although the file was processed completely
	Pass          int64
	Token         int64 // of the lease, 0: none is needed
}

// Begun is where the run starts.
type Begun struct {
	Run  int64
	From format.Position
	// Done is the run that processed the file completely; then no run was begun.
	Done *Run
}

// Save is the progress of a run: everything before Next was acknowledged or rejected.
type Save struct {
	File    FileKey
	Run     int64
	Token   int64 // of the lease, 0: none is needed
	Next    format.Position
	Counts  Counts
	State   RunState
	Message string
	Errors  []RowError // since the last Save
}

// ErrTakenOver says that another run of the same file has begun since; this one must stop.
var ErrTakenOver = errors.New("another run of the same file has begun")

// ErrLeaseLost says that another process runs the collector; this one must stop, and touch nothing more.
var ErrLeaseLost = errors.New("another process runs the collector now")

// RunStore keeps runs and how far they are. Errors wrap ErrUnavailable when the same call may succeed
// later; it may be made again even if it had succeeded.
type RunStore interface {
	// BeginRun opens a run, taking the file over from a run that is still open. It and SaveRun give
	// ErrLeaseLost when there is a newer lease than the one that is named.
	BeginRun(ctx context.Context, begin Begin) (Begun, error)
	// SaveRun stores the progress and its errors at once. It gives ErrTakenOver, and stores nothing,
	// when the file is another run's. The same Next and State again change nothing.
	SaveRun(ctx context.Context, save Save) error
}
