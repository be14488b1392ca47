package secret

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestGet(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"FILED": "from a file\n", "BOTH": "the file's", "EMPTY": "\n", "LONG": strings.Repeat("x", maxBytes+1)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	environment := map[string]string{"TOLLSTREAM_SECRET_SET": " kept as it is\n", "TOLLSTREAM_SECRET_BOTH": "the environment's"}
	s := Store{Getenv: func(name string) string { return environment[name] }, Dir: dir}
	for name, want := range map[Name]string{"SET": " kept as it is\n", "FILED": "from a file", "BOTH": "the environment's"} {
		if got, err := s.Get(name); err != nil || got != want {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
	for _, c := range []struct {
		name Name
		says string
	}{
		{"EMPTY", "set the environment variable TOLLSTREAM_SECRET_EMPTY, or write the file " + dir},
		{"NONE", "TOLLSTREAM_SECRET_NONE"}, {"LONG", "more than 65536 bytes"},
		{"../FILED", "no name of a secret"}, {"", "no name of a secret"}, {"lower", "no name of a secret"},
	} {
		if got, err := s.Get(c.name); err == nil || got != "" || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %q %v", c.name, got, err)
		}
	}
	if _, err := (Store{}).Get("SET"); !errors.Is(err, ErrMissing) {
		t.Errorf("nothing to ask: %v", err)
	}
}
