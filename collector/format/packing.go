package format

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Packing is how a file is compressed.
type Packing string

// The packings.
const (
	PackingAuto  Packing = ""     // as the first bytes say
	PackingNone  Packing = "none" // as it is
	PackingGzip  Packing = "gzip"
	PackingZstd  Packing = "zstd"
	PackingBzip2 Packing = "bzip2"
)

// Bounds of what is unpacked: more than maxUnpackedRatio times what is packed is no usage but a bomb.
const (
	freeUnpackedBytes = 1 << 30
	maxUnpackedRatio  = 1000
	maxZstdWindow     = 64 << 20
)

// ErrUnpacked says that a file holds far more than its size lets expect.
var ErrUnpacked = errors.New("the file unpacks to more than a thousand times its size; unpack it, look at it, and give what is in it")

// packingOf looks at the beginning of a file.
func packingOf(head []byte) Packing {
	for magic, p := range map[string]Packing{"\x1f\x8b": PackingGzip, "\x28\xb5\x2f\xfd": PackingZstd, "BZh": PackingBzip2} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return p
		}
	}
	return PackingNone
}

// Check says what is wrong with a packing that somebody named.
func (p Packing) Check() error {
	switch p {
	case PackingAuto, PackingNone, PackingGzip, PackingZstd, PackingBzip2:
		return nil
	}
	return fmt.Errorf("unknown compression %q; known are auto, none, gzip, zstd and bzip2", p)
}

// NewInput gives the unpacked content of a file. An error says what is wrong with the packing.
func NewInput(at io.ReaderAt, size int64, p Packing) (Input, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	if p == PackingAuto {
		head := make([]byte, 4)
		n, err := at.ReadAt(head[:min(size, 4)], 0)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("look how the file is packed: %w", err)
		}
		p = packingOf(head[:n])
	}
	if p == PackingNone {
		return Plain(at, size), nil
	}
	return packed{at, size, p}, nil
}

// packed is a compressed file, read from its front.
type packed struct {
	at   io.ReaderAt
	size int64
	by   Packing
}

func (p packed) Whole() (io.ReaderAt, int64, bool) { return nil, 0, false }

func (p packed) Stream(offset int64) (io.ReadCloser, error) {
	in := bufio.NewReaderSize(io.NewSectionReader(p.at, 0, p.size), readBytes)
	out := &unpacking{by: p.by, left: max(freeUnpackedBytes, maxUnpackedRatio*p.size)}
	switch p.by {
	case PackingGzip:
		r, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("the file cannot be unpacked as gzip: %w", err)
		}
		out.in = r
	case PackingZstd:
		r, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow))
		if err != nil {
			return nil, fmt.Errorf("the file cannot be unpacked as zstd: %w", err)
		}
		out.in, out.close = r, r.Close
	default:
		out.in = bzip2.NewReader(in)
	}
	if _, err := io.CopyN(io.Discard, out, offset); err != nil {
		return nil, errors.Join(fmt.Errorf("go to byte %d of what is packed: %w", offset, err), out.Close())
	}
	return out, nil
}

// unpacking bounds what comes out, and names what went wrong.
type unpacking struct {
	in    io.Reader
	by    Packing
	left  int64
	close func()
}

func (u *unpacking) Read(b []byte) (int, error) {
	n, err := u.in.Read(b)
	if u.left -= int64(n); u.left < 0 {
		return 0, ErrUnpacked
	}
	if err != nil && !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("the file is torn, or not %s: %w", u.by, err)
	}
	return n, err //nolint:wrapcheck // io.EOF passes
}

func (u *unpacking) Close() error {
	if u.close != nil {
		u.close()
	}
	return nil
}
