// Package clickhouse is the report store in ClickHouse, from 18.16 over the native protocol to current
// versions over native or HTTP.
//
// It implements sink.Store, sink.Reports, sink.Proof, sink.History and sink.Adjustments; it imports the driver, rater/sink and its questions.
// Invariants: a block is one native block of one month, so ClickHouse takes it whole or not at all; inserts
// are synchronous; whatever counts money reads FINAL; decimals pass as 128-bit integers, never as floats.
package clickhouse

import (
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	driver "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/shopspring/decimal"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/sink"
	"github.com/tollstream/tollstream/rater/sink/question"
)

var (
	//go:embed schema.sql
	schemaSQL string
	//go:embed insert.sql
	insertSQL string
	//go:embed columns.sql
	columnsSQL string
	//go:embed max_offsets.sql
	maxOffsetsSQL string
)

// Store is a database of a ClickHouse server.
type Store struct {
	*question.Answers
	conn  driver.Conn
	spare chan *table // at most one: one sink inserts at a time
}

var _ sink.Store = (*Store)(nil)

// maxConnections bounds the connections of one process: the sink uses one, reports the others.
const maxConnections = 8

// Open connects lazily to the server at url: clickhouse://host:9000/database (native) or http://host:8123/database.
func Open(url string) (*Store, error) {
	options, err := options(url)
	if err != nil {
		return nil, err
	}
	conn, err := driver.Open(options)
	if err != nil {
		return nil, fmt.Errorf("open ClickHouse: %w", err)
	}
	return newStore(conn), nil
}

func options(url string) (*driver.Options, error) {
	options, err := driver.ParseDSN(url)
	if err != nil {
		return nil, fmt.Errorf("the ClickHouse url must look like clickhouse://host:9000/database or http://host:8123/database: %w", err)
	}
	options.MaxOpenConns, options.MaxIdleConns = maxConnections, maxConnections
	if options.Compression == nil {
		options.Compression = &driver.Compression{Method: driver.CompressionLZ4}
	}
	if options.DialTimeout == 0 {
		options.DialTimeout = 5 * time.Second
	}
	return options, nil
}

func newStore(conn driver.Conn) *Store {
	s := &Store{conn: conn, spare: make(chan *table, 1)}
	s.Answers = question.New(querier{conn}, question.Dialect{
		Table:       "rated_activity FINAL",
		Rows:        "rated_activity",
		Argument:    func(int) string { return "?" },
		ID:          func(id activity.ID) string { return "unhex('" + id.String() + "')" },
		Int:         func(n int64) string { return fmt.Sprintf("toInt64(%d)", n) },
		Divide:      func(term string, by int64) string { return fmt.Sprintf("toInt64(intDiv(%s, %d))", term, by) },
		UsageEvents: "toInt64(sum(CASE WHEN kind = 1 THEN 1 ELSE 0 END))",
		Count:       "toInt64(count())",
		Latest:      func(term string) string { return "argMax(" + term + ", usage_offset)" },
		// The driver reads lists an element at a time, by reflection.
		Attributes:  "arrayStringConcat(arrayMap(x -> concat(toString(length(x)), ':', x), arrayConcat(attribute_names, attribute_values)))",
		AttributeOf: func(name string) string { return "attribute_values[indexOf(attribute_names, " + name + ")]" },
		Number:      func(term string) string { return "toFixedString(reinterpretAsString(" + term + "), 16)" },
		Attribute: func(name, value string) string {
			// Names are unique, so a pair stands where both lists agree.
			return fmt.Sprintf("arrayExists((n, v) -> n = %s AND v = %s, attribute_names, attribute_values)", name, value)
		},
	})
	return s
}

// Migrate makes the database and its table where they are missing.
func Migrate(ctx context.Context, url string) error {
	o, err := options(url)
	if err != nil {
		return err
	}
	if name := o.Auth.Database; name != "" && name != "default" {
		first := *o
		first.Auth.Database = "default"
		if err := execute(ctx, &first, "CREATE DATABASE IF NOT EXISTS "+quoteName(name)); err != nil {
			return fmt.Errorf("create ClickHouse database %s: %w", name, err)
		}
	}
	if err := execute(ctx, o, schemaSQL); err != nil {
		return fmt.Errorf("create ClickHouse table rated_activity: %w", err)
	}
	if err := widen(ctx, o); err != nil {
		return fmt.Errorf("add columns to ClickHouse table rated_activity: %w", err)
	}
	return nil
}

// widen adds the columns that a table of an earlier version lacks; its rows have the columns' zero values.
func widen(ctx context.Context, o *driver.Options) error {
	conn, err := driver.Open(o)
	if err != nil {
		return err
	}
	defer conn.Close()
	missing := schemaColumns()
	err = querier{conn}.Each(ctx, columnsSQL, nil, func(scan func(...any) error) error {
		var name string
		err := scan(&name)
		missing = slices.DeleteFunc(missing, func(c [2]string) bool { return c[0] == name })
		return err
	})
	for _, c := range missing {
		if err == nil {
			err = conn.Exec(ctx, "ALTER TABLE rated_activity ADD COLUMN "+c[0]+" "+c[1])
		}
	}
	return err
}

// schemaColumns gives the names and types of the table's columns as schema.sql has them, a line each.
func schemaColumns() (list [][2]string) {
	_, lines, _ := strings.Cut(schemaSQL, "(\n")
	lines, _, _ = strings.Cut(lines, "\n)")
	for line := range strings.Lines(lines) {
		name, kind, _ := strings.Cut(strings.TrimSpace(line), " ")
		list = append(list, [2]string{name, strings.TrimSuffix(strings.TrimSpace(kind), ",")})
	}
	return list
}

func execute(ctx context.Context, o *driver.Options, statement string) error {
	conn, err := driver.Open(o)
	if err != nil {
		return err
	}
	return errors.Join(conn.Exec(ctx, statement), conn.Close())
}

func quoteName(name string) string {
	return "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`").Replace(name) + "`"
}

// Ping says whether the server answers.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.conn.Ping(ctx); err != nil {
		return fmt.Errorf("ClickHouse: %w", err)
	}
	return nil
}

// Close closes the connections.
func (s *Store) Close() error { return s.conn.Close() }

// MaxOffsets implements sink.Store.
func (s *Store) MaxOffsets(ctx context.Context, above []sink.Position) ([]sink.Mark, error) {
	if len(above) == 0 {
		return nil, nil
	}
	terms := make([]string, len(above))
	for i, p := range above {
		terms[i] = fmt.Sprintf("(source_partition = %d AND usage_offset > %d)", p.Partition, p.Last)
	}
	var marks []sink.Mark
	err := querier{s.conn}.Each(ctx, fmt.Sprintf(maxOffsetsSQL, strings.Join(terms, " OR ")), nil, func(scan func(...any) error) error {
		var m sink.Mark
		err := scan(&m.Partition, &m.Month, &m.Offset)
		marks = append(marks, m)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read ClickHouse's highest offsets: %w", err)
	}
	return marks, nil
}

// querier runs statements for the questions.
type querier struct{ conn driver.Conn }

// Each implements question.Querier.
func (q querier) Each(ctx context.Context, statement string, args []any, each func(scan func(dest ...any) error) error) error {
	rows, err := q.conn.Query(ctx, statement, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var row scanner
	scan := func(dest ...any) error { return row.scan(rows.Scan, dest) }
	for rows.Next() {
		if err := each(scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// scanner reads rows of one answer.
type scanner struct {
	through []any
	numbers []number
	texts   []string
}

func (s *scanner) scan(scan func(...any) error, dest []any) error {
	if len(s.through) != len(dest) {
		s.through, s.numbers, s.texts = make([]any, len(dest)), make([]number, len(dest)), make([]string, len(dest))
	}
	lists := false
	for i, d := range dest {
		switch d := d.(type) {
		case *money.Decimal:
			s.numbers[i].to = d
			s.through[i] = &s.numbers[i]
		case *activity.ID:
			s.through[i] = (*[16]byte)(d)
		case *sink.Texts:
			s.through[i], lists = &s.texts[i], true
		default:
			s.through[i] = d
		}
	}
	if err := scan(s.through...); err != nil || !lists {
		return err
	}
	for i, d := range dest {
		if list, ok := d.(*sink.Texts); ok {
			if err := list.Split(s.texts[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// number reads a decimal exactly: from the bytes that it consists of (Dialect.Number), or from the driver's own type, an integer and an
// exponent, which takes ten times as long.
type number struct{ to *money.Decimal }

// UnmarshalBinary reads 128 bits in units of 12 decimals, little endian.
func (n *number) UnmarshalBinary(raw []byte) (err error) {
	if len(raw) != 16 {
		return fmt.Errorf("read decimal: it has %d bytes, not 16", len(raw))
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], binary.LittleEndian.Uint64(raw[8:]))
	binary.BigEndian.PutUint64(b[8:], binary.LittleEndian.Uint64(raw))
	*n.to, err = money.FromBinary16(b[:])
	return err
}

// Scan reads the driver's type.
func (n *number) Scan(from any) (err error) {
	d, ok := from.(decimal.Decimal)
	if !ok {
		return fmt.Errorf("read decimal: it is a %T", from)
	}
	if *n.to, err = exact(d); err != nil {
		return fmt.Errorf("read decimal %s: %w", d, err)
	}
	return nil
}

// exact turns the driver's decimal into ours by the integer, as the table's columns have it, or by its text.
func exact(d decimal.Decimal) (money.Decimal, error) {
	if d.Exponent() != -money.Scale {
		return money.Parse(d.String())
	}
	n := d.Coefficient()
	var b [16]byte
	if n.BitLen() >= 8*len(b)-1 {
		return money.Parse(d.String())
	}
	m, err := money.FromBinary16(n.FillBytes(b[:])) // without the sign
	if n.Sign() < 0 {
		m = m.Neg()
	}
	return m, err
}
