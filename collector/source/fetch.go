package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Errors of fetching a file to the spool.
var (
	// ErrBusy says that somebody else brings the same file here.
	ErrBusy = errors.New("the file is being fetched by another run")
	// ErrNoSpace says that the disk of the spool is full.
	ErrNoSpace = errors.New("no room is left on the disk; make room and run it again: it goes on where it was")
	// ErrCut says that a transfer ended before the file did.
	ErrCut = errors.New("the transfer was cut; run it again: it goes on where it was")
)

const (
	maxFetchBytes = 64 << 30
	syncEvery     = 32 << 20 // what a machine that dies has to fetch again
	copyBytes     = 1 << 20
	noteRoom      = 64 << 10
)

// note says which entry a file in the spool belongs to, and how much of it is safe on the disk.
type note struct {
	Entry    Entry `json:"entry"`
	Synced   int64 `json:"synced"`
	Complete bool  `json:"complete"`
}

// Fetch brings an entry to dir, or goes on where a transfer of the same content was cut. The caller calls remove when it has done with
// the file; until then another Fetch gives it without a transfer. Its name in dir is made here: what the place calls it is shown only.
// Of a place on this machine the file itself is given, and remove does nothing. progress, if any, is told how many bytes are there.
func Fetch(ctx context.Context, place Place, entry Entry, dir string, progress func(done int64)) (file *File, remove func() error, err error) {
	return fetch(ctx, place, entry, spool{dir: dir, maxBytes: maxFetchBytes, progress: progress, open: openSpooled})
}

// spooled is a file of the spool that is written.
type spooled interface {
	io.WriteSeeker
	io.Closer
	Truncate(size int64) error
	Sync() error
}

// spool says how a file is kept.
type spool struct {
	dir      string
	maxBytes int64
	progress func(done int64)
	open     func(path string) (spooled, error)
}

func fetch(ctx context.Context, place Place, entry Entry, s spool) (*File, func() error, error) {
	if local, ok := place.(interface {
		Local(entry Entry) (*File, error)
	}); ok {
		file, err := local.Local(entry)
		return file, func() error { return nil }, err
	}
	if s.progress == nil {
		s.progress = func(int64) {}
	}
	if err := CheckPath(entry.Path); err != nil {
		return nil, nil, fmt.Errorf("fetch: %w", err)
	}
	if err := s.bring(ctx, place, entry); err != nil {
		return nil, nil, fmt.Errorf("fetch %s: %w", entry.Path, err)
	}
	path := s.path(entry)
	file, err := Local(path)
	if err != nil {
		return nil, nil, err
	}
	file.Name = entry.Name()
	return file, func() error { return errors.Join(removed(path), removed(path+".note")) }, nil
}

func removed(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove a file from the spool: %w", err)
	}
	return nil
}

func (s spool) path(e Entry) string {
	sum := sha256.Sum256([]byte(e.Path))
	return filepath.Join(s.dir, hex.EncodeToString(sum[:16]))
}

// bring makes the entry's file in the spool complete.
func (s spool) bring(ctx context.Context, place Place, entry Entry) error {
	path := s.path(entry)
	now, err := place.Stat(ctx, entry.Path)
	if err != nil {
		return err //nolint:wrapcheck // fetch names the entry
	}
	if !now.Same(entry) {
		return fmt.Errorf("since it was listed: %w", ErrChanged)
	}
	if now.Size > s.maxBytes {
		return fmt.Errorf("it has %d bytes, at most %d are taken; split it", now.Size, s.maxBytes)
	}
	out, err := lock(path, s.open)
	if err != nil {
		return err
	}
	defer out.Close() //nolint:errcheck // what was written is synced before
	kept := readNote(path + ".note")
	if !kept.Entry.certain() || !kept.Entry.Same(now) || kept.Synced > size(path) {
		kept = note{Entry: now}
	}
	if kept.Complete && kept.Synced == size(path) {
		s.progress(kept.Synced)
		return nil
	}
	kept.Complete = false
	if err := s.transfer(ctx, place, path, out, &kept); err != nil {
		return err
	}
	after, err := place.Stat(ctx, entry.Path)
	switch {
	case errors.Is(err, ErrGone) && now.Size >= 0: // all of it is here, and only here
	case err != nil:
		return err //nolint:wrapcheck // fetch names the entry
	case !after.Same(now):
		return errors.Join(ErrChanged, removed(path+".note"))
	}
	kept.Complete = true
	return s.noted(path, out, kept)
}

// transfer appends what is missing. However it ends, the note tells what is safe.
func (s spool) transfer(ctx context.Context, place Place, path string, out spooled, kept *note) (err error) {
	if err := out.Truncate(kept.Synced); err != nil {
		return full(err)
	}
	if _, err := out.Seek(kept.Synced, io.SeekStart); err != nil {
		return fmt.Errorf("go on in the spool: %w", err)
	}
	if err := s.noted(path, out, *kept); err != nil {
		return err
	}
	want := kept.Entry.Size
	if want >= 0 && kept.Synced == want {
		return nil
	}
	in, err := place.Open(ctx, kept.Entry.Path, kept.Synced)
	if err != nil {
		return err //nolint:wrapcheck // fetch names the entry
	}
	done := kept.Synced
	buffer := make([]byte, copyBytes)
	for err == nil {
		var n int
		n, err = in.Read(buffer)
		if done+int64(n) > s.maxBytes {
			n, err = 0, fmt.Errorf("it has more than %d bytes; split it", s.maxBytes)
		}
		if want >= 0 && done+int64(n) > want {
			n, err = int(want-done), ErrChanged
		}
		written, werr := out.Write(buffer[:n])
		done += int64(written)
		if werr != nil {
			err = full(werr)
		}
		s.progress(done)
		if done-kept.Synced >= syncEvery && err == nil {
			kept.Synced = done
			err = s.noted(path, out, *kept)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if cerr := in.Close(); err == nil && (want < 0 || done < want) {
		err = cerr // of a transfer that gave everything, its end says no more
	}
	if err == nil && want >= 0 && done < want {
		err = fmt.Errorf("at byte %d of %d: %w", done, want, ErrCut)
	}
	switch kept.Synced = done; {
	case errors.Is(err, ErrChanged):
		kept.Synced = 0
	case errors.Is(err, ErrNoSpace): // the note needs room as well
		kept.Synced = max(0, done-noteRoom)
		err = errors.Join(err, out.Truncate(kept.Synced))
	}
	return errors.Join(err, s.noted(path, out, *kept))
}

// noted writes down how much of a file is safe, once it is.
func (s spool) noted(path string, out spooled, n note) error {
	if err := out.Sync(); err != nil {
		return full(err)
	}
	text, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("note the progress: %w", err)
	}
	if err := writeSynced(path+".note.new", text); err != nil {
		return full(err)
	}
	if err := os.Rename(path+".note.new", path+".note"); err != nil {
		return full(err)
	}
	folder, err := os.Open(s.dir)
	if err != nil {
		return full(err)
	}
	return full(errors.Join(folder.Sync(), folder.Close()))
}

func writeSynced(path string, text []byte) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err //nolint:wrapcheck // full does
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Sync(), file.Close())
}

// readNote gives the zero note for one that is missing or torn.
func readNote(path string) (n note) {
	text, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(text, &n) != nil {
		return note{}
	}
	return n
}

// certain says that an equal entry has the same content: there is something that changes with it.
func (e Entry) certain() bool { return e.Version != "" || (e.Size >= 0 && !e.Modified.IsZero()) }

func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return -1
	}
	return info.Size()
}

// full wraps what a disk says.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	if err != nil {
		return fmt.Errorf("keep the file: %w", err)
	}
	return nil
}

func openSpooled(path string) (spooled, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:wrapcheck // full does
}

// lock opens a file of the spool for one Fetch at a time, of all processes of this machine; the lock ends with the file.
func lock(path string, open func(string) (spooled, error)) (spooled, error) {
	for {
		out, err := open(path)
		if err != nil {
			return nil, full(err)
		}
		held, ok := out.(interface {
			Fd() uintptr
			Stat() (fs.FileInfo, error)
		})
		if !ok {
			return out, nil
		}
		if err := syscall.Flock(int(held.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			return nil, errors.Join(ErrBusy, out.Close())
		}
		// Between opening and locking it may have been removed by whoever had it.
		mine, err := held.Stat()
		there, serr := os.Stat(path)
		if err == nil && serr == nil && os.SameFile(mine, there) {
			return out, nil
		}
		if err := out.Close(); err != nil {
			return nil, full(err)
		}
	}
}
