package format

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// decoderOf gives the decoder to UTF-8, nil for UTF-8 itself.
func decoderOf(name string) (*encoding.Decoder, error) {
	switch strings.ToLower(name) {
	case "utf-8", "utf8", "":
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
	return nil, fmt.Errorf("unknown encoding %q; use utf-8, iso-8859-1, windows-1252, utf-16, utf-16le or utf-16be", name)
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
