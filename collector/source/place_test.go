package source

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func folder(t *testing.T, files map[string]string) (*Folder, string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, dir
}

func listAll(t *testing.T, p Place, recursive bool) (paths []string) {
	t.Helper()
	if err := p.List(t.Context(), recursive, func(e Entry) error { paths = append(paths, e.Path); return nil }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(paths)
	return paths
}

func TestFolder(t *testing.T) {
	f, dir := folder(t, map[string]string{"a.csv": "0123456789", "in/b.csv": "b", "in/deep/c.csv": ""})
	outside := filepath.Join(t.TempDir(), "secret.csv")
	if err := os.WriteFile(outside, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link.csv")); err != nil {
		t.Fatal(err)
	}
	if got := listAll(t, f, false); !slices.Equal(got, []string{"a.csv"}) {
		t.Errorf("flat: %q", got)
	}
	if got := listAll(t, f, true); !slices.Equal(got, []string{"a.csv", "in/b.csv", "in/deep/c.csv"}) {
		t.Errorf("recursive: %q", got)
	}
	e, err := f.Stat(t.Context(), "in/b.csv")
	if err != nil || e.Size != 1 || e.Modified.IsZero() || e.Name() != "b.csv" {
		t.Errorf("%+v %v", e, err)
	}
	r, err := f.Open(t.Context(), "a.csv", 4)
	if err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(r); err != nil || string(rest) != "456789" {
		t.Errorf("%q %v", rest, err)
	}
	r.Close()
	for _, path := range []string{"none.csv", "link.csv", "in", "../" + filepath.Base(filepath.Dir(outside)) + "/secret.csv"} {
		if _, err := f.Stat(t.Context(), path); err == nil {
			t.Errorf("%s was looked at", path)
		}
	}
	if _, err := f.Stat(t.Context(), "none.csv"); !errors.Is(err, ErrGone) {
		t.Errorf("gone: %v", err)
	}
	if r, err := f.Open(t.Context(), "link.csv", 0); err == nil {
		r.Close()
		t.Error("a link led out of the folder")
	}
}

func TestFolderMovesAndRemoves(t *testing.T) {
	f, dir := folder(t, map[string]string{"a.csv": "a", "b.csv": "b"})
	if err := f.Move(t.Context(), "a.csv", "done/2026/a.csv"); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "done/2026/a.csv")); err != nil || string(text) != "a" {
		t.Errorf("%q %v", text, err)
	}
	if err := f.Move(t.Context(), "b.csv", "done/2026/a.csv"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("onto another: %v", err)
	}
	if err := os.Link(filepath.Join(dir, "b.csv"), filepath.Join(dir, "half.csv")); err != nil {
		t.Fatal(err)
	}
	if err := f.Move(t.Context(), "half.csv", "b.csv"); err != nil {
		t.Errorf("a move that was stopped in the middle: %v", err)
	}
	if err := f.Move(t.Context(), "b.csv", "../b.csv"); err == nil {
		t.Error("moved out of the folder")
	}
	for range 2 {
		if err := f.Remove(t.Context(), "b.csv"); err != nil {
			t.Error(err)
		}
	}
	if got := listAll(t, f, true); !slices.Equal(got, []string{"done/2026/a.csv"}) {
		t.Errorf("left: %q", got)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.List(ended, true, func(Entry) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := OpenFolder(filepath.Join(dir, "none")); !errors.Is(err, ErrGone) {
		t.Errorf("%v", err)
	}
}
