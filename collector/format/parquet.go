package format

import (
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	pformat "github.com/parquet-go/parquet-go/format"

	"github.com/tollstream/tollstream/collector/usage"
)

// Parquet is a file of columns. A path is a column's, through groups; below a map stands a key, and
// behind a list a number: lineItem.cost, tags["team"], charges[0]. Decimals are exact, times are in RFC
// 3339 (without a zone where the file has none), and the floating-point numbers of a file are the
// shortest decimals that name them.
type Parquet struct {
	Values Notation
}

// DefaultParquet is what a configuration changes.
func DefaultParquet() Parquet { return Parquet{Values: DefaultNotation()} }

// Check implements Format.
func (p *Parquet) Check() (member, message string) { return p.Values.Check() }

// CheckPath implements Format.
func (p *Parquet) CheckPath(path Path) string { return checkNested(path) }

// Notation implements Format.
func (p *Parquet) Notation() *Notation { return &p.Values }

// Open implements Format.
func (p *Parquet) Open(in Input, paths []Path, from Position) (r Reader, err error) {
	at, size, ok := in.Whole()
	if !ok {
		return nil, errors.New("a Parquet file is read from its end: give it unpacked, as a file")
	}
	defer func() { err = orPanic(err, recover()) }()
	file, err := parquet.OpenFile(at, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, fmt.Errorf("the file is torn, or no Parquet file: %w", err)
	}
	out := &parquetReader{file: file, fields: len(paths), at: Start, buffer: make([]parquet.Row, 64), columns: make([][]parquetField, len(file.Schema().Columns()))}
	for i, path := range paths {
		if err := out.bind(i, path); err != nil {
			return nil, err
		}
	}
	return out, out.seek(from.Line - 1)
}

// orPanic makes an error of what the library gives up on.
func orPanic(err error, panicked any) error {
	if panicked != nil {
		return fmt.Errorf("the file is torn, or no Parquet file: %v", panicked)
	}
	return err
}

// parquetReader reads the rows of one row group after another.
type parquetReader struct {
	file    *parquet.File
	columns [][]parquetField // that are wanted, by the number of the column
	fields  int
	group   int // of the rows
	rows    parquet.Rows
	buffer  []parquet.Row
	from    int // buffer[from:to] is unread
	to      int
	at      Position
}

// parquetField is what is wanted of a column.
type parquetField struct {
	field   int
	text    func(v parquet.Value) string
	element int    // of a list, from 0; -1: the column has one value
	keys    int    // the column of a map's keys, or -1
	key     string // that is looked for
}

// bind finds the column of a path.
func (r *parquetReader) bind(field int, path Path) error {
	steps, message := parsePath(path.Name)
	if message != "" {
		return fmt.Errorf("%s: %s", path.Member, message)
	}
	schema := r.file.Schema()
	f := parquetField{field: field, element: -1, keys: -1}
	var node parquet.Node = schema
	var names []string
	for _, s := range steps {
		below, more, message := f.down(node, s, schema, names)
		if message != "" {
			return fmt.Errorf("%s: the file has no %s: %s", path.Member, path, message)
		}
		node, names = below, append(names, more...)
	}
	leaf, ok := schema.Lookup(names...)
	single := leaf.MaxRepetitionLevel == 0 || leaf.MaxRepetitionLevel == 1 && (f.element >= 0 || f.keys >= 0)
	switch {
	case !ok:
		return fmt.Errorf("%s: %s is a group; it has %s", path.Member, path, listed(fieldNames(node)))
	case !single:
		return fmt.Errorf("%s: %s has several values in a row; name one, as in list[0] or map[\"key\"]", path.Member, path)
	}
	f.text = textOf(leaf.Node)
	r.columns[leaf.ColumnIndex] = append(r.columns[leaf.ColumnIndex], f)
	return nil
}

func fieldNames(n parquet.Node) (names []string) {
	for _, f := range n.Fields() {
		names = append(names, f.Name())
	}
	return names
}

// down goes one step of a path, through the groups in between that lists and maps are made of.
func (f *parquetField) down(node parquet.Node, s step, schema *parquet.Schema, names []string) (below parquet.Node, more []string, message string) {
	if logical := logicalOf(node); s.element >= 0 || isMap(logical) {
		inner := node.Fields()
		if len(inner) != 1 || f.element >= 0 || f.keys >= 0 {
			return nil, nil, "only a list has elements, and of one list only"
		}
		parts := inner[0].Fields()
		switch {
		case s.element < 0 && len(parts) == 2: // key and value
			leaf, ok := schema.Lookup(append(append([]string{}, names...), inner[0].Name(), parts[0].Name())...)
			if !ok {
				return nil, nil, "the keys of the map are no texts"
			}
			f.keys, f.key = leaf.ColumnIndex, s.member
			if parts[0].Name() != "key" {
				parts[0], parts[1] = parts[1], parts[0]
			}
			return parts[1], []string{inner[0].Name(), parts[1].Name()}, ""
		case s.element >= 0 && len(parts) == 1:
			f.element = s.element
			return parts[0], []string{inner[0].Name(), parts[0].Name()}, ""
		}
		return nil, nil, "it is neither a list nor a map"
	}
	for _, c := range node.Fields() {
		if c.Name() == s.member {
			return c, []string{s.member}, ""
		}
	}
	return nil, nil, "there are " + listed(fieldNames(node))
}

func logicalOf(n parquet.Node) pformat.LogicalTypeValue {
	if t := n.Type().LogicalType(); t != nil {
		return t.Value
	}
	return nil
}

func isMap(t pformat.LogicalTypeValue) bool {
	_, ok := t.(*pformat.MapType)
	return ok
}

// textOf says how the values of a column are written.
func textOf(n parquet.Node) func(parquet.Value) string {
	switch t := logicalOf(n).(type) {
	case *pformat.DecimalType:
		return func(v parquet.Value) string { return decimalText(v, int(t.Scale)) }
	case *pformat.DateType:
		return func(v parquet.Value) string { return time.Unix(int64(v.Int32())*86400, 0).UTC().Format(time.DateOnly) }
	case *pformat.TimestampType:
		layout := "2006-01-02T15:04:05.999999999"
		if t.IsAdjustedToUTC {
			layout += "Z07:00"
		}
		unit := t.Unit.Value.Duration()
		return func(v parquet.Value) string {
			per := int64(time.Second / unit)
			second, rest := v.Int64()/per, v.Int64()%per
			return time.Unix(second, rest*int64(unit)).UTC().Format(layout)
		}
	case *pformat.UUIDType:
		return func(v parquet.Value) string {
			b := v.Bytes()
			if len(b) != 16 {
				return ""
			}
			return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
		}
	case *pformat.IntType:
		if !t.IsSigned {
			return func(v parquet.Value) string {
				if v.Kind() == parquet.Int32 {
					return strconv.FormatUint(uint64(v.Uint32()), 10)
				}
				return strconv.FormatUint(v.Uint64(), 10)
			}
		}
	}
	return plainText
}

func plainText(v parquet.Value) string {
	switch v.Kind() {
	case parquet.Boolean:
		return strconv.FormatBool(v.Boolean())
	case parquet.Int32:
		return strconv.FormatInt(int64(v.Int32()), 10)
	case parquet.Int64:
		return strconv.FormatInt(v.Int64(), 10)
	case parquet.Float: // the file has it so; no sum is ever made of floats
		return strconv.FormatFloat(float64(v.Float()), 'f', -1, 32) //nolint:forbidigo // read once, exactly
	case parquet.Double:
		return strconv.FormatFloat(v.Double(), 'f', -1, 64)
	case parquet.Int96: // nanoseconds of the day and a Julian day
		i := v.Int96()
		const julianEpoch = 2440588
		return time.Unix((int64(i[2])-julianEpoch)*86400, int64(uint64(i[1])<<32|uint64(i[0]))).UTC().Format(time.RFC3339Nano)
	default:
		return string(v.Bytes())
	}
}

// decimalText writes an unscaled number with so many decimals.
func decimalText(v parquet.Value, scale int) string {
	var n big.Int
	switch v.Kind() {
	case parquet.Int32:
		n.SetInt64(int64(v.Int32()))
	case parquet.Int64:
		n.SetInt64(v.Int64())
	default: // two's complement, the highest byte first
		b := v.Bytes()
		n.SetBytes(b)
		if len(b) > 0 && b[0] >= 0x80 {
			n.Sub(&n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
		}
	}
	digits := n.Text(10)
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	if scale <= 0 {
		return sign + digits + strings.Repeat("0", min(-scale, 100))
	}
	if len(digits) <= scale {
		digits = strings.Repeat("0", scale-len(digits)+1) + digits
	}
	return sign + digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
}

// seek goes to a row, from 0.
func (r *parquetReader) seek(row int64) error {
	r.at.Line = row + 1
	for r.group < len(r.file.RowGroups()) {
		group := r.file.RowGroups()[r.group]
		if row < group.NumRows() {
			r.rows = group.Rows()
			return r.rows.SeekToRow(row) //nolint:wrapcheck // at the place that the caller names
		}
		row -= group.NumRows()
		r.group++
	}
	return nil
}

// Position implements Reader.
func (r *parquetReader) Position() Position { return r.at }

// Close implements Reader.
func (r *parquetReader) Close() error {
	if r.rows == nil {
		return nil
	}
	return r.rows.Close() //nolint:wrapcheck // only read
}

// Next implements Reader.
func (r *parquetReader) Next(row *Row) (err error) {
	defer func() { err = orPanic(err, recover()) }()
	for r.from == r.to {
		if r.group >= len(r.file.RowGroups()) {
			return io.EOF
		}
		n, err := r.rows.ReadRows(r.buffer)
		r.from, r.to = 0, n
		switch {
		case errors.Is(err, io.EOF) && n == 0:
			if err := r.rows.Close(); err != nil {
				return fmt.Errorf("row %d: %w", r.at.Line, err)
			}
			r.rows, r.group = nil, r.group+1
			if r.group < len(r.file.RowGroups()) {
				r.rows = r.file.RowGroups()[r.group].Rows()
			}
		case err != nil && !errors.Is(err, io.EOF):
			return fmt.Errorf("row %d: the file is torn: %w", r.at.Line, err)
		}
	}
	*row = Row{Line: r.at.Line, Fields: row.Fields[:0]}
	r.at.Line++
	for range r.fields {
		row.Fields = append(row.Fields, "")
	}
	r.take(r.buffer[r.from], row)
	r.from++
	return nil
}

// take picks the wanted values of a row.
func (r *parquetReader) take(values parquet.Row, row *Row) {
	values.Range(func(column int, list []parquet.Value) bool {
		for i := range r.columns[column] {
			f := &r.columns[column][i]
			at := max(f.element, 0)
			if f.keys >= 0 {
				at = keyAt(values, f.keys, f.key)
			}
			if at < 0 || at >= len(list) || list[at].IsNull() {
				continue
			}
			row.Fields[f.field] = f.text(list[at])
		}
		return true
	})
	for _, text := range row.Fields {
		if !utf8.ValidString(text) {
			row.Fail(usage.CodeUTF8, "a column holds what is no UTF-8 text")
			return
		}
	}
}

func keyAt(values parquet.Row, column int, key string) (at int) {
	at = -1
	values.Range(func(c int, list []parquet.Value) bool {
		if c != column {
			return true
		}
		for i, v := range list {
			if !v.IsNull() && string(v.Bytes()) == key {
				at = i
			}
		}
		return false
	})
	return at
}
