package s3

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/minio/minio-go/v7"

	"github.com/tollstream/tollstream/collector/secret"
	"github.com/tollstream/tollstream/collector/source"
	"github.com/tollstream/tollstream/collector/source/placetest"
)

func bucket(t *testing.T) (source.S3, secret.Store) {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket("usage"); err != nil {
		t.Fatal(err)
	}
	handler := gofakes3.New(backend).Server()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength <= 0 { // what S3 does not insist on
			r.Header.Set("Content-Length", "0")
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	secrets := secret.Store{Getenv: func(name string) string { return "of " + strings.TrimPrefix(name, "TOLLSTREAM_SECRET_") }}
	return source.S3{Endpoint: server.URL, Bucket: "usage", Prefix: "in/", PathStyle: true, AccessKey: "A", SecretKey: "S"}, secrets
}

func put(t *testing.T, p *Place, key string, content []byte) {
	t.Helper()
	if _, err := p.client.Client.PutObject(t.Context(), "usage", key, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{DisableMultipart: true}); err != nil {
		t.Fatal(err)
	}
}

func TestPlace(t *testing.T) {
	placetest.Run(t, func(t *testing.T) placetest.Corner {
		config, secrets := bucket(t)
		direct, err := open(config, secrets, source.Dial(source.Timeout))
		if err != nil {
			t.Fatal(err)
		}
		put(t, direct, "elsewhere.csv", []byte("of others"))
		return placetest.Corner{
			Put: func(t *testing.T, path string, content []byte) { put(t, direct, "in/"+path, content) },
			Open: func(t *testing.T, dial func(source.Dialer) source.Dialer) source.Place {
				t.Helper()
				p, err := open(config, secrets, dial(source.Dial(source.Timeout)))
				if err != nil {
					t.Fatal(err)
				}
				return p
			},
		}
	})
}

// TestPages: a listing goes on behind the thousand objects of a page, and passes over keys that are no paths.
func TestPages(t *testing.T) {
	config, secrets := bucket(t)
	p, err := open(config, secrets, source.Dial(source.Timeout))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1003 {
		put(t, p, "in/"+strings.Repeat("x", i%100)+string(rune('a'+i/100))+".csv", nil)
	}
	for _, key := range []string{"in/folder/", "in/a//b.csv", `in/a\b.csv`} {
		put(t, p, key, nil)
	}
	n := 0
	if err := p.List(t.Context(), true, func(source.Entry) error { n++; return nil }); err != nil || n != 1003 {
		t.Errorf("%d listed, %v", n, err)
	}
}

// TestMoveThatWasStopped: the copy stands, the object was not deleted.
func TestMoveThatWasStopped(t *testing.T) {
	config, secrets := bucket(t)
	p, err := open(config, secrets, source.Dial(source.Timeout))
	if err != nil {
		t.Fatal(err)
	}
	put(t, p, "in/a.csv", []byte("a"))
	before, err := p.look(t.Context(), "a.csv")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Move(t.Context(), "a.csv", "done/a.csv"); err != nil {
		t.Fatal(err)
	}
	put(t, p, "in/a.csv", []byte("a")) // as it was
	if err := p.Move(t.Context(), "a.csv", "done/a.csv"); err != nil {
		t.Errorf("again: %v", err)
	}
	if _, err := p.Stat(t.Context(), "a.csv"); !errors.Is(err, source.ErrGone) {
		t.Errorf("still there: %v", err)
	}
	if e, err := p.Stat(t.Context(), "done/a.csv"); err != nil || e.Size != before.Size {
		t.Errorf("%+v %v", e, err)
	}
}

func TestRefused(t *testing.T) {
	config, secrets := bucket(t)
	config.Bucket = "none"
	p, err := open(config, secrets, source.Dial(source.Timeout))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.List(t.Context(), true, func(source.Entry) error { return nil }); !errors.Is(err, source.ErrGone) {
		t.Errorf("no such bucket: %v", err)
	}
	if _, err := open(config, secret.Store{}, source.Dial(source.Timeout)); !errors.Is(err, secret.ErrMissing) {
		t.Errorf("no key: %v", err)
	}
}
