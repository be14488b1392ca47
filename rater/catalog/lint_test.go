package catalog

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLint holds a document for each kind of mistake, with what is said about it.
func TestLint(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "lint", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no documents: %v", err)
	}
	rules := map[string]bool{}
	for _, path := range files {
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			found := Lint(name, data, name == "partial.yaml", testNow)
			var out strings.Builder
			for i := range found.List {
				f := &found.List[i]
				rules[f.Rule] = true
				if f.Severity != SeverityError && (f.Line == 0 || f.Path == "" || f.Advice == "") {
					t.Errorf("%+v does not say where it is or what to do", f)
				}
				fmt.Fprintln(&out, f.Text(name))
			}
			golden(t, path+".want", out.String())
		})
	}
	for _, rule := range []string{
		"refused", "tier-order", "tier-rises", "tier-same", "tier-gap", "volume-step", "below-zero", "percent", "rate-gap", "rate-ends", "contract-gap", "end-of-month",
		"contract-empty", "class-empty", "class-unreachable", "package-empty", "package-unused", "package-not-had", "currency-missing", "currency-unused",
		"rate-currency", "rate-shadowed", "rate-outside-package", "rate-unprovisioned", "matrix-gap", "matrix-default", "matrix-shadowed", "look-alike", "same-name",
	} {
		if !rules[rule] {
			t.Errorf("no document shows %s", rule)
		}
	}
}

// golden compares with a file that was read by somebody.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want, err := os.ReadFile(path); err != nil || string(want) != got {
		t.Errorf("%s (%v) wants:\n%s\ngot:\n%s", path, err, want, got)
	}
}

func TestLintIsBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("currency: EUR\nproducts:\n")
	for i := range maxFindings + 10 {
		fmt.Fprintf(&b, "  - {id: p%c%d, rates: [{model: flat, amount: -1}]}\n", 'a'+rune(i%26), i)
	}
	if found := Lint("many.yaml", []byte(b.String()), false, testNow); len(found.List) != maxFindings || found.More != 10 {
		t.Errorf("%d findings and %d more", len(found.List), found.More)
	}
}
