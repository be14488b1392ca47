// Package source is where the bytes of usage come from.
//
// It imports the standard library and the names of secrets. Invariants: a file is never held whole; what changes while it
// is read is noticed.
package source

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// File is a file that can be read more than once.
type File struct {
	Name     string // as people call it
	Path     string
	Size     int64
	modified time.Time
}

// ErrChanged says that a file was written to while it was read.
var ErrChanged = errors.New("the file changed while it was read; run it again when its writer has finished")

// Local describes a file on this machine.
func Local(path string) (*File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("open file %s: not a regular file; give the path of a file", path)
	}
	return &File{Name: filepath.Base(path), Path: path, Size: info.Size(), modified: info.ModTime()}, nil
}

// Open opens the file; what lies behind Size was appended since Local, and is not read.
func (f *File) Open() (*os.File, error) {
	file, err := os.Open(f.Path)
	if err != nil {
		return nil, fmt.Errorf("open file: %w", err)
	}
	return file, nil
}

// Unchanged gives ErrChanged when the file is not the one that Local saw.
func (f *File) Unchanged() error {
	info, err := os.Stat(f.Path)
	if err != nil {
		return fmt.Errorf("look at file %s again: %w", f.Name, err)
	}
	if info.Size() != f.Size || !info.ModTime().Equal(f.modified) {
		return fmt.Errorf("file %s: %w", f.Name, ErrChanged)
	}
	return nil
}

// ErrTooLarge says that an upload is larger than is taken.
var ErrTooLarge = errors.New("the file is too large; split it, or run it with `tollstream collect`")

// Spool writes an upload to a new file in dir, synced to disk; the caller calls remove when it is done.
func Spool(from io.Reader, name, dir string, maxBytes int64) (file *File, remove func() error, err error) {
	out, err := os.CreateTemp(dir, "upload-*")
	if err != nil {
		return nil, nil, fmt.Errorf("keep upload: %w", err)
	}
	n, err := io.Copy(out, io.LimitReader(from, maxBytes+1))
	if err == nil && n > maxBytes {
		err = fmt.Errorf("more than %d bytes: %w", maxBytes, ErrTooLarge)
	}
	if err = errors.Join(err, out.Sync(), out.Close()); err == nil {
		file, err = Local(out.Name())
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("keep upload: %w", err), os.Remove(out.Name()))
	}
	if file.Name = filepath.Base(filepath.Clean("/" + name)); file.Name == "/" {
		file.Name = "upload"
	}
	return file, func() error { return os.Remove(file.Path) }, nil
}
