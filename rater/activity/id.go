package activity

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/zeebo/xxh3"
)

// Domains keep identifiers of different kinds apart. Like the way parts are joined they are for ever: a changed
// identifier would bill twice.
const (
	domainInvoice = 'I'
	domainLine    = 'L'
	domainFamily  = 'F'
	domainPool    = 'P'

	domainSet = 'S'

	domainCorrection = 'C'
)

// InvoiceID names the invoice of a billed account for the period that starts at the instant.
func InvoiceID(seller, billed string, periodStart int64) ID {
	var stack [256]byte
	b := append(stack[:0], domainInvoice)
	b = appendPart(b, seller)
	b = appendPart(b, billed)
	b = binary.BigEndian.AppendUint64(b, uint64(periodStart))
	return sum(b)
}

// FamilyID names the lines that are priced together: the line of the usage's own period and those that
// continue it on later invoices. Group is the usage's values of the product's group_by, in its order;
// usageStart is the start of the period that the usage belongs to.
func FamilyID(seller, account, product, pkg string, group []Attribute, billed string, usageStart int64) ID {
	var stack [512]byte
	b := append(stack[:0], domainFamily)
	b = appendPart(b, seller)
	b = appendPart(b, account)
	b = appendPart(b, product)
	b = appendPart(b, pkg)
	b = binary.AppendUvarint(b, uint64(len(group)))
	for i := range group {
		b = appendPart(b, group[i].Name)
		b = appendPart(b, group[i].Value)
	}
	b = appendPart(b, billed)
	b = binary.BigEndian.AppendUint64(b, uint64(usageStart))
	return sum(b)
}

// SetID names the values of an attribute that are counted together: in one cell of a family's lines, from the record on at
// the offset at which the set has begun. Where they are counted anew that is the marker.
func SetID(family ID, cell, attribute string, began int64) ID {
	var stack [256]byte
	b := append(stack[:0], domainSet)
	b = append(b, family[:]...)
	b = appendPart(b, cell)
	b = appendPart(b, attribute)
	return sum(binary.BigEndian.AppendUint64(b, uint64(began)))
}

// CorrectionID names the family of the lines that correct a line of a closed invoice.
func CorrectionID(line ID) ID { return sum(append([]byte{domainCorrection}, line[:]...)) }

// LineID names a family's line on an invoice.
func LineID(family, invoice ID) ID {
	var stack [33]byte
	b := append(stack[:0], domainLine)
	b = append(b, family[:]...)
	return sum(append(b, invoice[:]...))
}

// PoolID names usage that has tiers together: of a period that starts at the instant, of what is billed to one account. Scope
// is the word of the catalogue, and of says whose usage it is: an account, a package or, of all that are billed together, nobody's.
// Capacities of an account are one pool, whose product is empty.
func PoolID(seller, scope, of, product, currency, billed string, usageStart int64) ID {
	var stack [512]byte
	b := append(stack[:0], domainPool)
	for _, part := range [...]string{seller, scope, of, product, currency, billed} {
		b = appendPart(b, part)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(usageStart))
	return sum(b)
}

// appendPart writes the length first, so that no two lists of parts look alike.
func appendPart(b []byte, part string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(part))), part...)
}

func sum(b []byte) ID { return ID(xxh3.Hash128(b).Bytes()) }

// String returns the identifier as 32 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// IsZero says that nothing is named.
func (id ID) IsZero() bool { return id == ID{} }
