package catalog

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// FuzzParseDocument: whatever the bytes are, the parser answers with a document or with issues, and
// what can be applied can be exported and applied again without a change.
func FuzzParseDocument(f *testing.F) {
	f.Add("a.yaml", []byte(whole))
	f.Add("a.yaml", []byte(resolveBook))
	paths, err := filepath.Glob("testdata/refused/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(filepath.Base(path), data)
	}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		Lint(name, data, false, testNow)
		Lint(name, data, true, testNow)
		b := newBook()
		_, err := b.apply(name, string(data), testNow)
		var issues *Issues
		if err != nil {
			if !errors.As(err, &issues) || len(issues.List) == 0 || len(issues.List) > maxIssues {
				t.Fatalf("not issues: %v", err)
			}
			return
		}
		if _, err := NewSnapshot(b.list()); err != nil {
			t.Fatalf("what was applied cannot be read: %v", err)
		}
		for _, export := range []func([]Row) ([]byte, error){ExportJSON, ExportYAML} {
			text, err := export(b.list())
			if err != nil {
				t.Fatal(err)
			}
			changes, err := b.apply("export", string(text), testNow)
			if len(b.rows) == 0 {
				continue // an export of nothing has nothing to apply
			}
			if err != nil || len(changes) != 0 {
				t.Fatalf("the export changed %v (%v):\n%s", changes, err, text)
			}
		}
	})
}
