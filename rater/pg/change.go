package pg

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tollstream/tollstream/rater"
)

const (
	// appendLines is how many changed lines a commit of a partition appends instead of updating each.
	appendLines = 256
	// changeBytes keeps a row of changes under PostgreSQL's 2 KiB threshold.
	changeBytes = 1800
	// foldLines bounds the lines that one transaction folds: commits of the partition wait for it.
	foldLines = 2048
)

var (
	commitCutsSQL = statement("commit_cuts")
	foldCutsSQL   = statement("fold_cuts")
	foldMarkSQL   = statement("fold_mark")
	foldLinesSQL  = statement("fold_lines")
)

// changes are the changed lines of large cuts. They are appended as they come, some in a row, at a tenth of what their updates cost, and
// folded into their rows later, the newest of each (Store.Fold); line_now shows lines with them. So a line that is
// said to stand must: it is not looked for.
type changes struct {
	partition []int32
	cut       []int64
	lines     []int32
	stream    []byte // of COPY, binary
	scratch   []byte
}

// append takes lines of a cut, in the order of their keys.
func (c *changes) append(of *rater.Cut, lines []*rater.LineState) {
	c.partition, c.cut, c.lines = append(c.partition, of.Fence.Partition), append(c.cut, of.Next), append(c.lines, int32(len(lines)))
	if c.stream == nil {
		c.stream = append(c.stream, "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)
	}
	size, begin := 0, 0
	for i, l := range lines {
		s := c.changeSize(l)
		if i > begin && size+s > changeBytes && l.Family != lines[i-1].Family {
			c.row(of, lines[begin:i])
			size, begin = 0, i
		}
		size += s
	}
	if begin < len(lines) {
		c.row(of, lines[begin:])
	}
}

// changeSize is what a line takes of a row, or a little more.
func (c *changes) changeSize(l *rater.LineState) int {
	const fixed, lengths = 16 + 4 + 3*8, 7 * (4 + 3)
	c.scratch, _ = l.Quantity.AppendText(c.scratch[:0]) // never fails
	c.scratch, _ = l.Amount.AppendText(c.scratch)
	return fixed + lengths + len(c.scratch) + len(l.Segments) + len(l.RateLevel) + len(l.RateAccount) + len(l.RateID) + len(l.RateModel)
}

func (c *changes) row(of *rater.Cut, lines []*rater.LineState) {
	const columns = 8
	b := binary.BigEndian.AppendUint16(c.stream, columns)
	b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, 4), uint32(of.Fence.Partition))
	b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(b, 8), uint64(of.Next))
	b = append(binary.BigEndian.AppendUint32(b, 16), lines[0].Family[:]...)
	n := len(lines)
	b = field(b, pgtype.UUIDOID, n, func(a *array) {
		for _, l := range lines {
			a.bytes(l.Family[:])
		}
	})
	b = field(b, pgtype.Int4OID, n, func(a *array) {
		for _, l := range lines {
			a.int32(l.Position)
		}
	})
	b = field(b, pgtype.Int8OID, 3*n, func(a *array) {
		for _, l := range lines {
			a.int64(l.Events)
			a.int64(l.Seq)
			a.int64(l.Version)
		}
	})
	b = field(b, pgtype.TextOID, 6*n, func(a *array) {
		for _, l := range lines {
			a.decimal(l.Quantity)
			a.decimal(l.Amount)
			a.text(l.RateLevel)
			a.text(l.RateAccount)
			a.text(l.RateID)
			a.text(l.RateModel)
		}
	})
	c.stream = field(b, pgtype.ByteaOID, n, func(a *array) {
		for _, l := range lines {
			a.bytes(l.Segments)
		}
	})
}

// field appends an array as a field of a row.
func field(b []byte, element uint32, n int, fill func(*array)) []byte {
	begin := len(b)
	a := array(append(b, 0, 0, 0, 0))
	a.header(element, n)
	fill(&a)
	binary.BigEndian.PutUint32(a[begin:], uint32(len(a)-begin-4))
	return a
}

func (c *changes) queue(batch *pgx.Batch) {
	if len(c.cut) > 0 {
		batch.Queue(commitCutsSQL, c.partition, c.cut, c.lines)
	}
}

func (c *changes) copy(ctx context.Context, tx pgx.Tx) error {
	if c.stream == nil {
		return nil
	}
	const end = "\xff\xff"
	_, err := tx.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(append(c.stream, end...)),
		"COPY line_change (partition, cut, first, families, positions, numbers, texts, segments) FROM STDIN BINARY")
	return err
}

var errFoldingLost = errors.New("what was folded of the lines is not there any more")

// Fold folds the changed lines that commits have appended into their rows, a part in a transaction. Each says how far it came, since the
// one before it may be lost in a failover that keeps the commits. It waits while another partition's are folded. After ErrFenced
// nothing was changed that counts.
func (s *Store) Fold(ctx context.Context, f rater.Fence) error {
	select {
	case s.folding <- struct{}{}:
		defer func() { <-s.folding }()
	case <-ctx.Done():
		return ctx.Err()
	}
	var through, lines int64
	var from pgtype.UUID
	err := s.pool.QueryRow(ctx, foldCutsSQL, f.Partition).Scan(&through, &lines, &from)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return failed(f, "look for lines to fold", err)
	}
	parts := uint64(lines/foldLines + 1) // of equal size: families are hashes
	for i := uint64(1); i <= parts; i++ {
		to := pgtype.UUID{Valid: true}
		binary.BigEndian.PutUint64(to.Bytes[:], i*(math.MaxUint64/parts))
		if i == parts {
			to.Bytes = lastFamily
		}
		if from.Valid && bytes.Compare(to.Bytes[:], from.Bytes[:]) <= 0 {
			continue // an earlier folding came so far
		}
		if err := s.foldPart(ctx, f, through, from, to); err != nil {
			return failed(f, "fold lines", err)
		}
		from = to
	}
	return nil
}

var lastFamily = [16]byte(bytes.Repeat([]byte{0xff}, 16))

// foldPart folds what commits up to one have appended of the families above one up to another. With the last it is gone.
func (s *Store) foldPart(ctx context.Context, f rater.Fence, through int64, from, to pgtype.UUID) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := holdCheckpoint(ctx, tx, f); err != nil {
			return err
		}
		marked, err := tx.Exec(ctx, foldMarkSQL, f.Partition, through, from, to)
		if err != nil {
			return err
		}
		if marked.RowsAffected() != 1 {
			return errFoldingLost
		}
		batch := &pgx.Batch{}
		batch.Queue(byIndexSQL)
		batch.Queue(foldLinesSQL, f.Partition, through, from, to)
		if to.Bytes == lastFamily {
			// Indexes: the primary keys.
			batch.Queue("DELETE FROM line_change WHERE partition = $1 AND cut <= $2", f.Partition, through)
			batch.Queue("DELETE FROM line_cut WHERE partition = $1 AND cut <= $2", f.Partition, through)
		}
		return tx.SendBatch(ctx, batch).Close()
	})
}
