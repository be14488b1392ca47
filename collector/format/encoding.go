package format

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// decoderOf gives the decoder to UTF-8, nil for UTF-8 itself.
func decoderOf(name string) (*encoding.Decoder, error) {
	switch strings.ToLower(name) {
	case "utf-8", "utf8", "", EncodingAuto:
		return nil, nil //nolint:nilnil // no decoder is needed
	case "iso-8859-1", "latin1":
		return charmap.ISO8859_1.NewDecoder(), nil
	case "windows-1252":
		return charmap.Windows1252.NewDecoder(), nil
	case "utf-16":
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewDecoder(), nil
	case "utf-16le":
		return unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM).NewDecoder(), nil
	case "utf-16be":
		return unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM).NewDecoder(), nil
	}
	return nil, fmt.Errorf("unknown encoding %q; use auto, utf-8, iso-8859-1, windows-1252, utf-16, utf-16le or utf-16be", name)
}

// EncodingAuto has the encoding found out from the whole content; where a configuration names none, it
// is UTF-8, or UTF-16 if a mark at the beginning says so.
const EncodingAuto = "auto"

// encoded is a format of text.
type encoded interface {
	encoding() string
	in(encoding string) Format // the same format in another encoding
}

// Resolve gives the format in the encoding that the input has, where the configuration leaves that open.
func Resolve(f Format, in Input) (Format, error) {
	e, ok := f.(encoded)
	if !ok || e.encoding() != "" && e.encoding() != EncodingAuto {
		return f, nil
	}
	stream, err := in.Stream(0)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the file already
	}
	defer stream.Close() //nolint:errcheck // only read
	name, err := detect(stream, e.encoding() == EncodingAuto)
	if err != nil {
		return nil, fmt.Errorf("find out the encoding: %w", err)
	}
	return e.in(name), nil
}

// detect reads until the encoding is certain: at a mark of UTF-16 or at every second byte being zero;
// to the end, if it may be anything. Text that is not UTF-8 is Windows-1252, which has all letters of
// ISO 8859-1; but where most of what is beyond ASCII is UTF-8, the rest is broken.
func detect(stream io.Reader, anything bool) (string, error) {
	in := bufio.NewReaderSize(stream, readBytes)
	head, err := in.Peek(readBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err //nolint:wrapcheck // the caller says what was done
	}
	if string(head[:min(len(head), 2)]) == "\xff\xfe" || string(head[:min(len(head), 2)]) == "\xfe\xff" {
		return "utf-16", nil
	}
	if !anything {
		return "utf-8", nil
	}
	if name := zeros(head); name != "" {
		return name, nil
	}
	var good, bad int64
	for {
		c, size, err := in.ReadRune()
		switch {
		case errors.Is(err, io.EOF) && bad > good:
			return "windows-1252", nil
		case errors.Is(err, io.EOF):
			return "utf-8", nil
		case err != nil:
			return "", err //nolint:wrapcheck // the caller says what was done
		case c == utf8.RuneError && size == 1:
			bad++
		case size > 1:
			good++
		}
	}
}

// zeros tells UTF-16 without a mark by its zero bytes.
func zeros(head []byte) string {
	var even, odd int
	for i, c := range head {
		if c == 0 && i%2 == 0 {
			even++
		} else if c == 0 {
			odd++
		}
	}
	switch half := len(head) / 4; { // most characters of a file of usage are ASCII
	case odd > half && even == 0:
		return "utf-16le"
	case even > half && odd == 0:
		return "utf-16be"
	}
	return ""
}

// Decode gives the UTF-8 of bytes in an encoding: utf-8 iso-8859-1 windows-1252 utf-16 utf-16le
// utf-16be. Plain says that the bytes are passed through, so that an offset in the one is an offset in
// the other.
func Decode(r io.Reader, name string) (decoded io.Reader, plain bool) {
	decoder, err := decoderOf(name)
	if err != nil || decoder == nil {
		return r, true
	}
	return transform.NewReader(r, decoder), false
}

// decoded gives the UTF-8 of a stream, without a byte order mark.
func decoded(r io.Reader, name string) *bufio.Reader {
	text, _ := Decode(r, name)
	in := bufio.NewReaderSize(text, readBytes)
	if head, _ := in.Peek(3); string(head) == "\ufeff" {
		_, _ = in.Discard(3) // they are in the buffer
	}
	return in
}

func (d *Delimited) encoding() string { return d.Encoding }
func (d *Delimited) in(name string) Format {
	changed := *d
	changed.Encoding = name
	return &changed
}

func (f *Fixed) encoding() string { return f.Encoding }
func (f *Fixed) in(name string) Format {
	changed := *f
	changed.Encoding = name
	return &changed
}

func (j *JSON) encoding() string { return j.Encoding }
func (j *JSON) in(name string) Format {
	changed := *j
	changed.Encoding = name
	return &changed
}

func (l *Lines) encoding() string { return l.Encoding }
func (l *Lines) in(name string) Format {
	changed := *l
	changed.Encoding = name
	return &changed
}

func (x *XML) encoding() string { return x.Encoding }
func (x *XML) in(name string) Format {
	changed := *x
	changed.Encoding = name
	return &changed
}
