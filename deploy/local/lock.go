package local

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// InUseError says that another process has the data directory.
type InUseError struct {
	Dir string
	PID int // 0 if it is not known
}

// Error says who has the directory and what to do about it.
func (e *InUseError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("data directory %s is in use by another process: stop that one, or choose another directory with TOLLSTREAM_DATA_DIR", e.Dir)
	}
	return fmt.Sprintf("data directory %s is in use by process %d: stop that one (kill %d), or choose another directory with TOLLSTREAM_DATA_DIR", e.Dir, e.PID, e.PID)
}

// dirLock is the flock on DataDir/lock. The file stays: to delete it would let
// two processes lock two files of the same name.
type dirLock struct{ f *os.File }

func lockDir(dir string) (*dirLock, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock data directory %s: %w", dir, err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		text, _ := io.ReadAll(io.LimitReader(f, 32))
		_ = f.Close()
		pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
		return nil, &InUseError{Dir: dir, PID: pid}
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock data directory %s: %w", dir, err)
	}
	return &dirLock{f}, nil
}

// release gives the directory up; closing the file drops the lock.
func (l *dirLock) release() error {
	if err := l.f.Truncate(0); err != nil {
		_ = l.f.Close()
		return fmt.Errorf("release the data directory: %w", err)
	}
	return l.f.Close()
}
