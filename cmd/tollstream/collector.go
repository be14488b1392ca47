package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/cmd/tollstream/client"
	"github.com/tollstream/tollstream/collector"
	"github.com/tollstream/tollstream/collector/source"
)

func (a *app) collectorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "collector", Short: "List collectors, try, run, pause and resume them, and read their history",
		Example: "  tollstream collector list\n  tollstream collector test --config collector.yaml calls.csv",
	}
	cmd.AddCommand(a.collectorListCommand(), a.collectorTestCommand(), a.collectorHistoryCommand(),
		a.collectorDoCommand("run", "runs", "Let a collector look at its place now", "a process with the role collector looks at its place now"),
		a.collectorDoCommand("pause", "pause", "Stop a collector at its checkpoints until it is resumed", "paused"),
		a.collectorDoCommand("resume", "resume", "Go on with a collector that was paused", "resumed"))
	return group(cmd)
}

// collectorPath is the address of a collector, and of what belongs to it.
func collectorPath(name, of string) string {
	return "/v1/collectors/" + url.PathEscape(name) + "/" + of
}

func (a *app) collectorListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the collectors, how they stand, and what came of their last look", Args: arguments(),
		Example: "  tollstream collector list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.settings.client()
			if err != nil {
				return err
			}
			res, err := c.Send(cmd.Context(), http.MethodGet, "/v1/collectors", nil, nil)
			if err != nil {
				return err
			}
			list, err := client.Decode[api.List[api.CollectorInfo]](res)
			if err != nil {
				return err
			}
			if a.output == outputJSON {
				return a.printJSON(list)
			}
			rows := [][]string{{"NAME", "STATE", "NEXT", "LAST LOOK", "FOUND", "TAKEN", "FAILED", "ALERTS"}}
			for i := range list.Data {
				rows = append(rows, collectorRow(&list.Data[i]))
			}
			return a.table(rows)
		},
	}
}

func collectorRow(x *api.CollectorInfo) []string {
	row := []string{x.Name, x.State, "-", "-", "-", "-", "-", strings.Join(x.Alerts, "; ")}
	if x.NextDue != nil {
		row[2] = x.NextDue.UTC().Format(time.RFC3339)
	}
	if p := x.LastPass; p != nil {
		row[3] = p.StartedAt.UTC().Format(time.RFC3339)
		row[4], row[5], row[6] = strconv.FormatInt(p.Found, 10), strconv.FormatInt(p.Taken, 10), strconv.FormatInt(p.Failed, 10)
	}
	return row
}

// collectorDoCommand is a command that posts nothing but its name.
func (a *app) collectorDoCommand(verb, call, short, done string) *cobra.Command {
	return &cobra.Command{
		Use: verb + " NAME", Short: short, Args: arguments("NAME"), Example: "  tollstream collector " + verb + " calls",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.settings.client()
			if err != nil {
				return err
			}
			res, err := c.Send(cmd.Context(), http.MethodPost, collectorPath(args[0], call), nil, nil)
			if err != nil {
				return err
			}
			if a.output == outputJSON {
				answer, err := client.Decode[map[string]any](res)
				if err != nil {
					return err
				}
				return a.printJSON(answer)
			}
			return a.print(args[0] + ": " + done + "\n")
		},
	}
}

func (a *app) collectorHistoryCommand() *cobra.Command {
	limit := 20
	cmd := &cobra.Command{
		Use: "history NAME", Short: "Show a collector's looks at its place, newest first", Args: arguments("NAME"),
		Long: "Show a collector's looks at its place with what came of the files there, newest first. The rows that were not sent are at\n" +
			"GET /v1/collectors/NAME/runs/ID/errors, as CSV with ?format=csv.",
		Example: "  tollstream collector history calls --limit 5",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.settings.client()
			if err != nil {
				return err
			}
			res, err := c.Send(cmd.Context(), http.MethodGet, collectorPath(args[0], "passes"), url.Values{"limit": {strconv.Itoa(limit)}}, nil)
			if err != nil {
				return err
			}
			list, err := client.Decode[api.List[collector.Pass]](res)
			if err != nil {
				return err
			}
			if a.output == outputJSON {
				return a.printJSON(list)
			}
			rows := [][]string{{"PASS", "BEGAN", "CAUSE", "STATE", "FOUND", "KNOWN", "WAITING", "OLD", "TAKEN", "FAILED", "SKIPPED", "MESSAGE"}}
			for i := range list.Data {
				rows = append(rows, passRow(&list.Data[i]))
			}
			return a.table(rows)
		},
	}
	cmd.Flags().IntVar(&limit, "limit", limit, "`NUMBER` of looks that are shown, up to 1000")
	return cmd
}

func passRow(p *collector.Pass) []string {
	row := []string{strconv.FormatInt(p.ID, 10), p.StartedAt.UTC().Format(time.RFC3339), string(p.Cause), string(p.State)}
	for _, n := range []int64{p.Found, p.Known, p.Waiting, p.Old, p.Taken, p.Failed, p.Skipped} {
		row = append(row, strconv.FormatInt(n, 10))
	}
	return append(row, strings.ReplaceAll(p.Message, "\n", "; "))
}

func (a *app) collectorTestCommand() *cobra.Command {
	var config string
	limit := 10
	cmd := &cobra.Command{
		Use: "test {NAME | --config FILE} FILE", Short: "Show what a file would be: its first events and every error; nothing is sent",
		Long: "Read FILE with the configuration of the collector NAME, on the server, or with one in a file, which needs no server. The first\n" +
			"events are shown as they would be sent, and every row that would not be. Whether accounts and products exist is not asked.",
		Example: "  tollstream collector test calls calls.csv\n  tollstream collector test --config collector.yaml calls.csv",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			var trial *collector.Trial
			switch {
			case config != "" && len(args) == 1:
				trial, err = a.tryHere(cmd.Context(), config, args[0], limit)
			case config == "" && len(args) == 2:
				trial, err = a.tryThere(cmd.Context(), args[0], args[1], limit)
			default:
				return wrongUsage("give either NAME FILE, or --config FILE and the file to read")
			}
			if err != nil {
				return err
			}
			return a.printTrial(trial)
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "`FILE` with the collector's configuration")
	cmd.Flags().IntVar(&limit, "limit", limit, "`NUMBER` of events that are shown, up to 1000")
	return cmd
}

// tryHere maps a file without a server.
func (a *app) tryHere(ctx context.Context, config, path string, limit int) (*collector.Trial, error) {
	document, err := a.readInput(config)
	if err != nil {
		return nil, err
	}
	parsed, err := collector.ParseConfig(document)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", config, err)
	}
	file, err := source.Local(path)
	if err != nil {
		return nil, err
	}
	name, _, _ := strings.Cut(filepath.Base(config), ".")
	return collector.Try(ctx, name, parsed, file, limit)
}

func (a *app) tryThere(ctx context.Context, name, path string, limit int) (*collector.Trial, error) {
	c, err := a.settings.client()
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the file: %w", err)
	}
	defer f.Close() //nolint:errcheck // it is only read
	res, err := c.Do(ctx, client.Request{
		Method: http.MethodPost, Path: collectorPath(name, "test"), ContentType: "application/octet-stream", AskFirst: true, Body: f,
		Query: url.Values{"limit": {strconv.Itoa(limit)}, "file": {filepath.Base(path)}},
	})
	if err != nil {
		return nil, err
	}
	return client.Decode[collector.Trial](res)
}

func (a *app) printTrial(t *collector.Trial) error {
	if a.output == outputJSON {
		return a.printJSON(t)
	}
	rows := [][]string{{"LINE", "ID", "ACCOUNT", "PRODUCT", "QUANTITY", "AMOUNT", "TIME"}}
	for i := range t.Events {
		e := &t.Events[i]
		at := "on arrival"
		if e.Time != nil {
			at = e.Time.Format(time.RFC3339)
		}
		rows = append(rows, []string{strconv.FormatInt(e.Line, 10), e.ID, e.Account, e.Product, e.Quantity, strings.TrimSpace(e.Amount + " " + e.Currency), at})
	}
	if err := a.table(rows); err != nil {
		return err
	}
	var b strings.Builder
	for _, e := range t.Errors {
		fmt.Fprintf(&b, "%s:%d: %s: %s\n", t.File, e.Line, e.Code, e.Message)
	}
	if more := t.Rejected - int64(len(t.Errors)); more > 0 {
		fmt.Fprintf(&b, "… and %d more\n", more)
	}
	fmt.Fprintf(&b, "%d rows: %d would be sent, %d filtered, %d are bad; nothing was sent\n", t.Rows, t.Mapped, t.Filtered, t.Rejected)
	return a.print(b.String())
}
