package format

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/tollstream/tollstream/collector/usage"
)

// BER is a file of elements in ASN.1's Basic Encoding Rules (ITU-T X.690), as call records of switches
// are. Each element of the file is a record, or each element of the one at the path Records. The table
// Elements says what its parts are called, where they are and how they are written.
//
// A path is made of tags: 1 and c1 are context-specific, a1 is an application's, p1 private, u16
// universal; a number in brackets takes another than the first of several: 4/2[1].
type BER struct {
	Records           string // the path of the element that holds the records; empty: the file does
	SkipBytes         int    // of a header before the first element
	RecordHeaderBytes int    // before each element of the file
	Elements          []Element
	Values            Notation
}

// Element is a part of a record.
type Element struct {
	Name string
	Path string // from the record's content; @ is the record's own tag
	Type string // see elementTypes
}

// DefaultBER is what a configuration changes.
func DefaultBER() BER { return BER{Values: DefaultNotation()} }

// tag names an element.
type tag struct {
	class  byte // u a c p
	number uint32
}

func (t tag) String() string { return string(t.class) + strconv.FormatUint(uint64(t.number), 10) }

// tagStep is a step of a path: the n-th element of a tag.
type tagStep struct {
	tag tag
	nth int
}

const maxBERDepth = 32

func parseTags(path string) ([]tagStep, error) {
	var steps []tagStep
	for part := range strings.SplitSeq(path, "/") {
		name, nth, several := strings.Cut(part, "[")
		s := tagStep{tag: tag{class: 'c'}}
		if name != "" && strings.IndexByte("uacp", name[0]) >= 0 {
			s.tag.class, name = name[0], name[1:]
		}
		n, err := strconv.ParseUint(name, 10, 28)
		if several && err == nil {
			digits, closed := strings.CutSuffix(nth, "]")
			if s.nth, err = strconv.Atoi(digits); !closed || s.nth < 0 || s.nth > 10_000 {
				err = strconv.ErrSyntax
			}
		}
		if err != nil || len(steps) == maxBERDepth {
			return nil, fmt.Errorf("%q is no path of tags: write 4/a2/u16, with [1] behind a tag for the second of several", path)
		}
		s.tag.number = uint32(n) //nolint:gosec // of 28 bits
		steps = append(steps, s)
	}
	return steps, nil
}

// Check implements Format.
func (b *BER) Check() (member, message string) {
	if b.Records != "" {
		if _, err := parseTags(b.Records); err != nil {
			return "records", err.Error()
		}
	}
	if b.SkipBytes < 0 || b.SkipBytes > 1<<20 {
		return "skip_bytes", "must be 0 to 1,048,576"
	}
	if b.RecordHeaderBytes < 0 || b.RecordHeaderBytes > 1024 {
		return "record_header_bytes", "must be 0 to 1,024"
	}
	if len(b.Elements) == 0 {
		return "elements", "needs a list of {name: …, path: …, type: …}"
	}
	for i, e := range b.Elements {
		at := fmt.Sprintf("elements[%d]", i)
		if e.Name == "" || slices.ContainsFunc(b.Elements[:i], func(o Element) bool { return o.Name == e.Name }) {
			return at, fmt.Sprintf("the name %q is missing or stands twice", e.Name)
		}
		if e.Path == "@" {
			continue
		}
		if _, err := parseTags(e.Path); err != nil {
			return at, err.Error()
		}
		if elementTypes[e.Type] == nil {
			return at, fmt.Sprintf("unknown type %q; known are integer, unsigned, boolean, text, latin1, hex, bcd, tbcd, address, ip, time, generalized and utc", e.Type)
		}
	}
	return b.Values.Check()
}

// CheckPath implements Format.
func (b *BER) CheckPath(p Path) string {
	names := make([]string, len(b.Elements))
	for i, e := range b.Elements {
		names[i] = e.Name
	}
	if p.Name == "" || !slices.Contains(names, p.Name) {
		return fmt.Sprintf("%s is none of format.elements; they are %s", p, listed(names))
	}
	return ""
}

// Notation implements Format.
func (b *BER) Notation() *Notation { return &b.Values }

// Open implements Format. The file is read from its beginning: what lies before the position is passed
// over.
func (b *BER) Open(in Input, paths []Path, from Position) (Reader, error) {
	stream, err := in.Stream(0)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the file already
	}
	r := &berReader{in: bufio.NewReaderSize(stream, readBytes), closer: stream, header: b.RecordHeaderBytes, at: Start}
	if b.Records != "" {
		r.path, err = parseTags(b.Records)
	}
	for _, p := range paths {
		e := b.Elements[slices.IndexFunc(b.Elements, func(e Element) bool { return e.Name == p.Name })]
		w := wantedElement{name: e.Name, read: elementTypes[e.Type]}
		if e.Path != "@" && err == nil {
			w.steps, err = parseTags(e.Path)
		}
		r.wanted = append(r.wanted, w)
	}
	if err == nil {
		err = r.discard(int64(b.SkipBytes))
	}
	var row Row
	for err == nil && r.at.Line < from.Line {
		err = r.Next(&row)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(err, stream.Close())
	}
	return r, nil
}

type wantedElement struct {
	name  string
	steps []tagStep // none: the record's own tag
	read  func([]byte) (string, error)
}

type berReader struct {
	in     *bufio.Reader
	closer io.Closer
	header int
	path   []tagStep
	wanted []wantedElement
	open   []container // around the next element
	seen   []int       // how many of the path's tag were passed, at each depth
	offset int64
	at     Position
	record []byte
}

// container is an element that was entered.
type container struct {
	end int64 // the offset behind it; -1: a mark ends it
}

// Position implements Reader.
func (r *berReader) Position() Position { return r.at }

// Close implements Reader.
func (r *berReader) Close() error { return r.closer.Close() } //nolint:wrapcheck // only read

var errTornBER = errors.New("the file is torn, or is not in the Basic Encoding Rules")

func (r *berReader) fail(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errTornBER
	}
	return fmt.Errorf("record %d, byte %d: %w", r.at.Line, r.offset+1, err)
}

func (r *berReader) discard(n int64) error {
	d, err := io.CopyN(io.Discard, r.in, n)
	r.offset += d
	if err != nil {
		return r.fail(err)
	}
	return nil
}

// readByte reads a byte, and keeps it where a record is gathered.
func (r *berReader) readByte(keep bool) (byte, error) {
	c, err := r.in.ReadByte()
	if err != nil {
		return 0, err //nolint:wrapcheck // wrapped by fail
	}
	r.offset++
	if keep {
		r.record = append(r.record, c)
	}
	return c, nil
}

// head is what stands before an element's content.
type head struct {
	tag         tag
	constructed bool
	length      int64 // -1: a mark ends it
}

func (h head) isMark() bool { return h.tag == tag{'u', 0} && !h.constructed && h.length == 0 }

const classes = "uacp"

// readHead reads the tag and the length of the element that begins with first.
func readHead(first byte, next func() (byte, error)) (h head, err error) {
	h.tag.class, h.constructed, h.tag.number = classes[first>>6], first&0x20 != 0, uint32(first&0x1f)
	if h.tag.number == 0x1f {
		h.tag.number = 0
		for i := 0; ; i++ {
			c, err := next()
			if err != nil {
				return h, err
			}
			if i == 4 {
				return h, errTornBER
			}
			h.tag.number = h.tag.number<<7 | uint32(c&0x7f)
			if c < 0x80 {
				break
			}
		}
	}
	c, err := next()
	switch {
	case err != nil:
		return h, err
	case c < 0x80:
		h.length = int64(c)
	case c == 0x80 && h.constructed:
		h.length = -1
	case c == 0x80 || c > 0x86:
		return h, errTornBER
	default:
		for range c & 0x7f {
			c, err := next()
			if err != nil {
				return h, err
			}
			h.length = h.length<<8 | int64(c)
		}
	}
	return h, nil
}

// Next implements Reader.
func (r *berReader) Next(row *Row) error {
	for {
		if n := len(r.open); n > 0 && r.open[n-1].end >= 0 && r.offset >= r.open[n-1].end {
			if r.offset > r.open[n-1].end {
				return r.fail(errTornBER)
			}
			r.leave()
			continue
		}
		first, err := r.begin()
		if errors.Is(err, io.EOF) && len(r.open) == 0 {
			return io.EOF
		}
		if err != nil {
			return r.fail(err)
		}
		r.record = append(r.record[:0], first)
		h, err := readHead(first, func() (byte, error) { return r.readByte(true) })
		depth := len(r.open)
		switch {
		case err != nil:
			return r.fail(err)
		case h.isMark() && depth > 0 && r.open[depth-1].end < 0:
			r.leave()
		case depth == len(r.path):
			return r.take(row, h)
		case h.tag == r.path[depth].tag && h.constructed && r.nth(depth):
			end := int64(-1)
			if h.length >= 0 {
				end = r.offset + h.length
			}
			r.open = append(r.open, container{end})
		default:
			if err := r.pass(h, 0, false); err != nil {
				return r.fail(err)
			}
		}
	}
}

// nth counts the elements of the path's tag at a depth, and says whether this is the one.
func (r *berReader) nth(depth int) bool {
	for len(r.seen) <= depth {
		r.seen = append(r.seen, 0)
	}
	r.seen[depth]++
	return r.path[depth].nth == 0 || r.seen[depth]-1 == r.path[depth].nth
}

func (r *berReader) leave() {
	r.open = r.open[:len(r.open)-1]
	r.seen = r.seen[:min(len(r.seen), len(r.open)+1)]
}

// begin reads the first byte of an element; between those of the file lie headers and filling.
func (r *berReader) begin() (byte, error) {
	if len(r.open) > 0 {
		return r.readByte(false)
	}
	for {
		c, err := r.readByte(false)
		if err != nil {
			return 0, err
		}
		if c != 0 && c != 0xff {
			if r.header == 0 {
				return c, nil
			}
			if err := r.discard(int64(r.header - 1)); err != nil {
				return 0, err
			}
			if c, err = r.readByte(false); err != nil {
				return 0, io.ErrUnexpectedEOF
			}
			return c, nil
		}
	}
}

// pass goes over the content of an element, and keeps it where a record is gathered.
func (r *berReader) pass(h head, depth int, keep bool) error {
	if depth > maxBERDepth {
		return fmt.Errorf("elements are nested deeper than %d", maxBERDepth)
	}
	if h.length >= 0 && !keep {
		return r.discard(h.length)
	}
	if h.length >= 0 {
		if h.length > MaxRecordBytes-int64(len(r.record)) {
			return errLongRecord
		}
		from := len(r.record)
		r.record = append(r.record, make([]byte, h.length)...)
		n, err := io.ReadFull(r.in, r.record[from:])
		r.offset += int64(n)
		return err //nolint:wrapcheck // wrapped by fail
	}
	for {
		if len(r.record) > MaxRecordBytes {
			return errLongRecord
		}
		first, err := r.readByte(keep)
		if err != nil {
			return err
		}
		inner, err := readHead(first, func() (byte, error) { return r.readByte(keep) })
		if err != nil {
			return err
		}
		if inner.isMark() {
			return nil
		}
		if err := r.pass(inner, depth+1, keep); err != nil {
			return err
		}
	}
}

// take reads a record, whose head was read.
func (r *berReader) take(row *Row, h head) error {
	*row = Row{Line: r.at.Line, Fields: row.Fields[:0]}
	if err := r.pass(h, 0, true); err != nil {
		return r.fail(err)
	}
	r.at.Line++
	row.Raw = cut(hex.EncodeToString(r.record))
	_, content, _, err := cutElement(r.record, 0)
	for i := 0; i < len(r.wanted) && err == nil; i++ {
		w := &r.wanted[i]
		text := h.tag.String()
		if w.steps != nil {
			if text, err = w.find(content); err != nil {
				err = fmt.Errorf("%s: %w", w.name, err)
			}
		}
		row.Fields = append(row.Fields, text)
	}
	if err != nil {
		row.Fail(usage.CodeRow, err.Error())
	}
	return nil
}

// find gives the text of an element in a record's content; empty when it is not there.
func (w *wantedElement) find(content []byte) (string, error) {
	for depth, s := range w.steps {
		found := false
		for n := 0; len(content) > 0 && !found; {
			h, inner, rest, err := cutElement(content, 0)
			if err != nil {
				return "", err
			}
			content = rest
			if h.isMark() {
				break
			}
			if h.tag == s.tag {
				if found = n == s.nth; found {
					if !h.constructed && depth < len(w.steps)-1 {
						return "", fmt.Errorf("%s has nothing in it", s.tag)
					}
					content = inner
				}
				n++
			}
		}
		if !found {
			return "", nil
		}
	}
	return w.read(content)
}

// cutElement cuts the element that b begins with.
func cutElement(b []byte, depth int) (h head, content, rest []byte, err error) {
	at := 1
	if len(b) == 0 || depth > maxBERDepth {
		return h, nil, nil, errTornBER
	}
	h, err = readHead(b[0], func() (byte, error) {
		if at == len(b) {
			return 0, errTornBER
		}
		at++
		return b[at-1], nil
	})
	switch {
	case err != nil:
		return h, nil, nil, err
	case h.length > int64(len(b)-at):
		return h, nil, nil, errTornBER
	case h.length >= 0:
		end := at + int(h.length)
		return h, b[at:end], b[end:], nil
	}
	rest = b[at:]
	for {
		inner, _, after, err := cutElement(rest, depth+1)
		if err != nil {
			return h, nil, nil, err
		}
		if inner.isMark() {
			return h, b[at : len(b)-len(rest)], after, nil
		}
		rest = after
	}
}
