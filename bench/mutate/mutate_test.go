package main

import (
	"strings"
	"testing"
)

// TestSample changes a package of which one function is tested. A change that tests notice is killed, one that they do not come by is left,
// and one that is listed as none is not counted.
func TestSample(t *testing.T) {
	state := t.TempDir()
	for range 2 { // the second time nothing is tried again
		var out strings.Builder
		if err := run(settings{State: state, Workers: 1}, []string{"./testdata/sample"}, &out); err != nil {
			t.Fatal(err)
		}
		// n < 10 and n > 0: 2 each; &&: 3; fee > 20: 2; two statements; a + b
		want := "sample.go:17\tBoth: a + b → -\n12 changes, 10 killed (83.3%), 1 change nothing; 90.9% of those that change anything\n"
		if out.String() != want {
			t.Errorf("%s\nwant\n%s", out.String(), want)
		}
	}
}
