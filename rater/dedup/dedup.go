package dedup

import "github.com/tollstream/tollstream/collector/usage"

// Entry is a rated event's identity as it is remembered.
type Entry struct {
	ID      usage.Identity
	Hash    uint64 // of the event as it was sent
	Arrived int64  // log time, instant
}
