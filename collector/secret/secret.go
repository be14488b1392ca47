// Package secret finds passwords, keys and tokens by the names that configurations have for them.
//
// It imports the standard library only. Invariants: a secret never stands in a configuration, a log, an
// error or an answer; what stands there is its name.
package secret

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Name is what a configuration says instead of a secret; empty: none.
type Name string

var named = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,63}$`)

// Check says what is wrong with a name, or nothing.
func (n Name) Check() string {
	if !named.MatchString(string(n)) {
		return fmt.Sprintf("%q is no name of a secret: capital letters, digits and _, beginning with a letter, at most 64", string(n))
	}
	return ""
}

// Variable is the environment variable that may hold the secret.
func (n Name) Variable() string { return "TOLLSTREAM_SECRET_" + string(n) }

// ErrMissing says that nobody has set a secret.
var ErrMissing = errors.New("the secret is not set")

// Store is where secrets are kept. It is asked anew each time, so a file may be replaced while the process runs.
type Store struct {
	Getenv func(variable string) string // nil: the environment holds none
	Dir    string                       // of files named as secrets are; empty: there are none
}

const maxBytes = 64 << 10

// Get returns a secret; of a file, a newline at its end is left out.
func (s Store) Get(n Name) (string, error) {
	if message := n.Check(); message != "" {
		return "", errors.New(message)
	}
	if s.Getenv != nil {
		if value := s.Getenv(n.Variable()); value != "" {
			return value, nil
		}
	}
	advice := "set the environment variable " + n.Variable()
	if s.Dir != "" {
		path := filepath.Join(s.Dir, string(n))
		info, err := os.Stat(path)
		switch {
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("read secret %s: %w", n, err)
		case err == nil && info.Size() > maxBytes:
			return "", fmt.Errorf("read secret %s: %s has more than %d bytes", n, path, maxBytes)
		case err == nil:
			text, err := os.ReadFile(path)
			if err != nil {
				return "", fmt.Errorf("read secret %s: %w", n, err)
			}
			if value := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"); value != "" {
				return value, nil
			}
		}
		advice += ", or write the file " + path
	}
	return "", fmt.Errorf("%s: %w; %s", n, ErrMissing, advice)
}
