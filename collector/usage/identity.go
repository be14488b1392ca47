package usage

import (
	"encoding/binary"

	"github.com/zeebo/xxh3"

	"github.com/tollstream/tollstream/ledger/money"
)

// Identity names the event among all events: the same routing key, source and id give the same
// identity for ever.
func (e *Event) Identity() Identity {
	var stack [512]byte
	id, _ := identity(stack[:0], e)
	return id
}

// Identifier makes the identities of many events in the same memory. The zero value is ready.
type Identifier struct{ parts []byte }

// Identity is that of the event.
func (x *Identifier) Identity(e *Event) (id Identity) {
	id, x.parts = identity(x.parts[:0], e)
	return id
}

func identity(b []byte, e *Event) (id Identity, parts []byte) {
	b = appendPart(b, e.RoutingKey)
	b = appendPart(b, e.Source)
	b = appendPart(b, e.ID)
	return xxh3.Hash128(b).Bytes(), b
}

// PartitionOf gives the partition of a routing key among so many partitions, which must be more
// than none.
func PartitionOf(routingKey string, partitions int) int32 {
	return int32(xxh3.HashString(routingKey) % uint64(partitions)) //nolint:gosec // smaller than partitions
}

// UnresolvedKey gives the routing key of usage whose account is unknown: it depends on nothing but
// what was sent, so that duplicates meet, and starts with a character that no account id may start
// with.
func UnresolvedKey(subject string) string {
	const digits = "0123456789abcdef"
	hash := xxh3.HashString(subject)
	var key [17]byte
	key[0] = '?'
	for i := 16; i > 0; i-- {
		key[i] = digits[hash&15]
		hash >>= 4
	}
	return string(key[:])
}

// Sent is an event as its sender wrote it, parsed and checked, before defaults and look-ups. An
// empty string and a false Has… mean that the member was not sent.
type Sent struct {
	Index       int // of the event in its request, from 0; of the row in its chunk
	ID          string
	Source      string
	Account     string // an account's id or identifier
	Product     string
	Package     string
	Time        int64
	HasTime     bool
	Quantity    money.Decimal
	HasQuantity bool
	Amount      money.Decimal
	HasAmount   bool
	Currency    string
	Attributes  []Attribute // sorted by name, names unique
	Corrects    *EventName  // without a source: that of the event
}

// The members that HashOf writes, by the letter that stands before each.
const (
	hashAccount   = 'a'
	hashProduct   = 'p'
	hashPackage   = 'k'
	hashTime      = 't'
	hashQuantity  = 'q'
	hashAmount    = 'm'
	hashCurrency  = 'c'
	hashAttribute = 'x'
	hashCorrects  = 'r'
)

// HashOf gives the hash of what was sent. Spelling does not count (the order of members, "3" or 3 or
// 3.0, an instant in another zone); sending a member or leaving it out does, even where the default
// says the same. Id and source are not part of it: the identity holds them.
func HashOf(s *Sent) uint64 {
	var stack [256]byte // most events fit; a larger one would have to be cleared for each of them
	b := appendMember(stack[:0], hashAccount, s.Account)
	b = appendMember(b, hashProduct, s.Product)
	b = appendMember(b, hashPackage, s.Package)
	if s.HasTime {
		b = append(b, hashTime)
		b = binary.BigEndian.AppendUint64(b, uint64(s.Time))
	}
	if s.HasQuantity {
		b = s.Quantity.AppendBinary16(append(b, hashQuantity))
	}
	if s.HasAmount {
		b = s.Amount.AppendBinary16(append(b, hashAmount))
	}
	b = appendMember(b, hashCurrency, s.Currency)
	for i := range s.Attributes {
		b = appendPart(append(b, hashAttribute), s.Attributes[i].Name)
		b = appendPart(b, s.Attributes[i].Value)
	}
	if s.Corrects != nil {
		b = appendPart(append(b, hashCorrects), s.Corrects.Source)
		b = appendPart(b, s.Corrects.ID)
	}
	return xxh3.Hash(b)
}

// Event gives the event for the log, with the defaults filled in: arrival for a missing time, 1 for
// a missing quantity, source for a missing source. Account, Subject and RoutingKey are left to the
// caller, who looks the account up.
func (s *Sent) Event(source string, arrival int64) Event {
	e := Event{
		ID: s.ID, Source: s.Source, Product: s.Product, Package: s.Package,
		Time: s.Time, Quantity: s.Quantity, Amount: s.Amount, HasAmount: s.HasAmount,
		Currency: s.Currency, Attributes: s.Attributes, Hash: HashOf(s),
	}
	if e.Source == "" {
		e.Source = source
	}
	if !s.HasTime {
		e.Time = arrival
	}
	if !s.HasQuantity {
		e.Quantity = money.One
	}
	if s.Corrects != nil {
		e.Corrects = &EventName{Source: s.Corrects.Source, ID: s.Corrects.ID}
		if e.Corrects.Source == "" {
			e.Corrects.Source = e.Source
		}
	}
	return e
}

// appendMember writes a member that was sent, and nothing for one that was not.
func appendMember(b []byte, letter byte, s string) []byte {
	if s == "" {
		return b
	}
	return appendPart(append(b, letter), s)
}

// appendPart writes a string behind its length, so that no two lists of parts are written alike.
func appendPart(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}
