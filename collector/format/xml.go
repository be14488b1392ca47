package format

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/tollstream/tollstream/collector/usage"
)

// XML is a document of elements. Each element at the path Record is a record: calls/call. The path of
// a value in it is that of an element's text or of an attribute: caller/number, @id, charge/@currency.
// Names are local ones, without their name space. Nothing outside of the document is ever read, and
// entities of its own are refused.
type XML struct {
	Record   string
	Encoding string // of a document that declares none
	Values   Notation
}

// DefaultXML is what a configuration changes.
func DefaultXML() XML { return XML{Values: DefaultNotation()} }

const maxXMLDepth = 64

// Check implements Format.
func (x *XML) Check() (member, message string) {
	if x.Record == "" || strings.Contains(x.Record, "@") || !validXMLPath(x.Record) {
		return "record", "must be the path of the element that is a record, from the root: calls/call"
	}
	return checkText(x.Encoding, &x.Values)
}

func validXMLPath(path string) bool {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		name, attribute := strings.CutPrefix(p, "@")
		if name == "" || strings.ContainsAny(name, " @:[]<>\"'") || attribute && i < len(parts)-1 {
			return false
		}
	}
	return len(parts) <= maxXMLDepth
}

// CheckPath implements Format.
func (x *XML) CheckPath(p Path) string {
	if p.Name == "" || !validXMLPath(p.Name) {
		return "must be the path of an element or an attribute in the record: caller/number, @id, charge/@currency"
	}
	return ""
}

// Notation implements Format.
func (x *XML) Notation() *Notation { return &x.Values }

// Open implements Format. The document is read from its beginning: what lies before the position is
// passed over.
func (x *XML) Open(in Input, paths []Path, from Position) (Reader, error) {
	stream, err := in.Stream(0)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the file already
	}
	text, err := x.decode(stream)
	if err != nil {
		return nil, errors.Join(err, stream.Close())
	}
	r := &xmlReader{closer: stream, in: xmlText{in: text}, at: Start, record: strings.Split(x.Record, "/"), wanted: map[string][]int{}, fields: len(paths)}
	for i, p := range paths {
		r.wanted[p.Name] = append(r.wanted[p.Name], i)
	}
	r.tokens = xml.NewDecoder(&r.in)
	r.tokens.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // it was decoded
	var row Row
	for err == nil && r.at.Line < from.Line {
		err = r.Next(&row)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(err, stream.Close())
	}
	return r, nil
}

// declared finds the encoding that a document says it has.
var declared = regexp.MustCompile(`^\s*<\?xml[^>]*\sencoding\s*=\s*["']([A-Za-z0-9._-]+)["']`)

// decode gives the document's UTF-8.
func (x *XML) decode(stream io.Reader) (*bufio.Reader, error) {
	in := bufio.NewReaderSize(stream, readBytes)
	head, _ := in.Peek(256)
	name := x.Encoding
	if m := declared.FindSubmatch(bytes.TrimPrefix(head, []byte("\ufeff"))); m != nil {
		name = string(m[1])
	} else if bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff")) {
		name = "utf-16"
	}
	if strings.EqualFold(name, "us-ascii") {
		name = "utf-8"
	}
	if _, err := decoderOf(name); err != nil {
		return nil, fmt.Errorf("the document says that it has an %w", err)
	}
	return decoded(in, name), nil
}

// xmlText gives the parser byte after byte, so that a record's text is known where it ends.
type xmlText struct {
	in   *bufio.Reader
	raw  []byte // since the record began
	left int    // bytes that it may still have
}

// ReadByte implements io.ByteReader.
func (x *xmlText) ReadByte() (byte, error) {
	if x.left--; x.left < 0 {
		return 0, errLongRecord
	}
	c, err := x.in.ReadByte()
	if err == nil {
		x.raw = append(x.raw, c)
	}
	return c, err //nolint:wrapcheck // a reader's errors pass
}

// Read implements io.Reader, which the parser asks for and does not use.
func (x *xmlText) Read([]byte) (int, error) { return 0, io.ErrNoProgress }

type xmlReader struct {
	closer io.Closer
	in     xmlText
	tokens *xml.Decoder
	at     Position
	record []string
	wanted map[string][]int
	fields int
	open   []string // elements around the next token
	ended  bool     // the root was closed
}

// Position implements Reader.
func (r *xmlReader) Position() Position { return r.at }

// Close implements Reader.
func (r *xmlReader) Close() error { return r.closer.Close() } //nolint:wrapcheck // only read

func (r *xmlReader) fail(err error) error {
	if errors.Is(err, io.EOF) && r.ended {
		return io.EOF
	}
	if errors.Is(err, errLongRecord) {
		return fmt.Errorf("record %d: %w", r.at.Line, errLongRecord)
	}
	line, _ := r.tokens.InputPos()
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("record %d, line %d: the document is torn", r.at.Line, line)
	}
	return fmt.Errorf("record %d, line %d: the document is torn or not XML: %w", r.at.Line, line, err)
}

// Next implements Reader.
func (r *xmlReader) Next(row *Row) error {
	for {
		r.in.left, r.in.raw = MaxRecordBytes, r.in.raw[:0]
		token, err := r.tokens.RawToken()
		if err != nil {
			return r.fail(err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			if len(r.open) >= maxXMLDepth {
				return fmt.Errorf("record %d: elements are nested deeper than %d", r.at.Line, maxXMLDepth)
			}
			r.open, r.ended = append(r.open, t.Name.Local), false
			if r.isRecord() {
				return r.take(row, &t)
			}
		case xml.EndElement:
			if err := r.close(t.Name.Local); err != nil {
				return err
			}
			r.ended = len(r.open) == 0
		case xml.Directive:
			if strings.Contains(string(t), "ENTITY") {
				return fmt.Errorf("record %d: the document defines entities, which are not read", r.at.Line)
			}
		}
	}
}

func (r *xmlReader) isRecord() bool {
	if len(r.open) != len(r.record) {
		return false
	}
	for i := range r.record {
		if r.open[i] != r.record[i] {
			return false
		}
	}
	return true
}

func (r *xmlReader) close(name string) error {
	if len(r.open) == 0 || r.open[len(r.open)-1] != name {
		return r.fail(fmt.Errorf("</%s> closes what is not open", cut(name)))
	}
	r.open = r.open[:len(r.open)-1]
	return nil
}

// take reads a record from behind its start.
func (r *xmlReader) take(row *Row, start *xml.StartElement) error {
	*row = Row{Line: r.at.Line, Fields: row.Fields[:0]}
	for range r.fields {
		row.Fields = append(row.Fields, "")
	}
	depth := len(r.open)
	var texts []strings.Builder // of the elements that are open in the record
	texts = append(texts, strings.Builder{})
	r.attributes(row, "", start)
	for len(r.open) >= depth {
		token, err := r.tokens.RawToken()
		if err != nil {
			return r.fail(err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			if len(r.open) >= maxXMLDepth {
				return fmt.Errorf("record %d: elements are nested deeper than %d", r.at.Line, maxXMLDepth)
			}
			r.open = append(r.open, t.Name.Local)
			texts = append(texts, strings.Builder{})
			r.attributes(row, strings.Join(r.open[depth:], "/")+"/", &t)
		case xml.CharData:
			texts[len(texts)-1].Write(t)
		case xml.EndElement:
			path := strings.Join(r.open[depth:], "/")
			if err := r.close(t.Name.Local); err != nil {
				return err
			}
			r.set(row, path, strings.TrimSpace(texts[len(texts)-1].String()))
			texts = texts[:len(texts)-1]
		}
	}
	r.at.Line++
	row.text = "<" + strings.TrimPrefix(string(r.in.raw), "<") // behind text the parser has read it already
	if row.Code != "" {
		row.Raw = cut(row.text)
	}
	return nil
}

func (r *xmlReader) attributes(row *Row, path string, e *xml.StartElement) {
	for _, a := range e.Attr {
		r.set(row, path+"@"+a.Name.Local, a.Value)
	}
}

// set puts a text where it is wanted. An element that stands more than once has no one value.
func (r *xmlReader) set(row *Row, path, text string) {
	for _, i := range r.wanted[path] {
		if row.Fields[i] != "" && row.Fields[i] != text {
			row.Fail(usage.CodeRow, fmt.Sprintf("%s stands more than once in the record", path))
		}
		row.Fields[i] = text
	}
}
