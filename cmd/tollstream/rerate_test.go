package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tollstream/tollstream/api"
)

// TestRerateProgress: a line for each change where nobody looks at a terminal, a bar where somebody does.
func TestRerateProgress(t *testing.T) {
	steps := []api.Rerating{
		{ID: 7, Phase: "looking", Waits: "the job of definition 5, which waits for partition 3"}, {ID: 7, Phase: "looking", Waits: "the job of definition 5, which waits for partition 3"},
		{ID: 7, Phase: "accounts", Accounts: 2}, {ID: 7, Phase: "accounts", Accounts: 2, Finished: 1}, {ID: 7, Phase: "accounts", Accounts: 2, Finished: 2},
	}
	var lines, drawn bytes.Buffer
	a := &app{stderr: &lines}
	plain, bar := a.rerateProgress(), &rerateProgress{out: &drawn, bar: newRerateBar(&drawn)}
	for i := range steps {
		plain.at(&steps[i])
		bar.at(&steps[i])
	}
	plain.end()
	bar.end()
	const want = "7: looking, 0 of 0 accounts, waits for the job of definition 5, which waits for partition 3\n7: accounts, 0 of 2 accounts\n" +
		"7: accounts, 1 of 2 accounts\n7: accounts, 2 of 2 accounts\n"
	if lines.String() != want {
		t.Errorf("lines:\n%s", lines.String())
	}
	for _, part := range []string{"7: looking, 0 of 0 accounts, waits for", "50%", "(1/2)"} {
		if !strings.Contains(drawn.String(), part) {
			t.Errorf("the bar lacks %q: %q", part, drawn.String())
		}
	}
	a.output = outputJSON
	lines.Reset()
	if silent := a.rerateProgress(); true {
		silent.at(&steps[2])
		silent.end()
	}
	if lines.Len() > 0 {
		t.Errorf("JSON is asked for, and it says %q", lines.String())
	}
}
