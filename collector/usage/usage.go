// Package usage is the language of the `usage` topic: usage events, the control records that travel
// between them, their identity, validation and wire codec.
//
// It is a leaf: it imports ledger/money and nothing else of the project. A record of the topic is
// either a batch of events of one partition or one control record; everything that changes a price,
// a balance or a period reaches the rater as such a record.
//
// Invariants: decoding never panics and never allocates more than a small multiple of its input; a
// decoded record encodes to the same bytes; the identity and the hash of an event never change
// between releases, for duplicates are recognised by them for 35 days.
package usage

import (
	"strings"

	"github.com/tollstream/tollstream/ledger/money"
)

// Bounds of what a publisher may put into one record.
const (
	MaxBatchEvents = 256        // events in a batch record
	MaxBatchBytes  = 256 << 10  // bytes of an encoded batch
	MaxEventBytes  = 16 << 10   // bytes of an encoded event
	MaxRecordBytes = 8<<20 - 64 // bytes of any record; the broker's message.max.bytes is 8 MiB
)

// Event is one use of a product by an account, as it travels in the log: its account is resolved,
// everything else is as the client sent it.
type Event struct {
	ID         string        // required; with Source and the routing key it identifies the event
	Source     string        // never empty in the log
	Account    string        // the account's id; empty when Subject could not be resolved
	Subject    string        // what was sent as the account, where it differs from Account
	RoutingKey string        // decides the partition; empty in memory never, on the wire when it equals Account
	Product    string        // id or identifier, as sent
	Package    string        // the package the event names; empty: none
	Time       int64         // when the usage happened, nanoseconds since the Unix epoch
	Quantity   money.Decimal // 1 when none was sent
	Amount     money.Decimal // money-denominated usage, in Currency
	HasAmount  bool
	Currency   string
	Attributes []Attribute // sorted by name, names unique
	Hash       uint64      // of the event as it was sent, canonical, before defaults and look-ups
	Backfill   bool        // old usage loaded on purpose: no too_old
	Corrects   *EventName  // the event that this one corrects, nil: none
}

// EventName names an event among those of its account.
type EventName struct{ Source, ID string }

// Attribute is a name and a value that the event carries.
type Attribute struct{ Name, Value string }

// Attribute returns the value of the attribute, or "" when the event has none of that name.
func (e *Event) Attribute(name string) string {
	for i := range e.Attributes {
		if e.Attributes[i].Name == name {
			return e.Attributes[i].Value
		}
	}
	return ""
}

// Clone returns a copy that shares no memory with e, which may be part of a larger record.
func (e *Event) Clone() Event {
	c := *e
	for _, s := range []*string{&c.ID, &c.Source, &c.Account, &c.Subject, &c.RoutingKey, &c.Product, &c.Package, &c.Currency} {
		*s = strings.Clone(*s)
	}
	c.Attributes = CloneAttributes(e.Attributes)
	c.Corrects = e.Corrects.Clone()
	return c
}

// Clone is Event.Clone for a name, which may be nil.
func (n *EventName) Clone() *EventName {
	if n == nil {
		return nil
	}
	return &EventName{Source: strings.Clone(n.Source), ID: strings.Clone(n.ID)}
}

// CloneAttributes is Event.Clone for attributes alone.
func CloneAttributes(list []Attribute) []Attribute {
	if len(list) == 0 {
		return nil
	}
	kept := make([]Attribute, len(list))
	for i, a := range list {
		kept[i] = Attribute{Name: strings.Clone(a.Name), Value: strings.Clone(a.Value)}
	}
	return kept
}

// RecordKind says what a record of the topic is.
type RecordKind uint8

// The kinds of records. Their numbers are part of the wire format.
const (
	KindBatch       RecordKind = 1 // events, as they were accepted
	KindRetry       RecordKind = 2 // rejected usage that is tried again
	KindDefinitions RecordKind = 3 // a range of definitions becomes active
	KindSeal        RecordKind = 4 // a billed account's period is complete
	KindSweep       RecordKind = 5 // lines are priced under newer definitions
	KindMarker      RecordKind = 6 // an account's usage is rated anew: the job sums up what stands before
	KindResult      RecordKind = 7 // … a part of what it amounts to
	KindValues      RecordKind = 8 // … distinct values that were counted in it
)

// Record is one record of the `usage` topic. Exactly one of the members that its kind names is set.
type Record struct {
	Kind        RecordKind
	Events      []Event      // KindBatch, KindRetry
	Definitions *Definitions // KindDefinitions
	Seal        *Seal        // KindSeal
	Sweep       *Sweep       // KindSweep
	Marker      *Marker      // KindMarker
	Result      *Result      // KindResult
	Values      *Values      // KindValues
}

// Definitions activates the sequence numbers From to To, both inclusive. Hashes chain: Hash is made
// of PreviousHash and the range's rows, so that a gap or another history is noticed.
type Definitions struct {
	From, To     int64
	PreviousHash uint64
	Hash         uint64
	Links        []uint64        // the chain's hash after each sequence number From … To; lets a reader that already has part of the range apply its tail
	Changed      []DefinitionRef // what changed, so that a reader drops no more than that
	All          bool            // too much changed to name it: everything cached is dropped, Changed is empty
}

// Bounds of a Definitions record.
const (
	MaxDefinitionRange = 1024 // sequence numbers in one record
	MaxDefinitionRefs  = 4096 // changed definitions named in one record
)

// DefinitionRef names a definition that changed.
type DefinitionRef struct {
	Seq  int64
	Kind string // a catalog.Kind
	ID   string
	// Account is the account that a contract belongs to; empty for other kinds.
	Account string
}

// Seal completes a billed account's period on this partition: what stands before it is in, what
// comes after it is late.
type Seal struct {
	Account     string // the billed account
	PeriodStart int64  // instants
	PeriodEnd   int64
}

// Identity is the 128-bit name of an event: xxh3 of routing key, source and id.
type Identity [16]byte
