package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/cmd/tollstream/client"
	"github.com/tollstream/tollstream/cmd/tollstream/server"
	"github.com/tollstream/tollstream/rater/reconcile"
	"github.com/tollstream/tollstream/rater/sink"
)

func (a *app) reconcileCommand() *cobra.Command {
	var period string
	var deep bool
	cmd := &cobra.Command{
		Use: "reconcile", Short: "Prove that usage, charges, invoices and reports agree",
		Long: "Prove for a UTC month of event time that, in each partition, accepted + retried = rated + duplicates + rejected, and that\n" +
			"charges, invoice lines and the report store sum to the same amounts. A difference is printed with where it begins, and ends\n" +
			"the command with exit code 1. A running server is asked; with the URLs of Kafka and PostgreSQL (and ClickHouse) the command reads them\n" +
			"by itself.",
		Example: "  tollstream reconcile\n  TOLLSTREAM_KAFKA=… TOLLSTREAM_POSTGRES=… tollstream reconcile --period 2026-10 --deep",
		Args:    arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			month := time.Now().UTC()
			if period != "" {
				var err error
				if month, err = time.Parse(monthLayout, period); err != nil {
					return wrongUsage("--period must be a month such as 2026-11, not %q", period)
				}
			}
			var found *api.Reconciliation
			var err error
			if s := &a.settings; len(s.Kafka) > 0 && s.Postgres != "" {
				found, err = a.reconcileByItself(cmd.Context(), month, deep)
			} else {
				found, err = a.askReconciliation(cmd.Context(), month, deep)
			}
			if err != nil {
				return err
			}
			return a.reportReconciliation(found, deep)
		},
	}
	cmd.Flags().StringVar(&period, "period", "", "`MONTH` such as 2026-11 (default: the current one)")
	cmd.Flags().BoolVar(&deep, "deep", false, "walk the rated topic too: slower, finds the first offset that differs")
	a.settings.storeFlags(cmd.Flags())
	return cmd
}

const monthLayout = "2006-01"

func (a *app) askReconciliation(ctx context.Context, month time.Time, deep bool) (*api.Reconciliation, error) {
	c, err := a.settings.client()
	if err != nil {
		return nil, err
	}
	query := url.Values{"period": {month.Format(monthLayout)}}
	if deep {
		query.Set("deep", "true")
	}
	res, err := c.Send(ctx, http.MethodGet, "/v1/reports/reconciliation", query, nil)
	if err != nil {
		return nil, err
	}
	return client.Decode[api.Reconciliation](res)
}

// reconcileByItself compares what the stores say, whether or not a server runs.
func (a *app) reconcileByItself(ctx context.Context, month time.Time, deep bool) (*api.Reconciliation, error) {
	var p problems
	if a.settings.checkStores(&p); len(p) > 0 {
		return nil, p.err()
	}
	config, err := serverConfig(a.settings, a.lines, nil)
	if err != nil {
		return nil, err
	}
	result, err := server.Reconcile(ctx, config, reconcile.Options{Month: sink.MonthOf(month.UnixNano()), Deep: deep}, func(stage string, done int) {
		a.lines.Debug("reconcile", slog.String("stage", stage), slog.Int("done", done))
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

func (a *app) reportReconciliation(r *api.Reconciliation, deep bool) error {
	show := a.printReconciliation
	if a.output == outputJSON {
		show = func(*api.Reconciliation) error { return a.printJSON(r) }
	}
	if err := show(r); err != nil {
		return err
	}
	switch {
	case !r.Agrees:
		return fmt.Errorf("%s does not agree: %s", r.Period, r.Difference)
	case deep && !r.Deep:
		// To pass sums off as the deep comparison would be a false proof.
		return errors.New("the sums agree, but this server does not walk the rated topic: " +
			"set TOLLSTREAM_KAFKA and TOLLSTREAM_POSTGRES, so that the command does it by itself, or leave out --deep")
	}
	return nil
}

func (a *app) printReconciliation(r *api.Reconciliation) error {
	rows := [][]string{{"PARTITION", "ACCEPTED", "RETRIED", "RATED", "DUPLICATES", "REJECTED", ""}}
	for _, p := range r.Partitions {
		rows = append(rows, []string{
			fmt.Sprint(p.Partition), fmt.Sprint(p.Accepted), fmt.Sprint(p.Retried), fmt.Sprint(p.Rated), fmt.Sprint(p.Duplicates), fmt.Sprint(p.Rejected), verdict(p.Agrees),
		})
	}
	if err := a.table(rows); err != nil {
		return err
	}
	rows = [][]string{{"PARTITION", "CURRENCY", "CHARGED", "LINES", "REPORTED", ""}}
	for _, s := range r.Sums {
		rows = append(rows, []string{
			fmt.Sprint(s.Partition), s.Currency, s.Charged.String(), s.Lines.String(), s.Reported.String(), verdict(s.Agrees),
		})
	}
	if err := a.print("\n"); err != nil {
		return err
	}
	if err := a.table(rows); err != nil {
		return err
	}
	if r.Agrees {
		return a.print("\n" + r.Period + " agrees\n")
	}
	return nil
}

func verdict(agrees bool) string {
	if agrees {
		return "ok"
	}
	return "DIFFERS"
}
