package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/catalog/xlsx"
)

func (a *app) catalogLint() *cobra.Command {
	var strict, partial bool
	cmd := &cobra.Command{
		Use: "lint FILE", Short: "Look for mistakes in a document, without a server",
		Long: "Look for what would be refused and for what is allowed and probably a mistake: tiers out of order, gaps in time or between\n" +
			"ranges, rates that never apply, prices below zero, what nothing uses, names that look alike. The document is taken for the\n" +
			"whole catalogue; --partial says that it adds to one. FILE may be - for standard input.\n\n" +
			"A price list (.csv, .xlsx) is looked at by itself: what it names may exist.\n\nErrors would be refused, warnings are hardly ever meant, notes may well be. The exit code is 1 after an error, with --strict\n" +
			"also after a warning.",
		Example: "  tollstream catalog lint catalog.yaml\n  tollstream catalog lint --strict --partial new-prices.yaml\n  tollstream catalog lint catalog.yaml -o json | jq '.findings[] | select(.severity == \"warning\")'",
		Args:    arguments("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			document, err := a.readInput(args[0])
			if err != nil {
				return err
			}
			name := inputName(args[0])
			if documentType(args[0], document) == "application/json" && args[0] == "-" {
				name = "standard input.json"
			}
			found, err := lint(name, document, partial)
			if err != nil {
				return err
			}
			if err := a.printFindings(inputName(args[0]), found); err != nil {
				return err
			}
			switch {
			case found.Count(catalog.SeverityError) > 0:
				return &silentError{"the document would be refused"}
			case strict && found.Count(catalog.SeverityWarning) > 0:
				return &silentError{"the document has warnings"}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "end with exit code 1 after a warning too")
	cmd.Flags().BoolVar(&partial, "partial", false, "the document adds to a catalogue: what it names may exist, what it defines may be used there")
	return cmd
}

func lint(name string, document []byte, partial bool) (*catalog.Findings, error) {
	now := time.Now().UnixNano()
	if !xlsx.IsPrices(name) {
		return catalog.Lint(name, document, partial, now), nil
	}
	rows, err := xlsx.Rows(name, document)
	if err != nil {
		return nil, err
	}
	return catalog.LintPrices(name, rows, now), nil
}

// inputName is how messages call a file.
func inputName(file string) string {
	if file == "-" {
		return "standard input"
	}
	return file
}

func (a *app) printFindings(file string, found *catalog.Findings) error {
	if a.output == outputJSON {
		if found.List == nil {
			found.List = []catalog.Finding{}
		}
		return a.printJSON(found)
	}
	var b strings.Builder
	for i := range found.List {
		b.WriteString(found.List[i].Text(file) + "\n")
	}
	if found.More > 0 {
		fmt.Fprintf(&b, "… and %d more\n", found.More)
	}
	count := func(s catalog.Severity) string {
		n := found.Count(s)
		if n == 1 {
			return "1 " + string(s)
		}
		return fmt.Sprintf("%d %ss", n, s)
	}
	fmt.Fprintf(&b, "%s, %s, %s\n", count(catalog.SeverityError), count(catalog.SeverityWarning), count(catalog.SeverityNote))
	return a.print(b.String())
}
