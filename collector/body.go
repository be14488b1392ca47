package collector

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"

	"github.com/tollstream/tollstream/collector/usage"
)

// ErrEncoding says that a request's body is compressed in a way that is not taken (HTTP 415), or not
// in the way that it claims.
var ErrEncoding = errors.New("unsupported content encoding")

var gzipReaders sync.Pool

// ReadBody reads a request's body, decompressing what Content-Encoding names: gzip or nothing. Neither
// the compressed nor the decompressed body may have more than usage.MaxRequestBytes; reading stops
// there, whatever a body claims to hold. Refusals are *usage.RequestError or wrap ErrEncoding; any
// other error is the reader's own.
func ReadBody(body io.Reader, contentEncoding string) (string, error) {
	switch strings.ToLower(strings.TrimSpace(contentEncoding)) {
	case "", "identity":
		return readLimited(body)
	case "gzip", "x-gzip":
	default:
		return "", fmt.Errorf("%w: %q; send the body as it is or with Content-Encoding: gzip", ErrEncoding, contentEncoding)
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
		return "", source.blame(err)
	}
	defer gzipReaders.Put(z)
	text, err := readLimited(z)
	var tooLarge *usage.RequestError
	if err != nil && !errors.As(err, &tooLarge) {
		return "", source.blame(err)
	}
	return text, err
}

func readLimited(r io.Reader) (string, error) {
	var b strings.Builder
	n, err := io.Copy(&b, io.LimitReader(r, usage.MaxRequestBytes+1))
	switch {
	case n > usage.MaxRequestBytes:
		return "", &usage.RequestError{Code: usage.CodeRequestTooLarge, Message: fmt.Sprintf("the body has more than %d bytes; send it in parts", usage.MaxRequestBytes)}
	case err != nil:
		return "", fmt.Errorf("read the request's body: %w", err)
	}
	return b.String(), nil
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
		return fmt.Errorf("read the request's body: %w", r.err)
	default:
		return fmt.Errorf("%w: the body is not valid gzip (%w)", ErrEncoding, err)
	}
}
