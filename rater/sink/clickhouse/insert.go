package clickhouse

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/tollstream/tollstream/rater/sink"
)

// Insert implements sink.Store: one native block, answered when ClickHouse has written its part.
func (s *Store) Insert(ctx context.Context, b sink.Block) error {
	if len(b.Rows) == 0 {
		return nil
	}
	t := s.takeTable()
	defer s.keepTable(t)
	t.fill(b)
	batch, err := s.conn.PrepareBatch(ctx, insertSQL)
	if err != nil {
		return fmt.Errorf("begin a ClickHouse block: %w", err)
	}
	if err := t.into(batch.Columns(), len(b.Rows)); err != nil {
		_ = batch.Abort() // the block is dropped anyway
		return err
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("send a ClickHouse block: %w", err)
	}
	return nil
}

func (s *Store) takeTable() *table {
	select {
	case t := <-s.spare:
		return t
	default:
		return newTable()
	}
}

func (s *Store) keepTable(t *table) {
	t.forget()
	select {
	case s.spare <- t:
	default:
	}
}

// table is a block on its side, which is how ClickHouse takes it. Its memory is used again for the next block.
type table struct {
	columns []column
	source  bytes.Reader
	reader  *proto.Reader // of source; it has nothing left after each column
}

func newTable() *table {
	t := &table{columns: columns()}
	t.reader = proto.NewReader(&t.source)
	return t
}

// strip is how many rows are turned at a time, so that they stay in the processor's cache from column to column.
const strip = 256

func (t *table) fill(b sink.Block) {
	for from := 0; from < len(b.Rows); from += strip {
		rows := b.Rows[from:min(from+strip, len(b.Rows))]
		for _, c := range t.columns {
			c.fill(b.Month, rows)
		}
	}
}

// into moves the columns into the driver's.
func (t *table) into(to []driverColumn, rows int) error {
	if len(to) != len(t.columns) {
		return fmt.Errorf("fill a ClickHouse block: it has %d columns, not %d", len(to), len(t.columns))
	}
	for i, c := range t.columns {
		if err := c.into(to[i], rows, t); err != nil {
			return fmt.Errorf("fill column %d of a ClickHouse block: %w", i, err)
		}
	}
	return nil
}

// decode has the driver take bytes over as they go over the wire, instead of value by value. They mean nothing in a column of another type.
func (t *table) decode(to driverColumn, as string, b []byte, rows int) error {
	if is := string(to.Type()); is != as && !strings.HasPrefix(is, as+"(") { // DateTime may name its zone
		return fmt.Errorf("it is of type %s, not %s: the table was changed", is, as)
	}
	t.source.Reset(b)
	return to.Decode(t.reader, rows)
}

// forget lets go of the block's texts.
func (t *table) forget() {
	for _, c := range t.columns {
		c.forget()
	}
}
