package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/api/pages"
	"github.com/tollstream/tollstream/cmd/tollstream/client"
	"github.com/tollstream/tollstream/ledger/money"
)

type backtestFlags struct{ draft, from, to, account, zone, html string }

func (a *app) backtestCommand() *cobra.Command {
	var f backtestFlags
	cmd := &cobra.Command{
		Use: "backtest", Short: "Rate stored usage under a draft price book, and compare the revenue",
		Long: "Rate the usage that the report store holds of a time again under a draft of the catalogue, and show revenue per account and\n" +
			"product before and after. The draft is a catalogue document, laid over the live catalogue in memory as `catalog apply` would;\n" +
			"its `delete` removes. Nothing is changed anywhere. Usage only: one-time and recurring charges are the close's.\n\n" +
			"Billing periods that the time cuts in two are rated whole, so that tiers stand where they stood, and the usage inside is reported.\n" +
			"Usage that the draft cannot rate is counted by reason. The server runs one backtest at a time; Ctrl-C stops it.",
		Example: "  tollstream backtest --catalog draft.yaml --from 2026-10-01 --to 2026-11-01\n" +
			"  tollstream backtest --catalog draft.yaml --from 2026-10-01 --to 2026-11-01 --account acme --html acme.html\n" +
			"  tollstream backtest --catalog draft.yaml --from 2026-10-01 --to 2026-11-01 --output csv > compared.csv",
		Args:        arguments(),
		Annotations: map[string]string{alsoCSV: "true"},
		RunE:        func(cmd *cobra.Command, _ []string) error { return a.backtest(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.draft, "catalog", "", "`FILE` with the draft, YAML or JSON; - for standard input")
	flags.StringVar(&f.from, "from", "", "`DATE` or instant from which on usage counts")
	flags.StringVar(&f.to, "to", "", "`DATE` or instant before which it counts")
	flags.StringVar(&f.account, "account", "", "`ID` of the one account whose usage counts (default: all)")
	flags.StringVar(&f.zone, "time-zone", "", "`ZONE` of the dates, such as Europe/Berlin (default UTC)")
	flags.StringVar(&f.html, "html", "", "write a page with charts to `FILE`, which needs nothing else")
	return cmd
}

func (a *app) backtest(ctx context.Context, f backtestFlags) error {
	switch {
	case f.draft == "":
		return wrongUsage("--catalog is missing: name the file with the draft")
	case f.from == "" || f.to == "":
		return wrongUsage("--from and --to are both needed, such as --from 2026-10-01 --to 2026-11-01")
	}
	draft, err := a.readInput(f.draft)
	if err != nil {
		return err
	}
	c, err := a.settings.client()
	if err != nil {
		return err
	}
	query := url.Values{"from": {f.from}, "to": {f.to}}
	if f.account != "" {
		query.Set("account", f.account)
	}
	if f.zone != "" {
		query.Set("time_zone", f.zone)
	}
	res, err := c.Do(ctx, client.Request{
		Method: http.MethodPost, Path: "/v1/backtests", Query: query, ContentType: documentType(f.draft, draft), Body: bytes.NewReader(draft),
	})
	if err != nil {
		return inDocument(f.draft, err)
	}
	started, err := client.Decode[api.Backtest](res)
	if err != nil {
		return err
	}
	done, err := a.awaitBacktest(ctx, c, started)
	if err != nil {
		return err
	}
	if f.html != "" {
		if err := a.backtestPage(ctx, c, done, f); err != nil {
			return err
		}
	}
	return a.showBacktest(ctx, c, done)
}

// How often the server is asked how far it is: at first often, since many backtests are short.
const (
	firstLook = 50 * time.Millisecond
	laterLook = 500 * time.Millisecond
)

// awaitBacktest asks until the backtest is over, and stops it when the command is.
func (a *app) awaitBacktest(ctx context.Context, c *client.Client, b *api.Backtest) (*api.Backtest, error) {
	path, p := "/v1/backtests/"+url.PathEscape(b.ID), newBacktestProgress(a.stderr)
	defer p.end()
	for pause := firstLook; b.State == api.BacktestRunning; pause = min(2*pause, laterLook) {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), laterLook)
			_, err := c.Send(ctx, http.MethodDelete, path, nil, nil)
			cancel()
			if err != nil {
				return nil, fmt.Errorf("the backtest %s goes on in the server: %w", b.ID, err)
			}
			return nil, errors.New("the backtest was stopped; nothing was changed")
		}
		res, err := c.Send(ctx, http.MethodGet, path, nil, nil)
		if err != nil {
			if ctx.Err() != nil {
				continue
			}
			return nil, err
		}
		if b, err = client.Decode[api.Backtest](res); err != nil {
			return nil, err
		}
		p.show(b.Activities, b.Total)
	}
	switch {
	case b.State == api.BacktestDone && b.Result != nil:
		return b, nil
	case b.Error != "":
		return nil, fmt.Errorf("the backtest %s: %s", b.State, b.Error)
	}
	return nil, fmt.Errorf("the backtest was %s", b.State)
}

// backtestProgress shows how far a backtest is: on a terminal in one line, else in a line now and then.
type backtestProgress struct {
	out      io.Writer
	terminal bool
	began    time.Time
	shown    time.Time
	width    int
}

// logEvery is the pause between lines of progress that go into a file.
const logEvery = 10 * time.Second

func newBacktestProgress(out io.Writer) *backtestProgress {
	f, ok := out.(*os.File)
	now := time.Now()
	return &backtestProgress{out: out, terminal: ok && term.IsTerminal(int(f.Fd())), began: now, shown: now}
}

func (p *backtestProgress) show(done, of int64) {
	if !p.terminal && time.Since(p.shown) < logEvery {
		return
	}
	p.shown = time.Now()
	text := progressText(done, of, time.Since(p.began))
	if !p.terminal {
		fmt.Fprintln(p.out, text)
		return
	}
	fmt.Fprintf(p.out, "\r%-*s", p.width, text)
	p.width = len(text)
}

// progressText tells rows, percent and the time that is left at the pace so far.
func progressText(done, of int64, took time.Duration) string {
	if of == 0 {
		return "counting stored usage"
	}
	text := fmt.Sprintf("%d of %d activities, %d%%", done, of, 100*done/of)
	if done > 0 && done < of {
		left := time.Duration(float64(took) * float64(of-done) / float64(done))
		text += ", " + left.Round(time.Second).String() + " left"
	}
	return text
}

func (p *backtestProgress) end() {
	if p.terminal && p.width > 0 {
		fmt.Fprintf(p.out, "\r%*s\r", p.width, "")
	}
}

func (a *app) showBacktest(ctx context.Context, c *client.Client, b *api.Backtest) error {
	switch a.output {
	case outputJSON:
		return a.printJSON(b)
	case outputCSV:
		res, err := c.Send(ctx, http.MethodGet, "/v1/backtests/"+url.PathEscape(b.ID)+"/rows", url.Values{"format": {"csv"}, "limit": {"10000"}}, nil)
		if err != nil {
			return err
		}
		for _, note := range b.Result.Notes {
			fmt.Fprintln(a.stderr, note)
		}
		return a.print(string(res.Body))
	}
	rows, err := backtestRows(ctx, c, b, rowsInTable)
	if err != nil {
		return err
	}
	return a.printBacktest(b, rows)
}

// rowsInTable is how many rows by account and product a table shows, rowsInPage a page.
const (
	rowsInTable = 100
	rowsInPage  = 1000
)

func backtestRows(ctx context.Context, c *client.Client, b *api.Backtest, most int) ([]api.BacktestRow, error) {
	res, err := c.Send(ctx, http.MethodGet, "/v1/backtests/"+url.PathEscape(b.ID)+"/rows", url.Values{"limit": {strconv.Itoa(most)}}, nil)
	if err != nil {
		return nil, err
	}
	list, err := client.Decode[api.List[api.BacktestRow]](res)
	if err != nil {
		return nil, err
	}
	return list.Data, nil
}

func (a *app) printBacktest(b *api.Backtest, rows []api.BacktestRow) error {
	r := b.Result
	if len(r.Totals) == 0 {
		return a.print("there is no usage in that time\n")
	}
	sections := []struct {
		title string
		rows  []api.BacktestRow
	}{{"", rows}, {"by product", r.Products}, {"largest changes", r.Largest}, {"in all", r.Totals}}
	for i, s := range sections {
		if len(s.rows) == 0 {
			continue
		}
		if i > 0 {
			if err := a.print("\n" + s.title + "\n"); err != nil {
				return err
			}
		}
		table := [][]string{{"ACCOUNT", "PRODUCT", "EVENTS", "BEFORE", "AFTER", "DIFFERENCE", "PERCENT", "UNRATED"}}
		for _, row := range s.rows {
			table = append(table, []string{
				orAll(row.Account), orAll(row.Product), fmt.Sprint(row.Events), row.Before.String() + " " + row.Currency, row.After.String(), signed(row.Difference),
				percentText(row.Percent), fmt.Sprint(row.Unrated),
			})
		}
		if err := a.table(table); err != nil {
			return err
		}
		if more := r.Rows - len(rows); i == 0 && more > 0 {
			if err := a.print(fmt.Sprintf("%d more rows: --output csv has all of them\n", more)); err != nil {
				return err
			}
		}
	}
	var text strings.Builder
	if len(r.Unrated) > 0 {
		text.WriteString("\nnot rated under the draft\n")
	}
	for _, u := range r.Unrated {
		fmt.Fprintf(&text, "  %s: %d events of %s, charged %s %s\n", u.Reason, u.Events, u.Product, u.Before, u.Currency)
	}
	text.WriteString("\n")
	for _, note := range r.Notes {
		text.WriteString(note + "\n")
	}
	fmt.Fprintf(&text, "%d activities of %d accounts were read; nothing was changed\n", b.Activities, r.Accounts)
	return a.print(text.String())
}

func orAll(s string) string {
	if s == "" {
		return "all"
	}
	return s
}

func signed(d money.Fixed) string {
	if d.Sign() > 0 {
		return "+" + d.String()
	}
	return d.String()
}

func percentText(p *money.Decimal) string {
	switch {
	case p == nil:
		return "–"
	case p.Sign() > 0:
		return "+" + p.String() + "%"
	}
	return p.String() + "%"
}

// backtestPage writes the page with charts.
func (a *app) backtestPage(ctx context.Context, c *client.Client, b *api.Backtest, f backtestFlags) error {
	rows, err := backtestRows(ctx, c, b, rowsInPage)
	if err != nil {
		return err
	}
	page := pages.Backtest{
		Draft: f.draft, Account: b.Account, From: f.from, To: f.to, Zone: f.zone, At: b.StartedAt, Accounts: b.Result.Accounts, Activities: b.Activities,
		Notes: b.Result.Notes, Rows: compared(rows), MoreRows: b.Result.Rows - len(rows) + b.Result.LeftOut,
		Totals: compared(b.Result.Totals), Products: compared(b.Result.Products), Largest: compared(b.Result.Largest),
	}
	for _, u := range b.Result.Unrated {
		page.Unrated = append(page.Unrated, pages.Unrated(u))
	}
	var out bytes.Buffer
	if err := pages.WriteBacktest(&out, &page); err != nil {
		return err
	}
	return writeWhole(f.html, out.Bytes())
}

func compared(rows []api.BacktestRow) []pages.Compared {
	out := make([]pages.Compared, len(rows))
	for i, r := range rows {
		out[i] = pages.Compared{
			Account: r.Account, Product: r.Product, Currency: r.Currency, Events: r.Events, Before: r.Before, After: r.After, Difference: r.Difference,
			Percent: r.Percent, Unrated: r.Unrated,
		}
	}
	return out
}
