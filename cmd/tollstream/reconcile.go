package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/cmd/tollstream/client"
)

func (a *app) reconcileCommand() *cobra.Command {
	var period string
	var deep bool
	cmd := &cobra.Command{
		Use: "reconcile", Short: "Prove that usage, charges, invoices and reports agree",
		Long: "Prove for a UTC month of event time that, in each partition, accepted + retried = rated + duplicates + rejected, and that\n" +
			"charges, invoice lines and the report store sum to the same amounts. A difference is printed with where it begins, and ends\n" +
			"the command with exit code 1.",
		Example: "  tollstream reconcile\n  tollstream reconcile --period 2026-10 --deep",
		Args:    arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := url.Values{}
			if period != "" {
				if _, err := time.Parse("2006-01", period); err != nil {
					return wrongUsage("--period must be a month such as 2026-11, not %q", period)
				}
				query.Set("period", period)
			}
			if deep {
				query.Set("deep", "true")
			}
			c, err := a.settings.client()
			if err != nil {
				return err
			}
			res, err := c.Send(cmd.Context(), http.MethodGet, "/v1/reports/reconciliation", query, nil)
			if err != nil {
				return err
			}
			return a.reportReconciliation(res, deep)
		},
	}
	cmd.Flags().StringVar(&period, "period", "", "`MONTH` such as 2026-11 (default: the current one)")
	cmd.Flags().BoolVar(&deep, "deep", false, "compare record by record instead of by sums: slower, finds the first offset that differs")
	return cmd
}

func (a *app) reportReconciliation(res *client.Answer, deep bool) error {
	r, err := client.Decode[api.Reconciliation](res)
	if err != nil {
		return err
	}
	done, err := client.Decode[struct {
		Deep bool `json:"deep"`
	}](res)
	if err != nil {
		return err
	}
	if a.output == outputJSON {
		err = a.printJSON(json.RawMessage(res.Body))
	} else {
		err = a.printReconciliation(r)
	}
	switch {
	case err != nil:
		return err
	case !r.Agrees:
		return fmt.Errorf("%s does not agree: %s", r.Period, r.Difference)
	case deep && !done.Deep:
		// To call sums a deep comparison would be a false proof.
		return errors.New("the sums agree, but this server does not compare record by record: leave out --deep")
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
