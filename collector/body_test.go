package collector

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/tollstream/tollstream/collector/usage"
)

func gzipped(t *testing.T, text io.Reader) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.Copy(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// zeros is without end.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestReadBody(t *testing.T) {
	bomb := gzipped(t, io.LimitReader(zeros{}, 32<<20))
	full := strings.Repeat("x", usage.MaxRequestBytes)
	var buffer []byte
	read := func(body io.Reader, encoding string) (string, error) { // one buffer for all
		var err error
		buffer, err = readBody(buffer, body, encoding)
		return string(buffer), err
	}
	for range 2 { // the second time with a decompressor that has been used
		for name, body := range map[string]io.Reader{"": strings.NewReader("text"), " GZIP ": bytes.NewReader(gzipped(t, strings.NewReader("text")))} {
			if got, err := read(body, name); err != nil || got != "text" {
				t.Errorf("%q: %q %v", name, got, err)
			}
		}
		if got, err := read(strings.NewReader(full), ""); err != nil || len(got) != len(full) {
			t.Errorf("8 MiB: %v", err)
		}
		for name, body := range map[string][]byte{"identity": []byte(full + "x"), "gzip": bomb, "x-gzip": gzipped(t, strings.NewReader(full+"x"))} {
			var refused *usage.RequestError
			source := &countingReader{from: bytes.NewReader(body)}
			if _, err := read(source, name); !errors.As(err, &refused) || refused.Code != usage.CodeRequestTooLarge {
				t.Errorf("too large as %s: %v", name, err)
			}
		}
		whole := gzipped(t, strings.NewReader(full))
		for name, body := range map[string][]byte{"not gzip": []byte("text"), "empty": {}, "torn": whole[:len(whole)-20]} {
			if _, err := read(bytes.NewReader(body), "gzip"); !errors.Is(err, ErrEncoding) || errors.Is(err, ErrBody) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if _, err := read(strings.NewReader("x"), "br"); !errors.Is(err, ErrEncoding) {
		t.Errorf("brotli: %v", err)
	}
	for _, encoding := range []string{"", "gzip"} {
		broken := io.MultiReader(bytes.NewReader(gzipped(t, strings.NewReader("x"))[:5]), iotest.ErrReader(io.ErrClosedPipe))
		if _, err := read(broken, encoding); !errors.Is(err, io.ErrClosedPipe) || !errors.Is(err, ErrBody) || errors.Is(err, ErrEncoding) {
			t.Errorf("broken connection: %v", err)
		}
	}
}
