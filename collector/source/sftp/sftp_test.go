package sftp

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/tollstream/tollstream/collector/secret"
	"github.com/tollstream/tollstream/collector/source"
	"github.com/tollstream/tollstream/collector/source/placetest"
	"github.com/tollstream/tollstream/deploy/teststores"
)

func text(t *testing.T, f teststores.Files, name string) string {
	t.Helper()
	out, err := os.ReadFile(filepath.Join(f.Keys, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func secrets(t *testing.T, f teststores.Files) secret.Store {
	key := text(t, f, "user")
	return secret.Store{Getenv: func(name string) string { return map[string]string{"TOLLSTREAM_SECRET_K": key}[name] }}
}

func fingerprint(t *testing.T, f teststores.Files, kind string) string {
	t.Helper()
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(text(t, f, "host_"+kind+".pub")))
	if err != nil {
		t.Fatal(err)
	}
	return ssh.FingerprintSHA256(key)
}

func config(t *testing.T, f teststores.Files) source.SFTP {
	return source.SFTP{Host: f.Host, Port: f.Port, User: f.User, PrivateKey: "K", Path: f.Path, HostKey: fingerprint(t, f, "ed25519")}
}

func TestPlace(t *testing.T) {
	placetest.Run(t, func(t *testing.T) placetest.Corner {
		f := teststores.SFTP(t)
		return placetest.Corner{
			Put: func(t *testing.T, path string, content []byte) {
				t.Helper()
				at := filepath.Join(f.Dir, path)
				if err := os.MkdirAll(filepath.Dir(at), 0o777); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(at, content, 0o666); err != nil {
					t.Fatal(err)
				}
			},
			Open: func(t *testing.T, dial func(source.Dialer) source.Dialer) source.Place {
				t.Helper()
				p, err := open(t.Context(), config(t, f), secrets(t, f), dial((&net.Dialer{}).DialContext), source.Timeout)
				if err != nil {
					t.Fatal(err)
				}
				return p
			},
		}
	})
}

// TestHostKey: of the server's keys any may be pinned, in any notation; another is refused, and nothing is sent.
func TestHostKey(t *testing.T) {
	f := teststores.SFTP(t)
	for _, kind := range []string{"rsa", "ecdsa", "ed25519"} {
		line := strings.TrimSpace(text(t, f, "host_"+kind+".pub"))
		for _, pin := range []string{fingerprint(t, f, kind), line, "[127.0.0.1]:2222 " + line} {
			c := config(t, f)
			c.HostKey = pin
			p, err := Open(t.Context(), c, secrets(t, f))
			if err != nil {
				t.Errorf("%s: %v", pin, err)
				continue
			}
			p.Close()
		}
	}
	c := config(t, f)
	c.HostKey = source.Fingerprint([]byte("another"))
	_, err := Open(t.Context(), c, secrets(t, f))
	if !errors.Is(err, source.ErrRefused) || !strings.Contains(err.Error(), "the configuration pins "+c.HostKey) || !strings.Contains(err.Error(), "it shows SHA256:") {
		t.Errorf("another host key: %v", err)
	}
	c.HostKey = strings.TrimSpace(text(t, f, "user.pub"))
	if _, err := Open(t.Context(), c, secrets(t, f)); !errors.Is(err, source.ErrRefused) || !strings.Contains(err.Error(), fingerprint(t, f, "ed25519")) {
		t.Errorf("another key of the same kind: %v", err)
	}
}

func TestRefused(t *testing.T) {
	f := teststores.SFTP(t)
	for name, c := range map[string]struct {
		key, says string
		refused   bool
	}{
		"a key that the server does not know": {text(t, f, "host_ed25519"), "look at user, and password or private_key", true},
		"what is no key":                      {"nothing", "cannot be read", false},
		"no key":                              {"", "the secret is not set", false},
	} {
		_, err := Open(t.Context(), config(t, f), secret.Store{Getenv: func(string) string { return c.key }})
		if err == nil || errors.Is(err, source.ErrRefused) != c.refused || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	link := filepath.Join(f.Dir, "link.csv")
	if err := os.Symlink("/etc/passwd", link); err != nil {
		t.Fatal(err)
	}
	p, err := Open(t.Context(), config(t, f), secrets(t, f))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.List(t.Context(), true, func(e source.Entry) error { t.Errorf("listed: %s", e.Path); return nil }); err != nil {
		t.Error(err)
	}
	if _, err := p.Stat(t.Context(), "link.csv"); !errors.Is(err, source.ErrGone) {
		t.Errorf("a link: %v", err)
	}
}

// TestSilentServer: nobody waits for ever for a server that says nothing.
func TestSilentServer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	c := source.SFTP{Host: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port, User: "u", Password: "P", HostKey: source.Fingerprint(nil)}
	known := secret.Store{Getenv: func(string) string { return "x" }}
	if _, err := open(t.Context(), c, known, (&net.Dialer{}).DialContext, 50*time.Millisecond); err == nil || !strings.Contains(err.Error(), "said nothing for 50ms") {
		t.Errorf("silent: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, c, known); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("out of time: %v", err)
	}
}
