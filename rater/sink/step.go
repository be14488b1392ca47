package sink

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/rater/activity"
)

// Sink moves rated records into a store. It is not safe for concurrent use.
type Sink struct {
	cfg       Config
	store     Store
	positions Positions
	lease     Lease
	log       Log
	clock     Clock
	slog      *slog.Logger
	metrics   *Metrics

	leaseEnds time.Time // by the own clock, counted from before the call; zero: not held
	ready     bool      // positions and marks are read and the log stands at them
	readers   map[int32]*reader
	marks     map[markKey]int64

	pending      map[int32][]Row // by month, in log order per partition
	inserted     map[int32]int   // rows of each month's last block, of the months in the last flush
	pendingRows  int
	pendingBytes int
	pendingSince time.Time // when the first of them was read
	marksStale   bool      // an insert failed: what it left behind is unknown
	record       activity.Record
}

type markKey struct{ partition, month int32 }

// reader is what the sink knows of one partition.
type reader struct {
	follow  activity.Follow
	next    int64 // offset in `rated`
	saved   Position
	end     int64 // of the partition, as last seen
	logTime int64 // of the last record taken
	waiting time.Time
	alarmed bool
}

// New returns a sink that holds nothing yet.
func New(cfg Config, store Store, positions Positions, lease Lease, log Log, clock Clock, logger *slog.Logger, metrics *Metrics) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Sink{cfg: cfg, store: store, positions: positions, lease: lease, log: log, clock: clock, slog: logger, metrics: metrics,
		readers: map[int32]*reader{}, marks: map[markKey]int64{}, pending: map[int32][]Row{}, inserted: map[int32]int{}}, nil
}

// Step does the next piece of work: it makes sure of the lease, reads records once, and inserts when
// enough has gathered or nothing more is there. It reports whether it got on; false means that there was
// nothing to do or that another sink holds the lease. After an error nothing is lost: the next Step tries again.
func (s *Sink) Step(ctx context.Context) (bool, error) {
	held, err := s.hold(ctx)
	if err != nil || !held {
		return false, err
	}
	if !s.ready {
		if err := s.open(ctx); err != nil {
			return false, err
		}
	}
	if s.full() {
		return true, s.flush(ctx)
	}
	fetches, err := s.log.Poll(ctx, s.cfg.MaxRows/usage.MaxBatchEvents+1)
	if err != nil {
		s.leaveLog() // the reader may have lost its place; the stored position is where it goes on
		return false, fmt.Errorf("read rated records: %w", err)
	}
	read := 0
	for i := range fetches {
		read += len(fetches[i].Records)
		if err := s.takeAll(&fetches[i]); err != nil {
			return false, err
		}
	}
	s.measure()
	if read > 0 && !s.full() && s.clock.Now().Sub(s.pendingSince) < s.cfg.MaxDelay {
		return true, nil
	}
	if !s.moved() {
		return read > 0, nil
	}
	return true, s.flush(ctx)
}

// Close inserts nothing more and gives the lease back. What was read and not inserted is read again by the next holder.
func (s *Sink) Close(ctx context.Context) error {
	held := !s.leaseEnds.IsZero()
	s.forget()
	if !held {
		return nil
	}
	if err := s.lease.Release(ctx, s.cfg.Owner); err != nil {
		return fmt.Errorf("release the sink's lease: %w", err)
	}
	return nil
}

// hold renews the lease when less than two thirds of it are left.
func (s *Sink) hold(ctx context.Context) (bool, error) {
	now := s.clock.Now()
	if s.leaseEnds.Sub(now) > s.cfg.LeaseTTL*2/3 || s.cfg.Faults.SleepNotNoticed && !s.leaseEnds.IsZero() {
		return true, nil
	}
	if !s.leaseEnds.IsZero() && !now.Before(s.leaseEnds) {
		s.forget() // another sink may have worked meanwhile
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.InsertTimeout)
	defer cancel()
	held, err := s.lease.Hold(ctx, s.cfg.Owner, s.cfg.LeaseTTL)
	if err != nil {
		return false, fmt.Errorf("take the sink's lease: %w", err)
	}
	if !held && !s.cfg.Faults.LeaseNotChecked {
		s.forget()
		return false, nil
	}
	if s.leaseEnds.IsZero() {
		s.slog.Info("sink holds the lease", "owner", s.cfg.Owner)
	}
	s.leaseEnds = now.Add(s.cfg.LeaseTTL)
	s.metrics.held.Set(1)
	return true, nil
}

// forget drops everything that was true only under the lease.
func (s *Sink) forget() {
	s.leaseEnds, s.ready = time.Time{}, false
	s.metrics.held.Set(0)
	s.drop()
	s.log.Close()
}

// leaveLog makes the next step open everything anew.
func (s *Sink) leaveLog() {
	s.ready = false
	s.drop()
	s.log.Close()
}

func (s *Sink) drop() {
	clear(s.pending)
	clear(s.marks)
	clear(s.readers)
	s.pendingRows, s.pendingBytes, s.pendingSince, s.marksStale = 0, 0, time.Time{}, false
}

// open reads where the sink stands and seeks the log there.
func (s *Sink) open(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.InsertTimeout)
	defer cancel()
	s.drop()
	partitions, err := s.log.Partitions(ctx)
	if err != nil {
		return fmt.Errorf("list the partitions of rated: %w", err)
	}
	stored, err := s.positions.Positions(ctx)
	if err != nil {
		return fmt.Errorf("read the sink's positions: %w", err)
	}
	next := make(map[int32]int64, len(partitions))
	for _, p := range partitions {
		at := Position{Partition: p, Last: -1}
		if i := slices.IndexFunc(stored, func(x Position) bool { return x.Partition == p }); i >= 0 {
			at = stored[i]
		}
		s.readers[p] = &reader{follow: activity.FollowFrom(at.Last), next: at.Next, saved: at, end: at.Next}
		next[p] = at.Next
	}
	if err := s.readMarks(ctx); err != nil {
		return err
	}
	if err := s.log.Seek(ctx, next); err != nil {
		return fmt.Errorf("go to the sink's positions in rated: %w", err)
	}
	s.ready = true
	return nil
}

func (s *Sink) readMarks(ctx context.Context) error {
	above := make([]Position, 0, len(s.readers))
	for _, r := range s.readers {
		above = append(above, r.saved)
	}
	slices.SortFunc(above, func(a, b Position) int { return int(a.Partition - b.Partition) })
	marks, err := s.store.MaxOffsets(ctx, above)
	if err != nil {
		return fmt.Errorf("read the report store's highest offsets: %w", err)
	}
	clear(s.marks)
	for _, m := range marks {
		if s.cfg.Faults.NoMarks {
			break
		}
		s.marks[markKey{m.Partition, m.Month}] = m.Offset
	}
	s.marksStale = false
	return nil
}

// takeAll gathers the rows of the records that follow on.
func (s *Sink) takeAll(f *Fetch) error {
	r := s.readers[f.Partition]
	if r == nil {
		return fmt.Errorf("read rated records: partition %d was not asked for", f.Partition)
	}
	r.end = max(r.end, f.End)
	for i := range f.Records {
		rec := &f.Records[i]
		if rec.At < r.next {
			continue
		}
		r.next = rec.At + 1
		if s.pendingSince.IsZero() {
			s.pendingSince = s.clock.Now()
		}
		s.metrics.records.Inc()
		if err := activity.Decode(rec.Value, &s.record); err != nil {
			// Whatever it is, no rater wrote it. If a rated record was lost here, the ones after it do not follow on.
			s.metrics.errors.WithLabelValues("decode").Inc()
			s.slog.Error("rated record cannot be read and is passed over", "partition", f.Partition, "offset", rec.At, "error", err)
			s.pass(f.Partition, r)
			continue
		}
		if !s.takes(r) {
			s.pass(f.Partition, r)
			continue
		}
		r.waiting, r.alarmed, r.logTime = time.Time{}, false, s.record.LogTime
		s.gather(f.Partition, len(rec.Value))
	}
	return nil
}

func (s *Sink) gather(partition int32, bytes int) {
	list := s.record.Activities
	s.metrics.received.Add(float64(len(list)))
	for len(list) > 0 {
		month := MonthOf(list[0].EventTime)
		start, end := MonthBounds(month)
		n := 1
		for n < len(list) && list[n].EventTime >= start && list[n].EventTime < end {
			n++
		}
		s.gatherMonth(partition, month, list[:n])
		list = list[n:]
	}
	s.pendingBytes += bytes
}

func (s *Sink) gatherMonth(partition, month int32, list []activity.Activity) {
	if mark, ok := s.marks[markKey{partition, month}]; ok && s.record.Offset <= mark {
		s.metrics.duplicates.Add(float64(len(list)))
		return
	}
	rows := s.pending[month]
	if rows == nil {
		rows = make([]Row, 0, s.inserted[month]) // much as before
	}
	for i := range list {
		rows = append(rows, Row{Partition: partition, Offset: s.record.Offset, LogTime: s.record.LogTime, Activity: list[i]})
	}
	s.pending[month] = rows
	s.pendingRows += len(list)
}

// pass counts a record that does not follow on, and raises the alarm when only such records have come for long.
func (s *Sink) pass(partition int32, r *reader) {
	s.metrics.passed.Inc()
	if r.waiting.IsZero() {
		r.waiting = s.clock.Now()
	}
	if !r.alarmed && s.clock.Now().Sub(r.waiting) >= s.cfg.StallAfter {
		r.alarmed = true
		s.slog.Error("the sink is stuck behind a gap in rated: no record follows on from the last one taken",
			"partition", partition, "last_usage_offset", r.follow.Last(), "rated_offset", r.next-1, "passed", r.follow.Passed())
	}
}

func (s *Sink) full() bool {
	return s.pendingRows >= s.cfg.MaxRows || s.pendingBytes >= s.cfg.MaxBytes
}

// moved says whether there is something to insert or a position to store.
func (s *Sink) moved() bool {
	for _, r := range s.readers {
		if r.next != r.saved.Next {
			return true
		}
	}
	return s.pendingRows > 0
}

// flush inserts what has gathered, a block a month, and then stores the position.
func (s *Sink) flush(ctx context.Context) error {
	if s.marksStale && !s.cfg.Faults.MarksNotRefreshed {
		if err := s.refresh(ctx); err != nil {
			return err
		}
	}
	if s.cfg.Faults.PositionFirst {
		if err := s.savePositions(ctx); err != nil {
			return err
		}
	}
	months := make([]int32, 0, len(s.pending))
	for m := range s.pending {
		months = append(months, m)
	}
	slices.Sort(months)
	maps.DeleteFunc(s.inserted, func(m int32, _ int) bool { return s.pending[m] == nil })
	for _, m := range months {
		if held, err := s.hold(ctx); err != nil || !held || !s.ready { // asleep in the insert before: what was pending is dropped
			return err
		}
		if err := s.insert(ctx, Block{Month: m, Rows: s.pending[m]}); err != nil {
			return err
		}
		s.inserted[m] = len(s.pending[m])
		s.pendingRows -= len(s.pending[m])
		delete(s.pending, m)
	}
	return s.savePositions(ctx)
}

func (s *Sink) insert(ctx context.Context, b Block) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.InsertTimeout)
	defer cancel()
	start := s.clock.Now()
	if err := s.store.Insert(ctx, b); err != nil && !s.cfg.Faults.InsertNotAwaited {
		s.marksStale = true
		return fmt.Errorf("insert %d activities of month %s into the report store: %w", len(b.Rows), MonthText(b.Month), err)
	}
	s.metrics.inserted(len(b.Rows), s.clock.Now().Sub(start))
	for i := range b.Rows {
		row := &b.Rows[i]
		s.marks[markKey{row.Partition, b.Month}] = row.Offset
	}
	return nil
}

// refresh learns what an insert of unknown outcome left behind, and drops the rows that are there.
func (s *Sink) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.InsertTimeout)
	defer cancel()
	if err := s.readMarks(ctx); err != nil {
		return err
	}
	for month, rows := range s.pending {
		kept := rows[:0]
		for i := range rows {
			if mark, ok := s.marks[markKey{rows[i].Partition, month}]; ok && rows[i].Offset <= mark {
				s.metrics.duplicates.Inc()
				continue
			}
			kept = append(kept, rows[i])
		}
		s.pendingRows -= len(rows) - len(kept)
		s.pending[month] = kept
		if len(kept) == 0 {
			delete(s.pending, month)
		}
	}
	return nil
}

func (s *Sink) savePositions(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.InsertTimeout)
	defer cancel()
	var changed []Position
	for p, r := range s.readers {
		if at := (Position{Partition: p, Next: r.next, Last: r.follow.Last()}); at != r.saved {
			changed = append(changed, at)
		}
	}
	slices.SortFunc(changed, func(a, b Position) int { return int(a.Partition - b.Partition) })
	if len(changed) > 0 {
		if err := s.positions.SavePositions(ctx, changed); err != nil {
			return fmt.Errorf("store the sink's positions: %w", err)
		}
	}
	for _, at := range changed {
		s.readers[at.Partition].saved = at
	}
	s.pendingBytes, s.pendingSince = 0, time.Time{}
	return nil
}

// MonthText writes a month as 2026-11.
func MonthText(month int32) string { return fmt.Sprintf("%04d-%02d", month/12, month%12+1) }
