// Package placetest checks that a place keeps what source.Place promises, on a real server. It is imported by tests.
package placetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/tollstream/tollstream/collector/source"
)

// Corner is an empty place on a server, and the way behind the server's back.
type Corner struct {
	Open func(t *testing.T, dial func(source.Dialer) source.Dialer) source.Place
	Put  func(t *testing.T, path string, content []byte)
	Flat bool // it has nothing that could be removed or moved
}

func same(d source.Dialer) source.Dialer { return d }

// Run checks a place.
func Run(t *testing.T, corner func(t *testing.T) Corner) {
	t.Run("list", func(t *testing.T) { list(t, corner(t)) })
	t.Run("read", func(t *testing.T) { read(t, corner(t)) })
	t.Run("cut", func(t *testing.T) { cut(t, corner(t)) })
	t.Run("cancel", func(t *testing.T) { cancelled(t, corner(t)) })
	t.Run("move", func(t *testing.T) { move(t, corner(t)) })
	t.Run("changes", func(t *testing.T) { changes(t, corner(t)) })
}

func content(n int) []byte {
	out := make([]byte, n)
	if _, err := rand.NewChaCha8([32]byte{7}).Read(out); err != nil {
		panic(err)
	}
	return out
}

func open(t *testing.T, c Corner) source.Place {
	t.Helper()
	p := c.Open(t, same)
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func listed(t *testing.T, p source.Place, recursive bool) map[string]source.Entry {
	t.Helper()
	found := map[string]source.Entry{}
	if err := p.List(t.Context(), recursive, func(e source.Entry) error { found[e.Path] = e; return nil }); err != nil {
		t.Fatal(err)
	}
	return found
}

func paths(of map[string]source.Entry) []string {
	var out []string
	for p := range of {
		out = append(out, p)
	}
	slices.Sort(out)
	return out
}

func list(t *testing.T, c Corner) {
	p := open(t, c)
	if got := listed(t, p, true); len(got) != 0 {
		t.Errorf("an empty place: %q", paths(got))
	}
	names := []string{"-rf.csv", "a b.csv", "empty.csv", "in/[x]/c.csv", "in/b.csv", "ümlaut.csv"}
	for _, name := range names {
		c.Put(t, name, []byte(name)[:len(name)%9])
	}
	if got := paths(listed(t, p, false)); !slices.Equal(got, []string{"-rf.csv", "a b.csv", "empty.csv", "ümlaut.csv"}) {
		t.Errorf("flat: %q", got)
	}
	found := listed(t, p, true)
	if got := paths(found); !slices.Equal(got, names) {
		t.Errorf("recursive: %q", got)
	}
	for name, e := range found {
		seen, err := p.Stat(t.Context(), name)
		if err != nil || !seen.Same(e) || seen.Size != int64(len(name)%9) || seen.Modified.IsZero() {
			t.Errorf("%+v listed, %+v looked at, %v", e, seen, err)
		}
		file, remove, err := source.Fetch(t.Context(), p, e, t.TempDir(), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, err := os.ReadFile(file.Path); err != nil || string(got) != name[:len(name)%9] {
			t.Errorf("%s: %q %v", name, got, err)
		}
		if err := remove(); err != nil {
			t.Error(err)
		}
	}
	enough := errors.New("enough")
	if err := p.List(t.Context(), true, func(source.Entry) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("the visitor's error: %v", err)
	}
}

func read(t *testing.T, c Corner) {
	p := open(t, c)
	whole := content(300_001)
	c.Put(t, "a.bin", whole)
	for _, offset := range []int{0, 1, 65_536, 300_000} {
		r, err := p.Open(t.Context(), "a.bin", int64(offset))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, whole[offset:]) {
			t.Errorf("from %d: %d bytes, %v", offset, len(got), err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"none.bin", "none/a.bin"} {
		if _, err := p.Stat(t.Context(), name); !errors.Is(err, source.ErrGone) {
			t.Errorf("%s: %v", name, err)
		}
		if r, err := p.Open(t.Context(), name, 0); !errors.Is(err, source.ErrGone) {
			t.Errorf("%s: %v", name, err)
			if err == nil {
				r.Close()
			}
		}
	}
	for _, name := range []string{"../a.bin", "/etc/passwd", "in/../../a.bin", "a\x00.bin", "a\r\nDELE b", `..\a`, ""} {
		if _, err := p.Stat(t.Context(), name); err == nil {
			t.Errorf("%q was looked at", name)
		}
		if _, err := p.Open(t.Context(), name, 0); err == nil {
			t.Errorf("%q was read", name)
		}
	}
	// What is left in the middle does not spoil the next.
	r, err := p.Open(t.Context(), "a.bin", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 1000)); err != nil {
		t.Error(err)
	}
	r.Close()
	if _, err := p.Stat(t.Context(), "a.bin"); err != nil {
		t.Errorf("behind a transfer that was left: %v", err)
	}
}

// cut ends transfers at random bytes, and each goes on where the one before came to.
func cut(t *testing.T, c Corner) {
	whole := content(8_000_003)
	c.Put(t, "a.bin", whole)
	wire := &cutter{}
	p := c.Open(t, wire.wrap)
	defer p.Close()
	e, err := p.Stat(t.Context(), "a.bin")
	if err != nil {
		t.Fatal(err)
	}
	dir, random, reached, attempts := t.TempDir(), rand.New(rand.NewPCG(1, 2)), int64(0), 0
	for ; ; attempts++ {
		wire.after(90_000 + random.Int64N(100_000))
		file, _, err := source.Fetch(t.Context(), p, e, dir, func(done int64) {
			if done < reached {
				t.Errorf("attempt %d: at %d, and %d was reached before", attempts, done, reached)
			}
			reached = done
		})
		if err == nil {
			if got, err := os.ReadFile(file.Path); err != nil || !bytes.Equal(got, whole) {
				t.Errorf("%d bytes, or others: %v", len(got), err)
			}
			break
		}
		if attempts > 500 || errors.Is(err, source.ErrRefused) || errors.Is(err, source.ErrGone) || errors.Is(err, source.ErrChanged) {
			t.Fatalf("attempt %d: %v", attempts, err)
		}
	}
	if attempts < 50 {
		t.Errorf("cut %d times only", attempts)
	}
	t.Logf("cut %d times", attempts)
	wire.after(-1)
	wire.refuse(true)
	p.Close()
	if _, err := p.Stat(t.Context(), "a.bin"); err == nil || errors.Is(err, source.ErrGone) {
		t.Errorf("nobody answers: %v", err)
	}
	wire.refuse(false)
	if _, err := p.Stat(t.Context(), "a.bin"); err != nil {
		t.Errorf("somebody answers again: %v", err)
	}
}

func cancelled(t *testing.T, c Corner) {
	p := open(t, c)
	c.Put(t, "a.bin", content(3_000_000))
	ctx, cancel := context.WithCancel(t.Context())
	r, err := p.Open(ctx, "a.bin", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 1000)); err != nil {
		t.Error(err)
	}
	cancel()
	if n, err := io.Copy(io.Discard, r); err == nil {
		t.Logf("all of %d bytes were on their way", n)
	} else if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	r.Close()
	if err := p.List(ctx, true, func(source.Entry) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("a list: %v", err)
	}
	if _, err := p.Stat(t.Context(), "a.bin"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func move(t *testing.T, c Corner) {
	if c.Flat {
		t.Skip("nothing is moved there")
	}
	p := open(t, c)
	c.Put(t, "a.csv", []byte("a"))
	c.Put(t, "b.csv", []byte("b"))
	if err := p.Move(t.Context(), "a.csv", "done/2026/a.csv"); err != nil {
		t.Fatal(err)
	}
	if err := p.Move(t.Context(), "b.csv", "done/2026/a.csv"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("onto another: %v", err)
	}
	if err := p.Move(t.Context(), "a.csv", "done/other.csv"); !errors.Is(err, source.ErrGone) {
		t.Errorf("what is not there: %v", err)
	}
	if err := p.Move(t.Context(), "b.csv", "../b.csv"); err == nil {
		t.Error("moved out of the place")
	}
	if got := paths(listed(t, p, true)); !slices.Equal(got, []string{"b.csv", "done/2026/a.csv"}) {
		t.Errorf("moved: %q", got)
	}
	for range 2 {
		if err := p.Remove(t.Context(), "b.csv"); err != nil {
			t.Error(err)
		}
	}
	if err := p.Remove(t.Context(), "../a.csv"); err == nil {
		t.Error("removed out of the place")
	}
	if got := paths(listed(t, p, true)); !slices.Equal(got, []string{"done/2026/a.csv"}) {
		t.Errorf("left: %q", got)
	}
}

func changes(t *testing.T, c Corner) {
	p := open(t, c)
	whole := content(600_000)
	c.Put(t, "a.bin", whole)
	e, err := p.Stat(t.Context(), "a.bin")
	if err != nil {
		t.Fatal(err)
	}
	grow := func(int64) {
		if whole != nil {
			c.Put(t, "a.bin", append(whole, whole...))
			whole = nil
		}
	}
	if _, _, err := source.Fetch(t.Context(), p, e, t.TempDir(), grow); !errors.Is(err, source.ErrChanged) && !errors.Is(err, source.ErrCut) {
		t.Errorf("grown while it was read: %v", err)
	}
}

// cutter is a wire that breaks.
type cutter struct {
	mu      sync.Mutex
	left    int64 // bytes until then; negative: never
	refused bool
}

func (c *cutter) after(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = n
}

func (c *cutter) refuse(all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused = all
}

func (c *cutter) wrap(dial source.Dialer) source.Dialer {
	c.after(-1)
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c.mu.Lock()
		refused := c.refused
		c.mu.Unlock()
		if refused {
			return nil, syscall.ECONNREFUSED
		}
		conn, err := dial(ctx, network, address)
		return &breaking{conn, c}, err
	}
}

type breaking struct {
	net.Conn
	wire *cutter
}

func (b *breaking) Read(into []byte) (int, error) {
	n, err := b.Conn.Read(into)
	b.wire.mu.Lock()
	defer b.wire.mu.Unlock()
	if b.wire.left < 0 {
		return n, err
	}
	if int64(n) < b.wire.left {
		b.wire.left -= int64(n)
		return n, err
	}
	n = int(b.wire.left)
	b.Conn.Close()
	if b.wire.left = -1; n%2 == 0 {
		return n, io.EOF // as if the server had said all
	}
	return n, syscall.ECONNRESET
}
