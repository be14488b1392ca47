package pg

import (
	"encoding/binary"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
)

// array is a parameter of an array's type as PostgreSQL reads it: one dimension from 1 on, no nulls, each element behind its length.
type array []byte

const arrayHeader = 5 * 4

func newArray(element uint32, n, size int) array {
	a := make(array, 0, arrayHeader+n*(4+size))
	a.header(element, n)
	return a
}

func (a *array) header(element uint32, n int) {
	for _, field := range [...]uint32{1, 0, element, uint32(n), 1} {
		*a = binary.BigEndian.AppendUint32(*a, field)
	}
}

func (a *array) bytes(v []byte) { *a = append(binary.BigEndian.AppendUint32(*a, uint32(len(v))), v...) }

func (a *array) text(v string) { *a = append(binary.BigEndian.AppendUint32(*a, uint32(len(v))), v...) }

func (a *array) int32(v int) {
	*a = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(*a, 4), uint32(v))
}

func (a *array) int64(v int64) {
	*a = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(*a, 8), uint64(v))
}

func (a *array) decimal(v money.Decimal) {
	begin := len(*a)
	*a, _ = v.AppendText(append(*a, 0, 0, 0, 0)) // never fails
	binary.BigEndian.PutUint32((*a)[begin:], uint32(len(*a)-begin-4))
}

// knownLines are the parameters of an update of lines that stand, on the wire: their encoding takes a quarter of what
// the driver's takes.
func knownLines(partition int32, cut int64, lines []*rater.LineState) [][]byte {
	n := len(lines)
	family, position := newArray(pgtype.UUIDOID, n, 16), newArray(pgtype.Int4OID, n, 4)
	quantity, events, amount := newArray(pgtype.TextOID, n, 10), newArray(pgtype.Int8OID, n, 8), newArray(pgtype.TextOID, n, 10)
	segments, seq, version := newArray(pgtype.ByteaOID, n, 72), newArray(pgtype.Int8OID, n, 8), newArray(pgtype.Int8OID, n, 8)
	level, account, id, model := newArray(pgtype.TextOID, n, 16), newArray(pgtype.TextOID, n, 8), newArray(pgtype.TextOID, n, 24), newArray(pgtype.TextOID, n, 10)
	for _, l := range lines {
		family.bytes(l.Family[:])
		position.int32(l.Position)
		quantity.decimal(l.Quantity)
		events.int64(l.Events)
		amount.decimal(l.Amount)
		segments.bytes(l.Segments)
		seq.int64(l.Seq)
		level.text(l.RateLevel)
		account.text(l.RateAccount)
		id.text(l.RateID)
		model.text(l.RateModel)
		version.int64(l.Version)
	}
	return [][]byte{
		binary.BigEndian.AppendUint32(nil, uint32(partition)), family, position, quantity, events, amount, segments, seq, level, account, id, model, version,
		binary.BigEndian.AppendUint64(nil, uint64(cut)),
	}
}
