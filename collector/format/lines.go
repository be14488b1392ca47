package format

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/tollstream/tollstream/collector/usage"
)

// MaxRecordBytes bounds a record that is not a delimited row.
const MaxRecordBytes = 1 << 20

// lines cuts text into lines, each no longer than MaxRecordBytes.
type lines struct {
	in     *bufio.Reader
	closer io.Closer
	at     Position
	long   []byte // a line that is longer than the buffer
}

// openLines goes to the position of a stream in the encoding.
func openLines(in Input, encoding string, from Position) (*lines, error) {
	_, plain := Decode(nil, encoding)
	offset := int64(0)
	if plain {
		offset = from.Offset
	}
	stream, err := in.Stream(offset)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the file already
	}
	text, _ := Decode(stream, encoding)
	if !plain {
		if _, err := io.CopyN(io.Discard, text, from.Offset); err != nil {
			return nil, errors.Join(fmt.Errorf("go to line %d: %w", from.Line, err), stream.Close())
		}
	}
	return &lines{in: bufio.NewReaderSize(text, readBytes), closer: stream, at: from}, nil
}

// next gives a line without its end, good until the next call; bad says what is wrong with it, then
// text is its beginning. At the end it gives io.EOF.
func (l *lines) next() (text []byte, torn bool, bad string, err error) {
	text, err = l.in.ReadSlice('\n')
	size := len(text)
	if errors.Is(err, bufio.ErrBufferFull) {
		l.long = append(l.long[:0], text...)
		for errors.Is(err, bufio.ErrBufferFull) {
			text, err = l.in.ReadSlice('\n')
			size += len(text)
			l.long = append(l.long, text[:min(len(text), max(MaxRecordBytes+2-len(l.long), 0))]...)
		}
		text = l.long
	}
	switch {
	case errors.Is(err, io.EOF) && size == 0:
		return nil, false, "", io.EOF
	case errors.Is(err, io.EOF):
		torn = true
	case err != nil:
		return nil, false, "", fmt.Errorf("read line %d: %w", l.at.Line, err)
	}
	if l.at.Offset == 0 {
		text = bytes.TrimPrefix(text, []byte("\ufeff"))
	}
	l.at.Offset += int64(size)
	l.at.Line++
	text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	switch {
	case size > MaxRecordBytes:
		bad = fmt.Sprintf("the line is longer than %d bytes", MaxRecordBytes)
	case !utf8.Valid(text):
		bad = "the line is not valid UTF-8; set the format's encoding to that of the file, or to auto"
	}
	return text, torn, bad, nil
}

// bad makes the row a bad one that shows the beginning of the text.
func (r *Row) bad(text []byte, code usage.Code, message string) {
	r.Raw = cut(strings.ToValidUTF8(string(text[:min(len(text), maxRawBytes+4)]), "\ufffd"))
	r.Fail(code, message)
}
