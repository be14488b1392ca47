package collector

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tollstream/tollstream/collector/format"
	"github.com/tollstream/tollstream/collector/source"
	"github.com/tollstream/tollstream/collector/usage"
)

// Bounds of a run.
const (
	chunkRows       = 8192
	chunkBytes      = 2 << 20 // of text, after which a chunk is sent with fewer rows
	chunksInFlight  = 4
	keptErrors      = 100_000 // bad rows of a run that are kept; the rest is counted, and the run says so
	saveEvery       = time.Second
	saveErrors      = 500 // bad rows after which the checkpoint is written earlier
	finalSaveWithin = 10 * time.Second
)

// RunDeps is what a run works with.
type RunDeps struct {
	Intake  *Intake
	Store   RunStore
	Now     func() time.Time
	Log     *slog.Logger
	Metrics *Metrics
	// Backoff is how long to wait before the n-th repetition, from 1; nil: 100 ms doubling to 10 s,
	// with jitter.
	Backoff func(n int) time.Duration
	// ChunkRows is how many rows are sent at a time; 0: 8,192, or fewer if they are long.
	ChunkRows int
}

// RunRequest names what is run.
type RunRequest struct {
	Collector string
	Version   int // of the configuration; 0: given by hand
	Config    *Config
	File      *source.File
	Again     bool  // read a file that was processed completely once more
	Pass      int64 // that found the file; 0: by hand
	Token     int64 // of the lease under which the pass works; 0: by hand
	Pace      *Pace // nil: as fast as it goes
}

// Phase is what a run is doing.
type Phase string

// The phases. A run waits while the broker or a store is away or says that it has too much to do.
const (
	PhaseIdentify Phase = "identify" // the file is read once to know its content
	PhaseSend     Phase = "send"
	PhaseWait     Phase = "wait"
)

// Progress is reported after each step, from one goroutine at a time but not always the same.
type Progress struct {
	Phase      Phase
	Rows       int64 // done with, in this run
	Rejected   int64
	Bytes      int64 // read of the file, in this phase
	TotalBytes int64
	Waiting    error // why, in PhaseWait
}

// RunResult is what a run came to.
type RunResult struct {
	Run
	AlreadyDone bool `json:"already_done"` // the file was processed completely before, by the run shown
}

// RunFile processes a file: from its beginning, or from the checkpoint that an earlier run of the same
// content left. It waits while the broker or a store is away. An error means that the run did not
// reach the end; running the same again goes on behind the last checkpoint, and what was sent behind
// it is recognised as duplicates.
func RunFile(ctx context.Context, deps RunDeps, request RunRequest, progress func(Progress)) (RunResult, error) {
	r := &run{RunDeps: deps, request: request, started: deps.Now()}
	if r.Backoff == nil {
		r.Backoff = defaultBackoff
	}
	if r.ChunkRows == 0 {
		r.ChunkRows = chunkRows
	}
	r.progress = func(p Progress) {
		r.reporting.Lock()
		defer r.reporting.Unlock()
		if progress != nil {
			progress(p)
		}
	}
	hash, err := r.identify(ctx)
	if err != nil {
		return RunResult{}, fmt.Errorf("run collector %s: %w", request.Collector, err)
	}
	r.key = FileKey{request.Collector, hash}
	begin := Begin{File: r.key, Name: request.File.Name, Bytes: request.File.Size, ConfigVersion: request.Version,
		Again: request.Again, Pass: request.Pass, Token: request.Token}
	var begun Begun
	if err := r.insist(ctx, func() (err error) { begun, err = r.Store.BeginRun(ctx, begin); return err }); err != nil {
		return RunResult{}, fmt.Errorf("run collector %s: begin: %w", request.Collector, err)
	}
	if begun.Done != nil {
		return RunResult{Run: *begun.Done, AlreadyDone: true}, nil
	}
	r.Metrics.running.Inc()
	defer r.Metrics.running.Dec()
	result, err := r.finish(ctx, begun, r.process(ctx, begun))
	r.Metrics.runs.WithLabelValues(string(result.State)).Inc()
	return result, err
}

// defaultBackoff waits half of its time for certain and the other half by chance, so that many
// collectors do not return at once.
func defaultBackoff(n int) time.Duration {
	limit := min(100*time.Millisecond<<min(n, 10), 10*time.Second)
	return limit/2 + rand.N(limit/2) //nolint:gosec // not a secret
}

// run is one pass over a file.
type run struct {
	RunDeps
	request  RunRequest
	progress func(Progress)
	key      FileKey
	started  time.Time

	reporting sync.Mutex   // around progress
	readBytes atomic.Int64 // raw bytes of the file that were read, each once
	reached   atomic.Int64 // the end of what was read of it

	// Of the rows whose fate is known, in the file's order; the committing goroutine's own.
	next        format.Position
	counts      Counts
	first, last int64 // event times
	unsaved     []RowError
	kept        int
	lastSave    time.Time
}

// insist repeats what fails because something is away.
func (r *run) insist(ctx context.Context, do func() error) error {
	for n := 1; ; n++ {
		err := do()
		if err == nil || !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrBackpressure) {
			return err
		}
		if n == 1 {
			r.Log.Warn("collector waits", "collector", r.request.Collector, "file", r.request.File.Name, "error", err)
		}
		r.progress(Progress{Phase: PhaseWait, Bytes: r.reached.Load(), TotalBytes: r.request.File.Size, Waiting: err})
		wait := time.NewTimer(r.Backoff(n))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return fmt.Errorf("%w (while waiting: %w)", ctx.Err(), err)
		}
	}
}

// finish writes the last checkpoint, whatever happened, and gives the history entry.
func (r *run) finish(ctx context.Context, begun Begun, failure error) (RunResult, error) {
	state, message := RunDone, ""
	switch {
	case failure == nil:
	case errors.Is(failure, context.Canceled), errors.Is(failure, context.DeadlineExceeded), errors.Is(failure, ErrTakenOver), errors.Is(failure, ErrLeaseLost):
		state, message = RunInterrupted, failure.Error()
	default:
		state, message = RunFailed, failure.Error()
	}
	ended := r.Now()
	result := RunResult{Run: Run{
		ID: begun.Run, Collector: r.request.Collector, ConfigVersion: r.request.Version, File: r.request.File.Name,
		FileHash: r.key.Hash, Pass: r.request.Pass, FileBytes: r.request.File.Size, State: state, Message: message,
		StartedAt: r.started, EndedAt: &ended, FromLine: begun.From.Line,
	}}
	if state == RunDone && r.counts.Rejected > int64(r.kept) {
		message = fmt.Sprintf("%d of %d bad rows are kept, the first ones; correct what is wrong with them and run the file again for the others", r.kept, r.counts.Rejected)
		result.Message = message
	}
	if !errors.Is(failure, ErrTakenOver) && !errors.Is(failure, ErrLeaseLost) {
		within := ctx
		if failure != nil {
			limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), finalSaveWithin)
			defer cancel()
			within = limited
		}
		if err := r.insist(within, func() error { return r.save(within, begun.Run, state, message) }); err != nil {
			failure = errors.Join(failure, fmt.Errorf("save the end of the run: %w", err))
			if result.State == RunDone {
				result.State, result.Message = RunInterrupted, failure.Error()
			}
		}
	}
	result.Counts = r.tally()
	if failure != nil {
		return result, fmt.Errorf("run %d of collector %s on %s: %w", begun.Run, r.request.Collector, r.request.File.Name, failure)
	}
	return result, nil
}

func (r *run) tally() Counts {
	c := r.counts
	c.Bytes, c.Seconds = r.readBytes.Load(), r.Now().Sub(r.started).Seconds()
	if r.first != 0 || r.last != 0 {
		first, last := time.Unix(0, r.first).UTC(), time.Unix(0, r.last).UTC()
		c.FirstEvent, c.LastEvent = &first, &last
	}
	return c
}

func (r *run) save(ctx context.Context, id int64, state RunState, message string) error {
	err := r.Store.SaveRun(ctx, Save{File: r.key, Run: id, Token: r.request.Token, Next: r.next, Counts: r.tally(), State: state, Message: message, Errors: r.unsaved})
	if err == nil {
		r.unsaved, r.lastSave = nil, r.Now()
	}
	return err
}

// chunk is some rows on their way. What is read of it before done is closed is the sender's.
type chunk struct {
	rows    int
	sent    int // rows that made events
	request usage.Request
	errors  []RowError
	next    format.Position
	done    chan struct{}
	failure error
}

// process reads, sends and commits, each at its own pace: chunks are sent at the same time and
// committed in the file's order.
func (r *run) process(parent context.Context, begun Begun) error {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	r.next, r.lastSave = begun.From, r.Now()
	in, err := r.open(begun.From)
	if err != nil {
		return err
	}
	defer in.close()

	inOrder := make(chan *chunk, chunksInFlight)
	readFailure := make(chan error, 1)
	go func() {
		defer close(inOrder)
		readFailure <- r.read(ctx, in, inOrder)
	}()
	var failure error
	for c := range inOrder {
		<-c.done
		if failure == nil {
			if failure = c.failure; failure == nil {
				failure = r.commit(ctx, begun.Run, c)
			}
			if failure != nil {
				cancel()
			}
		}
	}
	err = <-readFailure
	switch {
	case parent.Err() != nil:
		return fmt.Errorf("stopped: %w", parent.Err())
	case failure != nil:
		return failure
	case err != nil:
		return err
	}
	if err := r.request.Config.Errors.exceeded(&r.counts, true); err != nil {
		return err
	}
	return r.request.File.Unchanged()
}

// input is the file from the start position on.
type input struct {
	records format.Reader
	mapper  *format.Mapper
	file    io.Closer
}

func (in *input) close() {
	in.records.Close() //nolint:errcheck,gosec // only read
	in.file.Close()    //nolint:errcheck,gosec // only read
}

// open goes to the position.
func (r *run) open(from format.Position) (*input, error) {
	file, err := r.request.File.Open()
	if err != nil {
		return nil, err //nolint:wrapcheck // names the file already
	}
	content, err := format.NewInput(counted{file, r, r.Metrics}, r.request.File.Size, r.request.Config.Packing)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	f, err := format.Resolve(r.request.Config.Format, content)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	mapper := format.NewMapper(&r.request.Config.Mapping, f.Notation(), r.key.Hash)
	records, err := f.Open(content, mapper.Paths(), from)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &input{records, mapper, file}, nil
}

// identify reads the file and gives 128 bits of the SHA-256 of its unpacked content in hex: a file is the
// same under another name, and packed or not.
func (r *run) identify(ctx context.Context) (string, error) {
	file, err := r.request.File.Open()
	if err != nil {
		return "", err //nolint:wrapcheck // names the file already
	}
	defer file.Close() //nolint:errcheck // only read
	content, err := format.NewInput(counted{file, r, nil}, r.request.File.Size, r.request.Config.Packing)
	if err != nil {
		return "", err //nolint:wrapcheck // says it all
	}
	stream, err := content.Stream(0)
	if err != nil {
		return "", err //nolint:wrapcheck // says it all
	}
	defer stream.Close() //nolint:errcheck // only read
	hash, buffer := sha256.New(), make([]byte, 1<<20)
	for {
		if err := ctx.Err(); err != nil {
			return "", fmt.Errorf("read file %s: %w", r.request.File.Name, err)
		}
		n, err := stream.Read(buffer)
		hash.Write(buffer[:n])
		r.progress(Progress{Phase: PhaseIdentify, Bytes: r.reached.Load(), TotalBytes: r.request.File.Size})
		if errors.Is(err, io.EOF) {
			r.readBytes.Store(0)
			r.reached.Store(0)
			return hex.EncodeToString(hash.Sum(nil)[:16]), nil
		}
		if err != nil {
			return "", fmt.Errorf("read file %s: %w", r.request.File.Name, err)
		}
	}
}

// counted counts what is read of the file.
type counted struct {
	io.ReaderAt
	r       *run
	metrics *Metrics // nil while the file is identified
}

func (c counted) ReadAt(b []byte, offset int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(b, offset)
	fresh := c.r.advance(offset, offset+int64(n))
	if c.metrics != nil {
		c.metrics.fileBytes.Add(float64(fresh))
	}
	return n, err //nolint:wrapcheck // a reader's errors pass
}

// advance notes that a piece of the file was read, and gives how much of it lies behind everything before.
func (r *run) advance(from, to int64) int64 {
	for {
		reached := r.reached.Load()
		fresh := to - max(from, reached)
		if fresh <= 0 {
			return 0
		}
		if r.reached.CompareAndSwap(reached, to) {
			r.readBytes.Add(fresh)
			return fresh
		}
	}
}

// read cuts the file into chunks and sends each off.
func (r *run) read(ctx context.Context, in *input, inOrder chan<- *chunk) error {
	var row format.Row
	slots := make(chan struct{}, chunksInFlight)
	for {
		c := &chunk{done: make(chan struct{})}
		err := in.fill(c, &row, r.ChunkRows)
		if ctx.Err() != nil {
			return ctx.Err() //nolint:wrapcheck // the caller names what was stopped
		}
		if c.rows > 0 {
			c.next = in.records.Position()
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return ctx.Err() //nolint:wrapcheck // the caller names what was stopped
			}
			if err := r.request.Pace.wait(ctx, c.rows); err != nil {
				return err
			}
			go func() {
				c.failure = r.deliver(ctx, c)
				<-slots
				close(c.done)
			}()
			inOrder <- c
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// fill reads the rows of a chunk, fewer where they are long or make many events.
func (in *input) fill(c *chunk, row *format.Row, most int) error {
	for bytes := 0; c.rows < most && len(c.request.Events) < chunkRows && bytes < chunkBytes; bytes += row.Bytes() {
		if err := in.records.Next(row); err != nil {
			return err //nolint:wrapcheck // names the line already
		}
		before := len(c.request.Events)
		c.request.Events = in.mapper.Map(row, c.request.Events)
		made := c.request.Events[before:]
		for i := range made {
			made[i].Index = c.rows
		}
		switch {
		case row.Code != "":
			c.request.Refused = append(c.request.Refused, usage.Refusal{Index: c.rows, ID: row.ID, Code: row.Code, Message: row.Message})
			c.errors = append(c.errors, RowError{Line: row.Line, ID: row.ID, Code: row.Code, Message: row.Message, Raw: row.Raw})
		case len(made) > 0:
			c.sent++
		}
		c.rows++
	}
	return nil
}

// deliver sends a chunk, as often as it takes.
func (r *run) deliver(ctx context.Context, c *chunk) error {
	options := AcceptOptions{Source: r.request.Collector, Backfill: r.request.Config.Backfill}
	return r.insist(ctx, func() error {
		_, err := r.Intake.Accept(ctx, &c.request, options)
		return err
	})
}

// commit counts a chunk that was delivered, and now and then writes the checkpoint.
func (r *run) commit(ctx context.Context, id int64, c *chunk) error {
	r.next = c.next
	r.counts.Rows += int64(c.rows)
	r.counts.Sent += int64(c.sent)
	r.counts.Events += int64(len(c.request.Events))
	r.counts.Rejected += int64(len(c.errors))
	r.counts.Filtered += int64(c.rows - c.sent - len(c.errors))
	for i := range c.request.Events {
		if s := &c.request.Events[i]; s.HasTime {
			if r.first == 0 && r.last == 0 {
				r.first, r.last = s.Time, s.Time
			}
			r.first, r.last = min(r.first, s.Time), max(r.last, s.Time)
		}
	}
	if n := min(len(c.errors), keptErrors-r.kept); n > 0 {
		r.unsaved = append(r.unsaved, c.errors[:n]...)
		r.kept += n
	}
	if err := r.request.Config.Errors.exceeded(&r.counts, false); err != nil {
		return err
	}
	r.progress(Progress{Phase: PhaseSend, Rows: r.counts.Rows, Rejected: r.counts.Rejected, Bytes: r.reached.Load(), TotalBytes: r.request.File.Size})
	if r.Now().Sub(r.lastSave) < saveEvery && len(r.unsaved) < saveErrors {
		return nil
	}
	return r.insist(ctx, func() error { return r.save(ctx, id, RunRunning, "") })
}
