package format

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tollstream/tollstream/collector/usage"
)

// JSON is a document, or several one after another, of any size: each value is a record, and the
// elements of an array are. Where they lie deeper, Records is the path of the array.
type JSON struct {
	Records  string // the path of the array that holds the records; empty: the document itself
	Encoding string
	Values   Notation
}

// Lines is NDJSON: a JSON value in each line.
type Lines struct {
	Encoding string
	Values   Notation
}

// DefaultJSON is what a configuration changes.
func DefaultJSON() JSON { return JSON{Values: DefaultNotation()} }

// DefaultLines is what a configuration changes.
func DefaultLines() Lines { return Lines{Values: DefaultNotation()} }

// Check implements Format.
func (j *JSON) Check() (member, message string) {
	if j.Records != "" {
		if _, message := parsePath(j.Records); message != "" {
			return "records", message
		}
	}
	return checkText(j.Encoding, &j.Values)
}

// Check implements Format.
func (l *Lines) Check() (member, message string) { return checkText(l.Encoding, &l.Values) }

func checkText(encoding string, values *Notation) (member, message string) {
	if _, err := decoderOf(encoding); err != nil {
		return "encoding", err.Error()
	}
	return values.Check()
}

// CheckPath implements Format.
func (j *JSON) CheckPath(p Path) string { return checkNested(p) }

// CheckPath implements Format.
func (l *Lines) CheckPath(p Path) string { return checkNested(p) }

// Notation implements Format.
func (j *JSON) Notation() *Notation { return &j.Values }

// Notation implements Format.
func (l *Lines) Notation() *Notation { return &l.Values }

// Open implements Format.
func (l *Lines) Open(in Input, paths []Path, from Position) (Reader, error) {
	wanted, err := newTree(paths)
	if err != nil {
		return nil, err
	}
	text, err := openLines(in, l.Encoding, from)
	if err != nil {
		return nil, err
	}
	return &lineReader{lines: text, values: values{wanted: wanted, fields: len(paths)}}, nil
}

// lineReader reads a value of each line.
type lineReader struct {
	*lines
	values
}

// Position implements Reader.
func (l *lineReader) Position() Position { return l.at }

// Close implements Reader.
func (l *lineReader) Close() error { return l.closer.Close() } //nolint:wrapcheck // only read

// Next implements Reader; empty lines are passed over.
func (l *lineReader) Next(row *Row) error {
	for {
		line := l.at.Line
		text, torn, bad, err := l.next()
		if err != nil {
			return err
		}
		if bad == "" && len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		*row = Row{Line: line, Fields: row.Fields[:0], torn: torn}
		switch {
		case bad != "" && len(text) > MaxRecordBytes:
			row.bad(text, usage.CodeRow, bad)
		case bad != "":
			row.bad(text, usage.CodeUTF8, bad)
		default:
			l.read(text, row)
		}
		return nil
	}
}

// values takes what is wanted out of JSON values.
type values struct {
	wanted  *tree
	fields  int
	reader  bytes.Reader
	decoder jsontext.Decoder
}

// read takes one value; what is not JSON makes the row a bad one.
func (v *values) read(text []byte, row *Row) {
	row.text = string(text)
	for range v.fields {
		row.Fields = append(row.Fields, "")
	}
	v.reader.Reset(text)
	v.decoder.Reset(&v.reader, jsontext.AllowDuplicateNames(false))
	err := v.wanted.take(&v.decoder, row.text, row)
	if err == nil {
		if _, after := v.decoder.ReadToken(); !errors.Is(after, io.EOF) {
			err = errors.New("behind the value stands something else")
		}
	}
	if err != nil {
		torn := ""
		if row.torn {
			torn = "; it is the last one and has no line end: torn?"
		}
		row.Fail(usage.CodeRow, fmt.Sprintf("not a JSON value: %s%s", jsonProblem(err), torn))
	}
}

// jsonProblem shortens an error of the decoder to what a person needs.
func jsonProblem(err error) string {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return "it ends in the middle"
	}
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		return fmt.Sprintf("%s, at byte %d", cut(syntactic.Err.Error()), syntactic.ByteOffset+1)
	}
	return cut(err.Error())
}

// take reads the next value of the decoder, which reads text, and puts what is wanted of it into the row.
func (t *tree) take(d *jsontext.Decoder, text string, row *Row) error {
	if len(t.wanted) > 0 {
		value, err := d.ReadValue()
		if err != nil {
			return err //nolint:wrapcheck // said by jsonProblem
		}
		end := int(d.InputOffset())
		whole := text[end-len(value) : end]
		content, err := scalar(whole)
		if err != nil {
			return err
		}
		for _, i := range t.wanted {
			row.Fields[i] = content
		}
		if t.members == nil && t.elements == nil {
			return nil
		}
		inside := tree{members: t.members, elements: t.elements}
		return inside.take(jsontext.NewDecoder(strings.NewReader(whole)), whole, row)
	}
	switch kind := d.PeekKind(); {
	case kind == '{' && t.members != nil:
		return t.takeMembers(d, text, row)
	case kind == '[' && t.elements != nil:
		return t.takeElements(d, text, row)
	}
	return d.SkipValue() //nolint:wrapcheck // said by jsonProblem
}

func (t *tree) takeMembers(d *jsontext.Decoder, text string, row *Row) error {
	if _, err := d.ReadToken(); err != nil {
		return err //nolint:wrapcheck // said by jsonProblem
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return err //nolint:wrapcheck // said by jsonProblem
		}
		if below := t.members[name.String()]; below != nil {
			err = below.take(d, text, row)
		} else {
			err = d.SkipValue()
		}
		if err != nil {
			return err //nolint:wrapcheck // said by jsonProblem
		}
	}
	_, err := d.ReadToken()
	return err //nolint:wrapcheck // said by jsonProblem
}

func (t *tree) takeElements(d *jsontext.Decoder, text string, row *Row) error {
	if _, err := d.ReadToken(); err != nil {
		return err //nolint:wrapcheck // said by jsonProblem
	}
	for i := 0; ; i++ {
		var err error
		switch d.PeekKind() {
		case ']', 0:
			_, err = d.ReadToken()
			return err //nolint:wrapcheck // said by jsonProblem
		}
		if below := t.elements[i]; below != nil {
			err = below.take(d, text, row)
		} else {
			err = d.SkipValue()
		}
		if err != nil {
			return err //nolint:wrapcheck // said by jsonProblem
		}
	}
}

// scalar gives the text of a value: a string's content, a number as it stands, true or false, nothing
// for null, and what is nested as its JSON.
func scalar(value string) (string, error) {
	switch value[0] {
	case 'n':
		return "", nil
	case '"':
		if !strings.Contains(value, `\`) {
			return value[1 : len(value)-1], nil
		}
		text, err := jsontext.AppendUnquote(nil, value)
		return string(text), err //nolint:wrapcheck // said by jsonProblem
	}
	return value, nil
}

// Open implements Format. The document is read from its beginning: what lies before the position is
// passed over.
func (j *JSON) Open(in Input, paths []Path, from Position) (Reader, error) {
	wanted, err := newTree(paths)
	if err != nil {
		return nil, err
	}
	stream, err := in.Stream(0)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the file already
	}
	d := &document{closer: stream, in: bounded{in: decoded(stream, j.Encoding)}, at: Start, values: values{wanted: wanted, fields: len(paths)}}
	d.tokens = jsontext.NewDecoder(&d.in, jsontext.AllowInvalidUTF8(true))
	if j.Records != "" {
		d.steps, _ = parsePath(j.Records)
		err = d.find()
	} else {
		err = d.begin()
	}
	var row Row
	for err == nil && d.at.Line < from.Line {
		err = d.Next(&row)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(err, stream.Close())
	}
	return d, nil
}

// document reads records of a document, as large as it may be.
type document struct {
	values
	closer  io.Closer
	in      bounded
	tokens  *jsontext.Decoder
	at      Position
	steps   []step // of where the array lies
	inside  bool   // of the array whose elements are the records
	nothing bool   // there is no such array, or it has ended
}

// bounded fails where one record takes more than it may.
type bounded struct {
	in   *bufio.Reader
	left int
}

var errLongRecord = fmt.Errorf("a record is longer than %d bytes", MaxRecordBytes)

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errLongRecord
	}
	n, err := b.in.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err //nolint:wrapcheck // a reader's errors pass
}

// Position implements Reader.
func (d *document) Position() Position { return d.at }

// Close implements Reader.
func (d *document) Close() error { return d.closer.Close() } //nolint:wrapcheck // only read

func (d *document) fail(err error) error {
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !d.inside && len(d.steps) == 0 {
		return io.EOF
	}
	if errors.Is(err, errLongRecord) {
		return fmt.Errorf("record %d: %w", d.at.Line, errLongRecord)
	}
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("record %d: the document is torn or not JSON: %s", d.at.Line, jsonProblem(err))
	}
	return fmt.Errorf("record %d: %w", d.at.Line, err)
}

// begin enters the array that the document is, if it is one.
func (d *document) begin() error {
	d.in.left = MaxRecordBytes
	if d.tokens.PeekKind() != '[' {
		return nil
	}
	d.inside = true
	_, err := d.tokens.ReadToken()
	return err //nolint:wrapcheck // an array begins here
}

// find goes down to the array of the records.
func (d *document) find() error {
	for _, s := range d.steps {
		d.in.left = 1 << 62 // what stands before is passed over, whatever it is
		found, err := d.down(s)
		if err != nil {
			return d.fail(err)
		}
		if !found {
			return fmt.Errorf("format.records: the document has no %s; it must be the path of an array", describeSteps(d.steps))
		}
	}
	if d.tokens.PeekKind() != '[' {
		return fmt.Errorf("format.records: %s is no array", describeSteps(d.steps))
	}
	d.inside = true
	_, err := d.tokens.ReadToken()
	return err //nolint:wrapcheck // an array begins here
}

func describeSteps(steps []step) string {
	var b strings.Builder
	for i, s := range steps {
		switch {
		case s.element >= 0:
			fmt.Fprintf(&b, "[%d]", s.element)
		case i > 0:
			fmt.Fprintf(&b, ".%s", s.member)
		default:
			b.WriteString(s.member)
		}
	}
	return b.String()
}

// down enters a member or an element of the value that comes next, and stands before its value.
func (d *document) down(s step) (found bool, err error) {
	want := jsontext.Kind('{')
	if s.element >= 0 {
		want = '['
	}
	if d.tokens.PeekKind() != want {
		_, err := d.tokens.ReadValue()
		return false, err //nolint:wrapcheck // said by fail
	}
	if _, err := d.tokens.ReadToken(); err != nil {
		return false, err //nolint:wrapcheck // said by fail
	}
	for i := 0; ; i++ {
		if k := d.tokens.PeekKind(); k == '}' || k == ']' {
			return false, nil
		}
		if s.element < 0 {
			name, err := d.tokens.ReadToken()
			if err != nil {
				return false, err //nolint:wrapcheck // said by fail
			}
			if name.String() == s.member {
				return true, nil
			}
		} else if i == s.element {
			return true, nil
		}
		if err := d.tokens.SkipValue(); err != nil {
			return false, err //nolint:wrapcheck // said by fail
		}
	}
}

// Next implements Reader.
func (d *document) Next(row *Row) error {
	if d.nothing {
		return io.EOF
	}
	d.in.left = MaxRecordBytes + readBytes
	if d.inside && d.tokens.PeekKind() == ']' {
		if err := d.leave(); err != nil {
			return err
		}
		return d.Next(row)
	}
	text, err := d.tokens.ReadValue()
	if err != nil {
		return d.fail(err)
	}
	*row = Row{Line: d.at.Line, Fields: row.Fields[:0]}
	d.at.Line++
	d.read(text, row)
	return nil
}

// leave goes on behind the array; below a path nothing else is of interest, but a document that is
// torn behind it is still torn.
func (d *document) leave() error {
	if _, err := d.tokens.ReadToken(); err != nil {
		return d.fail(err)
	}
	for d.tokens.StackDepth() > 0 {
		d.in.left = 1 << 62
		if k := d.tokens.PeekKind(); k == '}' || k == ']' {
			if _, err := d.tokens.ReadToken(); err != nil {
				return d.fail(err)
			}
		} else if err := d.tokens.SkipValue(); err != nil {
			return d.fail(err)
		}
	}
	d.inside = false
	if d.nothing = len(d.steps) > 0; d.nothing {
		return nil
	}
	return d.begin()
}
