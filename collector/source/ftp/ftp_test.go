package ftp

import (
	"context"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/collector/secret"
	"github.com/tollstream/tollstream/collector/source"
	"github.com/tollstream/tollstream/collector/source/placetest"
	"github.com/tollstream/tollstream/deploy/teststores"
)

func secrets(password string) secret.Store {
	return secret.Store{Getenv: func(name string) string { return map[string]string{"TOLLSTREAM_SECRET_P": password}[name] }}
}

func certificate(t *testing.T, f teststores.Files) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(f.Keys, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	return source.Fingerprint(block.Bytes)
}

func config(f teststores.Files) source.FTP {
	return source.FTP{Host: f.Host, Port: f.Port, User: f.User, Password: "P", Path: f.Path}
}

func put(f teststores.Files) func(t *testing.T, path string, content []byte) {
	return func(t *testing.T, path string, content []byte) {
		t.Helper()
		at := filepath.Join(f.Dir, path)
		for dir := filepath.Dir(path); dir != "."; dir = filepath.Dir(dir) {
			if err := os.MkdirAll(filepath.Join(f.Dir, dir), 0o777); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(at, content, 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPlace(t *testing.T) {
	run := func(name string, files func(testing.TB) teststores.Files, change func(*source.FTP, teststores.Files)) {
		t.Run(name, func(t *testing.T) {
			placetest.Run(t, func(t *testing.T) placetest.Corner {
				f := files(t)
				c := config(f)
				change(&c, f)
				return placetest.Corner{Put: put(f), Open: func(t *testing.T, dial func(source.Dialer) source.Dialer) source.Place {
					t.Helper()
					p, err := open(t.Context(), c, secrets(f.Password), dial(source.Dial(source.Timeout)))
					if err != nil {
						t.Fatal(err)
					}
					return p
				}}
			})
		})
	}
	run("plain", teststores.FTP, func(*source.FTP, teststores.Files) {})
	run("explicit", teststores.FTP, func(c *source.FTP, f teststores.Files) { c.TLS, c.Certificate = "explicit", certificate(t, f) })
	run("implicit", teststores.FTPS, func(c *source.FTP, f teststores.Files) { c.TLS, c.Certificate = "implicit", certificate(t, f) })
}

func TestRefused(t *testing.T) {
	f := teststores.FTP(t)
	plain := config(f)
	explicit := plain
	explicit.TLS, explicit.Certificate = "explicit", source.Fingerprint([]byte("another"))
	unpinned := explicit
	unpinned.Certificate = ""
	for name, c := range map[string]struct {
		config   source.FTP
		password string
		says     string
	}{
		"a wrong password":          {plain, "wrong", "look at user and password"},
		"another certificate":       {explicit, f.Password, "has the fingerprint " + certificate(t, f) + ", the configuration pins " + explicit.Certificate},
		"a certificate of nobody's": {unpinned, f.Password, "write its fingerprint to certificate: " + certificate(t, f)},
	} {
		p, err := Open(t.Context(), c.config, secrets(c.password))
		if err == nil {
			p.Close()
		}
		if !errors.Is(err, source.ErrRefused) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), c.password) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(t.Context(), plain, secrets("")); !errors.Is(err, secret.ErrMissing) {
		t.Errorf("no password: %v", err)
	}
	p, err := Open(t.Context(), source.FTP{Host: f.Host, Port: f.Port, User: f.User, Password: "P", Path: f.Path + "/none"}, secrets(f.Password))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.List(t.Context(), true, func(source.Entry) error { return nil }); !errors.Is(err, source.ErrGone) {
		t.Errorf("no such folder: %v", err)
	}
}

// TestSilentServer: nobody waits for ever for a server that says nothing.
func TestSilentServer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	c := source.FTP{Host: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port}
	var timeout net.Error
	if _, err := open(t.Context(), c, secret.Store{}, source.Dial(50*time.Millisecond)); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("silent: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, c, secret.Store{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("out of time: %v", err)
	}
}
