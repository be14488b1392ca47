// Package collector brings usage into the log: it takes events that were parsed and checked, looks
// their accounts up, gathers them into records per partition and answers when the broker has them;
// and it runs the collectors that read usage from files.
//
// It imports collector/usage, collector/format, collector/source and ledger/money. The broker, the
// accounts and the store of runs are interfaces here, implemented by collector/kafka, by the
// catalogue's adapter and by collector/pg.
//
// Invariants: an event that was answered as accepted is on all in-sync replicas; an event is never
// dropped silently: it is accepted, refused with its reason, or the whole request fails; a file's
// checkpoint never runs ahead of what the broker acknowledged; every buffer has a bound.
package collector

import "errors"

// The errors that a caller tells apart. Both mean: try the same again later; a resend of what did
// get through is recognised as a duplicate.
var (
	// ErrUnavailable says that a store that is needed does not answer (HTTP 503).
	ErrUnavailable = errors.New("temporarily unavailable")
	// ErrBackpressure says that more is arriving than the broker takes (HTTP 429).
	ErrBackpressure = errors.New("too much usage at once")
)
