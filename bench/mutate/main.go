// Command mutate finds out what tests notice. It changes a package in one place after another, comparisons, conditions, sums,
// statements, and runs tests against each change; a change that no test notices stands for something that is not tested.
//
// All changes are compiled into one program at once, and an environment variable switches one of them on, so that a change costs no
// more than the tests do that come by its place; which these are is found out first. Nothing in the checkout is touched.
//
// Changes that alter nothing that anybody can see are listed, with the reason, in the package's testdata/mutants.txt: by function and
// text, not by line, so that the list survives what happens around them.
//
// Usage: `go run ./bench/mutate ./rater/price ./rater/price ./rater/price/agree`: the package that is changed, then those whose tests may
// notice, if not its own alone; `go run ./bench/mutate -help`. A run goes on where one with the same -state was stopped.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

type settings struct {
	State   string // directory in which a run is kept
	Files   string // names of files with commas between them; "": all
	For     time.Duration
	Workers int
	Args    string // of the tests
	List    bool
}

func main() {
	var s settings
	flag.StringVar(&s.State, "state", filepath.Join(os.TempDir(), "mutate"), "`DIRECTORY` in which programs and results are kept; what was tried there already is not tried again")
	flag.StringVar(&s.Files, "files", "", "change these `FILES` only, with commas between them")
	flag.DurationVar(&s.For, "for", 0, "stop after this long, to go on another time; 0: when all is done")
	flag.IntVar(&s.Workers, "workers", runtime.GOMAXPROCS(0), "how many tests run at once")
	flag.StringVar(&s.Args, "args", "", "further arguments of all tests, for instance \"-short\"")
	flag.BoolVar(&s.List, "list", false, "only list the changes")
	flag.Parse()
	if err := run(s, flag.Args(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(s settings, packages []string, out io.Writer) error {
	if len(packages) == 0 {
		return errors.New("name the package to change, and then those whose tests may notice")
	}
	p, err := loadPackage(packages[0])
	if err != nil {
		return err
	}
	only := strings.FieldsFunc(s.Files, func(r rune) bool { return r == ',' })
	mutants, err := p.mutate(only)
	if err != nil {
		return err
	}
	if s.List {
		for i := range mutants {
			fmt.Fprintf(out, "%s\t%s\n", mutants[i].place(), mutants[i].change())
		}
		return nil
	}
	r := &runner{settings: s, mutants: mutants}
	if err := r.open(filepath.Join(s.State, strings.ReplaceAll(p.path, "/", "-"))); err != nil {
		return err
	}
	deadline := time.Time{}
	if s.For > 0 {
		deadline = time.Now().Add(s.For)
	}
	tests := packages[1:]
	if len(tests) == 0 {
		tests = packages
	}
	for _, name := range tests {
		done, err := r.try(p, name, deadline)
		if err != nil {
			return err
		}
		if !done {
			break
		}
	}
	excused, err := readExcused(filepath.Join(p.dir, "testdata", "mutants.txt"))
	if err != nil {
		return err
	}
	return r.report(out, excused, len(only) > 0)
}
