package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/deploy/freeport"
)

func TestBaseURL(t *testing.T) {
	for _, c := range []struct{ addr, want string }{
		{"127.0.0.1:8080", "http://127.0.0.1:8080"},
		{"localhost:80", "http://localhost:80"},
		{":8080", "http://127.0.0.1:8080"},
		{"0.0.0.0:8080", "http://127.0.0.1:8080"},
		{"[::]:8080", "http://127.0.0.1:8080"},
		{"[::1]:8080", "http://[::1]:8080"},
		{"https://billing.example.com/", "https://billing.example.com"},
		{"https://example.com/billing/", "https://example.com/billing"},
		{"127.0.0.1", ""},
		{"ftp://example.com", ""},
		{"https://user:secret@example.com", ""},
		{"", ""},
	} {
		got, err := BaseURL(c.addr)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("BaseURL(%q) = %q, %v; want %q", c.addr, got, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error shows a password: %v", err)
		}
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	problem := func(status int, body string, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for _, c := range []struct {
		name    string
		key     string
		handler http.HandlerFunc
		want    []string
	}{
		{"no key", "", problem(401, `{"detail": "a valid API key is needed"}`), []string{"set TOLLSTREAM_API_KEY", "admin key:"}},
		{"wrong key", "ts_secret", problem(401, `{"detail": "a valid API key is needed"}`), []string{"does not know this API key", "TOLLSTREAM_API_KEY"}},
		{"wrong role", "ts_secret", problem(403, `{"detail": "role \"ingest\" lacks it"}`), []string{`role "ingest" lacks it`, "key create --role"}},
		{"unavailable", "", problem(503, `{"detail": "a store does not answer"}`, "Retry-After", "7"), []string{"a store does not answer", "run the command again"}},
		{"several", "", problem(422, `{"detail": "bad", "errors": [{"path": "a.b", "message": "must be x"}]}`), []string{"bad", "a.b: must be x"}},
		{"a torn problem", "", problem(500, `{"det`), []string{"500 Internal Server Error"}},
		{"not tollstream", "", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", 404) }, []string{"not as tollstream does", "TOLLSTREAM_HTTP_ADDR"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(c.handler)
			defer server.Close()
			cl, err := New(server.URL, c.key)
			if err != nil {
				t.Fatal(err)
			}
			_, err = cl.Send(t.Context(), http.MethodGet, "/v1/x", nil, nil)
			var p *Problem
			if !errors.As(err, &p) {
				t.Fatalf("got %v, want a Problem", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error shows the key: %v", err)
			}
			if p.Status == 503 && (p.RetryAfter != 7*time.Second || !p.Temporary()) {
				t.Errorf("retry after %s, temporary %t; want 7s, true", p.RetryAfter, p.Temporary())
			}
		})
	}
}

func TestNobodyAnswers(t *testing.T) {
	addr, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	cl, err := New(addr, "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = cl.Send(t.Context(), http.MethodGet, "/v1/x", nil, nil)
	var u *Unreachable
	if !errors.As(err, &u) || !strings.Contains(err.Error(), "tollstream run") || !strings.Contains(err.Error(), addr) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = cl.Send(ctx, http.MethodGet, "/v1/x", nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

// A key must not follow a redirect to somebody else.
func TestNoRedirects(t *testing.T) {
	var asked bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer other.Close()
	server := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	cl, err := New(server.URL, "ts_key")
	if err != nil {
		t.Fatal(err)
	}
	if _, err = cl.Send(t.Context(), http.MethodPost, "/v1/x", nil, struct{}{}); err == nil || asked {
		t.Errorf("error %v, other server asked: %t", err, asked)
	}
}
