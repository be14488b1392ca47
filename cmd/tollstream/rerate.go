package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/cmd/tollstream/client"
)

func (a *app) rerateCommand() *cobra.Command {
	var q api.RerateRequest
	cmd := &cobra.Command{
		Use: "rerate", Short: "Rate an account's usage anew under the present definitions",
		Long: "Add an account's stored usage up again under the present definitions. Each difference becomes an adjustment on its line; what a closed\n" +
			"invoice charged stays, and its difference goes to the current one. With --dry-run the differences are shown and nothing is changed.\n" +
			"What a change of definitions concerns is rated anew by itself, without this command. Ctrl-C ends the waiting, not the work.",
		Example: "  tollstream rerate --account acme --dry-run\n  tollstream rerate --account acme --product api-calls --period 2026-11-01",
		Args:    arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if q.Account == "" {
				return wrongUsage("--account is missing: name the account whose usage is rated anew")
			}
			return a.rerate(cmd.Context(), q)
		},
	}
	cmd.Flags().StringVar(&q.Account, "account", "", "`ID` of the account that used")
	cmd.Flags().StringVar(&q.Product, "product", "", "`ID` (default: all products)")
	cmd.Flags().StringVar(&q.Period, "period", "", "`DATE` in the billing period, such as 2026-11-21 (default: all periods)")
	cmd.Flags().BoolVar(&q.DryRun, "dry-run", false, "show the differences and change nothing")
	return cmd
}

func (a *app) rerate(ctx context.Context, q api.RerateRequest) error {
	c, err := a.settings.client()
	if err != nil {
		return err
	}
	text, err := json.Marshal(q)
	if err != nil {
		return err
	}
	res, err := c.Do(ctx, client.Request{Method: http.MethodPost, Path: "/v1/rerate", ContentType: "application/json", Body: bytes.NewReader(text)})
	if err != nil {
		return err
	}
	r, err := client.Decode[api.Rerating](res)
	if err != nil {
		return err
	}
	shown := a.rerateProgress()
	defer shown.end()
	for pause := firstLook; r.State == api.RerateRunning; pause = min(2*pause, laterLook) {
		shown.at(r)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("rating anew goes on in the server: GET /v1/rerate/%d tells how far it is", r.ID)
		}
		if res, err = c.Send(ctx, http.MethodGet, "/v1/rerate/"+strconv.FormatInt(r.ID, 10), nil, nil); err != nil {
			return fmt.Errorf("rating anew %d goes on in the server: %w", r.ID, err)
		}
		if r, err = client.Decode[api.Rerating](res); err != nil {
			return err
		}
	}
	shown.end()
	return a.showRerating(r, q.DryRun)
}

// rerateProgress shows how far a job is: as a bar on a terminal, else as a line for each change.
type rerateProgress struct {
	out  io.Writer // nil: nobody looks
	bar  *progressbar.ProgressBar
	told string
}

func (a *app) rerateProgress() *rerateProgress {
	p := &rerateProgress{out: a.stderr}
	if a.output == outputJSON {
		p.out = nil
	} else if f, ok := a.stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.bar = newRerateBar(f)
	}
	return p
}

func newRerateBar(out io.Writer) *progressbar.ProgressBar {
	return progressbar.NewOptions64(1, progressbar.OptionSetWriter(out), progressbar.OptionSetWidth(30), progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(false), progressbar.OptionClearOnFinish(), progressbar.OptionSetRenderBlankState(true))
}

func (p *rerateProgress) at(r *api.Rerating) {
	if p.out == nil {
		return
	}
	now := fmt.Sprintf("%d: %s, %d of %d accounts", r.ID, r.Phase, r.Finished, r.Accounts)
	if r.Waits != "" {
		now += ", waits for " + r.Waits
	}
	if now == p.told {
		return
	}
	p.told = now
	if p.bar == nil {
		fmt.Fprintln(p.out, now)
		return
	}
	p.bar.Describe(now)
	p.bar.ChangeMax64(max(r.Accounts, 1))
	if r.Finished < max(r.Accounts, 1) { // a full bar ends itself
		_ = p.bar.Set64(r.Finished) // a bar that cannot be drawn harms nobody
	}
}

func (p *rerateProgress) end() {
	if p.bar != nil {
		_ = p.bar.Finish() // as above
		p.bar = nil
		p.out = nil
	}
}

func (a *app) showRerating(r *api.Rerating, dry bool) error {
	show := func() error { return a.print(reratingText(r, dry)) }
	if a.output == outputJSON {
		show = func() error { return a.printJSON(r) }
	}
	if err := show(); err != nil {
		return err
	}
	if r.State == api.RerateFailed {
		return fmt.Errorf("rating anew %d failed: %s", r.ID, r.Message)
	}
	return nil
}

func reratingText(r *api.Rerating, dry bool) string {
	var b strings.Builder
	if len(r.Differences) > 0 {
		table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "PRODUCT\tUSAGE FROM\tCURRENCY\tBEFORE\tAFTER\tDIFFERENCE")
		for i := range r.Differences {
			x := &r.Differences[i]
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", x.Product, x.Period.Format(time.DateOnly), x.Currency, x.Before, x.After, x.Difference)
		}
		_ = table.Flush() // to memory
	}
	verb := "changed"
	if dry {
		verb = "would change"
	}
	fmt.Fprintf(&b, "%d lines were added up again, %d %s\n", r.Lines, r.Changed, verb)
	if r.Message != "" {
		fmt.Fprintln(&b, r.Message)
	}
	return b.String()
}
