package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tollstream/tollstream/api"
)

func (a *app) catalogDiff() *cobra.Command {
	var exitCode bool
	cmd := &cobra.Command{
		Use: "diff FILE...", Short: "Show what applying a document would mean for prices and accounts, and write nothing",
		Long: "Show what applying a document would change, in words: each price before and after, from when on, and how many accounts can\n" +
			"get it (one that a nearer level prices is counted too). Several files are compared one by one, each with the catalogue as it is.\n" +
			"Nothing is written. FILE may be - for standard input.\n\n" +
			"The exit code is 0; with --exit-code it is 1 when something would change.",
		Example: "  tollstream catalog diff catalog.yaml\n  tollstream catalog diff --exit-code prices/*.yaml || echo would change\n" +
			"  tollstream catalog diff catalog.yaml -o json | jq -r '.differences[] | select(.accounts.count > 100) | .text'",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return arguments("FILE")(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var all []comparedFile
			changes := 0
			for _, file := range args {
				applied, err := a.sendCatalog(cmd.Context(), file, true)
				if err != nil {
					return err
				}
				all, changes = append(all, comparedFile{inputName(file), applied}), changes+len(applied.Changes)
			}
			if err := a.printCompared(all); err != nil {
				return err
			}
			if exitCode && changes > 0 {
				return &silentError{"the catalogue would change"}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "end with exit code 1 when something would change")
	return cmd
}

// comparedFile is what applying a file would change.
type comparedFile struct {
	File string `json:"file"`
	*api.Applied
}

func (a *app) printCompared(all []comparedFile) error {
	switch {
	case a.output == outputJSON && len(all) == 1:
		return a.printJSON(all[0].Applied)
	case a.output == outputJSON:
		return a.printJSON(all)
	case len(all) == 1:
		return a.print(differencesText(all[0].Applied))
	}
	var b strings.Builder
	for i := range all {
		b.WriteString(all[i].File + ":\n" + differencesText(all[i].Applied))
	}
	return a.print(b.String())
}

func differencesText(applied *api.Applied) string {
	if len(applied.Changes) == 0 {
		return changesText(applied)
	}
	var b strings.Builder
	for i := range applied.Differences {
		d := &applied.Differences[i]
		b.WriteString(d.Text + "\n")
		if text := affectedText(d); text != "" {
			b.WriteString("    " + text + "\n")
		}
	}
	if applied.More > 0 {
		fmt.Fprintf(&b, "… and %s\n", counted(int64(applied.More), "more difference"))
	} else {
		for _, c := range applied.Changes { // what no words tell: a rate's id
			told := func(d api.Difference) bool {
				return d.Kind == c.Kind && (d.ID == c.ID || c.Kind == "exchange_rates") // new days are told together
			}
			if !slices.ContainsFunc(applied.Differences, told) {
				b.WriteString(changeText(c))
			}
		}
	}
	fmt.Fprintf(&b, "%s would change, nothing was written\n", counted(int64(len(applied.Changes)), "definition"))
	return b.String()
}

// affectedText says whom a difference concerns; empty where the difference itself says it.
func affectedText(d *api.Difference) string {
	x := &d.Accounts
	switch {
	case d.Kind == "account" && x.Count == 1, x.Count == 0 && d.Product == "":
		return ""
	case x.Count == 0:
		return "no account can get it"
	}
	text := counted(x.Count, "account")
	if x.Everyone {
		text = "whoever uses it, of " + text
	}
	if len(x.First) > 0 {
		text += ": " + strings.Join(x.First, ", ")
	}
	if int64(len(x.First)) < x.Count {
		text += ", …"
	}
	return text
}
