package activity

// Follow is the rule by which any reader of the `rated` topic tells which records count: one counts
// only if its Previous is the usage offset of the last one that counted. Others are passed over: a failed
// produce leaves later records behind, which the next owner of the partition writes again in order, and
// a replay repeats what already stands there.
//
// The zero value is not ready; see FollowFrom.
type Follow struct {
	last   int64
	passed int64
}

// FollowFrom starts after the record of the given usage offset; -1: before the first record. A reader that
// stores its position stores Last with it.
func FollowFrom(last int64) Follow { return Follow{last: last} }

// Take says whether the record counts, and if so moves on to it.
func (f *Follow) Take(r *Record) bool { return f.TakeOffset(r.Previous, r.Offset) }

// TakeOffset is Take for a record of which only the header was decoded.
func (f *Follow) TakeOffset(previous, offset int64) bool {
	if previous != f.last || offset <= f.last {
		f.passed++
		return false
	}
	f.last, f.passed = offset, 0
	return true
}

// Last returns the usage offset of the last record that counted.
func (f *Follow) Last() int64 { return f.last }

// Passed returns how many records were passed over since the last one that counted. When it grows while
// nothing is taken, the reader is stuck behind a gap and an alarm is due.
func (f *Follow) Passed() int64 { return f.passed }
