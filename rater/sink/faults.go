package sink

import "github.com/tollstream/tollstream/rater/activity"

// Faults are deliberate violations of the sink's rules, one a member. The rater's simulation switches each on in turn
// and must notice; nothing else sets them.
type Faults struct {
	NoMarks           bool // what the report store holds already is not asked for
	MarksNotRefreshed bool // a block of unknown outcome is inserted again without asking what became of it
	StopAtGap         bool // a record that does not follow on ends the reading of its partition
	TakeBehindGap     bool // … is taken
	PositionFirst     bool // the position is stored before the blocks are inserted
	InsertNotAwaited  bool // an insert that failed counts as done
	LeaseNotChecked   bool // another sink's lease is no reason not to work
	SleepNotNoticed   bool // a lease that ran out is not asked for again
}

// takes says whether the record counts for readers of `rated`.
func (s *Sink) takes(r *reader) bool {
	switch f := &s.cfg.Faults; {
	case f.TakeBehindGap && s.record.Previous > r.follow.Last():
		r.follow = activity.FollowFrom(s.record.Previous)
	case f.StopAtGap && s.record.Previous > r.follow.Last():
		r.follow = activity.FollowFrom(1 << 62)
	}
	return r.follow.Take(&s.record)
}
