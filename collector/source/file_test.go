package source

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLocalFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.csv")
	if err := os.WriteFile(path, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := Local(path)
	if err != nil || file.Name != "a.csv" || file.Size != 10 {
		t.Fatalf("%v %+v", err, file)
	}
	if err := file.Unchanged(); err != nil {
		t.Error(err)
	}
	appended, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := appended.WriteString("more"); err != nil {
		t.Fatal(err)
	}
	if err := appended.Close(); err != nil {
		t.Fatal(err)
	}
	if err := file.Unchanged(); !errors.Is(err, ErrChanged) {
		t.Errorf("grown: %v", err)
	}
	for _, bad := range []string{filepath.Dir(path), path + ".none"} {
		if _, err := Local(bad); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

func TestSpool(t *testing.T) {
	dir := t.TempDir()
	file, remove, err := Spool(strings.NewReader("12345"), "../../etc/calls.csv", dir, 5)
	if err != nil || file.Name != "calls.csv" || filepath.Dir(file.Path) != dir || file.Size != 5 {
		t.Fatalf("%v %+v", err, file)
	}
	if err := remove(); err != nil {
		t.Error(err)
	}
	if _, _, err := Spool(strings.NewReader("123456"), "", dir, 5); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("%v, left behind: %v", err, left)
	}
}
