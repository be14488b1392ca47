// Package reconcile proves, for a UTC month of event time, that usage, activity, invoice lines and the report
// store agree, and names the first place where they do not.
//
// It may import ledger/money, rater/activity and rater/sink, never a driver, and reads no clock. It changes
// nothing. What it compares, per partition and as of the checkpoint's next offset X:
//
//   - the checkpoint's counters: accepted + retried = rated + duplicates + rejected;
//   - the counters with the report store's activities below X: usage events, and charges by currency;
//   - for each invoice that the month touches, each line's amount with the sum of its activities of all months;
//   - each pool of a usage period that the month touches with what its lines have of it: amount, events and quantities by rate;
//   - if asked, both with the `rated` topic itself, offset by offset.
//
// Rating goes on meanwhile: a line that changed after X is judged as of its own version, an offset that stands in
// its row, so that no difference is reported which only comes from reading at two moments.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/sink"
)

// Checkpoint is what a partition's checkpoint says of a month; everything below Next is in it.
type Checkpoint struct {
	Partition int32
	Next      int64
	Last      int64 // the last rated usage offset, -1 before the first
	Counts    []Count
}

// Count is what was counted of a month; the currency is "" for what has none.
type Count struct {
	Currency                                       string
	Accepted, Retried, Rated, Duplicates, Rejected int64
	Charged                                        money.Decimal
}

// Line is an invoice line as it is committed.
type Line struct {
	Partition int32
	Invoice   activity.ID
	Line      activity.ID
	Account   string
	Product   string
	Currency  string
	Amount    money.Decimal
	Version   int64 // usage offset of its last change, plus one
}

// Books reads what the rater has committed.
type Books interface {
	// Checkpoints returns every partition's offsets and the month's counts, all as of one moment.
	Checkpoints(ctx context.Context, month int32) ([]Checkpoint, error)
	// Lines returns all lines of the invoices, each as it stood at one moment not before the call.
	Lines(ctx context.Context, invoices []activity.ID) ([]Line, error)
	// Pools calls for each pool of the partition whose usage's period the month touches, then for each line of such a period that has
	// shares of pools, all as of one moment. What it hands over is the callee's.
	Pools(ctx context.Context, partition, month int32, pool func(*Pool) error, line func(*Pooled) error) error
}

// Usage tells how far the usage log reaches: the offset after each partition's last record.
type Usage interface {
	Ends(ctx context.Context) (map[int32]int64, error)
}

// Positions tells how far the sink has come.
type Positions interface {
	Positions(ctx context.Context) ([]sink.Position, error)
}

// Rated walks the records of the `rated` topic that count, in order, up to what stands there at the time of the
// call. The record is only valid during the call of each.
type Rated interface {
	Walk(ctx context.Context, partition int32, each func(at int64, r *activity.Record) error) error
}

// Reconciler compares the stores. Rated may be nil: then no difference is traced to its offset in the topic, and Deep is refused.
type Reconciler struct {
	Books     Books
	Usage     Usage // nil: usage that is in the log and not yet rated goes unnoticed
	Store     sink.Proof
	Positions Positions
	Rated     Rated
	// Pause is called between two looks at raters or a sink that are behind; Patience bounds how often.
	Pause    func(ctx context.Context) error
	Patience int
	// Progress is told what is being compared, and how many invoices are done; may be nil.
	Progress func(stage string, done int)
}

// Standard pauses.
const (
	StandardPause    = 250 * time.Millisecond
	StandardPatience = 240 // a minute
	invoicePage      = 200
	offsetPage       = 5_000
	activityPage     = 1_000
)

// PauseFor returns a Pause of a fixed time.
func PauseFor(d time.Duration) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return nil
		}
	}
}

// Options of one run.
type Options struct {
	Month int32 // see sink.MonthOf
	Deep  bool  // also walk the `rated` topic
}

// Month compares a month. The error is about the run itself; differences are in the result.
func (r *Reconciler) Month(ctx context.Context, o Options) (*Result, error) {
	if o.Deep && r.Rated == nil {
		return nil, errors.New("reconcile: the rated topic is needed to look deep; give the broker")
	}
	run := &run{Reconciler: r, month: o.Month, result: &Result{Period: sink.MonthText(o.Month), Deep: o.Deep}}
	if err := run.all(ctx, o.Deep); err != nil {
		return nil, fmt.Errorf("reconcile %s: %w", run.result.Period, err)
	}
	run.result.OK = run.result.Differences == 0 && len(run.result.Behind) == 0
	return run.result, nil
}

// run is one comparison.
type run struct {
	*Reconciler
	month       int32
	checkpoints []Checkpoint
	bounds      map[int32]int64
	result      *Result
}

func (r *run) progress(stage string, done int) {
	if r.Progress != nil {
		r.Progress(stage, done)
	}
}

func (r *run) all(ctx context.Context, deep bool) error {
	var err error
	r.progress("waiting for the raters", 0)
	if r.result.Behind, err = r.awaitRaters(ctx); err != nil {
		return err
	}
	r.bounds = make(map[int32]int64, len(r.checkpoints))
	last := make(map[int32]int64, len(r.checkpoints))
	for _, c := range r.checkpoints {
		r.bounds[c.Partition], last[c.Partition] = c.Next, c.Last
	}
	if err := r.counters(); err != nil {
		return err
	}
	r.progress("waiting for the sink", 0)
	if len(r.result.Behind) > 0 {
		return nil // what is not rated cannot be compared
	}
	if r.result.Behind, err = r.await(ctx, last); err != nil || len(r.result.Behind) > 0 {
		return err // a store that lacks rows cannot be compared
	}
	r.progress("sums", 0)
	if err := r.store(ctx, deep); err != nil {
		return err
	}
	if err := r.invoices(ctx); err != nil {
		return err
	}
	r.progress("pools", 0)
	return r.pools(ctx)
}

// awaitRaters reads the checkpoints once they cover what the log held at first, and otherwise says how far behind they are.
func (r *run) awaitRaters(ctx context.Context) ([]Behind, error) {
	var ends map[int32]int64
	var err error
	if r.Usage != nil {
		if ends, err = r.Usage.Ends(ctx); err != nil {
			return nil, fmt.Errorf("read the end of the usage log: %w", err)
		}
	}
	for attempt := 0; ; attempt++ {
		if r.checkpoints, err = r.Books.Checkpoints(ctx, r.month); err != nil {
			return nil, fmt.Errorf("read the checkpoints: %w", err)
		}
		next := make(map[int32]int64, len(r.checkpoints))
		for _, c := range r.checkpoints {
			next[c.Partition] = c.Next
		}
		var behind []Behind
		for p, end := range ends {
			if next[p] < end {
				behind = append(behind, Behind{Partition: p, Stage: StageRater, At: next[p] - 1, Of: end - 1})
			}
		}
		if len(behind) == 0 || attempt >= r.Patience {
			sortBehind(behind)
			return behind, nil
		}
		if err := r.Pause(ctx); err != nil {
			return nil, err
		}
	}
}

// await waits until the sink has taken the usage offsets, and otherwise says how far behind it is.
func (r *run) await(ctx context.Context, last map[int32]int64) ([]Behind, error) {
	for attempt := 0; ; attempt++ {
		positions, err := r.Positions.Positions(ctx)
		if err != nil {
			return nil, fmt.Errorf("read the sink's positions: %w", err)
		}
		at := make(map[int32]int64, len(positions))
		for _, p := range positions {
			at[p.Partition] = p.Last
		}
		var behind []Behind
		for p, offset := range last {
			taken, ok := at[p]
			if !ok {
				taken = -1
			}
			if taken < offset {
				behind = append(behind, Behind{Partition: p, Stage: StageSink, At: taken, Of: offset})
			}
		}
		if len(behind) == 0 {
			return nil, nil
		}
		if attempt >= r.Patience {
			sortBehind(behind)
			return behind, nil
		}
		if err := r.Pause(ctx); err != nil {
			return nil, err
		}
	}
}
