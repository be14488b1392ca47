package collector

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"

	"github.com/tollstream/tollstream/collector/usage"
)

// ErrEncoding says that a request's body is compressed in a way that is not taken (HTTP 415), or not
// in the way that it claims.
var ErrEncoding = errors.New("unsupported content encoding")

// ErrBody says that a request's body could not be read to its end; it wraps what the reader said.
var ErrBody = errors.New("read the request's body")

var gzipReaders sync.Pool

// readBody reads a request's body into a buffer, in place of what it holds, decompressing what
// Content-Encoding names: gzip or nothing. Neither the compressed nor the decompressed body may have
// more than usage.MaxRequestBytes; reading stops there, whatever a body claims to hold. Refusals are
// *usage.RequestError or wrap ErrEncoding or ErrBody. The buffer is returned in any case, for it may have grown.
func readBody(buffer []byte, body io.Reader, contentEncoding string) ([]byte, error) {
	switch strings.ToLower(strings.TrimSpace(contentEncoding)) {
	case "", "identity":
		buffer, err := readLimited(buffer, body)
		if err != nil && !isTooLarge(err) {
			err = fmt.Errorf("%w: %w", ErrBody, err)
		}
		return buffer, err
	case "gzip", "x-gzip":
	default:
		return buffer, fmt.Errorf("%w: %q; send the body as it is or with Content-Encoding: gzip", ErrEncoding, contentEncoding)
	}
	source := &countingReader{from: io.LimitReader(body, usage.MaxRequestBytes+1)}
	z, ok := gzipReaders.Get().(*gzip.Reader)
	var err error
	if ok {
		err = z.Reset(source)
	} else {
		z, err = gzip.NewReader(source)
	}
	if err != nil {
		return buffer, source.blame(err)
	}
	defer gzipReaders.Put(z)
	buffer, err = readLimited(buffer, z)
	if err != nil && !isTooLarge(err) {
		return buffer, source.blame(err)
	}
	return buffer, err
}

func isTooLarge(err error) bool {
	var tooLarge *usage.RequestError
	return errors.As(err, &tooLarge)
}

// leastRead is the room for one read: of a large body as much comes at once as the connection has.
const leastRead = 4 << 10

func readLimited(buffer []byte, r io.Reader) ([]byte, error) {
	buffer = buffer[:0]
	for {
		buffer = slices.Grow(buffer, leastRead)
		n, err := r.Read(buffer[len(buffer):min(cap(buffer), usage.MaxRequestBytes+1)])
		buffer = buffer[:len(buffer)+n]
		switch {
		case len(buffer) > usage.MaxRequestBytes:
			return buffer, &usage.RequestError{Code: usage.CodeRequestTooLarge, Message: fmt.Sprintf("the body has more than %d bytes; send it in parts", usage.MaxRequestBytes)}
		case err == io.EOF: //nolint:errorlint // readers return it as it is
			return buffer, nil
		case err != nil:
			return buffer, err //nolint:wrapcheck // the caller knows whose error it is
		}
	}
}

// countingReader remembers what went wrong below a decompressor, to tell a broken connection from
// broken data.
type countingReader struct {
	from io.Reader
	n    int64
	err  error
}

func (r *countingReader) Read(b []byte) (int, error) {
	n, err := r.from.Read(b)
	r.n += int64(n)
	if err != nil && err != io.EOF { //nolint:errorlint // readers return it as it is
		r.err = err
	}
	return n, err //nolint:wrapcheck // a reader's errors pass
}

func (r *countingReader) blame(err error) error {
	switch {
	case r.n > usage.MaxRequestBytes:
		return &usage.RequestError{Code: usage.CodeRequestTooLarge, Message: fmt.Sprintf("the compressed body has more than %d bytes; send it in parts", usage.MaxRequestBytes)}
	case r.err != nil:
		return fmt.Errorf("%w: %w", ErrBody, r.err)
	default:
		return fmt.Errorf("%w: the body is not valid gzip (%w)", ErrEncoding, err)
	}
}
