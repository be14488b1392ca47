package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shelf is a place in memory whose transfers can be cut.
type shelf struct {
	content []byte
	entry   Entry
	cut     int    // each transfer ends after so many bytes; negative: never
	silent  bool   // and looks as if that were the end
	opened  int    // how often
	during  func() // is called in the middle of a transfer
}

func newShelf(content []byte) *shelf {
	return &shelf{content: content, cut: -1, entry: Entry{Path: "in/a.csv", Size: int64(len(content)), Modified: time.Unix(1700000000, 0)}}
}

func (s *shelf) List(_ context.Context, _ bool, visit func(Entry) error) error { return visit(s.entry) }
func (s *shelf) Remove(context.Context, string) error                          { return nil }
func (s *shelf) Move(context.Context, string, string) error                    { return nil }
func (s *shelf) Close() error                                                  { return nil }

func (s *shelf) Stat(context.Context, string) (Entry, error) {
	if s.content == nil {
		return Entry{}, ErrGone
	}
	return s.entry, nil
}

func (s *shelf) Open(_ context.Context, _ string, offset int64) (io.ReadCloser, error) {
	s.opened++
	return io.NopCloser(&transfer{s, bytes.NewReader(s.content[offset:]), s.cut}), nil
}

type transfer struct {
	s    *shelf
	rest *bytes.Reader
	left int
}

func (r *transfer) Read(b []byte) (int, error) {
	if r.s.during != nil {
		r.s.during()
	}
	if r.left == 0 {
		if r.s.silent {
			return 0, io.EOF
		}
		return 0, io.ErrUnexpectedEOF
	}
	if r.left > 0 {
		b = b[:min(len(b), r.left)]
	}
	n, err := r.rest.Read(b[:min(len(b), 1000)])
	r.left -= max(0, min(n, r.left))
	return n, err
}

func random(n int) []byte {
	content := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	if _, err := r.Read(content); err != nil {
		panic(err)
	}
	return content
}

func holds(t *testing.T, file *File, want []byte) {
	t.Helper()
	got, err := os.ReadFile(file.Path)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%v: %d bytes, %d wanted, or others", err, len(got), len(want))
	}
}

func TestFetchGoesOn(t *testing.T) {
	for _, silent := range []bool{false, true} {
		s, dir := newShelf(random(50_500)), t.TempDir()
		s.cut, s.silent = 997, silent
		var most int64
		for attempt := 1; ; attempt++ {
			file, remove, err := Fetch(t.Context(), s, s.entry, dir, func(done int64) { most = max(most, done) })
			if err == nil {
				if attempt != 51 { // 50 × 997 = 49,850 bytes, and the rest
					t.Errorf("silent %t: complete at attempt %d", silent, attempt)
				}
				holds(t, file, s.content)
				if file.Name != "a.csv" || most != 50_500 {
					t.Errorf("%s, progress to %d", file.Name, most)
				}
				if _, _, err := Fetch(t.Context(), s, s.entry, dir, nil); err != nil || s.opened != 51 {
					t.Errorf("again: %v, %d transfers", err, s.opened)
				}
				if err := remove(); err != nil {
					t.Error(err)
				}
				break
			}
			if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, ErrCut) {
				t.Fatal(err)
			}
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("%v, left behind: %v", err, left)
		}
	}
}

func TestFetchOfWhatChanges(t *testing.T) {
	s, dir := newShelf(random(5000)), t.TempDir()
	s.cut = 1000
	if _, _, err := Fetch(t.Context(), s, s.entry, dir, nil); err == nil {
		t.Fatal("the transfer was not cut")
	}
	listed := s.entry
	s.content, s.entry.Modified, s.cut = append([]byte("other"), s.content[5:]...), s.entry.Modified.Add(time.Second), -1
	if _, _, err := Fetch(t.Context(), s, listed, dir, nil); !errors.Is(err, ErrChanged) {
		t.Errorf("changed since it was listed: %v", err)
	}
	file, _, err := Fetch(t.Context(), s, s.entry, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	holds(t, file, s.content) // not the beginning of the old one

	grown := newShelf(random(5000))
	grown.entry.Path = "grown.csv"
	grown.during = func() { grown.entry.Size++; grown.during = nil }
	if _, _, err := Fetch(t.Context(), grown, grown.entry, dir, nil); !errors.Is(err, ErrChanged) {
		t.Errorf("grown while it was read: %v", err)
	}
	longer := newShelf(random(5000))
	longer.entry.Path, longer.entry.Size = "longer.csv", 4000
	for range 2 {
		if _, _, err := Fetch(t.Context(), longer, longer.entry, dir, nil); !errors.Is(err, ErrChanged) {
			t.Errorf("longer than it says: %v", err)
		}
	}
	gone := newShelf(random(5000))
	gone.entry.Path = "gone.csv"
	gone.during = func() { gone.content = nil }
	if file, _, err := Fetch(t.Context(), gone, gone.entry, dir, nil); err != nil || file.Size != 5000 {
		t.Errorf("taken away when all of it was here: %v", err)
	}
	if _, _, err := Fetch(t.Context(), gone, Entry{Path: "other.csv"}, dir, nil); !errors.Is(err, ErrGone) {
		t.Errorf("taken away before: %v", err)
	}
}

// TestFetchOfUnknownSize: what has neither size nor version cannot be told from another, and begins anew.
func TestFetchOfUnknownSize(t *testing.T) {
	s, dir := newShelf(random(5000)), t.TempDir()
	s.entry.Size, s.entry.Modified, s.cut = -1, time.Time{}, 1000
	if _, _, err := Fetch(t.Context(), s, s.entry, dir, nil); err == nil {
		t.Fatal("the transfer was not cut")
	}
	s.cut, s.content = -1, random(6000)[1000:]
	file, _, err := Fetch(t.Context(), s, s.entry, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	holds(t, file, s.content)
}

func TestFetchBounds(t *testing.T) {
	dir := t.TempDir()
	for _, unknown := range []bool{false, true} {
		s := newShelf(random(5001))
		if unknown {
			s.entry.Size = -1
		}
		if _, _, err := fetch(t.Context(), s, s.entry, spool{dir: dir, maxBytes: 5000, open: openSpooled}); err == nil || !strings.Contains(err.Error(), "5000") {
			t.Errorf("unknown size %t: %v", unknown, err)
		}
	}
	for _, path := range []string{"../a", "/etc/passwd", "a/../../b", "a\x00b", `..\a`, "", "a//b"} {
		s := newShelf([]byte("x"))
		s.entry.Path = path
		if _, _, err := Fetch(t.Context(), s, s.entry, dir, nil); err == nil {
			t.Errorf("%q was fetched", path)
		}
	}
	empty := newShelf([]byte{})
	file, _, err := Fetch(t.Context(), empty, empty.entry, dir, nil)
	if err != nil || file.Size != 0 || empty.opened != 0 {
		t.Errorf("an empty file: %v, %d transfers", err, empty.opened)
	}
}

// narrow is a file on a disk with so much room.
type narrow struct {
	*os.File
	room *int
}

func (n narrow) Write(b []byte) (int, error) {
	fits := min(len(b), *n.room)
	*n.room -= fits
	written, err := n.File.Write(b[:fits])
	if err == nil && fits < len(b) {
		err = syscall.ENOSPC
	}
	return written, err
}

func TestFetchToAFullDisk(t *testing.T) {
	s, dir, room := newShelf(random(5000)), t.TempDir(), 1500
	onto := spool{dir: dir, maxBytes: maxFetchBytes, open: func(path string) (spooled, error) {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		return narrow{file, &room}, err
	}}
	for range 2 { // still full
		if _, _, err := fetch(t.Context(), s, s.entry, onto); !errors.Is(err, ErrNoSpace) || !strings.Contains(err.Error(), "make room") {
			t.Fatal(err)
		}
	}
	room = 5000
	file, _, err := fetch(t.Context(), s, s.entry, onto)
	if err != nil {
		t.Fatal(err)
	}
	holds(t, file, s.content)
}

// TestFetchToASmallDisk is about a disk that is really full, on which the note has no room either.
func TestFetchToASmallDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tollstream", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("no tmpfs can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	s := newShelf(random(1_500_000))
	if _, _, err := Fetch(t.Context(), s, s.entry, dir, nil); !errors.Is(err, ErrNoSpace) {
		t.Fatal(err)
	}
	if err := syscall.Mount("tollstream", dir, "tmpfs", syscall.MS_REMOUNT, "size=2m"); err != nil {
		t.Fatal(err)
	}
	least := int64(len(s.content))
	file, _, err := Fetch(t.Context(), s, s.entry, dir, func(done int64) { least = min(least, done) })
	if err != nil {
		t.Fatal(err)
	}
	holds(t, file, s.content)
	if least < 900_000 {
		t.Errorf("it went on at byte %d", least)
	}
}

// TestFetchAfterTheMachineDied: what was not synced is not trusted.
func TestFetchAfterTheMachineDied(t *testing.T) {
	s, dir := newShelf(random(5000)), t.TempDir()
	s.cut = 2000
	if _, _, err := Fetch(t.Context(), s, s.entry, dir, nil); err == nil {
		t.Fatal("the transfer was not cut")
	}
	path := spool{dir: dir}.path(s.entry)
	for _, damage := range []func() error{
		func() error { return os.WriteFile(path, append(s.content[:2000:2000], make([]byte, 500)...), 0o600) }, // zeros that were never written
		func() error { return os.WriteFile(path, s.content[:1500], 0o600) },                                    // less than was noted
		func() error { return os.WriteFile(path+".note", []byte(`{"entry":`), 0o600) },                         // a torn note
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		s.cut = -1
		file, remove, err := Fetch(t.Context(), s, s.entry, dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		holds(t, file, s.content)
		if err := remove(); err != nil {
			t.Fatal(err)
		}
		s.cut = 2000
		if _, _, err := Fetch(t.Context(), s, s.entry, dir, nil); err == nil {
			t.Fatal("the transfer was not cut")
		}
	}
}

func TestFetchTwice(t *testing.T) {
	s, dir := newShelf(random(5000)), t.TempDir()
	var second error
	s.during = func() {
		s.during = nil
		_, _, second = Fetch(t.Context(), s, s.entry, dir, nil)
	}
	file, _, err := Fetch(t.Context(), s, s.entry, dir, nil)
	if err != nil || !errors.Is(second, ErrBusy) {
		t.Fatalf("%v, the second: %v", err, second)
	}
	holds(t, file, s.content)
}

func TestFetchOfAFolder(t *testing.T) {
	f, dir := folder(t, map[string]string{"in/a.csv": "a"})
	spooling := t.TempDir()
	e, err := f.Stat(t.Context(), "in/a.csv")
	if err != nil {
		t.Fatal(err)
	}
	file, remove, err := Fetch(t.Context(), f, e, spooling, nil)
	if err != nil || file.Path != filepath.Join(dir, "in/a.csv") || remove() != nil {
		t.Fatalf("%v %+v", err, file)
	}
	holds(t, file, []byte("a"))
	e.Size = 2
	if _, _, err := Fetch(t.Context(), f, e, spooling, nil); !errors.Is(err, ErrChanged) {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(spooling); err != nil || len(left) != 0 {
		t.Errorf("%v, copied: %v", err, left)
	}
}

func TestFingerprint(t *testing.T) {
	// Of nothing: e3b0c442… in FIPS 180.
	of := Fingerprint(nil)
	if of != "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU" {
		t.Error(of)
	}
	for _, way := range []string{of, of + "=", "SHA256:E3:B0:C4:42:98:FC:1C:14:9A:FB:F4:C8:99:6F:B9:24:27:AE:41:E4:64:9B:93:4C:A4:95:99:1B:78:52:B8:55"} {
		if sum, err := ParseFingerprint(way); err != nil || fmt.Sprintf("%x", sum[:4]) != "e3b0c442" {
			t.Errorf("%s: %x %v", way, sum, err)
		}
	}
}
