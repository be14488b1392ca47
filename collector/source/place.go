package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Entry is a file that a place has.
type Entry struct {
	Path     string // below the place, with slashes
	Size     int64  // -1: the place does not say
	Modified time.Time
	Coarse   bool   // Modified is what an old server's listing shows: without seconds, in a zone of its own
	Version  string // changes with the content, where the place has such a thing (an ETag)
}

// Name is the entry's last part.
func (e Entry) Name() string { return e.Path[strings.LastIndexByte(e.Path, '/')+1:] }

// Same says whether two looks at an entry saw the same content, as far as the place tells.
func (e Entry) Same(other Entry) bool {
	return e.Path == other.Path && e.Size == other.Size && e.Version == other.Version &&
		(e.Coarse != other.Coarse || e.Modified.Equal(other.Modified))
}

// Errors of places, beside those of a network. A caller tries again what is neither of them.
var (
	// ErrGone says that the file is no longer there.
	ErrGone = errors.New("the file is gone")
	// ErrRefused says that the place does not let us: credentials, a host key, rights.
	ErrRefused = errors.New("refused")
)

// Place is where files lie: a folder, a server, a bucket. It is one connection, used by one goroutine
// at a time; who needs more opens more.
type Place interface {
	// List calls visit for each file, in no certain order, until it gives an error.
	List(ctx context.Context, recursive bool, visit func(Entry) error) error
	// Stat looks at one file; ErrGone when it is not there.
	Stat(ctx context.Context, path string) (Entry, error)
	// Open reads a file from the offset on.
	Open(ctx context.Context, path string, offset int64) (io.ReadCloser, error)
	// Remove deletes a file; it is no error when it is gone.
	Remove(ctx context.Context, path string) error
	// Move gives a file another path, making folders on the way. A file that stands there is not
	// overwritten: then the error is fs.ErrExist.
	Move(ctx context.Context, from, to string) error
	Close() error
}

// Folder is a place on this machine. Links are followed only inside of it.
type Folder struct{ root *os.Root }

var _ Place = (*Folder)(nil)

// OpenFolder opens a folder.
func OpenFolder(path string) (*Folder, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, folderError("open", path, err)
	}
	return &Folder{root}, nil
}

func folderError(operation, path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s %s: %w", operation, path, errors.Join(ErrGone, err))
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s %s: %w", operation, path, errors.Join(ErrRefused, err))
	}
	return fmt.Errorf("%s %s: %w", operation, path, err)
}

// List implements Place. Links, and what is no regular file, are passed over.
func (f *Folder) List(ctx context.Context, recursive bool, visit func(Entry) error) error {
	return fs.WalkDir(f.root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err() //nolint:wrapcheck // the caller names what was stopped
		case errors.Is(err, fs.ErrNotExist) && path != ".":
			return nil // between looking and asking
		case err != nil:
			return folderError("list", path, err)
		case d.IsDir() && path != "." && !recursive:
			return fs.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return folderError("list", path, err)
		}
		return visit(Entry{Path: path, Size: info.Size(), Modified: info.ModTime()})
	})
}

// Stat implements Place.
func (f *Folder) Stat(_ context.Context, path string) (Entry, error) {
	info, err := f.root.Lstat(filepath.FromSlash(path))
	if err != nil {
		return Entry{}, folderError("look at", path, err)
	}
	if !info.Mode().IsRegular() {
		return Entry{}, fmt.Errorf("look at %s: not a regular file: %w", path, ErrGone)
	}
	return Entry{Path: path, Size: info.Size(), Modified: info.ModTime()}, nil
}

// Open implements Place.
func (f *Folder) Open(_ context.Context, path string, offset int64) (io.ReadCloser, error) {
	file, err := f.root.Open(filepath.FromSlash(path))
	if err != nil {
		return nil, folderError("open", path, err)
	}
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return nil, errors.Join(folderError("open", path, err), file.Close())
	}
	return file, nil
}

// Remove implements Place.
func (f *Folder) Remove(_ context.Context, path string) error {
	if err := f.root.Remove(filepath.FromSlash(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return folderError("remove", path, err)
	}
	return nil
}

// Move implements Place.
func (f *Folder) Move(_ context.Context, from, to string) error {
	if dir := filepath.Dir(filepath.FromSlash(to)); dir != "." {
		if err := f.root.MkdirAll(dir, 0o750); err != nil {
			return folderError("move to", to, err)
		}
	}
	// A link is made only where nothing stands, which renaming does not promise.
	if err := f.root.Link(filepath.FromSlash(from), filepath.FromSlash(to)); err != nil && !f.linked(from, to) {
		return folderError("move to", to, err)
	}
	return f.Remove(context.Background(), from)
}

// linked says that a move was stopped in the middle: both paths are the same file.
func (f *Folder) linked(from, to string) bool {
	a, err := f.root.Lstat(filepath.FromSlash(from))
	b, again := f.root.Lstat(filepath.FromSlash(to))
	return err == nil && again == nil && os.SameFile(a, b)
}

// Local gives the file itself: what lies on this machine needs no copy.
func (f *Folder) Local(entry Entry) (*File, error) {
	now, err := f.Stat(context.Background(), entry.Path)
	if err != nil {
		return nil, err
	}
	if !now.Same(entry) {
		return nil, fmt.Errorf("open %s: since it was listed: %w", entry.Path, ErrChanged)
	}
	return Local(filepath.Join(f.root.Name(), filepath.FromSlash(entry.Path)))
}

// Close implements Place.
func (f *Folder) Close() error { return f.root.Close() } //nolint:wrapcheck // nothing was written
