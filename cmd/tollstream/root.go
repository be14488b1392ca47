package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// app is what commands share.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string

	settings Settings
	output   string
	lines    *slog.Logger // set when the command line was read
}

// The values of --output.
const (
	outputText = "text"
	outputJSON = "json"
	outputCSV  = "csv" // of commands with the annotation alsoCSV
)

const alsoCSV = "csv"

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "tollstream",
		Short: "Rate and bill usage",
		Long: "tollstream takes usage in, prices it exactly and shows each customer's invoice while it grows.\n\n" +
			"`tollstream run` serves; the other commands talk to a running server (TOLLSTREAM_HTTP_ADDR, TOLLSTREAM_API_KEY).\n" +
			"Every setting is an environment variable and a flag of the same name; the flag wins.",
		Example:       "  tollstream run --demo\n  tollstream catalog apply catalog.yaml\n  tollstream rate --account acme --product api-calls --quantity 3",
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       programVersion().Version,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := readEnvironment(cmd, a.getenv); err != nil {
				return err
			}
			if forms := outputForms(cmd); !slices.Contains(forms, a.output) {
				return wrongUsage("--output must be %s, not %q", strings.Join(forms, " or "), a.output)
			}
			a.lines = slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: a.settings.LogLevel}))
			return nil
		},
	}
	root.SetVersionTemplate("tollstream {{.Version}}\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	a.settings.commonFlags(root.PersistentFlags())
	root.PersistentFlags().StringVarP(&a.output, "output", "o", outputText, "`FORM` of what is printed: text or json")
	root.AddCommand(a.runCommand(), a.migrateCommand(), a.catalogCommand(), a.collectCommand(), a.collectorCommand(), a.rateCommand(), a.explainCommand(), a.rejectedCommand(),
		a.backtestCommand(), a.rerateCommand(), a.reconcileCommand(), a.keyCommand(), a.demoCommand(), a.versionCommand())
	group(root)
	root.InitDefaultCompletionCmd()
	exampleForCompletion(root)
	return root
}

// outputForms are the values of --output that the command takes.
func outputForms(cmd *cobra.Command) []string {
	forms := []string{outputText, outputJSON}
	if cmd.Annotations[alsoCSV] != "" {
		forms = append(forms, outputCSV)
	}
	return forms
}

// group makes a command that only holds others: without one of them it shows them, and fails.
func group(cmd *cobra.Command) *cobra.Command {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		said := fmt.Sprintf("%q is not a command of %s", args[0], cmd.CommandPath())
		cmd.SuggestionsMinimumDistance = 2
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			said += ", did you mean " + strings.Join(near, " or ") + "?"
		}
		return &usageError{errors.New(said)}
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		fmt.Fprint(cmd.ErrOrStderr(), cmd.UsageString())
		return wrongUsage("name one of the commands of %s", cmd.CommandPath())
	}
	return cmd
}

// exampleForCompletion completes the library's own commands, so that each help has an example.
func exampleForCompletion(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		if cmd.Name() != "completion" {
			continue
		}
		cmd.Example = "  source <(tollstream completion bash)"
		for _, shell := range cmd.Commands() {
			shell.Example = "  tollstream completion " + shell.Name()
		}
	}
}

// arguments checks the number of arguments and names what is missing.
func arguments(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return wrongUsage("%s is missing: %s", names[len(args)], cmd.UseLine())
		case len(args) > len(names):
			return wrongUsage("%q is too much: %s", args[len(names)], cmd.UseLine())
		}
		return nil
	}
}

// printJSON writes a document as people and programs read it.
func (a *app) printJSON(v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("print the answer: %w", err)
	}
	return a.print(string(text) + "\n")
}

func (a *app) print(text string) error {
	if _, err := io.WriteString(a.stdout, text); err != nil {
		return fmt.Errorf("print the answer: %w", err)
	}
	return nil
}

// table writes rows in columns; the first is the heading.
func (a *app) table(rows [][]string) error {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush() // a strings.Builder takes everything
	// The last column needs no filling.
	lines := strings.Split(b.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return a.print(strings.Join(lines, "\n"))
}
